//! Patterns: what is worth saying without being wrong.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::rules,
    threshold::{Level, Ratio},
};

/// Something that is told as advice, and never as an alert.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[schemars(transform = rules::pattern)]
pub struct Pattern {
    /// Name of the pattern; no threshold has the same.
    #[schemars(transform = rules::dns_label)]
    pub name: String,
    /// What is looked for. Of a ratio of successes to tries: `AlwaysSucceeds`, `AlwaysFails`, `AutomationCandidate` (often
    /// repeated and nearly always successful). Of a ratio of fallbacks to tries: `FallbackRate`. Of a histogram: Slow,
    /// `OptimizationCandidate` (by their average). Of a gauge: Inconsistent (by its coefficient of variation). Of a gauge,
    /// a counter or a histogram: Trend.
    pub kind: PatternKind,
    /// What is read.
    pub metric: PatternMetric,
    /// When it is told, and how urgent it is. Default by kind: `AlwaysSucceeds` info above 99% (298 tries without
    /// exception show that), `AlwaysFails` critical above 90% (28), Slow warning above 5s, `FallbackRate` warning above 30%,
    /// `AutomationCandidate` info above 90%, `OptimizationCandidate` info above 20m and warning above 30m, Trend info above
    /// 10% (change over the window). Shares count as far as the number of tries shows them (95 %).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["severity".into()]))]
    pub levels: Vec<Level>,
    /// What to do. Default: a sentence by kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::prose)]
    pub advice: Option<String>,
}

/// What is looked for.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum PatternKind {
    /// No failure in so many tries that there are hardly any.
    AlwaysSucceeds,
    /// No success in so many tries that there are hardly any.
    AlwaysFails,
    /// The average is high.
    Slow,
    /// Readings scatter.
    Inconsistent,
    /// The second choice is taken often.
    FallbackRate,
    /// Often repeated, and nearly always successful.
    AutomationCandidate,
    /// Takes long.
    OptimizationCandidate,
    /// Rises or falls more than chance does.
    Trend,
}

impl PatternKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::AlwaysSucceeds,
        Self::AlwaysFails,
        Self::Slow,
        Self::Inconsistent,
        Self::FallbackRate,
        Self::AutomationCandidate,
        Self::OptimizationCandidate,
        Self::Trend,
    ];

    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlwaysSucceeds => "AlwaysSucceeds",
            Self::AlwaysFails => "AlwaysFails",
            Self::Slow => "Slow",
            Self::Inconsistent => "Inconsistent",
            Self::FallbackRate => "FallbackRate",
            Self::AutomationCandidate => "AutomationCandidate",
            Self::OptimizationCandidate => "OptimizationCandidate",
            Self::Trend => "Trend",
        }
    }
}

/// What a pattern reads: exactly one of `histogram`, `counter`, `gauge` and `ratio`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PatternMetric {
    /// Name of a histogram, without _bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::metric_name)]
    pub histogram: Option<String>,
    /// Name of a counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::metric_name)]
    pub counter: Option<String>,
    /// Name of a gauge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::metric_name)]
    pub gauge: Option<String>,
    /// One counter as a share of another, such as runs that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Ratio>,
    /// Label values that the series carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::series_labels)]
    pub labels: BTreeMap<String, String>,
    /// Regular expressions (RE2) that match whole label values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = rules::series_labels)]
    pub matching: BTreeMap<String, String>,
    /// Labels whose values are judged apart, such as skill: at most 2, and at most 32 values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = rules::by)]
    pub by: Vec<String>,
    /// Time that is looked at, at most 30d; default 24h, of a Trend 14d. It is asked for four times an hour, or more often
    /// if it is shorter than a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::positive_duration)]
    pub window: Option<String>,
    /// Observations that the window must have, else nothing is told. Default: as many as the level needs for
    /// `AlwaysSucceeds` and `AlwaysFails`; Slow and Inconsistent 30, `FallbackRate` and `OptimizationCandidate` 10,
    /// `AutomationCandidate` 50. A Trend always needs ten points.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000_000))]
    pub min_samples: Option<u32>,
}
