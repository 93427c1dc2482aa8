//! Taking in what happened: no decision is made here, only facts are kept and policies marked.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use super::{
    Change, Doing, Effect, Entry, Input, Stream, World, backoff,
    objects::{Slot, traces},
};
use crate::{
    api::{ConnectionBudget, PerformancePolicy, PerformancePolicyStatus, conditions::Reason, status::TargetStatus},
    core::{
        engine::{Action, Outcome, Read},
        facts::{Instant, Kind, ObjectKey, Seen, Span},
        policy::{Identity, Invalid, Landing, Policy, PolicyKey},
        report::{ActiveProfiles, Memoir},
    },
};

impl World {
    pub(super) fn absorb(&mut self, input: Input, now: Instant, out: &mut Vec<Effect>) {
        match input {
            Input::Policy(Change::Applied(policy)) => self.policy_applied(&policy, Policy::parse, now),
            Input::UnreadablePolicy(policy, why) => self.policy_applied(&policy, |_| Err(vec![unreadable(&why)]), now),
            Input::Policy(Change::Deleted(key)) => self.policy_deleted(&key),
            Input::Class(Change::Applied(class)) => {
                self.classes.insert(class.metadata.name.clone().unwrap_or_default().into(), *class);
                self.mark_all();
            }
            Input::Class(Change::Deleted(name)) => {
                self.classes.remove(&name);
                self.mark_all();
            }
            Input::Source(Change::Applied(source)) => {
                self.sources.insert(source.metadata.name.clone().unwrap_or_default().into(), *source);
                self.mark_all();
            }
            Input::Source(Change::Deleted(name)) => {
                self.sources.remove(&name);
                self.mark_all();
            }
            Input::Budget(Change::Applied(budget)) => {
                let name = |text: &Option<String>| text.clone().unwrap_or_default().into();
                let key = (name(&budget.metadata.namespace), name(&budget.metadata.name));
                let reserved = |of: &ConnectionBudget| of.status.as_ref().map(|status| status.reservations.clone());
                let asks_the_same = |known: &ConnectionBudget| {
                    (&known.metadata.uid, &known.spec) == (&budget.metadata.uid, &budget.spec)
                };
                let reserves_the_same = |known: &ConnectionBudget| {
                    reserved(known).unwrap_or_default() == reserved(&budget).unwrap_or_default()
                };
                let known = self.budgets.get(&key);
                let (same, kept) = (known.is_some_and(asks_the_same), known.is_some_and(reserves_the_same));
                self.budgets.insert(key.clone(), *budget);
                if !same {
                    // What was measured may have been something else.
                    self.figures.remove(&key);
                }
                // A status of ours is no news to consumers, but for what they wait for to be reserved, or let go.
                if same && kept {
                    self.ledger.look_at(key);
                } else {
                    self.budget_changed(&key);
                }
            }
            Input::Budget(Change::Deleted(key)) => {
                self.budgets.remove(&key);
                self.figures.remove(&key);
                self.budget_changed(&key);
            }
            Input::Disruption(Change::Applied(shown)) => {
                let (key, budget) = *shown;
                if self.disruptions.get(&key) != Some(&budget) {
                    self.disruption_changed(&key.0);
                    self.disruptions.insert(key, budget);
                }
            }
            Input::Disruption(Change::Deleted(key)) => {
                self.disruptions.remove(&key);
                self.disruption_changed(&key.0);
            }
            Input::Rule(Change::Applied(shown)) => self.rule_seen(shown.0, shown.1),
            Input::Rule(Change::Deleted(key)) => self.rule_gone(&key),
            Input::Object(Change::Applied(seen)) => self.object_seen(*seen),
            Input::Object(Change::Deleted(key)) => self.object_gone(&key),
            Input::Listed(stream, listing) => self.listed(stream, &listing.names),
            Input::Unserved(stream, reason) => self.shows_nothing(stream, reason),
            Input::Leadership(leader) => {
                if leader && !self.leader {
                    // While another replica led, it wrote the history of policies that this one knew already.
                    for (key, entry) in &mut self.policies {
                        entry.memoir = remembered(&key.0, &entry.written);
                        entry.told_active = entry.memoir.active.listed();
                        entry.told.clone_from(&entry.memoir.quarantine);
                        entry.claims = claims(&key.0, &entry.written);
                        entry.proofs.clear();
                        // It may have been there and gone again meanwhile.
                        entry.absent_since = None;
                    }
                    self.sweep.rebuild();
                    self.silences.clear();
                    self.rules_book.begin();
                    self.figures.clear();
                    self.ledger.forget_grants(self.budgets.keys());
                    self.adopted = false;
                    self.mark_all();
                }
                self.leader = leader;
                self.ledger.forget_decisions();
            }
            Input::Done(id, outcome) => {
                if let Some(doing) = self.running.remove(&id) {
                    self.done(doing, outcome, now, out);
                }
            }
            Input::Tick => self.tick(now, out),
        }
    }

    fn policy_applied(
        &mut self,
        policy: &PerformancePolicy,
        parse: impl FnOnce(&PerformancePolicy) -> Result<Policy, Vec<Invalid>>,
        now: Instant,
    ) {
        let identity = Identity::of(policy);
        let key = identity.key.clone();
        self.unreadable.remove(&key);
        let status = policy.status.clone().unwrap_or_default();
        match self.policies.get_mut(&key) {
            Some(entry) if entry.identity.uid == identity.uid => {
                let same = entry.identity.resource_version == identity.resource_version;
                let changed = entry.identity.generation != identity.generation;
                entry.identity = identity;
                if same {
                    return;
                }
                // The status is ours to write, so what we wrote last is newer than what a watch shows, unless somebody
                // else changed it.
                if status == entry.written {
                    entry.outdated.clear();
                } else if !entry.status_in_flight && !entry.outdated.contains(&status) {
                    entry.written = status;
                }
                let rollback = |entry: &Entry| entry.parsed.as_ref().ok().map(|policy| policy.rollback.clone());
                let before = rollback(entry);
                entry.parsed = parse(policy);
                // Who goes back does not wait for what was refused before.
                if rollback(entry) != before {
                    entry.backoffs.clear();
                }
                entry.under.clear();
                let steers = steering(policy);
                if entry.steered.0 != steers {
                    entry.steered = (steers, entry.identity.generation);
                    entry.backoffs.clear();
                }
                if changed {
                    entry.refused_status = None;
                    self.unmeasured.policies = true;
                }
            }
            _ => {
                self.unmeasured.policies = true;
                self.policies.insert(key.clone(), Entry::new(parse(policy), identity, steering(policy), status, now));
            }
        }
        self.mark(key);
    }

    fn policy_deleted(&mut self, key: &PolicyKey) {
        self.unmeasured.policies = true;
        self.policies.remove(key);
        self.unreadable.remove(key);
        // What it left behind is released, and younger policies on its knobs may go ahead.
        self.mark(key.clone());
        self.mark_namespace(&key.0);
    }

    /// Takes a view of an object in. A view that is not newer than what is known says nothing.
    pub(super) fn object_seen(&mut self, seen: Seen) {
        let key = seen.key.clone();
        if self.objects.is_outdated(&key, &seen.meta) {
            return;
        }
        if self.objects.version(&key).is_some_and(|(uid, _)| uid != seen.meta.uid) {
            // Another object has the name now: what was known of the old one is nothing to it.
            self.object_gone(&key);
        }
        let related = self.related(&key);
        let before = self.objects.slot(&key).is_some().then(|| self.objects.labels(&key));
        let slot = if !self.listed.contains(&Stream::Policies) {
            Slot::Waiting(Box::new(seen))
        } else if self.is_bound(&seen) {
            // The watch of ConfigMaps carries metadata only, so that unbound ones cost nothing.
            if key.kind == Kind::ConfigMap && seen.rest.is_empty() {
                Slot::Stale(seen.meta)
            } else {
                Slot::Bound(Arc::new(seen.into_object()))
            }
        } else {
            let labels = seen.meta.labels.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
            Slot::Unbound { uid: seen.meta.uid.into(), resource_version: seen.meta.resource_version.into(), labels }
        };
        self.objects.insert(key.clone(), slot);
        // Who is whose target depends on names and labels; statuses change all the time.
        if key.kind.is_workload() && before.as_ref() != Some(&self.objects.labels(&key)) {
            self.unmeasured.objects = true;
        }
        for policy in related.into_iter().chain(self.related(&key)) {
            self.mark(policy);
        }
    }

    pub(super) fn object_gone(&mut self, key: &ObjectKey) {
        let related = self.related(key);
        self.objects.remove(key);
        self.unmeasured.objects = true;
        if self.rollouts.remove(key).is_some() {
            self.wake_waiting();
        }
        for entry in self.policies.values_mut() {
            entry.holds.remove(key);
            entry.backoffs.remove(key);
            entry.claims.remove(key);
            entry.proofs.remove(key);
        }
        self.reads.remove(key);
        self.unsure.remove(key);
        self.refused_releases.remove(key);
        for policy in related {
            self.mark(policy);
        }
    }

    fn listed(&mut self, stream: Stream, names: &BTreeSet<(Box<str>, Box<str>)>) {
        match stream {
            Stream::Policies => {
                let gone: Vec<PolicyKey> = self.policies.keys().filter(|key| !names.contains(*key)).cloned().collect();
                for key in gone {
                    self.policy_deleted(&key);
                }
                self.unreadable = names.iter().filter(|key| !self.policies.contains_key(*key)).cloned().collect();
            }
            Stream::Classes => self.classes.retain(|name, _| names.contains(&("".into(), name.clone()))),
            Stream::Sources => self.sources.retain(|name, _| names.contains(&("".into(), name.clone()))),
            Stream::Budgets => {
                let gone: Vec<_> = self.budgets.keys().filter(|key| !names.contains(*key)).cloned().collect();
                for key in gone {
                    self.budgets.remove(&key);
                    self.figures.remove(&key);
                    self.budget_changed(&key);
                }
            }
            Stream::Disruptions => self.disruptions.retain(|key, _| names.contains(key)),
            Stream::Rules => {
                self.rules_book.seen.retain(|key, _| names.contains(key));
                self.rules_book.restless = true;
            }
            Stream::Objects(kind) => {
                let all = self.objects.keys_of_kind(kind);
                for key in all {
                    if !names.contains(&(key.namespace.clone(), key.name.clone())) {
                        self.object_gone(&key);
                    }
                }
            }
        }
        self.unserved.remove(&stream);
        let first = self.listed.insert(stream);
        if first && stream == Stream::Policies {
            for seen in self.objects.take_waiting() {
                self.object_seen(seen);
            }
        }
        self.mark_all();
    }

    /// A stream that shows nothing. Of a kind that is not served there are no objects; of one that cannot be read, what is
    /// known stays.
    fn shows_nothing(&mut self, stream: Stream, reason: Reason) {
        if reason == Reason::KindNotServed {
            if let Stream::Objects(kind) = stream {
                for key in self.objects.keys_of_kind(kind) {
                    self.object_gone(&key);
                }
            }
            if stream == Stream::Rules {
                self.rules_book.seen.clear();
            }
            self.listed.remove(&stream);
        } else if self.listed.contains(&stream) {
            return;
        }
        if self.unserved.insert(stream, reason) != Some(reason) {
            self.mark_all();
        }
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.objects.forget(None);
        let due: Vec<PolicyKey> = self
            .policies
            .iter()
            .filter(|(_, entry)| entry.wake.is_some_and(|at| at <= now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.mark(key);
        }
        let refused: Vec<PolicyKey> = self
            .refused_releases
            .values()
            .filter(|refused| refused.until <= now)
            .map(|refused| refused.policy.clone())
            .collect();
        for key in refused {
            self.mark(key);
        }
        let again: Vec<ObjectKey> = self
            .reads
            .iter()
            .filter(|(_, read)| read.again.is_some_and(|at| at <= now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in again {
            if let Some(read) = self.reads.get_mut(&key) {
                read.again = None;
            }
            self.emit(Action::Get(key.clone()), Doing::Read(key), out);
        }
    }

    /// The end of a read.
    pub(super) fn read_done(&mut self, key: &ObjectKey, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Object(seen) => {
                self.reads.remove(key);
                self.object_read(*seen);
                // The answer may be older than what a watch has shown since: then somebody has to ask again.
                for policy in self.related(key) {
                    self.mark(policy);
                }
            }
            Outcome::NotFound => self.object_gone(key),
            Outcome::Accepted
            | Outcome::Pods(_)
            | Outcome::Answer(_)
            | Outcome::Silences(_)
            | Outcome::Rule(_)
            | Outcome::Failed(_) => {
                let attempts = self.reads.get(key).map_or(0, |read| read.attempts);
                let again = now + backoff(Span::seconds(1), attempts, Span::minutes(1));
                self.reads.insert(key.clone(), Read { again: Some(again), attempts: attempts + 1 });
            }
        }
    }

    /// A complete view of an object: of the same version as the slot it fills what the watch left out.
    pub(super) fn object_read(&mut self, seen: Seen) {
        let key = seen.key.clone();
        let fills = matches!(self.objects.slot(&key), Some(Slot::Stale(_) | Slot::Unbound { .. }))
            && self.objects.version(&key) == Some((&seen.meta.uid, &seen.meta.resource_version));
        if fills {
            self.objects.remove(&key);
        }
        self.object_seen(seen);
    }

    /// Whether the object is governed by a policy, carries traces of one, or rolls out what one left behind: others wait for
    /// the end of that.
    fn is_bound(&self, seen: &Seen) -> bool {
        !traces(&seen.meta).is_empty()
            || self.rollouts.contains_key(&seen.key)
            || seen.key.kind == Kind::HorizontalPodAutoscaler
            || self.policies_in(&seen.key.namespace).any(|(_, entry)| {
                entry.parsed.as_ref().is_ok_and(|policy| names_object(policy, &seen.key, &seen.meta.labels))
            })
    }

    /// Policies that have something to do with an object.
    pub(super) fn related(&self, key: &ObjectKey) -> BTreeSet<PolicyKey> {
        let labels = self.objects.labels(key);
        let scaled = self
            .objects
            .get(key)
            .filter(|_| key.kind == Kind::HorizontalPodAutoscaler)
            .and_then(super::targets::scaled);
        let mut related: BTreeSet<PolicyKey> = self
            .policies_in(&key.namespace)
            .filter(|(_, entry)| {
                entry.parsed.as_ref().is_ok_and(|policy| {
                    names_object(policy, key, &labels)
                        || scaled
                            .as_ref()
                            .is_some_and(|scaled| names_object(policy, scaled, &self.objects.labels(scaled)))
                })
            })
            .map(|(key, _)| key.clone())
            .collect();
        related.extend(self.objects.policies_on(key).into_iter().map(|policy| (key.namespace.clone(), policy)));
        related
    }

    pub(super) fn policies_in(&self, namespace: &str) -> impl Iterator<Item = (&PolicyKey, &Entry)> {
        let from: PolicyKey = (namespace.into(), "".into());
        let namespace: Box<str> = namespace.into();
        self.policies.range(from..).take_while(move |(key, _)| key.0 == namespace)
    }

    pub(super) fn mark(&mut self, policy: PolicyKey) {
        self.dirty.insert(policy);
    }

    fn mark_namespace(&mut self, namespace: &str) {
        let keys: Vec<PolicyKey> = self.policies_in(namespace).map(|(key, _)| key.clone()).collect();
        self.dirty.extend(keys);
    }

    /// What one allows less of, nobody has to be told who writes nothing; what it allows more of, only those who wait for it.
    fn disruption_changed(&mut self, namespace: &str) {
        let waiting = self.policies_in(namespace).filter(|(_, entry)| entry.protected);
        let keys: Vec<PolicyKey> = waiting.map(|(key, _)| key.clone()).collect();
        self.dirty.extend(keys);
    }

    /// Marks every policy, after a change that may concern them all.
    fn mark_all(&mut self) {
        self.unmeasured.policies = true;
        self.dirty.extend(self.policies.keys().cloned());
        let orphans: Vec<PolicyKey> = self.objects.traced().cloned().collect();
        self.dirty.extend(orphans);
    }
}

/// Whether a policy's spec names an object: as target, or as a `ConfigMap` that its knobs land in.
fn names_object(policy: &Policy, key: &ObjectKey, labels: &BTreeMap<String, String>) -> bool {
    if key.kind == Kind::ConfigMap {
        return policy.files.iter().any(|file| file.config_map == key.name)
            || policy
                .knobs
                .iter()
                .any(|knob| matches!(&knob.landing, Landing::ConfigMapKey { name, .. } if *name == key.name));
    }
    policy.target.as_ref().is_some_and(|target| target.kind == key.kind && target.choice.matches(&key.name, labels))
}

/// A hash of the part of a spec that steers. It is never stored.
fn steering(policy: &PerformancePolicy) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(&policy.spec.steering()).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

impl Entry {
    fn new(
        parsed: Result<Policy, Vec<Invalid>>,
        identity: Identity,
        steers: u64,
        status: PerformancePolicyStatus,
        now: Instant,
    ) -> Self {
        let memoir = remembered(&identity.key.0, &status);
        Self {
            told_active: memoir.active.listed(),
            under: BTreeMap::new(),
            told: memoir.quarantine.clone(),
            claims: claims(&identity.key.0, &status),
            steered: (steers, identity.generation),
            identity,
            parsed,
            written: status,
            wanted: None,
            last_write: now - Span::hours(1),
            status_in_flight: false,
            refused_status: None,
            outdated: Vec::new(),
            finalizers_tried: None,
            finalizers_in_flight: false,
            memoir,
            open_change: None,
            proofs: BTreeMap::new(),
            settings: BTreeMap::new(),
            holds: BTreeMap::new(),
            scalings: BTreeMap::new(),
            restored: BTreeSet::new(),
            backoffs: BTreeMap::new(),
            absent_since: None,
            wake: None,
            waiting: None,
            protected: false,
            evidence: BTreeMap::new(),
        }
    }
}

/// Why a policy that cannot be read is not served: it keeps what it holds, and nothing is written for it.
fn unreadable(why: &str) -> Invalid {
    Invalid {
        reason: Reason::UnsupportedVersion,
        path: "spec".to_owned(),
        message: format!(
            "cannot be read by this version of Trimtab ({why}): upgrade the operator, or change the policy"
        ),
    }
}

/// What a status remembers of a policy's changes.
fn remembered(namespace: &str, status: &PerformancePolicyStatus) -> Memoir {
    Memoir {
        revision: status.revision.unwrap_or(0),
        last_change: status.last_change.as_ref().map(crate::core::report::instant),
        resumed: status.last_handled_resume_at.as_ref().map(crate::core::report::instant),
        history: status.history.clone(),
        quarantine: status.quarantine.clone(),
        active: ActiveProfiles::recall(namespace, &status.active_profiles),
    }
}

/// What a status remembers of claims.
fn claims(namespace: &str, status: &PerformancePolicyStatus) -> BTreeMap<ObjectKey, String> {
    let claim = |target: &TargetStatus| {
        let (kind, name) = target.name.split_once('/')?;
        let key = ObjectKey::new(Kind::from_name(kind)?, namespace, name);
        Some((key, target.applied.as_ref()?.claim_hash.clone()))
    };
    status.targets.iter().filter_map(claim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::engine::{Change, Config, Listing, step};

    const CLAIMED: &str = r#"{"metadata":{"name":"web","namespace":"shop","uid":"u-1","resourceVersion":"41","generation":1,
        "managedFields":[{"manager":"trimtab/api","operation":"Apply","apiVersion":"apps/v1","fieldsType":"FieldsV1",
        "fieldsV1":{"f:spec":{"f:minReadySeconds":{}}}}]},"spec":{"minReadySeconds":1}}"#;

    #[test]
    fn what_an_unreadable_policy_holds_is_not_abandoned_until_the_policy_is_gone() {
        let now = Instant::from_millis(1_763_700_000_000);
        let mut world = World::new(Config::default());
        let name: PolicyKey = ("shop".into(), "api".into());
        let claimed = Seen::from_json(Kind::Deployment, CLAIMED).unwrap();
        let web = (claimed.key.namespace.clone(), claimed.key.name.clone());
        // The list names the policy, and nothing was told of it.
        let mut inputs = vec![
            Input::Listed(Stream::Policies, Listing { names: [name.clone()].into() }),
            Input::Listed(Stream::Classes, Listing::default()),
            Input::Listed(Stream::Sources, Listing::default()),
            Input::Listed(Stream::Budgets, Listing::default()),
            Input::Listed(Stream::Disruptions, Listing::default()),
            Input::Object(Change::Applied(Box::new(claimed))),
        ];
        for kind in Kind::ALL {
            let names = if kind == Kind::Deployment { [web.clone()].into() } else { BTreeSet::new() };
            inputs.push(Input::Listed(Stream::Objects(kind), Listing { names }));
        }
        inputs.push(Input::Leadership(true));
        for input in inputs {
            assert_eq!(step(&mut world, input, now), []);
        }
        let effects = step(&mut world, Input::Policy(Change::Deleted(name)), now);
        assert!(matches!(&effects[..], [Effect { action: Action::Patch(_), .. }]), "{effects:?}");
    }
}
