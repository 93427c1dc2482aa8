//! Going back: what a policy's values were at a revision, as its history tells.
//!
//! The changes after that revision are inverted, newest first; so what a value was there is what the oldest of them found.

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
        policy::{Knob, Policy},
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
    /// The annotations that pin it: for a policy at `generation`, back to revision `to`, and why in somebody's words.
    #[must_use]
    pub fn annotations(&self, to: i64, generation: i64, reason: Option<&str>) -> BTreeMap<&'static str, String> {
        let reason = reason.map(str::to_owned);
        let pin = RollbackPin { to, generation, reason, values: self.values.clone() };
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
struct Found<'a> {
    /// The target; nothing: what is shared by all of them.
    object: Option<&'a str>,
    /// The oldest change.
    first: &'a ChangeStatus,
    /// What the newest change made of it.
    now: Option<&'a str>,
}

/// The way back to revision `to` of a policy with that status.
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
    if !history.iter().any(|entry| entry.revision == to) {
        return Err(NoWay::NotRetained { oldest, newest });
    }
    let since = || history.iter().filter(|entry| entry.revision > to);
    if let Some(HistoryEntry { revision, .. }) = since().find(|entry| entry.omitted > 0) {
        return Err(NoWay::Incomplete { revision: *revision });
    }
    let kind = policy.target.as_ref().map(|target| target.kind.as_str());
    let mut order: Vec<Found<'_>> = Vec::new();
    for change in since().collect::<Vec<_>>().into_iter().rev().flat_map(|entry| &entry.changes) {
        // Which files pods have read follows from what is in them.
        if change.path == STAMP || is_elsewhere(policy, change) {
            continue;
        }
        // What is not on a target itself, such as a ConfigMap, is shared by all of them.
        let (of, _) = change.object.split_once('/').unwrap_or_default();
        let object = (Some(of) == kind).then_some(change.object.as_str());
        match order.iter_mut().find(|known| (known.object, &known.first.path) == (object, &change.path)) {
            Some(known) => known.now = change.to.as_deref(),
            None => order.push(Found { object, first: change, now: change.to.as_deref() }),
        }
    }
    let (mut way, mut told) = (Way::default(), BTreeSet::new());
    for Found { object, first: change, now } in order {
        let path = change.path.as_str();
        match was(policy, path, change.from.as_deref(), to) {
            Ok(value) => {
                way.values.push(PinnedValue { object: object.map(str::to_owned), path: path.to_owned(), value });
                way.changes.push(ChangeStatus {
                    object: change.object.clone(),
                    path: path.to_owned(),
                    from: now.map(str::to_owned),
                    to: change.from.clone(),
                    because: format!("rollback to revision {to}"),
                });
            }
            Err(why) if told.insert(path) => way.left.push(format!("{path} {why}")),
            Err(_) => {}
        }
    }
    for change in since().flat_map(|entry| &entry.changes).filter(|change| is_elsewhere(policy, change)) {
        if told.insert(&*change.path) {
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
