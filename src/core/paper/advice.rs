//! Advice of a report: thresholds that are breached, hints of those that are breached together, and patterns that were found.
//! What the status says of a pattern needs no past, so a report of the same reading says the same.

use serde::Serialize;

use super::{
    Subject,
    readings::{Judged, Reading, Readings, judge},
};
use crate::core::policy::{Policy, Threshold, thresholds::Limit};

/// The kind of what a breached threshold says by itself.
const THRESHOLD: &str = "Threshold";
/// The kind of what several say together.
const HINT: &str = "Hint";

/// What to do, and why.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Advice {
    /// Name of the threshold or pattern.
    pub about: String,
    /// `Threshold`, `Hint`, or the kind of the pattern.
    pub kind: &'static str,
    pub severity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    pub because: String,
    #[serde(rename = "advice")]
    pub text: String,
}

impl Advice {
    /// Whether it is what one breached threshold says by itself.
    pub fn is_of_threshold(&self) -> bool {
        self.kind == THRESHOLD
    }

    /// The cells of its row.
    pub fn row(&self) -> Vec<String> {
        let about = if self.is_of_threshold() { self.about.clone() } else { format!("{} ({})", self.about, self.kind) };
        vec![about, self.because.clone(), self.text.clone()]
    }
}

/// A breached reading.
struct Found<'a> {
    threshold: &'a Threshold,
    reading: &'a Reading,
    severity: &'static str,
    limit: &'a Limit,
}

impl Found<'_> {
    /// Because of what was `read`, and what that is held against.
    fn advice(&self, kind: &'static str, read: &str, held: &str, text: &str) -> Advice {
        let (object, series) = (self.reading.target.clone(), self.reading.series.clone());
        let on = object.as_ref().map(|object| format!(" on {object}")).unwrap_or_default();
        // What several say together is said of no one series.
        let series = series.filter(|_| kind != HINT);
        let of = series.as_ref().map(|series| format!(" ({series})")).unwrap_or_default();
        Advice {
            about: self.threshold.name.to_string(),
            kind,
            severity: self.severity,
            because: format!("{read}{on}{of}{held}"),
            object,
            series,
            text: text.to_owned(),
        }
    }
}

/// All advice on one policy: that of thresholds in their order, each with its hints, then that of patterns.
pub(super) fn advice(subject: &Subject<'_>, readings: &Readings) -> Vec<Advice> {
    let found: Vec<Found<'_>> = watched(subject)
        .flat_map(|name| readings.of(subject.key, name))
        .filter_map(|reading| {
            let threshold = subject.judged_by(reading)?;
            let Judged { crossed: Some((severity, _, limit)), .. } = judge(threshold, reading) else { return None };
            Some(Found { threshold, reading, severity, limit })
        })
        .collect();
    // A hint is one of the target, whatever is breached of its series.
    let breached = |name: &str, target: Option<&str>| {
        found.iter().any(|other| {
            let same = other.reading.target.as_deref().is_none_or(|other| target.is_none_or(|target| target == other));
            same && *other.threshold.name == *name
        })
    };
    let mut all = Vec::new();
    let mut hinted: Vec<(&str, Option<&str>)> = Vec::new();
    for one in &found {
        let Found { threshold, reading, limit, .. } = one;
        let unit = limit.bound.unit();
        let value = reading.value.map(|value| unit.format(value)).unwrap_or_default();
        let text = threshold.advice.as_deref();
        if let Some(pattern) = &threshold.pattern {
            let read = format!("{value} {}", pattern.shows());
            all.push(one.advice(pattern.kind.as_str(), &read, "", text.unwrap_or_default()));
            continue;
        }
        if let Some(text) = text {
            let held = format!(", bounds: {}", super::document::bounds(threshold));
            all.push(one.advice(THRESHOLD, &value, &held, text));
        }
        let at = (&*threshold.name, reading.target.as_deref());
        if hinted.contains(&at) {
            continue;
        }
        hinted.push(at);
        for hint in threshold.hints.iter().filter(|hint| hint.when.iter().all(|name| breached(name, at.1))) {
            let read = format!("breached with {}", hint.when.join(" and "));
            all.push(one.advice(HINT, &read, "", &hint.advice));
        }
    }
    all
}

/// Names of what a policy watches.
fn watched<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let of = |policy: &'a Policy| policy.thresholds.iter().chain(policy.patterns.iter()).map(|watched| &*watched.name);
    subject.policy.into_iter().flat_map(of)
}
