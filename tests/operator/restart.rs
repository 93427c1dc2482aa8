//! Operators come and go; what they govern does not notice.

use std::{process::Command, time::Duration};

use serde_json::{Value, json};

use crate::{
    audit::{Request, told},
    cluster::{eventually, eventually_at},
    here,
    operator::{NAMESPACE, RELEASE, helm_run, processes},
    world::{PATIENCE, Shown, World, condition, env_of, merge, pool_policy, with_world_alone, workload},
};

/// Kills every replica, without a word.
fn kill_all() {
    let all = processes();
    assert!(!all.is_empty(), "no operator runs");
    let numbers = all.iter().map(ToString::to_string);
    // One that has just ended by itself is as dead as it can be.
    let _ = Command::new("kill").arg("-KILL").args(numbers).status().expect("run kill");
}

/// Number of the Deployment's rollouts.
fn revision(deployment: &Value) -> u32 {
    let text = deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str();
    text.and_then(|text| text.parse().ok()).expect("a revision")
}

async fn ready_again(world: &World) {
    eventually(PATIENCE, "both replicas are ready", async || {
        let arguments = ["get", "deployment", RELEASE, "--namespace", NAMESPACE, "--output=jsonpath={.status}"];
        let status = world.cluster.kubectl(&arguments, "");
        let status: Value = serde_json::from_str(&status).unwrap();
        if status["readyReplicas"] == 2 && status["replicas"] == 2 { Ok(()) } else { Err(status) }
    })
    .await;
}

#[test]
fn restart_upgrade_leader_change_and_kill_write_nothing_to_targets() {
    with_world_alone(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        world.caught_up().await;
        let mark = world.mark();
        let before = world.deployment().await;

        // New pods, as an upgrade makes them; the leader hands over.
        let deployment = format!("deployment/{RELEASE}");
        world.cluster.kubectl(&["rollout", "restart", &deployment, "--namespace", NAMESPACE], "");
        world.cluster.kubectl(&["rollout", "status", &deployment, "--namespace", NAMESPACE, "--timeout=120s"], "");
        world.caught_up().await;
        // An upgrade by Helm: new pods, and the hook that brings the definitions up to date.
        let chart = crate::helm::chart();
        let again = format!("--set-string=podAnnotations.upgrade={}", world.namespace);
        let upgrade =
            ["upgrade", RELEASE, chart.to_str().unwrap(), "--reuse-values", "--wait", "--timeout=120s", &again];
        let operator = || {
            let get = ["get", &deployment, "--namespace", NAMESPACE, "--output=json"];
            serde_json::from_str::<Value>(&world.cluster.kubectl(&get, "")).expect("a Deployment")
        };
        let rollouts = revision(&operator());
        helm_run(&upgrade);
        assert_eq!(revision(&operator()), rollouts + 1, "the upgrade made new pods");
        world.caught_up().await;
        // Nobody hands over.
        kill_all();
        world.caught_up().await;
        ready_again(world).await;

        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        assert_eq!(world.deployment().await["metadata"], before["metadata"]);
    });
}

/// The moments of a change at which the operator is killed: each is a request that the API server has answered, of a
/// resource, and which one of its kind.
const POINTS: [(&str, &str, usize); 10] = [
    ("nothing", "yet", 0),
    ("events", "create", 1),
    ("configmaps", "patch", 1),
    ("configmaps", "patch", 2),
    ("configmaps", "patch", 3),
    ("configmaps", "patch", 4),
    ("deployments", "patch", 1),
    ("performancepolicies/status", "patch", 1),
    ("pods", "list", 1),
    ("pods", "list", 2),
];

fn documented(size: u32) -> Value {
    let file =
        |name: &str| json!({"name": name, "configMap": name, "key": "c.yaml", "format": "YAML", "reload": "Restart"});
    let limit = |name: &str| json!({"name": name, "value": size, "path": {"file": name, "at": "/limit"}});
    let mut all = pool_policy("p", size);
    merge(
        &mut all,
        &json!({"spec": {
            "files": [file("first"), file("second")], "settings": [limit("first"), limit("second")],
        }}),
    );
    all
}

#[test]
fn killed_at_ten_points_of_a_change_it_ends_the_same_with_one_rollout() {
    with_world_alone(here!(), async |world| {
        for name in ["first", "second"] {
            world.apply(&json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"c.yaml": "limit: 10\n"},
            }));
        }
        // Long enough for the operator to look at its pods twice, every five seconds.
        let mut slow = workload("api", &json!({}), &json!({}));
        merge(&mut slow, &json!({"spec": {"minReadySeconds": 12}}));
        world.run_workload(&slow);
        world.apply(&documented(20));
        world.settled("p").await;
        world.caught_up().await;
        let remembered = async || {
            let maps = [world.get("configmaps", "first").await, world.get("configmaps", "second").await];
            [baseline(&world.deployment().await), baseline(&maps[0]), baseline(&maps[1])]
        };
        let before = remembered().await;
        assert!(before[0].to_string().contains("DB_POOL_SIZE=\":null"), "{before:?}");
        assert!(before[1].to_string().contains("10") && before[2].to_string().contains("10"), "{before:?}");
        let documents = async || {
            let (first, second) = (world.get("configmaps", "first").await, world.get("configmaps", "second").await);
            [first, second].map(|map| map["data"]["c.yaml"].as_str().unwrap().to_owned())
        };
        for (number, point) in POINTS.into_iter().enumerate() {
            let (resource, verb, count) = point;
            let revision = revision(&world.deployment().await);
            let mark = world.mark();
            let size = 30 + u32::try_from(number).unwrap();
            world.apply(&documented(size));
            let moment = Duration::from_millis(2);
            eventually_at(moment, PATIENCE, &format!("{point:?} is reached"), async || {
                let made = mark.requests(&world.namespace);
                let those = |r: &&Request| r.resource == resource && r.verb == verb && r.code < 300;
                if made.iter().filter(those).count() >= count { Ok(()) } else { Err(Shown(told(&made))) }
            })
            .await;
            kill_all();
            let killed = world.get("performancepolicies", "p").await;
            let end = condition(&killed, "Applied")["status"] == "True"
                && condition(&killed, "Applied")["observedGeneration"] == killed["metadata"]["generation"];
            assert!(!end, "{point:?} was reached after the end: {killed:#}");

            let settled = world.settled("p").await;
            world.caught_up().await;
            let deployment = world.deployment().await;
            assert_eq!(env_of(&deployment, "DB_POOL_SIZE"), Some(size.to_string()), "{point:?}");
            assert_eq!(documents().await, [(); 2].map(|()| format!("limit: {size}\n")), "{point:?}");
            assert_eq!(self::revision(&deployment), revision + 1, "{point:?}, one rollout: {settled:#}");
            assert_eq!(remembered().await, before, "{point:?}: what was there before the first claim");
            let writes = mark.target_writes(&world.namespace);
            let applies = writes.iter().filter(|r| r.resource == "deployments" && r.code < 300).count();
            // The server logs no success for a request whose sender has died, though it may have done what it asked.
            assert!(applies <= 1, "{point:?}:\n{}", told(&writes));
            for map in ["first", "second"] {
                let map = world.get("configmaps", map).await;
                let owns =
                    |entry: &Value| entry["manager"] == "trimtab/p" && entry["fieldsV1"].to_string().contains("c.yaml");
                assert!(!map["metadata"]["managedFields"].as_array().unwrap().iter().any(owns), "{point:?}: {map:#}");
            }
        }
        ready_again(world).await;
    });
}

/// What the policy `p` remembers of the time before its first claim on an object. Beside each value stands the one before the
/// last change, which is another every time.
fn baseline(object: &Value) -> Value {
    fn first(paths: &Value) -> Value {
        match paths {
            Value::Object(members) => members.iter().map(|(name, below)| (name.clone(), first(below))).collect(),
            Value::Array(values) => values.first().cloned().unwrap_or_default(),
            other => other.clone(),
        }
    }
    let record = object["metadata"]["annotations"]["trimtab.dev/baseline.p"].as_str().expect("a record");
    let record: Value = serde_json::from_str(record).expect("a record in JSON");
    json!([first(&record["paths"]), first(&record["documents"])])
}
