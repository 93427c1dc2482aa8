//! Rules over all knobs of a policy, as a chain of small checks.

use std::collections::BTreeMap;

use super::{File, Invalid, Knob, Landing, Range, Trouble, Worked, derivation, shape};
use crate::{
    api::{
        PerformancePolicySpec,
        conditions::Reason,
        policy::{OnConflict, TargetKind},
    },
    core::{
        catalogue,
        facts::Kind,
        units::{Decimal, MAX_TTL, Value, ValueType},
    },
};

/// Runs every rule about where knobs land.
pub(super) fn check(knobs: &[Knob], spec: &PerformancePolicySpec, files: &[File], wrong: &mut Vec<Invalid>) {
    for knob in knobs {
        arguments_take_over(knob, wrong); // `args` is one atomic list
        bounds_have_order(knob, wrong); // a word has none
        lands_in_its_target(knob, spec, wrong); // pod templates and fields are different targets
        fits_its_field(knob, wrong); // a text where a number is read
        carries_no_secret(knob, wrong); // policies are read by many
    }
    one_knob_per_place(knobs, files, wrong); // two values for one place contradict each other
    whole_keys_hold_no_places(knobs, files, wrong); // what fills a key leaves no document to edit
    replicas_ordered(spec, wrong); // min ≤ max
}

/// Runs every rule about values, as far as they are known.
pub(super) fn check_values(
    knobs: &[Knob],
    worked: &[Result<Worked, Trouble>],
    spec: &PerformancePolicySpec,
    wrong: &mut Vec<Invalid>,
) {
    let mut known: Vec<(&Knob, &Worked)> = Vec::new();
    for (knob, worked) in knobs.iter().zip(worked) {
        match worked {
            Ok(worked) => known.push((knob, worked)),
            Err(Trouble::Wrong(message)) => refuse(wrong, Reason::FormulaFailed, knob, message.clone()),
            // What it needs is either still to come or has been refused itself.
            Err(Trouble::Needs(_) | Trouble::Follows(_)) => {}
        }
    }
    for (knob, worked) in &known {
        within_bounds(knob, worked, wrong); // min ≤ value ≤ max
        within_range(knob, worked, wrong); // what the field is for
        spelled(knob, worked, wrong); // the value can be written as `as` says
    }
    requests_below_limits(&known, wrong); // what admission of pods would refuse
    pairs_in_order(&known, spec, wrong); // minIdle ≤ size, ttl ≤ maxStaleness
}

fn refuse(wrong: &mut Vec<Invalid>, reason: Reason, knob: &Knob, message: String) {
    wrong.push(Invalid { reason, path: knob.path.to_string(), message });
}

/// The value for a message, with the formula that it comes from.
fn told(knob: &Knob, worked: &Worked) -> String {
    match &worked.filled {
        Some(filled) => format!("{} ({})", worked.value, derivation(&knob.value.to_string(), filled)),
        None => worked.value.to_string(),
    }
}

fn bounds_have_order(knob: &Knob, wrong: &mut Vec<Invalid>) {
    if matches!(knob.kind, ValueType::Boolean | ValueType::Enum) && (knob.min.is_some() || knob.max.is_some()) {
        refuse(wrong, Reason::InvalidSpec, knob, "has bounds, but its type has no order: remove min and max".into());
    }
}

fn carries_no_secret(knob: &Knob, wrong: &mut Vec<Invalid>) {
    let words = match &knob.range {
        Range::Words(words) => &**words,
        Range::All | Range::From(..) | Range::Seconds(_) => &[],
    };
    let value = match knob.value.literal() {
        Some(Value::Enum(word)) => Some(&**word),
        _ => None,
    };
    // The value is not repeated: messages end up in logs and statuses.
    if words.iter().map(AsRef::as_ref).chain(value).any(catalogue::is_secret) {
        let message =
            "must not be a connection string or a secret: keep it in a Secret and let the owner set it by valueFrom";
        refuse(wrong, Reason::InvalidSpec, knob, message.into());
    }
}

fn within_bounds(knob: &Knob, worked: &Worked, wrong: &mut Vec<Invalid>) {
    let Worked { value, min, max, shared, .. } = worked;
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        refuse(wrong, Reason::BoundsInverted, knob, format!("min must be ≤ max, but {min} > {max}"));
    // What a budget leaves to a pool for now may be less than it accepts in the end.
    } else if let Some(min) = min.as_ref().filter(|min| *min > value && !shared) {
        refuse(wrong, Reason::BoundsInverted, knob, format!("must be ≥ min ({min}), not {value}"));
    } else if let Some(max) = max.as_ref().filter(|max| *max < value) {
        refuse(wrong, Reason::BoundsInverted, knob, format!("must be ≤ max ({max}), not {value}"));
    }
}

fn within_range(knob: &Knob, worked: &Worked, wrong: &mut Vec<Invalid>) {
    let amount = worked.value.amount();
    let least = |least: i64| amount < Some(Decimal::from_int(least));
    let message = match &knob.range {
        Range::From(number, says) if least(*number) => format!("{says}, not {}", told(knob, worked)),
        Range::Seconds(seconds) if least(*seconds) => format!("must be ≥ {seconds}s, not {}", told(knob, worked)),
        Range::Seconds(_) if amount > MAX_TTL.amount() => format!("must be ≤ 30d, not {}", told(knob, worked)),
        Range::Words(words) => {
            let Value::Enum(word) = &worked.value else { return };
            if shape::enum_words(word, knob.format).all(|word| words.iter().any(|known| **known == *word)) {
                return;
            }
            format!("must be one of {}, not {}", words.join(", "), told(knob, worked))
        }
        Range::All | Range::From(..) | Range::Seconds(_) => return,
    };
    refuse(wrong, Reason::InvalidSpec, knob, message);
}

fn spelled(knob: &Knob, worked: &Worked, wrong: &mut Vec<Invalid>) {
    if !knob.landing.is_written() || matches!(knob.landing, Landing::Resource { .. }) {
        return;
    }
    let written = knob.render(&worked.value);
    let fits = written.and_then(|text| match &knob.landing {
        // What does not fit the type of the field has been said already.
        Landing::Field(place) if place.accepts(knob.kind, knob.format).is_ok() => place.json(&text).map(drop),
        _ => Ok(()),
    });
    if let Err(error) = fits {
        let message = match &worked.filled {
            Some(filled) => format!("{error} ({})", derivation(&knob.value.to_string(), filled)),
            None => error,
        };
        refuse(wrong, Reason::InvalidSpec, knob, message);
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

fn lands_in_its_target(knob: &Knob, spec: &PerformancePolicySpec, wrong: &mut Vec<Invalid>) {
    let Some(kind) = spec.target.as_ref().map(|target| target.kind).filter(|kind| !kind.is_workload()) else { return };
    match &knob.landing {
        Landing::Field(_) | Landing::Variable | Landing::NotEnforceable(_) => {}
        Landing::Env(_)
        | Landing::Arg(_)
        | Landing::Option(_)
        | Landing::Resource { .. }
        | Landing::Sysctl(_)
        | Landing::Document { .. }
        | Landing::ConfigMapKey { .. } => {
            let message = format!("lands in a workload, but the target is a {}: use field", kind_name(kind));
            refuse(wrong, Reason::InvalidSpec, knob, message);
        }
    }
    if knob.container.is_some() && !matches!(knob.landing, Landing::Resource { .. }) {
        refuse(wrong, Reason::InvalidSpec, knob, format!("has a container, but a {} has none", kind_name(kind)));
    }
}

fn kind_name(kind: TargetKind) -> &'static str {
    Kind::from(kind).as_str()
}

fn fits_its_field(knob: &Knob, wrong: &mut Vec<Invalid>) {
    if let Landing::Field(place) = &knob.landing
        && let Err(message) = place.accepts(knob.kind, knob.format)
    {
        refuse(wrong, Reason::InvalidSpec, knob, message);
    }
    if knob.allow_destructive && (knob.value.literal().is_none() || !matches!(knob.landing, Landing::Field(_))) {
        let message = "has allowDestructive, which is for a literal with field: no formula deletes data".into();
        refuse(wrong, Reason::InvalidSpec, knob, message);
    }
}

fn one_knob_per_place(knobs: &[Knob], files: &[File], wrong: &mut Vec<Invalid>) {
    let mut places: BTreeMap<String, &Knob> = BTreeMap::new();
    for knob in knobs {
        let container = knob.container.as_deref().unwrap_or("");
        let place = match &knob.landing {
            Landing::Variable | Landing::NotEnforceable(_) => continue,
            Landing::Env(name) => format!("env {name} of {container}"),
            Landing::Arg(flag) => format!("argument {flag} of {container}"),
            Landing::Option(known) => format!("option {} of {container}", known.token),
            Landing::Document { file, at, .. } => match files.get(*file) {
                Some(file) => format!("{at} in {}/{}", file.config_map, file.key),
                None => continue,
            },
            Landing::ConfigMapKey { name, key, .. } => format!("{name}/{key}"),
            Landing::Resource { bucket, resource } => format!("{bucket}.{resource} of {container}"),
            Landing::Field(place) => place.to_string(),
            Landing::Sysctl(name) => format!("sysctl {name}"),
        };
        if let Some(first) = places.get(&place) {
            refuse(wrong, Reason::InvalidSpec, knob, format!("lands where {} lands already: {place}", first.path));
        } else {
            places.insert(place, knob);
        }
    }
}

fn whole_keys_hold_no_places(knobs: &[Knob], files: &[File], wrong: &mut Vec<Invalid>) {
    for knob in knobs {
        let Landing::Document { file, .. } = &knob.landing else { continue };
        let Some(file) = files.get(*file) else { continue };
        let whole = |other: &&Knob| matches!(&other.landing, Landing::ConfigMapKey { name, key, .. } if *name == file.config_map && *key == file.key);
        if let Some(other) = knobs.iter().find(whole) {
            let message = format!(
                "edits the key {} of ConfigMap/{}, which {} fills as a whole: use one of path and configMapKey",
                file.key, file.config_map, other.path
            );
            refuse(wrong, Reason::InvalidSpec, knob, message);
        }
    }
}

fn requests_below_limits(known: &[(&Knob, &Worked)], wrong: &mut Vec<Invalid>) {
    for (request, requested) in known {
        let Landing::Resource { bucket: "requests", resource } = request.landing else { continue };
        let limit = known.iter().find(|(knob, _)| {
            knob.container == request.container && knob.landing == Landing::Resource { bucket: "limits", resource }
        });
        if let Some((_, limit)) = limit.filter(|(_, limit)| limit.value.amount() < requested.value.amount()) {
            refuse(
                wrong,
                Reason::BoundsInverted,
                request,
                format!("must be ≤ the limit ({}), not {}", limit.value, requested.value),
            );
        }
    }
}

fn pairs_in_order(known: &[(&Knob, &Worked)], spec: &PerformancePolicySpec, wrong: &mut Vec<Invalid>) {
    let find = |path: String| known.iter().find(|(knob, _)| *knob.path == *path);
    for pool in &spec.pools {
        let at = |member: &str| find(format!("pools.{}.{member}", pool.name));
        if let (Some((knob, idle)), Some((_, size))) = (at("minIdle"), at("size"))
            && idle.value > size.value
        {
            let message = format!("must be ≤ size ({}), not {}", size.value, told(knob, idle));
            refuse(wrong, Reason::BoundsInverted, knob, message);
        }
    }
    for cache in &spec.caches {
        let staleness = cache.max_staleness.as_ref();
        let Some(bound) = staleness.and_then(|text| Value::parse(ValueType::Duration, text).ok()) else { continue };
        if let Some((knob, ttl)) = find(format!("caches.{}.ttl", cache.name)).filter(|(_, ttl)| ttl.value > bound) {
            let message = format!("must be ≤ maxStaleness ({bound}), not {}", told(knob, ttl));
            refuse(wrong, Reason::BoundsInverted, knob, message);
        }
    }
}

fn replicas_ordered(spec: &PerformancePolicySpec, wrong: &mut Vec<Invalid>) {
    if let Some(replicas) = &spec.replicas
        && let (Some(min), Some(max)) = (replicas.min, replicas.max)
        && min > max
    {
        replicas_inverted(min.into(), max.into(), wrong);
    }
}

pub(super) fn replicas_inverted(min: i64, max: i64, wrong: &mut Vec<Invalid>) {
    wrong.push(Invalid {
        reason: Reason::BoundsInverted,
        path: "replicas".into(),
        message: format!("min must be ≤ max, but {min} > {max}"),
    });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::{api::PerformancePolicy, core::policy::Policy};

    #[track_caller]
    fn refused(target: &Json, knob: &Json, says: &[&str]) {
        let spec = json!({"target": target, "settings": [knob]});
        let policy: PerformancePolicy = serde_json::from_value(json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"name": "p"}, "spec": spec,
        }))
        .unwrap();
        let said: Vec<String> =
            Policy::parse(&policy).err().unwrap_or_default().iter().map(ToString::to_string).collect();
        assert_eq!(said, says);
    }

    fn stream() -> Json {
        json!({"apiVersion": "jetstream.nats.io/v1beta2", "kind": "Stream", "name": "s"})
    }

    fn with(more: &Json) -> Json {
        let mut knob = json!({"name": "a"});
        knob.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        knob
    }

    #[test]
    fn a_value_lands_in_its_target_or_is_told_where() {
        refused(&stream(), &with(&json!({"value": 1, "field": "spec.maxMsgs"})), &[]);
        refused(
            &stream(),
            &with(&json!({"value": 1, "env": "A"})),
            &["settings.a lands in a workload, but the target is a Stream: use field"],
        );
        refused(
            &json!({"kind": "Deployment", "name": "api"}),
            &with(&json!({"value": 1, "field": "spec.paused"})),
            &["settings.a.field is for targets other than workloads: use env, arg, path or configMapKey"],
        );
        refused(
            &stream(),
            &with(&json!({"value": 1, "field": "spec.maxMsgs", "container": "api"})),
            &["settings.a has a container, but a Stream has none"],
        );
        refused(
            &json!({"kind": "Stream", "name": "s"}),
            &with(&json!({"value": 1, "field": "spec.maxMsgs"})),
            &["target.apiVersion must be jetstream.nats.io/v1beta2"],
        );
    }

    #[test]
    fn a_value_fits_its_field_or_is_told_what_would() {
        refused(
            &stream(),
            &with(&json!({"type": "Bytes", "value": "10Gi", "as": "mebibytes", "field": "spec.maxBytes"})),
            &[
                "settings.a lands in spec.maxBytes, which is a whole number of bytes: use type Bytes and as: bytes, or type \
               Integer",
            ],
        );
        refused(
            &stream(),
            &with(&json!({"type": "Duration", "value": "7d", "as": "plain", "field": "spec.maxAge"})),
            &["settings.a lands in spec.maxAge, which is a Go duration: use type Duration and as: go"],
        );
        refused(
            &stream(),
            &with(&json!({"value": 6, "field": "spec.replicas"})),
            &["settings.a lands in spec.replicas, which must be a whole number ≥ 1 and ≤ 5, not 6"],
        );
        refused(
            &stream(),
            &with(&json!({"type": "Bytes", "value": "4Gi", "as": "bytes", "field": "spec.maxMsgSize"})),
            &[
                "settings.a lands in spec.maxMsgSize, which must be a whole number ≥ -1 and ≤ 2147483647, not 4294967296",
            ],
        );
        let cluster = json!({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": "pg"});
        refused(
            &cluster,
            &with(&json!({"value": 1, "field": "spec.postgresql.parameters.port"})),
            &["settings.a.field must not be port: CloudNativePG sets it itself"],
        );
    }
}
