//! `PerformancePolicy`: what an application must hold, and the small numbers that steer it.
//!
//! No field of a list item has a schema default (Argo CD would show it as drift): what an omitted field means is said
//! here and applied by `core::policy`.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Literal, status::PerformancePolicyStatus};

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
    doc = "What an application must hold, and the small numbers that steer it.",
    selectable = ".spec.mode",
    selectable = ".spec.className",
    selectable = ".spec.suspend",
    validation = ("size(self.metadata.name) <= 52 && !self.metadata.name.contains('.')", "the name must be a DNS label of at most 52 characters"),
    printcolumn(name = "Target", type_ = "string", json_path = ".status.targetSummary"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.mode"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Compliant", type_ = "string", json_path = ".status.conditions[?(@.type==\"Compliant\")].status"),
    printcolumn(name = "Applied", type_ = "string", json_path = ".status.conditions[?(@.type==\"Applied\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Changed", type_ = "date", json_path = ".status.lastChange", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Applied\")].reason", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct PerformancePolicySpec {
    /// The class whose rules hold; default: the default class, else built-in conservative limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub class_name: Option<String>,
    /// What may happen: `Observe` measures, alerts and reports; `Recommend` (default) also publishes the plan;
    /// `Enforce` also writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Freezes writes and keeps what we hold. Measuring goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// What deleting the policy does to the values that it wrote: `Retain` (default) leaves them, `Restore` puts back
    /// what was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// What is governed. Omitted: the policy measures and reports only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Where readings come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsRef>,
    /// Requests and limits, by container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["container".into()]))]
    pub resources: Vec<Resources>,
    /// Bounds of the number of pods: those of the autoscaler where one exists, else a clamp.
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
    /// Documents in `ConfigMap`s that knobs may edit, named once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub files: Vec<File>,
    /// What must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub thresholds: Vec<Threshold>,
    /// Who is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alerting: Option<Alerting>,
}

/// What a policy may do.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
pub enum DeletionPolicy {
    /// Leave the values, leave no trace of ownership.
    #[default]
    Retain,
    /// Put the recorded values back.
    Restore,
}

/// Where alerts go.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sink {
    /// Pushed to the Alertmanagers of the metrics source.
    Alertmanager,
}

/// The kinds of workload that carry a pod template.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TargetKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
}

/// What is governed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = ("has(self.name) != has(self.selector)", "exactly one of name and selector must be set"))]
pub struct Target {
    /// Kind of the workload.
    pub kind: TargetKind,
    /// Name of one workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// Labels of the workloads. Everything is then evaluated per workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// Container of every knob that names none; may be left out when the pod has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub container: Option<String>,
}

/// Labels of workloads.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.matchLabels) && size(self.matchLabels) > 0", "selector must not be empty; name at least one label"))]
pub struct Selector {
    /// Labels that a workload must carry, all of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub match_labels: BTreeMap<String, String>,
}

/// Where readings come from.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricsRef {
    /// Name of a `MetricsSource`; default: the class's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub source: Option<String>,
    /// Label values that every series of this policy carries, beside those of its identity.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub labels: BTreeMap<String, String>,
}

/// What to do when somebody else owns a field with another value.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[x_kube(
    validation = ("has(self.limits) || has(self.requests)", "at least one of limits and requests must be set"),
    validation = ("!has(self.limits) || !has(self.requests) || !has(self.limits.cpu) || !has(self.requests.cpu) || !isQuantity(self.limits.cpu) || !isQuantity(self.requests.cpu) || quantity(self.limits.cpu).compareTo(quantity(self.requests.cpu)) >= 0", "cpu limit must be ≥ request"),
    validation = ("!has(self.limits) || !has(self.requests) || !has(self.limits.memory) || !has(self.requests.memory) || !isQuantity(self.limits.memory) || !isQuantity(self.requests.memory) || quantity(self.limits.memory).compareTo(quantity(self.requests.memory)) >= 0", "memory limit must be ≥ request")
)]
pub struct Resources {
    /// Name of the container.
    #[schemars(length(min = 1, max = 63))]
    pub container: String,
    /// Limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceAmounts>,
    /// Requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceAmounts>,
    /// What to do when somebody else owns the field; default `Yield`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// CPU and memory, as Kubernetes writes quantities.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceAmounts {
    /// Cores, such as `"2"` or `500m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(
        validation = ("isQuantity(self)", "invalid quantity"),
        validation = ("!isQuantity(self) || quantity(self).sign() > 0", "must be > 0")
    )]
    pub cpu: Option<String>,
    /// Bytes, such as `2Gi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(
        validation = ("isQuantity(self)", "invalid quantity"),
        validation = ("!isQuantity(self) || quantity(self).sign() > 0", "must be > 0")
    )]
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
    /// What to do when somebody else owns the field; default `Yield`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// Spelling of a value where it lands.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueFormat {
    /// Whole seconds: `3600`.
    Seconds,
    /// Whole milliseconds: `3600000`.
    Milliseconds,
    /// A Go duration: `1h0m0s`.
    Go,
    /// Whole bytes.
    Bytes,
    /// Whole mebibytes.
    Mebibytes,
    /// As `postgresql.conf` reads it: `2GB`, `30s`.
    Postgres,
    /// As `redis.conf` reads it: `2gb`.
    Redis,
    /// As the JVM's memory options read it: `2g`.
    Jvm,
    /// A comma-separated list.
    List,
    /// The literal, canonically.
    Plain,
}

/// A value and where it lands. The same shape everywhere; flattened into what it belongs to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("[has(self.env), has(self.arg), has(self.path), has(self.configMapKey)].filter(x, x).size() <= 1", "at most one of env, arg, path and configMapKey may be set"),
    validation = ("!has(self.min) || !has(self.max) || type(self.min) != int || type(self.max) != int || int(self.min) <= int(self.max)", "min must be ≤ max"),
    validation = ("!has(self.min) || type(self.min) != int || type(self.value) != int || int(self.min) <= int(self.value)", "value must be ≥ min"),
    validation = ("!has(self.max) || type(self.max) != int || type(self.value) != int || int(self.value) <= int(self.max)", "value must be ≤ max")
)]
pub struct Knob {
    /// The value: an integer, or text such as `30s`, `2Gi`, `80%`, `"0.75"` or `"true"`.
    pub value: Literal,
    /// Smallest value that may ever be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Literal>,
    /// Largest value that may ever be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Literal>,
    /// Environment variable that the application reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = ("self.matches('^[A-Za-z_][A-Za-z0-9_]*$')", "must match [A-Za-z_][A-Za-z0-9_]*"))]
    pub env: Option<String>,
    /// Command-line flag, such as `--workers`. It needs `onConflict: TakeOver`, because `args` is one atomic list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = ("self.matches('^--?[A-Za-z0-9][A-Za-z0-9._-]*$')", "must be a flag such as --workers"))]
    pub arg: Option<String>,
    /// A place inside one of `files`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<DocumentPath>,
    /// A whole key of a `ConfigMap`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key: Option<ConfigMapKey>,
    /// Spelling of the value where it lands. Required for durations and bytes.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub format: Option<ValueFormat>,
    /// Container, where it is not the target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub container: Option<String>,
    /// What to do when somebody else owns the field; default `Yield`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

impl Default for Literal {
    fn default() -> Self {
        Self::Integer(0)
    }
}

/// A place inside one of `files`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DocumentPath {
    /// Name of an entry of `files`.
    #[schemars(length(min = 1, max = 63))]
    pub file: String,
    /// RFC 6901 pointer, such as `/database/pool_size`.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = ("self.startsWith('/')", "must be an RFC 6901 pointer such as /database/pool_size"))]
    pub at: String,
}

/// A whole key of a `ConfigMap`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigMapKey {
    /// Name of the `ConfigMap`. It must exist.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in `data`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = ("self.matches('^[-._a-zA-Z0-9]+$')", "must be a key of a ConfigMap"))]
    pub key: String,
    /// How a running pod learns of a change; default `Restart`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<Reload>,
}

/// How a running pod learns of a changed file.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reload {
    /// It is restarted by a rollout.
    #[default]
    Restart,
    /// It watches the file.
    Watch,
}

/// What runs in parallel.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerUnit {
    /// Processes: each has its own pools and caches.
    #[default]
    Process,
    /// Threads: they share pools and caches.
    Thread,
}

/// A group of processes or threads.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = ("type(self.count.value) != int || int(self.count.value) >= 1", "worker count must be ≥ 1"))]
pub struct Workers {
    /// Name of the group.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')", "must be a DNS label"))]
    pub name: String,
    /// What runs in parallel; default `Process`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<WorkerUnit>,
    /// How many.
    pub count: Knob,
}

/// A connection pool.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.size) || type(self.size.value) != int || int(self.size.value) >= 1", "pool size must be ≥ 1"))]
pub struct Pool {
    /// Name of the pool.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')", "must be a DNS label"))]
    pub name: String,
    /// Workers each of which has a pool of its own; omitted: one pool per pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub per_worker: Option<String>,
    /// Connections that are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Knob>,
    /// Connections beyond `size` under load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow: Option<Knob>,
    /// Idle connections that are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_idle: Option<Knob>,
    /// Time that a request waits for a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acquire_timeout: Option<Knob>,
    /// Time after which an idle connection is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Knob>,
    /// Age at which a connection is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<Knob>,
}

/// A cache.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(self.ttl) || (type(self.ttl.value) == string && string(self.ttl.value).matches('^-?[0-9]+([.][0-9]+)?(ms|s|m|h|d)$'))", "ttl must be a duration such as 300ms, 30s, 5m"),
    validation = ("!has(self.ttl) || type(self.ttl.value) != string || !string(self.ttl.value).startsWith('-')", "ttl must be ≥ 1s"),
    validation = ("!has(self.maxEntries) || !has(self.maxBytes)", "at most one of maxEntries and maxBytes may be set")
)]
pub struct Cache {
    /// Name of the cache.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')", "must be a DNS label"))]
    pub name: String,
    /// Time that an entry lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Knob>,
    /// Staleness that the application can bear: an upper bound of `ttl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub max_staleness: Option<String>,
    /// Number of entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<Knob>,
    /// Size in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<Knob>,
}

/// Type of a setting.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettingType {
    /// A whole number.
    #[default]
    Integer,
    /// A decimal number, quoted.
    Number,
    /// One number and one unit of `ms s m h d`.
    Duration,
    /// Bytes, such as `2Gi`.
    Bytes,
    /// `80%` or `"0.8"`.
    Ratio,
    /// `"true"` or `"false"`.
    Boolean,
    /// One of `allowed`.
    Enum,
}

/// Every other typed number, switch or word.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = ("(has(self.type) && self.type == 'Enum') == has(self.allowed)", "allowed must be set for an Enum, and only for it"))]
pub struct Setting {
    /// Name of the setting.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')", "must be a DNS label"))]
    pub name: String,
    /// Type of the value; default `Integer`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub value_type: Option<SettingType>,
    /// The words of an `Enum`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 256)))]
    pub allowed: Vec<String>,
    /// The value and where it lands.
    #[serde(flatten)]
    pub knob: Knob,
}

/// Format of a document.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum FileFormat {
    /// YAML 1.2.
    Yaml,
    /// JSON.
    Json,
}

/// A document in a `ConfigMap`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Name by which knobs refer to it.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Name of the `ConfigMap`. It must exist.
    #[schemars(length(min = 1, max = 253))]
    pub config_map: String,
    /// Key in `data`.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// Format of the document.
    pub format: FileFormat,
    /// How a running pod learns of a change; default `Restart`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<Reload>,
    /// What to do when somebody else changes the same place; default `Yield`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// What must hold.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Threshold {
    /// Name of the threshold.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')", "must be a DNS label"))]
    pub name: String,
    /// What is read.
    pub metric: Metric,
    /// Bounds, at most one per severity. None: the threshold informs only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["severity".into()]))]
    pub levels: Vec<Level>,
    /// Share of the bound that a reading must come back by before the breach ends; default `10%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = ("self.matches('^[0-9]{1,2}([.][0-9]+)?%$')", "must be a percentage from 0% to below 100%"))]
    pub hysteresis: Option<String>,
    /// What happens when no data comes; default after `15m` with severity `warning`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_data: Option<NoData>,
    /// What the person who is paged should look at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub advice: Option<String>,
}

/// What a threshold reads: exactly one of `histogram`, `counter`, `gauge` and `query`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = ("[has(self.histogram), has(self.counter), has(self.gauge), has(self.query)].filter(x, x).size() == 1", "exactly one of histogram, counter, gauge and query must be set"),
    validation = ("!has(self.query) || (!has(self.labels) && !has(self.statistic) && !has(self.window))", "a query says everything itself: labels, statistic and window must not be set"),
    validation = ("has(self.query) || !has(self.histogram) || has(self.statistic)", "a histogram needs a statistic such as p95 or mean")
)]
pub struct Metric {
    /// Name of a histogram, without `_bucket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    #[x_kube(validation = ("self.matches('^[a-zA-Z_:][a-zA-Z0-9_:]*$')", "must be a metric name"))]
    pub histogram: Option<String>,
    /// Name of a counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    #[x_kube(validation = ("self.matches('^[a-zA-Z_:][a-zA-Z0-9_:]*$')", "must be a metric name"))]
    pub counter: Option<String>,
    /// Name of a gauge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    #[x_kube(validation = ("self.matches('^[a-zA-Z_:][a-zA-Z0-9_:]*$')", "must be a metric name"))]
    pub gauge: Option<String>,
    /// Free PromQL with one result. The class must allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub query: Option<String>,
    /// Label values that the series carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub labels: BTreeMap<String, String>,
    /// `mean`, `max`, `min`, `rate`, `increase` or `pNN`, as the kind of metric allows. Default: `mean` of a gauge,
    /// `rate` of a counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = ("self.matches('^(mean|max|min|rate|increase|p[0-9]{1,2}([.][0-9]{1,3})?)$')", "must be mean, max, min, rate, increase or a percentile such as p95"))]
    pub statistic: Option<String>,
    /// Time over which the statistic is taken; default `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = ("self.matches('^[0-9]+(ms|s|m|h|d)$')", "must be a duration such as 300ms, 30s, 5m"))]
    pub window: Option<String>,
    /// Unit of the readings; default: from the name's suffix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<MetricUnit>,
}

/// Unit of a metric's readings.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
    /// A share, 1 being all of it.
    Ratio,
    /// A share, 100 being all of it.
    Percent,
    /// A plain number.
    Count,
}

/// How bad a breach is.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
#[x_kube(validation = ("has(self.above) || has(self.below)", "at least one of above and below must be set"))]
pub struct Level {
    /// How bad a breach is.
    pub severity: Severity,
    /// Breached above this value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<Literal>,
    /// Breached below this value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<Literal>,
    /// Time that the bound must be crossed before it counts; default `0s`.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = ("self.matches('^[0-9]+(ms|s|m|h|d)$')", "must be a duration such as 300ms, 30s, 5m"))]
    pub hold: Option<String>,
}

/// What happens when no data comes. The verdict is always: hold.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NoData {
    /// Time without data before it is said; default `15m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = ("self.matches('^[0-9]+(ms|s|m|h|d)$')", "must be a duration such as 300ms, 30s, 5m"))]
    pub after: Option<String>,
    /// Severity of the alert; default `warning`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

/// Who is told.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alerting {
    /// Where alerts go; default: the class's sink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<Sink>,
    /// Labels on every alert of the policy.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub labels: BTreeMap<String, String>,
    /// Page that tells what to do.
    #[serde(rename = "runbookURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = ("self.matches('^https?://.+')", "must be an http or https URL"))]
    pub runbook_url: Option<String>,
}
