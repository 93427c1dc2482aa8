//! Rollouts of ours: bounded in number, watched to their end, taken back when they fail.

use super::{Action, Doing, Effect, Entry, OpenChange, World, objects::Slot};
use crate::{
    api::{conditions::Reason, names, status::QuarantineEntry},
    core::{
        facts::{Instant, Kind, Object, ObjectKey, Operation, Pod, Progress, Span, progress},
        ownership::{FieldPath, FieldSet},
        plan::{Change, Plan, Step, value_hash},
        policy::{Policy, PolicyKey},
        record::Record,
        report::{self, Finding, Truth},
        resolve,
    },
};

/// Time between two looks at the pods of a rollout.
const LOOK: Span = Span::seconds(5);
/// Time without any progress after which a rollout has failed, for kinds whose controller has no deadline of its own: that
/// of a Deployment by default.
const DEADLINE: Span = Span::minutes(10);
/// Time that a permit is kept for a write which has not begun a rollout.
const PREPARATION: Span = Span::minutes(1);
/// Time for which pods must keep running after a rollout is complete. Without readiness probe and `minReadySeconds`,
/// Kubernetes counts a pod as available the moment its containers start; a container that ends at start is in back-off within
/// seconds, and one that reads its configuration and gives up, within half a minute. Nothing waits for it: the values count as
/// applied, and the watch tells for nothing whether pods stay available.
const SETTLE: Span = Span::seconds(30);
/// Time after which a completed rollout is left alone in any case: what happens to its pods then is not its doing.
const MAX_SETTLE: Span = Span::minutes(5);
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
    /// It failed, and there is no way back as things are: the policy may not write, or a person holds the object.
    pub given_up: bool,
    /// It failed for good, or until somebody lets us take it back. Others need not wait for that.
    pub rests: bool,
    /// Uid of the object that rolls out; another object of the same name is none of its business.
    uid: String,
    began: Instant,
    next_look: Instant,
    looking: bool,
    /// Pods that are updated and available, and since when there are as many.
    advance: (i64, i64, Instant),
    /// When the rollout was complete for the first time, and since when it has been without a break.
    completed: Option<(Instant, Option<Instant>)>,
}

/// How far a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The writes that begin it are under way.
    Preparing,
    /// Pods are being replaced.
    Running,
    /// Every pod was replaced and available; it is watched whether they stay so.
    Settling,
    /// The previous values are being rolled out.
    RollingBack,
    /// Found after a restart, and not ours to look after: it counts until it has ended, and nothing else.
    Stray,
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
            given_up: false,
            rests: false,
            uid: String::new(),
            began: now,
            next_look: now,
            looking: false,
            advance: (0, 0, now),
            completed: None,
        }
    }

    /// A further write belongs to the same rollout. After one that only settled, it begins another, or takes it back.
    pub(super) fn prepare(&mut self, policy: &PolicyKey, now: Instant) {
        if self.phase == Phase::Settling {
            if self.failed.is_some() && self.policy == *policy {
                self.phase = Phase::Running;
            } else {
                *self = Self::preparing(policy.clone(), now);
            }
        } else if self.policy != *policy {
            // Another policy's: it has ended, or nothing comes of it any more.
            *self = Self::preparing(policy.clone(), now);
        }
        self.rests = false;
        self.began = now;
    }

    /// The write that begins the replacement of pods has succeeded.
    pub(super) fn run(&mut self, generation: i64, object: &Object, changes: Vec<Change>, now: Instant) {
        // A newer spec is not the way back, even if it comes while that is awaited.
        if self.generation < generation {
            self.failed = None;
        }
        self.phase = if self.failed.is_some() { Phase::RollingBack } else { Phase::Running };
        (self.given_up, self.rests) = (false, false);
        self.generation = generation;
        self.object_generation = object.meta.generation;
        self.uid.clone_from(&object.meta.uid);
        self.changes = changes;
        self.began = now;
        self.next_look = now + LOOK;
        self.advance = (0, 0, now);
        self.completed = None;
    }

    /// Whether pods are being replaced.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::RollingBack | Phase::Stray) && !self.rests
    }

    /// Whether it keeps others from beginning. One that only settles keeps no more than the next target of its own policy, and one
    /// that nothing comes of any more keeps nobody.
    pub(super) fn is_in_flight(&self) -> bool {
        self.phase != Phase::Settling && !self.rests
    }

    /// Whether its pods have been available for long enough to leave them alone. `available`: now, too.
    fn has_settled(&mut self, available: bool, now: Instant) -> bool {
        let (first, since) = self.completed.unwrap_or((now, None));
        let since = available.then(|| since.unwrap_or(now));
        self.completed = Some((first, since));
        since.is_some_and(|since| now.since(since) >= SETTLE) || now.since(first) >= MAX_SETTLE
    }

    /// Whether nothing has happened for too long, although the controller will never say so.
    fn is_stuck(&mut self, object: &Object, now: Instant) -> bool {
        let n = |a: &str, b: &str| object.integer(a).or_else(|| object.integer(b)).unwrap_or(0);
        let updated = n("/status/updatedReplicas", "/status/updatedNumberScheduled");
        let available = n("/status/availableReplicas", "/status/numberAvailable");
        if (self.advance.0, self.advance.1) != (updated, available) {
            self.advance = (updated, available, now);
        }
        object.key.kind != Kind::Deployment && now.since(self.advance.2) > DEADLINE
    }

    /// Whether a write may follow although the rollout is not finished: the way back, or a newer spec.
    pub(super) fn may_be_superseded(&self, generation: i64) -> bool {
        match self.phase {
            Phase::Preparing => true,
            Phase::Running | Phase::Settling => self.failed.is_some() || self.generation < generation,
            Phase::RollingBack => self.generation < generation,
            Phase::Stray => false,
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
            (Phase::Preparing | Phase::Stray, _) | (Phase::Settling, None) => None,
            _ if self.given_up || (self.rests && self.phase == Phase::RollingBack) => None,
            (Phase::RollingBack | Phase::Running | Phase::Settling, Some((reason, why))) => Some(Finding::new(
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
            let Some(object) = self.objects.get(&target).cloned() else {
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
                    self.end_rollout(&target, None, now);
                }
                continue;
            }
            // A view from before the write.
            if object.meta.generation < rollout.object_generation {
                continue;
            }
            let progress = match progress(&object) {
                Progress::Running if stuck => {
                    let message = format!("no pod became available for {} minutes", DEADLINE.as_millis() / 60_000);
                    Progress::Failed { message }
                }
                progress => progress,
            };
            self.look_after(&target, &object, &rollout, progress, now, out);
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
                        self.let_rest(target);
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
            (Progress::Complete, Phase::Running) => self.complete_rollout(target, now),
            (Progress::Complete, _) => self.end_rollout(target, Some("Applied"), now),
            (Progress::Failed { .. }, Phase::RollingBack) if self.governs(&rollout.policy, target) => {
                self.tell_verdict(&rollout.policy, "RollbackFailed", now);
                self.let_rest(target);
            }
            (Progress::Failed { .. }, Phase::RollingBack) => self.end_rollout(target, Some("RollbackFailed"), now),
            (Progress::Failed { message }, _) => self.fail_rollout(target, Reason::DeadlineExceeded, message, now),
            (Progress::Paused, _) => self.end_rollout(target, Some("Paused"), now),
            (Progress::AwaitingManual, _) => self.end_rollout(target, Some("AwaitingManualRollout"), now),
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

    /// No pod is being replaced any more, so others may begin.
    fn let_rest(&mut self, target: &ObjectKey) {
        let Some(rollout) = self.rollouts.get_mut(target).filter(|rollout| !rollout.rests) else { return };
        rollout.rests = true;
        let policy = rollout.policy.clone();
        self.mark(policy);
        self.wake_waiting();
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
        let (Some(pods), Some(object), Phase::Running | Phase::Settling) = (pods, object, rollout.phase) else {
            return;
        };
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
        let (settling, generation) = (rollout.phase == Phase::Settling, rollout.generation);
        if let Some(entry) = self.policies.get_mut(&policy) {
            // It was told as applied; the way back belongs to the same change.
            if let Some(newest) = entry.memoir.history.first_mut().filter(|_| settling) {
                "RollingOut".clone_into(&mut newest.verdict);
                entry.open_change = Some(OpenChange { generation, rolled_out: true });
            }
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

    /// Every pod is replaced and available: that is what is told. Whether they stay so, is watched for a while.
    fn complete_rollout(&mut self, target: &ObjectKey, now: Instant) {
        let Some(rollout) = self.rollouts.get_mut(target) else { return };
        rollout.phase = Phase::Settling;
        rollout.completed = Some((now, Some(now)));
        let policy = rollout.policy.clone();
        self.tell_end(policy, Some("Applied"), now);
    }

    /// A rollout is over, however it ended; others may begin.
    pub(super) fn end_rollout(&mut self, target: &ObjectKey, verdict: Option<&str>, now: Instant) {
        if let Some(rollout) = self.rollouts.remove(target) {
            self.tell_end(rollout.policy, verdict, now);
        }
    }

    fn tell_end(&mut self, policy: PolicyKey, verdict: Option<&str>, now: Instant) {
        if let Some(verdict) = verdict {
            self.tell_verdict(&policy, verdict, now);
        }
        self.mark(policy);
        self.wake_waiting();
    }

    fn tell_verdict(&mut self, policy: &PolicyKey, verdict: &str, now: Instant) {
        let Some(entry) = self.policies.get_mut(policy) else { return };
        for item in &mut entry.memoir.history {
            if item.verdict == "RollingOut" {
                verdict.clone_into(&mut item.verdict);
                entry.memoir.last_change = Some(now);
            }
        }
    }

    /// Policies that wait for their turn look again.
    pub(super) fn wake_waiting(&mut self) {
        let waiting: Vec<PolicyKey> =
            self.policies.iter().filter(|(_, entry)| entry.waiting).map(|(key, _)| key.clone()).collect();
        for key in waiting {
            self.mark(key);
        }
    }

    /// Looks for rollouts of ours that were under way before this replica led, before anything else is begun.
    pub(super) fn adopt_rollouts(&mut self, now: Instant) {
        if self.adopted {
            return;
        }
        self.adopted = true;
        let keys: Vec<PolicyKey> = self.policies.keys().cloned().collect();
        for key in keys {
            let Some(entry) = self.policies.remove(&key) else { continue };
            if let Ok(policy) = entry.parsed.clone()
                && let Ok(rules) = self.rules(&policy)
                && let (Ok(desired), Ok(targets)) = (resolve::resolve(&policy, &rules), self.targets(&policy, &rules))
            {
                for target in targets {
                    let Some(object) = self.objects.get(&target).cloned() else { continue };
                    if !matches!(progress(&object), Progress::Paused | Progress::AwaitingManual) {
                        let plan = self.plan_target(&entry, &policy, &desired, &object, now);
                        self.adopt_rollout(&entry, &policy, &object, &plan, now);
                    }
                }
            }
            self.policies.insert(key, entry);
        }
        self.adopt_strays(now);
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
                if key.kind.is_workload()
                    && progress(object) == Progress::Running
                    && !self.policies.get(&policy).is_some_and(|entry| is_told(entry, object))
                    && Record::of(&object.meta, &policy.1)
                        .is_some_and(|record| record.is_ok_and(|r| !r.previous.is_empty()))
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

    /// A rollout of ours that was under way when this replica took over is ours to look after.
    fn adopt_rollout(&mut self, entry: &Entry, policy: &Policy, object: &Object, plan: &Plan, now: Instant) {
        if self.rollouts.contains_key(&object.key) || self.busy.contains(&object.key) {
            return;
        }
        let Some(Ok(record)) = Record::of(&object.meta, policy.identity.name()) else { return };
        if record.uid != policy.identity.uid
            || record.previous.is_empty()
            || !wrote_last(object, policy.identity.name())
        {
            return;
        }
        let told = is_told(entry, object);
        let settles = told
            && entry.memoir.history.first().is_some_and(|newest| newest.verdict == "Applied")
            && entry.memoir.last_change.is_some_and(|at| now.since(at) < SETTLE);
        if told && !settles {
            return;
        }
        let mut rollout = Rollout::preparing(policy.identity.key.clone(), now);
        rollout.phase = Phase::Running;
        rollout.generation = record.generation;
        rollout.object_generation = object.meta.generation;
        rollout.uid.clone_from(&object.meta.uid);
        let history = entry.memoir.history.first().filter(|item| item.verdict == "RollingOut");
        rollout.changes = match history {
            Some(history) => history
                .changes
                .iter()
                .map(|change| Change {
                    object: object.key.clone(),
                    path: change.path.as_str().into(),
                    from: change.from.clone(),
                    to: change.to.clone(),
                    because: change.because.clone(),
                })
                .collect(),
            // The write was made and the status was not: the record knows what changed.
            None => recorded_changes(&record, object, policy, plan),
        };
        // The way back may have been interrupted: what is in quarantine has failed.
        rollout.failed = entry
            .written
            .quarantine
            .iter()
            .find(|item| item.object == object.key.short() && rollout.changes.iter().any(|c| *c.path == *item.path))
            .map(|item| {
                (Reason::from_word(&item.reason).unwrap_or(Reason::CrashLoop), "found after a restart".to_owned())
            });
        if rollout.failed.is_some() && !plan.steps.iter().any(Step::is_disruptive) {
            rollout.phase = Phase::RollingBack;
        } else if settles {
            // Since when its pods run, nobody remembers: the time begins anew.
            rollout.phase = Phase::Settling;
            rollout.completed = Some((now, None));
        }
        self.rollouts.insert(object.key.clone(), rollout);
    }
}

/// Whether the status tells how the rollout of the last write to `object` has ended.
fn is_told(entry: &Entry, object: &Object) -> bool {
    let ended = entry.memoir.history.first().is_some_and(|newest| newest.verdict != "RollingOut");
    let written = written_at(object, &names::manager(&entry.identity.key.1));
    ended && entry.memoir.last_change.is_some_and(|last| written.is_some_and(|written| written <= last))
}

/// Whether nobody has changed the pod template of `object` after the last apply of `policy`.
fn wrote_last(object: &Object, policy: &str) -> bool {
    let Some(ours) = written_at(object, &names::manager(policy)) else { return false };
    let template = FieldPath::of(&["spec", "template"]);
    let others = object.meta.managed.iter().filter(|entry| entry.manager != names::manager(policy));
    !others
        .filter(|entry| FieldSet::read(&entry.fields).covers(&template))
        .filter_map(|entry| Instant::parse(entry.time.as_deref()?))
        .any(|at| at > ours)
}

/// What the last write changed, as its record tells.
fn recorded_changes(record: &Record, object: &Object, policy: &Policy, plan: &Plan) -> Vec<Change> {
    let stamp = FieldPath::of(&["spec", "template", "metadata", "annotations", &names::stamp(policy.identity.name())]);
    let words = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    record
        .previous
        .iter()
        .filter_map(|(field, previous)| {
            let setting = plan.settings.iter().find(|setting| setting.field.as_ref() == Some(field));
            let path: Box<str> =
                if *field == stamp { "files".into() } else { setting.map(|setting| setting.path.clone())? };
            Some(Change {
                object: object.key.clone(),
                path,
                from: previous.as_ref().map(words),
                to: field.lookup(&object.content).map(words),
                because: "found after a restart".into(),
            })
        })
        .collect()
}

/// Time of our last apply, by the API server's clock.
fn written_at(object: &Object, manager: &str) -> Option<Instant> {
    let entry =
        object.meta.managed.iter().find(|entry| entry.manager == manager && entry.operation == Operation::Apply)?;
    Instant::parse(entry.time.as_deref()?)
}
