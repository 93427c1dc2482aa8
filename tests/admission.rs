//! Bad input is refused at admission, in our words, by a real API server; good input comes back as it was written.
//!
//! The cases are documents in `tests/data/admission/`. Every case that is accepted is also applied as Trimtab's users do, read
//! back through the Rust types, and must be the same document again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/cluster.rs"]
mod cluster;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    path::{Path, PathBuf},
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Error, Resource, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, Status},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use trimtab::{
    api::{ConnectionBudget, MetricsSource, PerformanceClass, PerformancePolicy, conditions::Reason, crds},
    core::policy::Policy,
};

use crate::cluster::{Cluster, Options};

const OPTIONS: Options = Options::DEFAULT;

/// What the API server says to a document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// The row of `tests/bad_input.rs` that the case stands for.
    #[serde(default, rename = "row")]
    _row: Option<u8>,
    #[serde(default)]
    metadata: serde_json::Map<String, Value>,
    spec: Value,
    /// What one of the messages contains. Nothing: the document is accepted.
    #[serde(default)]
    refused: Option<String>,
    /// The field that this message is about.
    #[serde(default)]
    field: Option<String>,
}

fn cases(text: &str) -> Vec<Case> {
    serde_saphyr::from_str(text).expect("a list of cases")
}

fn policies() -> Vec<Case> {
    cases(include_str!("data/admission/policies.yaml"))
}

#[test]
fn the_operator_reads_what_is_accepted_and_refuses_what_slips_past_admission() {
    let mut wrong = Vec::new();
    for case in policies() {
        let document = document(&ApiResource::erase::<PerformancePolicy>(&()), Some("shop"), 0, &case);
        // What our types cannot read is answered as such and never parsed.
        let Ok(policy) = serde_json::from_value::<PerformancePolicy>(document) else {
            assert!(case.refused.is_some(), "our type does not read the accepted case \"{}\"", case.name);
            continue;
        };
        match (&case.refused, Policy::parse(&policy)) {
            (None, Err(refused)) => wrong.push(format!("{}: is refused: {}", case.name, refused[0])),
            (Some(message), Ok(_)) => {
                wrong.push(format!("{}: is served, though admission says: {message}", case.name));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "the operator and the API server disagree:\n- {}", wrong.join("\n- "));
}

#[test]
fn policies_are_accepted_or_refused_with_our_message() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        let namespace = cluster.namespace().await;
        check::<PerformancePolicy>(&cluster, Some(&namespace), policies()).await;
    });
}

#[test]
fn classes_are_accepted_or_refused_with_our_message() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        check::<PerformanceClass>(&cluster, None, cases(include_str!("data/admission/classes.yaml"))).await;
    });
}

#[test]
fn budgets_are_accepted_or_refused_with_our_message() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        let namespace = cluster.namespace().await;
        let cases = cases(include_str!("data/admission/budgets.yaml"));
        check::<ConnectionBudget>(&cluster, Some(&namespace), cases).await;
    });
}

#[test]
fn sources_are_accepted_or_refused_with_our_message() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        check::<MetricsSource>(&cluster, None, cases(include_str!("data/admission/sources.yaml"))).await;
    });
}

/// Runs every case and fails with all that went wrong.
async fn check<K>(cluster: &Cluster, namespace: Option<&str>, cases: Vec<Case>)
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(cluster.client.clone(), namespace, &resource),
        None => Api::all_with(cluster.client.clone(), &resource),
    };
    let (mut accepted, mut wrong) = (0, Vec::new());
    let count = cases.len();
    for (number, case) in cases.into_iter().enumerate() {
        let document = document(&resource, namespace, number, &case);
        let result = create(&api, document.clone()).await;
        let verdict = match (&case.refused, result) {
            (None, Ok(object)) => {
                accepted += 1;
                let trip = round_trip::<K>(&api, &object.name_any(), &document).await;
                api.delete(&object.name_any(), &kube::api::DeleteParams::default()).await.expect("delete the object");
                trip
            }
            (None, Err(status)) => Err(format!("was refused: {}", status.message)),
            (Some(_), Ok(object)) => {
                api.delete(&object.name_any(), &kube::api::DeleteParams::default()).await.expect("delete the object");
                Err("was accepted".to_owned())
            }
            (Some(message), Err(status)) => refusal(&status, message, case.field.as_deref()),
        };
        if let Err(problem) = verdict {
            wrong.push(format!("{}: {problem}", case.name));
        }
    }
    println!("{count} documents of kind {}: {accepted} accepted, {} refused", resource.kind, count - accepted);
    assert!(wrong.is_empty(), "{} of {count} cases are wrong:\n- {}", wrong.len(), wrong.join("\n- "));
}

fn document(resource: &ApiResource, namespace: Option<&str>, number: usize, case: &Case) -> Value {
    let mut metadata = case.metadata.clone();
    metadata.entry("name").or_insert_with(|| format!("case-{number}").into());
    if let Some(namespace) = namespace {
        metadata.insert("namespace".into(), namespace.into());
    }
    json!({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": case.spec})
}

async fn create(api: &Api<DynamicObject>, document: Value) -> Result<DynamicObject, Box<Status>> {
    let object = serde_json::from_value(document).expect("an object");
    match api.create(&PostParams::default(), &object).await {
        Ok(object) => Ok(object),
        Err(Error::Api(status)) => Err(status),
        Err(error) => panic!("creating an object: {error}"),
    }
}

/// Whether a refusal is an orderly one: invalid, with `message` about `field`, and without words of the rule engine.
fn refusal(status: &Status, message: &str, field: Option<&str>) -> Result<(), String> {
    let causes: Vec<(String, String)> = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| (cause.field.clone(), format!("{}: {}", cause.field, cause.message)))
        .collect();
    let said = || causes.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n    ");
    if status.code != 422 {
        return Err(format!("was refused with {}: {}", status.code, status.message));
    }
    for engine in ["no such", "rule evaluation", "evaluation error", "failed rule", "call cost", "no matching overload"]
    {
        if causes.iter().any(|(_, text)| text.contains(engine)) {
            return Err(format!("a rule failed to run:\n    {}", said()));
        }
    }
    let meant = |(at, text): &&(String, String)| text.contains(message) && field.is_none_or(|field| at == field);
    if causes.iter().any(|cause| meant(&cause)) {
        Ok(())
    } else {
        Err(format!("no message says \"{message}\" about {}:\n    {}", field.unwrap_or("any field"), said()))
    }
}

/// Applies a document that was accepted, reads it back through its type, and compares.
async fn round_trip<K>(api: &Api<DynamicObject>, name: &str, document: &Value) -> Result<(), String>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Debug,
{
    api.patch(name, &PatchParams::apply("user").force(), &Patch::Apply(document))
        .await
        .map_err(|error| format!("server-side apply: {error}"))?;
    let live = api.get(name).await.map_err(|error| format!("reading it back: {error}"))?;
    let live = serde_json::to_value(live).expect("JSON");
    let typed: K =
        serde_json::from_value(live.clone()).map_err(|error| format!("our type does not read it: {error}"))?;
    let written = serde_json::to_value(&typed).expect("JSON");
    if let Some(path) = null(&written, "") {
        return Err(format!("our type writes null at {path}"));
    }
    if live["spec"] != document["spec"] {
        return Err(format!("the API server changed the spec to {}", live["spec"]));
    }
    if sorted(&written["spec"]) != sorted(&live["spec"]) {
        return Err(format!("our type writes the spec as {}", written["spec"]));
    }
    api.patch(name, &PatchParams::apply("trimtab-test").force(), &Patch::Apply(bare(&written)))
        .await
        .map_err(|error| format!("applying what our type writes: {error}"))?;
    Ok(())
}

/// A document without what only the API server sets.
fn bare(document: &Value) -> Value {
    let mut document = document.clone();
    let metadata = &document["metadata"];
    document["metadata"] = json!({"name": metadata["name"], "namespace": metadata["namespace"]});
    if document["metadata"]["namespace"].is_null() {
        document["metadata"] = json!({"name": document["metadata"]["name"]});
    }
    document
}

/// Path of the first `null`.
fn null(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Null => Some(path.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| null(item, &format!("{path}[{index}]")))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, field)| null(field, &format!("{path}.{name}"))),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The same value whatever the order of its fields.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().map(|(name, field)| (name.clone(), sorted(field))).collect();
            fields.into_iter().collect()
        }
        other => other.clone(),
    }
}

#[test]
fn lists_beyond_their_bounds_are_refused() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        let namespace = cluster.namespace().await;
        let resource = ApiResource::erase::<PerformancePolicy>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &namespace, &resource);
        let settings: Vec<_> = (0..10_000).map(|n| json!({"name": format!("s{n}"), "value": n})).collect();
        let refused = create(&api, policy(&namespace, "many", &json!({"settings": settings}))).await.unwrap_err();
        refusal(&refused, "must have at most 128 items", Some("spec.settings")).unwrap();

        let long = "x".repeat(4096);
        let refused = create(&api, policy(&namespace, "long", &json!({"pools": [{"name": long}]}))).await.unwrap_err();
        refusal(&refused, "may not be more than 63", Some("spec.pools[0].name")).unwrap();

        let labels: serde_json::Map<String, Value> = (0..17).map(|n| (format!("l{n}"), "v".into())).collect();
        let refused =
            create(&api, policy(&namespace, "labels", &json!({"metrics": {"labels": labels}}))).await.unwrap_err();
        refusal(&refused, "must have at most 16 items", Some("spec.metrics.labels")).unwrap();
    });
}

#[test]
fn objects_beyond_what_the_api_server_takes_are_refused_before_anybody_reads_them() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        let namespace = cluster.namespace().await;
        let resource = ApiResource::erase::<PerformancePolicy>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &namespace, &resource);
        let advice = |bytes: usize| json!({"thresholds": [{"name": "t", "metric": {"gauge": "up"}, "advice": "x".repeat(bytes)}]});
        let refused = create(&api, policy(&namespace, "large", &advice(1 << 20))).await.unwrap_err();
        refusal(&refused, "may not be more than 512", Some("spec.thresholds[0].advice")).unwrap();
        let refused = create(&api, policy(&namespace, "huge", &advice(3 << 20))).await.unwrap_err();
        assert_eq!(refused.code, 413, "{}", refused.message);
    });
}

fn policy(namespace: &str, name: &str, spec: &Value) -> Value {
    let resource = ApiResource::erase::<PerformancePolicy>(&());
    json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    })
}

/// The largest policy that the schema allows, with the costliest literals.
fn largest() -> Value {
    let name = |stem: &str, n: usize| format!("{stem}-{n}-{}", "x".repeat(50));
    let text = "9".repeat(18) + "." + &"9".repeat(9);
    let lands = json!({"file": name("file", 15), "at": format!("/{}", "a".repeat(255))});
    let told: serde_json::Map<String, Value> = (0..8).map(|n| (format!("l{n}"), "v".into())).collect();
    let knob = |value: Value, format: Option<&str>| {
        let mut knob = json!({"value": value, "min": value, "max": value, "path": lands, "container": "c".repeat(63), "onConflict": "TakeOver"});
        knob["effective"] = json!({"gauge": "g".repeat(200), "labels": told, "unit": "count"});
        if let Some(format) = format {
            knob["as"] = format.into();
        }
        knob
    };
    let count = || knob("000000000000000007".into(), None);
    let span = || knob("0000007.000000001d".into(), Some("milliseconds"));
    let size = || knob(format!("{}Ki", "0000001.000000000").into(), Some("bytes"));
    let with_name = |stem: &str, n: usize, mut value: Value| {
        value["name"] = name(stem, n).into();
        value
    };
    let allowed: Vec<_> = (0..32).map(|n| format!("{n:0>64}")).collect();
    let settings: Vec<_> = (0..128)
        .map(|n| {
            let mut setting = match n % 3 {
                0 => knob(text.clone().into(), None),
                1 => knob("0000001.000000000Gi".into(), Some("bytes")),
                _ => json!({"value": allowed[..3].join(","), "as": "list", "path": lands}),
            };
            setting["type"] = ["Number", "Bytes", "Enum"][n % 3].into();
            if n % 3 == 2 {
                setting["allowed"] = json!(allowed);
            }
            with_name("setting", n, setting)
        })
        .collect();
    let labels: serde_json::Map<String, Value> =
        (0..16).map(|n| (format!("label_{n}_{}", "x".repeat(54)), "v".repeat(256).into())).collect();
    let series: serde_json::Map<String, Value> =
        (0..8).map(|n| (format!("label_{n}_{}", "x".repeat(55)), "v".repeat(256).into())).collect();
    let level = |severity: &str| json!({"severity": severity, "above": format!("{text}Gi/s"), "below": 0, "for": "000000029.999999999d"});
    let threshold = |n: usize| {
        json!({
            "name": name("threshold", n),
            "metric": {"histogram": "h".repeat(200), "labels": series, "statistic": "p99.999", "window": "000000029.999999999d"},
            "levels": [level("info"), level("warning"), level("critical")],
            "hysteresis": "99.999999999%",
            "advice": "ü".repeat(512),
        })
    };
    let profile = |n: usize| {
        let set: serde_json::Map<String, Value> =
            (0..64).map(|n| (format!("settings.{}", name("setting", n)), "=".repeat(256).into())).collect();
        json!({
            "name": name("profile", n), "set": set, "requires": vec!["r".repeat(256); 8],
            "when": {"threshold": name("threshold", 63), "enter": text, "leave": 0, "dwell": "000000029.999999999d"},
            "load": {"users": 1_000_000_000, "rate": format!("{text}/s"), "thinkTime": "000000029.999999999d"},
        })
    };
    json!({
        "target": {"kind": "Deployment", "name": "t".repeat(253)},
        "replicas": {"min": 1, "max": 10000},
        "resources": (0..16).map(|n| json!({"container": name("c", n), "limits": {"cpu": "1000", "memory": "1000Gi"}, "requests": {"cpu": "1000", "memory": "1000Gi"}})).collect::<Vec<_>>(),
        "workers": (0..8).map(|n| json!({"name": name("workers", n), "count": count()})).collect::<Vec<_>>(),
        "pools": (0..16).map(|n| json!({
            "name": name("pool", n), "perWorker": name("workers", 7), "size": count(), "overflow": count(), "minIdle": count(),
            "acquireTimeout": span(), "idleTimeout": span(), "maxLifetime": span(),
        })).collect::<Vec<_>>(),
        "caches": (0..32).map(|n| json!({"name": name("cache", n), "ttl": span(), "maxStaleness": "30d", "maxBytes": size()})).collect::<Vec<_>>(),
        "settings": settings,
        "files": (0..16).map(|n| json!({"name": name("file", n), "configMap": "m".repeat(253), "key": "k".repeat(253), "format": "YAML"})).collect::<Vec<_>>(),
        "thresholds": (0..64).map(threshold).collect::<Vec<_>>(),
        "profile": name("profile", 7),
        "profiles": (0..8).map(profile).collect::<Vec<_>>(),
        "alerting": {"labels": labels},
        "checklist": (0..64).map(|n| json!({"id": name("line", n), "text": "ü".repeat(512), "check": format!("{}alerting", "!".repeat(247))})).collect::<Vec<_>>(),
        "reports": (0..8).map(|n| json!({
            "name": format!("{}{n}", "T".repeat(62)),
            "columns": vec!["c".repeat(128); 8],
            "rows": vec![vec!["x".repeat(256); 8]; 32],
            "statuses": (1..9).map(|n| json!({"upTo": format!("{n}0.000000001%"), "text": format!("{}{n}", "w".repeat(127))})).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "loadTests": (0..8).map(|n| json!({
            "name": format!("test-{n}-{}", "x".repeat(43)), "tool": "Locust", "service": "s".repeat(63), "port": 65535, "method": "POST",
            "path": format!("/{}", "p".repeat(255)), "body": format!("\"{}\"", "b".repeat(1022)), "users": 100_000,
            "duration": "000000029.000000000d", "tokenFrom": {"name": "s".repeat(253), "key": "k".repeat(253)},
        })).collect::<Vec<_>>(),
    })
}

#[test]
fn the_largest_policy_is_accepted_and_within_the_budget_of_rules() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        let namespace = cluster.namespace().await;
        let api: Api<DynamicObject> =
            Api::namespaced_with(cluster.client.clone(), &namespace, &ApiResource::erase::<PerformancePolicy>(&()));
        let document = policy(&namespace, "largest", &largest());
        let started = std::time::Instant::now();
        let result = create(&api, document.clone()).await;
        println!("{} bytes, answered in {:?}", document.to_string().len(), started.elapsed());
        let object = result.unwrap_or_else(|status| panic!("refused: {}", status.message));
        let typed: PerformancePolicy =
            serde_json::from_value(serde_json::to_value(object).expect("JSON")).expect("our type reads it");
        assert_eq!(sorted(&serde_json::to_value(typed.spec).expect("JSON")), sorted(&document["spec"]));
    });
}

/// `kubectl apply` keeps what it applied in an annotation of the definition, and annotations have a limit.
#[test]
fn definitions_can_be_applied_by_kubectl_as_the_client() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        let folder = cluster::repository().join("crds");
        let said = cluster.kubectl(&["apply", "--dry-run=server", "-f", folder.to_str().expect("UTF-8")], "");
        assert_eq!(said.lines().filter(|line| line.contains("(server dry run)")).count(), crds::all().len(), "{said}");
    });
}

#[test]
fn null_means_omitted() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        let namespace = cluster.namespace().await;
        let api: Api<DynamicObject> =
            Api::namespaced_with(cluster.client.clone(), &namespace, &ApiResource::erase::<PerformancePolicy>(&()));
        let spec = json!({"mode": null, "pools": null, "settings": [{"name": "s", "value": 1, "env": null}]});
        let stored = create(&api, policy(&namespace, "nulls", &spec)).await.unwrap();
        assert_eq!(stored.data["spec"], json!({"settings": [{"name": "s", "value": 1}]}));
    });
}

#[test]
fn policies_are_selected_by_mode_class_and_suspension() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        let namespace = cluster.namespace().await;
        let dynamic: Api<DynamicObject> =
            Api::namespaced_with(cluster.client.clone(), &namespace, &ApiResource::erase::<PerformancePolicy>(&()));
        for (name, spec) in [
            ("enforced", json!({"mode": "Enforce", "className": "gold"})),
            ("suspended", json!({"mode": "Observe", "suspend": true})),
            ("plain", json!({})),
        ] {
            create(&dynamic, policy(&namespace, name, &spec)).await.unwrap();
        }
        let api: Api<PerformancePolicy> = Api::namespaced(cluster.client.clone(), &namespace);
        for (selector, expected) in
            [("spec.mode=Enforce", "enforced"), ("spec.className=gold", "enforced"), ("spec.suspend=true", "suspended")]
        {
            let found = api.list(&ListParams::default().fields(selector)).await.expect("list by field");
            let names: Vec<_> = found.iter().map(kube::ResourceExt::name_any).collect();
            assert_eq!(names, [expected], "{selector}");
        }
    });
}

/// Every document of ours below `directory`, with its file.
fn examples(directory: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("list a directory of examples") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            found.extend(examples(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&path).expect("read an example");
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
                .unwrap_or_else(|error| panic!("\"{}\" is no YAML: {error}", path.display()));
            let ours = documents.into_iter().filter(|document| document["apiVersion"] == "trimtab.dev/v1alpha1");
            found.extend(ours.map(|document| (path.clone(), document)));
        }
    }
    found
}

#[test]
fn every_example_is_accepted_and_can_be_served() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        let namespace = cluster.namespace().await;
        let found = examples(&cluster::repository().join("examples"));
        assert!(found.iter().any(|(_, document)| document["kind"] == "PerformancePolicy"), "there is no example");
        let mut wrong = Vec::new();
        for (file, mut document) in found {
            let as_written = file.parent().is_some_and(|folder| folder.ends_with("as-written"));
            let file = file.display();
            let resource = match document["kind"].as_str() {
                Some("PerformancePolicy") => ApiResource::erase::<PerformancePolicy>(&()),
                Some("PerformanceClass") => ApiResource::erase::<PerformanceClass>(&()),
                Some("MetricsSource") => ApiResource::erase::<MetricsSource>(&()),
                Some("ConnectionBudget") => ApiResource::erase::<ConnectionBudget>(&()),
                kind => panic!("\"{file}\" has kind {kind:?}"),
            };
            let api: Api<DynamicObject> = if matches!(&*resource.kind, "PerformancePolicy" | "ConnectionBudget") {
                document["metadata"]["namespace"] = namespace.clone().into();
                Api::namespaced_with(cluster.client.clone(), &namespace, &resource)
            } else {
                Api::all_with(cluster.client.clone(), &resource)
            };
            let dry = PostParams { dry_run: true, ..PostParams::default() };
            let object = serde_json::from_value(document.clone()).expect("an object");
            if let Err(error) = api.create(&dry, &object).await {
                wrong.push(format!("\"{file}\" is refused: {error}"));
            }
            if resource.kind == "PerformancePolicy" {
                let policy = serde_json::from_value(document).expect("our type reads it");
                // A guide that asks for more than fits is shown as it is written, and that is all that may be wrong with it.
                let contradicts = as_written.then_some(Reason::MemoryAboveLimit);
                match Policy::parse(&policy) {
                    Err(refused) if refused.iter().any(|invalid| Some(invalid.reason) != contradicts) => {
                        wrong.push(format!("\"{file}\" cannot be served: {refused:?}"));
                    }
                    Ok(_) | Err(_) => {}
                }
            }
        }
        assert!(wrong.is_empty(), "examples are wrong:\n- {}", wrong.join("\n- "));
    });
}

/// The header and the rows of a table, as kubectl prints them.
async fn table(client: &Client, path: &str) -> (Vec<String>, Vec<Vec<Value>>) {
    let request = axum::http::Request::get(path)
        .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .expect("a request");
    let table: Value = client.request(request).await.expect("a table");
    let columns = table["columnDefinitions"].as_array().expect("columns").iter();
    let rows = table["rows"].as_array().expect("rows").iter();
    (
        columns.map(|column| column["name"].as_str().expect("a name").to_owned()).collect(),
        rows.map(|row| row["cells"].as_array().expect("cells").clone()).collect(),
    )
}

#[test]
fn kubectl_get_prints_our_columns() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        let namespace = cluster.namespace().await;
        let api: Api<PerformancePolicy> = Api::namespaced(cluster.client.clone(), &namespace);
        let spec = serde_json::from_value(json!({"mode": "Enforce"})).expect("a spec");
        api.create(&PostParams::default(), &PerformancePolicy::new("shown", spec)).await.expect("create");
        let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let status = json!({"status": {
            "targetSummary": "Deployment/api", "mode": "Enforce", "lastChange": "2026-01-01T00:00:00Z",
            "conditions": [condition("Ready", "True", "Served"), condition("Compliant", "False", "Breached"), condition("Applied", "True", "Applied"), condition("Effective", "Unknown", "NoReadback")],
        }});
        api.patch_status("shown", &PatchParams::default(), &Patch::Merge(status)).await.expect("write the status");
        let path = format!("/apis/trimtab.dev/v1alpha1/namespaces/{namespace}/performancepolicies");
        let (columns, rows) = table(&cluster.client, &path).await;
        assert_eq!(
            columns,
            [
                "Name",
                "Target",
                "Mode",
                "Ready",
                "Compliant",
                "Applied",
                "Profile",
                "Age",
                "Effective",
                "Changed",
                "Reason"
            ]
        );
        assert_eq!(rows[0][..6], ["shown", "Deployment/api", "Enforce", "True", "False", "True"]);
        assert_eq!((&rows[0][8], &rows[0][10]), (&json!("Unknown"), &json!("Applied")));

        let classes: Api<PerformanceClass> = Api::all(cluster.client.clone());
        let class = json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformanceClass",
            "metadata": {"name": namespace, "annotations": {"trimtab.dev/is-default-class": "true"}},
            "spec": {"modes": ["Observe", "Recommend"], "freeze": true},
        });
        classes.create(&PostParams::default(), &serde_json::from_value(class).expect("a class")).await.expect("create");
        let path = format!("/apis/trimtab.dev/v1alpha1/performanceclasses?fieldSelector=metadata.name={namespace}");
        let (columns, rows) = table(&cluster.client, &path).await;
        assert_eq!(columns, ["Name", "Default", "Modes", "Frozen", "Age"]);
        assert_eq!(rows[0][1..4], [json!("true"), json!("[\"Observe\",\"Recommend\"]"), json!(true)]);
    });
}

/// The definition of policies under another group, so that a test may change it.
fn copy_of_policies(group: &str) -> CustomResourceDefinition {
    let mut definition =
        crds::all().into_iter().find(|definition| definition.spec.names.kind == "PerformancePolicy").expect("ours");
    definition.metadata.name = Some(format!("performancepolicies.{group}"));
    group.clone_into(&mut definition.spec.group);
    definition.spec.names.short_names = None;
    definition.spec.names.categories = None;
    definition
}

#[test]
fn stricter_rules_do_not_lock_out_what_is_stored() {
    const GROUP: &str = "ratchet.trimtab.dev";
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let strict = copy_of_policies(GROUP);
        let mut lax = serde_json::to_value(&strict).expect("JSON");
        remove_rules(&mut lax);
        cluster.install(&[serde_json::from_value(lax).expect("a definition")]).await;
        let namespace = cluster.namespace().await;
        let resource = ApiResource {
            group: GROUP.into(),
            api_version: format!("{GROUP}/v1alpha1"),
            ..ApiResource::erase::<PerformancePolicy>(&())
        };
        let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &namespace, &resource);
        let bad = json!({"pools": [{"name": "db", "size": {"value": 10, "min": 20, "max": 5}}], "caches": [{"name": "c", "ttl": {"value": "1h"}}]});
        let mut document = policy(&namespace, "old", &bad);
        document["apiVersion"] = resource.api_version.clone().into();
        create(&api, document).await.expect("the old rules accept it");

        cluster.install(&[strict]).await;
        // The new rules reach the storage a moment after the definition is stored.
        let refused =
            cluster::eventually(std::time::Duration::from_secs(30), "the new rules are in force", async || {
                let mut document = policy(&namespace, "new", &bad);
                document["apiVersion"] = resource.api_version.clone().into();
                match create(&api, document).await {
                    Ok(object) => {
                        api.delete(&object.name_any(), &kube::api::DeleteParams::default()).await.expect("delete");
                        Err("accepted")
                    }
                    Err(status) => Ok(status),
                }
            })
            .await;
        refusal(&refused, "min must be ≤ max", Some("spec.pools[0].size")).unwrap();

        let merge = |patch: Value| {
            let api = api.clone();
            async move { api.patch("old", &PatchParams::default(), &Patch::Merge(patch)).await }
        };
        merge(json!({"metadata": {"labels": {"a": "b"}}})).await.expect("metadata of an old object can be changed");
        merge(json!({"spec": {"suspend": true}})).await.expect("another field of an old object can be changed");
        api.patch_status("old", &PatchParams::default(), &Patch::Merge(json!({"status": {"observedGeneration": 1}})))
            .await
            .expect("the status of an old object can be written");
        let worse = json!({"spec": {"pools": [{"name": "db", "size": {"value": 11, "min": 20, "max": 5}}]}});
        match merge(worse).await {
            Err(Error::Api(status)) => refusal(&status, "min must be ≤ max", None).unwrap(),
            other => panic!("a change of the bad field itself is answered with {other:?}"),
        }
    });
}

fn remove_rules(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("x-kubernetes-validations");
            fields.values_mut().for_each(remove_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_rules),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
