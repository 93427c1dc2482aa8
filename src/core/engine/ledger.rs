//! Connection budgets: who consumes one, who may grow, and what its status says.
//!
//! What a policy's pools amount to (its *books*) follows from the policy and its targets alone, and is made up when the policy
//! is looked at. Who may grow follows from the books of everybody who names the budget; [`allocate::settle`] decides it. A
//! change of somebody's books brings everybody else of the budget to be looked at again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Action, Doing, Effect, Entry, World};
use crate::{
    api::{
        ConnectionBudget, ConnectionBudgetStatus,
        budget::{Allocation, MAX_ALLOCATIONS},
        conditions::{ConditionType, Reason},
    },
    core::{
        allocate::{self, Bid, Load, Pods, Room, Verdict, Worst},
        facts::{Instant, Kind, Object, ObjectKey, Progress, Span, progress},
        plan::{Plan, Refusal, landing},
        policy::{Policy, PolicyKey},
        report::{self, Finding, Truth},
        resolve::{self, Rules},
    },
};

/// Namespace and name of a budget.
pub(super) type BudgetKey = (Box<str>, Box<str>);

/// Least time between two statuses of one budget.
const COALESCE: Span = Span::seconds(5);
/// When a status that was handed out, and is not seen on the server, is handed out again.
const PATIENCE: Span = Span::seconds(30);

/// What is known of all budgets' consumers.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    books: BTreeMap<PolicyKey, Books>,
    /// Policies whose books were made up since something was last taken in.
    fresh: BTreeSet<PolicyKey>,
    /// Connections that consumers were let in with. Before this process decided anything, the budget's status says it.
    granted: BTreeMap<(PolicyKey, Place), i64>,
    /// Budgets whose status may say something else than what is found.
    restless: BTreeSet<BudgetKey>,
    /// The status that was handed out last: for which view of the budget, and when.
    reported: BTreeMap<BudgetKey, (Option<String>, Instant, ConnectionBudgetStatus)>,
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
}

/// One pool on one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Consumer {
    place: Place,
    /// Pods that it may have without another write of ours.
    pods: Pods,
    /// With the values that are there; `None`: unknown, because the application's own defaults hold.
    held: Option<Worst>,
    /// With the values that the policy asks for.
    asked: Option<Worst>,
    /// Whether the policy may write to the target.
    writes: bool,
    /// Whether a write of ours is under way of which nobody knows how it ends.
    writing: bool,
    /// Whether pods of before may be there: a write is under way, or a rollout, whoever began it.
    in_flight: bool,
}

/// What was decided of one consumer.
struct Judged<'a> {
    policy: &'a PolicyKey,
    consumer: &'a Consumer,
    bid: Bid,
    verdict: Verdict,
    granted: Option<i64>,
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
    /// What counts: the terms of the larger of the two, if what is asked for was granted.
    fn counted(&self, verdict: &Verdict) -> Option<&Worst> {
        let connections = |worst: &Option<Worst>| worst.as_ref().map_or(0, Worst::connections);
        if connections(&self.held) == verdict.committed { self.held.as_ref() } else { self.asked.as_ref() }
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
        self.reported.clear();
        self.restless.extend(budgets.cloned());
    }

    /// The status of a budget may say something else than what is found.
    pub(super) fn look_at(&mut self, budget: BudgetKey) {
        self.restless.insert(budget);
    }

    pub(super) fn begin(&mut self) {
        self.fresh.clear();
    }

    fn of_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a PolicyKey, &'a Books)> {
        let from: PolicyKey = (namespace.into(), "".into());
        self.books.range(from..).take_while(move |(key, _)| *key.0 == *namespace)
    }
}

impl World {
    /// A budget came, changed or went.
    pub(super) fn budget_changed(&mut self, key: &BudgetKey) {
        self.ledger.restless.insert(key.clone());
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
        let budgets: BTreeSet<Box<str>> = books.budgets().into_iter().map(Into::into).collect();
        self.enter(key, books);
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
            self.enter(&other, books);
        }
    }

    /// A policy is gone, and what its targets hold is nobody's any more.
    pub(super) fn close_books(&mut self, key: &PolicyKey) {
        self.enter(key, Books::default());
        self.ledger.granted.retain(|(policy, _), _| policy != key);
    }

    fn enter(&mut self, key: &PolicyKey, books: Books) {
        self.ledger.fresh.insert(key.clone());
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
        self.ledger.restless.extend(concerned.into_iter().map(|budget| (key.0.clone(), budget)));
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
                books.consumers = self.last_known(entry);
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
                books.consumers = self.last_known(entry);
                return books;
            }
        };
        for target in targets {
            let object = self.objects.shared(&target);
            let unread = object.is_none().then_some(&target).or_else(|| self.unread_autoscaler(&target));
            let (Some(object), None) = (object, unread) else {
                books.unread.extend(unread.cloned());
                continue;
            };
            let under = under(policy, &target);
            let policy = under.as_deref().unwrap_or(policy);
            let plan = self.plan_target(entry, policy, &object, now);
            books.unread.extend(plan.unread.iter().cloned());
            let writes = may_write && !entry.identity.deleting && plan.refusals.is_empty();
            let autoscaler = self.autoscaler(&target).map(|autoscaler| &autoscaler.key);
            let mut touched = documents.iter().chain([&target]).chain(autoscaler);
            // Until a rollout is over, whoever began it, pods of before hold what they were granted.
            let writing = touched.any(|key| self.busy.contains(key) || self.unsure.contains_key(key));
            let in_flight = writing || progress(&object) != Progress::Complete;
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
                // What it could open may not be known yet; others that write the same size make it known.
                books.consumers.push(Consumer { place, pods, held, asked, writes, writing, in_flight });
            }
        }
        books
    }

    /// Pods of a target that may hold connections at the same moment.
    fn pods(&self, policy: &Policy, target: &Object, plan: &Plan, place: &Place, moment: Moment) -> Pods {
        let autoscaler = self.autoscaler(&target.key);
        let budget = self.budgets.get(&(target.key.namespace.clone(), place.budget.clone()));
        let share = budget.and_then(|budget| {
            let shares = budget.spec.shares.iter();
            shares.into_iter().find(|s| *s.policy == *policy.identity.key.1 && *s.pool == *place.pool)
        });
        let nodes = share.and_then(|share| share.replicas_max).map(i64::from);
        let drains = share.and_then(|share| share.drains).unwrap_or_default();
        // What is left to somebody else bounds nothing.
        let yields = plan.conflicts.iter().any(|conflict| conflict.path.starts_with("replicas"));
        let bound = policy.replicas.as_ref().and_then(|replicas| replicas.max).filter(|_| !yields);
        let live = allocate::replicas_max(target, autoscaler, None, nodes);
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

    /// What the consumers of a policy that cannot be read counted last.
    fn last_known(&self, entry: &Entry) -> Vec<Consumer> {
        let (namespace, name) = &entry.identity.key;
        let from: BudgetKey = (namespace.clone(), "".into());
        let budgets = self.budgets.range(from..).take_while(|((of, _), _)| of == namespace);
        let consumer = |budget: &str, known: &Allocation| {
            let (kind, target) = known.target.split_once('/')?;
            let workers = (known.processes > 1).then(|| ("worker".into(), known.processes));
            let pool: Box<str> = known.pool.as_str().into();
            let load =
                Load { pool: pool.clone(), budget: Some(budget.into()), size: known.per_process, overflow: 0, workers };
            let pods = Pods { max: known.pods_max, surge: known.surge, terminating: known.terminating };
            let worst = Worst { load, pods };
            Some(Consumer {
                place: Place {
                    budget: budget.into(),
                    target: ObjectKey::new(Kind::from_name(kind)?, namespace.clone(), target),
                    pool,
                    landing: known.landing.as_deref().map(Into::into),
                },
                pods,
                held: Some(worst.clone()),
                asked: Some(worst),
                writes: false,
                writing: false,
                in_flight: false,
            })
        };
        budgets
            .flat_map(|((_, budget), object)| {
                let known = object.status.iter().flat_map(|status| &status.allocations);
                known.filter(|known| *known.policy == **name).filter_map(move |known| consumer(budget, known))
            })
            .collect()
    }

    /// Connections that a consumer was let in with.
    fn granted(&self, ledger: &Ledger, policy: &PolicyKey, place: &Place) -> Option<i64> {
        if let Some(granted) = ledger.granted.get(&(policy.clone(), place.clone())) {
            return Some(*granted);
        }
        let budget = self.budgets.get(&(policy.0.clone(), place.budget.clone()))?;
        let known = budget.status.as_ref()?.allocations.iter().find(|known| {
            (&*known.policy, &*known.pool, &known.landing) == (&*policy.1, &*place.pool, &place.landing)
                && known.target == place.target.short()
        });
        known?.granted
    }

    /// Decides who of all consumers of a budget may grow.
    fn judge<'a>(&'a self, ledger: &'a Ledger, budget: &'a BudgetKey, room: &Room) -> Vec<Judged<'a>> {
        let mut all: Vec<(Instant, &PolicyKey, &Consumer)> = ledger
            .of_namespace(&budget.0)
            .flat_map(|(key, books)| books.consumers.iter().map(move |consumer| (books.created, key, consumer)))
            .filter(|(.., consumer)| consumer.place.budget == budget.1)
            .collect();
        all.sort_by(|(a, b, c), (d, e, f)| (a, b, &c.place).cmp(&(d, e, &f.place)));
        let connections = |worst: &Option<Worst>| worst.as_ref().map_or(0, Worst::connections);
        let pool = |consumer: &Consumer| {
            let same = |(.., other): &(Instant, &PolicyKey, &Consumer)| {
                consumer.place.landing.is_some()
                    && (&consumer.place.target, &consumer.place.landing) == (&other.place.target, &other.place.landing)
            };
            all.iter().position(same)
        };
        let along = |policy: &PolicyKey, consumer: &Consumer| -> Vec<(usize, i64)> {
            let others = all
                .iter()
                .enumerate()
                .filter(|(_, (_, other, beside))| *other != policy && beside.place.target == consumer.place.target);
            let grows = |(number, (.., beside)): (usize, &(Instant, &PolicyKey, &Consumer))| {
                let connections = consumer.drags(beside)?;
                Some((pool(beside).unwrap_or(number), connections))
            };
            others.filter_map(grows).collect()
        };
        let bids: Vec<(Bid, Option<i64>)> = all
            .iter()
            .enumerate()
            .map(|(number, (_, policy, consumer))| {
                let pool = pool(consumer).unwrap_or(number);
                let granted = self.granted(ledger, policy, &consumer.place);
                let there = connections(&consumer.held);
                let asked = consumer.asked.as_ref().map_or(there, Worst::connections);
                let under_way = granted.filter(|_| consumer.in_flight);
                let held = there.max(under_way.unwrap_or(0));
                let along = along(policy, consumer);
                // What somebody took back is asked for anew, however long pods of before may last.
                let grows = asked > there || !along.is_empty();
                let settled = granted.is_some_and(|granted| {
                    (asked < there && !grows) || (asked <= granted && (!grows || consumer.writing))
                });
                let (under_way, writes) = (under_way.is_some(), consumer.writes);
                (Bid { pool, held, asked, along, settled, under_way, writes }, granted)
            })
            .collect();
        // A pooler that opens more than its database has lets nobody grow.
        let usable = if room.fault().is_some() { 0 } else { room.usable() };
        let verdicts = allocate::settle(usable, &bids.iter().map(|(bid, _)| bid.clone()).collect::<Vec<_>>());
        let judged = all.into_iter().zip(bids).zip(verdicts);
        judged
            .map(|(((_, policy, consumer), (bid, granted)), verdict)| Judged {
                policy,
                consumer,
                bid,
                verdict,
                granted,
            })
            .collect()
    }

    /// Holds what is planned for a target to the budgets that the policy names, and remembers what was granted.
    ///
    /// What is refused leaves everything on the target as it is, whatever the rest of the plan is. `goes_back`: a rollout of ours
    /// has failed there, and what was there before it comes back in any case, unless something grows with it.
    pub(super) fn hold_to_budgets(&mut self, policy: &Policy, target: &ObjectKey, goes_back: bool, plan: &mut Plan) {
        if !is_consumer(policy) {
            return;
        }
        let (refusals, unread, grants, grows) = self.decide(&self.ledger, policy, target);
        for (place, granted) in grants {
            let key = (policy.identity.key.clone(), place);
            if self.ledger.granted.get(&key) != Some(&granted) {
                self.ledger.restless.insert((key.0.0.clone(), key.1.budget.clone()));
                self.ledger.granted.insert(key, granted);
            }
        }
        restrain(plan, refusals, unread, goes_back && !grows);
    }

    /// What keeps the values of a policy from a target, what has to be read before that is known, what is granted, and whether
    /// anything asks for more than pods may have now.
    #[expect(clippy::type_complexity, reason = "four answers to one question")]
    fn decide(
        &self,
        ledger: &Ledger,
        policy: &Policy,
        target: &ObjectKey,
    ) -> (Vec<Refusal>, Vec<ObjectKey>, Vec<(Place, i64)>, bool) {
        let namespace = &policy.identity.key.0;
        let (mut refusals, mut unread, mut grants) = (Vec::new(), Vec::new(), Vec::new());
        let mut refuse = |reason: Reason, message: String| refusals.push(Refusal { reason, message, stalled: false });
        let mut seen = BTreeSet::new();
        let mut grows = false;
        for pool in &policy.pools {
            let Some(name) = pool.budget.as_deref().filter(|name| seen.insert(*name)) else { continue };
            let budget: BudgetKey = (namespace.clone(), name.into());
            let room = match self.budgets.get(&budget).map(Room::of) {
                None => {
                    refuse(
                        Reason::BudgetNotFound,
                        format!(
                            "pools.{}.budget names \"{name}\", and there is no such ConnectionBudget in namespace \
                             \"{namespace}\": create it, or take budget out of the pool",
                            pool.name
                        ),
                    );
                    continue;
                }
                Some(Err(why)) => {
                    refuse(Reason::InvalidSpec, format!("ConnectionBudget \"{name}\" {why}"));
                    continue;
                }
                Some(Ok(room)) => room,
            };
            let judged = self.judge(ledger, &budget, &room);
            let mine = judged
                .iter()
                .filter(|judged| *judged.policy == policy.identity.key && judged.consumer.place.target == *target);
            for Judged { consumer, bid, verdict, granted, .. } in mine {
                grows |= bid.asked > bid.held || !bid.along.is_empty();
                if let (Some(taken), Some(asked)) = (verdict.refused, &consumer.asked) {
                    refuse(Reason::BudgetExceeded, room.refusal(asked, taken));
                } else if !bid.settled {
                    // Nobody grows while it is not known what others have.
                    let shares = |key: &PolicyKey| {
                        if *key == policy.identity.key {
                            // It is out of the table while it is looked at.
                            return true;
                        }
                        let parsed = self.policies.get(key).and_then(|entry| entry.parsed.as_ref().ok());
                        parsed.is_some_and(|policy| named(policy).any(|other| other == name))
                    };
                    let all = ledger.of_namespace(namespace).filter(|(key, _)| shares(key));
                    unread.extend(all.flat_map(|(_, books)| books.unread.clone()));
                }
                if verdict.refused.is_none() && consumer.writes && consumer.asked.is_some() {
                    // What is under way may be more than what is asked for by now.
                    let under_way = granted.filter(|_| consumer.in_flight).unwrap_or(0);
                    grants.push((consumer.place.clone(), bid.asked.max(under_way)));
                }
            }
        }
        (refusals, unread, grants, grows)
    }

    /// The same for people: what would be refused, and the sums.
    pub(super) fn budgeted(
        &self,
        ledger: &Ledger,
        policy: &Policy,
        target: &ObjectKey,
        plan: &mut Plan,
    ) -> Vec<String> {
        let (refusals, unread, ..) = self.decide(ledger, policy, target);
        let refused = !refusals.is_empty();
        restrain(plan, refusals, unread, false);
        let books = ledger.books.get(&policy.identity.key);
        let mine = books.into_iter().flat_map(|books| &books.consumers).filter(|c| c.place.target == *target);
        let sum = |consumer: &Consumer| {
            let budget: BudgetKey = (target.namespace.clone(), consumer.place.budget.clone());
            let room = Room::of(self.budgets.get(&budget)?).ok()?;
            Some(format!("pool {}: {}, of {}", consumer.place.pool, consumer.asked.as_ref()?, room.says()))
        };
        // A refusal says the sum already.
        if refused { Vec::new() } else { mine.filter_map(sum).collect() }
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
        ledger
    }

    /// Writes the statuses of budgets that say something else than what is found.
    pub(super) fn publish_budgets(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for key in self.ledger.restless.clone() {
            let Some(budget) = self.budgets.get(&key) else {
                self.ledger.restless.remove(&key);
                self.ledger.reported.remove(&key);
                continue;
            };
            let status = self.budget_status(&key, budget, now);
            if budget.status.as_ref().is_some_and(|known| says_the_same(known, &status)) {
                self.ledger.restless.remove(&key);
                continue;
            }
            let version = budget.metadata.resource_version.clone();
            let waits = self.ledger.reported.get(&key).is_some_and(|(of, at, said)| {
                let elapsed = now.since(*at);
                let same = *of == version && says_the_same(said, &status);
                elapsed >= Span::ZERO && elapsed < if same { PATIENCE } else { COALESCE }
            });
            if waits {
                continue;
            }
            let uid = budget.metadata.uid.clone().unwrap_or_default();
            self.ledger.reported.insert(key.clone(), (version, now, status.clone()));
            self.emit(Action::BudgetStatus { budget: key, uid, status: Box::new(status) }, Doing::Told, out);
        }
    }

    fn budget_status(&self, key: &BudgetKey, budget: &ConnectionBudget, now: Instant) -> ConnectionBudgetStatus {
        let generation = budget.metadata.generation.unwrap_or_default();
        let known = budget.status.clone().unwrap_or_default();
        let condition = |kind: ConditionType, finding: &Finding| {
            report::condition(kind, finding, generation, &known.conditions, &report::time(now))
        };
        let room = match Room::of(budget) {
            Ok(room) => room,
            Err(why) => {
                let finding = Finding::new(Truth::False, Reason::InvalidSpec, why);
                return ConnectionBudgetStatus {
                    observed_generation: Some(generation),
                    conditions: vec![condition(ConditionType::Ready, &finding)],
                    allocations: known.allocations,
                    ..ConnectionBudgetStatus::default()
                };
            }
        };
        let judged = self.judge(&self.ledger, key, &room);
        let committed = judged.iter().fold(0_i64, |sum, judged| sum.saturating_add(judged.verdict.committed));
        let usable = room.usable();
        let known_terms = |judged: &&Judged<'_>| judged.consumer.held.is_some() || judged.consumer.asked.is_some();
        let mut allocations: Vec<Allocation> = judged.iter().filter(known_terms).map(allocation).collect();
        allocations.sort_by(|a, b| {
            (b.worst_case, &a.policy, &a.pool, &a.target).cmp(&(a.worst_case, &b.policy, &b.pool, &b.target))
        });
        allocations.truncate(MAX_ALLOCATIONS);
        let exceeded = room.fault().or_else(|| {
            let mut worst: Vec<(i64, String)> = judged
                .iter()
                .filter_map(|judged| {
                    let terms = judged.consumer.counted(&judged.verdict)?;
                    Some((judged.verdict.committed, format!("{}: pool {}: {terms}", judged.policy.1, terms.load.pool)))
                })
                .collect();
            worst.sort_by(|a, b| b.cmp(a));
            let sums: Vec<String> = worst.into_iter().take(3).map(|(_, sum)| sum).collect();
            (committed > usable).then(|| {
                format!("pools could open {committed} connections, above {}: {}", room.says(), sums.join("; "))
            })
        });
        let conditions = if let Some(why) = exceeded {
            vec![
                condition(ConditionType::Ready, &Finding::new(Truth::False, Reason::BudgetExceeded, why.clone())),
                condition(ConditionType::Exceeded, &Finding::new(Truth::True, Reason::BudgetExceeded, why)),
            ]
        } else {
            let message = format!("pools could open {committed} connections, of {}", room.says());
            vec![condition(ConditionType::Ready, &Finding::new(Truth::True, Reason::Served, message))]
        };
        ConnectionBudgetStatus {
            observed_generation: Some(generation),
            conditions,
            usable: Some(usable),
            committed: Some(committed),
            free: Some(usable.saturating_sub(committed)),
            allocations,
        }
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

/// Takes out of a plan what may not be done now.
fn restrain(plan: &mut Plan, refusals: Vec<Refusal>, unread: Vec<ObjectKey>, goes_back: bool) {
    if (refusals.is_empty() && unread.is_empty()) || plan.steps.is_empty() && refusals.is_empty() {
        return;
    }
    plan.refusals.extend(refusals);
    plan.unread.extend(unread);
    if !goes_back {
        plan.steps.clear();
    }
}

fn allocation(judged: &Judged<'_>) -> Allocation {
    let Judged { policy, consumer, bid, verdict, granted } = judged;
    let terms = consumer.counted(verdict).or(consumer.asked.as_ref());
    let pods = terms.map_or(Pods::default(), |terms| terms.pods);
    Allocation {
        policy: policy.1.to_string(),
        pool: consumer.place.pool.to_string(),
        target: consumer.place.target.short(),
        landing: consumer.place.landing.clone(),
        per_process: terms.map_or(0, |terms| terms.load.connections()),
        processes: terms.map_or(1, |terms| terms.load.processes()),
        pods_max: pods.max,
        surge: pods.surge,
        terminating: pods.terminating,
        worst_case: verdict.committed,
        granted: *granted,
        refused: verdict.refused.map(|_| bid.asked),
    }
}

/// Whether two statuses say the same, whatever the times of their conditions.
fn says_the_same(a: &ConnectionBudgetStatus, b: &ConnectionBudgetStatus) -> bool {
    let timeless = |status: &ConnectionBudgetStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.last_transition_time = report::time(Instant::default());
        }
        status
    };
    timeless(a) == timeless(b)
}
