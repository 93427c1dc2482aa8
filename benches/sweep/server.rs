//! A real Prometheus with the samples of the fleet.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::fleet;

pub struct Server {
    process: Child,
    pub url: String,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Makes blocks of the samples, and serves them.
    pub async fn start(workloads: usize) -> Self {
        let tools = tools();
        let folder = tempfile::tempdir().expect("a directory");
        let (samples, data) = (folder.path().join("samples"), folder.path().join("data"));
        fleet::write_samples(&samples, workloads).expect("write samples");
        let made = Command::new(tools.join("bin/promtool"))
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&samples, &data])
            .stdout(Stdio::null())
            .status();
        assert!(made.is_ok_and(|status| status.success()), "promtool cannot make blocks of {}", samples.display());
        fs::remove_file(&samples).expect("remove the samples");
        let config = folder.path().join("prometheus.yml");
        fs::write(&config, "global: {scrape_interval: 1h}\n").expect("write a configuration");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a free port").port();
        let url = format!("http://127.0.0.1:{port}");
        let option = |name: &str, value: &Path| format!("--{name}={}", value.display());
        let process = Command::new(tools.join("libexec/prometheus"))
            .args([option("config.file", &config), option("storage.tsdb.path", &data)])
            .args(["--storage.tsdb.retention.time=100y", "--log.level=error"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .spawn()
            .expect("start Prometheus");
        let server = Self { process, url, _folder: folder };
        let client = reqwest::Client::new();
        for _ in 0..600 {
            let ready = client.get(format!("{}/-/ready", server.url)).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("Prometheus is not ready after a minute");
    }

    /// Processor time that it has used, in seconds.
    pub fn processor(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("its figures");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default();
        // User and system time; a tick is a hundredth of a second on Linux.
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Bytes of all answers to queries so far, as they were sent.
    pub async fn bytes(&self) -> f64 {
        let text =
            reqwest::get(format!("{}/metrics", self.url)).await.expect("its metrics").text().await.expect("text");
        let of_queries = |line: &&str| {
            line.starts_with("prometheus_http_response_size_bytes_sum{") && line.contains("\"/api/v1/query\"")
        };
        let line = text.lines().find(of_queries);
        line.and_then(|line| line.rsplit(' ').next()).and_then(|sum| sum.parse().ok()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

/// Where Prometheus and promtool are: `PROMETHEUS_TOOLS`, or what `tests/cluster/build.sh prometheus` has built.
fn tools() -> PathBuf {
    if let Ok(folder) = env::var("PROMETHEUS_TOOLS") {
        return folder.into();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/build.sh");
    let output = Command::new(script).arg("prometheus").output().expect("run tests/cluster/build.sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().into()
}
