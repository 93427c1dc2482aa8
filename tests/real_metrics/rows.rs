//! Every value of the five guides that is checked against a metric (the V rows of the acceptance list): its alert fires and clears
//! with real samples in a real Prometheus, for the comparator, statistic and unit of the row.
//!
//! Each row is a test named after its id, and a table of its items. An item is exposed at a good value first, then at one bad
//! value after the other, then at the good one again; what is active must each time be exactly the alerts of the table. Trends
//! (AB2) and the patterns of GR4 and GR5 are in `patterns`.

use serde_json::{Value, json};

use super::OPTIONS;
use super::statistics::{
    Application,
    Course::{self, At, Grows},
};
use crate::{cluster, here};

/// Series and their courses.
type Series = Vec<(String, Course)>;

/// One item of a row.
struct Item {
    threshold: Value,
    good: Series,
    /// What is bad, and the severity that it has; none: it informs.
    bad: Vec<(Series, &'static str)>,
}

/// Window of everything: a few scrapes.
const WINDOW: &str = "5s";

#[expect(clippy::needless_pass_by_value, reason = "a table reads best where it is made")]
fn item(name: &str, mut metric: Value, levels: Value, good: Series, bad: Vec<(Series, &'static str)>) -> Item {
    metric["window"] = WINDOW.into();
    let threshold = json!({"name": name, "metric": metric, "levels": levels});
    Item { threshold, good, bad }
}

/// An item that is breached above (or below) one bound, with severity warning.
fn bounded(name: &str, metric: Value, side: &str, bound: &str, good: Series, bad: Series) -> Item {
    item(name, metric, json!([{"severity": "warning", side: bound}]), good, vec![(bad, "warning")])
}

/// A thousand observations per second of that many seconds each.
fn observed(name: &str, seconds: f64) -> Series {
    observed_at(name, "", seconds, 1000.0)
}

pub(super) fn observed_at(name: &str, label: &str, seconds: f64, rate: f64) -> Series {
    let with = |more: &str| [label, more].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(",");
    let edges = (0..20).map(|power| 0.001 * 2_f64.powi(power));
    let mut series: Series = edges
        .map(|edge| {
            let le = format!("le=\"{edge}\"");
            (format!("{name}_bucket{{{}}}", with(&le)), Grows(if seconds <= edge { rate } else { 0.0 }))
        })
        .collect();
    series.push((format!("{name}_bucket{{{}}}", with("le=\"+Inf\"")), Grows(rate)));
    series.push((format!("{name}_sum{{{label}}}"), Grows(rate * seconds)));
    series.push((format!("{name}_count{{{label}}}"), Grows(rate)));
    series
}

/// A latency that must stay below a bound: a quarter of it is good, four times as much is bad.
fn latency(name: &str, histogram: &str, statistic: &str, bound: &str) -> Item {
    let seconds = match bound.strip_suffix("ms") {
        Some(millis) => millis.parse::<f64>().unwrap() / 1000.0,
        None => bound.strip_suffix('s').unwrap().parse().unwrap(),
    };
    let metric = json!({"histogram": histogram, "statistic": statistic});
    bounded(name, metric, "above", bound, observed(histogram, seconds / 4.0), observed(histogram, seconds * 4.0))
}

fn at(series: &str, value: f64) -> Series {
    vec![(series.to_owned(), At(value))]
}

fn growing(series: &str, rate: f64) -> Series {
    vec![(series.to_owned(), Grows(rate))]
}

/// A gauge with a bound, a good and a bad value.
fn gauge(name: &str, metric: &str, side: &str, bound: &str, good: f64, bad: f64) -> Item {
    bounded(name, json!({"gauge": metric}), side, bound, at(metric, good), at(metric, bad))
}

/// The rate of a counter with a bound, a good and a bad value.
fn rate(name: &str, counter: &str, side: &str, bound: &str, good: f64, bad: f64) -> Item {
    bounded(name, json!({"counter": counter}), side, bound, growing(counter, good), growing(counter, bad))
}

/// One gauge as a share of another one that stays at 100.
fn share(name: &str, part: &str, whole: &str, levels: Value, good: f64, bad: &[(f64, &'static str)]) -> Item {
    let metric = json!({"ratio": {"numerator": {"gauge": part}, "denominator": {"gauge": whole}}});
    let both = |value: f64| [at(part, value), at(whole, 100.0)].concat();
    let bad = bad.iter().map(|(value, severity)| (both(*value), *severity)).collect();
    item(name, metric, levels, both(good), bad)
}

/// The share of one result among a thousand requests per second.
fn requests(name: &str, counter: &str, result: &str, side: &str, bound: &str, good: f64, bad: f64) -> Item {
    let of = |result: &str| format!("{counter}{{result=\"{result}\"}}");
    let numerator = json!({"counter": counter, "labels": {"result": result}});
    let metric = json!({"ratio": {"numerator": numerator, "denominator": {"counter": counter}}});
    let split = |share: f64| vec![(of(result), Grows(1000.0 * share)), (of("another"), Grows(1000.0 * (1.0 - share)))];
    bounded(name, metric, side, bound, split(good), split(bad))
}

/// What is measured and has no number: whatever it does, nobody is paged.
fn informational(name: &str, metric: Value, good: Series, other: Series) -> Item {
    item(name, metric, json!([]), good, vec![(other, "")])
}

/// Runs a row: good, each bad value, good.
#[expect(clippy::needless_pass_by_value, reason = "a table reads best where it is made")]
fn row(test: &'static str, items: Vec<Item>) {
    cluster::test(&OPTIONS, test, async |cluster| {
        let thresholds: Vec<&Value> = items.iter().map(|item| &item.threshold).collect();
        let good: Series = items.iter().flat_map(|item| item.good.clone()).collect();
        let application = Application::start_with(cluster, json!({"thresholds": thresholds}), &good).await;
        application.stage.says(&[("Compliant", "True/Within"), ("MetricsAvailable", "True/Answered")]).await;
        application.alerts(&[]).await;
        let phases = items.iter().map(|item| item.bad.len()).max().unwrap_or_default();
        for phase in 0..phases {
            let mut exposed = Series::new();
            let mut expected = Vec::new();
            for item in &items {
                let Some((bad, severity)) = item.bad.get(phase) else {
                    exposed.extend(item.good.clone());
                    continue;
                };
                exposed.extend(bad.clone());
                if !severity.is_empty() {
                    expected.push(format!("{} {severity}", item.threshold["name"].as_str().unwrap()));
                }
            }
            expected.sort();
            application.expose(&exposed);
            application.alerts(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
            application.stage.says(&[("Compliant", "False/Breached"), ("MetricsAvailable", "True/Answered")]).await;
        }
        application.expose(&good);
        application.alerts(&[]).await;
        application.stage.says(&[("Compliant", "True/Within"), ("MetricsAvailable", "True/Answered")]).await;
    });
}

/// AI Beast, targets. No percentile is stated: the mean says so, and a gauge needs no statistic.
#[test]
fn ab1() {
    row(
        here!(),
        vec![
            latency("api-cached", "api_cached_seconds", "mean", "100ms"),
            latency("api-database", "api_database_seconds", "mean", "500ms"),
            gauge("health-checks-in-total", "health_checks_seconds", "above", "5s", 2.0, 9.0),
            latency("subprocess-call", "subprocess_seconds", "mean", "200ms"),
            share(
                "memory",
                "memory_used_bytes",
                "memory_total_bytes",
                json!([{"severity": "warning", "above": "80%"}]),
                60.0,
                &[(90.0, "warning")],
            ),
            share(
                "database-connections",
                "db_pool_in_use",
                "db_pool_max",
                json!([{"severity": "warning", "above": "50%"}]),
                40.0,
                &[(60.0, "warning")],
            ),
            informational(
                "open-files",
                json!({"gauge": "process_open_fds", "statistic": "max"}),
                at("process_open_fds", 40.0),
                at("process_open_fds", 60_000.0),
            ),
        ],
    );
}

/// AI Beast, throughput: a range is left on either side.
#[test]
fn ab2() {
    let files = "rag_files_total";
    row(
        here!(),
        vec![
            item(
                "ingestion",
                json!({"counter": files, "statistic": "rate"}),
                json!([{"severity": "warning", "below": "10/s", "above": "50/s"}]),
                growing(files, 30.0),
                vec![(growing(files, 5.0), "warning"), (growing(files, 80.0), "warning")],
            ),
            informational(
                "model-downloads",
                json!({"counter": "model_download_bytes_total"}),
                growing("model_download_bytes_total", 1e6),
                growing("model_download_bytes_total", 1e9),
            ),
        ],
    );
}

/// AI Beast, memory: two severities.
#[test]
fn ab3() {
    row(
        here!(),
        vec![share(
            "memory-available",
            "node_memory_MemAvailable_bytes",
            "node_memory_MemTotal_bytes",
            json!([{"severity": "warning", "below": "20%"}, {"severity": "critical", "below": "10%"}]),
            50.0,
            &[(15.0, "warning"), (5.0, "critical")],
        )],
    );
}

/// GRID, targets.
#[test]
fn gr1() {
    row(
        here!(),
        vec![
            latency("case-creation", "case_creation_seconds", "mean", "100ms"),
            latency("case-execution", "case_execution_seconds", "mean", "2s"),
            latency("event-processing", "event_processing_seconds", "mean", "50ms"),
            latency("api-response", "http_server_request_duration_seconds", "p95", "200ms"),
            latency("database-query", "db_query_seconds", "p95", "100ms"),
        ],
    );
}

/// GRID, alert thresholds: the success rate has the opposite comparator.
#[test]
fn gr2() {
    row(
        here!(),
        vec![
            gauge("cpu-usage", "cpu_usage_percent", "above", "80%", 50.0, 90.0),
            gauge("memory-usage", "memory_usage_percent", "above", "85%", 50.0, 90.0),
            gauge("disk-usage", "disk_usage_percent", "above", "90%", 50.0, 95.0),
            latency("response-time", "response_time_seconds", "mean", "2s"),
            requests("error-rate", "requests_total", "error", "above", "5%", 0.01, 0.2),
            requests("success-rate", "operations_total", "ok", "below", "95%", 0.99, 0.8),
            latency("slow-event-handler", "event_handler_seconds", "mean", "1s"),
            gauge("event-queue", "event_queue_size", "above", "1000", 200.0, 5000.0),
        ],
    );
}

/// Vrooli, the table of the system.
#[test]
fn vr1() {
    row(
        here!(),
        vec![
            gauge("startup", "startup_seconds", "above", "20s", 15.0, 30.0),
            latency("resource-response", "resource_response_seconds", "mean", "50ms"),
            latency("api-p50", "api_seconds", "p50", "50ms"),
            latency("api-p99", "api_slow_seconds", "p99", "200ms"),
            gauge("memory-idle", "memory_idle_bytes", "above", "2G", 1.7e9, 2.1e9),
            bounded(
                "memory-peak",
                json!({"gauge": "memory_bytes", "statistic": "max"}),
                "above",
                "8G",
                at("memory_bytes", 6e9),
                at("memory_bytes", 8.5e9),
            ),
        ],
    );
}

/// Vrooli, the table of resources: three numbers of each.
#[test]
fn vr3() {
    let mut items = Vec::new();
    for (resource, startup, memory, cpu) in [
        ("postgresql", 3.0, 500e6, 0.02),
        ("redis", 1.0, 100e6, 0.01),
        ("qdrant", 5.0, 800e6, 0.05),
        ("n8n", 15.0, 600e6, 0.03),
        ("ollama", 20.0, 2e9, 0.10),
    ] {
        let labels = json!({"resource": resource});
        let of = |metric: &str| format!("{metric}{{resource=\"{resource}\"}}");
        let one = |what: &str, kind: &str, metric: &str, bound: String, course: &dyn Fn(f64) -> Course| {
            let read = json!({kind: metric, "labels": labels});
            let exposed = |share: f64| vec![(of(metric), course(share))];
            bounded(&format!("{resource}-{what}"), read, "above", &bound, exposed(0.5), exposed(1.5))
        };
        items.push(one("startup", "gauge", "resource_startup_seconds", format!("{startup}s"), &|share| {
            At(startup * share)
        }));
        items.push(one("memory", "gauge", "resource_memory_bytes", format!("{}M", memory / 1e6), &|share| {
            At(memory * share)
        }));
        items.push(one("cpu", "counter", "resource_cpu_seconds_total", format!("{}%", cpu * 100.0), &|share| {
            Grows(cpu * share)
        }));
    }
    row(here!(), items);
}

/// Vrooli, memory control: the resident model.
#[test]
fn vr11() {
    row(
        here!(),
        vec![bounded(
            "ollama-model",
            json!({"gauge": "model_resident_bytes", "labels": {"model": "ollama"}, "statistic": "max"}),
            "above",
            "2G",
            at(r#"model_resident_bytes{model="ollama"}"#, 1.5e9),
            at(r#"model_resident_bytes{model="ollama"}"#, 2.5e9),
        )],
    );
}

/// Vrooli, goals against bottlenecks: improvements are shares of what was before.
#[test]
fn vr12() {
    row(
        here!(),
        vec![
            gauge("parallel-startup", "parallel_startup_seconds", "above", "15s", 10.0, 20.0),
            share(
                "query-time-of-before",
                "query_seconds",
                "query_before_seconds",
                json!([{"severity": "warning", "above": "20%"}]),
                15.0,
                &[(50.0, "warning")],
            ),
            share(
                "refresh-time-of-before",
                "refresh_seconds",
                "refresh_before_seconds",
                json!([{"severity": "warning", "above": "4%"}]),
                3.0,
                &[(10.0, "warning")],
            ),
        ],
    );
}

/// Grace, targets.
#[test]
fn gc1() {
    row(
        here!(),
        vec![
            latency("chat", "chat_seconds", "mean", "100ms"),
            latency("reflection", "reflection_seconds", "mean", "500ms"),
            latency("health-check", "health_check_seconds", "mean", "50ms"),
            informational(
                "sandbox",
                json!({"histogram": "sandbox_seconds", "statistic": "mean"}),
                observed("sandbox_seconds", 0.1),
                observed("sandbox_seconds", 20.0),
            ),
        ],
    );
}

/// Grace, load levels: how fast, and how much.
#[test]
fn gc2() {
    let mut items = Vec::new();
    for (level, millis, per_second) in [("light", 200.0, 100.0), ("medium", 500.0, 500.0), ("heavy", 1000.0, 1000.0)] {
        let (latency, served) = (format!("load_{level}_seconds"), format!("load_{level}_requests_total"));
        items.push(bounded(
            &format!("{level}-p95"),
            json!({"histogram": latency, "labels": {"load": level}, "statistic": "p95"}),
            "above",
            &format!("{millis}ms"),
            observed_at(&latency, &format!("load=\"{level}\""), millis / 4000.0, 1000.0),
            observed_at(&latency, &format!("load=\"{level}\""), millis / 250.0, 1000.0),
        ));
        items.push(rate(
            &format!("{level}-throughput"),
            &served,
            "below",
            &format!("{per_second}/s"),
            per_second * 1.5,
            per_second * 0.5,
        ));
    }
    row(here!(), items);
}

/// Alchemist, latency: frames per second have a lower bound.
#[test]
fn al1() {
    row(
        here!(),
        vec![
            latency("dialog", "alchemist_response_time_seconds", "mean", "100ms"),
            latency("first-token", "first_token_seconds", "mean", "500ms"),
            bounded(
                "dashboard-frames",
                json!({"gauge": "dashboard_fps", "statistic": "min"}),
                "below",
                "60",
                at("dashboard_fps", 75.0),
                at("dashboard_fps", 30.0),
            ),
        ],
    );
}

/// Alchemist, throughput: at least so much, over all pods.
#[test]
fn al2() {
    let summed = |name: &str, gauge: &str, bound: &str, good: f64, bad: f64| {
        bounded(name, json!({"gauge": gauge, "across": "Sum"}), "below", bound, at(gauge, good), at(gauge, bad))
    };
    row(
        here!(),
        vec![
            rate("events", "events_total", "below", "10k/s", 12_000.0, 5000.0),
            summed("dialogs", "dialogs_active", "1000", 1200.0, 500.0),
            summed("dashboard-connections", "dashboard_connections", "100", 150.0, 50.0),
        ],
    );
}

/// Alchemist, resources.
#[test]
fn al3() {
    row(
        here!(),
        vec![
            gauge("memory-base", "process_resident_memory_bytes", "above", "500M", 300e6, 700e6),
            rate("cpu-steady", "process_cpu_seconds_total", "above", "50%", 0.3, 0.9),
            informational(
                "network",
                json!({"counter": "network_bytes_total"}),
                growing("network_bytes_total", 1e6),
                growing("network_bytes_total", 1e9),
            ),
        ],
    );
}
