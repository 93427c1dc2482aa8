//! A policy that has nothing to do costs nothing.

use std::time::Duration;

use serde_json::json;

use crate::{
    audit::{Mark, Request, told},
    cluster::eventually,
    here,
    world::{World, policy, with_world, workload},
};

/// Queries that Prometheus counts meanwhile, from everybody. One sweep of one threshold asks two (the reading and its age), and
/// the policies of other tests ask as well: so this is at most fifteen sweeps of the policy here, every two seconds one.
const QUERIES: u32 = 30;

fn resting() -> serde_json::Value {
    policy(
        "p",
        &json!({
            "pools": [{"name": "db", "size": {"value": 20, "env": "DB_POOL_SIZE"}}],
            "files": [{"name": "config", "configMap": "config", "key": "config.yaml", "format": "YAML"}],
            "settings": [{"name": "limit", "value": 50, "path": {"file": "config", "at": "/limit"}}],
            "thresholds": [{
                "name": "memory", "levels": [{"severity": "warning", "above": "10Gi"}],
                "metric": {"gauge": "container_memory_working_set_bytes", "labels": {"container": "app"}},
            }],
        }),
    )
}

async fn at_rest(world: &World) {
    world.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"config.yaml": "limit: 10\n"},
    }));
    world.run_workload(&workload("api", &json!({}), &json!({})));
    world.apply(&resting());
    world.settled("p").await;
    world.says("p", "Compliant", "True", "Within").await;
    // The last status is coalesced with what comes within its five seconds.
    world.caught_up().await;
}

fn about_ours(mark: &Mark, world: &World) -> Vec<Request> {
    let mut requests = mark.requests(&world.namespace);
    requests.retain(|r| {
        r.is_about_one_object() && !r.name.starts_with("barrier-") && r.resource != "metricssources/status"
    });
    requests
}

#[test]
fn a_settled_policy_that_is_measured_makes_no_request() {
    with_world(here!(), async |world| {
        at_rest(world).await;
        let before = world.get("performancepolicies", "p").await;
        let mark = world.mark();
        let start = world.queries().await;
        eventually(Duration::from_mins(3), "the operator has asked thirty times", async || {
            let asked = world.queries().await - start;
            if asked >= f64::from(QUERIES) { Ok(()) } else { Err(asked) }
        })
        .await;
        let requests = about_ours(&mark, world);
        assert_eq!(requests, [], "{}", told(&requests));
        assert_eq!(world.get("performancepolicies", "p").await, before);
    });
}
