//! Telling people: one latest-wins queue of statuses, and Events on transitions.

use super::{Action, Doing, Effect, Entry, Event, Wanted, World};
use crate::{
    api::conditions::Reason,
    core::{
        facts::{Instant, Span},
        policy::PolicyKey,
        report::{self, Standing},
    },
};

/// Least time between two statuses of one policy.
const COALESCE: Span = Span::seconds(5);
/// Time that a status waits for what comes with it: an apply usually answers within this.
const GATHER: Span = Span::millis(300);
/// Time that a status waits for the answer to a write.
const PATIENCE: Span = Span::seconds(2);
/// Status writes per second, over all policies.
const RATE: u32 = 50;

impl World {
    /// Notes the status that a policy shall have. A flip that reverts before it is written writes nothing.
    pub(super) fn want_status(entry: &mut Entry, standing: &Standing, now: Instant) {
        entry.memoir.quarantine.retain(|item| report::instant(&item.until) > now);
        let status = report::status(&entry.identity, standing, &entry.memoir, &entry.written, now);
        if report::says_the_same(&status, &entry.written) {
            entry.wanted = None;
            // A write of ours may have been executed whose answer was lost; what waits for it, was not planned in this pass.
            if entry.told != entry.memoir.quarantine || !entry.knows_profiles() {
                entry.wake = Some(now);
            }
            entry.told.clone_from(&entry.memoir.quarantine);
            entry.told_active = entry.memoir.active.listed();
            return;
        }
        // A quarantine holds up a rollback, and a switch of profiles the values that follow from it. A spec change is answered at
        // once: as soon as the write that follows from it has an answer, so that one status tells both.
        let pending = standing.applied.as_ref().is_some_and(|applied| applied.reason == Reason::Pending);
        let due = if entry.told != entry.memoir.quarantine || !entry.knows_profiles() {
            now
        } else if pending {
            now + PATIENCE
        } else if entry.written.observed_generation == status.observed_generation {
            (now + GATHER).max(entry.last_write + COALESCE)
        } else {
            now + GATHER
        };
        // A status that changes all the time is written all the same, and one that repeats keeps its place.
        let since = entry.wanted.as_ref().map_or(now, |wanted| wanted.since);
        let same = entry.wanted.as_ref().filter(|wanted| report::says_the_same(&wanted.status, &status));
        let due = due.min(since + COALESCE.times(2)).min(same.map_or(due, |wanted| wanted.due));
        let due = entry.refused_status.as_ref().map_or(due, |refused| due.max(refused.until));
        // What was known when it was made up: what came to be known since, the next one tells.
        let (active, quarantine) = (entry.memoir.active.listed(), entry.memoir.quarantine.clone());
        entry.wanted = Some(Wanted { status, active, quarantine, since, due });
    }

    /// Writes the statuses that are due.
    pub(super) fn publish(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if now.since(self.statuses.0) >= Span::seconds(1) {
            self.statuses = (now, 0);
        }
        let mut due: Vec<(bool, Instant, PolicyKey)> = self
            .policies
            .iter()
            .filter(|(_, entry)| !entry.status_in_flight)
            .filter_map(|(key, entry)| {
                let Wanted { status, due: at, .. } = entry.wanted.as_ref()?;
                // Spec changes go first.
                (*at <= now)
                    .then(|| (entry.written.observed_generation == status.observed_generation, *at, key.clone()))
            })
            .collect();
        due.sort();
        for (_, _, key) in due {
            if self.statuses.1 >= RATE {
                return;
            }
            self.statuses.1 += 1;
            self.publish_one(&key, out);
        }
    }

    fn publish_one(&mut self, key: &PolicyKey, out: &mut Vec<Effect>) {
        let Some(entry) = self.policies.get_mut(key) else { return };
        let Some(Wanted { status, active, quarantine, .. }) = entry.wanted.take() else { return };
        entry.status_in_flight = true;
        let uid = entry.identity.uid.clone();
        // A status that is tried again says nothing twice.
        let before = entry.refused_status.as_ref().map_or(&entry.written, |refused| &refused.status);
        let notices = report::notices(before, &status);
        let action = Action::Status { policy: key.clone(), uid: uid.clone(), status: Box::new(status.clone()) };
        let doing = Doing::Status { policy: key.clone(), status: Box::new(status), quarantine, active };
        self.emit(action, doing, out);
        for (warning, reason, action, note) in notices {
            let event = Event {
                kind: "PerformancePolicy",
                object: key.clone(),
                uid: uid.clone(),
                warning,
                reason: reason.as_str(),
                action,
                note: report::cut(&note, 1000),
            };
            self.emit(Action::Event(event), Doing::Told, out);
        }
    }
}
