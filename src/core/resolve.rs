//! Desired values: what every knob of a policy shall be on one target, and where each value comes from.
//!
//! Whatever computes a value says what it was in [`Source`], and everything behind this room sees values only.

use std::{collections::BTreeMap, fmt};

use super::{
    allocate::Load,
    catalogue,
    facts::Object,
    policy::{Amount, Clamp, Invalid, Knob, Landing, Policy, Pool, Trouble, Worked, derivation, thresholds::Metric},
    units::{ResourceQuantity, Value, ValueType},
};
use crate::api::{PerformanceClassSpec, conditions::Reason, policy::Mode};

/// Rules of a class, defaults applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Name of the class; `None`: the built-in limits.
    pub class: Option<Box<str>>,
    /// The class as written.
    pub spec: PerformanceClassSpec,
}

impl Rules {
    /// The limits that hold when there is no class.
    #[must_use]
    pub fn built_in() -> Self {
        Self { class: None, spec: PerformanceClassSpec::default() }
    }

    /// Objects that one policy may govern.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.limit(|limits| limits.targets, 50)
    }

    /// Rollouts of ours under way in one namespace.
    #[must_use]
    pub fn rollouts_per_namespace(&self) -> usize {
        self.limit(|limits| limits.rollouts_per_namespace, 1)
    }

    /// Rollouts of ours under way in the cluster.
    #[must_use]
    pub fn rollouts_per_cluster(&self) -> usize {
        self.limit(|limits| limits.rollouts_per_cluster, 3)
    }

    /// How the class is called in messages.
    #[must_use]
    pub fn name(&self) -> String {
        self.class.as_ref().map_or_else(|| "the built-in limits".to_owned(), |name| format!("class \"{name}\""))
    }

    fn limit(&self, read: impl Fn(&crate::api::class::Limits) -> Option<u32>, default: usize) -> usize {
        let set = self.spec.limits.as_ref().and_then(read);
        set.map_or(default, |n| usize::try_from(n).unwrap_or(usize::MAX))
    }
}

/// Where a desired value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A literal of the spec.
    Spec,
    /// A formula of the spec.
    Formula {
        /// As written: `= limits.memory - 600Mi`.
        formula: Box<str>,
        /// With the numbers in the place of their names: `2Gi - 600Mi`.
        filled: Box<str>,
        /// The bound that its value was moved to.
        clamped: Option<Clamp>,
    },
    /// It stays as it is, because it cannot be worked out or went back with a value that failed.
    Kept,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (formula, filled, clamped) = match self {
            Self::Spec => return f.write_str("spec"),
            Self::Kept => return f.write_str("what is there"),
            Self::Formula { formula, filled, clamped } => (formula, filled, clamped),
        };
        f.write_str(&derivation(formula, filled))?;
        f.write_str(match clamped {
            None => "",
            Some(Clamp::Min) => ", raised to min",
            Some(Clamp::Max) => ", lowered to max",
        })
    }
}

/// What a knob shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired<'a> {
    /// The knob.
    pub knob: &'a Knob,
    /// Its value, within its bounds.
    pub value: Value,
    /// The value as it is written where it lands.
    pub text: String,
    /// Where the value comes from.
    pub source: Source,
}

impl<'a> Desired<'a> {
    fn new(knob: &'a Knob, worked: Worked) -> Self {
        let Worked { value, filled, clamped, .. } = worked;
        let source = filled.map_or(Source::Spec, |filled| Source::Formula {
            formula: knob.value.to_string().into(),
            filled,
            clamped,
        });
        // What lands has been rendered by `check_values`, so the alternative is for variables only.
        let text = value.render(knob.format).unwrap_or_else(|_| value.to_string());
        Self { knob, value, text, source }
    }

    /// A knob that stays as it is.
    #[must_use]
    pub fn as_is(knob: &'a Knob, text: String) -> Self {
        let value = read(knob, &text).unwrap_or_else(|| Value::Enum(text.clone()));
        Self { knob, value, text, source: Source::Kept }
    }
}

/// What a knob shall be, if that needs no working out.
#[must_use]
pub fn literal(knob: &Knob) -> Option<Desired<'_>> {
    let value = knob.value.literal().filter(|_| !knob.is_derived())?.clone();
    Some(Desired::new(knob, Worked { value, min: None, max: None, filled: None, clamped: None }))
}

/// Values of knobs that stay on a target whatever the policy says, because somebody else owns their place or because what
/// the policy asks for failed there. By the path in the policy; nothing where the text could not be read.
pub type Stays = BTreeMap<Box<str>, Option<Value>>;

/// Works out every knob of `policy` for `target`.
///
/// A formula follows from what is on the target: where the policy sets no limit, from the pod template's, and where a knob is
/// not written, from the value that `stays`.
///
/// # Errors
/// Formulas that have no value on this target, and values that contradict each other.
pub fn resolve<'a>(policy: &'a Policy, target: &Object, stays: &Stays) -> Result<Vec<Desired<'a>>, Vec<Invalid>> {
    let worked = policy.work_out(|path| stays.get(path).cloned(), |amount| template(target, amount));
    let mut wrong = policy.check_values(&worked);
    // A formula that means "the only container" means none of several.
    if target.items(CONTAINERS).nth(1).is_some() {
        let vague = policy.knobs.iter().filter(|knob| knob.means_the_only_container());
        wrong.extend(vague.map(|knob| Invalid {
            reason: Reason::ContainerAmbiguous,
            path: knob.path.to_string(),
            message: format!(
                "reads limits or requests, and {} has several containers: say which one in target.container or \
                 {}.container, or write resources.NAME.limits",
                target.key.short(),
                knob.path
            ),
        }));
    }
    for (knob, worked) in policy.knobs.iter().zip(&worked) {
        let message = match worked {
            Err(Trouble::Needs(amount)) => format!(
                "needs {amount}, which neither the policy nor the pod template of {} sets: set it in resources",
                target.key.short()
            ),
            Err(Trouble::Follows(path)) if stays.get(path) == Some(&None) => format!(
                "follows from {path}, which is not written to {} and has no value there that can be read: give one of them \
                 another landing place",
                target.key.short()
            ),
            // What is wrong has been refused already, here or where it follows from.
            Ok(_) | Err(Trouble::Wrong(_) | Trouble::Follows(_)) => continue,
        };
        wrong.push(Invalid { reason: Reason::FormulaFailed, path: knob.path.to_string(), message });
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(policy.knobs.iter().zip(worked).filter_map(|(knob, worked)| Some(Desired::new(knob, worked.ok()?))).collect())
}

const CONTAINERS: &str = "/spec/template/spec/containers";

/// A request or a limit of the pod template.
#[must_use]
pub fn template(target: &Object, amount: &Amount) -> Option<Value> {
    let Amount { container, bucket, resource } = amount;
    let pointers = [CONTAINERS, "/spec/template/spec/initContainers"];
    let spec = if let Some(name) = container {
        pointers.into_iter().flat_map(|pointer| target.items(pointer)).find(|c| c["name"] == **name)?
    } else {
        let mut all = target.items(pointers[0]);
        all.next().filter(|_| all.next().is_none())?
    };
    let text = spec["resources"][bucket][resource].as_str()?;
    if amount.value_type() == ValueType::Cpu { Value::parse(ValueType::Cpu, text) } else { Value::parse_memory(text) }
        .ok()
}

/// The text of `knob` on a target, as a value.
#[must_use]
pub fn read(knob: &Knob, text: &str) -> Option<Value> {
    match knob.landing {
        Landing::Resource { .. } if knob.kind == ValueType::Bytes => Value::parse_memory(text).ok(),
        Landing::Resource { .. } => Value::parse(knob.kind, text).ok(),
        _ => Value::read(knob.kind, knob.format, text),
    }
}

/// What the pools of `policy` add up to before a target is known.
#[must_use]
pub fn known_loads(policy: &Policy) -> Vec<Load> {
    let worked = policy.work_out(|_| None, |_| None);
    loads(policy, |path| {
        let (_, worked) = policy.knobs.iter().zip(&worked).find(|(knob, _)| *knob.path == *path)?;
        worked.as_ref().ok()?.value.to_i64()
    })
}

/// What the pools of `policy` add up to, as far as that is known; `value` gives the value of a knob, if it is.
pub fn loads(policy: &Policy, value: impl Fn(&str) -> Option<i64>) -> Vec<Load> {
    let load = |pool: &Pool| {
        // What the policy does not have, adds nothing; what it has and is not known, makes the sum unknown.
        let member = |member: &str| {
            let path = format!("pools.{}.{member}", pool.name);
            let is_set = policy.knobs.iter().any(|knob| *knob.path == *path);
            if is_set { value(&path) } else { Some(0) }
        };
        let (size, overflow) = (member("size")?, member("overflow")?);
        let count = |name: &str| Some((name.into(), value(&format!("workers.{name}.count"))?));
        let workers = match &pool.per_worker {
            Some(name) => Some(count(name)?),
            None => None,
        };
        let load = Load { pool: pool.name.clone(), budget: pool.budget.clone(), size, overflow, workers };
        (load.connections() > 0).then_some(load)
    };
    policy.pools.iter().filter_map(load).collect()
}

/// Holds `policy` to the rules of its class.
///
/// A value above a ceiling of the class is refused and not clamped: the author wrote a number, and a silent other one
/// would be a surprise in production.
///
/// # Errors
/// Everything that the class forbids.
pub fn admit(policy: &Policy, rules: &Rules) -> Result<(), Vec<Invalid>> {
    let mut wrong = Vec::new();
    if !rules.spec.modes.is_empty() && !rules.spec.modes.contains(&policy.mode) {
        let allowed: Vec<&str> = rules.spec.modes.iter().map(|mode| mode_name(*mode)).collect();
        wrong.push(Invalid {
            reason: Reason::ClassForbids,
            path: "mode".into(),
            message: format!(
                "must be one of {} under {}, not {}",
                allowed.join(", "),
                rules.name(),
                mode_name(policy.mode)
            ),
        });
    }
    for knob in &policy.knobs {
        match &knob.landing {
            Landing::Env(name) => environment(knob, name, rules, &mut wrong),
            Landing::Resource { resource, .. } => ceiling(knob, resource, rules, &mut wrong),
            Landing::Variable | Landing::Arg(_) | Landing::Document { .. } | Landing::ConfigMapKey { .. } => {}
        }
    }
    for threshold in policy.thresholds.iter().filter(|_| !rules.spec.free_queries) {
        if let Metric::Free(_) = threshold.metric {
            wrong.push(Invalid {
                reason: Reason::ClassForbids,
                path: format!("thresholds.{}.metric.query", threshold.name),
                message: format!("must not be set: free queries are not allowed under {}", rules.name()),
            });
        }
    }
    if let (Some(replicas), Some(limit)) = (&policy.replicas, rules.spec.limits.as_ref().and_then(|l| l.replicas)) {
        for (member, count) in [("min", replicas.min), ("max", replicas.max)] {
            if count.is_some_and(|count| count > i64::from(limit)) {
                wrong.push(Invalid {
                    reason: Reason::ClassForbids,
                    path: format!("replicas.{member}"),
                    message: format!("must be ≤ {limit} under {}", rules.name()),
                });
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// The mode's name in the API.
#[must_use]
pub const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "Observe",
        Mode::Recommend => "Recommend",
        Mode::Enforce => "Enforce",
    }
}

fn environment(knob: &Knob, name: &str, rules: &Rules, wrong: &mut Vec<Invalid>) {
    let mut refuse = |message: String| {
        wrong.push(Invalid { reason: Reason::EnvironmentNameForbidden, path: format!("{}.env", knob.path), message });
    };
    if let Some(why) = catalogue::forbidden_environment(name) {
        refuse(format!("must not be {name}: {why}"));
    } else if let Some(own) = &rules.spec.environment {
        if own.deny.iter().any(|pattern| catalogue::matches(pattern, name)) {
            refuse(format!("must not be {name}: {} denies it", rules.name()));
        } else if !own.allow.is_empty() && !own.allow.iter().any(|pattern| catalogue::matches(pattern, name)) {
            refuse(format!("must be one of {} under {}, not {name}", own.allow.join(", "), rules.name()));
        }
    }
}

fn ceiling(knob: &Knob, resource: &str, rules: &Rules, wrong: &mut Vec<Invalid>) {
    let Some(limits) = &rules.spec.limits else { return };
    let text = if resource == "cpu" { &limits.cpu } else { &limits.memory };
    // A ceiling that cannot be read is refused at admission; if it got here all the same, it forbids rather than allows.
    let Some(text) = text else { return };
    let have = knob.value.literal().and_then(Value::resource_quantity);
    let allowed = ResourceQuantity::parse(text).is_ok_and(|max| have.is_some_and(|have| have <= max));
    if !allowed {
        wrong.push(Invalid {
            reason: Reason::ClassForbids,
            path: knob.path.to_string(),
            message: format!("must be ≤ {text} under {}, not {}", rules.name(), knob.value),
        });
    }
}

#[cfg(test)]
mod tests;
