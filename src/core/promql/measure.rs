//! What is computed, and of which series.

use std::collections::BTreeMap;

use super::{Builtin, MetricKind, Selector, SelectorError, Statistic, StatisticError, frame::Frame};
use crate::{
    api::conditions::Reason,
    core::units::{BaseUnit, MetricUnit},
};

/// What is computed, and of which series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Measure(Kind);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// A statistic of one metric.
    Statistic { selector: Selector, kind: MetricKind, statistic: Statistic },
    /// One metric as a share of another.
    Ratio { of: RatioOf, numerator: Selector, denominator: Selector },
    /// What the cluster's own exporters say of pods.
    Builtin { builtin: Builtin, selector: Selector },
}

/// What a ratio is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RatioOf {
    /// Of the rates of two counters.
    Counters,
    /// Of the means of two gauges.
    Gauges,
}

impl Measure {
    /// A statistic, if it can be computed of such a metric.
    ///
    /// # Errors
    /// When it cannot.
    pub fn statistic(selector: Selector, kind: MetricKind, statistic: Statistic) -> Result<Self, StatisticError> {
        Ok(Self(Kind::Statistic { selector, kind, statistic: statistic.check(kind)? }))
    }

    /// A ratio: both metrics summed over the pods, and then divided.
    #[must_use]
    pub const fn ratio(of: RatioOf, numerator: Selector, denominator: Selector) -> Self {
        Self(Kind::Ratio { of, numerator, denominator })
    }

    /// A builtin, of the series with these label values.
    ///
    /// # Errors
    /// When a label cannot be selected.
    pub fn builtin(builtin: Builtin, labels: BTreeMap<String, String>) -> Result<Self, SelectorError> {
        Ok(Self(Kind::Builtin { builtin, selector: Selector::new(builtin.series(), labels)? }))
    }

    /// Whether its series are those of the cluster's own exporters, which tell pods and no workloads.
    #[must_use]
    pub const fn is_builtin(&self) -> bool {
        matches!(self.0, Kind::Builtin { .. })
    }

    /// Whether readings below zero are meant, whatever they measure.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        matches!(self.0, Kind::Statistic { statistic: Statistic::Slope, .. })
    }

    /// The unit of the readings.
    #[must_use]
    pub fn unit(&self) -> MetricUnit {
        match &self.0 {
            Kind::Statistic { selector, kind, statistic } => statistic.unit(*kind, selector.name()),
            Kind::Ratio { .. } => MetricUnit::base_unit(BaseUnit::Ratio),
            Kind::Builtin { builtin, .. } => builtin.unit(),
        }
    }

    /// What NaN says in its answers. Where it divides by what was observed, it is nothing divided by nothing: nothing
    /// happened in the window. Where it only passes on what was exported, the application said it.
    pub(super) const fn nan(&self) -> Reason {
        match &self.0 {
            Kind::Statistic {
                kind: MetricKind::Histogram,
                statistic: Statistic::Quantile(_) | Statistic::Mean,
                ..
            }
            | Kind::Statistic { statistic: Statistic::Cv, .. }
            | Kind::Ratio { .. }
            | Kind::Builtin { builtin: Builtin::CpuThrottled, .. } => Reason::TooFewSamples,
            Kind::Statistic { .. } | Kind::Builtin { .. } => Reason::NotANumber,
        }
    }

    /// The query, answering one sample per group of `frame`.
    pub(super) fn expr(&self, frame: &Frame<'_>) -> String {
        match &self.0 {
            Kind::Statistic { selector, kind, statistic } => statistic_of(frame, selector, *kind, *statistic),
            Kind::Ratio { of, numerator, denominator } => ratio_of(frame, *of, numerator, denominator),
            Kind::Builtin { builtin, selector } => builtin.expr(frame, selector),
        }
    }

    /// The time of the newest sample per workload (or namespace) of `frame`.
    pub(super) fn freshness(&self, frame: &Frame<'_>) -> String {
        // `timestamp` keeps a sample's time on a plain selector only.
        let newest = |selector: &Selector, suffix: &str| {
            frame.whole("max", &format!("timestamp({})", frame.instant(selector, suffix, "")))
        };
        match &self.0 {
            // One series of a histogram, not all buckets.
            Kind::Statistic { selector, kind: MetricKind::Histogram, .. } => newest(selector, "_count"),
            Kind::Statistic { selector, .. } => newest(selector, ""),
            Kind::Ratio { numerator, denominator, .. } if numerator.name() == denominator.name() => {
                newest(denominator, "")
            }
            Kind::Ratio { numerator, denominator, .. } => {
                // The older of the two, where there are both.
                let (above, below) = (newest(numerator, ""), newest(denominator, ""));
                format!("({above} < {below}) or ({below} and {above})")
            }
            Kind::Builtin { builtin, selector } => builtin.freshness(frame, selector),
        }
    }
}

fn statistic_of(frame: &Frame<'_>, selector: &Selector, kind: MetricKind, statistic: Statistic) -> String {
    let over = |function: &str, suffix: &str| format!("{function}({})", frame.range(selector, suffix, ""));
    match (kind, statistic) {
        (MetricKind::Histogram, Statistic::Quantile(percentile)) => {
            // Buckets of all pods are added up first: a mean of percentiles is not a percentile.
            let buckets = frame.each_bucket("sum", &over("rate", "_bucket"));
            format!("histogram_quantile({},{buckets})", percentile.quantile())
        }
        (MetricKind::Histogram, Statistic::Mean) => {
            format!("{} / {}", frame.each("sum", &over("rate", "_sum")), frame.each("sum", &over("rate", "_count")))
        }
        (MetricKind::Histogram, Statistic::Increase) => frame.each("sum", &over("increase", "_count")),
        (MetricKind::Histogram, _) => frame.each("sum", &over("rate", "_count")),
        (_, Statistic::Quantile(percentile)) => {
            // Percentiles of several pods do not add up: the largest is one that was read.
            let range = frame.range(selector, "", "");
            frame.each("max", &format!("quantile_over_time({},{range})", percentile.quantile()))
        }
        (_, Statistic::Cv) => {
            // Of each pod by itself: that pods differ from each other is no variation over time.
            let (deviation, mean) = (over("stddev_over_time", ""), over("avg_over_time", ""));
            frame.each("max", &format!("{deviation} / abs({mean})"))
        }
        (_, Statistic::Slope) => frame.each("max", &over("deriv", "")),
        (_, Statistic::Max) => frame.each("max", &over("max_over_time", "")),
        (_, Statistic::Min) => frame.each("min", &over("min_over_time", "")),
        (_, Statistic::Rate) => frame.each("sum", &over("rate", "")),
        (_, Statistic::Increase) => frame.each("sum", &over("increase", "")),
        (_, Statistic::Mean) => frame.each("avg", &over("avg_over_time", "")),
    }
}

fn ratio_of(frame: &Frame<'_>, of: RatioOf, numerator: &Selector, denominator: &Selector) -> String {
    let function = match of {
        RatioOf::Counters => "rate",
        RatioOf::Gauges => "avg_over_time",
    };
    let sum = |selector: &Selector| frame.each("sum", &format!("{function}({})", frame.range(selector, "", "")));
    let (above, below) = (sum(numerator), sum(denominator));
    // An application exports no counter of errors before its first error. That nothing of the kind has happened is only
    // known of one metric whose other series are there: a metric that is missing altogether may be misspelt.
    if of == RatioOf::Counters && numerator.name() == denominator.name() {
        return format!("({above} or {below} * 0) / {below}");
    }
    format!("{above} / {below}")
}
