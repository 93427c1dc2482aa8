//! The engine against a model of the API server, of rollouts and of people, under faults, in virtual time.
//!
//! A run is a seed: `SEED=123 cargo test --test simulation seeds`. See `tests/simulation/README.md`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "a test has no users")]
#![allow(dead_code, reason = "the model offers what scenarios to come will use")]
#![allow(clippy::pedantic, clippy::field_reassign_with_default, reason = "the model is under construction")]

mod simulation {
    pub mod alertmanager;
    pub mod budgets;
    pub mod controllers;
    pub mod disruptions;
    pub mod fleets;
    pub mod formulas;
    pub mod interplay;
    pub mod invariants;
    pub mod leaving;
    pub mod lies;
    pub mod objects;
    pub mod people;
    pub mod profiles;
    pub mod random;
    pub mod readbacks;
    pub mod regressions;
    pub mod replica;
    pub mod rollbacks;
    pub mod rollouts;
    pub mod run;
    pub mod scenario;
    pub mod schema;
    pub mod server;
    pub mod shared;
    pub mod silences;
}

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use simulation::{run::Counts, scenario};

/// Seeds of one run of the tests: as many as an unoptimized build does in passing, and ten thousand otherwise. `SEEDS` sets
/// another number, `FIRST` where to begin, `SEED` one seed, whose last events are then shown.
const SEEDS: u64 = if cfg!(debug_assertions) { 100 } else { 10_000 };

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}

/// Sequences of edits on fleets that share a budget. `FLEETS` sets another number.
const FLEETS: u64 = if cfg!(debug_assertions) { 50 } else { 5_000 };

#[test]
fn seeds() {
    play("SEEDS", SEEDS, scenario::run);
}

#[test]
fn fleets_on_one_budget_never_open_more_than_it_has() {
    play("FLEETS", FLEETS, simulation::fleets::run);
}

/// Without the rule that who shrinks comes before who grows the meter sees it: rollouts look as if they were over before they have
/// begun.
#[test]
fn fleets_that_do_not_wait_for_each_other_open_more() {
    simulation::fleets::swap(false);
    let fails = catch_unwind(|| simulation::fleets::swap(true)).expect_err("the meter sees nothing");
    let why = fails.downcast_ref::<String>().expect("a message");
    assert!(why.contains("connections open"), "{why}");
}

/// Runs many seeds, and repeats one that fails. What `SEED` names is run alone.
fn play(variable: &str, default: u64, run: impl Fn(u64, bool) -> Counts + Sync) {
    let attempt = |seed: u64, journal: bool| attempt(|| run(seed, journal));
    let what = variable.to_lowercase();
    if let Some(seed) = number("SEED") {
        match attempt(seed, true) {
            Ok(counts) => println!("seed {seed}: {counts:?}"),
            Err(why) => panic!("seed {seed}: {why}"),
        }
        return;
    }
    let (first, seeds) = (number("FIRST").unwrap_or(1), number(variable).unwrap_or(default));
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let failed: Mutex<Vec<u64>> = Mutex::default();
    let total: Mutex<Counts> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || failed.lock().unwrap().len() >= 20 {
                        return;
                    }
                    match attempt(seed, false) {
                        Ok(counts) => total.lock().unwrap().add(&counts),
                        Err(why) => {
                            eprintln!("seed {seed}: {}", why.lines().next().unwrap_or_default());
                            failed.lock().unwrap().push(seed);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let counts = total.into_inner().unwrap();
    println!("simulation: {seeds} {what} from {first} in {:.1} s: {counts:?}", began.elapsed().as_secs_f64());
    if let Some(seed) = failed.first() {
        // Once more, with its last events.
        let why = match attempt(*seed, true) {
            Ok(_) => "it failed once and not again: the run depends on more than its seed".to_owned(),
            Err(why) => why,
        };
        panic!(
            "{} of the seeds failed. Seed {seed}: {why}\nto repeat it: SEED={seed} cargo test --test simulation {what}",
            failed.len()
        );
    }
}

fn attempt(run: impl Fn() -> Counts) -> Result<Counts, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}
