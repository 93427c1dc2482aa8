//! What the streams decode.
//!
//! Objects that most of the time concern nobody are not decoded beyond their metadata. Our own kinds are decoded behind a
//! guard: one object that this version cannot read must not hide the others.

use std::{borrow::Cow, fmt};

use kube::{
    Resource,
    api::{ApiResource, ObjectMeta},
    core::DynamicResourceScope,
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::value::RawValue;

use super::Name;
use crate::{
    api::{PerformancePolicy, PerformancePolicySpec},
    core::{
        engine::{Change, Input},
        facts::{DisruptionBudget, DisruptionKey, Kind, ObjectKey, Seen, object::Wire},
        rules::{RuleKey, RuleObject},
    },
};

/// An object of which only the metadata is understood. With `METADATA_ONLY`, nothing else is asked for.
#[derive(Clone)]
pub struct Slim<const METADATA_ONLY: bool> {
    /// The three members that `kube` asks for.
    meta: ObjectMeta,
    wire: Wire,
}

impl<const METADATA_ONLY: bool> Slim<METADATA_ONLY> {
    /// What the engine is told.
    pub fn into_change(self, kind: Kind, gone: bool) -> Result<Change<Box<Seen>, ObjectKey>, Trouble> {
        let seen = self.wire.into_seen(kind).map_err(|error| (error.to_string(), None))?;
        Ok(if gone { Change::Deleted(seen.key) } else { Change::Applied(Box::new(seen)) })
    }
}

impl Slim<false> {
    /// What the engine is told of a `PodDisruptionBudget`.
    pub fn into_disruption(
        self,
        gone: bool,
    ) -> Result<Change<Box<(DisruptionKey, DisruptionBudget)>, DisruptionKey>, Trouble> {
        let shown = self.wire.into_disruption_budget().map_err(|error| (error.to_string(), None))?;
        Ok(if gone { Change::Deleted(shown.0) } else { Change::Applied(Box::new(shown)) })
    }
}

impl<const METADATA_ONLY: bool> fmt::Debug for Slim<METADATA_ONLY> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}", self.meta.namespace, self.meta.name)
    }
}

impl<'de, const METADATA_ONLY: bool> Deserialize<'de> for Slim<METADATA_ONLY> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let meta = ObjectMeta {
            namespace: Some(wire.namespace().to_owned()),
            name: Some(wire.name().to_owned()),
            resource_version: Some(wire.resource_version().to_owned()),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, wire })
    }
}

impl<const METADATA_ONLY: bool> Resource for Slim<METADATA_ONLY> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }
    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }
    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }
    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }
    fn metadata_api() -> bool {
        METADATA_ONLY
    }
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// A `PrometheusRule` of ours.
#[derive(Clone, Debug)]
pub struct Ruled {
    meta: ObjectMeta,
    rule: RuleObject,
}

impl Ruled {
    /// What the engine is told.
    pub fn into_change(self, gone: bool) -> Change<Box<(RuleKey, RuleObject)>, RuleKey> {
        let key = (
            self.meta.namespace.unwrap_or_default().into_boxed_str(),
            self.meta.name.unwrap_or_default().into_boxed_str(),
        );
        if gone { Change::Deleted(key) } else { Change::Applied(Box::new((key, self.rule))) }
    }
}

impl<'de> Deserialize<'de> for Ruled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let ((namespace, name), rule) = RuleObject::from_json(raw.get()).map_err(D::Error::custom)?;
        let meta = ObjectMeta {
            namespace: Some(namespace.into()),
            name: Some(name.into()),
            resource_version: Some(rule.resource_version.to_string()),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, rule })
    }
}

impl Resource for Ruled {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }
    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }
    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }
    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// An object of ours, or its name and the reason why it cannot be read.
#[derive(Clone)]
pub enum Guarded<T> {
    Read(Box<T>),
    Unreadable(Box<Unreadable>),
}

/// What is understood of an object that cannot be read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    meta: ObjectMeta,
    status: Option<Box<RawValue>>,
    error: String,
}

/// Why an object cannot be read, and what the engine is told of it all the same.
pub type Trouble = (String, Option<Input>);

impl<T: Resource> Guarded<T> {
    /// What the engine is told. `key` picks the key of a deleted one.
    pub fn into_change<K>(self, gone: bool, key: impl FnOnce(Name) -> K) -> Result<Change<Box<T>, K>, Trouble> {
        if gone {
            return Ok(Change::Deleted(key(super::name_of(&self))));
        }
        match self {
            Self::Read(object) => Ok(Change::Applied(object)),
            Self::Unreadable(unreadable) => Err((unreadable.error, None)),
        }
    }
}

impl Guarded<PerformancePolicy> {
    /// What the engine is told of a policy: also that it cannot be read, so that its status says so.
    pub fn into_input(self, gone: bool) -> Result<Input, Trouble> {
        if let (Self::Unreadable(unreadable), false) = (&self, gone) {
            let Unreadable { meta, status, error } = (**unreadable).clone();
            // A status that cannot be read either is written anew.
            let status = status.and_then(|raw| serde_json::from_str(raw.get()).ok());
            let policy = PerformancePolicy { metadata: meta, spec: PerformancePolicySpec::default(), status };
            return Err((error.clone(), Some(Input::UnreadablePolicy(Box::new(policy), error))));
        }
        self.into_change(gone, |name| name).map(Input::Policy)
    }
}

impl<T: Resource> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}", self.meta().namespace, self.meta().name)
    }
}

impl<T: Resource> Resource for Guarded<T> {
    type DynamicType = T::DynamicType;
    type Scope = T::Scope;

    fn kind(dt: &T::DynamicType) -> Cow<'_, str> {
        T::kind(dt)
    }
    fn group(dt: &T::DynamicType) -> Cow<'_, str> {
        T::group(dt)
    }
    fn version(dt: &T::DynamicType) -> Cow<'_, str> {
        T::version(dt)
    }
    fn plural(dt: &T::DynamicType) -> Cow<'_, str> {
        T::plural(dt)
    }
    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Read(object) => object.meta(),
            Self::Unreadable(unreadable) => &unreadable.meta,
        }
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Read(object) => object.meta_mut(),
            Self::Unreadable(unreadable) => &mut unreadable.meta,
        }
    }
}

impl<'de, T: Resource + DeserializeOwned> Deserialize<'de> for Guarded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str::<T>(raw.get()) {
            Ok(mut object) => {
                // Who wrote which field of a policy decides nothing, and is the bulk of it.
                object.meta_mut().managed_fields = None;
                Ok(Self::Read(Box::new(object)))
            }
            Err(error) => {
                let Bare { mut metadata, status } = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
                metadata.managed_fields = None;
                let error = error.to_string();
                Ok(Self::Unreadable(Box::new(Unreadable { meta: metadata, status, error })))
            }
        }
    }
}

/// The members without which no list could be kept, and our own.
#[derive(Deserialize)]
struct Bare {
    metadata: ObjectMeta,
    #[serde(default)]
    status: Option<Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use kube::{
        api::WatchEvent,
        core::{ObjectList, ResourceExt as _},
    };

    use super::*;

    const DEPLOYMENT: &str = r#"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"web","namespace":"shop",
        "uid":"u-1","resourceVersion":"41"},"spec":{"replicas":2},"status":{}}"#;

    #[test]
    fn a_watch_event_is_decoded_without_a_tree() {
        let event = format!(r#"{{"type":"MODIFIED","object":{DEPLOYMENT}}}"#);
        let WatchEvent::Modified(slim) = serde_json::from_str::<WatchEvent<Slim<false>>>(&event).unwrap() else {
            panic!("not the event that was sent")
        };
        assert_eq!(slim.resource_version().as_deref(), Some("41"));
        let Change::Applied(seen) = slim.into_change(Kind::Deployment, false).unwrap() else { panic!("not applied") };
        assert_eq!(seen.rest["spec"].get(), r#"{"replicas":2}"#);
    }

    #[test]
    fn a_list_is_decoded_without_a_tree() {
        let list = format!(
            r#"{{"kind":"DeploymentList","apiVersion":"apps/v1","metadata":{{"resourceVersion":"50"}},"items":[{DEPLOYMENT}]}}"#
        );
        let list: ObjectList<Slim<false>> = serde_json::from_str(&list).unwrap();
        assert_eq!(list.metadata.resource_version.as_deref(), Some("50"));
        let Change::Deleted(key) = list.items[0].clone().into_change(Kind::Deployment, true).unwrap() else {
            panic!("not deleted")
        };
        assert_eq!(key, ObjectKey::new(Kind::Deployment, "shop", "web"));
    }

    #[test]
    fn an_unreadable_policy_keeps_its_name_and_hides_no_other() {
        let list = r#"{"kind":"PerformancePolicyList","apiVersion":"trimtab.dev/v1alpha1","metadata":{"resourceVersion":"50"},"items":[
            {"metadata":{"name":"bad","namespace":"shop","resourceVersion":"1","uid":"u-1","generation":3},"spec":{"mode":"Someday"},"status":{"observedGeneration":2}},
            {"metadata":{"name":"good","namespace":"shop","resourceVersion":"2","managedFields":[{"manager":"kubectl"}]},"spec":{"mode":"Observe"}}]}"#;
        let list: ObjectList<Guarded<PerformancePolicy>> = serde_json::from_str(list).unwrap();
        let [bad, good] = <[_; 2]>::try_from(list.items).unwrap();
        assert_eq!(bad.name_any(), "bad");
        let (error, told) = bad.clone().into_input(false).unwrap_err();
        assert!(error.contains("Someday"), "{error}");
        let Some(Input::UnreadablePolicy(policy, why)) = told else { panic!("nothing is told") };
        assert_eq!((policy.metadata.uid.as_deref(), policy.metadata.generation), (Some("u-1"), Some(3)));
        assert_eq!((policy.status.unwrap().observed_generation, why), (Some(2), error));
        let gone = bad.into_input(true);
        assert!(matches!(gone, Ok(Input::Policy(Change::Deleted((_, name)))) if &*name == "bad"));
        let Ok(Change::Applied(policy)) = good.into_change(false, |name| name) else { panic!("not applied") };
        assert_eq!(policy.metadata.managed_fields, None);
    }
}
