//! Thresholds, parsed: what is read, and what must hold of it.
//!
//! A threshold knows everything about its query except how series tell their workload: that is the source's word, so the
//! [`Shape`] is made where policy and source meet.

use std::{collections::BTreeMap, sync::Arc};

use super::{Invalid, patterns::Pattern};
use crate::{
    api::{
        Literal, PerformancePolicySpec,
        conditions::Reason,
        names::ALERT_LABELS,
        policy::{self as wire, Severity},
    },
    core::{
        facts::Span,
        promql::{
            Across, Builtin, FreeQuery, Identity, Least, Measure, MetricKind, Missing, PART_LABEL, RatioOf, Reading,
            Selector, SelectorError, Shape, Statistic, WORKLOAD_LABEL, Window, WorkloadKind, is_plain_label,
        },
        statistics::{self, MIN_TREND_POINTS},
        units::{BaseUnit, Better, Bound, Decimal, Excerpt, Hysteresis, MetricUnit, Value, ValueType},
    },
};

/// What must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// Name in the policy.
    pub name: Box<str>,
    /// What is read.
    pub metric: Metric,
    /// Unit of the samples.
    pub unit: MetricUnit,
    /// Bounds, the worst severity first; each severity at most once. None: the threshold informs and is never breached.
    pub levels: Vec<Level>,
    /// What happens when no data comes.
    pub no_data: NoData,
    /// What to look at first.
    pub advice: Option<Box<str>>,
    /// What to look at when others are breached at the same time.
    pub hints: Vec<Hint>,
    /// Observations that a window must have.
    pub min_samples: u32,
    /// It is a pattern: what it finds is advice, and no breach.
    pub pattern: Option<Pattern>,
    /// How many events must be good.
    pub slo: Option<Slo>,
}

/// A service level objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slo {
    /// Share of events that may be bad: 0.001 of an objective of 99.9%.
    pub budget: Decimal,
    /// Time over which it holds.
    pub period: Span,
    /// Whether the ratio is that of good events.
    pub of_good: bool,
}

impl Threshold {
    /// What is compared with the levels, in base units: the reading, or what it shows.
    pub fn read(&self, reading: Reading) -> Result<f64, Missing> {
        if let Some(pattern) = &self.pattern {
            return pattern.read(reading, f64::from(self.min_samples), self.unit);
        }
        let few = self.min_samples > 0 && reading.count.unwrap_or_default().round() < f64::from(self.min_samples);
        match reading.value {
            Ok(_) if few => Err(Missing::new(Reason::TooFewSamples)),
            value => value.map(|value| self.unit.to_base(value)),
        }
    }

    /// The number of observations by which a reading of so many is uncertain: of a share of events, where the policy does not
    /// say that the reading alone counts.
    #[must_use]
    pub fn tries(&self, count: Option<f64>) -> Option<f64> {
        let is_share = matches!(&self.metric, Metric::Series { measure, .. } if measure.is_share_of_events());
        count.filter(|_| is_share && self.pattern.is_none() && self.min_samples > 0)
    }

    /// What a reading shows, as it is compared with the levels.
    #[must_use]
    pub fn shown(&self, value: f64, count: Option<f64>) -> Shown {
        Shown::of(value, self.tries(count))
    }
}

/// What a reading shows: itself, and between what the truth lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    /// The reading, in base units.
    pub value: f64,
    /// At least this, at 95 % one-sided.
    pub least: f64,
    /// At most this, at 95 % one-sided.
    pub most: f64,
    /// The number of observations by which it is uncertain; zero where it is not.
    pub tries: f64,
}

impl Shown {
    /// A reading, of so many observations if it is a share of them: then Wilson's interval is around it (1927). What is no share
    /// (more than all, such as retries per request) speaks for itself.
    #[must_use]
    pub fn of(value: f64, tries: Option<f64>) -> Self {
        match tries.map(f64::round).filter(|tries| *tries > 0.0 && (0.0..=1.0).contains(&value)) {
            None => Self { value, least: value, most: value, tries: 0.0 },
            Some(tries) => {
                let (least, most) = (statistics::wilson_lower(value, tries), statistics::wilson_upper(value, tries));
                Self { value, least, most, tries }
            }
        }
    }
}

impl From<f64> for Shown {
    fn from(value: f64) -> Self {
        Self::of(value, None)
    }
}

impl Slo {
    /// When the policy does not say.
    pub const PERIOD: Span = Span::hours(30 * 24);
    const SHORTEST: Span = Span::hours(7 * 24);
    const LONGEST: Span = Span::hours(90 * 24);
}

/// Where to look when several things are wrong at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Thresholds and patterns that are breached beside this one, all of them.
    pub when: Vec<Box<str>>,
    /// What to look at then.
    pub advice: Box<str>,
}

impl Threshold {
    /// The bound of a severity; without one, of the mildest level. Of a band, the upper side.
    #[must_use]
    pub fn target(&self, severity: Option<&str>) -> Option<Bound> {
        let level = match severity {
            Some(named) => self.levels.iter().find(|level| word(level.severity) == named)?,
            None => self.levels.last()?,
        };
        level.above.or(level.below).map(|limit| limit.bound)
    }

    /// Whether more is better: where there are lower bounds only.
    #[must_use]
    pub fn better(&self) -> Option<Better> {
        let level = self.levels.last()?;
        Some(if level.above.is_some() { Better::Lower } else { Better::Higher })
    }

    /// The worse of two readings.
    #[must_use]
    pub fn worse(&self, one: Option<f64>, other: f64) -> f64 {
        match (one, self.better()) {
            (None, _) => other,
            (Some(one), Some(Better::Higher)) => one.min(other),
            (Some(one), _) => one.max(other),
        }
    }
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are series")]
pub enum Metric {
    /// What is answered for all policies together.
    Series {
        /// What is computed, and of which series.
        measure: Measure,
        /// Over which time.
        window: Window,
        /// Labels whose values are judged apart.
        by: Box<[String]>,
        /// Whether the number of observations matters.
        counted: bool,
        /// Of a trend: its points, each of one window.
        course: Option<Course>,
    },
    /// A query of the policy's own.
    Free(FreeQuery),
}

/// How a trend is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// Of how many windows one after the other it is made.
    pub points: u16,
    /// Time between two askings.
    pub every: Span,
}

impl Metric {
    /// The query of all policies that read the same of such workloads, or of namespaces; `None` for a free query.
    #[must_use]
    pub fn shape(&self, identity: &Identity, workload: Option<WorkloadKind>) -> Option<Shape> {
        match self {
            Self::Series { measure, window, by, counted, .. } => {
                let builtin = measure.is_builtin();
                let attribution =
                    if builtin { Identity::attribution_by_pod(workload) } else { identity.attribution(workload) };
                let measure = measure.clone().may_be_native(identity.native_histograms);
                Some(Shape::new(measure, *window, by.clone(), attribution).counted(*counted))
            }
            Self::Free(_) => None,
        }
    }

    /// How a trend is read, if it is one.
    #[must_use]
    pub const fn course(&self) -> Option<Course> {
        match self {
            Self::Series { course, .. } => *course,
            Self::Free(_) => None,
        }
    }

    /// Whether it reads counters that may go back.
    #[must_use]
    pub fn may_reset(&self) -> bool {
        match self {
            Self::Series { measure, .. } => measure.may_reset(),
            Self::Free(_) => false,
        }
    }

    /// Labels whose values are judged apart.
    #[must_use]
    pub fn by(&self) -> &[String] {
        match self {
            Self::Series { by, .. } => by,
            Self::Free(_) => &[],
        }
    }
}

/// What must hold, for one severity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// How bad a breach is.
    pub severity: Severity,
    /// Breached above it.
    pub above: Option<Limit>,
    /// Breached below it.
    pub below: Option<Limit>,
    /// How long the bound must be crossed before it counts.
    pub hold: Span,
}

/// One side of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Where a breach begins. Strict: a reading on the bound is no breach.
    pub bound: Bound,
    /// Where a breach ends: a reading here, or further on the good side.
    pub clear: Bound,
}

/// What happens when no data comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoData {
    /// Time without data before it is said.
    pub after: Span,
    /// Severity of the alert.
    pub severity: Severity,
}

impl Default for NoData {
    fn default() -> Self {
        Self { after: Span::minutes(15), severity: Severity::Warning }
    }
}

/// Reads the thresholds of a policy: those that can be read, and everything that is wrong, in the order of the spec.
#[must_use]
pub fn read(spec: &PerformancePolicySpec) -> (Arc<[Threshold]>, Vec<Invalid>) {
    let mut wrong = Vec::new();
    let common = common(spec);
    let parsed: Arc<[Threshold]> =
        spec.thresholds.iter().filter_map(|threshold| Parser::new(threshold, &mut wrong).parse(&common)).collect();
    for (index, threshold) in spec.thresholds.iter().enumerate() {
        if spec.thresholds.iter().take(index).any(|earlier| earlier.name == threshold.name) {
            Parser::new(threshold, &mut wrong).refuse("", "is listed twice");
        }
        let known = |name: &String| {
            *name != threshold.name
                && (spec.thresholds.iter().any(|other| other.name == *name)
                    || spec.patterns.iter().any(|pattern| pattern.name == *name))
        };
        for (number, hint) in threshold.hints.iter().enumerate() {
            let mut parser = Parser::new(threshold, &mut wrong);
            let at = format!("hints[{number}].when");
            if hint.when.is_empty() {
                parser.refuse(&at, "must name another threshold or a pattern");
            }
            for name in hint.when.iter().filter(|name| !known(name)) {
                parser.refuse(&at, format!("must name other thresholds or patterns, not {}", Excerpt::new(name)));
            }
        }
    }
    (parsed, wrong)
}

/// Parses the thresholds of a policy.
///
/// # Errors
/// Everything that is wrong with them, in the order of the spec.
pub fn parse(spec: &PerformancePolicySpec) -> Result<Arc<[Threshold]>, Vec<Invalid>> {
    let (parsed, wrong) = read(spec);
    if wrong.is_empty() { Ok(parsed) } else { Err(wrong) }
}

/// Parses one threshold; `common` are the labels of [`common`].
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn parse_one(threshold: &wire::Threshold, common: &Labels) -> Result<Threshold, Vec<Invalid>> {
    let mut wrong = Vec::new();
    let parsed = Parser::new(threshold, &mut wrong).parse(common);
    parsed.filter(|_| wrong.is_empty()).ok_or(wrong)
}

/// Labels that every series of a policy carries.
pub(super) fn common(spec: &PerformancePolicySpec) -> Labels {
    spec.metrics.as_ref().map(|metrics| metrics.labels.clone()).unwrap_or_default()
}

/// A span of at most 30 days, to the millisecond.
///
/// # Errors
/// What is wrong with the text, continuing its path.
pub(super) fn span(text: &str) -> Result<Span, String> {
    span_up_to(text, MAX_SPAN, "30d")
}

/// A span of at most 90 days.
fn long_span(text: &str) -> Result<Span, String> {
    span_up_to(text, Slo::LONGEST, "90d")
}

fn span_up_to(text: &str, longest: Span, name: &str) -> Result<Span, String> {
    let value = Value::parse(ValueType::Duration, text).map_err(|error| error.to_string())?;
    let millis = value.amount().and_then(|seconds| seconds.checked_mul(Decimal::from_int(1000)));
    let millis = millis.and_then(Decimal::to_i64).filter(|millis| (0..=longest.as_millis()).contains(millis));
    millis.map(Span::millis).ok_or_else(|| format!("must be whole milliseconds and ≤ {name}, not {value}"))
}

/// Label values by label.
pub(super) type Labels = BTreeMap<String, String>;

/// What a policy names to be read.
#[derive(Clone, Copy)]
enum Source<'a> {
    Metric(MetricKind, &'a str),
    Ratio(&'a wire::Ratio),
    Builtin(wire::Builtin),
    Query(&'a str),
}

/// Most observations that a window can be asked to have.
const MAX_SAMPLES: u32 = 1_000_000_000;
/// Most labels whose values are judged apart.
const MAX_BY: usize = 2;
/// Labels that queries need themselves.
const QUERY_LABELS: [&str; 4] = ["__name__", "le", WORKLOAD_LABEL, PART_LABEL];

/// Reads one threshold and collects what is wrong with it.
pub(super) struct Parser<'a> {
    threshold: &'a wire::Threshold,
    /// The list that it stands in.
    list: &'static str,
    /// The unit of what is compared, where it is another one than that of the samples.
    compared: Option<MetricUnit>,
    wrong: &'a mut Vec<Invalid>,
}

impl<'a> Parser<'a> {
    fn new(threshold: &'a wire::Threshold, wrong: &'a mut Vec<Invalid>) -> Self {
        Self { threshold, list: "thresholds", compared: None, wrong }
    }

    /// For a pattern that was put as a threshold.
    pub(super) fn of_pattern(
        threshold: &'a wire::Threshold,
        compared: Option<MetricUnit>,
        wrong: &'a mut Vec<Invalid>,
    ) -> Self {
        Self { threshold, list: "patterns", compared, wrong }
    }

    pub(super) fn refuse(&mut self, member: &str, message: impl Into<String>) {
        self.refuse_for(Reason::InvalidSpec, member, message.into());
    }

    fn refuse_for(&mut self, reason: Reason, member: &str, message: String) {
        let separator = if member.is_empty() { "" } else { "." };
        let path = format!("{}.{}{separator}{member}", self.list, self.threshold.name);
        self.wrong.push(Invalid { reason, path, message });
    }

    fn accept<T, E: ToString>(&mut self, member: &str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.refuse(member, error.to_string())).ok()
    }

    pub(super) fn parse(mut self, common: &Labels) -> Option<Threshold> {
        let no_data = self.no_data();
        let hysteresis = self.hysteresis();
        let (metric, derived) = self.metric(common)?;
        let unit = match self.threshold.metric.unit.map(|unit| MetricUnit::from_name(unit.as_str())) {
            Some(Some(unit)) => unit,
            Some(None) => {
                self.refuse("metric.unit", "is not a unit that Trimtab knows");
                return None;
            }
            None => derived,
        };
        let signed =
            matches!(&metric, Metric::Series { measure, course, .. } if measure.is_signed() || course.is_some());
        let unit = if signed { unit.signed() } else { unit };
        let unit = self.compared.unwrap_or(unit);
        let min_samples = match &metric {
            Metric::Series { measure, course: None, .. } if measure.is_countable() => {
                self.threshold.metric.min_samples.unwrap_or_else(|| measure.least_samples())
            }
            Metric::Series { .. } | Metric::Free(_) => 0,
        };
        let mut levels = Vec::new();
        for level in &self.threshold.levels {
            if let Some(level) = self.level(level, unit, hysteresis?) {
                levels.push(level);
            }
        }
        levels.sort_by_key(|level| std::cmp::Reverse(level.severity));
        let slo = self.slo(&metric, &levels);
        if let Some([twice, _]) = levels.array_windows().find(|[a, b]| a.severity == b.severity) {
            self.refuse(&format!("levels.{}", word(twice.severity)), "is listed twice");
        }
        Some(Threshold {
            name: self.threshold.name.as_str().into(),
            metric,
            unit,
            levels,
            no_data: no_data?,
            advice: self.threshold.advice.as_deref().map(Into::into),
            hints: self.threshold.hints.iter().map(Hint::from).collect(),
            min_samples,
            pattern: None,
            slo,
        })
    }

    /// What is read, and the unit that follows from it.
    fn metric(&mut self, common: &Labels) -> Option<(Metric, MetricUnit)> {
        let wire::Metric { histogram, summary, counter, gauge, ratio, builtin, query, window, .. } =
            &self.threshold.metric;
        let named = [
            histogram.as_deref().map(|name| Source::Metric(MetricKind::Histogram, name)),
            summary.as_deref().map(|name| Source::Metric(MetricKind::Summary, name)),
            counter.as_deref().map(|name| Source::Metric(MetricKind::Counter, name)),
            gauge.as_deref().map(|name| Source::Metric(MetricKind::Gauge, name)),
            ratio.as_ref().map(Source::Ratio),
            builtin.map(Source::Builtin),
            query.as_deref().map(Source::Query),
        ];
        let mut named = named.into_iter().flatten();
        let (Some(source), None) = (named.next(), named.next()) else {
            self.refuse(
                "metric",
                "must have exactly one of histogram, summary, counter, gauge, ratio, builtin and query",
            );
            return None;
        };
        if let Source::Query(text) = source {
            let own =
                wire::Metric { query: query.clone(), unit: self.threshold.metric.unit, ..wire::Metric::default() };
            if self.threshold.metric != own {
                let message = "has a query, which says everything itself: leave out labels, matching, statistic, by, \
                               across, window, minSamples and heartbeat";
                self.refuse("metric", message);
            }
            let query = self.accept("metric.query", FreeQuery::new(text))?;
            return Some((Metric::Free(query), MetricUnit::of_values("")));
        }
        let measure = self.measure(source, common);
        let by = self.by(source);
        let is_trend = self.threshold.metric.statistic.as_deref() == Some("trend");
        let default = if is_trend { DEFAULT_TREND } else { Window::DEFAULT };
        let window = window.as_deref().map_or(Ok(default), Window::parse);
        let window = self.accept("metric.window", window);
        let heartbeat = self.heartbeat(common);
        let (measure, by, window) = (self.joined(measure?)?.with_heartbeat(heartbeat?), by?, window?);
        let (window, course) = if is_trend { self.course(window)? } else { (window, None) };
        let unit = if is_trend { MetricUnit::base_unit(BaseUnit::Ratio).signed() } else { measure.unit() };
        let least = self.threshold.metric.min_samples.unwrap_or_else(|| measure.least_samples());
        // A trend has points, and each of them speaks for itself.
        let counted = measure.is_countable() && least > 0 && !is_trend;
        Some((Metric::Series { measure, window, by, counted, course }, unit))
    }

    /// The points of a trend over a window, and how often it is asked for.
    fn course(&mut self, whole: Window) -> Option<(Window, Option<Course>)> {
        if self.threshold.metric.min_samples.is_some() {
            self.refuse("metric.minSamples", "is not for a trend, which needs ten points: leave it out");
            return None;
        }
        let timed = trend_points(whole);
        if timed.is_none() {
            self.refuse("metric.window", "must be ≥ 24s for a trend, which has 24 points of at least a second");
        }
        timed.map(|(point, points)| (point, Some(Course { points, every: pace(whole) })))
    }

    /// What tells that the application is there. `None`: refused. `Some(None)`: not set.
    #[expect(clippy::option_option, reason = "a refused heartbeat and an omitted one are different things")]
    fn heartbeat(&mut self, common: &Labels) -> Option<Option<Selector>> {
        let wire::Metric { counter, ratio, by, statistic, heartbeat, .. } = &self.threshold.metric;
        let Some(term) = heartbeat else { return Some(None) };
        let of_counters = ratio.as_ref().is_some_and(|ratio| ratio.numerator.counter.is_some());
        let fits = counter.is_some() && by.is_empty() && statistic.as_deref() != Some("trend");
        if !(fits || of_counters) {
            let message =
                "is for the rate or increase of a counter without by, and for a ratio of counters: leave it out";
            self.refuse("metric.heartbeat", message);
            return None;
        }
        let (field, name) = match (&term.counter, &term.gauge) {
            (Some(name), None) => ("counter", name),
            (None, Some(name)) => ("gauge", name),
            _ => {
                self.refuse("metric.heartbeat", "must have exactly one of counter and gauge");
                return None;
            }
        };
        // The labels of the metric are what it may lack.
        let (labels, matching) = ([common, &term.labels], [&term.matching]);
        let at = format!("metric.heartbeat.{field}");
        self.selector(&at, "metric.heartbeat", name, &labels, &matching).map(Some)
    }

    /// How pods are joined, and which series count.
    fn joined(&mut self, measure: Measure) -> Option<Measure> {
        let wire::Metric { histogram, summary, counter, gauge, ratio, builtin, statistic, across, min_samples, .. } =
            &self.threshold.metric;
        let statistic = statistic.as_deref().and_then(|statistic| Statistic::parse(statistic).ok());
        let added_up = matches!(statistic, Some(Statistic::Rate | Statistic::Increase));
        let exported = summary.is_some() && matches!(statistic, Some(Statistic::Quantile(_)));
        let added_up = (histogram.is_some() || summary.is_some()) && added_up;
        if across.is_some() && counter.is_none() && gauge.is_none() && !added_up && !exported {
            let message = "joins the pods of a counter or a gauge, the rate or increase of a histogram, and percentiles of a \
                           summary: leave it out";
            self.refuse("metric.across", message);
            return None;
        }
        let of_gauges = ratio.as_ref().is_some_and(|ratio| ratio.numerator.gauge.is_some());
        if min_samples.is_some() && (builtin.is_some() || of_gauges) {
            let message = "is for what can be counted, and not for a builtin or a ratio of gauges: leave it out";
            self.refuse("metric.minSamples", message);
            return None;
        }
        if let Some(least) = min_samples.filter(|least| *least > MAX_SAMPLES) {
            self.refuse("metric.minSamples", format!("must be ≤ {MAX_SAMPLES}, not {least}"));
            return None;
        }
        let mut measure = measure;
        let levels = &self.threshold.levels;
        let sides =
            (levels.iter().any(|level| level.above.is_some()), levels.iter().any(|level| level.below.is_some()));
        let kind = if summary.is_some() { MetricKind::Summary } else { MetricKind::Gauge };
        let of_one_pod = statistic.filter(|statistic| (gauge.is_some() || exported) && statistic.is_of_one_pod(kind));
        match (across, of_one_pod, sides) {
            (Some(across), ..) => measure = measure.across(joining(*across)),
            (None, Some(statistic), (true, true)) => {
                let message = format!(
                    "must be named where levels are above and below: {statistic} is that of one pod, where it is largest \
                     (Max) or smallest (Min)"
                );
                self.refuse("metric.across", message);
                return None;
            }
            (None, Some(_), (false, true)) => measure = measure.across(Across::Min),
            (None, ..) => {}
        }
        Some(match min_samples {
            Some(0) => measure.of_series_with(Least::Any),
            Some(least) => measure.of_series_with(Least::Samples(*least)),
            None => measure,
        })
    }

    /// What is computed, and of which series.
    fn measure(&mut self, source: Source<'_>, common: &Labels) -> Option<Measure> {
        let wire::Metric { labels, matching, statistic, unit, .. } = &self.threshold.metric;
        let own = [common, labels];
        let message = match (source, unit) {
            (Source::Builtin(_), Some(_)) => Some("is not for a builtin, which has one of its own: leave it out"),
            (Source::Ratio(_), Some(wire::MetricUnit::Percent)) => {
                Some("must not be percent: what is divided is a share already, whatever its terms count in")
            }
            (Source::Metric(..), Some(unit)) if matches!(statistic.as_deref(), Some("cv" | "trend")) => (*unit
                != wire::MetricUnit::Ratio)
                .then_some("must be left out or ratio: cv and trend are shares, whatever the metric counts in"),
            _ => None,
        };
        if let Some(message) = message {
            self.refuse("metric.unit", message);
            return None;
        }
        if !matches!(source, Source::Metric(..)) && statistic.is_some() {
            self.refuse("metric.statistic", "is for a histogram, a counter or a gauge: leave it out");
            return None;
        }
        match source {
            Source::Metric(MetricKind::Summary, _) if labels.contains_key("quantile") => {
                self.refuse("metric.labels", "must not select quantile: statistic says which percentile is read");
                None
            }
            Source::Metric(kind, name) => {
                let selector = self.selector(&format!("metric.{kind}"), "metric", name, &own, &[matching]);
                let statistic = self.accept("metric.statistic", Statistic::of(kind, statistic.as_deref()));
                self.accept("metric.statistic", Measure::statistic(selector?, kind, statistic?))
            }
            Source::Ratio(ratio) => {
                let above = self.term("metric.ratio.numerator", &ratio.numerator, &own);
                let below = self.term("metric.ratio.denominator", &ratio.denominator, &own);
                let ((above_of, above), (below_of, below)) = (above?, below?);
                if above_of != below_of {
                    self.refuse("metric.ratio", "must be of two counters or of two gauges");
                    return None;
                }
                Some(Measure::ratio(above_of, above, below))
            }
            Source::Builtin(word) => {
                let Some(builtin) = Builtin::from_name(word.as_str()) else {
                    self.refuse("metric.builtin", "is none that Trimtab knows");
                    return None;
                };
                // Those of the policy are on the series of the application, and not on those of the cluster.
                let measure = Measure::builtin(builtin, labels.clone(), matching.clone());
                self.accept("metric.labels", measure)
            }
            Source::Query(_) => None,
        }
    }

    /// One side of a ratio.
    fn term(&mut self, at: &str, term: &wire::RatioTerm, common: &[&Labels]) -> Option<(RatioOf, Selector)> {
        let (of, field, name) = match (&term.counter, &term.gauge) {
            (Some(name), None) => (RatioOf::Counters, "counter", name),
            (None, Some(name)) => (RatioOf::Gauges, "gauge", name),
            _ => {
                self.refuse(at, "must have exactly one of counter and gauge");
                return None;
            }
        };
        let labels: Vec<&Labels> = common.iter().copied().chain([&term.labels]).collect();
        let matching = [&self.threshold.metric.matching, &term.matching];
        let selector = self.selector(&format!("{at}.{field}"), at, name, &labels, &matching)?;
        Some((of, selector))
    }

    /// Series of that name with all these labels, of which later ones win.
    fn selector(
        &mut self,
        at: &str,
        term_at: &str,
        name: &str,
        labels: &[&Labels],
        matching: &[&Labels],
    ) -> Option<Selector> {
        let all = |labels: &[&Labels]| -> Labels {
            labels.iter().flat_map(|labels| labels.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
        };
        let selector = Selector::new(name, all(labels));
        let member = match &selector {
            Err(SelectorError::Metric(_)) | Ok(_) => at,
            Err(SelectorError::Label(_) | SelectorError::Reserved(_)) => &format!("{term_at}.labels"),
        };
        let selector = self.accept(member, selector)?;
        self.accept(&format!("{term_at}.matching"), selector.matching(all(matching)))
    }

    /// Labels whose values are judged apart.
    fn by(&mut self, source: Source<'_>) -> Option<Box<[String]>> {
        let by = &self.threshold.metric.by;
        let before = self.wrong.len();
        if by.len() > MAX_BY {
            self.refuse("metric.by", format!("must have at most {MAX_BY} labels, not {}", by.len()));
        }
        for (index, label) in by.iter().enumerate() {
            if by.iter().take(index).any(|earlier| earlier == label) {
                self.refuse("metric.by", format!("lists {} twice", Excerpt::new(label)));
            }
            let ours = ALERT_LABELS.contains(&label.as_str()) || QUERY_LABELS.contains(&label.as_str());
            if !is_plain_label(label) || ours {
                let message =
                    format!("must be labels that an alert can carry beside its own, not {}", Excerpt::new(label));
                self.refuse("metric.by", message);
            }
            let Source::Builtin(word) = source else { continue };
            let part = Builtin::from_name(word.as_str()).and_then(Builtin::part);
            if label != "pod" && Some(label.as_str()) != part {
                let known = part.map_or_else(|| "pod".to_owned(), |part| format!("pod or {part}"));
                self.refuse("metric.by", format!("must be {known} for {}, not {}", word.as_str(), Excerpt::new(label)));
            }
        }
        (self.wrong.len() == before).then(|| by.clone().into())
    }

    fn level(&mut self, level: &wire::Level, unit: MetricUnit, hysteresis: Hysteresis) -> Option<Level> {
        let at = |member: &str| format!("levels.{}.{member}", word(level.severity));
        let hold = match &level.hold {
            None => Some(Span::ZERO),
            Some(text) => self.span(&at("for"), text),
        };
        let above = self.bound(&at("above"), level.above.as_ref(), unit);
        let below = self.bound(&at("below"), level.below.as_ref(), unit);
        let (hold, above, below) = (hold?, above?, below?);
        let limits = match (above, below) {
            (None, None) => {
                self.refuse(&format!("levels.{}", word(level.severity)), "must have at least one of above and below");
                return None;
            }
            (Some(above), Some(below)) if above.value() <= below.value() => {
                let message =
                    format!("must be > below ({below}), not {above}: both make a band that is breached outside of it");
                self.refuse_for(Reason::BoundsInverted, &at("above"), message);
                return None;
            }
            (Some(above), Some(below)) => {
                // In a narrow band the release of one side could lie beyond the other, and no reading would ever end a
                // breach. Half of the band is as far as a reading has to come back.
                let middle = middle(above, below);
                let clear_above = later(above.clear_above(hysteresis), middle);
                let clear_below = earlier(below.clear_below(hysteresis), middle);
                (Some(Limit { bound: above, clear: clear_above }), Some(Limit { bound: below, clear: clear_below }))
            }
            (above, below) => (
                above.map(|bound| Limit { bound, clear: bound.clear_above(hysteresis) }),
                below.map(|bound| Limit { bound, clear: bound.clear_below(hysteresis) }),
            ),
        };
        Some(Level { severity: level.severity, above: limits.0, below: limits.1, hold })
    }

    /// `None`: refused. `Some(None)`: not set.
    #[expect(clippy::option_option, reason = "a refused bound and an omitted one are different things")]
    fn bound(&mut self, member: &str, literal: Option<&Literal>, unit: MetricUnit) -> Option<Option<Bound>> {
        let Some(literal) = literal else { return Some(None) };
        let text = literal.to_string();
        if text.starts_with('=') {
            self.refuse(member, "must be a literal such as 200ms: formulas are for knobs");
            return None;
        }
        self.accept(member, Bound::parse(&text, unit)).map(Some)
    }

    fn hysteresis(&mut self) -> Option<Hysteresis> {
        let Some(text) = &self.threshold.hysteresis else { return Some(Hysteresis::DEFAULT) };
        let share = Value::parse(ValueType::Ratio, text).ok().and_then(|value| value.amount());
        let hysteresis = share.and_then(Hysteresis::new);
        if hysteresis.is_none() {
            self.refuse("hysteresis", format!("must be a percentage from 0% to below 100%, not \"{text}\""));
        }
        hysteresis
    }

    fn slo(&mut self, metric: &Metric, levels: &[Level]) -> Option<Slo> {
        let slo = self.threshold.slo.as_ref()?;
        if !matches!(metric, Metric::Series { measure, .. } if measure.is_share_of_events()) {
            self.refuse("slo", "is for a ratio of counters, whose events it counts: leave it out");
            return None;
        }
        let above = levels.iter().any(|level| level.above.is_some());
        let below = levels.iter().any(|level| level.below.is_some());
        if above == below {
            let message = "needs levels that say which way is bad: above for a share of failures, below for one of \
                           successes, and not both";
            self.refuse("slo", message);
            return None;
        }
        if metric.by().iter().any(|label| label == "window") {
            self.refuse("slo", "is not for a ratio that keeps the label window apart, which its own alerts carry");
            return None;
        }
        let target = Value::parse(ValueType::Ratio, &slo.target).ok().and_then(|value| value.amount());
        let budget = target.and_then(|target| Decimal::ONE.checked_sub(target));
        let Some(budget) = budget.filter(|budget| *budget > Decimal::ZERO && *budget < Decimal::ONE) else {
            self.refuse("slo.target", format!("must be a percentage between 0% and 100%, not \"{}\"", slo.target));
            return None;
        };
        let period = match &slo.period {
            None => Slo::PERIOD,
            Some(text) => self.accept("slo.period", long_span(text))?,
        };
        if !(Slo::SHORTEST..=Slo::LONGEST).contains(&period) {
            self.refuse("slo.period", "must be from 7d to 90d");
            return None;
        }
        Some(Slo { budget, period, of_good: below })
    }

    fn no_data(&mut self) -> Option<NoData> {
        let default = NoData::default();
        let Some(no_data) = &self.threshold.no_data else { return Some(default) };
        let after = match &no_data.after {
            None => default.after,
            Some(text) => self.span("noData.after", text)?,
        };
        if after == Span::ZERO {
            self.refuse("noData.after", "must be > 0s");
            return None;
        }
        Some(NoData { after, severity: no_data.severity.unwrap_or(default.severity) })
    }

    fn span(&mut self, member: &str, text: &str) -> Option<Span> {
        self.accept(member, span(text))
    }
}

/// Longest `for`, `noData.after` and `dwell`.
const MAX_SPAN: Span = Span::hours(30 * 24);

/// Time over which a trend is looked for when the policy does not say.
const DEFAULT_TREND: Window = Window::of_seconds(6 * 3600);
/// Points of a trend, unless they are days.
const TREND_POINTS: u64 = 24;
const DAY: u64 = 86_400_000;
/// How often something is asked for in its window, where that need not be at every sweep.
const ASKED_PER_WINDOW: u64 = 96;
/// Longest time between two askings.
const MAX_APART: Span = Span::minutes(15);

/// The window of each point of a trend, and how many they are; `None` where they would be too short.
///
/// Whole days, if there are enough of them, because most things go up and down once a day.
pub(super) fn trend_points(whole: Window) -> Option<(Window, u16)> {
    let whole = whole.millis();
    let enough = u64::try_from(MIN_TREND_POINTS).unwrap_or(u64::MAX);
    let point = if whole >= enough.saturating_mul(DAY) { DAY } else { whole / TREND_POINTS };
    (point >= 1000).then(|| (Window::of_millis(point), u16::try_from(whole / point).unwrap_or(u16::MAX)))
}

/// Time between two askings for what is told of a long window.
pub(super) fn pace(whole: Window) -> Span {
    i64::try_from(whole.millis() / ASKED_PER_WINDOW).map_or(MAX_APART, Span::millis).min(MAX_APART)
}

/// The severity's name in the API.
#[must_use]
pub const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

impl From<&wire::Hint> for Hint {
    fn from(hint: &wire::Hint) -> Self {
        Self { when: hint.when.iter().map(|name| name.as_str().into()).collect(), advice: hint.advice.as_str().into() }
    }
}

const fn joining(across: wire::Across) -> Across {
    match across {
        wire::Across::Sum => Across::Sum,
        wire::Across::Max => Across::Max,
        wire::Across::Min => Across::Min,
        wire::Across::Avg => Across::Avg,
    }
}

fn middle(above: Bound, below: Bound) -> Option<Bound> {
    let sum = above.value().checked_add(below.value())?;
    sum.checked_mul(Decimal::from_nanos(500_000_000)).map(|value| Bound::new(value, above.unit()))
}

fn later(bound: Bound, other: Option<Bound>) -> Bound {
    other.filter(|other| other.value() > bound.value()).unwrap_or(bound)
}

fn earlier(bound: Bound, other: Option<Bound>) -> Bound {
    other.filter(|other| other.value() < bound.value()).unwrap_or(bound)
}

#[cfg(test)]
mod tests;
