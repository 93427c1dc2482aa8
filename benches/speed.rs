//! How long the two things take that run on somebody's own machine, over and over: working out a policy, and linting many.
//!
//! `make bench` prints both figures beside their goals. A measurement and no test: machines differ.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a measurement prints, and ends when it cannot measure")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    hint::black_box,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use trimtab::{
    api::PerformancePolicy,
    core::{
        facts::{Kind, Seen},
        lint,
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
    println!("linting {POLICIES} policies ({size} KiB of YAML)                      {lint:>10.1?}   goal 1 s");
    println!("resolving one policy with {KNOBS} knobs, {FORMULAS} of them formulas    {resolve:>10.1?}   goal 1 ms, median of {steps}");
}

/// Reads and checks many policies at once, each with its workload, as a repository of manifests has them.
fn linting() -> (Duration, usize) {
    let policy = include_str!("../examples/grace/policy.yaml");
    let mut text = String::new();
    for number in 0..POLICIES {
        let named = policy.replace("name: grace, namespace", &format!("name: grace-{number}, namespace"));
        write!(text, "---\n{named}\n---\n").expect("write to a text");
        let workload = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "grace-api", "namespace": format!("ns-{number}")},
            "spec": {"template": {"spec": {"containers": [{"name": "api", "args": ["gunicorn", "--bind", "0.0.0.0:8000"]}]}}},
        });
        writeln!(text, "{workload}").expect("write to a text");
    }
    let begin = Instant::now();
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(&text, serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_events: 10_000_000, max_nodes: 10_000_000, max_total_scalar_bytes: 1 << 30, max_documents: 10_000 },
    })
    .expect("YAML");
    let findings = lint::check(&documents.iter().collect::<Vec<_>>());
    let took = begin.elapsed();
    assert_eq!((documents.len(), findings.len()), (2 * POLICIES, 2 * POLICIES), "what is measured is not what is meant");
    (took, text.len() / 1024)
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
            let desired = resolve(black_box(&policy), black_box(&target), &BTreeMap::new()).expect("values");
            assert_eq!(black_box(desired).len(), KNOBS);
            begin.elapsed()
        })
        .collect();
    times.sort();
    (times.get(times.len() / 2).copied().expect("a median"), times.len())
}
