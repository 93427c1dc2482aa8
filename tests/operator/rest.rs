//! A policy that has nothing to do costs nothing.

use std::time::Duration;

use serde_json::json;

use crate::{
    audit::{Mark, Request, told},
    cluster::eventually,
    here,
    operator::processes,
    world::{PATIENCE, World, condition, policy, with_world, with_world_alone, workload},
};

/// Rounds in which the operator measures, every two seconds one.
const SWEEPS: usize = 30;

const METRIC: &str = "container_memory_working_set_bytes";

fn resting() -> serde_json::Value {
    policy(
        "p",
        &json!({
            "pools": [{"name": "db", "size": {"value": 20, "env": "DB_POOL_SIZE"}}],
            "files": [{"name": "config", "configMap": "config", "key": "config.yaml", "format": "YAML"}],
            "settings": [{"name": "limit", "value": 50, "path": {"file": "config", "at": "/limit"}}],
            "thresholds": [{
                "name": "memory", "levels": [{"severity": "warning", "above": "10Gi"}],
                "metric": {"gauge": METRIC, "labels": {"container": "app"}},
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
fn thirty_sweeps_of_a_settled_policy_make_no_request() {
    with_world(here!(), async |world| {
        at_rest(world).await;
        let before = world.get("performancepolicies", "p").await;
        let mark = world.mark();
        let start = world.sweeps(METRIC).len();
        eventually(Duration::from_mins(3), "the operator has swept thirty times", async || {
            let swept = world.sweeps(METRIC).len() - start;
            if swept >= SWEEPS { Ok(()) } else { Err(swept) }
        })
        .await;
        let requests = about_ours(&mark, world);
        assert_eq!(requests, [], "{}", told(&requests));
        assert_eq!(world.get("performancepolicies", "p").await, before);
    });
}

#[test]
fn expired_watches_after_an_outage_of_the_api_server_make_no_request_about_an_object() {
    with_world_alone(here!(), async |world| {
        at_rest(world).await;
        let policy = world.get("performancepolicies", "p").await;
        let deployment = world.deployment().await;
        // A leader that cannot renew its lease for ten seconds ends, and its successor reads what it governs once. That is
        // another matter, and on a slow machine the API server may be away for so long.
        let mut attempts = 0;
        let requests = loop {
            let (mark, replicas) = (world.mark(), processes());
            world.restart_api_server().await;
            // Lists come from every replica; what the leader makes of them, the barrier shows.
            eventually(PATIENCE, "both replicas list again", async || {
                let lists = mark.lists();
                if lists >= 2 { Ok(()) } else { Err(lists) }
            })
            .await;
            world.caught_up().await;
            let writes = mark.target_writes(&world.namespace);
            assert_eq!(writes, [], "{}", told(&writes));
            attempts += 1;
            if processes() == replicas {
                break about_ours(&mark, world);
            }
            assert!(attempts < 5, "the API server is away for longer than a lease, {attempts} times");
        };
        assert_eq!(requests, [], "{}", told(&requests));
        assert_eq!(condition(&world.get("performancepolicies", "p").await, "Applied"), condition(&policy, "Applied"));
        assert_eq!(world.deployment().await["metadata"]["managedFields"], deployment["metadata"]["managedFields"]);
    });
}
