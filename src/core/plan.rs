//! The plan: which claims and patches, on which objects, in which order, and why.
//!
//! Pure. It decides *whether* an object is written; the body is then always the policy's complete claim on that object,
//! because server-side apply removes what its sole owner stops sending. It must never leave a value out of a claim that
//! the policy still holds: such a value is repeated as it is.

mod claim;
mod config_map;
mod leftovers;
mod objects;
mod replicas;
mod restore;
mod rounds;
mod shared;
mod traps;
mod workload;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde::Serialize;
use serde_json::Value as Json;

use super::{
    allocate::Load,
    catalogue,
    facts::{Instant, Kind, Object, ObjectKey, Span},
    ownership::{self, FieldPath},
    policy::{Knob, Policy},
    record::Record,
    resolve::{Desired, Shares},
};
use crate::api::{conditions::Reason, names};

pub use claim::Write;
pub use config_map::{landing as config_map_landing, place};
pub use objects::bars_restore;
pub use restore::restore;
pub use rounds::plan;
pub use shared::Piece;

/// The path under which a policy's stamp of files goes among its changes.
pub const STAMP: &str = "files";

/// Two takings within this time and a third would be a fight.
pub const CONTEST: Span = Span::hours(1);

/// One policy on one target, as things are.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The governed workload.
    pub target: &'a Object,
    /// The autoscaler that scales it.
    pub autoscaler: Option<&'a Object>,
    /// `ConfigMap`s of the namespace that the policy names.
    pub config_maps: &'a BTreeMap<Box<str>, ConfigMap<'a>>,
    /// What earlier passes left behind.
    pub memory: &'a Memory,
    /// The time.
    pub now: Instant,
}

/// A case with the values that the policy's knobs shall have.
#[derive(Clone, Copy)]
struct Situation<'a> {
    policy: &'a Policy,
    desired: &'a [Desired<'a>],
    target: &'a Object,
    autoscaler: Option<&'a Object>,
    config_maps: &'a BTreeMap<Box<str>, ConfigMap<'a>>,
    memory: &'a Memory,
    now: Instant,
}

/// A `ConfigMap` that a policy names.
#[derive(Clone, Copy, Debug)]
pub enum ConfigMap<'a> {
    /// It does not exist.
    Missing,
    /// It exists and its data are being fetched.
    Unread,
    /// Its data are known.
    Known(&'a Object),
}

/// What earlier passes left behind, for one policy and one target.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Objects on which somebody changed what we had claimed.
    pub holds: BTreeMap<ObjectKey, Hold>,
    /// Hash of the claim that was last applied to an object, as far as the status tells.
    pub applied: BTreeMap<ObjectKey, String>,
    /// Values that failed on this target and are taken back: hashes of each with its path in the policy.
    pub quarantine: BTreeSet<String>,
    /// The same on any target of the policy, for what lands in a `ConfigMap` and so reaches all of them.
    pub quarantine_anywhere: BTreeSet<String>,
    /// Paths in the policy of values that failed on this target.
    pub failed_here: BTreeSet<Box<str>>,
    /// Values that failed on any target and are not begun anywhere, even if the status does not say so yet.
    pub failed: BTreeSet<String>,
    /// Paths in the policy of values that are being rolled out. The way back goes to what was there before them, even if
    /// others follow in the meantime.
    pub unproven: BTreeSet<Box<str>>,
    /// Whether every pod ran with them once: a value that is changed again after that goes back to the one that ran.
    pub complete: bool,
    /// Values before and after by paths in the policy, of a rollout that has not come to its end: pods may have either.
    pub rolling: BTreeMap<Box<str>, [Option<String>; 2]>,
    /// What becomes of the values of that rollout for which the policy has no knob any more.
    pub orphans: Orphans,
    /// Landing places that an older policy governs, as `Setting::landing` spells them, with its name.
    pub elders: BTreeMap<String, Box<str>>,
    /// How often the target was scaled for the policy within [`CONTEST`].
    pub scalings: usize,
    /// What budgets give its pools, where that is less than they ask for.
    pub shares: Shares,
}

/// What becomes of values that are being rolled out, and for which the policy has no knob any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orphans {
    /// They are given up: nothing is being rolled out.
    #[default]
    Release,
    /// They are held until it is known whether pods run with them.
    Hold,
    /// They are taken back.
    TakeBack,
}

/// What to do about an object on which somebody changed what we had claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    Held,
    /// The policy changed since, or a person asked to resume: take the fields back.
    Lifted,
}

/// A plan for one target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Writes, in order. Only the first is executed; the next plan begins with the one after it.
    pub steps: Vec<Step>,
    /// What would change, for people.
    pub changes: Vec<Change>,
    /// What makes writing to this target wrong. With one of these there are no steps.
    pub refusals: Vec<Refusal>,
    /// Fields that are left to somebody else.
    pub conflicts: Vec<Conflict>,
    /// Every knob: desired and live.
    pub settings: Vec<Setting>,
    /// Objects on which somebody changed what we had claimed.
    pub overridden: Vec<ObjectKey>,
    /// `ConfigMap`s that have to be fetched first.
    pub unread: Vec<ObjectKey>,
    /// Hash of the complete claim on the target.
    pub claim_hash: String,
    /// What the pools add up to in one pod, with the values that shall be there.
    pub loads: Vec<Load>,
    /// What is written and yet may not do what its author expects. It keeps nothing from its place.
    pub warnings: Vec<Warning>,
    /// The same with the values that pods have: at most, while a rollout is under way. Pools of which one is unknown are left
    /// out.
    pub held: Vec<Load>,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Edit documents of a `ConfigMap`, or release what an edit left behind: a JSON patch.
    Json {
        /// Object.
        object: ObjectKey,
        /// Subresource.
        subresource: Option<&'static str>,
        /// The patch.
        patch: Json,
        /// What it does, in a word, for Events and logs.
        purpose: Purpose,
        /// Whether it begins a rollout that the claim on the workload will carry out.
        disruptive: bool,
        /// What changes.
        changes: Vec<Change>,
    },
    /// Apply the complete claim on an object.
    Apply(Box<Write>),
}

impl Step {
    /// The object that is written.
    #[must_use]
    pub fn object(&self) -> &ObjectKey {
        match self {
            Self::Json { object, .. } => object,
            Self::Apply(write) => &write.object,
        }
    }

    /// The text of the record that it writes for `policy`, by which a later view tells whether it was executed.
    #[must_use]
    pub fn record(&self, policy: &str) -> Option<&str> {
        let annotation = names::baseline(policy);
        match self {
            Self::Apply(write) => write.body.get("metadata")?.get("annotations")?.get(&annotation)?.as_str(),
            Self::Json { patch, .. } => {
                let path = format!("/metadata/annotations/{}", config_map::escape(&annotation));
                let operation = patch.as_array()?.iter().find(|operation| operation["path"] == path)?;
                operation["value"].as_str()
            }
        }
    }

    /// Resource version that it was decided on.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Apply(write) => write.body.get("metadata")?.get("resourceVersion")?.as_str(),
            Self::Json { patch, .. } => {
                let mut operations = patch.as_array()?.iter();
                operations.find(|operation| operation["path"] == "/metadata/resourceVersion")?["value"].as_str()
            }
        }
    }

    /// Which way the number of pods goes with it, if it is about that.
    #[must_use]
    pub fn pods(&self) -> Option<Ordering> {
        let changes = match self {
            Self::Json { purpose: Purpose::Scale, changes, .. } => changes,
            Self::Apply(write) if write.object.kind == Kind::HorizontalPodAutoscaler => &write.changes,
            Self::Json { .. } | Self::Apply(_) => return None,
        };
        let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<i64>().ok());
        // The most that an autoscaler makes does not change with the least.
        let most = changes.iter().filter(|change| *change.path != *"replicas.min");
        let ways = most.map(|change| match (number(&change.from), number(&change.to)) {
            (Some(from), Some(to)) => to.cmp(&from),
            // Who had no number may have had fewer.
            _ => Ordering::Greater,
        });
        Some(ways.max().unwrap_or(Ordering::Equal))
    }

    /// Whether pods are replaced, or may be restarted, because of it.
    #[must_use]
    pub fn is_disruptive(&self) -> bool {
        match self {
            Self::Json { disruptive, .. } => *disruptive,
            Self::Apply(write) => write.disruptive,
        }
    }
}

/// What a JSON patch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Purpose {
    /// Values inside documents.
    Edit,
    /// Give fields back.
    Release,
    /// The number of pods.
    Scale,
}

/// A change of one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Object that is changed.
    #[serde(serialize_with = "short")]
    pub object: ObjectKey,
    /// Path in the policy.
    pub path: Box<str>,
    /// Value before; `None`: it was not set.
    pub from: Option<String>,
    /// Value after; `None`: it is not set any more.
    pub to: Option<String>,
    /// Why.
    pub because: String,
}

fn short<S: serde::Serializer>(key: &ObjectKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&key.short())
}

/// Why a target is not written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The finite reason.
    pub reason: Reason,
    /// What is wrong, where, and what to do.
    pub message: String,
    /// Whether only a change of the policy or its documents can help.
    pub stalled: bool,
}

/// A field that is left to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The finite reason.
    pub reason: Reason,
    /// Object.
    pub object: ObjectKey,
    /// Path in the policy.
    pub path: Box<str>,
    /// Who owns it and the ways out.
    pub message: String,
}

/// A knob: desired and live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Path in the policy.
    pub path: Box<str>,
    /// The object that it lands on.
    #[serde(skip)]
    pub object: ObjectKey,
    /// The field of the object, where the landing place is one.
    #[serde(skip)]
    pub field: Option<FieldPath>,
    /// Where it lands, for people.
    pub landing: String,
    /// Value as it is written.
    pub desired: String,
    /// Value that the object has; `None`: it is not set.
    pub live: Option<String>,
    /// Where the desired value comes from.
    pub source: String,
    /// Whether and why it is not at rest.
    pub state: State,
    /// Why nothing carries it, and where it belongs instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Box<str>>,
}

impl Setting {
    /// Whether the live value may be told to everybody who can read the policy. What somebody else wrote into a `ConfigMap` is
    /// for those who can read the `ConfigMap`.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.object.kind != Kind::ConfigMap || !matches!(self.state, State::Yielded | State::Refused)
    }
}

/// What is written and yet may not do what its author expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Path in the policy.
    pub path: Box<str>,
    /// What is the matter and what to do, continuing the path.
    pub message: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.path, self.message)
    }
}

/// State of a knob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum State {
    /// The live value is the desired one.
    AtRest,
    /// It will be written.
    Planned,
    /// It is left to somebody else.
    Yielded,
    /// It failed and is not tried again now.
    Quarantined,
    /// Something is wrong with its landing place.
    Refused,
    /// It is a variable: it lands nowhere.
    Variable,
    /// No field of an object carries it.
    NotEnforceable,
}

impl State {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtRest => "AtRest",
            Self::Planned => "Planned",
            Self::Yielded => "Yielded",
            Self::Quarantined => "Quarantined",
            Self::Refused => "Refused",
            Self::Variable => "Variable",
            Self::NotEnforceable => "NotEnforceable",
        }
    }
}

/// Whether a change of a field takes pods down for a while, so that targets take turns: whatever is in the pod template, and what
/// another project's operator may restart its pods for.
#[must_use]
pub fn is_disruptive(kind: Kind, field: &FieldPath) -> bool {
    let may_restart = || {
        let path = field.to_string();
        catalogue::objects::find(kind, path.trim_start_matches('.')).map_or(true, |place| place.needs_turn())
    };
    field.is_at_or_below(&FieldPath::of(&["spec", "template"])) || kind.is_foreign() && may_restart()
}

/// Every place that `policy` governs on `target`, as [`Setting::landing`] spells it: what its values are, and whether they can
/// be worked out now, makes no difference to whose the place is.
#[must_use]
pub fn landings(policy: &Policy, target: &Object, autoscaler: Option<&Object>) -> Vec<String> {
    let mut landings: Vec<String> = policy.knobs.iter().filter_map(|knob| landing(policy, target, knob)).collect();
    landings.extend(policy.replicas.iter().flat_map(|replicas| replicas::landings(replicas, target, autoscaler)));
    landings
}

/// The place that one knob governs on `target`, as [`Setting::landing`] spells it.
#[must_use]
pub fn landing(policy: &Policy, target: &Object, knob: &Knob) -> Option<String> {
    let elsewhere = config_map::landing(policy, &knob.landing).or_else(|| objects::landing(target, knob));
    elsewhere.or_else(|| workload::landing(policy, target, knob))
}

/// Order: documents first, then what the edits left in `managedFields`, then the workload in one apply, then the number
/// of pods. A crash in between is repaired by the next plan, because every step is decided from what is live.
fn round(situation: &Situation<'_>) -> Plan {
    let mut plan = Plan::default();
    unreadable_records(situation, &mut plan);
    let documents = config_map::plan(situation, &mut plan);
    if situation.target.key.kind.is_foreign() {
        objects::plan(situation, &mut plan);
    } else {
        workload::plan(situation, &documents, &mut plan);
        replicas::plan(situation, &mut plan);
    }
    if !plan.refusals.is_empty() || !plan.unread.is_empty() {
        plan.steps.clear();
    }
    plan
}

/// Refuses to write where that would replace a record of ours that cannot be read, and with it what was there before.
fn unreadable_records(situation: &Situation<'_>, plan: &mut Plan) {
    let config_maps = situation.config_maps.values().filter_map(|config_map| match config_map {
        ConfigMap::Known(object) => Some(*object),
        ConfigMap::Missing | ConfigMap::Unread => None,
    });
    let name = situation.policy.identity.name();
    for object in [Some(situation.target), situation.autoscaler].into_iter().flatten().chain(config_maps) {
        if let Some(Err(error)) = Record::of(&object.meta, name) {
            let message = format!(
                "what was in {} before the policy is not known: {error}; to begin anew with what is there now, remove its \
                 annotation {}",
                object.key.short(),
                names::baseline(name)
            );
            plan.refuse(Reason::BaselineUnreadable, message, true);
        }
    }
}

/// Stands for a value at a path of the policy: how a quarantine names what failed without repeating it.
#[must_use]
pub fn value_hash(path: &str, text: &str) -> String {
    ownership::digest(&format!("{path}={text}"))
}

impl Plan {
    fn warn(&mut self, path: &str, message: String) {
        let warning = Warning { path: path.into(), message };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn refuse(&mut self, reason: Reason, message: String, stalled: bool) {
        self.refusals.push(Refusal { reason, message, stalled });
    }
}

#[cfg(test)]
mod tests;
