//! The rules of the five guides and of the theory behind them, with their numbers.

use super::*;

/// Evaluates `text` with `names` as references, each with a literal that tells its unit.
#[track_caller]
fn with(text: &str, names: &[(&str, &str)]) -> Outcome {
    let datum = |path: &Path| {
        let (_, text) = names.iter().find(|(name, _)| *name == path.dotted())?;
        Some(Quantity::parse(text).unwrap_or_else(|| panic!("{text} is no quantity")))
    };
    let checked = parse(text).check(None, |path| {
        datum(path).map(|quantity| quantity.dimension.into()).ok_or_else(|| "is not in this test".into())
    });
    checked
        .unwrap_or_else(|error| panic!("{text} {error}"))
        .evaluate(|path| datum(path).map(Datum::Quantity))
        .unwrap_or_else(|error| panic!("{text} {error}"))
}

#[track_caller]
fn check(text: &str, names: &[(&str, &str)], expected: &str) {
    assert_eq!(with(text, names).to_string(), expected, "{text} of {names:?}");
}

/// The amount in its base unit, as a float: for vectors that are given to a few digits.
#[track_caller]
fn number(text: &str, names: &[(&str, &str)]) -> f64 {
    with(text, names).quantity().unwrap().amount.as_f64()
}

#[track_caller]
fn about(found: f64, expected: f64, half_digit: f64) {
    assert!((found - expected).abs() <= half_digit, "{found} is not {expected}");
}

#[test]
fn connection_budget() {
    let share = "floor((max_connections - 3 - others) * (1 - headroom) / ((pods + ceil(pods * 25%)) * processes))";
    for (pods, alone, with_four) in [("1", "39", "9"), ("3", "19", "4"), ("5", "11", "2"), ("10", "6", "1")] {
        for (processes, expected) in [("1", alone), ("4", with_four)] {
            let names = [
                ("max_connections", "100"),
                ("others", "10"),
                ("headroom", "10%"),
                ("pods", pods),
                ("processes", processes),
            ];
            check(share, &names, expected);
        }
    }
}

#[test]
fn connections_that_the_guides_ask_for() {
    let asked = "(size + overflow) * processes * pods";
    for (size, overflow, processes, pods, expected) in [
        ("20", "10", "4", "1", "120"),
        ("20", "10", "4", "3", "360"),
        ("20", "10", "4", "4", "480"),
        ("100", "0", "1", "3", "300"),
        ("10", "20", "1", "4", "120"),
    ] {
        check(asked, &[("size", size), ("overflow", overflow), ("processes", processes), ("pods", pods)], expected);
    }
    check("pods + ceil(pods * 25%)", &[("pods", "3")], "4");
    check("connections >= tn * (cm - 1) + 1", &[("connections", "9"), ("tn", "8"), ("cm", "2")], "true");
}

#[test]
fn littles_law_holds_with_units() {
    check("rate * latency", &[("rate", "350/s"), ("latency", "200ms")], "70");
    for (users, rate, cycle) in [("10", "100/s", "100ms"), ("100", "500/s", "200ms"), ("1000", "1000/s", "1s")] {
        check("users / rate", &[("users", users), ("rate", rate)], cycle);
    }
}

/// Columns: servers, arrivals and services per second, P(wait), Erlang B, mean wait and mean response in milliseconds.
const QUEUES: [(u32, &str, &str, f64, f64, f64, f64); 6] = [
    (1, "8/s", "10/s", 0.8, 0.4444, 400.0, 500.0),
    (10, "80/s", "10/s", 0.4092, 0.1217, 20.46, 120.46),
    (10, "90/s", "10/s", 0.6687, 0.1680, 66.87, 166.87),
    (20, "180/s", "10/s", 0.5508, 0.1092, 27.54, 127.54),
    (9, "300/s", "50/s", 0.1960, 0.0751, 1.31, 21.31),
    (100, "900/s", "10/s", 0.2169, 0.0270, 2.17, 102.17),
];

#[test]
fn queues() {
    for (servers, arrivals, services, waits, blocked, wait_ms, response_ms) in QUEUES {
        let text = servers.to_string();
        let busy = with("arrivals / services", &[("arrivals", arrivals), ("services", services)]).to_string();
        let mut b = "1".to_owned();
        for k in 1..=servers {
            let names = [("a", busy.as_str()), ("b", &b), ("k", &k.to_string())];
            b = with("a * b / (k + a * b)", &names).to_string();
        }
        let names = [("c", text.as_str()), ("b", &b), ("arrivals", arrivals), ("services", services)];
        let rho = "arrivals / (c * services)";
        let waiting = format!("(b / (1 - {rho} * (1 - b)))");
        let wait = format!("{waiting} / (c * services - arrivals)");
        about(number("b", &names), blocked, 0.000_05);
        about(number(&waiting, &names), waits, 0.000_05);
        about(number(&wait, &names) * 1e3, wait_ms, 0.005);
        about(number(&format!("{wait} + 1 / services"), &names) * 1e3, response_ms, 0.005);
    }
}

#[test]
fn workers() {
    // gunicorn's start, and what memory and budget allow.
    check("2 * ceil(limits.cpu) + 1", &[("limits.cpu", "2")], "5");
    check("2 * ceil(limits.cpu) + 1", &[("limits.cpu", "1.5")], "5");
    let rule = "min(2 * ceil(limits.cpu) + 1, floor((limits.memory * 0.9 - base) / perWorker), share)";
    for (memory, share, expected) in [("2Gi", "19", "5"), ("1Gi", "19", "2"), ("2Gi", "4", "4")] {
        let names = [
            ("limits.cpu", "2"),
            ("limits.memory", memory),
            ("base", "200Mi"),
            ("perWorker", "300Mi"),
            ("share", share),
        ];
        check(rule, &names, expected);
    }
    check(
        "ceil(limits.cpu * (1 + wait / compute))",
        &[("limits.cpu", "2"), ("wait", "80ms"), ("compute", "20ms")],
        "10",
    );
    check("clamp(ceil(limits.cpu * k), 1, 100)", &[("limits.cpu", "0.2"), ("k", "2")], "1");
}

#[test]
fn memory() {
    let names = [("limits.memory", "2Gi"), ("limits.cpu", "2")];
    check("limits.memory - 600Mi", &names, "1448Mi");
    check("75% * limits.memory", &names, "1536Mi");
    check("floor(0.9 * limits.memory, 1Mi)", &names, "1843Mi");
    check("limits.memory <= 512Mi ? 50% : 80%", &names, "80%");
    check("limits.memory <= 512Mi ? 50% : 80%", &[("limits.memory", "512Mi")], "50%");
    check("floor(75% * maxmemory, 1Mi)", &[("maxmemory", "1Gi")], "768Mi");
    check(
        "heap + nonHeap <= limits.memory",
        &[("heap", "1Gi"), ("nonHeap", "600Mi"), ("limits.memory", "2Gi")],
        "true",
    );
    // GC: Xms with AlwaysPreTouch against the request.
    check("request >= xms + nonHeap", &[("request", "1Gi"), ("xms", "2Gi"), ("nonHeap", "600Mi")], "false");
}

#[test]
fn postgresql() {
    let host = [("ram", "8Gi")];
    check("ram / 4", &host, "2Gi");
    check("75% * ram", &host, "6Gi");
    check("min(ram / 16, 8Gi)", &host, "512Mi");
    let work = "(ram - ram / 4) / ((connections + 8) * 3)";
    for (connections, mebibytes, half_digit) in [("56", 32.0, 1e-6), ("100", 19.0, 0.05), ("200", 9.8, 0.05)] {
        let found = number(&format!("{work} / 1Mi"), &[("ram", "8Gi"), ("connections", connections)]);
        about(found, mebibytes, half_digit);
    }
    check(&format!("{work} >= 32Mi"), &[("ram", "8Gi"), ("connections", "57")], "false");
}

#[test]
fn caches() {
    for (ttl, ratio) in [("5s", 0.333), ("30s", 0.750), ("60s", 0.857), ("300s", 0.968), ("3600s", 0.997)] {
        let names = [("rate", "0.1/s"), ("ttl", ttl)];
        about(number("rate * ttl / (1 + rate * ttl)", &names), ratio, 0.0005);
    }
    check("h / ((1 - h) * rate)", &[("h", "75%"), ("rate", "0.1/s")], "30s");
    let levels = [("l1", "60s"), ("l2", "3600s"), ("l3", "24h")];
    check("l1 <= l2 && l2 <= l3", &levels, "true");
    check("entries * 1Ki <= 64Mi", &[("entries", "10000")], "true");
}

#[test]
fn batches() {
    let fill = "min((b - 1) / rate, timer)";
    let cost = "(20ms + 1ms * b)";
    for (b, load, latency) in [("1", "4.2", "21ms"), ("10", "0.6", "75ms"), ("21", "0.39047619", "141ms")] {
        let names = [("b", b), ("rate", "200/s"), ("timer", "100ms")];
        check("rate * (20ms / b + 1ms)", &names, load);
        check(&format!("{fill} + {cost}"), &names, latency);
    }
}

#[test]
fn intervals_and_timeouts() {
    let pool = [("acquire", "30s"), ("idle", "600s"), ("life", "1800s"), ("slo", "100ms"), ("service", "40ms")];
    check("idle < life", &pool, "true");
    check("acquire <= slo - service", &pool, "false");
    check("work / interval <= 1%", &[("work", "150ms"), ("interval", "10s")], "false");
    check("max(reflection, meta, health)", &[("reflection", "60s"), ("meta", "3600s"), ("health", "120s")], "1h");
}

#[test]
fn streams() {
    let names = [("messages", "10000000"), ("bytes", "10G"), ("age", "7d"), ("rate", "10000/s"), ("size", "1k")];
    check("messages / rate", &names, "1000s");
    check("messages / rate >= age", &names, "false");
    check("floor(messages / age, 0.1/s)", &names, "16.5/s");
    check("bytes / messages", &names, "1k");
    check("rate * age", &names, "6048000000");
    check("bytes * 3", &names, "30G");
}

#[test]
fn conditions_of_the_guides() {
    for condition in [
        "workers.web.count >= 4",
        r#"settings["database"] == "postgresql" && settings.redis && workers.web.count >= 4"#,
        "pools.db.idleTimeout < pools.db.maxLifetime",
        r#"caches["trust-score"].maxEntries * 1Ki < limits.memory"#,
        "profile == \"high-traffic\" ? settings.interval <= 60s : settings.interval <= 30s",
        "(pools.db.size + pools.db.overflow) * workers.web.count == 120",
    ] {
        assert!(holds(condition), "{condition}");
    }
}
