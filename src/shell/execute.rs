//! Carries out effects and says how each ended. Retries nothing: the engine decides what happens next.

mod events;
mod failure;
mod request;

use std::{fmt, sync::Arc, time::Duration};

use axum::http::Method;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

pub use self::failure::describe;
use self::request::Call;
use super::{lease::Tenure, prometheus::Question, sources::Sources};
use crate::core::{
    engine::{Action, Failure, Outcome, RuleWrite, SilenceAsk, effect},
    facts::{Kind, Pod, Seen},
    rules::RuleObject,
};

/// Time after which a request counts as possibly executed. An API server answers or refuses within seconds; its own
/// limit, 60 s, would hold a place for too long.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing is written by a replica that may not lead any more.
const NOT_SENT: &str = "not sent, because this replica has not renewed its Lease in time: another one may lead by now";

/// Carries out effects.
#[derive(Clone)]
pub struct Executor {
    client: Client,
    sources: Arc<Sources>,
    /// `reportingInstance` of Events.
    instance: Arc<str>,
    tenure: Tenure,
    timeout: Duration,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Executor {
    /// An executor that reports Events as `instance`, and begins no write when `tenure` is over. `client` must not retry by itself.
    #[must_use]
    pub fn new(client: Client, sources: Arc<Sources>, instance: &str, tenure: Tenure) -> Self {
        Self { client, sources, instance: instance.into(), tenure, timeout: TIMEOUT }
    }

    /// Carries out one action.
    pub async fn execute(self, action: Action) -> Outcome {
        match action {
            Action::Query { source, expr, at, range, kind, labels } => {
                let question = Question { expr: &expr, at, range, labels: Some(&labels) };
                Outcome::Answer(self.sources.ask(&source, kind, &question).await)
            }
            Action::Alerts { source, alerts } => {
                self.sources.alert(&source, &alerts);
                Outcome::Accepted
            }
            Action::Silence(request) => {
                if !matches!(request.ask, SilenceAsk::Look(_)) && self.tenure.is_over() {
                    return Outcome::Failed(Failure::Throttled(format!("a silence: {NOT_SENT}")));
                }
                self.sources.silence(&request).await
            }
            Action::LoadedRules { source } => Outcome::Answer(self.sources.loaded_rules(&source).await),
            Action::Rules { rule, write } => {
                let shows = match &*write {
                    RuleWrite::Apply(_) => Shows::Rule,
                    RuleWrite::Delete(_) => Shows::Nothing,
                };
                self.call(Call::rules(&rule, &write), shows).await
            }
            Action::Event(event) => self.event(event).await,
            Action::Get(object) => self.call(Call::get(&object), Shows::Object(object.kind)).await,
            Action::ListPods { workload, selector } => {
                self.call(Call::list_pods(&workload.namespace, &selector), Shows::Pods).await
            }
            Action::Patch(patch) => {
                let shows = match patch.subresource {
                    None => Shows::Object(patch.object.kind),
                    Some(_) => Shows::Nothing,
                };
                self.call(Call::patch(patch), shows).await
            }
            Action::Status { policy, uid, status } => {
                self.call(Call::policy_status(&policy, &status), Shows::Uid(uid)).await
            }
            Action::SourceStatus { source, status } => {
                self.call(Call::source_status(&source, &status), Shows::Nothing).await
            }
            Action::BudgetStatus { budget, uid, resource_version, status } => {
                self.call(Call::budget_status(&budget, &resource_version, &status), Shows::Uid(uid)).await
            }
            Action::Finalizers { policy, resource_version, finalizers } => {
                self.call(Call::finalizers(&policy, &resource_version, &finalizers), Shows::Nothing).await
            }
        }
    }

    async fn event(&self, event: effect::Event) -> Outcome {
        self.call(Call::event(&event, &self.instance), Shows::Nothing).await
    }

    async fn call(&self, call: Result<Call, request::Error>, shows: Shows) -> Outcome {
        let call = match call {
            Ok(call) => call,
            // A request that cannot even be written will not be accepted at another time either.
            Err(error) => return Outcome::Failed(Failure::Rejected(error.to_string())),
        };
        let Call { request, what } = call;
        if *request.method() != Method::GET && self.tenure.is_over() {
            return Outcome::Failed(Failure::Throttled(format!("{what}: {NOT_SENT}")));
        }
        match timeout(self.timeout, self.client.request_text(request)).await {
            Err(_elapsed) => {
                Outcome::Failed(Failure::Unknown(format!("{what}: no answer within {} s", self.timeout.as_secs())))
            }
            Ok(Err(error)) => failure::outcome(&what, &error),
            Ok(Ok(text)) => shows.read(&text).unwrap_or_else(|error| {
                Outcome::Failed(Failure::Unknown(format!("{what}: cannot read the API server's answer: {error}")))
            }),
        }
    }
}

/// What the answer to a successful request holds.
enum Shows {
    /// The object.
    Object(Kind),
    /// A list of pods.
    Pods,
    /// A `PrometheusRule`.
    Rule,
    /// The object, which should have this uid. If it has not, somebody made it anew since, and what was written to it was
    /// not meant for it.
    Uid(String),
    /// Nothing that anybody needs.
    Nothing,
}

impl Shows {
    fn read(self, text: &str) -> Result<Outcome, serde_json::Error> {
        Ok(match self {
            Self::Object(kind) => Outcome::Object(Box::new(Seen::from_json(kind, text)?)),
            Self::Pods => {
                let list: List = serde_json::from_str(text)?;
                Outcome::Pods(list.items.iter().map(Pod::read).collect())
            }
            Self::Rule => Outcome::Rule(Box::new(RuleObject::from_json(text)?)),
            Self::Uid(uid) => {
                let written: Written = serde_json::from_str(text)?;
                if written.metadata.uid == uid { Outcome::Accepted } else { Outcome::Failed(Failure::Replaced) }
            }
            Self::Nothing => Outcome::Accepted,
        })
    }
}

#[derive(Deserialize)]
struct Written {
    metadata: Uid,
}

#[derive(Deserialize)]
struct Uid {
    uid: String,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Value>,
}
