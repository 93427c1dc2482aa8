//! What a deleted policy leaves behind.

use serde_json::{Value, json};
use trimtab::api::names;

use crate::{
    here,
    operator::processes,
    world::{World, assert_no_trace, env_of, env_var, merge, policy, pool_policy, traces, with_world, workload},
};

async fn released(world: &World, kind: &str, name: &str) -> Value {
    world.until(kind, name, &format!("{name} is released"), |object| traces(object).is_empty()).await
}

#[test]
fn retain_leaves_the_values_and_no_trace_and_restarts_nothing() {
    with_world(here!(), async |world| {
        world.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"config.yaml": "limit: 10\n"},
        }));
        let manifest = workload("api", &env_var("OTHER", "1"), &json!({}));
        world.run_workload(&manifest);
        world.apply(&policy(
            "p",
            &json!({
                "pools": [{"name": "db", "size": {"value": 20, "env": "DB_POOL_SIZE"}}],
                "resources": [{"container": "app", "requests": {"cpu": "10m"}, "limits": {"memory": "64Mi"}}],
                "files": [{"name": "config", "configMap": "config", "key": "config.yaml", "format": "YAML",
                           "reload": "Watch"}],
                "settings": [{"name": "limit", "value": 50, "path": {"file": "config", "at": "/limit"}}],
            }),
        ));
        world.settled("p").await;
        let governed = world.deployment().await;
        assert!(!traces(&governed).is_empty(), "{governed:#}");
        let sets = world.replica_sets("api").await;
        let pod = world.pod("api").await;

        world.kubectl(&["delete", "performancepolicy", "p", "--timeout=10s"]);
        let left = released(world, "deployments", "api").await;
        released(world, "configmaps", "config").await;
        assert_no_trace(&left);
        assert_eq!(left["spec"], governed["spec"], "the values stay");
        let config = world.get("configmaps", "config").await;
        assert_eq!(config["data"]["config.yaml"], "limit: 50\n");
        // Annotations of the object count, those of the template do not change.
        let generation = |object: &Value| object["metadata"]["generation"].as_i64().unwrap();
        assert!(generation(&left) <= generation(&governed) + 1, "{left:#}");
        world.rolled_out("api");
        assert_eq!(world.replica_sets("api").await, sets);
        assert_eq!(world.pod("api").await, pod);

        // Nobody owns the value: whoever applies next, gets it.
        let mut next = manifest.clone();
        merge(&mut next, &json!({"metadata": {"labels": {"round": "2"}}}));
        world.apply(&next);
        assert_eq!(env_of(&world.deployment().await, "DB_POOL_SIZE").as_deref(), Some("20"));
        let taken = workload("api", &env_var("DB_POOL_SIZE", "5"), &json!({}));
        world.apply_server_side(&taken).unwrap();
        assert_eq!(env_of(&world.deployment().await, "DB_POOL_SIZE").as_deref(), Some("5"));
    });
}

#[test]
fn the_stamp_of_a_document_stays_because_removing_it_would_restart_pods() {
    with_world(here!(), async |world| {
        world.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"config.yaml": "limit: 10\n"},
        }));
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&policy(
            "p",
            &json!({
                "files": [{"name": "config", "configMap": "config", "key": "config.yaml", "format": "YAML",
                           "reload": "Restart"}],
                "settings": [{"name": "limit", "value": 50, "path": {"file": "config", "at": "/limit"}}],
            }),
        ));
        world.settled("p").await;
        let governed = world.deployment().await;
        let stamp = names::stamp("p");
        assert!(governed["spec"]["template"]["metadata"]["annotations"][&stamp].is_string(), "{governed:#}");
        let (sets, pod) = (world.replica_sets("api").await, world.pod("api").await);

        world.kubectl(&["delete", "performancepolicy", "p", "--timeout=10s"]);
        let left = released(world, "deployments", "api").await;
        released(world, "configmaps", "config").await;
        world.caught_up().await;
        assert_eq!(left["spec"], governed["spec"], "the stamp stays");
        assert_no_trace(&left);
        // The controller tells in the status that it has seen the release; nobody writes anything else.
        assert_eq!(world.deployment().await["metadata"]["generation"], left["metadata"]["generation"]);
        world.rolled_out("api");
        assert_eq!(world.replica_sets("api").await, sets);
        assert_eq!(world.pod("api").await, pod);
    });
}

#[test]
fn a_policy_that_comes_back_finds_its_values_and_restarts_nothing() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        let sets = world.replica_sets("api").await;
        world.delete_policy("p");
        released(world, "deployments", "api").await;
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        assert_eq!(world.replica_sets("api").await, sets);
    });
}

#[test]
fn restore_brings_back_what_was_there_and_ends_its_finalizer() {
    with_world(here!(), async |world| {
        let document = "limit: 10 # rows\n";
        world.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"config.yaml": document},
        }));
        let mut main = env_var("OTHER", "1");
        merge(&mut main, &json!({"resources": {"requests": {"cpu": "20m"}}}));
        world.run_workload(&workload("api", &main, &json!({})));
        let original = world.deployment().await;
        world.apply(&policy(
            "p",
            &json!({
                "deletionPolicy": "Restore",
                "pools": [{"name": "db", "size": {"value": 20, "env": "DB_POOL_SIZE"}}],
                "resources": [{"container": "app", "requests": {"cpu": "10m"}, "onConflict": "TakeOver"}],
                "files": [{"name": "config", "configMap": "config", "key": "config.yaml", "format": "YAML",
                           "reload": "Watch"}],
                "settings": [{"name": "limit", "value": 50, "path": {"file": "config", "at": "/limit"}}],
            }),
        ));
        let settled = world.settled("p").await;
        assert_eq!(settled["metadata"]["finalizers"], json!([names::RESTORE_FINALIZER]));
        let governed = world.deployment().await;
        assert_eq!(env_of(&governed, "DB_POOL_SIZE").as_deref(), Some("20"));
        let main = &governed["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(main["resources"]["requests"]["cpu"], "10m");
        assert_eq!(world.get("configmaps", "config").await["data"]["config.yaml"], "limit: 50 # rows\n");

        world.kubectl(&["delete", "performancepolicy", "p", "--timeout=60s"]);
        let left = world.deployment().await;
        assert_no_trace(&left);
        assert_eq!(left["spec"]["template"]["spec"], original["spec"]["template"]["spec"]);
        let config = world.get("configmaps", "config").await;
        assert_eq!(config["data"]["config.yaml"], document);
        assert_no_trace(&config);
        world.rolled_out("api");
        // The template is the first one again, and so is its ReplicaSet.
        assert_eq!(world.replica_sets("api").await.len(), 2);
    });
}

fn restoring(size: u32) -> Value {
    let mut all = pool_policy("p", size);
    merge(&mut all, &json!({"spec": {"deletionPolicy": "Restore"}}));
    all
}

#[test]
fn a_policy_that_restores_ends_although_its_target_is_gone() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&restoring(20));
        world.settled("p").await;
        world.kubectl(&["delete", "deployment", "api", "--timeout=60s"]);
        world.says("p", "Ready", "False", "NoTargets").await;
        world.kubectl(&["delete", "performancepolicy", "p", "--timeout=60s"]);

        // And one whose target goes while it is put back.
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&restoring(20));
        world.settled("p").await;
        world.delete_policy("p");
        world.kubectl(&["delete", "deployment", "api", "--wait=false"]);
        world.kubectl(&["wait", "performancepolicy/p", "--for=delete", "--timeout=60s"]);
    });
}

#[test]
fn a_policy_that_is_deleted_again_while_it_restores_restores_once() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &env_var("OTHER", "1"), &json!({})));
        let original = world.deployment().await;
        world.apply(&restoring(20));
        world.settled("p").await;
        // What keeps it is a rollout of somebody else, which it waits for.
        let slow = json!({"spec": {"minReadySeconds": 5, "template": {"metadata": {"labels": {"round": "2"}}}}});
        world.kubectl(&["patch", "deployment", "api", "--patch", &slow.to_string()]);
        world.delete_policy("p");
        world.delete_policy("p");
        let pending = world.get("performancepolicies", "p").await;
        assert!(pending["metadata"]["deletionTimestamp"].is_string(), "{pending:#}");
        // An edit comes too late, and stops nothing.
        world.kubectl(&["annotate", "performancepolicy", "p", "late=yes"]);
        world.kubectl(&["wait", "performancepolicy/p", "--for=delete", "--timeout=90s"]);
        let left = world.deployment().await;
        assert_no_trace(&left);
        let containers = |object: &Value| object["spec"]["template"]["spec"]["containers"].clone();
        assert_eq!(containers(&left), containers(&original));
        world.rolled_out("api");
        assert_eq!(world.replica_sets("api").await.len(), 4, "ours, theirs, and the way back");
    });
}

#[test]
fn a_namespace_goes_with_policies_that_restore() {
    with_world(here!(), async |world| {
        world.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"config.yaml": "limit: 10\n"},
        }));
        world.run_workload(&workload("api", &json!({}), &json!({})));
        let mut all = restoring(20);
        merge(
            &mut all["spec"],
            &json!({
                "files": [{"name": "config", "configMap": "config", "key": "config.yaml", "format": "YAML"}],
                "settings": [{"name": "limit", "value": 50, "path": {"file": "config", "at": "/limit"}}],
            }),
        );
        world.apply(&all);
        world.settled("p").await;
        let replicas = processes();
        world.cluster.kubectl(&["delete", "namespace", &world.namespace, "--timeout=90s"], "");
        assert_eq!(processes(), replicas, "the operator lives");
    });
}
