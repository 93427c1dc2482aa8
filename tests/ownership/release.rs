//! Giving fields back.

use std::collections::BTreeMap;

use serde_json::json;
use trimtab::core::{
    facts::{Object, Operation},
    ownership::{
        FieldPath, FieldSet, foreign_entries_of, holders, owned, precondition, release, release_paths, release_updates,
    },
};

use super::world::{
    BASELINE, POLICY, World, causes, claim, container, env, is_stale, limit, live, managers, manifest, manifest_with,
    variables, with_world,
};
use crate::here;

async fn release_all(world: &World<'_>) -> Object {
    world.change(|seen| release(seen, POLICY, &[BASELINE.0], &[])).await.unwrap()
}

fn fields(claim: &trimtab::core::ownership::Claim, annotation: &str) -> FieldSet {
    claim.fields(&BTreeMap::from([(annotation.to_owned(), String::new())]))
}

#[test]
fn the_server_records_exactly_the_claim_and_the_same_claim_again_is_no_write() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({"ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "1"}]})));
        let port = container().field("ports").keys([("containerPort", json!(80)), ("protocol", json!("TCP"))]);
        let claim = claim([
            (env("B"), json!("2")),
            (env("A"), json!("1")),
            (limit("memory"), json!("1Gi")),
            (container().field("args"), json!(["--x"])),
            (port.field("hostPort"), json!(8080)),
            (FieldPath::of(&["spec", "template", "metadata", "annotations", "trimtab.dev/config.p"]), json!("0f")),
            (FieldPath::of(&["spec", "template", "spec", "terminationGracePeriodSeconds"]), json!(30)),
            (
                FieldPath::of(&["spec", "template", "spec", "securityContext", "sysctls"]),
                json!([{"name": "net.ipv4.tcp_syncookies", "value": "1"}]),
            ),
        ]);
        let made = world.claim(&claim).await.unwrap();
        assert_eq!(owned(&made.meta, POLICY), fields(&claim, BASELINE.0));
        for (path, value) in &claim.leaves {
            assert_eq!(path.lookup(&made.content), Some(value), "{path}");
        }
        let seen = world.settled().await;
        let again = world.claim(&claim).await.unwrap();
        assert_eq!(again.meta.resource_version, seen.meta.resource_version);
    });
}

#[test]
fn a_release_leaves_the_value_without_owner_and_without_rollout() {
    with_world(here!(), async |world| {
        let theirs = manifest_with(&[("A", "1")]);
        world.client_side(&theirs);
        world.settled().await;
        let claimed = world.claim(&variables(&[("B", "2")])).await.unwrap();
        assert_eq!(world.replica_sets().await, 2);
        let is_copied = |set: &serde_json::Value| set["metadata"]["annotations"].get(BASELINE.0).is_some();
        assert!(world.replica_set_list().await.iter().any(is_copied), "the record is copied to the ReplicaSet");

        let freed = release_all(&world).await;
        assert!(!managers(&freed).contains(&POLICY), "{:?}", managers(&freed));
        assert!(!freed.meta.annotations.contains_key(BASELINE.0));
        assert_eq!(live(&freed), ["A=1", "B=2"]);
        assert!(holders(&freed.meta, &env("B")).is_empty());
        assert_eq!(freed.meta.generation, claimed.meta.generation + 1, "annotations of a Deployment count");
        assert_eq!(world.replica_sets().await, 2);
        assert_eq!(release(&world.settled().await, POLICY, &[BASELINE.0], &[]), None);

        // The next applies of the owner succeed: nobody's value stays, and may be set.
        world.client_side(&theirs);
        assert_eq!(live(&world.settled().await), ["A=1", "B=2"]);
        world.client_side(&manifest_with(&[("A", "1"), ("B", "3")]));
        assert_eq!(live(&world.settled().await), ["A=1", "B=3"]);
    });
}

#[test]
fn after_a_release_a_server_side_owner_may_set_the_field() {
    with_world(here!(), async |world| {
        world.server_side(&manifest_with(&[("A", "1")])).unwrap();
        world.claim(&variables(&[("B", "2")])).await.unwrap();
        let wanted = manifest_with(&[("A", "1"), ("B", "3")]);
        let refused = world.server_side(&wanted).unwrap_err();
        assert!(refused.contains(&format!("conflict with \"trimtab/p\": {}", env("B"))), "{refused}");
        world.settled().await;
        release_all(&world).await;
        world.server_side(&wanted).unwrap();
        assert_eq!(live(&world.settled().await), ["A=1", "B=3"]);
    });
}

#[test]
fn single_paths_can_be_released_and_the_rest_of_the_claim_goes_on() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({})));
        world.claim(&variables(&[("B", "2"), ("C", "3")])).await.unwrap();
        let revisions = world.replica_sets().await;
        let generation = world.settled().await.meta.generation;
        let freed = world.change(|seen| release_paths(seen, POLICY, &[env("B")])).await.unwrap();
        assert_eq!(owned(&freed.meta, POLICY), fields(&variables(&[("C", "3")]), BASELINE.0));
        assert_eq!(freed.meta.generation, generation, "the list of managers alone does not count");
        let next = world.claim(&variables(&[("C", "4")])).await.unwrap();
        assert_eq!(live(&next), ["B=2", "C=4"]);
        assert_eq!(world.replica_sets().await, revisions + 1);
        // The last field takes the entry with it.
        let freed =
            world.change(|seen| release_paths(seen, POLICY, &[env("C"), FieldPath::of(&["metadata"])])).await.unwrap();
        assert!(!managers(&freed).contains(&POLICY));
    });
}

#[test]
fn two_policies_share_a_container_and_one_leaves_without_harm_to_the_other() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({})));
        let theirs = variables(&[("C", "3")]);
        world.claim(&variables(&[("B", "2")])).await.unwrap();
        world.claim_as("q", &theirs, "{}", "").await.unwrap();
        world.claim(&variables(&[("B", "4")])).await.unwrap();
        let conflict = world.claim_as("r", &variables(&[("C", "5")]), "{}", "").await.unwrap_err();
        let field = env("C").to_string();
        assert_eq!((conflict.code, causes(&conflict)), (409, vec![(field.as_str(), "conflict with \"trimtab/q\"")]));

        world.settled().await;
        let freed = release_all(&world).await;
        assert_eq!(owned(&freed.meta, "trimtab/q"), fields(&theirs, "trimtab.dev/baseline.q"));
        assert_eq!(env("B").lookup(&freed.content), Some(&json!("4")));

        world.claim(&variables(&[("B", "4")])).await.unwrap();
        world.settled().await;
        release_all(&world).await;
        let freed = world.change(|seen| release(seen, "trimtab/q", &["trimtab.dev/baseline.q"], &[])).await.unwrap();
        assert!(!managers(&freed).iter().any(|manager| manager.starts_with("trimtab")), "{:?}", managers(&freed));
        assert!(!freed.meta.annotations.keys().any(|name| name.starts_with("trimtab")));
        assert_eq!(env("C").lookup(&freed.content), Some(&json!("3")));
    });
}

#[test]
fn a_release_of_the_only_entry_leaves_the_fields_to_nobody() {
    with_world(here!(), async |world| {
        world.client_side(&manifest_with(&[("A", "1")]));
        let bare = world.set_managers(&json!([{}])).await;
        assert!(managers(&bare).is_empty());
        let made = world.claim(&variables(&[("B", "2")])).await.unwrap();
        // The first server-side apply gives all that was there to a manager that nobody is.
        assert_eq!(managers(&made), [POLICY, "before-first-apply"]);
        let only: Vec<_> = made.meta.managed.iter().filter(|entry| entry.manager == POLICY).collect();
        assert_eq!(managers(&world.set_managers(&json!(only)).await), [POLICY]);
        let freed = release_all(&world).await;
        assert_eq!(managers(&freed), ["before-first-apply"]);
        // Nobody has to force, not even where the value is another.
        world.server_side_as("flux", &manifest_with(&[("A", "9")])).unwrap();
        assert_eq!(env("A").lookup(&world.settled().await.content), Some(&json!("9")));
    });
}

#[test]
fn a_release_on_a_stale_view_is_refused_and_changes_nothing() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({})));
        let made = world.claim(&variables(&[("B", "2")])).await.unwrap();
        world.kubectl(&["annotate", "deployment", "api", "a=b"]);
        let late = world.patch(&made, &release(&made, POLICY, &[BASELINE.0], &[]).unwrap()).await.unwrap_err();
        assert!(is_stale(&late), "{late:?}");
        assert!(managers(&world.deployment().await).contains(&POLICY));
    });
}

#[test]
fn the_scale_subresource_is_written_and_released() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({})));
        let seen = world.settled().await;
        let scale =
            |seen: &Object| json!([precondition(seen), {"op": "replace", "path": "/spec/replicas", "value": 1}]);
        world.kubectl(&["annotate", "deployment", "api", "a=b"]);
        let late = world.patch_subresource(&seen, "/scale", &scale(&seen)).await.unwrap_err();
        assert!(is_stale(&late), "{late:?}");
        let seen = world.settled().await;
        let answer = world.patch_subresource(&seen, "/scale", &scale(&seen)).await.unwrap();
        assert_eq!((answer["kind"].as_str(), answer["spec"]["replicas"].as_i64()), (Some("Scale"), Some(1)));
        let scaled = world.settled().await;
        let entries = foreign_entries_of(&scaled.meta, POLICY);
        assert_eq!(
            entries.iter().map(|e| (e.operation, e.subresource.as_str())).collect::<Vec<_>>(),
            [(Operation::Update, "scale")]
        );
        let freed = world.change(|seen| release_updates(seen, POLICY, &[])).await.unwrap();
        assert!(!managers(&freed).contains(&POLICY));
        assert!(
            holders(&freed.meta, &FieldPath::of(&["spec", "replicas"])).is_empty(),
            "the manifest's claim is gone too"
        );
        assert_eq!(freed.integer("/spec/replicas"), Some(1));
    });
}
