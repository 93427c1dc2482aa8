//! The names and labels that builtins read are those of a real kubelet: its cAdvisor is scraped, and a container that is
//! throttled by a real cgroup is told so. Its limit alone is said by the test, in the words of kube-state-metrics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/idle.rs"]
mod idle;
#[path = "real_metrics/stage.rs"]
mod stage;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::PostParams};
use serde_json::json;

use self::{cluster::Options, stage::Stage};

const OPTIONS: Options = Options { real_nodes: true, prometheus: true, audit: true, ..Options::DEFAULT };

/// The pod by whose name the scrape job goes.
const POD: &str = "web-5d4f6c7b8d-bcdfg";

/// A container that wants more CPU than it may have.
fn busy() -> Pod {
    let limits = json!({"cpu": "50m", "memory": "64Mi"});
    let container = json!({"name": "app", "image": "localhost/busybox:1", "imagePullPolicy": "Never",
        "command": ["sh", "-c", "while :; do :; done"], "resources": {"limits": limits}});
    serde_json::from_value(json!({"metadata": {"name": POD},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}))
    .expect("a Pod")
}

/// Passes on what the kubelet of the pod's node says of its namespace, again and again.
async fn relay_kubelet(client: kube::Client, namespace: String, exposed: Arc<Mutex<String>>) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let of_namespace = format!("namespace=\"{namespace}\"");
    loop {
        ticks.tick().await;
        let Ok(Some(spec)) = pods.get(POD).await.map(|pod| pod.spec) else { continue };
        let Some(node) = spec.node_name else { continue };
        let url = format!("/api/v1/nodes/{node}/proxy/metrics/cadvisor");
        let request = axum::http::Request::get(url).body(Vec::new()).expect("a request");
        let Ok(text) = client.request_text(request).await else { continue };
        let mut lines: Vec<&str> = text.lines().filter(|line| line.contains(&of_namespace)).collect();
        lines.push(r#"kube_pod_container_resource_limits{container="app",resource="memory",unit="byte"} 67108864"#);
        lines.push("");
        *exposed.lock().unwrap() = lines.join("\n");
    }
}

#[test]
fn a_real_kubelet_exports_what_builtins_read() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let of = |builtin: &str| json!({"builtin": builtin, "window": "1m", "labels": {"container": "app"}});
        let thresholds = json!([
            {"name": "throttled", "metric": of("CPUThrottled"), "levels": [{"severity": "warning", "above": "5%"}]},
            // Something is always used, and never all of it.
            {"name": "memory", "metric": of("MemoryAvailable"), "levels": [{"severity": "info", "below": "100%"}, {"severity": "critical", "below": "1%"}]}]);
        let stage = Stage::exposing(cluster, thresholds, "").await;
        let pods: Api<Pod> = Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
        pods.create(&PostParams::default(), &busy()).await.expect("create the pod");
        let relay = relay_kubelet(stage.cluster.client.clone(), stage.namespace.clone(), stage.exposed.clone());
        let relay = tokio::spawn(relay);
        stage.alarms(&["TrimtabThresholdBreached info", "TrimtabThresholdBreached warning"]).await;
        stage.says(&[("MetricsAvailable", "True/Answered")]).await;
        relay.abort();
        pods.delete(POD, &kube::api::DeleteParams::default()).await.expect("delete the pod");
    });
}
