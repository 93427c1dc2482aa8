//! `PromQL` that means something else than its author thinks.

use serde_json::Value as Json;

use super::super::{
    Code, Finding,
    calls::{Call, calls, metric},
    subject::Subject,
};
use crate::core::units::Decimal;

/// Aggregations; what they take away depends on their grouping.
const AGGREGATIONS: [&str; 12] =
    ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "topk", "bottomk", "quantile", "count_values"];
/// Those after which one value of several remains, so that a percentile per pod is meant.
const CHOOSE: [&str; 6] = ["max", "min", "topk", "bottomk", "count", "quantile"];
/// Ends of names that counters do not have.
const GAUGES: [&str; 9] =
    ["_bytes", "_ratio", "_percent", "_celsius", "_pending", "_active", "_idle", "_in_use", "_current"];

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for threshold in &subject.policy.spec.thresholds {
        if let Some(query) = &threshold.metric.query {
            let path = format!("thresholds.{}.metric.query", threshold.name);
            expression(query, &mut |code, message| findings.push(subject.find(code, path.clone(), message)));
        }
    }
    for knob in &subject.policy.knobs {
        if let Some(query) = knob.readback.as_ref().and_then(|readback| readback.query()) {
            let path = format!("{}.effective.query", knob.path);
            expression(query.expr(), &mut |code, message| findings.push(subject.find(code, path.clone(), message)));
        }
    }
}

/// Rules that a `PrometheusRule` brings.
pub(super) fn manifest(document: usize, object: &Json, findings: &mut Vec<Finding>) {
    if object["kind"] != "PrometheusRule" {
        return;
    }
    for (g, group) in object["spec"]["groups"].as_array().into_iter().flatten().enumerate() {
        for (r, rule) in group["rules"].as_array().into_iter().flatten().enumerate() {
            let Some(text) = rule["expr"].as_str() else { continue };
            let path = format!("spec.groups[{g}].rules[{r}].expr");
            expression(text, &mut |code, message| {
                findings.push(Finding { code, document, path: path.clone(), message });
            });
        }
    }
}

/// Finds what is wrong with an expression.
fn expression(text: &str, find: &mut impl FnMut(Code, String)) {
    let all = calls(text);
    for call in &all {
        match call.name {
            "histogram_quantile" => quantile(call, &all, find),
            "rate" | "irate" | "increase" => rate(call, find),
            _ => {}
        }
    }
}

fn quantile(call: &Call<'_>, all: &[Call<'_>], find: &mut impl FnMut(Code, String)) {
    let [share, buckets, ..] = &call.arguments[..] else { return };
    if let Ok(number) = Decimal::parse(share)
        && (number < Decimal::ZERO || number > Decimal::ONE)
    {
        let instead =
            number.checked_div(Decimal::from_int(100)).filter(|share| *share <= Decimal::ONE && number > Decimal::ONE);
        let instead = instead.map(|share| format!(": write {share}")).unwrap_or_default();
        find(Code::QuantileOutOfRange, format!("asks for quantile {number}, which must be from 0 to 1{instead}"));
    }
    let inner = calls(buckets);
    let outermost = inner.first();
    let inside = |outer: &&Call<'_>| outer.span.0 < call.span.0 && call.span.1 <= outer.span.1;
    let around = all.iter().filter(inside).rfind(|outer| AGGREGATIONS.contains(&outer.name));
    if around.is_some_and(|outer| CHOOSE.contains(&outer.name)) {
        return;
    }
    let is_classic = buckets.contains("_bucket");
    let keeps_le = |grouping: &Option<(bool, Vec<&str>)>| match grouping {
        Some((by, labels)) => *by == labels.contains(&"le"),
        None => false,
    };
    match outermost {
        Some(sum) if AGGREGATIONS.contains(&sum.name) && is_classic && !keeps_le(&sum.grouping) => find(
            Code::QuantilePerPod,
            format!("takes histogram_quantile of {} without by (le): the label that it needs is gone", sum.name),
        ),
        Some(rate) if matches!(rate.name, "rate" | "irate" | "increase") => find(
            Code::QuantilePerPod,
            format!(
                "takes histogram_quantile of {}(…) of every pod by itself: one percentile per pod, not the service's; sum by (le) \
                 first",
                rate.name
            ),
        ),
        // A recorded series has been rated and summed by its rule.
        None if buckets.contains(':') => {}
        None => find(
            Code::QuantilePerPod,
            "takes histogram_quantile of buckets since the start of each pod: rate them, and sum by (le)".to_owned(),
        ),
        Some(_) => {}
    }
}

fn rate(call: &Call<'_>, find: &mut impl FnMut(Code, String)) {
    let Some(argument) = call.arguments.first() else { return };
    if let Some(name) = metric(argument).filter(|name| GAUGES.iter().any(|end| name.ends_with(end))) {
        find(
            Code::RateOfGauge,
            format!("takes {} of {name}, which by its name is a gauge: every fall is taken for a restart", call.name),
        );
    }
    let inner = calls(argument);
    if let Some(sum) = inner.first().filter(|inner| AGGREGATIONS.contains(&inner.name)) {
        find(
            Code::RateOfSum,
            format!(
                "takes {}({}(…)): restarts of single counters are not seen; {}({}(…))",
                call.name, sum.name, sum.name, call.name
            ),
        );
    }
}
