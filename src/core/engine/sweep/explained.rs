//! Which breaches a rollout explains.

use super::{
    Sweep,
    rows::{Governed, Row},
};
use crate::{
    api::policy::Severity,
    core::{
        evaluate::Verdict,
        facts::ObjectKey,
        policy::{PolicyKey, Threshold, thresholds::Metric},
    },
};

impl Sweep {
    /// Thresholds of a policy whose breach the replacement of pods of `target` explains, if it begins now.
    ///
    /// They suffer from starts, they have a level that is less than critical, and they are within their bounds now: what is
    /// breached, about to be, or not known has another reason.
    #[must_use]
    pub fn explained(&self, policy: &PolicyKey, target: &ObjectKey) -> Vec<Box<str>> {
        let Some(governed) = self.policies.get(policy) else { return Vec::new() };
        // What was read last may be long ago.
        if self.sources.get(&governed.source).is_none_or(|source| source.health.down.is_some()) {
            return Vec::new();
        }
        let rows = governed.rows.iter().filter(|row| governed.target(row) == Some(target));
        let explained = rows.filter_map(|row| Some((row, governed.threshold(row)?)));
        let explained = explained.filter(|(row, threshold)| is_explained(governed, row, threshold));
        explained.map(|(_, threshold)| threshold.name.clone()).collect()
    }
}

fn is_explained(governed: &Governed, row: &Row, threshold: &Threshold) -> bool {
    let suffers = match &threshold.metric {
        Metric::Series { measure, .. } => measure.suffers_from_starts(threshold.unit.base()),
        Metric::Free(_) => false,
    };
    let pages_somebody_else = threshold.levels.iter().any(|level| level.severity < Severity::Critical);
    suffers && pages_somebody_else && threshold.pattern.is_none() && governed.verdict(row) == Verdict::Within
}
