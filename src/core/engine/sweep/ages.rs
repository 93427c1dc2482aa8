//! How old the data is.
//!
//! A sample that was young a minute ago is not too old now: until the oldest of those that were young would be, nobody has to
//! ask. So ages are asked again when that is so, and every other round at the latest, because series may also vanish; and each
//! round while some are too old or in the future, because time alone would make these young.

use std::collections::BTreeMap;

use super::scope::hash;
use crate::core::{
    facts::Instant,
    promql::{Freshness, Missing, SampleBatch, SeriesKey},
};

/// Rounds that an answer serves at most.
const ROUNDS: u8 = 2;

/// What was answered the last time.
#[derive(Debug)]
pub(super) struct Ages {
    asked_at: Instant,
    /// The oldest of the newest samples that are young enough, in seconds since the epoch.
    floor: f64,
    /// Who is young enough, by number and in order: ten thousand keys would be a megabyte.
    young: Box<[u64]>,
    /// What was answered of all others.
    others: BTreeMap<SeriesKey, Result<f64, Missing>>,
}

impl Ages {
    /// What `batch` says that was asked at a time.
    pub fn of(batch: &SampleBatch, asked_at: Instant, limits: Freshness) -> Self {
        let (mut floor, mut young, mut others) = (f64::INFINITY, Vec::new(), BTreeMap::new());
        for (key, newest) in batch.iter() {
            match newest {
                Ok(at) if limits.check(asked_at.seconds(), newest).is_ok() => {
                    floor = floor.min(at);
                    young.push(number(key));
                }
                _ => drop(others.insert(key.clone(), newest)),
            }
        }
        young.sort_unstable();
        Self { asked_at, floor, young: young.into(), others }
    }

    /// The time of the newest sample of a workload (or namespace), or an earlier one that is still young enough.
    pub fn newest(&self, key: &SeriesKey) -> Result<f64, Missing> {
        if self.young.binary_search(&number(key)).is_ok() {
            return Ok(self.floor);
        }
        self.others.get(key).copied().unwrap_or(Err(Missing::new(crate::api::conditions::Reason::NoData)))
    }

    /// Whether it says enough of a round at that time, after so many that it has served.
    pub fn serves(&self, served: u8, at: Instant, limits: Freshness) -> bool {
        let young = self.young.is_empty() || limits.check(at.seconds(), Ok(self.floor)).is_ok();
        served < ROUNDS && at >= self.asked_at && young && self.others.is_empty()
    }
}

fn number(key: &SeriesKey) -> u64 {
    hash([&*key.namespace, key.workload.as_deref().unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::conditions::Reason,
        core::{facts::Span, promql::Sample},
    };

    #[test]
    fn ages_serve_until_the_oldest_of_the_young_would_be_too_old() {
        let at = Instant::from_millis(1_000_000);
        let limits = Freshness { max_age: 120.0, max_lead: 60.0 };
        let sample = |name: &str, value| Sample { key: SeriesKey::workload("shop", name), value };
        let young = [sample("web", 990.0), sample("api", 950.0)];
        let others = [sample("old", 800.0), sample("ahead", 1_100.0)];
        let of = |samples: Vec<Sample>| Ages::of(&SampleBatch::new(samples, Reason::NotANumber), at, limits);
        let ages = of(young.iter().chain(&others).cloned().collect());
        assert!(!ages.serves(1, at + Span::seconds(30), limits), "what is ahead would be young by then");
        let newest = |name| ages.newest(&SeriesKey::workload("shop", name));
        assert_eq!(newest("web"), Ok(950.0), "as old as the oldest");
        assert_eq!((newest("old"), newest("ahead")), (Ok(800.0), Ok(1_100.0)));
        assert_eq!(newest("absent"), Err(Missing::new(Reason::NoData)));
        let ages = of(young.into());
        let serves = |served, seconds| ages.serves(served, at + Span::seconds(seconds), limits);
        assert!(serves(1, 30) && serves(1, 70));
        assert!(!serves(1, 71), "api may be too old now");
        assert!(!serves(2, 60), "series may have vanished");
        assert!(!serves(1, -1), "the clock went back");
    }
}
