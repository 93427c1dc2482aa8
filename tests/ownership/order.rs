//! The order of variables, their texts, and quantities: what the server makes of what we write.

use serde_json::{Value, json};
use trimtab::core::ownership::{FieldPath, owned, release};

use super::world::{BASELINE, POLICY, claim, env, limit, live, manifest, manifest_with, variables, with_world};
use crate::here;

#[test]
fn a_claim_of_present_variables_never_changes_their_order() {
    with_world(here!(), async |world| {
        world.client_side(&manifest_with(&[("Z", "z"), ("M", "$(Z)"), ("A", "a")]));
        let seen = world.settled().await;
        let made = world.claim(&variables(&[("A", "a"), ("M", "$(Z)"), ("Z", "z")])).await.unwrap();
        assert_eq!(live(&made), ["Z=z", "M=$(Z)", "A=a"]);
        assert_eq!(world.replica_sets().await, 1);
        assert_eq!(made.meta.generation, seen.meta.generation + 1, "the record counts, the template is the same");
    });
}

/// A body in another order would reorder the live list, and so roll out a template in which no value changed.
#[test]
fn whatever_is_claimed_the_live_order_stays_and_new_variables_follow_something() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({})));
        world.set_managers(&json!([{}])).await;
        let names = ["A", "B", "C", "D", "E", "F", "G"];
        // A fixed sequence of pseudo-random numbers: every run tries the same cases.
        let mut state = 0x2545_F491_u32;
        let mut random = |n: usize| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            usize::try_from(state).unwrap() % n
        };
        for _ in 0..40 {
            let mut pool: Vec<&str> = names.to_vec();
            let mut present: Vec<&str> = Vec::new();
            for _ in 0..random(6) {
                present.push(pool.remove(random(pool.len())));
            }
            let claimed: Vec<(&str, &str)> = names.iter().filter(|_| random(2) == 0).map(|name| (*name, "x")).collect();
            let list: Vec<Value> = present.iter().map(|name| json!({"name": name, "value": "x"})).collect();
            let put = json!([{"op": "add", "path": "/spec/template/spec/containers/0/env", "value": list}]);
            let seen = world.change(|_| Some(put.clone())).await.unwrap();
            let made = loop {
                match world.rehearse(&world.deployment().await, &variables(&claimed)).await {
                    Err(status) if super::world::is_stale(&status) => {}
                    answer => break answer.unwrap(),
                }
            };
            let after = live(&made);
            let kept: Vec<_> = after.iter().filter(|text| live(&seen).contains(text)).cloned().collect();
            assert_eq!(kept, live(&seen), "claimed {claimed:?} over {present:?}: {after:?}");
            assert!(claimed.iter().all(|(name, _)| env(name).lookup(&made.content).is_some()));
        }
    });
}

#[test]
fn owners_may_reorder_their_variables_and_references_are_only_text() {
    with_world(here!(), async |world| {
        world.server_side(&manifest_with(&[("Z", "z"), ("M", "$(Z)")])).unwrap();
        let made = world.claim(&variables(&[("Y", "$(B) $(NOPE)"), ("B", "b")])).await.unwrap();
        assert_eq!(live(&made), ["Z=z", "M=$(Z)", "B=b", "Y=$(B) $(NOPE)"]);
        world.settled().await;
        world.server_side(&manifest_with(&[("M", "$(Z)"), ("Z", "z")])).unwrap();
        let reordered = world.settled().await;
        let again = world.claim(&variables(&[("Y", "$(B) $(NOPE)"), ("B", "b")])).await.unwrap();
        assert_eq!(live(&again), live(&reordered), "we follow");
        assert_eq!(world.replica_sets().await, 3);
    });
}

#[test]
fn an_empty_text_is_owned_though_it_is_not_stored() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({})));
        world.settled().await;
        let blank = variables(&[("B", "")]);
        let made = world.claim(&blank).await.unwrap();
        assert_eq!(made.at("/spec/template/spec/containers/0/env"), Some(&json!([{"name": "B"}])));
        assert!(owned(&made.meta, POLICY).contains(&env("B")));
        assert_eq!(env("B").lookup(&made.content), Some(&json!("")));
        let seen = world.settled().await;
        let again = world.claim(&blank).await.unwrap();
        assert_eq!(again.meta.resource_version, seen.meta.resource_version);
    });
}

#[test]
fn quantities_are_stored_in_canonical_form_and_equal_ones_roll_out_nothing() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({})));
        world.settled().await;
        for (text, stored, revisions) in [
            ("2Gi", "2Gi", 2),
            ("2048Mi", "2Gi", 2),
            ("2147483648", "2147483648", 2),
            ("2.0Gi", "2Gi", 2),
            ("0.5Gi", "512Mi", 3),
            ("512Mi", "512Mi", 3),
        ] {
            let made = world.claim(&claim([(limit("memory"), json!(text))])).await.unwrap();
            assert_eq!(limit("memory").lookup(&made.content), Some(&json!(stored)), "{text}");
            assert_eq!(world.replica_sets().await, revisions, "{text}");
        }
        // Sent again and again, another spelling of the stored value is still not a write.
        let spelled = claim([(limit("memory"), json!("0.5Gi"))]);
        world.claim(&spelled).await.unwrap();
        let seen = world.settled().await;
        let again = world.claim(&spelled).await.unwrap();
        assert_eq!(again.meta.resource_version, seen.meta.resource_version);
    });
}

#[test]
fn a_stamp_is_one_rollout_and_stays_after_the_release() {
    with_world(here!(), async |world| {
        let theirs = manifest(&json!({}));
        world.client_side(&theirs);
        world.settled().await;
        let stamp = FieldPath::of(&["spec", "template", "metadata", "annotations", "trimtab.dev/config.p"]);
        for (revisions, hash) in [(2, "aa"), (3, "bb"), (3, "bb")] {
            world.claim(&claim([(stamp.clone(), json!(hash))])).await.unwrap();
            assert_eq!(world.replica_sets().await, revisions);
        }
        world.change(|seen| release(seen, POLICY, &[BASELINE.0], &[])).await.unwrap();
        world.client_side(&theirs);
        assert_eq!(stamp.lookup(&world.settled().await.content), Some(&json!("bb")));
        world.server_side(&theirs).unwrap();
        assert_eq!(stamp.lookup(&world.settled().await.content), Some(&json!("bb")));
        assert_eq!(world.replica_sets().await, 3);
    });
}
