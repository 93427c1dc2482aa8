//! `MetricsSource`: where metrics come from and alerts go to. Cluster-scoped and owned by administrators, because a URL is
//! a way to point the operator at an address.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{rules, status};

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
    doc = "A MetricsSource is a Prometheus-compatible server that policies read, with the Alertmanagers that their alerts go to. Admins own it, because an address is a way to reach into a network.",
    validation = ("size(self.metadata.name) <= 63", "metadata.name must be at most 63 characters: policies refer by it"),
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
    /// Time between two sweeps of queries, one number and one unit, at least `1s`; default `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::duration_from_1s)]
    pub interval: Option<String>,
    /// Time that a query may take, one number and one unit; default `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::positive_duration)]
    pub timeout: Option<String>,
    /// Labels by which series tell the workload they belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Whether the server knows native histograms (default: true). With `false` only classic buckets are read, which servers
    /// without the functions `histogram_count` and `histogram_sum` need, such as `VictoriaMetrics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_histograms: Option<bool>,
    /// Base URLs of Alertmanagers (v2 API). Every alert goes to all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::base_urls)]
    pub alertmanagers: Vec<String>,
}

/// A Prometheus-compatible server.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prometheus {
    /// Base URL, for example `https://prometheus.monitoring:9090`.
    #[schemars(transform = rules::base_url)]
    pub url: String,
    /// PEM certificates that sign the server's own; default: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    #[x_kube(validation = ("self.contains('-----BEGIN CERTIFICATE-----')", "must be PEM: -----BEGIN CERTIFICATE-----"))]
    pub ca_bundle: Option<String>,
    /// Header that selects a tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_header: Option<TenantHeader>,
    /// Name of a bearer-token file below the directory that the chart mounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::mounted_file)]
    pub credential: Option<String>,
}

/// A header that selects a tenant, such as `X-Scope-OrgID`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TenantHeader {
    /// Name of the header.
    #[schemars(transform = rules::header_name)]
    pub name: String,
    /// Value of the header.
    #[schemars(transform = rules::header_value)]
    pub value: String,
}

/// Labels by which series tell the workload they belong to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = ("!has(self.pod) || !has(self.workload)", "at most one of pod and workload may be set"))]
pub struct Identity {
    /// Label that holds the namespace; default `namespace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::label_name)]
    pub namespace: Option<String>,
    /// Label that holds the pod's name, from which the workload follows; default `pod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::label_name)]
    pub pod: Option<String>,
    /// Label that holds the workload's name, where series carry one. It replaces `pod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::label_name)]
    pub workload: Option<String>,
}

/// What is known of a source. Written on transitions only.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsSourceStatus {
    /// Generation that was processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The condition `Available`: whether the server answers, and why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "status::conditions")]
    pub conditions: Vec<Condition>,
    /// Time of the last answer before the last transition, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_success: Option<String>,
}

/// Labels as a map.
pub type Labels = BTreeMap<String, String>;
