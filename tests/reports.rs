//! Reports, checklists and exports of the guides, row by row: each R row has a golden file, each line of a K row its state.
//!
//! `UPDATE_GOLDEN=1 cargo test --test reports` writes the files again.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/golden.rs"]
mod golden;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
};

use golden::assert_golden;
use serde_json::Value;

const TRIMTAB: &str = env!("CARGO_BIN_EXE_trimtab");

/// Runs the program where nothing of the machine shows.
fn run(arguments: &[&str]) -> Output {
    Command::new(TRIMTAB)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .env("HOME", "/nonexistent")
        .output()
        .expect("run the program")
}

#[track_caller]
fn stdout(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?} was done: {}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty(), "{arguments:?} printed something");
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// Holds what a command prints to `tests/golden/reports/FILE`.
#[track_caller]
fn golden(file: &str, arguments: &[&str]) {
    assert_golden(&format!("tests/golden/reports/{file}"), &stdout(arguments));
}

fn policy(guide: &str) -> String {
    if guide == "grace" {
        return "examples/grace/repaired/policy.yaml".to_owned();
    }
    format!("tests/data/reports/{guide}.yaml")
}

/// A report of the example of a guide, before anything has been written, with the guide's readings.
#[track_caller]
fn example(guide: &str, rest: &[&str]) -> String {
    let name = if guide == "beast" { "ai-beast" } else { guide };
    let (folder, repaired, readings) =
        (format!("examples/{name}"), format!("examples/{name}/repaired"), readings(guide));
    let arguments = ["report", "-f", &folder, "-f", &repaired, "--readings", &readings];
    stdout(&[&arguments, rest].concat())
}

fn readings(guide: &str) -> String {
    format!("tests/data/reports/{guide}-readings.json")
}

/// A report of a guide with its readings.
#[track_caller]
fn report(guide: &str, rest: &[&str]) -> String {
    let (policy, readings) = (policy(guide), readings(guide));
    let mut arguments = vec!["report", "-f", &policy];
    if Path::new(env!("CARGO_MANIFEST_DIR")).join(&readings).exists() {
        arguments.extend(["--readings", &readings]);
    }
    arguments.extend(rest);
    stdout(&arguments)
}

#[track_caller]
fn golden_table(file: &str, guide: &str, table: &str) {
    assert_golden(&format!("tests/golden/reports/{file}"), &report(guide, &["--table", table]));
}

/// Rows of a Markdown table, cells trimmed.
fn cells(table: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    table.lines().skip(2).map(cells).collect()
}

// R rows

#[test]
fn ab9_before_and_after_have_means_and_standard_deviations_of_the_same_method() {
    let files = ["--before", "tests/data/reports/beast-before.json", "--after", "tests/data/reports/beast-after.json"];
    let compare = |rest: &[&'static str]| [&["report"], &files[..], rest].concat();
    golden("ab9-comparison.md", &compare(&[]));
    golden("ab9-comparison.json", &compare(&["-o", "json"]));
    let rows = cells(&stdout(&compare(&[])));
    assert_eq!(rows[0][..4], ["config load", "duration", "150.00 ± 2.94 ms", "10"].map(str::to_owned));
    assert_eq!(rows[0][6], "99.47% less");
}

/// What the table of load levels says of each level under a load: whether its requirements are met, and how it stands.
fn levels(rate: f64, p95: f64) -> Vec<[String; 2]> {
    let reading = |threshold: &str, value: f64| {
        serde_json::json!({"namespace": "grace", "policy": "grace", "threshold": threshold, "target": "Deployment/grace-api",
            "value": value})
    };
    let readings = serde_json::json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "Readings", "at": "2026-11-21T10:00:00Z",
        "thresholds": [reading("request-rate", rate), reading("load-p95", p95)]});
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("readings.json");
    fs::write(&file, readings.to_string()).expect("write the readings");
    let file = file.to_str().expect("a path in UTF-8");
    let report = |table: &str| {
        stdout(&[
            "report",
            "-f",
            "examples/grace",
            "-f",
            "examples/grace/repaired",
            "--readings",
            file,
            "--table",
            table,
        ])
    };
    // The bound that is in force is the level's.
    let thresholds = report("THRESHOLDS");
    let bound = if rate > 600.0 {
        "1s"
    } else if rate > 150.0 {
        "500ms"
    } else {
        "200ms"
    };
    assert!(
        thresholds.lines().any(|line| line.contains("load-p95") && line.contains(&format!("above {bound}"))),
        "{thresholds}"
    );
    cells(&report("LOAD_LEVELS")).into_iter().map(|row| [row[6].clone(), row[7].clone()]).collect()
}

#[test]
fn gc2_load_levels_are_judged_under_their_load_with_targets_of_their_own_and_preconditions() {
    assert_golden("tests/golden/reports/gc2-load-levels.md", &example("grace", &["--table", "LOAD_LEVELS"]));
    let statuses = |rate, p95| levels(rate, p95).into_iter().map(|[_, status]| status).collect::<Vec<_>>();
    let (lower, higher) = ("under a lower load", "under a higher load");
    assert_eq!(statuses(100.0, 0.19), ["Good", lower, lower]);
    assert_eq!(statuses(100.0, 0.21), ["Missed", lower, lower]);
    assert_eq!(statuses(500.0, 0.49), [higher, "Good", lower]);
    assert_eq!(statuses(480.0, 0.55), [higher, "Missed", lower]);
    assert_eq!(statuses(1250.0, 0.9), [higher, higher, "Good"]);
    assert_eq!(statuses(1250.0, 1.1), [higher, higher, "Missed"]);
    assert_eq!(statuses(2.0, 0.01), [lower, lower, lower]);
    // Between the bounds at which a level is entered and left nobody can tell from one reading.
    let [_, between] = levels(135.0, 0.1).remove(1);
    assert!(between.starts_with("unknown: no reading tells whether profile medium is active"), "{between}");
    // Nothing shows which database there is.
    let met: Vec<String> = levels(1250.0, 0.9).into_iter().map(|[met, _]| met).collect();
    assert_eq!(met[..2], ["true", "true"]);
    assert!(met[2].starts_with("unknown: settings.database is not enforceable: DATABASE_URL"), "{}", met[2]);
}

#[test]
fn gc3_the_load_test_of_the_chat_is_a_job_with_a_token_by_reference() {
    let policy = policy("grace");
    let export = ["export", "load-test", "chat-light", "-f", &policy, "--image", "registry.example.com/locust:2"];
    golden("gc3-load-test.yaml", &export);
    let documents: Vec<Value> = serde_saphyr::from_multiple(&stdout(&export)).expect("YAML");
    let script = documents[0]["data"]["locustfile.py"].as_str().unwrap();
    assert!(
        script.contains("PATH = \"/api/chat/\"") && script.contains("host = \"http://grace-api:8000\""),
        "{script}"
    );
    let env = &documents[1]["spec"]["template"]["spec"]["containers"][0]["env"][0];
    assert_eq!(env["valueFrom"]["secretKeyRef"], serde_json::json!({"name": "grace-load-token", "key": "token"}));
    assert_eq!(env.get("value"), None, "a token is never inline");
}

#[test]
fn gr5_tasks_that_are_slow_or_often_repeated_are_suggested() {
    golden_table("gr5-suggestions.md", "grid", "ADVICE");
    let advice = report("grid", &["--table", "ADVICE"]);
    for said in
        ["task=\"nightly import\"", "task=\"reindex\"", "candidate for optimization", "candidate for automation"]
    {
        assert!(advice.contains(said), "{said}: {advice}");
    }
    let thresholds = report("grid", &["--table", "THRESHOLDS"]);
    assert!(
        thresholds.contains("| 25m | warning above 20m; critical above 30m | Breached (warning) |"),
        "{thresholds}"
    );
    assert!(
        thresholds.contains("| 35m | warning above 20m; critical above 30m | Breached (critical) |"),
        "{thresholds}"
    );
}

#[test]
fn gr6_metrics_are_exported_with_operations_alerts_trends_and_recommendations() {
    let (policy, readings) = (policy("grid"), readings("grid"));
    let export = ["export", "metrics", "-f", &policy, "--readings", &readings];
    golden("gr6-metrics_export.json", &export);
    let export: Value = serde_json::from_str(&stdout(&export)).expect("JSON");
    let trend = |name: &str| {
        let trends = export["trends"].as_array().unwrap().iter();
        trends.filter(|trend| trend["metric"] == name).map(|trend| trend["direction"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(trend("cpu-usage"), ["Rising"]);
    assert_eq!(trend("success-rate"), ["Falling"]);
    assert_eq!(trend("network-received"), ["Steady"]);
    assert_eq!(trend("response-time"), ["TooFewPoints"]);
    assert_eq!(export["summary"]["failedRuns"], 1);
    let said = export["recommendations"].to_string();
    assert!(said.contains("Rising at 80%: its bound is reached in"), "no bound shows it yet: {said}");
}

#[test]
fn vr1_system_table_has_a_status_by_rule_and_by_word() {
    golden_table("vr1-system-metrics.md", "vrooli", "SYSTEM_METRICS");
    let rows = cells(&report("vrooli", &["--table", "SYSTEM_METRICS"]));
    let words: Vec<[&str; 3]> = rows.iter().map(|row| [&*row[1], &*row[2], &*row[3]]).collect();
    assert_eq!(
        words,
        [
            ["30s", "<20s", "Needs Improvement"],
            ["100ms", "<50ms", "Acceptable, for the guide; Missed by the rule"],
            ["45ms", "<50ms", "Good"],
            ["250ms", "<200ms", "Needs Improvement"],
            ["2.1GB", "<2GB", "Slightly High"],
            ["8.5GB", "<8GB", "At Limit"],
        ]
    );
}

#[test]
fn vr2_embedding_table_says_how_many_times_better_and_rounds_down() {
    golden_table("vr2-embedding-metrics.md", "vrooli", "EMBEDDING_METRICS");
    let rows = cells(&report("vrooli", &["--table", "EMBEDDING_METRICS"]));
    let words: Vec<&str> = rows.iter().map(|row| &*row[3]).collect();
    assert_eq!(words, ["5x", "5x", "2x", "25x", "New Feature", "4x"]);
}

#[test]
fn vr3_resource_table() {
    golden_table("vr3-resource-metrics.md", "vrooli", "RESOURCE_METRICS");
}

#[test]
fn vr4_tables_go_between_their_markers_and_no_other_byte_changes() {
    let folder = tempfile::tempdir().expect("a directory");
    let before = fs::read("tests/data/reports/vrooli-document.md").expect("read the document");
    let path = folder.path().join("performance.md");
    fs::write(&path, &before).expect("write the document");
    let into = path.to_str().expect("a path in UTF-8");
    assert_eq!(report("vrooli", &["--into", into]), "");
    let after = fs::read(&path).expect("read the document");
    assert_golden("tests/golden/reports/vr4-document.md", &String::from_utf8(after.clone()).expect("UTF-8"));
    // Outside of the three pairs, and inside of a pair that is no table, everything is as before.
    let outside = |text: &[u8]| {
        let text = String::from_utf8(text.to_vec()).expect("UTF-8");
        let mut kept = String::new();
        let mut rest = text.as_str();
        for name in ["SYSTEM_METRICS", "EMBEDDING_METRICS", "RESOURCE_METRICS"] {
            let (start, end) = (format!("<!-- EMBED:{name}:START -->"), format!("<!-- EMBED:{name}:END -->"));
            let from = rest.find(&start).unwrap() + start.len();
            kept.push_str(&rest[..from]);
            rest = &rest[rest.find(&end).unwrap()..];
        }
        kept + rest
    };
    assert_eq!(outside(&before), outside(&after));
    assert!(!String::from_utf8_lossy(&after).replace("\r\n", "").contains('\n'), "every line ends as it did");
    report("vrooli", &["--into", into]);
    assert_eq!(fs::read(&path).expect("read the document"), after, "a second time changes nothing");
    assert_eq!(folder.path().read_dir().expect("list the directory").count(), 1, "nothing is left beside it");
}

#[test]
fn vr4_markers_that_are_no_pairs_are_refused_and_the_document_stays() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("broken.md");
    let into = path.to_str().expect("a path in UTF-8");
    let (policy, readings) = (policy("vrooli"), readings("vrooli"));
    for (text, said) in [
        ("x\n<!-- EMBED:SYSTEM_METRICS:START -->\n", "line 2: EMBED:SYSTEM_METRICS:START has no"),
        (
            "<!-- EMBED:SYSTEM_METRICS:END --><!-- EMBED:SYSTEM_METRICS:START -->",
            "line 1: EMBED:SYSTEM_METRICS:END has no",
        ),
        ("no markers\n", "none of the tables SYSTEM_METRICS, EMBEDDING_METRICS, RESOURCE_METRICS"),
    ] {
        fs::write(&path, text).expect("write the document");
        let error = refused(&["report", "-f", &policy, "--readings", &readings, "--into", into]);
        assert!(error.contains(said), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("read the document"), text);
    }
}

#[test]
fn vr13_the_benchmark_of_the_search_is_a_job() {
    let policy = policy("vrooli");
    let export = ["export", "load-test", "-f", &policy, "--image", "registry.example.com/httpd:2.4"];
    golden("vr13-load-test.yaml", &export);
    assert!(stdout(&export).contains("exec ab -n 1000 -c 10 'http://vrooli:8080/api/search'"));
}

#[test]
fn vr14_operations_have_durations_and_memory_deltas() {
    golden_table("vr14-operations.md", "vrooli", "OPERATIONS");
    let rows = cells(&report("vrooli", &["--table", "OPERATIONS"]));
    assert_eq!(rows[0], ["single embedding", "5", "100%", "250.00 ms", "7.07 ms", "12.00 MiB"].map(str::to_owned));
}

#[test]
fn al13_dashboard_has_the_panels_of_the_guide_with_a_percentile_of_the_whole_service() {
    let policy = policy("alchemist");
    let export = ["export", "dashboard", "-f", &policy, "--title", "Alchemist Performance"];
    golden("al13-dashboard.json", &export);
    let dashboard: Value = serde_json::from_str(&stdout(&export)).expect("JSON");
    assert_eq!(dashboard["title"], "Alchemist Performance");
    let panel =
        |title: &str| dashboard["panels"].as_array().unwrap().iter().find(|panel| panel["title"] == title).unwrap();
    let expr = |title: &str| panel(title)["targets"][0]["expr"].as_str().unwrap().to_owned();
    let rate = expr("Request Rate");
    assert!(rate.contains("rate(alchemist_requests_total{") && rate.contains("}[5m])"), "{rate}");
    let p95 = expr("Response Time P95");
    assert!(p95.starts_with("histogram_quantile(0.95,sum by (") && p95.contains("le) ("), "{p95}");
    assert!(p95.contains("rate(alchemist_response_time_seconds_bucket{"), "{p95}");
    let steps = &panel("Response Time P95")["fieldConfig"]["defaults"]["thresholds"]["steps"];
    assert_eq!((steps[1]["value"].as_f64(), steps[2]["value"].as_f64()), (Some(0.1), Some(0.5)));
    let steps = &panel("Request Rate")["fieldConfig"]["defaults"]["thresholds"]["steps"];
    let colours: Vec<&str> = steps.as_array().unwrap().iter().map(|step| step["color"].as_str().unwrap()).collect();
    assert_eq!(colours, ["red", "orange", "green"], "more is better here");
}

#[test]
fn al14_load_tests_of_the_guide() {
    let policy = policy("alchemist");
    for (name, said) in [
        (
            "dialogs",
            "exec ab -n 1000 -c 10 -T application/json -p \"$HERE/body.json\" 'http://alchemist:8080/api/dialogs'",
        ),
        ("streaming", "exec wrk -t12 -c400 -d30s --latency 'http://alchemist:8080/api/stream'"),
        ("subscribe", "timeout 30 wscat --connect 'ws://alchemist:8080/ws'"),
    ] {
        let export = ["export", "load-test", name, "-f", &policy, "--image", "registry.example.com/load:1"];
        golden(&format!("al14-{name}.yaml"), &export);
        let documents: Vec<Value> = serde_saphyr::from_multiple(&stdout(&export)).expect("YAML");
        let script = documents[0]["data"]["run.sh"].as_str().unwrap();
        assert!(script.contains(said), "{script}");
    }
}

#[test]
fn al14_scripts_are_what_a_shell_can_read() {
    let folder = tempfile::tempdir().expect("a directory");
    for (guide, name) in
        [("alchemist", "dialogs"), ("alchemist", "streaming"), ("alchemist", "subscribe"), ("grace", "chat-light")]
    {
        let to = folder.path().join(name);
        let policy = policy(guide);
        stdout(&["export", "load-test", name, "-f", &policy, "--image", "x", "--output-dir", to.to_str().unwrap()]);
        let checked = Command::new("sh").arg("-n").arg(to.join("run.sh")).output().expect("run sh");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    let script = "import ast, sys; ast.parse(open(sys.argv[1]).read())";
    let locust = folder.path().join("chat-light/locustfile.py");
    let checked = Command::new("python3").arg("-c").arg(script).arg(&locust).output().expect("run python3");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn al16_what_is_breached_says_where_to_look() {
    golden_table("al16-advice.md", "alchemist", "ADVICE");
    let advice = report("alchemist", &["--table", "ADVICE"]);
    for said in
        ["loops and synchronous I/O", "leaks", "query plans", "lag of NATS consumers", "hit rate of Redis", "UI lags"]
    {
        assert!(advice.contains(said), "{said}: {advice}");
    }
}

// K rows

/// States of the lines of a guide whose ids begin with that of a row.
#[track_caller]
fn states(guide: &str, row: &str) -> BTreeMap<String, String> {
    let report: Value = serde_json::from_str(&example(guide, &["-o", "json"])).expect("JSON");
    let policies = report["policies"].as_array().expect("policies");
    let lines = policies.iter().flat_map(|policy| policy["checklist"]["lines"].as_array().into_iter().flatten());
    let of_row = lines.filter(|line| line["id"].as_str().unwrap().starts_with(&format!("{row}-")));
    of_row.map(|line| (line["id"].as_str().unwrap().to_owned(), line["state"].as_str().unwrap().to_owned())).collect()
}

/// Every line of a row has a state, and these have this one.
#[track_caller]
fn row(guide: &str, row: &str, lines: usize, expected: &[(&str, &str)]) {
    let states = states(guide, row);
    assert_eq!(states.len(), lines, "{states:#?}");
    for state in states.values() {
        assert!(["Passed", "Failed", "Attested", "Open", "Unknown"].contains(&&**state), "{state}");
    }
    for (line, state) in expected {
        assert_eq!(states[&format!("{row}-{line}")], *state, "{line}");
    }
}

#[test]
fn golden_checklists_of_every_guide() {
    for guide in ["beast", "grid", "vrooli", "grace", "alchemist"] {
        let report = example(guide, &[]);
        let tables = report.split("\n### ").filter_map(|table| table.strip_prefix("CHECKLIST\n\n"));
        let tables: Vec<&str> = tables.map(|table| table.split("\n#").next().unwrap().trim_end()).collect();
        assert_golden(&format!("tests/golden/reports/checklist-{guide}.md"), &format!("{}\n", tables.join("\n\n")));
    }
}

#[test]
fn ab10_pitfalls_have_a_state() {
    row("beast", "ab10", 7, &[("config-load", "Passed"), ("missing-index", "Attested"), ("sync-io", "Open")]);
}

#[test]
fn ab11_tools_and_practices_have_a_state() {
    row("beast", "ab11", 16, &[("slow-logs", "Passed"), ("result-cache", "Passed"), ("add-tests", "Failed")]);
}

#[test]
fn gr11_before_during_and_after_development() {
    let expected = [
        ("monitoring", "Passed"),
        ("alerting", "Passed"),
        ("load-tested", "Attested"),
        ("scale", "Passed"),
        ("iterate", "Open"),
    ];
    row("grid", "gr11", 21, &expected);
}

#[test]
fn gr12_bottlenecks_have_a_state() {
    row("grid", "gr12", 7, &[("caching", "Passed"), ("n-plus-1", "Attested"), ("sync-io", "Open")]);
}

#[test]
fn gr13_best_practices_have_a_state() {
    row("grid", "gr13", 8, &[("cache", "Passed"), ("clean-up", "Unknown"), ("pool", "Passed")]);
}

#[test]
fn vr15_indexes_have_a_state() {
    row("vrooli", "vr15", 5, &[("app-id", "Attested"), ("status", "Open"), ("hot-queries", "Passed")]);
}

#[test]
fn vr16_roadmap_has_a_state() {
    row("vrooli", "vr16", 15, &[("parallel-startup", "Failed"), ("memory-profiling", "Passed"), ("edge", "Open")]);
}

#[test]
fn vr17_what_to_do_has_a_state() {
    row("vrooli", "vr17", 8, &[("cache", "Passed"), ("tests", "Passed"), ("profile", "Attested")]);
}

#[test]
fn vr18_what_not_to_do_has_a_state() {
    row("vrooli", "vr18", 8, &[("unbounded", "Unknown"), ("sequential", "Passed"), ("premature", "Open")]);
}

#[test]
fn vr19_causes_and_rules_have_a_state() {
    row("vrooli", "vr19", 15, &[("pooling", "Failed"), ("identical", "Passed"), ("measure", "Attested")]);
}

#[test]
fn gc10_indexes_have_a_state() {
    row("grace", "gc10", 5, &[("chat-user", "Attested"), ("knowledge", "Open")]);
}

#[test]
fn gc11_frontend_and_scaling_have_a_state() {
    row(
        "grace",
        "gc11",
        10,
        &[("cores", "Unknown"), ("load-balancer", "Passed"), ("postgresql", "Unknown"), ("redis", "Passed")],
    );
}

#[test]
fn gc12_the_checklist_of_ten() {
    row(
        "grace",
        "gc12",
        10,
        &[
            ("postgresql", "Unknown"),
            ("redis", "Passed"),
            ("load-tests", "Attested"),
            ("cdn", "Open"),
            ("monitor", "Failed"),
        ],
    );
}

#[test]
fn al15_indexes_and_practice_have_a_state() {
    row("alchemist", "al15", 12, &[("batch-publishes", "Open"), ("degradation", "Passed"), ("arena", "Open")]);
}

#[test]
fn what_nothing_shows_neither_passes_nor_is_live() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("policy.yaml");
    let policy = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: api}]}
---
apiVersion: trimtab.dev/v1alpha1
kind: PerformancePolicy
metadata: {name: api, namespace: shop}
spec:
  target: {kind: Deployment, name: api}
  settings:
  - {name: wish, value: 50}
  - {name: base, value: 5}
  - {name: twice, value: "= 2 * settings.base"}
  - {name: size, value: "= settings.twice + 1", env: SIZE}
  - {name: secret, type: Enum, allowed: [a, b], value: a, notEnforceable: it is in a Secret}
  checklist:
  - {id: wish, text: "a wish", check: 'settings.wish >= 50'}
  - {id: base, text: "what something follows from", check: 'settings.base == 5'}
  - {id: either, text: "whichever is seen", check: 'settings.size == 11 || settings.wish > 0'}
  - {id: both, text: "one of them fails", check: 'settings.size > 11 && settings.wish > 0'}
  - {id: secret, text: "what nobody sees", check: 'settings.secret == "a"'}
  - {id: not-secret, text: "nor its contrary", check: 'settings.secret == "b"'}
"#;
    fs::write(&file, policy).expect("write the policy");
    let table =
        |name: &str| cells(&stdout(&["report", "-f", file.to_str().expect("a path in UTF-8"), "--table", name]));
    let lines = table("CHECKLIST");
    let states: Vec<[&str; 2]> = lines.iter().map(|line| [&*line[0], &*line[1]]).collect();
    let expected = [
        ["wish", "Unknown"],
        ["base", "Passed"],
        ["either", "Passed"],
        ["both", "Failed"],
        ["secret", "Unknown"],
        ["not-secret", "Unknown"],
    ];
    assert_eq!(states, expected);
    assert_eq!(
        lines[0][3],
        "settings.wish lands nowhere, so nothing shows it: give it a landing place, or attest the line"
    );
    assert_eq!(lines[4][3], "settings.secret is not enforceable: it is in a Secret");
    let values = table("VALUES");
    let live: Vec<[&str; 3]> = values.iter().map(|line| [&*line[0], &*line[3], &*line[5]]).collect();
    assert_eq!(
        live,
        [
            ["settings.wish", "n/a", "Variable"],
            ["settings.base", "n/a", "Variable"],
            ["settings.twice", "n/a", "Variable"],
            ["settings.size", "(unset)", "Planned"]
        ]
    );
}

// the report as a whole

#[test]
fn golden_reports_in_every_format() {
    for (format, file) in
        [("markdown", "report-grace.md"), ("json", "report-grace.json"), ("html", "report-grace.html")]
    {
        assert_golden(&format!("tests/golden/reports/{file}"), &report("grace", &["-o", format]));
    }
    assert_golden(
        "tests/golden/reports/report-thresholds.csv",
        &report("grid", &["-o", "csv", "--table", "THRESHOLDS"]),
    );
}

#[test]
fn the_same_files_give_the_same_bytes() {
    assert_eq!(report("grid", &["-o", "json"]), report("grid", &["-o", "json"]));
}

#[test]
fn without_readings_nothing_is_judged_and_nothing_fails() {
    let policy = policy("grace");
    let report = stdout(&["report", "-f", &policy]);
    assert!(report.contains("Without readings") && report.contains("| chat-p95 |  | no data |"), "{report}");
    assert!(
        report.contains("| gc12-monitor | Unknown | Monitor and tune | threshold chat-p95 has no reading |"),
        "{report}"
    );
}

/// A stand-in for Prometheus: it answers every question about `alchemist` with one series, and counts what it is asked.
fn prometheus() -> (String, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = std::sync::Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let heard = std::sync::Arc::clone(&heard);
            std::thread::spawn(move || {
                while let Some((path, form)) = request(&mut stream) {
                    let query = form["query"].clone();
                    let labels = serde_json::json!({"namespace": "alchemist", "trimtab_workload": "alchemist"});
                    // The age of data is a time, and everything else a quarter.
                    let at: f64 = form.get("time").or(form.get("end")).unwrap().parse().unwrap();
                    let value = if query.contains("timestamp(") { at } else { 0.25 };
                    let result = if path.ends_with("query_range") {
                        let start: f64 = form["start"].parse().unwrap();
                        let points: Vec<Value> = (0..=10_u8)
                            .map(|n| {
                                serde_json::json!([
                                    start + (at - start) * f64::from(n) / 10.0,
                                    f64::from(n).to_string()
                                ])
                            })
                            .collect();
                        serde_json::json!({"resultType": "matrix", "result": [{"metric": labels, "values": points}]})
                    } else {
                        let mut samples = vec![serde_json::json!({"metric": labels, "value": [at, value.to_string()]})];
                        // How many observations there were, where the question asks that, too.
                        if query.contains("trimtab_part") {
                            let mut observed = labels.clone();
                            observed["trimtab_part"] = "count".into();
                            samples.push(serde_json::json!({"metric": observed, "value": [at, "100000"]}));
                        }
                        serde_json::json!({"resultType": "vector", "result": samples})
                    };
                    heard.lock().unwrap().push(query);
                    let body = serde_json::json!({"status": "success", "data": result}).to_string();
                    let opening = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    if stream.write_all(format!("{opening}{body}").as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, asked)
}

/// Path and form of the next request; nothing at the end of the connection.
fn request(stream: &mut TcpStream) -> Option<(String, BTreeMap<String, String>)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (decoded(name), decoded(value)));
    Some((path, body.split('&').filter_map(pair).collect()))
}

/// Form encoding, undone.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn readings_are_asked_of_prometheus_with_the_operators_engine_and_kept_for_later() {
    let (url, asked) = prometheus();
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("readings.json");
    let file = file.to_str().expect("a path in UTF-8");
    let policy = policy("alchemist");
    let now =
        stdout(&["report", "-f", &policy, "--prometheus", &url, "--record", file, "--method", "by hand", "-o", "json"]);
    let now: Value = serde_json::from_str(&now).expect("JSON");
    let lines = now["policies"][0]["thresholds"].as_array().unwrap();
    let p95 = lines.iter().find(|line| line["name"] == "response-time-p95").unwrap();
    assert_eq!(
        (p95["value"].as_f64(), p95["state"].as_str(), p95["severity"].as_str()),
        (Some(0.25), Some("Breached"), Some("warning"))
    );
    let recorded: Value = serde_json::from_str(&fs::read_to_string(file).expect("read the readings")).expect("JSON");
    assert_eq!((recorded["kind"].as_str(), recorded["method"].as_str()), (Some("Readings"), Some("by hand")));
    let readings = recorded["thresholds"].as_array().unwrap();
    assert_eq!(readings.len(), 7);
    assert!(readings.iter().all(|reading| reading["points"].as_array().unwrap().len() == 11), "{recorded}");
    let questions = asked.lock().unwrap().len();
    let later: Value =
        serde_json::from_str(&stdout(&["report", "-f", &policy, "--readings", file, "-o", "json"])).expect("JSON");
    assert_eq!(now["policies"], later["policies"], "the same readings make the same report");
    assert_eq!(asked.lock().unwrap().len(), questions, "from a file nobody is asked");
    let export: Value =
        serde_json::from_str(&stdout(&["export", "metrics", "-f", &policy, "--readings", file])).expect("JSON");
    assert_eq!(export["trends"][0]["direction"], "Rising");
}

#[test]
fn a_prometheus_that_is_away_is_no_data_with_its_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let policy = policy("alchemist");
    let report = stdout(&["report", "-f", &policy, "--prometheus", &url, "--table", "THRESHOLDS"]);
    assert_eq!(report.matches("no data (BackendUnavailable)").count(), 7, "{report}");
}

#[test]
fn what_cannot_be_reported_is_refused_with_what_to_do() {
    let (grace, grid, file) = (policy("grace"), policy("grid"), readings("grid"));
    for (arguments, said) in [
        (vec!["report"], "name files with -f, or take the policies of a cluster with --live"),
        (
            vec!["report", "-f", &grace, "-o", "csv"],
            "CSV is one table: choose with --table from LOAD_LEVELS, CHECKLIST",
        ),
        (vec!["report", "-f", &grace, "--table", "NOTHING"], "there is no such table; this report has LOAD_LEVELS"),
        (vec!["report", "-f", &grace, "--readings", &grid], "reading \"tests/data/reports/grid.yaml\": expected value"),
        (vec!["report", "-f", &grace, "--record", "x.json"], "nothing was read that could be recorded"),
        (vec!["report", "--before", &file, "--after", "tests/data/reports/beast-after.json"], "methods differ"),
        (
            vec!["export", "load-test", "-f", &grace, "--image", "x"],
            "name one load test; the policies have chat-light, chat-heavy",
        ),
        (vec!["export", "metrics", "-f", &grace], "nothing was read: give --readings FILE"),
        (vec!["export", "dashboard", "-f", "tests/data/cli/invalid.yaml"], "policy "),
    ] {
        let error = refused(&arguments);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}
