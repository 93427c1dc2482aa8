//! Stories with a known end: one per rule, and one per bug that the simulation found.

use serde_json::{Value, json};
use trimtab::core::facts::Span;

use super::{
    controllers::{CRASHES, CRASHES_LATER, HANGS},
    people::{config_map, deployment, policy, variables, workload},
    run::Run,
    scenario::override_env,
};

const DOCUMENT: &str = "# pools of the shop\npool:\n  size: 5 # small\n  timeout: 30\n";

/// A Deployment `api` with a `ConfigMap`, and an operator that has seen both.
fn shop(container: &Value) -> Run {
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        server.kubectl_apply(&config_map("api-config"), &json!({"data": {"config.yaml": DOCUMENT}}));
        server.kubectl_apply(&deployment("api"), &workload("api", container));
    });
    run.pass(Span::seconds(10));
    run
}

fn target() -> Value {
    json!({"kind": "Deployment", "name": "api"})
}

/// Environment, resources and a document, on one Deployment.
fn everything(pool: i64, memory: &str, size: i64) -> Value {
    json!({
        "mode": "Enforce",
        "target": target(),
        "resources": [{"container": "api", "limits": {"memory": memory}, "requests": {"memory": memory}}],
        "pools": [{"name": "db", "size": {"value": pool, "env": "DB_POOL_SIZE"}}],
        "files": [{"name": "config", "configMap": "api-config", "key": "config.yaml", "format": "YAML", "reload": "Restart"}],
        "settings": [{"name": "size", "type": "Integer", "value": size, "path": {"file": "config", "at": "/pool/size"}}],
    })
}

fn env_only(size: i64) -> Value {
    json!({"mode": "Enforce", "target": target(), "pools": [{"name": "db", "size": {"value": size, "env": "DB_POOL_SIZE"}}]})
}

fn apply(run: &mut Run, name: &str, spec: &Value) {
    run.people(&format!("apply policy {name}"), |server, _| server.apply_policy(name, spec));
}

fn rest(run: &mut Run) {
    run.come_to_rest(Span::seconds(120), Span::hours(3));
    run.stay_at_rest();
}

#[test]
fn one_policy_brings_variable_resources_and_document_to_rest_in_one_rollout() {
    let mut run = shop(&json!({"env": variables(&[("LOG", "info")])}));
    apply(&mut run, "p", &everything(20, "1Gi", 9));
    rest(&mut run);
    let api = deployment("api");
    assert_eq!(run.server.env(&api, "DB_POOL_SIZE").as_deref(), Some("20"));
    assert_eq!(run.object(&api).at("/spec/template/spec/containers/0/resources/limits/memory"), "1Gi");
    assert_eq!(run.server.document("api-config"), DOCUMENT.replace("size: 5", "size: 9"));
    assert_eq!(run.invariants.revisions[&api], 1);
    assert_eq!(run.server.condition("p", "Applied"), Some(("True".into(), "Applied".into())));
    assert_eq!(run.server.condition("p", "Ready"), Some(("True".into(), "Served".into())));
}

#[test]
fn a_change_of_one_object_is_one_write_two_statuses_and_two_events() {
    let mut run = shop(&json!({}));
    apply(&mut run, "p", &env_only(20));
    rest(&mut run);
    let before = run.counts;
    apply(&mut run, "p", &env_only(21));
    rest(&mut run);
    assert_eq!(run.counts.writes - before.writes, 1);
    assert!(run.counts.statuses - before.statuses <= 2, "{:?}", run.counts);
    assert!(run.counts.told - before.told <= 2, "{:?}", run.counts);
}

#[test]
fn a_value_that_crashes_is_taken_back_and_not_tried_again() {
    let set = json!({"env": variables(&[("DB_POOL_SIZE", "7"), ("LOG", "x")])});
    // Where nothing was set before, nothing is set afterwards.
    for (container, takes_over, before) in [(json!({}), false, None), (set, true, Some("7"))] {
        for bad in [CRASHES, HANGS] {
            let mut run = shop(&container);
            let mut spec = env_only(bad.parse().unwrap());
            if takes_over {
                spec["pools"][0]["size"]["onConflict"] = json!("TakeOver");
            }
            apply(&mut run, "p", &spec);
            rest(&mut run);
            let api = deployment("api");
            assert_eq!(run.server.env(&api, "DB_POOL_SIZE").as_deref(), before, "{bad}");
            assert_eq!(run.invariants.revisions[&api], 2, "there and back");
            assert_eq!(run.server.condition("p", "Ready"), Some(("False".into(), "RolledBack".into())));
            run.crash();
            rest(&mut run);
            assert_eq!(run.invariants.revisions[&api], 2);
        }
    }
}

#[test]
fn what_a_person_sets_stays_until_the_policy_changes() {
    let mut run = shop(&json!({"env": variables(&[("LOG", "x")])}));
    let api = deployment("api");
    apply(&mut run, "p", &env_only(20));
    rest(&mut run);
    override_env(&mut run, &api, "DB_POOL_SIZE", Some("50"));
    rest(&mut run);
    run.crash();
    rest(&mut run);
    assert_eq!(run.server.env(&api, "DB_POOL_SIZE").as_deref(), Some("50"));
    assert_eq!(run.server.condition("p", "Conflicted"), Some(("True".into(), "ManualOverride".into())));
    apply(&mut run, "p", &env_only(21));
    rest(&mut run);
    assert_eq!(run.server.env(&api, "DB_POOL_SIZE").as_deref(), Some("21"));
}

#[test]
fn a_record_that_came_back_with_rollout_undo_is_not_in_the_way() {
    let mut run = shop(&json!({"env": variables(&[("LOG", "x")])}));
    let api = deployment("api");
    for size in [20, 21] {
        apply(&mut run, "p", &env_only(size));
        rest(&mut run);
    }
    run.people("rollout undo", |server, controllers| server.rollout_undo(controllers, &deployment("api"), 1));
    rest(&mut run);
    assert_eq!(run.server.env(&api, "DB_POOL_SIZE").as_deref(), Some("20"), "the person's word holds");
    apply(&mut run, "p", &env_only(22));
    rest(&mut run);
    assert_eq!(run.server.env(&api, "DB_POOL_SIZE").as_deref(), Some("22"));
}

#[test]
fn a_deleted_policy_leaves_its_values_and_no_trace_or_puts_everything_back() {
    for restore in [false, true] {
        let container = json!({"env": variables(&[("LOG", "x")]), "resources": {"limits": {"memory": "2Gi"}, "requests": {"memory": "1Gi"}}});
        let mut run = shop(&container);
        let api = deployment("api");
        let original = run.object(&api).template().clone();
        let mut spec = everything(20, "1536Mi", 9);
        spec["resources"][0]["onConflict"] = json!("TakeOver");
        if restore {
            spec["deletionPolicy"] = json!("Restore");
        }
        apply(&mut run, "p", &spec);
        rest(&mut run);
        let governed = run.object(&api).template().clone();
        assert_ne!(governed, original);
        run.people("delete policy", |server, _| server.delete_policy(&policy("p")));
        rest(&mut run);
        assert!(!run.server.policies.contains_key(&policy("p")));
        for key in [api.clone(), config_map("api-config")] {
            assert_eq!(run.server.traces(&key), [""; 0]);
        }
        let (template, document) = (run.object(&api).template().clone(), run.server.document("api-config"));
        if restore {
            assert_eq!(document, DOCUMENT);
            assert_eq!(template["spec"], original["spec"]);
        } else {
            assert_eq!(template, governed, "no rollout");
            assert_eq!(document, DOCUMENT.replace("size: 5", "size: 9"));
        }
    }
}

/// Without a readiness probe a pod counts as available before it has shown that it runs.
#[test]
fn a_value_that_crashes_after_the_rollout_is_complete_is_taken_back_even_after_a_restart() {
    for crash in [false, true] {
        let mut run = shop(&json!({}));
        let api = deployment("api");
        apply(&mut run, "p", &env_only(20));
        rest(&mut run);
        apply(&mut run, "p", &env_only(CRASHES_LATER.parse().unwrap()));
        run.pass(Span::seconds(11));
        let applied = ("True".to_owned(), "Applied".to_owned());
        assert_eq!(run.server.condition("p", "Applied"), Some(applied), "what is complete is told at once");
        if crash {
            run.crash();
        }
        rest(&mut run);
        assert_eq!(run.server.env(&api, "DB_POOL_SIZE").as_deref(), Some("20"));
        assert_eq!(run.server.condition("p", "Applied"), Some(("False".into(), "RolledBack".into())));
        let status = run.server.policies[&policy("p")].status.clone().unwrap();
        assert_eq!(status.history[0].verdict, "RolledBack", "{:?}", status.history);
        assert_eq!(status.revision, Some(2), "the way back belongs to the change: {:?}", status.history);
        assert_eq!(status.quarantine[0].reason, "CrashLoop");
        assert_eq!(run.invariants.revisions[&api], 3, "two values, and one back");
    }
}

#[test]
fn who_resumes_while_the_workload_still_rolls_out_need_not_resume_twice() {
    for wait in 0..6 {
        let mut run = shop(&json!({}));
        let api = deployment("api");
        apply(&mut run, "p", &env_only(20));
        rest(&mut run);
        override_env(&mut run, &api, "DB_POOL_SIZE", Some("41"));
        run.pass(Span::seconds(1 + wait));
        run.people("resume", |server, _| server.resume("p"));
        rest(&mut run);
        assert_eq!(run.server.env(&api, "DB_POOL_SIZE").as_deref(), Some("20"), "{wait}");
        assert_eq!(run.server.condition("p", "Applied"), Some(("True".into(), "Applied".into())), "{wait}");
    }
}

#[test]
fn a_change_that_restarts_and_one_that_does_not_are_one_entry_of_the_history() {
    let mut run = shop(&json!({}));
    let mut spec = everything(20, "1Gi", 9);
    spec["files"][0]["reload"] = json!("Watch");
    for (revision, pool) in [(1, 20), (2, 21)] {
        spec["pools"][0]["size"]["value"] = json!(pool);
        spec["settings"][0]["value"] = json!(pool - 10);
        apply(&mut run, "p", &spec);
        rest(&mut run);
        let status = run.server.policies[&policy("p")].status.clone().unwrap();
        assert_eq!(status.revision, Some(revision));
        let newest = &status.history[0];
        assert_eq!(newest.verdict, "Applied");
        let paths: Vec<&str> = newest.changes.iter().map(|change| change.path.as_str()).collect();
        assert!(paths.contains(&"settings.size") && paths.contains(&"pools.db.size"), "{paths:?}");
    }
}

#[test]
fn what_a_person_writes_into_a_config_map_is_not_repeated_in_the_status() {
    let mut run = shop(&json!({}));
    let map = config_map("api-config");
    let mut spec = everything(20, "1Gi", 9);
    let landing = json!({"name": "api-config", "key": "plain", "reload": "Watch"});
    spec["settings"].as_array_mut().unwrap().push(json!({"name": "plain", "value": 3, "configMapKey": landing}));
    apply(&mut run, "p", &spec);
    rest(&mut run);
    run.people("edit", |server, _| {
        server.edit_as("kubectl-edit", &map, |tree| {
            tree["data"]["config.yaml"] = json!(DOCUMENT.replace("size: 5", "size: hunter2"));
            tree["data"]["plain"] = json!("hunter2");
        });
    });
    rest(&mut run);
    assert_eq!(run.server.condition("p", "Conflicted"), Some(("True".into(), "ManualOverride".into())));
    let status = json!(run.server.policies[&policy("p")].status).to_string();
    assert!(
        status.contains("api-config") && status.contains("kubectl-edit") && !status.contains("hunter2"),
        "{status}"
    );
}

/// A rollout that puts things back may outlive its policy, and then nobody governs the workload any more.
#[test]
fn the_next_one_does_not_wait_for_ever_for_the_last_rollout_of_a_policy_that_is_gone() {
    let mut run = shop(&json!({}));
    run.people("install", |server, _| server.kubectl_apply(&deployment("other"), &workload("other", &json!({}))));
    let mut spec = env_only(20);
    spec["deletionPolicy"] = json!("Restore");
    apply(&mut run, "p", &spec);
    rest(&mut run);
    run.people("delete policy", |server, _| server.delete_policy(&policy("p")));
    while run.server.policies.contains_key(&policy("p")) {
        run.turn();
    }
    let mut next = env_only(21);
    next["target"]["name"] = json!("other");
    apply(&mut run, "q", &next);
    rest(&mut run);
    assert_eq!(run.server.env(&deployment("other"), "DB_POOL_SIZE").as_deref(), Some("21"));
}

/// What a new leader tells of the targets that are done must not end the rollout that is under way: the next leader would
/// begin another one beside it, which the invariants do not let pass.
#[test]
fn a_second_restart_during_the_rollout_of_a_second_target_still_finds_it() {
    let mut run = shop(&json!({}));
    run.people("install", |server, _| server.kubectl_apply(&deployment("b"), &workload("b", &json!({}))));
    let mut spec = env_only(20);
    spec["target"] = json!({"kind": "Deployment", "selector": {"matchLabels": {"tier": "web"}}});
    apply(&mut run, "p", &spec);
    let b = deployment("b");
    while run.server.env(&b, "DB_POOL_SIZE").is_none() {
        run.turn();
    }
    run.people("install", |server, _| {
        let mut manifest = workload("c", &json!({}));
        manifest["metadata"]["labels"]["tier"] = json!("back");
        server.kubectl_apply(&deployment("c"), &manifest);
    });
    let mut next = env_only(21);
    next["target"]["name"] = json!("c");
    apply(&mut run, "q", &next);
    for _ in 0..2 {
        run.pass(Span::seconds(2));
        run.crash();
    }
    rest(&mut run);
    for name in ["api", "b", "c"] {
        assert_eq!(run.invariants.revisions[&deployment(name)], 1, "{name}");
    }
}

/// A watch may show what a write did before its answer is lost.
#[test]
fn a_rollout_whose_write_has_no_answer_is_looked_after() {
    let mut run = shop(&json!({}));
    let api = deployment("api");
    apply(&mut run, "p", &env_only(20));
    rest(&mut run);
    run.faults.lose_reply = 1000;
    apply(&mut run, "p", &env_only(CRASHES.parse().unwrap()));
    while run.server.env(&api, "DB_POOL_SIZE").as_deref() != Some(CRASHES) {
        run.turn();
    }
    rest(&mut run);
    assert_eq!(run.server.env(&api, "DB_POOL_SIZE").as_deref(), Some("20"), "taken back");
}

#[test]
fn a_value_that_fails_is_taken_back_even_if_the_answer_to_the_status_that_says_so_is_lost() {
    let mut run = shop(&json!({}));
    let api = deployment("api");
    apply(&mut run, "p", &env_only(20));
    rest(&mut run);
    apply(&mut run, "p", &env_only(CRASHES.parse().unwrap()));
    while run.server.env(&api, "DB_POOL_SIZE").as_deref() != Some(CRASHES) {
        run.turn();
    }
    run.faults.lose_reply = 1000;
    while run.server.policies[&policy("p")].status.as_ref().is_none_or(|status| status.quarantine.is_empty()) {
        run.turn();
    }
    rest(&mut run);
    assert_eq!(run.server.env(&api, "DB_POOL_SIZE").as_deref(), Some("20"), "taken back");
}

/// The owner applies server-side, and a document is all that it owns: between an edit of ours and its release, its entry is
/// gone from the list of managers.
#[test]
fn an_owner_who_applies_server_side_meets_no_conflict_after_an_edit() {
    let map = config_map("api-config");
    let document = |size: u8| json!({"data": {"config.yaml": DOCUMENT.replace("size: 5", &format!("size: {size}"))}});
    for next in [5, 7] {
        let mut run = Run::new(1);
        run.people("install", |server, _| {
            server.server_side("kubectl", &map, &document(5), false).unwrap();
            server.kubectl_apply(&deployment("api"), &workload("api", &json!({})));
        });
        run.pass(Span::seconds(10));
        apply(&mut run, "p", &everything(20, "1Gi", 9));
        rest(&mut run);
        assert_eq!(run.server.document("api-config"), DOCUMENT.replace("size: 5", "size: 9"));
        run.people("apply again", |server, _| server.server_side("kubectl", &map, &document(next), false).unwrap());
        rest(&mut run);
        // Somebody who does not own the document may not have it.
        run.people("apply as another", |server, _| {
            server.server_side("flux", &map, &document(8), false).unwrap_err();
        });
    }
}

/// The list of kernel parameters is known as a whole only: whoever takes it over keeps what is in it, and gives back what its
/// owner wanted last.
#[test]
fn sysctls_of_a_manifest_are_kept_in_the_list_and_restore_goes_back_to_what_its_owner_applied_last() {
    let api = deployment("api");
    let list = |entries: &[(&str, &str)]| variables(entries);
    let manifest = |entries: &[(&str, &str)]| {
        let mut manifest = workload("api", &json!({}));
        manifest["spec"]["template"]["spec"]["securityContext"]["sysctls"] = list(entries);
        manifest
    };
    let live = |run: &Run| run.object(&api).at("/spec/template/spec/securityContext/sysctls").clone();
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        server.server_side("flux", &api, &manifest(&[("net.ipv4.tcp_syncookies", "1")]), false).unwrap();
    });
    run.pass(Span::seconds(10));
    let spec = |timeout: &str, on_conflict: &str| {
        json!({"mode": "Enforce", "target": target(), "deletionPolicy": "Restore", "kernel": {
            "sysctls": [{"name": "net.ipv4.tcp_fin_timeout", "value": timeout}], "onConflict": on_conflict, "openFiles": 65536}})
    };
    apply(&mut run, "p", &spec("15", "Yield"));
    rest(&mut run);
    assert_eq!(live(&run), list(&[("net.ipv4.tcp_syncookies", "1")]), "it is left to its owner");

    apply(&mut run, "p", &spec("15", "TakeOver"));
    rest(&mut run);
    assert_eq!(live(&run), list(&[("net.ipv4.tcp_syncookies", "1"), ("net.ipv4.tcp_fin_timeout", "15")]));
    // The owner wants more, and insists once: ours is put into the new list.
    let more = [("net.ipv4.tcp_syncookies", "2"), ("net.ipv4.ip_unprivileged_port_start", "80")];
    run.people("apply again", |server, _| server.server_side("flux", &api, &manifest(&more), true).unwrap());
    rest(&mut run);
    let both = [more[0], more[1], ("net.ipv4.tcp_fin_timeout", "15")];
    assert_eq!(live(&run), list(&both));

    run.people("delete", |server, _| server.delete_policy(&policy("p")));
    rest(&mut run);
    assert_eq!(live(&run), list(&more));
    assert_eq!(run.server.traces(&api), Vec::<String>::new());
}

#[test]
fn sysctls_that_nobody_set_go_away_with_a_policy_that_restores() {
    let api = deployment("api");
    let mut run = shop(&json!({}));
    let spec = |timeout: &str| {
        json!({"mode": "Enforce", "target": target(), "deletionPolicy": "Restore",
            "kernel": {"sysctls": [{"name": "net.ipv4.tcp_fin_timeout", "value": timeout}]}})
    };
    for timeout in ["15", "20"] {
        apply(&mut run, "p", &spec(timeout));
        rest(&mut run);
        let live = run.object(&api).at("/spec/template/spec/securityContext/sysctls");
        assert_eq!(*live, variables(&[("net.ipv4.tcp_fin_timeout", timeout)]));
    }
    run.people("delete", |server, _| server.delete_policy(&policy("p")));
    rest(&mut run);
    assert_eq!(*run.object(&api).at("/spec/template/spec/securityContext/sysctls"), Value::Null);
}

/// What `Restore` goes back to is what its owner wanted last: a line that the owner took out does not come back.
#[test]
fn a_line_that_its_owner_took_out_does_not_come_back() {
    let (map, mut run) = (config_map("api-config"), Run::new(1));
    let data = |text: &str| json!({"data": {"api.conf": text}});
    run.people("install", |server, _| {
        server.server_side("flux", &map, &data("a = 1\nlimit = 5\n"), false).unwrap();
        server.kubectl_apply(&deployment("api"), &workload("api", &json!({})));
    });
    run.pass(Span::seconds(10));
    let spec = json!({"mode": "Enforce", "target": target(), "deletionPolicy": "Restore",
        "files": [{"name": "conf", "configMap": "api-config", "key": "api.conf", "format": "Conf", "onConflict": "TakeOver"}],
        "settings": [{"name": "limit", "value": 7, "path": {"file": "conf", "at": "limit", "create": true}}]});
    apply(&mut run, "p", &spec);
    rest(&mut run);
    let text = |run: &Run| run.object(&map).at("/data/api.conf").as_str().unwrap().to_owned();
    assert_eq!(text(&run), "a = 1\nlimit = 7\n");
    run.people("take it out", |server, _| server.server_side("flux", &map, &data("a = 1\n"), true).unwrap());
    rest(&mut run);
    assert_eq!(text(&run), "a = 1\nlimit = 7\n", "the policy makes the line anew");
    run.people("delete", |server, _| server.delete_policy(&policy("p")));
    rest(&mut run);
    assert_eq!(text(&run), "a = 1\n");
}

/// A crash after every single event of the same story: the end is the same, and nothing is rolled out twice.
#[test]
fn a_crash_at_any_moment_changes_nothing() {
    let story = |crash_at: Option<u64>| {
        let mut run = shop(&json!({"env": variables(&[("LOG", "x")])}));
        run.journal = None;
        apply(&mut run, "p", &everything(20, "1Gi", 9));
        let events = run.pass_with_crash(Span::seconds(30), crash_at);
        run.come_to_rest(Span::seconds(120), Span::hours(1));
        run.stay_at_rest();
        let api = deployment("api");
        let end =
            (run.object(&api).template().clone(), run.server.document("api-config"), run.invariants.revisions[&api]);
        (end, events)
    };
    let (end, events) = story(None);
    for at in 0..events {
        assert_eq!(story(Some(at)).0, end, "crash at event {at}");
    }
}
