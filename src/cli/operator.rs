//! `operator`: runs in the cluster until it is told to stop.

use std::{env, net::SocketAddr, path::PathBuf, process, time::Duration};

use anyhow::{Context as _, bail};
use clap::ArgAction;

use crate::{
    core::{
        engine::{Config, World},
        facts::Kind,
        units::{Decimal, Value, ValueType},
    },
    shell::{
        lease::Timing,
        operator::{self, Election, Options, Telemetry},
        telemetry::{LogFormat, logging},
    },
};

/// Threads of the runtime. The engine takes one at a time; the others decode and wait for the network.
const THREADS: usize = 4;

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Govern these namespaces only, separated by commas [default: the whole cluster]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Kinds of other projects to govern, of Cluster, Pooler and Stream, separated by commas; none for none of them [default:
    /// all]
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    object_targets: Option<Vec<String>>,
    /// Address of /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Act only while holding a Lease, so that several replicas may run [default: true inside a cluster]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    leader_elect: Option<bool>,
    /// Namespace of the Lease [default: that of the pod, else that of the kubeconfig]
    #[arg(long, value_name = "NAME")]
    lease_namespace: Option<String>,
    /// Silence of a leader after which another replica takes over
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    lease_duration: Duration,
    /// Time between two renewals of the Lease; at most a third of its duration
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    lease_renew: Duration,
    /// Directory of bearer tokens for metrics sources, one file each
    #[arg(long, value_name = "DIRECTORY")]
    credentials_dir: Option<PathBuf>,
    /// Shape of log lines
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// Least level of log lines: a word, or directives such as info,trimtab=debug
    #[arg(long, value_name = "LEVEL", env = "RUST_LOG", default_value = "info")]
    log_level: String,
    /// Name of this pod
    #[arg(long, value_name = "NAME", env = "POD_NAME", hide = true)]
    pod_name: Option<String>,
    /// Namespace of this pod
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE", hide = true)]
    pod_namespace: Option<String>,
}

/// Runs the operator.
pub fn run(args: Args) -> anyhow::Result<()> {
    logging::init(args.log_format, &args.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(operate(args))
}

async fn operate(args: Args) -> anyhow::Result<()> {
    let config = operator::config().await?;
    let here = args.pod_namespace.unwrap_or_else(|| config.default_namespace.clone());
    let inside = env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let election = if args.leader_elect.unwrap_or(inside) {
        if args.lease_renew * 3 > args.lease_duration {
            bail!("--lease-renew must be at most a third of --lease-duration");
        }
        let timing = Timing { duration: args.lease_duration, renew: args.lease_renew };
        Some(Election { namespace: args.lease_namespace.unwrap_or_else(|| here.clone()), timing })
    } else {
        None
    };
    let options = Options {
        namespaces: namespaces(args.namespaces),
        foreign: foreign(args.object_targets)?,
        listen: args.listen,
        election,
        // Outside a cluster, a process is told from the one before it.
        identity: args.pod_name.unwrap_or_else(|| format!("trimtab-{}", process::id())),
        credentials: args.credentials_dir,
    };
    let telemetry = Telemetry::new()?;
    let client = telemetry.client(config)?;
    let world = World::new(Config {
        operator_namespace: here.into(),
        kubernetes: operator::release(&client).await,
        ..Config::default()
    });
    operator::run(options, client, telemetry, world).await
}

/// Each namespace once, empty words left out.
fn namespaces(mut typed: Vec<String>) -> Vec<String> {
    typed.retain(|name| !name.is_empty());
    typed.sort();
    typed.dedup();
    typed
}

/// Kinds of other projects.
fn foreign(typed: Option<Vec<String>>) -> anyhow::Result<Vec<Kind>> {
    let all = || Kind::ALL.into_iter().filter(|kind| kind.is_foreign());
    let Some(typed) = typed else { return Ok(all().collect()) };
    let mut kinds = Vec::new();
    for name in typed.iter().filter(|name| !["", "none"].contains(&name.as_str())) {
        let Some(kind) = all().find(|kind| kind.as_str() == name) else {
            let known: Vec<&str> = all().map(Kind::as_str).collect();
            bail!("--object-targets: \"{name}\" is none of {}", known.join(", "));
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

fn duration(text: &str) -> Result<Duration, String> {
    let value = Value::parse(ValueType::Duration, text).map_err(|error| error.to_string())?;
    let seconds = value.amount().map(Decimal::as_f64).filter(|seconds| (1.0..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "must lie between 1s and 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bounds() {
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert!(duration("15").is_err());
        assert!(duration("0s").is_err());
        assert!(duration("2h").is_err());
    }

    #[test]
    fn kinds_of_other_projects_are_all_or_those_that_are_named() {
        let typed = |text: &str| foreign(Some(text.split(',').map(ToOwned::to_owned).collect()));
        assert_eq!(foreign(None).unwrap(), [Kind::Cluster, Kind::Pooler, Kind::Stream]);
        assert_eq!(typed("none").unwrap(), []);
        assert_eq!(typed("Stream,Stream,Cluster").unwrap(), [Kind::Stream, Kind::Cluster]);
        let error = typed("Deployment").unwrap_err().to_string();
        assert_eq!(error, "--object-targets: \"Deployment\" is none of Cluster, Pooler, Stream");
    }

    #[test]
    fn each_namespace_is_watched_once() {
        assert_eq!(namespaces(vec!["b".into(), "a".into(), String::new(), "b".into()]), ["a", "b"]);
    }
}
