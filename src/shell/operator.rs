//! The operator: puts the parts together and runs them until it is told to stop.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use kube::{Client, Config, client::ClientBuilder};
use prometheus::Registry;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use tower::layer::layer_fn;
use tracing::{error, info, warn};

use super::{
    driver::{Driver, Engine, INPUTS},
    execute::Executor,
    health::Health,
    lease::{Candidate, Tenure, Timing},
    server::{self, Pages},
    sources::Sources,
    telemetry::{Metrics, Page, requests::Counted, world},
    watch::{STREAMS, Watches},
};
use crate::core::{
    engine::{self, Action, Effect, Input, World},
    facts::{Instant, Kind, Release},
};

/// Silence of the API server on one connection after which the connection counts as dead. Every watch shows a bookmark
/// about once a minute.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(150);

impl Engine for World {
    fn step(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        engine::step(self, input, now)
    }

    fn pages(&self) -> Vec<Page> {
        world::pages(self)
    }
}

/// The operator's own metrics, from before its first request on.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    metrics: Arc<Metrics>,
}

impl Telemetry {
    /// Nothing is counted yet.
    ///
    /// # Errors
    /// Never in practice: the names of metrics differ.
    pub fn new() -> anyhow::Result<Self> {
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::register(&registry).context("registering metrics")?);
        Ok(Self { registry, metrics })
    }

    /// A client whose requests are counted.
    ///
    /// # Errors
    /// When the configuration is of no use.
    pub fn client(&self, config: Config) -> anyhow::Result<Client> {
        let count = layer_fn(|inner| Counted::new(inner, self.metrics.clone()));
        let builder = ClientBuilder::try_from(config).context("building a client of the API server")?;
        Ok(builder.with_layer(&count).build())
    }
}

/// What the operator was asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Namespaces to govern; none: the whole cluster.
    pub namespaces: Vec<String>,
    /// Kinds of other projects that may be governed.
    pub foreign: Vec<Kind>,
    /// Address of `/metrics` and the probes.
    pub listen: SocketAddr,
    /// The Lease to hold while acting, if several replicas may run.
    pub election: Option<Election>,
    /// Name of this replica, in the Lease and in Events.
    pub identity: String,
    /// Directory of bearer tokens for metrics sources.
    pub credentials: Option<PathBuf>,
}

/// The Lease to hold while acting.
#[derive(Clone, Debug)]
pub struct Election {
    /// Its namespace.
    pub namespace: String,
    /// How the election is timed.
    pub timing: Timing,
}

/// The configuration by which every client of the operator reaches the API server: in the cluster that of its service
/// account, elsewhere that of `kubectl`.
///
/// # Errors
/// When there is neither.
pub async fn config() -> anyhow::Result<Config> {
    let mut config = Config::infer()
        .await
        .context("finding an API server; run inside a cluster, or set KUBECONFIG to a file that works with kubectl")?;
    // The engine decides what is tried again, and when.
    config.default_retry = false;
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    Ok(config)
}

/// The version of the cluster, asked once: a control plane that is upgraded later calls more safe than we know of, which the
/// next start of the operator sees. A cluster that does not say is taken for older than anything.
pub async fn release(client: &Client) -> Release {
    match client.apiserver_version().await {
        Ok(info) => Release::read(&info.major, &info.minor),
        Err(error) => {
            warn!(%error, "the API server does not say its version: sysctls that became safe in later ones are refused");
            Release::UNKNOWN
        }
    }
}

/// Runs until a signal ends it.
///
/// # Errors
/// When it cannot start, when leadership was lost, or when a part of it ended by itself: the process must be restarted.
pub async fn run(
    options: Options,
    client: Client,
    telemetry: Telemetry,
    engine: impl Engine + 'static,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut operator = Operator::start(options, client, telemetry, engine).await?;
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        error = operator.broken() => Err(error),
    };
    if let Err(error) = &ended {
        error!(error = format!("{error:#}"), "ending");
    } else {
        info!("stopping");
    }
    let stopped = operator.stop().await;
    ended.and(stopped)
}

/// The running parts.
#[derive(Debug)]
struct Operator {
    health: Arc<Health>,
    watches: JoinSet<()>,
    driver: JoinHandle<()>,
    stop_driver: watch::Sender<bool>,
    candidate: Option<JoinHandle<anyhow::Result<()>>>,
    stop_candidate: watch::Sender<bool>,
    server: JoinHandle<anyhow::Result<()>>,
    stop_server: watch::Sender<bool>,
}

impl Operator {
    async fn start(
        options: Options,
        client: Client,
        telemetry: Telemetry,
        engine: impl Engine + 'static,
    ) -> anyhow::Result<Self> {
        let Options { namespaces, foreign, listen, election, identity, credentials } = options;
        let Telemetry { registry, metrics } = telemetry;
        let health = Arc::new(Health::new(STREAMS));
        let sources = Arc::new(Sources::new(credentials, metrics.clone()));
        let tenure = if election.is_some() { Tenure::elected() } else { Tenure::alone() };
        let executor = Executor::new(client.clone(), sources.clone(), &identity, tenure.clone());
        let (inputs, waiting) = mpsc::channel(INPUTS);
        let execute = move |action: Action| executor.clone().execute(action);
        let (driver, questions) = Driver::new(engine, execute, sources, waiting, metrics.clone(), health.clone());

        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
        let governed = if namespaces.is_empty() { "all".to_owned() } else { namespaces.join(",") };
        info!(version = env!("CARGO_PKG_VERSION"), %listen, identity, namespaces = governed, "starting");
        let (stop_server, mut server_stops) = watch::channel(false);
        let pages = Pages { registry, health: health.clone(), questions };
        let server = tokio::spawn(server::serve(listener, pages, async move {
            // A sender that is gone is as good as a stop.
            let _stopped = server_stops.wait_for(|stop| *stop).await.is_ok();
        }));

        let (stop_driver, driver_stops) = watch::channel(false);
        let driver = tokio::spawn(driver.run(driver_stops));
        let watches = Watches {
            client: client.clone(),
            namespaces,
            foreign,
            inputs: inputs.clone(),
            metrics: metrics.clone(),
            health: health.clone(),
        }
        .start();

        let (stop_candidate, candidate_stops) = watch::channel(false);
        let (leads, led) = watch::channel(false);
        let candidate = if let Some(Election { namespace, timing }) = election {
            let candidate = Candidate::new(client, &namespace, &identity, timing, tenure);
            Some(tokio::spawn(candidate.run(leads, candidate_stops)))
        } else {
            leads.send_replace(true);
            None
        };
        tokio::spawn(tell_leadership(led, inputs, metrics));
        Ok(Self { health, watches, driver, stop_driver, candidate, stop_candidate, server, stop_server })
    }

    /// Waits until a part ends that should not.
    async fn broken(&mut self) -> anyhow::Error {
        let candidate = async {
            match &mut self.candidate {
                Some(candidate) => candidate.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = candidate => {
                self.candidate = None;
                match ended {
                    Ok(Err(error)) => error.context("leadership was lost"),
                    Ok(Ok(())) => anyhow::anyhow!("the election ended by itself"),
                    Err(died) => anyhow::Error::new(died).context("the election died"),
                }
            }
            ended = &mut self.driver => part_ended("the driver of the engine", ended.err()),
            ended = &mut self.server => match ended {
                Ok(Err(error)) => error,
                Ok(Ok(())) => part_ended("the server of metrics and probes", None),
                Err(died) => part_ended("the server of metrics and probes", Some(died)),
            },
            Some(ended) = self.watches.join_next() => part_ended("a watch", ended.err()),
        }
    }

    /// Stops in an order that leaves nothing half done: no new requests to us, nothing new to know, what has begun comes
    /// to an end, then the Lease is given back.
    async fn stop(mut self) -> anyhow::Result<()> {
        self.health.stop();
        self.watches.abort_all();
        self.stop_driver.send_replace(true);
        if !self.driver.is_finished() {
            self.driver.await.context("stopping the driver of the engine")?;
        }
        self.stop_candidate.send_replace(true);
        if let Some(candidate) = self.candidate {
            candidate.await.context("stopping the election")??;
        }
        self.stop_server.send_replace(true);
        if !self.server.is_finished() {
            // A scrape that is under way must not keep the process.
            self.server.abort();
        }
        Ok(())
    }
}

fn part_ended(part: &str, died: Option<tokio::task::JoinError>) -> anyhow::Error {
    match died {
        Some(died) => anyhow::Error::new(died).context(format!("{part} died")),
        None => anyhow::anyhow!("{part} ended by itself"),
    }
}

/// Tells the engine what this replica is, as long as it runs.
async fn tell_leadership(mut leads: watch::Receiver<bool>, inputs: mpsc::Sender<Input>, metrics: Arc<Metrics>) {
    // The engine takes itself for a standby replica until it hears otherwise.
    let mut leading = false;
    while leads.wait_for(|leads| *leads != leading).await.is_ok() {
        leading = !leading;
        metrics.leader.set(leading.into());
        if inputs.send(Input::Leadership(leading)).await.is_err() {
            return;
        }
    }
}
