//! Every tool that users have, against every kind of thing that a policy governs: what is there in the end, who owns it, what
//! the operator writes, and that the tool's next apply succeeds.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use trimtab::api::names;

use crate::{
    audit::told,
    cluster::eventually,
    here,
    world::{PATIENCE, World, condition, managers, merge, policy, with_world, workload},
};

/// What writes an owner's manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    /// `kubectl apply`.
    ClientApply,
    /// `kubectl apply --server-side`.
    ServerApply,
    /// `helm upgrade --install`.
    Helm,
    /// What Flux and Argo CD send.
    ForcingLoop,
}

impl Tool {
    const ALL: [Self; 4] = [Self::ClientApply, Self::ServerApply, Self::Helm, Self::ForcingLoop];

    /// The manager that the API server writes down.
    const fn manager(self) -> &'static str {
        match self {
            Self::ClientApply => "kubectl-client-side-apply",
            Self::ServerApply => "kubectl",
            Self::Helm => "helm",
            Self::ForcingLoop => "argocd-controller",
        }
    }

    fn apply(self, world: &World, manifest: &Value) -> Result<String, String> {
        match self {
            Self::ClientApply => world.try_apply(manifest, &[]),
            Self::ServerApply => world.try_apply(manifest, &["--server-side"]),
            Self::Helm => Chart::new(world, manifest).upgrade(world),
            Self::ForcingLoop => {
                world.try_apply(manifest, &["--server-side", "--force-conflicts", "--field-manager=argocd-controller"])
            }
        }
    }

    fn must_apply(self, world: &World, manifest: &Value) {
        self.apply(world, manifest).unwrap_or_else(|said| panic!("{self:?}: {said}"));
    }
}

/// The manifest in another round of its owner.
pub fn labelled(mut manifest: Value, round: &str) -> Value {
    merge(&mut manifest, &json!({"spec": {"template": {"metadata": {"labels": {"round": round}}}}}));
    manifest
}

/// A chart with one manifest, whose release is called `shop`.
pub struct Chart(PathBuf);

impl Chart {
    pub fn new(world: &World, manifest: &Value) -> Self {
        let folder = std::env::temp_dir().join(format!("trimtab-{}", world.namespace));
        fs::create_dir_all(folder.join("templates")).unwrap();
        fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 1.0.0\n").unwrap();
        let chart = Self(folder);
        chart.write(manifest);
        chart
    }

    pub fn write(&self, manifest: &Value) {
        fs::write(self.0.join("templates/api.yaml"), manifest.to_string()).unwrap();
    }

    pub fn upgrade(&self, world: &World) -> Result<String, String> {
        let folder = self.0.to_str().unwrap();
        let arguments =
            ["upgrade", "--install", "shop", folder, "--namespace", &world.namespace, "--wait", "--timeout=60s"];
        let output = crate::helm::helm().args(arguments).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(text) } else { Err(text) }
    }
}

impl Drop for Chart {
    fn drop(&mut self) {
        // A folder in the temporary directory that stays does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A policy for the Deployment of that name.
fn of(name: &str, spec: &Value) -> Value {
    let mut all = policy(name, spec);
    merge(&mut all, &json!({"spec": {"target": {"name": name}}}));
    all
}

// ---- resources ----

fn limit(name: &str, on_conflict: &str) -> Value {
    of(name, &json!({"resources": [{"container": "app", "limits": {"memory": "96Mi"}, "onConflict": on_conflict}]}))
}

async fn memory(world: &World, name: &str) -> Option<String> {
    let deployment = world.get("deployments", name).await;
    let limits = &deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"];
    limits["memory"].as_str().map(ToOwned::to_owned)
}

/// A name for the workload of a row.
fn row(tool: Tool) -> String {
    format!("{tool:?}").to_lowercase()
}

#[test]
fn resources_that_a_manifest_sets_are_its_owners_whatever_the_tool() {
    with_world(here!(), async |world| {
        let manifest = |tool| workload(&row(tool), &json!({"resources": {"limits": {"memory": "64Mi"}}}), &json!({}));
        for tool in Tool::ALL {
            tool.must_apply(world, &manifest(tool));
        }
        for tool in Tool::ALL {
            world.rolled_out(&row(tool));
        }
        let mark = world.mark();
        for tool in Tool::ALL {
            world.apply(&limit(&row(tool), "Yield"));
        }
        for tool in Tool::ALL {
            let name = row(tool);
            let policy = world.says(&name, "Conflicted", "True", "FieldManagerConflict").await;
            let message = condition(&policy, "Conflicted")["message"].as_str().unwrap();
            assert!(message.contains(&format!("\"{}\"", tool.manager())), "{tool:?}: {message}");
            let before = world.get("deployments", &name).await["metadata"]["generation"].as_i64().unwrap();
            tool.must_apply(world, &labelled(manifest(tool), "2"));
            let after = world.get("deployments", &name).await["metadata"]["generation"].as_i64().unwrap();
            assert_eq!(after, before + 1, "{tool:?}");
        }
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        for tool in Tool::ALL {
            assert_eq!(memory(world, &row(tool)).await.as_deref(), Some("64Mi"), "{tool:?}");
        }
    });
}

#[test]
fn resources_that_no_manifest_sets_stay_the_policys_whatever_the_tool() {
    with_world(here!(), async |world| {
        let manifest = |tool| workload(&row(tool), &json!({}), &json!({}));
        for tool in Tool::ALL {
            tool.must_apply(world, &manifest(tool));
            world.apply(&limit(&row(tool), "Yield"));
        }
        for tool in Tool::ALL {
            world.settled(&row(tool)).await;
        }
        for tool in Tool::ALL {
            let name = row(tool);
            let mark = world.mark();
            let before = world.get("deployments", &name).await["metadata"]["generation"].as_i64().unwrap();
            tool.must_apply(world, &labelled(manifest(tool), "2"));
            world.kubectl(&["rollout", "restart", &format!("deployment/{name}")]);
            world.rolled_out(&name);
            world.caught_up().await;
            let writes = mark.target_writes(&world.namespace);
            assert_eq!(writes, [], "{tool:?}: {}", told(&writes));
            let now = world.get("deployments", &name).await;
            assert_eq!(now["metadata"]["generation"].as_i64(), Some(before + 2), "{tool:?}: theirs, and the restart");
            assert_eq!(memory(world, &name).await.as_deref(), Some("96Mi"), "{tool:?}");
            assert!(managers(&now).contains(&format!("trimtab/{name}").as_str()), "{tool:?}: {now:#}");
            let policy = world.settled(&name).await;
            assert!(condition(&policy, "Conflicted").is_null(), "{tool:?}: {policy:#}");
        }

        // Back to a time before us: heard, whoever deployed it.
        let name = row(Tool::ServerApply);
        let mark = world.mark();
        world.kubectl(&["rollout", "undo", &format!("deployment/{name}"), "--to-revision=1"]);
        world.says(&name, "Conflicted", "True", "ManualOverride").await;
        world.rolled_out(&name);
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        assert_eq!(memory(world, &name).await, None);
        world.trimtab(&["resume", &name]);
        world.settled(&name).await;
        assert_eq!(memory(world, &name).await.as_deref(), Some("96Mi"));
    });
}

/// Who applies server-side meets the policy, and has the two ways out that its message names; a client-side apply knows no
/// conflicts, and what it puts back is taken once more.
#[test]
fn resources_that_were_taken_over_meet_the_next_apply_of_every_tool() {
    const TOOLS: [Tool; 3] = [Tool::ClientApply, Tool::ServerApply, Tool::Helm];
    with_world(here!(), async |world| {
        let set = |tool| workload(&row(tool), &json!({"resources": {"limits": {"memory": "64Mi"}}}), &json!({}));
        let without = |tool| workload(&row(tool), &json!({}), &json!({}));
        for tool in TOOLS {
            tool.must_apply(world, &set(tool));
        }
        for tool in TOOLS {
            world.rolled_out(&row(tool));
            world.apply(&limit(&row(tool), "TakeOver"));
        }
        for tool in TOOLS {
            let name = row(tool);
            world.settled(&name).await;
            assert_eq!(memory(world, &name).await.as_deref(), Some("96Mi"), "{tool:?}");
        }
        for tool in TOOLS {
            let name = row(tool);
            let before = world.replica_sets(&name).await.len();
            let mark = world.mark();
            let again = tool.apply(world, &labelled(set(tool), "2"));
            if tool == Tool::ClientApply {
                again.unwrap();
                let back = |deployment: &Value| {
                    let limits = &deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"];
                    limits["memory"] == "96Mi" && managers(deployment).contains(&format!("trimtab/{name}").as_str())
                };
                world.until("deployments", &name, "it is taken back", back).await;
                world.settled(&name).await;
                world.caught_up().await;
                let writes = mark.target_writes(&world.namespace);
                assert_eq!(writes.iter().filter(|r| r.code < 300).count(), 1, "{}", told(&writes));
                assert_eq!(world.replica_sets(&name).await.len(), before + 2, "theirs, and ours");
            } else {
                let said = again.unwrap_err();
                let conflict = said.contains("conflict") && said.contains(&format!("trimtab/{name}"));
                assert!(conflict, "{tool:?}: {said}");
                world.caught_up().await;
                let writes = mark.target_writes(&world.namespace);
                assert_eq!(writes, [], "{tool:?}: {}", told(&writes));
                assert_eq!(world.replica_sets(&name).await.len(), before, "{tool:?}");
            }
            assert_eq!(memory(world, &name).await.as_deref(), Some("96Mi"), "{tool:?}");
        }

        // The way out: take it out of the manifest. Then there is peace, whoever applies what else.
        for tool in TOOLS {
            let name = row(tool);
            tool.must_apply(world, &labelled(without(tool), "3"));
            world.rolled_out(&name);
            world.settled(&name).await;
            world.caught_up().await;
            let mark = world.mark();
            tool.must_apply(world, &labelled(without(tool), "4"));
            world.rolled_out(&name);
            world.caught_up().await;
            let writes = mark.target_writes(&world.namespace);
            assert_eq!(writes, [], "{tool:?}: {}", told(&writes));
            assert_eq!(memory(world, &name).await.as_deref(), Some("96Mi"), "{tool:?}");
            let policy = world.settled(&name).await;
            assert!(condition(&policy, "Conflicted").is_null(), "{tool:?}: {policy:#}");
        }
    });
}

#[test]
fn resources_that_were_taken_over_are_left_to_a_loop_that_insists() {
    with_world(here!(), async |world| {
        let (tool, name) = (Tool::ForcingLoop, row(Tool::ForcingLoop));
        let manifest = workload(&name, &json!({"resources": {"limits": {"memory": "64Mi"}}}), &json!({}));
        tool.must_apply(world, &manifest);
        world.rolled_out(&name);
        let mark = world.mark();
        world.apply(&limit(&name, "TakeOver"));
        world.settled(&name).await;
        let mut insisted = 0;
        loop {
            tool.must_apply(world, &manifest);
            insisted += 1;
            let left = eventually(PATIENCE, "they are taken back, or contested", async || {
                let policy = world.get("performancepolicies", &name).await;
                let left = condition(&policy, "Conflicted")["reason"] == "Contested";
                if left || memory(world, &name).await.as_deref() == Some("96Mi") { Ok(left) } else { Err(policy) }
            })
            .await;
            if left {
                break;
            }
            assert!(insisted < 3, "they were taken back {insisted} times");
            world.rolled_out(&name);
        }
        assert_eq!(insisted, 2);
        world.caught_up().await;
        assert_eq!(memory(world, &name).await.as_deref(), Some("64Mi"));
        tool.must_apply(world, &labelled(manifest, "2"));
        let writes = mark.target_writes(&world.namespace);
        let applies = writes.iter().filter(|r| r.resource == "deployments" && r.code == 200).count();
        assert!(applies <= 3, "two takings, and what is left is released:\n{}", told(&writes));
    });
}

// ---- documents ----

fn config(name: &str, limit: u32, round: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"round": round}},
           "data": {"c.yaml": format!("limit: {limit}\n")}})
}

fn document(name: &str, limit: u32, reload: &str) -> Value {
    of(
        name,
        &json!({
            "files": [{"name": "f", "configMap": name, "key": "c.yaml", "format": "YAML", "reload": reload}],
            "settings": [{"name": "limit", "value": limit, "path": {"file": "f", "at": "/limit"}}],
        }),
    )
}

async fn text(world: &World, name: &str) -> String {
    world.get("configmaps", name).await["data"]["c.yaml"].as_str().unwrap().to_owned()
}

#[test]
fn a_document_stands_in_the_way_of_no_tool() {
    with_world(here!(), async |world| {
        for tool in Tool::ALL {
            let name = row(tool);
            tool.must_apply(world, &config(&name, 10, "1"));
            world.apply(&workload(&name, &json!({}), &json!({})));
            world.apply(&document(&name, 50, "Watch"));
        }
        for tool in Tool::ALL {
            world.settled(&row(tool)).await;
            assert_eq!(text(world, &row(tool)).await, "limit: 50\n", "{tool:?}");
        }
        world.caught_up().await;
        for tool in Tool::ALL {
            let name = row(tool);
            let mark = world.mark();
            // What its owner says next meets nobody, and is heard.
            tool.must_apply(world, &config(&name, 20, "2"));
            assert_eq!(text(world, &name).await, "limit: 20\n", "{tool:?}");
            let policy = world.says(&name, "Conflicted", "True", "FieldManagerConflict").await;
            let message = condition(&policy, "Conflicted")["message"].as_str().unwrap();
            assert!(message.contains(tool.manager()), "{tool:?}: {message}");
            tool.must_apply(world, &config(&name, 20, "3"));
            world.caught_up().await;
            let writes = mark.target_writes(&world.namespace);
            assert_eq!(writes, [], "{tool:?}: {}", told(&writes));
            assert_eq!(text(world, &name).await, "limit: 20\n", "{tool:?}");
        }
    });
}

#[test]
fn the_stamp_of_a_document_survives_a_restart_and_an_undo_is_heard() {
    with_world(here!(), async |world| {
        world.apply(&config("api", 10, "1"));
        world.run_workload(&workload("api", &json!({}), &json!({})));
        world.apply(&document("api", 50, "Restart"));
        world.settled("api").await;
        let stamp = |deployment: &Value| {
            deployment["spec"]["template"]["metadata"]["annotations"][names::stamp("api")]
                .as_str()
                .map(ToOwned::to_owned)
        };
        let stamped = stamp(&world.deployment().await);
        assert!(stamped.is_some(), "{:#}", world.deployment().await);

        let mark = world.mark();
        world.kubectl(&["rollout", "restart", "deployment/api"]);
        world.rolled_out("api");
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        assert_eq!(stamp(&world.deployment().await), stamped);
        let policy = world.settled("api").await;
        assert!(condition(&policy, "Conflicted").is_null(), "{policy:#}");

        world.kubectl(&["rollout", "undo", "deployment/api", "--to-revision=1"]);
        world.says("api", "Conflicted", "True", "ManualOverride").await;
        world.rolled_out("api");
        world.caught_up().await;
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));
        assert_eq!(stamp(&world.deployment().await), None);
        assert_eq!(text(world, "api").await, "limit: 50\n", "the document is not part of what was undone");
        world.trimtab(&["resume", "api"]);
        world.until("deployments", "api", "the stamp is back", |deployment| stamp(deployment) == stamped).await;
        world.settled("api").await;
    });
}
