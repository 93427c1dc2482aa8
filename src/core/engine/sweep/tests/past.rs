//! What is known after a restart.

use super::*;

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
