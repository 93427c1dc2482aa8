//! Alerts of thresholds: when they begin, what they say, when they end.

use super::*;

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
fn an_overcommitted_budget_is_told_while_it_lasts_and_once_more_when_it_is_over() {
    let mut lab = Lab::new();
    let over = |why: &str| BTreeMap::from([(("shop".into(), "pg".into()), (START, why.to_owned()))]);
    lab.sweep.follow_overcommitted(&lab.rules, true, &over("pools could open 90 connections"));
    lab.tick();
    let sent = lab.sent.pop().unwrap().1;
    let labels: Vec<_> = sent.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    assert_eq!(
        labels,
        [
            "alertname=TrimtabBudgetExceeded",
            "budget=pg",
            "namespace=shop",
            "severity=warning",
            "site=x",
            "team=platform"
        ]
    );
    assert_eq!((sent.starts_at, &*sent.annotations["description"]), (START, "pools could open 90 connections."));
    assert!(sent.ends_at > lab.now);
    lab.tick();
    assert!(lab.sent.is_empty(), "nothing is new");
    lab.sweep.follow_overcommitted(&lab.rules, true, &BTreeMap::new());
    lab.tick();
    assert_eq!(lab.sent.pop().unwrap().1.ends_at, lab.now);
    // A class that tells nobody.
    lab.rules.spec.sink = None;
    lab.sweep.follow_overcommitted(&lab.rules, false, &over("x"));
    lab.tick();
    assert!(lab.sent.is_empty());
}
