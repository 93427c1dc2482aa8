//! `uninstall`: what must happen before the operator is removed, so that nothing hangs in deletion afterwards. The chart
//! runs it as a hook.
//!
//! Policies, definitions and every value that was written stay. Only what needs a running operator goes: the finalizer of
//! policies that would restore values when they are deleted, and the Lease.

use std::{io::Write as _, time::Duration};

use anyhow::{Context as _, bail};
use k8s_openapi::api::{
    apps::v1::Deployment,
    coordination::v1::Lease,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
    core::PartialObjectMeta,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::api::{PerformancePolicy, names};

/// Time between two looks at pods that end.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Policies per page of a list.
const PAGE: u32 = 500;
/// Looks at the policies until none has the finalizer. A second one is only needed if somebody writes at the same time.
const ROUNDS: usize = 5;

/// What can be typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Namespace of the operator
    #[arg(short, long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    namespace: String,
    /// Deployment of the operator, to be stopped first: it would set the finalizer again
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// Namespaces that the operator governs, separated by commas; default: all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Seconds to wait for the operator's pods to end, before going on without that
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    wait: u64,
}

/// Stops the operator and removes the finalizer from every policy.
pub async fn run(args: &Args, client: Client) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    if let Some(deployment) = &args.deployment {
        let ended = stop(args, deployment, &client).await?;
        writeln!(
            out,
            "deployment/{deployment} {}",
            if ended { "stopped" } else { "was told to stop, and has not yet" }
        )
        .context("writing to stdout")?;
    }
    let (mut policies, mut cleared) = (0, 0);
    for (namespace, api) in policies_by_namespace(args, &client) {
        let Some((seen, changed)) = clear(namespace, &api, &client).await? else { continue };
        policies += seen;
        cleared += changed;
    }
    remove_lease(args, client).await?;
    writeln!(
        out,
        "{policies} policies stay, as do the values that they wrote; {cleared} had the finalizer {}",
        names::RESTORE_FINALIZER
    )
    .context("writing to stdout")
}

/// Scales the operator to zero and waits for its pods to end. Answers whether they have.
async fn stop(args: &Args, name: &str, client: &Client) -> anyhow::Result<bool> {
    let namespace = &args.namespace;
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
    let zero = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let scale = match deployments.patch_scale(name, &PatchParams::default(), &zero).await {
        Ok(scale) => scale,
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(true),
        Err(error) => return Err(error).context(format!("stopping deployment \"{namespace}/{name}\"")),
    };
    let selector = scale
        .status
        .and_then(|status| status.selector)
        .with_context(|| format!("the scale of deployment \"{namespace}/{name}\" has no selector"))?;
    let pods = Api::<PartialObjectMeta<Pod>>::namespaced(client.clone(), namespace);
    let params = ListParams::default().labels(&selector);
    let deadline = Instant::now() + Duration::from_secs(args.wait);
    loop {
        let left = pods
            .list(&params)
            .await
            .with_context(|| format!("listing the pods of deployment \"{namespace}/{name}\""))?;
        if left.items.is_empty() {
            return Ok(true);
        }
        // A pod on a dead node may never end, and must not keep anybody from uninstalling.
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(LOOK_EVERY).await;
    }
}

type Policies = Api<PartialObjectMeta<PerformancePolicy>>;

fn policies_by_namespace<'a>(args: &'a Args, client: &Client) -> Vec<(Option<&'a str>, Policies)> {
    if args.namespaces.is_empty() {
        return vec![(None, Api::all(client.clone()))];
    }
    let one = |namespace: &'a String| (Some(namespace.as_str()), Api::namespaced(client.clone(), namespace));
    args.namespaces.iter().map(one).collect()
}

/// Removes the finalizer from every policy of `namespace`, or of all. Answers how many there are, and how many had it;
/// nothing if there can be none.
async fn clear(
    namespace: Option<&str>,
    policies: &Policies,
    client: &Client,
) -> anyhow::Result<Option<(usize, usize)>> {
    let mut cleared = 0;
    for _ in 0..ROUNDS {
        let Some(all) = list(namespace, policies, client).await? else { return Ok(None) };
        let held: Vec<_> = all.iter().filter_map(|policy| Some((policy, position(policy)?))).collect();
        if held.is_empty() {
            return Ok(Some((all.len(), cleared)));
        }
        for (policy, position) in held {
            cleared += usize::from(remove_finalizer(policy, position, client).await?);
        }
    }
    bail!(
        "policies get the finalizer {} again and again; does another operator run? Stop it, or remove the finalizer with kubectl edit",
        names::RESTORE_FINALIZER
    )
}

/// All policies of `namespace`, or of all. `None` if the kind or the namespace is gone.
async fn list(
    namespace: Option<&str>,
    policies: &Policies,
    client: &Client,
) -> anyhow::Result<Option<Vec<PartialObjectMeta<PerformancePolicy>>>> {
    let mut all = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = match policies.list(&params).await {
            Ok(page) => page,
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(None),
            // The right to list went with the namespace that it was granted in.
            Err(kube::Error::Api(status)) if status.is_forbidden() && gone(namespace, client).await? => {
                return Ok(None);
            }
            Err(error) => {
                let place =
                    namespace.map_or_else(|| "all namespaces".to_owned(), |name| format!("namespace \"{name}\""));
                return Err(error).context(format!("listing the performancepolicies of {place}"));
            }
        };
        all.extend(page.items);
        match page.metadata.continue_ {
            Some(next) if !next.is_empty() => params.continue_token = Some(next),
            _ => return Ok(Some(all)),
        }
    }
}

async fn gone(namespace: Option<&str>, client: &Client) -> anyhow::Result<bool> {
    let Some(name) = namespace else { return Ok(false) };
    let namespace = Api::<Namespace>::all(client.clone()).get_opt(name).await;
    Ok(namespace.with_context(|| format!("reading namespace \"{name}\""))?.is_none())
}

/// Where our finalizer is among those of a policy.
fn position(policy: &PartialObjectMeta<PerformancePolicy>) -> Option<usize> {
    policy.finalizers().iter().position(|finalizer| finalizer == names::RESTORE_FINALIZER)
}

/// Removes the finalizer at `position`. Answers whether it was there: somebody may have changed the list meanwhile.
async fn remove_finalizer(
    policy: &PartialObjectMeta<PerformancePolicy>,
    position: usize,
    client: &Client,
) -> anyhow::Result<bool> {
    let (namespace, name) = (policy.namespace().unwrap_or_default(), policy.name_any());
    let path = format!("/metadata/finalizers/{position}");
    let body: json_patch::Patch = serde_json::from_value(json!([
        {"op": "test", "path": path, "value": names::RESTORE_FINALIZER},
        {"op": "remove", "path": path},
    ]))
    .context("building the patch of a finalizer")?;
    let api = Api::<PartialObjectMeta<PerformancePolicy>>::namespaced(client.clone(), &namespace);
    let params = PatchParams { field_manager: Some(names::FINALIZER_MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch(&name, &params, &Patch::Json::<()>(body)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() || status.is_invalid() => {
            Ok(false)
        }
        Err(error) => {
            Err(error).context(format!("removing the finalizer from performancepolicy \"{namespace}/{name}\""))
        }
    }
}

/// Removes the Lease, so that an operator that is installed again need not wait for it to end.
async fn remove_lease(args: &Args, client: Client) -> anyhow::Result<()> {
    let leases = Api::<Lease>::namespaced(client, &args.namespace);
    match leases.delete(names::LEASE, &kube::api::DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error).context(format!("deleting lease \"{}/{}\"", args.namespace, names::LEASE)),
    }
}
