//! The HTTP interface that Grace's users see.

use std::{io::Write, sync::Arc, time::Instant};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, get, post},
};
use flate2::{Compression, write::GzEncoder};
use serde::Deserialize;
use serde_json::json;

use crate::{
    app::{App, AskError, Phase},
    database::{Answer, Message, Query},
    pool::PoolError,
    settings::row_limit,
    worker::chain,
};

pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    let pages: [(&'static str, &'static str, MethodRouter<Arc<App>>); 4] = [
        ("/api/chat/", "POST", post(chat)),
        ("/api/metrics/summary", "GET", get(summary)),
        ("/api/reflection", "GET", get(reflection)),
        ("/health", "GET", get(health)),
    ];
    for (route, method, handler) in pages {
        // The series exist from the start: a rate needs a first point.
        app.metrics.requests.with_label_values(&[method, route, "200"]);
        let watch = middleware::from_fn_with_state((Arc::clone(&app), route), observe);
        router = router.route(route, handler.layer(watch));
    }
    let unknown = middleware::from_fn_with_state((Arc::clone(&app), ""), observe);
    let fallback = any(not_found).layer(unknown);
    router.fallback_service(fallback.with_state(Arc::clone(&app))).with_state(app)
}

/// A message to Grace. The fields but `message` have defaults, so that the guide's own load test
/// (`{"message": "hello"}`) is a valid request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chat {
    message: String,
    #[serde(default = "anonymous")]
    user: String,
    /// The address whose trust is looked up.
    #[serde(default = "home")]
    url: String,
}

fn anonymous() -> String {
    "user-0".to_owned()
}

fn home() -> String {
    "https://grace.example.com/".to_owned()
}

async fn chat(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    let chat: Chat = match serde_json::from_slice(&body) {
        Ok(chat) => chat,
        Err(error) => {
            let text = format!("expected {{\"message\": \"...\"}}: {error}\n");
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    };
    match converse(&app, chat).await {
        Ok(answer) => respond(&app, &headers, answer.to_string().into()),
        Err(error) => refuse(&error),
    }
}

async fn converse(app: &App, chat: Chat) -> Result<serde_json::Value, AskError> {
    let Chat { message, user, url } = chat;
    let trust = trust_score(app, url).await?;
    let limit = row_limit(&app.settings.borrow());
    // One connection for both queries, as a session holds it for its whole request.
    let mut connection = app.pool.acquire().await?;
    let history = connection.execute(&Query::History { user: user.clone(), limit }).await?;
    connection.execute(&Query::Append { user, text: message.clone() }).await?;
    drop(connection);
    let Answer::Messages { messages } = history else {
        return Err(AskError::unexpected(&history));
    };
    let history: Vec<String> = messages.into_iter().map(|Message { text, .. }| text).collect();
    Ok(json!({"reply": format!("You said: {message}"), "trust": trust, "history": history}))
}

async fn trust_score(app: &App, url: String) -> Result<f64, AskError> {
    if let Some(score) = app.trust_scores.get(&url) {
        return Ok(score);
    }
    match app.ask(&Query::TrustScore { url: url.clone() }).await? {
        Answer::TrustScore { score } => {
            app.trust_scores.insert(url, score);
            Ok(score)
        }
        other => Err(AskError::unexpected(&other)),
    }
}

async fn summary(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if let Some(body) = app.summaries.get(SUMMARY) {
        return respond(&app, &headers, body);
    }
    match app.ask(&Query::Summary).await {
        Ok(Answer::Summary { messages, users }) => {
            let body = Bytes::from(json!({"messages": messages, "users": users}).to_string());
            app.summaries.insert(SUMMARY.to_owned(), body.clone());
            respond(&app, &headers, body)
        }
        Ok(other) => refuse(&AskError::unexpected(&other)),
        Err(error) => refuse(&error),
    }
}

/// The only key of the cache of summaries.
const SUMMARY: &str = "all";

async fn reflection(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match app.reflection() {
        Some(body) => respond(&app, &headers, body),
        None => (StatusCode::NO_CONTENT, ()).into_response(),
    }
}

/// Whether the database answered when it was last asked. The check itself is a background loop, so
/// that a crowd of probes does not become load.
async fn health(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let up = app.metrics.database_up.get() == 1;
    let status = if up { "healthy" } else { "degraded" };
    respond(&app, &headers, json!({"status": status, "database": up}).to_string().into())
}

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "no such page\n").into_response()
}

/// A JSON answer, compressed if it is large enough and the client can take it.
fn respond(app: &App, headers: &HeaderMap, body: Bytes) -> Response {
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let minimum = app.settings.borrow().gzip_minimum_size;
    let wanted = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|encoding| encoding.trim().split(';').next() == Some("gzip"));
    if minimum > 0 && wanted && body.len() >= minimum {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        if let Ok(compressed) = encoder.write_all(&body).and_then(|()| encoder.finish()) {
            let gzip = (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            let vary = (header::VARY, HeaderValue::from_static("accept-encoding"));
            return ([json, gzip, vary], compressed).into_response();
        }
    }
    ([json], body).into_response()
}

/// 503 where trying again may help, 500 where it will not.
fn refuse(error: &AskError) -> Response {
    let text = chain(error);
    if error.is_temporary() {
        // The metrics count these; a log line for each would be load on top of overload.
        tracing::debug!(error = text, "refused a request");
        let retry = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
        (StatusCode::SERVICE_UNAVAILABLE, retry, format!("{text}\n")).into_response()
    } else {
        tracing::error!(error = text, "failed to serve a request");
        (StatusCode::INTERNAL_SERVER_ERROR, "internal error, see the log\n").into_response()
    }
}

impl AskError {
    fn unexpected(answer: &Answer) -> Self {
        let answer = format!("{answer:?}").chars().take(100).collect();
        Self::Database(crate::database::DatabaseError::Garbled(answer))
    }

    fn is_temporary(&self) -> bool {
        use crate::database::DatabaseError::{Closed, Garbled, Refused, Rejected, Unreachable};
        match self {
            Self::Pool(PoolError::Timeout { .. } | PoolError::Connect(_) | PoolError::Closed)
            | Self::Database(Unreachable { .. } | Rejected { .. } | Closed) => true,
            Self::Database(Refused(_) | Garbled(_)) => false,
        }
    }
}

/// Times a request and asks the client to leave when the server is about to.
async fn observe(State((app, route)): State<(Arc<App>, &'static str)>, request: Request, next: Next) -> Response {
    let mut timer = Timer::start(Arc::clone(&app), route, request.method());
    let mut response: Response<Body> = next.run(request).await;
    timer.status = response.status().as_u16();
    if *app.phase.borrow() != Phase::Running {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Records a request when it ends, however it ends: without those whose clients gave up, an
/// overloaded server would look fast.
struct Timer {
    app: Arc<App>,
    route: &'static str,
    method: &'static str,
    started: Instant,
    status: u16,
}

/// What nginx writes when the client left before the answer.
const CLIENT_LEFT: u16 = 499;

impl Timer {
    fn start(app: Arc<App>, route: &'static str, method: &Method) -> Self {
        app.metrics.active_requests.inc();
        // OpenTelemetry's word for methods that could be anything keeps the label finite.
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::HEAD => "HEAD",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            Method::OPTIONS => "OPTIONS",
            Method::PATCH => "PATCH",
            _ => "_OTHER",
        };
        Self { app, route, method, started: Instant::now(), status: CLIENT_LEFT }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.app.metrics.active_requests.dec();
        let status = self.status.to_string();
        self.app
            .metrics
            .requests
            .with_label_values(&[self.method, self.route, &status])
            .observe(self.started.elapsed().as_secs_f64());
    }
}
