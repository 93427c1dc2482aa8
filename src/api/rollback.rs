//! What a rollback pins, as it stands in an annotation of the policy.
//!
//! | question | answer |
//! |---|---|
//! | where | beside `trimtab.dev/rollback-to`, which names the revision, in `trimtab.dev/rollback-pin` |
//! | why the values, and not the number alone | the history is cut at twenty entries and at 3 KiB, and a pin outlives what it was made of: neither a new leader nor a later change may lose it |
//! | of which policy | the one whose `metadata.uid` is `uid`: a policy of the same name that GitOps or a backup made anew, with the annotations of the old one, is another, has another history, and follows its spec |
//! | for how long | while `metadata.generation` is `generation`: annotations do not raise it, an edit of the spec does |
//! | who may | whoever may change the policy. A pinned value is read, checked, bounded and refused as if it stood in the spec |

use serde::{Deserialize, Serialize};

/// Longest text of the annotation, in bytes: several times what a history can hold.
pub const MAX_BYTES: usize = 16 * 1024;
/// Most values that a rollback pins.
pub const MAX_VALUES: usize = 256;

/// What a rollback pins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackPin {
    /// The revision that it goes back to, as in `trimtab.dev/rollback-to`.
    pub to: i64,
    /// Uid of the policy for which it holds.
    pub uid: String,
    /// Generation of the policy for which it holds.
    pub generation: i64,
    /// Why, in somebody's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The values.
    pub values: Vec<PinnedValue>,
}

/// A value that a rollback pins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PinnedValue {
    /// Governed object, `Kind/name`; omitted: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Path in the policy, such as `pools.db.size`.
    pub path: String,
    /// The value, as the spec would say it.
    pub value: String,
}
