//! The table of all rows, in `docs/guides.md`: made from [`ROWS`] for what is written, and from a list for what is checked,
//! reported and asked for. A row without a test fails here, and so does one whose field is not in its file.

use std::{fmt::Write as _, fs, ops::RangeInclusive};

use serde_json::Value;

use crate::{
    cluster::repository,
    golden::assert_golden,
    rows::{Item, ROWS, Row, Seen},
};

/// Something of a row that is checked, reported or asked for.
struct Other {
    id: &'static str,
    text: &'static str,
    /// File of the repository that carries it.
    file: &'static str,
    /// Field or command.
    field: &'static str,
    /// File of the test, and its name.
    test: (&'static str, &'static str),
}

#[rustfmt::skip]
const OTHERS: &[Other] = &[
    Other { id: "AB1", text: "API cached < 100 ms", file: "examples/ai-beast/repaired/policy.yaml", field: "thresholds.api-cached", test: ("tests/real_metrics/rows.rs", "ab1") },
    Other { id: "AB1", text: "API with database < 500 ms", file: "examples/ai-beast/repaired/policy.yaml", field: "thresholds.api-database", test: ("tests/real_metrics/rows.rs", "ab1") },
    Other { id: "AB1", text: "health checks < 5 s in total", file: "examples/ai-beast/repaired/policy.yaml", field: "thresholds.health-check", test: ("tests/real_metrics/rows.rs", "ab1") },
    Other { id: "AB1", text: "subprocess call < 200 ms", file: "examples/ai-beast/repaired/policy.yaml", field: "thresholds.subprocess", test: ("tests/real_metrics/rows.rs", "ab1") },
    Other { id: "AB1", text: "memory < 80 %", file: "examples/ai-beast/repaired/policy.yaml", field: "thresholds.memory-used", test: ("tests/real_metrics/rows.rs", "ab1") },
    Other { id: "AB1", text: "database connections < 50 % of the pool", file: "examples/ai-beast/repaired/policy.yaml", field: "thresholds.database-connections", test: ("tests/real_metrics/rows.rs", "ab1") },
    Other { id: "AB1", text: "open files, no number", file: "examples/ai-beast/repaired/policy.yaml", field: "thresholds.open-files", test: ("tests/real_metrics/rows.rs", "ab1") },
    Other { id: "AB2", text: "ingestion 10 to 50 files/s, a band", file: "examples/ai-beast/repaired/policy.yaml", field: "thresholds.ingestion", test: ("tests/real_metrics/rows.rs", "ab2") },
    Other { id: "AB2", text: "model downloads, no number", file: "examples/ai-beast/repaired/policy.yaml", field: "thresholds.model-download", test: ("tests/real_metrics/rows.rs", "ab2") },
    Other { id: "AB2", text: "trend of batch completion", file: "examples/ai-beast/repaired/policy.yaml", field: "thresholds.batch-completion", test: ("tests/real_metrics/rows.rs", "ab2") },
    Other { id: "AB3", text: "available memory: warning below 20 %, critical below 10 %", file: "examples/ai-beast/repaired/policy.yaml", field: "thresholds.memory-available", test: ("tests/real_metrics/rows.rs", "ab3") },
    Other { id: "GR1", text: "case creation < 100 ms", file: "examples/grid/repaired/policy.yaml", field: "thresholds.case-creation", test: ("tests/real_metrics/rows.rs", "gr1") },
    Other { id: "GR1", text: "case execution < 2 s", file: "examples/grid/repaired/policy.yaml", field: "thresholds.case-execution", test: ("tests/real_metrics/rows.rs", "gr1") },
    Other { id: "GR1", text: "event processing < 50 ms", file: "examples/grid/repaired/policy.yaml", field: "thresholds.event-processing", test: ("tests/real_metrics/rows.rs", "gr1") },
    Other { id: "GR1", text: "API p95 < 200 ms", file: "examples/grid/repaired/policy.yaml", field: "thresholds.api-p95", test: ("tests/real_metrics/rows.rs", "gr1") },
    Other { id: "GR1", text: "query p95 < 100 ms", file: "examples/grid/repaired/policy.yaml", field: "thresholds.query-p95", test: ("tests/real_metrics/rows.rs", "gr1") },
    Other { id: "GR2", text: "cpu_usage > 80 %", file: "examples/grid/repaired/policy.yaml", field: "thresholds.cpu-usage", test: ("tests/real_metrics/rows.rs", "gr2") },
    Other { id: "GR2", text: "memory_usage > 85 %", file: "examples/grid/repaired/policy.yaml", field: "thresholds.memory-usage", test: ("tests/real_metrics/rows.rs", "gr2") },
    Other { id: "GR2", text: "disk_usage > 90 %", file: "examples/grid/repaired/policy.yaml", field: "thresholds.disk-usage", test: ("tests/real_metrics/rows.rs", "gr2") },
    Other { id: "GR2", text: "response_time > 2.0 s", file: "examples/grid/repaired/policy.yaml", field: "thresholds.response-time", test: ("tests/real_metrics/rows.rs", "gr2") },
    Other { id: "GR2", text: "error_rate > 5 %", file: "examples/grid/repaired/policy.yaml", field: "thresholds.error-rate", test: ("tests/real_metrics/rows.rs", "gr2") },
    Other { id: "GR2", text: "success_rate < 95 %", file: "examples/grid/repaired/policy.yaml", field: "thresholds.success-rate", test: ("tests/real_metrics/rows.rs", "gr2") },
    Other { id: "GR2", text: "slow event handler > 1.0 s", file: "examples/grid/repaired/policy.yaml", field: "thresholds.slow-event-handler", test: ("tests/real_metrics/rows.rs", "gr2") },
    Other { id: "GR2", text: "event queue > 1000", file: "examples/grid/repaired/policy.yaml", field: "thresholds.event-queue", test: ("tests/real_metrics/rows.rs", "gr2") },
    Other { id: "VR1", text: "startup < 20 s", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.startup", test: ("tests/real_metrics/rows.rs", "vr1") },
    Other { id: "VR1", text: "resource response < 50 ms", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.resource-response", test: ("tests/real_metrics/rows.rs", "vr1") },
    Other { id: "VR1", text: "API p50 < 50 ms", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.api-p50", test: ("tests/real_metrics/rows.rs", "vr1") },
    Other { id: "VR1", text: "API p99 < 200 ms", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.api-p99", test: ("tests/real_metrics/rows.rs", "vr1") },
    Other { id: "VR1", text: "memory idle < 2 GB", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.memory-idle", test: ("tests/real_metrics/rows.rs", "vr1") },
    Other { id: "VR1", text: "memory peak < 8 GB", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.memory-peak", test: ("tests/real_metrics/rows.rs", "vr1") },
    Other { id: "VR3", text: "PostgreSQL: startup, memory, CPU", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.postgresql-memory", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "Redis: startup, memory, CPU", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.redis-memory", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "Qdrant: startup, memory, CPU", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.qdrant-memory", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "N8n: startup, memory, CPU", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.n8n-startup", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "Ollama: startup, memory, CPU", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.ollama-startup", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR11", text: "Ollama's model, 2 GB resident", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.ollama-resident", test: ("tests/real_metrics/rows.rs", "vr11") },
    Other { id: "VR12", text: "parallel startup < 15 s", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.parallel-startup", test: ("tests/real_metrics/rows.rs", "vr12") },
    Other { id: "VR12", text: "refresh 25 times faster", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.refresh", test: ("tests/real_metrics/rows.rs", "vr12") },
    Other { id: "VR12", text: "query time −80 %", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.query-time", test: ("tests/real_metrics/rows.rs", "vr12") },
    Other { id: "GC1", text: "chat < 100 ms", file: "examples/grace/repaired/policy.yaml", field: "thresholds.chat-p95", test: ("tests/real_metrics/rows.rs", "gc1") },
    Other { id: "GC1", text: "reflection < 500 ms", file: "examples/grace/repaired/policy.yaml", field: "thresholds.reflection-p95", test: ("tests/real_metrics/rows.rs", "gc1") },
    Other { id: "GC1", text: "health check < 50 ms", file: "examples/grace/repaired/policy.yaml", field: "thresholds.health-check", test: ("tests/real_metrics/rows.rs", "gc1") },
    Other { id: "GC1", text: "sandbox, no number", file: "examples/grace/repaired/policy.yaml", field: "thresholds.sandbox", test: ("tests/real_metrics/rows.rs", "gc1") },
    Other { id: "GC2", text: "light load: p95 and throughput", file: "examples/grace/repaired/policy.yaml", field: "profiles.light", test: ("tests/real_metrics/rows.rs", "gc2") },
    Other { id: "GC2", text: "medium load: p95 and throughput", file: "examples/grace/repaired/policy.yaml", field: "profiles.medium", test: ("tests/real_metrics/rows.rs", "gc2") },
    Other { id: "GC2", text: "heavy load: p95 and throughput", file: "examples/grace/repaired/policy.yaml", field: "profiles.heavy", test: ("tests/real_metrics/rows.rs", "gc2") },
    Other { id: "AL1", text: "dialog API < 100 ms", file: "examples/alchemist/repaired/policy.yaml", field: "thresholds.dialog-p95", test: ("tests/real_metrics/rows.rs", "al1") },
    Other { id: "AL1", text: "first token < 500 ms", file: "examples/alchemist/repaired/policy.yaml", field: "thresholds.first-token-p95", test: ("tests/real_metrics/rows.rs", "al1") },
    Other { id: "AL1", text: "dashboard 60 fps", file: "examples/alchemist/repaired/policy.yaml", field: "thresholds.dashboard-fps", test: ("tests/real_metrics/rows.rs", "al1") },
    Other { id: "AL2", text: "10k events/s", file: "examples/alchemist/repaired/policy.yaml", field: "thresholds.events", test: ("tests/real_metrics/rows.rs", "al2") },
    Other { id: "AL2", text: "1000 dialogs", file: "examples/alchemist/repaired/policy.yaml", field: "thresholds.concurrent-dialogs", test: ("tests/real_metrics/rows.rs", "al2") },
    Other { id: "AL2", text: "100 dashboard connections", file: "examples/alchemist/repaired/policy.yaml", field: "thresholds.dashboard-connections", test: ("tests/real_metrics/rows.rs", "al2") },
    Other { id: "AL3", text: "memory < 500 MB base", file: "examples/alchemist/repaired/policy.yaml", field: "thresholds.memory-base", test: ("tests/real_metrics/rows.rs", "al3") },
    Other { id: "AL3", text: "CPU < 50 %", file: "examples/alchemist/repaired/policy.yaml", field: "thresholds.cpu", test: ("tests/real_metrics/rows.rs", "al3") },
    Other { id: "AL3", text: "network, no number", file: "examples/alchemist/repaired/policy.yaml", field: "thresholds.network", test: ("tests/real_metrics/rows.rs", "al3") },
];

/// Rows of the guides, in their order.
const IDS: [(&str, &str, RangeInclusive<u8>); 5] = [
    ("AB", "AI Beast", 1..=11),
    ("GR", "GRID", 1..=13),
    ("VR", "Vrooli", 1..=19),
    ("GC", "Grace", 1..=12),
    ("AL", "Alchemist", 1..=16),
];

/// The tests of [`ROWS`].
const SEEN: &str = "tests/guides/seen.rs";

/// One line of the table.
struct Line {
    text: String,
    file: String,
    field: String,
    seen: String,
    test: (String, String),
}

fn read(file: &str) -> String {
    let path = repository().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading \"{}\": {error}", path.display()))
}

/// The file of the example that has the policy of that name.
fn file_of(example: &str, policy: &str) -> String {
    let folder = format!("examples/{example}/repaired");
    let files = repository().join(&folder).read_dir().expect("the folder of the example");
    let mut names: Vec<String> = files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let has = |name: &String| documents(&format!("{folder}/{name}")).iter().any(|document| is_policy(document, policy));
    let name = names.iter().find(|name| has(name)).unwrap_or_else(|| panic!("no policy {policy} in {folder}"));
    format!("{folder}/{name}")
}

fn is_policy(document: &Value, name: &str) -> bool {
    document["kind"] == "PerformancePolicy" && document["metadata"]["name"] == name
}

fn documents(file: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(file)).unwrap_or_else(|error| panic!("reading {file}: {error}"))
}

/// Whether a path is in a spec: members by their names, items of lists by name, container or id, which may have dots.
pub fn has(at: &Value, path: &str) -> bool {
    match at {
        _ if path.is_empty() => true,
        Value::Array(items) => items.iter().any(|item| {
            let keys = ["name", "container", "id"].into_iter().filter_map(|key| item[key].as_str());
            let mut rests = keys.filter_map(|key| path.strip_prefix(key));
            rests.any(|rest| rest.is_empty() || rest.strip_prefix('.').is_some_and(|rest| has(item, rest)))
        }),
        Value::Object(_) => {
            let (first, rest) = path.split_once('.').unwrap_or((path, ""));
            at.get(first).is_some_and(|next| has(next, rest))
        }
        _ => false,
    }
}

fn line_of(row: &Row, item: &Item) -> Line {
    let seen = match item.seen {
        Seen::Env(name, value) => format!("environment `{name}={value}`"),
        Seen::Token(name, token) => format!("`{token}` in `{name}`"),
        Seen::Line(file, line) => format!("`{}` in `{file}`", line.split_whitespace().collect::<Vec<_>>().join(" ")),
        Seen::Memory(bytes) => format!("control group: {bytes} bytes"),
        Seen::Cpu(quota) => format!("control group: {quota} µs of 100 ms"),
        Seen::Sysctl(file, value) => format!("`/proc/sys/{file}`: {value}"),
        Seen::Object(pointer, json) => format!("object `{pointer}`: `{json}`"),
        Seen::Template(pointer, json) => format!("pod template `{pointer}`: `{json}`"),
        Seen::NotEnforceable(_) => "`NotEnforceable`, with the reason".to_owned(),
        Seen::Declared(value) => format!("declared: {value}"),
    };
    Line {
        text: item.text.to_owned(),
        file: file_of(row.example, item.policy),
        field: item.path.to_owned(),
        seen,
        test: (SEEN.to_owned(), row.id.to_lowercase()),
    }
}

/// Everything about a row.
fn lines(id: &str) -> Vec<Line> {
    let written = ROWS.iter().filter(|row| row.id == id).flat_map(|row| row.items.iter().map(move |item| line_of(row, item)));
    let others = OTHERS.iter().filter(|other| other.id == id).map(|other| Line {
        text: other.text.to_owned(),
        file: other.file.to_owned(),
        field: other.field.to_owned(),
        seen: String::new(),
        test: (other.test.0.to_owned(), other.test.1.to_owned()),
    });
    written.chain(others).collect()
}

/// Whether a file has a test of that name.
fn has_test(file: &str, name: &str) -> bool {
    let text = read(file);
    if file == SEEN {
        let listed = text.split_once("\nrows! {").map_or("", |(_, rest)| rest);
        return listed.split_whitespace().any(|word| word == name);
    }
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    let attributes = before.lines().rev().take_while(|line| !line.trim().is_empty() && !line.starts_with('}'));
    attributes.into_iter().any(|line| line.trim() == "#[test]")
}

#[test]
fn golden_every_row_has_a_field_and_a_test() {
    let mut table = String::from(
        "# The five guides, row by row\n\nMade by `tests/guides/table.rs` (`make golden`), which fails when a row has no test, a test is gone or a field \
         is not in its file.\n\nA row's letters name its guide. Values that are written are read back from inside the running container (or from the object \
         that another operator reads); values that are checked fire and clear an alert in a real Prometheus; reports are held to golden files; \
         what is asked of people is in a checklist.\n",
    );
    let mut wrong = Vec::new();
    for (letters, guide, numbers) in IDS {
        write!(table, "\n## {guide}\n\n| row | what | field | where it is seen | test |\n|---|---|---|---|---|\n").unwrap();
        for id in numbers.map(|number| format!("{letters}{number}")) {
            let lines = lines(&id);
            if lines.is_empty() {
                wrong.push(format!("{id} has no test"));
            }
            for Line { text, file, field, seen, test } in lines {
                if file.ends_with(".yaml") && !documents(&file).iter().any(|document| has(&document["spec"], &field)) {
                    wrong.push(format!("{id}: {field} is not in {file}"));
                }
                if !has_test(&test.0, &test.1) {
                    wrong.push(format!("{id}: {} has no test {}", test.0, test.1));
                }
                let folder = file.strip_prefix("examples/").unwrap_or(&file);
                let cell = |text: &str| text.replace('|', "\\|");
                writeln!(
                    table,
                    "| {id} | {} | `{}` in [{folder}](../{file}) | {} | `{}` in {} |",
                    cell(&text), cell(&field), cell(&seen), test.1, test.0
                )
                .unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_golden("docs/guides.md", &table);
}
