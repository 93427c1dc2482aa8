//! Edits of documents in `ConfigMap`s.

use serde_json::{Value, json};
use trimtab::core::{
    facts::{Kind, Object},
    ownership::{FieldPath, FieldSet, foreign_entries_of, owners_of, precondition, release_updates},
};

use super::world::{POLICY, World, config_map, is_stale, managers, with_cluster, with_world};
use crate::here;

async fn config(world: &World<'_>) -> Object {
    world.get(Kind::ConfigMap, "config").await
}

fn edit(seen: &Object, text: &str) -> Value {
    json!([
        precondition(seen),
        {"op": "replace", "path": "/data/config.yaml", "value": text},
    ])
}

#[test]
fn an_edit_and_its_release_leave_the_owners_next_apply_free() {
    let document = |text: &str| config_map(&json!({"config.yaml": text, "other": "x"}));
    let keys: FieldSet = [FieldPath::of(&["data", "config.yaml"])].into_iter().collect();
    with_cluster(here!(), async |cluster| {
        for server_side in [false, true] {
            let world = World::new(&cluster).await;
            world.apply_as_owner(server_side, &document("a: 1\n")).unwrap();
            let before = config(&world).await;
            let seen = config(&world).await;
            let edited = world.patch(&seen, &edit(&seen, "a: 2\n")).await.unwrap();
            assert_eq!(foreign_entries_of(&edited.meta, POLICY).len(), 1);
            // Until the release a server-side owner is locked out; a client-side one takes the key back.
            let blocked = world.apply_as_owner(server_side, &document("a: 3\n"));
            assert_eq!(blocked.is_err(), server_side);
            if server_side {
                let owners = owners_of(&before, POLICY, &keys);
                let freed = world.patch(&edited, &release_updates(&edited, POLICY, &owners).unwrap()).await.unwrap();
                assert_eq!(freed.text("/data/config.yaml"), Some("a: 2\n"));
                world.apply_as_owner(server_side, &document("a: 3\n")).unwrap();
            }
            let after = config(&world).await;
            assert_eq!(after.text("/data/config.yaml"), Some("a: 3\n"));
            assert!(!managers(&after).contains(&POLICY));
        }
    });
}

#[test]
fn an_owner_of_nothing_else_gets_its_key_back_and_may_keep_change_and_remove_it() {
    let document = |data: &Value| config_map(data);
    let keys: FieldSet = [FieldPath::of(&["data", "config.yaml"])].into_iter().collect();
    with_cluster(here!(), async |cluster| {
        for next in [json!({"config.yaml": "a: 1\n"}), json!({"config.yaml": "a: 3\n"}), json!({"new": "x"})] {
            let world = World::new(&cluster).await;
            world.server_side(&document(&json!({"config.yaml": "a: 1\n"}))).unwrap();
            let seen = config(&world).await;
            let edited = world.patch(&seen, &edit(&seen, "a: 2\n")).await.unwrap();
            assert_eq!(managers(&edited), [POLICY], "the owner's entry is gone");
            let owners = owners_of(&seen, POLICY, &keys);
            let freed = world.patch(&edited, &release_updates(&edited, POLICY, &owners).unwrap()).await.unwrap();
            assert_eq!(freed.text("/data/config.yaml"), Some("a: 2\n"));
            assert_eq!(owners_of(&freed, POLICY, &keys), owners);
            // Whoever else applies meets the owner, as before the edit.
            world.server_side_as("flux", &document(&json!({"config.yaml": "a: 4\n"}))).unwrap_err();
            world.server_side(&document(&next)).unwrap();
            assert_eq!(config(&world).await.content["data"], next);
        }
    });
}

/// Why an edit takes two calls: the server enters the editor after the patch has replaced the list.
#[test]
fn an_edit_cannot_release_itself() {
    with_world(here!(), async |world| {
        world.server_side(&config_map(&json!({"config.yaml": "a: 1\n", "other": "x"}))).unwrap();
        let seen = config(&world).await;
        let mut patch = edit(&seen, "a: 2\n");
        let list = json!({"op": "replace", "path": "/metadata/managedFields", "value": seen.meta.managed});
        patch.as_array_mut().unwrap().push(list);
        let edited = world.patch(&seen, &patch).await.unwrap();
        assert_eq!(managers(&edited), ["kubectl", POLICY]);
    });
}

#[test]
fn edits_that_are_refused_and_edits_that_are_none() {
    with_world(here!(), async |world| {
        world.client_side(&config_map(&json!({"config.yaml": "a: 1\n"})));
        let old = config(&world).await;
        world.client_side(&config_map(&json!({"config.yaml": "a: 5\n"})));
        let stale = world.patch(&old, &edit(&old, "a: 2\n")).await.unwrap_err();
        assert!(is_stale(&stale), "{stale:?}");

        let seen = config(&world).await;
        let same = world.patch(&seen, &edit(&seen, "a: 5\n")).await.unwrap();
        assert_eq!(same.meta.resource_version, seen.meta.resource_version, "the same bytes are no write");
        assert!(!managers(&same).contains(&POLICY));

        // The server's `replace` makes what is not there: only our own look tells that a key is absent.
        let absent = json!([{"op": "replace", "path": "/data/absent", "value": "x"}]);
        let made = world.patch(&seen, &absent).await.unwrap();
        assert_eq!(made.text("/data/absent"), Some("x"));

        world.kubectl(&["patch", "configmap", "config", "-p", r#"{"immutable":true}"#]);
        let seen = config(&world).await;
        let refused = world.patch(&seen, &edit(&seen, "a: 2\n")).await.unwrap_err();
        assert_eq!(refused.code, 422);
        assert!(refused.message.contains("field is immutable when `immutable` is set"), "{refused:?}");
        // A release of what was edited before still works.
        let freed = world.patch(&seen, &release_updates(&seen, POLICY, &[]).unwrap()).await.unwrap();
        assert!(!managers(&freed).contains(&POLICY));

        world.delete(&freed).await;
        let gone = world.patch(&freed, &edit(&freed, "a: 2\n")).await.unwrap_err();
        assert_eq!(gone.code, 404);
    });
}
