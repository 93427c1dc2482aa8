//! The chart, rendered by real Helm.

use std::{path::Path, process::Output};

use serde_json::Value;

pub use crate::helm::chart;
use crate::helm::helm;
pub use crate::rights::{of_kind, strings};

/// What every rendering needs: the chart has no default registry.
pub const IMAGE: &str = "image.repository=registry.example.com/trimtab";

/// The sets of values whose renderings are kept under `tests/golden/chart`.
pub const CASES: [&str; 3] = ["default", "watch-namespaces", "everything"];

/// The flag that gives the values of a case.
pub fn values(case: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chart").join(format!("{case}.values.yaml"));
    format!("--values={}", file.display())
}

/// Runs Helm without a cluster.
pub fn run(arguments: &[&str]) -> Output {
    helm().args(arguments).env("KUBECONFIG", "/dev/null").output().expect("run helm")
}

/// Renders the chart as release `trimtab` in namespace `trimtab-system`, hooks included.
pub fn template(arguments: &[&str]) -> Result<String, String> {
    let chart = chart();
    let mut all = vec!["template", "trimtab", chart.to_str().expect("a path in UTF-8"), "--namespace=trimtab-system"];
    all.extend(arguments);
    let output = run(&all);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Renders a case.
pub fn case(name: &str) -> String {
    // Everything is there only where the cluster serves the kinds of the Prometheus operator.
    let kinds = (name == "everything").then_some("--api-versions=monitoring.coreos.com/v1");
    let arguments: Vec<String> = [values(name)].into_iter().chain(kinds.map(ToOwned::to_owned)).collect();
    template(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        .unwrap_or_else(|error| panic!("rendering \"{name}\" failed: {error}"))
}

/// The objects of a rendering.
pub fn objects(rendering: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(rendering).expect("YAML");
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// The pods that a rendering makes: of the Deployment and of the Jobs, with the name of their owner.
pub fn pods(objects: &[Value]) -> Vec<(&str, &Value)> {
    let pods: Vec<_> = objects
        .iter()
        .filter(|object| object["spec"]["template"]["spec"].is_object())
        .map(|owner| (owner["metadata"]["name"].as_str().expect("a name"), &owner["spec"]["template"]))
        .collect();
    assert!(!pods.is_empty(), "the chart renders no pods");
    pods
}
