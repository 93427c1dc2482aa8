//! Who holds a field besides us, whether they come back, and what a person can do about it.

use std::fmt;

use crate::{api::names, core::facts::Operation};

/// A manager that owns a field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// Field manager.
    pub manager: String,
    /// How it wrote.
    pub operation: Operation,
    /// Subresource it wrote, empty for the object itself.
    pub subresource: String,
}

impl Holder {
    /// Reads the message of one cause of the API server's 409: `conflict with "helm" using apps/v1 at …`. An apply is named
    /// without "using". `None` for another message.
    #[must_use]
    pub fn from_cause(message: &str) -> Option<Self> {
        let rest = message.strip_prefix("conflict with ")?;
        let (manager, rest) = quoted(rest)?;
        let (subresource, rest) = match rest.strip_prefix(" with subresource ") {
            Some(rest) => quoted(rest)?,
            None => (String::new(), rest),
        };
        let operation = if rest.starts_with(" using ") { Operation::Update } else { Operation::Apply };
        Some(Self { manager, operation, subresource })
    }

    /// Whether the manager writes its value again by itself or with its owner's next deployment, so that taking the field
    /// over from it can start a quarrel. The opposite is a person at a terminal, who wrote once.
    #[must_use]
    pub fn is_applier(&self) -> bool {
        self.tool() != Tool::Person
    }

    /// The policy, when another one of ours holds the field.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.manager.strip_prefix(names::MANAGER_PREFIX)
    }

    /// What a person can do about it: one sentence for a condition's message.
    #[must_use]
    pub fn advice(&self) -> String {
        match self.tool() {
            Tool::Policy => {
                format!("policy {:?} sets it: let one policy only set this field", self.policy().unwrap_or_default())
            }
            Tool::KubectlApply => "take it out of the manifest that kubectl applies, or set `onConflict: TakeOver` on the knob".to_owned(),
            Tool::Helm => "leave it out of the chart, or set `onConflict: TakeOver` on the knob and upgrade with `--force-conflicts` from then on".to_owned(),
            Tool::ArgoCd => "list the field in the Application's `ignoreDifferences` with `RespectIgnoreDifferences=true` and take it out of the manifest, or set `onConflict: TakeOver` on the knob".to_owned(),
            Tool::FluxKustomize => "take it out of the manifest (or remove it with `spec.patches` of the Kustomization), or set `onConflict: TakeOver` on the knob".to_owned(),
            Tool::FluxHelm => "leave it out of the HelmRelease's values and list it in `spec.driftDetection.ignore`, or set `onConflict: TakeOver` on the knob".to_owned(),
            Tool::Autoscaler => "an autoscaler sets it: bound the autoscaler instead of the field".to_owned(),
            Tool::Controller => format!("controller {:?} sets it: change it there", self.manager),
            Tool::Deployer => format!(
                "take it out of what {:?} deploys, or set `onConflict: TakeOver` on the knob",
                self.manager
            ),
            Tool::Person => "it was written by hand: set `onConflict: TakeOver` on the knob, or leave it as it is".to_owned(),
        }
    }

    /// The piece of configuration that makes the tool leave to `ours` (`trimtab/<policy>`) what it owns; for a contested field.
    #[must_use]
    pub fn ignore_snippet(&self, ours: &str, group: &str, kind: &str, name: &str) -> Option<String> {
        match self.tool() {
            Tool::ArgoCd => Some(format!(
                "spec: {{ignoreDifferences: [{{group: {group:?}, kind: {kind}, name: {name}, managedFieldsManagers: [{ours}]}}], \
                 syncPolicy: {{syncOptions: [RespectIgnoreDifferences=true]}}}}"
            )),
            _ => None,
        }
    }

    /// Whether it applies on the client, as `kubectl apply` does without `--server-side`, and Argo CD by default.
    #[must_use]
    pub fn is_client_side_apply(&self) -> bool {
        self.operation == Operation::Update && matches!(self.tool(), Tool::KubectlApply | Tool::ArgoCd)
    }

    fn tool(&self) -> Tool {
        if self.manager.starts_with(names::MANAGER_PREFIX) {
            return Tool::Policy;
        }
        let known = MANAGERS.iter().find(|known| known.matches(self));
        match (known, self.operation) {
            (Some(known), _) => known.tool,
            // Whoever applies server-side declares what shall hold, and declares it again.
            (None, Operation::Apply) => Tool::Deployer,
            (None, Operation::Update) => Tool::Person,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.manager)?;
        if !self.subresource.is_empty() {
            write!(f, " (subresource {})", self.subresource)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Policy,
    KubectlApply,
    Helm,
    ArgoCd,
    FluxKustomize,
    FluxHelm,
    Autoscaler,
    Controller,
    Deployer,
    Person,
}

struct Known {
    /// The manager's name; a `*` at one end stands for anything.
    name: &'static str,
    /// The operation, where the other one tells nothing.
    operation: Option<Operation>,
    tool: Tool,
}

impl Known {
    fn matches(&self, holder: &Holder) -> bool {
        let manager = holder.manager.as_str();
        self.operation.is_none_or(|operation| operation == holder.operation)
            && match (self.name.strip_suffix('*'), self.name.strip_prefix('*')) {
                (Some(prefix), _) => manager.starts_with(prefix),
                (None, Some(suffix)) => manager.ends_with(suffix),
                (None, None) => manager == self.name,
            }
    }
}

const fn known(name: &'static str, tool: Tool) -> Known {
    Known { name, operation: None, tool }
}

/// Managers whose name tells what they do. A manager that is not here is an applier if it applies server-side, and a person
/// otherwise.
const MANAGERS: [Known; 34] = [
    // kubectl apply without --server-side: an Update, but the manifest comes again with the next apply.
    known("kubectl-client-side-apply", Tool::KubectlApply),
    // kubectl apply --server-side. An Update under the same name is a person's `rollout undo` or `scale`: kubectl gives only
    // some of its subcommands a name of their own.
    Known { name: "kubectl", operation: Some(Operation::Apply), tool: Tool::KubectlApply },
    // Keeps the last-applied annotation of the same manifests while they move to server-side apply.
    known("kubectl-last-applied", Tool::KubectlApply),
    // What existed before anybody applied, or more than ten Update entries folded into one: whoever wrote it is unknown, and
    // is taken for a deployment so that nobody's manifest is fought by accident.
    known("before-first-apply", Tool::Deployer),
    known("ancient-changes", Tool::Deployer),
    // Helm up to 3 sends Updates, Helm 4 applies server-side; both write the chart's values with every upgrade.
    known("helm", Tool::Helm),
    known("Helm", Tool::Helm),
    // Argo CD applies client-side by default, so that its entry is an Update; with self-heal it comes back in seconds.
    known("argocd-controller", Tool::ArgoCd),
    known("argocd-application-controller", Tool::ArgoCd),
    // Flux: manifests and Helm releases; both correct drift on their interval.
    known("kustomize-controller", Tool::FluxKustomize),
    known("helm-controller", Tool::FluxHelm),
    // Other deployers that come back with each run or on a timer.
    known("terraform*", Tool::Deployer),
    known("Terraform", Tool::Deployer),
    known("HashiCorp", Tool::Deployer),
    known("pulumi*", Tool::Deployer),
    known("OpenTofu", Tool::Deployer),
    known("kapp*", Tool::Deployer),
    known("fleetagent", Tool::Deployer),
    known("configsync*", Tool::Deployer),
    known("skaffold*", Tool::Deployer),
    known("kpt*", Tool::Deployer),
    known("rancher", Tool::Deployer),
    // Autoscalers: kube-controller-manager writes a workload's `scale` for the HorizontalPodAutoscaler and little else.
    known("kube-controller-manager", Tool::Autoscaler),
    known("horizontal-pod-autoscaler", Tool::Autoscaler),
    known("keda*", Tool::Autoscaler),
    known("vpa-*", Tool::Autoscaler),
    known("cluster-proportional-autoscaler", Tool::Autoscaler),
    // Controllers that own whole workloads or write them again and again.
    known("rollouts-controller", Tool::Controller),
    known("flagger", Tool::Controller),
    known("manager", Tool::Controller),
    known("*-operator", Tool::Controller),
    known("kubelet", Tool::Controller),
    known("kruise-manager", Tool::Controller),
    known("OpenKruise*", Tool::Controller),
];

/// A Go-quoted text at the beginning, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let rest = text.strip_prefix('"')?;
    let mut end = 0;
    let mut escaped = false;
    for c in rest.chars() {
        if !escaped && c == '"' {
            let name = rest.get(..end)?.replace("\\\"", "\"").replace("\\\\", "\\");
            return Some((name, rest.get(end + 1..)?));
        }
        escaped = !escaped && c == '\\';
        end += c.len_utf8();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(manager: &str, operation: Operation) -> Holder {
        Holder { manager: manager.into(), operation, subresource: String::new() }
    }

    #[test]
    fn a_conflicts_cause_names_manager_operation_and_subresource() {
        let scale = Holder { subresource: "scale".into(), ..holder("kube-controller-manager", Operation::Update) };
        for (message, want) in [
            (
                r#"conflict with "kubectl-client-side-apply" using apps/v1 at 2026-11-21T10:00:00Z"#,
                Some(holder("kubectl-client-side-apply", Operation::Update)),
            ),
            (r#"conflict with "helm""#, Some(holder("helm", Operation::Apply))),
            (r#"conflict with "kube-controller-manager" with subresource "scale" using apps/v1"#, Some(scale)),
            (r#"conflict with "a \"b\" \\c""#, Some(holder(r#"a "b" \c"#, Operation::Apply))),
            ("conflict with nobody", None),
            (r#"conflict with "open"#, None),
        ] {
            assert_eq!(Holder::from_cause(message), want, "{message}");
        }
    }

    #[test]
    fn deployers_come_back_and_people_do_not() {
        use Operation::{Apply, Update};
        for (manager, operation, applier) in [
            ("kubectl-client-side-apply", Update, true),
            ("kubectl", Apply, true),
            ("helm", Apply, true),
            ("Helm", Update, true),
            ("argocd-controller", Update, true),
            ("kustomize-controller", Apply, true),
            ("pulumi-kubernetes-1f2e", Apply, true),
            ("some-pipeline", Apply, true),
            ("trimtab/other", Apply, true),
            ("kubectl-edit", Update, false),
            ("kubectl-set", Update, false),
            ("kubectl-patch", Update, false),
            ("kubectl-rollout", Update, false),
            ("kubectl", Update, false),
            ("node-fetch", Update, false),
        ] {
            assert_eq!(holder(manager, operation).is_applier(), applier, "{manager}");
        }
    }

    #[test]
    fn every_advice_is_one_sentence_that_names_a_way_out() {
        for known in &MANAGERS {
            let advice = holder(known.name.trim_end_matches('*'), Operation::Update).advice();
            assert!(!advice.contains(". ") && advice.len() < 250, "{advice}");
        }
        assert!(holder("trimtab/web", Operation::Apply).advice().contains("policy \"web\""));
        let argo =
            holder("argocd-controller", Operation::Update).ignore_snippet("trimtab/p", "apps", "Deployment", "api");
        assert!(argo.unwrap().contains("managedFieldsManagers: [trimtab/p]"));
    }
}
