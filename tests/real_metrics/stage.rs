//! The world around one policy: an application that the test plays, a real Prometheus behind a relay that can be told to
//! lie, a real Alertmanager, and the operator as a process of its own.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test program uses a part of it; a test fails by panicking"
)]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::get,
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use trimtab::api::{MetricsSource, PerformanceClass, PerformancePolicy};

use crate::{
    cluster::{Cluster, eventually},
    idle,
};

/// Time for anything that takes a few scrapes and sweeps.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// What stands between the operator and Prometheus does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// Passes everything on.
    Honest,
    /// Answers 503.
    Away,
    /// Never answers.
    Silent,
    /// Answers 200 with a page of a proxy.
    Page,
    /// Answers half of what Prometheus says.
    Truncated,
    /// Answers a hundred megabytes of JSON.
    Huge,
    /// Answers 422, as a server does that cannot execute a query.
    Unprocessable,
    /// Answers 504, as a proxy does that waits in vain.
    Late,
    /// Adds a warning that the answer is incomplete.
    Partial,
    /// Refuses the credential.
    Closed,
    /// Asks to slow down.
    Busy,
    /// Answers what was so three minutes ago, as a cache does.
    Behind,
    /// Answers what will be so in three minutes, as a backend with a clock of its own does.
    Ahead,
}

/// The world around one policy.
pub struct Stage {
    pub cluster: Cluster,
    pub namespace: String,
    pub exposed: Arc<Mutex<String>>,
    /// Where the operator tells of itself. Prometheus scrapes that, too.
    pub metrics: SocketAddr,
    relay: Arc<Mutex<Relay>>,
    asked: Asked,
    http: reqwest::Client,
    scrape: PathBuf,
    /// Its own account, by which the audit log tells it from the test.
    kubeconfig: PathBuf,
    operator: Child,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The process may have ended by itself, which the test would have noticed.
        let _ = self.operator.kill().and_then(|()| self.operator.wait());
        let _ = fs::remove_file(&self.scrape);
        let _ = fs::remove_file(&self.kubeconfig);
    }
}

impl Stage {
    /// With an application that exposes `queue 3`.
    pub async fn set(cluster: Cluster, thresholds: Value) -> Self {
        Self::exposing(cluster, thresholds, "queue 3\n").await
    }

    pub async fn exposing(cluster: Cluster, thresholds: Value, exposed: &str) -> Self {
        Self::exposing_to(cluster, json!({"thresholds": thresholds}), exposed).await
    }

    /// With a policy that has these fields beside its target and its knob.
    pub async fn exposing_to(cluster: Cluster, fields: Value, exposed: &str) -> Self {
        Self::scraped(cluster, fields, exposed, json!({}), "1s").await
    }

    /// The same, with more fields of the scrape job, and another time between two sweeps.
    pub async fn scraped(cluster: Cluster, fields: Value, exposed: &str, job: Value, interval: &str) -> Self {
        trimtab::shell::tls::install_provider();
        cluster.install_crds().await;
        let namespace = cluster.namespace().await;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        let exposed = Arc::new(Mutex::new(exposed.to_owned()));
        let relay = Arc::new(Mutex::new(Relay::Honest));
        let pages = Router::new().route("/metrics", get(expose)).with_state(exposed.clone());
        let application = serve(pages).await;
        let metrics = free_address();
        let scrape = scrape(&namespace, application, metrics, &job);
        let reload = http.post(format!("{}/-/reload", cluster.prometheus())).send().await.unwrap();
        assert!(reload.status().is_success(), "Prometheus does not take the scrape job: {reload:?}");
        let prometheus = cluster.prometheus();
        let asked = Asked::default();
        let pages = Router::new().fallback(pass).with_state((relay.clone(), asked.clone(), http.clone(), prometheus));
        let source = format!("http://{}", serve(pages).await);
        objects(&cluster, &namespace, &source, fields, interval).await;
        let kubeconfig = account(&namespace);
        let operator = operator(&namespace, &kubeconfig, metrics);
        Self { cluster, namespace, exposed, metrics, relay, asked, http, scrape, kubeconfig, operator }
    }

    /// Kills the operator.
    pub fn kill(&mut self) {
        self.operator.kill().and_then(|()| self.operator.wait()).expect("kill the operator");
    }

    /// Starts it anew.
    pub fn start(&mut self) {
        self.operator = operator(&self.namespace, &self.kubeconfig, self.metrics);
    }

    /// What the operator has written since its start that people own, from the audit log: verb and resource. What met another
    /// write (409) wrote nothing and is decided anew.
    pub fn target_writes(&self) -> Vec<String> {
        let log = fs::read_to_string(self.cluster.audit_log()).expect("read the audit log");
        // The last line may be half written; then it is not answered yet either.
        let lines =
            log.split_inclusive('\n').filter(|line| line.ends_with('\n') && line.contains(&user(&self.namespace)));
        let events = lines.map(|line| serde_json::from_str::<Value>(line).expect("a line of the audit log"));
        let ours = events.filter(|event| {
            event["impersonatedUser"]["username"] == *user(&self.namespace)
                && event["stage"] == "ResponseComplete"
                && event["responseStatus"]["code"] != 409
                && !["get", "list", "watch"].contains(&event["verb"].as_str().unwrap_or_default())
                && event["objectRef"]["subresource"] != "status"
                && !["events", "leases"].contains(&event["objectRef"]["resource"].as_str().unwrap_or_default())
        });
        ours.map(|event| {
            let object = &event["objectRef"];
            format!(
                "{} {}",
                event["verb"].as_str().unwrap_or_default(),
                object["resource"].as_str().unwrap_or_default()
            )
        })
        .collect()
    }

    /// Sets the policy's knob, and waits until its Deployment has the value and nothing else was written by then.
    pub async fn set_pool(&self, size: u32) {
        let before = self.target_writes();
        let policies: Api<PerformancePolicy> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let patch = json!({"spec": {"pools": pool(size)}});
        policies.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("edit the policy");
        eventually(PATIENCE, &format!("the Deployment has {size}"), async || {
            let spec = serde_json::to_value(self.deployment().await.spec).expect("a spec");
            let value = spec["template"]["spec"]["containers"][0]["env"][0]["value"].clone();
            if value == *size.to_string() { Ok(()) } else { Err(value) }
        })
        .await;
        self.says(&[("Applied", "True/Applied")]).await;
        let wanted = [before, vec!["patch deployments".to_owned()]].concat();
        assert_eq!(self.target_writes(), wanted, "one write for one change of the spec");
    }

    pub fn expose(&self, text: &str) {
        text.clone_into(&mut self.exposed.lock().unwrap());
    }

    pub fn relay(&self, relay: Relay) {
        *self.relay.lock().unwrap() = relay;
    }

    /// When the operator asked something with this text.
    pub fn asked(&self, text: &str) -> Vec<std::time::Instant> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(_, query)| query.contains(text)).map(|(at, _)| *at).collect()
    }

    /// Gives the policy other thresholds.
    pub async fn set_thresholds(&self, thresholds: Value) {
        let policies: Api<PerformancePolicy> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let patch = json!({"spec": {"thresholds": thresholds}});
        policies.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("edit the policy");
    }

    pub async fn policy(&self) -> PerformancePolicy {
        let policies: Api<PerformancePolicy> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        policies.get("web").await.expect("read the policy")
    }

    /// `status/reason` of a condition.
    pub async fn condition(&self, kind: &str) -> String {
        let status = self.policy().await.status.unwrap_or_default();
        let found = status.conditions.into_iter().find(|condition| condition.type_ == kind);
        found.map_or_else(String::new, |condition| format!("{}/{}", condition.status, condition.reason))
    }

    /// Waits until conditions are as they should.
    pub async fn says(&self, wanted: &[(&str, &str)]) {
        for (kind, value) in wanted {
            let what = format!("{kind} is {value}");
            eventually(PATIENCE, &what, async || {
                let found = self.condition(kind).await;
                if found == *value { Ok(()) } else { Err(found) }
            })
            .await;
        }
    }

    /// The alerts of this namespace (or of its source) that the Alertmanager holds for active.
    pub async fn alerts(&self) -> Vec<Value> {
        let url = format!("{}/api/v2/alerts?active=true", self.cluster.alertmanager());
        let alerts: Vec<Value> = self.http.get(url).send().await.unwrap().json().await.unwrap();
        let ours = |alert: &Value| {
            alert["labels"]["namespace"] == *self.namespace || alert["labels"]["source"] == *self.namespace
        };
        alerts.into_iter().filter(ours).collect()
    }

    /// Waits until exactly these alerts are active, as `alertname severity`.
    pub async fn alarms(&self, wanted: &[&str]) -> Vec<Value> {
        eventually(PATIENCE, &format!("the active alerts are {wanted:?}"), async || {
            let alerts = self.alerts().await;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let mut names: Vec<String> = alerts
                .iter()
                .map(|alert| format!("{} {}", text(&alert["labels"]["alertname"]), text(&alert["labels"]["severity"])))
                .collect();
            names.sort();
            if names == wanted { Ok(alerts) } else { Err(names) }
        })
        .await
    }

    pub async fn source(&self) -> MetricsSource {
        let sources: Api<MetricsSource> = Api::all(self.cluster.client.clone());
        sources.get(&self.namespace).await.expect("read the source")
    }

    pub async fn deployment(&self) -> Deployment {
        let deployments: Api<Deployment> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        deployments.get("web").await.expect("read the Deployment")
    }
}

fn operator(namespace: &str, kubeconfig: &Path, metrics: SocketAddr) -> Child {
    let mut operator = Command::new(env!("CARGO_BIN_EXE_trimtab"));
    operator
        .args(["operator", &format!("--listen={metrics}"), "--namespaces", namespace])
        .env("KUBECONFIG", kubeconfig);
    operator.stdin(Stdio::null()).spawn().expect("start the operator")
}

/// The application's metrics.
async fn expose(State(exposed): State<Arc<Mutex<String>>>) -> Response {
    let text = exposed.lock().unwrap().clone();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// What was asked, and when: the bodies as they came.
type Asked = Arc<Mutex<Vec<(std::time::Instant, String)>>>;

type Way = (Arc<Mutex<Relay>>, Asked, reqwest::Client, String);

/// Passes a request on to Prometheus, or lies.
async fn pass(
    State((relay, asked, http, prometheus)): State<Way>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let relay = *relay.lock().unwrap();
    asked.lock().unwrap().push((std::time::Instant::now(), String::from_utf8_lossy(&body).into_owned()));
    match relay {
        Relay::Away => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Relay::Closed => return StatusCode::UNAUTHORIZED.into_response(),
        Relay::Busy => return StatusCode::TOO_MANY_REQUESTS.into_response(),
        Relay::Late => return StatusCode::GATEWAY_TIMEOUT.into_response(),
        Relay::Unprocessable => {
            let error = json!({"status": "error", "errorType": "execution", "error": "found duplicate series"});
            return (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response();
        }
        Relay::Huge => {
            let mut body = br#"{"status":"success","data":{"resultType":"vector","result":["#.to_vec();
            body.resize(100 << 20, b' ');
            body.extend_from_slice(b"]}}");
            return body.into_response();
        }
        Relay::Page => return "<html><title>Sign in</title></html>".into_response(),
        Relay::Silent => std::future::pending().await,
        Relay::Honest | Relay::Truncated | Relay::Partial | Relay::Behind | Relay::Ahead => {}
    }
    let url = format!("{prometheus}{uri}");
    let kind = headers.get(CONTENT_TYPE).cloned();
    let mut request = http.post(url).body(body);
    request = kind.into_iter().fold(request, |request, kind| request.header(CONTENT_TYPE, kind));
    let Ok(answer) = request.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = answer.status();
    let Ok(mut text) = answer.text().await else { return StatusCode::BAD_GATEWAY.into_response() };
    match relay {
        Relay::Truncated => text.truncate(text.len() / 2),
        Relay::Partial => text = text.replacen('{', r#"{"warnings":["a store did not answer"],"#, 1),
        Relay::Behind => text = of_another_time(&text, -180.0),
        Relay::Ahead => text = of_another_time(&text, 180.0),
        _ => {}
    }
    (status, [(CONTENT_TYPE, "application/json")], text).into_response()
}

/// An answer as of so many seconds later.
fn of_another_time(answer: &str, seconds: f64) -> String {
    let mut answer: Value = serde_json::from_str(answer).expect("an answer in JSON");
    for series in answer["data"]["result"].as_array_mut().into_iter().flatten() {
        let time = series["value"][0].as_f64().expect("the time of an instant query");
        series["value"][0] = (time + seconds).into();
    }
    answer.to_string()
}

async fn serve(pages: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, pages).await });
    address
}

/// An address of this machine that nobody listens at.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// Tells Prometheus to scrape the application as a pod of the Deployment `web`, and the operator as the chart's `ServiceMonitor`
/// does.
fn scrape(namespace: &str, application: SocketAddr, operator: SocketAddr, more: &Value) -> PathBuf {
    let directory: PathBuf = std::env::var_os("CLUSTER_DIR").expect("CLUSTER_DIR, which the test cluster sets").into();
    let directory = directory.join("prom/scrape");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join(format!("{namespace}.yaml"));
    let labels = json!({"namespace": namespace, "pod": "web-5d4f6c7b8d-bcdfg"});
    let mut job = json!({"job_name": namespace, "scrape_interval": "1s", "scrape_timeout": "1s",
        // What is exposed with a pod of its own speaks for that pod.
        "honor_labels": true,
        "static_configs": [{"targets": [application.to_string()], "labels": labels}]});
    job.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let own = json!({"job_name": format!("{namespace}-operator"), "scrape_interval": "1s", "scrape_timeout": "1s",
        "honor_labels": true, "static_configs": [{"targets": [operator.to_string()]}]});
    fs::write(&file, json!({"scrape_configs": [job, own]}).to_string()).unwrap();
    file
}

/// The account of the operator of that namespace.
fn user(namespace: &str) -> String {
    format!("trimtab-{namespace}")
}

/// The administrator's kubeconfig, in another user's name.
fn account(namespace: &str) -> PathBuf {
    let file: PathBuf = std::env::var_os("KUBECONFIG").expect("KUBECONFIG, which the test cluster sets").into();
    let text = fs::read_to_string(&file).expect("read the kubeconfig");
    let mut config: Value = serde_saphyr::from_str(&text).expect("a kubeconfig");
    let person = config["users"][0]["user"].as_object_mut().expect("a user");
    person.insert("as".into(), user(namespace).into());
    person.insert("as-groups".into(), json!(["system:masters"]));
    let own = std::env::temp_dir().join(format!("trimtab-{namespace}.kubeconfig"));
    let mut options = fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create(true).truncate(true), 0o600);
    let mut out = options.open(&own).expect("create a kubeconfig");
    std::io::Write::write_all(&mut out, config.to_string().as_bytes()).expect("write a kubeconfig");
    own
}

/// The policy's knob.
fn pool(size: u32) -> Value {
    json!([{"name": "db", "size": {"value": size, "env": "DB_POOL_SIZE"}}])
}

async fn objects(cluster: &Cluster, namespace: &str, source: &str, fields: Value, interval: &str) {
    let client = cluster.client.clone();
    let params = PostParams::default();
    let source: MetricsSource = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "MetricsSource", "metadata": {"name": namespace},
        "spec": {"prometheus": {"url": source}, "interval": interval, "timeout": "1s", "alertmanagers": [cluster.alertmanager()]}}))
    .unwrap();
    Api::all(client.clone()).create(&params, &source).await.expect("create the source");
    let class: PerformanceClass = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformanceClass", "metadata": {"name": namespace},
        "spec": {"source": namespace, "sink": "Alertmanager", "freeQueries": true, "alertLabels": {"team": "platform"}}}))
    .unwrap();
    Api::all(client.clone()).create(&params, &class).await.expect("create the class");
    let deployment = idle::deployment("web", &json!([]));
    Api::namespaced(client.clone(), namespace).create(&params, &deployment).await.expect("create the Deployment");
    let mut policy = json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"name": "web"},
        "spec": {"className": namespace, "mode": "Enforce", "target": {"kind": "Deployment", "name": "web"}, "pools": pool(1)}});
    for (field, value) in fields.as_object().unwrap() {
        policy["spec"][field] = value.clone();
    }
    let policy: PerformancePolicy = serde_json::from_value(policy).unwrap();
    Api::namespaced(client, namespace).create(&params, &policy).await.expect("create the policy");
}
