//! Permits: how many rollouts of ours are under way at once, and who is next.

use std::collections::BTreeSet;

use super::{Phase, Rest, Rollout};
use crate::{
    api::conditions::Reason,
    core::{
        engine::{Entry, World},
        facts::{Instant, Object, ObjectKey, Progress, progress, unsettled},
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
        if let Some(backoff) =
            entry.backoffs.get(object).filter(|backoff| backoff.generation >= entry.steered.1 && backoff.until > now)
        {
            entry.wake = Some(entry.wake.map_or(backoff.until, |at| at.min(backoff.until)));
            return Err(Some(backoff.why.clone()));
        }
        if step.is_disruptive() { self.permit(entry, rules, target, now) } else { Ok(()) }
    }

    /// Whether a rollout may begin now, or a write may join the one that is under way.
    fn permit(&self, entry: &mut Entry, rules: &Rules, target: &Object, now: Instant) -> Result<(), Option<Finding>> {
        let no = |reason: Reason, message: String| Err(Some(Finding::new(Truth::False, reason, message)));
        let short = target.key.short();
        let rollout = self.rollouts.get(&target.key).filter(|rollout| rollout.phase != Phase::Stray);
        let mine = rollout.filter(|rollout| rollout.policy == entry.identity.key);
        if let Some(other) = rollout.filter(|rollout| rollout.policy != entry.identity.key && rollout.comes_first()) {
            entry.waiting = Some(now);
            let message = format!("a change of policy \"{}\" on {short} comes first", other.policy.1);
            return no(Reason::WaitingForTurn, message);
        }
        // Whose pods are being replaced: as long as files were edited only, nobody's of ours.
        let ours = mine.filter(|rollout| rollout.has_run());
        match progress(target) {
            Progress::Complete => {}
            // Of what came to nothing, nothing moves any more, and what the policy says may be what helps.
            Progress::Failed { .. } if ours.is_none() => {}
            Progress::Running | Progress::Failed { .. }
                if ours.is_some_and(|rollout| rollout.may_be_superseded(entry.steered.1, entry.pinned())) => {}
            Progress::Running | Progress::Failed { .. }
                if ours.is_some_and(|rollout| rollout.rest == Some(Rest::Failed)) =>
            {
                let message = format!(
                    "neither the last change of {short} nor its way back has come to its end: look at its pods, or change the value"
                );
                return no(Reason::DeadlineExceeded, message);
            }
            Progress::Running | Progress::Failed { .. } if ours.is_some() => {
                return no(Reason::RollingOut, format!("the rollout of the last change of {short} is under way"));
            }
            Progress::Running if target.key.kind.is_foreign() => {
                let why = unsettled(target).unwrap_or_default();
                let message = format!("{short} is not ready ({why}): nothing is begun that may restart it");
                return no(Reason::TargetNotReady, message);
            }
            Progress::Running | Progress::Failed { .. } => {
                let message = format!("somebody else's rollout of {short} is under way");
                return no(Reason::TargetRolloutInProgress, message);
            }
            Progress::Paused => {
                return no(Reason::TargetPaused, format!("{short} is paused: run \"kubectl rollout resume\""));
            }
            Progress::AwaitingManual => {
                let message = format!("{short} waits for a person to delete or partition pods");
                return no(Reason::AwaitingManualRollout, message);
            }
        }
        if mine.is_some_and(Rollout::is_in_flight) {
            return Ok(());
        }
        let others = || self.rollouts.iter().filter(|(key, _)| **key != target.key);
        let of_policy = || others().filter(|(_, rollout)| rollout.policy == entry.identity.key);
        let goes_back = mine.is_some_and(|rollout| rollout.failed.is_some());
        if let Some((settling, _)) = of_policy().find(|(_, rollout)| !goes_back && rollout.phase == Phase::Settling) {
            let message = format!("the pods of {} are new: whether they keep running is seen first", settling.short());
            entry.waiting = Some(now);
            return no(Reason::WaitingForTurn, message);
        }
        if of_policy().any(|(_, rollout)| rollout.is_in_flight()) || !self.has_room(&target.key.namespace, rules) {
            let message = format!(
                "{} rollouts of Trimtab are under way: this one waits for its turn",
                others().filter(|(_, rollout)| rollout.is_in_flight()).count()
            );
            entry.waiting = Some(now);
            return no(Reason::WaitingForTurn, message);
        }
        // Pods that a rollout of ours has broken or is replacing are what a budget may count as missing: what takes them back, or
        // replaces them, disrupts no more than that does.
        let replaces = ours.is_some() && progress(target) != Progress::Complete;
        match self.protection(target).filter(|_| !goes_back && !replaces) {
            Some((reason, message)) => {
                entry.protected = true;
                no(reason, message)
            }
            None => Ok(()),
        }
    }

    /// Whether one more rollout may begin in a namespace.
    pub(super) fn has_room(&self, namespace: &str, rules: &Rules) -> bool {
        let in_flight = || self.rollouts.iter().filter(|(_, rollout)| rollout.is_in_flight());
        in_flight().count() < self.default_rules().rollouts_per_cluster()
            && in_flight().filter(|(key, _)| *key.namespace == *namespace).count() < rules.rollouts_per_namespace()
    }

    /// A rollout has ended, so somebody's turn may have come.
    pub(in crate::core::engine) fn wake_waiting(&mut self) {
        self.turns = true;
    }

    /// The policy that has waited longest for a permit that it may have now. Those in `passed` were asked already.
    ///
    /// One after the other: after the end of one rollout, a plan for each of a thousand policies would be made in vain.
    pub(in crate::core::engine) fn next_in_turn(&mut self, passed: &BTreeSet<PolicyKey>) -> Option<PolicyKey> {
        if !self.turns {
            return None;
        }
        let next = self
            .policies
            .iter()
            .filter(|(key, _)| !passed.contains(*key))
            .filter_map(|(key, entry)| Some((entry.waiting?, key, entry)))
            .filter(|(_, key, entry)| {
                let rules = entry.parsed.as_ref().ok().and_then(|policy| self.rules(policy).ok());
                rules.is_some_and(|rules| self.has_room(&key.0, &rules))
            })
            .min_by_key(|(since, key, _)| (*since, *key))
            .map(|(_, key, _)| key.clone());
        self.turns = next.is_some();
        next
    }

    /// The write that would have begun a rollout was refused: its permit is free again.
    pub(in crate::core::engine) fn refuse_rollout(&mut self, target: &ObjectKey, now: Instant) {
        match self.rollouts.get_mut(target).map(Rollout::unprepare) {
            Some(false) => self.end_rollout(target, None, now),
            Some(true) => self.wake_waiting(),
            None => {}
        }
    }
}
