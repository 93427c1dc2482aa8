//! Readbacks: where an application tells the value that it really runs with.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{super::rules, MetricUnit};

/// Where every pod tells the value that it runs with: exactly one of `gauge` and `query`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(transform = rules::readback)]
pub struct Readback {
    /// Gauge of the target's pods, such as `db_pool_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::metric_name)]
    pub gauge: Option<String>,
    /// PromQL with one result per pod. The class must allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub query: Option<String>,
    /// Label values of its series.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::readback_labels)]
    pub labels: BTreeMap<String, String>,
    /// Unit of the readings. Default: from the suffix of the gauge's name, else the base unit of the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<MetricUnit>,
}
