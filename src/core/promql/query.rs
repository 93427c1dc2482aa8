//! What is sent: the text of a query, and the points of a range.

use std::collections::BTreeSet;

use super::{FreeQuery, SeriesKey, Shape};

/// One query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query<'a> {
    /// For all workloads together.
    Shaped {
        /// What is read.
        shape: &'a Shape,
        /// Of whom somebody wants to know it.
        wanted: &'a BTreeSet<SeriesKey>,
    },
    /// As the policy gives it.
    Free(&'a FreeQuery),
}

impl Query<'_> {
    /// The `PromQL`, for instant and range queries alike.
    #[must_use]
    pub fn expr(&self) -> String {
        match self {
            Self::Shaped { shape, wanted } => shape.expr(wanted),
            Self::Free(query) => query.expr().to_owned(),
        }
    }

    /// The query for the age of the data; of a free query nobody knows the series.
    #[must_use]
    pub fn freshness(&self) -> Option<String> {
        match self {
            Self::Shaped { shape, wanted } => Some(shape.freshness(wanted)),
            Self::Free(_) => None,
        }
    }
}

/// The parameters of a range query, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeWindow {
    /// First evaluation, since the epoch.
    pub start: i64,
    /// Last evaluation, since the epoch.
    pub end: i64,
    /// Time between two evaluations.
    pub step: i64,
}

impl RangeWindow {
    /// Most points of one series that Prometheus answers.
    const MAX_POINTS: i64 = 11_000;

    /// What was read in the `lookback` before `end`, every `interval`: for rebuilding how long a bound has been crossed.
    /// The last point is `end` itself, the first at or before `end - lookback`. Where that would be more points than
    /// Prometheus answers, they lie further apart.
    #[must_use]
    pub fn before(end: i64, lookback: i64, interval: i64) -> Self {
        let lookback = lookback.max(0);
        let finest = lookback / (Self::MAX_POINTS - 1) + i64::from(lookback % (Self::MAX_POINTS - 1) > 0);
        let step = interval.max(finest).max(1);
        let steps = lookback / step + i64::from(lookback % step > 0);
        Self { start: end.saturating_sub(steps.saturating_mul(step)), end, step }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_ends_now_and_covers_the_lookback() {
        let range = RangeWindow::before(1_000_000, 120_000, 30_000);
        assert_eq!(range, RangeWindow { start: 880_000, end: 1_000_000, step: 30_000 });
        assert_eq!(RangeWindow::before(1_000_000, 100_000, 30_000).start, 880_000);
        assert_eq!(RangeWindow::before(1_000_000, 0, 30_000).start, 1_000_000);
    }

    proptest! {
        #[test]
        fn a_range_never_asks_for_too_many_points(end: i64, lookback: i64, interval: i64) {
            let range = RangeWindow::before(end, lookback, interval);
            prop_assert!(range.step >= 1 && range.start <= range.end);
            prop_assert!(range.end.abs_diff(range.start) / range.step.unsigned_abs() < 11_000);
        }

        #[test]
        fn a_range_covers_its_lookback(end in 0_i64..1 << 50, lookback in 0_i64..1 << 40, interval in 1_i64..1 << 30) {
            let range = RangeWindow::before(end, lookback, interval);
            prop_assert!(range.start <= end - lookback);
            prop_assert_eq!((range.end - range.start) % range.step, 0);
        }
    }
}
