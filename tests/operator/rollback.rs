//! A value that does not run is taken back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    audit::told,
    here,
    world::{PATIENCE, World, condition, env_of, merge, policy, pool_policy, with_world, workload},
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

/// A workload of a kind, with one pod that asks for little.
fn modest(kind: &str, name: &str, spec: &Value) -> Value {
    let mut modest = workload(name, &json!({"resources": {"requests": {"cpu": "10m"}}}), &json!({}));
    modest["kind"] = kind.into();
    merge(&mut modest["spec"], spec);
    modest
}

/// The name of a class of the test's own.
fn class(world: &World) -> String {
    let name: String = format!("r-{}", world.namespace).chars().take(60).collect();
    name.trim_end_matches('-').to_owned()
}

/// A policy of the same name that makes it ask for `cpu`.
fn asks(world: &World, kind: &str, name: &str, cpu: &str) -> Value {
    policy(
        name,
        &json!({
            "target": {"kind": kind, "name": name}, "className": class(world),
            "resources": [{"container": "app", "requests": {"cpu": cpu}, "onConflict": "TakeOver"}],
        }),
    )
}

/// Waits until the policy says so in the message of `Applied`, within the patience of the operator and that of the tests.
async fn says_within(world: &World, patience: u64, policy: &str, reason: &str, text: &str) -> Value {
    let patience = Duration::from_secs(patience) + PATIENCE;
    let what = format!("{policy} says {reason} and \"{text}\"");
    let says = |object: &Value| {
        let applied = condition(object, "Applied");
        applied["reason"] == reason && applied["message"].as_str().is_some_and(|message| message.contains(text))
    };
    world.until_within(patience, ("performancepolicies", policy), &what, says).await
}

fn cpu(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"]
}

/// It lasts some 200 s: the patience is the real one.
#[test]
fn what_no_node_has_is_awaited_for_a_while_and_goes_back() {
    with_world(here!(), async |world| {
        world.apply(&json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformanceClass",
            "metadata": {"name": class(world)},
            "spec": {"limits": {"rolloutsPerNamespace": 3}},
        }));
        let service = |policy: &str| json!({"serviceName": "none", "podManagementPolicy": policy});
        let all = [
            ("Deployment", "deployments", "api", json!({})),
            ("StatefulSet", "statefulsets", "eager", service("Parallel")),
            ("StatefulSet", "statefulsets", "orderly", service("OrderedReady")),
        ];
        for (kind, _, name, spec) in &all {
            world.apply(&modest(kind, name, spec));
        }
        for (kind, _, name, _) in &all {
            world.kubectl(&["rollout", "status", &format!("{kind}/{name}"), "--timeout=90s"]);
        }
        let pod = world.pod("api").await;
        for (kind, _, name, _) in &all {
            world.apply(&asks(world, kind, name, "900"));
        }
        // Each says what it waits for.
        for (_, _, name, _) in &all {
            says_within(world, 30, name, "RollingOut", "is not scheduled: 0/").await;
        }
        // The old pod of a StatefulSet is gone. Where the controller makes it again by itself, that is not awaited for long.
        says_within(world, 60, "eager", "RolledBack", "Unschedulable").await;
        assert_eq!(cpu(&world.get("deployments", "api").await), "900", "a node may come yet");
        world.pod("eager").await;

        // Where it does not, somebody has to be told.
        says_within(world, 180, "orderly", "RollingBack", "delete it by hand").await;
        let back =
            |set: &Value| cpu(set) == "10m" && set["status"]["observedGeneration"] == set["metadata"]["generation"];
        world.until("statefulsets", "orderly", "its controller knows the value of before", back).await;
        let waits = world.get("pods", "orderly-0").await;
        assert_eq!(waits["spec"]["containers"][0]["resources"]["requests"]["cpu"], "900", "it is as the message says");
        world.kubectl(&["delete", "pod", "orderly-0"]);
        says_within(world, 180, "api", "RolledBack", "Unschedulable").await;
        assert_eq!(world.pod("api").await, pod, "it has served all the time");
        for (_, kind, name, _) in &all {
            let back = says_within(world, 0, name, "RolledBack", "Unschedulable").await;
            assert_eq!(back["status"]["quarantine"][0]["reason"], "Unschedulable", "{back:#}");
            assert_eq!(back["status"]["history"][0]["verdict"], "RolledBack", "{back:#}");
            assert_eq!(cpu(&world.get(kind, name).await), "10m");
            world.pod(name).await;
            world.delete_policy(name);
        }
        world.kubectl(&["delete", "performanceclass", &class(world)]);
    });
}

/// It lasts some 80 s: the patience is the real one.
#[test]
fn what_a_quota_refuses_goes_back_while_the_old_pod_serves() {
    with_world(here!(), async |world| {
        world.apply(&json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"},
            "spec": {"hard": {"requests.cpu": "100m"}},
        }));
        world.run_workload(&modest("Deployment", "api", &json!({})));
        let (pod, sets) = (world.pod("api").await, world.replica_sets("api").await);
        let mark = world.mark();
        let mut asks = asks(world, "Deployment", "api", "200m");
        asks["spec"]["className"] = Value::Null;
        world.apply(&asks);
        says_within(world, 30, "api", "RollingOut", "exceeded quota: tight").await;
        let back = says_within(world, 60, "api", "RolledBack", "FailedCreate").await;
        assert_eq!(back["status"]["quarantine"][0]["reason"], "FailedCreate", "{back:#}");
        assert_eq!(back["status"]["history"][0]["verdict"], "RolledBack", "{back:#}");
        world.rolled_out("api");
        assert_eq!(world.pod("api").await, pod, "it has served all the time");
        assert_eq!(world.replica_sets("api").await.last(), sets.last());
        world.caught_up().await;
        let writes = mark.changes(&world.namespace);
        let applies = writes.iter().filter(|request| request.resource == "deployments").count();
        assert_eq!(applies, 2, "one there, one back:\n{}", told(&writes));

        // More than before, and within the quota with the pod that is there.
        asks["spec"]["resources"][0]["requests"]["cpu"] = "80m".into();
        world.apply(&asks);
        world.settled("api").await;
        assert_eq!(cpu(&world.deployment().await), "80m");
    });
}
