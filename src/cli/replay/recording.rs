//! Recordings: what a Prometheus answered, in files.
//!
//! `NUMBER.json` is the answer of `/api/v1/query_range` as the API gives it (`status`, `data.resultType`, `data.result`), with
//! these members beside it:
//!
//! | member | is |
//! |---|---|
//! | `query` | the `PromQL` that it answers |
//! | `source` | name of the `MetricsSource`; without: of any |
//! | `start`, `end`, `step` | of the range, in seconds; without: from the first to the last point, and each point stands for five minutes, as Prometheus has it |
//! | `refusal` | in place of `data`, why the query was refused: `reason`, `message` |
//!
//! `NAME.csv` answers the query `NAME`: lines of a time (RFC 3339, `2014-04-01 00:00:00` in UTC, or seconds) and a value.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    api::conditions::Reason,
    core::{
        engine::{Refusal, Series},
        facts::{Instant, Span},
        replay::{Course, History, history::millis},
    },
    shell::prometheus::matrix,
};

/// How old a point may be that stands for a moment, where nothing else is said: that of Prometheus.
const LOOKBACK: Span = Span::minutes(5);

/// What stands beside an answer.
#[derive(Debug, Serialize, Deserialize)]
struct Beside {
    query: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Box<str>>,
    #[serde(default)]
    start: Option<f64>,
    #[serde(default)]
    end: Option<f64>,
    #[serde(default)]
    step: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<Refused>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Refused {
    reason: String,
    message: String,
}

/// Reads a file, or those of a directory.
pub fn read(path: &Path) -> anyhow::Result<History> {
    let context = || format!("reading the recording \"{}\"", path.display());
    let mut files = Vec::new();
    if fs::metadata(path).with_context(context)?.is_dir() {
        for entry in fs::read_dir(path).with_context(context)? {
            let file = entry.with_context(context)?.path();
            if matches!(file.extension().and_then(|end| end.to_str()), Some("json" | "csv")) {
                files.push(file);
            }
        }
        if files.is_empty() {
            bail!("the directory \"{}\" has no recording: no file ends with .json or .csv", path.display());
        }
    } else {
        files.push(path.to_owned());
    }
    files.sort();
    let mut courses = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("reading \"{}\"", file.display()))?;
        let course = match file.extension().and_then(|end| end.to_str()) {
            Some("csv") => table(&file, &text),
            _ => answer(&text),
        };
        courses.push(course.with_context(|| format!("reading the recording \"{}\"", file.display()))?);
    }
    Ok(History::recorded(courses))
}

fn answer(text: &str) -> anyhow::Result<Course> {
    let beside: Beside = serde_json::from_str(text).context(
        "it is no recording: it must be an answer of /api/v1/query_range with the member \"query\", as replay --record writes it",
    )?;
    let refused = beside.refusal.map(|refused| {
        let reason = Reason::from_word(&refused.reason).unwrap_or(Reason::QueryFailed);
        Refusal { reason, message: refused.message }
    });
    let answer = match refused {
        Some(refusal) => Err(refusal),
        None => Ok(matrix(text.as_bytes()).map_err(|refusal| {
            anyhow::anyhow!("the answer beside the query is no matrix of a Prometheus: {}", refusal.message)
        })?),
    };
    let points = || answer.iter().flatten().flat_map(|series| &series.points).map(|(time, _)| *time);
    let start = beside.start.or_else(|| points().reduce(f64::min)).unwrap_or_default();
    let end = beside.end.or_else(|| points().reduce(f64::max)).unwrap_or(start);
    let step = beside.step.map(|step| Span::millis(millis(step).max(1)));
    Ok(Course {
        source: beside.source,
        expr: beside.query,
        start: Instant::from_millis(millis(start)),
        end: Instant::from_millis(millis(end)),
        step: step.unwrap_or(Span::millis(1)),
        // Between two evaluations the earlier one stands.
        reach: step.map_or(LOOKBACK, |step| Span::millis(step.as_millis() - 1)),
        answer,
    })
}

/// A table of one series.
fn table(file: &Path, text: &str) -> anyhow::Result<Course> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let Some((time, value)) = line.split_once(',') else {
            if line.is_empty() {
                continue;
            }
            bail!("line {}: it must be \"time,value\"", number + 1);
        };
        match (moment(time.trim()), value.trim().parse::<f64>()) {
            (Some(at), Ok(value)) => points.push((at.seconds(), value)),
            // Headings.
            _ if number == 0 => {}
            (None, _) => bail!("line {}: {time:?} is no time", number + 1),
            (_, Err(_)) => bail!("line {}: {value:?} is no number", number + 1),
        }
    }
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (Some((start, _)), Some((end, _))) = (points.first(), points.last()) else {
        bail!("it has no line of numbers")
    };
    let at = |seconds: &f64| Instant::from_millis(millis(*seconds));
    Ok(Course {
        source: None,
        expr: file.file_stem().unwrap_or_default().to_string_lossy().into(),
        start: at(start),
        end: at(end),
        step: Span::millis(1),
        reach: LOOKBACK,
        answer: Ok(vec![Series { labels: [].into(), points }]),
    })
}

fn moment(text: &str) -> Option<Instant> {
    let civil = || {
        let zoned = text.parse::<DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Instant::from_millis(zoned.timestamp().as_millisecond()))
    };
    let seconds = || text.parse::<f64>().ok().filter(|seconds| seconds.is_finite());
    Instant::parse(text).or_else(civil).or_else(|| Some(Instant::from_millis(millis(seconds()?))))
}

/// Writes what was answered into a directory, which must hold no recording yet.
pub fn write(folder: &Path, history: &History) -> anyhow::Result<()> {
    let context = || format!("writing the recording \"{}\"", folder.display());
    fs::create_dir_all(folder).with_context(context)?;
    for (number, course) in history.courses().enumerate() {
        let file = folder.join(format!("{:04}.json", number + 1));
        let beside = Beside {
            query: course.expr.clone(),
            source: course.source.clone(),
            start: Some(course.start.seconds()),
            end: Some(course.end.seconds()),
            step: Some((Instant::default() + course.step).seconds()),
            refusal: course
                .answer
                .as_ref()
                .err()
                .map(|refusal| Refused { reason: refusal.reason.to_string(), message: refusal.message.clone() }),
        };
        let mut document = serde_json::to_value(beside).with_context(context)?;
        if let Ok(all) = &course.answer {
            document["status"] = "success".into();
            document["data"] = json!({"resultType": "matrix", "result": all.iter().map(wire).collect::<Vec<_>>()});
        }
        // What is there is somebody's recording.
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create_new(true).open(&file);
        let mut opened = opened.with_context(|| format!("writing \"{}\": name a new directory", file.display()))?;
        std::io::Write::write_all(&mut opened, format!("{document}\n").as_bytes()).with_context(context)?;
    }
    Ok(())
}

fn wire(series: &Series) -> Value {
    let points: Vec<Value> = series.points.iter().map(|(time, value)| json!([time, number(*value)])).collect();
    json!({"metric": series.labels, "values": points})
}

/// A number as Prometheus spells it.
fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}
