//! What a Prometheus answers.
//!
//! `decode` goes through the body once and builds nothing but the series, each with the labels that are read of it.

mod decode;

use std::sync::Arc;

use serde::de::DeserializeSeed as _;

use self::decode::{Reader, Reply, ReplySeed, Status};
use crate::{
    api::conditions::Reason,
    core::engine::{Answer, Refusal},
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

/// Most series that an answer may have. More is a question that nobody meant to ask.
const MAX_SERIES: usize = 50_000;

/// What is asked for, and what is kept of the answer.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its shape.
    pub shape: Shape,
    /// Labels that are kept; `None`: all of them.
    pub labels: Option<&'a Arc<[Box<str>]>>,
}

/// The series in an answer.
///
/// # Errors
/// When the answer is none of the asked shape; the reason tells why.
pub fn read(code: u16, body: &[u8], wanted: Wanted<'_>) -> Answer {
    let mut reader = Reader::new(wanted);
    let mut json = serde_json::Deserializer::from_slice(body);
    let reply = ReplySeed(&mut reader).deserialize(&mut json).and_then(|reply| json.end().map(|()| reply));
    match reply {
        Ok(Reply { status: Some(Status::Success), has_data: true, partial, .. }) if code == 200 => {
            if partial {
                return Err(refusal(Reason::PartialResult, "the backend answered with warnings"));
            }
            reader.finish()
        }
        Ok(Reply { status: Some(Status::Error), error_type, error, .. }) => {
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

fn refusal(reason: Reason, message: &str) -> Refusal {
    Refusal { reason, message: message.to_owned() }
}
