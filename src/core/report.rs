//! What people are told: status, Events.
//!
//! Pure renderings of what the engine found. Must not decide anything about objects.

pub mod checklist;
mod fit;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{
    facts::{Instant, ObjectKey},
    plan::{Change, Conflict, Setting, State},
    policy::Identity,
};
use crate::api::{
    PerformancePolicyStatus,
    conditions::{ConditionType, Reason},
    policy::Mode,
    status::{
        AppliedStatus, ChangeStatus, ChecklistStatus, Counts, HistoryEntry, QuarantineEntry, SettingStatus,
        TargetStatus, ThresholdStatus,
    },
};

/// Entries of each list in a status.
const MAX_ENTRIES: usize = 20;
/// Bytes of a condition's message.
const MAX_MESSAGE_BYTES: usize = 512;

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
    /// Whether the thresholds hold.
    pub compliant: Finding,
    /// Whether the queries were answered.
    pub metrics: Finding,
    /// Fields that are left to others.
    pub conflicts: Vec<Conflict>,
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
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let at_rest = standing.settings.iter().filter(|s| matches!(s.state, State::AtRest | State::Variable)).count();
    let mut status = PerformancePolicyStatus {
        observed_generation: Some(identity.generation),
        conditions,
        mode: Some(standing.mode),
        target_summary: Some(summary(&standing.targets)),
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
        settings: standing
            .settings
            .iter()
            .filter(|s| !matches!(s.state, State::AtRest | State::Variable))
            .take(MAX_ENTRIES)
            .map(|s| SettingStatus {
                path: s.path.to_string(),
                desired: s.desired.clone(),
                live: s.live.clone().filter(|_| s.is_public()),
                source: s.source.clone(),
                state: s.state.as_str().to_owned(),
            })
            .collect(),
        thresholds: standing.thresholds.iter().take(MAX_ENTRIES).cloned().collect(),
        counts: Some(Counts {
            targets: count(standing.targets.len()),
            targets_ready: count(standing.targets.iter().filter(|t| t.ready).count()),
            settings: count(standing.settings.len()),
            settings_at_rest: count(at_rest),
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
    all.push((ConditionType::Compliant, standing.compliant.clone()));
    all.push((ConditionType::MetricsAvailable, standing.metrics.clone()));
    if let Some(first) = standing.conflicts.first() {
        let messages: Vec<&str> = standing.conflicts.iter().map(|conflict| conflict.message.as_str()).collect();
        all.push((ConditionType::Conflicted, Finding::new(Truth::True, first.reason, messages.join("; "))));
    }
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
    let mut notices = Vec::new();
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
            ConditionType::MetricsAvailable if bad => Some((true, "Measure")),
            ConditionType::Compliant if bad => Some((true, "Evaluate")),
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
            | ConditionType::Compliant
            | ConditionType::MetricsAvailable
            | ConditionType::Available
            | ConditionType::Exceeded => None,
        };
        if let Some((warning, action)) = notice {
            notices.push((warning, reason, action, condition.message.clone()));
        }
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
