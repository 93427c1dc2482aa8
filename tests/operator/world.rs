//! A namespace of the cluster that the operator governs, and what users do in it.

use std::{
    collections::BTreeSet,
    env, fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use axum::http::Request;
use kube::core::Status;
use serde_json::{Value, json};
use trimtab::api::names;

use crate::{
    audit::Mark,
    cluster::{self, Cluster, eventually},
    operator,
};

/// Time for anything that takes a rollout or two on a machine that builds at the same time.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Runs `body` in a namespace of its own, beside other tests. `test` is `here!()`.
pub fn with_world(test: &'static str, body: impl AsyncFnOnce(&World)) {
    run(test, false, body);
}

/// Runs `body` in a namespace of its own while no other test runs: it breaks what all share.
pub fn with_world_alone(test: &'static str, body: impl AsyncFnOnce(&World)) {
    run(test, true, body);
}

fn run(test: &'static str, alone: bool, body: impl AsyncFnOnce(&World)) {
    cluster::test(&crate::OPTIONS, test, async |cluster| {
        install();
        let turn = File::create(cluster_dir().join("turn.lock")).expect("create the lock of the tests");
        if alone { turn.lock() } else { turn.lock_shared() }.expect("wait for this test's turn");
        let namespace = cluster.namespace().await;
        body(&World { cluster, namespace, turn }).await;
    });
}

fn cluster_dir() -> PathBuf {
    env::var_os("CLUSTER_DIR").expect("CLUSTER_DIR, which a cluster of cluster.sh sets").into()
}

/// Installs the operator, once per cluster and program.
fn install() {
    let _others_wait = operator::alone();
    let stamp = cluster_dir().join("operator.installed");
    let time = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let program = Path::new(env!("CARGO_BIN_EXE_trimtab"));
    if time(&stamp).is_some_and(|installed| time(program) < Some(installed)) {
        return;
    }
    operator::load_image();
    install_definitions();
    // The tag says nothing of the build, so something else must tell the pods of a joined cluster that there is a new one.
    let build = time(program).and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    operator::helm_install(&[
        "--set=prometheus.url=http://prometheus.monitoring:9090",
        "--set=prometheus.interval=2s",
        "--set=prometheus.alertmanagers={http://alertmanager.monitoring:9093}",
        "--set=objectTargets={Cluster,Pooler,Stream}",
        "--set=log.level=info\\,trimtab=debug",
        &format!("--set-string=podAnnotations.build={}", build.as_millis()),
    ]);
    File::create(&stamp).expect("remember that the operator is installed");
}

/// The definitions of CloudNativePG and nack, as their Go modules have them.
pub fn definitions() -> PathBuf {
    let path = env::var_os("PATH").expect("PATH");
    env::split_paths(&path)
        .map(|folder| folder.join("../share/crds"))
        // kubectl does not follow a link to a folder.
        .find_map(|folder| folder.canonicalize().ok())
        .expect("share/crds beside the tools, which a cluster with CRDS=1 has")
}

fn install_definitions() {
    let folder = definitions();
    let folder = folder.to_str().expect("a path in UTF-8");
    let output = std::process::Command::new("kubectl")
        .args(["apply", "--server-side", "--force-conflicts", "-f", folder])
        .output()
        .expect("run kubectl");
    assert!(output.status.success(), "installing {folder}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Text that a failure shows as it is.
pub struct Shown(pub String);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub struct World {
    pub cluster: Cluster,
    pub namespace: String,
    turn: File,
}

/// A Deployment with one pod that runs until it is told to stop, and lists what it was started with.
///
/// `container` is merged into the container's fields, `pod` into the pod's.
pub fn workload(name: &str, container: &Value, pod: &Value) -> Value {
    let mut main = json!({
        "name": "app", "image": "localhost/busybox:1", "imagePullPolicy": "Never",
        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait", "app"],
    });
    merge(&mut main, container);
    let mut spec = json!({"terminationGracePeriodSeconds": 1, "containers": [main]});
    merge(&mut spec, pod);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    })
}

/// The same without pods, for tests that look only at what is written.
pub fn idle(name: &str, container: &Value) -> Value {
    let mut idle = workload(name, container, &json!({}));
    merge(&mut idle, &json!({"spec": {"replicas": 0}}));
    idle
}

/// A policy in mode Enforce for the Deployment `api`; `spec` is merged into it.
pub fn policy(name: &str, spec: &Value) -> Value {
    let mut all = json!({"mode": "Enforce", "target": {"kind": "Deployment", "name": "api"}});
    merge(&mut all, spec);
    json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"name": name}, "spec": all})
}

/// The policy `name` that sets `DB_POOL_SIZE` to `size`.
pub fn pool_policy(name: &str, size: u32) -> Value {
    policy(name, &json!({"pools": [{"name": "db", "size": {"value": size, "env": "DB_POOL_SIZE"}}]}))
}

/// A container's environment with one variable.
pub fn env_var(name: &str, value: &str) -> Value {
    json!({"env": [{"name": name, "value": value}]})
}

/// RFC 7396.
pub fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

/// The value of a variable in the container `app`.
pub fn env_of(deployment: &Value, name: &str) -> Option<String> {
    let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array()?;
    let variable = variables.iter().find(|variable| variable["name"] == name)?;
    Some(variable["value"].as_str().unwrap_or_default().to_owned())
}

/// The condition of that type.
pub fn condition<'a>(policy: &'a Value, kind: &str) -> &'a Value {
    let conditions = policy["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// Managers of the object, status left out.
pub fn managers(object: &Value) -> Vec<&str> {
    let entries = object["metadata"]["managedFields"].as_array();
    let ours = entries.into_iter().flatten().filter(|entry| entry["subresource"] != "status");
    ours.filter_map(|entry| entry["manager"].as_str()).collect()
}

/// Fails when a policy has left anything on the object but values.
pub fn assert_no_trace(object: &Value) {
    let left = traces(object);
    assert!(left.is_empty(), "{left:?} is left on the object:\n{object:#}");
}

/// Managers and annotations of ours on the object itself.
pub fn traces(object: &Value) -> Vec<String> {
    let managers = managers(object).into_iter().filter(|name| name.starts_with(names::MANAGER_PREFIX));
    let mut traces: Vec<String> = managers.map(ToOwned::to_owned).collect();
    let annotations = object["metadata"]["annotations"].as_object();
    traces.extend(annotations.into_iter().flat_map(|a| a.keys()).filter(|key| key.contains(names::PREFIX)).cloned());
    traces
}

fn collection(kind: &str) -> &'static str {
    match kind {
        "deployments" | "replicasets" | "statefulsets" | "daemonsets" => "apis/apps/v1",
        "horizontalpodautoscalers" => "apis/autoscaling/v2",
        "poddisruptionbudgets" => "apis/policy/v1",
        "performancepolicies" | "connectionbudgets" => "apis/trimtab.dev/v1alpha1",
        "clusters" | "poolers" => "apis/postgresql.cnpg.io/v1",
        "streams" => "apis/jetstream.nats.io/v1beta2",
        "pods" | "configmaps" => "api/v1",
        "events" => "apis/events.k8s.io/v1",
        other => panic!("the tests do not know the kind \"{other}\""),
    }
}

impl World {
    /// Another namespace, for as long as this test has its turn.
    pub fn within(&self, namespace: &str) -> Self {
        let turn = self.turn.try_clone().expect("keep the turn of this test");
        Self { cluster: self.cluster.clone(), namespace: namespace.to_owned(), turn }
    }

    // ---- what users do ----

    /// kubectl in the namespace, which must succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments, "").unwrap_or_else(|said| panic!("kubectl {arguments:?}: {said}"))
    }

    /// kubectl in the namespace: its output, or what it complains of.
    pub fn try_kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(arguments);
        let output = self.cluster.run("kubectl", &all, input);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(format!("{}: {}{}", output.status, text(&output.stdout), text(&output.stderr)))
        }
    }

    /// `kubectl apply -f -`, as most people do it.
    pub fn apply(&self, object: &Value) {
        self.try_apply(object, &[]).unwrap_or_else(|said| panic!("applying {object:#}: {said}"));
    }

    /// `kubectl apply --server-side -f -`.
    pub fn apply_server_side(&self, object: &Value) -> Result<String, String> {
        self.try_apply(object, &["--server-side"])
    }

    pub fn try_apply(&self, object: &Value, flags: &[&str]) -> Result<String, String> {
        let mut arguments = vec!["apply", "-f", "-"];
        arguments.extend(flags);
        self.try_kubectl(&arguments, &object.to_string())
    }

    /// Waits until a Deployment of ours has rolled out.
    pub fn rolled_out(&self, name: &str) {
        self.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=90s"]);
    }

    /// Applies a Deployment and waits until it runs.
    pub fn run_workload(&self, workload: &Value) {
        self.apply(workload);
        self.rolled_out(workload["metadata"]["name"].as_str().expect("a name"));
    }

    pub fn delete_policy(&self, name: &str) {
        self.kubectl(&["delete", "performancepolicy", name, "--wait=false"]);
    }

    /// The project's own command line.
    pub fn trimtab(&self, arguments: &[&str]) -> String {
        let mut all = arguments.to_vec();
        all.extend(["--namespace", &self.namespace]);
        let output = self.cluster.run(env!("CARGO_BIN_EXE_trimtab"), &all, "");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "trimtab {arguments:?}: {}: {text}{said}", output.status);
        text
    }

    // ---- what there is ----

    async fn request(&self, path: &str) -> Result<Value, Box<Status>> {
        let request = Request::builder().uri(path).body(Vec::new()).expect("a request");
        match self.cluster.client.request(request).await {
            Ok(value) => Ok(value),
            Err(kube::Error::Api(status)) => Err(status),
            Err(error) => panic!("GET {path}: {error}"),
        }
    }

    pub async fn try_get(&self, kind: &str, name: &str) -> Option<Value> {
        let path = format!("/{}/namespaces/{}/{kind}/{name}", collection(kind), self.namespace);
        match self.request(&path).await {
            Ok(object) => Some(object),
            Err(status) if status.code == 404 => None,
            Err(status) => panic!("GET {path}: {status:?}"),
        }
    }

    pub async fn get(&self, kind: &str, name: &str) -> Value {
        self.try_get(kind, name).await.unwrap_or_else(|| panic!("{kind} \"{name}\" is not there"))
    }

    pub async fn list(&self, kind: &str) -> Vec<Value> {
        let path = format!("/{}/namespaces/{}/{kind}", collection(kind), self.namespace);
        let mut list = self.request(&path).await.unwrap_or_else(|status| panic!("GET {path}: {status:?}"));
        match list["items"].take() {
            Value::Array(items) => items,
            other => panic!("GET {path}: items are {other}"),
        }
    }

    pub async fn deployment(&self) -> Value {
        self.get("deployments", "api").await
    }

    /// Waits until the object is as `check` wants it.
    pub async fn until(&self, kind: &str, name: &str, what: &str, check: impl Fn(&Value) -> bool) -> Value {
        self.until_within(PATIENCE, (kind, name), what, check).await
    }

    /// The same for what the operator itself waits for.
    pub async fn until_within(
        &self,
        patience: Duration,
        (kind, name): (&str, &str),
        what: &str,
        check: impl Fn(&Value) -> bool,
    ) -> Value {
        eventually(patience, what, async || {
            let object = self.get(kind, name).await;
            if check(&object) { Ok(object) } else { Err(Shown(Self::short(&object))) }
        })
        .await
    }

    /// What a person would look at first.
    fn short(object: &Value) -> String {
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        format!("{object:#}")
    }

    /// Waits until the policy's condition says so, about the policy's present generation.
    pub async fn says(&self, policy: &str, kind: &str, status: &str, reason: &str) -> Value {
        self.until("performancepolicies", policy, &format!("{policy} says {kind}={status}/{reason}"), |object| {
            let found = condition(object, kind);
            found["status"] == status
                && found["reason"] == reason
                && found["observedGeneration"] == object["metadata"]["generation"]
        })
        .await
    }

    /// Waits until every value of the policy is in place and rolled out.
    pub async fn settled(&self, policy: &str) -> Value {
        self.says(policy, "Applied", "True", "Applied").await
    }

    /// Names of the `ReplicaSet`s of `app`, oldest revision first.
    pub async fn replica_sets(&self, app: &str) -> Vec<String> {
        let revision = |set: &Value| {
            let text = set["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str();
            text.and_then(|text| text.parse::<u64>().ok()).unwrap_or_default()
        };
        let mut sets = self.list("replicasets").await;
        sets.retain(|set| set["metadata"]["labels"]["app"] == app);
        sets.sort_by_key(revision);
        sets.iter().filter_map(|set| set["metadata"]["name"].as_str().map(ToOwned::to_owned)).collect()
    }

    /// The one pod of `app` that is neither ending nor yet to start.
    pub async fn pod(&self, app: &str) -> String {
        eventually(PATIENCE, &format!("one pod of {app} runs"), async || {
            let mut pods = self.list("pods").await;
            pods.retain(|pod| {
                pod["metadata"]["labels"]["app"] == app && pod["metadata"]["deletionTimestamp"].is_null()
            });
            match pods.as_slice() {
                [pod] if pod["status"]["phase"] == "Running" => {
                    Ok(pod["metadata"]["name"].as_str().unwrap().to_owned())
                }
                other => Err(other.len()),
            }
        })
        .await
    }

    /// What a command prints inside the container.
    pub fn inside(&self, pod: &str, command: &[&str]) -> String {
        self.inside_container(pod, "app", command)
    }

    /// What a command prints inside a container.
    pub fn inside_container(&self, pod: &str, container: &str, command: &[&str]) -> String {
        let container = format!("--container={container}");
        let mut arguments = vec!["exec", pod, &container, "--"];
        arguments.extend(command);
        self.kubectl(&arguments)
    }

    /// What process 1 of the container was started with: its arguments or its environment.
    pub fn process(&self, pod: &str, file: &str) -> Vec<String> {
        let text = self.inside(pod, &["cat", &format!("/proc/1/{file}")]);
        text.split_terminator('\0').map(ToOwned::to_owned).collect()
    }

    /// Requests of the operator from now on.
    pub fn mark(&self) -> Mark {
        Mark::now(self.cluster.audit_log())
    }

    /// Moments for which the cluster's Prometheus was asked about a metric, since its start: sweeps, as all policies that have
    /// the metric in their thresholds are answered by the same query. From its log of queries.
    pub fn sweeps(&self, metric: &str) -> BTreeSet<String> {
        let path = cluster_dir().join("prom/queries.log");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading \"{}\": {error}", path.display()));
        // The last line may be half written.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n') && line.contains(metric));
        let queries = lines.map(|line| serde_json::from_str::<Value>(line).expect("a line of the log of queries"));
        let instants = queries.filter(|query| query["params"]["step"] == 0);
        instants.map(|query| query["params"]["end"].as_str().expect("the end of a query").to_owned()).collect()
    }

    /// Ends the API server without a word to anybody, and starts it again: every watch breaks, and expires, as the new
    /// process remembers no event.
    pub async fn restart_api_server(&self) {
        let dir = cluster_dir();
        let (state, name) = (dir.parent().expect("a parent"), dir.file_name().expect("a name"));
        let script = cluster::repository().join("tests/cluster/cluster.sh");
        for act in [&["_stop", "kube-apiserver", "KILL"][..], &["_start", "kube-apiserver"][..]] {
            // A session of its own: it must outlive this test, and whatever ends it.
            let mut command = std::process::Command::new("setsid");
            command
                .args(["--wait", "bash"])
                .arg(&script)
                .args(act)
                .env("CLUSTER_NAME", name)
                .env("CLUSTER_STATE", state);
            let status = command.status().unwrap_or_else(|error| panic!("running {command:?}: {error}"));
            assert!(status.success(), "{command:?}: {status}");
        }
        eventually(PATIENCE, "the API server is ready again", async || {
            let answer = self.cluster.client.request_text(Request::get("/readyz").body(Vec::new()).unwrap()).await;
            match answer {
                Ok(text) if text == "ok" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Comes back when the operator has dealt with everything that happened before: a policy made now has planned for
    /// objects made now, of every kind that policies of Deployments govern, and the stream of a kind is in order.
    /// It writes nothing that people own.
    pub async fn caught_up(&self) {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("barrier-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let items = json!([
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"c.yaml": "limit: 1\n"}},
            {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
             "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "maxReplicas": 9}},
            idle(&name, &json!({})),
            {"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"name": name}, "spec": {
                "mode": "Recommend", "target": {"kind": "Deployment", "name": name},
                "replicas": {"max": 8, "onConflict": "TakeOver"},
                "files": [{"name": "f", "configMap": name, "key": "c.yaml", "format": "YAML", "reload": "Watch",
                           "onConflict": "TakeOver"}],
                "settings": [{"name": "variable", "value": 2, "env": "BARRIER"},
                             {"name": "document", "value": 2, "path": {"file": "f", "at": "/limit"}}],
            }},
        ]);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        self.apply(&list);
        self.until(
            "performancepolicies",
            &name,
            "the operator has seen a Deployment, a ConfigMap and an HPA",
            |policy| policy["status"]["plan"].as_array().map(Vec::len) == Some(3),
        )
        .await;
        self.try_kubectl(&["delete", "--wait=false", "-f", "-"], &list.to_string()).expect("remove the barrier");
    }
}
