//! The chart on a real cluster, by real Helm: install, upgrade, uninstall, and what the API server says to its renderings.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "chart_install/demo.rs"]
mod demo;
#[path = "support/helm.rs"]
mod helm;
#[path = "support/operator.rs"]
mod operator;
#[path = "support/rights.rs"]
mod rights;
#[path = "chart_install/used.rs"]
mod used;

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use cluster::Cluster;
use operator::{NAMESPACE, alone, helm_install, helm_install_chart, helm_uninstall, load_image};
use serde_json::{Value, json};
use trimtab::api::{crds, names};

const OPTIONS: cluster::Options = cluster::Options { real_nodes: true, audit: true, ..cluster::Options::DEFAULT };

/// What the API server answers to the chart's accounts from some moment on. Other tests of the same cluster came before it.
struct Audit<'a> {
    cluster: &'a Cluster,
    start: usize,
}

impl<'a> Audit<'a> {
    fn from_now(cluster: &'a Cluster) -> Self {
        let start = fs::metadata(cluster.audit_log()).expect("find the audit log").len();
        Self { cluster, start: usize::try_from(start).expect("a length") }
    }

    /// Each request, with the name of its account.
    fn requests(&self) -> Vec<(String, Value)> {
        let log = fs::read_to_string(self.cluster.audit_log()).expect("read the audit log");
        // The last line may be half written.
        let events = log[self.start..].lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ours = format!("system:serviceaccount:{NAMESPACE}:");
        let request = |event: Value| {
            let account = event["user"]["username"].as_str()?.strip_prefix(&ours)?.to_owned();
            account.starts_with("trimtab").then_some((account, event))
        };
        events.filter_map(request).collect()
    }

    /// Fails if an account was refused for a missing right.
    fn assert_nothing_was_forbidden(&self) {
        let requests = self.requests();
        assert!(!requests.is_empty(), "the audit log knows no request of the operator");
        let refused = requests.iter().filter(|(_, event)| event["responseStatus"]["code"] == 403);
        let refused = refused.map(|(account, event)| format!("{account}: {} {}", event["verb"], event["requestURI"]));
        assert_eq!(refused.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

/// Makes the operator's namespace, where only pods of the restricted standard are admitted.
fn restricted_namespace(cluster: &Cluster) {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    cluster.kubectl(&["apply", "-f", "-"], &namespace.to_string());
}

fn get(cluster: &Cluster, arguments: &[&str]) -> Value {
    let mut all = vec!["get", "-o", "json"];
    all.extend(arguments);
    serde_json::from_str(&cluster.kubectl(&all, "")).expect("JSON")
}

/// Names of the objects that the release left in its namespace and outside of all namespaces.
fn left_behind(cluster: &Cluster) -> String {
    let label = "app.kubernetes.io/instance=trimtab";
    let kinds = "clusterroles,clusterrolebindings,performanceclasses,metricssources";
    let mut left = cluster.kubectl(&["get", kinds, "-o", "name", "-l", label], "");
    let kinds = "deployments,replicasets,pods,jobs,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets";
    left += &cluster.kubectl(&["get", kinds, "-o", "name", "-l", label, "--all-namespaces"], "");
    left += &cluster.kubectl(&["get", "leases", "-o", "name", "--namespace", NAMESPACE], "");
    left
}

/// A workload, and a policy on it that waits for the operator before it goes.
fn workload_with_policy(cluster: &Cluster, namespace: &str) {
    let workload = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "api", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": "api"}},
            "template": {
                "metadata": {"labels": {"app": "api"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "api", "image": "localhost/busybox:1", "imagePullPolicy": "Never",
                        "command": ["sleep", "1000000"], "env": [{"name": "DB_POOL_SIZE", "value": "10"}],
                    }],
                },
            },
        },
    });
    let policy = json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": "api", "namespace": namespace, "finalizers": [names::RESTORE_FINALIZER]},
        "spec": {
            "target": {"kind": "Deployment", "name": "api"},
            "deletionPolicy": "Restore",
            "mode": "Observe",
            "pools": [{"name": "db", "size": {"value": 10, "env": "DB_POOL_SIZE"}}],
        },
    });
    cluster.kubectl(&["apply", "-f", "-"], &workload.to_string());
    cluster.kubectl(&["apply", "-f", "-"], &policy.to_string());
    cluster.kubectl(&["rollout", "status", "--namespace", namespace, "deployment/api", "--timeout=60s"], "");
}

/// Waits until the operator has reported on the policy.
async fn observed(cluster: &Cluster, namespace: &str) {
    cluster::eventually(Duration::from_secs(30), "the operator reports on the policy", async || {
        let policy = get(cluster, &["performancepolicy", "api", "--namespace", namespace]);
        let seen = policy["status"]["observedGeneration"] == policy["metadata"]["generation"];
        if seen && policy["status"]["conditions"][0].is_object() { Ok(()) } else { Err(policy["status"].clone()) }
    })
    .await;
}

/// What must not change: everything but the status.
fn workload(cluster: &Cluster, namespace: &str) -> Value {
    let mut workload = get(cluster, &["deployment", "api", "--namespace", namespace, "--show-managed-fields"]);
    let fields = workload["metadata"]["managedFields"].as_array_mut().expect("managed fields");
    fields.retain(|entry| entry["subresource"] != "status");
    json!({"spec": workload["spec"], "managedFields": workload["metadata"]["managedFields"]})
}

#[test]
fn a_restricted_namespace_takes_install_and_uninstall_and_the_cluster_keeps_policies_and_values() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let _alone = alone();
        let audit = Audit::from_now(&cluster);
        load_image();
        restricted_namespace(&cluster);

        let said = helm_install(&["--set=prometheus.url=http://prometheus.monitoring:9090"]);
        assert!(!said.contains("would violate PodSecurity"), "{said}");
        assert!(said.contains("Nothing is written to any workload"), "{said}");
        // Both replicas are ready, the one that stands by too.
        let deployment = get(&cluster, &["deployment", "trimtab", "--namespace", NAMESPACE]);
        assert_eq!(deployment["status"]["readyReplicas"], 2, "{}", deployment["status"]);
        let lease = get(&cluster, &["lease", names::LEASE, "--namespace", NAMESPACE]);
        assert!(lease["spec"]["holderIdentity"].as_str().is_some_and(|holder| holder.starts_with("trimtab-")));
        for suffix in ["crds", "uninstall"] {
            let left = left_behind(&cluster);
            assert!(!left.contains(&format!("-{suffix}")), "rights of a hook stayed: {left}");
        }

        let shop = cluster.namespace().await;
        workload_with_policy(&cluster, &shop);
        let before = workload(&cluster, &shop);
        observed(&cluster, &shop).await;
        audit.assert_nothing_was_forbidden();

        let start = Instant::now();
        helm_uninstall();
        let took = start.elapsed();
        assert!(took <= Duration::from_secs(30), "the uninstall took {took:?}");

        assert_eq!(left_behind(&cluster), "");
        let definitions = cluster.kubectl(&["get", "crds", "-o", "name"], "");
        for definition in crds::all() {
            let name = definition.metadata.name.expect("a name");
            assert!(definitions.contains(&name), "the definition \"{name}\" is gone");
        }
        assert_eq!(workload(&cluster, &shop), before);
        let policy = get(&cluster, &["performancepolicy", "api", "--namespace", &shop]);
        assert_eq!(policy["metadata"]["finalizers"], Value::Null);
        assert_eq!(policy["metadata"]["deletionTimestamp"], Value::Null);
        // Nobody is needed to delete it now.
        cluster.kubectl(&["delete", "performancepolicy", "api", "--namespace", &shop, "--timeout=10s"], "");

        // What stayed is in nobody's way.
        helm_install(&[]);
        helm_uninstall();
        assert_eq!(left_behind(&cluster), "");
    });
}

#[test]
fn an_upgrade_brings_new_fields_of_a_definition_before_the_objects_that_use_them() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let _alone = alone();
        load_image();
        let older = tempfile::tempdir().expect("a directory");
        let chart = older.path().join("trimtab");
        copy(&helm::chart(), &chart);
        // The older release knew no `timeout`, and could not bring its own definitions up to date.
        let file = chart.join("crds").join("trimtab.dev_metricssources.yaml");
        let mut definition: Value =
            serde_saphyr::from_str(&fs::read_to_string(&file).expect("read the definition")).expect("YAML");
        let fields = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
            .as_object_mut()
            .expect("fields");
        fields.remove("timeout").expect("the field `timeout`");
        fs::write(&file, definition.to_string()).expect("write the definition");
        for definition in crds::all() {
            let name = definition.metadata.name.expect("a name");
            cluster.kubectl(&["delete", "crd", &name, "--ignore-not-found"], "");
        }

        let first =
            "--set=hooks.crds=false,prometheus.url=http://prometheus.monitoring:9090,performanceClass.spec.freeze=true";
        helm_install_chart(&chart, &[first]);
        let known = |cluster: &Cluster| {
            let definition = get(cluster, &["crd", "metricssources.trimtab.dev"]);
            definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/timeout").is_some()
        };
        assert!(!known(&cluster), "the older definition has the field already");

        helm_install(&["--set=prometheus.url=http://prometheus.monitoring:9090,prometheus.timeout=7s"]);
        assert!(known(&cluster), "the upgrade did not bring the definition up to date");
        let source = get(&cluster, &["metricssource", "default"]);
        assert_eq!(source["spec"]["timeout"], "7s");
        // What the values no longer say is gone; the spec itself is not.
        let class = get(&cluster, &["performanceclass", "standard"]);
        assert!(class["spec"].is_object() && class["spec"]["freeze"].is_null(), "{}", class["spec"]);
        let definition = get(&cluster, &["crd", "metricssources.trimtab.dev"]);
        assert_eq!(definition["metadata"]["annotations"][names::CRD_VERSION], env!("CARGO_PKG_VERSION"));

        helm_uninstall();
    });
}

#[test]
fn definitions_of_a_newer_version_are_kept() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let _alone = alone();
        cluster.install_crds().await;
        let name = "metricssources.trimtab.dev";
        cluster.kubectl(&["annotate", "--overwrite", "crd", name, "trimtab.dev/version=99.0.0"], "");
        let version = |cluster: &Cluster| get(cluster, &["crd", name])["metadata"]["resourceVersion"].clone();
        let before = version(&cluster);
        let program = env!("CARGO_BIN_EXE_trimtab");

        let output = cluster.run(program, &["crds", "apply"], "");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(&format!("customresourcedefinition/{name} kept, because it is newer")), "{said}");
        assert_eq!(version(&cluster), before);

        let output = cluster.run(program, &["crds", "apply", "--allow-downgrade"], "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let definition = get(&cluster, &["crd", name]);
        assert_eq!(definition["metadata"]["annotations"][names::CRD_VERSION], env!("CARGO_PKG_VERSION"));

        // A second time there is nothing to do.
        let before = version(&cluster);
        let output = cluster.run(program, &["crds", "apply"], "");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.matches(" unchanged").count(), crds::all().len(), "{said}");
        assert_eq!(version(&cluster), before);
    });
}

#[test]
fn an_operator_of_two_namespaces_needs_no_rights_beyond_them_and_leaves_even_if_one_is_gone() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let _alone = alone();
        load_image();
        let (shop, checkout, other) = (cluster.namespace().await, cluster.namespace().await, cluster.namespace().await);

        let watched = format!("--set-json=watchNamespaces=[\"{shop}\",\"{checkout}\"]");
        helm_install(&[&watched, "--set=prometheus.url=http://prometheus.monitoring:9090"]);
        let account = format!("system:serviceaccount:{NAMESPACE}:trimtab");
        let may = |verb: &str, resource: &str, namespace: &str| {
            let arguments = ["auth", "can-i", verb, resource, "--namespace", namespace, "--as", &account];
            let output = cluster.run("kubectl", &arguments, "");
            String::from_utf8_lossy(&output.stdout).trim() == "yes"
        };
        assert!(may("patch", "deployments", &shop));
        assert!(may("patch", "performancepolicies/status", &checkout));
        for resource in ["deployments", "performancepolicies", "configmaps", "pods"] {
            assert!(
                !may("list", resource, &other),
                "the operator may list {resource} of a namespace that is not its own"
            );
            assert!(!may("list", resource, NAMESPACE), "the operator may list {resource} beside itself");
        }
        // Ready although it can list nothing else.
        let deployment = get(&cluster, &["deployment", "trimtab", "--namespace", NAMESPACE]);
        assert_eq!(deployment["status"]["readyReplicas"], 2, "{}", deployment["status"]);

        workload_with_policy(&cluster, &shop);
        observed(&cluster, &shop).await;
        cluster.kubectl(&["delete", "namespace", &checkout, "--timeout=60s"], "");
        let start = Instant::now();
        helm_uninstall();
        let took = start.elapsed();
        assert!(took <= Duration::from_secs(30), "the uninstall took {took:?}");
        assert_eq!(left_behind(&cluster), "");
        let policy = get(&cluster, &["performancepolicy", "api", "--namespace", &shop]);
        assert_eq!(policy["metadata"]["finalizers"], Value::Null);
        cluster.kubectl(&["delete", "performancepolicy", "api", "--namespace", &shop, "--timeout=10s"], "");
    });
}

#[test]
fn the_api_server_takes_every_rendering_and_every_example() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let _alone = alone();
        cluster.install_crds().await;
        restricted_namespace(&cluster);
        for namespace in ["shop", "checkout"] {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            cluster.kubectl(&["apply", "-f", "-"], &namespace.to_string());
        }
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chart");
        for case in ["default", "watch-namespaces", "everything"] {
            let rendering = fs::read_to_string(golden.join(format!("{case}.yaml"))).expect("read the rendering");
            let objects: Vec<Value> = serde_saphyr::from_multiple(&rendering).expect("YAML");
            // The definition of ServiceMonitor is not ours, and not here.
            let objects: Vec<_> = objects
                .into_iter()
                .filter(|object| object.is_object() && object["apiVersion"] != "monitoring.coreos.com/v1")
                .collect();
            assert!(objects.len() > 10, "{case} renders {} objects", objects.len());
            let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
            let arguments = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
            let output = cluster.run("kubectl", &arguments, &list.to_string());
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{case}: {said}");
            assert!(!said.contains("Warning"), "{case}: {said}");
        }

        let chart = fs::read_to_string(helm::chart().join("Chart.yaml")).expect("read Chart.yaml");
        let chart: Value = serde_saphyr::from_str(&chart).expect("YAML");
        let examples = chart["annotations"]["artifacthub.io/crdsExamples"].as_str().expect("examples");
        let examples: Vec<Value> = serde_saphyr::from_str(examples).expect("YAML");
        assert!(!examples.is_empty());
        let list = json!({"apiVersion": "v1", "kind": "List", "items": examples});
        cluster.kubectl(&["create", "--dry-run=server", "--validate=strict", "-f", "-"], &list.to_string());
    });
}

#[test]
fn editors_of_a_namespace_may_edit_policies_and_viewers_may_not() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let _alone = alone();
        load_image();
        helm_install(&[]);
        let shop = cluster.namespace().await;
        for role in ["view", "edit"] {
            let role_ref = format!("--clusterrole={role}");
            cluster.kubectl(&["create", "rolebinding", role, "--namespace", &shop, &role_ref, "--user", role], "");
        }
        let may = async |user: &str, verb: &str, expected: bool| {
            // A controller adds our rules to the cluster's roles, some time after they were made.
            let what = format!("whether the role {user} may {verb} policies is {expected}");
            cluster::eventually(Duration::from_secs(20), &what, async || {
                let arguments = ["auth", "can-i", verb, "performancepolicies", "--namespace", &shop, "--as", user];
                let output = cluster.run("kubectl", &arguments, "");
                let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                if (answer == "yes") == expected { Ok(()) } else { Err(answer) }
            })
            .await;
        };
        may("edit", "create", true).await;
        may("edit", "delete", true).await;
        may("edit", "watch", true).await;
        may("view", "list", true).await;
        may("view", "create", false).await;
        may("view", "patch", false).await;
        helm_uninstall();
    });
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status().expect("run cp");
    assert!(status.success(), "copying {} failed", from.display());
}
