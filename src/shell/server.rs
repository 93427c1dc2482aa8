//! The HTTP address of the process: `/metrics` and the probes.

use std::{future::Future, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::{Registry, TextEncoder};
use tokio::net::TcpListener;

use super::{
    driver::Questions,
    health::Health,
    telemetry::{exposition, process},
};

/// What the routes read.
#[derive(Clone, Debug)]
pub struct Pages {
    /// Metrics about the operator itself.
    pub registry: Registry,
    /// State of the process.
    pub health: Arc<Health>,
    /// The way to ask the engine what it knows.
    pub questions: Questions,
}

/// Serves on `listener` until `end`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    pages: Pages,
    end: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|State(pages): State<Pages>| async move { probe(pages.health.stuck()) }))
        .route("/readyz", get(|State(pages): State<Pages>| async move { probe(pages.health.unready()) }))
        .with_state(pages);
    axum::serve(listener, app).with_graceful_shutdown(end).await.context("serving metrics and probes")
}

fn probe(complaint: Option<String>) -> Response {
    match complaint {
        None => "ok\n".into_response(),
        Some(complaint) => (StatusCode::SERVICE_UNAVAILABLE, complaint + "\n").into_response(),
    }
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let known = pages.questions.pages().await;
    match TextEncoder::new().encode_to_string(&pages.registry.gather()) {
        Ok(own) => {
            let text = [own, exposition::text(&process::pages()), exposition::text(&known)].concat();
            ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("writing metrics: {error}\n")).into_response(),
    }
}
