//! What the operator tells of itself, without a cluster: the table of metrics, the dashboards and the alerts of the chart.
//!
//! `make golden` (`UPDATE_GOLDEN=1 cargo test --test telemetry golden`) writes the documentation and the dashboards again. Every query
//! of every panel is asked of a real Prometheus in `tests/real_metrics/own.rs`.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/golden.rs"]
mod golden;
#[path = "support/promtool.rs"]
mod promtool;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use promtool::promtool;
use serde_json::Value;
use trimtab::{core::paper::boards, shell::telemetry::family};

const RULES: &str = "charts/trimtab/rules/trimtab.yaml";
const CASES: &str = "tests/data/rules/trimtab.yaml";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("reading {file}: {error}"))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn golden_documentation_of_every_metric() {
    golden::assert_golden("docs/metrics.md", &family::markdown());
}

#[test]
fn golden_dashboards() {
    for (name, board) in boards::all() {
        let text = serde_json::to_string_pretty(&board).unwrap() + "\n";
        golden::assert_golden(&format!("charts/trimtab/dashboards/{name}.json"), &text);
    }
}

/// The dashboards of the chart as they are in the repository, by file.
fn dashboards() -> BTreeMap<String, Value> {
    let folder = fs::read_dir(root().join("charts/trimtab/dashboards")).expect("a folder of dashboards");
    let names = folder.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    names
        .map(|name| {
            let board = text(&format!("charts/trimtab/dashboards/{name}"));
            (name, serde_json::from_str(&board).expect("JSON"))
        })
        .collect()
}

/// Exactly these members, and none that Grafana would not know.
#[track_caller]
fn members(value: &Value, wanted: &[&str], further: &[&str], whose: &str) {
    let found: BTreeSet<&str> = value.as_object().expect(whose).keys().map(String::as_str).collect();
    let missing: Vec<_> = wanted.iter().filter(|name| !found.contains(*name)).collect();
    assert!(missing.is_empty(), "{whose} lacks {missing:?}");
    let unknown: Vec<_> = found.iter().filter(|name| !wanted.contains(name) && !further.contains(name)).collect();
    assert!(unknown.is_empty(), "{whose} has {unknown:?}");
}

#[track_caller]
fn word<'a>(value: &'a Value, whose: &str) -> &'a str {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or_else(|| panic!("{whose}: {value} is no word"))
}

/// Grafana's names of units that we use.
const UNITS: [&str; 6] = ["short", "s", "bytes", "percentunit", "cps", "dateTimeFromNow"];
const SOURCE: &str = "${source}";

fn check_variables(name: &str, board: &Value) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    let variables = board["templating"]["list"].as_array().expect("variables");
    for variable in variables {
        let whose = format!("{name}: variable {}", variable["name"]);
        match word(&variable["type"], &whose) {
            "datasource" => {
                members(variable, &["name", "label", "type", "query"], &[], &whose);
                assert_eq!((&variable["query"], known.len()), (&"prometheus".into(), 0), "{whose}: it comes first");
            }
            "query" => {
                let wanted = ["name", "label", "type", "datasource", "query", "refresh", "sort"];
                members(variable, &wanted, &["multi", "includeAll", "allValue", "current"], &whose);
                assert_eq!(variable["datasource"]["uid"], SOURCE, "{whose}");
                let query = word(&variable["query"]["query"], &whose);
                assert!(query.starts_with("label_values(trimtab_") && query.ends_with(')'), "{whose}: {query}");
                for used in used_variables(query) {
                    assert!(known.contains(&used), "{whose} comes before ${used}");
                }
            }
            other => panic!("{whose}: type {other}"),
        }
        assert!(known.insert(word(&variable["name"], &whose).to_owned()), "{whose} is there twice");
    }
    assert!(known.contains("source"), "{name} has no variable for the Prometheus");
    known
}

/// Names after a `$`, without those that Grafana has of its own.
fn used_variables(text: &str) -> BTreeSet<String> {
    let rest = text.split('$').skip(1).map(|rest| rest.trim_start_matches('{'));
    let names =
        rest.map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>());
    names.filter(|name| !name.starts_with("__")).collect()
}

fn check_panel(name: &str, panel: &Value, variables: &BTreeSet<String>) {
    let whose = format!("{name}: panel {}", panel["title"]);
    let wanted = ["id", "type", "title", "description", "datasource", "gridPos", "targets", "fieldConfig"];
    members(panel, &wanted, &["transformations", "repeat", "repeatDirection", "maxPerRow"], &whose);
    let kind = word(&panel["type"], &whose);
    assert!(["timeseries", "stat", "table"].contains(&kind), "{whose}: type {kind}");
    members(&panel["datasource"], &["type", "uid"], &[], &whose);
    assert_eq!((&panel["datasource"]["type"], &panel["datasource"]["uid"]), (&"prometheus".into(), &SOURCE.into()));
    let defaults = &panel["fieldConfig"]["defaults"];
    members(&panel["fieldConfig"], &["defaults", "overrides"], &[], &whose);
    members(defaults, &["unit"], &["thresholds"], &whose);
    let unit = word(&defaults["unit"], &whose);
    assert!(UNITS.contains(&unit), "{whose}: unit {unit}");
    let mut before = f64::NEG_INFINITY;
    for step in defaults["thresholds"]["steps"].as_array().into_iter().flatten() {
        members(step, &["value", "color"], &[], &whose);
        let value = step["value"].as_f64().unwrap_or(f64::MIN);
        assert!(value > before, "{whose}: steps go up");
        before = value;
    }
    let targets = panel["targets"].as_array().expect("targets");
    assert!(!targets.is_empty(), "{whose} asks nothing");
    let mut letters = BTreeSet::new();
    for target in targets {
        members(target, &["refId", "expr", "legendFormat"], &["format", "instant"], &whose);
        assert!(letters.insert(word(&target["refId"], &whose)), "{whose}: a letter is there twice");
        let expr = word(&target["expr"], &whose);
        let metrics = metrics_in(expr);
        assert!(!metrics.is_empty(), "{whose} asks no metric of ours: {expr}");
        for metric in metrics {
            assert!(is_known(&metric), "{whose} asks {metric}, which does not exist");
        }
        for used in used_variables(expr) {
            assert!(variables.contains(&used), "{whose} uses ${used}");
        }
        assert_eq!(kind == "table", target["format"] == "table" && target["instant"] == true, "{whose}");
    }
    if let Some(repeat) = panel["repeat"].as_str() {
        assert!(variables.contains(repeat) && panel["title"].as_str().unwrap().contains(repeat), "{whose}");
    }
}

/// Names of metrics of the operator in a query.
fn metrics_in(expr: &str) -> BTreeSet<String> {
    let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("trimtab_") || word.starts_with("process_")).map(ToOwned::to_owned).collect()
}

fn is_known(metric: &str) -> bool {
    family::ALL.iter().any(|known| {
        let rest = metric.strip_prefix(known.name);
        let is_histogram = matches!(known.kind, family::Kind::Histogram(_));
        rest == Some("") || (is_histogram && matches!(rest, Some("_bucket" | "_sum" | "_count")))
    })
}

#[test]
fn dashboards_are_what_grafana_takes() {
    let boards = dashboards();
    assert_eq!(boards.keys().map(String::as_str).collect::<Vec<_>>(), ["fleet.json", "operator.json", "policy.json"]);
    let mut uids = BTreeSet::new();
    for (name, board) in &boards {
        let wanted = ["title", "tags", "schemaVersion", "editable", "time", "refresh", "templating", "panels", "uid"];
        members(board, &wanted, &[], name);
        assert_eq!(board["schemaVersion"], 39, "{name}");
        let uid = word(&board["uid"], name);
        assert!(uid.len() <= 40 && uids.insert(uid), "{name}: uid {uid}");
        let variables = check_variables(name, board);
        let panels = board["panels"].as_array().expect("panels");
        let mut ids = BTreeSet::new();
        let mut taken: BTreeMap<(u64, u64), &Value> = BTreeMap::new();
        for panel in panels {
            check_panel(name, panel, &variables);
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{name}: an id is there twice");
            let at = &panel["gridPos"];
            members(at, &["x", "y", "w", "h"], &[], name);
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| at[side].as_u64().expect("a number"));
            assert!(w > 0 && h > 0 && x + w <= 24, "{name}: {} is beyond the grid", panel["title"]);
            for cell in (x..x + w).flat_map(|column| (y..y + h).map(move |row| (column, row))) {
                let other = taken.insert(cell, &panel["title"]);
                assert_eq!(other, None, "{name}: {} overlaps", panel["title"]);
            }
        }
    }
}

/// The alerts, by name.
fn alerts() -> BTreeMap<String, Value> {
    let rules = yaml(RULES);
    let groups = rules["groups"].as_array().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules").clone());
    rules.map(|rule| (word(&rule["alert"], RULES).to_owned(), rule)).collect()
}

#[test]
fn alerts_say_what_is_the_matter_and_have_a_runbook() {
    let runbooks = text("docs/runbooks.md");
    let sections: BTreeSet<&str> = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts = alerts();
    assert_eq!(sections, alerts.keys().map(String::as_str).collect(), "a section for each alert, and no other");
    for (name, rule) in &alerts {
        assert!(name.starts_with("Trimtab"), "{name}");
        assert!(["warning", "critical"].contains(&word(&rule["labels"]["severity"], name)), "{name}");
        members(&rule["annotations"], &["summary", "description", "runbook_url"], &[], name);
        for annotation in ["summary", "description"] {
            assert!(word(&rule["annotations"][annotation], name).ends_with('.'), "{name}: {annotation}");
        }
        let link = format!("docs/runbooks.md#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], link.as_str(), "{name}");
        let metrics = metrics_in(word(&rule["expr"], name));
        assert!(!metrics.is_empty() && metrics.iter().all(|metric| is_known(metric)), "{name} asks {metrics:?}");
    }
    for metric in metrics_in(&runbooks) {
        assert!(is_known(&metric), "docs/runbooks.md names {metric}, which does not exist");
    }
}

/// Runs promtool, which must find nothing.
fn run(arguments: &[&str]) {
    let output = promtool().args(arguments).output().expect("run promtool");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {arguments:?}:\n{said}");
}

#[test]
fn promtool_finds_nothing_in_the_alerts_and_each_fires_and_is_silent_when_it_should() {
    run(&["check", "rules", "--lint=all", "--lint-fatal", RULES]);
    run(&["test", "rules", CASES]);
    let mut cases: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let tests = yaml(CASES);
    for case in tests["tests"]
        .as_array()
        .expect("tests")
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().expect("cases"))
    {
        let (fires, silent) = cases.entry(word(&case["alertname"], CASES).to_owned()).or_default();
        let expected = case["exp_alerts"].as_array().expect("what is expected");
        if expected.is_empty() {
            *silent += 1;
        } else {
            *fires += 1;
        }
    }
    assert_eq!(cases.keys().collect::<Vec<_>>(), alerts().keys().collect::<Vec<_>>());
    for (alert, (fires, silent)) in cases {
        assert!(fires > 0 && silent > 0, "{alert} fires {fires} times and is silent {silent} times");
    }
}
