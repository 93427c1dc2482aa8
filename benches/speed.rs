//! How long the two things take that run on somebody's own machine, over and over: working out a policy, and linting many.
//!
//! `make bench` prints both figures beside their goals. A measurement and no test: machines differ.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a measurement prints, and ends when it cannot measure")]

use std::{
    collections::BTreeMap,
    fs,
    hint::black_box,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;
use trimtab::{
    api::PerformancePolicy,
    core::{
        facts::{Kind, Seen},
        policy::Policy,
        resolve::resolve,
    },
};

const POLICIES: usize = 1000;
const KNOBS: usize = 100;
const FORMULAS: usize = 50;

fn main() {
    let (lint, size) = linting();
    let (resolve, steps) = resolving();
    println!("linting {POLICIES} policies in {POLICIES} files ({size} KiB)      {lint:>10.1?}   goal 1 s, median of 3");
    println!(
        "resolving one policy of {KNOBS} knobs, {FORMULAS} formulas   {resolve:>10.1?}   goal 1 ms, median of {steps}"
    );
}

/// The command itself over a folder of many policies, each with its workload, from start to end.
fn linting() -> (Duration, usize) {
    let policy = include_str!("../examples/grace/repaired/policy.yaml");
    let budget = include_str!("../examples/grace/repaired/budget.yaml");
    let folder = tempfile::tempdir().expect("a directory");
    let mut size = 0;
    for number in 0..POLICIES {
        let both = format!("{policy}\n---\n{budget}");
        let named = both.replace("namespace: grace}", &format!("namespace: ns-{number}}}"));
        let workload = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "grace-api", "namespace": format!("ns-{number}")},
            "spec": {"template": {"spec": {"containers": [{"name": "api", "args": ["serve"]}]}}},
        });
        let text = format!("{named}\n---\n{workload}\n");
        size += text.len();
        fs::write(folder.path().join(format!("{number:04}.yaml")), text).expect("write a policy");
    }
    let run = || {
        let begin = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_trimtab")).args(["lint", "-f"]).arg(folder.path()).output();
        let output = output.expect("run the command");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.starts_with("✓ 1000 policies: nothing found"), "what is measured is not what is meant: {said}");
        begin.elapsed()
    };
    let mut times = [run(), run(), run()];
    times.sort();
    (times[1], size / 1024)
}

/// Works out one policy for its target, limits of the manifest included.
fn resolving() -> (Duration, usize) {
    let mut settings = Vec::new();
    for number in 0..KNOBS {
        let value = match (number < FORMULAS, number % 3) {
            (false, _) => json!(number),
            (true, 0) => json!(format!("= 2 * ceil(limits.cpu) + {number}")),
            (true, 1) => json!(format!("= floor(limits.memory / 300Mi) * settings.s{}", number - 1)),
            (true, _) => json!(format!("= clamp(settings.s{} / 2 * 2, 1, 100) + settings.s99", number - 1)),
        };
        settings.push(json!({"name": format!("s{number}"), "value": value, "env": format!("S_{number}")}));
    }
    let policy: PerformancePolicy = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"target": {"kind": "Deployment", "name": "api", "container": "app"}, "settings": settings},
    }))
    .expect("a policy");
    let policy = Policy::parse(&policy).expect("a policy that can be served");
    let target = json!({
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [
            {"name": "app", "resources": {"limits": {"cpu": "2", "memory": "2Gi"}}},
        ]}}},
    });
    let target = Seen::from_json(Kind::Deployment, &target.to_string()).expect("a workload").into_object();
    let mut times: Vec<Duration> = (0..2000)
        .map(|_| {
            let begin = Instant::now();
            let desired =
                resolve(black_box(&policy), black_box(&target), &BTreeMap::new(), &BTreeMap::new()).expect("values");
            assert_eq!(black_box(desired).len(), KNOBS);
            begin.elapsed()
        })
        .collect();
    times.sort();
    (times.get(times.len() / 2).copied().expect("a median"), times.len())
}
