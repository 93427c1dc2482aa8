//! Whether the process lives and is ready, as its probes ask.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
};

use tokio::sync::watch;

use super::clock::Stopwatch;
use crate::core::{
    engine::Stream,
    facts::{Instant, Span},
};

/// Silence of the driver after which the process counts as stuck. The driver ticks every second, and no step may take
/// seconds.
const STUCK_AFTER: Span = Span::seconds(30);

/// State that the tasks of the process report to and that the probes read.
#[derive(Debug)]
pub struct Health {
    stopwatch: Stopwatch,
    /// Time of the driver's last turn.
    turned: AtomicI64,
    stopping: AtomicBool,
    /// Streams whose first list is not complete.
    pending: watch::Sender<BTreeSet<Stream>>,
}

impl Health {
    /// A process that is alive, and ready as soon as each of `streams` is listed.
    #[must_use]
    pub fn new(streams: impl IntoIterator<Item = Stream>) -> Self {
        Self {
            stopwatch: Stopwatch::start(),
            turned: AtomicI64::new(0),
            stopping: AtomicBool::new(false),
            pending: watch::Sender::new(streams.into_iter().collect()),
        }
    }

    /// The driver has finished a turn.
    pub fn turn(&self) {
        self.turned.store(self.stopwatch.now().millis(), Ordering::Relaxed);
    }

    /// A stream has been listed, or shows nothing. Answers whether it was the last one that was missing.
    pub fn listed(&self, stream: Stream) -> bool {
        self.pending.send_if_modified(|pending| pending.remove(&stream)) && self.pending.borrow().is_empty()
    }

    /// Waits until a stream has been listed.
    pub async fn until_listed(&self, stream: Stream) {
        // It cannot fail: the other end is `self`.
        let _closed = self.pending.subscribe().wait_for(|pending| !pending.contains(&stream)).await.is_err();
    }

    /// The process ends: send no more requests here.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Time since the process began.
    #[must_use]
    pub fn uptime(&self) -> Span {
        self.stopwatch.now().since(Instant::default())
    }

    /// Why the process has to be restarted, if it has to.
    #[must_use]
    pub fn stuck(&self) -> Option<String> {
        let silence = self.stopwatch.now().since(Instant::from_millis(self.turned.load(Ordering::Relaxed)));
        (silence > STUCK_AFTER).then(|| format!("the engine has not turned for {} s", silence.as_millis() / 1000))
    }

    /// Why the process is not ready, if it is not. A standby replica is as ready as the leader.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Some("the process is stopping".to_owned());
        }
        let pending = self.pending.borrow();
        let names: Vec<&str> = pending.iter().map(|stream| stream_name(*stream)).collect();
        (!names.is_empty()).then(|| format!("waiting for the first list of {}", names.join(", ")))
    }
}

/// The kind that a stream shows, for logs, labels and probes.
#[must_use]
pub fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Policies => "PerformancePolicy",
        Stream::Classes => "PerformanceClass",
        Stream::Sources => "MetricsSource",
        Stream::Budgets => "ConnectionBudget",
        Stream::Disruptions => "PodDisruptionBudget",
        Stream::Rules => "PrometheusRule",
        Stream::Objects(kind) => kind.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_once_everything_is_listed_and_until_it_stops() {
        let health = Health::new([Stream::Policies, Stream::Sources]);
        assert_eq!(health.unready().as_deref(), Some("waiting for the first list of PerformancePolicy, MetricsSource"));
        assert!(!health.listed(Stream::Policies));
        assert!(!health.listed(Stream::Policies), "a second list of the same stream changes nothing");
        assert!(health.listed(Stream::Sources));
        assert_eq!(health.unready(), None);
        assert!(!health.listed(Stream::Sources), "only the first list makes it ready");
        health.stop();
        assert_eq!(health.unready().as_deref(), Some("the process is stopping"));
        assert_eq!(health.stuck(), None);
    }
}
