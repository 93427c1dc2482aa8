//! Stories of parts that meet: a profile that moves what a budget counts, what shares a variable with other options, what stands
//! in a list that is known as a whole only, and what must never become less.

use serde_json::{Value, json};
use trimtab::{
    api::{PerformanceClass, names},
    core::facts::{Kind, ObjectKey, Span},
};

use super::{
    controllers::CRASHES,
    people::{NAMESPACE, config_map, deployment, policy, variables, workload},
    run::Run,
};

/// Workloads of three pods each, which are read.
fn shop(names: &[&str], container: &Value) -> Run {
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        for name in names {
            let mut manifest = workload(name, container);
            manifest["spec"]["replicas"] = json!(3);
            server.kubectl_apply(&config_map(&format!("{name}-config")), &json!({"data": {"interval": "10"}}));
            server.kubectl_apply(&deployment(name), &manifest);
            server.readings.insert((*name).into(), 100.0);
        }
        server.put_source();
    });
    run.pass(Span::seconds(10));
    run
}

/// A policy with these sections, and a profile `busy` from a load of 350 to one of 200.
fn spec(target: &str, sections: Value, set: Value) -> Value {
    let mut spec = json!({
        "mode": "Enforce", "target": {"kind": "Deployment", "name": target},
        "thresholds": [{"name": "rate", "metric": {"gauge": "load"}}],
        "profiles": [{"name": "busy", "set": set,
            "when": {"threshold": "rate", "enter": 350, "leave": 200, "dwell": "0s"}}],
    });
    for (section, value) in sections.as_object().unwrap() {
        spec[section] = value.clone();
    }
    spec
}

fn apply(run: &mut Run, name: &str, spec: &Value) {
    run.people(&format!("apply policy {name}: {spec}"), |server, _| server.apply_policy(name, spec));
}

fn load(run: &mut Run, workload: &str, load: f64) {
    run.people(&format!("{workload} has a load of {load}"), |server, _| {
        server.readings.insert(workload.into(), load);
    });
    rest(run);
}

fn rest(run: &mut Run) {
    run.come_to_rest(Span::seconds(120), Span::minutes(30));
    run.stay_at_rest();
}

#[track_caller]
fn says(run: &Run, name: &str, kind: &str, status: &str, reason: &str) {
    let found = run.server.policies[&policy(name)].status.as_ref().map(|status| &status.conditions);
    assert_eq!(run.server.condition(name, kind), Some((status.into(), reason.into())), "{name} {kind}: {found:#?}");
}

fn env(run: &Run, workload: &str, variable: &str) -> Option<String> {
    run.server.env(&deployment(workload), variable)
}

fn revisions(run: &Run, workload: &str) -> u32 {
    run.invariants.revisions.get(&deployment(workload)).copied().unwrap_or(0)
}

fn committed(run: &Run) -> Option<i64> {
    run.server.budgets[&policy("database")].status.as_ref().unwrap().committed
}

/// A pool of three pods is seven at worst: three, one of surge, three that end.
#[test]
fn a_pool_that_a_profile_moves_is_held_to_its_budget() {
    let mut run = shop(&["api", "web"], &json!({}));
    let budget = json!({"capacity": {"connections": 103}, "headroom": "0%"});
    run.people("apply budget", |server, _| server.apply_budget("database", &budget));
    let pool =
        |size: i64| json!({"pools": [{"name": "db", "budget": "database", "size": {"value": size, "env": "POOL"}}]});
    let mut other = pool(5);
    other["mode"] = json!("Enforce");
    other["target"] = json!({"kind": "Deployment", "name": "web"});
    apply(&mut run, "api", &spec("api", pool(6), json!({"pools.db.size": 10})));
    apply(&mut run, "web", &other);
    rest(&mut run);
    assert_eq!((env(&run, "api", "POOL"), committed(&run)), (Some("6".into()), Some(77)));

    // 70 beside 35 are above the 100.
    load(&mut run, "api", 400.0);
    says(&run, "api", "Ready", "False", "BudgetExceeded");
    assert_eq!((env(&run, "api", "POOL"), committed(&run)), (Some("6".into()), Some(77)), "nothing is written");
    other["pools"][0]["size"]["value"] = json!(4);
    apply(&mut run, "web", &other);
    rest(&mut run);
    says(&run, "api", "Ready", "True", "Served");
    assert_eq!((env(&run, "api", "POOL"), committed(&run)), (Some("10".into()), Some(98)), "the other made room");

    // What the profile gives back is free again, and the profile comes second then.
    load(&mut run, "api", 100.0);
    assert_eq!((env(&run, "api", "POOL"), committed(&run)), (Some("6".into()), Some(70)));
    other["pools"][0]["size"]["value"] = json!(8);
    apply(&mut run, "web", &other);
    rest(&mut run);
    assert_eq!((env(&run, "web", "POOL"), committed(&run)), (Some("8".into()), Some(98)));
    load(&mut run, "api", 400.0);
    says(&run, "api", "Ready", "False", "BudgetExceeded");
    assert_eq!(env(&run, "api", "POOL"), Some("6".into()));
    load(&mut run, "api", 100.0);
    says(&run, "api", "Ready", "True", "Served");
    assert_eq!((revisions(&run, "api"), revisions(&run, "web")), (3, 3));
}

/// A crash at any moment while a profile wants more and somebody else does: the invariant counts what pools could open.
#[test]
fn a_crash_while_a_profile_grows_a_pool_grants_nothing_twice() {
    let play = |crash_at: Option<u64>| {
        let mut run = shop(&["api", "web"], &json!({}));
        run.journal = None;
        let budget = json!({"capacity": {"connections": 103}, "headroom": "0%"});
        run.people("apply budget", |server, _| server.apply_budget("database", &budget));
        let pool = |size: i64| json!({"pools": [{"name": "db", "budget": "database", "size": {"value": size, "env": "POOL"}}]});
        for name in ["api", "web"] {
            apply(&mut run, name, &spec(name, pool(6), json!({"pools.db.size": 8})));
        }
        rest(&mut run);
        run.people("both are busy", |server, _| {
            server.readings.insert("api".into(), 400.0);
            server.readings.insert("web".into(), 400.0);
        });
        let events = run.pass_with_crash(Span::seconds(45), crash_at);
        rest(&mut run);
        let pools = [env(&run, "api", "POOL"), env(&run, "web", "POOL")];
        let grown = pools.iter().flatten().filter(|size| *size == "8").count();
        assert_eq!((grown, committed(&run)), (1, Some(98)), "crash at {crash_at:?}: {pools:?}");
        events
    };
    for crash_at in (0..play(None)).step_by(3) {
        play(Some(crash_at));
    }
}

/// Several knobs are one variable. A profile moves one of them, in one rollout, and leaving gives back the very bytes of before.
#[test]
fn an_option_that_a_profile_moves_leaves_the_others_of_its_variable_alone() {
    let mut run = shop(&["api"], &json!({"resources": {"limits": {"memory": "2Gi"}}}));
    let jvm =
        json!({"runtime": {"jvm": {"heapMax": {"value": "1Gi"}, "nonHeap": "300Mi", "maxPause": {"value": "100ms"}}}});
    let set = json!({"runtime.jvm.heapMax": "1280Mi"});
    run.invariants
        .told
        .extend(["-Xmx1g -XX:MaxGCPauseMillis=100".to_owned(), "-Xmx1280m -XX:MaxGCPauseMillis=100".to_owned()]);
    apply(&mut run, "p", &spec("api", jvm, set));
    rest(&mut run);
    says(&run, "p", "Applied", "True", "Applied");
    let calm = run.object(&deployment("api")).template().clone();
    let text = |run: &Run| env(run, "api", "JAVA_TOOL_OPTIONS");
    assert_eq!(text(&run).as_deref(), Some("-Xmx1g -XX:MaxGCPauseMillis=100"));
    load(&mut run, "api", 400.0);
    assert_eq!(text(&run).as_deref(), Some("-Xmx1280m -XX:MaxGCPauseMillis=100"));
    assert_eq!(revisions(&run, "api"), 2);
    let newest = &run.server.policies[&policy("p")].status.as_ref().unwrap().history[0];
    let changed: Vec<&str> = newest.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(changed, ["runtime.jvm.heapMax"], "the other one has not changed");
    load(&mut run, "api", 100.0);
    assert_eq!((run.object(&deployment("api")).template(), revisions(&run, "api")), (&calm, 3));
}

/// A value of a profile that fails takes its variable back as a whole, and nothing else of it is lost.
#[test]
fn an_option_of_a_profile_that_crashes_goes_back_with_its_whole_variable() {
    let mut run = shop(&["api"], &json!({"resources": {"limits": {"memory": "2Gi"}}}));
    let jvm =
        json!({"runtime": {"jvm": {"heapMax": {"value": "1Gi"}, "nonHeap": "300Mi", "maxPause": {"value": "100ms"}}}});
    let set = json!({"runtime.jvm.maxPause": format!("{CRASHES}ms")});
    run.invariants
        .told
        .extend(["-Xmx1g -XX:MaxGCPauseMillis=100".to_owned(), format!("-Xmx1g -XX:MaxGCPauseMillis={CRASHES}")]);
    apply(&mut run, "p", &spec("api", jvm, set));
    rest(&mut run);
    let calm = run.object(&deployment("api")).template().clone();
    load(&mut run, "api", 400.0);
    says(&run, "p", "Ready", "False", "RolledBack");
    assert_eq!((run.object(&deployment("api")).template(), revisions(&run, "api")), (&calm, 3));
    load(&mut run, "api", 100.0);
    says(&run, "p", "Ready", "True", "Served");
    assert_eq!((run.object(&deployment("api")).template(), revisions(&run, "api")), (&calm, 3));
}

/// The list of kernel parameters is one field: it goes back as a whole with a value that failed beside it, or in it.
#[test]
fn a_list_of_sysctls_goes_back_with_the_rollout_that_failed() {
    let api = deployment("api");
    let live = |run: &Run| run.object(&api).at("/spec/template/spec/securityContext/sysctls").clone();
    for fails_in_list in [false, true] {
        let mut run = shop(&["api"], &json!({}));
        let spec = |timeout: &str, batch: &str| {
            json!({"mode": "Enforce", "target": {"kind": "Deployment", "name": "api"},
                "kernel": {"sysctls": [
                    {"name": "net.ipv4.tcp_fin_timeout", "value": timeout}, {"name": "net.ipv4.tcp_syncookies", "value": "1"},
                ]},
                "settings": [{"name": "batch", "value": batch.parse::<i64>().unwrap(), "env": "BATCH"}]})
        };
        let list =
            |timeout: &str| variables(&[("net.ipv4.tcp_fin_timeout", timeout), ("net.ipv4.tcp_syncookies", "1")]);
        apply(&mut run, "p", &spec("15", "10"));
        rest(&mut run);
        assert_eq!((live(&run), env(&run, "api", "BATCH")), (list("15"), Some("10".into())));
        let before = run.object(&api).template().clone();
        let (timeout, batch) = if fails_in_list { (CRASHES, "11") } else { ("20", CRASHES) };
        apply(&mut run, "p", &spec(timeout, batch));
        rest(&mut run);
        says(&run, "p", "Ready", "False", "RolledBack");
        assert_eq!((run.object(&api).template(), revisions(&run, "api")), (&before, 3), "in the list: {fails_in_list}");
        apply(&mut run, "p", &spec("30", "12"));
        rest(&mut run);
        says(&run, "p", "Ready", "True", "Served");
        assert_eq!((live(&run), env(&run, "api", "BATCH")), (list("30"), Some("12".into())));
    }
}

/// What a limit of a stream keeps would be deleted by leaving a profile, so it stays, and the policy says why.
#[test]
fn a_profile_raises_a_limit_of_a_stream_and_leaving_never_lowers_it() {
    let stream = ObjectKey::new(Kind::Stream, NAMESPACE, "orders");
    let class: PerformanceClass = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformanceClass",
        "metadata": {"name": "standard", "annotations": {names::IS_DEFAULT_CLASS: "true"}},
        "spec": {"objects": [{"kind": "Stream", "fields": ["spec.max*"]}]},
    }))
    .unwrap();
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        server.put_class(class);
        server.put_source();
        server.kubectl_apply(&stream, &json!({"spec": {"name": "ORDERS", "subjects": ["orders.>"]}}));
        server.edit_as("nack", &stream, |tree| tree["spec"]["maxMsgs"] = json!(500));
    });
    run.pass(Span::seconds(10));
    let night = json!({"cron": "0 22 * * *", "duration": "1h", "timeZone": "UTC"});
    let spec = |value: i64| {
        json!({"mode": "Enforce",
            "target": {"apiVersion": "jetstream.nats.io/v1beta2", "kind": "Stream", "name": "orders"},
            "settings": [{"name": "messages", "value": value, "field": "spec.maxMsgs", "onConflict": "TakeOver"}],
            "profiles": [{"name": "night", "when": {"schedule": night}, "set": {"settings.messages": 2000}}]})
    };
    apply(&mut run, "p", &spec(1000));
    rest(&mut run);
    says(&run, "p", "Applied", "True", "Applied");
    assert_eq!(*run.object(&stream).at("/spec/maxMsgs"), json!(1000));
    run.server.now = trimtab::core::facts::Instant::parse("2026-11-21T22:00:10Z").unwrap();
    run.pass(Span::minutes(5));
    assert_eq!(*run.object(&stream).at("/spec/maxMsgs"), json!(2000), "more is harmless");
    run.server.now = trimtab::core::facts::Instant::parse("2026-11-21T23:00:10Z").unwrap();
    rest(&mut run);
    says(&run, "p", "Ready", "False", "DestructiveChange");
    assert_eq!(*run.object(&stream).at("/spec/maxMsgs"), json!(2000), "less deletes");
    // Who accepts what is there is served again.
    apply(&mut run, "p", &spec(2000));
    rest(&mut run);
    says(&run, "p", "Ready", "True", "Served");
}

/// A reading of too few observations is none: it enters nothing, and it leaves nothing.
#[test]
fn too_few_observations_switch_no_profile() {
    let mut run = shop(&["api"], &json!({}));
    let mut spec = spec(
        "api",
        json!({"settings": [{"name": "batch", "value": 10, "env": "BATCH"}]}),
        json!({"settings.batch": 20}),
    );
    let metric = json!({"histogram": "http_request_duration_seconds", "statistic": "p95", "minSamples": 50});
    spec["thresholds"][0]["metric"] = metric;
    spec["profiles"][0]["when"] = json!({"threshold": "rate", "enter": "350s", "leave": "200s", "dwell": "0s"});
    let samples = |run: &mut Run, count: f64, reading: f64| {
        run.people(&format!("{count} observations of {reading}"), |server, _| {
            server.samples.insert("api".into(), count);
        });
        load(run, "api", reading);
    };
    let batch = |run: &Run| env(run, "api", "BATCH").unwrap();
    apply(&mut run, "p", &spec);
    samples(&mut run, 49.0, 400.0);
    assert_eq!(batch(&run), "10", "49 of 50 enter nothing");
    samples(&mut run, 50.0, 400.0);
    assert_eq!(batch(&run), "20");
    samples(&mut run, 3.0, 100.0);
    assert_eq!(batch(&run), "20", "and leave nothing");
    run.crash();
    run.pass(Span::minutes(10));
    assert_eq!(batch(&run), "20", "nor after a restart");
    samples(&mut run, 80.0, 100.0);
    assert_eq!((batch(&run), revisions(&run, "api")), ("10".into(), 3));
}
