//! Profiles, parsed: other values for other times, and what a policy is while some of them are active.
//!
//! A profile sets values of knobs, bounds of replicas and bounds of levels by their path, whatever kind of knob that is. A
//! policy under profiles is a policy like any other, so whatever looks at one need not know of them. What a rollback pins
//! ([`pin`](super::pin)) is set in the same way, after them.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Field, Invalid, Knob, Landing, Policy, Replicas,
    given::{self, Amount, Clamp, Expression, Given, Scope},
    read_given, rules, runtime,
    thresholds::{self, Threshold, word},
};
use crate::{
    api::{
        Literal, PerformancePolicySpec,
        conditions::Reason,
        policy::{self as wire, Severity},
    },
    core::{
        facts::Span,
        formula::{Formula, Type},
        schedule::Schedule,
        units::{Bound, Decimal, Dimension, Quantity, Value, ValueType},
    },
};

/// Most profiles of a policy.
const MAX_PROFILES: usize = 8;
/// Most values that one sets.
const MAX_VALUES: usize = 64;
/// Most conditions of one.
const MAX_REQUIRES: usize = 8;
/// How long a profile that a threshold entered stays active at least, where nothing else is said.
const DWELL: Span = Span::minutes(10);

/// Values that hold while a condition does.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Name in the policy.
    pub name: Box<str>,
    /// When it is active; `None`: only while the spec names it.
    pub when: Option<When>,
    /// The load that its thresholds are stated for.
    pub load: Option<Load>,
    requires: Vec<Arc<Expression>>,
    moves: Vec<Move>,
}

/// When a profile is active.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// While a reading is beyond a bound.
    Threshold(Switch),
    /// In windows of time.
    Schedule(Schedule),
}

/// Bounds at which a profile is entered and left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Position in `Policy::thresholds` of the one whose reading decides.
    pub threshold: usize,
    /// Beyond this it is entered: above it if `leave` is lower, else below it.
    pub enter: Bound,
    /// Beyond this it is left, on the other side.
    pub leave: Bound,
    /// How long it stays active at least. Entering never waits, so there are at most two switches in that time.
    pub dwell: Span,
}

/// Where a reading is, as seen by a profile. The bounds are strict, as those of levels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Beyond the bound at which it is left.
    Leave,
    /// Between the two, or on one: it stays as it is.
    Between,
    /// Beyond the bound at which it is entered.
    Enter,
}

impl Switch {
    /// Where a reading in base units is.
    #[must_use]
    pub fn side(&self, value: f64) -> Side {
        let (enter, leave) = (self.enter.as_f64(), self.leave.as_f64());
        let beyond = |value: f64, bound: f64, high: bool| if high { value > bound } else { value < bound };
        let high = enter > leave;
        if beyond(value, enter, high) {
            Side::Enter
        } else if beyond(value, leave, !high) {
            Side::Leave
        } else {
            Side::Between
        }
    }
}

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Users at the same time.
    pub users: Option<u32>,
    /// Requests per second.
    pub rate: Option<Decimal>,
    /// Time between a user's answer and the next request.
    pub think_time: Span,
}

/// One value that is set in the place of the spec's own.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Move {
    /// Of a knob, by its position.
    Knob { index: usize, value: Given },
    /// Of a bound of replicas.
    Replicas { of: ReplicasBound, count: u32 },
    /// Of a bound of a level.
    Level { threshold: usize, severity: Severity, above: bool, bound: Literal },
}

/// Who sets a value in the place of the spec's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A profile, by its name.
    Profile(Box<str>),
    /// A rollback to a revision.
    Rollback {
        /// The revision.
        to: i64,
        /// The bound that the value was moved to, because the spec has another one than it had then.
        clamped: Option<Clamp>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplicasBound {
    Min,
    Max,
}

impl ReplicasBound {
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Min => "replicas.min",
            Self::Max => "replicas.max",
        }
    }
}

/// Some of the profiles of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProfileSet(u8);

impl ProfileSet {
    /// With the profile at that position.
    #[must_use]
    pub const fn with(self, index: usize) -> Self {
        if index < MAX_PROFILES { Self(self.0 | 1 << index) } else { self }
    }

    /// Whether the profile at that position is one of them.
    #[must_use]
    pub const fn has(self, index: usize) -> bool {
        index < MAX_PROFILES && self.0 >> index & 1 == 1
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Profile {
    /// Values of knobs that it sets, by the position of the knob.
    pub fn knobs(&self) -> impl Iterator<Item = (usize, &Given)> {
        self.moves.iter().filter_map(|step| match step {
            Move::Knob { index, value } => Some((*index, value)),
            Move::Replicas { .. } | Move::Level { .. } => None,
        })
    }

    /// Bounds of replicas that it sets, by their path.
    pub fn replicas(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.moves.iter().filter_map(|step| match step {
            Move::Replicas { of, count } => Some((of.path(), *count)),
            Move::Knob { .. } | Move::Level { .. } => None,
        })
    }

    /// Whether it moves that side of a level of the threshold at that position.
    #[must_use]
    pub fn moves_level(&self, index: usize, of: Severity, upper: bool) -> bool {
        let moves = |step: &Move| {
            matches!(step, Move::Level { threshold, severity, above, .. }
                if (*threshold, *severity, *above) == (index, of, upper))
        };
        self.moves.iter().any(moves)
    }

    /// Whether anything has to hold before it is entered.
    #[must_use]
    pub fn has_requirements(&self) -> bool {
        !self.requires.is_empty()
    }
}

impl Policy {
    /// The policy while some of its profiles are active: in the order of the list, later ones win. One that contradicts what
    /// those before it make of the policy is left out.
    #[must_use]
    pub fn under(&self, active: ProfileSet) -> Self {
        let active = self.profiles.iter().enumerate().filter(|(index, _)| active.has(*index));
        active.fold(self.clone(), |policy, (_, profile)| policy.with_profile(profile).unwrap_or(policy))
    }

    /// Those of its profiles that have these names.
    pub fn profile_set<'a>(&self, names: impl Iterator<Item = &'a str>) -> ProfileSet {
        let positions = names.filter_map(|name| self.profiles.iter().position(|profile| *profile.name == *name));
        positions.fold(ProfileSet::default(), ProfileSet::with)
    }

    /// Whether it can be under one profile more.
    ///
    /// # Errors
    /// What would be wrong.
    pub fn admits(&self, profile: &Profile) -> Result<(), Vec<Invalid>> {
        self.with_profile(profile).map(drop)
    }

    /// Which condition of `profile` does not hold, with the values of this policy on a target whose pod template is
    /// `template`; `None`: all hold.
    pub fn unmet(&self, profile: &Profile, template: impl Fn(&Amount) -> Option<Value>) -> Option<String> {
        if profile.requires.is_empty() {
            return None;
        }
        let worked = self.work_out(|_| None, &template);
        let stays = |path: &str| self.moved.get(path).map(|value| Some(value.clone()));
        profile.requires.iter().find_map(|condition| {
            let text = condition.source();
            let why = match given::holds(condition, &self.knobs, &worked, stays, &template) {
                Ok((true, _)) => return None,
                Ok((false, filled)) => format!("which is {filled}"),
                Err(why) => why,
            };
            Some(format!("requires {text}, {why}"))
        })
    }

    /// Who set a value in the place of the spec's own, by its path.
    #[must_use]
    pub fn set_by(&self, path: &str) -> Option<&By> {
        self.set_by.get(path)
    }

    fn with_profile(&self, profile: &Profile) -> Result<Self, Vec<Invalid>> {
        let moves: Vec<_> = profile.moves.iter().map(|step| (step, By::Profile(profile.name.clone()))).collect();
        self.with(&moves, &self.apart)
    }

    /// The policy with other values, each set by somebody. `apart`: those that are each target's own.
    pub(super) fn with(
        &self,
        moves: &[(&Move, By)],
        apart: &BTreeMap<Box<str>, Box<str>>,
    ) -> Result<Self, Vec<Invalid>> {
        let mut next = self.clone();
        let mut wrong = Vec::new();
        let mut levels: BTreeMap<usize, &mut wire::Threshold> = BTreeMap::new();
        let mut thresholds = self.spec.thresholds.clone();
        let mut rest = thresholds.iter_mut().enumerate();
        let touched = |index: usize| {
            moves.iter().any(|(step, _)| matches!(step, Move::Level { threshold, .. } if *threshold == index))
        };
        levels.extend(rest.by_ref().filter(|(index, _)| touched(*index)));
        for (step, by) in moves {
            match step {
                Move::Knob { index, value } => {
                    if let Some(knob) = next.knobs.get_mut(*index) {
                        knob.value = value.clone();
                        next.set_by.insert(knob.path.clone(), by.clone());
                    }
                }
                Move::Replicas { of, count } => {
                    next.set_replicas(*of, *count);
                    next.set_by.insert(of.path().into(), by.clone());
                }
                Move::Level { threshold, severity, above, bound } => {
                    let level = levels.get_mut(threshold).and_then(|threshold| level(threshold, *severity));
                    if let Some(level) = level {
                        let side = if *above { &mut level.above } else { &mut level.below };
                        *side = Some(bound.clone());
                    }
                }
            }
        }
        if !levels.is_empty() {
            let common = thresholds::common(&self.spec);
            let mut parsed = self.thresholds.to_vec();
            for (index, threshold) in &levels {
                match (thresholds::parse_one(threshold, &common), parsed.get_mut(*index)) {
                    (Ok(threshold), Some(place)) => *place = threshold,
                    (Ok(_), None) => {}
                    (Err(refused), _) => wrong.extend(refused),
                }
            }
            next.thresholds = parsed.into();
            next.spec.thresholds = thresholds;
        }
        next.order = given::order(&next.knobs).map_err(|circles| wrong.extend(circles)).unwrap_or_default();
        if next.shares_config_maps {
            wrong.extend(given::shared_and_different(&next.knobs, &next.order, apart));
        }
        if let Some(Replicas { min: Some(min), max: Some(max), .. }) = next.replicas
            && min > max
        {
            rules::replicas_inverted(min, max, &mut wrong);
        }
        if wrong.is_empty() {
            let worked = next.work_out(|_| None, |_| None);
            wrong = next.check_values(&worked);
            let known = |path: &str| given::value_of(&next.knobs, &worked, path);
            wrong.extend(runtime::check(&next.memory(known, |_| None)));
        }
        if wrong.is_empty() { Ok(next) } else { Err(wrong) }
    }

    fn set_replicas(&mut self, of: ReplicasBound, count: u32) {
        let Some(replicas) = &mut self.replicas else { return };
        let bound = match of {
            ReplicasBound::Min => &mut replicas.min,
            ReplicasBound::Max => &mut replicas.max,
        };
        *bound = Some(count.into());
        self.moved.insert(of.path().into(), Value::Integer(count.into()));
    }

    /// What is wrong with the policy under each of its profiles alone.
    pub(super) fn check_profiles(&self, wrong: &mut Vec<Invalid>) {
        for profile in &self.profiles {
            let found = self.admits(profile).err().unwrap_or_default();
            wrong.extend(
                found.into_iter().map(|invalid| Invalid {
                    path: format!("profiles.{}.set.{}", profile.name, invalid.path),
                    ..invalid
                }),
            );
        }
    }
}

/// Values whose profile is each target's own, with the name of the profile: one that a reading enters, that requires something,
/// or that may contradict such a one.
pub(super) fn apart(profiles: &[Profile], knobs: &[Knob]) -> BTreeMap<Box<str>, Box<str>> {
    let own = |profile: &Profile| matches!(profile.when, Some(When::Threshold(_))) || profile.has_requirements();
    let own = profiles.iter().skip_while(|profile| !own(profile));
    own.flat_map(|profile| {
        profile.knobs().filter_map(|(index, _)| Some((knobs.get(index)?.path.clone(), profile.name.clone())))
    })
    .collect()
}

fn level(threshold: &mut wire::Threshold, severity: Severity) -> Option<&mut wire::Level> {
    threshold.levels.iter_mut().find(|level| level.severity == severity)
}

/// Parses the profiles of a policy.
pub(super) fn parse(
    spec: &PerformancePolicySpec,
    scope: &Scope,
    knobs: &[Knob],
    thresholds: &[Threshold],
    wrong: &mut Vec<Invalid>,
) -> Vec<Profile> {
    if spec.profiles.len() > MAX_PROFILES {
        let message = format!("must be at most {MAX_PROFILES}, not {}", spec.profiles.len());
        wrong.push(Invalid { reason: Reason::InvalidSpec, path: "profiles".into(), message });
        return Vec::new();
    }
    spec.profiles
        .iter()
        .map(|profile| Parser { spec, scope, knobs, thresholds, profile, wrong: &mut *wrong }.parse())
        .collect()
}

/// The position of the profile that the spec names.
pub(super) fn forced(spec: &PerformancePolicySpec, wrong: &mut Vec<Invalid>) -> Option<usize> {
    let name = spec.profile.as_ref()?;
    let position = spec.profiles.iter().position(|profile| profile.name == *name);
    if position.is_none() {
        let message = format!("names \"{name}\", which is not in profiles");
        wrong.push(Invalid { reason: Reason::InvalidSpec, path: "profile".into(), message });
    }
    position
}

struct Parser<'a> {
    spec: &'a PerformancePolicySpec,
    scope: &'a Scope,
    knobs: &'a [Knob],
    thresholds: &'a [Threshold],
    profile: &'a wire::Profile,
    wrong: &'a mut Vec<Invalid>,
}

impl Parser<'_> {
    fn refuse(&mut self, member: &str, message: impl Into<String>) {
        let separator = if member.is_empty() { "" } else { "." };
        let path = format!("profiles.{}{separator}{member}", self.profile.name);
        self.wrong.push(Invalid { reason: Reason::InvalidSpec, path, message: message.into() });
    }

    fn accept<T, E: ToString>(&mut self, member: &str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.refuse(member, error.to_string())).ok()
    }

    fn parse(mut self) -> Profile {
        let wire::Profile { name, when, requires, load, set } = self.profile;
        if set.is_empty() && load.is_none() {
            self.refuse("set", "must set something, unless the profile states a load");
        }
        for (member, count, most) in [("set", set.len(), MAX_VALUES), ("requires", requires.len(), MAX_REQUIRES)] {
            if count > most {
                self.refuse(member, format!("must have at most {most} entries, not {count}"));
            }
        }
        Profile {
            name: name.as_str().into(),
            when: when.as_ref().and_then(|when| self.when(when)),
            load: load.as_ref().and_then(|load| self.load(load)),
            requires: requires.iter().enumerate().filter_map(|(n, text)| self.condition(n, text)).collect(),
            moves: set.iter().filter_map(|(path, literal)| self.value(path, literal)).collect(),
        }
    }

    fn when(&mut self, when: &wire::When) -> Option<When> {
        match (&when.threshold, &when.schedule) {
            (Some(threshold), None) => self.switch(threshold, when).map(When::Threshold),
            (None, Some(schedule)) => {
                if when.enter.is_some() || when.leave.is_some() || when.dwell.is_some() {
                    self.refuse("when", "has a schedule: leave out enter, leave and dwell, which are for a threshold");
                }
                let duration = self.accept("when.schedule.duration", thresholds::span(&schedule.duration))?;
                let parsed = Schedule::parse(&schedule.cron, duration, schedule.time_zone.as_deref());
                let parsed = parsed.map_err(|error| {
                    self.refuse(&format!("when.schedule.{}", error.member), error.message);
                });
                parsed.ok().map(When::Schedule)
            }
            _ => {
                self.refuse("when", "must set exactly one of threshold and schedule");
                None
            }
        }
    }

    fn switch(&mut self, name: &str, when: &wire::When) -> Option<Switch> {
        let Some(threshold) = self.spec.thresholds.iter().position(|threshold| threshold.name == *name) else {
            self.refuse("when.threshold", format!("names \"{name}\", which is not in thresholds"));
            return None;
        };
        let dwell = when.dwell.as_deref().map_or(Ok(DWELL), thresholds::span);
        let dwell = self.accept("when.dwell", dwell);
        // What is wrong with the threshold has been said.
        let unit = self.thresholds.iter().find(|threshold| *threshold.name == *name)?.unit;
        let mut bound = |member: &str, literal: &Option<Literal>| {
            let Some(literal) = literal else {
                self.refuse(member, "must be set for a threshold");
                return None;
            };
            self.accept(member, Bound::parse(&literal.to_string(), unit))
        };
        let (enter, leave) = (bound("when.enter", &when.enter), bound("when.leave", &when.leave));
        let (enter, leave) = (enter?, leave?);
        if enter.value() == leave.value() {
            let message = format!("must differ from leave ({leave}): between them the profile stays as it is");
            self.refuse("when.enter", message);
            return None;
        }
        Some(Switch { threshold, enter, leave, dwell: dwell? })
    }

    fn load(&mut self, load: &wire::Load) -> Option<Load> {
        if load.users.is_none() && load.rate.is_none() {
            self.refuse("load", "must set at least one of users and rate");
        }
        if load.users == Some(0) {
            self.refuse("load.users", "must be ≥ 1");
        }
        let rate = load.rate.as_ref().map(|literal| {
            let text = literal.to_string();
            let quantity = Quantity::parse(&text)
                .filter(|rate| matches!(rate.dimension, Dimension::PerSecond | Dimension::Count))
                .filter(|rate| rate.amount > Decimal::ZERO);
            quantity.map(|rate| rate.amount).ok_or_else(|| format!("must be a rate above 0 such as 350/s, not {text}"))
        });
        let rate = match rate {
            None => None,
            Some(rate) => Some(self.accept("load.rate", rate)?),
        };
        let think_time = load.think_time.as_deref().map_or(Ok(Span::ZERO), thresholds::span);
        Some(Load { users: load.users, rate, think_time: self.accept("load.thinkTime", think_time)? })
    }

    fn condition(&mut self, number: usize, text: &str) -> Option<Arc<Expression>> {
        let member = format!("requires[{number}]");
        let formula = self.accept(&member, Formula::parse(text))?;
        let checked = self.scope.check(formula, &Type::Boolean, None);
        self.accept(&member, checked).map(Arc::new)
    }

    /// A value by its path.
    fn value(&mut self, path: &str, literal: &Literal) -> Option<Move> {
        let setter = Setter { spec: self.spec, scope: self.scope, knobs: self.knobs };
        let value = setter.value(path, literal);
        self.accept(&format!("set.{path}"), value)
    }
}

/// What the values of a spec can be replaced by.
#[derive(Clone, Copy)]
pub(super) struct Setter<'a> {
    pub spec: &'a PerformancePolicySpec,
    pub scope: &'a Scope,
    pub knobs: &'a [Knob],
}

impl Setter<'_> {
    /// Reads a value that stands in the place of the one at `path`.
    ///
    /// # Errors
    /// What is wrong with it, continuing its path.
    pub(super) fn value(self, path: &str, literal: &Literal) -> Result<Move, String> {
        const NOTHING_BEHIND: &str = "is not in the spec, so there would be nothing to go back to";
        if let Some((index, knob)) = self.knobs.iter().enumerate().find(|(_, knob)| *knob.path == *path) {
            return knob_value(self.scope, knob, literal).map(|value| Move::Knob { index, value });
        }
        let segments: Vec<&str> = path.split('.').collect();
        match segments[..] {
            ["replicas", bound @ ("min" | "max")] => {
                let of = if bound == "min" { ReplicasBound::Min } else { ReplicasBound::Max };
                let replicas = self.spec.replicas.as_ref();
                let is_set = replicas.is_some_and(|replicas| match of {
                    ReplicasBound::Min => replicas.min.is_some(),
                    ReplicasBound::Max => replicas.max.is_some(),
                });
                let count = literal.to_string().parse().ok().filter(|count| (1..=10_000).contains(count));
                match count {
                    _ if !is_set => Err(NOTHING_BEHIND.into()),
                    None => Err(format!("must be a whole number ≥ 1 and ≤ 10000, not {literal}")),
                    Some(count) => Ok(Move::Replicas { of, count }),
                }
            }
            ["thresholds", name, "levels", severity, bound @ ("above" | "below")] => {
                self.level((name, severity, bound == "above"), literal).ok_or_else(|| NOTHING_BEHIND.into())
            }
            _ => Err(format!("is nothing that a profile sets: {}", self.beside(path))),
        }
    }

    fn level(self, (name, severity, above): (&str, &str, bool), literal: &Literal) -> Option<Move> {
        let threshold = self.spec.thresholds.iter().position(|threshold| threshold.name == *name);
        let levels = threshold.and_then(|index| self.spec.thresholds.get(index)).map(|threshold| &threshold.levels);
        let level = levels.and_then(|levels| levels.iter().find(|level| word(level.severity) == severity));
        let bound = level.and_then(|level| if above { level.above.as_ref() } else { level.below.as_ref() });
        bound?;
        Some(Move::Level { threshold: threshold?, severity: level?.severity, above, bound: literal.clone() })
    }

    /// What can be set, for somebody who named something else.
    fn beside(self, path: &str) -> String {
        let root = path.split('.').next().unwrap_or_default();
        let known: Vec<&str> = self
            .knobs
            .iter()
            .map(|knob| &*knob.path)
            .filter(|known| known.split('.').next() == Some(root))
            .take(8)
            .collect();
        if known.is_empty() {
            "name a knob of the spec, replicas.min, replicas.max or thresholds.NAME.levels.SEVERITY.above".into()
        } else {
            format!("of {root} the spec sets {}", known.join(", "))
        }
    }
}

/// Reads a value that stands in the place of a knob's own.
fn knob_value(scope: &Scope, knob: &Knob, literal: &Literal) -> Result<Given, String> {
    if let Landing::Resource { .. } = knob.landing {
        let text = literal.to_string();
        let value =
            if knob.kind == ValueType::Cpu { Value::parse(ValueType::Cpu, &text) } else { Value::parse_memory(&text) };
        let value = value.map_err(|error| error.to_string())?;
        if value.amount() <= Some(Decimal::ZERO) {
            return Err(format!("must be > 0, not {value}"));
        }
        return Ok(Given::Literal(value));
    }
    let field = Field { kind: knob.kind, range: knob.range.clone() };
    read_given(scope, &field, literal, knob.container.as_deref())
}

#[cfg(test)]
mod tests;
