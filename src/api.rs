//! The API of `trimtab.dev/v1alpha1`: custom resources, their CEL rules, and the words that they share.
//!
//! Owns every name that another program can see. Must never decide anything: a rule that needs more than the object
//! itself belongs to `core`.

#![allow(clippy::duplicated_attributes, reason = "printer columns of one type")]

pub mod budget;
pub mod class;
pub mod conditions;
pub mod crds;
pub mod literal;
pub mod names;
pub mod policy;
pub mod rollback;
mod rules;
pub mod source;
pub mod status;

pub use budget::{ConnectionBudget, ConnectionBudgetSpec, ConnectionBudgetStatus};
pub use class::{PerformanceClass, PerformanceClassSpec};
pub use literal::Literal;
pub use policy::{PerformancePolicy, PerformancePolicySpec};
pub use source::{MetricsSource, MetricsSourceSpec};
pub use status::PerformancePolicyStatus;
