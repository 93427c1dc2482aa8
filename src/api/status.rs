//! Status of a policy: at most 8 KiB, written on transitions only.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::policy::{ActiveBy, Mode, Severity};

/// Largest status, in bytes of its JSON text.
pub const MAX_STATUS_BYTES: usize = 8 * 1024;
/// Most targets, settings, thresholds and changes of the past that a status lists.
pub const MAX_LISTED: usize = 20;

/// Conditions, with the bounds of `metav1.Condition` and without its pages of text.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {"type": "string", "format": "date-time", "description": "Time of the last change of status."},
                "message": {"type": "string", "maxLength": 32768, "description": "What is the case, for people."},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0, "description": "Generation that the condition is about."},
                "reason": {"type": "string", "maxLength": 1024, "description": "Why, in one word."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "True, False or Unknown."},
                "type": {"type": "string", "maxLength": 316, "description": "What the condition is about."}
            }
        }
    })
}

/// The bound of a text in status. The whole status is held to [`MAX_STATUS_BYTES`] where it is built, so a text of any
/// length that fits must not make the API server refuse the rest.
fn text(schema: &mut Schema) {
    schema.ensure_object().insert("maxLength".into(), MAX_STATUS_BYTES.into());
}

/// The bound of label values in status.
fn values(schema: &mut Schema) {
    let schema = schema.ensure_object();
    schema.insert("maxProperties".into(), 2.into());
    schema.insert("additionalProperties".into(), json!({"type": "string", "maxLength": MAX_STATUS_BYTES}));
}

/// The bound of a list in status that only its size in bytes limits.
fn list(schema: &mut Schema) {
    schema.ensure_object().insert("maxItems".into(), 256.into());
}

/// The bound of a list of objects.
fn names(schema: &mut Schema) {
    let schema = schema.ensure_object();
    schema.insert("maxItems".into(), 256.into());
    schema.insert("items".into(), json!({"type": "string", "maxLength": MAX_STATUS_BYTES}));
}

/// The bound of a list of the worst.
fn listed(schema: &mut Schema) {
    schema.ensure_object().insert("maxItems".into(), MAX_LISTED.into());
}

/// The bound of a list of lines of a checklist.
fn lines(schema: &mut Schema) {
    listed(schema);
    schema.ensure_object().insert("items".into(), json!({"type": "string", "maxLength": 63}));
}

/// What is known of a policy.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PerformancePolicyStatus {
    /// Generation that was processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling` and `Stalled` (kstatus), `Accepted`, `Applied`, `Effective`, `Compliant`, `MetricsAvailable`, `Conflicted`,
    /// `ProfileBlocked`, `RollbackPinned`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The mode that holds, defaults and class applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The governed objects in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text)]
    pub target_summary: Option<String>,
    /// Names of the active profiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text)]
    pub profile_summary: Option<String>,
    /// Active profiles. What is active after a restart follows from this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = list)]
    pub active_profiles: Vec<ActiveProfile>,
    /// Number of changes that the policy has made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Time of the last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_change: Option<Time>,
    /// At most 20 governed objects, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = listed)]
    pub targets: Vec<TargetStatus>,
    /// At most 20 settings that are not at rest, or that pods do not run with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = listed)]
    pub settings: Vec<SettingStatus>,
    /// The `trimtab.dev/resumed-at` that was last acted upon: another one ends the holds of before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_resume_at: Option<Time>,
    /// At most 20 thresholds that are not within their bounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = listed)]
    pub thresholds: Vec<ThresholdStatus>,
    /// At most 20 patterns that were found, and hints of thresholds that are breached together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = listed)]
    pub advice: Vec<AdviceStatus>,
    /// Totals, of which the lists show the worst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// How the checklist stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checklist: Option<ChecklistStatus>,
    /// What would be written; in mode `Recommend`, or while a write waits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = list)]
    pub plan: Vec<ChangeStatus>,
    /// What was written, newest first: at most 20 entries or 3 KiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = listed)]
    pub history: Vec<HistoryEntry>,
    /// Values that are not tried again until a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = list)]
    pub quarantine: Vec<QuarantineEntry>,
}

/// How the lines of a checklist stand.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChecklistStatus {
    /// Lines whose check holds.
    pub passed: u32,
    /// Lines whose check does not hold.
    pub failed: u32,
    /// Lines that somebody attests.
    pub attested: u32,
    /// Lines that nobody has answered for.
    pub open: u32,
    /// Lines whose check cannot be worked out now; `trimtab report` says why.
    pub unknown: u32,
    /// At most 20 of the lines whose check does not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = lines)]
    pub failing: Vec<String>,
}

/// A profile that is active.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveProfile {
    /// Name of the profile.
    #[schemars(transform = text)]
    pub name: String,
    /// Time since which it is active.
    pub since: Time,
    /// Why: Spec, Threshold or Schedule.
    pub by: ActiveBy,
    /// Governed objects, `Kind/name`, where it is not active on all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = names)]
    pub targets: Vec<String>,
}

/// One governed object.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// `Kind/name`.
    #[schemars(transform = text)]
    pub name: String,
    /// Whether every claimed value is in place and rolled out.
    pub ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text)]
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
    #[schemars(transform = text)]
    pub claim_hash: String,
    /// Generation of the object after the write.
    pub template_revision: i64,
}

/// A setting that is not at rest.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SettingStatus {
    /// Path in the policy, such as `pools.db.size`.
    #[schemars(transform = text)]
    pub path: String,
    /// Value that should hold.
    #[schemars(transform = text)]
    pub desired: String,
    /// Value that the object has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text)]
    pub live: Option<String>,
    /// Value that pods tell, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text)]
    pub effective: Option<String>,
    /// Where the desired value comes from.
    #[schemars(transform = text)]
    pub source: String,
    /// Why it is not at rest.
    #[schemars(transform = text)]
    pub state: String,
    /// Why nothing carries it, and where it belongs instead; or what pods tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text)]
    pub message: Option<String>,
}

/// A threshold that is not within its bounds.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdStatus {
    /// Name in the policy.
    #[schemars(transform = text)]
    pub name: String,
    /// Governed object, where the policy has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text)]
    pub target: Option<String>,
    /// Values of the labels that the threshold keeps apart: those of the worst breach.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = values)]
    pub labels: BTreeMap<String, String>,
    /// `Breached` or `NoData`.
    #[schemars(transform = text)]
    pub state: String,
    /// Severity of the breach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Time of the transition.
    pub since: Time,
    /// Reading at the transition, or why there is none.
    #[schemars(transform = text)]
    pub value: String,
    /// Of a share: the number of observations that it was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<i64>,
}

/// Advice: a pattern that was found, or a hint of thresholds that are breached together.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdviceStatus {
    /// Name of the pattern or of the threshold.
    #[schemars(transform = text)]
    pub name: String,
    /// Kind of the pattern, or Hint.
    #[schemars(transform = text)]
    pub kind: String,
    /// Governed object, where the policy has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text)]
    pub target: Option<String>,
    /// Values of the labels that are kept apart.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = values)]
    pub labels: BTreeMap<String, String>,
    /// How urgent it is.
    pub severity: Severity,
    /// Time of the transition.
    pub since: Time,
    /// Reading at the transition; of a hint, what is breached beside it.
    #[schemars(transform = text)]
    pub value: String,
    /// What to do.
    #[schemars(transform = text)]
    pub advice: String,
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
    /// Those that no field of an object carries: they are told and never written.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub settings_not_enforceable: u32,
    /// Thresholds, over all targets.
    pub thresholds: u32,
    /// Those within their bounds.
    pub thresholds_within: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// One change: from, to, because.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeStatus {
    /// Object that is changed, `Kind/name`.
    #[schemars(transform = text)]
    pub object: String,
    /// Path in the policy.
    #[schemars(transform = text)]
    pub path: String,
    /// Value before; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text)]
    pub from: Option<String>,
    /// Value after; absent when it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = text)]
    pub to: Option<String>,
    /// Why.
    #[schemars(transform = text)]
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
    #[schemars(transform = list)]
    pub changes: Vec<ChangeStatus>,
    /// What came of it: `RollingOut`, `Applied`, `Overtaken`, `RolledBack`, `RollbackFailed`, `Paused` or `AwaitingManualRollout`.
    #[schemars(transform = text)]
    pub verdict: String,
    /// Changes that the status had no room for. A rollback does not go back beyond such a revision.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u32,
}

/// A value that is not tried again until a time.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineEntry {
    /// Object, `Kind/name`.
    #[schemars(transform = text)]
    pub object: String,
    /// Path in the policy.
    #[schemars(transform = text)]
    pub path: String,
    /// Hash of the value.
    #[schemars(transform = text)]
    pub value_hash: String,
    /// Time at which it may be tried again.
    pub until: Time,
    /// Why it was taken back.
    #[schemars(transform = text)]
    pub reason: String,
}
