//! What a worker has: its pool, its caches, its settings, its metrics.

use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use tokio::sync::watch;

use crate::{
    cache::TtlCache,
    database::{Answer, Database, DatabaseError, Query},
    metrics::{Metrics, count, snapshot::Snapshot},
    pool::{Pool, PoolError},
    settings::Settings,
};

/// How far a worker is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Still serving, but asking clients to leave.
    Closing,
    Draining,
}

pub(crate) struct App {
    pub(crate) pool: Pool<Database>,
    pub(crate) trust_scores: TtlCache<f64>,
    pub(crate) summaries: TtlCache<Bytes>,
    pub(crate) metrics: Metrics,
    pub(crate) settings: watch::Receiver<Settings>,
    pub(crate) phase: watch::Receiver<Phase>,
    reflection: Mutex<Option<Bytes>>,
}

/// Entries that a cache holds at most; enough for every address of the load generator.
const CACHE_CAPACITY: usize = 10_000;

/// Why a question to the database got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl App {
    pub(crate) fn new(
        database: Database,
        settings: watch::Receiver<Settings>,
        phase: watch::Receiver<Phase>,
    ) -> prometheus::Result<Self> {
        let metrics = Metrics::new()?;
        let now = settings.borrow().clone();
        let counter = |cache, result| metrics.cache_requests.with_label_values(&[cache, result]);
        let trust_scores = TtlCache::new(
            now.trust_score_ttl.0,
            CACHE_CAPACITY,
            counter("trust_score", "hit"),
            counter("trust_score", "miss"),
        );
        let summaries = TtlCache::new(
            now.metrics_summary_ttl.0,
            CACHE_CAPACITY,
            counter("metrics_summary", "hit"),
            counter("metrics_summary", "miss"),
        );
        let pool = Pool::new(database, now.pool, metrics.pool.clone());
        metrics.show_settings(&now);
        let reflection = Mutex::new(None);
        Ok(Self { pool, trust_scores, summaries, metrics, settings, phase, reflection })
    }

    /// Puts changed settings in force. Loops and handlers read theirs when they need them.
    pub(crate) fn apply(&self, settings: &Settings) {
        self.pool.set_limits(settings.pool);
        self.trust_scores.set_ttl(settings.trust_score_ttl.0);
        self.summaries.set_ttl(settings.metrics_summary_ttl.0);
        self.metrics.show_settings(settings);
    }

    /// Asks one question on a connection of the pool.
    pub(crate) async fn ask(&self, query: &Query) -> Result<Answer, AskError> {
        let mut connection = self.pool.acquire().await?;
        Ok(connection.execute(query).await?)
    }

    pub(crate) fn gather(&self) -> Snapshot {
        for (name, entries) in [("trust_score", self.trust_scores.len()), ("metrics_summary", self.summaries.len())] {
            self.metrics.cache_entries.with_label_values(&[name]).set(count(entries));
        }
        self.metrics.gather(self.pool.status())
    }

    /// The latest reflection, as it goes to clients.
    pub(crate) fn reflection(&self) -> Option<Bytes> {
        self.reflection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_reflection(&self, body: Bytes) {
        *self.reflection.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }
}
