use serde_json::{Value, json};

use crate::{api::PerformancePolicy, core::policy::Policy};

fn parse(section: &str, value: Value) -> Result<Policy, Vec<String>> {
    let mut spec = json!({
        "target": {"kind": "Deployment", "name": "web", "container": "app"},
        "pools": [{"name": "db", "size": {"value": 10}}],
        "settings": [{"name": "database", "type": "Enum", "allowed": ["sqlite", "postgresql"], "value": "sqlite"}],
        "thresholds": [
            {"name": "p95", "metric": {"histogram": "http_seconds", "statistic": "p95"},
             "levels": [{"severity": "warning", "above": "100ms"}]},
            {"name": "free", "metric": {"gauge": "free_bytes"}},
        ],
    });
    spec[section] = value;
    let policy: PerformancePolicy = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"name": "p", "namespace": "n"}, "spec": spec,
    }))
    .unwrap();
    Policy::parse(&policy).map_err(|wrong| wrong.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn check(condition: &str, said: Option<&str>) {
    let result = parse("checklist", json!([{"id": "c", "text": "t", "check": condition}]));
    match (result, said) {
        (Ok(_), None) => {}
        (Err(wrong), Some(said)) => assert!(wrong.len() == 1 && wrong[0].contains(said), "{condition}: {wrong:?}"),
        (result, said) => panic!("{condition}: {:?} instead of {said:?}", result.map(|_| ())),
    }
}

#[test]
fn checks_read_values_facts_and_verdicts_and_nothing_that_changes_with_every_reading() {
    for fine in [
        "settings[\"database\"] == \"postgresql\"",
        "pools.db.size <= 20 && live.replicas >= 2",
        "thresholds.p95.within && thresholds[\"free\"].measured",
        "thresholds.p95.warning <= 200ms && thresholds.p95.target == 100ms",
        "live.limits.memory >= 1Gi && live.ready && live.applied",
        "live.env[\"LOG_LEVEL\"] == \"info\"",
        "alerting && mode == \"Enforce\" && counts.pools > 0",
    ] {
        check(fine, None);
    }
    for (wrong, said) in [
        ("pools.db.size", "checklist.c.check"),
        ("pools.db.size > 1s", "number"),
        ("settings[\"database\"] == \"postgres\"", "postgres"),
        ("pools.cache.size > 1", "is not in this policy"),
        ("thresholds.p95.current < 1s", "is a reading, which only reports may use: ask for within"),
        ("thresholds.p99.within", "is not in this policy; of thresholds it has p95, free"),
        ("thresholds.p95.critical > 1s", "is not set: the threshold has no such level"),
        ("thresholds.free.target > 1Mi", "is not set"),
        ("counts.secrets > 0", "is not known: counts are of"),
        ("live.hostname == \"x\"", "is not known"),
        ("live.memory.limits > 1Mi", "is not known"),
        ("= alerting", "="),
        ("alerting &&", "checklist.c.check"),
    ] {
        check(wrong, Some(said));
    }
}

#[track_caller]
fn refused(section: &str, value: Value, said: &str) {
    let wrong = parse(section, value).expect_err(said);
    assert!(wrong.iter().any(|wrong| wrong.contains(said)), "{said}: {wrong:?}");
}

#[test]
fn what_is_attested_has_a_day_of_the_calendar_and_a_name() {
    let line = |by: &str, date: &str| json!([{"id": "c", "text": "t", "attested": {"by": by, "date": date}}]);
    assert!(parse("checklist", line("a", "2028-02-29")).is_ok());
    refused("checklist", line("a", "2026-02-29"), "attested.date must be a day");
    refused("checklist", line("a", "2026-2-1"), "attested.date must be a day");
    refused("checklist", line(" ", "2026-02-01"), "attested.by must name a person or a team");
    let both = json!([{"id": "c", "text": "t", "check": "alerting", "attested": {"by": "a", "date": "2026-02-01"}}]);
    refused("checklist", both, "at most one of check and attested");
    refused("checklist", json!([{"id": "c", "text": "t"}, {"id": "c", "text": "t"}]), "has the name \"c\" twice");
    refused("checklist", json!([{"id": "c", "text": "a\u{1b}[2J"}]), "must not contain control characters");
}

#[test]
fn tables_are_whole_and_their_words_in_order() {
    let table = |name: &str, rows: Value, statuses: Value| json!([{"name": name, "columns": ["A", "B"], "rows": rows, "statuses": statuses}]);
    let row = || json!([["a", 1]]);
    assert!(
        parse("reports", table("T", json!([["= thresholds.p95.current", "= status"]]), json!([{"text": "x"}]))).is_ok()
    );
    refused("reports", table("t", row(), json!([])), "must be named in capitals");
    refused("reports", table("CHECKLIST", row(), json!([])), "must have another name");
    refused(
        "reports",
        table("T", json!([["a"]]), json!([])),
        "reports.T.rows[0] must have one cell for each of 2 columns, not 1",
    );
    refused("reports", table("T", json!([["a", "= status"]]), json!([])), "there is no word for it");
    refused("reports", table("T", json!([["a", "= 1s + 1B"]]), json!([])), "reports.T.rows[0][1]");
    refused(
        "reports",
        table("T", row(), json!([{"text": "x"}, {"upTo": "100%", "text": "y"}])),
        "must be set, except for the last",
    );
    refused(
        "reports",
        table("T", row(), json!([{"upTo": "100%", "text": "x"}, {"upTo": "90%", "text": "y"}])),
        "must be above that of the word before",
    );
    refused("reports", table("T", row(), json!([{"upTo": "1s", "text": "x"}])), "must be a percentage");
}

#[test]
fn load_tests_say_what_their_tool_can_do_and_no_token() {
    let test = |rest: Value| {
        let mut test = json!({"name": "t", "tool": "Ab", "path": "/"});
        test.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!([test])
    };
    let parsed = parse("loadTests", test(json!({}))).unwrap();
    assert_eq!((&*parsed.load_tests[0].service, parsed.load_tests[0].requests), ("web", 1000));
    for (rest, said) in [
        (json!({"duration": "30s"}), "must be left out: Ab counts requests"),
        (json!({"threads": 2}), "is for Wrk"),
        (json!({"tool": "Wrk", "requests": 5}), "is for Ab: set duration"),
        (json!({"tool": "Wscat", "users": 5}), "Wscat opens one WebSocket"),
        (json!({"body": "{}"}), "needs method: POST"),
        (json!({"method": "POST", "body": "{"}), "must be JSON"),
        (json!({"path": "/a b"}), "must be the path of a URL"),
        (json!({"path": "/$(id)\n"}), "must be the path of a URL"),
        (json!({"service": "a.b"}), "must be the name of a Service"),
        (json!({"tool": "Locust", "duration": "1500ms"}), "must be whole seconds"),
        (json!({"tokenFrom": {"name": "a/b", "key": "k"}}), "must be an object's name"),
        (json!({"tokenFrom": {"name": "a", "key": ""}}), "must be letters, digits"),
        (json!({"users": 0}), "must not count to 0"),
    ] {
        refused("loadTests", test(rest), said);
    }
}
