//! What came back, and why a reading may be missing.

use std::{collections::BTreeMap, ops::Bound};

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

/// The samples of one answer, by whose they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleBatch {
    samples: BTreeMap<SeriesKey, Result<f64, Missing>>,
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
        Self { samples: counted.into_iter().map(|(key, counted)| (key, read(counted))).collect() }
    }

    /// The reading of a workload (or namespace).
    pub fn reading(&self, key: &SeriesKey) -> Result<f64, Missing> {
        self.samples.get(key).copied().unwrap_or(Err(Missing::new(Reason::NoData)))
    }

    /// The readings of all groups of a workload (or namespace). None is no data, and too many are no readings.
    pub fn groups(&self, key: &SeriesKey) -> Result<GroupReadings, Missing> {
        let from: (Bound<&SeriesKey>, Bound<&SeriesKey>) = (Bound::Included(key), Bound::Unbounded);
        let of_key = self.samples.range::<SeriesKey, _>(from).take_while(|(sample, _)| sample.is_of(key));
        let found: Vec<_> = of_key.map(|(sample, reading)| (sample.group.clone(), *reading)).collect();
        match found.len() {
            0 => Err(Missing::new(Reason::NoData)),
            1..=Shape::MAX_GROUPS => Ok(found),
            _ => Err(Missing::new(Reason::TooManySeries)),
        }
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
        let web = [([Box::from("")].into(), missing(Reason::NotANumber)), ([Box::from("gold")].into(), Ok(1.0))];
        assert_eq!(groups("web"), Ok(web.into()));
        assert_eq!(groups("wide"), missing(Reason::TooManySeries));
        assert_eq!(groups("absent"), missing(Reason::NoData));
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
