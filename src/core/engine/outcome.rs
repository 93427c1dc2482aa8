//! What became of effects.

use super::{
    Backoff, Doing, Effect, Entry, Failure, OpenChange, Outcome, RefusedRelease, RefusedStatus, Unsure, World, backoff,
};
use crate::{
    api::{
        PerformancePolicyStatus,
        conditions::Reason,
        names,
        status::{ActiveProfile, QuarantineEntry},
    },
    core::{
        facts::{Instant, Object, ObjectKey, Span},
        plan::{CONTEST, Change, Purpose, Step},
        policy::PolicyKey,
        report::{self, Finding, Truth},
    },
};

/// Replaced statuses that are kept apart from those which somebody else wrote.
const MAX_OUTDATED: usize = 4;

impl World {
    pub(super) fn done(&mut self, doing: Doing, outcome: Outcome, now: Instant, out: &mut Vec<Effect>) {
        match doing {
            Doing::Read(key) => self.read_done(&key, outcome, now),
            Doing::Write { policy, target, generation, step } => {
                self.free(step.object());
                self.write_done(&policy, &target, generation, step, outcome, now, out);
                self.mark(policy);
            }
            Doing::Release { policy, object } => {
                self.free(&object);
                match outcome {
                    Outcome::Object(seen) => {
                        self.refused_releases.remove(&object);
                        self.object_read(*seen);
                    }
                    Outcome::NotFound => self.object_gone(&object),
                    Outcome::Accepted
                    | Outcome::Pods(_)
                    | Outcome::Answer(_)
                    | Outcome::Silences(_)
                    | Outcome::Rule(_) => {
                        self.read(&object, out);
                    }
                    Outcome::Failed(failure) => {
                        self.release_failed(&policy, &object, &failure, now);
                        self.look_again(&object, out);
                    }
                }
                self.mark(policy);
            }
            Doing::Pods(target) => match outcome {
                Outcome::Pods(pods) => self.pods_seen(&target, Some(&pods), now, out),
                Outcome::Object(_)
                | Outcome::Accepted
                | Outcome::NotFound
                | Outcome::Rule(_)
                | Outcome::Answer(_)
                | Outcome::Silences(_)
                | Outcome::Failed(_) => {
                    self.pods_seen(&target, None, now, out);
                }
            },
            Doing::Status { policy, status, quarantine, active } => {
                self.status_done(&policy, *status, (quarantine, active), &outcome, now);
            }
            Doing::Finalizers(policy) => {
                if let Some(entry) = self.policies.get_mut(&policy) {
                    entry.finalizers_in_flight = false;
                    // What the finalizers are now, the watch tells; a failure is tried again with its next view.
                    if matches!(outcome, Outcome::Failed(_)) {
                        entry.wake = Some(now + Span::seconds(1));
                    }
                }
                self.mark(policy);
            }
            Doing::Query(token) => self.query_done(token, outcome, now, out),
            Doing::Budget { budget, version, makes } => self.budget_told(&budget, &version, makes, &outcome),
            Doing::Silence { key, alertmanager, asked } => {
                self.silence_done(key, &alertmanager, asked, &outcome, now, out);
            }
            Doing::Rules(rule) => self.rules_done(&rule, outcome, now),
            Doing::LoadedRules(source) => self.rules_told(&source, outcome, now),
            Doing::Told => {}
        }
    }

    /// A write has an answer: others, who waited for it, may write. The watch may have shown what it did before, and shows
    /// nothing now.
    fn free(&mut self, object: &ObjectKey) {
        self.busy.remove(object);
        for policy in self.related(object) {
            self.mark(policy);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the end of a write concerns all of it")]
    fn write_done(
        &mut self,
        policy: &PolicyKey,
        target: &ObjectKey,
        generation: i64,
        step: Step,
        outcome: Outcome,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        match outcome {
            Outcome::Object(seen) => {
                let object = seen.clone().into_object();
                self.object_read(*seen);
                self.written(policy, target, generation, step, &object, now);
            }
            // A subresource answers with itself, not with the object.
            Outcome::Accepted | Outcome::Pods(_) | Outcome::Answer(_) | Outcome::Silences(_) | Outcome::Rule(_) => {
                let object = self.objects.shared(step.object());
                if let Some(object) = object {
                    self.written(policy, target, generation, step, &object, now);
                    // The view is older than the write: nothing may be decided on it.
                    self.objects.distrust(&object.key);
                    self.read(&object.key, out);
                }
            }
            Outcome::NotFound => {
                self.object_gone(step.object());
                self.refuse_rollout(target, now);
            }
            Outcome::Failed(failure) => {
                self.failed(policy, step.object(), &failure, now);
                if step.is_disruptive() && !matches!(failure, Failure::Unknown(_)) {
                    self.refuse_rollout(target, now);
                }
                self.look_again(step.object(), out);
                if matches!(failure, Failure::Unknown(_)) {
                    let unsure = Unsure { policy: policy.clone(), target: target.clone(), generation, step };
                    self.unsure.insert(unsure.step.object().clone(), unsure);
                }
            }
        }
    }

    fn written(
        &mut self,
        policy: &PolicyKey,
        target: &ObjectKey,
        generation: i64,
        step: Step,
        object: &Object,
        now: Instant,
    ) {
        let disruptive = step.is_disruptive();
        let scaled = matches!(step, Step::Json { purpose: Purpose::Scale, .. });
        let applied = matches!(step, Step::Apply(_));
        let changes = match step {
            Step::Apply(write) => write.changes,
            Step::Json { purpose: Purpose::Scale | Purpose::Release | Purpose::Edit, changes, .. } => changes,
        };
        if let Some(entry) = self.policies.get_mut(policy) {
            entry.backoffs.remove(&object.key);
            entry.holds.remove(&object.key);
            if applied && entry.identity.deleting {
                entry.restored.insert(object.key.clone());
            }
            if scaled {
                let scalings = entry.scalings.entry(target.clone()).or_default();
                scalings.retain(|(_, at)| now.since(*at) < CONTEST);
                scalings.push((generation, now));
            }
            if !changes.is_empty() {
                entry.remember(generation, &changes, disruptive, now);
            }
        }
        if disruptive {
            self.rollout_written(target, policy, generation, object, changes, now);
            self.begin_silence(target, now);
        }
    }

    /// A write or release failed: say why, and when it is tried again.
    fn failed(&mut self, policy: &PolicyKey, object: &ObjectKey, failure: &Failure, now: Instant) {
        let attempts = self.policies.get(policy).and_then(|entry| entry.backoffs.get(object)).map_or(0, |b| b.attempts);
        let (reason, message) = explain(failure, object);
        let (first, most) = match failure {
            Failure::Stale | Failure::Replaced => (Span::millis(100), Span::seconds(10)),
            Failure::Unknown(_) => (Span::seconds(1), Span::minutes(1)),
            Failure::Throttled(_) => (Span::seconds(2), Span::minutes(1)),
            Failure::Conflict(_) => (Span::seconds(10), Span::minutes(10)),
            Failure::Forbidden(_) => (Span::seconds(30), Span::minutes(5)),
            Failure::Rejected(_) => (Span::minutes(10), Span::hours(2)),
        };
        let wait = backoff(first, attempts, most);
        if let Some(entry) = self.policies.get_mut(policy) {
            let until = now + wait;
            entry.wake = Some(entry.wake.map_or(until, |at| at.min(until)));
            let generation = entry.identity.generation;
            let why = Finding::new(Truth::False, reason, message);
            entry.backoffs.insert(object.clone(), Backoff { until, attempts: attempts + 1, generation, why });
        }
    }

    /// Whatever was decided was decided on a view that may be wrong: look before the next try.
    fn look_again(&mut self, object: &ObjectKey, out: &mut Vec<Effect>) {
        self.objects.distrust(object);
        self.read(object, out);
    }

    /// A release failed. Its policy may be gone, so it is remembered here when it is tried again.
    fn release_failed(&mut self, policy: &PolicyKey, object: &ObjectKey, failure: &Failure, now: Instant) {
        let attempts = self.refused_releases.get(object).map_or(0, |refused| refused.attempts);
        let first = match failure {
            Failure::Stale | Failure::Replaced => Span::millis(100),
            Failure::Unknown(_) | Failure::Throttled(_) => Span::seconds(1),
            Failure::Conflict(_) | Failure::Forbidden(_) | Failure::Rejected(_) => Span::seconds(30),
        };
        let until = now + backoff(first, attempts, Span::minutes(10));
        let (reason, message) = explain(failure, object);
        let refused = RefusedRelease { policy: policy.clone(), reason, message, until, attempts: attempts + 1 };
        self.refused_releases.insert(object.clone(), refused);
    }

    /// Finds out what became of writes without an answer, as soon as their object is in view again.
    ///
    /// A write carries the version that it was decided on: if the object has another one and carries the record of the
    /// write, it was executed, and what began with it must be looked after.
    pub(super) fn settle_unsure(&mut self, now: Instant) {
        let seen: Vec<ObjectKey> = self
            .unsure
            .keys()
            .filter(|key| self.objects.get(key).is_some() && !self.reads.contains_key(*key))
            .cloned()
            .collect();
        for key in seen {
            let (Some(unsure), Some(object)) = (self.unsure.remove(&key), self.objects.shared(&key)) else {
                continue;
            };
            let live = object.meta.annotations.get(&names::baseline(&unsure.policy.1));
            let landed = unsure.step.version().is_some_and(|version| version != object.meta.resource_version)
                && live.is_some()
                && unsure.step.record(&unsure.policy.1) == live.map(String::as_str);
            if landed {
                self.written(&unsure.policy, &unsure.target, unsure.generation, unsure.step, &object, now);
                self.mark(unsure.policy);
            }
        }
    }

    fn status_done(
        &mut self,
        policy: &PolicyKey,
        status: PerformancePolicyStatus,
        (quarantine, active): (Vec<QuarantineEntry>, Vec<ActiveProfile>),
        outcome: &Outcome,
        now: Instant,
    ) {
        let Some(entry) = self.policies.get_mut(policy) else { return };
        entry.status_in_flight = false;
        entry.last_write = now;
        match outcome {
            Outcome::Object(_) | Outcome::Accepted => {
                entry.refused_status = None;
                (entry.told, entry.told_active) = (quarantine, active);
                let before = std::mem::replace(&mut entry.written, status);
                entry.outdated.push(before);
                if entry.outdated.len() > MAX_OUTDATED {
                    entry.outdated.remove(0);
                }
            }
            Outcome::NotFound
            | Outcome::Pods(_)
            | Outcome::Answer(_)
            | Outcome::Silences(_)
            | Outcome::Rule(_)
            | Outcome::Failed(_) => {
                let attempts = entry.refused_status.as_ref().map_or(0, |refused| refused.attempts);
                let until = now + backoff(Span::seconds(2), attempts, Span::minutes(5));
                entry.refused_status = Some(RefusedStatus { status, until, attempts: attempts + 1 });
            }
        }
        self.mark(policy.clone());
    }
}

/// What is said of a write that failed.
fn explain(failure: &Failure, object: &ObjectKey) -> (Reason, String) {
    let short = object.short();
    match failure {
        Failure::Conflict(causes) => {
            let who: Vec<String> =
                causes.iter().map(|(manager, field)| format!("\"{manager}\" owns {field}")).collect();
            (Reason::FieldManagerConflict, format!("{short}: {}", who.join(", ")))
        }
        Failure::Stale | Failure::Replaced => (Reason::Pending, format!("{short} changed while it was written")),
        Failure::Forbidden(message) => (Reason::Forbidden, message.clone()),
        Failure::Rejected(message) => {
            (Reason::WriteRejected, format!("the API server refuses the write to {short}: {message}"))
        }
        Failure::Unknown(message) => (Reason::Pending, format!("the write to {short} has no answer: {message}")),
        Failure::Throttled(message) => (Reason::Pending, format!("the API server asks to slow down: {message}")),
    }
}

impl Entry {
    /// The revision whose values are pinned.
    pub(in crate::core::engine) fn pinned(&self) -> Option<i64> {
        self.parsed.as_ref().ok().and_then(|policy| policy.rollback.to())
    }

    /// Enters changes into the history. Writes of one change, on several objects, are one entry.
    pub(super) fn remember(&mut self, generation: i64, changes: &[Change], rolls_out: bool, now: Instant) {
        let verdict = if rolls_out { "RollingOut" } else { "Applied" };
        let mut changes: Vec<_> = changes.iter().map(report::change).collect();
        for change in &mut changes {
            for (profile, read) in &self.evidence {
                let said = format!("profile {profile}");
                let rest = change.because.strip_prefix(&said).filter(|rest| rest.is_empty() || rest.starts_with(':'));
                if let Some(rest) = rest {
                    change.because = format!("{said} ({read}){rest}");
                    break;
                }
            }
        }
        self.memoir.last_change = Some(now);
        let pinned = self.pinned();
        let open = self.open_change.filter(|open| (open.generation, open.pinned) == (generation, pinned));
        let rolled_out = rolls_out || open.is_some_and(|open| open.rolled_out);
        self.open_change = Some(OpenChange { generation, pinned, rolled_out });
        if let (Some(newest), Some(open)) = (self.memoir.history.first_mut(), open)
            && (newest.verdict == "RollingOut" || !open.rolled_out)
        {
            for change in changes {
                if !newest.changes.contains(&change) {
                    newest.changes.push(change);
                }
            }
            if rolls_out {
                verdict.clone_into(&mut newest.verdict);
            }
            return;
        }
        self.memoir.revision += 1;
        self.open_change = Some(OpenChange { generation, pinned, rolled_out: rolls_out });
        let entry = crate::api::status::HistoryEntry {
            revision: self.memoir.revision,
            at: report::time(now),
            changes,
            verdict: verdict.to_owned(),
            omitted: 0,
        };
        self.memoir.history.insert(0, entry);
        self.memoir.history.truncate(20);
    }
}
