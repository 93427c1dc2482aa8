//! What a new leader makes of rollouts that it finds.

use serde_json::Value;

use super::{Phase, Rest, Rollout, SETTLE, stall::by_hand};
use crate::{
    api::{conditions::Reason, names, status::ChangeStatus},
    core::{
        engine::{Entry, World},
        facts::{Instant, Kind, Object, ObjectKey, Operation, Progress, progress},
        ownership::{FieldPath, FieldSet},
        plan::{Change, Piece, Plan, STAMP, is_disruptive, value_hash},
        policy::{Policy, PolicyKey},
        record::Record,
        resolve,
    },
};

impl World {
    /// Looks for rollouts of ours that were under way before this replica led, before anything else is begun.
    pub(in crate::core::engine) fn adopt_rollouts(&mut self, now: Instant) {
        if self.adopted {
            return;
        }
        self.adopted = true;
        let keys: Vec<PolicyKey> = self.policies.keys().cloned().collect();
        let ledger = self.all_books(now);
        for key in keys {
            let Some(mut entry) = self.policies.remove(&key) else { continue };
            if let Ok(policy) = entry.parsed.clone()
                && let Ok(rules) = self.rules(&policy)
                && resolve::admit(&policy, &rules).is_ok()
                && let Ok(targets) = self.targets(&policy, &rules)
            {
                let latest = self.rolls_since(&targets, policy.identity.name());
                for target in targets {
                    let Some(object) = self.objects.shared(&target) else { continue };
                    let progress = progress(&object);
                    // Targets take turns: the rollout of one that was written before the one that rolls out now has ended.
                    let is_over = progress == Progress::Complete
                        && written_at(&object, &names::manager(policy.identity.name())) < latest;
                    if !is_over && progress != Progress::Paused {
                        let under = entry.under(&policy, Some(&target));
                        let policy = under.as_deref().unwrap_or(&policy);
                        let shares = self.shares_in(&ledger, policy, &target);
                        let plan = self.plan_target(&entry, policy, &object, &shares, now);
                        self.adopt_rollout(&mut entry, policy, &object, &plan, now);
                    }
                }
            }
            self.policies.insert(key, entry);
        }
        self.adopt_strays(now);
        self.leave_turns();
    }

    /// When the latest rollout of a policy began that is under way among `targets`.
    fn rolls_since(&self, targets: &[ObjectKey], policy: &str) -> Option<Instant> {
        let objects = targets.iter().filter_map(|target| self.objects.get(target));
        objects
            .filter(|object| progress(object) == Progress::Running && wrote_last(object, policy))
            .filter_map(|object| written_at(object, &names::manager(policy)))
            .max()
    }

    /// Rollouts of policies that are gone, that govern something else by now, or on which somebody else has worked since:
    /// they are not ours to take back, but they count.
    fn adopt_strays(&mut self, now: Instant) {
        let traced: Vec<PolicyKey> = self.objects.traced().cloned().collect();
        for policy in traced {
            for key in self.objects.traces_of(&policy) {
                let Some(object) = self.objects.get(&key).filter(|_| !self.rollouts.contains_key(&key)) else {
                    continue;
                };
                // Something else may have been changed since, and told of.
                let is_listed = |entry: &Entry| entry.memoir.history.iter().any(|item| item.verdict == "RollingOut");
                let has_ended = |entry: &Entry| is_told(entry, object) && !is_listed(entry);
                // The way back of a value without a knob leaves nothing that was there before.
                let is_ours = |record: Record| !record.previous.is_empty() || wrote_last(object, &policy.1);
                if is_taking_turns(object, &policy.1)
                    && progress(object) == Progress::Running
                    && !self.policies.get(&policy).is_some_and(has_ended)
                    && Record::of(&object.meta, &policy.1).is_some_and(|record| record.is_ok_and(is_ours))
                {
                    let mut rollout = Rollout::preparing(policy.clone(), now);
                    rollout.phase = Phase::Stray;
                    rollout.object_generation = object.meta.generation;
                    rollout.uid.clone_from(&object.meta.uid);
                    self.rollouts.insert(key, rollout);
                }
            }
        }
    }

    /// No status tells of the last rollouts how they ended, so that more of them may look as if they were under way than may be. One
    /// that has failed, and whose pods nobody replaces, is over where others leave no room for it: they have begun after its end.
    /// Its turn is theirs, and what is left to do for it waits for another one.
    fn leave_turns(&mut self) {
        let stands = |object: &Object| matches!(progress(object), Progress::Complete | Progress::Failed { .. });
        let written = |object: &Object, rollout: &Rollout| written_at(object, &names::manager(&rollout.policy.1));
        let mut standing: Vec<(Option<Instant>, ObjectKey)> = self
            .rollouts
            .iter()
            .filter(|(_, rollout)| rollout.is_in_flight())
            .filter_map(|(target, rollout)| Some((target, rollout, self.objects.get(target)?)))
            // What is complete and has not failed is over with the first look at it.
            .filter(|(target, rollout, object)| {
                let looks_over = progress(object) == Progress::Complete && target.kind.is_workload();
                stands(object) && (rollout.failed.is_some() || !looks_over)
            })
            .map(|(target, rollout, object)| (written(object, rollout), target.clone()))
            .collect();
        // The one that was written last is the one that may still have its turn.
        standing.sort();
        for (_, target) in standing {
            let Some(rollout) = self.rollouts.get_mut(&target) else { continue };
            rollout.rest = Some(Rest::Overtaken);
            let policy = rollout.policy.clone();
            let parsed = self.policies.get(&policy).and_then(|entry| entry.parsed.as_ref().ok());
            let rules = parsed.and_then(|policy| self.rules(policy).ok()).unwrap_or_else(|| self.default_rules());
            let begins = self.rollouts.values().any(|other| other.policy == policy && other.is_in_flight());
            if !begins
                && self.has_room(&target.namespace, &rules)
                && let Some(rollout) = self.rollouts.get_mut(&target)
            {
                rollout.rest = None;
            }
        }
    }

    /// A rollout of ours that was under way when this replica took over is ours to look after.
    fn adopt_rollout(&mut self, entry: &mut Entry, policy: &Policy, object: &Object, plan: &Plan, now: Instant) {
        if self.rollouts.contains_key(&object.key) || self.busy.contains(&object.key) {
            return;
        }
        let Some(Ok(record)) = Record::of(&object.meta, policy.identity.name()) else { return };
        if record.uid != policy.identity.uid
            || record.previous.is_empty()
            || !is_taking_turns(object, policy.identity.name())
            || !wrote_last(object, policy.identity.name())
        {
            return;
        }
        let told = is_told(entry, object);
        let settles = told
            && entry.memoir.history.first().is_some_and(|newest| newest.verdict == "Applied")
            && entry.memoir.last_change.is_some_and(|at| now.since(at) < SETTLE);
        if told && !(settles && object.key.kind.is_workload()) {
            return;
        }
        let mut rollout = Rollout::preparing(policy.identity.key.clone(), now);
        rollout.phase = Phase::Running;
        rollout.generation = record.generation;
        rollout.first_generation = record.generation;
        rollout.object_generation = object.meta.generation;
        rollout.uid.clone_from(&object.meta.uid);
        rollout.changes = listed_changes(entry, object, recorded_changes(&record, object, policy, plan));
        // The way back may have been interrupted: what is in quarantine has failed. A value that left it is the way back.
        let short = object.key.short();
        let is_bad = |change: &Change, value: &Option<String>| {
            let hash = value.as_ref().map(|value| value_hash(&change.path, value));
            entry.told.iter().find(|item| item.object == short && Some(&item.value_hash) == hash.as_ref()).cloned()
        };
        let failed = rollout.changes.iter().find_map(|change| is_bad(change, &change.to));
        let taken_back = rollout.changes.iter().find_map(|change| is_bad(change, &change.from));
        rollout.failed = failed.as_ref().or(taken_back.as_ref()).map(|item| {
            let why = format!("found after a restart{}", by_hand(object));
            (Reason::from_word(&item.reason).unwrap_or(Reason::CrashLoop), why)
        });
        if failed.is_none() && taken_back.is_some() {
            rollout.phase = Phase::RollingBack;
        } else if settles {
            // Since when its pods run, nobody remembers: the time begins anew.
            rollout.phase = Phase::Settling;
            rollout.completed = Some((now, None));
        }
        // The write was made and no status told of it: whatever follows belongs to the same change.
        let is_listed = entry.memoir.history.first().is_some_and(|newest| newest.verdict == "RollingOut");
        if !is_listed && progress(object) != Progress::Complete {
            entry.remember(rollout.generation, &rollout.changes, true, now);
        }
        self.rollouts.insert(object.key.clone(), rollout);
    }
}

/// Whether the last change of a policy may be a rollout: on a workload, or of what another project's operator restarts for.
fn is_taking_turns(object: &Object, policy: &str) -> bool {
    let restarts = |record: Record| record.previous.keys().any(|field| is_disruptive(object.key.kind, field));
    object.key.kind.is_workload() || Record::of(&object.meta, policy).is_some_and(|record| record.is_ok_and(restarts))
}

/// Whether the status tells how the rollout of the last write to `object` has ended.
fn is_told(entry: &Entry, object: &Object) -> bool {
    let ended = entry.memoir.history.first().is_some_and(|newest| newest.verdict != "RollingOut");
    let written = written_at(object, &names::manager(&entry.identity.key.1));
    ended && entry.memoir.last_change.is_some_and(|last| written.is_some_and(|written| written < last))
}

/// Whether nobody has changed the pod template of `object`, or all that another project's has, after the last apply of `policy`.
pub(super) fn wrote_last(object: &Object, policy: &str) -> bool {
    let Some(ours) = written_at(object, &names::manager(policy)) else { return false };
    let template: &[&str] = if object.key.kind.is_foreign() { &["spec"] } else { &["spec", "template"] };
    let template = FieldPath::of(template);
    let others = object.meta.managed.iter().filter(|entry| entry.manager != names::manager(policy));
    !others
        // Their fields are many, and most writes are older than ours.
        .filter(|entry| entry.time.as_deref().and_then(Instant::parse).is_some_and(|at| at > ours))
        .any(|entry| FieldSet::read(&entry.fields).covers(&template))
}

/// Adds to `recorded` changes what only the status lists of the rollout: values in files, and of knobs that are gone. A change that
/// overtook another one has an entry of its own.
fn listed_changes(entry: &Entry, object: &Object, recorded: Vec<Change>) -> Vec<Change> {
    let short = object.key.short();
    let is_new = |change: &&ChangeStatus| {
        (change.object == short || change.object.starts_with(Kind::ConfigMap.as_str()))
            && !recorded.iter().any(|known| *known.path == *change.path)
    };
    let open = entry.memoir.history.iter().take_while(|item| item.verdict == "RollingOut");
    let open: Vec<_> = open.map(|item| &item.changes).collect();
    let listed = open.into_iter().rev().flatten().filter(is_new).map(|change| Change {
        object: object.key.clone(),
        path: change.path.as_str().into(),
        from: change.from.clone(),
        to: change.to.clone(),
        because: change.because.clone(),
    });
    let listed: Vec<Change> = listed.collect();
    recorded.into_iter().chain(listed).collect()
}

/// What the last write changed, and what it overtook, as its record tells: the record travels with the write.
fn recorded_changes(record: &Record, object: &Object, policy: &Policy, plan: &Plan) -> Vec<Change> {
    let stamp = FieldPath::of(&["spec", "template", "metadata", "annotations", &names::stamp(policy.identity.name())]);
    let words = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let change = |path: &str, from: Option<String>, to: Option<String>| Change {
        object: object.key.clone(),
        path: path.into(),
        from,
        to,
        because: "found after a restart".into(),
    };
    let mut changes = Vec::new();
    for (field, previous) in &record.previous {
        let live = field.lookup(&object.content);
        if live == previous.as_ref() {
            continue;
        }
        if *field == stamp {
            changes.push(change(STAMP, previous.as_ref().map(words), live.map(words)));
        }
        for setting in plan.settings.iter().filter(|setting| setting.field.as_ref() == Some(field)) {
            let knob = policy.knobs.iter().find(|knob| knob.path == setting.path);
            // As the plan spells it, by which a value that fails is known.
            let to = setting.live.clone();
            match knob.and_then(|knob| Piece::of(&knob.landing)) {
                None => {
                    let to = to.or_else(|| live.map(words));
                    changes.push(change(&setting.path, previous.as_ref().map(words), to));
                }
                // What shares the field may have stayed as it was.
                Some(piece) => {
                    let from = piece.read(previous.as_ref());
                    if from != piece.read(live) {
                        changes.push(change(&setting.path, from, to));
                    }
                }
            }
        }
    }
    changes
}

/// Time of our last apply, by the API server's clock.
pub(super) fn written_at(object: &Object, manager: &str) -> Option<Instant> {
    let entry =
        object.meta.managed.iter().find(|entry| entry.manager == manager && entry.operation == Operation::Apply)?;
    Instant::parse(entry.time.as_deref()?)
}
