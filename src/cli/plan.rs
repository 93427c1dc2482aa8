//! `plan`: what the controller would write, and why. The same engine decides it.

use std::{path::PathBuf, process::ExitCode};

use serde::Serialize;

use super::{
    FAILED,
    render::{Paint, table},
    select::{Cluster, Output, block_on, print},
    world::{Documents, Surroundings},
};
use crate::{
    core::{
        allocate::Load,
        engine::{Account, TargetAccount},
        plan::{Change, Conflict, Setting, State, Step},
        resolve::{known_loads, mode_name},
    },
    shell::clock,
};

/// What can be typed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 nothing would change, 1 something would, 2 a policy cannot be served in full \
(it is refused, or a field is somebody else's), or an error")]
pub struct Args {
    /// Files or directories with policies and, offline, the objects that they govern; - for standard input
    #[arg(short, long = "filename", value_name = "PATH", required = true)]
    filename: Vec<PathBuf>,
    /// Take the governed objects, classes and other policies from the cluster
    #[arg(long)]
    live: bool,
    /// Also show values that are in place already
    #[arg(long)]
    all: bool,
    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    surroundings: Surroundings,
    #[command(flatten)]
    cluster: Cluster,
}

/// Exit codes, as those of `kubectl diff`: 0 nothing would change, 1 something would, [`FAILED`] when a policy cannot be served
/// in full.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let namespace = args.cluster.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let (documents, mine) = if args.live {
        block_on(async {
            let (client, namespace) = args.cluster.connect().await?;
            let documents = Documents::read(&args.filename, &namespace)?;
            let mine = names(&documents);
            Ok((documents.join(&client).await?, mine))
        })?
    } else {
        let documents = Documents::read(&args.filename, &namespace)?;
        let mine = names(&documents);
        (documents, mine)
    };
    let classless = documents.classless();
    let world = documents.into_world(&args.surroundings, clock::now());
    let accounts: Vec<Account> =
        world.accounts(clock::now()).into_iter().filter(|account| mine.contains(&account.key)).collect();
    let report = PlanReport::of(&accounts);
    print(args.output, &report, || {
        let paint = Paint::detect();
        accounts.iter().map(|account| text(account, classless, args.all, paint)).collect::<Vec<_>>().join("\n")
    })?;
    let targets = || report.policies.iter().flat_map(|policy| &policy.targets);
    Ok(
        if report.policies.iter().any(|policy| !policy.troubles.is_empty())
            || targets().any(|target| !target.conflicts.is_empty())
        {
            ExitCode::from(FAILED)
        } else if targets().any(|target| !target.changes.is_empty()) {
            ExitCode::from(1)
        } else {
            ExitCode::SUCCESS
        },
    )
}

fn names(documents: &Documents) -> Vec<(Box<str>, Box<str>)> {
    let name = |text: &Option<String>| text.clone().unwrap_or_default().into();
    documents.policies.iter().map(|policy| (name(&policy.metadata.namespace), name(&policy.metadata.name))).collect()
}

/// The plan as data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanReport<'a> {
    api_version: &'static str,
    kind: &'static str,
    policies: Vec<PolicyReport<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyReport<'a> {
    namespace: &'a str,
    name: &'a str,
    troubles: Vec<Trouble>,
    targets: Vec<TargetReport<'a>>,
}

#[derive(Debug, Serialize)]
struct Trouble {
    reason: &'static str,
    message: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetReport<'a> {
    target: String,
    rollouts: usize,
    pods: i64,
    changes: &'a [Change],
    conflicts: Vec<Trouble>,
    settings: &'a [Setting],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    budgets: &'a [String],
}

impl<'a> PlanReport<'a> {
    fn of(accounts: &'a [Account]) -> Self {
        let policies = accounts
            .iter()
            .map(|account| PolicyReport {
                namespace: &account.key.0,
                name: &account.key.1,
                troubles: troubles(account).map(|(reason, message)| Trouble { reason, message }).collect(),
                targets: account
                    .targets
                    .iter()
                    .map(|target| TargetReport {
                        target: target.key.short(),
                        rollouts: usize::from(restarts(target)),
                        pods: if restarts(target) { target.replicas } else { 0 },
                        changes: &target.plan.changes,
                        conflicts: target
                            .plan
                            .conflicts
                            .iter()
                            .map(|conflict| Trouble {
                                reason: conflict.reason.as_str(),
                                message: conflict.message.clone(),
                            })
                            .collect(),
                        settings: &target.plan.settings,
                        budgets: &target.budgets,
                    })
                    .collect(),
            })
            .collect();
        Self { api_version: "trimtab.dev/v1alpha1", kind: "PlanReport", policies }
    }
}

fn troubles(account: &Account) -> impl Iterator<Item = (&'static str, String)> {
    let refusals = account
        .targets
        .iter()
        .flat_map(|target| &target.plan.refusals)
        .map(|refusal| (refusal.reason.as_str(), refusal.message.clone()));
    account.troubles.iter().map(|(reason, message)| (reason.as_str(), message.clone())).chain(refusals)
}

fn restarts(target: &TargetAccount) -> bool {
    target.plan.steps.iter().any(Step::is_disruptive)
}

/// The plan for people.
fn text(account: &Account, classless: bool, all: bool, paint: Paint) -> String {
    let mut out = paint.bold(&format!("PerformancePolicy {}/{}", account.key.0, account.key.1));
    if let Some(policy) = &account.policy {
        let class = match &account.class {
            Some(class) => format!("class {class}"),
            None if classless => "limits of its class unknown".to_owned(),
            None => "built-in limits".to_owned(),
        };
        out.push_str(&format!("  {}, {class}", mode_name(policy.mode)));
    }
    out.push('\n');
    for (reason, message) in troubles(account) {
        out.push_str(&format!("  {} {reason}: {message}\n", paint.bad("✗")));
    }
    let shared = shared_loads(account);
    out.push_str(&shared.as_deref().map(connections).unwrap_or_default());
    for target in &account.targets {
        out.push_str(&target_text(target, all, paint));
        if shared.is_none() {
            out.push_str(&connections(&target.plan.loads));
        }
        target.budgets.iter().for_each(|sum| out.push_str(&format!("    {sum}\n")));
    }
    if let (Err((_, why)), true) = (&account.writes, account.troubles.is_empty()) {
        out.push_str(&format!("  {} nothing is written: {why}\n", paint.warn("!")));
    }
    out
}

/// What the pools add up to, if that is the same everywhere.
fn shared_loads(account: &Account) -> Option<Vec<Load>> {
    let mut loads = account.targets.iter().map(|target| &target.plan.loads);
    match (loads.next(), &account.policy) {
        (Some(first), _) => loads.all(|other| other == first).then(|| first.clone()),
        (None, policy) => policy.as_ref().map(known_loads),
    }
}

/// What pools of a policy add up to: the number that a database must bear.
pub fn connections(loads: &[Load]) -> String {
    let line = |load: &Load| {
        let (pool, connections) = (&load.pool, load.connections());
        match &load.workers {
            Some((worker, processes)) => format!(
                "  pool {pool}: up to {connections} connections × {processes} {worker} processes = {} per pod\n",
                load.per_pod()
            ),
            None => format!("  pool {pool}: up to {connections} connections per pod\n"),
        }
    };
    loads.iter().map(line).collect()
}

fn count(number: impl std::fmt::Display, what: &str) -> String {
    let number = number.to_string();
    if number == "1" { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn target_text(target: &TargetAccount, all: bool, paint: Paint) -> String {
    let mut out = format!("  {}\n", paint.bold(&target.key.short()));
    let shown: Vec<&Setting> =
        target.plan.settings.iter().filter(|s| all || !matches!(s.state, State::AtRest | State::Variable)).collect();
    let rows: Vec<Vec<String>> = shown
        .iter()
        .map(|s| {
            let mark = match s.state {
                State::Planned => "~",
                State::AtRest => "=",
                State::Variable => "·",
                State::Yielded | State::Quarantined | State::Refused => "✗",
            };
            let live = s.live.as_deref().unwrap_or("(unset)");
            let value = if s.state == State::AtRest { live.to_owned() } else { format!("{live} → {}", s.desired) };
            vec![mark.to_owned(), s.path.to_string(), value, s.landing.clone()]
        })
        .collect();
    out.push_str(&table(4, &rows));
    for Conflict { reason, message, .. } in &target.plan.conflicts {
        out.push_str(&format!("    {} {reason}: {message}\n", paint.warn("!")));
    }
    let conflicts = target.plan.conflicts.len();
    let mut summary = match (target.plan.changes.len(), restarts(target)) {
        (0, _) if conflicts > 0 => "nothing is written".to_owned(),
        (0, _) => "nothing to change".to_owned(),
        (n, true) => format!("{}, one rollout of {}", count(n, "change"), count(target.replicas, "pod")),
        (n, false) => format!("{}, no restart", count(n, "change")),
    };
    if conflicts > 0 {
        summary.push_str(&format!(", {}", count(conflicts, "conflict")));
    }
    out.push_str(&format!("    {}\n", paint.dim(&summary)));
    out
}
