//! A rollout that failed: its values go into quarantine, and the previous ones come back.

use super::{Phase, stall::by_hand};
use crate::{
    api::{conditions::Reason, status::QuarantineEntry},
    core::{
        engine::{Effect, Entry, OpenChange, World},
        facts::{Instant, ObjectKey, Span},
        plan::{Plan, STAMP, Step, place, value_hash},
        policy::PolicyKey,
        record::{Before, Record},
        report,
    },
};

/// Time for which a value that failed is not tried again.
const QUARANTINE: Span = Span::hours(24);

impl World {
    /// A failed rollout: its values go into quarantine, and as soon as the status says so they are taken back.
    pub(super) fn fail_rollout(
        &mut self,
        target: &ObjectKey,
        reason: Reason,
        mut message: String,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let Some(rollout) = self.rollouts.get(target).filter(|rollout| rollout.failed.is_none()) else { return };
        let (policy, changes) = (rollout.policy.clone(), rollout.changes.clone());
        let (settling, generation) = (rollout.phase == Phase::Settling, rollout.generation);
        let values = changes.iter().filter_map(|change| Some((change.path.clone(), change.to.as_ref()?)));
        let mut values: Vec<(Box<str>, String)> =
            values.map(|(path, to)| (path.clone(), value_hash(&path, to))).collect();
        if values.iter().any(|(path, _)| **path == *STAMP) {
            // Which files the stamp stands for, their own records know. As long as one is being read, nothing can be said; and
            // nobody else may read it, for one where the policy is being deleted.
            match self.values_in_files(&policy, rollout.first_generation) {
                Ok(files) => values.extend(files),
                Err(unread) => {
                    self.read(&unread, out);
                    return;
                }
            }
        }
        message.push_str(self.objects.get(target).map_or("", by_hand));
        if let Some(rollout) = self.rollouts.get_mut(target) {
            rollout.failed = Some((reason, message));
        }
        if let Some(entry) = self.policies.get_mut(&policy) {
            // It was told as applied; the way back belongs to the same change.
            if let Some(newest) = entry.memoir.history.first_mut().filter(|_| settling) {
                "RollingOut".clone_into(&mut newest.verdict);
                entry.open_change = Some(OpenChange { generation, pinned: entry.pinned(), rolled_out: true });
            }
            let mut failed: Vec<QuarantineEntry> = Vec::new();
            for (path, value_hash) in values {
                if failed.iter().all(|item| item.value_hash != value_hash) {
                    failed.push(QuarantineEntry {
                        object: target.short(),
                        path: path.to_string(),
                        value_hash,
                        until: report::time(now + QUARANTINE),
                        reason: reason.as_str().to_owned(),
                    });
                }
            }
            let quarantine = &mut entry.memoir.quarantine;
            quarantine
                .retain(|old| !failed.iter().any(|new| new.object == old.object && new.value_hash == old.value_hash));
            // The newest first: they are what is left where the list has to be cut.
            quarantine.splice(0..0, failed);
        }
        self.mark(policy);
    }

    /// The values in files that pods read at start, and that were changed in generation `first` or later, with their hashes; else
    /// the file that has to be read. What was changed before that has been proven, although nothing was written to say so.
    fn values_in_files(&self, policy: &PolicyKey, first: i64) -> Result<Vec<(Box<str>, String)>, ObjectKey> {
        let Some(policy) = self.policies.get(policy).and_then(|entry| entry.parsed.as_ref().ok()) else {
            return Ok(Vec::new());
        };
        let is_new = |before: &Option<Before>| before.as_ref().is_some_and(|before| before.generation >= first);
        let mut values = Vec::new();
        for key in Self::named_config_maps(policy) {
            if self.objects.slot(&key).is_none() {
                continue;
            }
            let Some(object) = self.objects.get(&key) else { return Err(key) };
            let Some(Ok(record)) = Record::of(&object.meta, policy.identity.name()) else { continue };
            for knob in policy.knobs.iter().filter(|knob| knob.landing.is_read_at_start(policy)) {
                let Some(place) = place(policy, &knob.landing, &key.name) else { continue };
                let document = record.documents.get(&place).filter(|document| is_new(&document.before));
                let stamp = record.keys.get(&place).filter(|stamp| is_new(&stamp.before));
                let hash = document.map(|document| value_hash(&knob.path, &document.now));
                let hash = hash.or_else(|| stamp.map(|stamp| stamp.now.clone()));
                values.extend(hash.map(|hash| (knob.path.clone(), hash)));
            }
        }
        Ok(values)
    }

    /// A policy that is not served takes nothing back, and its failed rollouts keep nobody waiting.
    pub(in crate::core::engine) fn give_up(&mut self, entry: &Entry) {
        if !entry.knows_quarantine() {
            return;
        }
        for rollout in self.rollouts.values_mut().filter(|rollout| rollout.policy == entry.identity.key) {
            rollout.given_up |= rollout.failed.is_some() && rollout.phase == Phase::Running;
        }
    }

    /// Whether a failed rollout will be taken back at all. It will not where a person holds the object, or where the plan
    /// wants something else by now.
    pub(in crate::core::engine) fn look_for_way_back(
        &mut self,
        entry: &Entry,
        target: &ObjectKey,
        plan: &Plan,
        may_write: bool,
    ) {
        let told = entry.knows_quarantine();
        let is_way_back = plan.steps.iter().any(Step::is_disruptive);
        let is_open = self.busy.contains(target) || !plan.unread.is_empty();
        let Some(rollout) = self.rollouts.get_mut(target).filter(|rollout| {
            rollout.policy == entry.identity.key && rollout.failed.is_some() && rollout.phase == Phase::Running
        }) else {
            return;
        };
        rollout.given_up = told && !is_open && !(may_write && is_way_back);
    }
}

impl Entry {
    /// Whether everybody can know what is in quarantine: only then is it acted upon.
    pub(in crate::core::engine) fn knows_quarantine(&self) -> bool {
        self.memoir.quarantine.iter().all(|item| self.told.contains(item))
    }
}
