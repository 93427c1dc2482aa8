//! Connection budgets: what pools could open at worst, and who may grow.
//!
//! Pure arithmetic, which `lint`, `plan` and the controller share. Terms are kept, so that whoever refuses prints the sum and
//! not only its result. How much of it each pool gets is worked out in `share`, and when it may grow by [`settle`];
//! what is measured of a database, in `figure`.

mod figure;
mod share;

use std::{collections::BTreeMap, fmt};

pub use self::{
    figure::{Course, Figure, Figures, Gauge, LASTS, Number, Standing, Unread},
    share::{Claim, shares},
};

use super::{
    facts::{Kind, Object, Rounding, portion},
    units::{Decimal, Value, ValueType},
};
use crate::api::{
    ConnectionBudget, ConnectionBudgetSpec,
    budget::{DEFAULT_HEADROOM, DEFAULT_RESERVED, Pooler, PoolerMode, Share},
    conditions::Reason,
};

/// What one pool of a policy adds up to in one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Name of the pool.
    pub pool: Box<str>,
    /// Name of the `ConnectionBudget` that it counts against.
    pub budget: Option<Box<str>>,
    /// Connections that one pool keeps.
    pub size: i64,
    /// Connections beyond them under load.
    pub overflow: i64,
    /// Connections of one pool that are enough for the policy, if its budget has no more.
    pub least: i64,
    /// Connections of the overflow that are among them.
    pub least_overflow: i64,
    /// The process workers each of which has a pool, and how many there are.
    pub workers: Option<(Box<str>, i64)>,
}

impl Load {
    /// Connections of one pool.
    #[must_use]
    pub const fn connections(&self) -> i64 {
        self.size.saturating_add(self.overflow)
    }

    /// Pools in one pod.
    #[must_use]
    pub fn processes(&self) -> i64 {
        self.workers.as_ref().map_or(1, |(_, count)| *count)
    }

    /// Connections of one pod.
    #[must_use]
    pub fn per_pod(&self) -> i64 {
        self.connections().saturating_mul(self.processes())
    }
}

/// Pods of a workload that may hold connections at the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// Most pods at rest.
    pub max: i64,
    /// Pods beyond them while a rollout is under way.
    pub surge: i64,
    /// Pods that are ending while a rollout is under way: they count neither as pods nor as surge, and hold their connections.
    pub terminating: i64,
}

impl Pods {
    /// Pods of `target` at worst.
    ///
    /// `max` is the largest number at rest: see [`replicas_max`]. What a rollout adds follows from the update strategy, rounded
    /// as Kubernetes rounds:
    ///
    /// | workload | surge | ending |
    /// |---|---|---|
    /// | Deployment, `RollingUpdate` | `maxSurge`, 25 % unless it says otherwise, rounded up | all, see below |
    /// | Deployment, Recreate | 0 | 0: a new pod waits until the old ones are gone |
    /// | `StatefulSet` | 0 | 0: a pod is made anew under its name, so the old one is gone |
    /// | `DaemonSet` | `maxSurge`, 0 unless it says otherwise, rounded up | all if there is a surge, else 0: one pod per node |
    ///
    /// All pods of a Deployment may be ending at the same moment, unless it has `podReplacementPolicy: TerminationComplete`
    /// (KEP-5882, which Kubernetes 1.37 does not serve yet) or the application `drains`: it closes its pool when it is told to
    /// end.
    #[must_use]
    pub fn of(target: &Object, max: i64, drains: bool) -> Self {
        let max = max.max(0);
        let surge = surge(target, max);
        let waits = target.text("/spec/podReplacementPolicy") == Some("TerminationComplete");
        let overlaps = match target.key.kind {
            Kind::Deployment => target.text("/spec/strategy/type") != Some("Recreate") && !waits,
            Kind::DaemonSet => surge > 0,
            Kind::StatefulSet
            | Kind::HorizontalPodAutoscaler
            | Kind::ConfigMap
            | Kind::Cluster
            | Kind::Pooler
            | Kind::Stream => false,
        };
        Self { max, surge, terminating: if overlaps && !drains { max } else { 0 } }
    }

    /// The most of each.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            max: self.max.max(other.max),
            surge: self.surge.max(other.surge),
            terminating: self.terminating.max(other.terminating),
        }
    }

    /// The same pods when a workload may have as many as `other` says. Who drains goes on to.
    #[must_use]
    pub fn raised(self, other: Self) -> Self {
        let terminating = if self.terminating == 0 { 0 } else { self.terminating.max(other.max) };
        Self { max: self.max.max(other.max), surge: self.surge.max(other.surge), terminating }
    }

    /// All of them.
    #[must_use]
    pub const fn all(self) -> i64 {
        self.max.saturating_add(self.surge).saturating_add(self.terminating)
    }
}

impl fmt::Display for Pods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pods = if self.max == 1 { "pod" } else { "pods" };
        if self.surge == 0 && self.terminating == 0 {
            return write!(f, "{} {pods}", self.max);
        }
        write!(f, "({} {pods}", self.max)?;
        for (count, what) in [(self.surge, "surge"), (self.terminating, "terminating")] {
            if count > 0 {
                write!(f, " + {count} {what}")?;
            }
        }
        f.write_str(")")
    }
}

/// Pods beyond the desired number that a rollout of `target` makes, when it has `max`.
fn surge(target: &Object, max: i64) -> i64 {
    let (strategy, default) = match target.key.kind {
        Kind::Deployment => ("/spec/strategy", "25%"),
        Kind::DaemonSet => ("/spec/updateStrategy", "0"),
        Kind::StatefulSet
        | Kind::HorizontalPodAutoscaler
        | Kind::ConfigMap
        | Kind::Cluster
        | Kind::Pooler
        | Kind::Stream => return 0,
    };
    if target.text(&format!("{strategy}/type")).is_some_and(|kind| kind != "RollingUpdate") {
        return 0;
    }
    let pointer = format!("{strategy}/rollingUpdate/maxSurge");
    portion(target, &pointer, default, max, Rounding::Up)
}

/// Most pods that `target` has at rest.
///
/// With an autoscaler, its maximum; else `bound`, the policy's own `replicas.max`, if it has one, else what is asked for now. A
/// workload that is switched off may be switched on again, so it counts as one pod. Of a `DaemonSet`, `nodes` or the nodes that
/// it has a pod on now, whichever is more.
#[must_use]
pub fn replicas_max(target: &Object, autoscaler: Option<&Object>, bound: Option<i64>, nodes: Option<i64>) -> i64 {
    if target.key.kind == Kind::DaemonSet {
        let now = target.integer("/status/desiredNumberScheduled").unwrap_or(0);
        return nodes.unwrap_or(0).max(now).max(1);
    }
    let scaled = autoscaler.and_then(|autoscaler| autoscaler.integer("/spec/maxReplicas"));
    bound.or(scaled).unwrap_or_else(|| target.integer("/spec/replicas").unwrap_or(1)).max(1)
}

/// What one pool on one workload could open at worst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worst {
    /// What it adds up to in one pod.
    pub load: Load,
    /// Pods that may hold connections at the same moment.
    pub pods: Pods,
}

impl Worst {
    /// The same with that many connections per process, if it asks for more: the size is filled first, then the overflow, which has
    /// its least in any case.
    #[must_use]
    pub fn at(&self, level: i64) -> Self {
        let size = self.load.size.min(level.saturating_sub(self.load.least_overflow));
        let overflow = self.load.overflow.min(level - size);
        Self { load: Load { size, overflow, ..self.load.clone() }, pods: self.pods }
    }

    /// Connections.
    #[must_use]
    pub fn connections(&self) -> i64 {
        self.load.per_pod().saturating_mul(self.pods.all())
    }
}

/// The sum with its terms: `(20 + 10) connections × 4 web processes × (3 pods + 1 surge) = 480`.
impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.load.size, self.load.overflow) {
            (1, 0) => f.write_str("1 connection")?,
            (size, 0) => write!(f, "{size} connections")?,
            (size, overflow) => write!(f, "({size} + {overflow}) connections")?,
        }
        if let Some((worker, count)) = &self.load.workers {
            write!(f, " × {count} {worker} processes")?;
        }
        write!(f, " × {} = {}", self.pods, self.connections())
    }
}

/// What a budget has to give.
#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    name: Box<str>,
    capacity: Part,
    reserved: i64,
    others: Vec<(Box<str>, Part)>,
    headroom: Decimal,
    headroom_text: Box<str>,
    pooler: Option<Pooler>,
    shares: Vec<Share>,
    /// Why nobody may grow.
    frozen: Option<Unread>,
    /// What is not read although it is to be measured, and what counts instead.
    doubts: Vec<String>,
}

/// A number of connections that a budget counts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// Nothing if nobody knows it.
    connections: Option<i64>,
    /// Whether it is what was measured, and not what the budget says.
    is_measured: bool,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.connections {
            Some(connections) => write!(f, "{connections}")?,
            None => f.write_str("?")?,
        }
        f.write_str(if self.is_measured { " measured" } else { "" })
    }
}

impl Room {
    /// What `budget` has to give, with what is known of the numbers that are measured.
    ///
    /// Of a literal and a measured number the one counts that leaves less. One that is not read any more gives way to the
    /// literal; without one, the last that was known stays, and nobody grows.
    ///
    /// # Errors
    /// What is wrong with its spec, continuing its name. The schema refuses that already.
    pub fn of(budget: &ConnectionBudget, figures: &Figures) -> Result<Self, String> {
        let ConnectionBudgetSpec { capacity, reserved, others, headroom, pooler, shares } = &budget.spec;
        let text = headroom.as_deref().unwrap_or(DEFAULT_HEADROOM);
        let share = Value::parse(ValueType::Ratio, text).map_err(|error| format!("headroom {error}"))?;
        let share = share.amount().unwrap_or(Decimal::ZERO);
        if share < Decimal::ZERO || share >= Decimal::ONE {
            return Err(format!("headroom must be from 0% to below 100%, not {text}"));
        }
        let gauges = Gauge::all(budget)?;
        let (mut frozen, mut doubts) = (None, Vec::new());
        let mut part = |figure: Figure, literal: Option<u32>| {
            let literal = literal.map(i64::from);
            let Some(gauge) = gauges.iter().find(|gauge| gauge.figure == figure) else {
                let missing = || format!("{} and its literal are both missing", figure.path());
                return literal.map(|_| Part { connections: literal, is_measured: false }).ok_or_else(missing);
            };
            let number = figures.get(&figure).cloned().unwrap_or_default();
            let part = gauge.part(&number);
            match (&number.standing, literal) {
                (Standing::Read, _) => {}
                (Standing::Unasked, _) => {
                    let message = format!("{} has not been read yet", figure.path());
                    frozen.get_or_insert(Unread { reason: Reason::Unknown, message });
                }
                (Standing::Unread(unread), Some(_)) => {
                    let counts = if part.is_measured { "what was read last" } else { "connections" };
                    doubts.push(format!("{} is not read ({}): {counts} counts instead", figure.path(), unread.message));
                }
                (Standing::Unread(unread), None) => {
                    let message = format!("{} is not read ({})", figure.path(), unread.message);
                    // What is wrong for good says more than what may come yet.
                    if frozen.as_ref().is_none_or(|known: &Unread| known.reason == Reason::Unknown) {
                        frozen = Some(Unread { reason: unread.reason, message });
                    }
                }
            }
            Ok(part)
        };
        let capacity = part(Figure::Capacity, capacity.connections)?;
        let others = others
            .iter()
            .map(|other| {
                let name: Box<str> = other.name.as_str().into();
                Ok((name.clone(), part(Figure::Other(name), other.connections)?))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self {
            name: budget.metadata.name.as_deref().unwrap_or_default().into(),
            capacity,
            reserved: reserved.unwrap_or(DEFAULT_RESERVED).into(),
            others,
            headroom: share,
            headroom_text: text.into(),
            pooler: pooler.clone(),
            shares: shares.clone(),
            frozen,
            doubts,
        })
    }

    /// Name of the budget.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connections to the database that are left for everybody: `floor((capacity − reserved − Σ others) × (1 − headroom))`.
    #[must_use]
    pub fn database(&self) -> i64 {
        let capacity = self.capacity.connections.unwrap_or(0);
        let others = self.others.iter().map(|(_, other)| other.connections.unwrap_or(0));
        let left = others.fold(capacity - self.reserved, i64::saturating_sub);
        let kept = Decimal::ONE.checked_sub(self.headroom).unwrap_or(Decimal::ZERO);
        // At most 10^6 times 10^9 billionths.
        let nanos = i128::from(left.max(0)) * kept.nanos();
        i64::try_from(nanos.div_euclid(Decimal::ONE.nanos())).unwrap_or(0)
    }

    /// Whether all numbers are known that it is made of.
    #[must_use]
    pub fn is_known(&self) -> bool {
        let mut parts = self.others.iter().map(|(_, other)| other).chain([&self.capacity]);
        parts.all(|part| part.connections.is_some())
    }

    /// Why nobody may grow, whatever is usable: something that it is made of is not known now.
    #[must_use]
    pub const fn frozen(&self) -> Option<&Unread> {
        self.frozen.as_ref()
    }

    /// What is not read although it is to be measured, and what counts instead.
    #[must_use]
    pub fn doubts(&self) -> &[String] {
        &self.doubts
    }

    /// Connections that are shared. Nobody shrinks because nobody knows how many there are, or because a pooler opens more than
    /// its database has: fewer clients do not change that.
    #[must_use]
    pub fn shared(&self) -> i64 {
        if self.is_known() { self.usable() } else { UNKNOWN }
    }

    /// Connections up to which somebody may grow.
    #[must_use]
    pub fn growable(&self) -> i64 {
        if self.frozen.is_some() || self.fault().is_some() { 0 } else { self.shared() }
    }

    /// Why whoever asks for more waits, where that is for what nobody knows.
    #[must_use]
    pub fn freeze(&self) -> Option<String> {
        let Unread { message, .. } = self.frozen.as_ref()?;
        Some(format!("nobody who uses budget \"{}\" grows: {message}", self.name))
    }

    /// Connections that pools may open together: with a pooler its clients, else those to the database. A pooler that keeps a
    /// server for every client serves no more clients than it has servers.
    #[must_use]
    pub fn usable(&self) -> i64 {
        match &self.pooler {
            None => self.database(),
            Some(Pooler { mode: PoolerMode::Session, clients, servers }) => (*clients).min(*servers).into(),
            Some(Pooler { mode: PoolerMode::Transaction | PoolerMode::Statement, clients, .. }) => (*clients).into(),
        }
    }

    /// Why the budget holds nothing, whatever pools ask for: its pooler may open more connections than the database can bear.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let Pooler { servers, .. } = self.pooler.as_ref().filter(|_| self.is_known())?;
        let database = self.database();
        (i64::from(*servers) > database).then(|| {
            format!(
                "the pooler of budget \"{}\" may open {servers} connections, above the {database} that the database has ({}): \
                 lower pooler.servers, and default_pool_size of the pooler with it",
                self.name,
                self.terms()
            )
        })
    }

    /// How the connections to the database come about: `100 − 3 reserved − 10 reporting, less 10% headroom`.
    #[must_use]
    pub fn terms(&self) -> String {
        let mut terms = format!("{} − {} reserved", self.capacity, self.reserved);
        if let count @ 4.. = self.others.len() {
            let others: i64 = self.others.iter().filter_map(|(_, other)| other.connections).sum();
            terms.push_str(&format!(" − {others} of {count} others"));
        } else {
            for (name, other) in &self.others {
                let measured = if other.is_measured { " (measured)" } else { "" };
                let other = Part { is_measured: false, ..*other };
                terms.push_str(&format!(" − {other} {name}{measured}"));
            }
        }
        if self.headroom > Decimal::ZERO {
            terms.push_str(&format!(", less {} headroom", self.headroom_text));
        }
        terms
    }

    /// What is usable, and how it comes about: `the 78 that budget "grace-postgres" has (…)`.
    #[must_use]
    pub fn says(&self) -> String {
        let (usable, name) = (self.usable(), &self.name);
        if !self.is_known() {
            return format!("what budget \"{name}\" has, which nobody knows ({})", self.terms());
        }
        match &self.pooler {
            None => format!("the {usable} that budget \"{name}\" has ({})", self.terms()),
            Some(Pooler { mode: PoolerMode::Session, clients, servers }) => format!(
                "the {usable} that the pooler of budget \"{name}\" serves ({clients} clients, each of which keeps one of \
                 {servers} servers)"
            ),
            Some(_) => format!("the {usable} clients that the pooler of budget \"{name}\" accepts"),
        }
    }

    /// What is known of a pool of a policy.
    #[must_use]
    pub fn share(&self, policy: &str, pool: &str) -> Option<&Share> {
        self.shares.iter().find(|share| share.policy == policy && share.pool == pool)
    }

    /// What a pool of `policy` claims that has `asked` at worst; `pods`: as many as may be there when it grows.
    #[must_use]
    pub fn claim(&self, policy: &str, asked: &Worst, pods: Pods, has: Option<i64>) -> Claim {
        let share = self.share(policy, &asked.load.pool);
        let bound = |bound: fn(&Share) -> Option<u32>| share.and_then(bound).map(i64::from);
        let most = asked.load.connections().min(bound(|share| share.max).unwrap_or(i64::MAX));
        let least = asked.load.least.max(bound(|share| share.min).unwrap_or(0).min(most));
        // Who has nothing yet is not let in, and makes nobody shrink; who has something keeps it.
        let frozen = self.frozen.is_some() || self.fault().is_some();
        let least =
            if frozen { has.map_or(asked.load.least, |has| least.min(has).max(asked.load.least)) } else { least };
        let most = if frozen { most.min(has.unwrap_or(0)) } else { most };
        Claim {
            weight: bound(|share| share.weight).unwrap_or(1),
            unit: pods.all().saturating_mul(asked.load.processes()),
            least,
            most,
            has,
        }
    }

    /// Most connections per process that fit: `floor(usable / (pods × processes))`.
    #[must_use]
    pub fn per_process(&self, taken: i64, worst: &Worst) -> i64 {
        let pools = worst.pods.all().saturating_mul(worst.load.processes());
        (self.usable() - taken).max(0).checked_div(pools).unwrap_or(0)
    }

    /// Why a consumer gets nothing: whoever owns the budget allows it less than it needs.
    #[must_use]
    pub fn forbids(&self, policy: &str, asked: &Worst, claim: Claim) -> String {
        if let Some(why) = self.freeze().or_else(|| self.fault()) {
            return why;
        }
        format!(
            "pool {} needs {} connections per process, and budget \"{}\" allows policy \"{policy}\" {} (shares[].max): lower \
             pools.{}.size or its min, or let the budget allow more",
            asked.load.pool, claim.least, self.name, claim.most, asked.load.pool
        )
    }

    /// Why a consumer does not get what it asks for: the sum, and the three ways out. `taken` is what everybody else has.
    #[must_use]
    pub fn refusal(&self, worst: &Worst, taken: i64) -> String {
        if let Some(why) = self.freeze().or_else(|| self.fault()) {
            return why;
        }
        let others = if taken > 0 { format!(", beside {taken} of others") } else { String::new() };
        let fits = match self.per_process(taken, worst) {
            0 => "not even one connection fits".to_owned(),
            n => format!("{n} would fit"),
        };
        let each = if worst.load.workers.is_some() { " per process" } else { "" };
        let pooler = if self.pooler.is_some() { "let the pooler accept more" } else { "put a pooler in front" };
        format!(
            "pool {} could open {worst}{others}, above {}; {fits}{each}: {pooler}, run fewer processes or allow fewer replicas",
            worst.load.pool,
            self.says()
        )
    }
}

/// More than anybody asks for, of what nobody knows.
const UNKNOWN: i64 = 1 << 40;

/// A consumer of a budget, as far as the decision who may grow is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bid {
    /// Which pool it is: two policies that have one size in the same place have one pool, which is counted once.
    pub pool: usize,
    /// Connections that it could open at worst with the values that are there.
    pub held: i64,
    /// Connections that it could open at worst with the values that its policy asks for.
    pub asked: i64,
    /// Pools of other policies that grow with what is asked for, for instance because their workload gets more pods, and what
    /// they could open then.
    pub along: Vec<(usize, i64)>,
    /// Whether it was let in before. Who was keeps what it has, whatever becomes of the budget.
    pub settled: bool,
    /// Whether what it was let in with is being written: what grows along counts already.
    pub under_way: bool,
    /// Whether its policy may write: who may not takes no place from others.
    pub writes: bool,
}

/// What becomes of a [`Bid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Connections that count against the budget; 0 if the pool is counted with another bid.
    pub committed: i64,
    /// What everybody else has or would get with it, where that leaves too little for what is asked.
    pub refused: Option<i64>,
}

/// Decides who may grow. `bids` stand in the order in which consumers are served: those of the oldest policy first.
///
/// Everybody keeps what is there: nobody shrinks by a refusal. Who asks for no more than that is let be. Growth is granted one
/// after the other from what is free then, so that of two that compete the older policy goes first, and what somebody has is
/// not taken away by an older policy that comes or grows later.
#[must_use]
pub fn settle(usable: i64, bids: &[Bid]) -> Vec<Verdict> {
    let mut pools: BTreeMap<usize, i64> = BTreeMap::new();
    let raise = |pools: &mut BTreeMap<usize, i64>, pool: usize, connections: i64| {
        let held = pools.entry(pool).or_default();
        *held = connections.max(*held);
    };
    for bid in bids {
        raise(&mut pools, bid.pool, bid.held);
        for (pool, connections) in bid.along.iter().filter(|_| bid.under_way) {
            raise(&mut pools, *pool, *connections);
        }
    }
    let mut refuse = |bid: &Bid| {
        let committed = |pool: usize| pools.get(&pool).copied().unwrap_or_default();
        let within = |(pool, connections): &(usize, i64)| *connections <= committed(*pool);
        if bid.settled && within(&(bid.pool, bid.asked)) && bid.along.iter().all(within) {
            return None;
        }
        let mut then = pools.clone();
        then.insert(bid.pool, bid.asked);
        for (pool, connections) in &bid.along {
            raise(&mut then, *pool, *connections);
        }
        let total = then.values().fold(0_i64, |sum, connections| sum.saturating_add(*connections));
        if total > usable {
            return Some(total.saturating_sub(bid.asked));
        }
        if bid.writes {
            for (pool, connections) in then {
                raise(&mut pools, pool, connections);
            }
        }
        None
    };
    let refused: Vec<Option<i64>> = bids.iter().map(&mut refuse).collect();
    // With the first bid of each pool.
    let verdict =
        |(bid, refused): (&Bid, Option<i64>)| Verdict { committed: pools.remove(&bid.pool).unwrap_or(0), refused };
    bids.iter().zip(refused).map(verdict).collect()
}

#[cfg(test)]
mod tests;
