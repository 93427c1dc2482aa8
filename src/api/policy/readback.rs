//! Readbacks: where an application tells the value that it really runs with.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{super::rules, MetricUnit};

/// Where every pod tells the value that it runs with: exactly one of `gauge` and `query`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(transform = rules::readback)]
pub struct Readback {
    /// Name of a gauge of the target's pods that tells the value in force, such as `db_pool_size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::metric_name)]
    pub gauge: Option<String>,
    /// PromQL with one result per pod, at most 2048 characters. The class must allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub query: Option<String>,
    /// Label values that the gauge's series carry, where it tells more than this value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::series_labels)]
    pub labels: BTreeMap<String, String>,
    /// Unit of the readings. Default: from the suffix of the gauge's name; else seconds, bytes, a ratio or a count, as the
    /// value is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<MetricUnit>,
}
