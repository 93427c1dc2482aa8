//! Thresholds that never speak, speak too late, or compare what nobody measured.

use super::super::{Code, Finding, subject::Subject};
use crate::{
    api::policy::{self as wire, Severity},
    core::{
        facts::Span,
        policy::{Threshold, thresholds::word},
        promql::Window,
        units::{BaseUnit, Decimal, Dimension, Quantity},
    },
};

/// The interval at which the operator asks, unless it is told otherwise.
const INTERVAL: Span = Span::seconds(30);
/// Four scrapes at the usual interval.
const SHORTEST_WINDOW_MILLIS: u64 = 60_000;
/// Histograms whose buckets a standard fixes, and their edges in seconds: OpenTelemetry's semantic conventions.
const STANDARD: [(&str, &[&str]); 3] = [
    ("http_server_request_duration_seconds", HTTP),
    ("http_client_request_duration_seconds", HTTP),
    ("db_client_operation_duration_seconds", &["0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1", "5", "10"]),
];
const HTTP: &[&str] =
    &["0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5", "7.5", "10"];

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for threshold in subject.policy.thresholds.iter() {
        let Some(wire) = subject.policy.spec.thresholds.iter().find(|wire| wire.name == *threshold.name) else {
            continue;
        };
        severities(subject, threshold, findings);
        never(subject, threshold, findings);
        edges(subject, threshold, wire, findings);
        holds(subject, threshold, findings);
        window(subject, wire, findings);
        absent(subject, wire, findings);
    }
}

fn at(threshold: &Threshold, severity: Severity, member: &str) -> String {
    format!("thresholds.{}.levels.{}.{member}", threshold.name, word(severity))
}

/// Levels come worst first: each milder one must be reached earlier.
fn severities(subject: &Subject<'_>, threshold: &Threshold, findings: &mut Vec<Finding>) {
    for [worse, milder] in threshold.levels.array_windows() {
        let (worst, mild) = (word(worse.severity), word(milder.severity));
        if let (Some(bad), Some(early)) = (worse.above, milder.above)
            && early.bound.value() > bad.bound.value()
        {
            let message = format!("is {}, beyond the {} of {worst}: {mild} comes later", early.bound, bad.bound);
            findings.push(subject.find(Code::SeveritiesInverted, at(threshold, milder.severity, "above"), message));
        }
        if let (Some(bad), Some(early)) = (worse.below, milder.below)
            && early.bound.value() < bad.bound.value()
        {
            let message = format!("is {}, beyond the {} of {worst}: {mild} comes later", early.bound, bad.bound);
            findings.push(subject.find(Code::SeveritiesInverted, at(threshold, milder.severity, "below"), message));
        }
    }
}

/// A share has an end at both sides.
fn never(subject: &Subject<'_>, threshold: &Threshold, findings: &mut Vec<Finding>) {
    let is_builtin_share =
        subject.policy.spec.thresholds.iter().find(|wire| wire.name == *threshold.name).is_some_and(|wire| {
            // Of two metrics one may be several times the other, such as retries and requests.
            let of_one = |ratio: &wire::Ratio| {
                (&ratio.numerator.counter, &ratio.numerator.gauge)
                    == (&ratio.denominator.counter, &ratio.denominator.gauge)
            };
            wire.metric.ratio.as_ref().is_some_and(of_one) || wire.metric.builtin.is_some()
        });
    for level in &threshold.levels {
        // A gauge called a ratio may well exceed one (a load, a burn rate); a share of counters or of a limit cannot.
        let over = level.above.filter(|limit| {
            is_builtin_share && threshold.unit.base() == BaseUnit::Ratio && limit.bound.value() >= Decimal::ONE
        });
        if let Some(limit) = over {
            let message = format!("is {}: a share is never above 100 %, so this is never breached", limit.bound);
            findings.push(subject.find(Code::NeverBreached, at(threshold, level.severity, "above"), message));
        }
        let is_positive = threshold.unit.base() != BaseUnit::Count
            && !subject.policy.spec.thresholds.iter().any(|wire| {
                wire.name == *threshold.name
                    && (wire.metric.statistic.as_deref() == Some("slope") || wire.metric.query.is_some())
            });
        let under = level.below.filter(|limit| is_positive && limit.bound.value() <= Decimal::ZERO);
        if let Some(limit) = under {
            let message = format!("is {}: no reading is below zero, so this is never breached", limit.bound);
            findings.push(subject.find(Code::NeverBreached, at(threshold, level.severity, "below"), message));
        }
    }
}

/// Only where a standard says what the buckets are.
fn edges(subject: &Subject<'_>, threshold: &Threshold, wire: &wire::Threshold, findings: &mut Vec<Finding>) {
    let Some(name) = wire.metric.histogram.as_deref() else { return };
    let Some((_, edges)) = STANDARD.iter().find(|(known, _)| *known == name) else { return };
    if !wire.metric.statistic.as_deref().is_some_and(|statistic| statistic.starts_with('p')) {
        return;
    }
    let edges: Vec<Decimal> = edges.iter().filter_map(|edge| Decimal::parse(edge).ok()).collect();
    let sides = threshold.levels.iter().flat_map(|level| {
        [("above", level.above), ("below", level.below)].map(|(member, limit)| (level.severity, member, limit))
    });
    for (severity, member, limit) in sides {
        let Some(bound) = limit.map(|limit| limit.bound).filter(|bound| !edges.contains(&bound.value())) else {
            continue;
        };
        let seconds = |edge: &Decimal| Quantity::new(*edge, Dimension::Duration).to_string();
        let below = edges.iter().rev().find(|edge| **edge < bound.value()).map_or_else(|| "0s".to_owned(), seconds);
        let above = edges.iter().find(|edge| **edge > bound.value()).map(seconds);
        let between = above.map_or_else(
            || format!("beyond the last edge ({below}), where every percentile reads {below}"),
            |above| format!("between {below} and {above}, where it is interpolated"),
        );
        let message = format!("is {bound}: no bucket of {name} ends there; it lies {between}");
        findings.push(subject.find(Code::OffBucket, at(threshold, severity, member), message));
    }
}

fn holds(subject: &Subject<'_>, threshold: &Threshold, findings: &mut Vec<Finding>) {
    for level in threshold.levels.iter().filter(|level| level.hold > Span::ZERO && level.hold < INTERVAL) {
        let seconds = |span: Span| span.as_millis() / 1000;
        let message =
            format!("is {}s, but readings come every {}s: one decides", seconds(level.hold), seconds(INTERVAL));
        findings.push(subject.find(Code::HoldTooShort, at(threshold, level.severity, "for"), message));
    }
}

/// Labels that tell how something ended.
const OUTCOMES: [&str; 10] = [
    "code",
    "status",
    "status_code",
    "http_response_status_code",
    "grpc_code",
    "error",
    "error_type",
    "result",
    "outcome",
    "exception",
];

/// Only of labels by which outcomes are told: others may well be there from the start.
fn absent(subject: &Subject<'_>, wire: &wire::Threshold, findings: &mut Vec<Finding>) {
    let wire::Metric { counter: Some(counter), labels, matching, heartbeat: None, .. } = &wire.metric else { return };
    let mut selected = labels.keys().chain(matching.keys());
    let Some(label) = selected.find(|label| OUTCOMES.contains(&label.as_str())) else { return };
    if wire.levels.iter().any(|level| level.above.is_some()) {
        let message =
            format!("selects {label} of {counter}: until it happens no series answers, and there is no heartbeat");
        findings.push(subject.find(Code::AbsentUntilItHappens, format!("thresholds.{}.metric", wire.name), message));
    }
}

fn window(subject: &Subject<'_>, wire: &wire::Threshold, findings: &mut Vec<Finding>) {
    let Some(text) = wire.metric.window.as_deref() else { return };
    let is_rate = wire.metric.histogram.is_some()
        || wire.metric.summary.is_some()
        || wire.metric.counter.is_some()
        || wire.metric.ratio.is_some();
    if is_rate && Window::parse(text).is_ok_and(|window| window.millis() < SHORTEST_WINDOW_MILLIS) {
        let message = format!("is {text}: with a scrape every 15s to 30s a missed one leaves fewer than two samples");
        findings.push(subject.find(Code::WindowTooShort, format!("thresholds.{}.metric.window", wire.name), message));
    }
}
