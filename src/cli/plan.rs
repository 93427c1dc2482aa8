//! `plan`: what the controller would write, and why. The same engine decides it.

use std::{path::PathBuf, process::ExitCode};

use serde::Serialize;

use super::{
    FAILED,
    render::{Paint, table},
    select::{Cluster, Output, block_on, print, talk},
    world::{Documents, Surroundings},
};
use crate::{
    core::{
        allocate::Load,
        catalogue::sysctl::{Carrier, carrier},
        engine::{Account, TargetAccount},
        facts::Release,
        plan::{Change, Conflict, Setting, State, Step, Warning},
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
    /// Plan with this profile, as if spec.profile named it
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
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
        say_release(&documents);
        (documents, mine)
    };
    let mut documents = documents;
    if let Some(profile) = &args.profile {
        documents.force_profile(profile, &mine)?;
    }
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

/// Which kernel parameters are safe depends on the cluster, and offline there is none.
fn say_release(documents: &Documents) {
    let kernels = documents.policies.iter().filter_map(|policy| policy.spec.kernel.as_ref());
    let mut sysctls = kernels.flat_map(|kernel| &kernel.sysctls);
    if sysctls.any(|sysctl| matches!(carrier(&sysctl.name), Carrier::Safe { since: 1.., .. })) {
        talk(format_args!(
            "note: sysctls are judged by Kubernetes {}, the newest that this version knows; --live asks the cluster",
            Release::NEWEST
        ));
    }
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocked_profiles: Vec<Trouble>,
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
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    profiles: &'a [Box<str>],
    rollouts: usize,
    pods: i64,
    changes: &'a [Change],
    conflicts: Vec<Trouble>,
    /// What keeps the rollout from beginning now.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<Trouble>,
    #[serde(skip_serializing_if = "<[Warning]>::is_empty")]
    warnings: &'a [Warning],
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
                blocked_profiles: account
                    .blocked
                    .iter()
                    .map(|(reason, message)| Trouble { reason: reason.as_str(), message: message.clone() })
                    .collect(),
                targets: account
                    .targets
                    .iter()
                    .map(|target| TargetReport {
                        target: target.key.short(),
                        profiles: &target.profiles,
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
                        waits: target
                            .protected
                            .as_ref()
                            .map(|(reason, message)| Trouble { reason: reason.as_str(), message: message.clone() }),
                        warnings: &target.plan.warnings,
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
    for (reason, message) in &account.blocked {
        out.push_str(&format!("  {} {reason}: {message}\n", paint.warn("!")));
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

/// Why nothing carries some settings: what has the same reason is told in one line.
pub fn not_enforceable(settings: &[Setting], indent: usize) -> String {
    let mut told: Vec<(&str, Vec<&str>)> = Vec::new();
    for setting in settings {
        let Some(why) = setting.why.as_deref().filter(|_| setting.state == State::NotEnforceable) else { continue };
        match told.iter_mut().find(|(known, _)| *known == why) {
            Some((_, paths)) => paths.push(&setting.path),
            None => told.push((why, vec![&setting.path])),
        }
    }
    let line = |(why, paths): (&str, Vec<&str>)| format!("{:indent$}NotEnforceable: {}: {why}\n", "", paths.join(", "));
    told.into_iter().map(line).collect()
}

fn target_text(target: &TargetAccount, all: bool, paint: Paint) -> String {
    let profiles = if target.profiles.is_empty() { "" } else { "  profile " };
    let mut out = format!("  {}{profiles}{}\n", paint.bold(&target.key.short()), target.profiles.join(", "));
    let shown: Vec<&Setting> =
        target.plan.settings.iter().filter(|s| all || !matches!(s.state, State::AtRest | State::Variable)).collect();
    let rows: Vec<Vec<String>> = shown
        .iter()
        .map(|s| {
            let mark = match s.state {
                State::Planned => "~",
                State::AtRest => "=",
                State::Variable | State::NotEnforceable => "·",
                State::Yielded | State::Quarantined | State::Refused => "✗",
            };
            let live = s.live.as_deref().unwrap_or("(unset)");
            let value = match s.state {
                State::AtRest => live.to_owned(),
                State::Variable | State::NotEnforceable => s.desired.clone(),
                _ => format!("{live} → {}", s.desired),
            };
            vec![mark.to_owned(), s.path.to_string(), value, s.landing.clone()]
        })
        .collect();
    out.push_str(&table(4, &rows));
    out.push_str(&not_enforceable(&target.plan.settings, 4));
    for Conflict { reason, message, .. } in &target.plan.conflicts {
        out.push_str(&format!("    {} {reason}: {message}\n", paint.warn("!")));
    }
    for warning in &target.plan.warnings {
        out.push_str(&format!("    {} {warning}\n", paint.warn("!")));
    }
    if let Some((reason, message)) = &target.protected {
        out.push_str(&format!("    {} {reason}: {message}\n", paint.warn("!")));
    }
    let conflicts = target.plan.conflicts.len();
    let mut summary = match (target.plan.changes.len(), restarts(target)) {
        (0, _) if conflicts > 0 => "nothing is written".to_owned(),
        (0, _) => "nothing to change".to_owned(),
        (n, true) => format!("{}, one rollout of {}", count(n, "change"), count(target.replicas, "pod")),
        // Whether its own operator restarts anything stands with each value.
        (n, false) if target.key.kind.is_foreign() => count(n, "change"),
        (n, false) => format!("{}, no restart", count(n, "change")),
    };
    if conflicts > 0 {
        summary.push_str(&format!(", {}", count(conflicts, "conflict")));
    }
    out.push_str(&format!("    {}\n", paint.dim(&summary)));
    out
}
