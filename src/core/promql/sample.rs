//! What came back, and why a reading may be missing.

use std::collections::BTreeMap;

use super::SeriesKey;

/// One value of one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Whose it is.
    pub key: SeriesKey,
    /// As the backend gave it; may be NaN or infinite.
    pub value: f64,
}

/// Why there is no reading. No data is a verdict of its own and never a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoDataReason {
    /// No series answers.
    NoData,
    /// The value is NaN or infinite: usually nothing happened in the window.
    NotANumber,
    /// The newest sample is too old.
    StaleData,
    /// The newest sample lies in the future.
    ClockSkew,
    /// More than one series answers where one must.
    AmbiguousResult {
        /// How many.
        count: usize,
    },
    /// The answer is of another type than asked for.
    WrongType,
    /// The backend warned that the answer is incomplete.
    PartialResult,
    /// The backend cannot parse the query.
    QueryInvalid,
    /// The backend failed to execute the query.
    QueryFailed,
    /// The backend does not answer.
    BackendUnavailable,
    /// The backend asks us to slow down.
    BackendThrottled,
    /// The backend refuses our credential.
    BackendUnauthorized,
    /// What answers is not a Prometheus, or its answer is cut off or too large.
    BadResponse,
    /// The query exceeds a limit of the backend.
    QueryTooExpensive,
}

impl NoDataReason {
    /// The word in conditions, metrics and alerts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoData => "NoData",
            Self::NotANumber => "NotANumber",
            Self::StaleData => "StaleData",
            Self::ClockSkew => "ClockSkew",
            Self::AmbiguousResult { .. } => "AmbiguousResult",
            Self::WrongType => "WrongType",
            Self::PartialResult => "PartialResult",
            Self::QueryInvalid => "QueryInvalid",
            Self::QueryFailed => "QueryFailed",
            Self::BackendUnavailable => "BackendUnavailable",
            Self::BackendThrottled => "BackendThrottled",
            Self::BackendUnauthorized => "BackendUnauthorized",
            Self::BadResponse => "BadResponse",
            Self::QueryTooExpensive => "QueryTooExpensive",
        }
    }

    /// Whether the source as a whole is in trouble: one condition and one alert of the source's, not one per policy.
    #[must_use]
    pub const fn concerns_source(self) -> bool {
        match self {
            Self::BackendUnavailable | Self::BackendThrottled | Self::BackendUnauthorized | Self::BadResponse => true,
            Self::NoData
            | Self::NotANumber
            | Self::StaleData
            | Self::ClockSkew
            | Self::AmbiguousResult { .. }
            | Self::WrongType
            | Self::PartialResult
            | Self::QueryInvalid
            | Self::QueryFailed
            | Self::QueryTooExpensive => false,
        }
    }
}

/// The samples of one answer, by whose they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleBatch {
    samples: BTreeMap<SeriesKey, Result<f64, NoDataReason>>,
}

impl SampleBatch {
    /// Values that are no numbers become reasons; a key that comes twice is ambiguous, because none of its values is the
    /// right one.
    #[must_use]
    pub fn new(samples: impl IntoIterator<Item = Sample>) -> Self {
        let mut counted: BTreeMap<SeriesKey, (usize, f64)> = BTreeMap::new();
        for Sample { key, value } in samples {
            let (count, last) = counted.entry(key).or_insert((0, value));
            (*count, *last) = (*count + 1, value);
        }
        let read =
            |(count, value)| if count > 1 { Err(NoDataReason::AmbiguousResult { count }) } else { finite(value) };
        Self { samples: counted.into_iter().map(|(key, counted)| (key, read(counted))).collect() }
    }

    /// The reading of a workload (or namespace).
    pub fn reading(&self, key: &SeriesKey) -> Result<f64, NoDataReason> {
        self.samples.get(key).copied().unwrap_or(Err(NoDataReason::NoData))
    }

    /// The one reading of a free query's answer. Never the first of several.
    pub fn single(values: &[f64]) -> Result<f64, NoDataReason> {
        match values {
            [] => Err(NoDataReason::NoData),
            [value] => finite(*value),
            several => Err(NoDataReason::AmbiguousResult { count: several.len() }),
        }
    }
}

fn finite(value: f64) -> Result<f64, NoDataReason> {
    if value.is_finite() { Ok(value) } else { Err(NoDataReason::NotANumber) }
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
    pub fn check(self, evaluated_at: f64, newest: Result<f64, NoDataReason>) -> Result<(), NoDataReason> {
        let age = evaluated_at - newest?;
        if age > self.max_age {
            Err(NoDataReason::StaleData)
        } else if -age > self.max_lead {
            Err(NoDataReason::ClockSkew)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, value: f64) -> Sample {
        Sample { key: SeriesKey::workload("shop", name), value }
    }

    #[test]
    fn only_one_finite_value_is_a_reading() {
        let batch = SampleBatch::new([
            sample("web", 0.2),
            sample("idle", f64::NAN),
            sample("full", f64::INFINITY),
            sample("twice", 1.0),
            sample("twice", 1.0),
        ]);
        let reading = |name| batch.reading(&SeriesKey::workload("shop", name));
        assert_eq!(reading("web"), Ok(0.2));
        assert_eq!(reading("idle"), Err(NoDataReason::NotANumber));
        assert_eq!(reading("full"), Err(NoDataReason::NotANumber));
        assert_eq!(reading("twice"), Err(NoDataReason::AmbiguousResult { count: 2 }));
        assert_eq!(reading("absent"), Err(NoDataReason::NoData));
        assert_eq!(batch.reading(&SeriesKey::namespace("shop")), Err(NoDataReason::NoData));
    }

    #[test]
    fn a_free_query_never_takes_the_first_of_several() {
        assert_eq!(SampleBatch::single(&[0.0]), Ok(0.0));
        assert_eq!(SampleBatch::single(&[]), Err(NoDataReason::NoData));
        assert_eq!(SampleBatch::single(&[1.0, 1.0]), Err(NoDataReason::AmbiguousResult { count: 2 }));
        assert_eq!(SampleBatch::single(&[f64::NEG_INFINITY]), Err(NoDataReason::NotANumber));
    }

    #[test]
    fn old_data_and_wrong_clocks_are_told_apart() {
        let limits = Freshness { max_age: 90.0, max_lead: 5.0 };
        assert_eq!(limits.check(1000.0, Ok(910.0)), Ok(()));
        assert_eq!(limits.check(1000.0, Ok(909.0)), Err(NoDataReason::StaleData));
        assert_eq!(limits.check(1000.0, Ok(1005.0)), Ok(()));
        assert_eq!(limits.check(1000.0, Ok(1006.0)), Err(NoDataReason::ClockSkew));
        assert_eq!(limits.check(1000.0, Err(NoDataReason::NoData)), Err(NoDataReason::NoData));
    }
}
