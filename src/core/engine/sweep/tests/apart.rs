//! Labels that are kept apart: each value is judged by itself.

use super::*;
use crate::core::promql::Shape;

/// A threshold on the latency of each tier.
fn latency(hold: &str) -> Value {
    json!([{"name": "latency", "metric": {"gauge": "latency", "by": ["tier"]}, "noData": {"after": "2m"},
        "levels": [{"severity": "warning", "above": 10, "for": hold}, {"severity": "critical", "above": 100, "for": hold}]}])
}

/// Tier and severity of every alert that is active.
fn active(lab: &Lab) -> Vec<String> {
    let mut latest = std::collections::BTreeMap::new();
    for (_, alert) in &lab.sent {
        latest.insert(&alert.labels, alert.ends_at);
    }
    let active = latest.into_iter().filter(|(_, ends_at)| *ends_at > lab.now).map(|(labels, _)| labels);
    let tier = |labels: &std::collections::BTreeMap<String, String>| labels.get("tier").cloned().unwrap_or_default();
    let mut active: Vec<String> = active.map(|labels| format!("{} {}", tier(labels), labels["severity"])).collect();
    active.sort();
    active
}

#[test]
fn each_value_has_an_alert_and_the_status_shows_the_worst() {
    let mut lab = Lab::with(latency("0s"));
    lab.tiers(&[("gold", 1.0), ("silver", 50.0), ("bronze", 500.0), ("", 20.0)]);
    lab.run(31);
    assert_eq!(active(&lab), [" warning", "bronze critical", "silver warning"]);
    let status = lab.standing("web");
    assert_eq!(status.counts, (1, 0), "a threshold is one, however many values it keeps apart");
    let listed = &status.thresholds[0];
    let severities: Vec<_> = status.thresholds.iter().filter_map(|listed| listed.severity).collect();
    assert_eq!(severities, [Severity::Critical, Severity::Warning, Severity::Warning], "the next leader goes by it");
    let labels: Vec<_> = listed.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    assert_eq!((labels, listed.value.as_str()), (vec!["tier=bronze".to_owned()], "500"));
    assert_eq!(
        status.compliant.message,
        format!("1 of 1 thresholds is breached: latency (tier=\"bronze\") was 500 at {START}, above 100 (critical)")
    );
    let summary = &lab.sent.iter().find(|(_, alert)| alert.labels["severity"] == "critical").unwrap().1.annotations;
    assert_eq!(summary["summary"], "latency (tier=\"bronze\") of Deployment \"shop/web\" is above 100");
    let series: Vec<_> =
        lab.sweep.readings().map(|reading| (reading.series.unwrap(), reading.value.unwrap())).collect();
    assert_eq!(series.len(), 4);
    assert!(series.contains(&("tier=\"gold\"".to_owned(), 1.0)));
    // The worst is over, and the next worst is shown: a transition of the status.
    let told = lab.told.len();
    lab.tiers(&[("gold", 1.0), ("silver", 50.0), ("bronze", 1.0), ("", 1.0)]);
    lab.run(30);
    assert_eq!(active(&lab), ["silver warning"]);
    assert_eq!(lab.standing("web").thresholds[0].labels["tier"], "silver");
    assert_eq!(lab.told.len(), told + 1);
    lab.tiers(&[("gold", 1.0), ("silver", 1.0), ("bronze", 1.0), ("", 1.0)]);
    lab.run(30);
    assert_eq!((active(&lab), lab.reasons("web")), (vec![], (Reason::Within, Reason::Answered)));
}

#[test]
fn one_value_without_a_number_hides_no_other_and_is_an_alert_of_its_own() {
    let mut lab = Lab::with(latency("0s"));
    lab.tiers(&[("gold", f64::NAN), ("silver", 50.0)]);
    lab.run(60);
    assert_eq!(active(&lab), ["silver warning"]);
    lab.run(240);
    assert_eq!(
        (active(&lab), lab.reasons("web").1),
        (vec!["gold warning".to_owned(), "silver warning".to_owned()], Reason::Answered)
    );
    let (_, missing) = lab.sent.iter().rfind(|(_, alert)| alert.labels["alertname"] == "TrimtabNoData").unwrap();
    assert_eq!(missing.annotations["summary"], "latency (tier=\"gold\") of Deployment \"shop/web\" has no data");
    lab.tiers(&[("gold", f64::NAN), ("silver", f64::NAN)]);
    lab.run(61);
    assert_eq!(lab.reasons("web"), (Reason::Breached, Reason::NotANumber), "held");
}

#[test]
fn a_value_that_is_gone_is_forgotten_and_its_breach_held_for_the_time_without_data() {
    let mut lab = Lab::with(latency("0s"));
    lab.tiers(&[("gold", 1.0), ("silver", 50.0)]);
    lab.run(30);
    lab.tiers(&[("bronze", 1.0)]);
    lab.run(120);
    assert_eq!(active(&lab), ["silver warning"]);
    let known = |lab: &Lab| lab.sweep.readings().map(|reading| reading.series.unwrap()).collect::<Vec<_>>();
    assert_eq!(known(&lab), ["tier=\"bronze\"", "tier=\"silver\""]);
    lab.run(60);
    assert_eq!((active(&lab), known(&lab)), (vec![], vec!["tier=\"bronze\"".to_owned()]));
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
}

#[test]
fn values_that_come_and_go_do_not_pile_up() {
    let mut lab = Lab::with(latency("0s"));
    for round in 0..8 {
        let names: Vec<String> = (0..20).map(|n| format!("pod-{round}-{n}")).collect();
        let tiers: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 500.0)).collect();
        lab.tiers(&tiers);
        lab.run(30);
        assert!(lab.sweep.readings().count() <= Shape::MAX_GROUPS);
    }
    assert!(active(&lab).len() <= Shape::MAX_GROUPS);
}

#[test]
fn too_many_values_are_no_reading_and_one_alert() {
    let mut lab = Lab::with(latency("0s"));
    let names: Vec<String> = (0..=Shape::MAX_GROUPS).map(|n| n.to_string()).collect();
    let tiers: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 500.0)).collect();
    lab.tiers(&tiers);
    lab.run(31);
    assert_eq!(lab.reasons("web"), (Reason::NoData, Reason::TooManySeries));
    assert_eq!(
        lab.standing("web").metrics.message,
        format!("latency: more than 32 values of its labels answer, which no threshold keeps apart, since {START}")
    );
    lab.run(120);
    assert_eq!(lab.active(), ["TrimtabNoData warning"]);
    lab.tiers(&tiers[1..]);
    lab.run(30);
    assert_eq!((active(&lab).len(), lab.reasons("web").1), (Shape::MAX_GROUPS, Reason::Answered));
}

#[test]
fn nothing_at_all_holds_what_was_breached_and_is_said_once() {
    let mut lab = Lab::with(latency("0s"));
    lab.tiers(&[("gold", 500.0), ("silver", 50.0)]);
    lab.run(30);
    lab.tiers(&[]);
    lab.run(300);
    assert_eq!(active(&lab), [" warning", "gold critical", "silver warning"], "the first is that of the missing data");
    assert_eq!(lab.reasons("web"), (Reason::Breached, Reason::NoData));
}

#[test]
fn a_restart_asks_the_past_of_each_value_and_recalls_the_worst() {
    let mut lab = Lab::with(latency("10m"));
    lab.tiers(&[("gold", 500.0), ("silver", 50.0)]);
    lab.prometheus.past = Some(|_| 50.0);
    lab.run(31);
    // What gold was before is a warning; critical it is since now.
    assert_eq!(active(&lab), ["gold warning", "silver warning"]);
    let mut lab = Lab::with(latency("0s"));
    let since = report::time(START - Span::minutes(7));
    lab.statuses.insert(
        Lab::key("web"),
        PerformancePolicyStatus {
            observed_generation: Some(1),
            thresholds: vec![ThresholdStatus {
                name: "latency".into(),
                target: None,
                labels: [("tier".to_owned(), "gold".to_owned())].into(),
                state: "Breached".into(),
                severity: Some(Severity::Warning),
                since: since.clone(),
                value: "12".into(),
                of: None,
            }],
            ..PerformancePolicyStatus::default()
        },
    );
    // Inside the hysteresis: only who was breached still is.
    lab.tiers(&[("gold", 9.5), ("silver", 9.5)]);
    lab.run(31);
    assert_eq!(active(&lab), ["gold warning"]);
    assert_eq!(lab.standing("web").thresholds[0].since, since);
}

#[test]
fn an_edit_of_something_else_keeps_what_is_known_of_each_value() {
    let mut lab = Lab::with(latency("0s"));
    lab.tiers(&[("gold", 500.0)]);
    lab.run(30);
    let mut more = latency("0s");
    more.as_array_mut().unwrap().push(json!({"name": "queue", "metric": {"gauge": "queue"}}));
    lab.policy("web", 2, more);
    lab.tick();
    assert_eq!(lab.standing("web").thresholds[0].since, report::time(START));
    assert_eq!(active(&lab), ["gold critical"]);
}
