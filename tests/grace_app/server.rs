//! The server as a whole: what its settings do, seen from outside.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use crate::harness::{Server, chat, database, eventually, load, post, signal};

/// A database that takes practically no time.
const FAST: (&str, &str) = ("STANDIN_SERVICE_TIME_MS", "0.1");

#[test]
fn every_setting_that_reaches_the_server_is_read_back_in_its_metrics() {
    let server = Server::ready(&[
        FAST,
        ("WEB_CONCURRENCY", "2"),
        ("DB_POOL_SIZE", "5"),
        ("DB_MAX_OVERFLOW", "3"),
        ("DB_POOL_TIMEOUT", "7"),
        ("TRUST_SCORE_TTL", "3600"),
        ("METRICS_SUMMARY_TTL", "60"),
        ("REFLECTION_INTERVAL", "61"),
        ("META_LOOP_INTERVAL", "3601"),
        ("HEALTH_CHECK_INTERVAL", "121"),
        ("TASK_MAX_PARALLEL", "4"),
        ("QUERY_LIMIT", "50"),
        ("GZIP_MINIMUM_SIZE", "1000"),
    ]);
    let metrics = server.scrape();
    for (series, expected) in [
        ("web_concurrency", 2.0),
        ("web_workers{state=\"ready\"}", 2.0),
        ("db_pool_size", 5.0),
        ("db_max_overflow", 3.0),
        ("db_pool_timeout_seconds", 7.0),
        ("trust_score_ttl_seconds", 3600.0),
        ("metrics_summary_ttl_seconds", 60.0),
        ("reflection_interval_seconds", 61.0),
        ("meta_loop_interval_seconds", 3601.0),
        ("health_check_interval_seconds", 121.0),
        ("task_max_parallel", 4.0),
        ("query_limit", 50.0),
        ("gzip_minimum_size_bytes", 1000.0),
        // Each process has a pool of its own, and the database sees the sum.
        ("db_client_connection_max", 16.0),
        ("hikaricp_connections_max", 16.0),
    ] {
        assert!((metrics.sum(series) - expected).abs() < 1e-9, "{series} is {}", metrics.sum(series));
    }
    assert_eq!(server.workers().len(), 2);
    // The background loops use connections too, even overflow: wait for a moment of rest.
    server.wait_metric("database_connections", 10.0);
    server.wait_metric("db_client_connection_count{state=\"idle\"}", 10.0);
    server.wait_metric("hikaricp_connections_active", 0.0);
    assert!(server.metric("process_resident_memory_bytes") > 1e6);
    server.stop();
}

#[test]
fn arguments_beat_the_environment_and_the_environment_beats_the_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "api: {{queryLimit: 5}}\ndatabase: {{pool: {{size: 9, maxOverflow: 4}}}}").unwrap();
    let environment =
        [FAST, ("QUERY_LIMIT", "7"), ("DB_POOL_SIZE", "3"), ("CONFIG_FILE", file.path().to_str().unwrap())];
    let server = Server::start(&environment, &["--query-limit=50", "--workers=2"]).wait_ready();
    let metrics = server.scrape();
    for (series, expected) in
        [("query_limit", 50.0), ("web_concurrency", 2.0), ("db_pool_size", 3.0), ("db_max_overflow", 4.0)]
    {
        assert!((metrics.sum(series) - expected).abs() < 1e-9, "{series} is {}", metrics.sum(series));
    }
    let history = server.chat("https://example.com/").json()["history"].as_array().unwrap().len();
    assert_eq!(history, 50, "the limit reaches the query");
}

#[test]
fn answers_have_the_status_that_they_deserve_and_are_measured_by_route() {
    let server = Server::ready(&[FAST, ("GZIP_MINIMUM_SIZE", "1000")]);
    assert_eq!(server.get("/no/such/page").status, 404);
    assert_eq!(post(server.application, "{\"massage\": 1}").status, 400);
    assert_eq!(post(server.application, "{\"message\": \"hello\"}").status, 200, "the guide's own request");
    assert_eq!(server.get("/api/chat/").status, 405);
    assert_eq!(server.get("/api/metrics/summary").json()["users"], 50);
    eventually("there is a first reflection", || (server.get("/api/reflection").status == 200).then_some(()));
    eventually("the database was checked", || (server.get("/health").json()["status"] == "healthy").then_some(()));

    let large = server.chat("https://example.com/");
    assert_eq!(large.header("content-encoding"), Some("gzip"));
    assert_eq!(server.get("/health").header("content-encoding"), None, "too small to compress");

    let metrics = server.scrape();
    let count = |labels: &str| metrics.sum(&format!("http_server_request_duration_seconds_count{{{labels}}}"));
    for labels in [
        "http_route=\"/api/chat/\",http_response_status_code=\"400\"",
        "http_route=\"/api/chat/\",http_response_status_code=\"405\"",
        "http_route=\"\",http_response_status_code=\"404\"",
        "http_route=\"/api/metrics/summary\",http_response_status_code=\"200\"",
    ] {
        assert!((count(labels) - 1.0).abs() < 1e-9, "{labels}");
    }
    assert!((count("http_request_method=\"POST\",http_response_status_code=\"200\"") - 2.0).abs() < 1e-9);
}

#[test]
fn a_pool_that_is_too_small_makes_requests_wait_and_a_larger_one_does_not() {
    let run = |size: &str| {
        let server = Server::ready(&[
            ("STANDIN_SERVICE_TIME_MS", "20"),
            ("STANDIN_CORES", "16"),
            ("DB_POOL_SIZE", size),
            ("TRUST_SCORE_TTL", "3600"),
            ("QUERY_LIMIT", "1"),
        ]);
        let (code, summary) = load(&server, &["--users", "12", "--think-time", "0", "--duration", "3s"]);
        assert_eq!(code, Some(0), "{summary}");
        let metrics = server.scrape();
        let waited = metrics.sum("db_client_connection_wait_time_seconds_sum");
        let acquired = metrics.sum("db_client_connection_wait_time_seconds_count");
        (summary["p50Ms"].as_f64().unwrap(), waited / acquired)
    };
    let (slow, long_wait) = run("1");
    let (fast, short_wait) = run("12");
    // Twelve users and one connection: eleven wait. With twelve connections, nobody does.
    assert!(slow > 2.0 * fast, "median of {slow} ms with one connection, {fast} ms with twelve");
    assert!(long_wait > 4.0 * short_wait, "mean wait of {long_wait} s and {short_wait} s");
}

#[test]
fn waiting_requests_show_as_pending_while_they_wait() {
    let server = Server::ready(&[("STANDIN_SERVICE_TIME_MS", "200"), ("DB_POOL_SIZE", "1")]);
    let address = server.application;
    let clients: Vec<_> = (0..8).map(|n| std::thread::spawn(move || chat(address, &n.to_string()).status)).collect();
    let busy = eventually("requests are pending", || {
        let metrics = server.scrape();
        (metrics.sum("db_client_connection_pending_requests") >= 2.0).then_some(metrics)
    });
    assert!((busy.sum("hikaricp_connections_active") - 1.0).abs() < 1e-9, "one connection, in use");
    assert!(busy.sum("hikaricp_connections_pending") >= 2.0);
    for client in clients {
        assert_eq!(client.join().unwrap(), 200, "they waited in vain");
    }
    server.wait_metric("db_client_connection_pending_requests", 0.0);
}

#[test]
fn a_request_that_waits_too_long_is_answered_with_503_and_counted() {
    let server = Server::ready(&[
        ("STANDIN_SERVICE_TIME_MS", "400"),
        ("DB_POOL_SIZE", "1"),
        ("DB_POOL_TIMEOUT", "0.05"),
        ("REFLECTION_INTERVAL", "3600"),
    ]);
    // The loops that run at the start are done: from here, only requests can time out.
    server.wait_metric("db_client_connection_count{state=\"used\"}", 0.0);
    let before = server.metric("db_client_connection_timeouts_total");
    let address = server.application;
    let clients: Vec<_> = (0..10).map(|n| std::thread::spawn(move || chat(address, &n.to_string()))).collect();
    let answers: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(refused.len() >= 2, "hardly anybody was refused");
    for answer in &refused {
        assert!(answer.text().contains("no connection became free within 0.050 s"), "{}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let metrics = server.scrape();
    let counted = metrics.sum("db_client_connection_timeouts_total") - before;
    let seen = metrics.sum("http_server_request_duration_seconds_count{http_response_status_code=\"503\"}");
    #[expect(clippy::cast_precision_loss, reason = "ten at most")]
    let refused = refused.len() as f64;
    assert!((counted - refused).abs() < 1e-9 && (seen - refused).abs() < 1e-9, "{counted}, {seen}, {refused}");
}

#[test]
fn a_trust_score_is_asked_for_again_after_its_ttl_and_not_before() {
    let ttl = Duration::from_millis(700);
    let server = Server::ready(&[FAST, ("TRUST_SCORE_TTL", "0.7")]);
    let misses = || server.metric("cache_requests_total{cache=\"trust_score\",result=\"miss\"}");
    let start = Instant::now();
    assert_eq!(server.chat("https://example.com/a").status, 200);
    let mut asked = 1.0;
    eventually("the entry expires", || {
        server.chat("https://example.com/a");
        asked += 1.0;
        (misses() >= 2.0).then_some(())
    });
    assert!(start.elapsed() >= ttl, "it was forgotten after {:?}", start.elapsed());
    let hits = server.metric("cache_requests_total{cache=\"trust_score\",result=\"hit\"}");
    assert!(hits + misses() >= asked, "every lookup is counted");
    assert_eq!(server.chat("https://example.com/b").status, 200);
    assert!(misses() >= 3.0, "another address is another entry");
}

#[test]
fn without_a_ttl_nothing_is_remembered_and_a_summary_has_its_own() {
    let server = Server::ready(&[FAST, ("TRUST_SCORE_TTL", "0"), ("METRICS_SUMMARY_TTL", "3600")]);
    for _ in 0..3 {
        server.chat("https://example.com/");
        server.get("/api/metrics/summary");
    }
    let metrics = server.scrape();
    for (series, expected) in [
        ("cache_requests_total{cache=\"trust_score\",result=\"miss\"}", 3.0),
        ("cache_requests_total{cache=\"trust_score\",result=\"hit\"}", 0.0),
        ("cache_requests_total{cache=\"metrics_summary\",result=\"miss\"}", 1.0),
        ("cache_requests_total{cache=\"metrics_summary\",result=\"hit\"}", 2.0),
    ] {
        assert!((metrics.sum(series) - expected).abs() < 1e-9, "{series} is {}", metrics.sum(series));
    }
}

#[test]
fn a_killed_worker_is_replaced_and_the_counts_of_the_pod_do_not_fall() {
    let server = Server::ready(&[FAST, ("WEB_CONCURRENCY", "2")]);
    let count = "http_server_request_duration_seconds_count{http_route=\"/api/chat/\"}";
    for _ in 0..20 {
        server.chat("https://example.com/");
    }
    assert!((server.metric(count) - 20.0).abs() < 1e-9);
    let before = server.workers();
    signal(before[0], "KILL");
    server.wait_metric("web_worker_restarts_total", 1.0);
    server.wait_metric("web_workers{state=\"ready\"}", 2.0);
    let after = server.workers();
    assert!(after.contains(&before[1]) && !after.contains(&before[0]), "{before:?} became {after:?}");
    assert!((server.metric(count) - 20.0).abs() < 1e-9, "the dead worker's requests are still counted");
    // Connections are spread by the kernel: some of twenty reach the new worker.
    for _ in 0..20 {
        assert_eq!(server.chat("https://example.com/").status, 200);
    }
    assert!((server.metric(count) - 40.0).abs() < 1e-9);
    server.stop();
}

#[test]
fn workers_do_not_outlive_their_master() {
    let server = Server::ready(&[FAST, ("WEB_CONCURRENCY", "2")]);
    let workers = server.workers();
    signal(server.process.id(), "KILL");
    let gone = |pid: &u32| {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    };
    eventually("the workers end", || workers.iter().all(gone).then_some(()));
}

#[test]
fn a_signal_to_the_whole_process_group_leaves_the_decision_to_the_master() {
    let server = Server::ready(&[FAST, ("WEB_CONCURRENCY", "2")]);
    for worker in server.workers() {
        signal(worker, "TERM");
        signal(worker, "INT");
    }
    assert_eq!(server.chat("https://example.com/").status, 200);
    server.stop(); // a worker that died would show in the exit code
}

#[test]
fn on_sigterm_requests_in_flight_are_finished_and_the_exit_is_clean() {
    let mut server = Server::ready(&[
        ("STANDIN_SERVICE_TIME_MS", "150"),
        ("WEB_CONCURRENCY", "2"),
        ("DB_POOL_SIZE", "1"),
        ("DRAIN_DELAY", "1.5"),
    ]);
    let address = server.application;
    let clients: Vec<_> = (0..12).map(|n| std::thread::spawn(move || chat(address, &n.to_string()).status)).collect();
    eventually("all requests are in flight", || (server.metric("http_server_active_requests") >= 8.0).then_some(()));
    signal(server.process.id(), "TERM");
    eventually("the server is not ready any more", || {
        let readiness = server.readiness();
        (readiness.status == 503 && readiness.text() == "stopping\n").then_some(())
    });
    // Balancers need a moment to notice: whoever comes meanwhile is served, and asked to leave.
    let late = server.get("/health");
    assert_eq!((late.status, late.header("connection")), (200, Some("close")));
    for client in clients {
        assert_eq!(client.join().unwrap(), 200, "a request was dropped");
    }
    assert!(server.process.end().success());
    assert!(std::net::TcpStream::connect(server.application).is_err(), "the port is free");
}

#[test]
fn a_changed_file_takes_effect_in_running_workers_and_a_broken_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    // As kubelet does: the new content appears under the name at once.
    let write = |text: &str| {
        let new = dir.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &path).unwrap();
    };
    write("database: {pool: {size: 2}}\nserver: {workers: 1}\n");
    let server = Server::ready(&[FAST, ("CONFIG_FILE", path.to_str().unwrap()), ("CONFIG_WATCH", "true")]);
    server.wait_metric("database_connections", 2.0);
    let first = server.workers();

    write("database: {pool: {size: 4}}\nserver: {workers: 3}\ncache: {trustScoreTtl: 90}\n");
    server.wait_metric("web_workers{state=\"ready\"}", 3.0);
    server.wait_metric("database_connections", 12.0);
    server.wait_metric("trust_score_ttl_seconds", 90.0);
    assert!(server.workers().contains(&first[0]), "no worker was restarted for it");

    write("database: {pool: {seize: 8}}\n");
    server.wait_metric("config_last_reload_successful", 0.0);
    assert!((server.metric("db_pool_size") - 4.0).abs() < 1e-9);

    for _ in 0..30 {
        server.chat("https://example.com/");
    }
    let count = "http_server_request_duration_seconds_count{http_route=\"/api/chat/\"}";
    assert!((server.metric(count) - 30.0).abs() < 1e-9);
    write("database: {pool: {size: 2}}\nserver: {workers: 1}\n");
    server.wait_metric("config_last_reload_successful", 1.0);
    server.wait_metric("database_connections", 2.0);
    eventually("two workers have gone", || (server.workers().len() == 1).then_some(()));
    assert!((server.metric(count) - 30.0).abs() < 1e-9, "the counts of those that went stay");
    assert!((server.metric("web_worker_restarts_total")).abs() < 1e-9);
    server.stop();
}

#[test]
fn a_server_without_its_database_is_alive_but_not_ready_and_says_why() {
    // A pool of four connections, of a database that accepts three.
    let server = Server::start(&[FAST, ("DB_POOL_SIZE", "4"), ("STANDIN_MAX_CONNECTIONS", "3")], &[]);
    server.wait_metric("database_connections", 3.0);
    let readiness = server.readiness();
    assert_eq!(readiness.status, 503);
    assert!(readiness.text().contains("connection pool"), "{}", readiness.text());
    assert_eq!(crate::harness::get(server.metrics, "/healthz").status, 200);
    server.stop();
}

#[test]
fn the_stand_in_can_be_a_process_of_its_own_and_its_end_is_noticed() {
    let (process, address) = database(&[FAST]);
    let url = format!("standin://{address}");
    let server = Server::ready(&[("DATABASE_URL", &url), ("HEALTH_CHECK_INTERVAL", "0.1")]);
    assert_eq!(server.chat("https://example.com/").status, 200);
    server.wait_metric("database_up", 1.0);
    drop(process);
    server.wait_metric("database_up", 0.0);
    let refused = server.chat("https://example.com/");
    assert_eq!(refused.status, 503);
    assert_eq!(server.get("/health").json()["status"], "degraded");
    server.stop();
}

#[test]
fn wrong_settings_are_refused_at_the_start_with_their_names() {
    for (variable, value, expected) in [
        ("DB_POOL_TIMEOUT", "30s", "expected seconds as a plain number"),
        ("WEB_CONCURRENCY", "0", "--workers"),
        ("REFLECTION_INTERVAL", "0", "REFLECTION_INTERVAL"),
        ("DATABASE_URL", "sqlite+aiosqlite:///./grace.db", "postgresql://"),
        ("CONFIG_FILE", "/no/such/file.yaml", "/no/such/file.yaml"),
        ("STANDIN_CORES", "0", "STANDIN_CORES"),
    ] {
        let output = crate::harness::grace(&["serve"])
            .envs([("HOST", "127.0.0.1"), ("PORT", "0"), ("METRICS_PORT", "0"), (variable, value)])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(expected), "{variable}={value}: {error}");
    }
}
