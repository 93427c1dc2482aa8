//! Alerts on their way to Alertmanagers (v2 API).
//!
//! Nobody waits for an Alertmanager. Each has a queue of its own that drops its oldest batch when it is full: the engine
//! sends every alert again and again until it is resolved, so the newest batches matter most.

mod silences;

use std::{sync::Arc, time::Duration};

use reqwest::{Client, StatusCode, Url};
use serde_json::{Value, json};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::sleep,
};
use tracing::{debug, warn};

pub use self::silences::Silencers;
use super::{clock, prometheus::http_client, telemetry::Metrics};
use crate::core::{engine::effect::Alert, facts::Instant};

/// Batches that wait for an Alertmanager.
const QUEUE: usize = 64;
/// Time that an Alertmanager has to take a batch.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Time before a failed batch is sent again: at first, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// Queues of all Alertmanagers of one source. They are emptied and end when this is dropped.
#[derive(Debug)]
pub struct Outbox {
    batches: broadcast::Sender<Arc<Batch>>,
}

#[derive(Debug)]
struct Batch {
    alerts: usize,
    body: Value,
    /// When the last of the alerts ends by itself, and sending it has no use.
    useful_until: Instant,
}

impl Outbox {
    /// Queues for the Alertmanagers of `source` at `urls`.
    #[must_use]
    pub fn new(source: &str, urls: &[String], metrics: &Arc<Metrics>) -> Self {
        let (batches, _) = broadcast::channel(QUEUE);
        for url in urls {
            match Postman::new(source, url, metrics.clone()) {
                Ok(postman) => drop(tokio::spawn(postman.deliver(batches.subscribe()))),
                Err(error) => warn!(source, error = format!("{error:#}"), "cannot use an Alertmanager"),
            }
        }
        Self { batches }
    }

    /// Queues alerts.
    pub fn put(&self, alerts: &[Alert]) {
        let Some(useful_until) = alerts.iter().map(|alert| alert.ends_at.max(alert.starts_at)).max() else { return };
        let batch = Batch { alerts: alerts.len(), body: body(alerts), useful_until };
        // Without an Alertmanager there is nobody to receive it, and that is the source's own choice.
        let _without_receivers = self.batches.send(Arc::new(batch));
    }
}

/// The alerts as the API takes them.
fn body(alerts: &[Alert]) -> Value {
    alerts
        .iter()
        .map(|alert| {
            json!({
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": alert.starts_at.to_string(),
                "endsAt": alert.ends_at.to_string(),
            })
        })
        .collect()
}

/// Delivers to one Alertmanager.
struct Postman {
    client: Client,
    url: Url,
    /// What it is called in logs: a URL may hold what nobody should read.
    source: Box<str>,
    metrics: Arc<Metrics>,
}

/// How a delivery ended.
enum Delivery {
    Taken,
    /// Another attempt may succeed.
    Failed(String),
    /// No attempt will.
    Refused(String),
}

impl Postman {
    fn new(source: &str, url: &str, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let url = format!("{}/api/v2/alerts", url.trim_end_matches('/')).parse()?;
        let client = http_client().timeout(TIMEOUT).build()?;
        Ok(Self { client, url, source: source.into(), metrics })
    }

    async fn deliver(self, mut batches: broadcast::Receiver<Arc<Batch>>) {
        loop {
            match batches.recv().await {
                Ok(batch) => self.insist(&batch).await,
                Err(RecvError::Lagged(batches)) => {
                    warn!(
                        source = self.source,
                        batches, "an Alertmanager cannot keep up; the oldest alerts were dropped"
                    );
                    self.metrics.alert_batches.with_label_values(&["overflow"]).inc_by(batches);
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Sends a batch until it is taken, refused or of no more use.
    async fn insist(&self, batch: &Batch) {
        let (mut pause, longest) = BACKOFF;
        let mut complained = false;
        let outcome = loop {
            match self.send(&batch.body).await {
                Delivery::Taken => break "taken",
                Delivery::Refused(why) => {
                    warn!(source = self.source, why, "an Alertmanager refuses alerts");
                    break "refused";
                }
                Delivery::Failed(_) if clock::now() >= batch.useful_until => break "outdated",
                Delivery::Failed(why) => {
                    // Once per batch: a dead Alertmanager is tried several times a minute.
                    if !complained {
                        warn!(source = self.source, why, "an Alertmanager does not take alerts; trying again");
                        complained = true;
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
            }
        };
        debug!(source = self.source, alerts = batch.alerts, outcome, "delivered alerts");
        self.metrics.alert_batches.with_label_values(&[outcome]).inc();
    }

    async fn send(&self, body: &Value) -> Delivery {
        match self.client.post(self.url.clone()).json(body).send().await {
            Ok(response) if response.status().is_success() => Delivery::Taken,
            Ok(response) => {
                let status = response.status();
                let why = format!("HTTP {}", status.as_u16());
                let later = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
                if status.is_server_error() || later { Delivery::Failed(why) } else { Delivery::Refused(why) }
            }
            Err(error) if error.is_timeout() => Delivery::Failed("no answer in time".to_owned()),
            Err(_) => Delivery::Failed("cannot connect".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
