use serde_json::json;

use super::*;
use crate::{api::PerformancePolicy, core::facts::Kind};

fn policy(thresholds: &Value, target: &Value) -> Policy {
    let policy: PerformancePolicy = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"namespace": "shop", "name": "api", "uid": "p", "generation": 1, "resourceVersion": "1"},
        "spec": {"target": target, "thresholds": thresholds},
    }))
    .unwrap();
    Policy::parse(&policy).unwrap()
}

fn queue() -> Value {
    json!({"name": "queue", "metric": {"gauge": "queue_size"}, "levels": [{"severity": "warning", "above": 100}]})
}

fn made(policy: &Policy, class: &Rules, targets: &[ObjectKey]) -> Result<Option<Document>, TooLarge> {
    let identity = Identity::default();
    document(&Case { policy, class, identity: &identity, interval: Span::seconds(30), targets })
}

fn targets(count: usize) -> Vec<ObjectKey> {
    (0..count).map(|n| ObjectKey::new(Kind::Deployment, "shop", format!("api-{n}"))).collect()
}

fn deployment() -> Value {
    json!({"kind": "Deployment", "selector": {"matchLabels": {"app": "api"}}})
}

#[test]
fn groups_keep_their_names_and_a_revision_changes_with_the_rules_alone() {
    let class = Rules::built_in();
    let one = made(&policy(&json!([queue()]), &deployment()), &class, &targets(1)).unwrap().unwrap();
    let names: Vec<&str> = one.spec()["groups"].as_array().unwrap().iter().filter_map(|g| g["name"].as_str()).collect();
    assert_eq!(names, ["trimtab.shop.api", "trimtab.shop.api.queue"]);
    assert_eq!(one.spec()["groups"][0]["rules"][0]["labels"]["revision"], json!(one.revision));
    let mut labelled = Rules::built_in();
    labelled.spec.rule_labels = [("release".to_owned(), "monitoring".to_owned())].into();
    let again = made(&policy(&json!([queue()]), &deployment()), &labelled, &targets(1)).unwrap().unwrap();
    assert_eq!(again.revision, one.revision);
    assert_eq!(again.body["metadata"]["labels"]["release"], "monitoring");
    let more = made(&policy(&json!([queue()]), &deployment()), &class, &targets(2)).unwrap().unwrap();
    assert_ne!(more.revision, one.revision);
}

#[test]
fn what_does_not_fit_is_refused_and_what_is_not_known_is_not_made() {
    let class = Rules::built_in();
    let many = policy(&json!([queue()]), &deployment());
    assert_eq!(made(&many, &class, &[]), Ok(None));
    assert_eq!(made(&many, &class, &targets(201)), Err(TooLarge::Targets(201)));
    let threshold = |n: usize| {
        json!({"name": format!("t{n}"), "metric": {"histogram": "http_seconds", "statistic": "p95"},
        "levels": [{"severity": "warning", "above": "1s"}]})
    };
    let thresholds: Vec<Value> = (0..60).map(threshold).collect();
    let large = policy(&json!(thresholds), &deployment());
    assert!(matches!(made(&large, &class, &targets(200)), Err(TooLarge::Bytes(_))));
}

#[test]
fn a_file_has_no_owner_and_no_label_by_which_the_operator_takes_it_for_its_own() {
    let mut policy = policy(&json!([queue()]), &deployment());
    policy.identity.uid.clear();
    let made = made(&policy, &Rules::built_in(), &targets(1)).unwrap().unwrap();
    assert_eq!(made.body["metadata"].get("ownerReferences"), None);
    assert_eq!(made.body["metadata"]["labels"], json!({"app.kubernetes.io/managed-by": "trimtab"}));
}

#[test]
fn an_objective_is_for_a_ratio_of_events_that_says_which_way_is_bad() {
    let refused = |threshold: Value| {
        let policy: PerformancePolicy = serde_json::from_value(json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"namespace": "shop", "name": "api"},
            "spec": {"thresholds": [threshold]},
        }))
        .unwrap();
        Policy::parse(&policy).unwrap_err()[0].to_string()
    };
    let ratio = json!({"ratio": {"numerator": {"counter": "bad_total"}, "denominator": {"counter": "all_total"}}});
    let slo = json!({"target": "99.9%"});
    let gauge = refused(json!({"name": "a", "metric": {"gauge": "x"}, "slo": slo}));
    assert!(gauge.starts_with("thresholds.a.slo is for a ratio of counters"), "{gauge}");
    let way = refused(json!({"name": "a", "metric": ratio, "slo": slo}));
    assert!(way.contains("which way is bad"), "{way}");
    let level = json!([{"severity": "info", "above": "1%"}]);
    let period =
        refused(json!({"name": "a", "metric": ratio, "levels": level, "slo": {"target": "99%", "period": "1d"}}));
    assert!(period.contains("from 7d to 90d"), "{period}");
}
