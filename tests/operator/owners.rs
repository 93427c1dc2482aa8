//! Who owns a value when others write it too: each row is what a user does, the value in the end, and what the next one meets.

use serde_json::{Value, json};

use crate::{
    audit::{Mark, told},
    cluster::eventually,
    here,
    tools::{Chart, labelled},
    world::{PATIENCE, World, condition, env_of, env_var, managers, policy, pool_policy, with_world, workload},
};

const KNOB: &str = "DB_POOL_SIZE";

fn taking_over(size: u32) -> Value {
    let knob = json!({"value": size, "env": KNOB, "onConflict": "TakeOver"});
    policy("p", &json!({"pools": [{"name": "db", "size": knob}]}))
}

async fn size(world: &World) -> Option<String> {
    env_of(&world.deployment().await, KNOB)
}

fn message(policy: &Value) -> String {
    condition(policy, "Conflicted")["message"].as_str().unwrap_or_default().to_owned()
}

/// Fails unless the operator has written nothing that people own.
async fn wrote_nothing(mark: &Mark, world: &World) {
    world.caught_up().await;
    let writes = mark.target_writes(&world.namespace);
    assert_eq!(writes, [], "{}", told(&writes));
}

// ---- environment ----

#[test]
fn what_a_manifest_sets_is_left_to_it_and_the_policy_names_both_ways_out() {
    with_world(here!(), async |world| {
        let manifest = workload("api", &env_var(KNOB, "5"), &json!({}));
        for (server_side, manager) in [(false, "kubectl-client-side-apply"), (true, "kubectl")] {
            if server_side {
                world.apply_server_side(&manifest).unwrap();
            } else {
                world.apply(&manifest);
            }
            world.rolled_out("api");
            let before = world.deployment().await;
            let mark = world.mark();
            world.apply(&pool_policy("p", 20));
            let told = world.says("p", "Conflicted", "True", "FieldManagerConflict").await;
            let message = message(&told);
            assert!(message.contains(&format!("\"{manager}\"")), "{message}");
            assert!(message.contains("take it out of") && message.contains("onConflict: TakeOver"), "{message}");
            assert_eq!(condition(&told, "Applied")["status"], "False");
            wrote_nothing(&mark, world).await;
            assert_eq!(world.deployment().await["metadata"], before["metadata"]);
            world.kubectl(&["delete", "performancepolicy", "p"]);
        }
    });
}

#[test]
fn what_no_manifest_mentions_survives_every_kind_of_apply() {
    with_world(here!(), async |world| {
        let manifest = workload("api", &env_var("OTHER", "1"), &json!({}));
        world.run_workload(&manifest);
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        let mark = world.mark();
        let sets = world.replica_sets("api").await.len();
        let generation = world.deployment().await["metadata"]["generation"].as_i64().unwrap();

        world.apply(&labelled(manifest.clone(), "2"));
        world.rolled_out("api");
        world.apply_server_side(&labelled(manifest, "3")).unwrap();
        world.rolled_out("api");
        world.kubectl(&["rollout", "restart", "deployment/api"]);
        world.rolled_out("api");

        let now = world.deployment().await;
        assert_eq!(env_of(&now, KNOB).as_deref(), Some("20"));
        assert!(managers(&now).contains(&"trimtab/p"), "{now:#}");
        assert_eq!(now["metadata"]["generation"].as_i64(), Some(generation + 3), "one for each of theirs");
        assert_eq!(world.replica_sets("api").await.len(), sets + 3);
        wrote_nothing(&mark, world).await;
        let told = world.settled("p").await;
        assert!(condition(&told, "Conflicted").is_null(), "{told:#}");
    });
}

#[test]
fn a_value_that_was_taken_over_meets_the_next_server_side_apply_with_a_conflict() {
    with_world(here!(), async |world| {
        let manifest = workload("api", &env_var(KNOB, "5"), &json!({}));
        world.apply_server_side(&manifest).unwrap();
        world.rolled_out("api");
        world.apply(&taking_over(20));
        world.settled("p").await;
        assert_eq!(size(world).await.as_deref(), Some("20"));
        let said = world.apply_server_side(&labelled(manifest.clone(), "2")).unwrap_err();
        assert!(said.contains("conflict") && said.contains("\"trimtab/p\""), "{said}");
        assert_eq!(size(world).await.as_deref(), Some("20"));

        // The first way out: take it out of the manifest.
        let without = workload("api", &json!({}), &json!({}));
        world.apply_server_side(&labelled(without, "3")).unwrap();
        world.rolled_out("api");
        world.settled("p").await;
        assert_eq!(size(world).await.as_deref(), Some("20"));
    });
}

#[test]
fn an_owner_that_insists_gets_the_field_after_one_return_and_there_is_never_a_third_rollout() {
    with_world(here!(), async |world| {
        let manifest = workload("api", &env_var(KNOB, "5"), &json!({}));
        let insist = async || {
            let flags = ["--server-side", "--force-conflicts", "--field-manager=argocd-controller"];
            world.try_apply(&manifest, &flags).unwrap();
            world.rolled_out("api");
        };
        insist().await;
        let mark = world.mark();
        world.apply(&taking_over(20));
        world.settled("p").await;
        let mut insisted = 0;
        let told = loop {
            insist().await;
            insisted += 1;
            // The status comes seconds after the decision, so neither of the two can be looked at alone.
            let left = eventually(PATIENCE, "it is taken back, or contested", async || {
                let policy = world.get("performancepolicies", "p").await;
                let taken = size(world).await.as_deref() == Some("20");
                if condition(&policy, "Conflicted")["reason"] == "Contested" {
                    return Ok(Some(policy));
                }
                if taken { Ok(None) } else { Err(policy) }
            })
            .await;
            if let Some(told) = left {
                break told;
            }
            assert!(insisted < 3, "it was taken back {insisted} times");
            world.rolled_out("api");
        };
        assert_eq!(insisted, 2, "{told:#}");
        assert_eq!(condition(&told, "Conflicted")["reason"], "Contested", "{told:#}");
        let message = message(&told);
        assert!(message.contains("argocd-controller") && message.contains("gnore"), "{message}");
        insist().await;
        world.caught_up().await;
        assert_eq!(size(world).await.as_deref(), Some("5"), "the owner has it");
        assert_eq!(told["status"]["revision"], 2, "{told:#}");
        let writes = mark.target_writes(&world.namespace);
        let done = writes.iter().filter(|request| request.code < 300).count();
        assert!(done <= 3, "two takings, and what is left is released:\n{}", crate::audit::told(&writes));
    });
}

#[test]
fn a_person_who_sets_the_variable_is_heard_until_resume() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        let mark = world.mark();
        world.kubectl(&["set", "env", "deployment/api", "DB_POOL_SIZE=3"]);
        let told = world.says("p", "Conflicted", "True", "ManualOverride").await;
        assert!(message(&told).contains("resume p"), "{}", message(&told));
        world.rolled_out("api");
        wrote_nothing(&mark, world).await;
        assert_eq!(size(world).await.as_deref(), Some("3"));

        world.trimtab(&["resume", "p"]);
        world.settled("p").await;
        assert_eq!(size(world).await.as_deref(), Some("20"));

        // A change of the policy ends a hold as well.
        world.kubectl(&["set", "env", "deployment/api", "DB_POOL_SIZE=3"]);
        world.says("p", "Conflicted", "True", "ManualOverride").await;
        world.rolled_out("api");
        world.apply(&pool_policy("p", 21));
        world.settled("p").await;
        assert_eq!(size(world).await.as_deref(), Some("21"));
    });
}

#[test]
fn rollout_undo_is_heard_until_resume() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        world.apply(&pool_policy("p", 21));
        world.settled("p").await;
        let mark = world.mark();
        // To another value of ours, and then to a time before us.
        for revision in ["--to-revision=2", "--to-revision=1"] {
            world.kubectl(&["rollout", "undo", "deployment/api", revision]);
            world.rolled_out("api");
            world.says("p", "Conflicted", "True", "ManualOverride").await;
            wrote_nothing(&mark, world).await;
        }
        assert_eq!(size(world).await, None);
        let sets = world.replica_sets("api").await.len();
        world.trimtab(&["resume", "p"]);
        world.settled("p").await;
        assert_eq!(size(world).await.as_deref(), Some("21"));
        assert_eq!(world.replica_sets("api").await.len(), sets, "the template is one that was there before");
    });
}

// ---- Helm ----

#[test]
fn helm_upgrades_beside_a_policy() {
    with_world(here!(), async |world| {
        let manifest = workload("api", &env_var("OTHER", "1"), &json!({}));
        let chart = Chart::new(world, &manifest);
        chart.upgrade(world).unwrap();
        world.apply(&pool_policy("p", 20));
        world.settled("p").await;
        let mark = world.mark();
        chart.write(&labelled(manifest, "2"));
        chart.upgrade(world).unwrap();
        wrote_nothing(&mark, world).await;
        assert_eq!(size(world).await.as_deref(), Some("20"));

        // What the chart sets is the chart's.
        world.kubectl(&["delete", "performancepolicy", "p"]);
        let set = workload("api", &env_var(KNOB, "5"), &json!({}));
        chart.write(&set);
        chart.upgrade(world).unwrap();
        let mark = world.mark();
        world.apply(&pool_policy("q", 30));
        let told = world.says("q", "Conflicted", "True", "FieldManagerConflict").await;
        assert!(message(&told).contains("helm"), "{}", message(&told));
        wrote_nothing(&mark, world).await;
        chart.write(&labelled(set, "3"));
        chart.upgrade(world).unwrap();
        assert_eq!(size(world).await.as_deref(), Some("5"));
    });
}

// ---- resources ----

fn limits(memory: &str, on_conflict: &str) -> Value {
    policy("p", &json!({"resources": [{"container": "app", "limits": {"memory": memory}, "onConflict": on_conflict}]}))
}

fn memory_limit(deployment: &Value) -> Value {
    deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"].clone()
}

#[test]
fn resources_of_a_manifest_are_yielded_or_taken_over() {
    with_world(here!(), async |world| {
        let manifest = workload("api", &json!({"resources": {"limits": {"memory": "64Mi"}}}), &json!({}));
        world.apply_server_side(&manifest).unwrap();
        world.rolled_out("api");
        let mark = world.mark();
        world.apply(&limits("96Mi", "Yield"));
        let told = world.says("p", "Conflicted", "True", "FieldManagerConflict").await;
        assert!(message(&told).contains("\"kubectl\""), "{}", message(&told));
        wrote_nothing(&mark, world).await;

        world.apply(&limits("96Mi", "TakeOver"));
        world.settled("p").await;
        assert_eq!(memory_limit(&world.deployment().await), "96Mi");
        let said = world.apply_server_side(&manifest).unwrap_err();
        assert!(said.contains("\"trimtab/p\""), "{said}");

        world.kubectl(&["set", "resources", "deployment/api", "--limits=memory=80Mi"]);
        world.says("p", "Conflicted", "True", "ManualOverride").await;
        world.rolled_out("api");
        assert_eq!(memory_limit(&world.deployment().await), "80Mi");
        world.trimtab(&["resume", "p"]);
        world.settled("p").await;
        assert_eq!(memory_limit(&world.deployment().await), "96Mi");
    });
}

// ---- documents ----

fn config(text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"c.yaml": text}})
}

fn limit(on_conflict: &str) -> Value {
    policy(
        "p",
        &json!({
            "files": [{"name": "f", "configMap": "config", "key": "c.yaml", "format": "YAML", "reload": "Watch",
                       "onConflict": on_conflict}],
            "settings": [{"name": "limit", "value": 50, "path": {"file": "f", "at": "/limit"}}],
        }),
    )
}

#[test]
fn a_document_is_edited_without_standing_in_its_owners_way() {
    with_world(here!(), async |world| {
        world.apply(&config("limit: 10\n"));
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&limit("Yield"));
        world.settled("p").await;
        let edited = world.get("configmaps", "config").await;
        assert_eq!(edited["data"]["c.yaml"], "limit: 50\n");
        let ours = edited["metadata"]["managedFields"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["manager"] == "trimtab/p" && entry["fieldsV1"].to_string().contains("c.yaml"));
        assert!(!ours, "the key is released at once:\n{edited:#}");

        // The owner's next apply of the same key meets nobody, and is heard.
        world.apply(&config("limit: 20\n"));
        world.says("p", "Conflicted", "True", "FieldManagerConflict").await;
        assert_eq!(world.get("configmaps", "config").await["data"]["c.yaml"], "limit: 20\n");

        // A person's edit is held until resume.
        world.apply(&{
            let mut next = limit("Yield");
            next["spec"]["settings"][0]["value"] = 60.into();
            next
        });
        world.settled("p").await;
        assert_eq!(world.get("configmaps", "config").await["data"]["c.yaml"], "limit: 60\n");
        let patch = json!({"data": {"c.yaml": "limit: 30\n"}}).to_string();
        world.kubectl(&["patch", "configmap", "config", "--type=merge", "--patch", &patch]);
        world.says("p", "Conflicted", "True", "ManualOverride").await;
        assert_eq!(world.get("configmaps", "config").await["data"]["c.yaml"], "limit: 30\n");
        world.trimtab(&["resume", "p"]);
        world.settled("p").await;
        assert_eq!(world.get("configmaps", "config").await["data"]["c.yaml"], "limit: 60\n");
    });
}

#[test]
fn a_document_that_its_owner_puts_back_twice_is_left() {
    with_world(here!(), async |world| {
        world.apply_server_side(&config("limit: 10\n")).unwrap();
        world.run_workload(&workload("api", &json!({}), &json!({})));
        let mark = world.mark();
        world.apply(&limit("TakeOver"));
        world.settled("p").await;
        let mut put_back = 0;
        loop {
            world.try_apply(&config("limit: 10\n"), &["--server-side", "--force-conflicts"]).unwrap();
            put_back += 1;
            // The status comes seconds after the decision, so neither of the two can be looked at alone.
            let left = eventually(PATIENCE, "it is taken back, or left", async || {
                let policy = world.get("performancepolicies", "p").await;
                let document = world.get("configmaps", "config").await["data"]["c.yaml"].clone();
                let left = condition(&policy, "Conflicted")["reason"] == "Contested";
                if left || document == "limit: 50\n" { Ok(left) } else { Err(policy) }
            })
            .await;
            if left {
                break;
            }
            assert!(put_back < 3, "it was taken back {put_back} times");
        }
        assert_eq!(put_back, 2);
        let edits = mark.changes(&world.namespace);
        let releases_and_edits = edits.iter().filter(|r| r.resource == "configmaps").count();
        assert!(releases_and_edits <= 4, "two edits, each with its release:\n{}", told(&edits));
        assert_eq!(world.get("configmaps", "config").await["data"]["c.yaml"], "limit: 10\n");
    });
}

/// A document is all that its owner owns, server-side: between our edit and its release, the owner is in no entry.
#[test]
fn who_applies_a_document_server_side_may_apply_it_again_and_change_it() {
    with_world(here!(), async |world| {
        let document = |limit: u32| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"},
                "data": {"config.yaml": format!("limit: {limit}\n")}})
        };
        world.apply_server_side(&document(10)).unwrap();
        world.run_workload(&workload("api", &json!({}), &json!({})));
        let file =
            json!({"name": "config", "configMap": "config", "key": "config.yaml", "format": "YAML", "reload": "Watch"});
        let limit = json!({"name": "limit", "value": 50, "path": {"file": "config", "at": "/limit"}});
        world.apply(&policy("p", &json!({"files": [file], "settings": [limit]})));
        world.settled("p").await;
        world.caught_up().await;
        let edited = world.get("configmaps", "config").await;
        assert_eq!(edited["data"]["config.yaml"], "limit: 50\n");
        assert_eq!(managers(&edited), ["kubectl"], "{edited:#}");
        for next in [10, 30] {
            world.apply_server_side(&document(next)).unwrap();
            assert_eq!(world.get("configmaps", "config").await["data"], document(next)["data"]);
            let told = world.says("p", "Conflicted", "True", "FieldManagerConflict").await;
            assert!(!message(&told).contains("limit: "), "{}", message(&told));
        }
    });
}
