//! `suspend` and `resume`: an on-call's stop and go, by annotation, so that GitOps cannot undo it.

use anyhow::Context as _;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::select::{Cluster, block_on, emit, talk};
use crate::{
    api::{PerformancePolicy, names},
    shell::clock,
};

/// What can be typed after `suspend`.
#[derive(Debug, clap::Args)]
pub struct Suspend {
    /// Name of the policy
    name: String,
    /// Why; it is shown in the status
    #[arg(long, default_value = "suspended from the command line")]
    reason: String,
    #[command(flatten)]
    cluster: Cluster,
}

/// What can be typed after `resume`.
#[derive(Debug, clap::Args)]
pub struct Resume {
    /// Name of the policy
    name: String,
    /// End a rollback instead: values follow the spec again
    #[arg(long)]
    rollback: bool,
    #[command(flatten)]
    cluster: Cluster,
}

/// Freezes the writes of a policy.
pub fn suspend(args: &Suspend) -> anyhow::Result<()> {
    let annotations = json!({names::SUSPENDED: args.reason});
    annotate(&args.cluster, &args.name, &annotations, "suspended")
}

/// Ends a suspension, and the holds that manual changes have caused so far; or a rollback.
pub fn resume(args: &Resume) -> anyhow::Result<()> {
    if args.rollback {
        let annotations = json!({names::ROLLBACK_TO: null, names::ROLLBACK_PIN: null});
        return annotate(&args.cluster, &args.name, &annotations, "follows its spec again");
    }
    let annotations = json!({names::SUSPENDED: null, names::RESUMED_AT: clock::now().whole_seconds().to_string()});
    annotate(&args.cluster, &args.name, &annotations, "resumed")
}

fn annotate(cluster: &Cluster, name: &str, annotations: &serde_json::Value, done: &str) -> anyhow::Result<()> {
    let policy = block_on(async {
        let (client, namespace) = cluster.connect().await?;
        let api: Api<PerformancePolicy> = Api::namespaced(client, &namespace);
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        let parameters = PatchParams { field_manager: Some("kubectl-trimtab".to_owned()), ..PatchParams::default() };
        api.patch(name, &parameters, &patch)
            .await
            .with_context(|| format!("annotating performancepolicy \"{namespace}/{name}\""))
    })?;
    emit(&format!("performancepolicy.trimtab.dev/{name} {done}\n"))?;
    if policy.spec.suspend == Some(true) && done == "resumed" {
        talk("note: spec.suspend is true, so the policy stays suspended until its manifest changes");
    }
    Ok(())
}
