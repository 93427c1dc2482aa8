//! Stories of values that follow from others: they move together, and follow from what is really there.

use serde_json::{Value, json};
use trimtab::core::facts::Span;

use super::{
    controllers::CRASHES,
    people::{config_map, deployment, policy, variables, workload},
    run::Run,
    scenario::override_env,
};

const DOCUMENT: &str = "pool:\n  size: 5\n";

fn shop(container: &Value) -> Run {
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        server.kubectl_apply(&config_map("api-config"), &json!({"data": {"config.yaml": DOCUMENT}}));
        server.kubectl_apply(&deployment("api"), &workload("api", container));
    });
    run.pass(Span::seconds(10));
    // Limits of 512Mi, 1Gi, 2Gi and 4Gi, with workers, pools and batches; five workers of a person; and twice what crashes.
    let values = ["2", "50", "100", "4", "25", "50", "8", "12", "24", "16", "6", "20", "40", "132"];
    run.invariants.told.extend(values.map(str::to_owned));
    run
}

/// Workers and a pool in the environment and a batch in a document, all from the limit of memory.
fn derived(resources: &Value) -> Value {
    let mut spec = json!({
        "mode": "Enforce", "target": {"kind": "Deployment", "name": "api"},
        "workers": [{"name": "web", "count": {"value": "= floor(limits.memory / 256Mi)", "env": "WORKERS"}}],
        "pools": [{"name": "db", "perWorker": "web", "size": {"value": "= floor(100 / workers.web.count)", "env": "POOL"}}],
        "files": [{"name": "config", "configMap": "api-config", "key": "config.yaml", "format": "YAML"}],
        "settings": [{"name": "batch", "value": "= 2 * pools.db.size", "path": {"file": "config", "at": "/pool/size"}}],
    });
    if !resources.is_null() {
        spec["resources"] = resources.clone();
    }
    spec
}

fn limit(memory: &str) -> Value {
    json!([{"container": "api", "limits": {"memory": memory}}])
}

fn apply(run: &mut Run, spec: &Value) {
    run.people("apply policy p", |server, _| server.apply_policy("p", spec));
}

fn rest(run: &mut Run) {
    run.come_to_rest(Span::seconds(120), Span::minutes(30));
    run.stay_at_rest();
}

fn revisions(run: &Run) -> u32 {
    run.invariants.revisions.get(&deployment("api")).copied().unwrap_or(0)
}

#[track_caller]
fn has(run: &Run, memory: &str, workers: &str, pool: &str, batch: u32) {
    let api = deployment("api");
    let env = |name: &str| run.server.env(&api, name).unwrap_or_default();
    let live = run.object(&api).at("/spec/template/spec/containers/0/resources/limits/memory");
    assert_eq!((live, env("WORKERS").as_str(), env("POOL").as_str()), (&json!(memory), workers, pool));
    assert_eq!(run.server.document("api-config"), format!("pool:\n  size: {batch}\n"));
}

fn condition(run: &Run, kind: &str) -> Option<(String, String)> {
    run.server.condition("p", kind)
}

#[test]
fn one_change_of_a_limit_moves_everything_below_it_in_one_rollout() {
    let mut run = shop(&json!({}));
    apply(&mut run, &derived(&limit("1Gi")));
    rest(&mut run);
    has(&run, "1Gi", "4", "25", 50);
    assert_eq!(revisions(&run), 1);
    apply(&mut run, &derived(&limit("2Gi")));
    rest(&mut run);
    has(&run, "2Gi", "8", "12", 24);
    assert_eq!(revisions(&run), 2);
    assert_eq!(condition(&run, "Applied"), Some(("True".into(), "Applied".into())));
}

#[test]
fn without_a_limit_of_the_policy_the_templates_counts_and_is_followed() {
    let resources = |memory: &str| json!({"resources": {"limits": {"memory": memory}}});
    let mut run = shop(&resources("1Gi"));
    apply(&mut run, &derived(&Value::Null));
    rest(&mut run);
    has(&run, "1Gi", "4", "25", 50);
    let before = revisions(&run);
    run.people("deploy", |server, _| {
        server.kubectl_apply(&deployment("api"), &workload("api", &resources("2Gi")));
    });
    rest(&mut run);
    has(&run, "2Gi", "8", "12", 24);
    assert_eq!(revisions(&run), before + 1, "theirs is not ours to save");
}

#[test]
fn where_the_limit_is_left_to_its_owner_what_follows_from_it_follows_from_the_owners() {
    let resources = |memory: &str| json!({"resources": {"limits": {"memory": memory}}});
    let mut run = shop(&resources("1Gi"));
    apply(&mut run, &derived(&limit("4Gi")));
    rest(&mut run);
    has(&run, "1Gi", "4", "25", 50);
    assert_eq!(condition(&run, "Conflicted"), Some(("True".into(), "FieldManagerConflict".into())));
    let mut takes = limit("4Gi");
    takes[0]["onConflict"] = json!("TakeOver");
    apply(&mut run, &derived(&takes));
    rest(&mut run);
    has(&run, "4Gi", "16", "6", 12);
    assert_eq!(revisions(&run), 2);
}

#[test]
fn without_any_limit_nothing_is_written_and_the_policy_says_what_is_missing() {
    let mut run = shop(&json!({}));
    apply(&mut run, &derived(&Value::Null));
    rest(&mut run);
    assert_eq!(run.counts.writes, 0);
    assert_eq!(condition(&run, "Applied"), Some(("False".into(), "FormulaFailed".into())));
    run.people("deploy", |server, _| {
        let resources = json!({"resources": {"limits": {"memory": "512Mi"}}});
        server.kubectl_apply(&deployment("api"), &workload("api", &resources));
    });
    rest(&mut run);
    has(&run, "512Mi", "2", "50", 100);
    assert_eq!(condition(&run, "Applied"), Some(("True".into(), "Applied".into())));
}

/// A limit of helm's, below which everything follows.
fn owned(memory: &str) -> Value {
    json!({"resources": {"limits": {"memory": memory}}})
}

fn deploy(run: &mut Run, container: &Value) {
    run.people("deploy", |server, _| server.kubectl_apply(&deployment("api"), &workload("api", container)));
}

/// Whatever a person sets an input to, the object is held, and a resumption takes it back.
#[test]
fn an_input_that_a_person_makes_unreadable_is_held_and_can_be_resumed() {
    for value in [None, Some("0"), Some("auto")] {
        let mut run = shop(&json!({"env": variables(&[("LOG", "x")])}));
        apply(&mut run, &derived(&limit("1Gi")));
        rest(&mut run);
        override_env(&mut run, &deployment("api"), "WORKERS", value);
        rest(&mut run);
        let env = |run: &Run, name: &str| run.server.env(&deployment("api"), name);
        assert_eq!((env(&run, "WORKERS").as_deref(), env(&run, "POOL").as_deref()), (value, Some("25")));
        assert_eq!(condition(&run, "Applied").map(|(status, _)| status), Some("False".into()), "{value:?}");
        run.people("resume", |server, _| server.resume("p"));
        rest(&mut run);
        has(&run, "1Gi", "4", "25", 50);
        assert_eq!(condition(&run, "Applied"), Some(("True".into(), "Applied".into())), "{value:?}");
    }
}

/// The limit goes away while its rollout fails: what failed goes back all the same.
#[test]
fn what_failed_goes_back_even_if_formulas_have_no_value_any_more() {
    let spec = |base: i64| {
        json!({
            "mode": "Enforce", "target": {"kind": "Deployment", "name": "api"},
            "pools": [{"name": "db", "size": {"value": base, "env": "POOL"}}],
            "settings": [{"name": "batch", "value": "= floor(limits.memory / 128Mi)", "env": "BATCH"}],
        })
    };
    let mut run = shop(&owned("1Gi"));
    apply(&mut run, &spec(4));
    rest(&mut run);
    apply(&mut run, &spec(CRASHES.parse().unwrap()));
    run.pass(Span::seconds(2));
    deploy(&mut run, &json!({}));
    rest(&mut run);
    let env = |name: &str| run.server.env(&deployment("api"), name).unwrap_or_default();
    assert_eq!((env("POOL"), env("BATCH")), ("4".into(), "8".into()));
}

/// What fails goes back with everything that followed from it, and what follows from it later follows from what is there.
#[test]
fn what_followed_from_a_value_that_failed_goes_back_with_it() {
    let spec = |base: i64, log: &str| {
        json!({
            "mode": "Enforce", "target": {"kind": "Deployment", "name": "api"},
            "pools": [{"name": "db", "size": {"value": base, "env": "POOL"}}],
            "settings": [
                {"name": "batch", "value": "= 2 * pools.db.size", "env": "BATCH"},
                {"name": "log", "type": "Enum", "allowed": ["x", "y"], "value": log, "env": "LOG"},
            ],
        })
    };
    for crash in [false, true] {
        let mut run = shop(&json!({}));
        let api = deployment("api");
        apply(&mut run, &spec(4, "x"));
        rest(&mut run);
        let template = run.object(&api).template().clone();
        apply(&mut run, &spec(CRASHES.parse().unwrap(), "x"));
        run.pass(Span::seconds(3));
        if crash {
            run.crash();
        }
        rest(&mut run);
        assert_eq!(condition(&run, "Ready"), Some(("False".into(), "RolledBack".into())));
        assert_eq!(run.object(&api).template(), &template);
        let before = revisions(&run);
        // Something else changes: the value in quarantine stays away, and so does what would follow from it.
        apply(&mut run, &spec(CRASHES.parse().unwrap(), "y"));
        rest(&mut run);
        let env = |name: &str| run.server.env(&api, name).unwrap_or_default();
        assert_eq!((env("POOL"), env("BATCH"), env("LOG")), ("4".into(), "8".into(), "y".into()));
        assert_eq!(revisions(&run), before + 1);
    }
}

#[test]
fn a_person_who_sets_an_input_stops_what_follows_from_it_on_other_objects_too() {
    let mut run = shop(&json!({"env": variables(&[("LOG", "x")])}));
    apply(&mut run, &derived(&limit("1Gi")));
    rest(&mut run);
    override_env(&mut run, &deployment("api"), "WORKERS", Some("5"));
    rest(&mut run);
    // The object is held as the person left it, all of it, until the policy changes.
    has(&run, "1Gi", "5", "25", 50);
    apply(&mut run, &derived(&limit("2Gi")));
    rest(&mut run);
    has(&run, "2Gi", "8", "12", 24);
    run.people("delete policy", |server, _| server.delete_policy(&policy("p")));
    rest(&mut run);
}
