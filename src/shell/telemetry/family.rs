//! Every metric of the operator: its name, type, labels and what it means. `docs/metrics.md` is made of this table.

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// Its name, with unit.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its labels, in the order in which their values are given.
    pub labels: &'static [&'static str],
    /// How to read it: a sentence or two.
    pub help: &'static str,
}

/// Type of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// It only grows, and begins anew with the process.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many observations were at most as large as each of these.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word of the text format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Effects take from a fraction of a millisecond (a refusal on this machine) to the ten seconds after which they are given
/// up; an apply on a quiet cluster takes 5 to 20 ms.
const EFFECT_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// A step takes microseconds; beyond 100 ms the engine itself is the bottleneck.
const STEP_SECONDS: &[f64] = &[0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];
/// A request to the API server; by resource, so that buckets are few.
const REQUEST_SECONDS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0];

macro_rules! families {
    ($($constant:ident $kind:expr, $name:literal, [$($label:literal),*], $help:literal;)+) => {
        $(#[doc = concat!("`", $name, "`.")] pub const $constant: Family =
            Family { name: $name, kind: $kind, labels: &[$($label),*], help: $help };)+

        /// All of them, in the order of the documentation.
        pub const ALL: &[Family] = &[$($constant),+];
    };
}

families! {
    // Of the process, on every replica.
    BUILD_INFO Kind::Gauge, "trimtab_build_info", ["version"],
        "Always 1; its label tells the version.";
    LEADER Kind::Gauge, "trimtab_leader", [],
        "1 on the replica that acts, 0 on standby replicas. The sum over all replicas should be 1.";
    INPUTS Kind::Counter, "trimtab_inputs_total", ["input"],
        "What the engine was told, by kind of input.";
    INPUTS_WAITING Kind::Gauge, "trimtab_inputs_waiting", [],
        "Inputs that wait for the engine. It is near 0 unless the engine cannot keep up.";
    STEP_DURATION Kind::Histogram(STEP_SECONDS), "trimtab_step_duration_seconds", [],
        "Time that the engine took for one input.";
    EFFECTS Kind::Counter, "trimtab_effects_total", ["effect", "outcome"],
        "Effects that ended: requests to the API server (status writes have the effect `status`), queries, alerts. Every outcome but `succeeded`, `answered` and `not-found` is a failure of its own kind.";
    EFFECT_DURATION Kind::Histogram(EFFECT_SECONDS), "trimtab_effect_duration_seconds", ["effect"],
        "Time from the start of an effect to its end, waiting not included.";
    EFFECTS_WAITING Kind::Gauge, "trimtab_effects_waiting", ["effect"],
        "Effects that wait for a free place or for an earlier effect on the same object.";
    API_REQUESTS Kind::Counter, "trimtab_api_requests_total", ["verb", "resource", "code"],
        "Requests to the API server by verb, resource and status code. The code is `error` where there was no answer. A watch counts when it is opened.";
    API_REQUEST_DURATION Kind::Histogram(REQUEST_SECONDS), "trimtab_api_request_duration_seconds", ["verb", "resource"],
        "Time from a request to the API server to the head of its answer.";
    WATCH_STREAMS Kind::Gauge, "trimtab_watch_streams", ["resource"],
        "Watches of a resource that are open. Missing where the cluster does not serve it.";
    WATCH_HEARD Kind::Gauge, "trimtab_watch_heard_timestamp_seconds", ["resource"],
        "When a watch of a resource was last heard of, as a Unix time. The API server sends a bookmark about once a minute.";
    WATCH_LISTS Kind::Counter, "trimtab_watch_lists_total", ["stream"],
        "Complete lists of a watched kind. One at the start; more mean that a watch expired or was interrupted.";
    WATCH_ERRORS Kind::Counter, "trimtab_watch_errors_total", ["stream"],
        "Failed lists and watches of a kind. Each is retried, at most every 30 seconds.";
    UNREADABLE Kind::Counter, "trimtab_unreadable_objects_total", ["stream"],
        "Objects that this version cannot read. They are left alone; the log names them.";
    QUERIES Kind::Counter, "trimtab_queries_total", ["source", "kind", "outcome"],
        "Queries to a MetricsSource. The kind is `shared` (by all thresholds that read the same), `single` (a policy's own query), `age` (of the data) or `past` (once after a start); every outcome but `answered` is the reason of the failure.";
    QUERY_DURATION Kind::Histogram(EFFECT_SECONDS), "trimtab_query_duration_seconds", ["source", "kind"],
        "Time from a query to its decoded answer, waiting for a free place not included.";
    ALERT_BATCHES Kind::Counter, "trimtab_alert_batches_total", ["outcome"],
        "Batches of alerts, counted once per Alertmanager. Every outcome but `taken` is a loss: `refused` by the Alertmanager, `outdated` before it answered, `overflow` of its queue.";
    PROCESS_CPU Kind::Counter, "process_cpu_seconds_total", [],
        "Time on a processor, of the user and of the system.";
    PROCESS_MEMORY Kind::Gauge, "process_resident_memory_bytes", [],
        "Memory that is in use.";
    PROCESS_FDS Kind::Gauge, "process_open_fds", [],
        "Open files and connections.";
    PROCESS_START Kind::Gauge, "process_start_time_seconds", [],
        "When the process began, as a Unix time.";

    // What the engine knows, on the leader alone. A series goes with its object.
    RECONCILES Kind::Counter, "trimtab_reconciles_total", [],
        "Times that the engine has looked at a policy.";
    POLICY_INFO Kind::Gauge, "trimtab_policy_info", ["namespace", "policy", "mode", "source"],
        "Always 1, for each policy; its labels tell the mode, and the MetricsSource that is asked.";
    POLICY_CONDITION Kind::Gauge, "trimtab_policy_condition", ["namespace", "policy", "condition", "status", "reason"],
        "Always 1, for each condition of a policy, as its status says: status is True, False or Unknown.";
    POLICY_QUARANTINED Kind::Gauge, "trimtab_policy_quarantined_values", ["namespace", "policy"],
        "Values that failed and are not tried again for a day. Missing where there are none.";
    POLICY_HELD Kind::Gauge, "trimtab_policy_held_objects", ["namespace", "policy"],
        "Objects that are left to a person until the policy changes. Missing where there are none.";
    SETTING_DESIRED Kind::Gauge, "trimtab_setting_desired", ["namespace", "policy", "setting", "target_kind", "target"],
        "Value of a setting that shall be in place, in base units; a switch is 1 or 0. Words have no series.";
    SETTING_LIVE Kind::Gauge, "trimtab_setting_live", ["namespace", "policy", "setting", "target_kind", "target"],
        "Value of a setting that its object carries, in base units. Missing where it is not set.";
    SETTING_EFFECTIVE Kind::Gauge, "trimtab_setting_effective", ["namespace", "policy", "setting", "target_kind", "target"],
        "Value of a setting that pods run with, as they tell, in base units; where they differ, the wrong one that most of them have. Missing where nobody can tell.";
    SETTING_VERIFIED Kind::Gauge, "trimtab_setting_verified", ["namespace", "policy", "setting", "target_kind", "target"],
        "1 where every pod runs with the value that is in place, else 0. Missing where nobody can tell.";
    SETTING_STATE Kind::Gauge, "trimtab_setting_state", ["namespace", "policy", "setting", "target_kind", "target", "state"],
        "Always 1; the label state is AtRest, Planned, Yielded, Quarantined, Refused or NotEnforceable.";
    THRESHOLD_STATE Kind::Gauge, "trimtab_threshold_state", ["namespace", "policy", "threshold", "target_kind", "target", "series", "state"],
        "Always 1; the label state is Unjudged, Within, Pending, Breached or NoData. The label series is there where the threshold keeps labels apart.";
    THRESHOLD_SINCE Kind::Gauge, "trimtab_threshold_since_timestamp_seconds", ["namespace", "policy", "threshold", "target_kind", "target", "series"],
        "Since when a threshold is Pending, Breached or without data, as a Unix time. Missing while it is Within.";
    THRESHOLD_VALUE Kind::Gauge, "trimtab_threshold_value", ["namespace", "policy", "threshold", "target_kind", "target", "series"],
        "Latest reading of a threshold, in base units (seconds, bytes, ratio, per second, bytes per second). Missing without data.";
    THRESHOLD_BOUND Kind::Gauge, "trimtab_threshold_bound", ["namespace", "policy", "threshold", "severity", "target_kind", "target", "side"],
        "Bound of a threshold that is in force, in base units. It is breached strictly above or below, as the label side says.";
    THRESHOLD_CLEAR Kind::Gauge, "trimtab_threshold_clear", ["namespace", "policy", "threshold", "severity", "target_kind", "target", "side"],
        "Where a breach of a threshold ends, in base units: its bound less hysteresis.";
    THRESHOLD_INTERVAL Kind::Gauge, "trimtab_threshold_interval", ["namespace", "policy", "threshold", "target_kind", "target", "series", "end"],
        "Between what the share lies that a threshold reads, by Wilson's score: the ends least and most, each at 95 %, one-sided. Of ratios of counters only.";
    PATTERN_FOUND Kind::Gauge, "trimtab_pattern_found", ["namespace", "policy", "pattern", "kind", "target_kind", "target", "series"],
        "1 where a pattern is found and its advice given, else 0.";
    PATTERN_VALUE Kind::Gauge, "trimtab_pattern_value", ["namespace", "policy", "pattern", "kind", "target_kind", "target", "series"],
        "What a pattern is judged by: seconds, a ratio, or a number of tries without exception. Missing without data.";
    ROLLOUTS Kind::Gauge, "trimtab_rollouts", [],
        "Rollouts of ours that are under way.";
    ROLLOUT_START Kind::Gauge, "trimtab_rollout_start_timestamp_seconds", ["namespace", "policy", "target_kind", "target", "phase"],
        "When a rollout of ours that is under way began, as a Unix time. The phase is Preparing, Running, Settling, RollingBack or Stray (found after a restart).";
    BUDGET_USABLE Kind::Gauge, "trimtab_budget_usable_connections", ["namespace", "budget"],
        "Connections that all pools of a ConnectionBudget may open together.";
    BUDGET_COMMITTED Kind::Gauge, "trimtab_budget_committed_connections", ["namespace", "budget"],
        "Connections that they could open at worst, rollouts included.";
    BUDGET_FREE Kind::Gauge, "trimtab_budget_free_connections", ["namespace", "budget"],
        "Connections that are left; below 0 when the budget is exceeded.";
    BUDGET_CONDITION Kind::Gauge, "trimtab_budget_condition", ["namespace", "budget", "condition", "status", "reason"],
        "Always 1, for each condition of a ConnectionBudget, as its status says.";
    SOURCE_UP Kind::Gauge, "trimtab_source_up", ["source"],
        "1 while a MetricsSource answers, else 0. Missing until it was asked.";
    SOURCE_INTERVAL Kind::Gauge, "trimtab_source_interval_seconds", ["source"],
        "Time between two sweeps of a MetricsSource.";
    SOURCE_QUESTIONS Kind::Gauge, "trimtab_source_questions", ["source"],
        "Questions that a sweep of a MetricsSource asks: one for all thresholds that read the same thing in the same way.";
    SWEEP_DURATION Kind::Histogram(crate::core::engine::sweep::PACE_SECONDS), "trimtab_sweep_duration_seconds", ["source"],
        "Time from the decision to ask a question to its answer, waiting for a free place included. Beyond the interval of the source, verdicts are late.";
}

/// The documentation of all of them, in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n<!-- Made of src/shell/telemetry/family.rs by `make golden`. -->\n\n\
         What the operator tells of itself under `/metrics`, on port 8080 of its pods. Numbers are in base units; labels are words \
         of finite sets and names of objects that policies govern. What is known of policies, thresholds, settings, rollouts, budgets \
         and sources is told by the leader alone, and a series goes with its object. A label without a value is left out: \
         `target_kind` and `target` where a reading is one for all, `series` where a threshold keeps no labels apart.\n\n\
         Scrape with `honorLabels: true`, as the chart's ServiceMonitor does: the label `namespace` is that of the policy.\n\n\
         | metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for Family { name, kind, labels, help } in ALL {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        text.push_str(&format!("| `{name}` | {} | {} | {help} |\n", kind.as_str(), labels.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_and_every_metric_says_how_to_read_it() {
        let mut names = BTreeSet::new();
        for Family { name, kind, labels, help } in ALL {
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.starts_with("trimtab_") || name.starts_with("process_"), "{name}");
            assert!(help.ends_with('.') && !help.contains(['|', '\n', '\\']), "{name}: {help}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            if let Kind::Histogram(buckets) = kind {
                assert!(name.ends_with("_seconds"), "{name}");
                assert!(buckets.is_sorted() && !labels.contains(&"le"), "{name}");
            }
        }
    }
}
