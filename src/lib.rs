//! Trimtab: a Kubernetes operator that manages performance policies.
//!
//! The crate is a functional core in an imperative shell. [`api`] holds the custom resources, [`core`] decides without
//! touching the world, [`shell`] touches the world without deciding, [`cli`] is what a person types.
//! `ARCHITECTURE.md` has the map; `tests/architecture.rs` holds it against the imports.

pub mod api;
#[cfg(feature = "shell")]
pub mod cli;
pub mod core;
#[cfg(feature = "shell")]
pub mod shell;
