//! Exact decimal numbers: a whole number of billionths.

use std::{
    fmt,
    ops::{Neg, RangeInclusive},
};

/// Decimals after the point.
pub const SCALE_DIGITS: u32 = 9;
/// Billionths in one.
const SCALE: i128 = 1_000_000_000;

/// An exact decimal number with nine digits after the point.
///
/// Floats are for readings only: a policy's `0.1` must compare equal to a live `100m`, and a value written twice must
/// give the same bytes. Nine digits hold a nanosecond and Kubernetes' smallest suffix (`n`), and the range of about
/// ±1.7·10^29 is far beyond every quantity of Kubernetes. All arithmetic is checked; what cannot be exact (a product
/// with more than nine decimals, a quotient) is rounded half away from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Decimal(i128);

impl Decimal {
    /// 0
    pub const ZERO: Self = Self(0);
    /// 1
    pub const ONE: Self = Self(SCALE);
    /// 10^-9, the finest step.
    pub const NANO: Self = Self(1);

    /// A whole number.
    #[must_use]
    pub const fn from_int(value: i64) -> Self {
        // An i64 times 10^9 always fits an i128.
        Self(value as i128 * SCALE)
    }

    /// A whole number of billionths.
    #[must_use]
    pub const fn from_nanos(nanos: i128) -> Self {
        Self(nanos)
    }

    /// The number in billionths.
    #[must_use]
    pub const fn nanos(self) -> i128 {
        self.0
    }

    /// Reads `[+-]digits[.digits]` and nothing else; no exponent, at most nine decimals.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        match Self::parse_prefix(text)? {
            (number, "") => Ok(number),
            _ => Err(DecimalError::NotANumber),
        }
    }

    /// Reads the number at the beginning of `text` and returns it with what follows, for `30s` and `2Gi`.
    pub fn parse_prefix(text: &str) -> Result<(Self, &str), DecimalError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, rest) = digits(unsigned);
        if whole.is_empty() {
            return Err(DecimalError::NotANumber);
        }
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(after) => match digits(after) {
                ("", _) => return Err(DecimalError::NotANumber),
                found => found,
            },
            None => ("", rest),
        };
        let fraction = fraction.trim_end_matches('0');
        let missing = SCALE_DIGITS.checked_sub(count(fraction)).ok_or(DecimalError::TooFine)?;
        let whole = integer(whole).and_then(|n| n.checked_mul(SCALE)).ok_or(DecimalError::TooLarge)?;
        let fraction = integer(fraction).and_then(|n| n.checked_mul(10_i128.pow(missing)));
        let sum = fraction.and_then(|n| whole.checked_add(n)).ok_or(DecimalError::TooLarge)?;
        Ok((Self(if negative { -sum } else { sum }), rest))
    }

    /// Sum, unless it is out of range.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Difference, unless it is out of range.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// Product, unless it is out of range; rounded half away from zero to nine decimals.
    #[must_use]
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        // (a + b)(c + d) with whole parts a, c and fractions b, d: no intermediate result is larger than the product.
        let (a, b) = (self.0 / SCALE, self.0 % SCALE);
        let (c, d) = (other.0 / SCALE, other.0 % SCALE);
        let whole = a.checked_mul(c)?.checked_mul(SCALE)?;
        let mixed = a.checked_mul(d)?.checked_add(b.checked_mul(c)?)?;
        whole.checked_add(mixed)?.checked_add(divide_rounded(b * d, SCALE)?).map(Self)
    }

    /// Product, only if nine decimals hold it exactly.
    #[must_use]
    pub fn exact_mul(self, other: Self) -> Option<Self> {
        ((self.0 % SCALE) * (other.0 % SCALE) % SCALE == 0).then(|| self.checked_mul(other)).flatten()
    }

    /// Quotient, unless the divisor is zero or the result is out of range; rounded half away from zero to nine decimals.
    #[must_use]
    pub fn checked_div(self, other: Self) -> Option<Self> {
        let whole = self.0.checked_div(other.0)?.checked_mul(SCALE)?;
        let rest = self.0.checked_rem(other.0)?.checked_mul(SCALE)?;
        whole.checked_add(divide_rounded(rest, other.0)?).map(Self)
    }

    /// Quotient, only if nine decimals hold it exactly.
    #[must_use]
    pub fn exact_div(self, other: Self) -> Option<Self> {
        let quotient = self.checked_div(other)?;
        (quotient.exact_mul(other)? == self).then_some(quotient)
    }

    /// Largest whole number that is not above this one, unless it is out of range.
    #[must_use]
    pub fn floor(self) -> Option<Self> {
        self.0.checked_sub(self.0.rem_euclid(SCALE)).map(Self)
    }

    /// Smallest whole number that is not below this one, unless it is out of range.
    #[must_use]
    pub fn ceil(self) -> Option<Self> {
        let above = (SCALE - self.0.rem_euclid(SCALE)) % SCALE;
        self.0.checked_add(above).map(Self)
    }

    /// Nearest whole number, half away from zero, unless it is out of range.
    #[must_use]
    pub fn round(self) -> Option<Self> {
        divide_rounded(self.0, SCALE)?.checked_mul(SCALE).map(Self)
    }

    /// Distance from zero.
    #[must_use]
    pub fn abs(self) -> Self {
        if self.0 < 0 { -self } else { self }
    }

    /// Whether nothing follows the point.
    #[must_use]
    pub const fn is_integer(self) -> bool {
        self.0 % SCALE == 0
    }

    /// Whether this is a whole multiple of `step` (of zero, only zero is).
    #[must_use]
    pub fn is_multiple_of(self, step: Self) -> bool {
        self.0.checked_rem(step.0).map_or(self.0 == 0, |rest| rest == 0)
    }

    /// The whole number, if it is one and fits.
    #[must_use]
    pub fn to_i64(self) -> Option<i64> {
        if self.is_integer() { i64::try_from(self.0 / SCALE).ok() } else { None }
    }

    /// The nearest float, for comparison with readings.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "readings are floats, and this is the place where a bound becomes one"
    )]
    pub fn as_f64(self) -> f64 {
        // One correctly rounded operation on an exact operand in both cases, so that 0.1 is the float `0.1`.
        const EXACT: RangeInclusive<i128> = -(1 << 53)..=1 << 53;
        if self.is_integer() {
            (self.0 / SCALE) as f64
        } else if EXACT.contains(&self.0) {
            self.0 as f64 / SCALE as f64
        } else {
            (self.0 / SCALE) as f64 + (self.0 % SCALE) as f64 / SCALE as f64
        }
    }
}

impl Neg for Decimal {
    type Output = Self;

    fn neg(self) -> Self {
        // The one value without a counterpart is 10^29 away from every number that parses.
        Self(self.0.saturating_neg())
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self::from_int(value)
    }
}

impl fmt::Display for Decimal {
    /// The shortest text that reads back as the same number: `12`, `0.5`, `-3.25`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let (whole, fraction) = (magnitude / SCALE.unsigned_abs(), magnitude % SCALE.unsigned_abs());
        let mut text = whole.to_string();
        if fraction > 0 {
            text.push('.');
            text.push_str(format!("{fraction:09}").trim_end_matches('0'));
        }
        f.pad_integral(self.0 >= 0, "", &text)
    }
}

/// Why a text is not a [`Decimal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// No digits where digits must be, or something after them.
    #[error("not a number")]
    NotANumber,
    /// Beyond the range of the type.
    #[error("number is too large")]
    TooLarge,
    /// More than nine decimals.
    #[error("number has more than nine decimals")]
    TooFine,
}

/// Splits off leading ASCII digits.
pub(super) fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Length of a short text as the type of exponents; a longer one is beyond every limit anyway.
pub(super) fn count(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// Reads digits; none are zero.
pub(super) fn integer(digits: &str) -> Option<i128> {
    digits.bytes().try_fold(0_i128, |sum, digit| sum.checked_mul(10)?.checked_add(i128::from(digit - b'0')))
}

/// Quotient of two whole numbers, rounded half away from zero.
fn divide_rounded(dividend: i128, divisor: i128) -> Option<i128> {
    let (quotient, rest) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
    let half_or_more = rest.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2);
    match (half_or_more, (dividend < 0) == (divisor < 0)) {
        (false, _) => Some(quotient),
        (true, true) => quotient.checked_add(1),
        (true, false) => quotient.checked_sub(1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn reads_and_prints_decimals() {
        for (text, printed) in [
            ("0", "0"),
            ("-0", "0"),
            ("+7", "7"),
            ("007.50", "7.5"),
            ("-3.25", "-3.25"),
            ("0.000000001", "0.000000001"),
        ] {
            assert_eq!(decimal(text).to_string(), printed);
        }
    }

    #[test]
    fn refuses_what_is_no_decimal() {
        for text in ["", "-", "+", ".5", "5.", "1e3", " 1", "1 ", "1_000", "ten", "NaN", "inf", "--1", "٣"] {
            assert_eq!(Decimal::parse(text), Err(DecimalError::NotANumber), "{text:?}");
        }
        assert_eq!(Decimal::parse("0.0000000001"), Err(DecimalError::TooFine));
        assert_eq!(Decimal::parse("999999999999999999999999999999999"), Err(DecimalError::TooLarge));
    }

    #[test]
    fn arithmetic_rounds_half_away_from_zero() {
        assert_eq!(decimal("0.000000001").checked_mul(decimal("0.5")), Some(Decimal::NANO));
        assert_eq!(decimal("-0.000000001").checked_mul(decimal("0.5")), Some(-Decimal::NANO));
        assert_eq!(Decimal::ONE.checked_div(decimal("3")), Some(decimal("0.333333333")));
        assert_eq!(decimal("2").checked_div(decimal("-3")), Some(decimal("-0.666666667")));
        assert_eq!(Decimal::ONE.checked_div(Decimal::ZERO), None);
        assert_eq!(Decimal::ONE.exact_div(decimal("3")), None);
        assert_eq!(decimal("-2.5").round(), Some(decimal("-3")));
        assert_eq!(decimal("-2.5").floor(), Some(decimal("-3")));
        assert_eq!(decimal("-2.5").ceil(), Some(decimal("-2")));
        assert_eq!(decimal("2.1").ceil(), Some(decimal("3")));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Decimal::parse_prefix(&text);
        }

        #[test]
        fn text_round_trips(nanos: i128) {
            prop_assume!(nanos != i128::MIN);
            let number = Decimal::from_nanos(nanos);
            prop_assert_eq!(Decimal::parse(&number.to_string()), Ok(number));
        }

        #[test]
        fn arithmetic_never_panics(a: i128, b: i128) {
            let (a, b) = (Decimal(a), Decimal(b));
            let _ = (a.checked_add(b), a.checked_sub(b), a.checked_mul(b), a.exact_mul(b));
            let _ = (a.checked_div(b), a.exact_div(b), a.floor(), a.ceil(), a.round(), a.abs(), a.as_f64());
            let _ = (a.is_multiple_of(b), a.to_i64(), -a);
        }

        #[test]
        fn product_is_the_rounded_one(a in -1_000_000_000_000_000_i128..1_000_000_000_000_000, b in -1_000_000_000_000_000_i128..1_000_000_000_000_000) {
            prop_assert_eq!(Decimal(a).checked_mul(Decimal(b)).map(Decimal::nanos), divide_rounded(a * b, SCALE));
        }

        #[test]
        fn division_undoes_multiplication(a in -1_000_000_000_000_i64.., b in 1_i64..1_000_000) {
            let (a, b) = (Decimal::from(a / 1_000_000), Decimal::from(b));
            let product = a.exact_mul(b).unwrap();
            prop_assert_eq!(product.exact_div(b), Some(a));
        }

        #[test]
        fn float_is_the_nearest(nanos in -(1_i128 << 60)..(1_i128 << 60)) {
            let number = Decimal(nanos);
            let parsed: f64 = number.to_string().parse().unwrap();
            prop_assert!((number.as_f64() - parsed).abs() <= parsed.abs() * f64::EPSILON);
        }
    }
}
