//! What came back, and why a reading may be missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::{Group, SeriesKey, Shape};
use crate::api::conditions::Reason;

/// One value of one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Whose it is.
    pub key: SeriesKey,
    /// As the backend gave it; may be NaN or infinite.
    pub value: f64,
}

/// Why there is no reading. No data is a verdict of its own and never a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The finite reason.
    pub why: Reason,
    /// How many series answered where one must; zero for any other reason.
    pub series: u16,
}

impl Missing {
    /// A reading that is missing for that reason.
    #[must_use]
    pub const fn new(why: Reason) -> Self {
        Self { why, series: 0 }
    }

    fn ambiguous(series: usize) -> Self {
        Self { why: Reason::AmbiguousResult, series: u16::try_from(series).unwrap_or(u16::MAX) }
    }
}

/// What was read of every group of a workload (or namespace).
pub type GroupReadings = Vec<(Group, Result<f64, Missing>)>;

/// A value that a pod tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The pod; nothing where the series does not say whose it is.
    pub pod: Option<Box<str>>,
    /// As the backend gave it; may be NaN or infinite.
    pub value: f64,
}

/// A reading, and how many observations it is made of where that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The value, or why there is none.
    pub value: Result<f64, Missing>,
    /// The number of observations.
    pub count: Option<f64>,
}

/// The samples of one answer, by whose they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleBatch {
    samples: BTreeMap<SeriesKey, Result<f64, Missing>>,
    counts: BTreeMap<SeriesKey, f64>,
    /// What it says that observations were counted and nothing was read.
    unread: Option<Reason>,
}

impl SampleBatch {
    /// Values that are no numbers become reasons, NaN the one that `nan` says; a key that comes twice is ambiguous, because
    /// none of its values is the right one.
    #[must_use]
    pub fn new(samples: impl IntoIterator<Item = Sample>, nan: Reason) -> Self {
        let mut counted: BTreeMap<SeriesKey, (usize, f64)> = BTreeMap::new();
        for Sample { key, value } in samples {
            let (count, last) = counted.entry(key).or_insert((0, value));
            (*count, *last) = (*count + 1, value);
        }
        let read = |(count, value)| if count > 1 { Err(Missing::ambiguous(count)) } else { finite(value, nan) };
        let samples = counted.into_iter().map(|(key, counted)| (key, read(counted))).collect();
        Self { samples, ..Self::default() }
    }

    /// The same with the number of observations. Where there are some, and no reading is made of them, `unread` says why.
    #[must_use]
    pub fn counted(self, counts: impl IntoIterator<Item = Sample>, unread: Reason) -> Self {
        let counts = counts.into_iter().filter(|count| count.value.is_finite());
        Self { counts: counts.map(|count| (count.key, count.value)).collect(), unread: Some(unread), ..self }
    }

    /// The reading of a workload (or namespace).
    pub fn reading(&self, key: &SeriesKey) -> Result<f64, Missing> {
        let nothing = || {
            let unread = self.unread.filter(|_| self.counts.get(key).is_some_and(|count| *count > 0.0));
            Err(Missing::new(unread.unwrap_or(Reason::NoData)))
        };
        self.samples.get(key).copied().unwrap_or_else(nothing)
    }

    /// All readings.
    pub fn iter(&self) -> impl Iterator<Item = (&SeriesKey, Result<f64, Missing>)> {
        self.samples.iter().map(|(key, reading)| (key, *reading))
    }

    /// How many observations its reading is made of.
    #[must_use]
    pub fn count(&self, key: &SeriesKey) -> Option<f64> {
        self.counts.get(key).copied()
    }

    /// The readings of all groups of a workload (or namespace). None is no data, and too many are no readings.
    pub fn groups(&self, key: &SeriesKey) -> Result<Vec<(Group, Reading)>, Missing> {
        let from: (Bound<&SeriesKey>, Bound<&SeriesKey>) = (Bound::Included(key), Bound::Unbounded);
        let of_key = self.samples.range::<SeriesKey, _>(from).take_while(|(sample, _)| sample.is_of(key));
        let mut groups: BTreeSet<&SeriesKey> = of_key.map(|(sample, _)| sample).collect();
        // Groups of which nothing but their number is known are told where that has a meaning of its own.
        if self.unread.is_some_and(|unread| unread != Reason::NoData) {
            let counted = self.counts.range::<SeriesKey, _>(from).take_while(|(sample, _)| sample.is_of(key));
            groups.extend(counted.map(|(sample, _)| sample));
        }
        let read = |key: &SeriesKey| Reading { value: self.reading(key), count: self.count(key) };
        let found: Vec<_> = groups.into_iter().map(|key| (key.group.clone(), read(key))).collect();
        match found.len() {
            0 => Err(Missing::new(Reason::NoData)),
            1..=Shape::MAX_GROUPS => Ok(found),
            _ => Err(Missing::new(Reason::TooManySeries)),
        }
    }

    /// What the pods of a workload (or namespace) tell, as [`Shape::told`](super::Shape::told) asks for it.
    pub fn told(&self, key: &SeriesKey) -> Result<Vec<Told>, Missing> {
        let from: (Bound<&SeriesKey>, Bound<&SeriesKey>) = (Bound::Included(key), Bound::Unbounded);
        let of_key = self.samples.range::<SeriesKey, _>(from).map(|(sample, _)| sample);
        let told: Vec<Told> = of_key
            .take_while(|sample| sample.is_of(key))
            .filter_map(|sample| {
                let [pod, value] = &*sample.group else { return None };
                let pod = Some(pod.clone()).filter(|pod| !pod.is_empty());
                Some(Told { pod, value: value.parse().unwrap_or(f64::NAN) })
            })
            .collect();
        match told.len() {
            0 => Err(Missing::new(Reason::NoData)),
            1..=Shape::MAX_TOLD => Ok(told),
            _ => Err(Missing::new(Reason::TooManySeries)),
        }
    }

    /// The values of the one label that is kept apart, as numbers in ascending order: what [`Shape::checks`](super::Shape::checks)
    /// asks for.
    #[must_use]
    pub fn values(&self, key: &SeriesKey) -> Vec<f64> {
        let from: (Bound<&SeriesKey>, Bound<&SeriesKey>) = (Bound::Included(key), Bound::Unbounded);
        let of_key = self.samples.range::<SeriesKey, _>(from).map(|(sample, _)| sample);
        let of_key = of_key.take_while(|sample| sample.is_of(key));
        let mut values: Vec<f64> = of_key.filter_map(|sample| sample.group.first()?.parse().ok()).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        values
    }

    /// The one reading of a free query's answer. Never the first of several.
    pub fn single(values: &[f64], nan: Reason) -> Result<f64, Missing> {
        match values {
            [] => Err(Missing::new(Reason::NoData)),
            [value] => finite(*value, nan),
            several => Err(Missing::ambiguous(several.len())),
        }
    }
}

fn finite(value: f64, nan: Reason) -> Result<f64, Missing> {
    if value.is_finite() { Ok(value) } else { Err(Missing::new(if value.is_nan() { nan } else { Reason::NotANumber })) }
}

/// How old data may be, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Freshness {
    /// Older than this is stale.
    pub max_age: f64,
    /// Further in the future than this is a clock that goes wrong.
    pub max_lead: f64,
}

impl Freshness {
    /// Judges the newest sample's time, as [`Shape::freshness`](super::Shape::freshness) asks for it, by the time of
    /// evaluation; both in seconds since the epoch.
    pub fn check(self, evaluated_at: f64, newest: Result<f64, Missing>) -> Result<(), Missing> {
        let age = evaluated_at - newest?;
        if age > self.max_age {
            Err(Missing::new(Reason::StaleData))
        } else if -age > self.max_lead {
            Err(Missing::new(Reason::ClockSkew))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing<T>(why: Reason) -> Result<T, Missing> {
        Err(Missing::new(why))
    }

    fn sample(name: &str, value: f64) -> Sample {
        Sample { key: SeriesKey::workload("shop", name), value }
    }

    #[test]
    fn only_one_finite_value_is_a_reading() {
        let samples = [
            sample("web", 0.2),
            sample("idle", f64::NAN),
            sample("full", f64::INFINITY),
            sample("twice", 1.0),
            sample("twice", 1.0),
        ];
        let batch = SampleBatch::new(samples.clone(), Reason::NotANumber);
        let reading = |name| batch.reading(&SeriesKey::workload("shop", name));
        assert_eq!(reading("web"), Ok(0.2));
        assert_eq!(reading("idle"), missing(Reason::NotANumber));
        assert_eq!(reading("full"), missing(Reason::NotANumber));
        assert_eq!(reading("twice"), Err(Missing { why: Reason::AmbiguousResult, series: 2 }));
        assert_eq!(reading("absent"), missing(Reason::NoData));
        assert_eq!(batch.reading(&SeriesKey::namespace("shop")), missing(Reason::NoData));
        // Nothing divided by nothing: nothing happened. Something divided by nothing is wrong all the same.
        let batch = SampleBatch::new(samples, Reason::TooFewSamples);
        let reading = |name| batch.reading(&SeriesKey::workload("shop", name));
        assert_eq!(reading("idle"), missing(Reason::TooFewSamples));
        assert_eq!(reading("full"), missing(Reason::NotANumber));
    }

    #[test]
    fn groups_of_a_workload_are_found_and_bounded() {
        let of = |name: &str, tier: &str, value| {
            let key = SeriesKey { group: [tier.into()].into(), ..SeriesKey::workload("shop", name) };
            Sample { key, value }
        };
        let many = (0..=Shape::MAX_GROUPS).map(|n| of("wide", &n.to_string(), 1.0));
        let few = [of("web", "gold", 1.0), of("web", "", f64::NAN), of("api", "x", 2.0)];
        let batch = SampleBatch::new(few.into_iter().chain(many), Reason::NotANumber);
        let groups = |name| batch.groups(&SeriesKey::workload("shop", name));
        let read = |value| Reading { value, count: None };
        let web =
            [([Box::from("")].into(), read(missing(Reason::NotANumber))), ([Box::from("gold")].into(), read(Ok(1.0)))];
        assert_eq!(groups("web"), Ok(web.into()));
        assert_eq!(groups("wide"), missing(Reason::TooManySeries));
        assert_eq!(groups("absent"), missing(Reason::NoData));
    }

    #[test]
    fn observations_without_a_reading_have_a_reason() {
        let counts = [sample("web", 400.0), sample("young", 3.0), sample("idle", 0.0)];
        let read = |unread| SampleBatch::new([sample("web", 0.2)], Reason::NotANumber).counted(counts.clone(), unread);
        let key = |name: &str| SeriesKey::workload("shop", name);
        let batch = read(Reason::TooFewSamples);
        assert_eq!((batch.reading(&key("web")), batch.count(&key("web"))), (Ok(0.2), Some(400.0)));
        assert_eq!(batch.reading(&key("young")), missing(Reason::TooFewSamples));
        assert_eq!(batch.reading(&key("idle")), missing(Reason::NoData));
        assert_eq!(batch.groups(&key("young")).unwrap().len(), 1);
        // Of a ratio without numerator nobody knows.
        let batch = read(Reason::NoData);
        assert_eq!(batch.reading(&key("young")), missing(Reason::NoData));
        assert_eq!(batch.groups(&key("young")), missing(Reason::NoData));
    }

    #[test]
    fn a_free_query_never_takes_the_first_of_several() {
        let single = |values: &[f64]| SampleBatch::single(values, Reason::TooFewSamples);
        assert_eq!(single(&[f64::NAN]), missing(Reason::TooFewSamples));
        assert_eq!(single(&[0.0]), Ok(0.0));
        assert_eq!(single(&[]), missing(Reason::NoData));
        assert_eq!(single(&[1.0, 1.0]), Err(Missing { why: Reason::AmbiguousResult, series: 2 }));
        assert_eq!(single(&[f64::NEG_INFINITY]), missing(Reason::NotANumber));
    }

    #[test]
    fn old_data_and_wrong_clocks_are_told_apart() {
        let limits = Freshness { max_age: 90.0, max_lead: 5.0 };
        assert_eq!(limits.check(1000.0, Ok(910.0)), Ok(()));
        assert_eq!(limits.check(1000.0, Ok(909.0)), missing(Reason::StaleData));
        assert_eq!(limits.check(1000.0, Ok(1005.0)), Ok(()));
        assert_eq!(limits.check(1000.0, Ok(1006.0)), missing(Reason::ClockSkew));
        assert_eq!(limits.check(1000.0, missing(Reason::NoData)), missing(Reason::NoData));
    }
}
