//! The values of the labels that a threshold keeps apart, each with a track of its own.
//!
//! Values come and go with what the application does. One that stops answering while others go on is forgotten, as soon as
//! that is certain; if it was breached, only after the threshold's time without data, because until then nobody can tell
//! whether it is over.

use std::collections::BTreeMap;

use crate::api::conditions::Reason;
use crate::core::{
    evaluate::{Announced, Breach, Track, Verdict},
    facts::{Instant, Span},
    policy::thresholds::{Level, Shown},
    promql::{Group, Missing, Shape},
    units::Excerpt,
};

/// Tracks by the values of the labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups(BTreeMap<Group, Track>);

impl Groups {
    pub fn iter(&self) -> impl Iterator<Item = (&Group, &Track)> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The track of a value.
    pub fn track(&mut self, group: Group) -> &mut Track {
        self.0.entry(group).or_default()
    }

    /// Takes the readings of a round: those of values that did not answer are missing. A breach of one that does not
    /// answer any more is held for `patience`.
    pub fn judge(
        &mut self,
        levels: &[Level],
        at: Instant,
        readings: &[(Group, Result<Shown, Missing>)],
        continuity: Span,
        patience: Span,
    ) {
        for (group, reading) in readings {
            self.track(group.clone()).judge_shown(levels, at, *reading, continuity);
        }
        let answered = |group: &Group| readings.iter().any(|(known, _)| known == group);
        for (_, track) in self.0.iter_mut().filter(|(group, _)| !answered(group)) {
            track.judge(levels, at, Err(Missing::new(Reason::NoData)), continuity);
        }
        self.0.retain(|group, track| {
            let gap = track.gap().filter(|_| !answered(group));
            gap.is_none_or(|gap| track.breach(levels).is_some() && at.since(gap.since) < patience)
        });
        // Breaches of values that follow one another, such as pods that crash, must not pile up.
        while self.0.len() > Shape::MAX_GROUPS {
            let silent = self.0.iter().filter(|(group, _)| !answered(group));
            let longest = silent.min_by_key(|(_, track)| track.gap().map_or(at, |gap| gap.since));
            let Some(longest) = longest.map(|(group, _)| group.clone()) else { return };
            self.0.remove(&longest);
        }
    }

    /// Takes a round in which nothing answered.
    pub fn miss(&mut self, levels: &[Level], at: Instant, missing: Missing, continuity: Span) {
        for track in self.0.values_mut() {
            track.judge(levels, at, Err(missing), continuity);
        }
    }

    /// The worst breach: of the worst severity the oldest.
    pub fn worst(&self, levels: &[Level]) -> Option<(&Group, Breach)> {
        let breached = self.0.iter().filter_map(|(group, track)| Some((group, track.breach(levels)?)));
        breached.min_by_key(|(_, breach)| (std::cmp::Reverse(breach.severity), breach.since))
    }

    /// The verdict on all of them together: the worst.
    pub fn verdict(&self, levels: &[Level]) -> Verdict {
        if let Some((_, breach)) = self.worst(levels) {
            return Verdict::Breached(breach);
        }
        let pending = self.0.values().filter_map(|track| match track.verdict(levels) {
            Verdict::Pending { since, severity } => Some((std::cmp::Reverse(severity), since)),
            Verdict::Unjudged | Verdict::Within | Verdict::Breached(_) | Verdict::NoData(_) => None,
        });
        let worst = pending.min();
        worst.map_or(Verdict::Within, |(severity, since)| Verdict::Pending { since, severity: severity.0 })
    }

    /// What people are told: of each that is breached, or that answers no number.
    pub fn announced(&self, levels: &[Level]) -> Vec<(Group, Announced)> {
        let told = self.0.iter().filter(|(_, track)| track.breach(levels).is_some() || track.gap().is_some());
        told.map(|(group, track)| (group.clone(), track.announced())).collect()
    }
}

/// The labels with their values, for people: `tier="gold"`. A value is somebody else's text.
#[must_use]
pub fn spelled(by: &[String], group: &Group) -> String {
    let pairs = by.iter().zip(group).map(|(label, value)| format!("{label}={}", Excerpt::new(value)));
    pairs.collect::<Vec<_>>().join(",")
}
