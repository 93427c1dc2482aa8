//! Stories of rollbacks: values that are what they were, until the spec changes.

use serde_json::{Value, json};
use trimtab::{
    api::names,
    core::facts::{Kind, ObjectKey, Span},
};

use super::{
    controllers::{CRASHES, Controllers, HANGS, REFUSED, TOO_LARGE},
    people::{NAMESPACE, config_map, deployment, policy, variables, workload},
    run::Run,
    scenario::override_env,
};

const DOCUMENT: &str = "size: 1\ntimeout: 30\n";

fn shop(workloads: &[&str]) -> Run {
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        for name in workloads {
            server.kubectl_apply(&config_map(&format!("{name}-config")), &json!({"data": {"config.yaml": DOCUMENT}}));
            server.kubectl_apply(&deployment(name), &workload(name, &json!({})));
        }
    });
    run.pass(Span::seconds(10));
    run
}

/// A pool, what follows from it, a time, and a place in a document that is read again by itself.
fn spec(pool: i64, timeout: &str, size: i64) -> Value {
    json!({
        "mode": "Enforce", "target": {"kind": "Deployment", "name": "api"},
        "pools": [{"name": "db", "size": {"value": pool, "min": 5, "max": 80, "env": "POOL"}}],
        "files": [{"name": "config", "configMap": "api-config", "key": "config.yaml", "format": "YAML", "reload": "Watch"}],
        "settings": [
            {"name": "twice", "value": "= 2 * pools.db.size", "env": "TWICE"},
            {"name": "timeout", "type": "Duration", "value": timeout, "env": "TIMEOUT", "as": "seconds"},
            {"name": "size", "value": size, "path": {"file": "config", "at": "/size"}},
        ],
    })
}

fn apply(run: &mut Run, spec: &Value) {
    // Formulas give what nobody has written, and a rollback what a formula gave once.
    let doubled = (1..=200).map(|n| n.to_string());
    run.invariants.told.extend(doubled);
    run.people("apply policy p", |server, _| server.apply_policy("p", spec));
}

fn rest(run: &mut Run) {
    run.come_to_rest(Span::seconds(120), Span::minutes(60));
    run.stay_at_rest();
}

fn rollback(run: &mut Run, to: i64) {
    run.people(&format!("trimtab rollback p --to {to}"), |server, _| server.rollback("p", to)).unwrap();
}

/// Pool, what follows from it, timeout, and the size in the document.
fn values(run: &Run) -> [String; 4] {
    let env = |name: &str| run.server.env(&deployment("api"), name).unwrap_or_default();
    let size = run.server.document("api-config");
    let size = size.lines().find_map(|line| line.strip_prefix("size: ")).unwrap_or_default().to_owned();
    [env("POOL"), env("TWICE"), env("TIMEOUT"), size]
}

fn revisions(run: &Run) -> u32 {
    run.invariants.revisions.get(&deployment("api")).copied().unwrap_or(0)
}

fn status(run: &Run) -> &trimtab::api::PerformancePolicyStatus {
    run.server.policies[&policy("p")].status.as_ref().unwrap()
}

fn pinned(run: &Run) -> Option<(String, String)> {
    run.server.condition("p", "RollbackPinned")
}

/// What pins `values` for policy `p` as it is at a generation, as somebody writes it by hand.
fn pin(run: &Run, to: i64, generation: i64, values: &Value) -> String {
    let uid = run.server.policies[&policy("p")].metadata.uid.clone();
    json!({"to": to, "uid": uid, "generation": generation, "values": values}).to_string()
}

/// A policy with two revisions, at rest.
fn twice_changed() -> Run {
    let mut run = shop(&["api"]);
    apply(&mut run, &spec(20, "30s", 2));
    rest(&mut run);
    apply(&mut run, &spec(40, "60s", 3));
    rest(&mut run);
    assert_eq!((values(&run), status(&run).revision), (NEW.map(str::to_owned), Some(2)));
    run
}

const OLD: [&str; 4] = ["20", "40", "30", "2"];
const NEW: [&str; 4] = ["40", "80", "60", "3"];

#[test]
fn a_rollback_brings_everything_back_in_one_rollout_that_is_a_revision_of_its_own() {
    let mut run = twice_changed();
    let before = revisions(&run);
    rollback(&mut run, 1);
    rest(&mut run);
    assert_eq!((values(&run), revisions(&run)), (OLD.map(str::to_owned), before + 1));
    assert_eq!(pinned(&run), Some(("True".into(), "RollbackPinned".into())));
    let newest = &status(&run).history[0];
    assert_eq!((newest.revision, newest.verdict.as_str()), (3, "Applied"), "{newest:?}");
    assert!(newest.changes.iter().all(|change| change.because == "rollback to revision 1"), "{newest:?}");
    let message = status(&run).conditions.iter().find(|c| c.type_ == "RollbackPinned").unwrap().message.clone();
    assert!(message.starts_with("back at revision 1 (a bad evening) until the spec changes"), "{message}");
    // A rollback of the rollback goes to what the spec says, which stays pinned, too.
    rollback(&mut run, 2);
    rest(&mut run);
    assert_eq!((values(&run), status(&run).revision), (NEW.map(str::to_owned), Some(4)));
}

#[test]
fn it_does_not_wait_for_the_rollout_that_it_takes_back() {
    // One that would end well, and one that would hang until its deadline.
    for pool in ["40", HANGS] {
        let mut run = shop(&["api"]);
        apply(&mut run, &spec(20, "30s", 2));
        rest(&mut run);
        apply(&mut run, &spec(pool.parse().unwrap(), "60s", 3));
        run.pass(Span::seconds(3));
        assert_eq!((&*values(&run)[0], status(&run).revision), (pool, Some(2)), "{:?}", status(&run).history);
        assert!(run.leader.world.rollouts().next().is_some());
        rollback(&mut run, 1);
        run.pass(Span::seconds(1));
        assert_eq!(values(&run), OLD);
        rest(&mut run);
        assert_eq!((values(&run), revisions(&run)), (OLD.map(str::to_owned), 3));
        let verdicts: Vec<_> = status(&run).history.iter().map(|entry| (entry.revision, &*entry.verdict)).collect();
        assert_eq!(verdicts, [(3, "Applied"), (2, "Overtaken"), (1, "Applied")]);
        assert!(status(&run).quarantine.is_empty());
    }
}

#[test]
fn the_next_generation_ends_it_although_the_annotations_stay() {
    let mut run = twice_changed();
    rollback(&mut run, 1);
    rest(&mut run);
    apply(&mut run, &spec(41, "60s", 3));
    rest(&mut run);
    assert_eq!((values(&run), pinned(&run)), (["41", "82", "60", "3"].map(str::to_owned), None));
    run.crash();
    rest(&mut run);
    assert_eq!(values(&run)[0], "41");
    // They may be set again.
    rollback(&mut run, 2);
    rest(&mut run);
    assert_eq!(values(&run), NEW);
}

/// A policy that is deleted and made again at the same generation, with the annotations that somebody has copied.
#[test]
fn it_is_of_the_policy_that_it_was_asked_of_and_of_no_other_of_that_name() {
    let mut run = twice_changed();
    rollback(&mut run, 1);
    rest(&mut run);
    let before = run.server.policies[&policy("p")].clone();
    run.people("delete policy p", |server, _| server.delete_policy(&policy("p")));
    rest(&mut run);
    apply(&mut run, &spec(40, "60s", 3));
    run.people("a backup brings the annotations back", |server, _| {
        let mut made = server.policies[&policy("p")].clone();
        made.metadata.generation = before.metadata.generation;
        made.metadata.annotations.clone_from(&before.metadata.annotations);
        server.put_policy(made);
    });
    rest(&mut run);
    assert_eq!(
        (values(&run), pinned(&run)),
        (NEW.map(str::to_owned), Some(("False".into(), "RollbackIgnored".into())))
    );
    assert_eq!(run.server.condition("p", "Applied").unwrap().0, "True");
    run.people("trimtab resume p --rollback", |server, _| server.end_rollback("p"));
    rest(&mut run);
    assert_eq!((values(&run), pinned(&run)), (NEW.map(str::to_owned), None));
}

#[test]
fn what_everybody_sees_says_when_it_ends_by_hand() {
    let mut run = twice_changed();
    rollback(&mut run, 1);
    rest(&mut run);
    run.people("trimtab resume p --rollback", |server, _| server.end_rollback("p"));
    rest(&mut run);
    assert_eq!((values(&run), pinned(&run)), (NEW.map(str::to_owned), None));
    assert!(
        status(&run).history[0].changes.iter().any(|change| change.because == "spec"),
        "{:?}",
        status(&run).history
    );
}

#[test]
fn it_outlives_leaders_and_the_history_that_it_was_made_of() {
    let mut run = twice_changed();
    rollback(&mut run, 1);
    rest(&mut run);
    // Everything that the status retained is lost.
    run.people("somebody empties the history", |server, _| {
        let mut found = server.policies[&policy("p")].clone();
        found.status.as_mut().unwrap().history.clear();
        server.put_policy(found);
    });
    run.crash();
    rest(&mut run);
    assert_eq!((values(&run), pinned(&run).is_some()), (OLD.map(str::to_owned), true));
}

/// However often the operator is killed on the way back, there is one rollout, and none that it overtakes is finished first.
#[test]
fn a_crash_at_any_moment_costs_no_rollout() {
    let story = |overtakes: bool, crash_at: Option<u64>| {
        let mut run = if overtakes { shop(&["api"]) } else { twice_changed() };
        run.journal = None;
        if overtakes {
            apply(&mut run, &spec(20, "30s", 2));
            rest(&mut run);
            apply(&mut run, &spec(40, "60s", 3));
            run.pass(Span::seconds(3));
        }
        let before = revisions(&run);
        rollback(&mut run, 1);
        let events = run.pass_with_crash(Span::seconds(45), crash_at);
        rest(&mut run);
        let what = format!("overtakes {overtakes}, crash at {crash_at:?}");
        assert_eq!((values(&run), revisions(&run)), (OLD.map(str::to_owned), before + 1), "{what}");
        events
    };
    for overtakes in [false, true] {
        for at in 0..story(overtakes, None) {
            story(overtakes, Some(at));
        }
    }
}

#[test]
fn nonsense_in_the_annotation_is_told_and_nothing_is_written() {
    let run = twice_changed();
    let values_of = |value: &str| pin(&run, 1, 2, &json!([{"path": "pools.db.size", "value": value}]));
    for (to, pin) in [
        ("abc", None),
        ("-1", None),
        ("0", None),
        ("1", None),
        ("77", None),
        ("99999999999999999999999999", None),
        ("1", Some("{".to_owned())),
        ("1", Some("x".repeat(100_000))),
        ("2", Some(values_of("20"))),
        ("1", Some(values_of("minus one"))),
        ("1", Some(values_of("= limits.memory"))),
        ("1", Some(pin(&run, 1, 2, &json!([{"path": "nothing", "value": "20"}])))),
    ] {
        let mut run = twice_changed();
        let before = run.object(&deployment("api")).tree.clone();
        run.people(&format!("annotate {to} {pin:?}"), |server, _| {
            server.annotate("p", names::ROLLBACK_PIN, pin.as_deref());
            server.annotate("p", names::ROLLBACK_TO, Some(to));
        });
        // Not even what somebody else makes of the value is taken back.
        rest(&mut run);
        assert_eq!(run.object(&deployment("api")).tree, before, "{to} {pin:?}");
        assert_eq!(pinned(&run), Some(("False".into(), "RollbackRefused".into())), "{to} {pin:?}");
        assert_eq!(run.server.condition("p", "Applied"), Some(("False".into(), "RollbackRefused".into())));
        run.people("trimtab resume p --rollback", |server, _| server.end_rollback("p"));
        rest(&mut run);
        assert_eq!((pinned(&run), run.server.condition("p", "Applied").unwrap().0), (None, "True".into()));
    }
}

#[test]
fn a_pin_that_is_spoilt_holds_what_is_there() {
    let mut run = twice_changed();
    rollback(&mut run, 1);
    rest(&mut run);
    run.people("annotate", |server, _| server.annotate("p", names::ROLLBACK_TO, Some("one")));
    rest(&mut run);
    assert_eq!((values(&run), pinned(&run).unwrap().1), (OLD.map(str::to_owned), "RollbackRefused".into()));
    // Without the number, what is beside it pins nothing.
    run.people("annotate", |server, _| server.annotate("p", names::ROLLBACK_TO, None));
    rest(&mut run);
    assert_eq!((values(&run), pinned(&run)), (NEW.map(str::to_owned), None));
}

#[test]
fn a_pinned_value_is_moved_within_bounds_and_one_that_fails_is_taken_back() {
    let mut run = shop(&["api"]);
    apply(&mut run, &spec(20, "30s", 2));
    rest(&mut run);
    apply(&mut run, &spec(40, "60s", 3));
    rest(&mut run);
    let fails = pin(&run, 1, 2, &json!([{"path": "pools.db.size", "value": CRASHES}]));
    run.people("pin what fails", |server, _| {
        server.annotate("p", names::ROLLBACK_PIN, Some(&fails));
        server.annotate("p", names::ROLLBACK_TO, Some("1"));
    });
    rest(&mut run);
    assert_eq!(values(&run)[0], "40");
    assert_eq!(status(&run).history[0].verdict, "RolledBack", "{:?}", status(&run).history);
    assert!(!status(&run).quarantine.is_empty());
    let small = pin(&run, 1, 2, &json!([{"path": "pools.db.size", "value": "3"}]));
    run.people("pin what is out of bounds", |server, _| server.annotate("p", names::ROLLBACK_PIN, Some(&small)));
    rest(&mut run);
    assert_eq!(values(&run)[0], "5");
    assert_eq!(status(&run).history[0].changes[0].because, "rollback to revision 1, raised to min");
}

#[test]
fn a_pin_wins_over_profiles_and_one_that_contradicts_them_holds_what_is_there() {
    let mut run = shop(&["api"]);
    let spec = |pool: i64, idle: i64, profile: Option<&str>| {
        let mut spec = json!({
            "mode": "Enforce", "target": {"kind": "Deployment", "name": "api"},
            "pools": [{"name": "db", "size": {"value": pool, "env": "POOL"}, "minIdle": {"value": idle, "env": "TWICE"}}],
            "thresholds": [{"name": "rate", "metric": {"gauge": "load"}}],
            "profiles": [
                {"name": "busy", "when": {"threshold": "rate", "enter": 350, "leave": 200, "dwell": "1m"},
                    "set": {"pools.db.size": 60, "pools.db.minIdle": 9}},
                {"name": "idle", "set": {"pools.db.size": 50, "pools.db.minIdle": 35}},
            ],
        });
        if let Some(profile) = profile {
            spec["profile"] = json!(profile);
        }
        spec
    };
    run.people("measure", |server, _| {
        server.put_source();
        server.readings.insert("api".into(), 100.0);
    });
    apply(&mut run, &spec(20, 5, None));
    rest(&mut run);
    apply(&mut run, &spec(40, 5, None));
    rest(&mut run);
    rollback(&mut run, 1);
    rest(&mut run);
    // What the profile sets besides comes, what is pinned stays.
    run.people("there is load", |server, _| server.readings.insert("api".into(), 400.0));
    rest(&mut run);
    assert_eq!(values(&run)[..2], ["20", "9"]);
    // A newer spec ends it. Where what was then contradicts what a profile says now, nothing is written.
    apply(&mut run, &spec(40, 5, Some("idle")));
    rest(&mut run);
    assert_eq!(values(&run)[..2], ["50", "35"]);
    let by_hand = pin(&run, 1, 3, &json!([{"path": "pools.db.size", "value": "20"}]));
    run.people("by hand", |server, _| server.annotate("p", names::ROLLBACK_PIN, Some(&by_hand)));
    rest(&mut run);
    assert_eq!(pinned(&run), Some(("False".into(), "RollbackRefused".into())));
    assert_eq!(run.server.condition("p", "Applied"), Some(("False".into(), "RollbackRefused".into())));
    assert_eq!(values(&run)[..2], ["50", "35"]);
    run.people("resume --rollback", |server, _| server.end_rollback("p"));
    rest(&mut run);
    assert_eq!(run.server.condition("p", "Applied").unwrap().0, "True");
}

#[test]
fn what_a_person_set_by_hand_stays() {
    let mut run = twice_changed();
    override_env(&mut run, &deployment("api"), "POOL", Some("50"));
    run.pass(Span::minutes(2));
    rollback(&mut run, 1);
    rest(&mut run);
    assert_eq!(values(&run)[0], "50");
    assert_eq!(run.server.condition("p", "Conflicted").unwrap().1, "ManualOverride");
}

#[test]
fn targets_go_back_each_to_its_own() {
    let mut run = shop(&["a", "b"]);
    let spec = |size: i64| {
        json!({
            "mode": "Enforce", "target": {"kind": "Deployment", "selector": {"matchLabels": {"tier": "web"}}},
            "pools": [{"name": "db", "size": {"value": size, "env": "POOL"}}],
        })
    };
    apply(&mut run, &spec(20));
    rest(&mut run);
    apply(&mut run, &spec(40));
    rest(&mut run);
    // Each target's rollout is a revision, so between the two one target is new and the other old.
    assert_eq!(status(&run).revision, Some(4));
    rollback(&mut run, 3);
    rest(&mut run);
    let pools: Vec<_> = ["a", "b"].iter().map(|name| run.server.env(&deployment(name), "POOL").unwrap()).collect();
    assert_eq!(pools, ["40", "20"]);
    rollback(&mut run, 2);
    rest(&mut run);
    let pools: Vec<_> = ["a", "b"].iter().map(|name| run.server.env(&deployment(name), "POOL").unwrap()).collect();
    assert_eq!(pools, ["20", "20"]);
}

/// The policy has named a target of another kind since: what that one had is not what this one had.
#[test]
fn what_another_target_had_does_not_come_to_this_one() {
    let mut run = shop(&["api"]);
    let store = ObjectKey::new(Kind::StatefulSet, NAMESPACE, "store");
    run.people("install", |server, _| {
        server.kubectl_apply(&store, &workload("store", &json!({"env": variables(&[("B", "5")])})));
    });
    run.pass(Span::seconds(10));
    let spec = |kind: &str, name: &str, a: i64| {
        let setting = |name: &str, value: i64, env: &str| json!({"name": name, "type": "Integer", "value": value, "env": env, "onConflict": "TakeOver"});
        json!({"mode": "Enforce", "target": {"kind": kind, "name": name}, "settings": [setting("a", a, "A"), setting("b", 6, "B")]})
    };
    for (kind, name, a) in [("Deployment", "api", 1), ("Deployment", "api", 2), ("StatefulSet", "store", 3)] {
        apply(&mut run, &spec(kind, name, a));
        rest(&mut run);
    }
    let values = |run: &Run| ["A", "B"].map(|variable| run.server.env(&store, variable).unwrap_or_default());
    assert_eq!(values(&run), ["3", "6"]);
    rollback(&mut run, 1);
    rest(&mut run);
    assert_eq!(values(&run), ["3", "5"], "A was nothing here, and 1 elsewhere");
}

#[test]
fn before_the_first_revision_is_what_was_there() {
    let mut run = twice_changed();
    rollback(&mut run, 0);
    rest(&mut run);
    // What nobody had set is no value that could be pinned.
    assert_eq!(values(&run), ["40", "80", "60", "1"]);
    assert_eq!(pinned(&run), Some(("True".into(), "RollbackPinned".into())));
}

/// A value that fails is taken back, and a rollback to the revision in which it was tried does not try it again.
#[test]
fn what_failed_is_not_gone_back_to() {
    for bad in [CRASHES, HANGS] {
        let mut run = twice_changed();
        apply(&mut run, &spec(bad.parse().unwrap(), "60s", 3));
        rest(&mut run);
        assert_eq!((&*values(&run)[0], &*status(&run).history[0].verdict), ("40", "RolledBack"));
        apply(&mut run, &spec(50, "60s", 3));
        rest(&mut run);
        assert_eq!(values(&run)[0], "50");
        let failed = status(&run).history.iter().find(|entry| entry.verdict == "RolledBack").unwrap().revision;
        rollback(&mut run, failed);
        rest(&mut run);
        assert_eq!(values(&run)[0], "40", "{bad}: {:?}", status(&run).history);
        rollback(&mut run, 1);
        rest(&mut run);
        assert_eq!(values(&run), OLD, "{bad}");
    }
}

#[test]
fn there_is_no_way_back_to_what_is_not_retained() {
    let mut run = twice_changed();
    for to in [-1, 2, 3, i64::MAX] {
        let refused = run.people("rollback", |server, _| server.rollback("p", to)).unwrap_err();
        assert!(refused.contains("name"), "{refused}");
    }
}

/// A workload of a kind that rolls out `5` in its variable and then `bad`, with nothing but the patience of the operator to end it.
fn stalling(kind: Kind, spec: &Value, bad: &str) -> (Run, ObjectKey) {
    let mut run = Run::new(1);
    let key = ObjectKey::new(kind, NAMESPACE, "api");
    run.people("install", |server, _| {
        let mut manifest = workload("api", &json!({}));
        manifest["spec"]["progressDeadlineSeconds"] = json!(600);
        for (member, value) in spec.as_object().into_iter().flatten() {
            manifest["spec"][member] = value.clone();
        }
        server.kubectl_apply(&config_map("api-config"), &json!({"data": {"config.yaml": DOCUMENT}}));
        server.kubectl_apply(&key, &manifest);
    });
    run.pass(Span::seconds(10));
    for value in ["5", bad] {
        let spec = json!({"mode": "Enforce", "target": {"kind": kind.as_str(), "name": "api"},
            "pools": [{"name": "db", "size": {"value": value.parse::<i64>().unwrap(), "env": "POOL"}}]});
        if value == bad {
            rest(&mut run);
        }
        apply(&mut run, &spec);
    }
    run.pass(Span::seconds(5));
    assert_eq!(run.server.env(&key, "POOL").as_deref(), Some(bad));
    (run, key)
}

fn is_taken_back(run: &mut Run, key: &ObjectKey, reason: &str) {
    assert_eq!(run.server.env(key, "POOL").as_deref(), Some("5"), "it is taken back");
    rest(run);
    assert_eq!(run.server.env(key, "POOL").as_deref(), Some("5"));
    assert_eq!(run.server.condition("p", "Applied"), Some(("False".into(), "RolledBack".into())));
    assert_eq!((&*status(run).quarantine[0].reason, &*status(run).history[0].verdict), (reason, "RolledBack"));
    assert!(run.controllers.workloads[key].is_complete());
}

/// Kind and spec of a workload, the value, for how long it is awaited at least, and the reason.
const STALLS: [(Kind, &str, &str, i64, &str); 6] = [
    (Kind::Deployment, "{}", TOO_LARGE, 180, "Unschedulable"),
    (Kind::Deployment, r#"{"strategy": {"type": "Recreate"}}"#, TOO_LARGE, 60, "Unschedulable"),
    (Kind::StatefulSet, r#"{"podManagementPolicy": "Parallel"}"#, TOO_LARGE, 60, "Unschedulable"),
    (Kind::StatefulSet, "{}", TOO_LARGE, 180, "Unschedulable"),
    (Kind::DaemonSet, "{}", TOO_LARGE, 60, "Unschedulable"),
    (Kind::Deployment, "{}", REFUSED, 60, "FailedCreate"),
];

#[test]
fn what_no_node_takes_or_a_quota_refuses_goes_back_after_its_patience_and_not_before() {
    for (kind, spec, bad, patience, reason) in STALLS {
        let (mut run, key) = stalling(kind, &serde_json::from_str(spec).unwrap(), bad);
        run.pass(Span::seconds(patience - 15));
        assert_eq!(run.server.env(&key, "POOL").as_deref(), Some(bad), "{kind:?} {spec}: it is awaited");
        let applied = status(&run).conditions.iter().find(|c| c.type_ == "Applied").unwrap();
        let says =
            if reason == "Unschedulable" { " is not scheduled: 0/3 nodes are available" } else { "exceeded quota" };
        assert!(applied.reason == "RollingOut" && applied.message.contains(says), "{kind:?} {spec}: {applied:?}");
        let serving =
            run.controllers.list_pods(&key, run.server.now).iter().filter(|pod| pod.unschedulable.is_none()).count();
        let expected = if kind == Kind::Deployment && spec == "{}" {
            2
        } else if spec.contains("Recreate") {
            0
        } else {
            1
        };
        assert_eq!(serving, expected, "{kind:?} {spec}: pods of before");
        run.pass(Span::seconds(40));
        is_taken_back(&mut run, &key, reason);
    }
}

#[test]
fn what_gets_its_node_or_its_quota_within_the_patience_is_not_taken_back() {
    for (kind, spec, bad, patience, _) in STALLS {
        let (mut run, key) = stalling(kind, &serde_json::from_str(spec).unwrap(), bad);
        run.pass(Span::seconds(patience - 15));
        run.people("an autoscaler adds a node, and somebody raises the quota", |_, controllers: &mut Controllers| {
            (controllers.has_large_node, controllers.has_quota) = (true, true);
        });
        rest(&mut run);
        assert_eq!(run.server.env(&key, "POOL").as_deref(), Some(bad), "{kind:?} {spec}");
        assert_eq!(run.server.condition("p", "Applied"), Some(("True".into(), "Applied".into())), "{kind:?} {spec}");
        assert!(status(&run).quarantine.is_empty());
    }
}

/// It has seen nothing yet of what the other one has waited for.
#[test]
fn a_new_leader_begins_to_count_anew() {
    for (kind, spec, bad, patience, reason) in STALLS {
        let (mut run, key) = stalling(kind, &serde_json::from_str(spec).unwrap(), bad);
        run.pass(Span::seconds(patience - 15));
        run.crash();
        run.pass(Span::seconds(patience - 15));
        assert_eq!(run.server.env(&key, "POOL").as_deref(), Some(bad), "{kind:?} {spec}: it is awaited again");
        run.pass(Span::seconds(40));
        is_taken_back(&mut run, &key, reason);
    }
}

/// Kubernetes gives up earlier than we would, and it is told what for.
#[test]
fn a_short_deadline_of_the_workload_ends_the_patience() {
    for (bad, reason) in [(TOO_LARGE, "Unschedulable"), (REFUSED, "FailedCreate"), (HANGS, "DeadlineExceeded")] {
        let (mut run, key) = stalling(Kind::Deployment, &json!({"progressDeadlineSeconds": 30}), bad);
        run.pass(Span::seconds(40));
        is_taken_back(&mut run, &key, reason);
    }
}
