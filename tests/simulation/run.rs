//! A run: the clock, the order of things, faults, and the checks after every event.

use std::{collections::VecDeque, fmt::Write as _};

use serde_json::Value;
use trimtab::core::{
    engine::{Action, Effect, Failure, Input, Outcome, PatchBody},
    facts::{Instant, ObjectKey, Span},
};

use super::{
    controllers::Controllers,
    invariants::Invariants,
    random::Random,
    replica::{Replica, Request, execute, streams},
    schema,
    server::Server,
};

/// Events that a failure shows.
const JOURNAL: usize = 400;

/// Faults, in chances per 1000 events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub crash: usize,
    pub lose_reply: usize,
    pub refuse: usize,
    pub stall: usize,
    pub relist: usize,
    pub handover: usize,
    pub clock: usize,
}

impl Faults {
    pub const NONE: Self = Self { crash: 0, lose_reply: 0, refuse: 0, stall: 0, relist: 0, handover: 0, clock: 0 };
    pub const ALL: Self = Self { crash: 4, lose_reply: 30, refuse: 30, stall: 10, relist: 3, handover: 2, clock: 0 };
}

/// What a run has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub events: u64,
    pub faults: u64,
    pub writes: u64,
    pub gets: u64,
    pub queries: u64,
    pub statuses: u64,
    /// Statuses of budgets, which are among them.
    pub budgets: u64,
    pub told: u64,
    pub crashes: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.faults += other.faults;
        self.writes += other.writes;
        self.gets += other.gets;
        self.queries += other.queries;
        self.statuses += other.statuses;
        self.budgets += other.budgets;
        self.told += other.told;
        self.crashes += other.crashes;
    }

    pub const fn requests(&self) -> u64 {
        self.writes + self.gets + self.statuses + self.told
    }
}

pub struct Run {
    pub random: Random,
    pub server: Server,
    pub controllers: Controllers,
    pub leader: Replica,
    ex_leader: Option<(Replica, Instant)>,
    pub faults: Faults,
    pub counts: Counts,
    pub invariants: Invariants,
    /// Time that is left out between two ticks while nothing happens.
    doze: Span,
    /// Difference between the operator's clock and the world's.
    skew: Span,
    /// Time that Prometheus takes to answer.
    pub latency: Span,
    next_second: Instant,
    /// The last events, for the report of a failure. Kept only by a run that is known to fail: it is made again for that.
    pub journal: Option<VecDeque<String>>,
    /// Whether a failure is only handed to the caller.
    pub is_quiet: bool,
}

impl Run {
    pub fn new(seed: u64) -> Self {
        let start = Instant::parse("2026-11-21T10:00:00Z").unwrap();
        let server = Server { now: start, ..Server::default() };
        let mut leader = Replica::start(&server);
        leader.tell(Input::Leadership(true), start);
        Self {
            random: Random::new(seed),
            leader,
            server,
            controllers: Controllers::default(),
            ex_leader: None,
            faults: Faults::NONE,
            counts: Counts::default(),
            invariants: Invariants::default(),
            doze: Span::ZERO,
            skew: Span::ZERO,
            latency: Span::ZERO,
            next_second: start,
            journal: Some(VecDeque::new()),
            is_quiet: false,
        }
    }

    pub fn note(&mut self, what: impl FnOnce() -> String) {
        let Some(journal) = &mut self.journal else { return };
        if journal.len() == JOURNAL {
            journal.pop_front();
        }
        journal.push_back(format!("{} {}", self.server.now, what()));
    }

    /// Ends the run as failed.
    pub fn fail(&self, what: &str) -> ! {
        let mut text = String::new();
        for line in self.journal.iter().flatten() {
            writeln!(text, "  {line}").unwrap();
        }
        for (workload, policy) in self.leader.world.rollouts() {
            writeln!(text, "  in flight: {} for {}", workload.short(), policy.1).unwrap();
        }
        for (key, policy) in &self.server.policies {
            for condition in policy.status.iter().flat_map(|status| &status.conditions) {
                let (kind, reason, message) = (&condition.type_, &condition.reason, &condition.message);
                writeln!(text, "  {}: {kind}={} {reason}: {message}", key.1, condition.status).unwrap();
            }
        }
        for account in self.leader.world.accounts(self.server.now) {
            writeln!(text, "  {}: {:?} {:?}", account.key.1, account.writes, account.troubles).unwrap();
            for target in account.targets {
                writeln!(text, "    {} {:?}", target.key.short(), target.progress).unwrap();
                let plan = target.plan;
                for setting in plan.settings {
                    let live = setting.live.as_deref().unwrap_or("(unset)");
                    let state = setting.state.as_str();
                    writeln!(text, "      {}: {} over {live}: {state}", setting.path, setting.desired).unwrap();
                }
                for step in plan.steps {
                    writeln!(text, "      next: {} disruptive {}", step.object().short(), step.is_disruptive())
                        .unwrap();
                }
                for conflict in plan.conflicts {
                    writeln!(text, "      {}: {}", conflict.reason, conflict.message).unwrap();
                }
                for refusal in plan.refusals {
                    writeln!(text, "      {}: {}", refusal.reason, refusal.message).unwrap();
                }
                if !plan.overridden.is_empty() {
                    writeln!(text, "      overridden: {:?}", plan.overridden).unwrap();
                }
            }
        }
        let why = if self.journal.is_some() { format!("{what}\nthe last events:\n{text}") } else { what.to_owned() };
        if self.is_quiet {
            // Who runs many seeds says it once, with the seed.
            std::panic::resume_unwind(Box::new(why));
        }
        panic!("{why}");
    }

    /// What somebody does to the cluster.
    pub fn people<T>(&mut self, what: &str, act: impl FnOnce(&mut Server, &mut Controllers) -> T) -> T {
        self.note(|| format!("people: {what}"));
        self.invariants.budgets.moved();
        let result = act(&mut self.server, &mut self.controllers);
        self.invariants.budgets.learn(&self.server);
        for (key, _) in &self.server.templates {
            self.invariants.foreign(key);
        }
        self.settle_log();
        result
    }

    /// Hands what happened to the watches.
    fn settle_log(&mut self) {
        self.controllers.note(&mut self.server);
        let log = std::mem::take(&mut self.server.log);
        self.invariants.observe(&log, &self.server);
        self.leader.show(&log);
        // A clock that is ahead makes leases longer.
        let skew = if self.faults.clock > 0 { Span::seconds(30) } else { Span::millis(self.skew.as_millis().abs()) };
        if let Err(what) = self.invariants.silences.check(&self.server, skew) {
            self.fail(&what);
        }
        if let Err(what) = self.invariants.check(&self.server, &self.controllers) {
            self.fail(&what);
        }
    }

    /// Lets that much time pass, with everything that happens in it.
    pub fn pass(&mut self, time: Span) {
        let until = self.server.now + time;
        while self.server.now < until {
            self.turn();
        }
    }

    /// Lets that much time pass, with a crash after so many events if one is named. Gives the number of events.
    pub fn pass_with_crash(&mut self, time: Span, crash_at: Option<u64>) -> u64 {
        let (from, until) = (self.counts.events, self.server.now + time);
        while self.server.now < until {
            if crash_at == Some(self.counts.events - from) {
                self.crash();
            }
            self.turn();
        }
        self.counts.events - from
    }

    /// One event.
    pub fn turn(&mut self) {
        self.counts.events += 1;
        let now = self.server.now;
        if self.faults.crash > 0 {
            self.inject();
        }
        let showing = self.leader.showing(now);
        let sendable = self.leader.sendable();
        let answered = self.leader.answered(now);
        let late = self.ex_leader.as_ref().map_or(0, |(old, _)| old.sendable().len());
        let choices = showing.len() * 2 + sendable.len() * 2 + answered.len() * 2 + usize::from(late > 0);
        if choices == 0 {
            self.server.now = self.next_second + self.doze;
            self.second();
            return;
        }
        let choice = self.random.below(choices);
        if choice < showing.len() * 2 {
            let stream = showing[choice / 2];
            if let Some(input) = self.leader.streams.get_mut(&stream).and_then(VecDeque::pop_front) {
                self.tell(input);
            }
        } else if choice < (showing.len() + sendable.len()) * 2 {
            self.send(sendable[(choice - showing.len() * 2) / 2]);
        } else if choice < (showing.len() + sendable.len() + answered.len()) * 2 {
            let at = answered[(choice - (showing.len() + sendable.len()) * 2) / 2];
            let Request { effect, reply, .. } = self.leader.requests.remove(at);
            self.tell(Input::Done(effect.id, reply.unwrap()));
        } else {
            self.send_late();
        }
        self.server.now = self.server.now + Span::millis(self.random.between(1, 60));
        if self.server.now >= self.next_second {
            self.second();
        }
    }

    /// What happens every second: controllers work, and the operator ticks.
    fn second(&mut self) {
        self.next_second = self.server.now.whole_seconds() + Span::seconds(1);
        self.controllers.act(&mut self.server);
        self.settle_log();
        self.tell(Input::Tick);
        if self.ex_leader.as_ref().is_some_and(|(old, until)| *until <= self.server.now || old.requests.is_empty()) {
            self.ex_leader = None;
        }
    }

    fn tell(&mut self, input: Input) {
        let now = self.server.now + self.skew;
        let told = self.journal.is_some().then(|| describe(&input));
        self.invariants.told(&input);
        let rolling: Vec<ObjectKey> = self.leader.world.rollouts().map(|(target, _)| target.clone()).collect();
        let effects = self.leader.tell(input, now);
        self.invariants.silences.explained(self.leader.world.explaining(), self.server.now);
        if let Err(what) = self.leader.world.audit() {
            self.fail(&what);
        }
        if let Some(told) = told.filter(|told| !effects.is_empty() || told != "tick") {
            self.note(|| format!("told {told}{}", effects.iter().map(decided).collect::<String>()));
        }
        for effect in &effects {
            match &effect.action {
                Action::Patch(_) | Action::Finalizers { .. } => self.counts.writes += 1,
                Action::Get(_) | Action::ListPods { .. } => self.counts.gets += 1,
                Action::Rules { .. } | Action::LoadedRules { .. } => self.fail("rules of a kind that nobody serves"),
                // Prometheus is asked at rest, too.
                Action::Query { .. } => self.counts.queries += 1,
                Action::Status { .. } | Action::SourceStatus { .. } | Action::BudgetStatus { .. } => {
                    self.counts.statuses += 1;
                    self.counts.budgets += u64::from(matches!(effect.action, Action::BudgetStatus { .. }));
                }
                Action::Event(_) => self.counts.told += 1,
                // Alertmanagers are told at rest, too.
                Action::Alerts { .. } => {}
                Action::Silence(_) => self.counts.told += 1,
            }
            let informed = self.leader.streams.values().all(VecDeque::is_empty);
            self.invariants.budgets.decided(effect, informed && !self.server.budgets.is_empty());
            self.invariants.disruptions.decided(effect, &rolling);
            if let Err(what) = self.invariants.decided(effect) {
                self.fail(&what);
            }
        }
    }

    fn send(&mut self, at: usize) {
        let action = self.leader.requests[at].effect.action.clone();
        if self.random.chance(self.faults.refuse) {
            self.counts.faults += 1;
            let why = "injected".to_owned();
            let failure = match self.random.below(5) {
                0 => Failure::Stale,
                1 => Failure::Throttled(why),
                2 => Failure::Forbidden(why),
                _ => Failure::Unknown(why),
            };
            self.note(|| format!("refused {} {failure:?}", name(&action)));
            self.leader.requests[at].reply = Some(Outcome::Failed(failure));
            return;
        }
        let outcome = self.execute(&action, false);
        let reply = if self.random.chance(self.faults.lose_reply) {
            self.counts.faults += 1;
            self.note(|| format!("lost the reply to {}", name(&action)));
            Outcome::Failed(Failure::Unknown("no answer within 30 s".to_owned()))
        } else {
            outcome
        };
        if matches!(action, Action::Query { .. }) {
            self.leader.requests[at].arrives = self.server.now + self.latency;
        }
        self.leader.requests[at].reply = Some(reply);
    }

    fn execute(&mut self, action: &Action, is_late: bool) -> Outcome {
        let before = match action {
            Action::Patch(patch) => self.server.objects.get(&patch.object).cloned(),
            _ => None,
        };
        let outcome = execute(&mut self.server, &self.controllers, action);
        let how = match &outcome {
            Outcome::Failed(failure) if self.journal.is_some() => format!("{failure:?}"),
            Outcome::NotFound => "NotFound".to_owned(),
            _ => "ok".to_owned(),
        };
        self.note(|| format!("{}executed {}: {how}", if is_late { "late, " } else { "" }, name(action)));
        if let Action::Patch(patch) = action
            && let Some(before) = &before
            && let Some(after) = self.server.objects.get(&patch.object)
            && after.version != before.version
        {
            // As it was before the write.
            let rolls =
                self.controllers.workloads.get(&patch.object).is_some_and(super::controllers::Workload::is_rolling);
            if let Err(what) = self.invariants.written(patch, before, after, &self.server, is_late, rolls) {
                self.fail(&what);
            }
        }
        self.settle_log();
        outcome
    }

    fn send_late(&mut self) {
        let Some((mut old, until)) = self.ex_leader.take() else { return };
        if let Some(at) = old.sendable().first().copied() {
            let request = old.requests.remove(at);
            self.execute(&request.effect.action, true);
        }
        self.ex_leader = Some((old, until));
    }

    fn inject(&mut self) {
        let now = self.server.now;
        if self.random.chance(self.faults.crash) {
            self.crash();
        } else if self.random.chance(self.faults.handover) {
            self.counts.faults += 1;
            self.note(|| "another replica takes over; the old one's requests are still under way".into());
            let mut old = self.restart();
            old.is_ex_leader = true;
            // Only what it has really sent can arrive.
            let sent = old.sendable();
            let mut at = 0;
            old.requests.retain(|_| {
                at += 1;
                sent.contains(&(at - 1))
            });
            let stays = Span::seconds(self.random.between(1, 100));
            self.ex_leader = Some((old, now + stays));
        }
        if self.random.chance(self.faults.stall) {
            self.counts.faults += 1;
            let stream = *self.random.pick(&streams());
            let until = now + Span::seconds(self.random.between(1, 15));
            self.leader.stalled.insert(stream, until);
        }
        if self.random.chance(self.faults.relist) {
            self.counts.faults += 1;
            let stream = *self.random.pick(&streams());
            self.note(|| format!("relist of {stream:?}"));
            self.leader.relist(stream, &self.server);
        }
        if self.random.chance(self.faults.clock) {
            self.counts.faults += 1;
            self.skew = Span::seconds(self.random.between(-30, 30));
            let skew = self.skew.as_millis() / 1000;
            self.note(|| format!("the operator's clock is off by {skew} s"));
        }
    }

    /// The operator is killed, whatever it was doing, and started again.
    pub fn crash(&mut self) {
        self.counts.faults += 1;
        self.counts.crashes += 1;
        self.note(|| "the operator crashes".into());
        drop(self.restart());
    }

    fn restart(&mut self) -> Replica {
        let old = std::mem::replace(&mut self.leader, Replica::start(&self.server));
        self.invariants.restarted();
        self.tell(Input::Leadership(true));
        old
    }

    /// Whether nothing is under way anywhere.
    fn nothing_happens(&self) -> bool {
        let asks = |action: &Action| matches!(action, Action::Query { .. } | Action::Alerts { .. });
        self.leader.requests.iter().all(|request| asks(&request.effect.action))
            && self.leader.streams.values().all(VecDeque::is_empty)
            && self.ex_leader.is_none()
            && self.controllers.workloads.values().all(super::controllers::Workload::has_settled)
            && !self.controllers.databases.values().any(super::controllers::Database::is_restarting)
    }

    /// Faults cease; time passes until nothing has happened for `rest`.
    pub fn come_to_rest(&mut self, rest: Span, at_most: Span) {
        self.faults = Faults::NONE;
        self.skew = Span::ZERO;
        self.leader.stalled.clear();
        self.note(|| "faults cease".into());
        let began = self.server.now;
        let mut since = began;
        let mut last = self.counts.requests();
        while self.server.now.since(since) < rest {
            self.doze = if self.server.now.since(since) > Span::seconds(20) { Span::seconds(9) } else { Span::ZERO };
            self.turn();
            if self.counts.requests() != last || !self.nothing_happens() {
                last = self.counts.requests();
                since = self.server.now;
            }
            if self.server.now.since(began) > at_most {
                self.fail("it does not come to rest");
            }
        }
        self.doze = Span::ZERO;
    }

    /// Nothing is asked and nothing is written over 30 ticks.
    #[track_caller]
    pub fn stay_at_rest(&mut self) {
        let before = self.counts.requests();
        for _ in 0..30 {
            self.server.now = self.next_second;
            self.second();
        }
        if self.counts.requests() != before {
            self.fail(&format!("{} requests at rest", self.counts.requests() - before));
        }
    }

    pub fn object(&self, key: &ObjectKey) -> &super::server::Stored {
        &self.server.objects[key]
    }
}

fn describe(input: &Input) -> String {
    use trimtab::core::engine::Change;
    match input {
        Input::Policy(Change::Applied(policy)) => format!(
            "policy {} rv {} generation {:?}",
            policy.metadata.name.as_deref().unwrap_or_default(),
            policy.metadata.resource_version.as_deref().unwrap_or_default(),
            policy.metadata.generation
        ),
        Input::Policy(Change::Deleted(key)) => format!("policy {} is gone", key.1),
        Input::UnreadablePolicy(policy, why) => format!("policy {:?} cannot be read: {why}", policy.metadata.name),
        Input::Class(_) => "class".to_owned(),
        Input::Source(_) => "source".to_owned(),
        Input::Budget(Change::Applied(budget)) => format!("budget {:?}", budget.spec.capacity),
        Input::Budget(Change::Deleted(key)) => format!("budget {} is gone", key.1),
        Input::Disruption(Change::Applied(shown)) => format!("disruption budget {} {:?}", shown.0.1, shown.1),
        Input::Disruption(Change::Deleted(key)) => format!("disruption budget {} is gone", key.1),
        Input::Rule(Change::Applied(shown)) => format!("rule {} rv {}", shown.0.1, shown.1.resource_version),
        Input::Rule(Change::Deleted(key)) => format!("rule {} is gone", key.1),
        Input::Object(Change::Applied(seen)) => format!("{} rv {}", seen.key.short(), seen.meta.resource_version),
        Input::Object(Change::Deleted(key)) => format!("{} is gone", key.short()),
        Input::Listed(stream, _) => format!("listed {stream:?}"),
        Input::Unserved(stream, why) => format!("{stream:?} shows nothing: {why}"),
        Input::Leadership(is) => format!("leader {is}"),
        Input::Done(id, outcome) => {
            let text = match outcome {
                Outcome::Object(seen) => format!("{} rv {}", seen.key.short(), seen.meta.resource_version),
                Outcome::Failed(failure) => format!("{failure:?}"),
                Outcome::Pods(pods) => format!("{} pods", pods.len()),
                other => format!("{other:?}"),
            };
            format!("done {}: {text}", id.0)
        }
        Input::Tick => "tick".to_owned(),
    }
}

fn decided(effect: &Effect) -> String {
    format!("\n      -> {} {}", effect.id.0, name(&effect.action))
}

fn name(action: &Action) -> String {
    match action {
        Action::Get(key) => format!("get {}", key.short()),
        Action::ListPods { workload, .. } => format!("list pods of {}", workload.short()),
        Action::Patch(patch) => format!("patch {} by {} {}", patch.object.short(), patch.manager, body(&patch.body)),
        Action::Status { policy, status, .. } => {
            let conditions: Vec<String> = status
                .conditions
                .iter()
                .filter(|c| c.reason != "NoThresholds")
                .map(|c| format!("{}={}/{}", c.type_, c.status, c.reason))
                .collect();
            format!("status of {}: {} quarantine {}", policy.1, conditions.join(" "), status.quarantine.len())
        }
        Action::BudgetStatus { budget, status, .. } => {
            let consumers = status.allocations.iter().map(|one| {
                let (pods, each) = (one.pods_max + one.surge + one.terminating, one.per_process * one.processes);
                format!("{} {each} × {pods} = {} share {:?} of {:?}", one.policy, one.worst_case, one.share, one.asked)
            });
            let reserved = status.reservations.iter().map(|one| format!("{} {} → {}", one.policy, one.from, one.to));
            let lists = [consumers.collect::<Vec<_>>().join(", "), reserved.collect::<Vec<_>>().join(", ")];
            format!("status of budget {}: {:?} of {:?} {lists:?}", budget.1, status.committed, status.usable)
        }
        Action::Finalizers { policy, finalizers, .. } => format!("finalizers of {} {finalizers:?}", policy.1),
        Action::Event(event) => format!("event {}/{}", event.reason, event.action),
        Action::Silence(request) => format!("silence at {}: {:?}", request.alertmanager, request.ask),
        Action::Rules { rule, .. } => format!("rules {rule:?}"),
        Action::SourceStatus { source, .. }
        | Action::Query { source, .. }
        | Action::LoadedRules { source }
        | Action::Alerts { source, .. } => {
            format!("source {source}")
        }
    }
}

/// What a patch says, without what every patch says.
fn body(body: &PatchBody) -> String {
    let short = |value: &Value| -> String { value.to_string().chars().take(60).collect() };
    match body {
        PatchBody::Apply { body, force } => {
            let leaves = schema::leaves(body);
            let said = leaves.iter().map(|(path, value)| (path.to_string(), value));
            let said = said.filter(|(path, value)| {
                !value.is_null()
                    && !path.ends_with(".name")
                    && (!path.starts_with(".metadata") || path.contains("resourceVersion"))
                    && path.matches('.').count() > 1
            });
            let said: Vec<String> = said
                .map(|(path, value)| {
                    let tail: Vec<&str> = path.rsplit('.').take(2).collect();
                    format!("{}={}", tail.into_iter().rev().collect::<Vec<_>>().join("."), short(value))
                })
                .collect();
            format!("applies {}{}", said.join(" "), if *force { " by force" } else { "" })
        }
        PatchBody::Json(operations) => {
            let operations = operations.as_array().into_iter().flatten();
            let said: Vec<String> = operations
                .map(|operation| {
                    let path = operation["path"].as_str().unwrap_or_default();
                    let value =
                        if path.starts_with("/metadata/managed") { String::new() } else { short(&operation["value"]) };
                    format!("{} {path} {value}", operation["op"].as_str().unwrap_or_default())
                })
                .collect();
            said.join(", ")
        }
    }
}
