//! What `/metrics` tells of sources: whether they answer, how much they are asked, and how long an answer takes.

use std::collections::BTreeMap;

use super::{Sweep, Token};
use crate::{
    api::MetricsSource,
    core::{
        facts::{Instant, Span},
        policy::PolicyKey,
    },
};

/// Upper bounds of [`Pace`], in seconds. A source is asked every 30 s, and a query may take 10 s, unless it says otherwise.
pub const PACE_SECONDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const BUCKETS: usize = PACE_SECONDS.len() + 1;

/// How long answers took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Answers in each bucket of [`PACE_SECONDS`], and above.
    pub counts: [u64; BUCKETS],
    /// All of it together, in seconds.
    pub sum: f64,
}

impl Pace {
    fn note(&mut self, took: Span) {
        // A clock that was set back has measured nothing.
        let seconds = Instant::from_millis(took.as_millis().max(0)).seconds();
        let bucket = PACE_SECONDS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS - 1);
        self.counts[bucket] += 1;
        self.sum += seconds;
    }
}

/// A source.
#[derive(Debug)]
pub struct SourceGauge<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it answers; nothing until it was asked.
    pub up: Option<bool>,
    /// Time between two sweeps.
    pub interval: Span,
    /// Questions of a sweep.
    pub questions: usize,
    /// How long answers took.
    pub pace: Pace,
}

/// When queries were decided on, and how long their answers took, by source.
#[derive(Debug, Default)]
pub(super) struct Paces {
    since: BTreeMap<Token, Instant>,
    by_source: BTreeMap<Box<str>, Pace>,
}

impl Paces {
    /// A query was decided on.
    pub fn ask(&mut self, token: Token, now: Instant) {
        self.since.insert(token, now);
    }

    /// Forgets sources that are gone.
    pub fn keep(&mut self, sources: &BTreeMap<Box<str>, MetricsSource>) {
        self.by_source.retain(|name, _| sources.contains_key(name));
    }

    /// A query was answered, of that source if anybody still waits for it.
    pub fn answer(&mut self, token: Token, source: Option<&str>, now: Instant) {
        if let (Some(since), Some(source)) = (self.since.remove(&token), source) {
            self.by_source.entry(source.into()).or_default().note(now.since(since));
        }
    }
}

impl Sweep {
    /// All sources. What is known of one that is gone is forgotten.
    pub fn source_gauges(&self) -> impl Iterator<Item = SourceGauge<'_>> {
        self.sources.iter().map(|(name, source)| SourceGauge {
            name,
            up: source.health.is_up(),
            interval: source.spec.interval,
            questions: source.questions.len(),
            pace: self.paces.by_source.get(name).copied().unwrap_or_default(),
        })
    }

    /// Name of the source that is asked for a policy.
    pub(in crate::core::engine) fn source_named(&self, policy: &PolicyKey) -> Option<&str> {
        self.policies.get(policy).map(|governed| &*governed.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_from_the_decision_to_ask() {
        let mut paces = Paces::default();
        let at = |millis: i64| Instant::from_millis(1_763_700_000_000 + millis);
        for (token, took) in [(1, 50), (2, 51), (3, 61_000), (4, -5)] {
            paces.ask(Token(token), at(0));
            paces.answer(Token(token), Some("default"), at(took));
        }
        paces.ask(Token(5), at(0));
        paces.answer(Token(5), None, at(10));
        paces.answer(Token(6), Some("default"), at(10));
        let pace = paces.by_source["default"];
        assert_eq!((pace.counts[0], pace.counts[1], pace.counts[BUCKETS - 1]), (2, 1, 1));
        assert!((pace.sum - 61.101).abs() < 1e-9, "{pace:?}");
        assert!(paces.since.is_empty());
    }
}
