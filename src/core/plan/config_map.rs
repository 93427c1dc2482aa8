//! What lands in `ConfigMap`s: places inside documents, and whole keys.
//!
//! A document is one opaque string to server-side apply, so an edit is a JSON patch of the resource version that was
//! read, and what it leaves in `managedFields` is released at once: the owner's next apply must not meet a conflict.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::{
    Change, ConfigMap, Conflict, Hold, Orphans, Plan, Purpose, STAMP, Setting, Situation, State, Step,
    claim::{self, Part, Wish},
    value_hash,
};
use crate::{
    api::{
        conditions::Reason,
        names,
        policy::{OnConflict, Reload},
    },
    core::{
        catalogue,
        document::{self, Address, DocumentFormat, Scalar},
        facts::{Kind, Object, ObjectKey},
        ownership::{self, FieldPath, FieldSet},
        policy::{File, Landing, Policy},
        record::{Before, DocumentBaseline, Record, Taking},
        resolve::Desired,
        units::Value,
    },
};

/// Largest `ConfigMap`, by the API server's own rule.
const MAX_CONFIG_MAP_BYTES: usize = 1 << 20;

/// Longest value of a whole key that is shown as it is.
const MAX_SHOWN_BYTES: usize = 64;

/// What the pod template has to know of bound documents.
#[derive(Default)]
pub(super) struct Documents {
    /// Hash of the bytes that we wrote and that pods read at start only; `None` when we wrote none.
    pub stamp: Option<String>,
}

/// Plans every `ConfigMap` that the policy names.
pub(super) fn plan(situation: &Situation<'_>, plan: &mut Plan) -> Documents {
    let mut stamped: BTreeMap<String, String> = BTreeMap::new();
    let named: BTreeSet<&str> =
        situation.desired.iter().filter_map(|desired| config_map_of(situation, desired)).collect();
    for name in named {
        let key = ObjectKey::new(Kind::ConfigMap, situation.target.key.namespace.clone(), name);
        match situation.config_maps.get(name) {
            None | Some(ConfigMap::Missing) => {
                plan.refuse(
                    Reason::ConfigMapNotFound,
                    format!("{key} does not exist; Trimtab never creates one"),
                    false,
                );
            }
            Some(ConfigMap::Unread) => plan.unread.push(key),
            Some(ConfigMap::Known(object)) => {
                if !refused(object, plan) {
                    one(situation, object, plan, &mut stamped);
                }
            }
        }
    }
    let stamp = (!stamped.is_empty()).then(|| {
        let text: Vec<String> = stamped.into_iter().map(|(place, bytes)| format!("{place}={bytes}")).collect();
        value_hash(STAMP, &text.join("\n"))
    });
    Documents { stamp }
}

fn config_map_of<'a>(situation: &Situation<'a>, desired: &'a Desired<'a>) -> Option<&'a str> {
    match &desired.knob.landing {
        Landing::Document { file, .. } => situation.policy.files.get(*file).map(|file| &*file.config_map),
        Landing::ConfigMapKey { name, .. } => Some(name),
        Landing::Variable
        | Landing::Env(_)
        | Landing::Arg(_)
        | Landing::Option(_)
        | Landing::Resource { .. }
        | Landing::Sysctl(_)
        | Landing::NotEnforceable(_)
        | Landing::Field(_) => None,
    }
}

fn refused(object: &Object, plan: &mut Plan) -> bool {
    if object.at("/immutable") == Some(&Json::Bool(true)) {
        plan.refuse(
            Reason::ConfigMapImmutable,
            format!(
                "{} is immutable: name one that may change, for example an overlay that configMapKey fills",
                object.key
            ),
            true,
        );
        return true;
    }
    if catalogue::is_content_hashed(&object.key.name) {
        plan.refuse(
            Reason::ConfigMapContentHashed,
            format!("{} is named after its content, so the next release replaces it: name a stable one, for example an overlay that configMapKey fills", object.key),
            true,
        );
        return true;
    }
    false
}

fn one(situation: &Situation<'_>, object: &Object, plan: &mut Plan, stamped: &mut BTreeMap<String, String>) {
    let me = names::manager(situation.policy.identity.name());
    // What an edit before a crash has left behind, or the edit of a moment ago.
    let record = Record::of(&object.meta, situation.policy.identity.name()).and_then(Result::ok).unwrap_or_default();
    if let Some(patch) = ownership::release_updates(object, &me, &record.owners) {
        plan.steps.push(Step::Json {
            object: object.key.clone(),
            subresource: None,
            patch,
            purpose: Purpose::Release,
            disruptive: false,
            changes: Vec::new(),
        });
    }
    documents(situation, object, plan, stamped);
    let wishes = whole_keys(situation, object);
    let holds_something = !ownership::owned(&object.meta, &me).is_empty();
    if !wishes.is_empty() || holds_something {
        let claimed = claim::plan(situation, object, wishes, plan);
        for (key, stamp) in claimed.record.keys {
            stamped.insert(format!("{}/{key}", object.key.name), stamp.now);
        }
    }
}

/// Edits of all documents of one `ConfigMap`, in one patch.
fn documents(situation: &Situation<'_>, object: &Object, plan: &mut Plan, stamped: &mut BTreeMap<String, String>) {
    let identity = &situation.policy.identity;
    let before = Record::of(&object.meta, identity.name()).and_then(Result::ok).filter(|r| r.uid == identity.uid);
    let mut edits = Edits {
        object,
        taken: before.iter().flat_map(|record| record.taken.clone()).collect(),
        record: before.clone().unwrap_or_else(|| Record::new(&identity.uid)),
        before: before.unwrap_or_default(),
        texts: BTreeMap::new(),
        changes: Vec::new(),
        restarts: false,
        overridden: false,
    };
    edits.record.generation = identity.generation;
    edits.record.deletion_policy = situation.policy.deletion;
    let mut bound = BTreeSet::new();
    let mut read_at_start = Vec::new();
    for desired in situation.desired {
        let Landing::Document { file, at, create } = &desired.knob.landing else { continue };
        let Some(file) = situation.policy.files.get(*file).filter(|file| *file.config_map == *object.key.name) else {
            continue;
        };
        let place = name_place(&file.key, at);
        edits.add(situation, desired, file, (at, *create), &place, plan);
        if desired.knob.landing.is_read_at_start(situation.policy) {
            read_at_start.push(place.clone());
        }
        bound.insert(place);
    }
    let orphans = edits.keep_orphans(situation, &bound);
    let reload = |place: &String| {
        let key = place.split_once('#').map(|(key, _)| key);
        let file =
            situation.policy.files.iter().find(|file| *file.config_map == *object.key.name && Some(&*file.key) == key);
        file.map_or(Reload::Restart, |file| file.reload)
    };
    read_at_start.extend(orphans.iter().filter(|place| reload(place) == Reload::Restart).cloned());
    bound.extend(orphans);
    let mut record = edits.finish(situation, &bound, plan);
    for place in read_at_start {
        if let Some(document) = record.documents.remove(&place) {
            stamped.insert(format!("{}/{place}", object.key.name), document.now);
        }
    }
}

struct Edits<'a> {
    object: &'a Object,
    /// The record as it is, and as it shall be.
    before: Record,
    record: Record,
    /// What earlier edits took over, and from whom.
    taken: Vec<Taking>,
    /// New text of each edited key.
    texts: BTreeMap<String, String>,
    changes: Vec<Change>,
    restarts: bool,
    overridden: bool,
}

impl Edits<'_> {
    fn add(
        &mut self,
        situation: &Situation<'_>,
        desired: &Desired<'_>,
        file: &File,
        (at, create): (&Address, bool),
        place: &str,
        plan: &mut Plan,
    ) {
        let landing = landing(situation.policy, &desired.knob.landing).unwrap_or_default();
        let mut view = |live: Option<String>, state: State| {
            plan.settings.push(Setting {
                path: desired.knob.path.clone(),
                object: self.object.key.clone(),
                field: None,
                landing: landing.clone(),
                desired: desired.text.clone(),
                live,
                source: desired.source.to_string(),
                state,
                why: None,
            });
        };
        let current = self.text(&file.key);
        let Some(current) = current else {
            view(None, State::Refused);
            plan.refuse(
                Reason::KeyPathNotFound,
                format!("{} has no key \"{}\" in data", self.object.key, file.key),
                true,
            );
            return;
        };
        let wanted = scalar(desired);
        let edited = if create {
            document::create(&current, at, &wanted, &desired.text)
        } else {
            document::edit(&current, at, &wanted)
        };
        let edited = match edited {
            Ok(edited) => edited,
            Err(error) => {
                view(None, State::Refused);
                plan.refuse(error.reason(), format!("{landing}: {error}"), true);
                return;
            }
        };
        let live = edited.previous;
        let hash = value_hash(&desired.knob.path, &edited.now);
        let memory = situation.memory;
        let failed = if edited.changed { &memory.failed } else { &memory.quarantine_anywhere };
        if failed.contains(&hash) {
            view(live.clone(), State::Quarantined);
            if !edited.changed && self.take_back(&desired.knob.path, &file.key, &current, at, place) {
                self.restarts |= file.reload == Reload::Restart;
            }
            return;
        }
        if !edited.changed {
            view(live, State::AtRest);
            return;
        }
        if let Some(elder) = situation.memory.elders.get(&landing) {
            view(live, State::Yielded);
            plan.conflicts.push(Conflict {
                reason: Reason::KnobOwnedBy,
                object: self.object.key.clone(),
                path: desired.knob.path.clone(),
                message: format!(
                    "{landing} is governed by the older policy \"{elder}\": remove it from one of the two"
                ),
            });
            return;
        }
        let known = self.record.documents.get(place).cloned();
        if known.as_ref().is_some_and(|known| Some(&known.now) != live.as_ref())
            && let Some(conflict) = self.was_changed(situation, desired, file, &landing)
        {
            view(live, State::Yielded);
            plan.conflicts.push(conflict);
            return;
        }
        let now = edited.now;
        view(live.clone(), State::Planned);
        let unproven = !memory.complete && memory.unproven.contains(&desired.knob.path);
        let (was, ours) = match known {
            // Its owner took the line away since: there is nothing to go back to.
            _ if live.is_none() => (None, None),
            None => (live.clone(), None),
            // Its rollout is under way: the way back goes to what was there before that.
            Some(DocumentBaseline { was, before: Some(before), .. }) if unproven => (was, before.ours),
            Some(known) => (known.was, live.clone()),
        };
        let before = Some(Before { generation: situation.policy.identity.generation, ours });
        let document = DocumentBaseline { was, now: now.clone(), before };
        self.record.documents.insert(place.to_owned(), document);
        self.changes.push(Change {
            object: self.object.key.clone(),
            path: desired.knob.path.clone(),
            from: live,
            to: Some(now),
            because: desired.source.to_string(),
        });
        self.restarts |= file.reload == Reload::Restart;
        self.texts.insert(file.key.to_string(), edited.text);
    }

    /// Somebody changed a value that we had written; `None` when it is taken back. To what, is not for everybody who can read
    /// the policy.
    fn was_changed(
        &mut self,
        situation: &Situation<'_>,
        desired: &Desired<'_>,
        file: &File,
        landing: &str,
    ) -> Option<Conflict> {
        if situation.memory.holds.get(&self.object.key) == Some(&Hold::Lifted) {
            return None;
        }
        let me = names::manager(situation.policy.identity.name());
        let others = ownership::holders(&self.object.meta, &FieldPath::of(&["data", &file.key]));
        let other = others.iter().find(|holder| holder.manager != me);
        let who = other.map_or_else(|| "somebody".to_owned(), |holder| format!("\"{}\"", holder.manager));
        let (reason, message) = match other.filter(|holder| holder.is_applier()) {
            Some(applier) if file.on_conflict == OnConflict::TakeOver => {
                if !self.taken.iter().any(|taking| claim::is_recent(taking, applier, situation.now)) {
                    claim::note_taking(&mut self.record, applier, situation.now);
                    return None;
                }
                (Reason::Contested, claim::contested(applier, landing, self.object, &me))
            }
            Some(applier) => {
                self.overridden = true;
                let advice = applier.advice();
                (Reason::FieldManagerConflict, format!("{who} changed {landing}: it is held as it is. {advice}"))
            }
            None => {
                self.overridden = true;
                let name = situation.policy.identity.name();
                let way_out = format!("Change the policy, or run \"kubectl trimtab resume {name}\", to take it back");
                (Reason::ManualOverride, format!("{who} changed {landing}: it is held as it is. {way_out}"))
            }
        };
        Some(Conflict { reason, object: self.object.key.clone(), path: desired.knob.path.clone(), message })
    }

    /// A value that failed: the exact bytes from before it.
    fn take_back(&mut self, path: &str, key: &str, current: &str, at: &Address, place: &str) -> bool {
        let Some(document) = self.record.documents.remove(place) else { return false };
        let restored = document.before.as_ref().and_then(|before| {
            let previous = before.ours.as_ref().or(document.was.as_ref());
            Some((previous.cloned(), document::restore(current, at, previous.map(String::as_str)).ok()?))
        });
        let Some((previous, restored)) = restored else {
            self.record.documents.insert(place.to_owned(), document);
            return false;
        };
        self.changes.push(Change {
            object: self.object.key.clone(),
            path: path.into(),
            from: Some(document.now),
            to: previous,
            because: "the rollout of this value failed".into(),
        });
        // Before our first edit there was nothing of ours, and no pod was restarted for it.
        if let Some(Before { ours: Some(now), .. }) = document.before {
            let before = DocumentBaseline { was: document.was, now, before: None };
            self.record.documents.insert(place.to_owned(), before);
        }
        self.texts.insert(key.to_owned(), restored.text);
        true
    }

    /// Values that are being rolled out and for which the policy has no knob any more. Gives the places that are kept.
    fn keep_orphans(&mut self, situation: &Situation<'_>, bound: &BTreeSet<String>) -> Vec<String> {
        if situation.memory.orphans == Orphans::Release {
            return Vec::new();
        }
        let is_orphan =
            |(place, document): &(&String, &DocumentBaseline)| document.before.is_some() && !bound.contains(*place);
        let orphans: Vec<(String, String)> =
            self.before.documents.iter().filter(is_orphan).map(|(place, d)| (place.clone(), d.now.clone())).collect();
        for (place, now) in &orphans {
            let read = read_place(place, &situation.policy.files, &self.object.key.name);
            let Some((key, at, current)) = read.and_then(|(key, at)| Some((key, at, self.text(key)?))) else {
                continue;
            };
            let is_ours = document::read(&current, &at).is_ok_and(|found| found.source == *now);
            if situation.memory.orphans == Orphans::TakeBack && is_ours {
                self.restarts |= self.take_back(place, key, &current, &at, place);
            }
        }
        orphans.into_iter().map(|(place, _)| place).collect()
    }

    /// The text of a key as it is after the edits so far.
    fn text(&self, key: &str) -> Option<String> {
        let live = || self.object.content.get("data")?.get(key)?.as_str().map(str::to_owned);
        self.texts.get(key).cloned().or_else(live)
    }

    /// Gives the record that the object has when the planned edit is done.
    fn finish(mut self, situation: &Situation<'_>, bound: &BTreeSet<String>, plan: &mut Plan) -> Record {
        let held = situation.memory.holds.get(&self.object.key) == Some(&Hold::Held);
        if held && !self.overridden {
            let changes: Vec<&Change> = self.changes.iter().collect();
            claim::say_held(&changes, &self.object.key, situation.policy.identity.name(), plan);
        }
        if self.overridden || (held && !self.changes.is_empty()) {
            plan.overridden.push(self.object.key.clone());
            return self.before;
        }
        let forgotten = self.record.documents.len();
        self.record.documents.retain(|place, _| bound.contains(place));
        if self.texts.is_empty() && self.record.documents.len() == forgotten {
            return self.before;
        }
        let size: usize = self
            .object
            .content
            .get("data")
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
            .map(|(key, text)| self.texts.get(key).map_or_else(|| text.as_str().map_or(0, str::len), String::len))
            .sum();
        if size > MAX_CONFIG_MAP_BYTES {
            plan.refuse(
                Reason::ConfigTooLarge,
                format!("{} would hold {size} bytes, more than one mebibyte", self.object.key),
                true,
            );
            return self.before;
        }
        self.record.settle(self.record.generation, &unproven(situation, &self.object.key.name));
        let me = names::manager(situation.policy.identity.name());
        self.record.owners = ownership::owners_of(self.object, &me, &fields(self.texts.keys()));
        let recorded = match self.record.encode() {
            Ok(text) => text,
            Err(error) => {
                plan.refuse(
                    Reason::BaselineTooLarge,
                    format!("failed to record what was in {} before: {error}", self.object.key),
                    true,
                );
                return self.before;
            }
        };
        let mut operations = vec![ownership::precondition(self.object)];
        for (key, text) in &self.texts {
            operations.push(json!({"op": "replace", "path": format!("/data/{}", escape(key)), "value": text}));
        }
        if self.object.meta.annotations.is_empty() {
            operations.push(json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
        }
        let annotation = names::baseline(situation.policy.identity.name());
        operations.push(
            json!({"op": "add", "path": format!("/metadata/annotations/{}", escape(&annotation)), "value": recorded}),
        );
        plan.changes.extend(self.changes.iter().cloned());
        plan.steps.push(Step::Json {
            changes: self.changes,
            object: self.object.key.clone(),
            subresource: None,
            patch: Json::Array(operations),
            purpose: Purpose::Edit,
            disruptive: self.restarts,
        });
        self.record
    }
}

/// Places of a `ConfigMap` whose values are being rolled out.
pub(super) fn unproven(situation: &Situation<'_>, config_map: &str) -> BTreeSet<String> {
    let knobs = situation.policy.knobs.iter().filter(|knob| situation.memory.unproven.contains(&knob.path));
    knobs.filter_map(|knob| place(situation.policy, &knob.landing, config_map)).collect()
}

/// How a record names the place in a `ConfigMap` that a knob lands in.
#[must_use]
pub fn place(policy: &Policy, landing: &Landing, config_map: &str) -> Option<String> {
    match landing {
        Landing::Document { file, at, .. } => {
            let file = policy.files.get(*file).filter(|file| *file.config_map == *config_map)?;
            Some(name_place(&file.key, at))
        }
        Landing::ConfigMapKey { name, key, .. } => (**name == *config_map).then(|| key.to_string()),
        Landing::Variable
        | Landing::Env(_)
        | Landing::Arg(_)
        | Landing::Option(_)
        | Landing::Resource { .. }
        | Landing::Sysctl(_)
        | Landing::NotEnforceable(_)
        | Landing::Field(_) => None,
    }
}

/// Where a knob lands in a `ConfigMap`, for people; `None`: elsewhere.
#[must_use]
pub fn landing(policy: &Policy, landing: &Landing) -> Option<String> {
    match landing {
        Landing::Document { file, at, .. } => {
            let file = policy.files.get(*file)?;
            Some(format!("{at} in {} of ConfigMap/{}", file.key, file.config_map))
        }
        Landing::ConfigMapKey { name, key, .. } => Some(format!("key {key} of ConfigMap/{name}")),
        Landing::Variable
        | Landing::Env(_)
        | Landing::Arg(_)
        | Landing::Option(_)
        | Landing::Resource { .. }
        | Landing::Sysctl(_)
        | Landing::NotEnforceable(_)
        | Landing::Field(_) => None,
    }
}

/// What is where a knob lands in a `ConfigMap`, as whoever reads the document sees it.
pub(super) fn live(policy: &Policy, maps: &BTreeMap<Box<str>, ConfigMap<'_>>, landing: &Landing) -> Option<String> {
    let text = |name: &str, key: &str| match maps.get(name)? {
        ConfigMap::Known(object) => FieldPath::of(&["data", key]).lookup(&object.content)?.as_str().map(str::to_owned),
        ConfigMap::Missing | ConfigMap::Unread => None,
    };
    match landing {
        Landing::Document { file, at, .. } => {
            let file = policy.files.get(*file)?;
            Some(document::read(&text(&file.config_map, &file.key)?, at).ok()?.text)
        }
        Landing::ConfigMapKey { name, key, .. } => text(name, key).map(|text| text.trim().to_owned()),
        Landing::Variable
        | Landing::Env(_)
        | Landing::Arg(_)
        | Landing::Option(_)
        | Landing::Resource { .. }
        | Landing::Sysctl(_)
        | Landing::NotEnforceable(_)
        | Landing::Field(_) => None,
    }
}

/// How a record names a place: `key#pointer` in YAML and JSON, `key#format:address` in other formats.
fn name_place(key: &str, at: &Address) -> String {
    match at.format() {
        DocumentFormat::Yaml | DocumentFormat::Json => format!("{key}#{at}"),
        format => format!("{key}#{format}:{at}"),
    }
}

/// Reads what [`name_place`] wrote. YAML and JSON are told apart by the policy's word or, when it does not name the file any
/// more, by the name of the file; YAML reads JSON as well.
pub(super) fn read_place<'a>(place: &'a str, files: &[File], config_map: &str) -> Option<(&'a str, Address)> {
    let (key, at) = place.split_once('#')?;
    let named = at.split_once(':').and_then(|(format, at)| Some((DocumentFormat::from_name(format)?, at)));
    let (format, at) = named.unwrap_or_else(|| {
        let file = files.iter().find(|file| *file.config_map == *config_map && *file.key == *key);
        let is_json = std::path::Path::new(key).extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
        let guess = if is_json { DocumentFormat::Json } else { DocumentFormat::Yaml };
        (file.map_or(guess, File::format), at)
    });
    Some((key, Address::parse(format, at).ok()?))
}

/// The fields of these keys.
pub(super) fn fields<'a>(keys: impl Iterator<Item = &'a String>) -> FieldSet {
    keys.map(|key| FieldPath::of(&["data", key])).collect()
}

/// Escapes one member of an RFC 6901 pointer.
pub(super) fn escape(member: &str) -> String {
    member.replace('~', "~0").replace('/', "~1")
}

fn whole_keys(situation: &Situation<'_>, object: &Object) -> Vec<Wish> {
    let mut wishes = Vec::new();
    for desired in situation.desired {
        let Landing::ConfigMapKey { name, key, reload } = &desired.knob.landing else { continue };
        if **name != *object.key.name {
            continue;
        }
        let field = FieldPath::of(&["data", key]);
        let live = field.lookup(&object.content).and_then(Json::as_str).map(str::to_owned);
        wishes.push(Wish {
            landing: landing(situation.policy, &desired.knob.landing).unwrap_or_default(),
            field,
            value: json!(desired.text),
            on_conflict: desired.knob.on_conflict,
            read_at_start: (*reload == Reload::Restart).then(|| key.clone()),
            parts: vec![Part::whole(desired, desired.text.clone(), live.map(brief))],
            cleared: None,
        });
    }
    wishes
}

/// The value of a whole key for people: a document among them says only how long it is.
fn brief(text: String) -> String {
    if text.len() > MAX_SHOWN_BYTES || text.contains('\n') { format!("({} bytes)", text.len()) } else { text }
}

/// The value as a document holds it: numbers as numbers, words as text whatever they look like.
fn scalar(desired: &Desired<'_>) -> Scalar {
    let text = desired.text.clone();
    match &desired.value {
        Value::Enum(_) => Scalar::Text(text),
        // The document keeps its own pair of words, whatever `as` says.
        Value::Boolean(switch) => Scalar::Boolean(*switch),
        _ => Scalar::from_rendered(&text),
    }
}
