//! The rows that write: each number of the guides, where the policy of the example says it, and where it is seen.

use Seen::{Cpu, Declared, Env, Held, Kept, Line, Memory, NotEnforceable, Object, Sysctl, Template, Token};

/// A row of a guide.
pub struct Row {
    pub id: &'static str,
    /// Folder under `examples`, and namespace.
    pub example: &'static str,
    pub items: &'static [Item],
}

/// One thing that a row asks for.
pub struct Item {
    pub text: &'static str,
    /// Name of the policy.
    pub policy: &'static str,
    /// Path in it.
    pub path: &'static str,
    pub seen: Seen,
}

/// Where a value is seen.
pub enum Seen {
    /// In the environment of process 1 of the container.
    Env(&'static str, &'static str),
    /// A word of that variable there.
    Token(&'static str, &'static str),
    /// A word of that variable that the manifest has, and that stays where others are added.
    Kept(&'static str, &'static str),
    /// A line of a file in the container, blanks around it left out.
    Line(&'static str, &'static str),
    /// Bytes of the container's control group.
    Memory(u64),
    /// Microseconds of each 100 ms, of the container's control group.
    Cpu(u64),
    /// A file below `/proc/sys` in the container, its numbers one blank apart.
    Sysctl(&'static str, &'static str),
    /// A pointer into the object that the policy governs, and the JSON there.
    Object(&'static str, &'static str),
    /// The same of what can never change once it is there, so that the manifest has it, too: the policy owns it.
    Held(&'static str, &'static str),
    /// A pointer into the container of its pod template, and the JSON there.
    Template(&'static str, &'static str),
    /// Nowhere, as nobody outside of the program can write it: what the reason has to name.
    NotEnforceable(&'static str),
    /// What the application does whatever we write; the policy says so, and its rules follow from it.
    Declared(&'static str),
}

const fn item(text: &'static str, policy: &'static str, path: &'static str, seen: Seen) -> Item {
    Item { text, policy, path, seen }
}

const RAG: &str = "/etc/ai-beast/rag.json";
const POOL: &str = "/etc/ai-beast/pool.properties";
const GRID: &str = "/etc/grid/config.yaml";
const MONITORING: &str = "/etc/grid/performance_config.json";
const EMBEDDINGS: &str = "/etc/embeddings/embeddings.ini";
const POSTGRES: &str = "/etc/postgres/postgresql.conf";
const GRACE: &str = "/etc/grace/config.yaml";
const ALCHEMIST: &str = "/etc/alchemist/alchemist.toml";

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // ---- AI Beast
    Row { id: "AB4", example: "ai-beast", items: &[
        item("config: TTL 5.0 s", "dashboard", "caches.config.ttl", Env("CONFIG_CACHE_TTL", "5")),
        item("invalidated by the file's modification time", "dashboard", "caches.config.invalidation", Declared("FileModified")),
    ]},
    Row { id: "AB5", example: "ai-beast", items: &[
        item("embedding-model: one, loaded once, without TTL", "dashboard", "caches.embedding-model.maxEntries", Env("EMBEDDING_MODEL_CACHE_SIZE", "1")),
        item("Qdrant client loaded lazily", "dashboard", "settings.qdrant-lazy", Env("QDRANT_LAZY", "true")),
    ]},
    Row { id: "AB6", example: "ai-beast", items: &[
        item("idle time 5 min", "dashboard", "pools.sqlite.idleTimeout", Line(POOL, "pool.idle.seconds=300")),
        item("WAL", "dashboard", "settings.sqlite-journal-mode", Line(POOL, "pool.journal-mode=WAL")),
        item("idle cleanup", "dashboard", "settings.sqlite-idle-cleanup", Line(POOL, "pool.cleanup=true")),
        item("health check of stale connections", "dashboard", "settings.sqlite-health-check", Line(POOL, "pool.health-check=true")),
        item("size by concurrency", "dashboard", "pools.sqlite.size", Line(POOL, "pool.size=10")),
        item("statistics", "dashboard", "settings.sqlite-pool-statistics", Env("POOL_STATISTICS", "true")),
    ]},
    Row { id: "AB7", example: "ai-beast", items: &[
        item("upsert batch 128, chunk size 1200, overlap 200, hash chunk 8192", "ingest", "settings.upsert-batch",
            Line(RAG, "\"ingest\": {\"upsert_batch\": 128, \"chunk_size\": 1200, \"chunk_overlap\": 200, \"hash_chunk\": 8192}")),
    ]},
    Row { id: "AB8", example: "ai-beast", items: &[
        item("HTTP health checks: timeout 5 s", "dashboard", "settings.health-check-timeout", Env("HEALTH_CHECK_TIMEOUT", "5")),
        item("in parallel, 5 to 10 services", "dashboard", "settings.health-check-parallel", Env("HEALTH_CHECK_PARALLEL", "10")),
        item("a failed check reports degraded", "dashboard", "settings.health-check-degrade", Env("HEALTH_CHECK_DEGRADE", "true")),
    ]},
    // ---- GRID
    Row { id: "GR3", example: "grid", items: &[
        item("monitoring interval 60 s, started", "mothership", "settings.monitoring-interval", Line(MONITORING, "\"monitoring\": {\"interval\": 60, \"enabled\": true},")),
        item("analysis window 24 h", "mothership", "settings.analysis-window-hours", Line(MONITORING, "\"analysis\": {\"time_window_hours\": 24}")),
    ]},
    Row { id: "GR7", example: "grid", items: &[
        item("in memory by default", "mothership", "settings.event-bus-redis", Line(GRID, "use_redis: false    # false: in memory, on one node")),
        item("redis_host localhost", "mothership", "settings.redis-host", Line(GRID, "redis_host: localhost")),
        item("redis_port 6379", "mothership", "settings.redis-port", Line(GRID, "redis_port: 6379")),
    ]},
    Row { id: "GR8", example: "grid", items: &[
        item("pool_size 10", "mothership", "pools.database.size", Line(GRID, "pool_size: 10        # per process")),
        item("max_overflow: 2 instead of 20, so that three pods and a rollout fit", "mothership", "pools.database.overflow", Line(GRID, "max_overflow: 2")),
        item("pool_timeout: 0.15 s instead of 30, for an answer within 200 ms", "mothership", "settings.pool-timeout", Line(GRID, "pool_timeout: 0.15    # seconds")),
    ]},
    Row { id: "GR9", example: "grid", items: &[
        item("reference-file: 100 entries", "mothership", "caches.reference-file.maxEntries", Env("REFERENCE_FILE_CACHE_SIZE", "100")),
        item("api-response: 100 entries", "mothership", "caches.api-response.maxEntries", Env("API_RESPONSE_CACHE_SIZE", "100")),
        item("expensive-computation: 100 entries", "mothership", "caches.expensive-computation.maxEntries", Env("COMPUTATION_CACHE_SIZE", "100")),
        item("LRU", "mothership", "caches.reference-file.eviction", Declared("LRU")),
    ]},
    Row { id: "GR10", example: "grid", items: &[
        item("pending cases per batch 10", "mothership", "settings.pending-cases", Env("CASE_BATCH_LIMIT", "10")),
        item("query limit 10", "mothership", "settings.query-limit", Env("QUERY_LIMIT", "10")),
        item("list page limit 20", "mothership", "settings.page-limit", Line(GRID, "page_limit: 20")),
        item("offset 0", "mothership", "settings.page-offset", Env("PAGE_OFFSET", "0")),
        item("event history limit 100", "mothership", "settings.event-history-limit", Env("EVENT_HISTORY_LIMIT", "100")),
        item("gzip from 1000 B", "mothership", "settings.gzip-minimum-size", Line(GRID, "gzip_minimum_size: 1000")),
        item("case memory at most 100 MB", "mothership", "settings.case-memory-mb", Line(GRID, "max_size_mb: 100")),
        item("with automatic cleanup", "mothership", "settings.case-memory-cleanup", Line(GRID, "auto_cleanup: true")),
        item("at .case_memory", "mothership", "settings.case-memory-path", Line(GRID, "path: \".case_memory\"")),
        item("events published in batches", "mothership", "settings.event-batch", Env("EVENT_PUBLISH_BATCHED", "true")),
    ]},
    // ---- Vrooli
    Row { id: "VR5", example: "vrooli", items: &[
        item("16 workers, twice the cores for I/O", "embeddings", "workers.embedding.count", Line(EMBEDDINGS, "max_workers = 16")),
        item("as many as cores for CPU", "embeddings", "settings.cpu-workers", Env("CPU_WORKERS", "8")),
        item("memory for each worker", "embeddings", "workers.embedding.memoryPerWorker", Declared("200Mi")),
        item("processes recycled", "embeddings", "settings.worker-recycle-after", Env("WORKER_MAX_TASKS", "1000")),
        item("one fork for each CPU", "server", "workers.fork.count", Env("CLUSTER_WORKERS", "1")),
    ]},
    Row { id: "VR6", example: "vrooli", items: &[
        item("embedding batch 50", "embeddings", "settings.embedding-batch", Line(EMBEDDINGS, "embedding = 50")),
        item("API batch_size 50", "embeddings", "settings.api-batch", Line(EMBEDDINGS, "api = 50")),
        item("executemany", "embeddings", "settings.executemany-batch", Env("DATABASE_EXECUTEMANY_BATCH", "50")),
        item("file chunk 8192", "embeddings", "settings.file-chunk", Line(EMBEDDINGS, "file_chunk = 8192")),
    ]},
    Row { id: "VR7", example: "vrooli", items: &[
        item("L1: TTL 60 s", "server", "caches.application.ttl", Env("L1_TTL", "60")),
        item("L1: 1 MB", "server", "caches.application.maxBytes", Env("L1_MAX_BYTES", "1000000")),
        item("L1: LRU", "server", "caches.application.eviction", Declared("LRU")),
        item("L2, Redis: TTL 3600 s", "server", "caches.redis.ttl", Env("L2_TTL", "3600")),
        item("L2: shared", "server", "caches.redis.tier", Declared("Shared")),
        item("L2: selective invalidation", "server", "caches.redis.invalidation", Declared("Explicit")),
        item("L3, disk: TTL 24 h", "server", "caches.disk.ttl", Env("L3_TTL", "86400")),
        item("L3: addressed by content", "server", "caches.disk.invalidation", Declared("ContentAddressed")),
        item("planned: a cache of embeddings", "embeddings", "caches.embedding.ttl", Env("EMBEDDING_CACHE_TTL", "86400")),
    ]},
    Row { id: "VR8", example: "vrooli", items: &[
        item("nofile 65536", "server", "kernel.openFiles", NotEnforceable("process_max_fds")),
        item("net.core.somaxconn 1024", "server", "kernel.sysctls.net.core.somaxconn", Sysctl("net/core/somaxconn", "1024")),
        item("net.ipv4.tcp_max_syn_backlog 2048", "server", "kernel.sysctls.net.ipv4.tcp_max_syn_backlog", Sysctl("net/ipv4/tcp_max_syn_backlog", "2048")),
        item("vm.swappiness 10", "server", "kernel.sysctls.vm.swappiness", NotEnforceable("node")),
        item("vm.dirty_ratio 15", "server", "kernel.sysctls.vm.dirty_ratio", NotEnforceable("node")),
    ]},
    Row { id: "VR9", example: "vrooli", items: &[
        item("shared_buffers 2GB", "postgres", "settings.shared-buffers", Line(POSTGRES, "shared_buffers = 2GB                  # (change requires restart)")),
        item("effective_cache_size 6GB", "postgres", "settings.effective-cache-size", Line(POSTGRES, "effective_cache_size = 6GB")),
        item("work_mem 32MB, for 50 connections", "postgres", "settings.work-mem", Line(POSTGRES, "work_mem = 32MB                          # min 64kB")),
        item("maintenance_work_mem 512MB", "postgres", "settings.maintenance-work-mem", Line(POSTGRES, "maintenance_work_mem = 512MB")),
    ]},
    Row { id: "VR10", example: "vrooli", items: &[
        item("--max-old-space-size=4096", "server", "runtime.node.maxOldSpace", Token("NODE_OPTIONS", "--max-old-space-size=4096")),
        item("what was in NODE_OPTIONS stays", "server", "runtime.node.maxOldSpace", Kept("NODE_OPTIONS", "--enable-source-maps")),
        item("within a limit that bears it", "server", "resources.node.limits.memory", Memory(5632 << 20)),
    ]},
    Row { id: "VR11", example: "vrooli", items: &[
        item("garbage collection after batches", "embeddings", "settings.gc-after-batch", Line(EMBEDDINGS, "gc_after_batch = true")),
        item("throttled by memory", "embeddings", "settings.memory-throttle", Env("MEMORY_THROTTLE_RATIO", "0.8")),
        item("files are streamed", "embeddings", "settings.stream-files", Env("STREAM_FILES", "true")),
    ]},
    // ---- Grace
    Row { id: "GC4", example: "grace", items: &[
        item("DATABASE_URL of PostgreSQL", "grace", "settings.database", NotEnforceable("Secret")),
        item("pool_size 20", "grace", "pools.db.size", Env("DB_POOL_SIZE", "20")),
        item("max_overflow 10", "grace", "pools.db.overflow", Env("DB_MAX_OVERFLOW", "10")),
        item("a wait of 0.4 s for a connection, of which the guide says nothing", "grace", "settings.pool-timeout", Env("DB_POOL_TIMEOUT", "0.4")),
        item("pool_pre_ping", "grace", "settings.pool-pre-ping", Env("DB_POOL_PRE_PING", "true")),
    ]},
    Row { id: "GC5", example: "grace", items: &[
        item("trust-score: 3600 s", "grace", "caches.trust-score.ttl", Env("TRUST_SCORE_TTL", "3600")),
        item("metrics-summary: 60 s", "grace", "caches.metrics-summary.ttl", Env("METRICS_SUMMARY_TTL", "60")),
        item("prefix grace:", "grace", "settings.cache-prefix", Env("CACHE_PREFIX", "grace:")),
        item("Redis at localhost", "grace", "settings.redis-host", NotEnforceable("address")),
        item("port 6379", "grace", "settings.redis-port", Env("REDIS_PORT", "6379")),
        item("sessions in Redis when scaled out", "grace", "settings.sessions-in-redis", Env("SESSIONS_IN_REDIS", "true")),
    ]},
    Row { id: "GC6", example: "grace", items: &[
        item("max_parallel: the container's cores", "grace", "settings.task-max-parallel", Env("TASK_MAX_PARALLEL", "2")),
        item("cpu_count() obeys the limit", "grace", "runtime.python.cpuCount", Env("PYTHON_CPU_COUNT", "2")),
        item("4 workers of gunicorn", "grace", "workers.web.count", Env("WEB_CONCURRENCY", "4")),
        item("--worker-class", "grace", "settings.worker-class", Token("GUNICORN_CMD_ARGS", "--worker-class=uvicorn.workers.UvicornWorker")),
        item("--bind", "grace", "settings.bind", Token("GUNICORN_CMD_ARGS", "--bind=0.0.0.0:8000")),
    ]},
    Row { id: "GC7", example: "grace", items: &[
        item("low traffic: reflection 10 s", "grace", "settings.reflection-interval", Env("REFLECTION_INTERVAL", "10")),
        item("meta loop 300 s", "grace", "settings.meta-loop-interval", Env("META_LOOP_INTERVAL", "300")),
        item("health check 30 s", "grace", "settings.health-check-interval", Env("HEALTH_CHECK_INTERVAL", "30")),
    ]},
    Row { id: "GC8", example: "grace", items: &[
        item("query limit 50", "grace", "settings.query-limit", Line(GRACE, "queryLimit: 50         # rows; 0 means all")),
        item("page 1", "grace", "settings.page", Env("DEFAULT_PAGE", "1")),
        item("per_page 50", "grace", "settings.per-page", Env("DEFAULT_PER_PAGE", "50")),
        item("gzip from 1000 B", "grace", "settings.gzip-minimum-size", Line(GRACE, "gzipMinimumSize: 1000    # bytes; 0 means never")),
        item("reflections only over new messages", "grace", "settings.reflect-new-messages-only", Env("REFLECT_NEW_MESSAGES_ONLY", "true")),
    ]},
    Row { id: "GC9", example: "grace", items: &[
        item("limit of 2.0 CPUs", "grace", "resources.api.limits.cpu", Cpu(200_000)),
        item("limit of 2G", "grace", "resources.api.limits.memory", Memory(2 << 30)),
        item("1.0 CPU reserved", "grace", "resources.api.requests.cpu", Template("/resources/requests/cpu", "\"1\"")),
        item("1G reserved", "grace", "resources.api.requests.memory", Template("/resources/requests/memory", "\"1Gi\"")),
        item("RLIMIT_AS 2 GiB", "grace", "settings.rlimit-as", NotEnforceable("address space")),
    ]},
    // ---- Alchemist
    Row { id: "AL4", example: "alchemist", items: &[
        item("dialog-history: 5 min", "dialog", "caches.dialog-history.ttl", Env("CACHE_TTL_DIALOG_HISTORY", "300")),
        item("ai-responses: 1 h", "dialog", "caches.ai-responses.ttl", Env("CACHE_TTL_AI_RESPONSES", "3600")),
        item("domain-status: 30 s", "dialog", "caches.domain-status.ttl", Env("CACHE_TTL_DOMAIN_STATUS", "30")),
        item("user-sessions: 15 min", "dialog", "caches.user-sessions.ttl", Env("CACHE_TTL_USER_SESSIONS", "900")),
    ]},
    Row { id: "AL5", example: "alchemist", items: &[
        item("max_connections: 20 in one process, of the database's 100", "dialog", "pools.database.size", Line(ALCHEMIST, "max_connections = 20      # per process")),
        item("min_connections 10", "dialog", "pools.database.minIdle", Line(ALCHEMIST, "min_connections = 10")),
        item("connection_timeout: 0.075 s instead of 30, for an answer within 100 ms", "dialog", "settings.connection-timeout", Line(ALCHEMIST, "connection_timeout = 0.075  # seconds or parts of one")),
        item("one process, which is what 4 GiB bear", "dialog", "workers.dialog.count", Env("DIALOG_PROCESSES", "1")),
        item("idle_timeout 600 s", "dialog", "pools.database.idleTimeout", Line(ALCHEMIST, "idle_timeout = 600")),
        item("max_lifetime 1800 s", "dialog", "pools.database.maxLifetime", Line(ALCHEMIST, "max_lifetime = 1800")),
    ]},
    Row { id: "AL6", example: "alchemist", items: &[
        item("name", "events", "settings.stream-name", Held("/spec/name", "\"ALCHEMIST-EVENTS\"")),
        item("subjects cim.>, of the scheme cim.{domain}.{entity}.{event}", "events", "settings.subjects", Object("/spec/subjects", "[\"cim.>\"]")),
        item("retention by limits", "events", "settings.retention", Object("/spec/retention", "\"limits\"")),
        item("max_msgs: what seven days hold at 10,000 per second", "events", "settings.max-messages", Object("/spec/maxMsgs", "6048000000")),
        item("max_bytes: the same in messages of 1 KB", "events", "settings.max-bytes", Object("/spec/maxBytes", "6048000000000")),
        item("max_age 7d", "events", "settings.max-age", Object("/spec/maxAge", "\"168h0m0s\"")),
        item("max_msg_size 1MB", "events", "settings.max-message-size", Object("/spec/maxMsgSize", "1000000")),
        item("storage file", "events", "settings.storage", Held("/spec/storage", "\"file\"")),
        item("replicas 3", "events", "settings.replicas", Object("/spec/replicas", "3")),
        item("placement: cluster production", "events", "settings.placement-cluster", Object("/spec/placement/cluster", "\"production\"")),
        item("placement: tags ssd, fast", "events", "settings.placement-tags", Object("/spec/placement/tags", "[\"ssd\",\"fast\"]")),
    ]},
    Row { id: "AL7", example: "alchemist", items: &[
        item("domain_stats refreshed every 60 s", "dialog", "settings.domain-stats-refresh", Line(ALCHEMIST, "domain_stats_refresh = 60")),
        item("over 1 h", "dialog", "settings.domain-stats-window", Env("DOMAIN_STATS_WINDOW", "3600")),
        item("models kept warm every 300 s", "dialog", "settings.model-keep-warm", Env("MODEL_KEEP_WARM_INTERVAL", "300")),
        item("models loaded at start", "dialog", "settings.model-preload", Env("MODEL_PRELOAD", "llama3,nomic-embed")),
        item("dashboard updates debounced", "dialog", "settings.dashboard-interval", Env("DASHBOARD_INTERVAL_MS", "250")),
    ]},
    Row { id: "AL8", example: "alchemist", items: &[
        item("buffer of the channel", "dialog", "settings.stream-channel-buffer", Line(ALCHEMIST, "channel_buffer = 64      # chunks")),
        item("flushed every 5 tokens", "dialog", "settings.stream-flush-tokens", Line(ALCHEMIST, "flush_tokens = 5")),
        item("strings of capacity 100", "dialog", "settings.stream-string-capacity", NotEnforceable("constant of the code")),
    ]},
    Row { id: "AL9", example: "alchemist", items: &[
        item("viewport 600", "dialog", "settings.ui-viewport", Env("UI_VIEWPORT_HEIGHT", "600")),
        item("item 80", "dialog", "settings.ui-item", Env("UI_ITEM_HEIGHT", "80")),
        item("8 visible", "dialog", "settings.ui-visible", Env("UI_VISIBLE_ITEMS", "8")),
    ]},
    Row { id: "AL10", example: "alchemist", items: &[
        item("somaxconn 65535", "dialog", "kernel.sysctls.net.core.somaxconn", Sysctl("net/core/somaxconn", "65535")),
        item("tcp_max_syn_backlog 65535", "dialog", "kernel.sysctls.net.ipv4.tcp_max_syn_backlog", Sysctl("net/ipv4/tcp_max_syn_backlog", "65535")),
        item("ip_local_port_range 1024 65535", "dialog", "kernel.sysctls.net.ipv4.ip_local_port_range", Sysctl("net/ipv4/ip_local_port_range", "1024 65535")),
        item("tcp_tw_reuse 1", "dialog", "kernel.sysctls.net.ipv4.tcp_tw_reuse", Sysctl("net/ipv4/tcp_tw_reuse", "1")),
        item("tcp_fin_timeout 15", "dialog", "kernel.sysctls.net.ipv4.tcp_fin_timeout", Sysctl("net/ipv4/tcp_fin_timeout", "15")),
        item("netdev_max_backlog 65535", "dialog", "kernel.sysctls.net.core.netdev_max_backlog", NotEnforceable("node")),
        item("rmem_max 134217728", "dialog", "kernel.sysctls.net.core.rmem_max", NotEnforceable("node")),
        item("wmem_max 134217728", "dialog", "kernel.sysctls.net.core.wmem_max", NotEnforceable("node")),
    ]},
    Row { id: "AL11", example: "alchemist", items: &[
        item("limit of 4 CPUs", "dialog", "resources.dialog.limits.cpu", Cpu(400_000)),
        item("limit of 4Gi", "dialog", "resources.dialog.limits.memory", Memory(4 << 30)),
        item("request of 1 CPU", "dialog", "resources.dialog.requests.cpu", Template("/resources/requests/cpu", "\"1\"")),
        item("request: what the JVM touches, instead of 1Gi", "dialog", "resources.dialog.requests.memory", Template("/resources/requests/memory", "\"2700Mi\"")),
    ]},
    Row { id: "AL12", example: "alchemist", items: &[
        item("-Xms2g", "dialog", "runtime.jvm.heapMin", Token("JAVA_TOOL_OPTIONS", "-Xms2g")),
        item("-Xmx2g", "dialog", "runtime.jvm.heapMax", Token("JAVA_TOOL_OPTIONS", "-Xmx2g")),
        item("-XX:+UseG1GC", "dialog", "runtime.jvm.collector", Token("JAVA_TOOL_OPTIONS", "-XX:+UseG1GC")),
        item("-XX:MaxGCPauseMillis=100", "dialog", "runtime.jvm.maxPause", Token("JAVA_TOOL_OPTIONS", "-XX:MaxGCPauseMillis=100")),
        item("-XX:+ParallelRefProcEnabled", "dialog", "runtime.jvm.parallelRefProc", Token("JAVA_TOOL_OPTIONS", "-XX:+ParallelRefProcEnabled")),
        item("-XX:+AlwaysPreTouch", "dialog", "runtime.jvm.alwaysPreTouch", Token("JAVA_TOOL_OPTIONS", "-XX:+AlwaysPreTouch")),
        item("what was there stays", "dialog", "runtime.jvm.heapMax", Kept("JAVA_TOOL_OPTIONS", "-Dalchemist.region=eu")),
    ]},
];
