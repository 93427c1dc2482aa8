//! Desired values: what every knob of a policy shall be on one target, and where each value comes from.
//!
//! Whatever computes a value says what it was in [`Source`], and everything behind this room sees values only.

use std::{collections::BTreeMap, fmt};

use super::{
    allocate::Load,
    catalogue::{self, objects},
    facts::{Kind, Object, Release},
    policy::{
        Amount, By, Clamp, Given, Invalid, Knob, Landing, Policy, Pool, Profile, Trouble, Worked, derivation,
        runtime::{self, Memory},
        thresholds::Metric,
    },
    units::{ResourceQuantity, Value, ValueType},
};
use crate::api::{PerformanceClassSpec, class::ObjectRules, conditions::Reason, policy::Mode};

/// Rules of a class, defaults applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Name of the class; `None`: the built-in limits.
    pub class: Option<Box<str>>,
    /// The class as written.
    pub spec: PerformanceClassSpec,
    /// The version of the cluster: what it calls safe needs no leave of the class.
    pub kubernetes: Release,
}

impl Rules {
    /// The limits that hold when there is no class.
    #[must_use]
    pub fn built_in() -> Self {
        Self { class: None, spec: PerformanceClassSpec::default(), kubernetes: Release::NEWEST }
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

    /// What the class says of targets of a kind that is no workload; `None`: they are not allowed.
    fn objects(&self, kind: Kind) -> Option<&ObjectRules> {
        self.spec.objects.iter().find(|objects| Kind::from(objects.kind) == kind)
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
    /// A profile that is active.
    Profile {
        /// Its name.
        profile: Box<str>,
        /// What it says: a literal or a formula.
        says: Box<Source>,
    },
    /// What its budget gives it, which is less than what it asks for.
    Share {
        /// Name of the budget.
        budget: Box<str>,
        /// What asks for more.
        says: Box<Source>,
    },
    /// A rollback that pins it.
    Rollback {
        /// The revision.
        to: i64,
        /// The bound that it was moved to.
        clamped: Option<Clamp>,
    },
    /// It stays as it is, because it cannot be worked out or went back with a value that failed.
    Kept,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clamped = match self {
            Self::Spec => return f.write_str("spec"),
            Self::Kept => return f.write_str("what is there"),
            Self::Profile { profile, says } => {
                write!(f, "profile {profile}")?;
                return if **says == Self::Spec { Ok(()) } else { write!(f, ": {says}") };
            }
            Self::Share { budget, says } => return write!(f, "{says}, lowered to its share of budget {budget}"),
            Self::Rollback { to, clamped } => {
                write!(f, "rollback to revision {to}")?;
                clamped
            }
            Self::Formula { formula, filled, clamped } => {
                f.write_str(&derivation(formula, filled))?;
                clamped
            }
        };
        clamped.map_or(Ok(()), |clamped| clamped.fmt(f))
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
    /// The lower bound of the value.
    pub min: Option<Value>,
}

impl<'a> Desired<'a> {
    fn new(policy: &Policy, knob: &'a Knob, worked: Worked) -> Self {
        let Worked { value, filled, clamped, shared, min, .. } = worked;
        let says = filled.map_or(Source::Spec, |filled| Source::Formula {
            formula: knob.value.to_string().into(),
            filled,
            clamped,
        });
        let source = source(policy, &knob.path, says);
        let source = match policy.budget_of(&knob.path).filter(|_| shared) {
            Some(budget) => Source::Share { budget: budget.into(), says: Box::new(source) },
            None => source,
        };
        // What lands has been rendered by `check_values`, so the alternative is for variables only.
        let text = knob.render(&value).unwrap_or_else(|_| value.to_string());
        Self { knob, value, text, source, min }
    }

    /// A knob that stays as it is.
    #[must_use]
    pub fn as_is(knob: &'a Knob, text: String) -> Self {
        let value = read(knob, &text).unwrap_or_else(|| Value::Enum(text.clone()));
        Self { knob, value, text, source: Source::Kept, min: None }
    }
}

/// Where the value at `path` comes from, of which whoever set it says `says`.
#[must_use]
pub fn source(policy: &Policy, path: &str, says: Source) -> Source {
    match policy.set_by(path) {
        Some(By::Profile(profile)) => Source::Profile { profile: profile.clone(), says: Box::new(says) },
        Some(By::Rollback { to, clamped }) => Source::Rollback { to: *to, clamped: *clamped },
        None => says,
    }
}

/// What a knob of `policy` shall be, if that needs no working out.
#[must_use]
pub fn literal<'a>(policy: &Policy, knob: &'a Knob) -> Option<Desired<'a>> {
    let value = knob.value.literal().filter(|_| !knob.is_derived())?.clone();
    Some(Desired::new(policy, knob, Worked { value, min: None, max: None, filled: None, clamped: None, shared: false }))
}

/// Values of knobs that stay on a target whatever the policy says, because somebody else owns their place or because what
/// the policy asks for failed there. By the path in the policy; nothing where the text could not be read.
pub type Stays = BTreeMap<Box<str>, Option<Value>>;

/// Most that sizes of pools may be, because their budgets give no more: by the path in the policy.
pub type Shares = BTreeMap<Box<str>, i64>;

/// Works out every knob of `policy` for `target`.
///
/// A formula follows from what is on the target: where the policy sets no limit, from the pod template's, where a knob is not
/// written, from the value that `stays`, and where a budget gives a pool less than it asks for, from its share.
///
/// # Errors
/// Formulas that have no value on this target, and values that contradict each other.
pub fn resolve<'a>(
    policy: &'a Policy,
    target: &Object,
    stays: &Stays,
    shares: &Shares,
) -> Result<Vec<Desired<'a>>, Vec<Invalid>> {
    let worked = policy.work_out_shared(
        |path| stays.get(path).cloned(),
        |amount| template(target, amount),
        |path| shares.get(path).copied(),
    );
    let mut wrong = policy.check_values(&worked);
    let known = |path: &str| {
        if let Some(stays) = stays.get(path) {
            return stays.clone();
        }
        let (_, worked) = policy.knobs.iter().zip(&worked).find(|(knob, _)| *knob.path == *path)?;
        worked.as_ref().ok().map(|worked| worked.value.clone())
    };
    // What somebody else has set is theirs, unless it is this policy that takes the room away.
    let limit = |knob: &Knob| matches!(knob.landing, Landing::Resource { bucket: "limits", resource: "memory" });
    let limits = policy.knobs.iter().any(|knob| limit(knob) && !stays.contains_key(&knob.path));
    let mut memory = memory(policy, target, known);
    memory.retain(|memory| limits || !stays.contains_key(&memory.path));
    // What is known without the target has been refused before it was looked at.
    wrong.extend(runtime::check(&memory));
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
            Err(Trouble::Needs(amount)) if target.key.kind.is_foreign() => {
                format!("needs {amount}, and {} has no pod template: write the number", target.key.short())
            }
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
    Ok(policy
        .knobs
        .iter()
        .zip(worked)
        .filter_map(|(knob, worked)| Some(Desired::new(policy, knob, worked.ok()?)))
        .collect())
}

/// Which condition of `profile` does not hold on `target`, with the values that `policy` sets there, profiles before this one
/// included; `None`: all hold.
#[must_use]
pub fn unmet(policy: &Policy, profile: &Profile, target: Option<&Object>) -> Option<String> {
    policy.unmet(profile, |amount| template(target?, amount))
}

/// What runtimes may take of the memory of their containers on `target`; `value` gives the value of a knob, if it is known.
pub fn memory(policy: &Policy, target: &Object, value: impl Fn(&str) -> Option<Value>) -> Vec<Memory> {
    policy.memory(value, |amount| template(target, amount))
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
        Landing::Option(known) => {
            let words: Vec<String> = known.variable.split(text).ok()?.into_iter().map(|word| word.text).collect();
            known.read(&known.find(&words).pop()?.value)
        }
        _ => Value::read(knob.kind, knob.format, text),
    }
}

/// What the pools of `policy` add up to before a target is known.
#[must_use]
pub fn known_loads(policy: &Policy) -> Vec<Load> {
    let worked = policy.work_out(|_| None, |_| None);
    let known = |path: &str| {
        let (_, worked) = policy.knobs.iter().zip(&worked).find(|(knob, _)| *knob.path == *path)?;
        worked.as_ref().ok()
    };
    loads(policy, |path| known(path)?.value.to_i64(), |path| known(path)?.min.as_ref()?.to_i64())
}

/// What the pools of `policy` add up to, as far as that is known; `value` gives the value of a knob, if it is, and `min` its lower
/// bound, if it has one.
///
/// A pool whose size has a lower bound is content with that and no overflow; any other with what it asks for alone.
pub fn loads(policy: &Policy, value: impl Fn(&str) -> Option<i64>, min: impl Fn(&str) -> Option<i64>) -> Vec<Load> {
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
        let bound = |member: &str| min(&format!("pools.{}.{member}", pool.name));
        let least_overflow = bound("overflow").unwrap_or(0).clamp(0, overflow.max(0));
        // Never none at all: some poolers take 0 for no limit.
        let least = match bound("size") {
            Some(min) => min.max(1).min(size).saturating_add(least_overflow),
            None => size.saturating_add(overflow),
        };
        let (name, budget) = (pool.name.clone(), pool.budget.clone());
        let load = Load { pool: name, budget, size, overflow, least, least_overflow, workers };
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
    if let Some(kind) = policy.target.as_ref().map(|target| target.kind).filter(|kind| kind.is_foreign())
        && rules.objects(kind).is_none()
    {
        wrong.push(Invalid {
            reason: Reason::ClassForbids,
            path: "target.kind".into(),
            message: format!(
                "must not be {} under {}: a class allows targets other than workloads by its objects",
                kind.as_str(),
                rules.name()
            ),
        });
    }
    for knob in &policy.knobs {
        match &knob.landing {
            Landing::Env(name) => match catalogue::forbidden_environment(name) {
                Some(why) => refuse_environment(knob, format!("must not be {name}: {why}"), &mut wrong),
                None => environment(knob, name, rules, &mut wrong),
            },
            // The variable is on the built-in list because it can load code. Options of the catalogue cannot.
            Landing::Option(known) => environment(knob, known.variable.name(), rules, &mut wrong),
            Landing::Field(place) => object_field(policy, knob, place, rules, &mut wrong),
            Landing::Resource { resource, .. } => ceiling(&knob.path, &knob.value, resource, rules, &mut wrong),
            Landing::Sysctl(name) => sysctl(knob, name, rules, &mut wrong),
            Landing::Variable
            | Landing::NotEnforceable(_)
            | Landing::Arg(_)
            | Landing::Document { .. }
            | Landing::ConfigMapKey { .. } => {}
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
    for knob in policy.knobs.iter().filter(|_| !rules.spec.free_queries) {
        if knob.readback.as_ref().is_some_and(|readback| readback.query().is_some()) {
            wrong.push(Invalid {
                reason: Reason::ClassForbids,
                path: format!("{}.effective.query", knob.path),
                message: format!("must not be set: free queries are not allowed under {}", rules.name()),
            });
        }
    }
    for profile in &policy.profiles {
        for (index, value) in profile.knobs() {
            let Some(Knob { path, landing: Landing::Resource { resource, .. }, .. }) = policy.knobs.get(index) else {
                continue;
            };
            ceiling(&format!("profiles.{}.set.{path}", profile.name), value, resource, rules, &mut wrong);
        }
    }
    for (index, value) in policy.rollback.knobs() {
        if let Some(Knob { path, landing: Landing::Resource { resource, .. }, .. }) = policy.knobs.get(index) {
            ceiling(&pinned(policy, path), value, resource, rules, &mut wrong);
        }
    }
    if let Some(limit) = rules.spec.limits.as_ref().and_then(|limits| limits.replicas) {
        let bounds = policy.replicas.iter().flat_map(|replicas| {
            [("replicas.min", replicas.min), ("replicas.max", replicas.max)]
                .into_iter()
                .filter_map(|(path, count)| Some((path.to_owned(), count?)))
        });
        let set = policy.profiles.iter().flat_map(|profile| {
            let path = |path| format!("profiles.{}.set.{path}", profile.name);
            profile.replicas().map(move |(bound, count)| (path(bound), i64::from(count)))
        });
        let pins = policy.rollback.replicas().map(|(bound, count)| (pinned(policy, bound), i64::from(count)));
        for (path, _) in bounds.chain(set).chain(pins).filter(|(_, count)| *count > i64::from(limit)) {
            let message = format!("must be ≤ {limit} under {}", rules.name());
            wrong.push(Invalid { reason: Reason::ClassForbids, path, message });
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// The path of a value that a rollback pins, for people.
fn pinned(policy: &Policy, path: &str) -> String {
    format!("{path} of the rollback to revision {}", policy.rollback.to().unwrap_or_default())
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

fn refuse_environment(knob: &Knob, message: String, wrong: &mut Vec<Invalid>) {
    // Sections of runtimes have no field that names the variable.
    let is_named = !matches!(knob.landing, Landing::Option(_)) && !knob.path.starts_with("runtime.");
    let path = if is_named { format!("{}.env", knob.path) } else { knob.path.to_string() };
    wrong.push(Invalid { reason: Reason::EnvironmentNameForbidden, path, message });
}

fn environment(knob: &Knob, name: &str, rules: &Rules, wrong: &mut Vec<Invalid>) {
    let Some(own) = &rules.spec.environment else { return };
    // A section of a runtime and an option have no name that could be another one.
    let lands = if knob.path.starts_with("runtime.") || matches!(knob.landing, Landing::Option(_)) {
        "land in "
    } else {
        "be "
    };
    if own.deny.iter().any(|pattern| catalogue::matches(pattern, name)) {
        refuse_environment(knob, format!("must not {lands}{name}: {} denies it", rules.name()), wrong);
    } else if !own.allow.is_empty() && !own.allow.iter().any(|pattern| catalogue::matches(pattern, name)) {
        let allowed = own.allow.join(", ");
        refuse_environment(knob, format!("must {lands}one of {allowed} under {}, not {name}", rules.name()), wrong);
    }
}

fn object_field(policy: &Policy, knob: &Knob, place: &objects::Place, rules: &Rules, wrong: &mut Vec<Invalid>) {
    let mut refuse = |path: String, message: String| {
        wrong.push(Invalid { reason: Reason::ClassForbids, path, message });
    };
    let allowed = policy.target.as_ref().and_then(|target| rules.objects(target.kind));
    // Without any word of the class the target has been refused.
    if let Some(ObjectRules { fields, .. }) = allowed.filter(|allowed| !allowed.fields.is_empty())
        && !fields.iter().any(|pattern| catalogue::matches(pattern, &place.to_string()))
    {
        let message = format!("must be one of {} under {}, not {place}", fields.join(", "), rules.name());
        refuse(format!("{}.field", knob.path), message);
    }
    let most = rules.spec.limits.as_ref().and_then(|limits| limits.replicas).filter(|_| place.counts_pods());
    let Some(most) = most else { return };
    let by_profiles = policy.profiles.iter().flat_map(|profile| {
        let knobs =
            profile.knobs().filter(|(index, _)| policy.knobs.get(*index).is_some_and(|set| set.path == knob.path));
        knobs.map(|(_, value)| (format!("profiles.{}.set.{}", profile.name, knob.path), value))
    });
    let pins =
        policy.rollback.knobs().filter(|(index, _)| policy.knobs.get(*index).is_some_and(|set| set.path == knob.path));
    let pins = pins.map(|(_, value)| (pinned(policy, &knob.path), value));
    for (path, value) in std::iter::once((knob.path.to_string(), &knob.value)).chain(by_profiles).chain(pins) {
        // What a formula gives is known to the rules by its upper bound only.
        let (bound, subject) = match value.literal() {
            Some(value) => (Some(value), "must be"),
            None => (knob.max.as_ref().and_then(Given::literal), "must have a max"),
        };
        if bound.and_then(Value::to_i64).is_none_or(|bound| bound > i64::from(most)) {
            refuse(path, format!("{subject} ≤ {most} under {}", rules.name()));
        }
    }
}

fn sysctl(knob: &Knob, name: &str, rules: &Rules, wrong: &mut Vec<Invalid>) {
    let Some(why) = catalogue::sysctl::needs_leave(name, rules.kubernetes) else { return };
    if !catalogue::sysctl::has_leave(name, &rules.spec.unsafe_sysctls) {
        let way = match catalogue::sysctl::carrier(name) {
            catalogue::sysctl::Carrier::Unknown => "in full ",
            _ => "",
        };
        wrong.push(Invalid {
            reason: Reason::ClassForbids,
            path: knob.path.to_string(),
            message: format!(
                "must not be set under {}: {why}. An administrator may name it {way}in unsafeSysctls of the class; nodes must \
                 allow it, too (kubelet allowedUnsafeSysctls), and so must the namespace's Pod Security standard (not baseline)",
                rules.name()
            ),
        });
    }
}

fn ceiling(path: &str, value: &Given, resource: &str, rules: &Rules, wrong: &mut Vec<Invalid>) {
    let Some(limits) = &rules.spec.limits else { return };
    let text = if resource == "cpu" { &limits.cpu } else { &limits.memory };
    // A ceiling that cannot be read is refused at admission; if it got here all the same, it forbids rather than allows.
    let Some(text) = text else { return };
    let have = value.literal().and_then(Value::resource_quantity);
    let allowed = ResourceQuantity::parse(text).is_ok_and(|max| have.is_some_and(|have| have <= max));
    if !allowed {
        wrong.push(Invalid {
            reason: Reason::ClassForbids,
            path: path.to_owned(),
            message: format!("must be ≤ {text} under {}, not {value}", rules.name()),
        });
    }
}

#[cfg(test)]
mod tests;
