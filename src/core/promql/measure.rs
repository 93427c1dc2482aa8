//! What is computed, and of which series.

use std::collections::BTreeMap;

use super::{
    Across, Builtin, Least, MetricKind, Percentile, Selector, SelectorError, Statistic, StatisticError, check::Checked,
    frame::Frame, statistic::LEAST_OF_A_SHARE,
};
use crate::{
    api::conditions::Reason,
    core::units::{BaseUnit, MetricUnit},
};

/// The label under which a value stands that pods tell.
pub const VALUE_LABEL: &str = "trimtab_value";

/// What is computed, and of which series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Measure(Kind);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// A statistic of one metric.
    Statistic {
        selector: Selector,
        kind: MetricKind,
        statistic: Statistic,
        across: Option<Across>,
        least: Least,
        /// Of a histogram: whether it may be a native one.
        native: bool,
        /// What tells that the application is there, although the metric is not.
        heartbeat: Option<Selector>,
    },
    /// One metric as a share of another.
    Ratio { of: RatioOf, numerator: Selector, denominator: Selector, heartbeat: Option<Selector> },
    /// What the cluster's own exporters say of pods.
    Builtin { builtin: Builtin, selector: Selector },
    /// What every pod tells, one value for all of its series or several.
    Told { selector: Selector },
    /// What tells whether readings can be trusted.
    Check(Checked),
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
        let least = if statistic.is_of_change() { Least::HalfWindow } else { Least::Any };
        let statistic = statistic.check(kind)?;
        // A trend is one of means, or of the rates of a counter.
        let statistic = match (statistic, kind) {
            (Statistic::Trend, MetricKind::Counter) => Statistic::Rate,
            (Statistic::Trend, _) => Statistic::Mean,
            (statistic, _) => statistic,
        };
        let (across, native, heartbeat) = (None, false, None);
        Ok(Self(Kind::Statistic { selector, kind, statistic, across, least, native, heartbeat }))
    }

    /// The same of a histogram that may be a native one: where it is, that is read, else its classic buckets. Not every backend
    /// can be asked so.
    #[must_use]
    pub fn may_be_native(mut self, may_be: bool) -> Self {
        if let Kind::Statistic { kind: MetricKind::Histogram, native, .. } = &mut self.0 {
            *native = may_be;
        }
        self
    }

    /// The same of a counter, or of a ratio of counters, whose absence is zero while these series are there; while they are not,
    /// nothing is read at all. Of anything else it changes nothing.
    #[must_use]
    pub fn with_heartbeat(mut self, selector: Option<Selector>) -> Self {
        match &mut self.0 {
            Kind::Statistic { kind: MetricKind::Counter, heartbeat, .. }
            | Kind::Ratio { of: RatioOf::Counters, heartbeat, .. } => *heartbeat = selector,
            Kind::Statistic { .. } | Kind::Ratio { .. } | Kind::Builtin { .. } | Kind::Told { .. } | Kind::Check(_) => {
            }
        }
        self
    }

    /// What is to be known to trust its readings.
    pub(super) fn checks(&self) -> Option<Checked> {
        let edges = |selector: &Selector, label| Some(Checked::Edges { selector: selector.clone(), label });
        match &self.0 {
            Kind::Statistic { selector, kind: MetricKind::Histogram, statistic: Statistic::Quantile(_), .. } => {
                edges(selector, "le")
            }
            Kind::Statistic { selector, kind: MetricKind::Summary, statistic: Statistic::Quantile(_), .. } => {
                edges(selector, "quantile")
            }
            Kind::Statistic { selector, kind: MetricKind::Counter, .. } => {
                Some(Checked::Resets(selector.clone(), None))
            }
            Kind::Ratio { of: RatioOf::Counters, numerator, denominator, .. } => {
                let other = Some(numerator.clone()).filter(|numerator| numerator.name() != denominator.name());
                Some(Checked::Resets(denominator.clone(), other))
            }
            Kind::Statistic { .. } | Kind::Ratio { .. } | Kind::Builtin { .. } | Kind::Told { .. } | Kind::Check(_) => {
                None
            }
        }
    }

    /// Whether it reads counters that may go back.
    #[must_use]
    pub fn may_reset(&self) -> bool {
        matches!(self.checks(), Some(Checked::Resets(..)))
    }

    /// The measure that finds that out.
    pub(super) const fn check(checked: Checked) -> Self {
        Self(Kind::Check(checked))
    }

    /// What it checks, if it does.
    pub(super) const fn checked(&self) -> Option<&Checked> {
        match &self.0 {
            Kind::Check(checked) => Some(checked),
            Kind::Statistic { .. } | Kind::Ratio { .. } | Kind::Builtin { .. } | Kind::Told { .. } => None,
        }
    }

    /// Whether its readings are shares of what was counted, so that the number of it says how certain they are.
    #[must_use]
    pub const fn is_share_of_events(&self) -> bool {
        matches!(self.0, Kind::Ratio { of: RatioOf::Counters, .. })
    }

    /// The percentile that a summary must export.
    #[must_use]
    pub const fn exported_percentile(&self) -> Option<Percentile> {
        match &self.0 {
            Kind::Statistic { kind: MetricKind::Summary, statistic: Statistic::Quantile(percentile), .. } => {
                Some(*percentile)
            }
            _ => None,
        }
    }

    /// The same with pods joined so; of what has its own way, it changes nothing.
    #[must_use]
    pub fn across(mut self, pods: Across) -> Self {
        if let Kind::Statistic { across, .. } = &mut self.0 {
            *across = Some(pods);
        }
        self
    }

    /// The same of such series only; of a gauge alone, because all others have observations to count.
    #[must_use]
    pub fn of_series_with(mut self, samples: Least) -> Self {
        if let Kind::Statistic { kind: MetricKind::Gauge, least, .. } = &mut self.0 {
            *least = samples;
        }
        self
    }

    /// How many observations a window must have when the policy does not say.
    #[must_use]
    pub fn least_samples(&self) -> u32 {
        match &self.0 {
            Kind::Statistic { kind, statistic, .. } => statistic.least_samples(*kind),
            Kind::Ratio { of: RatioOf::Counters, .. } => LEAST_OF_A_SHARE,
            Kind::Ratio { of: RatioOf::Gauges, .. } | Kind::Builtin { .. } | Kind::Told { .. } | Kind::Check(_) => 0,
        }
    }

    /// Whether it has observations that can be counted.
    #[must_use]
    pub const fn is_countable(&self) -> bool {
        matches!(
            self.0,
            Kind::Statistic { kind: MetricKind::Histogram | MetricKind::Summary | MetricKind::Counter, .. }
                | Kind::Ratio { of: RatioOf::Counters, .. }
        )
    }

    /// Whether there may be series and no reading, because none of them is old enough.
    #[must_use]
    pub(super) fn may_be_young(&self) -> bool {
        match &self.0 {
            Kind::Statistic { kind: MetricKind::Gauge, least, .. } => *least != Least::Any,
            Kind::Builtin { builtin: Builtin::StartupTime, .. } => true,
            Kind::Statistic { .. } | Kind::Ratio { .. } | Kind::Builtin { .. } | Kind::Told { .. } | Kind::Check(_) => {
                false
            }
        }
    }

    /// A ratio: both metrics summed over the pods, and then divided.
    #[must_use]
    pub const fn ratio(of: RatioOf, numerator: Selector, denominator: Selector) -> Self {
        Self(Kind::Ratio { of, numerator, denominator, heartbeat: None })
    }

    /// A builtin, of the series with these label values, exact ones and regular expressions.
    ///
    /// # Errors
    /// When a label cannot be selected.
    pub fn builtin(
        builtin: Builtin,
        labels: BTreeMap<String, String>,
        matching: BTreeMap<String, String>,
    ) -> Result<Self, SelectorError> {
        Ok(Self(Kind::Builtin { builtin, selector: Selector::new(builtin.series(), labels)?.matching(matching)? }))
    }

    /// The values of a gauge, each with the pod that tells it: nothing is computed of them.
    #[must_use]
    pub const fn told(selector: Selector) -> Self {
        Self(Kind::Told { selector })
    }

    /// Whether it tells the values of pods.
    #[must_use]
    pub(super) const fn is_told(&self) -> bool {
        matches!(self.0, Kind::Told { .. })
    }

    /// Whether its series are those of the cluster's own exporters, which tell pods and no workloads.
    #[must_use]
    pub const fn is_builtin(&self) -> bool {
        matches!(self.0, Kind::Builtin { .. })
    }

    /// Whether it gets worse while pods start, however well they run then: what restarts, how long a start takes, how much of
    /// its CPU it wants, and how long requests take that meet cold caches. `unit`: of the samples. What fails (ratios), what is
    /// missing (rates), and what the values themselves decide about (memory, gauges) is no matter of the start.
    #[must_use]
    pub const fn suffers_from_starts(&self, unit: BaseUnit) -> bool {
        match &self.0 {
            Kind::Builtin { builtin, .. } => {
                matches!(builtin, Builtin::Restarts | Builtin::StartupTime | Builtin::CpuThrottled)
            }
            Kind::Statistic { kind, .. } => matches!(kind, MetricKind::Histogram) && matches!(unit, BaseUnit::Seconds),
            Kind::Ratio { .. } | Kind::Told { .. } | Kind::Check(_) => false,
        }
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
            Kind::Statistic { selector, kind, statistic, .. } => statistic.unit(*kind, selector.name()),
            Kind::Ratio { .. } => MetricUnit::base_unit(BaseUnit::Ratio),
            Kind::Builtin { builtin, .. } => builtin.unit(),
            Kind::Told { selector } => MetricUnit::of_values(selector.name()),
            Kind::Check(_) => MetricUnit::base_unit(BaseUnit::Count),
        }
    }

    /// What NaN says in its answers. Where it divides by what was observed, it is nothing divided by nothing: nothing
    /// happened in the window. Where it only passes on what was exported, the application said it.
    pub(super) const fn nan(&self) -> Reason {
        match &self.0 {
            Kind::Statistic {
                kind: MetricKind::Histogram | MetricKind::Summary,
                statistic: Statistic::Quantile(_) | Statistic::Mean,
                ..
            }
            | Kind::Statistic { statistic: Statistic::Cv, .. }
            | Kind::Ratio { .. }
            | Kind::Builtin { builtin: Builtin::CpuThrottled, .. } => Reason::TooFewSamples,
            Kind::Statistic { .. } | Kind::Builtin { .. } | Kind::Told { .. } | Kind::Check(_) => Reason::NotANumber,
        }
    }

    /// The query, answering one sample per group of `frame`.
    pub(super) fn expr(&self, frame: &Frame<'_>) -> String {
        match &self.0 {
            Kind::Statistic { selector, kind: MetricKind::Gauge, statistic, across, least, .. } => {
                gauge(frame, selector, *statistic, *across, *least)
            }
            Kind::Statistic {
                selector,
                kind: MetricKind::Summary,
                statistic: Statistic::Quantile(percentile),
                across,
                ..
            } => {
                // Percentiles of several pods make no percentile of all: it is that of the pod where it is largest.
                let own = format!("quantile=\"{}\"", percentile.quantile());
                let each = format!("avg_over_time({})", frame.range(selector, "", &own));
                frame.each(across.unwrap_or(Across::Max).function(), &each)
            }
            Kind::Statistic { selector, kind, statistic, across, native, heartbeat, .. } => {
                let classic = observed(frame, selector, *kind, *statistic, *across);
                let read = if *native {
                    format!("{} or {classic}", observed_natively(frame, selector, *statistic, *across))
                } else {
                    classic
                };
                match heartbeat {
                    None => read,
                    Some(heartbeat) => {
                        let alive = frame.whole("count", &frame.instant(heartbeat, "", ""));
                        format!("{read} and {alive} or {alive} * 0")
                    }
                }
            }
            Kind::Ratio { of, numerator, denominator, heartbeat } => {
                ratio_of(frame, *of, numerator, denominator, heartbeat.as_ref())
            }
            Kind::Check(checked) => checked.expr(frame),
            Kind::Builtin { builtin, selector } => builtin.expr(frame, selector),
            Kind::Told { selector } => told(frame, selector),
        }
    }

    /// A query for the number of observations that the readings are made of, per group of `frame`: of a gauge, samples of
    /// the series that has most of them.
    pub(super) fn count(&self, frame: &Frame<'_>) -> Option<String> {
        let over = |function: &str, selector: &Selector, suffix: &str| {
            format!("{function}({})", frame.range(selector, suffix, ""))
        };
        match &self.0 {
            Kind::Statistic {
                selector, kind: kind @ (MetricKind::Histogram | MetricKind::Summary), native, ..
            } => {
                let statistic = Statistic::Increase;
                let classic = observed(frame, selector, *kind, statistic, None);
                Some(if *native {
                    format!("{} or {classic}", observed_natively(frame, selector, statistic, None))
                } else {
                    classic
                })
            }
            Kind::Statistic { selector, kind: MetricKind::Counter, .. }
            | Kind::Ratio { of: RatioOf::Counters, denominator: selector, .. } => {
                Some(frame.each("sum", &over("increase", selector, "")))
            }
            Kind::Statistic { selector, kind: MetricKind::Gauge, .. } => {
                Some(frame.each("max", &over("count_over_time", selector, "")))
            }
            Kind::Builtin { builtin: Builtin::StartupTime, selector } => {
                Some(frame.each("max", &over("count_over_time", &selector.of("kube_pod_start_time"), "")))
            }
            Kind::Ratio { of: RatioOf::Gauges, .. } | Kind::Builtin { .. } | Kind::Told { .. } | Kind::Check(_) => None,
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
            Kind::Statistic { selector, kind: MetricKind::Histogram, native: true, .. } => {
                format!("{} or {}", newest(selector, ""), newest(selector, "_count"))
            }
            Kind::Statistic { selector, kind: MetricKind::Histogram | MetricKind::Summary, .. } => {
                newest(selector, "_count")
            }
            // What has not happened has no samples; then it is as fresh as the heartbeat.
            Kind::Statistic { selector, heartbeat: Some(heartbeat), .. } => {
                format!("{} or {}", newest(selector, ""), newest(heartbeat, ""))
            }
            Kind::Statistic { selector, .. } | Kind::Told { selector } => newest(selector, ""),
            Kind::Check(checked) => newest(checked.selector(), ""),
            Kind::Ratio { numerator, denominator, heartbeat, .. }
                if heartbeat.is_some() || numerator.name() == denominator.name() =>
            {
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

/// A statistic of a histogram or a counter.
fn observed(
    frame: &Frame<'_>,
    selector: &Selector,
    kind: MetricKind,
    statistic: Statistic,
    across: Option<Across>,
) -> String {
    let over = |function: &str, suffix: &str| format!("{function}({})", frame.range(selector, suffix, ""));
    let suffix = if kind.is_observed() { "_count" } else { "" };
    match statistic {
        Statistic::Quantile(percentile) => {
            // Buckets of all pods are added up first: a mean of percentiles is not a percentile.
            let buckets = frame.each_bucket("sum", &over("rate", "_bucket"));
            format!("histogram_quantile({},{buckets})", percentile.quantile())
        }
        Statistic::Mean => {
            format!("{} / {}", frame.each("sum", &over("rate", "_sum")), frame.each("sum", &over("rate", "_count")))
        }
        statistic => {
            let function = if statistic == Statistic::Increase { "increase" } else { "rate" };
            let each = over(function, suffix);
            match across {
                None | Some(Across::Sum) => frame.each("sum", &each),
                // A pod has a series for each value of its labels: together they are what it did.
                Some(across) => frame.each(across.function(), &frame.pods(&each)),
            }
        }
    }
}

/// A statistic of a native histogram, of which a series is a sample of all buckets at once. Functions of histograms leave out
/// series of plain numbers, so that this answers nothing where the histogram is a classic one.
fn observed_natively(frame: &Frame<'_>, selector: &Selector, statistic: Statistic, across: Option<Across>) -> String {
    let over = |function: &str| format!("{function}({})", frame.range(selector, "", ""));
    match statistic {
        Statistic::Quantile(percentile) => {
            format!("histogram_quantile({},{})", percentile.quantile(), frame.each("sum", &over("rate")))
        }
        Statistic::Mean => {
            let all = frame.each("sum", &over("rate"));
            format!("histogram_sum({all}) / histogram_count({all})")
        }
        statistic => {
            let function = if statistic == Statistic::Increase { "increase" } else { "rate" };
            let each = format!("histogram_count({})", over(function));
            match across {
                None | Some(Across::Sum) => frame.each("sum", &each),
                Some(across) => frame.each(across.function(), &frame.pods(&each)),
            }
        }
    }
}

/// A statistic of a gauge.
fn gauge(frame: &Frame<'_>, selector: &Selector, statistic: Statistic, across: Option<Across>, least: Least) -> String {
    let over = |function: &str| format!("{function}({})", frame.range(selector, "", ""));
    let (own, each) = match statistic {
        // What pods say by themselves does not add up: the most extreme one is one that was read.
        Statistic::Quantile(percentile) => {
            let range = frame.range(selector, "", "");
            (Across::Max, format!("quantile_over_time({},{range})", percentile.quantile()))
        }
        // Of each pod by itself: that pods differ from each other is no variation over time.
        Statistic::Cv => (Across::Max, format!("{} / abs({})", over("stddev_over_time"), over("avg_over_time"))),
        Statistic::Slope => (Across::Max, over("deriv")),
        Statistic::Max => (Across::Max, over("max_over_time")),
        Statistic::Min => (Across::Min, over("min_over_time")),
        Statistic::Rate | Statistic::Increase | Statistic::Mean | Statistic::Trend => {
            (Across::Avg, over("avg_over_time"))
        }
    };
    let each = match least {
        Least::Any => each,
        Least::HalfWindow => {
            format!("{each} and {} offset {}", frame.instant(selector, "", ""), frame.window.half())
        }
        Least::Samples(least) => format!("{each} and {} >= {least}", over("count_over_time")),
    };
    frame.each(across.unwrap_or(own).function(), &each)
}

/// The values that are told and how many series tell each. They are the newest samples: a pod that is gone tells nothing.
fn told(frame: &Frame<'_>, selector: &Selector) -> String {
    let by = frame.by.iter().map(String::as_str).filter(|label| *label != VALUE_LABEL);
    let labels = frame.attribution.labels(by);
    let series = frame.attribution.labelled(&frame.instant(selector, "", ""));
    format!("count_values by ({labels}) (\"{VALUE_LABEL}\",{series})")
}

fn ratio_of(
    frame: &Frame<'_>,
    of: RatioOf,
    numerator: &Selector,
    denominator: &Selector,
    heartbeat: Option<&Selector>,
) -> String {
    let function = match of {
        RatioOf::Counters => "rate",
        RatioOf::Gauges => "avg_over_time",
    };
    let range = |selector: &Selector, own: &str| format!("{function}({})", frame.range(selector, "", own));
    let sum = |selector: &Selector| frame.each("sum", &range(selector, ""));
    let (above, below) = (sum(numerator), sum(denominator));
    if let Some(heartbeat) = heartbeat {
        let labels = frame.attribution.labels([]);
        let alive = format!("on ({labels}) {}", frame.whole("count", &frame.instant(heartbeat, "", "")));
        return format!("({above} or {below} * 0) / {below} and {alive}");
    }
    // An application exports no counter of errors before its first error. That nothing of the kind has happened is only
    // known of one metric whose other series are there and have the labels: whatever is missing altogether may be misspelt.
    // Of two metrics it is known where the first one is there for another value of the labels that are kept apart.
    let known = if numerator.name() != denominator.name() {
        (!frame.by.is_empty()).then(|| range(numerator, ""))
    } else if of == RatioOf::Counters {
        Some(range(denominator, &denominator.having_labels_of(numerator)))
    } else {
        (!frame.by.is_empty()).then(|| range(numerator, ""))
    };
    match known {
        None => format!("{above} / {below}"),
        Some(known) => {
            let labels = frame.attribution.labels([]);
            format!("({above} or {below} * 0 and on ({labels}) {}) / {below}", frame.whole("count", &known))
        }
    }
}
