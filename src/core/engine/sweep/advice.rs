//! Advice: patterns that were found, and hints of thresholds that are breached together. It writes nothing, and pages nobody.
//!
//! Texts hold the reading at the transition and never the latest, as everything in a status.

use super::{
    rows::{Governed, Row},
    standing::labels,
};
use crate::{
    api::status::AdviceStatus,
    core::{
        evaluate::Breach,
        policy::{Threshold, thresholds::Hint},
        report,
    },
};

/// The kind of what is no pattern.
const HINT: &str = "Hint";

/// All advice that a policy gives, the most urgent first, and of that the oldest.
pub(super) fn advice(governed: &Governed) -> Vec<AdviceStatus> {
    let mut all = Vec::new();
    for row in &governed.rows {
        let Some(threshold) = governed.threshold(row) else { continue };
        let by = threshold.metric.by();
        let entry = |kind: &str, group, breach: &Breach, value: String, advice: &str| AdviceStatus {
            name: threshold.name.to_string(),
            kind: kind.to_owned(),
            target: governed.listed_target(row),
            labels: labels(by, group),
            severity: breach.severity,
            since: report::time(breach.since),
            value,
            advice: report::cut(advice, report::MAX_ADVICE_BYTES),
        };
        if let Some(pattern) = &threshold.pattern {
            let advice = threshold.advice.as_deref().unwrap_or_default();
            for (group, breach) in row.breaches(&threshold.levels) {
                let value = format!("{} {}", breach.bound.unit().format(breach.value), pattern.shows());
                all.push(entry(pattern.kind.as_str(), group, &breach, value, advice));
            }
        } else if let Some((group, breach)) = row.breach(&threshold.levels) {
            for hint in hints(governed, row, threshold) {
                let value = format!("with {}", hint.when.join(", "));
                all.push(entry(HINT, group, &breach, value, &hint.advice));
            }
        }
    }
    all.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.since.0.cmp(&b.since.0)));
    all
}

/// The hints of a breached threshold that hold: everything that they name is breached on the same target.
pub(super) fn hints<'a>(
    governed: &'a Governed,
    row: &'a Row,
    threshold: &'a Threshold,
) -> impl Iterator<Item = &'a Hint> {
    let target = governed.target(row);
    let breached = move |name: &str| {
        governed.rows.iter().any(|other| {
            let same = governed.target(other).is_none_or(|other| target.is_none_or(|target| target == other));
            let watched = governed.threshold(other).filter(|watched| same && *watched.name == *name);
            watched.is_some_and(|watched| other.breach(&watched.levels).is_some())
        })
    };
    threshold.hints.iter().filter(move |hint| hint.when.iter().all(|name| breached(name)))
}
