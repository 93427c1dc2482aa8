//! Answers of the past: what a Prometheus answered over ranges, looked up as if it were asked at one moment.

use std::collections::BTreeMap;

use super::super::{
    engine::{Answer, Refusal, Series},
    facts::{Instant, Span},
};

/// Something to ask for: a range query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Name of the source.
    pub source: Box<str>,
    /// `PromQL`.
    pub expr: Box<str>,
    /// First evaluation.
    pub start: Instant,
    /// Last evaluation.
    pub end: Instant,
    /// Time between two.
    pub step: Span,
}

/// What a query answered over a range.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// Name of the source; `None`: whichever is asked.
    pub source: Option<Box<str>>,
    /// `PromQL`.
    pub expr: Box<str>,
    /// First evaluation.
    pub start: Instant,
    /// Last evaluation.
    pub end: Instant,
    /// Time between two.
    pub step: Span,
    /// How old a point may be to stand for a moment that has none of its own: zero where every evaluation is here.
    pub reach: Span,
    /// The answer.
    pub answer: Result<Vec<Series>, Refusal>,
}

/// Answers of the past, by query.
#[derive(Clone, Debug, Default)]
pub struct History {
    courses: BTreeMap<Box<str>, Vec<Course>>,
    /// Nothing can be added: a query that is here is answered at any time, outside of its courses with no series.
    complete: bool,
}

/// What a course says of a moment.
type Seen<'a> = Result<Vec<(&'a Series, f64)>, &'a Refusal>;

impl History {
    /// What was recorded, to which nothing will be added.
    #[must_use]
    pub fn recorded(courses: Vec<Course>) -> Self {
        let mut history = Self { courses: BTreeMap::new(), complete: true };
        for course in courses {
            history.add(course);
        }
        history
    }

    /// Takes an answer.
    pub fn add(&mut self, course: Course) {
        let known = self.courses.entry(course.expr.clone()).or_default();
        let continued = known.iter_mut().find(|before| before.is_continued_by(&course));
        match continued {
            Some(before) => before.append(course),
            None => known.push(course),
        }
    }

    /// All answers.
    pub fn courses(&self) -> impl Iterator<Item = &Course> {
        self.courses.values().flatten()
    }

    /// From the first to the last evaluation.
    #[must_use]
    pub fn span(&self) -> Option<(Instant, Instant)> {
        let start = self.courses().map(|course| course.start).min()?;
        Some((start, self.courses().map(|course| course.end).max()?))
    }

    /// What a query answers at a moment; `None` where that is not known.
    #[must_use]
    pub fn instant(&self, source: &str, expr: &str, at: Instant) -> Option<Answer> {
        let seen = match self.seen(source, expr, at)? {
            Ok(seen) => seen,
            Err(refusal) => return Some(Err(refusal.clone())),
        };
        let point = |(series, value): (&Series, f64)| Series {
            labels: series.labels.clone(),
            // An answer is of the time that it was asked for, however old its samples are.
            points: vec![(at.seconds(), value)],
        };
        Some(Ok(seen.into_iter().map(point).collect()))
    }

    /// What a query answers over a range; `None` where a part of that is not known.
    #[must_use]
    pub fn range(&self, source: &str, expr: &str, (start, end): (Instant, Instant), step: Span) -> Option<Answer> {
        let mut series: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
        let mut at = start;
        while at <= end {
            match self.seen(source, expr, at)? {
                Ok(seen) => seen.into_iter().for_each(|(one, value)| {
                    series.entry(&one.labels).or_default().push((at.seconds(), value));
                }),
                Err(refusal) => return Some(Err(refusal.clone())),
            }
            at = at + step.max(Span::millis(1));
        }
        Some(Ok(series.into_iter().map(|(labels, points)| Series { labels: labels.clone(), points }).collect()))
    }

    fn seen(&self, source: &str, expr: &str, at: Instant) -> Option<Seen<'_>> {
        let known = self.courses.get(expr)?;
        let mut known =
            known.iter().filter(|course| course.source.as_deref().is_none_or(|name| name == source)).peekable();
        known.peek()?;
        let within = |course: &&Course| course.start <= at && at <= course.end + course.reach;
        let (mut exact, mut near) = (None, None);
        for course in known.filter(within) {
            if course.has(at) {
                exact = exact.or(Some(course));
            } else if course.reach > Span::ZERO {
                near = near.or(Some(course));
            }
        }
        match exact.or(near) {
            Some(course) => Some(course.seen(at)),
            None => self.complete.then(|| Ok(Vec::new())),
        }
    }
}

impl Course {
    /// Whether that moment was evaluated.
    fn has(&self, at: Instant) -> bool {
        at <= self.end && at.since(self.start).as_millis() % self.step.as_millis().max(1) == 0
    }

    fn seen(&self, at: Instant) -> Seen<'_> {
        let reach = if self.has(at) && self.reach < self.step { Span::ZERO } else { self.reach };
        let newest = |series: &'_ Series| {
            let until = series.points.partition_point(|(time, _)| millis(*time) <= at.millis());
            let (time, value) = series.points.get(until.checked_sub(1)?)?;
            (at.millis() - millis(*time) <= reach.as_millis()).then_some(*value)
        };
        match &self.answer {
            Ok(all) => Ok(all.iter().filter_map(|series| Some((series, newest(series)?))).collect()),
            Err(refusal) => Err(refusal),
        }
    }

    fn is_continued_by(&self, next: &Self) -> bool {
        self.source == next.source
            && self.step == next.step
            && self.reach == next.reach
            && self.end + self.step == next.start
            && match (&self.answer, &next.answer) {
                (Ok(_), Ok(_)) => true,
                (Err(one), Err(other)) => one == other,
                (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
            }
    }

    fn append(&mut self, next: Self) {
        self.end = next.end;
        if let (Ok(mine), Ok(more)) = (&mut self.answer, next.answer) {
            let known: BTreeMap<_, usize> =
                mine.iter().enumerate().map(|(index, series)| (series.labels.clone(), index)).collect();
            for series in more {
                match known.get(&series.labels).and_then(|index| mine.get_mut(*index)) {
                    Some(before) => before.points.extend(series.points),
                    None => mine.push(series),
                }
            }
        }
    }
}

/// The same with one range where several of a query can be asked for together.
pub(super) fn joined(fetches: Vec<Fetch>) -> Vec<Fetch> {
    let mut all: Vec<Fetch> = Vec::new();
    for fetch in fetches {
        let same = |known: &&mut Fetch| {
            let apart = known.start.since(fetch.start).as_millis() % fetch.step.as_millis().max(1);
            (&known.source, &known.expr, known.step) == (&fetch.source, &fetch.expr, fetch.step) && apart == 0
        };
        match all.iter_mut().find(same) {
            Some(known) => (known.start, known.end) = (known.start.min(fetch.start), known.end.max(fetch.end)),
            None => all.push(fetch),
        }
    }
    all
}

/// A sample's time in milliseconds.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and such times are no moments of a replay")]
pub fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}
