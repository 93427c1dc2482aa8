//! Rollouts of ours: bounded in number, watched to their end, taken back when they fail.

use super::{Action, Doing, Effect, Entry, World};
use crate::{
    api::{conditions::Reason, names, status::QuarantineEntry},
    core::{
        facts::{Instant, Object, ObjectKey, Operation, Pod, Progress, Span, progress},
        plan::{Change, value_hash},
        policy::{Policy, PolicyKey},
        record::Record,
        report::{self, Finding, Truth},
    },
};

/// Time between two looks at the pods of a rollout.
const LOOK: Span = Span::seconds(5);
/// Time that a permit is kept for a write which has not begun a rollout.
const PREPARATION: Span = Span::minutes(1);
/// Time for which a value that failed is not tried again.
const QUARANTINE: Span = Span::hours(24);

/// A rollout of ours on one workload.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rollout {
    pub policy: PolicyKey,
    pub phase: Phase,
    /// Generation of the policy that caused it.
    pub generation: i64,
    /// Generation that the write gave the object; older views say nothing about this rollout.
    pub object_generation: i64,
    /// What it carries.
    pub changes: Vec<Change>,
    /// Why it failed. The values are taken back when the status that says so is written.
    pub failed: Option<(Reason, String)>,
    began: Instant,
    next_look: Instant,
    looking: bool,
}

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The writes that begin it are under way.
    Preparing,
    /// Pods are being replaced.
    Running,
    /// The previous values are being rolled out.
    RollingBack,
}

impl Rollout {
    pub(super) fn preparing(policy: PolicyKey, now: Instant) -> Self {
        Self {
            policy,
            phase: Phase::Preparing,
            generation: 0,
            object_generation: 0,
            changes: Vec::new(),
            failed: None,
            began: now,
            next_look: now,
            looking: false,
        }
    }

    /// A further write belongs to the same rollout.
    pub(super) fn prepare(&mut self, now: Instant) {
        self.began = now;
    }

    /// The write that begins the replacement of pods has succeeded.
    pub(super) fn run(&mut self, generation: i64, object: &Object, changes: Vec<Change>, now: Instant) {
        self.phase = if self.failed.is_some() { Phase::RollingBack } else { Phase::Running };
        self.generation = generation;
        self.object_generation = object.meta.generation;
        self.changes = changes;
        self.began = now;
        self.next_look = now + LOOK;
    }

    /// Whether a write may follow although the rollout is not finished: the way back, or a newer spec.
    pub(super) fn may_be_superseded(&self, generation: i64) -> bool {
        match self.phase {
            Phase::Preparing => true,
            Phase::Running => self.failed.is_some() || self.generation < generation,
            Phase::RollingBack => self.generation < generation,
        }
    }

    /// What is said about it.
    pub(super) fn finding(&self, target: &ObjectKey) -> Option<Finding> {
        let carried = || {
            let shown: Vec<String> = self
                .changes
                .iter()
                .take(5)
                .map(|c| {
                    format!(
                        "{} {} → {}",
                        c.path,
                        c.from.as_deref().unwrap_or("(unset)"),
                        c.to.as_deref().unwrap_or("(unset)")
                    )
                })
                .collect();
            shown.join(", ")
        };
        match (self.phase, &self.failed) {
            (Phase::Preparing, _) => None,
            (Phase::RollingBack | Phase::Running, Some((reason, why))) => Some(Finding::new(
                Truth::False,
                Reason::RollingBack,
                format!("the rollout of {} failed ({reason}: {why}): the previous values come back", target.short()),
            )),
            (Phase::Running | Phase::RollingBack, None) => Some(Finding::new(
                Truth::False,
                Reason::RollingOut,
                format!("{} rolls out {}", target.short(), carried()),
            )),
        }
    }
}

impl World {
    /// Looks after every rollout of ours.
    pub(super) fn watch_rollouts(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let targets: Vec<ObjectKey> = self.rollouts.keys().cloned().collect();
        for target in targets {
            let Some(rollout) = self.rollouts.get(&target).cloned() else { continue };
            let Some(object) = self.objects.get(&target).cloned() else { continue };
            if rollout.phase == Phase::Preparing {
                if !self.busy.contains(&target) && now.since(rollout.began) > PREPARATION {
                    self.end_rollout(&target, None, now);
                }
                continue;
            }
            // A view from before the write, or a failure whose way back has not begun.
            if object.meta.generation < rollout.object_generation
                || (rollout.failed.is_some() && rollout.phase == Phase::Running)
            {
                continue;
            }
            match (progress(&object), rollout.phase) {
                (Progress::Complete, Phase::RollingBack) => self.end_rollout(&target, Some("RolledBack"), now),
                (Progress::Complete, _) => self.end_rollout(&target, Some("Applied"), now),
                (Progress::Failed { .. }, Phase::RollingBack) => self.end_rollout(&target, Some("RollbackFailed"), now),
                (Progress::Failed { message }, _) => self.fail_rollout(&target, Reason::DeadlineExceeded, message, now),
                (Progress::Paused, _) => self.end_rollout(&target, Some("Paused"), now),
                (Progress::AwaitingManual, _) => self.end_rollout(&target, Some("AwaitingManualRollout"), now),
                (Progress::Running, Phase::Running) if !rollout.looking && rollout.next_look <= now => {
                    self.look_at_pods(&target, &object, out);
                }
                (Progress::Running, _) => {}
            }
        }
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
    pub(super) fn pods_seen(&mut self, target: &ObjectKey, pods: Option<&[Pod]>, now: Instant) {
        let object = self.objects.get(target).cloned();
        let Some(rollout) = self.rollouts.get_mut(target) else { return };
        rollout.looking = false;
        rollout.next_look = now + LOOK;
        let (Some(pods), Some(object), Phase::Running) = (pods, object, rollout.phase) else { return };
        let written = written_at(&object, &names::manager(&rollout.policy.1));
        // Both times are the API server's. Pods of the old revision that are made anew meanwhile are not ours to judge.
        let is_new = |pod: &&Pod| written.is_none_or(|at| pod.created >= at);
        let old: Vec<&str> = pods.iter().filter(|pod| !is_new(pod)).filter_map(|pod| pod.revision.as_deref()).collect();
        let failing = pods
            .iter()
            .filter(is_new)
            .filter(|pod| pod.revision.as_deref().is_none_or(|revision| !old.contains(&revision)))
            .find(|pod| pod.is_failing());
        if let Some(pod) = failing {
            let why = pod.waiting.clone().unwrap_or_else(|| format!("{} restarts", pod.restarts));
            let message = format!("pod {} does not run: {why}", pod.name);
            self.fail_rollout(target, Reason::CrashLoop, message, now);
        }
    }

    /// A failed rollout: its values go into quarantine, and as soon as the status says so they are taken back.
    fn fail_rollout(&mut self, target: &ObjectKey, reason: Reason, message: String, now: Instant) {
        let Some(rollout) = self.rollouts.get_mut(target) else { return };
        if rollout.failed.is_some() {
            return;
        }
        rollout.failed = Some((reason, message));
        let (policy, changes) = (rollout.policy.clone(), rollout.changes.clone());
        if let Some(entry) = self.policies.get_mut(&policy) {
            for change in changes {
                let Some(to) = &change.to else { continue };
                entry.memoir.quarantine.push(QuarantineEntry {
                    object: target.short(),
                    path: change.path.to_string(),
                    value_hash: value_hash(&change.path, to),
                    until: report::time(now + QUARANTINE),
                    reason: reason.as_str().to_owned(),
                });
            }
        }
        self.mark(policy);
    }

    /// A rollout is over, however it ended; others may begin.
    pub(super) fn end_rollout(&mut self, target: &ObjectKey, verdict: Option<&str>, now: Instant) {
        let Some(rollout) = self.rollouts.remove(target) else { return };
        if let (Some(entry), Some(verdict)) = (self.policies.get_mut(&rollout.policy), verdict) {
            for item in &mut entry.memoir.history {
                if item.verdict == "RollingOut" {
                    verdict.clone_into(&mut item.verdict);
                }
            }
            entry.memoir.last_change = Some(now);
        }
        self.mark(rollout.policy);
        let waiting: Vec<PolicyKey> =
            self.policies.iter().filter(|(_, entry)| entry.waiting).map(|(key, _)| key.clone()).collect();
        for key in waiting {
            self.mark(key);
        }
    }

    /// A rollout of ours that was under way when this replica took over is ours to look after.
    pub(super) fn adopt_rollout(&mut self, entry: &Entry, policy: &Policy, object: &Object, now: Instant) {
        if self.rollouts.contains_key(&object.key) || self.busy.contains(&object.key) {
            return;
        }
        if !matches!(progress(object), Progress::Running | Progress::Failed { .. }) {
            return;
        }
        let Some(Ok(record)) = Record::of(&object.meta, policy.identity.name()) else { return };
        let history = entry.memoir.history.first().filter(|item| item.verdict == "RollingOut");
        let (Some(history), true) = (history, record.uid == policy.identity.uid && !record.previous.is_empty()) else {
            return;
        };
        let mut rollout = Rollout::preparing(policy.identity.key.clone(), now);
        rollout.phase = Phase::Running;
        rollout.generation = policy.identity.generation;
        rollout.object_generation = object.meta.generation;
        rollout.changes = history
            .changes
            .iter()
            .map(|change| Change {
                object: object.key.clone(),
                path: change.path.as_str().into(),
                from: change.from.clone(),
                to: change.to.clone(),
                because: change.because.clone(),
            })
            .collect();
        // The way back may have been interrupted: what is in quarantine has failed.
        rollout.failed = entry
            .written
            .quarantine
            .iter()
            .find(|item| item.object == object.key.short() && rollout.changes.iter().any(|c| *c.path == *item.path))
            .map(|item| {
                (Reason::from_word(&item.reason).unwrap_or(Reason::CrashLoop), "found after a restart".to_owned())
            });
        self.rollouts.insert(object.key.clone(), rollout);
    }
}

/// Time of our last apply, by the API server's clock.
fn written_at(object: &Object, manager: &str) -> Option<Instant> {
    let entry =
        object.meta.managed.iter().find(|entry| entry.manager == manager && entry.operation == Operation::Apply)?;
    Instant::parse(entry.time.as_deref()?)
}
