//! Silences for what our own rollouts explain: while pods of a workload are replaced for us, nobody is woken because a pod
//! takes long to start.
//!
//! A silence is a lease. It ends by itself two minutes after it was last renewed, so that one whose operator died pages late
//! and never not at all. It begins with the write that begins the rollout, is renewed while that goes on, and is ended when
//! the rollout has settled, or when it fails: what is taken back pages at once.
//!
//! What an Alertmanager holds is looked at before every step, so a lost reply needs no care of its own: the next look shows
//! what became of the request. A new leader goes on with a silence that it finds, and begins none, because what was breached
//! before the rollout nobody remembers. One that a person has edited or ended is left alone, and so are all of that rollout.

mod claim;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::claim::{About, Claim, Decision, LEASE};
use super::{
    Action, Doing, Effect, Outcome, World,
    effect::{SilenceAsk, SilenceRequest},
    rollout::Rollout,
};
use crate::core::{
    facts::{Instant, ObjectKey, Span},
    policy::PolicyKey,
};

/// Time between two looks at a silence that is kept up: three of them may fail before it lapses.
const RENEWAL: Span = Span::seconds(30);
/// Time after a request that failed.
const RETRY: Span = Span::seconds(5);
/// A rollout that takes longer is nothing that an alert should wait for.
const LONGEST: Span = Span::hours(1);

/// What is silenced, one entry for each rollout. What follows one on the same workload is an entry of its own, although the
/// silence of the first may not be ended yet.
#[derive(Debug, Default)]
pub(super) struct Silences {
    last: u64,
    entries: BTreeMap<SilenceKey, Silenced>,
}

/// The workload, and the number of the entry.
pub(super) type SilenceKey = (ObjectKey, u64);

/// What was asked of an Alertmanager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Look,
    Set,
    Expire,
}

#[derive(Debug)]
struct Silenced {
    about: About,
    /// Revision of the policy that rolls out, where this process has written it.
    revision: Option<i64>,
    source: Box<str>,
    wish: Wish,
    began: Instant,
    /// Since when it shall be over.
    ending: Option<Instant>,
    /// By base URL of the Alertmanager.
    places: BTreeMap<Box<str>, Place>,
}

#[derive(Debug)]
enum Wish {
    /// Nothing is explained, or nobody would hear of it.
    Nothing,
    /// The rollout is of this process.
    Silence(Claim),
    /// Whatever the leader of before has made.
    Find,
}

/// A silence at one Alertmanager.
#[derive(Debug, Default)]
struct Place {
    /// What is known to be there, once it was found.
    claim: Option<Claim>,
    id: Option<String>,
    next: Instant,
    busy: bool,
    /// Nothing more is done about it while the rollout goes on.
    left: bool,
}

impl Silences {
    /// A new leader knows nothing.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    fn is_known(&self, target: &ObjectKey) -> bool {
        self.of(target).any(|entry| entry.ending.is_none())
    }

    fn of(&self, target: &ObjectKey) -> impl Iterator<Item = &Silenced> {
        self.entries.iter().filter(move |((of, _), _)| of == target).map(|(_, entry)| entry)
    }

    fn insert(&mut self, target: &ObjectKey, entry: Silenced) {
        self.last += 1;
        self.entries.insert((target.clone(), self.last), entry);
    }
}

impl Silenced {
    fn end(&mut self, now: Instant) {
        self.ending.get_or_insert(now);
        self.places.retain(|_, place| place.claim.is_some() || !place.left);
        for place in self.places.values_mut() {
            place.next = now;
        }
    }

    fn is_over(&self) -> bool {
        self.ending.is_some() && self.places.is_empty()
    }

    /// Follows which Alertmanagers there are. What one that is gone holds, lapses.
    fn follow(&mut self, urls: &[String], now: Instant) {
        self.places.retain(|url, _| urls.iter().any(|known| **known == **url));
        if self.ending.is_some() || matches!(self.wish, Wish::Nothing) {
            return;
        }
        for url in urls {
            if !self.places.contains_key(url.as_str()) {
                let claim = match &self.wish {
                    Wish::Silence(claim) => Some(claim.clone()),
                    Wish::Nothing | Wish::Find => None,
                };
                self.places.insert(url.as_str().into(), Place { claim, next: now, ..Place::default() });
            }
        }
    }

    /// Which Alertmanagers are to be looked at now. Those that could not be reached in time are not any more: what they hold
    /// has lapsed.
    fn due(&mut self, now: Instant) -> Vec<Box<str>> {
        let ended = self.ending;
        self.places.retain(|_, place| {
            let lapsed = ended.is_some_and(|since| now.since(since) > LEASE);
            !lapsed || place.busy
        });
        let too_long = now.since(self.began) > LONGEST;
        let mut due = Vec::new();
        for (url, place) in &mut self.places {
            place.left |= too_long;
            if !place.busy && place.next <= now && (ended.is_some() || !place.left) {
                place.busy = true;
                due.push(url.clone());
            }
        }
        due
    }
}

impl World {
    /// Workloads whose rollouts explain a breach at the moment.
    pub fn explaining(&self) -> impl Iterator<Item = &ObjectKey> {
        let explains = self.rollouts.iter().filter(|(target, rollout)| self.explains(target, rollout));
        explains.map(|(target, _)| target)
    }

    fn explains(&self, target: &ObjectKey, rollout: &Rollout) -> bool {
        let serves = self.policies.get(&rollout.policy).is_some_and(|entry| !entry.identity.deleting);
        serves && target.kind.is_workload() && rollout.explains()
    }

    /// Whether anybody hears of a breach.
    fn tells(&self, policy: &PolicyKey) -> bool {
        let parsed = self.policies.get(policy).and_then(|entry| entry.parsed.as_ref().ok());
        parsed.is_some_and(|policy| self.rules(policy).is_ok_and(|rules| policy.sink.or(rules.spec.sink).is_some()))
    }

    /// The write that begins a rollout has succeeded: what was well until now may be silenced.
    pub(super) fn begin_silence(&mut self, target: &ObjectKey, now: Instant) {
        let Some(rollout) = self.rollouts.get(target).filter(|rollout| self.explains(target, rollout)) else { return };
        let Some(entry) = self.policies.get(&rollout.policy) else { return };
        let Some(source) = self.sweep.source_of(&rollout.policy) else { return };
        let about = About::new(&rollout.policy, &entry.identity.uid, target);
        let revision = entry.memoir.revision;
        // A further write of the same change belongs to the same rollout.
        if self.silences.of(target).any(|known| known.ending.is_none() && known.revision == Some(revision)) {
            return;
        }
        let explained =
            if self.tells(&rollout.policy) { self.sweep.explained(&rollout.policy, target) } else { vec![] };
        let wish = if explained.is_empty() {
            Wish::Nothing
        } else {
            Wish::Silence(Claim::new(&about, revision, &explained, &rollout.changes))
        };
        for ((of, _), known) in &mut self.silences.entries {
            if of == target {
                known.end(now);
            }
        }
        let places = BTreeMap::new();
        let entry = Silenced { about, revision: Some(revision), source, wish, began: now, ending: None, places };
        self.silences.insert(target, entry);
    }

    /// Keeps silences up, and ends those that nothing explains any more.
    pub(super) fn keep_silences(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.find_silences(now);
        let mut silences = std::mem::take(&mut self.silences);
        for ((target, number), entry) in &mut silences.entries {
            let rollout = self.rollouts.get(target).filter(|rollout| rollout.policy == entry.about.policy);
            if !rollout.is_some_and(|rollout| self.explains(target, rollout)) && entry.ending.is_none() {
                entry.end(now);
            }
            let source = self.sources.get(&entry.source);
            entry.follow(source.map_or(&[], |source| &source.spec.alertmanagers), now);
            for alertmanager in entry.due(now) {
                let ask = SilenceAsk::Look(entry.about.filter());
                let request = SilenceRequest { source: entry.source.clone(), alertmanager, ask };
                self.ask_silence((target.clone(), *number), request, Asked::Look, out);
            }
        }
        silences.entries.retain(|_, entry| !entry.is_over());
        self.silences = silences;
    }

    /// Rollouts of which this process has not seen the beginning: their silences are to be found.
    fn find_silences(&mut self, now: Instant) {
        let unknown: Vec<(ObjectKey, PolicyKey)> = self
            .rollouts
            .iter()
            .filter(|(target, rollout)| self.explains(target, rollout) && !self.silences.is_known(target))
            .filter(|(_, rollout)| self.tells(&rollout.policy))
            .map(|(target, rollout)| (target.clone(), rollout.policy.clone()))
            .collect();
        for (target, policy) in unknown {
            let Some(entry) = self.policies.get(&policy) else { continue };
            // Before the sweep knows the policy, nobody knows where its alerts go.
            let Some(source) = self.sweep.source_of(&policy) else { continue };
            let about = About::new(&policy, &entry.identity.uid, &target);
            let places = BTreeMap::new();
            let found = Silenced { about, revision: None, source, wish: Wish::Find, began: now, ending: None, places };
            self.silences.insert(&target, found);
        }
    }

    fn ask_silence(&mut self, key: SilenceKey, request: SilenceRequest, asked: Asked, out: &mut Vec<Effect>) {
        let doing = Doing::Silence { key, alertmanager: request.alertmanager.clone(), asked };
        self.emit(Action::Silence(request), doing, out);
    }

    /// An Alertmanager has answered, or not.
    pub(super) fn silence_done(
        &mut self,
        key: SilenceKey,
        alertmanager: &str,
        asked: Asked,
        outcome: &Outcome,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.silences.entries.get_mut(&key) else { return };
        let Some(place) = entry.places.get_mut(alertmanager) else { return };
        place.busy = false;
        place.next = now + RETRY;
        let found = match (asked, outcome) {
            (Asked::Look, Outcome::Silences(found)) if self.leader => found,
            // What became of it, the next look shows.
            (Asked::Set, Outcome::Accepted) => {
                place.next = if entry.ending.is_some() { now } else { now + RENEWAL };
                return;
            }
            (Asked::Expire, Outcome::Accepted | Outcome::NotFound) => {
                place.next = now;
                return;
            }
            _ => return,
        };
        let may_begin = matches!(entry.wish, Wish::Silence(_));
        let known = place.claim.as_ref().map(|claim| (claim, place.id.as_deref()));
        let decision = entry.about.decide(found, known, (may_begin, entry.ending.is_some()), now);
        let (ask, asked) = match decision {
            Decision::Leave => {
                place.left = true;
                if entry.ending.is_some() {
                    entry.places.remove(alertmanager);
                }
                return;
            }
            Decision::Set { claim, id, silence } => {
                (place.claim, place.id) = (Some(claim), id.clone());
                (SilenceAsk::Set { id, silence: Box::new(silence) }, Asked::Set)
            }
            Decision::Expire(id) => (SilenceAsk::Expire(id), Asked::Expire),
        };
        place.busy = true;
        let request = SilenceRequest { source: entry.source.clone(), alertmanager: alertmanager.into(), ask };
        self.ask_silence(key, request, asked, out);
    }
}
