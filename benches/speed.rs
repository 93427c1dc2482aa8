//! How long the things take that run over and over: working out a policy and linting many, on somebody's own machine, and sharing
//! a budget between many, in the operator.
//!
//! `make bench` prints the figures beside their goals. A measurement and no test: machines differ.

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
    api::{ConnectionBudget, PerformancePolicy},
    core::{
        allocate::{self, Bid, Claim},
        engine::{Action, Change, Config, Effect, Input, Listing, Stream, World, step},
        facts::{Instant as Time, Kind, Seen},
        policy::Policy,
        resolve::resolve,
    },
};

const POLICIES: usize = 1000;
const KNOBS: usize = 100;
const FORMULAS: usize = 50;
/// Policies on one budget.
const CONSUMERS: usize = 200;

fn main() {
    let (lint, size) = linting();
    let (resolve, steps) = resolving();
    let (allocate, allocations) = allocating();
    let (visit, visits) = visiting();
    println!("linting {POLICIES} policies in {POLICIES} files ({size} KiB)      {lint:>10.1?}   goal 1 s, median of 3");
    println!(
        "resolving one policy of {KNOBS} knobs, {FORMULAS} formulas   {resolve:>10.1?}   goal 1 ms, median of {steps}"
    );
    println!(
        "sharing a budget between {CONSUMERS} policies              {allocate:>10.1?}   goal 10 ms, median of {allocations}"
    );
    println!(
        "and deciding about each of them, after an edit of it   {visit:>10.1?}   no goal, median of {visits}; {:.1?} each",
        visit / u32::try_from(CONSUMERS).expect("a few")
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

/// Works out who of many gets how much of a budget, and who may grow: once with what everybody has, while it has to shrink.
fn allocating() -> (Duration, usize) {
    // Different in everything, so that nobody is served like the one before.
    let numbered = |number: usize| i64::try_from(number).expect("a few");
    let claims: Vec<Claim> = (0..CONSUMERS)
        .map(numbered)
        .map(|number| Claim {
            weight: 1 + number % 7,
            unit: 1 + number % 13 * 4,
            least: 1 + number % 3,
            most: 20 + number % 30,
            has: (number % 4 > 0).then_some(10 + number % 11),
        })
        .collect();
    let held: Vec<i64> = claims.iter().map(|claim| claim.unit * claim.has.unwrap_or(0)).collect();
    let room = held.iter().sum::<i64>() * 3 / 4;
    let run = || {
        let begin = Instant::now();
        let levels = allocate::shares(black_box(room), black_box(&claims));
        let bids: Vec<Bid> = claims
            .iter()
            .zip(&levels)
            .zip(&held)
            .enumerate()
            .map(|(pool, ((claim, level), held))| Bid {
                pool,
                held: *held,
                asked: claim.unit * level.unwrap_or(0),
                settled: claim.has.is_some(),
                writes: true,
                ..Bid::default()
            })
            .collect();
        let verdicts = allocate::settle(room, black_box(&bids));
        let elapsed = begin.elapsed();
        assert!(levels.iter().all(Option::is_some), "the least of everybody fits");
        assert!(verdicts.iter().any(|verdict| verdict.refused.is_some()), "who grows waits for those who shrink");
        elapsed
    };
    let mut times: Vec<Duration> = (0..500).map(|_| run()).collect();
    times.sort();
    (times.get(times.len() / 2).copied().expect("a median"), times.len())
}

/// What the engine does when the budget of many policies is edited: each of them is looked at again, its books, its share and its
/// plan, beside all others.
fn visiting() -> (Duration, usize) {
    const EDITS: i64 = 5;
    let mut world = World::new(Config::default());
    let now = Time::from_millis(1_763_700_000_000);
    let listed = |stream, names: &[String]| {
        let names = names.iter().map(|name| ("shop".into(), name.as_str().into())).collect();
        Input::Listed(stream, Listing { names })
    };
    let names: Vec<String> = (0..CONSUMERS).map(|number| format!("w{number}")).collect();
    let mut inputs = vec![Input::Budget(Change::Applied(Box::new(budget(0))))];
    for name in &names {
        inputs.push(Input::Policy(Change::Applied(Box::new(consumer(name)))));
        inputs.push(Input::Object(Change::Applied(Box::new(workload(name)))));
    }
    inputs.extend([listed(Stream::Policies, &names), listed(Stream::Budgets, &["database".to_owned()])]);
    inputs.extend([Stream::Classes, Stream::Sources, Stream::Disruptions].map(|stream| listed(stream, &[])));
    for kind in Kind::ALL {
        inputs.push(listed(Stream::Objects(kind), if kind == Kind::Deployment { &names } else { &[] }));
    }
    inputs.extend([Input::Leadership(true), Input::Tick]);
    let effects: Vec<Effect> = inputs.into_iter().flat_map(|input| step(&mut world, input, now)).collect();
    let all = |effect: &Effect| match &effect.action {
        Action::BudgetStatus { status, .. } => status.allocations.len() == CONSUMERS,
        _ => false,
    };
    assert!(effects.iter().any(all), "what is measured is not what is meant: {effects:?}");
    let mut times: Vec<Duration> = (1..=EDITS)
        .map(|edit| {
            let input = Input::Budget(Change::Applied(Box::new(budget(edit))));
            let begin = Instant::now();
            black_box(step(&mut world, black_box(input), now));
            begin.elapsed()
        })
        .collect();
    times.sort();
    (times.get(times.len() / 2).copied().expect("a median"), times.len())
}

fn budget(edit: i64) -> ConnectionBudget {
    serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "ConnectionBudget",
        "metadata": {"name": "database", "namespace": "shop", "uid": "u-b", "resourceVersion": (100 + edit).to_string(),
                     "generation": 1 + edit},
        "spec": {"capacity": {"connections": 20_000 + 100 * edit}},
    }))
    .expect("a budget")
}

/// A pool of (20 + 5) connections in each of four processes, which makes do with two.
fn consumer(name: &str) -> PerformancePolicy {
    serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("u-p-{name}"), "resourceVersion": "1", "generation": 1},
        "spec": {
            "mode": "Enforce", "target": {"kind": "Deployment", "name": name},
            "workers": [{"name": "web", "count": {"value": 4, "env": "WEB_CONCURRENCY"}}],
            "pools": [{"name": "db", "perWorker": "web", "budget": "database",
                       "size": {"value": 20, "min": 2, "env": "DB_POOL_SIZE"}, "overflow": {"value": 5, "env": "DB_MAX_OVERFLOW"}}],
        },
    }))
    .expect("a policy")
}

fn workload(name: &str) -> Seen {
    let text = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("u-{name}"), "resourceVersion": "1", "generation": 1},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "app"}]}}},
        "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "readyReplicas": 3},
    });
    Seen::from_json(Kind::Deployment, &text.to_string()).expect("a workload")
}
