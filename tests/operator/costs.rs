//! What a change asks of the API server, from its own log.
//!
//! Every test is alone: while others roll out, a change may have to say that it waits for its turn, which is one more status.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    audit::{Mark, Request, told},
    here,
    world::{World, env_of, policy, pool_policy, with_world_alone, workload},
};

fn writes(mark: &Mark, world: &World) -> Vec<Request> {
    let mut writes = mark.writes(&world.namespace);
    writes.retain(|request| !request.name.starts_with("barrier-"));
    writes
}

const STATUS: &str = "performancepolicies/status";
const EVENT: &str = "events";

/// Fails unless these are the writes, all of which succeeded: how many of each resource.
fn assert_cost(writes: &[Request], wanted: &[(&str, usize)]) {
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for request in writes {
        *found.entry(&request.resource).or_default() += 1;
    }
    let wanted: BTreeMap<&str, usize> = wanted.iter().copied().collect();
    assert_eq!(found, wanted, "{}", told(writes));
    assert!(writes.iter().all(|request| request.code < 300), "{}", told(writes));
}

/// What a change of the policy `p` costs that has settled before.
async fn cost(world: &World, before: &Value, after: &Value) -> Vec<Request> {
    world.apply(before);
    world.settled("p").await;
    world.caught_up().await;
    let mark = world.mark();
    world.apply(after);
    world.settled("p").await;
    world.caught_up().await;
    writes(&mark, world)
}

#[test]
fn a_change_of_one_object_costs_one_apply_two_statuses_and_two_events() {
    with_world_alone(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        let writes = cost(world, &pool_policy("p", 20), &pool_policy("p", 21)).await;
        assert_eq!(env_of(&world.deployment().await, "DB_POOL_SIZE").as_deref(), Some("21"));
        assert_cost(&writes, &[("deployments", 1), (STATUS, 2), (EVENT, 2)]);
    });
}

#[test]
fn a_document_adds_its_edit_and_a_release_and_with_restart_a_stamp() {
    with_world_alone(here!(), async |world| {
        world.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"c.yaml": "limit: 10\n"},
        }));
        world.run_workload(&workload("api", &json!({}), &json!({})));
        let limit = |limit: u32, reload: &str| {
            policy(
                "p",
                &json!({
                    "files": [{"name": "f", "configMap": "config", "key": "c.yaml", "format": "YAML", "reload": reload}],
                    "settings": [{"name": "limit", "value": limit, "path": {"file": "f", "at": "/limit"}}],
                }),
            )
        };
        let sets = world.replica_sets("api").await.len();
        let watched = cost(world, &limit(50, "Watch"), &limit(60, "Watch")).await;
        // What needs no rollout is done when it is told: one Event tells what changed.
        assert_cost(&watched, &[("configmaps", 2), (STATUS, 1), (EVENT, 1)]);
        assert_eq!(world.replica_sets("api").await.len(), sets);

        let restarted = cost(world, &limit(60, "Restart"), &limit(70, "Restart")).await;
        assert_cost(&restarted, &[("configmaps", 2), ("deployments", 1), (STATUS, 2), (EVENT, 2)]);
        assert_eq!(world.get("configmaps", "config").await["data"]["c.yaml"], "limit: 70\n");
        assert_eq!(world.replica_sets("api").await.len(), sets + 2, "one for the first stamp, one for the second");
        let order: Vec<&str> = restarted.iter().map(|request| request.resource.as_str()).collect();
        let at = |resource: &str| order.iter().position(|found| *found == resource).unwrap();
        assert!(at("configmaps") < at("deployments"), "the document comes before its stamp:\n{}", told(&restarted));
    });
}
