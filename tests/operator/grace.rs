//! The main job, on the example that people read first: `examples/grace`, the application and its load in real containers,
//! governed from the first breach to the deletion of the policy.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::{Value, json};

use crate::{
    cluster::{eventually, repository},
    example, here, operator,
    world::{PATIENCE, World, assert_no_trace, condition, traces, with_world},
};

/// A file of the example, in this test's namespace.
pub fn file(world: &World, name: &str) -> String {
    let path = repository().join("examples/grace").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading \"{}\": {error}", path.display()));
    let namespace = &world.namespace;
    text.replace("namespace: grace", &format!("namespace: {namespace}"))
        .replace("metadata:\n  name: grace\n  labels:", &format!("metadata:\n  name: {namespace}\n  labels:"))
}

/// Each pair must be there, so that an overlay cannot quietly become none.
pub fn overlaid(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in:\n{text}");
        text.replace(from, to)
    })
}

/// Applies manifests as people do.
pub fn apply(world: &World, text: &str) {
    world.try_kubectl(&["apply", "-f", "-"], text).unwrap_or_else(|said| panic!("applying {text}: {said}"));
}

/// Tests have less time than the guide: nothing but its windows, with what must happen in them, its
/// delays and the class are others.
fn policy(world: &World, class: &str) -> String {
    let text = overlaid(
        &file(world, "repaired/policy.yaml"),
        &[
            ("statistic: p95}", "statistic: p95, window: 20s, minSamples: 20}"),
            ("statistic: max}", "statistic: max, window: 20s}"),
            ("statistic: rate}", "statistic: rate, window: 20s}"),
            ("for: 2m", "for: 4s"),
            ("for: 5m", "for: 4s"),
        ],
    );
    overlaid(&text, &[("spec:\n  mode: Enforce\n", &format!("spec:\n  className: {class}\n  mode: Enforce\n"))])
}

/// The policy's alerts that the Alertmanager holds for active.
async fn alerts(world: &World) -> Vec<Value> {
    let url = format!("{}/api/v2/alerts?active=true", world.cluster.alertmanager());
    let all: Vec<Value> =
        reqwest::get(url).await.expect("Alertmanager answers").json().await.expect("a list of alerts");
    let ours = |alert: &Value| alert["labels"]["namespace"] == *world.namespace && alert["labels"]["policy"] == "grace";
    all.into_iter().filter(ours).collect()
}

/// What Prometheus says of every pod of the application, as numbers in words.
async fn measured(world: &World, metric: &str) -> BTreeSet<String> {
    let query = format!("{metric}{{namespace=\"{}\",pod=~\"grace-api-.*\"}}", world.namespace);
    let url = format!("{}/api/v1/query", world.cluster.prometheus());
    let request = reqwest::Client::new().post(url).form(&[("query", query)]);
    let answer: Value = request.send().await.expect("Prometheus answers").json().await.expect("an answer in JSON");
    let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    series.iter().filter_map(|one| one["value"][1].as_str().map(ToOwned::to_owned)).collect()
}

/// The application's pods that are to stay.
async fn pods(world: &World) -> BTreeSet<String> {
    let mut pods = world.list("pods").await;
    pods.retain(|pod| {
        pod["metadata"]["labels"]["app"] == "grace-api" && pod["metadata"]["deletionTimestamp"].is_null()
    });
    pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

/// The first of these files that there is: cgroup v1 and v2 have different ones.
fn first(world: &World, pod: &str, files: [&str; 2]) -> String {
    let read = |file: &&str| world.try_kubectl(&["exec", pod, "--container=api", "--", "cat", file], "").ok();
    files.iter().find_map(read).unwrap_or_else(|| panic!("none of {files:?} is in {pod}"))
}

/// What every container sees of the policy.
async fn see(world: &World, environment: &[&str]) {
    let pods = pods(world).await;
    assert_eq!(pods.len(), 2, "{pods:?}");
    let document = fs::read_to_string(repository().join("examples/grace/app.yaml")).unwrap();
    let (_, document) = document.split_once("  config.yaml: |\n").expect("the document");
    let (document, _) = document.split_once("---").expect("its end");
    let document: String = document.lines().flat_map(|line| [line.strip_prefix("    ").unwrap(), "\n"]).collect();
    let document = overlaid(
        &document,
        &[("queryLimit: 0 ", "queryLimit: 50 "), ("gzipMinimumSize: 0 ", "gzipMinimumSize: 1000 ")],
    );
    for pod in &pods {
        let environ = world.inside_container(pod, "api", &["cat", "/proc/1/environ"]);
        let environ: BTreeSet<&str> = environ.split('\0').collect();
        for variable in environment {
            assert!(environ.contains(variable), "{variable} is not in {environ:?}");
        }
        eventually(PATIENCE, "the edited document has reached the container's file", async || {
            let seen = world.inside_container(pod, "api", &["cat", "/etc/grace/config.yaml"]);
            if seen == document { Ok(()) } else { Err(seen) }
        })
        .await;
        let memory = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
        assert_eq!(first(world, pod, memory).trim(), (2_u64 << 30).to_string());
        let cpu = first(world, pod, ["/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"]);
        assert_eq!(cpu.split_whitespace().next(), Some("200000"), "microseconds in 100 ms");
    }
}

/// Waits until every value of the policy is in place and rolled out.
async fn settled(world: &World) -> Value {
    let settled = world.settled("grace").await;
    world.rolled_out("grace-api");
    assert!(condition(&settled, "Conflicted").is_null(), "{settled:#}");
    settled
}

/// Untuned the application misses its thresholds, and whoever is on call hears of it. Nothing is written yet.
async fn breached_and_told(world: &World, enforce: &str) {
    let config = world.get("configmaps", "grace-config").await;
    apply(world, &overlaid(enforce, &[("mode: Enforce", "mode: Recommend")]));
    world.says("grace", "Compliant", "False", "Breached").await;
    let mine = |all: Vec<Value>| all.into_iter().find(|alert| alert["labels"]["threshold"] == "chat-p95");
    let alert = eventually(PATIENCE, "Alertmanager has an alert of the 95th percentile", async || {
        let all = alerts(world).await;
        mine(all.clone()).ok_or(all)
    })
    .await;
    for (label, value) in [
        ("alertname", "TrimtabThresholdBreached"),
        ("target_kind", "Deployment"),
        ("target", "grace-api"),
        ("team", "assistants"),
        ("site", "test"),
    ] {
        assert_eq!(alert["labels"][label], value, "{label} of {alert:#}");
    }
    assert!(["warning", "critical"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{alert:#}");
    assert!(alert["annotations"]["advice"].as_str().unwrap().contains("pool"), "{alert:#}");
    let advised = world.says("grace", "Applied", "False", "RecommendOnly").await;
    assert!(advised["status"]["plan"].as_array().is_some_and(|plan| plan.len() >= 14), "{advised:#}");
    let untouched = world.get("deployments", "grace-api").await;
    assert!(traces(&untouched).is_empty() && untouched["metadata"]["generation"] == 1, "{untouched:#}");
    assert_eq!(world.get("configmaps", "grace-config").await, config);
    let mut sent: BTreeMap<String, Value> = BTreeMap::new();
    eventually(PATIENCE, "the alert is sent again", async || {
        let all = alerts(world).await;
        let again = all.iter().any(|alert| {
            let at = alert["updatedAt"].clone();
            sent.insert(alert["fingerprint"].to_string(), at.clone()).is_some_and(|before| before != at)
        });
        if again { Ok(()) } else { Err(all) }
    })
    .await;
}

#[test]
fn grace_is_governed_from_the_first_breach_to_the_end_of_its_policy() {
    with_world(here!(), async |world| {
        trimtab::shell::tls::install_provider();
        operator::load_example("grace-app", example::grace_app());
        let class = format!("g-{}", world.namespace).chars().take(60).collect::<String>();
        let class = class.trim_end_matches('-');
        world.apply(&json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformanceClass", "metadata": {"name": class},
            "spec": {"sink": "Alertmanager", "alertLabels": {"site": "test"}},
        }));
        let light = overlaid(&file(world, "load.yaml"), &[("--rps=100", "--rps=20")]);
        apply(world, &file(world, "app.yaml"));
        world.rolled_out("grace-api");
        apply(world, &file(world, "load.yaml"));
        apply(world, &file(world, "repaired/budget.yaml"));

        let enforce = policy(world, class);
        breached_and_told(world, &enforce).await;

        // The whole policy is one rollout.
        let before = world.replica_sets("grace-api").await.len();
        apply(world, &enforce);
        settled(world).await;
        assert_eq!(world.replica_sets("grace-api").await.len(), before + 1, "one rollout for the whole policy");
        see(
            world,
            &[
                "WEB_CONCURRENCY=4",
                "DB_POOL_SIZE=20",
                "DB_MAX_OVERFLOW=10",
                "TRUST_SCORE_TTL=3600",
                "METRICS_SUMMARY_TTL=60",
                "REFLECTION_INTERVAL=10",
                "META_LOOP_INTERVAL=300",
                "HEALTH_CHECK_INTERVAL=30",
                "TASK_MAX_PARALLEL=2",
                "PYTHON_CPU_COUNT=2",
                "DB_POOL_PRE_PING=true",
            ],
        )
        .await;
        for (metric, value) in [("web_concurrency", "4"), ("query_limit", "50")] {
            eventually(PATIENCE, &format!("the application says {metric} {value}"), async || {
                let seen = measured(world, metric).await;
                if seen.iter().eq([value]) { Ok(()) } else { Err(seen) }
            })
            .await;
        }

        // With what the policy gave it, and a load that this machine can make, it is within its thresholds again.
        apply(world, &light);
        world.says("grace", "Compliant", "True", "Within").await;
        eventually(PATIENCE, "Alertmanager has resolved the alerts", async || {
            let left = alerts(world).await;
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
        .await;

        // A change of three knobs is one more.
        apply(
            world,
            &overlaid(
                &enforce,
                &[
                    ("size: {value: 20,", "size: {value: 24,"),
                    ("overflow: {value: 10,", "overflow: {value: 6,"),
                    ("ttl: {value: 1h,", "ttl: {value: 30m,"),
                ],
            ),
        );
        settled(world).await;
        assert_eq!(world.replica_sets("grace-api").await.len(), before + 2, "three knobs, one rollout");
        see(world, &["DB_POOL_SIZE=24", "DB_MAX_OVERFLOW=6", "TRUST_SCORE_TTL=1800", "WEB_CONCURRENCY=4"]).await;

        // The policy goes; its values stay, and nothing else of it.
        let (governed, running) = (world.get("deployments", "grace-api").await, pods(world).await);
        world.kubectl(&["delete", "performancepolicy", "grace", "--timeout=30s"]);
        let left = world.until("deployments", "grace-api", "it is released", |object| traces(object).is_empty()).await;
        assert_no_trace(&world.get("configmaps", "grace-config").await);
        assert_eq!(left["spec"], governed["spec"]);
        assert!(!left["spec"]["template"].to_string().contains("trimtab"), "{left:#}");
        world.caught_up().await;
        world.rolled_out("grace-api");
        assert_eq!(world.replica_sets("grace-api").await.len(), before + 2);
        assert_eq!(pods(world).await, running, "no pod was restarted");
    });
}
