//! Metrics about the operator itself. Labels are words of finite sets: object names belong in status and logs.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
};

/// Effects take from a fraction of a millisecond (a refusal on this machine) to the ten seconds after which they are given
/// up; an apply on a quiet cluster takes 5 to 20 ms.
const EFFECT_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A step takes microseconds; beyond 100 ms the engine itself is the bottleneck.
const STEP_SECONDS: &[f64] = &[0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// Metrics about the operator itself.
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
    /// Queries that were sent to metrics sources, by `kind`.
    pub queries: IntCounterVec,
    /// Complete lists, by `stream`.
    pub watch_lists: IntCounterVec,
    /// Failed lists and watches, by `stream`.
    pub watch_errors: IntCounterVec,
    /// Objects that could not be read, by `stream`.
    pub unreadable: IntCounterVec,
    /// Batches of alerts, by `outcome`, counted once per Alertmanager.
    pub alert_batches: IntCounterVec,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When the registry already has a metric of one of the names.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let build = gauges(registry, "trimtab_build_info", "Always 1; its label tells the version.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            leader: add(
                registry,
                IntGauge::new(
                    "trimtab_leader",
                    "1 on the replica that acts, 0 on standby replicas. The sum over all replicas should be 1.",
                )?,
            )?,
            inputs: counters(
                registry,
                "trimtab_inputs_total",
                "What the engine was told, by kind of input.",
                &["input"],
            )?,
            inputs_waiting: add(
                registry,
                IntGauge::new(
                    "trimtab_inputs_waiting",
                    "Inputs that wait for the engine. It is near 0 unless the engine cannot keep up.",
                )?,
            )?,
            step_seconds: add(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new("trimtab_step_duration_seconds", "Time that the engine took for one input.")
                        .buckets(STEP_SECONDS.to_vec()),
                )?,
            )?,
            effects: counters(
                registry,
                "trimtab_effects_total",
                "Effects that ended: requests to the API server, queries, alerts. Every outcome but `succeeded`, \
                 `answered` and `not-found` is a failure of its own kind.",
                &["effect", "outcome"],
            )?,
            effect_seconds: add(
                registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        "trimtab_effect_duration_seconds",
                        "Time from the start of an effect to its end, waiting not included.",
                    )
                    .buckets(EFFECT_SECONDS.to_vec()),
                    &["effect"],
                )?,
            )?,
            effects_waiting: gauges(
                registry,
                "trimtab_effects_waiting",
                "Effects that wait for a free place or for an earlier effect on the same object.",
                &["effect"],
            )?,
            queries: counters(
                registry,
                "trimtab_queries_total",
                "Queries that were sent to metrics sources: `shared` by all thresholds that read the same, `single` of one \
                 policy's own, `age` of the data, `past` after a start.",
                &["kind"],
            )?,
            watch_lists: counters(
                registry,
                "trimtab_watch_lists_total",
                "Complete lists of a watched kind. One at the start; more mean that a watch expired or was interrupted.",
                &["stream"],
            )?,
            watch_errors: counters(
                registry,
                "trimtab_watch_errors_total",
                "Failed lists and watches of a kind. Each is retried, at most every 30 seconds.",
                &["stream"],
            )?,
            unreadable: counters(
                registry,
                "trimtab_unreadable_objects_total",
                "Objects that this version cannot read. They are left alone; the log names them.",
                &["stream"],
            )?,
            alert_batches: counters(
                registry,
                "trimtab_alert_batches_total",
                "Batches of alerts, counted once per Alertmanager. Every outcome but `taken` is a loss: `refused` by the \
                 Alertmanager, `outdated` before it answered, `overflow` of its queue.",
                &["outcome"],
            )?,
        })
    }
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    add(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    add(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_our_prefix_and_says_how_to_read_it() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        metrics.effects.with_label_values(&["patch", "stale"]).inc();
        for family in registry.gather() {
            assert!(family.name().starts_with("trimtab_"), "{}", family.name());
            assert!(family.help().ends_with('.'), "{}", family.name());
        }
        assert!(Metrics::register(&registry).is_err(), "one registry holds them once");
    }
}
