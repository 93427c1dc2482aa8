//! Alerts on their way to people: the examples with `amtool`, and the operator's own process with real Alertmanagers that are
//! configured so, with a receiver that writes down what arrives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "alerting/examples.rs"]
mod examples;
#[path = "support/idle.rs"]
mod idle;
#[path = "alerting/receiver.rs"]
mod receiver;
#[path = "alerting/routed.rs"]
mod routed;
#[path = "alerting/silenced.rs"]
mod silenced;
#[path = "real_metrics/stage.rs"]
mod stage;

use self::cluster::Options;

const OPTIONS: Options = Options { prometheus: true, audit: true, ..Options::DEFAULT };
