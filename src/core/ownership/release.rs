//! JSON patches by which we give fields back: the values stay, and nobody owns them.

use serde_json::{Value, json};

use super::{FieldPath, FieldSet};
use crate::core::facts::{ManagedEntry, Object, Operation, RawJson};

/// What a manager held before an edit of ours: the API server moves every field that a patch changes from its owners to the
/// one who patches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerOwner {
    /// Field manager.
    pub manager: String,
    /// How it came to own them.
    pub operation: Operation,
    /// The fields.
    pub fields: FieldSet,
}

/// Everybody but `manager` who holds some of `fields`, with those that each holds.
#[must_use]
pub fn owners_of(object: &Object, manager: &str, fields: &FieldSet) -> Vec<FormerOwner> {
    let others = object.meta.managed.iter().filter(|entry| entry.manager != manager && entry.subresource.is_empty());
    others
        .map(|entry| {
            let held = FieldSet::read(&entry.fields);
            let fields = held.iter().filter(|field| fields.contains(field)).cloned().collect();
            FormerOwner { manager: entry.manager.clone(), operation: entry.operation, fields }
        })
        .filter(|owner| !owner.fields.is_empty())
        .collect()
}

/// The patch after which `manager` owns nothing of `object` and `annotations` of the object are gone. It takes out every
/// entry of the manager, those of subresources and of other operations than apply included. `None` when there is nothing to
/// release. What was edited goes back to its `owners`; what was applied belongs to nobody then.
#[must_use]
pub fn release(object: &Object, manager: &str, annotations: &[&str], owners: &[FormerOwner]) -> Option<Value> {
    let (ours, kept): (Vec<_>, Vec<_>) =
        object.meta.managed.iter().cloned().partition(|entry| entry.manager == manager);
    let mut changes = Vec::new();
    if !ours.is_empty() {
        changes.push(replace(object, &give_back(object, &ours, kept, owners)));
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
/// which must not stand in the way of the owner's next apply. It goes back to its `owners`: one who lost a field for good
/// could no longer remove it, and one who lost all of them would have to force. `None` when there is nothing of it.
#[must_use]
pub fn release_updates(object: &Object, manager: &str, owners: &[FormerOwner]) -> Option<Value> {
    let is_ours = |entry: &ManagedEntry| entry.manager == manager && entry.operation == Operation::Update;
    let (ours, kept): (Vec<_>, Vec<_>) = object.meta.managed.iter().cloned().partition(is_ours);
    let changes =
        if ours.is_empty() { Vec::new() } else { vec![replace(object, &give_back(object, &ours, kept, owners))] };
    guarded(object, changes)
}

/// The entries of others, with the fields again that our edits in `ours` had taken from them. A field that somebody changed
/// after us is in none of our entries any more, and stays theirs.
fn give_back(
    object: &Object,
    ours: &[ManagedEntry],
    mut kept: Vec<ManagedEntry>,
    owners: &[FormerOwner],
) -> Vec<ManagedEntry> {
    for edit in ours.iter().filter(|entry| entry.operation == Operation::Update && entry.subresource.is_empty()) {
        let edited = FieldSet::read(&edit.fields);
        for owner in owners {
            let returned: FieldSet = owner.fields.iter().filter(|field| edited.contains(field)).cloned().collect();
            if returned.is_empty() {
                continue;
            }
            let same = kept.iter_mut().find(|entry| {
                entry.manager == owner.manager && entry.operation == owner.operation && entry.subresource.is_empty()
            });
            if let Some(entry) = same {
                let all: FieldSet = FieldSet::read(&entry.fields).iter().chain(returned.iter()).cloned().collect();
                entry.fields = RawJson::of(&all.write());
            } else {
                kept.push(ManagedEntry {
                    manager: owner.manager.clone(),
                    operation: owner.operation,
                    api_version: object.key.kind.api_version().to_owned(),
                    fields: RawJson::of(&returned.write()),
                    ..edit.clone()
                });
            }
        }
    }
    kept
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
    guarded(object, if changed { vec![replace(object, &kept)] } else { Vec::new() })
}

/// Replaces the list of managers.
///
/// It must not be empty: to the API server that is an object from before server-side apply, all of whose fields belong to
/// `before-first-apply`, against whom everybody else would have to force. An entry without fields is dropped. So the list
/// that would be empty says of that same nobody that it owns the map of annotations as such, which nobody sets.
fn replace(object: &Object, entries: &[ManagedEntry]) -> Value {
    let list = if entries.is_empty() {
        json!([{"manager": "before-first-apply", "operation": "Update",
            "apiVersion": object.key.kind.api_version(), "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:annotations": {}}}}])
    } else {
        json!(entries)
    };
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
        Object { key: ObjectKey::new(Kind::Deployment, "shop", "api"), meta, content: json!({}).into() }
    }

    #[test]
    fn a_release_keeps_the_others_as_they_were_and_escapes_annotations() {
        let helm = entry("helm", "Apply", "", &json!({"f:spec": {"f:replicas": {}}}));
        let ours = entry("trimtab/a", "Apply", "", &json!({"f:spec": {"f:paused": {}}}));
        let scale = entry("trimtab/a", "Update", "scale", &json!({"f:spec": {"f:replicas": {}}}));
        let object = object(vec![helm.clone(), ours, scale]);
        let patch = release(&object, "trimtab/a", &["x~y/z", "trimtab.dev/baseline.a", "absent"], &[]).unwrap();
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
    fn the_last_entry_leaves_one_of_nobody_and_nothing_to_release_is_no_patch() {
        let ours = entry("trimtab/a", "Apply", "", &json!({"f:data": {"f:x": {}}}));
        let patch = release(&object(vec![ours.clone()]), "trimtab/a", &[], &[]).unwrap();
        assert_eq!(patch[1]["value"].as_array().unwrap().len(), 1);
        assert_eq!(patch[1]["value"][0]["manager"], "before-first-apply");
        assert_eq!(release(&object(vec![ours]), "trimtab/b", &["absent"], &[]), None);
        let only_annotation = release(&object(vec![]), "trimtab/b", &["other", "other"], &[]).unwrap();
        assert_eq!(only_annotation.as_array().unwrap().len(), 2);
    }

    #[test]
    fn an_edit_gives_back_what_it_took_and_no_more() {
        let data = |keys: &[&str]| json!({"f:data": keys.iter().map(|k| (format!("f:{k}"), json!({}))).collect::<serde_json::Map<_, _>>()});
        let edited: FieldSet = ["a", "b", "c"].map(|key| FieldPath::of(&["data", key])).into_iter().collect();
        let before = object(vec![
            entry("kubectl", "Apply", "", &data(&["a"])),
            entry("helm", "Update", "", &data(&["b", "x"])),
            entry("argo", "Update", "", &data(&["y"])),
        ]);
        let owners = owners_of(&before, "trimtab/a", &edited);
        assert_eq!(owners.iter().map(|owner| &*owner.manager).collect::<Vec<_>>(), ["kubectl", "helm"]);
        // Since the edit, somebody else has changed "b".
        let after = object(vec![
            entry("helm", "Update", "", &data(&["x"])),
            entry("kubectl-edit", "Update", "", &data(&["b"])),
            entry("trimtab/a", "Update", "", &data(&["a", "c"])),
        ]);
        let patch = release_updates(&after, "trimtab/a", &owners).unwrap();
        let entries: Vec<ManagedEntry> = serde_json::from_value(patch[1]["value"].clone()).unwrap();
        let seen: Vec<_> = entries.iter().map(|e| (&*e.manager, e.operation, e.fields.value())).collect();
        assert_eq!(
            seen,
            [
                ("helm", Operation::Update, data(&["x"])),
                ("kubectl-edit", Operation::Update, data(&["b"])),
                ("kubectl", Operation::Apply, data(&["a"])),
            ]
        );
        // Next to what the owner kept.
        let all = [FormerOwner { fields: edited, ..owners[1].clone() }];
        let patch = release(&after, "trimtab/a", &[], &all).unwrap();
        assert_eq!(patch[1]["value"][0]["fieldsV1"], data(&["a", "c", "x"]));
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
