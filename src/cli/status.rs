//! `status`: how policies fare, in a table; one policy in full.

use std::process::ExitCode;

use anyhow::Context as _;
use kube::{Api, Client};

use super::{
    render::{Paint, table},
    select::{Cluster, Output, block_on, print},
    world::list,
};
use crate::{
    api::{
        PerformancePolicy, PerformancePolicyStatus,
        conditions::{ConditionType, Reason},
    },
    core::{
        facts::Instant,
        report::{find, instant},
    },
    shell::clock,
};

/// Reasons of `Applied=False` that the author of the policy chose.
const BY_CHOICE: [Reason; 3] = [Reason::ObserveOnly, Reason::RecommendOnly, Reason::Suspended];

/// What can be typed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 every policy is ready, 1 one is not, 2 an error")]
pub struct Args {
    /// Name of a policy [default: all of the namespace, in a table]
    name: Option<String>,
    /// Policies of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    cluster: Cluster,
}

/// Exit codes: 0 every shown policy is ready, 1 one is not.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let policies = block_on(async {
        let (client, namespace) = args.cluster.connect().await?;
        fetch(args, client, &namespace).await
    })?;
    let now = clock::now();
    let paint = Paint::detect();
    if let (Some(_), [policy]) = (&args.name, &policies[..]) {
        print(args.output, policy, || one(policy, now, paint))?;
    } else {
        print(args.output, &policies, || overview(&policies, args.all_namespaces, now))?;
    }
    let ready = policies.iter().all(|policy| truth(policy, ConditionType::Ready) == "True");
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn fetch(args: &Args, client: Client, namespace: &str) -> anyhow::Result<Vec<PerformancePolicy>> {
    let api: Api<PerformancePolicy> =
        if args.all_namespaces { Api::all(client) } else { Api::namespaced(client, namespace) };
    if let Some(name) = &args.name {
        anyhow::ensure!(!args.all_namespaces, "a name and --all-namespaces exclude each other");
        let policy =
            api.get(name).await.with_context(|| format!("reading performancepolicy \"{namespace}/{name}\""))?;
        return Ok(vec![policy]);
    }
    let place = if args.all_namespaces { "all namespaces".to_owned() } else { format!("namespace \"{namespace}\"") };
    list(api, "performancepolicies")
        .await?
        .with_context(|| format!("listing performancepolicies of {place}: you may not; ask for the role view there"))
}

fn truth(policy: &PerformancePolicy, kind: ConditionType) -> &str {
    policy
        .status
        .as_ref()
        .and_then(|status| find(&status.conditions, kind))
        .map_or("", |condition| condition.status.as_str())
}

fn reason(policy: &PerformancePolicy, kind: ConditionType) -> &str {
    policy
        .status
        .as_ref()
        .and_then(|status| find(&status.conditions, kind))
        .map_or("", |condition| condition.reason.as_str())
}

fn overview(policies: &[PerformancePolicy], with_namespace: bool, now: Instant) -> String {
    if policies.is_empty() {
        return "no policies\n".to_owned();
    }
    let mut header = vec!["NAME", "TARGET", "MODE", "READY", "COMPLIANT", "APPLIED", "CHANGED", "AGE"];
    if with_namespace {
        header.insert(0, "NAMESPACE");
    }
    let mut rows = vec![header.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for policy in policies {
        let status = policy.status.clone().unwrap_or_default();
        let metadata = &policy.metadata;
        let age = metadata.creation_timestamp.as_ref().map(|at| since(instant(at), now)).unwrap_or_default();
        let applied = match (truth(policy, ConditionType::Applied), reason(policy, ConditionType::Applied)) {
            ("False", why) => why,
            (truth, _) => truth,
        };
        let mut row = vec![
            metadata.name.clone().unwrap_or_default(),
            status.target_summary.unwrap_or_default(),
            status.mode.map(|mode| format!("{mode:?}")).unwrap_or_default(),
            truth(policy, ConditionType::Ready).to_owned(),
            truth(policy, ConditionType::Compliant).to_owned(),
            applied.to_owned(),
            status.last_change.as_ref().map(|at| since(instant(at), now)).unwrap_or_default(),
            age,
        ];
        if with_namespace {
            row.insert(0, metadata.namespace.clone().unwrap_or_default());
        }
        rows.push(row);
    }
    table(0, &rows)
}

fn one(policy: &PerformancePolicy, now: Instant, paint: Paint) -> String {
    let metadata = &policy.metadata;
    let mut out = format!(
        "{}\n",
        paint.bold(&format!(
            "PerformancePolicy {}/{}",
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default()
        ))
    );
    let Some(status) = &policy.status else {
        out.push_str("  no status yet: is the operator running?\n");
        return out;
    };
    out.push_str(&conditions(status, now, paint));
    if !status.thresholds.is_empty() {
        out.push_str("  thresholds\n");
        let rows: Vec<Vec<String>> = status
            .thresholds
            .iter()
            .map(|t| {
                let severity = t.severity.map(|s| format!("{s:?}").to_lowercase()).unwrap_or_default();
                // Label values are what somebody exports: nothing of them may reach the terminal as it is.
                let apart: Vec<String> = t.labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
                let apart = if apart.is_empty() { String::new() } else { format!(" ({})", apart.join(",")) };
                vec![
                    format!("{}{apart}", t.name),
                    t.state.clone(),
                    severity,
                    t.value.clone(),
                    format!("for {}", since(instant(&t.since), now)),
                ]
            })
            .collect();
        out.push_str(&table(4, &rows));
    }
    if !status.advice.is_empty() {
        out.push_str("  advice\n");
        let rows: Vec<Vec<String>> = status
            .advice
            .iter()
            .map(|a| {
                let apart: Vec<String> = a.labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
                let apart = if apart.is_empty() { String::new() } else { format!(" ({})", apart.join(",")) };
                let severity = format!("{:?}", a.severity).to_lowercase();
                let since = format!("for {}", since(instant(&a.since), now));
                vec![format!("{}{apart}", a.name), a.kind.clone(), severity, a.value.clone(), since, a.advice.clone()]
            })
            .collect();
        out.push_str(&table(4, &rows));
    }
    for (title, changes) in [("plan", &status.plan)] {
        if !changes.is_empty() {
            out.push_str(&format!("  {title}\n"));
            out.push_str(&table(4, &changes.iter().map(change).collect::<Vec<_>>()));
        }
    }
    if !status.history.is_empty() {
        out.push_str("  history\n");
    }
    for entry in &status.history {
        out.push_str(&format!(
            "    {} {} ago, {}\n",
            paint.bold(&format!("#{}", entry.revision)),
            since(instant(&entry.at), now),
            entry.verdict
        ));
        out.push_str(&table(6, &entry.changes.iter().map(change).collect::<Vec<_>>()));
    }
    out
}

fn conditions(status: &PerformancePolicyStatus, now: Instant, paint: Paint) -> String {
    let mut out = String::new();
    for condition in &status.conditions {
        let abnormal = ["Stalled", "Conflicted"].contains(&condition.type_.as_str());
        let pinned = condition.type_ == ConditionType::RollbackPinned.as_str();
        let mark = match (condition.status.as_str(), abnormal) {
            ("True", _) if pinned => paint.warn("!"),
            // What the mode asks for is nothing that went wrong.
            ("False", false) if BY_CHOICE.iter().any(|reason| condition.reason == reason.as_str()) => paint.dim("–"),
            ("Unknown", _) if condition.reason == Reason::NoReadback.as_str() => paint.dim("–"),
            ("True", false) => paint.good("✓"),
            ("True", true) | ("False", false) => paint.bad("✗"),
            _ => paint.warn("?"),
        };
        let since = since(instant(&condition.last_transition_time), now);
        out.push_str(&format!(
            "  {mark} {:<17} {} {}\n",
            condition.type_,
            condition.reason,
            paint.dim(&format!("({since})"))
        ));
        if condition.status != "True" || abnormal || pinned {
            out.push_str(&format!("      {}\n", condition.message));
        }
    }
    out
}

fn change(change: &crate::api::status::ChangeStatus) -> Vec<String> {
    let value = |text: &Option<String>| text.clone().unwrap_or_else(|| "(unset)".to_owned());
    vec![
        change.path.clone(),
        format!("{} → {}", value(&change.from), value(&change.to)),
        change.object.clone(),
        change.because.clone(),
    ]
}

/// A span as kubectl writes ages.
pub fn since(at: Instant, now: Instant) -> String {
    let seconds = now.since(at).as_millis().max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
