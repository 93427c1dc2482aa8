//! Each rule where it speaks, and beside it where it must be silent.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn policy(spec: &Json) -> Json {
    let mut all = json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"target": {"kind": "Deployment", "name": "api", "container": "app"}},
    });
    for (member, value) in spec.as_object().into_iter().flatten() {
        all["spec"][member] = value.clone();
    }
    all
}

fn deployment(container: &Json) -> Json {
    let mut app = json!({"name": "app", "image": "app"});
    for (member, value) in container.as_object().into_iter().flatten() {
        app[member] = value.clone();
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [app]}}},
    })
}

/// What is found, as `CODE path`.
fn found(documents: &[Json]) -> Vec<String> {
    let findings = check(&documents.iter().collect::<Vec<_>>());
    findings.iter().map(|finding| format!("{} {}", finding.code, finding.path)).collect()
}

#[track_caller]
fn finds(spec: &Json, expected: &[&str]) {
    assert_eq!(found(&[policy(spec)]), expected, "{spec}");
}

#[track_caller]
fn finds_beside(spec: &Json, container: &Json, expected: &[&str]) {
    assert_eq!(found(&[policy(spec), deployment(container)]), expected, "{spec} {container}");
}

fn setting(kind: &str, value: &Json) -> Json {
    json!({"settings": [{"name": "x", "type": kind, "value": value, "env": "X"}]})
}

#[test]
fn shapes() {
    finds(&setting("Integer", &json!(1)), &[]);
    finds(&setting("Number", &json!(0.75)), &["TT0002 settings[0].value"]);
    finds(&setting("Boolean", &json!(true)), &["TT0002 settings[0].value"]);
    finds(&json!({"mode": "enforce"}), &["TT0001 mode"]);
    finds(&json!({"pools": [{"size": {"value": 1}}]}), &["TT0001 pools[0]"]);
    finds(&json!({"pools": {"name": "db"}}), &["TT0001 pools"]);
    finds(&json!({"resources": [{"container": "app", "limits": {"cpu": 2}}]}), &["TT0002 resources[0].limits.cpu"]);
    let misspelt = check(&[&policy(&json!({"tresholds": []}))]);
    assert_eq!(misspelt[0].message, "is no field that exists: is \"thresholds\" meant?");
    let unknown = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "Policy", "metadata": {"name": "a"}});
    assert_eq!(found(&[unknown]), ["TT0001 kind"]);
    assert_eq!(found(&[json!({"apiVersion": "v1", "kind": "Service"}), json!(null), json!([1])]), [""; 0]);
}

#[test]
fn refusals_by_family() {
    finds(&setting("Integer", &json!("many")), &["TT0010 settings.x"]);
    finds(&json!({"pools": [{"name": "db", "size": {"value": 5, "min": 9}}]}), &["TT0011 pools.db.size"]);
    finds(&setting("Integer", &json!("= limits.memory")), &["TT0012 settings.x"]);
    finds(&setting("Integer", &json!("= nothing.at.all")), &["TT0012 settings.x"]);
    finds(&setting("Integer", &json!("= 1 +")), &["TT0012 settings.x"]);
    finds(&setting("Integer", &json!("= settings.x + 1")), &["TT0012 settings.x"]);
    finds(&setting("Integer", &json!("= 10 / 4")), &["TT0013 settings.x"]);
    finds(&json!({"settings": [{"name": "x", "value": 1, "env": "LD_PRELOAD"}]}), &["TT0014 settings.x.env"]);
    // What the policy does not say may be in the manifest; nobody knows, so nobody complains.
    let heap = json!({"settings": [{"name": "x", "type": "Bytes", "value": "= limits.memory - 600Mi", "env": "X", "as": "bytes"}]});
    finds(&heap, &[]);
    finds_beside(&heap, &json!({"resources": {"limits": {"memory": "512Mi"}}}), &["TT0013 settings.x"]);
    finds_beside(&heap, &json!({"resources": {"limits": {"memory": "1Gi"}}}), &[]);
}

fn pool(members: &Json, above: &str) -> Json {
    let mut db = json!({"name": "db", "size": {"value": 5, "env": "SIZE"}});
    for (member, value) in members.as_object().into_iter().flatten() {
        db[member] = json!({"value": value});
    }
    json!({"pools": [db], "thresholds": [
        {"name": "p95", "metric": {"histogram": "app_seconds", "statistic": "p95"}, "levels": [{"severity": "warning", "above": above}]},
    ]})
}

#[test]
fn waits_of_pools() {
    finds(&pool(&json!({"acquireTimeout": "30s"}), "200ms"), &["TT0023 pools.db.acquireTimeout"]);
    finds(&pool(&json!({"acquireTimeout": "200ms"}), "200ms"), &[]);
    finds(&pool(&json!({"acquireTimeout": "0s"}), "200ms"), &["TT0024 pools.db.acquireTimeout"]);
    // A job of minutes may wait.
    finds(&pool(&json!({"acquireTimeout": "30s"}), "10m"), &[]);
    finds(&pool(&json!({"idleTimeout": "10m", "maxLifetime": "30m"}), "1s"), &[]);
    finds(&pool(&json!({"idleTimeout": "30m", "maxLifetime": "30m"}), "1s"), &["TT0025 pools.db.idleTimeout"]);
    finds(&pool(&json!({"idleTimeout": "30m", "maxLifetime": "0s"}), "1s"), &[]);
}

#[test]
fn caches() {
    let cache = |name: &str, tier: Option<&str>, ttl: &str| {
        let mut cache =
            json!({"name": name, "ttl": {"value": ttl, "env": name.replace('-', "_").to_uppercase(), "as": "seconds"}});
        if let Some(tier) = tier {
            cache["tier"] = json!(tier);
        }
        cache
    };
    finds(&json!({"caches": [{"name": "a"}]}), &["TT0030 caches.a"]);
    finds(&json!({"caches": [{"name": "a", "maxEntries": {"value": 100}}]}), &["TT0030 caches.a"]);
    let read = json!({
        "caches": [{"name": "a", "maxEntries": {"value": 100}}],
        "settings": [{"name": "x", "value": "= caches.a.maxEntries / 2", "env": "X"}],
    });
    finds(&read, &[]);
    let tiers = |inner: &str, outer: &str| json!({"caches": [cache("b", Some("Shared"), outer), cache("a", Some("InProcess"), inner)]});
    finds(&tiers("60s", "1h"), &[]);
    finds(&tiers("1h", "60s"), &["TT0031 caches.b.ttl"]);
    finds(
        &json!({"caches": [cache("l1-hot", None, "1h"), cache("l2-redis", None, "60s")]}),
        &["TT0031 caches.l2-redis.ttl"],
    );
    finds(&json!({"caches": [cache("a", None, "1h"), cache("b", None, "60s")]}), &[]);
    let inside = |bytes: &str| {
        json!({
            "resources": [{"container": "app", "limits": {"memory": "1Gi"}}],
            "workers": [{"name": "web", "count": {"value": 4, "env": "N"}}],
            "caches": [{"name": "a", "tier": "InProcess", "maxBytes": {"value": bytes, "env": "A", "as": "bytes"}}],
        })
    };
    finds(&inside("256Mi"), &[]);
    finds(&inside("300Mi"), &["TT0032 caches.a.maxBytes"]);
}

#[test]
fn workers() {
    let workers = |count: &Json, env: Option<&str>, each: Option<&str>| {
        let mut web = json!({"name": "web", "count": {"value": count}});
        if let Some(env) = env {
            web["count"]["env"] = json!(env);
        }
        if let Some(each) = each {
            web["memoryPerWorker"] = json!(each);
        }
        json!({"resources": [{"container": "app", "limits": {"cpu": "2", "memory": "1Gi"}}], "workers": [web]})
    };
    finds(&workers(&json!(8), Some("N"), None), &[]);
    finds(&workers(&json!(16), Some("N"), None), &["TT0040 workers.web.count"]);
    finds(&workers(&json!("= ceil(limits.cpu)"), Some("N"), None), &[]);
    finds(&workers(&json!("= ceil(limits.cpu)"), None, None), &["TT0041 workers.web.count"]);
    let told = json!({"env": [{"name": "PYTHON_CPU_COUNT", "value": "2"}]});
    finds_beside(&workers(&json!("= ceil(limits.cpu)"), None, None), &told, &[]);
    finds(&workers(&json!(5), Some("WEB_CONCURRENCY"), None), &[]);
    finds(&workers(&json!(4), Some("WEB_CONCURRENCY"), None), &["TT0042 workers.web.count"]);
    let five = workers(&json!(5), Some("WEB_CONCURRENCY"), None);
    for flag in [
        json!(["gunicorn", "--workers", "4"]),
        json!(["gunicorn", "--workers=4"]),
        json!(["sh", "-c", "gunicorn -w4 app"]),
    ] {
        finds_beside(&five, &json!({"args": flag}), &["TT0043 workers.web.count"]);
    }
    finds_beside(&five, &json!({"args": ["gunicorn", "--worker-class", "x"]}), &[]);
    finds_beside(&five, &json!({"command": ["sh", "-c", "app -j $(nproc)"]}), &["TT0041 target"]);
    finds(&workers(&json!(3), Some("N"), Some("300Mi")), &[]);
    finds(&workers(&json!(4), Some("N"), Some("300Mi")), &["TT0044 workers.web.count"]);
}

#[test]
fn heaps() {
    let resources =
        json!({"resources": [{"container": "app", "limits": {"memory": "4Gi"}, "requests": {"memory": "1Gi"}}]});
    let java = |options: &str| json!({"env": [{"name": "JAVA_TOOL_OPTIONS", "value": options}]});
    finds_beside(&resources, &java("-Xms2g -Xmx2g -XX:+AlwaysPreTouch"), &["TT0050 target"]);
    finds_beside(&resources, &java("-Xms2g -Xmx2g"), &[]);
    finds_beside(&resources, &java("-Xms512m -Xmx2g -XX:+AlwaysPreTouch"), &[]);
    finds_beside(&resources, &java("-Xmx4g"), &["TT0051 target"]);
    finds_beside(&resources, &json!({"command": ["java", "-Xmx5000m"]}), &["TT0051 target"]);
    let node = |megabytes: u32| json!({"env": [{"name": "NODE_OPTIONS", "value": format!("--max-old-space-size={megabytes}")}]});
    finds_beside(&resources, &node(3276), &[]);
    finds_beside(&resources, &node(3300), &["TT0052 target"]);
}

#[test]
fn databases() {
    let server = |settings: &[(&str, &str)]| {
        let settings: Vec<Json> = settings
            .iter()
            .map(|(name, value)| {
                let kind = if *name == "max_connections" { "Integer" } else { "Bytes" };
                let mut setting = json!({
                    "name": name.replace('_', "-"), "type": kind, "value": value, "path": {"file": "conf", "at": name},
                });
                if kind == "Bytes" {
                    setting["as"] = json!("postgres");
                }
                setting
            })
            .collect();
        json!({
            "resources": [{"container": "app", "limits": {"memory": "8Gi"}}], "settings": settings,
            "files": [{"name": "conf", "configMap": "pg", "key": "postgresql.conf", "format": "Conf"}],
        })
    };
    finds(&server(&[("shared_buffers", "2Gi"), ("work_mem", "19Mi")]), &["TT0060 settings.work-mem"]);
    finds(&server(&[("shared_buffers", "2Gi"), ("work_mem", "18Mi")]), &[]);
    finds(&server(&[("shared_buffers", "2Gi"), ("work_mem", "32Mi"), ("max_connections", "56")]), &[]);
    finds(
        &server(&[("shared_buffers", "2Gi"), ("work_mem", "32Mi"), ("max_connections", "57")]),
        &["TT0060 settings.work-mem"],
    );
    finds(&server(&[("shared_buffers", "4Gi")]), &["TT0061 settings.shared-buffers"]);
    finds(&server(&[("effective_cache_size", "9Gi")]), &["TT0062 settings.effective-cache-size"]);
    finds(&server(&[("shared_buffers", "3Gi"), ("effective_cache_size", "6Gi")]), &[]);
}

#[test]
fn streams() {
    let spec = |age: &str, rate: &str| {
        json!({
            "settings": [
                {"name": "max-msgs", "value": 1_000_000, "env": "MAX_MSGS"},
                {"name": "max-age", "type": "Duration", "value": age, "env": "MAX_AGE", "as": "go"},
            ],
            "thresholds": [{"name": "events", "metric": {"counter": "events_total"}, "levels": [{"severity": "info", "below": rate}]}],
        })
    };
    finds(&spec("1h", "277/s"), &[]);
    finds(&spec("1h", "278/s"), &["TT0070 settings.max-age"]);
    let stream = |member: &str, value: Json| {
        let mut object =
            json!({"apiVersion": "jetstream.nats.io/v1beta2", "kind": "Stream", "metadata": {"name": "s"}, "spec": {}});
        object["spec"][member] = value;
        object
    };
    assert_eq!(found(&[stream("maxAge", json!("7d"))]), ["TT0071 spec.maxAge"]);
    for fine in ["168h", "1h30m", "", "0", "1.5s"] {
        assert_eq!(found(&[stream("maxAge", json!(fine))]), [""; 0], "{fine}");
    }
    assert_eq!(found(&[stream("maxBytes", json!("10GB"))]), ["TT0072 spec.maxBytes"]);
    assert_eq!(found(&[stream("maxBytes", json!(-1))]), [""; 0]);
}

#[test]
fn thresholds() {
    let threshold =
        |metric: Json, levels: Json| json!({"thresholds": [{"name": "t", "metric": metric, "levels": levels}]});
    let level = |severity: &str, member: &str, bound: &str| json!({"severity": severity, member: bound});
    let p95 = |name: &str| json!({"histogram": name, "statistic": "p95"});
    let ordered = json!([level("warning", "above", "100ms"), level("critical", "above", "500ms")]);
    let inverted = json!([level("warning", "above", "500ms"), level("critical", "above", "100ms")]);
    finds(&threshold(p95("a_seconds"), ordered), &[]);
    finds(&threshold(p95("a_seconds"), inverted), &["TT0090 thresholds.t.levels.warning.above"]);
    let of = |whole: &str| {
        let part = json!({"counter": "a_total", "labels": {"code": "500"}});
        json!({"ratio": {"numerator": part, "denominator": {"counter": whole}}})
    };
    let ratio = of("a_total");
    // Of two metrics one may be several times the other.
    finds(&threshold(of("b_total"), json!([level("warning", "above", "100%")])), &[]);
    finds(
        &threshold(ratio.clone(), json!([level("warning", "above", "100%")])),
        &["TT0091 thresholds.t.levels.warning.above"],
    );
    finds(&threshold(ratio, json!([level("warning", "above", "99%")])), &[]);
    finds(&threshold(json!({"gauge": "load_ratio"}), json!([level("warning", "above", "150%")])), &[]);
    let http = p95("http_server_request_duration_seconds");
    finds(
        &threshold(http.clone(), json!([level("warning", "above", "200ms")])),
        &["TT0092 thresholds.t.levels.warning.above"],
    );
    finds(&threshold(http, json!([level("warning", "above", "250ms")])), &[]);
    let hold = |hold: &str| json!([{"severity": "info", "above": "1s", "for": hold}]);
    finds(&threshold(p95("a_seconds"), hold("10s")), &["TT0093 thresholds.t.levels.info.for"]);
    finds(&threshold(p95("a_seconds"), hold("0s")), &[]);
    finds(&threshold(p95("a_seconds"), hold("30s")), &[]);
    let window = |window: &str| json!({"counter": "a_total", "window": window});
    finds(&threshold(window("30s"), json!([])), &["TT0094 thresholds.t.metric.window"]);
    finds(&threshold(window("1m"), json!([])), &[]);
}

#[test]
fn queries() {
    let query = |text: &str| json!({"thresholds": [{"name": "t", "metric": {"query": text}, "levels": []}]});
    for (text, code) in [
        ("histogram_quantile(0.95, rate(a_bucket[5m]))", "TT0095"),
        ("histogram_quantile(0.95, sum(rate(a_bucket[5m])))", "TT0095"),
        ("histogram_quantile(0.95, sum by (pod) (rate(a_bucket[5m])))", "TT0095"),
        ("histogram_quantile(0.95, sum without (le) (rate(a_bucket[5m])))", "TT0095"),
        ("avg(histogram_quantile(0.95, rate(a_bucket[5m])))", "TT0095"),
        ("histogram_quantile(0.95, a_bucket)", "TT0095"),
        ("histogram_quantile(95, sum by (le) (rate(a_bucket[5m])))", "TT0096"),
        ("rate(process_resident_memory_bytes[5m])", "TT0097"),
        ("rate(sum(a_total)[5m:1m])", "TT0098"),
    ] {
        finds(&query(text), &[&format!("{code} thresholds.t.metric.query")]);
    }
    for text in [
        "histogram_quantile(0.95, sum by (le) (rate(a_bucket[5m])))",
        "histogram_quantile(0.95, sum(rate(a_bucket[5m])) by (le))",
        "histogram_quantile(0.95, sum without (pod, instance) (rate(a_bucket[5m])))",
        "histogram_quantile(0.95, sum(rate(native_seconds[5m])))",
        "max(histogram_quantile(0.95, sum by (le, pod) (rate(a_bucket[5m]))))",
        "max(histogram_quantile(0.95, rate(a_bucket[5m])))",
        "sum(rate(a_bytes_total[5m])) / sum(rate(b_total[5m]))",
        "deriv(process_resident_memory_bytes[5m])",
        "a{b=\"histogram_quantile(0.95, rate(c[5m]))\"}",
    ] {
        finds(&query(text), &[]);
    }
    let rule = json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {"name": "r"},
        "spec": {"groups": [{"rules": [{"expr": "up"}, {"expr": "rate(sum(a)[5m:])"}]}]},
    });
    assert_eq!(found(&[rule]), ["TT0098 spec.groups[0].rules[1].expr"]);
}

#[test]
fn operations_without_limits() {
    let limit = |name: &str, value: i64| json!({"settings": [{"name": name, "value": value, "env": "X"}]});
    finds(&limit("query-limit", 0), &["TT0110 settings.query-limit"]);
    finds(&limit("query-limit", 50), &[]);
    finds(&limit("retries", 0), &[]);
    let probe = |timeout: u32| json!({"readinessProbe": {"timeoutSeconds": timeout, "periodSeconds": 5}});
    assert_eq!(found(&[deployment(&probe(5))]), [""; 0]);
    let long = "TT0111 spec.template.spec.containers[0].readinessProbe.timeoutSeconds";
    assert_eq!(found(&[deployment(&probe(6))]), [long]);
}

#[test]
fn readbacks() {
    let timeout = |format: &str, effective: Json| json!({"settings": [{"name": "x", "type": "Duration", "value": "5s", "env": "X", "as": format, "effective": effective}]});
    finds(&timeout("milliseconds", json!({"gauge": "timeout"})), &["TT0099 settings.x.effective.gauge"]);
    finds(&timeout("milliseconds", json!({"gauge": "timeout", "unit": "milliseconds"})), &[]);
    finds(&timeout("milliseconds", json!({"gauge": "timeout_seconds"})), &[]);
    finds(&timeout("seconds", json!({"gauge": "timeout"})), &[]);
    finds(&timeout("seconds", json!({"query": "max by (pod) (timeout)"})), &[]);
    let rate = json!({"query": "rate(sum(timeouts_total)[5m:])"});
    finds(&timeout("seconds", rate), &["TT0098 settings.x.effective.query"]);
    finds(&timeout("seconds", json!({"gauge": "timeout_bytes"})), &["TT0010 settings.x.effective.gauge"]);
}

/// What the rules about one policy say, whatever its shape: of sections that are older or newer than this build, too.
fn ruled(text: &str) -> Vec<String> {
    let document: Json = serde_saphyr::from_str(text).unwrap();
    let all = [&document];
    let manifests = Manifests::new(&all);
    let mut findings = Vec::new();
    rules::policy(&Subject::new(0, &document, &manifests).unwrap(), &mut findings);
    findings.iter().map(|finding| format!("{} {} {}", finding.code, finding.path, finding.message)).collect()
}

#[test]
fn load_levels() {
    assert_eq!(
        ruled(include_str!("../../../tests/data/lint/10-load.as-written.yaml")),
        [
            "TT0080 profiles.heavy.load means 1,000 users / 1,000/s = 1.0 s for each request (no think time is stated): a mean response time of 1.0 s, \
             which is not below the 1.0 s of chat-p95"
        ]
    );
    assert_eq!(ruled(include_str!("../../../tests/data/lint/10-load.repaired.yaml")), [""; 0]);
    let impossible =
        include_str!("../../../tests/data/lint/10-load.repaired.yaml").replace("thinkTime: 600ms", "thinkTime: 2s");
    assert_eq!(
        ruled(&impossible),
        [
            "TT0081 profiles.heavy.load is impossible: 1,000 users / 1,000/s = 1.0 s from one request of a user to the next, and \
             2.0 s of it is think time"
        ]
    );
}

#[test]
fn words_of_tables() {
    let said = ruled(include_str!("../../../tests/data/lint/09-statuses.as-written.yaml"));
    assert_eq!(
        said,
        [
            "TT0100 reports.SYSTEM_METRICS.rows[1] (Resource Response) is 100ms / 50ms = 200 % of its target and \"Acceptable\", \
             but System Startup is 30s / 20s = 150 % and \"Needs Improvement\": the words are no function of the numbers"
        ]
    );
    assert_eq!(ruled(include_str!("../../../tests/data/lint/09-statuses.repaired.yaml")), [""; 0]);
    let table = |rows: Json, statuses: Json| {
        let report =
            json!({"name": "T", "columns": ["what", "now", "target", "Status"], "rows": rows, "statuses": statuses});
        ruled(&policy(&json!({"reports": [report]})).to_string()).len()
    };
    let statuses = json!([{"upTo": "100%", "text": "A"}, {"upTo": "125%", "text": "B"}, {"text": "C"}]);
    let row = |now: &str, word: &str| json!(["x", now, "100ms", word]);
    assert_eq!(table(json!([row("90ms", "A"), row("110ms", "B"), row("2s", "C")]), statuses.clone()), 0);
    assert_eq!(table(json!([row("110ms", "A")]), statuses.clone()), 1);
    assert_eq!(table(json!([row("110ms", "known issue"), row("90ms", "= status")]), statuses), 0);
    // More is better there, and words that nobody knows say nothing.
    let rates = json!([["a", "8/s", ">10/s", "bad"], ["b", "12/s", ">10/s", "good"], ["c", "2/s", ">10/s", "violet"]]);
    assert_eq!(table(rates, json!([])), 0);
}

#[test]
fn budgets() {
    let budget = |capacity: u32| {
        json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "ConnectionBudget", "metadata": {"name": "pg", "namespace": "shop"},
            "spec": {"capacity": {"connections": capacity}, "reserved": 0, "headroom": "0%"},
        })
    };
    let pool = policy(
        &json!({"replicas": {"max": 4}, "pools": [{"name": "db", "budget": "pg", "size": {"value": 10, "env": "SIZE"}}]}),
    );
    // Four pods, one of surge, four that are ending.
    assert_eq!(found(&[budget(90), pool.clone()]), [""; 0]);
    assert_eq!(found(&[budget(89), pool.clone()]), ["TT0021 pools.db.size"]);
    assert_eq!(found(&[budget(39), pool.clone()]), ["TT0020 pools.db.size"]);
    let mut recreate = deployment(&json!({}));
    recreate["spec"]["strategy"] = json!({"type": "Recreate"});
    assert_eq!(found(&[budget(40), pool.clone(), recreate]), [""; 0]);
    // Two of them, and the second is told.
    let mut second = pool.clone();
    second["metadata"]["name"] = json!("other");
    let both = check(&[&budget(100), &pool, &second]);
    assert_eq!((both.len(), both[0].document), (1, 2));
    assert!(both[0].message.contains("beside 90 of others"), "{}", both[0].message);
    let mut elsewhere = pool;
    elsewhere["metadata"]["namespace"] = json!("elsewhere");
    assert_eq!(found(&[budget(1), elsewhere]), [""; 0]);
    let mut pooler = budget(50);
    pooler["spec"]["pooler"] = json!({"mode": "Transaction", "clients": 1000, "servers": 60});
    assert_eq!(found(&[pooler]), ["TT0022 pooler"]);
    // What is only measured, files do not tell.
    let measured = |name: &str, labels: Json, literal: Option<u32>| {
        let mut measured = budget(1);
        measured["metadata"]["name"] = json!(name);
        measured["spec"]["capacity"] = json!({"metric": {"gauge": "pg_settings_max_connections", "labels": labels}});
        if let Some(literal) = literal {
            measured["spec"]["capacity"]["connections"] = json!(literal);
        }
        measured
    };
    let wants = policy(&json!({"pools": [{"name": "db", "budget": "pg", "size": {"value": 100_000, "env": "SIZE"}}]}));
    assert_eq!(found(&[measured("pg", json!({}), None), wants.clone()]), [""; 0]);
    assert_eq!(found(&[measured("pg", json!({}), Some(50)), wants]), ["TT0020 pools.db.size"]);
    // Two that read one number are of one database.
    let one = || measured("pg", json!({"server": "a"}), None);
    assert_eq!(found(&[one(), measured("other", json!({"server": "a"}), Some(9))]), ["TT0026 capacity.metric"]);
    assert_eq!(found(&[one(), measured("other", json!({"server": "b"}), None)]), [""; 0]);
    let mut wrong = measured("pg", json!({}), None);
    wrong["spec"]["capacity"]["metric"] = json!({"gauge": "up", "query": "up"});
    assert!(!found(&[wrong]).is_empty());
}

/// Values as people and programs get them wrong.
fn scrap() -> impl Strategy<Value = Json> {
    let words = prop::sample::select(vec![
        "1",
        "30s",
        "2Gi",
        "80%",
        "= limits.memory - 600Mi",
        "= 1 +",
        "350/s",
        "7d",
        "",
        "p95",
        "warning",
        "Process",
        "db",
        "web",
        "api",
        "Deployment",
        "app",
        "InProcess",
        "rate(a[5m])",
        "histogram_quantile(95, sum(a_bucket))",
        "é(",
        "-1",
        "99999999999999999999",
        "0.000000001s",
        "spec.maxAge",
        "Stream",
        "-Xmx9g",
    ]);
    let leaf = prop_oneof![
        words.prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(Json::from),
        Just(Json::Null),
    ];
    let keys = prop::sample::select(vec![
        "name",
        "value",
        "min",
        "max",
        "size",
        "overflow",
        "acquireTimeout",
        "idleTimeout",
        "maxLifetime",
        "ttl",
        "maxEntries",
        "maxBytes",
        "tier",
        "count",
        "unit",
        "env",
        "as",
        "type",
        "metric",
        "histogram",
        "query",
        "counter",
        "statistic",
        "levels",
        "severity",
        "above",
        "below",
        "for",
        "limits",
        "requests",
        "cpu",
        "memory",
        "container",
        "perWorker",
        "jvm",
        "node",
        "heapMax",
        "load",
        "users",
        "rate",
        "thinkTime",
        "set",
        "rows",
        "statuses",
        "upTo",
        "text",
    ]);
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map(keys.clone(), inner, 0..6).prop_map(|map| map
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_panics(
        sections in prop::collection::btree_map(
            prop::sample::select(vec![
                "target", "resources", "replicas", "workers", "pools", "caches", "settings", "files", "thresholds", "runtime",
                "profiles", "reports", "kernel", "mode",
            ]),
            scrap(), 0..8,
        ),
        beside in scrap(),
    ) {
        let mut spec = policy(&json!({}));
        for (name, section) in &sections {
            spec["spec"][*name] = section.clone();
        }
        let mut workload = deployment(&json!({}));
        workload["spec"]["template"]["spec"]["containers"][0]["resources"] = beside.clone();
        let stream = json!({"apiVersion": "jetstream.nats.io/v1", "kind": "Stream", "metadata": {"name": "api"}, "spec": beside});
        let documents = [&spec, &workload, &stream, &beside];
        for finding in check(&documents) {
            prop_assert!(finding.document < documents.len());
        }
        // The rules again where the shape is not what stops them.
        if let Ok(subject) = Subject::new(0, &spec, &Manifests::new(&documents)) {
            rules::policy(&subject, &mut Vec::new());
        }
    }
}

#[test]
fn an_outcome_that_may_never_happen_wants_a_heartbeat() {
    let of = |metric: Json| json!({"thresholds": [{"name": "t", "metric": metric, "levels": [{"severity": "warning", "above": "1/s"}]}]});
    let errors = json!({"counter": "requests_total", "matching": {"code": "5.."}});
    finds(&of(errors.clone()), &["TT0105 thresholds.t.metric"]);
    let mut beating = errors;
    beating["heartbeat"] = json!({"counter": "requests_total"});
    finds(&of(beating), &[]);
    // What may be there from the start.
    finds(&of(json!({"counter": "requests_total", "labels": {"route": "/"}})), &[]);
}
