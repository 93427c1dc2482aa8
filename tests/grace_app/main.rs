//! Tests of the example application `examples/grace-app`: of its parts, which cargo does not run
//! in an example, and of the whole as a process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    dead_code,
    unreachable_pub,
    reason = "tests; and this crate has no main to use what the application uses"
)]

/// The application's own modules.
#[path = "../../examples/grace-app"]
mod application {
    pub(crate) mod api;
    pub(crate) mod app;
    pub(crate) mod cache;
    pub(crate) mod control;
    pub(crate) mod database;
    pub(crate) mod load;
    pub(crate) mod loops;
    pub(crate) mod master;
    pub(crate) mod metrics;
    pub(crate) mod pool;
    pub(crate) mod process;
    pub(crate) mod settings;
    pub(crate) mod worker;
}

// They know each other as children of the crate's root.
use application::{api, app, cache, control, database, loops, metrics, pool, process, settings, worker};

#[path = "../support/example.rs"]
mod example;
mod harness;
mod load_generator;
mod postgresql;
mod server;
