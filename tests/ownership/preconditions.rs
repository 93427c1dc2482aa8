//! Uid and resource version as preconditions of a server-side apply, and what the server refuses.

use serde_json::json;
use trimtab::core::{facts::Kind, ownership::FieldPath};

use super::world::{
    POLICY, causes, claim, config_map, container, env, is_stale, limit, managers, manifest, manifest_with, variables,
    with_world,
};
use crate::here;

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

#[test]
fn a_stale_view_is_refused_without_causes_and_force_does_not_help() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({})));
        let old = world.settled().await;
        world.kubectl(&["annotate", "deployment", "api", "a=b"]);
        for force in [false, true] {
            let refused = world.apply(&old, &variables(&[("B", "2")]), force).await.unwrap_err();
            assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
            assert!(is_stale(&refused), "{refused:?}");
            assert!(
                refused.message.ends_with("please apply your changes to the latest version and try again"),
                "{refused}"
            );
        }
    });
}

#[test]
fn a_conflict_is_told_before_a_stale_view() {
    with_world(here!(), async |world| {
        world.client_side(&manifest_with(&[("B", "1")]));
        let old = world.settled().await;
        world.kubectl(&["annotate", "deployment", "api", "a=b"]);
        let refused = world.apply(&old, &variables(&[("B", "2")]), false).await.unwrap_err();
        assert_eq!(causes(&refused)[0].0, env("B").to_string());
    });
}

#[test]
fn another_uid_is_invalid_on_a_fresh_view_and_stale_on_an_old_one() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({})));
        world.settled().await;
        for (version, code) in [("newest", 422), ("", 422), ("1", 409)] {
            for force in [false, true] {
                let mut other = world.deployment().await;
                other.meta.uid = NOBODY.into();
                if version != "newest" {
                    other.meta.resource_version = version.into();
                }
                let refused = world.apply(&other, &variables(&[("B", "2")]), force).await.unwrap_err();
                assert_eq!(refused.code, code, "{version:?}: {refused:?}");
                let fields: Vec<_> = causes(&refused).into_iter().map(|(field, _)| field.to_owned()).collect();
                assert_eq!(fields, if code == 422 { vec!["metadata.uid"] } else { vec![] });
            }
        }
    });
}

#[test]
fn a_missing_object_is_never_made_as_long_as_the_body_names_its_uid() {
    with_world(here!(), async |world| {
        world.client_side(&config_map(&json!({"a": "1"})));
        let seen = world.get(Kind::ConfigMap, "config").await;
        world.delete(&seen).await;
        let edit = claim([(FieldPath::of(&["data", "a"]), json!("2"))]);
        for version in [seen.meta.resource_version.as_str(), ""] {
            let mut gone = seen.clone();
            gone.meta.resource_version = version.into();
            let refused = world.apply(&gone, &edit, true).await.unwrap_err();
            assert!(is_stale(&refused), "{refused:?}");
            assert!(
                refused.message.contains("uid mismatch") && refused.message.ends_with("no existing object was found")
            );
        }
        // The resource version alone does not protect: this is why a body always has the uid.
        let mut without = seen.clone();
        without.meta.uid.clear();
        let made = world.apply(&without, &edit, false).await.unwrap();
        assert_ne!(made.meta.uid, seen.meta.uid);
        // The old view against the object of the same name that was made anew.
        let refused = world.apply(&seen, &edit, true).await.unwrap_err();
        assert!(is_stale(&refused), "{refused:?}");
    });
}

#[test]
fn what_does_not_fit_the_type_is_an_internal_error_of_the_server() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({})));
        let seen = world.settled().await;
        for (what, path, value, code, text) in [
            ("a number as variable", env("A"), json!(5), 500, "failed to create typed patch object"),
            ("an unknown field", container().field("nonsense"), json!(5), 500, "field not declared in schema"),
            ("a bad quantity", limit("cpu"), json!("abc"), 500, "quantities must match the regular expression"),
            ("a negative quantity", limit("cpu"), json!("-1"), 422, "must be greater than or equal to 0"),
            (
                "a container that is not there",
                FieldPath::of(&["spec", "template", "spec", "containers"]).key("name", "nobody").field("tty"),
                json!(true),
                422,
                "containers[1].image: Required value",
            ),
        ] {
            let refused = world.rehearse(&seen, &claim([(path, value)])).await.unwrap_err();
            assert_eq!(refused.code, code, "{what}: {refused:?}");
            assert!(refused.message.contains(text), "{what}: {refused:?}");
        }
    });
}

#[test]
fn variables_that_cannot_be_claimed() {
    with_world(here!(), async |world| {
        let source = json!({"fieldRef": {"fieldPath": "metadata.name"}});
        world.client_side(&manifest(&json!({"env": [{"name": "P", "valueFrom": source}]})));
        world.settled().await;
        let refused = world.claim(&variables(&[("P", "1")])).await.unwrap_err();
        assert_eq!((refused.code, causes(&refused)[0].0), (422, "spec.template.spec.containers[0].env[0].valueFrom"));
        assert_eq!(env("P").lookup(&world.deployment().await.content), None);
    });
    // Names that occur twice are one owned item, so the conflict names the item and not its value.
    with_world(here!(), async |world| {
        let twice = manifest_with(&[("D", "1"), ("D", "2")]);
        world.run("kubectl", &["create", "-f", "-"], &twice.to_string()).unwrap();
        world.settled().await;
        let refused = world.claim(&variables(&[("D", "3")])).await.unwrap_err();
        assert_eq!(causes(&refused)[0].0, env("D").parent().unwrap().to_string());
        let beside = world.claim(&variables(&[("E", "3")])).await.unwrap();
        assert_eq!(super::world::live(&beside), ["D=1", "D=2", "E=3"]);
    });
}

#[test]
fn an_empty_claim_takes_what_we_own_alone_with_it() {
    with_world(here!(), async |world| {
        world.client_side(&manifest(&json!({})));
        world.settled().await;
        let rest = claim([(FieldPath::of(&["spec", "minReadySeconds"]), json!(1))]);
        let mut both = rest.clone();
        both.insert(env("B"), "2");
        world.claim(&both).await.unwrap();
        assert_eq!(world.replica_sets().await, 2);
        let made = world.claim(&rest).await.unwrap();
        assert_eq!(made.at("/spec/template/spec/containers/0/env"), None, "the list goes with its last item");
        assert_eq!(world.replica_sets().await, 2, "the template is the first one again");
        let seen = world.settled().await;
        let made = world.apply(&seen, &claim([]), false).await.unwrap();
        assert_eq!(made.at("/spec/minReadySeconds"), None);
        assert!(!managers(&made).contains(&POLICY));
    });
}
