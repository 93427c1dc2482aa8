//! Manifests as commands read them: which of their documents concern us, and who will own what they say.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

use crate::{
    api::{crds, names},
    core::{facts::Kind, ownership},
};

/// The manager that `kubectl apply -f FILE` leaves on an object.
const APPLIER: &str = "kubectl-client-side-apply";

/// A kind that commands read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Policy,
    Class,
    Source,
    Budget,
    Object(Kind),
}

/// One object of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it is.
    pub kind: Known,
    /// The object.
    pub value: Value,
    /// Where it stands, for messages.
    pub origin: String,
}

/// Reads files, directories (their `*.yaml`, `*.yml` and `*.json`) and `-` for standard input. Objects without a namespace get
/// `namespace`; kinds that have nothing to do with us are passed over.
pub fn read(paths: &[PathBuf], namespace: &str) -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("reading standard input")?;
            documents.extend(parse(&text, "standard input", namespace)?);
        } else {
            for file in files(path)? {
                let text = fs::read_to_string(&file).with_context(|| format!("reading \"{}\"", file.display()))?;
                documents.extend(parse(&text, &format!("\"{}\"", file.display()), namespace)?);
            }
        }
    }
    Ok(documents)
}

/// The files of a path: itself, or those of a directory that may hold manifests.
pub fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("reading directory \"{}\"", path.display()))? {
        let path = entry.with_context(|| format!("reading directory \"{}\"", path.display()))?.path();
        if path.is_file()
            && path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known))
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn parse(text: &str, origin: &str, namespace: &str) -> anyhow::Result<Vec<Document>> {
    let values: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| {
        let error = error.to_string();
        anyhow::anyhow!("reading {origin}: {}", error.strip_prefix("error: ").unwrap_or(&error).trim_end())
    })?;
    let mut documents = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        unfold(value, format!("{origin}, document {}", index + 1), namespace, &mut documents)?;
    }
    Ok(documents)
}

/// Takes lists apart, as kubectl does; `kubectl get -o yaml` writes them.
fn unfold(mut value: Value, origin: String, namespace: &str, documents: &mut Vec<Document>) -> anyhow::Result<()> {
    let of = value["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).map(ToOwned::to_owned);
    if let (Some(kind), Some(items)) = (of, value.get_mut("items").and_then(Value::as_array_mut)) {
        let items = std::mem::take(items);
        for (index, mut item) in items.into_iter().enumerate() {
            // Items of a typed list may leave out what the list says.
            if let (false, Some(fields)) = (kind.is_empty(), item.as_object_mut()) {
                fields.entry("kind").or_insert_with(|| json!(kind));
                fields.entry("apiVersion").or_insert_with(|| value["apiVersion"].clone());
            }
            unfold(item, format!("{origin}, item {}", index + 1), namespace, documents)?;
        }
        return Ok(());
    }
    let Some(kind) = known(&value).with_context(|| format!("reading {origin}"))? else { return Ok(()) };
    if !matches!(kind, Known::Object(_)) {
        known_fields(&value).with_context(|| format!("reading {origin}"))?;
    }
    if let (Known::Policy | Known::Budget | Known::Object(_), Some(metadata)) =
        (kind, value.get_mut("metadata").and_then(Value::as_object_mut))
    {
        metadata.entry("namespace").or_insert_with(|| namespace.into());
    }
    if let Known::Object(kind) = kind {
        own(&mut value, kind);
    }
    documents.push(Document { kind, value, origin });
    Ok(())
}

/// What the document is; `None`: a kind that has nothing to do with us, of whatever group.
fn known(value: &Value) -> anyhow::Result<Option<Known>> {
    let name = value["kind"].as_str().unwrap_or_default();
    let ours = || format!("{}/{}", names::GROUP, names::VERSION);
    let (kind, expected) = match name {
        "PerformancePolicy" => (Known::Policy, ours()),
        "PerformanceClass" => (Known::Class, ours()),
        "MetricsSource" => (Known::Source, ours()),
        "ConnectionBudget" => (Known::Budget, ours()),
        other => match Kind::from_name(other) {
            Some(kind) => (Known::Object(kind), kind.api_version().to_owned()),
            None => return Ok(None),
        },
    };
    let group = |version: &str| version.split_once('/').map(|(group, _)| group.to_owned()).unwrap_or_default();
    match value["apiVersion"].as_str() {
        None => bail!("{name} has no apiVersion; it is {expected}"),
        Some(version) if version == expected => Ok(Some(kind)),
        Some(version) if group(version) == group(&expected) => {
            bail!("version {version} of {name} is not known here; write it as {expected}")
        }
        // Another project's kind of the same name.
        Some(_) => Ok(None),
    }
}

/// Refuses fields that the definition of one of our kinds does not have, as `kubectl apply` does: a misspelt field would
/// silently do nothing.
fn known_fields(value: &Value) -> anyhow::Result<()> {
    let definitions = crds::all();
    let definition = definitions.iter().find(|definition| value["kind"] == *definition.spec.names.kind);
    let definition = definition.context("finding the definition of the kind")?;
    for version in &definition.spec.versions {
        let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
        let schema = serde_json::to_value(schema).context("reading our own schema")?;
        if let Some(field) = unknown_field(&value["spec"], &schema["properties"]["spec"], "spec") {
            bail!(
                "unknown field \"{field}\"; \"kubectl explain {}\" lists those that exist",
                definition.spec.names.plural
            );
        }
    }
    Ok(())
}

fn unknown_field(value: &Value, schema: &Value, path: &str) -> Option<String> {
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| unknown_field(item, &schema["items"], &format!("{path}[{index}]"))),
        Value::Object(fields) => {
            let known = schema["properties"].as_object()?;
            fields.iter().find_map(|(name, field)| {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    Some(schema) => unknown_field(field, schema, &path),
                    None => Some(path),
                }
            })
        }
        _ => None,
    }
}

/// Enters the owner, and the defaults, that a manifest's object gets when it is applied: without an owner the engine would plan
/// to overwrite what the manifest says, and the controller would meet a conflict. An object that tells its managers keeps them.
fn own(object: &mut Value, kind: Kind) {
    if object["metadata"]["managedFields"].as_array().is_some_and(|managed| !managed.is_empty()) {
        return;
    }
    // kubectl creates the object with an ordinary POST, whose sender owns the server's defaults, too. These govern bounds. What
    // it was asked for, it notes on the object.
    let manifest = object.to_string();
    let default = match kind {
        Kind::Deployment | Kind::StatefulSet => Some("replicas"),
        Kind::HorizontalPodAutoscaler => Some("minReplicas"),
        Kind::DaemonSet | Kind::ConfigMap | Kind::Cluster | Kind::Pooler | Kind::Stream => None,
    };
    if let (Some(member), Some(spec)) = (default, object.get_mut("spec").and_then(Value::as_object_mut)) {
        spec.entry(member).or_insert_with(|| json!(1));
    }
    let mut stated = object.as_object().cloned().unwrap_or_default();
    for not_owned in ["apiVersion", "kind", "status"] {
        stated.remove(not_owned);
    }
    if let Some(metadata) = stated.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|member, _| ["labels", "annotations"].contains(&member.as_str()));
    }
    let entry = json!({
        "manager": APPLIER, "operation": "Update", "apiVersion": kind.api_version(),
        "fieldsType": "FieldsV1", "fieldsV1": fields("", &Value::Object(stated)),
    });
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".to_owned(), json!([entry]));
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(ownership::LAST_APPLIED.to_owned(), manifest.into());
        }
    }
}

/// `FieldsV1` of everything in `value`, which is the member `name` of something.
fn fields(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (format!("f:{name}"), fields(name, value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => {
            // Those in which we claim single items. Of the others no item is ever ours, so who owns one does not matter.
            let key = match name {
                "containers" | "initContainers" | "env" => "name",
                _ => return json!({}),
            };
            let item = |item: &Value| {
                let mut inside = fields("", item);
                inside["."] = json!({});
                (format!("k:{}", json!({key: item[key]})), inside)
            };
            items.iter().map(item).collect::<Map<_, _>>().into()
        }
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Known> {
        parse(text, "a test", "shop").unwrap().into_iter().map(|document| document.kind).collect()
    }

    #[test]
    fn what_is_not_ours_is_passed_over_by_group_and_kind() {
        assert_eq!(kinds("apiVersion: v1\nkind: Service\nmetadata: {name: a}"), []);
        assert_eq!(kinds("apiVersion: apps.kruise.io/v1beta1\nkind: StatefulSet\nmetadata: {name: a}"), []);
        assert_eq!(kinds("apiVersion: example.com/v1\nkind: PerformancePolicy\nspec: {size: 1}"), []);
        assert_eq!(kinds("---\n---\n# nothing\n"), []);
        let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}";
        assert_eq!(kinds(deployment), [Known::Object(Kind::Deployment)]);
    }

    #[test]
    fn versions_that_nobody_here_can_read_are_refused() {
        #[track_caller]
        fn check(text: &str, why: &str) {
            let error = format!("{:#}", parse(text, "a test", "shop").unwrap_err());
            assert_eq!(error, format!("reading a test, document 1: {why}"));
        }
        check(
            "apiVersion: trimtab.dev/v1\nkind: PerformancePolicy",
            "version trimtab.dev/v1 of PerformancePolicy is not known here; write it as trimtab.dev/v1alpha1",
        );
        check(
            "apiVersion: apps/v1beta2\nkind: Deployment",
            "version apps/v1beta2 of Deployment is not known here; write it as apps/v1",
        );
        check("apiVersion: v2\nkind: ConfigMap", "version v2 of ConfigMap is not known here; write it as v1");
        check("kind: Deployment", "Deployment has no apiVersion; it is apps/v1");
    }

    #[test]
    fn lists_are_taken_apart_and_their_items_named_in_errors() {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Service"},
            {"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [{"metadata": {"name": "api"}}]},
            {"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"name": "api"}, "spec": {}},
        ]});
        let documents = parse(&list.to_string(), "a test", "shop").unwrap();
        let kinds: Vec<_> = documents.iter().map(|document| document.kind).collect();
        assert_eq!(kinds, [Known::Object(Kind::Deployment), Known::Policy]);
        assert_eq!(documents[0].origin, "a test, document 1, item 2, item 1");
        assert!(documents.iter().all(|document| document.value["metadata"]["namespace"] == "shop"));
    }

    #[test]
    fn the_applier_of_a_manifest_owns_what_it_states_and_the_defaults_that_come_with_it() {
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "api", "labels": {"app": "api"}},
            "spec": {"template": {"spec": {"containers": [
                {"name": "api", "args": ["serve"], "env": [{"name": "X", "value": "1"}]},
            ]}}},
        });
        own(&mut object, Kind::Deployment);
        let variable = json!({".": {}, "f:name": {}, "f:value": {}});
        let container = json!({".": {}, "f:name": {}, "f:args": {}, "f:env": {"k:{\"name\":\"X\"}": variable}});
        let pod = json!({"f:containers": {"k:{\"name\":\"api\"}": container}});
        assert_eq!(
            object["metadata"]["managedFields"],
            json!([{
                "manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
                "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {"f:replicas": {}, "f:template": {"f:spec": pod}},
                },
            }])
        );
        assert_eq!(object["spec"]["replicas"], 1);
        let before = object.clone();
        own(&mut object, Kind::Deployment);
        assert_eq!(object, before, "known managers stay");
    }
}
