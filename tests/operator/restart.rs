//! Operators come and go; what they govern does not notice.

use std::{process::Command, time::Duration};

use serde_json::{Value, json};

use crate::{
    audit::told,
    cluster::eventually,
    here,
    operator::{NAMESPACE, RELEASE, helm_run, processes},
    world::{PATIENCE, World, condition, env_of, pool_policy, with_world_alone, workload},
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

#[test]
fn killed_after_each_request_of_a_change_it_ends_the_same_with_one_rollout() {
    with_world_alone(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        let generation = |policy: &Value| policy["metadata"]["generation"].as_i64();
        for point in 0..10_u32 {
            let revision = revision(&world.deployment().await);
            let mark = world.mark();
            let size = 30 + point;
            world.apply(&pool_policy("p", size));
            // Requests that lists after a start make are not about one object; those of the change are.
            let reached = async {
                loop {
                    let made = mark.requests(&world.namespace).iter().filter(|r| r.is_about_one_object()).count();
                    let done = world.get("performancepolicies", "p").await;
                    let settled = condition(&done, "Applied");
                    let is_settled =
                        settled["status"] == "True" && settled["observedGeneration"].as_i64() == generation(&done);
                    if made >= point as usize || is_settled {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(PATIENCE, reached).await.expect("the change goes on");
            kill_all();
            let settled = world.settled("p").await;
            let deployment = world.deployment().await;
            assert_eq!(env_of(&deployment, "DB_POOL_SIZE"), Some(size.to_string()), "killed after {point} requests");
            assert_eq!(
                self::revision(&deployment),
                revision + 1,
                "killed after {point} requests, one rollout: {settled:#}"
            );
            let writes = mark.target_writes(&world.namespace);
            let applies = writes.iter().filter(|r| r.resource == "deployments" && r.code < 300).count();
            // The server logs no success for a request whose sender has died, though it may have done what it asked.
            assert!(applies <= 1, "killed after {point} requests:\n{}", told(&writes));
        }
        // What was there before the first claim is still known: nothing.
        let deployment = world.deployment().await;
        let record = deployment["metadata"]["annotations"]["trimtab.dev/baseline.p"].as_str().expect("a record");
        let record: Value = serde_json::from_str(record).expect("a record in JSON");
        assert!(record["paths"].to_string().contains("DB_POOL_SIZE"), "{record}");
        assert!(!record["paths"].to_string().contains("\"20\""), "{record}");
        ready_again(world).await;
    });
}
