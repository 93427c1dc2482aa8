//! Who of all consumers of a budget may grow, and how much of it each gets.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use super::{BudgetKey, Consumer, Grant, Ledger, Place, Presence, Want, named};
use crate::{
    api::conditions::Reason,
    core::{
        allocate::{self, Bid, Claim, Load, Pods, Room, Verdict, Worst, shares},
        engine::World,
        facts::{Instant, ObjectKey, Progress},
        plan::{Change, Plan, Refusal, Step},
        policy::{Policy, PolicyKey},
        report::{Finding, Truth},
        resolve::Shares,
    },
};

/// What was decided of one consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub policy: PolicyKey,
    pub consumer: Consumer,
    pub bid: Bid,
    pub verdict: Verdict,
    pub granted: Option<Grant>,
    /// Connections per process that it gets of the budget, if that has enough for all who are let in.
    pub share: Option<i64>,
    /// Connections per process that are asked for: its share, or its least.
    pub level: i64,
    /// Whether what everybody gets fits, so that who has to wait will get it.
    pub fits: bool,
    /// Whether the budget's owner allows less than it needs.
    pub forbidden: Option<Claim>,
    /// What everybody else has or gets, where not even its least fits beside that.
    pub crowded: Option<i64>,
    /// Connections that it could open at worst with the values that are there now.
    pub there: i64,
}

/// What a target gets of the budgets that its policy names.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is true if it is true of any of the pools")]
pub(in crate::core::engine) struct Decision {
    /// Most that sizes of pools may be.
    pub shares: Shares,
    /// What keeps the values of the policy from the target.
    refusals: Vec<Refusal>,
    /// Objects that have to be read before it is known.
    unread: Vec<ObjectKey>,
    /// Connections of one pod that each pool gets, with the name of its budget.
    levels: BTreeMap<Box<str>, (i64, Box<str>)>,
    /// Pools of which neither what they have is known, nor what they would have: their size has failed, and nothing was there before.
    unknown: BTreeSet<Box<str>>,
    /// What is granted.
    grants: Vec<(Place, Grant)>,
    /// What grows with the write, beyond what is there.
    grows: Vec<(PolicyKey, Place, i64)>,
    /// Whom a pool that grows waits for.
    waits: Vec<String>,
    /// Pools that become larger, as far as they do not keep what they have for now.
    raises: BTreeSet<Box<str>>,
    /// Whether pods that are ending count, so that one rollout has to end before the next.
    lingers: bool,
    /// Whether pods are there that hold more than what the policy asks for now.
    shrinks: bool,
    /// Whether pods of a rollout that looks complete may still be ending.
    ending: bool,
    /// Whether what is refused or has to wait is more than what is there.
    exceeds: bool,
}

impl World {
    /// Decides who of all consumers of a budget may grow.
    pub(super) fn judge(&self, ledger: &Ledger, budget: &BudgetKey, room: &Room) -> Vec<Judged> {
        let mut all: Vec<One<'_>> = ledger
            .of_namespace(&budget.0)
            .flat_map(|(key, books)| books.consumers.iter().map(move |consumer| (books.created, key, consumer)))
            .filter(|(.., consumer)| consumer.place.budget == budget.1)
            .collect();
        all.sort_by(|(a, b, c), (d, e, f)| (a, b, &c.place).cmp(&(d, e, &f.place)));
        let connections = |worst: &Option<Worst>| worst.as_ref().map_or(0, Worst::connections);
        let mut on: BTreeMap<&ObjectKey, Vec<usize>> = BTreeMap::new();
        for (number, (.., consumer)) in all.iter().enumerate() {
            on.entry(&consumer.place.target).or_default().push(number);
        }
        let pools: Vec<usize> = all.iter().enumerate().map(|(number, one)| pool(&all, &on, number, one)).collect();
        let along = |policy: &PolicyKey, consumer: &Consumer| -> Vec<(usize, i64)> {
            let others = beside(&all, &on, consumer).filter(|(_, (_, other, _))| *other != policy);
            let grows =
                |(number, (.., beside)): (usize, &One<'_>)| Some((*pools.get(number)?, consumer.drags(beside)?));
            others.filter_map(grows).collect()
        };
        let held: Vec<(i64, Option<Grant>)> = all
            .iter()
            .map(|(_, policy, consumer)| {
                let granted = self.granted(ledger, policy, &consumer.place);
                let under_way = granted.filter(|_| consumer.in_flight()).map_or(0, |granted| granted.connections);
                let reserved = self.promised(ledger, policy, consumer).unwrap_or(0);
                let there = connections(&consumer.held).max(consumer.peak.connections());
                // What it says of its processes is the best that is known, as long as it may not write their number.
                let could = if consumer.writes { 0 } else { consumer.could };
                (there.max(could).max(under_way).max(reserved), granted)
            })
            .collect();
        // A pooler that opens more than its database has lets nobody grow.
        let Levels { claims, shares, total, fits } = levels(room.shared(), room, &all, &pools, &held);
        let crowded = |number: usize| {
            let claim = claims.get(number).copied().flatten()?;
            let is_refused = shares.get(number).copied().flatten().is_none();
            is_refused.then(|| total.saturating_sub(claim.unit.saturating_mul(claim.has.unwrap_or(0))))
        };
        let level = |number: usize, consumer: &Consumer| match claims.get(number).copied().flatten() {
            Some(claim) => {
                let share = shares.get(number).copied().flatten();
                share.unwrap_or(claim.least).min(claim.most.max(claim.least))
            }
            None => consumer.asked.as_ref().map_or(0, |asked| asked.load.connections()),
        };
        let bids: Vec<Bid> = all
            .iter()
            .enumerate()
            .zip(&held)
            .map(|((number, (_, policy, consumer)), (held, granted))| {
                let there = connections(&consumer.held);
                let claim = claims.get(number).copied().flatten();
                let asked = match (&consumer.asked, claim) {
                    (Some(asked), Some(_)) => {
                        // Pods that are still there count with what they would have then.
                        let pods = asked.pods.most(consumer.peak.pods);
                        Worst { pods, ..asked.at(level(number, consumer)) }.connections()
                    }
                    (Some(asked), None) => asked.connections(),
                    (None, _) => there,
                };
                let along = along(policy, consumer);
                // What somebody took back is asked for anew, however long pods of before may last.
                let grows = asked > there || !along.is_empty();
                // Less is better, even if it is still too much.
                let settled = (asked < there && !grows)
                    || granted.is_some_and(|granted| asked <= granted.connections && (!grows || consumer.writing));
                let under_way = granted.is_some() && consumer.in_flight();
                let pool = pools.get(number).copied().unwrap_or(number);
                let writes = consumer.writes && crowded(number).is_none();
                Bid { pool, held: *held, asked, along, settled, under_way, writes }
            })
            .collect();
        let verdicts = allocate::settle(room.growable(), &bids);
        let judged = all.into_iter().zip(held).zip(bids).zip(verdicts).enumerate();
        judged
            .map(|(number, ((((_, policy, consumer), (_, granted)), bid), verdict))| Judged {
                policy: policy.clone(),
                consumer: consumer.clone(),
                bid,
                verdict,
                granted,
                share: shares.get(number).copied().flatten(),
                level: level(number, consumer),
                fits,
                forbidden: claims.get(number).copied().flatten().filter(|claim| claim.most < claim.least),
                crowded: crowded(number),
                there: connections(&consumer.held),
            })
            .collect()
    }

    /// What a target gets of the budgets that its policy names.
    pub(in crate::core::engine) fn budgets_for(&mut self, policy: &Policy, target: &ObjectKey) -> Decision {
        let namespace = &policy.identity.key.0;
        for name in named(policy) {
            let budget: BudgetKey = (namespace.clone(), name.into());
            if !self.ledger.judged.contains_key(&budget)
                && let Some(judged) = self.judge_anew(&self.ledger, &budget)
            {
                self.ledger.judged.insert(budget, judged);
            }
        }
        self.decide(&self.ledger, policy, target)
    }

    /// What is decided of everybody who names a budget; nothing if there is none of that name, or its numbers make no sense.
    pub(super) fn judge_anew(&self, ledger: &Ledger, budget: &BudgetKey) -> Option<Vec<Judged>> {
        Some(self.judge(ledger, budget, &self.room(budget)?.ok()?))
    }

    /// What budgets give the pools of a target, by the books of a world that nobody has stepped yet.
    pub(in crate::core::engine) fn shares_in(&self, ledger: &Ledger, policy: &Policy, target: &ObjectKey) -> Shares {
        self.decide(ledger, policy, target).shares
    }

    /// Holds what is planned for a target to what was decided, and remembers what was granted.
    ///
    /// What is refused leaves everything on the target as it is, whatever the rest of the plan is. `goes_back`: a rollout of ours
    /// has failed there, and what was there before it comes back in any case, unless something grows with it.
    pub(in crate::core::engine) fn hold_to_budgets(
        &mut self,
        policy: &PolicyKey,
        target: &ObjectKey,
        decision: &mut Decision,
        goes_back: bool,
        plan: &mut Plan,
    ) {
        decision.hold(plan);
        decision.look_at(policy, target, plan);
        self.keep_reservations(policy, target, decision);
        for (place, granted) in std::mem::take(&mut decision.grants) {
            let key = (policy.clone(), place);
            if self.ledger.granted.get(&key) != Some(&granted) {
                let budget = (key.0.0.clone(), key.1.budget.clone());
                self.ledger.judged.remove(&budget);
                self.ledger.restless.insert(budget);
                self.ledger.granted.insert(key, granted);
            }
        }
        let grows = decision.exceeds || !decision.grows.is_empty();
        restrain(plan, decision, goes_back && !grows);
    }

    /// Gives up what was reserved for a target and does not grow any more.
    pub(in crate::core::engine) fn keep_reservations(
        &mut self,
        policy: &PolicyKey,
        target: &ObjectKey,
        decision: &Decision,
    ) {
        let of = (policy.clone(), target.clone());
        let grows = |(whose, place): &(PolicyKey, Place), to: i64| {
            decision.grows.iter().any(|(a, b, most)| (a, b, *most) == (whose, place, to))
        };
        self.ledger.want_only(|of_whom, want| want.of != of || grows(of_whom, want.to));
    }

    /// Gives up everything that was reserved for a target.
    pub(in crate::core::engine) fn give_up_growth(&mut self, policy: &PolicyKey, target: &ObjectKey) {
        self.keep_reservations(policy, target, &Decision::default());
    }

    /// Whether the growth that a write brings is reserved. If not, it is asked for, and the write waits.
    pub(in crate::core::engine) fn reserve(
        &mut self,
        whose: &PolicyKey,
        target: &ObjectKey,
        step: &Step,
        decision: &Decision,
    ) -> Result<(), Finding> {
        if decision.lets_go(step) {
            return Ok(());
        }
        if let Some(message) = decision.waits.first() {
            return Err(Finding::new(Truth::False, Reason::WaitingForBudget, message.clone()));
        }
        let mut missing = None;
        for (policy, place, to) in &decision.grows {
            let budget: BudgetKey = (policy.0.clone(), place.budget.clone());
            let want = Want { to: *to, of: (whose.clone(), target.clone()) };
            let reserved = self.reserved(policy, place);
            let wanted = self.ledger.wanted.entry(budget.clone()).or_default();
            let before = wanted.insert((policy.clone(), place.clone()), want.clone());
            // What was reserved, and was not wanted any more, counts again.
            if reserved.is_some() && before != Some(want) {
                self.ledger.judged.remove(&budget);
            }
            if reserved.is_some_and(|reserved| reserved >= *to) {
                continue;
            }
            self.ledger.restless.insert(budget.clone());
            missing.get_or_insert_with(|| place.budget.clone());
            self.ledger.urgent.insert(budget);
        }
        missing.map_or(Ok(()), |budget| {
            let message = format!("connections are being reserved in ConnectionBudget \"{budget}\"");
            Err(Finding::new(Truth::False, Reason::Pending, message))
        })
    }

    fn decide(&self, ledger: &Ledger, policy: &Policy, target: &ObjectKey) -> Decision {
        let namespace = &policy.identity.key.0;
        let mut decision = Decision::default();
        let mut seen = BTreeSet::new();
        for pool in &policy.pools {
            let Some(name) = pool.budget.as_deref().filter(|name| seen.insert(*name)) else { continue };
            let budget: BudgetKey = (namespace.clone(), name.into());
            let room = match self.room(&budget) {
                None => {
                    decision.refuse(
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
                    decision.refuse(Reason::InvalidSpec, format!("ConnectionBudget \"{name}\" {why}"));
                    continue;
                }
                Some(Ok(room)) => room,
            };
            let judged = ledger.judged.get(&budget).map_or(&[][..], Vec::as_slice);
            let mine = judged
                .iter()
                .filter(|judged| judged.policy == policy.identity.key && judged.consumer.place.target == *target);
            for one in mine {
                self.decide_one(ledger, &room, judged, one, &mut decision);
            }
        }
        decision
    }

    /// What one pool on a target gets.
    fn decide_one(&self, ledger: &Ledger, room: &Room, judged: &[Judged], one: &Judged, decision: &mut Decision) {
        let Judged { policy, consumer, bid, verdict, granted, .. } = one;
        let Some(asked) = &consumer.asked else {
            if consumer.presence == Presence::Here && consumer.held.is_none() {
                decision.unknown.insert(consumer.place.pool.clone());
            }
            return;
        };
        let grows = bid.asked > one.there || !bid.along.is_empty();
        let taken = verdict.refused.or(one.crowded);
        let refused = taken.is_some() || one.forbidden.is_some();
        decision.exceeds |= refused && (asked.connections().max(bid.asked) > bid.held || !bid.along.is_empty());
        if let Some(claim) = one.forbidden {
            let reason = if room.frozen().is_some() { Reason::WaitingForBudget } else { Reason::BudgetExceeded };
            decision.refuse(reason, room.forbids(&policy.1, asked, claim));
            return;
        }
        if let (Some(taken), None) = (taken, one.share.filter(|_| one.fits)) {
            let reason = if room.frozen().is_some() { Reason::WaitingForBudget } else { Reason::BudgetExceeded };
            decision.refuse(reason, room.refusal(&asked.at(asked.load.least), taken));
            return;
        }
        if !bid.settled {
            // Nobody grows while it is not known what others have.
            let shares = |key: &PolicyKey| {
                if key == policy {
                    // It is out of the table while it is looked at.
                    return true;
                }
                let parsed = self.policies.get(key).and_then(|entry| entry.parsed.as_ref().ok());
                parsed.is_some_and(|policy| named(policy).any(|other| other == room.name()))
            };
            let all = ledger.of_namespace(&policy.0).filter(|(key, _)| shares(key));
            decision.unread.extend(all.flat_map(|(_, books)| books.unread.clone()));
        }
        let mut level = one.level;
        if verdict.refused.is_some() {
            // There will be room: others have yet to let go. Until then it keeps what it has.
            let has = consumer.held.as_ref().map(|held| held.load.connections());
            let keeps = has.filter(|has| *has > 0 && *has < level && bid.along.is_empty());
            level = keeps.unwrap_or(level);
            decision.waits.push(waits_for(room, judged, one));
        }
        let held = consumer.held.as_ref().map_or(0, |held| held.load.per_pod());
        let per_pod = level.saturating_mul(asked.load.processes());
        decision.levels.insert(consumer.place.pool.clone(), (per_pod, consumer.place.budget.clone()));
        if per_pod > held || !bid.along.is_empty() {
            decision.raises.insert(consumer.place.pool.clone());
        }
        decision.ending |= consumer.peak.until.is_some();
        decision.lingers |= consumer.pods.terminating > 0 || asked.pods.terminating > 0;
        decision.shrinks |= per_pod < held.max(consumer.peak.per_pod);
        if level < asked.load.connections() {
            let at = asked.at(level);
            decision.shares.insert(format!("pools.{}.size", consumer.place.pool).into(), at.load.size);
            decision.shares.insert(format!("pools.{}.overflow", consumer.place.pool).into(), at.load.overflow);
        }
        if verdict.refused.is_some() {
            return;
        }
        if grows && consumer.writes {
            decision.grow(policy, &consumer.place, bid.asked);
            for (pool, connections) in &bid.along {
                if let Some(other) = judged.iter().find(|other| other.bid.pool == *pool) {
                    decision.grow(&other.policy, &other.consumer.place, *connections);
                }
            }
        }
        if consumer.writes {
            // What is under way may be more than what is asked for by now.
            let under_way = granted.filter(|_| consumer.in_flight()).map_or(0, |granted| granted.connections);
            let grant = Grant { connections: bid.asked.max(under_way), share: Some(one.level) };
            decision.grants.push((consumer.place.clone(), grant));
        }
    }

    /// The same for people: what is planned for a target within what budgets give it, and the sums.
    pub(in crate::core::engine) fn budgeted(
        &self,
        ledger: &Ledger,
        policy: &Policy,
        target: &ObjectKey,
        plan: impl FnOnce(&Shares) -> Plan,
    ) -> (Plan, Vec<String>) {
        let mut decision = self.decide(ledger, policy, target);
        let mut plan = plan(&decision.shares);
        decision.hold(&plan);
        let refused = !decision.refusals.is_empty();
        let shares = std::mem::take(&mut decision.shares);
        restrain(&mut plan, &mut decision, false);
        let books = ledger.books.get(&policy.identity.key);
        let mine = books.into_iter().flat_map(|books| &books.consumers).filter(|c| c.place.target == *target);
        let sum = |consumer: &Consumer| {
            let budget: BudgetKey = (target.namespace.clone(), consumer.place.budget.clone());
            let room = self.room(&budget)?.ok()?;
            let of = |member: &str| shares.get(format!("pools.{}.{member}", consumer.place.pool).as_str()).copied();
            let asked = consumer.asked.as_ref()?;
            let asked = match (of("size"), of("overflow")) {
                (Some(size), Some(overflow)) => asked.at(size + overflow),
                _ => asked.clone(),
            };
            Some(format!("pool {}: {asked}, of {}", consumer.place.pool, room.says()))
        };
        // A refusal says the sum already.
        let mut sums: Vec<String> = if refused { Vec::new() } else { mine.filter_map(sum).collect() };
        sums.append(&mut decision.waits);
        (plan, sums)
    }
}

impl Decision {
    fn refuse(&mut self, reason: Reason, message: String) {
        self.refusals.push(Refusal { reason, message, stalled: false });
    }

    /// Notes that a pool grows. One that two policies count grows once, to the larger of what they say.
    fn grow(&mut self, policy: &PolicyKey, place: &Place, to: i64) {
        match self.grows.iter_mut().find(|(whose, known, _)| (whose, known) == (policy, place)) {
            Some((.., most)) => *most = to.max(*most),
            None => self.grows.push((policy.clone(), place.clone(), to)),
        }
    }

    /// Refuses a plan after which a pool would have more than it gets, because not all of its numbers can be written: one may be
    /// somebody else's, or have failed and be in quarantine.
    fn hold(&mut self, plan: &Plan) {
        // An overflow beside a size that nobody knows would be more than is counted.
        let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<i64>().ok());
        let grows = |change: &&Change| number(&change.to) > number(&change.from);
        let is_of = |pool: &str, change: &Change| {
            change
                .path
                .strip_prefix("pools.")
                .is_some_and(|rest| rest.split_once('.').is_some_and(|(of, _)| of == pool))
        };
        let half = self.unknown.iter().find(|pool| plan.changes.iter().filter(grows).any(|one| is_of(pool, one)));
        if let Some(pool) = half.cloned() {
            let message = format!(
                "the size of pool {pool} has failed and is in quarantine, and nobody knows what the application has without it, so \
                 that what the rest would add is not written: change the size, or wait"
            );
            self.refuse(Reason::BudgetExceeded, message);
            self.exceeds = true;
            return;
        }
        let has = |pool: &str| plan.held.iter().find(|load| *load.pool == *pool).map_or(0, Load::per_pod);
        let over = plan.loads.iter().find_map(|load| {
            let (gets, budget) = self.levels.get(&load.pool)?;
            (load.per_pod() > has(&load.pool).max(*gets)).then_some((load, *gets, budget))
        });
        let Some((load, gets, budget)) = over else { return };
        let message = format!(
            "pool {} would have ({} + {}) connections × {} processes in each pod, of the {gets} that budget \"{budget}\" gives it, \
             because one of its numbers stays as it is: it is somebody else's, or has failed and is in quarantine. Make the other \
             one smaller, or wait",
            load.pool,
            load.size,
            load.overflow,
            load.processes()
        );
        self.refuse(Reason::BudgetExceeded, message);
        self.exceeds = true;
        self.grants.clear();
        self.grows.clear();
    }

    /// Leaves out of what grows what the plan does not write: it may be somebody else's, or have failed.
    fn look_at(&mut self, policy: &PolicyKey, target: &ObjectKey, plan: &Plan) {
        let changes = |prefix: &str| plan.changes.iter().any(|change| change.path.starts_with(prefix));
        let shared = changes("workers.") || changes("replicas");
        let writes = |pool: &str| shared || changes(&format!("pools.{pool}."));
        self.raises.retain(|pool| writes(pool));
        let any = shared || changes("pools.");
        self.grows.retain(
            |(whose, place, _)| {
                if whose == policy && place.target == *target { writes(&place.pool) } else { any }
            },
        );
    }

    /// Whether pods of one rollout have to be gone before the next begins: else more of them would be ending than are counted.
    pub(in crate::core::engine) fn waits_for_rollout(&self, step: &Step, progress: &Progress) -> bool {
        self.lingers && step.is_disruptive() && (self.ending || *progress == Progress::Running)
    }

    /// Whether a step leaves everything that pools could open as it is, or less: fewer pods, or no larger pool.
    fn lets_go(&self, step: &Step) -> bool {
        match step.pods() {
            Some(way) => way != Ordering::Greater,
            None => self.raises.is_empty(),
        }
    }

    /// Why the first step of a plan waits although there will be room for it, or why there is none yet.
    pub(in crate::core::engine) fn waits(&self, plan: &Plan) -> Option<Finding> {
        let finding = |message: String| Finding::new(Truth::False, Reason::WaitingForBudget, message);
        let first = plan.steps.first();
        if first.is_some_and(|step| step.pods() == Some(Ordering::Greater)) && self.shrinks {
            return Some(finding("more pods come when all pods have the smaller pools".into()));
        }
        let waits = first.is_none_or(|step| !self.lets_go(step));
        self.waits.first().filter(|_| waits).cloned().map(finding)
    }
}

/// A consumer, with when its policy was created.
type One<'a> = (Instant, &'a PolicyKey, &'a Consumer);

/// Everybody on the workload of a consumer, with their numbers.
fn beside<'a>(
    all: &'a [One<'a>],
    on: &'a BTreeMap<&ObjectKey, Vec<usize>>,
    consumer: &Consumer,
) -> impl Iterator<Item = (usize, &'a One<'a>)> {
    let numbers = on.get(&consumer.place.target).into_iter().flatten();
    numbers.filter_map(|number| Some((*number, all.get(*number)?)))
}

/// Which pool the consumer of a number is: the first that has its size in the same place.
///
/// What has moved is the pool that it has become, unless another policy says that it goes on.
fn pool(all: &[One<'_>], on: &BTreeMap<&ObjectKey, Vec<usize>>, number: usize, one: &One<'_>) -> usize {
    let first = |number: usize, consumer: &Consumer| {
        let landing = consumer.place.landing.as_ref();
        let mut all = beside(all, on, consumer);
        let same =
            landing.and_then(|landing| all.find(|(_, (.., other))| other.place.landing.as_ref() == Some(landing)));
        same.map_or(number, |(number, _)| number)
    };
    let (_, policy, consumer) = one;
    let goes_on =
        |(_, (_, other, beside)): (usize, &One<'_>)| other != policy && beside.place.landing == consumer.place.landing;
    let became = |(_, (_, other, beside)): &(usize, &One<'_>)| {
        other == policy && beside.place.pool == consumer.place.pool && beside.presence == Presence::Here
    };
    let has_moved = consumer.presence == Presence::Left && !beside(all, on, consumer).any(goes_on);
    let became = beside(all, on, consumer).find(became).filter(|_| has_moved);
    became.map_or_else(|| first(number, consumer), |(number, (.., became))| first(number, became))
}

/// What each consumer claims, what it gets per process, and whether all of that fits together.
struct Levels {
    claims: Vec<Option<Claim>>,
    shares: Vec<Option<i64>>,
    /// All of it at worst, with what is kept by those who claim nothing.
    total: i64,
    fits: bool,
}

/// Works them out.
///
/// Who asks for more pods of a workload asks for them on behalf of every pool there. Who is refused is no reason for others to
/// make room for its pods.
fn levels(usable: i64, room: &Room, all: &[One<'_>], pools: &[usize], held: &[(i64, Option<Grant>)]) -> Levels {
    let mut refused: BTreeSet<usize> = BTreeSet::new();
    loop {
        let levels = levels_without(&refused, usable, room, all, pools, held);
        let before = refused.len();
        let is_refused = |number: &usize| {
            levels.claims.get(*number).is_some_and(Option::is_some)
                && levels.shares.get(*number).is_some_and(Option::is_none)
        };
        refused.extend((0..all.len()).filter(is_refused));
        if refused.len() == before {
            return levels;
        }
    }
}

/// The same if some are known to be refused.
fn levels_without(
    refused: &BTreeSet<usize>,
    usable: i64,
    room: &Room,
    all: &[One<'_>],
    pools: &[usize],
    held: &[(i64, Option<Grant>)],
) -> Levels {
    let mut wanted: BTreeMap<&ObjectKey, Pods> = BTreeMap::new();
    for (_, (.., consumer)) in all.iter().enumerate().filter(|(number, _)| !refused.contains(number)) {
        if let Some(asked) = consumer.asked.as_ref().filter(|_| consumer.writes) {
            let pods = wanted.entry(&consumer.place.target).or_default();
            *pods = pods.most(asked.pods);
        }
    }
    let mut claims: Vec<Option<Claim>> = Vec::with_capacity(all.len());
    let mut claimed = BTreeSet::new();
    for (number, ((_, policy, consumer), (pool, (_, granted)))) in all.iter().zip(pools.iter().zip(held)).enumerate() {
        let asked = consumer.asked.as_ref().filter(|_| consumer.writes && !claimed.contains(pool));
        let claim = asked.map(|asked| {
            if !refused.contains(&number) {
                claimed.insert(*pool);
            }
            let held = consumer.held.as_ref().map(|held| &held.load);
            let share = granted.and_then(|granted| granted.share);
            // Who was given less by a person has that. Who has the size of its share has the share: an overflow that is missing has
            // failed, and to make up for it with another size would be to fall and to rise for ever.
            let has = match (share, held) {
                (Some(share), Some(held)) if !consumer.in_flight() && held.size < asked.at(share).load.size => {
                    Some(share.min(held.connections()))
                }
                (Some(share), _) => Some(share),
                (None, held) => held.map(Load::connections),
            };
            let of_others = wanted.get(&consumer.place.target).copied().unwrap_or_default();
            let pods = if of_others.max > asked.pods.max { asked.pods.raised(of_others) } else { asked.pods };
            room.claim(&policy.1, asked, pods, has.filter(|has| *has > 0))
        });
        claims.push(claim);
    }
    // Whoever claims nothing has what is there.
    let mut others: BTreeMap<usize, i64> = BTreeMap::new();
    for (pool, (held, _)) in pools.iter().zip(held).filter(|(pool, _)| !claimed.contains(pool)) {
        let most = others.entry(*pool).or_default();
        *most = (*most).max(*held);
    }
    let left = others.values().fold(usable, |left, held| left.saturating_sub(*held));
    let served = |number: usize| claims.get(number).copied().flatten().filter(|_| !refused.contains(&number));
    let list: Vec<Claim> = (0..claims.len()).filter_map(served).collect();
    let given = shares(left, &list);
    let total = list.iter().zip(&given).fold(0_i64, |sum, (claim, given)| {
        sum.saturating_add(claim.unit.saturating_mul(given.or(claim.has).unwrap_or(0)))
    });
    let mut given = given.into_iter();
    let shares = (0..claims.len()).map(|number| served(number).and_then(|_| given.next().flatten())).collect();
    Levels { claims, shares, total: usable.saturating_sub(left).saturating_add(total), fits: total <= left }
}

/// Who has more than it gets, and is on the way to it.
fn waits_for(room: &Room, judged: &[Judged], one: &Judged) -> String {
    let mut others: Vec<(i64, String)> = judged
        .iter()
        .filter(|other| other.bid.pool != one.bid.pool)
        .filter(|other| other.bid.asked < other.bid.held || other.consumer.presence != Presence::Here)
        .map(|other| {
            let Judged { policy, consumer, bid, .. } = other;
            let place = &consumer.place;
            let stuck = match &consumer.progress {
                _ if consumer.presence != Presence::Here && consumer.progress == Progress::Complete => {
                    "it is gone, and its pods have yet to end"
                }
                Progress::Complete if consumer.peak.until.is_some() => "its pods of before have yet to end",
                Progress::Failed { .. } => "its rollout is stuck: look at its pods",
                Progress::Paused => "its rollout is paused: resume it",
                Progress::AwaitingManual => "its pods wait for somebody to delete them",
                Progress::Running => "its rollout is under way",
                Progress::Complete if consumer.writing => "its rollout is under way",
                Progress::Complete if (policy, &place.target) == (&one.policy, &one.consumer.place.target) => {
                    "that would come with the same write: make it smaller first, by itself"
                }
                Progress::Complete => "it has yet to begin",
            };
            let lets = if consumer.presence == Presence::Here { bid.held - bid.asked } else { bid.held };
            (
                lets,
                format!(
                    "pool {} of policy \"{}\" on {} lets go of {lets} ({stuck})",
                    place.pool,
                    policy.1,
                    place.target.short()
                ),
            )
        })
        .collect();
    others.sort_by(|a, b| b.cmp(a));
    let others: Vec<String> = others.into_iter().take(3).map(|(_, text)| text).collect();
    let pool = &one.consumer.place.pool;
    let (there, asked) = (one.there, one.bid.asked);
    let grows = format!("pool {pool} grows from {there} to {asked} connections of budget \"{}\"", room.name());
    if let Some(freeze) = room.freeze() {
        format!("{grows} when that is known again: {freeze}")
    } else if others.is_empty() {
        format!("{grows} when older policies have what they were promised")
    } else {
        format!("{grows} when {}", others.join(", and "))
    }
}

/// Takes out of a plan what may not be done now.
fn restrain(plan: &mut Plan, decision: &mut Decision, goes_back: bool) {
    let refusals = std::mem::take(&mut decision.refusals);
    let unread = std::mem::take(&mut decision.unread);
    if (refusals.is_empty() && unread.is_empty()) || plan.steps.is_empty() && refusals.is_empty() {
        return;
    }
    plan.refusals.extend(refusals);
    plan.unread.extend(unread);
    if !goes_back {
        plan.steps.clear();
    }
}
