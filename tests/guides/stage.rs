//! The examples in their namespaces.

use std::{fs, fs::File, path::PathBuf};

use serde_json::Value;

use crate::{
    cluster::repository,
    example, operator,
    world::{World, with_world},
};

/// The five.
pub const EXAMPLES: [&str; 5] = ["ai-beast", "grid", "vrooli", "grace", "alchemist"];

fn folder(example: &str) -> PathBuf {
    repository().join("examples").join(example)
}

/// Whether a file of a folder is meant for a cluster: what the API server refuses is for `lint` only.
fn is_manifest(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|end| end == "yaml") && path.file_name().is_some_and(|name| name != "refused.yaml")
}

/// The manifests of a file or a folder of an example, in another namespace where one is given.
pub fn manifests(example: &str, place: &str, namespace: &str) -> String {
    let path = folder(example).join(place);
    let mut files = if path.is_dir() {
        let listed = path.read_dir().unwrap_or_else(|error| panic!("listing \"{}\": {error}", path.display()));
        listed.map(|entry| entry.unwrap().path()).filter(|path| is_manifest(path)).collect()
    } else {
        vec![path]
    };
    files.sort();
    let read = |path: &PathBuf| {
        fs::read_to_string(path).unwrap_or_else(|error| panic!("reading \"{}\": {error}", path.display()))
    };
    let text = files.iter().map(read).collect::<Vec<_>>().join("\n---\n");
    text.replace(&format!("namespace: {example}"), &format!("namespace: {namespace}"))
        .replace(&format!("metadata: {{name: {example}}}\n"), &format!("metadata: {{name: {namespace}}}\n"))
        .replace(
            &format!("metadata:\n  name: {example}\n  labels:"),
            &format!("metadata:\n  name: {namespace}\n  labels:"),
        )
}

/// What an example has as its guide spells it, and the API server refuses.
pub fn refused(example: &str, namespace: &str) -> Option<String> {
    let file = "as-written/refused.yaml";
    folder(example).join(file).exists().then(|| manifests(example, file, namespace))
}

/// Applies manifests as people do.
pub fn apply(world: &World, text: &str) {
    world.try_kubectl(&["apply", "-f", "-"], text).unwrap_or_else(|said| panic!("applying {text}: {said}"));
}

/// The workloads of an example in a namespace, before anybody governs them.
pub fn workloads(world: &World, example: &str) {
    if example == "grace" {
        operator::load_example("grace-app", example::grace_app());
    }
    apply(world, &manifests(example, "app.yaml", &world.namespace));
    if folder(example).join("stream.yaml").exists() {
        apply(world, &manifests(example, "stream.yaml", &world.namespace));
    }
    if folder(example).join("class.yaml").exists() {
        apply(world, &manifests(example, "class.yaml", &world.namespace));
    }
}

/// Names of the policies of a namespace.
pub async fn policies(world: &World) -> Vec<String> {
    let mut names = Vec::new();
    for policy in world.list("performancepolicies").await {
        names.push(policy["metadata"]["name"].as_str().unwrap().to_owned());
    }
    names
}

/// Runs `body` in the namespace of an example that is enforced as repaired.
pub fn with_example(test: &'static str, example: &'static str, body: impl AsyncFnOnce(&World)) {
    with_world(test, async |world| body(&enforced(world, example).await).await);
}

/// The example, enforced and at rest. Tests share it, whichever comes first.
pub async fn enforced(world: &World, example: &str) -> World {
    let world = world.within(example);
    let dir = PathBuf::from(std::env::var_os("CLUSTER_DIR").expect("CLUSTER_DIR, which a cluster of cluster.sh sets"));
    let turn = File::create(dir.join(format!("example-{example}.lock"))).expect("create the lock of the example");
    turn.lock().expect("wait for the example");
    let stamp = dir.join(format!("example-{example}.enforced"));
    if !stamp.exists() {
        workloads(&world, example);
        apply(&world, &manifests(example, "repaired", example));
        File::create(&stamp).expect("remember that the example is applied");
    }
    let names = policies(&world).await;
    assert!(!names.is_empty(), "{example} has no policy");
    for name in names {
        world.settled(&name).await;
    }
    world
}

/// A policy of the example as the API server has it.
pub async fn policy(world: &World, name: &str) -> Value {
    world.get("performancepolicies", name).await
}
