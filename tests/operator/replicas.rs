//! The number of pods, and who else decides on it.

use serde_json::{Value, json};

use crate::{
    audit::told,
    here,
    world::{World, assert_no_trace, condition, managers, merge, policy, traces, with_world, workload},
};

fn replicas(min: u32, max: u32, on_conflict: &str) -> Value {
    policy("p", &json!({"replicas": {"min": min, "max": max, "onConflict": on_conflict}}))
}

fn autoscaler(min: u32, max: u32) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "api"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"},
            "minReplicas": min, "maxReplicas": max,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
        },
    })
}

fn wanted(deployment: &Value) -> i64 {
    deployment["spec"]["replicas"].as_i64().unwrap()
}

/// Waits until the Deployment asks for so many pods and nobody of ours holds anything of it.
async fn scaled(world: &World, to: i64) {
    world
        .until("deployments", "api", &format!("{to} pods are wanted, and the object is released"), |object| {
            wanted(object) == to && traces(object).is_empty()
        })
        .await;
}

#[test]
fn the_bounds_of_an_autoscaler_are_one_claim_and_the_autoscaler_goes_by_them() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&autoscaler(1, 9));
        let mark = world.mark();
        world.apply(&replicas(2, 3, "Yield"));
        let told_who = world.says("p", "Conflicted", "True", "FieldManagerConflict").await;
        let message = condition(&told_who, "Conflicted")["message"].as_str().unwrap();
        assert!(message.contains("kubectl-client-side-apply"), "{message}");
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));

        world.apply(&replicas(2, 3, "TakeOver"));
        world.settled("p").await;
        let claimed = world.get("horizontalpodautoscalers", "api").await;
        assert_eq!((&claimed["spec"]["minReplicas"], &claimed["spec"]["maxReplicas"]), (&json!(2), &json!(3)));
        let ours =
            claimed["metadata"]["managedFields"].as_array().unwrap().iter().find(|e| e["manager"] == "trimtab/p");
        let fields = ours.expect("an entry of the policy")["fieldsV1"]["f:spec"].as_object().unwrap().clone();
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["f:maxReplicas", "f:minReplicas"], "{claimed:#}");
        // The real controller takes it from there; it needs no metrics for its bounds.
        world.until("deployments", "api", "the autoscaler starts the second pod", |object| wanted(object) == 2).await;
        world.rolled_out("api");
        world.kubectl(&["scale", "deployment/api", "--replicas=6"]);
        world.until("deployments", "api", "the autoscaler ends the other three", |object| wanted(object) == 3).await;
        world.rolled_out("api");
        world.caught_up().await;
        let writes = mark.changes(&world.namespace);
        assert_eq!(writes.len(), 1, "{}", told(&writes));
        assert_eq!(
            (writes[0].resource.as_str(), writes[0].code),
            ("horizontalpodautoscalers", 200),
            "{}",
            told(&writes)
        );
        assert_no_trace(&world.deployment().await);

        world.delete_policy("p");
        let left =
            world.until("horizontalpodautoscalers", "api", "it is released", |object| traces(object).is_empty()).await;
        assert_eq!((&left["spec"]["minReplicas"], &left["spec"]["maxReplicas"]), (&json!(2), &json!(3)));
    });
}

#[test]
fn without_an_autoscaler_the_number_is_corrected_only_where_it_is_outside() {
    with_world(here!(), async |world| {
        world.apply_server_side(&workload("api", &json!({}), &json!({}))).expect("a new workload");
        world.rolled_out("api");
        let sets = world.replica_sets("api").await;
        let mark = world.mark();
        world.apply(&replicas(2, 3, "Yield"));
        scaled(world, 2).await;
        world.settled("p").await;
        world.kubectl(&["scale", "deployment/api", "--replicas=5"]);
        scaled(world, 3).await;
        let scales = || {
            let writes = mark.changes(&world.namespace);
            let scales = writes.iter().filter(|r| r.resource == "deployments/scale").count();
            assert!(writes.iter().all(|r| r.resource.starts_with("deployments")), "{}", told(&writes));
            assert!(writes.len() <= 2 * scales, "a scale and its release each:\n{}", told(&writes));
            scales
        };
        assert_eq!(scales(), 2);

        // Inside its bounds it is anybody's; and whoever switches the workload off, means it.
        for count in [2, 0] {
            world.kubectl(&["scale", "deployment/api", &format!("--replicas={count}")]);
            world.caught_up().await;
            assert_eq!(wanted(&world.deployment().await), count);
            world.settled("p").await;
        }
        assert_eq!(scales(), 2);
        assert_no_trace(&world.deployment().await);
        assert_eq!(world.replica_sets("api").await, sets, "another number of pods is no rollout");

        // Nothing of ours stands in the way of a manifest with a number, which has the word from then on.
        let mut numbered = workload("api", &json!({}), &json!({}));
        merge(&mut numbered, &json!({"spec": {"replicas": 1}}));
        world.apply_server_side(&numbered).expect("nobody holds the number");
        world.says("p", "Conflicted", "True", "FieldManagerConflict").await;
        world.caught_up().await;
        assert_eq!(wanted(&world.deployment().await), 1);
        assert_eq!(scales(), 2);
    });
}

#[test]
fn a_number_that_is_only_a_default_is_not_its_appliers() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&replicas(2, 3, "Yield"));
        scaled(world, 2).await;
        world.settled("p").await;
    });
}

/// As much of KEDA as owns an autoscaler.
const SCALED_OBJECTS: &str = r#"{
  "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "scaledobjects.keda.sh"},
  "spec": {"group": "keda.sh", "scope": "Namespaced", "names": {"kind": "ScaledObject", "plural": "scaledobjects"},
    "versions": [{"name": "v1alpha1", "served": true, "storage": true,
      "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}"#;

#[test]
fn an_autoscaler_of_keda_and_the_pods_of_a_daemon_set_are_refused() {
    with_world(here!(), async |world| {
        world.cluster.kubectl(&["apply", "-f", "-"], SCALED_OBJECTS);
        world
            .cluster
            .kubectl(&["wait", "crd/scaledobjects.keda.sh", "--for=condition=Established", "--timeout=60s"], "");
        world.run_workload(&workload("api", &json!({}), &json!({})));
        let scaled_object =
            json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "api"}});
        world.apply(&scaled_object);
        let uid = world.kubectl(&["get", "scaledobjects.keda.sh", "api", "--output=jsonpath={.metadata.uid}"]);
        let mut owned = autoscaler(1, 9);
        merge(
            &mut owned,
            &json!({"metadata": {"ownerReferences": [
                {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "api", "uid": uid, "controller": true},
            ]}}),
        );
        world.apply(&owned);

        let mark = world.mark();
        world.apply(&replicas(2, 3, "TakeOver"));
        let said = world.says("p", "Conflicted", "True", "ManagedByAutoscaler").await;
        let message = condition(&said, "Conflicted")["message"].as_str().unwrap();
        assert!(message.contains("ScaledObject \"api\""), "{message}");
        let mut of_daemons = replicas(2, 3, "TakeOver");
        merge(&mut of_daemons, &json!({"metadata": {"name": "q"}, "spec": {"target": {"kind": "DaemonSet"}}}));
        let said = world.try_apply(&of_daemons, &[]).expect_err("a DaemonSet has as many pods as there are nodes");
        assert!(said.contains("a DaemonSet has one pod per node: leave out replicas"), "{said}");
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        assert_eq!(world.get("horizontalpodautoscalers", "api").await["spec"]["minReplicas"], 1);
    });
}

// ---- rollouts of other kinds ----

fn of_kind(kind: &str, spec: &Value) -> Value {
    let mut object = workload("api", &json!({}), &json!({}));
    object["kind"] = kind.into();
    merge(&mut object, &json!({"spec": spec}));
    object
}

fn stateful_set(strategy: &Value) -> Value {
    of_kind("StatefulSet", &json!({"serviceName": "api", "replicas": 2, "updateStrategy": strategy}))
}

fn daemon_set() -> Value {
    of_kind(
        "DaemonSet",
        &json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}}}),
    )
}

fn sized(kind: &str, size: u32) -> Value {
    policy(
        "p",
        &json!({"target": {"kind": kind, "name": "api"},
                "pools": [{"name": "db", "size": {"value": size, "env": "DB_POOL_SIZE"}}]}),
    )
}

/// Whether the policy is at rest while every running pod of `api` has the value.
async fn every_pod_has(world: &World, size: u32) {
    let mut pods = world.list("pods").await;
    pods.retain(|pod| pod["metadata"]["labels"]["app"] == "api" && pod["metadata"]["deletionTimestamp"].is_null());
    assert!(pods.len() > 1, "{pods:#?}");
    for pod in pods {
        let variables = &pod["spec"]["containers"][0]["env"];
        assert_eq!(variables, &json!([{"name": "DB_POOL_SIZE", "value": size.to_string()}]), "{pod:#}");
    }
}

#[test]
fn stateful_sets_and_daemon_sets_roll_out_to_their_last_pod() {
    with_world(here!(), async |world| {
        for (kind, resource, object) in [
            ("StatefulSet", "statefulset/api", stateful_set(&json!({"type": "RollingUpdate"}))),
            ("DaemonSet", "daemonset/api", daemon_set()),
        ] {
            world.apply(&object);
            world.kubectl(&["rollout", "status", resource, "--timeout=90s"]);
            let mark = world.mark();
            world.apply(&sized(kind, 20));
            world.settled("p").await;
            every_pod_has(world, 20).await;
            let writes = mark.changes(&world.namespace);
            assert_eq!(writes.len(), 1, "{kind}: {}", told(&writes));
            world.kubectl(&["delete", "performancepolicy", "p"]);
            let plural = format!("{}s", kind.to_lowercase());
            let left = world.until(&plural, "api", "it is released", |object| traces(object).is_empty()).await;
            assert!(!managers(&left).contains(&"trimtab/p"));
            world.kubectl(&["delete", resource, "--cascade=foreground"]);
        }
    });
}

#[test]
fn a_rollout_that_waits_for_a_person_is_not_called_done() {
    with_world(here!(), async |world| {
        world.apply(&stateful_set(&json!({"type": "OnDelete"})));
        world.kubectl(&["wait", "statefulset/api", "--for=jsonpath={.status.availableReplicas}=2", "--timeout=90s"]);
        world.apply(&sized("StatefulSet", 20));
        world.says("p", "Applied", "False", "AwaitingManualRollout").await;
        let mark = world.mark();
        world.kubectl(&["delete", "pod", "api-0", "api-1"]);
        world.settled("p").await;
        every_pod_has(world, 20).await;

        world.apply(&stateful_set(&json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}})));
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        world.apply(&sized("StatefulSet", 21));
        world.says("p", "Applied", "False", "AwaitingManualRollout").await;
        world.apply(&stateful_set(&json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})));
        world.settled("p").await;
        every_pod_has(world, 21).await;
    });
}
