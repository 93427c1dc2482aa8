//! Knobs: the small numbers that steer an application, and the places where it reads them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{Literal, rules},
    OnConflict, Readback,
};

/// Spelling of a value where it lands.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[schemars(description = "")]
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

impl ValueFormat {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Seconds,
        Self::Milliseconds,
        Self::Go,
        Self::Bytes,
        Self::Mebibytes,
        Self::Postgres,
        Self::Redis,
        Self::Jvm,
        Self::List,
        Self::Plain,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Go => "go",
            Self::Bytes => "bytes",
            Self::Mebibytes => "mebibytes",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Jvm => "jvm",
            Self::List => "list",
            Self::Plain => "plain",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }
}

impl std::fmt::Display for ValueFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A value and where it lands. The same shape everywhere; flattened into what it belongs to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::knob)]
pub struct Knob {
    /// The value: an integer, or text such as 30s, 2Gi, 80%, "0.75" or "true". Decimals and booleans stand in quotes. Text that
    /// begins with = is a formula over limits, requests, replicas, workers, pools, caches, settings and runtime, as in
    /// = 2 * ceil(limits.cpu) + 1 or = limits.memory - 600Mi.
    pub value: Literal,
    /// Smallest value that may ever be written. What a formula gives below it is raised to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Literal>,
    /// Largest value that may ever be written. What a formula gives above it is lowered to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Literal>,
    /// Environment variable that the application reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::environment_name)]
    pub env: Option<String>,
    /// Command-line flag that the application reads, such as --workers. It needs `onConflict: TakeOver`, because args is
    /// one atomic list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::flag)]
    pub arg: Option<String>,
    /// Option of a JVM, of Node.js or of gunicorn that is set in the variable where it reads them (`JAVA_TOOL_OPTIONS`,
    /// `NODE_OPTIONS`, `GUNICORN_CMD_ARGS`), such as -XX:MaxMetaspaceSize, --max-old-space-size or --workers. Other options
    /// there stay as they are. It is spelled as its reader wants it: leave out as.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::runtime_option)]
    pub option: Option<String>,
    /// A place inside one of files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<DocumentPath>,
    /// A whole key of a ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key: Option<ConfigMapKey>,
    /// A field of a target that is no workload, such as spec.maxAge of a Stream or
    /// `spec.postgresql.parameters.work_mem` of a Cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::field_path)]
    pub field: Option<String>,
    /// Whether a literal of field may delete data: lower the limits of a Stream. Default: false, that is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_destructive: Option<bool>,
    /// How the value is spelled where it lands; required for durations and bytes. A duration: seconds, milliseconds, go
    /// (1h0m0s), postgres (30s, 5min) or plain. Bytes: bytes, mebibytes, go (2GiB), postgres (2GB), redis (2gb), jvm
    /// (2g) or plain. A Boolean: postgres (on, off), redis (yes, no) or plain. An Enum: list or plain.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub format: Option<ValueFormat>,
    /// Where every pod tells the value that it runs with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<Readback>,
    /// Container that the value is for. Default: the target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::dns_label)]
    pub container: Option<String>,
    /// What to do when somebody else owns the field with another value: Yield (default) or `TakeOver`.
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
#[schemars(transform = rules::document_path)]
pub struct DocumentPath {
    /// Name of an entry of files.
    #[schemars(length(max = 63))]
    pub file: String,
    /// The scalar, as its format names places. YAML, TOML and JSON: an RFC 6901 pointer such as `/database/pool_size`.
    /// INI: section/key, or the key alone before the first section. Properties and Conf: the key, in Conf without regard
    /// to case.
    #[schemars(transform = rules::place)]
    pub at: String,
    /// Whether a key that the document does not have gets a line of its own, for Properties, INI (the section must exist)
    /// and Conf; `deletionPolicy: Restore` takes the line away again. Default: false, an absent key is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create: Option<bool>,
}

/// A whole key of a `ConfigMap`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigMapKey {
    /// Name of the ConfigMap. It must exist.
    #[schemars(transform = rules::object_name)]
    pub name: String,
    /// Key in data. The value is all of it.
    #[schemars(transform = rules::config_map_key)]
    pub key: String,
    /// How a running pod learns of a change: Restart (default, by a rollout) or Watch (it watches the file).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<Reload>,
}

/// How a running pod learns of a changed file.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum Reload {
    /// It is restarted by a rollout.
    #[default]
    Restart,
    /// It watches the file.
    Watch,
}

/// What runs in parallel.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum WorkerUnit {
    /// Processes: each has its own pools and caches.
    #[default]
    Process,
    /// Threads: they share pools and caches.
    Thread,
}

/// A group of processes or threads.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workers {
    /// Name of the group.
    #[schemars(transform = rules::dns_label)]
    pub name: String,
    /// What runs in parallel. Process (the default): each has pools and caches of its own. Thread: they share them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<WorkerUnit>,
    /// How many there are in one pod.
    #[schemars(transform = rules::worker_count)]
    pub count: Knob,
    /// Memory that one of them takes, such as 300Mi, for formulas and for the sum that lint compares with the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::quantity)]
    pub memory_per_worker: Option<String>,
}

/// A connection pool.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::pool)]
pub struct Pool {
    /// Name of the pool.
    #[schemars(transform = rules::dns_label)]
    pub name: String,
    /// Name of an entry of workers with unit Process, each of which has a pool of its own. Omitted: one pool per pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::dns_label)]
    pub per_worker: Option<String>,
    /// Name of a `ConnectionBudget` of the namespace that size and overflow count against, over all processes and pods, rollouts
    /// included. What would exceed it is refused. Omitted: nothing is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::short_object_name)]
    pub budget: Option<String>,
    /// Connections that are kept; at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::pool_size)]
    pub size: Option<Knob>,
    /// Connections beyond size under load.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::count)]
    pub overflow: Option<Knob>,
    /// Idle connections that are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::count)]
    pub min_idle: Option<Knob>,
    /// Time that a request waits for a connection; at most 30d.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::duration_knob)]
    pub acquire_timeout: Option<Knob>,
    /// Time after which an idle connection is closed; at most 30d.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::duration_knob)]
    pub idle_timeout: Option<Knob>,
    /// Age at which a connection is replaced; at most 30d.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::duration_knob)]
    pub max_lifetime: Option<Knob>,
}

/// Where a cache is, from the innermost outwards.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum CacheTier {
    /// In the memory of each process.
    InProcess,
    /// In a server that processes share.
    Shared,
    /// On a disk.
    Disk,
}

/// What a full cache drops first.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum Eviction {
    /// What was used least recently.
    #[serde(rename = "LRU")]
    Lru,
    /// What was used least often.
    #[serde(rename = "LFU")]
    Lfu,
    /// What expires first.
    #[serde(rename = "TTL")]
    Ttl,
}

/// How an entry becomes invalid.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum Invalidation {
    /// When its time to live is over.
    Expiry,
    /// When the file that it was made of changes.
    FileModified,
    /// When the application says so.
    Explicit,
    /// Never: its key is the hash of its content.
    ContentAddressed,
}

/// A cache.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::cache)]
pub struct Cache {
    /// Name of the cache.
    #[schemars(transform = rules::dns_label)]
    pub name: String,
    /// Where it is: `InProcess` (each process has its own), Shared (a server such as Redis) or Disk. An outer tier must not
    /// forget before an inner one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<CacheTier>,
    /// Time that an entry lives; from 1s to 30d.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::ttl)]
    pub ttl: Option<Knob>,
    /// Staleness that the application can bear: an upper bound of ttl, such as 2h.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::duration_from_1s)]
    pub max_staleness: Option<String>,
    /// Number of entries; at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::positive_count)]
    pub max_entries: Option<Knob>,
    /// Size in memory, such as 256Mi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::size_knob)]
    pub max_bytes: Option<Knob>,
    /// What it drops when it is full: LRU or LFU (which need maxEntries or maxBytes) or TTL (which needs ttl).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eviction: Option<Eviction>,
    /// How an entry becomes invalid: Expiry (which needs ttl), `FileModified`, Explicit or `ContentAddressed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalidation: Option<Invalidation>,
}

/// Type of a setting.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
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
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::setting)]
pub struct Setting {
    /// Name of the setting.
    #[schemars(transform = rules::dns_label)]
    pub name: String,
    /// Type of the value. Integer (the default), Number ("0.75"), Duration (one number and one unit of ms, s, m, h, d),
    /// Bytes (2Gi), Ratio (80% or "0.8"), Boolean ("true" or "false") or Enum (one of allowed).
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub value_type: Option<SettingType>,
    /// The words that an Enum may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 64)), transform = rules::set_list)]
    pub allowed: Vec<String>,
    /// Why no field of an object carries the value, and where it belongs instead. It is shown as `NotEnforceable`, read by
    /// formulas, and never written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::prose)]
    pub not_enforceable: Option<String>,
    /// The value and where it lands.
    #[serde(flatten)]
    pub knob: Knob,
}

/// What the kernel allows the pods.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kernel {
    /// Kernel parameters. Those that a pod can carry land in its securityContext; those of the node are shown as
    /// `NotEnforceable`, and "trimtab export node-tuning" prints them for the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub sysctls: Vec<Sysctl>,
    /// Files that a process may have open. No field of a pod carries it: it is shown as `NotEnforceable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 64, max = 1_073_741_816))]
    pub open_files: Option<u32>,
    /// What to do when somebody else sets sysctls of the pod, which are one atomic list: Yield (default) or `TakeOver`, which
    /// keeps their entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}

/// A kernel parameter.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Name, such as `net.ipv4.tcp_fin_timeout`.
    #[schemars(transform = rules::sysctl_name)]
    pub name: String,
    /// Value, such as 15 or "1024 65535".
    #[schemars(transform = rules::sysctl_value)]
    pub value: Literal,
}

/// Format of a document.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum FileFormat {
    /// YAML 1.2.
    #[serde(rename = "YAML")]
    Yaml,
    /// TOML 1.0 and 1.1.
    #[serde(rename = "TOML")]
    Toml,
    /// JSON.
    #[serde(rename = "JSON")]
    Json,
    /// `.properties` of Java.
    Properties,
    /// Sections of keys and values, such as `pgbouncer.ini`.
    #[serde(rename = "INI")]
    Ini,
    /// Lines of a key and a value, such as `postgresql.conf` and `redis.conf`.
    Conf,
}

/// A document in a `ConfigMap`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Name by which knobs refer to it.
    #[schemars(transform = rules::dns_label)]
    pub name: String,
    /// Name of the ConfigMap. It must exist.
    #[schemars(transform = rules::object_name)]
    pub config_map: String,
    /// Key in data that holds the document.
    #[schemars(transform = rules::config_map_key)]
    pub key: String,
    /// Format of the document: YAML, TOML, JSON, Properties (of Java), INI (sections of keys and values, as in
    /// pgbouncer.ini) or Conf (lines of a key and a value, as in postgresql.conf and redis.conf).
    pub format: FileFormat,
    /// How a running pod learns of a change. Restart (the default): by a rollout. Watch: it watches the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reload: Option<Reload>,
    /// What to do when somebody else changes the same place. Yield (the default): leave it and say so. `TakeOver`: write
    /// it again; a place that is changed back twice within an hour is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
}
