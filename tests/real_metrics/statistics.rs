//! Every way of reading a metric, by alerts that a real Prometheus' real samples make fire and clear.
//!
//! The test exposes series under the names and labels of cAdvisor, the kubelet and kube-state-metrics itself, so that it
//! says what they say (`tests/real_exporters.rs` asks a real kubelet); the pod's name and namespace come from the scrape job, as they
//! do on a real cluster from `honor_labels`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use trimtab::api::status::ThresholdStatus;

use super::{OPTIONS, rows::observed_at};
use crate::{
    cluster::{self, Cluster, eventually},
    here,
    stage::{PATIENCE, Stage},
};

/// What a series does as time goes by.
#[derive(Clone, Copy, Debug)]
pub enum Course {
    /// Stays at a value.
    At(f64),
    /// Grows (or falls) by so much per second from where it is.
    Grows(f64),
    /// Begins at a value, and grows by so much per second.
    Climbs(f64, f64),
    /// Goes back and forth between two values.
    Swings(f64, f64),
}

use Course::{At, Climbs, Grows, Swings};

/// Each series with its value and its course.
type Courses = Vec<(String, f64, Course)>;

/// An application whose series take a course.
pub struct Application {
    pub stage: Stage,
    courses: Arc<Mutex<Courses>>,
    clockwork: JoinHandle<()>,
}

impl Drop for Application {
    fn drop(&mut self) {
        self.clockwork.abort();
    }
}

impl Application {
    async fn start(cluster: Cluster, thresholds: Value, series: &[(&str, Course)]) -> Self {
        let series: Vec<_> = series.iter().map(|(name, course)| ((*name).to_owned(), *course)).collect();
        Self::start_with(cluster, json!({"thresholds": thresholds}), &series).await
    }

    /// With a policy that has these fields.
    pub async fn start_with(cluster: Cluster, fields: Value, series: &[(String, Course)]) -> Self {
        Self::start_as(cluster, fields, series, json!({})).await
    }

    /// With more fields of the scrape job.
    pub async fn start_as(cluster: Cluster, fields: Value, series: &[(String, Course)], job: Value) -> Self {
        let stage = Stage::scraped(cluster, fields, "", job, "1s").await;
        let courses: Arc<Mutex<Courses>> = Arc::default();
        let clockwork = tokio::spawn(run(courses.clone(), stage.exposed.clone()));
        let application = Self { stage, courses, clockwork };
        application.expose(series);
        application
    }

    /// Exposes these series and no others, those that it has from where they are.
    fn take(&self, series: &[(&str, Course)]) {
        let series: Vec<_> = series.iter().map(|(name, course)| ((*name).to_owned(), *course)).collect();
        self.expose(&series);
    }

    /// The same, of names that were made.
    pub fn expose(&self, series: &[(String, Course)]) {
        let mut courses = self.courses.lock().unwrap();
        let before: BTreeMap<String, f64> = courses.iter().map(|(known, value, _)| (known.clone(), *value)).collect();
        let value = |name: &String| before.get(name).copied().unwrap_or_default();
        *courses = series.iter().map(|(name, course)| (name.clone(), value(name), *course)).collect();
    }

    /// Waits until exactly these alerts are active: threshold, severity and the value of the label `tier`, if any.
    pub async fn alerts(&self, wanted: &[&str]) {
        eventually(PATIENCE, &format!("the alerts {wanted:?} are active"), async || {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let of = |labels: &Value| {
                format!("{} {} {}", text(&labels["threshold"]), text(&labels["severity"]), text(&labels["tier"]))
            };
            let mut found: Vec<String> = self.stage.alerts().await.iter().map(|alert| of(&alert["labels"])).collect();
            for name in &mut found {
                name.truncate(name.trim_end().len());
            }
            found.sort();
            if found == wanted { Ok(()) } else { Err(found) }
        })
        .await;
    }

    /// Waits until the status lists what it should: it follows alerts, a little later.
    pub async fn lists(&self, what: &str, is_so: impl Fn(&[ThresholdStatus]) -> bool) {
        eventually(PATIENCE, what, async || {
            let listed = self.stage.policy().await.status.unwrap_or_default().thresholds;
            if is_so(&listed) { Ok(()) } else { Err(listed) }
        })
        .await;
    }
}

/// Moves the series on, ten times a second.
async fn run(courses: Arc<Mutex<Courses>>, exposed: Arc<Mutex<String>>) {
    let (start, mut last) = (Instant::now(), Instant::now());
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        let elapsed = last.elapsed().as_secs_f64();
        last = Instant::now();
        // No multiple of the second in which Prometheus scrapes.
        let up = start.elapsed().as_millis() % 1400 < 700;
        let mut text = String::new();
        for (name, value, course) in courses.lock().unwrap().iter_mut() {
            *value = match *course {
                At(value) => value,
                Climbs(from, _) if value.abs() < f64::EPSILON => from,
                Grows(rate) | Climbs(_, rate) => *value + rate * elapsed,
                Swings(low, high) => {
                    if up {
                        high
                    } else {
                        low
                    }
                }
            };
            text.push_str(&format!("{name} {value}\n"));
        }
        *exposed.lock().unwrap() = text;
    }
}

#[expect(clippy::needless_pass_by_value, reason = "JSON reads best where it is made")]
fn threshold(name: &str, metric: Value, levels: Value) -> Value {
    json!({"name": name, "metric": metric, "levels": levels, "noData": {"after": "5s", "severity": "info"}})
}

#[test]
fn an_error_rate_and_a_success_rate_fire_and_clear() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let share = |code: &str| {
            let numerator = json!({"counter": "requests_total", "labels": {"code": code}});
            json!({"ratio": {"numerator": numerator, "denominator": {"counter": "requests_total"}}, "window": "5s"})
        };
        let hits = json!({"ratio": {"numerator": {"counter": "cache_hits_total"}, "denominator": {"counter": "cache_lookups_total"}}, "window": "5s"});
        let thresholds = json!([
            threshold("errors", share("500"), json!([{"severity": "warning", "above": "5%"}])),
            threshold("success", share("200"), json!([{"severity": "critical", "below": "95%"}])),
            threshold("hits", hits, json!([{"severity": "info", "below": "0.5"}])),
        ]);
        let ok = r#"requests_total{code="200"}"#;
        let failed = r#"requests_total{code="500"}"#;
        let (hits, lookups) = ("cache_hits_total", "cache_lookups_total");
        let busy = [(ok, Grows(100.0)), (hits, Grows(90.0)), (lookups, Grows(100.0))];
        let application = Application::start(cluster, thresholds, &busy).await;
        // No request has failed, so that there is no series of failures: that is 0%, and no gap.
        application.stage.says(&[("Compliant", "True/Within"), ("MetricsAvailable", "True/Answered")]).await;
        application.alerts(&[]).await;
        application.take(&[(ok, Grows(80.0)), (failed, Grows(20.0)), (hits, Grows(90.0)), (lookups, Grows(100.0))]);
        application.alerts(&["errors warning", "success critical"]).await;
        application.take(&[(ok, Grows(100.0)), (failed, Grows(0.0)), (hits, Grows(10.0)), (lookups, Grows(100.0))]);
        application.alerts(&["hits info"]).await;
        application.take(&[(ok, Grows(100.0)), (failed, Grows(0.0)), (hits, Grows(90.0)), (lookups, Grows(100.0))]);
        application.alerts(&[]).await;
        application.stage.says(&[("Compliant", "True/Within")]).await;
        // Nobody asks anything: nothing divided by nothing is no number, and no trouble.
        application.take(&[(ok, Grows(0.0)), (failed, Grows(0.0)), (hits, Grows(0.0)), (lookups, Grows(0.0))]);
        application.stage.says(&[("Compliant", "Unknown/NoData"), ("MetricsAvailable", "True/Answered")]).await;
        application
            .lists("all three are idle", |listed| {
                listed.len() == 3 && listed.iter().all(|threshold| threshold.value == "TooFewSamples")
            })
            .await;
        // Of two metrics, one that is gone is no data.
        application.take(&[(ok, Grows(100.0)), (failed, Grows(0.0)), (lookups, Grows(100.0))]);
        application.alerts(&["hits info"]).await;
        application.stage.says(&[("MetricsAvailable", "False/NoData")]).await;
    });
}

#[test]
fn what_is_misspelt_or_too_little_is_no_reading() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let share = |numerator: Value| json!({"ratio": {"numerator": numerator, "denominator": {"counter": "requests_total"}}, "window": "5s"});
        let above = |bound: &str| json!([{"severity": "warning", "above": bound}]);
        let rare = json!({"histogram": "rare_seconds", "statistic": "p95", "window": "5s"});
        let mut allowed = rare.clone();
        allowed["minSamples"] = 10.into();
        let thresholds = json!([
            threshold("failed", share(json!({"counter": "requests_total", "matching": {"code": "5.."}})), above("5%")),
            threshold("few", rare, above("1s")),
            threshold("few-allowed", allowed, above("1s")),
            threshold("restarts", json!({"builtin": "Restarts", "window": "4s"}), above("0")),
            threshold("typo", share(json!({"counter": "requests_total", "labels": {"cdoe": "500"}})), above("5%")),
        ]);
        let exposing = |failed: f64, exporter: &str, restarts: f64| {
            let mut series = observed_at("rare_seconds", "", 30.0, 10.0);
            series.push((r#"requests_total{code="200"}"#.to_owned(), Grows(100.0 - failed)));
            series.push((r#"requests_total{code="503"}"#.to_owned(), Grows(failed)));
            let restarted = "kube_pod_container_status_restarts_total";
            let of = format!("{restarted}{{container=\"app\",uid=\"u\",exporter=\"{exporter}\"}}");
            series.push((of, At(restarts)));
            series
        };
        let application =
            Application::start_with(cluster, json!({"thresholds": thresholds}), &exposing(0.0, "a", 3.0)).await;
        // Ten slow requests per second are no percentile, unless the policy says so; what nobody exports is no 0 %.
        application.alerts(&["few-allowed warning", "typo info"]).await;
        application
            .lists("why there is no reading", |listed| {
                let why =
                    |name: &str| listed.iter().find(|listed| listed.name == name).map(|listed| listed.value.as_str());
                (why("few"), why("typo")) == (Some("TooFewSamples"), Some("NoData"))
            })
            .await;
        application.expose(&exposing(20.0, "a", 3.0));
        application.alerts(&["failed warning", "few-allowed warning", "typo info"]).await;
        application.expose(&exposing(0.0, "a", 3.0));
        application.alerts(&["few-allowed warning", "typo info"]).await;
        // The exporter itself was restarted, and counts on.
        application.expose(&exposing(0.0, "b", 4.0));
        application.alerts(&["few-allowed warning", "restarts warning", "typo info"]).await;
        application.alerts(&["few-allowed warning", "typo info"]).await;
    });
}

#[test]
fn variation_and_slope_of_gauges_fire_and_clear() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let of = |gauge: &str, statistic: &str| json!({"gauge": gauge, "statistic": statistic, "window": "6s"});
        let thresholds = json!([
            threshold("confidence", of("confidence", "cv"), json!([{"severity": "info", "above": "50%"}])),
            threshold("leak", of("heap_bytes", "slope"), json!([{"severity": "warning", "above": "10Mi/s"}])),
            // Of two pods, the one that falls.
            threshold("drain", of("heap_bytes", "slope"), json!([{"severity": "critical", "below": "-10Mi/s"}])),
        ]);
        let (confidence, heap) = ("confidence", "heap_bytes");
        let calm = [(confidence, At(0.9)), (heap, Grows(0.0))];
        let application = Application::start(cluster, thresholds, &calm).await;
        application.stage.says(&[("Compliant", "True/Within"), ("MetricsAvailable", "True/Answered")]).await;
        application.take(&[(confidence, Swings(0.05, 0.95)), (heap, Grows(0.0))]);
        application.alerts(&["confidence info"]).await;
        application.take(&[(confidence, At(0.9)), (heap, Grows(20e6))]);
        application.alerts(&["leak warning"]).await;
        application
            .lists("the slope of bytes is told in bytes per second", |listed| {
                listed.len() == 1 && listed[0].name == "leak" && listed[0].value.ends_with("Mi/s")
            })
            .await;
        application.take(&[(confidence, At(0.9)), (heap, Grows(-20e6))]);
        application.alerts(&["drain critical"]).await;
        let (falling, rising) = (r#"heap_bytes{process="a"}"#, r#"heap_bytes{process="b"}"#);
        application.take(&[(confidence, At(0.9)), (falling, Grows(-20e6)), (rising, Grows(20e6))]);
        application.alerts(&["drain critical", "leak warning"]).await;
        application.take(&calm);
        application.alerts(&[]).await;
        application.stage.says(&[("Compliant", "True/Within")]).await;
        // Of a mean of zero there is no share.
        application.take(&[(confidence, At(0.0)), (heap, Grows(0.0))]);
        application
            .lists("the variation of nothing is no number", |listed| {
                listed.len() == 1 && listed[0].name == "confidence" && listed[0].value == "TooFewSamples"
            })
            .await;
        application.stage.says(&[("MetricsAvailable", "True/Answered")]).await;
    });
}

#[test]
fn what_the_clusters_exporters_say_of_pods_fires_and_clears() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let of = |builtin: &str| json!({"builtin": builtin, "window": "4s"});
        let above = |bound: &str| json!([{"severity": "warning", "above": bound}]);
        let low = json!([{"severity": "warning", "below": "20%"}, {"severity": "critical", "below": "10%"}]);
        let thresholds = json!([
            threshold("memory", of("MemoryAvailable"), low),
            threshold("restarts", of("Restarts"), above("0")),
            // Of pods that started in the window.
            threshold("startup", json!({"builtin": "StartupTime", "window": "1m"}), above("20s")),
            threshold("throttled", of("CPUThrottled"), above("5%")),
            threshold("volume", of("VolumeUsed"), above("90%")),
        ]);
        let now = || std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs_f64().floor();
        let started = now() - 15.0;
        let exposing = |used: f64, restarts: f64, throttled: f64, volume: f64| {
            vec![
                (r#"container_memory_working_set_bytes{container="app",id="/a",image="i",name="n"}"#, At(used)),
                // The pod as a whole, and a container of another scrape: neither has a limit to compare with.
                (r#"container_memory_working_set_bytes{container="",id="/"}"#, At(4e9)),
                (
                    r#"kube_pod_container_resource_limits{container="app",resource="memory",unit="byte",uid="u"}"#,
                    At(1e9),
                ),
                (r#"kube_pod_container_resource_limits{container="app",resource="cpu",unit="core",uid="u"}"#, At(1.0)),
                (r#"kube_pod_container_status_restarts_total{container="app",uid="u"}"#, At(restarts)),
                (r#"kube_pod_start_time{uid="u"}"#, At(started)),
                (r#"kube_pod_status_ready_time{uid="u"}"#, At(started + 10.0)),
                (r#"container_cpu_cfs_periods_total{container="app",id="/a"}"#, Grows(10.0)),
                (r#"container_cpu_cfs_throttled_periods_total{container="app",id="/a"}"#, Grows(throttled)),
                (
                    r#"kube_pod_spec_volumes_persistentvolumeclaims_info{volume="data",persistentvolumeclaim="data-0",uid="u"}"#,
                    At(1.0),
                ),
                (r#"kubelet_volume_stats_used_bytes{persistentvolumeclaim="data-0"}"#, At(volume)),
                (r#"kubelet_volume_stats_capacity_bytes{persistentvolumeclaim="data-0"}"#, At(100e9)),
                // Nobody's, and full.
                (r#"kubelet_volume_stats_used_bytes{persistentvolumeclaim="other"}"#, At(100e9)),
                (r#"kubelet_volume_stats_capacity_bytes{persistentvolumeclaim="other"}"#, At(100e9)),
            ]
        };
        let well = exposing(0.5e9, 3.0, 0.0, 50e9);
        let application = Application::start(cluster, thresholds, &well).await;
        application.stage.says(&[("Compliant", "True/Within"), ("MetricsAvailable", "True/Answered")]).await;
        application.alerts(&[]).await;
        application.take(&exposing(0.85e9, 3.0, 0.0, 50e9));
        application.alerts(&["memory warning"]).await;
        let mut ill = exposing(0.95e9, 3.0, 1.0, 95e9);
        // Another pod, which is ready only now.
        ill.push((r#"kube_pod_start_time{uid="v"}"#, At(now() - 25.0)));
        ill.push((r#"kube_pod_status_ready_time{uid="v"}"#, At(now())));
        application.take(&ill);
        application.alerts(&["memory critical", "startup warning", "throttled warning", "volume warning"]).await;
        // A third one is ready at once, and the slow one is no new pod any more after a minute.
        let mut better = well.clone();
        better.push((r#"kube_pod_start_time{uid="w"}"#, At(now() - 5.0)));
        better.push((r#"kube_pod_status_ready_time{uid="w"}"#, At(now())));
        application.take(&better);
        application.alerts(&[]).await;
        // One restart is one, and over when it is out of the window.
        application.take(&exposing(0.5e9, 4.0, 0.0, 50e9));
        application.alerts(&["restarts warning"]).await;
        application.alerts(&[]).await;
        application.stage.says(&[("Compliant", "True/Within"), ("MetricsAvailable", "True/Answered")]).await;
    });
}

#[test]
fn each_value_of_a_label_fires_and_clears_by_itself() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let metric = json!({"gauge": "queue", "statistic": "max", "by": ["tier"], "window": "3s"});
        let levels = json!([{"severity": "warning", "above": 10}, {"severity": "critical", "above": 100}]);
        let (gold, silver) = (r#"queue{tier="gold"}"#, r#"queue{tier="silver \" \\ }"}"#);
        let thresholds = json!([threshold("queue", metric, levels)]);
        let application = Application::start(cluster, thresholds, &[(gold, At(1.0)), (silver, At(1.0))]).await;
        application.stage.says(&[("Compliant", "True/Within"), ("MetricsAvailable", "True/Answered")]).await;
        application.take(&[(gold, At(50.0)), (silver, At(500.0))]);
        application.alerts(&["queue critical silver \" \\ }", "queue warning gold"]).await;
        application
            .lists("the worst is the second tier", |listed| {
                listed.len() == 2 && listed[0].labels.get("tier").is_some_and(|tier| tier == "silver \" \\ }")
            })
            .await;
        application.take(&[(gold, At(50.0)), (silver, At(1.0))]);
        application.alerts(&["queue warning gold"]).await;
        // Gone for good: held for the time without data, then forgotten.
        application.take(&[(silver, At(1.0))]);
        application.alerts(&[]).await;
        application.stage.says(&[("Compliant", "True/Within"), ("MetricsAvailable", "True/Answered")]).await;
        // More than can be told apart.
        let many: Vec<String> = (0..33).map(|tier| format!(r#"queue{{tier="{tier}"}}"#)).collect();
        let many: Vec<_> = many.iter().map(|series| (series.as_str(), At(500.0))).collect();
        application.take(&many);
        application.stage.says(&[("Compliant", "Unknown/NoData"), ("MetricsAvailable", "False/TooManySeries")]).await;
        application.alerts(&["queue info"]).await;
        application.take(&many[1..]);
        application.stage.says(&[("Compliant", "False/Breached"), ("MetricsAvailable", "True/Answered")]).await;
    });
}
