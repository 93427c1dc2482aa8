//! What a policy amounts to on paper: reports, comparisons, exports. Everything is made of readings that were recorded, so the
//! same files give the same bytes, and times come from the readings.
//!
//! | module | makes |
//! |---|---|
//! | `advice` | what is worth doing, for reports and for the summary |
//! | [`readings`] | what was read at a time, as a file holds it |
//! | [`document`] | a report of policies |
//! | [`compare`] | means and standard deviations of before and after |
//! | [`metrics`] | the summary for other programs |
//! | [`board`] | how a dashboard for Grafana is written |
//! | [`boards`] | the operator's own dashboards |
//! | [`dashboard`] | panels for the thresholds of policies |
//! | [`load`] | load tests as Jobs |

mod advice;
pub mod board;
pub mod boards;
pub mod compare;
pub mod dashboard;
pub mod document;
pub mod load;
pub mod metrics;
pub mod readings;
mod statistics;

pub use self::{
    document::{Document, Subject},
    readings::Readings,
};

/// `apiVersion` of what is made here.
const API_VERSION: &str = "trimtab.dev/v1alpha1";
