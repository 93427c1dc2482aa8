//! The limits of thresholds, and the units of the metrics they are compared with.

use std::fmt;

use super::{Decimal, Dimension, Quantity, value::Excerpt};

/// The unit in which a threshold compares, whatever the metric counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BaseUnit {
    /// Time spans.
    Seconds,
    /// Sizes.
    Bytes,
    /// Shares; 1 is 100%.
    Ratio,
    /// Rates of events.
    PerSecond,
    /// Rates of bytes.
    BytesPerSecond,
    /// Plain numbers.
    Count,
}

impl BaseUnit {
    /// The word for messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
            Self::PerSecond => "per second",
            Self::BytesPerSecond => "bytes per second",
            Self::Count => "count",
        }
    }

    /// What amounts in this unit measure.
    #[must_use]
    pub const fn dimension(self) -> Dimension {
        match self {
            Self::Seconds => Dimension::Duration,
            Self::Bytes => Dimension::Bytes,
            Self::Ratio => Dimension::Ratio,
            Self::PerSecond | Self::BytesPerSecond => Dimension::PerSecond,
            Self::Count => Dimension::Count,
        }
    }

    const fn example(self) -> &'static str {
        match self {
            Self::Seconds => "a duration such as 200ms",
            Self::Bytes => "a size such as 512Mi",
            Self::Ratio => "a ratio such as 5% or 0.05",
            Self::PerSecond => "a rate such as 350/s",
            Self::BytesPerSecond => "a rate such as 10Mi/s",
            Self::Count => "a number such as 20",
        }
    }
}

impl fmt::Display for BaseUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a metric counts in: a base unit or a fixed part of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricUnit {
    base: BaseUnit,
    name: &'static str,
    /// How many of the metric's units make one base unit. Dividing by a power of ten rounds correctly where multiplying
    /// by its inverse would not, so a reading of 200 milliseconds is the same float as the bound `200ms`.
    per_base: f64,
    /// Whether readings below zero are meant, whatever they measure.
    signed: bool,
}

impl MetricUnit {
    const UNITS: [Self; 9] = [
        Self::new(BaseUnit::Seconds, "seconds", 1.0),
        Self::new(BaseUnit::Seconds, "milliseconds", 1e3),
        Self::new(BaseUnit::Seconds, "microseconds", 1e6),
        Self::new(BaseUnit::Seconds, "nanoseconds", 1e9),
        Self::new(BaseUnit::Bytes, "bytes", 1.0),
        Self::new(BaseUnit::Ratio, "ratio", 1.0),
        Self::new(BaseUnit::Ratio, "percent", 100.0),
        Self::new(BaseUnit::PerSecond, "per-second", 1.0),
        Self::new(BaseUnit::Count, "count", 1.0),
    ];

    /// Names that metrics use beside the full ones.
    const SHORT_NAMES: [(&'static str, &'static str); 6] = [
        ("millis", "milliseconds"),
        ("ms", "milliseconds"),
        ("micros", "microseconds"),
        ("nanos", "nanoseconds"),
        ("ns", "nanoseconds"),
        ("percentage", "percent"),
    ];

    const fn new(base: BaseUnit, name: &'static str, per_base: f64) -> Self {
        Self { base, name, per_base, signed: false }
    }

    /// The unit of that name, as the field `unit` of a metric gives it: `seconds`, `milliseconds`, `microseconds`,
    /// `nanoseconds`, `bytes`, `ratio`, `percent`, `per-second`, `count`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::UNITS.into_iter().find(|unit| unit.name == name)
    }

    /// A metric that counts in `base` itself.
    #[must_use]
    pub fn base_unit(base: BaseUnit) -> Self {
        let name = match base {
            BaseUnit::PerSecond => "per-second",
            BaseUnit::BytesPerSecond => "bytes-per-second",
            BaseUnit::Seconds | BaseUnit::Bytes | BaseUnit::Ratio | BaseUnit::Count => base.as_str(),
        };
        Self::new(base, name, 1.0)
    }

    /// The unit of the values of a metric (and of their increase), from the suffix of its name; without a known suffix
    /// it is a count.
    #[must_use]
    pub fn of_values(metric: &str) -> Self {
        let name = metric.strip_suffix("_total").unwrap_or(metric);
        let suffix = name.rsplit('_').next().unwrap_or(name);
        let full = Self::SHORT_NAMES.iter().find(|(short, _)| *short == suffix).map_or(suffix, |(_, full)| full);
        // `requests_count` and `foo_per-second` say nothing about what is counted.
        Self::from_name(full).filter(|_| full != name).unwrap_or_else(|| Self::base_unit(BaseUnit::Count))
    }

    /// The unit of a metric's rate: seconds per second are a ratio (busy time, throttled time, cores), bytes are bytes per
    /// second, and everything else is per second.
    #[must_use]
    pub fn of_rate(metric: &str) -> Self {
        let unit = Self::of_values(metric);
        match unit.base {
            BaseUnit::Seconds => Self { base: BaseUnit::Ratio, ..unit },
            BaseUnit::Bytes | BaseUnit::BytesPerSecond => Self { base: BaseUnit::BytesPerSecond, ..unit },
            BaseUnit::Ratio | BaseUnit::PerSecond | BaseUnit::Count => Self { base: BaseUnit::PerSecond, ..unit },
        }
    }

    /// The same unit for readings that go below zero, such as the slope of what falls.
    #[must_use]
    pub const fn signed(self) -> Self {
        Self { signed: true, ..self }
    }

    /// The unit that thresholds on this metric compare in.
    #[must_use]
    pub const fn base(self) -> BaseUnit {
        self.base
    }

    /// A sample of the metric in base units.
    #[must_use]
    pub fn to_base(self, sample: f64) -> f64 {
        sample / self.per_base
    }

    /// How many of the metric's units make one base unit.
    #[must_use]
    pub const fn per_base(self) -> f64 {
        self.per_base
    }

    fn is_scaled(self) -> bool {
        self.per_base > 1.0
    }
}

/// A limit that readings are compared with, in a base unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bound {
    value: Decimal,
    unit: BaseUnit,
}

impl Bound {
    /// Reads a limit for a metric in `unit`: `200ms`, `2Gi`, `5%`, `350/s`, or a bare number in base units.
    ///
    /// A bare number is refused for a metric that counts in another unit than the base unit: `200` for
    /// `latency_milliseconds` could mean either.
    pub fn parse(text: &str, unit: MetricUnit) -> Result<Self, BoundError> {
        let got = || Excerpt::new(text);
        let expected = unit.base.example();
        let quantity = Quantity::parse(text).ok_or_else(|| BoundError::Syntax { expected, got: got() })?;
        if quantity.dimension == Dimension::Count && unit.is_scaled() {
            return Err(BoundError::Ambiguous { got: got(), unit: unit.name, expected });
        }
        if ![Dimension::Count, unit.base.dimension()].contains(&quantity.dimension) {
            return Err(BoundError::Mismatch { got: got(), is: quantity.dimension, unit: unit.base, expected });
        }
        if quantity.amount < Decimal::ZERO && unit.base != BaseUnit::Count && !unit.signed {
            return Err(BoundError::Negative { got: got() });
        }
        Ok(Self { value: quantity.amount, unit: unit.base })
    }

    /// A limit of `value` base units.
    #[must_use]
    pub const fn new(value: Decimal, unit: BaseUnit) -> Self {
        Self { value, unit }
    }

    /// The unit.
    #[must_use]
    pub const fn unit(self) -> BaseUnit {
        self.unit
    }

    /// The limit in base units.
    #[must_use]
    pub const fn value(self) -> Decimal {
        self.value
    }

    /// The limit in base units, for comparison with readings.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.value.as_f64()
    }

    /// Where a breach of "above this" clears: a share of `hysteresis` lower, and never above the limit itself.
    #[must_use]
    pub fn clear_above(self, hysteresis: Hysteresis) -> Self {
        let margin = self.value.abs().checked_mul(hysteresis.0);
        Self { value: margin.and_then(|margin| self.value.checked_sub(margin)).unwrap_or(self.value), ..self }
    }

    /// Where a breach of "below this" clears: a share of `hysteresis` higher. For ratios the share is that of the
    /// distance to 100%, so that 99.9% clears at 99.91% and not at a value that no ratio reaches. Zero clears at zero.
    #[must_use]
    pub fn clear_below(self, hysteresis: Hysteresis) -> Self {
        let is_share = self.unit == BaseUnit::Ratio && self.value > Decimal::ZERO && self.value <= Decimal::ONE;
        let from = if is_share { Decimal::ONE.checked_sub(self.value) } else { Some(self.value.abs()) };
        let margin = from.and_then(|from| from.checked_mul(hysteresis.0));
        Self { value: margin.and_then(|margin| self.value.checked_add(margin)).unwrap_or(self.value), ..self }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            BaseUnit::BytesPerSecond => f.pad(&format!("{}/s", Quantity::new(self.value, Dimension::Bytes))),
            unit => Quantity::new(self.value, unit.dimension()).fmt(f),
        }
    }
}

/// How far beyond its bound a reading must return before a breach clears: a share, at least zero and below one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hysteresis(Decimal);

impl Hysteresis {
    /// 10%, when the policy says nothing.
    pub const DEFAULT: Self = Self(Decimal::from_nanos(100_000_000));

    /// `None` unless `share` is at least zero and below one.
    #[must_use]
    pub fn new(share: Decimal) -> Option<Self> {
        (share >= Decimal::ZERO && share < Decimal::ONE).then_some(Self(share))
    }

    /// The share.
    #[must_use]
    pub const fn share(self) -> Decimal {
        self.0
    }
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a limit is refused. The text continues the path of the field: `thresholds.p95.levels.warning.above must be …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// No number, or an unknown unit.
    #[error("must be {expected}, not {got}")]
    Syntax {
        /// What would have been right.
        expected: &'static str,
        /// What was written.
        got: Excerpt,
    },
    /// A unit of another dimension than the metric's.
    #[error("must be {expected}: {got} is a {is}, but the metric is in unit {unit}")]
    Mismatch {
        /// What was written.
        got: Excerpt,
        /// What that measures.
        is: Dimension,
        /// What the metric measures.
        unit: BaseUnit,
        /// What would have been right.
        expected: &'static str,
    },
    /// A bare number for a metric that does not count in base units.
    #[error("must be {expected}: the metric is in {unit}, so it is unclear what {got} counts")]
    Ambiguous {
        /// What was written.
        got: Excerpt,
        /// What the metric counts in.
        unit: &'static str,
        /// What would have been right.
        expected: &'static str,
    },
    /// Below zero where no reading can be.
    #[error("must be ≥ 0, not {got}")]
    Negative {
        /// What was written.
        got: Excerpt,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(name: &str) -> MetricUnit {
        MetricUnit::from_name(name).unwrap()
    }

    fn bound(text: &str, name: &str) -> Bound {
        Bound::parse(text, unit(name)).unwrap()
    }

    #[test]
    fn units_follow_from_names() {
        for (metric, values, rate) in [
            ("http_server_request_duration_seconds", "seconds", BaseUnit::Ratio),
            ("process_cpu_seconds_total", "seconds", BaseUnit::Ratio),
            ("latency_milliseconds", "milliseconds", BaseUnit::Ratio),
            ("hikaricp_connection_acquired_nanos", "nanoseconds", BaseUnit::Ratio),
            ("jvm_memory_used_bytes", "bytes", BaseUnit::BytesPerSecond),
            ("network_receive_bytes_total", "bytes", BaseUnit::BytesPerSecond),
            ("cache_hit_ratio", "ratio", BaseUnit::PerSecond),
            ("disk_used_percent", "percent", BaseUnit::PerSecond),
            ("http_requests_total", "count", BaseUnit::PerSecond),
            ("db_pool_size", "count", BaseUnit::PerSecond),
            ("seconds", "count", BaseUnit::PerSecond),
            ("", "count", BaseUnit::PerSecond),
        ] {
            assert_eq!(MetricUnit::of_values(metric), unit(values), "{metric}");
            assert_eq!(MetricUnit::of_rate(metric).base(), rate, "{metric}");
        }
    }

    #[test]
    fn bounds_are_read_in_the_unit_of_the_metric() {
        for (text, name, value, printed) in [
            ("200ms", "seconds", 0.2, "200ms"),
            ("0.2", "seconds", 0.2, "200ms"),
            ("200ms", "milliseconds", 0.2, "200ms"),
            ("5%", "ratio", 0.05, "5%"),
            ("80%", "percent", 0.8, "80%"),
            ("350/s", "per-second", 350.0, "350/s"),
            ("350", "per-second", 350.0, "350/s"),
            ("10Mi/s", "per-second", 10_485_760.0, "10485760/s"),
            ("2Gi", "bytes", 2_147_483_648.0, "2Gi"),
            ("20", "count", 20.0, "20"),
            ("-5.5", "count", -5.5, "-5.5"),
        ] {
            let bound = bound(text, name);
            assert_eq!(bound.as_f64().to_bits(), f64::to_bits(value), "{text}");
            assert_eq!(bound.to_string(), printed);
        }
    }

    #[test]
    fn slopes_have_a_sign_and_keep_their_bytes() {
        let slope = MetricUnit::of_rate("process_resident_memory_bytes").signed();
        for (text, value, printed) in [
            ("10Mi/s", 10_485_760.0, "10Mi/s"),
            ("-512/s", -512.0, "-512B/s"),
            ("-1.5Ki/s", -1536.0, "-1536B/s"),
            ("0", 0.0, "0B/s"),
        ] {
            let bound = Bound::parse(text, slope).unwrap();
            assert_eq!(bound.as_f64().to_bits(), f64::to_bits(value), "{text}");
            assert_eq!(bound.to_string(), printed);
            assert_eq!(Bound::parse(printed, slope), Ok(bound), "it reads back");
        }
        let wrong = Bound::parse("10Mi", slope).unwrap_err().to_string();
        assert_eq!(
            wrong,
            r#"must be a rate such as 10Mi/s: "10Mi" is a size, but the metric is in unit bytes per second"#
        );
        let plain = MetricUnit::of_rate("network_receive_bytes_total");
        assert_eq!(Bound::parse("-1/s", plain).unwrap_err().to_string(), r#"must be ≥ 0, not "-1/s""#);
    }

    #[test]
    fn wrong_units_are_named() {
        for (text, name, message) in [
            (
                "2Gi",
                "seconds",
                r#"must be a duration such as 200ms: "2Gi" is a size, but the metric is in unit seconds"#,
            ),
            ("5m", "bytes", r#"must be a size such as 512Mi: "5m" is a duration, but the metric is in unit bytes"#),
            ("5%", "count", r#"must be a number such as 20: "5%" is a ratio, but the metric is in unit count"#),
            (
                "200",
                "milliseconds",
                r#"must be a duration such as 200ms: the metric is in milliseconds, so it is unclear what "200" counts"#,
            ),
            ("-1s", "seconds", r#"must be ≥ 0, not "-1s""#),
            ("fast", "seconds", r#"must be a duration such as 200ms, not "fast""#),
            ("NaN", "ratio", r#"must be a ratio such as 5% or 0.05, not "NaN""#),
        ] {
            assert_eq!(Bound::parse(text, unit(name)).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_whole_sample_equals_its_bound() {
        for (sample, name, text) in
            [(200.0, "milliseconds", "200ms"), (95.0, "milliseconds", "95ms"), (93.0, "percent", "93%")]
        {
            assert_eq!(unit(name).to_base(sample).to_bits(), bound(text, name).as_f64().to_bits());
        }
    }

    #[test]
    fn breaches_clear_where_the_design_says() {
        let h = Hysteresis::DEFAULT;
        for (text, name, above, below) in [
            ("100ms", "seconds", "90ms", "110ms"),
            ("95%", "ratio", "85.5%", "95.5%"),
            ("99.9%", "ratio", "89.91%", "99.91%"),
            ("100%", "ratio", "90%", "100%"),
            ("0", "ratio", "0%", "0%"),
            ("0", "count", "0", "0"),
            ("250%", "ratio", "225%", "275%"),
            ("-10", "count", "-11", "-9"),
            ("350/s", "per-second", "315/s", "385/s"),
        ] {
            assert_eq!(bound(text, name).clear_above(h).to_string(), above, "{text}");
            assert_eq!(bound(text, name).clear_below(h).to_string(), below, "{text}");
        }
        assert_eq!(bound("5", "count").clear_above(Hysteresis::new(Decimal::ZERO).unwrap()), bound("5", "count"));
        assert_eq!(Hysteresis::new(Decimal::ONE), None);
        assert_eq!(Hysteresis::new(-Decimal::NANO), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,20}", metric in "\\PC{0,20}") {
            let _ = Bound::parse(&text, MetricUnit::of_rate(&metric));
        }

        #[test]
        fn a_clear_bound_is_never_on_the_breached_side(nanos in 0_i128..1_000_000_000_000, share in 0_i128..1_000_000_000) {
            let h = Hysteresis::new(Decimal::from_nanos(share)).unwrap();
            for base in [BaseUnit::Seconds, BaseUnit::Ratio, BaseUnit::Count] {
                let bound = Bound::new(Decimal::from_nanos(nanos), base);
                prop_assert!(bound.clear_above(h).value() <= bound.value());
                prop_assert!(bound.clear_below(h).value() >= bound.value());
                let reachable = base != BaseUnit::Ratio || bound.value() > Decimal::ONE || bound.clear_below(h).value() <= Decimal::ONE;
                prop_assert!(reachable);
            }
        }
    }
}
