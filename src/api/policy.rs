//! `PerformancePolicy`: what an application must hold, and the small numbers that steer it.
//!
//! # What an omitted field means
//!
//! The schema has no defaults: a default would be written into the stored object, where Argo CD and Flux show it as
//! drift, and it could never change again. An omitted field means the following, applied by `core::policy`:
//!
//! | field | omitted |
//! |---|---|
//! | `className` | the class that is annotated as default, else the built-in limits of [`PerformanceClassSpec`] |
//! | `mode` | `Recommend`: nothing is written |
//! | `suspend` | `false`; the annotation `trimtab.dev/suspended` suspends as well |
//! | `deletionPolicy` | `Retain` |
//! | `target` | nothing is governed: the policy measures and reports |
//! | `target.apiVersion` | `apps/v1`; required where the kind is no workload |
//! | `target.container`, the `container` of a knob or of a runtime | the only container of the pod; with several, a condition asks for it |
//! | `metrics.source` | the class's, else the source named `default` |
//! | `metrics.labels` | none beside the identity of the workload's pods |
//! | `resources[].limits.cpu` and its like | not governed: what the manifest says stays |
//! | `replicas.min`, `replicas.max` | not governed |
//! | `onConflict`, everywhere | `Yield` |
//! | `workers[].unit` | `Process` |
//! | `workers[].memoryPerWorker`, `caches[].tier`, `eviction`, `invalidation` | nobody has said; nothing is checked |
//! | `pools[].perWorker` | one pool per pod |
//! | `pools[].budget` | what the pool could open is counted against nothing |
//! | a knob of a pool or a cache | not governed |
//! | a knob's `min`, `max` | no bound but those of the type and the class |
//! | a knob's landing place | nothing is written: the value is for reports and for formulas |
//! | `allowDestructive` | `false`: a value of a `field` that deletes data is refused |
//! | a field of `runtime` | not governed |
//! | `runtime.jvm.nonHeap` | not known: `heapMax` alone must be below the memory limit |
//! | `runtime.jvm.perWorker`, `runtime.node.perWorker` | one process |
//! | `as` | plain, as the policy spells it; refused where a duration or bytes lands, but for `option`, which knows its spelling |
//! | `settings[].type` | `Integer` |
//! | `settings[].notEnforceable` | the value lands as its landing place says |
//! | `kernel.sysctls`, `kernel.openFiles` | not governed |
//! | `reload`, of a file and of a `ConfigMap` key | `Restart` |
//! | `thresholds[].levels` | the threshold informs: it is measured and never breached |
//! | `levels[].for` | `0s` |
//! | `metric.statistic` | `mean` of a gauge, `rate` of a counter; a histogram must name one |
//! | `metric.by` | one reading for all series of a target |
//! | `metric.across` | counters are added up, gauges averaged; pNN, cv and slope of a gauge are those of the pod where they are largest, or smallest where all levels are `below` |
//! | `metric.window` | `5m` |
//! | `metric.minSamples` | 10/(1−q) of a percentile of a histogram; 20 of its mean and of a ratio of counters; else 0 |
//! | `patterns[].levels`, `.advice`, `.metric.minSamples` | by kind, see [`Pattern`] |
//! | `patterns[].metric.window` | `24h`; of a `Trend` `14d` |
//! | `metric.unit` | from the suffix of the metric's name (`_seconds`, `_bytes`, `_ratio`, …), else a count; of a ratio, a ratio |
//! | `hysteresis` | `10%` |
//! | `noData` | after `15m`, with severity `warning` |
//! | `profile` | the conditions of the profiles decide |
//! | `profiles[].when` | the profile is active only while `profile` names it |
//! | `profiles[].when.dwell` | `10m` |
//! | `profiles[].when.schedule.timeZone` | `UTC` |
//! | `profiles[].load.thinkTime` | `0s` |
//! | `alerting.sink` | the class's, else `PrometheusRule` where the cluster serves it, else nobody is told |
//! | `checklist[].check`, `attested` | the line is open |
//! | `attested.evidence` | none is named |
//! | `reports[].statuses` | `= status` is refused: there is no word |
//! | `statuses[].upTo` | all that is beyond the one before |
//! | `loadTests[].service` | the target's name |
//! | `loadTests[].port`, `method`, `users` | 80, `GET`, 10 |
//! | `loadTests[].requests`, `threads`, `duration` | 1000 (Ab), 2 (Wrk), `30s` |
//! | `loadTests[].body`, `tokenFrom` | none is sent |
//!
//! An empty list or map means the same as an omitted one, and so does `null`, which the API server drops.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::class::PerformanceClassSpec;
use super::{rules, status::PerformancePolicyStatus};

mod knob;
mod paper;
mod pattern;
mod profile;
mod readback;
mod runtime;
mod threshold;

pub use self::{
    knob::{
        Cache, CacheTier, ConfigMapKey, DocumentPath, Eviction, File, FileFormat, Invalidation, Kernel, Knob, Pool,
        Reload, Setting, SettingType, Sysctl, ValueFormat, WorkerUnit, Workers,
    },
    paper::{Attestation, ChecklistItem, HttpMethod, LoadTest, LoadTool, Report, SecretKey, StatusWord},
    pattern::{Pattern, PatternKind, PatternMetric},
    profile::{ActiveBy, Load, Profile, Schedule, When},
    readback::Readback,
    runtime::{Collector, Go, Jvm, Node, Python, Runtime, RuntimeValue},
    threshold::{Across, Builtin, Hint, Level, Metric, MetricUnit, NoData, Ratio, RatioTerm, Severity, Threshold},
};

/// What an application must hold, and the small numbers that steer it.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "trimtab.dev",
    version = "v1alpha1",
    kind = "PerformancePolicy",
    plural = "performancepolicies",
    shortname = "perfpol",
    category = "trimtab",
    namespaced,
    status = "PerformancePolicyStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A PerformancePolicy says how an application must perform and which small numbers steer it. Trimtab writes each number where the application reads it, watches that it takes effect, and raises alerts when a threshold does not hold. Nothing is written until mode is Enforce.",
    selectable = ".spec.mode",
    selectable = ".spec.className",
    selectable = ".spec.suspend",
    validation = ("size(self.metadata.name) <= 52 && !self.metadata.name.contains('.')", "metadata.name must be a DNS label of at most 52 characters"),
    printcolumn(name = "Target", type_ = "string", json_path = ".status.targetSummary"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.mode"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Compliant", type_ = "string", json_path = ".status.conditions[?(@.type==\"Compliant\")].status"),
    printcolumn(name = "Applied", type_ = "string", json_path = ".status.conditions[?(@.type==\"Applied\")].status"),
    printcolumn(name = "Profile", type_ = "string", json_path = ".status.profileSummary"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Effective", type_ = "string", json_path = ".status.conditions[?(@.type==\"Effective\")].status", priority = 1),
    printcolumn(name = "Changed", type_ = "date", json_path = ".status.lastChange", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Applied\")].reason", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::policy)]
pub struct PerformancePolicySpec {
    /// The `PerformanceClass` whose rules hold. Default: the class that is annotated as default, else built-in
    /// conservative limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::short_object_name)]
    pub class_name: Option<String>,
    /// What Trimtab may do. Observe: measure, alert and report. Recommend (the default): also publish the plan in
    /// status. Enforce: also write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// True freezes all writes and keeps the fields that Trimtab holds. Measuring and alerting go on. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Name of the profile that is active, and the only one, whatever the conditions of the profiles say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::dns_label)]
    pub profile: Option<String>,
    /// What deleting the policy does to the values that it wrote. Retain (the default): leave them, without a trace of
    /// ownership. Restore: put back what was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// The workload that is governed, in the policy's own namespace. Omitted: the policy measures and reports only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Where readings come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsRef>,
    /// Requests and limits, one entry per container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["container".into()]))]
    pub resources: Vec<Resources>,
    /// Bounds of the number of pods. Where a `HorizontalPodAutoscaler` scales the target, its minimum and maximum are set;
    /// otherwise the number of replicas is moved into the bounds when it lies outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
    /// Groups of processes or threads inside a container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub workers: Vec<Workers>,
    /// Connection pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub pools: Vec<Pool>,
    /// Caches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub caches: Vec<Cache>,
    /// Every other typed number, switch or word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub settings: Vec<Setting>,
    /// What the language runtimes are told: memory, processors and collectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// Documents in `ConfigMap`s that knobs may edit, named once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub files: Vec<File>,
    /// What the kernel allows the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Kernel>,
    /// What must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub thresholds: Vec<Threshold>,
    /// What is worth saying without being wrong: advice in the status, in Events and in reports. It never writes, and
    /// nobody is paged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub patterns: Vec<Pattern>,
    /// Other values for other times. Every profile whose condition holds is active; where several set a value, the last in
    /// the list wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub profiles: Vec<Profile>,
    /// Who is told when a threshold does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alerting: Option<Alerting>,
    /// What somebody must have thought of. States are in status and in reports; nothing else follows from them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub checklist: Vec<ChecklistItem>,
    /// Tables for `trimtab report`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub reports: Vec<Report>,
    /// Load tests for `trimtab export load-test`. The operator never runs one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub load_tests: Vec<LoadTest>,
}

impl PerformancePolicySpec {
    /// The spec without what steers nothing: an edit of checklist, reports, load tests or alerting changes no object and gives
    /// no reason to look at one again.
    #[must_use]
    pub fn steering(&self) -> Self {
        Self { checklist: Vec::new(), reports: Vec::new(), load_tests: Vec::new(), alerting: None, ..self.clone() }
    }
}

/// What a policy may do.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum Mode {
    /// Measure, alert and report.
    Observe,
    /// Also publish the plan in the status.
    #[default]
    Recommend,
    /// Also write.
    Enforce,
}

/// What deleting a policy does to the values that it wrote.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum DeletionPolicy {
    /// Leave the values, leave no trace of ownership.
    #[default]
    Retain,
    /// Put the recorded values back.
    Restore,
}

/// Where alerts go.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum Sink {
    /// Rules of the cluster's Prometheus, as a `PrometheusRule` of the Prometheus Operator.
    PrometheusRule,
    /// Pushed to the Alertmanagers of the metrics source.
    Alertmanager,
}

/// The kinds that a policy may govern: workloads, which carry a pod template, and objects with fields of their own.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum TargetKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` `StatefulSet`.
    StatefulSet,
    /// `apps/v1` `DaemonSet`.
    DaemonSet,
    /// `postgresql.cnpg.io/v1` Cluster of CloudNativePG.
    Cluster,
    /// `postgresql.cnpg.io/v1` Pooler of CloudNativePG.
    Pooler,
    /// `jetstream.nats.io/v1beta2` Stream of nack.
    Stream,
}

impl TargetKind {
    /// Group and version, as in `apiVersion`.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps/v1",
            Self::Cluster | Self::Pooler => "postgresql.cnpg.io/v1",
            Self::Stream => "jetstream.nats.io/v1beta2",
        }
    }

    /// Whether objects of the kind carry a pod template.
    #[must_use]
    pub const fn is_workload(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet | Self::DaemonSet)
    }
}

/// What is governed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.name) != has(self.selector)", "exactly one of name and selector must be set"))]
#[schemars(transform = rules::target)]
pub struct Target {
    /// Group and version of the kind. Default: `apps/v1`. Required for other kinds: `postgresql.cnpg.io/v1` for a Cluster or
    /// Pooler, `jetstream.nats.io/v1beta2` for a Stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub api_version: Option<String>,
    /// Kind: Deployment, `StatefulSet` or `DaemonSet`; or, where the class allows it, an object whose fields are set: a Cluster or
    /// Pooler of CloudNativePG, a Stream of nack (JetStream).
    pub kind: TargetKind,
    /// Name of one workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::object_name)]
    pub name: Option<String>,
    /// Labels of the workloads. Everything in the policy is then evaluated for each of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// Container of every knob that names none. It may be left out when the pod has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::dns_label)]
    pub container: Option<String>,
}

/// Labels of workloads.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.matchLabels) && size(self.matchLabels) > 0", "selector must not be empty: name at least one label"))]
pub struct Selector {
    /// Labels that a workload must carry, all of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::object_labels)]
    pub match_labels: BTreeMap<String, String>,
}

/// Where readings come from.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricsRef {
    /// Name of a `MetricsSource`. Default: the class's, else default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::short_object_name)]
    pub source: Option<String>,
    /// Label values that every series of this policy carries, beside those by which the source tells workloads apart.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::policy_labels)]
    pub labels: BTreeMap<String, String>,
}

/// What to do when somebody else owns a field with another value.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum OnConflict {
    /// Leave it alone and say whose it is.
    #[default]
    Yield,
    /// Take it, at most twice.
    TakeOver,
}

/// Requests and limits of one container.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::resources)]
pub struct Resources {
    /// Name of the container.
    #[schemars(transform = rules::dns_label)]
    pub container: String,
    /// Most that the container may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceAmounts>,
    /// What the scheduler sets aside for the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceAmounts>,
    /// What to do when somebody else owns the field. Yield (the default): leave it and say whose it is. `TakeOver`: take
    /// it; a manager that takes it back twice within an hour keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// CPU and memory, as Kubernetes writes quantities.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceAmounts {
    /// Cores, such as 500m or "2" (in quotes).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::quantity)]
    pub cpu: Option<String>,
    /// Bytes, such as 512Mi or 2Gi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::quantity)]
    pub memory: Option<String>,
}

/// Bounds of the number of pods.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("has(self.min) || has(self.max)", "at least one of min and max must be set"),
    validation = ("!has(self.min) || !has(self.max) || self.min <= self.max", "min must be ≤ max")
)]
pub struct Replicas {
    /// Smallest number of pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub min: Option<u32>,
    /// Largest number of pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max: Option<u32>,
    /// What to do when somebody else owns the field. Yield (the default): leave it and say whose it is. `TakeOver`: take
    /// it; a manager that takes it back twice within an hour keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// Who is told.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alerting {
    /// Where alerts go. PrometheusRule: rules of the cluster's Prometheus. Alertmanager: pushed to the Alertmanagers of the
    /// metrics source. Default: the class's sink, else PrometheusRule where the cluster serves that kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<Sink>,
    /// Labels on every alert of the policy, beside those of its class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::alert_labels)]
    pub labels: BTreeMap<String, String>,
    /// Page that tells the person who is paged what to do. It becomes the annotation `runbook_url` of every alert.
    #[serde(rename = "runbookURL", skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::page_url)]
    pub runbook_url: Option<String>,
    /// Page that shows the readings. It becomes the annotation `dashboard_url` of every alert.
    #[serde(rename = "dashboardURL", skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::page_url)]
    pub dashboard_url: Option<String>,
}
