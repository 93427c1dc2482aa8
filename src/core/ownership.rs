//! Who owns which field of an object, and how we come to own one and give it back.
//!
//! Owns the mapping between `metadata.managedFields` and our [`Claim`]s: paths, sets of fields, the bodies of server-side
//! applies, the patches that release, and the prediction of conflicts. Must not decide whether an object is written.

mod claim;
mod fieldset;
mod holder;
mod json;
mod path;
mod release;

pub use claim::Claim;
pub use fieldset::FieldSet;
pub use holder::Holder;
pub use json::{canonical, digest, same};
pub use path::{FieldPath, PathError, Segment};
pub use release::{FormerOwner, owners_of, precondition, release, release_paths, release_updates};

#[cfg(test)]
pub(in crate::core) use path::tests::path as any_path;

use crate::core::facts::{ManagedEntry, Meta, Object, Operation};

/// A claimed field that somebody else holds with another value: a server-side apply without force would answer 409.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The field.
    pub path: FieldPath,
    /// Who holds it.
    pub holders: Vec<Holder>,
}

/// Every manager with a say over `path`: of the field itself, of something below it, or of a whole list around it. Ours are
/// among them.
#[must_use]
pub fn holders(meta: &Meta, path: &FieldPath) -> Vec<Holder> {
    meta.managed.iter().filter(|entry| FieldSet::read(&entry.fields).covers(path)).map(Holder::from).collect()
}

/// What `manager` owns by server-side apply of the object itself: the claim that the API server knows.
#[must_use]
pub fn owned(meta: &Meta, manager: &str) -> FieldSet {
    meta.managed
        .iter()
        .find(|entry| entry.manager == manager && is_claim(entry))
        .map(|entry| FieldSet::read(&entry.fields))
        .unwrap_or_default()
}

/// Entries of `manager` that are not its claim: left by JSON patches and by writes to subresources. To the API server they
/// are another owner, in conflict even with our own applies, so they have to be released.
#[must_use]
pub fn foreign_entries_of<'a>(meta: &'a Meta, manager: &str) -> Vec<&'a ManagedEntry> {
    meta.managed.iter().filter(|entry| entry.manager == manager && !is_claim(entry)).collect()
}

/// The leaves of `claim` on which a server-side apply under `manager` without force would conflict: another entry names
/// exactly the field, and the live value differs as JSON (`2048Mi` over `2Gi` does).
///
/// An object without any entry counts as owned by `before-first-apply`, as the API server will make it.
#[must_use]
pub fn predict(object: &Object, manager: &str, claim: &Claim) -> Vec<Conflict> {
    let others: Vec<_> = object
        .meta
        .managed
        .iter()
        .filter(|entry| !(entry.manager == manager && is_claim(entry)))
        .map(|entry| (entry, FieldSet::read(&entry.fields)))
        .collect();
    let mut conflicts = Vec::new();
    for (path, value) in &claim.leaves {
        let live = path.lookup(&object.content);
        if live.is_some_and(|live| same(live, value)) {
            continue;
        }
        let mut holders: Vec<_> =
            others.iter().filter(|(_, fields)| fields.contains(path)).map(|(entry, _)| Holder::from(*entry)).collect();
        if object.meta.managed.is_empty() && live.is_some() {
            holders.push(Holder {
                manager: "before-first-apply".to_owned(),
                operation: Operation::Update,
                subresource: String::new(),
            });
        }
        if !holders.is_empty() {
            conflicts.push(Conflict { path: path.clone(), holders });
        }
    }
    conflicts
}

/// Whether a holder of a field has asked for its value. A client-side apply holds the API server's defaults of what its
/// manifest does not mention, too; the manifest is in the annotation that it leaves.
#[must_use]
pub fn declares(meta: &Meta, holder: &Holder, path: &FieldPath) -> bool {
    if !holder.is_client_side_apply() {
        return true;
    }
    let manifest =
        meta.annotations.get(LAST_APPLIED).and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    manifest.is_none_or(|manifest| path.lookup(&manifest).is_some())
}

impl From<&ManagedEntry> for Holder {
    fn from(entry: &ManagedEntry) -> Self {
        Self { manager: entry.manager.clone(), operation: entry.operation, subresource: entry.subresource.clone() }
    }
}

/// Where `kubectl apply` keeps the manifest that it applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Whether the entry was made by server-side apply of the object itself.
fn is_claim(entry: &ManagedEntry) -> bool {
    entry.operation == Operation::Apply && entry.subresource.is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::facts::{Kind, ObjectKey};

    fn entry(manager: &str, operation: &str, subresource: &str, fields: &Value) -> ManagedEntry {
        let wire = json!({"manager": manager, "operation": operation, "subresource": subresource, "fieldsV1": fields});
        serde_json::from_value(wire).unwrap()
    }

    fn object(managed: Vec<ManagedEntry>) -> Object {
        Object {
            key: ObjectKey::new(Kind::Deployment, "shop", "api"),
            meta: Meta { managed, ..Meta::default() },
            content: json!({"spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "api",
                "resources": {"limits": {"memory": "2Gi"}}, "args": ["a"], "env": [{"name": "X", "value": "1"}]}]}}}})
            .into(),
        }
    }

    fn container() -> FieldPath {
        FieldPath::of(&["spec", "template", "spec", "containers"]).key("name", "api")
    }

    fn pod(fields: &Value) -> Value {
        json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"api\"}": fields}}}}})
    }

    fn names(holders: &[Holder]) -> Vec<&str> {
        holders.iter().map(|h| h.manager.as_str()).collect()
    }

    #[test]
    fn a_conflict_needs_another_owner_and_another_value() {
        let theirs = pod(
            &json!({"f:args": {}, "f:resources": {"f:limits": {"f:memory": {}}}, "f:env": {"k:{\"name\":\"X\"}": {".": {}, "f:name": {}, "f:value": {}}}}),
        );
        let replicas = json!({"f:spec": {"f:replicas": {}}});
        let object = object(vec![
            entry("helm", "Apply", "", &theirs),
            entry("kube-controller-manager", "Update", "scale", &replicas),
            entry("trimtab/p", "Update", "", &replicas),
        ]);
        let env = |name: &str| container().field("env").key("name", name).field("value");
        let memory = container().field("resources").field("limits").field("memory");
        let claim = Claim::from_iter([
            (FieldPath::of(&["spec", "replicas"]), json!(3)),
            (env("X"), json!("1")),
            (env("Y"), json!("1")),
            (memory.clone(), json!("2048Mi")),
            (container().field("args"), json!(["b"])),
        ]);
        let conflicts = predict(&object, "trimtab/p", &claim);
        let seen: Vec<_> = conflicts.iter().map(|c| (c.path.to_string(), names(&c.holders))).collect();
        assert_eq!(
            seen,
            [
                (".spec.replicas".to_owned(), vec!["kube-controller-manager", "trimtab/p"]),
                (container().field("args").to_string(), vec!["helm"]),
                (memory.to_string(), vec!["helm"]),
            ]
        );
    }

    #[test]
    fn an_object_without_managers_belongs_to_what_came_before_the_first_apply() {
        let claim = Claim::from_iter([
            (FieldPath::of(&["spec", "replicas"]), json!(3)),
            (FieldPath::of(&["spec", "paused"]), json!(true)),
        ]);
        let conflicts = predict(&object(vec![]), "trimtab/p", &claim);
        assert_eq!(conflicts.len(), 1);
        assert_eq!(names(&conflicts[0].holders), ["before-first-apply"]);
    }

    #[test]
    fn our_claim_is_told_from_our_other_entries() {
        let data = json!({"f:data": {"f:a": {}}});
        let object = object(vec![
            entry("trimtab/p", "Update", "", &data),
            entry("trimtab/p", "Apply", "", &json!({"f:spec": {"f:replicas": {}}})),
        ]);
        assert_eq!(owned(&object.meta, "trimtab/p").len(), 1);
        assert!(owned(&object.meta, "trimtab/q").is_empty());
        assert_eq!(foreign_entries_of(&object.meta, "trimtab/p").len(), 1);
        assert_eq!(names(&holders(&object.meta, &FieldPath::of(&["data"]))), ["trimtab/p"]);
    }
}
