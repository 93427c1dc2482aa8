//! The table of all rows, in `docs/guides.md`: made from [`ROWS`] for what is written, and from a list for what is checked,
//! reported and asked for. A row without a test fails here, and so does one whose field is not in its file.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    ops::RangeInclusive,
    sync::{Arc, Mutex},
};

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
    Other { id: "VR3", text: "PostgreSQL: startup", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.postgresql-startup", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "PostgreSQL: memory", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.postgresql-memory", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "PostgreSQL: CPU", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.postgresql-cpu", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "Redis: startup", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.redis-startup", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "Redis: memory", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.redis-memory", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "Redis: CPU", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.redis-cpu", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "Qdrant: startup", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.qdrant-startup", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "Qdrant: memory", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.qdrant-memory", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "Qdrant: CPU", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.qdrant-cpu", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "N8n: startup", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.n8n-startup", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "N8n: memory", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.n8n-memory", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "N8n: CPU", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.n8n-cpu", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "Ollama: startup", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.ollama-startup", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "Ollama: memory", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.ollama-memory", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR3", text: "Ollama: CPU", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.ollama-cpu", test: ("tests/real_metrics/rows.rs", "vr3") },
    Other { id: "VR11", text: "Ollama's model, 2 GB resident", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.ollama-resident", test: ("tests/real_metrics/rows.rs", "vr11") },
    Other { id: "VR12", text: "parallel startup < 15 s", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.parallel-startup", test: ("tests/real_metrics/rows.rs", "vr12") },
    Other { id: "VR12", text: "refresh 25 times faster", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.refresh", test: ("tests/real_metrics/rows.rs", "vr12") },
    Other { id: "VR12", text: "query time −80 %", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.query-time", test: ("tests/real_metrics/rows.rs", "vr12") },
    Other { id: "GC1", text: "chat < 100 ms", file: "examples/grace/repaired/policy.yaml", field: "thresholds.chat-p95", test: ("tests/real_metrics/rows.rs", "gc1") },
    Other { id: "GC1", text: "reflection < 500 ms", file: "examples/grace/repaired/policy.yaml", field: "thresholds.reflection-p95", test: ("tests/real_metrics/rows.rs", "gc1") },
    Other { id: "GC1", text: "health check < 50 ms", file: "examples/grace/repaired/policy.yaml", field: "thresholds.health-check", test: ("tests/real_metrics/rows.rs", "gc1") },
    Other { id: "GC1", text: "sandbox, no number", file: "examples/grace/as-written/policy.yaml", field: "thresholds.sandbox", test: ("tests/real_metrics/rows.rs", "gc1") },
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
    Other { id: "AB10", text: "No N+1 queries", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab10-n-plus-1", test: ("tests/reports.rs", "ab10_pitfalls_have_a_state") },
    Other { id: "AB10", text: "No synchronous I/O in asynchronous code", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab10-sync-io", test: ("tests/reports.rs", "ab10_pitfalls_have_a_state") },
    Other { id: "AB10", text: "Configuration is not loaded again and again", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab10-config-load", test: ("tests/reports.rs", "ab10_pitfalls_have_a_state") },
    Other { id: "AB10", text: "No quadratic concatenation of strings", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab10-string-concat", test: ("tests/reports.rs", "ab10_pitfalls_have_a_state") },
    Other { id: "AB10", text: "The index idx_models_name is there", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab10-missing-index", test: ("tests/reports.rs", "ab10_pitfalls_have_a_state") },
    Other { id: "AB10", text: "Subprocesses capture output as text", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab10-subprocess", test: ("tests/reports.rs", "ab10_pitfalls_have_a_state") },
    Other { id: "AB10", text: "Generators for large data", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab10-generators", test: ("tests/reports.rs", "ab10_pitfalls_have_a_state") },
    Other { id: "AB11", text: "cProfile and pstats were used", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-cprofile", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "memory_profiler was used", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-memory-profiler", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "kernprof was used", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-kernprof", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "aiofiles (future)", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-aiofiles", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "Cache of results (future)", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-result-cache", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "Requests are coalesced (future)", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-coalescing", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "Imports are lazy (future)", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-lazy-imports", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "Writes are batched (future)", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-write-batching", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "Measure first", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-measure-first", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "Document trade-offs", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-trade-offs", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "Add tests of performance", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-add-tests", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "Update the document", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-update-doc", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "Review regularly", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-review", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "Production: response times of health checks", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-health-times", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "Production: statistics of pools", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-pool-statistics", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "AB11", text: "Production: logs of slow operations", file: "examples/ai-beast/repaired/policy.yaml", field: "checklist.ab11-slow-logs", test: ("tests/reports.rs", "ab11_tools_and_practices_have_a_state") },
    Other { id: "GR11", text: "Before deployment: monitoring is on", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-monitoring", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "Before deployment: thresholds are set", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-thresholds", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "Before deployment: pooling is configured", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-pooling", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "Before deployment: compression is on", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-compression", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "Before deployment: alerting is set", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-alerting", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "Before deployment: critical paths were profiled", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-profiled", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "Before deployment: load tests were run", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-load-tested", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "During development: asynchronous I/O", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-async-io", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "During development: batching", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-batching", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "During development: caching", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-caching", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "During development: pagination", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-pagination", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "During development: indexes", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-indexes", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "During development: memory is watched", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-memory", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "During development: slow functions were profiled", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-slow-functions", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "In production: metrics are continuous", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-continuous", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "In production: anomalies alert", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-anomalies", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "In production: trends are reviewed", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-trends", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "In production: optimise on data", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-optimise", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "In production: scale", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-scale", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "In production: document", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-document", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR11", text: "In production: iterate", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr11-iterate", test: ("tests/reports.rs", "gr11_before_during_and_after_development") },
    Other { id: "GR12", text: "No synchronous I/O", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr12-sync-io", test: ("tests/reports.rs", "gr12_bottlenecks_have_a_state") },
    Other { id: "GR12", text: "Files are streamed, not loaded whole", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr12-streaming", test: ("tests/reports.rs", "gr12_bottlenecks_have_a_state") },
    Other { id: "GR12", text: "No N+1 queries: load eagerly", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr12-n-plus-1", test: ("tests/reports.rs", "gr12_bottlenecks_have_a_state") },
    Other { id: "GR12", text: "From O(n²) to O(n log n)", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr12-complexity", test: ("tests/reports.rs", "gr12_bottlenecks_have_a_state") },
    Other { id: "GR12", text: "No caching is missing", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr12-caching", test: ("tests/reports.rs", "gr12_bottlenecks_have_a_state") },
    Other { id: "GR12", text: "select_related for joins", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr12-select-related", test: ("tests/reports.rs", "gr12_bottlenecks_have_a_state") },
    Other { id: "GR12", text: "cProfile, snakeviz, curl -w and the echo of SQLAlchemy were used", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr12-tools", test: ("tests/reports.rs", "gr12_bottlenecks_have_a_state") },
    Other { id: "GR13", text: "async and await", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr13-async", test: ("tests/reports.rs", "gr13_best_practices_have_a_state") },
    Other { id: "GR13", text: "Batch", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr13-batch", test: ("tests/reports.rs", "gr13_best_practices_have_a_state") },
    Other { id: "GR13", text: "Cache aggressively", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr13-cache", test: ("tests/reports.rs", "gr13_best_practices_have_a_state") },
    Other { id: "GR13", text: "Monitor, and alert on anomalies", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr13-monitor", test: ("tests/reports.rs", "gr13_best_practices_have_a_state") },
    Other { id: "GR13", text: "Paginate", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr13-paginate", test: ("tests/reports.rs", "gr13_best_practices_have_a_state") },
    Other { id: "GR13", text: "Pool connections", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr13-pool", test: ("tests/reports.rs", "gr13_best_practices_have_a_state") },
    Other { id: "GR13", text: "Optimise queries", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr13-queries", test: ("tests/reports.rs", "gr13_best_practices_have_a_state") },
    Other { id: "GR13", text: "Clean up resources", file: "examples/grid/repaired/policy.yaml", field: "checklist.gr13-clean-up", test: ("tests/reports.rs", "gr13_best_practices_have_a_state") },
    Other { id: "VR15", text: "The index idx_embeddings_app_id is there", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr15-app-id", test: ("tests/reports.rs", "vr15_indexes_have_a_state") },
    Other { id: "VR15", text: "The index idx_embeddings_type is there", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr15-type", test: ("tests/reports.rs", "vr15_indexes_have_a_state") },
    Other { id: "VR15", text: "The index idx_workflows_status is there", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr15-status", test: ("tests/reports.rs", "vr15_indexes_have_a_state") },
    Other { id: "VR15", text: "N+1 queries are gone", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr15-n-plus-1", test: ("tests/reports.rs", "vr15_indexes_have_a_state") },
    Other { id: "VR15", text: "Hot queries are cached in Redis", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr15-hot-queries", test: ("tests/reports.rs", "vr15_indexes_have_a_state") },
    Other { id: "VR16", text: "1 month: cache of embeddings", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-embedding-cache", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "1 month: parallel startup", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-parallel-startup", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "1 month: indexes for queries and foreign keys", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-indexes", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "1 month: memory profiling", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-memory-profiling", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "1 month: pooling", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-pooling", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "3 months: distributed processing", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-distributed", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "3 months: cache warming", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-cache-warming", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "3 months: sharding", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-sharding", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "3 months: CDN", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-cdn", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "3 months: service mesh", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-service-mesh", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "6 months: GPU", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-gpu", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "6 months: edge", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-edge", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "6 months: cryptography that resists quantum computers", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-cryptography", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "6 months: self-tuning", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-self-tuning", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR16", text: "6 months: zero-copy", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr16-zero-copy", test: ("tests/reports.rs", "vr16_roadmap_has_a_state") },
    Other { id: "VR17", text: "Do: profile first", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr17-profile", test: ("tests/reports.rs", "vr17_what_to_do_has_a_state") },
    Other { id: "VR17", text: "Do: cache, but invalidate", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr17-cache", test: ("tests/reports.rs", "vr17_what_to_do_has_a_state") },
    Other { id: "VR17", text: "Do: batch", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr17-batch", test: ("tests/reports.rs", "vr17_what_to_do_has_a_state") },
    Other { id: "VR17", text: "Do: the right data structure", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr17-structure", test: ("tests/reports.rs", "vr17_what_to_do_has_a_state") },
    Other { id: "VR17", text: "Do: monitor continuously", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr17-monitor", test: ("tests/reports.rs", "vr17_what_to_do_has_a_state") },
    Other { id: "VR17", text: "Do: document why", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr17-document", test: ("tests/reports.rs", "vr17_what_to_do_has_a_state") },
    Other { id: "VR17", text: "Do: automated tests of performance", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr17-tests", test: ("tests/reports.rs", "vr17_what_to_do_has_a_state") },
    Other { id: "VR17", text: "Do: weigh trade-offs", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr17-trade-offs", test: ("tests/reports.rs", "vr17_what_to_do_has_a_state") },
    Other { id: "VR18", text: "Don't: premature optimisation", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr18-premature", test: ("tests/reports.rs", "vr18_what_not_to_do_has_a_state") },
    Other { id: "VR18", text: "Don't: micro-optimisation without proof", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr18-micro", test: ("tests/reports.rs", "vr18_what_not_to_do_has_a_state") },
    Other { id: "VR18", text: "Don't: ignore memory", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr18-memory", test: ("tests/reports.rs", "vr18_what_not_to_do_has_a_state") },
    Other { id: "VR18", text: "Don't: sequential where parallel is possible", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr18-sequential", test: ("tests/reports.rs", "vr18_what_not_to_do_has_a_state") },
    Other { id: "VR18", text: "Don't: synchronous I/O", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr18-sync-io", test: ("tests/reports.rs", "vr18_what_not_to_do_has_a_state") },
    Other { id: "VR18", text: "Don't: large transactions", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr18-transactions", test: ("tests/reports.rs", "vr18_what_not_to_do_has_a_state") },
    Other { id: "VR18", text: "Don't: unbounded operations; always set limits", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr18-unbounded", test: ("tests/reports.rs", "vr18_what_not_to_do_has_a_state") },
    Other { id: "VR18", text: "Don't: ignore indexes", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr18-indexes", test: ("tests/reports.rs", "vr18_what_not_to_do_has_a_state") },
    Other { id: "VR19", text: "Cause: calls of Ollama are synchronous", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-ollama-sync", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Cause: no pooling", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-pooling", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Cause: chunks of text are big", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-chunks", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Cause: identical content is not cached", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-identical", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Cause: leaks in long-running processes", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-leaks", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Cause: inefficient JOINs", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-joins", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Code: __slots__", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-slots", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Code: generators", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-generators", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Code: lazy resource manager", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-lazy", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Code: content-addressed reuse", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-content-addressed", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Rule: measure", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-measure", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Rule: the 20 % that give 80 %", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-eighty", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Rule: monitor", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-rule-monitor", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Rule: document", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-rule-document", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "VR19", text: "Rule: balance performance, maintainability and cost", file: "examples/vrooli/repaired/policy.yaml", field: "checklist.vr19-balance", test: ("tests/reports.rs", "vr19_causes_and_rules_have_a_state") },
    Other { id: "GC10", text: "The index idx_chat_user_created is there", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc10-chat-user", test: ("tests/reports.rs", "gc10_indexes_have_a_state") },
    Other { id: "GC10", text: "The index idx_tasks_user_status is there", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc10-tasks-user", test: ("tests/reports.rs", "gc10_indexes_have_a_state") },
    Other { id: "GC10", text: "The index idx_reflections_generated is there", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc10-reflections", test: ("tests/reports.rs", "gc10_indexes_have_a_state") },
    Other { id: "GC10", text: "The index idx_immutable_log_sequence is there", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc10-immutable-log", test: ("tests/reports.rs", "gc10_indexes_have_a_state") },
    Other { id: "GC10", text: "The index idx_knowledge_domain is there", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc10-knowledge", test: ("tests/reports.rs", "gc10_indexes_have_a_state") },
    Other { id: "GC11", text: "The frontend is a production build, served on 5173", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc11-production-build", test: ("tests/reports.rs", "gc11_frontend_and_scaling_have_a_state") },
    Other { id: "GC11", text: "The frontend is split", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc11-code-splitting", test: ("tests/reports.rs", "gc11_frontend_and_scaling_have_a_state") },
    Other { id: "GC11", text: "The frontend comes from a CDN", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc11-cdn", test: ("tests/reports.rs", "gc11_frontend_and_scaling_have_a_state") },
    Other { id: "GC11", text: "Vertical: cores to workers", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc11-cores", test: ("tests/reports.rs", "gc11_frontend_and_scaling_have_a_state") },
    Other { id: "GC11", text: "Vertical: RAM to caches", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc11-ram", test: ("tests/reports.rs", "gc11_frontend_and_scaling_have_a_state") },
    Other { id: "GC11", text: "Vertical: SSD", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc11-ssd", test: ("tests/reports.rs", "gc11_frontend_and_scaling_have_a_state") },
    Other { id: "GC11", text: "Horizontal: load balancer", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc11-load-balancer", test: ("tests/reports.rs", "gc11_frontend_and_scaling_have_a_state") },
    Other { id: "GC11", text: "Horizontal: shared PostgreSQL", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc11-postgresql", test: ("tests/reports.rs", "gc11_frontend_and_scaling_have_a_state") },
    Other { id: "GC11", text: "Horizontal: Redis", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc11-redis", test: ("tests/reports.rs", "gc11_frontend_and_scaling_have_a_state") },
    Other { id: "GC11", text: "Horizontal: Celery (future)", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc11-celery", test: ("tests/reports.rs", "gc11_frontend_and_scaling_have_a_state") },
    Other { id: "GC12", text: "Switch to PostgreSQL for production", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc12-postgresql", test: ("tests/reports.rs", "gc12_the_checklist_of_ten") },
    Other { id: "GC12", text: "Redis caching", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc12-redis", test: ("tests/reports.rs", "gc12_the_checklist_of_ten") },
    Other { id: "GC12", text: "Gunicorn workers", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc12-workers", test: ("tests/reports.rs", "gc12_the_checklist_of_ten") },
    Other { id: "GC12", text: "Gzip", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc12-gzip", test: ("tests/reports.rs", "gc12_the_checklist_of_ten") },
    Other { id: "GC12", text: "Indexes", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc12-indexes", test: ("tests/reports.rs", "gc12_the_checklist_of_ten") },
    Other { id: "GC12", text: "Frontend build", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc12-frontend", test: ("tests/reports.rs", "gc12_the_checklist_of_ten") },
    Other { id: "GC12", text: "CDN", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc12-cdn", test: ("tests/reports.rs", "gc12_the_checklist_of_ten") },
    Other { id: "GC12", text: "Load balancer", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc12-load-balancer", test: ("tests/reports.rs", "gc12_the_checklist_of_ten") },
    Other { id: "GC12", text: "Load tests were run", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc12-load-tests", test: ("tests/reports.rs", "gc12_the_checklist_of_ten") },
    Other { id: "GC12", text: "Monitor and tune", file: "examples/grace/repaired/policy.yaml", field: "checklist.gc12-monitor", test: ("tests/reports.rs", "gc12_the_checklist_of_ten") },
    Other { id: "AL15", text: "The index idx_dialogs_user_updated is there", file: "examples/alchemist/repaired/policy.yaml", field: "checklist.al15-dialogs", test: ("tests/reports.rs", "al15_indexes_and_practice_have_a_state") },
    Other { id: "AL15", text: "The index idx_messages_dialog_timestamp is there", file: "examples/alchemist/repaired/policy.yaml", field: "checklist.al15-messages", test: ("tests/reports.rs", "al15_indexes_and_practice_have_a_state") },
    Other { id: "AL15", text: "The index idx_events_domain_created is there", file: "examples/alchemist/repaired/policy.yaml", field: "checklist.al15-events", test: ("tests/reports.rs", "al15_indexes_and_practice_have_a_state") },
    Other { id: "AL15", text: "The index idx_domain_stats_domain is there", file: "examples/alchemist/repaired/policy.yaml", field: "checklist.al15-domain-stats", test: ("tests/reports.rs", "al15_indexes_and_practice_have_a_state") },
    Other { id: "AL15", text: "Arenas for short-lived values", file: "examples/alchemist/repaired/policy.yaml", field: "checklist.al15-arena", test: ("tests/reports.rs", "al15_indexes_and_practice_have_a_state") },
    Other { id: "AL15", text: "Strings are interned", file: "examples/alchemist/repaired/policy.yaml", field: "checklist.al15-interning", test: ("tests/reports.rs", "al15_indexes_and_practice_have_a_state") },
    Other { id: "AL15", text: "Profile first", file: "examples/alchemist/repaired/policy.yaml", field: "checklist.al15-profile", test: ("tests/reports.rs", "al15_indexes_and_practice_have_a_state") },
    Other { id: "AL15", text: "Writes to the database are batched", file: "examples/alchemist/repaired/policy.yaml", field: "checklist.al15-batch-writes", test: ("tests/reports.rs", "al15_indexes_and_practice_have_a_state") },
    Other { id: "AL15", text: "Publishes to NATS are batched", file: "examples/alchemist/repaired/policy.yaml", field: "checklist.al15-batch-publishes", test: ("tests/reports.rs", "al15_indexes_and_practice_have_a_state") },
    Other { id: "AL15", text: "Asynchronous I/O", file: "examples/alchemist/repaired/policy.yaml", field: "checklist.al15-async", test: ("tests/reports.rs", "al15_indexes_and_practice_have_a_state") },
    Other { id: "AL15", text: "Computed values are cached", file: "examples/alchemist/repaired/policy.yaml", field: "checklist.al15-computed", test: ("tests/reports.rs", "al15_indexes_and_practice_have_a_state") },
    Other { id: "AL15", text: "Degradation alerts", file: "examples/alchemist/repaired/policy.yaml", field: "checklist.al15-degradation", test: ("tests/reports.rs", "al15_indexes_and_practice_have_a_state") },
    Other { id: "AB9", text: "two measurements of ten runs side by side, mean and standard deviation", file: "tests/data/reports/beast-before.json", field: "trimtab report --before --after", test: ("tests/reports.rs", "ab9_before_and_after_have_means_and_standard_deviations_of_the_same_method") },
    Other { id: "GC2", text: "the levels as a table, with what the heavy one requires", file: "examples/grace/repaired/policy.yaml", field: "reports.LOAD_LEVELS", test: ("tests/reports.rs", "gc2_load_levels_are_judged_under_their_load_with_targets_of_their_own_and_preconditions") },
    Other { id: "GC3", text: "locust, POST /api/chat/ with a bearer token", file: "examples/grace/repaired/policy.yaml", field: "loadTests.chat-light", test: ("tests/reports.rs", "gc3_the_load_test_of_the_chat_is_a_job_with_a_token_by_reference") },
    Other { id: "GR5", text: "automation: often repeated", file: "tests/data/reports/grid.yaml", field: "thresholds.task-repeated", test: ("tests/reports.rs", "gr5_tasks_that_are_slow_or_often_repeated_are_suggested") },
    Other { id: "GR5", text: "optimization: slower than 20, than 30 min", file: "tests/data/reports/grid.yaml", field: "thresholds.task-duration", test: ("tests/reports.rs", "gr5_tasks_that_are_slow_or_often_repeated_are_suggested") },
    Other { id: "GR6", text: "metrics of the system: CPU", file: "tests/data/reports/grid.yaml", field: "thresholds.cpu-usage", test: ("tests/reports.rs", "gr6_metrics_are_exported_with_operations_alerts_trends_and_recommendations") },
    Other { id: "GR6", text: "memory", file: "tests/data/reports/grid.yaml", field: "thresholds.memory-usage", test: ("tests/reports.rs", "gr6_metrics_are_exported_with_operations_alerts_trends_and_recommendations") },
    Other { id: "GR6", text: "disk", file: "tests/data/reports/grid.yaml", field: "thresholds.disk-usage", test: ("tests/reports.rs", "gr6_metrics_are_exported_with_operations_alerts_trends_and_recommendations") },
    Other { id: "GR6", text: "network", file: "tests/data/reports/grid.yaml", field: "thresholds.network-received", test: ("tests/reports.rs", "gr6_metrics_are_exported_with_operations_alerts_trends_and_recommendations") },
    Other { id: "GR6", text: "operations, alerts, trends, recommendations, summary; metrics_export.json", file: "tests/data/reports/grid-readings.json", field: "trimtab export metrics", test: ("tests/reports.rs", "gr6_metrics_are_exported_with_operations_alerts_trends_and_recommendations") },
    Other { id: "VR1", text: "the table, with a status by rule or by word", file: "examples/vrooli/repaired/policy.yaml", field: "reports.SYSTEM_METRICS", test: ("tests/reports.rs", "vr1_system_table_has_a_status_by_rule_and_by_word") },
    Other { id: "VR2", text: "the table of embeddings, with how many times better", file: "examples/vrooli/repaired/policy.yaml", field: "reports.EMBEDDING_METRICS", test: ("tests/reports.rs", "vr2_embedding_table_says_how_many_times_better_and_rounds_down") },
    Other { id: "VR3", text: "the table of resources", file: "examples/vrooli/repaired/policy.yaml", field: "reports.RESOURCE_METRICS", test: ("tests/reports.rs", "vr3_resource_table") },
    Other { id: "VR4", text: "exactly the text between the markers", file: "tests/data/reports/vrooli-document.md", field: "trimtab report --into", test: ("tests/reports.rs", "vr4_tables_go_between_their_markers_and_no_other_byte_changes") },
    Other { id: "VR4", text: "markers that are no pairs", file: "tests/data/reports/vrooli-document.md", field: "trimtab report --into", test: ("tests/reports.rs", "vr4_markers_that_are_no_pairs_are_refused_and_the_document_stays") },
    Other { id: "VR13", text: "ab -n 1000 -c 10 of the search", file: "examples/vrooli/repaired/policy.yaml", field: "loadTests.search", test: ("tests/reports.rs", "vr13_the_benchmark_of_the_search_is_a_job") },
    Other { id: "VR14", text: "durations and memory deltas of operations", file: "tests/data/reports/vrooli-readings.json", field: "trimtab export metrics", test: ("tests/reports.rs", "vr14_operations_have_durations_and_memory_deltas") },
    Other { id: "AL13", text: "the dashboard: request rate, and the p95 of the service", file: "tests/data/reports/alchemist.yaml", field: "thresholds.response-time-p95", test: ("tests/reports.rs", "al13_dashboard_has_the_panels_of_the_guide_with_a_percentile_of_the_whole_service") },
    Other { id: "AL13", text: "the counter of requests", file: "tests/data/reports/alchemist.yaml", field: "thresholds.request-rate", test: ("tests/reports.rs", "al13_dashboard_has_the_panels_of_the_guide_with_a_percentile_of_the_whole_service") },
    Other { id: "AL14", text: "ab -n 1000 -c 10 POST /api/dialogs", file: "examples/alchemist/repaired/policy.yaml", field: "loadTests.dialogs", test: ("tests/reports.rs", "al14_load_tests_of_the_guide") },
    Other { id: "AL14", text: "wrk -t12 -c400 -d30s", file: "examples/alchemist/repaired/policy.yaml", field: "loadTests.streaming", test: ("tests/reports.rs", "al14_load_tests_of_the_guide") },
    Other { id: "AL14", text: "wscat subscribe", file: "examples/alchemist/repaired/policy.yaml", field: "loadTests.subscribe", test: ("tests/reports.rs", "al14_load_tests_of_the_guide") },
    Other { id: "AL16", text: "what is breached says where to look", file: "tests/data/reports/alchemist.yaml", field: "thresholds.nats-consumer-lag", test: ("tests/reports.rs", "al16_what_is_breached_says_where_to_look") },
    Other { id: "AL16", text: "hit rate of Redis", file: "tests/data/reports/alchemist.yaml", field: "thresholds.redis-hit-rate", test: ("tests/reports.rs", "al16_what_is_breached_says_where_to_look") },
    Other { id: "GR4", text: "always succeeds: less logging", file: "examples/grid/repaired/policy.yaml", field: "patterns.skills-that-succeed", test: ("tests/real_metrics/patterns.rs", "gr4_what_always_succeeds_or_fails_and_what_falls_back_is_told") },
    Other { id: "GR4", text: "always fails: investigate now", file: "examples/grid/repaired/policy.yaml", field: "patterns.skills-that-fail", test: ("tests/real_metrics/patterns.rs", "gr4_what_always_succeeds_or_fails_and_what_falls_back_is_told") },
    Other { id: "GR4", text: "slow: above 5 s", file: "examples/grid/repaired/policy.yaml", field: "patterns.slow-skills", test: ("tests/real_metrics/patterns.rs", "gr4_what_is_slow_or_scatters_is_told") },
    Other { id: "GR4", text: "inconsistent confidence", file: "examples/grid/repaired/policy.yaml", field: "patterns.inconsistent-skills", test: ("tests/real_metrics/patterns.rs", "gr4_what_is_slow_or_scatters_is_told") },
    Other { id: "GR4", text: "fallback rate above 30 %", file: "examples/grid/repaired/policy.yaml", field: "patterns.fallbacks", test: ("tests/real_metrics/patterns.rs", "gr4_what_always_succeeds_or_fails_and_what_falls_back_is_told") },
    Other { id: "GR5", text: "automation: often repeated, and it succeeds", file: "examples/grid/repaired/policy.yaml", field: "patterns.worth-automating", test: ("tests/real_metrics/patterns.rs", "gr5_candidates_for_automation_and_optimisation_are_told") },
    Other { id: "GR5", text: "optimization: 20 to 30 min", file: "examples/grid/repaired/policy.yaml", field: "patterns.worth-optimising", test: ("tests/real_metrics/patterns.rs", "gr5_candidates_for_automation_and_optimisation_are_told") },
    Other { id: "AB2", text: "the trend is told", file: "examples/ai-beast/repaired/policy.yaml", field: "patterns.batch-trend", test: ("tests/real_metrics/patterns.rs", "ab2_the_trend_of_batch_completion_time_is_told") },
    Other { id: "AL16", text: "breached together: hints", file: "examples/alchemist/repaired/policy.yaml", field: "thresholds.dialog-p95.hints", test: ("tests/real_metrics/patterns.rs", "al16_what_is_breached_together_tells_where_to_look") },
    Other { id: "GC7", text: "high traffic: 60, 3600 and 120 s, forced, in one rollout and back", file: "examples/grace/repaired/policy.yaml", field: "profiles.high-traffic", test: ("tests/guides/profiles.rs", "gc7_one_switch_moves_three_intervals_in_one_rollout_and_back") },
    Other { id: "GC7", text: "high traffic, by the load", file: "examples/grace/repaired/policy.yaml", field: "profiles.high-traffic.when", test: ("tests/operator/profiles.rs", "gc7_high_traffic_moves_three_intervals_in_one_rollout_and_low_traffic_brings_them_back") },
    Other { id: "GR7", text: "Redis: refused without a host, and in one rollout with one", file: "examples/grid/repaired/policy.yaml", field: "profiles.distributed", test: ("tests/guides/profiles.rs", "gr7_redis_needs_a_host_and_then_one_rollout_switches_the_event_bus") },
    Other { id: "AL11", text: "one change of limits.memory moves heap, pool and workers in one rollout", file: "examples/alchemist/repaired/policy.yaml", field: "resources.dialog.limits.memory", test: ("tests/guides/together.rs", "one_change_of_a_limit_moves_heap_pool_and_workers_in_one_rollout") },
];

/// Rows of the guides, in their order.
const IDS: [(&str, &str, RangeInclusive<u8>); 5] = [
    ("AB", "AI Beast", 1..=11),
    ("GR", "GRID", 1..=13),
    ("VR", "Vrooli", 1..=19),
    ("GC", "Grace", 1..=12),
    ("AL", "Alchemist", 1..=16),
];

/// Where the tests of [`ROWS`] are.
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
pub fn file_of(example: &str, policy: &str) -> String {
    let folder = format!("examples/{example}/repaired");
    let files = repository().join(&folder).read_dir().expect("the folder of the example");
    let mut names: Vec<String> = files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let has = |name: &String| documents(&format!("{folder}/{name}")).iter().any(|document| is_policy(document, policy));
    let name = names.iter().find(|name| has(name)).unwrap_or_else(|| panic!("no policy {policy} in {folder}"));
    format!("{folder}/{name}")
}

pub fn is_policy(document: &Value, name: &str) -> bool {
    document["kind"] == "PerformancePolicy" && document["metadata"]["name"] == name
}

/// The documents of a file, which is read once.
pub fn documents(file: &str) -> Arc<Vec<Value>> {
    static READ: Mutex<BTreeMap<String, Arc<Vec<Value>>>> = Mutex::new(BTreeMap::new());
    let parse = || serde_saphyr::from_multiple(&read(file)).unwrap_or_else(|error| panic!("reading {file}: {error}"));
    let mut all = READ.lock().unwrap();
    Arc::clone(all.entry(file.to_owned()).or_insert_with(|| Arc::new(parse())))
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
        Seen::Kept(name, token) => format!("`{token}` in `{name}`, as before"),
        Seen::Line(file, line) => format!("`{}` in `{file}`", line.split_whitespace().collect::<Vec<_>>().join(" ")),
        Seen::Memory(bytes) => format!("control group: {bytes} bytes"),
        Seen::Cpu(quota) => format!("control group: {quota} µs of 100 ms"),
        Seen::Sysctl(file, value) => format!("`/proc/sys/{file}`: {value}"),
        Seen::Object(pointer, json) => format!("object `{pointer}`: `{json}`"),
        Seen::Held(pointer, json) => format!("object `{pointer}`: `{json}`, which the policy owns"),
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

/// The numbers of a threshold, a pattern or a profile: one that changes shows in the table.
fn numbers(file: &str, field: &str) -> String {
    let found = field.split_once('.').filter(|_| is_yaml(file)).and_then(|(section, name)| {
        let of =
            |document: &Value| document["spec"][section].as_array()?.iter().find(|item| item["name"] == name).cloned();
        documents(file).iter().find_map(of).map(|item| (section, item))
    });
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let Some((section, item)) = found else { return String::new() };
    match section {
        "thresholds" | "patterns" => {
            let levels = item["levels"].as_array().into_iter().flatten();
            let side = |level: &Value, side: &str| level.get(side).map(|bound| format!("{side} {}", plain(bound)));
            let levels = levels.map(|level| {
                let sides: Vec<String> = ["above", "below"].iter().filter_map(|name| side(level, name)).collect();
                format!("{} {}", plain(&level["severity"]), sides.join(" or "))
            });
            let levels: Vec<String> = levels.collect();
            let what =
                item["metric"]["statistic"].as_str().map(|statistic| format!("{statistic}: ")).unwrap_or_default();
            let levels = if levels.is_empty() { "no bound".to_owned() } else { levels.join(", ") };
            if section == "patterns" && item.get("levels").is_none() { String::new() } else { what + &levels }
        }
        "profiles" => {
            let load = item["load"].as_object().into_iter().flatten();
            let load = load.map(|(name, value)| format!("{name} {}", plain(value)));
            let set = item["set"].as_object().into_iter().flatten();
            let set = set.map(|(path, value)| format!("{path} {}", plain(value)));
            load.chain(set).collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    }
}

fn is_yaml(file: &str) -> bool {
    std::path::Path::new(file).extension().is_some_and(|end| end == "yaml")
}

/// Everything about a row.
fn lines(id: &str) -> Vec<Line> {
    let written =
        ROWS.iter().filter(|row| row.id == id).flat_map(|row| row.items.iter().map(move |item| line_of(row, item)));
    let others = OTHERS.iter().filter(|other| other.id == id).map(|other| Line {
        text: other.text.to_owned(),
        file: other.file.to_owned(),
        field: other.field.to_owned(),
        seen: numbers(other.file, other.field),
        test: (other.test.0.to_owned(), other.test.1.to_owned()),
    });
    written.chain(others).collect()
}

/// Whether a file has a test of that name.
fn has_test(file: &str, name: &str) -> bool {
    let text = read(file);
    // Some are made from a list of names.
    let listed =
        text.split_once("\nrows! {").and_then(|(_, rest)| rest.split_once("\n}")).map_or("", |(listed, _)| listed);
    let mut listed = listed.lines().filter(|line| !line.trim_start().starts_with("//"));
    if listed.any(|line| line.split_whitespace().any(|word| word == name)) {
        return true;
    }
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    let attributes = before.lines().rev().take_while(|line| !line.trim().is_empty() && !line.starts_with('}'));
    attributes.into_iter().any(|line| line.trim() == "#[test]")
}

/// What the tests of reports read, and the example that says the same.
const REPORTED: [&str; 3] = ["grid", "vrooli", "alchemist"];

/// The items of a section of every policy of a file, by name, without what follows from the rest of that policy.
fn section(file: &str, section: &str) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for document in documents(file).iter() {
        for item in document["spec"][section].as_array().into_iter().flatten() {
            let name = item["name"].as_str().or_else(|| item["id"].as_str()).expect("a name");
            assert!(found.insert(name.to_owned(), item.clone()).is_none(), "{file}: {name} is there twice");
        }
    }
    found
}

#[test]
fn examples_have_the_tables_and_load_tests_that_are_held_to_golden_files() {
    for example in REPORTED {
        for name in ["reports", "loadTests"] {
            let (held, is) =
                (format!("tests/data/reports/{example}.yaml"), format!("examples/{example}/repaired/policy.yaml"));
            assert_eq!(section(&is, name), section(&held, name), "{name} of {is}, as in {held}");
        }
    }
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
        write!(
            table,
            "\n## {guide}\n\n| row | what | field | where it is seen, or its numbers | test |\n|---|---|---|---|---|\n"
        )
        .unwrap();
        for id in numbers.map(|number| format!("{letters}{number}")) {
            let lines = lines(&id);
            if lines.is_empty() {
                wrong.push(format!("{id} has no test"));
            }
            for Line { text, file, field, seen, test } in lines {
                if is_yaml(&file) && !documents(&file).iter().any(|document| has(&document["spec"], &field)) {
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
                    cell(&text),
                    cell(&field),
                    cell(&seen),
                    test.1,
                    test.0
                )
                .unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_golden("docs/guides.md", &table);
}
