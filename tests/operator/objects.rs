//! Targets that are no workloads, with the real definitions of CloudNativePG v1.30 and nack v0.23. Their operators do not run
//! here: what they would write is written by the tests, and they say so.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    audit::told,
    cluster::eventually,
    here,
    world::{
        World, assert_no_trace, condition, definitions, idle, managers, merge, pool_policy, traces, with_world,
        with_world_alone,
    },
};

const STREAM: &str = "jetstream.nats.io/v1beta2";
const POSTGRES: &str = "postgresql.cnpg.io/v1";

/// A class, made once for all these tests, that allows every field.
fn class(world: &World) {
    let objects = json!([{"kind": "Cluster"}, {"kind": "Pooler"}, {"kind": "Stream"}]);
    world.apply(&json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformanceClass", "metadata": {"name": "objects"},
        "spec": {"objects": objects},
    }));
}

fn policy(name: &str, api_version: &str, kind: &str, settings: &Value, more: &Value) -> Value {
    let target = json!({"apiVersion": api_version, "kind": kind, "name": "it"});
    let mut spec = json!({"mode": "Enforce", "className": "objects", "target": target, "settings": settings});
    merge(&mut spec, more);
    json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"name": name}, "spec": spec})
}

fn stream_policy(settings: &Value) -> Value {
    policy("p", STREAM, "Stream", settings, &json!({}))
}

/// A stream as its manifest has it. nack's definition adds defaults: unlimited, in memory.
fn stream(spec: &Value) -> Value {
    let mut all = json!({"name": "IT", "subjects": ["cim.>"], "storage": "file"});
    merge(&mut all, spec);
    json!({"apiVersion": STREAM, "kind": "Stream", "metadata": {"name": "it"}, "spec": all})
}

/// A cluster as its manifest has it, without what the webhook of CloudNativePG would add.
fn cluster(parameters: &Value) -> Value {
    let mut spec = json!({"instances": 3, "storage": {"size": "1Gi"}});
    if !parameters.is_null() {
        spec["postgresql"] = json!({"parameters": parameters});
    }
    json!({"apiVersion": POSTGRES, "kind": "Cluster", "metadata": {"name": "it"}, "spec": spec})
}

async fn released(world: &World, kind: &str) -> Value {
    world.until(kind, "it", "it is released", |object| traces(object).is_empty()).await
}

/// The limits of the fourth guide, row AL6.
fn limits(allow: bool) -> Value {
    let mut limits = json!([
        {"name": "max-msgs", "value": 10_000_000, "field": "spec.maxMsgs"},
        {"name": "max-bytes", "type": "Bytes", "value": "10Gi", "field": "spec.maxBytes", "as": "bytes"},
        {"name": "max-age", "type": "Duration", "value": "7d", "field": "spec.maxAge", "as": "go"},
        {"name": "max-msg-size", "type": "Bytes", "value": "1Mi", "field": "spec.maxMsgSize", "as": "bytes"},
        {"name": "storage", "type": "Enum", "value": "file", "allowed": ["file"], "field": "spec.storage"},
        {"name": "replicas", "value": 3, "field": "spec.replicas"},
        {"name": "cluster", "type": "Enum", "value": "production", "allowed": ["production"],
         "field": "spec.placement.cluster"},
        {"name": "tags", "type": "Enum", "value": "ssd,fast", "allowed": ["ssd", "fast"], "as": "list",
         "field": "spec.placement.tags"},
        {"name": "direct", "type": "Boolean", "value": "true", "field": "spec.allowDirect"},
    ]);
    for limit in limits.as_array_mut().unwrap().iter_mut().take(4).filter(|_| allow) {
        limit["allowDestructive"] = json!(true);
    }
    limits
}

#[test]
fn al6_limits_of_a_stream_land_with_the_types_that_nack_reads() {
    with_world(here!(), async |world| {
        class(world);
        let manifest = stream(&json!({}));
        world.apply(&manifest);
        let before = world.get("streams", "it").await;
        assert_eq!(before["spec"]["maxMsgs"], -1, "a default of the definition: {before:#}");

        // From unlimited to a number deletes messages: nothing is written, and it is said what would help.
        let mark = world.mark();
        world.apply(&stream_policy(&limits(false)));
        let said = world.says("p", "Ready", "False", "DestructiveChange").await;
        let message = condition(&said, "Ready")["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains("spec.maxMsgs from unlimited to 10000000"), "{message}");
        assert!(message.contains("allowDestructive: true on settings.max-msgs"), "{message}");
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        assert_eq!(world.get("streams", "it").await["metadata"], before["metadata"]);

        world.apply(&stream_policy(&limits(true)));
        world.settled("p").await;
        let live = world.get("streams", "it").await;
        let spec = &live["spec"];
        assert_eq!(spec["maxMsgs"], json!(10_000_000));
        assert_eq!(spec["maxBytes"], json!(10_737_418_240_i64));
        assert_eq!(spec["maxAge"], json!("168h0m0s"));
        assert_eq!(spec["maxMsgSize"], json!(1_048_576));
        assert_eq!((&spec["storage"], &spec["replicas"]), (&json!("file"), &json!(3)));
        assert_eq!(spec["placement"], json!({"cluster": "production", "tags": ["ssd", "fast"]}));
        assert_eq!(spec["allowDirect"], json!(true));
        assert!(managers(&live).contains(&"trimtab/p"), "{live:#}");

        // What no manifest mentions survives both ways of applying it.
        let mark = world.mark();
        let mut next = manifest.clone();
        merge(&mut next, &json!({"metadata": {"labels": {"round": "2"}}}));
        world.apply(&next);
        merge(&mut next, &json!({"metadata": {"labels": {"round": "3"}}}));
        world.apply_server_side(&next).unwrap();
        world.caught_up().await;
        assert_eq!(world.get("streams", "it").await["spec"], *spec);
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));

        world.delete_policy("p");
        let left = released(world, "streams").await;
        assert_no_trace(&left);
        assert_eq!(left["spec"], *spec, "the values stay");
        world.apply_server_side(&stream(&json!({"maxMsgs": 5}))).unwrap();
        assert_eq!(world.get("streams", "it").await["spec"]["maxMsgs"], 5);
    });
}

#[test]
fn limits_are_raised_by_anybody_and_lowered_by_a_literal_that_may_only() {
    with_world(here!(), async |world| {
        class(world);
        let messages = |value: Value, allow: bool| {
            let mut knob =
                json!({"name": "messages", "value": value, "field": "spec.maxMsgs", "onConflict": "TakeOver"});
            if allow {
                knob["allowDestructive"] = json!(true);
            }
            stream_policy(&json!([{"name": "base", "value": 100}, knob]))
        };
        let has = async || world.get("streams", "it").await["spec"]["maxMsgs"].clone();
        world.apply(&stream(&json!({"maxMsgs": 1000})));
        world.apply(&messages(json!(2000), false));
        world.settled("p").await;
        assert_eq!(has().await, 2000);

        let refused = async |policy: &Value, words: &str| {
            let mark = world.mark();
            world.apply(policy);
            let said = world.says("p", "Ready", "False", "DestructiveChange").await;
            let message = condition(&said, "Ready")["message"].as_str().unwrap_or_default();
            assert!(message.contains(words), "{message}");
            assert!(condition(&said, "Stalled").is_null(), "{said:#}");
            world.caught_up().await;
            let writes = mark.target_writes(&world.namespace);
            assert_eq!(writes, [], "{}", told(&writes));
            assert_eq!(has().await, 2000);
        };
        refused(&messages(json!(500), false), "spec.maxMsgs from 2000 to 500 deletes the messages beyond it").await;
        refused(
            &messages(json!("= 5 * settings.base"), false),
            "only a literal of settings.messages that no profile sets may do that",
        )
        .await;
        world.apply(&messages(json!(500), true));
        world.settled("p").await;
        assert_eq!(has().await, 500);

        // Nobody said that the storage may change, and JetStream would not.
        let storage = json!([{"name": "storage", "type": "Enum", "value": "memory", "allowed": ["memory"],
            "field": "spec.storage", "onConflict": "TakeOver"}]);
        world.apply(&stream_policy(&storage));
        world.says("p", "Ready", "False", "FieldFixed").await;
        world.apply(&stream(&json!({"maxMsgs": 500, "preventUpdate": true})));
        world.apply(&messages(json!(600), false));
        world.says("p", "Ready", "False", "TargetPreventsUpdate").await;
        assert_eq!(has().await, 500);
    });
}

#[test]
fn the_status_that_nack_writes_says_when_a_value_is_in_place() {
    with_world(here!(), async |world| {
        class(world);
        world.apply(&stream(&json!({})));
        // As nack's controller writes it.
        let nack = |generation: i64, status: &str, message: &str| {
            let ready = json!({"type": "Ready", "status": status, "reason": "Reconciled", "message": message,
                "lastTransitionTime": "2026-11-21T10:00:00Z"});
            let patch = json!({"status": {"observedGeneration": generation, "conditions": [ready]}});
            world.kubectl(&["patch", "stream", "it", "--subresource=status", "--type=merge", "-p", &patch.to_string()]);
        };
        nack(1, "True", "");
        world.apply(&stream_policy(&json!([{"name": "replicas", "value": 3, "field": "spec.replicas"}])));
        world.says("p", "Applied", "False", "TargetNotReady").await;
        assert_eq!(world.get("streams", "it").await["spec"]["replicas"], 3);
        nack(2, "False", "insufficient resources");
        let what = "the policy quotes nack";
        world
            .until("performancepolicies", "p", what, |policy| {
                let applied = condition(policy, "Applied");
                applied["message"].as_str().is_some_and(|message| message.contains("insufficient resources"))
            })
            .await;
        nack(2, "True", "");
        world.settled("p").await;
    });
}

#[test]
fn parameters_of_postgresql_are_texts_and_go_back_to_what_was_there() {
    with_world(here!(), async |world| {
        class(world);
        let manifest = cluster(&json!({"max_connections": "100"}));
        world.apply(&manifest);
        let before = world.get("clusters", "it").await;
        let settings = json!([
            {"name": "buffers", "type": "Bytes", "value": "2Gi", "as": "postgres",
             "field": "spec.postgresql.parameters.shared_buffers"},
            {"name": "connections", "value": 200, "field": "spec.postgresql.parameters.max_connections",
             "onConflict": "TakeOver"},
            {"name": "statements", "value": 10_000, "field": "spec.postgresql.parameters.pg_stat_statements.max"},
            {"name": "completion", "type": "Ratio", "value": "90%",
             "field": "spec.postgresql.parameters.checkpoint_completion_target"},
            {"name": "jit", "type": "Boolean", "value": "false", "as": "postgres", "field": "spec.postgresql.parameters.jit"},
        ]);
        world.apply(&policy("p", POSTGRES, "Cluster", &settings, &json!({"deletionPolicy": "Restore"})));
        world.settled("p").await;
        let live = world.get("clusters", "it").await;
        assert_eq!(
            live["spec"]["postgresql"]["parameters"],
            json!({"shared_buffers": "2GB", "max_connections": "200", "pg_stat_statements.max": "10000",
                "checkpoint_completion_target": "0.9", "jit": "off"})
        );
        let explained = world.trimtab(&["explain", "cluster/it"]);
        assert!(explained.contains("PostgreSQL restarts for it"), "{explained}");

        world.delete_policy("p");
        let left = released(world, "clusters").await;
        assert_eq!(left["spec"], before["spec"], "everything is as it was");
        let mut next = manifest.clone();
        merge(&mut next, &json!({"spec": {"postgresql": {"parameters": {"max_connections": "120"}}}}));
        world.apply(&next);
        assert_eq!(world.get("clusters", "it").await["spec"]["postgresql"]["parameters"]["max_connections"], "120");
    });
}

#[test]
fn what_restoring_empties_becomes_no_null_that_the_definition_refuses() {
    with_world(here!(), async |world| {
        class(world);
        world.apply(&cluster(&Value::Null));
        let settings = json!([{"name": "mem", "type": "Bytes", "value": "16Mi", "as": "postgres",
            "field": "spec.postgresql.parameters.work_mem"}]);
        world.apply(&policy("p", POSTGRES, "Cluster", &settings, &json!({"deletionPolicy": "Restore"})));
        world.settled("p").await;
        assert_eq!(world.get("clusters", "it").await["spec"]["postgresql"]["parameters"], json!({"work_mem": "16MB"}));
        world.delete_policy("p");
        let left = released(world, "clusters").await;
        assert!(left["spec"]["postgresql"]["parameters"].get("work_mem").is_none(), "{left:#}");
        eventually(Duration::from_mins(1), "the policy is gone", async || {
            world.try_get("performancepolicies", "p").await.map_or(Ok(()), Err)
        })
        .await;
    });
}

#[test]
fn a_pooler_gets_its_pool_and_fewer_instances() {
    with_world(here!(), async |world| {
        class(world);
        world.apply(&json!({
            "apiVersion": POSTGRES, "kind": "Pooler", "metadata": {"name": "it"},
            "spec": {"cluster": {"name": "pg"}, "type": "rw", "pgbouncer": {"poolMode": "session"}, "instances": 3},
        }));
        let settings = json!([
            {"name": "instances", "value": 2, "field": "spec.instances", "onConflict": "TakeOver"},
            {"name": "lifetime", "type": "Duration", "value": "1h", "as": "seconds",
             "field": "spec.pgbouncer.parameters.server_lifetime"},
        ]);
        let pools =
            json!([{"name": "db", "size": {"value": 20, "field": "spec.pgbouncer.parameters.default_pool_size"}}]);
        world.apply(&policy("p", POSTGRES, "Pooler", &settings, &json!({"pools": pools})));
        world.settled("p").await;
        let live = world.get("poolers", "it").await;
        assert_eq!(live["spec"]["instances"], json!(2));
        let pgbouncer = &live["spec"]["pgbouncer"];
        assert_eq!(pgbouncer["poolMode"], "session");
        assert_eq!(pgbouncer["parameters"], json!({"default_pool_size": "20", "server_lifetime": "3600"}));
    });
}

#[test]
fn a_class_that_does_not_name_the_kind_forbids_it() {
    with_world(here!(), async |world| {
        world.apply(&stream(&json!({})));
        let mark = world.mark();
        let settings = json!([{"name": "replicas", "value": 3, "field": "spec.replicas"}]);
        world.apply(&policy("p", STREAM, "Stream", &settings, &json!({"className": "standard"})));
        world.says("p", "Accepted", "False", "ClassForbids").await;
        world.caught_up().await;
        assert_eq!(mark.target_writes(&world.namespace), []);
    });
}

#[test]
fn a_kind_that_is_installed_later_is_governed_without_a_restart() {
    with_world_alone(here!(), async |world| {
        class(world);
        world.kubectl(&["delete", "customresourcedefinition", "streams.jetstream.nats.io", "--timeout=60s"]);
        let settings = json!([{"name": "replicas", "value": 3, "field": "spec.replicas"}]);
        world.apply(&stream_policy(&settings));
        let said = world.says("p", "Ready", "False", "KindNotServed").await;
        assert_eq!(condition(&said, "Reconciling")["status"], "True", "{said:#}");
        assert!(condition(&said, "Stalled").is_null(), "{said:#}");
        // Everybody else is served as ever.
        world.apply(&idle("api", &json!({})));
        world.apply(&pool_policy("q", 20));
        world.settled("q").await;

        let folder = definitions();
        world.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", folder.to_str().unwrap()]);
        world.kubectl(&["wait", "--for=condition=Established", "customresourcedefinition/streams.jetstream.nats.io"]);
        eventually(Duration::from_secs(30), "streams can be made", async || world.try_apply(&stream(&json!({})), &[]))
            .await;
        world.settled("p").await;
        assert_eq!(world.get("streams", "it").await["spec"]["replicas"], 3);
    });
}
