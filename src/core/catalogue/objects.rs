//! Objects of other projects whose fields policies may set: which fields, how each is written, and what a change of it does.
//!
//! A table and not the schema of the cluster: no schema tells that a lower limit deletes messages, that a parameter restarts a
//! database, or that a text is read as a Go duration. What is not in the table is refused. To add a kind: a variant of
//! [`Kind`] and a row of [`fields`].

use std::fmt;

use serde_json::{Value as Json, json};

use super::matches;
use crate::{
    api::policy::ValueFormat,
    core::{
        facts::{Kind, Object},
        units::{Decimal, Value, ValueType},
    },
};

/// A field that policies may set, or a map of such fields.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Path from the object; one that ends in `.*` is a map, whose keys are checked by its [`Wire`].
    path: &'static str,
    wire: Wire,
    rule: Rule,
}

/// How a field is written.
#[derive(Debug, PartialEq, Eq)]
enum Wire {
    /// A JSON integer between two bounds.
    Count(i64, i64),
    /// A JSON integer that counts bytes.
    Size(i64),
    /// A text such as `168h0m0s`.
    GoDuration,
    /// A JSON boolean.
    Switch,
    /// A text, one of these if there are any.
    Word(&'static [&'static str]),
    /// A list of texts.
    Words,
    /// A text as `postgresql.conf` has it, by the name of the parameter.
    Postgres,
    /// A text as `pgbouncer.ini` has it, by the name of the parameter.
    PgBouncer,
}

/// What a change of a field does.
#[derive(Debug, PartialEq, Eq)]
enum Rule {
    /// Nothing that cannot be taken back.
    Free,
    /// It can never change.
    Fixed { default: &'static str, because: &'static str },
    /// A limit: nothing, an empty text and what is not above zero mean unlimited. Lowering it loses something.
    Limit(&'static str),
    /// A number of instances. Lowering it loses something.
    Instances { default: i64, loses: &'static str },
    /// Words with steps between them that are refused, and some that lose something.
    Steps {
        default: &'static str,
        never: &'static str,
        because: &'static str,
        losing: (&'static str, &'static str),
        loses: &'static str,
    },
}

/// What a change would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that cannot be taken back.
    Harmless,
    /// The other side refuses it; why.
    Impossible(String),
    /// It deletes or refuses data; which.
    Destructive(String),
}

const fn field(path: &'static str, wire: Wire, rule: Rule) -> Field {
    Field { path, wire, rule }
}

const UNBOUNDED: i64 = i64::MAX;
/// NATS keeps the size of a message in 32 bits.
const MESSAGE: i64 = i32::MAX as i64;

const CLUSTER: &[Field] = &[
    field(
        "spec.instances",
        Wire::Count(1, 100),
        Rule::Instances { default: 1, loses: "removes instances and their volumes" },
    ),
    field("spec.postgresql.parameters.*", Wire::Postgres, Rule::Free),
];

const POOLER: &[Field] = &[
    field("spec.instances", Wire::Count(1, 100), Rule::Free),
    field("spec.pgbouncer.poolMode", Wire::Word(&["session", "transaction"]), Rule::Free),
    field("spec.pgbouncer.parameters.*", Wire::PgBouncer, Rule::Free),
];

const STREAM: &[Field] = &[
    field(
        "spec.name",
        Wire::Word(&[]),
        Rule::Fixed { default: "", because: "the name of a stream is fixed once it is there" },
    ),
    field("spec.maxMsgs", Wire::Count(-1, UNBOUNDED), Rule::Limit("deletes the messages beyond it")),
    field("spec.maxBytes", Wire::Size(UNBOUNDED), Rule::Limit("deletes the messages beyond it")),
    field("spec.maxAge", Wire::GoDuration, Rule::Limit("deletes the messages that are older")),
    field("spec.maxMsgSize", Wire::Size(MESSAGE), Rule::Limit("refuses the messages that are larger")),
    field("spec.maxMsgsPerSubject", Wire::Count(-1, UNBOUNDED), Rule::Limit("deletes the messages beyond it")),
    field(
        "spec.storage",
        Wire::Word(&["file", "memory"]),
        Rule::Fixed { default: "memory", because: "the storage of a stream is fixed once it is there" },
    ),
    field(
        "spec.retention",
        Wire::Word(&["limits", "interest", "workqueue"]),
        Rule::Steps {
            default: "limits",
            never: "workqueue",
            because: "JetStream refuses to change the retention to or from workqueue (error 10052)",
            losing: ("limits", "interest"),
            loses: "deletes the messages that no consumer wants",
        },
    ),
    field(
        "spec.discard",
        Wire::Word(&["old", "new"]),
        Rule::Steps {
            default: "old",
            never: "",
            because: "",
            losing: ("new", "old"),
            loses: "deletes old messages where new ones were refused",
        },
    ),
    field("spec.replicas", Wire::Count(1, 5), Rule::Free),
    field("spec.duplicateWindow", Wire::GoDuration, Rule::Free),
    field("spec.compression", Wire::Word(&["s2", "none"]), Rule::Free),
    field("spec.allowDirect", Wire::Switch, Rule::Free),
    field("spec.mirrorDirect", Wire::Switch, Rule::Free),
    field("spec.subjects", Wire::Words, Rule::Free),
    field("spec.placement.cluster", Wire::Word(&[]), Rule::Free),
    field("spec.placement.tags", Wire::Words, Rule::Free),
];

/// The fields of a kind that policies may set.
#[must_use]
pub const fn fields(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Cluster => CLUSTER,
        Kind::Pooler => POOLER,
        Kind::Stream => STREAM,
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::HorizontalPodAutoscaler | Kind::ConfigMap => &[],
    }
}

/// A field of an object, and what is known of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// Its members, from the object down. The key of a map may hold dots.
    pub members: Box<[Box<str>]>,
    field: &'static Field,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.members.join("."))
    }
}

/// The field of `kind` at `path`, such as `spec.maxAge`.
///
/// # Errors
/// Why policies may not set it, continuing its path.
pub fn find(kind: Kind, path: &str) -> Result<Place, String> {
    for field in fields(kind) {
        let Some(map) = field.path.strip_suffix(".*") else {
            if field.path == path {
                return Ok(Place { members: path.split('.').map(Into::into).collect(), field });
            }
            continue;
        };
        if let Some(key) = path.strip_prefix(map).and_then(|rest| rest.strip_prefix('.')) {
            field.wire.key(key)?;
            let members = map.split('.').chain([key]).map(Into::into).collect();
            return Ok(Place { members, field });
        }
    }
    let known: Vec<&str> = fields(kind).iter().map(|field| field.path).collect();
    Err(format!("must be a field of a {} that Trimtab knows: {}", kind.as_str(), known.join(", ")))
}

impl Place {
    /// Whether the field counts pods.
    #[must_use]
    pub fn counts_pods(&self) -> bool {
        self.field.path == "spec.instances"
    }

    /// What carrying out a change of the field does beside it, for people.
    #[must_use]
    pub fn restarts(&self) -> Option<&'static str> {
        let key = self.members.last()?;
        (self.field.wire == Wire::Postgres && RESTARTING.contains(&&**key)).then_some("PostgreSQL restarts for it")
    }

    /// Whether a change of the field may take instances down for a while, so that targets take turns with it: unless it is known
    /// that they stay up.
    #[must_use]
    pub fn needs_turn(&self) -> bool {
        let is_reloaded = |key: &str| RELOADED.contains(&key) || key.starts_with("enable_");
        match self.field.wire {
            Wire::Postgres => !self.members.last().is_some_and(|key| is_reloaded(key)),
            // Which of them PgBouncer takes up without closing connections, depends on its version and on CloudNativePG's.
            Wire::PgBouncer => true,
            Wire::Count(..) | Wire::Size(_) | Wire::GoDuration | Wire::Switch | Wire::Word(_) | Wire::Words => {
                self.field.path == "spec.pgbouncer.poolMode"
            }
        }
    }

    /// Whether values of a type, spelled so, can be written there.
    ///
    /// # Errors
    /// What would be right, continuing the path of the knob.
    pub fn accepts(&self, kind: ValueType, format: Option<ValueFormat>) -> Result<(), String> {
        use ValueFormat as As;
        use ValueType as Type;
        let plain = matches!(format, None | Some(As::Plain));
        let (fits, right) = match self.field.wire {
            Wire::Count(..) => (kind == Type::Integer && plain, "a whole number: use type Integer, without as"),
            Wire::Size(_) => (
                kind == Type::Integer && plain || kind == Type::Bytes && format == Some(As::Bytes),
                "a whole number of bytes: use type Bytes and as: bytes, or type Integer",
            ),
            Wire::GoDuration => {
                (kind == Type::Duration && format == Some(As::Go), "a Go duration: use type Duration and as: go")
            }
            Wire::Switch => (kind == Type::Boolean && plain, "true or false: use type Boolean, without as"),
            Wire::Word(_) => (kind == Type::Enum && plain, "a word: use type Enum, without as"),
            Wire::Words => (kind == Type::Enum && format == Some(As::List), "a list: use type Enum and as: list"),
            Wire::Postgres => (
                match kind {
                    Type::Duration | Type::Bytes | Type::Boolean => format == Some(As::Postgres),
                    Type::Ratio => format.is_none(),
                    Type::Integer | Type::Number | Type::Cpu | Type::Enum => true,
                },
                "a text that PostgreSQL reads: use as: postgres for a Duration, Bytes or Boolean, and leave it out of a Ratio",
            ),
            Wire::PgBouncer => (
                match kind {
                    Type::Duration => format == Some(As::Seconds),
                    Type::Bytes => format == Some(As::Bytes),
                    Type::Integer | Type::Number | Type::Enum => plain,
                    Type::Ratio | Type::Boolean | Type::Cpu => false,
                },
                "a text that PgBouncer reads: use as: seconds for a Duration, as: bytes for Bytes, and 0 or 1 for a switch",
            ),
        };
        if fits { Ok(()) } else { Err(format!("lands in {self}, which is {right}")) }
    }

    /// The value as the object has it, of which `text` is the spelling.
    ///
    /// # Errors
    /// Why it cannot be written there, continuing the path of the knob.
    pub fn json(&self, text: &str) -> Result<Json, String> {
        let whole = |least: i64, most: i64| {
            let number = text.parse::<i64>().ok().filter(|number| (least..=most).contains(number));
            number.map(|number| json!(number)).ok_or_else(|| {
                let bounds =
                    if most == UNBOUNDED { format!("≥ {least}") } else { format!("≥ {least} and ≤ {most}") };
                format!("lands in {self}, which must be a whole number {bounds}, not {text}")
            })
        };
        let says = |extra: &str| {
            let plain = |char: char| char.is_ascii_alphanumeric() || "_.,:+-/".contains(char) || extra.contains(char);
            text.chars().all(plain) && !text.is_empty()
        };
        let odd = || {
            let printable = text.escape_default();
            Err(format!("lands in {self}, where words consist of letters, digits and _ . : + - /, not \"{printable}\""))
        };
        match self.field.wire {
            Wire::Count(least, most) => whole(least, most),
            Wire::Size(most) => whole(-1, most),
            Wire::GoDuration if text.starts_with('-') => {
                Err(format!("lands in {self}, which must be ≥ 0s, not {text}"))
            }
            Wire::GoDuration => Ok(json!(text)),
            Wire::Switch => Ok(json!(text == "true")),
            Wire::Word(words) if words.is_empty() || words.contains(&text) => {
                if says("") {
                    Ok(json!(text))
                } else {
                    odd()
                }
            }
            Wire::Word(words) => Err(format!("lands in {self}, which must be one of {}, not {text}", words.join(", "))),
            Wire::Words if says("*>$") => Ok(json!(text.split(',').collect::<Vec<_>>())),
            Wire::Postgres | Wire::PgBouncer if says("") => Ok(json!(text)),
            Wire::Words | Wire::Postgres | Wire::PgBouncer => odd(),
        }
    }

    /// The live value as a knob spells it; nothing where it has another shape.
    #[must_use]
    pub fn text(&self, live: &Json) -> Option<String> {
        match (&self.field.wire, live) {
            (Wire::Words, Json::Array(items)) => {
                let words: Option<Vec<&str>> = items.iter().map(Json::as_str).collect();
                words.map(|words| words.join(","))
            }
            (_, Json::String(text)) => Some(text.clone()),
            (_, Json::Number(_) | Json::Bool(_)) => Some(live.to_string()),
            (_, Json::Null | Json::Array(_) | Json::Object(_)) => None,
        }
    }

    /// What changing the field does; nothing stands for a field that is not there.
    #[must_use]
    pub fn effect(&self, from: Option<&Json>, to: Option<&Json>) -> Effect {
        let said = |value: Option<&Json>, absent: &str| {
            value
                .and_then(|value| self.text(value))
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| absent.to_owned())
        };
        let told = |from: &str, to: &str, loses: &str| {
            Effect::Destructive(format!("changing {self} from {from} to {to} {loses}"))
        };
        match self.field.rule {
            Rule::Free => Effect::Harmless,
            Rule::Fixed { default, because } => {
                let (from, to) = (said(from, default), said(to, default));
                if from == to {
                    return Effect::Harmless;
                }
                Effect::Impossible(format!("{self} is {from} and cannot become {to}: {because}"))
            }
            Rule::Limit(loses) => match (Limit::read(from), Limit::read(to)) {
                (_, Limit::Unlimited) => Effect::Harmless,
                (Limit::Of(from), Limit::Of(to)) if from <= to => Effect::Harmless,
                (Limit::Unlimited, _) => told("unlimited", &said(to, "unlimited"), loses),
                _ => told(&said(from, "what cannot be read"), &said(to, "unlimited"), loses),
            },
            Rule::Instances { default, loses } => {
                let count = |value: Option<&Json>| value.map_or(Some(default), Json::as_i64);
                match (count(from), count(to)) {
                    (Some(from), Some(to)) if from <= to => Effect::Harmless,
                    _ => told(&said(from, "1"), &said(to, "1"), loses),
                }
            }
            Rule::Steps { default, never, because, losing, loses } => {
                let (from, to) = (said(from, default), said(to, default));
                if from == to {
                    Effect::Harmless
                } else if [from.as_str(), to.as_str()].contains(&never) {
                    Effect::Impossible(format!("{self} is {from} and cannot become {to}: {because}"))
                } else if losing == (from.as_str(), to.as_str()) {
                    told(&from, &to, loses)
                } else {
                    Effect::Harmless
                }
            }
        }
    }
}

/// A limit as an object has it.
#[derive(Debug, PartialEq)]
enum Limit {
    Unlimited,
    Of(Decimal),
    Unreadable,
}

impl Limit {
    fn read(value: Option<&Json>) -> Self {
        let amount = match value {
            None | Some(Json::Null) => return Self::Unlimited,
            Some(Json::Number(number)) => number.as_i64().map(Decimal::from_int),
            Some(Json::String(text)) if text.trim().is_empty() => return Self::Unlimited,
            Some(Json::String(text)) => {
                Value::read(ValueType::Duration, Some(ValueFormat::Go), text).and_then(|value| value.amount())
            }
            Some(Json::Bool(_) | Json::Array(_) | Json::Object(_)) => None,
        };
        match amount {
            Some(amount) if amount <= Decimal::from_int(0) => Self::Unlimited,
            Some(amount) => Self::Of(amount),
            None => Self::Unreadable,
        }
    }
}

impl Wire {
    /// Whether policies may set the parameter of that name.
    fn key(&self, key: &str) -> Result<(), String> {
        match self {
            Self::Postgres => postgres_parameter(key),
            Self::PgBouncer if PGBOUNCER.contains(&key) => Ok(()),
            Self::PgBouncer => Err(format!("must end with one of {}, not {key}", PGBOUNCER.join(", "))),
            Self::Count(..) | Self::Size(_) | Self::GoDuration | Self::Switch | Self::Word(_) | Self::Words => Ok(()),
        }
    }
}

fn postgres_parameter(key: &str) -> Result<(), String> {
    let word = |word: &str| {
        word.starts_with(|char: char| char.is_ascii_lowercase() || char == '_')
            && word.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_')
    };
    if key.split('.').count() > 2 || !key.split('.').all(word) {
        return Err(format!("must end with the name of a PostgreSQL parameter in lower case, not {key}"));
    }
    match POSTGRES_FORBIDDEN.iter().find(|(pattern, _)| matches(pattern, key)) {
        Some((_, why)) => Err(format!("must not be {key}: {why}")),
        None => Ok(()),
    }
}

/// Why nobody carries out changes of `object`, if that is so.
#[must_use]
pub fn prevents_updates(object: &Object) -> Option<&'static str> {
    let prevented = object.key.kind == Kind::Stream && object.at("/spec/preventUpdate") == Some(&json!(true));
    prevented.then_some("its spec.preventUpdate is true, so nack would not carry the change out: remove that first")
}

const OPERATORS: &str = "CloudNativePG sets it itself";
const FILES: &str = "it names files of the server";
const RISK: &str = "it puts data at risk";

/// PostgreSQL parameters that no policy may set, with the reason. A policy author must not get more power over a database than
/// numbers give, and what CloudNativePG sets itself it refuses.
const POSTGRES_FORBIDDEN: &[(&str, &str)] = &[
    ("*_command", "it runs programs"),
    ("*librar*", "it loads code"),
    ("jit_provider", "it loads code"),
    ("ssl*", OPERATORS),
    ("recovery_*", OPERATORS),
    ("primary_*", OPERATORS),
    ("syslog_*", OPERATORS),
    ("unix_socket_*", OPERATORS),
    ("synchronous_standby_names", OPERATORS),
    ("synchronized_standby_slots", OPERATORS),
    ("pg_failover_slots.primary_dsn", OPERATORS),
    ("pg_failover_slots.standby_slot_names", OPERATORS),
    ("allow_system_table_mods", OPERATORS),
    ("archive_mode", OPERATORS),
    ("bonjour*", OPERATORS),
    ("cluster_name", OPERATORS),
    ("event_source", OPERATORS),
    ("external_pid_file", OPERATORS),
    ("hot_standby", OPERATORS),
    ("listen_addresses", OPERATORS),
    ("logging_collector", OPERATORS),
    ("log_destination", OPERATORS),
    ("log_directory", OPERATORS),
    ("log_file*", OPERATORS),
    ("log_rotation_*", OPERATORS),
    ("log_truncate_on_rotation", OPERATORS),
    ("port", OPERATORS),
    ("promote_trigger_file", OPERATORS),
    ("restart_after_crash", OPERATORS),
    ("stats_temp_directory", OPERATORS),
    ("temp_tablespaces", OPERATORS),
    ("*_file", FILES),
    ("*_directory", FILES),
    ("*_directories", FILES),
    ("fsync", RISK),
    ("full_page_writes", RISK),
    ("data_sync_retry", RISK),
    ("zero_damaged_pages", RISK),
    ("ignore_*", RISK),
    ("password_*", "it changes who may connect"),
    ("scram_*", "it changes who may connect"),
    ("krb_*", "it changes who may connect"),
    ("gss_*", "it changes who may connect"),
    ("db_user_namespace", "it changes who may connect"),
    ("row_security", "it changes who sees what"),
    ("search_path", "it decides which functions run"),
    ("session_replication_role", "it switches triggers off"),
];

/// Parameters that PostgreSQL reads at start only (those of the context `postmaster`, up to version 18).
const RESTARTING: &[&str] = &[
    "autovacuum_freeze_max_age",
    "autovacuum_max_workers",
    "autovacuum_multixact_freeze_max_age",
    "autovacuum_worker_slots",
    "commit_timestamp_buffers",
    "debug_io_direct",
    "dynamic_shared_memory_type",
    "huge_page_size",
    "huge_pages",
    "io_max_combine_limit",
    "io_max_concurrency",
    "io_method",
    "max_active_replication_origins",
    "max_connections",
    "max_files_per_process",
    "max_locks_per_transaction",
    "max_logical_replication_workers",
    "max_notify_queue_pages",
    "max_pred_locks_per_transaction",
    "max_prepared_transactions",
    "max_replication_slots",
    "max_wal_senders",
    "max_worker_processes",
    "min_dynamic_shared_memory",
    "multixact_member_buffers",
    "multixact_offset_buffers",
    "notify_buffers",
    "old_snapshot_threshold",
    "pg_stat_statements.max",
    "reserved_connections",
    "serializable_buffers",
    "shared_buffers",
    "shared_memory_type",
    "subtransaction_buffers",
    "superuser_reserved_connections",
    "track_activity_query_size",
    "track_commit_timestamp",
    "transaction_buffers",
    "wal_buffers",
    "wal_decode_buffer_size",
    "wal_level",
    "wal_log_hints",
];

/// Parameters that PostgreSQL takes up while it runs, in every version up to 18 that has them (those of the contexts `sighup`,
/// `superuser` and `user`). Of the others, those of extensions among them, nobody knows it beforehand.
const RELOADED: &[&str] = &[
    "archive_timeout",
    "authentication_timeout",
    "autovacuum",
    "autovacuum_analyze_scale_factor",
    "autovacuum_analyze_threshold",
    "autovacuum_naptime",
    "autovacuum_vacuum_cost_delay",
    "autovacuum_vacuum_cost_limit",
    "autovacuum_vacuum_insert_scale_factor",
    "autovacuum_vacuum_insert_threshold",
    "autovacuum_vacuum_scale_factor",
    "autovacuum_vacuum_threshold",
    "autovacuum_work_mem",
    "backend_flush_after",
    "bgwriter_delay",
    "bgwriter_flush_after",
    "bgwriter_lru_maxpages",
    "bgwriter_lru_multiplier",
    "checkpoint_completion_target",
    "checkpoint_flush_after",
    "checkpoint_timeout",
    "checkpoint_warning",
    "client_connection_check_interval",
    "commit_delay",
    "commit_siblings",
    "constraint_exclusion",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "cursor_tuple_fraction",
    "deadlock_timeout",
    "default_statistics_target",
    "default_toast_compression",
    "effective_cache_size",
    "effective_io_concurrency",
    "from_collapse_limit",
    "geqo",
    "geqo_effort",
    "geqo_threshold",
    "gin_fuzzy_search_limit",
    "gin_pending_list_limit",
    "hash_mem_multiplier",
    "hot_standby_feedback",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "jit",
    "jit_above_cost",
    "jit_inline_above_cost",
    "jit_optimize_above_cost",
    "join_collapse_limit",
    "lock_timeout",
    "log_autovacuum_min_duration",
    "log_checkpoints",
    "log_duration",
    "log_lock_waits",
    "log_min_duration_sample",
    "log_min_duration_statement",
    "log_statement",
    "log_statement_sample_rate",
    "log_temp_files",
    "logical_decoding_work_mem",
    "maintenance_io_concurrency",
    "maintenance_work_mem",
    "max_parallel_maintenance_workers",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "max_pred_locks_per_page",
    "max_pred_locks_per_relation",
    "max_slot_wal_keep_size",
    "max_stack_depth",
    "max_standby_archive_delay",
    "max_standby_streaming_delay",
    "max_sync_workers_per_subscription",
    "max_wal_size",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
    "min_wal_size",
    "parallel_leader_participation",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "plan_cache_mode",
    "random_page_cost",
    "recursive_worktable_factor",
    "seq_page_cost",
    "statement_timeout",
    "synchronous_commit",
    "tcp_keepalives_count",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_user_timeout",
    "temp_buffers",
    "temp_file_limit",
    "track_activities",
    "track_counts",
    "track_functions",
    "track_io_timing",
    "track_wal_io_timing",
    "transaction_timeout",
    "vacuum_buffer_usage_limit",
    "vacuum_cost_delay",
    "vacuum_cost_limit",
    "vacuum_cost_page_dirty",
    "vacuum_cost_page_hit",
    "vacuum_cost_page_miss",
    "vacuum_failsafe_age",
    "vacuum_freeze_min_age",
    "vacuum_freeze_table_age",
    "vacuum_multixact_failsafe_age",
    "vacuum_multixact_freeze_min_age",
    "vacuum_multixact_freeze_table_age",
    "wal_compression",
    "wal_init_zero",
    "wal_keep_size",
    "wal_receiver_status_interval",
    "wal_receiver_timeout",
    "wal_recycle",
    "wal_retrieve_retry_interval",
    "wal_sender_timeout",
    "wal_skip_threshold",
    "wal_writer_delay",
    "wal_writer_flush_after",
    "work_mem",
];

/// Parameters of PgBouncer that policies may set: those that CloudNativePG passes on, without who may connect and what is sent
/// to the server.
const PGBOUNCER: &[&str] = &[
    "autodb_idle_timeout",
    "cancel_wait_timeout",
    "client_idle_timeout",
    "client_login_timeout",
    "default_pool_size",
    "dns_max_ttl",
    "dns_nxdomain_ttl",
    "idle_transaction_timeout",
    "listen_backlog",
    "log_connections",
    "log_disconnections",
    "log_pooler_errors",
    "log_stats",
    "max_client_conn",
    "max_db_connections",
    "max_packet_size",
    "max_prepared_statements",
    "max_user_connections",
    "min_pool_size",
    "pkt_buf",
    "query_timeout",
    "query_wait_timeout",
    "reserve_pool_size",
    "reserve_pool_timeout",
    "sbuf_loopcnt",
    "server_check_delay",
    "server_connect_timeout",
    "server_fast_close",
    "server_idle_timeout",
    "server_lifetime",
    "server_login_retry",
    "server_round_robin",
    "stats_period",
    "suspend_timeout",
    "tcp_defer_accept",
    "tcp_keepalive",
    "tcp_keepcnt",
    "tcp_keepidle",
    "tcp_keepintvl",
    "tcp_socket_buffer",
    "tcp_user_timeout",
    "verbose",
];

#[cfg(test)]
mod tests;
