//! Objects of the cluster.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::{Content, DisruptionBudget, DisruptionKey};
use crate::api::policy::TargetKind;

/// Kinds that a policy may write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` `StatefulSet`.
    StatefulSet,
    /// `apps/v1` `DaemonSet`.
    DaemonSet,
    /// `autoscaling/v2` `HorizontalPodAutoscaler`.
    HorizontalPodAutoscaler,
    /// `v1` `ConfigMap`.
    ConfigMap,
    /// `postgresql.cnpg.io/v1` Cluster of CloudNativePG.
    Cluster,
    /// `postgresql.cnpg.io/v1` Pooler of CloudNativePG.
    Pooler,
    /// `jetstream.nats.io/v1beta2` Stream of nack.
    Stream,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::HorizontalPodAutoscaler,
        Self::ConfigMap,
        Self::Cluster,
        Self::Pooler,
        Self::Stream,
    ];

    /// The name of the kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::ConfigMap => "ConfigMap",
            Self::Cluster => "Cluster",
            Self::Pooler => "Pooler",
            Self::Stream => "Stream",
        }
    }

    /// Group, empty for the core.
    #[must_use]
    pub fn group(self) -> &'static str {
        self.api_version().rsplit_once('/').map_or("", |(group, _)| group)
    }

    /// Group and version, as in `apiVersion`.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps/v1",
            Self::HorizontalPodAutoscaler => "autoscaling/v2",
            Self::ConfigMap => "v1",
            Self::Cluster | Self::Pooler => "postgresql.cnpg.io/v1",
            Self::Stream => "jetstream.nats.io/v1beta2",
        }
    }

    /// The resource's name in paths.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
            Self::HorizontalPodAutoscaler => "horizontalpodautoscalers",
            Self::ConfigMap => "configmaps",
            Self::Cluster => "clusters",
            Self::Pooler => "poolers",
            Self::Stream => "streams",
        }
    }

    /// Whether objects of the kind carry a pod template.
    #[must_use]
    pub const fn is_workload(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet | Self::DaemonSet)
    }

    /// Whether it is a kind of another project, which a cluster may not have: its fields are set one by one.
    #[must_use]
    pub const fn is_foreign(self) -> bool {
        matches!(self, Self::Cluster | Self::Pooler | Self::Stream)
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl From<TargetKind> for Kind {
    fn from(kind: TargetKind) -> Self {
        match kind {
            TargetKind::Deployment => Self::Deployment,
            TargetKind::StatefulSet => Self::StatefulSet,
            TargetKind::DaemonSet => Self::DaemonSet,
            TargetKind::Cluster => Self::Cluster,
            TargetKind::Pooler => Self::Pooler,
            TargetKind::Stream => Self::Stream,
        }
    }
}

/// Kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Kind.
    pub kind: Kind,
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
}

impl ObjectKey {
    /// The key of these three.
    pub fn new(kind: Kind, namespace: impl Into<Box<str>>, name: impl Into<Box<str>>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// `Kind/name`, as status and messages show it inside one namespace.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}/{}", self.kind.as_str(), self.name)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}/{}\"", self.kind.as_str(), self.namespace, self.name)
    }
}

/// JSON text that nobody has had to understand yet: the price of an unbound object is one copy of its bytes,
/// and of a copy of the object none.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RawJson(Arc<str>);

impl RawJson {
    /// The text of `value`.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        Self(value.to_string().into())
    }

    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        &self.0
    }

    /// The value; `Null` when there is no text.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or(Value::Null)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde_json has checked that it is JSON; the text moves.
        Ok(Self(Box::<str>::from(Box::<RawValue>::deserialize(deserializer)?).into()))
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

/// How a manager came to own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

/// One entry of `metadata.managedFields`, kept so that it can be written back unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedEntry {
    /// Who.
    #[serde(default)]
    pub manager: String,
    /// How.
    pub operation: Operation,
    /// Version in which the fields are named.
    #[serde(default)]
    pub api_version: String,
    /// Time of the last change of the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Always `FieldsV1`.
    #[serde(default)]
    pub fields_type: String,
    /// The set of fields.
    #[serde(default, rename = "fieldsV1")]
    pub fields: RawJson,
    /// Subresource that was written, empty for the object itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// The owner reference with `controller: true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
}

/// Metadata that we use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Uid.
    pub uid: String,
    /// Resource version of this view.
    pub resource_version: String,
    /// Generation.
    pub generation: i64,
    /// Whether deletion has begun.
    pub deleting: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Who would undo our writes.
    pub controller: Option<Controller>,
    /// Field managers.
    pub managed: Vec<ManagedEntry>,
}

/// An object as a stream shows it: metadata decoded, the rest still text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which object.
    pub key: ObjectKey,
    /// Metadata.
    pub meta: Meta,
    /// `spec`, `status`, `data`, `binaryData`, `immutable`: whatever the kind has beside its metadata.
    pub rest: BTreeMap<Box<str>, RawJson>,
}

/// A bound object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Which object.
    pub key: ObjectKey,
    /// Metadata.
    pub meta: Meta,
    /// `{"spec": …, "status": …}` or `{"data": …}`: the object without its metadata.
    pub content: Content,
}

impl Seen {
    /// The object; the rest is decoded when somebody looks at it.
    #[must_use]
    pub fn into_object(self) -> Object {
        let content = Content::of(self.rest.iter().map(|(key, raw)| (&**key, raw.get())));
        Object { key: self.key, meta: self.meta, content }
    }

    /// Reads an object of `kind` from its JSON.
    ///
    /// # Errors
    /// When the value is not an object of the cluster.
    pub fn from_json(kind: Kind, text: &str) -> Result<Self, serde_json::Error> {
        let wire: Wire = serde_json::from_str(text)?;
        wire.into_seen(kind)
    }
}

impl Object {
    /// The value at a JSON pointer.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        self.content.pointer(pointer)
    }

    /// The integer at a JSON pointer.
    #[must_use]
    pub fn integer(&self, pointer: &str) -> Option<i64> {
        self.at(pointer).and_then(Value::as_i64)
    }

    /// The text at a JSON pointer.
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.at(pointer).and_then(Value::as_str)
    }

    /// The items of the list at a JSON pointer; none when there is no list.
    pub fn items<'a>(&'a self, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.at(pointer).and_then(Value::as_array).into_iter().flatten()
    }

    /// The containers of the pod template, sidecars (init containers that always restart) included.
    pub fn containers(&self) -> impl Iterator<Item = &Value> {
        self.items("/spec/template/spec/containers").chain(
            self.items("/spec/template/spec/initContainers")
                .filter(|c| c.get("restartPolicy").and_then(Value::as_str) == Some("Always")),
        )
    }
}

/// An object on the wire: what `Deserialize` of a watch or a GET reads. The kind is known from the request.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    metadata: WireMeta,
    rest: BTreeMap<Box<str>, RawJson>,
}

impl<'de> Deserialize<'de> for Wire {
    // Written out, because a flattened map would make serde build a tree of every object first.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Wire;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a Kubernetes object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Wire, A::Error> {
                let mut wire = Wire::default();
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    match key.as_ref() {
                        "metadata" => wire.metadata = map.next_value()?,
                        "apiVersion" | "kind" => drop(map.next_value::<IgnoredAny>()?),
                        _ => drop(wire.rest.insert(key.into(), map.next_value()?)),
                    }
                }
                Ok(wire)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMeta {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    generation: i64,
    #[serde(default)]
    deletion_timestamp: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    owner_references: Option<Vec<WireOwner>>,
    #[serde(default)]
    managed_fields: Option<Vec<ManagedEntry>>,
}

#[derive(Clone, Debug, Deserialize)]
struct WireOwner {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    controller: Option<bool>,
}

impl Wire {
    /// Name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Namespace; empty for cluster-scoped kinds.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    /// Resource version.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// Namespace and name, and the budget, of what is a `PodDisruptionBudget`.
    ///
    /// # Errors
    /// When it has no name, or is none.
    pub fn into_disruption_budget(self) -> Result<(DisruptionKey, DisruptionBudget), serde_json::Error> {
        let m = self.metadata;
        if m.name.is_empty() {
            return Err(serde_json::Error::custom("the object has no name"));
        }
        let budget = DisruptionBudget::read(m.generation, self.rest.get("spec"), self.rest.get("status"))?;
        Ok(((m.namespace.into(), m.name.into()), budget))
    }

    /// The object, now that its kind is said.
    ///
    /// # Errors
    /// When it has no name.
    pub fn into_seen(self, kind: Kind) -> Result<Seen, serde_json::Error> {
        let m = self.metadata;
        if m.name.is_empty() {
            return Err(serde_json::Error::custom("the object has no name"));
        }
        Ok(Seen {
            key: ObjectKey::new(kind, m.namespace, m.name),
            meta: Meta {
                uid: m.uid,
                resource_version: m.resource_version,
                generation: m.generation,
                deleting: m.deletion_timestamp.is_some(),
                labels: m.labels.unwrap_or_default(),
                annotations: m.annotations.unwrap_or_default(),
                controller: m
                    .owner_references
                    .unwrap_or_default()
                    .into_iter()
                    .find(|o| o.controller == Some(true))
                    .map(|o| Controller { kind: o.kind, name: o.name }),
                managed: m.managed_fields.unwrap_or_default(),
            },
            rest: self.rest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","uid":"u-1",
        "resourceVersion":"41","generation":3,"annotations":{"a\"b":"c"},
        "ownerReferences":[{"kind":"ReplicaSet","name":"x"},{"kind":"Rollout","name":"boss","controller":true}],
        "managedFields":[{"manager":"kubectl","operation":"Update","apiVersion":"apps/v1","time":"2026-11-21T10:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:replicas":{}}}}]},
        "spec":{"replicas":2,"template":{"spec":{"containers":[{"name":"api"}],"initContainers":[{"name":"setup"},{"name":"proxy","restartPolicy":"Always"}]}}},
        "status":{"replicas":2}}"#;

    #[test]
    fn an_object_keeps_what_is_not_understood_as_text_until_it_is_bound() {
        let seen = Seen::from_json(Kind::Deployment, DEPLOYMENT).unwrap();
        assert_eq!(seen.key, ObjectKey::new(Kind::Deployment, "shop", "web"));
        assert_eq!(seen.meta.controller, Some(Controller { kind: "Rollout".into(), name: "boss".into() }));
        assert_eq!(seen.rest.keys().map(|k| &**k).collect::<Vec<_>>(), ["spec", "status"]);
        let object = seen.into_object();
        assert_eq!(object.integer("/spec/replicas"), Some(2));
        assert_eq!(object.containers().filter_map(|c| c["name"].as_str()).collect::<Vec<_>>(), ["api", "proxy"]);
    }

    #[test]
    fn a_managed_fields_entry_is_written_back_as_it_came() {
        let seen = Seen::from_json(Kind::Deployment, DEPLOYMENT).unwrap();
        let wire: Value = serde_json::from_str(DEPLOYMENT).unwrap();
        assert_eq!(serde_json::to_value(&seen.meta.managed).unwrap(), wire["metadata"]["managedFields"]);
    }

    #[test]
    fn an_object_read_through_a_tree_is_the_same() {
        let tree: Value = serde_json::from_str(DEPLOYMENT).unwrap();
        let wire: Wire = serde_json::from_value(tree).unwrap();
        let seen = wire.into_seen(Kind::Deployment).unwrap();
        assert_eq!(seen.clone().into_object(), Seen::from_json(Kind::Deployment, DEPLOYMENT).unwrap().into_object());
    }
}
