//! Several policies on one workload.

use serde_json::json;

use crate::{
    here,
    world::{condition, env_of, managers, policy, pool_policy, with_world, workload},
};

#[test]
fn two_policies_on_different_knobs_live_side_by_side() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        let workers = |count: u32| {
            policy("q", &json!({"workers": [{"name": "web", "count": {"value": count, "env": "WEB_CONCURRENCY"}}]}))
        };
        world.apply(&pool_policy("p", 20));
        world.apply(&workers(4));
        world.settled("p").await;
        world.settled("q").await;
        world.apply(&workers(6));
        world.settled("q").await;
        world.settled("p").await;
        let both = world.deployment().await;
        assert_eq!(env_of(&both, "DB_POOL_SIZE").as_deref(), Some("20"));
        assert_eq!(env_of(&both, "WEB_CONCURRENCY").as_deref(), Some("6"));
        for manager in ["trimtab/p", "trimtab/q"] {
            assert!(managers(&both).contains(&manager), "{both:#}");
        }
        world.delete_policy("p");
        let one =
            world.until("deployments", "api", "p has gone", |object| !managers(object).contains(&"trimtab/p")).await;
        assert_eq!(env_of(&one, "DB_POOL_SIZE").as_deref(), Some("20"));
        assert!(managers(&one).contains(&"trimtab/q"), "{one:#}");
        assert!(condition(&world.settled("q").await, "Conflicted").is_null());
    });
}

#[test]
fn of_two_policies_on_one_knob_the_older_wins_and_the_other_says_so() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        let sets = world.replica_sets("api").await;
        world.apply(&pool_policy("q", 30));
        let younger = world.says("q", "Conflicted", "True", "KnobOwnedBy").await;
        let message = condition(&younger, "Conflicted")["message"].as_str().unwrap();
        assert!(message.contains("\"p\"") && message.contains("DB_POOL_SIZE"), "{message}");
        world.settled("p").await;
        assert_eq!(world.replica_sets("api").await, sets);
        assert_eq!(env_of(&world.deployment().await, "DB_POOL_SIZE").as_deref(), Some("20"));

        // The heir takes over by itself.
        world.delete_policy("p");
        world.settled("q").await;
        let heir = world.deployment().await;
        assert_eq!(env_of(&heir, "DB_POOL_SIZE").as_deref(), Some("30"));
        assert!(!managers(&heir).contains(&"trimtab/p"), "{heir:#}");
    });
}
