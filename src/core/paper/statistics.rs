//! Means and standard deviations of small samples, and where they are going.

#[cfg(doc)]
use crate::core::statistics::MIN_TREND_POINTS;
use crate::core::statistics::trend;

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

/// Where a series is going.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Course {
    /// `Rising`, `Falling` or `Steady`.
    pub direction: &'static str,
    /// Median of the slopes between any two points, per hour.
    pub per_hour: f64,
}

/// Where points of time in seconds and value are going; nothing of fewer than [`MIN_TREND_POINTS`], or of one moment.
///
/// Recorded points are at equal distances, as a range query gives them.
pub(super) fn course(points: &[(f64, f64)]) -> Option<Course> {
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    let found = trend(&values)?;
    let hours = (points.last()?.0 - points.first()?.0) / 3600.0;
    let direction = match found.change {
        change if !found.is_significant() || change == 0.0 => "Steady",
        change if change > 0.0 => "Rising",
        _ => "Falling",
    };
    (hours > 0.0).then_some(Course { direction, per_hour: found.change / hours })
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
    fn a_course_has_a_direction_where_the_trend_is_more_than_chance() {
        let rising: Vec<f64> = (0..12).map(f64::from).collect();
        let falling: Vec<f64> = rising.iter().rev().copied().collect();
        let direction = |values: &[f64]| course(&series(values)).map(|course| course.direction);
        assert_eq!(direction(&rising[..7]), None);
        assert_eq!(direction(&rising), Some("Rising"));
        assert_eq!(direction(&falling), Some("Falling"));
        assert_eq!(direction(&[5.0; 20]), Some("Steady"));
        assert!((course(&series(&rising)).unwrap().per_hour - 60.0).abs() < 1e-9);
        // Points of one time have no slope.
        assert_eq!(course(&[(0.0, 1.0); 12]), None);
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
