//! The metrics port: one scrape tells the truth of the whole pod.

use std::sync::{Arc, MutexGuard, PoisonError, atomic::Ordering::Relaxed};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::future::join_all;
use tokio::net::TcpListener;

use super::{Pod, Roster, Slot, Stage};
use crate::metrics::{count, snapshot::Snapshot};

pub(super) async fn serve(listener: TcpListener, pod: Arc<Pod>) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(pod);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the metrics port failed");
    }
}

async fn metrics(State(pod): State<Arc<Pod>>) -> Response {
    let text = pod.gather().await.to_text();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Ready means: all workers have been ready once, at least one is now, and nobody asked to stop.
async fn ready(State(pod): State<Arc<Pod>>) -> Response {
    match pod.not_ready() {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

impl Pod {
    /// The workers. The lock is never held across a wait.
    pub(super) fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks every worker for its figures and adds them up.
    async fn gather(&self) -> Snapshot {
        let Roster { slots, leaving, remains } = self.roster().clone();
        let reports = join_all(slots.iter().chain(&leaving).map(Slot::report)).await;
        let ready = slots.iter().filter(|slot| slot.is_ready()).count();
        self.show_workers(ready, slots.len());
        let mut sum = Snapshot::of(&self.metrics.registry);
        sum.merge(&remains);
        for report in &reports {
            sum.merge(report);
        }
        sum
    }

    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52 workers")]
    fn show_workers(&self, ready: usize, all: usize) {
        let workers = &self.metrics.workers;
        workers.with_label_values(&["ready"]).set(ready as f64);
        workers.with_label_values(&["starting"]).set((all - ready) as f64);
        if let Some((standin, [open, most, running])) = &self.metrics.standin {
            open.set(count(standin.connections()));
            most.set(count(standin.max_connections()));
            running.set(count(standin.running()));
        }
        self.metrics.process.read();
    }

    fn not_ready(&self) -> Option<&'static str> {
        if *self.stage.borrow() != Stage::Running {
            return Some("stopping");
        }
        let slots = &self.roster().slots;
        if slots.is_empty() {
            return Some("starting: waiting for the database");
        }
        if slots.iter().all(Slot::is_ready) {
            self.started.store(true, Relaxed);
        }
        if !self.started.load(Relaxed) {
            return Some("starting: not every worker has opened its connection pool");
        }
        if slots.iter().any(Slot::is_ready) { None } else { Some("no worker is ready") }
    }
}
