//! The long runs, which `make soak` does and `make test` leaves out: large counts at default intervals, over minutes.
//!
//! `TRIMTAB_TEST_IMAGE=target/image/trimtab.tar` (of `make image`) measures the release build instead of the tests' own.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/audit.rs"]
mod audit;
#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/helm.rs"]
mod helm;
#[path = "support/idle.rs"]
mod idle;
#[path = "support/operator.rs"]
mod operator;
#[path = "real_metrics/stage.rs"]
mod stage;

use std::{
    fs,
    time::{Duration, Instant},
};

use audit::{Mark, told};
use cluster::Cluster;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use operator::{alone, helm_install, helm_uninstall, load_image, processes};
use serde_json::json;
use trimtab::api::PerformancePolicy;

const OPTIONS: cluster::Options =
    cluster::Options { real_nodes: true, prometheus: true, audit: true, ..cluster::Options::DEFAULT };

/// How many policies there are in the end, each with a workload of its own.
const POLICIES: usize = 1000;

/// Time at rest, at the default interval of thirty seconds.
const REST: Duration = Duration::from_mins(10);

/// What one more policy and its workload may cost, in bytes of resident memory.
const SLOPE: usize = 48 * 1024;

fn name(number: usize) -> String {
    format!("api-{number}")
}

fn policy(number: usize) -> PerformancePolicy {
    let name = name(number);
    serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": name},
        "spec": {
            "mode": "Enforce",
            "target": {"kind": "Deployment", "name": name},
            "pools": [{"name": "db", "size": {"value": 20, "env": "DB_POOL_SIZE"}}],
            "thresholds": [{
                "name": "memory", "levels": [{"severity": "warning", "above": "1Gi"}],
                "metric": {"gauge": "container_memory_working_set_bytes"},
            }],
        },
    }))
    .expect("a policy")
}

/// Makes the objects of these numbers, and waits until every policy is applied.
async fn make(cluster: &Cluster, namespace: &str, numbers: std::ops::Range<usize>) {
    let workloads: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
    let policies: Api<PerformancePolicy> = Api::namespaced(cluster.client.clone(), namespace);
    let end = numbers.end;
    stream::iter(numbers)
        .map(Ok::<_, kube::Error>)
        .try_for_each_concurrent(8, async |number| {
            // A thousand rollouts would measure the cluster, not the operator.
            let workload = idle::deployment(&name(number), &json!([]));
            workloads.create(&PostParams::default(), &workload).await?;
            policies.create(&PostParams::default(), &policy(number)).await?;
            Ok(())
        })
        .await
        .expect("create workloads and policies");
    cluster::eventually(Duration::from_mins(20), "every policy is applied", async || {
        let list = policies.list(&ListParams::default()).await.expect("list the policies");
        let is_applied = |policy: &&PerformancePolicy| {
            let conditions = policy.status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().any(|condition| condition.type_ == "Applied" && condition.status == "True")
        };
        let applied = list.items.iter().filter(is_applied).count();
        if applied == end { Ok(()) } else { Err(applied) }
    })
    .await;
}

/// Resident memory of each replica in bytes, the largest first: that is the leader.
fn memory() -> Vec<usize> {
    let resident = |process: u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("read the status of the operator");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of KiB") * 1024
    };
    let mut all: Vec<_> = processes().into_iter().map(resident).collect();
    all.sort_unstable_by(|one, other| other.cmp(one));
    all
}

/// The operator's requests about one object since then, its status of the source left out.
fn requests(mark: &Mark, namespace: &str) -> Vec<audit::Request> {
    let mut requests = mark.requests(namespace);
    requests.retain(audit::Request::is_about_one_object);
    requests
}

/// Waits until nothing has been asked about an object for half a minute: statuses are coalesced over seconds.
async fn quiet(cluster: &Cluster, namespace: &str) {
    let mut mark = Mark::now(cluster.audit_log());
    let mut since = Instant::now();
    cluster::eventually(Duration::from_mins(10), "the operator is at rest", async || {
        let busy = requests(&mark, namespace);
        if !busy.is_empty() {
            (mark, since) = (Mark::now(cluster.audit_log()), Instant::now());
        }
        if since.elapsed() > Duration::from_secs(30) { Ok(()) } else { Err(told(&busy)) }
    })
    .await;
}

/// From a replica's first request until its last list of a kind ended, in milliseconds, from the audit log.
fn listing_times(mark: &Mark) -> Vec<(String, i128)> {
    let mut replicas: Vec<(String, i128, i128)> = Vec::new();
    for event in mark.events() {
        let time = |field: &str| {
            let at: jiff::Timestamp = event[field].as_str()?.parse().ok()?;
            Some(at.as_nanosecond() / 1_000_000)
        };
        let pod = &event["user"]["extra"]["authentication.kubernetes.io/pod-name"][0];
        let (Some(pod), Some(start), Some(end)) =
            (pod.as_str(), time("requestReceivedTimestamp"), time("stageTimestamp"))
        else {
            continue;
        };
        let at = replicas.iter().position(|(name, ..)| name == pod).unwrap_or_else(|| {
            replicas.push((pod.to_owned(), start, start));
            replicas.len() - 1
        });
        if event["verb"] == "list" && event["objectRef"]["resource"] != "pods" {
            replicas[at].2 = replicas[at].2.max(end);
        }
    }
    replicas.into_iter().map(|(pod, start, end)| (pod, end - start)).collect()
}

#[test]
#[ignore = "takes about half an hour; make soak"]
fn soak_a_thousand_policies_are_small_and_quiet() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let _alone = alone();
        load_image();
        helm_install(&[
            "--set=prometheus.url=http://prometheus.monitoring:9090",
            "--set=prometheus.alertmanagers={http://alertmanager.monitoring:9093}",
            "--set=performanceClass.spec.limits.rolloutsPerNamespace=50",
            "--set=performanceClass.spec.limits.rolloutsPerCluster=50",
        ]);
        let namespace = cluster.namespace().await;

        make(&cluster, &namespace, 0..1).await;
        quiet(&cluster, &namespace).await;
        let one = memory();
        println!("resident memory with one policy: {} KiB, standby {} KiB", one[0] / 1024, one[1] / 1024);

        let start = Instant::now();
        make(&cluster, &namespace, 1..POLICIES).await;
        println!("{} policies more were applied in {} s", POLICIES - 1, start.elapsed().as_secs());
        quiet(&cluster, &namespace).await;
        let all = memory();
        println!("resident memory with {POLICIES} policies: {} KiB, standby {} KiB", all[0] / 1024, all[1] / 1024);
        let slope = all[0].saturating_sub(one[0]) / (POLICIES - 1);
        println!("one more policy with its workload: {slope} bytes");

        // New pods: memory after a start, and the time that it takes.
        let mark = Mark::now(cluster.audit_log());
        cluster.kubectl(&["rollout", "restart", "deployment/trimtab", "--namespace", operator::NAMESPACE], "");
        cluster.kubectl(&["rollout", "status", "deployment/trimtab", "--namespace", operator::NAMESPACE], "");
        quiet(&cluster, &namespace).await;
        let fresh = memory();
        println!("after a restart: {} KiB, standby {} KiB", fresh[0] / 1024, fresh[1] / 1024);
        for (pod, milliseconds) in listing_times(&mark) {
            println!("{pod}: from its first request to the end of its last list {milliseconds} ms");
        }
        let writes = mark.target_writes(&namespace);
        assert!(writes.is_empty(), "a restart wrote to targets:\n{}", told(&writes));

        let mark = Mark::now(cluster.audit_log());
        let start = Instant::now();
        cluster::eventually(REST + Duration::from_mins(1), "the time at rest is over", async || {
            let busy = requests(&mark, &namespace);
            assert!(busy.is_empty(), "after {:?} at rest:\n{}", start.elapsed(), told(&busy));
            if start.elapsed() >= REST { Ok(()) } else { Err(start.elapsed()) }
        })
        .await;
        println!("no request about an object in {} s", REST.as_secs());

        assert!(slope <= SLOPE, "one more policy costs {slope} bytes");
        helm_uninstall();
    });
}

/// Outages of minutes at the default interval: what `tests/real_metrics/quality.rs` shows with short ones.
#[test]
#[ignore = "takes about half an hour; make soak"]
fn soak_an_outage_of_minutes_is_one_alert_and_writes_nothing() {
    use stage::{Relay, Stage};
    let options = cluster::Options { prometheus: true, audit: true, ..cluster::Options::DEFAULT };
    cluster::test(&options, here!(), async |cluster| {
        let thresholds = json!([{"name": "queue", "metric": {"gauge": "queue"},
            "levels": [{"severity": "critical", "above": 100, "for": "1m"}]}]);
        let fields = json!({"thresholds": thresholds});
        let stage = Stage::scraped(cluster, fields, "queue 500\n", json!({}), "30s").await;
        let breached = "TrimtabThresholdBreached critical";
        let names = async || {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let alerts = stage.alerts().await;
            let name = |alert: &serde_json::Value| {
                format!("{} {}", text(&alert["labels"]["alertname"]), text(&alert["labels"]["severity"]))
            };
            let mut names: Vec<String> = alerts.iter().map(name).collect();
            names.sort();
            names
        };
        let is = async |what: &str, wanted: &[&str]| {
            cluster::eventually(Duration::from_mins(10), what, async || {
                let found = names().await;
                if found == wanted { Ok(()) } else { Err(found) }
            })
            .await;
        };
        is("it is breached", &[breached]).await;
        cluster::eventually(Duration::from_mins(2), "the knob is applied", async || {
            let found = stage.condition("Applied").await;
            if found == "True/Applied" { Ok(()) } else { Err(found) }
        })
        .await;
        let written = stage.target_writes();
        for (lie, alert) in [
            (Relay::Away, Some("TrimtabSourceDown critical")),
            (Relay::Page, Some("TrimtabSourceDown critical")),
            (Relay::Silent, Some("TrimtabSourceDown critical")),
            // An answer of three minutes ago is said of the threshold, after a quarter of an hour.
            (Relay::Behind, None),
        ] {
            stage.relay(lie);
            let wanted: Vec<&str> = alert.into_iter().chain([breached]).collect();
            is(&format!("{lie:?} is told"), &wanted).await;
            let start = Instant::now();
            cluster::eventually(Duration::from_mins(6), "five minutes are over", async || {
                assert_eq!(names().await, wanted, "{lie:?} after {:?}", start.elapsed());
                if start.elapsed() > Duration::from_mins(5) { Ok(()) } else { Err(start.elapsed()) }
            })
            .await;
            stage.relay(Relay::Honest);
            is("it is over", &[breached]).await;
        }
        assert_eq!(stage.target_writes(), written, "an outage writes nothing");
    });
}
