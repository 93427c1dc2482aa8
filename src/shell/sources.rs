//! The metrics sources that the shell can reach: each with its client and its Alertmanagers.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use tracing::warn;

use super::{
    alertmanager::Outbox,
    prometheus::{Backend, Question},
    telemetry::Metrics,
};
use crate::{
    api::{MetricsSource, MetricsSourceSpec, conditions::Reason},
    core::{
        engine::{Answer, Change, Input, Refusal, Stream, effect::Alert},
        facts::{Instant, Span},
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
            }
            Input::Listed(Stream::Sources, listing) => {
                self.write().retain(|name, _| listing.names.contains(&("".into(), name.clone())));
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
    pub async fn ask(&self, source: &str, expr: &str, at: Instant, range: Option<(Instant, Span)>) -> Answer {
        let Some(source) = self.get(source) else {
            return Err(Refusal {
                reason: Reason::SourceNotFound,
                message: format!("there is no MetricsSource {source:?}"),
            });
        };
        match &source.backend {
            Ok(backend) => backend.ask(&Question { expr, at, range }).await,
            Err(error) => Err(Refusal { reason: Reason::BackendUnavailable, message: error.clone() }),
        }
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
        self.write().insert(name.into(), Arc::new(Source { spec: source.spec.clone(), backend, outbox }));
    }

    fn get(&self, name: &str) -> Option<Arc<Source>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Box<str>, Arc<Source>>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}
