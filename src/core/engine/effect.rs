//! What the engine asks the shell to do. Values: printable, comparable, executable exactly once each.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::RuleWrite;
use crate::{
    api::{ConnectionBudgetStatus, PerformancePolicyStatus, source::MetricsSourceStatus},
    core::{
        facts::{Instant, ObjectKey, Span},
        rules::RuleKey,
    },
};

/// Number of an effect, unique in the life of a `World`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId(pub u64);

/// Something to do, whose end is told by `Input::Done` with the same id.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// Number by which its end is told.
    pub id: EffectId,
    /// What to do.
    pub action: Action,
}

/// What a query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKind {
    /// Readings of many workloads.
    Shared,
    /// A query of one policy, which nobody shares.
    Single,
    /// How old the data is.
    Age,
    /// Readings of before.
    Past,
}

impl QueryKind {
    /// Its word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Single => "single",
            Self::Age => "age",
            Self::Past => "past",
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read one object.
    Get(ObjectKey),
    /// List the pods of a workload while a rollout of ours is under way.
    ListPods {
        /// The workload.
        workload: ObjectKey,
        /// Its label selector, as in `labelSelector=`.
        selector: String,
    },
    /// Write to an object.
    Patch(Patch),
    /// Replace the status of a policy (server-side apply, forced, under `names::STATUS_MANAGER`).
    Status {
        /// Namespace and name of the policy.
        policy: (Box<str>, Box<str>),
        /// Uid: the status of a policy that was deleted and made anew is not ours to write.
        uid: String,
        /// The complete status.
        status: Box<PerformancePolicyStatus>,
    },
    /// Replace the status of a metrics source.
    SourceStatus {
        /// Name of the source.
        source: Box<str>,
        /// The complete status.
        status: Box<MetricsSourceStatus>,
    },
    /// Replace the status of a connection budget.
    BudgetStatus {
        /// Namespace and name of the budget.
        budget: (Box<str>, Box<str>),
        /// Uid: the status of one that was deleted and made anew is not ours to write.
        uid: String,
        /// Resource version of the view that it was made up from.
        resource_version: String,
        /// The complete status.
        status: Box<ConnectionBudgetStatus>,
    },
    /// Set the finalizers of a policy (JSON patch of the resource version that was read).
    Finalizers {
        /// Namespace and name of the policy.
        policy: (Box<str>, Box<str>),
        /// Resource version of the view that this was decided on.
        resource_version: String,
        /// All finalizers that shall be there.
        finalizers: Vec<String>,
    },
    /// Publish an Event.
    Event(Event),
    /// Ask a metrics backend.
    Query {
        /// Name of the source.
        source: Box<str>,
        /// `PromQL`.
        expr: String,
        /// Evaluation time.
        at: Instant,
        /// `Some((start, step))`: a range query from `start` to `at`.
        range: Option<(Instant, Span)>,
        /// What it is for.
        kind: QueryKind,
        /// Labels that are read of the answer. What else a series has need not be kept.
        labels: Arc<[Box<str>]>,
    },
    /// Write or delete a `PrometheusRule` of ours.
    Rules {
        /// Namespace and name.
        rule: RuleKey,
        /// What to do with it.
        write: Box<RuleWrite>,
    },
    /// Ask a metrics backend which rules of ours it has loaded: a series for each, with its labels, and with the error of its
    /// last evaluation under [`RULE_ERROR`](super::RULE_ERROR).
    LoadedRules {
        /// Name of the source.
        source: Box<str>,
    },
    /// Hand alerts to every Alertmanager of a source. Never waited for.
    Alerts {
        /// Name of the source.
        source: Box<str>,
        /// The alerts.
        alerts: Vec<Alert>,
    },
    /// Look for silences at an Alertmanager, or make, renew or end one. No write to the cluster waits for it.
    Silence(SilenceRequest),
}

/// A write to one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Which object.
    pub object: ObjectKey,
    /// Subresource (`scale`), or none for the object itself.
    pub subresource: Option<&'static str>,
    /// Field manager.
    pub manager: String,
    /// The patch.
    pub body: PatchBody,
}

/// The two kinds of patch that we send.
#[derive(Clone, Debug, PartialEq)]
pub enum PatchBody {
    /// Server-side apply of a complete claim. It carries uid and resourceVersion.
    Apply {
        /// The body.
        body: Value,
        /// Whether conflicts are overruled. Only when every conflicting field is under `TakeOver`.
        force: bool,
    },
    /// JSON patch (RFC 6902), beginning with the resource version that it is meant for.
    Json(Value),
}

/// A Kubernetes Event about an object of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its kind: `PerformancePolicy` or `ConnectionBudget`.
    pub kind: &'static str,
    /// Its namespace and name.
    pub object: (Box<str>, Box<str>),
    /// Its uid.
    pub uid: String,
    /// Whether somebody should look.
    pub warning: bool,
    /// One of `api::conditions::Reason`.
    pub reason: &'static str,
    /// What was being done.
    pub action: &'static str,
    /// At most 1000 bytes.
    pub note: String,
}

/// An alert as Alertmanager's v2 API takes it. Its labels are its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Since when.
    pub starts_at: Instant,
    /// Until when, unless it is sent again.
    pub ends_at: Instant,
}

/// A request about silences to one Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceRequest {
    /// Name of the source.
    pub source: Box<str>,
    /// Base URL of the Alertmanager, one of the source's.
    pub alertmanager: Box<str>,
    /// What is asked.
    pub ask: SilenceAsk,
}

/// What is asked of an Alertmanager about silences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SilenceAsk {
    /// All silences that have these matchers, those that have ended as well. Ends with `Outcome::Silences`.
    Look(Vec<Matcher>),
    /// Make a silence, or renew the one of that id.
    Set {
        /// Id of the one that is renewed.
        id: Option<String>,
        /// The silence.
        silence: Box<NewSilence>,
    },
    /// End the silence of that id at once.
    Expire(String),
}

/// One condition of a silence on the labels of alerts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Matcher {
    /// Name of the label.
    pub name: String,
    /// Its value, or an anchored regular expression.
    pub value: String,
    /// Whether the value is a regular expression.
    pub is_regex: bool,
    /// Whether the label must have the value, and not: must not.
    pub is_equal: bool,
}

impl Matcher {
    /// The label has this value.
    #[must_use]
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned(), is_regex: false, is_equal: true }
    }
}

/// A silence as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSilence {
    /// What it silences: alerts that fit all of them.
    pub matchers: Vec<Matcher>,
    /// Since when. An Alertmanager takes its present time for one that lies before, except for the silence that is renewed.
    pub starts_at: Instant,
    /// Until when.
    pub ends_at: Instant,
    /// Who made it.
    pub created_by: &'static str,
    /// Why.
    pub comment: String,
}

/// A silence as an Alertmanager shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Its id.
    pub id: String,
    /// What it silences.
    pub matchers: Vec<Matcher>,
    /// Since when.
    pub starts_at: Instant,
    /// Until when.
    pub ends_at: Instant,
    /// Whether it has ended, by itself or by somebody.
    pub expired: bool,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
}
