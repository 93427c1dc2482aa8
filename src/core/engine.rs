//! The engine: `World` and `step`, the only place that decides.

pub mod effect;
pub mod input;

pub use effect::{Action, Effect, EffectId, Patch, PatchBody};
pub use input::{Answer, Change, Failure, Input, Listing, Outcome, Refusal, Series, Stream};
