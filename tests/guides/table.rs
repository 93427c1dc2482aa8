//! The table of all rows, in `docs/guides.md`: made from [`ROWS`] for what is written, and from lists for what is checked,
//! reported and asked for. A row without a test fails here.

use std::{collections::BTreeSet, fs};

use crate::{cluster::repository, golden::assert_golden, rows::{ROWS, Seen}};

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
    Other { id: "VR11", text: "Ollama's model, 2 GB resident", file: "examples/vrooli/repaired/policy.yaml", field: "thresholds.ollama-memory", test: ("tests/real_metrics/rows.rs", "vr11") },
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
const IDS: &[(&str, std::ops::RangeInclusive<u8>)] = &[("AB", 1..=11), ("GR", 1..=13), ("VR", 1..=19), ("GC", 1..=12), ("AL", 1..=16)];
