//! The metrics sources that the shell can reach: each with its client and its Alertmanagers.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use tracing::warn;

use super::{
    alertmanager::{Outbox, Silencers},
    prometheus::{Backend, Question},
    telemetry::Metrics,
};
use crate::{
    api::{MetricsSource, MetricsSourceSpec, conditions::Reason},
    core::engine::{
        Answer, Change, Failure, Input, Outcome, QueryKind, Refusal, SilenceRequest, Stream, effect::Alert,
    },
};

/// The sources by name. They follow the inputs that the engine is told.
#[derive(Debug)]
pub struct Sources {
    /// Directory of bearer tokens.
    credentials: Option<PathBuf>,
    metrics: Arc<Metrics>,
    known: RwLock<HashMap<Box<str>, Arc<Source>>>,
}

#[derive(Debug)]
struct Source {
    spec: MetricsSourceSpec,
    /// The client, or why there can be none.
    backend: Result<Backend, String>,
    outbox: Outbox,
    silencers: Silencers,
}

impl Sources {
    /// No sources yet. Bearer tokens are read from `credentials`.
    #[must_use]
    pub fn new(credentials: Option<PathBuf>, metrics: Arc<Metrics>) -> Self {
        Self { credentials, metrics, known: RwLock::default() }
    }

    /// Takes notice of what the engine is about to be told, so that each query finds the source that it was decided on.
    pub fn observe(&self, input: &Input) {
        match input {
            Input::Source(Change::Applied(source)) => self.apply(source),
            Input::Source(Change::Deleted(name)) => {
                self.write().remove(name);
                self.metrics.forget_source(name);
            }
            Input::Listed(Stream::Sources, listing) => {
                let is_listed = |name: &str| listing.names.contains(&("".into(), name.into()));
                self.write().retain(|name, _| is_listed(name));
                self.metrics.keep_sources(is_listed);
            }
            Input::Policy(_)
            | Input::UnreadablePolicy(..)
            | Input::Class(_)
            | Input::Budget(_)
            | Input::Disruption(_)
            | Input::Rule(_)
            | Input::Object(_)
            | Input::Listed(..)
            | Input::Unserved(..)
            | Input::Leadership(_)
            | Input::Done(..)
            | Input::Tick => {}
        }
    }

    /// Asks a source.
    ///
    /// # Errors
    /// When there is no usable answer; the reason tells why.
    pub async fn ask(&self, name: &str, kind: QueryKind, question: &Question<'_>) -> Answer {
        let Some(source) = self.get(name) else {
            return Err(Refusal {
                reason: Reason::SourceNotFound,
                message: format!("there is no MetricsSource {name:?}"),
            });
        };
        let began = tokio::time::Instant::now();
        let answer = match &source.backend {
            Ok(backend) => backend.ask(question).await,
            Err(error) => Err(Refusal { reason: Reason::BackendUnavailable, message: error.clone() }),
        };
        // One that has gone meanwhile must leave no series.
        if self.get(name).is_some() {
            let outcome = answer.as_ref().map_or_else(|refusal| refusal.reason.as_str(), |_| "answered");
            self.metrics.queries.with_label_values(&[name, kind.as_str(), outcome]).inc();
            self.metrics.query_seconds.with_label_values(&[name, kind.as_str()]).observe(began.elapsed().as_secs_f64());
        }
        answer
    }

    /// Asks a source which rules of ours it has loaded.
    ///
    /// # Errors
    /// When there is no usable answer; the reason tells why.
    pub async fn loaded_rules(&self, source: &str) -> Answer {
        let Some(source) = self.get(source) else {
            return Err(Refusal {
                reason: Reason::SourceNotFound,
                message: format!("there is no MetricsSource {source:?}"),
            });
        };
        match &source.backend {
            Ok(backend) => backend.loaded_rules().await,
            Err(error) => Err(Refusal { reason: Reason::BackendUnavailable, message: error.clone() }),
        }
    }

    /// Hands alerts to all Alertmanagers of a source. Never waits.
    pub fn alert(&self, source: &str, alerts: &[Alert]) {
        if let Some(source) = self.get(source) {
            source.outbox.put(alerts);
        }
    }

    /// Asks one Alertmanager of a source about silences, or to keep or end one.
    pub async fn silence(&self, request: &SilenceRequest) -> Outcome {
        match self.get(&request.source) {
            Some(source) => source.silencers.ask(&request.alertmanager, &request.ask).await,
            None => Outcome::Failed(Failure::Rejected(format!("there is no MetricsSource {:?}", request.source))),
        }
    }

    fn apply(&self, source: &MetricsSource) {
        let name = source.metadata.name.as_deref().unwrap_or_default();
        // Conditions change with every transition; clients and queues stay as long as the spec does.
        if self.get(name).is_some_and(|known| known.spec == source.spec) {
            return;
        }
        let backend = Backend::new(&source.spec, self.credentials.as_deref()).map_err(|error| {
            warn!(source = name, error = format!("{error:#}"), "cannot use a MetricsSource");
            format!("{error:#}")
        });
        let outbox = Outbox::new(name, &source.spec.alertmanagers, &self.metrics);
        let silencers = Silencers::new(&source.spec.alertmanagers);
        let source = Source { spec: source.spec.clone(), backend, outbox, silencers };
        self.write().insert(name.into(), Arc::new(source));
    }

    fn get(&self, name: &str) -> Option<Arc<Source>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Box<str>, Arc<Source>>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}
