//! What lands in fields of targets that are no workloads: a Cluster, a Pooler, a Stream.

use serde_json::Value as Json;

use super::{
    Conflict, Plan, Refusal, Setting, Situation, State,
    claim::{self, Part, Wish},
    workload::view,
};
use crate::{
    api::{conditions::Reason, names},
    core::{
        catalogue::objects::{self, Effect, Place},
        facts::Object,
        ownership::{self, FieldPath},
        policy::{Knob, Landing, Policy, Profile},
        record::Record,
        resolve::{Desired, Source},
        units::Value,
    },
};

/// Plans the claim on the target.
pub(super) fn plan(situation: &Situation<'_>, plan: &mut Plan) {
    let target = situation.target;
    let mut wishes = Vec::new();
    for desired in situation.desired {
        match &desired.knob.landing {
            Landing::Field(place) => wishes.extend(wish(situation, desired, place, plan)),
            Landing::NotEnforceable(why) => {
                let setting = view(target, desired, "nowhere".into(), None, State::NotEnforceable);
                plan.settings.push(Setting { why: Some(why.clone()), ..setting });
            }
            Landing::Variable => {
                plan.settings.push(view(target, desired, "nowhere".into(), None, State::Variable));
            }
            // A policy with any of these and such a target is not served.
            Landing::Env(_)
            | Landing::Arg(_)
            | Landing::Option(_)
            | Landing::Resource { .. }
            | Landing::Sysctl(_)
            | Landing::Document { .. }
            | Landing::ConfigMapKey { .. } => {}
        }
    }
    plan.claim_hash = claim::plan(situation, target, wishes, plan).hash;
}

/// Where a knob lands on `target`, for people; nothing for what does not land in a field.
pub(super) fn landing(target: &Object, knob: &Knob) -> Option<String> {
    match &knob.landing {
        Landing::Field(place) => Some(landing_of(target, place)),
        _ => None,
    }
}

fn landing_of(target: &Object, place: &Place) -> String {
    let effect = place.restarts().map(|restarts| format!(" ({restarts})")).unwrap_or_default();
    format!("{place} of {}{effect}", target.key.short())
}

/// What is where a knob lands.
pub(super) fn live(target: &Object, place: &Place) -> Option<String> {
    path(place).lookup(&target.content).and_then(|live| place.text(live))
}

fn path(place: &Place) -> FieldPath {
    place.members.iter().fold(FieldPath::default(), |path, member| path.field(member))
}

fn wish(situation: &Situation<'_>, desired: &Desired<'_>, place: &Place, plan: &mut Plan) -> Option<Wish> {
    let (target, knob) = (situation.target, desired.knob);
    let (field, landing) = (path(place), landing_of(target, place));
    let live = field.lookup(&target.content);
    let live_text = live.and_then(|live| place.text(live));
    if let Some(autoscaler) = situation.autoscaler.filter(|_| place.counts_pods()) {
        let message = format!("{landing} is set by {}: set its bounds there", autoscaler.key.short());
        let (reason, object) = (Reason::ManagedByAutoscaler, target.key.clone());
        plan.conflicts.push(Conflict { reason, object, path: knob.path.clone(), message });
        plan.settings.push(view(target, desired, landing, live_text, State::Yielded));
        return None;
    }
    let asked = match (live, &desired.source) {
        // What stays may be something that nobody could have asked for.
        (Some(live), Source::Kept) => Ok(live.clone()),
        _ => place.json(&desired.text),
    };
    let asked = match asked {
        Ok(asked) => asked,
        Err(why) => {
            plan.refuse(Reason::InvalidSpec, format!("{} {why}", knob.path), false);
            plan.settings.push(view(target, desired, landing, live_text, State::Refused));
            return None;
        }
    };
    // Another spelling of the same value is no change, and a claim of `168h0m0s` over `168h` would be a conflict.
    let same = live.filter(|live| **live != asked && is_same(desired, place, live, &asked));
    let (value, text) = match (same, &live_text) {
        (Some(live), Some(text)) => (live.clone(), text.clone()),
        _ => (asked, desired.text.clone()),
    };
    Some(Wish {
        landing,
        field,
        value,
        on_conflict: knob.on_conflict,
        read_at_start: None,
        parts: vec![Part::whole(desired, text, live_text)],
        cleared: None,
    })
}

fn is_same(desired: &Desired<'_>, place: &Place, live: &Json, asked: &Json) -> bool {
    if let (Json::Array(live), Json::Array(asked)) = (live, asked) {
        // JetStream reads lists as sets.
        return live.len() == asked.len() && asked.iter().all(|word| live.contains(word));
    }
    let read = |text: String| Value::read(desired.knob.kind, desired.knob.format, &text);
    live.is_string() && place.text(live).and_then(read).as_ref() == Some(&desired.value)
}

/// Why a field must not be changed from what it is to `value`, whoever asks for it.
pub(super) fn bar(situation: &Situation<'_>, path: &str, live: Option<&Json>, value: Option<&Json>) -> Option<Refusal> {
    let desired = situation.desired.iter().find(|desired| *desired.knob.path == *path)?;
    let Landing::Field(place) = &desired.knob.landing else { return None };
    let target = situation.target;
    let refusal = |reason: Reason, message: String| Some(Refusal { reason, message, stalled: false });
    if let Some(why) = objects::prevents_updates(target) {
        return refusal(Reason::TargetPreventsUpdate, format!("{} is not written: {why}", target.key.short()));
    }
    // Where a profile sets the value, leaving it would be what lowers it, and nobody would have asked for that.
    let mut set = situation.policy.profiles.iter().flat_map(Profile::knobs);
    let moves = set.any(|(index, _)| situation.policy.knobs.get(index).is_some_and(|knob| *knob.path == *path));
    let by_hand = desired.knob.allow_destructive && desired.source == Source::Spec && !moves;
    match place.effect(live, value) {
        Effect::Harmless => None,
        Effect::Impossible(why) => refusal(Reason::FieldFixed, format!("{}: {why}", target.key.short())),
        Effect::Destructive(_) if by_hand => None,
        Effect::Destructive(why) => {
            let way_out = match desired.source {
                Source::Spec if !moves => format!("set allowDestructive: true on {path} if that is meant"),
                Source::Rollback { .. } => {
                    format!("a rollback may not do that: set {path} in the policy if that is meant")
                }
                Source::Spec
                | Source::Formula { .. }
                | Source::Profile { .. }
                | Source::Share { .. }
                | Source::Kept => {
                    format!("only a literal of {path} that no profile sets may do that")
                }
            };
            refusal(Reason::DestructiveChange, format!("{}: {why}: {way_out}", target.key.short()))
        }
    }
}

/// Why what was in fields of `object` before a policy cannot be put back. `policy`: what is left of it, if it can be read.
#[must_use]
pub fn bars_restore(object: &Object, name: &str, uid: &str, policy: Option<&Policy>) -> Option<(Reason, String)> {
    if !object.key.kind.is_foreign() {
        return None;
    }
    let record = Record::of(&object.meta, name).and_then(Result::ok).filter(|record| record.uid == uid)?;
    let owned = ownership::owned(&object.meta, &names::manager(name));
    let mut changes = record.paths.iter().filter_map(|(field, was)| {
        let live = field.lookup(&object.content);
        (owned.contains(field) && live != was.as_ref()).then_some((field, live, was.as_ref()))
    });
    changes.find_map(|(field, live, was)| {
        let text = field.to_string();
        let place = objects::find(object.key.kind, text.trim_start_matches('.')).ok()?;
        if let Some(why) = objects::prevents_updates(object) {
            return Some((Reason::TargetPreventsUpdate, format!("{}: {why}", object.key.short())));
        }
        let knobs = policy.into_iter().flat_map(|policy| &policy.knobs);
        let allowed =
            knobs.filter(|knob| knob.allow_destructive).any(|knob| knob.landing == Landing::Field(place.clone()));
        match place.effect(live, was) {
            Effect::Harmless => None,
            Effect::Destructive(_) if allowed => None,
            Effect::Impossible(why) => Some((Reason::FieldFixed, format!("{}: {why}", object.key.short()))),
            Effect::Destructive(why) => Some((
                Reason::DestructiveChange,
                format!("{}: {why}; set allowDestructive: true on its knob if that is meant", object.key.short()),
            )),
        }
    })
}
