//! Stories of targets that are no workloads: a stream whose limits a policy sets.

use serde_json::{Value, json};
use trimtab::{
    api::{PerformanceClass, names},
    core::facts::{Kind, ObjectKey, Span},
};

use super::{
    people::{NAMESPACE, policy},
    run::Run,
};

fn stream() -> ObjectKey {
    ObjectKey::new(Kind::Stream, NAMESPACE, "orders")
}

fn class(objects: &Value) -> PerformanceClass {
    serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformanceClass",
        "metadata": {"name": "standard", "annotations": {names::IS_DEFAULT_CLASS: "true"}},
        "spec": {"objects": objects},
    }))
    .unwrap()
}

/// A stream that its manifest gives subjects and no limits.
fn manifest() -> Value {
    json!({"metadata": {"labels": {"app": "orders"}}, "spec": {"name": "ORDERS", "subjects": ["orders.>"]}})
}

fn shop() -> Run {
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        server.put_class(class(&json!([{"kind": "Stream", "fields": ["spec.max*"]}])));
        server.kubectl_apply(&stream(), &manifest());
    });
    run.pass(Span::seconds(10));
    run.invariants.told.extend(["1000", "2000", "1073741824", "168h0m0s"].map(str::to_owned));
    run
}

/// A policy with these settings.
fn spec(settings: &Value) -> Value {
    let target = json!({"apiVersion": "jetstream.nats.io/v1beta2", "kind": "Stream", "name": "orders"});
    json!({"mode": "Enforce", "target": target, "settings": settings})
}

fn messages(value: &Value, allow: bool) -> Value {
    let mut knob = json!({"name": "messages", "value": value, "field": "spec.maxMsgs"});
    if allow {
        knob["allowDestructive"] = json!(true);
    }
    spec(&json!([knob]))
}

fn apply(run: &mut Run, spec: &Value) {
    run.people("apply policy p", |server, _| server.apply_policy("p", spec));
    run.come_to_rest(Span::seconds(60), Span::minutes(10));
    run.stay_at_rest();
}

#[track_caller]
fn says(run: &Run, kind: &str, status: &str, reason: &str) {
    assert_eq!(run.server.condition("p", kind), Some((status.to_owned(), reason.to_owned())), "{kind}");
}

#[track_caller]
fn has(run: &Run, field: &str, value: &Value) {
    assert_eq!(run.object(&stream()).at(&format!("/spec/{field}")), value, "{field}");
}

#[test]
fn limits_of_a_stream_are_raised_and_are_lowered_by_a_literal_that_may_only() {
    let mut run = shop();
    let untouched = run.object(&stream()).version;
    apply(&mut run, &messages(&json!(1000), false));
    says(&run, "Ready", "False", "DestructiveChange");
    assert_eq!(run.object(&stream()).version, untouched, "from unlimited to a number deletes, too");

    apply(&mut run, &messages(&json!(1000), true));
    says(&run, "Applied", "True", "Applied");
    has(&run, "maxMsgs", &json!(1000));
    apply(&mut run, &messages(&json!(2000), false));
    says(&run, "Applied", "True", "Applied");
    has(&run, "maxMsgs", &json!(2000));

    // What a formula gives never lowers it.
    let settings = json!([
        {"name": "base", "value": 500},
        {"name": "messages", "value": "= 2 * settings.base", "field": "spec.maxMsgs"},
    ]);
    let before = run.object(&stream()).version;
    apply(&mut run, &spec(&settings));
    says(&run, "Ready", "False", "DestructiveChange");
    assert_eq!(run.object(&stream()).version, before);

    run.people("delete policy p", |server, _| server.delete_policy(&policy("p")));
    run.come_to_rest(Span::seconds(60), Span::minutes(10));
    has(&run, "maxMsgs", &json!(2000));
    assert_eq!(run.server.traces(&stream()), Vec::<String>::new());
    run.people("apply the manifest", |server, _| {
        let mut next = manifest();
        next["spec"]["maxMsgs"] = json!(10);
        server.server_side("kubectl", &stream(), &next, false).unwrap();
    });
    has(&run, "maxMsgs", &json!(10));
}

#[test]
fn a_raise_by_hand_is_held_and_never_taken_back_by_deleting() {
    let mut run = shop();
    apply(&mut run, &messages(&json!(1000), true));
    run.people("raise it by hand", |server, _| {
        server.edit_as("kubectl-edit", &stream(), |tree| tree["spec"]["maxMsgs"] = json!(5000));
    });
    run.come_to_rest(Span::seconds(60), Span::minutes(10));
    says(&run, "Conflicted", "True", "ManualOverride");
    has(&run, "maxMsgs", &json!(5000));
    // No edit of the policy undoes what a person did to keep data, whatever it may: only a resumption would.
    for (limit, may) in [(1000, false), (900, true)] {
        apply(&mut run, &messages(&json!(limit), may));
        says(&run, "Conflicted", "True", "ManualOverride");
        has(&run, "maxMsgs", &json!(5000));
    }
}

#[test]
fn what_was_there_before_is_not_put_back_where_that_would_delete() {
    let mut run = shop();
    run.people("a limit of somebody", |server, _| {
        server.edit_as("kubectl-edit", &stream(), |tree| tree["spec"]["maxMsgs"] = json!(1000));
    });
    let restoring = |allow: bool| {
        let mut spec = messages(&json!(2000), allow);
        spec["deletionPolicy"] = json!("Restore");
        spec["settings"][0]["onConflict"] = json!("TakeOver");
        spec
    };
    apply(&mut run, &restoring(false));
    has(&run, "maxMsgs", &json!(2000));
    run.people("delete policy p", |server, _| server.delete_policy(&policy("p")));
    run.come_to_rest(Span::seconds(60), Span::minutes(10));
    says(&run, "Ready", "False", "DestructiveChange");
    has(&run, "maxMsgs", &json!(2000));
    run.people("say that it may", |server, _| server.apply_policy("p", &restoring(true)));
    run.come_to_rest(Span::seconds(60), Span::minutes(10));
    has(&run, "maxMsgs", &json!(1000));
    assert!(!run.server.policies.contains_key(&policy("p")));
    assert_eq!(run.server.traces(&stream()), Vec::<String>::new());
}

#[test]
fn a_kind_that_is_not_installed_keeps_nobody_waiting_and_is_governed_once_it_is() {
    let mut run = shop();
    run.people("uninstall nack", |server, _| server.uninstall(Kind::Stream));
    apply(&mut run, &messages(&json!(1000), true));
    says(&run, "Ready", "False", "KindNotServed");
    says(&run, "Reconciling", "True", "KindNotServed");
    assert_eq!(run.server.condition("p", "Stalled"), None);
    // A process that starts without the kind serves everybody else, and the same policy.
    run.crash();
    run.come_to_rest(Span::seconds(60), Span::minutes(10));
    assert!(run.leader.world.is_synced());
    says(&run, "Ready", "False", "KindNotServed");

    run.people("install nack", |server, _| {
        server.install(Kind::Stream);
        server.kubectl_apply(&stream(), &manifest());
    });
    run.come_to_rest(Span::seconds(60), Span::minutes(10));
    says(&run, "Applied", "True", "Applied");
    has(&run, "maxMsgs", &json!(1000));

    run.people("uninstall nack again", |server, _| server.uninstall(Kind::Stream));
    run.come_to_rest(Span::seconds(60), Span::minutes(10));
    says(&run, "Ready", "False", "KindNotServed");
}

/// Whoever replaces a definition, or serves another version of it for a while, does not lose the way back.
#[test]
fn a_policy_that_restores_waits_for_a_kind_that_is_not_served_and_not_for_ever() {
    for (gone, crash) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut run = shop();
        run.people("a limit of somebody", |server, _| {
            server.edit_as("kubectl-edit", &stream(), |tree| tree["spec"]["maxMsgs"] = json!(1000));
        });
        let mut spec = messages(&json!(2000), true);
        spec["deletionPolicy"] = json!("Restore");
        spec["settings"][0]["onConflict"] = json!("TakeOver");
        apply(&mut run, &spec);
        has(&run, "maxMsgs", &json!(2000));
        run.people("the kind is not served any more", |server, _| {
            if gone { server.uninstall(Kind::Stream) } else { server.unserve(Kind::Stream) }
        });
        run.pass(Span::minutes(2));
        run.people("delete policy p", |server, _| server.delete_policy(&policy("p")));
        run.pass(Span::minutes(20));
        if crash {
            run.crash();
        }
        run.pass(Span::minutes(20));
        says(&run, "Ready", "False", "KindNotServed");
        let status = run.server.policies[&policy("p")].status.clone().unwrap();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert_eq!(
            ready.message,
            "the policy is being deleted, and what was there before it cannot be put back: the cluster does not serve \
             streams.jetstream.nats.io as jetstream.nats.io/v1beta2: install its CRD; Trimtab looks for it again every minute, \
             and gives up when that has been so for an hour. To leave everything as it is, remove the finalizer trimtab.dev/restore"
        );
        if gone {
            // A new process begins to count anew: late, never early.
            run.pass(Span::minutes(50));
            assert!(!run.server.policies.contains_key(&policy("p")), "crash {crash}");
        } else {
            run.people("the kind is served again", |server, _| server.install(Kind::Stream));
            run.come_to_rest(Span::seconds(60), Span::minutes(10));
            has(&run, "maxMsgs", &json!(1000));
            assert!(!run.server.policies.contains_key(&policy("p")), "crash {crash}");
            assert_eq!(run.server.traces(&stream()), Vec::<String>::new());
        }
    }
}

#[test]
fn the_status_of_a_stream_says_when_a_value_is_in_place() {
    let mut run = shop();
    run.people("nack has taken it up", |server, _| server.set_status(&stream(), json!({"observedGeneration": 1})));
    apply(&mut run, &messages(&json!(1000), true));
    says(&run, "Applied", "False", "TargetNotReady");
    let ready = |status: &str| json!({"observedGeneration": 2, "conditions": [{"type": "Ready", "status": status, "message": "insufficient storage"}]});
    run.people("nack meets an error", |server, _| server.set_status(&stream(), ready("False")));
    run.come_to_rest(Span::seconds(60), Span::minutes(10));
    says(&run, "Applied", "False", "TargetNotReady");
    run.people("nack is done", |server, _| server.set_status(&stream(), ready("True")));
    run.come_to_rest(Span::seconds(60), Span::minutes(10));
    says(&run, "Applied", "True", "Applied");
}

#[test]
fn an_object_without_a_status_is_no_rollout_that_comes_to_nothing() {
    let mut run = shop();
    apply(&mut run, &messages(&json!(1000), true));
    let before = run.object(&stream()).version;
    run.crash();
    run.pass(Span::minutes(15));
    assert_eq!(run.object(&stream()).version, before, "a new leader takes nothing back");
    says(&run, "Applied", "True", "Applied");
    // And it keeps nobody waiting.
    apply(&mut run, &messages(&json!(2000), true));
    has(&run, "maxMsgs", &json!(2000));
}

#[test]
fn a_class_names_the_objects_and_fields_that_policies_may_set() {
    let mut run = shop();
    apply(&mut run, &spec(&json!([{"name": "replicas", "value": 3, "field": "spec.replicas"}])));
    says(&run, "Accepted", "False", "ClassForbids");
    run.people("the class allows it", |server, _| server.put_class(class(&json!([{"kind": "Stream"}]))));
    run.come_to_rest(Span::seconds(60), Span::minutes(10));
    has(&run, "replicas", &json!(3));
    run.people("the class allows nothing", |server, _| server.put_class(class(&json!([]))));
    run.come_to_rest(Span::seconds(60), Span::minutes(10));
    says(&run, "Accepted", "False", "ClassForbids");
    has(&run, "replicas", &json!(3));
}

#[test]
fn a_stream_that_nobody_shall_update_is_not_written() {
    let mut run = shop();
    run.people("prevent updates", |server, _| {
        server.edit_as("kubectl-edit", &stream(), |tree| tree["spec"]["preventUpdate"] = json!(true));
    });
    let before = run.object(&stream()).version;
    apply(&mut run, &messages(&json!(1000), true));
    says(&run, "Ready", "False", "TargetPreventsUpdate");
    assert_eq!(run.object(&stream()).version, before);
}
