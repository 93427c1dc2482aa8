//! Modes and suspension: who may write when.

use serde_json::{Value, json};

use crate::{
    audit::told,
    here,
    world::{World, env_of, env_var, managers, merge, policy, pool_policy, traces, with_world, workload},
};

fn in_mode(mode: &str, size: u32) -> Value {
    let mut all = pool_policy("p", size);
    merge(&mut all, &json!({"spec": {"mode": mode}}));
    all
}

async fn size(world: &World) -> Option<String> {
    env_of(&world.deployment().await, "DB_POOL_SIZE")
}

#[test]
fn observe_and_recommend_write_nothing() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &env_var("OTHER", "1"), &json!({})));
        let before = world.deployment().await;
        let mark = world.mark();
        world.apply(&in_mode("Observe", 20));
        let observed = world.says("p", "Applied", "False", "ObserveOnly").await;
        assert!(observed["status"]["plan"].is_null(), "{observed:#}");

        world.apply(&in_mode("Recommend", 20));
        let recommended = world.says("p", "Applied", "False", "RecommendOnly").await;
        let plan = &recommended["status"]["plan"];
        assert_eq!(plan.as_array().map(Vec::len), Some(1), "{recommended:#}");
        assert_eq!(plan[0]["object"], "Deployment/api");
        assert_eq!((&plan[0]["path"], &plan[0]["to"]), (&json!("pools.db.size"), &json!("20")));
        assert!(plan[0]["from"].is_null(), "{plan}");

        // Recommend is also what a policy without a mode means.
        world.kubectl(&["patch", "performancepolicy", "p", "--type=merge", "--patch={\"spec\":{\"mode\":null}}"]);
        world.says("p", "Applied", "False", "RecommendOnly").await;
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        assert_eq!(world.deployment().await["metadata"], before["metadata"]);
    });
}

#[test]
fn leaving_enforce_releases_the_fields_and_keeps_the_values() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&in_mode("Enforce", 20));
        world.settled("p").await;
        let sets = world.replica_sets("api").await;
        for mode in ["Recommend", "Observe"] {
            world.apply(&in_mode(mode, 20));
            let left = world.until("deployments", "api", "it is released", |object| traces(object).is_empty()).await;
            assert_eq!(env_of(&left, "DB_POOL_SIZE").as_deref(), Some("20"));
            world.apply(&in_mode("Enforce", 20));
            world.settled("p").await;
        }
        assert_eq!(world.replica_sets("api").await, sets, "taking and releasing restarts nothing");
    });
}

#[test]
fn suspension_freezes_what_is_held_until_it_ends() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&in_mode("Enforce", 20));
        world.settled("p").await;

        // By the manifest ...
        let mark = world.mark();
        let mut suspended = in_mode("Enforce", 21);
        merge(&mut suspended, &json!({"spec": {"suspend": true}}));
        world.apply(&suspended);
        world.says("p", "Applied", "False", "Suspended").await;
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        assert_eq!(size(world).await.as_deref(), Some("20"));
        assert!(managers(&world.deployment().await).contains(&"trimtab/p"), "what is held stays held");
        world.apply(&in_mode("Enforce", 21));
        world.settled("p").await;
        assert_eq!(size(world).await.as_deref(), Some("21"));

        // ... and by whoever is on call, without touching it.
        world.trimtab(&["suspend", "p", "--reason", "incident 7"]);
        let mark = world.mark();
        world.apply(&in_mode("Enforce", 22));
        let told_why = world.says("p", "Applied", "False", "Suspended").await;
        assert!(told_why.to_string().contains("incident 7"), "{told_why:#}");
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        world.trimtab(&["resume", "p"]);
        world.settled("p").await;
        assert_eq!(size(world).await.as_deref(), Some("22"));
    });
}

#[test]
fn a_knob_that_leaves_the_policy_keeps_its_value_without_an_owner() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        let both = json!({"pools": [{"name": "db", "size": {"value": 20, "env": "DB_POOL_SIZE"},
                                     "overflow": {"value": 5, "env": "DB_OVERFLOW"}}]});
        world.apply(&policy("p", &both));
        world.settled("p").await;
        let sets = world.replica_sets("api").await;
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        let owned = |object: &Value| {
            let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
            entries
                .iter()
                .filter(|entry| entry["manager"] == "trimtab/p")
                .any(|e| e.to_string().contains("DB_OVERFLOW"))
        };
        let left = world.until("deployments", "api", "the knob is released", |object| !owned(object)).await;
        assert_eq!(env_of(&left, "DB_OVERFLOW").as_deref(), Some("5"));
        assert_eq!(world.replica_sets("api").await, sets);
    });
}
