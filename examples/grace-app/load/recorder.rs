//! Times in a histogram of fixed size, so that a load that runs for days needs no more memory than
//! one of a second.

use std::time::Duration;

/// Times from a microsecond to hours, each known to within 1.6 %.
#[derive(Clone)]
pub(crate) struct Recorder {
    counts: Vec<u64>,
    total: u64,
    sum: Duration,
    max: Duration,
}

/// Buckets within each power of two: the precision.
const FINENESS_BITS: u32 = 6;
const FINENESS: u64 = 1 << FINENESS_BITS;

impl Recorder {
    pub(crate) fn new() -> Self {
        let counts = vec![0; bucket(u64::MAX >> 20) + 1];
        Self { counts, total: 0, sum: Duration::ZERO, max: Duration::ZERO }
    }

    pub(crate) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let last = self.counts.len() - 1;
        self.counts[bucket(micros).min(last)] += 1;
        self.total += 1;
        self.sum += time;
        self.max = self.max.max(time);
    }

    pub(crate) fn count(&self) -> u64 {
        self.total
    }

    pub(crate) fn mean(&self) -> Duration {
        let nanos = self.sum.as_nanos().checked_div(u128::from(self.total)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub(crate) fn max(&self) -> Duration {
        self.max
    }

    /// The time that `percent` of all requests did not exceed; zero if there were none.
    pub(crate) fn percentile(&self, percent: u64) -> Duration {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(upper(index as u64)).min(self.max);
            }
        }
        Duration::ZERO
    }
}

/// Below the fineness, one bucket per microsecond; above, as many as that per power of two.
fn bucket(micros: u64) -> usize {
    let index = if micros < FINENESS {
        micros
    } else {
        let octave = u64::from(micros.ilog2() - FINENESS_BITS);
        (octave + 1) * FINENESS + (micros >> octave) - FINENESS
    };
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The largest time of a bucket, in microseconds.
fn upper(index: u64) -> u64 {
    let (octave, rest) = (index / FINENESS, index % FINENESS);
    match octave.checked_sub(1) {
        None => rest,
        Some(octave) => ((FINENESS + rest + 1) << octave) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_a_bucket_that_is_precise() {
        for micros in (0..200).chain([1_000, 99_999, 1_234_567, 30_000_000, 86_400_000_000]) {
            let top = upper(bucket(micros) as u64);
            assert!(top >= micros, "{micros} is above its bucket's end {top}");
            assert!((top - micros) * 60 <= micros.max(1), "{micros} may be taken for {top}");
        }
    }

    #[test]
    fn percentiles_of_a_known_series() {
        let mut recorder = Recorder::new();
        (1..=1000).for_each(|ms| recorder.record(Duration::from_millis(ms)));
        for (percent, expected) in [(50, 500), (95, 950), (99, 990), (100, 1000)] {
            let found = recorder.percentile(percent).as_secs_f64() * 1000.0;
            let error = (found / f64::from(expected) - 1.0).abs();
            assert!(error < 0.017, "p{percent} is {found} ms, not {expected} ms");
        }
        assert_eq!(recorder.count(), 1000);
        assert_eq!(recorder.mean(), Duration::from_micros(500_500));
        assert_eq!(recorder.max(), Duration::from_secs(1));
    }

    #[test]
    fn nothing_recorded_is_zero() {
        let recorder = Recorder::new();
        assert_eq!(recorder.percentile(95), Duration::ZERO);
        assert_eq!(recorder.mean(), Duration::ZERO);
    }
}
