//! `rollback`: pins values to what they were at a revision, by annotation, until the spec changes.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, anyhow, bail};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{
    history::{find, shown, value},
    render::table,
    select::{Cluster, block_on, emit, talk},
};
use crate::{
    api::{PerformancePolicy, policy::Mode},
    core::{
        facts::{Kind, ObjectKey},
        policy::{By, Policy, ProfileSet, Rollback},
        report::rollback::{Way, way_back},
    },
};

/// What can be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The values stay as they were until the spec of the policy changes, or until \"trimtab resume NAME --rollback\"."
)]
pub struct Args {
    /// Name of the policy
    name: String,
    /// Revision to go back to, as history lists it; 0 is before the first change
    #[arg(long, value_name = "REVISION")]
    to: i64,
    /// Why; it is shown in the status
    #[arg(long)]
    reason: Option<String>,
    /// Only say what would change back; the API server checks it, and nothing is stored
    #[arg(long)]
    dry_run: bool,
    /// Read the policy from files, and only say what would change back; - for standard input
    #[arg(short, long = "filename", value_name = "PATH")]
    filename: Vec<PathBuf>,
    #[command(flatten)]
    cluster: Cluster,
}

/// Pins what the values of a policy were.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut policy = find(&args.name, &args.filename, &args.cluster)?;
    let what = || format!("rolling performancepolicy \"{}\" back to revision {}", args.name, args.to);
    let (way, annotations) = pin(&mut policy, args).with_context(what)?;
    if !args.filename.is_empty() {
        return emit(&text(args, &way, "would go back", " (the cluster was not asked)"));
    }
    let result = block_on(async {
        let (client, namespace) = args.cluster.connect().await?;
        let api: Api<PerformancePolicy> = Api::namespaced(client, &namespace);
        // With the version that the values were read of: what is changed meanwhile is read again first.
        let patch = Patch::Merge(json!({"metadata": {
            "resourceVersion": policy.resource_version(), "annotations": annotations,
        }}));
        let parameters = PatchParams { field_manager: Some("kubectl-trimtab".to_owned()), ..PatchParams::default() };
        let tried = PatchParams { dry_run: true, ..parameters.clone() };
        let tried = api.patch(&args.name, &tried, &patch).await;
        let result = match tried {
            Ok(_) if args.dry_run => return Ok(()),
            Ok(_) => api.patch(&args.name, &parameters, &patch).await.map(drop),
            Err(error) => Err(error),
        };
        match result {
            Err(kube::Error::Api(status)) if status.code == 409 => {
                Err(anyhow!("the policy has changed in the meantime: run the command again"))
            }
            other => other.with_context(|| format!("annotating performancepolicy \"{namespace}/{}\"", args.name)),
        }
    });
    result.with_context(what)?;
    let (done, how) = if args.dry_run { ("would go back", " (server dry run)") } else { ("goes back", "") };
    emit(&text(args, &way, done, how))?;
    if policy.spec.mode != Some(Mode::Enforce) {
        talk("note: the mode of the policy is not Enforce, so nothing is written");
    }
    if let Ok(Policy { suspended: Some(why), .. }) = Policy::parse(&policy) {
        talk(format!("note: the policy is suspended ({why}): nothing is written until it is resumed"));
    }
    Ok(())
}

/// Puts the annotations of the rollback on `policy`, and holds them to what the operator will make of them.
fn pin(policy: &mut PerformancePolicy, args: &Args) -> anyhow::Result<(Way, BTreeMap<&'static str, String>)> {
    let parsed = Policy::parse(policy).map_err(|wrong| {
        let all: Vec<String> = wrong.iter().take(3).map(ToString::to_string).collect();
        anyhow!("the policy itself cannot be served: {}", all.join("; "))
    })?;
    let status = policy.status.clone().unwrap_or_default();
    let mut way = way_back(&parsed, &status, args.to).map_err(|why| anyhow!("{why}"))?;
    let annotations = way.annotations(args.to, &parsed.identity, args.reason.as_deref());
    policy.annotations_mut().extend(annotations.iter().map(|(key, text)| ((*key).to_owned(), text.clone())));
    match Policy::parse(policy) {
        Ok(Policy { rollback: rollback @ Rollback::Refused(_), .. }) => {
            let (_, why) = rollback.told(&args.name).unwrap_or_default();
            bail!("{why}");
        }
        Ok(parsed) => clip(&parsed, &mut way),
        // The spec is as it was, and a rollback is read after it.
        Err(_) => {}
    }
    Ok((way, annotations))
}

/// Says of each change what becomes of it, because the spec has other bounds than it had then.
fn clip(policy: &Policy, way: &mut Way) {
    for (pinned, change) in way.values.iter().zip(&mut way.changes) {
        let target = pinned.object.as_deref().and_then(|object| object.split_once('/'));
        let target =
            target.and_then(|(kind, name)| Some(ObjectKey::new(Kind::from_name(kind)?, &*policy.identity.key.0, name)));
        let under = policy.in_guise((ProfileSet::default(), policy.pins_on(target.as_ref())));
        if let (Some(By::Rollback { clamped: Some(clamped), .. }), Some(was)) = (under.set_by(&pinned.path), &change.to)
        {
            change.to = Some(format!("{was}{clamped}"));
        }
    }
}

fn text(args: &Args, way: &Way, done: &str, how: &str) -> String {
    let mut out = format!("performancepolicy.trimtab.dev/{} {done} to revision {}{how}\n", args.name, args.to);
    let row = |change: &crate::api::status::ChangeStatus| {
        let (now, then) = (value(change.from.as_deref()), value(change.to.as_deref()));
        let values = if now == then { format!("{then}, as it is") } else { format!("{now} → {then}") };
        vec![shown(&change.object), change.path.clone(), values]
    };
    out.push_str(&table(2, &way.changes.iter().map(row).collect::<Vec<_>>()));
    for line in &way.left {
        out.push_str(&format!("  stays: {}\n", shown(line)));
    }
    out
}
