//! What the engine asks the shell to do. Values: printable, comparable, executable exactly once each.

use std::collections::BTreeMap;

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
