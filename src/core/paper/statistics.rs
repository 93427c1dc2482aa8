//! Means, standard deviations and trends of small samples.

/// Mean and sample standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Summary {
    /// Number of values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Standard deviation of the sample (over n − 1); nothing of one value.
    pub deviation: Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "samples are far smaller than 2^52")]
const fn float(n: usize) -> f64 {
    n as f64
}

impl Summary {
    /// Of these values; nothing of none.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        // Welford's algorithm: no large squares are subtracted from each other.
        let (mut n, mut mean, mut squares) = (0, 0.0, 0.0);
        for value in values {
            n += 1;
            let delta = value - mean;
            mean += delta / float(n);
            squares += delta * (value - mean);
        }
        let deviation = (n > 1).then(|| (squares / float(n - 1)).sqrt());
        (n > 0).then_some(Self { n, mean, deviation })
    }
}

/// Least number of points that a direction is told of.
pub(super) const LEAST_POINTS: usize = 8;
/// Most points that are looked at: of more, the newest.
const MOST_POINTS: usize = 500;

/// Where a series is going.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trend {
    /// `Rising`, `Falling` or `Steady`.
    pub direction: &'static str,
    /// Median of the slopes between any two points, per hour.
    pub per_hour: f64,
}

/// The trend of points of time in seconds and value; nothing of fewer than [`LEAST_POINTS`].
///
/// The direction is that of the test of Mann and Kendall at 95 %, with its correction for equal values, and the slope that of
/// Theil and Sen: neither is led astray by single spikes.
pub(super) fn trend(points: &[(f64, f64)]) -> Option<Trend> {
    let points = points.get(points.len().saturating_sub(MOST_POINTS)..)?;
    if points.len() < LEAST_POINTS {
        return None;
    }
    let mut score = 0.0;
    let mut slopes = Vec::new();
    for (index, (at, value)) in points.iter().enumerate() {
        for (later, other) in points.iter().skip(index + 1) {
            if later > at {
                slopes.push((other - value) / (later - at));
                score += f64::from(i8::from(other > value) - i8::from(other < value));
            }
        }
    }
    slopes.sort_by(f64::total_cmp);
    let middle = |at: usize| slopes.get(at).copied();
    let half = slopes.len() / 2;
    let median =
        if slopes.len() % 2 == 1 { middle(half)? } else { f64::midpoint(middle(half.checked_sub(1)?)?, middle(half)?) };
    let n = float(points.len());
    let spread = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    let ties: f64 = values.chunk_by(|a, b| a.total_cmp(b).is_eq()).map(|same| spread(float(same.len()))).sum();
    let variance = (spread(n) - ties) / 18.0;
    let z = if variance > 0.0 && score != 0.0 { (score - score.signum()) / variance.sqrt() } else { 0.0 };
    let direction = if z > 1.96 {
        "Rising"
    } else if z < -1.96 {
        "Falling"
    } else {
        "Steady"
    };
    Some(Trend { direction, per_hour: median * 3600.0 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sample_has_the_deviation_of_a_sample() {
        let summary = Summary::of([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter()).unwrap();
        assert_eq!((summary.n, summary.mean), (8, 5.0));
        assert!((summary.deviation.unwrap() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(Summary::of([3.0].into_iter()).unwrap().deviation, None);
        assert_eq!(Summary::of(std::iter::empty()), None);
    }

    fn series(values: &[f64]) -> Vec<(f64, f64)> {
        (0_u32..).zip(values).map(|(n, value)| (f64::from(n) * 60.0, *value)).collect()
    }

    #[test]
    fn a_trend_needs_points_and_survives_a_spike() {
        let direction = |values: &[f64]| trend(&series(values)).map(|trend| trend.direction);
        assert_eq!(direction(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), None);
        assert_eq!(direction(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]), Some("Rising"));
        assert_eq!(direction(&[8.0, 7.0, 6.0, 99.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]), Some("Falling"));
        assert_eq!(direction(&[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]), Some("Steady"));
        assert_eq!(direction(&[5.0; 20]), Some("Steady"));
        let rising = trend(&series(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])).unwrap();
        assert!((rising.per_hour - 60.0).abs() < 1e-9);
        // Points of one time have no slope.
        assert_eq!(trend(&[(0.0, 1.0); 9]), None);
    }

    proptest! {
        #[test]
        fn a_constant_shift_changes_no_deviation(values in proptest::collection::vec(-1e3..1e3_f64, 2..40), by in -1e3..1e3_f64) {
            let one = Summary::of(values.iter().copied()).unwrap();
            let other = Summary::of(values.iter().map(|value| value + by)).unwrap();
            prop_assert!((one.deviation.unwrap() - other.deviation.unwrap()).abs() < 1e-6);
            prop_assert!((one.mean + by - other.mean).abs() < 1e-6);
        }
    }
}
