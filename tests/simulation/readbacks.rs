//! Stories of values that are in place, and of pods that run with them or do not.

use serde_json::{Value, json};
use trimtab::{api::status::SettingStatus, core::facts::Span};

use super::{
    people::{config_map, deployment, policy, variables, workload},
    run::Run,
};

/// A shop of five pods. `told`: values that stories have beside the policy's.
fn shop() -> Run {
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        let mut manifest = workload("api", &json!({"env": variables(&[("POOL", "7")])}));
        manifest["spec"]["replicas"] = json!(5);
        server.kubectl_apply(&config_map("api-config"), &json!({"data": {"interval": "10"}}));
        server.kubectl_apply(&deployment("api"), &manifest);
        server.put_source();
    });
    run.pass(Span::seconds(10));
    run
}

fn pool(size: i64, effective: bool) -> Value {
    let mut size = json!({"value": size, "env": "POOL", "onConflict": "TakeOver"});
    if effective {
        size["effective"] = json!({"gauge": "pool"});
    }
    json!({"mode": "Enforce", "target": {"kind": "Deployment", "name": "api"}, "pools": [{"name": "db", "size": size}]})
}

fn apply(run: &mut Run, spec: &Value) {
    run.people("apply policy p", |server, _| server.apply_policy("p", spec));
}

fn rest(run: &mut Run) {
    run.come_to_rest(Span::seconds(400), Span::minutes(40));
    run.stay_at_rest();
}

fn effective(run: &Run) -> String {
    let (truth, reason) = run.server.condition("p", "Effective").unwrap_or_default();
    format!("{truth}/{reason}")
}

fn message(run: &Run) -> String {
    let status = run.server.policies[&policy("p")].status.as_ref().unwrap();
    status.conditions.iter().find(|condition| condition.type_ == "Effective").unwrap().message.clone()
}

fn settings(run: &Run) -> &[SettingStatus] {
    &run.server.policies[&policy("p")].status.as_ref().unwrap().settings
}

/// Lets time pass until the rollout is finished and told.
fn until_applied(run: &mut Run) {
    for _ in 0..600 {
        let told = &run.server.policies[&policy("p")];
        let current = told.status.as_ref().and_then(|status| status.observed_generation) == told.metadata.generation;
        if current && run.server.condition("p", "Applied") == Some(("True".into(), "Applied".into())) {
            return;
        }
        run.pass(Span::seconds(1));
    }
    run.fail("it is not applied");
}

#[test]
fn a_value_that_every_pod_tells_is_effective() {
    let mut run = shop();
    apply(&mut run, &pool(20, true));
    until_applied(&mut run);
    assert_eq!(effective(&run), "Unknown/Unknown");
    run.pass(Span::seconds(45));
    assert_eq!((effective(&run), &*message(&run)), ("True/Verified".to_owned(), "1 value is what every pod runs with"));
    rest(&mut run);
    let statuses = run.counts.statuses;
    // What was said holds while somebody else replaces pods, and while there are more or fewer of them.
    run.people("restart", |server, _| server.rollout_restart(&deployment("api")));
    rest(&mut run);
    run.people("scale", |server, _| {
        server.edit_as("kubectl", &deployment("api"), |tree| tree["spec"]["replicas"] = json!(7))
    });
    rest(&mut run);
    assert_eq!(effective(&run), "True/Verified");
    let told = run.server.policies[&policy("p")].status.as_ref().unwrap();
    assert!(told.settings.is_empty(), "{:?}", told.settings);
    run.crash();
    rest(&mut run);
    assert_eq!(effective(&run), "True/Verified");
    assert!(run.counts.statuses - statuses <= 4, "{} statuses", run.counts.statuses - statuses);
}

#[test]
fn without_a_readback_nobody_asks_and_nobody_can_tell() {
    let mut run = shop();
    apply(&mut run, &pool(20, false));
    rest(&mut run);
    assert_eq!((effective(&run), run.counts.queries), ("Unknown/NoReadback".to_owned(), 0));
    let mut spec = pool(20, true);
    spec["mode"] = json!("Recommend");
    apply(&mut run, &spec);
    rest(&mut run);
    assert_eq!((run.server.condition("p", "Effective"), run.counts.queries), (None, 0));
}

#[test]
fn an_application_that_ignores_its_variable_is_named_within_two_sweeps_and_a_new_leader_goes_on_saying_so() {
    let mut run = shop();
    run.people("the application ignores POOL", |server, _| server.ignores.insert("api".into(), 10.0));
    apply(&mut run, &pool(20, true));
    until_applied(&mut run);
    run.pass(Span::seconds(25));
    assert_eq!(effective(&run), "Unknown/Unknown", "one sweep blames nobody");
    // Two sweeps of 30 s, and the time of a status.
    run.pass(Span::seconds(45));
    assert_eq!(effective(&run), "False/NotApplied");
    let said = message(&run);
    assert!(said.starts_with("pools.db.size shall be 20, and 0 of 5 pods run with that: pod-"), "{said}");
    assert!(
        said.ends_with(" tells 10 (pool); it seems to ignore the variable POOL, or something sets the value later"),
        "{said}"
    );
    let listed: Vec<_> =
        settings(&run).iter().map(|s| (&*s.path, &*s.desired, s.effective.as_deref(), &*s.state)).collect();
    assert_eq!(listed, [("pools.db.size", "20", Some("10"), "NotApplied")]);
    rest(&mut run);
    let statuses = run.counts.statuses;
    run.crash();
    run.pass(Span::minutes(5));
    rest(&mut run);
    assert_eq!((effective(&run), run.counts.statuses), ("False/NotApplied".to_owned(), statuses));
    // Another value is another question.
    apply(&mut run, &pool(10, true));
    until_applied(&mut run);
    assert_ne!(effective(&run), "False/NotApplied");
    run.pass(Span::minutes(1));
    assert_eq!(effective(&run), "True/Verified");
    assert!(settings(&run).is_empty());
}

#[test]
fn one_pod_of_five_with_the_old_value_is_told_apart_until_it_has_the_new_one() {
    let mut run = shop();
    apply(&mut run, &pool(20, true));
    rest(&mut run);
    run.people("a pod runs with 7", |server, _| server.outlier.insert("api".into(), 7.0));
    run.pass(Span::seconds(75));
    assert_eq!(effective(&run), "False/Partially");
    let said = message(&run);
    assert!(said.starts_with("pools.db.size shall be 20: 4 of 5 pods run with that, and pod-"), "{said}");
    rest(&mut run);
    run.crash();
    rest(&mut run);
    assert_eq!(effective(&run), "False/Partially");
    run.people("it runs with 20", |server, _| server.outlier.remove("api"));
    run.pass(Span::seconds(75));
    assert_eq!(effective(&run), "True/Verified");
    rest(&mut run);
}

#[test]
fn a_pod_whose_value_flaps_causes_no_write_a_sweep() {
    let mut run = shop();
    apply(&mut run, &pool(20, true));
    rest(&mut run);
    let statuses = run.counts.statuses;
    for _ in 0..20 {
        run.people("7", |server, _| server.outlier.insert("api".into(), 7.0));
        run.pass(Span::seconds(30));
        run.people("20", |server, _| server.outlier.remove("api"));
        run.pass(Span::seconds(30));
    }
    assert!(run.counts.statuses - statuses <= 1, "{} statuses", run.counts.statuses - statuses);
}

#[test]
fn without_prometheus_nobody_can_tell_and_its_return_says_what_was() {
    for ignored in [false, true] {
        let mut run = shop();
        if ignored {
            run.people("the application ignores POOL", |server, _| server.ignores.insert("api".into(), 10.0));
        }
        let verdict = if ignored { "False/NotApplied" } else { "True/Verified" };
        apply(&mut run, &pool(20, true));
        rest(&mut run);
        assert_eq!(effective(&run), verdict);
        let statuses = run.counts.statuses;
        run.people("Prometheus is down", |server, _| server.silent = true);
        run.pass(Span::minutes(3));
        assert_eq!(effective(&run), "Unknown/BackendUnavailable");
        run.pass(Span::minutes(20));
        run.people("Prometheus is back", |server, _| server.silent = false);
        run.pass(Span::minutes(3));
        assert_eq!(effective(&run), verdict);
        // Those of the source, too.
        assert!(run.counts.statuses - statuses <= 6, "{} statuses", run.counts.statuses - statuses);
        rest(&mut run);
    }
}

#[test]
fn pods_that_tell_nothing_are_not_blamed() {
    let mut run = shop();
    run.people("nobody is scraped", |server, _| server.mute.insert("api".into()));
    apply(&mut run, &pool(20, true));
    rest(&mut run);
    assert_eq!(
        (effective(&run), &*message(&run)),
        ("Unknown/NoData".to_owned(), "pools.db.size: no series answers (pool)")
    );
    run.people("all are scraped", |server, _| server.mute.remove("api"));
    run.pass(Span::seconds(45));
    assert_eq!(effective(&run), "True/Verified");
    rest(&mut run);
    let statuses = run.counts.statuses;
    // A gap of two minutes is no news.
    run.people("nobody is scraped", |server, _| server.mute.insert("api".into()));
    run.pass(Span::minutes(2));
    run.people("all are scraped", |server, _| server.mute.remove("api"));
    rest(&mut run);
    assert_eq!((effective(&run), run.counts.statuses), ("True/Verified".to_owned(), statuses));
}
