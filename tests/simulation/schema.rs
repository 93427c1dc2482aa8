//! How the API server sees the parts of an object: leaves, items of associative lists, and whole lists; what a merge makes
//! of two of them. As probed by `tests/ownership.rs` on a real one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use trimtab::core::ownership::{FieldPath, Segment};

pub type Fields = BTreeSet<FieldPath>;

/// Members that identify an item of the associative list `name`; `None` for a list that is known as a whole only.
fn keys(name: &str) -> Option<&'static [&'static str]> {
    match name {
        "containers" | "initContainers" | "env" | "volumes" => Some(&["name"]),
        "ports" => Some(&["containerPort", "protocol"]),
        _ => None,
    }
}

fn is_atomic(name: &str) -> bool {
    matches!(name, "selector" | "scaleTargetRef" | "fieldRef" | "secretKeyRef" | "configMapKeyRef")
}

fn identity(keys: &[&str], item: &Value) -> BTreeMap<String, Value> {
    keys.iter()
        .map(|key| {
            let default = if *key == "protocol" { json!("TCP") } else { Value::Null };
            ((*key).to_owned(), item.get(key).cloned().unwrap_or(default))
        })
        .collect()
}

/// Every leaf with its value, and every item of an associative list with `Null`.
pub fn leaves(tree: &Value) -> BTreeMap<FieldPath, Value> {
    let mut out = BTreeMap::new();
    collect(tree, &FieldPath::default(), "", &mut out);
    out
}

fn collect(value: &Value, path: &FieldPath, name: &str, out: &mut BTreeMap<FieldPath, Value>) {
    match value {
        Value::Object(members) if !is_atomic(name) && !members.is_empty() => {
            for (member, value) in members {
                collect(value, &path.clone().field(member), member, out);
            }
        }
        Value::Object(_) if path.segments().is_empty() => {}
        Value::Array(items) if keys(name).is_some() => {
            for item in items {
                let path = path.clone().then(Segment::Key(identity(keys(name).unwrap(), item).into()));
                out.insert(path.clone(), Value::Null);
                collect(item, &path, "", out);
            }
        }
        leaf => drop(out.insert(path.clone(), leaf.clone())),
    }
}

/// What differs between two trees.
#[derive(Debug, Default)]
pub struct Difference {
    /// Added or with another value.
    pub changed: Fields,
    pub removed: Fields,
}

pub fn compare(old: &Value, new: &Value) -> Difference {
    let (old, new) = (leaves(old), leaves(new));
    Difference {
        changed: new.iter().filter(|(path, value)| old.get(path) != Some(value)).map(|(p, _)| p.clone()).collect(),
        removed: old.keys().filter(|path| !new.contains_key(path)).cloned().collect(),
    }
}

/// Server-side apply's merge: what `patch` says, on top of `live`. Items of lists come in the order of the patch.
pub fn merge(live: &Value, patch: &Value, name: &str) -> Value {
    match (live, patch) {
        (Value::Object(live), Value::Object(patch)) if !is_atomic(name) => {
            let mut merged = live.clone();
            for (member, value) in patch {
                let old = live.get(member).unwrap_or(&Value::Null);
                merged.insert(member.clone(), merge(old, value, member));
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(patch)) if keys(name).is_some() => {
            Value::Array(merge_items(live, patch, keys(name).unwrap()))
        }
        (_, patch) => patch.clone(),
    }
}

fn merge_items(live: &[Value], patch: &[Value], keys: &[&str]) -> Vec<Value> {
    let same = |a: &Value, b: &Value| identity(keys, a) == identity(keys, b);
    let mut merged = Vec::new();
    let mut rest: Vec<&Value> = live.iter().collect();
    for item in patch {
        if let Some(at) = rest.iter().position(|old| same(old, item)) {
            // What stands before it and is not in the patch keeps its place.
            let before: Vec<&Value> = rest.drain(..at).collect();
            let (shared, own): (Vec<&Value>, Vec<&Value>) =
                before.into_iter().partition(|old| patch.iter().any(|item| same(old, item)));
            merged.extend(own.into_iter().cloned());
            let old = rest.remove(0);
            rest.splice(0..0, shared);
            merged.push(merge(old, item, ""));
        } else {
            // New items come behind everything that is not in the patch.
            let own = rest.iter().take_while(|old| !patch.iter().any(|item| same(old, item))).count();
            merged.extend(rest.drain(..own).cloned());
            merged.push(item.clone());
        }
    }
    merged.extend(rest.into_iter().cloned());
    merged
}

/// `kubectl apply`: what the manifest says, without what the last one said and this one does not.
pub fn three_way(live: &Value, last: &Value, new: &Value, name: &str) -> Value {
    match (live, new) {
        (Value::Object(live), Value::Object(new)) => {
            let mut merged = live.clone();
            for member in last.as_object().into_iter().flat_map(Map::keys).filter(|m| !new.contains_key(*m)) {
                merged.remove(member);
            }
            for (member, value) in new {
                let (old, before) =
                    (live.get(member).unwrap_or(&Value::Null), last.get(member).unwrap_or(&Value::Null));
                merged.insert(member.clone(), three_way(old, before, value, member));
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(new)) if keys(name).is_some() => {
            let keys = keys(name).unwrap();
            let find = |list: &[Value], item: &Value| {
                list.iter().find(|other| identity(keys, other) == identity(keys, item)).cloned()
            };
            let last: &[Value] = last.as_array().map_or(&[], Vec::as_slice);
            let mut merged: Vec<Value> =
                live.iter().filter(|item| find(new, item).is_some() || find(last, item).is_none()).cloned().collect();
            for item in new {
                let before = find(last, item).unwrap_or(Value::Null);
                match merged.iter_mut().find(|old| identity(keys, old) == identity(keys, item)) {
                    Some(old) => *old = three_way(old, &before, item, ""),
                    None => merged.push(item.clone()),
                }
            }
            Value::Array(merged)
        }
        (_, new) => new.clone(),
    }
}

/// Takes a leaf or an item out of a tree, and with it what cannot be empty.
pub fn remove(tree: &mut Value, path: &[Segment]) {
    let Some((first, rest)) = path.split_first() else { return };
    let child = match first {
        Segment::Field(name) => {
            let Some(members) = tree.as_object_mut() else { return };
            if rest.is_empty() {
                members.remove(&**name);
                return;
            }
            let Some(child) = members.get_mut(&**name) else { return };
            remove(child, rest);
            let empty = child.as_array().is_some_and(Vec::is_empty)
                || child.as_object().is_some_and(Map::is_empty)
                    && matches!(&**name, "limits" | "requests" | "annotations" | "labels" | "data");
            if empty {
                members.remove(&**name);
            }
            return;
        }
        Segment::Key(wanted) => {
            let Some(items) = tree.as_array_mut() else { return };
            let names: Vec<&str> = wanted.keys().map(String::as_str).collect();
            let Some(at) = items.iter().position(|item| identity(&names, item) == **wanted) else { return };
            if rest.is_empty() {
                items.remove(at);
                return;
            }
            &mut items[at]
        }
        Segment::Item(_) | Segment::Index(_) => return,
    };
    remove(child, rest);
}
