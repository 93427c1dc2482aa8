//! A Prometheus with three hours of history that `promtool` has made blocks of, and servers that are none.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{class, deployment, report, root, source, trimtab, write};

/// A whole hour.
const START: i64 = 1_795_197_600;
const HOURS: i64 = 3;

/// A Prometheus of its own.
struct Prometheus {
    child: Child,
    url: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself, which the test would have noticed.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn tools() -> PathBuf {
    let output = Command::new(root().join("tests/cluster/build.sh")).arg("prometheus").output().expect("run build.sh");
    assert!(output.status.success(), "building Prometheus: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

impl Prometheus {
    /// With that history, in `OpenMetrics`.
    fn with(folder: &Path, history: &str) -> Self {
        let tools = tools();
        let (text, data, config) = (folder.join("history.om"), folder.join("data"), folder.join("prometheus.yaml"));
        fs::write(&text, history).unwrap();
        fs::write(&config, "global: {scrape_interval: 1h}\n").unwrap();
        let mut make = Command::new(tools.join("bin/promtool"));
        let done = make.args(["tsdb", "create-blocks-from", "openmetrics"]).args([&text, &data]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut serve = Command::new(tools.join("libexec/prometheus"));
        serve.arg(format!("--config.file={}", config.display())).arg(format!("--storage.tsdb.path={}", data.display()));
        // However old it is by the time of the test, or new.
        serve.arg("--storage.tsdb.retention.time=100y").arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let log = fs::File::create(folder.join("log")).unwrap();
        let child = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("start Prometheus");
        let url = format!("http://127.0.0.1:{port}");
        let prometheus = Self { child, url };
        let end = Instant::now() + Duration::from_mins(1);
        while !prometheus.is_ready() {
            assert!(
                Instant::now() < end,
                "Prometheus is not ready: {}",
                fs::read_to_string(folder.join("log")).unwrap()
            );
            #[expect(clippy::disallowed_methods, reason = "between two looks at a process that has just been started")]
            std::thread::sleep(Duration::from_millis(100));
        }
        prometheus
    }

    fn is_ready(&self) -> bool {
        let address = self.url.trim_start_matches("http://");
        let Ok(mut stream) = std::net::TcpStream::connect(address) else { return false };
        let mut said = String::new();
        write!(stream, "GET /-/ready HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_to_string(&mut said).is_ok()
            && said.contains(" 200 ")
    }
}

/// Two pods of one Deployment: a queue that is too long for twenty minutes, and a counter of each of two tiers.
fn history(namespace: &str) -> String {
    let mut text = String::from("# TYPE queue gauge\n");
    let series = |pod: &str| format!("namespace=\"{namespace}\",pod=\"web-5d4f6c7b8d-{pod}\"");
    let steps = HOURS * 3600 / 15;
    for pod in ["bcdfg", "hjklm"] {
        for step in 0..=steps {
            let minute = step / 4;
            let value = if (60..80).contains(&minute) { 40 } else { 3 + step % 3 };
            text.push_str(&format!("queue{{{}}} {value} {}\n", series(pod), START + step * 15));
        }
    }
    text.push_str("# TYPE jobs counter\n");
    for (tier, busy) in [("gold", 100..130), ("basic", 0..0)] {
        let mut total = 0;
        for step in 0..=steps {
            total += if busy.contains(&(step / 4)) { 300 } else { 30 };
            text.push_str(&format!(
                "jobs_total{{{},tier=\"{tier}\"}} {total} {}\n",
                series("bcdfg"),
                START + step * 15
            ));
        }
    }
    text.push_str("# EOF\n");
    text
}

fn manifests(file: &Path) {
    let policy = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"mode": "Enforce", "className": "default", "target": {"kind": "Deployment", "name": "web"},
            "pools": [{"name": "db", "size": {"value": 10, "env": "DB_POOL_SIZE"}}],
            "thresholds": [
                {"name": "queue", "metric": {"gauge": "queue"}, "levels": [{"severity": "warning", "above": "20", "for": "5m"}]},
                {"name": "jobs", "metric": {"counter": "jobs_total", "window": "5m", "by": ["tier"]},
                    "levels": [{"severity": "critical", "above": "10/s"}]},
                {"name": "absent", "metric": {"gauge": "nothing_of_that_name"}, "levels": [{"severity": "warning", "above": "1"}]}],
            "profiles": [{"name": "long", "when": {"threshold": "queue", "enter": "30", "leave": "10", "dwell": "10m"},
                "set": {"pools.db.size": 20}}]}});
    write(file, &[policy, deployment("shop"), class(), source("30s")]);
}

#[test]
fn live_history_and_its_recording_give_the_same_report() {
    let folder = tempfile::tempdir().expect("a directory");
    let prometheus = Prometheus::with(folder.path(), &history("shop"));
    let file = folder.path().join("web.yaml");
    manifests(&file);
    let recorded = folder.path().join("recorded");
    let (file, recorded) = (file.to_str().unwrap(), recorded.to_str().unwrap());
    let period = ["--from", "2026-11-20T18:00:30Z", "--to", "2026-11-20T21:00:00Z"];
    let live = report(&[&["-f", file, "--source", &prometheus.url, "--record", recorded][..], &period].concat());
    let again = report(&[&["-f", file, "--recorded", recorded][..], &period].concat());
    assert_eq!(live, again);

    let thresholds = live["policies"][0]["thresholds"].as_array().unwrap();
    let of = |name: &str, series: Option<&str>| {
        let found = thresholds.iter().find(|one| one["name"] == name && one["series"].as_str() == series);
        found.unwrap_or_else(|| panic!("no {name} {series:?} in {thresholds:#?}"))
    };
    let spells = |threshold: &Value, state: &str| -> Vec<(String, String)> {
        let all = threshold["verdicts"].as_array().unwrap().iter().filter(|spell| spell["state"] == state);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        all.map(|spell| (text(&spell["since"]), text(&spell["until"]))).collect()
    };
    // From minute 60 to 80 of history the queue is too long; it counts after five minutes.
    let queue = of("queue", None);
    assert_eq!(spells(queue, "Breached"), [("2026-11-20T19:05:00Z".to_owned(), "2026-11-20T19:20:00Z".to_owned())]);
    assert_eq!((&queue["readings"], &queue["breaches"], &queue["flaps"]), (&360.into(), &1.into(), &0.into()));
    let gold = spells(of("jobs", Some("tier=\"gold\"")), "Breached");
    assert_eq!(gold.len(), 1, "{gold:?}");
    assert!(gold[0].0.starts_with("2026-11-20T19:4") && gold[0].1.starts_with("2026-11-20T20:1"), "{gold:?}");
    assert_eq!(spells(of("jobs", Some("tier=\"basic\"")), "Breached"), []);
    assert_eq!(of("absent", None)["readings"], 0);
    let profile = &live["policies"][0]["profiles"][0];
    assert_eq!((&profile["profile"], &profile["since"]), (&"long".into(), &"2026-11-20T19:00:00Z".into()));
    let changes = live["policies"][0]["changes"].as_array().unwrap();
    let moves: Vec<_> = changes.iter().map(|one| (one["path"].as_str(), one["to"].as_str())).collect();
    assert_eq!(moves, [(Some("pools.db.size"), Some("20")), (Some("pools.db.size"), Some("10"))]);
    let alerts: Vec<_> = live["alerts"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(
        alerts,
        ["TrimtabNoData", "TrimtabThresholdBreached", "TrimtabThresholdBreached"],
        "of what has no series, of the queue, of one tier"
    );

    // A handful of ranges for 360 sweeps of three thresholds.
    assert!(fs::read_dir(recorded).unwrap().count() <= 8, "{:?}", fs::read_dir(recorded).unwrap().collect::<Vec<_>>());
    let taken = trimtab(&["replay", "-f", file, "--source", &prometheus.url, "--record", recorded, "--from", "-1h"]);
    assert_eq!(taken.status.code(), Some(2), "a recording is not written over");
}

/// A server that answers everything so.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            // Whoever hangs up early gets nothing.
            let _ = stream.read(&mut request).and_then(|_| stream.write_all(answer.as_bytes()));
        }
    });
    url
}

#[test]
fn a_server_that_is_none_is_an_error_and_no_history() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("web.yaml");
    manifests(&file);
    let page =
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>";
    let away = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let closed = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for (answer, reason) in [(page, "BadResponse"), (away, "BackendUnavailable"), (closed, "BackendUnauthorized")] {
        let url = answering(answer);
        let output = trimtab(&["replay", "-f", file.to_str().unwrap(), "--source", &url, "--from", "-1h"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(reason) && output.stdout.is_empty(), "{said}");
        assert!(!said.contains("<html>"), "what others answer is not repeated: {said}");
    }
}
