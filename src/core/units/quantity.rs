//! A number with a dimension, and the units in which people write one.

use std::{cmp::Ordering, fmt};

use super::{Decimal, DecimalError, ResourceQuantity};

/// What a number measures. Each dimension has one base unit, in which amounts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// A plain number: a size, a count, a factor.
    Count,
    /// Base unit: seconds.
    Duration,
    /// Base unit: bytes.
    Bytes,
    /// Base unit: cores.
    Cpu,
    /// Base unit: one; `80%` is 0.8.
    Ratio,
    /// Base unit: per second.
    PerSecond,
}

impl Dimension {
    /// The word for messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "number",
            Self::Duration => "duration",
            Self::Bytes => "size",
            Self::Cpu => "CPU",
            Self::Ratio => "ratio",
            Self::PerSecond => "rate per second",
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An exact amount in the base unit of its dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quantity {
    /// In the base unit of `dimension`.
    pub amount: Decimal,
    /// What `amount` measures.
    pub dimension: Dimension,
}

impl Quantity {
    /// `amount` base units of `dimension`.
    #[must_use]
    pub const fn new(amount: Decimal, dimension: Dimension) -> Self {
        Self { amount, dimension }
    }

    /// Reads a number with the unit that follows it: `20`, `30s`, `600Mi`, `80%`, `350/s`.
    ///
    /// This is the reading without a type, as formulas and thresholds need it: `m` is minutes. Where the field is a CPU,
    /// [`Value::parse`](super::Value::parse) reads `500m` as millicores.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, suffix) = Decimal::parse_prefix(text).ok()?;
        let unit = Unit::from_suffix(suffix)?;
        Some(Self::new(unit.to_base(number).ok()?, unit.dimension))
    }
}

impl PartialOrd for Quantity {
    /// Only quantities of one dimension have an order.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.dimension == other.dimension).then(|| self.amount.cmp(&other.amount))
    }
}

impl fmt::Display for Quantity {
    /// As a person would write it: `30s`, `2Gi`, `500m`, `80%`, `350/s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dimension {
            Dimension::Count => self.amount.fmt(f),
            Dimension::Duration => f.pad(&duration_text(self.amount)),
            Dimension::Bytes => match bytes_text(self.amount) {
                // Without a unit it would read back as a plain number.
                text if text.ends_with(|last: char| last.is_ascii_digit()) => f.pad(&format!("{text}B")),
                text => f.pad(&text),
            },
            Dimension::Cpu => ResourceQuantity::from_cores(self.amount).fmt(f),
            Dimension::Ratio => f.pad(&percent_text(self.amount)),
            Dimension::PerSecond => f.pad(&format!("{}/s", self.amount)),
        }
    }
}

/// A unit that may follow a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// What a number with this unit measures.
    pub dimension: Dimension,
    multiplier: i64,
    divisor: i64,
}

impl Unit {
    /// The unit that `suffix` names; nothing is a plain number. Suffixes are case-sensitive.
    #[must_use]
    pub fn from_suffix(suffix: &str) -> Option<Self> {
        let unit = |dimension, multiplier, divisor| Some(Self { dimension, multiplier, divisor });
        match suffix {
            "" => unit(Dimension::Count, 1, 1),
            "%" => unit(Dimension::Ratio, 1, 100),
            "ms" => unit(Dimension::Duration, 1, 1000),
            "s" => unit(Dimension::Duration, 1, 1),
            "m" => unit(Dimension::Duration, 60, 1),
            "h" => unit(Dimension::Duration, 3600, 1),
            "d" => unit(Dimension::Duration, 86_400, 1),
            _ => match suffix.strip_suffix("/s") {
                // `10Mi/s` is a rate too: of bytes.
                Some(size) => unit(Dimension::PerSecond, byte_multiplier(size)?, 1),
                None => unit(Dimension::Bytes, byte_multiplier(suffix)?, 1),
            },
        }
    }

    /// `number` of this unit in the base unit, exactly.
    pub fn to_base(self, number: Decimal) -> Result<Decimal, DecimalError> {
        number.checked_mul(self.multiplier.into()).ok_or(DecimalError::TooLarge)?;
        let product = number.exact_mul(self.multiplier.into()).ok_or(DecimalError::TooFine)?;
        product.exact_div(self.divisor.into()).ok_or(DecimalError::TooFine)
    }
}

/// Bytes in one of the unit; the empty suffix and `B` alone are bytes.
fn byte_multiplier(suffix: &str) -> Option<i64> {
    Some(match suffix.strip_suffix('B').unwrap_or(suffix) {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    })
}

/// Splits whole `amount` into the largest of `units` that divides it; without one, `amount` itself and no name.
pub(super) fn largest_unit<'a>(amount: Decimal, units: &[(i64, &'a str)]) -> (Decimal, &'a str) {
    let whole = |&(size, name): &(i64, &'a str)| {
        let count = amount.exact_div(size.into()).filter(|count| count.is_integer() && *count != Decimal::ZERO)?;
        Some((count, name))
    };
    units.iter().find_map(whole).unwrap_or((amount, ""))
}

/// Seconds as one number and one unit: `90s`, `1.5s`, `250ms`, `1h`.
pub(super) fn duration_text(seconds: Decimal) -> String {
    let milliseconds = seconds.exact_mul(Decimal::from_int(1000));
    match largest_unit(seconds, &[(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")]) {
        (count, unit @ ("d" | "h" | "m" | "s")) => format!("{count}{unit}"),
        _ => match milliseconds {
            Some(ms) if seconds.abs() < Decimal::ONE && seconds != Decimal::ZERO => format!("{ms}ms"),
            _ => format!("{seconds}s"),
        },
    }
}

/// Bytes with the unit that leaves the fewest digits; binary units win a tie.
pub(super) fn bytes_text(bytes: Decimal) -> String {
    let (binary, binary_unit) =
        largest_unit(bytes, &[(1 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")]);
    let (decimal, decimal_unit) =
        largest_unit(bytes, &[(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")]);
    let (binary, decimal) = (binary.to_string(), decimal.to_string());
    if binary.len() <= decimal.len() { binary + binary_unit } else { decimal + decimal_unit }
}

/// A ratio as a percentage.
pub(super) fn percent_text(ratio: Decimal) -> String {
    match ratio.exact_mul(Decimal::from_int(100)) {
        Some(percent) => format!("{percent}%"),
        None => ratio.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_without_a_type() {
        for (text, dimension, amount, printed) in [
            ("20", Dimension::Count, "20", "20"),
            ("-1.5", Dimension::Count, "-1.5", "-1.5"),
            ("1500ms", Dimension::Duration, "1.5", "1.5s"),
            ("90s", Dimension::Duration, "90", "90s"),
            ("2.5m", Dimension::Duration, "150", "150s"),
            ("60m", Dimension::Duration, "3600", "1h"),
            ("36h", Dimension::Duration, "129600", "36h"),
            ("7d", Dimension::Duration, "604800", "7d"),
            ("0ms", Dimension::Duration, "0", "0s"),
            ("0.25ms", Dimension::Duration, "0.00025", "0.25ms"),
            ("1.0005s", Dimension::Duration, "1.0005", "1.0005s"),
            ("2048Mi", Dimension::Bytes, "2147483648", "2Gi"),
            ("1.5Gi", Dimension::Bytes, "1610612736", "1536Mi"),
            ("1GB", Dimension::Bytes, "1000000000", "1G"),
            ("1000KiB", Dimension::Bytes, "1024000", "1000Ki"),
            ("1T", Dimension::Bytes, "1000000000000", "1T"),
            ("512B", Dimension::Bytes, "512", "512B"),
            ("80%", Dimension::Ratio, "0.8", "80%"),
            ("99.95%", Dimension::Ratio, "0.9995", "99.95%"),
            ("350/s", Dimension::PerSecond, "350", "350/s"),
            ("1Ki/s", Dimension::PerSecond, "1024", "1024/s"),
        ] {
            let quantity = Quantity::parse(text).unwrap();
            assert_eq!(quantity, Quantity::new(Decimal::parse(amount).unwrap(), dimension), "{text}");
            assert_eq!(quantity.to_string(), printed, "{text}");
        }
        for text in ["", "5mm", "1h30m", "9e9h", "1 s", "s", "1KB", "1gi", "10%%", "/s", "1s/s", "0.0000000001%"] {
            assert_eq!(Quantity::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_one_dimension_has_an_order() {
        let quantity = |text| Quantity::parse(text).unwrap();
        assert!(quantity("999Mi") < quantity("1Gi"));
        assert_eq!(quantity("1s").partial_cmp(&quantity("1Mi")), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-+]?[0-9.]{0,30}[a-zA-Z/%]{0,4}") {
            let _ = Quantity::parse(&text).map(|q| q.to_string());
        }

        #[test]
        fn durations_sizes_and_ratios_round_trip(nanos in 0_i128..(1 << 90)) {
            for quantity in [
                Quantity::new(Decimal::from_nanos(nanos), Dimension::Duration),
                Quantity::new(Decimal::from_nanos(nanos % (1 << 40)), Dimension::Ratio),
                Quantity::new(Decimal::from_nanos(nanos), Dimension::PerSecond),
            ] {
                prop_assert_eq!(Quantity::parse(&quantity.to_string()), Some(quantity));
            }
        }

        #[test]
        fn sizes_round_trip(bytes: i64) {
            let quantity = Quantity::new(bytes.into(), Dimension::Bytes);
            prop_assert_eq!(Quantity::parse(&quantity.to_string()), Some(quantity));
        }
    }
}
