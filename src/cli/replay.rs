//! `replay`: policies over the history of their metrics. The controller's own engine decides; here is where answers come from.

mod ask;
mod recording;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail};

use super::{
    readings::Backends,
    select::{Cluster, block_on, emit, talk},
    world::{Documents, Surroundings},
};
use crate::{
    core::{
        engine::{Input, step},
        facts::{Instant, Span},
        policy::PolicyKey,
        replay::{History, Period, Replay, ReplayReport, Turn, period},
        units::{Decimal, Value, ValueType},
    },
    shell::clock,
};

/// What can be typed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Times are RFC 3339, \"now\", or a duration before now such as -6h.\n\
A recording is a file for each query, as a Prometheus answers /api/v1/query_range, with the query beside it in the member \"query\"; \
--record writes such files. A file NAME.csv of lines \"time,value\" answers a threshold whose query is NAME.\n\n\
Exit codes: 0 replayed, 1 there is no data at all in that time, 2 an error")]
pub struct Args {
    /// Files or directories with policies, the objects that they govern and metrics sources; - for standard input
    #[arg(short, long = "filename", value_name = "PATH", required = true)]
    filename: Vec<PathBuf>,
    /// When to begin [default, of a recording: its beginning]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, required_unless_present = "recorded")]
    from: Option<String>,
    /// When to end [default: now; of a recording: its end]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Ask this server, in place of those of metrics sources
    #[arg(long, value_name = "URL", conflicts_with = "recorded")]
    source: Option<String>,
    /// Take the history from a recording: a file, or a directory of them
    #[arg(long, value_name = "PATH")]
    recorded: Option<PathBuf>,
    /// Keep what was answered in this directory, for later replays without a server
    #[arg(long, value_name = "DIR", conflicts_with = "recorded")]
    record: Option<PathBuf>,
    /// Take what the files do not have from the cluster
    #[arg(long)]
    live: bool,
    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    surroundings: Surroundings,
    #[command(flatten)]
    cluster: Cluster,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// One page for browsers, with pictures.
    Html,
}

/// Replays, prints, and says with its exit code whether there was anything to replay.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (mut documents, mine) = documents(args)?;
    let history = args.recorded.as_deref().map(recording::read).transpose()?;
    if let Some(url) = &args.source {
        documents.read_from(url);
    }
    if args.recorded.is_some() {
        documents.read_from("http://recorded.invalid");
    }
    if documents.sources().is_empty() {
        bail!("there is no MetricsSource: give its manifest with -f, or --source URL, or --recorded PATH");
    }
    let (from, to) = limits(args, history.as_ref(), clock::now())?;
    let told: BTreeMap<PolicyKey, bool> = told(&documents, &args.surroundings, from);
    documents.observe();
    let intervals = intervals(&documents, &args.surroundings, from);
    if intervals.is_empty() {
        bail!("{}", unasked(&documents, &args.surroundings, &mine, from));
    }
    let (period, _) = period(from, to, &intervals).map_err(|error| anyhow::anyhow!("{}", error.0))?;
    let recorded = history.is_some();
    let backends = Backends::new(documents.sources());
    let (world, effects) = documents.into_leading_world(&args.surroundings, period.from);
    let mut replay = Replay::new(world, effects, intervals, period, history.unwrap_or_default(), mine);
    // On one runtime, because the connections of the clients live there.
    block_on(async {
        loop {
            match replay.advance().map_err(anyhow::Error::msg)? {
                Turn::Done => return Ok(()),
                Turn::Needs(fetches) if recorded => {
                    let query = fetches.first().map(|fetch| fetch.expr.to_string()).unwrap_or_default();
                    bail!(
                        "the recording has no answer to the query {query:?}: record these policies with replay --record DIR, or \
                         name a CSV file after the query of its threshold"
                    );
                }
                Turn::Needs(fetches) => replay.learn(ask::all(&backends, fetches).await?),
            }
        }
    })?;
    let (mut report, history) = replay.finish();
    for policy in &mut report.policies {
        let key = (policy.namespace.as_str().into(), policy.name.as_str().into());
        policy.told = told.get(&key).copied().unwrap_or_default();
    }
    if let Some(folder) = &args.record {
        recording::write(folder, &history)?;
    }
    emit(&printed(args.output, &report)?)?;
    Ok(verdict(&report, period))
}

fn printed(format: Format, report: &ReplayReport) -> anyhow::Result<String> {
    Ok(match format {
        Format::Text => text::report(report),
        Format::Json => format!("{}\n", serde_json::to_string_pretty(report).context("writing JSON")?),
        Format::Html => report.html(),
    })
}

fn verdict(report: &ReplayReport, period: Period) -> ExitCode {
    if report.summary.readings > 0 {
        return ExitCode::SUCCESS;
    }
    talk(format_args!("no data at all between {} and {}", period.from, period.to));
    ExitCode::from(1)
}

fn documents(args: &Args) -> anyhow::Result<(Documents, BTreeSet<PolicyKey>)> {
    let names = |documents: &Documents| -> BTreeSet<PolicyKey> {
        let name = |text: &Option<String>| text.clone().unwrap_or_default().into();
        documents.policies.iter().map(|one| (name(&one.metadata.namespace), name(&one.metadata.name))).collect()
    };
    if args.live {
        return block_on(async {
            let (client, namespace) = args.cluster.connect().await?;
            let documents = Documents::read(&args.filename, &namespace)?;
            let mine = names(&documents);
            let mut documents = documents.join(&client).await?;
            if args.source.is_none() && args.recorded.is_none() {
                documents.add_sources(&client).await?;
            }
            Ok((documents, mine))
        });
    }
    let namespace = args.cluster.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let documents = Documents::read(&args.filename, &namespace)?;
    let mine = names(&documents);
    Ok((documents, mine))
}

/// Whether anybody is told of the breaches of each policy, as it is.
fn told(documents: &Documents, surroundings: &Surroundings, at: Instant) -> BTreeMap<PolicyKey, bool> {
    let accounts = documents.clone().into_world(surroundings, at).accounts(at);
    accounts.into_iter().map(|account| (account.key, account.told)).collect()
}

/// Who is asked, and how often.
fn intervals(documents: &Documents, surroundings: &Surroundings, at: Instant) -> BTreeMap<Box<str>, Span> {
    let (mut world, _) = documents.clone().into_leading_world(surroundings, at);
    step(&mut world, Input::Tick, at);
    world.intervals().map(|(source, interval)| (source.into(), interval)).collect()
}

/// Why nothing is asked.
fn unasked(documents: &Documents, surroundings: &Surroundings, mine: &BTreeSet<PolicyKey>, at: Instant) -> String {
    let accounts = documents.clone().into_world(surroundings, at).accounts(at);
    let troubles = accounts.iter().filter(|account| mine.contains(&account.key)).flat_map(|account| {
        let (namespace, name) = &account.key;
        account.troubles.iter().map(move |(reason, message)| format!("policy {namespace}/{name}: {reason}: {message}"))
    });
    let troubles: Vec<String> = troubles.collect();
    if troubles.is_empty() {
        return "there is nothing to replay: no threshold asks a metrics source that is known; give the manifest of the source \
                with -f, or --source URL"
            .to_owned();
    }
    format!(
        "there is nothing to replay: {}; what a policy needs beside it, such as its class and the objects that it governs, is given \
         with -f, or --live",
        troubles.join("; ")
    )
}

fn limits(args: &Args, history: Option<&History>, now: Instant) -> anyhow::Result<(Instant, Instant)> {
    let span = history.and_then(History::span);
    let from = args.from.as_deref().map(|text| moment("--from", text, now)).transpose()?;
    let to = args.to.as_deref().map(|text| moment("--to", text, now)).transpose()?;
    let Some(from) = from.or(span.map(|(start, _)| start)) else {
        bail!("the recording is empty: name --from and --to")
    };
    let end = if history.is_some() { span.map(|(_, end)| end) } else { Some(now.whole_seconds()) };
    Ok((from, to.or(end).context("the recording is empty: name --from and --to")?))
}

fn moment(flag: &str, text: &str, now: Instant) -> anyhow::Result<Instant> {
    if text == "now" {
        return Ok(now.whole_seconds());
    }
    if let Some(before) = text.strip_prefix('-') {
        let value =
            Value::parse(ValueType::Duration, before).map_err(|error| anyhow::anyhow!("{flag} {text}: {error}"))?;
        let seconds = value.amount().and_then(Decimal::to_i64);
        let seconds = seconds.with_context(|| format!("{flag} {text}: it must be whole seconds"))?;
        return Ok(now.whole_seconds() - Span::seconds(seconds));
    }
    Instant::parse(text).with_context(|| {
        format!("{flag} {text:?} is no time: write RFC 3339 such as 2026-11-20T06:00:00Z, \"now\", or a duration such as -6h")
    })
}
