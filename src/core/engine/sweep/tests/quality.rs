//! Whether readings can be trusted, and how exact they are.

use super::*;

fn p95(kind: &str, bound: &str) -> serde_json::Value {
    json!([{"name": "latency", "metric": {kind: "request_seconds", "statistic": "p95"},
        "levels": [{"severity": "warning", "above": bound}]}])
}

fn message(lab: &Lab) -> String {
    lab.standing("web").metrics.message
}

#[test]
fn a_bound_between_two_buckets_is_told_with_its_edges() {
    let mut lab = Lab::with(p95("histogram", "150ms"));
    lab.prometheus.edges = vec!["0.1", "0.25", "1", "+Inf"];
    lab.read("request_seconds", 0.12);
    lab.second();
    assert_eq!(message(&lab), "MetricsSource \"default\" answers every query");
    lab.run(31);
    let said = "MetricsSource \"default\" answers every query; latency: 150ms is interpolated between 100ms and 250ms";
    assert_eq!(message(&lab), said);
    // It is asked seldom, and told once.
    let told = lab.told.len();
    lab.run(600);
    let asked = lab.asked.iter().filter(|asked| asked.expr.contains("count by (namespace,trimtab_workload,le)"));
    let asked = asked.filter(|asked| asked.expr.starts_with("topk")).count();
    assert!((2..=4).contains(&asked), "{asked} times in ten minutes");
    assert_eq!(lab.told.len(), told);
    // A release with other buckets.
    lab.prometheus.edges = vec!["0.15", "+Inf"];
    lab.run(330);
    assert_eq!(message(&lab), "MetricsSource \"default\" answers every query");
}

#[test]
fn a_restart_does_not_rewrite_how_exact_readings_are() {
    let mut lab = Lab::with(p95("histogram", "150ms"));
    lab.prometheus.edges = vec!["0.1", "0.25", "+Inf"];
    lab.read("request_seconds", 0.12);
    lab.run(61);
    let (said, compliant) = (message(&lab), lab.standing("web").compliant);
    let at = report::time(lab.now);
    let conditions = vec![
        report::condition(ConditionType::MetricsAvailable, &lab.standing("web").metrics, 1, &[], &at),
        report::condition(ConditionType::Compliant, &compliant, 1, &[], &at),
    ];
    let status =
        PerformancePolicyStatus { observed_generation: Some(1), conditions, ..PerformancePolicyStatus::default() };
    lab.statuses.insert(Lab::key("web"), status);
    lab.sweep.rebuild();
    lab.second();
    assert_eq!(message(&lab), said);
    lab.run(61);
    assert_eq!(message(&lab), said);
}

#[test]
fn a_percentile_that_a_summary_does_not_export_is_said() {
    let mut lab = Lab::with(p95("summary", "150ms"));
    lab.prometheus.edges = vec!["0.5", "0.9", "0.99"];
    lab.run(121);
    assert_eq!(lab.reasons("web"), (Reason::NoData, Reason::NotExported));
    assert!(message(&lab).contains("the summary does not export this percentile"), "{}", message(&lab));
    // The next release does.
    lab.prometheus.edges.push("0.95");
    lab.read("request_seconds", 0.1);
    lab.run(60);
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
}

#[test]
fn of_a_counter_that_goes_back_again_and_again_nothing_is_read() {
    let counter = json!([{"name": "rate", "metric": {"counter": "jobs_total"}, "noData": {"after": "1m", "severity": "info"},
        "levels": [{"severity": "warning", "above": "10/s"}]}]);
    let mut lab = Lab::with(counter);
    lab.read("jobs_total", 5.0);
    lab.run(61);
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
    // Two processes expose it as one, and rate adds up what never happened.
    lab.prometheus.resets = true;
    lab.read("jobs_total", 5000.0);
    lab.run(1);
    lab.run(330 + 61);
    assert_eq!(lab.reasons("web").1, Reason::CounterReset);
    assert!(message(&lab).contains("goes back again and again"), "{}", message(&lab));
    assert!(lab.sent.iter().any(|(_, alert)| alert.labels["alertname"] == "TrimtabNoData"));
    lab.prometheus.resets = false;
    lab.read("jobs_total", 5.0);
    lab.run(330);
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
}

#[test]
fn a_share_of_few_requests_breaches_nothing_and_a_breach_says_what_is_certain() {
    let ratio = json!({"numerator": {"counter": "errors_total"}, "denominator": {"counter": "requests_total"}});
    let mut lab = Lab::with(json!([{"name": "errors", "metric": {"ratio": ratio},
        "levels": [{"severity": "warning", "above": "5%"}]}]));
    lab.prometheus.samples = 25.0;
    lab.read("errors_total", 0.12);
    lab.run(61);
    // 3 of 25 may be 4.9 % in truth.
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
    let interval = lab.sweep.readings().find_map(|reading| reading.interval).expect("an interval");
    assert!(interval.0 < 0.05 && interval.1 > 0.2, "{interval:?}");
    lab.read("errors_total", 0.2);
    lab.run(30);
    assert_eq!(lab.reasons("web"), (Reason::Breached, Reason::Answered));
    let standing = lab.standing("web");
    assert_eq!(standing.thresholds[0].of, Some(25));
    let said = &standing.compliant.message;
    assert!(said.contains("errors was 20% of 25 (at least 10"), "{said}");
    // It holds while nothing is certain, and ends with a reading that is well.
    lab.read("errors_total", 0.06);
    lab.run(30);
    assert_eq!(lab.reasons("web").0, Reason::Breached);
    lab.read("errors_total", 0.0);
    lab.run(30);
    assert_eq!(lab.reasons("web").0, Reason::Within);
}

/// The value flips around its bound for an hour.
#[test]
fn an_hour_around_a_bound_is_one_transition_per_hysteresis() {
    let mut lab = Lab::with(queue(json!([above("warning", 100)])));
    lab.read("queue", 50.0);
    lab.run(31);
    let told = lab.told.len();
    for round in 0..120 {
        lab.read("queue", if round % 2 == 0 { 101.0 } else { 99.0 });
        lab.run(30);
    }
    assert_eq!(lab.told.len(), told + 1, "one breach, and nothing else in an hour");
    lab.read("queue", 89.0);
    lab.run(31);
    assert_eq!(lab.told.len(), told + 2);
}
