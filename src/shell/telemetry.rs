//! What the process says about itself: logs, and its own metrics.

pub mod logging;
pub mod metrics;
pub mod readings;
pub mod thresholds;

pub use logging::LogFormat;
pub use metrics::Metrics;
pub use readings::Reading;
