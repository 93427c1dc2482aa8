//! Metrics about the operator itself. Labels are words of finite sets: object names belong in status and logs.

use std::collections::HashMap;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, Metric, MetricVec, MetricVecBuilder},
};

use super::family::{self, Family, Kind};

/// Metrics about the operator itself. What each means, [`family`] says.
#[derive(Debug)]
pub struct Metrics {
    /// 1 on the replica that acts.
    pub leader: IntGauge,
    /// Inputs that the engine was told, by `input`.
    pub inputs: IntCounterVec,
    /// Inputs that wait for the engine.
    pub inputs_waiting: IntGauge,
    /// Time that the engine took for one input.
    pub step_seconds: Histogram,
    /// Effects that ended, by `effect` and `outcome`.
    pub effects: IntCounterVec,
    /// Time from an effect's start to its end, by `effect`.
    pub effect_seconds: HistogramVec,
    /// Effects that wait for a free place or for an earlier effect on the same object, by `effect`.
    pub effects_waiting: IntGaugeVec,
    /// Requests to the API server, by `verb`, `resource` and `code`.
    pub api_requests: IntCounterVec,
    /// Time until the head of the answer, by `verb` and `resource`.
    pub api_request_seconds: HistogramVec,
    /// Watches that are open, by `resource`.
    pub watch_streams: IntGaugeVec,
    /// When a watch was last heard of, by `resource`.
    pub watch_heard: IntGaugeVec,
    /// Complete lists, by `stream`.
    pub watch_lists: IntCounterVec,
    /// Failed lists and watches, by `stream`.
    pub watch_errors: IntCounterVec,
    /// Objects that could not be read, by `stream`.
    pub unreadable: IntCounterVec,
    /// Queries, by `source`, `kind` and `outcome`.
    pub queries: IntCounterVec,
    /// Time until the answer of a query, by `source` and `kind`.
    pub query_seconds: HistogramVec,
    /// Batches of alerts, by `outcome`, counted once per Alertmanager.
    pub alert_batches: IntCounterVec,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When the registry already has a metric of one of the names.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters =
            |family: Family| add(registry, IntCounterVec::new(Opts::new(family.name, family.help), family.labels)?);
        let gauges =
            |family: Family| add(registry, IntGaugeVec::new(Opts::new(family.name, family.help), family.labels)?);
        let gauge = |family: Family| add(registry, IntGauge::new(family.name, family.help)?);
        let histograms = |family: Family| add(registry, HistogramVec::new(buckets(family), family.labels)?);
        gauges(family::BUILD_INFO)?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Self {
            leader: gauge(family::LEADER)?,
            inputs: counters(family::INPUTS)?,
            inputs_waiting: gauge(family::INPUTS_WAITING)?,
            step_seconds: add(registry, Histogram::with_opts(buckets(family::STEP_DURATION))?)?,
            effects: counters(family::EFFECTS)?,
            effect_seconds: histograms(family::EFFECT_DURATION)?,
            effects_waiting: gauges(family::EFFECTS_WAITING)?,
            api_requests: counters(family::API_REQUESTS)?,
            api_request_seconds: histograms(family::API_REQUEST_DURATION)?,
            watch_streams: gauges(family::WATCH_STREAMS)?,
            watch_heard: gauges(family::WATCH_HEARD)?,
            watch_lists: counters(family::WATCH_LISTS)?,
            watch_errors: counters(family::WATCH_ERRORS)?,
            unreadable: counters(family::UNREADABLE)?,
            queries: counters(family::QUERIES)?,
            query_seconds: histograms(family::QUERY_DURATION)?,
            alert_batches: counters(family::ALERT_BATCHES)?,
        };
        metrics.begin_at_zero();
        Ok(metrics)
    }

    /// What is alerted on is there before it happens for the first time: an increase is between two samples.
    fn begin_at_zero(&self) {
        for effect in ["patch", "status", "source-status", "budget-status", "finalizers"] {
            for outcome in ["forbidden", "rejected"] {
                self.effects.with_label_values(&[effect, outcome]);
            }
        }
        for outcome in ["taken", "refused", "outdated", "overflow"] {
            self.alert_batches.with_label_values(&[outcome]);
        }
    }

    /// Removes what is known of a source that is gone.
    pub fn forget_source(&self, source: &str) {
        forget(&self.queries, "source", |name| name == source);
        forget(&self.query_seconds, "source", |name| name == source);
    }

    /// Removes what is known of sources that `is_known` does not know.
    pub fn keep_sources(&self, is_known: impl Fn(&str) -> bool) {
        forget(&self.queries, "source", |name| !is_known(name));
        forget(&self.query_seconds, "source", |name| !is_known(name));
    }

    /// Removes what is known of the watches of a resource that is not served.
    pub fn forget_watch(&self, resource: &str) {
        forget(&self.watch_streams, "resource", |name| name == resource);
        forget(&self.watch_heard, "resource", |name| name == resource);
    }
}

fn buckets(family: Family) -> HistogramOpts {
    let options = HistogramOpts::new(family.name, family.help);
    match family.kind {
        Kind::Histogram(bounds) => options.buckets(bounds.to_vec()),
        Kind::Counter | Kind::Gauge => options,
    }
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// Removes the series whose value of a label `is_gone`.
fn forget<B: MetricVecBuilder>(vector: &MetricVec<B>, label: &str, is_gone: impl Fn(&str) -> bool)
where
    B::M: Metric,
    MetricVec<B>: Collector,
{
    for family in vector.collect() {
        for series in family.get_metric() {
            let labels: Vec<(&str, &str)> = series.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
            if labels.iter().any(|(name, value)| *name == label && is_gone(value)) {
                // Nobody else removes series; one that is gone is as good.
                let _gone = vector.remove(&labels.into_iter().collect::<HashMap<_, _>>());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_registered_is_in_the_table_and_goes_with_its_object() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        metrics.effects.with_label_values(&["patch", "stale"]).inc();
        for source in ["gone", "here"] {
            metrics.queries.with_label_values(&[source, "shared", "answered"]).inc();
            metrics.queries.with_label_values(&[source, "range", "NoData"]).inc();
            metrics.query_seconds.with_label_values(&[source, "shared"]).observe(0.1);
        }
        metrics.watch_streams.with_label_values(&["streams"]).inc();
        for family in registry.gather() {
            let known = family::ALL.iter().find(|known| known.name == family.name());
            assert!(known.is_some_and(|known| known.help == family.help()), "{}", family.name());
        }
        let sources = || {
            let series = |family: &prometheus::proto::MetricFamily| {
                let of =
                    |label: &prometheus::proto::LabelPair| (label.name() == "source").then(|| label.value().to_owned());
                family
                    .get_metric()
                    .iter()
                    .filter_map(|series| series.get_label().iter().find_map(of))
                    .collect::<Vec<_>>()
            };
            registry.gather().iter().flat_map(series).collect::<Vec<_>>()
        };
        assert_eq!(sources().len(), 6);
        metrics.forget_source("gone");
        assert_eq!(sources(), ["here", "here", "here"]);
        metrics.keep_sources(|name| name != "here");
        assert!(sources().is_empty());
        metrics.forget_watch("streams");
        assert!(registry.gather().iter().all(|family| family.name() != family::WATCH_STREAMS.name));
        assert!(Metrics::register(&registry).is_err(), "one registry holds them once");
    }
}
