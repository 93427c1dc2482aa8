//! What must hold after every event.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use serde_json::{Value, json};
use trimtab::{
    api::{PerformancePolicy, PerformancePolicySpec, names, policy::Mode},
    core::{
        document::{self, Address, DocumentFormat},
        engine::{Action, Change, Effect, Input, Patch, PatchBody, Stream},
        facts::ObjectKey,
        ownership::FieldPath,
        plan::value_hash,
        policy::{Policy, PolicyKey, Rollback},
        record::Record,
    },
};

use super::{
    budgets::Budgets,
    controllers::Controllers,
    disruptions::Disruptions,
    schema,
    server::{Server, Stored},
    silences::Silences,
};

type Leaves = BTreeMap<FieldPath, Value>;

#[derive(Default)]
pub struct Invariants {
    /// Every value that anybody ever gave a field.
    known: BTreeMap<(ObjectKey, FieldPath), BTreeSet<String>>,
    /// The objects as they were looked at last.
    last: BTreeMap<ObjectKey, Rc<Value>>,
    /// What formulas of a story may give, as the story says.
    pub told: BTreeSet<String>,
    /// Every value that a policy ever asked for.
    asked: BTreeMap<PolicyKey, BTreeSet<String>>,
    /// Workloads whose present rollout was begun by a late request of an ex-leader.
    late: BTreeSet<ObjectKey>,
    /// Template revisions that we made, by workload.
    pub revisions: BTreeMap<ObjectKey, u32>,
    /// Policies as the engine was told of them last, and whether their class is frozen.
    views: BTreeMap<PolicyKey, View>,
    frozen: bool,
    /// Workloads that a controller owns.
    controlled: BTreeSet<ObjectKey>,
    /// What pools could open.
    pub budgets: Budgets,
    /// Which pods must not be disrupted.
    pub disruptions: Disruptions,
    /// What may be silenced.
    pub silences: Silences,
    /// What people set on fields that a policy claims, and that is theirs until the policy changes.
    pub holds: Vec<Hold>,
}

/// What the engine was told of a policy.
#[derive(Clone, Debug)]
pub struct View {
    uid: String,
    generation: i64,
    enforces: bool,
    suspended: bool,
    /// A rollback that cannot be read.
    refused: bool,
    deleting: bool,
    resumed: Option<String>,
}

impl View {
    pub const fn may_write(&self) -> bool {
        self.enforces && !self.suspended && !self.refused && !self.deleting
    }

    pub fn of(policy: &PerformancePolicy) -> Self {
        let annotation = |name: &str| policy.metadata.annotations.as_ref().and_then(|all| all.get(name)).cloned();
        Self {
            uid: policy.metadata.uid.clone().unwrap_or_default(),
            generation: policy.metadata.generation.unwrap_or_default(),
            enforces: policy.spec.mode == Some(Mode::Enforce),
            suspended: policy.spec.suspend == Some(true)
                || annotation(names::SUSPENDED).is_some_and(|why| !why.is_empty()),
            refused: matches!(Policy::parse(policy), Ok(Policy { rollback: Rollback::Refused(_), .. })),
            deleting: policy.metadata.deletion_timestamp.is_some(),
            resumed: annotation(names::RESUMED_AT),
        }
    }
}

/// A value that a person gave a claimed field.
#[derive(Clone, Debug)]
pub struct Hold {
    pub object: ObjectKey,
    pub field: FieldPath,
    pub value: Value,
    pub policy: PolicyKey,
    view: View,
}

impl Invariants {
    /// A new process has been told nothing.
    pub fn restarted(&mut self) {
        self.views.clear();
        self.disruptions.restarted();
        self.controlled.clear();
        self.frozen = false;
    }

    /// Somebody else changed a pod template.
    pub fn foreign(&mut self, key: &ObjectKey) {
        self.late.remove(key);
    }

    /// A person gives a field that `policy` owns another value.
    pub fn overridden(&mut self, server: &Server, object: &ObjectKey, field: &FieldPath, value: Value, policy: &str) {
        let key: PolicyKey = (object.namespace.clone(), policy.into());
        let Some(found) = server.policies.get(&key) else { return };
        let view = View::of(found);
        if view.enforces && !view.deleting {
            let (object, field) = (object.clone(), field.clone());
            self.holds.push(Hold { object, field, value, policy: key, view });
        }
    }

    /// What the engine is about to be told.
    pub fn told(&mut self, input: &Input) {
        self.disruptions.told(input);
        match input {
            Input::Policy(Change::Applied(policy)) => {
                self.views.insert(super::server::policy_key(policy), View::of(policy));
            }
            Input::Policy(Change::Deleted(key)) => drop(self.views.remove(key)),
            Input::Class(Change::Applied(class)) => self.frozen = class.spec.freeze,
            Input::Object(Change::Applied(seen)) if seen.meta.controller.is_some() => {
                self.controlled.insert(seen.key.clone());
            }
            _ => {}
        }
    }

    /// Takes note of what happened.
    pub fn observe(&mut self, log: &[(Stream, Input)], server: &Server) {
        for (_, input) in log {
            match input {
                Input::Object(Change::Applied(seen)) => {
                    let Some(stored) = server.objects.get(&seen.key) else { continue };
                    let last = self.last.insert(seen.key.clone(), Rc::clone(&stored.tree));
                    if last.is_some_and(|last| Rc::ptr_eq(&last, &stored.tree)) {
                        continue;
                    }
                    for (path, value) in schema::leaves(&stored.tree) {
                        self.known.entry((seen.key.clone(), path)).or_default().insert(value.to_string());
                    }
                }
                Input::Policy(Change::Applied(policy)) => {
                    let key = super::server::policy_key(policy);
                    let mut texts = BTreeSet::new();
                    collect(&json!(policy.spec), &mut texts);
                    self.asked.entry(key).or_default().extend(texts);
                }
                _ => {}
            }
        }
    }

    /// A request that the engine has decided on.
    pub fn decided(&mut self, effect: &Effect) -> Result<(), String> {
        match &effect.action {
            Action::Patch(patch) => guarded(patch).and_then(|()| self.permitted(patch)),
            Action::Status { status, policy, .. } => {
                let bytes = json!(status).to_string().len();
                if bytes > 8 * 1024 { Err(format!("the status of {policy:?} has {bytes} bytes")) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// Nothing is written that the policy, as the engine knew it, does not allow.
    fn permitted(&self, patch: &Patch) -> Result<(), String> {
        let policy = patch.manager.strip_prefix(names::MANAGER_PREFIX).unwrap_or_default();
        let key: PolicyKey = (patch.object.namespace.clone(), policy.into());
        let sets_values = match &patch.body {
            PatchBody::Apply { .. } => true,
            PatchBody::Json(operations) => operations.as_array().into_iter().flatten().any(|operation| {
                let path = operation["path"].as_str().unwrap_or_default();
                path.starts_with("/data") || path.starts_with("/spec")
            }),
        };
        let what = format!("{} {:?}", patch.object.short(), patch.body);
        if self.controlled.contains(&patch.object) && sets_values {
            return Err(format!("an object with a controller is written: {what}"));
        }
        let Some(view) = self.views.get(&key) else {
            return if sets_values { Err(format!("a policy that is gone writes: {what}")) } else { Ok(()) };
        };
        if view.deleting {
            return Ok(());
        }
        if view.suspended || self.frozen {
            return Err(format!("a policy that is suspended or frozen writes: {what}"));
        }
        if view.refused && sets_values {
            return Err(format!("a policy whose rollback cannot be read writes: {what}"));
        }
        if !view.enforces && sets_values {
            return Err(format!("a policy that does not enforce writes: {what}"));
        }
        Ok(())
    }

    /// A value that failed is not tried again while it is in quarantine, and what a person set stays.
    fn respected(
        &mut self,
        patch: &Patch,
        old: &Leaves,
        new: &Leaves,
        before: &Stored,
        server: &Server,
    ) -> Result<(), String> {
        let policy = patch.manager.strip_prefix(names::MANAGER_PREFIX).unwrap_or_default();
        let key: PolicyKey = (patch.object.namespace.clone(), policy.into());
        let Some(found) = server.policies.get(&key) else { return Ok(()) };
        let quarantine = found.status.iter().flat_map(|status| &status.quarantine);
        let quarantine: Vec<_> = quarantine
            .filter(|item| {
                item.object == patch.object.short() && trimtab::core::report::instant(&item.until) > server.now
            })
            .collect();
        let record = before.annotation(&names::baseline(policy)).and_then(|text| Record::decode(text).ok());
        let goes_back = |path: &FieldPath, value: &Value| {
            let previous = record.as_ref().and_then(|record| record.previous.get(path));
            previous.is_some_and(|previous| previous.as_ref() == Some(value))
        };
        for (path, value) in new.iter().filter(|(path, value)| old.get(*path) != Some(value)) {
            // Of a field that knobs share, each entry.
            for item in &quarantine {
                let Some((field, entry)) = piece(&found.spec, &item.path) else { continue };
                let has = |value: Option<&Value>| {
                    let texts = entries(value);
                    texts.into_iter().find(|text| text.starts_with(&format!("{entry}=")))
                };
                let hashed = |text: &str| {
                    let text = if field == "args" { text.split_once('=').map_or("", |(_, value)| value) } else { text };
                    value_hash(&item.path, text)
                };
                let written = has(Some(value)).filter(|text| has(old.get(path)).as_ref() != Some(text));
                let previous = record.as_ref().and_then(|record| record.previous.get(path)).and_then(Option::as_ref);
                if let Some(text) = written
                    && path.to_string().contains(field)
                    && hashed(&text) == item.value_hash
                    && has(previous).as_ref() != Some(&text)
                {
                    return Err(format!("{text} is in quarantine for {} and was written to {path} again", item.path));
                }
            }
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let failed = quarantine
                .iter()
                .filter(|item| landing(&found.spec, &item.path).is_some_and(|place| path.to_string().contains(&place)))
                .find(|item| value_hash(&item.path, &text) == item.value_hash);
            // The way back of another value leads to what was there before it, even to what had failed and was left there.
            if let Some(item) = failed.filter(|_| !goes_back(path, value)) {
                return Err(format!("{text} is in quarantine for {} and was written to {path} again", item.path));
            }
        }
        let view = View::of(found);
        self.holds.retain(|hold| server.objects.contains_key(&hold.object));
        for hold in self.holds.iter().filter(|hold| hold.object == patch.object && hold.policy == key) {
            let same = hold.view.uid == view.uid
                && hold.view.generation == view.generation
                && hold.view.resumed == view.resumed;
            if same
                && !view.deleting
                && old.get(&hold.field) == Some(&hold.value)
                && new.get(&hold.field) != Some(&hold.value)
            {
                return Err(format!("a person set {} to {}, and {policy} took it back", hold.field, hold.value));
            }
        }
        Ok(())
    }

    /// A write of ours that has changed an object.
    pub fn written(
        &mut self,
        patch: &Patch,
        before: &Stored,
        after: &Stored,
        server: &Server,
        is_late: bool,
        rolls: bool,
    ) -> Result<(), String> {
        let key = &patch.object;
        let policy = patch.manager.strip_prefix(names::MANAGER_PREFIX).unwrap_or_default();
        let whose: PolicyKey = (key.namespace.clone(), policy.into());
        let (old, new) = (schema::leaves(&before.tree), schema::leaves(&after.tree));
        for (path, value) in new.iter().filter(|(path, value)| old.get(*path) != Some(value)) {
            if path.to_string().starts_with(".metadata") || path.to_string().contains(names::STAMP_PREFIX) {
                continue;
            }
            let known = self.known.get(&(key.clone(), path.clone())).is_some_and(|k| k.contains(&value.to_string()));
            let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let is_asked = |text: &str| self.asked.get(&whose).is_some_and(|asked| asked.contains(text));
            // Arguments are one list, and so are sysctls: each is an old one, or has a value that was asked for.
            let is_argument = |item: &Value| {
                let stays = path.lookup(&before.tree).and_then(Value::as_array).is_some_and(|old| old.contains(item));
                stays
                    || item.as_str().and_then(|item| item.split_once('=')).is_some_and(|(_, value)| is_asked(value))
                    || item["value"].as_str().is_some_and(is_asked)
            };
            let is_derived = |text: &str| {
                let has_formula = self.asked.get(&whose).is_some_and(|asked| asked.contains(FORMULA));
                self.told.contains(text) || has_formula && derived(after).is_some_and(|size| size == text)
            };
            // Options share a variable, too.
            let is_option = |word: &str| {
                let old = path.lookup(&before.tree).and_then(Value::as_str).unwrap_or_default();
                old.split_whitespace().any(|old| old == word)
                    || word.split_once('=').is_some_and(|(_, value)| is_asked(value))
            };
            let are_options = plain.starts_with('-') && plain.split_whitespace().all(is_option);
            let asked =
                are_options || is_asked(&plain) || value.as_array().is_some_and(|items| items.iter().all(is_argument));
            let is_identity = value.is_null() || *value == json!({}) || path.to_string().ends_with(".name");
            // The lines of a document are looked at one by one.
            let document = plain.lines().count() > 1;
            if !known && !asked && !is_identity && !document && !is_derived(&plain) {
                return Err(format!("{} was set to {value} at {path}, which nobody ever asked for", key.short()));
            }
        }
        self.respected(patch, &old, &new, before, server)?;
        if !is_late {
            self.budgets.written(patch, before, server)?;
            self.disruptions.written(patch, before, after, server)?;
        }
        self.record(policy, before, after)?;
        if before.template() != after.template() {
            *self.revisions.entry(key.clone()).or_default() += 1;
            if is_late {
                self.late.insert(key.clone());
            } else if !rolls {
                // What supersedes a rollout before its end begins none: there are no more of them than the late request made.
                self.late.remove(key);
            }
        }
        Ok(())
    }

    /// The record holds what was there before our first claim, and keeps it.
    fn record(&self, policy: &str, before: &Stored, after: &Stored) -> Result<(), String> {
        let name = names::baseline(policy);
        let read = |stored: &Stored| stored.annotation(&name).and_then(|text| Record::decode(text).ok());
        let manager = names::manager(policy);
        let owned = |stored: &Stored| {
            let entry = stored.managers.iter().find(|m| {
                m.name == manager && m.operation == trimtab::core::facts::Operation::Apply && m.subresource.is_empty()
            });
            entry.map(|entry| entry.fields.clone()).unwrap_or_default()
        };
        let (old, new) = (read(before), read(after));
        let Some(new) = new else { return Ok(()) };
        let old = old.filter(|old| old.uid == new.uid);
        for (path, value) in &new.paths {
            let truth = match old.as_ref().and_then(|old| old.paths.get(path)) {
                Some(kept) => kept.clone(),
                // A variable without value has the empty text.
                None => path.lookup(&before.tree).cloned(),
            };
            // A list that its owner insisted on is what was there before from then on.
            let is_owned = owned(before).iter().any(|owned| owned == path);
            let is_new_list = truth.as_ref().is_some_and(Value::is_array)
                && *value == path.lookup(&before.tree).cloned()
                && !is_owned;
            // And so are the words of others in a variable of options.
            let is_new_text = !is_owned && path.to_string().contains("_OPTIONS");
            if *value != truth && !is_new_list && !is_new_text {
                return Err(format!(
                    "the record of {policy} on {} says that {path} was {value:?}, but it was {truth:?}",
                    after.key.short()
                ));
            }
        }
        let is_value = |path: &FieldPath| {
            let text = path.to_string();
            !text.starts_with(".metadata") && !text.ends_with(']') && !text.ends_with(".name")
        };
        // A release writes no record: what `rollout undo` brought back with an old one, the next apply puts right.
        let was_lost = |path: &FieldPath| {
            before.annotation(&name) == after.annotation(&name)
                && old.as_ref().is_some_and(|old| !old.paths.contains_key(path))
                && owned(before).iter().any(|owned| owned == path)
        };
        for path in owned(after).iter().filter(|path| is_value(path)) {
            if !new.paths.contains_key(path) && !was_lost(path) {
                return Err(format!(
                    "{policy} owns {path} of {} and has not recorded what was there",
                    after.key.short()
                ));
            }
        }
        for (place, document) in old.iter().flat_map(|old| &old.documents) {
            if let Some(kept) = new.documents.get(place)
                && kept.was != document.was
                && !(kept.was.is_none() && is_without(before, place))
            {
                return Err(format!("the record of {place} says {:?} and said {:?}", kept.was, document.was));
            }
        }
        Ok(())
    }

    /// What must hold at any time.
    pub fn check(&self, server: &Server, controllers: &Controllers) -> Result<(), String> {
        self.budgets.check(server, controllers)?;
        let rolling: Vec<(&ObjectKey, &str)> = controllers
            .workloads
            .iter()
            .filter(|(key, _)| server.objects.contains_key(*key))
            .filter(|(key, workload)| {
                let paused = server.objects.get(*key).is_some_and(|stored| stored.at("/spec/paused") == &json!(true));
                workload.is_rolling()
                    && !paused
                    && workload.cause.starts_with(names::MANAGER_PREFIX)
                    && !self.late.contains(*key)
            })
            .map(|(key, workload)| (key, workload.cause.as_str()))
            .collect();
        // Of rollouts that look as if they were over nobody can know.
        for (key, cause) in rolling.iter().filter(|_| !controllers.lie) {
            let others = || rolling.iter().filter(|(other, _)| other != key);
            if let Some((other, _)) = others().find(|(other, _)| other.namespace == key.namespace) {
                return Err(format!("{} and {} roll out at the same time, for {cause}", key.short(), other.short()));
            }
        }
        if rolling.len() > 3 {
            return Err(format!("{} rollouts are under way", rolling.len()));
        }
        Ok(())
    }
}

/// Every write says which version of which object it is meant for.
fn guarded(patch: &Patch) -> Result<(), String> {
    let is_guarded = match &patch.body {
        PatchBody::Apply { body, .. } => {
            body["metadata"]["uid"].is_string() && body["metadata"]["resourceVersion"].is_string()
        }
        PatchBody::Json(operations) => {
            operations[0]["op"] == "replace" && operations[0]["path"] == "/metadata/resourceVersion"
        }
    };
    if is_guarded { Ok(()) } else { Err(format!("a write without precondition: {patch:?}")) }
}

/// Every scalar of a value, as text.
fn collect(value: &Value, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.values().for_each(|value| collect(value, out)),
        Value::Array(items) => items.iter().for_each(|value| collect(value, out)),
        Value::String(text) => {
            if text == "2048Mi" {
                // As a quantity is written.
                out.insert("2Gi".to_owned());
            }
            out.insert(text.clone());
        }
        Value::Null => {}
        scalar => drop(out.insert(scalar.to_string())),
    }
}

/// The formula that random policies have for a pool.
pub const FORMULA: &str = "= floor(limits.memory / 256Mi)";

/// What [`FORMULA`] gives on an object.
pub fn derived(object: &Stored) -> Option<String> {
    let limit = object.at("/spec/template/spec/containers/0/resources/limits/memory").as_str()?;
    let sizes = [("512Mi", 2), ("1Gi", 4), ("2Gi", 8), ("2048Mi", 8)];
    sizes.iter().find(|(memory, _)| *memory == limit).map(|(_, size)| size.to_string())
}

/// Where a knob of a policy lands, as a path of an object spells it; `None` for lines of documents and for what the policy does
/// not set any more.
fn landing(spec: &PerformancePolicySpec, path: &str) -> Option<String> {
    let spec = json!(spec);
    let named = |list: &str| spec[list].as_array().cloned().into_iter().flatten();
    let pools = named("pools")
        .map(|item| (format!("pools.{}.size", item["name"].as_str().unwrap_or_default()), item["size"].clone()));
    let settings =
        named("settings").map(|item| (format!("settings.{}", item["name"].as_str().unwrap_or_default()), item.clone()));
    if let Some(resource) = path.strip_prefix("resources.") {
        let (_container, field) = resource.split_once('.')?;
        return Some(format!(".resources.{field}"));
    }
    let knob = pools.chain(settings).find(|(name, _)| name == path)?.1;
    match (knob["env"].as_str(), knob["configMapKey"]["key"].as_str()) {
        (Some(variable), _) => Some(format!("[name=\"{variable}\"].value")),
        (None, Some(key)) => Some(format!(".data.{key}")),
        (None, None) => None,
    }
}

/// The field that a knob shares, and how its entry begins.
fn piece(spec: &PerformancePolicySpec, path: &str) -> Option<(&'static str, String)> {
    let name = path.strip_prefix("settings.")?;
    let spec = json!(spec);
    let knob = spec["settings"].as_array()?.iter().find(|knob| knob["name"] == name)?.clone();
    let text = |member: &str| knob[member].as_str().map(str::to_owned);
    text("arg").map(|flag| ("args", flag)).or_else(|| Some(("JAVA_TOOL_OPTIONS", text("option")?)))
}

/// The entries of a list of arguments or a variable of options.
fn entries(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Whether the document has no line at a place of a record: its owner has taken it out.
fn is_without(map: &Stored, place: &str) -> bool {
    let line = || {
        let (key, at) = place.split_once('#')?;
        let (format, at) = at.split_once(':')?;
        let address = Address::parse(DocumentFormat::from_name(format)?, at).ok()?;
        Some((map.tree["data"][key].as_str()?, address))
    };
    line().is_some_and(|(text, address)| document::read(text, &address).is_err())
}
