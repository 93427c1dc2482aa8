//! The engine on a clock that steps through history: what would have happened under these policies.
//!
//! A [`Replay`] owns a `World` as the controller's, ticks it at every sweep of its sources, and answers its questions from a
//! [`History`]. What the history does not have yet, it asks for ([`Turn::Needs`]): long ranges, of which many sweeps are
//! answered. Every verdict, profile and alert is the engine's own; here they are only counted.
//!
//! | file | holds |
//! |---|---|
//! | `history` | recorded answers, and what is missing in them |
//! | `watch` | what the engine did, as it is seen from outside |
//! | `course` | what became of one threshold |
//! | `report` | the same for people and programs |
//! | `html` | one page with everything in it |
//! | `plot` | the picture of a threshold |
//!
//! Nothing is written, so nothing rolls out, fails or waits for its turn: a value that a profile asks for counts as changed at
//! once. The policy is as it is now for the whole time, and so are its targets.

mod course;
pub mod history;
mod html;
mod plot;
pub mod report;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::watch::Watch;
pub use self::{
    history::{Course, Fetch, History},
    report::ReplayReport,
};
use super::{
    engine::{Action, Effect, Failure, Input, Outcome, World, step},
    facts::{Instant, Span},
    policy::PolicyKey,
};

/// Most sweeps of one replay: two months at the usual interval.
pub const MAX_STEPS: i64 = 200_000;
/// Points of a series that are asked for at once; Prometheus answers 11,000.
pub const MAX_POINTS: i64 = 10_000;
/// Time after a sweep at which the engine is called once more: what an answer has changed, it follows a moment later.
const AFTERWARDS: Span = Span::seconds(1);
/// Effects at one moment, at most: far more than there are policies and questions.
const MOST_EFFECTS: usize = 1_000_000;

/// What a replay wants next.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Answers: [`Replay::learn`] takes them.
    Needs(Vec<Fetch>),
    /// Nothing more.
    Done,
}

/// Over which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// From when.
    pub from: Instant,
    /// Until when.
    pub to: Instant,
}

/// A replay under way.
#[derive(Debug)]
pub struct Replay {
    world: World,
    history: History,
    /// Time between two sweeps, by source.
    intervals: BTreeMap<Box<str>, Span>,
    period: Period,
    now: Instant,
    /// The sweep that `now` belongs to.
    slot: Instant,
    queue: VecDeque<Effect>,
    /// Questions that the history does not answer yet.
    unanswered: Vec<Effect>,
    effects: usize,
    watch: Watch,
}

/// Why a period cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodError(pub String);

/// The period from the first sweep at or after `from`, and how many sweeps it has.
///
/// # Errors
/// When it ends before it begins, or has too many sweeps.
pub fn period(from: Instant, to: Instant, intervals: &BTreeMap<Box<str>, Span>) -> Result<(Period, i64), PeriodError> {
    if from >= to {
        return Err(PeriodError(format!("--from {from} is not before --to {to}")));
    }
    let Some(shortest) = intervals.values().min().copied() else {
        return Err(PeriodError("there is nothing to replay: no threshold of these policies asks anything".to_owned()));
    };
    let start = intervals.values().map(|interval| slot(from - Span::millis(1), *interval)).min().unwrap_or(from);
    let steps = to.since(start).as_millis().div_euclid(shortest.as_millis().max(1)) + 1;
    if start > to {
        return Err(PeriodError(format!(
            "between {from} and {to} is no sweep: thresholds are asked every {}",
            report::lasted(shortest)
        )));
    }
    if steps > MAX_STEPS {
        return Err(PeriodError(format!(
            "from {from} to {to} is {} ÷ {} = {steps} sweeps, and a replay has at most {MAX_STEPS}: name a shorter time, or a \
             longer interval in the MetricsSource",
            report::lasted(to.since(start)),
            report::lasted(shortest)
        )));
    }
    Ok((Period { from: start, to }, steps))
}

/// The first multiple of the interval after `at`: when the engine asks.
fn slot(at: Instant, interval: Span) -> Instant {
    let step = interval.as_millis().max(1);
    Instant::from_millis(at.millis().div_euclid(step).saturating_add(1).saturating_mul(step))
}

/// What an effect comes to where nothing is ever written and nobody is told; `None`: a question to a metrics backend.
#[must_use]
pub fn unheard(action: &Action) -> Option<Outcome> {
    Some(match action {
        Action::Query { .. } => return None,
        Action::Get(_) => Outcome::NotFound,
        Action::ListPods { .. } => Outcome::Pods(Vec::new()),
        Action::Patch(_) | Action::Finalizers { .. } => {
            Outcome::Failed(Failure::Forbidden("nothing is written here".to_owned()))
        }
        Action::Status { .. }
        | Action::SourceStatus { .. }
        | Action::BudgetStatus { .. }
        | Action::Event(_)
        | Action::Rules { .. }
        | Action::LoadedRules { .. }
        | Action::Alerts { .. } => Outcome::Accepted,
        Action::Silence(_) => Outcome::Failed(Failure::Forbidden("nothing is silenced here".to_owned())),
    })
}

impl Replay {
    /// A replay of a world that leads and has asked for `effects` at the beginning of the period, as far as it is about the
    /// policies of `mine`.
    #[must_use]
    pub fn new(
        world: World,
        effects: Vec<Effect>,
        intervals: BTreeMap<Box<str>, Span>,
        period: Period,
        history: History,
        mine: BTreeSet<PolicyKey>,
    ) -> Self {
        let watch = Watch::new(&world, period, intervals.values().min().copied().unwrap_or_default(), mine);
        let now = period.from;
        let mut replay = Self {
            world,
            history,
            intervals,
            period,
            now,
            slot: now,
            queue: effects.into(),
            unanswered: Vec::new(),
            effects: 0,
            watch,
        };
        replay.tick(now);
        replay
    }

    /// Goes on until something is missing or everything has happened.
    ///
    /// # Errors
    /// When the engine finds no end at one moment.
    pub fn advance(&mut self) -> Result<Turn, String> {
        loop {
            self.settle()?;
            if !self.unanswered.is_empty() {
                let missing = self.unanswered.iter().filter_map(|effect| self.missing(&effect.action));
                return Ok(Turn::Needs(history::joined(missing.collect())));
            }
            self.watch.switched(&self.world, self.now);
            let next = self.next_slot();
            let afterwards = self.slot + AFTERWARDS;
            if self.now < afterwards && afterwards < next {
                self.tick(afterwards);
                continue;
            }
            self.watch.sample(&self.world, self.slot);
            if next > self.period.to {
                return Ok(Turn::Done);
            }
            self.slot = next;
            self.tick(next);
        }
    }

    /// Takes answers of the past. Questions that waited for them are asked again.
    pub fn learn(&mut self, courses: Vec<Course>) {
        for course in courses {
            self.history.add(course);
        }
        self.queue.extend(self.unanswered.drain(..));
    }

    /// What happened, and the answers from which that follows.
    #[must_use]
    pub fn finish(self) -> (ReplayReport, History) {
        (self.watch.report(), self.history)
    }

    fn tick(&mut self, at: Instant) {
        self.now = at;
        self.effects = 0;
        let effects = step(&mut self.world, Input::Tick, at);
        self.queue.extend(effects);
    }

    /// Carries out what can be carried out at this moment.
    fn settle(&mut self) -> Result<(), String> {
        while let Some(effect) = self.queue.pop_front() {
            self.effects += 1;
            if self.effects > MOST_EFFECTS {
                return Err(format!("at {} the engine finds no end: this is a bug", self.now));
            }
            if let Action::Alerts { source, alerts } = &effect.action {
                self.watch.alerts(source, alerts, self.now);
            }
            let Some(outcome) = unheard(&effect.action).or_else(|| self.answer(&effect.action)) else {
                self.unanswered.push(effect);
                continue;
            };
            self.queue.extend(step(&mut self.world, Input::Done(effect.id, outcome), self.now));
        }
        Ok(())
    }

    fn answer(&self, action: &Action) -> Option<Outcome> {
        let Action::Query { source, expr, at, range, .. } = action else { return None };
        let answer = match range {
            None => self.history.instant(source, expr, *at)?,
            Some((start, step)) => self.history.range(source, expr, (*start, *at), *step)?,
        };
        Some(Outcome::Answer(answer))
    }

    /// What to ask for, so that this question and those that come after it are answered.
    fn missing(&self, action: &Action) -> Option<Fetch> {
        let Action::Query { source, expr, at, range, .. } = action else { return None };
        let interval = self.intervals.get(source).copied().unwrap_or(AFTERWARDS);
        // The engine asks in whole seconds.
        let grid = if interval.as_millis() % 1000 == 0 { interval } else { Span::seconds(1) };
        let is_slot = |at: Instant| at.millis().rem_euclid(grid.as_millis().max(1)) == 0;
        let ahead = |start: Instant| {
            let rest = self.period.to.since(*at).as_millis().div_euclid(grid.as_millis().max(1));
            Fetch {
                source: source.clone(),
                expr: expr.as_str().into(),
                start,
                end: *at + grid.times(rest.clamp(0, MAX_POINTS - 1)),
                step: grid,
            }
        };
        let exactly = |start: Instant, step: Span| Fetch {
            source: source.clone(),
            expr: expr.as_str().into(),
            start,
            end: *at,
            step,
        };
        Some(match range {
            None if is_slot(*at) => ahead(*at),
            None => exactly(*at, Span::seconds(1)),
            Some((start, step)) if *step == grid && is_slot(*start) && is_slot(*at) => ahead(*start),
            Some((start, step)) => exactly(*start, *step),
        })
    }

    fn next_slot(&self) -> Instant {
        let next = self.intervals.values().map(|interval| slot(self.slot, *interval)).min();
        next.unwrap_or(self.period.to + Span::millis(1))
    }
}

#[cfg(test)]
mod tests;
