//! A namespace of a real cluster, and the calls that users and we make in it.

use std::{collections::BTreeMap, time::Duration};

use axum::http::Request;
use kube::{Client, core::Status};
use serde_json::{Value, json};
use trimtab::{
    api::names,
    core::{
        facts::{Kind, Object, Seen},
        ownership::{Claim, FieldPath, owned},
    },
};

use crate::cluster::{self, Cluster, eventually};

/// The manager that the tests apply under.
pub const POLICY: &str = "trimtab/p";
/// Its annotation, with what stands for a record.
pub const BASELINE: (&str, &str) = ("trimtab.dev/baseline.p", "{\"v\":1}");

const OPTIONS: cluster::Options = cluster::Options::DEFAULT;

/// An answer of the API server.
pub type Answer<T = Object> = Result<T, Box<Status>>;

/// Runs `body` in a cluster. `test` is `here!()`.
pub fn with_cluster(test: &'static str, body: impl AsyncFnOnce(Cluster)) {
    cluster::test(&OPTIONS, test, body);
}

/// Runs `body` in a namespace of its own. `test` is `here!()`.
pub fn with_world(test: &'static str, body: impl AsyncFnOnce(World<'_>)) {
    with_cluster(test, async |cluster| body(World::new(&cluster).await).await);
}

pub struct World<'a> {
    client: Client,
    cluster: &'a Cluster,
    pub namespace: String,
}

impl<'a> World<'a> {
    pub async fn new(cluster: &'a Cluster) -> Self {
        Self { client: cluster.client.clone(), cluster, namespace: cluster.namespace().await }
    }

    // ---- what we send ----

    /// One request, with its answer as JSON.
    async fn send(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Answer<Value> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request =
            Request::builder().method(method).uri(path).header("content-type", content_type).body(body).unwrap();
        match self.client.request(request).await {
            Ok(value) => Ok(value),
            Err(kube::Error::Api(status)) => Err(status),
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    fn path(&self, kind: Kind, name: &str) -> String {
        let version = kind.api_version();
        let root = if version.contains('/') { "apis" } else { "api" };
        format!("/{root}/{version}/namespaces/{}/{}/{name}", self.namespace, kind.plural())
    }

    pub async fn get(&self, kind: Kind, name: &str) -> Object {
        object(kind, &self.send("GET", &self.path(kind, name), "application/json", &Value::Null).await.unwrap())
    }

    pub async fn deployment(&self) -> Object {
        self.get(Kind::Deployment, "api").await
    }

    pub async fn delete(&self, seen: &Object) {
        let path = self.path(seen.key.kind, &seen.key.name);
        self.send("DELETE", &path, "application/json", &Value::Null).await.unwrap();
    }

    /// One server-side apply of a complete claim on the view `seen`.
    pub async fn apply(&self, seen: &Object, claim: &Claim, force: bool) -> Answer {
        let body = claim.body(seen, &BTreeMap::new());
        self.apply_body(seen, POLICY, &body, if force { "&force=true" } else { "" }).await
    }

    /// The same without writing anything.
    pub async fn rehearse(&self, seen: &Object, claim: &Claim) -> Answer {
        self.apply_body(seen, POLICY, &claim.body(seen, &BTreeMap::new()), "&dryRun=All").await
    }

    async fn apply_body(&self, seen: &Object, manager: &str, body: &Value, parameters: &str) -> Answer {
        let manager = manager.replace('/', "%2F");
        let path = format!("{}?fieldManager={manager}{parameters}", self.path(seen.key.kind, &seen.key.name));
        let made = self.send("PATCH", &path, "application/apply-patch+yaml", body).await?;
        Ok(object(seen.key.kind, &made))
    }

    /// The server-side apply of a claim of policy `p` on the Deployment with its record: observed and tried again while the
    /// view is stale, as the engine does.
    pub async fn claim(&self, claim: &Claim) -> Answer {
        self.claim_as("p", claim, BASELINE.1, "").await
    }

    /// The same, overruling conflicts.
    pub async fn take(&self, claim: &Claim) -> Object {
        self.claim_as("p", claim, BASELINE.1, "&force=true").await.unwrap()
    }

    pub async fn claim_as(&self, policy: &str, claim: &Claim, record: &str, parameters: &str) -> Answer {
        let annotations = BTreeMap::from([(names::baseline(policy), record.to_owned())]);
        loop {
            let seen = self.deployment().await;
            let body = claim.body(&seen, &annotations);
            match self.apply_body(&seen, &names::manager(policy), &body, parameters).await {
                Err(status) if is_stale(&status) => {}
                answer => return answer,
            }
        }
    }

    /// One JSON patch.
    pub async fn patch(&self, seen: &Object, patch: &Value) -> Answer {
        Ok(object(seen.key.kind, &self.patch_subresource(seen, "", patch).await?))
    }

    /// One JSON patch of a subresource (`/scale`), whose answer is another kind.
    pub async fn patch_subresource(&self, seen: &Object, subresource: &str, patch: &Value) -> Answer<Value> {
        let object = self.path(seen.key.kind, &seen.key.name);
        let uri = format!("{object}{subresource}?fieldManager={}", POLICY.replace('/', "%2F"));
        self.send("PATCH", &uri, "application/json-patch+json", patch).await
    }

    /// A JSON patch of the Deployment made from the newest view, and made again while that is stale. `None` when there is
    /// nothing to do.
    pub async fn change(&self, patch: impl Fn(&Object) -> Option<Value>) -> Option<Object> {
        loop {
            let seen = self.deployment().await;
            match self.patch(&seen, &patch(&seen)?).await {
                Err(status) if is_stale(&status) => {}
                answer => return Some(answer.unwrap()),
            }
        }
    }

    /// Leaves only these entries in the Deployment's list of managers.
    pub async fn set_managers(&self, entries: &Value) -> Object {
        let patch = json!([{"op": "replace", "path": "/metadata/managedFields", "value": entries}]);
        self.settled().await;
        self.change(|_| Some(patch.clone())).await.unwrap()
    }

    // ---- what people and tools do ----

    /// A program in this namespace: its standard output, or both outputs when it fails.
    pub fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
        let output = self.cluster.run(program, &[&["--namespace", &self.namespace], arguments].concat(), input);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stdout) + &text(&output.stderr))
        }
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.run("kubectl", arguments, "").unwrap()
    }

    /// `kubectl apply` of a manifest, client-side.
    pub fn client_side(&self, manifest: &Value) {
        self.run("kubectl", &["apply", "-f", "-"], &manifest.to_string()).unwrap();
    }

    /// `kubectl apply --server-side` of a manifest.
    pub fn server_side(&self, manifest: &Value) -> Result<String, String> {
        self.server_side_as("kubectl", manifest)
    }

    pub fn server_side_as(&self, manager: &str, manifest: &Value) -> Result<String, String> {
        self.run("kubectl", &["apply", "--server-side", "--field-manager", manager, "-f", "-"], &manifest.to_string())
    }

    /// `kubectl apply`, either way.
    pub fn apply_as_owner(&self, server_side: bool, manifest: &Value) -> Result<String, String> {
        if server_side {
            self.server_side(manifest)
        } else {
            self.client_side(manifest);
            Ok(String::new())
        }
    }

    // ---- what came of it ----

    /// The Deployment, once its controller has acted on everything that was written.
    pub async fn settled(&self) -> Object {
        eventually(Duration::from_mins(1), "the deployment controller has seen the newest generation", async || {
            let seen = self.deployment().await;
            let observed = seen.integer("/status/observedGeneration");
            if observed == Some(seen.meta.generation) { Ok(seen) } else { Err((observed, seen.meta.generation)) }
        })
        .await
    }

    /// Number of different pod templates that were rolled out.
    pub async fn replica_sets(&self) -> usize {
        self.settled().await;
        self.replica_set_list().await.len()
    }

    pub async fn replica_set_list(&self) -> Vec<Value> {
        let path = format!("/apis/apps/v1/namespaces/{}/replicasets", self.namespace);
        let list = self.send("GET", &path, "application/json", &Value::Null).await.unwrap();
        list["items"].as_array().unwrap().clone()
    }
}

/// 409 that names no field: the view was stale, or the object is gone.
pub fn is_stale(status: &Status) -> bool {
    status.code == 409 && causes(status).is_empty()
}

/// Field and message of each cause.
pub fn causes(status: &Status) -> Vec<(&str, &str)> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.map(|cause| (cause.field.as_str(), cause.message.as_str())).collect()
}

fn object(kind: Kind, value: &Value) -> Object {
    Seen::from_json(kind, &value.to_string()).unwrap().into_object()
}

/// The Deployment "api" as a team writes it. No replicas: its rollouts are `ReplicaSet`s without pods.
pub fn manifest(container: &Value) -> Value {
    let mut api = json!({"name": "api", "image": "localhost/busybox:1", "command": ["sleep", "3600"]});
    for (key, value) in container.as_object().unwrap() {
        api[key] = value.clone();
    }
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "api"}},
            "template": {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [api]}}}})
}

/// The same with these variables.
pub fn manifest_with(variables: &[(&str, &str)]) -> Value {
    let env: Vec<_> = variables.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    manifest(&json!({"env": env}))
}

pub fn config_map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": data})
}

pub fn container() -> FieldPath {
    FieldPath::of(&["spec", "template", "spec", "containers"]).key("name", "api")
}

pub fn env(name: &str) -> FieldPath {
    container().field("env").key("name", name).field("value")
}

pub fn spec(name: &str) -> FieldPath {
    FieldPath::of(&["spec", name])
}

pub fn limit(name: &str) -> FieldPath {
    container().field("resources").field("limits").field(name)
}

/// A claim of variables.
pub fn variables(variables: &[(&str, &str)]) -> Claim {
    variables.iter().map(|(name, value)| (env(name), json!(value))).collect()
}

pub fn claim<const N: usize>(leaves: [(FieldPath, Value); N]) -> Claim {
    Claim::from_iter(leaves)
}

/// The live variables in order, as `NAME=value`.
pub fn live(object: &Object) -> Vec<String> {
    let items = object.items("/spec/template/spec/containers/0/env");
    items
        .map(|item| format!("{}={}", item["name"].as_str().unwrap(), item["value"].as_str().unwrap_or_default()))
        .collect()
}

pub fn managers(object: &Object) -> Vec<&str> {
    object.meta.managed.iter().map(|entry| entry.manager.as_str()).collect()
}

/// Whether policy `p` owns the value of a variable.
pub fn owns(object: &Object, variable: &str) -> bool {
    owned(&object.meta, POLICY).contains(&env(variable))
}
