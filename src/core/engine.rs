//! The engine: `World` and `step`, the only place that decides.
//!
//! The shell tells what happened ([`Input`]), the engine answers with what to do ([`Effect`]). Everything else in here is
//! private. The engine never waits: an effect's end is an input like any other, and between the two the object is busy.

mod absorb;
pub mod account;
mod compose;
pub mod effect;
mod gauges;
pub mod input;
mod ledger;
mod measure;
mod objects;
mod outcome;
mod profiles;
mod proofs;
mod publish;
mod reconcile;
mod retire;
mod rollout;
mod rules;
pub mod series;
mod silences;
pub mod sweep;
mod targets;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use account::{Account, ReadbackAccount, TargetAccount};
pub use effect::{
    Action, Alert, Effect, EffectId, Event, Patch, PatchBody, QueryKind, Silence, SilenceAsk, SilenceRequest,
};
pub use gauges::{PolicyGauge, SettingGauge};
pub use input::{Change, Failure, Input, Listing, Outcome, Stream};
pub use series::{Answer, Labels, Refusal, Series};

pub use self::rules::{RULE_ERROR, RuleWrite};
use self::{ledger::Ledger, objects::Objects, rollout::Rollout, rules::RuleBook, silences::Silences, sweep::Sweep};
use super::{
    allocate::Figures,
    facts::{DisruptionBudget, DisruptionKey, Instant, Kind, ObjectKey, Release, Span},
    plan::Step,
    policy::{Guise, Identity, Invalid, Policy, PolicyKey},
    report::{Finding, Memoir},
    rules::RuleKey,
};
use crate::api::{
    ConnectionBudget, MetricsSource, PerformanceClass, PerformancePolicyStatus,
    budget::Reservation,
    conditions::Reason,
    status::{ActiveProfile, QuarantineEntry},
};

/// What the engine is told once.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The operator's own namespace, whose workloads no policy may change.
    pub operator_namespace: Box<str>,
    /// The version of the cluster. An older one than there is refuses more than it must, and never less.
    pub kubernetes: Release,
    /// Whether the questions of a sweep are asked at once, and not one after the other: where nobody waits for a clock.
    pub at_once: bool,
}

/// Everything that the engine knows.
#[derive(Debug)]
pub struct World {
    config: Config,
    leader: bool,
    /// Number of the last effect.
    last: u64,
    listed: BTreeSet<Stream>,
    /// Streams that show nothing, and why.
    unserved: BTreeMap<Stream, Reason>,
    policies: BTreeMap<PolicyKey, Entry>,
    /// Policies that exist although nobody could read them: what they hold is not abandoned.
    unreadable: BTreeSet<PolicyKey>,
    classes: BTreeMap<Box<str>, PerformanceClass>,
    sources: BTreeMap<Box<str>, MetricsSource>,
    budgets: BTreeMap<ledger::BudgetKey, ConnectionBudget>,
    /// `PodDisruptionBudget`s, by namespace and name.
    disruptions: BTreeMap<DisruptionKey, DisruptionBudget>,
    /// What is measured of budgets, as far as that is known.
    figures: BTreeMap<ledger::BudgetKey, Figures>,
    ledger: Ledger,
    objects: Objects,
    /// Effects whose end has not been told yet.
    running: BTreeMap<EffectId, Doing>,
    /// Objects with a write under way. Nothing is decided about them until its end.
    busy: BTreeSet<ObjectKey>,
    /// Objects that are being read, or shall be read again later.
    reads: BTreeMap<ObjectKey, Read>,
    /// Policies to look at again.
    dirty: BTreeSet<PolicyKey>,
    /// Rollouts of ours, by workload.
    rollouts: BTreeMap<ObjectKey, Rollout>,
    /// What is silenced while they go on.
    silences: Silences,
    /// A rollout has ended: those who wait may have their turn.
    turns: bool,
    /// Whether the rollouts that were under way before this replica led have been looked for.
    adopted: bool,
    /// Writes of which nobody knows whether they were executed. The next view of the object tells.
    unsure: BTreeMap<ObjectKey, Unsure>,
    /// Releases that failed, and when they are tried again: the policy may be gone, so nobody else remembers.
    refused_releases: BTreeMap<ObjectKey, RefusedRelease>,
    /// How often a policy has been looked at.
    visits: u64,
    /// Start of the current second and status writes in it.
    statuses: (Instant, u32),
    sweep: Sweep,
    rules_book: RuleBook,
    unmeasured: Unmeasured,
    /// When it was last looked who is measured.
    measured: Instant,
}

/// What the sweep has not seen yet.
#[derive(Clone, Copy, Debug, Default)]
struct Unmeasured {
    /// A policy, class or source changed, or this replica became the leader.
    policies: bool,
    /// An object changed, which may be a target: that can wait for the next tick.
    objects: bool,
}

/// A policy as the engine holds it.
#[derive(Debug)]
struct Entry {
    identity: Identity,
    /// Hash of the part of the spec that steers, and the generation in which it became so. An edit of the rest is no reason
    /// to write: what waits for a newer spec waits for one that steers otherwise.
    steered: (u64, i64),
    parsed: Result<Policy, Vec<Invalid>>,
    /// Status on the server, as far as we know.
    written: PerformancePolicyStatus,
    /// Status that shall be written, and when.
    wanted: Option<Wanted>,
    last_write: Instant,
    status_in_flight: bool,
    /// A status that could not be written, and what its Events said already.
    refused_status: Option<RefusedStatus>,
    /// Statuses that we have replaced since and that a watch may still show.
    outdated: Vec<PerformancePolicyStatus>,
    finalizers_in_flight: bool,
    /// Resource version on which finalizers were last set, and when that may be tried on the same one again.
    finalizers_tried: Option<(String, Instant)>,
    memoir: Memoir,
    /// As much of the quarantine as everybody can know: only that is acted upon. The status may hold less, where it is cut.
    told: Vec<QuarantineEntry>,
    /// Active profiles as everybody can know them: values follow from nothing else, so that a restart finds what they follow
    /// from.
    told_active: Vec<ActiveProfile>,
    /// What was read when a profile was entered, for the history.
    evidence: BTreeMap<Box<str>, String>,
    /// The policy under profiles that are active somewhere, with what is pinned there.
    under: BTreeMap<Guise, Arc<Policy>>,
    /// What pods shall tell of values, by target, as it was when that was last known.
    proofs: BTreeMap<ObjectKey, sweep::Expected>,
    /// Settings as `/metrics` tells them.
    settings: gauges::Settings,
    /// Hash of the claim that was last seen in place on each target.
    claims: BTreeMap<ObjectKey, String>,
    /// The change that the newest entry of the history tells, until everything is in place.
    open_change: Option<OpenChange>,
    holds: BTreeMap<ObjectKey, HoldSince>,
    /// When targets were scaled, with the generation that asked for it.
    scalings: BTreeMap<ObjectKey, Vec<(i64, Instant)>>,
    /// Objects whose fields were put back for the deletion of the policy. What is still different, admission keeps different.
    restored: BTreeSet<ObjectKey>,
    backoffs: BTreeMap<ObjectKey, Backoff>,
    /// Since when the kind of its target is not served, while it is being deleted.
    absent_since: Option<Instant>,
    /// Time at which to look again although nothing happened.
    wake: Option<Instant>,
    /// Since when a write has waited for a rollout elsewhere to end.
    waiting: Option<Instant>,
    /// Whether a write waits for a `PodDisruptionBudget`: it is looked at again when one of the namespace changes.
    protected: bool,
}

/// A status that could not be written.
#[derive(Debug)]
struct RefusedStatus {
    status: PerformancePolicyStatus,
    until: Instant,
    attempts: u32,
}

/// A status that shall be written.
#[derive(Debug)]
struct Wanted {
    status: PerformancePolicyStatus,
    /// The profiles that it tells of, all of them, even where it is cut.
    active: Vec<ActiveProfile>,
    /// The quarantine that it tells of.
    quarantine: Vec<QuarantineEntry>,
    /// Since when some status has been wanted.
    since: Instant,
    due: Instant,
}

/// A change of which not every write has been made.
#[derive(Clone, Copy, Debug)]
struct OpenChange {
    /// Generation of the policy that asks for it.
    generation: i64,
    /// Revision whose values were pinned then: a rollback is a change of its own.
    pinned: Option<i64>,
    /// Whether one of its writes has begun a rollout. The next target's rollout is a change of its own.
    rolled_out: bool,
}

/// What was known when an object was left to a person. A newer spec, or another resumption, takes it back.
#[derive(Clone, Copy, Debug)]
struct HoldSince {
    generation: i64,
    resumed: Option<Instant>,
}

/// A write that failed and is not repeated yet.
#[derive(Clone, Debug)]
struct Backoff {
    until: Instant,
    attempts: u32,
    /// Generation of the policy that made the write: a new one is tried at once.
    generation: i64,
    why: Finding,
}

/// A read that is under way (`None`) or comes later.
#[derive(Clone, Copy, Debug)]
struct Read {
    again: Option<Instant>,
    attempts: u32,
}

/// A write without an answer.
#[derive(Debug)]
struct Unsure {
    policy: PolicyKey,
    target: ObjectKey,
    generation: i64,
    step: Step,
}

/// A release that failed.
#[derive(Debug)]
struct RefusedRelease {
    policy: PolicyKey,
    reason: Reason,
    message: String,
    until: Instant,
    attempts: u32,
}

/// What an effect was for.
#[derive(Debug)]
enum Doing {
    Read(ObjectKey),
    Write {
        policy: PolicyKey,
        target: ObjectKey,
        generation: i64,
        step: Step,
    },
    Release {
        policy: PolicyKey,
        object: ObjectKey,
    },
    Pods(ObjectKey),
    Status {
        policy: PolicyKey,
        status: Box<PerformancePolicyStatus>,
        /// What it tells of the quarantine.
        quarantine: Vec<QuarantineEntry>,
        /// What it tells of active profiles.
        active: Vec<ActiveProfile>,
    },
    Finalizers(PolicyKey),
    Query(sweep::Token),
    /// The status of a budget.
    Budget {
        budget: ledger::BudgetKey,
        version: String,
        makes: Vec<Reservation>,
    },
    /// A request about a silence.
    Silence {
        key: silences::SilenceKey,
        alertmanager: Box<str>,
        asked: silences::Asked,
    },
    /// A `PrometheusRule`.
    Rules(RuleKey),
    /// What a source has loaded.
    LoadedRules(Box<str>),
    /// Nobody waits for its end.
    Told,
}

impl World {
    /// A world in which nothing is known.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let sweep = Sweep::new(config.at_once);
        Self {
            config,
            leader: false,
            last: 0,
            listed: BTreeSet::new(),
            unserved: BTreeMap::new(),
            policies: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            classes: BTreeMap::new(),
            sources: BTreeMap::new(),
            budgets: BTreeMap::new(),
            disruptions: BTreeMap::new(),
            figures: BTreeMap::new(),
            ledger: Ledger::default(),
            objects: Objects::default(),
            running: BTreeMap::new(),
            busy: BTreeSet::new(),
            reads: BTreeMap::new(),
            dirty: BTreeSet::new(),
            rollouts: BTreeMap::new(),
            silences: Silences::default(),
            turns: false,
            adopted: false,
            unsure: BTreeMap::new(),
            refused_releases: BTreeMap::new(),
            visits: 0,
            statuses: (Instant::default(), 0),
            sweep,
            rules_book: RuleBook::default(),
            unmeasured: Unmeasured::default(),
            measured: Instant::default(),
        }
    }

    /// Whether every stream has been listed, or shows nothing: before that, "it does not exist" cannot be said.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        let objects = Kind::ALL.into_iter().map(Stream::Objects);
        [Stream::Policies, Stream::Classes, Stream::Sources, Stream::Budgets, Stream::Disruptions]
            .into_iter()
            .chain(objects)
            .all(|stream| self.listed.contains(&stream) || self.unserved.contains_key(&stream))
    }

    /// Workloads on which a rollout of ours is under way, with the policy that caused each.
    pub fn rollouts(&self) -> impl Iterator<Item = (&ObjectKey, &PolicyKey)> {
        let in_flight = self.rollouts.iter().filter(|(_, rollout)| rollout.is_in_flight());
        in_flight.map(|(target, rollout)| (target, &rollout.policy))
    }

    fn emit(&mut self, action: Action, doing: Doing, out: &mut Vec<Effect>) {
        self.last += 1;
        let id = EffectId(self.last);
        self.running.insert(id, doing);
        out.push(Effect { id, action });
    }

    /// Reads an object, unless that is under way.
    fn read(&mut self, key: &ObjectKey, out: &mut Vec<Effect>) {
        if self.reads.contains_key(key) || !self.leader {
            return;
        }
        self.reads.insert(key.clone(), Read { again: None, attempts: 0 });
        self.emit(Action::Get(key.clone()), Doing::Read(key.clone()), out);
    }
}

/// Takes in one thing that happened and says what to do about it.
pub fn step(world: &mut World, input: Input, now: Instant) -> Vec<Effect> {
    let mut out = Vec::new();
    let ticked = matches!(input, Input::Tick);
    world.absorb(input, now, &mut out);
    if world.leader && world.is_synced() {
        // Before statuses are made up, so that they speak of the policies as they are.
        world.measure(ticked, now, &mut out);
        world.settle_unsure(now);
        world.adopt_rollouts(now);
        world.watch_rollouts(now, &mut out);
        world.reconcile_dirty(now, &mut out);
        world.publish(now, &mut out);
        world.publish_budgets(ticked, now, &mut out);
        world.keep_silences(now, &mut out);
    }
    out
}

#[cfg(test)]
mod tests;

/// Doubles `first` with every attempt, up to `most`.
fn backoff(first: Span, attempts: u32, most: Span) -> Span {
    Span::millis(first.as_millis().saturating_mul(1_i64 << attempts.min(20)).min(most.as_millis()))
}
