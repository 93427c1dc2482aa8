use prometheus::Registry;

use super::*;
use crate::{
    core::facts::Span,
    shell::{
        testing::{RawServer, Reply, eventually},
        tls,
    },
};

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::register(&Registry::new()).unwrap())
}

fn alert(name: &str, ends_in: Span) -> Alert {
    let now = clock::now();
    Alert {
        labels: [("alertname".to_owned(), name.to_owned())].into(),
        annotations: [("summary".to_owned(), "slow".to_owned())].into(),
        starts_at: Instant::from_millis(1_763_700_000_000),
        ends_at: now + ends_in,
    }
}

#[tokio::test]
async fn every_alertmanager_is_told() {
    tls::install_provider();
    let (a, b) = (RawServer::start([Reply::json(200, "")]).await, RawServer::start([Reply::json(200, "")]).await);
    let metrics = metrics();
    let outbox = Outbox::new("default", &[format!("{}/", a.url), b.url.clone()], &metrics);
    outbox.put(&[alert("TrimtabThresholdBreached", Span::minutes(4))]);
    let taken = metrics.alert_batches.with_label_values(&["taken"]);
    eventually("both took it", || taken.get() == 2).await;
    let request = a.requests().remove(0);
    assert!(request.starts_with("POST /api/v2/alerts HTTP/1.1\r\n"), "{request}");
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body[0]["labels"]["alertname"], "TrimtabThresholdBreached");
    assert_eq!(body[0]["startsAt"], "2025-11-21T04:40:00Z");
    assert_eq!(body[0].get("generatorURL"), None);
    assert_eq!(b.requests().len(), 1);
}

#[tokio::test]
async fn a_failed_batch_is_sent_again_and_a_refused_one_is_not() {
    tls::install_provider();
    let server =
        RawServer::start([Reply::Close, Reply::json(503, ""), Reply::json(200, ""), Reply::json(400, "")]).await;
    let metrics = metrics();
    let outbox = Outbox::new("default", std::slice::from_ref(&server.url), &metrics);
    outbox.put(&[alert("a", Span::minutes(4))]);
    let taken = metrics.alert_batches.with_label_values(&["taken"]);
    eventually("the third attempt is taken", || taken.get() == 1).await;
    outbox.put(&[alert("b", Span::minutes(4))]);
    let refused = metrics.alert_batches.with_label_values(&["refused"]);
    eventually("it is refused", || refused.get() == 1).await;
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_dead_alertmanager_costs_nothing_but_the_oldest_batches() {
    tls::install_provider();
    let server = RawServer::start([Reply::Silence]).await;
    let metrics = metrics();
    let outbox = Outbox::new("default", std::slice::from_ref(&server.url), &metrics);
    outbox.put(&[alert("first", Span::ZERO)]);
    eventually("the first is under way", || server.requests().len() == 1).await;
    // None of these waits, although nobody takes them.
    (0..QUEUE + 6).for_each(|n| outbox.put(&[alert(&n.to_string(), Span::ZERO)]));
    let overflow = metrics.alert_batches.with_label_values(&["overflow"]);
    eventually("the oldest are dropped", || overflow.get() == 6).await;
    assert_eq!(metrics.alert_batches.with_label_values(&["outdated"]).get(), 1);
}

#[test]
fn nothing_is_queued_without_alerts_or_alertmanagers() {
    let outbox = Outbox::new("default", &[], &metrics());
    outbox.put(&[]);
    outbox.put(&[alert("a", Span::ZERO)]);
}

#[tokio::test]
async fn one_that_is_away_delays_no_other_and_gets_what_still_fires_when_it_is_back() {
    tls::install_provider();
    let away = RawServer::start([Reply::json(503, ""), Reply::Close, Reply::json(503, ""), Reply::json(200, "")]).await;
    let well = RawServer::start([Reply::json(200, "")]).await;
    let metrics = metrics();
    let outbox = Outbox::new("default", &[away.url.clone(), well.url.clone()], &metrics);
    // What has ended by the time of the second attempt is of no use, and the resend brings what has not.
    outbox.put(&[alert("old", Span::ZERO)]);
    for name in ["a", "b", "c"] {
        outbox.put(&[alert(name, Span::minutes(4))]);
    }
    eventually("the other has all of them", || well.requests().len() == 4).await;
    let taken = metrics.alert_batches.with_label_values(&["taken"]);
    assert!(away.requests().len() <= 2, "{}", away.requests().len());
    eventually("it gets all that still fire", || taken.get() == 7).await;
    let names: Vec<String> = away.requests()[3..]
        .iter()
        .map(|request| request.split("\"alertname\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["a", "b", "c"], "in order, so that an end comes after its beginning");
}
