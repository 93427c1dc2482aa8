//! The processor of the stand-in database: all running queries share its cores evenly, and every
//! further query makes the others slower.
//!
//! With `n` queries running, each advances at `min(1, cores / n) / (1 + crosstalk · n · (n − 1))`
//! seconds of work per second. The first factor is processor sharing; the second is what more
//! connections cost in locks, caches and context switches (the coherence term of the universal
//! scalability law). Together they give a database that has a best number of connections and gets
//! slower, not faster, beyond it.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) cores: f64,
    pub(crate) crosstalk: f64,
}

impl Model {
    /// Seconds of work that each of `queries` running queries gets done per second.
    #[expect(clippy::cast_precision_loss, reason = "counts of queries are far below 2^52")]
    fn speed(self, queries: usize) -> f64 {
        let n = queries as f64;
        (self.cores / n).min(1.0) / (1.0 + self.crosstalk * n * (n - 1.0))
    }
}

/// A handle to the processor; its task ends when the last handle is gone.
#[derive(Clone)]
pub(crate) struct Processor {
    arrivals: mpsc::UnboundedSender<Arrival>,
    running: Arc<AtomicUsize>,
}

struct Arrival {
    work: Duration,
    done: oneshot::Sender<()>,
}

impl Processor {
    pub(crate) fn start(model: Model) -> Self {
        let (arrivals, queue) = mpsc::unbounded_channel();
        let running = Arc::new(AtomicUsize::new(0));
        tokio::spawn(share(model, queue, Arc::clone(&running)));
        Self { arrivals, running }
    }

    /// Returns when the processor has done this work, beside all the other work it has.
    pub(crate) async fn run(&self, work: Duration) {
        let (done, finished) = oneshot::channel();
        if self.arrivals.send(Arrival { work, done }).is_ok() {
            // An error means that the task is gone, and with it everything that could be waited for.
            let _: Result<(), oneshot::error::RecvError> = finished.await;
        }
    }

    /// Queries that are being worked on.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Relaxed)
    }
}

/// Every running query has done the same amount of work since it arrived, so one clock of attained
/// work serves all of them: a query is finished when that clock has advanced by its work.
async fn share(model: Model, mut arrivals: mpsc::UnboundedReceiver<Arrival>, running: Arc<AtomicUsize>) {
    let mut jobs: BinaryHeap<Reverse<Job>> = BinaryHeap::new();
    let mut attained = 0.0;
    let mut last = Instant::now();
    loop {
        let next = jobs.peek().map(|Reverse(job)| {
            let remaining = (job.finish - attained).max(0.0) / model.speed(jobs.len());
            last + Duration::from_secs_f64(remaining)
        });
        let arrival = tokio::select! {
            arrival = arrivals.recv() => match arrival {
                Some(arrival) => Some(arrival),
                None => return,
            },
            () = sleep_until(next.unwrap_or(last)), if next.is_some() => None,
        };
        let now = Instant::now();
        if !jobs.is_empty() {
            attained += (now - last).as_secs_f64() * model.speed(jobs.len());
        }
        last = now;
        while jobs.peek().is_some_and(|Reverse(job)| job.finish <= attained + PRECISION) {
            if let Some(Reverse(job)) = jobs.pop() {
                // The client may have gone; the database finds out only now, as real ones do.
                let _: Result<(), ()> = job.done.send(());
            }
        }
        if let Some(Arrival { work, done }) = arrival {
            jobs.push(Reverse(Job { finish: attained + work.as_secs_f64(), done }));
        }
        running.store(jobs.len(), Relaxed);
    }
}

/// Work below this many seconds is a rounding error of the clock.
const PRECISION: f64 = 1e-6;

struct Job {
    finish: f64,
    done: oneshot::Sender<()>,
}

impl Ord for Job {
    fn cmp(&self, other: &Self) -> Ordering {
        self.finish.total_cmp(&other.finish)
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Job {}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Duration = Duration::from_millis(100);

    /// Runs `queries` equal queries at once and returns how long the whole batch took.
    async fn batch(model: Model, queries: usize) -> Duration {
        let processor = Processor::start(model);
        let started = Instant::now();
        let running: Vec<_> = (0..queries)
            .map(|_| {
                let processor = processor.clone();
                tokio::spawn(async move { processor.run(WORK).await })
            })
            .collect();
        for query in running {
            query.await.unwrap();
        }
        started.elapsed()
    }

    #[track_caller]
    fn about(found: Duration, expected: Duration) {
        // The timer of the runtime counts in milliseconds.
        assert!(found.abs_diff(expected) <= Duration::from_millis(2), "{found:?} ≠ {expected:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn queries_up_to_the_cores_do_not_disturb_each_other() {
        let model = Model { cores: 4.0, crosstalk: 0.0 };
        about(batch(model, 1).await, WORK);
        about(batch(model, 4).await, WORK);
    }

    #[tokio::test(start_paused = true)]
    async fn more_queries_than_cores_share_them_evenly() {
        about(batch(Model { cores: 4.0, crosstalk: 0.0 }, 12).await, WORK * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn crosstalk_makes_a_crowd_slower_than_its_share() {
        // 20 queries on 4 cores: five times the work, and 1 + 0.001 · 20 · 19 = 1.38 on top.
        about(batch(Model { cores: 4.0, crosstalk: 0.001 }, 20).await, WORK.mul_f64(5.0 * 1.38));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_query_slows_the_one_that_runs() {
        let processor = Processor::start(Model { cores: 1.0, crosstalk: 0.0 });
        let started = Instant::now();
        let early = tokio::spawn({
            let processor = processor.clone();
            async move {
                processor.run(WORK).await;
                started.elapsed()
            }
        });
        tokio::time::sleep(WORK / 2).await;
        processor.run(WORK).await;
        // Half alone, then both at half speed until the first ends, then the rest alone.
        about(early.await.unwrap(), WORK.mul_f64(1.5));
        about(started.elapsed(), WORK * 2);
    }
}
