#![expect(clippy::needless_pass_by_value, reason = "JSON reads best where it is made")]

mod lab;

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use self::lab::{Lab, START};
use super::*;
use crate::{
    api::{PerformancePolicyStatus, conditions::Reason, policy::Severity, status::ThresholdStatus},
    core::{
        engine::{Refusal, Series},
        evaluate::Verdict,
        facts::{Kind, ObjectKey, Span},
        report::{self, Truth},
    },
};

/// A threshold on the gauge `queue`.
fn queue(levels: Value) -> Value {
    json!([{"name": "queue", "metric": {"gauge": "queue"}, "levels": levels}])
}

fn above(severity: &str, bound: u32) -> Value {
    json!({"severity": severity, "above": bound})
}

#[test]
fn a_first_sweep_is_made_at_once_and_the_next_at_the_interval() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.read("queue", 3.0);
    lab.now = START + Span::seconds(14);
    lab.run(80);
    let values = lab.asked.iter().filter(|asked| !asked.expr.contains("timestamp("));
    let at: Vec<_> = values.map(|asked| asked.at.since(START).as_millis() / 1000).collect();
    assert_eq!(at, [14, 30, 60, 90]);
    assert_eq!(lab.asked.len(), 8, "each with a query for the age of its data");
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
}

#[test]
fn all_policies_that_read_the_same_are_one_query() {
    let mut lab = Lab::new();
    for number in 0..50 {
        lab.policy(&format!("p{number}"), 1, queue(json!([above("warning", number)])));
    }
    lab.policy("other", 1, json!([{"name": "size", "metric": {"gauge": "pool_size"}}]));
    lab.read("queue", 20.5);
    lab.read("pool_size", 20.0);
    let asked = lab.tick();
    assert_eq!(asked.len(), 4);
    for asked in &asked {
        lab.answer(asked);
    }
    let breached = (0..50).filter(|n| lab.reasons(&format!("p{n}")).0 == Reason::Breached).count();
    assert_eq!(breached, 21);
    assert_eq!(lab.standing("other").counts, (1, 1));
}

#[test]
fn a_question_is_never_asked_again_before_it_was_answered() {
    let mut lab = Lab::with(json!([
        {"name": "queue", "metric": {"gauge": "queue"}}, {"name": "slow", "metric": {"query": "slow()"}}]));
    lab.read("queue", 3.0);
    for _ in 0..120 {
        let asked = lab.tick();
        for asked in asked.iter().filter(|asked| asked.expr != "slow()") {
            lab.answer(asked);
        }
        lab.now = lab.now + Span::seconds(1);
    }
    let count = |text: &str| lab.asked.iter().filter(|asked| asked.expr.contains(text)).count();
    assert_eq!((count("slow()"), count("avg_over_time(queue")), (1, 4), "a slow one delays itself only");
}

#[test]
fn nothing_is_told_when_only_values_change() {
    let mut lab = Lab::with(queue(json!([above("warning", 10), above("critical", 100)])));
    lab.read("queue", 3.0);
    lab.second();
    assert_eq!(lab.told.len(), 2, "the policy is new, and it is within");
    let within = lab.standing("web");
    for value in 0..9 {
        lab.read("queue", f64::from(value));
        lab.run(30);
    }
    assert_eq!((lab.told.len(), lab.standing("web")), (2, within));
    for value in 20..29 {
        lab.read("queue", f64::from(value));
        lab.run(30);
    }
    assert_eq!(lab.told.len(), 3);
    let breached = lab.standing("web");
    assert_eq!(breached.compliant.truth, Truth::False);
    assert_eq!(
        breached.compliant.message,
        format!("1 of 1 thresholds is breached: queue was 20 at {}, above 10 (warning)", START + Span::seconds(300))
    );
    let listed = &breached.thresholds[0];
    assert_eq!((listed.state.as_str(), listed.value.as_str(), listed.target.as_ref()), ("Breached", "20", None));
    assert_eq!(breached.counts, (1, 0));
}

#[test]
fn an_alert_is_sent_at_once_again_and_again_and_resolved_once() {
    let mut lab = Lab::with(json!([{"name": "queue", "metric": {"gauge": "queue"}, "advice": "add workers",
        "levels": [{"severity": "warning", "above": 10, "for": "1m"}]}]));
    lab.read("queue", 20.0);
    lab.run(60);
    assert_eq!(lab.sent, [], "pending pages nobody");
    lab.run(1);
    let (at, alert) = lab.sent[0].clone();
    let breached = START + Span::seconds(60);
    assert_eq!((at, alert.starts_at, alert.ends_at), (breached, breached, breached + Span::minutes(2)));
    let labels: Vec<_> = alert.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    assert_eq!(
        labels,
        [
            "alertname=TrimtabThresholdBreached",
            "namespace=shop",
            "policy=web",
            "severity=warning",
            "site=x",
            "target=web",
            "target_kind=Deployment",
            "team=shop",
            "threshold=queue",
        ]
    );
    let annotations: Vec<_> = alert.annotations.iter().map(|(name, text)| format!("{name}: {text}")).collect();
    assert_eq!(
        annotations,
        [
            "advice: add workers".to_owned(),
            format!("description: queue was 20 at {breached}, above 10 for 1m. Policy shop/web."),
            "runbook_url: https://runbooks/web".to_owned(),
            "summary: queue of Deployment \"shop/web\" is above 10".to_owned(),
        ]
    );
    lab.run(120);
    assert_eq!(lab.sent.len(), 5, "every interval");
    assert!(lab.sent.iter().all(|(_, sent)| (&sent.labels, sent.starts_at) == (&alert.labels, breached)));
    lab.read("queue", 9.5);
    lab.run(60);
    assert_eq!(lab.active(), ["TrimtabThresholdBreached warning"], "inside the hysteresis");
    lab.read("queue", 9.0);
    let before = lab.sent.len();
    lab.run(120);
    let (at, last) = lab.sent.last().unwrap();
    assert_eq!((last.ends_at, &last.labels), (*at, &alert.labels));
    // One sending may come before the reading that ends it.
    assert!(lab.sent.len() - before <= 2);
    assert_eq!(lab.active(), [] as [&str; 0]);
}

#[test]
fn another_severity_is_another_alert() {
    let mut lab = Lab::with(queue(json!([above("warning", 10), above("critical", 100)])));
    for (value, active) in [(50.0, "warning"), (500.0, "critical"), (50.0, "warning")] {
        lab.read("queue", value);
        lab.run(30);
        assert_eq!(lab.active(), [format!("TrimtabThresholdBreached {active}")]);
    }
}

#[test]
fn what_is_no_longer_asked_for_is_resolved() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.policy("other", 1, queue(json!([above("info", 10)])));
    lab.read("queue", 50.0);
    lab.run(1);
    assert_eq!(lab.active().len(), 2);
    lab.policies.remove(&Lab::key("other"));
    lab.run(1);
    assert_eq!(lab.active(), ["TrimtabThresholdBreached warning"]);
    lab.policy("web", 2, json!([]));
    lab.run(1);
    assert_eq!(lab.active(), [] as [&str; 0]);
    assert_eq!(lab.reasons("web"), (Reason::NoThresholds, Reason::NoThresholds));
    // Nobody asks for alerts any more.
    lab.policy("web", 3, queue(json!([above("warning", 10)])));
    lab.run(31);
    assert_eq!(lab.active().len(), 1);
    lab.rules.spec.sink = None;
    lab.run(1);
    assert_eq!(lab.active(), [] as [&str; 0]);
}

#[test]
fn an_edit_does_not_interrupt_an_alert_that_goes_on() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.read("queue", 50.0);
    lab.run(5);
    let sent = lab.sent.len();
    lab.policy("web", 2, queue(json!([above("warning", 20)])));
    lab.run(20);
    assert_eq!(lab.sent.len(), sent, "it holds until it is judged again");
    assert_eq!(lab.reasons("web"), (Reason::Unknown, Reason::Unknown));
    lab.run(60);
    assert_eq!(lab.active(), ["TrimtabThresholdBreached warning"]);
    assert!(lab.sent.iter().all(|(at, alert)| alert.ends_at > *at), "never resolved in between");
    assert!(lab.sent.last().unwrap().1.annotations["summary"].ends_with("above 20"));
}

#[test]
fn labels_of_a_policy_cannot_take_the_place_of_ours() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.rules.spec.alert_labels.insert("severity".into(), "none".into());
    lab.rules.spec.alert_labels.insert("source".into(), "elsewhere".into());
    lab.read("queue", 50.0);
    lab.run(1);
    let labels = &lab.sent[0].1.labels;
    assert_eq!((labels["severity"].as_str(), labels.get("source")), ("warning", None));
}

#[test]
fn a_dead_source_is_one_status_and_one_alert() {
    let mut lab = Lab::new();
    for number in 0..20 {
        let metric = json!({"gauge": format!("queue_{}", number % 4)});
        lab.policy(
            &format!("p{number}"),
            1,
            json!([{"name": "queue", "metric": metric, "levels": [above("warning", 10)], "noData": {"after": "1m"}}]),
        );
    }
    for metric in ["queue_0", "queue_1", "queue_2", "queue_3"] {
        lab.read(metric, 50.0);
    }
    lab.run(30);
    assert_eq!(lab.active().len(), 20);
    assert_eq!(lab.sweep.source_statuses(&lab.sources, lab.now).len(), 1);
    lab.prometheus.broken = Some(Reason::BackendUnavailable);
    lab.run(10);
    assert!(
        lab.sweep.standing(&Lab::key("p1"), &PerformancePolicyStatus::default()).metrics.truth == Truth::True,
        "one lost sweep is no outage"
    );
    let asked = lab.asked.len();
    lab.run(310);
    let (compliant, metrics) = lab.reasons("p1");
    assert_eq!((compliant, metrics), (Reason::Breached, Reason::BackendUnavailable), "what was breached is held");
    let mut active = lab.active();
    active.dedup();
    assert_eq!(active, ["TrimtabSourceDown critical", "TrimtabThresholdBreached warning"]);
    let down = lab.sent.iter().find(|(_, alert)| alert.labels["alertname"] == "TrimtabSourceDown").unwrap();
    assert_eq!(down.0.since(START), Span::seconds(60));
    assert_eq!(down.1.labels.keys().collect::<Vec<_>>(), ["alertname", "severity", "source"]);
    // While it is down, one question at a time.
    let asked = lab.asked.len() - asked;
    assert!(asked <= 8 + 2 * 11, "{asked} queries");
    let statuses = lab.sweep.source_statuses(&lab.sources, lab.now);
    let [(name, status)] = statuses.as_slice() else { panic!("one status: {statuses:?}") };
    let condition = &status.conditions[0];
    assert_eq!(
        (&**name, condition.status.as_str(), condition.reason.as_str()),
        ("default", "False", "BackendUnavailable")
    );
    assert_eq!(status.last_success, Some(START.to_string()));
    lab.sources.get_mut("default").unwrap().status = Some(status.clone());
    assert_eq!(lab.sweep.source_statuses(&lab.sources, lab.now), []);
    lab.prometheus.broken = None;
    lab.run(40);
    assert_eq!(lab.reasons("p1"), (Reason::Breached, Reason::Answered));
    assert!(!lab.active().contains(&"TrimtabSourceDown critical".to_owned()));
    assert_eq!(lab.sweep.source_statuses(&lab.sources, lab.now).len(), 1);
    assert_eq!(lab.sweep.source_statuses(&lab.sources, lab.now), [], "not twice while it is under way");
    assert_eq!(lab.sweep.source_statuses(&lab.sources, lab.now + Span::minutes(1)).len(), 1, "again, if it was lost");
    assert!(lab.sent.iter().all(|(_, alert)| alert.labels["alertname"] != "TrimtabNoData"));
}

#[test]
fn a_source_that_never_answered_is_down_after_the_first_sweep() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.prometheus.broken = Some(Reason::BackendUnauthorized);
    lab.run(1);
    assert_eq!(lab.reasons("web"), (Reason::NoData, Reason::BackendUnauthorized));
    assert_eq!(lab.active(), ["TrimtabSourceDown critical"]);
    // A policy that comes while nobody is asked about it.
    lab.policy("late", 1, json!([{"name": "x", "metric": {"query": "x"}}]));
    lab.run(1);
    assert_eq!(lab.reasons("late"), (Reason::NoData, Reason::BackendUnauthorized));
}

#[test]
fn a_source_that_is_not_there_is_said_and_found_when_it_comes() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    let source = std::mem::take(&mut lab.sources);
    lab.run(2);
    assert_eq!(lab.reasons("web").1, Reason::SourceNotFound);
    assert_eq!(lab.asked.len(), 0);
    lab.sources = source;
    lab.read("queue", 1.0);
    lab.run(1);
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
    assert_eq!(lab.told.len(), 3);
}

#[test]
fn where_nothing_happens_nothing_is_breached_and_the_source_is_not_to_blame() {
    let latency = json!({"name": "latency", "noData": {"after": "1m", "severity": "info"},
        "metric": {"histogram": "request_seconds", "statistic": "p95"}, "levels": [above("warning", 1)]});
    let queue = json!({"name": "queue", "metric": {"gauge": "queue"}, "levels": [above("warning", 10)]});
    let mut lab = Lab::with(json!([latency, queue]));
    lab.read("request_seconds", f64::NAN);
    lab.read("queue", 1.0);
    lab.run(150);
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
    let status = lab.standing("web");
    assert!(status.compliant.message.contains("latency"), "{}", status.compliant.message);
    assert_eq!(status.counts, (2, 1));
    assert_eq!((status.thresholds[0].state.as_str(), status.thresholds[0].value.as_str()), ("NoData", "TooFewSamples"));
    assert_eq!(lab.sent, [], "no alert for silence");
    // A breach is one whatever else is idle, and so is what nobody answers.
    lab.read("queue", 11.0);
    lab.run(30);
    assert_eq!(lab.reasons("web"), (Reason::Breached, Reason::Answered));
    lab.read("queue", f64::NAN);
    lab.run(60);
    assert_eq!(lab.reasons("web").1, Reason::NotANumber);
    // Of a policy that is idle altogether, nobody can tell.
    let mut lab = Lab::with(json!([latency_only()]));
    lab.read("request_seconds", f64::NAN);
    lab.run(2);
    assert_eq!(lab.reasons("web"), (Reason::NoData, Reason::Answered));
}

fn latency_only() -> serde_json::Value {
    json!({"name": "latency", "metric": {"histogram": "request_seconds", "statistic": "mean"}, "levels": [above("warning", 1)]})
}

#[test]
fn what_is_no_reading_is_never_one() {
    for (lie, reason) in [
        ("empty", Reason::NoData),
        ("nan", Reason::NotANumber),
        ("infinite", Reason::NotANumber),
        ("twice", Reason::AmbiguousResult),
        ("old", Reason::StaleData),
        ("vanished", Reason::StaleData),
        ("cached", Reason::StaleData),
        ("future", Reason::ClockSkew),
        ("ahead", Reason::ClockSkew),
        ("warnings", Reason::PartialResult),
        ("string", Reason::WrongType),
        ("failed", Reason::QueryFailed),
    ] {
        let mut lab = Lab::with(queue(json!([above("warning", 10)])));
        lab.policy("other", 1, json!([{"name": "size", "metric": {"gauge": "pool_size"}}]));
        lab.read("queue", 50.0);
        lab.read("pool_size", 1.0);
        lab.run(1);
        lab.told.clear();
        let readings = lab.prometheus.readings.get_mut(&("queue", "web")).unwrap();
        match lie {
            "empty" => readings.clear(),
            "nan" => *readings = vec![f64::NAN],
            "infinite" => *readings = vec![f64::NEG_INFINITY],
            "twice" => *readings = vec![1.0, 2.0],
            "old" => lab.prometheus.age = Span::seconds(151),
            "vanished" => drop(lab.prometheus.refuses.insert("nothing", Reason::NoData)),
            "cached" => lab.prometheus.off = Span::minutes(-3),
            "future" => lab.prometheus.age = Span::seconds(-61),
            "ahead" => lab.prometheus.off = Span::seconds(61),
            "warnings" => drop(lab.prometheus.refuses.insert("queue", Reason::PartialResult)),
            "string" => drop(lab.prometheus.refuses.insert("queue", Reason::WrongType)),
            "failed" => drop(lab.prometheus.refuses.insert("queue", Reason::QueryFailed)),
            other => panic!("{other}"),
        }
        for _ in 0..90 {
            let asked = lab.tick();
            for asked in &asked {
                // The age query no longer finds the series that the range function still sees.
                if lie == "vanished" && asked.expr.contains("timestamp(queue") {
                    let told = lab.sweep.answer(asked.token, Ok(Vec::new()), lab.now);
                    lab.told.extend(told.into_iter().map(|key| (lab.now, key)));
                } else {
                    lab.answer(asked);
                }
            }
            lab.now = lab.now + Span::seconds(1);
        }
        assert_eq!(lab.reasons("web"), (Reason::Breached, reason), "{lie}: the verdict is held");
        let listed = &lab.standing("web").thresholds[0];
        assert_eq!((listed.state.as_str(), listed.value.as_str()), ("NoData", reason.as_str()), "{lie}");
        assert_eq!(lab.told.iter().filter(|(_, key)| *key == Lab::key("web")).count(), 1, "{lie}: said once");
        assert_eq!(
            lab.sweep
                .readings()
                .filter(|reading| reading.threshold == "queue")
                .filter_map(|reading| reading.value)
                .count(),
            0
        );
        // It recovers by itself.
        lab.prometheus = lab::Prometheus::default();
        lab.read("queue", 1.0);
        lab.read("pool_size", 1.0);
        lab.run(60);
        assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered), "{lie}");
    }
}

#[test]
fn missing_data_is_an_alert_after_its_time() {
    let mut lab = Lab::with(
        json!([{"name": "queue", "metric": {"gauge": "queue"}, "noData": {"after": "5m", "severity": "info"}}]),
    );
    lab.run(300);
    assert_eq!(lab.sent, []);
    lab.run(1);
    assert_eq!(lab.active(), ["TrimtabNoData info"]);
    let alert = &lab.sent[0].1;
    assert_eq!(alert.starts_at, START + Span::minutes(5));
    assert_eq!(
        alert.annotations["description"],
        format!("queue: no series answers since {START}. What was breached is held. Policy shop/web.")
    );
    // The source goes down: that is the one alert then.
    lab.prometheus.broken = Some(Reason::BackendUnavailable);
    lab.run(90);
    assert_eq!(lab.active(), ["TrimtabSourceDown critical"]);
    lab.prometheus.broken = None;
    lab.run(40);
    assert_eq!(lab.active(), ["TrimtabNoData info"]);
    lab.read("queue", 1.0);
    lab.run(40);
    assert_eq!(lab.active(), [] as [&str; 0]);
}

#[test]
fn a_query_that_cannot_be_parsed_stalls_its_policy_only_and_is_asked_less_often() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.policy(
        "bad",
        1,
        json!([{"name": "broken", "metric": {"query": "sum(("}}, {"name": "queue", "metric": {"gauge": "queue"}}]),
    );
    lab.prometheus.refuses.insert("sum((", Reason::QueryInvalid);
    lab.read("queue", 3.0);
    lab.run(1);
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
    assert_eq!(lab.standing("web").stalled, None);
    let bad = lab.standing("bad");
    assert_eq!((bad.metrics.reason, bad.compliant.reason, bad.counts), (Reason::QueryInvalid, Reason::NoData, (2, 1)));
    let (reason, message) = bad.stalled.unwrap();
    assert_eq!(reason, Reason::QueryInvalid);
    assert_eq!(message, format!("broken: the backend cannot parse the query (HTTP 503), since {START}"));
    lab.run(30 * 60);
    let at =
        lab.asked.iter().filter(|asked| asked.expr == "sum((").map(|asked| asked.at.since(START).as_millis() / 30_000);
    let at: Vec<_> = at.collect();
    let apart: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Slots are multiples of the step since the epoch, at least half a step away.
    assert!(apart.iter().all(|apart| (1..=12).contains(apart)) && apart.ends_with(&[8, 8]), "{apart:?}");
    lab.policy("bad", 2, queue(json!([above("warning", 10)])));
    lab.run(31);
    assert_eq!(lab.reasons("bad"), (Reason::Within, Reason::Answered));
}

#[test]
fn an_expensive_query_is_asked_less_often_and_again_as_usual_when_it_answers() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.prometheus.refuses.insert("queue", Reason::QueryTooExpensive);
    lab.run(20 * 60);
    assert_eq!(lab.reasons("web").1, Reason::QueryTooExpensive);
    assert_eq!(lab.active(), ["TrimtabNoData warning"], "the source lives, so its silence is this threshold's");
    let before = lab.asked.len();
    lab.run(20 * 60);
    assert_eq!(lab.asked.len() - before, 2 * 5, "every eighth interval");
    lab.prometheus.refuses.clear();
    lab.read("queue", 1.0);
    lab.run(5 * 60);
    let before = lab.asked.len();
    lab.run(10 * 60);
    assert_eq!(lab.asked.len() - before, 2 * 20);
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
}

#[test]
fn a_new_leader_asks_the_past_for_what_was_pending() {
    let levels = json!([{"severity": "warning", "above": 10, "for": "10m"}]);
    let since_breached = |past: Option<fn(Instant) -> f64>, refused: bool| {
        let mut lab = Lab::with(queue(levels.clone()));
        lab.read("queue", 50.0);
        lab.prometheus.past = past;
        lab.sweep.rebuild();
        if refused {
            let asked = lab.tick();
            for asked in &asked {
                let answer = match asked.range {
                    Some(_) => Err(Refusal { reason: Reason::QueryTooExpensive, message: String::new() }),
                    None => Ok(vec![]),
                };
                lab.sweep.answer(asked.token, answer, lab.now);
            }
        }
        for second in 0..1200 {
            lab.second();
            if lab.reasons("web").0 == Reason::Breached {
                return second;
            }
        }
        panic!("never breached");
    };
    assert_eq!(since_breached(Some(|_| 50.0), false), 0);
    assert_eq!(since_breached(Some(|at| if at < START - Span::minutes(4) { 1.0 } else { 50.0 }), false), 360);
    assert_eq!(since_breached(Some(|at| if at == START - Span::minutes(2) { 1.0 } else { 50.0 }), false), 510);
    assert_eq!(since_breached(Some(|_| f64::NAN), false), 600);
    let late = since_breached(None, true);
    assert!((600..=660).contains(&late), "without a past it begins at zero: {late}");
}

#[test]
fn the_past_is_one_query_for_each_question_with_a_for() {
    let mut lab = Lab::with(json!([
        {"name": "a", "metric": {"gauge": "queue"}, "levels": [{"severity": "warning", "above": 10, "for": "2m"}]},
        {"name": "b", "metric": {"gauge": "queue"}, "levels": [{"severity": "info", "above": 10, "for": "4m"}]},
        {"name": "c", "metric": {"gauge": "pool_size"}, "levels": [{"severity": "info", "above": 10}]}]));
    lab.read("queue", 1.0);
    lab.read("pool_size", 1.0);
    lab.run(60);
    let ranges: Vec<_> = lab.asked.iter().filter_map(|asked| asked.range).collect();
    assert_eq!(ranges, [(START - Span::minutes(4), Span::seconds(30))]);
}

#[test]
fn a_restart_says_what_was_said_until_everything_was_measured_again() {
    let levels = json!([{"severity": "warning", "above": 10, "for": "1m"}]);
    let mut lab = Lab::with(json!([
        {"name": "queue", "metric": {"gauge": "queue"}, "levels": levels},
        {"name": "size", "metric": {"gauge": "pool_size"}, "levels": [above("critical", 100)]},
        {"name": "lost", "metric": {"gauge": "lost"}}]));
    lab.read("queue", 50.0);
    lab.read("pool_size", 1.0);
    lab.run(200);
    let before = lab.standing("web");
    let at = report::time(lab.now);
    let condition = |kind, finding: &report::Finding| report::condition(kind, finding, 1, &[], &at);
    lab.statuses.insert(
        Lab::key("web"),
        PerformancePolicyStatus {
            observed_generation: Some(1),
            conditions: vec![
                condition(crate::api::conditions::ConditionType::Compliant, &before.compliant),
                condition(crate::api::conditions::ConditionType::MetricsAvailable, &before.metrics),
            ],
            thresholds: before.thresholds.clone(),
            counts: Some(crate::api::status::Counts { thresholds: 3, thresholds_within: 1, ..Default::default() }),
            ..Default::default()
        },
    );
    // Inside the hysteresis, where a reading alone would not tell.
    lab.read("queue", 9.5);
    lab.sweep.rebuild();
    assert_eq!(lab.standing("web"), before, "before the first tick");
    let asked = lab.tick();
    for asked in &asked {
        assert_eq!(lab.standing("web"), before, "between answers");
        lab.answer(asked);
    }
    assert_eq!(lab.standing("web"), before, "nothing changed, so nothing is written");
    lab.read("queue", 1.0);
    lab.run(60);
    assert_eq!(lab.reasons("web").0, Reason::NoData);
    // Of an older generation it says nothing about this one.
    lab.policy("web", 2, queue(levels.clone()));
    lab.sweep.rebuild();
    lab.tick();
    assert_eq!(lab.reasons("web"), (Reason::Unknown, Reason::Unknown));
}

#[test]
fn targets_are_told_apart_and_named_where_there_are_several() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.targets.push(ObjectKey::new(Kind::Deployment, "shop", "api"));
    lab.read("queue", 3.0);
    lab.prometheus.readings.insert(("queue", "api"), vec![30.0]);
    // Another namespace's and nobody's series are not ours.
    lab.run(1);
    let measured = lab.standing("web");
    assert_eq!(measured.counts, (2, 1));
    let listed: Vec<&ThresholdStatus> = measured.thresholds.iter().collect();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].target.as_deref(), Some("Deployment/api"));
    assert!(measured.compliant.message.contains("queue of Deployment/api was 30"), "{}", measured.compliant.message);
    // A target that goes takes its row along; the other keeps what it knows.
    lab.targets.remove(0);
    lab.tick();
    assert_eq!(lab.standing("web").counts, (1, 0));
    assert_eq!(lab.active(), ["TrimtabThresholdBreached warning"]);
}

#[test]
fn a_target_that_came_while_a_query_was_under_way_is_not_judged_by_it() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.read("queue", 3.0);
    let asked = lab.tick();
    lab.targets.push(ObjectKey::new(Kind::Deployment, "shop", "api"));
    lab.tick();
    for asked in &asked {
        lab.answer(asked);
    }
    assert_eq!(lab.reasons("web"), (Reason::Unknown, Reason::Unknown));
    lab.prometheus.readings.insert(("queue", "api"), vec![1.0]);
    lab.run(31);
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
}

#[test]
fn a_policy_without_target_reads_its_namespace() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.policies.values_mut().for_each(|policy| policy.target = None);
    lab.targets.clear();
    let asked = lab.tick();
    assert_eq!(asked[0].expr, "avg by (namespace) (avg_over_time(queue{namespace=\"shop\"}[5m]))");
    for asked in &asked {
        let value = if asked.expr.contains("timestamp") { asked.at.seconds() } else { 70.0 };
        let series =
            Series { labels: [("namespace".into(), "shop".into())].into(), points: vec![(asked.at.seconds(), value)] };
        lab.sweep.answer(asked.token, Ok(vec![series]), lab.now);
    }
    assert_eq!(lab.reasons("web").0, Reason::Breached);
    lab.run(1);
    assert!(!lab.sent[0].1.labels.contains_key("target"));
}

#[test]
fn a_policy_that_governs_nothing_yet_measures_nothing() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.targets.clear();
    lab.run(1);
    assert_eq!((lab.asked.len(), lab.reasons("web").0), (0, Reason::NoTargets));
}

#[test]
fn a_clock_that_goes_back_stops_nothing() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.read("queue", 3.0);
    lab.run(60);
    lab.now = START - Span::hours(5);
    let (asked, sent) = (lab.asked.len(), lab.sent.len());
    lab.read("queue", 30.0);
    lab.run(60);
    assert!(lab.asked.len() > asked && lab.sent.len() > sent);
    assert_eq!(lab.reasons("web").0, Reason::Breached);
}

#[test]
fn readings_show_value_and_verdict() {
    let mut lab = Lab::with(json!([{"name": "p95", "metric": {"gauge": "latency", "unit": "milliseconds"},
        "levels": [{"severity": "warning", "above": "2s", "for": "1m"}]}]));
    lab.read("latency", 2500.0);
    lab.run(1);
    let readings: Vec<_> = lab.sweep.readings().collect();
    let [reading] = readings.as_slice() else { panic!("one reading") };
    assert_eq!((reading.threshold, reading.target.map(ObjectKey::short)), ("p95", Some("Deployment/web".to_owned())));
    assert!((reading.value.unwrap() - 2.5).abs() < 1e-6);
    assert!(matches!(reading.verdict, Verdict::Pending { severity: Severity::Warning, .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever comes back, in whatever order, nothing panics, no token is answered twice, and what the verdict is does
    /// not depend on the order.
    #[test]
    fn the_order_of_answers_does_not_matter(
        answers in vec((0..6_u8, -50.0..150.0_f64), 1..12),
        swaps in vec(any::<prop::sample::Index>(), 8),
    ) {
        let thresholds = json!([
            {"name": "queue", "metric": {"gauge": "queue"}, "levels": [{"severity": "warning", "above": 10, "for": "1m"}]},
            {"name": "size", "metric": {"gauge": "pool_size"}, "levels": [above("critical", 100)]},
            {"name": "free", "metric": {"query": "queue + 1"}, "levels": [{"severity": "info", "below": 0}]}]);
        let (mut straight, mut shuffled) = (Lab::with(thresholds.clone()), Lab::with(thresholds));
        for (kind, value) in answers {
            for lab in [&mut straight, &mut shuffled] {
                lab.prometheus = lab::Prometheus::default();
                lab.read("queue", value);
                lab.read("pool_size", value);
                match kind {
                    1 => lab.prometheus.broken = Some(Reason::BackendUnavailable),
                    2 => drop(lab.prometheus.refuses.insert("timestamp", Reason::QueryTooExpensive)),
                    3 => lab.read("queue", f64::NAN),
                    4 => lab.prometheus.age = Span::hours(1),
                    _ => {}
                }
            }
            for _ in 0..30 {
                for asked in straight.tick() { straight.answer(&asked); }
                let mut asked = shuffled.tick();
                for swap in &swaps {
                    if !asked.is_empty() { let len = asked.len(); asked.swap(0, swap.index(len)); }
                }
                for asked in &asked { shuffled.answer(asked); }
                for asked in &asked { prop_assert!(shuffled.answer(asked).is_empty()); }
                for lab in [&mut straight, &mut shuffled] { lab.now = lab.now + Span::seconds(1); }
            }
            let key = Lab::key("web");
            let none = PerformancePolicyStatus::default();
            // After an outage one question goes ahead to see whether the source is back, and the others follow a tick later:
            // which one that is depends on the order, and so does the second in which a breach is seen.
            let listed = |lab: &Lab| {
                let mut thresholds = lab.sweep.standing(&key, &none).thresholds;
                for threshold in &mut thresholds {
                    threshold.since = report::time(START);
                }
                thresholds
            };
            prop_assert_eq!(listed(&straight), listed(&shuffled));
        }
    }
}
