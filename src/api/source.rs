//! `MetricsSource`: where metrics come from and alerts go to. Cluster-scoped and owned by administrators, because a URL is
//! a way to point the operator at an address.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Where metrics come from and alerts go to.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "trimtab.dev",
    version = "v1alpha1",
    kind = "MetricsSource",
    plural = "metricssources",
    shortname = "metricsrc",
    category = "trimtab",
    status = "MetricsSourceStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A Prometheus-compatible server that policies read, and the Alertmanagers that their alerts go to.",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.prometheus.url"),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Available\")].status"
    ),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Available\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MetricsSourceSpec {
    /// The server that answers queries.
    pub prometheus: Prometheus,
    /// Time between two sweeps, one number and one unit; default `30s`, at least `1s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub interval: Option<String>,
    /// Time that a query may take; default `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub timeout: Option<String>,
    /// Labels by which series tell the workload they belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Base URLs of Alertmanagers (v2 API). Every alert goes to all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 512)))]
    pub alertmanagers: Vec<String>,
}

/// A Prometheus-compatible server.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prometheus {
    /// Base URL, for example `https://prometheus.monitoring:9090`.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = ("self.matches('^https?://[^/@ ]+(/[^@?# ]*)?$')", "must be an http or https URL without credentials, query or fragment"))]
    pub url: String,
    /// PEM certificates that sign the server's own; default: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub ca_bundle: Option<String>,
    /// Header that selects a tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_header: Option<TenantHeader>,
    /// Name of a bearer-token file below the directory that the chart mounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$') && !self.contains('..')", "must be the plain name of a mounted file"))]
    pub credential: Option<String>,
}

/// A header that selects a tenant, such as `X-Scope-OrgID`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TenantHeader {
    /// Name of the header.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = ("self.matches('^[A-Za-z0-9-]+$')", "must be a header name"))]
    pub name: String,
    /// Value of the header.
    #[schemars(length(max = 256))]
    pub value: String,
}

/// Labels by which series tell the workload they belong to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Label that holds the namespace; default `namespace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// Label that holds the pod's name, from which the workload follows; default `pod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub pod: Option<String>,
    /// Label that holds the workload's name, where series carry one. It replaces `pod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub workload: Option<String>,
}

/// What is known of a source. Written on transitions only.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsSourceStatus {
    /// Generation that was processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Available`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Time of the last answer before the last transition, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<String>,
}

/// Labels as a map.
pub type Labels = BTreeMap<String, String>;
