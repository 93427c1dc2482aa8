//! `crds apply`: bring the definitions of a cluster up to date. The chart runs it as a hook, because Helm creates the files
//! in a chart's `crds/` once and never touches them again.

use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::wait::{await_condition, conditions},
};
use tokio::time::timeout;

use crate::{
    api::{crds, names},
    cli::select::{Cluster, emit},
};

/// Time for the API server to establish one definition. It takes milliseconds, unless a name is taken.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Replace definitions of a newer version too; fields that only these know are then lost from stored objects
    #[arg(long)]
    allow_downgrade: bool,
    #[command(flatten)]
    pub cluster: Cluster,
}

/// What became of one definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Created,
    Configured,
    Unchanged,
    /// The cluster has a newer one.
    Kept,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
            Self::Kept => "kept, because it is newer",
        }
    }
}

/// Applies every definition of this program and waits until the API server serves it.
pub async fn run(args: &Args, client: Client) -> anyhow::Result<()> {
    let api = Api::<CustomResourceDefinition>::all(client);
    for definition in crds::all() {
        let name = definition.metadata.name.clone().context("a definition without a name")?;
        let outcome = apply(&api, &name, definition, args.allow_downgrade).await?;
        established(&api, &name).await?;
        emit(&format!("customresourcedefinition/{name} {}\n", outcome.as_str()))?;
    }
    Ok(())
}

async fn apply(
    api: &Api<CustomResourceDefinition>,
    name: &str,
    mut definition: CustomResourceDefinition,
    allow_downgrade: bool,
) -> anyhow::Result<Outcome> {
    let ours = env!("CARGO_PKG_VERSION");
    let live = api.get_opt(name).await.with_context(|| format!("reading CustomResourceDefinition \"{name}\""))?;
    let stamped = live.as_ref().and_then(|live| live.metadata.annotations.as_ref()?.get(names::CRD_VERSION));
    if let Some(theirs) = stamped
        && !allow_downgrade
        && newer(theirs, ours)
    {
        return Ok(Outcome::Kept);
    }
    definition.metadata.annotations.get_or_insert_default().insert(names::CRD_VERSION.to_owned(), ours.to_owned());
    // Forced: the definitions are ours, whoever created them first. `spec.versions` is an atomic list, so a field that
    // this version no longer has goes, although Helm or kubectl once applied it.
    let applied = api
        .patch(name, &PatchParams::apply(names::CRD_MANAGER).force(), &Patch::Apply(&definition))
        .await
        .with_context(|| format!("applying CustomResourceDefinition \"{name}\""))?;
    Ok(match live {
        None => Outcome::Created,
        Some(live) if live.metadata.resource_version == applied.metadata.resource_version => Outcome::Unchanged,
        Some(_) => Outcome::Configured,
    })
}

async fn established(api: &Api<CustomResourceDefinition>, name: &str) -> anyhow::Result<()> {
    let wait = await_condition(api.clone(), name, conditions::is_crd_established());
    match timeout(ESTABLISHED_WITHIN, wait).await {
        Ok(established) => {
            established.with_context(|| format!("waiting for CustomResourceDefinition \"{name}\" to be served"))?;
            Ok(())
        }
        Err(_) => bail!(
            "CustomResourceDefinition \"{name}\" is not served after {} s; see kubectl describe crd {name}",
            ESTABLISHED_WITHIN.as_secs()
        ),
    }
}

/// Whether version `theirs` comes after `ours`. A pre-release comes before its release; what is no version comes before all.
fn newer(theirs: &str, ours: &str) -> bool {
    match (parse(theirs), parse(ours)) {
        (Some(theirs), Some(ours)) => theirs > ours,
        _ => false,
    }
}

/// Major, minor, patch, and whether it is a release.
fn parse(version: &str) -> Option<(u64, u64, u64, bool)> {
    let (version, _) = version.split_once('+').unwrap_or((version, ""));
    let (numbers, pre_release) = version.split_once('-').unwrap_or((version, ""));
    let mut numbers = numbers.split('.').map(str::parse);
    let mut next = || numbers.next()?.ok();
    let parsed = (next()?, next()?, next()?, pre_release.is_empty());
    numbers.next().is_none().then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        #[track_caller]
        fn check(theirs: &str, ours: &str, expected: bool) {
            assert_eq!(newer(theirs, ours), expected, "{theirs} after {ours}");
        }
        check("0.2.0", "0.1.0", true);
        check("0.10.0", "0.9.1", true);
        check("1.0.0", "0.99.99", true);
        check("0.1.0", "0.1.0", false);
        check("0.1.0", "0.2.0", false);
        check("0.2.0-rc.1", "0.2.0", false);
        check("0.2.0", "0.2.0-rc.1", true);
        check("0.2.0+build.7", "0.2.0", false);
        check("latest", "0.1.0", false);
        check("1.0", "0.1.0", false);
        check("1.0.0.0", "0.1.0", false);
    }

    #[test]
    fn the_own_version_is_one() {
        assert!(parse(env!("CARGO_PKG_VERSION")).is_some());
    }
}
