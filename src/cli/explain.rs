//! `explain`: which policy governs which value of a workload, where it lands, and whose the field is.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::{
    plan::{connections, not_enforceable},
    render::{Paint, table},
    select::{Cluster, Output, block_on, print},
    world::{Documents, Surroundings},
};
use crate::{
    core::{
        engine::{Account, ReadbackAccount},
        facts::Kind,
        plan::{Conflict, Setting, State},
        report::chain::{Link, chain},
    },
    shell::clock,
};

/// What can be typed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 a policy governs the object, 1 none does, 2 an error")]
pub struct Args {
    /// The workload, such as deploy/api, or a policy, such as policy/api
    #[arg(value_name = "KIND/NAME")]
    object: String,
    /// Files or directories with policies and the objects that they govern, in the place of the cluster; - for standard input
    #[arg(short, long = "filename", value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    surroundings: Surroundings,
    #[command(flatten)]
    cluster: Cluster,
}

/// What explains one policy's part in a workload.
#[derive(Debug, Serialize)]
struct Part {
    policy: String,
    mode: String,
    target: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profiles: Vec<Box<str>>,
    settings: Vec<Setting>,
    conflicts: Vec<String>,
    refusals: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    budgets: Vec<String>,
    /// How its numbers follow from each other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    chain: Vec<Link>,
    /// What pods are asked for, and what the status says of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    readbacks: Vec<ReadbackAccount>,
    /// What the status says of its thresholds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    measured: Vec<String>,
    #[serde(skip)]
    connections: String,
}

/// Exit codes: 0 something governs the object, 1 nothing does.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let wanted = Wanted::parse(&args.object)?;
    let now = clock::now();
    let documents = if args.filename.is_empty() {
        block_on(async {
            let (client, namespace) = args.cluster.connect().await?;
            Documents::of_cluster(&client, &namespace).await
        })?
    } else {
        Documents::read(&args.filename, args.cluster.namespace.as_deref().unwrap_or("default"))?
    };
    let accounts = documents.into_world(&args.surroundings, now).accounts(now);
    let parts: Vec<Part> = accounts.iter().flat_map(|account| parts(account, &wanted)).collect();
    print(args.output, &parts, || {
        if parts.is_empty() {
            return format!("no policy governs {}\n", args.object);
        }
        let paint = Paint::detect();
        parts.iter().map(|part| text(part, paint)).collect::<Vec<_>>().join("\n")
    })?;
    Ok(if parts.is_empty() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

enum Wanted {
    Object(Kind, String),
    Policy(String),
}

impl Wanted {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let (kind, name) = text.split_once('/').context("name the object as KIND/NAME, for example deploy/api")?;
        let name = name.to_owned();
        Ok(match kind.to_lowercase().as_str() {
            "deploy" | "deployment" | "deployments" => Self::Object(Kind::Deployment, name),
            "sts" | "statefulset" | "statefulsets" => Self::Object(Kind::StatefulSet, name),
            "ds" | "daemonset" | "daemonsets" => Self::Object(Kind::DaemonSet, name),
            "cluster" | "clusters" | "clusters.postgresql.cnpg.io" => Self::Object(Kind::Cluster, name),
            "pooler" | "poolers" | "poolers.postgresql.cnpg.io" => Self::Object(Kind::Pooler, name),
            "stream" | "streams" | "streams.jetstream.nats.io" => Self::Object(Kind::Stream, name),
            "policy" | "perfpol" | "performancepolicy" | "performancepolicies" => Self::Policy(name),
            other => bail!(
                "\"{other}\" is not a kind that policies govern: use deploy, sts, ds, cluster, pooler, stream or policy"
            ),
        })
    }
}

fn parts(account: &Account, wanted: &Wanted) -> Vec<Part> {
    let of_policy = matches!(wanted, Wanted::Policy(name) if *account.key.1 == **name);
    account
        .targets
        .iter()
        .filter(|target| match wanted {
            Wanted::Object(kind, name) => target.key.kind == *kind && *target.key.name == **name,
            Wanted::Policy(_) => of_policy,
        })
        .map(|target| Part {
            policy: format!("{}/{}", account.key.0, account.key.1),
            mode: account
                .policy
                .as_ref()
                .map_or_else(String::new, |policy| crate::core::resolve::mode_name(policy.mode).to_owned()),
            target: target.key.short(),
            profiles: target.profiles.clone(),
            settings: target.plan.settings.clone(),
            conflicts: target
                .plan
                .conflicts
                .iter()
                .map(|Conflict { reason, message, .. }| format!("{reason}: {message}"))
                .collect(),
            refusals: target
                .plan
                .refusals
                .iter()
                .map(|refusal| format!("{}: {}", refusal.reason, refusal.message))
                .chain(account.blocked.iter().map(|(reason, message)| format!("{reason}: {message}")))
                .collect(),
            warnings: target.plan.warnings.iter().map(ToString::to_string).collect(),
            budgets: target.budgets.clone(),
            chain: target
                .under
                .as_deref()
                .or(account.policy.as_ref())
                .map(|policy| chain(policy, &target.object, &target.plan))
                .unwrap_or_default(),
            readbacks: target.readbacks.clone(),
            measured: account.measured.clone(),
            connections: connections(&target.plan.loads),
        })
        .collect()
}

fn text(part: &Part, paint: Paint) -> String {
    let mut out = format!("{}  governed by policy {}, mode {}", paint.bold(&part.target), part.policy, part.mode);
    if !part.profiles.is_empty() {
        out.push_str(&format!(", profile {}", part.profiles.join(", ")));
    }
    out.push('\n');
    let rows: Vec<Vec<String>> = part
        .settings
        .iter()
        .map(|s| {
            let value = match (s.state, &s.live) {
                (State::AtRest | State::Variable | State::NotEnforceable, _) => s.desired.clone(),
                (_, live) => format!("{} (live: {})", s.desired, live.as_deref().unwrap_or("unset")),
            };
            // What is worked out is told where it is seen from what.
            let is_told = part.chain.iter().any(|link| link.derived && *link.path == *s.path);
            let source = if is_told { s.source.split("= ").next().unwrap_or_default() } else { &s.source };
            let source = source.trim_end_matches(": ");
            let source = if source.is_empty() { "a formula" } else { source };
            vec![s.path.to_string(), value, s.landing.clone(), format!("from {source}"), s.state.as_str().to_owned()]
        })
        .collect();
    out.push_str(&table(2, &rows));
    out.push_str(&not_enforceable(&part.settings, 2));
    if part.chain.is_empty() {
        out.push_str(&part.connections);
    } else {
        out.push_str(&format!("  {}\n", paint.bold("what follows from what")));
        out.push_str(&table(4, &part.chain.iter().map(link).collect::<Vec<_>>()));
    }
    part.budgets.iter().for_each(|sum| out.push_str(&format!("  {sum}\n")));
    if !part.readbacks.is_empty() {
        out.push_str(&format!("  {}\n", paint.bold("what pods are asked for")));
        out.push_str(&table(4, &part.readbacks.iter().map(readback).collect::<Vec<_>>()));
    }
    if !part.measured.is_empty() {
        out.push_str(&format!("  {}\n", paint.bold("what is measured")));
        part.measured.iter().for_each(|said| out.push_str(&format!("    {said}\n")));
    }
    for line in part.refusals.iter().chain(&part.conflicts).chain(&part.warnings) {
        out.push_str(&format!("  {} {line}\n", paint.warn("!")));
    }
    out
}

fn readback(readback: &ReadbackAccount) -> Vec<String> {
    let ReadbackAccount { path, desired, asks, verdict } = readback;
    let verdict = verdict.clone().unwrap_or_else(|| "the status says nothing of it".to_owned());
    vec![path.to_string(), format!("{desired} by {asks}"), verdict]
}

fn link(link: &Link) -> Vec<String> {
    let Link { path, value, source, bounds, feeds, .. } = link;
    let bounds = bounds.as_ref().map(|bounds| format!(" ({bounds})")).unwrap_or_default();
    let feeds = if feeds.is_empty() { String::new() } else { format!("→ {}", feeds.join(", ")) };
    vec![path.clone(), value.clone(), format!("{source}{bounds}"), feeds]
}
