//! Histograms of both kinds, summaries and heartbeats of a real Prometheus; and outages, from the first alert to the last.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    OPTIONS, queue,
    rows::observed_in,
    statistics::{
        Application,
        Course::{At, Grows, Swings},
    },
};
use crate::{
    cluster::{self, eventually},
    here,
    stage::{PATIENCE, Relay, Stage},
};

#[expect(clippy::needless_pass_by_value, reason = "JSON reads best where it is made")]
fn threshold(name: &str, metric: Value, levels: Value) -> Value {
    json!({"name": name, "metric": metric, "levels": levels, "noData": {"after": "5s", "severity": "info"}})
}

fn above(bound: &str) -> Value {
    json!([{"severity": "warning", "above": bound}])
}

/// Everything that Alertmanager held for active, one set after the other.
struct Witness {
    seen: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Witness {
    /// Looks until `done`, and returns what was seen.
    async fn of(stage: &Stage, done: impl Future<Output = ()>) -> Vec<Vec<String>> {
        let witness = Self { seen: Arc::default() };
        tokio::select! {
            () = witness.look(stage) => unreachable!("it looks for ever"),
            () = done => {}
        }
        // The look before may be older than the end.
        witness.look_once(stage).await;
        witness.seen.lock().unwrap().clone()
    }

    async fn look(&self, stage: &Stage) {
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            ticks.tick().await;
            self.look_once(stage).await;
        }
    }

    async fn look_once(&self, stage: &Stage) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut names: Vec<String> =
            stage.alerts().await.iter().map(|alert| text(&alert["labels"]["alertname"])).collect();
        names.sort();
        let mut seen = self.seen.lock().unwrap();
        if seen.last() != Some(&names) {
            seen.push(names);
        }
    }
}

/// A native histogram, which Prometheus makes of the classic buckets that the application exports.
#[test]
fn native_histograms_and_summaries_are_read() {
    histogram(true, here!());
}

#[test]
fn classic_histograms_are_read_and_it_is_told_where_they_are_interpolated() {
    histogram(false, here!());
}

/// The policy does not say which kind the histogram is.
fn histogram(native: bool, test: &'static str) {
    cluster::test(&OPTIONS, test, async |cluster| {
        let of = |kind: &str, statistic: &str| json!({kind: format!("{kind}_seconds"), "statistic": statistic, "window": "5s"});
        let thresholds = json!([
            threshold("mean", of("histogram", "mean"), above("100ms")),
            threshold("p95", of("histogram", "p95"), above("150ms")),
            threshold("rate", of("histogram", "rate"), above("3000/s")),
            threshold("summary-mean", of("summary", "mean"), above("100ms")),
            threshold("summary-p90", of("summary", "p90"), above("150ms")),
            threshold("summary-p99", of("summary", "p99"), above("150ms")),
        ]);
        let edges = [0.01, 0.1, 0.25, 1.0, 5.0];
        let exposing = |seconds: f64, rate: f64| {
            let mut series = observed_in("histogram_seconds", "", seconds, rate, &edges);
            // Of untyped series Prometheus makes no histogram.
            series[0].0.insert_str(0, "# TYPE histogram_seconds histogram\n");
            series.push((r#"summary_seconds{quantile="0.9"}"#.to_owned(), At(seconds)));
            series.push(("summary_seconds_sum".to_owned(), Grows(seconds * rate)));
            series.push(("summary_seconds_count".to_owned(), Grows(rate)));
            series
        };
        let job = json!({"convert_classic_histograms_to_nhcb": native, "scrape_native_histograms": native});
        let quick = exposing(0.05, 1000.0);
        let application = Application::start_as(cluster, json!({"thresholds": thresholds}), &quick, job).await;
        application.alerts(&["summary-p99 info"]).await;
        application.stage.says(&[("MetricsAvailable", "False/NotExported")]).await;
        application
            .lists("which percentile is not exported", |listed| {
                listed.len() == 1 && listed[0].name == "summary-p99" && listed[0].value == "NotExported"
            })
            .await;
        application.expose(&exposing(0.2, 1000.0));
        let slow = ["mean warning", "p95 warning", "summary-mean warning", "summary-p90 warning", "summary-p99 info"];
        application.alerts(&slow).await;
        application.expose(&exposing(0.05, 10_000.0));
        application.alerts(&["rate warning", "summary-p99 info"]).await;
        application.expose(&exposing(0.05, 1000.0));
        application.alerts(&["summary-p99 info"]).await;
        // Without the one that cannot be read, it is told how exact the others are: buckets have edges, and a native histogram
        // is as exact as it is.
        let rest: Vec<Value> = thresholds.as_array().unwrap()[..5].to_vec();
        application.stage.set_thresholds(json!(rest)).await;
        application.stage.says(&[("Compliant", "True/Within"), ("MetricsAvailable", "True/Answered")]).await;
        let exact = "p95: 150ms is interpolated between 100ms and 250ms";
        eventually(PATIENCE, "the status says where readings are interpolated", async || {
            let status = application.stage.policy().await.status.unwrap_or_default();
            let found = status.conditions.into_iter().find(|condition| condition.type_ == "MetricsAvailable");
            let message = found.map(|condition| condition.message).unwrap_or_default();
            if message.contains(exact) == native { Err(message) } else { Ok(()) }
        })
        .await;
    });
}

#[test]
fn what_never_happened_is_zero_while_the_heartbeat_is_there() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let errors = json!({"counter": "errors_total", "labels": {"code": "500"}, "window": "5s"});
        let mut beating = errors.clone();
        beating["heartbeat"] = json!({"counter": "requests_total"});
        let job = json!({"counter": "jobs_total", "window": "5s"});
        let thresholds = json!([
            threshold("beating", beating, above("1/s")),
            threshold("plain", errors, above("1/s")),
            threshold("torn", job, above("1/s")),
        ]);
        let (requests, failed, jobs) = ("requests_total", r#"errors_total{code="500"}"#, "jobs_total");
        let calm = vec![(requests.to_owned(), Grows(100.0)), (jobs.to_owned(), Grows(0.5))];
        let with = |name: &str, course| [calm.clone(), vec![(name.to_owned(), course)]].concat();
        let application = Application::start_with(cluster, json!({"thresholds": thresholds}), &calm).await;
        // No error has happened, which one of the two knows.
        application.alerts(&["plain info"]).await;
        application
            .lists("only the one without heartbeat has no data", |listed| {
                listed.len() == 1 && (&*listed[0].name, &*listed[0].value) == ("plain", "NoData")
            })
            .await;
        application.expose(&with(failed, Grows(50.0)));
        application.alerts(&["beating warning", "plain warning"]).await;
        application.expose(&with(failed, Grows(0.0)));
        application.alerts(&[]).await;
        // The whole application is gone: nobody takes that for zero errors.
        application.expose(&[(jobs.to_owned(), Grows(0.5))]);
        application.alerts(&["beating info", "plain info"]).await;
        // Two processes count as one, so that it goes back and forth: a rate of that says nothing.
        application.expose(&with(failed, Grows(0.0)));
        application.alerts(&[]).await;
        let torn = vec![
            (requests.to_owned(), Grows(100.0)),
            (failed.to_owned(), Grows(0.0)),
            (jobs.to_owned(), Swings(10.0, 1e6)),
        ];
        application.expose(&torn);
        application
            .lists("the counter that goes back is none", |listed| {
                listed.iter().any(|listed| listed.name == "torn" && listed.value == "CounterReset")
            })
            .await;
    });
}

#[test]
fn an_outage_is_one_alert_and_its_end_is_one_too() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let stage = Stage::set(cluster, queue()).await;
        stage.expose("queue 500\n");
        stage.says(&[("Compliant", "False/Breached"), ("Applied", "True/Applied")]).await;
        stage.alarms(&["TrimtabThresholdBreached critical"]).await;
        let written = stage.target_writes();
        for lie in [Relay::Away, Relay::Late, Relay::Silent, Relay::Page] {
            let seen = Witness::of(&stage, async {
                stage.relay(lie);
                stage.alarms(&["TrimtabSourceDown critical", "TrimtabThresholdBreached critical"]).await;
                // What was breached is held.
                stage.says(&[("Compliant", "False/Breached")]).await;
                stage.relay(Relay::Honest);
                stage.says(&[("MetricsAvailable", "True/Answered")]).await;
                stage.alarms(&["TrimtabThresholdBreached critical"]).await;
            })
            .await;
            let breached = vec!["TrimtabThresholdBreached".to_owned()];
            let down = vec!["TrimtabSourceDown".to_owned(), "TrimtabThresholdBreached".to_owned()];
            assert_eq!(seen, [breached.clone(), down, breached], "{lie:?}: one alert about it, and no flapping");
        }
        assert_eq!(stage.target_writes(), written, "an outage writes nothing");
    });
}

#[test]
fn what_is_wrong_with_one_query_is_not_an_outage() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let stage = Stage::set(cluster, queue()).await;
        stage.says(&[("Compliant", "True/Within"), ("Applied", "True/Applied")]).await;
        let written = stage.target_writes();
        for (lie, reason) in [(Relay::Unprocessable, "False/QueryFailed"), (Relay::Huge, "False/QueryTooExpensive")] {
            stage.relay(lie);
            stage.says(&[("MetricsAvailable", reason), ("Compliant", "Unknown/NoData")]).await;
            stage.alarms(&["TrimtabNoData info"]).await;
            stage.relay(Relay::Honest);
            stage.says(&[("MetricsAvailable", "True/Answered"), ("Compliant", "True/Within")]).await;
            stage.alarms(&[]).await;
        }
        assert_eq!(stage.target_writes(), written, "no data, no action");
    });
}

#[test]
fn a_query_that_costs_too_much_is_asked_less_often() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        // More time than it is given: some seconds of computing. Prometheus makes room for every step at once, so that a longer
        // one would cost the machine its memory.
        let query = "sum(sum_over_time(vector(1)[6h:1ms]))";
        let costly =
            json!({"name": "costly", "metric": {"query": query}, "noData": {"after": "3s", "severity": "info"}});
        let cheap = queue()[0].clone();
        let stage = Stage::set(cluster, json!([costly, cheap])).await;
        stage.says(&[("MetricsAvailable", "False/QueryTooExpensive"), ("Applied", "True/Applied")]).await;
        eventually(PATIENCE, "it is asked every eight seconds", async || {
            let asked = stage.asked("sum_over_time%28vector");
            let apart = asked.windows(2).map(|two| two[1] - two[0]).next_back().unwrap_or_default();
            if apart > Duration::from_secs(6) { Ok(()) } else { Err((asked.len(), apart)) }
        })
        .await;
        // Others are asked as ever, and judged.
        stage.expose("queue 500\n");
        stage.alarms(&["TrimtabNoData info", "TrimtabThresholdBreached critical"]).await;
    });
}
