//! Other values for other times, as a running container sees them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    here,
    world::{World, condition, policy, with_world, workload},
};

/// A service that says nothing of its load until somebody writes it down, and that real Prometheus scrapes: its server takes
/// the type of an answer from the file's name, and Prometheus reads no other type than text.
fn service() -> Value {
    let serve = "mkdir -p /tmp/www; : > /tmp/www/metrics.txt; httpd -p 8080 -h /tmp/www; trap 'exit 0' TERM; sleep 1000000 & wait";
    let mut service = workload("api", &json!({"command": ["sh", "-c", serve, "app"]}), &json!({}));
    service["spec"]["template"]["metadata"]["annotations"] =
        json!({"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics.txt"});
    service
}

/// Intervals of work in the background: low traffic, and what holds when traffic is high.
fn intervals() -> Value {
    let interval = |name: &str, value: &str, env: &str| json!({"name": name, "type": "Duration", "value": value, "env": env, "as": "seconds"});
    policy(
        "p",
        &json!({
            "settings": [
                interval("reflection", "10s", "REFLECTION_INTERVAL"),
                interval("meta-loop", "300s", "META_LOOP_INTERVAL"),
                interval("health", "30s", "HEALTH_CHECK_INTERVAL"),
            ],
            "thresholds": [{
                "name": "load", "metric": {"gauge": "requests_in_flight", "window": "6s"},
                "levels": [{"severity": "warning", "above": 300}],
            }],
            "profiles": [{
                "name": "high-traffic",
                "when": {"threshold": "load", "enter": 350, "leave": 200, "dwell": "1s"},
                "set": {
                    "settings.reflection": "60s", "settings.meta-loop": "3600s", "settings.health": "120s",
                    "thresholds.load.levels.warning.above": 1000,
                },
            }],
        }),
    )
}

async fn load(world: &World, load: u32) {
    let write = format!("echo 'requests_in_flight {load}' > /tmp/www/metrics.txt");
    world.inside(&world.pod("api").await, &["sh", "-c", &write]);
}

async fn sees(world: &World, wanted: [&str; 3]) {
    let environment = world.process(&world.pod("api").await, "environ");
    for variable in wanted {
        assert!(environment.contains(&variable.to_owned()), "{variable}: {environment:?}");
    }
}

/// The policy once these profiles are active, and every value is in its place.
async fn switched(world: &World, profiles: Option<&str>) -> Value {
    let what = format!("the active profiles are {profiles:?}, and their values are in place");
    let check = |policy: &Value| {
        policy["status"]["profileSummary"].as_str() == profiles && condition(policy, "Applied")["status"] == "True"
    };
    world.until("performancepolicies", "p", &what, check).await
}

const LOW: [&str; 3] = ["REFLECTION_INTERVAL=10", "META_LOOP_INTERVAL=300", "HEALTH_CHECK_INTERVAL=30"];
const HIGH: [&str; 3] = ["REFLECTION_INTERVAL=60", "META_LOOP_INTERVAL=3600", "HEALTH_CHECK_INTERVAL=120"];

/// GC7: a real load moves three values in a real container by one rollout, and back by one.
#[test]
fn gc7_high_traffic_moves_three_intervals_in_one_rollout_and_low_traffic_brings_them_back() {
    with_world(here!(), async |world| {
        world.run_workload(&service());
        world.apply(&intervals());
        world.settled("p").await;
        sees(world, LOW).await;
        let (before, template) = (world.replica_sets("api").await.len(), template(world).await);

        let mark = world.mark();
        load(world, 400).await;
        let high = switched(world, Some("high-traffic")).await;
        sees(world, HIGH).await;
        assert_eq!(world.replica_sets("api").await.len(), before + 1, "one new revision for all three");
        assert_eq!(high["status"]["activeProfiles"][0]["by"], "Threshold", "{high:#}");
        let changes = high["status"]["history"][0]["changes"].as_array().cloned().unwrap_or_default();
        let because: Vec<&str> = changes.iter().filter_map(|change| change["because"].as_str()).collect();
        assert_eq!(because.len(), 3, "{high:#}");
        assert!(
            because.iter().all(|because| because.starts_with("profile high-traffic (") && because.contains(" above ")),
            "{high:#}"
        );
        let shown = world.kubectl(&["get", "perfpol", "p"]);
        assert!(shown.contains("PROFILE") && shown.contains("high-traffic"), "{shown}");
        let explained = world.trimtab(&["explain", "deploy/api"]);
        assert!(explained.contains("from profile high-traffic"), "{explained}");

        // The new pod has said nothing of its load yet: without data the profile holds. It does so once it has.
        load(world, 250).await;
        world.caught_up().await;
        sees(world, HIGH).await;
        load(world, 100).await;
        switched(world, None).await;
        sees(world, LOW).await;
        assert_eq!(world.deployment().await["spec"]["template"], template, "exactly what was there before");
        let applies = mark.changes(&world.namespace).iter().filter(|r| r.resource == "deployments").count();
        assert_eq!(applies, 2, "one write each way");
        let events = || world.kubectl(&["get", "events.events.k8s.io", "-o", "jsonpath={.items[*].reason}"]);
        crate::cluster::eventually(Duration::from_secs(30), "both switches are announced", async || {
            let told = events();
            if told.contains("ProfileEntered") && told.contains("ProfileLeft") { Ok(()) } else { Err(told) }
        })
        .await;
    });
}

async fn template(world: &World) -> Value {
    world.deployment().await["spec"]["template"].clone()
}
