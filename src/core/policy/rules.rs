//! Rules over all knobs of a policy, as a chain of small checks.

use std::collections::BTreeMap;

use super::{File, Invalid, Knob, Landing};
use crate::api::{PerformancePolicySpec, conditions::Reason, policy::OnConflict};

/// Runs every rule.
pub(super) fn check(knobs: &[Knob], spec: &PerformancePolicySpec, files: &[File], wrong: &mut Vec<Invalid>) {
    for knob in knobs {
        within_bounds(knob, wrong); // min ≤ value ≤ max
        spelled(knob, wrong); // the value can be written as `as` says
        arguments_take_over(knob, wrong); // `args` is one atomic list
    }
    one_knob_per_place(knobs, files, wrong); // two values for one place contradict each other
    requests_below_limits(knobs, wrong); // what admission of pods would refuse
    replicas_ordered(spec, wrong); // min ≤ max
}

fn refuse(wrong: &mut Vec<Invalid>, reason: Reason, knob: &Knob, message: String) {
    wrong.push(Invalid { reason, path: knob.path.to_string(), message });
}

fn within_bounds(knob: &Knob, wrong: &mut Vec<Invalid>) {
    let Some(value) = knob.value.amount() else {
        if knob.min.is_some() || knob.max.is_some() {
            refuse(
                wrong,
                Reason::InvalidSpec,
                knob,
                "has bounds, but its type has no order: remove min and max".into(),
            );
        }
        return;
    };
    if let (Some(min), Some(max)) = (&knob.min, &knob.max)
        && min.amount() > max.amount()
    {
        refuse(wrong, Reason::BoundsInverted, knob, format!("min must be ≤ max, but {min} > {max}"));
    } else if let Some(min) = knob.min.as_ref().filter(|min| min.amount() > Some(value)) {
        refuse(wrong, Reason::BoundsInverted, knob, format!("must be ≥ min ({min}), not {}", knob.value));
    } else if let Some(max) = knob.max.as_ref().filter(|max| max.amount() < Some(value)) {
        refuse(wrong, Reason::BoundsInverted, knob, format!("must be ≤ max ({max}), not {}", knob.value));
    }
}

fn spelled(knob: &Knob, wrong: &mut Vec<Invalid>) {
    if matches!(knob.landing, Landing::Variable | Landing::Resource { .. }) {
        return;
    }
    if let Err(error) = knob.value.render(knob.format) {
        refuse(wrong, Reason::InvalidSpec, knob, error.to_string());
    }
}

fn arguments_take_over(knob: &Knob, wrong: &mut Vec<Invalid>) {
    if matches!(knob.landing, Landing::Arg(_)) && knob.on_conflict != OnConflict::TakeOver {
        refuse(
            wrong,
            Reason::InvalidSpec,
            knob,
            "lands in args, which is one atomic list: set onConflict: TakeOver, or prefer env".into(),
        );
    }
}

fn one_knob_per_place(knobs: &[Knob], files: &[File], wrong: &mut Vec<Invalid>) {
    let mut places: BTreeMap<String, &Knob> = BTreeMap::new();
    for knob in knobs {
        let container = knob.container.as_deref().unwrap_or("");
        let place = match &knob.landing {
            Landing::Variable => continue,
            Landing::Env(name) => format!("env {name} of {container}"),
            Landing::Arg(flag) => format!("argument {flag} of {container}"),
            Landing::Document { file, at, .. } => match files.get(*file) {
                Some(file) => format!("{at} in {}/{}", file.config_map, file.key),
                None => continue,
            },
            Landing::ConfigMapKey { name, key, .. } => format!("{name}/{key}"),
            Landing::Resource { bucket, resource } => format!("{bucket}.{resource} of {container}"),
        };
        if let Some(first) = places.get(&place) {
            refuse(wrong, Reason::InvalidSpec, knob, format!("lands where {} lands already: {place}", first.path));
        } else {
            places.insert(place, knob);
        }
    }
}

fn requests_below_limits(knobs: &[Knob], wrong: &mut Vec<Invalid>) {
    for request in knobs {
        let Landing::Resource { bucket: "requests", resource } = request.landing else { continue };
        let limit = knobs.iter().find(|knob| {
            knob.container == request.container && knob.landing == Landing::Resource { bucket: "limits", resource }
        });
        if let Some(limit) = limit.filter(|limit| limit.value.amount() < request.value.amount()) {
            refuse(
                wrong,
                Reason::BoundsInverted,
                request,
                format!("must be ≤ the limit ({}), not {}", limit.value, request.value),
            );
        }
    }
}

fn replicas_ordered(spec: &PerformancePolicySpec, wrong: &mut Vec<Invalid>) {
    if let Some(replicas) = &spec.replicas
        && let (Some(min), Some(max)) = (replicas.min, replicas.max)
        && min > max
    {
        wrong.push(Invalid {
            reason: Reason::BoundsInverted,
            path: "replicas".into(),
            message: format!("min must be ≤ max, but {min} > {max}"),
        });
    }
}
