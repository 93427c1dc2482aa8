#![expect(clippy::needless_pass_by_value, reason = "JSON reads best where it is made")]

use serde_json::json;

use super::*;
use crate::core::policy::thresholds::word;

fn spec(patterns: serde_json::Value) -> PerformancePolicySpec {
    serde_json::from_value(json!({"patterns": patterns, "thresholds": [{"name": "known", "metric": {"gauge": "up"}}]}))
        .unwrap()
}

fn metric(kind: PatternKind) -> serde_json::Value {
    match kind {
        PatternKind::Slow | PatternKind::OptimizationCandidate => json!({"histogram": "task_seconds"}),
        PatternKind::Inconsistent => json!({"gauge": "confidence"}),
        PatternKind::Trend => json!({"counter": "jobs_total"}),
        _ => json!({"ratio": {"numerator": {"counter": "ok_total"}, "denominator": {"counter": "runs_total"}}}),
    }
}

fn one(kind: PatternKind, levels: serde_json::Value) -> Threshold {
    let pattern = json!({"name": "p", "kind": kind, "metric": metric(kind), "levels": levels});
    parse(&spec(json!([pattern]))).unwrap()[0].clone()
}

fn reading(value: f64, count: f64) -> Reading {
    Reading { value: Ok(value), count: Some(count) }
}

/// Whether a level of that severity is crossed.
fn crossed(threshold: &Threshold, reading: Reading) -> Vec<&'static str> {
    let Ok(value) = threshold.read(reading) else { return vec!["held"] };
    let crossed = threshold.levels.iter().filter(|level| {
        level.above.is_some_and(|above| value > above.bound.as_f64())
            || level.below.is_some_and(|below| value < below.bound.as_f64())
    });
    crossed.map(|level| word(level.severity)).collect()
}

#[test]
fn each_kind_fires_on_what_is_shown_and_not_on_what_is_read() {
    const MINUTES: f64 = 60.0;
    let none = || json!([]);
    let scatter = || json!([{"severity": "warning", "above": "50%"}]);
    for (kind, levels, value, count, fires) in [
        (PatternKind::AlwaysSucceeds, none(), 1.0, 298.0, vec!["info"]),
        (PatternKind::AlwaysSucceeds, none(), 1.0, 297.0, vec![]),
        (PatternKind::AlwaysSucceeds, none(), 999.0 / 1000.0, 1000.0, vec![]),
        (PatternKind::AlwaysFails, none(), 0.0, 28.0, vec!["critical"]),
        (PatternKind::AlwaysFails, none(), 0.0, 27.0, vec![]),
        (PatternKind::AlwaysFails, none(), 0.01, 1000.0, vec![]),
        (PatternKind::FallbackRate, none(), 0.36, 1000.0, vec!["warning"]),
        (PatternKind::FallbackRate, none(), 0.36, 100.0, vec![]),
        (PatternKind::FallbackRate, none(), 1.0, 4.0, vec![]),
        (PatternKind::AutomationCandidate, none(), 1.0, 50.0, vec!["info"]),
        (PatternKind::AutomationCandidate, none(), 0.92, 50.0, vec![]),
        (PatternKind::Slow, none(), 6.0, 30.0, vec!["warning"]),
        (PatternKind::Slow, none(), 4.9, 30.0, vec![]),
        (PatternKind::Slow, none(), 60.0, 14.0, vec![]),
        (PatternKind::Slow, none(), 60.0, 29.0, vec!["held"]),
        (PatternKind::OptimizationCandidate, none(), 25.0 * MINUTES, 10.0, vec!["info"]),
        (PatternKind::OptimizationCandidate, none(), 31.0 * MINUTES, 10.0, vec!["warning", "info"]),
        (PatternKind::OptimizationCandidate, none(), 31.0 * MINUTES, 4.0, vec![]),
        (PatternKind::Inconsistent, scatter(), 0.6, 30.0, vec!["warning"]),
        (PatternKind::Inconsistent, scatter(), 0.4, 30.0, vec![]),
        (PatternKind::Trend, none(), 0.11, 0.0, vec!["info"]),
        (PatternKind::Trend, json!([{"severity": "warning", "below": "-10%"}]), -0.2, 0.0, vec!["warning"]),
    ] {
        assert_eq!(crossed(&one(kind, levels), reading(value, count)), fires, "{kind:?} {value} of {count}");
    }
    let few = Reading { value: Err(Missing::new(Reason::TooFewSamples)), count: Some(3.0) };
    let gone = Reading { value: Err(Missing::new(Reason::NoData)), count: None };
    for kind in PatternKind::ALL {
        let threshold = one(kind, if kind == PatternKind::Inconsistent { scatter() } else { none() });
        assert_eq!(crossed(&threshold, few), Vec::<&str>::new(), "{kind:?} has nothing to show");
        assert_eq!(threshold.read(gone), gone.value, "{kind:?} without data");
        assert!(!threshold.advice.unwrap().is_empty());
    }
}

#[test]
fn a_pattern_of_a_day_is_asked_for_four_times_an_hour_and_a_trend_has_whole_days() {
    let of = |kind, window: &str| {
        let mut metric = metric(kind);
        metric["window"] = window.into();
        let parsed = parse(&spec(json!([{"name": "p", "kind": kind, "metric": metric}]))).unwrap();
        let Metric::Series { window, .. } = &parsed[0].metric else { panic!("no series") };
        let pattern = parsed[0].pattern.unwrap();
        (pattern.every.as_millis() / 1000, pattern.points, window.to_string())
    };
    assert_eq!(of(PatternKind::Slow, "24h"), (900, 1, "1d".into()));
    assert_eq!(of(PatternKind::Slow, "7d"), (900, 1, "7d".into()));
    assert_eq!(of(PatternKind::Slow, "96m"), (60, 1, "96m".into()));
    assert_eq!(of(PatternKind::Trend, "14d"), (900, 14, "1d".into()));
    assert_eq!(of(PatternKind::Trend, "9d"), (900, 24, "9h".into()));
    assert_eq!(of(PatternKind::Trend, "24s"), (0, 24, "1s".into()));
    let wrong =
        parse(&spec(json!([{"name": "p", "kind": "Trend", "metric": {"gauge": "g", "window": "10s"}}]))).unwrap_err();
    assert_eq!(
        wrong[0].to_string(),
        "patterns.p.metric.window must be ≥ 24s for a Trend, which has 24 points of at least a second"
    );
}

#[test]
fn what_cannot_be_found_is_refused() {
    for (pattern, message) in [
        (
            json!({"name": "p", "kind": "Slow", "metric": {"gauge": "g"}}),
            "patterns.p.kind must be looked for in a histogram",
        ),
        (
            json!({"name": "p", "kind": "AlwaysFails", "metric": {"counter": "c"}}),
            "patterns.p.kind must be looked for in a ratio of counters",
        ),
        (
            json!({"name": "p", "kind": "Inconsistent", "metric": {"gauge": "g"}}),
            "patterns.p.levels must be set: nobody else knows how much this metric may scatter",
        ),
        (
            json!({"name": "p", "kind": "Trend", "metric": {"gauge": "g", "minSamples": 4}}),
            "patterns.p.metric.minSamples is not for a Trend, which needs ten points: leave it out",
        ),
        (
            json!({"name": "known", "kind": "Trend", "metric": {"gauge": "g"}}),
            "patterns.known has the name of another pattern or of a threshold",
        ),
        (
            json!({"name": "p", "kind": "Slow", "metric": {"histogram": "h_seconds"}, "levels": [{"severity": "info", "below": "1s"}]}),
            "patterns.p.levels must have above, and only a Trend may have below",
        ),
        (
            json!({"name": "p", "kind": "AlwaysFails", "metric": metric(PatternKind::AlwaysFails), "levels": [{"severity": "info", "above": "3s"}]}),
            "patterns.p.levels.info.above must be a ratio such as 5% or 0.05: \"3s\" is a duration, but the metric is in unit ratio",
        ),
    ] {
        let wrong: Vec<String> = parse(&spec(json!([pattern]))).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(wrong, [message]);
    }
}
