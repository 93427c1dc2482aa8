//! A value that does not run is taken back.

use serde_json::json;

use crate::{
    audit::told,
    here,
    world::{condition, env_of, merge, policy, pool_policy, with_world, workload},
};

#[test]
fn a_value_that_crashes_is_taken_back_while_the_old_pod_serves_and_is_not_tried_again() {
    with_world(here!(), async |world| {
        let picky = json!({
            "command": ["sh", "-c", "[ \"$DB_POOL_SIZE\" != 13 ] || exit 1; trap 'exit 0' TERM; sleep 1000000 & wait"],
        });
        // Without a probe and without this, Kubernetes counts a pod as available the moment it starts.
        let mut picky = workload("api", &picky, &json!({}));
        merge(&mut picky, &json!({"spec": {"minReadySeconds": 3}}));
        world.run_workload(&picky);
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        let (good, sets, pod) = (world.deployment().await, world.replica_sets("api").await, world.pod("api").await);

        let mark = world.mark();
        world.apply(&pool_policy("p", 13));
        let back = world.says("p", "Applied", "False", "RolledBack").await;
        assert_eq!(condition(&back, "Stalled")["reason"], "RolledBack", "{back:#}");
        assert_eq!(back["status"]["quarantine"][0]["path"], "pools.db.size", "{back:#}");
        assert_eq!(back["status"]["quarantine"][0]["reason"], "CrashLoop", "{back:#}");
        assert_eq!(back["status"]["history"][0]["verdict"], "RolledBack", "{back:#}");
        let restored = world.deployment().await;
        assert_eq!(restored["spec"]["template"], good["spec"]["template"]);
        world.rolled_out("api");
        // The ReplicaSet from before is the newest again, and its pod has never stopped.
        let after = world.replica_sets("api").await;
        assert_eq!((after.len(), after.last()), (sets.len() + 1, sets.last()));
        assert_eq!(world.pod("api").await, pod);
        world.caught_up().await;
        let writes = mark.changes(&world.namespace);
        let applies = writes.iter().filter(|request| request.resource == "deployments").count();
        assert_eq!(applies, 2, "one there, one back:\n{}", told(&writes));

        // Another value has its chance.
        world.apply(&pool_policy("p", 14));
        world.settled("p").await;
        assert_eq!(env_of(&world.deployment().await, "DB_POOL_SIZE").as_deref(), Some("14"));
        // The one in quarantine has not.
        let mark = world.mark();
        world.apply(&pool_policy("p", 13));
        world.says("p", "Applied", "False", "RolledBack").await;
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
    });
}

/// Without a probe and without `minReadySeconds`, Kubernetes counts a pod as available the moment it starts, and the rollout as
/// complete before anything has crashed.
#[test]
fn a_value_that_crashes_after_the_rollout_counts_as_complete_is_taken_back() {
    with_world(here!(), async |world| {
        let picky = json!({
            "command": ["sh", "-c", "[ \"$DB_POOL_SIZE\" != 13 ] || { sleep 3; exit 1; }; trap 'exit 0' TERM; sleep 1000000 & wait"],
        });
        world.run_workload(&workload("api", &picky, &json!({})));
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        let good = world.deployment().await;

        let mark = world.mark();
        world.apply(&pool_policy("p", 13));
        // What Kubernetes counts as complete is told at once.
        world.settled("p").await;
        let back = world.says("p", "Applied", "False", "RolledBack").await;
        assert_eq!(back["status"]["quarantine"][0]["reason"], "CrashLoop", "{back:#}");
        assert_eq!(back["status"]["history"][0]["verdict"], "RolledBack", "{back:#}");
        assert_eq!(world.deployment().await["spec"]["template"], good["spec"]["template"]);
        world.rolled_out("api");
        world.caught_up().await;
        let writes = mark.changes(&world.namespace);
        let applies = writes.iter().filter(|request| request.resource == "deployments").count();
        assert_eq!(applies, 2, "one there, one back:\n{}", told(&writes));
    });
}

/// The value is in a file, and the pod template only has its stamp: both come back, and with them the pods of before.
#[test]
fn a_value_in_a_file_that_crashes_is_taken_back_with_its_stamp() {
    with_world(here!(), async |world| {
        world.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"},
            "data": {"limit": "5", "config.yaml": "pool:\n  size: \"5\" # small\n"},
        }));
        let picky = json!({
            "command": ["sh", "-c", "grep -q 13 /config/* && exit 1; trap 'exit 0' TERM; sleep 1000000 & wait"],
            "volumeMounts": [{"name": "config", "mountPath": "/config"}],
        });
        let volume = json!({"volumes": [{"name": "config", "configMap": {"name": "config"}}]});
        let mut picky = workload("api", &picky, &volume);
        merge(&mut picky, &json!({"spec": {"minReadySeconds": 3}}));
        world.run_workload(&picky);
        let spec = |limit: u32, size: u32| {
            let file = json!({"name": "config", "configMap": "config", "key": "config.yaml", "format": "YAML", "reload": "Restart"});
            policy(
                "p",
                &json!({"files": [file], "settings": [
                    {"name": "limit", "value": limit,
                     "configMapKey": {"name": "config", "key": "limit", "reload": "Restart"}, "onConflict": "TakeOver"},
                    {"name": "size", "value": size, "path": {"file": "config", "at": "/pool/size"}},
                ]}),
            )
        };
        let (good, config, sets) =
            (world.deployment().await, world.get("configmaps", "config").await, world.replica_sets("api").await);
        for bad in [spec(13, 21), spec(20, 13)] {
            world.apply(&bad);
            // What the whole change had not proven goes back together.
            world.says("p", "Applied", "False", "RolledBack").await;
            assert_eq!(world.get("configmaps", "config").await["data"], config["data"]);
            assert_eq!(world.deployment().await["spec"]["template"], good["spec"]["template"]);
            world.rolled_out("api");
            assert_eq!(
                world.replica_sets("api").await.last(),
                sets.last(),
                "the ReplicaSet from before is the newest again"
            );
        }
    });
}
