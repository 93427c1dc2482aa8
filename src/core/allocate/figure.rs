//! Numbers of a budget that are measured: what its database accepts, and what others have.
//!
//! What leaves less counts at once. What leaves more counts when it has lasted [`LASTS`], so that a number that goes up and down
//! rolls out nothing. A number that nobody reads any more is no number: a literal takes its place, and without one the last that
//! was known stays, and nobody grows.

use std::collections::BTreeMap;

use super::Part;
use crate::{
    api::{
        ConnectionBudget,
        budget::{Measured, MeasuredOther, Metric},
        conditions::Reason,
    },
    core::{
        facts::{Instant, Span},
        promql::{FreeQuery, Identity, Joined, Selector},
    },
};

/// How long a number that leaves more has to last before it counts, and how long one that is not read any more stays where a
/// literal can take its place.
pub const LASTS: Span = Span::minutes(10);
/// Largest number of connections, whatever is measured: what the schema allows.
const MOST: i64 = 1_000_000;

/// Which number of a budget.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// What the database accepts.
    Capacity,
    /// What a consumer has that no policy of the namespace governs.
    Other(Box<str>),
}

impl Figure {
    /// Whether `new` leaves more to pools than `old`.
    const fn is_more(&self, new: i64, old: i64) -> bool {
        match self {
            Self::Capacity => new > old,
            Self::Other(_) => new < old,
        }
    }

    /// A reading as a number of connections; nothing that one cannot be. No database has none.
    fn connections(&self, reading: f64) -> Option<i64> {
        let (whole, least) = match self {
            Self::Capacity => (reading.floor(), 1),
            Self::Other(_) => (reading.ceil(), 0),
        };
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
        let whole = whole as i64;
        (reading.is_finite() && whole >= least).then_some(whole.min(MOST))
    }

    /// Where the budget says how it is measured, for people.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Capacity => "capacity.metric".to_owned(),
            Self::Other(name) => format!("others.{name}.metric"),
        }
    }
}

/// How a number of a budget is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// Which number.
    pub figure: Figure,
    /// The literal beside it.
    pub literal: Option<i64>,
    asked: Asked,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// The series of a gauge.
    Series(Selector),
    /// A query of the budget's own.
    Free(FreeQuery),
}

impl Gauge {
    /// All numbers of `budget` that are measured.
    ///
    /// # Errors
    /// What is wrong with one, continuing the name of the budget. The schema refuses that already.
    pub fn all(budget: &ConnectionBudget) -> Result<Vec<Self>, String> {
        let spec = &budget.spec;
        let capacity = (Figure::Capacity, spec.capacity.connections, &spec.capacity.metric);
        let others = spec
            .others
            .iter()
            .map(|other| (Figure::Other(other.name.as_str().into()), other.connections, &other.metric));
        let measured = [capacity].into_iter().chain(others);
        let measured = measured.filter_map(|(figure, literal, metric)| Some((figure, literal, metric.as_ref()?)));
        measured.map(|(figure, literal, metric)| Self::new(figure, literal.map(Into::into), metric)).collect()
    }

    fn new(figure: Figure, literal: Option<i64>, metric: &Metric) -> Result<Self, String> {
        let wrong = |member: &str, error: &dyn std::fmt::Display| format!("{}{member} {error}", figure.path());
        let asked = match (&metric.gauge, &metric.query) {
            (Some(gauge), None) => {
                Asked::Series(Selector::new(gauge, metric.labels.clone()).map_err(|error| wrong("", &error))?)
            }
            (None, Some(_)) if !metric.labels.is_empty() => {
                return Err(wrong("", &"has a query, which says everything itself: leave out labels"));
            }
            (None, Some(query)) => Asked::Free(FreeQuery::new(query).map_err(|error| wrong(".query", &error))?),
            (Some(_), Some(_)) | (None, None) => return Err(wrong("", &"must have exactly one of gauge and query")),
        };
        Ok(Self { figure, literal, asked })
    }

    /// What counts of it: of the literal and what is measured, what leaves less.
    pub(super) fn part(&self, number: &Number) -> Part {
        let measured = number.counted.filter(|counted| {
            self.literal.is_none_or(|literal| !self.figure.is_more(*counted, literal) && *counted != literal)
        });
        Part { connections: measured.or(self.literal), is_measured: measured.is_some() }
    }

    /// Whether both ask the same, whatever stands beside it.
    #[must_use]
    pub fn asks_as(&self, other: &Self) -> bool {
        self.asked == other.asked
    }

    /// Whether it is a query of the budget's own, which the class must allow.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        matches!(self.asked, Asked::Free(_))
    }

    /// The query, for a source whose series tell their namespace like that. A gauge is one of the budget's own namespace: what
    /// runs elsewhere is nobody's business here.
    #[must_use]
    pub fn query(&self, namespace: &str, identity: &Identity) -> FreeQuery {
        match &self.asked {
            Asked::Free(query) => query.clone(),
            // Where several series answer, what leaves less.
            Asked::Series(selector) => {
                let join = match self.figure {
                    Figure::Capacity => Joined::Min,
                    Figure::Other(_) => Joined::Sum,
                };
                FreeQuery::joined(join, selector, identity, namespace)
            }
        }
    }
}

/// Why a number is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The word.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

/// What is known of a number that is measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Number {
    /// What counts of it, as far as it was ever known.
    pub counted: Option<i64>,
    /// Whether it is read.
    pub standing: Standing,
}

/// Whether a number is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nobody knows yet: the first answer has yet to come.
    #[default]
    Unasked,
    /// It is read.
    Read,
    /// It is not.
    Unread(Unread),
}

/// What is known of the numbers of a budget that are measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures(BTreeMap<Figure, Number>);

impl Figures {
    /// Of those numbers.
    #[must_use]
    pub fn new(numbers: impl IntoIterator<Item = (Figure, Number)>) -> Self {
        Self(numbers.into_iter().collect())
    }

    /// As the status of `budget` tells it, for somebody who measures nothing.
    #[must_use]
    pub fn told(budget: &ConnectionBudget) -> Self {
        Self::of_status(budget, &Standing::Read)
    }

    /// As the status of `budget` tells it, for somebody who is about to measure.
    #[must_use]
    pub fn unasked(budget: &ConnectionBudget) -> Self {
        Self::of_status(budget, &Standing::Unasked)
    }

    fn of_status(budget: &ConnectionBudget, standing: &Standing) -> Self {
        let measured = budget.status.as_ref().and_then(|status| status.measured.clone()).unwrap_or_default();
        let others = measured
            .others
            .into_iter()
            .map(|MeasuredOther { name, connections }| (Figure::Other(name.into()), connections));
        let counted = measured.capacity.map(|connections| (Figure::Capacity, connections)).into_iter().chain(others);
        let number =
            |(figure, connections)| (figure, Number { counted: Some(connections), standing: standing.clone() });
        let mut numbers: BTreeMap<Figure, Number> = counted.map(number).collect();
        for gauge in Gauge::all(budget).into_iter().flatten() {
            numbers.entry(gauge.figure).or_insert_with(|| Number { counted: None, standing: standing.clone() });
        }
        Self(numbers)
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, figure: &Figure) -> Option<&Number> {
        self.0.get(figure)
    }

    /// What the status of a budget tells of them.
    #[must_use]
    pub fn status(&self) -> Option<Measured> {
        let mut measured = Measured::default();
        for (figure, number) in &self.0 {
            match (figure, number.counted) {
                (Figure::Capacity, counted) => measured.capacity = counted,
                (Figure::Other(name), Some(connections)) => {
                    measured.others.push(MeasuredOther { name: name.to_string(), connections });
                }
                (Figure::Other(_), None) => {}
            }
        }
        (measured != Measured::default()).then_some(measured)
    }
}

/// The course of a number that is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    counted: Option<i64>,
    /// Since when every reading has left more than what counts, and what the least of them leaves.
    more: Option<(Instant, i64)>,
    /// When it was read last.
    read: Option<Instant>,
    begun: Instant,
    /// Why it was not read since.
    unread: Option<Unread>,
}

impl Course {
    /// Of a number of which that was known before.
    #[must_use]
    pub const fn new(known: Option<i64>, now: Instant) -> Self {
        Self { counted: known, more: None, read: None, begun: now, unread: None }
    }

    /// Takes in what was read, or why nothing was. `apart`: how far apart two readings may be without a gap.
    pub fn take(&mut self, figure: &Figure, at: Instant, reading: Result<f64, Unread>, apart: Span) {
        let none = |value: f64| Unread {
            reason: Reason::NotANumber,
            message: format!("it reads {value}, which is no number of connections"),
        };
        let reading = reading.and_then(|value| figure.connections(value).ok_or_else(|| none(value)));
        let value = match reading {
            Ok(value) => value,
            Err(unread) => {
                (self.more, self.unread) = (None, Some(unread));
                return;
            }
        };
        if self.read.is_some_and(|read| at.since(read) > apart) {
            self.more = None;
        }
        (self.read, self.unread) = (Some(at), None);
        if !self.counted.is_some_and(|counted| figure.is_more(value, counted)) {
            (self.counted, self.more) = (Some(value), None);
            return;
        }
        let (since, least) = self.more.unwrap_or((at, value));
        let least = if figure.is_more(least, value) { value } else { least };
        if at.since(since) >= LASTS {
            (self.counted, self.more) = (Some(least), None);
        } else {
            self.more = Some((since, least));
        }
    }

    /// Lets a literal take the place of what has not been read for long. When it is read again, that counts at once.
    pub fn give_way(&mut self, max_age: Span, now: Instant) {
        if now.since(self.read.unwrap_or(self.begun)) >= LASTS.max(max_age) {
            (self.counted, self.more) = (None, None);
        }
    }

    /// What is known of it now. `max_age`: how long a reading is news; `silent`: why nobody answers, where that is known.
    #[must_use]
    pub fn number(&self, max_age: Span, now: Instant, silent: impl FnOnce() -> Unread) -> Number {
        let is_old = now.since(self.read.unwrap_or(self.begun)) > max_age;
        let standing = match (self.read, is_old) {
            (Some(_), false) => Standing::Read,
            // Who knows what it was does not take one lost answer for news.
            (None, false) if self.counted.is_some() || self.unread.is_none() => Standing::Unasked,
            (None, false) | (_, true) => Standing::Unread(self.unread.clone().unwrap_or_else(silent)),
        };
        Number { counted: self.counted, standing }
    }
}
