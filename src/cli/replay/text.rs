//! A replay for people.

use super::super::render::{Paint, table};
use crate::core::{
    facts::Span,
    replay::{
        ReplayReport,
        history::millis,
        report::{AlertPart, ChangePart, PolicyPart, ThresholdPart, lasted},
    },
};

/// Changes and alerts that are listed.
const LISTED: usize = 20;

/// The report.
pub fn report(report: &ReplayReport) -> String {
    let paint = Paint::detect();
    let span = |seconds: f64| Span::millis(millis(seconds));
    let mut out = format!(
        "{} to {}, {} sweeps, one every {}\n{}\n",
        report.from,
        report.to,
        report.sweeps,
        lasted(span(report.interval_seconds)),
        paint.bold(&report.headline())
    );
    for policy in &report.policies {
        out.push_str(&format!(
            "\n{}\n",
            paint.bold(&format!("PerformancePolicy {}/{}", policy.namespace, policy.name))
        ));
        for trouble in &policy.troubles {
            out.push_str(&format!("  {} {trouble}\n", paint.bad("✗")));
        }
        out.push_str(&thresholds(policy, &report.alerts));
        out.push_str(&profiles(policy));
        out.push_str(&changes("differ at first", &policy.changes_at_first));
        out.push_str(&changes("change", &policy.changes));
        if !policy.told && policy.troubles.is_empty() && !report.alerts.is_empty() {
            out.push_str("  nobody is told of its alerts now: neither it nor its class names a sink\n");
        }
    }
    out.push_str(&alerts(&report.alerts));
    out
}

fn heading(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn thresholds(policy: &PolicyPart, alerts: &[AlertPart]) -> String {
    if policy.thresholds.is_empty() {
        return String::new();
    }
    let mut rows =
        vec![heading(&["THRESHOLD", "BREACHED", "PENDING", "NO DATA", "TRANSITIONS", "FLAPS", "ALERTS", "READINGS"])];
    let row = |threshold: &ThresholdPart| {
        let time = |word: &str| match threshold.time(word) {
            Span::ZERO => "-".to_owned(),
            time => lasted(time),
        };
        // Why there is none stands beside how long.
        let why: Vec<&str> = threshold.no_data_seconds.keys().copied().collect();
        let no_data = match threshold.time("NoData") {
            Span::ZERO => "-".to_owned(),
            time => format!("{} ({})", lasted(time), why.join(", ")),
        };
        vec![
            threshold.title(),
            time("Breached"),
            time("Pending"),
            no_data,
            threshold.transitions.to_string(),
            threshold.flaps.to_string(),
            threshold.alerts(policy, alerts).to_string(),
            if threshold.readings == 0 { "none".to_owned() } else { threshold.readings.to_string() },
        ]
    };
    rows.extend(policy.thresholds.iter().map(row));
    table(2, &rows)
}

fn profiles(policy: &PolicyPart) -> String {
    if policy.profiles.is_empty() {
        return String::new();
    }
    let mut rows = vec![heading(&["PROFILE", "ENTERED", "LEFT", "BECAUSE"])];
    for profile in policy.profiles.iter().take(LISTED) {
        let on = if profile.targets.is_empty() { String::new() } else { format!(" on {}", profile.targets.join(", ")) };
        rows.push(vec![
            format!("{}{on}", profile.profile),
            profile.since.clone(),
            profile.until.clone().unwrap_or_else(|| "active at the end".to_owned()),
            profile.because.clone().unwrap_or_else(|| profile.by.clone()),
        ]);
    }
    format!("{}{}", table(2, &rows), more(policy.profiles.len()))
}

fn changes(what: &str, changes: &[ChangePart]) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let mut rows = vec![heading(&["CHANGE", "OBJECT", "WHEN", "FROM → TO"])];
    rows.extend(changes.iter().take(LISTED).map(|change| {
        let from = change.from.as_deref().unwrap_or("(unset)");
        vec![change.path.clone(), change.target.clone(), change.at.clone(), format!("{from} → {}", change.to)]
    }));
    format!("  values that {what}:\n{}{}", table(4, &rows), more(changes.len()))
}

fn alerts(alerts: &[AlertPart]) -> String {
    if alerts.is_empty() {
        return String::new();
    }
    let mut rows = vec![heading(&["ALERT", "FIRED", "FOR", "SUMMARY"])];
    rows.extend(alerts.iter().take(LISTED).map(|alert| {
        let open = if alert.until.is_none() { ", fires at the end" } else { "" };
        let time = format!("{}{open}", lasted(Span::millis(millis(alert.seconds))));
        vec![format!("{} {}", alert.name, alert.severity), alert.since.clone(), time, alert.summary.clone()]
    }));
    format!("\n{}{}", table(0, &rows), more(alerts.len()))
}

fn more(all: usize) -> String {
    match all.saturating_sub(LISTED) {
        0 => String::new(),
        more => format!("  and {more} more: -o json lists all\n"),
    }
}
