//! A worker: one process that serves requests with its own pool and its own caches, as its master
//! tells it to.

use std::{io, net::SocketAddr, sync::Arc};

use anyhow::{Context, bail};
use axum::serve::Listener;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
};

use crate::{
    api,
    app::{App, Phase},
    control::{self, Incoming, Line, Notice, Order, Outgoing},
    database::Database,
    loops,
    pool::RETRY,
    settings::Settings,
};

/// Serves until the master says so or goes away.
pub(crate) async fn run() -> anyhow::Result<()> {
    let hint = "a worker is started by `grace-app serve`, not by hand";
    let listener = control::inherited_listener().context(hint)?;
    let Line { mut incoming, mut outgoing } = Line::inherited().context(hint)?;
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
    let mut loops = loops::start(&app);

    fill(&app).await;
    outgoing.send(&Notice::Ready).await.context("failed to report to the master")?;
    let obey = obey(&mut incoming, &mut outgoing, &app, &updates, &phase);
    tokio::select! {
        result = obey => if let Err(error) = result {
            tracing::warn!(%error, "lost the master, finishing what is in flight");
        },
        result = &mut server => {
            result.context("the server panicked")?.context("the server failed")?;
            bail!("the server stopped by itself");
        }
    }

    phase.send_replace(Phase::Draining);
    loops.abort_all();
    let finished = async { server.await.context("the server panicked")?.context("the server failed") };
    // The master may still want figures; a worker without one just finishes.
    let reports = async {
        while let Ok(true) = report_once(&mut incoming, &mut outgoing, &app).await {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = finished => result?,
        () = reports => {}
    }
    app.pool.close();
    // The last figures, so that no request is missing in the pod's counts.
    let last = Notice::Report { metrics: app.gather() };
    if let Err(error) = outgoing.send(&last).await {
        tracing::debug!(%error, "the master does not take the last figures");
    }
    Ok(())
}

/// Opens the persistent connections. A database that is away is waited for here: a worker without
/// one is not ready, but need not die either.
async fn fill(app: &App) {
    while let Err(error) = app.pool.fill().await {
        tracing::warn!(error = %chain(&error), "failed to open the connection pool, trying again");
        tokio::time::sleep(RETRY).await;
    }
}

/// Follows orders until the order to drain.
async fn obey(
    incoming: &mut Incoming,
    outgoing: &mut Outgoing,
    app: &App,
    updates: &watch::Sender<Settings>,
    phase: &watch::Sender<Phase>,
) -> io::Result<()> {
    loop {
        match incoming.receive().await?.ok_or(io::ErrorKind::UnexpectedEof)? {
            Order::Reload { settings } => {
                app.apply(&settings);
                updates.send_replace(settings);
                // Opens what a larger pool lacks; a database that is away shows in its own check.
                if let Err(error) = app.pool.fill().await {
                    tracing::warn!(error = %chain(&error), "failed to open more connections");
                }
            }
            Order::Report => outgoing.send(&Notice::Report { metrics: app.gather() }).await?,
            Order::Closing => {
                phase.send_replace(Phase::Closing);
            }
            Order::Drain => return Ok(()),
            Order::Start { .. } => {
                return Err(io::Error::other("the master started a worker twice"));
            }
        }
    }
}

/// Answers one order while draining; false when there will be no more.
async fn report_once(incoming: &mut Incoming, outgoing: &mut Outgoing, app: &App) -> io::Result<bool> {
    let order: Option<Order> = incoming.receive().await?;
    if let Some(Order::Report) = order {
        outgoing.send(&Notice::Report { metrics: app.gather() }).await?;
    }
    Ok(order.is_some())
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
