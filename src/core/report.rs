//! What people are told: status, Events.
//!
//! Pure renderings of what the engine found. Must not decide anything about objects.

mod active;
pub mod chain;
pub mod checklist;
mod fit;
pub mod rollback;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

pub use self::active::{Active, ActiveProfiles, ByTarget};
use super::{
    facts::{Instant, ObjectKey},
    plan::{Change, Conflict, Setting, State},
    policy::Identity,
};
use crate::api::{
    PerformancePolicyStatus,
    conditions::{ConditionType, Reason},
    policy::{ActiveBy, Mode},
    status::{
        ActiveProfile, AdviceStatus, AppliedStatus, ChangeStatus, ChecklistStatus, Counts, HistoryEntry,
        QuarantineEntry, SettingStatus, TargetStatus, ThresholdStatus,
    },
};

/// Entries of each list in a status.
const MAX_ENTRIES: usize = 20;
/// Bytes of an advice.
pub const MAX_ADVICE_BYTES: usize = 256;
/// Bytes of a condition's message.
const MAX_MESSAGE_BYTES: usize = 512;
/// Bytes of the reason why nothing carries a setting: `explain` tells all of it.
const MAX_WHY_BYTES: usize = 160;

/// Truth of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody can tell.
    Unknown,
}

impl Truth {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Truth of a condition, with reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Truth.
    pub truth: Truth,
    /// The finite reason.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(truth: Truth, reason: Reason, message: impl Into<String>) -> Self {
        Self { truth, reason, message: message.into() }
    }
}

/// Everything that was found out about a policy in one pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The mode that holds.
    pub mode: Mode,
    /// The spec parses and its class allows it.
    pub accepted: Finding,
    /// What keeps the policy from being served; `None`: nothing.
    pub not_ready: Option<(Reason, String)>,
    /// What has not been read yet, so that nobody can tell whether the policy is served; `None`: nothing.
    pub unread: Option<String>,
    /// Whether only a change of the policy can help.
    pub stalled: bool,
    /// Work that is under way.
    pub reconciling: Option<(Reason, String)>,
    /// Whether every value is in place; `None` when the policy sets nothing.
    pub applied: Option<Finding>,
    /// Whether pods run with the values that are in place; `None` when the policy may put nothing in place.
    pub effective: Option<Finding>,
    /// Values that are in place and that pods do not run with.
    pub unproven: Vec<SettingStatus>,
    /// Whether the thresholds hold.
    pub compliant: Finding,
    /// Whether the queries were answered.
    pub metrics: Finding,
    /// Whether the rules of the policy are loaded; `None`: its alerts go another way.
    pub rules: Option<Finding>,
    /// Fields that are left to others.
    pub conflicts: Vec<Conflict>,
    /// Profiles whose condition holds and that are not active: reason and message of each.
    pub blocked: Vec<(Reason, String)>,
    /// What is said of a rollback; `None`: there is none.
    pub pinned: Option<Finding>,
    /// Governed objects.
    pub targets: Vec<TargetStanding>,
    /// Knobs, over all targets.
    pub settings: Vec<Setting>,
    /// What would change.
    pub changes: Vec<Change>,
    /// Whether the plan belongs into the status.
    pub show_plan: bool,
    /// Thresholds that are not within their bounds.
    pub thresholds: Vec<ThresholdStatus>,
    /// Thresholds in all, and those within.
    pub threshold_counts: (u32, u32),
    /// How the checklist stands; `None`: there is none.
    pub checklist: Option<ChecklistStatus>,
    /// Patterns that were found, and hints of thresholds that are breached together.
    pub advice: Vec<AdviceStatus>,
}

/// A governed object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStanding {
    /// Which.
    pub key: ObjectKey,
    /// Whether every claimed value is in place and rolled out.
    pub ready: bool,
    /// Why not.
    pub reason: Option<Reason>,
    /// Hash of the claim that is on it, and its generation.
    pub applied: Option<(String, i64)>,
}

/// What a policy remembers across passes and restarts, by its status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memoir {
    /// Number of changes.
    pub revision: i64,
    /// Time of the last change.
    pub last_change: Option<Instant>,
    /// The resumption that was last acted upon.
    pub resumed: Option<Instant>,
    /// Changes, newest first.
    pub history: Vec<HistoryEntry>,
    /// Values that are not tried again until a time.
    pub quarantine: Vec<QuarantineEntry>,
    /// Active profiles.
    pub active: ActiveProfiles,
}

/// The status of a policy. Times of conditions that did not change are kept from `previous`.
#[must_use]
pub fn status(
    identity: &Identity,
    standing: &Standing,
    memoir: &Memoir,
    previous: &PerformancePolicyStatus,
    now: Instant,
) -> PerformancePolicyStatus {
    let at = time(now);
    let conditions = findings(standing)
        .into_iter()
        .map(|(kind, finding)| condition(kind, &finding, identity.generation, &previous.conditions, &at))
        .collect();
    let mut targets: Vec<&TargetStanding> = standing.targets.iter().collect();
    targets.sort_by_key(|target| (target.ready, target.reason.map(Reason::as_str), target.key.clone()));
    let active_profiles = memoir.active.listed();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let is_in = |state: State| standing.settings.iter().filter(|s| s.state == state).count();
    let at_rest = is_in(State::AtRest) + is_in(State::Variable);
    let mut status = PerformancePolicyStatus {
        observed_generation: Some(identity.generation),
        conditions,
        mode: Some(standing.mode),
        target_summary: Some(summary(&standing.targets)),
        profile_summary: names(&active_profiles),
        active_profiles,
        revision: (memoir.revision > 0).then_some(memoir.revision),
        last_change: memoir.last_change.map(time),
        last_handled_resume_at: memoir.resumed.map(time),
        targets: targets
            .into_iter()
            .take(MAX_ENTRIES)
            .map(|target| TargetStatus {
                name: target.key.short(),
                ready: target.ready,
                reason: target.reason.map(|reason| reason.as_str().to_owned()),
                applied: target
                    .applied
                    .clone()
                    .map(|(claim_hash, template_revision)| AppliedStatus { claim_hash, template_revision }),
            })
            .collect(),
        settings: listed(&standing.settings, &standing.unproven),
        thresholds: standing.thresholds.iter().take(MAX_ENTRIES).cloned().collect(),
        advice: standing.advice.iter().take(MAX_ENTRIES).cloned().collect(),
        counts: Some(Counts {
            targets: count(standing.targets.len()),
            targets_ready: count(standing.targets.iter().filter(|t| t.ready).count()),
            settings: count(standing.settings.len()),
            settings_at_rest: count(at_rest),
            settings_not_enforceable: count(is_in(State::NotEnforceable)),
            thresholds: standing.threshold_counts.0,
            thresholds_within: standing.threshold_counts.1,
        }),
        checklist: standing.checklist.clone(),
        plan: if standing.show_plan {
            standing.changes.iter().take(MAX_ENTRIES).map(change).collect()
        } else {
            Vec::new()
        },
        history: memoir.history.iter().take(MAX_ENTRIES).cloned().collect(),
        quarantine: memoir.quarantine.clone(),
    };
    fit::fit(&mut status);
    status
}

/// Settings that are not at rest, those that pods do not run with, and behind them those that nothing carries: the same on every
/// target, so told once.
fn listed(settings: &[Setting], unproven: &[SettingStatus]) -> Vec<SettingStatus> {
    let told = |s: &Setting| SettingStatus {
        path: s.path.to_string(),
        desired: s.desired.clone(),
        live: s.live.clone().filter(|_| s.is_public()),
        effective: None,
        source: s.source.clone(),
        state: s.state.as_str().to_owned(),
        message: s.why.as_deref().map(|why| cut(why, MAX_WHY_BYTES)),
    };
    let mut seen = BTreeSet::new();
    let restless = settings
        .iter()
        .filter(|s| !matches!(s.state, State::AtRest | State::Variable | State::NotEnforceable))
        .take(MAX_ENTRIES);
    let carried_by_none =
        settings.iter().filter(|s| s.state == State::NotEnforceable && seen.insert(&*s.path)).take(MAX_ENTRIES);
    let unproven = unproven.iter().take(MAX_ENTRIES).cloned();
    restless.map(told).chain(unproven).chain(carried_by_none.map(told)).take(MAX_ENTRIES).collect()
}

/// A change, as the status shows it.
#[must_use]
pub fn change(change: &Change) -> ChangeStatus {
    ChangeStatus {
        object: change.object.short(),
        path: change.path.to_string(),
        from: change.from.clone(),
        to: change.to.clone(),
        because: change.because.clone(),
    }
}

/// Whole seconds, because that is what comes back.
#[must_use]
pub fn time(at: Instant) -> Time {
    Time(at.whole_seconds().timestamp())
}

/// An instant of the API.
#[must_use]
pub fn instant(at: &Time) -> Instant {
    Instant::from_millis(at.0.as_millisecond())
}

/// The condition of that type.
#[must_use]
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

fn findings(standing: &Standing) -> Vec<(ConditionType, Finding)> {
    let mut all = Vec::new();
    let ready = match (&standing.not_ready, &standing.unread) {
        (Some((reason, message)), _) => Finding::new(Truth::False, *reason, message.clone()),
        (None, Some(unread)) => Finding::new(Truth::Unknown, Reason::Unknown, unread.clone()),
        (None, None) => Finding::new(Truth::True, Reason::Served, "the policy is served"),
    };
    all.push((ConditionType::Ready, ready));
    if standing.stalled
        && let Some((reason, message)) = &standing.not_ready
    {
        all.push((ConditionType::Stalled, Finding::new(Truth::True, *reason, message.clone())));
    } else if let Some((reason, message)) = &standing.reconciling {
        all.push((ConditionType::Reconciling, Finding::new(Truth::True, *reason, message.clone())));
    }
    all.push((ConditionType::Accepted, standing.accepted.clone()));
    if let Some(applied) = &standing.applied {
        all.push((ConditionType::Applied, applied.clone()));
    }
    if let Some(effective) = &standing.effective {
        all.push((ConditionType::Effective, effective.clone()));
    }
    all.push((ConditionType::Compliant, standing.compliant.clone()));
    all.push((ConditionType::MetricsAvailable, standing.metrics.clone()));
    all.extend(standing.rules.clone().map(|rules| (ConditionType::RulesLoaded, rules)));
    if let Some(first) = standing.conflicts.first() {
        let messages: Vec<&str> = standing.conflicts.iter().map(|conflict| conflict.message.as_str()).collect();
        all.push((ConditionType::Conflicted, Finding::new(Truth::True, first.reason, messages.join("; "))));
    }
    if let Some((reason, _)) = standing.blocked.first() {
        let messages: Vec<&str> = standing.blocked.iter().map(|(_, message)| message.as_str()).collect();
        all.push((ConditionType::ProfileBlocked, Finding::new(Truth::True, *reason, messages.join("; "))));
    }
    all.extend(standing.pinned.clone().map(|pinned| (ConditionType::RollbackPinned, pinned)));
    all
}

/// A condition whose transition time is kept while its status is the same.
#[must_use]
pub fn condition(
    kind: ConditionType,
    finding: &Finding,
    generation: i64,
    previous: &[Condition],
    now: &Time,
) -> Condition {
    let since = find(previous, kind)
        .filter(|old| old.status == finding.truth.as_str())
        .map(|old| old.last_transition_time.clone());
    Condition {
        type_: kind.as_str().to_owned(),
        status: finding.truth.as_str().to_owned(),
        reason: finding.reason.as_str().to_owned(),
        message: cut(&finding.message, MAX_MESSAGE_BYTES),
        observed_generation: Some(generation),
        last_transition_time: since.unwrap_or_else(|| now.clone()),
    }
}

/// Names of profiles, each once.
fn names(active: &[ActiveProfile]) -> Option<String> {
    let names: BTreeSet<&str> = active.iter().map(|active| &*active.name).collect();
    (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
}

fn summary(targets: &[TargetStanding]) -> String {
    match targets {
        [] => "none".into(),
        [only] => only.key.short(),
        [first, ..] => format!("{} {}s", targets.len(), first.key.kind.as_str()),
    }
}

/// Cuts `text` to at most `limit` bytes, on a character boundary.
#[must_use]
pub fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// An Event that a transition deserves: whether it is a warning, its reason, what was being done, and the note.
pub type Notice = (bool, Reason, &'static str, String);

/// Events of the transition from one status to the next. A status that repeats says nothing.
#[must_use]
pub fn notices(before: &PerformancePolicyStatus, after: &PerformancePolicyStatus) -> Vec<Notice> {
    let mut notices = switches(&before.active_profiles, &after.active_profiles);
    // One Event tells a change and what came of it so far.
    let mut change = changed(before, after);
    for condition in &after.conditions {
        let old = find_by_name(&before.conditions, &condition.type_);
        let same = old.is_some_and(|old| old.status == condition.status && old.reason == condition.reason);
        let (Some(kind), Some(reason)) =
            (ConditionType::from_word(&condition.type_), Reason::from_word(&condition.reason))
        else {
            continue;
        };
        if same {
            continue;
        }
        let bad = condition.status == "False";
        let notice = match kind {
            ConditionType::Ready if bad => Some((true, "Serve")),
            ConditionType::Conflicted => Some((true, "Yield")),
            ConditionType::ProfileBlocked => Some((true, "Switch")),
            ConditionType::RollbackPinned => Some((bad, "Rollback")),
            ConditionType::MetricsAvailable if bad => Some((true, "Measure")),
            ConditionType::Effective if bad => Some((true, "Verify")),
            // That a value took effect is news only after it had not.
            ConditionType::Effective if reason == Reason::Verified && old.is_some_and(|old| old.status == "False") => {
                Some((false, "Verify"))
            }
            ConditionType::Compliant if bad => Some((true, "Evaluate")),
            ConditionType::RulesLoaded if bad => Some((true, "Alert")),
            // Recovery is news only after a breach.
            ConditionType::Compliant if reason == Reason::Within && old.is_some_and(|old| old.status == "False") => {
                Some((false, "Evaluate"))
            }
            ConditionType::Applied => match reason {
                Reason::Applied if old.is_some() => Some((false, "Settle")),
                Reason::RollingOut => Some((false, "Apply")),
                Reason::RolledBack | Reason::RollingBack | Reason::WriteRejected | Reason::Forbidden => {
                    Some((true, "Apply"))
                }
                _ => None,
            },
            ConditionType::Ready
            | ConditionType::Reconciling
            | ConditionType::Stalled
            | ConditionType::Accepted
            | ConditionType::Effective
            | ConditionType::Compliant
            | ConditionType::MetricsAvailable
            | ConditionType::Available
            | ConditionType::RulesLoaded
            | ConditionType::Overcommitted => None,
        };
        if let Some((warning, action)) = notice {
            let tells = (kind == ConditionType::Applied).then(|| change.take()).flatten();
            let note = tells.map_or_else(|| condition.message.clone(), |told| format!("{}; {told}", condition.message));
            notices.push((warning, reason, action, note));
        }
    }
    notices.extend(change.map(|told| (false, Reason::Applied, "Apply", told)));
    let pinned = |status: &PerformancePolicyStatus| {
        let told = find(&status.conditions, ConditionType::RollbackPinned);
        told.is_some_and(|told| told.reason != Reason::RollbackIgnored.as_str())
    };
    if pinned(before) && !pinned(after) {
        let told = "nothing is pinned by a rollback any more: values follow the spec again".to_owned();
        notices.push((false, Reason::RollbackEnded, "Rollback", told));
    }
    notices.extend(advised(&before.advice, &after.advice));
    notices
}

/// The newest change, if nobody has been told of it.
fn changed(before: &PerformancePolicyStatus, after: &PerformancePolicyStatus) -> Option<String> {
    let newest = after.history.first().filter(|newest| Some(newest.revision) > before.revision)?;
    let value = |text: &Option<String>| text.clone().unwrap_or_else(|| "(unset)".to_owned());
    let line = |change: &ChangeStatus| {
        let ChangeStatus { object, path, from, to, because } = change;
        format!("{path} {} → {} on {object} ({because})", value(from), value(to))
    };
    let lines: Vec<String> = newest.changes.iter().map(line).collect();
    Some(format!("revision {}: {}", newest.revision, lines.join(", ")))
}

/// Advice that was not given before. One that is given more urgently than before is given anew.
fn advised<'a>(before: &'a [AdviceStatus], after: &'a [AdviceStatus]) -> impl Iterator<Item = Notice> + 'a {
    let same = |a: &AdviceStatus, b: &AdviceStatus| {
        (&a.name, &a.kind, &a.target, &a.labels, &a.value, a.severity)
            == (&b.name, &b.kind, &b.target, &b.labels, &b.value, b.severity)
    };
    let news = after.iter().filter(move |advice| !before.iter().any(|known| same(known, advice)));
    news.map(|advice| (false, Reason::Advised, "Advise", advice_line(advice)))
}

/// Advice in a sentence: of what, what was seen, and what to do.
#[must_use]
pub fn advice_line(advice: &AdviceStatus) -> String {
    let labels: Vec<String> = advice.labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(",")) };
    let target = advice.target.as_ref().map(|target| format!(" of {target}")).unwrap_or_default();
    format!("{}{labels}{target}: {} ({}): {}", advice.name, advice.kind, advice.value, advice.advice)
}

/// A row of a report for each advice: name with its labels, kind, severity, what was seen, since when, what to do.
#[must_use]
pub fn advice_rows(advice: &[AdviceStatus]) -> Vec<[String; 6]> {
    let row = |advice: &AdviceStatus| {
        let labels: Vec<String> = advice.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        let of = advice.target.iter().cloned().chain(labels).collect::<Vec<_>>().join(", ");
        let name = if of.is_empty() { advice.name.clone() } else { format!("{} ({of})", advice.name) };
        let severity = format!("{:?}", advice.severity).to_lowercase();
        let since = advice.since.0.to_string();
        [name, advice.kind.clone(), severity, advice.value.clone(), since, advice.advice.clone()]
    };
    advice.iter().map(row).collect()
}

/// Profiles that became active, or are not any more.
fn switches(before: &[ActiveProfile], after: &[ActiveProfile]) -> Vec<Notice> {
    // By name: on how many targets, on which, and why.
    let known = |listed: &[ActiveProfile]| {
        let mut known: BTreeMap<String, (usize, String, ActiveBy)> = BTreeMap::new();
        for active in listed {
            let (count, targets, by) =
                known.entry(active.name.clone()).or_insert_with(|| (0, String::new(), active.by));
            let everywhere = active.targets.is_empty();
            *count = if everywhere { usize::MAX } else { count.saturating_add(active.targets.len()) };
            *by = active.by;
            if !everywhere {
                let separator = if targets.is_empty() { " on " } else { ", " };
                targets.push_str(&format!("{separator}{}", active.targets.join(", ")));
            }
        }
        known
    };
    let (before, after) = (known(before), known(after));
    let mut notices = Vec::new();
    for (name, (count, targets, by)) in &after {
        let (old, old_targets) = before.get(name).map_or((0, ""), |(count, targets, _)| (*count, targets));
        if (old, old_targets) == (*count, targets.as_str()) {
            continue;
        }
        let (reason, what) = if *count < old {
            (Reason::ProfileLeft, "is active any more only")
        } else {
            (Reason::ProfileEntered, "is active")
        };
        let why = match by {
            ActiveBy::Spec => "spec.profile names it",
            ActiveBy::Threshold => "the reading of its threshold is beyond enter",
            ActiveBy::Schedule => "a window of its schedule is open",
        };
        notices.push((false, reason, "Switch", format!("profile {name} {what}{targets}: {why}")));
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        notices.push((false, Reason::ProfileLeft, "Switch", format!("profile {name} is not active any more")));
    }
    notices
}

fn find_by_name<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether two statuses say the same, whatever the times of their conditions.
#[must_use]
pub fn says_the_same(a: &PerformancePolicyStatus, b: &PerformancePolicyStatus) -> bool {
    let timeless = |status: &PerformancePolicyStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.last_transition_time = Time(Instant::default().timestamp());
        }
        status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        status
    };
    timeless(a) == timeless(b)
}

#[cfg(test)]
mod tests;
