//! The load generator as a process.

use std::{io::Read, net::TcpListener};

use crate::harness::{Process, Server, eventually, grace, load, signal};

const FAST: (&str, &str) = ("STANDIN_SERVICE_TIME_MS", "0.1");

#[test]
fn an_open_loop_sends_at_its_rate_and_every_request_arrives() {
    let server = Server::ready(&[FAST, ("QUERY_LIMIT", "1")]);
    let (code, summary) = load(&server, &["--rps", "60", "--duration", "3s"]);
    assert_eq!(code, Some(0), "{summary}");
    let requests = summary["requests"].as_f64().unwrap();
    // 180 are expected; a Poisson count is within 60 of that but once in 100 000 runs.
    assert!((120.0..240.0).contains(&requests), "{summary}");
    let counted = server.metric("http_server_request_duration_seconds_count{http_route=\"/api/chat/\"}");
    assert!((counted - requests).abs() < 1e-9, "{counted} of {requests} were counted");
    for order in [["p50Ms", "p95Ms"], ["p95Ms", "p99Ms"], ["p99Ms", "maxMs"]] {
        let [low, high] = order.map(|key| summary[key].as_f64().unwrap());
        assert!(low <= high, "{summary}");
    }
}

#[test]
fn other_pages_are_fetched() {
    let server = Server::ready(&[FAST]);
    let arguments = ["--path", "/api/metrics/summary", "--users", "2", "--think-time", "1ms", "--duration", "500ms"];
    let (code, summary) = load(&server, &arguments);
    assert_eq!(code, Some(0), "{summary}");
    let series =
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/api/metrics/summary\"}";
    assert!(server.metric(series) > 0.0);
}

#[test]
fn errors_are_counted_by_kind_and_decide_about_the_exit_code() {
    let server = Server::ready(&[FAST]);
    let (code, summary) = load(&server, &["--path", "/no/such/page", "--users", "1", "--duration", "300ms"]);
    assert_eq!(code, Some(1), "{summary}");
    assert_eq!(summary["errorsByKind"]["404"], summary["requests"]);
    assert_eq!(summary["errorPercent"], 100.0);

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let output = grace(&["load", "-o", "json", "--users", "1", "--duration", "300ms", "--url", &url]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["errorsByKind"]["connect"], summary["requests"]);
}

#[test]
fn without_an_end_it_runs_until_sigterm_and_sums_up() {
    let server = Server::ready(&[FAST, ("QUERY_LIMIT", "1")]);
    let url = format!("http://{}", server.application);
    let child = grace(&["load", "--rps", "50", "--duration", "0", "--url", &url]).spawn().unwrap();
    let mut process = Process(child);
    eventually("requests arrive", || {
        let count = "http_server_request_duration_seconds_count{http_route=\"/api/chat/\"}";
        (server.metric(count) >= 20.0).then_some(())
    });
    assert!(process.is_running());
    signal(process.id(), "TERM");
    assert!(process.end().success());
    let mut summary = String::new();
    process.0.stdout.take().unwrap().read_to_string(&mut summary).unwrap();
    assert!(summary.contains("requests") && summary.contains("p95"), "{summary}");
}

#[test]
fn clients_who_are_asked_to_leave_lose_no_request() {
    let server = Server::ready(&[FAST, ("QUERY_LIMIT", "1"), ("WEB_CONCURRENCY", "2"), ("DRAIN_DELAY", "2")]);
    let url = format!("http://{}", server.application);
    let arguments = ["load", "-o", "json", "--users", "4", "--think-time", "5ms", "--duration", "0", "--url", &url];
    let mut load = Process(grace(&arguments).spawn().unwrap());
    eventually("requests arrive", || {
        let count = "http_server_request_duration_seconds_count{http_route=\"/api/chat/\"}";
        (server.metric(count) >= 50.0).then_some(())
    });
    // The clients leave while the server still waits for them to do so.
    signal(server.process.id(), "TERM");
    eventually("the server is on its way out", || (server.readiness().status == 503).then_some(()));
    signal(load.id(), "TERM");
    load.end();
    let mut summary = String::new();
    load.0.stdout.take().unwrap().read_to_string(&mut summary).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["errors"], 0, "{summary}");
}
