//! What alerts say. Prometheus reads labels and annotations as templates of Go, so that what people have written must not be
//! taken for one.

use serde_json::{Map, Value, json};

use super::{Known, duration};
use crate::core::{
    policy::thresholds::Level,
    units::{BaseUnit, Bound},
};

/// A text of somebody else, as a template that says it.
pub(super) fn literal(text: &str) -> String {
    text.replace("{{", "{{\"{{\"}}")
}

/// The reading, as a template.
fn value(unit: BaseUnit) -> &'static str {
    match unit {
        BaseUnit::Seconds => "{{ $value | humanizeDuration }}",
        BaseUnit::Bytes => "{{ $value | humanize1024 }}B",
        BaseUnit::Ratio => "{{ $value | humanizePercentage }}",
        BaseUnit::PerSecond => "{{ $value | humanize }}/s",
        BaseUnit::BytesPerSecond => "{{ $value | humanize1024 }}B/s",
        BaseUnit::Count => "{{ $value | humanize }}",
    }
}

/// The threshold, of which value of the labels that it keeps apart, and of what.
fn subject(known: &Known<'_>) -> String {
    let by = known.threshold.metric.by();
    let pairs: Vec<String> =
        by.iter().map(|label| format!("{label}={{{{ $labels.{label} | printf \"%q\" }}}}")).collect();
    let group = if pairs.is_empty() { String::new() } else { format!(" ({})", pairs.join(",")) };
    let policy = &known.case.policy.identity;
    let of = match &known.case.policy.target {
        Some(target) if known.apart().starts_with("target") => {
            format!("{} \"{}/{{{{ $labels.target }}}}\"", target.kind.as_str(), policy.key.0)
        }
        _ => format!("policy \"{}/{}\"", policy.key.0, policy.name()),
    };
    format!("{}{group} of {of}", known.threshold.name)
}

pub(super) fn breached(known: &Known<'_>, level: &Level, moved: bool) -> Value {
    let sides = [("above", &level.above), ("below", &level.below)];
    let spelled = |(side, bound): (&str, Bound)| {
        if moved { format!("{side} its bound ({bound}, unless a profile moves it)") } else { format!("{side} {bound}") }
    };
    let beyond: Vec<String> =
        sides.into_iter().filter_map(|(side, limit)| Some(spelled((side, limit.as_ref()?.bound)))).collect();
    let beyond = beyond.join(" or ");
    let hold = if level.hold.as_millis() > 0 { format!(" for {}", duration(level.hold)) } else { String::new() };
    let policy = &known.case.policy.identity;
    let summary = format!("{} is {beyond}", subject(known));
    let description = format!(
        "{} {{{{ if eq (printf \"%f\" $value) \"NaN\" }}}}has no reading at the moment, so that the breach is held: it was\
         {{{{ else }}}}is {}, and was{{{{ end }}}} {beyond}{hold}. Policy {}/{}.",
        known.threshold.name,
        value(known.threshold.unit.base()),
        policy.key.0,
        policy.name(),
    );
    annotations(known, &summary, &description)
}

pub(super) fn without_data(known: &Known<'_>) -> Value {
    let policy = &known.case.policy.identity;
    let summary = format!("{} has no data", subject(known));
    let description = format!(
        "{}: no reading for {}. What was breached is held. Policy {}/{}.",
        known.threshold.name,
        duration(known.threshold.no_data.after),
        policy.key.0,
        policy.name(),
    );
    annotations(known, &summary, &description)
}

/// Of an error budget: `pace` times as fast as it may be, and what share of the budget is gone in a window by that.
pub(super) fn burns(known: &Known<'_>, pace: &str, windows: (&str, &str), objective: &str, period: &str) -> Value {
    let policy = &known.case.policy.identity;
    let summary =
        format!("{} burns its error budget {pace} times as fast as {objective} in {period} allows", subject(known));
    let description = format!(
        "{{{{ $value | humanizePercentage }}}} of the events of the last {} are bad, and as many of the last {}. \
         Policy {}/{}.",
        windows.0,
        windows.1,
        policy.key.0,
        policy.name(),
    );
    annotations(known, &summary, &description)
}

fn annotations(known: &Known<'_>, summary: &str, description: &str) -> Value {
    let mut said: Map<String, Value> =
        [("summary".to_owned(), json!(summary)), ("description".to_owned(), json!(description))].into_iter().collect();
    let alerting = known.case.policy.spec.alerting.as_ref();
    let more = [
        ("advice", known.threshold.advice.as_deref()),
        ("runbook_url", alerting.and_then(|alerting| alerting.runbook_url.as_deref())),
        ("dashboard_url", alerting.and_then(|alerting| alerting.dashboard_url.as_deref())),
    ];
    said.extend(more.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(literal(text?))))));
    Value::Object(said)
}
