//! Two replicas of a real Alertmanager with the example's route tree, and a receiver that writes down what arrives.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::Uri};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use trimtab::api::MetricsSource;

use crate::{
    cluster::eventually,
    examples,
    stage::{PATIENCE, Stage},
};

/// Alerts as they arrived: the receiver, `firing` or `resolved`, and the alert.
type Arrived = Arc<Mutex<Vec<(String, String, Value)>>>;

pub struct Alertmanagers {
    pub urls: Vec<String>,
    pub arrived: Arrived,
    http: reqwest::Client,
    processes: Vec<Child>,
    directory: PathBuf,
}

impl Drop for Alertmanagers {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // One that a test has stopped is gone already.
            let _ = process.kill().and_then(|()| process.wait());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").expect("PATH");
    std::env::split_paths(&path)
        .map(|folder| folder.join("../libexec/alertmanager"))
        .find(|program| program.exists())
        .expect("alertmanager beside the cluster's programs")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The example with our receiver, and with times that a test can wait for.
fn config(receiver: &str) -> String {
    let text = fs::read_to_string(examples::example("alertmanager.yaml")).unwrap();
    for (field, said) in [("group_wait", "30s"), ("group_interval", "5m"), ("receiver", "")] {
        assert!(text.contains(&format!("{field}: {said}")), "the example says something else of {field}");
    }
    text.replace("http://receiver.alerting.svc:8080", receiver)
        .replace("group_wait: 30s", "group_wait: 1s")
        .replace("group_interval: 5m", "group_interval: 1s")
}

async fn take(State(arrived): State<Arrived>, uri: Uri, body: Bytes) {
    let notification: Value = serde_json::from_slice(&body).expect("a notification");
    for alert in notification["alerts"].as_array().into_iter().flatten() {
        let status = alert["status"].as_str().unwrap_or_default().to_owned();
        let entry = (uri.path().trim_start_matches('/').to_owned(), status, alert.clone());
        arrived.lock().unwrap().push(entry);
    }
}

impl Alertmanagers {
    /// Starts both, and tells the source of the stage to use them.
    pub async fn start(stage: &Stage) -> Self {
        let arrived = Arrived::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = format!("http://{}", listener.local_addr().unwrap());
        let pages = Router::new().fallback(take).with_state(arrived.clone());
        tokio::spawn(async move { axum::serve(listener, pages).await });
        let directory = std::env::temp_dir().join(format!("trimtab-alerting-{}", stage.namespace));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("alertmanager.yaml");
        fs::write(&file, config(&receiver)).unwrap();
        let (ports, gossip) = ([free_port(), free_port()], [free_port(), free_port()]);
        let processes = (0..2).map(|n| replica(&directory, &file, n, ports[n], gossip)).collect();
        let urls: Vec<String> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        let all = Self { urls, arrived, http, processes, directory };
        for url in &all.urls {
            eventually(PATIENCE, "both replicas are ready and know each other", async || {
                let status: Value = all.get(url, "status").await?;
                let peers = status["cluster"]["peers"].as_array().map_or(0, Vec::len);
                if peers == 2 { Ok(()) } else { Err(status["cluster"].to_string()) }
            })
            .await;
        }
        let sources: Api<MetricsSource> = Api::all(stage.cluster.client.clone());
        let patch = json!({"spec": {"alertmanagers": all.urls}});
        sources.patch(&stage.namespace, &PatchParams::default(), &Patch::Merge(&patch)).await.expect("edit the source");
        all
    }

    /// Ends one of them.
    pub fn stop(&mut self, n: usize) {
        self.processes[n].kill().and_then(|()| self.processes[n].wait()).expect("end an Alertmanager");
    }

    pub async fn get(&self, url: &str, what: &str) -> Result<Value, String> {
        let answer = self.http.get(format!("{url}/api/v2/{what}")).send().await.map_err(|error| error.to_string())?;
        answer.json().await.map_err(|error| error.to_string())
    }

    /// Waits until an alert with these labels has arrived at a receiver, in this state.
    pub async fn arrives(&self, receiver: &str, status: &str, labels: &[(&str, &str)]) -> Value {
        let what = format!("an alert {labels:?} arrives at {receiver} as {status}");
        eventually(PATIENCE, &what, async || {
            let arrived = self.arrived.lock().unwrap();
            let fits = |alert: &Value| labels.iter().all(|(label, value)| alert["labels"][label] == *value);
            let found = arrived.iter().rev().find(|(to, is, alert)| to == receiver && is == status && fits(alert));
            found.map(|(_, _, alert)| alert.clone()).ok_or_else(|| format!("{arrived:?}"))
        })
        .await
    }

    /// Which receivers have got an alert with these labels.
    pub fn receivers(&self, labels: &[(&str, &str)]) -> Vec<String> {
        let arrived = self.arrived.lock().unwrap();
        let fits = |alert: &Value| labels.iter().all(|(label, value)| alert["labels"][label] == *value);
        let mut to: Vec<String> =
            arrived.iter().filter(|(_, _, alert)| fits(alert)).map(|(to, ..)| to.clone()).collect();
        to.sort();
        to.dedup();
        to
    }

    /// The silences for a workload, as `(id, state, endsAt)`.
    pub async fn silences(&self, url: &str, namespace: &str, target: &str) -> Result<Vec<Value>, String> {
        let all = self.get(url, "silences").await?;
        let named = |silence: &Value, label: &str, value: &str| {
            let mut matchers = silence["matchers"].as_array().into_iter().flatten();
            matchers.any(|matcher| matcher["name"] == label && matcher["value"] == value)
        };
        let all = all.as_array().cloned().unwrap_or_default();
        let ours = |silence: &Value| named(silence, "namespace", namespace) && named(silence, "target", target);
        Ok(all.into_iter().filter(ours).collect())
    }
}

fn replica(directory: &Path, file: &Path, n: usize, port: u16, gossip: [u16; 2]) -> Child {
    let mut command = Command::new(program());
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.path={}", directory.join(format!("data-{n}")).display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg(format!("--cluster.listen-address=127.0.0.1:{}", gossip[n]))
        .arg(format!("--cluster.advertise-address=127.0.0.1:{}", gossip[n]))
        .arg(format!("--cluster.peer=127.0.0.1:{}", gossip[1 - n]))
        .args(["--cluster.peer-timeout=1s", "--cluster.settle-timeout=5s", "--log.level=warn"])
        .stdin(Stdio::null());
    command.spawn().expect("start an Alertmanager")
}
