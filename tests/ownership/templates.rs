//! `kubectl rollout`: what going back does to fields and records.

use serde_json::json;
use trimtab::core::ownership::{holders, owned, release};

use super::world::{BASELINE, POLICY, env, live, managers, manifest, manifest_with, owns, variables, with_world};
use crate::here;

#[test]
fn rollout_undo_brings_back_values_and_records_under_kubectls_name() {
    with_world(here!(), async |world| {
        world.client_side(&manifest_with(&[("A", "1")]));
        world.settled().await;
        world.claim_as("p", &variables(&[("B", "2")]), "first", "").await.unwrap();
        world.settled().await;
        world.claim_as("p", &variables(&[("B", "3")]), "second", "").await.unwrap();
        let before = world.settled().await;

        world.kubectl(&["rollout", "undo", "deployment/api"]);
        let undone = world.settled().await;
        assert_eq!(undone.meta.generation, before.meta.generation + 1);
        assert_eq!(live(&undone), ["A=1", "B=2"]);
        assert_eq!(undone.meta.annotations.get(BASELINE.0).map(String::as_str), Some("first"));
        // Value and record are kubectl's now; a person's, who does not come back. What is left to us is the bare item.
        let holder = holders(&undone.meta, &env("B")).remove(0);
        assert_eq!((holder.manager.as_str(), holder.is_applier()), ("kubectl", false));
        assert!(!owns(&undone, "B"));
        assert!(managers(&undone).contains(&POLICY));

        // To the time before us: value, item and record are gone, and no trace says that a person did it.
        world.kubectl(&["rollout", "undo", "deployment/api", "--to-revision=1"]);
        let first = world.settled().await;
        assert_eq!(live(&first), ["A=1"]);
        assert!(!first.meta.annotations.contains_key(BASELINE.0));
        assert!(holders(&first.meta, &env("B")).is_empty());
        assert!(
            managers(&first).contains(&POLICY) && owned(&first.meta, POLICY).is_bare(),
            "the container's identity stays ours"
        );
        let next = world.claim(&variables(&[("B", "3")])).await.unwrap();
        assert_eq!(live(&next), ["A=1", "B=3"], "nothing but our own restraint keeps us from applying again");
    });
}

#[test]
fn rollout_undo_after_a_release_brings_back_the_record_of_a_policy_that_is_gone() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({})));
        world.settled().await;
        world.claim(&variables(&[("B", "2")])).await.unwrap();
        world.settled().await;
        world.kubectl(&["set", "env", "deployment/api", "Z=1"]);
        world.settled().await;
        world.change(|seen| release(seen, POLICY, &[BASELINE.0], &[])).await.unwrap();
        let freed = world.settled().await;
        assert!(!freed.meta.annotations.contains_key(BASELINE.0));
        world.kubectl(&["rollout", "undo", "deployment/api"]);
        let undone = world.settled().await;
        assert_eq!(undone.meta.annotations.get(BASELINE.0).map(String::as_str), Some(BASELINE.1));
        assert!(!managers(&undone).contains(&POLICY));
        let cleaned = world.change(|seen| release(seen, POLICY, &[BASELINE.0], &[])).await.unwrap();
        assert!(!cleaned.meta.annotations.contains_key(BASELINE.0));
        assert_eq!(live(&cleaned), ["B=2"]);
    });
}

#[test]
fn rollout_restart_leaves_our_claim_alone() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({})));
        world.settled().await;
        world.claim(&variables(&[("B", "2")])).await.unwrap();
        world.settled().await;
        world.kubectl(&["rollout", "restart", "deployment/api"]);
        let restarted = world.settled().await;
        assert!(owns(&restarted, "B"));
        let again = world.claim(&variables(&[("B", "2")])).await.unwrap();
        assert_eq!(again.meta.resource_version, world.deployment().await.meta.resource_version);
        assert_eq!(world.replica_sets().await, 3);
    });
}
