//! What every query of one shape has in common: whose series, over which time, grouped how.

use std::collections::BTreeSet;

use super::{Attribution, Selector, SeriesKey, Window};

/// The frame around what is computed.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub attribution: &'a Attribution,
    /// Labels that are kept apart.
    pub by: &'a [String],
    pub window: Window,
    pub wanted: &'a BTreeSet<SeriesKey>,
}

impl Frame<'_> {
    /// The samples of a metric in the window: `name{matchers}[5m]`. `own` are matchers of ours.
    pub fn range(&self, selector: &Selector, suffix: &str, own: &str) -> String {
        format!("{}[{}]", self.instant(selector, suffix, own), self.window)
    }

    /// The newest samples of a metric: `name{matchers}`.
    pub fn instant(&self, selector: &Selector, suffix: &str, own: &str) -> String {
        let matchers = self.attribution.matchers(self.wanted);
        selector.expr(suffix, &both(own, &matchers))
    }

    /// The samples in the window of a metric whose series tell no pod.
    pub fn namespace_range(&self, selector: &Selector) -> String {
        format!("{}[{}]", self.namespace_instant(selector), self.window)
    }

    /// The newest samples of a metric whose series tell no pod.
    pub fn namespace_instant(&self, selector: &Selector) -> String {
        selector.expr("", &self.attribution.namespaces(self.wanted))
    }

    /// `aggregation` of the series of each workload (or namespace), and of each value of the labels kept apart.
    pub fn each(&self, aggregation: &str, vector: &str) -> String {
        self.group(aggregation, &[], vector)
    }

    /// The same, with `le` kept for `histogram_quantile`.
    pub fn each_bucket(&self, aggregation: &str, vector: &str) -> String {
        self.group(aggregation, &["le"], vector)
    }

    /// The sum of the series of each pod, and of each value of the labels kept apart.
    pub fn pods(&self, vector: &str) -> String {
        let labels = self.attribution.labels_of_pod(self.by.iter().map(String::as_str));
        format!("sum by ({labels}) ({vector})")
    }

    /// `aggregation` over a workload (or namespace) as a whole.
    pub fn whole(&self, aggregation: &str, vector: &str) -> String {
        let labels = self.attribution.labels([]);
        format!("{aggregation} by ({labels}) ({})", self.attribution.labelled(vector))
    }

    fn group(&self, aggregation: &str, extra: &[&str], vector: &str) -> String {
        let labels = self.attribution.labels(self.by.iter().map(String::as_str).chain(extra.iter().copied()));
        format!("{aggregation} by ({labels}) ({})", self.attribution.labelled(vector))
    }
}

/// Two lists of matchers as one.
fn both(a: &str, b: &str) -> String {
    [a, b].into_iter().filter(|matchers| !matchers.is_empty()).collect::<Vec<_>>().join(",")
}
