//! The table of objects: full for those that a policy governs or has touched, a name and its labels for all others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    api::names,
    core::facts::{Kind, Meta, Object, ObjectKey, Seen},
};

/// An object as the world knows it.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// Nobody cares. Enough to bind it when a policy comes.
    Unbound {
        /// Uid.
        uid: Box<str>,
        /// Resource version.
        resource_version: Box<str>,
        /// Labels.
        labels: Box<[(Box<str>, Box<str>)]>,
    },
    /// Governed or touched, but not read yet, or read at an older version.
    Stale(Meta),
    /// Governed or touched, and decoded.
    Bound(Arc<Object>),
    /// Seen before the list of policies was complete: kept whole so that nothing has to be fetched again.
    Waiting(Box<Seen>),
}

impl Slot {
    fn meta(&self) -> Option<&Meta> {
        match self {
            Self::Stale(meta) => Some(meta),
            Self::Bound(object) => Some(&object.meta),
            Self::Waiting(seen) => Some(&seen.meta),
            Self::Unbound { .. } => None,
        }
    }
}

/// All objects, and which policies left traces on them.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    slots: BTreeMap<ObjectKey, Slot>,
    /// Policies whose entry or annotation an object carries.
    traces: BTreeMap<(Box<str>, Box<str>), BTreeSet<ObjectKey>>,
}

impl Objects {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Object> {
        match self.slots.get(key) {
            Some(Slot::Bound(object)) => Some(object),
            Some(Slot::Unbound { .. } | Slot::Stale(_) | Slot::Waiting(_)) | None => None,
        }
    }

    /// The object as it is now, to keep while the world changes.
    pub(super) fn shared(&self, key: &ObjectKey) -> Option<Arc<Object>> {
        match self.slots.get(key) {
            Some(Slot::Bound(object)) => Some(Arc::clone(object)),
            Some(Slot::Unbound { .. } | Slot::Stale(_) | Slot::Waiting(_)) | None => None,
        }
    }

    pub(super) fn slot(&self, key: &ObjectKey) -> Option<&Slot> {
        self.slots.get(key)
    }

    /// Every key of one kind in one namespace.
    pub(super) fn keys(&self, kind: Kind, namespace: &str) -> impl Iterator<Item = &ObjectKey> {
        let from = ObjectKey::new(kind, namespace, "");
        self.slots
            .range(from..)
            .map(|(key, _)| key)
            .take_while(move |key| key.kind == kind && *key.namespace == *namespace)
    }

    /// Keeps the text only of what was decoded, in one namespace or everywhere.
    pub(super) fn forget(&mut self, namespace: Option<&str>) {
        let forget = |slot: &mut Slot| {
            // What somebody else holds on to as well stays as it is until the next time.
            if let Slot::Bound(object) = slot
                && let Some(object) = Arc::get_mut(object)
            {
                object.content.forget();
            }
        };
        let Some(namespace) = namespace else {
            self.slots.values_mut().for_each(forget);
            return;
        };
        for kind in Kind::ALL {
            let from = ObjectKey::new(kind, namespace, "");
            let of_namespace =
                self.slots.range_mut(from..).take_while(|(key, _)| key.kind == kind && *key.namespace == *namespace);
            of_namespace.map(|(_, slot)| slot).for_each(forget);
        }
    }

    /// How many workloads there are.
    pub(super) fn workloads(&self) -> usize {
        self.slots.keys().filter(|key| key.kind.is_workload()).count()
    }

    /// Every key of one kind.
    pub(super) fn keys_of_kind(&self, kind: Kind) -> Vec<ObjectKey> {
        self.slots.keys().filter(|key| key.kind == kind).cloned().collect()
    }

    pub(super) fn labels(&self, key: &ObjectKey) -> BTreeMap<String, String> {
        match self.slots.get(key) {
            Some(Slot::Unbound { labels, .. }) => labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            Some(Slot::Stale(meta)) => meta.labels.clone(),
            Some(Slot::Bound(object)) => object.meta.labels.clone(),
            Some(Slot::Waiting(seen)) => seen.meta.labels.clone(),
            None => BTreeMap::new(),
        }
    }

    /// Uid and resource version that the slot holds.
    pub(super) fn version(&self, key: &ObjectKey) -> Option<(&str, &str)> {
        match self.slots.get(key)? {
            Slot::Unbound { uid, resource_version, .. } => Some((uid, resource_version)),
            Slot::Stale(meta) => Some((&meta.uid, &meta.resource_version)),
            Slot::Bound(object) => Some((&object.meta.uid, &object.meta.resource_version)),
            Slot::Waiting(seen) => Some((&seen.meta.uid, &seen.meta.resource_version)),
        }
    }

    /// Whether `meta` is older than what is known: a watch that lags behind our own write.
    pub(super) fn is_outdated(&self, key: &ObjectKey, meta: &Meta) -> bool {
        // Resource versions of one object are comparable numbers; since Kubernetes 1.35 by contract.
        let number = |version: &str| version.parse::<u64>().ok();
        self.version(key).is_some_and(|(uid, version)| {
            uid == meta.uid
                && matches!((number(version), number(&meta.resource_version)), (Some(have), Some(new)) if new <= have)
        })
    }

    /// Makes any next view count, even one of the version that is known: a failed write says that something is off.
    pub(super) fn distrust(&mut self, key: &ObjectKey) {
        if let Some(Slot::Bound(object)) = self.slots.get(key) {
            let meta = object.meta.clone();
            self.slots.insert(key.clone(), Slot::Stale(meta));
        }
    }

    /// Names of the policies that left traces on an object.
    pub(super) fn policies_on(&self, key: &ObjectKey) -> BTreeSet<Box<str>> {
        self.slots.get(key).and_then(Slot::meta).map(traces).unwrap_or_default()
    }

    pub(super) fn insert(&mut self, key: ObjectKey, slot: Slot) {
        self.forget_traces(&key);
        for policy in slot.meta().map(traces).unwrap_or_default() {
            self.traces.entry((key.namespace.clone(), policy)).or_default().insert(key.clone());
        }
        self.slots.insert(key, slot);
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) -> bool {
        self.forget_traces(key);
        self.slots.remove(key).is_some()
    }

    /// Objects that carry an entry or a record of a policy.
    pub(super) fn traces_of(&self, policy: &(Box<str>, Box<str>)) -> BTreeSet<ObjectKey> {
        self.traces.get(policy).cloned().unwrap_or_default()
    }

    /// Policies that left traces somewhere.
    pub(super) fn traced(&self) -> impl Iterator<Item = &(Box<str>, Box<str>)> {
        self.traces.keys()
    }

    /// Takes out what waited for the list of policies.
    pub(super) fn take_waiting(&mut self) -> Vec<Seen> {
        let keys: Vec<ObjectKey> = self
            .slots
            .iter()
            .filter(|(_, slot)| matches!(slot, Slot::Waiting(_)))
            .map(|(key, _)| key.clone())
            .collect();
        keys.into_iter()
            .filter_map(|key| match self.slots.remove(&key) {
                Some(Slot::Waiting(seen)) => Some(*seen),
                Some(Slot::Unbound { .. } | Slot::Stale(_) | Slot::Bound(_)) | None => None,
            })
            .collect()
    }

    fn forget_traces(&mut self, key: &ObjectKey) {
        for policy in self.policies_on(key) {
            let whose = (key.namespace.clone(), policy);
            if let Some(objects) = self.traces.get_mut(&whose) {
                objects.remove(key);
                if objects.is_empty() {
                    self.traces.remove(&whose);
                }
            }
        }
    }
}

/// Names of policies that left an entry or a record on an object.
pub(super) fn traces(meta: &Meta) -> BTreeSet<Box<str>> {
    let managers = meta.managed.iter().filter_map(|entry| entry.manager.strip_prefix(names::MANAGER_PREFIX));
    let records = meta.annotations.keys().filter_map(|key| key.strip_prefix(names::BASELINE_PREFIX));
    managers.chain(records).map(Into::into).collect()
}
