//! `PerformanceClass`: what the policies that name it may do. Cluster-scoped and owned by administrators, as a
//! `StorageClass` is.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    policy::{Mode, Sink, TargetKind},
    rules,
};

/// What the policies that name it may do.
///
/// Without any class in the cluster, the limits of an empty spec hold: all modes, the built-in deny list of environment
/// names, no free queries, 50 targets, one rollout per namespace and three in the cluster.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "trimtab.dev",
    version = "v1alpha1",
    kind = "PerformanceClass",
    plural = "performanceclasses",
    shortname = "perfclass",
    category = "trimtab",
    derive = "PartialEq",
    derive = "Default",
    doc = "A PerformanceClass says what the policies that name it may do, as a StorageClass does for volumes. Platform teams own it.",
    validation = ("size(self.metadata.name) <= 63", "metadata.name must be at most 63 characters: policies refer by it"),
    printcolumn(
        name = "Default",
        type_ = "string",
        json_path = ".metadata.annotations.trimtab\\.dev/is-default-class"
    ),
    printcolumn(name = "Modes", type_ = "string", json_path = ".spec.modes"),
    printcolumn(name = "Frozen", type_ = "boolean", json_path = ".spec.freeze"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PerformanceClassSpec {
    /// Modes that policies may choose; default: all three. A policy whose mode is not among them is refused by condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3), transform = rules::set_list)]
    pub modes: Vec<Mode>,
    /// The kill switch: while it is true, no policy of the class writes anything. Measuring and alerting go on. Default
    /// false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub freeze: bool,
    /// `MetricsSource` of policies that name none; default `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::short_object_name)]
    pub source: Option<String>,
    /// Where alerts go when the policy does not say. `PrometheusRule`: rules of the cluster's Prometheus. `Alertmanager`: to
    /// the Alertmanagers of the metrics source. Default: `PrometheusRule` where the cluster serves that kind, else nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<Sink>,
    /// Labels on every alert of every policy of the class. Labels of the policy win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::alert_labels)]
    pub alert_labels: BTreeMap<String, String>,
    /// Labels of every PrometheusRule, by which the cluster's Prometheus selects rules (spec.ruleSelector of its Prometheus
    /// object), such as release: monitoring.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::object_labels)]
    pub rule_labels: BTreeMap<String, String>,
    /// Environment variables that policies may set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentRules>,
    /// Targets that are no workloads, and the fields of them that policies may set. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into()]))]
    pub objects: Vec<ObjectRules>,
    /// Kernel parameters that policies may set on pods although Kubernetes does not call them safe, with `*` for any run of
    /// characters; default: none. Nodes must allow them, too (kubelet `allowedUnsafeSysctls`), or the pods do not start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::sysctl_patterns)]
    pub unsafe_sysctls: Vec<String>,
    /// Whether thresholds may use `query`, which is free PromQL; default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub free_queries: bool,
    /// Upper limits of what policies may ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Namespaces whose workloads no policy may change, beside `kube-system` and the operator's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::namespaces)]
    pub protected_namespaces: Vec<String>,
}

/// Environment variables that policies may set.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentRules {
    /// Names that are allowed, with `*` for any run of characters; default: all that the built-in deny list leaves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::environment_patterns)]
    pub allow: Vec<String>,
    /// Names that are forbidden beside the built-in deny list, with `*` for any run of characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::environment_patterns)]
    pub deny: Vec<String>,
}

/// Objects other than workloads that policies may govern.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = (
    "!(self.kind in ['Deployment', 'StatefulSet', 'DaemonSet'])",
    "kind must not be a workload: workloads are allowed everywhere"
))]
pub struct ObjectRules {
    /// Kind: Cluster, Pooler or Stream.
    pub kind: TargetKind,
    /// Fields that are allowed, with `*` for any run of characters, such as spec.maxAge or spec.postgresql.parameters.*;
    /// default: all that Trimtab knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::field_patterns)]
    pub fields: Vec<String>,
}

/// Upper limits of a class.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Objects that one policy may govern; default 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub targets: Option<u32>,
    /// Largest CPU limit and request of a container, such as `4`; default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::quantity)]
    pub cpu: Option<String>,
    /// Largest memory limit and request of a container, such as `8Gi`; default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::quantity)]
    pub memory: Option<String>,
    /// Largest number of replicas of a workload; default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub replicas: Option<u32>,
    /// Rollouts of ours that may be under way in one namespace; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub rollouts_per_namespace: Option<u32>,
    /// Rollouts of ours that may be under way in the cluster; default 3. The default class decides for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub rollouts_per_cluster: Option<u32>,
}
