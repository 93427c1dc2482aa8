//! What became of one threshold: its verdicts one after the other, and the shape of its readings.

use std::collections::BTreeMap;

use super::{
    super::{
        engine::sweep::Reading,
        evaluate::Verdict,
        facts::{Instant, Span},
        policy::thresholds::Level,
        units::BaseUnit,
    },
    Period,
};
use crate::api::{conditions::Reason, policy::Severity};

/// Columns of a picture: readings that fall into one are told by the smallest and the largest.
const COLUMNS: i64 = 480;

/// A verdict, without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has asked yet.
    Unjudged,
    /// No level is breached.
    Within,
    /// A bound is crossed, but not long enough.
    Pending(Severity),
    /// A level is breached.
    Breached(Severity),
    /// There is no reading, and why.
    NoData(Reason),
    /// It is not judged any more: a value of its labels that nothing answers.
    Gone,
}

/// A time with one verdict; it ends when the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell {
    pub state: State,
    pub since: Instant,
}

/// Readings of a part of the time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// When the first and the last of them were.
    pub first: Instant,
    pub last: Instant,
    pub least: f64,
    pub most: f64,
    /// The last of them.
    pub end: f64,
    /// Whether a reading is missing between this and the column before.
    pub apart: bool,
}

/// One bound at some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub severity: Severity,
    pub above: bool,
    pub bound: f64,
    pub clear: f64,
    /// As the policy writes it.
    pub spelled: String,
}

/// What became of a threshold on a target, or of one value of its labels.
#[derive(Clone, Debug)]
pub struct Watched {
    pub unit: BaseUnit,
    pub is_pattern: bool,
    pub spells: Vec<Spell>,
    /// Bounds, from the time on since which they are so.
    pub lines: Vec<(Instant, Vec<Line>)>,
    pub columns: Vec<Column>,
    pub readings: u64,
    pub least: f64,
    pub most: f64,
    /// Breaches that began, and those of them that came back.
    pub breaches: u64,
    pub flaps: u64,
    /// Whether it is breached, be it without data.
    open: bool,
    ended: Option<Instant>,
    levels: Vec<Level>,
    pub seen: Instant,
    missed: bool,
}

impl State {
    fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Unjudged => Self::Unjudged,
            Verdict::Within => Self::Within,
            Verdict::Pending { severity, .. } => Self::Pending(*severity),
            Verdict::Breached(breach) => Self::Breached(breach.severity),
            Verdict::NoData(gap) => Self::NoData(gap.missing.why),
        }
    }

    /// The word, as statuses have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unjudged => "Unjudged",
            Self::Within => "Within",
            Self::Pending(_) => "Pending",
            Self::Breached(_) => "Breached",
            Self::NoData(_) => "NoData",
            Self::Gone => "Gone",
        }
    }

    pub const fn severity(self) -> Option<Severity> {
        match self {
            Self::Pending(severity) | Self::Breached(severity) => Some(severity),
            Self::Unjudged | Self::Within | Self::NoData(_) | Self::Gone => None,
        }
    }

    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::NoData(reason) => Some(reason),
            _ => None,
        }
    }

    /// What people are told: pending is no transition.
    const fn told(self) -> Self {
        match self {
            Self::Pending(_) => Self::Within,
            state => state,
        }
    }
}

impl Watched {
    pub fn new(unit: BaseUnit, is_pattern: bool, at: Instant) -> Self {
        Self {
            unit,
            is_pattern,
            spells: Vec::new(),
            lines: Vec::new(),
            columns: Vec::new(),
            readings: 0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
            breaches: 0,
            flaps: 0,
            open: false,
            ended: None,
            levels: Vec::new(),
            seen: at,
            missed: false,
        }
    }

    /// Takes what the engine says at a sweep; a breach that comes back within `flap` is one that flaps.
    pub fn take(&mut self, reading: &Reading<'_>, at: Instant, period: Period, flap: Span) {
        self.seen = at;
        self.enter(State::of(&reading.verdict), at, flap);
        if self.lines.is_empty() || self.levels != reading.levels {
            self.levels = reading.levels.to_vec();
            self.lines.push((at, lines(reading.levels)));
        }
        match reading.value.filter(|value| value.is_finite()) {
            Some(value) => self.plot(value, at, period),
            None => self.missed = true,
        }
    }

    /// Notes that nobody judges it any more.
    pub fn lose(&mut self, at: Instant) {
        self.missed = true;
        if self.spells.last().is_some_and(|spell| spell.state != State::Gone) {
            self.spells.push(Spell { state: State::Gone, since: at });
            if std::mem::take(&mut self.open) {
                self.ended = Some(at);
            }
        }
    }

    fn enter(&mut self, state: State, at: Instant, flap: Span) {
        match state {
            State::Breached(_) if !self.open => {
                self.open = true;
                self.breaches += 1;
                self.flaps += u64::from(self.ended.is_some_and(|ended| at.since(ended) <= flap));
            }
            State::Within | State::Pending(_) if self.open => (self.open, self.ended) = (false, Some(at)),
            // What was breached is held without data.
            _ => {}
        }
        if self.spells.last().is_none_or(|spell| spell.state != state) {
            self.spells.push(Spell { state, since: at });
        }
    }

    fn plot(&mut self, value: f64, at: Instant, period: Period) {
        self.readings += 1;
        (self.least, self.most) = (self.least.min(value), self.most.max(value));
        let length = period.to.since(period.from).as_millis().max(1);
        let column =
            |at: Instant| i128::from(at.since(period.from).as_millis()) * i128::from(COLUMNS) / i128::from(length);
        let apart = std::mem::take(&mut self.missed);
        match self.columns.last_mut() {
            Some(last) if !apart && column(last.first) == column(at) => {
                (last.least, last.most) = (last.least.min(value), last.most.max(value));
                (last.last, last.end) = (at, value);
            }
            _ => self.columns.push(Column { first: at, last: at, least: value, most: value, end: value, apart }),
        }
    }

    /// Spells with their ends.
    pub fn spans(&self, end: Instant) -> impl Iterator<Item = (Spell, Instant)> + Clone {
        let ends = self.spells.iter().skip(1).map(|spell| spell.since).chain([end]);
        self.spells.iter().copied().zip(ends)
    }

    /// How often what people are told changed, after the first verdict.
    pub fn transitions(&self) -> u64 {
        let told: Vec<State> =
            self.spells.iter().map(|spell| spell.state.told()).filter(|state| *state != State::Unjudged).collect();
        told.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64
    }

    /// How long it was in a state, by the word of that, and without data by the reason.
    pub fn times(&self, end: Instant) -> (BTreeMap<&'static str, Span>, BTreeMap<&'static str, Span>) {
        let (mut states, mut reasons) = (BTreeMap::new(), BTreeMap::new());
        let add = |map: &mut BTreeMap<&'static str, Span>, word, time: Span| {
            let known = map.entry(word).or_insert(Span::ZERO);
            *known = *known + time;
        };
        for (spell, until) in self.spans(end) {
            let time = until.since(spell.since);
            add(&mut states, spell.state.word(), time);
            if let Some(reason) = spell.state.reason() {
                add(&mut reasons, reason.as_str(), time);
            }
        }
        (states, reasons)
    }
}

fn lines(levels: &[Level]) -> Vec<Line> {
    let mut lines = Vec::new();
    for level in levels {
        for (limit, above) in [(level.above, true), (level.below, false)] {
            lines.extend(limit.map(|limit| Line {
                severity: level.severity,
                above,
                bound: limit.bound.as_f64(),
                clear: limit.clear.as_f64(),
                spelled: limit.bound.to_string(),
            }));
        }
    }
    lines
}
