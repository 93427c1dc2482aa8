//! Stories of profiles: other values for other times, and exactly the ones of before afterwards.

use serde_json::{Value, json};
use trimtab::core::{
    engine::Action,
    facts::{Instant, Span},
};

use super::{
    people::{config_map, deployment, policy, workload},
    run::Run,
};

pub(super) fn shop(names: &[&str]) -> Run {
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        for name in names {
            server.kubectl_apply(&config_map(&format!("{name}-config")), &json!({"data": {"interval": "10"}}));
            server.kubectl_apply(&deployment(name), &workload(name, &json!({})));
            server.readings.insert((*name).into(), 100.0);
        }
        server.put_source();
    });
    run.pass(Span::seconds(10));
    // The durations of the stories in seconds, and what crashes.
    let values = ["10", "20", "30", "60", "120", "300", "400", "500", "900", "3600", super::controllers::CRASHES];
    run.invariants.told.extend(values.map(str::to_owned));
    run
}

/// Intervals that follow the load, as a service with background work has them.
pub(super) fn intervals(profiles: Value) -> Value {
    let duration = |name: &str, value: &str, env: &str| json!({"name": name, "type": "Duration", "value": value, "env": env, "as": "seconds"});
    json!({
        "mode": "Enforce", "target": {"kind": "Deployment", "name": "api"},
        "workers": [{"name": "web", "count": {"value": 4, "max": 8, "env": "WORKERS"}}],
        "settings": [
            duration("reflection", "10s", "REFLECTION"), duration("meta", "300s", "META"), duration("health", "30s", "HEALTH"),
        ],
        "thresholds": [{"name": "rate", "metric": {"gauge": "load"}, "levels": [{"severity": "warning", "above": 380}]}],
        "profiles": profiles,
    })
}

pub(super) fn busy() -> Value {
    json!({"name": "busy", "when": {"threshold": "rate", "enter": 350, "leave": 200, "dwell": "1h"},
        "requires": ["workers.web.count >= 4"],
        "set": {"settings.reflection": "60s", "settings.meta": "3600s", "settings.health": "= 2 * settings.reflection",
            "thresholds.rate.levels.warning.above": 500}})
}

pub(super) fn apply(run: &mut Run, spec: &Value) {
    run.people("apply policy p", |server, _| server.apply_policy("p", spec));
}

pub(super) fn load(run: &mut Run, workload: &str, load: Option<f64>) {
    run.people(&format!("{workload} has a load of {load:?}"), |server, _| match load {
        Some(load) => drop(server.readings.insert(workload.into(), load)),
        None => drop(server.readings.remove(workload)),
    });
}

pub(super) fn rest(run: &mut Run) {
    run.come_to_rest(Span::seconds(120), Span::minutes(30));
    run.stay_at_rest();
}

pub(super) fn env(run: &Run, workload: &str) -> [String; 3] {
    ["REFLECTION", "META", "HEALTH"].map(|name| run.server.env(&deployment(workload), name).unwrap_or_default())
}

pub(super) fn revisions(run: &Run, workload: &str) -> u32 {
    run.invariants.revisions.get(&deployment(workload)).copied().unwrap_or(0)
}

fn status(run: &Run) -> &trimtab::api::PerformancePolicyStatus {
    run.server.policies[&policy("p")].status.as_ref().unwrap()
}

/// Active profiles with their targets.
fn active(run: &Run) -> Vec<String> {
    let listed = status(run).active_profiles.iter();
    listed.map(|active| format!("{} {}", active.name, active.targets.join(","))).collect()
}

fn condition(run: &Run, kind: &str) -> Option<(String, String)> {
    run.server.condition("p", kind)
}

const CALM: [&str; 3] = ["10", "300", "30"];
const BUSY: [&str; 3] = ["60", "3600", "120"];

#[test]
fn one_switch_moves_every_value_in_one_rollout_and_leaving_brings_back_exactly_what_was() {
    let mut run = shop(&["api"]);
    apply(&mut run, &intervals(json!([busy()])));
    rest(&mut run);
    assert_eq!(env(&run, "api"), CALM);
    let (before, first) = (run.object(&deployment("api")).template().clone(), revisions(&run, "api"));
    // On the bound nothing is entered.
    load(&mut run, "api", Some(350.0));
    rest(&mut run);
    assert_eq!((active(&run), revisions(&run, "api")), (vec![], first));
    load(&mut run, "api", Some(412.0));
    rest(&mut run);
    assert_eq!((env(&run, "api"), revisions(&run, "api")), (BUSY.map(str::to_owned), first + 1));
    assert_eq!((active(&run), status(&run).profile_summary.as_deref()), (vec!["busy ".to_owned()], Some("busy")));
    let newest = &status(&run).history[0];
    assert_eq!(newest.changes.len(), 3, "{newest:?}");
    let says_why = |because: &str| {
        because.starts_with("profile busy (rate was 412 over 5m at ") && because.contains(", above 350)")
    };
    assert!(newest.changes.iter().all(|change| says_why(&change.because)), "{newest:?}");
    // The level moved along: 412 is not above 500.
    assert_eq!(condition(&run, "Compliant"), Some(("True".into(), "Within".into())));
    // Below `leave` it stays until the hour is over.
    load(&mut run, "api", Some(100.0));
    run.pass(Span::minutes(45));
    assert_eq!(env(&run, "api"), BUSY);
    run.pass(Span::minutes(20));
    rest(&mut run);
    assert_eq!((run.object(&deployment("api")).template(), revisions(&run, "api")), (&before, first + 2));
    assert_eq!((active(&run), status(&run).profile_summary.as_deref()), (vec![], None));
    // Between the two bounds nothing moves, whatever was before.
    load(&mut run, "api", Some(300.0));
    rest(&mut run);
    assert_eq!(revisions(&run, "api"), first + 2);
}

#[test]
fn a_level_that_moves_along_is_judged_by_its_new_bound_and_by_the_old_one_afterwards() {
    let mut run = shop(&["api"]);
    let mut profile = busy();
    profile["when"]["dwell"] = json!("0s");
    profile["set"] = json!({"thresholds.rate.levels.warning.above": 50});
    apply(&mut run, &intervals(json!([profile])));
    rest(&mut run);
    assert_eq!(condition(&run, "Compliant"), Some(("True".into(), "Within".into())));
    load(&mut run, "api", Some(360.0));
    rest(&mut run);
    assert_eq!(condition(&run, "Compliant"), Some(("False".into(), "Breached".into())));
    load(&mut run, "api", Some(100.0));
    rest(&mut run);
    assert_eq!(condition(&run, "Compliant"), Some(("True".into(), "Within".into())));
    assert_eq!(revisions(&run, "api"), 1, "nothing but a level was moved");
}

/// However often the operator is killed while a profile is entered and left, there is one rollout each way.
#[test]
fn a_crash_at_any_moment_of_a_switch_costs_no_rollout() {
    let story = |enters: bool, crash_at: Option<u64>| {
        let mut run = shop(&["api"]);
        run.journal = None;
        let mut profile = busy();
        profile["when"]["dwell"] = json!("1m");
        apply(&mut run, &intervals(json!([profile])));
        rest(&mut run);
        let before = run.object(&deployment("api")).template().clone();
        load(&mut run, "api", Some(400.0));
        if !enters {
            rest(&mut run);
            load(&mut run, "api", Some(100.0));
        }
        let events = run.pass_with_crash(Span::seconds(45), crash_at);
        rest(&mut run);
        if enters {
            assert_eq!(env(&run, "api"), BUSY, "crash at event {crash_at:?}");
        } else {
            assert_eq!(run.object(&deployment("api")).template(), &before, "crash at event {crash_at:?}");
        }
        assert_eq!(revisions(&run, "api"), if enters { 2 } else { 3 }, "crash at event {crash_at:?}");
        events
    };
    for enters in [true, false] {
        for at in 0..story(enters, None) {
            story(enters, Some(at));
        }
    }
}

#[test]
fn without_data_what_is_active_stays_also_after_a_restart() {
    for crash in [false, true] {
        let mut run = shop(&["api"]);
        apply(&mut run, &intervals(json!([busy()])));
        load(&mut run, "api", Some(400.0));
        rest(&mut run);
        load(&mut run, "api", None);
        if crash {
            run.crash();
        }
        run.pass(Span::minutes(70));
        assert_eq!((env(&run, "api"), active(&run)), (BUSY.map(str::to_owned), vec!["busy ".to_owned()]));
        run.people("Prometheus is down", |server, _| server.silent = true);
        load(&mut run, "api", Some(100.0));
        run.pass(Span::minutes(10));
        assert_eq!(env(&run, "api"), BUSY);
        run.people("Prometheus is back", |server, _| server.silent = false);
        run.pass(Span::minutes(2));
        rest(&mut run);
        assert_eq!(env(&run, "api"), CALM);
        assert_eq!(revisions(&run, "api"), 3, "one rollout for each");
    }
}

/// Prometheus takes longer to answer than the time between two questions: what it said last is what is known until then.
#[test]
fn a_prometheus_that_is_slower_than_its_interval_enters_and_leaves_all_the_same() {
    for (interval, latency, dwell) in
        [("5s", 4, 60), ("5s", 4, 63), ("5s", 4, 66), ("5s", 4, 69), ("1s", 3, 61), ("1s", 3, 64)]
    {
        let mut run = shop(&["api"]);
        run.people("ask often", |server, _| {
            server.interval = Some(interval.to_owned());
            server.put_source();
        });
        run.latency = Span::seconds(latency);
        let mut profile = busy();
        profile["when"]["dwell"] = json!(format!("{dwell}s"));
        apply(&mut run, &intervals(json!([profile])));
        run.pass(Span::minutes(2));
        load(&mut run, "api", Some(400.0));
        run.pass(Span::seconds(40));
        assert_eq!(env(&run, "api"), BUSY, "asked every {interval}, answered after {latency} s each");
        load(&mut run, "api", Some(100.0));
        // The dwell, two rounds of questions, and the rollout.
        run.pass(Span::seconds(dwell + 60));
        assert_eq!(env(&run, "api"), CALM, "asked every {interval}, answered after {latency} s each, dwell {dwell} s");
        assert_eq!((active(&run), revisions(&run, "api")), (vec![], 3));
    }
}

/// The source is found dead and alive again within the time for which its last reading counts, at the end of the dwell.
#[test]
fn what_a_dead_source_kept_active_is_left_when_it_answers_again() {
    for second in 50..62 {
        let mut run = shop(&["api"]);
        let mut profile = busy();
        profile["when"]["dwell"] = json!("2m");
        apply(&mut run, &intervals(json!([profile])));
        rest(&mut run);
        load(&mut run, "api", Some(400.0));
        run.pass(Span::seconds(40));
        assert_eq!(active(&run), ["busy "]);
        load(&mut run, "api", Some(100.0));
        run.pass(Span::seconds(second));
        run.people("Prometheus is down", |server, _| server.silent = true);
        run.pass(Span::seconds(50));
        run.people("Prometheus is back", |server, _| server.silent = false);
        run.pass(Span::minutes(5));
        assert_eq!((env(&run, "api"), active(&run)), (CALM.map(str::to_owned), vec![]), "down after {second} s");
    }
}

/// The reply to the status that tells of a switch is lost, a watch shows the status later, and nothing else happens.
#[test]
fn values_of_a_profile_follow_its_status_however_that_came_to_be_known() {
    for (seed, crash) in (1..=12).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut run = shop(&["api"]);
        run.random = super::random::Random::new(seed);
        let night = json!({"name": "night", "set": {"settings.meta": "900s"}});
        let mut spec = intervals(json!([night]));
        spec.as_object_mut().unwrap().remove("thresholds");
        apply(&mut run, &spec);
        rest(&mut run);
        spec["profile"] = json!("night");
        apply(&mut run, &spec);
        while active(&run).is_empty() {
            let tells =
                run.leader.requests.iter().any(|request| matches!(request.effect.action, Action::Status { .. }));
            run.faults.lose_reply = if tells { 1000 } else { 0 };
            run.turn();
        }
        run.faults.lose_reply = 0;
        if crash {
            run.crash();
        }
        run.pass(Span::minutes(2));
        assert_eq!(env(&run, "api"), ["10", "900", "30"], "seed {seed}, crash {crash}");
    }
}

#[test]
fn what_a_profile_requires_is_there_before_it_is_active_and_as_long_as_it_is() {
    let mut run = shop(&["api"]);
    let mut spec = intervals(json!([busy()]));
    spec["workers"][0]["count"]["value"] = json!(2);
    apply(&mut run, &spec);
    load(&mut run, "api", Some(400.0));
    rest(&mut run);
    assert_eq!((env(&run, "api"), active(&run)), (CALM.map(str::to_owned), vec![]));
    let blocked = status(&run).conditions.iter().find(|condition| condition.type_ == "ProfileBlocked").unwrap();
    assert_eq!(blocked.reason, "RequirementUnmet");
    assert_eq!(
        blocked.message,
        "profile busy is not active on Deployment/api: requires workers.web.count >= 4, which is 2 >= 4"
    );
    assert_eq!(condition(&run, "Ready"), Some(("True".into(), "Served".into())), "nobody asked for this very profile");
    spec["workers"][0]["count"]["value"] = json!(4);
    apply(&mut run, &spec);
    rest(&mut run);
    assert_eq!((env(&run, "api"), condition(&run, "ProfileBlocked")), (BUSY.map(str::to_owned), None));
    // The workers come with the profile in one rollout.
    assert_eq!(revisions(&run, "api"), 2);
    // The dwell is no reason to go on without what is required.
    spec["workers"][0]["count"]["value"] = json!(2);
    apply(&mut run, &spec);
    rest(&mut run);
    assert_eq!((env(&run, "api"), revisions(&run, "api")), (CALM.map(str::to_owned), 3));
}

#[test]
fn a_forced_profile_is_the_only_one_and_comes_and_goes_with_its_name() {
    let mut run = shop(&["api"]);
    let night = json!({"name": "night", "requires": ["workers.web.count >= 4"], "set": {"settings.meta": "900s"}});
    let mut spec = intervals(json!([busy(), night]));
    spec["profile"] = json!("night");
    apply(&mut run, &spec);
    load(&mut run, "api", Some(400.0));
    rest(&mut run);
    assert_eq!((env(&run, "api"), active(&run)), (["10", "900", "30"].map(str::to_owned), vec!["night ".to_owned()]));
    assert_eq!(revisions(&run, "api"), 1, "the first values are those of the profile");
    spec.as_object_mut().unwrap().remove("profile");
    apply(&mut run, &spec);
    rest(&mut run);
    assert_eq!((env(&run, "api"), active(&run)), (BUSY.map(str::to_owned), vec!["busy ".to_owned()]));
    spec["profile"] = json!("night");
    spec["workers"][0]["count"]["value"] = json!(3);
    apply(&mut run, &spec);
    rest(&mut run);
    assert_eq!(condition(&run, "Ready"), Some(("False".into(), "RequirementUnmet".into())), "somebody asked for it");
    assert_eq!((env(&run, "api"), active(&run)), (CALM.map(str::to_owned), vec![]));
}

#[test]
fn of_two_active_profiles_the_later_wins_and_of_two_that_contradict_each_other_the_earlier_is_active() {
    let mut run = shop(&["api"]);
    let when = |enter: i64| json!({"threshold": "rate", "enter": enter, "leave": 120, "dwell": "0s"});
    let profile = |name: &str, enter: i64, set: Value| json!({"name": name, "when": when(enter), "set": set});
    let mut spec = intervals(json!([
        profile("one", 150, json!({"settings.reflection": "20s", "settings.meta": "400s"})),
        profile("two", 250, json!({"settings.meta": "500s"})),
        profile("three", 350, json!({"pools.db.size": 5})),
        // Each alone is right: a pool of 5 that keeps 8 idle is not.
        profile("four", 350, json!({"pools.db.minIdle": 8})),
    ]));
    spec["pools"] =
        json!([{"name": "db", "size": {"value": 10, "env": "POOL"}, "minIdle": {"value": 2, "env": "IDLE"}}]);
    apply(&mut run, &spec);
    load(&mut run, "api", Some(200.0));
    rest(&mut run);
    assert_eq!(condition(&run, "Ready"), Some(("True".into(), "Served".into())), "{:?}", status(&run).conditions);
    assert_eq!((env(&run, "api"), active(&run)), (["20", "400", "30"].map(str::to_owned), vec!["one ".to_owned()]));
    load(&mut run, "api", Some(300.0));
    rest(&mut run);
    assert_eq!(env(&run, "api"), ["20", "500", "30"]);
    load(&mut run, "api", Some(400.0));
    rest(&mut run);
    let pool = |run: &Run| ["POOL", "IDLE"].map(|name| run.server.env(&deployment("api"), name).unwrap_or_default());
    assert_eq!(pool(&run), ["5", "2"]);
    assert_eq!(status(&run).profile_summary.as_deref(), Some("one, three, two"));
    assert_eq!(condition(&run, "ProfileBlocked"), Some(("True".into(), "ProfilesContradict".into())));
    load(&mut run, "api", Some(100.0));
    rest(&mut run);
    assert_eq!((env(&run, "api"), condition(&run, "ProfileBlocked")), (CALM.map(str::to_owned), None));
}

#[test]
fn each_target_has_its_own_profiles() {
    let mut run = shop(&["api", "web"]);
    let mut spec = intervals(json!([busy()]));
    spec["target"] = json!({"kind": "Deployment", "selector": {"matchLabels": {"tier": "web"}}});
    apply(&mut run, &spec);
    rest(&mut run);
    load(&mut run, "web", Some(400.0));
    rest(&mut run);
    assert_eq!((env(&run, "api"), env(&run, "web")), (CALM.map(str::to_owned), BUSY.map(str::to_owned)));
    assert_eq!(active(&run), ["busy Deployment/web"]);
    run.crash();
    run.pass(Span::minutes(10));
    load(&mut run, "api", Some(500.0));
    rest(&mut run);
    assert_eq!((env(&run, "api"), env(&run, "web")), (BUSY.map(str::to_owned), BUSY.map(str::to_owned)));
    assert_eq!((revisions(&run, "api"), revisions(&run, "web")), (2, 2));
}

#[test]
fn suspension_keeps_what_is_active_and_observing_moves_levels_only() {
    let mut run = shop(&["api"]);
    apply(&mut run, &intervals(json!([busy()])));
    load(&mut run, "api", Some(400.0));
    rest(&mut run);
    run.people("suspend", |server, _| server.suspend("p", "incident"));
    load(&mut run, "api", Some(100.0));
    run.pass(Span::minutes(70));
    assert_eq!((env(&run, "api"), active(&run)), (BUSY.map(str::to_owned), vec!["busy ".to_owned()]));
    run.people("resume", |server, _| server.suspend("p", ""));
    rest(&mut run);
    assert_eq!(env(&run, "api"), CALM);

    let mut run = shop(&["api"]);
    let mut spec = intervals(json!([busy()]));
    spec["mode"] = json!("Observe");
    apply(&mut run, &spec);
    load(&mut run, "api", Some(400.0));
    rest(&mut run);
    assert_eq!((run.counts.writes, active(&run)), (0, vec!["busy ".to_owned()]));
    assert_eq!(condition(&run, "Compliant"), Some(("True".into(), "Within".into())), "400 is not above 500");

    spec["mode"] = json!("Recommend");
    apply(&mut run, &spec);
    rest(&mut run);
    let planned: Vec<_> = status(&run).plan.iter().map(|change| (&*change.path, change.to.as_deref())).collect();
    assert!(planned.contains(&("settings.meta", Some("3600"))), "{planned:?}");
}

/// On 28 March 2027 there is no 02:30 in Berlin: the window begins at 03:30, which is 01:30 of UTC.
#[test]
fn a_schedule_opens_and_closes_by_the_clock_of_its_zone() {
    let mut run = shop(&["api"]);
    let schedule = json!({"cron": "30 2 * * *", "duration": "1h", "timeZone": "Europe/Berlin"});
    let night = json!({"name": "night", "when": {"schedule": schedule}, "set": {"settings.meta": "900s"}});
    apply(&mut run, &intervals(json!([night])));
    rest(&mut run);
    assert_eq!(env(&run, "api"), CALM);
    run.server.now = Instant::parse("2027-03-28T01:20:00Z").unwrap();
    run.pass(Span::minutes(9));
    assert_eq!(active(&run), Vec::<String>::new());
    run.pass(Span::minutes(3));
    assert_eq!((env(&run, "api"), active(&run)), (["10", "900", "30"].map(str::to_owned), vec!["night ".to_owned()]));
    run.crash();
    run.pass(Span::minutes(55));
    assert_eq!(env(&run, "api"), ["10", "900", "30"]);
    run.pass(Span::minutes(5));
    rest(&mut run);
    assert_eq!((env(&run, "api"), revisions(&run, "api")), (CALM.map(str::to_owned), 3));
}

/// A value of a profile whose pods crash goes back like any other, and is not tried again while the profile lasts.
#[test]
fn a_profile_whose_value_fails_leaves_the_value_of_before_in_place() {
    let mut run = shop(&["api"]);
    let mut profile = busy();
    profile["set"] = json!({"settings.reflection": format!("{}s", super::controllers::CRASHES)});
    apply(&mut run, &intervals(json!([profile])));
    rest(&mut run);
    let before = run.object(&deployment("api")).template().clone();
    load(&mut run, "api", Some(400.0));
    rest(&mut run);
    assert_eq!(run.object(&deployment("api")).template(), &before);
    assert_eq!(condition(&run, "Ready"), Some(("False".into(), "RolledBack".into())));
    load(&mut run, "api", Some(100.0));
    run.pass(Span::minutes(61));
    rest(&mut run);
    assert_eq!(condition(&run, "Ready"), Some(("True".into(), "Served".into())));
    assert_eq!(run.object(&deployment("api")).template(), &before);
}
