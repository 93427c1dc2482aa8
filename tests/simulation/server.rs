//! The API server: objects, managers of fields, preconditions, and what the watches show.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use serde_json::{Value, json};
use trimtab::{
    api::{
        ConnectionBudget, ConnectionBudgetStatus, MetricsSource, PerformanceClass, PerformancePolicy,
        PerformancePolicyStatus, conditions::Reason, source::MetricsSourceStatus,
    },
    core::{
        engine::{Answer, Change, Failure, Input, Labels, Outcome, Refusal, Series, Stream},
        facts::{
            DisruptionBudget, Instant, Kind, ManagedEntry, Meta, ObjectKey, Operation, RawJson, Seen, object::Wire,
        },
        ownership::{FieldPath, FieldSet, Segment},
        policy::PolicyKey,
    },
};

use super::{
    alertmanager::Alertmanager,
    controllers::Controllers,
    people::NAMESPACE,
    schema::{self, Fields},
};

/// An entry of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub struct Manager {
    pub name: String,
    pub operation: Operation,
    pub subresource: String,
    pub at: Instant,
    pub fields: Fields,
}

/// An object as etcd holds it.
#[derive(Clone, Debug)]
pub struct Stored {
    pub key: ObjectKey,
    pub uid: String,
    pub version: u64,
    pub generation: i64,
    pub controller: Option<String>,
    pub managers: Rc<Vec<Manager>>,
    /// `metadata.annotations`, `metadata.labels`, and `spec` or `data`. Most versions differ in the status only.
    pub tree: Rc<Value>,
    pub status: Value,
    seen: Rc<Seen>,
}

impl Stored {
    pub fn template(&self) -> &Value {
        &self.tree["spec"]["template"]
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.tree["metadata"]["annotations"].get(name)?.as_str()
    }

    pub fn at(&self, pointer: &str) -> &Value {
        self.tree.pointer(pointer).unwrap_or(&Value::Null)
    }

    pub fn seen(&self) -> Seen {
        (*self.seen).clone()
    }

    fn show(&self) -> Seen {
        let text = |member: &str| -> BTreeMap<String, String> {
            let members = self.tree["metadata"][member].as_object().into_iter().flatten();
            members.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
        };
        let managed = self.managers.iter().map(|manager| ManagedEntry {
            manager: manager.name.clone(),
            operation: manager.operation,
            api_version: self.key.kind.api_version().to_owned(),
            time: Some(manager.at.whole_seconds().to_string()),
            fields_type: "FieldsV1".to_owned(),
            fields: RawJson::of(&manager.fields.iter().cloned().collect::<FieldSet>().write()),
            subresource: manager.subresource.clone(),
        });
        let rest = self.tree.as_object().into_iter().flatten().filter(|(name, _)| *name != "metadata");
        Seen {
            key: self.key.clone(),
            meta: Meta {
                uid: self.uid.clone(),
                resource_version: String::new(),
                generation: self.generation,
                deleting: false,
                labels: text("labels"),
                annotations: text("annotations"),
                controller: self
                    .controller
                    .clone()
                    .map(|name| trimtab::core::facts::Controller { kind: "Rollout".to_owned(), name }),
                managed: managed.collect(),
            },
            rest: rest.map(|(name, value)| (name.as_str().into(), RawJson::of(value))).collect(),
        }
    }

    /// What a version shows that may differ from the last one in its status only.
    fn show_after(&self, last: Option<&Self>) -> Seen {
        let same = last.filter(|last| {
            Rc::ptr_eq(&last.tree, &self.tree)
                && Rc::ptr_eq(&last.managers, &self.managers)
                && (&last.uid, &last.controller) == (&self.uid, &self.controller)
        });
        let mut seen = same.map_or_else(|| self.show(), Self::seen);
        seen.meta.resource_version = self.version.to_string();
        if !self.status.is_null() {
            seen.rest.insert("status".into(), RawJson::of(&self.status));
        }
        seen
    }
}

/// What may be wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Every value is NaN.
    NotANumber,
    /// Every value is infinite.
    Infinite,
    /// The answer is of ten minutes ago, as from a cache.
    Old,
    /// The samples are of ten minutes ago, and the answer is of now.
    Stale,
    /// The answer is of ten minutes later.
    Future,
    /// Warnings say that it is incomplete.
    Partial,
    /// Each series is there twice.
    Twice,
    /// There is no series.
    Empty,
    /// It is no answer.
    Page,
    /// The query costs too much.
    Expensive,
    /// Counters go back again and again.
    Torn,
}

impl Lie {
    pub const ALL: [Self; 11] = [
        Self::NotANumber,
        Self::Infinite,
        Self::Old,
        Self::Stale,
        Self::Future,
        Self::Partial,
        Self::Twice,
        Self::Empty,
        Self::Page,
        Self::Expensive,
        Self::Torn,
    ];

    /// What becomes of a true answer.
    fn told(self, expr: &str, at: Instant, truth: Vec<Series>) -> Answer {
        let refuse = |reason| Err(Refusal { reason, message: "a lie".to_owned() });
        let each = |change: &dyn Fn(&mut (f64, f64))| {
            let mut told = truth.clone();
            told.iter_mut().flat_map(|series| &mut series.points).for_each(change);
            Ok(told)
        };
        match self {
            Self::NotANumber => each(&|point| point.1 = f64::NAN),
            Self::Infinite => each(&|point| point.1 = f64::INFINITY),
            Self::Old => each(&|point| point.0 -= 600.0),
            Self::Future => each(&|point| point.0 += 600.0),
            Self::Stale if expr.contains("timestamp(") => each(&|point| point.1 = at.seconds() - 600.0),
            Self::Stale | Self::Torn => Ok(truth),
            Self::Partial => refuse(Reason::PartialResult),
            Self::Twice => Ok(truth.iter().chain(&truth).cloned().collect()),
            Self::Empty => Ok(Vec::new()),
            Self::Page => refuse(Reason::BadResponse),
            Self::Expensive => refuse(Reason::QueryTooExpensive),
        }
    }
}

/// A `PodDisruptionBudget`.
#[derive(Clone, Debug)]
pub struct Guard {
    pub spec: Value,
    pub generation: i64,
    pub status: Value,
}

impl Guard {
    fn show(&self, key: &PolicyKey) -> Input {
        let metadata = json!({"namespace": &*key.0, "name": &*key.1, "generation": self.generation});
        let wire: Wire =
            serde_json::from_value(json!({"metadata": metadata, "spec": self.spec, "status": self.status})).unwrap();
        let shown: (PolicyKey, DisruptionBudget) = wire.into_disruption_budget().unwrap();
        Input::Disruption(Change::Applied(Box::new(shown)))
    }

    /// Whether it is for pods with these labels. The model's selectors have no expressions.
    pub fn selects(&self, template: &Value) -> bool {
        let wanted = self.spec["selector"]["matchLabels"].as_object().into_iter().flatten();
        let labels = &template["metadata"]["labels"];
        self.spec["selector"].is_object() && wanted.into_iter().all(|(name, value)| labels.get(name) == Some(value))
    }
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Refused {
    NotFound,
    Conflict(Vec<(String, String)>),
    Stale,
    Replaced,
    Rejected(String),
}

impl Refused {
    pub fn outcome(self) -> Outcome {
        Outcome::Failed(match self {
            Self::NotFound => return Outcome::NotFound,
            Self::Conflict(causes) => Failure::Conflict(causes),
            Self::Stale => Failure::Stale,
            Self::Replaced => Failure::Replaced,
            Self::Rejected(why) => Failure::Rejected(why),
        })
    }
}

/// An admission webhook that replaces a variable's value, whoever writes it.
#[derive(Clone, Debug)]
pub struct Rewrite {
    pub path: FieldPath,
    pub value: Value,
}

#[derive(Default)]
pub struct Server {
    pub now: Instant,
    pub version: u64,
    pub objects: BTreeMap<ObjectKey, Stored>,
    pub policies: BTreeMap<PolicyKey, PerformancePolicy>,
    pub classes: BTreeMap<Box<str>, PerformanceClass>,
    pub budgets: BTreeMap<PolicyKey, ConnectionBudget>,
    pub guards: BTreeMap<PolicyKey, Guard>,
    /// Events about budgets: type and reason.
    pub budget_events: Vec<String>,
    pub admission: Vec<Rewrite>,
    /// Kinds of other projects that are not installed.
    pub absent: BTreeSet<Kind>,
    /// Pod templates that were changed, and by whom.
    pub templates: Vec<(ObjectKey, String)>,
    /// The metrics source, once there is one.
    pub source: Option<MetricsSource>,
    /// What it reads of the gauge of each workload; nothing of those that are not here.
    pub readings: BTreeMap<Box<str>, f64>,
    /// How many observations readings are made of, where a query asks for that.
    pub samples: BTreeMap<Box<str>, f64>,
    /// What the pods of a workload tell, whatever their environment says.
    pub ignores: BTreeMap<Box<str>, f64>,
    /// What one pod of a workload tells, whatever its environment says.
    pub outlier: BTreeMap<Box<str>, f64>,
    /// Workloads whose pods tell nothing.
    pub mute: BTreeSet<Box<str>>,
    /// What it reads of gauges as a whole, such as `pg_settings_max_connections`; nothing of those that are not here.
    pub gauges: BTreeMap<Box<str>, f64>,
    /// Alertmanagers, by base URL.
    pub alertmanagers: BTreeMap<Box<str>, Alertmanager>,
    /// Whether it answers nothing at all.
    pub silent: bool,
    /// What is wrong with what Prometheus answers.
    pub lie: Option<Lie>,
    /// How often it is asked, if not as usual.
    pub interval: Option<String>,
    /// What the watches have to show and have not been given yet.
    pub log: Vec<(Stream, Input)>,
}

impl Server {
    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    pub fn uid(&mut self) -> String {
        format!("uid-{}", self.next_version())
    }

    pub fn get(&self, key: &ObjectKey) -> Result<&Stored, Refused> {
        self.objects.get(key).ok_or(Refused::NotFound)
    }

    /// Makes an object that `manager` created.
    pub fn create(&mut self, key: ObjectKey, tree: Value, manager: &str, operation: Operation) {
        let uid = self.uid();
        let fields = schema::leaves(&tree).into_keys().collect();
        let managers =
            vec![Manager { name: manager.to_owned(), operation, subresource: String::new(), at: self.now, fields }];
        let generation = i64::from(key.kind.is_workload() || key.kind.is_foreign());
        let seen = Rc::new(Seen { key: key.clone(), meta: Meta::default(), rest: BTreeMap::new() });
        let stored = Stored {
            key: key.clone(),
            uid,
            version: 0,
            generation,
            controller: None,
            managers: Rc::new(managers),
            tree: Rc::new(tree),
            status: Value::Null,
            seen,
        };
        self.store(stored);
    }

    fn store(&mut self, mut stored: Stored) {
        stored.version = self.next_version();
        stored.seen = Rc::new(stored.show_after(self.objects.get(&stored.key)));
        self.log.push((Stream::Objects(stored.key.kind), Input::Object(Change::Applied(Box::new(watched(&stored))))));
        self.objects.insert(stored.key.clone(), stored);
    }

    pub fn delete(&mut self, key: &ObjectKey) {
        if self.objects.remove(key).is_some() {
            self.next_version();
            self.log.push((Stream::Objects(key.kind), Input::Object(Change::Deleted(key.clone()))));
        }
    }

    pub fn set_controller(&mut self, key: &ObjectKey, owner: &str) {
        let mut stored = self.objects[key].clone();
        stored.controller = Some(owner.to_owned());
        self.store(stored);
    }

    pub fn set_status(&mut self, key: &ObjectKey, status: Value) {
        let Some(stored) = self.objects.get(key).filter(|stored| stored.status != status) else { return };
        let mut stored = stored.clone();
        stored.status = status;
        self.store(stored);
    }

    /// Server-side apply.
    pub fn apply(&mut self, key: &ObjectKey, name: &str, body: &Value, force: bool) -> Result<&Stored, Refused> {
        let live = self.get(key)?.clone();
        let mut patch = body.clone();
        let meta = patch["metadata"].take();
        let members = patch.as_object_mut().unwrap();
        members.retain(|member, _| !matches!(member.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
        for member in ["annotations", "labels"] {
            if !meta[member].is_null() {
                patch["metadata"][member] = meta[member].clone();
            }
        }
        let applied: Fields = schema::leaves(&patch).into_keys().collect();
        let mut tree = schema::merge(&live.tree, &patch, "");
        let mut managers = (*live.managers).clone();
        if managers.is_empty() {
            // What was there before anybody was known to manage it.
            let fields = schema::leaves(&live.tree).into_keys().collect();
            let name = "before-first-apply".to_owned();
            managers.push(Manager {
                name,
                operation: Operation::Update,
                subresource: String::new(),
                at: self.now,
                fields,
            });
        }
        let is_ours = |m: &Manager| m.name == name && m.operation == Operation::Apply && m.subresource.is_empty();
        let changed = schema::compare(&live.tree, &tree).changed;
        let mut causes = Vec::new();
        for other in managers.iter_mut().filter(|m| !is_ours(m)) {
            for path in other.fields.intersection(&changed) {
                causes.push((other.name.clone(), path.to_string()));
            }
            if force {
                other.fields.retain(|path| !changed.contains(path));
            }
        }
        if !causes.is_empty() && !force {
            return Err(Refused::Conflict(causes));
        }
        // The same order as the server's: conflicts, then the version, then the uid.
        if meta["resourceVersion"].as_str().is_some_and(|version| version != live.version.to_string()) {
            return Err(Refused::Stale);
        }
        if meta["uid"].as_str().is_some_and(|uid| uid != live.uid) {
            return Err(Refused::Replaced);
        }
        // What its sole owner stops sending goes.
        let before = managers.iter().position(is_ours).map(|at| managers.remove(at));
        for path in before.iter().flat_map(|before| before.fields.difference(&applied)) {
            let kept = |fields: &Fields| fields.range(path..).next().is_some_and(|other| other.is_at_or_below(path));
            // An item that somebody else holds keeps what identifies it.
            let item = path.parent().filter(|item| {
                let name = path.segments().last().map(ToString::to_string).unwrap_or_default();
                matches!(item.segments().last(), Some(Segment::Key(keys)) if keys.contains_key(name.trim_start_matches('.')))
            });
            let path_or_item = item.as_ref().unwrap_or(path);
            let kept = |fields: &Fields| {
                kept(fields)
                    || fields.range(path_or_item..).next().is_some_and(|other| other.is_at_or_below(path_or_item))
            };
            if !kept(&applied) && !managers.iter().any(|other| kept(&other.fields)) {
                schema::remove(&mut tree, path.segments());
            }
        }
        for rewrite in &self.admission {
            if rewrite.path.lookup(&tree).is_some() {
                tree = schema::merge(&tree, &patch_of(&rewrite.path, &rewrite.value), "");
            }
        }
        check(&tree)?;
        let at = before.filter(|before| before.fields == applied && tree == *live.tree).map_or(self.now, |b| b.at);
        if !applied.is_empty() {
            let (name, subresource) = (name.to_owned(), String::new());
            managers.push(Manager { name, operation: Operation::Apply, subresource, at, fields: applied });
        }
        self.put(live, tree, managers, name)
    }

    /// Any other write of the object itself. `managers` is what the request said they shall be.
    pub fn update(
        &mut self,
        key: &ObjectKey,
        name: &str,
        subresource: &str,
        tree: Value,
        managers: Option<Vec<Manager>>,
    ) -> Result<&Stored, Refused> {
        let live = self.get(key)?.clone();
        check(&tree)?;
        let difference = schema::compare(&live.tree, &tree);
        let mut managers = managers.unwrap_or_else(|| (*live.managers).clone());
        if !managers.is_empty() {
            let (mut ours, mut others): (Vec<Manager>, Vec<Manager>) = managers
                .into_iter()
                .partition(|m| m.name == name && m.operation == Operation::Update && m.subresource == subresource);
            for other in &mut others {
                other.fields.retain(|path| !difference.changed.contains(path) && !difference.removed.contains(path));
            }
            let mut entry = ours.pop().unwrap_or_else(|| Manager {
                name: name.to_owned(),
                operation: Operation::Update,
                subresource: subresource.to_owned(),
                at: self.now,
                fields: Fields::new(),
            });
            if !difference.changed.is_empty() {
                entry.at = self.now;
            }
            entry.fields.retain(|path| !difference.removed.contains(path));
            entry.fields.extend(difference.changed);
            others.push(entry);
            managers = others;
        }
        self.put(live, tree, managers, name)
    }

    fn put(&mut self, live: Stored, tree: Value, mut managers: Vec<Manager>, name: &str) -> Result<&Stored, Refused> {
        managers.retain(|manager| !manager.fields.is_empty());
        managers.sort_by(|a, b| (a.operation, a.at, &a.name).cmp(&(b.operation, b.at, &b.name)));
        let key = live.key.clone();
        if tree != *live.tree || managers != *live.managers {
            let counts = |tree: &Value| {
                let annotations = match key.kind {
                    Kind::Deployment => tree["metadata"]["annotations"].clone(),
                    _ => Value::Null,
                };
                (tree["spec"].clone(), annotations)
            };
            let bump = (key.kind.is_workload() || key.kind.is_foreign()) && counts(&tree) != counts(&live.tree);
            let generation = live.generation + i64::from(bump);
            if tree["spec"]["template"] != live.tree["spec"]["template"] {
                self.templates.push((key.clone(), name.to_owned()));
            }
            let (tree, managers) = (Rc::new(tree), Rc::new(managers));
            self.store(Stored { tree, managers, generation, ..live });
        }
        Ok(&self.objects[&key])
    }

    /// JSON patch (RFC 6902).
    pub fn patch(
        &mut self,
        key: &ObjectKey,
        name: &str,
        subresource: Option<&str>,
        operations: &Value,
    ) -> Result<&Stored, Refused> {
        let live = self.get(key)?.clone();
        let patch: json_patch::Patch = serde_json::from_value(operations.clone()).unwrap();
        let mut document = (*live.tree).clone();
        document["metadata"]["resourceVersion"] = json!(live.version.to_string());
        document["metadata"]["managedFields"] = json!(live.seen.meta.managed);
        let before = document["metadata"]["managedFields"].clone();
        let before_version = document["metadata"]["resourceVersion"].clone();
        // What does not fit is found out first, and told like an old view.
        json_patch::patch(&mut document, &patch).map_err(|_| Refused::Stale)?;
        if document["metadata"]["resourceVersion"] != before_version {
            return Err(Refused::Stale);
        }
        let managed = document["metadata"]["managedFields"].take();
        let meta = document["metadata"].as_object_mut().unwrap();
        meta.retain(|member, _| matches!(member.as_str(), "annotations" | "labels"));
        meta.retain(|_, map| !map.as_object().is_some_and(serde_json::Map::is_empty));
        let managers = (managed != before).then(|| read_managers(&managed));
        self.update(key, name, subresource.unwrap_or_default(), document, managers)
    }

    // Policies.

    pub fn put_policy(&mut self, mut policy: PerformancePolicy) {
        policy.metadata.resource_version = Some(self.next_version().to_string());
        let key = policy_key(&policy);
        self.log.push((Stream::Policies, Input::Policy(Change::Applied(Box::new(policy.clone())))));
        self.policies.insert(key, policy);
    }

    pub fn set_finalizers(&mut self, key: &PolicyKey, version: &str, finalizers: &[String]) -> Result<(), Refused> {
        let mut policy = self.policies.get(key).cloned().ok_or(Refused::NotFound)?;
        if policy.metadata.resource_version.as_deref() != Some(version) {
            return Err(Refused::Stale);
        }
        policy.metadata.finalizers = (!finalizers.is_empty()).then(|| finalizers.to_vec());
        if finalizers.is_empty() && policy.metadata.deletion_timestamp.is_some() {
            self.drop_policy(key);
        } else {
            self.put_policy(policy);
        }
        Ok(())
    }

    pub fn delete_policy(&mut self, key: &PolicyKey) {
        let Some(mut policy) = self.policies.get(key).cloned() else { return };
        if policy.metadata.finalizers.as_ref().is_none_or(Vec::is_empty) {
            self.drop_policy(key);
        } else if policy.metadata.deletion_timestamp.is_none() {
            policy.metadata.deletion_timestamp = Some(trimtab::core::report::time(self.now));
            policy.metadata.generation = policy.metadata.generation.map(|generation| generation + 1);
            self.put_policy(policy);
        }
    }

    fn drop_policy(&mut self, key: &PolicyKey) {
        self.policies.remove(key);
        self.next_version();
        self.log.push((Stream::Policies, Input::Policy(Change::Deleted(key.clone()))));
    }

    pub fn set_policy_status(
        &mut self,
        key: &PolicyKey,
        uid: &str,
        status: &PerformancePolicyStatus,
    ) -> Result<(), Refused> {
        let mut policy = self.policies.get(key).cloned().ok_or(Refused::NotFound)?;
        let other = policy.metadata.uid.as_deref() != Some(uid);
        // Through JSON, as it would travel.
        let status: PerformancePolicyStatus = serde_json::from_value(json!(status)).unwrap();
        if policy.status.as_ref() != Some(&status) {
            policy.status = Some(status);
            self.put_policy(policy);
        }
        if other { Err(Refused::Replaced) } else { Ok(()) }
    }

    pub fn put_budget(&mut self, mut budget: ConnectionBudget) {
        budget.metadata.resource_version = Some(self.next_version().to_string());
        let name = |text: &Option<String>| text.clone().unwrap_or_default().into();
        let key = (name(&budget.metadata.namespace), name(&budget.metadata.name));
        self.log.push((Stream::Budgets, Input::Budget(Change::Applied(Box::new(budget.clone())))));
        self.budgets.insert(key, budget);
    }

    /// A person writes the spec of a `PodDisruptionBudget`.
    pub fn apply_guard(&mut self, name: &str, spec: &Value) {
        let key: PolicyKey = (NAMESPACE.into(), name.into());
        let known = self.guards.get(&key);
        let (generation, status) = known.map_or((1, json!({})), |known| (known.generation + 1, known.status.clone()));
        self.put_guard(key, Guard { spec: spec.clone(), generation, status });
    }

    pub fn put_guard(&mut self, key: PolicyKey, guard: Guard) {
        self.next_version();
        self.log.push((Stream::Disruptions, guard.show(&key)));
        self.guards.insert(key, guard);
    }

    pub fn delete_guard(&mut self, name: &str) {
        let key: PolicyKey = (NAMESPACE.into(), name.into());
        if self.guards.remove(&key).is_some() {
            self.next_version();
            self.log.push((Stream::Disruptions, Input::Disruption(Change::Deleted(key))));
        }
    }

    pub fn delete_budget(&mut self, key: &PolicyKey) {
        if self.budgets.remove(key).is_some() {
            self.next_version();
            self.log.push((Stream::Budgets, Input::Budget(Change::Deleted(key.clone()))));
        }
    }

    pub fn set_budget_status(
        &mut self,
        key: &PolicyKey,
        uid: &str,
        resource_version: &str,
        status: &ConnectionBudgetStatus,
    ) -> Result<(), Refused> {
        let mut budget = self.budgets.get(key).cloned().ok_or(Refused::NotFound)?;
        if budget.metadata.resource_version.as_deref() != Some(resource_version) {
            return Err(Refused::Stale);
        }
        let other = budget.metadata.uid.as_deref() != Some(uid);
        let status: ConnectionBudgetStatus = serde_json::from_value(json!(status)).unwrap();
        if budget.status.as_ref() != Some(&status) {
            budget.status = Some(status);
            self.put_budget(budget);
        }
        if other { Err(Refused::Replaced) } else { Ok(()) }
    }

    pub fn put_class(&mut self, class: PerformanceClass) {
        let name = class.metadata.name.clone().unwrap_or_default().into();
        self.next_version();
        self.log.push((Stream::Classes, Input::Class(Change::Applied(Box::new(class.clone())))));
        self.classes.insert(name, class);
    }

    /// The definition of another project's kind goes, and its objects with it.
    pub fn uninstall(&mut self, kind: Kind) {
        let keys: Vec<ObjectKey> = self.objects.keys().filter(|key| key.kind == kind).cloned().collect();
        for key in keys {
            self.delete(&key);
        }
        self.absent.insert(kind);
        self.log.push((Stream::Objects(kind), Input::Unserved(Stream::Objects(kind), Reason::KindNotServed)));
    }

    /// The kind is not served for a while, and its objects stay in the store.
    pub fn unserve(&mut self, kind: Kind) {
        self.absent.insert(kind);
        self.log.push((Stream::Objects(kind), Input::Unserved(Stream::Objects(kind), Reason::KindNotServed)));
    }

    /// The definition comes: the watch of the kind begins with a list.
    pub fn install(&mut self, kind: Kind) {
        self.absent.remove(&kind);
        let list = self.list(Stream::Objects(kind)).into_iter();
        self.log.extend(list.map(|input| (Stream::Objects(kind), input)));
    }

    /// A Prometheus is there from now on.
    pub fn put_source(&mut self) {
        let mut source: MetricsSource =
            serde_json::from_value(json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "MetricsSource",
            "metadata": {"name": "default", "generation": 1, "resourceVersion": "1"},
            "spec": {"prometheus": {"url": "http://prometheus"}}}))
            .unwrap();
        source.spec.interval.clone_from(&self.interval);
        self.log.push((Stream::Sources, Input::Source(Change::Applied(Box::new(source.clone())))));
        self.source = Some(source);
    }

    /// One more Alertmanager is there, and the source names it.
    pub fn add_alertmanager(&mut self, url: &str) {
        self.alertmanagers.insert(url.into(), Alertmanager::default());
        let version = self.next_version();
        let source = self.source.as_mut().expect("a source");
        source.spec.alertmanagers.push(url.to_owned());
        source.metadata.resource_version = Some(version.to_string());
        self.log.push((Stream::Sources, Input::Source(Change::Applied(Box::new(source.clone())))));
    }

    pub fn set_source_status(&mut self, status: &MetricsSourceStatus) {
        let version = self.next_version();
        let Some(source) = &mut self.source else { return };
        source.status = Some(status.clone());
        source.metadata.resource_version = Some(version.to_string());
        self.log.push((Stream::Sources, Input::Source(Change::Applied(Box::new(source.clone())))));
    }

    /// What Prometheus answers to a query at a time.
    pub fn answer(&self, controllers: &Controllers, expr: &str, at: Instant) -> Answer {
        let truth = self.truth(controllers, expr, at)?;
        match self.lie {
            Some(lie) => lie.told(expr, at, truth),
            None => Ok(truth),
        }
    }

    fn truth(&self, controllers: &Controllers, expr: &str, at: Instant) -> Answer {
        if self.silent {
            return Err(Refusal { reason: Reason::BackendUnavailable, message: "connection refused".to_owned() });
        }
        if expr.contains("trimtab_value") {
            return Ok(self.tell(controllers, expr, at));
        }
        if let Some(gauge) = ["min(pg_", "sum(pg_"].iter().find_map(|join| expr.strip_prefix(join)) {
            let gauge = format!("pg_{}", gauge.split_once('{').map_or(gauge, |(gauge, _)| gauge));
            let value = self.gauges.get(gauge.as_str()).copied();
            let series = |value| Series { labels: Labels::default(), points: vec![(at.seconds(), value)] };
            return Ok(value.map(series).into_iter().collect());
        }
        // Nothing is wrong with counters, and nobody says where buckets end.
        let torn = self.lie == Some(Lie::Torn);
        if (expr.contains("resets(") && !torn) || expr.contains("count by (namespace,trimtab_workload,") {
            return Ok(Vec::new());
        }
        let series = |part: Option<&'static str>| {
            move |(workload, value): (&str, f64)| {
                let part = part.map(|part| ("trimtab_part", part));
                let labels = [("namespace", NAMESPACE), ("trimtab_workload", workload)].into_iter().chain(part);
                let labels = labels.map(|(name, value)| (name.into(), value.into())).collect();
                let value = if expr.contains("timestamp(") { at.seconds() } else { value };
                Series { labels, points: vec![(at.seconds(), value)] }
            }
        };
        let readings = self.readings.iter().map(|(workload, value)| (&**workload, *value));
        let counts = self.samples.iter().filter(|_| expr.contains("trimtab_part"));
        let counts = counts.map(|(workload, value)| (&**workload, *value));
        Ok(readings.map(series(None)).chain(counts.map(series(Some("count")))).collect())
    }

    /// What the pods of all workloads tell of a variable: the gauge is named after it.
    fn tell(&self, controllers: &Controllers, expr: &str, at: Instant) -> Vec<Series> {
        let gauge =
            expr.split_once("label_replace(").and_then(|(_, rest)| rest.split_once('{')).map(|(gauge, _)| gauge);
        let variable = gauge.unwrap_or_default().to_uppercase();
        let mut told = Vec::new();
        for key in controllers.workloads.keys().filter(|key| !self.mute.contains(&key.name)) {
            for (n, (pod, value)) in controllers.environments(key, &variable).into_iter().enumerate() {
                let ignored = self.ignores.get(&key.name).map(f64::to_string);
                let outlier = self.outlier.get(&key.name).filter(|_| n == 0).map(f64::to_string);
                let Some(value) = outlier.or(ignored).or(value) else { continue };
                let labels = [
                    ("namespace", NAMESPACE),
                    ("trimtab_workload", &key.name),
                    ("pod", &pod),
                    ("trimtab_value", &value),
                ];
                let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
                told.push(Series { labels, points: vec![(at.seconds(), 1.0)] });
            }
        }
        told
    }

    /// The complete list of a stream, as a watch begins with it.
    pub fn list(&self, stream: Stream) -> Vec<Input> {
        if let Stream::Objects(kind) = stream
            && self.absent.contains(&kind)
        {
            return vec![Input::Unserved(stream, Reason::KindNotServed)];
        }
        let mut names: BTreeSet<(Box<str>, Box<str>)> = BTreeSet::new();
        let mut inputs = Vec::new();
        match stream {
            Stream::Policies => {
                for (key, policy) in &self.policies {
                    names.insert(key.clone());
                    inputs.push(Input::Policy(Change::Applied(Box::new(policy.clone()))));
                }
            }
            Stream::Classes => {
                for (name, class) in &self.classes {
                    names.insert(("".into(), name.clone()));
                    inputs.push(Input::Class(Change::Applied(Box::new(class.clone()))));
                }
            }
            Stream::Sources => {
                if let Some(source) = &self.source {
                    names.insert(("".into(), source.metadata.name.clone().unwrap_or_default().into()));
                    inputs.push(Input::Source(Change::Applied(Box::new(source.clone()))));
                }
            }
            Stream::Budgets => {
                for (key, budget) in &self.budgets {
                    names.insert(key.clone());
                    inputs.push(Input::Budget(Change::Applied(Box::new(budget.clone()))));
                }
            }
            Stream::Disruptions => {
                for (key, guard) in &self.guards {
                    names.insert(key.clone());
                    inputs.push(guard.show(key));
                }
            }
            Stream::Rules => {}
            Stream::Objects(kind) => {
                for stored in self.objects.values().filter(|stored| stored.key.kind == kind) {
                    names.insert((stored.key.namespace.clone(), stored.key.name.clone()));
                    inputs.push(Input::Object(Change::Applied(Box::new(watched(stored)))));
                }
            }
        }
        inputs.push(Input::Listed(stream, trimtab::core::engine::Listing { names }));
        inputs
    }
}

/// The watch of `ConfigMap`s carries metadata only.
fn watched(stored: &Stored) -> Seen {
    let mut seen = stored.seen();
    if stored.key.kind == Kind::ConfigMap {
        seen.rest.clear();
    }
    seen
}

pub fn policy_key(policy: &PerformancePolicy) -> PolicyKey {
    let meta = &policy.metadata;
    (meta.namespace.clone().unwrap_or_default().into(), meta.name.clone().unwrap_or_default().into())
}

fn read_managers(managed: &Value) -> Vec<Manager> {
    let entries = managed.as_array().into_iter().flatten().filter(|entry| entry.get("manager").is_some());
    entries
        .map(|entry| {
            let entry: ManagedEntry = serde_json::from_value(entry.clone()).unwrap();
            Manager {
                name: entry.manager,
                operation: entry.operation,
                subresource: entry.subresource,
                at: entry.time.as_deref().and_then(Instant::parse).unwrap_or_default(),
                fields: FieldSet::read(&entry.fields).iter().cloned().collect(),
            }
        })
        .collect()
}

/// The tree that has only `value` at `path`.
fn patch_of(path: &FieldPath, value: &Value) -> Value {
    path.segments().iter().rev().fold(value.clone(), |inner, segment| match segment {
        Segment::Field(name) => json!({ &**name: inner }),
        Segment::Key(keys) => {
            let mut item = inner;
            for (name, key) in &**keys {
                item[name] = key.clone();
            }
            json!([item])
        }
        _ => inner,
    })
}

/// Validation: a variable has one source, and a container an image.
fn check(tree: &Value) -> Result<(), Refused> {
    for container in tree["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten() {
        if container.get("image").is_none() {
            return Err(Refused::Rejected("image: Required value".to_owned()));
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            if variable.get("value").is_some_and(|v| v != "") && variable.get("valueFrom").is_some() {
                return Err(Refused::Rejected("valueFrom: may not be specified when `value` is not empty".to_owned()));
            }
        }
    }
    Ok(())
}
