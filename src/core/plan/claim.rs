//! One complete claim on one object: the mechanism behind environment, arguments, resources, whole `ConfigMap` keys,
//! autoscaler bounds and stamps.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::Value as Json;

use super::{
    CONTEST, Change, Conflict, Hold, Orphans, Plan, Refusal, STAMP, Setting, Situation, State, Step, config_map,
    objects,
    shared::{self, Piece},
    value_hash,
};
use crate::{
    api::{conditions::Reason, names, policy::OnConflict},
    core::{
        facts::{Instant, Kind, Object, ObjectKey},
        ownership::{self, Claim, FieldPath, FieldSet, Holder, Segment},
        record::{Before, KeyStamp, Record, Taking},
        resolve::Desired,
    },
};

/// A field and what it shall be.
pub(super) struct Wish {
    /// Where it lands, for people.
    pub landing: String,
    /// The field.
    pub field: FieldPath,
    /// The value as it is written, with every part as it shall be.
    pub value: Json,
    /// What to do when somebody else owns the field.
    pub on_conflict: OnConflict,
    /// The key of a `ConfigMap` that pods read at start only.
    pub read_at_start: Option<Box<str>>,
    /// The knobs that it is for: one, or those that share the field.
    pub parts: Vec<Part>,
    /// The live value without what the policy left there and what stands in the way; `None`: nothing does.
    pub cleared: Option<Cleared>,
}

/// A field without words that are in the way.
pub(super) struct Cleared {
    /// The value.
    pub text: Json,
    /// The words that go.
    pub taken: String,
}

/// What one knob says of a field.
pub(super) struct Part {
    /// Path in the policy.
    pub path: Box<str>,
    /// The value for people.
    pub text: String,
    /// The live value for people, spelled as the desired one where it is the same.
    pub live: Option<String>,
    /// Where the value comes from; `None` for stamps, which people do not set.
    pub source: Option<String>,
    /// What of the field it is; `None`: all of it.
    pub piece: Option<Piece>,
}

/// What becomes of a part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is there as it shall be.
    There,
    /// It is to be written.
    Wanted,
    /// It failed, and stays out.
    Out,
    /// It failed, and goes back to what was there before it.
    Back,
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
    /// Whether it changes the pod template, or makes another project's operator restart what it runs.
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

impl Part {
    /// A knob that has the field for itself.
    pub fn whole(desired: &Desired<'_>, text: String, live: Option<String>) -> Self {
        let source = Some(desired.source.to_string());
        Self { path: desired.knob.path.clone(), text, live, source, piece: None }
    }

    /// A knob that has a piece of the field.
    pub fn of(piece: Piece, desired: &Desired<'_>, live: Option<String>) -> Self {
        Self { piece: Some(piece), ..Self::whole(desired, desired.text.clone(), live) }
    }

    /// What of a value people are told: of a text that others write in, too, the own piece only.
    fn told(&self, value: Option<&Json>) -> Option<String> {
        match &self.piece {
            Some(piece) => piece.read(value),
            None => value.map(text),
        }
    }

    /// Whether a value of the field has it as it shall be.
    fn is_in(&self, wish: &Wish, value: Option<&Json>) -> bool {
        match &self.piece {
            Some(piece) => piece.set(value, &self.text).as_ref() == value,
            None => value == Some(&wish.value),
        }
    }
}

impl Wish {
    /// Paths in the policy.
    fn path(&self) -> Box<str> {
        let paths: Vec<&str> = self.parts.iter().map(|part| &*part.path).collect();
        paths.join(", ").into()
    }

    fn is_shared(&self) -> bool {
        self.parts.iter().any(|part| part.piece.is_some())
    }

    /// Whether the field is a variable of options.
    fn has_options(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.piece, Some(Piece::Option(_))))
    }

    /// The field as `base` with the parts that have none of the fates of a failure as they shall be.
    fn on(&self, base: Option<Json>, fates: &[Fate]) -> Option<Json> {
        let wanted = self.parts.iter().zip(fates).filter(|(_, fate)| matches!(fate, Fate::There | Fate::Wanted));
        wanted.fold(base, |value, (part, _)| match &part.piece {
            Some(piece) => piece.set(value.as_ref(), &part.text),
            None => Some(self.value.clone()),
        })
    }

    fn text(&self) -> String {
        self.parts.iter().map(|part| &*part.text).collect::<Vec<_>>().join(" ")
    }

    fn live_text(&self) -> Option<String> {
        let live: Vec<&str> = self.parts.iter().filter_map(|part| part.live.as_deref()).collect();
        (!live.is_empty()).then(|| live.join(" "))
    }
}

/// A knob and the part of a field that it has, and what this write does to it.
struct Landed {
    path: Box<str>,
    piece: Option<Piece>,
    changes: bool,
    goes_back: bool,
}

/// Why a value goes back.
const FAILED: &str = "the rollout of this value failed";

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
    /// Which knobs land in a field.
    knobs: BTreeMap<FieldPath, Vec<Landed>>,
    force: bool,
    /// Whether a value changes that pods read at start only.
    restarts: bool,
    overridden: bool,
    /// Fields that differ although we own them and nothing else was asked.
    unexplained: Vec<(Box<str>, String)>,
    hold: Option<Hold>,
    /// Fields that are left to somebody who insisted. The record keeps them, or the next pass would take them for new.
    contested: Vec<FieldPath>,
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
        if let Some(first) = self.knobs.get(&wish.field) {
            let first: Vec<&str> = first.iter().map(|landed| &*landed.path).collect();
            let message = format!("{} lands where {} lands already: {}", wish.path(), first.join(", "), wish.landing);
            plan.refuse(Reason::InvalidSpec, message, true);
            return;
        }
        self.read_at_start.extend(wish.read_at_start.clone());
        let live = wish.field.lookup(&self.object.content).cloned();
        let ours = self.owned.contains(&wish.field);
        let fates: Vec<Fate> = wish.parts.iter().map(|part| self.fate(&wish, part, live.as_ref(), ours)).collect();
        let landed = |(part, fate): (&Part, &Fate)| Landed {
            path: part.path.clone(),
            piece: part.piece.clone(),
            changes: matches!(fate, Fate::Wanted | Fate::Back),
            goes_back: *fate == Fate::Back,
        };
        self.knobs.insert(wish.field.clone(), wish.parts.iter().zip(&fates).map(landed).collect());
        let (state, conflict) = self.decide(&wish, live.as_ref(), ours, &fates);
        if let Some(conflict) = conflict {
            plan.conflicts.push(conflict);
        }
        for (part, fate) in wish.parts.into_iter().zip(fates) {
            let state = match (state, fate) {
                // Of those that share a field, some may be where they shall be, and some have failed.
                (State::Planned | State::AtRest, Fate::Out | Fate::Back) => State::Quarantined,
                (State::Planned, Fate::There) if part.piece.is_some() => State::AtRest,
                _ => state,
            };
            let Some(source) = part.source else { continue };
            plan.settings.push(Setting {
                path: part.path,
                object: self.object.key.clone(),
                field: Some(wish.field.clone()),
                landing: wish.landing.clone(),
                desired: part.text,
                live: part.live,
                source,
                state,
                why: None,
            });
        }
    }

    /// What failed here is taken back; what failed anywhere is not begun.
    fn fate(&self, wish: &Wish, part: &Part, live: Option<&Json>, ours: bool) -> Fate {
        let memory = self.situation.memory;
        let is_there = part.is_in(wish, live);
        let failed = match (is_there, self.object.key.kind) {
            (false, _) => &memory.failed,
            (true, Kind::ConfigMap) => &memory.quarantine_anywhere,
            (true, _) => &memory.quarantine,
        };
        match (failed.contains(&value_hash(&part.path, &part.text)), is_there) {
            (true, true) if ours => Fate::Back,
            (true, _) => Fate::Out,
            (false, true) => Fate::There,
            (false, false) => Fate::Wanted,
        }
    }

    /// Puts the field into the claim, or repeats what is live, or leaves it out, and says why.
    fn decide(&mut self, wish: &Wish, live: Option<&Json>, ours: bool, fates: &[Fate]) -> (State, Option<Conflict>) {
        if let Some(elder) = self.situation.memory.elders.get(&wish.landing) {
            // Our entry gives the field up: two owners of one field with two values never come to rest.
            let message =
                format!("{} is governed by the older policy \"{elder}\": remove it from one of the two", wish.landing);
            return (State::Yielded, Some(self.conflict(Reason::KnobOwnedBy, wish, message)));
        }
        let has_lost = wish.is_shared() && ours && self.has_lost_parts(&wish.field);
        // While something goes back, nothing else is done to the field.
        let cleared = wish.cleared.as_ref().filter(|_| !has_lost && !fates.contains(&Fate::Back));
        let base = match cleared {
            _ if has_lost => self.previous_without(wish, live, fates),
            Some(cleared) => Some(cleared.text.clone()),
            None => self.without_failed(wish, live, fates),
        };
        let value = wish.on(base, fates);
        let none_is_wanted = fates.iter().all(|fate| matches!(fate, Fate::Out | Fate::Back));
        if value.as_ref() == live {
            if none_is_wanted {
                if ours {
                    self.keep(wish, live);
                }
                return (State::Quarantined, None);
            }
            if let Some(live) = live {
                self.claim.insert(wish.field.clone(), live.clone());
            }
            self.remember_baseline(wish, live);
            return (State::AtRest, None);
        }
        if none_is_wanted {
            return self.take_back(wish, live, value, fates, has_lost);
        }
        let others = self.declarers(&wish.field);
        // Who holds no more than a default loses nothing.
        self.force |= others.is_empty() && !self.holders(&wish.field).is_empty();
        let had = self.before.as_ref().is_some_and(|record| record.paths.contains_key(&wish.field));
        if had && !ours {
            return self.was_taken(wish, live, value, fates, &others);
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
            self.unexplained.push((wish.path(), wish.landing.clone()));
        }
        (self.change(wish, live, value, fates, has_lost), None)
    }

    /// The live value with what failed as it was before.
    fn without_failed(&self, wish: &Wish, live: Option<&Json>, fates: &[Fate]) -> Option<Json> {
        let failed = wish.parts.iter().zip(fates).filter(|(_, fate)| **fate == Fate::Back);
        let failed: Vec<&Option<Piece>> = failed.map(|(part, _)| &part.piece).collect();
        if failed.is_empty() {
            return live.cloned();
        }
        shared::restore(live, self.previous(&wish.field).as_ref(), &failed)
    }

    /// Whether the rollout that is being taken back has changed something in a field for which the policy has no knob any
    /// more: nobody can say which part of the field that was, so the field goes back with all that is not wanted now.
    fn has_lost_parts(&self, field: &FieldPath) -> bool {
        let memory = self.situation.memory;
        memory.orphans == Orphans::TakeBack
            && self.before.as_ref().is_some_and(|record| record.previous.contains_key(field))
            && memory.rolling.keys().any(|path| !self.has_knob(path))
    }

    /// What was in a field before the rollout that is being taken back, without anything that has failed before.
    fn previous_without(&self, wish: &Wish, live: Option<&Json>, fates: &[Fate]) -> Option<Json> {
        let previous = self.previous(&wish.field);
        let out = wish.parts.iter().zip(fates).filter(|(_, fate)| **fate == Fate::Out);
        let out: Vec<&Option<Piece>> = out.map(|(part, _)| &part.piece).collect();
        if out.is_empty() { previous } else { shared::restore(previous.as_ref(), live, &out) }
    }

    fn has_knob(&self, path: &str) -> bool {
        let knobs = &self.situation.policy.knobs;
        path == STAMP || path.starts_with("replicas.") || knobs.iter().any(|knob| *knob.path == *path)
    }

    /// Somebody set a field that we had claimed.
    fn was_taken(
        &mut self,
        wish: &Wish,
        live: Option<&Json>,
        value: Option<Json>,
        fates: &[Fate],
        others: &[Holder],
    ) -> (State, Option<Conflict>) {
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
            if wish.value.is_array() || wish.is_shared() {
                // Their new list, or text, is what ours is made of now, so it is what was there before, too.
                self.record.paths.insert(wish.field.clone(), live.cloned());
            }
            return (self.change(wish, live, value, fates, false), None);
        }
        // An owner that drops a field which was taken over removes it although we hold its value (kubectl's client-side
        // apply does): nobody wants anything else of it.
        let dropped = live.is_none() && others.is_empty() && wish.on_conflict == OnConflict::TakeOver;
        if self.hold == Some(Hold::Lifted) || dropped {
            self.force |= !others.is_empty();
            return (self.change(wish, live, value, fates, false), None);
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
                format!(" from {} to {}", wish.text(), wish.live_text().as_deref().unwrap_or("nothing"))
            },
            if self.object.key.kind.is_foreign() { "Run" } else { "Change the policy, or run" },
            self.situation.policy.identity.name(),
        );
        (State::Yielded, Some(self.conflict(Reason::ManualOverride, wish, message)))
    }

    /// Nothing but what failed is in a field of ours: back to what was there before it.
    fn take_back(
        &mut self,
        wish: &Wish,
        live: Option<&Json>,
        value: Option<Json>,
        fates: &[Fate],
        has_lost: bool,
    ) -> (State, Option<Conflict>) {
        let others = self.declarers(&wish.field);
        if !others.is_empty() && wish.on_conflict == OnConflict::Yield {
            // Whoever else wants the same value has to let go of it first.
            self.keep(wish, live);
            let message = foreign(wish, &others);
            return (State::Yielded, Some(self.conflict(Reason::FieldManagerConflict, wish, message)));
        }
        if let Some(bar) = self.bar(wish, live, value.as_ref()) {
            self.keep(wish, live);
            self.barred.push(bar);
            return (State::Refused, None);
        }
        self.force |= !self.holders(&wish.field).is_empty();
        self.note_changes(wish, value.as_ref(), fates, has_lost);
        self.unstamp(wish.read_at_start.as_deref().unwrap_or_default());
        self.put(&wish.field, value);
        (State::Quarantined, None)
    }

    fn bar(&self, wish: &Wish, live: Option<&Json>, value: Option<&Json>) -> Option<Refusal> {
        wish.parts.iter().find_map(|part| objects::bar(self.situation, &part.path, live, value))
    }

    /// What the parts of a field go from and to.
    fn note_changes(&mut self, wish: &Wish, value: Option<&Json>, fates: &[Fate], has_lost: bool) {
        let object = &self.object.key;
        let change = |path: &str, from: Option<String>, to: Option<String>, because: &str| {
            let (path, because) = (path.into(), because.to_owned());
            (wish.field.clone(), Change { object: object.clone(), path, from, to, because })
        };
        for (part, fate) in wish.parts.iter().zip(fates) {
            self.changes.extend(match fate {
                Fate::There | Fate::Out => None,
                Fate::Wanted => {
                    let because = part.source.as_deref().unwrap_or("a bound document changed");
                    // What is there twice is not there as it shall be.
                    let from = part.live.clone().filter(|live| *live != part.text);
                    Some(change(&part.path, from, Some(part.text.clone()), because))
                }
                Fate::Back => Some(change(&part.path, Some(part.text.clone()), part.told(value), FAILED)),
            });
        }
        // No knob says so, so that it comes back with all of the field if the rollout fails.
        if let Some(cleared) = wish.cleared.as_ref().filter(|_| !has_lost && !fates.contains(&Fate::Back)) {
            let taken = Some(cleared.taken.clone());
            self.changes.push(change(
                &wish.field.to_string(),
                taken,
                None,
                "it stands in the way of what is asked for",
            ));
        }
        if has_lost {
            let lost = "what the policy has no knob for any more".to_owned();
            self.changes.push(change(&wish.field.to_string(), Some(lost), None, FAILED));
        }
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
                because: FAILED.into(),
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

    fn change(
        &mut self,
        wish: &Wish,
        live: Option<&Json>,
        value: Option<Json>,
        fates: &[Fate],
        has_lost: bool,
    ) -> State {
        let bar = self.bar(wish, live, value.as_ref());
        let state = if bar.is_some() { State::Refused } else { State::Planned };
        self.barred.extend(bar);
        self.note_changes(wish, value.as_ref(), fates, has_lost);
        if let Some(value) = value {
            self.claim.insert(wish.field.clone(), value);
        }
        self.remember_baseline(wish, live);
        self.stamp(wish);
        state
    }

    /// Notes what pods are to be restarted for.
    fn stamp(&mut self, wish: &Wish) {
        let Some(key) = &wish.read_at_start else { return };
        self.restarts = true;
        let known = self.record.keys.remove(&**key);
        let memory = self.situation.memory;
        let Some(part) = wish.parts.first() else { return };
        let unproven = !memory.complete && memory.unproven.contains(&part.path);
        let ours = match known {
            Some(KeyStamp { before: Some(before), .. }) if unproven => before.ours,
            known => known.map(|known| known.now),
        };
        let before = Some(Before { generation: self.situation.policy.identity.generation, ours });
        let now = value_hash(&part.path, &part.text);
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
        if wish.has_options()
            && live.is_some()
            && !self.owned.contains(&wish.field)
            && let Some(was) = self.record.paths.get_mut(&wish.field)
        {
            let pieces: Vec<&Option<Piece>> = wish.parts.iter().map(|part| &part.piece).collect();
            *was = shared::restore(live, was.as_ref(), &pieces);
        }
    }

    fn conflict(&self, reason: Reason, wish: &Wish, message: String) -> Conflict {
        Conflict { reason, object: self.object.key.clone(), path: wish.path(), message }
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
        let kind = self.object.key.kind;
        let disruptive = self.restarts || self.changes.iter().any(|(field, _)| super::is_disruptive(kind, field));
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
        let memory = self.situation.memory;
        let earlier = self.before.iter().flat_map(|record| &record.previous);
        let earlier: BTreeMap<&FieldPath, &Option<Json>> = earlier.collect();
        // What the rollout carries and has no knob any more is one of these, and nobody can say which.
        let has_lost = memory.unproven.iter().any(|path| !self.has_knob(path));
        let is_unproven = |landed: &Landed| memory.unproven.contains(&landed.path);
        let is_kept = |field: &FieldPath| match self.knobs.get(field) {
            Some(landed) => landed.iter().any(|landed| is_unproven(landed) || has_lost && landed.piece.is_some()),
            None => memory.orphans != Orphans::Release && self.owned.contains(field),
        };
        let mut previous: BTreeMap<FieldPath, Option<Json>> = BTreeMap::new();
        for (field, value) in &earlier {
            if is_kept(field) {
                previous.insert((*field).clone(), (*value).clone());
            }
        }
        for (field, _) in &self.changes {
            let live = field.lookup(&self.object.content);
            // It is told once: what has no knob is let go of next.
            let Some(landed) = self.knobs.get(field) else {
                previous.remove(field);
                continue;
            };
            // After the way back, what failed is what was there before it: that tells it from the way there. And what ran
            // once and is changed again goes back to what ran.
            let stays =
                |landed: &&Landed| is_unproven(landed) && !landed.goes_back && !(memory.complete && landed.changes);
            let pieces = |stay: bool| -> Vec<&Option<Piece>> {
                landed.iter().filter(|landed| stays(landed) == stay).map(|landed| &landed.piece).collect()
            };
            let is_shared = landed.iter().any(|landed| landed.piece.is_some());
            let value = match earlier.get(field) {
                Some(was) if has_lost && is_shared => shared::restore(was.as_ref(), live, &pieces(false)),
                Some(was) if landed.iter().any(|landed| stays(&landed)) => {
                    shared::restore(live, was.as_ref(), &pieces(true))
                }
                _ => live.cloned(),
            };
            previous.insert(field.clone(), value);
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

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
