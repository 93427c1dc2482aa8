//! Options of language runtimes, as the process in a real container sees them.

use serde_json::{Value, json};

use crate::{
    audit::told,
    cluster::eventually,
    here,
    world::{PATIENCE, World, assert_no_trace, condition, env_of, policy, traces, with_world, workload},
};

const JAVA_TOOL_OPTIONS: &str = "JAVA_TOOL_OPTIONS";
const JAVA: &str = "-Dfoo='a  b'\t-Xmx24m -javaagent:/agent.jar ";
const NODE: &str = "--require \"./a b.js\"  --max_old_space_size=24 --no-warnings";
const GUNICORN: &str = "--bind '0.0.0.0:8000' -w 2  --name 'the app'";

/// A container whose manifest sets options of three runtimes.
fn manifest() -> Value {
    let container = json!({
        "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "10m", "memory": "16Mi"}},
        "env": [
            {"name": "JAVA_TOOL_OPTIONS", "value": JAVA},
            {"name": "OTHER", "value": "1"},
            {"name": "NODE_OPTIONS", "value": NODE},
            {"name": "GUNICORN_CMD_ARGS", "value": GUNICORN},
        ],
    });
    workload("api", &container, &json!({}))
}

fn spec() -> Value {
    json!({
        "deletionPolicy": "Restore",
        "workers": [{"name": "web", "count": {"value": 2, "max": 4, "option": "--workers", "onConflict": "TakeOver"}}],
        "settings": [{"name": "timeout", "type": "Duration", "value": "45s", "option": "--timeout", "onConflict": "TakeOver"}],
        "runtime": {
            "jvm": {"heapMax": {"value": "= limits.memory - runtime.jvm.nonHeap"}, "heapMin": {"value": "8Mi"},
                    "nonHeap": "24Mi", "collector": "Serial", "maxPause": {"value": "100ms"}, "onConflict": "TakeOver"},
            "node": {"maxOldSpace": {"value": "20Mi"}, "perWorker": "web", "onConflict": "TakeOver"},
            "go": {"memoryLimit": {"value": "= 0.9 * limits.memory"}},
            "python": {"cpuCount": {"value": "= ceil(limits.cpu)"}},
        },
    })
}

async fn environment(world: &World) -> Vec<String> {
    world.process(&world.pod("api").await, "environ")
}

#[track_caller]
fn has(environment: &[String], wanted: &[(&str, &str)]) {
    for (name, value) in wanted {
        assert!(environment.contains(&format!("{name}={value}")), "{name}={value}: {environment:#?}");
    }
}

#[test]
fn options_join_what_is_in_their_variables_by_one_rollout_and_go_back_to_the_byte() {
    with_world(here!(), async |world| {
        world.run_workload(&manifest());
        has(
            &environment(world).await,
            &[("JAVA_TOOL_OPTIONS", JAVA), ("NODE_OPTIONS", NODE), ("GUNICORN_CMD_ARGS", GUNICORN)],
        );
        let sets = world.replica_sets("api").await.len();
        world.apply(&policy("p", &spec()));
        let settled = world.settled("p").await;
        assert_eq!(world.replica_sets("api").await.len(), sets + 1, "one rollout carries all of it");
        has(
            &environment(world).await,
            &[
                (
                    "JAVA_TOOL_OPTIONS",
                    "-Dfoo='a  b'\t-Xmx40m -javaagent:/agent.jar -Xms8m -XX:MaxGCPauseMillis=100 -XX:+UseSerialGC",
                ),
                ("NODE_OPTIONS", "--require \"./a b.js\"  --max-old-space-size=20 --no-warnings"),
                // Two workers are two workers, however they are spelled.
                ("GUNICORN_CMD_ARGS", "--bind '0.0.0.0:8000' -w 2  --name 'the app' --timeout=45"),
                ("GOMEMLIMIT", "57MiB"),
                ("PYTHON_CPU_COUNT", "1"),
                ("OTHER", "1"),
            ],
        );
        assert_eq!(condition(&settled, "Ready")["status"], "True", "{settled:#}");
        let chain = world.trimtab(&["explain", "deploy/api"]);
        for row in [
            "runtime.jvm.heapMax",
            "= limits.memory - runtime.jvm.nonHeap = 64Mi - 24Mi",
            "-Xmx40m",
            "--max-old-space-size=20",
            "environment variable JAVA_TOOL_OPTIONS of container \"app\"",
        ] {
            assert!(chain.contains(row), "{row}:\n{chain}");
        }
        assert!(!chain.contains("agent.jar"), "options of somebody else are nobody's business:\n{chain}");

        world.kubectl(&["delete", "performancepolicy", "p", "--timeout=60s"]);
        let left = world.until("deployments", "api", "api is released", |object| traces(object).is_empty()).await;
        assert_no_trace(&left);
        for (name, value) in [("JAVA_TOOL_OPTIONS", JAVA), ("NODE_OPTIONS", NODE), ("GUNICORN_CMD_ARGS", GUNICORN)] {
            assert_eq!(env_of(&left, name).as_deref(), Some(value));
        }
        assert_eq!((env_of(&left, "GOMEMLIMIT"), env_of(&left, "PYTHON_CPU_COUNT")), (None, None));
        world.rolled_out("api");
        has(
            &environment(world).await,
            &[("JAVA_TOOL_OPTIONS", JAVA), ("NODE_OPTIONS", NODE), ("GUNICORN_CMD_ARGS", GUNICORN)],
        );
    });
}

#[test]
fn a_heap_that_becomes_a_share_takes_its_own_option_out_in_the_same_rollout() {
    with_world(here!(), async |world| {
        let small = json!({"resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "16Mi"}}});
        world.run_workload(&workload("api", &small, &json!({})));
        let heap = json!({"jvm": {"heapMax": {"value": "40Mi"}}});
        world.apply(&policy("p", &json!({"deletionPolicy": "Restore", "runtime": heap})));
        world.settled("p").await;
        has(&environment(world).await, &[(JAVA_TOOL_OPTIONS, "-Xmx40m")]);
        let sets = world.replica_sets("api").await.len();

        let share = json!([{"name": "heap", "type": "Ratio", "value": "50%", "option": "-XX:MaxRAMPercentage"}]);
        world.apply(&policy("p", &json!({"deletionPolicy": "Restore", "settings": share})));
        eventually(PATIENCE, "the share is in place of the heap", async || {
            let set = env_of(&world.deployment().await, JAVA_TOOL_OPTIONS);
            if set.as_deref() == Some("-XX:MaxRAMPercentage=50.0") { Ok(()) } else { Err(set) }
        })
        .await;
        let settled = world.settled("p").await;
        assert_eq!(condition(&settled, "Ready")["status"], "True", "{settled:#}");
        assert_eq!(
            world.replica_sets("api").await.len(),
            sets + 1,
            "one rollout takes the one out and puts the other in"
        );
        has(&environment(world).await, &[(JAVA_TOOL_OPTIONS, "-XX:MaxRAMPercentage=50.0")]);
        let changes = &settled["status"]["history"][0]["changes"];
        let of = |number: usize| (&changes[number]["from"], &changes[number]["to"]);
        assert_eq!(of(0), (&Value::Null, &json!("-XX:MaxRAMPercentage=50.0")));
        assert_eq!(of(1), (&json!("-Xmx40m"), &Value::Null), "what stood in the way: {changes:#}");

        world.kubectl(&["delete", "performancepolicy", "p", "--timeout=60s"]);
        let left = world.until("deployments", "api", "api is released", |object| traces(object).is_empty()).await;
        assert_eq!(env_of(&left, JAVA_TOOL_OPTIONS), None);
    });
}

#[test]
fn values_that_do_not_fit_or_would_have_no_effect_are_refused_and_write_nothing() {
    with_world(here!(), async |world| {
        let container = json!({
            "resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "16Mi"}},
            "args": ["gunicorn", "app:app", "--workers", "4"],
            "env": [
                {"name": "_JAVA_OPTIONS", "value": "-Xss1m"},
                {"name": "JAVA_OPTS", "value": "-XX:+UseSerialGC -Xms32m"},
                {"name": "NODE_OPTIONS", "value": "--title=\"a"},
            ],
        });
        world.run_workload(&workload("api", &container, &json!({})));
        let mark = world.mark();
        let runtime = |name: &str, runtime: Value| policy(name, &json!({"runtime": runtime}));
        let cases = [
            (
                runtime("heap", json!({"jvm": {"heapMax": {"value": "60Mi"}, "nonHeap": "10Mi"}})),
                "MemoryAboveLimit",
                "heapMax 60Mi + nonHeap 10Mi = 70Mi, above limits.memory 64Mi",
            ),
            (
                policy(
                    "stack",
                    &json!({"settings": [{"name": "s", "type": "Bytes", "value": "2Mi", "option": "-Xss"}]}),
                ),
                "NoEffect",
                "-Xss1m in _JAVA_OPTIONS is read after JAVA_TOOL_OPTIONS",
            ),
            (
                runtime("two-collectors", json!({"jvm": {"collector": "G1"}})),
                "BoundsConflictWithTarget",
                "-XX:+UseSerialGC in JAVA_OPTS: with -XX:+UseG1GC in JAVA_TOOL_OPTIONS that makes two garbage collectors, and the \
                 JVM would not start",
            ),
            (
                runtime("small-heap", json!({"jvm": {"heapMax": {"value": "24Mi"}}})),
                "BoundsConflictWithTarget",
                "-Xms32m in JAVA_OPTS: an initial heap of 32Mi is above the largest of 24Mi",
            ),
            (
                policy("web", &json!({"workers": [{"name": "web", "count": {"value": 2, "env": "WEB_CONCURRENCY"}}]})),
                "NoEffect",
                "--workers 4 in its command is read after WEB_CONCURRENCY",
            ),
            (
                runtime("node", json!({"node": {"maxOldSpace": {"value": "20Mi"}, "onConflict": "TakeOver"}})),
                "OptionsUnparseable",
                "environment variable NODE_OPTIONS of container \"app\" has a quote without its end",
            ),
            (
                runtime("go", json!({"go": {"memoryLimit": {"value": "64Mi"}}})),
                "MemoryAboveLimit",
                "memoryLimit 64Mi is not below limits.memory 64Mi",
            ),
        ];
        let list =
            json!({"apiVersion": "v1", "kind": "List", "items": cases.iter().map(|(p, ..)| p).collect::<Vec<_>>()});
        world.apply(&list);
        for (policy, reason, words) in &cases {
            let said = world.says(policy["metadata"]["name"].as_str().unwrap(), "Ready", "False", reason).await;
            let message = condition(&said, "Ready")["message"].as_str().unwrap_or_default();
            assert!(message.contains(words), "{message}");
        }
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));

        // What is no mistake for certain is written, and said.
        let small = json!({"resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "16Mi"}}});
        world.run_workload(&workload("other", &small, &json!({})));
        let touched = json!({"heapMin": {"value": "24Mi"}, "heapMax": {"value": "24Mi"}, "alwaysPreTouch": true});
        world.apply(&policy("touched", &json!({"target": {"name": "other"}, "runtime": {"jvm": touched}})));
        let said = world.settled("touched").await;
        let message = condition(&said, "Applied")["message"].as_str().unwrap_or_default();
        assert!(message.contains("warning: runtime.jvm.heapMin is touched at the start"), "{message}");
    });
}
