//! What pods tell of values that are in place.

use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::{
    api::PerformancePolicy,
    core::{
        policy::{Identity, Policy, readback},
        units::{Decimal, Value as Amount, ValueType},
    },
};

/// A lab with a policy whose pool of 20 is in place on five pods, and is read back so.
fn lab(effective: Value) -> Lab {
    let mut lab = Lab::with(json!([]));
    expect(&mut lab, effective, 20, |_| {});
    lab
}

fn expect(lab: &mut Lab, effective: Value, desired: i64, how: impl Fn(&mut Expected)) {
    let knob = json!([{"name": "db", "size": {"value": desired, "env": "POOL", "effective": effective}}]);
    let policy: PerformancePolicy = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"target": {"kind": "Deployment", "name": "web"}, "pools": knob}
    }))
    .unwrap();
    let policy = Policy::parse(&policy).unwrap();
    let value = Expectation {
        path: "pools.db.size".into(),
        readback: policy.knobs[0].readback.clone().unwrap(),
        kind: ValueType::Integer,
        desired: readback::expected(&Amount::from_amount(ValueType::Integer, Decimal::from_int(desired)).unwrap())
            .unwrap(),
        place: "the variable POOL".into(),
        is_slow: false,
    };
    let mut expected = Expected { asked: true, pods: Some(5), values: vec![Arc::new(value)], pending: false };
    how(&mut expected);
    lab.expected = BTreeMap::from([(web(), expected)]);
}

fn web() -> ObjectKey {
    ObjectKey::new(Kind::Deployment, "shop", "web")
}

fn gauge() -> Value {
    json!({"gauge": "pool_size"})
}

/// So many pods tell each value.
fn tell(lab: &mut Lab, pods: &[(usize, f64)]) {
    let values = pods.iter().flat_map(|(count, value)| std::iter::repeat_n(*value, *count));
    lab.prometheus.told = values
        .enumerate()
        .map(|(n, value)| (format!("web-5d4f6c7b8d-bcdf{}", char::from(b"2456789bcd"[n])), value))
        .collect();
}

fn identity(lab: &Lab) -> Identity {
    lab.policies[&Lab::key("web")].identity.clone()
}

fn said(lab: &Lab) -> (String, usize) {
    let none = PerformancePolicyStatus::default();
    let written = lab.statuses.get(&Lab::key("web")).unwrap_or(&none);
    let (finding, unproven) = lab.sweep.effective(&identity(lab), &lab.expected, &[web()], written);
    (format!("{}/{} {}", finding.truth.as_str(), finding.reason, finding.message), unproven.len())
}

#[test]
fn pods_are_asked_only_about_what_is_in_place() {
    let mut lab = lab(gauge());
    expect(&mut lab, gauge(), 20, |expected| expected.asked = false);
    lab.run(90);
    assert_eq!(lab.asked.len(), 0, "a rollout is under way");
    assert!(said(&lab).0.starts_with("Unknown/Unknown"));
    expect(&mut lab, gauge(), 20, |_| {});
    tell(&mut lab, &[(5, 20.0)]);
    lab.run(60);
    assert_eq!(lab.asked.iter().filter(|asked| !asked.expr.contains("count_values")).count(), 0, "{:?}", lab.asked);
    assert_eq!(lab.asked.len(), 2, "one query a sweep");
    assert_eq!(said(&lab), ("True/Verified 1 value is what every pod runs with".to_owned(), 0));
    // What was said holds while somebody else replaces pods.
    expect(&mut lab, gauge(), 20, |expected| (expected.asked, expected.pods) = (false, Some(6)));
    lab.run(120);
    assert!(said(&lab).0.starts_with("True/Verified"));
    // Another value is another question.
    expect(&mut lab, gauge(), 30, |_| {});
    lab.tick();
    assert!(said(&lab).0.starts_with("Unknown/Unknown"));
}

#[test]
fn a_round_that_began_before_the_rollout_was_finished_blames_nobody() {
    let mut lab = lab(gauge());
    tell(&mut lab, &[(5, 7.0)]);
    expect(&mut lab, gauge(), 20, |_| {});
    lab.run(1);
    // The pods are replaced for another reason, and tell the old value until they are scraped.
    expect(&mut lab, gauge(), 20, |expected| expected.asked = false);
    lab.run(30);
    expect(&mut lab, gauge(), 20, |_| {});
    lab.run(14);
    assert!(said(&lab).0.starts_with("Unknown/Unknown"), "{:?}", said(&lab));
    lab.run(46);
    assert_eq!(
        said(&lab).0,
        "False/NotApplied pools.db.size shall be 20, and 0 of 5 pods run with that: web-5d4f6c7b8d-bcdf2 tells 7 (pool_size); \
         it seems to ignore the variable POOL, or something sets the value later"
    );
}

#[test]
fn pods_that_are_silent_are_not_seen_yet_and_nobody_who_is_gone_is_named() {
    let mut lab = lab(gauge());
    tell(&mut lab, &[(3, 20.0), (1, 7.0)]);
    lab.run(61);
    assert_eq!(
        said(&lab).0,
        "False/Partially pools.db.size shall be 20: 3 of 5 pods tell that, and web-5d4f6c7b8d-bcdf6 tells 7 (pool_size), \
         1 is not seen yet"
    );
    // Somebody replaces the pods; the new ones read what they are given, all but two, and one is not scraped.
    expect(&mut lab, gauge(), 20, |expected| expected.asked = false);
    lab.run(60);
    lab.prometheus.told = [("a", 20.0), ("b", 20.0), ("c", 8.0), ("d", 8.0)]
        .map(|(pod, value)| (format!("web-7c9d8b5f4-bcdf{pod}"), value))
        .to_vec();
    expect(&mut lab, gauge(), 20, |_| {});
    lab.run(61);
    assert_eq!(
        said(&lab).0,
        "False/Partially pools.db.size shall be 20: 2 of 5 pods tell that, and web-7c9d8b5f4-bcdfc tells 8 (pool_size), \
         1 more tell another value, 1 is not seen yet"
    );
    // One of two is gone, the other one is silent: nobody tells another value any more.
    lab.prometheus.told.truncate(2);
    lab.run(61);
    assert_eq!(said(&lab).0, "Unknown/NoData pools.db.size: 3 of 5 pods do not tell pool_size yet");
    // The one pod that is seen is no reason to blame all of them.
    tell(&mut lab, &[(1, 7.0)]);
    lab.run(61);
    assert_eq!(
        said(&lab).0,
        "False/NotApplied pools.db.size shall be 20, and 0 of 5 pods tell that: web-5d4f6c7b8d-bcdf2 tells 7 (pool_size), \
         4 are not seen yet; it seems to ignore the variable POOL, or something sets the value later"
    );
}

#[test]
fn nobody_is_blamed_when_no_pod_is_left() {
    let nobody = |expected: &mut Expected| (expected.asked, expected.pods) = (false, Some(0));
    let mut lab = lab(gauge());
    tell(&mut lab, &[(5, 7.0)]);
    lab.run(61);
    assert!(said(&lab).0.starts_with("False/NotApplied"), "{:?}", said(&lab));
    expect(&mut lab, gauge(), 20, nobody);
    let none = ("Unknown/Unknown there are no pods that could be asked".to_owned(), 0);
    assert_eq!(said(&lab), none, "at once");
    lab.run(61);
    assert_eq!(said(&lab), none);
    // What comes instead is asked anew.
    tell(&mut lab, &[(2, 20.0)]);
    expect(&mut lab, gauge(), 20, |expected| expected.pods = Some(2));
    lab.run(31);
    assert!(said(&lab).0.starts_with("True/Verified"), "{:?}", said(&lab));
    // That every pod has the value holds without pods, however often an autoscaler takes all of them.
    expect(&mut lab, gauge(), 20, nobody);
    lab.run(61);
    assert!(said(&lab).0.starts_with("True/Verified"), "{:?}", said(&lab));
}

#[test]
fn a_query_of_the_policys_own_is_read_by_pod_and_by_nobody_elses_pods() {
    let mut lab = lab(json!({"query": "max by (pod) (pool_size)"}));
    tell(&mut lab, &[(4, 20.0), (1, 7.0)]);
    // Pods of others in the same answer, whose names begin alike.
    lab.prometheus.told.extend([
        ("worker-0".to_owned(), 3.0),
        ("webshop-5d4f6c7b8d-bcdfg".to_owned(), 3.0),
        ("web-shop-5d4f6c7b8d-bcdfg".to_owned(), 3.0),
    ]);
    lab.run(61);
    assert_eq!(
        said(&lab),
        (
            "False/Partially pools.db.size shall be 20: 4 of 5 pods run with that, and web-5d4f6c7b8d-bcdf7 tells 7 (the query)"
                .to_owned(),
            1
        )
    );
    // One reading without a pod stands for all of them.
    lab.prometheus.told = vec![(String::new(), 20.0)];
    lab.run(61);
    assert!(said(&lab).0.starts_with("True/Verified"), "{:?}", said(&lab));
}

#[test]
fn who_takes_up_a_file_while_it_runs_has_time_for_it() {
    let mut lab = lab(gauge());
    tell(&mut lab, &[(5, 7.0)]);
    let slow = |expected: &mut Expected| {
        expected.values =
            expected.values.iter().map(|value| Arc::new(Expectation { is_slow: true, ..(**value).clone() })).collect();
    };
    expect(&mut lab, gauge(), 20, slow);
    lab.run(170);
    assert!(said(&lab).0.starts_with("Unknown/Unknown"), "{:?}", said(&lab));
    lab.run(60);
    assert!(said(&lab).0.starts_with("False/NotApplied"), "{:?}", said(&lab));
}

#[test]
fn a_new_leader_says_what_was_said_until_it_knows() {
    let mut lab = lab(gauge());
    let before = report::condition(
        crate::api::conditions::ConditionType::Effective,
        &report::Finding::new(Truth::False, Reason::NotApplied, "as it was"),
        1,
        &[],
        &report::time(START),
    );
    let written =
        PerformancePolicyStatus { observed_generation: Some(1), conditions: vec![before], ..Default::default() };
    lab.statuses.insert(Lab::key("web"), written);
    tell(&mut lab, &[(5, 20.0)]);
    assert_eq!(said(&lab).0, "False/NotApplied as it was");
    lab.tick();
    assert_eq!(said(&lab).0, "False/NotApplied as it was");
    lab.now = lab.now + Span::seconds(60);
    lab.sweep.rebuild();
    lab.run(31);
    assert!(said(&lab).0.starts_with("True/Verified"), "{:?}", said(&lab));
    // Of another value it says nothing.
    expect(&mut lab, gauge(), 30, |_| {});
    lab.tick();
    assert!(said(&lab).0.starts_with("Unknown/Unknown"), "{:?}", said(&lab));
}

#[test]
fn what_cannot_be_asked_has_its_reason() {
    let mut lab = lab(gauge());
    lab.prometheus.refuses.insert("count_values", Reason::QueryTooExpensive);
    lab.run(200);
    assert_eq!(
        said(&lab).0,
        "Unknown/QueryTooExpensive pools.db.size: the query exceeds a limit of the backend (pool_size)"
    );
    lab.prometheus.broken = Some(Reason::BackendUnavailable);
    lab.run(300);
    assert_eq!(
        said(&lab).0,
        "Unknown/BackendUnavailable MetricsSource \"default\": the backend does not answer (HTTP 503)"
    );
    lab.sources.clear();
    lab.tick();
    assert_eq!(said(&lab).0, "Unknown/SourceNotFound there is no MetricsSource \"default\" to ask");
}
