//! Stories of rollouts: whose they are, what they carry, and what comes back when they fail.

use serde_json::{Value, json};
use trimtab::core::facts::{ObjectKey, Span};

use super::{
    controllers::{CRASHES, CRASHES_LATER, HANGS},
    people::{config_map, deployment, policy, variables, workload},
    run::Run,
};

const BAD: &str = CRASHES;

fn shop(document: &str) -> Run {
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        server.kubectl_apply(&config_map("api-config"), &json!({"data": {"config.yaml": document}}));
        server.kubectl_apply(&deployment("api"), &workload("api", &json!({"env": variables(&[("LOG", "x")])})));
    });
    run.pass(Span::seconds(10));
    run
}

fn apply(run: &mut Run, name: &str, spec: &Value) {
    run.people(&format!("apply policy {name}"), |server, _| server.apply_policy(name, spec));
}

fn rest(run: &mut Run) {
    run.come_to_rest(Span::seconds(120), Span::minutes(30));
    run.stay_at_rest();
}

fn settings(settings: Value) -> Value {
    json!({
        "mode": "Enforce", "target": {"kind": "Deployment", "name": "api"},
        "files": [{"name": "config", "configMap": "api-config", "key": "config.yaml", "format": "YAML", "reload": "Restart"}],
        "settings": settings,
    })
}

fn number(text: &str) -> i64 {
    text.parse().unwrap()
}

fn variable(name: &str, value: i64, env: &str) -> Value {
    json!({"name": name, "type": "Integer", "value": value, "env": env})
}

fn in_document(value: i64) -> Value {
    json!({"name": "size", "type": "Integer", "value": value, "path": {"file": "config", "at": "/pool/size"}})
}

fn whole_key(value: i64) -> Value {
    let landing = json!({"name": "api-config", "key": "limit", "reload": "Restart"});
    json!({"name": "limit", "type": "Integer", "value": value, "configMapKey": landing})
}

fn key(run: &Run) -> Value {
    run.object(&config_map("api-config")).at("/data/limit").clone()
}

fn stamp(run: &Run) -> Value {
    run.object(&deployment("api")).at("/spec/template/metadata/annotations/trimtab.dev~1stamp.p").clone()
}

fn revisions(run: &Run, key: &ObjectKey) -> u32 {
    run.invariants.revisions.get(key).copied().unwrap_or(0)
}

#[track_caller]
fn is_rolled_back(run: &Run, name: &str) {
    assert_eq!(run.server.condition(name, "Ready"), Some(("False".into(), "RolledBack".into())));
}

#[test]
fn a_key_that_crashes_comes_back_with_the_pods_of_before() {
    let api = deployment("api");
    for first in [None, Some(3)] {
        let mut run = shop("pool:\n  size: 5\n");
        if let Some(first) = first {
            apply(&mut run, "p", &settings(json!([whole_key(first)])));
            rest(&mut run);
            assert_eq!((key(&run), revisions(&run, &api)), (json!("3"), 1));
        }
        let (template, before) = (run.object(&api).template().clone(), revisions(&run, &api));
        apply(&mut run, "p", &settings(json!([whole_key(number(BAD))])));
        rest(&mut run);
        is_rolled_back(&run, "p");
        assert_eq!(key(&run), first.map_or(Value::Null, |first| json!(first.to_string())));
        assert_eq!(run.object(&api).template(), &template, "the revision of before");
        assert_eq!(revisions(&run, &api), before + 2, "there and back");
        apply(&mut run, "p", &settings(json!([whole_key(8)])));
        rest(&mut run);
        assert_eq!((key(&run), revisions(&run, &api)), (json!("8"), before + 3));
    }
}

#[test]
fn a_value_that_crashes_is_taken_out_of_a_document_however_it_is_written() {
    let api = deployment("api");
    for quoted in ["5", "'5'", "\"5\""] {
        let document = format!("pool:\n  size: {quoted} # small\n");
        let mut run = shop(&document);
        apply(&mut run, "p", &settings(json!([in_document(number(BAD))])));
        rest(&mut run);
        is_rolled_back(&run, "p");
        assert_eq!(run.server.document("api-config"), document);
        assert_eq!((stamp(&run), revisions(&run, &api)), (Value::Null, 2), "there and back");
    }
}

/// In every format of lines: made and taken back, made and changed, put back from somebody's hands, and gone with the policy.
#[test]
fn a_line_that_a_policy_made_goes_when_it_fails_and_when_the_policy_goes() {
    let api = deployment("api");
    for (format, at, document, line) in [
        ("Properties", "pool.size", "pool.name=orders\n", "pool.size="),
        ("INI", "pool/size", "[pool]\nname = orders\n\n[log]\n", "size = "),
        ("Conf", "pool_size", "name orders # ours", "pool_size "),
    ] {
        let spec = |size: i64| {
            let path = json!({"file": "config", "at": at, "create": true});
            let mut spec = settings(json!([{"name": "size", "type": "Integer", "value": size, "path": path}]));
            spec["files"][0]["format"] = format.into();
            spec["deletionPolicy"] = "Restore".into();
            spec
        };
        let said = |run: &Run| run.server.document("api-config");
        let mut run = shop(document);
        apply(&mut run, "p", &spec(number(BAD)));
        rest(&mut run);
        is_rolled_back(&run, "p");
        assert_eq!(said(&run), document, "{format}");
        assert_eq!((stamp(&run), revisions(&run, &api)), (Value::Null, 2), "there and back");

        for size in [9, 8] {
            apply(&mut run, "p", &spec(size));
            rest(&mut run);
            assert!(said(&run).contains(&format!("{line}{size}")), "{format}: {}", said(&run));
        }
        apply(&mut run, "p", &spec(number(BAD)));
        rest(&mut run);
        assert!(said(&run).contains(&format!("{line}8")), "{format}: {}", said(&run));

        // Whoever takes the line out has the last word until somebody says otherwise.
        apply(&mut run, "p", &spec(8));
        rest(&mut run);
        run.people("take the line out", |server, _| {
            let edit = |tree: &mut Value| tree["data"]["config.yaml"] = json!(document);
            server.edit_as("kubectl-edit", &config_map("api-config"), edit);
        });
        rest(&mut run);
        assert_eq!(said(&run), document, "{format}");
        assert_eq!(run.server.condition("p", "Conflicted"), Some(("True".into(), "ManualOverride".into())), "{format}");
        apply(&mut run, "p", &spec(7));
        rest(&mut run);
        assert!(said(&run).contains(&format!("{line}7")), "{format}: {}", said(&run));

        run.people("delete policy", |server, _| server.delete_policy(&policy("p")));
        rest(&mut run);
        assert_eq!(said(&run), document, "{format}");
    }
}

#[test]
fn the_way_back_to_what_a_document_said_at_first_restarts_pods_too() {
    let api = deployment("api");
    let mut run = shop("pool:\n  size: 5\n");
    for (size, revision) in [(9, 1), (5, 2), (9, 3)] {
        apply(&mut run, "p", &settings(json!([in_document(size)])));
        rest(&mut run);
        assert_eq!(run.server.document("api-config"), format!("pool:\n  size: {size}\n"));
        assert_eq!(revisions(&run, &api), revision, "{size}");
    }
    // A value that fails after that leads back to the value of before, not to the bytes of the beginning.
    apply(&mut run, "p", &settings(json!([in_document(number(BAD))])));
    rest(&mut run);
    is_rolled_back(&run, "p");
    assert_eq!(run.server.document("api-config"), "pool:\n  size: 9\n");
    assert_eq!(revisions(&run, &api), 5);
}

#[test]
fn what_follows_a_rollout_that_is_not_proven_goes_back_together_with_it() {
    let api = deployment("api");
    let spec = |a: i64, b: i64, size: i64, limit: i64| {
        settings(json!([variable("a", a, "A"), variable("b", b, "B"), in_document(size), whole_key(limit)]))
    };
    for bad in [[number(BAD), 1, 5, 3], [1, 1, number(BAD), 3], [1, 1, 5, number(BAD)]] {
        let mut run = shop("pool:\n  size: 5\n");
        apply(&mut run, "p", &spec(1, 1, 5, 3));
        rest(&mut run);
        let template = run.object(&api).template().clone();
        let [a, b, size, limit] = bad;
        apply(&mut run, "p", &spec(a, b, size, limit));
        run.pass(Span::seconds(3));
        assert_eq!(run.server.condition("p", "Applied"), Some(("False".into(), "RollingOut".into())), "{bad:?}");
        // Somebody changes something else meanwhile, which has no fault of its own.
        apply(&mut run, "p", &spec(a, 2, size, limit));
        rest(&mut run);
        is_rolled_back(&run, "p");
        assert_eq!(run.object(&api).template(), &template, "{bad:?}");
        assert_eq!(run.server.document("api-config"), "pool:\n  size: 5\n");
        assert_eq!(key(&run), json!("3"));
    }
}

#[test]
fn a_value_that_failed_on_one_target_is_not_begun_on_the_next() {
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        for name in ["api", "web"] {
            server.kubectl_apply(&config_map(&format!("{name}-config")), &json!({"data": {}}));
            server.kubectl_apply(&deployment(name), &workload(name, &json!({})));
        }
    });
    run.pass(Span::seconds(10));
    let spec = |value: i64| {
        json!({
            "mode": "Enforce", "settings": [variable("a", value, "A")],
            "target": {"kind": "Deployment", "selector": {"matchLabels": {"tier": "web"}}},
        })
    };
    apply(&mut run, "p", &spec(1));
    rest(&mut run);
    apply(&mut run, "p", &spec(number(BAD)));
    rest(&mut run);
    is_rolled_back(&run, "p");
    for (name, count) in [("api", 3), ("web", 1)] {
        assert_eq!(run.server.env(&deployment(name), "A").as_deref(), Some("1"), "{name}");
        assert_eq!(revisions(&run, &deployment(name)), count, "{name}");
    }
}

#[test]
fn of_two_policies_on_one_workload_each_has_its_rollout_and_its_way_back() {
    let api = deployment("api");
    let mut run = shop("pool:\n  size: 5\n");
    let with_documents = |size: i64| settings(json!([in_document(size)]));
    let other = |value: i64| json!({"mode": "Enforce", "target": {"kind": "Deployment", "name": "api"}, "settings": [variable("a", value, "A")]});
    for (size, value) in [(9, number(BAD)), (number(BAD), 3)] {
        run.people("apply both", |server, _| {
            server.apply_policy("p", &with_documents(size));
            server.apply_policy("q", &other(value));
        });
        rest(&mut run);
        let bad = if value == number(BAD) { "q" } else { "p" };
        is_rolled_back(&run, bad);
        assert_eq!(run.server.document("api-config"), "pool:\n  size: 9\n");
        let expected = if bad == "q" { None } else { Some("3") };
        assert_eq!(run.server.env(&api, "A").as_deref(), expected);
        let failed = |name: &str| {
            let status = run.server.policies[&policy(name)].status.clone().unwrap();
            status.quarantine.into_iter().map(|item| item.path).collect::<Vec<_>>()
        };
        // The first round's failure is remembered in the second.
        assert_eq!(failed("q"), ["settings.a"]);
        assert_eq!(failed("p"), if bad == "q" { vec![] } else { vec!["settings.size", "files"] });
    }
    assert_eq!(revisions(&run, &api), 6, "two changes and a way back, twice");
}

#[test]
fn a_policy_may_help_a_workload_whose_rollout_came_to_nothing() {
    let mut run = shop("pool:\n  size: 5\n");
    let api = deployment("api");
    run.people("a bad release", |server, _| server.set_env(&api, "A", Some(BAD)));
    run.pass(Span::minutes(3));
    let mut spec = json!({"mode": "Enforce", "target": {"kind": "Deployment", "name": "api"}, "settings": [variable("a", 4, "A")]});
    spec["settings"][0]["onConflict"] = json!("TakeOver");
    apply(&mut run, "p", &spec);
    rest(&mut run);
    assert_eq!(run.server.env(&api, "A").as_deref(), Some("4"));
    assert_eq!(run.server.condition("p", "Applied"), Some(("True".into(), "Applied".into())));
}

/// Until a status tells how a rollout ended, a new leader finds one that failed and was taken back as if that were still to come.
#[test]
fn what_was_taken_back_before_a_crash_waits_for_those_who_have_begun_since() {
    let (api, web) = (deployment("api"), deployment("web"));
    for crash_at in 0..24 {
        let mut run = shop("pool:\n  size: 5\n");
        run.journal = Some(std::collections::VecDeque::new());
        run.people("install", |server, _| server.kubectl_apply(&web, &workload("web", &json!({}))));
        run.pass(Span::seconds(10));
        let spec = |target: &str, setting: Value| json!({"mode": "Enforce", "target": {"kind": "Deployment", "name": target}, "settings": [setting]});
        apply(&mut run, "p", &spec("api", variable("a", number(BAD), "A")));
        run.pass(Span::seconds(2));
        apply(&mut run, "q", &spec("web", variable("b", 1, "B")));
        for _ in 0..20_000 {
            if run.server.env(&web, "B").is_some() {
                break;
            }
            run.turn();
        }
        assert_eq!((run.server.env(&web, "B").as_deref(), run.server.env(&api, "A")), (Some("1"), None));
        // The knob that failed is gone, and another one is there.
        apply(&mut run, "p", &spec("api", variable("c", 2, "C")));
        run.pass_with_crash(Span::seconds(4), Some(crash_at));
        rest(&mut run);
        assert_eq!(run.server.env(&api, "C").as_deref(), Some("2"), "crash at {crash_at}");
        assert_eq!(
            run.server.condition("p", "Applied"),
            Some(("True".into(), "Applied".into())),
            "crash at {crash_at}"
        );
    }
}

/// Its file was let go already, and whoever edits it then makes it one that has to be read, by nobody.
#[test]
fn a_policy_that_is_deleted_while_its_rollout_hangs_goes_in_the_end() {
    let mut run = shop("pool:\n  size: 5\n");
    let api = deployment("api");
    let mut spec = settings(json!([in_document(number(HANGS)), variable("a", 1, "A")]));
    spec["deletionPolicy"] = json!("Restore");
    apply(&mut run, "p", &spec);
    run.pass(Span::seconds(5));
    run.people("delete the policy", |server, _| server.delete_policy(&policy("p")));
    run.pass(Span::seconds(5));
    assert_eq!(run.server.document("api-config"), "pool:\n  size: 5\n", "files come first");
    run.people("edit a file", |server, _| {
        let data = json!({"data": {"config.yaml": "pool:\n  size: 5\n", "other": "1"}});
        server.kubectl_apply(&config_map("api-config"), &data);
    });
    apply(
        &mut run,
        "q",
        &json!({"mode": "Enforce", "target": {"kind": "Deployment", "name": "api"},
        "settings": [variable("b", 2, "B")]}),
    );
    rest(&mut run);
    assert!(!run.server.policies.contains_key(&policy("p")), "it waits for ever");
    assert_eq!((run.server.env(&api, "A"), run.server.env(&api, "B").as_deref()), (None, Some("2")));
}

#[test]
fn who_has_waited_longest_is_next() {
    let names = ["m", "c", "x", "a", "k"];
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        for name in names {
            server.kubectl_apply(&config_map(&format!("{name}-config")), &json!({"data": {}}));
            server.kubectl_apply(&deployment(name), &workload(name, &json!({})));
        }
    });
    run.pass(Span::seconds(10));
    for name in names {
        let target = json!({"kind": "Deployment", "name": name});
        apply(&mut run, name, &json!({"mode": "Enforce", "target": target, "settings": [variable("a", 1, "A")]}));
        run.pass(Span::millis(900));
    }
    let mut order = Vec::new();
    for _ in 0..20_000 {
        run.turn();
        for name in names {
            if !order.contains(&name) && run.server.env(&deployment(name), "A").is_some() {
                order.push(name);
            }
        }
    }
    assert_eq!(order, names, "one at a time in a namespace, in the order in which they came");
    rest(&mut run);
}

#[test]
fn a_record_that_is_gone_is_not_made_up() {
    let api = deployment("api");
    let mut run = shop("pool:\n  size: 5\n");
    let mut spec = settings(json!([variable("a", 4, "A"), variable("log", 1, "LOG"), whole_key(3)]));
    spec["settings"][1]["onConflict"] = json!("TakeOver");
    spec["deletionPolicy"] = json!("Restore");
    apply(&mut run, "p", &spec);
    rest(&mut run);
    for key in [&api, &config_map("api-config")] {
        run.people("clean up", |server, _| {
            server.edit_as("cleaner", key, |tree| {
                tree["metadata"]["annotations"].as_object_mut().unwrap().remove("trimtab.dev/baseline.p");
            });
        });
    }
    rest(&mut run);
    assert_eq!(run.server.condition("p", "Conflicted"), Some(("True".into(), "ManualOverride".into())));
    assert_eq!(run.object(&api).annotation("trimtab.dev/baseline.p"), None);
    run.people("resume", |server, _| server.resume("p"));
    rest(&mut run);
    assert_eq!(run.server.condition("p", "Applied"), Some(("True".into(), "Applied".into())));
    assert_eq!(revisions(&run, &api), 1, "nothing but the record was missing");
}

/// As `a_crash_at_any_moment_changes_nothing`, with values that fail: in a variable beside a file, in a document, in a key.
#[test]
fn a_crash_at_any_moment_keeps_nothing_that_fails() {
    let api = deployment("api");
    let spec = |a: i64, size: i64, limit: i64, flag: i64| {
        let flag = json!({"name": "flag", "type": "Integer", "value": flag, "arg": "--flag", "onConflict": "TakeOver"});
        settings(json!([variable("a", a, "A"), in_document(size), whole_key(limit), flag]))
    };
    let bad = number(BAD);
    for wrong in [spec(bad, 6, 4, 1), spec(2, bad, 4, 1), spec(2, 6, bad, 1), spec(2, 6, 4, bad)] {
        let story = |crash_at: Option<u64>| {
            let mut run = shop("pool:\n  size: 5\n");
            run.journal = None;
            apply(&mut run, "p", &spec(1, 5, 3, 1));
            rest(&mut run);
            let before = run.object(&api).template().clone();
            apply(&mut run, "p", &wrong);
            let events = run.pass_with_crash(Span::seconds(60), crash_at);
            rest(&mut run);
            is_rolled_back(&run, "p");
            assert_eq!(run.object(&api).template(), &before, "crash at event {crash_at:?}");
            assert_eq!(run.server.document("api-config"), "pool:\n  size: 5\n", "crash at event {crash_at:?}");
            assert_eq!(key(&run), json!("3"), "crash at event {crash_at:?}");
            assert_eq!(revisions(&run, &api), 3, "crash at event {crash_at:?}");
            events
        };
        for at in 0..story(None) {
            story(Some(at));
        }
    }
}

#[test]
fn a_change_before_the_way_back_does_not_become_what_it_leads_to() {
    let api = deployment("api");
    let spec = |a: i64| settings(json!([variable("a", a, "A")]));
    let mut run = shop("pool:\n  size: 5\n");
    apply(&mut run, "p", &spec(1));
    rest(&mut run);
    apply(&mut run, "p", &spec(number(BAD)));
    // The failure is known, and before anything is taken back there is a policy that says something else.
    while !run.leader.world.rollouts().any(|(target, _)| *target == api) {
        run.turn();
    }
    run.people("suspend", |server, _| server.suspend("p", "to look at it"));
    run.pass(Span::minutes(3));
    assert_eq!(run.server.env(&api, "A").as_deref(), Some(BAD));
    run.people("apply and go on", |server, _| {
        server.apply_policy("p", &spec(number(HANGS)));
        server.suspend("p", "");
    });
    rest(&mut run);
    is_rolled_back(&run, "p");
    assert_eq!(run.server.env(&api, "A").as_deref(), Some("1"));
}

#[test]
fn a_value_that_crashes_while_the_next_one_rolls_out_goes_back_with_it() {
    let api = deployment("api");
    let spec = |a: i64, b: i64| settings(json!([variable("a", a, "A"), variable("b", b, "B")]));
    let mut run = shop("pool:\n  size: 5\n");
    apply(&mut run, "p", &spec(1, 1));
    rest(&mut run);
    let before = run.object(&api).template().clone();
    apply(&mut run, "p", &spec(number(CRASHES_LATER), 1));
    run.pass(Span::seconds(11));
    assert_eq!(run.server.condition("p", "Applied"), Some(("True".into(), "Applied".into())));
    apply(&mut run, "p", &spec(number(CRASHES_LATER), 2));
    rest(&mut run);
    is_rolled_back(&run, "p");
    assert_eq!(run.object(&api).template(), &before);
}

#[test]
fn a_knob_that_is_removed_while_its_value_rolls_out_leaves_nothing_that_fails() {
    let api = deployment("api");
    let all = |a: i64, size: i64, limit: i64| {
        json!([variable("a", a, "A"), variable("b", 1, "B"), in_document(size), whole_key(limit)])
    };
    let bad = number(BAD);
    let removed = [(all(bad, 6, 4), 0), (all(2, bad, 4), 2), (all(2, 6, bad), 3)];
    // Alone, and together with a change of another knob.
    for ((wrong, knob), more) in removed.into_iter().flat_map(|one| [(one.clone(), false), (one, true)]) {
        let mut run = shop("pool:\n  size: 5\n");
        apply(&mut run, "p", &settings(all(1, 5, 3)));
        rest(&mut run);
        apply(&mut run, "p", &settings(wrong.clone()));
        run.pass(Span::seconds(3));
        let mut fewer = wrong;
        if more {
            fewer[1]["value"] = json!(2);
        }
        fewer.as_array_mut().unwrap().remove(knob);
        apply(&mut run, "p", &settings(fewer));
        rest(&mut run);
        assert_ne!(run.server.env(&api, "A").as_deref(), Some(BAD), "{knob}");
        assert!(!run.server.document("api-config").contains(BAD), "{knob}");
        assert_ne!(key(&run), json!(BAD), "{knob}");
        assert_ne!(run.server.condition("p", "Ready").unwrap().1, "Served", "{knob}");
    }
}

#[test]
fn a_file_whose_restart_is_held_up_comes_back_when_it_fails() {
    let api = deployment("api");
    for size in [number(BAD), 6] {
        let mut run = shop("pool:\n  size: 5\n");
        let config = |size: i64| settings(json!([in_document(size), whole_key(3)]));
        apply(&mut run, "p", &config(5));
        rest(&mut run);
        // Between the edit and the stamp, somebody pauses the workload.
        apply(&mut run, "p", &config(size));
        while run.server.document("api-config") == "pool:\n  size: 5\n" {
            run.turn();
        }
        run.people("pause", |server, _| server.pause(&api, true));
        run.pass(Span::minutes(3));
        apply(&mut run, "p", &config(if size == 6 { number(BAD) } else { size }));
        run.pass(Span::minutes(3));
        run.people("go on", |server, _| server.pause(&api, false));
        rest(&mut run);
        is_rolled_back(&run, "p");
        assert_eq!(run.server.document("api-config"), "pool:\n  size: 5\n");
    }
}

#[test]
fn a_file_that_was_proven_long_ago_has_no_part_in_the_failure_of_another() {
    let mut run = shop("pool:\n  size: 5\n");
    let other = config_map("other");
    run.people("install", |server, _| server.kubectl_apply(&other, &json!({"data": {"limit": "1"}})));
    let spec = |limit: i64, size: i64| {
        let mut key = whole_key(limit);
        key["configMapKey"]["name"] = json!("other");
        key["onConflict"] = json!("TakeOver");
        settings(json!([key, in_document(size)]))
    };
    apply(&mut run, "p", &spec(4, 5));
    rest(&mut run);
    for crash in [false, true] {
        apply(&mut run, "p", &spec(4, number(BAD)));
        run.pass(Span::seconds(3));
        if crash {
            run.crash();
        }
        rest(&mut run);
        is_rolled_back(&run, "p");
        assert_eq!(run.server.document("api-config"), "pool:\n  size: 5\n");
        assert_eq!(run.object(&other).at("/data/limit"), "4");
        // The quarantine is forgotten with the policy.
        run.people("delete policy", |server, _| server.delete_policy(&policy("p")));
        rest(&mut run);
        apply(&mut run, "p", &spec(4, 5));
        rest(&mut run);
    }
}
