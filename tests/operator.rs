//! The operator on a real cluster, as its users run it: a pod of an image, installed by real Helm under the chart's RBAC, with
//! leader election, on real nodes with real containers, a real Prometheus, and an audit log that tells who did what.
//!
//! All tests share one cluster and one operator, each in a namespace of its own. Those that disturb the operator or the API
//! server wait until they are alone ([`world::with_world_alone`]).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::unused_self, reason = "only a test that runs inside a cluster has a `World`")]

#[path = "support/audit.rs"]
mod audit;
#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/example.rs"]
mod example;
#[path = "support/golden.rs"]
mod golden;
#[path = "support/helm.rs"]
mod helm;
#[path = "support/operator.rs"]
mod operator;

#[path = "operator/admission.rs"]
mod admission;
#[path = "operator/budget.rs"]
mod budget;
#[path = "operator/commands.rs"]
mod commands;
#[path = "operator/costs.rs"]
mod costs;
#[path = "operator/database.rs"]
mod database;
#[path = "operator/deletion.rs"]
mod deletion;
#[path = "operator/disruption.rs"]
mod disruption;
#[path = "operator/documents.rs"]
mod documents;
#[path = "operator/formulas.rs"]
mod formulas;
#[path = "operator/grace.rs"]
mod grace;
#[path = "operator/kernel.rs"]
mod kernel;
#[path = "operator/modes.rs"]
mod modes;
#[path = "operator/objects.rs"]
mod objects;
#[path = "operator/owners.rs"]
mod owners;
#[path = "operator/profiles.rs"]
mod profiles;
#[path = "operator/refusals.rs"]
mod refusals;
#[path = "operator/replicas.rs"]
mod replicas;
#[path = "operator/rest.rs"]
mod rest;
#[path = "operator/restart.rs"]
mod restart;
#[path = "operator/rollback.rs"]
mod rollback;
#[path = "operator/runtime.rs"]
mod runtime;
#[path = "operator/settle.rs"]
mod settle;
#[path = "operator/shares.rs"]
mod shares;
#[path = "operator/together.rs"]
mod together;
#[path = "operator/tools.rs"]
mod tools;
#[path = "operator/world.rs"]
mod world;

/// Three nodes, because Grace asks for a whole core per pod. The last one allows an unsafe sysctl.
pub const OPTIONS: cluster::Options = cluster::Options {
    real_nodes: true,
    nodes: 3,
    prometheus: true,
    audit: true,
    variables: &[("UNSAFE_SYSCTLS", "net.core.somaxconn"), ("CRDS", "1"), ("POSTGRES", "1")],
};
