//! A rollback, parsed: values that are what they were at a revision, until the spec changes.
//!
//! It comes from annotations, which anybody may write by hand who may change the policy, and which GitOps and backups copy to
//! policies that they make anew: of another uid, nothing holds, and the policy follows its spec. Each of its values is read and held to
//! its type, its range and the rules of the whole policy as if a profile set it, and is moved within bounds that the spec has got
//! since. Of one that cannot be read nothing holds, and the policy writes nothing until somebody takes it out: neither the values
//! that it wanted nor those that it was to keep away may land by a typing error.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Identity, Invalid, Knob, Policy, ProfileSet,
    given::{Clamp, Given, Scope},
    profiles::{By, Move, Setter},
};
use crate::{
    api::{
        Literal, PerformancePolicy,
        conditions::Reason,
        names,
        rollback::{MAX_BYTES, MAX_VALUES, PinnedValue, RollbackPin},
    },
    core::{
        facts::{Kind, ObjectKey},
        units::Excerpt,
    },
};

/// Values that people are told of at most.
const TOLD: usize = 5;

/// What becomes of a policy's values by a rollback.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Rollback {
    /// Nobody asks for one, or it has ended with its generation.
    #[default]
    None,
    /// Values are pinned.
    Pinned(Pinned),
    /// What is asked for was asked of another policy, whose annotations somebody has copied: nothing is pinned.
    Foreign {
        /// The revision of that policy.
        to: i64,
    },
    /// Somebody asks for one that cannot be.
    Refused(Vec<Invalid>),
}

/// Values that are pinned.
#[derive(Clone, Debug, PartialEq)]
pub struct Pinned {
    /// The revision that they are of.
    pub to: i64,
    /// Why, in somebody's words.
    reason: Option<Box<str>>,
    /// The values as they were asked for.
    values: Vec<PinnedValue>,
    /// What is set on each target that has values of its own, and on all others.
    sets: Vec<Set>,
}

#[derive(Clone, Debug, PartialEq)]
struct Set {
    /// `Kind/name`; nothing: all that no other set names.
    target: Option<Box<str>>,
    moves: Vec<(Move, Option<Clamp>)>,
}

impl Rollback {
    /// The revision whose values are pinned.
    #[must_use]
    pub const fn to(&self) -> Option<i64> {
        match self {
            Self::Pinned(pinned) => Some(pinned.to),
            Self::None | Self::Foreign { .. } | Self::Refused(_) => None,
        }
    }

    /// What is told of it, and whether its values are pinned; nothing where there is none. `policy` is the policy's name.
    #[must_use]
    pub fn told(&self, policy: &str) -> Option<(bool, String)> {
        match self {
            Self::None => None,
            Self::Refused(wrong) => {
                let what = wrong.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ");
                let way_out = format!("to take it out, run \"trimtab resume {policy} --rollback\"");
                Some((false, format!("{what}. Nothing is written until then: {way_out}")))
            }
            Self::Foreign { to } => Some((
                false,
                format!(
                    "the rollback to revision {to} is of another policy, which had this name before: it pins nothing here, \
                     and values follow the spec. To take its annotations out, run \"trimtab resume {policy} --rollback\""
                ),
            )),
            Self::Pinned(Pinned { to, reason, values, .. }) => {
                let one = |PinnedValue { object, path, value }: &PinnedValue| {
                    let on = object.as_ref().map(|object| format!(" on {object}")).unwrap_or_default();
                    format!("{path} {value}{on}")
                };
                let mut all = values.iter().take(TOLD).map(one).collect::<Vec<_>>().join(", ");
                if values.len() > TOLD {
                    all.push_str(&format!(" and {} more", values.len() - TOLD));
                }
                let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
                Some((
                    true,
                    format!(
                        "back at revision {to}{reason} until the spec changes or somebody runs \"trimtab resume {policy} \
                         --rollback\": {all}"
                    ),
                ))
            }
        }
    }

    /// Values of knobs that are pinned, by the position of the knob.
    pub fn knobs(&self) -> impl Iterator<Item = (usize, &Given)> {
        self.moves().filter_map(|step| match step {
            Move::Knob { index, value } => Some((*index, value)),
            Move::Replicas { .. } | Move::Level { .. } => None,
        })
    }

    /// Bounds of replicas that are pinned, by their path.
    pub fn replicas(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.moves().filter_map(|step| match step {
            Move::Replicas { of, count } => Some((of.path(), *count)),
            Move::Knob { .. } | Move::Level { .. } => None,
        })
    }

    fn moves(&self) -> impl Iterator<Item = &Move> {
        let sets = match self {
            Self::Pinned(pinned) => &*pinned.sets,
            Self::None | Self::Foreign { .. } | Self::Refused(_) => &[],
        };
        sets.iter().flat_map(|set| &set.moves).map(|(step, _)| step)
    }
}

/// What a policy is made of on a target: the profiles that are active, and which values are pinned.
pub type Guise = (ProfileSet, Option<usize>);

impl Policy {
    /// Which values a rollback pins on a target; `None`: none.
    #[must_use]
    pub fn pins_on(&self, target: Option<&ObjectKey>) -> Option<usize> {
        let Rollback::Pinned(pinned) = &self.rollback else { return None };
        let target = target.map(ObjectKey::short);
        let own = pinned.sets.iter().position(|set| set.target.is_some() && set.target.as_deref() == target.as_deref());
        own.or_else(|| pinned.sets.iter().position(|set| set.target.is_none()))
    }

    /// The policy under some of its profiles and with what a rollback pins. Where the two contradict each other, nothing is
    /// pinned, and the rollback is refused.
    #[must_use]
    pub fn in_guise(&self, (active, pins): Guise) -> Self {
        let policy = self.under(active);
        let (Some(pins), Rollback::Pinned(pinned)) = (pins, &self.rollback) else { return policy };
        let Some(set) = pinned.sets.get(pins) else { return policy };
        match policy.with_pins(pinned.to, set) {
            Ok(policy) => policy,
            Err(wrong) => Self { rollback: Rollback::Refused(of(pinned.to, wrong)), ..policy },
        }
    }

    fn with_pins(&self, to: i64, set: &Set) -> Result<Self, Vec<Invalid>> {
        let mut apart: BTreeMap<_, _> = self.apart.clone();
        if set.target.is_some() {
            let own = set.moves.iter().filter_map(|(step, _)| match step {
                Move::Knob { index, .. } => self.knobs.get(*index),
                Move::Replicas { .. } | Move::Level { .. } => None,
            });
            apart.extend(own.map(|knob| (knob.path.clone(), "of the rollback".into())));
        }
        let by = |clamped: &Option<Clamp>| By::Rollback { to, clamped: *clamped };
        let moves: Vec<_> = set.moves.iter().map(|(step, clamped)| (step, by(clamped))).collect();
        self.with(&moves, &apart)
    }
}

/// What is wrong with the values of a rollback.
fn of(to: i64, wrong: Vec<Invalid>) -> Vec<Invalid> {
    wrong
        .into_iter()
        .map(|invalid| Invalid {
            reason: Reason::RollbackRefused,
            path: format!("{} of the rollback to revision {to}", invalid.path),
            ..invalid
        })
        .collect()
}

/// Reads what the annotations of `policy` ask for. `parsed` is the policy without it, in which nothing is wrong.
pub(super) fn read(policy: &PerformancePolicy, parsed: &Policy, scope: &Scope) -> Rollback {
    let annotations = policy.metadata.annotations.as_ref();
    let annotation = |key: &str| annotations.and_then(|all| all.get(key)).filter(|text| !text.is_empty());
    // Without the revision, what it pins is what somebody has left behind.
    let Some(to) = annotation(names::ROLLBACK_TO) else { return Rollback::None };
    let newest = policy.status.as_ref().and_then(|status| status.revision).unwrap_or_default();
    let read = record(to, annotation(names::ROLLBACK_PIN), &parsed.identity, newest);
    let record = match read.map_err(|message| {
        format!("{message} (to go back, run \"trimtab rollback {} --to N\")", parsed.identity.name())
    }) {
        Ok(Whose::Ours(record)) => record,
        Ok(Whose::Spent) => return Rollback::None,
        Ok(Whose::Foreign(to)) => return Rollback::Foreign { to },
        Err(message) => {
            return Rollback::Refused(vec![Invalid {
                reason: Reason::RollbackRefused,
                path: format!("annotation {}", names::ROLLBACK_TO),
                message,
            }]);
        }
    };
    match pinned(record, parsed, Setter { spec: &policy.spec, scope, knobs: &parsed.knobs }) {
        Ok(pinned) => Rollback::Pinned(pinned),
        Err(wrong) => Rollback::Refused(wrong),
    }
}

/// For whom a record is.
enum Whose {
    /// For the policy as it is.
    Ours(RollbackPin),
    /// For another generation of the policy.
    Spent,
    /// For another policy, and its revision.
    Foreign(i64),
}

/// The record beside the number of a revision.
fn record(to: &str, pin: Option<&String>, identity: &Identity, newest: i64) -> Result<Whose, String> {
    let number: i64 = to
        .parse()
        .ok()
        .filter(|number| *number >= 0)
        .ok_or_else(|| format!("must be the number of a revision, not {}", Excerpt::new(to)))?;
    let record = pin.map(|text| {
        if text.len() > MAX_BYTES {
            return Err(format!("has {} bytes of values beside it: at most {MAX_BYTES} are read", text.len()));
        }
        let record = serde_json::from_str::<RollbackPin>(text);
        record.map_err(|error| {
            format!("has something beside it, in {}, that cannot be read: {error}", names::ROLLBACK_PIN)
        })
    });
    let record = record.transpose()?;
    if let Some(record) = record.as_ref().filter(|record| record.to == number) {
        // Its number says nothing about the history of this one.
        if record.uid != identity.uid {
            return Ok(Whose::Foreign(number));
        }
        if record.generation != identity.generation {
            return Ok(Whose::Spent);
        }
    }
    if number > newest {
        return Err(format!("names revision {number}, and the newest is {newest}"));
    }
    let Some(record) = record else {
        return Err(format!("names revision {number}, and no values beside it, in {}", names::ROLLBACK_PIN));
    };
    if record.to != number {
        return Err(format!("names revision {number}, and the values beside it are those of revision {}", record.to));
    }
    if record.values.is_empty() || record.values.len() > MAX_VALUES {
        return Err(format!("must have 1 to {MAX_VALUES} values beside it, not {}", record.values.len()));
    }
    Ok(Whose::Ours(record))
}

fn pinned(record: RollbackPin, parsed: &Policy, setter: Setter<'_>) -> Result<Pinned, Vec<Invalid>> {
    let RollbackPin { to, reason, values, .. } = record;
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    let mut moves: Vec<(Option<Box<str>>, Move, Option<Clamp>)> = Vec::new();
    for PinnedValue { object, path, value } in &values {
        let refused = |message: String| Invalid { reason: Reason::RollbackRefused, path: path.clone(), message };
        if !seen.insert((object, path)) {
            wrong.push(refused("is pinned twice".into()));
        } else if object.as_deref().is_some_and(|object| !is_governed(parsed, object)) {
            let object = object.as_deref().unwrap_or_default();
            wrong.push(refused(format!("is pinned on {}, which is no target of the policy", Excerpt::new(object))));
        } else {
            match value_of(path, value, setter) {
                Ok((step, clamped)) => moves.push((object.as_deref().map(Into::into), step, clamped)),
                Err(message) => wrong.push(refused(message)),
            }
        }
    }
    let own: BTreeSet<&Option<Box<str>>> = moves.iter().map(|(object, ..)| object).collect();
    let set = |target: Option<Box<str>>| {
        // What is pinned everywhere comes first: what a target has of its own wins.
        let common = moves.iter().filter(|(object, ..)| object.is_none());
        let own = moves.iter().filter(|(object, ..)| object.is_some() && *object == target);
        let moves = common.chain(own).map(|(_, step, clamped)| (step.clone(), *clamped)).collect();
        Set { target, moves }
    };
    let sets: Vec<Set> = own.into_iter().cloned().map(set).collect();
    if wrong.is_empty() {
        wrong.extend(sets.iter().filter_map(|set| parsed.with_pins(to, set).err()).flatten());
    }
    if !wrong.is_empty() {
        return Err(of(to, wrong));
    }
    Ok(Pinned { to, reason: reason.map(Into::into), values, sets })
}

/// Whether a policy may govern the object that is called `Kind/name`.
fn is_governed(policy: &Policy, object: &str) -> bool {
    let kind = object.split_once('/').and_then(|(kind, _)| Kind::from_name(kind));
    policy.target.as_ref().is_some_and(|target| kind == Some(target.kind))
}

/// Reads one value, moved within the bounds that the spec has by now.
fn value_of(path: &str, value: &str, setter: Setter<'_>) -> Result<(Move, Option<Clamp>), String> {
    match setter.value(path, &Literal::Text(value.to_owned()))? {
        Move::Level { .. } => Err("is no value that lands anywhere".into()),
        Move::Knob { value: Given::Formula(_), .. } => Err("must be a value, and no formula".into()),
        step @ Move::Replicas { .. } => Ok((step, None)),
        Move::Knob { index, value: Given::Literal(value) } => {
            let bound =
                |read: fn(&Knob) -> &Option<Given>| read(setter.knobs.get(index)?).as_ref().and_then(Given::literal);
            // A bound that a formula gives is another on each target: there the value is refused, as one of the spec is.
            let moved = value.clamp_to(bound(|knob| &knob.min), bound(|knob| &knob.max));
            let clamped = match moved.partial_cmp(&value) {
                Some(std::cmp::Ordering::Less) => Some(Clamp::Max),
                Some(std::cmp::Ordering::Greater) => Some(Clamp::Min),
                Some(std::cmp::Ordering::Equal) | None => None,
            };
            Ok((Move::Knob { index, value: Given::Literal(moved) }, clamped))
        }
    }
}

#[cfg(test)]
mod tests;
