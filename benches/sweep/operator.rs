//! The operator in a process of its own: the real engine and the real client, with a clock that is set by hand, so that rounds
//! follow each other without waiting.

use std::{
    collections::VecDeque,
    io::{self, BufRead as _},
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use prometheus::Registry;
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet};
use trimtab::{
    api::PerformancePolicy,
    core::{
        engine::{Action, Change, Config, Effect, EffectId, Failure, Input, Outcome, World, step},
        evaluate::Verdict,
        facts::Instant,
    },
    shell::{prometheus::Question, sources::Sources, telemetry::Metrics},
};

use super::fleet::{self, Metric, after};

/// Rounds that are measured, after a first one that finds everything new.
pub const ROUNDS: i64 = 4;

struct Operator {
    world: World,
    sources: Arc<Sources>,
    now: Instant,
    queries: u64,
    places: Arc<Semaphore>,
}

/// Serves the first `governed` of so many workloads by `metrics`: says that it is ready, waits for a line, sweeps, and says how
/// it went.
pub async fn run(url: &str, workloads: usize, governed: usize, metrics: &[Metric]) {
    let registry = Registry::new();
    let ours = Arc::new(Metrics::register(&registry).expect("a registry"));
    let mut operator = Operator {
        world: World::new(Config::default()),
        sources: Arc::new(Sources::new(None, ours)),
        now: after(0),
        queries: 0,
        places: Arc::new(Semaphore::new(4)),
    };
    let mut waiting = VecDeque::new();
    for input in fleet::inputs(url, workloads, governed, metrics) {
        operator.sources.observe(&input);
        waiting.extend(step(&mut operator.world, input, operator.now));
    }
    operator.settle(waiting).await;
    operator.round(0).await;
    println!("{}", json!({"resident": resident("VmRSS"), "peak": resident("VmHWM")}));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).expect("a line");
    operator.queries = 0;
    let begin = Clock::now();
    for round in 1..=ROUNDS {
        operator.round(round).await;
    }
    let wall = begin.elapsed();
    let (mut breached, mut judged) = (0, 0);
    for reading in operator.world.readings() {
        judged += usize::from(reading.value.is_some());
        breached += usize::from(matches!(reading.verdict, Verdict::Breached(_)));
    }
    println!(
        "{}",
        json!({"queries": operator.queries, "wall": wall.as_secs_f64(), "judged": judged, "breached": breached,
               "resident": resident("VmRSS"), "peak": resident("VmHWM")})
    );
}

impl Operator {
    /// One interval, second by second.
    async fn round(&mut self, round: i64) {
        for second in 0..30 {
            self.now = after(round * 30 + second);
            let effects = step(&mut self.world, Input::Tick, self.now);
            self.settle(effects.into()).await;
        }
    }

    async fn settle(&mut self, mut waiting: VecDeque<Effect>) {
        let mut asked: JoinSet<(EffectId, Outcome)> = JoinSet::new();
        loop {
            while let Some(Effect { id, action }) = waiting.pop_front() {
                let outcome = match action {
                    Action::Query { source, expr, at, range, kind, labels } => {
                        self.queries += 1;
                        let (sources, places) = (self.sources.clone(), self.places.clone());
                        asked.spawn(async move {
                            let _place = places.acquire_owned().await;
                            let question = Question { expr: &expr, at, range, labels: Some(&labels) };
                            (id, Outcome::Answer(sources.ask(&source, kind, &question).await))
                        });
                        continue;
                    }
                    Action::Get(_) => Outcome::NotFound,
                    Action::ListPods { .. } => Outcome::Pods(Vec::new()),
                    Action::Patch(_) => Outcome::Failed(Failure::Forbidden("nothing is written here".to_owned())),
                    _ => Outcome::Accepted,
                };
                waiting.extend(step(&mut self.world, Input::Done(id, outcome), self.now));
            }
            let Some(done) = asked.join_next().await else { return };
            let (id, outcome) = done.expect("a query ends");
            if let Outcome::Answer(Err(refusal)) = &outcome {
                panic!("a query was refused: {} {}", refusal.reason.as_str(), refusal.message);
            }
            waiting.extend(step(&mut self.world, Input::Done(id, outcome), self.now));
        }
    }
}

/// A figure of this process, in MiB.
fn resident(of: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(of));
    let kib: f64 =
        line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kib| kib.parse().ok()).unwrap_or_default();
    kib / 1024.0
}

/// How long the engine takes for an edit of one threshold among 2,000 policies of ten, and in how many seconds (of the operator's
/// clock) the new bound is in force.
pub fn edit() -> (Duration, i64, usize) {
    const POLICIES: usize = 2_000;
    let policy = |number: usize, generation: i64, bound: i64| -> PerformancePolicy {
        let thresholds: Vec<_> = (0..10)
            .map(|n| {
                json!({"name": format!("t{n}"), "metric": {"gauge": format!("gauge_{n}")},
                       "levels": [{"severity": "warning", "above": if n == 0 { bound } else { 10 }}]})
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
            "metadata": {"name": format!("p-{number:04}"), "namespace": "team-000", "uid": format!("e-{number}"),
                         "resourceVersion": generation.to_string(), "generation": generation},
            "spec": {"mode": "Observe", "target": {"kind": "Deployment", "name": format!("app-{:05}", number % 100)},
                     "thresholds": thresholds},
        }))
        .expect("a policy")
    };
    let mut world = World::new(Config::default());
    let mut now = after(0);
    let mut inputs: Vec<Input> = fleet::inputs("http://127.0.0.1:9", 100, 0, &[]).collect();
    let names = (0..POLICIES).map(|number| ("team-000".into(), format!("p-{number:04}").into())).collect();
    let all = (0..POLICIES).map(|number| Input::Policy(Change::Applied(Box::new(policy(number, 1, 10)))));
    let listed = Input::Listed(trimtab::core::engine::Stream::Policies, trimtab::core::engine::Listing { names });
    let last = inputs.pop();
    let inputs = inputs.into_iter().chain(all).chain([listed]).chain(last);
    let answered = |world: &mut World, effects: Vec<Effect>, now: Instant| {
        let mut waiting = VecDeque::from(effects);
        while let Some(Effect { id, action }) = waiting.pop_front() {
            let outcome = match action {
                Action::Query { expr, at, .. } => {
                    let value = if expr.contains("timestamp(") { at.seconds() } else { 50.0 };
                    let series = (0..100).map(|n| {
                        let name = format!("app-{n:05}").into();
                        let labels =
                            [("namespace".into(), "team-000".into()), ("trimtab_workload".into(), name)].into();
                        trimtab::core::engine::Series { labels, points: vec![(at.seconds(), value)] }
                    });
                    Outcome::Answer(Ok(series.collect()))
                }
                _ => Outcome::Accepted,
            };
            waiting.extend(step(world, Input::Done(id, outcome), now));
        }
    };
    let effects: Vec<Effect> = inputs.flat_map(|input| step(&mut world, input, now)).collect();
    answered(&mut world, effects, now);
    let breached = |world: &World| world.readings().filter(|one| matches!(one.verdict, Verdict::Breached(_))).count();
    for second in 1..=35 {
        now = after(second);
        let effects = step(&mut world, Input::Tick, now);
        answered(&mut world, effects, now);
    }
    let before = breached(&world);
    assert_eq!(before, POLICIES * 10, "what is measured is not what is meant");
    let begin = Clock::now();
    let mut effects = step(&mut world, Input::Policy(Change::Applied(Box::new(policy(1_234, 2, 99)))), now);
    let mut longest = begin.elapsed();
    for seconds in 0..=60 {
        answered(&mut world, effects, now);
        if breached(&world) == before - 1 && world.readings().all(|one| one.value.is_some()) {
            return (longest, seconds, POLICIES);
        }
        now = after(36 + seconds);
        let begin = Clock::now();
        effects = step(&mut world, Input::Tick, now);
        longest = longest.max(begin.elapsed());
    }
    panic!("the edit never came into force")
}
