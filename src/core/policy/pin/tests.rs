use serde_json::{Value as Json, json};

use super::*;
use crate::core::policy::Worked;

fn spec() -> Json {
    json!({
        "target": {"kind": "Deployment", "name": "api", "container": "api"},
        "resources": [{"container": "api", "limits": {"memory": "2Gi"}}],
        "replicas": {"min": 2, "max": 4},
        "pools": [{"name": "db", "size": {"value": 10, "min": 5, "max": 40, "env": "POOL"}, "minIdle": {"value": 2}}],
        "settings": [
            {"name": "interval", "type": "Duration", "value": "10s", "env": "INTERVAL", "as": "seconds"},
            {"name": "batch", "value": "= 2 * pools.db.size", "env": "BATCH"},
        ],
        "profiles": [{"name": "busy", "set": {"pools.db.size": 30, "pools.db.minIdle": 25}}],
    })
}

/// A policy at generation 4 whose newest revision is 7.
fn policy(spec: &Json, to: &str, pin: Option<&Json>) -> Policy {
    let mut annotations = json!({"trimtab.dev/rollback-to": to});
    if let Some(pin) = pin {
        annotations["trimtab.dev/rollback-pin"] =
            pin.as_str().map_or_else(|| json!(pin.to_string()), |text| json!(text));
    }
    let policy: PerformancePolicy = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": "p", "namespace": "shop", "uid": "u-1", "generation": 4, "annotations": annotations},
        "spec": spec, "status": {"revision": 7},
    }))
    .unwrap();
    Policy::parse(&policy).unwrap()
}

fn pin(values: &[(&str, &str)]) -> Json {
    let values: Vec<Json> = values.iter().map(|(path, value)| json!({"path": path, "value": value})).collect();
    json!({"to": 3, "uid": "u-1", "generation": 4, "values": values})
}

/// What the knobs are, and which of them are pinned.
fn values(policy: &Policy) -> Vec<String> {
    let worked: Vec<Result<Worked, _>> = policy.work_out(|_| None, |_| None);
    assert!(policy.check_values(&worked).is_empty());
    let line = |(knob, worked): (&Knob, &Result<Worked, _>)| {
        let by = match policy.set_by(&knob.path) {
            Some(By::Rollback { to, clamped }) => {
                format!(" from revision {to}{}", clamped.map(|clamped| clamped.to_string()).unwrap_or_default())
            }
            Some(By::Profile(_)) | None => String::new(),
        };
        format!("{} {}{by}", knob.path, worked.as_ref().unwrap().value)
    };
    policy.knobs.iter().zip(&worked).map(line).collect()
}

fn pinned(policy: &Policy) -> Policy {
    policy.in_guise((ProfileSet::default(), policy.pins_on(None)))
}

#[test]
fn a_pinned_value_wins_over_spec_and_profiles_and_what_follows_from_it_follows() {
    let policy = policy(
        &spec(),
        "3",
        Some(&pin(&[("pools.db.size", "20"), ("settings.interval", "30s"), ("replicas.min", "3")])),
    );
    assert_eq!(policy.rollback.to(), Some(3));
    let under = policy.in_guise((ProfileSet::default().with(0), policy.pins_on(None)));
    // The profile asks for a minIdle that the pinned size does not allow: nothing is pinned, and that is told.
    assert!(
        matches!(&under.rollback, Rollback::Refused(wrong) if wrong[0].to_string().contains("rollback to revision 3"))
    );
    let under = pinned(&policy);
    let told = values(&under);
    for line in [
        "pools.db.size 20 from revision 3",
        "settings.interval 30s from revision 3",
        "settings.batch 40",
        "pools.db.minIdle 2",
    ] {
        assert!(told.iter().any(|known| known == line), "{line}: {told:?}");
    }
    assert_eq!(under.replicas.unwrap().min, Some(3));
    let (holds, told) = policy.rollback.told("p").unwrap();
    assert!(holds && told.contains("pools.db.size 20, settings.interval 30s, replicas.min 3"), "{told}");
}

#[test]
fn a_value_is_moved_within_the_bounds_that_the_spec_has_by_now() {
    for (was, now, how) in [("2", "5", ", raised to min"), ("50", "40", ", lowered to max"), ("7", "7", "")] {
        let told = values(&pinned(&policy(&spec(), "3", Some(&pin(&[("pools.db.size", was)])))));
        assert!(told.contains(&format!("pools.db.size {now} from revision 3{how}")), "{told:?}");
    }
}

#[test]
fn a_pin_ends_with_its_generation_and_with_its_number() {
    let mut old = pin(&[("pools.db.size", "20")]);
    old["generation"] = json!(3);
    assert_eq!(policy(&spec(), "3", Some(&old)).rollback, Rollback::None);
    assert_eq!(policy(&spec(), "", Some(&pin(&[("pools.db.size", "20")]))).rollback, Rollback::None);
}

#[test]
fn a_pin_of_another_policy_of_that_name_pins_nothing_and_is_told() {
    // GitOps makes a policy anew with the annotations of the one that was deleted, or a backup brings it back.
    let mut other = pin(&[("pools.db.size", "20")]);
    other["uid"] = json!("u-0");
    let told = |generation: i64, to: i64| {
        let mut other = other.clone();
        (other["generation"], other["to"]) = (json!(generation), json!(to));
        let policy = policy(&spec(), &to.to_string(), Some(&other));
        assert_eq!((&policy.rollback, policy.rollback.to()), (&Rollback::Foreign { to }, None));
        assert_eq!((policy.pins_on(None), policy.rollback.knobs().count()), (None, 0));
        assert!(values(&pinned(&policy)).contains(&"pools.db.size 10".to_owned()));
        policy.rollback.told("p").unwrap()
    };
    // Its generation may be the same, and its history may have gone further.
    for (generation, to) in [(4, 3), (2, 3), (4, 99)] {
        let (holds, told) = told(generation, to);
        assert!(!holds && told.starts_with(&format!("the rollback to revision {to} is of another policy")), "{told}");
        assert!(told.contains("trimtab resume p --rollback"), "{told}");
    }
    // One that does not say whose it is, is refused: nobody knows whether its values are to stay away.
    other.as_object_mut().unwrap().remove("uid");
    let (holds, told) = policy(&spec(), "3", Some(&other)).rollback.told("p").unwrap();
    assert!(!holds && told.contains("missing field `uid`") && told.contains("trimtab resume p --rollback"), "{told}");
}

#[test]
fn the_annotation_of_a_large_rollback_is_read() {
    let long = "x".repeat(63);
    let value = |n: usize| PinnedValue {
        object: Some(format!("Deployment/{long}")),
        path: format!("settings.{long}{n}"),
        value: "1".into(),
    };
    let uid = "00000000-0000-0000-0000-000000000000".to_owned();
    let values = (0..64).map(value).collect();
    let pin = RollbackPin { to: i64::MAX, uid, generation: i64::MAX, reason: None, values };
    assert!(serde_json::to_string(&pin).unwrap().len() <= MAX_BYTES);
}

#[test]
fn what_cannot_be_read_is_refused_with_the_way_out() {
    let good = pin(&[("pools.db.size", "20")]);
    let with = |member: &str, value: Json| {
        let mut pin = good.clone();
        pin[member] = value;
        Some(pin)
    };
    for (to, pin, says) in [
        ("abc", None, "must be the number of a revision, not \"abc\""),
        ("-1", None, "must be the number of a revision"),
        ("0", Some(good.clone()), "names revision 0, and the values beside it are those of revision 3"),
        ("99999999999999999999999999", None, "must be the number of a revision"),
        ("3", None, "names revision 3, and no values beside it"),
        ("9", None, "names revision 9, and the newest is 7"),
        ("9", with("to", json!(9)), "names revision 9, and the newest is 7"),
        ("5", Some(good.clone()), "the values beside it are those of revision 3"),
        ("3", Some(json!("{")), "cannot be read"),
        ("3", Some(json!("x".repeat(20_000))), "has 20000 bytes of values beside it"),
        ("3", with("values", json!([])), "must have 1 to 256 values beside it, not 0"),
        (
            "3",
            with("values", json!([{"path": "pools.db.sise", "value": "2"}])),
            "pools.db.sise of the rollback to revision 3 is nothing",
        ),
        ("3", with("values", json!([{"path": "pools.db.size", "value": "many"}])), "must be a whole number"),
        (
            "3",
            with("values", json!([{"path": "pools.db.size", "value": "= 2 * 3"}])),
            "must be a value, and no formula",
        ),
        ("3", with("values", json!([{"path": "pools.db.minIdle", "value": "30"}])), "pools.db.minIdle of the rollback"),
        (
            "3",
            with("values", json!([{"path": "resources.api.limits.memory", "value": "-1"}])),
            "resources.api.limits.memory",
        ),
        (
            "3",
            with("values", json!([{"object": "Pod/x", "path": "pools.db.size", "value": "20"}])),
            "is no target of the policy",
        ),
        (
            "3",
            with("values", json!([{"path": "pools.db.size", "value": "20"}, {"path": "pools.db.size", "value": "21"}])),
            "is pinned twice",
        ),
        ("3", with("colour", json!(1)), "unknown field"),
    ] {
        let policy = policy(&spec(), to, pin.as_ref());
        let (holds, told) = policy.rollback.told("p").unwrap();
        assert!(!holds && told.contains(says) && told.contains("trimtab resume p --rollback"), "{to}: {told}");
        assert_eq!(policy.pins_on(None), None);
    }
}

#[test]
fn targets_of_one_policy_may_have_different_values() {
    let mut spec = spec();
    spec["target"] = json!({"kind": "Deployment", "container": "api", "selector": {"matchLabels": {"app": "x"}}});
    let mut record = pin(&[("settings.interval", "20s")]);
    record["values"]
        .as_array_mut()
        .unwrap()
        .push(json!({"object": "Deployment/a", "path": "pools.db.size", "value": "20"}));
    let policy = policy(&spec, "3", Some(&record));
    let on = |name: &str| {
        let key = ObjectKey::new(Kind::Deployment, "shop", name);
        let told = values(&policy.in_guise((ProfileSet::default(), policy.pins_on(Some(&key)))));
        told.iter().filter(|line| line.contains("revision")).count()
    };
    assert_eq!((on("a"), on("b")), (2, 1));
}
