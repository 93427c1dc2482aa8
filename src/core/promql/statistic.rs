//! What is computed of a metric.

use std::fmt;

use crate::core::units::{BaseUnit, Decimal, Excerpt, MetricUnit, Value, ValueError, ValueType};

/// How a metric behaves, which decides what can be computed of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricKind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, and starts again at zero.
    Counter,
    /// Cumulative buckets `NAME_bucket`, with `NAME_sum` and `NAME_count`; or a native histogram `NAME`.
    Histogram,
    /// Percentiles `NAME{quantile}` that the application computes itself, with `NAME_sum` and `NAME_count`.
    Summary,
}

impl MetricKind {
    /// The field of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }

    /// Whether it holds observations, which can be counted.
    #[must_use]
    pub const fn is_observed(self) -> bool {
        matches!(self, Self::Histogram | Self::Summary)
    }

    /// The statistic when the policy names none; what was observed has no natural one.
    #[must_use]
    pub const fn default_statistic(self) -> Option<Statistic> {
        match self {
            Self::Gauge => Some(Statistic::Mean),
            Self::Counter => Some(Statistic::Rate),
            Self::Histogram | Self::Summary => None,
        }
    }

    const fn fits(self) -> &'static str {
        match self {
            Self::Gauge => "mean, max, min, cv, slope, trend or a percentile such as p95",
            Self::Counter => "rate, increase or trend",
            Self::Histogram => "mean, rate, increase, trend or a percentile such as p95",
            Self::Summary => "mean, rate, increase, trend or a percentile that it exports, such as p95",
        }
    }
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is computed over a window, for all pods of a workload together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statistic {
    /// Average.
    Mean,
    /// Largest value of any pod.
    Max,
    /// Smallest value of any pod.
    Min,
    /// Increase per second, summed over the pods.
    Rate,
    /// Increase over the window, summed over the pods.
    Increase,
    /// Coefficient of variation: the standard deviation over time as a share of the mean, of one pod.
    Cv,
    /// Change per second, by linear regression, of one pod.
    Slope,
    /// Change over the window as a share of its median (Theil–Sen), where it is more than chance (Mann–Kendall): of the mean,
    /// or of the rate of a counter.
    Trend,
    /// A percentile: of a histogram over all observations of all pods, of a gauge over time and of one pod, of a summary as one
    /// pod exports it.
    Quantile(Percentile),
}

impl Statistic {
    /// Reads `mean`, `max`, `min`, `rate`, `increase`, `cv`, `slope`, `trend`, `p95`, `p99.9`.
    pub fn parse(text: &str) -> Result<Self, StatisticError> {
        match text {
            "mean" => Ok(Self::Mean),
            "max" => Ok(Self::Max),
            "min" => Ok(Self::Min),
            "rate" => Ok(Self::Rate),
            "increase" => Ok(Self::Increase),
            "cv" => Ok(Self::Cv),
            "slope" => Ok(Self::Slope),
            "trend" => Ok(Self::Trend),
            _ => text
                .strip_prefix('p')
                .and_then(|digits| Percentile::new(Decimal::parse(digits).ok()?))
                .map(Self::Quantile)
                .ok_or_else(|| StatisticError::Unknown(Excerpt::new(text))),
        }
    }

    /// The statistic that the policy names, or the default of the kind; refused where it cannot be computed.
    pub fn of(kind: MetricKind, text: Option<&str>) -> Result<Self, StatisticError> {
        match text {
            None => kind.default_statistic().ok_or(StatisticError::Missing { kind, fits: kind.fits() }),
            Some(text) => Self::parse(text)?.check(kind),
        }
    }

    /// The statistic, if it can be computed of metrics of this kind.
    pub fn check(self, kind: MetricKind) -> Result<Self, StatisticError> {
        let fits = match kind {
            MetricKind::Gauge => !matches!(self, Self::Rate | Self::Increase),
            MetricKind::Counter => matches!(self, Self::Rate | Self::Increase | Self::Trend),
            MetricKind::Histogram | MetricKind::Summary => {
                matches!(self, Self::Mean | Self::Rate | Self::Increase | Self::Trend | Self::Quantile(_))
            }
        };
        if fits { Ok(self) } else { Err(StatisticError::Unfit { statistic: self, kind, fits: kind.fits() }) }
    }

    /// How many observations a window must have when the policy does not say. A percentile has ten beyond it, or it is that
    /// of a few requests; of a mean, one request in twenty may be an outlier. What is sampled at intervals, and what counts
    /// by itself, needs none.
    #[must_use]
    pub fn least_samples(self, kind: MetricKind) -> u32 {
        match (kind, self) {
            (MetricKind::Histogram | MetricKind::Summary, Self::Quantile(percentile)) => percentile.least_samples(),
            (MetricKind::Histogram | MetricKind::Summary, Self::Mean) => LEAST_OF_A_SHARE,
            _ => 0,
        }
    }

    /// Whether pods are not added up or averaged: the reading is that of the one where it is most extreme.
    #[must_use]
    pub const fn is_of_one_pod(self, kind: MetricKind) -> bool {
        matches!(
            (kind, self),
            (MetricKind::Gauge, Self::Cv | Self::Slope | Self::Quantile(_)) | (MetricKind::Summary, Self::Quantile(_))
        )
    }

    /// Whether series that are too young say something else than the others.
    #[must_use]
    pub const fn is_of_change(self) -> bool {
        matches!(self, Self::Cv | Self::Slope)
    }

    /// The unit of the readings, from the metric's name.
    #[must_use]
    pub fn unit(self, kind: MetricKind, metric: &str) -> MetricUnit {
        match (self, kind) {
            // Observations per second, whatever was observed.
            (Self::Rate, MetricKind::Histogram | MetricKind::Summary) => MetricUnit::base_unit(BaseUnit::PerSecond),
            (Self::Increase, MetricKind::Histogram | MetricKind::Summary) => MetricUnit::base_unit(BaseUnit::Count),
            (Self::Rate, MetricKind::Gauge | MetricKind::Counter) => MetricUnit::of_rate(metric),
            (Self::Slope, _) => MetricUnit::of_rate(metric).signed(),
            (Self::Trend, _) => MetricUnit::base_unit(BaseUnit::Ratio).signed(),
            (Self::Cv, _) => MetricUnit::base_unit(BaseUnit::Ratio),
            (Self::Mean | Self::Max | Self::Min | Self::Increase | Self::Quantile(_), _) => {
                MetricUnit::of_values(metric)
            }
        }
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.pad("mean"),
            Self::Max => f.pad("max"),
            Self::Min => f.pad("min"),
            Self::Rate => f.pad("rate"),
            Self::Increase => f.pad("increase"),
            Self::Cv => f.pad("cv"),
            Self::Slope => f.pad("slope"),
            Self::Trend => f.pad("trend"),
            Self::Quantile(percentile) => f.pad(&format!("p{}", percentile.0)),
        }
    }
}

/// How many observations a share or a mean needs when the policy does not say: one of twenty is 5 %.
pub const LEAST_OF_A_SHARE: u32 = 20;

/// How the pods of a workload are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Across {
    /// Added up.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// On average.
    Avg,
}

impl Across {
    /// The aggregation.
    pub(super) const fn function(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Min => "min",
            Self::Avg => "avg",
        }
    }
}

/// Which series of a gauge are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Least {
    /// All of them.
    Any,
    /// Those that were there half a window ago: what has just begun changes, and that says nothing about later.
    HalfWindow,
    /// Those with at least so many samples in the window.
    Samples(u32),
}

/// A number between 0 and 100, both excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percentile(Decimal);

impl Percentile {
    /// `None` unless `percent` lies between 0 and 100 and its hundredth part is exact.
    #[must_use]
    pub fn new(percent: Decimal) -> Option<Self> {
        let within = percent > Decimal::ZERO && percent < Decimal::from_int(100);
        (within && percent.exact_div(Decimal::from_int(100)).is_some()).then_some(Self(percent))
    }

    /// `10 / (1 − q)`, and for percentiles below the median `10 / q`: 200 for p95, 1000 for p99.
    fn least_samples(self) -> u32 {
        let share = self.quantile().min(Decimal::ONE.checked_sub(self.quantile()).unwrap_or_default());
        let least = Decimal::from_int(10).checked_div(share).and_then(Decimal::ceil).and_then(Decimal::to_i64);
        least.and_then(|least| u32::try_from(least).ok()).unwrap_or(u32::MAX)
    }

    /// As a share: 0.95 for p95.
    #[must_use]
    pub fn quantile(self) -> Decimal {
        // Exact by construction.
        self.0.exact_div(Decimal::from_int(100)).unwrap_or_default()
    }
}

/// Why a statistic is refused. The text continues the path of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatisticError {
    /// Not one of the words.
    #[error("must be mean, max, min, rate, increase, cv, slope, trend or a percentile such as p95, not {0}")]
    Unknown(Excerpt),
    /// Nothing is named, and the kind has no default.
    #[error("must be named for a {kind}: {fits}")]
    Missing {
        /// The kind of the metric.
        kind: MetricKind,
        /// What fits it.
        fits: &'static str,
    },
    /// It cannot be computed of this kind.
    #[error("must be {fits} for a {kind}, not {statistic}")]
    Unfit {
        /// What was named.
        statistic: Statistic,
        /// The kind of the metric.
        kind: MetricKind,
        /// What fits it.
        fits: &'static str,
    },
}

/// The time over which a statistic is taken: whole milliseconds, from one second to thirty days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    millis: u64,
}

impl Window {
    /// Five minutes, when the policy says nothing.
    pub const DEFAULT: Self = Self { millis: 300_000 };
    /// Of what is read without a window, which is never older than what a server still calls present.
    pub(super) const NEWEST: Self = Self { millis: 60_000 };
    const MIN_MILLIS: u64 = 1_000;
    const MAX_MILLIS: u64 = 30 * 86_400_000;

    /// Reads a duration.
    pub fn parse(text: &str) -> Result<Self, WindowError> {
        let value = Value::parse(ValueType::Duration, text)?;
        let millis = value.amount().and_then(|seconds| seconds.checked_mul(Decimal::from_int(1_000)));
        let millis = millis.and_then(Decimal::to_i64).and_then(|millis| u64::try_from(millis).ok());
        millis
            .filter(|millis| (Self::MIN_MILLIS..=Self::MAX_MILLIS).contains(millis))
            .map(|millis| Self { millis })
            .ok_or(WindowError::OutOfRange(value))
    }

    /// Length in milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.millis
    }

    /// A window of that many milliseconds, or the nearest that is allowed.
    #[must_use]
    pub fn of_millis(millis: u64) -> Self {
        Self { millis: millis.clamp(Self::MIN_MILLIS, Self::MAX_MILLIS) }
    }

    /// A window of that many seconds, which is known to be allowed.
    pub(crate) const fn of_seconds(seconds: u64) -> Self {
        Self { millis: seconds * 1000 }
    }

    /// Half of it, for an offset.
    pub(super) const fn half(self) -> Self {
        Self { millis: self.millis / 2 }
    }

    /// Length in seconds, as `PromQL` writes a number.
    pub(super) fn seconds(self) -> String {
        Decimal::from_nanos(i128::from(self.millis) * 1_000_000).to_string()
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Window {
    /// As `PromQL` writes it: a whole number with one unit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        let unit = units.into_iter().find(|(size, _)| self.millis.is_multiple_of(*size));
        let (size, unit) = unit.unwrap_or((1, "ms"));
        f.pad(&format!("{}{unit}", self.millis / size))
    }
}

/// Why a window is refused. The text continues the path of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Not a duration.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// Too short, too long, or a part of a millisecond.
    #[error("must be whole milliseconds between 1s and 30d, not {0}")]
    OutOfRange(Value),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_read_and_print() {
        for text in
            ["mean", "max", "min", "rate", "increase", "cv", "slope", "trend", "p95", "p99.9", "p0.1", "p99.999"]
        {
            assert_eq!(Statistic::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "p", "p0", "p100", "p-5", "95", "P95", "avg", "p95%", "p9e1"] {
            assert!(matches!(Statistic::parse(text), Err(StatisticError::Unknown(_))), "{text}");
        }
        let Statistic::Quantile(percentile) = Statistic::parse("p99.9").unwrap() else { panic!("no percentile") };
        assert_eq!(percentile.quantile().to_string(), "0.999");
    }

    #[test]
    fn each_kind_has_what_fits_it() {
        use MetricKind::{Counter, Gauge, Histogram, Summary};
        for (kind, fits) in [
            (Gauge, ["mean", "max", "min", "cv", "slope", "trend", "p95"].as_slice()),
            (Counter, &["rate", "increase", "trend"]),
            (Histogram, &["mean", "rate", "increase", "trend", "p95"]),
            (Summary, &["mean", "rate", "increase", "trend", "p95"]),
        ] {
            for word in ["mean", "max", "min", "rate", "increase", "cv", "slope", "trend", "p95"] {
                assert_eq!(Statistic::of(kind, Some(word)).is_ok(), fits.contains(&word), "{word} of a {kind}");
            }
        }
        assert_eq!(Statistic::of(Gauge, None), Ok(Statistic::Mean));
        assert_eq!(Statistic::of(Counter, None), Ok(Statistic::Rate));
        let message = |kind, text| Statistic::of(kind, text).unwrap_err().to_string();
        assert_eq!(
            message(Histogram, None),
            "must be named for a histogram: mean, rate, increase, trend or a percentile such as p95"
        );
        assert_eq!(message(Counter, Some("p95")), "must be rate, increase or trend for a counter, not p95");
    }

    #[test]
    fn percentiles_need_ten_observations_beyond_them() {
        use MetricKind::{Counter, Gauge, Histogram, Summary};
        for (statistic, kind, least) in [
            ("p50", Histogram, 20),
            ("p90", Histogram, 100),
            ("p95", Histogram, 200),
            ("p99", Histogram, 1000),
            ("p99.9", Histogram, 10_000),
            ("p5", Histogram, 200),
            ("mean", Histogram, 20),
            ("p99", Summary, 1000),
            ("mean", Summary, 20),
            ("rate", Histogram, 0),
            ("p95", Gauge, 0),
            ("rate", Counter, 0),
        ] {
            assert_eq!(Statistic::parse(statistic).unwrap().least_samples(kind), least, "{statistic} of a {kind}");
        }
    }

    #[test]
    fn readings_have_the_unit_of_what_is_computed() {
        use MetricKind::{Counter, Gauge, Histogram};
        for (statistic, kind, metric, unit) in [
            ("p95", Histogram, "http_server_request_duration_seconds", BaseUnit::Seconds),
            ("rate", Histogram, "http_server_request_duration_seconds", BaseUnit::PerSecond),
            ("increase", Histogram, "http_server_request_duration_seconds", BaseUnit::Count),
            ("rate", Counter, "http_requests_total", BaseUnit::PerSecond),
            ("rate", Counter, "process_cpu_seconds_total", BaseUnit::Ratio),
            ("increase", Counter, "process_cpu_seconds_total", BaseUnit::Seconds),
            ("mean", Gauge, "process_resident_memory_bytes", BaseUnit::Bytes),
            ("slope", Gauge, "process_resident_memory_bytes", BaseUnit::BytesPerSecond),
            ("slope", Gauge, "queue_size", BaseUnit::PerSecond),
            ("cv", Gauge, "process_resident_memory_bytes", BaseUnit::Ratio),
        ] {
            assert_eq!(Statistic::parse(statistic).unwrap().unit(kind, metric).base(), unit, "{statistic} {metric}");
        }
    }

    #[test]
    fn windows_are_written_for_prometheus() {
        for (text, written) in
            [("5m", "5m"), ("90s", "90s"), ("2.5s", "2500ms"), ("24h", "1d"), ("1s", "1s"), ("30d", "30d")]
        {
            assert_eq!(Window::parse(text).unwrap().to_string(), written);
        }
        for text in ["0s", "999ms", "31d", "1000.5ms"] {
            let error = Window::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("must be whole milliseconds between 1s and 30d"), "{error}");
        }
        assert!(matches!(Window::parse("5mm"), Err(WindowError::Value(_))));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,20}|p[0-9.]{0,20}") {
            let _ = Statistic::parse(&text).map(|statistic| statistic.to_string());
            let _ = Window::parse(&text);
        }
    }
}
