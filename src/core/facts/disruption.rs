//! `PodDisruptionBudget`s, and which rollouts disrupt.
//!
//! Kubernetes asks them about evictions only: a controller that replaces pods does not. Who begins a rollout has to look himself.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Kind, Object, RawJson};

/// Namespace and name of a `PodDisruptionBudget`.
pub type DisruptionKey = (Box<str>, Box<str>);

/// A `PodDisruptionBudget` (`policy/v1`), as much of it as counts. It is read and never written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisruptionBudget {
    /// The pods that it is for; `None`: none at all.
    selector: Option<Selector>,
    /// Whether the status is that of the present spec.
    current: bool,
    /// Pods that may be disrupted now.
    pub allowed: i64,
    /// Pods that it counts.
    pub expected: i64,
    /// Those of them that are healthy.
    pub healthy: i64,
    /// How many have to be.
    pub desired: i64,
}

/// A label selector.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    match_labels: Option<BTreeMap<Box<str>, Box<str>>>,
    match_expressions: Option<Vec<Requirement>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Requirement {
    key: Box<str>,
    operator: Operator,
    values: Option<Vec<Box<str>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

#[derive(Default, Deserialize)]
struct Spec {
    selector: Option<Selector>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: i64,
    disruptions_allowed: i64,
    expected_pods: i64,
    current_healthy: i64,
    desired_healthy: i64,
}

impl DisruptionBudget {
    /// Reads spec and status of a budget of that generation.
    pub(super) fn read(
        generation: i64,
        spec: Option<&RawJson>,
        status: Option<&RawJson>,
    ) -> Result<Self, serde_json::Error> {
        let Spec { selector } = spec.map_or_else(|| Ok(Spec::default()), |raw| serde_json::from_str(raw.get()))?;
        let status: Status = status.map_or_else(|| Ok(Status::default()), |raw| serde_json::from_str(raw.get()))?;
        Ok(Self {
            selector,
            current: status.observed_generation >= generation,
            allowed: status.disruptions_allowed,
            expected: status.expected_pods,
            healthy: status.current_healthy,
            desired: status.desired_healthy,
        })
    }

    /// Whether it is for the pods of a workload. An empty selector is for every pod of the namespace, none at all for no pod.
    #[must_use]
    pub fn selects(&self, workload: &Object) -> bool {
        let labels = workload.at("/spec/template/metadata/labels").and_then(Value::as_object);
        self.selector.as_ref().is_some_and(|selector| selector.matches(labels))
    }

    /// Whether an eviction would be refused now. What its controller has not looked at yet allows nothing, as for evictions.
    #[must_use]
    pub const fn forbids(&self) -> bool {
        !self.current || self.allowed <= 0
    }

    /// Whether its status is still that of an older spec.
    #[must_use]
    pub const fn is_outdated(&self) -> bool {
        !self.current
    }

    /// Whether it allows nothing even when every pod is healthy: nothing but a change of it, or of the number of pods, helps.
    #[must_use]
    pub const fn never_allows(&self) -> bool {
        self.current && self.expected > 0 && self.desired >= self.expected
    }
}

impl Selector {
    fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let label = |key: &str| labels.and_then(|labels| labels.get(key)?.as_str());
        let mut equal = self.match_labels.iter().flatten();
        let mut required = self.match_expressions.iter().flatten();
        equal.all(|(key, value)| label(key) == Some(value)) && required.all(|item| item.matches(label(&item.key)))
    }
}

impl Requirement {
    fn matches(&self, label: Option<&str>) -> bool {
        let is_listed = || label.is_some_and(|label| self.values.iter().flatten().any(|value| **value == *label));
        match self.operator {
            Operator::In => is_listed(),
            Operator::NotIn => !is_listed(),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
        }
    }
}

/// How a share of pods is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To more pods.
    Up,
    /// To fewer pods.
    Down,
}

/// Pods out of `all` that a number or a percentage at `pointer` says; `default` where nothing is said.
#[must_use]
pub fn portion(object: &Object, pointer: &str, default: &str, all: i64, rounding: Rounding) -> i64 {
    let text = object.text(pointer).unwrap_or(default);
    let add = if rounding == Rounding::Up { 99 } else { 0 };
    match (object.integer(pointer), text.strip_suffix('%').and_then(|percent| percent.parse::<i64>().ok())) {
        (Some(pods), _) => pods.max(0),
        (None, Some(percent)) => all.saturating_mul(percent).saturating_add(add).div_euclid(100).max(0),
        // The API server takes a number or a percentage and nothing else.
        (None, None) => text.parse().unwrap_or(all),
    }
}

/// Why a rollout of a workload takes pods away before their successors are available. `None`: it does not, or a person does, or
/// no pod is available that could be missed.
///
/// | workload | takes pods away |
/// |---|---|
/// | Deployment, `RollingUpdate` | `maxUnavailable` above 0, 25 % unless it says otherwise, rounded down; 1 where `maxSurge` is 0, too |
/// | Deployment, Recreate | all |
/// | `StatefulSet` | one after the other, unless its partition keeps them all |
/// | `DaemonSet` | `maxUnavailable` above 0, 1 unless it says otherwise, rounded up |
/// | any, `OnDelete` | a person does |
#[must_use]
pub fn takes_pods(workload: &Object) -> Option<String> {
    let available = match workload.key.kind {
        Kind::DaemonSet => "/status/numberAvailable",
        Kind::Deployment | Kind::StatefulSet => "/status/availableReplicas",
        Kind::HorizontalPodAutoscaler | Kind::ConfigMap | Kind::Cluster | Kind::Pooler | Kind::Stream => return None,
    };
    if workload.integer(available).unwrap_or(0) <= 0 || workload.text("/spec/updateStrategy/type") == Some("OnDelete") {
        return None;
    }
    let unavailable = |pods: i64, all: i64| {
        (pods > 0 && all > 0).then(|| format!("maxUnavailable lets {} of {all} be away", pods.min(all)))
    };
    let replicas = workload.integer("/spec/replicas").unwrap_or(1);
    match workload.key.kind {
        Kind::Deployment if workload.text("/spec/strategy/type") == Some("Recreate") => {
            Some("its strategy is Recreate".to_owned())
        }
        Kind::Deployment => {
            let pods = |limit: &str, rounding: Rounding| {
                let pointer = format!("/spec/strategy/rollingUpdate/{limit}");
                portion(workload, &pointer, "25%", replicas, rounding)
            };
            let (away, surge) = (pods("maxUnavailable", Rounding::Down), pods("maxSurge", Rounding::Up));
            // Its controller does not stand still.
            unavailable(if surge == 0 { away.max(1) } else { away }, replicas)
        }
        Kind::StatefulSet => {
            let partition = workload.integer("/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
            (partition < replicas).then(|| "a StatefulSet ends a pod before it makes it anew".to_owned())
        }
        _ => {
            let nodes = workload.integer("/status/desiredNumberScheduled").unwrap_or(0);
            let pointer = "/spec/updateStrategy/rollingUpdate/maxUnavailable";
            unavailable(portion(workload, pointer, "1", nodes, Rounding::Up), nodes)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::facts::{Meta, ObjectKey, object::Wire};

    fn workload(kind: Kind, content: Value) -> Object {
        Object { key: ObjectKey::new(kind, "shop", "web"), meta: Meta::default(), content: content.into() }
    }

    fn budget(selector: &Value, status: &Value) -> DisruptionBudget {
        let text = json!({"metadata": {"namespace": "shop", "name": "web", "generation": 2},
            "spec": {"minAvailable": 1, "selector": selector}, "status": status});
        let wire: Wire = serde_json::from_str(&text.to_string()).unwrap();
        let ((namespace, name), budget) = wire.into_disruption_budget().unwrap();
        assert_eq!((&*namespace, &*name), ("shop", "web"));
        budget
    }

    #[test]
    fn a_budget_is_for_the_pods_whose_labels_its_selector_matches() {
        #[track_caller]
        fn check(selector: &Value, labels: &Value, selects: bool) {
            let of = workload(Kind::Deployment, json!({"spec": {"template": {"metadata": {"labels": labels}}}}));
            assert_eq!(budget(selector, &json!({})).selects(&of), selects, "{selector} on {labels}");
        }
        let web = json!({"app": "web", "tier": "front"});
        check(&json!(null), &web, false);
        check(&json!({}), &web, true);
        check(&json!({}), &json!(null), true);
        check(&json!({"matchLabels": {"app": "web"}}), &web, true);
        check(&json!({"matchLabels": {"app": "web", "tier": "back"}}), &web, false);
        check(&json!({"matchLabels": {"app": "web"}}), &json!(null), false);
        let expression = |key: &str, operator: &str, values: &[&str]| json!({"matchLabels": null, "matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        check(&expression("app", "In", &["api", "web"]), &web, true);
        check(&expression("app", "In", &["api"]), &web, false);
        check(&expression("zone", "In", &["a"]), &web, false);
        check(&expression("app", "NotIn", &["web"]), &web, false);
        check(&expression("zone", "NotIn", &["a"]), &web, true);
        check(&expression("app", "Exists", &[]), &web, true);
        check(&expression("app", "DoesNotExist", &[]), &web, false);
        check(&expression("zone", "DoesNotExist", &[]), &web, true);
        let both = json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "zone", "operator": "Exists"}]});
        check(&both, &web, false);
    }

    #[test]
    fn a_budget_forbids_what_it_does_not_allow_and_while_its_status_is_old() {
        #[track_caller]
        fn check(status: &Value, forbids: bool, never: bool) {
            let budget = budget(&json!({}), status);
            assert_eq!((budget.forbids(), budget.never_allows()), (forbids, never), "{status}");
        }
        let status = |observed: i64, allowed: i64, desired: i64| {
            json!({"observedGeneration": observed, "disruptionsAllowed": allowed, "currentHealthy": 2,
                "desiredHealthy": desired, "expectedPods": 3})
        };
        check(&json!({}), true, false);
        check(&status(1, 1, 2), true, false);
        check(&status(2, 1, 2), false, false);
        check(&status(2, 0, 2), true, false);
        check(&status(2, 0, 3), true, true);
        check(&json!({"observedGeneration": 2, "disruptionsAllowed": 0, "expectedPods": 0}), true, false);
    }

    #[test]
    fn a_rollout_takes_pods_away_as_its_strategy_says() {
        #[track_caller]
        fn check(kind: Kind, replicas: i64, strategy: &Value, takes: Option<&str>) {
            let status =
                json!({"availableReplicas": replicas, "numberAvailable": replicas, "desiredNumberScheduled": replicas});
            let spec = json!({"replicas": replicas, "strategy": strategy, "updateStrategy": strategy});
            let of = workload(kind, json!({"spec": spec, "status": status}));
            assert_eq!(takes_pods(&of).as_deref(), takes, "{kind:?} of {replicas} with {strategy}");
        }
        let rolling = |unavailable: &Value, surge: &Value| json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}});
        let one = |all: i64| format!("maxUnavailable lets 1 of {all} be away");
        // A quarter of three is none, of four one.
        check(Kind::Deployment, 3, &json!(null), None);
        check(Kind::Deployment, 4, &json!(null), Some(&one(4)));
        check(Kind::Deployment, 1, &rolling(&json!(0), &json!(1)), None);
        check(Kind::Deployment, 1, &rolling(&json!("99%"), &json!("1%")), None);
        check(Kind::Deployment, 1, &rolling(&json!("50%"), &json!(0)), Some(&one(1)));
        check(Kind::Deployment, 1, &rolling(&json!(1), &json!(1)), Some(&one(1)));
        check(Kind::Deployment, 2, &rolling(&json!(5), &json!(1)), Some("maxUnavailable lets 2 of 2 be away"));
        check(Kind::Deployment, 2, &json!({"type": "Recreate"}), Some("its strategy is Recreate"));
        check(Kind::Deployment, 0, &json!({"type": "Recreate"}), None);
        let named = Some("a StatefulSet ends a pod before it makes it anew");
        let partition = |pods: i64| json!({"type": "RollingUpdate", "rollingUpdate": {"partition": pods}});
        check(Kind::StatefulSet, 1, &json!(null), named);
        check(Kind::StatefulSet, 2, &partition(1), named);
        check(Kind::StatefulSet, 2, &partition(2), None);
        check(Kind::StatefulSet, 2, &json!({"type": "OnDelete"}), None);
        check(Kind::StatefulSet, 0, &json!(null), None);
        check(Kind::DaemonSet, 2, &json!(null), Some(&one(2)));
        check(Kind::DaemonSet, 2, &rolling(&json!("1%"), &json!(0)), Some(&one(2)));
        check(Kind::DaemonSet, 2, &rolling(&json!(0), &json!(1)), None);
        check(Kind::DaemonSet, 2, &json!({"type": "OnDelete"}), None);
        check(Kind::Cluster, 2, &json!(null), None);
    }

    #[test]
    fn where_no_pod_is_available_none_can_be_missed() {
        let check = |available: &Value, takes: bool| {
            let spec = json!({"replicas": 3, "strategy": {"type": "Recreate"}});
            let status = json!({"replicas": 3, "availableReplicas": available});
            assert_eq!(
                takes_pods(&workload(Kind::Deployment, json!({"spec": spec, "status": status}))).is_some(),
                takes
            );
        };
        check(&json!(null), false);
        check(&json!(0), false);
        check(&json!(1), true);
    }
}
