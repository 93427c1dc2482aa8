//! Before and after: means and standard deviations of operations that were run several times by the same method, and of the
//! readings of thresholds over the time before each of two recordings.

use serde::Serialize;

use super::{
    API_VERSION,
    readings::{Operation, Reading, Readings, Run},
    statistics::Summary,
};
use crate::core::{
    table::Table,
    units::{BaseUnit, Excerpt},
};

/// Least number of runs on each side: of one there is no deviation, so nobody could tell a change from chance.
const LEAST_RUNS: usize = 2;

/// A comparison.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    api_version: &'static str,
    kind: &'static str,
    before: String,
    after: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    /// The operation, or the threshold with its target.
    operation: String,
    measure: &'static str,
    unit: &'static str,
    before: Side,
    after: Side,
    /// After as a share of before, less one; nothing where before is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Side {
    runs: usize,
    mean: f64,
    standard_deviation: f64,
}

impl Comparison {
    /// Compares the operations that both have, and the thresholds that both have readings of before of.
    ///
    /// # Errors
    /// Where they cannot be compared: methods or units differ, an operation is in one of them only, or runs are too few.
    pub fn new(before: &Readings, after: &Readings) -> Result<Self, String> {
        if before.method != after.method {
            let named =
                |method: &Option<String>| method.as_deref().map_or("none".to_owned(), |m| Excerpt::new(m).to_string());
            return Err(format!(
                "methods differ, so the numbers say nothing: before {}, after {}",
                named(&before.method),
                named(&after.method)
            ));
        }
        let pairs = |one: &Readings, other: &Readings, which: &str| {
            let alone = one.operations.iter().find(|op| !other.operations.iter().any(|o| o.name == op.name));
            alone.map_or(Ok(()), |op| Err(format!("operation {} is only in {which}", Excerpt::new(&op.name))))
        };
        pairs(before, after, "before")?;
        pairs(after, before, "after")?;
        let mut rows = Vec::new();
        for operation in &before.operations {
            let Some(other) = after.operations.iter().find(|other| other.name == operation.name) else { continue };
            rows.extend(rows_of(operation, other)?);
        }
        for reading in &before.thresholds {
            let Some(other) = after.thresholds.iter().find(|other| whose(other) == whose(reading)) else { continue };
            rows.extend(row_of(reading, other)?);
        }
        if rows.is_empty() {
            return Err(format!(
                "there are no operations to compare, and no threshold with at least {LEAST_RUNS} readings of before in both: \
                 record them from Prometheus with --record"
            ));
        }
        Ok(Self {
            api_version: API_VERSION,
            kind: "Comparison",
            before: before.at.clone(),
            after: after.at.clone(),
            method: before.method.clone(),
            rows,
        })
    }

    /// As a table.
    #[must_use]
    pub fn table(&self) -> Table {
        let columns = ["Operation", "Measure", "Before (mean ± sd)", "n", "After (mean ± sd)", "n", "Change"];
        let mut table = Table::new("COMPARISON", &columns);
        for row in &self.rows {
            let side = |side: &Side| {
                if let Some(unit) = base_unit(row.unit).filter(|_| row.measure == READING) {
                    return format!("{} ± {}", unit.format(side.mean), unit.format(side.standard_deviation));
                }
                let (scale, unit) = scale(row);
                format!("{:.2} ± {:.2} {unit}", positive(side.mean / scale), side.standard_deviation / scale)
            };
            let change = row.change.map_or_else(
                || "n/a".to_owned(),
                |change| match change {
                    change if change <= -0.000_05 => format!("{:.2}% less", -change * 100.0),
                    change if change >= 0.000_05 => format!("{:.2}% more", change * 100.0),
                    _ => "none".to_owned(),
                },
            );
            table.rows.push(vec![
                row.operation.clone(),
                row.measure.to_owned(),
                side(&row.before),
                row.before.runs.to_string(),
                side(&row.after),
                row.after.runs.to_string(),
                change,
            ]);
        }
        table
    }
}

/// What is measured of a threshold.
const READING: &str = "reading";

/// Whose reading it is.
fn whose(reading: &Reading) -> (&str, &str, &str, Option<&str>, Option<&str>) {
    let Reading { namespace, policy, threshold, target, series, .. } = reading;
    (namespace, policy, threshold, target.as_deref(), series.as_deref())
}

fn base_unit(word: &str) -> Option<BaseUnit> {
    use BaseUnit::{Bytes, BytesPerSecond, Count, PerSecond, Ratio, Seconds};
    [Seconds, Bytes, Ratio, PerSecond, BytesPerSecond, Count].into_iter().find(|unit| unit.as_str() == word)
}

/// The readings of one threshold over the time before each recording; nothing where one of them has too few. A recording of one
/// moment says nothing of a change.
fn row_of(before: &Reading, after: &Reading) -> Result<Option<Row>, String> {
    let side = |reading: &Reading| {
        let summary = Summary::of(reading.points.iter().map(|point| point.value))?;
        Some(Side { runs: summary.n, mean: summary.mean, standard_deviation: summary.deviation? })
    };
    let (Some(first), Some(second)) = (side(before), side(after)) else { return Ok(None) };
    let on = before.target.as_ref().map(|target| format!(" on {target}")).unwrap_or_default();
    let operation = format!("{}{on}", before.threshold);
    let unit = |reading: &Reading| reading.unit.as_deref().and_then(base_unit).unwrap_or(BaseUnit::Count).as_str();
    if unit(before) != unit(after) {
        return Err(format!("{operation} is in {} before and in {} after", unit(before), unit(after)));
    }
    let change = (first.mean > 0.0).then(|| second.mean / first.mean - 1.0);
    Ok(Some(Row { operation, measure: READING, unit: unit(before), before: first, after: second, change }))
}

/// No `-0.00`.
fn positive(value: f64) -> f64 {
    if value.abs() < 0.005 { 0.0 } else { value }
}

/// The unit of a row: both sides in one.
fn scale(row: &Row) -> (f64, &'static str) {
    let size = row.before.mean.abs().max(row.after.mean.abs());
    match row.measure {
        "duration" if size < 1.0 => (1e-3, "ms"),
        "duration" => (1.0, "s"),
        _ => (1_048_576.0, "MiB"),
    }
}

fn rows_of(before: &Operation, after: &Operation) -> Result<Vec<Row>, String> {
    let name = Excerpt::new(&before.name);
    let side = |values: Vec<f64>, which: &str, measure: &str| {
        let summary = Summary::of(values.iter().copied());
        let whole = summary.and_then(|summary| Some((summary.n, summary.mean, summary.deviation?)));
        let Some((runs, mean, standard_deviation)) = whole else {
            return Err(format!(
                "operation {name} has {} successful run(s) with a {measure} {which}: at least {LEAST_RUNS} are needed for a \
                 standard deviation",
                values.len()
            ));
        };
        Ok(Side { runs, mean, standard_deviation })
    };
    let succeeded =
        |operation: &Operation| operation.runs.iter().filter(|run| !run.failed).cloned().collect::<Vec<Run>>();
    let (first, second) = (succeeded(before), succeeded(after));
    let row = |measure: &'static str, unit: &'static str, of: &dyn Fn(&Run) -> Option<f64>| {
        let before_side = side(first.iter().filter_map(of).collect(), "before", measure)?;
        let after_side = side(second.iter().filter_map(of).collect(), "after", measure)?;
        // A share of nothing, or of less than nothing, says nothing.
        let change = (before_side.mean > 0.0).then(|| after_side.mean / before_side.mean - 1.0);
        Ok::<_, String>(Row {
            operation: before.name.clone(),
            measure,
            unit,
            before: before_side,
            after: after_side,
            change,
        })
    };
    let mut rows = vec![row("duration", "seconds", &|run| Some(run.seconds))?];
    if first.iter().chain(&second).any(|run| run.memory_delta_bytes.is_some()) {
        rows.push(row("memory delta", "bytes", &|run| run.memory_delta_bytes)?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{facts::Instant, paper::readings::Point};

    fn readings(seconds: &[f64]) -> Readings {
        let runs = seconds.iter().map(|seconds| Run { seconds: *seconds, ..Run::default() }).collect();
        let operations = vec![Operation { name: "load".to_owned(), runs }];
        Readings { operations, method: Some("10 runs".to_owned()), ..Readings::new(Instant::from_millis(0)) }
    }

    /// Of a threshold, over the time before.
    fn measured(values: &[f64]) -> Readings {
        let point = |value: &f64| Point { at: "2026-11-21T10:00:00Z".to_owned(), value: *value };
        let reading = Reading {
            namespace: "shop".to_owned(),
            policy: "api".to_owned(),
            threshold: "api-p95".to_owned(),
            target: Some("Deployment/api".to_owned()),
            unit: Some("seconds".to_owned()),
            points: values.iter().map(point).collect(),
            ..Reading::default()
        };
        Readings { thresholds: vec![reading], ..Readings::new(Instant::from_millis(0)) }
    }

    #[test]
    fn readings_of_before_are_compared_as_runs_are() {
        let table = Comparison::new(&measured(&[0.3, 0.5]), &measured(&[0.1, 0.1, 0.1])).unwrap().table();
        let row = ["api-p95 on Deployment/api", "reading", "400ms ± 141ms", "2", "100ms ± 0s", "3", "75.00% less"];
        assert_eq!(table.rows, [row.map(str::to_owned)]);
    }

    fn refused(before: &Readings, after: &Readings) -> String {
        Comparison::new(before, after).unwrap_err()
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let fine = readings(&[0.1, 0.2]);
        assert!(Comparison::new(&fine, &fine).is_ok());
        assert!(refused(&readings(&[0.1]), &fine).contains("has 1 successful run(s) with a duration before"));
        let other = Readings { method: None, ..fine.clone() };
        assert_eq!(
            refused(&fine, &other),
            "methods differ, so the numbers say nothing: before \"10 runs\", after none"
        );
        let mut renamed = fine.clone();
        renamed.operations[0].name = "reload".to_owned();
        assert_eq!(refused(&fine, &renamed), "operation \"load\" is only in before");
        let empty = Readings { operations: Vec::new(), ..fine.clone() };
        assert_eq!(refused(&fine, &empty), "operation \"load\" is only in before");
        assert!(
            refused(&empty, &empty).starts_with("there are no operations to compare, and no threshold with at least 2")
        );
        let mut seconds = measured(&[0.1, 0.2]);
        seconds.thresholds[0].unit = Some("bytes".to_owned());
        assert_eq!(
            refused(&measured(&[0.1, 0.2]), &seconds),
            "api-p95 on Deployment/api is in seconds before and in bytes after"
        );
        // One moment on one side is no past.
        assert!(refused(&measured(&[0.1, 0.2]), &measured(&[0.1])).starts_with("there are no operations"));
        let mut failed = fine.clone();
        failed.operations[0].runs[0].failed = true;
        assert!(refused(&fine, &failed).contains("1 successful run(s)"));
    }

    #[test]
    fn both_sides_have_one_unit_and_two_decimals() {
        let table = Comparison::new(&readings(&[1.0, 2.0]), &readings(&[0.1, 0.3])).unwrap().table();
        assert_eq!(
            table.rows,
            [["load", "duration", "1.50 ± 0.71 s", "2", "0.20 ± 0.14 s", "2", "86.67% less"].map(str::to_owned)]
        );
        let same = Comparison::new(&readings(&[0.1, 0.1]), &readings(&[0.1, 0.1])).unwrap().table();
        assert_eq!(same.rows[0][6], "none");
    }
}
