//! What an earlier release stored, this version still takes: its definitions are kept under `tests/data/releases`.
//!
//! Until v1, fields may come and bounds may widen; nothing that users wrote may become invalid.

use std::{fs, path::Path};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::{DEFINITIONS, assert_none, schema};

/// What `new` refuses although `old` took it, or forgets although `old` kept it.
fn narrowed(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let mut differs = |field: &str, holds: &dyn Fn(&Value, &Value) -> bool| {
        if !holds(&old[field], &new[field]) {
            found.push(format!("{path}: {field} was {}, is {}", old[field], new[field]));
        }
    };
    for field in
        ["type", "format", "x-kubernetes-int-or-string", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"]
    {
        differs(field, &|old, new| old == new);
    }
    for field in ["maximum", "maxLength", "maxItems", "maxProperties"] {
        differs(field, &|old, new| {
            new.is_null() || old.as_f64().zip(new.as_f64()).is_some_and(|(old, new)| old <= new)
        });
    }
    for field in ["minimum", "minLength", "minItems", "minProperties"] {
        differs(field, &|old, new| {
            new.is_null() || old.as_f64().zip(new.as_f64()).is_some_and(|(old, new)| old >= new)
        });
    }
    differs("pattern", &|old, new| new.is_null() || old == new);
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    differs("enum", &|old, new| new.is_null() || (!old.is_null() && all(old).iter().all(|one| all(new).contains(one))));
    differs("required", &|old, new| all(new).iter().all(|one| all(old).contains(one)));

    for (name, property) in old["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match &new["properties"][name] {
            Value::Null => found.push(format!("{path} is gone")),
            other => narrowed(&path, property, other, found),
        }
    }
    for part in ["items", "additionalProperties"] {
        match (&old[part], &new[part]) {
            (Value::Null, _) => {}
            (_, Value::Null) => found.push(format!("{path}: {part} is gone")),
            (old, new) => narrowed(&format!("{path}[]"), old, new, found),
        }
    }
}

#[test]
fn what_earlier_releases_took_is_still_taken() {
    let releases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/releases");
    let mut compared = 0;
    for release in fs::read_dir(&releases).expect("list the releases") {
        let release = release.expect("a release").path();
        for file in fs::read_dir(&release).expect("list the definitions") {
            let file = file.expect("a definition").path();
            let text = fs::read_to_string(&file).expect("read the definition");
            let old: CustomResourceDefinition = serde_saphyr::from_str(&text).expect("a definition in YAML");
            let name = old.metadata.name.as_deref();
            let new = DEFINITIONS.iter().find(|new| new.metadata.name.as_deref() == name);
            let new = new.unwrap_or_else(|| panic!("{} has no successor", file.display()));
            let mut found = Vec::new();
            narrowed(&old.spec.names.kind, &schema(&old), &schema(new), &mut found);
            assert_none(&format!("{} took what is refused now", file.display()), &found);
            compared += 1;
        }
    }
    assert!(compared >= 3, "there are {compared} definitions of earlier releases");
}

#[track_caller]
fn check(old: &Value, change: &str, value: Value, expected: usize) {
    let mut new = old.clone();
    let (parent, field) = change.rsplit_once('/').expect("a pointer");
    match value {
        Value::Null => {
            drop(new.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object").remove(field));
        }
        value => new.pointer_mut(parent).expect("the parent")[field] = value,
    }
    let mut found = Vec::new();
    narrowed("", old, &new, &mut found);
    assert_eq!(found.len(), expected, "{change}: {found:?}");
}

#[test]
fn a_narrower_schema_is_noticed() {
    let old = json!({
        "type": "object", "properties": {
            "mode": {"type": "string", "enum": ["Observe", "Enforce"], "maxLength": 20},
            "sizes": {"type": "array", "maxItems": 16, "items": {"type": "integer", "minimum": 0}},
        },
    });
    check(&old, "/properties/mode", Value::Null, 1);
    check(&old, "/properties/mode/enum", json!(["Observe"]), 1);
    check(&old, "/properties/mode/enum", json!(["Observe", "Recommend", "Enforce"]), 0);
    check(&old, "/properties/mode/maxLength", json!(10), 1);
    check(&old, "/properties/mode/maxLength", json!(30), 0);
    check(&old, "/properties/mode/type", json!("integer"), 1);
    check(&old, "/properties/mode/pattern", json!("^x"), 1);
    check(&old, "/properties/sizes/maxItems", json!(8), 1);
    check(&old, "/properties/sizes/items/minimum", json!(1), 1);
    check(&old, "/properties/sizes/items/maximum", json!(9), 1);
    check(&old, "/properties/sizes/items", Value::Null, 1);
    check(&old, "/required", json!(["mode"]), 1);
    check(&old, "/properties/new", json!({"type": "string"}), 0);
}
