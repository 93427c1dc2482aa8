//! Thresholds: what must hold.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Literal, rules};

/// What must hold.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Threshold {
    /// Name of the threshold.
    #[schemars(transform = rules::dns_label)]
    pub name: String,
    /// What is read.
    pub metric: Metric,
    /// Bounds, at most one per severity. None: the threshold informs and is never breached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["severity".into()]))]
    pub levels: Vec<Level>,
    /// Share of the bound by which a reading must come back before a breach ends; default 10%. A breach of above: 100ms
    /// ends at 90ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::hysteresis)]
    pub hysteresis: Option<String>,
    /// What happens when no data comes. Default: after 15m, with severity warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_data: Option<NoData>,
    /// Service level objective of a ratio of counters: alerts when its error budget burns too fast (sink PrometheusRule).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
    /// What the person who is paged should look at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::prose)]
    pub advice: Option<String>,
    /// What to look at when others are breached at the same time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["advice".into()]))]
    pub hints: Vec<Hint>,
}

/// A service level objective. Levels with above make the ratio one of failures, levels with below one of successes.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    /// Share of good events, such as 99.9%.
    #[schemars(transform = rules::objective)]
    pub target: String,
    /// Time over which the objective holds, from 7d to 90d; default 30d.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::slo_period)]
    pub period: Option<String>,
}

/// Where to look when several things are wrong at the same time.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hint {
    /// Thresholds (or patterns) that are breached beside this one, all of them.
    #[schemars(transform = rules::hint_names)]
    pub when: Vec<String>,
    /// What to look at then.
    #[schemars(transform = rules::prose)]
    pub advice: String,
}

/// What a threshold reads: exactly one of `histogram`, `summary`, `counter`, `gauge`, `ratio`, `builtin` and `query`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::metric)]
pub struct Metric {
    /// Name of a histogram, without _bucket. A native one is read where the target has it, else classic buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::metric_name)]
    pub histogram: Option<String>,
    /// Name of a summary: of its percentiles, those that it exports.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::metric_name)]
    pub summary: Option<String>,
    /// Name of a counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::metric_name)]
    pub counter: Option<String>,
    /// Name of a gauge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::metric_name)]
    pub gauge: Option<String>,
    /// One metric as a share of another, such as an error rate or a cache hit ratio: both summed over the pods, then divided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Ratio>,
    /// What the cluster's own exporters (cAdvisor, kubelet, kube-state-metrics) say of the target's pods:
    /// `MemoryAvailable` (share of its limit that a container leaves, of the one that leaves least), `VolumeUsed` (share of a
    /// claimed volume, of the fullest), `CPUThrottled` (share of CPU periods), `Restarts` (of containers, in the window) or
    /// `StartupTime` (until a pod was ready, of the slowest that started in the window). Labels select among their series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builtin: Option<Builtin>,
    /// PromQL with one result, at most 2048 characters. The class must allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub query: Option<String>,
    /// Label values that the series carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::series_labels)]
    pub labels: BTreeMap<String, String>,
    /// Regular expressions (RE2) that match whole label values, such as code: 5.. for all server errors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::series_labels)]
    pub matching: BTreeMap<String, String>,
    /// How readings become one number. Of a histogram or summary: mean, pNN (such as p95), rate or increase of its
    /// observations. Of a counter: rate (the default) or increase. Of a gauge: mean (the default), max, min, pNN, cv
    /// (coefficient of variation: standard deviation as a share of the mean) or slope (change per second); the last three of
    /// one pod. Of each, trend: its change over the window as a share of its median, 0 where chance may have made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::statistic)]
    pub statistic: Option<String>,
    /// Labels whose values are judged apart, at most 2: each of at most 32 values has a state and an alert of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::by)]
    pub by: Vec<String>,
    /// How the pods of a target are joined: Sum, Max, Min or Avg. Default: counters Sum, gauges Avg (their max Max, their
    /// min Min); pNN, cv and slope of a gauge Max, or Min where all levels are below. The observations of a histogram are
    /// taken together whatever the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub across: Option<Across>,
    /// Time over which the statistic is taken, at most 30d; default 5m, of a trend 6h.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::positive_duration)]
    pub window: Option<String>,
    /// Observations that the window must have, or there is no reading (`TooFewSamples`). Default: of a percentile of a
    /// histogram 10/(1-q), which is 200 for p95 and 1000 for p99; of its mean and of a ratio of counters 20; else 0. Of a
    /// gauge: samples that a series must have to count. A ratio of counters is breached only where that is certain at 95%
    /// for so many observations; with 0, the reading alone counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000_000))]
    pub min_samples: Option<u32>,
    /// What is there as long as the application is, such as all requests. Then a counter that has never counted, which no
    /// series tells of, is zero and not missing; without the heartbeat nothing is read. For a counter, and a ratio of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<RatioTerm>,
    /// Unit of the readings: seconds, milliseconds, microseconds, nanoseconds, bytes, ratio (1 is all), percent (100 is
    /// all), per-second or count. Default: from the suffix of the metric's name; of a ratio, ratio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<MetricUnit>,
}

/// One metric as a share of another: two counters by their rates, or two gauges by their means.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(transform = rules::ratio)]
pub struct Ratio {
    /// What is counted, such as requests that failed. Of one counter, label values that have not occurred count as
    /// nothing, if its series have such a label; where the two metrics differ, one that is missing is no data.
    pub numerator: RatioTerm,
    /// Of what, such as all requests. Where it is zero there is no reading.
    pub denominator: RatioTerm,
}

/// One side of a ratio, or a heartbeat: exactly one of `counter` and `gauge`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(transform = rules::ratio_term)]
pub struct RatioTerm {
    /// Name of a counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::metric_name)]
    pub counter: Option<String>,
    /// Name of a gauge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::metric_name)]
    pub gauge: Option<String>,
    /// Label values that the series carry, beside those of the metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::series_labels)]
    pub labels: BTreeMap<String, String>,
    /// Regular expressions (RE2) that match whole label values, beside those of the metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::series_labels)]
    pub matching: BTreeMap<String, String>,
}

/// How the pods of a target are joined.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum Across {
    /// Added up.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// On average.
    Avg,
}

/// What the exporters of a cluster say of every pod.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum Builtin {
    /// Share of its memory limit that a container leaves, on average over the window.
    MemoryAvailable,
    /// Share of a claimed volume that is used, on average over the window.
    VolumeUsed,
    /// Share of CPU periods in which containers were throttled.
    #[serde(rename = "CPUThrottled")]
    CpuThrottled,
    /// Restarts of containers in the window.
    Restarts,
    /// Time until a pod was ready.
    StartupTime,
}

impl Builtin {
    /// The word in the API, by which `core::promql` knows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MemoryAvailable => "MemoryAvailable",
            Self::VolumeUsed => "VolumeUsed",
            Self::CpuThrottled => "CPUThrottled",
            Self::Restarts => "Restarts",
            Self::StartupTime => "StartupTime",
        }
    }
}

/// Unit of a metric's readings.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(description = "")]
pub enum MetricUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// A share, 1 being all of it.
    Ratio,
    /// A share, 100 being all of it.
    Percent,
    /// A rate.
    PerSecond,
    /// A plain number.
    Count,
}

impl MetricUnit {
    /// The word in the API, by which `core::units` knows it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
            Self::Percent => "percent",
            Self::PerSecond => "per-second",
            Self::Count => "count",
        }
    }
}

/// How bad a breach is.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[schemars(description = "")]
pub enum Severity {
    /// For the record.
    Info,
    /// For working hours.
    #[default]
    Warning,
    /// For now.
    Critical,
}

/// A bound. `above` and `below` are strict; both make a band that is breached outside of it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::level)]
pub struct Level {
    /// How bad a breach is: info (for the record), warning (for working hours) or critical (for now).
    pub severity: Severity,
    /// Breached above this value, in the metric's unit: 200ms, 5%, 2Gi, 350/s, 20 or "0.5".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::literal)]
    pub above: Option<Literal>,
    /// Breached below this value. With above it makes a band that is breached outside of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::literal)]
    pub below: Option<Literal>,
    /// Time that the bound must be crossed before it counts, at most 30d; default 0s.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::duration)]
    pub hold: Option<String>,
}

/// What happens when no data comes. The verdict is always: hold.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NoData {
    /// Time without data before it is said, at most 30d; default 15m.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::positive_duration)]
    pub after: Option<String>,
    /// Severity of the alert: info, warning (default) or critical.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}
