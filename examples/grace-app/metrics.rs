//! What a worker measures, under the names that users of OpenTelemetry and of HikariCP know.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use crate::{
    pool::{PoolMetrics, Status},
    process,
    settings::Settings,
};

pub(crate) mod snapshot;

/// OpenTelemetry's advice for request durations, in seconds.
const HTTP_BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A wait for a connection is nothing at best, and a pool's timeout of 30 s at worst.
const WAIT_BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 30.0];

/// The metrics of one worker process.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: HistogramVec,
    pub(crate) active_requests: IntGauge,
    pub(crate) cache_requests: IntCounterVec,
    pub(crate) cache_entries: IntGaugeVec,
    pub(crate) loop_runs: IntCounterVec,
    pub(crate) tasks_running: IntGauge,
    pub(crate) database_up: IntGauge,
    pub(crate) pool: PoolMetrics,
    pool_gauges: PoolGauges,
    readback: Readback,
    process: ProcessGauges,
}

struct PoolGauges {
    count: IntGaugeVec,
    max: IntGauge,
    pending: IntGauge,
    hikari: [IntGauge; 4],
}

/// The settings in force, so that a scrape proves what a rollout claimed.
struct Readback {
    pool_size: IntGauge,
    max_overflow: IntGauge,
    query_limit: IntGauge,
    task_max_parallel: IntGauge,
    gzip_minimum_size: IntGauge,
    seconds: [Gauge; 6],
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        Ok(Self {
            requests: register(
                r,
                HistogramVec::new(
                    HistogramOpts::new(
                        "http_server_request_duration_seconds",
                        "Time from the arrival of a request to its answer; status 499 means that the client left first",
                    )
                    .buckets(HTTP_BUCKETS.to_vec()),
                    &["http_request_method", "http_route", "http_response_status_code"],
                )?,
            )?,
            active_requests: gauge(r, "http_server_active_requests", "Requests being served", &[])?,
            cache_requests: register(
                r,
                IntCounterVec::new(
                    Opts::new(
                        "cache_requests_total",
                        "Lookups in a cache; a rising share of misses means a TTL that is too short",
                    ),
                    &["cache", "result"],
                )?,
            )?,
            cache_entries: gauges(
                r,
                "cache_entries",
                "Entries held, those expired but not yet cleared included",
                "cache",
                &[],
            )?,
            loop_runs: register(
                r,
                IntCounterVec::new(
                    Opts::new("background_loop_runs_total", "Runs of the background loops"),
                    &["loop", "result"],
                )?,
            )?,
            tasks_running: gauge(
                r,
                "tasks_running",
                "Background tasks at work, at most task_max_parallel in each process",
                &[],
            )?,
            database_up: gauge(r, "database_up", "Whether the last check of the database succeeded", &[])?,
            pool: pool_metrics(r)?,
            pool_gauges: PoolGauges::new(r)?,
            readback: Readback::new(r)?,
            process: ProcessGauges::new(r)?,
            registry,
        })
    }

    /// Shows the settings in force.
    pub(crate) fn show_settings(&self, settings: &Settings) {
        let Readback { pool_size, max_overflow, query_limit, task_max_parallel, gzip_minimum_size, seconds } =
            &self.readback;
        pool_size.set(count(settings.pool.size));
        max_overflow.set(count(settings.pool.max_overflow));
        query_limit.set(i64::from(settings.query_limit));
        task_max_parallel.set(count(settings.task_max_parallel.get()));
        gzip_minimum_size.set(count(settings.gzip_minimum_size));
        let values = [
            settings.pool.timeout,
            settings.trust_score_ttl,
            settings.metrics_summary_ttl,
            settings.reflection_interval,
            settings.meta_loop_interval,
            settings.health_check_interval,
        ];
        for (gauge, value) in seconds.iter().zip(values) {
            gauge.set(value.0.as_secs_f64());
        }
    }

    /// Everything measured so far; the state of the pool as of now.
    pub(crate) fn gather(&self, pool: Status) -> snapshot::Snapshot {
        let Status { idle, used, pending, limits } = pool;
        let PoolGauges { count: by_state, max, pending: waiting, hikari } = &self.pool_gauges;
        by_state.with_label_values(&["idle"]).set(count(idle));
        by_state.with_label_values(&["used"]).set(count(used));
        max.set(count(limits.ceiling()));
        waiting.set(count(pending));
        for (gauge, value) in hikari.iter().zip([used, idle, pending, limits.ceiling()]) {
            gauge.set(count(value));
        }
        self.process.read();
        snapshot::Snapshot::of(&self.registry)
    }
}

/// The only pool, as each of the two conventions names it.
const OTEL: [(&str, &str); 1] = [("db_client_connection_pool_name", "grace")];
const HIKARI: [(&str, &str); 1] = [("pool", "grace")];

fn pool_metrics(r: &Registry) -> prometheus::Result<PoolMetrics> {
    Ok(PoolMetrics {
        wait: [
            histogram(
                r,
                "db_client_connection_wait_time_seconds",
                "Time it took to get a connection from the pool",
                &OTEL,
            )?,
            histogram(
                r,
                "hikaricp_connections_acquire_seconds",
                "Time it took to get a connection from the pool",
                &HIKARI,
            )?,
        ],
        timeouts: [
            counter(
                r,
                "db_client_connection_timeouts_total",
                "Requests that got no connection in time and were answered with 503",
                &OTEL,
            )?,
            counter(
                r,
                "hikaricp_connections_timeout_total",
                "Requests that got no connection in time and were answered with 503",
                &HIKARI,
            )?,
        ],
    })
}

impl PoolGauges {
    fn new(r: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            count: gauges(r, "db_client_connection_count", "Connections of the pool by state", "state", &OTEL)?,
            max: gauge(r, "db_client_connection_max", "Connections that the pools may open, overflow included", &OTEL)?,
            pending: gauge(
                r,
                "db_client_connection_pending_requests",
                "Requests waiting for a connection; above zero for long, the pool is too small or the database too slow",
                &OTEL,
            )?,
            hikari: [
                gauge(r, "hikaricp_connections_active", "Connections in use", &HIKARI)?,
                gauge(r, "hikaricp_connections_idle", "Connections that nobody uses", &HIKARI)?,
                gauge(r, "hikaricp_connections_pending", "Requests waiting for a connection", &HIKARI)?,
                gauge(r, "hikaricp_connections_max", "Connections that the pools may open", &HIKARI)?,
            ],
        })
    }
}

impl Readback {
    fn new(r: &Registry) -> prometheus::Result<Self> {
        let seconds = |name: &str, help: &str| register(r, Gauge::new(name, help)?);
        Ok(Self {
            pool_size: gauge(r, "db_pool_size", "DB_POOL_SIZE in force in each process", &[])?,
            max_overflow: gauge(r, "db_max_overflow", "DB_MAX_OVERFLOW in force in each process", &[])?,
            query_limit: gauge(r, "query_limit", "QUERY_LIMIT in force; 0 means no limit", &[])?,
            task_max_parallel: gauge(r, "task_max_parallel", "TASK_MAX_PARALLEL in force in each process", &[])?,
            gzip_minimum_size: gauge(r, "gzip_minimum_size_bytes", "GZIP_MINIMUM_SIZE in force; 0 means never", &[])?,
            seconds: [
                seconds("db_pool_timeout_seconds", "DB_POOL_TIMEOUT in force")?,
                seconds("trust_score_ttl_seconds", "TRUST_SCORE_TTL in force for new entries")?,
                seconds("metrics_summary_ttl_seconds", "METRICS_SUMMARY_TTL in force for new entries")?,
                seconds("reflection_interval_seconds", "REFLECTION_INTERVAL in force")?,
                seconds("meta_loop_interval_seconds", "META_LOOP_INTERVAL in force")?,
                seconds("health_check_interval_seconds", "HEALTH_CHECK_INTERVAL in force")?,
            ],
        })
    }
}

/// What a process can say about itself; the master has these too.
pub(crate) struct ProcessGauges {
    resident: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
}

impl ProcessGauges {
    pub(crate) fn new(r: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            resident: gauge(r, "process_resident_memory_bytes", "Memory of all processes of this server", &[])?,
            open_fds: gauge(r, "process_open_fds", "Open file descriptors of all processes of this server", &[])?,
            max_fds: gauge(r, "process_max_fds", "File descriptors that each process may open", &[])?,
        })
    }

    /// Leaves a gauge as it was where the kernel does not tell.
    pub(crate) fn read(&self) {
        let now = process::Usage::read();
        for (gauge, value) in
            [(&self.resident, now.resident_bytes), (&self.open_fds, now.open_fds), (&self.max_fds, now.max_fds)]
        {
            if let Some(value) = value {
                gauge.set(value);
            }
        }
    }
}

/// A count as Prometheus's integers want it.
pub(crate) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

pub(crate) fn gauge(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[(&str, &str)],
) -> prometheus::Result<IntGauge> {
    register(registry, IntGauge::with_opts(options(name, help, labels))?)
}

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    by: &str,
    labels: &[(&str, &str)],
) -> prometheus::Result<IntGaugeVec> {
    register(registry, IntGaugeVec::new(options(name, help, labels), &[by])?)
}

pub(crate) fn gauge_vec(registry: &Registry, name: &str, help: &str, by: &str) -> prometheus::Result<GaugeVec> {
    register(registry, GaugeVec::new(options(name, help, &[]), &[by])?)
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[(&str, &str)]) -> prometheus::Result<IntCounter> {
    register(registry, IntCounter::with_opts(options(name, help, labels))?)
}

fn histogram(registry: &Registry, name: &str, help: &str, labels: &[(&str, &str)]) -> prometheus::Result<Histogram> {
    let options = HistogramOpts::from(options(name, help, labels)).buckets(WAIT_BUCKETS.to_vec());
    register(registry, Histogram::with_opts(options)?)
}

fn options(name: &str, help: &str, labels: &[(&str, &str)]) -> Opts {
    labels.iter().fold(Opts::new(name, help), |options, (key, value)| options.const_label(*key, *value))
}
