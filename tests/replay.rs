//! `trimtab replay`: recorded series in which people have labelled what is strange, a real Prometheus with history, and servers
//! that are none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};

#[path = "replay/labelled.rs"]
mod labelled;
#[path = "replay/real.rs"]
mod real;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the command where nothing of the machine shows.
fn trimtab(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trimtab"));
    command.args(arguments).current_dir(root()).env_clear().env("HOME", "/nonexistent");
    command.output().expect("run the program")
}

/// The report of a replay that must succeed.
#[track_caller]
fn report(arguments: &[&str]) -> Value {
    let output = trimtab(&[&["replay"], arguments, &["-o", "json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Documents in one file.
fn write(file: &Path, documents: &[Value]) {
    let text: Vec<String> = documents.iter().map(Value::to_string).collect();
    fs::write(file, text.join("\n---\n")).expect("write the manifests");
}

fn deployment(namespace: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": namespace}, "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "example.com/web:1"}]}}}})
}

fn class() -> Value {
    json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformanceClass", "metadata": {"name": "default"},
        "spec": {"freeQueries": true, "sink": "Alertmanager"}})
}

fn source(interval: &str) -> Value {
    json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "MetricsSource", "metadata": {"name": "default"},
        "spec": {"prometheus": {"url": "http://prometheus.invalid"}, "interval": interval}})
}

/// The README shows what the command prints.
#[test]
fn the_readme_shows_what_is_printed() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let command = "replay -f tests/data/replay/shop.yaml --recorded tests/data/replay/recorded";
    let (_, shown) = readme.split_once(&format!("$ trimtab {command}\n")).expect("the README replays that file");
    let (shown, _) = shown.split_once("```\n").expect("it shows all of it");
    let output = trimtab(&command.split(' ').collect::<Vec<_>>());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), shown);
}
