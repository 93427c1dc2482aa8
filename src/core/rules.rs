//! Rules for Prometheus: a policy's thresholds as the `PrometheusRule` of the Prometheus Operator.
//!
//! The whole object of one policy follows from the policy, its class, its source and its targets. Rules ask what the sweep
//! asks ([`Shape`](super::promql::Shape)), so that both say the same; what the engine remembers of a breach, here `ALERTS`
//! remembers. Owns names of recorded series and groups; must not know what is in the cluster, nor when to write.
//!
//! | recorded series | is |
//! |---|---|
//! | `trimtab:policy_rules` | 1; its label `revision` changes with every rule, so that who sees it knows what is loaded |
//! | `trimtab:policy_target` | 1 for each target |
//! | `trimtab:threshold_reading` | the reading of a threshold, in base units; missing where there is none |
//! | `trimtab:threshold_limit` | a bound that profiles move: as the operator exports it, else that of the spec |
//! | `trimtab:threshold_bad_ratio` | share of bad events in a window, of a service level objective |
//! | `trimtab:threshold_events` | number of events in a window, of a service level objective |
//!
//! There is a group for the policy and one for each threshold: Prometheus evaluates groups side by side, and keeps the state
//! of those that an edit leaves as they are.

mod burn;
mod expr;
mod object;
mod words;

use serde_json::{Map, Value, json};

pub use self::object::{RuleKey, RuleObject, digest};
use super::{
    facts::{ObjectKey, Span},
    policy::{Choice, Policy, Threshold},
    promql::{Identity, quote},
    resolve::Rules,
};
use crate::api::names;

/// Group and version of `PrometheusRule`.
pub const API_VERSION: &str = "monitoring.coreos.com/v1";
/// Its kind.
pub const KIND: &str = "PrometheusRule";
/// The series that tells which rules are loaded.
pub const MARKER: &str = "trimtab:policy_rules";
const TARGET: &str = "trimtab:policy_target";
const READING: &str = "trimtab:threshold_reading";
const LIMIT: &str = "trimtab:threshold_limit";
const BAD_RATIO: &str = "trimtab:threshold_bad_ratio";
const EVENTS: &str = "trimtab:threshold_events";
/// The label of [`MARKER`] that changes with the rules.
pub const REVISION: &str = "revision";
/// Everything that a rule of ours may be called.
pub const RULE_NAMES: [&str; 9] =
    [MARKER, TARGET, READING, LIMIT, BAD_RATIO, EVENTS, names::ALERT_BREACHED, names::ALERT_NO_DATA, names::ALERT_BURN];

/// Longest time between two evaluations: what a rule remembers of itself is seen for five minutes.
const MAX_INTERVAL: Span = Span::minutes(2);
/// Most bytes of the rules of one policy. The Prometheus Operator puts rules into a `ConfigMap` of half a mebibyte.
pub const MAX_SIZE: usize = 384 << 10;
/// Most targets of one policy that its rules name: each is a recorded series and a part of every selector.
const MAX_TARGETS: usize = 200;

/// What rules follow from.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The policy as its spec says, under no profile.
    pub policy: &'a Policy,
    /// The rules of its class.
    pub class: &'a Rules,
    /// How series of its source tell their workload.
    pub identity: &'a Identity,
    /// Time between two sweeps of its source, and so between two evaluations.
    pub interval: Span,
    /// What it governs; none for a policy without target.
    pub targets: &'a [ObjectKey],
}

/// The rules of a policy do not fit into one object. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Too many targets.
    #[error(
        "the policy has {0} targets, and rules name at most {MAX_TARGETS}: split it, or use alerting.sink Alertmanager"
    )]
    Targets(usize),
    /// Too much text.
    #[error(
        "its rules take {0} bytes, and at most {MAX_SIZE} fit: split the policy, or use alerting.sink Alertmanager"
    )]
    Bytes(usize),
}

/// Name of the object of a policy.
#[must_use]
pub fn name(policy: &str) -> String {
    format!("trimtab-{policy}")
}

/// Name of the group of a policy; those of its thresholds go on with a dot and their names.
#[must_use]
pub fn group(namespace: &str, policy: &str) -> String {
    format!("trimtab.{namespace}.{policy}")
}

/// What a policy names as its target, whether it is there or not: a workload that is gone for a moment has rules, which say
/// that it has no data.
#[must_use]
pub fn named(policy: &Policy) -> Option<ObjectKey> {
    let target = policy.target.as_ref()?;
    match &target.choice {
        Choice::Name(name) => Some(ObjectKey::new(target.kind, &*policy.identity.key.0, &**name)),
        Choice::Labels(_) => None,
    }
}

/// The rules of a policy, ready to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Changes with every rule.
    pub revision: String,
    /// The object as it is applied.
    pub body: Value,
}

impl Document {
    /// What must be as we have written it.
    #[must_use]
    pub fn spec(&self) -> &Value {
        &self.body["spec"]
    }
}

/// The object with all rules of a policy; `None`: it has no threshold, or nothing is known yet of its targets.
///
/// # Errors
/// When it would be too large.
pub fn document(case: &Case<'_>) -> Result<Option<Document>, TooLarge> {
    let policy = case.policy;
    if policy.thresholds.is_empty() || (policy.target.is_some() && case.targets.is_empty()) {
        return Ok(None);
    }
    if case.targets.len() > MAX_TARGETS {
        return Err(TooLarge::Targets(case.targets.len()));
    }
    let interval = case.interval.min(MAX_INTERVAL);
    let mut groups = Vec::new();
    let (namespace, name) = (&*policy.identity.key.0, policy.identity.name());
    for (index, threshold) in policy.thresholds.iter().enumerate() {
        let known = Known { case, index, threshold };
        // The class has said no to a query of its own, and so does the policy's condition.
        let Some(rules) = known.rules() else { continue };
        groups.push(grouped(&format!("{}.{}", group(namespace, name), threshold.name), interval, &rules));
        if let Some(rules) = burn::rules(&known) {
            let name = format!("{}.{}.slo", group(namespace, name), threshold.name);
            groups.push(grouped(&name, interval.max(Span::minutes(1)), &rules));
        }
    }
    let targets = case.targets.iter().map(|target| {
        let labels = labels(policy, &[("target_kind", target.kind.as_str()), ("target", &target.name)]);
        json!({"record": TARGET, "expr": "vector(1)", "labels": labels})
    });
    let mut first: Vec<Value> = targets.collect();
    let revision = digest(&json!([groups, first]));
    let marker = labels(policy, &[(REVISION, &revision)]);
    first.insert(0, json!({"record": MARKER, "expr": "vector(1)", "labels": marker}));
    groups.insert(0, grouped(&group(namespace, name), interval, &first));
    let body = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata(case),
        "spec": {"groups": groups},
    });
    let size = body.to_string().len();
    if size > MAX_SIZE { Err(TooLarge::Bytes(size)) } else { Ok(Some(Document { revision, body })) }
}

/// The labels that the object must have.
#[must_use]
pub fn object_labels(policy: &str, class: &Rules) -> Map<String, Value> {
    let mut labels: Map<String, Value> =
        class.spec.rule_labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    labels.insert("app.kubernetes.io/managed-by".to_owned(), json!("trimtab"));
    labels.insert(names::RULE_POLICY.to_owned(), json!(policy));
    labels
}

fn metadata(case: &Case<'_>) -> Value {
    let identity = &case.policy.identity;
    let mut labels = object_labels(identity.name(), case.class);
    if identity.uid.is_empty() {
        // By this label the operator knows what is its own.
        labels.shift_remove(names::RULE_POLICY);
    }
    let mut metadata = json!({
        "name": name(identity.name()),
        "namespace": identity.key.0,
        "labels": labels,
    });
    // A file has no uid, and who applies it by GitOps wants no owner.
    if !identity.uid.is_empty() {
        metadata["ownerReferences"] = json!([{
            "apiVersion": format!("{}/{}", names::GROUP, names::VERSION),
            "kind": "PerformancePolicy",
            "name": identity.name(),
            "uid": identity.uid,
        }]);
    }
    metadata
}

fn grouped(name: &str, interval: Span, rules: &[Value]) -> Value {
    json!({"name": name, "interval": duration(interval), "rules": rules})
}

/// The labels of a recorded series.
fn labels(policy: &Policy, more: &[(&str, &str)]) -> Map<String, Value> {
    let own = [("namespace", &*policy.identity.key.0), ("policy", policy.identity.name())];
    own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
}

/// A duration as Prometheus reads it in a rule: a whole number with one unit.
fn duration(span: Span) -> String {
    let millis = span.as_millis().max(0);
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let (size, unit) = units.into_iter().find(|(size, _)| millis % size == 0).unwrap_or((1, "ms"));
    if millis == 0 { "0s".to_owned() } else { format!("{}{unit}", millis / size) }
}

/// `name{label="value",…}`.
fn series(name: &str, labels: &[(&str, &str)]) -> String {
    let matchers: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={}", quote(value))).collect();
    format!("{name}{{{}}}", matchers.join(","))
}

/// One threshold of the policy.
#[derive(Clone, Copy)]
struct Known<'a> {
    case: &'a Case<'a>,
    index: usize,
    threshold: &'a Threshold,
}

#[cfg(test)]
mod tests;
