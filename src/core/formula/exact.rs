//! Exact fractions: what a formula computes with.

use std::cmp::Ordering;

use crate::core::units::{Decimal, SCALE_DIGITS};

/// An exact fraction.
///
/// [`Decimal`] rounds a quotient to nine digits, so `floor(10 / 3 * 3)` would be 9. A fraction rounds nothing: the only
/// rounding is that of `ceil`, `floor` and `round`, where the author asked for it, and that of the field at the very
/// end. There is neither NaN nor infinity; what does not fit is `None`, and never a near miss.
///
/// Always reduced; the denominator is between 1 and 10^29, so that the first nine decimals can be worked out within 128
/// bits. A literal has at most nine decimals, so three of the worst kind can be multiplied; in formulas that people
/// write, denominators are small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exact {
    numerator: i128,
    denominator: i128,
}

const MAX_DENOMINATOR: i128 = 10_i128.pow(29);
/// Billionths in one.
const SCALE: i128 = 10_i128.pow(SCALE_DIGITS);

impl Exact {
    #[cfg(test)]
    pub(super) const ONE: Self = Self { numerator: 1, denominator: 1 };

    /// `numerator / denominator`, reduced.
    pub(super) fn new(numerator: i128, denominator: i128) -> Option<Self> {
        if denominator == 0 {
            return None;
        }
        let divisor = if denominator == 1 { 1 } else { gcd(numerator, denominator)? };
        let (mut numerator, mut denominator) = (numerator / divisor, denominator / divisor);
        if denominator < 0 {
            (numerator, denominator) = (numerator.checked_neg()?, denominator.checked_neg()?);
        }
        (denominator <= MAX_DENOMINATOR).then_some(Self { numerator, denominator })
    }

    pub(super) fn from_decimal(number: Decimal) -> Option<Self> {
        Self::new(number.nanos(), SCALE)
    }

    /// Rounded half away from zero to nine decimals, unless it is out of range.
    pub(super) fn to_decimal(self) -> Option<Decimal> {
        let whole = self.numerator / self.denominator;
        // Smaller than the denominator, thus than 10^29: the product fits.
        let rest = self.numerator % self.denominator * SCALE;
        let (fraction, below) = (rest / self.denominator, rest % self.denominator);
        let carry = if below.abs() >= self.denominator - below.abs() { below.signum() } else { 0 };
        whole.checked_mul(SCALE)?.checked_add(fraction + carry).map(Decimal::from_nanos)
    }

    pub(super) fn is_zero(self) -> bool {
        self.numerator == 0
    }

    pub(super) fn is_positive(self) -> bool {
        self.numerator > 0
    }

    pub(super) fn is_integer(self) -> bool {
        self.denominator == 1
    }

    pub(super) fn negate(self) -> Option<Self> {
        Some(Self { numerator: self.numerator.checked_neg()?, ..self })
    }

    pub(super) fn add(self, other: Self) -> Option<Self> {
        let shared = gcd(self.denominator, other.denominator)?;
        let (left, right) = (other.denominator / shared, self.denominator / shared);
        let sum = self.numerator.checked_mul(left)?.checked_add(other.numerator.checked_mul(right)?)?;
        Self::new(sum, self.denominator.checked_mul(left)?)
    }

    pub(super) fn subtract(self, other: Self) -> Option<Self> {
        self.add(other.negate()?)
    }

    pub(super) fn multiply(self, other: Self) -> Option<Self> {
        // Reduced crosswise first, so that nothing overflows that would fit in the end.
        let first = Self::new(self.numerator, other.denominator)?;
        let second = Self::new(other.numerator, self.denominator)?;
        let numerator = first.numerator.checked_mul(second.numerator)?;
        let denominator = first.denominator.checked_mul(second.denominator)?;
        (denominator <= MAX_DENOMINATOR).then_some(Self { numerator, denominator })
    }

    /// Quotient; `None` also if `other` is zero.
    pub(super) fn divide(self, other: Self) -> Option<Self> {
        let first = Self::new(self.numerator, other.numerator)?;
        let second = Self::new(other.denominator, self.denominator)?;
        let numerator = first.numerator.checked_mul(second.numerator)?;
        let denominator = first.denominator.checked_mul(second.denominator)?;
        (denominator <= MAX_DENOMINATOR).then_some(Self { numerator, denominator })
    }

    /// Largest whole number that is not above this one.
    pub(super) fn floor(self) -> Self {
        Self { numerator: self.numerator.div_euclid(self.denominator), denominator: 1 }
    }

    /// Smallest whole number that is not below this one.
    pub(super) fn ceil(self) -> Self {
        // A fraction with a denominator above 1 is at least 1 away from the ends of the range.
        let up = i128::from(!self.is_integer());
        Self { numerator: self.floor().numerator + up, denominator: 1 }
    }

    /// Nearest whole number, half away from zero.
    pub(super) fn round(self) -> Self {
        let (whole, rest) = (self.numerator / self.denominator, self.numerator % self.denominator);
        let carry = if rest.abs() >= self.denominator - rest.abs() { rest.signum() } else { 0 };
        Self { numerator: whole + carry, denominator: 1 }
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Exact {
    /// By whole parts, then by the inverses of what is left: like Euclid's algorithm, so that nothing is multiplied and
    /// a comparison cannot overflow.
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (self.numerator, self.denominator);
        let (mut c, mut d) = (other.numerator, other.denominator);
        loop {
            let (left, right) = (a.rem_euclid(b), c.rem_euclid(d));
            match a.div_euclid(b).cmp(&c.div_euclid(d)) {
                Ordering::Equal => {}
                order => return order,
            }
            if left == 0 || right == 0 {
                return left.signum().cmp(&right.signum());
            }
            // left/b < right/d exactly if d/right < b/left.
            (a, b, c, d) = (d, right, b, left);
        }
    }
}

/// Greatest common divisor, by shifts instead of 128-bit divisions, which are some twenty times slower.
fn gcd(a: i128, b: i128) -> Option<i128> {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    if a == 0 || b == 0 {
        return i128::try_from(a | b).ok();
    }
    let shared = (a | b).trailing_zeros();
    a >>= a.trailing_zeros();
    while b != 0 {
        b >>= b.trailing_zeros();
        if a > b {
            (a, b) = (b, a);
        }
        b -= a;
    }
    i128::try_from(a << shared).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exact(numerator: i128, denominator: i128) -> Exact {
        Exact::new(numerator, denominator).unwrap()
    }

    fn euclid(a: i128, b: i128) -> i128 {
        if b == 0 { a.abs() } else { euclid(b, a % b) }
    }

    #[test]
    fn fractions_are_reduced_and_rounded_only_at_the_end() {
        let third = exact(-2, -6);
        assert_eq!(third, exact(1, 3));
        assert_eq!(third.multiply(exact(3, 1)), Some(Exact::ONE));
        assert_eq!(third.to_decimal(), Some(Decimal::parse("0.333333333").unwrap()));
        assert_eq!(exact(-2, 3).to_decimal(), Some(Decimal::parse("-0.666666667").unwrap()));
        assert_eq!(exact(1, 2_000_000_000).to_decimal(), Some(Decimal::NANO));
        assert_eq!(exact(999_999_999_999, 1_000_000_000_000).to_decimal(), Some(Decimal::ONE));
    }

    #[test]
    fn the_ends_of_the_range_are_ends_and_not_panics() {
        let (least, most) = (exact(i128::MIN, 1), exact(i128::MAX, 1));
        let tiny = exact(1, MAX_DENOMINATOR);
        assert_eq!(least.negate(), None);
        assert_eq!(most.add(Exact::ONE), None);
        assert_eq!(most.multiply(most), None);
        assert_eq!(tiny.multiply(tiny), None);
        assert_eq!(most.to_decimal(), None);
        assert_eq!(Exact::ONE.divide(exact(0, 1)), None);
        assert_eq!(Exact::new(1, 0), None);
        assert_eq!(Exact::new(1, i128::MIN), None);
        assert_eq!(Exact::new(i128::MIN, i128::MIN), None);
        assert!(least < tiny && tiny < most);
        assert_eq!((most.floor(), most.ceil(), most.round()), (most, most, most));
        assert_eq!((least.floor(), least.ceil(), least.round()), (least, least, least));
        assert_eq!(exact(-5, 2).round(), exact(-3, 1));
        assert_eq!(exact(-5, 2).ceil(), exact(-2, 1));
        assert_eq!(exact(-5, 2).floor(), exact(-3, 1));
    }

    proptest! {
        #[test]
        fn no_operation_panics_and_all_results_are_reduced(a: i128, b: i128, c: i128, d: i128) {
            let (Some(left), Some(right)) = (Exact::new(a, b % MAX_DENOMINATOR), Exact::new(c, d % MAX_DENOMINATOR))
                else { return Ok(()) };
            let results = [
                left.add(right), left.subtract(right), left.multiply(right), left.divide(right), left.negate(),
                Some(left.floor()), Some(left.ceil()), Some(left.round()),
            ];
            for result in results.into_iter().flatten() {
                let _ = (result.to_decimal(), result.cmp(&left));
                prop_assert!((1..=MAX_DENOMINATOR).contains(&result.denominator));
                prop_assert_eq!(gcd(result.numerator, result.denominator), Some(1));
            }
        }

        #[test]
        fn order_is_that_of_cross_products(
            a in -(1_i128 << 60)..1 << 60, b in 1_i128..1 << 60, c in -(1_i128 << 60)..1 << 60, d in 1_i128..1 << 60,
        ) {
            prop_assert_eq!(exact(a, b).cmp(&exact(c, d)), (a * d).cmp(&(c * b)));
            prop_assert_eq!(exact(a, b).cmp(&exact(a, b)), Ordering::Equal);
        }

        #[test]
        fn field_laws(
            a in -1_000_000_i128..1_000_000, b in 1_i128..1_000_000, c in -1_000_000_i128..1_000_000, d in 1_i128..1_000_000,
        ) {
            let (left, right) = (exact(a, b), exact(c, d));
            prop_assert_eq!(left.add(right), Exact::new(a * d + c * b, b * d));
            prop_assert_eq!(left.add(right).and_then(|sum| sum.subtract(right)), Some(left));
            prop_assert_eq!(left.multiply(right), Exact::new(a * c, b * d));
            if c != 0 {
                prop_assert_eq!(left.divide(right).and_then(|quotient| quotient.multiply(right)), Some(left));
            }
        }

        #[test]
        fn whole_numbers_lie_around(a: i64, b in 1_i64..1_000_000) {
            let number = exact(a.into(), b.into());
            let (floor, ceil, round) = (number.floor(), number.ceil(), number.round());
            prop_assert!(floor <= number && number <= ceil && floor <= round && round <= ceil);
            prop_assert!(number.subtract(floor).unwrap() < Exact::ONE && ceil.subtract(number).unwrap() < Exact::ONE);
            let distance = number.subtract(round).unwrap();
            prop_assert!(distance <= exact(1, 2) && distance >= exact(-1, 2));
        }

        #[test]
        fn common_divisors_are_the_greatest(a: i128, b: i128) {
            prop_assume!(a != i128::MIN && b != i128::MIN);
            prop_assert_eq!(gcd(a, b), Some(euclid(a, b)));
        }

        #[test]
        fn decimals_are_fractions(nanos: i128) {
            prop_assume!(nanos != i128::MIN);
            let number = Decimal::from_nanos(nanos);
            prop_assert_eq!(Exact::from_decimal(number).and_then(Exact::to_decimal), Some(number));
        }
    }
}
