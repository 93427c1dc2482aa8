//! Panels for Grafana: one for each threshold, asking what the operator itself asks, with the bounds as lines.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::board::{Board, Panel};
use crate::{
    api::policy::Severity,
    core::{
        facts::Kind,
        policy::{
            Choice, Policy, Threshold,
            thresholds::{Level, Metric},
        },
        promql::{Identity, SeriesKey, WorkloadKind},
        units::BaseUnit,
    },
};

/// Size of a panel: two in a row.
const SIZE: (u32, u32) = (12, 8);

/// The dashboard of these policies. Where a policy selects its targets by labels, its panels show every workload of its
/// namespace; Grafana's user narrows them down.
#[must_use]
pub fn dashboard(title: &str, policies: &[&Policy], identity: &Identity) -> Value {
    let thresholds = policies.iter().flat_map(|policy| policy.thresholds.iter().map(move |t| (*policy, t)));
    let several = policies.len() > 1;
    let panels = thresholds.map(|(policy, t)| panel(policy, t, identity, several)).collect();
    Board { title, uid: None, variables: Vec::new(), panels }.json()
}

fn panel(policy: &Policy, threshold: &Threshold, identity: &Identity, several: bool) -> Panel {
    let unit = threshold.unit.base();
    let name = if several { format!("{} {}", policy.identity.name(), threshold.name) } else { title(threshold) };
    let defaults = [
        ("custom".to_owned(), json!({"thresholdsStyle": {"mode": "line"}})),
        ("thresholds".to_owned(), json!({"mode": "absolute", "steps": steps(&threshold.levels)})),
    ];
    Panel {
        kind: "timeseries",
        title: name,
        description: threshold.advice.as_deref().unwrap_or_default().to_owned(),
        size: SIZE,
        unit: grafana_unit(unit),
        asks: vec![(expr(policy, threshold, identity), legend(policy, threshold, identity))],
        defaults: defaults.into_iter().collect(),
        further: Map::new(),
    }
}

/// A name for people: `response-time-p95` as `Response Time P95`.
fn title(threshold: &Threshold) -> String {
    let word = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
    };
    threshold.name.split('-').map(word).collect::<Vec<_>>().join(" ")
}

/// The question, with its answer in the base unit.
fn expr(policy: &Policy, threshold: &Threshold, identity: &Identity) -> String {
    let (kind, wanted) = wanted(policy);
    let expr = match &threshold.metric {
        Metric::Free(query) => query.expr().to_owned(),
        metric @ Metric::Series { .. } => {
            metric.shape(identity, kind).map(|shape| shape.counted(false).expr(&wanted)).unwrap_or_default()
        }
    };
    let factor = threshold.unit.to_base(1.0);
    if (factor - 1.0).abs() < f64::EPSILON { expr } else { format!("{factor} * ({expr})") }
}

fn wanted(policy: &Policy) -> (Option<WorkloadKind>, BTreeSet<SeriesKey>) {
    let namespace = &policy.identity.key.0;
    let Some(target) = &policy.target else { return (None, BTreeSet::from([SeriesKey::namespace(namespace)])) };
    let kind = workload_kind(target.kind);
    let key = match &target.choice {
        Choice::Name(name) => SeriesKey::workload(namespace, name),
        Choice::Labels(_) => SeriesKey::namespace(namespace),
    };
    (kind, BTreeSet::from([key]))
}

/// How pods of a kind are named, if it has pods.
#[must_use]
pub const fn workload_kind(kind: Kind) -> Option<WorkloadKind> {
    match kind {
        Kind::Deployment => Some(WorkloadKind::Deployment),
        Kind::StatefulSet => Some(WorkloadKind::StatefulSet),
        Kind::DaemonSet => Some(WorkloadKind::DaemonSet),
        Kind::HorizontalPodAutoscaler | Kind::ConfigMap | Kind::Cluster | Kind::Pooler | Kind::Stream => None,
    }
}

fn legend(policy: &Policy, threshold: &Threshold, identity: &Identity) -> String {
    let by = threshold.metric.by();
    if !by.is_empty() {
        return by.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" ");
    }
    match &policy.target {
        Some(target) if matches!(target.choice, Choice::Labels(_)) => {
            let label = identity.workload.as_deref().unwrap_or(crate::core::promql::WORKLOAD_LABEL);
            format!("{{{{{label}}}}}")
        }
        Some(_) | None => threshold.name.to_string(),
    }
}

/// Grafana's own names of units.
const fn grafana_unit(unit: BaseUnit) -> &'static str {
    match unit {
        BaseUnit::Seconds => "s",
        BaseUnit::Bytes => "bytes",
        BaseUnit::Ratio => "percentunit",
        BaseUnit::PerSecond => "cps",
        BaseUnit::BytesPerSecond => "binBps",
        BaseUnit::Count => "short",
    }
}

const GOOD: &str = "green";

const fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "blue",
        Severity::Warning => "orange",
        Severity::Critical => "red",
    }
}

/// Colours from a value upwards. Below a lower bound is bad, above it good again.
fn steps(levels: &[Level]) -> Vec<Value> {
    let step = |value: Option<f64>, colour: &str| json!({"value": value, "color": colour});
    let ascending = |mut bounds: Vec<(f64, Severity)>| {
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        bounds
    };
    let side = |side: &dyn Fn(&Level) -> Option<f64>| {
        ascending(levels.iter().filter_map(|level| Some((side(level)?, level.severity))).collect())
    };
    let below = side(&|level| level.below.map(|limit| limit.bound.as_f64()));
    let above = side(&|level| level.above.map(|limit| limit.bound.as_f64()));
    let mut steps = vec![step(None, below.first().map_or(GOOD, |(_, severity)| colour(*severity)))];
    for (index, (bound, _)) in below.iter().enumerate() {
        steps.push(step(Some(*bound), below.get(index + 1).map_or(GOOD, |(_, severity)| colour(*severity))));
    }
    steps.extend(above.iter().map(|(bound, severity)| step(Some(*bound), colour(*severity))));
    steps
}
