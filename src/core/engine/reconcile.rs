//! One pass over one policy: what is, what shall be, the next write, and what to say.

use std::collections::BTreeSet;

use super::{
    Action, Doing, Effect, Entry, HoldSince, Patch, PatchBody, World,
    compose::{is_accepted, untouched, was_served},
    gauges,
    ledger::is_consumer,
    profiles::Blocked,
    rollout::Rollout,
    targets::Unserved,
};
use crate::{
    api::{
        conditions::{ConditionType, Reason},
        names,
        policy::Mode,
        status::QuarantineEntry,
    },
    core::{
        facts::{Instant, Object, ObjectKey, progress, unsettled},
        plan::{self, Case, Hold, Memory, Orphans, Plan, Step},
        policy::{Policy, PolicyKey, Rollback},
        record::Record,
        report::{self, Finding, Standing, TargetStanding, Truth},
        resolve::{self, Rules, Shares},
    },
};

/// What one pass over one target found.
pub(super) struct Visit {
    pub plan: Plan,
    pub standing: TargetStanding,
    /// Why a planned write is not made now; `None`: it is, or there is none.
    pub waits: Option<Finding>,
}

impl Visit {
    /// Whether nothing is left to be written, as far as can be seen.
    fn is_done(&self) -> bool {
        self.plan.steps.is_empty() && self.plan.unread.is_empty() && self.waits.is_none()
    }
}

/// After so many policies of one namespace, what they have looked at is forgotten.
const DECODED: usize = 64;

impl World {
    pub(super) fn reconcile_dirty(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let mut passed = BTreeSet::new();
        let mut namespaces = BTreeSet::new();
        self.ledger.begin();
        while let Some(key) = self.dirty.pop_first().or_else(|| self.next_in_turn(&passed)) {
            passed.insert(key.clone());
            // Policies come namespace by namespace.
            if !namespaces.contains(&key.0) || passed.len().is_multiple_of(DECODED) {
                self.forget_decoded(&mut namespaces);
            }
            namespaces.insert(key.0.clone());
            match self.policies.remove(&key) {
                None if self.unreadable.contains(&key) => {}
                None => {
                    self.close_books(&key, now);
                    self.release_traces(&key, &BTreeSet::new(), now, out);
                }
                Some(mut entry) => {
                    let contests = entry.scalings.values().flatten().map(|(_, at)| *at + plan::CONTEST);
                    entry.wake = contests.filter(|end| *end > now).min();
                    let waited = entry.waiting.take();
                    entry.protected = false;
                    // Younger policies must see this one while it is out of the table: they are visited after it is back.
                    self.visits += 1;
                    self.visit(&key, &mut entry, now, out);
                    // Who is refused once more keeps its place.
                    entry.waiting = entry.waiting.map(|since| waited.unwrap_or(since));
                    self.policies.insert(key, entry);
                }
            }
        }
        self.forget_decoded(&mut namespaces);
    }

    /// What policies of these namespaces have looked at is kept as text again.
    fn forget_decoded(&mut self, namespaces: &mut BTreeSet<Box<str>>) {
        for namespace in std::mem::take(namespaces) {
            self.objects.forget(Some(&namespace));
        }
    }

    fn visit(&mut self, key: &PolicyKey, entry: &mut Entry, now: Instant, out: &mut Vec<Effect>) {
        // First, because what pools amount to follows from the profiles that are active.
        let blocked = self.switch_profiles(entry, now);
        self.keep_books(key, entry, now);
        if entry.identity.deleting {
            self.retire(key, entry, now, out);
            return;
        }
        let mut standing = self.standing(key, entry, blocked, now, out);
        standing.pinned = standing.pinned.or_else(|| entry.parsed.as_ref().ok().and_then(Self::pin));
        // It is handled when nothing is left of what it ends: a restart before that must still find it new.
        if !entry.holds.iter().any(|(key, hold)| entry.lifts(key, hold)) {
            let resumed = entry.parsed.as_ref().ok().and_then(|policy| policy.resumed_at);
            entry.memoir.resumed = resumed.or(entry.memoir.resumed);
        }
        // A value that failed may be tried again when its time is over.
        let soonest = entry.memoir.quarantine.iter().map(|item| report::instant(&item.until)).min();
        if let Some(until) = soonest.filter(|until| *until > now) {
            entry.wake = Some(entry.wake.map_or(until, |at| at.min(until)));
        }
        // After a restart, and whenever something is read again, what was said of this very spec holds for the moment that it
        // takes.
        if !(was_served(entry) && self.is_reading(entry)) {
            Self::want_status(entry, &standing, now);
        }
    }

    /// Whether something that the policy names is being read, and nothing of it could not be read.
    fn is_reading(&self, entry: &Entry) -> bool {
        let Ok(policy) = &entry.parsed else { return false };
        let mut named = self.rules(policy).and_then(|rules| self.targets(policy, &rules)).unwrap_or_default();
        named.extend(Self::named_config_maps(policy));
        let mut reads = named.iter().filter_map(|key| self.reads.get(key)).peekable();
        reads.peek().is_some() && reads.all(|read| read.attempts == 0)
    }

    fn standing(
        &mut self,
        key: &PolicyKey,
        entry: &mut Entry,
        blocked: Vec<Blocked>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> Standing {
        let settings = std::mem::take(&mut entry.settings);
        let policy = match &entry.parsed {
            Ok(policy) => policy.clone(),
            Err(wrong) => {
                let message = wrong.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ");
                let reason = wrong.first().map_or(Reason::InvalidSpec, |first| first.reason);
                self.give_up(entry);
                return self.unserved(key, entry, Unserved { reason, message, stalled: true }, false);
            }
        };
        let rules = match self.rules(&policy) {
            Ok(rules) => rules,
            Err(unserved) => {
                self.give_up(entry);
                return self.unserved(key, entry, unserved, true);
            }
        };
        if let Err(wrong) = resolve::admit(&policy, &rules) {
            let message = wrong.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let reason = wrong.first().map_or(Reason::ClassForbids, |first| first.reason);
            self.give_up(entry);
            return self.unserved(key, entry, Unserved { reason, message, stalled: true }, false);
        }
        let targets = match self.targets(&policy, &rules) {
            Ok(targets) => targets,
            Err(unserved) => {
                self.give_up(entry);
                if writable(&policy, &rules).is_ok() && unserved.reason == Reason::NoTargets {
                    self.release_traces(key, &BTreeSet::new(), now, out);
                }
                return self.unserved(key, entry, unserved, true);
            }
        };
        self.read_missing(&policy, &targets, out);
        let may_write = writable(&policy, &rules);
        // The write that begins a claim which has to be restored waits for the finalizer that promises it.
        let finalizers_ready = self.finalizers_ready(key, entry, &policy, now, out);
        // Values follow from the profiles that are active, and after a restart from those that the status tells.
        let ready = may_write.is_ok() && finalizers_ready && entry.knows_profiles();
        entry.proofs.retain(|target, _| targets.contains(target));
        let mut kept: BTreeSet<ObjectKey> = BTreeSet::new();
        let mut visits = Vec::new();
        for target in &targets {
            kept.insert(target.clone());
            kept.extend(self.autoscaler(target).map(|object| object.key.clone()));
            let under = entry.under(&policy, Some(target));
            let policy = under.as_deref().unwrap_or(&policy);
            // What a rollback pins may contradict the profiles that are active here.
            let refused = Self::pin(policy).filter(|pin| pin.reason == Reason::RollbackRefused);
            let mut visit = self.visit_target(entry, policy, &rules, target, ready && refused.is_none(), now, out);
            visit.waits = refused.or(visit.waits);
            visits.push(visit);
        }
        kept.extend(Self::named_config_maps(&policy));
        if policy.suspended.is_none() && !rules.spec.freeze {
            if policy.mode != Mode::Enforce {
                kept.clear();
            }
            self.release_traces(key, &kept, now, out);
        }
        let mut rollouts = self.rollouts.values().filter(|rollout| rollout.policy == *key);
        let rolls = rollouts.any(|rollout| rollout.is_in_flight() || rollout.failed.is_some());
        if !rolls && visits.iter().all(Visit::is_done) {
            entry.open_change = None;
        }
        entry.settings = gauges::settings(&policy, &visits, settings);
        self.compose(entry, &policy, &may_write, blocked, visits)
    }

    /// What is said of a rollback.
    fn pin(policy: &Policy) -> Option<Finding> {
        let (holds, message) = policy.rollback.told(policy.identity.name())?;
        let (truth, reason) = match policy.rollback {
            Rollback::Foreign { .. } => (Truth::False, Reason::RollbackIgnored),
            _ if holds => (Truth::True, Reason::RollbackPinned),
            _ => (Truth::False, Reason::RollbackRefused),
        };
        Some(Finding::new(truth, reason, message))
    }

    /// A policy that is not served: it keeps what it holds and writes nothing.
    pub(super) fn unserved(&self, key: &PolicyKey, entry: &Entry, unserved: Unserved, accepted: bool) -> Standing {
        let Unserved { reason, message, stalled } = unserved;
        let measured = self.measured(key, entry);
        let mode = entry.parsed.as_ref().map_or(Mode::default(), |policy| policy.mode);
        let judged = if accepted { is_accepted() } else { Finding::new(Truth::False, reason, message.clone()) };
        Standing {
            not_ready: Some((reason, message.clone())),
            stalled,
            reconciling: Some((reason, message.clone())),
            applied: Some(Finding::new(Truth::False, reason, message)),
            ..untouched(mode, judged, measured)
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one pass over one target needs the whole situation")]
    fn visit_target(
        &mut self,
        entry: &mut Entry,
        policy: &Policy,
        rules: &Rules,
        target: &ObjectKey,
        may_write: bool,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> Visit {
        let mut standing = TargetStanding { key: target.clone(), ready: false, reason: None, applied: None };
        let Some(object) = self.objects.shared(target) else {
            standing.reason = Some(Reason::Unknown);
            let waits = Finding::new(Truth::Unknown, Reason::Unknown, format!("{} is being read", target.short()));
            return Visit { plan: Plan::default(), standing, waits: Some(waits) };
        };
        let mut decision = self.budgets_for(policy, target);
        let mut plan = self.plan_target(entry, policy, &object, &decision.shares, now);
        Self::keep_holds(entry, &plan, target);
        let failed = self.rollouts.get(target).filter(|rollout| rollout.policy == entry.identity.key);
        let goes_back = failed.is_some_and(|rollout| rollout.failed.is_some());
        self.hold_to_budgets(&entry.identity.key, target, &mut decision, goes_back, &mut plan);
        self.look_for_way_back(entry, target, &plan, may_write);
        for key in &plan.unread {
            self.read(key, out);
        }
        let mut waits = plan
            .unread
            .first()
            .map(|key| Finding::new(Truth::Unknown, Reason::Unknown, format!("{} is being read", key.short())));
        // What failed goes back in any case.
        let short_of = if goes_back { None } else { decision.waits(&plan) };
        if let Some(step) = plan.steps.first() {
            let verdict = if may_write { self.gate(entry, rules, &object, step, now) } else { Err(None) };
            let key = entry.identity.key.clone();
            // Who waits for nothing but a turn reserves what grows then, so that a round costs one status of the budget.
            let has_no_turn =
                |why: &Option<Finding>| why.as_ref().is_some_and(|why| why.reason == Reason::WaitingForTurn);
            if verdict.as_ref().is_err_and(has_no_turn) && short_of.is_none() && !goes_back {
                // What is told is the turn, whatever becomes of it.
                drop(self.reserve(&key, target, step, &decision));
            } else if verdict.is_err() && !self.is_written(target) && !self.is_written(step.object()) {
                // What cannot be written now may never be: others need not wait for what it would have grown by.
                self.give_up_growth(&key, target);
            }
            let verdict = verdict.and_then(|()| short_of.clone().map_or(Ok(()), |why| Err(Some(why))));
            let verdict = verdict.and_then(|()| {
                if goes_back || !decision.waits_for_rollout(step, &progress(&object)) {
                    return Ok(());
                }
                let message =
                    format!("{}: pods of the rollout before have yet to end, and hold connections", target.short());
                Err(Some(Finding::new(Truth::False, Reason::RollingOut, message)))
            });
            match verdict.and_then(|()| self.reserve(&key, target, step, &decision).map_err(Some)) {
                Ok(()) => {
                    self.write(&entry.identity.key.clone(), entry, target, step.clone(), now, out);
                    waits = Some(Finding::new(Truth::False, Reason::Pending, "a write is under way"));
                }
                Err(why) => waits = why,
            }
        }
        waits = waits.or_else(|| short_of.filter(|_| may_write));
        let unsettled = unsettled(&object).filter(|_| waits.is_none() && may_write && plan.steps.is_empty());
        if let Some(why) = &unsettled {
            let message = format!("{} is not ready: {why}", target.short());
            waits = Some(Finding::new(Truth::False, Reason::TargetNotReady, message));
        }
        let rolling = self.rollouts.get(target).and_then(|rollout| match rollout {
            rollout if rollout.needs_person() => Some(Reason::AwaitingManualRollout),
            rollout => rollout.is_under_way().then_some(Reason::RollingOut),
        });
        // A change of the number of pods leaves a trace, too, and is no claim: that carries its record.
        standing.applied = (!plan.claim_hash.is_empty()
            && self.objects.traces_of(&entry.identity.key).contains(target)
            && Record::of(&object.meta, entry.identity.name()).is_some())
        .then(|| (plan.claim_hash.clone(), object.meta.generation));
        if let Some((hash, _)) = &standing.applied {
            entry.claims.insert(target.clone(), hash.clone());
        }
        self.note_proofs(entry, policy, &object, &plan, rolling.is_some());
        standing.ready = plan.steps.is_empty()
            && plan.refusals.is_empty()
            && plan.conflicts.is_empty()
            && plan.unread.is_empty()
            && rolling.is_none()
            && unsettled.is_none();
        standing.reason = plan
            .refusals
            .first()
            .map(|refusal| refusal.reason)
            .or_else(|| plan.conflicts.first().map(|conflict| conflict.reason))
            .or(rolling)
            .or_else(|| waits.as_ref().map(|why| why.reason));
        Visit { plan, standing, waits }
    }

    /// The plan for one target as things are.
    pub(super) fn plan_target(
        &self,
        entry: &Entry,
        policy: &Policy,
        object: &Object,
        shares: &Shares,
        now: Instant,
    ) -> Plan {
        if let Some(owner) = &object.meta.controller {
            let message = format!(
                "{} is owned by {} \"{}\", which would undo every write: govern the owner instead",
                object.key.short(),
                owner.kind,
                owner.name
            );
            let refusal = plan::Refusal { reason: Reason::TargetControlled, message, stalled: false };
            return Plan { refusals: vec![refusal], ..Plan::default() };
        }
        if object.meta.deleting {
            let message = format!("{} is being deleted", object.key.short());
            return Plan {
                refusals: vec![plan::Refusal { reason: Reason::NoTargets, message, stalled: false }],
                ..Plan::default()
            };
        }
        if (policy.replicas.is_some() || is_consumer(policy))
            && let Some(unread) = self.unread_autoscaler(&object.key)
        {
            return Plan { unread: vec![unread.clone()], ..Plan::default() };
        }
        let memory = Memory { shares: shares.clone(), ..self.memory(entry, object, now) };
        plan::plan(&Case {
            policy,
            target: object,
            autoscaler: self.autoscaler(&object.key),
            config_maps: &self.config_maps(policy),
            memory: &memory,
            now,
        })
    }

    fn memory(&self, entry: &Entry, target: &Object, now: Instant) -> Memory {
        let holds = entry
            .holds
            .iter()
            .map(|(key, hold)| (key.clone(), if entry.lifts(key, hold) { Hold::Lifted } else { Hold::Held }))
            .collect();
        let short = target.key.short();
        let applied = entry.claims.get_key_value(&target.key).map(|(key, hash)| (key.clone(), hash.clone()));
        let applied = applied.into_iter().collect();
        // Only what the server has: a value is taken back after everybody can know that it will not be tried again.
        let hashes = |items: &[QuarantineEntry], object: Option<&str>| -> BTreeSet<String> {
            let counts = |item: &&QuarantineEntry| {
                report::instant(&item.until) > now && object.is_none_or(|object| item.object == object)
            };
            items.iter().filter(counts).map(|item| item.value_hash.clone()).collect()
        };
        let quarantine = hashes(&entry.told, Some(&short));
        let quarantine_anywhere = hashes(&entry.told, None);
        let failed = hashes(&entry.memoir.quarantine, None);
        let counts = |item: &&QuarantineEntry| item.object == short && report::instant(&item.until) > now;
        let failed_here = entry.told.iter().filter(counts).map(|item| item.path.as_str().into()).collect();
        let rollout = self.rollouts.get(&target.key).filter(|rollout| rollout.policy == entry.identity.key);
        let unproven = rollout.into_iter().flat_map(Rollout::unproven).map(|change| change.path.clone()).collect();
        let complete = rollout.is_some_and(Rollout::was_complete);
        // One that rests has pods of both, too.
        let rolling = rollout.into_iter().flat_map(|rollout| &rollout.changes);
        let rolling = rolling.map(|change| (change.path.clone(), [change.from.clone(), change.to.clone()])).collect();
        let orphans = rollout.map_or(Orphans::Release, |rollout| rollout.orphans(entry.knows_quarantine()));
        let scalings = entry.scalings.get(&target.key).map_or(0, |scalings| {
            let counts =
                |(generation, at): &&(i64, Instant)| *generation >= entry.steered.1 && now.since(*at) < plan::CONTEST;
            scalings.iter().filter(counts).count()
        });
        let elders = self.elders(entry, target);
        Memory {
            holds,
            applied,
            quarantine,
            quarantine_anywhere,
            failed_here,
            failed,
            unproven,
            complete,
            rolling,
            orphans,
            elders,
            scalings,
            shares: Shares::new(),
        }
    }

    fn keep_holds(entry: &mut Entry, plan: &Plan, target: &ObjectKey) {
        let told = report::find(&entry.written.conditions, ConditionType::Conflicted)
            .filter(|condition| condition.reason == Reason::ManualOverride.as_str());
        let resumed = entry.parsed.as_ref().ok().and_then(|policy| policy.resumed_at);
        for key in &plan.overridden {
            // After a restart the status is what is left of the hold.
            let hold =
                told.map_or(HoldSince { generation: entry.identity.generation, resumed }, |condition| HoldSince {
                    generation: condition.observed_generation.unwrap_or(entry.identity.generation),
                    resumed: entry.memoir.resumed,
                });
            entry.holds.entry(key.clone()).or_insert(hold);
        }
        // A plan that was cut short says nothing of the rest.
        if !plan.refusals.is_empty() || !plan.unread.is_empty() {
            return;
        }
        let concerned = |key: &ObjectKey| key == target || key.kind != target.kind;
        // A hold that is lifted lasts until the write that takes the fields back has succeeded: that may have to wait.
        let mut holds = std::mem::take(&mut entry.holds);
        holds.retain(|key, hold| {
            !concerned(key) || plan.overridden.contains(key) || entry.lifts(key, hold) && !plan.steps.is_empty()
        });
        entry.holds = holds;
    }

    /// Whether a write of an object is under way, or nobody knows how one has ended.
    pub(super) fn is_written(&self, object: &ObjectKey) -> bool {
        self.busy.contains(object) || self.unsure.contains_key(object)
    }

    /// Executes a step.
    pub(super) fn write(
        &mut self,
        policy: &PolicyKey,
        entry: &Entry,
        target: &ObjectKey,
        step: Step,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let object = step.object().clone();
        if step.is_disruptive() {
            let rollout =
                self.rollouts.entry(target.clone()).or_insert_with(|| Rollout::preparing(policy.clone(), now));
            rollout.prepare(policy, now);
        }
        let (subresource, body) = match &step {
            Step::Json { subresource, patch, .. } => (*subresource, PatchBody::Json(patch.clone())),
            Step::Apply(write) => (None, PatchBody::Apply { body: write.body.clone(), force: write.force }),
        };
        let patch = Patch { object: object.clone(), subresource, manager: names::manager(&policy.1), body };
        self.busy.insert(object);
        let doing = Doing::Write {
            policy: policy.clone(),
            target: target.clone(),
            generation: entry.identity.generation,
            step,
        };
        self.emit(Action::Patch(patch), doing, out);
    }
}

impl Entry {
    /// Whether somebody wants back what a hold leaves to a person. Times of two clocks are not compared.
    ///
    /// What a person did to an object of another project may keep data: no edit of the policy undoes that, only a resumption.
    fn lifts(&self, key: &ObjectKey, hold: &HoldSince) -> bool {
        let resumed = self.parsed.as_ref().ok().and_then(|policy| policy.resumed_at);
        let edited = hold.generation < self.steered.1 && !key.kind.is_foreign();
        edited || (resumed.is_some() && resumed != hold.resumed)
    }
}

/// Whether the policy may write at all.
pub(super) fn writable(policy: &Policy, rules: &Rules) -> Result<(), Finding> {
    let no = |reason: Reason, message: String| Err(Finding::new(Truth::False, reason, message));
    match policy.mode {
        Mode::Observe => return no(Reason::ObserveOnly, "the policy only observes".into()),
        Mode::Recommend => return no(Reason::RecommendOnly, "the policy only recommends".into()),
        Mode::Enforce => {}
    }
    if let Some(why) = &policy.suspended {
        return no(Reason::Suspended, format!("the policy is suspended: {why}"));
    }
    if rules.spec.freeze {
        return no(Reason::Frozen, format!("{} is frozen", rules.name()));
    }
    if let (Rollback::Refused(_), Some((_, why))) = (&policy.rollback, policy.rollback.told(policy.identity.name())) {
        return no(Reason::RollbackRefused, why);
    }
    Ok(())
}
