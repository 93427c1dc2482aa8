//! A rollout that failed: its values go into quarantine, and the previous ones come back.

use super::Phase;
use crate::{
    api::{conditions::Reason, status::QuarantineEntry},
    core::{
        engine::{Entry, OpenChange, World},
        facts::{Instant, ObjectKey, Span},
        plan::{Plan, Step, value_hash},
        report,
    },
};

/// Time for which a value that failed is not tried again.
const QUARANTINE: Span = Span::hours(24);

impl World {
    /// A failed rollout: its values go into quarantine, and as soon as the status says so they are taken back.
    pub(super) fn fail_rollout(&mut self, target: &ObjectKey, reason: Reason, message: String, now: Instant) {
        let Some(rollout) = self.rollouts.get_mut(target) else { return };
        if rollout.failed.is_some() {
            return;
        }
        rollout.failed = Some((reason, message));
        let (policy, changes) = (rollout.policy.clone(), rollout.changes.clone());
        let (settling, generation) = (rollout.phase == Phase::Settling, rollout.generation);
        if let Some(entry) = self.policies.get_mut(&policy) {
            // It was told as applied; the way back belongs to the same change.
            if let Some(newest) = entry.memoir.history.first_mut().filter(|_| settling) {
                "RollingOut".clone_into(&mut newest.verdict);
                entry.open_change = Some(OpenChange { generation, rolled_out: true });
            }
            let failed: Vec<QuarantineEntry> = changes
                .iter()
                .filter_map(|change| {
                    Some(QuarantineEntry {
                        object: target.short(),
                        path: change.path.to_string(),
                        value_hash: value_hash(&change.path, change.to.as_ref()?),
                        until: report::time(now + QUARANTINE),
                        reason: reason.as_str().to_owned(),
                    })
                })
                .collect();
            let quarantine = &mut entry.memoir.quarantine;
            quarantine
                .retain(|old| !failed.iter().any(|new| new.object == old.object && new.value_hash == old.value_hash));
            // The newest first: they are what is left where the list has to be cut.
            quarantine.splice(0..0, failed);
        }
        self.mark(policy);
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
        let told = entry.memoir.quarantine.iter().all(|item| entry.told.contains(item));
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
