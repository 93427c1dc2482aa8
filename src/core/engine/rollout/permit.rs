//! Permits: how many rollouts of ours are under way at once, and who is next.

use super::{Phase, Rollout};
use crate::{
    api::conditions::Reason,
    core::{
        engine::{Entry, World},
        facts::{Instant, Object, Progress, progress},
        plan::Step,
        policy::PolicyKey,
        report::{Finding, Truth},
        resolve::Rules,
    },
};

impl World {
    /// Whether a step may be executed now.
    pub(in crate::core::engine) fn gate(
        &self,
        entry: &mut Entry,
        rules: &Rules,
        target: &Object,
        step: &Step,
        now: Instant,
    ) -> Result<(), Option<Finding>> {
        let object = step.object();
        if self.busy.contains(object) || self.busy.contains(&target.key) {
            return Err(Some(Finding::new(Truth::False, Reason::Pending, "a write is under way")));
        }
        if let Some(backoff) = entry
            .backoffs
            .get(object)
            .filter(|backoff| backoff.generation == entry.identity.generation && backoff.until > now)
        {
            entry.wake = Some(entry.wake.map_or(backoff.until, |at| at.min(backoff.until)));
            return Err(Some(backoff.why.clone()));
        }
        if !step.is_disruptive() {
            return Ok(());
        }
        let mine = self
            .rollouts
            .get(&target.key)
            .filter(|rollout| rollout.policy == entry.identity.key && rollout.phase != Phase::Stray);
        let supersedes = mine.is_some_and(|rollout| rollout.may_be_superseded(entry.identity.generation));
        let wait = |reason: Reason, message: String| Err(Some(Finding::new(Truth::False, reason, message)));
        match progress(target) {
            Progress::Complete => {}
            Progress::Running | Progress::Failed { .. } if supersedes => {}
            Progress::Running | Progress::Failed { .. } if mine.is_some_and(|rollout| rollout.rests) => {
                let message = format!(
                    "neither the last change of {} nor its way back has come to its end: look at its pods, or change the value",
                    target.key.short()
                );
                return wait(Reason::DeadlineExceeded, message);
            }
            Progress::Running | Progress::Failed { .. } => {
                let (reason, whose) = if mine.is_some() {
                    (Reason::RollingOut, "the rollout of the last change")
                } else {
                    (Reason::TargetRolloutInProgress, "somebody else's rollout")
                };
                return wait(reason, format!("{whose} of {} is under way", target.key.short()));
            }
            Progress::Paused => {
                return wait(
                    Reason::TargetPaused,
                    format!("{} is paused: run \"kubectl rollout resume\"", target.key.short()),
                );
            }
            Progress::AwaitingManual => {
                return wait(
                    Reason::AwaitingManualRollout,
                    format!("{} waits for a person to delete or partition pods", target.key.short()),
                );
            }
        }
        if mine.is_some_and(Rollout::is_in_flight) {
            return Ok(());
        }
        let others = || self.rollouts.iter().filter(|(key, _)| **key != target.key);
        let of_policy = || others().filter(|(_, rollout)| rollout.policy == entry.identity.key);
        let in_flight = || others().filter(|(_, rollout)| rollout.is_in_flight());
        let of_namespace = in_flight().filter(|(key, _)| key.namespace == target.key.namespace).count();
        let of_cluster = in_flight().count();
        let goes_back = mine.is_some_and(|rollout| rollout.failed.is_some());
        if let Some((settling, _)) = of_policy().find(|(_, rollout)| !goes_back && !rollout.is_in_flight()) {
            entry.waiting = true;
            let message = format!("the pods of {} are new: whether they keep running is seen first", settling.short());
            return wait(Reason::WaitingForTurn, message);
        }
        if of_policy().any(|(_, rollout)| rollout.is_in_flight())
            || of_namespace >= rules.rollouts_per_namespace()
            || of_cluster >= self.default_rules().rollouts_per_cluster()
        {
            entry.waiting = true;
            return wait(
                Reason::WaitingForTurn,
                format!("{of_cluster} rollouts of Trimtab are under way: this one waits for its turn"),
            );
        }
        Ok(())
    }

    /// Policies that wait for their turn look again.
    pub(in crate::core::engine) fn wake_waiting(&mut self) {
        let waiting: Vec<PolicyKey> =
            self.policies.iter().filter(|(_, entry)| entry.waiting).map(|(key, _)| key.clone()).collect();
        for key in waiting {
            self.mark(key);
        }
    }
}
