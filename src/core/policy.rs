//! A policy, parsed: after this nobody looks at a spec again.
//!
//! Owns what an omitted field means and every rule that needs the whole spec. Must not know the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use serde::Serialize;

use self::given::Scope;
use super::{
    catalogue::{self, objects},
    document::{Address, DocumentFormat},
    facts::{Instant, Kind},
    formula::{Formula, Type},
    options::{self, Known},
    units::{Decimal, Value, ValueType},
};
use crate::api::{
    Literal, PerformancePolicy, PerformancePolicySpec,
    conditions::Reason,
    names,
    policy::{self as wire, DeletionPolicy, FileFormat, Mode, OnConflict, Reload, Sink, ValueFormat, WorkerUnit},
};

mod given;
mod paper;
pub mod patterns;
pub mod pin;
mod probe;
pub mod profiles;
pub mod readback;
mod rules;
pub mod runtime;
mod shape;
pub mod thresholds;

pub use self::{
    given::{Amount, Clamp, Given, Trouble, Worked, derivation},
    paper::{Cell, Line, LoadTest, Means, RESERVED, Sheet},
    pin::{Guise, Rollback},
    probe::{Fact, Probe, Sight},
    profiles::{By, Profile, ProfileSet},
    readback::Readback,
    thresholds::Threshold,
};

/// Namespace and name of a policy.
pub type PolicyKey = (Box<str>, Box<str>);

/// A policy that can be served.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Who it is.
    pub identity: Identity,
    /// What it may do, before its class has a say.
    pub mode: Mode,
    /// Why it is suspended, if it is.
    pub suspended: Option<String>,
    /// Manual overrides that are older than this are no longer held.
    pub resumed_at: Option<Instant>,
    /// Values that are what they were once.
    pub rollback: Rollback,
    /// What deleting it does.
    pub deletion: DeletionPolicy,
    /// Name of its class.
    pub class: Option<Box<str>>,
    /// What it governs.
    pub target: Option<Target>,
    /// Everything that it sets, in the order of the spec.
    pub knobs: Vec<Knob>,
    /// Positions of knobs in the order in which they are worked out.
    order: Vec<usize>,
    /// Bounds of the number of pods.
    pub replicas: Option<Replicas>,
    /// Documents that knobs edit.
    pub files: Vec<File>,
    /// Pools and the workers that multiply them.
    pub pools: Vec<Pool>,
    /// What must hold, in the order of the spec.
    pub thresholds: Arc<[Threshold]>,
    /// What is told as advice.
    pub patterns: Arc<[Threshold]>,
    /// Other values for other times, in the order of the spec.
    pub profiles: Vec<Profile>,
    /// Position of the profile that the spec names: then it is the only one.
    pub forced: Option<usize>,
    /// Values that are no knobs and that a profile has set, by their path.
    moved: BTreeMap<Box<str>, Value>,
    /// Who set a value in the place of the spec's own, by its path.
    set_by: BTreeMap<Box<str>, By>,
    /// Values whose profile is each target's own, with its name.
    apart: BTreeMap<Box<str>, Box<str>>,
    /// Whether several targets may share a `ConfigMap`.
    shares_config_maps: bool,
    /// Where alerts go; `None`: as the class says.
    pub sink: Option<Sink>,
    /// What somebody must have thought of.
    pub checklist: Arc<[Line]>,
    /// Tables of its own.
    pub sheets: Arc<[Sheet]>,
    /// Load tests.
    pub load_tests: Arc<[LoadTest]>,
    /// The spec's own words, for what needs no parsing: the metrics source, alert labels.
    pub spec: PerformancePolicySpec,
}

/// Who a policy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Namespace and name.
    pub key: PolicyKey,
    /// Uid.
    pub uid: String,
    /// Generation.
    pub generation: i64,
    /// Resource version of this view.
    pub resource_version: String,
    /// Creation: of two policies on one knob the older one wins, then the first by name.
    pub created: Instant,
    /// Whether deletion has begun.
    pub deleting: bool,
    /// Finalizers.
    pub finalizers: Vec<String>,
}

/// What a policy governs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Kind of the workloads.
    pub kind: Kind,
    /// Which of them.
    pub choice: Choice,
    /// Container of knobs that name none.
    pub container: Option<Box<str>>,
}

/// How workloads are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One, by name.
    Name(Box<str>),
    /// All that carry these labels.
    Labels(BTreeMap<String, String>),
}

impl Choice {
    /// Whether a workload of that name and labels is chosen.
    #[must_use]
    pub fn matches(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Name(want) => **want == *name,
            Self::Labels(want) => want.iter().all(|(key, value)| labels.get(key) == Some(value)),
        }
    }
}

/// A value and where it lands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knob {
    /// Path in the policy, such as `pools.db.size`.
    pub path: Box<str>,
    /// Type of the value.
    pub kind: ValueType,
    /// The value, or how it is worked out.
    pub value: Given,
    /// Smallest value that may ever be written.
    pub min: Option<Given>,
    /// Largest value that may ever be written.
    pub max: Option<Given>,
    /// What values make sense for what it steers.
    range: Range,
    /// What the value of a formula is rounded down to.
    grain: Option<Decimal>,
    /// Spelling where it lands.
    pub format: Option<ValueFormat>,
    /// Where it lands.
    pub landing: Landing,
    /// Container, where it is not the target's.
    pub container: Option<Box<str>>,
    /// What to do when somebody else owns the field.
    pub on_conflict: OnConflict,
    /// Whether the value may delete data where it lands.
    pub allow_destructive: bool,
    /// Where pods tell the value that they run with.
    pub readback: Option<Arc<Readback>>,
}

/// What values make sense for a field, whatever its bounds are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Range {
    /// All of its type.
    #[default]
    All,
    /// At least a number.
    From(i64, &'static str),
    /// From some seconds to [`units::MAX_TTL`](super::units::MAX_TTL).
    Seconds(i64),
    /// These words.
    Words(Box<[Box<str>]>),
}

/// Where a value lands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing {
    /// Nowhere: it is a variable.
    Variable,
    /// Environment variable.
    Env(Box<str>),
    /// Command-line flag.
    Arg(Box<str>),
    /// Option in the variable that its runtime reads.
    Option(&'static Known),
    /// Place in a document.
    Document {
        /// Index in `Policy::files`.
        file: usize,
        /// Place in it.
        at: Address,
        /// Whether a key that is absent gets a line of its own.
        create: bool,
    },
    /// Whole key of a `ConfigMap`.
    ConfigMapKey {
        /// Name of the `ConfigMap`.
        name: Box<str>,
        /// Key in `data`.
        key: Box<str>,
        /// How a running pod learns of it.
        reload: Reload,
    },
    /// Request or limit of the knob's container.
    Resource {
        /// `limits` or `requests`.
        bucket: &'static str,
        /// `cpu` or `memory`.
        resource: &'static str,
    },
    /// Field of a target that is no workload.
    Field(objects::Place),
    /// Kernel parameter of the pod.
    Sysctl(Box<str>),
    /// Nowhere, because no field of an object carries it: why, and where it belongs instead.
    NotEnforceable(Box<str>),
}

/// Bounds of the number of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// Smallest number.
    pub min: Option<i64>,
    /// Largest number.
    pub max: Option<i64>,
    /// What to do when somebody else owns the field.
    pub on_conflict: OnConflict,
}

/// A document in a `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Name in the policy.
    pub name: Box<str>,
    /// Name of the `ConfigMap`.
    pub config_map: Box<str>,
    /// Key in `data`.
    pub key: Box<str>,
    /// Format.
    pub format: FileFormat,
    /// How a running pod learns of a change.
    pub reload: Reload,
    /// What to do when somebody else changes the same place.
    pub on_conflict: OnConflict,
}

/// A pool and what multiplies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Name in the policy.
    pub name: Box<str>,
    /// Name of the process workers each of which has a pool.
    pub per_worker: Option<Box<str>>,
    /// Name of the `ConnectionBudget` that it counts against.
    pub budget: Option<Box<str>>,
}

/// Why a policy cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invalid {
    /// The finite reason.
    #[serde(serialize_with = "as_word")]
    pub reason: Reason,
    /// Path in the policy.
    pub path: String,
    /// What is wrong and what would be right, continuing the path.
    pub message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
fn as_word<S: serde::Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.as_str())
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path, self.message)
    }
}

impl Policy {
    /// Parses a policy.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the spec.
    pub fn parse(policy: &PerformancePolicy) -> Result<Self, Vec<Invalid>> {
        let (policy, wrong) = Self::examine(policy);
        if wrong.is_empty() { Ok(policy) } else { Err(wrong) }
    }

    /// Reads as much of a policy as can be read, and what is wrong with it. For whoever looks for mistakes and does not stop at
    /// the first kind; nothing may be written by a policy with which something is wrong.
    #[must_use]
    pub fn examine(policy: &PerformancePolicy) -> (Self, Vec<Invalid>) {
        let spec = &policy.spec;
        let scope = Scope::of(spec);
        let mut parser = Parser::new(&scope);
        parser.resources(&spec.resources);
        parser.workers(&spec.workers);
        parser.pools(&spec.pools, &spec.workers);
        parser.caches(&spec.caches);
        let files: Vec<File> = spec.files.iter().map(File::from).collect();
        parser.settings(&spec.settings);
        parser.runtime(spec);
        parser.kernel(spec.kernel.as_ref());
        parser.resolve_files(&files);
        parser.resolve_fields(spec.target.as_ref());
        parser.resolve_readbacks(&thresholds::common(spec));
        let Parser { knobs, pools, mut wrong, .. } = parser;
        let order = given::order(&knobs).map_err(|circles| wrong.extend(circles)).unwrap_or_default();
        let shares_config_maps = spec.target.as_ref().is_some_and(|target| target.selector.is_some());
        rules::check(&knobs, spec, &files, &mut wrong);
        // What follows from the target alone is not known yet; the rest is as right or wrong as it will ever be.
        let worked = given::work_out(&knobs, &order, |_| None, |_| None, |_| None);
        rules::check_values(&knobs, &worked, spec, &mut wrong);
        let known = |path: &str| given::value_of(&knobs, &worked, path);
        wrong.extend(runtime::check(&runtime::memory(&knobs, spec, known, |_| None)));
        shape::check(policy, &mut wrong);
        let (thresholds, refused) = thresholds::read(spec);
        wrong.extend(refused);
        let patterns = patterns::parse(spec).map_err(|refused| wrong.extend(refused)).unwrap_or_default();
        let profiles = profiles::parse(spec, &scope, &knobs, &thresholds, &mut wrong);
        let forced = profiles::forced(spec, &mut wrong);
        let apart = profiles::apart(&profiles, &knobs);
        if shares_config_maps {
            wrong.extend(given::shared_and_different(&knobs, &order, &apart));
        }
        if spec.target.is_none()
            && let Some(knob) = knobs.iter().find(|knob| knob.landing.is_written())
        {
            wrong.push(Invalid {
                reason: Reason::InvalidSpec,
                path: knob.path.to_string(),
                message: "has a landing place, but the policy has no target: set spec.target".into(),
            });
        }
        // What has been refused above would only be refused once more.
        let legible = wrong.is_empty();
        let vision = probe::Vision { scope: &scope, spec, thresholds: &thresholds };
        let mut reader = paper::Reader { vision, wrong: &mut wrong };
        let (checklist, sheets, load_tests) =
            if legible { (reader.lines(), reader.sheets(), reader.load_tests()) } else { Default::default() };
        let annotation = |key: &str| policy.metadata.annotations.as_ref().and_then(|a| a.get(key));
        let mut parsed = Self {
            identity: Identity::of(policy),
            mode: spec.mode.unwrap_or_default(),
            suspended: match annotation(names::SUSPENDED) {
                Some(why) if !why.is_empty() => Some(why.clone()),
                _ if spec.suspend == Some(true) => Some("spec.suspend is true".into()),
                _ => None,
            },
            resumed_at: annotation(names::RESUMED_AT).and_then(|at| Instant::parse(at)),
            rollback: Rollback::None,
            deletion: spec.deletion_policy.unwrap_or_default(),
            class: spec.class_name.as_deref().map(Into::into),
            target: spec.target.as_ref().map(Target::from),
            knobs,
            order,
            replicas: spec.replicas.as_ref().map(|r| Replicas {
                min: r.min.map(i64::from),
                max: r.max.map(i64::from),
                on_conflict: r.on_conflict.unwrap_or_default(),
            }),
            files,
            pools,
            thresholds,
            patterns,
            profiles,
            forced,
            moved: BTreeMap::new(),
            set_by: BTreeMap::new(),
            apart,
            shares_config_maps,
            sink: spec.alerting.as_ref().and_then(|a| a.sink),
            checklist: checklist.into(),
            sheets: sheets.into(),
            load_tests: load_tests.into(),
            spec: spec.clone(),
        };
        // The policy as it stands is right; is it, too, under each of its profiles?
        if wrong.is_empty() {
            parsed.check_profiles(&mut wrong);
        }
        if wrong.is_empty() {
            parsed.rollback = pin::read(policy, &parsed, &scope);
        }
        (parsed, wrong)
    }
}

impl Policy {
    /// Whether something shows a value: a field of an object carries it, or one that follows from it.
    #[must_use]
    pub fn is_carried(&self, path: &str) -> bool {
        let mut carried: BTreeSet<&str> = BTreeSet::from([path]);
        loop {
            let follows =
                |knob: &&Knob| carried.contains(&*knob.path) || knob.inputs().any(|input| carried.contains(input));
            let followers: Vec<&Knob> = self.knobs.iter().filter(follows).collect();
            if followers.iter().any(|knob| knob.landing.is_written()) {
                return true;
            }
            let before = carried.len();
            carried.extend(followers.iter().map(|knob| &*knob.path));
            if carried.len() == before {
                return false;
            }
        }
    }

    /// Works out every knob, in the order of `knobs`. `template` gives what the pod template of the target has. `stays` gives
    /// what those who read a knob see, because it stays whatever the policy says; it may be nothing that can be read. Takes
    /// time proportional to the text of the formulas.
    pub fn work_out(
        &self,
        stays: impl Fn(&str) -> Option<Option<Value>>,
        template: impl Fn(&Amount) -> Option<Value>,
    ) -> Vec<Result<Worked, Trouble>> {
        self.work_out_shared(stays, template, |_| None)
    }

    /// The same where budgets give pools less than they ask for: `share` gives the most that the size of a pool may be.
    pub fn work_out_shared(
        &self,
        stays: impl Fn(&str) -> Option<Option<Value>>,
        template: impl Fn(&Amount) -> Option<Value>,
        share: impl Fn(&str) -> Option<i64>,
    ) -> Vec<Result<Worked, Trouble>> {
        let stays = |path: &str| stays(path).or_else(|| self.moved.get(path).map(|value| Some(value.clone())));
        given::work_out(&self.knobs, &self.order, stays, template, share)
    }

    /// Name of the budget that the pool whose size or overflow is at `path` counts against.
    #[must_use]
    pub fn budget_of(&self, path: &str) -> Option<&str> {
        let (name, _) = path.strip_prefix("pools.")?.split_once('.')?;
        self.pools.iter().find(|pool| *pool.name == *name)?.budget.as_deref()
    }

    /// Its knobs, each after those that it follows from.
    pub fn in_order(&self) -> impl Iterator<Item = &Knob> {
        self.order.iter().filter_map(|&index| self.knobs.get(index))
    }

    /// What runtimes may take of the memory of their containers; see [`runtime::memory`].
    pub fn memory(
        &self,
        value: impl Fn(&str) -> Option<Value>,
        template: impl Fn(&Amount) -> Option<Value>,
    ) -> Vec<runtime::Memory> {
        runtime::memory(&self.knobs, &self.spec, value, template)
    }

    /// What is wrong with values that have been worked out.
    #[must_use]
    pub fn check_values(&self, worked: &[Result<Worked, Trouble>]) -> Vec<Invalid> {
        let mut wrong = Vec::new();
        rules::check_values(&self.knobs, worked, &self.spec, &mut wrong);
        wrong
    }
}

impl Identity {
    /// Reads who a policy is; that never fails, so that a policy which cannot be served can still be answered.
    #[must_use]
    pub fn of(policy: &PerformancePolicy) -> Self {
        let m = &policy.metadata;
        Self {
            key: (m.namespace.clone().unwrap_or_default().into(), m.name.clone().unwrap_or_default().into()),
            uid: m.uid.clone().unwrap_or_default(),
            generation: m.generation.unwrap_or_default(),
            resource_version: m.resource_version.clone().unwrap_or_default(),
            created: m
                .creation_timestamp
                .as_ref()
                .map_or(Instant::default(), |t| Instant::from_millis(t.0.as_millisecond())),
            deleting: m.deletion_timestamp.is_some(),
            finalizers: m.finalizers.clone().unwrap_or_default(),
        }
    }

    /// The policy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.key.1
    }

    /// Whether this policy goes before `other` where both want the same knob.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        (self.created, &self.key) < (other.created, &other.key)
    }
}

impl From<&wire::Target> for Target {
    fn from(target: &wire::Target) -> Self {
        let labels = || target.selector.as_ref().map(|s| s.match_labels.clone()).unwrap_or_default();
        Self {
            kind: target.kind.into(),
            choice: target.name.as_deref().map_or_else(|| Choice::Labels(labels()), |name| Choice::Name(name.into())),
            container: target.container.as_deref().map(Into::into),
        }
    }
}

impl From<&wire::File> for File {
    fn from(file: &wire::File) -> Self {
        Self {
            name: file.name.as_str().into(),
            config_map: file.config_map.as_str().into(),
            key: file.key.as_str().into(),
            format: file.format,
            reload: file.reload.unwrap_or_default(),
            on_conflict: file.on_conflict.unwrap_or_default(),
        }
    }
}

/// Collects knobs and what is wrong with them.
struct Parser<'a> {
    scope: &'a Scope,
    knobs: Vec<Knob>,
    pools: Vec<Pool>,
    /// Knobs that land in a document, by index, until the files are known.
    in_files: Vec<(usize, &'a wire::DocumentPath)>,
    /// Knobs that land in a field of the target, by index.
    in_fields: Vec<(usize, &'a str)>,
    /// Knobs that are read back, by index.
    read_back: Vec<(usize, &'a wire::Readback)>,
    wrong: Vec<Invalid>,
}

/// What a field takes.
struct Field {
    kind: ValueType,
    range: Range,
}

impl Field {
    const fn count(least: i64, says: &'static str) -> Self {
        Self { kind: ValueType::Integer, range: Range::From(least, says) }
    }

    const fn seconds(least: i64) -> Self {
        Self { kind: ValueType::Duration, range: Range::Seconds(least) }
    }

    /// What its formulas must give.
    fn is(&self) -> Type {
        match &self.range {
            Range::Words(words) => Type::Word(words.iter().map(ToString::to_string).collect()),
            Range::All | Range::From(..) | Range::Seconds(_) => self.kind.into(),
        }
    }
}

const fn value_type(kind: wire::SettingType) -> ValueType {
    match kind {
        wire::SettingType::Integer => ValueType::Integer,
        wire::SettingType::Number => ValueType::Number,
        wire::SettingType::Duration => ValueType::Duration,
        wire::SettingType::Bytes => ValueType::Bytes,
        wire::SettingType::Ratio => ValueType::Ratio,
        wire::SettingType::Boolean => ValueType::Boolean,
        wire::SettingType::Enum => ValueType::Enum,
    }
}

/// Reads a value of the type that `field` is for; `container` is the one that it belongs to.
///
/// # Errors
/// What is wrong with it, continuing its path.
fn read_given(scope: &Scope, field: &Field, literal: &Literal, container: Option<&str>) -> Result<Given, String> {
    match literal {
        Literal::Integer(n) => Value::from_int(field.kind, *n).map(Given::Literal).map_err(|e| e.to_string()),
        Literal::Text(text) => match Formula::of_value(text) {
            None => Value::parse(field.kind, text).map(Given::Literal).map_err(|error| error.to_string()),
            Some(Err(error)) => Err(error.to_string()),
            Some(Ok(formula)) => {
                let checked = scope.check(formula, &field.is(), container);
                checked.map(|expression| Given::Formula(Arc::new(expression)))
            }
        },
    }
}

impl<'a> Parser<'a> {
    const fn new(scope: &'a Scope) -> Self {
        Self {
            scope,
            knobs: Vec::new(),
            pools: Vec::new(),
            in_files: Vec::new(),
            in_fields: Vec::new(),
            read_back: Vec::new(),
            wrong: Vec::new(),
        }
    }

    fn refuse(&mut self, reason: Reason, path: impl Into<String>, message: impl Into<String>) {
        self.wrong.push(Invalid { reason, path: path.into(), message: message.into() });
    }

    /// Reads a value of the type that `field` is for; `container` is the one that it belongs to.
    fn given(&mut self, path: &str, field: &Field, literal: &Literal, container: Option<&str>) -> Option<Given> {
        let given = read_given(self.scope, field, literal, container);
        given.map_err(|message| self.refuse(Reason::InvalidSpec, path, message)).ok()
    }

    fn knob(&mut self, path: String, field: Field, knob: &'a wire::Knob) {
        let container = knob.container.as_deref();
        let value = self.given(&path, &field, &knob.value, container);
        let mut bound = |name: &str, bound: &Option<Literal>| {
            self.given(&format!("{path}.{name}"), &field, bound.as_ref()?, container)
        };
        let min = bound("min", &knob.min);
        let max = bound("max", &knob.max);
        let Some(value) = value else { return };
        // A variable until the target is known, see `resolve_fields`.
        self.in_fields.extend(knob.field.as_deref().map(|field| (self.knobs.len(), field)));
        let Some(landing) = self.landing(&path, field.kind, knob) else { return };
        self.knobs.push(Knob {
            path: path.into(),
            kind: field.kind,
            value,
            min,
            max,
            range: field.range,
            grain: landing.grain(),
            format: knob.format,
            landing,
            container: container.map(Into::into),
            on_conflict: knob.on_conflict.unwrap_or_default(),
            allow_destructive: knob.allow_destructive.unwrap_or_default(),
            readback: None,
        });
        let places = [&knob.env, &knob.arg, &knob.option, &knob.field];
        let lands = places.iter().any(|place| place.is_some()) || knob.path.is_some() || knob.config_map_key.is_some();
        self.note_readback(knob.effective.as_ref(), lands);
    }

    fn landing(&mut self, path: &str, kind: ValueType, knob: &'a wire::Knob) -> Option<Landing> {
        Some(match (&knob.env, &knob.arg, &knob.option, &knob.path, &knob.config_map_key) {
            (Some(env), ..) => Landing::Env(env.as_str().into()),
            (_, Some(arg), ..) => Landing::Arg(arg.as_str().into()),
            (_, _, Some(token), ..) => return self.option(path, kind, token, knob.format),
            (.., Some(at), _) => {
                self.in_files.push((self.knobs.len(), at));
                // A variable until the file is known, see `resolve_files`.
                Landing::Variable
            }
            (.., Some(key)) => Landing::ConfigMapKey {
                name: key.name.as_str().into(),
                key: key.key.as_str().into(),
                reload: key.reload.unwrap_or_default(),
            },
            (None, None, None, None, None) => Landing::Variable,
        })
    }

    fn option(&mut self, path: &str, kind: ValueType, token: &str, format: Option<ValueFormat>) -> Option<Landing> {
        let path = format!("{path}.option");
        let Some(known) = options::known(token).filter(|known| known.token != options::COLLECTOR) else {
            let all: Vec<&str> = options::tokens().collect();
            let printable = token.escape_default();
            self.refuse(
                Reason::InvalidSpec,
                path,
                format!("\"{printable}\" is not in the catalogue: there are {}", all.join(", ")),
            );
            return None;
        };
        if known.value_type() != kind {
            let takes = format!("{token} takes a value of type {}, not {kind}", known.value_type());
            self.refuse(Reason::InvalidSpec, path, takes);
            return None;
        }
        if format.is_some() {
            let message = "is spelled as its reader wants it: leave out as";
            self.refuse(Reason::InvalidSpec, path, message);
            return None;
        }
        Some(Landing::Option(known))
    }

    fn resources(&mut self, resources: &'a [wire::Resources]) {
        for item in resources {
            for (bucket, amounts) in [("limits", &item.limits), ("requests", &item.requests)] {
                let Some(amounts) = amounts else { continue };
                for (resource, text) in [("cpu", &amounts.cpu), ("memory", &amounts.memory)] {
                    let Some(text) = text else { continue };
                    let path = format!("resources.{}.{bucket}.{resource}", item.container);
                    let parsed = match resource {
                        "cpu" => Value::parse(ValueType::Cpu, text),
                        _ => Value::parse_memory(text),
                    };
                    match parsed {
                        Ok(value) => self.knobs.push(Knob {
                            path: path.into(),
                            kind: value.value_type(),
                            value: Given::Literal(value),
                            min: None,
                            max: None,
                            range: Range::All,
                            grain: None,
                            format: None,
                            landing: Landing::Resource { bucket, resource },
                            container: Some(item.container.as_str().into()),
                            on_conflict: item.on_conflict.unwrap_or_default(),
                            allow_destructive: false,
                            readback: None,
                        }),
                        Err(error) => self.refuse(Reason::InvalidSpec, path, error.to_string()),
                    }
                }
            }
        }
    }

    fn workers(&mut self, workers: &'a [wire::Workers]) {
        for group in workers {
            let field = Field::count(1, "must be ≥ 1");
            self.knob(format!("workers.{}.count", group.name), field, &group.count);
            if let Some(Err(error)) = group.memory_per_worker.as_deref().map(Value::parse_memory) {
                self.refuse(Reason::InvalidSpec, format!("workers.{}.memoryPerWorker", group.name), error.to_string());
            }
        }
    }

    fn pools(&mut self, pools: &'a [wire::Pool], workers: &[wire::Workers]) {
        for pool in pools {
            let at = |member: &str| format!("pools.{}.{member}", pool.name);
            for (member, knob, field) in [
                ("size", &pool.size, Field::count(1, "must be ≥ 1: some poolers read 0 as unlimited")),
                ("overflow", &pool.overflow, Field::count(0, "must be ≥ 0")),
                ("minIdle", &pool.min_idle, Field::count(0, "must be ≥ 0")),
                ("acquireTimeout", &pool.acquire_timeout, Field::seconds(0)),
                ("idleTimeout", &pool.idle_timeout, Field::seconds(0)),
                ("maxLifetime", &pool.max_lifetime, Field::seconds(0)),
            ] {
                if let Some(knob) = knob {
                    self.knob(at(member), field, knob);
                }
            }
            if let Some(worker) = pool.per_worker.as_deref() {
                let group = workers.iter().find(|group| group.name == worker);
                let wrong = match group.map(|group| group.unit.unwrap_or_default()) {
                    Some(WorkerUnit::Process) => None,
                    Some(WorkerUnit::Thread) => {
                        Some(format!("names \"{worker}\", whose unit is Thread: threads share one pool"))
                    }
                    None => Some(format!("names \"{worker}\", which is not in workers")),
                };
                if let Some(message) = wrong {
                    self.refuse(Reason::InvalidSpec, at("perWorker"), message);
                }
            }
            if pool.budget.is_some() && pool.size.is_none() {
                let message = "needs size: what the application opens by itself cannot be counted";
                self.refuse(Reason::InvalidSpec, at("budget"), message);
            }
            self.pools.push(Pool {
                name: pool.name.as_str().into(),
                per_worker: pool.per_worker.as_deref().map(Into::into),
                budget: pool.budget.as_deref().map(Into::into),
            });
        }
    }

    fn caches(&mut self, caches: &'a [wire::Cache]) {
        for cache in caches {
            let at = |member: &str| format!("caches.{}.{member}", cache.name);
            if let Some(Err(error)) = cache.max_staleness.as_ref().map(|text| Value::parse(ValueType::Duration, text)) {
                self.refuse(Reason::InvalidSpec, at("maxStaleness"), error.to_string());
            }
            for (member, knob, field) in [
                ("ttl", &cache.ttl, Field::seconds(1)),
                ("maxEntries", &cache.max_entries, Field::count(1, "must be > 0")),
                ("maxBytes", &cache.max_bytes, Field { kind: ValueType::Bytes, range: Range::From(1, "must be > 0") }),
            ] {
                if let Some(knob) = knob {
                    self.knob(at(member), field, knob);
                }
            }
        }
    }

    fn settings(&mut self, settings: &'a [wire::Setting]) {
        for setting in settings {
            let kind = value_type(setting.value_type.unwrap_or_default());
            let words = || Range::Words(setting.allowed.iter().map(|word| word.as_str().into()).collect());
            let range = if kind == ValueType::Enum { words() } else { Range::All };
            let path = format!("settings.{}", setting.name);
            let before = self.knobs.len();
            self.knob(path.clone(), Field { kind, range }, &setting.knob);
            let (Some(why), Some(knob)) = (&setting.not_enforceable, self.knobs.get_mut(before)) else { continue };
            // A place in a document is a variable until the files are known.
            let lands = knob.landing != Landing::Variable || setting.knob.path.is_some();
            knob.landing = Landing::NotEnforceable(why.as_str().into());
            if lands {
                let message = "must not be set where the value has a landing place: leave out one of them";
                self.refuse(Reason::InvalidSpec, format!("{path}.notEnforceable"), message);
            }
        }
    }

    fn kernel(&mut self, kernel: Option<&wire::Kernel>) {
        let Some(kernel) = kernel else { return };
        let knob = |path: String, value: Value, landing: Landing| Knob {
            path: path.into(),
            kind: value.value_type(),
            value: Given::Literal(value),
            min: None,
            max: None,
            range: Range::All,
            grain: None,
            format: None,
            landing,
            container: None,
            on_conflict: kernel.on_conflict.unwrap_or_default(),
            allow_destructive: false,
            readback: None,
        };
        for sysctl in &kernel.sysctls {
            let (path, value) = (format!("kernel.sysctls.{}", sysctl.name), sysctl.value.to_string());
            if let Some(message) = catalogue::sysctl::trouble(&sysctl.name, &value) {
                self.refuse(Reason::InvalidSpec, path, message);
                continue;
            }
            let landing = if catalogue::sysctl::carrier(&sysctl.name) == catalogue::sysctl::Carrier::Node {
                Landing::NotEnforceable(OF_THE_NODE.into())
            } else {
                Landing::Sysctl(sysctl.name.as_str().into())
            };
            self.knobs.push(knob(path, Value::Enum(value), landing));
        }
        if let Some(files) = kernel.open_files {
            let landing = Landing::NotEnforceable(OF_THE_RUNTIME.into());
            self.knobs.push(knob("kernel.openFiles".into(), Value::Integer(files.into()), landing));
        }
    }

    fn resolve_files(&mut self, files: &[File]) {
        for (index, path) in std::mem::take(&mut self.in_files) {
            let landed = match files.iter().position(|file| *file.name == *path.file) {
                None => Err(("file", format!("names \"{}\", which is not in files", path.file))),
                Some(file) => {
                    let (format, create) = (files[file].format(), path.create.unwrap_or_default());
                    match Address::parse(format, &path.at) {
                        Err(error) => Err(("at", error.to_string())),
                        Ok(_) if create && !format.is_lines() => {
                            Err(("create", format!("is for Properties, INI and Conf: add the key to the {format}")))
                        }
                        Ok(at) => Ok(Landing::Document { file, at, create }),
                    }
                }
            };
            let Some(knob) = self.knobs.get_mut(index) else { continue };
            match landed {
                Ok(landing) => knob.landing = landing,
                Err((member, message)) => {
                    let path = format!("{}.path.{member}", knob.path);
                    self.refuse(Reason::InvalidSpec, path, message);
                }
            }
        }
    }
}

impl Parser<'_> {
    fn resolve_fields(&mut self, target: Option<&wire::Target>) {
        for (index, path) in std::mem::take(&mut self.in_fields) {
            let Some(knob) = self.knobs.get_mut(index) else { continue };
            let landed = match target {
                None => Err("has no target whose field it is: set spec.target".to_owned()),
                Some(target) if target.kind.is_workload() => {
                    Err("is for targets other than workloads: use env, arg, path or configMapKey".to_owned())
                }
                Some(target) => objects::find(target.kind.into(), path),
            };
            match landed {
                Ok(place) => knob.landing = Landing::Field(place),
                Err(message) => {
                    let path = format!("{}.field", knob.path);
                    self.refuse(Reason::InvalidSpec, path, message);
                }
            }
        }
    }
}
/// Why no pod carries a parameter of the node.
const OF_THE_NODE: &str = "it is a parameter of the node, which no pod can carry: it belongs to the node's own configuration, which \
                           \"trimtab export node-tuning\" prints";

/// Why no pod carries a limit of open files.
const OF_THE_RUNTIME: &str = "no field of a pod sets the limit of open files: it belongs to the container runtime (LimitNOFILE of its \
                              systemd unit, which \"trimtab export node-tuning\" prints) or to a wrapper of the application \
                              (ulimit -n); the metric process_max_fds tells what holds";

impl Landing {
    /// Whether a field of an object carries it.
    #[must_use]
    pub const fn is_written(&self) -> bool {
        !matches!(self, Self::Variable | Self::NotEnforceable(_))
    }

    /// Whether pods learn of a change only when they are made anew, from a file.
    #[must_use]
    pub fn is_read_at_start(&self, policy: &Policy) -> bool {
        match self {
            Self::Document { file, .. } => policy.files.get(*file).is_some_and(|file| file.reload == Reload::Restart),
            Self::ConfigMapKey { reload, .. } => *reload == Reload::Restart,
            Self::Variable
            | Self::Env(_)
            | Self::Arg(_)
            | Self::Option(_)
            | Self::Resource { .. }
            | Self::Sysctl(_)
            | Self::NotEnforceable(_)
            | Self::Field(_) => false,
        }
    }

    /// What the value of a formula is rounded down to where it lands.
    const fn grain(&self) -> Option<Decimal> {
        match self {
            Self::Option(known) => known.grain(),
            _ => None,
        }
    }
}

impl Knob {
    /// A value as it is written where the knob lands.
    ///
    /// # Errors
    /// Why it cannot be written so, continuing the knob's path.
    pub fn render(&self, value: &Value) -> Result<String, String> {
        match &self.landing {
            Landing::Option(known) => known.render(value),
            _ => value.render(self.format).map_err(|error| error.to_string()),
        }
    }
}

impl File {
    /// The editor of its format.
    #[must_use]
    pub const fn format(&self) -> DocumentFormat {
        match self.format {
            FileFormat::Yaml => DocumentFormat::Yaml,
            FileFormat::Toml => DocumentFormat::Toml,
            FileFormat::Json => DocumentFormat::Json,
            FileFormat::Properties => DocumentFormat::Properties,
            FileFormat::Ini => DocumentFormat::Ini,
            FileFormat::Conf => DocumentFormat::Conf,
        }
    }
}
