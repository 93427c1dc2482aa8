//! Query shapes: how readings are asked of a Prometheus-compatible server, and what may be made of an answer.
//!
//! One [`Shape`] is one query for *all* policies that read the same metric in the same way; it answers one sample per
//! workload, and the bounds are compared on our side. Owns `PromQL` text and what a reading is, or why it is none ([`Missing`]); must not know thresholds, clocks or
//! HTTP.
//!
//! | type | is |
//! |---|---|
//! | [`Selector`] | a metric's name and label matchers |
//! | [`Statistic`], [`MetricKind`] | what is computed of one metric, and how it behaves |
//! | [`Builtin`] | what the exporters of a cluster say of every pod |
//! | [`Measure`] | what is computed, and of which series |
//! | [`Attribution`], [`Identity`] | how a series tells its workload |
//! | [`Shape`], [`Query`] | what is asked |
//! | [`Check`] | what is asked seldom, to know whether readings can be trusted |
//! | [`SampleBatch`], [`Missing`] | what came back |

mod attribution;
mod builtin;
mod check;
mod frame;
mod measure;
mod query;
mod sample;
mod selector;
mod shape;
mod statistic;
mod text;

pub use self::{
    attribution::{Attribution, Group, Identity, SeriesKey, WORKLOAD_LABEL, WorkloadKind},
    builtin::Builtin,
    check::{Check, MOST_RESETS},
    measure::{Measure, RatioOf, VALUE_LABEL},
    query::{Query, RangeWindow},
    sample::{Freshness, GroupReadings, Missing, Reading, Sample, SampleBatch, Told},
    selector::{Selector, SelectorError},
    shape::{FreeQuery, FreeQueryError, Joined, PART_LABEL, Shape},
    statistic::{Across, Least, MetricKind, Percentile, Statistic, StatisticError, Window, WindowError},
    text::{is_plain_label, quote, quote_regex},
};
