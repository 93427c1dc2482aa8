//! From a policy to what a process sees, and what it costs.

use serde_json::{Value, json};

use crate::{
    here,
    world::{World, condition, policy, with_world, workload},
};

const DOCUMENT: &str = "# pages\napi:\n  queryLimit: 10 # rows\n  name: shop\n";

fn config_maps(world: &World) {
    for (name, key, text) in [
        ("config", "config.yaml", DOCUMENT),
        ("limits", "limits.json", "{\n  \"upload\": {\"max\": 1000, \"kind\": \"raw\"}\n}\n"),
        ("words", "level", "info"),
    ] {
        world.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text},
        }));
    }
}

fn many_places() -> Value {
    policy(
        "p",
        &json!({
            "resources": [{
                "container": "app",
                "limits": {"cpu": "500m", "memory": "96Mi"}, "requests": {"cpu": "10m", "memory": "48Mi"},
            }],
            "pools": [{"name": "db", "size": {"value": 20, "env": "DB_POOL_SIZE"},
                       "acquireTimeout": {"value": "30s", "env": "DB_POOL_TIMEOUT", "as": "milliseconds"}}],
            "workers": [{"name": "web", "count": {"value": 4, "arg": "--workers", "onConflict": "TakeOver"}}],
            "files": [
                {"name": "config", "configMap": "config", "key": "config.yaml", "format": "YAML", "reload": "Watch"},
                {"name": "limits", "configMap": "limits", "key": "limits.json", "format": "JSON"},
            ],
            "settings": [
                {"name": "query-limit", "value": 50, "path": {"file": "config", "at": "/api/queryLimit"}},
                {"name": "upload", "type": "Bytes", "value": "2Ki", "as": "bytes",
                 "path": {"file": "limits", "at": "/upload/max"}},
                {"name": "level", "type": "Enum", "allowed": ["info", "warn"], "value": "warn",
                 "onConflict": "TakeOver", "configMapKey": {"name": "words", "key": "level"}},
            ],
            "thresholds": [{
                "name": "memory", "levels": [{"severity": "warning", "above": "10Gi"}],
                "metric": {"gauge": "container_memory_working_set_bytes", "labels": {"container": "app"},
                           "window": "10s"},
            }],
        }),
    )
}

#[test]
fn the_running_container_sees_what_the_policy_says() {
    with_world(here!(), async |world| {
        config_maps(world);
        let mounts = json!({
            "args": ["--verbose"],
            "volumeMounts": [
                {"name": "config", "mountPath": "/etc/config"},
                {"name": "limits", "mountPath": "/etc/limits"},
                {"name": "words", "mountPath": "/etc/words"},
            ],
        });
        let volumes: Vec<Value> = ["config", "limits", "words"]
            .iter()
            .map(|name| json!({"name": name, "configMap": {"name": name}}))
            .collect();
        world.run_workload(&workload("api", &mounts, &json!({"volumes": volumes})));
        let before = world.replica_sets("api").await;
        world.apply(&many_places());

        let said = world.kubectl(&["wait", "performancepolicy/p", "--for=condition=Ready", "--timeout=60s"]);
        assert!(said.contains("condition met"), "{said}");
        let settled = world.settled("p").await;
        assert_eq!(condition(&settled, "Ready")["status"], "True", "{settled:#}");
        assert!(condition(&settled, "Conflicted").is_null(), "{settled:#}");
        assert_eq!(condition(&settled, "Reconciling"), &Value::Null, "{settled:#}");
        world.kubectl(&["wait", "performancepolicy/p", "--for=condition=Applied", "--timeout=30s"]);

        let pod = world.pod("api").await;
        let environment = world.process(&pod, "environ");
        assert!(environment.contains(&"DB_POOL_SIZE=20".to_owned()), "{environment:?}");
        assert!(environment.contains(&"DB_POOL_TIMEOUT=30000".to_owned()), "{environment:?}");
        let arguments = world.process(&pod, "cmdline");
        assert_eq!(arguments[arguments.len() - 2..], ["--verbose", "--workers=4"], "{arguments:?}");
        assert_eq!(world.inside(&pod, &["cat", "/etc/config/config.yaml"]), DOCUMENT.replace("10", "50"));
        assert_eq!(
            world.inside(&pod, &["cat", "/etc/limits/limits.json"]),
            "{\n  \"upload\": {\"max\": 2048, \"kind\": \"raw\"}\n}\n"
        );
        assert_eq!(world.inside(&pod, &["cat", "/etc/words/level"]), "warn");
        // cgroup v1 and v2 have different files for the same two limits.
        let limits = world.inside(
            &pod,
            &["sh", "-c", "cd /sys/fs/cgroup; cat memory.max cpu.max 2> /dev/null || cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us"],
        );
        let limits: Vec<&str> = limits.split_whitespace().take(2).collect();
        assert_eq!(limits, [(96 << 20).to_string().as_str(), "50000"], "bytes, and microseconds in 100 ms");

        // One rollout brought all of it, and one brings the next three changes.
        assert_eq!(world.replica_sets("api").await.len(), before.len() + 1);
        let mut changed = many_places();
        changed["spec"]["pools"][0]["size"]["value"] = 25.into();
        changed["spec"]["workers"][0]["count"]["value"] = 6.into();
        changed["spec"]["resources"][0]["limits"]["memory"] = "128Mi".into();
        world.apply(&changed);
        world.settled("p").await;
        assert_eq!(world.replica_sets("api").await.len(), before.len() + 2);
        let pod = world.pod("api").await;
        assert!(world.process(&pod, "environ").contains(&"DB_POOL_SIZE=25".to_owned()));
        assert_eq!(world.process(&pod, "cmdline").last().map(String::as_str), Some("--workers=6"));
    });
}

#[test]
fn a_threshold_is_judged_by_real_samples() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        let threshold = |above: &str| {
            policy(
                "p",
                &json!({"mode": "Observe", "thresholds": [{
                    "name": "memory", "levels": [{"severity": "warning", "above": above}],
                    "metric": {"gauge": "container_memory_working_set_bytes", "labels": {"container": "app"},
                               "window": "10s"},
                }]}),
            )
        };
        world.apply(&threshold("10Gi"));
        world.says("p", "Compliant", "True", "Within").await;
        world.says("p", "MetricsAvailable", "True", "Answered").await;
        world.apply(&threshold("1Ki"));
        let breached = world.says("p", "Compliant", "False", "Breached").await;
        assert_eq!(breached["status"]["thresholds"][0]["name"], "memory", "{breached:#}");
    });
}
