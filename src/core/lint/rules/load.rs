//! Load levels against latency targets, by Little's law: users = rate × (response time + think time).

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{
    super::{
        Code, Finding,
        subject::{Subject, about_time, grouped},
    },
    pools::latencies,
};
use crate::core::units::{Decimal, Quantity, Value, ValueType};

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for profile in subject.spec["profiles"].as_array().into_iter().flatten() {
        let load = &profile["load"];
        let (Some(users), Some(rate)) = (load["users"].as_f64(), rate(&load["rate"])) else { continue };
        let path = format!("profiles.{}.load", profile["name"].as_str().unwrap_or_default());
        let think = load["thinkTime"].as_str().and_then(|text| Value::parse(ValueType::Duration, text).ok());
        let think = think.and_then(|value| value.amount()).map_or(0.0, Decimal::as_f64);
        if users <= 0.0 || rate <= 0.0 {
            continue;
        }
        let cycle = users / rate;
        let sum = format!("{} users / {}/s = {}", grouped(users), grouped(rate), about_time(cycle));
        if think >= cycle {
            let message = format!(
                "is impossible: {sum} from one request of a user to the next, and {} of it is think time",
                about_time(think)
            );
            findings.push(subject.find(Code::LoadImpossible, path, message));
            continue;
        }
        let mean = cycle - think;
        if let Some((name, bound)) = target(subject, profile).filter(|(_, bound)| mean >= *bound) {
            let less = if think > 0.0 {
                format!(", less {} think time", about_time(think))
            } else {
                " (no think time is stated)".to_owned()
            };
            let message = format!(
                "means {sum} for each request{less}: a mean response time of {}, which is not below the {} of {name}",
                about_time(mean),
                about_time(bound)
            );
            findings.push(subject.find(Code::LoadContradictsTarget, path, message));
        }
    }
}

fn rate(literal: &Json) -> Option<f64> {
    match literal {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => Some(Quantity::parse(text)?.amount.as_f64()),
        _ => None,
    }
}

/// The most patient of the targets that a profile states, or, if it states none, of the policy's; each by its tightest level.
fn target(subject: &Subject<'_>, profile: &Json) -> Option<(String, f64)> {
    let mut stated: BTreeMap<&str, f64> = BTreeMap::new();
    for (path, value) in profile["set"].as_object().into_iter().flatten() {
        let steps: Vec<&str> = path.split('.').collect();
        if let (["thresholds", name, "levels", _, "above"], Some(text)) = (&steps[..], value.as_str())
            && let Ok(bound) = Value::parse(ValueType::Duration, text)
            && let Some(bound) = bound.amount()
            && latencies(subject).any(|(threshold, _)| *threshold.name == **name)
        {
            let tightest = stated.entry(name).or_insert(f64::INFINITY);
            *tightest = tightest.min(bound.as_f64());
        }
    }
    if stated.is_empty() {
        let tightest = latencies(subject).filter_map(|(threshold, _)| {
            let bounds = threshold.levels.iter().filter_map(|level| level.above).map(|limit| limit.bound.as_f64());
            Some((threshold.name.to_string(), bounds.reduce(f64::min)?))
        });
        return tightest.max_by(|a, b| a.1.total_cmp(&b.1));
    }
    stated.into_iter().map(|(name, bound)| (name.to_owned(), bound)).max_by(|a, b| a.1.total_cmp(&b.1))
}
