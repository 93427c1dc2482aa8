//! Sources that are away, or are not there.

use super::*;

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
