//! Values: what the schema refuses, and that every value is described.

use std::fs;

use serde_json::Value;
use trimtab::api::crds;

use crate::render::{IMAGE, chart, template};

fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(chart().join("values.schema.json")).expect("read the schema"))
        .expect("JSON")
}

fn values() -> (String, Value) {
    let text = fs::read_to_string(chart().join("values.yaml")).expect("read the values");
    let values = serde_saphyr::from_str(&text).expect("YAML");
    (text, values)
}

#[test]
fn bad_values_are_refused_with_their_path() {
    #[track_caller]
    fn check(set: &str, path: &str, why: &str) {
        let error = template(&["--set-json", set]).map(|_| "rendered").expect_err("a refusal");
        assert!(error.contains(&format!("at '{path}'")), "{set}: {error}");
        assert!(error.contains(why), "{set}: {error}");
    }
    // Names that are not there.
    check("imgae={}", "", "additional properties 'imgae' not allowed");
    check(r#"image={"tagg":"1"}"#, "/image", "'tagg' not allowed");
    check(r#"prometheus={"uri":"http://p"}"#, "/prometheus", "'uri' not allowed");
    check(r#"performanceClass.spec={"mode":"Enforce"}"#, "/performanceClass/spec", "'mode' not allowed");
    check(r#"performanceClass.spec.limits={"cpus":"4"}"#, "/performanceClass/spec/limits", "'cpus' not allowed");
    check(r#"resources={"limit":{}}"#, "/resources", "'limit' not allowed");
    check(r#"tolerations=[{"keys":"a"}]"#, "/tolerations/0", "'keys' not allowed");
    // Types.
    check(r#"replicas="two""#, "/replicas", "want integer");
    check("replicas=1.5", "/replicas", "want integer");
    check(r#"serviceMonitor.create="yes""#, "/serviceMonitor/create", "want boolean");
    check(r#"watchNamespaces="shop""#, "/watchNamespaces", "want array");
    check(r#"podAnnotations={"a":1}"#, "/podAnnotations/a", "want string");
    check(r#"performanceClass.spec.freeze="true""#, "/performanceClass/spec/freeze", "want boolean");
    check(r#"networkPolicy.backendPorts=["9090"]"#, "/networkPolicy/backendPorts/0", "want integer");
    // Ranges and forms.
    check("replicas=-1", "/replicas", "minimum");
    check(r#"image.pullPolicy="Sometimes""#, "/image/pullPolicy", "must be one of");
    check(r#"image.digest="sha256:12""#, "/image/digest", "does not match pattern");
    check(
        r#"image.repository="https://registry.example.com/trimtab:1 ""#,
        "/image/repository",
        "does not match pattern",
    );
    for repository in
        ["registry.example.com/trimtab:0.1.0", "trimtab:0.1.0", "trimtab@sha256:12", "localhost:5000/", "a//b"]
    {
        check(&format!(r#"image.repository="{repository}""#), "/image/repository", "does not match pattern");
    }
    check(r#"classReaders="system:authenticated""#, "/classReaders", "want array");
    check(r#"watchNamespaces=["Shop"]"#, "/watchNamespaces/0", "does not match pattern");
    check(r#"watchNamespaces=["shop","shop"]"#, "/watchNamespaces", "equal");
    check(r#"prometheus.url="prometheus:9090""#, "/prometheus/url", "does not match pattern");
    check(r#"prometheus.url="http://user:secret@prometheus""#, "/prometheus/url", "does not match pattern");
    check(r#"prometheus.interval="30""#, "/prometheus/interval", "does not match pattern");
    check(r#"prometheus.tenantHeader={"name":"X-Scope-OrgID"}"#, "/prometheus/tenantHeader", "value");
    check(r#"prometheus.alertmanagers=["alertmanager:9093"]"#, "/prometheus/alertmanagers/0", "does not match pattern");
    check(r#"log.format="xml""#, "/log/format", "must be one of");
    check(r#"performanceClass.spec.sink="Mail""#, "/performanceClass/spec/sink", "Alertmanager");
    check("networkPolicy.apiServer.ports=[70000]", "/networkPolicy/apiServer/ports/0", "maximum");
    check(r#"podLabels={"app.kubernetes.io/name":"x"}"#, "/podLabels/app.kubernetes.io~1name", "schema");
}

#[test]
fn repositories_may_name_a_host_with_its_port() {
    for repository in [
        "trimtab",
        "localhost/trimtab",
        "localhost:5000/trimtab",
        "registry.example.com:5000/team_a/trim-tab",
        "Registry.example.com/a/b.c/trimtab",
        "[fd00::1]:5000/trimtab",
    ] {
        let set = format!(r#"image.repository="{repository}""#);
        let rendering = template(&["--set-json", &set]).unwrap_or_else(|error| panic!("{repository}: {error}"));
        let image = format!("image: \"{repository}:{}\"", env!("CARGO_PKG_VERSION"));
        assert!(rendering.contains(&image), "{repository} renders no {image}");
    }
}

#[test]
fn an_unset_repository_says_how_to_build_the_image() {
    let error = template(&[]).map(|_| "rendered").expect_err("a refusal");
    assert!(error.contains("image.repository is not set: build the image with 'make image'"), "{error}");
}

#[test]
fn values_that_need_another_are_refused_without_it() {
    #[track_caller]
    fn check(set: &str, message: &str) {
        let error = template(&["--set", IMAGE, "--set", set]).map(|_| "rendered").expect_err("a refusal");
        assert!(error.contains(message), "{set}: {error}");
    }
    check("prometheus.url=http://p:9090,prometheus.credential=token", "metricsCredentials is not");
    check("prometheus.alertmanagers={http://a:9093}", "prometheus.url is not");
}

/// Calls `visit` with the path of every value that is not a section.
fn leaves(path: &str, schema: &Value, visit: &mut impl FnMut(&str)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        visit(&path);
        leaves(&path, property, visit);
    }
}

#[test]
fn the_schema_and_the_defaults_have_the_same_names() {
    let (_, values) = values();
    let schema = schema();
    // Sections that are empty by default; the schema alone knows what may be inside.
    let open = [
        "global",
        "prometheus.tenantHeader.",
        "prometheus.identity.",
        "performanceClass.spec.",
        "affinity.",
        "resources.claims",
        "hooks.resources.claims",
    ];
    leaves("", &schema, &mut |path| {
        let known = values.pointer(&format!("/{}", path.replace('.', "/"))).is_some();
        assert!(known || open.iter().any(|prefix| path.starts_with(prefix)), "values.yaml lacks \"{path}\"");
    });
}

#[test]
fn every_value_has_a_comment() {
    let (text, _) = values();
    let mut above = "";
    for line in text.lines() {
        let code = line.trim_start();
        // Sections explain themselves by their content.
        let value = code.split_once(':').is_some_and(|(_, rest)| !rest.trim().is_empty()) && !code.starts_with('#');
        let below_resources = ["requests:", "limits:", "cidrs:", "ports:"].iter().any(|name| code.starts_with(name));
        if value && !below_resources {
            assert!(above.trim_start().starts_with('#'), "no comment above: {line}");
        }
        above = line;
    }
}

#[test]
fn the_spec_of_the_class_has_the_fields_of_its_definition() {
    fn fields(path: &str, schema: &Value, found: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            found.push(format!("{path}.{name}"));
            fields(&format!("{path}.{name}"), property, found);
        }
        found.sort();
    }
    let definition = crds::all()
        .into_iter()
        .find(|definition| definition.spec.names.kind == "PerformanceClass")
        .expect("the definition of PerformanceClass");
    let definition = serde_json::to_value(&definition.spec.versions[0].schema).expect("JSON");
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    fields("spec", &definition["openAPIV3Schema"]["properties"]["spec"], &mut expected);
    fields("spec", &schema()["properties"]["performanceClass"]["properties"]["spec"], &mut found);
    assert!(!expected.is_empty());
    assert_eq!(found, expected);
}
