//! Connection budgets: who consumes one, who may grow, and what its status says.
//!
//! What a policy's pools amount to (its *books*) follows from the policy and its targets alone, and is made up when the policy
//! is looked at. Who may grow follows from the books of everybody who names the budget; [`allocate::settle`] decides it. A
//! change of somebody's books brings everybody else of the budget to be looked at again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

mod judge;
mod restore;
mod status;

use judge::Judged;

use super::{Entry, World};
use crate::{
    api::{
        ConnectionBudgetStatus,
        budget::{Allocation, Reservation},
        conditions::Reason,
    },
    core::{
        allocate::{self, Figures, Load, Pods, Room, Verdict, Worst},
        facts::{Instant, Kind, Object, ObjectKey, Progress, Span, progress},
        plan::{Plan, landing},
        policy::{Policy, PolicyKey, Rollback},
        resolve::{self, Rules, Shares},
    },
};

/// Namespace and name of a budget.
pub(super) type BudgetKey = (Box<str>, Box<str>);

/// Least time between two statuses of one budget.
const COALESCE: Span = Span::seconds(5);
/// For how long a reservation counts that nobody here has asked for: longer than any request takes to arrive.
const GRACE: Span = Span::minutes(2);
/// Seconds by which a pod may be gone later than its grace period says.
const LATE: i64 = 10;
/// For how long a workload that was deleted may have pods that have not been told to end yet: the garbage collector is at work.
const COLLECTED: Span = Span::seconds(30);
/// When a status that was handed out, and is not seen on the server, is handed out again.
const PATIENCE: Span = Span::seconds(30);

/// What is known of all budgets' consumers.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    books: BTreeMap<PolicyKey, Books>,
    /// Policies whose books were made up since something was last taken in.
    fresh: BTreeSet<PolicyKey>,
    /// What consumers were let in with. Before this process decided anything, the budget's status says it.
    granted: BTreeMap<(PolicyKey, Place), Grant>,
    /// What was decided of everybody on a budget, for as long as nothing changes of what it follows from: books, grants, the budget
    /// with its status, and what is measured of it.
    judged: BTreeMap<BudgetKey, Vec<Judged>>,
    /// The most that pods of a workload may hold that are there: of every template since the last one that all of them had.
    peaks: BTreeMap<(PolicyKey, Place), Peak>,
    /// Growth that shall be written as soon as the budget's status says so.
    wanted: BTreeMap<BudgetKey, BTreeMap<(PolicyKey, Place), Want>>,
    /// Reservations that this process has made itself: what comes of them, it knows.
    made: BTreeMap<BudgetKey, Vec<Reservation>>,
    /// Since when reservations are there that nobody here has asked for: another leader may still be about to write.
    foreign: BTreeMap<(PolicyKey, Place), Instant>,
    /// Budgets whose status somebody waits for.
    urgent: BTreeSet<BudgetKey>,
    /// When pods of a policy's workloads have ended of which nobody tells.
    endings: BTreeMap<PolicyKey, Instant>,
    /// Budgets whose status may say something else than what is found.
    restless: BTreeSet<BudgetKey>,
    /// Whether people were told that a budget is overcommitted.
    told: BTreeMap<BudgetKey, bool>,
    /// Budgets that are overcommitted: since when, and the sum.
    pub(super) overcommitted: BTreeMap<BudgetKey, (Instant, String)>,
    /// The status that was handed out last: for which view of the budget, and when.
    reported: BTreeMap<BudgetKey, Report>,
}

/// A status that was handed out.
#[derive(Debug)]
struct Report {
    /// The version that it was made up from; `None`: it was refused, or nobody knows.
    version: Option<String>,
    at: Instant,
    status: ConnectionBudgetStatus,
}

/// What a consumer was let in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grant {
    /// Connections at worst.
    connections: i64,
    /// Connections per process; unknown after an upgrade from a version that did not say it.
    share: Option<i64>,
}

/// Growth that shall be written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Want {
    /// Connections at worst.
    to: i64,
    /// Whose write brings it, and on which target.
    of: (PolicyKey, ObjectKey),
}

/// What the pods of a workload may hold that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Peak {
    /// Connections of one pod.
    per_pod: i64,
    pods: Pods,
    /// Whether a rollout was under way.
    rolling: bool,
    /// Until when pods of before may still be ending.
    until: Option<Instant>,
    /// How long one of them takes to end at most.
    grace: Span,
}

impl Peak {
    /// The most of what is there now and what was there before.
    fn most(self, before: Self, until: Option<Instant>) -> Self {
        let grace = self.grace.max(before.grace);
        Self { per_pod: self.per_pod.max(before.per_pod), pods: self.pods.most(before.pods), until, grace, ..self }
    }

    const fn connections(self) -> i64 {
        self.per_pod.saturating_mul(self.pods.all())
    }
}

/// A pool on a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    budget: Box<str>,
    target: ObjectKey,
    pool: Box<str>,
    /// Where the size of the pool lands: whoever has the same has the same pool.
    landing: Option<String>,
}

/// What the pools of one policy amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Books {
    /// When the policy was created: older ones are served first.
    created: Instant,
    consumers: Vec<Consumer>,
    /// Objects that have to be read before it is known.
    unread: Vec<ObjectKey>,
    /// Targets of which it is not known until then.
    unseen: BTreeSet<ObjectKey>,
}

/// Whether a consumer is one by the policy as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Here,
    /// The policy has no such pool any more, or has it elsewhere, and pods may hold its connections.
    Left,
    /// Its workload is gone, and its pods may be there until then.
    Gone(Instant),
}

/// One pool on one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Consumer {
    place: Place,
    /// Pods that it may have without another write of ours.
    pods: Pods,
    /// The most that pods which are there may hold.
    peak: Peak,
    /// With the values that are there; `None`: unknown, because the application's own defaults hold.
    held: Option<Worst>,
    /// With the values that the policy asks for.
    asked: Option<Worst>,
    /// Connections at worst with the values that are there, if there are as many processes as the policy says, where the
    /// application does not read their number from anywhere that is seen.
    could: i64,
    /// Whether its size is where the policy has it, whatever it is.
    lands: bool,
    /// Whether the policy may write to the target.
    writes: bool,
    /// Whether a write of ours is under way of which nobody knows how it ends.
    writing: bool,
    /// How far the rollout of its workload is, whoever began it.
    progress: Progress,
    /// Whether pods may be ending of which nobody tells, when a rollout looks complete.
    ends_untold: bool,
    /// How long one of its pods takes to end at most.
    grace: Span,
    presence: Presence,
}

impl Books {
    fn is_empty(&self) -> bool {
        self.consumers.is_empty() && self.unread.is_empty()
    }

    fn budgets(&self) -> BTreeSet<&str> {
        self.consumers.iter().map(|consumer| &*consumer.place.budget).collect()
    }
}

impl Consumer {
    /// Whether pods of before may be there: a write is under way, or a rollout, whoever began it.
    fn in_flight(&self) -> bool {
        self.writing || self.progress != Progress::Complete
    }

    /// What counts: the terms of the larger of the two, if what is asked for was granted.
    fn counted(&self, verdict: &Verdict) -> Option<&Worst> {
        let connections = |worst: &Option<Worst>| worst.as_ref().map_or(0, Worst::connections);
        // What has moved may be counted with what it has become, and whoever leads next has to know what it was.
        if self.presence != Presence::Here || connections(&self.held) == verdict.committed {
            self.held.as_ref()
        } else {
            self.asked.as_ref()
        }
    }
}

impl Consumer {
    /// Connections that a pool of another policy on the same workload could open when what is asked for is written, if these
    /// are more than it could open before.
    fn drags(&self, beside: &Self) -> Option<i64> {
        let asked = self.asked.as_ref().filter(|_| self.writes)?;
        let there = beside.held.as_ref();
        let same = self.place.landing.is_some() && self.place.landing == beside.place.landing;
        let before = there.map_or(0, |there| there.load.per_pod());
        let load = if same { asked.load.per_pod().max(before) } else { before };
        let pods = if asked.pods.max > self.pods.max { beside.pods.raised(asked.pods) } else { beside.pods };
        let then = load.saturating_mul(pods.all());
        (then > there.map_or(0, Worst::connections)).then_some(then)
    }
}

/// Whether the controller of a workload does not tell how many of its pods are ending: that of a Deployment before Kubernetes
/// 1.35, and of any `DaemonSet`.
fn ends_untold(target: &Object) -> bool {
    target.key.kind != Kind::Deployment || target.integer("/status/terminatingReplicas").is_none()
}

/// How long a pod of a workload takes to end at most.
fn grace(target: Option<&Object>) -> Span {
    let grace = target.and_then(|target| target.integer("/spec/template/spec/terminationGracePeriodSeconds"));
    Span::seconds(grace.unwrap_or(30).clamp(0, 86_400).saturating_add(LATE))
}

/// Whether a reservation is that of a consumer.
fn is_for(reservation: &Reservation, policy: &PolicyKey, place: &Place) -> bool {
    (&*reservation.policy, &*reservation.pool) == (&*policy.1, &*place.pool)
        && reservation.target == place.target.short()
}

/// Names of the budgets that the pools of a policy count against.
fn named(policy: &Policy) -> impl Iterator<Item = &str> {
    policy.pools.iter().filter_map(|pool| pool.budget.as_deref())
}

/// Whether a pool of the policy counts against a budget.
pub(super) fn is_consumer(policy: &Policy) -> bool {
    named(policy).next().is_some()
}

impl Ledger {
    /// Another replica has led: what it granted, the statuses of `budgets` say.
    pub(super) fn forget_grants<'a>(&mut self, budgets: impl Iterator<Item = &'a BudgetKey>) {
        self.granted.clear();
        self.judged.clear();
        self.peaks.clear();
        self.wanted.clear();
        self.made.clear();
        self.foreign.clear();
        self.reported.clear();
        self.told.clear();
        self.overcommitted.clear();
        self.restless.extend(budgets.cloned());
    }

    /// The status of a budget is another one, and may say something else than what is found.
    pub(super) fn look_at(&mut self, budget: BudgetKey) {
        self.judged.remove(&budget);
        self.restless.insert(budget);
    }

    /// Whoever does not lead takes other numbers for granted.
    pub(super) fn forget_decisions(&mut self) {
        self.judged.clear();
    }

    pub(super) fn begin(&mut self) {
        self.fresh.clear();
    }

    /// What a consumer is about to grow to.
    fn about_to(&self, policy: &PolicyKey, place: &Place) -> Option<i64> {
        let wanted = self.wanted.get(&(policy.0.clone(), place.budget.clone()))?;
        Some(wanted.get(&(policy.clone(), place.clone()))?.to)
    }

    /// Gives up all other growth. What was reserved for it is free for others.
    fn want_only(&mut self, keep: impl Fn(&(PolicyKey, Place), &Want) -> bool) {
        for (budget, wanted) in &mut self.wanted {
            let before = wanted.len();
            wanted.retain(|of, want| keep(of, want));
            if wanted.len() < before {
                self.judged.remove(budget);
                self.restless.insert(budget.clone());
            }
        }
    }

    /// Whether this process itself has reserved that much for a consumer.
    fn has_made(&self, policy: &PolicyKey, place: &Place, connections: i64) -> bool {
        let made = self.made.get(&(policy.0.clone(), place.budget.clone()));
        made.into_iter().flatten().any(|made| is_for(made, policy, place) && connections <= made.to)
    }

    fn of_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a PolicyKey, &'a Books)> {
        let from: PolicyKey = (namespace.into(), "".into());
        self.books.range(from..).take_while(move |(key, _)| *key.0 == *namespace)
    }
}

impl World {
    /// A budget came, changed or went.
    pub(super) fn budget_changed(&mut self, key: &BudgetKey) {
        self.ledger.judged.remove(key);
        self.ledger.restless.insert(key.clone());
        self.unmeasured.policies = true;
        let consumers: Vec<PolicyKey> = self
            .policies_in(&key.0)
            .filter(|(_, entry)| entry.parsed.as_ref().is_ok_and(|policy| named(policy).any(|name| *name == *key.1)))
            .map(|(key, _)| key.clone())
            .collect();
        for consumer in consumers {
            self.mark(consumer);
        }
    }

    /// Makes up the books of a policy, and those of everybody who shares a budget with it and is yet to be looked at.
    pub(super) fn keep_books(&mut self, key: &PolicyKey, entry: &Entry, now: Instant) {
        let books = self.books(entry, &self.ledger, &|policy, target| entry.under(policy, Some(target)), now);
        let books = self.with_left_over(key, books, now);
        let budgets: BTreeSet<Box<str>> = books.budgets().into_iter().map(Into::into).collect();
        self.enter(key, books, now);
        if budgets.is_empty() {
            return;
        }
        let stale: Vec<PolicyKey> = self
            .policies_in(&key.0)
            .filter(|(other, entry)| {
                self.dirty.contains(*other)
                    && !self.ledger.fresh.contains(*other)
                    && entry.parsed.as_ref().map_or(true, |policy| named(policy).any(|name| budgets.contains(name)))
            })
            .map(|(other, _)| other.clone())
            .collect();
        for other in stale {
            let Some(entry) = self.policies.get(&other) else { continue };
            let books = self.books(entry, &self.ledger, &|policy, target| entry.under(policy, Some(target)), now);
            let books = self.with_left_over(&other, books, now);
            self.enter(&other, books, now);
        }
    }

    /// A policy is gone, and what its targets hold is nobody's any more.
    pub(super) fn close_books(&mut self, key: &PolicyKey, now: Instant) {
        self.enter(key, Books::default(), now);
        self.ledger.endings.remove(key);
        self.ledger.granted.retain(|(policy, _), _| policy != key);
        self.ledger.peaks.retain(|(policy, _), _| policy != key);
        self.ledger.foreign.retain(|(policy, _), _| policy != key);
        self.ledger.want_only(|(policy, _), want| policy != key && want.of.0 != *key);
    }

    /// Policies whose pods have ended by now.
    fn ended(&mut self, now: Instant) {
        let due: Vec<PolicyKey> =
            self.ledger.endings.iter().filter(|(_, until)| **until <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.ledger.endings.remove(&key);
            self.mark(key);
        }
    }

    /// Books with consumers that the policy has no more, or of which nothing is known for the moment, and whose pods may be there:
    ///
    /// - What cannot be seen now is what it was.
    /// - A pool with another name or another variable opens no fewer connections for that, until it has landed there, and the
    ///   rollout that brings it is over.
    /// - A workload that was deleted has pods until they have ended.
    fn with_left_over(&self, key: &PolicyKey, mut books: Books, now: Instant) -> Books {
        // Who has only begun knows from the status of the budgets what there was.
        let (known, told);
        let before = if let Some(books) = self.ledger.books.get(key) {
            known = books;
            &known.consumers
        } else {
            told = self.last_known(key);
            &told
        };
        let left = |consumer: &Consumer| {
            let place = &consumer.place;
            if books.consumers.iter().any(|known| known.place == *place) {
                return None;
            }
            if books.unseen.contains(&place.target) {
                let writing = self.is_written(&place.target);
                return Some(Consumer { writing, ..consumer.clone() });
            }
            let left = Consumer { asked: None, writes: false, writing: false, ..consumer.clone() };
            let Some(object) = self.objects.shared(&place.target) else {
                let is_gone = self.objects.slot(&place.target).is_none();
                let until = match consumer.presence {
                    Presence::Gone(until) => until,
                    Presence::Here | Presence::Left => now + consumer.grace + COLLECTED,
                };
                let (presence, progress) = (Presence::Gone(until), Progress::Complete);
                return (is_gone && until > now).then_some(Consumer { progress, presence, ..left });
            };
            let progress = progress(&object);
            let has_moved = |other: &Consumer| {
                (&other.place.target, &other.place.pool) == (&place.target, &place.pool) && !other.lands
            };
            let stays = progress != Progress::Complete || books.consumers.iter().any(has_moved);
            stays.then_some(Consumer { progress, presence: Presence::Left, ..left })
        };
        let left_over: Vec<Consumer> = before.iter().filter_map(left).collect();
        books.consumers.extend(left_over);
        books
    }

    fn enter(&mut self, key: &PolicyKey, mut books: Books, now: Instant) {
        self.ledger.fresh.insert(key.clone());
        let peaks: Vec<Peak> = books.consumers.iter().map(|consumer| self.peak(key, consumer, now)).collect();
        for (consumer, peak) in books.consumers.iter_mut().zip(peaks) {
            consumer.peak = peak;
        }
        let ends = |consumer: &Consumer| match consumer.presence {
            Presence::Gone(until) => Some(until),
            Presence::Here | Presence::Left => consumer.peak.until,
        };
        if let Some(until) = books.consumers.iter().filter_map(ends).min() {
            self.ledger.endings.insert(key.clone(), until);
        }
        // Who may not write any more, or governs something else, grows no more.
        self.ledger.want_only(|_, want| {
            let may = |consumer: &Consumer| consumer.writes && consumer.place.target == want.of.1;
            want.of.0 != *key || books.consumers.iter().any(may) || books.unread.contains(&want.of.1)
        });
        let places: BTreeSet<&Place> = books.consumers.iter().map(|consumer| &consumer.place).collect();
        self.ledger.peaks.retain(|(policy, place), _| policy != key || places.contains(place));
        let peaks = books.consumers.iter().map(|consumer| ((key.clone(), consumer.place.clone()), consumer.peak));
        self.ledger.peaks.extend(peaks);
        let old = self.ledger.books.get(key);
        if old.map_or(books.is_empty(), |old| *old == books) {
            return;
        }
        let concerned: BTreeSet<Box<str>> =
            old.into_iter().flat_map(Books::budgets).chain(books.budgets()).map(Into::into).collect();
        if books.is_empty() {
            self.ledger.books.remove(key);
        } else {
            self.ledger.books.insert(key.clone(), books);
        }
        let others: Vec<PolicyKey> = self
            .ledger
            .of_namespace(&key.0)
            .filter(|(other, books)| *other != key && books.budgets().iter().any(|name| concerned.contains(*name)))
            .map(|(other, _)| other.clone())
            .collect();
        self.dirty.extend(others);
        for budget in concerned {
            let budget = (key.0.clone(), budget);
            self.ledger.judged.remove(&budget);
            self.ledger.restless.insert(budget);
        }
    }

    /// The most that pods which are there may hold: until every pod has what is there now, what was there before counts, too.
    fn peak(&self, policy: &PolicyKey, consumer: &Consumer, time: Instant) -> Peak {
        let per_pod = consumer.held.as_ref().map_or(0, |held| held.load.per_pod());
        let (pods, rolling, grace) = (consumer.pods, consumer.in_flight(), consumer.grace);
        let now = Peak { per_pod, pods, rolling, until: None, grace };
        let known = self.ledger.peaks.get(&(policy.clone(), consumer.place.clone())).copied();
        let before = known.or_else(|| self.peak_told(policy, &consumer.place));
        // What is not seen is what it was, and who is gone has what it had.
        if consumer.in_flight() || consumer.presence != Presence::Here {
            return before.map_or(now, |before| now.most(before, None));
        }
        // Where nobody tells of pods that are ending, they are there for as long as they may take. A process that has only begun
        // knows of a rollout that is just over from the budget's status, which counts more than what is there by now.
        let before = before.filter(|before| known.is_some() || before.connections() > now.connections());
        let ends = before.filter(|_| consumer.ends_untold).and_then(|before| {
            let until = before.until.or_else(|| before.rolling.then(|| time + before.grace.max(grace)))?;
            (until > time).then_some((before, until))
        });
        ends.map_or(now, |(before, until)| now.most(before, Some(until)))
    }

    /// What the status of a budget says of what pods of a consumer could hold.
    fn peak_told(&self, policy: &PolicyKey, place: &Place) -> Option<Peak> {
        let known = self.allocation(policy, place)?;
        let pods = Pods { max: known.pods_max, surge: known.surge, terminating: known.terminating };
        let all = pods.all().max(1);
        let per_pod = known.worst_case.saturating_add(all - 1).div_euclid(all);
        Some(Peak { per_pod, pods, rolling: true, until: None, grace: Span::ZERO })
    }

    /// The books of a policy as things are; `under` gives what it is under the profiles that are active on a target.
    fn books(
        &self,
        entry: &Entry,
        ledger: &Ledger,
        under: &dyn Fn(&Policy, &ObjectKey) -> Option<Arc<Policy>>,
        now: Instant,
    ) -> Books {
        let mut books = Books { created: entry.identity.created, ..Books::default() };
        let policy = match &entry.parsed {
            Ok(policy) if is_consumer(policy) => policy,
            Ok(_) => return books,
            Err(_) => {
                books.consumers = self.last_known(&entry.identity.key);
                return books;
            }
        };
        let rules = self.rules(policy);
        let may_write = rules.as_ref().is_ok_and(|rules| {
            resolve::admit(policy, rules).is_ok() && super::reconcile::writable(policy, rules).is_ok()
        });
        let rules = rules.unwrap_or_else(|_| Rules::built_in());
        let documents = Self::named_config_maps(policy);
        let targets = match self.targets(policy, &rules) {
            Ok(targets) => targets,
            Err(unserved) if unserved.reason == Reason::NoTargets => Vec::new(),
            // What it governs is not said, and keeps what it has.
            Err(_) => {
                books.consumers = self.last_known(&entry.identity.key);
                return books;
            }
        };
        for target in targets {
            let object = self.objects.shared(&target);
            let unread = object.is_none().then_some(&target).or_else(|| self.unread_autoscaler(&target));
            let (Some(object), None) = (object, unread) else {
                books.unread.extend(unread.cloned());
                books.unseen.insert(target);
                continue;
            };
            let under = under(policy, &target);
            let policy = under.as_deref().unwrap_or(policy);
            let plan = self.plan_target(entry, policy, &object, &Shares::new(), now);
            books.unread.extend(plan.unread.iter().cloned());
            let known = self.ledger.books.get(&entry.identity.key);
            let is_known = |known: &Books| known.consumers.iter().any(|known| known.place.target == target);
            if !plan.unread.is_empty() && known.is_some_and(is_known) {
                books.unseen.insert(target);
                continue;
            }
            let pinned = !matches!(policy.rollback, Rollback::Refused(_));
            let writes = may_write && pinned && !entry.identity.deleting && plan.refusals.is_empty();
            let autoscaler = self.autoscaler(&target).map(|autoscaler| &autoscaler.key);
            let mut touched = documents.iter().chain([&target]).chain(autoscaler);
            // Until a rollout is over, whoever began it, pods of before hold what they were granted.
            let writing = touched.any(|key| self.is_written(key));
            let progress = progress(&object);
            for pool in policy.pools.iter().filter(|pool| pool.budget.is_some()) {
                let Some(budget) = pool.budget.clone() else { continue };
                let path = format!("pools.{}.size", pool.name);
                let size = policy.knobs.iter().find(|knob| *knob.path == *path);
                let landing = size.and_then(|size| landing(policy, &object, size));
                let place = Place { budget, target: target.clone(), pool: pool.name.clone(), landing };
                let granted = self.granted(ledger, &entry.identity.key, &place).is_some();
                let load = |loads: &[Load]| loads.iter().find(|load| load.pool == pool.name).cloned();
                let asked = load(&plan.loads)
                    .map(|load| Worst { load, pods: self.pods(policy, &object, &plan, &place, Moment::Asked) });
                let moment = if granted { Moment::Granted } else { Moment::Live };
                let pods = self.pods(policy, &object, &plan, &place, moment);
                let held = load(&plan.held).map(|load| Worst { load, pods });
                let is_live =
                    |path: &str| plan.settings.iter().any(|setting| *setting.path == *path && setting.live.is_some());
                let lands = is_live(&path);
                let unsaid = pool.per_worker.as_ref().is_some_and(|worker| {
                    let path = format!("workers.{worker}.count");
                    plan.settings.iter().any(|setting| *setting.path == *path) && !is_live(&path)
                });
                let processes = asked.as_ref().filter(|_| unsaid).map_or(1, |asked: &Worst| asked.load.processes());
                let could = held.as_ref().map_or(0, |held| held.connections().saturating_mul(processes));
                // What it could open may not be known yet; others that write the same size make it known.
                let peak = Peak::default();
                let ends_untold = pods.terminating > 0 && ends_untold(&object);
                books.consumers.push(Consumer {
                    place,
                    pods,
                    peak,
                    held,
                    asked,
                    could,
                    lands,
                    writes,
                    writing,
                    progress: progress.clone(),
                    ends_untold,
                    grace: grace(Some(&object)),
                    presence: Presence::Here,
                });
            }
        }
        books
    }

    /// Pods of a target that may hold connections at the same moment.
    fn pods(&self, policy: &Policy, target: &Object, plan: &Plan, place: &Place, moment: Moment) -> Pods {
        let autoscaler = self.autoscaler(&target.key);
        let (nodes, drains) = self.terms(&policy.identity.key, &place.budget, &place.pool);
        // What is left to somebody else bounds nothing.
        let yields = plan.conflicts.iter().any(|conflict| conflict.path.starts_with("replicas"));
        let bound = policy.replicas.as_ref().and_then(|replicas| replicas.max).filter(|_| !yields);
        let live = self.pods_max(target, nodes);
        let max = match (moment, bound) {
            (Moment::Asked, bound) => allocate::replicas_max(target, autoscaler, bound, nodes),
            // Within its bounds a workload without an autoscaler may be scaled at any time.
            (Moment::Granted, Some(bound)) if autoscaler.is_none() && target.key.kind != Kind::DaemonSet => {
                live.max(bound)
            }
            (Moment::Granted | Moment::Live, _) => live,
        };
        Pods::of(target, max, drains)
    }

    /// What a budget says of the pods of a consumer: most nodes of a `DaemonSet`, and whether pods that are ending hold nothing.
    fn terms(&self, policy: &PolicyKey, budget: &str, pool: &str) -> (Option<i64>, bool) {
        let budget = self.budgets.get(&(policy.0.clone(), budget.into()));
        let mut shares = budget.into_iter().flat_map(|budget| &budget.spec.shares);
        let share = shares.find(|share| *share.policy == *policy.1 && *share.pool == *pool);
        let nodes = share.and_then(|share| share.replicas_max).map(i64::from);
        (nodes, share.and_then(|share| share.drains).unwrap_or_default())
    }

    /// Most pods of a target at rest as things are. Those that an autoscaler has not taken away yet are there.
    fn pods_max(&self, target: &Object, nodes: Option<i64>) -> i64 {
        let autoscaler = self.autoscaler(&target.key);
        let there = autoscaler.and_then(|_| target.integer("/spec/replicas")).unwrap_or(0);
        allocate::replicas_max(target, autoscaler, None, nodes).max(there)
    }

    /// What the consumers of a policy that cannot be read counted last, with the pods that there may be by now.
    fn last_known(&self, key: &PolicyKey) -> Vec<Consumer> {
        let (namespace, name) = key;
        let from: BudgetKey = (namespace.clone(), "".into());
        let budgets = self.budgets.range(from..).take_while(|((of, _), _)| of == namespace);
        let consumer = |budget: &str, known: &Allocation| {
            let (kind, target) = known.target.split_once('/')?;
            let workers = (known.processes > 1).then(|| ("worker".into(), known.processes));
            let pool: Box<str> = known.pool.as_str().into();
            let load = Load {
                pool: pool.clone(),
                budget: Some(budget.into()),
                size: known.per_process,
                overflow: 0,
                least: known.per_process,
                least_overflow: 0,
                workers,
            };
            let target = ObjectKey::new(Kind::from_name(kind)?, namespace.clone(), target);
            let object = self.objects.shared(&target);
            let told = Pods { max: known.pods_max, surge: known.surge, terminating: known.terminating };
            let pods = object.as_deref().map_or(told, |object| {
                let (nodes, drains) = self.terms(key, budget, &pool);
                told.most(Pods::of(object, self.pods_max(object, nodes), drains))
            });
            let worst = Worst { load, pods };
            Some(Consumer {
                place: Place { budget: budget.into(), target, pool, landing: known.landing.as_deref().map(Into::into) },
                pods,
                peak: Peak::default(),
                could: worst.connections(),
                held: Some(worst.clone()),
                asked: Some(worst),
                lands: true,
                writes: false,
                writing: false,
                progress: object.as_deref().map_or(Progress::Complete, progress),
                ends_untold: pods.terminating > 0 && object.as_deref().is_some_and(ends_untold),
                grace: grace(object.as_deref()),
                presence: Presence::Here,
            })
        };
        budgets
            .flat_map(|((_, budget), object)| {
                let known = object.status.iter().flat_map(|status| &status.allocations);
                known.filter(|known| *known.policy == **name).filter_map(move |known| consumer(budget, known))
            })
            .collect()
    }

    /// What a budget has to give, or what is wrong with it; nothing if there is none of that name.
    fn room(&self, key: &BudgetKey) -> Option<Result<Room, String>> {
        let budget = self.budgets.get(key)?;
        Some(match self.figures.get(key) {
            Some(figures) => Room::of(budget, figures),
            // Whoever leads is about to measure, and until then nobody grows. For people, what was measured last is as good.
            None if self.leader => Room::of(budget, &Figures::unasked(budget)),
            None => Room::of(budget, &Figures::told(budget)),
        })
    }

    /// What a consumer was let in with.
    fn granted(&self, ledger: &Ledger, policy: &PolicyKey, place: &Place) -> Option<Grant> {
        if let Some(granted) = ledger.granted.get(&(policy.clone(), place.clone())) {
            return Some(*granted);
        }
        let known = self.allocation(policy, place)?;
        Some(Grant { connections: known.granted?, share: known.share })
    }

    /// What the status of a budget says of a consumer.
    fn allocation(&self, policy: &PolicyKey, place: &Place) -> Option<&Allocation> {
        let budget = self.budgets.get(&(policy.0.clone(), place.budget.clone()))?;
        budget.status.as_ref()?.allocations.iter().find(|known| {
            (&*known.policy, &*known.pool, &known.landing) == (&*policy.1, &*place.pool, &place.landing)
                && known.target == place.target.short()
        })
    }

    /// What is reserved for a consumer, whoever has reserved it.
    fn reservation(&self, policy: &PolicyKey, place: &Place) -> Option<&Reservation> {
        let budget = self.budgets.get(&(policy.0.clone(), place.budget.clone()))?;
        budget.status.as_ref()?.reservations.iter().find(|known| is_for(known, policy, place))
    }

    /// Connections that are reserved for a consumer, whoever has reserved them.
    fn reserved(&self, policy: &PolicyKey, place: &Place) -> Option<i64> {
        self.reservation(policy, place).map(|known| known.to)
    }

    /// Connections of its reservation that somebody may be about to write: of our own, what is still wanted.
    fn promised(&self, ledger: &Ledger, policy: &PolicyKey, consumer: &Consumer) -> Option<i64> {
        let reserved = self.reserved(policy, &consumer.place)?;
        if consumer.writing || !ledger.has_made(policy, &consumer.place, reserved) {
            return Some(reserved);
        }
        let wanted = ledger.about_to(policy, &consumer.place).unwrap_or(0);
        Some(reserved.min(wanted))
    }

    /// The books of all policies, for a world that nobody steps.
    pub(super) fn all_books(&self, now: Instant) -> Ledger {
        let mut ledger = Ledger::default();
        for (key, entry) in &self.policies {
            let under = |policy: &Policy, target: &ObjectKey| self.under_now(entry, policy, target, now).1;
            let books = self.books(entry, &ledger, &under, now);
            if !books.is_empty() {
                ledger.books.insert(key.clone(), books);
            }
        }
        for budget in self.budgets.keys() {
            if let Some(judged) = self.judge_anew(&ledger, budget) {
                ledger.judged.insert(budget.clone(), judged);
            }
        }
        ledger
    }

    /// Whether what is kept of budgets is what would be found afresh.
    ///
    /// # Errors
    /// Names the first budget of which that is not so: something was forgotten that it follows from.
    pub fn audit(&self) -> Result<(), String> {
        let stale = |(budget, judged): &(&BudgetKey, &Vec<Judged>)| {
            self.judge_anew(&self.ledger, budget).as_ref() != Some(*judged)
        };
        self.ledger.judged.iter().find(stale).map_or(Ok(()), |((namespace, name), _)| {
            Err(format!("what was decided of ConnectionBudget {namespace}/{name} is kept, and does not hold any more"))
        })
    }
}

/// Which pods are counted.
#[derive(Clone, Copy)]
enum Moment {
    /// As the policy asks for.
    Asked,
    /// As they may be without another write of ours.
    Granted,
    /// As they are.
    Live,
}
