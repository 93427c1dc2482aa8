//! Connection budgets: Grace as its guide writes it is refused with the sum, and served behind a pooler.

use serde_json::{Value, json};

use crate::{
    here,
    world::{assert_no_trace, condition, env_of, merge, policy, with_world, workload},
};

/// (20 + 10) connections in each of four processes.
fn grace(size: u32) -> Value {
    policy(
        "grace",
        &json!({
            "workers": [{"name": "web", "count": {"value": 4, "env": "WEB_CONCURRENCY"}}],
            "pools": [{"name": "db", "perWorker": "web", "budget": "grace-postgres",
                "size": {"value": size, "env": "DB_POOL_SIZE"}, "overflow": {"value": 10, "env": "DB_MAX_OVERFLOW"}}],
        }),
    )
}

fn budget(further: &Value) -> Value {
    let mut spec = json!({"capacity": {"connections": 100}, "others": [{"name": "reporting", "connections": 10}]});
    merge(&mut spec, further);
    json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "ConnectionBudget", "metadata": {"name": "grace-postgres"}, "spec": spec})
}

#[test]
fn grace_as_written_is_refused_with_the_sum_and_served_behind_a_pooler() {
    with_world(here!(), async |world| {
        let mut three = workload("api", &json!({}), &json!({}));
        three["spec"]["replicas"] = json!(3);
        world.run_workload(&three);
        let before = world.deployment().await;
        world.apply(&grace(20));
        let waits = world.says("grace", "Ready", "False", "BudgetNotFound").await;
        assert!(condition(&waits, "Stalled").is_null(), "{waits:#}");
        world.apply(&budget(&json!({})));
        let refused = world.says("grace", "Ready", "False", "BudgetExceeded").await;
        let sum = "(20 + 10) connections × 4 web processes × (3 pods + 1 surge + 3 terminating) = 840, above the 78 that budget \
                   \"grace-postgres\" has (100 − 3 reserved − 10 reporting, less 10% headroom)";
        let said = condition(&refused, "Ready")["message"].as_str().unwrap();
        assert!(said.contains(sum), "{said}");
        let after = world.deployment().await;
        assert_no_trace(&after);
        assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"], "nothing was written");

        world.apply(&budget(&json!({"pooler": {"mode": "Transaction", "clients": 1000, "servers": 60}})));
        world.settled("grace").await;
        let ledger = world
            .until("connectionbudgets", "grace-postgres", "the budget says what is committed", |object| {
                object["status"]["committed"] == 840 && condition(object, "Ready")["status"] == "True"
            })
            .await;
        assert_eq!((&ledger["status"]["usable"], &ledger["status"]["free"]), (&json!(1000), &json!(160)));
        assert_eq!(ledger["status"]["allocations"][0]["granted"], 840, "{ledger:#}");
        let mut pods = world.list("pods").await;
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        assert_eq!(pods.len(), 3, "{pods:#?}");
        for pod in &pods {
            let environ = world.process(pod["metadata"]["name"].as_str().unwrap(), "environ");
            for variable in ["WEB_CONCURRENCY=4", "DB_POOL_SIZE=20", "DB_MAX_OVERFLOW=10"] {
                assert!(environ.iter().any(|line| line == variable), "{variable} is not in {environ:?}");
            }
        }
        // Somebody takes the pooler away again: what runs stays, and nothing grows.
        world.apply(&budget(&json!({"pooler": null})));
        world
            .until("connectionbudgets", "grace-postgres", "the budget is exceeded", |object| {
                condition(object, "Overcommitted")["status"] == "True"
            })
            .await;
        world.apply(&grace(21));
        world.says("grace", "Ready", "False", "BudgetExceeded").await;
        assert_eq!(env_of(&world.deployment().await, "DB_POOL_SIZE").as_deref(), Some("20"));
    });
}
