//! `ConnectionBudget`: what one database can bear, and who may use how much of it. Namespaced, and owned by whoever answers
//! for the database.
//!
//! An omitted field means the following, applied by `core::allocate`:
//!
//! | field | omitted |
//! |---|---|
//! | `reserved` | 3: `superuser_reserved_connections` of `PostgreSQL` |
//! | `others` | nobody else uses the database |
//! | `headroom` | `10%` |
//! | `pooler` | applications connect to the database itself |
//! | `shares` | every pool counts as its policy and its workload say |
//! | `shares[].weight` | 1: as much as others |
//! | `shares[].min`, `shares[].max` | what the pool's own `size` says |
//! | `shares[].drains` | `false`: a pod that is ending holds its connections |
//! | `shares[].replicasMax` | the pods that the `DaemonSet` has now |

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, status};

/// Connections that are kept for people and for replication when the budget does not say.
pub const DEFAULT_RESERVED: u32 = 3;
/// Share that nobody gets when the budget does not say.
pub const DEFAULT_HEADROOM: &str = "10%";
/// Most allocations that a status lists.
pub const MAX_ALLOCATIONS: usize = 256;
/// Most reservations that a status lists: who comes after them waits.
pub const MAX_RESERVATIONS: usize = 256;

/// What one database can bear.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "trimtab.dev",
    version = "v1alpha1",
    kind = "ConnectionBudget",
    plural = "connectionbudgets",
    shortname = "connbudget",
    category = "trimtab",
    namespaced,
    status = "ConnectionBudgetStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A ConnectionBudget says how many connections one database can bear. Pools name it; Trimtab adds up what they could open at worst, rollouts included, and refuses the value that would exceed it.",
    validation = ("size(self.metadata.name) <= 63", "metadata.name must be at most 63 characters: policies refer by it"),
    printcolumn(name = "Usable", type_ = "integer", json_path = ".status.usable"),
    printcolumn(name = "Committed", type_ = "integer", json_path = ".status.committed"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::budget)]
pub struct ConnectionBudgetSpec {
    /// What the database accepts.
    pub capacity: Capacity,
    /// Connections of the capacity that are kept for people and for replication; default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub reserved: Option<u32>,
    /// Consumers that no policy of the namespace governs, those of other namespaces included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub others: Vec<Other>,
    /// Share of what is left that nobody gets, such as 10% (the default).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::headroom)]
    pub headroom: Option<String>,
    /// A pooler such as `PgBouncer` between the applications and the database. Pools then count against its clients, and its
    /// servers against the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooler: Option<Pooler>,
    /// What is known of single consumers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["policy".into(), "pool".into()]))]
    pub shares: Vec<Share>,
}

/// What the database accepts: at least one of `connections` and `metric`. Of both, the smaller counts.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(transform = rules::counted)]
pub struct Capacity {
    /// Largest number of connections, such as `max_connections` of `PostgreSQL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: Option<u32>,
    /// Where that is measured. Less counts at once, more when it has lasted 10 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
}

/// Where a number of connections is measured: exactly one of `gauge` and `query`. The `MetricsSource` of the default class is
/// asked.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(transform = rules::readback)]
pub struct Metric {
    /// Gauge of the budget's namespace, such as `pg_settings_max_connections`. Of several series, the least is the capacity, and
    /// others are all of them together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::metric_name)]
    pub gauge: Option<String>,
    /// PromQL with one result. The default class must allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub query: Option<String>,
    /// Label values of the gauge's series.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::readback_labels)]
    pub labels: BTreeMap<String, String>,
}

/// A consumer that no policy of the namespace governs: at least one of `connections` and `metric`. Of both, the larger counts.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(transform = rules::counted)]
pub struct Other {
    /// Who it is.
    #[schemars(transform = rules::dns_label)]
    pub name: String,
    /// Connections that it may open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: Option<u32>,
    /// Where it is measured how many it has. Labels or query must leave out the connections of pools that name the budget: they
    /// would count twice. More counts at once, less when it has lasted 10 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
}

/// A pooler between the applications and the database.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pooler {
    /// How long a client keeps a server. Session: as long as it is connected, so that no more clients are served than there
    /// are servers. Transaction or Statement: for one of these.
    pub mode: PoolerMode,
    /// Connections that it accepts from applications, such as `max_client_conn` of `PgBouncer`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub clients: u32,
    /// Connections that it opens to the database, over all users and databases.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub servers: u32,
}

/// How long a client of a pooler keeps a server.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum PoolerMode {
    /// As long as it is connected.
    Session,
    /// For a transaction.
    Transaction,
    /// For a statement.
    Statement,
}

/// What is known of one consumer.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::consumer)]
pub struct Share {
    /// Name of the policy.
    #[schemars(transform = rules::short_object_name)]
    pub policy: String,
    /// Name of its pool.
    #[schemars(transform = rules::dns_label)]
    pub pool: String,
    /// What it gets beside others when the budget has less than all ask for: 3 gets three times what 1 gets. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: Option<u32>,
    /// Connections of one process, overflow included, that it gets before others get more than their minimum.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min: Option<u32>,
    /// Most connections of one process, overflow included, whatever its policy asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max: Option<u32>,
    /// Whether a pod closes this pool as soon as it is told to end. Default false: it holds its connections until it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drains: Option<bool>,
    /// Most pods of a `DaemonSet`, as more nodes come. Default: those that it has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub replicas_max: Option<u32>,
}

/// What is known of a budget. Written on transitions only.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionBudgetStatus {
    /// Generation that was processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The conditions Ready, and Overcommitted while more is committed than is usable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "status::conditions")]
    pub conditions: Vec<Condition>,
    /// Connections that all pools may open together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usable: Option<i64>,
    /// Connections that they could open at worst, rollouts included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub committed: Option<i64>,
    /// Connections that are left; below 0 when the budget is exceeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<i64>,
    /// What was measured and counts: until it is measured again, nobody grows beyond it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// Growth that is about to be written. It counts before it is: whoever leads next, and whoever has led before, sees it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub reservations: Vec<Reservation>,
    /// What each consumer could open at worst; the largest, if there are more than 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub allocations: Vec<Allocation>,
}

/// What was measured of a database and counts.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// What the database accepts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<i64>,
    /// What others have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub others: Vec<MeasuredOther>,
}

/// Connections that were measured of a consumer that no policy of the namespace governs.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredOther {
    /// Who it is.
    #[schemars(length(max = 63))]
    pub name: String,
    /// Its connections.
    pub connections: i64,
}

/// Growth of one pool on one workload that is about to be written.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Name of the policy.
    #[schemars(length(max = 63))]
    pub policy: String,
    /// Name of its pool.
    #[schemars(length(max = 63))]
    pub pool: String,
    /// The workload, as Kind/name.
    #[schemars(length(max = 300))]
    pub target: String,
    /// Connections that it could open at worst.
    pub from: i64,
    /// Connections that it could open at worst once it is written.
    pub to: i64,
}

/// What one pool on one workload could open at worst.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    /// Name of the policy.
    #[schemars(length(max = 63))]
    pub policy: String,
    /// Name of its pool.
    #[schemars(length(max = 63))]
    pub pool: String,
    /// The workload, as Kind/name.
    #[schemars(length(max = 300))]
    pub target: String,
    /// Where the size of the pool lands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub landing: Option<String>,
    /// Connections of one pool: size and overflow.
    pub per_process: i64,
    /// Processes of a pod that have a pool each.
    pub processes: i64,
    /// Most pods.
    pub pods_max: i64,
    /// Pods beyond them during a rollout.
    pub surge: i64,
    /// Pods that are ending and hold connections during a rollout.
    pub terminating: i64,
    /// The product: what counts.
    pub worst_case: i64,
    /// Connections of one process, overflow included, that the policy asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<i64>,
    /// Connections of one process, overflow included, that it was let in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<i64>,
    /// What the policy was let in with, in the worst case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted: Option<i64>,
    /// What the policy asks for and does not get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<i64>,
}
