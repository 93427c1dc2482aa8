//! Desired values: what every knob of a policy shall be, and where each value comes from.
//!
//! Literals today. The seam for formulas and profiles is [`Source`]: whatever computes a value says what it was, and
//! everything behind this room sees values only.

use std::fmt;

use serde::Serialize;

use super::{
    catalogue,
    policy::{Invalid, Knob, Landing, Policy, thresholds::Metric},
    units::{ResourceQuantity, Value},
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A literal of the spec.
    Spec,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec => f.write_str("spec"),
        }
    }
}

/// What a knob shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired<'a> {
    /// The knob.
    pub knob: &'a Knob,
    /// Its value, within its bounds.
    pub value: Value,
    /// Where the value comes from.
    pub source: Source,
}

/// Resolves every knob of `policy` under the rules of its class.
///
/// A value above a ceiling of the class is refused and not clamped: the author wrote a number, and a silent other one
/// would be a surprise in production.
///
/// # Errors
/// Everything that the class forbids.
pub fn resolve<'a>(policy: &'a Policy, rules: &Rules) -> Result<Vec<Desired<'a>>, Vec<Invalid>> {
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
    if wrong.is_empty() {
        Ok(policy.knobs.iter().map(|knob| Desired { knob, value: knob.value.clone(), source: Source::Spec }).collect())
    } else {
        Err(wrong)
    }
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
    let allowed =
        ResourceQuantity::parse(text).is_ok_and(|max| knob.value.resource_quantity().is_some_and(|have| have <= max));
    if !allowed {
        wrong.push(Invalid {
            reason: Reason::ClassForbids,
            path: knob.path.to_string(),
            message: format!("must be ≤ {text} under {}, not {}", rules.name(), knob.value),
        });
    }
}
