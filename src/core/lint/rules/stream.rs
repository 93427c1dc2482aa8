//! `JetStream` streams: which of their limits comes first, and how the controller wants them spelled.

use serde_json::Value as Json;

use super::super::{
    Code, Finding,
    subject::{Subject, about_time, grouped},
};
use crate::core::units::{BaseUnit, Decimal, Quantity, Value, ValueType};

/// Limits of a stream, with the path of who says it.
#[derive(Default)]
struct Limits {
    messages: Option<(f64, String)>,
    bytes: Option<(f64, String)>,
    age: Option<(f64, String)>,
    message_size: Option<f64>,
}

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let limits = limits(subject);
    let (Some((age, path)), Some((rate, threshold))) = (&limits.age, rate(subject)) else { return };
    if *age <= 0.0 || rate <= 0.0 {
        return;
    }
    let span =
        |seconds: f64| Quantity::parse(&format!("{seconds}s")).map_or_else(|| about_time(seconds), |q| q.to_string());
    let messages = limits.messages.as_ref().filter(|(most, _)| *most > 0.0 && most / rate < *age);
    // Messages can be no larger than they may be, so this is the latest that bytes can say.
    let size = limits.message_size.filter(|size| *size > 0.0);
    if let Some((most, _)) = messages {
        let seconds = most / rate;
        let mut message = format!(
            "is {}, but {}/s ({threshold}) fill maxMsgs {} in {}: that age is never reached. It needs {} messages; {} in {} are \
             {:.1}/s",
            span(*age),
            grouped(rate),
            grouped(*most),
            about_time(seconds),
            grouped(age * rate),
            grouped(*most),
            span(*age),
            most / age
        );
        if let Some((bytes, _)) = limits.bytes.as_ref().filter(|(bytes, _)| *bytes > 0.0) {
            message.push_str(&format!("; maxBytes leaves {} bytes per message", grouped(bytes / most)));
        }
        findings.push(subject.find(Code::StreamAgeNeverReached, path.clone(), message));
    } else if let (Some((bytes, _)), Some(size)) = (&limits.bytes, size)
        && *bytes > 0.0
        && bytes / (rate * size) < *age
        && limits.messages.is_none()
    {
        // Full-size messages are the worst case: say so only where no limit of messages answers the question.
        let message = format!(
            "is {}, but {}/s ({threshold}) of maxMsgSize {} fill maxBytes {} in {}",
            span(*age),
            grouped(rate),
            grouped(size),
            grouped(*bytes),
            about_time(bytes / (rate * size))
        );
        findings.push(subject.find(Code::StreamAgeNeverReached, path.clone(), message));
    }
}

/// The name of a limit, whatever the spelling: `max_msgs`, `maxMsgs`, `max-msgs`.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn limits(subject: &Subject<'_>) -> Limits {
    let mut limits = Limits::default();
    if subject.spec["target"]["kind"] == "Stream"
        && let Some(stream) = subject.manifests.target("Stream", &subject.policy, subject.namespace)
    {
        let spec = &stream["spec"];
        limits.messages = spec["maxMsgs"].as_f64().map(|n| (n, "target".to_owned()));
        limits.bytes = spec["maxBytes"].as_f64().map(|n| (n, "target".to_owned()));
        limits.age = spec["maxAge"].as_str().and_then(go_seconds).map(|n| (n, "target".to_owned()));
        limits.message_size = spec["maxMsgSize"].as_f64();
    }
    let mut named = Limits::default();
    for (knob, value) in subject.values() {
        let Some(amount) = value.amount().map(Decimal::as_f64) else { continue };
        let Some(name) = super::postgres::place(subject, knob) else { continue };
        let said = Some((amount, knob.path.to_string()));
        match plain(&name).as_str() {
            "maxmsgs" | "maxmessages" if knob.kind == ValueType::Integer => named.messages = said,
            "maxbytes" => named.bytes = said,
            "maxage" if knob.kind == ValueType::Duration => named.age = said,
            "maxmsgsize" => named.message_size = Some(amount),
            _ => {}
        }
    }
    Limits {
        messages: named.messages.or(limits.messages),
        bytes: named.bytes.or(limits.bytes),
        age: named.age.or(limits.age),
        message_size: named.message_size.or(limits.message_size),
    }
}

/// The rate that the policy wants the stream to bear: the lower bound of a throughput of events or messages; where none is
/// called so, of the only throughput that there is.
fn rate(subject: &Subject<'_>) -> Option<(f64, String)> {
    let mut rates: Vec<(f64, String, bool)> = Vec::new();
    for threshold in subject.policy.thresholds.iter().filter(|t| t.unit.base() == BaseUnit::PerSecond) {
        let Some(least) =
            threshold.levels.iter().filter_map(|level| level.below).map(|limit| limit.bound.as_f64()).reduce(f64::max)
        else {
            continue;
        };
        let wire = subject.policy.spec.thresholds.iter().find(|wire| wire.name == *threshold.name);
        let metric = wire.and_then(|wire| wire.metric.counter.as_deref().or(wire.metric.histogram.as_deref()));
        let text = format!("{} {}", threshold.name, metric.unwrap_or_default()).to_lowercase();
        let fits = ["event", "msg", "message", "publish", "stream"].iter().any(|word| text.contains(word));
        rates.push((least, threshold.name.to_string(), fits));
    }
    let called = rates.iter().filter(|(.., fits)| *fits).max_by(|a, b| a.0.total_cmp(&b.0));
    let only = rates.first().filter(|_| rates.len() == 1);
    called.or(only).map(|(rate, name, _)| (*rate, name.clone()))
}

/// How the objects of nack, the `JetStream` controller, are spelled.
pub(super) fn manifest(document: usize, object: &Json, findings: &mut Vec<Finding>) {
    let group = object["apiVersion"].as_str().unwrap_or_default();
    if object["kind"] != "Stream" || !group.starts_with("jetstream.nats.io/") {
        return;
    }
    let mut find = |code, path: &str, message| findings.push(Finding { code, document, path: path.into(), message });
    for member in ["maxAge", "duplicateWindow"] {
        let Some(text) = object["spec"][member].as_str().filter(|text| !text.is_empty() && go_seconds(text).is_none())
        else {
            continue;
        };
        let hours = Value::parse(ValueType::Duration, text).ok().and_then(|value| value.amount());
        let hours = hours.map(|seconds| seconds.as_f64() / 3600.0).filter(|hours| hours.fract() == 0.0);
        let instead = hours.map(|hours| format!(": write {hours:.0}h")).unwrap_or_default();
        let message = format!("is \"{}\", which is no Go duration{instead}", text.escape_debug());
        find(Code::StreamDurationSpelling, &format!("spec.{member}"), message);
    }
    for member in ["maxBytes", "maxMsgs", "maxMsgSize"] {
        let value = &object["spec"][member];
        if value.is_null() || value.is_i64() {
            continue;
        }
        let number = value.as_str().and_then(|text| Value::parse(ValueType::Bytes, text).ok());
        let number = number.and_then(|value| value.amount()).map(|bytes| format!(": write {bytes}"));
        let message = format!("is {value}, but must be a whole number{}", number.unwrap_or_default());
        find(Code::StreamSizeSpelling, &format!("spec.{member}"), message);
    }
}

/// Seconds of a Go duration such as `168h` or `1h30m`; nothing for anything else.
pub(super) fn go_seconds(text: &str) -> Option<f64> {
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    if rest == "0" {
        return Some(0.0);
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest.get(..end)?.parse().ok()?;
        rest = rest.get(end..)?;
        let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];
        let (unit, factor) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        seconds += number * factor;
        rest = rest.get(unit.len()..)?;
    }
    (!text.is_empty()).then_some(seconds)
}
