//! The imperative shell: everything that touches the world.
//!
//! Owns clients, clocks, sockets and tasks. Must never decide what a policy means: it turns watch events, replies and time
//! into `Input`s, hands them to the engine one by one, and carries out the `Effect`s that come back.

pub mod alertmanager;
pub mod clock;
pub mod driver;
pub mod execute;
pub mod health;
pub mod lease;
pub mod operator;
pub mod prometheus;
pub mod server;
pub mod sources;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod watch;
