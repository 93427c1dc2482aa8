//! `PerformanceClass`: what the policies that name it may do. Cluster-scoped and owned by administrators, as a
//! `StorageClass` is.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::{Mode, Sink};

/// What the policies that name it may do.
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
    doc = "Guardrails that a platform team sets for the policies that name the class.",
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
    /// Modes that policies may choose; default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub modes: Vec<Mode>,
    /// The kill switch: no policy of the class writes anything while it is true. Measuring goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub freeze: bool,
    /// `MetricsSource` of policies that name none; default `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub source: Option<String>,
    /// Where alerts go when the policy does not say; default: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<Sink>,
    /// Labels on every alert of every policy of the class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub alert_labels: BTreeMap<String, String>,
    /// Environment variables that policies may set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentRules>,
    /// Whether thresholds may use `query`; default no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub free_queries: bool,
    /// Upper limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Namespaces whose workloads no policy may change, beside `kube-system` and the operator's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub protected_namespaces: Vec<String>,
}

/// Environment variables that policies may set.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentRules {
    /// Names that are allowed, with `*` for any run of characters; default: all that the built-in deny list leaves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 128)))]
    pub allow: Vec<String>,
    /// Names that are forbidden beside the built-in deny list, with `*` for any run of characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 128)))]
    pub deny: Vec<String>,
}

/// Upper limits of a class.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Objects that one policy may govern; default 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub targets: Option<u32>,
    /// CPU limit and request of a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = ("isQuantity(self)", "invalid quantity"))]
    pub cpu: Option<String>,
    /// Memory limit and request of a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = ("isQuantity(self)", "invalid quantity"))]
    pub memory: Option<String>,
    /// Replicas of a workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
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
