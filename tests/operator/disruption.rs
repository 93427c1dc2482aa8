//! `PodDisruptionBudget`s: Kubernetes asks them about evictions only, so whoever begins a rollout has to look.

use serde_json::{Value, json};

use crate::{
    audit::told,
    here,
    world::{World, condition, env_of, merge, pool_policy, with_world, workload},
};

/// One pod, which is away while it is replaced.
fn recreated() -> Value {
    let mut api = workload("api", &json!({}), &json!({}));
    merge(&mut api, &json!({"spec": {"strategy": {"type": "Recreate"}}}));
    api
}

/// A budget that wants the one pod to be there always, once its controller has counted it.
async fn protect(world: &World) {
    world.apply(&json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "always"},
        "spec": {"minAvailable": 1, "selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["api"]}]}},
    }));
    let counted = |budget: &Value| {
        let status = &budget["status"];
        status["observedGeneration"] == budget["metadata"]["generation"] && status["currentHealthy"] == 1
    };
    world.until("poddisruptionbudgets", "always", "its pod is counted", counted).await;
}

#[test]
fn a_rollout_that_would_take_the_only_pod_away_waits_until_its_budget_goes_or_the_new_pod_comes_first() {
    with_world(here!(), async |world| {
        world.run_workload(&recreated());
        protect(world).await;
        let mark = world.mark();
        let before = world.pod("api").await;
        world.apply(&pool_policy("p", 20));
        let said = world.says("p", "Ready", "False", "DisruptionNotAllowed").await;
        world.says("p", "Applied", "False", "DisruptionNotAllowed").await;
        let message = condition(&said, "Ready")["message"].as_str().unwrap();
        for part in [
            "PodDisruptionBudget \"always\" allows 0 of 1 pods to be disrupted (1 healthy, 1 have to be)",
            "a rollout of Deployment/api takes pods away",
            "its strategy is Recreate",
            "maxUnavailable: 0, maxSurge: 1",
        ] {
            assert!(message.contains(part), "{message}");
        }
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        assert_eq!(world.pod("api").await, before);
        let plan = world.plan(&pool_policy("p", 20));
        assert!(plan.contains("DisruptionNotAllowed: PodDisruptionBudget \"always\" allows 0 of 1 pods"), "{plan}");

        world.kubectl(&["delete", "poddisruptionbudget", "always"]);
        world.settled("p").await;
        world.says("p", "Ready", "True", "Served").await;
        assert_eq!(env_of(&world.deployment().await, "DB_POOL_SIZE").as_deref(), Some("20"));

        world.rolled_out("api");
        protect(world).await;
        world.apply(&pool_policy("p", 30));
        world.says("p", "Ready", "False", "DisruptionNotAllowed").await;
        let mut surging = recreated();
        let rolling = json!({"maxUnavailable": 0, "maxSurge": 1});
        merge(&mut surging, &json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}));
        world.apply(&surging);
        world.settled("p").await;
        let pod = world.pod("api").await;
        let environment = world.process(&pod, "environ");
        assert!(environment.iter().any(|line| line == "DB_POOL_SIZE=30"), "{environment:?}");
    });
}

impl World {
    /// What `trimtab plan --live` says of a policy.
    fn plan(&self, policy: &Value) -> String {
        let arguments = ["plan", "--live", "-f", "-", "--namespace", &self.namespace];
        let output = self.cluster.run(env!("CARGO_BIN_EXE_trimtab"), &arguments, &policy.to_string());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
