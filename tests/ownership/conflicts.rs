//! The prediction of conflicts against the API server's own answer.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use trimtab::core::{
    facts::Kind,
    ownership::{Claim, FieldPath, Holder, predict},
};

use super::world::{
    POLICY, World, causes, claim, config_map, container, env, is_stale, limit, manifest, manifest_with, spec,
    variables, with_cluster, with_world,
};
use crate::here;

/// Claims, and compares what we predict with what the server says. Gives the holders as `manager operation subresource`.
async fn holders(world: &World<'_>, what: &str, kind: Kind, name: &str, claim: &Claim) -> Vec<String> {
    let (seen, answer) = loop {
        let seen = world.get(kind, name).await;
        match world.apply(&seen, claim, false).await {
            Err(status) if is_stale(&status) => {}
            answer => break (seen, answer),
        }
    };
    let predicted: BTreeSet<_> = predict(&seen, POLICY, claim)
        .into_iter()
        .flat_map(|conflict| conflict.holders.into_iter().map(move |holder| (conflict.path.clone(), holder)))
        .collect();
    let answered: BTreeSet<_> = match &answer {
        Ok(_) => BTreeSet::new(),
        Err(status) => {
            assert_eq!(status.code, 409, "{what}: {status:?}");
            let read = |(field, message)| (FieldPath::parse(field).unwrap(), Holder::from_cause(message).unwrap());
            causes(status).into_iter().map(read).collect()
        }
    };
    assert_eq!(predicted, answered, "{what}");
    let text = |(_, h): (_, Holder)| format!("{} {:?} {}", h.manager, h.operation, h.subresource).trim_end().to_owned();
    answered.into_iter().map(text).collect()
}

async fn on_deployment(world: &World<'_>, what: &str, claim: &Claim) -> Vec<String> {
    holders(world, what, Kind::Deployment, "api", claim).await
}

/// Every kind of field that a manifest sets, applied server-side by `manager` or, without one, client-side.
fn check_table(test: &'static str, manager: Option<&str>, holder: &str) {
    let theirs = manifest(&json!({"env": [{"name": "A", "value": "1"}], "args": ["--x"],
        "resources": {"limits": {"memory": "2Gi", "cpu": 2}}, "ports": [{"containerPort": 80, "hostPort": 80}]}));
    let port =
        container().field("ports").keys([("containerPort", json!(80)), ("protocol", json!("TCP"))]).field("hostPort");
    with_cluster(test, async |cluster| {
        for (path, same, others) in [
            (env("A"), json!("1"), vec![json!("2"), json!("")]),
            (limit("memory"), json!("2Gi"), vec![json!("2048Mi"), json!("3Gi")]),
            // The manifest's number 2 is stored as the text "2"; the merge knows no quantities.
            (limit("cpu"), json!("2"), vec![json!("2000m"), json!(2)]),
            (container().field("args"), json!(["--x"]), vec![json!(["--x", "1"]), json!([])]),
            (port.clone(), json!(80), vec![json!(81)]),
            (spec("replicas"), json!(0), vec![json!(1)]),
        ] {
            let world = World::new(&cluster).await;
            match manager {
                Some(manager) => drop(world.server_side_as(manager, &theirs).unwrap()),
                None => world.client_side(&theirs),
            }
            for value in others {
                let what = format!("{holder}: {value} at {path}");
                assert_eq!(on_deployment(&world, &what, &claim([(path.clone(), value)])).await, [holder], "{what}");
            }
            let what = format!("{holder}: the same at {path}");
            assert_eq!(on_deployment(&world, &what, &claim([(path, same)])).await, [""; 0], "{what}");
        }
    });
}

#[test]
fn client_side_apply_holds_what_it_set() {
    check_table(here!(), None, "kubectl-client-side-apply Update");
}

#[test]
fn server_side_apply_holds_what_it_set() {
    check_table(here!(), Some("kubectl"), "kubectl Apply");
}

#[test]
fn another_policy_holds_what_it_set() {
    check_table(here!(), Some("trimtab/q"), "trimtab/q Apply");
}

#[test]
fn defaults_are_held_by_updates_and_not_by_applies() {
    let grace = claim([(FieldPath::of(&["spec", "template", "spec", "terminationGracePeriodSeconds"]), json!(60))]);
    with_cluster(here!(), async |cluster| {
        let world = World::new(&cluster).await;
        world.client_side(&manifest(&json!({})));
        assert_eq!(on_deployment(&world, "default", &grace).await, ["kubectl-client-side-apply Update"]);
        // `resources: {}` is such a default; what is set below it is free.
        assert_eq!(on_deployment(&world, "below a default", &claim([(limit("memory"), json!("1Gi"))])).await, [""; 0]);
        let world = World::new(&cluster).await;
        world.server_side(&manifest(&json!({}))).unwrap();
        assert_eq!(on_deployment(&world, "default", &grace).await, [""; 0]);
    });
}

#[test]
fn people_hold_what_they_typed() {
    let patch = r#"{"spec":{"minReadySeconds":1}}"#;
    let rows: [(&[&str], FieldPath, Value, &str, bool); 4] = [
        (&["set", "env", "deployment/api", "A=7"], env("A"), json!("8"), "kubectl-set Update", false),
        (
            &["set", "resources", "deployment/api", "--limits=memory=3Gi"],
            limit("memory"),
            json!("4Gi"),
            "kubectl-set Update",
            false,
        ),
        (&["scale", "deployment/api", "--replicas=1"], spec("replicas"), json!(2), "kubectl Update scale", false),
        (
            &["patch", "deployment", "api", "--type=merge", "-p", patch],
            spec("minReadySeconds"),
            json!(2),
            "kubectl-patch Update",
            false,
        ),
    ];
    with_cluster(here!(), async |cluster| {
        for (arguments, path, value, holder, comes_back) in rows {
            let world = World::new(&cluster).await;
            world.client_side(&manifest(
                &json!({"env": [{"name": "A", "value": "1"}], "resources": {"limits": {"memory": "2Gi"}}}),
            ));
            world.kubectl(arguments);
            let claim = claim([(path, value)]);
            assert_eq!(on_deployment(&world, arguments[0], &claim).await, [holder]);
            let predicted = predict(&world.deployment().await, POLICY, &claim);
            assert_eq!(predicted[0].holders[0].is_applier(), comes_back, "{arguments:?}");
        }
    });
}

#[test]
fn every_holder_is_named_and_our_own_patches_are_among_them() {
    with_world(here!(), async |world| {
        let theirs = manifest_with(&[("A", "1")]);
        world.server_side(&theirs).unwrap();
        world.server_side_as("pipeline", &theirs).unwrap();
        let mut claim = variables(&[("A", "2"), ("B", "1")]);
        claim.insert(spec("replicas"), 3);
        let both = ["kubectl Apply", "pipeline Apply"];
        assert_eq!(on_deployment(&world, "several", &claim).await, [both, both].concat());
        let patch = json!([{"op": "add", "path": "/spec/minReadySeconds", "value": 5}]);
        world.change(|_| Some(patch.clone())).await.unwrap();
        let claim = super::world::claim([(spec("minReadySeconds"), json!(6))]);
        assert_eq!(on_deployment(&world, "ourselves", &claim).await, ["trimtab/p Update"]);
    });
}

#[test]
fn an_object_without_managers_is_held_by_what_came_before() {
    with_world(here!(), async |world| {
        world.client_side(&manifest_with(&[("A", "1")]));
        world.set_managers(&json!([{}])).await;
        let claim = variables(&[("A", "2"), ("B", "2")]);
        assert_eq!(on_deployment(&world, "no managers", &claim).await, ["before-first-apply Update"]);
        assert_eq!(on_deployment(&world, "no managers, same", &variables(&[("A", "1")])).await, [""; 0]);
    });
}

#[test]
fn autoscalers_of_either_version() {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"});
    let autoscaler = |version: &str| {
        json!({"apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler", "metadata": {"name": "api"},
            "spec": {"minReplicas": 2, "maxReplicas": 5, "scaleTargetRef": target}})
    };
    let bounds = claim([(spec("minReplicas"), json!(3)), (spec("maxReplicas"), json!(5))]);
    with_cluster(here!(), async |cluster| {
        for version in ["v1", "v2"] {
            for (server_side, holder) in [(false, "kubectl-client-side-apply Update"), (true, "kubectl Apply")] {
                let world = World::new(&cluster).await;
                world.apply_as_owner(server_side, &autoscaler(version)).unwrap();
                assert_eq!(holders(&world, version, Kind::HorizontalPodAutoscaler, "api", &bounds).await, [holder]);
            }
        }
    });
}

#[test]
fn keys_of_a_config_map() {
    let data = |key: &str| FieldPath::of(&["data", key]);
    with_world(here!(), async |world| {
        world.client_side(&config_map(&json!({"config.yaml": "a: 1\n", "plain": "x"})));
        let other = claim([(data("config.yaml"), json!("a: 2\n")), (data("other.key"), json!("1"))]);
        assert_eq!(
            holders(&world, "data", Kind::ConfigMap, "config", &other).await,
            ["kubectl-client-side-apply Update"]
        );
        let same = claim([(data("config.yaml"), json!("a: 1\n")), (data("other.key"), json!("1"))]);
        assert_eq!(holders(&world, "data", Kind::ConfigMap, "config", &same).await, [""; 0]);
    });
}
