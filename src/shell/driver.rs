//! The one task that owns the engine.
//!
//! Inputs reach it through a bounded channel, so that a storm of events slows the watches down and not the memory up. It
//! hands them to the engine one by one, carries out the effects that come back, and tells the engine how each ended. It
//! never waits for the world.

mod lanes;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{Id, JoinError, JoinSet},
    time::{MissedTickBehavior, timeout},
};
use tracing::{debug, error, warn};

use self::lanes::Lanes;
use super::{
    clock,
    health::Health,
    sources::Sources,
    telemetry::{Metrics, Page},
};
use crate::core::{
    engine::{Action, Change, Effect, EffectId, Failure, Input, Outcome},
    facts::Instant,
};

/// Inputs that may wait for the engine.
pub const INPUTS: usize = 1024;
/// Inputs that are taken from the channel at once.
const BATCH: usize = 128;
/// Time between two ticks.
const TICK: Duration = Duration::from_secs(1);
/// Time that effects which have begun are given to end, once the process stops.
const GRACE: Duration = Duration::from_secs(5);
/// Time that a scrape waits for the engine.
const PAGES_TIMEOUT: Duration = Duration::from_secs(2);

/// What the driver drives.
pub trait Engine: Send {
    /// Takes in one input and says what to do.
    fn step(&mut self, input: Input, now: Instant) -> Vec<Effect>;
    /// What it knows, for `/metrics`.
    fn pages(&self) -> Vec<Page>;
}

/// The way to ask the engine what it knows.
#[derive(Clone, Debug)]
pub struct Questions(mpsc::Sender<oneshot::Sender<Vec<Page>>>);

impl Questions {
    /// What the engine knows; nothing while it is too busy to answer, or gone.
    pub async fn pages(&self) -> Vec<Page> {
        let ask = async {
            let (reply, answer) = oneshot::channel();
            self.0.send(reply).await.ok()?;
            answer.await.ok()
        };
        timeout(PAGES_TIMEOUT, ask).await.ok().flatten().unwrap_or_default()
    }
}

/// The one task that owns the engine.
pub struct Driver<G, X> {
    engine: G,
    execute: X,
    sources: Arc<Sources>,
    inputs: mpsc::Receiver<Input>,
    questions: mpsc::Receiver<oneshot::Sender<Vec<Page>>>,
    lanes: Lanes,
    running: JoinSet<Outcome>,
    /// Which effect a task carries out, since when.
    tasks: HashMap<Id, (EffectId, &'static str, tokio::time::Instant)>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

impl<G, X, F> Driver<G, X>
where
    G: Engine,
    X: Fn(Action) -> F,
    F: Future<Output = Outcome> + Send + 'static,
{
    /// A driver of `engine`, and the way to ask it what it knows. `execute` carries out one action; `sources` follow what
    /// the engine is told.
    pub fn new(
        engine: G,
        execute: X,
        sources: Arc<Sources>,
        inputs: mpsc::Receiver<Input>,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> (Self, Questions) {
        let (ask, questions) = mpsc::channel(4);
        let driver = Self {
            engine,
            execute,
            sources,
            inputs,
            questions,
            lanes: Lanes::default(),
            running: JoinSet::new(),
            tasks: HashMap::new(),
            metrics,
            health,
        };
        (driver, Questions(ask))
    }

    /// Drives until `stop` turns true, then lets what has begun come to an end.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                // Ends of effects first: they free places, and there are never more of them than places.
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = self.running.join_next_with_id() => self.finish(ended),
                _ = ticks.tick() => self.tell(Input::Tick),
                Some(reply) = self.questions.recv() => {
                    // A scrape that was given up in the meantime needs no answer.
                    let _abandoned = reply.send(self.engine.pages());
                }
                taken = self.inputs.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    self.metrics.inputs_waiting.set(i64::try_from(self.inputs.len()).unwrap_or(i64::MAX));
                    batch.drain(..).for_each(|input| self.tell(input));
                }
            }
            self.start();
            self.health.turn();
        }
        self.wind_down().await;
    }

    fn tell(&mut self, input: Input) {
        self.metrics.inputs.with_label_values(&[input_name(&input)]).inc();
        // Before the engine can ask it.
        self.sources.observe(&input);
        let timer = self.metrics.step_seconds.start_timer();
        let effects = self.engine.step(input, clock::now());
        timer.observe_duration();
        for effect in effects {
            let name = effect_name(&effect.action);
            debug!(effect = name, id = effect.id.0, "decided");
            self.metrics.effects_waiting.with_label_values(&[name]).inc();
            self.lanes.push(effect);
        }
    }

    fn start(&mut self) {
        while let Some(Effect { id, action }) = self.lanes.next() {
            let name = effect_name(&action);
            self.metrics.effects_waiting.with_label_values(&[name]).dec();
            let task = self.running.spawn((self.execute)(action));
            self.tasks.insert(task.id(), (id, name, tokio::time::Instant::now()));
        }
    }

    fn finish(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (task, outcome) = match ended {
            Ok((task, outcome)) => (task, outcome),
            Err(died) => {
                error!(%died, "an effect's task died; its effect counts as unknown");
                (died.id(), Outcome::Failed(Failure::Unknown("the task of the request died".to_owned())))
            }
        };
        let Some((id, name, began)) = self.tasks.remove(&task) else {
            warn!("a task ended that carried out no effect");
            return;
        };
        self.lanes.finish(id);
        self.metrics.effects.with_label_values(&[name, outcome_name(&outcome)]).inc();
        self.metrics.effect_seconds.with_label_values(&[name]).observe(began.elapsed().as_secs_f64());
        self.tell(Input::Done(id, outcome));
    }

    async fn wind_down(mut self) {
        // What has begun may already be carried out on the other side. Nothing new begins: the next leader decides anew.
        let end = async {
            while let Some(ended) = self.running.join_next_with_id().await {
                if let Ok((task, outcome)) = ended
                    && let Some((_, name, _)) = self.tasks.remove(&task)
                {
                    self.metrics.effects.with_label_values(&[name, outcome_name(&outcome)]).inc();
                }
            }
        };
        if timeout(GRACE, end).await.is_err() {
            warn!(unfinished = self.running.len(), "stopped before every request was answered");
        }
    }
}

fn input_name(input: &Input) -> &'static str {
    match input {
        Input::Policy(change) => verb(change, "policy-applied", "policy-deleted"),
        Input::UnreadablePolicy(..) => "policy-unreadable",
        Input::Class(change) => verb(change, "class-applied", "class-deleted"),
        Input::Source(change) => verb(change, "source-applied", "source-deleted"),
        Input::Budget(change) => verb(change, "budget-applied", "budget-deleted"),
        Input::Disruption(change) => verb(change, "disruption-budget-applied", "disruption-budget-deleted"),
        Input::Rule(change) => verb(change, "rule-applied", "rule-deleted"),
        Input::Object(change) => verb(change, "object-applied", "object-deleted"),
        Input::Listed(..) => "listed",
        Input::Unserved(..) => "unserved",
        Input::Leadership(_) => "leadership",
        Input::Done(..) => "done",
        Input::Tick => "tick",
    }
}

fn verb<T, K>(change: &Change<T, K>, applied: &'static str, deleted: &'static str) -> &'static str {
    match change {
        Change::Applied(_) => applied,
        Change::Deleted(_) => deleted,
    }
}

fn effect_name(action: &Action) -> &'static str {
    match action {
        Action::Get(_) => "get",
        Action::ListPods { .. } => "list-pods",
        Action::Patch(_) => "patch",
        Action::Status { .. } => "status",
        Action::SourceStatus { .. } => "source-status",
        Action::BudgetStatus { .. } => "budget-status",
        Action::Finalizers { .. } => "finalizers",
        Action::Event(_) => "event",
        Action::Rules { .. } => "rules",
        Action::LoadedRules { .. } => "loaded-rules",
        Action::Query { .. } => "query",
        Action::Alerts { .. } => "alerts",
        Action::Silence(_) => "silence",
    }
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Object(_) | Outcome::Accepted | Outcome::Pods(_) | Outcome::Rule(_) | Outcome::Silences(_) => {
            "succeeded"
        }
        Outcome::NotFound => "not-found",
        Outcome::Answer(Ok(_)) => "answered",
        Outcome::Answer(Err(refusal)) => refusal.reason.as_str(),
        Outcome::Failed(failure) => match failure {
            Failure::Conflict(_) => "conflict",
            Failure::Stale => "stale",
            Failure::Replaced => "replaced",
            Failure::Forbidden(_) => "forbidden",
            Failure::Rejected(_) => "rejected",
            Failure::Unknown(_) => "unknown",
            Failure::Throttled(_) => "throttled",
        },
    }
}
