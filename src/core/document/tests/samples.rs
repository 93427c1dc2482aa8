//! Files as applications have them: `tests/data/documents`, which the tests on real clusters use as well.

use super::*;

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/data/documents/", $name))
    };
}

/// Each edit replaces one piece of the file, which is there once.
#[track_caller]
fn edits(format: DocumentFormat, sample: &str, edits: &[(&str, Scalar, &str, &str)]) {
    for (place, wanted, from, to) in edits {
        assert_eq!(sample.matches(from).count(), 1, "{from}");
        check_in(format, sample, place, wanted, &sample.replace(from, to));
    }
}

/// A key that is not there gets `line` behind `neighbour`, and the line goes without a trace.
#[track_caller]
fn creates(format: DocumentFormat, sample: &str, place: &str, word: &str, neighbour: &str, line: &str) {
    assert_eq!(sample.matches(neighbour).count(), 1, "{neighbour}");
    let address = at(format, place);
    let created = create(sample, &address, &Scalar::from_rendered(word), word).unwrap();
    assert_eq!(created.text, sample.replace(neighbour, &format!("{neighbour}{line}")));
    assert_eq!(restore(&created.text, &address, created.previous.as_deref()).unwrap().text, sample);
}

#[test]
fn postgresql() {
    let file = sample!("postgresql.conf");
    edits(
        DocumentFormat::Conf,
        file,
        &[
            ("max_connections", number("200"), "= 100", "= 200"),
            ("shared_buffers", text("2GB"), "128MB\t", "2GB\t"),
            ("work_mem", text("64MB"), "16MB", "64MB"),
            ("effective_cache_size", text("6GB"), "'4GB'", "'6GB'"),
            ("checkpoint_timeout", text("15min"), "5min", "15min"),
            ("random_page_cost", number("2"), "1.1", "2"),
            ("log_line_prefix", text("%t "), "%m [%p] %q%u@%d ", "%t "),
            ("ssl", Scalar::Boolean(false), "ssl = on", "ssl = off"),
            ("listen_addresses", text("localhost, ::1"), "'*'", "'localhost, ::1'"),
        ],
    );
    let last = "work_mem = 16MB\n";
    creates(DocumentFormat::Conf, file, "maintenance_work_mem", "256MB", last, "maintenance_work_mem = 256MB\n");
}

#[test]
fn redis() {
    let file = sample!("redis.conf");
    edits(
        DocumentFormat::Conf,
        file,
        &[
            ("maxmemory", text("2gb"), "256mb", "2gb"),
            ("maxmemory-samples", number("10"), "samples 5", "samples 10"),
            ("appendonly", Scalar::Boolean(true), "appendonly no", "appendonly yes"),
            ("tcp-keepalive", number("60"), "keepalive 300", "keepalive 60"),
            ("save", text("900 1"), "save \"\"", "save \"900 1\""),
            ("client-output-buffer-limit", text("normal 64mb 16mb 60"), "normal 0 0 0", "normal 64mb 16mb 60"),
        ],
    );
    let last = "notify-keyspace-events \"\"\n";
    creates(DocumentFormat::Conf, file, "maxmemory-policy", "allkeys-lru", last, "maxmemory-policy allkeys-lru\n");
}

#[test]
fn pgbouncer() {
    let file = sample!("pgbouncer.ini");
    edits(
        DocumentFormat::Ini,
        file,
        &[
            ("pgbouncer/default_pool_size", number("40"), "default_pool_size = 20", "default_pool_size = 40"),
            ("pgbouncer/pool_mode", text("session"), "transaction", "session"),
            ("pgbouncer/reserve_pool_timeout", number("2.5"), "5.0", "2.5"),
            ("pgbouncer/listen_addr", text("0.0.0.0"), "listen_addr = *", "listen_addr = 0.0.0.0"),
            ("databases/orders", text("host=x"), "host=orders-db port=5432 dbname=orders", "host=x"),
        ],
    );
    let last = "query_wait_timeout = 120\n";
    creates(DocumentFormat::Ini, file, "pgbouncer/max_client_conn", "500", last, "max_client_conn = 500\n");
    creates(
        DocumentFormat::Ini,
        file,
        "users/app",
        "max_user_connections=5",
        "[users]\n",
        "app = max_user_connections=5\n",
    );
}

#[test]
fn java() {
    let file = sample!("application.properties");
    assert!(file.ends_with("true\r\n"), "a checkout has changed the line ends");
    edits(
        DocumentFormat::Properties,
        file,
        &[
            ("spring.datasource.hikari.maximum-pool-size", number("40"), "=10", "=40"),
            ("spring.datasource.hikari.connection-timeout", number("5000"), "30000", "5000"),
            ("server.port", number("9090"), "8080", "9090"),
            ("app.path", text("D:\\ö"), "C:\\\\orders", "D:\\\\\\u00F6"),
            ("app.cache.enabled", Scalar::Boolean(false), "enabled true", "enabled false"),
        ],
    );
    let last = "app.cache.enabled true\r\n";
    creates(DocumentFormat::Properties, file, "app.cache.size", "64", last, "app.cache.size 64\r\n");
}

#[test]
fn trees() {
    let file = sample!("service.toml");
    edits(
        DocumentFormat::Toml,
        file,
        &[
            ("/pool/size", number("40"), "10       #", "40       #"),
            ("/pool/ratios/1", number("2"), "1.0 ]", "2.0 ]"),
            ("/queues/0/workers/max", number("8"), "max = 4", "max = 8"),
            ("/queues/1/workers/max", number("8"), "1_0", "8"),
        ],
    );
    let file = sample!("limits.json");
    edits(
        DocumentFormat::Json,
        file,
        &[("/cache/ttl", number("30"), "60", "30"), ("/retries/2", number("50"), "25", "50")],
    );
    let file = sample!("config.yaml");
    edits(
        DocumentFormat::Yaml,
        file,
        &[("/api/queryLimit", number("50"), "10   ", "50   "), ("/jobs/0/every", text("1m"), "30s", "1m")],
    );
}
