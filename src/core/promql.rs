//! Query shapes: how readings are asked of a Prometheus-compatible server, and what may be made of an answer.
//!
//! One [`Shape`] is one query for *all* policies that read the same metric in the same way; it answers one sample per
//! workload, and the bounds are compared on our side. [`Sweep`] collects the shapes of all policies and the namespaces
//! they need. Owns `PromQL` text and the words for readings that are missing ([`NoDataReason`]); must not know thresholds,
//! clocks or HTTP.
//!
//! | type | is |
//! |---|---|
//! | [`Selector`] | a metric's name and label matchers |
//! | [`Statistic`], [`MetricKind`] | what is computed, and of what |
//! | [`Attribution`], [`Identity`] | how a series tells its workload |
//! | [`Shape`], [`Sweep`], [`Query`] | what is asked |
//! | [`SampleBatch`], [`NoDataReason`] | what came back |

mod attribution;
mod refusal;
mod sample;
mod selector;
mod shape;
mod statistic;
mod sweep;
mod text;

pub use self::{
    attribution::{Attribution, Identity, SeriesKey, WORKLOAD_LABEL, WorkloadKind},
    refusal::{BackendFailure, ErrorType, ResultType},
    sample::{Freshness, NoDataReason, Sample, SampleBatch},
    selector::{Selector, SelectorError},
    shape::{FreeQuery, FreeQueryError, Shape},
    statistic::{MetricKind, Percentile, Statistic, StatisticError, Window, WindowError},
    sweep::{Query, RangeWindow, Sweep},
    text::{quote, quote_regex},
};
