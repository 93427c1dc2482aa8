//! Whether a rollout is finished, by kind.

use serde_json::Value;

use super::{Kind, Object};

/// State of a workload's rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Every pod runs the current template and nothing terminates.
    Complete,
    /// The controller is at work, or has not seen the newest template yet.
    Running,
    /// The Deployment gave up: its progress deadline has passed.
    Failed {
        /// What the controller says.
        message: String,
    },
    /// The Deployment is paused.
    Paused,
    /// The update strategy waits for a person: `OnDelete`, or a partition that keeps old pods.
    AwaitingManual,
}

/// State of the rollout of `workload`.
///
/// Deployment: the newest template is observed, and updated = total = available, nothing terminating. `StatefulSet`:
/// `updateRevision == currentRevision` and all ready. `DaemonSet`: updated = desired = available. Another project's object: as far
/// as nothing is [`unsettled`].
#[must_use]
pub fn progress(workload: &Object) -> Progress {
    // Others have no rollout, and need not have a status either.
    if !workload.key.kind.is_workload() {
        // A Cluster whose `primaryUpdateStrategy` is supervised waits for a person to switch over.
        if workload.key.kind == Kind::Cluster && workload.text("/status/phase") == Some("Waiting for user action") {
            return Progress::AwaitingManual;
        }
        return unsettled(workload).map_or(Progress::Complete, |_| Progress::Running);
    }
    let n = |pointer: &str| workload.integer(pointer).unwrap_or(0);
    if n("/status/observedGeneration") < workload.meta.generation {
        return Progress::Running;
    }
    match workload.key.kind {
        Kind::Deployment => deployment(workload),
        Kind::StatefulSet => {
            let want = workload.integer("/spec/replicas").unwrap_or(1);
            if workload.text("/spec/updateStrategy/type") == Some("OnDelete") {
                return on_delete(n("/status/updatedReplicas"), n("/status/availableReplicas"), want);
            }
            let settled = n("/status/replicas") == want
                && n("/status/readyReplicas") == want
                && n("/status/availableReplicas") == want;
            let same = workload.text("/status/updateRevision") == workload.text("/status/currentRevision");
            let partition = workload.integer("/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
            if settled && (same || n("/status/updatedReplicas") == want) {
                Progress::Complete
            } else if partition > 0 && settled && n("/status/updatedReplicas") >= (want - partition).max(0) {
                Progress::AwaitingManual
            } else {
                Progress::Running
            }
        }
        Kind::DaemonSet => {
            let want = n("/status/desiredNumberScheduled");
            let updated = n("/status/updatedNumberScheduled");
            if workload.text("/spec/updateStrategy/type") == Some("OnDelete") {
                return on_delete(updated, n("/status/numberAvailable"), want);
            }
            if updated == want && n("/status/numberAvailable") == want { Progress::Complete } else { Progress::Running }
        }
        Kind::HorizontalPodAutoscaler | Kind::ConfigMap | Kind::Cluster | Kind::Pooler | Kind::Stream => {
            Progress::Complete
        }
    }
}

/// What the status of an object that is no workload says against its being as its spec asks for; nothing where it has no such
/// status.
///
/// Cluster: its phase, which has no generation, so that a change shows a moment later. Stream: the generation that nack has
/// taken up, and its condition. Pooler: its phase, as far as it says that something is wrong.
#[must_use]
pub fn unsettled(object: &Object) -> Option<String> {
    let phase = || {
        let phase = object.text("/status/phase")?;
        let reason = object.text("/status/phaseReason").filter(|reason| !reason.is_empty());
        Some(said(&reason.map_or_else(|| phase.to_owned(), |reason| format!("{phase}: {reason}"))))
    };
    match object.key.kind {
        Kind::Cluster => phase().filter(|_| object.text("/status/phase") != Some("Cluster in healthy state")),
        Kind::Pooler => phase()
            .filter(|_| object.text("/status/phase").is_some_and(|phase| ["inactive", "failed"].contains(&phase))),
        Kind::Stream => {
            let taken = object.integer("/status/observedGeneration")?;
            if taken < object.meta.generation {
                return Some(format!("nack has taken up generation {taken} of {}", object.meta.generation));
            }
            let ready = object.items("/status/conditions").find(|condition| condition["type"] == "Ready")?;
            (ready["status"] != "True")
                .then(|| said(ready["message"].as_str().unwrap_or("nack says that it is not ready")))
        }
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::HorizontalPodAutoscaler | Kind::ConfigMap => {
            None
        }
    }
}

/// Why the controller of a Deployment cannot make pods of the newest template, as it says: a quota, an admission webhook, a service
/// account that is not there. The controllers of other kinds say so in Events only.
#[must_use]
pub fn refusal(workload: &Object) -> Option<String> {
    let observed = workload.integer("/status/observedGeneration")?;
    if workload.key.kind != Kind::Deployment || observed < workload.meta.generation {
        return None;
    }
    let refused = |c: &&Value| c["type"] == "ReplicaFailure" && c["status"] == "True" && c["reason"] == "FailedCreate";
    let refused = workload.items("/status/conditions").find(refused)?;
    Some(said(refused["message"].as_str().unwrap_or_default()))
}

/// What somebody else's status says, as it is told again: on one line, and cut.
pub(super) fn said(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(300).collect()
}

/// Nobody but a person ends pods. Those that were ended and made anew must run.
fn on_delete(updated: i64, available: i64, want: i64) -> Progress {
    match (updated == want, available >= want) {
        (true, true) => Progress::Complete,
        (false, true) => Progress::AwaitingManual,
        // What is not available may be a pod of before, about which a rollout that has not begun says nothing.
        (false, false) if updated == 0 => Progress::AwaitingManual,
        (_, false) => Progress::Running,
    }
}

fn deployment(workload: &Object) -> Progress {
    let n = |pointer: &str| workload.integer(pointer).unwrap_or(0);
    if workload.at("/spec/paused").and_then(Value::as_bool) == Some(true) {
        return Progress::Paused;
    }
    let deadline = workload
        .items("/status/conditions")
        .find(|c| c["type"] == "Progressing" && c["status"] == "False" && c["reason"] == "ProgressDeadlineExceeded");
    if let Some(condition) = deadline {
        return Progress::Failed { message: condition["message"].as_str().unwrap_or_default().to_owned() };
    }
    let want = workload.integer("/spec/replicas").unwrap_or(1);
    let done = [n("/status/updatedReplicas"), n("/status/replicas"), n("/status/availableReplicas")];
    if done.into_iter().all(|have| have == want) && n("/status/terminatingReplicas") == 0 {
        Progress::Complete
    } else {
        Progress::Running
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::facts::{Meta, ObjectKey};

    #[track_caller]
    fn check(kind: Kind, generation: i64, content: Value, want: &Progress) {
        let meta = Meta { generation, ..Meta::default() };
        let object = Object { key: ObjectKey::new(kind, "ns", "w"), meta, content: content.into() };
        assert_eq!(progress(&object), *want);
    }

    #[test]
    fn a_database_whose_primary_is_switched_by_hand_waits_for_a_person() {
        let supervised = json!({"status": {"phase": "Waiting for user action", "phaseReason": "User must issue a supervised switchover"}});
        check(Kind::Cluster, 1, supervised, &Progress::AwaitingManual);
        check(Kind::Cluster, 1, json!({"status": {"phase": "Upgrading cluster"}}), &Progress::Running);
        check(Kind::Cluster, 1, json!({}), &Progress::Complete);
    }

    #[test]
    fn an_object_of_another_project_is_settled_as_its_own_status_says() {
        let check = |kind: Kind, status: Value, want: Option<&str>| {
            let meta = Meta { generation: 3, ..Meta::default() };
            let content = json!({"spec": {}, "status": status});
            let object = Object { key: ObjectKey::new(kind, "ns", "o"), meta, content: content.into() };
            assert_eq!(unsettled(&object).as_deref(), want);
            let state = if want.is_some() { Progress::Running } else { Progress::Complete };
            assert_eq!(progress(&object), state, "whatever is observed of workloads");
        };
        check(Kind::Cluster, json!({}), None);
        check(Kind::Cluster, json!({"phase": "Cluster in healthy state"}), None);
        check(
            Kind::Cluster,
            json!({"phase": "Applying configuration", "phaseReason": "work_mem\u{1b}"}),
            Some("Applying configuration: work_mem"),
        );
        check(Kind::Pooler, json!({"phase": "paused"}), None);
        check(
            Kind::Pooler,
            json!({"phase": "failed", "phaseReason": "no such cluster"}),
            Some("failed: no such cluster"),
        );
        check(Kind::Stream, json!({}), None);
        check(Kind::Stream, json!({"observedGeneration": 2}), Some("nack has taken up generation 2 of 3"));
        let stream = |status: &str| {
            let ready = json!({"type": "Ready", "status": status, "message": "insufficient storage"});
            json!({"observedGeneration": 3, "conditions": [{"type": "Other", "status": "False"}, ready]})
        };
        check(Kind::Stream, stream("True"), None);
        check(Kind::Stream, stream("False"), Some("insufficient storage"));
    }

    #[test]
    fn a_deployment_is_complete_when_updated_total_and_available_agree() {
        let status = |updated: i64, total: i64, available: i64, terminating: i64| {
            json!({"spec": {"replicas": 3}, "status": {"observedGeneration": 2, "updatedReplicas": updated,
                "replicas": total, "availableReplicas": available, "terminatingReplicas": terminating}})
        };
        check(Kind::Deployment, 2, status(3, 3, 3, 0), &Progress::Complete);
        check(Kind::Deployment, 3, status(3, 3, 3, 0), &Progress::Running);
        check(Kind::Deployment, 2, status(3, 4, 3, 0), &Progress::Running);
        check(Kind::Deployment, 2, status(3, 3, 2, 0), &Progress::Running);
        check(Kind::Deployment, 2, status(3, 3, 3, 1), &Progress::Running);
    }

    #[test]
    fn a_deployment_past_its_deadline_has_failed_and_a_paused_one_says_so() {
        let condition = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]);
        check(
            Kind::Deployment,
            1,
            json!({"spec": {"replicas": 1}, "status": {"observedGeneration": 1, "conditions": condition}}),
            &Progress::Failed { message: "timed out".into() },
        );
        check(
            Kind::Deployment,
            1,
            json!({"spec": {"paused": true}, "status": {"observedGeneration": 1}}),
            &Progress::Paused,
        );
    }

    #[test]
    fn pods_that_cannot_be_created_are_told_of_by_deployments_for_their_newest_template() {
        let refused = |kind: Kind, observed: i64, reason: &str| {
            let meta = Meta { generation: 2, ..Meta::default() };
            let failure =
                json!({"type": "ReplicaFailure", "status": "True", "reason": reason, "message": "exceeded quota"});
            let content =
                json!({"status": {"observedGeneration": observed, "conditions": [{"type": "Available"}, failure]}});
            refusal(&Object { key: ObjectKey::new(kind, "ns", "w"), meta, content: content.into() })
        };
        assert_eq!(refused(Kind::Deployment, 2, "FailedCreate").as_deref(), Some("exceeded quota"));
        assert_eq!(refused(Kind::Deployment, 1, "FailedCreate"), None, "it may be of the template before");
        assert_eq!(refused(Kind::Deployment, 2, "FailedDelete"), None);
        assert_eq!(refused(Kind::StatefulSet, 2, "FailedCreate"), None);
    }

    #[test]
    fn a_partitioned_stateful_set_awaits_a_person() {
        let status = |updated: i64, current: &str| {
            json!({"spec": {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
                "status": {"observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "updatedReplicas": updated,
                "currentRevision": current, "updateRevision": "b"}})
        };
        check(Kind::StatefulSet, 1, status(0, "a"), &Progress::Running);
        check(Kind::StatefulSet, 1, status(1, "a"), &Progress::AwaitingManual);
        check(Kind::StatefulSet, 1, status(3, "b"), &Progress::Complete);
    }

    #[test]
    fn on_delete_waits_for_a_person_and_then_for_the_pods() {
        let wants = |updated: i64, available: i64, want: &Progress| {
            let strategy = json!({"type": "OnDelete"});
            check(
                Kind::DaemonSet,
                1,
                json!({"spec": {"updateStrategy": strategy}, "status": {"observedGeneration": 1,
                    "desiredNumberScheduled": 2, "updatedNumberScheduled": updated, "numberAvailable": available}}),
                want,
            );
            check(
                Kind::StatefulSet,
                1,
                json!({"spec": {"replicas": 2, "updateStrategy": strategy}, "status": {"observedGeneration": 1,
                    "replicas": 2, "updatedReplicas": updated, "availableReplicas": available}}),
                want,
            );
        };
        wants(0, 2, &Progress::AwaitingManual);
        wants(0, 1, &Progress::AwaitingManual);
        wants(1, 2, &Progress::AwaitingManual);
        wants(1, 1, &Progress::Running);
        wants(2, 0, &Progress::Running);
        wants(2, 2, &Progress::Complete);
    }
}
