//! The master: owns the listening sockets, keeps the configured number of workers alive, tells
//! them about changed settings, and speaks for all of them on the metrics port.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

use crate::{
    database::{
        Database, postgres,
        standin::{StandIn, StandInOptions},
    },
    metrics::{self, ProcessGauges, count, snapshot::Snapshot},
    settings::{self, Overrides, Seconds, Settings},
    worker::chain,
};

mod admin;
mod slot;

use slot::Slot;

/// How the server is started; what may change while it runs is in [`Settings`].
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeOptions {
    /// Address to listen on
    #[arg(long, env = "HOST", default_value = "0.0.0.0")]
    host: IpAddr,
    /// Port of the application; 0 lets the system choose
    #[arg(long, env = "PORT", default_value_t = 8000)]
    port: u16,
    /// Port of /metrics, /healthz and /readyz; 0 lets the system choose
    #[arg(long, env = "METRICS_PORT", default_value_t = 9102)]
    metrics_port: u16,
    /// postgresql://… or standin://HOST:PORT; without it, the server brings its own stand-in
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    /// YAML file with settings; arguments and environment beat it
    #[arg(long, env = "CONFIG_FILE", value_name = "PATH")]
    config_file: Option<PathBuf>,
    /// Read the settings file again when it changes
    #[arg(long, env = "CONFIG_WATCH", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    config_watch: bool,
    /// After SIGTERM, how long to go on serving while load balancers forget this server
    #[arg(long, env = "DRAIN_DELAY", value_name = "SECONDS", default_value = "0")]
    drain_delay: Seconds,
    /// How long requests in flight may take after that
    #[arg(long, env = "SHUTDOWN_TIMEOUT", value_name = "SECONDS", default_value = "25")]
    shutdown_timeout: Seconds,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    standin: StandInOptions,
}

/// What the workers are to do, for all of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    Closing,
    Draining,
}

/// The metrics of the master itself.
struct MasterMetrics {
    registry: Registry,
    web_concurrency: IntGauge,
    workers: GaugeVec,
    restarts: IntCounter,
    reloads: IntCounterVec,
    reload_ok: IntGauge,
    standin: Option<(StandIn, [IntGauge; 3])>,
    process: ProcessGauges,
}

/// The workers, those of the past included: one lock, so that no scrape finds the counts of a
/// worker missing, or twice, while it goes.
#[derive(Clone, Default)]
struct Roster {
    slots: Vec<Slot>,
    /// Slots that were given up and whose workers are still busy.
    leaving: Vec<Slot>,
    /// What the slots have counted that are no more.
    remains: Snapshot,
}

/// Everything that the admin port shows.
struct Pod {
    roster: Mutex<Roster>,
    metrics: MasterMetrics,
    stage: watch::Receiver<Stage>,
    /// Whether all workers have been ready once: the end of the start.
    started: AtomicBool,
}

/// Serves until SIGTERM or SIGINT. The answer is whether every worker drained in time.
pub(crate) async fn serve(options: ServeOptions) -> anyhow::Result<bool> {
    options.standin.check().map_err(anyhow::Error::msg)?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen to SIGINT")?;
    let first = settings::load(&options.overrides, options.config_file.as_deref())?;

    let admin = TcpListener::bind((options.host, options.metrics_port))
        .await
        .with_context(|| format!("failed to listen on port {} (METRICS_PORT)", options.metrics_port))?;
    let mut listeners = Listeners::new(SocketAddr::new(options.host, options.port))?;
    let (standin, database_url) = find_database(&options).await?;
    let database = Database::parse(&database_url).map_err(anyhow::Error::msg)?;
    let (stage, stages) = watch::channel(Stage::Running);
    let pod = Arc::new(Pod {
        roster: Mutex::default(),
        metrics: MasterMetrics::new(standin)?,
        stage: stages,
        started: AtomicBool::new(false),
    });
    let (updates, current) = watch::channel(first);
    let mut workers = Workers { pod: Arc::clone(&pod), settings: current, database_url };
    println!(
        "listening on {} (application) and {} (metrics)",
        listeners.address,
        admin.local_addr().context("failed to read the address of the metrics port")?
    );
    let admin = tokio::spawn(admin::serve(admin, Arc::clone(&pod)));

    let (changes, mut edits) = mpsc::channel(1);
    let watcher = options
        .config_file
        .clone()
        .filter(|_| options.config_watch)
        .map(|path| tokio::spawn(watch_file(path, changes)));
    let preparation = prepare(&database);
    tokio::pin!(preparation);
    let mut prepared = false;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // Until the tables are there, the ports are open and the server says why it is not ready.
            () = &mut preparation, if !prepared => {
                prepared = true;
                workers.resize(&mut listeners)?;
            }
            Some(()) = edits.recv() => {
                match settings::load(&options.overrides, options.config_file.as_deref()) {
                    Ok(new) => {
                        tracing::info!(settings = ?new, "took over changed settings");
                        updates.send_replace(new);
                        pod.metrics.reloaded(true);
                        if prepared {
                            workers.resize(&mut listeners)?;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(error = chain(&error), "kept the settings as they were");
                        pod.metrics.reloaded(false);
                    }
                }
            }
        }
    }
    if let Some(watcher) = watcher {
        watcher.abort();
    }

    tracing::info!("asked to stop");
    stage.send_replace(Stage::Closing);
    sleep(options.drain_delay.0).await;
    stage.send_replace(Stage::Draining);
    let drained = workers.join(options.shutdown_timeout.0).await;
    admin.abort();
    tracing::info!(drained, "stopped");
    Ok(drained)
}

/// The workers as a set.
struct Workers {
    pod: Arc<Pod>,
    settings: watch::Receiver<Settings>,
    database_url: String,
}

impl Workers {
    /// Starts or gives up workers until there are as many as the settings say.
    fn resize(&mut self, listeners: &mut Listeners) -> anyhow::Result<()> {
        let wanted = self.settings.borrow().workers.get();
        self.pod.metrics.web_concurrency.set(count(wanted));
        let mut roster = self.pod.roster();
        while roster.slots.len() < wanted {
            let listener = listeners.open()?;
            roster.slots.push(Slot::start(
                listener,
                self.settings.clone(),
                self.database_url.clone(),
                self.pod.stage.clone(),
                self.pod.metrics.restarts.clone(),
            ));
        }
        let surplus = roster.slots.split_off(wanted);
        roster.leaving.extend_from_slice(&surplus);
        for slot in surplus {
            let pod = Arc::clone(&self.pod);
            tokio::spawn(async move {
                let last = slot.retire().await;
                let mut roster = pod.roster();
                roster.leaving.retain(|other| !other.is(&slot));
                roster.remains.merge(&last);
            });
        }
        Ok(())
    }

    /// Waits until every worker has gone, and ends those that take too long.
    async fn join(self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let Roster { slots, leaving, remains: _ } = self.pod.roster().clone();
        let mut drained = true;
        for slot in slots.iter().chain(&leaving) {
            drained &= slot.join(deadline).await;
        }
        drained
    }
}

/// Opens one listening socket per worker on the same address: the kernel spreads connections over
/// them evenly, and because the master keeps them open, those that arrive while a worker is being
/// replaced wait for its successor.
struct Listeners {
    address: SocketAddr,
    /// The first one, until its worker starts.
    first: Option<std::net::TcpListener>,
}

impl Listeners {
    /// Takes the port. With port 0, the first listener decides for the others.
    fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let first = Self::listen(address)?;
        let address = first.local_addr().with_context(|| format!("failed to listen on {address}"))?;
        Ok(Self { address, first: Some(first) })
    }

    fn open(&mut self) -> anyhow::Result<std::net::TcpListener> {
        self.first.take().map_or_else(|| Self::listen(self.address), Ok)
    }

    fn listen(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
        let open = || -> std::io::Result<TcpListener> {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        let failed = || format!("failed to listen on {address} (HOST, PORT)");
        open().and_then(TcpListener::into_std).with_context(failed)
    }
}

/// Connections that may wait to be accepted by one worker.
const BACKLOG: u32 = 1024;

/// Finds the database: the one that the URL names, or a stand-in of our own on loopback.
async fn find_database(options: &ServeOptions) -> anyhow::Result<(Option<StandIn>, String)> {
    let Some(url) = &options.database_url else {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
            .await
            .context("failed to listen on loopback for the stand-in database")?;
        let address = listener.local_addr().context("failed to read the stand-in's address")?;
        let standin = StandIn::new(options.standin);
        tokio::spawn(standin.clone().serve(listener));
        return Ok((Some(standin), format!("standin://{address}")));
    };
    Ok((None, url.clone()))
}

/// Creates the tables of a real database, and waits for it if it is away.
async fn prepare(database: &Database) {
    if let Database::Postgres(config) = database {
        while let Err(error) = create_schema(config).await {
            tracing::warn!(error = chain(&error), "failed to prepare the database, trying again");
            sleep(crate::pool::RETRY).await;
        }
    }
}

async fn create_schema(config: &tokio_postgres::Config) -> Result<(), crate::database::DatabaseError> {
    postgres::Connection::open(config).await?.create_schema().await
}

/// Tells of every change of the file's content. Polling sees what a `ConfigMap` volume does, which
/// is to swap a symbolic link two directories up.
async fn watch_file(path: PathBuf, changes: mpsc::Sender<()>) {
    let mut known = tokio::fs::read(&path).await.ok();
    loop {
        sleep(POLL).await;
        let now = tokio::fs::read(&path).await.ok();
        if now != known {
            known = now;
            if changes.send(()).await.is_err() {
                return;
            }
        }
    }
}

/// Time between two looks at the settings file.
const POLL: Duration = Duration::from_millis(500);

impl MasterMetrics {
    fn new(standin: Option<StandIn>) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        let reloads =
            Opts::new("config_reloads_total", "Changes of the settings file, by whether they could be taken over");
        let standin = standin
            .map(|standin| -> prometheus::Result<_> {
                let gauges = [
                    metrics::gauge(r, "database_connections", "Connections that the stand-in database holds", &[])?,
                    metrics::gauge(
                        r,
                        "database_max_connections",
                        "Connections that the stand-in database accepts",
                        &[],
                    )?,
                    metrics::gauge(r, "database_running_queries", "Queries that the stand-in database works on", &[])?,
                ];
                Ok((standin, gauges))
            })
            .transpose()?;
        let new = Self {
            web_concurrency: metrics::gauge(
                r,
                "web_concurrency",
                "WEB_CONCURRENCY in force: processes that serve requests",
                &[],
            )?,
            workers: metrics::gauge_vec(
                r,
                "web_workers",
                "Worker processes by state; starting for long, they cannot open their pools",
                "state",
            )?,
            restarts: metrics::register(
                r,
                IntCounter::new("web_worker_restarts_total", "Workers that died and were replaced")?,
            )?,
            reloads: metrics::register(r, IntCounterVec::new(reloads, &["result"])?)?,
            reload_ok: metrics::gauge(
                r,
                "config_last_reload_successful",
                "Whether the settings file as it is now is in force",
                &[],
            )?,
            standin,
            process: ProcessGauges::new(r)?,
            registry,
        };
        for result in ["success", "failure"] {
            new.reloads.with_label_values(&[result]);
        }
        new.reload_ok.set(1);
        Ok(new)
    }

    fn reloaded(&self, ok: bool) {
        let result = if ok { "success" } else { "failure" };
        self.reloads.with_label_values(&[result]).inc();
        self.reload_ok.set(i64::from(ok));
    }
}
