//! Every kind of pattern by real samples in a real Prometheus: it is found, told once, and silent where too little is known.
//!
//! What must stay silent stands beside what is found, as another value of the same label: one answer judges both.

use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

use super::{
    OPTIONS,
    rows::{amount, observed_at, pattern_of},
    statistics::{
        Application,
        Course::{self, At, Climbs, Grows, Swings},
    },
};
use crate::{
    cluster::{self, eventually},
    here,
    stage::PATIENCE,
};

type Series = Vec<(String, Course)>;

/// The label by which a pattern of an example tells things apart.
fn label(pattern: &Value, value: &str) -> String {
    format!("{}=\"{value}\"", pattern["metric"]["by"][0].as_str().expect("a label"))
}

/// Runs per second of what a pattern counts: those that succeed, and those that fail.
fn runs(pattern: &Value, of: &str, ok: f64, failed: f64) -> Series {
    let ratio = &pattern["metric"]["ratio"];
    let (counter, good) = (ratio["denominator"]["counter"].as_str().expect("a counter"), &ratio["numerator"]["labels"]);
    let (result, good) =
        good.as_object().and_then(|labels| labels.iter().next()).expect("the label of those that succeed");
    let series = |of_result: &str| format!("{counter}{{{},{result}=\"{of_result}\"}}", label(pattern, of));
    let all = [(series(good.as_str().expect("a word")), ok), (series("failed"), failed)];
    all.into_iter().filter(|(_, rate)| *rate > 0.0).map(|(name, rate)| (name, Grows(rate))).collect()
}

/// Durations of what a pattern measures: so many per second of so many seconds.
fn durations(pattern: &Value, of: &str, seconds: f64, rate: f64) -> Series {
    observed_at(pattern["metric"]["histogram"].as_str().expect("a histogram"), &label(pattern, of), seconds, rate)
}

/// The bound of a level of a pattern.
fn above(pattern: &Value, level: usize) -> f64 {
    amount(&pattern["levels"][level]["above"])
}

/// Waits until exactly this advice is given, as pattern, severity and values of labels.
async fn advised(application: &Application, wanted: &[&str]) {
    eventually(PATIENCE, &format!("the advice is {wanted:?}"), async || {
        let status = application.stage.policy().await.status.unwrap_or_default();
        let spelled = status.advice.iter().map(|advice| {
            let labels: Vec<&str> = advice.labels.values().map(String::as_str).collect();
            let severity = format!("{:?}", advice.severity).to_lowercase();
            format!("{} {severity} {}", advice.name, labels.join(","))
        });
        let mut found: Vec<String> = spelled.collect();
        found.sort();
        if found == wanted { Ok(()) } else { Err(found) }
    })
    .await;
}

/// Waits until people were told so many advices; each is one Event.
async fn told(application: &Application, wanted: usize) {
    let events: Api<Event> = Api::namespaced(application.stage.cluster.client.clone(), &application.stage.namespace);
    eventually(PATIENCE, &format!("{wanted} advices are Events"), async || {
        let found = events.list(&ListParams::default()).await.expect("read Events").items;
        let notes = found.into_iter().filter(|event| event.reason.as_deref() == Some("Advised"));
        let notes: Vec<_> = notes.filter_map(|event| event.note).collect();
        if notes.len() == wanted { Ok(()) } else { Err(notes) }
    })
    .await;
}

#[test]
fn gr4_what_always_succeeds_or_fails_and_what_falls_back_is_told() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let of_example = |name: &str| pattern_of("grid", name, "10s");
        let (succeeds, fails, fallbacks) =
            (of_example("skills-that-succeed"), of_example("skills-that-fail"), of_example("fallbacks"));
        assert_eq!(succeeds["metric"], fails["metric"], "both count the same runs");
        let runs = |skill: &str, ok: f64, failed: f64| runs(&succeeds, skill, ok, failed);
        // Runs are counted by their results, and fallbacks of all of them: another counter each, for this test.
        let mut fallbacks = fallbacks;
        fallbacks["metric"]["ratio"]["denominator"]["counter"] = "answers_total".into();
        let fallen = fallbacks["metric"]["ratio"]["numerator"]["counter"].as_str().expect("a counter").to_owned();
        let many = above(&fallbacks, 0);
        let answers = |skill: &str, share: f64, rate: f64| -> Series {
            let of = |name: &str| format!("{name}{{{}}}", label(&fallbacks, skill));
            vec![(of(&fallen), Grows(rate * share)), (of("answers_total"), Grows(rate))]
        };
        let patterns = json!([succeeds, fails, fallbacks]);
        // Ten seconds of 10 runs per second do not show that 99 % succeed, nor 4 of 10 answers that 30 % fall back.
        let few = [runs("rare", 10.0, 0.0), answers("rare", many + 0.1, 2.0)].concat();
        let mixed = [runs("mixed", 90.0, 10.0), answers("mixed", many / 3.0, 100.0)].concat();
        let bad =
            [runs("steady", 60.0, 0.0), runs("broken", 0.0, 20.0), answers("evasive", many + 0.1, 100.0)].concat();
        let all = [few.clone(), mixed.clone(), bad].concat();
        let application = Application::start_with(cluster, json!({"patterns": patterns}), &all).await;
        let found =
            ["fallbacks warning evasive", "skills-that-fail critical broken", "skills-that-succeed info steady"];
        advised(&application, &found).await;
        told(&application, 3).await;
        // It is advice: no threshold is breached, nobody is paged, nothing is written.
        application.stage.says(&[("Compliant", "Unknown/NoThresholds"), ("MetricsAvailable", "True/Answered")]).await;
        application.alerts(&[]).await;
        // One success ends what always fails, and one failure what always succeeds.
        let well =
            [runs("steady", 60.0, 6.0), runs("broken", 20.0, 2.0), answers("evasive", many / 6.0, 100.0)].concat();
        application.expose(&[few, mixed, well].concat());
        advised(&application, &[]).await;
        told(&application, 3).await;
        assert_eq!(application.stage.target_writes(), ["patch deployments"], "the knob");
    });
}

#[test]
fn gr4_what_is_slow_or_scatters_is_told() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let slow = pattern_of("grid", "slow-skills", "10s");
        let scatters = pattern_of("grid", "inconsistent-skills", "45s");
        let bound = above(&slow, 0);
        let gauge = scatters["metric"]["gauge"].as_str().expect("a gauge").to_owned();
        let confidence =
            |skill: &str, course| -> Series { vec![(format!("{gauge}{{{}}}", label(&scatters, skill)), course)] };
        let skill = |name: &str, seconds: f64, rate: f64| durations(&slow, name, seconds, rate);
        let quick =
            [skill("quick", bound * 0.2, 20.0), skill("rare", bound * 12.0, 1.0), confidence("sure", At(0.9))].concat();
        let all = [quick.clone(), skill("endless", bound * 1.6, 20.0), confidence("torn", Swings(0.05, 0.95))].concat();
        let patterns = json!([slow, scatters]);
        let application = Application::start_with(cluster, json!({"patterns": patterns}), &all).await;
        // Thirty samples of a second each are not there yet, and the slow skill is already told.
        advised(&application, &["slow-skills warning endless"]).await;
        advised(&application, &["inconsistent-skills warning torn", "slow-skills warning endless"]).await;
        application.expose(&[quick, skill("endless", bound * 0.2, 20.0), confidence("torn", At(0.5))].concat());
        advised(&application, &[]).await;
        told(&application, 2).await;
    });
}

#[test]
fn gr5_candidates_for_automation_and_optimisation_are_told() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let (automate, optimise) =
            (pattern_of("grid", "worth-automating", "10s"), pattern_of("grid", "worth-optimising", "10s"));
        let (long, longer) = (above(&optimise, 0), above(&optimise, 1));
        let runs = |task: &str, ok: f64, failed: f64| runs(&automate, task, ok, failed);
        let task = |name: &str, seconds: f64| durations(&optimise, name, seconds, 10.0);
        let rest = [runs("rare", 1.0, 0.0), runs("flaky", 10.0, 3.0), task("quick", long / 2.0)].concat();
        let all = [rest.clone(), runs("routine", 40.0, 0.4), task("long", f64::midpoint(long, longer))].concat();
        let patterns = json!([automate, optimise]);
        let application = Application::start_with(cluster, json!({"patterns": patterns}), &all).await;
        advised(&application, &["worth-automating info routine", "worth-optimising info long"]).await;
        // The second severity of the band.
        application.expose(&[rest.clone(), runs("routine", 40.0, 0.4), task("long", longer * 1.3)].concat());
        advised(&application, &["worth-automating info routine", "worth-optimising warning long"]).await;
        application.expose(&[rest, runs("routine", 40.0, 20.0), task("long", long / 2.0)].concat());
        advised(&application, &[]).await;
    });
}

#[test]
fn ab2_the_trend_of_batch_completion_time_is_told() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        const WINDOW: f64 = 48.0;
        let growing = pattern_of("ai-beast", "batch-trend", &format!("{WINDOW}s"));
        let share = amount(&growing["levels"][0]["above"]);
        // The guide asks for no news of the other direction; the product has it.
        let mut shrinking = growing.clone();
        shrinking["name"] = "shrinking".into();
        shrinking["levels"] = json!([{"severity": "warning", "below": format!("-{}%", share * 100.0)}]);
        let gauge = growing["metric"]["gauge"].as_str().expect("a gauge").to_owned();
        let patterns = json!([growing, shrinking]);
        let batch = |name: &str, course| (format!("{gauge}{{batch=\"{name}\"}}"), course);
        // By so much of the bound from the first window to the last.
        let climbs = |of_bound: f64| Climbs(1000.0, 1000.0 * of_bound * share / WINDOW);
        let all = [
            batch("growing", climbs(1.6)),
            batch("creeping", climbs(0.8)),
            batch("shrinking", climbs(-1.6)),
            batch("steady", At(100.0)),
            batch("noisy", Swings(90.0, 110.0)),
            batch("empty", At(0.0)),
        ];
        let application = Application::start_with(cluster, json!({"patterns": patterns}), &all).await;
        advised(&application, &["batch-trend info growing", "shrinking warning shrinking"]).await;
        application.stage.says(&[("MetricsAvailable", "True/Answered")]).await;
        told(&application, 2).await;
    });
}

#[test]
fn al16_what_is_breached_together_tells_where_to_look() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let plain = |name: &str, metric: &str, side: &str, bound: &str| json!({"name": name, "metric": {"gauge": metric, "window": "3s"}, "levels": [{"severity": "info", side: bound}]});
        let mut slow = plain("slow-responses", "response_seconds", "above", "100ms");
        slow["advice"] = "look at the plans of queries".into();
        slow["hints"] = json!([
            {"when": ["consumer-lag"], "advice": "look at the lag of NATS consumers"},
            {"when": ["hit-rate"], "advice": "look at the hit rate of Redis"}]);
        let thresholds = json!([
            slow,
            plain("consumer-lag", "nats_consumer_pending", "above", "1000"),
            plain("hit-rate", "redis_hit_ratio", "below", "80%"),
        ]);
        let exposed = |seconds, lag, hits| {
            [("response_seconds", seconds), ("nats_consumer_pending", lag), ("redis_hit_ratio", hits)]
                .map(|(name, value)| (name.to_owned(), At(value)))
        };
        let fields = json!({"thresholds": thresholds});
        let application = Application::start_with(cluster, fields, &exposed(0.05, 10.0, 0.9)).await;
        application.stage.says(&[("Compliant", "True/Within")]).await;
        application.expose(&exposed(0.5, 5000.0, 0.9));
        application.alerts(&["consumer-lag info", "slow-responses info"]).await;
        advised(&application, &["slow-responses info "]).await;
        eventually(PATIENCE, "the alert says where to look", async || {
            let alerts = application.stage.alerts().await;
            let slow = alerts.iter().find(|alert| alert["labels"]["threshold"] == "slow-responses");
            let advice = slow.map(|alert| alert["annotations"]["advice"].clone());
            let wanted = "look at the plans of queries; look at the lag of NATS consumers";
            if advice.as_ref().is_some_and(|advice| *advice == wanted) { Ok(()) } else { Err(advice) }
        })
        .await;
        application.expose(&exposed(0.05, 10.0, 0.9));
        application.alerts(&[]).await;
        advised(&application, &[]).await;
    });
}
