//! The only clock of the program.

use std::time::{Duration, Instant as Monotonic, SystemTime, UNIX_EPOCH};

use k8s_openapi::jiff::Timestamp;

use crate::core::facts::Instant;

/// The wall clock, for everything that others will read or compare: alerts, conditions, queries.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> Instant {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Instant::from_millis(millis(since_epoch))
}

/// The wall clock as Kubernetes' own objects have it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn timestamp() -> Timestamp {
    Timestamp::now()
}

/// A clock that never jumps, for measuring how long ago this process saw something. Its zero is the start of the clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Monotonic);

impl Stopwatch {
    /// Starts at zero.
    #[must_use]
    pub fn start() -> Self {
        Self(Monotonic::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_millis(millis(self.0.elapsed()))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
