use std::time::Duration;

use tokio::time::timeout as within;

use super::*;
use crate::{
    api::source::{Prometheus, TenantHeader},
    core::engine::Series,
    shell::{
        testing::{RawServer, Reply},
        tls,
    },
};

const UP: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
    {"metric":{"__name__":"up","pod":"api-1"},"value":[1763700000.123,"1.5"]}]}}"#;

fn spec(url: &str) -> MetricsSourceSpec {
    MetricsSourceSpec {
        prometheus: Prometheus { url: url.to_owned(), ..Prometheus::default() },
        ..MetricsSourceSpec::default()
    }
}

fn question(expr: &str) -> Question<'_> {
    Question { expr, at: Instant::from_millis(1_763_700_000_123), range: None, labels: None }
}

async fn ask(reply: Reply) -> Answer {
    tls::install_provider();
    let server = RawServer::start([reply]).await;
    Backend::new(&spec(&server.url), None).unwrap().ask(&question("up")).await
}

#[track_caller]
fn refused(answer: &Answer, reason: Reason, message: &str) {
    assert_eq!(*answer, Err(Refusal { reason, message: message.to_owned() }));
}

#[tokio::test]
async fn a_vector_becomes_series() {
    let series = ask(Reply::json(200, UP)).await.unwrap();
    let labels = [("__name__", "up"), ("pod", "api-1")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(series, [Series { labels: labels.into(), points: vec![(1_763_700_000.123, 1.5)] }]);
}

#[tokio::test]
async fn numbers_that_json_does_not_have_are_read() {
    for (text, check) in [
        ("NaN", f64::is_nan as fn(f64) -> bool),
        ("+Inf", |value| value == f64::INFINITY),
        ("-Inf", |value| value == f64::NEG_INFINITY),
        ("1e400", |value| value == f64::INFINITY),
    ] {
        let body = format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1,"{text}"]}}]}}}}"#
        );
        let series = ask(Reply::json(200, &body)).await.unwrap();
        assert!(check(series[0].points[0].1), "{text}");
    }
}

#[tokio::test]
async fn an_empty_vector_is_an_answer() {
    let body =
        r#"{"status":"success","data":{"resultType":"vector","result":[]},"infos":["metric might not be a counter"]}"#;
    assert_eq!(ask(Reply::json(200, body)).await, Ok(vec![]), "a hint is no warning");
}

#[tokio::test]
async fn answers_of_another_shape_are_refused() {
    for (body, reason, message) in [
        (
            r#"{"status":"success","data":{"resultType":"string","result":[1,"a"]}}"#,
            Reason::WrongType,
            "the answer is not a vector",
        ),
        (
            r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#,
            Reason::WrongType,
            "the answer is not a vector",
        ),
        (
            r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
            Reason::WrongType,
            "the answer is not a vector",
        ),
        (
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1"}]}]}}"#,
            Reason::WrongType,
            "the answer holds native histograms",
        ),
        (
            r#"{"status":"success","warnings":["one store did not answer"],"data":{"resultType":"vector","result":[]}}"#,
            Reason::PartialResult,
            "the backend answered with warnings",
        ),
        (
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"ten"]}]}}"#,
            Reason::BadResponse,
            "HTTP 200: the answer is not what a Prometheus says",
        ),
        (
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}"#,
            Reason::BadResponse,
            "HTTP 200: the answer is not what a Prometheus says",
        ),
        (r#"{"status":"success"}"#, Reason::BadResponse, "HTTP 200: the answer is not what a Prometheus says"),
        ("[]", Reason::BadResponse, "HTTP 200: the answer is not what a Prometheus says"),
    ] {
        refused(&ask(Reply::json(200, body)).await, reason, message);
    }
}

#[tokio::test]
async fn each_error_of_a_backend_has_its_reason() {
    let error = |class: &str, text: &str| format!(r#"{{"status":"error","errorType":"{class}","error":"{text}"}}"#);
    for (code, body, reason, message) in [
        (400, error("bad_data", "parse error: unexpected )"), Reason::QueryInvalid, "HTTP 400: bad_data"),
        (422, error("execution", "multiple matches for labels"), Reason::QueryFailed, "HTTP 422: execution"),
        (
            422,
            error("execution", "query processing would load too many samples into memory"),
            Reason::QueryTooExpensive,
            "HTTP 422: execution",
        ),
        (422, error("422", "cannot parse query"), Reason::QueryInvalid, "HTTP 422: 422"),
        (
            503,
            error("timeout", "query timed out in expression evaluation"),
            Reason::QueryTooExpensive,
            "HTTP 503: timeout",
        ),
        (503, error("unavailable", "starting"), Reason::BackendUnavailable, "HTTP 503: unavailable"),
        (500, error("internal", "oops"), Reason::BackendUnavailable, "HTTP 500: internal"),
        (401, error("unheard-of", "who are you"), Reason::BackendUnauthorized, "HTTP 401"),
        (403, "no".to_owned(), Reason::BackendUnauthorized, "HTTP 403"),
        (429, "slow down".to_owned(), Reason::BackendThrottled, "HTTP 429"),
        (502, "<html>".to_owned(), Reason::BackendUnavailable, "HTTP 502"),
        (404, "<html>".to_owned(), Reason::BadResponse, "HTTP 404"),
        (400, "<html>".to_owned(), Reason::BadResponse, "HTTP 400"),
    ] {
        refused(&ask(Reply::json(code, &body)).await, reason, message);
    }
}

#[tokio::test]
async fn pages_truncations_and_redirects_are_bad_responses() {
    let page = Reply::http(200, "text/html", "<html>please log in</html>");
    refused(&ask(page).await, Reason::BadResponse, "HTTP 200: the answer is not what a Prometheus says");

    let cut = Reply::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{UP}", UP.len() + 1).into_bytes());
    refused(&ask(cut).await, Reason::BadResponse, "HTTP 200: the answer is truncated");

    let half = Reply::json(200, &UP[..60]);
    refused(&ask(half).await, Reason::BadResponse, "HTTP 200: the answer is not what a Prometheus says");

    let elsewhere =
        Reply::Bytes(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n".to_vec());
    refused(&ask(elsewhere).await, Reason::BadResponse, "HTTP 302");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let endless = "x".repeat(MAX_ANSWER + 1);
    refused(&ask(Reply::json(200, &endless)).await, Reason::QueryTooExpensive, "the answer is larger than 8 MiB");
}

#[tokio::test]
async fn a_body_is_never_repeated() {
    let secret = r#"{"status":"error","errorType":"canary-class","error":"canary-text"}"#;
    for code in [200, 400, 403, 422, 500] {
        let Err(refusal) = ask(Reply::json(code, secret)).await else { panic!("an error is no answer") };
        assert!(!refusal.message.contains("canary"), "{}", refusal.message);
    }
}

#[tokio::test]
async fn silence_hang_ups_and_closed_ports_are_unavailability() {
    refused(&ask(Reply::Close).await, Reason::BackendUnavailable, "the connection was closed without an answer");

    tls::install_provider();
    let server = RawServer::start([Reply::Silence]).await;
    let spec = MetricsSourceSpec { timeout: Some("100ms".into()), ..spec(&server.url) };
    let backend = Backend::new(&spec, None).unwrap();
    let answer = within(Duration::from_secs(30), backend.ask(&question("up"))).await.expect("it gives up by itself");
    refused(&answer, Reason::BackendUnavailable, "no answer in time");

    let url = server.url.clone();
    drop(server);
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_ne!(url, format!("http://{closed}"));
    let backend = Backend::new(&super::tests::spec(&format!("http://{closed}")), None).unwrap();
    refused(&backend.ask(&question("up")).await, Reason::BackendUnavailable, "cannot connect");
}

#[tokio::test]
async fn a_question_is_a_form_below_the_base_url_with_tenant_and_token() {
    tls::install_provider();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let server = RawServer::start([Reply::json(200, UP)]).await;
    let mut spec = spec(&format!("{}/prometheus/", server.url));
    spec.prometheus.tenant_header = Some(TenantHeader { name: "X-Scope-OrgID".into(), value: "team-a".into() });
    spec.prometheus.credential = Some("token".into());
    let backend = Backend::new(&spec, Some(directory.path())).unwrap();

    backend.ask(&question("up{pod=~\"a|b\"} + 1")).await.unwrap();
    std::fs::write(&file, "second").unwrap();
    backend.ask(&question("up")).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    refused(
        &backend.ask(&question("up")).await,
        Reason::BackendUnauthorized,
        "credential \"token\": it is not mounted",
    );

    let requests = server.requests();
    assert_eq!(requests.len(), 2, "without its token nothing is asked");
    assert!(requests[0].starts_with("POST /prometheus/api/v1/query HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(requests[0].contains("\r\nx-scope-orgid: team-a\r\n"), "{}", requests[0]);
    assert!(requests[0].contains("\r\nauthorization: Bearer first\r\n"), "{}", requests[0]);
    assert!(
        requests[0].ends_with("\r\n\r\nquery=up%7Bpod%3D%7E%22a%7Cb%22%7D+%2B+1&timeout=10000ms&time=1763700000.123"),
        "{}",
        requests[0]
    );
    assert!(requests[1].contains("\r\nauthorization: Bearer second\r\n"), "a replaced token is used at once");
}

#[tokio::test]
async fn what_takes_no_forms_is_asked_by_its_address() {
    tls::install_provider();
    let server =
        RawServer::start([Reply::http(405, "text/plain", "no"), Reply::json(200, UP), Reply::json(200, UP)]).await;
    let backend = Backend::new(&spec(&server.url), None).unwrap();
    for _ in 0..2 {
        assert_eq!(backend.ask(&question("up{a=\"b\"}")).await.unwrap().len(), 1);
    }
    let requests = server.requests();
    let methods: Vec<_> = requests.iter().filter_map(|request| request.split(' ').next()).collect();
    assert_eq!(methods, ["POST", "GET", "GET"], "it is remembered");
    assert!(
        requests[1].starts_with("GET /api/v1/query?query=up%7Ba%3D%22b%22%7D&timeout=10000ms&time="),
        "{}",
        requests[1]
    );
}

fn vector(series: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#)
}

#[test]
fn only_labels_that_are_read_are_kept() {
    let body = vector(
        r#"{"metric":{"pod":"api-1","namespace":"s\"h\u00e9","x":"y"},"value":[1,"2"]},{"metric":{"x":"y"},"value":[1,"3"]}"#,
    );
    let names: Arc<[Box<str>]> = ["namespace", "tier", "pod"].map(Box::from).into();
    let read = answer::read(200, body.as_bytes(), Wanted { shape: Shape::Vector, labels: Some(&names) }).unwrap();
    let labels: Vec<Vec<_>> = read.iter().map(|series| series.labels.iter().collect()).collect();
    assert_eq!(labels, [vec![("namespace", "s\"h\u{e9}"), ("pod", "api-1")], vec![]]);
    assert_eq!(read[0].labels.get("x"), None);
}

#[test]
fn members_come_in_any_order() {
    let one = r#"{"value":[1,"2"],"metric":{"a":"b"}}"#;
    let body = format!(r#"{{"data":{{"result":[{one},{one}],"resultType":"vector"}},"status":"success"}}"#);
    let wanted = Wanted { shape: Shape::Vector, labels: None };
    let read = answer::read(200, body.as_bytes(), wanted).unwrap();
    assert_eq!(read.len(), 2, "two that are the same are two");
    assert_eq!(read[0].labels.get("a"), Some("b"));
    refused(
        &answer::read(200, body.replace("vector", "matrix").as_bytes(), wanted),
        Reason::WrongType,
        "the answer is not a vector",
    );
}

#[test]
fn an_answer_of_too_many_series_is_none() {
    let one = r#"{"metric":{},"value":[1,"2"]}"#;
    let wanted = Wanted { shape: Shape::Vector, labels: Some(&Arc::default()) };
    let answer = |count: usize| answer::read(200, vector(&vec![one; count].join(",")).as_bytes(), wanted);
    assert_eq!(answer(50_000).unwrap().len(), 50_000);
    refused(&answer(50_001), Reason::QueryTooExpensive, "the answer has more than 50000 series");
}

#[tokio::test]
async fn a_range_is_asked_for_as_such() {
    tls::install_provider();
    let body =
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[31,"NaN"]]}]}}"#;
    let server = RawServer::start([Reply::json(200, body)]).await;
    let range = Some((Instant::from_millis(1_000), Span::seconds(30)));
    let question = Question { expr: "up", at: Instant::from_millis(31_000), range, labels: None };
    let series = Backend::new(&spec(&server.url), None).unwrap().ask(&question).await.unwrap();
    assert_eq!(series[0].points.len(), 2);
    let request = &server.requests()[0];
    assert!(request.starts_with("POST /api/v1/query_range "), "{request}");
    assert!(request.ends_with("query=up&timeout=10000ms&start=1.000&end=31.000&step=30000ms"), "{request}");
}

#[tokio::test]
async fn specs_that_cannot_be_followed_are_refused() {
    tls::install_provider();
    let check = |change: &dyn Fn(&mut MetricsSourceSpec), message: &str| {
        let mut spec = spec("http://prometheus:9090");
        change(&mut spec);
        let error = format!("{:#}", Backend::new(&spec, Some(Path::new("/nowhere"))).unwrap_err());
        assert!(error.contains(message), "{error}");
    };
    check(&|spec| spec.prometheus.url = "ftp://x".into(), "must be an http or https URL");
    check(&|spec| spec.prometheus.url = "http://user:canary@x".into(), "without credentials");
    check(
        &|spec| spec.prometheus.credential = Some("../../etc/passwd".into()),
        "must be the plain name of a mounted file",
    );
    check(&|spec| spec.prometheus.credential = Some("..".into()), "must be the plain name of a mounted file");
    check(&|spec| spec.prometheus.ca_bundle = Some("not PEM".into()), "it holds no PEM certificate");
    check(&|spec| spec.timeout = Some("5 parsecs".into()), "reading spec.timeout");
    check(&|spec| spec.timeout = Some("0s".into()), "must lie between 1ms and 1h");
    let mut without = spec("http://prometheus:9090");
    without.prometheus.credential = Some("token".into());
    assert!(Backend::new(&without, None).is_err(), "a credential needs a directory");
}
