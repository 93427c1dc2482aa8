//! The dashboards of the chart, which show what the operator tells of itself: the fleet, one policy, the operator.
//!
//! `tests/telemetry.rs` writes them to `charts/trimtab/dashboards` and holds them to their structure; `tests/real_metrics/own.rs` asks
//! every query of every panel of a real Prometheus that scrapes a real operator.

use serde_json::{Map, Value, json};

use super::board::{Board, Panel, SOURCE};

/// The policies that the variables choose.
const CHOSEN: &str = r#"namespace=~"$namespace",policy=~"$policy""#;
const NAMESPACES: &str = r#"namespace=~"$namespace""#;
/// What a query may say instead of nothing: that there is none of what is counted.
pub const NONE: &str = " or vector(0)";

/// All of them, with the names of their files.
#[must_use]
pub fn all() -> [(&'static str, Value); 3] {
    [("fleet", fleet()), ("policy", policy()), ("operator", operator())]
}

fn panel(kind: &'static str, title: &str, size: (u32, u32), unit: &'static str, asks: &[(&str, &str)]) -> Panel {
    let asks = asks.iter().map(|(expr, legend)| ((*expr).to_owned(), (*legend).to_owned())).collect();
    Panel {
        kind,
        title: title.to_owned(),
        description: String::new(),
        size,
        unit,
        asks,
        defaults: Map::new(),
        further: Map::new(),
    }
}

impl Panel {
    fn says(mut self, description: &str) -> Self {
        description.clone_into(&mut self.description);
        self
    }
}

/// A number: green while it is 0, and of that colour from 1 on.
fn number(title: &str, expr: &str, colour: Option<&str>) -> Panel {
    let mut panel = panel("stat", title, (4, 4), "short", &[(expr, "")]);
    if let Some(colour) = colour {
        let steps = json!([{"value": null, "color": "green"}, {"value": 1, "color": colour}]);
        panel.defaults.insert("thresholds".to_owned(), json!({"mode": "absolute", "steps": steps}));
    }
    panel
}

fn course(title: &str, unit: &'static str, asks: &[(&str, &str)]) -> Panel {
    panel("timeseries", title, (12, 8), unit, asks)
}

/// A table: what is alike in every row, and the time, are left out.
fn table(title: &str, unit: &'static str, expr: &str) -> Panel {
    let mut panel = panel("table", title, (12, 8), unit, &[(expr, "")]);
    let hidden: Map<String, Value> = ["Time", "__name__", "instance", "job", "pod", "container", "endpoint", "service"]
        .into_iter()
        .map(|column| (column.to_owned(), true.into()))
        .collect();
    let organize = json!([{"id": "organize", "options": {"excludeByName": hidden}}]);
    panel.further.insert("transformations".to_owned(), organize);
    panel
}

/// A variable whose values a label of a metric has.
fn variable(name: &str, label: &str, of: &str) -> Value {
    json!({
        "name": name, "label": name, "type": "query", "datasource": {"type": "prometheus", "uid": format!("${{{SOURCE}}}")},
        "query": {"query": format!("label_values({of}, {label})"), "refId": name},
        "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    })
}

fn namespaces() -> Value {
    variable("namespace", "namespace", "trimtab_policy_info")
}

fn fleet() -> Value {
    let of = |text: &str| text.replace("CHOSEN", NAMESPACES);
    let count = |metric: &str| of(&format!("count({metric}){NONE}"));
    let breached = r#"trimtab_threshold_state{CHOSEN,state="Breached"}"#;
    let blind = r#"trimtab_threshold_state{CHOSEN,state="NoData"}"#;
    let panels = vec![
        number("Policies", &of("count(trimtab_policy_info{CHOSEN})"), None),
        number("Not ready", &count(r#"trimtab_policy_condition{CHOSEN,condition="Ready",status!="True"}"#), Some("orange")),
        number("Thresholds breached", &count(breached), Some("red")),
        number("Thresholds without data", &count(blind), Some("orange")),
        number("Rollouts under way", "sum(trimtab_rollouts)", Some("blue")),
        number("Values that failed", &of(&format!("sum(trimtab_policy_quarantined_values{{CHOSEN}}){NONE}")), Some("red")),
        course("Thresholds by state", "short", &[(&of("count by (state) (trimtab_threshold_state{CHOSEN})"), "{{state}}")]),
        course("Settings by state", "short", &[(&of("count by (state) (trimtab_setting_state{CHOSEN})"), "{{state}}")])
            .says("AtRest: the value is in place. Planned: it will be written, or would be. Yielded: it is left to somebody else. Quarantined: it failed."),
        course("Policies by mode", "short", &[(&of("count by (mode) (trimtab_policy_info{CHOSEN})"), "{{mode}}")]),
        course(
            "Budgets: committed of usable",
            "percentunit",
            &[(&of("trimtab_budget_committed_connections{CHOSEN} / trimtab_budget_usable_connections{CHOSEN}"), "{{namespace}} {{budget}}")],
        )
        .says("Connections that all pools of a budget could open at worst, rollouts included, of those that it has."),
        table("Breached thresholds", "dateTimeFromNow", &of(&format!("1000 * trimtab_threshold_since_timestamp_seconds{{CHOSEN}} and ignoring (state) {breached}"))),
        table("Thresholds without data", "dateTimeFromNow", &of(&format!("1000 * trimtab_threshold_since_timestamp_seconds{{CHOSEN}} and ignoring (state) {blind}"))),
        table("Conditions that do not hold", "short", &of(r#"trimtab_policy_condition{CHOSEN,status="False"}"#)),
        table("Settings that pods do not run with", "short", &of("trimtab_setting_effective{CHOSEN} unless (trimtab_setting_verified{CHOSEN} == 1)")),
        table("Rollouts under way", "dateTimeFromNow", &of("1000 * trimtab_rollout_start_timestamp_seconds{CHOSEN}")),
        table("Objects left to a person", "short", &of("trimtab_policy_held_objects{CHOSEN}")),
    ];
    let variables = vec![namespaces()];
    Board { title: "Trimtab / Fleet", uid: Some("trimtab-fleet"), variables, panels }.json()
}

fn policy() -> Value {
    let of = |text: &str| text.replace("CHOSEN", CHOSEN);
    let mut each = course(
        "$threshold",
        "short",
        &[
            (&of(r#"trimtab_threshold_value{CHOSEN,threshold="$threshold"}"#), "{{policy}} {{target}} {{series}}"),
            (
                &of(r#"trimtab_threshold_bound{CHOSEN,threshold="$threshold"}"#),
                "{{policy}} {{target}} {{severity}} {{side}}",
            ),
        ],
    )
    .says("The latest reading and the bounds in force, in base units: seconds, bytes, ratio, per second.");
    each.size = (24, 8);
    for (name, value) in [("repeat", "threshold"), ("repeatDirection", "h")] {
        each.further.insert(name.to_owned(), value.into());
    }
    each.further.insert("maxPerRow".to_owned(), 2.into());
    let state = |state: &str| of(&format!(r#"trimtab_threshold_state{{CHOSEN,state="{state}"}}"#));
    let panels = vec![
        number("Ready", &of(r#"count(trimtab_policy_condition{CHOSEN,condition="Ready",status="True"})"#), None),
        number("Breached", &format!("count({}){NONE}", state("Breached")), Some("red")),
        number("Pending", &format!("count({}){NONE}", state("Pending")), Some("orange"))
            .says("A bound is crossed, but not for long enough yet."),
        number("Without data", &format!("count({}){NONE}", state("NoData")), Some("orange")),
        number("Settings verified", &of("sum(trimtab_setting_verified{CHOSEN})"), None)
            .says("Settings that every pod runs with, as the pods tell."),
        number("Patterns found", &of("sum(trimtab_pattern_found{CHOSEN})"), Some("blue")),
        table("Conditions", "short", &of("trimtab_policy_condition{CHOSEN}")),
        table("Settings", "short", &of("trimtab_setting_desired{CHOSEN}")),
        course(
            "Settings: desired, on the object, in the pods",
            "short",
            &[
                (&of("trimtab_setting_desired{CHOSEN}"), "{{setting}} desired"),
                (&of("trimtab_setting_live{CHOSEN}"), "{{setting}} live"),
                (&of("trimtab_setting_effective{CHOSEN}"), "{{setting}} effective"),
            ],
        ),
        course(
            "Readings by state",
            "short",
            &[(&of("count by (threshold, state) (trimtab_threshold_state{CHOSEN})"), "{{threshold}} {{state}}")],
        ),
        course(
            "Rollouts under way",
            "s",
            &[(
                &of("time() - trimtab_rollout_start_timestamp_seconds{CHOSEN}"),
                "{{target_kind}}/{{target}} {{phase}}",
            )],
        )
        .says("How long they have taken so far."),
        course(
            "Budgets of the namespace",
            "short",
            &[
                (r#"trimtab_budget_usable_connections{namespace=~"$namespace"}"#, "{{budget}} usable"),
                (r#"trimtab_budget_committed_connections{namespace=~"$namespace"}"#, "{{budget}} committed"),
                (r#"trimtab_budget_free_connections{namespace=~"$namespace"}"#, "{{budget}} free"),
            ],
        ),
        each,
    ];
    let chosen = r#"trimtab_policy_info{namespace=~"$namespace"}"#;
    let threshold = of("trimtab_threshold_state{CHOSEN}");
    let variables =
        vec![namespaces(), variable("policy", "policy", chosen), variable("threshold", "threshold", &threshold)];
    Board { title: "Trimtab / Policy", uid: Some("trimtab-policy"), variables, panels }.json()
}

/// A quantile of a histogram over the interval of the dashboard.
fn quantile(share: f64, histogram: &str, by: &str) -> String {
    let le = if by.is_empty() { "le".to_owned() } else { format!("{by}, le") };
    format!("histogram_quantile({share}, sum by ({le}) (rate({histogram}_bucket[$__rate_interval])))")
}

fn rate(counter: &str, by: &str) -> String {
    format!("sum by ({by}) (rate({counter}[$__rate_interval]))")
}

fn operator() -> Value {
    let process = |metric: &str| format!("{metric} and on (job, instance) trimtab_build_info");
    let legend = "{{instance}}";
    let took = |metric: &str, by: &str, legend: &str, title: &str| {
        let (half, tail) = (quantile(0.5, metric, by), quantile(0.99, metric, by));
        let (of_half, of_tail) = (format!("{legend} p50"), format!("{legend} p99"));
        course(title, "s", &[(&half, of_half.trim()), (&tail, of_tail.trim())])
    };
    let flow =
        |title: &str, counter: &str, by: &str, legend: &str| course(title, "cps", &[(&rate(counter, by), legend)]);
    let panels = vec![
        number("Leaders", "sum(trimtab_leader)", None).says("One, unless several releases are scraped."),
        number("Replicas", "count by (version) (trimtab_build_info)", None),
        number("Inputs that wait", "max(trimtab_inputs_waiting)", None),
        number("Watches open", "sum(trimtab_watch_streams)", None),
        number("Sources that do not answer", &format!("count(trimtab_source_up == 0){NONE}"), Some("red")),
        number("Questions of a sweep", "sum(trimtab_source_questions)", None)
            .says("One question is for all thresholds that read the same thing in the same way."),
        took("trimtab_step_duration_seconds", "", "", "Time for one input"),
        flow("Inputs", "trimtab_inputs_total", "input", "{{input}}"),
        course("Policies looked at", "cps", &[("sum(rate(trimtab_reconciles_total[$__rate_interval]))", "policies")]),
        course("Effects that wait", "short", &[("sum by (effect) (trimtab_effects_waiting)", "{{effect}}")]),
        flow("Effects", "trimtab_effects_total", "effect", "{{effect}}"),
        flow(
            "Effects that failed",
            r#"trimtab_effects_total{outcome!~"succeeded|answered|not-found"}"#,
            "effect, outcome",
            "{{effect}} {{outcome}}",
        ),
        flow("Requests to the API server", "trimtab_api_requests_total", "verb, resource", "{{verb}} {{resource}}"),
        took("trimtab_api_request_duration_seconds", "verb", "{{verb}}", "Time for a request to the API server"),
        flow(
            "Requests that the API server refused",
            r#"trimtab_api_requests_total{code!~"2.."}"#,
            "verb, resource, code",
            "{{verb}} {{resource}} {{code}}",
        ),
        course("Silence of watches", "s", &[("time() - trimtab_watch_heard_timestamp_seconds", "{{resource}}")])
            .says("The API server sends a bookmark about once a minute."),
        course(
            "Lists and interrupted watches",
            "short",
            &[
                ("sum by (stream) (increase(trimtab_watch_lists_total[1h]))", "{{stream}} lists"),
                ("sum by (stream) (increase(trimtab_watch_errors_total[1h]))", "{{stream}} interrupted"),
            ],
        ),
        flow("Queries", "trimtab_queries_total", "source, kind, outcome", "{{source}} {{kind}} {{outcome}}"),
        took("trimtab_query_duration_seconds", "source", "{{source}}", "Time for a query"),
        took("trimtab_sweep_duration_seconds", "source", "{{source}}", "Time from the decision to ask to the answer")
            .says("Waiting for a free place included. Beyond the interval of the source, verdicts are late."),
        flow("Batches of alerts", "trimtab_alert_batches_total", "outcome", "{{outcome}}"),
        course("Memory", "bytes", &[(&process("process_resident_memory_bytes"), legend)]),
        course("Processor", "short", &[(&process("rate(process_cpu_seconds_total[$__rate_interval])"), legend)]),
        course("Open files and connections", "short", &[(&process("process_open_fds"), legend)]),
    ];
    Board { title: "Trimtab / Operator", uid: Some("trimtab-operator"), variables: Vec::new(), panels }.json()
}
