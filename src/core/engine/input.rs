//! What the engine is told.

use std::collections::BTreeSet;

use super::{
    effect::{EffectId, Silence},
    series::Answer,
};
use crate::{
    api::{ConnectionBudget, MetricsSource, PerformanceClass, PerformancePolicy, conditions::Reason},
    core::{
        facts::{DisruptionBudget, DisruptionKey, ObjectKey, Pod, Seen},
        rules::{RuleKey, RuleObject},
    },
};

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A policy was added, changed or deleted.
    Policy(Change<Box<PerformancePolicy>, (Box<str>, Box<str>)>),
    /// A policy is there that this version cannot read: its metadata, its status as far as that can be read, and why.
    UnreadablePolicy(Box<PerformancePolicy>, String),
    /// A class was added, changed or deleted.
    Class(Change<Box<PerformanceClass>, Box<str>>),
    /// A metrics source was added, changed or deleted.
    Source(Change<Box<MetricsSource>, Box<str>>),
    /// A connection budget was added, changed or deleted.
    Budget(Change<Box<ConnectionBudget>, (Box<str>, Box<str>)>),
    /// A `PodDisruptionBudget` was added, changed or deleted.
    Disruption(Change<Box<(DisruptionKey, DisruptionBudget)>, DisruptionKey>),
    /// A `PrometheusRule` of ours was added, changed or deleted.
    Rule(Change<Box<(RuleKey, RuleObject)>, RuleKey>),
    /// A workload, autoscaler or `ConfigMap` was added, changed or deleted. Those of `ConfigMap`s carry metadata only.
    Object(Change<Box<Seen>, ObjectKey>),
    /// A list of a stream is complete: everything of the stream that is not named here is gone.
    Listed(Stream, Listing),
    /// Objects of a kind cannot be listed, and why: `KindNotServed`, `Forbidden` or `Unknown`. Nobody waits for them.
    Unserved(Stream, Reason),
    /// This replica became the leader, or ceased to be.
    Leadership(bool),
    /// An effect was executed.
    Done(EffectId, Outcome),
    /// Time passed.
    Tick,
}

/// A change of something that a stream shows.
#[derive(Clone, Debug)]
pub enum Change<T, K> {
    /// It exists and looks like this.
    Applied(T),
    /// It is gone.
    Deleted(K),
}

/// The streams that the shell watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// `PerformancePolicy`.
    Policies,
    /// `PerformanceClass`.
    Classes,
    /// `MetricsSource`.
    Sources,
    /// `ConnectionBudget`.
    Budgets,
    /// `PodDisruptionBudget`.
    Disruptions,
    /// `PrometheusRule`s of ours. Nobody waits for them.
    Rules,
    /// Objects of one kind.
    Objects(crate::core::facts::Kind),
}

/// Names that a complete list of a stream held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Namespace (empty for cluster-scoped kinds) and name.
    pub names: BTreeSet<(Box<str>, Box<str>)>,
}

/// How an effect ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The object as the server returned it: after a GET or a successful write.
    Object(Box<Seen>),
    /// The write or request succeeded and there is nothing to show.
    Accepted,
    /// The object does not exist.
    NotFound,
    /// Pods of a workload.
    Pods(Vec<Pod>),
    /// A `PrometheusRule` as the server returned it.
    Rule(Box<(RuleKey, RuleObject)>),
    /// What the metrics backend answered.
    Answer(Answer),
    /// Silences of an Alertmanager.
    Silences(Vec<Silence>),
    /// It failed.
    Failed(Failure),
}

/// Why an effect failed, by what has to happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 409 with `FieldManagerConflict` causes: manager and field of each.
    Conflict(Vec<(String, String)>),
    /// 409 without causes, or a failed `test` of a JSON patch: the view was stale.
    Stale,
    /// 409 or 422 on the uid: another object has the name now.
    Replaced,
    /// 403: the verb and resource are in the message.
    Forbidden(String),
    /// 400 or 422: the server will never accept it.
    Rejected(String),
    /// The request may or may not have been executed: timeout, reset, 5xx.
    Unknown(String),
    /// 429, or 503 with Retry-After: not executed.
    Throttled(String),
}
