//! Verdicts: what readings say about a threshold, and for how long.
//!
//! Owns the meaning of `above`, `below`, `for`, hysteresis and of readings that are missing. Must not know queries,
//! sources or alerts; asks no clock: every reading comes with its time.
//!
//! A [`Track`] follows one threshold on one target. Its rules, for each level apart (the worst breached level is the
//! verdict):
//!
//! | rule | is |
//! |---|---|
//! | bounds are strict | a reading on the bound is no breach |
//! | a share of few events shows little | what crosses a bound is the end of its interval ([`Shown`]), not the reading: where the interval lies on both sides of the bound, nothing begins. What ends a breach is the reading, because a few events never show that all is well |
//! | `for` needs evidence | every reading since then crossed the bound, and none was missing for longer than the sweep allows. One that does not cross it ends `Pending`, even inside the hysteresis |
//! | a breach ends at its clear bound | between the two bounds it holds |
//! | a missing reading is no reading | it neither begins nor ends anything: what was breached is held |
//! | one missing reading is not said | the second in a row is `NoData`, so that one lost query does not stir up every policy. Before the first reading, one is enough |
//!
//! Prometheus' own rules forget a pending alert as soon as one evaluation finds nothing. Here one miss is tolerated, because
//! it is more often the query that failed than the application; a longer gap begins `for` anew: late, never early.

mod proof;

use std::num::NonZeroU32;

pub use self::proof::{Other, Proof, ProofTrack};

use super::{
    facts::{Instant, Span},
    policy::thresholds::{Level, Shown},
    promql::Missing,
    units::Bound,
};
use crate::api::{conditions::Reason, policy::Severity};

/// Most levels of a threshold: one per severity.
const MAX_LEVELS: usize = 3;
/// Missing readings in a row that make `NoData`, after a first reading.
const MAX_MISSES: u8 = 2;

/// What is known of a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Nobody has asked yet.
    Unjudged,
    /// No level is breached.
    Within,
    /// A bound is crossed, but not long enough.
    Pending {
        /// Since when.
        since: Instant,
        /// Of the worst such level.
        severity: Severity,
    },
    /// A level is breached.
    Breached(Breach),
    /// There is no reading. Nothing acts on it, and what was breached before is held.
    NoData(Gap),
}

/// A breached level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breach {
    /// Its severity.
    pub severity: Severity,
    /// Since when it counts: the crossing itself began earlier, by the level's `for`.
    pub since: Instant,
    /// The reading then, in base units, rounded to single precision.
    pub value: f64,
    /// The number of observations that it was a share of, where that says how certain it was; else zero.
    pub tries: f64,
    /// Which side of the level is crossed.
    pub side: Side,
    /// The bound that is crossed.
    pub bound: Bound,
}

/// A time without readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When a reading was missing for the first time.
    pub since: Instant,
    /// Why.
    pub missing: Missing,
}

/// Side of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Above the upper bound.
    Above,
    /// Below the lower bound.
    Below,
}

impl Side {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
        }
    }
}

/// The part of a verdict that people are told. A change of it is a transition; a new value alone never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    judged: bool,
    breach: Option<(usize, Side, Second)>,
    missing: Option<Missing>,
}

/// Follows one threshold on one target.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Track {
    levels: [Memory; MAX_LEVELS],
    /// The last reading in base units, and its time.
    value: f32,
    seen: Option<Second>,
    /// The number of observations by which the reading is uncertain.
    tries: f32,
    /// When readings began to miss, how many in a row, and why.
    blind: Option<Second>,
    misses: u8,
    missing: Option<Missing>,
}

/// What is remembered of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Memory {
    phase: Phase,
    side: Option<Side>,
    since: Option<Second>,
    /// The number of observations at the transition to `Breached`.
    tries: Tries,
    /// The reading then.
    value: f32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Calm,
    Pending,
    Breached,
}

impl Track {
    /// Takes a reading of `at`, in base units; no longer than `continuity` after the one before it counts as continuous.
    ///
    /// A reading that is not newer than the last one is ignored, so that none counts twice. If it is much older, the clock
    /// was set back, and what was pending begins anew.
    pub fn judge(&mut self, levels: &[Level], at: Instant, reading: Result<f64, Missing>, continuity: Span) {
        self.judge_shown(levels, at, reading.map(Shown::from), continuity);
    }

    /// The same of a reading that may be uncertain.
    pub fn judge_shown(&mut self, levels: &[Level], at: Instant, reading: Result<Shown, Missing>, continuity: Span) {
        match reading {
            Ok(shown) if shown.value.is_finite() => self.read(levels, at, shown, continuity),
            Ok(_) => self.miss(at, Missing::new(Reason::NotANumber)),
            Err(missing) => self.miss(at, missing),
        }
    }

    fn read(&mut self, levels: &[Level], at: Instant, shown: Shown, continuity: Span) {
        let elapsed = self.seen.map(|seen| at.since(seen.instant()));
        if elapsed.is_some_and(|elapsed| elapsed <= Span::ZERO && elapsed >= continuity.times(-1)) {
            return;
        }
        let interrupted = elapsed.is_some_and(|elapsed| elapsed < Span::ZERO || elapsed > continuity);
        (self.value, self.tries, self.seen) = (narrow(shown.value), narrow(shown.tries), Some(Second::ceil(at)));
        (self.blind, self.misses, self.missing) = (None, 0, None);
        for (level, memory) in levels.iter().zip(&mut self.levels) {
            memory.take(level, at, shown, interrupted);
        }
    }

    fn miss(&mut self, at: Instant, missing: Missing) {
        self.blind.get_or_insert(Second::ceil(at));
        self.misses = self.misses.saturating_add(1);
        // How many series answer may change all the time; the first number is as good as any.
        let same = self.missing.is_some_and(|old| old.why == missing.why);
        if !same && (self.seen.is_none() || self.misses >= MAX_MISSES) {
            self.missing = Some(missing);
        }
    }

    /// Learns from readings before `at` (time and value in base units) for how long bounds have been crossed, so that a
    /// restart does not begin every `for` anew. It makes nothing breached: that takes a reading of now.
    pub fn rebuild(
        &mut self,
        levels: &[Level],
        at: Instant,
        past: &[(Instant, impl Into<Shown> + Copy)],
        continuity: Span,
    ) {
        if self.seen.is_some() {
            return;
        }
        let past = past.iter().map(|(time, shown)| (*time, (*shown).into()));
        let mut past: Vec<(Instant, Shown)> =
            past.filter(|(time, shown)| *time < at && shown.value.is_finite()).collect();
        past.sort_by_key(|(time, _)| *time);
        let Some((last, _)) = past.last().copied().filter(|(last, _)| at.since(*last) <= continuity) else { return };
        for (level, memory) in levels.iter().zip(&mut self.levels) {
            let mut run: Option<(Instant, Instant, Side)> = None;
            for (time, shown) in &past {
                run = crossed(level, *shown).map(|side| match run {
                    Some((from, to, _)) if time.since(to) <= continuity => (from, *time, side),
                    Some(_) | None => (*time, *time, side),
                });
            }
            if let Some((from, _, side)) = run.filter(|_| level.hold > Span::ZERO) {
                *memory = Memory {
                    phase: Phase::Pending,
                    side: Some(side),
                    since: Some(Second::ceil(from)),
                    ..Memory::default()
                };
            }
        }
        // Before `at`, whose own reading is still to come.
        self.seen = Some(Second::floor(last));
    }

    /// Takes over a breach that was announced before a restart: it holds until a reading clears it.
    pub fn recall(&mut self, levels: &[Level], severity: Severity, since: Instant, shown: impl Into<Shown>) {
        let shown: Shown = shown.into();
        let index = levels.iter().position(|level| level.severity == severity);
        let Some((level, memory)) = index.and_then(|index| Some((levels.get(index)?, self.levels.get_mut(index)?)))
        else {
            return;
        };
        // The status does not say the side, but the value does.
        let side = crossed(level, shown).or(if level.above.is_some() { Some(Side::Above) } else { Some(Side::Below) });
        let (tries, value) = (Tries::of(shown.tries), narrow(shown.value));
        *memory = Memory { phase: Phase::Breached, side, since: Some(Second::ceil(since)), tries, value };
    }

    /// Takes over since when readings were missing before a restart. It is said again when the first one is missing.
    pub fn recall_gap(&mut self, since: Instant) {
        self.blind = Some(Second::ceil(since));
    }

    /// The verdict.
    #[must_use]
    pub fn verdict(&self, levels: &[Level]) -> Verdict {
        if let Some(gap) = self.gap() {
            return Verdict::NoData(gap);
        }
        if self.seen.is_none() {
            return Verdict::Unjudged;
        }
        if let Some(breach) = self.breach(levels) {
            return Verdict::Breached(breach);
        }
        let pending = levels.iter().zip(&self.levels).find(|(_, memory)| memory.phase == Phase::Pending);
        match pending.and_then(|(level, memory)| Some((level, memory.since?))) {
            Some((level, since)) => Verdict::Pending { since: since.instant(), severity: level.severity },
            None => Verdict::Within,
        }
    }

    /// The worst breached level, held or not.
    #[must_use]
    pub fn breach(&self, levels: &[Level]) -> Option<Breach> {
        let (level, memory) = levels.iter().zip(&self.levels).find(|(_, memory)| memory.phase == Phase::Breached)?;
        let (side, since) = (memory.side?, memory.since?);
        let limit = match side {
            Side::Above => level.above,
            Side::Below => level.below,
        };
        let value = f64::from(memory.value);
        let tries = memory.tries.get();
        Some(Breach { severity: level.severity, since: since.instant(), value, tries, side, bound: limit?.bound })
    }

    /// Since when readings are missing, once that is said.
    #[must_use]
    pub fn gap(&self) -> Option<Gap> {
        Some(Gap { since: self.blind?.instant(), missing: self.missing? })
    }

    /// The last reading in base units, unless readings are missing.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        (self.seen.is_some() && self.missing.is_none()).then_some(f64::from(self.value))
    }

    /// The last reading with its interval, unless readings are missing.
    #[must_use]
    pub fn shown(&self) -> Option<Shown> {
        self.value().map(|value| Shown::of(value, Some(f64::from(self.tries))))
    }

    /// Whether there was a reading, or it is said that there is none.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.seen.is_some() || self.missing.is_some()
    }

    /// What people are told.
    #[must_use]
    pub fn announced(&self) -> Announced {
        let breached = self.levels.iter().enumerate().find(|(_, memory)| memory.phase == Phase::Breached);
        let breach = breached.and_then(|(index, memory)| Some((index, memory.side?, memory.since?)));
        Announced { judged: self.is_judged(), breach, missing: self.missing }
    }
}

impl Memory {
    fn take(&mut self, level: &Level, at: Instant, shown: Shown, interrupted: bool) {
        let value = shown.value;
        let Some(side) = crossed(level, shown) else {
            let held = self.phase == Phase::Breached && !self.side.is_none_or(|side| cleared(level, side, value));
            if !held {
                *self = Self::default();
            }
            return;
        };
        // The side decides where the breach ends: that of a band can change while it lasts.
        self.side = Some(side);
        let continues = self.phase == Phase::Pending && !interrupted;
        let from = self.since.filter(|_| continues).unwrap_or_else(|| Second::ceil(at));
        if self.phase == Phase::Breached {
            // Since when it counts, it keeps.
        } else if at.since(from.instant()) >= level.hold {
            (self.phase, self.since) = (Phase::Breached, Some(Second::ceil(at)));
            (self.tries, self.value) = (Tries::of(shown.tries), narrow(value));
        } else {
            (self.phase, self.since) = (Phase::Pending, Some(from));
        }
    }
}

fn crossed(level: &Level, shown: Shown) -> Option<Side> {
    if level.above.is_some_and(|limit| shown.least > limit.bound.as_f64()) {
        Some(Side::Above)
    } else if level.below.is_some_and(|limit| shown.most < limit.bound.as_f64()) {
        Some(Side::Below)
    } else {
        None
    }
}

/// Whether a reading that crosses no bound ends a breach of that side.
fn cleared(level: &Level, side: Side, value: f64) -> bool {
    match side {
        Side::Above => level.above.is_none_or(|limit| value <= limit.clear.as_f64()),
        Side::Below => level.below.is_none_or(|limit| value >= limit.clear.as_f64()),
    }
}

/// A number of observations in two bytes, for which a track has room: by its logarithm, to a third of a thousandth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tries(u16);

impl Tries {
    /// Steps of a doubling.
    const FINE: f64 = 1000.0;

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
    fn of(tries: f64) -> Self {
        Self(if tries >= 1.0 { (tries.log2() * Self::FINE).round() as u16 + 1 } else { 0 })
    }

    fn get(self) -> f64 {
        self.0.checked_sub(1).map_or(0.0, |steps| (f64::from(steps) / Self::FINE).exp2().round())
    }
}

/// A whole second since the epoch, in half the size of an instant: there is a row for each threshold of each target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Second(NonZeroU32);

impl Second {
    /// The second at or after `at`: a `for` that begins then ends late and never early.
    fn ceil(at: Instant) -> Self {
        Self::of(at.millis().div_euclid(1000) + i64::from(at.millis().rem_euclid(1000) > 0))
    }

    /// The second at or before `at`.
    fn floor(at: Instant) -> Self {
        Self::of(at.millis().div_euclid(1000))
    }

    fn of(seconds: i64) -> Self {
        let fits = u32::try_from(seconds.max(1)).unwrap_or(u32::MAX);
        Self(NonZeroU32::new(fits).unwrap_or(NonZeroU32::MIN))
    }

    fn instant(self) -> Instant {
        Instant::from_millis(i64::from(self.0.get()) * 1000)
    }
}

/// For people and gauges, single precision is plenty; verdicts never see it.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is wanted, and the range is kept")]
fn narrow(value: f64) -> f32 {
    value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

#[cfg(test)]
mod tests;
