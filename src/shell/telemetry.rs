//! What the process says about itself: logs, and its own metrics.

pub mod exposition;
pub mod family;
pub mod logging;
pub mod metrics;
pub mod process;
pub mod requests;
pub mod world;

pub use exposition::Page;
pub use logging::LogFormat;
pub use metrics::Metrics;
