//! Thresholds against a real Prometheus and a real Alertmanager, by the operator's own process.
//!
//! The test plays the application: it serves metrics that Prometheus scrapes, under the name of a pod of a Deployment. Between
//! the operator and Prometheus stands a relay that can be told to lie.
//!
//! What may be wrong with an answer, and the test that shows what becomes of it:
//!
//! | what | reason | test |
//! |---|---|---|
//! | no workload reads the value that was set | `NotApplied` | `readbacks::an_application_that_ignores_its_variable_and_one_old_pod_of_five_are_named` |
//! | a query that cannot be parsed | `QueryInvalid`, `Stalled` | `queries_that_a_real_prometheus_refuses_have_their_reasons` |
//! | 503, 504, no answer, 429, 401 | `BackendUnavailable`, `BackendThrottled`, `BackendUnauthorized` | `a_prometheus_that_lies_or_is_away_is_named_and_nothing_acts_on_it`, `quality::an_outage_is_one_alert_and_its_end_is_one_too` |
//! | 422 | `QueryFailed` | `quality::what_is_wrong_with_one_query_is_not_an_outage` |
//! | a page of a proxy, half an answer | `BadResponse` | `a_prometheus_that_lies_or_is_away_is_named_and_nothing_acts_on_it` |
//! | 100 MB of JSON | `QueryTooExpensive`, asked less often | `quality::what_is_wrong_with_one_query_is_not_an_outage` |
//! | no series | `NoData` | `a_prometheus_that_lies_or_is_away_is_named_and_nothing_acts_on_it` |
//! | several series where one must answer | `AmbiguousResult` | `queries_that_a_real_prometheus_refuses_have_their_reasons` |
//! | NaN, ±Inf, more than a number holds | `NotANumber` | `a_prometheus_that_lies_or_is_away_is_named_and_nothing_acts_on_it`, `queries_that_a_real_prometheus_refuses_have_their_reasons` |
//! | old samples, an old answer, one of the future | `StaleData`, `ClockSkew` | `samples_that_are_too_old_are_no_reading`, `a_prometheus_that_lies_or_is_away_is_named_and_nothing_acts_on_it` |
//! | another type, warnings | `WrongType`, `PartialResult` | `queries_that_a_real_prometheus_refuses_have_their_reasons`, `a_prometheus_that_lies_or_is_away_is_named_and_nothing_acts_on_it` |
//! | a query that costs too much | `QueryTooExpensive`, asked less often | `quality::a_query_that_costs_too_much_is_asked_less_often` |
//! | too few observations | `TooFewSamples` | `statistics::what_is_misspelt_or_too_little_is_no_reading` |
//! | a counter that goes back | `CounterReset` | `quality::what_never_happened_is_zero_while_the_heartbeat_is_there` |
//! | a percentile that a summary does not export | `NotExported` | `quality::native_histograms_and_summaries_are_read` |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/idle.rs"]
mod idle;
#[path = "real_metrics/own.rs"]
mod own;
#[path = "real_metrics/patterns.rs"]
mod patterns;
#[path = "real_metrics/quality.rs"]
mod quality;
#[path = "real_metrics/readbacks.rs"]
mod readbacks;
#[path = "real_metrics/report.rs"]
mod report;
#[path = "real_metrics/rows.rs"]
mod rows;
#[path = "real_metrics/stage.rs"]
mod stage;
#[path = "real_metrics/statistics.rs"]
mod statistics;

use std::time::Duration;

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use trimtab::api::PerformancePolicy;

use self::{
    cluster::Options,
    stage::{Relay, Stage},
};

const OPTIONS: Options = Options { prometheus: true, audit: true, ..Options::DEFAULT };

/// A threshold on the gauge that the application exposes, with a short memory.
fn queue() -> Value {
    json!([{"name": "queue", "metric": {"gauge": "queue", "window": "3s"}, "advice": "add workers",
        "levels": [{"severity": "warning", "above": 10, "for": "2s"}, {"severity": "critical", "above": 100}],
        "noData": {"after": "3s", "severity": "info"}}])
}

#[test]
fn a_breach_is_told_by_status_and_alertmanager_and_taken_back() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let stage = Stage::set(cluster, queue()).await;
        stage
            .says(&[("Ready", "True/Served"), ("Compliant", "True/Within"), ("MetricsAvailable", "True/Answered")])
            .await;
        stage.says(&[("Applied", "True/Applied")]).await;
        stage.alarms(&[]).await;
        let settled = stage.policy().await.resource_version();
        let written = stage.target_writes();
        assert_eq!(written, ["patch deployments"], "the knob");

        stage.expose("queue 50\n");
        let alerts = stage.alarms(&["TrimtabThresholdBreached warning"]).await;
        let labels = &alerts[0]["labels"];
        for (label, value) in [
            ("policy", "web"),
            ("threshold", "queue"),
            ("target_kind", "Deployment"),
            ("target", "web"),
            ("team", "platform"),
        ] {
            assert_eq!(labels[label], value, "{labels}");
        }
        assert_eq!(alerts[0]["annotations"]["advice"], "add workers");
        stage.says(&[("Compliant", "False/Breached"), ("Ready", "True/Served")]).await;
        let listed = stage.policy().await.status.unwrap().thresholds;
        assert_eq!((listed.len(), listed[0].name.as_str(), listed[0].state.as_str()), (1, "queue", "Breached"));

        stage.expose("queue 500\n");
        stage.alarms(&["TrimtabThresholdBreached critical"]).await;
        stage.expose("queue 1\n");
        stage.alarms(&[]).await;
        stage.says(&[("Compliant", "True/Within")]).await;
        assert_ne!(stage.policy().await.resource_version(), settled);

        // The policy goes, and its alert with it.
        stage.expose("queue 500\n");
        stage.alarms(&["TrimtabThresholdBreached critical"]).await;
        assert_eq!(stage.target_writes(), written, "thresholds write nothing");
        let policies: Api<PerformancePolicy> = Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
        policies.delete("web", &kube::api::DeleteParams::default()).await.expect("delete the policy");
        stage.alarms(&[]).await;
    });
}

#[test]
fn a_prometheus_that_lies_or_is_away_is_named_and_nothing_acts_on_it() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let stage = Stage::set(cluster, queue()).await;
        stage.expose("queue 500\n");
        stage.says(&[("Compliant", "False/Breached"), ("Applied", "True/Applied")]).await;
        assert_eq!(stage.target_writes(), ["patch deployments"], "the knob");
        let mut size = 1;
        for (lie, reason) in [
            (Relay::Away, "False/BackendUnavailable"),
            (Relay::Page, "False/BadResponse"),
            (Relay::Silent, "False/BackendUnavailable"),
            (Relay::Truncated, "False/BadResponse"),
            (Relay::Closed, "False/BackendUnauthorized"),
            (Relay::Busy, "False/BackendThrottled"),
        ] {
            stage.relay(lie);
            stage.says(&[("MetricsAvailable", reason), ("Compliant", "False/Breached")]).await;
            // What was breached is held; the dead source is one alert.
            stage.alarms(&["TrimtabSourceDown critical", "TrimtabThresholdBreached critical"]).await;
            let conditions = stage.source().await.status.unwrap_or_default().conditions;
            assert_eq!(format!("{}/{}", conditions[0].status, conditions[0].reason), reason);
            // The spec is written as ever, and nothing else.
            size += 1;
            stage.set_pool(size).await;
            stage.relay(Relay::Honest);
            stage.says(&[("MetricsAvailable", "True/Answered")]).await;
            stage.alarms(&["TrimtabThresholdBreached critical"]).await;
        }
        // What is wrong with one answer is not the source's fault.
        for (lie, reason) in [
            (Relay::Partial, "False/PartialResult"),
            (Relay::Behind, "False/StaleData"),
            (Relay::Ahead, "False/ClockSkew"),
        ] {
            stage.relay(lie);
            stage.says(&[("MetricsAvailable", reason), ("Compliant", "False/Breached")]).await;
            stage.alarms(&["TrimtabNoData info", "TrimtabThresholdBreached critical"]).await;
            size += 1;
            stage.set_pool(size).await;
            stage.relay(Relay::Honest);
            stage.says(&[("MetricsAvailable", "True/Answered")]).await;
        }
        for (exposed, reason) in
            [("queue NaN\n", "False/NotANumber"), ("queue +Inf\n", "False/NotANumber"), ("other 1\n", "False/NoData")]
        {
            stage.expose(exposed);
            stage.says(&[("MetricsAvailable", reason), ("Compliant", "False/Breached")]).await;
            stage.alarms(&["TrimtabNoData info", "TrimtabThresholdBreached critical"]).await;
            size += 1;
            stage.set_pool(size).await;
            stage.expose("queue 500\n");
            stage.says(&[("MetricsAvailable", "True/Answered")]).await;
        }
        stage.expose("queue 1\n");
        stage.says(&[("Compliant", "True/Within")]).await;
        stage.alarms(&[]).await;
        let written = stage.target_writes();
        assert_eq!(written.len(), usize::try_from(size).unwrap(), "no data, no action: {written:?}");
    });
}

/// An exporter that sets timestamps of its own keeps its last values when it hangs.
#[test]
fn samples_that_are_too_old_are_no_reading() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let long = json!([{"name": "long", "metric": {"gauge": "queue", "window": "10m"},
            "levels": [{"severity": "critical", "above": 100}], "noData": {"after": "3s", "severity": "info"}}]);
        let ago = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").saturating_sub(Duration::from_mins(4));
        let stage = Stage::exposing(cluster, long, &format!("queue 500 {}\n", ago.as_millis())).await;
        stage.says(&[("Applied", "True/Applied")]).await;
        stage.says(&[("MetricsAvailable", "False/StaleData"), ("Compliant", "Unknown/NoData")]).await;
        stage.alarms(&["TrimtabNoData info"]).await;
        stage.set_pool(2).await;
        assert_eq!(stage.target_writes(), ["patch deployments"; 2], "the knob, twice");
    });
}

#[test]
fn queries_that_a_real_prometheus_refuses_have_their_reasons() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let free = |query: &str| json!([{"name": "free", "metric": {"query": query}}]);
        let stage = Stage::set(cluster, free("sum((")).await;
        stage
            .says(&[
                ("MetricsAvailable", "False/QueryInvalid"),
                ("Stalled", "True/QueryInvalid"),
                ("Ready", "False/QueryInvalid"),
            ])
            .await;
        let own = format!("queue{{namespace=\"{}\"}}", stage.namespace);
        let policies: Api<PerformancePolicy> = Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
        for (query, metrics) in [
            (own.clone(), "True/Answered"),
            ("up".to_owned(), "False/AmbiguousResult"),
            ("vector(NaN)".to_owned(), "False/NotANumber"),
            // Without traffic a ratio is 0/0: an answer, and no reading.
            ("vector(0)/0".to_owned(), "True/Answered"),
            ("absent_from_everywhere".to_owned(), "False/NoData"),
            ("1".to_owned(), "False/WrongType"),
            ("\"a text\"".to_owned(), "False/WrongType"),
            ("vector(1e308) * 10".to_owned(), "False/NotANumber"),
            ("up * on() up".to_owned(), "False/QueryFailed"),
        ] {
            let patch = json!({"spec": {"thresholds": free(&query)}});
            policies.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("edit the policy");
            stage.says(&[("MetricsAvailable", metrics), ("Stalled", ""), ("Ready", "True/Served")]).await;
        }
        // The query as the policy gives it reaches the server, and its readings are the threshold's.
        let patch = json!({"spec": {"thresholds": [{"name": "free", "metric": {"query": own}, "levels": [{"severity": "info", "above": 2}]}]}});
        policies.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("edit the policy");
        stage.says(&[("Compliant", "False/Breached")]).await;
    });
}
