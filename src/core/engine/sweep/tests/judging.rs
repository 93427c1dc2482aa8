//! What becomes of readings, and of what is none.

use super::*;

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

fn latency_only() -> serde_json::Value {
    json!({"name": "latency", "metric": {"histogram": "request_seconds", "statistic": "mean"}, "levels": [above("warning", 1)]})
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
