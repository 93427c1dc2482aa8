//! One way of reading a metric: the query of all policies that read it so.

use std::collections::BTreeSet;

use super::{Attribution, MetricKind, Selector, SeriesKey, Statistic, StatisticError, Window};
use crate::{
    api::conditions::Reason,
    core::units::{Excerpt, MetricUnit},
};

/// What two thresholds must have in common to be answered by one query: metric, labels, kind, statistic, window and the
/// labels that tell the workload. Bounds are not part of it; they are compared on our side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    selector: Selector,
    kind: MetricKind,
    statistic: Statistic,
    window: Window,
    attribution: Attribution,
}

impl Shape {
    /// A shape, if the statistic can be computed of such a metric.
    pub fn new(
        selector: Selector,
        kind: MetricKind,
        statistic: Statistic,
        window: Window,
        attribution: Attribution,
    ) -> Result<Self, StatisticError> {
        Ok(Self { selector, kind, statistic: statistic.check(kind)?, window, attribution })
    }

    /// How its answers tell whose they are.
    #[must_use]
    pub const fn attribution(&self) -> &Attribution {
        &self.attribution
    }

    /// The time over which the statistic is taken.
    #[must_use]
    pub const fn window(&self) -> Window {
        self.window
    }

    /// The unit of its readings, from the metric's name.
    #[must_use]
    pub fn unit(&self) -> MetricUnit {
        self.statistic.unit(self.kind, self.selector.name())
    }

    /// Up to how many namespaces and workloads a query names; beyond, it asks for all of them.
    pub const MAX_LISTED: usize = 200;

    /// What NaN says in its answers. Where the statistic divides by the number of observations, it is nothing divided by
    /// nothing: nothing was observed in the window. Where it only passes on what was exported, the application said it.
    #[must_use]
    pub const fn nan(&self) -> Reason {
        match (self.kind, self.statistic) {
            (MetricKind::Histogram, Statistic::Quantile(_) | Statistic::Mean) => Reason::TooFewSamples,
            _ => Reason::NotANumber,
        }
    }

    /// The query, answering one sample per workload (or namespace): at least for those that are wanted, or for all if
    /// none are named.
    #[must_use]
    pub fn expr(&self, wanted: &BTreeSet<SeriesKey>) -> String {
        let matcher = self.attribution.matchers(wanted, Self::MAX_LISTED);
        let over = |function: &str, suffix: &str| {
            let series = format!("{function}({}[{}])", self.selector.expr(suffix, &matcher), self.window);
            self.attribution.labelled(&series)
        };
        let by = self.attribution.by(None);
        match (self.kind, self.statistic) {
            (MetricKind::Histogram, Statistic::Quantile(percentile)) => {
                // Buckets of all pods are added up first: a mean of percentiles is not a percentile.
                let by = self.attribution.by(Some("le"));
                format!("histogram_quantile({},sum {by} ({}))", percentile.quantile(), over("rate", "_bucket"))
            }
            (MetricKind::Histogram, Statistic::Mean) => {
                format!("sum {by} ({}) / sum {by} ({})", over("rate", "_sum"), over("rate", "_count"))
            }
            (MetricKind::Histogram, Statistic::Increase) => format!("sum {by} ({})", over("increase", "_count")),
            (MetricKind::Histogram, _) => format!("sum {by} ({})", over("rate", "_count")),
            (_, Statistic::Quantile(percentile)) => {
                // Percentiles of several pods do not add up: the largest is one that was read.
                let selector = self.selector.expr("", &matcher);
                let series = format!("quantile_over_time({},{selector}[{}])", percentile.quantile(), self.window);
                format!("max {by} ({})", self.attribution.labelled(&series))
            }
            (_, Statistic::Max) => format!("max {by} ({})", over("max_over_time", "")),
            (_, Statistic::Min) => format!("min {by} ({})", over("min_over_time", "")),
            (_, Statistic::Rate) => format!("sum {by} ({})", over("rate", "")),
            (_, Statistic::Increase) => format!("sum {by} ({})", over("increase", "")),
            (_, Statistic::Mean) => format!("avg {by} ({})", over("avg_over_time", "")),
        }
    }

    /// A query for the age of the data: the time of the newest sample per workload, in seconds since the epoch.
    ///
    /// An answer's own timestamp is the evaluation time, and a range function looks as far back as its window: only this
    /// tells that a target stopped being scraped. `timestamp` keeps a sample's time on a plain selector only. Of a
    /// histogram it reads one series, not all buckets.
    #[must_use]
    pub fn freshness(&self, wanted: &BTreeSet<SeriesKey>) -> String {
        let matcher = self.attribution.matchers(wanted, Self::MAX_LISTED);
        let suffix = match self.kind {
            MetricKind::Histogram => "_count",
            MetricKind::Gauge | MetricKind::Counter => "",
        };
        let times = format!("timestamp({})", self.selector.expr(suffix, &matcher));
        format!("max {} ({})", self.attribution.by(None), self.attribution.labelled(&times))
    }
}

/// `PromQL` as the policy gives it, run alone and unchanged. Its answer must be one sample.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FreeQuery(String);

impl FreeQuery {
    /// Longest text, in bytes.
    pub const MAX_LENGTH: usize = 2048;

    /// Only the server can parse it; this refuses what could not be sent.
    pub fn new(text: &str) -> Result<Self, FreeQueryError> {
        match text.trim() {
            "" => Err(FreeQueryError::Empty),
            text if text.len() > Self::MAX_LENGTH => Err(FreeQueryError::TooLong(text.len())),
            text if text.contains('\0') => Err(FreeQueryError::Nul(Excerpt::new(text))),
            text => Ok(Self(text.to_owned())),
        }
    }

    /// The query.
    #[must_use]
    pub fn expr(&self) -> &str {
        &self.0
    }

    /// What NaN says in its answer: that nothing was divided by nothing, if the query divides; else somebody exports it.
    #[must_use]
    pub fn nan(&self) -> Reason {
        if self.divides() { Reason::TooFewSamples } else { Reason::NotANumber }
    }

    fn divides(&self) -> bool {
        // A quoted text may hold anything: routes have slashes.
        let mut bare = String::new();
        let mut quote = None;
        let mut chars = self.0.chars();
        while let Some(c) = chars.next() {
            match quote {
                // In backquotes nothing is escaped.
                Some('"' | '\'') if c == '\\' => drop(chars.next()),
                Some(open) if c == open => quote = None,
                Some(_) => {}
                None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
                None => bare.push(c),
            }
        }
        bare.contains(['/', '%']) || bare.contains("histogram_quantile") || bare.contains("histogram_avg")
    }
}

/// Why a free query is refused. The text continues the path of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FreeQueryError {
    /// Nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// Beyond the API's limit.
    #[error("must have at most {max} bytes, not {0}", max = FreeQuery::MAX_LENGTH)]
    TooLong(usize),
    /// A NUL character.
    #[error("must not contain NUL: {0}")]
    Nul(Excerpt),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::core::promql::{Identity, SeriesKey, WorkloadKind};

    fn shape(kind: MetricKind, metric: &str, statistic: &str, workload: Option<WorkloadKind>) -> Shape {
        let selector = Selector::new(metric, BTreeMap::from([("http_route".to_owned(), "/api/chat/".to_owned())]));
        let statistic = Statistic::parse(statistic).unwrap();
        let attribution = Identity::default().attribution(workload);
        Shape::new(selector.unwrap(), kind, statistic, Window::DEFAULT, attribution).unwrap()
    }

    fn wanted(keys: &[(&str, &str)]) -> BTreeSet<SeriesKey> {
        keys.iter().map(|(namespace, name)| SeriesKey::workload(namespace, name)).collect()
    }

    #[test]
    fn nan_is_no_samples_only_where_something_is_divided() {
        for (query, nan) in [
            ("sum(rate(a[5m])) / sum(rate(b[5m]))", Reason::TooFewSamples),
            ("histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))", Reason::TooFewSamples),
            (r#"max(latency{route="/api/\"x",p='/'}) "#, Reason::NotANumber),
            (r"max(latency{route=`\`}) / 2", Reason::TooFewSamples),
        ] {
            assert_eq!(FreeQuery::new(query).unwrap().nan(), nan, "{query}");
        }
    }

    #[test]
    fn a_percentile_is_taken_over_all_pods_of_a_workload() {
        let shape = shape(MetricKind::Histogram, "http_seconds", "p99.9", Some(WorkloadKind::StatefulSet));
        assert_eq!(
            shape.expr(&wanted(&[("shop", "web")])),
            "histogram_quantile(0.999,sum by (namespace,trimtab_workload,le) (label_replace(\
             rate(http_seconds_bucket{namespace=\"shop\",pod=~\"(?:web)-[0-9]+\",http_route=\"/api/chat/\"}[5m]),\
             \"trimtab_workload\",\"$1\",\"pod\",\"^(.+)-[0-9]+$\")))"
        );
        assert_eq!(
            shape.freshness(&wanted(&[("shop", "web"), ("mall", "a.b")])),
            "max by (namespace,trimtab_workload) (label_replace(\
             timestamp(http_seconds_count{namespace=~\"mall|shop\",pod=~\"(?:a\\\\.b|web)-[0-9]+\",http_route=\"/api/chat/\"}),\
             \"trimtab_workload\",\"$1\",\"pod\",\"^(.+)-[0-9]+$\"))"
        );
    }

    #[test]
    fn every_statistic_has_its_function() {
        let on = |kind, statistic| shape(kind, "m", statistic, None).expr(&BTreeSet::new());
        for (kind, statistic, expr) in [
            (MetricKind::Gauge, "mean", "avg by (namespace) (avg_over_time(m{S}[5m]))"),
            (MetricKind::Gauge, "max", "max by (namespace) (max_over_time(m{S}[5m]))"),
            (MetricKind::Gauge, "min", "min by (namespace) (min_over_time(m{S}[5m]))"),
            (MetricKind::Counter, "rate", "sum by (namespace) (rate(m{S}[5m]))"),
            (MetricKind::Counter, "increase", "sum by (namespace) (increase(m{S}[5m]))"),
            (MetricKind::Gauge, "p95", "max by (namespace) (quantile_over_time(0.95,m{S}[5m]))"),
            (MetricKind::Histogram, "rate", "sum by (namespace) (rate(m_count{S}[5m]))"),
            (MetricKind::Histogram, "increase", "sum by (namespace) (increase(m_count{S}[5m]))"),
            (
                MetricKind::Histogram,
                "mean",
                "sum by (namespace) (rate(m_sum{S}[5m])) / sum by (namespace) (rate(m_count{S}[5m]))",
            ),
            (MetricKind::Histogram, "p50", "histogram_quantile(0.5,sum by (namespace,le) (rate(m_bucket{S}[5m])))"),
        ] {
            assert_eq!(on(kind, statistic), expr.replace('S', "http_route=\"/api/chat/\""));
        }
    }

    #[test]
    fn long_lists_are_left_out() {
        let shape = shape(MetricKind::Gauge, "m", "mean", Some(WorkloadKind::DaemonSet));
        let many = |count: usize, namespaces: usize| -> String {
            let key = |n| SeriesKey::workload(&format!("n{}", n % namespaces), &format!("w{n}"));
            shape.expr(&(0..count).map(key).collect())
        };
        let lists = |expr: &str| (expr.contains("namespace=~"), expr.contains("pod=~"));
        assert_eq!(lists(&many(Shape::MAX_LISTED, 2)), (true, true));
        assert_eq!(lists(&many(Shape::MAX_LISTED + 1, 2)), (true, false));
        assert_eq!(lists(&many(Shape::MAX_LISTED + 1, Shape::MAX_LISTED + 1)), (false, false));
        assert_eq!(
            lists(&shape.expr(&BTreeSet::from([SeriesKey::namespace("a"), SeriesKey::namespace("b")]))),
            (true, false)
        );
    }

    #[test]
    fn what_does_not_fit_is_no_shape() {
        let selector = Selector::new("m", BTreeMap::new()).unwrap();
        let attribution = Identity::default().attribution(None);
        assert!(Shape::new(selector, MetricKind::Gauge, Statistic::Rate, Window::DEFAULT, attribution).is_err());
    }

    #[test]
    fn a_label_that_holds_the_workload_needs_no_pattern() {
        let identity =
            Identity { workload: Some("k8s.deployment".to_owned()), namespace: "ns".to_owned(), ..Identity::default() };
        let attribution = identity.attribution(Some(WorkloadKind::Deployment));
        // The kind does not matter then, so that all kinds share one query.
        assert_eq!(attribution, identity.attribution(Some(WorkloadKind::DaemonSet)));
        let selector = Selector::new("m", BTreeMap::new()).unwrap();
        let shape = Shape::new(selector, MetricKind::Gauge, Statistic::Max, Window::DEFAULT, attribution).unwrap();
        assert_eq!(
            shape.expr(&wanted(&[("a", "web")])),
            r#"max by (ns,"k8s.deployment") (max_over_time(m{ns="a","k8s.deployment"="web"}[5m]))"#
        );
        let labels = BTreeMap::from([("ns", "a"), ("k8s.deployment", "web")]);
        let key = shape.attribution().key(|name| labels.get(name).copied());
        assert_eq!(key, Some(SeriesKey::workload("a", "web")));
    }

    #[test]
    fn samples_that_do_not_tell_whose_they_are_have_no_key() {
        let attribution = Identity::default().attribution(Some(WorkloadKind::Deployment));
        let key = |labels: &[(&str, &'static str)]| {
            attribution.key(|name| labels.iter().find(|(label, _)| *label == name).map(|(_, value)| *value))
        };
        assert_eq!(key(&[("namespace", "a"), ("trimtab_workload", "web")]), Some(SeriesKey::workload("a", "web")));
        assert_eq!(key(&[("namespace", "a")]), None);
        assert_eq!(key(&[("namespace", "a"), ("trimtab_workload", "")]), None);
        assert_eq!(key(&[("trimtab_workload", "web")]), None);
        let whole = Identity::default().attribution(None);
        assert_eq!(whole.key(|name| (name == "namespace").then_some("a")), Some(SeriesKey::namespace("a")));
    }

    #[test]
    fn free_queries_are_sent_as_given() {
        assert_eq!(FreeQuery::new(" sum(up) \n").unwrap().expr(), "sum(up)");
        assert_eq!(FreeQuery::new(" "), Err(FreeQueryError::Empty));
        assert_eq!(
            FreeQuery::new(&"x".repeat(2049)).unwrap_err().to_string(),
            "must have at most 2048 bytes, not 2049"
        );
        assert!(matches!(FreeQuery::new("up\0"), Err(FreeQueryError::Nul(_))));
    }

    proptest! {
        #[test]
        fn values_from_outside_stay_inside_their_literals(value in any::<String>(), namespace in "\\PC{1,20}", label in "\\PC{1,20}") {
            prop_assume!(label != "le" && label != "__name__");
            let selector = Selector::new("m", BTreeMap::from([(label, value.clone())])).unwrap();
            let identity = Identity { namespace: namespace.clone(), ..Identity::default() };
            let attribution = identity.attribution(Some(WorkloadKind::Deployment));
            let shape = Shape::new(selector, MetricKind::Gauge, Statistic::Mean, Window::DEFAULT, attribution).unwrap();
            let expr = shape.expr(&wanted(&[(&namespace, &value), ("b", "web")]));
            // Outside of literals only our own alphabet is left, and brackets are balanced.
            let mut outside = String::new();
            let (mut inside, mut escaped) = (false, false);
            for char in expr.chars() {
                match (inside, escaped, char) {
                    (true, true, _) => escaped = false,
                    (true, false, '\\') => escaped = true,
                    (_, _, '"') => inside = !inside,
                    (true, _, _) => {}
                    (false, _, char) => outside.push(char),
                }
            }
            prop_assert!(!inside);
            prop_assert!(outside.chars().all(|c| c.is_ascii_alphanumeric() || "_(){}[],=~ ".contains(c)), "{}", outside);
            let count = |wanted| outside.chars().filter(|c| *c == wanted).count();
            prop_assert_eq!((count('{'), count('}'), count('['), count(']')), (1, 1, 1, 1));
            prop_assert_eq!(count('('), count(')'));
        }
    }
}
