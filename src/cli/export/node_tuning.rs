//! `export node-tuning`: what policies ask of the kernel and no pod can carry, as configuration of nodes. Trimtab has no agent
//! on nodes, and writes none of it.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::super::{
    select::{emit, talk},
    world::Documents,
};
use crate::core::{
    catalogue::sysctl::{Carrier, carrier},
    facts::Release,
    policy::{Landing, Policy},
    units::Value,
};

/// What can be typed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --part, everything: the Tuned profile as it is, the rest as comments behind it, so that the \
output can be applied on OpenShift.\nExit codes: 0 printed, 1 the policies ask nothing of nodes, 2 an error"
)]
pub struct Args {
    /// Files or directories with policies; - for standard input
    #[arg(short, long = "filename", value_name = "PATH", required = true)]
    filename: Vec<PathBuf>,
    /// Namespace of policies that name none
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// Name of the profile and of files
    #[arg(long, value_name = "NAME", default_value = "trimtab", value_parser = dns_label)]
    name: String,
    /// Label of the nodes that the Tuned profile is for
    #[arg(long, value_name = "LABEL", default_value = "node-role.kubernetes.io/worker", value_parser = label)]
    node_label: String,
    /// Print one part alone
    #[arg(long, value_enum)]
    part: Option<Part>,
}

/// Where configuration of nodes is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// A profile of OpenShift's Node Tuning Operator.
    Tuned,
    /// A file of /etc/sysctl.d.
    Sysctl,
    /// A node system configuration of GKE.
    Gke,
    /// The kubelet's configuration, for parameters of pods that Kubernetes does not call safe.
    Kubelet,
    /// A drop-in of the container runtime's systemd unit, for open files.
    Systemd,
}

/// Parameters that GKE's node system configuration takes.
const GKE: [&str; 12] = [
    "net.core.busy_poll",
    "net.core.busy_read",
    "net.core.netdev_max_backlog",
    "net.core.optmem_max",
    "net.core.rmem_default",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_default",
    "net.core.wmem_max",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
];

/// What policies ask of nodes.
#[derive(Debug, Default)]
struct Asked {
    /// Parameters of the node, with their value and the policy that asks.
    node: BTreeMap<String, (String, String)>,
    /// Parameters of pods that a kubelet must be told to allow, with what is to be known of each.
    pods: BTreeMap<String, Option<String>>,
    /// Open files, the most that a policy asks for.
    open_files: Option<i64>,
    /// Names of the policies.
    policies: Vec<String>,
}

/// Exit codes: 0 printed, 1 nothing is asked of nodes.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut asked = Asked::default();
    for policy in Documents::read(&args.filename, &args.namespace)?.policies {
        let metadata = &policy.metadata;
        let word = |text: &Option<String>| text.clone().unwrap_or_default();
        let name = format!("{}/{}", word(&metadata.namespace), word(&metadata.name));
        let parsed = Policy::parse(&policy).map_err(|wrong| {
            let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("reading policy \"{name}\": {}", wrong.join("; "))
        })?;
        asked.add(&name, &parsed)?;
    }
    let all = asked.parts(&args.name, &args.node_label)?;
    let text = match args.part {
        Some(part) => all.iter().find(|(found, ..)| *found == part).map(|(.., body)| body.clone()),
        None => (!all.is_empty()).then(|| together(&asked.policies, &all)),
    };
    if let Some(text) = text {
        emit(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    talk("the policies ask nothing of nodes that belongs there");
    Ok(ExitCode::from(1))
}

impl Asked {
    fn add(&mut self, name: &str, policy: &Policy) -> anyhow::Result<()> {
        for knob in &policy.knobs {
            let (value, parameter) = (knob.value.literal(), knob.path.strip_prefix("kernel.sysctls."));
            match (&knob.landing, value, parameter) {
                (Landing::Sysctl(parameter), ..) => {
                    let why = match carrier(parameter) {
                        Carrier::Safe { since: 0, .. } => continue,
                        Carrier::Safe { since, .. } => Some(format!("only on nodes older than {}", minor(since))),
                        Carrier::Unsafe | Carrier::Unknown | Carrier::Node => None,
                    };
                    self.pods.insert(parameter.to_string(), why);
                }
                (Landing::NotEnforceable(_), Some(Value::Enum(value)), Some(parameter)) => {
                    let (known, by) =
                        self.node.entry(parameter.to_owned()).or_insert_with(|| (value.clone(), name.to_owned()));
                    if known != value {
                        bail!(
                            "{parameter} is {known} in policy \"{by}\" and {value} in policy \"{name}\": a node has one value \
                             for all its pods, so agree on one"
                        );
                    }
                }
                (Landing::NotEnforceable(_), Some(Value::Integer(files)), None)
                    if &*knob.path == "kernel.openFiles" =>
                {
                    self.open_files = self.open_files.max(Some(*files));
                }
                _ => continue,
            }
            if !self.policies.iter().any(|known| known == name) {
                self.policies.push(name.to_owned());
            }
        }
        Ok(())
    }

    /// What is asked for, where it is kept: what it is called and its text.
    fn parts(&self, name: &str, label: &str) -> anyhow::Result<Vec<(Part, String, String)>> {
        let mut parts = Vec::new();
        if !self.node.is_empty() {
            parts.push((Part::Tuned, "OpenShift, Node Tuning Operator".to_owned(), self.tuned(name, label)?));
            let lines = self.node.iter().flat_map(|(name, (value, _))| [name, " = ", value, "\n"]).collect::<String>();
            parts.push((
                Part::Sysctl,
                format!("any Linux: /etc/sysctl.d/90-{name}.conf of each node, then \"sysctl --system\""),
                lines,
            ));
            let taken = |(parameter, _): &(&String, _)| GKE.contains(&parameter.as_str());
            let (gke, others): (Vec<_>, Vec<_>) = self.node.iter().partition(taken);
            if !gke.is_empty() {
                let values: BTreeMap<_, _> = gke.into_iter().map(|(name, (value, _))| (name, value)).collect();
                let body =
                    serde_saphyr::to_string(&json!({"linuxConfig": {"sysctl": values}})).context("writing YAML")?;
                let mut title = "GKE: gcloud container node-pools update --system-config-from-file=FILE".to_owned();
                if !others.is_empty() {
                    let others: Vec<&str> = others.iter().map(|(name, _)| name.as_str()).collect();
                    title.push_str(&format!("\n(left out, because not every version takes it: {})", others.join(", ")));
                }
                parts.push((Part::Gke, title, body));
            }
        }
        if !self.pods.is_empty() {
            let names: Vec<&String> = self.pods.keys().collect();
            let body = serde_saphyr::to_string(&json!({"allowedUnsafeSysctls": names})).context("writing YAML")?;
            let mut title =
                "kubelet: for pods that carry what Kubernetes does not call safe; a pod does not start on a node \
                             without it,\nand a namespace under the baseline Pod Security standard takes no such pod"
                    .to_owned();
            for (name, why) in &self.pods {
                title.push_str(&why.as_ref().map_or_else(String::new, |why| format!("\n{name}: {why}")));
            }
            parts.push((Part::Kubelet, title, body));
        }
        if let Some(files) = self.open_files {
            let title = format!(
                "container runtime: /etc/systemd/system/containerd.service.d/90-{name}.conf (crio.service.d for CRI-O),\nthen \
                 \"systemctl daemon-reload\" and a restart of the runtime; new containers have it"
            );
            parts.push((Part::Systemd, title, format!("[Service]\nLimitNOFILE={files}\n")));
        }
        Ok(parts)
    }

    fn tuned(&self, name: &str, label: &str) -> anyhow::Result<String> {
        let mut data =
            "[main]\nsummary=Kernel parameters that performance policies ask of nodes\ninclude=openshift-node\n\
                        [sysctl]\n"
                .to_owned();
        data.extend(self.node.iter().map(|(parameter, (value, _))| format!("{parameter}={value}\n")));
        let tuned = json!({
            "apiVersion": "tuned.openshift.io/v1",
            "kind": "Tuned",
            "metadata": {"name": name, "namespace": "openshift-cluster-node-tuning-operator"},
            "spec": {
                "profile": [{"name": name, "data": data}],
                "recommend": [{"match": [{"label": label}], "priority": 20, "profile": name}],
            },
        });
        serde_saphyr::to_string(&tuned).context("writing YAML")
    }
}

fn minor(since: u32) -> String {
    format!("Kubernetes {}", Release { minor: since, assumed: false })
}

/// All parts: the first that is a manifest as it is, the others as comments.
fn together(policies: &[String], parts: &[(Part, String, String)]) -> String {
    let mut out = format!(
        "# What the kernel of nodes needs for the policies {}. Trimtab writes none of it.\n",
        policies.join(", ")
    );
    for (part, title, body) in parts {
        let title: String = title.lines().flat_map(|line| ["# ", line, "\n"]).collect();
        let is_manifest = *part == Part::Tuned;
        let comment = |line: &str| if is_manifest { format!("{line}\n") } else { format!("#   {line}\n") };
        let body: String = body.lines().map(comment).collect();
        out.push_str(&format!("\n{title}{body}"));
    }
    out
}

fn dns_label(text: &str) -> Result<String, String> {
    let fits = (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-');
    if fits { Ok(text.to_owned()) } else { Err("must be a DNS label".to_owned()) }
}

fn label(text: &str) -> Result<String, String> {
    let fits = (1..=317).contains(&text.len())
        && text.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.' | '/'));
    if fits { Ok(text.to_owned()) } else { Err("must be the key of a label".to_owned()) }
}
