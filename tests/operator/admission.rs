//! Admission that rewrites what we wrote.

use serde_json::{Value, json};

use crate::{
    audit::told,
    cluster::eventually,
    here,
    world::{PATIENCE, World, condition, env_of, pool_policy, with_world, workload},
};

/// A real `MutatingAdmissionPolicy` that sets every `DB_POOL_SIZE` of this namespace to 7.
fn rewriting(world: &World, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
                "resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                                   "resources": ["deployments"]}],
            },
            "matchConditions": [{"name": "sets-it", "expression":
                "object.spec.template.spec.containers.exists(c, has(c.env) && c.env.exists(e, e.name == 'DB_POOL_SIZE'))"}],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
                "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: [\
                 Object.spec.template.spec.containers{name: 'app', env: [\
                 Object.spec.template.spec.containers.env{name: 'DB_POOL_SIZE', value: '7'}]}]}}}}"}}],
        }},
        {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
         "metadata": {"name": name}, "spec": {"policyName": name}},
    ]})
}

#[test]
fn a_value_that_admission_rewrites_is_tried_once_and_told() {
    with_world(here!(), async |world| {
        world.run_workload(&workload("api", &json!({}), &json!({})));
        let name = format!("rewrites-{}", world.namespace);
        let admission = rewriting(world, &name);
        world.apply(&admission);
        eventually(PATIENCE, "admission rewrites the variable", async || {
            let dry = ["set", "env", "deployment/api", "DB_POOL_SIZE=1", "--dry-run=server", "--output=json"];
            let seen: Value = serde_json::from_str(&world.kubectl(&dry)).unwrap();
            let value = env_of(&seen, "DB_POOL_SIZE");
            if value.as_deref() == Some("7") { Ok(()) } else { Err(value) }
        })
        .await;
        let sets = world.replica_sets("api").await.len();
        let mark = world.mark();
        world.apply(&pool_policy("p", 20));
        let said = world.says("p", "Conflicted", "True", "RewrittenByAdmission").await;
        assert!(condition(&said, "Conflicted")["message"].as_str().unwrap().contains("DB_POOL_SIZE"), "{said:#}");
        assert_eq!(condition(&said, "Applied")["status"], "False", "{said:#}");
        world.rolled_out("api");
        world.caught_up().await;
        let writes = mark.changes(&world.namespace);
        assert_eq!(writes.len(), 1, "{}", told(&writes));
        assert_eq!((writes[0].resource.as_str(), writes[0].code), ("deployments", 200), "{}", told(&writes));
        assert_eq!(env_of(&world.deployment().await, "DB_POOL_SIZE").as_deref(), Some("7"));
        assert_eq!(world.replica_sets("api").await.len(), sets + 1);

        // News of the object is no reason to try again.
        let mark = world.mark();
        for round in ["1", "2", "3"] {
            world.kubectl(&["label", "deployment/api", "--overwrite", &format!("round={round}")]);
            world.caught_up().await;
        }
        let writes = mark.target_writes(&world.namespace);
        assert_eq!(writes, [], "{}", told(&writes));

        // Without that admission a change of the policy is tried, and holds.
        world.try_kubectl(&["delete", "-f", "-"], &admission.to_string()).expect("end the admission");
        eventually(PATIENCE, "admission rewrites nothing", async || {
            let dry = ["set", "env", "deployment/api", "DB_POOL_SIZE=1", "--dry-run=server", "--output=json"];
            let seen: Value = serde_json::from_str(&world.kubectl(&dry)).unwrap();
            let value = env_of(&seen, "DB_POOL_SIZE");
            if value.as_deref() == Some("1") { Ok(()) } else { Err(value) }
        })
        .await;
        world.apply(&pool_policy("p", 21));
        world.settled("p").await;
        assert_eq!(env_of(&world.deployment().await, "DB_POOL_SIZE").as_deref(), Some("21"));
    });
}
