//! A worker: one process that serves requests with its own pool and its own caches, as its master
//! tells it to.

use std::{io, net::SocketAddr, sync::Arc};

use anyhow::{Context, bail};
use axum::serve::Listener;
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
    task::JoinSet,
};

use crate::{
    api,
    app::{App, Phase},
    control::{self, Line, Notice, Order, Outgoing},
    database::Database,
    loops,
    pool::{Pool, RETRY},
    settings::Settings,
};

/// Serves until the master says so or goes away.
pub(crate) async fn run() -> anyhow::Result<()> {
    // Ctrl-C and a signal to the process group reach workers too. When to leave is the master's
    // decision, so a worker takes these signals and does nothing with them.
    let _terminate = signal(SignalKind::terminate()).context("failed to listen to SIGTERM")?;
    let _interrupt = signal(SignalKind::interrupt()).context("failed to listen to SIGINT")?;
    let hint = "a worker is started by `grace-app serve`, not by hand";
    let listener = control::inherited_listener().context(hint)?;
    let Line { mut incoming, outgoing } = Line::inherited().context(hint)?;
    let Some(Order::Start { settings, database_url }) = incoming.receive().await.context(hint)? else {
        bail!("{hint}");
    };
    let database = Database::parse(&database_url).map_err(anyhow::Error::msg)?;
    let (phase, phases) = watch::channel(Phase::Running);
    let (updates, current) = watch::channel(settings);
    let app = Arc::new(App::new(database, current, phases)?);

    let (stop, stopped) = oneshot::channel();
    let listener = Shared { inner: listener, app: Arc::clone(&app), stop: Some(stop) };
    let server = axum::serve(listener, api::router(Arc::clone(&app))).with_graceful_shutdown(async move {
        // The sender goes when the listener does, which means the same.
        let _: Result<(), oneshot::error::RecvError> = stopped.await;
    });
    let mut server = tokio::spawn(server.into_future());

    let filled = fill(app.pool.clone());
    tokio::pin!(filled);
    let mut worker = Worker { app, updates, phase, outgoing, loops: JoinSet::new() };
    let (mut ready, mut commanded) = (false, true);
    loop {
        tokio::select! {
            () = &mut filled, if !ready => {
                ready = true;
                worker.begin().await;
            }
            order = incoming.receive(), if commanded => match order {
                Ok(Some(order)) => worker.obey(order).await,
                Ok(None) => {
                    tracing::warn!("lost the master, finishing what is in flight");
                    commanded = false;
                    worker.drain();
                }
                Err(error) => return Err(error).context("failed to understand the master"),
            },
            result = &mut server => {
                result.context("the server panicked")?.context("the server failed")?;
                break;
            }
        }
    }
    worker.app.pool.close();
    // The last figures, so that no request is missing in the pod's counts.
    worker.report().await;
    Ok(())
}

/// Opens the persistent connections. A database that is away is waited for here: a worker without
/// one is not ready, but need not die either.
async fn fill(pool: Pool<Database>) {
    while let Err(error) = pool.fill().await {
        tracing::warn!(error = %chain(&error), "failed to open the connection pool, trying again");
        tokio::time::sleep(RETRY).await;
    }
}

struct Worker {
    app: Arc<App>,
    updates: watch::Sender<Settings>,
    phase: watch::Sender<Phase>,
    outgoing: Outgoing,
    loops: JoinSet<()>,
}

impl Worker {
    /// The pool is open: the background loops may use it, and the master may count on us.
    async fn begin(&mut self) {
        if *self.phase.borrow() != Phase::Draining {
            self.loops = loops::start(&self.app);
        }
        self.tell(&Notice::Ready).await;
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Reload { settings } => {
                self.app.apply(&settings);
                self.updates.send_replace(settings);
                // Opens what a larger pool lacks. It ends with the process at the latest.
                tokio::spawn(fill(self.app.pool.clone()));
            }
            Order::Report => self.report().await,
            Order::Closing => {
                self.phase.send_replace(Phase::Closing);
            }
            Order::Drain => self.drain(),
            Order::Start { .. } => tracing::error!("the master started a worker twice"),
        }
    }

    fn drain(&mut self) {
        self.phase.send_replace(Phase::Draining);
        self.loops.abort_all();
    }

    async fn report(&mut self) {
        let metrics = self.app.gather();
        self.tell(&Notice::Report { metrics }).await;
    }

    /// A master that does not listen has gone; the next read says so, and what to do.
    async fn tell(&mut self, notice: &Notice) {
        if let Err(error) = self.outgoing.send(notice).await {
            tracing::debug!(%error, "the master does not listen");
        }
    }
}

/// An error with its causes, for a log line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Waits for the phase. A sender that has gone will not bring it, but its owner is on its way out.
async fn reached(phases: &mut watch::Receiver<Phase>, phase: Phase) {
    let _: Result<_, watch::error::RecvError> = phases.wait_for(|now| *now == phase).await.map(drop);
}

/// The shared listener. When the worker drains, connections that the kernel has already accepted
/// are taken first: closing the socket would reset them.
struct Shared {
    inner: TcpListener,
    app: Arc<App>,
    stop: Option<oneshot::Sender<()>>,
}

impl Listener for Shared {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let mut phase = self.app.phase.clone();
            tokio::select! {
                biased;
                connection = Listener::accept(&mut self.inner) => {
                    // A small answer must not wait for the acknowledgement of the one before.
                    if let Err(error) = connection.0.set_nodelay(true) {
                        tracing::debug!(%error, "failed to set TCP_NODELAY");
                    }
                    return connection;
                }
                () = reached(&mut phase, Phase::Draining) => {
                    if let Some(stop) = self.stop.take() {
                        // The server may be gone already, and wants no stopping then.
                        let _: Result<(), ()> = stop.send(());
                    }
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}
