//! Rule files, judged by Prometheus' own tool: every one that is generated can be read, and does what the policy says.
//!
//! `PROMTOOL=PATH` takes another promtool than that of the test cluster.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/golden.rs"]
mod golden;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::{Value, json};
use trimtab::{
    api::{PerformanceClassSpec, PerformancePolicy},
    core::{
        facts::{ObjectKey, Span},
        policy::{Choice, Policy},
        promql::Identity,
        resolve::Rules,
        rules::{Case, Document, document},
    },
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn promtool() -> &'static Path {
    static TOOL: OnceLock<PathBuf> = OnceLock::new();
    TOOL.get_or_init(|| {
        if let Some(path) = env::var_os("PROMTOOL") {
            return path.into();
        }
        let build =
            Command::new(root().join("tests/cluster/build.sh")).arg("prometheus").output().expect("run build.sh");
        assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
        Path::new(String::from_utf8_lossy(&build.stdout).trim()).join("bin/promtool")
    })
}

fn run(arguments: &[&str], files: &[PathBuf]) {
    let output = Command::new(promtool()).args(arguments).args(files).output().expect("run promtool");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

/// A directory of a test, empty.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rules").join(name);
    let _absent = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("make a directory");
    path
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("read a file");
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| unreachable!("{}: {error}", path.display()))
}

fn is_a(document: &Value, kind: &str) -> bool {
    document["kind"] == kind
}

/// A class that leaves everything, with labels that are templates to whoever takes them for one.
fn class() -> Rules {
    let mut rules = Rules::built_in();
    let spec: PerformanceClassSpec = serde_json::from_value(json!({
        "freeQueries": true, "alertLabels": {"site": "{{ x"}, "ruleLabels": {"release": "monitoring"},
    }))
    .unwrap();
    rules.spec = spec;
    rules
}

fn rules_of(policy: &Policy, class: &Rules) -> Option<Document> {
    let key = |name: &str| {
        let target = policy.target.as_ref().unwrap();
        ObjectKey::new(target.kind, &*policy.identity.key.0, name)
    };
    let targets: Vec<ObjectKey> = match policy.target.as_ref().map(|target| &target.choice) {
        None => Vec::new(),
        Some(Choice::Name(name)) => vec![key(name)],
        Some(Choice::Labels(_)) => vec![key("first"), key("second")],
    };
    let identity = Identity::default();
    let case = Case { policy, class, identity: &identity, interval: Span::seconds(30), targets: &targets };
    document(&case).unwrap()
}

fn parse(document: Value) -> Policy {
    let mut policy: PerformancePolicy = serde_json::from_value(document).unwrap();
    policy.metadata.namespace.get_or_insert_with(|| "shop".into());
    Policy::parse(&policy).unwrap_or_else(|wrong| unreachable!("{wrong:?}"))
}

/// What the Prometheus Operator makes of an object: the spec is a rule file.
fn write_spec(folder: &Path, name: &str, document: &Document) -> PathBuf {
    let path = folder.join(format!("{name}.rules.yaml"));
    fs::write(&path, serde_saphyr::to_string(document.spec()).unwrap()).expect("write a rule file");
    path
}

fn yaml_files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn rule_files_of_the_examples_are_golden_and_pass_promtool() {
    let folder = scratch("examples");
    let mut files = Vec::new();
    for path in yaml_files(&root().join("examples")) {
        for policy in documents(&path).into_iter().filter(|document| is_a(document, "PerformancePolicy")) {
            // Some are as the guides have written them, which no class lets through.
            let Ok(policy) = serde_json::from_value::<PerformancePolicy>(policy) else { continue };
            let Ok(policy) = Policy::parse(&policy) else { continue };
            let Some(document) = rules_of(&policy, &class()) else { continue };
            let name = path.strip_prefix(root().join("examples")).unwrap().with_extension("");
            let name = format!("{}-{}", name.to_string_lossy().replace('/', "-"), policy.identity.name());
            files.push(write_spec(&folder, &name, &document));
            let golden = format!("tests/golden/rules/{name}.yaml");
            golden::assert_golden(&golden, &serde_saphyr::to_string(&document.body).unwrap());
        }
    }
    assert!(files.len() >= 4, "the examples have policies: {files:?}");
    run(&["check", "rules", "--lint=all", "--lint-fatal"], &files);
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = self.below(of.len());
        &of[at]
    }
}

fn random_metric(dice: &mut Dice) -> Value {
    let mut metric = match dice.below(6) {
        0 => {
            json!({"histogram": "http_server_request_duration_seconds", "statistic": dice.pick(&["p95", "p99.9", "mean", "rate"])})
        }
        1 => json!({"counter": "jobs_total", "statistic": dice.pick(&["rate", "increase"])}),
        2 => json!({"gauge": "pool_wait_milliseconds", "statistic": dice.pick(&["mean", "max", "min"])}),
        3 => json!({"ratio": {
            "numerator": {"counter": "requests_total", "matching": {"code": "5.."}},
            "denominator": {"counter": "requests_total"}}}),
        4 => {
            json!({"ratio": {"numerator": {"gauge": "connections_used"}, "denominator": {"gauge": "connections_max"}}})
        }
        _ => return json!({"query": dice.pick(&["max(up) # of all", "sum(rate(a_total{x=\"{{\"}[5m]))"])}),
    };
    if dice.below(2) == 0 {
        metric["by"] = json!([dice.pick(&["route", "tier"])]);
    }
    if dice.below(2) == 0 {
        metric["labels"] = json!({"route": dice.pick(&["/api/\"chat\"/", "{{ $labels }}", "a\\b"])});
    }
    metric["window"] = json!(dice.pick(&["1m", "5m", "2h"]));
    metric
}

fn random_policy(dice: &mut Dice, number: usize) -> Value {
    let mut thresholds = Vec::new();
    for index in 0..=dice.below(4) {
        let metric = random_metric(dice);
        let of_events = metric["ratio"]["numerator"]["counter"].is_string();
        let bound = |n: u8| {
            if metric["histogram"].is_string() && metric["statistic"] != "rate" || metric["gauge"].is_string() {
                json!(format!("{n}00ms"))
            } else {
                json!(n.to_string())
            }
        };
        let levels = match dice.below(4) {
            0 if !of_events => json!([]),
            1 => {
                json!([{"severity": "warning", "above": bound(1), "for": "2m"}, {"severity": "critical", "above": bound(3)}])
            }
            2 if !of_events => json!([{"severity": "info", "above": bound(5), "below": bound(2)}]),
            _ => json!([{"severity": "critical", "below": bound(4), "for": "90s"}]),
        };
        let mut threshold =
            json!({"name": format!("t{index}"), "metric": metric, "levels": levels, "advice": "look {{ here }}"});
        if metric["gauge"].is_string() {
            threshold["metric"]["across"] = json!("Max");
        }
        if of_events {
            threshold["slo"] =
                json!({"target": dice.pick(&["99.9%", "95%"]), "period": dice.pick(&["30d", "7d", "90d"])});
        }
        thresholds.push(threshold);
    }
    let target = match dice.below(4) {
        0 => Value::Null,
        1 => json!({"kind": "StatefulSet", "selector": {"matchLabels": {"app": "a"}}}),
        2 => json!({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": "db"}),
        _ => json!({"kind": dice.pick(&["Deployment", "DaemonSet"]), "name": "api"}),
    };
    let mut spec = json!({"thresholds": thresholds, "alerting": {
        "labels": {"team": "{{ .Team }}"}, "runbookURL": "https://runbooks/{{x", "dashboardURL": "https://dashboards/a"}});
    if !target.is_null() {
        spec["target"] = target;
    }
    json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"namespace": "shop", "name": format!("p{number}"), "uid": "u"}, "spec": spec})
}

#[test]
fn rule_files_of_random_policies_pass_promtool() {
    let folder = scratch("random");
    let mut dice = Dice(7);
    let mut files = Vec::new();
    for number in 0..300 {
        let Some(document) = rules_of(&parse(random_policy(&mut dice, number)), &class()) else { continue };
        files.push(write_spec(&folder, &format!("p{number}"), &document));
    }
    assert_eq!(files.len(), 300);
    run(&["check", "rules", "--lint=all", "--lint-fatal"], &files);
}

/// `tests/data/rules` has a policy and what its rules must do, for each story.
#[track_caller]
fn story(name: &str) {
    let folder = scratch(name);
    let [policy, test] =
        <[Value; 2]>::try_from(documents(&root().join(format!("tests/data/rules/{name}.yaml")))).unwrap();
    let document = rules_of(&parse(policy), &class()).unwrap();
    let rules = write_spec(&folder, name, &document);
    let mut test = test;
    test["rule_files"] = json!([rules]);
    let path = folder.join("test.yaml");
    fs::write(&path, serde_saphyr::to_string(&test).unwrap()).expect("write a test file");
    run(&["test", "rules"], &[path]);
}

#[test]
fn a_breach_begins_after_its_for_and_ends_at_its_clear_bound() {
    story("breach");
}

#[test]
fn a_breach_is_held_while_nothing_is_known() {
    story("held");
}

#[test]
fn no_data_is_told_of_each_target_and_never_of_what_is_idle() {
    story("no-data");
}

#[test]
fn a_budget_that_burns_is_told_by_the_fastest_pair() {
    story("burn");
}

#[test]
fn a_bound_that_a_profile_moves_is_that_of_the_operator() {
    story("moved");
}
