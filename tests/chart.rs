//! The Helm chart, rendered by real Helm: renderings, schema, RBAC and pod security.
//!
//! `make golden` (`UPDATE_GOLDEN=1 cargo test --test chart golden`) writes the renderings again.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/golden.rs"]
mod golden;
#[path = "support/helm.rs"]
mod helm;
#[path = "chart/rbac.rs"]
mod rbac;
#[path = "chart/render.rs"]
mod render;
#[path = "support/rights.rs"]
mod rights;
#[path = "chart/values.rs"]
mod values;

use std::fs;

use render::{CASES, IMAGE, case, chart, objects, of_kind, pods, run, strings, template};
use serde_json::{Value, json};
use trimtab::api::{crds, names};

#[test]
fn lint_finds_nothing() {
    let chart = chart();
    for name in CASES {
        let values = render::values(name);
        let output = run(&["lint", "--strict", chart.to_str().expect("a path in UTF-8"), &values]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(!text.contains("[WARNING]"), "{name}: {text}");
    }
}

#[test]
fn golden_renderings_are_current() {
    for name in CASES {
        golden::assert_golden(&format!("tests/golden/chart/{name}.yaml"), &case(name));
    }
}

#[test]
fn golden_notes_are_current() {
    for name in CASES {
        let notes = notes(&render::values(name));
        assert!(notes.contains("Nothing is written to any workload until a policy says `mode: Enforce`"), "{notes}");
        golden::assert_golden(&format!("tests/golden/chart/{name}.notes.txt"), &notes);
    }
}

/// What Helm says after an install with one more argument.
fn notes(argument: &str) -> String {
    let chart = chart();
    let path = chart.to_str().expect("a path in UTF-8");
    let output =
        run(&["install", "trimtab", path, "--namespace=trimtab-system", "--dry-run=client", "--output=json", argument]);
    assert!(output.status.success(), "{argument}: {}", String::from_utf8_lossy(&output.stderr));
    let release: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    release["info"]["notes"].as_str().expect("notes").to_owned()
}

#[test]
fn a_network_policy_that_names_no_peers_is_not_passed_off_as_one_that_does() {
    #[track_caller]
    fn check(set: &str, open: &str) {
        let notes = notes(&format!(r#"--set-json=image={{"repository":"trimtab"}},networkPolicy={{{set}}}"#));
        let said = notes.lines().find_map(|line| line.split_once("as long as these values name none: "));
        assert_eq!(said.map(|(_, open)| open), Some(open).filter(|open| !open.is_empty()), "{set}: {notes}");
    }
    let (cidrs, backends, metrics) =
        ("networkPolicy.apiServer.cidrs", "networkPolicy.backends", "networkPolicy.metricsFrom");
    let peers = r#"[{"ipBlock":{"cidr":"10.0.0.0/8"}}]"#;
    check(r#""create":false"#, "");
    check(r#""create":true"#, &format!("{cidrs}, {backends}, {metrics}."));
    check(r#""create":true,"apiServer":{"cidrs":["10.0.0.1/32"]}"#, &format!("{backends}, {metrics}."));
    check(&format!(r#""create":true,"backends":{peers},"metricsFrom":{peers}"#), &format!("{cidrs}."));
    let closed =
        format!(r#""create":true,"apiServer":{{"cidrs":["10.0.0.1/32"]}},"backends":{peers},"metricsFrom":{peers}"#);
    check(&closed, "");
}

#[test]
fn rendering_is_reproducible() {
    // GitOps tools render again and again, and compare.
    for name in CASES {
        assert_eq!(case(name), case(name));
    }
}

#[test]
fn objects_have_unique_names_and_the_release_in_their_labels() {
    for name in CASES {
        let objects = objects(&case(name));
        let mut seen = Vec::new();
        for object in &objects {
            let id = (
                object["kind"].as_str().expect("a kind"),
                object["metadata"]["namespace"].as_str(),
                object["metadata"]["name"].as_str().expect("a name"),
            );
            assert!(!seen.contains(&id), "{name}: {id:?} is rendered twice");
            assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/instance"], "trimtab", "{name}: {id:?}");
            let cluster_scoped =
                ["ClusterRole", "ClusterRoleBinding", "MetricsSource", "PerformanceClass"].contains(&id.0);
            assert_eq!(id.1.is_none(), cluster_scoped, "{name}: the namespace of {id:?}");
            seen.push(id);
        }
    }
}

#[test]
fn two_releases_in_one_cluster_share_no_object_but_the_source_and_the_class() {
    let arguments = ["--set", IMAGE, "--set=performanceClass.create=false"];
    let chart = chart();
    let rendering = |namespace: &str| {
        let mut all = vec!["template", "trimtab", chart.to_str().expect("a path in UTF-8"), "--namespace", namespace];
        all.extend(arguments);
        let output = run(&all);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        objects(&String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let id = |object: &Value| {
        let metadata = &object["metadata"];
        (object["kind"].to_string(), metadata["namespace"].to_string(), metadata["name"].to_string())
    };
    let first: Vec<_> = rendering("a").iter().map(id).collect();
    for other in rendering("b").iter().map(id) {
        assert!(!first.contains(&other), "both releases hold {other:?}");
    }
}

#[test]
fn pods_meet_the_restricted_pod_security_standard() {
    for name in CASES {
        for (owner, pod) in pods(&objects(&case(name))) {
            let spec = &pod["spec"];
            let context = &spec["securityContext"];
            assert_eq!(context["runAsNonRoot"], true, "{name}: {owner}");
            assert_eq!(context["runAsUser"], 65532, "{name}: {owner}");
            assert_eq!(context["seccompProfile"], json!({"type": "RuntimeDefault"}), "{name}: {owner}");
            for field in ["hostNetwork", "hostPID", "hostIPC", "initContainers"] {
                assert!(spec[field].is_null(), "{name}: {owner} has {field}");
            }
            for volume in spec["volumes"].as_array().into_iter().flatten() {
                assert!(volume["secret"].is_object(), "{name}: {owner} mounts {volume}");
            }
            for container in spec["containers"].as_array().expect("containers") {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false, "{name}: {owner}");
                assert_eq!(context["readOnlyRootFilesystem"], true, "{name}: {owner}");
                assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}), "{name}: {owner}");
                assert!(container["resources"]["requests"].is_object(), "{name}: {owner} requests nothing");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{name}: {owner} has no memory limit");
                assert!(container["command"].is_null(), "{name}: {owner} replaces the image's entry point");
            }
        }
    }
}

#[test]
fn selectors_match_the_operator_and_not_the_hooks() {
    let objects = objects(&case("everything"));
    let selectors = [
        ("Deployment", "/spec/selector/matchLabels"),
        ("Service", "/spec/selector"),
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
    ];
    for (kind, path) in selectors {
        let object = of_kind(&objects, kind).next().unwrap_or_else(|| panic!("no {kind}"));
        let selector = object.pointer(path).and_then(Value::as_object).expect("a selector");
        for (owner, pod) in pods(&objects) {
            let labels = pod["metadata"]["labels"].as_object().expect("labels");
            let matches = selector.iter().all(|(key, value)| labels.get(key) == Some(value));
            assert_eq!(matches, owner == "trimtab", "whether the {kind} selects the pods of \"{owner}\"");
        }
    }
}

#[test]
fn a_single_replica_has_no_disruption_budget() {
    let rendering = template(&["--set", IMAGE, "--set=replicas=1"]).expect("a rendering");
    assert_eq!(of_kind(&objects(&rendering), "PodDisruptionBudget").count(), 0);
}

#[test]
fn a_digest_replaces_the_tag_in_every_pod() {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let set = format!("--set=image.tag=latest,image.digest={digest}");
    let rendering = template(&["--set", IMAGE, &set]).expect("a rendering");
    for (owner, pod) in pods(&objects(&rendering)) {
        assert_eq!(pod["spec"]["containers"][0]["image"], format!("registry.example.com/trimtab@{digest}"), "{owner}");
    }
}

#[test]
fn the_chart_and_the_package_have_one_version() {
    let text = fs::read_to_string(chart().join("Chart.yaml")).expect("read Chart.yaml");
    let chart: Value = serde_saphyr::from_str(&text).expect("YAML");
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    let listed: Vec<Value> =
        serde_saphyr::from_str(chart["annotations"]["artifacthub.io/crds"].as_str().expect("the CRDs")).expect("YAML");
    let mut listed: Vec<_> = listed.iter().map(|entry| entry["name"].as_str().expect("a name").to_owned()).collect();
    listed.sort();
    assert_eq!(listed, crd_names());
}

#[test]
fn names_are_those_of_the_program() {
    let objects = objects(&case("everything"));
    let lease = of_kind(&objects, "Role")
        .flat_map(|role| role["rules"].as_array().expect("rules"))
        .find(|rule| strings(&rule["resources"]) == ["leases"] && rule["resourceNames"].is_array())
        .expect("a rule for the Lease");
    assert_eq!(strings(&lease["resourceNames"]), [names::LEASE]);

    let class = of_kind(&objects, "PerformanceClass").next().expect("a class");
    assert_eq!(class["metadata"]["annotations"][names::IS_DEFAULT_CLASS], "true");
    let source = of_kind(&objects, "MetricsSource").next().expect("a source");
    assert_eq!(source["metadata"]["name"], names::DEFAULT_SOURCE);

    let definitions = of_kind(&objects, "ClusterRole")
        .flat_map(|role| role["rules"].as_array().expect("rules"))
        .find(|rule| strings(&rule["resources"]) == ["customresourcedefinitions"])
        .expect("a rule for the CRDs");
    let mut allowed = strings(&definitions["resourceNames"]);
    allowed.sort_unstable();
    assert_eq!(allowed, crd_names());
}

fn crd_names() -> Vec<String> {
    let mut names: Vec<_> = crds::all().into_iter().filter_map(|definition| definition.metadata.name).collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

#[test]
fn own_objects_read_as_the_program_reads_them() {
    for name in CASES {
        let objects = objects(&case(name));
        for class in of_kind(&objects, "PerformanceClass") {
            let typed: trimtab::api::PerformanceClass = serde_json::from_value(class.clone()).expect("a class");
            let mut rendered = class["spec"].as_object().expect("a spec").clone();
            // The program leaves out what is false.
            rendered.retain(|_, value| *value != false);
            assert_eq!(serde_json::to_value(&typed.spec).expect("JSON"), json!(rendered), "{name}: a field is lost");
        }
        for source in of_kind(&objects, "MetricsSource") {
            let typed: trimtab::api::MetricsSource = serde_json::from_value(source.clone()).expect("a source");
            assert_eq!(serde_json::to_value(&typed.spec).expect("JSON"), source["spec"], "{name}: a field is lost");
        }
    }
}

#[test]
fn alerts_go_to_alertmanager_by_default_only_where_one_is_known() {
    let sink = |arguments: &[&str]| {
        let mut all = vec!["--set", IMAGE];
        all.extend(arguments);
        let objects = objects(&template(&all).expect("a rendering"));
        let class = of_kind(&objects, "PerformanceClass").next().expect("a class");
        class["spec"]["sink"].clone()
    };
    assert_eq!(sink(&[]), Value::Null);
    assert_eq!(sink(&["--set=prometheus.url=http://p:9090"]), Value::Null);
    assert_eq!(sink(&["--set=prometheus.url=http://p:9090,prometheus.alertmanagers={http://a:9093}"]), "Alertmanager");
}

#[test]
fn the_network_policy_opens_the_ports_of_the_urls() {
    #[track_caller]
    fn check(url: &str, port: u16) {
        let set = format!("--set=networkPolicy.create=true,prometheus.url={url}");
        let objects = objects(&template(&["--set", IMAGE, &set]).expect("a rendering"));
        let policy = of_kind(&objects, "NetworkPolicy").next().expect("a NetworkPolicy");
        let last = policy["spec"]["egress"].as_array().and_then(|rules| rules.last()).expect("egress");
        assert_eq!(last["ports"], json!([{"port": port, "protocol": "TCP"}]), "{url}");
    }
    check("http://prometheus.monitoring:9090", 9090);
    check("http://prometheus.monitoring:9090/select/0", 9090);
    check("http://prometheus.monitoring", 80);
    check("https://prometheus.monitoring/", 443);
    check("http://[fd00::1]:9091", 9091);
    check("http://[fd00::1]", 80);
}
