//! The engine against a model of the API server, of rollouts and of people, under faults, in virtual time.
//!
//! A run is a seed: `SEED=123 cargo test --test simulation`. See `tests/simulation/README.md`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "a test has no users")]

mod simulation {
    mod controllers;
    mod invariants;
    mod people;
    mod random;
    mod regressions;
    mod replica;
    mod run;
    mod schema;
    mod server;
}
