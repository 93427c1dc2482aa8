//! `history`: what a policy has changed, why, and what came of it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use kube::{Api, ResourceExt as _};
use serde::Serialize;

use super::{
    render::{Paint, table},
    select::{Cluster, Output, block_on, print},
    status::since,
    world::Documents,
};
use crate::{
    api::{PerformancePolicy, names, status::HistoryEntry},
    core::{facts::Instant, policy::Policy, report::instant},
    shell::clock,
};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the policy
    name: String,
    /// Read the policy from files, such as one of "kubectl get -o yaml"; - for standard input
    #[arg(short, long = "filename", value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    cluster: Cluster,
}

/// What a policy has changed, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    api_version: &'static str,
    kind: &'static str,
    namespace: String,
    policy: String,
    /// The revision whose values are pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned: Option<i64>,
    /// Newest first, as the status retains them.
    revisions: &'a [HistoryEntry],
}

/// Prints the history that the status of a policy retains.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let policy = find(&args.name, &args.filename, &args.cluster)?;
    let pinned = Policy::parse(&policy).ok().and_then(|policy| policy.rollback.to());
    let revisions = policy.status.as_ref().map_or(&[][..], |status| &status.history);
    let report = Report {
        api_version: "trimtab.dev/v1alpha1",
        kind: "HistoryReport",
        namespace: policy.namespace().unwrap_or_default(),
        policy: policy.name_any(),
        pinned,
        revisions,
    };
    print(args.output, &report, || text(&policy, revisions, clock::now(), Paint::detect()))
}

/// The policy of that name, of files if there are any, else of the cluster.
pub fn find(name: &str, filename: &[PathBuf], cluster: &Cluster) -> anyhow::Result<PerformancePolicy> {
    if filename.is_empty() {
        return block_on(async {
            let (client, namespace) = cluster.connect().await?;
            let api: Api<PerformancePolicy> = Api::namespaced(client, &namespace);
            api.get(name).await.with_context(|| format!("reading performancepolicy \"{namespace}/{name}\""))
        });
    }
    let namespace = cluster.namespace.as_deref();
    let policies = Documents::read(filename, namespace.unwrap_or("default"))?.policies;
    let of_name = |policy: &PerformancePolicy| {
        policy.name_any() == name && namespace.is_none_or(|namespace| policy.namespace().as_deref() == Some(namespace))
    };
    let mut found = policies.into_iter().filter(of_name);
    match (found.next(), found.next()) {
        (Some(policy), None) => Ok(policy),
        (Some(_), Some(_)) => bail!("the files have several policies \"{name}\": say which by --namespace"),
        (None, _) => bail!("no PerformancePolicy \"{name}\" is in the files"),
    }
}

fn text(policy: &PerformancePolicy, revisions: &[HistoryEntry], now: Instant, paint: Paint) -> String {
    let (namespace, name) = (policy.namespace().unwrap_or_default(), policy.name_any());
    let mut out = format!("{}\n", paint.bold(&format!("PerformancePolicy {namespace}/{name}")));
    let parsed = Policy::parse(policy).ok();
    if let Some((holds, told)) = parsed.as_ref().and_then(|policy| policy.rollback.told(&name)) {
        let told = if holds { told } else { format!("{}: {told}", names::ROLLBACK_TO) };
        out.push_str(&format!("  {} {}\n", paint.warn("!"), shown(&told)));
    }
    if revisions.is_empty() {
        out.push_str("  it has changed nothing yet\n");
        return out;
    }
    let header = ["REVISION", "WHEN", "OBJECT", "PATH", "FROM → TO", "BECAUSE", "VERDICT"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for entry in revisions {
        // What all changes of a revision have in common stands beside the first of them.
        let mut first = vec![entry.revision.to_string(), format!("{} ago", since(instant(&entry.at), now))];
        let mut verdict = Some(entry.verdict.clone());
        let mut row = |cells: [String; 4]| {
            let mut row = std::mem::replace(&mut first, vec![String::new(); 2]);
            row.extend(cells);
            row.extend(verdict.take());
            rows.push(row);
        };
        for change in &entry.changes {
            let values = format!("{} → {}", value(change.from.as_deref()), value(change.to.as_deref()));
            row([shown(&change.object), shown(&change.path), values, shown(&change.because)]);
        }
        if entry.omitted > 0 || entry.changes.is_empty() {
            let more = format!("{} more", entry.omitted);
            row([String::new(), more, String::new(), "the status has no room for them".to_owned()]);
        }
    }
    out.push_str(&table(0, &rows));
    out
}

/// A value that may not be there.
pub fn value(text: Option<&str>) -> String {
    text.map_or_else(|| "(unset)".to_owned(), shown)
}

/// Text of objects, which anybody may have written: nothing of it may reach the terminal as a command.
pub fn shown(text: &str) -> String {
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text.to_owned() }
}
