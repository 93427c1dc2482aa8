use serde_json::{Value as Json, json};

use super::*;
use crate::{api::PerformancePolicy, core::policy::Policy};

fn parse(spec: &Json) -> Result<Policy, Vec<String>> {
    let policy: PerformancePolicy = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": "p", "namespace": "shop"}, "spec": spec,
    }))
    .unwrap();
    Policy::parse(&policy).map_err(|wrong| wrong.iter().map(|w| format!("{}: {w}", w.reason)).collect())
}

#[track_caller]
fn refused(spec: &Json) -> String {
    parse(spec).unwrap_err().join("\n")
}

fn settings(settings: &Json) -> Json {
    json!({"settings": settings})
}

/// What the knobs are on a target with one container of 2 cores and 2Gi.
fn values(spec: &Json) -> BTreeMap<String, String> {
    let policy = parse(spec).unwrap();
    let template = |amount: &Amount| {
        let text = if amount.resource == "cpu" { "2" } else { "2Gi" };
        (amount.bucket == "limits").then(|| Value::parse(amount.value_type(), text).unwrap())
    };
    let worked = policy.work_out(|_| None, template);
    let told = |(knob, worked): (&Knob, &Result<Worked, Trouble>)| {
        let text = match worked {
            Ok(Worked { value, filled: None, .. }) => value.to_string(),
            Ok(Worked { value, filled: Some(filled), clamped: None, .. }) => format!("{value} = {filled}"),
            Ok(Worked { value, filled: Some(filled), clamped: Some(at), .. }) => {
                format!("{value} = {filled} at {at:?}")
            }
            Err(trouble) => format!("{trouble:?}"),
        };
        (knob.path.to_string(), text)
    };
    policy.knobs.iter().zip(&worked).map(told).collect()
}

#[test]
fn numbers_follow_from_each_other_in_any_order_and_say_how() {
    let values = values(&json!({
        "target": {"kind": "Deployment", "name": "api"},
        "replicas": {"max": 3},
        "workers": [{"name": "web", "count": {"value": "= 2 * ceil(limits.cpu) + 1", "max": "= floor(limits.memory / 500Mi)"}}],
        "pools": [{"name": "db", "perWorker": "web", "size": {"value": "= floor(settings.usable / (workers.web.count * replicas.max))"},
            "acquireTimeout": {"value": "= caches.hot.ttl / 2"}}],
        "caches": [{"name": "hot", "ttl": {"value": "1m"}, "maxStaleness": "2m", "maxBytes": {"value": "= 10% * limits.memory"}}],
        "settings": [
            {"name": "heap", "type": "Bytes", "value": "= limits.memory - 600Mi"},
            {"name": "usable", "value": 97},
            {"name": "slow", "type": "Duration", "value": "= caches.hot.maxStaleness"},
            {"name": "large", "type": "Boolean", "value": "= workers.web.count >= 4"},
            {"name": "store", "type": "Enum", "allowed": ["memory", "redis"], "value": "= settings.large ? 'redis' : 'memory'"},
        ],
    }));
    for (path, text) in [
        ("workers.web.count", "4 = 2 * ceil(2) + 1 at Max"),
        ("pools.db.size", "8 = floor(97 / (4 * 3))"),
        ("pools.db.acquireTimeout", "30s = 1m / 2"),
        ("caches.hot.maxBytes", "214748364 = 10% * 2Gi"),
        ("settings.heap", "1448Mi = 2Gi - 600Mi"),
        ("settings.slow", "2m = 2m"),
        ("settings.large", "true = 4 >= 4"),
        ("settings.store", "redis = true ? \"redis\" : \"memory\""),
    ] {
        assert_eq!(values[path], text, "{path}");
    }
}

#[test]
fn workers_fit_into_the_memory_that_each_of_them_takes() {
    let spec = json!({
        "target": {"kind": "Deployment", "name": "api"},
        "resources": [{"container": "api", "limits": {"memory": "2Gi"}}],
        "workers": [{"name": "web", "memoryPerWorker": "300Mi",
                     "count": {"value": "= floor((0.9 * limits.memory - 200Mi) / workers.web.memoryPerWorker)"}}],
    });
    assert!(values(&spec)["workers.web.count"].starts_with("5 = floor("), "{:?}", values(&spec));
    let mut wrong = spec;
    wrong["workers"][0]["memoryPerWorker"] = json!("lots");
    assert!(
        refused(&wrong).contains("InvalidSpec: workers.web.memoryPerWorker invalid quantity"),
        "{}",
        refused(&wrong)
    );
}

#[test]
fn a_limit_is_the_policys_if_it_sets_one_and_else_the_templates() {
    let heap = json!({"name": "heap", "type": "Bytes", "value": "= limits.memory - 1Gi"});
    let own = json!({
        "target": {"kind": "Deployment", "name": "api"}, "settings": [heap],
        "resources": [{"container": "api", "limits": {"memory": "4Gi"}}],
    });
    assert_eq!(values(&own)["settings.heap"], "3Gi = 4Gi - 1Gi");
    assert_eq!(values(&settings(&json!([heap])))["settings.heap"], "1Gi = 2Gi - 1Gi");
    let other = json!({"name": "heap", "type": "Bytes", "container": "web", "value": "= limits.memory - 1Gi"});
    let mut of_another = own.clone();
    of_another["settings"] = json!([other]);
    assert_eq!(values(&of_another)["settings.heap"], "1Gi = 2Gi - 1Gi", "the entry is another container's");
    let named =
        json!({"name": "heap", "type": "Bytes", "container": "web", "value": "= resources.api.limits.memory - 1Gi"});
    of_another["settings"] = json!([named]);
    assert_eq!(values(&of_another)["settings.heap"], "3Gi = 4Gi - 1Gi");
    assert_eq!(
        values(&settings(&json!([{"name": "r", "type": "Bytes", "value": "= requests.memory"}])))["settings.r"],
        "Needs(Amount { container: None, bucket: \"requests\", resource: \"memory\" })"
    );
}

#[test]
fn which_container_is_meant_is_never_guessed() {
    let spec = json!({
        "target": {"kind": "Deployment", "name": "api"},
        "resources": [{"container": "api", "limits": {"cpu": "2"}}, {"container": "proxy", "limits": {"cpu": "1"}}],
        "settings": [{"name": "n", "value": "= ceil(limits.cpu)"}],
    });
    assert_eq!(
        refused(&spec),
        "InvalidSpec: settings.n is wrong at character 8: limits.cpu is of which container? There are api, proxy: set \
         container, or write resources.api"
    );
    let mut named = spec.clone();
    named["target"]["container"] = json!("proxy");
    assert_eq!(values(&named)["settings.n"], "1 = ceil(1)");
}

#[test]
fn mistakes_are_told_before_there_is_a_cluster() {
    let one = |value: &str| {
        settings(&json!([{"name": "a", "value": value}, {"name": "b", "type": "Duration", "value": "30s"}]))
    };
    for (value, message) in [
        (
            "= settings.b + 1Gi",
            "InvalidSpec: settings.a is wrong at character 14: seconds + bytes: \"settings.b\" is seconds, \"1Gi\" is bytes",
        ),
        (
            "= settings.b",
            "InvalidSpec: settings.a is wrong at character 3: the result is seconds, but must be a number",
        ),
        (
            "= settings.c",
            "InvalidSpec: settings.a is wrong at character 3: settings.c is not in this policy; of settings it has settings.a, settings.b",
        ),
        (
            "= pools.db.size",
            "InvalidSpec: settings.a is wrong at character 3: pools.db.size is not in this policy, which has no pools",
        ),
        (
            "= env.HOME",
            "InvalidSpec: settings.a is wrong at character 3: env.HOME is not known: formulas read limits, requests, resources, replicas, workers, pools, caches, settings and runtime",
        ),
        (
            "= limits.disk",
            "InvalidSpec: settings.a is wrong at character 3: limits.disk is not known: there are limits.cpu, limits.memory, requests.cpu and requests.memory",
        ),
        (
            "= 7 / 2",
            "FormulaFailed: settings.a must be a whole number, not 3.5: put the formula into floor(…), ceil(…) or round(…) (= 7 / 2)",
        ),
        ("= 1 / (2 - 2)", "InvalidSpec: settings.a is wrong at character 5: division by zero"),
    ] {
        assert_eq!(refused(&one(value)), message, "{value}");
    }
}

#[test]
fn bounds_come_before_the_range_of_the_type() {
    let heap = |value: &str| json!({"name": "heap", "type": "Bytes", "value": value, "min": "128Mi", "max": "1Gi"});
    let share = |value: &str| json!({"name": "share", "type": "Ratio", "value": value, "max": "90%"});
    let values = |setting: Json| values(&settings(&json!([setting])));
    assert_eq!(values(heap("= limits.memory - 3Gi"))["settings.heap"], "128Mi = 2Gi - 3Gi at Min");
    assert_eq!(values(heap("= limits.memory * 1.7"))["settings.heap"], "1Gi = 2Gi * 1.7 at Max");
    assert_eq!(values(share("= limits.cpu / 1"))["settings.share"], "90% = 2 / 1 at Max");
}

#[test]
fn circles_and_readers_of_later_values_are_told_as_a_path() {
    let circle = settings(&json!([
        {"name": "a", "value": "= settings.b + 1"}, {"name": "b", "value": "= settings.c"}, {"name": "c", "value": 1, "max": "= settings.a"},
    ]));
    assert_eq!(
        refused(&circle),
        "InvalidSpec: settings.a follows from itself: settings.a → settings.b → settings.c → settings.a; give one of them a \
         literal value"
    );
    let upward = json!({
        "workers": [{"name": "web", "count": {"value": "= pools.db.size"}}], "pools": [{"name": "db", "size": {"value": 4}}],
    });
    assert_eq!(
        refused(&upward),
        "InvalidSpec: workers.web.count must not read pools.db.size: limits, requests, replicas, workers and the profile are \
         worked out before pools, caches, settings and runtime (S0 before S2)"
    );
}

#[test]
fn what_a_formula_gives_obeys_the_same_rules_as_a_literal() {
    for (spec, message) in [
        (
            json!({"workers": [{"name": "web", "count": {"value": "= 4 - 4"}}]}),
            "InvalidSpec: workers.web.count must be ≥ 1, not 0 (= 4 - 4)",
        ),
        (
            json!({"pools": [{"name": "db", "size": {"value": 4}, "minIdle": {"value": "= pools.db.size + 1"}}]}),
            "BoundsInverted: pools.db.minIdle must be ≤ size (4), not 5 (= pools.db.size + 1 = 4 + 1)",
        ),
        (
            json!({"caches": [{"name": "c", "ttl": {"value": "= 2 * 31d"}}]}),
            "InvalidSpec: caches.c.ttl must be ≤ 30d, not 62d (= 2 * 31d)",
        ),
        (
            json!({"settings": [{"name": "a", "value": 5, "min": "= 2 * 3"}]}),
            "BoundsInverted: settings.a must be ≥ min (6), not 5",
        ),
        (
            json!({"settings": [{"name": "a", "value": "= 5", "min": "= 2 * 3", "max": 4}]}),
            "BoundsInverted: settings.a min must be ≤ max, but 6 > 4",
        ),
        (
            json!({"target": {"kind": "Deployment", "name": "a"},
                "settings": [{"name": "a", "type": "Duration", "value": "= 3s / 2", "env": "A", "as": "seconds"}]}),
            "InvalidSpec: settings.a cannot write 1.5s as seconds without rounding it: change the value or choose a finer \
             format (= 3s / 2)",
        ),
    ] {
        assert_eq!(refused(&spec), message);
    }
}

#[test]
fn whoever_reads_a_value_that_stays_sees_that_one() {
    let policy = parse(&settings(&json!([
        {"name": "a", "value": 4}, {"name": "b", "value": "= 2 * settings.a"}, {"name": "c", "value": "= settings.b + 1"},
    ])))
    .unwrap();
    let of = |stays: Option<Value>| -> Vec<_> {
        let worked = policy.work_out(|path| (path == "settings.a").then(|| stays.clone()), |_| None);
        worked.into_iter().map(|worked| worked.map(|worked| worked.value.to_string())).collect()
    };
    let texts = |values: [&str; 3]| values.map(|value| Ok(value.to_owned()));
    assert_eq!(of(Some(Value::Integer(5))), texts(["4", "10", "11"]));
    let follows = |path: &str| Err(Trouble::Follows(path.into()));
    assert_eq!(of(None), [Ok("4".to_owned()), follows("settings.a"), follows("settings.b")]);
}

#[test]
fn targets_that_share_a_document_share_what_it_follows_from() {
    let spec = |target: &Json, value: &str| {
        json!({
            "target": target,
            "resources": [{"container": "api", "limits": {"memory": "1Gi"}}],
            "workers": [{"name": "web", "count": {"value": 4, "env": "WORKERS"}}],
            "files": [{"name": "f", "configMap": "c", "key": "k", "format": "JSON"}],
            "settings": [
                {"name": "base", "value": 4}, {"name": "own", "value": "= workers.web.count"},
                {"name": "batch", "value": value, "path": {"file": "f", "at": "/batch"}},
            ],
        })
    };
    let one = json!({"kind": "Deployment", "name": "api"});
    let many = json!({"kind": "Deployment", "selector": {"matchLabels": {"tier": "web"}}});
    for (value, what) in [
        ("= settings.base", None),
        ("= 2 * settings.own", Some("workers.web.count")),
        ("= workers.web.count", Some("workers.web.count")),
        ("= floor(limits.memory / 1Mi)", Some("resources.api.limits.memory")),
        ("= ceil(limits.cpu)", Some("limits.cpu of container \"api\"")),
    ] {
        assert!(parse(&spec(&one, value)).is_ok(), "{value}");
        let told = what.map(|what| {
            format!(
                "InvalidSpec: settings.batch lands in a ConfigMap that all targets share, but follows from {what}, which is \
                 each target's own: name one target, or let it land in env"
            )
        });
        assert_eq!(parse(&spec(&many, value)).err().map(|wrong| wrong.join("\n")), told, "{value}");
    }
}
