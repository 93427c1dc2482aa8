//! What people and tools do to the objects that we share with them.

use serde_json::{Value, json};
use trimtab::{
    api::{ConnectionBudget, ConnectionBudgetSpec, PerformancePolicy, PerformancePolicySpec, names},
    core::{
        facts::{Kind, ObjectKey, Operation},
        policy::{Policy, PolicyKey},
        report::rollback,
    },
};

use super::{
    controllers::Controllers,
    schema,
    server::{Refused, Server},
};

pub const NAMESPACE: &str = "shop";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

pub fn deployment(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Deployment, NAMESPACE, name)
}

pub fn config_map(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::ConfigMap, NAMESPACE, name)
}

pub fn policy(name: &str) -> PolicyKey {
    (NAMESPACE.into(), name.into())
}

/// A workload with one container, `api`, and a `ConfigMap` named after it as volume.
pub fn workload(name: &str, container: &Value) -> Value {
    let mut api = json!({"name": "api", "image": "shop/api:1"});
    for (member, value) in container.as_object().into_iter().flatten() {
        api[member] = value.clone();
    }
    json!({
        "metadata": {"labels": {"app": name, "tier": "web"}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [api], "volumes": [{"name": "config", "configMap": {"name": format!("{name}-config")}}]},
            },
        },
    })
}

pub fn variables(pairs: &[(&str, &str)]) -> Value {
    json!(pairs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>())
}

impl Server {
    /// `kubectl apply`, client-side.
    pub fn kubectl_apply(&mut self, key: &ObjectKey, manifest: &Value) {
        let with_annotation = |tree: &Value| {
            let mut tree = tree.clone();
            tree["metadata"]["annotations"][LAST_APPLIED] = json!(manifest.to_string());
            tree
        };
        match self.objects.get(key) {
            None => {
                self.create(key.clone(), with_annotation(manifest), "kubectl-client-side-apply", Operation::Update);
            }
            Some(live) => {
                let last = live.annotation(LAST_APPLIED).and_then(|text| serde_json::from_str(text).ok());
                let tree = schema::three_way(&live.tree, &last.unwrap_or(Value::Null), manifest, "");
                self.edit_as("kubectl-client-side-apply", key, |live| *live = with_annotation(&tree));
            }
        }
    }

    /// Server-side apply, as kubectl, Helm or a GitOps controller send it.
    pub fn server_side(
        &mut self,
        manager: &str,
        key: &ObjectKey,
        manifest: &Value,
        force: bool,
    ) -> Result<(), Refused> {
        if self.objects.contains_key(key) {
            self.apply(key, manager, manifest, force).map(|_| ())
        } else {
            self.create(key.clone(), manifest.clone(), manager, Operation::Apply);
            Ok(())
        }
    }

    /// A write that changes the object as it is.
    pub fn edit_as(&mut self, manager: &str, key: &ObjectKey, change: impl FnOnce(&mut Value)) {
        let Some(live) = self.objects.get(key) else { return };
        let mut tree = (*live.tree).clone();
        change(&mut tree);
        self.update(key, manager, "", tree, None).unwrap();
    }

    /// `kubectl set env`; `None` removes the variable.
    pub fn set_env(&mut self, key: &ObjectKey, variable: &str, value: Option<&str>) {
        self.edit_as("kubectl-set", key, |tree| {
            let container = &mut tree["spec"]["template"]["spec"]["containers"][0];
            let mut list: Vec<Value> = container["env"].as_array().cloned().unwrap_or_default();
            match (list.iter().position(|entry| entry["name"] == variable), value) {
                (Some(at), Some(value)) => list[at] = json!({"name": variable, "value": value}),
                (None, Some(value)) => list.push(json!({"name": variable, "value": value})),
                (Some(at), None) => drop(list.remove(at)),
                (None, None) => {}
            }
            if list.is_empty() {
                container.as_object_mut().unwrap().remove("env");
            } else {
                container["env"] = Value::Array(list);
            }
        });
    }

    /// `kubectl rollout restart`.
    pub fn rollout_restart(&mut self, key: &ObjectKey) {
        let at = self.now.whole_seconds().to_string();
        self.edit_as("kubectl-rollout", key, |tree| {
            tree["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = json!(at);
        });
    }

    /// `kubectl rollout undo`: template and annotations of an older revision come back, ours among them.
    pub fn rollout_undo(&mut self, controllers: &Controllers, key: &ObjectKey, back: usize) {
        let Some(workload) = controllers.workloads.get(key) else { return };
        let Some(revision) = workload.revisions.iter().rev().nth(back).cloned() else { return };
        self.edit_as("kubectl", key, |tree| {
            tree["spec"]["template"] = revision.template;
            let last = tree["metadata"]["annotations"].get(LAST_APPLIED).cloned();
            let mut annotations = revision.annotations;
            match last {
                Some(last) => annotations[LAST_APPLIED] = last,
                None => drop(annotations.as_object_mut().map(|all| all.remove(LAST_APPLIED))),
            }
            if annotations.as_object().is_some_and(|all| !all.is_empty()) {
                tree["metadata"]["annotations"] = annotations;
            } else {
                tree["metadata"].as_object_mut().unwrap().remove("annotations");
            }
        });
    }

    pub fn pause(&mut self, key: &ObjectKey, paused: bool) {
        let was_paused = self.objects[key].at("/spec/paused") == &json!(true);
        self.edit_as("kubectl-rollout", key, |tree| {
            if paused {
                tree["spec"]["paused"] = json!(true);
            } else {
                tree["spec"].as_object_mut().unwrap().remove("paused");
            }
        });
        if was_paused && !paused {
            // What rolls out from now on does so because a person wants it now, whoever changed the template.
            self.templates.push((key.clone(), "kubectl-rollout".to_owned()));
        }
    }

    /// `kubectl apply` of a policy: made, or changed with a new generation.
    pub fn apply_policy(&mut self, name: &str, spec: &Value) {
        let key = policy(name);
        let spec: PerformancePolicySpec = serde_json::from_value(spec.clone()).unwrap();
        if let Some(mut old) = self.policies.get(&key).cloned() {
            if old.spec != spec {
                old.spec = spec;
                old.metadata.generation = old.metadata.generation.map(|generation| generation + 1);
                self.put_policy(old);
            }
            return;
        }
        let mut made = PerformancePolicy::new(name, spec);
        made.metadata.namespace = Some(NAMESPACE.to_owned());
        made.metadata.uid = Some(self.uid());
        made.metadata.generation = Some(1);
        made.metadata.creation_timestamp = Some(trimtab::core::report::time(self.now));
        self.put_policy(made);
    }

    /// `kubectl apply` of a budget.
    pub fn apply_budget(&mut self, name: &str, spec: &Value) {
        let key = policy(name);
        let spec: ConnectionBudgetSpec = serde_json::from_value(spec.clone()).unwrap();
        if let Some(mut old) = self.budgets.get(&key).cloned() {
            if old.spec != spec {
                old.spec = spec;
                old.metadata.generation = old.metadata.generation.map(|generation| generation + 1);
                self.put_budget(old);
            }
            return;
        }
        let mut made = ConnectionBudget::new(name, spec);
        made.metadata.namespace = Some(NAMESPACE.to_owned());
        made.metadata.uid = Some(self.uid());
        made.metadata.generation = Some(1);
        made.metadata.creation_timestamp = Some(trimtab::core::report::time(self.now));
        self.put_budget(made);
    }

    /// `kubectl trimtab resume`.
    pub fn resume(&mut self, name: &str) {
        let Some(mut policy) = self.policies.get(&policy(name)).cloned() else { return };
        let at = self.now.whole_seconds().to_string();
        policy.metadata.annotations.get_or_insert_default().insert(names::RESUMED_AT.to_owned(), at);
        self.put_policy(policy);
    }

    /// `kubectl annotate`; nothing takes the annotation out.
    pub fn annotate(&mut self, name: &str, key: &str, value: Option<&str>) {
        let Some(mut policy) = self.policies.get(&policy(name)).cloned() else { return };
        let annotations = policy.metadata.annotations.get_or_insert_default();
        match value {
            Some(value) => drop(annotations.insert(key.to_owned(), value.to_owned())),
            None => drop(annotations.remove(key)),
        }
        self.put_policy(policy);
    }

    /// `kubectl trimtab rollback`: says why there is no way back.
    pub fn rollback(&mut self, name: &str, to: i64) -> Result<(), String> {
        let Some(mut policy) = self.policies.get(&policy(name)).cloned() else { return Ok(()) };
        let parsed = Policy::parse(&policy).map_err(|wrong| format!("{wrong:?}"))?;
        let status = policy.status.clone().unwrap_or_default();
        let way = rollback::way_back(&parsed, &status, to).map_err(|why| why.to_string())?;
        let annotations = policy.metadata.annotations.get_or_insert_default();
        for (key, value) in way.annotations(to, &parsed.identity, Some("a bad evening")) {
            annotations.insert(key.to_owned(), value);
        }
        self.put_policy(policy);
        Ok(())
    }

    /// `kubectl trimtab resume --rollback`.
    pub fn end_rollback(&mut self, name: &str) {
        self.annotate(name, names::ROLLBACK_TO, None);
        self.annotate(name, names::ROLLBACK_PIN, None);
    }

    /// `kubectl trimtab suspend`; an empty reason takes it back.
    pub fn suspend(&mut self, name: &str, why: &str) {
        let Some(mut policy) = self.policies.get(&policy(name)).cloned() else { return };
        policy.metadata.annotations.get_or_insert_default().insert(names::SUSPENDED.to_owned(), why.to_owned());
        self.put_policy(policy);
    }

    pub fn env(&self, key: &ObjectKey, variable: &str) -> Option<String> {
        let env = self.objects.get(key)?.at("/spec/template/spec/containers/0/env").as_array()?;
        env.iter().find(|entry| entry["name"] == variable)?["value"].as_str().map(str::to_owned)
    }

    pub fn document(&self, name: &str) -> String {
        self.objects[&config_map(name)].at("/data/config.yaml").as_str().unwrap_or_default().to_owned()
    }

    pub fn condition(&self, name: &str, kind: &str) -> Option<(String, String)> {
        let status = self.policies.get(&policy(name))?.status.as_ref()?;
        let found = status.conditions.iter().find(|condition| condition.type_ == kind)?;
        Some((found.status.clone(), found.reason.clone()))
    }

    /// Managers of `trimtab` on an object, and our annotations.
    pub fn traces(&self, key: &ObjectKey) -> Vec<String> {
        let stored = &self.objects[key];
        let managers = stored.managers.iter().map(|manager| manager.name.clone());
        let annotations =
            stored.at("/metadata/annotations").as_object().into_iter().flatten().map(|(name, _)| name.clone());
        managers.chain(annotations).filter(|name| name.starts_with("trimtab")).collect()
    }
}
