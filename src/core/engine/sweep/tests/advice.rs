//! Numbers of observations, patterns, and hints.

use super::*;
use crate::api::status::AdviceStatus;

/// A pattern of runs by skill, which the laboratory calls a tier.
fn runs(kind: &str) -> Value {
    let successes = json!({"counter": "skill_runs_total", "labels": {"result": "ok"}});
    json!([{"name": "skills", "kind": kind,
        "metric": {"by": ["tier"], "ratio": {"numerator": successes, "denominator": {"counter": "skill_runs_total"}}}}])
}

fn spelled(advice: &[AdviceStatus]) -> Vec<String> {
    let labels = |advice: &AdviceStatus| advice.labels.values().cloned().collect::<Vec<_>>().join(",");
    advice.iter().map(|advice| format!("{} {:?} {}", labels(advice), advice.severity, advice.value)).collect()
}

#[test]
fn a_percentile_of_few_requests_is_no_reading_and_no_alarm() {
    let thresholds = json!([{"name": "p95", "metric": {"histogram": "http_seconds", "statistic": "p95"},
        "levels": [{"severity": "warning", "above": "1s"}], "noData": {"after": "1m"}}]);
    let mut lab = Lab::with(thresholds);
    lab.read("http_seconds", 30.0);
    lab.prometheus.samples = 199.0;
    lab.run(300);
    assert_eq!((lab.reasons("web"), lab.active()), ((Reason::NoData, Reason::Answered), vec![]));
    assert_eq!(lab.standing("web").thresholds[0].value, "TooFewSamples");
    // Two questions in one query: the number costs no round trip.
    let mut readings = lab.asked.iter().filter(|asked| !asked.expr.starts_with("topk"));
    assert!(readings.all(|asked| asked.expr.contains("trimtab_part") != asked.expr.starts_with("max by")));
    lab.prometheus.samples = 200.0;
    lab.run(31);
    assert_eq!((lab.reasons("web").0, lab.active().len()), (Reason::Breached, 1));
    // Held, as without any data.
    lab.prometheus.samples = 3.0;
    lab.run(300);
    assert_eq!(
        (lab.reasons("web").0, lab.active()),
        (Reason::Breached, vec!["TrimtabThresholdBreached warning".to_owned()])
    );
}

#[test]
fn what_was_read_of_few_requests_before_a_restart_is_no_evidence() {
    let breached_after = |samples| {
        let thresholds = json!([{"name": "p95", "metric": {"histogram": "http_seconds", "statistic": "p95"},
            "levels": [{"severity": "warning", "above": "1s", "for": "10m"}]}]);
        let mut lab = Lab::with(thresholds);
        lab.read("http_seconds", 30.0);
        lab.prometheus.past = Some(|_| 30.0);
        lab.prometheus.samples = samples;
        lab.second();
        lab.prometheus.samples = 1e6;
        (0..700).find(|_| {
            lab.second();
            lab.reasons("web").0 == Reason::Breached
        })
    };
    assert_eq!(breached_after(1e6), Some(0));
    assert!(breached_after(100.0).is_some_and(|seconds| seconds > 590));
}

#[test]
fn a_pattern_is_found_once_for_each_value_and_nobody_is_paged() {
    let mut lab = Lab::advised(json!([]), runs("AlwaysFails"));
    lab.tiers(&[("deploy", 0.0), ("lint", 1.0), ("plan", 0.2)]);
    lab.prometheus.samples = 40.0;
    lab.run(60);
    let measured = lab.standing("web");
    assert_eq!(spelled(&measured.advice), ["deploy Critical 40 tries without a success"]);
    assert!(measured.advice[0].advice.contains("investigate now"));
    assert_eq!((measured.compliant.reason, measured.counts), (Reason::NoThresholds, (0, 0)));
    assert_eq!((measured.metrics.reason, lab.active()), (Reason::Answered, vec![]));
    // Other numbers are no news.
    let (told, asked) = (lab.told.len(), lab.asked.len());
    lab.prometheus.samples = 45.0;
    lab.run(3600);
    assert_eq!((lab.told.len(), lab.standing("web").advice), (told, measured.advice));
    assert!((3..=6).contains(&((lab.asked.len() - asked) / 2)), "four times an hour: {}", lab.asked.len() - asked);
    // One success, and it is over.
    lab.tiers(&[("deploy", 0.1), ("lint", 1.0), ("plan", 0.2)]);
    lab.run(1400);
    assert_eq!((lab.standing("web").advice, lab.told.len()), (vec![], told + 1));
}

#[test]
fn patterns_are_silent_with_too_few_observations_and_hold_until_there_are_half() {
    let mut lab = Lab::advised(json!([]), runs("AlwaysSucceeds"));
    lab.tiers(&[("lint", 1.0)]);
    for (samples, found) in [(297.0, 0), (298.0, 1), (150.0, 1), (148.0, 0), (297.0, 0)] {
        lab.prometheus.samples = samples;
        lab.run(1400);
        assert_eq!(lab.standing("web").advice.len(), found, "{samples}");
        assert_eq!(lab.reasons("web").1, Reason::Answered);
    }
    // Nothing divided by nothing.
    lab.prometheus.samples = 300.0;
    lab.run(1400);
    lab.tiers(&[("lint", f64::NAN)]);
    lab.prometheus.samples = 0.0;
    lab.run(1400);
    assert_eq!((lab.standing("web").advice.len(), lab.reasons("web").1), (0, Reason::Answered));
}

/// Whole days since the start.
fn day(at: Instant) -> f64 {
    f64::from(i32::try_from(at.since(START).as_millis() / 86_400_000).unwrap())
}

#[test]
fn a_trend_is_told_in_its_share_and_noise_is_not() {
    let trend = json!([{"name": "batch", "kind": "Trend", "metric": {"histogram": "batch_seconds"}}]);
    let advice = |past| {
        let mut lab = Lab::advised(json!([]), trend.clone());
        lab.read("batch_seconds", 60.0);
        lab.prometheus.past = Some(past);
        lab.run(31);
        let asked = lab.asked.iter().find_map(|asked| asked.range).unwrap();
        assert_eq!((lab.now.since(asked.0).as_millis() / 86_400_000, asked.1), (13, Span::hours(24)));
        assert_eq!(lab.reasons("web").1, Reason::Answered);
        spelled(&lab.standing("web").advice)
    };
    assert_eq!(advice(|at| 200.0 + 4.0 * day(at)), [" Info 29.89% of its median over the window"]);
    assert_eq!(advice(|at| 200.0 + 0.1 * day(at)), Vec::<String>::new(), "it is too small");
    assert_eq!(advice(|at| 200.0 - 4.0 * day(at)), Vec::<String>::new(), "it falls");
    assert_eq!(advice(|at| 200.0 + 100.0 * (day(at) * 2.4).sin()), Vec::<String>::new(), "it is noise");
    assert_eq!(advice(|at| if day(at) < -5.0 { f64::NAN } else { 200.0 + 4.0 * day(at) }), Vec::<String>::new());
}

#[test]
fn advice_outlives_a_restart_without_being_told_again() {
    let mut lab = Lab::advised(json!([]), runs("AlwaysFails"));
    lab.tiers(&[("deploy", 0.0), ("lint", 0.0)]);
    lab.prometheus.samples = 40.0;
    lab.run(60);
    let before = lab.standing("web").advice;
    assert_eq!(before.len(), 2);
    let status = PerformancePolicyStatus { observed_generation: Some(1), advice: before.clone(), ..Default::default() };
    lab.statuses.insert(Lab::key("web"), status);
    lab.sweep.rebuild();
    let asked = lab.tick();
    assert_eq!(lab.standing("web").advice, before, "before anything is answered");
    for asked in &asked {
        lab.answer(asked);
    }
    lab.run(60);
    assert_eq!(lab.standing("web").advice, before, "and the same moment after");
}

#[test]
fn every_value_that_was_breached_outlives_a_restart() {
    let levels = json!([{"severity": "warning", "above": 10, "for": "1h"}]);
    let thresholds = json!([{"name": "latency", "metric": {"gauge": "latency", "by": ["tier"]}, "levels": levels}]);
    let mut lab = Lab::with(thresholds);
    lab.tiers(&[("gold", 50.0), ("silver", 60.0)]);
    lab.run(3700);
    let before = lab.standing("web").thresholds;
    assert_eq!(before.len(), 2);
    let status =
        PerformancePolicyStatus { observed_generation: Some(1), thresholds: before.clone(), ..Default::default() };
    lab.statuses.insert(Lab::key("web"), status);
    lab.sweep.rebuild();
    lab.run(60);
    assert_eq!((lab.standing("web").thresholds, lab.active().len()), (before, 2));
}

#[test]
fn thresholds_that_are_breached_together_hint_at_what_to_look_at() {
    let slow = json!({"name": "slow", "metric": {"gauge": "latency"}, "levels": [{"severity": "warning", "above": 10}],
        "advice": "look at the slowest query first", "hints": [
            {"when": ["lag"], "advice": "look at the NATS consumers"},
            {"when": ["misses"], "advice": "look at the hit rate of Redis"},
            {"when": ["lag", "misses"], "advice": "look at the network"}]});
    let plain = |name: &str, gauge: &str| json!({"name": name, "metric": {"gauge": gauge}, "levels": [{"severity": "info", "above": 10}]});
    let mut lab = Lab::with(json!([slow, plain("lag", "consumer_lag"), plain("misses", "cache_misses")]));
    let mut read = |latency, lag, misses| {
        lab.read("latency", latency);
        lab.read("consumer_lag", lag);
        lab.read("cache_misses", misses);
        lab.run(31);
        let newest = lab.sent.iter().rfind(|(_, alert)| alert.labels["threshold"] == "slow");
        let annotation = newest.map(|(_, alert)| alert.annotations["advice"].clone()).unwrap_or_default();
        let hints = lab.standing("web").advice;
        assert!(hints.iter().all(|hint| hint.kind == "Hint" && hint.severity == Severity::Warning));
        (annotation, hints.into_iter().map(|hint| format!("{}: {}", hint.value, hint.advice)).collect::<Vec<_>>())
    };
    let own = "look at the slowest query first";
    assert_eq!(read(50.0, 1.0, 1.0), (own.to_owned(), vec![]));
    let lag = "with lag: look at the NATS consumers".to_owned();
    assert_eq!(read(50.0, 50.0, 1.0), (format!("{own}; look at the NATS consumers"), vec![lag]));
    assert_eq!(read(50.0, 50.0, 50.0).1.len(), 3);
    assert_eq!(read(1.0, 50.0, 50.0).1, Vec::<String>::new());
}
