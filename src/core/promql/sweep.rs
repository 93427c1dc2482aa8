//! The queries of one round, for all policies together.

use std::collections::{BTreeMap, BTreeSet};

use super::{FreeQuery, SeriesKey, Shape};

/// Collects what all policies want to know of one metrics source, and asks each thing once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sweep {
    shapes: BTreeMap<Shape, BTreeSet<SeriesKey>>,
    free: BTreeSet<FreeQuery>,
}

impl Sweep {
    /// Wants the reading of `key` from `shape`.
    pub fn want(&mut self, shape: Shape, key: SeriesKey) {
        self.shapes.entry(shape).or_default().insert(key);
    }

    /// Wants a free query.
    pub fn want_free(&mut self, query: FreeQuery) {
        self.free.insert(query);
    }

    /// The queries, in a stable order: one per shape and one per distinct free text.
    pub fn queries(&self) -> impl Iterator<Item = Query<'_>> {
        let shaped = self.shapes.iter().map(|(shape, wanted)| Query::Shaped { shape, wanted });
        shaped.chain(self.free.iter().map(Query::Free))
    }

    /// Number of queries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shapes.len() + self.free.len()
    }

    /// Whether nobody wants anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One query of a [`Sweep`].
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
    use crate::core::promql::{Identity, MetricKind, Selector, Statistic, Window, WorkloadKind};

    fn shape(metric: &str) -> Shape {
        let attribution = Identity::default().attribution(Some(WorkloadKind::Deployment));
        let selector = Selector::new(metric, BTreeMap::new()).unwrap();
        Shape::new(selector, MetricKind::Gauge, Statistic::Mean, Window::DEFAULT, attribution).unwrap()
    }

    #[test]
    fn a_thousand_policies_with_one_shape_are_one_query() {
        let mut sweep = Sweep::default();
        for policy in 0..1000 {
            sweep.want(shape("db_pool_size"), SeriesKey::workload(["shop", "mall"][policy % 2], &format!("w{policy}")));
        }
        sweep.want(shape("queue_length"), SeriesKey::workload("shop", "web"));
        sweep.want_free(FreeQuery::new("sum(up)").unwrap());
        sweep.want_free(FreeQuery::new(" sum(up)").unwrap());
        let queries: Vec<_> = sweep.queries().map(|query| query.expr()).collect();
        assert_eq!(queries.len(), 3);
        assert!(queries[0].contains(r#"db_pool_size{namespace=~"mall|shop"}"#), "{}", queries[0]);
        assert!(queries[1].contains(r#"queue_length{namespace="shop",pod=~"(?:web)-"#), "{}", queries[1]);
        assert_eq!(queries[2], "sum(up)");
        let freshness: Vec<_> = sweep.queries().map(|query| query.freshness().is_some()).collect();
        assert_eq!(freshness, [true, true, false]);
    }

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
