use serde_json::{Value as Json, json};

use super::*;
use crate::{
    api::PerformancePolicy,
    core::facts::{Kind, Seen},
};

fn policy(spec: &Json) -> Policy {
    let policy: PerformancePolicy = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": "p", "namespace": "shop"}, "spec": spec,
    }))
    .unwrap();
    Policy::parse(&policy).unwrap()
}

fn target(template: &Json) -> Object {
    let text = json!({"metadata": {"name": "api", "namespace": "shop", "uid": "u", "resourceVersion": "1", "generation": 1},
        "spec": {"template": {"spec": template}}});
    Seen::from_json(Kind::Deployment, &text.to_string()).unwrap().into_object()
}

fn container(name: &str, memory: &str) -> Json {
    json!({"name": name, "resources": {"limits": {"memory": memory}}})
}

fn heap(container: Option<&str>) -> Json {
    let mut heap =
        json!({"name": "heap", "type": "Bytes", "value": "= limits.memory - 600Mi", "env": "HEAP", "as": "mebibytes"});
    if let Some(container) = container {
        heap["container"] = json!(container);
    }
    json!({"target": {"kind": "Deployment", "name": "api"}, "settings": [heap]})
}

/// Text and source of the only knob, or what is wrong.
fn resolved(spec: &Json, template: &Json) -> Result<(String, String), String> {
    let policy = policy(spec);
    let result = resolve(&policy, &target(template), &Stays::new(), &Shares::new());
    let told = |wrong: Vec<Invalid>| wrong.iter().map(|w| format!("{}: {w}", w.reason)).collect::<Vec<_>>().join("; ");
    result.map(|desired| (desired[0].text.clone(), desired[0].source.to_string())).map_err(told)
}

#[test]
fn an_omitted_limit_is_the_pod_templates() {
    let api = json!({"containers": [container("api", "2Gi")]});
    let is = |text: &str, source: &str| Ok((text.to_owned(), source.to_owned()));
    assert_eq!(resolved(&heap(None), &api), is("1448", "= limits.memory - 600Mi = 2Gi - 600Mi"));
    // The template may spell it as it likes.
    let odd = json!({"containers": [container("api", "2097152Ki")]});
    assert_eq!(resolved(&heap(None), &odd), is("1448", "= limits.memory - 600Mi = 2Gi - 600Mi"));
    let two = json!({"containers": [container("api", "2Gi"), container("proxy", "1Gi")]});
    assert_eq!(resolved(&heap(Some("proxy")), &two), is("424", "= limits.memory - 600Mi = 1Gi - 600Mi"));
    let sidecar = json!({"containers": [container("api", "2Gi")], "initContainers": [container("proxy", "1Gi")]});
    assert_eq!(resolved(&heap(Some("proxy")), &sidecar), is("424", "= limits.memory - 600Mi = 1Gi - 600Mi"));
}

#[test]
fn a_formula_without_a_value_on_this_target_says_what_is_missing() {
    let none = "FormulaFailed: settings.heap needs limits.memory, which neither the policy nor the pod template of \
                Deployment/api sets: set it in resources";
    for template in [
        json!({"containers": [{"name": "api"}]}),
        json!({"containers": []}),
        json!({"containers": [container("api", "many")]}),
        json!({"containers": [container("api", "0")]}),
        json!({}),
    ] {
        assert_eq!(resolved(&heap(None), &template), Err(none.to_owned()), "{template}");
    }
    let two = json!({"containers": [container("api", "2Gi"), container("proxy", "1Gi")]});
    let told = resolved(&heap(None), &two).unwrap_err();
    assert!(told.starts_with("ContainerAmbiguous: settings.heap reads limits or requests"), "{told}");
    let small = json!({"containers": [container("api", "512Mi")]});
    let told = resolved(&heap(None), &small).unwrap_err();
    assert!(told.starts_with("FormulaFailed: settings.heap "), "{told}");
    assert!(told.ends_with("(= limits.memory - 600Mi = 512Mi - 600Mi)"), "{told}");
}

#[test]
fn an_input_that_cannot_be_read_where_it_stays_is_told() {
    let policy = policy(&json!({"settings": [{"name": "a", "value": 1}, {"name": "b", "value": "= settings.a"}]}));
    let stays = Stays::from([("settings.a".into(), None)]);
    let wrong = resolve(&policy, &target(&json!({})), &stays, &Shares::new()).unwrap_err();
    assert_eq!(
        wrong[0].to_string(),
        "settings.b follows from settings.a, which is not written to Deployment/api and has no value there that can be \
         read: give one of them another landing place"
    );
    assert_eq!(wrong.len(), 1);
}

#[test]
fn a_key_that_is_filled_as_a_whole_has_no_places() {
    let policy: PerformancePolicy = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"name": "p", "namespace": "shop"},
        "spec": {
            "target": {"kind": "Deployment", "name": "api"},
            "files": [{"name": "f", "configMap": "config", "key": "limit", "format": "Conf"}],
            "settings": [
                {"name": "a", "value": 1, "path": {"file": "f", "at": "limit"}},
                {"name": "b", "value": 1, "configMapKey": {"name": "config", "key": "limit"}},
            ],
        },
    }))
    .unwrap();
    let wrong: Vec<String> = Policy::parse(&policy).unwrap_err().iter().map(ToString::to_string).collect();
    let message = "settings.a edits the key limit of ConfigMap/config, which settings.b fills as a whole: use one of path and \
                   configMapKey";
    assert_eq!(wrong, [message]);
}

#[test]
fn pools_add_up_with_the_numbers_of_the_target() {
    let policy = policy(&json!({
        "target": {"kind": "Deployment", "name": "api"},
        "workers": [{"name": "web", "count": {"value": "= floor(limits.memory / 512Mi)"}}],
        "pools": [{"name": "db", "perWorker": "web", "size": {"value": 20}, "overflow": {"value": 10}}],
    }));
    assert_eq!(known_loads(&policy), [], "the target decides");
    let desired =
        resolve(&policy, &target(&json!({"containers": [container("api", "2Gi")]})), &Stays::new(), &Shares::new())
            .unwrap();
    let loads = loads(&policy, |path| desired.iter().find(|d| *d.knob.path == *path)?.value.to_i64(), |_| None);
    assert_eq!(
        loads,
        [Load {
            pool: "db".into(),
            budget: None,
            size: 20,
            overflow: 10,
            least: 30,
            least_overflow: 0,
            workers: Some(("web".into(), 4))
        }]
    );
}
