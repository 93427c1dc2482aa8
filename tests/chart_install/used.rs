//! Every right that the chart grants is needed: each one is used in the life of a release that does all there is to do.

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::{Value, json};
use trimtab::api::names;

use crate::{
    Audit, NAMESPACE, OPTIONS, alone, cluster, copy, get, helm, helm_install, helm_install_chart, helm_uninstall, here,
    load_image, restricted_namespace,
    rights::{granted, right},
};

/// Rights that only a coincidence needs: an autoscaler is read again when somebody wrote it between our look and our write, and a
/// definition is watched when it is not served yet at the first look.
const BY_COINCIDENCE: [&str; 2] = [
    "trimtab: get horizontalpodautoscalers in autoscaling",
    "trimtab-crds: watch customresourcedefinitions in apiextensions.k8s.io",
];

/// A controller of one pod.
fn workload(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "app", "image": "localhost/busybox:1", "imagePullPolicy": "Never",
                        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"],
                    }],
                },
            },
        },
    })
}

/// A policy on the workload of its name that sets a variable; `also` is added to the spec.
fn policy(kind: &str, name: &str, also: &Value) -> Value {
    let mut policy = json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"name": name},
        "spec": {
            "mode": "Enforce",
            "target": {"kind": kind, "name": name},
            "pools": [{"name": "db", "size": {"value": 10, "env": "DB_POOL_SIZE"}}],
        },
    });
    for (field, value) in also.as_object().expect("fields") {
        policy["spec"][field] = value.clone();
    }
    policy
}

/// What a release can do to the objects of users: every kind of target, every place. First come the objects with a policy on one
/// of them, then the other policies.
///
/// A workload or `ConfigMap` that no policy governs is known by its name alone, and is read when one comes.
fn everything() -> [Vec<Value>; 2] {
    // Whoever creates a workload owns the default of its replicas, too.
    let replicas = json!({"replicas": {"min": 2, "max": 3, "onConflict": "TakeOver"}});
    let document = json!({
        "deletionPolicy": "Restore",
        "pools": [{"name": "database", "budget": "database", "size": {"value": 5, "env": "DATABASE_POOL"}}],
        "files": [{"name": "config", "configMap": "config", "key": "config.yaml", "format": "YAML"}],
        "settings": [{"name": "limit", "type": "Integer", "value": 50, "path": {"file": "config", "at": "/limit"}}],
        "thresholds": [{"name": "up", "metric": {"gauge": "up"}, "levels": [{"severity": "info", "below": 1}]}],
    });
    // Its rollout takes long enough for a look at its pods.
    let mut slow = workload("Deployment", "slow");
    slow["spec"]["minReadySeconds"] = json!(10);
    let objects = vec![
        slow,
        policy("Deployment", "slow", &json!({})),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"},
            "data": {"config.yaml": "limit: 10\n"},
        }),
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "scaled"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"},
                "minReplicas": 1, "maxReplicas": 5,
            },
        }),
        json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "ConnectionBudget", "metadata": {"name": "database"},
            "spec": {"capacity": {"connections": 100}},
        }),
        workload("Deployment", "document"),
        workload("Deployment", "scaled"),
        workload("Deployment", "deployment"),
        workload("StatefulSet", "stateful-set"),
        workload("DaemonSet", "daemon-set"),
    ];
    let policies = vec![
        policy("Deployment", "document", &document),
        policy("Deployment", "scaled", &replicas),
        policy("Deployment", "deployment", &replicas),
        policy("StatefulSet", "stateful-set", &replicas),
        policy("DaemonSet", "daemon-set", &json!({})),
    ];
    [objects, policies]
}

/// The rights that the chart's accounts used, in the form of [`granted`].
fn used(audit: &Audit<'_>) -> BTreeSet<String> {
    let rights = |(account, event): (String, Value)| {
        let object = &event["objectRef"];
        let group = object["apiGroup"].as_str().unwrap_or_default();
        let (verb, resource) = (event["verb"].as_str()?, object["resource"].as_str()?);
        let resource = match object["subresource"].as_str() {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => resource.to_owned(),
        };
        // An apply that makes the object needs the right to create it, which the log does not tell as a request of its own.
        let made = verb == "patch" && event["responseStatus"]["code"] == 201;
        let verbs = [Some(verb), made.then_some("create")];
        Some(verbs.into_iter().flatten().map(|verb| right(&account, verb, group, &resource)).collect::<Vec<_>>())
    };
    audit.requests().into_iter().filter_map(rights).flatten().collect()
}

#[test]
fn every_right_is_used_in_the_life_of_a_release() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let _alone = alone();
        let audit = Audit::from_now(&cluster);
        load_image();
        restricted_namespace(&cluster);

        // A release that knew one kind less, and less of the others: its definitions are Helm's, from the folder crds.
        let older = tempfile::tempdir().expect("a directory");
        let chart = older.path().join("trimtab");
        copy(&helm::chart(), &chart);
        fs::remove_file(chart.join("crds/trimtab.dev_metricssources.yaml")).expect("leave a definition out");
        for definition in trimtab::api::crds::all() {
            let name = definition.metadata.name.expect("a name");
            cluster.kubectl(&["delete", "crd", &name, "--ignore-not-found"], "");
        }
        let rules = include_str!("../cluster/tools/crds/monitoring.coreos.com_prometheusrules.yaml");
        cluster.kubectl(&["apply", "-f", "-"], rules);
        cluster.kubectl(&["wait", "--for=condition=Established", "crd/prometheusrules.monitoring.coreos.com"], "");
        helm_install_chart(&chart, &[]);
        helm_install(&["--set=prometheus.url=http://prometheus.monitoring:9090", "--set=prometheus.interval=2s"]);

        let shop = cluster.namespace().await;
        for objects in everything() {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
            cluster.kubectl(&["apply", "--namespace", &shop, "-f", "-"], &list.to_string());
            cluster::eventually(Duration::from_mins(2), "all policies are applied", async || {
                let policies = get(&cluster, &["performancepolicies", "--namespace", &shop]);
                let waiting = |policy: &Value| {
                    let conditions = policy["status"]["conditions"].as_array().cloned().unwrap_or_default();
                    let applied = conditions.iter().any(|c| c["type"] == "Applied" && c["status"] == "True");
                    (!applied).then(|| json!({"policy": policy["metadata"]["name"], "conditions": conditions}))
                };
                let waiting: Vec<_> =
                    policies["items"].as_array().expect("policies").iter().filter_map(waiting).collect();
                if waiting.is_empty() { Ok(()) } else { Err(waiting) }
            })
            .await;
        }
        cluster::eventually(Duration::from_mins(1), "the source is known to be away", async || {
            let source = get(&cluster, &["metricssource", "default"]);
            if source["status"]["conditions"][0]["status"] == "False" { Ok(()) } else { Err(source) }
        })
        .await;
        // A policy with thresholds has rules, until its alerts go another way.
        let has_rules = |has: bool| {
            let (cluster, shop) = (&cluster, &shop);
            cluster::eventually(Duration::from_mins(1), "rules come and go", async move || {
                let rules = get(cluster, &["prometheusrules", "--namespace", shop]);
                let names: Vec<_> = rules["items"].as_array().into_iter().flatten().collect();
                if names.is_empty() == has { Err(rules.clone()) } else { Ok(()) }
            })
        };
        has_rules(true).await;
        let pushed = r#"{"spec":{"alerting":{"sink":"Alertmanager"}}}"#;
        let patch = ["patch", "performancepolicy", "document", "--namespace", &shop, "--type=merge", "-p", pushed];
        cluster.kubectl(&patch, "");
        has_rules(false).await;
        audit.assert_nothing_was_forbidden();
        helm_uninstall();
        cluster.kubectl(&["delete", "crd", "prometheusrules.monitoring.coreos.com"], "");
        audit.assert_nothing_was_forbidden();

        let rendering = helm::helm()
            .args(["template", "trimtab", helm::chart().to_str().expect("a path in UTF-8")])
            .args(["--namespace", NAMESPACE, "--set=image.repository=x"])
            .output()
            .expect("run helm");
        assert!(rendering.status.success(), "{}", String::from_utf8_lossy(&rendering.stderr));
        let rendering = String::from_utf8(rendering.stdout).expect("UTF-8");
        let objects: Vec<Value> = serde_saphyr::from_multiple(&rendering).expect("YAML");
        let (granted, used) = (granted(&objects), used(&audit));
        let mut unused: Vec<_> = granted.difference(&used).collect();
        unused.retain(|right| !BY_COINCIDENCE.contains(&right.as_str()));
        assert_eq!(unused, Vec::<&String>::new(), "granted, but not needed; used: {used:#?}");
        let policy = get(&cluster, &["performancepolicy", "document", "--namespace", &shop]);
        assert_eq!(policy["metadata"]["finalizers"], Value::Null, "{} stayed", names::RESTORE_FINALIZER);
    });
}
