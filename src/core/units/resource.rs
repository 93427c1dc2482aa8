//! Kubernetes' own text form of CPU and memory.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use super::{
    Decimal,
    decimal::{count, digits, integer},
    quantity::largest_unit,
    value::Excerpt,
};

/// A quantity as `resources` of a container spell it: `2Gi`, `500m`, `1e3`, `0.5`.
///
/// Reads every form the API server reads, compares as a number (`2048Mi` equals `2Gi`) and prints what the API server
/// would store ([`Display`](fmt::Display)). Like the API server it rounds what is finer than one billionth up; unlike
/// it, it refuses what is beyond 2^63-1, where Kubernetes caps, or even prints `1` for `1000E`.
#[derive(Debug, Clone, Copy)]
pub struct ResourceQuantity {
    amount: Decimal,
    style: Style,
}

/// The family of suffixes in which a quantity is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Decimal,
    Binary,
    Exponent,
}

const ONE_KIBI: i64 = 1024;

impl ResourceQuantity {
    /// Cores or a plain number.
    #[must_use]
    pub const fn from_cores(cores: Decimal) -> Self {
        Self { amount: cores, style: Style::Decimal }
    }

    /// Bytes, printed in binary units where those are shorter.
    #[must_use]
    pub fn from_bytes(bytes: Decimal) -> Self {
        let binary = Self { amount: bytes, style: Style::Binary };
        let decimal = Self { amount: bytes, style: Style::Decimal };
        // `1G` stays `1G`, and `1000Ki` does not become `1024k`.
        let length = |quantity: &Self| quantity.to_string().trim_end_matches(char::is_alphabetic).len();
        if length(&decimal) < length(&binary) { decimal } else { binary }
    }

    /// Reads Kubernetes' syntax only: `1GB` is refused.
    pub fn parse(text: &str) -> Result<Self, ResourceQuantityError> {
        let invalid = || ResourceQuantityError::Invalid(Excerpt::new(text));
        let out_of_range = || ResourceQuantityError::OutOfRange(Excerpt::new(text));

        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, rest) = digits(unsigned);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let suffix = Suffix::parse(suffix).ok_or_else(invalid)?;

        // mantissa · 1024^binary · 10^exponent billionths, exactly.
        let fraction = fraction.trim_end_matches('0');
        let mantissa = integer(&format!("{whole}{fraction}")).ok_or_else(out_of_range)?;
        let exponent = suffix.exponent.saturating_sub(i64::from(count(fraction))).saturating_add(9);
        let scaled = i128::from(ONE_KIBI).pow(suffix.binary).checked_mul(mantissa).ok_or_else(out_of_range)?;
        let power = u32::try_from(exponent.unsigned_abs()).ok().and_then(|power| 10_i128.checked_pow(power));
        let nanos = match (exponent >= 0, power) {
            _ if scaled == 0 => 0,
            (true, Some(power)) => scaled.checked_mul(power).ok_or_else(out_of_range)?,
            (true, None) => return Err(out_of_range()),
            // Rounded up, as the API server does; a power beyond the range leaves one billionth.
            (false, Some(power)) => scaled / power + i128::from(scaled % power != 0),
            (false, None) => 1,
        };
        let amount = Decimal::from_nanos(nanos);
        if amount > Decimal::from_int(i64::MAX) {
            return Err(out_of_range());
        }
        Ok(Self { amount: if negative { -amount } else { amount }, style: suffix.style })
    }

    /// The number: cores of a CPU, bytes of memory.
    #[must_use]
    pub const fn amount(self) -> Decimal {
        self.amount
    }
}

impl FromStr for ResourceQuantity {
    type Err = ResourceQuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl PartialEq for ResourceQuantity {
    fn eq(&self, other: &Self) -> bool {
        self.amount == other.amount
    }
}

impl Eq for ResourceQuantity {}

impl Hash for ResourceQuantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.amount.hash(state);
    }
}

impl PartialOrd for ResourceQuantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ResourceQuantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.amount.cmp(&other.amount)
    }
}

impl fmt::Display for ResourceQuantity {
    /// The canonical form: no fraction, the largest suffix of the family that was written. Binary suffixes give way to
    /// decimal ones below 1024 and for fractions of a byte, as they do in the API server.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let small = self.amount.abs() < Decimal::from_int(ONE_KIBI);
        if self.style == Style::Binary && !small && self.amount.is_integer() {
            let (count, suffix) = largest_unit(
                self.amount,
                &[(1 << 60, "Ei"), (1 << 50, "Pi"), (1 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")],
            );
            return f.pad(&format!("{count}{suffix}"));
        }
        let (mut mantissa, mut exponent) = (self.amount.nanos(), -9);
        while mantissa != 0 && mantissa % 1000 == 0 && exponent < 18 {
            (mantissa, exponent) = (mantissa / 1000, exponent + 3);
        }
        let suffix = match (exponent, self.style) {
            _ if mantissa == 0 => "",
            (0, _) => "",
            (_, Style::Exponent) => return f.pad(&format!("{mantissa}e{exponent}")),
            (-9, _) => "n",
            (-6, _) => "u",
            (-3, _) => "m",
            (3, _) => "k",
            (6, _) => "M",
            (9, _) => "G",
            (12, _) => "T",
            (15, _) => "P",
            _ => "E",
        };
        f.pad(&format!("{mantissa}{suffix}"))
    }
}

/// Why a text is not a quantity of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceQuantityError {
    /// Not in Kubernetes' syntax.
    #[error("invalid quantity {0}: write a number with at most one of the suffixes m k M G T P E Ki Mi Gi Ti Pi Ei")]
    Invalid(Excerpt),
    /// Beyond what Kubernetes computes exactly.
    #[error("invalid quantity {0}: must be ≤ 9223372036854775807")]
    OutOfRange(Excerpt),
}

struct Suffix {
    style: Style,
    /// Power of 1024.
    binary: u32,
    /// Power of ten.
    exponent: i64,
}

impl Suffix {
    fn parse(text: &str) -> Option<Self> {
        let decimal = |exponent| Some(Self { style: Style::Decimal, binary: 0, exponent });
        let binary = |binary| Some(Self { style: Style::Binary, binary, exponent: 0 });
        match text {
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "" => decimal(0),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(1),
            "Mi" => binary(2),
            "Gi" => binary(3),
            "Ti" => binary(4),
            "Pi" => binary(5),
            "Ei" => binary(6),
            _ => {
                let exponent = text.strip_prefix(['e', 'E'])?;
                let plain = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                // `parse` refuses no digits and overflow, but this keeps it from reading a second sign.
                let exponent =
                    plain.bytes().all(|byte| byte.is_ascii_digit()).then(|| exponent.parse().ok()).flatten()?;
                Some(Self { style: Style::Exponent, binary: 0, exponent })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantity(text: &str) -> ResourceQuantity {
        ResourceQuantity::parse(text).unwrap()
    }

    #[test]
    fn every_legal_form_has_the_canonical_text_of_the_api_server() {
        for (text, canonical) in [
            ("0", "0"),
            ("-0", "0"),
            ("0Ki", "0"),
            ("0e5", "0"),
            ("1", "1"),
            ("+1", "1"),
            ("1.", "1"),
            (".5", "500m"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("500m", "500m"),
            ("1000m", "1"),
            ("1500u", "1500u"),
            ("100n", "100n"),
            ("0.1n", "1n"),
            ("-0.1n", "-1n"),
            ("1e-40", "1e-9"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("12E+1", "120"),
            ("1e-3", "1e-3"),
            ("1200e3", "1200e3"),
            ("2000", "2k"),
            ("1k", "1k"),
            ("1000k", "1M"),
            ("2Gi", "2Gi"),
            ("2048Mi", "2Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1023.5Ki", "1048064"),
            ("0.1Ki", "102400m"),
            ("10.1Ki", "10342400m"),
            ("1Ei", "1Ei"),
            ("9E", "9E"),
            ("9223372036854775807", "9223372036854775807"),
            ("-2Gi", "-2Gi"),
            ("2147483648", "2147483648"),
        ] {
            assert_eq!(quantity(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn refuses_what_kubernetes_would_refuse_or_cap() {
        for text in [
            "", "-", ".", "1GB", "1Kb", "1ki", "1K", "ten", "NaN", "1 Gi", " 1", "1e", "1e+", "1e+-3", "1e1.5", "Gi",
            "1e3Ki", "--1", "1µ",
        ] {
            assert!(matches!(ResourceQuantity::parse(text), Err(ResourceQuantityError::Invalid(_))), "{text:?}");
        }
        for text in [
            "1e99",
            "10E",
            "8Ei",
            "1e9223372036854775807",
            "9223372036854775808",
            "999999999999999999999999999999999999999999",
        ] {
            assert!(matches!(ResourceQuantity::parse(text), Err(ResourceQuantityError::OutOfRange(_))), "{text:?}");
        }
        assert!(matches!(ResourceQuantity::parse("1e99999999999999999999"), Err(ResourceQuantityError::Invalid(_))));
    }

    #[test]
    fn quantities_compare_as_numbers() {
        assert_eq!(quantity("2048Mi"), quantity("2Gi"));
        assert_eq!(quantity("1e3"), quantity("1k"));
        assert!(quantity("1999m") < quantity("2"));
        assert!(quantity("1G") < quantity("1Gi"));
    }

    #[test]
    fn bytes_print_in_the_shorter_family() {
        for (bytes, text) in
            [(1 << 31, "2Gi"), (1_000_000_000, "1G"), (1_024_000, "1000Ki"), (512, "512"), (1025, "1025")]
        {
            assert_eq!(ResourceQuantity::from_bytes(Decimal::from_int(bytes)).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}", like in "[-+]?[0-9.]{0,45}[eEnumkMGTPKi]{0,2}[-+0-9]{0,20}") {
            let _ = ResourceQuantity::parse(&text);
            let _ = ResourceQuantity::parse(&like).map(|q| q.to_string());
        }

        #[test]
        fn canonical_text_reads_back_and_is_stable(
            mantissa in -1_000_000_000_i64..1_000_000_000, point in 0_usize..9,
            suffix in prop::sample::select(vec!["n", "u", "m", "", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2", "e0"]),
        ) {
            let sign = if mantissa < 0 { "-" } else { "" };
            let digits = format!("{:010}", mantissa.unsigned_abs());
            let (whole, fraction) = digits.split_at(10 - point);
            let first = quantity(&format!("{sign}{whole}.{fraction}{suffix}"));
            let canonical = first.to_string();
            prop_assert_eq!(quantity(&canonical), first);
            let again = quantity(&canonical).to_string();
            // As in the API server: a binary amount of no whole Ki is written without a suffix, and read as a decimal one.
            if canonical.ends_with(|c: char| c.is_ascii_alphabetic()) {
                prop_assert_eq!(&again, &canonical);
            }
            prop_assert_eq!(quantity(&again), first);
            prop_assert_eq!(quantity(&again).to_string(), again);
            prop_assert!(!canonical.contains('.'));
        }

        #[test]
        fn order_is_the_order_of_numbers(a in 0_i64..1_000_000_000, b in 0_i64..1_000_000_000) {
            let milli = |n: i64| quantity(&format!("{n}m"));
            prop_assert_eq!(milli(a).cmp(&milli(b)), a.cmp(&b));
            prop_assert_eq!(quantity(&format!("{a}Ki")).cmp(&quantity(&(b * 1024).to_string())), a.cmp(&b));
        }
    }
}
