//! One way of reading a metric: the query of all policies that read it so.

use std::collections::BTreeSet;

use super::{
    Attribution, Check, Identity, Measure, Selector, SeriesKey, VALUE_LABEL, Window, WorkloadKind,
    frame::Frame,
    text::{is_plain_label, quote},
};
use crate::{
    api::conditions::Reason,
    core::units::{Excerpt, MetricUnit},
};

/// What two thresholds must have in common to be answered by one query: what is computed of which series, window, the
/// labels that tell the workload and those that are kept apart. Bounds are not part of it; they are compared on our side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    measure: Measure,
    window: Window,
    by: Box<[String]>,
    attribution: Attribution,
    /// Whether the number of observations is asked for, too.
    counted: bool,
}

/// The label that tells counts of observations from readings, in the one answer that has both.
pub const PART_LABEL: &str = "trimtab_part";
/// Its value on counts.
const COUNT: &str = "count";

impl Shape {
    /// A shape that keeps the labels `by` apart.
    #[must_use]
    pub const fn new(measure: Measure, window: Window, by: Box<[String]>, attribution: Attribution) -> Self {
        let counted = false;
        Self { measure, window, by, attribution, counted }
    }

    /// What every pod tells in a gauge, of workloads of a kind or of whole namespaces.
    #[must_use]
    pub fn told(selector: Selector, identity: &Identity, workload: Option<WorkloadKind>) -> Self {
        let by = [identity.pod.clone(), VALUE_LABEL.to_owned()];
        Self::new(Measure::told(selector), Window::NEWEST, by.into(), identity.attribution(workload))
    }

    /// The same, with the number of observations that each reading is made of: by the same query, because it must be of the
    /// same moment.
    #[must_use]
    pub fn counted(self, counted: bool) -> Self {
        Self { counted: counted || self.measure.may_be_young(), ..self }
    }

    /// The same query over another window.
    #[must_use]
    pub fn over(self, window: Window) -> Self {
        Self { window, ..self }
    }

    /// The time over which the statistic is taken.
    #[must_use]
    pub const fn window(&self) -> Window {
        self.window
    }

    /// The unit of its readings, from the metric's name.
    #[must_use]
    pub fn unit(&self) -> MetricUnit {
        self.measure.unit()
    }

    /// Up to how many workloads a query names; beyond, it asks for all of them.
    pub const MAX_NAMES: usize = 1000;
    /// Up to how many namespaces a query names; beyond, it asks for all of them.
    pub const MAX_NAMESPACES: usize = 200;
    /// Most groups of a workload that are told apart.
    pub const MAX_GROUPS: usize = 32;
    /// Most values that the pods of a workload may tell, each pod's counted apart.
    pub const MAX_TOLD: usize = 2048;

    /// What NaN says in its answers.
    #[must_use]
    pub const fn nan(&self) -> Reason {
        self.measure.nan()
    }

    /// The query, answering one sample per workload (or namespace) and group: at least for those that are wanted, or for
    /// all if none are named.
    ///
    /// Of groups it answers at most one more than [`Self::MAX_GROUPS`], which is enough to tell that there are too many:
    /// a label with a million values makes no large answer.
    #[must_use]
    pub fn expr(&self, wanted: &BTreeSet<SeriesKey>) -> String {
        let readings = self.readings(wanted);
        match self.counts(wanted) {
            None => readings,
            Some(count) => {
                format!("{readings} or label_replace({count},\"{PART_LABEL}\",\"{COUNT}\",\"\",\"\")")
            }
        }
    }

    /// What is to be asked now and then, to know whether its readings can be trusted.
    #[must_use]
    pub fn checks(&self) -> Option<Self> {
        let checked = self.measure.checks()?;
        let by: Box<[String]> = checked.label().map(str::to_owned).into_iter().collect();
        let window = if by.is_empty() { self.window } else { Window::NEWEST };
        Some(Self::new(Measure::check(checked), window, by, self.attribution.clone()))
    }

    /// What its answer tells, if it is asked for that alone.
    #[must_use]
    pub fn check(&self) -> Option<Check> {
        self.measure.checked().map(super::check::Checked::tells)
    }

    /// The part of the query that answers readings.
    #[must_use]
    pub fn readings(&self, wanted: &BTreeSet<SeriesKey>) -> String {
        self.few(self.measure.expr(&self.frame(wanted)))
    }

    /// The part of the query that answers numbers of observations, where they matter.
    #[must_use]
    pub fn counts(&self, wanted: &BTreeSet<SeriesKey>) -> Option<String> {
        self.measure.count(&self.frame(wanted)).filter(|_| self.counted).map(|count| self.few(count))
    }

    /// The labels that tell a reading from others: those of its workload (or namespace), and those that are kept apart.
    #[must_use]
    pub fn grouping(&self) -> String {
        self.attribution.labels(self.by.iter().map(String::as_str))
    }

    /// The labels that tell a workload (or namespace).
    #[must_use]
    pub fn whole_labels(&self) -> String {
        self.attribution.labels([])
    }

    /// The label whose value is the workload's name; `None` where namespaces are read.
    #[must_use]
    pub fn workload_label(&self) -> Option<&str> {
        self.attribution.workload_label()
    }

    fn few(&self, expr: String) -> String {
        if self.by.is_empty() {
            return expr;
        }
        let many = self.measure.is_told() || self.measure.checked().is_some();
        let most = if many { Self::MAX_TOLD } else { Self::MAX_GROUPS };
        format!("topk by ({}) ({},{expr})", self.whole_labels(), most + 1)
    }

    /// What it says that there are series and no reading: that all are too young, or that something is missing.
    #[must_use]
    pub fn without_reading(&self) -> Reason {
        if self.measure.may_be_young() { Reason::TooFewSamples } else { Reason::NoData }
    }

    /// The names of the labels that are read of an answer.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.attribution.names().chain(self.by.iter().map(String::as_str)).chain([PART_LABEL])
    }

    /// Whether a sample with these labels is a count of observations.
    pub fn is_count<'a>(label: impl Fn(&str) -> Option<&'a str>) -> bool {
        label(PART_LABEL) == Some(COUNT)
    }

    /// A query for the age of the data: the time of the newest sample per workload, in seconds since the epoch.
    ///
    /// An answer's own timestamp is the evaluation time, and a range function looks as far back as its window: only this
    /// tells that a target stopped being scraped.
    #[must_use]
    pub fn freshness(&self, wanted: &BTreeSet<SeriesKey>) -> String {
        self.measure.freshness(&self.frame(wanted))
    }

    /// Whose sample it is, by its labels; `None` if the labels do not tell.
    pub fn key<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> Option<SeriesKey> {
        let group = self.by.iter().map(|name| Box::from(label(name).unwrap_or_default())).collect();
        Some(SeriesKey { group, ..self.attribution.key(label)? })
    }

    /// Whose sample of the age of data it is.
    pub fn whole_key<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> Option<SeriesKey> {
        self.attribution.key(label)
    }

    fn frame<'a>(&'a self, wanted: &'a BTreeSet<SeriesKey>) -> Frame<'a> {
        Frame { attribution: &self.attribution, by: &self.by, window: self.window, wanted }
    }
}

/// How the series of a gauge are joined to one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The least.
    Min,
    /// All together.
    Sum,
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

    /// One number of a gauge in a namespace: all series of now, joined.
    #[must_use]
    pub fn joined(join: Joined, selector: &Selector, identity: &Identity, namespace: &str) -> Self {
        let join = match join {
            Joined::Min => "min",
            Joined::Sum => "sum",
        };
        let label =
            if is_plain_label(&identity.namespace) { identity.namespace.clone() } else { quote(&identity.namespace) };
        Self(format!("{join}({})", selector.expr("", &format!("{label}={}", quote(namespace)))))
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
    use crate::core::promql::{
        Across, Builtin, Identity, Least, MetricKind, RatioOf, Selector, SeriesKey, Statistic, WorkloadKind,
    };

    fn selector(metric: &str, labels: &[(&str, &str)]) -> Selector {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Selector::new(metric, labels).unwrap()
    }

    fn plain(measure: Measure, attribution: Attribution) -> Shape {
        Shape::new(measure, Window::DEFAULT, Box::default(), attribution)
    }

    fn gauge(statistic: Statistic, attribution: Attribution) -> Shape {
        plain(Measure::statistic(selector("m", &[]), MetricKind::Gauge, statistic).unwrap(), attribution)
    }

    fn shape(kind: MetricKind, metric: &str, statistic: &str, workload: Option<WorkloadKind>) -> Shape {
        let statistic = Statistic::parse(statistic).unwrap();
        let selector = selector(metric, &[("http_route", "/api/chat/")]);
        plain(Measure::statistic(selector, kind, statistic).unwrap(), Identity::default().attribution(workload))
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
             timestamp(http_seconds_count{namespace=~\"mall|shop\",pod=~\"a\\\\.b-.*|web-.*\",http_route=\"/api/chat/\"}),\
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
            (
                MetricKind::Gauge,
                "cv",
                "max by (namespace) (stddev_over_time(m{S}[5m]) / abs(avg_over_time(m{S}[5m])) and m{S} offset 150s)",
            ),
            (MetricKind::Gauge, "slope", "max by (namespace) (deriv(m{S}[5m]) and m{S} offset 150s)"),
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
    fn a_native_histogram_is_read_where_there_is_one_and_classic_buckets_else() {
        let of = |statistic: &str| {
            let statistic = Statistic::parse(statistic).unwrap();
            let measure = Measure::statistic(selector("m", &[]), MetricKind::Histogram, statistic).unwrap();
            plain(measure.may_be_native(true), Identity::default().attribution(None))
        };
        let none = BTreeSet::new();
        let all = "sum by (namespace) (rate(m{}[5m]))";
        for (statistic, native) in [
            ("p95", format!("histogram_quantile(0.95,{all})")),
            ("mean", format!("histogram_sum({all}) / histogram_count({all})")),
            ("rate", "sum by (namespace) (histogram_count(rate(m{}[5m])))".to_owned()),
            ("increase", "sum by (namespace) (histogram_count(increase(m{}[5m])))".to_owned()),
        ] {
            let statistic_of = Statistic::parse(statistic).unwrap();
            let classic = Measure::statistic(selector("m", &[]), MetricKind::Histogram, statistic_of).unwrap();
            let classic = plain(classic, Identity::default().attribution(None)).expr(&none);
            assert_eq!(of(statistic).expr(&none), format!("{native} or {classic}"));
        }
        assert_eq!(
            of("p95").freshness(&none),
            "max by (namespace) (timestamp(m{})) or max by (namespace) (timestamp(m_count{}))"
        );
        assert!(of("p95").counted(true).expr(&none).ends_with(
            " or label_replace(sum by (namespace) (histogram_count(increase(m{}[5m]))) or \
             sum by (namespace) (increase(m_count{}[5m])),\"trimtab_part\",\"count\",\"\",\"\")"
        ));
    }

    #[test]
    fn a_summary_is_read_as_it_is_exported() {
        let of = |statistic: &str| shape(MetricKind::Summary, "m", statistic, None);
        let none = BTreeSet::new();
        let s = "http_route=\"/api/chat/\"";
        assert_eq!(
            of("p95").expr(&none),
            format!("max by (namespace) (avg_over_time(m{{quantile=\"0.95\",{s}}}[5m]))")
        );
        assert_eq!(
            of("mean").expr(&none),
            format!("sum by (namespace) (rate(m_sum{{{s}}}[5m])) / sum by (namespace) (rate(m_count{{{s}}}[5m]))")
        );
        assert_eq!(of("rate").expr(&none), format!("sum by (namespace) (rate(m_count{{{s}}}[5m]))"));
        assert_eq!(of("p95").freshness(&none), format!("max by (namespace) (timestamp(m_count{{{s}}}))"));
        assert_eq!(of("p99").nan(), Reason::TooFewSamples, "the application saw nothing");
        let exported = of("p95").checks().unwrap();
        assert_eq!(exported.check(), Some(Check::Percentiles));
        assert_eq!(
            exported.expr(&none),
            format!("topk by (namespace) (2049,count by (namespace,quantile) (m{{{s}}}))")
        );
    }

    #[test]
    fn an_absent_counter_is_zero_while_its_heartbeat_is_there_and_nothing_is_read_without() {
        let none = BTreeSet::new();
        let errors =
            Measure::statistic(selector("e", &[("code", "500")]), MetricKind::Counter, Statistic::Rate).unwrap();
        let beating = errors.with_heartbeat(Some(selector("up", &[])));
        let beating = plain(beating, Identity::default().attribution(None));
        let alive = "count by (namespace) (up{})";
        let read = "sum by (namespace) (rate(e{code=\"500\"}[5m]))";
        assert_eq!(beating.expr(&none), format!("{read} and {alive} or {alive} * 0"));
        assert_eq!(
            beating.freshness(&none),
            "max by (namespace) (timestamp(e{code=\"500\"})) or max by (namespace) (timestamp(up{}))"
        );
        let share = Measure::ratio(RatioOf::Counters, selector("e", &[]), selector("r", &[]));
        let share = plain(share.with_heartbeat(Some(selector("up", &[]))), Identity::default().attribution(None));
        let all = "sum by (namespace) (rate(r{}[5m]))";
        assert_eq!(
            share.expr(&none),
            format!("(sum by (namespace) (rate(e{{}}[5m])) or {all} * 0) / {all} and on (namespace) {alive}")
        );
        // What has no absence of that kind is left alone.
        let mean = Measure::statistic(selector("m", &[]), MetricKind::Gauge, Statistic::Mean).unwrap();
        assert_eq!(mean.clone().with_heartbeat(Some(selector("up", &[]))), mean);
    }

    #[test]
    fn what_readings_are_worth_is_asked_beside_them() {
        let none = BTreeSet::new();
        let check = |shape: &Shape| shape.checks().map(|check| (check.check().unwrap(), check.expr(&none)));
        let p95 = shape(MetricKind::Histogram, "m", "p95", None);
        let (kind, expr) = check(&p95).unwrap();
        assert_eq!(kind, Check::Buckets);
        assert_eq!(expr, "topk by (namespace) (2049,count by (namespace,le) (m_bucket{http_route=\"/api/chat/\"}))");
        let back = |c: &str| format!("max by (namespace) (resets({c}[5m]) > count_over_time({c}[5m]) * 0.25)");
        let counter = Measure::statistic(selector("c", &[]), MetricKind::Counter, Statistic::Rate).unwrap();
        let counter = plain(counter, Identity::default().attribution(None));
        assert_eq!(check(&counter), Some((Check::Resets, back("c{}"))));
        let hits = ratio(RatioOf::Counters, selector("h", &[]), selector("l", &[]));
        assert_eq!(check(&hits), Some((Check::Resets, format!("{} or {}", back("l{}"), back("h{}")))));
        for unchecked in [shape(MetricKind::Histogram, "m", "mean", None), shape(MetricKind::Gauge, "m", "p95", None)] {
            assert_eq!(check(&unchecked), None);
        }
        assert_eq!(counter.checks().unwrap().checks(), None);
    }

    fn ratio(of: RatioOf, numerator: Selector, denominator: Selector) -> Shape {
        plain(Measure::ratio(of, numerator, denominator), Identity::default().attribution(None))
    }

    #[test]
    fn a_ratio_divides_sums_and_takes_only_what_never_happened_for_nothing() {
        let none = BTreeSet::new();
        // Of one metric: what has no series yet has not happened.
        let errors = ratio(RatioOf::Counters, selector("r", &[("code", "500")]), selector("r", &[]));
        assert_eq!(
            errors.expr(&none),
            "(sum by (namespace) (rate(r{code=\"500\"}[5m])) or sum by (namespace) (rate(r{}[5m])) * 0 \
             and on (namespace) count by (namespace) (rate(r{code!=\"\"}[5m]))) / sum by (namespace) (rate(r{}[5m]))"
        );
        assert_eq!(errors.freshness(&none), "max by (namespace) (timestamp(r{}))");
        // Of two: it may be a name that nobody exports.
        let hits = ratio(RatioOf::Counters, selector("hits", &[]), selector("lookups", &[]));
        assert_eq!(
            hits.expr(&none),
            "sum by (namespace) (rate(hits{}[5m])) / sum by (namespace) (rate(lookups{}[5m]))"
        );
        let (above, below) = ("max by (namespace) (timestamp(hits{}))", "max by (namespace) (timestamp(lookups{}))");
        assert_eq!(hits.freshness(&none), format!("({above} < {below}) or ({below} and {above})"));
        // A state of which there is no series is not known to be empty.
        let used = ratio(RatioOf::Gauges, selector("c", &[("state", "used")]), selector("c", &[]));
        assert_eq!(
            used.expr(&none),
            "sum by (namespace) (avg_over_time(c{state=\"used\"}[5m])) / sum by (namespace) (avg_over_time(c{}[5m]))"
        );
        assert_eq!((used.nan(), used.unit()), (Reason::TooFewSamples, MetricUnit::from_name("ratio").unwrap()));
    }

    #[test]
    fn builtins_name_the_series_of_the_clusters_exporters() {
        let of = |builtin, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            plain(Measure::builtin(builtin, labels, BTreeMap::new()).unwrap(), Identity::attribution_by_pod(None))
        };
        let (whole, api) = (BTreeSet::from([SeriesKey::namespace("shop")]), [("container", "api")]);
        for (builtin, labels, expr) in [
            (
                Builtin::MemoryAvailable,
                api.as_slice(),
                "min by (namespace) (1 - max by (namespace,pod,container) \
                 (avg_over_time(container_memory_working_set_bytes{container!=\"\",N,container=\"api\"}[5m])) / \
                 max by (namespace,pod,container) \
                 (avg_over_time(kube_pod_container_resource_limits{resource=\"memory\",N}[5m])))",
            ),
            (
                Builtin::VolumeUsed,
                &[],
                "max by (namespace) (max by (namespace,pod,persistentvolumeclaim) \
                 (kube_pod_spec_volumes_persistentvolumeclaims_info{N}) * on (namespace,persistentvolumeclaim) \
                 group_left () (max by (namespace,persistentvolumeclaim) \
                 (avg_over_time(kubelet_volume_stats_used_bytes{N}[5m])) / \
                 max by (namespace,persistentvolumeclaim) (avg_over_time(kubelet_volume_stats_capacity_bytes{N}[5m]))))",
            ),
            (
                Builtin::CpuThrottled,
                &[],
                "sum by (namespace) (rate(container_cpu_cfs_throttled_periods_total{container!=\"\",N}[5m])) / \
                 sum by (namespace) (rate(container_cpu_cfs_periods_total{container!=\"\",N}[5m]))",
            ),
            (
                Builtin::Restarts,
                &api,
                "sum by (namespace) (max by (namespace,pod,container,uid) \
                 (max_over_time(kube_pod_container_status_restarts_total{N,container=\"api\"}[5m])) - \
                 min by (namespace,pod,container,uid) \
                 (min_over_time(kube_pod_container_status_restarts_total{N,container=\"api\"}[5m])))",
            ),
            (
                Builtin::StartupTime,
                &[],
                "max by (namespace) (min by (namespace,pod,uid) (min_over_time(kube_pod_status_ready_time{N}[5m])) - \
                 max by (namespace,pod,uid) (max_over_time(kube_pod_start_time{N}[5m])) and \
                 max by (namespace,pod,uid) (max_over_time(kube_pod_start_time{N}[5m])) > time() - 300)",
            ),
        ] {
            assert_eq!(of(builtin, labels).expr(&whole), expr.replace('N', "namespace=\"shop\""), "{builtin:?}");
            assert_eq!(Builtin::from_name(builtin.as_str()), Some(builtin));
        }
        assert_eq!(
            of(Builtin::VolumeUsed, &[]).freshness(&whole),
            "max by (namespace) (max by (namespace,pod,persistentvolumeclaim) \
             (kube_pod_spec_volumes_persistentvolumeclaims_info{namespace=\"shop\"}) * \
             on (namespace,persistentvolumeclaim) group_left () (max by (namespace,persistentvolumeclaim) \
             (timestamp(kubelet_volume_stats_used_bytes{namespace=\"shop\"}))))"
        );
    }

    #[test]
    fn builtins_tell_workloads_by_their_pods_whatever_labels_the_applications_carry() {
        let attribution = Identity::attribution_by_pod(Some(WorkloadKind::StatefulSet));
        let shape =
            plain(Measure::builtin(Builtin::CpuThrottled, BTreeMap::new(), BTreeMap::new()).unwrap(), attribution);
        assert_eq!(
            shape.freshness(&wanted(&[("shop", "db")])),
            "max by (namespace,trimtab_workload) (label_replace(timestamp(container_cpu_cfs_throttled_periods_total\
             {container!=\"\",namespace=\"shop\",pod=~\"(?:db)-[0-9]+\"}),\"trimtab_workload\",\"$1\",\"pod\",\"^(.+)-[0-9]+$\"))"
        );
    }

    #[test]
    fn observations_are_counted_by_the_same_query() {
        let none = BTreeSet::new();
        let of = |shape: Shape| shape.counted(true).expr(&none);
        let labelled = |count: &str| format!(" or label_replace({count},\"trimtab_part\",\"count\",\"\",\"\")");
        let p95 = shape(MetricKind::Histogram, "m", "p95", None);
        let count = labelled("sum by (namespace) (increase(m_count{http_route=\"/api/chat/\"}[5m]))");
        assert_eq!(of(p95.clone()), format!("{}{count}", p95.expr(&none)));
        let errors = ratio(RatioOf::Counters, selector("e", &[]), selector("r", &[]));
        assert!(of(errors).ends_with(&labelled("sum by (namespace) (increase(r{}[5m]))")));
        // What may be too young is always counted, and what has nothing to count never.
        let slope = gauge(Statistic::Slope, Identity::default().attribution(None)).counted(false);
        assert!(slope.expr(&none).ends_with(&labelled("max by (namespace) (count_over_time(m{}[5m]))")));
        assert_eq!(slope.without_reading(), Reason::TooFewSamples);
        let used = ratio(RatioOf::Gauges, selector("c", &[]), selector("d", &[]));
        assert_eq!((of(used.clone()), used.without_reading()), (used.expr(&none), Reason::NoData));
        assert!(Shape::is_count(|label| (label == "trimtab_part").then_some("count")));
        assert!(!Shape::is_count(|_| None));
        // Values of labels are bounded on either side.
        let by = Shape::new(p95.measure, Window::DEFAULT, ["tier".to_owned()].into(), p95.attribution);
        assert_eq!(of(by).matches("topk by (namespace) (33,").count(), 2);
    }

    #[test]
    fn pods_are_joined_as_the_policy_says() {
        let of = |kind, statistic: &str, across, identity: Identity| {
            let measure = Measure::statistic(selector("m", &[]), kind, Statistic::parse(statistic).unwrap()).unwrap();
            let attribution = identity.attribution(Some(WorkloadKind::DaemonSet));
            let expr = plain(measure.across(across), attribution).expr(&BTreeSet::new());
            expr.replace("label_replace(", "L(").replace("[bcdfghjklmnpqrstvwxz2456789]{5}", "")
        };
        let named = || Identity { workload: Some("app".to_owned()), ..Identity::default() };
        for (kind, statistic, across, expr) in [
            (MetricKind::Gauge, "mean", Across::Sum, "sum by (namespace,app) (avg_over_time(m{}[5m]))"),
            (MetricKind::Gauge, "max", Across::Avg, "avg by (namespace,app) (max_over_time(m{}[5m]))"),
            (MetricKind::Gauge, "p5", Across::Min, "min by (namespace,app) (quantile_over_time(0.05,m{}[5m]))"),
            (MetricKind::Counter, "rate", Across::Sum, "sum by (namespace,app) (rate(m{}[5m]))"),
            (
                MetricKind::Counter,
                "rate",
                Across::Max,
                "max by (namespace,app) (sum by (namespace,pod,app) (rate(m{}[5m])))",
            ),
            (
                MetricKind::Histogram,
                "increase",
                Across::Min,
                "min by (namespace,app) (sum by (namespace,pod,app) (increase(m_count{}[5m])))",
            ),
        ] {
            assert_eq!(of(kind, statistic, across, named()), expr);
        }
        assert_eq!(
            of(MetricKind::Counter, "rate", Across::Max, Identity::default()),
            "max by (namespace,trimtab_workload) (L(sum by (namespace,pod) (rate(m{}[5m])),\"trimtab_workload\",\"$1\",\
             \"pod\",\"^(.+)-$\"))"
        );
    }

    #[test]
    fn what_has_too_few_samples_does_not_count() {
        let expr = |least| {
            let measure = Measure::statistic(selector("m", &[]), MetricKind::Gauge, Statistic::Cv).unwrap();
            plain(measure.of_series_with(least), Identity::default().attribution(None)).expr(&BTreeSet::new())
        };
        assert!(expr(Least::Samples(30)).ends_with(" and count_over_time(m{}[5m]) >= 30)"));
        assert!(!expr(Least::Any).contains(" and "));
    }

    #[test]
    fn a_value_of_a_label_without_numerator_is_nothing_where_another_has_one() {
        let expr = |numerator: Selector, denominator: Selector| {
            let measure = Measure::ratio(RatioOf::Counters, numerator, denominator);
            let attribution = Identity::default().attribution(None);
            Shape::new(measure, Window::DEFAULT, ["tier".to_owned()].into(), attribution).expr(&BTreeSet::new())
        };
        assert!(expr(selector("hits", &[]), selector("lookups", &[])).contains(
            "or sum by (namespace,tier) (rate(lookups{}[5m])) * 0 and on (namespace) count by (namespace) \
             (rate(hits{}[5m]))) / "
        ));
        assert!(
            expr(selector("r", &[("code", "500")]), selector("r", &[]))
                .contains("* 0 and on (namespace) count by (namespace) (rate(r{code!=\"\"}[5m]))) / ")
        );
    }

    #[test]
    fn labels_that_are_kept_apart_stay_and_their_number_is_bounded() {
        let measure =
            Measure::statistic(selector("http_seconds", &[]), MetricKind::Histogram, Statistic::parse("p95").unwrap())
                .unwrap();
        let by = ["tier".to_owned(), "zone".to_owned()];
        let attribution = Identity::default().attribution(None);
        let shape = Shape::new(measure, Window::DEFAULT, by.into(), attribution);
        assert_eq!(
            shape.expr(&BTreeSet::new()),
            "topk by (namespace) (33,histogram_quantile(0.95,sum by (namespace,tier,zone,le) \
             (rate(http_seconds_bucket{}[5m]))))"
        );
        assert_eq!(shape.freshness(&BTreeSet::new()), "max by (namespace) (timestamp(http_seconds_count{}))");
        let labels = BTreeMap::from([("namespace", "shop"), ("tier", "gold")]);
        let key = shape.key(|name| labels.get(name).copied()).unwrap();
        assert_eq!(key.group.iter().map(|value| &**value).collect::<Vec<_>>(), ["gold", ""]);
        assert!(key.is_of(&SeriesKey::namespace("shop")) && key != SeriesKey::namespace("shop"));
    }

    #[test]
    fn long_lists_are_left_out() {
        let shape = shape(MetricKind::Gauge, "m", "mean", Some(WorkloadKind::DaemonSet));
        let many = |count: usize, namespaces: usize| -> String {
            let key = |n| SeriesKey::workload(&format!("n{}", n % namespaces), &format!("w{n}"));
            shape.expr(&(0..count).map(key).collect())
        };
        let lists = |expr: &str| (expr.contains("namespace=~"), expr.contains("pod=~"));
        assert_eq!(lists(&many(Shape::MAX_NAMES, 2)), (true, true));
        assert_eq!(lists(&many(Shape::MAX_NAMES + 1, 2)), (true, false));
        assert_eq!(lists(&many(Shape::MAX_NAMES + 1, Shape::MAX_NAMESPACES + 1)), (false, false));
        assert_eq!(
            lists(&shape.expr(&BTreeSet::from([SeriesKey::namespace("a"), SeriesKey::namespace("b")]))),
            (true, false)
        );
    }

    #[test]
    fn what_does_not_fit_is_no_measure() {
        assert!(Measure::statistic(selector("m", &[]), MetricKind::Gauge, Statistic::Rate).is_err());
        assert!(Measure::statistic(selector("m", &[]), MetricKind::Counter, Statistic::Slope).is_err());
    }

    #[test]
    fn a_label_that_holds_the_workload_needs_no_pattern() {
        let identity =
            Identity { workload: Some("k8s.deployment".to_owned()), namespace: "ns".to_owned(), ..Identity::default() };
        let attribution = identity.attribution(Some(WorkloadKind::Deployment));
        // The kind does not matter then, so that all kinds share one query.
        assert_eq!(attribution, identity.attribution(Some(WorkloadKind::DaemonSet)));
        let shape = gauge(Statistic::Max, attribution);
        assert_eq!(
            shape.expr(&wanted(&[("a", "web")])),
            r#"max by (ns,"k8s.deployment") (max_over_time(m{ns="a","k8s.deployment"="web"}[5m]))"#
        );
        let labels = BTreeMap::from([("ns", "a"), ("k8s.deployment", "web")]);
        let key = shape.key(|name| labels.get(name).copied());
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
            let measure = Measure::statistic(selector, MetricKind::Gauge, Statistic::Mean).unwrap();
            let shape = plain(measure, attribution);
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
