//! What a policy says a number is: a literal, or a formula over others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use super::{Invalid, Knob, Landing};
use crate::{
    api::{PerformancePolicySpec, conditions::Reason},
    core::{
        formula::{
            Checked, Datum, EvaluateError, Formula, Path, Type,
            strata::{Graph, NodeId, Stratum},
        },
        units::{Decimal, Value, ValueType},
    },
};

/// A value as the policy gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// The value itself.
    Literal(Value),
    /// How it is worked out.
    Formula(Arc<Expression>),
}

/// A formula whose references are known and whose units go together.
#[derive(Debug, PartialEq, Eq)]
pub struct Expression {
    formula: Formula,
    code: Checked,
    /// What each reference stands for.
    reads: BTreeMap<Path, Place>,
    /// Whether it reads limits or requests of a container that nobody has named.
    is_vague: bool,
}

impl Expression {
    /// As written.
    pub fn source(&self) -> &str {
        self.formula.source()
    }
}

impl Given {
    /// The value, if it needs no working out.
    #[must_use]
    pub fn literal(&self) -> Option<&Value> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Formula(_) => None,
        }
    }

    fn reads(&self) -> impl Iterator<Item = &Place> {
        let expression = match self {
            Self::Literal(_) => None,
            Self::Formula(expression) => Some(expression),
        };
        expression.into_iter().flat_map(|expression| expression.reads.values())
    }
}

/// A formula and what it is with numbers in the place of names: `= limits.memory - 600Mi = 2Gi - 600Mi`.
#[must_use]
pub fn derivation(formula: &str, filled: &str) -> String {
    let same = formula.trim_start_matches('=').trim() == filled;
    if same { formula.to_owned() } else { format!("{formula} = {filled}") }
}

impl fmt::Display for Given {
    /// As written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(value) => value.fmt(f),
            Self::Formula(expression) => f.write_str(expression.formula.source()),
        }
    }
}

/// What a reference of a formula stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Another value of the policy, by its path.
    Knob(Box<str>),
    /// A value of the policy that is no knob, by its path.
    Fixed(Box<str>, Value),
    /// What the pod template has, because the policy does not set it.
    Template(Amount),
}

/// A request or a limit in a pod template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    /// The container; `None`: the only one.
    pub container: Option<Box<str>>,
    /// `limits` or `requests`.
    pub bucket: &'static str,
    /// `cpu` or `memory`.
    pub resource: &'static str,
}

impl Amount {
    /// The type of its value.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        if matches!(self.resource.as_bytes(), b"cpu") { ValueType::Cpu } else { ValueType::Bytes }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.bucket, self.resource)?;
        self.container.as_ref().map_or(Ok(()), |container| write!(f, " of container \"{container}\""))
    }
}

/// Everything that formulas of a policy may read, and its type.
pub(super) struct Scope {
    types: BTreeMap<Box<str>, Type>,
    fixed: BTreeMap<Box<str>, Value>,
    /// Containers of which `resources` has an entry.
    containers: BTreeSet<Box<str>>,
    /// Container of knobs that name none.
    container: Option<Box<str>>,
}

const BUCKETS: [&str; 2] = ["limits", "requests"];
const RESOURCES: [&str; 2] = ["cpu", "memory"];

impl Scope {
    /// What `spec` names. What is wrong with a value is of no interest here: it has a type all the same.
    pub fn of(spec: &PerformancePolicySpec) -> Self {
        let mut scope = Self {
            types: BTreeMap::new(),
            fixed: BTreeMap::new(),
            containers: spec.resources.iter().map(|item| item.container.as_str().into()).collect(),
            container: spec.target.as_ref().and_then(|target| target.container.as_deref()).map(Into::into),
        };
        scope.resources(spec);
        for group in &spec.workers {
            scope.knob(format!("workers.{}.count", group.name), ValueType::Integer);
            let memory = group.memory_per_worker.as_deref().and_then(|text| Value::parse_memory(text).ok());
            scope.fix(format!("workers.{}.memoryPerWorker", group.name), memory);
        }
        for pool in &spec.pools {
            let members = [
                ("size", pool.size.is_some(), ValueType::Integer),
                ("overflow", pool.overflow.is_some(), ValueType::Integer),
                ("minIdle", pool.min_idle.is_some(), ValueType::Integer),
                ("acquireTimeout", pool.acquire_timeout.is_some(), ValueType::Duration),
                ("idleTimeout", pool.idle_timeout.is_some(), ValueType::Duration),
                ("maxLifetime", pool.max_lifetime.is_some(), ValueType::Duration),
            ];
            for (member, _, kind) in members.into_iter().filter(|(_, is_set, _)| *is_set) {
                scope.knob(format!("pools.{}.{member}", pool.name), kind);
            }
        }
        for cache in &spec.caches {
            let members = [
                ("ttl", cache.ttl.is_some(), ValueType::Duration),
                ("maxEntries", cache.max_entries.is_some(), ValueType::Integer),
                ("maxBytes", cache.max_bytes.is_some(), ValueType::Bytes),
            ];
            for (member, _, kind) in members.into_iter().filter(|(_, is_set, _)| *is_set) {
                scope.knob(format!("caches.{}.{member}", cache.name), kind);
            }
            let staleness = cache.max_staleness.as_ref();
            let staleness = staleness.and_then(|text| Value::parse(ValueType::Duration, text).ok());
            scope.fix(format!("caches.{}.maxStaleness", cache.name), staleness);
        }
        for setting in &spec.settings {
            let kind = super::value_type(setting.value_type.unwrap_or_default());
            let is = if kind == ValueType::Enum { Type::Word(setting.allowed.clone()) } else { kind.into() };
            scope.types.insert(format!("settings.{}", setting.name).into(), is);
        }
        for (path, is) in super::runtime::members(spec) {
            scope.types.insert(path.into(), is);
        }
        if let Some(replicas) = &spec.replicas {
            for (member, count) in [("min", replicas.min), ("max", replicas.max)] {
                scope.fix(format!("replicas.{member}"), count.map(|count| Value::Integer(count.into())));
            }
        }
        scope
    }

    fn resources(&mut self, spec: &PerformancePolicySpec) {
        for item in &spec.resources {
            for (bucket, amounts) in BUCKETS.into_iter().zip([&item.limits, &item.requests]) {
                let Some(amounts) = amounts else { continue };
                for (resource, text) in RESOURCES.into_iter().zip([&amounts.cpu, &amounts.memory]) {
                    if text.is_some() {
                        let amount = Amount { container: None, bucket, resource };
                        let path = format!("resources.{}.{bucket}.{resource}", item.container);
                        self.knob(path, amount.value_type());
                    }
                }
            }
        }
    }

    fn knob(&mut self, path: String, kind: ValueType) {
        self.types.insert(path.into(), kind.into());
    }

    fn fix(&mut self, path: String, value: Option<Value>) {
        if let Some(value) = value {
            self.types.insert(path.as_str().into(), value.value_type().into());
            self.fixed.insert(path.into(), value);
        }
    }

    /// Checks the formula of a value of type `expected` that belongs to `container`, if it belongs to one.
    ///
    /// # Errors
    /// What is wrong with it, continuing the value's path.
    pub fn check(&self, formula: Formula, expected: &Type, container: Option<&str>) -> Result<Expression, String> {
        let container = container.or(self.container.as_deref());
        let find = |path: &Path| self.find(path, container);
        let code = formula.check(Some(expected), |path| find(path).map(|(_, is)| is)).map_err(|e| e.to_string())?;
        let mut reads = BTreeMap::new();
        for path in formula.references() {
            reads.insert(path.clone(), find(path)?.0);
        }
        let is_vague = container.is_none() && formula.references().iter().any(|path| BUCKETS.contains(&path.root()));
        Ok(Expression { formula, code, reads, is_vague })
    }

    /// What a reference of a value stands for, where the value belongs to `container`.
    pub(super) fn find(&self, path: &Path, container: Option<&str>) -> Result<(Place, Type), String> {
        let segments: Vec<&str> = path.segments().collect();
        match segments[..] {
            [bucket, resource] if BUCKETS.contains(&bucket) => {
                self.amount(self.container_of(container)?, bucket, resource)
            }
            ["resources", container, bucket, resource] => self.amount(Some(container), bucket, resource),
            _ => {
                let dotted = path.dotted();
                if let Some(value) = self.fixed.get(dotted.as_str()) {
                    return Ok((Place::Fixed(dotted.into(), value.clone()), value.value_type().into()));
                }
                let known = self.types.get_key_value(dotted.as_str());
                known.map(|(name, is)| (Place::Knob(name.clone()), is.clone())).ok_or_else(|| self.unknown(path))
            }
        }
    }

    /// The container whose limits are meant.
    pub(super) fn container_of<'a>(&'a self, container: Option<&'a str>) -> Result<Option<&'a str>, String> {
        let mut named = self.containers.iter();
        match (container, named.next(), named.next()) {
            (Some(container), ..) => Ok(Some(container)),
            (None, Some(_), Some(_)) => {
                let all: Vec<&str> = self.containers.iter().map(AsRef::as_ref).collect();
                Err(format!(
                    "is of which container? There are {}: set container, or write resources.{}",
                    all.join(", "),
                    all.first().copied().unwrap_or_default()
                ))
            }
            // With one entry the pod's only container can be no other; that it is the only one, `resolve` sees.
            (None, first, None) => Ok(first.map(AsRef::as_ref)),
            (None, None, Some(_)) => Ok(None),
        }
    }

    fn amount(&self, container: Option<&str>, bucket: &str, resource: &str) -> Result<(Place, Type), String> {
        let amount = Self::template(container, bucket, resource)?;
        let is = amount.value_type().into();
        let path = container.map(|container| format!("resources.{container}.{bucket}.{resource}"));
        let governed = path.and_then(|path| self.types.get_key_value(path.as_str()));
        Ok((governed.map_or(Place::Template(amount), |(path, _)| Place::Knob(path.clone())), is))
    }

    /// A request or a limit of the pod template, whatever the policy sets.
    pub(super) fn template(container: Option<&str>, bucket: &str, resource: &str) -> Result<Amount, String> {
        let known = |words: [&'static str; 2], word: &str| words.into_iter().find(|known| *known == word);
        match (known(BUCKETS, bucket), known(RESOURCES, resource)) {
            (Some(bucket), Some(resource)) => Ok(Amount { container: container.map(Into::into), bucket, resource }),
            _ => Err("is not known: there are limits.cpu, limits.memory, requests.cpu and requests.memory".into()),
        }
    }

    fn unknown(&self, path: &Path) -> String {
        const ROOTS: &str = "limits, requests, resources, replicas, workers, pools, caches, settings and runtime";
        let root = path.root();
        let beside: Vec<&str> = self
            .types
            .keys()
            .filter(|name| name.split_once('.').is_some_and(|(of, _)| of == root))
            .map(AsRef::as_ref)
            .take(8)
            .collect();
        match (Stratum::of(root), beside.is_empty()) {
            (None, _) => format!("is not known: formulas read {ROOTS}"),
            (Some(_), true) => format!("is not in this policy, which has no {root}"),
            (Some(_), false) => format!("is not in this policy; of {root} it has {}", beside.join(", ")),
        }
    }
}

/// The order in which knobs are worked out: each after those that it reads.
///
/// # Errors
/// Circles, as a path, and values that read what is worked out after them.
pub(super) fn order(knobs: &[Knob]) -> Result<Vec<usize>, Vec<Invalid>> {
    let mut graph = Graph::default();
    let by_path: BTreeMap<&str, usize> = knobs.iter().enumerate().map(|(index, knob)| (&*knob.path, index)).collect();
    let stratum = |knob: &Knob| {
        let root = knob.path.split('.').next().unwrap_or_default();
        Stratum::of(root).unwrap_or(Stratum::Derived)
    };
    let nodes: Vec<_> = knobs.iter().map(|knob| graph.add(&knob.path, stratum(knob))).collect();
    for (reader, knob) in nodes.iter().zip(knobs) {
        for read in knob.given().flat_map(Given::reads) {
            if let Place::Knob(path) = read
                && let Some(read) = by_path.get(&**path).and_then(|index| nodes.get(*index))
            {
                graph.read(*reader, *read);
            }
        }
    }
    let wrong = match graph.order() {
        Ok(order) => return Ok(order.into_iter().map(NodeId::index).collect()),
        Err(wrong) => wrong,
    };
    let told = wrong.into_iter().map(|error| Invalid {
        reason: Reason::InvalidSpec,
        path: error.path().to_owned(),
        message: error.to_string(),
    });
    Err(told.collect())
}

/// Values that would be another for each target of a policy, although all targets share the `ConfigMap` where they land: two
/// targets would write it in turns for ever. `apart` names those that a profile sets for each target apart, with the profile.
pub(super) fn shared_and_different(
    knobs: &[Knob],
    order: &[usize],
    apart: &BTreeMap<Box<str>, Box<str>>,
) -> Vec<Invalid> {
    // What each knob follows from that every target has its own of.
    let mut own: BTreeMap<&str, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    for knob in order.iter().filter_map(|&index| knobs.get(index)) {
        let mut read = knob.given().flat_map(Given::reads);
        let follows = read.find_map(|place| match place {
            Place::Knob(path) => own.get(&**path).cloned(),
            Place::Template(amount) => Some(amount.to_string()),
            // An autoscaler may have bounds of its own.
            Place::Fixed(path, _) => path.starts_with("replicas.").then(|| path.to_string()),
        });
        let profile = || apart.get(&knob.path).map(|profile| format!("profile \"{profile}\""));
        let follows = follows.or_else(profile);
        match (&knob.landing, follows) {
            (Landing::Document { .. } | Landing::ConfigMapKey { .. }, Some(what)) => wrong.push(Invalid {
                reason: Reason::InvalidSpec,
                path: knob.path.to_string(),
                message: format!(
                    "lands in a ConfigMap that all targets share, but follows from {what}, which is each target's own: name \
                     one target, or let it land in env"
                ),
            }),
            (Landing::Variable | Landing::NotEnforceable(_), Some(what)) => drop(own.insert(&knob.path, what)),
            (
                Landing::Env(_)
                | Landing::Arg(_)
                | Landing::Option(_)
                | Landing::Resource { .. }
                | Landing::Sysctl(_)
                | Landing::Field(_),
                _,
            ) => {
                own.insert(&knob.path, knob.path.to_string());
            }
            (
                Landing::Variable
                | Landing::NotEnforceable(_)
                | Landing::Document { .. }
                | Landing::ConfigMapKey { .. },
                None,
            ) => {}
        }
    }
    wrong
}

/// A knob's value, worked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worked {
    /// The value, within its bounds.
    pub value: Value,
    /// The lower bound.
    pub min: Option<Value>,
    /// The upper bound.
    pub max: Option<Value>,
    /// The formula with the numbers in the place of their names; nothing for a literal.
    pub filled: Option<Box<str>>,
    /// The bound that a formula's value was moved to.
    pub clamped: Option<Clamp>,
    /// Whether it was lowered to the share of a budget.
    pub shared: bool,
}

/// What a value was moved to: whatever else clips values some day gets its word here, and with it its place in every `because`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clamp {
    /// It was below the lower bound.
    Min,
    /// It was above the upper bound.
    Max,
}

impl fmt::Display for Clamp {
    /// Continues the derivation of a value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Min => ", raised to min",
            Self::Max => ", lowered to max",
        })
    }
}

/// Why a knob has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The pod template has to say something first.
    Needs(Amount),
    /// Another value has none.
    Follows(Box<str>),
    /// The formula has no value for these numbers, or one that its field cannot have. Continues the path.
    Wrong(String),
}

/// Works out every knob, in the order of `knobs`; see [`Policy::work_out`](super::Policy::work_out).
pub(super) fn work_out(
    knobs: &[Knob],
    order: &[usize],
    stays: impl Fn(&str) -> Option<Option<Value>>,
    template: impl Fn(&Amount) -> Option<Value>,
    share: impl Fn(&str) -> Option<i64>,
) -> Vec<Result<Worked, Trouble>> {
    let mut worked: Vec<Option<Result<Worked, Trouble>>> = vec![None; knobs.len()];
    let mut read: BTreeMap<&str, Value> = BTreeMap::new();
    for &index in order {
        let Some(knob) = knobs.get(index) else { continue };
        let sight = Sight { read: &read, stays: &stays, template: &template };
        let mut result = sight.knob(knob);
        if let (Ok(worked), Some(most)) = (&mut result, share(&knob.path))
            && worked.value.to_i64().is_some_and(|value| value > most)
        {
            worked.value = Value::Integer(most);
            worked.shared = true;
        }
        // Whoever follows from a value that is not written follows from the one that is there.
        let seen = stays(&knob.path).unwrap_or_else(|| result.as_ref().ok().map(|worked| worked.value.clone()));
        read.extend(seen.map(|value| (&*knob.path, value)));
        if let Some(place) = worked.get_mut(index) {
            *place = Some(result);
        }
    }
    let missing = |(index, result): (usize, Option<Result<Worked, Trouble>>)| {
        result.unwrap_or_else(|| Err(Trouble::Follows(knobs.get(index).map_or("", |knob| &knob.path).into())))
    };
    worked.into_iter().enumerate().map(missing).collect()
}

/// Whether a condition holds, and what it is with the numbers in the place of their names. `stays` and `template` are those of
/// [`work_out`].
///
/// # Errors
/// Why nobody can tell, continuing a sentence about the condition.
pub(super) fn holds(
    condition: &Expression,
    knobs: &[Knob],
    worked: &[Result<Worked, Trouble>],
    stays: impl Fn(&str) -> Option<Option<Value>>,
    template: impl Fn(&Amount) -> Option<Value>,
) -> Result<(bool, String), String> {
    let known = knobs.iter().zip(worked).filter_map(|(knob, worked)| Some((&*knob.path, worked.as_ref().ok()?)));
    let read: BTreeMap<&str, Value> = known.map(|(path, worked)| (path, worked.value.clone())).collect();
    let sight = Sight { read: &read, stays: &stays, template: &template };
    let outcome = condition.code.evaluate(|path| sight.at(condition, path).as_ref().map(Datum::from));
    match outcome.map(|outcome| outcome.as_bool()) {
        Ok(Some(holds)) => Ok((holds, condition.formula.with_references(|path| sight.shown(condition, path)))),
        Ok(None) => Err("which is no condition".into()),
        Err(EvaluateError::Unknown { path }) => Err(match condition.reads.get(&path) {
            Some(Place::Template(amount)) => {
                format!("which needs {amount}, and neither the policy nor the pod template sets it")
            }
            Some(Place::Knob(_) | Place::Fixed(..)) | None => format!("and {path} has no value"),
        }),
        Err(error) => Err(format!("which cannot be worked out: {error}")),
    }
}

/// What a formula sees.
struct Sight<'a, S, T> {
    read: &'a BTreeMap<&'a str, Value>,
    stays: &'a S,
    template: &'a T,
}

impl<S: Fn(&str) -> Option<Option<Value>>, T: Fn(&Amount) -> Option<Value>> Sight<'_, S, T> {
    fn knob(&self, knob: &Knob) -> Result<Worked, Trouble> {
        let bound = |name: &str, given: &Option<Given>| {
            let given = given.as_ref()?;
            Some(self.value(given, knob.kind).map_err(|trouble| match trouble {
                Trouble::Wrong(message) => Trouble::Wrong(format!("has a {name} that {message}")),
                other => other,
            }))
        };
        let min = bound("min", &knob.min).transpose()?;
        let max = bound("max", &knob.max).transpose()?;
        let (value, clamped) = self.within(&knob.value, knob.kind, min.as_ref(), max.as_ref())?;
        let (value, clamped) = match (knob.grain, clamped, &knob.value) {
            (Some(grain), None, Given::Formula(_)) => rounded_down(&value, grain, min.as_ref()),
            _ => (value, clamped),
        };
        let filled = match &knob.value {
            Given::Literal(_) => None,
            Given::Formula(expression) => {
                Some(expression.formula.with_references(|path| self.shown(expression, path)).into())
            }
        };
        Ok(Worked { value, min, max, filled, clamped, shared: false })
    }

    fn value(&self, given: &Given, kind: ValueType) -> Result<Value, Trouble> {
        self.within(given, kind, None, None).map(|(value, _)| value)
    }

    /// A value, moved within its bounds if it is a formula's. Bounds come before the range of the type: an amount below zero
    /// may well be meant to be raised.
    fn within(
        &self,
        given: &Given,
        kind: ValueType,
        min: Option<&Value>,
        max: Option<&Value>,
    ) -> Result<(Value, Option<Clamp>), Trouble> {
        let expression = match given {
            Given::Literal(value) => return Ok((value.clone(), None)),
            Given::Formula(expression) => expression,
        };
        let outcome = expression.code.evaluate(|path| self.at(expression, path).as_ref().map(Datum::from));
        let outcome = outcome.map_err(|error| match error {
            EvaluateError::Unknown { path } => match expression.reads.get(&path) {
                Some(Place::Template(amount)) => Trouble::Needs(amount.clone()),
                Some(Place::Knob(path) | Place::Fixed(path, _)) => Trouble::Follows(path.clone()),
                None => Trouble::Follows(path.dotted().into()),
            },
            error => Trouble::Wrong(error.to_string()),
        })?;
        let amount = outcome.quantity().map(|quantity| quantity.amount);
        // The upper bound is asked first and so wins where they cross: more is the more dangerous direction.
        if let Some(max) = max.filter(|max| amount > max.amount() && amount.is_some()) {
            return Ok((max.clone(), Some(Clamp::Max)));
        }
        if let Some(min) = min.filter(|min| amount < min.amount() && amount.is_some()) {
            return Ok((min.clone(), Some(Clamp::Min)));
        }
        let filled = || expression.formula.with_references(|path| self.shown(expression, path));
        let source = expression.formula.source();
        let value = outcome.to_value(kind);
        let value = value.map_err(|error| Trouble::Wrong(format!("{error} ({})", derivation(source, &filled()))))?;
        Ok((value, None))
    }

    fn at(&self, expression: &Expression, path: &Path) -> Option<Value> {
        match expression.reads.get(path)? {
            Place::Knob(path) => self.read.get(&**path).cloned(),
            Place::Fixed(path, value) => (self.stays)(path).unwrap_or_else(|| Some(value.clone())),
            Place::Template(amount) => (self.template)(amount),
        }
    }

    fn shown(&self, expression: &Expression, path: &Path) -> String {
        self.at(expression, path).map_or_else(|| path.to_string(), |value| Datum::from(&value).to_string())
    }
}

/// A multiple of `grain` that is not above `value`, unless that is below the lower bound.
fn rounded_down(value: &Value, grain: Decimal, min: Option<&Value>) -> (Value, Option<Clamp>) {
    let down = |amount: Decimal| {
        let rest = amount.nanos().checked_rem(grain.nanos())?;
        Value::from_amount(value.value_type(), Decimal::from_nanos(amount.nanos() - rest)).ok()
    };
    let Some(rounded) = value.amount().and_then(down) else { return (value.clone(), None) };
    match min.filter(|min| rounded < **min) {
        Some(min) => (min.clone(), Some(Clamp::Min)),
        None => (rounded, None),
    }
}

/// The value of the knob at `path`, if it could be worked out.
pub(super) fn value_of(knobs: &[Knob], worked: &[Result<Worked, Trouble>], path: &str) -> Option<Value> {
    let (_, worked) = knobs.iter().zip(worked).find(|(knob, _)| *knob.path == *path)?;
    worked.as_ref().ok().map(|worked| worked.value.clone())
}

impl Knob {
    /// Everything that it says: value and bounds.
    fn given(&self) -> impl Iterator<Item = &Given> {
        [Some(&self.value), self.min.as_ref(), self.max.as_ref()].into_iter().flatten()
    }

    /// Paths of other values of the policy that it follows from.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.given().flat_map(Given::reads).filter_map(|place| match place {
            Place::Knob(path) | Place::Fixed(path, _) => Some(&**path),
            Place::Template(_) => None,
        })
    }

    /// What it follows from that only the pod template has.
    pub fn template_inputs(&self) -> impl Iterator<Item = &Amount> {
        self.given().flat_map(Given::reads).filter_map(|place| match place {
            Place::Template(amount) => Some(amount),
            Place::Knob(_) | Place::Fixed(..) => None,
        })
    }

    /// Whether a formula of it reads limits or requests of a container that nobody has named.
    #[must_use]
    pub fn means_the_only_container(&self) -> bool {
        self.given().any(|given| matches!(given, Given::Formula(expression) if expression.is_vague))
    }

    /// Whether its value depends on others.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        self.given().any(|given| given.literal().is_none())
    }
}

#[cfg(test)]
mod tests;
