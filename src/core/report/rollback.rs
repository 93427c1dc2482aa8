//! Going back: what a policy's values were at a revision, as its history tells.
//!
//! The changes after that revision are inverted, newest first; so what a value was there is what the oldest of them found. But what
//! a change found need not be a value that anything ran with:
//!
//! | what was found there came of | so it was |
//! |---|---|
//! | a change that was applied, waits for a person, or is being rolled out | that value |
//! | one that a later change of the same rollout replaced (`Overtaken`) | what that one found: no pod may ever have run with what it wrote |
//! | a rollout that failed (`RolledBack`, `RollbackFailed`), seen by its own way back or by what followed that | what its first change found: what it wrote has failed |
//!
//! Where a value has changed since and was taken back, it is pinned as it is: else it would be tried again when its quarantine ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    api::{
        PerformancePolicyStatus, names,
        rollback::{PinnedValue, RollbackPin},
        status::{ChangeStatus, HistoryEntry},
    },
    core::{
        facts::Kind,
        plan::{Piece, STAMP},
        policy::{Identity, Knob, Landing, Policy},
        resolve,
        units::Value,
    },
};

/// What going back to a revision means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Values that are pinned.
    pub values: Vec<PinnedValue>,
    /// How each changes: `from` is what the last change made of it, `to` what it was.
    pub changes: Vec<ChangeStatus>,
    /// What does not go back, and why.
    pub left: Vec<String>,
}

impl Way {
    /// The annotations that pin it: for the policy as it is, back to revision `to`, and why in somebody's words.
    #[must_use]
    pub fn annotations(&self, to: i64, policy: &Identity, reason: Option<&str>) -> BTreeMap<&'static str, String> {
        let (uid, generation, reason) = (policy.uid.clone(), policy.generation, reason.map(str::to_owned));
        let pin = RollbackPin { to, uid, generation, reason, values: self.values.clone() };
        // Numbers and texts: that has a JSON text.
        let pin = serde_json::to_string(&pin).unwrap_or_default();
        [(names::ROLLBACK_TO, to.to_string()), (names::ROLLBACK_PIN, pin)].into()
    }
}

/// Why there is no way back to a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoWay {
    /// Nothing was ever changed.
    NoHistory,
    /// It is the newest, or none yet.
    NotBefore {
        /// The newest.
        newest: i64,
    },
    /// It is older than what the status retains.
    NotRetained {
        /// The oldest that is.
        oldest: i64,
        /// The newest.
        newest: i64,
    },
    /// Not every change since is in the status.
    Incomplete {
        /// The revision of which some changes are missing.
        revision: i64,
    },
    /// Of all that has changed since, nothing can go back.
    Nothing {
        /// What, and why.
        left: Vec<String>,
    },
}

impl fmt::Display for NoWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHistory => f.write_str("the policy has changed nothing yet"),
            Self::NotBefore { newest } => write!(f, "the newest revision is {newest}: name an older one"),
            Self::NotRetained { oldest, newest } => {
                write!(f, "the status retains revisions {oldest} to {newest}: name one of them, or edit the policy")
            }
            Self::Incomplete { revision } => write!(
                f,
                "revision {revision} has more changes than the status has room for: name revision {revision} or a newer \
                 one, or edit the policy"
            ),
            Self::Nothing { left } => write!(f, "nothing can go back: {}", left.join("; ")),
        }
    }
}

/// A value that has changed since.
struct Found {
    /// Positions of its changes in the past, since the revision.
    first: usize,
    last: usize,
}

/// A change, and what came of it.
#[derive(Clone, Copy)]
struct Past<'a> {
    entry: &'a HistoryEntry,
    change: &'a ChangeStatus,
}

impl Past<'_> {
    fn is_of(&self, other: &Self) -> bool {
        (&self.change.object, &self.change.path) == (&other.change.object, &other.change.path)
    }

    /// Whether its rollout failed, or took back what had failed. What is read while pods run, and what is no part of a pod, is
    /// listed beside that and stays.
    fn has_failed(&self, policy: &Policy) -> bool {
        let knob = policy.knobs.iter().find(|knob| *knob.path == *self.change.path);
        let stays = self.change.object.starts_with(Kind::HorizontalPodAutoscaler.as_str())
            || knob.is_some_and(|knob| is_in_file(&knob.landing) && !knob.landing.is_read_at_start(policy));
        !stays && matches!(&*self.entry.verdict, "RolledBack" | "RollbackFailed")
    }

    /// Whether nothing need ever have run with what this wrote, and `next`, the next change of the value, has found.
    fn is_dead(&self, next: &Self, policy: &Policy) -> bool {
        match &*self.entry.verdict {
            "Overtaken" => true,
            "RollingOut" => next.entry.verdict == "RollingOut",
            // What came after that one was found, when its way back was complete.
            "RolledBack" => self.has_failed(policy) && next.has_failed(policy),
            "RollbackFailed" => self.has_failed(policy),
            _ => false,
        }
    }
}

const fn is_in_file(landing: &Landing) -> bool {
    matches!(landing, Landing::Document { .. } | Landing::ConfigMapKey { .. })
}

/// The value before the change at `at`, or the last one before it that was live; `Err`: the status does not tell any more.
/// `oldest`: the oldest revision that it tells of.
fn live_before<'a>(past: &[Past<'a>], at: usize, oldest: i64, policy: &Policy) -> Result<Option<&'a str>, ()> {
    let Some(change) = past.get(at) else { return Err(()) };
    let (mut known, mut found) = (*change, false);
    for older in past.iter().take(at).rev().filter(|older| older.is_of(change)) {
        if older.change.to != known.change.from || !older.is_dead(&known, policy) {
            found = true;
            break;
        }
        known = *older;
    }
    // What is not retained any more may have been overtaken or may have failed, too.
    let is_suspect = |past: &Past<'_>| past.entry.verdict == "Overtaken" || past.has_failed(policy);
    let is_lost = known.entry.revision == oldest && oldest > 1 && is_suspect(&known);
    let hides = |older: &Past<'_>| older.entry.omitted > 0 && is_suspect(older);
    if !found && (is_lost || past.iter().take(at).any(hides)) {
        return Err(());
    }
    Ok(known.change.from.as_deref())
}

/// The value now.
fn live_after<'a>(past: &[Past<'a>], at: usize, oldest: i64, policy: &Policy) -> Option<&'a str> {
    let last = past.get(at)?;
    let before = || live_before(past, at, oldest, policy).ok();
    let back = if last.entry.verdict == "RolledBack" && last.has_failed(policy) { before() } else { None };
    back.unwrap_or(last.change.to.as_deref())
}

/// The way back to revision `to` of a policy with that status; 0: to before the first one.
///
/// # Errors
/// Why there is none.
pub fn way_back(policy: &Policy, status: &PerformancePolicyStatus, to: i64) -> Result<Way, NoWay> {
    let history = &status.history;
    let (Some(first), Some(last)) = (history.first(), history.last()) else { return Err(NoWay::NoHistory) };
    let (newest, oldest) = (first.revision, last.revision);
    if to >= newest {
        return Err(NoWay::NotBefore { newest });
    }
    if !history.iter().any(|entry| entry.revision == to) && (to, oldest) != (0, 1) {
        return Err(NoWay::NotRetained { oldest, newest });
    }
    let mut since = history.iter().filter(|entry| entry.revision > to);
    if let Some(HistoryEntry { revision, .. }) = since.find(|entry| entry.omitted > 0) {
        return Err(NoWay::Incomplete { revision: *revision });
    }
    // Oldest first. Which files pods have read follows from what is in them.
    let all = history.iter().rev().flat_map(|entry| entry.changes.iter().map(move |change| Past { entry, change }));
    let past: Vec<Past<'_>> =
        all.filter(|past| past.change.path != STAMP && !is_elsewhere(policy, past.change)).collect();
    let kind = policy.target.as_ref().map(|target| target.kind.as_str());
    // What is not on a target itself, such as a ConfigMap, is shared by all of them.
    let object = |past: &Past<'_>| {
        let (of, _) = past.change.object.split_once('/').unwrap_or_default();
        (Some(of) == kind).then(|| past.change.object.clone())
    };
    let place = |past: &Past<'_>| (object(past), past.change.path.clone());
    let mut order: Vec<((Option<String>, String), Found)> = Vec::new();
    for (at, change) in past.iter().enumerate().filter(|(_, past)| past.entry.revision > to) {
        let place = place(change);
        match order.iter_mut().find(|(known, _)| *known == place) {
            Some((_, found)) => found.last = at,
            None => order.push((place, Found { first: at, last: at })),
        }
    }
    let (mut way, mut told) = (Way::default(), BTreeSet::new());
    for ((object, path), Found { first, last }) in order {
        let Some(Past { change, .. }) = past.get(first) else { continue };
        let then = live_before(&past, first, oldest, policy);
        let value = match then {
            Ok(text) => was(policy, &path, text, to),
            Err(()) => Err(format!(
                "was being changed at revision {to}, and what it was then is not retained: edit the policy"
            )),
        };
        match value {
            Ok(value) => {
                way.values.push(PinnedValue { object, path: path.clone(), value });
                way.changes.push(ChangeStatus {
                    object: change.object.clone(),
                    path,
                    from: live_after(&past, last, oldest, policy).map(str::to_owned),
                    to: then.ok().flatten().map(str::to_owned),
                    because: format!("rollback to revision {to}"),
                });
            }
            Err(why) if told.insert(path.clone()) => way.left.push(format!("{path} {why}")),
            Err(_) => {}
        }
    }
    let since = history.iter().filter(|entry| entry.revision > to);
    for change in since.flat_map(|entry| &entry.changes).filter(|change| is_elsewhere(policy, change)) {
        if told.insert(change.path.clone()) {
            way.left.push(format!("{} was changed on {}, which is no target any more", change.path, change.object));
        }
    }
    if way.values.is_empty() { Err(NoWay::Nothing { left: way.left }) } else { Ok(way) }
}

/// Whether a change was on a target of another kind than the policy has by now: what was there is nothing to these.
fn is_elsewhere(policy: &Policy, change: &ChangeStatus) -> bool {
    let of = change.object.split_once('/').and_then(|(kind, _)| Kind::from_name(kind));
    let is_target = of.is_some_and(|kind| kind.is_workload() || kind.is_foreign());
    is_target && of != policy.target.as_ref().map(|target| target.kind)
}

/// What the policy would say for a value that landed as `text`; else why it cannot say that.
fn was(policy: &Policy, path: &str, text: Option<&str>, to: i64) -> Result<String, String> {
    let replicas = policy.replicas.as_ref();
    let is_bound = match path {
        "replicas.min" => replicas.is_some_and(|replicas| replicas.min.is_some()),
        "replicas.max" => replicas.is_some_and(|replicas| replicas.max.is_some()),
        "replicas" => return Err("follows from its bounds, which are not written down: edit the policy".into()),
        _ => false,
    };
    let knob = policy.knobs.iter().find(|knob| *knob.path == *path);
    if knob.is_none() && !is_bound {
        return Err("is not in the policy any more".into());
    }
    let text = text.ok_or_else(|| format!("had no value at revision {to}: take it out of the policy"))?;
    if text.ends_with('…') {
        return Err("was too long for the status: edit the policy".into());
    }
    let Some(knob) = knob else { return Ok(text.to_owned()) };
    read(knob, text).map(|value| value.to_string()).ok_or_else(|| format!("was {text:?}, which is no {}", knob.kind))
}

/// A value as changes spell it: of an option, the option alone.
fn read(knob: &Knob, text: &str) -> Option<Value> {
    match Piece::of(&knob.landing) {
        Some(Piece::Option(known)) => known.read(text),
        _ => resolve::read(knob, text),
    }
}

#[cfg(test)]
mod tests;
