//! What an object tells us about our own past: the record in its annotation `trimtab.dev/baseline.<policy>`.
//!
//! It travels in the same write as the claim that it describes, so it is the write-ahead log of every change: no crash can
//! separate the two. Owns the record's shape and its text. Must not decide what to do with it.

mod codec;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    api::{names, policy::DeletionPolicy},
    core::{
        facts::{Instant, Meta},
        ownership::{FieldPath, FormerOwner},
    },
};

/// Largest text of a record, in bytes. The deployment controller copies annotations to every `ReplicaSet` of the history, and
/// an object's annotations may have 256 KiB in all.
pub const LIMIT: usize = 4096;

/// What one policy remembers on one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Uid of the policy. `rollout undo` can bring back the record of one that was deleted since; it is not to be believed.
    pub uid: String,
    /// Generation of the policy that made the last write.
    pub generation: i64,
    /// What to do with the object when the policy is gone: by then nobody can ask it.
    pub deletion_policy: DeletionPolicy,
    /// Hash of the claim that made the last write. If the live values are others and still ours, admission rewrote them.
    pub applied: String,
    /// Values before our first claim; `None` where there was nothing.
    pub paths: BTreeMap<FieldPath, Option<Value>>,
    /// Values before our last change, for the way back from a rollout that failed.
    pub previous: BTreeMap<FieldPath, Option<Value>>,
    /// Scalars that we edited in documents, by `key#pointer` or `key#format:address`.
    pub documents: BTreeMap<String, DocumentBaseline>,
    /// When we took fields over, and from whom: a field that is taken twice within an hour is contested.
    pub taken: Vec<Taking>,
    /// Whole keys of a `ConfigMap` that we changed and that pods read at start only.
    pub keys: BTreeMap<String, KeyStamp>,
    /// Who held what the edit that came with this record took, until the release that follows it.
    pub owners: Vec<FormerOwner>,
}

/// A scalar in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentBaseline {
    /// The exact bytes of the scalar before our first edit, quotes included; `None` where we made its line.
    pub was: Option<String>,
    /// The bytes that we wrote last. Whoever finds others knows that somebody edited the document since.
    pub now: String,
    /// The bytes before our last edit, for the way back from a rollout that failed; `None` once it was proven.
    pub before: Option<Before>,
}

/// What was there before a change that no pod has proven yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// Generation of the policy that asked for the change.
    pub generation: i64,
    /// What we had written before; `None`: nothing.
    pub ours: Option<String>,
}

/// A forced apply over another manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taking {
    /// From whom.
    pub manager: String,
    /// When.
    pub at: Instant,
}

/// What pods were restarted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStamp {
    /// Stands for the value that we wrote last.
    pub now: String,
    /// The stamp before our last change, for the way back from a rollout that failed; `None` once it was proven.
    pub before: Option<Before>,
}

/// A record that does not fit into its annotation. Nothing may be written then: what cannot be recorded cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the record of what was there before takes {bytes} bytes of at most {LIMIT}: spread the knobs of this object over several policies"
)]
pub struct TooLarge {
    /// Size of the text.
    pub bytes: usize,
}

/// A text that is no record of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer Trimtab. It must be left alone.
    #[error("the record has version {0}, and this Trimtab reads version 1: upgrade the operator")]
    Version(u64),
    /// Damaged, or never a record.
    #[error("the record cannot be read: {0}")]
    Garbage(String),
}

impl Record {
    /// An empty record of the policy with that uid.
    #[must_use]
    pub fn new(uid: &str) -> Self {
        Self { uid: uid.to_owned(), ..Self::default() }
    }

    /// The text of the annotation: the same record always gives the same text.
    ///
    /// # Errors
    /// [`TooLarge`] above [`LIMIT`] bytes.
    pub fn encode(&self) -> Result<String, TooLarge> {
        let text = codec::encode(self);
        if text.len() > LIMIT { Err(TooLarge { bytes: text.len() }) } else { Ok(text) }
    }

    /// Reads the text of an annotation.
    ///
    /// # Errors
    /// [`DecodeError`]; a newer version is told from damage.
    pub fn decode(text: &str) -> Result<Self, DecodeError> {
        codec::decode(text)
    }

    /// Forgets the way back of changes that an older generation made. Those at `unproven` places are still being rolled out.
    pub fn settle(&mut self, generation: i64, unproven: &BTreeSet<String>) {
        let documents = self.documents.iter_mut().map(|(place, document)| (place, &mut document.before));
        let keys = self.keys.iter_mut().map(|(key, stamp)| (key, &mut stamp.before));
        for (place, before) in documents.chain(keys) {
            if before.as_ref().is_some_and(|before| before.generation < generation) && !unproven.contains(place) {
                *before = None;
            }
        }
    }

    /// The record that `policy` keeps on an object; `None` when it keeps none.
    #[must_use]
    pub fn of(meta: &Meta, policy: &str) -> Option<Result<Self, DecodeError>> {
        meta.annotations.get(&names::baseline(policy)).map(|text| Self::decode(text))
    }
}

#[cfg(test)]
mod tests;
