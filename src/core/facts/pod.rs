//! Pods of a rollout, as far as they tell whether it goes well.

use serde_json::Value;

use super::{Instant, said};

/// A pod of a governed workload, read only while a rollout of ours is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// Revision label: `pod-template-hash` or `controller-revision-hash`.
    pub revision: Option<String>,
    /// Creation time, by the API server's clock.
    pub created: Instant,
    /// Whether deletion has begun.
    pub deleting: bool,
    /// Highest restart count of its containers.
    pub restarts: i64,
    /// The reason why a container waits or the node does not take the pod, if it is one that tells of a failure.
    pub waiting: Option<String>,
    /// Why no node takes it, as the scheduler says, cut.
    pub unschedulable: Option<String>,
}

impl Pod {
    /// Reads a pod from its JSON. Members that are missing count as healthy: a pod that was just created has no status.
    #[must_use]
    pub fn read(pod: &Value) -> Self {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
        let statuses = || {
            ["/status/initContainerStatuses", "/status/containerStatuses"]
                .into_iter()
                .filter_map(|p| pod.pointer(p).and_then(Value::as_array))
                .flatten()
        };
        let unschedulable = pod
            .pointer("/status/conditions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .find(|c| c["type"] == "PodScheduled" && c["status"] == "False" && c["reason"] == "Unschedulable");
        Self {
            name: text("/metadata/name").unwrap_or_default().to_owned(),
            revision: text("/metadata/labels/pod-template-hash")
                .or_else(|| text("/metadata/labels/controller-revision-hash"))
                .map(str::to_owned),
            created: text("/metadata/creationTimestamp").and_then(Instant::parse).unwrap_or_default(),
            deleting: text("/metadata/deletionTimestamp").is_some(),
            restarts: statuses().filter_map(|s| s["restartCount"].as_i64()).max().unwrap_or(0),
            waiting: statuses()
                .filter_map(|s| s.pointer("/state/waiting/reason").and_then(Value::as_str))
                .find(|reason| FAILING.contains(reason))
                .or_else(|| text("/status/reason").filter(|reason| *reason == REJECTED))
                .map(str::to_owned),
            unschedulable: unschedulable.map(|c| said(c["message"].as_str().unwrap_or_default())),
        }
    }

    /// Whether the pod shows that its revision does not run: three restarts, or the kubelet backs off.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.restarts >= 3 || self.waiting.is_some()
    }
}

/// Waiting reasons that a change of environment, arguments, files or resources can cause and that do not heal by waiting.
const FAILING: [&str; 4] =
    ["CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"];

/// Why a kubelet turns a pod away whose sysctls it does not allow.
const REJECTED: &str = "SysctlForbidden";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_unschedulable_when_the_scheduler_says_so_and_not_while_it_is_held_back() {
        let pod = |reason: &str, message: &str| {
            let condition = json!({"type": "PodScheduled", "status": "False", "reason": reason, "message": message});
            Pod::read(&json!({"metadata": {"name": "a-1"}, "status": {"conditions": [condition]}}))
        };
        let too_large = pod("Unschedulable", "0/1 nodes are available: 1 Insufficient cpu.\u{1b}");
        assert_eq!(too_large.unschedulable.as_deref(), Some("0/1 nodes are available: 1 Insufficient cpu."));
        assert!(!too_large.is_failing());
        assert_eq!(pod("SchedulingGated", "waits for a gate").unschedulable, None);
        let long = pod("Unschedulable", &"node ".repeat(100));
        assert_eq!(long.unschedulable.map(|text| text.len()), Some(300));
    }

    #[test]
    fn a_new_pod_is_healthy_and_one_in_back_off_is_failing() {
        let new = Pod::read(&json!({"metadata": {"name": "a-1", "creationTimestamp": "2026-11-21T10:00:00Z"}}));
        assert!(!new.is_failing());
        let bad = Pod::read(&json!({"metadata": {"name": "a-2", "labels": {"pod-template-hash": "abc"}},
            "status": {"containerStatuses": [{"restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}));
        assert!(bad.is_failing());
        assert_eq!(bad.revision.as_deref(), Some("abc"));
        let slow = Pod::read(&json!({"metadata": {"name": "a-3"},
            "status": {"containerStatuses": [{"restartCount": 2, "state": {"waiting": {"reason": "ContainerCreating"}}}]}}));
        assert!(!slow.is_failing());
        let rejected = Pod::read(
            &json!({"metadata": {"name": "a-4"}, "status": {"phase": "Failed", "reason": "SysctlForbidden"}}),
        );
        assert!(rejected.is_failing());
    }
}
