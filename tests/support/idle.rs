//! Workloads without pods, which have every field that a policy governs: for tests that look at what is written, and not at
//! what runs.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

/// A Deployment with the container `app`, whose environment is `env`.
pub fn deployment(name: &str, env: &Value) -> Deployment {
    let container = json!({"name": "app", "image": "localhost/none:1", "env": env});
    let labels = json!({"app": name});
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }))
    .expect("a Deployment")
}
