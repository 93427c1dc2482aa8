//! Silences of Alertmanagers (v2 API). Each request is sent once: the engine looks again before it asks for more.

use std::{collections::HashMap, time::Duration};

use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::warn;

use super::http_client;
use crate::core::{
    engine::{
        Failure, Outcome, Silence, SilenceAsk,
        effect::{Matcher, NewSilence},
    },
    facts::Instant,
};

/// Time that an Alertmanager has to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer. A silence has less than 2 KiB, and what is asked for are those of one workload in some days.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// The Alertmanagers of one source, by base URL.
#[derive(Debug)]
pub struct Silencers(HashMap<Box<str>, Silencer>);

#[derive(Debug)]
struct Silencer {
    client: Client,
    api: Url,
}

impl Silencers {
    /// Clients of the Alertmanagers at `urls`.
    #[must_use]
    pub fn new(urls: &[String]) -> Self {
        let mut silencers = HashMap::new();
        for url in urls {
            match Silencer::new(url) {
                Ok(silencer) => drop(silencers.insert(url.as_str().into(), silencer)),
                // Whoever delivers alerts says so, too, and names the source.
                Err(error) => warn!(error = format!("{error:#}"), "cannot use an Alertmanager for silences"),
            }
        }
        Self(silencers)
    }

    /// Asks one of them.
    pub async fn ask(&self, alertmanager: &str, ask: &SilenceAsk) -> Outcome {
        let Some(silencer) = self.0.get(alertmanager) else {
            let why = "the source does not name this Alertmanager any more, or cannot use it";
            return Outcome::Failed(Failure::Rejected(why.to_owned()));
        };
        silencer.ask(ask).await.unwrap_or_else(Outcome::Failed)
    }
}

impl Silencer {
    fn new(url: &str) -> anyhow::Result<Self> {
        let api = format!("{}/api/v2/", url.trim_end_matches('/')).parse()?;
        Ok(Self { client: http_client().timeout(TIMEOUT).build()?, api })
    }

    async fn ask(&self, ask: &SilenceAsk) -> Result<Outcome, Failure> {
        match ask {
            SilenceAsk::Look(matchers) => {
                let mut url = self.url("silences")?;
                url.query_pairs_mut().extend_pairs(matchers.iter().map(|matcher| ("filter", filter(matcher))));
                let Some(response) = self.send(Method::GET, url, None).await? else { return Ok(Outcome::NotFound) };
                let shown: Vec<Shown> = serde_json::from_slice(&read(response).await?).map_err(|_| foreign())?;
                let silences = shown.into_iter().map(Shown::silence).collect::<Option<Vec<Silence>>>();
                Ok(Outcome::Silences(silences.ok_or_else(foreign)?))
            }
            SilenceAsk::Set { id, silence } => {
                let body = body(id.as_deref(), silence);
                let response = self.send(Method::POST, self.url("silences")?, Some(&body)).await?;
                Ok(response.map_or(Outcome::NotFound, |_| Outcome::Accepted))
            }
            SilenceAsk::Expire(id) => {
                let mut url = self.url("silence/")?;
                url.path_segments_mut().map_err(|()| foreign())?.pop_if_empty().push(id);
                let response = self.send(Method::DELETE, url, None).await?;
                Ok(response.map_or(Outcome::NotFound, |_| Outcome::Accepted))
            }
        }
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        self.api.join(path).map_err(|error| Failure::Rejected(format!("the URL of an Alertmanager: {error}")))
    }

    /// Sends a request; `None`: there is no such silence.
    async fn send(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Option<Response>, Failure> {
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| {
            let why = if error.is_timeout() { "no answer in time" } else { "cannot connect" };
            Failure::Unknown(format!("an Alertmanager: {why}"))
        })?;
        let status = response.status();
        let message = || format!("an Alertmanager answers HTTP {}", status.as_u16());
        match status {
            status if status.is_success() => Ok(Some(response)),
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::TOO_MANY_REQUESTS => Err(Failure::Throttled(message())),
            status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                Err(Failure::Unknown(message()))
            }
            _ => Err(Failure::Rejected(message())),
        }
    }
}

fn foreign() -> Failure {
    Failure::Rejected("what answers is not an Alertmanager".to_owned())
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_ANSWER => {
                return Err(Failure::Rejected("an Alertmanager: its list of silences is larger than 4 MiB".to_owned()));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(_) => return Err(Failure::Unknown("an Alertmanager: the answer is truncated".to_owned())),
        }
    }
}

/// A matcher as text, for a filter: `policy="web"`.
fn filter(matcher: &Matcher) -> String {
    let operator = match (matcher.is_equal, matcher.is_regex) {
        (true, false) => "=",
        (true, true) => "=~",
        (false, false) => "!=",
        (false, true) => "!~",
    };
    // Go and JSON quote such text alike: names of objects hold nothing else.
    format!("{}{operator}{}", matcher.name, Value::from(&*matcher.value))
}

fn body(id: Option<&str>, silence: &NewSilence) -> Value {
    let matchers: Vec<Value> = silence
        .matchers
        .iter()
        .map(|m| json!({"name": m.name, "value": m.value, "isRegex": m.is_regex, "isEqual": m.is_equal}))
        .collect();
    let mut body = json!({
        "matchers": matchers,
        "startsAt": silence.starts_at.to_string(),
        "endsAt": silence.ends_at.to_string(),
        "createdBy": silence.created_by,
        "comment": silence.comment,
    });
    if let Some(id) = id {
        body["id"] = id.into();
    }
    body
}

/// A silence as the API shows it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: String,
    status: Status,
    starts_at: String,
    ends_at: String,
    created_by: String,
    comment: String,
    matchers: Vec<ShownMatcher>,
}

#[derive(Deserialize)]
struct Status {
    state: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShownMatcher {
    name: String,
    value: String,
    is_regex: bool,
    /// Alertmanagers before 0.22 have no negative matchers.
    #[serde(default = "yes")]
    is_equal: bool,
}

const fn yes() -> bool {
    true
}

impl Shown {
    fn silence(self) -> Option<Silence> {
        let matchers = self.matchers.into_iter().map(|shown| Matcher {
            name: shown.name,
            value: shown.value,
            is_regex: shown.is_regex,
            is_equal: shown.is_equal,
        });
        Some(Silence {
            id: self.id,
            matchers: matchers.collect(),
            starts_at: Instant::parse(&self.starts_at)?,
            ends_at: Instant::parse(&self.ends_at)?,
            expired: self.status.state == "expired",
            created_by: self.created_by,
            comment: self.comment,
        })
    }
}

#[cfg(test)]
mod tests;
