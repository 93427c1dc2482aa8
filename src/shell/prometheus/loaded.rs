//! What a Prometheus answers that is asked for its rules.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use crate::{
    api::conditions::Reason,
    core::engine::{Answer, RULE_ERROR, Refusal, Series},
};

/// Longest text of an error that is kept.
const MAX_ERROR: usize = 512;

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    groups: Vec<Group<'a>>,
}

#[derive(Deserialize)]
struct Group<'a> {
    #[serde(borrow, default)]
    rules: Vec<Rule<'a>>,
}

/// What is not named here, such as the query, is skipped and not kept.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule<'a> {
    #[serde(default)]
    labels: BTreeMap<Box<str>, Box<str>>,
    #[serde(borrow, default)]
    health: Cow<'a, str>,
    #[serde(borrow, default)]
    last_error: Option<Cow<'a, str>>,
}

/// Reads an answer.
///
/// # Errors
/// When it is none.
pub(super) fn read(status: u16, body: &[u8]) -> Answer {
    let refuse = |reason, message: &str| Err(Refusal { reason, message: format!("HTTP {status}: {message}") });
    match status {
        200 => {}
        401 | 403 => return refuse(Reason::BackendUnauthorized, "the backend refuses our credential"),
        429 => return refuse(Reason::BackendThrottled, "the backend asks to slow down"),
        404 | 405 | 501 => return refuse(Reason::QueryFailed, "there is no rules API"),
        _ => return refuse(Reason::BackendUnavailable, "no answer"),
    }
    let Ok(reply) = serde_json::from_slice::<Reply<'_>>(body) else {
        return refuse(Reason::BadResponse, "the answer is not what a Prometheus says of its rules");
    };
    let rules = reply.data.groups.into_iter().flat_map(|group| group.rules);
    Ok(rules.map(series).collect())
}

fn series(rule: Rule<'_>) -> Series {
    let mut labels = rule.labels;
    labels.remove(RULE_ERROR);
    if rule.health == "err" {
        // The text of somebody else, in a condition: one line of it.
        let error = rule.last_error.as_deref().unwrap_or("no reason given");
        let line: String = error.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_ERROR).collect();
        labels.insert(RULE_ERROR.into(), line.into());
    }
    Series { labels: labels.into_iter().collect(), points: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_with_their_labels_and_errors() {
        let body = br#"{"status":"success","data":{"groups":[{"name":"g","file":"f","interval":30,"rules":[
            {"name":"trimtab:policy_rules","query":"vector(1)","labels":{"namespace":"shop","policy":"api","revision":"12"},
             "health":"ok","evaluationTime":0.1,"lastEvaluation":"2026-01-01T00:00:00Z","type":"recording"},
            {"name":"TrimtabNoData","query":"x","labels":{"namespace":"shop","policy":"api"},"health":"err","lastError":"many-to-many\nmatching",
             "type":"alerting","alerts":[]}]}]}}"#;
        let told = read(200, body).unwrap();
        assert_eq!(told[0].labels.get("revision"), Some("12"));
        assert_eq!(told[0].labels.get(RULE_ERROR), None);
        assert_eq!(told[1].labels.get(RULE_ERROR), Some("many-to-many matching"));
    }

    #[test]
    fn what_is_no_answer_has_a_reason() {
        for (status, body, reason) in [
            (404, "404 page not found", Reason::QueryFailed),
            (503, "", Reason::BackendUnavailable),
            (401, "", Reason::BackendUnauthorized),
            (200, "<html>", Reason::BadResponse),
        ] {
            assert_eq!(read(status, body.as_bytes()).unwrap_err().reason, reason, "{status} {body}");
        }
        assert_eq!(read(200, br#"{"status":"success","data":{"groups":[]}}"#), Ok(Vec::new()));
    }
}
