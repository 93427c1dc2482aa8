//! What a number of observations shows, and what it does not: bounds of shares, and trends.
//!
//! Owns formulas and their sources. Must not know metrics, units or policies.
//!
//! | function | says |
//! |---|---|
//! | [`wilson_lower`], [`wilson_upper`] | the share that so many successes of so many tries show at least, and at most |
//! | [`shown_without_exception`], [`needed_without_exception`] | the same where there was no exception at all |
//! | [`theil_sen`] | the slope of most pairs of points, which outliers do not move |
//! | [`mann_kendall`] | whether points rise or fall more than chance does |
//! | [`trend`] | both, for series whose points hang together |

use std::cmp::Ordering;

/// The share of chance in what is said of shares: one in twenty.
pub const ALPHA: f64 = 0.05;
/// The share of chance in what is said of trends. It is smaller, because prewhitening leaves some of what hangs together.
const TREND_ALPHA: f64 = 0.01;
/// Standard normal quantile of 95 %, for a one-sided bound.
const Z_ONE_SIDED: f64 = 1.644_853_626_951_472_2;
/// Fewest points of which a trend is told: the normal approximation of Mann–Kendall is good from ten on (Gilbert 1987, 16.4.2).
pub const MIN_TREND_POINTS: usize = 10;

/// Lower bound of a share at 95 %, one-sided, by Wilson's score (1927). Zero without tries.
#[must_use]
pub fn wilson_lower(share: f64, tries: f64) -> f64 {
    if tries > 0.0 && share.is_finite() { wilson(share, tries, Z_ONE_SIDED).0 } else { 0.0 }
}

/// Upper bound of a share at 95 %, one-sided, by Wilson's score (1927). One without tries.
#[must_use]
pub fn wilson_upper(share: f64, tries: f64) -> f64 {
    if tries > 0.0 && share.is_finite() { wilson(share, tries, Z_ONE_SIDED).1 } else { 1.0 }
}

/// Wilson's score interval (1927): `(p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)`, the shares from which `p` of `n` tries is
/// no further away than `z` of their own standard deviations.
fn wilson(share: f64, tries: f64, z: f64) -> (f64, f64) {
    let p = share.clamp(0.0, 1.0);
    let z2 = z * z / tries;
    let spread = z * (p.mul_add(1.0 - p, z2 / 4.0) / tries).sqrt();
    let bound = |spread: f64| ((p + z2 / 2.0 + spread) / (1.0 + z2)).clamp(0.0, 1.0);
    (bound(-spread), bound(spread))
}

/// The share that `tries` without one exception show at least, at 95 %: `0.05^(1/n)`, of which `1 - 3/n` is the well-known
/// approximation. Zero without tries.
#[must_use]
pub fn shown_without_exception(tries: f64) -> f64 {
    if tries > 0.0 { ALPHA.powf(1.0 / tries) } else { 0.0 }
}

/// How many tries without one exception show that share, to the nearest: 298 for 99 %.
#[must_use]
pub fn needed_without_exception(share: f64) -> f64 {
    (ALPHA.ln() / share.ln()).round().max(1.0)
}

/// Median of the slopes of all pairs of points at equal distances, per distance (Theil 1950, Sen 1968). `None` below two
/// points.
#[must_use]
pub fn theil_sen(points: &[f64]) -> Option<f64> {
    let mut slopes = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (i, a) in points.iter().enumerate() {
        for (distance, b) in points.iter().skip(i + 1).enumerate() {
            slopes.push((b - a) / as_f64(distance + 1));
        }
    }
    median(&mut slopes)
}

/// What the order of points says of a trend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MannKendall {
    /// Pairs that rise less pairs that fall.
    pub s: f64,
    /// Variance of `s` without a trend, corrected for ties.
    pub variance: f64,
    /// Chance of such an `s`, or one further from zero, without a trend.
    pub p: f64,
}

/// The test of Mann (1945) and Kendall (1975): `S = Σ sgn(xⱼ − xᵢ)` with the variance `(n(n−1)(2n+5) − Σ t(t−1)(2t+5)) / 18`, `t`
/// being the sizes of groups of equal points, and a correction for continuity.
#[must_use]
pub fn mann_kendall(points: &[f64]) -> MannKendall {
    let mut s = 0.0_f64;
    for (i, a) in points.iter().enumerate() {
        for b in points.iter().skip(i + 1) {
            s += match b.partial_cmp(a) {
                Some(Ordering::Greater) => 1.0,
                Some(Ordering::Less) => -1.0,
                Some(Ordering::Equal) | None => 0.0,
            };
        }
    }
    let part = |n: f64| n * (n - 1.0) * 2.0_f64.mul_add(n, 5.0);
    let mut sorted = points.to_vec();
    sorted.sort_by(f64::total_cmp);
    let ties: f64 =
        sorted.chunk_by(|a, b| a.partial_cmp(b) == Some(Ordering::Equal)).map(|group| part(as_f64(group.len()))).sum();
    let variance = (part(as_f64(points.len())) - ties) / 18.0;
    let p = if variance > 0.0 { chance_beyond(((s.abs() - 1.0).max(0.0)) / variance.sqrt()) } else { 1.0 };
    MannKendall { s, variance, p }
}

/// A trend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Change from the first to the last point, by the Theil–Sen slope.
    pub change: f64,
    /// The same as a share of the median of the points; zero where that is zero.
    pub share: f64,
    /// Chance of such a trend where there is none.
    pub p: f64,
}

impl Trend {
    /// Whether it is more than chance.
    #[must_use]
    pub fn is_significant(self) -> bool {
        self.p < TREND_ALPHA
    }
}

/// The trend of points at equal distances; `None` below [`MIN_TREND_POINTS`].
///
/// Neighbours hang together in most series of computers, and Mann–Kendall then sees trends in noise. So the correlation of
/// neighbours is estimated from the points without their slope, corrected for the bias of short series, and where it is
/// positive it is taken out before the test (prewhitening, von Storch 1995, with the correlation of the detrended series).
#[must_use]
pub fn trend(points: &[f64]) -> Option<Trend> {
    if points.len() < MIN_TREND_POINTS || points.iter().any(|point| !point.is_finite()) {
        return None;
    }
    let slope = theil_sen(points)?;
    let rest: Vec<f64> = points.iter().enumerate().map(|(i, point)| slope.mul_add(-as_f64(i), *point)).collect();
    let correlation = neighbours(&rest);
    let tested = if correlation > 0.0 {
        let white = points.array_windows().map(|[before, point]| correlation.mul_add(-before, *point));
        mann_kendall(&white.collect::<Vec<_>>())
    } else {
        mann_kendall(points)
    };
    let middle = median(&mut points.to_vec())?.abs();
    let change = slope * as_f64(points.len() - 1);
    // Points that differ by less than a double can tell apart have no trend.
    let p = if slope == 0.0 { 1.0 } else { tested.p };
    Some(Trend { change, share: if middle > 0.0 { change / middle } else { 0.0 }, p })
}

/// Correlation of neighbours, corrected for what short series hide of it: `(n·r + 1) / (n − 4)` (Kendall 1954), at most 0.99.
fn neighbours(points: &[f64]) -> f64 {
    let n = as_f64(points.len());
    let mean = points.iter().sum::<f64>() / n;
    let spread: f64 = points.iter().map(|point| (point - mean).powi(2)).sum();
    let together: f64 = points.array_windows().map(|[a, b]| (a - mean) * (b - mean)).sum();
    // Rounding is no noise: a straight line leaves nothing that could hang together.
    if spread <= (mean.abs() * 1e-9).powi(2) * n || spread == 0.0 {
        return 0.0;
    }
    n.mul_add(together / spread, 1.0).min(0.99 * (n - 4.0)) / (n - 4.0)
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(middle.checked_sub(1)?).map(|lower| f64::midpoint(*lower, upper))
}

/// Chance that a standard normal number lies further from zero than `z ≥ 0`: `erfc(z/√2)`, by the rational approximation of
/// Press et al., Numerical Recipes 6.2, within 1.2e-7 of it everywhere.
fn chance_beyond(z: f64) -> f64 {
    const TERMS: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let x = z / std::f64::consts::SQRT_2;
    let t = 1.0 / 0.5_f64.mul_add(x, 1.0);
    let sum = TERMS.iter().rev().fold(0.0, |sum: f64, term| sum.mul_add(t, *term));
    (t * x.mul_add(-x, sum).exp()).clamp(0.0, 1.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of points are far below 2^52")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
