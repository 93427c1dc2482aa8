//! The two switches of the guides, forced by `spec.profile` in copies of their examples: one rollout there, one back.

use serde_json::{Value, json};

use crate::{
    audit::told,
    cluster::eventually,
    here, seen,
    stage::{apply, manifests, workloads},
    world::{PATIENCE, World, condition, with_world},
};

/// An example in the test's own namespace, enforced as repaired, with little CPU for each pod.
async fn copy(world: &World, example: &str, policy: &str) {
    workloads(world, example);
    let repaired = manifests(example, "repaired", &world.namespace);
    apply(world, &repaired.replace("requests: {cpu: \"1\"", "requests: {cpu: 50m"));
    world.settled(policy).await;
}

fn patch(world: &World, policy: &str, patch: &Value) {
    world.kubectl(&["patch", "performancepolicy", policy, "--type=merge", "-p", &patch.to_string()]);
}

/// Waits until the values of the active profiles are in place and rolled out.
async fn switched(world: &World, policy: &str, profiles: Option<&str>) -> Value {
    let check = |policy: &Value| {
        let applied = condition(policy, "Applied");
        policy["status"]["profileSummary"].as_str() == profiles
            && applied["status"] == "True"
            && applied["observedGeneration"] == policy["metadata"]["generation"]
    };
    let what = format!("the active profiles are {profiles:?}, and their values are in place");
    world.until("performancepolicies", policy, &what, check).await
}

/// What the one container of a pod of the workload shows, once it shows these.
async fn shows(world: &World, (app, container, file): (&str, &str, &str), wanted: [&str; 3]) {
    let pod = seen::some_pod(world, app).await;
    eventually(PATIENCE, &format!("{file} has {wanted:?}"), async || {
        let text = world.inside_container(&pod, container, &["cat", file]).replace('\0', "\n");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        if wanted.iter().all(|one| lines.contains(one)) { Ok(()) } else { Err(text) }
    })
    .await;
}

#[test]
fn gc7_one_switch_moves_three_intervals_in_one_rollout_and_back() {
    const PLACE: (&str, &str, &str) = ("grace-api", "api", "/proc/1/environ");
    const LOW: [&str; 3] = ["REFLECTION_INTERVAL=10", "META_LOOP_INTERVAL=300", "HEALTH_CHECK_INTERVAL=30"];
    const HIGH: [&str; 3] = ["REFLECTION_INTERVAL=60", "META_LOOP_INTERVAL=3600", "HEALTH_CHECK_INTERVAL=120"];
    with_world(here!(), async |world| {
        copy(world, "grace", "grace").await;
        shows(world, PLACE, LOW).await;
        let before = world.get("deployments", "grace-api").await;
        let sets = world.replica_sets("grace-api").await.len();

        patch(world, "grace", &json!({"spec": {"profile": "high-traffic"}}));
        switched(world, "grace", Some("high-traffic")).await;
        shows(world, PLACE, HIGH).await;
        assert_eq!(world.replica_sets("grace-api").await.len(), sets + 1, "one new ReplicaSet for all three");

        patch(world, "grace", &json!({"spec": {"profile": null}}));
        switched(world, "grace", None).await;
        shows(world, PLACE, LOW).await;
        assert_eq!(world.replica_sets("grace-api").await.len(), sets + 1, "back to the ReplicaSet that was there");
        let after = world.get("deployments", "grace-api").await;
        assert_eq!(after["spec"]["template"], before["spec"]["template"], "exactly what was there before");
    });
}

#[test]
fn gr7_redis_needs_a_host_and_then_one_rollout_switches_the_event_bus() {
    const PLACE: (&str, &str, &str) = ("mothership", "api", "/etc/grid/config.yaml");
    const MEMORY: [&str; 3] =
        ["use_redis: false    # false: in memory, on one node", "redis_host: localhost", "redis_port: 6379"];
    const REDIS: [&str; 3] =
        ["use_redis: true    # false: in memory, on one node", "redis_host: redis", "redis_port: 6379"];
    with_world(here!(), async |world| {
        copy(world, "grid", "mothership").await;
        shows(world, PLACE, MEMORY).await;
        let sets = world.replica_sets("mothership").await.len();

        // Nobody has said yet which Redis.
        let mark = world.mark();
        patch(world, "mothership", &json!({"spec": {"profile": "distributed"}}));
        let blocked = world.says("mothership", "ProfileBlocked", "True", "RequirementUnmet").await;
        let said = condition(&blocked, "ProfileBlocked")["message"].as_str().unwrap_or_default();
        assert!(said.contains("distributed") && said.contains("redis-host"), "{said}");
        world.caught_up().await;
        let mut writes = mark.changes(&world.namespace);
        writes.retain(|write| !write.name.starts_with("barrier-"));
        assert_eq!(writes, [], "{}", told(&writes));

        let mut spec = world.get("performancepolicies", "mothership").await["spec"].clone();
        let settings = spec["settings"].as_array_mut().expect("settings");
        let host = settings.iter_mut().find(|setting| setting["name"] == "redis-host").expect("the host");
        host["value"] = "redis".into();
        patch(world, "mothership", &json!({"spec": {"settings": spec["settings"]}}));
        let enabled = switched(world, "mothership", Some("distributed")).await;
        assert_ne!(condition(&enabled, "ProfileBlocked")["status"], "True", "{enabled:#}");
        shows(world, PLACE, REDIS).await;
        assert_eq!(world.replica_sets("mothership").await.len(), sets + 1, "one new ReplicaSet");

        patch(world, "mothership", &json!({"spec": {"profile": null}}));
        switched(world, "mothership", None).await;
        shows(world, PLACE, [MEMORY[0], REDIS[1], REDIS[2]]).await;
    });
}
