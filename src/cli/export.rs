//! `export`: what other programs take. One subcommand per kind of thing.

mod node_tuning;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{
    report::{Found, Subjects},
    select::emit,
};
use crate::core::{
    facts::Span,
    paper::{dashboard, load, metrics::MetricsExport},
    rules,
};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A dashboard for Grafana: a panel for each threshold, with the operator's own queries and the bounds as lines
    Dashboard(Box<Dashboard>),
    /// A load test of spec.loadTests as a Job that runs it once; nobody but you runs it
    LoadTest(Box<LoadTest>),
    /// Readings, operations, alerts, trends and recommendations as JSON
    Metrics(Box<Metrics>),
    /// The rules of each policy, PrometheusRule objects as the operator applies them, for who applies them by GitOps
    PrometheusRule(Box<PrometheusRules>),
    /// Print what policies ask of the kernel and no pod can carry, as configuration of nodes
    NodeTuning(node_tuning::Args),
}

#[derive(Debug, clap::Args)]
struct Dashboard {
    /// Title of the dashboard [default: the policy's name]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    #[command(flatten)]
    subjects: Subjects,
}

#[derive(Debug, clap::Args)]
struct LoadTest {
    /// Name of the test [default: the only one]
    name: Option<String>,
    /// Image that has the tool and a shell, such as locustio/locust for Locust or httpd for Ab
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// Write the script and its files to a directory, in place of a manifest
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    #[command(flatten)]
    subjects: Subjects,
}

#[derive(Debug, clap::Args)]
struct Metrics {
    #[command(flatten)]
    subjects: Subjects,
}

#[derive(Debug, clap::Args)]
struct PrometheusRules {
    /// Time between two evaluations, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(i64).range(1..=120))]
    interval: i64,
    #[command(flatten)]
    subjects: Subjects,
}

/// Prints what is asked for.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::Dashboard(args) => dashboard_json(args)?,
        What::LoadTest(args) => load_test(args)?,
        What::Metrics(args) => metrics(args)?,
        What::PrometheusRule(args) => prometheus_rules(args)?,
        What::NodeTuning(args) => return node_tuning::run(args),
    }
    Ok(ExitCode::SUCCESS)
}

fn metrics(args: &Metrics) -> anyhow::Result<()> {
    let found = args.subjects.find(true)?;
    served(&found)?;
    let Some(readings) = &found.readings else {
        bail!("nothing was read: give --readings FILE, a MetricsSource with -f, --prometheus URL, or --live");
    };
    print(&MetricsExport::new(&found.subjects(&found.profiles()), readings))
}

fn print(value: &impl serde::Serialize) -> anyhow::Result<()> {
    emit(&format!("{}\n", serde_json::to_string_pretty(value).context("writing JSON")?))
}

/// Refuses policies that cannot be parsed: an export that leaves something out unseen is worse than none.
fn served(found: &Found) -> anyhow::Result<()> {
    let profiles = found.profiles();
    let broken = found.subjects(&profiles).into_iter().find(|subject| subject.policy.is_none());
    match broken {
        Some(subject) => bail!("policy {}/{}: {}", subject.key.0, subject.key.1, subject.troubles.join("; ")),
        None => Ok(()),
    }
}

fn dashboard_json(args: &Dashboard) -> anyhow::Result<()> {
    let found = args.subjects.find_unread()?;
    served(&found)?;
    let policies = found.policies();
    let [first, ..] = policies[..] else { bail!("there is no policy to make a dashboard of") };
    let title = args.title.clone().unwrap_or_else(|| first.identity.name().to_owned());
    print(&dashboard::dashboard(&title, &policies, &found.identity))
}

fn prometheus_rules(args: &PrometheusRules) -> anyhow::Result<()> {
    let found = args.subjects.find_unread()?;
    served(&found)?;
    let mut all = String::new();
    for account in found.accounts() {
        let Some(mut policy) = account.policy.clone() else { continue };
        // Who applies a file owns what it makes.
        policy.identity.uid.clear();
        let known: Vec<_> = account.targets.iter().map(|target| target.key.clone()).collect();
        let named = rules::named(&policy);
        let targets = if known.is_empty() { named.as_slice() } else { &known };
        let case = rules::Case {
            policy: &policy,
            class: &account.rules,
            identity: &found.identity,
            interval: Span::seconds(args.interval),
            targets,
        };
        let what = || format!("making the rules of policy {}/{}", account.key.0, account.key.1);
        if let Some(made) = rules::document(&case).with_context(what)? {
            all.push_str(&document(&made.body)?);
        }
    }
    if all.is_empty() {
        bail!(
            "there is no policy with thresholds whose targets are known: name targets, or add them with -f or --live"
        );
    }
    emit(&all)
}

fn load_test(args: &LoadTest) -> anyhow::Result<()> {
    let found = args.subjects.find_unread()?;
    served(&found)?;
    let policies = found.policies();
    let all = || policies.iter().flat_map(|policy| policy.load_tests.iter().map(|test| (&policy.identity.key, test)));
    let named: Vec<_> = all().filter(|(_, test)| args.name.as_deref().is_none_or(|name| *test.name == *name)).collect();
    let [(policy, test)] = named[..] else {
        let known: Vec<&str> = all().map(|(_, test)| &*test.name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        bail!("name one load test; the policies have {known}");
    };
    if let Some(folder) = &args.output_dir {
        fs::create_dir_all(folder).with_context(|| format!("making directory \"{}\"", folder.display()))?;
        for file in load::files(policy, test) {
            let path = folder.join(file.name);
            fs::write(&path, file.text).with_context(|| format!("writing \"{}\"", path.display()))?;
        }
        return Ok(());
    }
    let mut all = String::new();
    for manifest in load::manifests(policy, test, &args.image) {
        all.push_str(&document(&manifest)?);
    }
    emit(&all)
}

fn document(manifest: &Value) -> anyhow::Result<String> {
    Ok(format!("---\n{}", serde_saphyr::to_string(manifest).context("writing YAML")?))
}
