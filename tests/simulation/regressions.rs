//! Stories with a known end: one per rule, and one per bug that the simulation found.

use serde_json::{Value, json};
use trimtab::core::facts::Span;

use super::{
    people::{config_map, deployment, variables, workload},
    run::Run,
};

const DOCUMENT: &str = "# pools of the shop\npool:\n  size: 5 # small\n  timeout: 30\n";

/// A Deployment `api` with a `ConfigMap`, and an operator that has seen both.
fn shop(container: &Value) -> Run {
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        server.kubectl_apply(&config_map("api-config"), &json!({"data": {"config.yaml": DOCUMENT}}));
        server.kubectl_apply(&deployment("api"), &workload("api", container));
    });
    run.pass(Span::seconds(10));
    run
}

fn target() -> Value {
    json!({"kind": "Deployment", "name": "api"})
}

/// Environment, resources and a document, on one Deployment.
fn everything(pool: i64, memory: &str, size: i64) -> Value {
    json!({
        "mode": "Enforce",
        "target": target(),
        "resources": [{"container": "api", "limits": {"memory": memory}, "requests": {"memory": memory}}],
        "pools": [{"name": "db", "size": {"value": pool, "env": "DB_POOL_SIZE"}}],
        "files": [{"name": "config", "configMap": "api-config", "key": "config.yaml", "format": "YAML", "reload": "Restart"}],
        "settings": [{"name": "size", "type": "Integer", "value": size, "path": {"file": "config", "at": "/pool/size"}}],
    })
}

fn env_only(size: i64) -> Value {
    json!({"mode": "Enforce", "target": target(), "pools": [{"name": "db", "size": {"value": size, "env": "DB_POOL_SIZE"}}]})
}

fn apply(run: &mut Run, name: &str, spec: &Value) {
    run.people(&format!("apply policy {name}"), |server, _| server.apply_policy(name, spec));
}

fn rest(run: &mut Run) {
    run.come_to_rest(Span::seconds(120), Span::hours(3));
    run.stay_at_rest();
}

#[test]
fn one_policy_brings_variable_resources_and_document_to_rest_in_one_rollout() {
    let mut run = shop(&json!({"env": variables(&[("LOG", "info")])}));
    apply(&mut run, "p", &everything(20, "1Gi", 9));
    rest(&mut run);
    let api = deployment("api");
    assert_eq!(run.server.env(&api, "DB_POOL_SIZE").as_deref(), Some("20"));
    assert_eq!(run.object(&api).at("/spec/template/spec/containers/0/resources/limits/memory"), "1Gi");
    assert_eq!(run.server.document("api-config"), DOCUMENT.replace("size: 5", "size: 9"));
    assert_eq!(run.invariants.revisions[&api], 1);
    assert_eq!(run.server.condition("p", "Applied"), Some(("True".into(), "Applied".into())));
    assert_eq!(run.server.condition("p", "Ready"), Some(("True".into(), "Served".into())));
}
