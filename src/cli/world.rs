//! Worlds for commands: the same engine as the operator's, filled from files or from a cluster.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use kube::{
    Api, Client,
    api::{ListParams, Request},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    api::{MetricsSource, PerformanceClass, PerformancePolicy, crds},
    core::{
        engine::{Change, Config, Input, Listing, Stream, World, step},
        facts::{Instant, Kind, Seen},
    },
};

/// Documents of a command: policies, and whatever else of the cluster was given.
#[derive(Debug, Default)]
pub struct Documents {
    /// Policies, in the order of the files.
    pub policies: Vec<PerformancePolicy>,
    classes: Vec<PerformanceClass>,
    sources: Vec<MetricsSource>,
    objects: Vec<Seen>,
}

impl Documents {
    /// Reads files, directories (their `*.yaml`, `*.yml` and `*.json`) and `-` for standard input. Objects without a
    /// namespace get `namespace`. Kinds that are not ours to govern are passed over.
    pub fn read(paths: &[PathBuf], namespace: &str) -> anyhow::Result<Self> {
        let mut documents = Self::default();
        for path in paths {
            if path.as_os_str() == "-" {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).context("reading standard input")?;
                documents.add(&text, "standard input", namespace)?;
            } else {
                for file in files(path)? {
                    let text = fs::read_to_string(&file).with_context(|| format!("reading \"{}\"", file.display()))?;
                    documents.add(&text, &format!("\"{}\"", file.display()), namespace)?;
                }
            }
        }
        if documents.policies.is_empty() {
            bail!(
                "no PerformancePolicy in {}",
                paths.iter().map(|p| format!("\"{}\"", p.display())).collect::<Vec<_>>().join(", ")
            );
        }
        Ok(documents)
    }

    fn add(&mut self, text: &str, origin: &str, namespace: &str) -> anyhow::Result<()> {
        let values: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| {
            let error = error.to_string();
            anyhow::anyhow!("reading {origin}: {}", error.strip_prefix("error: ").unwrap_or(&error).trim_end())
        })?;
        for (index, mut value) in values.into_iter().enumerate() {
            let kind = value["kind"].as_str().unwrap_or_default().to_owned();
            let origin = format!("{origin}, document {}", index + 1);
            if !matches!(kind.as_str(), "PerformanceClass" | "MetricsSource" | "Namespace")
                && let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
            {
                metadata.entry("namespace").or_insert_with(|| namespace.into());
            }
            known_fields(&value, &kind).with_context(|| format!("reading {origin}"))?;
            match kind.as_str() {
                "PerformancePolicy" => self.policies.push(typed(value, &origin)?),
                "PerformanceClass" => self.classes.push(typed(value, &origin)?),
                "MetricsSource" => self.sources.push(typed(value, &origin)?),
                other => {
                    if let Some(kind) = Kind::from_name(other) {
                        let seen = Seen::from_json(kind, &value.to_string())
                            .with_context(|| format!("reading {other} in {origin}"))?;
                        self.objects.push(seen);
                    }
                }
            }
        }
        Ok(())
    }

    /// The world that these documents make.
    #[must_use]
    pub fn into_world(self, now: Instant) -> World {
        let mut world = World::new(Config::default());
        // First, so that every object is judged by the policies that are there.
        step(&mut world, Input::Listed(Stream::Policies, Listing::default()), now);
        for class in self.classes {
            step(&mut world, Input::Class(Change::Applied(Box::new(class))), now);
        }
        for source in self.sources {
            step(&mut world, Input::Source(Change::Applied(Box::new(source))), now);
        }
        for policy in self.policies {
            step(&mut world, Input::Policy(Change::Applied(Box::new(policy))), now);
        }
        for object in self.objects {
            step(&mut world, Input::Object(Change::Applied(Box::new(object))), now);
        }
        world
    }

    /// Adds what the cluster has beside the policies of the files: classes, sources, and the objects and other policies of
    /// the policies' namespaces. A policy of the files stands for the cluster's of the same name.
    pub async fn join(mut self, client: &Client) -> anyhow::Result<Self> {
        let mut namespaces: Vec<String> =
            self.policies.iter().filter_map(|policy| policy.metadata.namespace.clone()).collect();
        namespaces.sort();
        namespaces.dedup();
        for namespace in namespaces {
            let live = Self::of_cluster(client, &namespace).await?;
            self.classes.extend(live.classes);
            self.sources.extend(live.sources);
            self.objects.extend(live.objects);
            for policy in live.policies {
                let same = |mine: &&mut PerformancePolicy| {
                    mine.metadata.name == policy.metadata.name && mine.metadata.namespace == policy.metadata.namespace
                };
                match self.policies.iter_mut().find(same) {
                    // The identity of the cluster's policy decides which records on objects are its own.
                    Some(mine) => {
                        mine.metadata.uid = policy.metadata.uid;
                        mine.metadata.creation_timestamp = policy.metadata.creation_timestamp;
                        mine.metadata.generation = policy.metadata.generation.map(|generation| generation + 1);
                        mine.status = policy.status;
                    }
                    None => self.policies.push(policy),
                }
            }
        }
        Ok(self)
    }

    /// Everything of one namespace that policies may have to do with.
    pub async fn of_cluster(client: &Client, namespace: &str) -> anyhow::Result<Self> {
        let all = ListParams::default();
        let mut documents = Self {
            policies: list(Api::namespaced(client.clone(), namespace), &all, "performancepolicies").await?,
            classes: list(Api::all(client.clone()), &all, "performanceclasses").await?,
            sources: list(Api::all(client.clone()), &all, "metricssources").await?,
            objects: Vec::new(),
        };
        for kind in Kind::ALL {
            let prefix =
                if kind.api_version() == "v1" { "/api/v1".to_owned() } else { format!("/apis/{}", kind.api_version()) };
            let path = format!("{prefix}/namespaces/{namespace}/{}", kind.plural());
            let request = Request::new(path).list(&all).context("building a request")?;
            let text = client
                .request_text(request)
                .await
                .with_context(|| format!("listing {} of namespace \"{namespace}\"", kind.plural()))?;
            let items: Items =
                serde_json::from_str(&text).with_context(|| format!("reading the list of {}", kind.plural()))?;
            for item in items.items {
                documents.objects.push(item.into_seen(kind).with_context(|| format!("reading {}", kind.plural()))?);
            }
        }
        Ok(documents)
    }
}

#[derive(serde::Deserialize)]
struct Items {
    items: Vec<crate::core::facts::object::Wire>,
}

async fn list<K>(api: Api<K>, all: &ListParams, what: &str) -> anyhow::Result<Vec<K>>
where
    K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned,
{
    Ok(api
        .list(all)
        .await
        .with_context(|| format!("listing {what}; are the CRDs installed? \"trimtab crds apply\" does it"))?
        .items)
}

/// Refuses fields that the definition of one of our kinds does not have, as `kubectl apply` does: a misspelt field would
/// silently do nothing.
fn known_fields(value: &Value, kind: &str) -> anyhow::Result<()> {
    let definitions = crds::all();
    let Some(definition) = definitions.iter().find(|definition| definition.spec.names.kind == kind) else {
        return Ok(());
    };
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

fn typed<T: DeserializeOwned>(value: Value, origin: &str) -> anyhow::Result<T> {
    serde_json::from_value(value).with_context(|| format!("reading {origin}"))
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
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
