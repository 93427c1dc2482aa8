//! Rollouts of ours, from the first write to the moment when nobody looks any more.
//!
//! A permit to begin ([`permit`]), which budgets of disruptions may refuse ([`disruption`]), the watch over the pods ([`watch`]),
//! what keeps them from starting ([`stall`]), failure, quarantine and the way back ([`failure`]), and what a new leader makes of a
//! rollout that it finds ([`adopt`]).
//!
//! ```text
//!            write            pods replaced         30 s without a failure
//! Preparing ──────▶ Running ───────────────▶ Settling ──────────────────▶ (over)
//!                      │ fails                  │ fails
//!                      ▼                        ▼
//!             quarantine is in the status ▶ RollingBack ▶ (over)
//! ```
//!
//! What another project's operator restarts takes the same turn. Its pods are not ours to look at: its object's own status tells,
//! and as that may be older than the write, it has to say the same for as long as a rollout settles, which is over then.

mod adopt;
mod disruption;
mod failure;
mod permit;
mod stall;
mod watch;

use self::stall::Stall;
use super::{Entry, World};
use crate::{
    api::conditions::Reason,
    core::{
        facts::{Instant, Kind, Object, ObjectKey, Span, unsettled},
        plan::{Change, Orphans},
        policy::PolicyKey,
        report::{Finding, Truth},
    },
};

/// Time between two looks at the pods of a rollout.
const LOOK: Span = Span::seconds(5);
/// Time without any progress after which a rollout has failed, for kinds whose controller has no deadline of its own: that
/// of a Deployment by default.
const DEADLINE: Span = Span::minutes(10);
/// Time after which an object of another project that still is not settled has failed, whatever its status went through.
const MAX_UNSETTLED: Span = Span::hours(1);
/// Time that a permit is kept for a write which has not begun a rollout.
const PREPARATION: Span = Span::minutes(1);
/// Time for which pods must keep running after a rollout is complete. Without readiness probe and `minReadySeconds`,
/// Kubernetes counts a pod as available the moment its containers start; a container that ends at start is in back-off within
/// seconds, and one that reads its configuration and gives up, within half a minute. Nothing waits for it: the values count as
/// applied, and the watch tells for nothing whether pods stay available.
const SETTLE: Span = Span::seconds(30);
/// Time after which a completed rollout is left alone in any case: what happens to its pods then is not its doing.
const MAX_SETTLE: Span = Span::minutes(5);

/// A rollout of ours on one workload.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rollout {
    pub policy: PolicyKey,
    pub phase: Phase,
    /// Generation of the policy that caused it.
    pub generation: i64,
    /// The first generation of which it carries something that is not proven.
    pub first_generation: i64,
    /// Revision whose values were pinned when it was written; after a restart nobody knows. Who pins others, or none any more,
    /// does not wait for its end.
    pub pinned: Option<i64>,
    /// Generation that the write gave the object; older views say nothing about this rollout.
    pub object_generation: i64,
    /// What it carries.
    pub changes: Vec<Change>,
    /// Why it failed. The values are taken back when the status that says so is written.
    pub failed: Option<(Reason, String)>,
    /// It failed, and there is no way back as things are: the policy may not write, or a person holds the object.
    pub given_up: bool,
    /// It does not move by itself any more. Others need not wait for it.
    pub rest: Option<Rest>,
    /// Uid of the object that rolls out; another object of the same name is none of its business.
    uid: String,
    began: Instant,
    next_look: Instant,
    looking: bool,
    /// How far its object was, and since when it has been there.
    advance: (Advance, Instant),
    /// What keeps its pods from starting.
    stall: Option<Stall>,
    /// When the rollout was complete for the first time, and since when it has been without a break.
    completed: Option<(Instant, Option<Instant>)>,
}

/// Why a rollout does not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It failed for good, or until somebody lets us take it back.
    Failed,
    /// Files were edited, and the write that restarts pods for them is held up.
    HeldUp,
    /// Its pods are replaced when a person deletes them or moves the partition.
    AwaitsPerson,
    /// It was found after a restart with nothing moving, and others had taken the turn since. Its way back takes another one.
    Overtaken,
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

/// How far an object is with a rollout.
#[derive(Clone, Debug, Default, PartialEq)]
struct Advance {
    /// Pods that are updated.
    updated: i64,
    /// Pods that are available.
    available: i64,
    /// What the status of another project's object says against its being settled. Its numbers may go up and down for ever.
    said: Option<String>,
}

impl Advance {
    fn of(object: &Object) -> Self {
        let n = |a: &str, b: &str| object.integer(a).or_else(|| object.integer(b)).unwrap_or(0);
        Self {
            updated: n("/status/updatedReplicas", "/status/updatedNumberScheduled"),
            available: n("/status/availableReplicas", "/status/numberAvailable"),
            said: unsettled(object),
        }
    }
}

impl Rollout {
    /// When it was written.
    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    pub(super) fn preparing(policy: PolicyKey, now: Instant) -> Self {
        Self {
            policy,
            phase: Phase::Preparing,
            generation: 0,
            first_generation: 0,
            pinned: None,
            object_generation: 0,
            changes: Vec::new(),
            failed: None,
            given_up: false,
            rest: None,
            uid: String::new(),
            began: now,
            next_look: now,
            looking: false,
            advance: (Advance::default(), now),
            stall: None,
            completed: None,
        }
    }

    /// A further write belongs to the same rollout, or takes it back. After one that only settles, it begins another, which
    /// carries what that one has not proven.
    pub(super) fn prepare(&mut self, policy: &PolicyKey, now: Instant) {
        if self.policy != *policy {
            // Another policy's: it has ended, or nothing comes of it any more.
            *self = Self::preparing(policy.clone(), now);
        } else if self.phase == Phase::Settling {
            self.phase = if self.failed.is_some() { Phase::Running } else { Phase::Preparing };
        }
        self.rest = None;
        self.began = now;
    }

    /// The write that was to begin it is not made. `false`: nothing is left of it.
    fn unprepare(&mut self) -> bool {
        if self.phase != Phase::Preparing {
            return true;
        }
        if self.completed.is_some() {
            self.phase = Phase::Settling;
            return true;
        }
        !self.changes.is_empty()
    }

    /// The write that begins the replacement of pods has succeeded.
    pub(super) fn run(&mut self, generation: i64, object: &Object, changes: Vec<Change>, now: Instant) {
        // A newer spec is not the way back, even if it comes while that is awaited.
        if self.generation < generation {
            self.failed = None;
        }
        self.phase = if self.failed.is_some() { Phase::RollingBack } else { Phase::Running };
        (self.given_up, self.rest) = (false, None);
        if !self.has_run() {
            self.first_generation = generation;
        }
        self.generation = generation;
        self.object_generation = object.meta.generation;
        self.uid.clone_from(&object.meta.uid);
        self.changes = changes;
        self.began = now;
        self.next_look = now + LOOK;
        self.advance = (Advance::default(), now);
        self.stall = None;
        self.completed = None;
    }

    /// Whether pods are being replaced.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::RollingBack | Phase::Stray) && self.rest.is_none()
    }

    /// Whether it explains that something gets worse for a moment: its pods start, or have just started, and nothing has failed.
    pub(super) fn explains(&self) -> bool {
        let starts = matches!(self.phase, Phase::Running | Phase::Settling);
        starts && self.has_run() && self.failed.is_none() && self.rest.is_none()
    }

    /// Whether it keeps others from beginning. One that only settles keeps no more than the next target of its own policy, and one
    /// that nothing comes of any more keeps nobody.
    pub(super) fn is_in_flight(&self) -> bool {
        self.phase != Phase::Settling && self.rest.is_none()
    }

    /// Whether other policies keep away from its workload: whose values fail could not be told, and each has its own way back.
    pub(super) fn comes_first(&self) -> bool {
        matches!(self.rest, None | Some(Rest::Overtaken))
    }

    /// Whether a person has to do the rest.
    pub(super) fn needs_person(&self) -> bool {
        self.rest == Some(Rest::AwaitsPerson)
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
        let advance = Advance::of(object);
        // While it rests, nobody expects anything.
        if self.advance.0 != advance || self.rest.is_some() {
            self.advance = (advance, now);
        }
        let lasts_too_long = object.key.kind.is_foreign() && now.since(self.began) > MAX_UNSETTLED;
        object.key.kind != Kind::Deployment && (now.since(self.advance.1) > DEADLINE || lasts_too_long)
    }

    /// Whether the state of an object can be that of before the write: the status of another project's object may say for which
    /// generation it is, or not. It is believed when it has said the same for a while.
    fn may_be_old(&self, object: &Object, now: Instant) -> bool {
        self.rest.is_none() && object.key.kind.is_foreign() && now.since(self.advance.1) < SETTLE
    }

    /// Why it counts as failed when it is stuck.
    fn stuck(&self) -> String {
        let minutes = |span: Span| span.as_millis() / 60_000;
        match &self.advance.0.said {
            Some(said) => format!("it has not been ready for {} minutes: {said}", minutes(DEADLINE)),
            None => format!("no pod became available for {} minutes", minutes(DEADLINE)),
        }
    }

    /// Whether a write may follow although the rollout is not finished: the way back, a newer spec, or a rollback that somebody
    /// asks for or ends in the meantime.
    pub(super) fn may_be_superseded(&self, generation: i64, pinned: Option<i64>) -> bool {
        match self.phase {
            Phase::Preparing | Phase::Running | Phase::Settling => {
                self.failed.is_some() || self.generation < generation || self.pinned != pinned
            }
            Phase::RollingBack => self.generation < generation,
            Phase::Stray => false,
        }
    }

    /// Whether pods have been replaced for it.
    pub(super) fn has_run(&self) -> bool {
        self.object_generation != 0
    }

    /// What it carries, as long as no pod has shown that it does no harm.
    pub(super) fn unproven(&self) -> &[Change] {
        if matches!(self.phase, Phase::Preparing | Phase::Running | Phase::Settling) { &self.changes } else { &[] }
    }

    /// Whether every pod ran with what it carries, and has not shown yet whether it goes on to.
    pub(super) fn was_complete(&self) -> bool {
        self.completed.is_some()
    }

    /// What becomes of its values for which the policy has no knob any more. `told`: everybody can know what failed.
    pub(super) fn orphans(&self, told: bool) -> Orphans {
        match self.phase {
            Phase::Stray => Orphans::Release,
            _ if self.rest == Some(Rest::Failed) => Orphans::Release,
            Phase::Running | Phase::Settling if self.failed.is_some() && told => Orphans::TakeBack,
            Phase::Preparing | Phase::Running | Phase::Settling | Phase::RollingBack => Orphans::Hold,
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
            _ if self.given_up || (self.rest.is_some() && self.phase == Phase::RollingBack) => None,
            (Phase::RollingBack | Phase::Running | Phase::Settling, Some((reason, why))) => Some(Finding::new(
                Truth::False,
                Reason::RollingBack,
                format!("the rollout of {} failed ({reason}: {why}): the previous values come back", target.short()),
            )),
            (Phase::Running, None) if self.needs_person() => Some(Finding::new(
                Truth::False,
                Reason::AwaitingManualRollout,
                format!(
                    "{} has {}, and its pods wait for a person to delete them or to move the partition",
                    target.short(),
                    carried()
                ),
            )),
            (Phase::Running | Phase::RollingBack, None) => {
                let waits =
                    self.stall.as_ref().and_then(Stall::told).map(|told| format!("; {told}")).unwrap_or_default();
                let message = format!("{} rolls out {}{waits}", target.short(), carried());
                Some(Finding::new(Truth::False, Reason::RollingOut, message))
            }
        }
    }
}

impl World {
    /// A write that replaces pods, or that comes before one, has succeeded.
    pub(super) fn rollout_written(
        &mut self,
        target: &ObjectKey,
        policy: &PolicyKey,
        generation: i64,
        object: &Object,
        changes: Vec<Change>,
        now: Instant,
    ) {
        let pinned = self.policies.get(policy).and_then(Entry::pinned);
        let Some(rollout) = self.rollouts.get_mut(target).filter(|rollout| rollout.policy == *policy) else { return };
        // What was edited before belongs to the same rollout, and so does what it replaces before it was proven: to its way
        // back, too. The way back itself carries nothing else.
        let joins = match rollout.phase {
            Phase::Preparing => true,
            Phase::Running => rollout.failed.is_none() || rollout.generation < generation,
            Phase::Settling | Phase::RollingBack | Phase::Stray => false,
        };
        let mut carried = if joins { std::mem::take(&mut rollout.changes) } else { Vec::new() };
        if rollout.was_complete() {
            // A value that is changed again goes back to the one that ran.
            carried.retain(|old| !changes.iter().any(|new| new.object == old.object && new.path == old.path));
        }
        carry(&mut carried, changes);
        if object.key == *target {
            rollout.run(generation, object, carried, now);
            rollout.pinned = pinned;
        } else if joins {
            rollout.changes = carried;
        }
    }
}

/// Adds changes to those that a rollout carries. A value that is changed twice goes from the first to the last.
fn carry(carried: &mut Vec<Change>, changes: Vec<Change>) {
    for change in changes {
        match carried.iter_mut().find(|c| c.object == change.object && c.path == change.path) {
            Some(earlier) => earlier.to = change.to,
            None => carried.push(change),
        }
    }
    carried.retain(|change| change.from != change.to);
}
