//! The functional core: pure and synchronous. It has no async, client, clock, environment, randomness or logging.
//!
//! Rooms import upward only, in this order (`tests/architecture.rs` holds the table):
//! `units formula document promql catalogue options facts schedule lease statistics table` · `policy ownership` ·
//! `record allocate` · `resolve evaluate` · `plan` · `report lint` · `paper` · `engine` · `replay`.

pub mod allocate;
pub mod catalogue;
pub mod document;
pub mod engine;
pub mod evaluate;
pub mod facts;
pub mod formula;
pub mod lease;
pub mod lint;
pub mod options;
pub mod ownership;
pub mod paper;
pub mod plan;
pub mod policy;
pub mod promql;
pub mod record;
pub mod replay;
pub mod report;
pub mod resolve;
pub mod rules;
pub mod schedule;
pub mod statistics;
pub mod table;
pub mod units;
