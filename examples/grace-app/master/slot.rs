//! The place of one worker: starts the process, starts another when it dies, and keeps its counts.

use std::{
    net::TcpListener,
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus::IntCounter;
use tokio::{
    net::UnixStream,
    process::{Child, Command},
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::Stage;
use crate::{
    control::{Line, Notice, Order, Outgoing},
    metrics::snapshot::Snapshot,
    settings::Settings,
};

/// A handle to the task that looks after one worker.
#[derive(Clone)]
pub(super) struct Slot {
    ready: Arc<AtomicBool>,
    requests: mpsc::Sender<oneshot::Sender<()>>,
    last: watch::Receiver<Snapshot>,
    given_up: Arc<watch::Sender<Stage>>,
    done: watch::Receiver<Option<bool>>,
    kill: Arc<watch::Sender<bool>>,
}

/// How long a scrape waits for one worker. A busy one is shown as it was before.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

impl Slot {
    pub(super) fn start(
        listener: TcpListener,
        settings: watch::Receiver<Settings>,
        database_url: String,
        stage: watch::Receiver<Stage>,
        restarts: IntCounter,
    ) -> Self {
        let ready = Arc::new(AtomicBool::new(false));
        let (requests, queue) = mpsc::channel(16);
        let (figures, last) = watch::channel(Snapshot::default());
        let (given_up, slot_stage) = watch::channel(Stage::Running);
        let (finished, done) = watch::channel(None);
        let (kill, killed) = watch::channel(false);
        let keeper = Keeper {
            listener: Some(listener),
            settings,
            database_url,
            stages: [stage, slot_stage],
            restarts,
            ready: Arc::clone(&ready),
            queue,
            figures,
            remains: Snapshot::default(),
            killed,
        };
        tokio::spawn(async move {
            let drained = keeper.run().await;
            finished.send_replace(Some(drained));
        });
        Self { ready, requests, last, given_up: Arc::new(given_up), done, kill: Arc::new(kill) }
    }

    /// Whether both are handles to the same slot.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ready, &other.ready)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    /// The figures of this worker and its predecessors, fresh if the worker answers in time.
    pub(super) async fn report(&self) -> Snapshot {
        let (reply, answered) = oneshot::channel();
        if self.requests.try_send(reply).is_ok()
            && let Err(error) = timeout(REPORT_TIMEOUT, answered).await
        {
            tracing::warn!(%error, "a worker is too busy to report");
        }
        self.last.borrow().clone()
    }

    /// Drains the worker for good and returns what it has counted.
    pub(super) async fn retire(&self) -> Snapshot {
        self.given_up.send_replace(Stage::Draining);
        self.finished().await;
        self.last.borrow().clone()
    }

    /// Waits for the worker to drain; kills it at the deadline. Whether it drained by itself.
    pub(super) async fn join(&self, deadline: Instant) -> bool {
        if let Ok(drained) = timeout_at(deadline, self.finished()).await {
            return drained;
        }
        self.kill.send_replace(true);
        self.finished().await
    }

    async fn finished(&self) -> bool {
        let mut done = self.done.clone();
        // The task has gone without a word only if the runtime is going down with it.
        done.wait_for(Option::is_some).await.ok().and_then(|done| *done).unwrap_or(false)
    }
}

/// The task behind a slot.
struct Keeper {
    listener: Option<TcpListener>,
    settings: watch::Receiver<Settings>,
    database_url: String,
    /// What the master wants of all workers, and of this one. The later stage counts.
    stages: [watch::Receiver<Stage>; 2],
    restarts: IntCounter,
    ready: Arc<AtomicBool>,
    queue: mpsc::Receiver<oneshot::Sender<()>>,
    figures: watch::Sender<Snapshot>,
    /// The counts of the processes that served here before.
    remains: Snapshot,
    killed: watch::Receiver<bool>,
}

/// How long a dead worker's successor waits: longer each time, unless the worker had lived a while.
const BACKOFF: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(5);
const LIVED: Duration = Duration::from_secs(10);

impl Keeper {
    /// Keeps a worker alive until the slot drains; whether the last one went by itself.
    async fn run(mut self) -> bool {
        let mut backoff = *BACKOFF.start();
        loop {
            let started = Instant::now();
            let outcome = self.one().await;
            self.ready.store(false, Relaxed);
            self.remains = self.figures.borrow().clone().into_remains();
            self.figures.send_replace(self.remains.clone());
            let draining = self.stage() == Stage::Draining;
            match outcome {
                Ok(status) if draining => return status.success(),
                Ok(status) => tracing::warn!(%status, ?backoff, "a worker died, replacing it"),
                Err(error) => tracing::error!(%error, ?backoff, "failed to run a worker"),
            }
            if draining {
                return false;
            }
            if started.elapsed() >= LIVED {
                backoff = *BACKOFF.start();
            }
            if self.pause(backoff).await {
                return true; // no worker, nothing in flight
            }
            self.restarts.inc();
            backoff = (backoff * 2).min(*BACKOFF.end());
        }
    }

    /// Waits, answering scrapes meanwhile. Whether the slot is to drain.
    async fn pause(&mut self, length: Duration) -> bool {
        let end = Instant::now() + length;
        loop {
            let [all, own] = &mut self.stages;
            tokio::select! {
                () = sleep(end.saturating_duration_since(Instant::now())) => return false,
                () = true_of(all, |stage| *stage == Stage::Draining) => return true,
                () = true_of(own, |stage| *stage == Stage::Draining) => return true,
                Some(reply) = self.queue.recv() => answer(reply),
            }
        }
    }

    fn stage(&self) -> Stage {
        let [all, own] = &self.stages;
        (*all.borrow()).max(*own.borrow())
    }

    /// Runs one worker from its start to its end.
    async fn one(&mut self) -> std::io::Result<ExitStatus> {
        let (mut child, line) = self.spawn()?;
        let Line { mut incoming, mut outgoing } = line;
        let settings = self.settings.borrow_and_update().clone();
        let database_url = self.database_url.clone();
        let mut told = Stage::Running;
        if let Err(error) = outgoing.send(&Order::Start { settings, database_url }).await {
            tracing::debug!(%error, "a worker died before it could be told anything");
        }
        let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
        let mut listening = true;
        loop {
            if let Err(error) = self.pass_on(&mut told, &mut outgoing).await {
                tracing::debug!(%error, "a worker no longer listens");
            }
            let [all, own] = &mut self.stages;
            tokio::select! {
                notice = incoming.receive(), if listening => match notice {
                    Ok(Some(Notice::Ready)) => self.ready.store(true, Relaxed),
                    Ok(Some(Notice::Report { metrics })) => {
                        let mut sum = self.remains.clone();
                        sum.merge(&metrics);
                        self.figures.send_replace(sum);
                        waiting.drain(..).for_each(answer);
                    }
                    Ok(None) => listening = false,
                    Err(error) => {
                        tracing::warn!(%error, "a worker's report could not be read");
                        listening = false;
                    }
                },
                // Only once everything it said has been read: its last report comes before its end.
                status = child.wait(), if !listening => return status,
                Some(reply) = self.queue.recv() => {
                    if waiting.is_empty() && let Err(error) = outgoing.send(&Order::Report).await {
                        tracing::debug!(%error, "a worker no longer reports");
                    }
                    waiting.push(reply);
                }
                Ok(()) = self.settings.changed() => {
                    let settings = self.settings.borrow_and_update().clone();
                    if let Err(error) = outgoing.send(&Order::Reload { settings }).await {
                        tracing::debug!(%error, "a worker missed new settings");
                    }
                }
                Ok(()) = all.changed() => {}
                Ok(()) = own.changed() => {}
                () = true_of(&mut self.killed, |killed| *killed) => {
                    tracing::warn!("a worker did not drain in time and is killed");
                    child.kill().await?;
                    return child.wait().await;
                }
            }
        }
    }

    /// Tells the worker of the stage, if it does not know it yet.
    async fn pass_on(&mut self, told: &mut Stage, outgoing: &mut Outgoing) -> std::io::Result<()> {
        let stage = self.stage();
        if stage <= *told {
            return Ok(());
        }
        *told = stage;
        match stage {
            Stage::Running => Ok(()),
            Stage::Closing => outgoing.send(&Order::Closing).await,
            Stage::Draining => {
                // The worker's copy is now the last one: when it closes, the port is free.
                self.listener = None;
                self.ready.store(false, Relaxed);
                outgoing.send(&Order::Drain).await
            }
        }
    }

    fn spawn(&self) -> std::io::Result<(Child, Line)> {
        let listener = self.listener.as_ref().ok_or_else(|| std::io::Error::other("draining"))?;
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = theirs.into_std()?;
        let child = Command::new(std::env::current_exe()?)
            .arg("worker")
            .stdin(Stdio::from(OwnedFd::from(listener.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .kill_on_drop(true)
            .spawn()?;
        Ok((child, Line::new(ours)))
    }
}

/// Waits until `condition` holds of the watched value; for ever, once nobody can change it.
async fn true_of<T>(watched: &mut watch::Receiver<T>, condition: impl FnMut(&T) -> bool) {
    if watched.wait_for(condition).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn answer(reply: oneshot::Sender<()>) {
    // Whoever asked may have stopped waiting.
    let _: Result<(), ()> = reply.send(());
}
