//! What the engine does with single inputs, where a whole simulation would hide it.

mod bench;

use serde_json::{Value, json};

use super::*;
use crate::{
    api::{PerformancePolicy, conditions::ConditionType},
    core::{facts::Seen, report},
};

const NOW: Instant = Instant::from_millis(1_763_700_000_000);

fn policy(generation: i64) -> PerformancePolicy {
    let knob = json!({"name": "limit", "value": 50, "path": {"file": "config", "at": "/limit"}});
    let file = json!({"name": "config", "configMap": "config", "key": "config.yaml", "format": "YAML"});
    serde_json::from_value(json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": "p", "namespace": "shop", "uid": "u-p", "resourceVersion": "5", "generation": generation},
        "spec": {"target": {"kind": "Deployment", "name": "web"}, "files": [file], "settings": [knob]}}))
    .unwrap()
}

fn deployment() -> Seen {
    let text = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u-1", "resourceVersion": "41", "generation": 1},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "api"}]}}},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}});
    Seen::from_json(Kind::Deployment, &text.to_string()).unwrap()
}

/// The `ConfigMap` as its watch shows it, or as a GET does.
fn config(data: Option<&str>) -> Seen {
    let mut text = json!({"metadata": {"name": "config", "namespace": "shop", "uid": "u-2", "resourceVersion": "42"}});
    if let Some(data) = data {
        text["data"] = json!({"config.yaml": data});
    }
    Seen::from_json(Kind::ConfigMap, &text.to_string()).unwrap()
}

fn lists() -> Vec<Input> {
    let names = |name: &str| Listing { names: [("shop".into(), name.into())].into() };
    let object = |seen: Seen| Input::Object(Change::Applied(Box::new(seen)));
    let mut inputs = vec![
        Input::Listed(Stream::Policies, names("p")),
        Input::Listed(Stream::Classes, Listing::default()),
        Input::Listed(Stream::Sources, Listing::default()),
        Input::Listed(Stream::Budgets, Listing::default()),
        Input::Listed(Stream::Disruptions, Listing::default()),
        object(deployment()),
        object(config(None)),
    ];
    for kind in Kind::ALL {
        let listing = match kind {
            Kind::Deployment => names("web"),
            Kind::ConfigMap => names("config"),
            _ => Listing::default(),
        };
        inputs.push(Input::Listed(Stream::Objects(kind), listing));
    }
    inputs
}

fn tell(world: &mut World, inputs: Vec<Input>, now: Instant) -> Vec<Effect> {
    inputs.into_iter().flat_map(|input| step(world, input, now)).collect()
}

fn started(first: Input) -> (World, Vec<Effect>) {
    let mut world = World::new(Config::default());
    let mut inputs = vec![first];
    inputs.extend(lists());
    inputs.push(Input::Leadership(true));
    let effects = tell(&mut world, inputs, NOW);
    (world, effects)
}

fn reads(effects: &[Effect]) -> Vec<EffectId> {
    effects.iter().filter(|effect| matches!(effect.action, Action::Get(_))).map(|effect| effect.id).collect()
}

/// Truth and reason of a condition in the last status that was written.
#[track_caller]
fn said(effects: &[Effect], kind: ConditionType) -> (String, String) {
    let status = effects.iter().rev().find_map(|effect| match &effect.action {
        Action::Status { status, .. } => Some(status),
        _ => None,
    });
    let condition = report::find(&status.expect("a status").conditions, kind).expect("the condition");
    (condition.status.clone(), condition.reason.clone())
}

fn seconds(n: i64) -> Instant {
    NOW + Span::seconds(n)
}

#[test]
fn a_policy_is_served_only_once_everything_that_it_names_was_read() {
    let (mut world, effects) = started(Input::Policy(Change::Applied(Box::new(policy(1)))));
    let [read] = reads(&effects)[..] else { panic!("one read: {effects:?}") };
    let effects = tell(&mut world, vec![Input::Tick], seconds(3));
    let unknown = ("Unknown".to_owned(), "Unknown".to_owned());
    assert_eq!(said(&effects, ConditionType::Ready), unknown);
    assert_eq!(said(&effects, ConditionType::Applied), unknown);
    assert_eq!(said(&effects, ConditionType::Reconciling).0, "True");
    let status = effects.iter().find(|effect| matches!(effect.action, Action::Status { .. })).unwrap().id;

    let answer = Outcome::Object(Box::new(config(Some("limit: 10\n"))));
    let inputs = vec![Input::Done(status, Outcome::Accepted), Input::Done(read, answer)];
    tell(&mut world, inputs, seconds(3));
    let effects = tell(&mut world, vec![Input::Tick], seconds(9));
    assert_eq!(said(&effects, ConditionType::Ready), ("True".to_owned(), "Served".to_owned()));
    assert_eq!(said(&effects, ConditionType::Applied).1, "RecommendOnly");
}

#[test]
fn what_was_said_holds_after_a_restart_while_everything_is_read_unless_that_fails() {
    let (mut world, effects) = started(Input::Policy(Change::Applied(Box::new(policy(1)))));
    let answer = Outcome::Object(Box::new(config(Some("limit: 10\n"))));
    tell(&mut world, vec![Input::Done(reads(&effects)[0], answer)], seconds(1));
    let effects = tell(&mut world, vec![Input::Tick], seconds(9));
    let Some(Action::Status { status, .. }) = effects.into_iter().map(|effect| effect.action).next() else {
        panic!("no status")
    };
    let mut before = policy(1);
    before.status = Some(*status);
    let (mut world, effects) = started(Input::Policy(Change::Applied(Box::new(before))));
    let read = reads(&effects)[0];
    assert_eq!(tell(&mut world, vec![Input::Tick], seconds(30)), [], "the answer is slow");
    let failed = Outcome::Failed(Failure::Forbidden("reading the ConfigMap".into()));
    tell(&mut world, vec![Input::Done(read, failed)], seconds(30));
    tell(&mut world, vec![Input::Listed(Stream::Classes, Listing::default())], seconds(31));
    let effects = tell(&mut world, vec![Input::Tick], seconds(40));
    assert!(effects.iter().any(|effect| matches!(effect.action, Action::Status { .. })), "{effects:?}");
}

#[test]
fn lists_that_show_what_is_known_cost_nothing() {
    let (mut world, effects) = started(Input::Policy(Change::Applied(Box::new(policy(1)))));
    let read = reads(&effects)[0];
    let answer = Outcome::Object(Box::new(config(Some("limit: 10\n"))));
    tell(&mut world, vec![Input::Done(read, answer)], seconds(1));
    let effects = tell(&mut world, vec![Input::Tick], seconds(9));
    let status = effects.iter().find(|effect| matches!(effect.action, Action::Status { .. })).unwrap().id;
    tell(&mut world, vec![Input::Done(status, Outcome::Accepted)], seconds(9));
    // All watches expire; the leader loses its lease meanwhile, and gets it back.
    for inputs in [lists(), vec![Input::Leadership(false)], lists(), vec![Input::Leadership(true)], vec![Input::Tick]] {
        assert_eq!(tell(&mut world, inputs, seconds(20)), []);
    }
    // What did change is read, once.
    let mut changed = config(None);
    changed.meta.resource_version = "43".into();
    let changed = || Input::Object(Change::Applied(Box::new(changed.clone())));
    assert_eq!(reads(&tell(&mut world, vec![changed(), changed()], seconds(21))).len(), 1);
}

#[test]
fn a_policy_that_cannot_be_read_says_so_and_holds_what_it_has() {
    let mut bare = policy(2);
    bare.spec = crate::api::PerformancePolicySpec::default();
    let (mut world, effects) = started(Input::UnreadablePolicy(Box::new(bare), "unknown variant `Someday`".into()));
    let claimed: Value = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u-1", "resourceVersion": "44",
        "managedFields": [{"manager": "trimtab/p", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:minReadySeconds": {}}}}]}, "spec": {"minReadySeconds": 1}});
    let claimed = Seen::from_json(Kind::Deployment, &claimed.to_string()).unwrap();
    let mut all = effects;
    all.extend(tell(&mut world, vec![Input::Object(Change::Applied(Box::new(claimed))), Input::Tick], seconds(3)));
    for kind in [ConditionType::Ready, ConditionType::Accepted] {
        assert_eq!(said(&all, kind), ("False".to_owned(), "UnsupportedVersion".to_owned()));
    }
    assert_eq!(said(&all, ConditionType::Stalled).0, "True");
    assert!(!all.iter().any(|effect| matches!(effect.action, Action::Patch(_) | Action::Finalizers { .. })), "{all:?}");
    // As soon as it can be read it is served.
    let mut readable = policy(3);
    readable.metadata.resource_version = Some("50".into());
    let effects = tell(&mut world, vec![Input::Policy(Change::Applied(Box::new(readable)))], seconds(4));
    assert_eq!(reads(&effects).len(), 1, "{effects:?}");
}

#[test]
fn where_nobody_knows_what_budgets_of_disruptions_there_are_nothing_begins_that_takes_pods_away() {
    let mut recreated = deployment().into_object();
    let surging = recreated.clone();
    recreated.content.edit(|content| content["spec"]["strategy"] = json!({"type": "Recreate"}));
    let tell = |world: &mut World, input: Input| drop(step(world, input, NOW));
    let mut world = World::new(Config::default());
    for input in lists().into_iter().filter(|input| !matches!(input, Input::Listed(Stream::Disruptions, _))) {
        tell(&mut world, input);
    }
    assert!(!world.is_synced());
    tell(&mut world, Input::Unserved(Stream::Disruptions, Reason::Forbidden));
    assert!(world.is_synced(), "nobody else waits for them");
    let (reason, message) = world.protection(&recreated).unwrap();
    assert_eq!(reason, Reason::Forbidden);
    assert!(message.contains("may not read poddisruptionbudgets.policy"), "{message}");
    assert_eq!(world.protection(&surging), None);
    tell(&mut world, Input::Listed(Stream::Disruptions, Listing::default()));
    assert_eq!(world.protection(&recreated), None);
}
