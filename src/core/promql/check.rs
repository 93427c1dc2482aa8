//! Whether readings can be trusted: what is asked seldom, beside the readings.
//!
//! | is asked | because |
//! |---|---|
//! | the edges of a classic histogram's buckets | a percentile between two of them is interpolated, and one beyond the last is never read |
//! | the percentiles that a summary exports | another one has no series |
//! | counters that go back again and again | `rate` takes each step back for a restart, and adds up what never happened |
//!
//! One restart in a window is nothing: `rate` and `increase` add what was counted before and after it, and lose at most what
//! was counted between the last scrape and the restart. A container that crashes again and again starts more and more seldom,
//! too. What goes back in more than [`MOST_RESETS`] of its steps is no counter, or several processes expose it under the same
//! labels: of such series no rate says anything.

use super::{Selector, frame::Frame};

/// Share of a counter's samples that may be smaller than the one before.
pub const MOST_RESETS: &str = "0.25";

/// What is checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Checked {
    /// The values of the label that tells buckets (`le`) or percentiles (`quantile`) apart.
    Edges { selector: Selector, label: &'static str },
    /// Counters that go back too often, one or two of them.
    Resets(Selector, Option<Selector>),
}

/// What an answer to a check tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Edges of buckets, in the unit of the samples.
    Buckets,
    /// Percentiles that are exported, as shares.
    Percentiles,
    /// That a counter goes back too often, where there is an answer at all.
    Resets,
}

impl Checked {
    pub const fn tells(&self) -> Check {
        match self {
            // A label of ours: `le` or `quantile`.
            Self::Edges { label, .. } if label.len() == 2 => Check::Buckets,
            Self::Edges { .. } => Check::Percentiles,
            Self::Resets(..) => Check::Resets,
        }
    }

    /// The label whose values are told.
    pub const fn label(&self) -> Option<&'static str> {
        match self {
            Self::Edges { label, .. } => Some(label),
            Self::Resets(..) => None,
        }
    }

    pub const fn selector(&self) -> &Selector {
        match self {
            Self::Edges { selector, .. } | Self::Resets(selector, _) => selector,
        }
    }

    pub fn expr(&self, frame: &Frame<'_>) -> String {
        match self {
            Self::Edges { selector, .. } => {
                let suffix = if self.tells() == Check::Buckets { "_bucket" } else { "" };
                frame.each("count", &frame.instant(selector, suffix, ""))
            }
            Self::Resets(selector, other) => {
                let back = |selector: &Selector| {
                    let range = frame.range(selector, "", "");
                    frame.each("max", &format!("resets({range}) > count_over_time({range}) * {MOST_RESETS}"))
                };
                let other = other.as_ref().map(|other| format!(" or {}", back(other))).unwrap_or_default();
                format!("{}{other}", back(selector))
            }
        }
    }
}
