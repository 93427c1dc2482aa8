#![expect(clippy::needless_pass_by_value, reason = "JSON reads best where it is made")]

use serde_json::{Value as Json, json};

use super::*;
use crate::{api::PerformancePolicy, core::policy::Worked};

fn parse(spec: &Json) -> Result<Policy, Vec<String>> {
    let policy: PerformancePolicy = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": "p", "namespace": "shop"}, "spec": spec,
    }))
    .unwrap();
    Policy::parse(&policy).map_err(|wrong| wrong.iter().map(|w| format!("{}: {w}", w.reason)).collect())
}

/// A policy with a knob of every kind that profiles set, and these profiles.
fn spec(profiles: Json) -> Json {
    json!({
        "target": {"kind": "Deployment", "name": "api", "container": "api"},
        "resources": [{"container": "api", "limits": {"cpu": "2", "memory": "2Gi"}, "requests": {"memory": "1Gi"}}],
        "replicas": {"min": 2, "max": 4},
        "workers": [{"name": "web", "count": {"value": 4, "max": 8, "env": "WORKERS"}}],
        "pools": [{"name": "db", "size": {"value": 10, "min": 5, "max": 40, "env": "POOL"}, "minIdle": {"value": 2}}],
        "caches": [{"name": "hot", "ttl": {"value": "1m"}, "maxStaleness": "2m"}],
        "settings": [
            {"name": "interval", "type": "Duration", "value": "10s", "env": "INTERVAL", "as": "seconds"},
            {"name": "batch", "value": "= 2 * pools.db.size * replicas.max"},
            {"name": "bus", "type": "Enum", "allowed": ["memory", "redis"], "value": "memory", "env": "BUS"},
            {"name": "redis", "type": "Boolean", "value": "false", "env": "REDIS"},
        ],
        "thresholds": [
            {"name": "rate", "metric": {"counter": "http_requests_total"}},
            {"name": "p95", "metric": {"histogram": "http_seconds", "statistic": "p95"},
                "levels": [{"severity": "warning", "above": "100ms"}, {"severity": "critical", "above": "500ms", "below": "1ms"}]},
        ],
        "profiles": profiles,
    })
}

fn profile(set: Json) -> Json {
    json!({"name": "busy", "set": set})
}

/// What the knobs are under some of the profiles, by position.
fn values(policy: &Policy, active: &[usize]) -> BTreeMap<String, String> {
    let under = policy.under(active.iter().fold(ProfileSet::default(), |set, index| set.with(*index)));
    let worked = under.work_out(|_| None, |_| None);
    let told = |(knob, worked): (&Knob, &Result<Worked, _>)| {
        (knob.path.to_string(), worked.as_ref().map_or_else(|_| "?".to_owned(), |worked| worked.value.to_string()))
    };
    under.knobs.iter().zip(&worked).map(told).collect()
}

#[track_caller]
fn refused(spec: &Json) -> String {
    parse(spec).unwrap_err().join("\n")
}

#[test]
fn profiles_set_values_by_path_the_later_wins_and_without_them_the_policy_is_as_before() {
    let policy = parse(&spec(json!([
        profile(json!({"pools.db.size": 20, "settings.interval": "60s", "workers.web.count": "= ceil(limits.cpu) + 4",
            "resources.api.limits.memory": "4Gi", "replicas.max": 8, "caches.hot.ttl": "90s"})),
        {"name": "night", "set": {"pools.db.size": 30, "settings.bus": "redis"}},
    ])))
    .unwrap();
    let plain = values(&policy, &[]);
    let of = |active: &[usize], paths: &[&str]| {
        let values = values(&policy, active);
        paths.iter().map(|path| values[*path].clone()).collect::<Vec<_>>()
    };
    let paths =
        ["pools.db.size", "settings.interval", "workers.web.count", "resources.api.limits.memory", "settings.bus"];
    assert_eq!(of(&[], &paths), ["10", "10s", "4", "2Gi", "memory"]);
    assert_eq!(of(&[0], &paths), ["20", "1m", "6", "4Gi", "memory"]);
    assert_eq!(of(&[1], &paths), ["30", "10s", "4", "2Gi", "redis"]);
    assert_eq!(of(&[0, 1], &paths), ["30", "1m", "6", "4Gi", "redis"]);
    // What follows from what a profile sets follows from it, bounds of replicas included.
    assert_eq!([of(&[], &["settings.batch"]), of(&[0], &["settings.batch"])], [["80"], ["320"]]);
    assert_eq!(values(&policy, &[]), plain);
    let under = policy.under(ProfileSet::default().with(0).with(1));
    assert_eq!(under.set_by("pools.db.size"), Some(&By::Profile("night".into())));
    assert_eq!(under.set_by("settings.batch"), None);
    assert_eq!(under.replicas.map(|replicas| (replicas.min, replicas.max)), Some((Some(2), Some(8))));
}

#[test]
fn bounds_of_levels_move_and_nothing_else_of_the_threshold_does() {
    let policy = parse(&spec(json!([profile(
        json!({"thresholds.p95.levels.warning.above": "150ms", "thresholds.p95.levels.critical.below": "2ms"})
    )])))
    .unwrap();
    let under = policy.under(ProfileSet::default().with(0));
    let told = |policy: &Policy| {
        let levels = policy.thresholds[1].levels.iter();
        let limit = |limit: Option<thresholds::Limit>| limit.map(|limit| format!("{} {}", limit.bound, limit.clear));
        levels.map(|level| (limit(level.above), limit(level.below))).collect::<Vec<_>>()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(told(&policy), [(some("500ms 450ms"), some("1ms 1.1ms")), (some("100ms 90ms"), None)]);
    assert_eq!(told(&under), [(some("500ms 450ms"), some("2ms 2.2ms")), (some("150ms 135ms"), None)]);
    assert_eq!(under.thresholds[0], policy.thresholds[0]);
}

#[test]
fn every_path_that_cannot_be_set_is_refused_with_the_path_and_the_way_out() {
    #[rustfmt::skip]
    let cases = [
        (json!({"pools.db.sise": 20}), "set.pools.db.sise is nothing that a profile sets: of pools the spec sets pools.db.size, pools.db.minIdle"),
        (json!({"pools.db.overflow": 20}), "set.pools.db.overflow is nothing that a profile sets"),
        (json!({"runtime.jvm.heapMax": "1Gi"}), "is nothing that a profile sets: name a knob of the spec, replicas.min"),
        (json!({"pools.db.perWorker": "web"}), "is nothing that a profile sets"),
        (json!({"pools.db.size": "20ms"}), "set.pools.db.size must be a whole number"),
        (json!({"pools.db.size": 50}), "BoundsInverted: profiles.busy.set.pools.db.size must be ≤ max (40), not 50"),
        (json!({"pools.db.size": "= limits.memory"}), "set.pools.db.size"),
        (json!({"pools.db.minIdle": 11}), "BoundsInverted: profiles.busy.set.pools.db.minIdle must be ≤ size (10), not 11"),
        (json!({"caches.hot.ttl": "3m"}), "must be ≤ maxStaleness (2m), not 3m"),
        (json!({"settings.bus": "kafka"}), "must be one of memory, redis, not kafka"),
        (json!({"settings.interval": "1500ms"}), "profiles.busy.set.settings.interval"),
        (json!({"resources.api.limits.memory": "512Mi"}), "must be ≤ the limit (512Mi), not 1Gi"),
        (json!({"resources.api.limits.memory": "= 2 * 1Gi"}), "set.resources.api.limits.memory"),
        (json!({"resources.api.limits.cpu": "0"}), "must be > 0"),
        (json!({"replicas.min": 5}), "BoundsInverted: profiles.busy.set.replicas min must be ≤ max, but 5 > 4"),
        (json!({"replicas.max": 0}), "set.replicas.max must be a whole number ≥ 1 and ≤ 10000, not 0"),
        (json!({"thresholds.p95.levels.info.above": "1s"}), "set.thresholds.p95.levels.info.above is not in the spec, so there would be nothing to go back to"),
        (json!({"thresholds.p95.levels.warning.below": "1s"}), "is not in the spec"),
        (json!({"thresholds.p96.levels.warning.above": "1s"}), "is not in the spec"),
        (json!({"thresholds.p95.levels.warning.above": "2/s"}), "profiles.busy.set.thresholds.p95.levels.warning.above"),
        (json!({"thresholds.p95.levels.critical.below": "2s"}), "BoundsInverted: profiles.busy.set.thresholds.p95.levels.critical.above must be > below"),
        (json!({"thresholds.p95.levels.warning.above": "= 1s"}), "must be a literal"),
        (json!({"settings.redis": "= settings.batch > 3"}), "ok"),
        (json!({"pools.db.size": "= settings.batch"}), "settings.batch"),
        (json!({}), "profiles.busy.set must set something, unless the profile states a load"),
    ];
    for (set, says) in cases {
        match parse(&spec(json!([profile(set.clone())]))) {
            Ok(_) => assert_eq!(says, "ok", "{set}"),
            Err(wrong) => assert!(wrong.join("\n").contains(says), "{set}: {wrong:?}"),
        }
    }
}

#[test]
fn conditions_of_profiles_are_read_or_refused() {
    let when = |when: Json| spec(json!([{"name": "busy", "when": when, "set": {"pools.db.size": 20}}]));
    let policy = parse(&when(json!({"threshold": "rate", "enter": "350/s", "leave": "200/s"}))).unwrap();
    let Some(When::Threshold(switch)) = policy.profiles[0].when else { panic!("no switch") };
    assert_eq!((switch.dwell, switch.threshold), (Span::minutes(10), 0));
    #[rustfmt::skip]
    let cases = [
        (json!({"threshold": "rate", "enter": "350/s", "leave": "350/s"}), "when.enter must differ from leave (350/s)"),
        (json!({"threshold": "rate", "enter": 350, "leave": "350/s"}), "when.enter must differ from leave"),
        (json!({"threshold": "rate", "enter": "350ms", "leave": "200/s"}), "when.enter"),
        (json!({"threshold": "rate", "enter": "350/s"}), "when.leave must be set for a threshold"),
        (json!({"threshold": "none", "enter": "350/s", "leave": "200/s"}), "when.threshold names \"none\", which is not in thresholds"),
        (json!({"threshold": "rate", "enter": "350/s", "leave": "200/s", "dwell": "31d"}), "when.dwell must be whole milliseconds and ≤ 30d"),
        (json!({"threshold": "rate", "enter": "350/s", "leave": "200/s", "schedule": {"cron": "0 2 * * *", "duration": "2h"}}), "when must set exactly one"),
        (json!({}), "when must set exactly one of threshold and schedule"),
        (json!({"schedule": {"cron": "0 2 * * *", "duration": "2h"}, "dwell": "1m"}), "when has a schedule: leave out"),
        (json!({"schedule": {"cron": "0 25 * * *", "duration": "2h"}}), "when.schedule.cron must give the hour"),
        (json!({"schedule": {"cron": "0 2 * * *", "duration": "8d"}}), "when.schedule.duration must be ≥ 1m and ≤ 7d"),
        (json!({"schedule": {"cron": "0 2 * * *", "duration": "2h", "timeZone": "Europe/Atlantis"}}), "when.schedule.timeZone must be an IANA time zone"),
    ];
    for (condition, says) in cases {
        let said = refused(&when(condition.clone()));
        assert!(said.contains(says), "{condition}: {said}");
    }
    let mut named = spec(json!([profile(json!({"pools.db.size": 20}))]));
    named["profile"] = json!("busy");
    assert_eq!(parse(&named).unwrap().forced, Some(0));
    named["profile"] = json!("bussy");
    assert!(refused(&named).contains("profile names \"bussy\", which is not in profiles"));
    let twice = spec(json!([profile(json!({"pools.db.size": 20})), profile(json!({"pools.db.size": 30}))]));
    assert!(refused(&twice).contains("has the name \"busy\" twice"));
    let nine: Vec<Json> = (0..9).map(|n| json!({"name": format!("p{n}"), "set": {"pools.db.size": 20}})).collect();
    assert!(refused(&spec(json!(nine))).contains("profiles must be at most 8, not 9"));
}

#[test]
fn both_bounds_are_strict_and_their_order_says_which_side_is_entered() {
    let switch = |enter: i64, leave: i64| {
        let bound = |value| Bound::new(Decimal::from_int(value), crate::core::units::BaseUnit::Count);
        Switch { threshold: 0, enter: bound(enter), leave: bound(leave), dwell: Span::ZERO }
    };
    for (value, high, low) in [
        (400.0, Side::Enter, Side::Leave),
        (350.0, Side::Between, Side::Between),
        (300.0, Side::Between, Side::Between),
        (200.0, Side::Between, Side::Between),
        (199.9, Side::Leave, Side::Enter),
    ] {
        assert_eq!(switch(350, 200).side(value), high, "{value}");
        assert_eq!(switch(200, 350).side(value), low, "{value}");
    }
}

#[test]
fn what_is_required_is_said_with_the_numbers() {
    let requires =
        |condition: &str| spec(json!([{"name": "busy", "requires": [condition], "set": {"pools.db.size": 20}}]));
    for (condition, expected) in [
        ("workers.web.count >= 4", None),
        ("workers.web.count >= 6", Some("requires workers.web.count >= 6, which is 4 >= 6")),
        (
            "settings.bus == 'redis' && settings.redis",
            Some("requires settings.bus == 'redis' && settings.redis, which is"),
        ),
        ("limits.memory >= 2Gi", None),
        ("replicas.min >= 3", Some("requires replicas.min >= 3, which is 2 >= 3")),
        ("requests.cpu >= 1", Some("which needs requests.cpu of container \"api\", and neither")),
        ("pools.db.size / (workers.web.count - 4) > 1", Some("which cannot be worked out: ")),
    ] {
        let policy = parse(&requires(condition)).unwrap();
        let unmet = policy.unmet(&policy.profiles[0], |_| None);
        match expected {
            None => assert_eq!(unmet, None, "{condition}"),
            Some(says) => assert!(unmet.as_ref().is_some_and(|unmet| unmet.contains(says)), "{condition}: {unmet:?}"),
        }
    }
    for (condition, says) in [
        ("workers.web.count", "profiles.busy.requires[0]"),
        ("workers.web.count >= 4s", "profiles.busy.requires[0]"),
        ("= workers.web.count >= 4", "profiles.busy.requires[0]"),
        ("workers.io.count >= 4", "profiles.busy.requires[0]"),
    ] {
        assert!(refused(&requires(condition)).contains(says), "{condition}: {}", refused(&requires(condition)));
    }
}

#[test]
fn a_load_is_read() {
    let load = |load: Json| spec(json!([{"name": "heavy", "load": load, "set": {}}]));
    let policy = parse(&load(json!({"users": 1000, "rate": "1000/s", "thinkTime": "500ms"}))).unwrap();
    let expected = Load { users: Some(1000), rate: Some(Decimal::from_int(1000)), think_time: Span::millis(500) };
    assert_eq!(policy.profiles[0].load, Some(expected));
    for (wrong, says) in [
        (json!({}), "load must set at least one of users and rate"),
        (json!({"users": 0}), "load.users must be ≥ 1"),
        (json!({"rate": "0/s"}), "load.rate must be a rate above 0 such as 350/s, not 0/s"),
        (json!({"rate": "5s"}), "load.rate must be a rate above 0"),
        (json!({"users": 1, "thinkTime": "soon"}), "load.thinkTime"),
    ] {
        let said = refused(&load(wrong.clone()));
        assert!(said.contains(says), "{wrong}: {said}");
    }
}

#[test]
fn a_value_in_a_shared_config_map_is_set_by_no_profile_that_is_each_targets_own() {
    let shared = |profiles: Json| {
        json!({
            "target": {"kind": "Deployment", "selector": {"matchLabels": {"tier": "web"}}},
            "settings": [
                {"name": "plain", "value": 1, "configMapKey": {"name": "web", "key": "plain"}},
                {"name": "twice", "value": "= 2 * settings.base", "configMapKey": {"name": "web", "key": "twice"}},
                {"name": "base", "value": 1}, {"name": "own", "value": 1, "env": "OWN"},
            ],
            "thresholds": [{"name": "load", "metric": {"gauge": "load"}}],
            "profiles": profiles,
        })
    };
    let by_load = json!({"threshold": "load", "enter": 5, "leave": 3});
    let by_clock = json!({"schedule": {"cron": "0 2 * * *", "duration": "2h"}});
    let one = |when: &Json, path: &str| shared(json!([{"name": "busy", "when": when, "set": {path: 2}}]));
    let says =
        "lands in a ConfigMap that all targets share, but follows from profile \"busy\", which is each target's own";
    assert!(refused(&one(&by_load, "settings.plain")).contains(says));
    assert!(refused(&one(&by_load, "settings.base")).contains(says));
    assert!(parse(&one(&by_load, "settings.own")).is_ok());
    assert!(parse(&one(&by_clock, "settings.plain")).is_ok());
    let requires =
        json!([{"name": "busy", "when": by_clock, "requires": ["settings.own >= 1"], "set": {"settings.plain": 2}}]);
    assert!(refused(&shared(requires)).contains(says));
    // Whether the second one is active may depend on the first, which it may contradict.
    let after = json!([
        {"name": "first", "when": by_load, "set": {"settings.own": 2}},
        {"name": "busy", "when": by_clock, "set": {"settings.plain": 2}},
    ]);
    assert!(refused(&shared(after)).contains(says));
}
