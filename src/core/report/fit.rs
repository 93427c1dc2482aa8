//! The size of a status: small enough for etcd, for every watch, and for people.

use serde::Serialize;

use super::{MAX_ENTRIES, cut};
use crate::api::{
    PerformancePolicyStatus,
    status::{ActiveProfile, HistoryEntry, MAX_STATUS_BYTES},
};

/// Bytes of the history in a status.
const MAX_HISTORY_BYTES: usize = 3 * 1024;

/// Shortens lists from their end until the status has at most [`MAX_STATUS_BYTES`] as JSON. First goes what people read and
/// nobody goes by, the history before anything else. The first entries of the quarantine go late, and what is active where goes
/// last: the next leader goes by them, and a profile that it does not know of takes back every value that follows from it.
pub(super) fn fit(status: &mut PerformancePolicyStatus) {
    let mut history = size(&status.history);
    while status.history.len() > 1 && history > MAX_HISTORY_BYTES {
        history -= status.history.pop().map_or(0, |entry| size(&entry));
    }
    let told = |quarantine: usize, changes: usize| {
        move |status: &PerformancePolicyStatus| {
            let newest = status.history.first().map_or(0, |newest| newest.changes.len());
            [
                (List::Plan, status.plan.len()),
                (List::Settings, status.settings.len()),
                (List::Thresholds, status.thresholds.len()),
                (List::Targets, status.targets.len()),
                (List::Advice, status.advice.len()),
                (List::Failing, status.checklist.as_ref().map_or(0, |checklist| checklist.failing.len())),
                (List::Quarantine, status.quarantine.len().saturating_sub(quarantine)),
                (List::NewestChanges, newest.saturating_sub(changes)),
            ]
        }
    };
    let is_small = shorten(status, |status| [(List::History, status.history.len().saturating_sub(1))])
        || shorten(status, told(MAX_ENTRIES, MAX_ENTRIES));
    if is_small {
        return;
    }
    shorten_words(status);
    join_profiles(status);
    let active = |status: &PerformancePolicyStatus| {
        let targets = status.active_profiles.iter().map(|active| active.targets.len()).max().unwrap_or_default();
        // None is all of them.
        [(List::ActiveTargets, targets.saturating_sub(1)), (List::Active, status.active_profiles.len())]
    };
    let _ = shorten(status, told(LAST_OF_QUARANTINE, 0)) || shorten(status, active) || shorten(status, told(0, 0));
}

/// Entries of the quarantine that are kept longer than anything that only people read.
const LAST_OF_QUARANTINE: usize = 3;

/// A list of the status.
#[derive(Clone, Copy, Debug)]
enum List {
    History,
    NewestChanges,
    Plan,
    Settings,
    Thresholds,
    Targets,
    Advice,
    Failing,
    Quarantine,
    ActiveTargets,
    Active,
}

/// Drops the last entry of the longest of some lists until the status is small enough; `false`: it is not, and nothing more of
/// them may go. `lengths`: how much of each may.
fn shorten<const N: usize>(
    status: &mut PerformancePolicyStatus,
    lengths: impl Fn(&PerformancePolicyStatus) -> [(List, usize); N],
) -> bool {
    let mut total = size(status);
    while total > MAX_STATUS_BYTES {
        let longest = lengths(status).into_iter().max_by_key(|(_, length)| *length).filter(|(_, length)| *length > 0);
        let Some((list, _)) = longest else { return false };
        // Without writing the whole status out again for every entry: there may be thousands.
        total -= match list {
            List::History => last(&mut status.history),
            List::NewestChanges => status.history.first_mut().map_or(0, omit),
            List::Plan => last(&mut status.plan),
            List::Settings => last(&mut status.settings),
            List::Thresholds => last(&mut status.thresholds),
            List::Targets => last(&mut status.targets),
            List::Advice => last(&mut status.advice),
            List::Failing => status.checklist.as_mut().map_or(0, |checklist| last(&mut checklist.failing)),
            List::Quarantine => last(&mut status.quarantine),
            List::ActiveTargets => longest_targets(status).map_or(0, last),
            List::Active => last(&mut status.active_profiles),
        };
    }
    true
}

/// Lists a profile once that became active on several targets at several times, with the last of them: a dwell that is taken to
/// begin later ends later, and never early.
fn join_profiles(status: &mut PerformancePolicyStatus) {
    if size(status) <= MAX_STATUS_BYTES {
        return;
    }
    let mut joined: Vec<ActiveProfile> = Vec::new();
    for active in status.active_profiles.drain(..) {
        // What is active everywhere has no targets, and is told apart from what has some.
        let is_same = |known: &&mut ActiveProfile| {
            (&known.name, known.by, known.targets.is_empty()) == (&active.name, active.by, active.targets.is_empty())
        };
        match joined.iter_mut().find(is_same) {
            Some(known) => {
                known.since = known.since.clone().max(active.since);
                known.targets.extend(active.targets);
            }
            None => joined.push(active),
        }
    }
    for active in &mut joined {
        active.targets.sort_unstable();
        active.targets.dedup();
    }
    status.active_profiles = joined;
}

/// The active profile with the most targets.
fn longest_targets(status: &mut PerformancePolicyStatus) -> Option<&mut Vec<String>> {
    let lists = status.active_profiles.iter_mut().map(|active| &mut active.targets);
    lists.max_by_key(|targets| targets.len())
}

/// Drops the last change of a revision, of which the number stays, and gives its size.
fn omit(entry: &mut HistoryEntry) -> usize {
    let before = size(entry);
    entry.omitted = entry.omitted.saturating_add(u32::from(entry.changes.pop().is_some()));
    before.saturating_sub(size(entry))
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
            ConditionType::Effective,
            ConditionType::Compliant,
            ConditionType::MetricsAvailable,
            ConditionType::Conflicted,
            ConditionType::ProfileBlocked,
            ConditionType::RollbackPinned,
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
            omitted: 0,
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
                    effective: Some(long(words)),
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
                    of: Some(i64::MAX),
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
                assert_eq!(status.conditions.len(), 11);
            }
        }
    }

    #[test]
    fn the_newest_of_the_quarantine_is_kept_before_anything_else() {
        let mut status = largest(300, 40);
        fit(&mut status);
        let paths: Vec<String> = status.quarantine.iter().map(|item| item.path.clone()).collect();
        assert!(paths.len() >= 3, "{paths:?}");
        assert_eq!(paths, (0..paths.len()).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!((status.targets.len(), status.settings.len()), (0, 0));
        let mut small = largest(1, 8);
        small.history.truncate(1);
        let before = small.clone();
        fit(&mut small);
        assert_eq!(small, before, "what fits is left as it is");
    }

    /// Profiles on that many targets, each of which they were entered on at a time of its own.
    fn active(profiles: usize, targets: usize) -> Vec<ActiveProfile> {
        let one = |n: usize, target: usize| ActiveProfile {
            name: format!("profile-{n}"),
            since: time(Instant::from_millis(1_763_700_000_000 + 1000 * i64::try_from(target).unwrap())),
            by: ActiveBy::Threshold,
            targets: vec![format!("Deployment/workload-{target:02}")],
        };
        (0..profiles).flat_map(|n| (0..targets).map(move |target| one(n, target))).collect()
    }

    #[test]
    fn what_is_active_goes_after_everything_else() {
        // Long enough to be the longest list, and small enough to stay as it is.
        let mut status = PerformancePolicyStatus { active_profiles: active(1, 25), ..largest(20, 20) };
        let before = status.active_profiles.clone();
        fit(&mut status);
        assert!(size(&status) <= MAX_STATUS_BYTES);
        assert_eq!(status.history.len(), 1, "the history goes first");
        let known = |status: &PerformancePolicyStatus| {
            let listed = status.active_profiles.iter();
            let mut all: Vec<(String, String)> = listed
                .flat_map(|active| active.targets.iter().map(|target| (active.name.clone(), target.clone())))
                .collect();
            all.sort();
            all
        };
        let wanted = known(&PerformancePolicyStatus { active_profiles: before, ..PerformancePolicyStatus::default() });
        assert_eq!(known(&status), wanted);
        // Too long as it is: each is told once, with the last of its times.
        let mut status = PerformancePolicyStatus { active_profiles: active(3, 40), ..largest(20, 20) };
        let wanted = known(&status);
        fit(&mut status);
        assert!(size(&status) <= MAX_STATUS_BYTES);
        assert_eq!((known(&status), status.active_profiles.len()), (wanted, 3));
        let last = time(Instant::from_millis(1_763_700_000_000 + 39_000));
        assert!(status.active_profiles.iter().all(|active| active.since == last));
        assert!(!status.quarantine.is_empty(), "and the quarantine is there, too");
    }
}
