//! Status of a policy: at most 8 KiB, written on transitions only.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::{Mode, Severity};

/// Largest status, in bytes of its JSON text.
pub const MAX_STATUS_BYTES: usize = 8 * 1024;

/// What is known of a policy.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PerformancePolicyStatus {
    /// Generation that was processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// kstatus conditions and our own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The mode that holds, defaults and class applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The governed objects in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_summary: Option<String>,
    /// Number of changes that the policy has made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Time of the last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_change: Option<Time>,
    /// At most 20 governed objects, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetStatus>,
    /// At most 20 settings that are not at rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<SettingStatus>,
    /// At most 20 thresholds that are not within their bounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<ThresholdStatus>,
    /// Totals, of which the lists show the worst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// What would be written; in mode `Recommend`, or while a write waits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<ChangeStatus>,
    /// What was written, newest first: at most 20 entries or 3 KiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// Values that are not tried again until a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantine: Vec<QuarantineEntry>,
}

/// One governed object.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// `Kind/name`.
    pub name: String,
    /// Whether every claimed value is in place and rolled out.
    pub ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was last applied to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<AppliedStatus>,
}

/// What was last applied to an object.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedStatus {
    /// Hash of the complete claim.
    pub claim_hash: String,
    /// Generation of the object after the write.
    pub template_revision: i64,
}

/// A setting that is not at rest.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SettingStatus {
    /// Path in the policy, such as `pools.db.size`.
    pub path: String,
    /// Value that should hold.
    pub desired: String,
    /// Value that the object has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
    /// Where the desired value comes from.
    pub source: String,
    /// Why it is not at rest.
    pub state: String,
}

/// A threshold that is not within its bounds.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdStatus {
    /// Name in the policy.
    pub name: String,
    /// Governed object, where the policy has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `Breached` or `NoData`.
    pub state: String,
    /// Severity of the breach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Time of the transition.
    pub since: Time,
    /// Reading at the transition, or why there is none.
    pub value: String,
}

/// Totals.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Governed objects.
    pub targets: u32,
    /// Those that are in place and rolled out.
    pub targets_ready: u32,
    /// Settings, over all targets.
    pub settings: u32,
    /// Those whose live value is the desired one.
    pub settings_at_rest: u32,
    /// Thresholds, over all targets.
    pub thresholds: u32,
    /// Those within their bounds.
    pub thresholds_within: u32,
}

/// One change: from, to, because.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeStatus {
    /// Object that is changed, `Kind/name`.
    pub object: String,
    /// Path in the policy.
    pub path: String,
    /// Value before; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Value after; absent when it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why.
    pub because: String,
}

/// A change that was made.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Number of the change.
    pub revision: i64,
    /// Time of the write.
    pub at: Time,
    /// What changed.
    pub changes: Vec<ChangeStatus>,
    /// What came of it: `RollingOut`, `Applied` or `RolledBack`.
    pub verdict: String,
}

/// A value that is not tried again until a time.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineEntry {
    /// Object, `Kind/name`.
    pub object: String,
    /// Path in the policy.
    pub path: String,
    /// Hash of the value.
    pub value_hash: String,
    /// Time at which it may be tried again.
    pub until: Time,
    /// Why it was taken back.
    pub reason: String,
}
