//! JSON patches by which we give fields back: the values stay, and nobody owns them.

use serde_json::{Value, json};

use super::{FieldPath, FieldSet};
use crate::core::facts::{ManagedEntry, Object, Operation, RawJson};

/// The patch after which `manager` owns nothing of `object` and `annotations` of the object are gone. It takes out every
/// entry of the manager, those of subresources and of other operations than apply included. `None` when there is nothing to
/// release.
#[must_use]
pub fn release(object: &Object, manager: &str, annotations: &[&str]) -> Option<Value> {
    release_many(object, &[manager], annotations)
}

/// [`release`] of several managers in one patch: what several deleted policies left behind.
#[must_use]
pub fn release_many(object: &Object, managers: &[&str], annotations: &[&str]) -> Option<Value> {
    let managed = &object.meta.managed;
    let kept: Vec<_> = managed.iter().filter(|entry| !managers.contains(&entry.manager.as_str())).collect();
    let mut changes = Vec::new();
    if kept.len() < managed.len() {
        changes.push(replace(&kept));
    }
    let mut present: Vec<_> = annotations.iter().filter(|name| object.meta.annotations.contains_key(**name)).collect();
    present.sort_unstable();
    present.dedup();
    changes.extend(present.into_iter().map(|name| {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        json!({"op": "remove", "path": format!("/metadata/annotations/{escaped}")})
    }));
    guarded(object, changes)
}

/// The patch after which nothing is left of what `manager` wrote by other means than apply: edits of documents and scalings,
/// which must not stand in the way of the owner's next apply. `None` when there is nothing of it.
#[must_use]
pub fn release_updates(object: &Object, manager: &str) -> Option<Value> {
    let entries = &object.meta.managed;
    let kept: Vec<_> =
        entries.iter().filter(|entry| entry.manager != manager || entry.operation == Operation::Apply).collect();
    guarded(object, if kept.len() < entries.len() { vec![replace(&kept)] } else { Vec::new() })
}

/// The patch after which `manager` owns neither `paths` nor anything below them, and keeps what else it owns. List items of
/// which only the identity would be left go too, and so does an entry without fields. `None` when nothing of it is owned.
#[must_use]
pub fn release_paths(object: &Object, manager: &str, paths: &[FieldPath]) -> Option<Value> {
    let mut changed = false;
    let mut kept = Vec::with_capacity(object.meta.managed.len());
    for entry in &object.meta.managed {
        let mut fields = FieldSet::default();
        let mut touched = false;
        if entry.manager == manager {
            fields = FieldSet::read(&entry.fields);
            for path in paths {
                touched |= fields.remove(path);
            }
        }
        changed |= touched;
        match (touched, fields.is_empty()) {
            (false, _) => kept.push(entry.clone()),
            (true, false) => kept.push(ManagedEntry { fields: RawJson::of(&fields.write()), ..entry.clone() }),
            (true, true) => {}
        }
    }
    guarded(object, if changed { vec![replace(&kept)] } else { Vec::new() })
}

/// Replaces the list of managers. An empty list would mean "not given", so the API server wants one empty entry instead.
fn replace<E: serde::Serialize>(entries: &[E]) -> Value {
    let list = if entries.is_empty() { json!([{}]) } else { json!(entries) };
    json!({"op": "replace", "path": "/metadata/managedFields", "value": list})
}

/// The changes behind a precondition: the list of managers must still be the one that was read.
fn guarded(object: &Object, changes: Vec<Value>) -> Option<Value> {
    (!changes.is_empty()).then(|| Value::Array(std::iter::once(precondition(object)).chain(changes).collect()))
}

/// The operation with which every JSON patch begins: the object must still be the one that was read.
///
/// Writing the resource version back makes the API server answer 409 when there is another one. A `test` of it would fail
/// with a 422 that tells nothing. No object that took the place of this one can have the same resource version, so the uid
/// needs no operation of its own.
#[must_use]
pub fn precondition(object: &Object) -> Value {
    json!({"op": "replace", "path": "/metadata/resourceVersion", "value": object.meta.resource_version})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::core::facts::{Kind, Meta, ObjectKey};

    fn entry(manager: &str, operation: &str, subresource: &str, fields: &Value) -> ManagedEntry {
        let mut wire = json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "time": "2026-11-21T10:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields});
        if !subresource.is_empty() {
            wire["subresource"] = json!(subresource);
        }
        serde_json::from_value(wire).unwrap()
    }

    fn object(managed: Vec<ManagedEntry>) -> Object {
        let annotations = ["trimtab.dev/baseline.a", "x~y/z", "other"].map(|k| (k.to_owned(), "v".to_owned()));
        let meta =
            Meta { resource_version: "7".into(), annotations: BTreeMap::from(annotations), managed, ..Meta::default() };
        Object { key: ObjectKey::new(Kind::Deployment, "shop", "api"), meta, content: json!({}) }
    }

    #[test]
    fn a_release_keeps_the_others_as_they_were_and_escapes_annotations() {
        let helm = entry("helm", "Apply", "", &json!({"f:spec": {"f:replicas": {}}}));
        let ours = entry("trimtab/a", "Apply", "", &json!({"f:spec": {"f:paused": {}}}));
        let scale = entry("trimtab/a", "Update", "scale", &json!({"f:spec": {"f:replicas": {}}}));
        let object = object(vec![helm.clone(), ours, scale]);
        let patch = release(&object, "trimtab/a", &["x~y/z", "trimtab.dev/baseline.a", "absent"]).unwrap();
        assert_eq!(
            patch,
            json!([
                {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "replace", "path": "/metadata/managedFields", "value": [serde_json::to_value(&helm).unwrap()]},
                {"op": "remove", "path": "/metadata/annotations/trimtab.dev~1baseline.a"},
                {"op": "remove", "path": "/metadata/annotations/x~0y~1z"},
            ])
        );
    }

    #[test]
    fn the_last_entry_leaves_an_empty_one_and_nothing_to_release_is_no_patch() {
        let ours = entry("trimtab/a", "Apply", "", &json!({}));
        let patch = release_many(
            &object(vec![ours.clone(), entry("trimtab/b", "Apply", "", &json!({}))]),
            &["trimtab/a", "trimtab/b"],
            &[],
        );
        assert_eq!(patch.unwrap()[1]["value"], json!([{}]));
        assert_eq!(release(&object(vec![ours]), "trimtab/b", &["absent"]), None);
        let only_annotation = release(&object(vec![]), "trimtab/b", &["other", "other"]).unwrap();
        assert_eq!(only_annotation.as_array().unwrap().len(), 2);
    }

    #[test]
    fn single_paths_leave_every_entry_of_ours_and_an_emptied_entry_goes() {
        let data = |keys: &[&str]| json!({"f:data": keys.iter().map(|k| (format!("f:{k}"), json!({}))).collect::<serde_json::Map<_, _>>()});
        let kept = entry("helm", "Apply", "", &data(&["a.yaml"]));
        let object = object(vec![
            kept.clone(),
            entry("trimtab/a", "Apply", "", &data(&["a.yaml", "b"])),
            entry("trimtab/a", "Update", "", &data(&["a.yaml"])),
        ]);
        let patch = release_paths(&object, "trimtab/a", &[FieldPath::of(&["data", "a.yaml"])]).unwrap();
        let entries: Vec<ManagedEntry> = serde_json::from_value(patch[1]["value"].clone()).unwrap();
        assert_eq!(entries, [kept, entry("trimtab/a", "Apply", "", &data(&["b"]))]);
        assert_eq!(release_paths(&object, "trimtab/a", &[FieldPath::of(&["data", "c"])]), None);
    }
}
