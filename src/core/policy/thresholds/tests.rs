#![expect(clippy::needless_pass_by_value, reason = "JSON reads best where it is made")]

use serde_json::json;

use super::*;

fn spec(thresholds: serde_json::Value) -> PerformancePolicySpec {
    serde_json::from_value(json!({"metrics": {"labels": {"app": "web", "zone": "a"}}, "thresholds": thresholds}))
        .unwrap()
}

fn one(threshold: serde_json::Value) -> Threshold {
    let parsed = parse(&spec(json!([threshold]))).unwrap();
    parsed[0].clone()
}

/// Paths and messages of everything that is refused.
fn refused(threshold: serde_json::Value) -> Vec<String> {
    parse(&spec(json!([threshold]))).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn omitted_fields_mean_what_the_api_says() {
    let threshold = one(json!({"name": "p95", "metric": {"histogram": "http_seconds", "statistic": "p95"},
        "levels": [{"severity": "warning", "above": "200ms"}]}));
    assert_eq!(threshold.no_data, NoData { after: Span::minutes(15), severity: Severity::Warning });
    let level = &threshold.levels[0];
    assert_eq!((level.hold, level.below), (Span::ZERO, None));
    let above = level.above.unwrap();
    assert_eq!((above.bound.to_string(), above.clear.to_string()), ("200ms".into(), "180ms".into()));
    let Metric::Series { window, .. } = threshold.metric else { panic!("no series") };
    assert_eq!(window, Window::DEFAULT);
}

#[test]
fn labels_of_the_metric_win_over_those_of_the_policy() {
    let threshold =
        one(json!({"name": "size", "metric": {"gauge": "db_pool_size", "labels": {"zone": "b", "pool": "x"}}}));
    let Metric::Series { selector, statistic, .. } = threshold.metric else { panic!("no series") };
    let labels: Vec<_> = selector.labels().iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(labels, ["app=web", "pool=x", "zone=b"]);
    assert_eq!(statistic, Statistic::Mean);
}

#[test]
fn levels_are_kept_worst_first() {
    let threshold = one(json!({"name": "q", "metric": {"gauge": "queue"}, "levels": [
        {"severity": "info", "above": 5}, {"severity": "critical", "above": 20, "for": "90s"}, {"severity": "warning", "above": "10.5"}]}));
    let levels: Vec<_> = threshold.levels.iter().map(|level| (word(level.severity), level.hold)).collect();
    assert_eq!(levels, [("critical", Span::seconds(90)), ("warning", Span::ZERO), ("info", Span::ZERO)]);
}

#[test]
fn every_side_of_a_band_can_be_left_again() {
    let clear = |below: &str, above: &str| {
        let threshold = one(json!({"name": "band", "metric": {"gauge": "replicas"},
            "levels": [{"severity": "warning", "below": below, "above": above}]}));
        let level = &threshold.levels[0];
        (level.below.unwrap().clear.to_string(), level.above.unwrap().clear.to_string())
    };
    assert_eq!(clear("10", "100"), ("11".into(), "90".into()));
    assert_eq!(clear("99", "100"), ("99.5".into(), "99.5".into()));
}

#[test]
fn a_unit_that_is_named_replaces_that_of_the_suffix() {
    let threshold =
        one(json!({"name": "p95", "metric": {"histogram": "latency", "statistic": "p95", "unit": "milliseconds"},
        "levels": [{"severity": "warning", "above": "2s"}], "hysteresis": "0%"}));
    let above = threshold.levels[0].above.unwrap();
    assert_eq!(above.bound, above.clear);
    assert!((threshold.unit.to_base(2000.0) - above.bound.as_f64()).abs() < f64::EPSILON);
}

#[test]
fn free_queries_count_in_the_unit_that_is_named() {
    let threshold = one(json!({"name": "busy", "metric": {"query": "sum(up)", "unit": "percent"},
        "levels": [{"severity": "info", "below": "80%"}]}));
    assert!(matches!(threshold.metric, Metric::Free(_)));
    assert_eq!(
        one(json!({"name": "busy", "metric": {"query": "sum(up)"}})).unit.base(),
        crate::core::units::BaseUnit::Count
    );
}

#[test]
fn what_is_wrong_is_said_with_its_path() {
    let p95 = |statistic: &str, level: serde_json::Value| json!({"name": "p95", "metric": {"histogram": "http_seconds", "statistic": statistic}, "levels": [level]});
    let warning = |above: serde_json::Value| json!({"severity": "warning", "above": above});
    for (threshold, message) in [
        (
            p95("p95", warning(json!("2Gi"))),
            "thresholds.p95.levels.warning.above must be a duration such as 200ms: \"2Gi\" is a size, but the metric is in unit seconds",
        ),
        (
            p95("p0", warning(json!("2s"))),
            "thresholds.p95.metric.statistic must be mean, max, min, rate, increase or a percentile such as p95, not \"p0\"",
        ),
        (
            p95("max", warning(json!("2s"))),
            "thresholds.p95.metric.statistic must be mean, rate, increase or a percentile such as p95 for a histogram, not max",
        ),
        (
            p95("p95", json!({"severity": "warning", "above": "1s", "below": "2s"})),
            "thresholds.p95.levels.warning.above must be > below (2s), not 1s: both make a band that is breached outside of it",
        ),
        (
            p95("p95", json!({"severity": "info"})),
            "thresholds.p95.levels.info must have at least one of above and below",
        ),
        (
            p95("p95", warning(json!("= 2 * x"))),
            "thresholds.p95.levels.warning.above is a formula; formulas are not supported in this version",
        ),
        (
            p95("p95", json!({"severity": "warning", "above": "1s", "for": "31d"})),
            "thresholds.p95.levels.warning.for must be whole milliseconds and ≤ 30d, not 31d",
        ),
        (
            json!({"name": "x", "metric": {}}),
            "thresholds.x.metric must have exactly one of histogram, counter, gauge and query",
        ),
        (
            json!({"name": "x", "metric": {"gauge": "a", "counter": "b"}}),
            "thresholds.x.metric must have exactly one of histogram, counter, gauge and query",
        ),
        (
            json!({"name": "x", "metric": {"query": "up", "window": "1m"}}),
            "thresholds.x.metric has a query, which says everything itself: leave out labels, statistic and window",
        ),
        (
            json!({"name": "x", "metric": {"gauge": "up{}"}}),
            "thresholds.x.metric.gauge must be a metric name such as http_requests_total, not \"up{}\"",
        ),
        (
            json!({"name": "x", "metric": {"gauge": "up"}, "hysteresis": "100%"}),
            "thresholds.x.hysteresis must be a percentage from 0% to below 100%, not \"100%\"",
        ),
        (
            json!({"name": "x", "metric": {"gauge": "up"}, "noData": {"after": "0s"}}),
            "thresholds.x.noData.after must be > 0s",
        ),
        (
            json!({"name": "x", "metric": {"gauge": "up"}, "levels": [{"severity": "info", "above": 1}, {"severity": "info", "above": 2}]}),
            "thresholds.x.levels.info is listed twice",
        ),
    ] {
        assert_eq!(refused(threshold), [message]);
    }
    let up = json!({"name": "x", "metric": {"gauge": "up"}});
    let twice = parse(&spec(json!([up, up]))).unwrap_err();
    assert_eq!(twice[0].to_string(), "thresholds.x is listed twice");
}
