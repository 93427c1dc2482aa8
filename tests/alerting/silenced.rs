//! What a rollout of ours explains wakes nobody, by a silence that real Alertmanagers hold; and nothing else is silenced.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use trimtab::{api::PerformancePolicy, core::facts::Instant};

use crate::{
    OPTIONS, cluster,
    cluster::{eventually, within},
    here, idle,
    receiver::Alertmanagers,
    stage::{PATIENCE, Stage},
};

/// A lease, and what a look takes.
const LAPSE: Duration = Duration::from_secs(150);

fn thresholds() -> Value {
    json!([{"name": "restarts", "metric": {"builtin": "Restarts", "window": "40s"},
        "levels": [{"severity": "warning", "above": 2}]}])
}

/// What kube-state-metrics says of a pod of each workload that was restarted so often.
fn exposed(web: u32, other: u32) -> String {
    let pod = |pod: &str, uid: &str, restarts: u32| {
        let labels = format!("container=\"app\",pod=\"{pod}\",uid=\"{uid}\"");
        format!("kube_pod_container_status_restarts_total{{{labels}}} {restarts}\n")
    };
    pod("web-5d4f6c7b8d-bcdfg", "a", web) + &pod("other-5d4f6c7b8d-bcdfg", "b", other)
}

async fn deployment(stage: &Stage, name: &str, spec: Value) {
    let deployments: Api<Deployment> = Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
    let patch = Patch::Strategic(json!({"spec": spec}));
    deployments.patch(name, &PatchParams::default(), &patch).await.expect("edit a Deployment");
}

/// A second workload with a policy and a threshold of the same name, which nobody rolls out.
async fn other(stage: &Stage) {
    let client = stage.cluster.client.clone();
    let params = PostParams::default();
    let deployment = idle::deployment("other", &json!([]));
    Api::namespaced(client.clone(), &stage.namespace).create(&params, &deployment).await.expect("create a Deployment");
    let policy: PerformancePolicy = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"name": "other"},
        "spec": {"className": stage.namespace, "target": {"kind": "Deployment", "name": "other"},
            "thresholds": thresholds()}}))
    .unwrap();
    Api::namespaced(client, &stage.namespace).create(&params, &policy).await.expect("create a policy");
}

/// Begins a rollout, which ends when pods may count as available.
async fn roll_out(stage: &Stage, size: u32) {
    let policies: Api<PerformancePolicy> = Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
    let patch = json!({"spec": {"pools": [{"name": "db", "size": {"value": size, "env": "DB_POOL_SIZE"}}]}});
    policies.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("edit the policy");
}

/// Waits until the silences for the workload at one Alertmanager are so many in each state: active, expired.
async fn silences(
    alertmanagers: &Alertmanagers,
    stage: &Stage,
    url: &str,
    limit: Duration,
    active: usize,
) -> Vec<Value> {
    eventually(limit, &format!("{active} silences are active at {url}"), async || {
        let all = alertmanagers.silences(url, &stage.namespace, "web").await?;
        let found: Vec<Value> = all.iter().filter(|silence| silence["status"]["state"] == "active").cloned().collect();
        if found.len() == active { Ok(found) } else { Err(format!("{all:?}")) }
    })
    .await
}

/// Waits until the alert of a workload is in that state, and says what silences it.
async fn alert(alertmanagers: &Alertmanagers, stage: &Stage, url: &str, target: &str, wanted: &str) -> Value {
    eventually(PATIENCE, &format!("the alert of {target} is {wanted}"), async || {
        let alerts = alertmanagers.get(url, "alerts").await?;
        let fits =
            |alert: &&Value| alert["labels"]["target"] == target && alert["labels"]["namespace"] == *stage.namespace;
        let found = alerts.as_array().into_iter().flatten().find(fits).cloned();
        found.filter(|alert| alert["status"]["state"] == wanted).ok_or_else(|| alerts.to_string())
    })
    .await["status"]["silencedBy"]
        .clone()
}

fn ends(silence: &Value) -> Instant {
    Instant::parse(silence["endsAt"].as_str().unwrap()).unwrap()
}

#[test]
#[ignore = "the rollout that it waits for does not begin: a pod that is made to count as unavailable holds it back"]
fn what_a_rollout_explains_is_silenced_and_lapses_without_the_operator() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let mut stage = Stage::exposing_to(cluster, json!({"thresholds": thresholds()}), &exposed(1, 1)).await;
        other(&stage).await;
        stage.says(&[("Applied", "True/Applied"), ("Compliant", "True/Within")]).await;
        let alertmanagers = Alertmanagers::start(&stage).await;
        let urls = alertmanagers.urls.clone();
        let container = json!({"name": "app", "image": "localhost/busybox:1", "imagePullPolicy": "Never",
            "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"]});
        let template = json!({"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}});
        let running = json!({"replicas": 1, "progressDeadlineSeconds": 7200, "template": template});
        deployment(&stage, "web", running).await;
        eventually(PATIENCE, "the pod is available", async || {
            let status = stage.deployment().await.status.unwrap_or_default();
            if status.available_replicas == Some(1) { Ok(()) } else { Err(status) }
        })
        .await;
        // From now on a pod counts as available after an hour.
        deployment(&stage, "web", json!({"minReadySeconds": 3600})).await;

        roll_out(&stage, 2).await;
        for url in &urls {
            // Both make one, unless the other has told of its own before.
            let what = "both Alertmanagers hold the silence";
            let held = eventually(PATIENCE, what, async || {
                let all = alertmanagers.silences(url, &stage.namespace, "web").await?;
                if all.is_empty() { Err("none".to_owned()) } else { Ok(all) }
            })
            .await;
            assert_eq!(held[0]["createdBy"], "trimtab", "{held:?}");
            let comment = held[0]["comment"].as_str().unwrap();
            assert!(comment.contains("to Deployment/web: pools.db.size 1 → 2."), "{comment}");
        }
        // The pod of each workload is restarted: one has a reason.
        stage.expose(&exposed(6, 6));
        for url in &urls {
            let by = alert(&alertmanagers, &stage, url, "web", "suppressed").await;
            assert!(!by.as_array().unwrap().is_empty(), "{by}");
            assert_eq!(alert(&alertmanagers, &stage, url, "other", "active").await, json!([]));
        }
        let breach = |target| [("alertname", "TrimtabThresholdBreached"), ("target", target)];
        alertmanagers.arrives("platform-chat", "firing", &breach("other")).await;
        assert_eq!(alertmanagers.receivers(&breach("web")), Vec::<String>::new(), "nobody was woken");
        alertmanagers.arrives("platform-chat", "resolved", &breach("other")).await;

        // A new process finds it and goes on with it.
        let before = alertmanagers.silences(&urls[0], &stage.namespace, "web").await.unwrap();
        stage.kill();
        stage.start();
        let latest = before.iter().map(ends).max().unwrap();
        let renewed = eventually(LAPSE, "the silence is renewed", async || {
            let all = alertmanagers.silences(&urls[0], &stage.namespace, "web").await?;
            if all.iter().map(ends).max() > Some(latest) { Ok(all) } else { Err(format!("{all:?}")) }
        })
        .await;
        let ids = |all: &[Value]| -> Vec<Value> {
            let mut ids: Vec<Value> = all.iter().map(|silence| silence["id"].clone()).collect();
            ids.sort_by_key(Value::to_string);
            ids
        };
        assert_eq!(ids(&before), ids(&renewed), "no other one");

        // The rollout comes to its end, and the silence with it.
        deployment(&stage, "web", json!({"minReadySeconds": 0})).await;
        for url in &urls {
            silences(&alertmanagers, &stage, url, LAPSE, 0).await;
        }
        stage.says(&[("Applied", "True/Applied")]).await;

        // Nobody renews it when the operator dies.
        deployment(&stage, "web", json!({"minReadySeconds": 3600})).await;
        roll_out(&stage, 3).await;
        let what = "the next rollout is silenced";
        let held = eventually(PATIENCE, what, async || {
            let all = alertmanagers.silences(&urls[0], &stage.namespace, "web").await?;
            let active = |silence: &&Value| silence["status"]["state"] == "active";
            all.iter().find(active).cloned().ok_or_else(|| format!("{all:?}"))
        })
        .await;
        stage.kill();
        within(LAPSE, "it lapses", async {
            silences(&alertmanagers, &stage, &urls[0], LAPSE, 0).await;
        })
        .await;
        let all = alertmanagers.silences(&urls[0], &stage.namespace, "web").await.unwrap();
        let lapsed = all.iter().find(|silence| silence["id"] == held["id"]).unwrap();
        let comment = lapsed["comment"].as_str().unwrap();
        assert!(comment.ends_with(&format!("it ends at {}.", ends(lapsed))), "nobody has ended it: {lapsed}");
    });
}
