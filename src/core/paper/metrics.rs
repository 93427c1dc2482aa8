//! The summary of readings for other programs: system metrics, operations, alerts, trends, recommendations.

use serde::Serialize;

use super::{
    API_VERSION, Subject,
    document::OperationSummary,
    readings::{Reading, Readings, judge},
    statistics::course as course_of,
};
use crate::core::{facts::Instant, policy::Threshold, statistics::MIN_TREND_POINTS};

/// The export.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsExport {
    api_version: &'static str,
    kind: &'static str,
    at: String,
    summary: Summary,
    system: Vec<Metric>,
    operations: Vec<OperationSummary>,
    alerts: Vec<Alert>,
    trends: Vec<Course>,
    recommendations: Vec<Recommendation>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    metrics: usize,
    within: usize,
    breached: usize,
    no_data: usize,
    operations: usize,
    failed_runs: usize,
}

/// Whose metric it is.
#[derive(Clone, Debug, Serialize)]
struct Of {
    policy: String,
    metric: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<String>,
}

#[derive(Debug, Serialize)]
struct Metric {
    #[serde(flatten)]
    of: Of,
    value: Option<f64>,
    unit: &'static str,
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct Alert {
    #[serde(flatten)]
    of: Of,
    severity: &'static str,
    side: &'static str,
    bound: String,
    reading: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Course {
    #[serde(flatten)]
    of: Of,
    points: usize,
    /// `Rising`, `Falling`, `Steady` or `TooFewPoints`.
    direction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_hour: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Recommendation {
    #[serde(flatten)]
    of: Of,
    because: String,
    text: String,
}

impl MetricsExport {
    /// The summary of `readings` of these policies.
    #[must_use]
    pub fn new(subjects: &[Subject<'_>], readings: &Readings) -> Self {
        let mut export = Self {
            api_version: API_VERSION,
            kind: "MetricsExport",
            at: readings.at.clone(),
            summary: Summary::default(),
            system: Vec::new(),
            operations: readings.operations.iter().map(OperationSummary::of).collect(),
            alerts: Vec::new(),
            trends: Vec::new(),
            recommendations: Vec::new(),
        };
        for (subject, policy) in subjects.iter().filter_map(|subject| Some((subject, subject.policy?))) {
            let key = &policy.identity.key;
            let in_force = subject.in_force(policy, Some(readings));
            for (position, threshold) in policy.thresholds.iter().enumerate() {
                for reading in readings.of(key, &threshold.name) {
                    let threshold = in_force.threshold(position, reading).unwrap_or(threshold);
                    export.take(&format!("{}/{}", key.0, key.1), threshold, reading);
                }
            }
        }
        let runs = readings.operations.iter().flat_map(|operation| &operation.runs);
        export.summary = Summary {
            metrics: export.system.len(),
            operations: export.operations.len(),
            failed_runs: runs.filter(|run| run.failed).count(),
            ..export.summary
        };
        export
    }

    fn take(&mut self, policy: &str, threshold: &Threshold, reading: &Reading) {
        let of = Of {
            policy: policy.to_owned(),
            metric: threshold.name.to_string(),
            object: reading.target.clone(),
            series: reading.series.clone(),
        };
        let unit = threshold.unit.base();
        let judged = judge(threshold, reading);
        match judged.state {
            "Within" => self.summary.within += 1,
            "Breached" => self.summary.breached += 1,
            _ => self.summary.no_data += 1,
        }
        self.system.push(Metric { of: of.clone(), value: reading.value, unit: unit.as_str(), state: judged.state });
        let course = course(of.clone(), reading);
        let text = reading.value.map(|value| unit.format(value)).unwrap_or_default();
        if let Some((severity, side, limit)) = judged.crossed {
            let bound = limit.bound.to_string();
            let because = format!("{text} is {side} {bound}");
            self.alerts.push(Alert { of: of.clone(), severity, side, bound, reading: text });
            if let Some(advice) = &threshold.advice {
                self.recommendations.push(Recommendation { of, because, text: advice.to_string() });
            }
        } else if let Some(hours) =
            course.per_hour.and_then(|slope| hours_left(threshold, reading, slope, course.direction))
        {
            // An anomaly that no bound shows yet.
            let because =
                format!("{} at {text}: its bound is reached in {hours:.1} h if that goes on", course.direction);
            let text = threshold.advice.as_deref().unwrap_or("look at it before the bound is crossed").to_owned();
            self.recommendations.push(Recommendation { of, because, text });
        }
        self.trends.extend((course.points > 0).then_some(course));
    }
}

fn course(of: Of, reading: &Reading) -> Course {
    let points: Vec<(f64, f64)> =
        reading.points.iter().filter_map(|point| Some((Instant::parse(&point.at)?.seconds(), point.value))).collect();
    let found = course_of(&points);
    let none = if points.len() < MIN_TREND_POINTS { "TooFewPoints" } else { "Steady" };
    Course {
        of,
        points: points.len(),
        direction: found.map_or(none, |course| course.direction),
        per_hour: found.map(|course| course.per_hour),
    }
}

/// How far ahead a trend is told of.
const AHEAD_HOURS: f64 = 24.0;

/// In how many hours a trend crosses the mildest bound, if within a day.
fn hours_left(threshold: &Threshold, reading: &Reading, per_hour: f64, direction: &str) -> Option<f64> {
    let level = threshold.levels.last()?;
    let limit = match direction {
        "Rising" => level.above,
        "Falling" => level.below,
        _ => None,
    }?;
    let hours = (limit.bound.as_f64() - reading.value?) / per_hour;
    (0.0..=AHEAD_HOURS).contains(&hours).then_some(hours)
}
