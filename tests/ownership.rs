//! What the ownership rules promise, against a real API server: our functions send our part, `kubectl` and `helm` the part
//! of the people and tools that share an object with us.
//!
//! Our own calls never go through kubectl: it migrates ownership between managers and would hide the very conflicts that
//! are looked for here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/cluster.rs"]
mod cluster;

mod ownership {
    mod conflicts;
    mod documents;
    mod order;
    mod preconditions;
    mod release;
    mod takeover;
    mod templates;
    mod tools;
    mod world;
}
