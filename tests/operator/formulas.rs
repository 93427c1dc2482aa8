//! Numbers that follow from others, as a running container sees them.

use serde_json::{Value, json};

use crate::{
    here,
    world::{World, condition, policy, with_world, workload},
};

const DOCUMENT: &str = "batch: 1 # rows\n";

/// Workers, a pool, a heap and a batch, all from the limit of memory.
fn derived(memory: Option<&str>) -> Value {
    let mut spec = json!({
        "workers": [{"name": "web", "count": {"value": "= floor(limits.memory / 16Mi)", "max": 8, "env": "WORKERS"}}],
        "pools": [{"name": "db", "perWorker": "web",
                   "size": {"value": "= floor(100 / workers.web.count)", "min": 2, "env": "DB_POOL_SIZE"}}],
        "files": [{"name": "config", "configMap": "config", "key": "config.yaml", "format": "YAML"}],
        "settings": [
            {"name": "heap", "type": "Bytes", "value": "= limits.memory * 75%", "env": "HEAP", "as": "mebibytes"},
            {"name": "batch", "value": "= 2 * pools.db.size", "path": {"file": "config", "at": "/batch"}},
        ],
    });
    if let Some(memory) = memory {
        spec["resources"] = json!([{"container": "app", "limits": {"memory": memory}, "requests": {"memory": "16Mi"}}]);
    }
    policy("p", &spec)
}

#[track_caller]
fn sees(world: &World, pod: &str, environment: [&str; 3], batch: &str) {
    let all = world.process(pod, "environ");
    for variable in environment {
        assert!(all.contains(&variable.to_owned()), "{variable}: {all:?}");
    }
    assert_eq!(world.inside(pod, &["cat", "/etc/config/config.yaml"]), DOCUMENT.replace('1', batch));
}

fn config(world: &World) -> Value {
    world.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"config.yaml": DOCUMENT},
    }));
    json!({"volumeMounts": [{"name": "config", "mountPath": "/etc/config"}]})
}

fn volumes() -> Value {
    json!({"volumes": [{"name": "config", "configMap": {"name": "config"}}]})
}

#[test]
fn one_change_of_a_limit_moves_everything_that_follows_from_it_in_one_rollout() {
    with_world(here!(), async |world| {
        let mounts = config(world);
        world.run_workload(&workload("api", &mounts, &volumes()));
        let before = world.replica_sets("api").await.len();
        world.apply(&derived(Some("64Mi")));
        world.settled("p").await;
        sees(world, &world.pod("api").await, ["WORKERS=4", "DB_POOL_SIZE=25", "HEAP=48"], "50");
        assert_eq!(world.replica_sets("api").await.len(), before + 1);

        let mark = world.mark();
        world.apply(&derived(Some("128Mi")));
        let settled = world.settled("p").await;
        sees(world, &world.pod("api").await, ["WORKERS=8", "DB_POOL_SIZE=12", "HEAP=96"], "24");
        assert_eq!(world.replica_sets("api").await.len(), before + 2, "one new revision for all of it");
        assert_eq!(condition(&settled, "Ready")["status"], "True", "{settled:#}");
        let applies = mark.changes(&world.namespace).iter().filter(|r| r.resource == "deployments").count();
        assert_eq!(applies, 1);

        // Every number says where it comes from.
        let chain = world.trimtab(&["explain", "deploy/api"]);
        for step in [
            "= floor(limits.memory / 16Mi) = floor(128Mi / 16Mi)",
            "= floor(100 / workers.web.count) = floor(100 / 8)",
            "= 2 * pools.db.size = 2 * 12",
            "12 connections × 8 web processes per pod",
        ] {
            assert!(chain.contains(step), "{step}:\n{chain}");
        }
    });
}

#[test]
fn without_a_limit_of_the_policy_the_manifests_is_followed() {
    with_world(here!(), async |world| {
        let mounts = config(world);
        let with = |memory: Option<&str>| {
            let mut container = mounts.clone();
            if let Some(memory) = memory {
                container["resources"] = json!({"limits": {"memory": memory}});
            }
            workload("api", &container, &volumes())
        };
        world.run_workload(&with(None));
        let before = world.deployment().await;
        let mark = world.mark();
        world.apply(&derived(None));
        let said = world.says("p", "Applied", "False", "FormulaFailed").await;
        let message = condition(&said, "Applied")["message"].as_str().unwrap_or_default();
        assert!(message.contains("workers.web.count needs limits.memory, which neither the policy"), "{message}");
        world.caught_up().await;
        assert_eq!(mark.target_writes(&world.namespace), []);
        assert_eq!(world.deployment().await["metadata"]["generation"], before["metadata"]["generation"]);

        // Whoever raises the limit in the manifest raises what follows from it.
        for (memory, environment, batch) in [
            ("48Mi", ["WORKERS=3", "DB_POOL_SIZE=33", "HEAP=36"], "66"),
            ("96Mi", ["WORKERS=6", "DB_POOL_SIZE=16", "HEAP=72"], "32"),
        ] {
            world.run_workload(&with(Some(memory)));
            let wanted = environment[0].trim_start_matches("WORKERS=");
            let has = |deployment: &Value| crate::world::env_of(deployment, "WORKERS").as_deref() == Some(wanted);
            world.until("deployments", "api", "it follows the limit", has).await;
            world.settled("p").await;
            sees(world, &world.pod("api").await, environment, batch);
        }
    });
}
