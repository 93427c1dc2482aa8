//! The generated definitions: the files in `crds/` and in the chart are current, and the schemas keep the API's own rules.
//!
//! `make crds` (`UPDATE_GOLDEN=1 cargo test --test crds`) writes the files again.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/golden.rs"]
mod golden;
#[path = "crds/upgrade.rs"]
mod upgrade;

use std::{path::Path, sync::LazyLock};

use golden::assert_golden;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use trimtab::api::crds;

/// Directories that hold every definition.
const DIRECTORIES: [&str; 2] = ["crds", "charts/trimtab/crds"];

static DEFINITIONS: LazyLock<Vec<CustomResourceDefinition>> = LazyLock::new(crds::all);

fn schema(definition: &CustomResourceDefinition) -> Value {
    let schema = definition.spec.versions[0].schema.as_ref();
    let schema = schema.and_then(|schema| schema.open_api_v3_schema.as_ref()).expect("a schema");
    serde_json::to_value(schema).expect("JSON")
}

/// Calls `visit` with the path and the schema of every property, item and map value.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    if schema["items"].is_object() {
        walk(&format!("{path}[]"), &schema["items"], visit);
    }
    if schema["additionalProperties"].is_object() {
        walk(&format!("{path}{{}}"), &schema["additionalProperties"], visit);
    }
}

fn walk_all(mut visit: impl FnMut(&str, &Value)) {
    for definition in DEFINITIONS.iter() {
        walk(&definition.spec.names.kind, &schema(definition), &mut visit);
    }
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn golden_files_are_what_the_types_generate() {
    for directory in DIRECTORIES {
        let mut expected = Vec::new();
        for definition in DEFINITIONS.iter() {
            let name = crds::file_name(definition);
            assert_golden(&format!("{directory}/{name}"), &crds::yaml(definition).expect("YAML"));
            expected.push(name);
        }
        let entries = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory).read_dir().expect("list the directory");
        let others: Vec<_> = entries
            .map(|entry| entry.expect("a directory entry").file_name().to_string_lossy().into_owned())
            .filter(|name| !expected.contains(name))
            .collect();
        assert_none(&format!("{directory} holds files that nothing generates"), &others);
    }
}

#[test]
fn yaml_reads_back_as_the_definition() {
    for definition in DEFINITIONS.iter() {
        let text = crds::yaml(definition).expect("YAML");
        let read: CustomResourceDefinition = serde_saphyr::from_str(&text).expect("a CustomResourceDefinition");
        assert_eq!(read, *definition);
    }
}

#[test]
fn definitions_fit_into_the_annotation_of_kubectl_apply() {
    for definition in DEFINITIONS.iter() {
        let bytes = serde_json::to_string(definition).expect("JSON").len();
        let kind = &definition.spec.names.kind;
        assert!(bytes < 235 * 1024, "the definition of {kind} has {bytes} bytes of JSON; the limit is 235 KiB");
    }
}

#[test]
fn every_text_list_and_map_is_bounded() {
    let mut unbounded = Vec::new();
    walk_all(|path, schema| {
        let bounded = |keyword: &str| schema[keyword].is_u64();
        let missing = match schema["type"].as_str() {
            Some("string") if schema["enum"].is_array() || schema["format"] == "date-time" => None,
            Some("string") => (!bounded("maxLength")).then_some("maxLength"),
            Some("array") => (!bounded("maxItems")).then_some("maxItems"),
            Some("object") if schema["additionalProperties"].is_object() => {
                (!bounded("maxProperties")).then_some("maxProperties")
            }
            _ if schema["x-kubernetes-int-or-string"] == true => (!bounded("maxLength")).then_some("maxLength"),
            _ => None,
        };
        unbounded.extend(missing.map(|keyword| format!("{path} has no {keyword}")));
    });
    assert_none("the cost of a rule and the size of an object have no bound", &unbounded);
}

#[test]
fn every_number_of_a_spec_is_bounded() {
    let mut unbounded = Vec::new();
    walk_all(|path, schema| {
        let number = schema["type"] == "integer" && path.contains(".spec");
        if number && !(schema["minimum"].is_number() && schema["maximum"].is_number()) {
            unbounded.push(path.to_owned());
        }
    });
    assert_none("numbers without minimum and maximum", &unbounded);
}

#[test]
fn no_field_has_a_default() {
    let mut defaults = Vec::new();
    walk_all(|path, schema| {
        if schema.get("default").is_some() {
            defaults.push(path.to_owned());
        }
    });
    assert_none("a schema default is written into stored objects, and GitOps tools show it as drift", &defaults);
}

#[test]
fn no_field_is_nullable_or_of_a_format_that_the_api_server_does_not_know() {
    let mut found = Vec::new();
    walk_all(|path, schema| {
        let format = schema["format"].as_str();
        if schema["nullable"] == true || format.is_some_and(|format| !["int32", "int64", "date-time"].contains(&format))
        {
            found.push(path.to_owned());
        }
    });
    assert_none("nullable, or of an unknown format", &found);
}

#[test]
fn no_field_is_named_like_a_boolean_of_yaml_1_1() {
    let mut found = Vec::new();
    walk_all(|path, schema| {
        for name in schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
            if ["on", "off", "yes", "no", "y", "n", "true", "false"].contains(&name.to_lowercase().as_str()) {
                found.push(format!("{path}.{name}"));
            }
        }
    });
    assert_none("YAML 1.1 reads these names as booleans", &found);
}

#[test]
fn every_list_of_objects_is_keyed_or_is_status() {
    let mut found = Vec::new();
    walk_all(|path, schema| {
        let objects = schema["items"]["type"] == "object";
        if objects && path.contains(".spec") && schema["x-kubernetes-list-type"] != "map" {
            found.push(path.to_owned());
        }
    });
    assert_none("duplicates are accepted, and server-side apply replaces the whole list", &found);
}

#[test]
fn every_field_is_described_in_whole_sentences() {
    let mut found = Vec::new();
    walk_all(|path, schema| {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let whole = |text: &str| text.starts_with(|first: char| first.is_uppercase()) && text.ends_with('.');
            let standard = ["apiVersion", "kind", "metadata"].contains(&name.as_str());
            if !standard && !property["description"].as_str().is_some_and(whole) {
                found.push(format!("{path}.{name}: {}", property["description"]));
            }
        }
    });
    assert_none("kubectl explain shows no sentence", &found);
}

#[test]
fn every_rule_has_a_message_of_its_own() {
    let mut found = Vec::new();
    walk_all(|path, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let short =
                |message: &str| !message.is_empty() && message.chars().count() <= 120 && !message.contains('\n');
            if !rule["message"].as_str().is_some_and(short) {
                found.push(format!("{path}: {}", rule["rule"]));
            }
        }
    });
    assert_none("rules without a message of at most 120 characters", &found);
}
