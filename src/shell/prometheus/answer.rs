//! What a Prometheus answers.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    api::conditions::Reason,
    core::engine::{Answer, Refusal, Series},
};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One point per series.
    Vector,
    /// Points over time.
    Matrix,
}

impl Shape {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        }
    }
}

/// Error classes that Prometheus and its relatives know. Only these are repeated: the field is the other side's text.
const CLASSES: [&str; 9] =
    ["timeout", "canceled", "execution", "bad_data", "internal", "unavailable", "not_found", "not_acceptable", "422"];

/// Words by which backends say that a query is too much for them, in lower case.
const TOO_MUCH: [&str; 7] = ["too many", "timed out", "timeout", "exceed", "limit", "too large", "deadline"];

/// A message for everything that is no answer at all.
const FOREIGN: &str = "HTTP 200: the answer is not what a Prometheus says";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    status: Status,
    #[serde(borrow, default)]
    data: Option<Data<'a>>,
    #[serde(default)]
    error_type: Option<String>,
    #[serde(default)]
    error: Option<String>,
    /// Parts of the answer may be missing. (Unlike `infos`, which are hints about the query.)
    #[serde(default)]
    warnings: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Status {
    Success,
    Error,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    result_type: String,
    /// Read when its type is known, without a tree in between.
    #[serde(borrow)]
    result: &'a RawValue,
}

#[derive(Deserialize)]
struct WireSeries {
    #[serde(default)]
    metric: BTreeMap<Box<str>, Box<str>>,
    #[serde(default)]
    value: Option<Point>,
    #[serde(default)]
    values: Option<Vec<Point>>,
    #[serde(default)]
    histogram: Option<IgnoredAny>,
    #[serde(default)]
    histograms: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Point(f64, Number);

/// A sample value: a string, because JSON has no NaN.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number in a string")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(|_| E::custom("not a number"))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The series in an answer.
///
/// # Errors
/// When the answer is none of the asked shape; the reason tells why.
pub fn read(code: u16, body: &[u8], shape: Shape) -> Answer {
    match serde_json::from_slice::<Reply<'_>>(body) {
        Ok(Reply { status: Status::Success, data: Some(data), warnings, .. }) if code == 200 => {
            if warnings.is_some_and(|warnings| !warnings.is_empty()) {
                return Err(refusal(Reason::PartialResult, "the backend answered with warnings"));
            }
            series(&data, shape)
        }
        Ok(Reply { status: Status::Error, error_type, error, .. }) => {
            let class = error_type.as_deref().filter(|class| CLASSES.contains(class));
            let message = class.map_or_else(|| format!("HTTP {code}"), |class| format!("HTTP {code}: {class}"));
            Err(Refusal { reason: reason(code, class, &error.unwrap_or_default().to_lowercase()), message })
        }
        Ok(_) | Err(_) if code == 200 => Err(refusal(Reason::BadResponse, FOREIGN)),
        Ok(_) | Err(_) => Err(Refusal { reason: reason(code, None, ""), message: format!("HTTP {code}") }),
    }
}

/// The reason for an error. `text` is the backend's own, in lower case; it is looked at and never shown.
fn reason(code: u16, class: Option<&str>, text: &str) -> Reason {
    let too_much = || TOO_MUCH.iter().any(|words| text.contains(words));
    match (code, class) {
        (401 | 403, _) => Reason::BackendUnauthorized,
        (429, _) => Reason::BackendThrottled,
        (_, Some("bad_data")) => Reason::QueryInvalid,
        // The server gave up at the `timeout` that we sent along; or the query is longer than it reads.
        (_, Some("timeout")) | (413, _) => Reason::QueryTooExpensive,
        (422, _) if too_much() => Reason::QueryTooExpensive,
        // VictoriaMetrics also answers what it cannot parse with this code.
        (422, _) if text.contains("parse") => Reason::QueryInvalid,
        (422, _) | (_, Some("execution")) => Reason::QueryFailed,
        (500..=599 | 408 | 499, _) | (_, Some("unavailable" | "internal" | "canceled")) => Reason::BackendUnavailable,
        _ => Reason::BadResponse,
    }
}

fn series(data: &Data<'_>, shape: Shape) -> Answer {
    if data.result_type != shape.as_str() {
        return Err(refusal(Reason::WrongType, &format!("the answer is not a {}", shape.as_str())));
    }
    let wire: Vec<WireSeries> =
        serde_json::from_str(data.result.get()).map_err(|_| refusal(Reason::BadResponse, FOREIGN))?;
    wire.into_iter()
        .map(|WireSeries { metric, value, values, histogram, histograms }| {
            if histogram.is_some() || histograms.is_some() {
                return Err(refusal(Reason::WrongType, "the answer holds native histograms"));
            }
            let points = match shape {
                Shape::Vector => value.map(|point| vec![point]),
                Shape::Matrix => values,
            };
            let points = points.ok_or_else(|| refusal(Reason::BadResponse, FOREIGN))?;
            let points = points.into_iter().map(|Point(time, Number(value))| (time, value)).collect();
            Ok(Series { labels: metric, points })
        })
        .collect()
}

fn refusal(reason: Reason, message: &str) -> Refusal {
    Refusal { reason, message: message.to_owned() }
}
