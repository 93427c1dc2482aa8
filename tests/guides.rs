//! The five guides, enforced: every number of theirs is read back from inside the running container, on a real cluster.
//!
//! Each example under `examples` runs in the namespace of its own name, once for all tests. The row ids are those of
//! `docs/guides.md`, which [`table`] writes and checks.

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
#[path = "operator/world.rs"]
#[allow(dead_code, reason = "tests/operator uses the rest")]
mod world;

#[path = "guides/before.rs"]
mod before;
#[path = "guides/profiles.rs"]
mod profiles;
#[path = "guides/rows.rs"]
mod rows;
#[path = "guides/seen.rs"]
mod seen;
#[path = "guides/stage.rs"]
mod stage;
#[path = "guides/table.rs"]
mod table;
#[path = "guides/together.rs"]
mod together;

/// Four nodes, because the examples ask for whole cores, with the sysctls that their class allows.
pub const OPTIONS: cluster::Options = cluster::Options {
    real_nodes: true,
    nodes: 4,
    prometheus: true,
    audit: true,
    variables: &[
        ("CRDS", "1"),
        ("UNSAFE_SYSCTLS", "net.core.somaxconn,net.ipv4.tcp_max_syn_backlog,net.ipv4.tcp_tw_reuse"),
        ("UNSAFE_SYSCTLS_NODES", "all"),
    ],
};
