//! Formulas follow from what is on the target, and not only from what the policy asks for.
//!
//! Whether a value is written is known once it has been planned: it may be somebody else's, or have failed. So a target is
//! planned in rounds. Whoever reads a value that stays as it is, is worked out once more from the value that is there.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    Case, Hold, Memory, Orphans, Plan, Refusal, Setting, Situation, State, config_map, objects, round, workload,
};
use crate::{
    api::conditions::Reason,
    core::{
        allocate::Load,
        policy::{Invalid, Knob, Landing, Policy, runtime},
        resolve::{self, Desired, Stays},
        units::Value,
    },
};

/// Plans one target.
///
/// Each round finds at least one more value that stays, so there are at most as many as values that formulas read.
#[must_use]
pub fn plan(case: &Case<'_>) -> Plan {
    let mut inputs: BTreeSet<&str> = case.policy.knobs.iter().flat_map(Knob::inputs).collect();
    // What fits into a limit that is not written, is another question.
    inputs.extend(runtime::inputs(case.policy));
    let mut stays = Stays::new();
    let mut failed: BTreeSet<Box<str>> = BTreeSet::new();
    let mut memory = Cow::Borrowed(case.memory);
    let mut last = Plan::default();
    loop {
        let desired = match resolve::resolve(case.policy, case.target, &stays, &case.memory.shares) {
            Ok(desired) => as_before(case, desired, &failed),
            Err(wrong) => return without_values(case, &memory, last, &wrong),
        };
        let plan = round(&case.with(&desired, &memory));
        let mut more = left(case, &plan, &inputs);
        more.retain(|path, _| !stays.contains_key(path));
        if more.is_empty() {
            let (loads, held) = (loads(case, &desired, &plan), held(case, &desired));
            return Plan { loads, held, ..in_order(case, plan) };
        }
        // What follows from one that has just been found may be another value in the next round.
        let later = followers(case.policy, |path| more.contains_key(path));
        more.retain(|path, _| !later.contains(&**path));
        failed.extend(states(&plan, State::Quarantined).filter(|path| more.contains_key(*path)).map(Into::into));
        // An object that is held is held with other values, too.
        let held: Vec<_> = plan.overridden.iter().filter(|key| !memory.holds.contains_key(key)).cloned().collect();
        if !held.is_empty() {
            memory.to_mut().holds.extend(held.into_iter().map(|key| (key, Hold::Held)));
        }
        stays.extend(more);
        last = plan;
    }
}

impl<'a> Case<'a> {
    const fn with(&self, desired: &'a [Desired<'a>], memory: &'a Memory) -> Situation<'a> {
        let Self { policy, target, autoscaler, config_maps, now, .. } = *self;
        Situation { policy, desired, target, autoscaler, config_maps, memory, now }
    }

    /// What is where a knob lands, as the application reads it.
    fn live(&self, knob: &Knob) -> Option<String> {
        match &knob.landing {
            Landing::Document { .. } | Landing::ConfigMapKey { .. } => {
                config_map::live(self.policy, self.config_maps, &knob.landing)
            }
            Landing::Env(_) | Landing::Arg(_) | Landing::Option(_) | Landing::Resource { .. } | Landing::Sysctl(_) => {
                workload::live(self.policy, self.target, knob)
            }
            Landing::Field(place) => objects::live(self.target, place),
            Landing::Variable | Landing::NotEnforceable(_) => None,
        }
    }
}

/// Paths of settings in a state.
fn states(plan: &Plan, state: State) -> impl Iterator<Item = &str> {
    plan.settings.iter().filter(move |setting| setting.state == state).map(|setting| &*setting.path)
}

/// Values among `inputs` that stay as they are, as far as they can be read.
fn left(case: &Case<'_>, plan: &Plan, inputs: &BTreeSet<&str>) -> Stays {
    if inputs.is_empty() {
        return Stays::new();
    }
    // Followed by what followed from it.
    let goes_back = |setting: &Setting| {
        let is_change = |change: &super::Change| change.path == setting.path && change.object == setting.object;
        setting.live.as_ref() == Some(&setting.desired) || plan.changes.iter().any(is_change)
    };
    let stays = |setting: &&Setting| match setting.state {
        State::Yielded => true,
        State::Quarantined => !goes_back(setting),
        State::Planned => plan.overridden.contains(&setting.object),
        State::AtRest | State::Refused | State::Variable | State::NotEnforceable => false,
    };
    let mut left = Stays::new();
    for setting in plan.settings.iter().filter(stays).filter(|setting| inputs.contains(&*setting.path)) {
        let knob = case.policy.knobs.iter().find(|knob| knob.path == setting.path);
        let value = match knob {
            Some(knob) => case.live(knob).and_then(|text| resolve::read(knob, &text)),
            None => setting.live.as_ref().and_then(|text| text.parse().ok()).map(Value::Integer),
        };
        left.insert(setting.path.clone(), value);
    }
    let managed = plan.conflicts.iter().any(|conflict| conflict.reason == Reason::ManagedByAutoscaler);
    if let Some(autoscaler) = case.autoscaler.filter(|_| managed) {
        for (path, field) in [("replicas.min", "minReplicas"), ("replicas.max", "maxReplicas")] {
            if inputs.contains(path) {
                left.insert(path.into(), autoscaler.integer(&format!("/spec/{field}")).map(Value::Integer));
            }
        }
    }
    left
}

/// Knobs that follow from one of some values, over however many others.
fn followers(policy: &Policy, is_one: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    let mut followers = BTreeSet::new();
    for knob in policy.in_order() {
        if knob.inputs().any(|path| is_one(path) || followers.contains(path)) {
            followers.insert(&*knob.path);
        }
    }
    followers
}

/// What went back together with a value that failed, stays back as long as that one does: nobody has asked for what would
/// follow from the value of before now.
fn as_before<'a>(case: &Case<'a>, desired: Vec<Desired<'a>>, failed: &BTreeSet<Box<str>>) -> Vec<Desired<'a>> {
    if failed.is_empty() {
        return desired;
    }
    let followers = followers(case.policy, |path| failed.contains(path));
    let stays = |desired: &Desired<'_>| {
        followers.contains(&*desired.knob.path) && case.memory.failed_here.contains(&desired.knob.path)
    };
    let as_is = |desired: Desired<'a>| {
        if !stays(&desired) {
            return Some(desired);
        }
        Some(Desired::as_is(desired.knob, case.live(desired.knob)?))
    };
    desired.into_iter().filter_map(as_is).collect()
}

/// A target for which formulas have no value: all that follows from others stays as it is. Nothing is begun, but what failed
/// goes back, and what somebody did to the objects is said as the `last` round found it.
fn without_values(case: &Case<'_>, memory: &Memory, last: Plan, wrong: &[Invalid]) -> Plan {
    let knobs = case.policy.knobs.iter();
    let mut desired: Vec<Desired<'_>> = Vec::new();
    for knob in knobs {
        // A share is less than the literal.
        let literal =
            if case.memory.shares.contains_key(&knob.path) { None } else { resolve::literal(case.policy, knob) };
        desired.extend(literal.or_else(|| Some(Desired::as_is(knob, case.live(knob)?))));
    }
    let mut plan = round(&case.with(&desired, memory));
    let goes_back = !memory.failed_here.is_empty() || memory.orphans == Orphans::TakeBack;
    if !goes_back {
        plan.steps.clear();
    }
    let refusal = |invalid: &Invalid| Refusal {
        reason: invalid.reason,
        message: invalid.to_string(),
        // The pod template may change, too.
        stalled: false,
    };
    for conflict in last.conflicts {
        if !plan.conflicts.iter().any(|known| (known.reason, &known.path) == (conflict.reason, &conflict.path)) {
            plan.conflicts.push(conflict);
        }
    }
    for key in last.overridden {
        if !plan.overridden.contains(&key) {
            plan.overridden.push(key);
        }
    }
    plan.refusals.splice(0..0, wrong.iter().map(refusal));
    plan.held = held(case, &desired);
    plan
}

/// Fewer pods come before more connections in each, and more pods after fewer connections in each.
fn in_order(case: &Case<'_>, mut plan: Plan) -> Plan {
    if case.policy.pools.iter().any(|pool| pool.budget.is_some()) {
        // A stable sort: the rest keeps its order.
        plan.steps.sort_by_key(|step| step.pods().unwrap_or(Ordering::Equal));
    }
    plan
}

/// What the pools add up to with the values that pods may have now.
fn held(case: &Case<'_>, desired: &[Desired<'_>]) -> Vec<Load> {
    let value = |path: &str, of: Option<usize>| {
        let desired = desired.iter().find(|desired| *desired.knob.path == *path)?;
        if desired.knob.landing == Landing::Variable {
            return desired.value.to_i64();
        }
        let rolling = of.and_then(|of| case.memory.rolling.get(path)?.get(of));
        let text = rolling.cloned().unwrap_or_else(|| case.live(desired.knob));
        let live = text.and_then(|text| resolve::read(desired.knob, &text)?.to_i64());
        // A pool that was set opens its connections in however many processes there are, which nobody knows where nothing is said,
        // and beside them those of an overflow, of which the same is true: one process, and no overflow, there are in any case.
        // What comes with the first number of ours is growth then, for which there has to be room.
        match live {
            None if path.starts_with("workers.") => Some(1),
            None if is_overflow(path) => Some(0),
            live => live,
        }
    };
    let mut most = resolve::loads(case.policy, |path| value(path, None), |_| None);
    for of in [0, 1].into_iter().filter(|_| !case.memory.rolling.is_empty()) {
        for load in resolve::loads(case.policy, |path| value(path, Some(of)), |_| None) {
            match most.iter_mut().find(|known| known.pool == load.pool) {
                Some(known) if known.per_pod() < load.per_pod() => *known = load,
                Some(_) => {}
                None => most.push(load),
            }
        }
    }
    most
}

/// Whether a knob is the overflow of a pool.
fn is_overflow(path: &str) -> bool {
    path.starts_with("pools.") && path.ends_with(".overflow")
}

/// What the pools add up to with the values that are there or will be.
fn loads(case: &Case<'_>, desired: &[Desired<'_>], plan: &Plan) -> Vec<Load> {
    let left: BTreeSet<&str> = states(plan, State::Yielded).chain(states(plan, State::Quarantined)).collect();
    let values: BTreeMap<&str, Value> = desired
        .iter()
        .filter_map(|desired| {
            let live = || case.live(desired.knob).and_then(|text| resolve::read(desired.knob, &text));
            let path = &*desired.knob.path;
            let value = match left.contains(path).then(live) {
                None => desired.value.clone(),
                // However many processes there are by themselves, and however large an overflow: what the policy would have is the
                // best that can be said. A pool of which nothing was said would not be counted at all.
                Some(None) if path.starts_with("workers.") || is_overflow(path) => desired.value.clone(),
                Some(live) => live?,
            };
            Some((path, value))
        })
        .collect();
    // What stays cannot become less either: a size makes its pool one that takes all or nothing, and an overflow is its own least.
    let bound = |desired: &Desired<'_>| match &*desired.knob.path {
        path if !left.contains(path) => desired.min.as_ref()?.to_i64(),
        path if is_overflow(path) => values.get(path)?.to_i64(),
        _ => None,
    };
    let bounds: BTreeMap<&str, i64> =
        desired.iter().filter_map(|desired| Some((&*desired.knob.path, bound(desired)?))).collect();
    resolve::loads(case.policy, |path| values.get(path)?.to_i64(), |path| bounds.get(path).copied())
}
