//! Whether readings can be trusted, and how exact they are: what is asked of each row now and then, beside its readings.

use super::{question::Round, rows::Row};
use crate::{
    api::conditions::Reason,
    core::{
        policy::Threshold,
        policy::thresholds::Metric,
        promql::{Check, Missing, SeriesKey},
        units::{Bound, MetricUnit},
    },
};

/// A bound within this share of an edge is on it: edges come as the shortest text of a double.
const SAME: f64 = 1e-9;

/// What is known of a row's readings beside the readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Notes {
    /// Bounds that lie between two edges of buckets.
    between: Box<[Between]>,
    /// Why its readings are none.
    missing: Option<Missing>,
}

/// Where a bound lies among the buckets of its histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Between {
    bound: Bound,
    /// The edges next to it, in base units; nothing above: no percentile is read beyond the last edge.
    edges: (f64, Option<f64>),
}

impl Notes {
    /// What a round tells of a row; `None` where it was not answered.
    pub fn of(check: Check, threshold: &Threshold, key: &SeriesKey, round: &Round) -> Option<Self> {
        let batch = round.batch()?;
        Some(match check {
            Check::Resets => {
                let missing = batch.reading(key).is_ok().then(|| Missing::new(Reason::CounterReset));
                Self { missing, ..Self::default() }
            }
            Check::Buckets => Self { between: between(threshold, &batch.values(key)), ..Self::default() },
            Check::Percentiles => {
                let exported = batch.values(key);
                let is_exported = |share: f64| exported.iter().any(|known| (known - share).abs() < SAME);
                let wanted = match &threshold.metric {
                    Metric::Series { measure, .. } => measure.exported_percentile(),
                    Metric::Free(_) => None,
                };
                let lacks = wanted.is_some_and(|wanted| !is_exported(wanted.quantile().as_f64()));
                let missing = (lacks && !exported.is_empty()).then(|| Missing::new(Reason::NotExported));
                Self { missing, ..Self::default() }
            }
        })
    }

    /// Why a reading is none, if it cannot be trusted.
    pub fn judge<T>(&self, reading: Result<T, Missing>) -> Result<T, Missing> {
        match (self.missing, &reading) {
            // What is read of such series is wrong, and no reading has a reason of its own.
            (Some(missing), Ok(_)) if missing.why == Reason::CounterReset => Err(missing),
            (Some(missing), Err(Missing { why: Reason::NoData, .. })) if missing.why == Reason::NotExported => {
                Err(missing)
            }
            _ => reading,
        }
    }

    /// How exact readings near the bounds are: `150ms is interpolated between 100ms and 250ms`.
    pub fn said(&self, unit: MetricUnit) -> Option<String> {
        let said = |Between { bound, edges: (low, high) }: &Between| {
            let format = |edge: f64| unit.base().format(edge);
            match high {
                Some(high) => format!("{bound} is interpolated between {} and {}", format(*low), format(*high)),
                None => format!("{bound} lies beyond the last bucket: no reading is above {}", format(*low)),
            }
        };
        let said: Vec<String> = self.between.iter().map(said).collect();
        (!said.is_empty()).then(|| said.join(", "))
    }
}

impl Row {
    /// The reading, unless it cannot be trusted.
    pub fn trusted<T>(&self, reading: Result<T, Missing>) -> Result<T, Missing> {
        match &self.notes {
            Some(notes) => notes.judge(reading),
            None => reading,
        }
    }
}

/// The bounds of a threshold that are no edges, each once. Nothing is known where there are no edges, as of a native histogram.
fn between(threshold: &Threshold, edges: &[f64]) -> Box<[Between]> {
    let edges: Vec<f64> =
        edges.iter().filter(|edge| edge.is_finite()).map(|edge| threshold.unit.to_base(*edge)).collect();
    let Some(last) = edges.last().copied() else { return Box::default() };
    let bounds = threshold.levels.iter().flat_map(|level| [level.above, level.below]).flatten();
    let mut found: Vec<Between> = Vec::new();
    for bound in bounds.map(|limit| limit.bound) {
        let at = bound.as_f64();
        let is_edge = edges.iter().any(|edge| (edge - at).abs() <= SAME * at.abs().max(f64::MIN_POSITIVE));
        if is_edge || found.iter().any(|known| known.bound == bound) {
            continue;
        }
        // Below the first edge it is interpolated from zero, as `histogram_quantile` does.
        let low = edges.iter().rev().copied().find(|edge| *edge < at).unwrap_or_default();
        let high = edges.iter().copied().find(|edge| *edge > at);
        let low = if high.is_none() { last } else { low };
        found.push(Between { bound, edges: (low, high) });
    }
    found.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{api::PerformancePolicySpec, core::policy::thresholds};

    fn threshold(bounds: &[&str]) -> Threshold {
        let severities = ["info", "warning", "critical"];
        let levels: Vec<_> =
            bounds.iter().zip(severities).map(|(above, s)| json!({"severity": s, "above": above})).collect();
        let metric = json!({"histogram": "h_milliseconds", "statistic": "p95"});
        let spec = json!({"thresholds": [{"name": "t", "metric": metric, "levels": levels}]});
        let spec: PerformancePolicySpec = serde_json::from_value(spec).unwrap();
        thresholds::parse(&spec).unwrap()[0].clone()
    }

    #[test]
    fn bounds_between_buckets_are_told_with_their_edges() {
        let said = |bounds: &[&str], edges: &[f64]| {
            let threshold = threshold(bounds);
            Notes { between: between(&threshold, edges), missing: None }.said(threshold.unit)
        };
        let edges = [100.0, 250.0, 1000.0, f64::INFINITY];
        assert_eq!(said(&["150ms"], &edges).as_deref(), Some("150ms is interpolated between 100ms and 250ms"));
        assert_eq!(said(&["50ms"], &edges).as_deref(), Some("50ms is interpolated between 0s and 100ms"));
        assert_eq!(
            said(&["2s"], &edges).as_deref(),
            Some("2s lies beyond the last bucket: no reading is above 1s"),
            "histogram_quantile answers the last finite edge"
        );
        assert_eq!(said(&["100ms", "250ms", "1s"], &edges), None);
        assert_eq!(said(&["150ms"], &[]), None, "a native histogram has no edges that a label tells");
        assert_eq!(said(&["150ms"], &[f64::INFINITY]), None);
    }

    #[test]
    fn a_reading_that_cannot_be_trusted_is_none_and_a_gap_keeps_its_reason() {
        let noted = |why| Notes { missing: Some(Missing::new(why)), ..Notes::default() };
        let gap = |why| Err::<f64, _>(Missing::new(why));
        assert_eq!(noted(Reason::CounterReset).judge(Ok(1.0)), gap(Reason::CounterReset));
        assert_eq!(noted(Reason::CounterReset).judge(gap(Reason::StaleData)), gap(Reason::StaleData));
        assert_eq!(noted(Reason::NotExported).judge(gap(Reason::NoData)), gap(Reason::NotExported));
        assert_eq!(noted(Reason::NotExported).judge(Ok(1.0)), Ok(1.0), "it is exported by now");
        assert_eq!(Notes::default().judge(Ok(1.0)), Ok(1.0));
    }
}
