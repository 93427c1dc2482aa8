//! The number of pods: the bounds of the autoscaler where there is one, else a clamp.

use serde_json::{Value as Json, json};

use super::{
    Change, Conflict, Plan, Purpose, Setting, Situation, State, Step,
    claim::{self, Part, Wish},
};
use crate::{
    api::{conditions::Reason, names, policy::OnConflict},
    core::{
        facts::{Kind, Object},
        ownership::{self, FieldPath, Holder},
        policy::Replicas,
        resolve::{Source, source},
    },
};

/// How often within [`super::CONTEST`] a workload is scaled back into the bounds. Once more would be a fight.
const SCALINGS: usize = 2;

/// Plans the number of pods.
pub(super) fn plan(situation: &Situation<'_>, plan: &mut Plan) {
    let target = situation.target;
    let me = names::manager(situation.policy.identity.name());
    // A scale of ours leaves an entry that would make the owner's next apply a conflict.
    if let Some(patch) = ownership::release_updates(target, &me, &[]) {
        plan.steps.push(Step::Json {
            object: target.key.clone(),
            subresource: None,
            patch,
            purpose: Purpose::Release,
            disruptive: false,
            changes: Vec::new(),
        });
    }
    let Some(replicas) = &situation.policy.replicas else {
        release_autoscaler(situation, plan);
        return;
    };
    match (target.key.kind, situation.autoscaler) {
        (Kind::DaemonSet, _) => plan.refuse(
            Reason::ReplicasUnsupported,
            format!("{} has as many pods as there are nodes: remove replicas from the policy", target.key.short()),
            false,
        ),
        (_, Some(autoscaler)) => bounds(situation, autoscaler, replicas, plan),
        (_, None) => clamp(situation, replicas, plan),
    }
}

/// Bounds that the policy no longer asks for are given back.
fn release_autoscaler(situation: &Situation<'_>, plan: &mut Plan) {
    if let Some(autoscaler) = situation.autoscaler
        && !ownership::owned(&autoscaler.meta, &names::manager(situation.policy.identity.name())).is_empty()
    {
        claim::plan(situation, autoscaler, Vec::new(), plan);
    }
}

/// Where bounds of the number of pods land, for people.
pub(super) fn landings(replicas: &Replicas, target: &Object, autoscaler: Option<&Object>) -> Vec<String> {
    let Some(autoscaler) = autoscaler else { return vec![scale_of(target)] };
    let fields = [("minReplicas", replicas.min), ("maxReplicas", replicas.max)];
    fields.into_iter().filter(|(_, want)| want.is_some()).map(|(field, _)| bound_of(field, autoscaler)).collect()
}

fn bound_of(field: &str, autoscaler: &Object) -> String {
    format!("{field} of {}", autoscaler.key.short())
}

fn scale_of(target: &Object) -> String {
    format!("scale of {}", target.key.short())
}

fn bounds(situation: &Situation<'_>, autoscaler: &Object, replicas: &Replicas, plan: &mut Plan) {
    if let Some(owner) = &autoscaler.meta.controller {
        plan.conflicts.push(Conflict {
            reason: Reason::ManagedByAutoscaler,
            object: autoscaler.key.clone(),
            path: "replicas".into(),
            message: format!(
                "{} is made by {} \"{}\", which would undo any change: set its bounds there",
                autoscaler.key.short(),
                owner.kind,
                owner.name
            ),
        });
        return;
    }
    let live = |member: &str| autoscaler.integer(&format!("/spec/{member}"));
    let min = replicas.min.or_else(|| live("minReplicas")).unwrap_or(1);
    let max = replicas.max.or_else(|| live("maxReplicas")).unwrap_or(i64::MAX);
    if min > max {
        plan.refuse(
            Reason::BoundsConflictWithTarget,
            format!(
                "replicas asks for at least {min}, but {} allows at most {max}: set both in the policy",
                autoscaler.key.short()
            ),
            false,
        );
        return;
    }
    let wishes = [("min", "minReplicas", replicas.min), ("max", "maxReplicas", replicas.max)]
        .into_iter()
        .filter_map(|(member, field, want)| Some((member, field, want?)))
        .map(|(member, field, want)| Wish {
            landing: bound_of(field, autoscaler),
            field: FieldPath::of(&["spec", field]),
            value: json!(want),
            on_conflict: replicas.on_conflict,
            read_at_start: None,
            parts: vec![Part {
                path: format!("replicas.{member}").into(),
                text: want.to_string(),
                live: live(field).map(|n| n.to_string()),
                source: Some(source(situation.policy, &format!("replicas.{member}"), Source::Spec).to_string()),
                piece: None,
            }],
            cleared: None,
        })
        .collect();
    claim::plan(situation, autoscaler, wishes, plan);
}

fn clamp(situation: &Situation<'_>, replicas: &Replicas, plan: &mut Plan) {
    let target = situation.target;
    let live = target.integer("/spec/replicas").unwrap_or(1);
    // Zero is how people switch a workload off; no bound brings it back.
    let want = if live == 0 { 0 } else { live.clamp(replicas.min.unwrap_or(1), replicas.max.unwrap_or(i64::MAX)) };
    let bounds = [replicas.min.map(|n| format!("≥ {n}")), replicas.max.map(|n| format!("≤ {n}"))];
    let mut setting = Setting {
        path: "replicas".into(),
        object: target.key.clone(),
        field: None,
        landing: scale_of(target),
        desired: bounds.into_iter().flatten().collect::<Vec<_>>().join(" and "),
        live: Some(live.to_string()),
        source: "spec".into(),
        state: State::AtRest,
        why: None,
    };
    if let Some(elder) = situation.memory.elders.get(&setting.landing) {
        setting.state = State::Yielded;
        plan.conflicts.push(Conflict {
            reason: Reason::KnobOwnedBy,
            object: target.key.clone(),
            path: "replicas".into(),
            message: format!(
                "{} is governed by the older policy \"{elder}\": remove replicas from one of the two",
                setting.landing
            ),
        });
    } else if want != live {
        let field = FieldPath::of(&["spec", "replicas"]);
        let others: Vec<Holder> = ownership::holders(&target.meta, &field);
        let insists = |holder: &&Holder| holder.is_applier() && ownership::declares(&target.meta, holder, &field);
        let applier = others.iter().find(insists);
        if let (Some(applier), OnConflict::Yield) = (applier, replicas.on_conflict) {
            setting.state = State::Yielded;
            plan.conflicts.push(Conflict {
                reason: Reason::FieldManagerConflict,
                object: target.key.clone(),
                path: "replicas".into(),
                message: format!(
                    "spec.replicas of {} is owned by \"{}\". {}",
                    target.key.short(),
                    applier.manager,
                    applier.advice()
                ),
            });
        } else if situation.memory.scalings >= SCALINGS {
            setting.state = State::Yielded;
            let advice = match applier {
                Some(applier) => format!("\"{}\" sets it: {}", applier.manager, applier.advice()),
                None => "find out who scales it, and widen the bounds or stop that".to_owned(),
            };
            plan.conflicts.push(Conflict {
                reason: Reason::Contested,
                object: target.key.clone(),
                path: "replicas".into(),
                message: format!(
                    "{} left the bounds again after Trimtab scaled it {SCALINGS} times within an hour: it has stopped. \
                     {advice}",
                    target.key.short()
                ),
            });
        } else {
            setting.state = State::Planned;
            let because = format!("replicas must be {}", setting.desired);
            let change = Change {
                object: target.key.clone(),
                path: "replicas".into(),
                from: Some(live.to_string()),
                to: Some(want.to_string()),
                because,
            };
            plan.changes.push(change.clone());
            plan.steps.push(Step::Json {
                object: target.key.clone(),
                subresource: Some("scale"),
                patch: Json::Array(vec![
                    ownership::precondition(target),
                    json!({"op": "add", "path": "/spec/replicas", "value": want}),
                ]),
                purpose: Purpose::Scale,
                disruptive: false,
                changes: vec![change],
            });
        }
    }
    plan.settings.push(setting);
}
