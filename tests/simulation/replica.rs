//! One replica of the operator: its engine, what its watches have yet to show, and its requests.

use std::collections::{BTreeMap, VecDeque};

use trimtab::core::{
    engine::{Action, Config, Effect, Failure, Input, Outcome, Patch, PatchBody, Stream, World, step},
    facts::{Instant, Kind, Release},
};

use super::{
    controllers::Controllers,
    server::{Refused, Server},
};

/// A request of the engine.
#[derive(Debug)]
pub struct Request {
    pub effect: Effect,
    /// Requests of one lane are sent one after the other.
    lane: String,
    /// The reply, once the server has carried it out.
    pub reply: Option<Outcome>,
    /// When the reply arrives.
    pub arrives: Instant,
}

pub struct Replica {
    pub world: World,
    pub streams: BTreeMap<Stream, VecDeque<Input>>,
    /// Streams that show nothing until then.
    pub stalled: BTreeMap<Stream, Instant>,
    pub requests: Vec<Request>,
    /// It has lost the lease and does not know: what it sent before is still on its way, and it decides nothing more.
    pub is_ex_leader: bool,
}

pub fn streams() -> Vec<Stream> {
    let objects = Kind::ALL.into_iter().map(Stream::Objects);
    let ours = [Stream::Policies, Stream::Classes, Stream::Sources, Stream::Budgets];
    ours.into_iter().chain(objects).chain([Stream::Disruptions]).collect()
}

impl Replica {
    /// A new process: it knows nothing, and its watches begin with lists.
    pub fn start(server: &Server) -> Self {
        let mut replica = Self {
            world: World::new(Config {
                operator_namespace: "trimtab-system".into(),
                kubernetes: Release::NEWEST,
                ..Config::default()
            }),
            streams: BTreeMap::new(),
            stalled: BTreeMap::new(),
            requests: Vec::new(),
            is_ex_leader: false,
        };
        for stream in streams() {
            replica.streams.insert(stream, server.list(stream).into());
        }
        replica
    }

    /// The watch of a stream expires and begins anew with a list.
    pub fn relist(&mut self, stream: Stream, server: &Server) {
        self.streams.insert(stream, server.list(stream).into());
    }

    pub fn show(&mut self, log: &[(Stream, Input)]) {
        for (stream, input) in log {
            self.streams.get_mut(stream).unwrap().push_back(input.clone());
        }
    }

    /// Streams that have something to show now.
    pub fn showing(&self, now: Instant) -> Vec<Stream> {
        let stalled = |stream: &Stream| self.stalled.get(stream).is_some_and(|until| *until > now);
        let waiting = self.streams.iter().filter(|(stream, queue)| !queue.is_empty() && !stalled(stream));
        waiting.map(|(stream, _)| *stream).collect()
    }

    /// Tells the engine, and queues what it decides.
    pub fn tell(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        if self.is_ex_leader {
            return Vec::new();
        }
        let effects = step(&mut self.world, input, now);
        for effect in &effects {
            self.requests.push(Request {
                effect: effect.clone(),
                lane: lane(&effect.action),
                reply: None,
                arrives: now,
            });
        }
        effects
    }

    /// Requests that may be sent now: the first of each lane.
    pub fn sendable(&self) -> Vec<usize> {
        (0..self.requests.len())
            .filter(|at| {
                let request = &self.requests[*at];
                request.reply.is_none() && !self.requests[..*at].iter().any(|earlier| earlier.lane == request.lane)
            })
            .collect()
    }

    pub fn answered(&self, now: Instant) -> Vec<usize> {
        let is_there = |request: &Request| request.reply.is_some() && request.arrives <= now;
        (0..self.requests.len()).filter(|at| is_there(&self.requests[*at])).collect()
    }
}

fn lane(action: &Action) -> String {
    match action {
        Action::Get(object) | Action::ListPods { workload: object, .. } => object.to_string(),
        Action::Patch(patch) => patch.object.to_string(),
        Action::Status { policy, .. } | Action::Finalizers { policy, .. } => format!("policy {policy:?}"),
        Action::BudgetStatus { budget, .. } => format!("budget {budget:?}"),
        Action::Event(event) => format!("events {:?}", event.object),
        Action::Silence(request) => format!("silences {}", request.alertmanager),
        Action::Rules { rule, .. } => format!("rules {rule:?}"),
        Action::SourceStatus { source, .. }
        | Action::Query { source, .. }
        | Action::LoadedRules { source }
        | Action::Alerts { source, .. } => {
            format!("source {source}")
        }
    }
}

/// What the server does with a request.
pub fn execute(server: &mut Server, controllers: &Controllers, action: &Action) -> Outcome {
    let done = |result: Result<(), Refused>| result.map_or_else(Refused::outcome, |()| Outcome::Accepted);
    match action {
        Action::Get(key) => match server.get(key) {
            Ok(stored) => Outcome::Object(Box::new(stored.seen())),
            Err(refused) => refused.outcome(),
        },
        Action::ListPods { workload, .. } => Outcome::Pods(controllers.list_pods(workload, server.now)),
        Action::Patch(Patch { object, subresource, manager, body }) => {
            let result = match body {
                PatchBody::Apply { body, force } => server.apply(object, manager, body, *force),
                PatchBody::Json(operations) => server.patch(object, manager, *subresource, operations),
            };
            match (result, subresource) {
                (Ok(stored), None) => Outcome::Object(Box::new(stored.seen())),
                (Ok(_), Some(_)) => Outcome::Accepted,
                (Err(refused), _) => refused.outcome(),
            }
        }
        Action::Status { policy, uid, status } => done(server.set_policy_status(policy, uid, status)),
        Action::Finalizers { policy, resource_version, finalizers } => {
            done(server.set_finalizers(policy, resource_version, finalizers))
        }
        Action::BudgetStatus { budget, uid, resource_version, status } => {
            done(server.set_budget_status(budget, uid, resource_version, status))
        }
        Action::Query { expr, at, range: None, .. } => Outcome::Answer(server.answer(controllers, expr, *at)),
        Action::Query { .. } => Outcome::Answer(Ok(Vec::new())),
        // The model serves no PrometheusRule, and its replicas are not told that there are any.
        Action::Rules { .. } | Action::LoadedRules { .. } => Outcome::NotFound,
        Action::SourceStatus { status, .. } => {
            server.set_source_status(status);
            Outcome::Accepted
        }
        Action::Event(event) => {
            if event.kind == "ConnectionBudget" {
                let kind = if event.warning { "Warning" } else { "Normal" };
                server.budget_events.push(format!("{kind} {}", event.reason));
            }
            Outcome::Accepted
        }
        Action::Alerts { .. } => Outcome::Accepted,
        Action::Silence(request) => match server.alertmanagers.get_mut(&request.alertmanager) {
            Some(alertmanager) => alertmanager.ask(&request.ask, server.now),
            None => Outcome::Failed(Failure::Rejected("no such Alertmanager".to_owned())),
        },
    }
}
