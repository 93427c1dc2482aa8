#![expect(clippy::needless_pass_by_value, reason = "JSON reads best where it is made")]

use serde_json::json;

use super::*;
use crate::core::units::BaseUnit;

fn spec(thresholds: serde_json::Value) -> PerformancePolicySpec {
    serde_json::from_value(json!({"metrics": {"labels": {"app": "web", "zone": "a"}}, "thresholds": thresholds}))
        .unwrap()
}

fn one(threshold: serde_json::Value) -> Threshold {
    let parsed = parse(&spec(json!([threshold]))).unwrap();
    parsed[0].clone()
}

/// What is asked of whole namespaces.
fn expr(threshold: &Threshold) -> String {
    let shape = threshold.metric.shape(&Identity::default(), None).unwrap();
    shape.expr(&std::collections::BTreeSet::new())
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
    assert_eq!(
        expr(&threshold),
        "avg by (namespace) (avg_over_time(db_pool_size{app=\"web\",pool=\"x\",zone=\"b\"}[5m]))"
    );
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
    assert_eq!(one(json!({"name": "busy", "metric": {"query": "sum(up)"}})).unit.base(), BaseUnit::Count);
}

#[test]
fn a_ratio_is_a_share_of_which_labels_narrow_both_sides_and_one() {
    let errors = json!({"numerator": {"counter": "requests_total", "labels": {"code": "500", "zone": "c"}},
        "denominator": {"counter": "requests_total"}});
    let threshold = one(json!({"name": "errors", "metric": {"ratio": errors, "labels": {"zone": "b"}, "window": "1m"},
        "levels": [{"severity": "warning", "above": "5%"}]}));
    let above = threshold.levels[0].above.unwrap();
    assert_eq!((above.bound.to_string(), above.clear.to_string()), ("5%".into(), "4.5%".into()));
    let all = r#"sum by (namespace) (rate(requests_total{app="web",zone="b"}[1m]))"#;
    let failed = r#"sum by (namespace) (rate(requests_total{app="web",code="500",zone="c"}[1m]))"#;
    let known = r#"count by (namespace) (rate(requests_total{code!="",app="web",zone="b"}[1m]))"#;
    let count = all.replace("rate(", "increase(");
    assert_eq!(
        expr(&threshold),
        format!(
            "({failed} or {all} * 0 and on (namespace) {known}) / {all} or \
             label_replace({count},\"trimtab_part\",\"count\",\"\",\"\")"
        )
    );
    assert_eq!(threshold.min_samples, 20);
    // The mean of a summary is a quotient of counters, and no share.
    let mean = json!({"numerator": {"counter": "gc_seconds_sum"}, "denominator": {"counter": "gc_seconds_count"}});
    let threshold = one(json!({"name": "gc", "metric": {"ratio": mean, "unit": "seconds"},
        "levels": [{"severity": "warning", "above": "20ms"}]}));
    assert_eq!(threshold.levels[0].above.unwrap().bound.to_string(), "20ms");
}

#[test]
fn a_slope_has_bounds_below_zero_and_a_variation_is_a_share() {
    let bounds = |statistic: &str, metric: &str, below: &str, above: &str| {
        let threshold = one(json!({"name": "t", "metric": {"gauge": metric, "statistic": statistic, "across": "Max"},
            "levels": [{"severity": "info", "above": above, "below": below}]}));
        let level = &threshold.levels[0];
        (level.below.unwrap().bound.to_string(), level.above.unwrap().bound.to_string())
    };
    assert_eq!(bounds("slope", "heap_bytes", "-1Mi/s", "10Ki/s"), ("-1Mi/s".into(), "10Ki/s".into()));
    assert_eq!(bounds("slope", "queue", "-2/s", "0.5/s"), ("-2/s".into(), "0.5/s".into()));
    assert_eq!(bounds("slope", "lag_seconds", "-10%", "10%"), ("-10%".into(), "10%".into()));
    assert_eq!(bounds("cv", "confidence", "0", "50%"), ("0%".into(), "50%".into()));
}

#[test]
fn of_one_pod_it_is_the_one_that_the_levels_mean() {
    let of = |statistic: &str, levels: serde_json::Value| {
        let metric = json!({"gauge": "fps", "statistic": statistic});
        parse(&spec(json!([{"name": "t", "metric": metric, "levels": levels}])))
            .map(|parsed| expr(&parsed[0]).split(' ').next().unwrap().to_owned())
    };
    let (above, below) = (json!({"severity": "info", "above": 1}), json!({"severity": "warning", "below": 0}));
    for statistic in ["p5", "slope", "cv"] {
        assert_eq!(of(statistic, json!([above])), Ok("max".into()), "{statistic}");
        assert_eq!(of(statistic, json!([below])), Ok("min".into()), "{statistic}");
        assert_eq!(of(statistic, json!([])), Ok("max".into()), "{statistic}");
        let message = of(statistic, json!([above, below])).unwrap_err()[0].to_string();
        assert!(message.starts_with("thresholds.t.metric.across must be named where levels are above and below: "));
    }
    // Where pods are averaged there is nothing to choose.
    assert_eq!(of("mean", json!([above, below])), Ok("avg".into()));
}

#[test]
fn how_many_samples_there_must_be_follows_from_what_is_computed() {
    let of = |metric: serde_json::Value| {
        let threshold = one(json!({"name": "t", "metric": metric}));
        (threshold.min_samples, expr(&threshold).contains("trimtab_part"))
    };
    let hits = json!({"numerator": {"counter": "hits"}, "denominator": {"counter": "lookups"}});
    for (metric, least) in [
        (json!({"histogram": "h", "statistic": "p95"}), 200),
        (json!({"histogram": "h", "statistic": "p99"}), 1000),
        (json!({"histogram": "h", "statistic": "mean"}), 20),
        (json!({"ratio": hits}), 20),
        (json!({"histogram": "h", "statistic": "p95", "minSamples": 7}), 7),
        (json!({"counter": "c", "minSamples": 7}), 7),
    ] {
        assert_eq!(of(metric.clone()), (least, true), "{metric}");
    }
    for metric in [
        json!({"histogram": "h", "statistic": "p95", "minSamples": 0}),
        json!({"ratio": hits, "minSamples": 0}),
        json!({"histogram": "h", "statistic": "rate"}),
        json!({"counter": "c"}),
        json!({"gauge": "g"}),
    ] {
        assert_eq!(of(metric.clone()), (0, false), "{metric}");
    }
    let slope = |more: serde_json::Value| {
        let mut metric = json!({"gauge": "g", "statistic": "slope"});
        metric.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        expr(&one(json!({"name": "t", "metric": metric})))
    };
    assert!(slope(json!({})).contains("offset 150s"));
    assert!(slope(json!({"minSamples": 8})).contains(" >= 8)"));
    assert!(slope(json!({"minSamples": 0})).ends_with("(deriv(g{app=\"web\",zone=\"a\"}[5m]))"));
}

#[test]
fn hints_name_others_that_there_are() {
    let up = |hints: serde_json::Value| json!({"name": "t", "metric": {"gauge": "up"}, "hints": hints});
    let other = json!({"name": "u", "metric": {"gauge": "up"}});
    let parsed = parse(&spec(json!([up(json!([{"when": ["u"], "advice": "look"}])), other]))).unwrap();
    assert_eq!(parsed[0].hints, [Hint { when: vec!["u".into()], advice: "look".into() }]);
    for (when, message) in [
        (json!(["x"]), "must name other thresholds or patterns, not \"x\""),
        (json!(["t"]), "must name other thresholds or patterns, not \"t\""),
        (json!([]), "must name another threshold or a pattern"),
    ] {
        assert_eq!(
            refused(up(json!([{"when": when, "advice": "look"}]))),
            [format!("thresholds.t.hints[0].when {message}")]
        );
    }
}

#[test]
fn a_builtin_takes_labels_of_its_threshold_only() {
    let threshold =
        one(json!({"name": "memory", "metric": {"builtin": "CPUThrottled", "labels": {"container": "api"}},
        "levels": [{"severity": "warning", "above": "5%"}]}));
    let expr = expr(&threshold);
    assert!(expr.contains(r#"container="api""#) && !expr.contains("zone"), "{expr}");
    let unit = |word: &str| one(json!({"name": "b", "metric": {"builtin": word}})).unit.base();
    assert_eq!((unit("Restarts"), unit("StartupTime")), (BaseUnit::Count, BaseUnit::Seconds));
}

#[test]
fn what_slips_past_admission_is_refused_all_the_same() {
    let refused = |metric: serde_json::Value| refused(json!({"name": "t", "metric": metric}));
    let (counter, gauge) = (json!({"counter": "c"}), json!({"gauge": "g"}));
    for (metric, message) in [
        (
            json!({"ratio": {"numerator": counter, "denominator": gauge}}),
            "metric.ratio must be of two counters or of two gauges",
        ),
        (
            json!({"ratio": {"numerator": counter, "denominator": {}}}),
            "metric.ratio.denominator must have exactly one of counter and gauge",
        ),
        (
            json!({"ratio": {"numerator": counter, "denominator": {"counter": "a b"}}}),
            "metric.ratio.denominator.counter must be a metric name such as http_requests_total, not \"a b\"",
        ),
        (
            json!({"ratio": {"numerator": counter, "denominator": counter}, "statistic": "rate"}),
            "metric.statistic is for a histogram, a counter or a gauge: leave it out",
        ),
        (
            json!({"builtin": "Restarts", "unit": "count"}),
            "metric.unit is not for a builtin, which has one of its own: leave it out",
        ),
        (
            json!({"builtin": "VolumeUsed", "by": ["container"]}),
            "metric.by must be pod or persistentvolumeclaim for VolumeUsed, not \"container\"",
        ),
        (json!({"builtin": "StartupTime", "by": ["uid"]}), "metric.by must be pod for StartupTime, not \"uid\""),
        (
            json!({"ratio": {"numerator": {"counter": "a"}, "denominator": {"counter": "b"}}, "unit": "percent"}),
            "metric.unit must not be percent: what is divided is a share already, whatever its terms count in",
        ),
        (
            json!({"gauge": "g", "statistic": "cv", "unit": "percent"}),
            "metric.unit must be left out or ratio: cv and trend are shares, whatever the metric counts in",
        ),
        (
            json!({"histogram": "h", "statistic": "p95", "across": "Max"}),
            "metric.across joins the pods of a counter or a gauge, the rate or increase of a histogram, and percentiles of a summary: leave it out",
        ),
        (
            json!({"builtin": "Restarts", "minSamples": 3}),
            "metric.minSamples is for what can be counted, and not for a builtin or a ratio of gauges: leave it out",
        ),
        (
            json!({"gauge": "g", "matching": {"le": ".*"}}),
            "metric.matching must not select \"le\": the query sets that label itself",
        ),
        (json!({"gauge": "g", "by": ["a", "a"]}), "metric.by lists \"a\" twice"),
        (json!({"gauge": "g", "by": ["a", "b", "c"]}), "metric.by must have at most 2 labels, not 3"),
        (
            json!({"gauge": "g", "by": ["trimtab_workload"]}),
            "metric.by must be labels that an alert can carry beside its own, not \"trimtab_workload\"",
        ),
        (
            json!({"gauge": "g", "by": ["http.route"]}),
            "metric.by must be labels that an alert can carry beside its own, not \"http.route\"",
        ),
    ] {
        assert_eq!(refused(metric), [format!("thresholds.t.{message}")]);
    }
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
            "thresholds.p95.metric.statistic must be mean, max, min, rate, increase, cv, slope, trend or a percentile such as p95, not \"p0\"",
        ),
        (
            p95("max", warning(json!("2s"))),
            "thresholds.p95.metric.statistic must be mean, rate, increase, trend or a percentile such as p95 for a histogram, not max",
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
            "thresholds.p95.levels.warning.above must be a literal such as 200ms: formulas are for knobs",
        ),
        (
            p95("p95", json!({"severity": "warning", "above": "1s", "for": "31d"})),
            "thresholds.p95.levels.warning.for must be whole milliseconds and ≤ 30d, not 31d",
        ),
        (
            json!({"name": "x", "metric": {}}),
            "thresholds.x.metric must have exactly one of histogram, summary, counter, gauge, ratio, builtin and query",
        ),
        (
            json!({"name": "x", "metric": {"gauge": "a", "counter": "b"}}),
            "thresholds.x.metric must have exactly one of histogram, summary, counter, gauge, ratio, builtin and query",
        ),
        (
            json!({"name": "x", "metric": {"query": "up", "window": "1m"}}),
            "thresholds.x.metric has a query, which says everything itself: leave out labels, matching, statistic, by, across, window, minSamples and heartbeat",
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

#[test]
fn a_heartbeat_has_labels_of_its_own() {
    let threshold = one(json!({"name": "errors", "metric": {"counter": "errors_total", "labels": {"code": "500"},
        "heartbeat": {"counter": "requests_total", "matching": {"path": "/api.*"}}}}));
    let alive = "count by (namespace) (requests_total{app=\"web\",zone=\"a\",path=~\"/api.*\"})";
    assert_eq!(
        expr(&threshold),
        format!(
            "sum by (namespace) (rate(errors_total{{app=\"web\",code=\"500\",zone=\"a\"}}[5m])) and {alive} or {alive} * 0"
        )
    );
    let of = |metric: serde_json::Value| refused(json!({"name": "t", "metric": metric}));
    let beat = json!({"gauge": "up"});
    for metric in [
        json!({"gauge": "queue", "heartbeat": beat}),
        json!({"histogram": "h", "statistic": "mean", "heartbeat": beat}),
        json!({"counter": "c", "by": ["tier"], "heartbeat": beat}),
        json!({"counter": "c", "statistic": "trend", "heartbeat": beat}),
        json!({"ratio": {"numerator": {"gauge": "a"}, "denominator": {"gauge": "b"}}, "heartbeat": beat}),
    ] {
        let said = of(metric.clone());
        assert!(said.iter().any(|said| said.contains("thresholds.t.metric.heartbeat")), "{metric}: {said:?}");
    }
    let both = of(json!({"counter": "c", "heartbeat": {"gauge": "up", "counter": "up"}}));
    assert!(both[0].contains("metric.heartbeat") && both[0].contains("exactly one"), "{both:?}");
    assert!(of(json!({"query": "up", "heartbeat": beat}))[0].contains("leave out labels"));
}

#[test]
fn a_summary_is_read_by_what_it_exports() {
    let p95 = json!({"summary": "rpc_seconds", "statistic": "p95"});
    let threshold = one(json!({"name": "p95", "metric": p95, "levels": [{"severity": "warning", "below": "1ms"}]}));
    assert_eq!(
        expr(&Threshold { metric: threshold.metric.clone(), ..threshold.clone() }).split(" or ").next().unwrap(),
        "min by (namespace) (avg_over_time(rpc_seconds{quantile=\"0.95\",app=\"web\",zone=\"a\"}[5m]))"
    );
    assert_eq!((threshold.min_samples, threshold.unit.base()), (200, BaseUnit::Seconds));
    let of = |metric: serde_json::Value| refused(json!({"name": "t", "metric": metric}));
    assert!(of(json!({"summary": "s"}))[0].contains("a percentile that it exports"));
    assert!(of(json!({"summary": "s", "statistic": "max"}))[0].contains("for a summary, not max"));
    let selected = of(json!({"summary": "s", "statistic": "p95", "labels": {"quantile": "0.5"}}));
    assert!(selected[0].contains("must not select quantile"), "{selected:?}");
}

#[test]
fn a_trend_has_points_over_its_window_and_is_a_share() {
    let of = |metric: serde_json::Value| {
        one(json!({"name": "t", "metric": metric, "levels": [{"severity": "info", "above": "10%"}]}))
    };
    for (metric, asked) in [
        (json!({"gauge": "heap_bytes", "statistic": "trend", "window": "4h"}), "avg_over_time(heap_bytes"),
        (json!({"counter": "c_total", "statistic": "trend", "window": "4h"}), "rate(c_total"),
        (json!({"histogram": "h_seconds", "statistic": "trend", "window": "4h"}), "rate(h_seconds_sum"),
    ] {
        let threshold = of(metric);
        let course = threshold.metric.course().unwrap();
        assert_eq!((course.points, course.every), (24, Span::millis(150_000)));
        assert_eq!((threshold.min_samples, threshold.unit.base()), (0, BaseUnit::Ratio));
        let asks = expr(&threshold);
        assert!(asks.contains(asked) && asks.contains("[10m]"), "{asks}");
    }
    let days = of(json!({"gauge": "heap_bytes", "statistic": "trend", "window": "14d"}));
    assert_eq!(days.metric.course().unwrap().points, 14, "whole days, because most things go up and down once a day");
    let refused = |metric: serde_json::Value| refused(json!({"name": "t", "metric": metric}));
    assert!(refused(json!({"gauge": "g", "statistic": "trend", "window": "20s"}))[0].contains("24 points"));
    assert!(refused(json!({"gauge": "g", "statistic": "trend", "minSamples": 3}))[0].contains("leave it out"));
}

/// What guards low traffic when the policy says nothing.
#[test]
fn what_is_made_of_observations_needs_enough_of_them() {
    for (metric, least) in [
        (json!({"histogram": "h", "statistic": "p99"}), 1000),
        (json!({"summary": "s", "statistic": "p50"}), 20),
        (json!({"histogram": "h", "statistic": "mean"}), 20),
        (json!({"ratio": {"numerator": {"counter": "a"}, "denominator": {"counter": "b"}}}), 20),
        // A rate is what it is, however small.
        (json!({"counter": "c"}), 0),
        (json!({"counter": "c", "minSamples": 50}), 50),
        (json!({"histogram": "h", "statistic": "rate", "minSamples": 50}), 50),
    ] {
        assert_eq!(one(json!({"name": "t", "metric": metric})).min_samples, least, "{metric}");
    }
}
