//! The watch over rollouts: their progress, their pods, and their end.

use std::collections::BTreeSet;

use super::{
    LOOK, MAX_SETTLE, PREPARATION, Phase, Rest, Rollout,
    adopt::{written_at, wrote_last},
};
use crate::{
    api::{conditions::Reason, names},
    core::{
        engine::{Action, Doing, Effect, World, objects::Slot},
        facts::{Instant, Kind, Object, ObjectKey, Pod, Progress, progress},
        policy::PolicyKey,
    },
};

impl World {
    /// Looks after every rollout of ours.
    pub(in crate::core::engine) fn watch_rollouts(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let targets: Vec<ObjectKey> = self.rollouts.keys().cloned().collect();
        for target in targets {
            let Some(rollout) = self.rollouts.get(&target).cloned() else { continue };
            let Some(object) = self.objects.shared(&target) else {
                // It was released since, and nobody looks at it any more.
                if rollout.phase == Phase::Settling && matches!(self.objects.slot(&target), Some(Slot::Unbound { .. }))
                {
                    self.end_rollout(&target, None, now);
                }
                continue;
            };
            if !rollout.uid.is_empty() && rollout.uid != object.meta.uid {
                self.end_rollout(&target, None, now);
                continue;
            }
            let stuck = self.rollouts.get_mut(&target).is_some_and(|rollout| rollout.is_stuck(&object, now));
            if rollout.phase == Phase::Settling {
                let orphaned = !self.policies.contains_key(&rollout.policy);
                self.watch_settling(&target, &object, orphaned, now, out);
                continue;
            }
            if rollout.phase == Phase::Preparing {
                if !self.busy.contains(&target) && now.since(rollout.began) > PREPARATION {
                    self.hold_up(&target, now);
                }
                continue;
            }
            // A view from before the write, or from before what became of one is known.
            if object.meta.generation < rollout.object_generation || self.busy.contains(&target) {
                continue;
            }
            let progress = match progress(&object) {
                Progress::Running if stuck => {
                    let message = self.rollouts.get(&target).map(Rollout::stuck).unwrap_or_default();
                    Progress::Failed { message }
                }
                Progress::Complete if self.rollouts.get(&target).is_some_and(|r| r.may_be_old(&object, now)) => {
                    Progress::Running
                }
                progress => progress,
            };
            self.look_after(&target, &object, &rollout, progress, now, out);
        }
    }

    /// The write that begins a rollout does not come. Others need not wait for it; what was edited for it, it still carries.
    fn hold_up(&mut self, target: &ObjectKey, now: Instant) {
        let Some(rollout) = self.rollouts.get_mut(target) else { return };
        let policy = rollout.policy.clone();
        if !rollout.unprepare() || !self.governs(&policy, target) {
            self.end_rollout(target, None, now);
        } else if self.rollouts.get(target).is_some_and(|rollout| rollout.phase == Phase::Preparing) {
            self.let_rest(target, Rest::HeldUp);
        }
    }

    /// Looks after a rollout that is complete: as long as its pods stay available that costs nothing, and when they do not,
    /// the pods tell why.
    fn watch_settling(
        &mut self,
        target: &ObjectKey,
        object: &Object,
        orphaned: bool,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let Some(rollout) = self.rollouts.get_mut(target) else { return };
        let progress = progress(object);
        let is_ours = !orphaned
            && matches!(progress, Progress::Complete | Progress::Running)
            && wrote_last(object, &rollout.policy.1);
        // What failed is being taken back, unless nobody may or needs to.
        if rollout.failed.is_some() && is_ours {
            if rollout.completed.is_some_and(|(first, _)| now.since(first) >= MAX_SETTLE) {
                self.end_rollout(target, Some("RollbackFailed"), now);
            }
            return;
        }
        if !is_ours || rollout.has_settled(progress == Progress::Complete, now) {
            self.end_rollout(target, None, now);
        } else if progress == Progress::Running && !rollout.looking && rollout.next_look <= now {
            self.look_at_pods(target, object, out);
        }
    }

    fn look_after(
        &mut self,
        target: &ObjectKey,
        object: &Object,
        rollout: &Rollout,
        progress: Progress,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        // Nobody is left who would take it back; it counts until it has ended.
        let orphaned = rollout.phase == Phase::Stray || !self.policies.contains_key(&rollout.policy);
        if orphaned {
            if progress != Progress::Running {
                self.end_rollout(target, None, now);
            }
            return;
        }
        // It failed, and its way back has not begun.
        if rollout.failed.is_some() && rollout.phase == Phase::Running {
            match progress {
                Progress::Running => {}
                Progress::Failed { .. } if self.governs(&rollout.policy, target) => {
                    if rollout.given_up {
                        self.let_rest(target, Rest::Failed);
                    }
                }
                Progress::Complete if !rollout.given_up && self.governs(&rollout.policy, target) => {}
                Progress::Complete | Progress::Failed { .. } | Progress::Paused | Progress::AwaitingManual => {
                    self.end_rollout(target, Some("RollbackFailed"), now);
                }
            }
            return;
        }
        match (progress, rollout.phase) {
            (Progress::Complete, Phase::RollingBack) if rollout.failed.is_some() => {
                self.end_rollout(target, Some("RolledBack"), now);
            }
            (Progress::Complete, Phase::Running) if object.key.kind.is_workload() => self.complete_rollout(target, now),
            (Progress::Complete, _) => self.end_rollout(target, Some("Applied"), now),
            (Progress::Failed { .. }, Phase::RollingBack) if self.governs(&rollout.policy, target) => {
                self.tell_verdict(&rollout.policy, target, "RollbackFailed", now);
                self.let_rest(target, Rest::Failed);
            }
            (Progress::Failed { .. }, Phase::RollingBack) => self.end_rollout(target, Some("RollbackFailed"), now),
            (Progress::Failed { message }, _) => {
                // Whatever it has waited for, it has waited for as long as the owner of the workload wants.
                let stalled = rollout.stall.as_ref().map(|stall| (stall.reason, stall.message.clone()));
                let (reason, message) = stalled.unwrap_or((Reason::DeadlineExceeded, message));
                self.fail_rollout(target, reason, message, now, out);
            }
            (Progress::Paused, _) => self.end_rollout(target, Some("Paused"), now),
            (Progress::AwaitingManual, Phase::Running) => self.let_rest(target, Rest::AwaitsPerson),
            (Progress::AwaitingManual, _) => self.end_rollout(target, Some("AwaitingManualRollout"), now),
            (Progress::Running, Phase::Running) if rollout.needs_person() => self.proceed(target, now),
            (Progress::Running, Phase::Running) if !rollout.looking && rollout.next_look <= now => {
                self.look_at_pods(target, object, out);
            }
            (Progress::Running, _) => {}
        }
    }

    /// Whether a policy still governs a workload.
    fn governs(&self, policy: &PolicyKey, target: &ObjectKey) -> bool {
        let Some(entry) = self.policies.get(policy).filter(|entry| !entry.identity.deleting) else { return false };
        let Ok(policy) = &entry.parsed else { return false };
        let Ok(rules) = self.rules(policy) else { return false };
        self.targets(policy, &rules).is_ok_and(|targets| targets.contains(target))
    }

    /// It does not move by itself any more, so others may begin. What a person does with it, is told when it is complete.
    fn let_rest(&mut self, target: &ObjectKey, rest: Rest) {
        let moves = |rollout: &&mut Rollout| matches!(rollout.rest, None | Some(Rest::Overtaken));
        let Some(rollout) = self.rollouts.get_mut(target).filter(moves) else { return };
        rollout.rest = Some(rest);
        let policy = rollout.policy.clone();
        self.mark(policy);
        self.wake_waiting();
    }

    /// A person does the rest. Pods are being replaced, whoever is in flight besides: the person does not ask.
    fn proceed(&mut self, target: &ObjectKey, now: Instant) {
        let Some(rollout) = self.rollouts.get_mut(target) else { return };
        rollout.rest = None;
        rollout.next_look = now;
        let policy = rollout.policy.clone();
        self.mark(policy);
    }

    fn look_at_pods(&mut self, target: &ObjectKey, object: &Object, out: &mut Vec<Effect>) {
        let labels = object.at("/spec/selector/matchLabels").and_then(serde_json::Value::as_object);
        let selector: Vec<String> = labels
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
            .collect();
        if selector.is_empty() {
            return;
        }
        if let Some(rollout) = self.rollouts.get_mut(target) {
            rollout.looking = true;
        }
        let action = Action::ListPods { workload: target.clone(), selector: selector.join(",") };
        self.emit(action, Doing::Pods(target.clone()), out);
    }

    /// What the pods of a rollout show.
    pub(in crate::core::engine) fn pods_seen(
        &mut self,
        target: &ObjectKey,
        pods: Option<&[Pod]>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let object = self.objects.shared(target);
        let Some(rollout) = self.rollouts.get_mut(target) else { return };
        rollout.looking = false;
        rollout.next_look = now + LOOK;
        let (Some(pods), Some(object), Phase::Running | Phase::Settling) = (pods, object, rollout.phase) else {
            return;
        };
        let written = written_at(&object, &names::manager(&rollout.policy.1));
        // Both times are the API server's. Pods of the old revision that are made anew meanwhile are not ours to judge.
        let is_new = |pod: &&Pod| written.is_none_or(|at| pod.created >= at);
        let old: Vec<&str> = pods.iter().filter(|pod| !is_new(pod)).filter_map(|pod| pod.revision.as_deref()).collect();
        let new: Vec<&Pod> = pods
            .iter()
            .filter(is_new)
            .filter(|pod| pod.revision.as_deref().is_none_or(|revision| !old.contains(&revision)))
            .collect();
        if let Some(pod) = new.iter().find(|pod| pod.is_failing()) {
            let why = pod.waiting.clone().unwrap_or_else(|| format!("{} restarts", pod.restarts));
            let message = format!("pod {} does not run: {why}", pod.name);
            self.fail_rollout(target, Reason::CrashLoop, message, now, out);
        } else if rollout.phase == Phase::Running {
            self.watch_stall(target, &object, (pods, &new, &old), now, out);
        }
    }

    /// Every pod is replaced and available: that is what is told. Whether they stay so, is watched for a while.
    fn complete_rollout(&mut self, target: &ObjectKey, now: Instant) {
        let Some(rollout) = self.rollouts.get_mut(target) else { return };
        rollout.phase = Phase::Settling;
        rollout.completed = Some((now, Some(now)));
        let policy = rollout.policy.clone();
        self.tell_end(policy, target, Some("Applied"), now);
    }

    /// A rollout is over, however it ended; others may begin.
    pub(in crate::core::engine) fn end_rollout(&mut self, target: &ObjectKey, verdict: Option<&str>, now: Instant) {
        if let Some(rollout) = self.rollouts.remove(target) {
            self.tell_end(rollout.policy, target, verdict, now);
        }
    }

    fn tell_end(&mut self, policy: PolicyKey, target: &ObjectKey, verdict: Option<&str>, now: Instant) {
        if let Some(verdict) = verdict {
            self.tell_verdict(&policy, target, verdict, now);
        }
        self.mark(policy);
        self.wake_waiting();
    }

    fn tell_verdict(&mut self, policy: &PolicyKey, target: &ObjectKey, verdict: &str, now: Instant) {
        let target = target.short();
        let Some(entry) = self.policies.get_mut(policy) else { return };
        // Of what a later change of the same rollout replaced, no pod may ever have run with it.
        let mut replaced: BTreeSet<(String, String)> = BTreeSet::new();
        for item in &mut entry.memoir.history {
            // What lands in a ConfigMap before that belongs to the entry of the workload that is restarted for it.
            let is_of_another = item
                .changes
                .iter()
                .any(|change| change.object != target && !change.object.starts_with(Kind::ConfigMap.as_str()))
                && !item.changes.iter().any(|change| change.object == target);
            if item.verdict == "RollingOut" && !is_of_another {
                let places = item.changes.iter().map(|change| (change.object.clone(), change.path.clone()));
                let places: Vec<_> = places.collect();
                let overtaken =
                    verdict == "Applied" && !places.is_empty() && places.iter().all(|place| replaced.contains(place));
                let verdict = if overtaken { "Overtaken" } else { verdict };
                verdict.clone_into(&mut item.verdict);
                replaced.extend(places);
                entry.memoir.last_change = Some(now);
            }
        }
    }
}
