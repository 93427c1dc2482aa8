//! What the operator tells of itself, in a real Prometheus that scrapes it: every query of every panel of the chart's dashboards has an
//! answer while policies are in all the states that the panels are about, and series go with their objects.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use trimtab::{
    api::{ConnectionBudget, MetricsSource, PerformancePolicy},
    core::paper::boards,
    shell::telemetry::family,
};

use super::{OPTIONS, rows::pattern_of};
use crate::{
    cluster::{self, eventually},
    here,
    stage::{PATIENCE, Stage},
};

/// The series that answer a query now.
async fn ask(stage: &Stage, query: &str) -> Vec<Value> {
    let url = format!("{}/api/v1/query", stage.cluster.prometheus());
    let request = reqwest::Client::new().post(url).form(&[("query", query)]);
    let answer: Value = request.send().await.expect("Prometheus answers").json().await.expect("an answer in JSON");
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    answer["data"]["result"].as_array().expect("series").clone()
}

async fn until_answered(stage: &Stage, whose: &str, query: &str) -> Vec<Value> {
    eventually(2 * PATIENCE, &format!("{whose} has series: {query}"), async || {
        let series = ask(stage, query).await;
        if series.is_empty() { Err("no series") } else { Ok(series) }
    })
    .await
}

/// What the operator exposes.
async fn scrape(stage: &Stage) -> String {
    let answer = reqwest::get(format!("http://{}/metrics", stage.metrics)).await.expect("the operator answers");
    answer.text().await.expect("UTF-8")
}

/// A Deployment whose pods run and do nothing. A new one finds its port taken by the old one on the only node, so that its
/// rollout never gets anywhere.
fn occupied(name: &str, port: u16, deadline: u32) -> Deployment {
    let labels = json!({"app": name});
    let container = json!({"name": "app", "image": "localhost/busybox:1", "imagePullPolicy": "Never",
        "command": ["sleep", "3600"], "ports": [{"containerPort": port, "hostPort": port}]});
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"replicas": 1, "progressDeadlineSeconds": deadline, "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}},
    }))
    .expect("a Deployment")
}

async fn deploy(stage: &Stage, deployment: &Deployment) {
    let api: Api<Deployment> = Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
    api.create(&PostParams::default(), deployment).await.expect("create the Deployment");
    let name = deployment.metadata.name.as_deref().unwrap();
    if deployment.spec.replicas == Some(0) {
        return;
    }
    eventually(PATIENCE, &format!("{name} has a pod"), async || {
        let seen = api.get(name).await.expect("read the Deployment").status.unwrap_or_default();
        if seen.available_replicas == Some(1) { Ok(()) } else { Err(seen) }
    })
    .await;
}

async fn govern(stage: &Stage, name: &str, fields: &Value) {
    let mut policy = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"name": name},
        "spec": {"className": stage.namespace, "mode": "Enforce", "target": {"kind": "Deployment", "name": name}}});
    for (field, value) in fields.as_object().unwrap() {
        policy["spec"][field] = value.clone();
    }
    let policy: PerformancePolicy = serde_json::from_value(policy).unwrap();
    let api = Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
    api.create(&PostParams::default(), &policy).await.expect("create the policy");
}

fn pool() -> Value {
    json!({"pools": [{"name": "db", "size": {"value": 20, "env": "DB_POOL_SIZE"}}]})
}

fn thresholds(name: &str) -> Value {
    let gauge = |name: &str, gauge: &str, hold: &str| {
        json!({"name": name, "metric": {"gauge": gauge, "window": "3s"},
            "levels": [{"severity": "warning", "above": 10, "for": hold}]})
    };
    json!([
        gauge(name, "queue", "0s"),
        gauge("slowly", "queue", "1h"),
        gauge("calm", "quiet", "0s"),
        gauge("blind", "nothing", "0s")
    ])
}

/// Puts policies into all the states that panels are about.
async fn set(cluster: crate::cluster::Cluster) -> Stage {
    let web = json!({
        "pools": [{"name": "db", "budget": "db", "size": {"value": 20, "env": "DB_POOL_SIZE", "effective": {"gauge": "db_pool_size"}}}],
        "thresholds": thresholds("queue"),
        "patterns": [pattern_of("grid", "slow-skills", "10s")],
    });
    let stage = Stage::exposing_to(cluster, web, "queue 50\nquiet 1\ndb_pool_size 10\n").await;
    let client = stage.cluster.client.clone();
    let budget: ConnectionBudget =
        serde_json::from_value(json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "ConnectionBudget",
        "metadata": {"name": "db"}, "spec": {"capacity": {"connections": 100}}}))
        .unwrap();
    let params = PostParams::default();
    Api::namespaced(client.clone(), &stage.namespace).create(&params, &budget).await.expect("create the budget");
    // A pod that does not run with what it was given.
    let container = json!({"name": "app", "image": "localhost/busybox:1", "imagePullPolicy": "Never", "command": ["sleep", "3600"]});
    let template = json!({"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}});
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &stage.namespace);
    let patch = json!({"spec": {"replicas": 1, "template": template}});
    deployments.patch("web", &PatchParams::default(), &Patch::Strategic(&patch)).await.expect("run a pod");
    stage
        .says(&[("Applied", "True/Applied"), ("Compliant", "False/Breached"), ("Effective", "False/NotApplied")])
        .await;

    // A source that nobody listens at.
    let away = format!("{}-away", stage.namespace);
    let source: MetricsSource = serde_json::from_value(json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "MetricsSource",
        "metadata": {"name": away}, "spec": {"prometheus": {"url": "http://127.0.0.1:9"}, "interval": "1s", "timeout": "1s"}}))
    .unwrap();
    Api::all(client).create(&params, &source).await.expect("create the source");
    govern(
        &stage,
        "away",
        &json!({"mode": "Observe", "target": {"kind": "Deployment", "name": "web"},
        "metrics": {"source": away}, "thresholds": thresholds("queue")}),
    )
    .await;

    // A value that a person has set otherwise.
    deploy(&stage, &crate::idle::deployment("held", &json!([]))).await;
    govern(&stage, "held", &pool()).await;
    let of = |name: &str, metric: &str, more: &str| {
        format!("{metric}{{namespace=\"{}\",policy=\"{name}\"{more}}}", stage.namespace)
    };
    let applied = of("held", "trimtab_policy_condition", ",condition=\"Applied\",status=\"True\"");
    until_answered(&stage, "held", &applied).await;
    stage.cluster.kubectl(&["-n", &stage.namespace, "set", "env", "deployment/held", "DB_POOL_SIZE=3"], "");
    until_answered(&stage, "held", &of("held", "trimtab_policy_held_objects", "")).await;

    // A rollout that fails, and one that goes on.
    deploy(&stage, &occupied("fails", 30_990, 5)).await;
    deploy(&stage, &occupied("stuck", 30_991, 600)).await;
    govern(&stage, "fails", &pool()).await;
    until_answered(&stage, "fails", &of("fails", "trimtab_policy_quarantined_values", "")).await;
    govern(&stage, "stuck", &pool()).await;
    until_answered(&stage, "stuck", &of("stuck", "trimtab_rollout_start_timestamp_seconds", "")).await;
    stage
}

#[test]
fn every_panel_has_series_and_what_is_exposed_is_as_it_should_be() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let stage = set(cluster).await;
        let text = scrape(&stage).await;
        let checked = stage.cluster.run("promtool", &["check", "metrics"], &text);
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && said.is_empty(), "promtool check metrics: {said}");
        for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
            let (name, help) = line.split_once(' ').expect("a text");
            assert!(
                family::ALL.iter().any(|known| (known.name, known.help) == (name, help)),
                "docs/metrics.md lacks {line}"
            );
        }

        let mut asked = 0;
        for (name, board) in boards::all() {
            for panel in board["panels"].as_array().unwrap() {
                for target in panel["targets"].as_array().unwrap() {
                    let query = target["expr"].as_str().unwrap();
                    // What a panel shows instead of nothing would be an answer to everything.
                    let query = query.strip_suffix(boards::NONE).unwrap_or(query);
                    let query = [
                        ("$namespace", stage.namespace.as_str()),
                        ("$policy", ".*"),
                        ("$threshold", "queue"),
                        ("$__rate_interval", "30s"),
                    ]
                    .iter()
                    .fold(query.to_owned(), |query, (variable, value)| query.replace(variable, value));
                    assert!(!query.contains('$'), "{name}: {query}");
                    until_answered(&stage, &format!("{name}: panel {}", panel["title"]), &query).await;
                    asked += 1;
                }
            }
        }
        assert!(asked > 50, "{asked} queries");
        series_go_with_their_objects(&stage).await;
    });
}

/// Waits until no line of the scrape has this in it.
async fn until_gone(stage: &Stage, label: &str) {
    eventually(PATIENCE, &format!("nothing is told of {label}"), async || {
        let text = scrape(stage).await;
        let left: Vec<String> = text.lines().filter(|line| line.contains(label)).map(ToOwned::to_owned).collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}

async fn series_go_with_their_objects(stage: &Stage) {
    let client = stage.cluster.client.clone();
    let policies: Api<PerformancePolicy> = Api::namespaced(client.clone(), &stage.namespace);
    let text = scrape(stage).await;
    let bound = format!(
        "trimtab_threshold_bound{{namespace=\"{}\",policy=\"web\",threshold=\"queue\",severity=\"warning\",target_kind=\"Deployment\",target=\"web\",side=\"above\"}} 10",
        stage.namespace
    );
    assert!(text.lines().any(|line| line == bound), "{bound} is not in:\n{text}");
    let patch = json!({"spec": {"thresholds": thresholds("line")}});
    policies.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("rename a threshold");
    until_gone(stage, "policy=\"web\",threshold=\"queue\"").await;
    assert!(scrape(stage).await.contains("policy=\"web\",threshold=\"line\""));

    policies.delete("away", &DeleteParams::default()).await.expect("delete the policy");
    until_gone(stage, "policy=\"away\"").await;
    let away = format!("{}-away", stage.namespace);
    let sources: Api<MetricsSource> = Api::all(client.clone());
    sources.delete(&away, &DeleteParams::default()).await.expect("delete the source");
    until_gone(stage, &format!("source=\"{away}\"")).await;
    let budgets: Api<ConnectionBudget> = Api::namespaced(client, &stage.namespace);
    budgets.delete("db", &DeleteParams::default()).await.expect("delete the budget");
    until_gone(stage, "budget=\"db\"").await;
    policies.delete("web", &DeleteParams::default()).await.expect("delete the policy");
    until_gone(stage, "policy=\"web\"").await;
}
