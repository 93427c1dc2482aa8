//! What is asked, and what may be made of the answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    super::{Answer, QueryKind, Refusal, Series},
    ages::Ages,
    scope::{self, Layout},
};
use crate::{
    api::conditions::Reason,
    core::{
        facts::{Instant, Kind, Span},
        promql::{
            Check, FreeQuery, Freshness, Group, Missing, Query, RangeWindow, Reading, Sample, SampleBatch, SeriesKey,
            Shape, Told, WorkloadKind,
        },
        statistics,
    },
};

/// How far in the future a sample may lie.
const MAX_LEAD: Span = Span::minutes(1);
/// Data may at least be this old: twice the longest scrape interval that is usual.
const MIN_MAX_AGE: Span = Span::minutes(2);
/// Missed intervals after which data is too old.
const MAX_AGE_INTERVALS: i64 = 5;
/// A reading counts as continuous if at most one sweep between it and the last one was lost.
const CONTINUITY_INTERVALS: i64 = 2;
/// Points of the past that are asked for, of one series: what a `for` of hours needs to know is not seconds.
const MAX_PAST_POINTS: i64 = 240;
/// How much slower a question is asked at most that is too expensive or cannot be parsed.
const MAX_SLOWDOWN: i64 = 8;
/// How many sweeps pass between two askings whether readings can be trusted: what is asked changes with releases.
const CHECK_INTERVALS: i64 = 10;

/// What is asked: the identity of a question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    /// A reading of many workloads.
    Shape(Shape),
    /// The trend of so many readings of many workloads, one window after the other.
    Trend(Shape, u16),
    /// A policy's own query.
    Free(FreeQuery),
    /// A policy's own query for what pods tell, and the label that names them.
    Told(FreeQuery, Box<str>),
}

impl Ask {
    /// Labels that are read of an answer.
    fn labels(&self) -> Arc<[Box<str>]> {
        match self {
            Self::Shape(shape) | Self::Trend(shape, _) => shape.labels().map(Box::from).collect(),
            Self::Free(_) => Arc::default(),
            Self::Told(_, label) => [label.clone()].into(),
        }
    }

    /// What is read of many workloads.
    const fn shape(&self) -> Option<&Shape> {
        match self {
            Self::Shape(shape) | Self::Trend(shape, _) => Some(shape),
            Self::Free(_) | Self::Told(..) => None,
        }
    }

    /// What it tells of readings, if it asks for none.
    pub fn check(&self) -> Option<Check> {
        self.shape()?.check()
    }

    /// How many sweeps pass between two askings.
    fn pace(&self) -> i64 {
        if self.check().is_some() { CHECK_INTERVALS } else { 1 }
    }
}

/// Which of a question's queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The readings.
    Value,
    /// The age of the data.
    Freshness,
    /// The readings of before.
    Past,
}

/// What a question is known by: what is asked, and which part of those it is asked of.
pub(super) type Key = (Arc<Ask>, u16);

/// A query of a question.
#[derive(Debug)]
pub(super) struct Queried {
    pub part: Part,
    pub kind: QueryKind,
    pub expr: String,
    /// Evaluation time.
    pub at: Instant,
    /// Start and step if it is about the past.
    pub range: Option<(Instant, Span)>,
    /// Labels that are read of the answer.
    pub labels: Arc<[Box<str>]>,
}

/// Who wants an answer, while questions are put together.
#[derive(Debug, Default)]
pub(super) struct Draft {
    wanted: BTreeSet<SeriesKey>,
    /// Number of the policy and of its row, by the number of the name that a query would list.
    members: Vec<(u64, u32, u16)>,
    /// The shortest time between two askings that anybody wants; `None`: as often as the source is asked.
    pub every: Option<Span>,
    /// Whether somebody has never had an answer.
    pub unjudged: bool,
    /// The longest `for` of anybody.
    pub lookback: Span,
}

impl Draft {
    /// Enters a row: whose series it wants, the number of its policy, and its own.
    pub fn enter(&mut self, key: SeriesKey, policy: u32, row: u16) {
        self.members.push((scope::number_of(&key), policy, row));
        self.wanted.insert(key);
    }

    /// How to ask in a cluster of so many workloads, and what each query asks.
    pub fn split(self, ask: &Ask, workloads: usize, before: Option<Layout>) -> (Layout, Vec<Portion>) {
        let shared = matches!(ask, Ask::Shape(_) | Ask::Trend(..));
        let names: BTreeSet<u64> = self.wanted.iter().map(scope::number_of).collect();
        let layout = if shared { Layout::of(names.len(), workloads, before) } else { Layout::Named(1) };
        let mut portions: BTreeMap<u16, Portion> = BTreeMap::new();
        for key in self.wanted {
            let portion = portions.entry(layout.query_of(scope::number_of(&key))).or_default();
            // Whoever comes or goes changes the sum.
            let number = scope::hash([&*key.namespace, key.workload.as_deref().unwrap_or_default()]);
            portion.whom = portion.whom.wrapping_add(number);
            portion.wanted.insert(key);
        }
        for (name, policy, row) in self.members {
            portions.entry(layout.query_of(name)).or_default().members.push((policy, row));
        }
        let portions = portions.into_iter().map(|(number, mut portion)| {
            if layout == Layout::Everybody {
                portion.wanted = scope::namespaces(&portion.wanted);
            }
            Portion { number, lookback: self.lookback, every: self.every, unjudged: self.unjudged, ..portion }
        });
        (layout, portions.collect())
    }
}

/// What one query of a question asks.
#[derive(Debug, Default)]
pub(super) struct Portion {
    /// Which of the question's queries it is.
    pub number: u16,
    /// Whom it names.
    wanted: BTreeSet<SeriesKey>,
    /// A number that follows from whom it asks about.
    whom: u64,
    members: Vec<(u32, u16)>,
    every: Option<Span>,
    unjudged: bool,
    lookback: Span,
}

/// A question and how far it has got.
#[derive(Debug)]
pub(super) struct Question {
    expr: Box<str>,
    freshness: Option<Box<str>>,
    labels: Arc<[Box<str>]>,
    /// How whoever asks this is split into queries, and a number by which one of them is told from another one in its place.
    pub layout: Layout,
    pub born: u32,
    whom: u64,
    /// Number of the policy and of its row.
    pub members: Box<[(u32, u16)]>,
    lookback: Span,
    /// Time between two askings, where that is longer than the interval of the source.
    every: Span,
    /// When it is asked next, and for which time, unless for the time when it is asked.
    due: Instant,
    slot: Option<Instant>,
    /// How long after its slot it is asked.
    offset: Span,
    /// The age of the data, and how many rounds that has served.
    ages: Option<(Arc<Ages>, u8)>,
    /// How many intervals pass between two rounds.
    pace: i64,
    /// How many times more, while it is refused.
    slowdown: i64,
    /// Whether the past is to be asked, too.
    past: bool,
    round: Option<Round>,
    /// Why the last round failed as a whole.
    pub failure: Option<Refusal>,
}

/// One asking of a question.
#[derive(Debug)]
pub(super) struct Round {
    pub at: Instant,
    pub version: u32,
    /// Whom it is about.
    whom: u64,
    waiting: BTreeSet<Part>,
    value: Result<Values, Refusal>,
    freshness: Option<Result<Arc<Ages>, Refusal>>,
    limits: Freshness,
    past_step: Span,
    past: Past,
}

/// Readings of before, by whose they are, and the numbers of observations that they were made of.
#[derive(Debug, Default)]
struct Past {
    readings: BTreeMap<SeriesKey, Vec<(Instant, f64)>>,
    counts: BTreeMap<SeriesKey, Vec<(Instant, f64)>>,
}

/// What a query answered.
#[derive(Debug)]
enum Values {
    Shaped(SampleBatch),
    Free(Result<f64, Missing>),
    Told(Vec<Told>),
}

impl Question {
    pub fn new(
        ask: &Ask,
        portion: Portion,
        layout: Layout,
        interval: Span,
        (now, version): (Instant, u32),
        past: bool,
    ) -> Self {
        let (expr, freshness) = texts(ask, &portion.wanted, interval);
        let pace = ask.pace();
        Self {
            expr,
            freshness,
            labels: ask.labels(),
            layout,
            born: version,
            whom: portion.whom,
            members: portion.members.into(),
            lookback: portion.lookback,
            every: portion.every.unwrap_or_default(),
            // What need not be known at once does not add to the first round.
            due: if pace > 1 { now + interval } else { now },
            slot: None,
            offset: Span::ZERO,
            ages: None,
            pace,
            slowdown: 1,
            past,
            round: None,
            failure: None,
        }
    }

    /// The same question for other askers.
    pub fn redraw(self, ask: &Ask, portion: Portion, interval: Span, now: Instant) -> Self {
        let same = self.whom == portion.whom;
        let (expr, freshness) = if same { (self.expr, self.freshness) } else { texts(ask, &portion.wanted, interval) };
        let every = portion.every.unwrap_or_default();
        // Somebody new does not wait until it is asked the next time: that may be a while.
        let hurries = every < self.every || (portion.unjudged && every > interval);
        let (due, slot) = if hurries && now < self.due { (now, None) } else { (self.due, self.slot) };
        let ages = self.ages.filter(|_| same);
        let (members, lookback) = (portion.members.into(), portion.lookback);
        Self { expr, freshness, whom: portion.whom, members, lookback, every, due, slot, ages, ..self }
    }

    /// A number that follows from what is asked. `part`: which part of those it is asked of.
    pub fn number(&self, part: u16) -> u64 {
        // Not from whom it names: an edit moves no question.
        let text = self.expr.split('{').next().unwrap_or_default();
        scope::hash([text, &part.to_string()])
    }

    /// Sets how long after its slot it is asked: those of a source come one after the other, and not all at once.
    pub fn spread(&mut self, offset: Span) {
        if let Some(slot) = self.slot.filter(|_| self.offset != offset) {
            self.due = slot + offset;
        }
        self.offset = offset;
    }

    /// Whether it is to be asked. A clock that was set back does not make anybody wait for it to catch up.
    pub fn is_due(&self, interval: Span, now: Instant) -> bool {
        self.round.is_none() && (self.due <= now || self.due.since(now) > self.step(interval).times(3))
    }

    pub const fn is_under_way(&self) -> bool {
        self.round.is_some()
    }

    /// Begins a round. All questions of a source are evaluated for the same time, whenever they are asked.
    pub fn ask(&mut self, ask: &Ask, now: Instant, interval: Span, version: u32) -> Vec<Queried> {
        let slot = self.slot.take().filter(|slot| *slot <= now && now.since(*slot) < interval);
        let at = slot.unwrap_or(now).whole_seconds();
        let points = match ask {
            Ask::Trend(shape, points) => Some((i64::try_from(shape.window().millis()).unwrap_or(i64::MAX), *points)),
            Ask::Shape(_) | Ask::Free(_) | Ask::Told(..) => None,
        };
        let range = points.map(|(step, points)| {
            (at - Span::millis(step.saturating_mul(i64::from(points.saturating_sub(1)))), Span::millis(step))
        });
        let kind = if ask.shape().is_some() { QueryKind::Shared } else { QueryKind::Single };
        let query = |part, kind, expr: &str, range| Queried {
            part,
            kind,
            expr: expr.to_owned(),
            at,
            range,
            labels: Arc::clone(&self.labels),
        };
        let mut queries = vec![query(Part::Value, kind, &self.expr, range)];
        let limits = limits(interval);
        let mut freshness = None;
        if let Some(expr) = &self.freshness {
            match &mut self.ages {
                Some((ages, served)) if ages.serves(*served, at, limits) => {
                    *served += 1;
                    freshness = Some(Ok(Arc::clone(ages)));
                }
                _ => queries.push(query(Part::Freshness, QueryKind::Age, expr, None)),
            }
        }
        let mut past_step = Span::ZERO;
        // What a trend was before, its points do not tell.
        if std::mem::take(&mut self.past) && self.lookback > Span::ZERO && points.is_none() {
            let step = interval.as_millis().max(self.lookback.as_millis() / MAX_PAST_POINTS);
            let range = RangeWindow::before(at.millis(), self.lookback.as_millis(), step);
            past_step = Span::millis(range.step);
            let range = Some((Instant::from_millis(range.start), past_step));
            queries.push(query(Part::Past, QueryKind::Past, &self.expr, range));
        }
        self.round = Some(Round {
            at,
            version,
            whom: self.whom,
            waiting: queries.iter().map(|query| query.part).collect(),
            value: Err(Refusal { reason: Reason::Unknown, message: String::new() }),
            freshness,
            limits,
            past_step,
            past: Past::default(),
        });
        queries
    }

    pub fn asked_at(&self) -> Option<Instant> {
        self.round.as_ref().map(|round| round.at)
    }

    /// Takes the answer to one of the queries; the round, if it was the last one.
    pub fn take(&mut self, ask: &Ask, part: Part, answer: Answer) -> Option<Round> {
        let round = self.round.as_mut()?;
        if !round.waiting.remove(&part) {
            return None;
        }
        match part {
            Part::Value => round.value = answer.and_then(|series| values(ask, round.at, &series)),
            Part::Freshness => {
                let ages = answer.and_then(|series| batch(ask, round.at, &series, whole_key));
                let ages = ages.map(|batch| Arc::new(Ages::of(&batch, round.at, round.limits)));
                // It says nothing of whom it was not asked about.
                let ours = ages.as_ref().ok().filter(|_| round.whom == self.whom);
                self.ages = ours.map(|ages| (Arc::clone(ages), 1));
                round.freshness = Some(ages);
            }
            // Without a past everything begins now: late, never early.
            Part::Past => round.past = answer.map(|series| past(ask, series)).unwrap_or_default(),
        }
        if round.waiting.is_empty() { self.round.take() } else { None }
    }

    /// When to ask again, after a round.
    pub fn reschedule(&mut self, round: &Round, interval: Span, now: Instant) {
        let refused = round.refusal();
        let slower =
            refused.is_some_and(|refusal| matches!(refusal.reason, Reason::QueryTooExpensive | Reason::QueryInvalid));
        self.slowdown = if slower { (self.slowdown * 2).min(MAX_SLOWDOWN) } else { 1 };
        self.failure = refused.cloned();
        let slot = slot_after(round.at.max(now - self.step(interval)), self.step(interval));
        (self.slot, self.due) = (Some(slot), slot + self.offset);
    }

    /// How far apart two readings may be without a gap between them.
    pub fn continuity(&self, interval: Span) -> Span {
        self.step(interval).times(CONTINUITY_INTERVALS)
    }

    fn step(&self, interval: Span) -> Span {
        interval.times(self.pace).max(self.every).times(self.slowdown)
    }
}

/// The next multiple of `step` that is at least half a step away.
fn slot_after(at: Instant, step: Span) -> Instant {
    let step = step.as_millis().max(1);
    let slot = (at.millis().saturating_add(step / 2)).div_euclid(step).saturating_add(1);
    Instant::from_millis(slot.saturating_mul(step))
}

fn limits(interval: Span) -> Freshness {
    Freshness { max_age: seconds(max_age(interval)), max_lead: seconds(MAX_LEAD) }
}

/// How old data may be.
pub(super) fn max_age(interval: Span) -> Span {
    interval.times(MAX_AGE_INTERVALS).max(MIN_MAX_AGE)
}

/// The query, and that for the age of its data: where the window is no longer than data may be old, older data does not
/// answer at all.
fn texts(ask: &Ask, wanted: &BTreeSet<SeriesKey>, interval: Span) -> (Box<str>, Option<Box<str>>) {
    match ask {
        Ask::Free(query) | Ask::Told(query, _) => (query.expr().into(), None),
        Ask::Shape(shape) | Ask::Trend(shape, _) => {
            let query = Query::Shaped { shape, wanted };
            let window = i64::try_from(shape.window().millis()).unwrap_or(i64::MAX);
            let needed = window > max_age(interval).as_millis() && ask.check().is_none();
            (query.expr().into(), query.freshness().filter(|_| needed).map(Into::into))
        }
    }
}

impl Round {
    /// The reading of a row.
    pub fn reading(&self, key: &SeriesKey) -> Reading {
        let (value, count) = match &self.value {
            Ok(Values::Shaped(batch)) => (batch.reading(key), batch.count(key)),
            Ok(Values::Free(value)) => (*value, None),
            // Nobody asks for one of them.
            Ok(Values::Told(_)) => (Err(Missing::new(Reason::AmbiguousResult)), None),
            Err(refusal) => return Reading { value: Err(Missing::new(refusal.reason)), count: None },
        };
        Reading { value: self.fresh(key, value), count }
    }

    /// The readings of a row that keeps labels apart.
    pub fn groups(&self, key: &SeriesKey) -> Result<Vec<(Group, Reading)>, Missing> {
        let readings = match &self.value {
            Ok(Values::Shaped(batch)) => batch.groups(key),
            Ok(Values::Free(value)) => Ok(vec![(Group::default(), Reading { value: *value, count: None })]),
            Ok(Values::Told(_)) => Err(Missing::new(Reason::AmbiguousResult)),
            Err(refusal) => return Err(Missing::new(refusal.reason)),
        };
        self.fresh(key, readings)
    }

    /// The answer as it is.
    pub const fn batch(&self) -> Option<&SampleBatch> {
        match &self.value {
            Ok(Values::Shaped(batch)) => Some(batch),
            Ok(Values::Free(_) | Values::Told(_)) | Err(_) => None,
        }
    }

    /// What the pods of a workload (or namespace) tell.
    pub fn told(&self, key: &SeriesKey) -> Result<Vec<Told>, Missing> {
        match &self.value {
            Ok(Values::Shaped(batch)) => batch.told(key),
            Ok(Values::Told(told)) if told.len() > Shape::MAX_TOLD => Err(Missing::new(Reason::TooManySeries)),
            Ok(Values::Told(told)) => Ok(told.clone()),
            Ok(Values::Free(value)) => value.map(|value| vec![Told { pod: None, value }]),
            Err(refusal) => Err(Missing::new(refusal.reason)),
        }
    }

    /// What was read of a workload (or namespace), unless the data is too old.
    fn fresh<T>(&self, key: &SeriesKey, read: Result<T, Missing>) -> Result<T, Missing> {
        let newest = match &self.freshness {
            None => return read,
            Some(Err(refusal)) => return Err(Missing::new(refusal.reason)),
            Some(Ok(ages)) => ages.newest(key),
        };
        match (read, newest) {
            // A range function still sees what the age query no longer does.
            (Ok(_), Err(Missing { why: Reason::NoData, .. })) => Err(Missing::new(Reason::StaleData)),
            // No reading because what there is is too old: say that.
            (read @ (Ok(_) | Err(Missing { why: Reason::NoData | Reason::TooFewSamples, .. })), newest @ Ok(_))
            | (read @ Ok(_), newest @ Err(_)) => self.limits.check(self.at.seconds(), newest).and(read),
            (Err(why), _) => Err(why),
        }
    }

    /// The readings of a row before this round, with their numbers of observations, and how far two of them may be apart
    /// without a gap.
    pub fn past(&self, key: &SeriesKey) -> (Vec<(Instant, Reading)>, Span) {
        let counts: BTreeMap<Instant, f64> = self.past.counts.get(key).into_iter().flatten().copied().collect();
        let readings = self.past.readings.get(key).into_iter().flatten();
        let past = readings.map(|(at, value)| (*at, Reading { value: Ok(*value), count: counts.get(at).copied() }));
        (past.collect(), self.past_step.times(CONTINUITY_INTERVALS))
    }

    fn refusal(&self) -> Option<&Refusal> {
        let freshness = self.freshness.as_ref().and_then(|answer| answer.as_ref().err());
        self.value.as_ref().err().or(freshness)
    }
}

fn values(ask: &Ask, at: Instant, series: &[Series]) -> Result<Values, Refusal> {
    match ask {
        Ask::Shape(_) => batch(ask, at, series, key).map(Values::Shaped),
        Ask::Trend(shape, points) => Ok(Values::Shaped(trends(ask, shape, *points, at, series))),
        Ask::Free(query) => {
            timely(at, series)?;
            let values: Vec<f64> = series.iter().filter_map(|series| Some(series.points.last()?.1)).collect();
            Ok(Values::Free(SampleBatch::single(&values, query.nan())))
        }
        Ask::Told(_, label) => {
            timely(at, series)?;
            let told = |series: &Series| {
                let pod = series.labels.get(label);
                Some(Told { pod: pod.map(Box::from), value: series.points.last()?.1 })
            };
            Ok(Values::Told(series.iter().filter_map(told).collect()))
        }
    }
}

fn batch(
    ask: &Ask,
    at: Instant,
    series: &[Series],
    key: fn(&Ask, &Series) -> Option<SeriesKey>,
) -> Result<SampleBatch, Refusal> {
    timely(at, series)?;
    let (counts, readings): (Vec<&Series>, Vec<&Series>) = series.iter().partition(|series| is_count(series));
    let sample = |series: &&Series| {
        let value = series.points.last()?.1;
        Some(Sample { key: key(ask, series)?, value })
    };
    let (nan, unread) = match ask {
        Ask::Shape(shape) | Ask::Trend(shape, _) => (shape.nan(), shape.without_reading()),
        Ask::Free(query) | Ask::Told(query, _) => (query.nan(), Reason::NoData),
    };
    let batch = SampleBatch::new(readings.iter().filter_map(sample), nan);
    Ok(batch.counted(counts.iter().filter_map(sample), unread))
}

/// The trend of each series: its change as a share of its median, where that is more than chance. A series with points
/// missing, or none of now, has too few of them.
fn trends(ask: &Ask, shape: &Shape, points: u16, at: Instant, series: &[Series]) -> SampleBatch {
    let step = seconds(Span::millis(i64::try_from(shape.window().millis()).unwrap_or(i64::MAX)));
    let enough = usize::from(points) * MIN_POINTS_OF_TEN / 10;
    let samples = series.iter().filter_map(|series| {
        let values: Vec<f64> =
            series.points.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).collect();
        let recent = series.points.last().is_some_and(|(time, _)| at.seconds() - time < 1.5 * step);
        let trend = statistics::trend(&values).filter(|_| recent && values.len() >= enough);
        let value = trend.map_or(f64::NAN, |trend| if trend.is_significant() { trend.share } else { 0.0 });
        Some(Sample { key: key(ask, series)?, value })
    });
    SampleBatch::new(samples, Reason::TooFewSamples)
}

/// Of ten points of a trend, so many must be there.
const MIN_POINTS_OF_TEN: usize = 8;

/// An answer carries the time it was computed for, which is the time that was asked for; a cache in between, or a backend
/// that ignores the time, shows here.
fn timely(at: Instant, series: &[Series]) -> Result<(), Refusal> {
    let refuse = |reason, message: &str| Err(Refusal { reason, message: message.to_owned() });
    for (time, _) in series.iter().filter_map(|series| series.points.last()) {
        let age = at.seconds() - time;
        if age < -seconds(MAX_LEAD) {
            return refuse(Reason::ClockSkew, "the answer is of a later time than asked for");
        }
        if age.is_nan() || age > seconds(MIN_MAX_AGE) {
            return refuse(Reason::StaleData, "the answer is of an earlier time than asked for");
        }
    }
    Ok(())
}

fn past(ask: &Ask, series: Vec<Series>) -> Past {
    let (counts, readings): (Vec<Series>, Vec<Series>) = series.into_iter().partition(is_count);
    Past { readings: courses(ask, readings), counts: courses(ask, counts) }
}

fn courses(ask: &Ask, series: Vec<Series>) -> BTreeMap<SeriesKey, Vec<(Instant, f64)>> {
    let mut past: BTreeMap<SeriesKey, Option<Vec<(Instant, f64)>>> = BTreeMap::new();
    for series in series {
        let Some(key) = key(ask, &series) else { continue };
        let points = series.points.iter().map(|(time, value)| (instant(*time), *value)).collect();
        // Of several series none is the right one.
        past.entry(key).and_modify(|known| *known = None).or_insert(Some(points));
    }
    past.into_iter().filter_map(|(key, points)| Some((key, points?))).collect()
}

/// Whose series it is; all of a free query belong to whoever asks.
fn key(ask: &Ask, series: &Series) -> Option<SeriesKey> {
    match ask.shape() {
        Some(shape) => shape.key(|label| series.labels.get(label)),
        None => Some(nobody()),
    }
}

/// Whether it tells numbers of observations.
fn is_count(series: &Series) -> bool {
    Shape::is_count(|label| series.labels.get(label))
}

/// The same for what is asked of a workload (or namespace) as a whole.
fn whole_key(ask: &Ask, series: &Series) -> Option<SeriesKey> {
    match ask.shape() {
        Some(shape) => shape.whole_key(|label| series.labels.get(label)),
        None => Some(nobody()),
    }
}

/// The key of a free query's answer.
pub(super) fn nobody() -> SeriesKey {
    SeriesKey::namespace("")
}

/// The kind of workload whose pods are read.
pub(super) const fn workload(kind: Kind) -> Option<WorkloadKind> {
    match kind {
        Kind::Deployment => Some(WorkloadKind::Deployment),
        Kind::StatefulSet => Some(WorkloadKind::StatefulSet),
        Kind::DaemonSet => Some(WorkloadKind::DaemonSet),
        Kind::HorizontalPodAutoscaler | Kind::ConfigMap | Kind::Cluster | Kind::Pooler | Kind::Stream => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "spans are at most years of milliseconds")]
fn seconds(span: Span) -> f64 {
    span.as_millis() as f64 / 1000.0
}

#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and such times are no readings")]
fn instant(seconds: f64) -> Instant {
    Instant::from_millis((seconds * 1000.0).round() as i64)
}
