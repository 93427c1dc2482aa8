//! One complete claim on one object: the mechanism behind environment, arguments, resources, whole `ConfigMap` keys,
//! autoscaler bounds and stamps.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::Value as Json;

use super::{
    CONTEST, Change, Conflict, Hold, Orphans, Part, Plan, Refusal, Setting, Situation, State, Step, config_map,
    objects, value_hash,
};
use crate::{
    api::{conditions::Reason, names, policy::OnConflict},
    core::{
        facts::{Instant, Kind, Object, ObjectKey},
        options::{self, Known, Variable},
        ownership::{self, Claim, FieldPath, FieldSet, Holder, Segment},
        record::{Before, KeyStamp, Record, Taking},
    },
};

/// A field and what it shall be.
pub(super) struct Wish {
    /// Path in the policy.
    pub path: Box<str>,
    /// Where it lands, for people.
    pub landing: String,
    /// Where the value comes from; `None` for stamps, which people do not set.
    pub source: Option<String>,
    /// The field.
    pub field: FieldPath,
    /// The value as it is written.
    pub value: Json,
    /// The value for people.
    pub text: String,
    /// The live value for people.
    pub live_text: Option<String>,
    /// What to do when somebody else owns the field.
    pub on_conflict: OnConflict,
    /// The key of a `ConfigMap` that pods read at start only.
    pub read_at_start: Option<Box<str>>,
    /// The knobs, where several share the field.
    pub parts: Vec<Part>,
    /// The options that the value has of us, where the rest of it is somebody else's.
    pub options: Option<Options>,
}

/// Options of ours in a variable.
pub(super) struct Options {
    /// The variable.
    pub variable: Variable,
    /// Each option and the words for it.
    pub words: Vec<(&'static Known, String)>,
}

/// What becomes of an object.
pub(super) struct Claimed {
    /// Hash of the complete claim.
    pub hash: String,
    /// The record that the object has when the planned writes are done.
    pub record: Record,
}

/// The complete claim of a policy on an object, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Object.
    pub object: ObjectKey,
    /// Body of the server-side apply.
    pub body: Json,
    /// Whether every conflicting field is under `TakeOver`.
    pub force: bool,
    /// Whether it changes the pod template.
    pub disruptive: bool,
    /// What changes.
    pub changes: Vec<Change>,
    /// The claim itself, to compare with what the server makes of it.
    pub claim: Claim,
    /// Hash of the claim on this very object.
    pub claim_hash: String,
}

/// Plans the claim on `object`: appends at most one release and one apply to `plan`.
pub(super) fn plan(situation: &Situation<'_>, object: &Object, wishes: Vec<Wish>, plan: &mut Plan) -> Claimed {
    let me = names::manager(situation.policy.identity.name());
    let mut draft = Draft::new(situation, object, &me);
    for wish in wishes {
        draft.add(wish, plan);
    }
    draft.finish(plan)
}

impl Wish {
    /// What of a value people are told: of a text that others write in, too, our options only.
    fn told(&self, value: &Json) -> Option<String> {
        let Some(options) = &self.options else { return Some(text(value)) };
        let all = value.as_str().unwrap_or_default();
        let ours: Vec<String> =
            options.words.iter().filter_map(|(known, _)| options::find_text(known, all).ok().flatten()).collect();
        (!ours.is_empty()).then(|| ours.join(" "))
    }
}

impl Options {
    /// What is live now, with our options as they were before us; nothing where that is what is known already.
    fn rebased(&self, was: Option<&Json>, live: Option<&Json>) -> Option<Json> {
        let live = live?.as_str()?;
        let before = was.and_then(Json::as_str).unwrap_or_default();
        let wanted: Vec<_> = self.words.iter().map(|(known, word)| (*known, word.as_str())).collect();
        let rebased = options::restore(self.variable, live, before, &wanted).ok()?;
        (rebased != before).then(|| Json::String(rebased))
    }
}

struct Draft<'a> {
    situation: &'a Situation<'a>,
    object: &'a Object,
    me: &'a str,
    /// Fields that our apply entry holds.
    owned: FieldSet,
    /// Record as the object has it, if it is of this very policy.
    before: Option<Record>,
    record: Record,
    claim: Claim,
    changes: Vec<(FieldPath, Change)>,
    /// Which knob lands in a field.
    knobs: BTreeMap<FieldPath, Box<str>>,
    force: bool,
    /// Whether a value changes that pods read at start only.
    restarts: bool,
    overridden: bool,
    /// Fields that differ although we own them and nothing else was asked.
    unexplained: Vec<(Box<str>, String)>,
    hold: Option<Hold>,
    /// Fields that are left to somebody who insisted. The record keeps them, or the next pass would take them for new.
    contested: Vec<FieldPath>,
    /// Fields that go back to what was there before.
    taken_back: BTreeSet<FieldPath>,
    /// Keys of knobs that pods read at start only.
    read_at_start: BTreeSet<Box<str>>,
    /// The other managers of the object, once somebody asked for them.
    others: OnceCell<Vec<(Holder, FieldSet)>>,
    /// Changes that must not be made. With one of them nothing is written.
    barred: Vec<Refusal>,
}

impl<'a> Draft<'a> {
    fn new(situation: &'a Situation<'a>, object: &'a Object, me: &'a str) -> Self {
        let identity = &situation.policy.identity;
        // A record of another uid was left by a policy of the same name, or came back with `rollout undo`.
        let before = Record::of(&object.meta, identity.name()).and_then(Result::ok).filter(|r| r.uid == identity.uid);
        let mut record = before.clone().unwrap_or_else(|| Record::new(&identity.uid));
        record.generation = identity.generation;
        record.deletion_policy = situation.policy.deletion;
        Self {
            situation,
            object,
            me,
            owned: ownership::owned(&object.meta, me),
            before,
            record,
            claim: Claim::default(),
            changes: Vec::new(),
            knobs: BTreeMap::new(),
            force: false,
            restarts: false,
            overridden: false,
            unexplained: Vec::new(),
            hold: situation.memory.holds.get(&object.key).copied(),
            contested: Vec::new(),
            taken_back: BTreeSet::new(),
            read_at_start: BTreeSet::new(),
            others: OnceCell::new(),
            barred: Vec::new(),
        }
    }

    /// Everybody else who holds a field. Their entries are read once, and only for a claim that something is to change.
    fn holders(&self, field: &FieldPath) -> Vec<Holder> {
        let entries = self.others.get_or_init(|| {
            let others = self.object.meta.managed.iter().filter(|entry| entry.manager != self.me);
            others.map(|entry| (Holder::from(entry), FieldSet::read(&entry.fields))).collect()
        });
        entries.iter().filter(|(_, fields)| fields.covers(field)).map(|(holder, _)| holder.clone()).collect()
    }

    /// Those of them whose word it is, and not only a default.
    fn declarers(&self, field: &FieldPath) -> Vec<Holder> {
        let mut holders = self.holders(field);
        holders.retain(|holder| ownership::declares(&self.object.meta, holder, field));
        holders
    }

    fn add(&mut self, wish: Wish, plan: &mut Plan) {
        // The policy alone does not tell: one knob may name the container that another means by default.
        if let Some(first) = self.knobs.insert(wish.field.clone(), wish.path.clone()) {
            let message = format!("{} lands where {first} lands already: {}", wish.path, wish.landing);
            plan.refuse(Reason::InvalidSpec, message, true);
            return;
        }
        self.read_at_start.extend(wish.read_at_start.clone());
        let live = wish.field.lookup(&self.object.content).cloned();
        let (state, conflict) = self.decide(&wish, live.as_ref());
        if let Some(conflict) = conflict {
            plan.conflicts.push(conflict);
        }
        if let Some(source) = wish.source {
            plan.settings.push(Setting {
                path: wish.path,
                object: self.object.key.clone(),
                field: Some(wish.field),
                landing: wish.landing,
                desired: wish.text,
                live: wish.live_text,
                source,
                state,
                parts: wish.parts,
                why: None,
            });
        }
    }

    /// Puts the field into the claim, or repeats what is live, or leaves it out, and says why.
    fn decide(&mut self, wish: &Wish, live: Option<&Json>) -> (State, Option<Conflict>) {
        let ours = self.owned.contains(&wish.field);
        if let Some(elder) = self.situation.memory.elders.get(&wish.landing) {
            // Our entry gives the field up: two owners of one field with two values never come to rest.
            let message =
                format!("{} is governed by the older policy \"{elder}\": remove it from one of the two", wish.landing);
            return (State::Yielded, Some(self.conflict(Reason::KnobOwnedBy, wish, message)));
        }
        let memory = self.situation.memory;
        let hash = value_hash(&wish.path, &wish.text);
        // What failed here is taken back; what failed anywhere is not begun.
        let failed = match (live == Some(&wish.value), self.object.key.kind) {
            (false, _) => &memory.failed,
            (true, Kind::ConfigMap) => &memory.quarantine_anywhere,
            (true, _) => &memory.quarantine,
        };
        if failed.contains(&hash) {
            return self.take_back(wish, live, ours);
        }
        if live == Some(&wish.value) {
            self.claim.insert(wish.field.clone(), wish.value.clone());
            self.remember_baseline(wish, live);
            return (State::AtRest, None);
        }
        let others = self.declarers(&wish.field);
        // Who holds no more than a default loses nothing.
        self.force |= others.is_empty() && !self.holders(&wish.field).is_empty();
        let had = self.before.as_ref().is_some_and(|record| record.paths.contains_key(&wish.field));
        if had && !ours {
            return self.was_taken(wish, live, &others);
        }
        if !others.is_empty() && wish.on_conflict == OnConflict::Yield {
            if ours {
                self.keep(wish, live);
            }
            return (State::Yielded, Some(self.conflict(Reason::FieldManagerConflict, wish, foreign(wish, &others))));
        }
        if !others.is_empty() {
            self.force = true;
        }
        if ours && others.is_empty() {
            self.unexplained.push((wish.path.clone(), wish.landing.clone()));
        }
        (self.change(wish, live), None)
    }

    /// Somebody set a field that we had claimed.
    fn was_taken(&mut self, wish: &Wish, live: Option<&Json>, others: &[Holder]) -> (State, Option<Conflict>) {
        let applier = others.iter().find(|holder| holder.is_applier());
        if let Some(applier) = applier {
            if wish.on_conflict == OnConflict::Yield {
                return (
                    State::Yielded,
                    Some(self.conflict(Reason::FieldManagerConflict, wish, foreign(wish, others))),
                );
            }
            // What earlier writes recorded: the fields of one write are taken over together, once.
            let earlier = || self.before.iter().flat_map(|record| &record.taken);
            let recent = earlier().any(|taking| is_recent(taking, applier, self.situation.now));
            if recent && self.hold != Some(Hold::Lifted) {
                let message = contested(applier, &wish.landing, self.object, self.me);
                self.contested.push(wish.field.clone());
                return (State::Yielded, Some(self.conflict(Reason::Contested, wish, message)));
            }
            note_taking(&mut self.record, applier, self.situation.now);
            self.force = true;
            if wish.value.is_array() || wish.options.is_some() {
                // Their new list, or text, is what ours is made of now, so it is what was there before, too.
                self.record.paths.insert(wish.field.clone(), live.cloned());
            }
            return (self.change(wish, live), None);
        }
        // An owner that drops a field which was taken over removes it although we hold its value (kubectl's client-side
        // apply does): nobody wants anything else of it.
        let dropped = live.is_none() && others.is_empty() && wish.on_conflict == OnConflict::TakeOver;
        if self.hold == Some(Hold::Lifted) || dropped {
            self.force |= !others.is_empty();
            return (self.change(wish, live), None);
        }
        self.overridden = true;
        let who = others.first().map_or_else(|| "somebody".to_owned(), |holder| format!("\"{}\"", holder.manager));
        let message = format!(
            "{who} changed {}{}: it is held as it is. {} \"kubectl trimtab resume {}\", to take it back",
            wish.landing,
            // What others write into a ConfigMap is not for everybody who can read the policy.
            if self.object.key.kind == Kind::ConfigMap {
                String::new()
            } else {
                format!(" from {} to {}", wish.text, wish.live_text.as_deref().unwrap_or("nothing"))
            },
            if self.object.key.kind.is_foreign() { "Run" } else { "Change the policy, or run" },
            self.situation.policy.identity.name(),
        );
        (State::Yielded, Some(self.conflict(Reason::ManualOverride, wish, message)))
    }

    /// A value that failed: back to what was there before it, or stay where we are.
    fn take_back(&mut self, wish: &Wish, live: Option<&Json>, ours: bool) -> (State, Option<Conflict>) {
        if live == Some(&wish.value) && ours {
            let others = self.declarers(&wish.field);
            if !others.is_empty() && wish.on_conflict == OnConflict::Yield {
                // Whoever else wants the same value has to let go of it first.
                self.keep(wish, live);
                let message = foreign(wish, &others);
                return (State::Yielded, Some(self.conflict(Reason::FieldManagerConflict, wish, message)));
            }
            let previous = self.previous(&wish.field);
            if let Some(bar) = objects::bar(self.situation, &wish.path, live, previous.as_ref()) {
                self.keep(wish, live);
                self.barred.push(bar);
                return (State::Refused, None);
            }
            self.force |= !self.holders(&wish.field).is_empty();
            let change = Change {
                object: self.object.key.clone(),
                path: wish.path.clone(),
                from: Some(wish.text.clone()),
                to: previous.as_ref().and_then(|previous| wish.told(previous)),
                because: "the rollout of this value failed".into(),
            };
            self.changes.push((wish.field.clone(), change));
            self.unstamp(wish.read_at_start.as_deref().unwrap_or_default());
            self.put(&wish.field, previous);
        } else if ours {
            self.keep(wish, live);
        }
        (State::Quarantined, None)
    }

    /// Repeats what is there.
    fn keep(&mut self, wish: &Wish, live: Option<&Json>) {
        let Some(live) = live else { return };
        self.claim.insert(wish.field.clone(), live.clone());
        self.remember_baseline(wish, Some(live));
    }

    /// What was there before the last change of a field.
    fn previous(&self, field: &FieldPath) -> Option<Json> {
        let before = self.before.as_ref();
        before.and_then(|record| record.previous.get(field).or_else(|| record.paths.get(field))).cloned().flatten()
    }

    /// Claims a former value. A field that was absent is left out: its sole owner stops sending it, so the server removes it.
    /// The container stays in the claim for that long: what its owner stops sending would go, too.
    fn put(&mut self, field: &FieldPath, value: Option<Json>) {
        self.taken_back.insert(field.clone());
        match value {
            Some(value) => drop(self.claim.insert(field.clone(), value)),
            None => self.claim.leaves.extend(identity(field)),
        }
    }

    /// Values that are being rolled out and for which the policy has no knob any more: whoever lets go of them now, could not
    /// take them back.
    fn keep_orphans(&mut self) {
        let orphans = self.situation.memory.orphans;
        if orphans == Orphans::Release {
            return;
        }
        let fields = self.before.iter().flat_map(|record| record.previous.keys());
        let fields: Vec<FieldPath> =
            fields.filter(|field| self.owned.contains(field) && !self.knobs.contains_key(*field)).cloned().collect();
        for field in fields {
            let live = field.lookup(&self.object.content).cloned();
            let previous = self.previous(&field);
            if orphans == Orphans::Hold || live == previous {
                if let Some(live) = live {
                    self.claim.insert(field, live);
                }
                continue;
            }
            let change = Change {
                object: self.object.key.clone(),
                path: field.to_string().into(),
                from: live.as_ref().map(text),
                to: previous.as_ref().map(text),
                because: "the rollout of this value failed".into(),
            };
            self.changes.push((field.clone(), change));
            if let Some(Segment::Field(key)) = field.segments().last()
                && self.object.key.kind == Kind::ConfigMap
            {
                let key = key.to_string();
                self.unstamp(&key);
            }
            self.put(&field, previous);
        }
    }

    fn change(&mut self, wish: &Wish, live: Option<&Json>) -> State {
        let bar = objects::bar(self.situation, &wish.path, live, Some(&wish.value));
        let state = if bar.is_some() { State::Refused } else { State::Planned };
        self.barred.extend(bar);
        self.claim.insert(wish.field.clone(), wish.value.clone());
        self.remember_baseline(wish, live);
        let change = Change {
            object: self.object.key.clone(),
            path: wish.path.clone(),
            from: wish.live_text.clone(),
            to: Some(wish.text.clone()),
            because: wish.source.clone().unwrap_or_else(|| "a bound document changed".into()),
        };
        self.changes.push((wish.field.clone(), change));
        self.stamp(wish);
        state
    }

    /// Notes what pods are to be restarted for.
    fn stamp(&mut self, wish: &Wish) {
        let Some(key) = &wish.read_at_start else { return };
        self.restarts = true;
        let known = self.record.keys.remove(&**key);
        let memory = self.situation.memory;
        let unproven = !memory.complete && memory.unproven.contains(&wish.path);
        let ours = match known {
            Some(KeyStamp { before: Some(before), .. }) if unproven => before.ours,
            known => known.map(|known| known.now),
        };
        let before = Some(Before { generation: self.situation.policy.identity.generation, ours });
        let now = value_hash(&wish.path, &wish.text);
        self.record.keys.insert(key.to_string(), KeyStamp { now, before });
    }

    /// The stamp of before comes back with the value of before, so that the pods of before do.
    fn unstamp(&mut self, key: &str) {
        let Some(stamp) = self.record.keys.remove(key) else { return };
        self.restarts = true;
        if let Some(Before { ours: Some(now), .. }) = stamp.before {
            self.record.keys.insert(key.to_owned(), KeyStamp { now, before: None });
        }
    }

    fn remember_baseline(&mut self, wish: &Wish, live: Option<&Json>) {
        self.record.paths.entry(wish.field.clone()).or_insert_with(|| live.cloned());
        // Whoever wrote the field after us has changed what is theirs in it: that is to be there when ours goes back.
        if let Some(options) = &wish.options
            && !self.owned.contains(&wish.field)
            && let Some(was) = self.record.paths.get_mut(&wish.field)
            && let Some(rebased) = options.rebased(was.as_ref(), live)
        {
            *was = Some(rebased);
        }
    }

    fn conflict(&self, reason: Reason, wish: &Wish, message: String) -> Conflict {
        Conflict { reason, object: self.object.key.clone(), path: wish.path.clone(), message }
    }

    fn finish(mut self, plan: &mut Plan) -> Claimed {
        let key = self.object.key.clone();
        self.keep_orphans();
        let hash = claim_hash(&self.claim, &self.object.meta.uid);
        let put_back = self.put_back(&hash);
        let undone = put_back.is_some();
        if let Some(message) = put_back {
            let conflict = Conflict { reason: Reason::ManualOverride, object: key.clone(), path: "*".into(), message };
            plan.conflicts.push(conflict);
        }
        if self.hold == Some(Hold::Held) && !self.overridden && !undone {
            let changes: Vec<&Change> = self.changes.iter().map(|(_, change)| change).collect();
            say_held(&changes, &key, self.situation.policy.identity.name(), plan);
        }
        // A hold ends by itself when the person puts back what we had written.
        if undone || self.overridden || (self.hold == Some(Hold::Held) && !self.changes.is_empty()) {
            plan.overridden.push(key);
            return self.left(hash);
        }
        if !self.barred.is_empty() {
            plan.refusals.append(&mut self.barred);
            return self.left(hash);
        }
        let annotation = names::baseline(self.situation.policy.identity.name());
        let claimed = self.claim.fields(&BTreeMap::from([(annotation.clone(), String::new())]));
        let released = self.surplus(&claimed);
        self.record.paths.retain(|field, _| claimed.contains(field) || self.contested.contains(field));
        if !released.is_empty()
            && let Some(patch) = ownership::release_paths(self.object, self.me, &released)
        {
            plan.steps.push(Step::Json {
                object: key.clone(),
                subresource: None,
                patch,
                purpose: super::Purpose::Release,
                disruptive: false,
                changes: Vec::new(),
            });
        }
        if self.is_at_rest(&claimed) {
            return self.left(hash);
        }
        if !self.unexplained.is_empty() && self.before.as_ref().is_some_and(|record| record.applied == hash) {
            for (path, landing) in &self.unexplained {
                plan.conflicts.push(Conflict {
                    reason: Reason::RewrittenByAdmission,
                    object: key.clone(),
                    path: path.clone(),
                    message: format!("admission replaced the value that was written to {landing}: it is not tried again until the policy changes"),
                });
            }
            return self.left(hash);
        }
        if self.claim.is_empty() && self.before.is_none() {
            return self.left(hash);
        }
        if !self.changes.is_empty() {
            self.record.previous = self.before_the_rollout();
        }
        if self.object.key.kind == Kind::ConfigMap {
            let holds = self.situation.memory.orphans != Orphans::Release;
            let read_at_start = &self.read_at_start;
            self.record.keys.retain(|key, stamp| read_at_start.contains(&**key) || (holds && stamp.before.is_some()));
            self.record.settle(self.record.generation, &config_map::unproven(self.situation, &self.object.key.name));
        }
        self.record.applied.clone_from(&hash);
        let recorded = match self.record.encode() {
            Ok(text) => text,
            Err(error) => {
                plan.refuse(
                    Reason::BaselineTooLarge,
                    format!("failed to record what was in {} before: {error}", key.short()),
                    true,
                );
                return self.left(hash);
            }
        };
        // `rollout undo` brings an old record back under another name. It is ours to write all the same, and every other
        // field of the claim is either free or was decided on above.
        let record_field = FieldPath::of(&["metadata", "annotations", &annotation]);
        self.force |=
            ownership::holders(&self.object.meta, &record_field).iter().any(|holder| holder.manager != self.me);
        // What nobody is known to manage belongs to "before-first-apply", which never asks for anything again.
        self.force |= self.object.meta.managed.is_empty();
        let annotations = BTreeMap::from([(annotation, recorded)]);
        let disruptive = self.restarts
            || self.changes.iter().any(|(field, _)| field.is_at_or_below(&FieldPath::of(&["spec", "template"])));
        let changes: Vec<Change> = self.changes.into_iter().map(|(_, change)| change).collect();
        plan.changes.extend(changes.iter().cloned());
        plan.steps.push(Step::Apply(Box::new(Write {
            body: self.claim.body(self.object, &annotations),
            force: self.force,
            disruptive,
            changes,
            claim: self.claim,
            claim_hash: hash.clone(),
            object: key,
        })));
        Claimed { hash, record: self.record }
    }

    /// Whether somebody put the whole object back, or took its record away, and what is said of that.
    fn put_back(&self, hash: &str) -> Option<String> {
        if self.hold == Some(Hold::Lifted) {
            return None;
        }
        let (name, short) = (self.situation.policy.identity.name(), self.object.key.short());
        let way_out = format!("Change the policy, or run \"kubectl trimtab resume {name}\",");
        // Values of ours without the record of what was there before them: it must not be made up from what is there now.
        if !self.owned.is_bare() && Record::of(&self.object.meta, name).is_none() {
            return Some(format!(
                "the annotation {} of {short} is gone, and with it what was there before the policy: it is held as it is. \
                 {way_out} to begin anew with what is there now",
                names::baseline(name),
            ));
        }
        // Neither fields nor record of ours, but the status says that this very claim was applied: somebody put the whole
        // object back, as `rollout undo` to a time before us does.
        let undone = self.before.is_none()
            && self.owned.is_bare()
            && !self.changes.is_empty()
            && self.situation.memory.applied.get(&self.object.key).is_some_and(|applied| applied == hash);
        undone.then(|| {
            format!(
                "somebody put {short} back to a state from before this policy: it is held as it is. {way_out} to apply it again"
            )
        })
    }

    /// The object stays as it is.
    fn left(self, hash: String) -> Claimed {
        Claimed { hash, record: self.before.unwrap_or_default() }
    }

    /// Values before the changes, and before those which this rollout carries already.
    fn before_the_rollout(&self) -> BTreeMap<FieldPath, Option<Json>> {
        let unproven = &self.situation.memory.unproven;
        let earlier = self.before.iter().flat_map(|record| &record.previous);
        let mut previous: BTreeMap<_, _> = earlier
            .filter(|(field, _)| {
                self.knobs.get(*field).is_some_and(|path| unproven.iter().any(|other| share(path, other)))
            })
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect();
        for (field, _) in &self.changes {
            let live = || field.lookup(&self.object.content).cloned();
            // After the way back, what failed is what was there before: that tells it from the way there.
            // It is told once: what has no knob is let go of next.
            if self.taken_back.contains(field) {
                if self.knobs.contains_key(field) {
                    previous.insert(field.clone(), live());
                } else {
                    previous.remove(field);
                }
            } else if self.situation.memory.complete {
                previous.insert(field.clone(), live());
            } else {
                previous.entry(field.clone()).or_insert_with(live);
            }
        }
        previous
    }

    /// Whether nothing would change: not the values, not who owns them, not what is recorded.
    fn is_at_rest(&self, claimed: &FieldSet) -> bool {
        let recorded = match &self.before {
            None => self.claim.is_empty(),
            Some(before) => before.paths == self.record.paths && before.deletion_policy == self.record.deletion_policy,
        };
        recorded && self.changes.is_empty() && claimed.iter().all(|field| self.owned.contains(field))
    }

    /// Fields that we hold and do not claim any more. What lies above a claimed field stays, and so does the neighbourhood
    /// of a field that is taken back by leaving it out: it must still be ours at that moment, or the server keeps it.
    fn surplus(&self, claimed: &FieldSet) -> Vec<FieldPath> {
        let removed: Vec<FieldPath> = self
            .changes
            .iter()
            .filter(|(_, change)| change.to.is_none())
            .map(|(field, _)| field.parent().unwrap_or_else(|| field.clone()))
            .collect();
        self.owned
            .iter()
            .filter(|field| !claimed.iter().any(|claimed| claimed.is_at_or_below(field)))
            // Nor what lies around it: a release takes everything below with it.
            .filter(|field| {
                !removed.iter().any(|removed| field.is_at_or_below(removed) || removed.is_at_or_below(field))
            })
            .cloned()
            .collect()
    }
}

/// The members that identify the innermost list item around `field`, other than the one that goes with it.
fn identity(field: &FieldPath) -> Vec<(FieldPath, Json)> {
    let mut around = field.parent().and_then(|item| item.parent());
    while let Some(path) = around {
        if let Some(Segment::Key(keys)) = path.segments().last() {
            return keys.iter().map(|(name, value)| (path.clone().field(name), value.clone())).collect();
        }
        around = path.parent();
    }
    Vec::new()
}

/// A hold is one of the whole object: its other changes wait, too, and say why.
pub(super) fn say_held(changes: &[&Change], object: &ObjectKey, policy: &str, plan: &mut Plan) {
    for change in changes {
        plan.conflicts.push(Conflict {
            reason: Reason::ManualOverride,
            object: object.clone(),
            path: change.path.clone(),
            message: format!(
                "somebody changed {} by hand: it is held as it is. Change the policy, or run \"kubectl trimtab resume {policy}\", to go on",
                object.short()
            ),
        });
        for setting in plan.settings.iter_mut().filter(|setting| setting.path == change.path) {
            setting.state = State::Yielded;
        }
    }
}

/// Whether a field was taken over from this manager so short a time ago that once more would be a fight.
pub(super) fn is_recent(taking: &Taking, holder: &Holder, now: Instant) -> bool {
    taking.manager == holder.manager && now.since(taking.at) < CONTEST
}

/// Records that fields are taken over from a manager, once per write, and forgets what is long past.
pub(super) fn note_taking(record: &mut Record, holder: &Holder, now: Instant) {
    record.taken.retain(|taking| now.since(taking.at) < CONTEST);
    let taking = Taking { manager: holder.manager.clone(), at: now };
    if !record.taken.contains(&taking) {
        record.taken.push(taking);
    }
}

/// What is said to somebody who insists on a field, with the configuration that makes the tool leave it alone.
pub(super) fn contested(applier: &Holder, landing: &str, object: &Object, me: &str) -> String {
    let snippet = applier.ignore_snippet(me, object.key.kind.group(), object.key.kind.as_str(), &object.key.name);
    format!(
        "\"{}\" took {landing} back twice within an hour: Trimtab has stopped. {}{}",
        applier.manager,
        applier.advice(),
        snippet.map(|snippet| format!(": {snippet}")).unwrap_or_default()
    )
}

/// Hash of a claim on one very object, so that an object that was deleted and made anew is not mistaken for it.
fn claim_hash(claim: &Claim, uid: &str) -> String {
    value_hash(uid, &claim.hash())
}

fn foreign(wish: &Wish, others: &[Holder]) -> String {
    let who: Vec<String> = others.iter().map(|holder| format!("\"{}\"", holder.manager)).collect();
    let advice = others.first().map(Holder::advice).unwrap_or_default();
    format!("{} is owned by {}. {advice}", wish.landing, who.join(" and "))
}

/// Whether two settings have a knob in common: those that share a field are one setting, and others may join them.
fn share(a: &str, b: &str) -> bool {
    a.split(", ").any(|a| b.split(", ").any(|b| a == b))
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
