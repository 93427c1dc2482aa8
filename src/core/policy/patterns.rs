//! Patterns, parsed: each is a threshold on what its readings show, and what it finds is advice.
//!
//! | kind | is compared |
//! |---|---|
//! | `AlwaysSucceeds`, `AlwaysFails` | the number of tries without exception, with the number that shows the level's share |
//! | `FallbackRate`, `AutomationCandidate` | the share that so many tries show at least (Wilson's lower bound) |
//! | `Slow`, `OptimizationCandidate` | the average |
//! | `Inconsistent` | the coefficient of variation of series with enough samples |
//! | `Trend` | the change over the window as a share of its median, where it is more than chance |

use std::sync::Arc;

use super::{
    Invalid,
    thresholds::{Limit, Metric, Parser, Threshold, pace, trend_points},
};
use crate::{
    api::{
        PerformancePolicySpec,
        conditions::Reason,
        policy::{self as wire, PatternKind, Severity},
    },
    core::{
        facts::Span,
        promql::{Missing, Reading},
        statistics,
        units::{BaseUnit, Bound, Decimal, MetricUnit},
    },
};

/// Share of a number of tries by which it may fall before what they showed is taken back: traffic comes and goes.
const HALF: f64 = 0.5;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The kind.
    pub kind: PatternKind,
    /// Time between two askings.
    pub every: Span,
    /// Of how many windows one after the other a reading is made; one, except for trends.
    pub points: u16,
}

impl Pattern {
    /// What is compared with the levels. With too few observations nothing is shown; what was shown before holds until there
    /// are fewer than half of them.
    pub(super) fn read(&self, reading: Reading, least: f64, unit: MetricUnit) -> Result<f64, Missing> {
        let few = Missing::new(Reason::TooFewSamples);
        let count = reading.count.unwrap_or_default().round();
        let value = match reading.value {
            Ok(_) if count < least && count >= least * HALF => return Err(few),
            Ok(_) if count < least => return Ok(0.0),
            Err(missing) if missing == few => return Ok(0.0),
            value => value?,
        };
        // Failures are what is left of all tries, and both are extrapolated: less than half of one is none.
        let always = |share: f64| if (1.0 - share) * count < 0.5 { count } else { 0.0 };
        Ok(match self.kind {
            PatternKind::AlwaysSucceeds => always(value),
            PatternKind::AlwaysFails => always(1.0 - value),
            PatternKind::FallbackRate | PatternKind::AutomationCandidate => statistics::wilson_lower(value, count),
            PatternKind::Slow | PatternKind::OptimizationCandidate => unit.to_base(value),
            PatternKind::Inconsistent | PatternKind::Trend => value,
        })
    }

    /// What a reading is called, for people.
    #[must_use]
    pub const fn shows(&self) -> &'static str {
        match self.kind {
            PatternKind::AlwaysSucceeds => "tries without a failure",
            PatternKind::AlwaysFails => "tries without a success",
            PatternKind::FallbackRate => "of all tries at least",
            PatternKind::AutomationCandidate => "of all tries succeed at least",
            PatternKind::Slow | PatternKind::OptimizationCandidate => "on average",
            PatternKind::Inconsistent => "of the mean is the deviation",
            PatternKind::Trend => "of its median over the window",
        }
    }
}

/// What to do, unless the policy says it.
#[must_use]
pub const fn advice(kind: PatternKind) -> &'static str {
    match kind {
        PatternKind::AlwaysSucceeds => "it never failed in the window: log less of its successes, or sample them",
        PatternKind::AlwaysFails => {
            "it failed every time in the window: investigate now, and keep callers from retrying"
        }
        PatternKind::Slow => "it is slow on average: profile it, cache what repeats, or do it in the background",
        PatternKind::Inconsistent => {
            "its readings scatter: compare inputs and versions between runs before anything relies on them"
        }
        PatternKind::FallbackRate => {
            "it falls back often: find out why the first choice fails, before the fallback hides it"
        }
        PatternKind::AutomationCandidate => "it is repeated often and nearly always succeeds: automate it",
        PatternKind::OptimizationCandidate => "it takes long: split it, run parts in parallel, or give it less to do",
        PatternKind::Trend => {
            "it moves in one direction: compare with releases and the volume of data, before it reaches a limit"
        }
    }
}

/// Parses the patterns of a policy.
///
/// # Errors
/// Everything that is wrong with them, in the order of the spec.
pub fn parse(spec: &PerformancePolicySpec) -> Result<Arc<[Threshold]>, Vec<Invalid>> {
    let mut wrong = Vec::new();
    let common = spec.metrics.as_ref().map(|metrics| metrics.labels.clone()).unwrap_or_default();
    let mut parsed = Vec::new();
    for (index, pattern) in spec.patterns.iter().enumerate() {
        let put = put(pattern);
        let compared = match pattern.kind {
            PatternKind::Trend => Some(MetricUnit::base_unit(BaseUnit::Ratio).signed()),
            _ => None,
        };
        let mut refuse = |member: &str, message: &str| {
            Parser::of_pattern(&put, compared, &mut wrong).refuse(member, message);
        };
        if let Some(message) = misfit(pattern) {
            refuse("kind", message);
            continue;
        }
        if pattern.kind == PatternKind::Trend && pattern.metric.min_samples.is_some() {
            refuse("metric.minSamples", "is not for a Trend, which needs ten points: leave it out");
        }
        if let Some(message) = mislevelled(pattern) {
            refuse("levels", message);
            continue;
        }
        let earlier = spec.patterns.iter().take(index).map(|earlier| &earlier.name);
        if earlier.chain(spec.thresholds.iter().map(|threshold| &threshold.name)).any(|name| *name == pattern.name) {
            refuse("", "has the name of another pattern or of a threshold");
        }
        if let Some(threshold) = Parser::of_pattern(&put, compared, &mut wrong).parse(&common) {
            match timed(pattern, threshold) {
                Ok(pattern) => parsed.push(pattern),
                Err(message) => Parser::of_pattern(&put, compared, &mut wrong).refuse("metric.window", message),
            }
        }
    }
    if wrong.is_empty() { Ok(parsed.into()) } else { Err(wrong) }
}

/// What a pattern needs to be looked for in, if its metric is something else.
fn misfit(pattern: &wire::Pattern) -> Option<&'static str> {
    let metric = &pattern.metric;
    let (histogram, counter, gauge) = (metric.histogram.is_some(), metric.counter.is_some(), metric.gauge.is_some());
    let counters = metric.ratio.as_ref().is_some_and(|ratio| ratio.numerator.counter.is_some());
    match pattern.kind {
        PatternKind::AlwaysSucceeds
        | PatternKind::AlwaysFails
        | PatternKind::FallbackRate
        | PatternKind::AutomationCandidate => (!counters).then_some("must be looked for in a ratio of counters"),
        PatternKind::Slow | PatternKind::OptimizationCandidate => {
            (!histogram).then_some("must be looked for in a histogram")
        }
        PatternKind::Inconsistent => (!gauge).then_some("must be looked for in a gauge"),
        PatternKind::Trend => {
            (!(histogram || counter || gauge)).then_some("must be looked for in a histogram, a counter or a gauge")
        }
    }
}

/// What is wrong with its levels as a whole.
fn mislevelled(pattern: &wire::Pattern) -> Option<&'static str> {
    let always = matches!(pattern.kind, PatternKind::AlwaysSucceeds | PatternKind::AlwaysFails);
    let one_sided = pattern.levels.iter().all(|level| level.above.is_some() && level.below.is_none());
    if pattern.kind == PatternKind::Inconsistent && pattern.levels.is_empty() {
        Some("must be set: nobody else knows how much this metric may scatter")
    } else if pattern.kind != PatternKind::Trend && !one_sided {
        Some("must have above, and only a Trend may have below")
    } else if always && pattern.levels.len() > 1 {
        Some("must have at most one entry: what is always so has one level")
    } else {
        None
    }
}

/// The pattern as a threshold.
fn put(pattern: &wire::Pattern) -> wire::Threshold {
    let metric = &pattern.metric;
    let statistic = match pattern.kind {
        PatternKind::Inconsistent => Some("cv"),
        PatternKind::Trend if metric.counter.is_some() => Some("rate"),
        PatternKind::Slow | PatternKind::OptimizationCandidate | PatternKind::Trend => Some("mean"),
        _ => None,
    };
    let least = match pattern.kind {
        PatternKind::Slow | PatternKind::Inconsistent => Some(30),
        PatternKind::FallbackRate | PatternKind::OptimizationCandidate => Some(10),
        PatternKind::AutomationCandidate => Some(50),
        PatternKind::AlwaysSucceeds | PatternKind::AlwaysFails => Some(1),
        PatternKind::Trend => Some(0),
    };
    let window = if pattern.kind == PatternKind::Trend { "14d" } else { "24h" };
    wire::Threshold {
        name: pattern.name.clone(),
        metric: wire::Metric {
            histogram: metric.histogram.clone(),
            counter: metric.counter.clone(),
            gauge: metric.gauge.clone(),
            ratio: metric.ratio.clone(),
            labels: metric.labels.clone(),
            matching: metric.matching.clone(),
            statistic: statistic.map(Into::into),
            by: metric.by.clone(),
            window: Some(metric.window.clone().unwrap_or_else(|| window.to_owned())),
            min_samples: metric.min_samples.or(least),
            ..wire::Metric::default()
        },
        levels: if pattern.levels.is_empty() { levels(pattern.kind) } else { pattern.levels.clone() },
        advice: Some(pattern.advice.clone().unwrap_or_else(|| advice(pattern.kind).to_owned())),
        ..wire::Threshold::default()
    }
}

/// When a pattern is told, unless the policy says it.
fn levels(kind: PatternKind) -> Vec<wire::Level> {
    let above = |severity, bound: &str| wire::Level { severity, above: Some(bound.into()), ..wire::Level::default() };
    match kind {
        PatternKind::AlwaysSucceeds => vec![above(Severity::Info, "99%")],
        PatternKind::AlwaysFails => vec![above(Severity::Critical, "90%")],
        PatternKind::Slow => vec![above(Severity::Warning, "5s")],
        PatternKind::Inconsistent => Vec::new(),
        PatternKind::FallbackRate => vec![above(Severity::Warning, "30%")],
        PatternKind::AutomationCandidate => vec![above(Severity::Info, "90%")],
        PatternKind::OptimizationCandidate => {
            vec![above(Severity::Info, "20m"), above(Severity::Warning, "30m")]
        }
        PatternKind::Trend => vec![above(Severity::Info, "10%")],
    }
}

/// Gives the parsed threshold its time between askings, and a trend its points.
fn timed(pattern: &wire::Pattern, mut threshold: Threshold) -> Result<Threshold, &'static str> {
    let Metric::Series { window, .. } = &mut threshold.metric else { return Ok(threshold) };
    let every = pace(*window);
    let mut points = 1;
    if pattern.kind == PatternKind::Trend {
        let timed = trend_points(*window);
        (*window, points) = timed.ok_or("must be ≥ 24s for a Trend, which has 24 points of at least a second")?;
    }
    if matches!(pattern.kind, PatternKind::AlwaysSucceeds | PatternKind::AlwaysFails) {
        for level in &mut threshold.levels {
            level.above = level.above.and_then(|above| tries(above.bound));
        }
        threshold.unit = MetricUnit::base_unit(BaseUnit::Count);
    }
    threshold.pattern = Some(Pattern { kind: pattern.kind, every, points });
    Ok(threshold)
}

/// The number of tries without exception that shows a share.
fn tries(share: Bound) -> Option<Limit> {
    let share = share.as_f64().clamp(0.01, 0.999_999);
    let needed = statistics::needed_without_exception(share);
    let count =
        |tries: f64| Decimal::parse(&format!("{tries:.1}")).ok().map(|tries| Bound::new(tries, BaseUnit::Count));
    Some(Limit { bound: count(needed - 0.5)?, clear: count(needed * HALF)? })
}

#[cfg(test)]
mod tests;
