//! What we know of the cluster: objects as a watch, a GET or a write showed them.
//!
//! Owns the decoded shapes and the questions that have one right answer (is this rollout finished?). Must not decide what
//! to do about an answer.

pub mod content;
pub mod disruption;
pub mod object;
pub mod pod;
pub mod release;
pub mod rollout;
pub mod time;

pub use content::Content;
pub use disruption::{DisruptionBudget, DisruptionKey, Rounding, portion, takes_pods};
pub use object::{Controller, Kind, ManagedEntry, Meta, Object, ObjectKey, Operation, RawJson, Seen};
pub use pod::Pod;
pub use release::Release;
use rollout::said;
pub use rollout::{Progress, progress, refusal, unsettled};
pub use time::{Instant, Span};
