use super::*;
use crate::{
    core::facts::Span,
    shell::{
        testing::{RawServer, Reply},
        tls,
    },
};

fn start() -> Instant {
    Instant::parse("2026-12-01T02:30:00Z").unwrap()
}

fn set(id: Option<&str>) -> SilenceAsk {
    let silence = NewSilence {
        matchers: vec![
            Matcher::equal("policy", "web"),
            Matcher { is_equal: false, ..Matcher::equal("severity", "critical") },
        ],
        starts_at: start(),
        ends_at: start() + Span::minutes(2),
        created_by: "trimtab",
        comment: "Policy shop/web rolls out".to_owned(),
    };
    SilenceAsk::Set { id: id.map(str::to_owned), silence: Box::new(silence) }
}

async fn ask(server: &RawServer, ask: &SilenceAsk) -> Outcome {
    Silencers::new(std::slice::from_ref(&server.url)).ask(&server.url, ask).await
}

#[tokio::test]
async fn silences_are_looked_up_by_their_matchers() {
    tls::install_provider();
    let shown = r#"[{"id": "7a", "status": {"state": "expired"}, "updatedAt": "2026-12-01T02:31:00.100Z",
        "comment": "why", "createdBy": "trimtab", "startsAt": "2026-12-01T02:30:00.250Z", "endsAt": "2026-12-01T02:32:00.000Z",
        "matchers": [{"name": "policy", "value": "web", "isEqual": true, "isRegex": false}], "annotations": {}}]"#;
    let server = RawServer::start([Reply::json(200, shown), Reply::json(200, "{}"), Reply::json(200, "<html>")]).await;
    let look = SilenceAsk::Look(vec![Matcher::equal("namespace", "shop"), Matcher::equal("policy", "web")]);
    let Outcome::Silences(found) = ask(&server, &look).await else { panic!("silences") };
    let wanted = Silence {
        id: "7a".to_owned(),
        matchers: vec![Matcher::equal("policy", "web")],
        starts_at: start() + Span::millis(250),
        ends_at: start() + Span::minutes(2),
        expired: true,
        created_by: "trimtab".to_owned(),
        comment: "why".to_owned(),
    };
    assert_eq!(found, [wanted]);
    let request = server.requests().remove(0);
    let wanted = "GET /api/v2/silences?filter=namespace%3D%22shop%22&filter=policy%3D%22web%22 HTTP/1.1\r\n";
    assert!(request.starts_with(wanted), "{request}");
    // What is no list of silences is not taken for an empty one, after which one more would be made.
    for _ in 0..2 {
        assert!(matches!(ask(&server, &look).await, Outcome::Failed(Failure::Rejected(_))));
    }
}

#[tokio::test]
async fn a_silence_is_made_renewed_and_ended_and_every_refusal_has_its_kind() {
    tls::install_provider();
    let replies = [
        Reply::json(200, r#"{"silenceID": "7a"}"#),
        Reply::json(404, "\"silence not found\""),
        Reply::json(400, "\"end time can't be in the past\""),
        Reply::json(503, ""),
        Reply::json(429, ""),
        Reply::Close,
        Reply::json(200, ""),
    ];
    let server = RawServer::start(replies).await;
    assert!(matches!(ask(&server, &set(None)).await, Outcome::Accepted));
    assert!(matches!(ask(&server, &set(Some("7a"))).await, Outcome::NotFound));
    assert!(matches!(ask(&server, &set(None)).await, Outcome::Failed(Failure::Rejected(_))));
    assert!(matches!(ask(&server, &set(None)).await, Outcome::Failed(Failure::Unknown(_))));
    assert!(matches!(ask(&server, &set(None)).await, Outcome::Failed(Failure::Throttled(_))));
    assert!(matches!(ask(&server, &set(None)).await, Outcome::Failed(Failure::Unknown(_))));
    assert!(matches!(ask(&server, &SilenceAsk::Expire("../7 a".to_owned())).await, Outcome::Accepted));
    let requests = server.requests();
    let body = |n: usize| -> Value { serde_json::from_str(requests[n].split_once("\r\n\r\n").unwrap().1).unwrap() };
    assert!(requests[0].starts_with("POST /api/v2/silences HTTP/1.1\r\n"), "{}", requests[0]);
    assert_eq!((body(0).get("id"), &body(1)["id"]), (None, &json!("7a")));
    assert_eq!(
        (&body(0)["startsAt"], &body(0)["endsAt"]),
        (&json!("2026-12-01T02:30:00Z"), &json!("2026-12-01T02:32:00Z"))
    );
    let matchers = json!([{"name": "policy", "value": "web", "isRegex": false, "isEqual": true},
        {"name": "severity", "value": "critical", "isRegex": false, "isEqual": false}]);
    assert_eq!(body(0)["matchers"], matchers);
    assert!(requests[6].starts_with("DELETE /api/v2/silence/..%2F7%20a HTTP/1.1\r\n"), "{}", requests[6]);
}

#[tokio::test]
async fn an_alertmanager_that_the_source_does_not_name_is_not_asked() {
    tls::install_provider();
    let server = RawServer::start([Reply::json(200, "[]")]).await;
    let outcome = Silencers::new(&[]).ask(&server.url, &SilenceAsk::Look(Vec::new())).await;
    assert!(matches!(outcome, Outcome::Failed(Failure::Rejected(_))));
    assert!(server.requests().is_empty());
}
