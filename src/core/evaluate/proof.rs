//! Whether pods run with a value: what they tell in one round, and what is said of it over time.
//!
//! | rule | is |
//! |---|---|
//! | pods count, and not series | a pod has the value when all of its series tell it |
//! | a pod that tells nothing is no verdict | it has not been seen yet, and is never counted to those that have another value |
//! | one round blames nobody | a value that is not in force is told after the second round in a row: the first may have read what was scraped before |
//! | what was said holds | for as long as some pods are silent, as new ones are until they are scraped: after that time nothing is known any more |
//! | nobody is named for ever | who was blamed and is gone, and numbers that are other ones by now, are told anew after two rounds; a reading that only moves, no more often than that time |

use std::collections::BTreeMap;

use crate::{
    api::conditions::Reason,
    core::{
        facts::{Instant, Span},
        policy::readback::agrees,
        promql::{Missing, Told},
    },
};

/// Rounds in a row after which a change is believed.
const ROUNDS: u8 = 2;
/// Time for which silence does not change what was said.
const PATIENCE: Span = Span::minutes(5);

/// What the pods of a target tell of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// All of them have it.
    Verified,
    /// Some have another one.
    Other(Other),
    /// Nobody can tell.
    Silent {
        /// Why.
        why: Missing,
        /// Pods that do not tell, of how many there are; nothing where that is not the reason.
        pods: Option<(u32, u32)>,
    },
}

/// Pods that have another value.
#[derive(Clone, Debug, PartialEq)]
pub struct Other {
    /// Pods that have the value.
    pub right: u32,
    /// Pods that have another one.
    pub wrong: u32,
    /// Pods there are. Those that are left have not been seen yet.
    pub pods: u32,
    /// The other value: of several, that of most pods.
    pub seen: f64,
    /// A pod that has it; nothing where one reading stands for all pods.
    pub pod: Option<Box<str>>,
}

impl Other {
    /// Pods that have not been seen yet.
    #[must_use]
    pub const fn silent(&self) -> u32 {
        self.pods.saturating_sub(self.right.saturating_add(self.wrong))
    }

    /// Whether other pods are meant, or another number of them.
    fn differs(&self, other: &Self) -> bool {
        let of = |one: &Self| (one.right, one.wrong, one.pods);
        of(self) != of(other) || self.pod != other.pod
    }
}

impl Proof {
    /// What one round shows. `pods`: how many there are, if that is known. `named`: the pod that was named last, which is named
    /// again as long as it has the value of most others.
    #[must_use]
    pub fn of(told: Result<&[Told], Missing>, desired: f64, pods: Option<u32>, named: Option<&str>) -> Self {
        let told = match told {
            Ok(told) => told,
            Err(why) => return Self::Silent { why, pods: None },
        };
        let mut by_pod: BTreeMap<Option<&str>, Vec<f64>> = BTreeMap::new();
        for Told { pod, value } in told.iter().filter(|told| told.value.is_finite()) {
            by_pod.entry(pod.as_deref()).or_default().push(*value);
        }
        if by_pod.is_empty() {
            let why = if told.is_empty() { Reason::NoData } else { Reason::NotANumber };
            return Self::Silent { why: Missing::new(why), pods: None };
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let other = |values: &[f64]| values.iter().copied().find(|value| !agrees(desired, *value));
        let wrong: Vec<(Option<&str>, f64)> =
            by_pod.iter().filter_map(|(pod, values)| Some((*pod, other(values)?))).collect();
        // A reading that does not say whose it is, stands for all pods.
        let whole = by_pod.len() == 1 && by_pod.contains_key(&None);
        let (told, wrong_pods) = (count(by_pod.len()), count(wrong.len()));
        let (right, wrong_pods, pods) = match (whole, pods.unwrap_or(if whole { 1 } else { told })) {
            (true, pods) if wrong.is_empty() => (pods, 0, pods),
            (true, pods) => (0, pods, pods),
            (false, pods) => (told - wrong_pods, wrong_pods, pods),
        };
        // What else answers has gone since.
        if right >= pods {
            return Self::Verified;
        }
        let Some((pod, seen)) = most(&wrong) else {
            return Self::Silent { why: Missing::new(Reason::NoData), pods: Some((pods - right, pods)) };
        };
        if !whole && told > pods {
            return Self::Silent { why: Missing::new(Reason::StaleData), pods: None };
        }
        let again = wrong.iter().find(|(pod, value)| pod.is_some() && *pod == named && agrees(seen, *value));
        let (pod, seen) = again.copied().unwrap_or((pod, seen));
        let pod = pod.filter(|_| !whole).map(Into::into);
        Self::Other(Other { right, wrong: wrong_pods, pods, seen, pod })
    }

    /// Whether some pods tell the value and no pod another one.
    const fn is_partly_silent(&self) -> bool {
        matches!(self, Self::Silent { pods: Some(_), .. })
    }

    /// Whether it names or counts other pods than `other`, or has another reason.
    fn differs(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(one), Self::Other(other)) => one.differs(other),
            _ => self != other,
        }
    }

    /// What there is to tell people.
    const fn class(&self) -> Class {
        match self {
            Self::Verified => Class::Verified,
            Self::Other(Other { right: 0, .. }) => Class::NotApplied,
            Self::Other(_) => Class::Partially,
            Self::Silent { .. } => Class::Silent,
        }
    }
}

/// The value of most pods, and the first that has it.
fn most<'a>(wrong: &[(Option<&'a str>, f64)]) -> Option<(Option<&'a str>, f64)> {
    let share = |value: f64| wrong.iter().filter(|(_, other)| agrees(value, *other)).count();
    // Of equals the first one.
    wrong.iter().copied().rev().max_by_key(|(_, value)| share(*value))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Verified,
    NotApplied,
    Partially,
    Silent,
}

/// What is said of a value on a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProofTrack {
    said: Option<Proof>,
    /// Since when exactly that is said.
    told: Instant,
    /// What the last rounds showed instead: in how many of them, and since when.
    instead: Option<(Class, u8, Instant)>,
}

impl ProofTrack {
    /// What is said; nothing until that is known.
    #[must_use]
    pub const fn said(&self) -> Option<&Proof> {
        self.said.as_ref()
    }

    /// The pod that is named.
    #[must_use]
    pub fn named(&self) -> Option<&str> {
        match &self.said {
            Some(Proof::Other(other)) => other.pod.as_deref(),
            _ => None,
        }
    }

    /// There are no pods any more: nobody is left who could be blamed.
    pub fn empty(&mut self) {
        if self.said != Some(Proof::Verified) {
            *self = Self::default();
        }
    }

    /// Forgets what the last rounds showed, because it was of before.
    pub fn begin_anew(&mut self) {
        self.instead = None;
    }

    /// Takes what a round shows. `patient`: whoever is slow to take up a value is not blamed yet. Returns whether something
    /// else is said now.
    pub fn judge(&mut self, at: Instant, proof: Proof, patient: bool) -> bool {
        let class = proof.class();
        let said = self.said.as_ref().map(Proof::class);
        if self.said.as_ref() == Some(&proof) {
            self.instead = None;
            return false;
        }
        let (rounds, since) = match self.instead {
            Some((known, rounds, since)) if known == class => (rounds.saturating_add(1), since),
            _ => (1, at),
        };
        self.instead = Some((class, rounds, since));
        let moved = || self.said.as_ref().is_some_and(|said| said.differs(&proof));
        let believed = match (class, said) {
            (class, Some(said)) if class == said => rounds >= ROUNDS && (moved() || at.since(self.told) >= PATIENCE),
            (Class::Verified, None | Some(Class::Silent)) => true,
            // Who was blamed is gone, or silent like others.
            (Class::Silent, Some(Class::NotApplied | Class::Partially)) if proof.is_partly_silent() => rounds >= ROUNDS,
            (Class::Silent, Some(_)) => at.since(since) >= PATIENCE,
            (Class::Verified | Class::Silent, _) => rounds >= ROUNDS,
            (Class::NotApplied | Class::Partially, _) => rounds >= ROUNDS && !patient,
        };
        if believed {
            (self.said, self.told) = (Some(proof), at);
            self.instead = None;
        }
        believed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(values: &[(&str, f64)]) -> Vec<Told> {
        let told = |(pod, value): &(&str, f64)| Told {
            pod: Some(*pod).filter(|p| !p.is_empty()).map(Into::into),
            value: *value,
        };
        values.iter().map(told).collect()
    }

    fn of(values: &[(&str, f64)], pods: Option<u32>) -> Proof {
        Proof::of(Ok(&told(values)), 20.0, pods, None)
    }

    fn other(right: u32, pods: u32, seen: f64, pod: &str) -> Proof {
        some([right, pods - right, pods], seen, pod)
    }

    fn some([right, wrong, pods]: [u32; 3], seen: f64, pod: &str) -> Proof {
        let pod = Some(pod).filter(|p| !p.is_empty()).map(Into::into);
        Proof::Other(Other { right, wrong, pods, seen, pod })
    }

    #[test]
    fn every_pod_counts_once() {
        let silent = |why, pods| Proof::Silent { why: Missing::new(why), pods };
        assert_eq!(of(&[("a", 20.0), ("b", 20.0)], Some(2)), Proof::Verified);
        assert_eq!(of(&[("a", 20.0), ("b", 10.0)], Some(2)), other(1, 2, 10.0, "b"));
        assert_eq!(of(&[("a", 10.0), ("b", 10.0)], Some(2)), other(0, 2, 10.0, "a"));
        assert_eq!(of(&[("a", 5.0), ("b", 10.0), ("c", 10.0)], Some(3)), other(0, 3, 10.0, "b"), "that of most pods");
        // Every series of a pod must tell the value.
        assert_eq!(of(&[("a", 20.0), ("a", 10.0), ("b", 20.0)], Some(2)), other(1, 2, 10.0, "a"));
        // A pod that tells nothing is not blamed, and does not excuse another.
        assert_eq!(of(&[("a", 20.0)], Some(3)), silent(Reason::NoData, Some((2, 3))));
        assert_eq!(of(&[("a", 20.0), ("b", 10.0)], Some(5)), some([1, 1, 5], 10.0, "b"));
        assert_eq!(of(&[("a", f64::NAN), ("b", 10.0)], Some(5)), some([0, 1, 5], 10.0, "b"));
        assert_eq!(of(&[("a", f64::NAN)], Some(1)), silent(Reason::NotANumber, None));
        assert_eq!(of(&[], Some(1)), silent(Reason::NoData, None));
        assert_eq!(of(&[("a", 20.0), ("b", f64::NAN)], Some(2)), silent(Reason::NoData, Some((1, 2))));
        // More of them than there are: some have gone, and nobody knows which, unless all others have the value.
        assert_eq!(of(&[("a", 20.0), ("b", 20.0), ("old", 10.0)], Some(2)), Proof::Verified);
        assert_eq!(of(&[("a", 20.0), ("b", 10.0), ("old", 10.0)], Some(2)), silent(Reason::StaleData, None));
        // How many there are is not known of every target.
        assert_eq!(of(&[("a", 20.0), ("b", 10.0)], None), other(1, 2, 10.0, "b"));
        assert_eq!(of(&[("a", 20.0)], None), Proof::Verified);
        // One reading for all.
        assert_eq!(of(&[("", 20.0)], Some(5)), Proof::Verified);
        assert_eq!(of(&[("", 10.0)], Some(5)), other(0, 5, 10.0, ""));
        let why = Missing::new(Reason::QueryFailed);
        assert_eq!(Proof::of(Err(why), 20.0, Some(1), None), Proof::Silent { why, pods: None });
    }

    /// What is said after rounds 30 s apart: `+` all have the value, `-` none, `/` some, `?` nobody tells.
    fn after(rounds: &str) -> String {
        let mut track = ProofTrack::default();
        let mut changes = String::new();
        for (n, round) in rounds.chars().enumerate() {
            let proof = match round {
                '+' => Proof::Verified,
                '-' => other(0, 2, 10.0, "a"),
                '/' => other(1, 2, 10.0, "a"),
                _ => Proof::Silent { why: Missing::new(Reason::NoData), pods: None },
            };
            let at = Instant::from_millis(30_000 * i64::try_from(n).unwrap());
            changes.push(if track.judge(at, proof, false) { round } else { '.' });
        }
        changes
    }

    #[test]
    fn one_round_blames_nobody_and_what_was_said_holds() {
        for (rounds, said) in [
            ("+", "+"),
            ("--", ".-"),
            ("-+", ".+"),
            ("+-+-+-", "+....."),
            ("+--", "+.-"),
            ("--+-+-+", ".-....."),
            ("--++", ".-.+"),
            ("+-/-/", "+...."),
            ("--//", ".-./"),
            ("??+", ".?+"),
            ("?+", ".+"),
            // Silence is said after five minutes, and until then it changes nothing.
            ("+?????????+", "+.........."),
            ("+???????????+", "+..........?+"),
            ("--?---", ".-...."),
        ] {
            assert_eq!(after(rounds), said, "{rounds}");
        }
    }

    #[test]
    fn the_pod_that_was_named_is_named_for_as_long_as_it_is_there() {
        let named = |values: &[(&str, f64)], named: &str| match Proof::of(Ok(&told(values)), 20.0, None, Some(named)) {
            Proof::Other(other) => other.pod.map(String::from),
            _ => None,
        };
        let all = [("a", 20.0), ("b", 10.0), ("c", 10.0), ("d", 5.0)];
        assert_eq!(named(&all, "c").as_deref(), Some("c"));
        // It is gone, has the value, or has another one than most.
        for gone in ["x", "a", "d"] {
            assert_eq!(named(&all, gone).as_deref(), Some("b"), "{gone}");
        }
    }

    #[test]
    fn what_is_said_does_not_grow_old() {
        let partly = Proof::Silent { why: Missing::new(Reason::NoData), pods: Some((2, 5)) };
        let at = |n: i64| Instant::from_millis(30_000 * n);
        let said = |rounds: &[Proof]| {
            let mut track = ProofTrack::default();
            let judged = rounds.iter().zip(0..).map(|(proof, n)| track.judge(at(n), proof.clone(), false));
            let news = judged.filter(|news| *news).count();
            (track.said().cloned(), news)
        };
        let (one, two) = (other(3, 5, 10.0, "a"), some([3, 1, 5], 10.0, "b"));
        // The pod is gone, and there are others by now; one round says nothing.
        assert_eq!(said(&[one.clone(), one.clone(), two.clone()]), (Some(one.clone()), 1));
        assert_eq!(said(&[one.clone(), one.clone(), two.clone(), two.clone()]), (Some(two.clone()), 2));
        assert_eq!(said(&[one.clone(), one.clone(), two.clone(), one.clone(), two.clone()]), (Some(one.clone()), 1));
        // Nobody has another value any more, and not everybody is seen.
        assert_eq!(said(&[one.clone(), one.clone(), partly.clone(), partly.clone()]), (Some(partly), 2));
        // A reading that moves is told again after a while.
        let moves = |n: i64| other(0, 5, f64::from(i32::try_from(n).unwrap()), "a");
        let rounds: Vec<Proof> = (0..24).map(moves).collect();
        assert_eq!(said(&rounds), (Some(moves(21)), 3));
    }

    #[test]
    fn who_is_slow_is_not_blamed_yet() {
        let mut track = ProofTrack::default();
        let at = |n: i64| Instant::from_millis(30_000 * n);
        assert!(!(0..4).any(|n| track.judge(at(n), other(0, 2, 10.0, "a"), true)));
        assert!(track.judge(at(4), other(0, 2, 10.0, "a"), false));
        track.begin_anew();
        assert!(track.said().is_some(), "what was said holds");
    }
}
