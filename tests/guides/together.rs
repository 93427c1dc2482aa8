//! All five examples at once, as written beside as repaired; and one limit that moves what follows from it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    audit::{Mark, Request, told},
    cluster::eventually,
    here,
    stage::{EXAMPLES, apply, enforced, manifests, policies, refused, workloads},
    world::{World, condition, traces, with_world, with_world_alone},
};

/// Rounds in which the operator measures, every two seconds one.
const SWEEPS: usize = 30;

/// Rounds without a write after which nothing is under way any more: statuses are held back for five seconds at most.
const QUIET: usize = 6;

/// A metric that every sweep asks for while the examples are there.
const METRIC: &str = "db_client_connection_pending_requests";

/// An example in Observe, in a namespace of its own.
async fn observed(world: &World, example: &str) -> World {
    let namespace = format!("{example}-as-written");
    let world = world.within(&namespace);
    workloads(&world, example);
    apply(&world, &manifests(example, "as-written", &namespace));
    if let Some(refused) = refused(example, &namespace) {
        let said =
            world.try_kubectl(&["apply", "-f", "-"], &refused).expect_err("the spelling of the guide is refused");
        assert!(said.contains("maxBytes"), "{said}");
    }
    for name in policies(&world).await {
        world
            .until("performancepolicies", &name, "the policy is looked at", |policy| {
                condition(policy, "Ready")["observedGeneration"] == policy["metadata"]["generation"]
            })
            .await;
    }
    world
}

/// Comes back when the operator has measured that many times more.
async fn swept(world: &World, times: usize) {
    let start = world.sweeps(METRIC).len();
    eventually(Duration::from_mins(3), "the operator goes on sweeping", async || {
        let swept = world.sweeps(METRIC).len() - start;
        if swept >= times { Ok(()) } else { Err(swept) }
    })
    .await;
}

/// What the operator has written to the examples since then.
fn written(worlds: &[World], marks: &[Mark]) -> Vec<Request> {
    let of = |(world, mark): (&World, &Mark)| {
        let mut writes = mark.writes(&world.namespace);
        writes.retain(|write| write.namespace == *world.namespace && !write.name.starts_with("barrier-"));
        writes
    };
    worlds.iter().zip(marks).flat_map(of).collect()
}

#[test]
fn all_five_rest_together_as_repaired_and_as_written() {
    with_world_alone(here!(), async |world| {
        let mut worlds = Vec::new();
        for example in EXAMPLES {
            worlds.push(enforced(world, example).await);
            worlds.push(observed(world, example).await);
        }
        for world in &worlds {
            world.caught_up().await;
        }
        // What autoscalers and pods of the last example still tell is no part of the rest.
        eventually(Duration::from_mins(3), "nothing is written any more", async || {
            let marks: Vec<_> = worlds.iter().map(World::mark).collect();
            swept(world, QUIET).await;
            let writes = written(&worlds, &marks);
            if writes.is_empty() { Ok(()) } else { Err(told(&writes)) }
        })
        .await;
        let marks: Vec<_> = worlds.iter().map(World::mark).collect();
        let mut before = Vec::new();
        for world in &worlds {
            for policy in world.list("performancepolicies").await {
                let conflicted = condition(&policy, "Conflicted");
                assert!(conflicted.is_null() || conflicted["status"] == "False", "{policy:#}");
                before.push(policy);
            }
            if world.namespace.ends_with("-as-written") {
                for deployment in world.list("deployments").await {
                    assert!(
                        traces(&deployment).is_empty() && deployment["metadata"]["generation"] == 1,
                        "{deployment:#}"
                    );
                }
            }
        }
        swept(world, SWEEPS).await;
        let writes = written(&worlds, &marks);
        assert_eq!(writes, [], "{}", told(&writes));
        let mut after = Vec::new();
        for world in &worlds {
            after.extend(world.list("performancepolicies").await);
        }
        assert_eq!(after, before);
    });
}

/// The value of a variable in the container of a Deployment.
fn variable(deployment: &Value, name: &str) -> String {
    let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().expect("variables");
    let variable = variables.iter().find(|variable| variable["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    variable["value"].as_str().expect("a value").to_owned()
}

#[test]
fn one_change_of_a_limit_moves_heap_pool_and_workers_in_one_rollout() {
    with_world(here!(), async |world| {
        let namespace = world.namespace.clone();
        apply(world, &manifests("alchemist", "app.yaml", &namespace));
        apply(world, &manifests("alchemist", "repaired/budget.yaml", &namespace));
        apply(world, &manifests("alchemist", "class.yaml", &namespace));
        // The nodes have whole cores for the examples themselves, and for no copy of them.
        let policy = manifests("alchemist", "repaired/policy.yaml", &namespace);
        apply(world, &policy.replace("requests: {cpu: \"1\"", "requests: {cpu: 50m"));
        world.settled("dialog").await;
        let sets = world.replica_sets("dialog").await.len();
        let deployment = world.get("deployments", "dialog").await;
        assert_eq!(variable(&deployment, "DIALOG_PROCESSES"), "1");
        assert!(variable(&deployment, "JAVA_TOOL_OPTIONS").contains("-Xmx2g"), "{deployment:#}");
        let patch = json!([{"op": "replace", "path": "/spec/resources/0/limits/memory", "value": "6Gi"}]);
        world.kubectl(&["patch", "performancepolicy", "dialog", "--type=json", "-p", &patch.to_string()]);
        world.settled("dialog").await;
        world.rolled_out("dialog");
        let deployment = world.get("deployments", "dialog").await;
        assert_eq!(variable(&deployment, "DIALOG_PROCESSES"), "2");
        let options = variable(&deployment, "JAVA_TOOL_OPTIONS");
        assert!(options.contains("-Xmx1536m") && options.contains("-Xms1536m"), "{options}");
        let config = world.get("configmaps", "dialog-config").await;
        let document = config["data"]["alchemist.toml"].as_str().expect("the document");
        assert!(document.contains("max_connections = 10 "), "{document}");
        assert_eq!(world.replica_sets("dialog").await.len(), sets + 1, "one new ReplicaSet");
    });
}
