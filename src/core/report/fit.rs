//! The size of a status: small enough for etcd, for every watch, and for people.

use serde::Serialize;

use super::{MAX_ENTRIES, cut};
use crate::api::{PerformancePolicyStatus, status::MAX_STATUS_BYTES};

/// Bytes of the history in a status.
const MAX_HISTORY_BYTES: usize = 3 * 1024;

/// Shortens lists from their end until the status has at most [`MAX_STATUS_BYTES`] as JSON. The first entries of the
/// quarantine and of the newest change go last: the next leader goes by them.
pub(super) fn fit(status: &mut PerformancePolicyStatus) {
    let mut history = size(&status.history);
    while status.history.len() > 1 && history > MAX_HISTORY_BYTES {
        history -= status.history.pop().map_or(0, |entry| size(&entry));
    }
    if !shorten_lists(status, MAX_ENTRIES) {
        shorten_words(status);
        shorten_lists(status, 0);
    }
}

/// Drops the last entry of the longest list until the status is small enough; `false`: it is not, and none is left. Of the
/// quarantine and of the newest change, `kept` entries stay.
fn shorten_lists(status: &mut PerformancePolicyStatus, kept: usize) -> bool {
    let mut total = size(status);
    while total > MAX_STATUS_BYTES {
        let newest = status.history.first().map_or(0, |newest| newest.changes.len());
        let lengths = [
            status.history.len().saturating_sub(1),
            status.plan.len(),
            status.settings.len(),
            status.thresholds.len(),
            status.targets.len(),
            status.quarantine.len().saturating_sub(kept),
            newest.saturating_sub(kept),
            // What is active on which target, the next leader goes by as well.
            status.active_profiles.len().saturating_sub(kept),
            // None is all of them.
            longest_targets(status).map_or(0, |targets| targets.len().saturating_sub(kept.max(1))),
            status.advice.len(),
            status.checklist.as_ref().map_or(0, |checklist| checklist.failing.len()),
        ];
        let longest = lengths.into_iter().enumerate().max_by_key(|(_, length)| *length);
        // Without writing the whole status out again for every entry: there may be thousands.
        total -= match longest.filter(|(_, length)| *length > 0) {
            None => return false,
            Some((0, _)) => last(&mut status.history),
            Some((1, _)) => last(&mut status.plan),
            Some((2, _)) => last(&mut status.settings),
            Some((3, _)) => last(&mut status.thresholds),
            Some((4, _)) => last(&mut status.targets),
            Some((5, _)) => last(&mut status.quarantine),
            Some((7, _)) => last(&mut status.active_profiles),
            Some((8, _)) => longest_targets(status).map_or(0, last),
            Some((9, _)) => last(&mut status.advice),
            Some((10, _)) => status.checklist.as_mut().map_or(0, |checklist| last(&mut checklist.failing)),
            Some(_) => status.history.first_mut().map_or(0, |newest| last(&mut newest.changes)),
        };
    }
    true
}

/// The active profile with the most targets.
fn longest_targets(status: &mut PerformancePolicyStatus) -> Option<&mut Vec<String>> {
    let lists = status.active_profiles.iter_mut().map(|active| &mut active.targets);
    lists.max_by_key(|targets| targets.len())
}

/// Drops the last entry of a list and gives its size.
fn last<T: Serialize>(list: &mut Vec<T>) -> usize {
    list.pop().map_or(0, |entry| size(&entry))
}

/// The last resort.
fn shorten_words(status: &mut PerformancePolicyStatus) {
    for change in status.history.iter_mut().flat_map(|entry| &mut entry.changes) {
        change.because = cut(&change.because, 64);
        change.from = change.from.as_deref().map(|text| cut(text, 32));
        change.to = change.to.as_deref().map(|text| cut(text, 32));
    }
    for condition in &mut status.conditions {
        condition.message = cut(&condition.message, 128);
    }
    status.profile_summary = status.profile_summary.as_deref().map(|text| cut(text, 64));
}

/// The size of a value's JSON text.
fn size(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(usize::MAX, |text| text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{
            conditions::{ConditionType, Reason},
            policy::ActiveBy,
            status::{
                ActiveProfile, AdviceStatus, AppliedStatus, ChangeStatus, ChecklistStatus, Counts, HistoryEntry,
                QuarantineEntry, SettingStatus, TargetStatus, ThresholdStatus,
            },
        },
        core::{
            facts::Instant,
            report::{Finding, Truth, condition, time},
        },
    };

    /// The longest name that Kubernetes allows.
    fn long(length: usize) -> String {
        "\"".repeat(length)
    }

    /// More of everything than a policy may have, with the longest words, each of which JSON escapes.
    #[expect(clippy::too_many_lines, reason = "one of everything")]
    fn largest(entries: usize, words: usize) -> PerformancePolicyStatus {
        let at = time(Instant::from_millis(1_763_700_000_000));
        let kinds = [
            ConditionType::Ready,
            ConditionType::Reconciling,
            ConditionType::Stalled,
            ConditionType::Accepted,
            ConditionType::Applied,
            ConditionType::Compliant,
            ConditionType::MetricsAvailable,
            ConditionType::Conflicted,
            ConditionType::ProfileBlocked,
        ];
        let finding = Finding::new(Truth::False, Reason::FieldManagerConflict, long(words * 4));
        let change = ChangeStatus {
            object: long(words),
            path: long(words),
            from: Some(long(words)),
            to: Some(long(words)),
            because: long(words),
        };
        let history = HistoryEntry {
            revision: i64::MAX,
            at: at.clone(),
            changes: vec![change.clone(); entries],
            verdict: "AwaitingManualRollout".into(),
        };
        PerformancePolicyStatus {
            observed_generation: Some(i64::MAX),
            conditions: kinds.into_iter().map(|kind| condition(kind, &finding, i64::MAX, &[], &at)).collect(),
            target_summary: Some(long(words)),
            revision: Some(i64::MAX),
            last_change: Some(at.clone()),
            targets: vec![
                TargetStatus {
                    name: long(words),
                    ready: false,
                    reason: Some(long(words)),
                    applied: Some(AppliedStatus { claim_hash: long(16), template_revision: i64::MAX }),
                };
                entries
            ],
            settings: vec![
                SettingStatus {
                    path: long(words),
                    desired: long(words),
                    live: Some(long(words)),
                    source: long(words),
                    state: "Quarantined".into(),
                    message: Some(long(words)),
                };
                entries
            ],
            thresholds: vec![
                ThresholdStatus {
                    name: long(words),
                    target: Some(long(words)),
                    labels: [(long(63), long(words)), (long(62), long(words))].into(),
                    state: "Breached".into(),
                    severity: None,
                    since: at.clone(),
                    value: long(words),
                };
                entries
            ],
            advice: vec![
                AdviceStatus {
                    name: long(words),
                    kind: "OptimizationCandidate".into(),
                    target: Some(long(words)),
                    labels: [(long(63), long(words)), (long(62), long(words))].into(),
                    severity: crate::api::policy::Severity::Critical,
                    since: at.clone(),
                    value: long(words),
                    advice: long(words * 2),
                };
                entries
            ],
            counts: Some(Counts::default()),
            checklist: Some(ChecklistStatus {
                failed: 64,
                failing: vec![long(words); entries],
                ..ChecklistStatus::default()
            }),
            profile_summary: Some(long(words * 8)),
            active_profiles: vec![
                ActiveProfile {
                    name: long(63),
                    since: at.clone(),
                    by: ActiveBy::Threshold,
                    targets: vec![long(words); entries.min(50)],
                };
                entries
            ],
            plan: vec![change; entries],
            history: vec![history; 20],
            quarantine: (0..entries)
                .map(|n| QuarantineEntry {
                    object: long(words),
                    path: n.to_string(),
                    value_hash: long(16),
                    until: at.clone(),
                    reason: "DeadlineExceeded".into(),
                })
                .collect(),
            ..PerformancePolicyStatus::default()
        }
    }

    #[test]
    fn no_status_is_larger_than_its_limit() {
        for entries in [0, 1, 20, 300] {
            for words in [0, 8, 63, 253] {
                let mut status = largest(entries, words);
                fit(&mut status);
                assert!(size(&status) <= MAX_STATUS_BYTES, "{entries} of {words}: {}", size(&status));
                assert_eq!(status.conditions.len(), 9);
            }
        }
    }

    #[test]
    fn the_newest_of_the_quarantine_is_kept_before_anything_else() {
        let mut status = largest(300, 40);
        fit(&mut status);
        let paths: Vec<String> = status.quarantine.iter().map(|item| item.path.clone()).collect();
        assert!(paths.len() >= 3, "{paths:?}");
        assert!(status.active_profiles.len() >= 3, "{:?}", status.active_profiles);
        assert_eq!(paths, (0..paths.len()).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!((status.targets.len(), status.settings.len()), (0, 0));
        let mut small = largest(1, 8);
        small.history.truncate(1);
        let before = small.clone();
        fit(&mut small);
        assert_eq!(small, before, "what fits is left as it is");
    }
}
