use serde_json::{Value as Json, json};

use super::*;
use crate::api::PerformancePolicy;

/// A policy with that history, newest first: revision and changes as object, path, from, to.
fn policy(history: &[(i64, &[[&str; 4]])]) -> (Policy, PerformancePolicyStatus) {
    let text = |text: &str| if text.is_empty() { Json::Null } else { json!(text) };
    let change = |[object, path, from, to]: &[&str; 4]| json!({"object": object, "path": path, "from": text(from), "to": text(to), "because": "spec"});
    let history: Vec<Json> = history
        .iter()
        .map(|(revision, changes)| {
            let changes: Vec<Json> = changes.iter().map(change).collect();
            json!({"revision": revision, "at": "2026-11-21T10:00:00Z", "verdict": "Applied", "changes": changes})
        })
        .collect();
    let policy: PerformancePolicy = serde_json::from_value(json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": "p", "namespace": "shop", "generation": 4},
        "spec": {
            "target": {"kind": "Deployment", "selector": {"matchLabels": {"app": "x"}}},
            "resources": [{"container": "api", "limits": {"memory": "2Gi"}}],
            "replicas": {"min": 2},
            "pools": [{"name": "db", "size": {"value": 10, "env": "POOL"}}],
            "runtime": {"jvm": {"container": "api", "heapMax": {"value": "1Gi"}}},
            "settings": [{"name": "interval", "type": "Duration", "value": "10s", "env": "INTERVAL", "as": "milliseconds"}],
        },
        "status": {"history": history},
    }))
    .unwrap();
    (Policy::parse(&policy).unwrap(), policy.status.unwrap())
}

const A: &str = "Deployment/a";
const B: &str = "Deployment/b";

fn way(history: &[(i64, &[[&str; 4]])], to: i64) -> Result<Vec<String>, NoWay> {
    let (policy, status) = policy(history);
    let way = way_back(&policy, &status, to)?;
    let line = |pinned: &PinnedValue| {
        format!("{} {} {}", pinned.object.as_deref().unwrap_or("all"), pinned.path, pinned.value)
    };
    Ok(way.values.iter().map(line).chain(way.left).collect())
}

#[test]
fn what_a_value_was_is_what_the_oldest_change_since_found() {
    let size = "pools.db.size";
    let history: &[(i64, &[[&str; 4]])] = &[
        (5, &[[A, size, "30", "40"], [A, "settings.interval", "500", "1000"]]),
        // It failed, and went back.
        (4, &[[B, size, "20", "30"], [B, size, "30", "20"]]),
        (3, &[[A, size, "20", "30"], [A, "files", "x", "y"]]),
        (2, &[[A, size, "10", "20"]]),
    ];
    assert_eq!(way(history, 4).unwrap(), ["Deployment/a pools.db.size 30", "Deployment/a settings.interval 500ms"]);
    assert_eq!(
        way(history, 2).unwrap(),
        ["Deployment/a pools.db.size 20", "Deployment/b pools.db.size 20", "Deployment/a settings.interval 500ms"]
    );
    assert_eq!(way(history, 5), Err(NoWay::NotBefore { newest: 5 }));
    assert_eq!(way(history, 9), Err(NoWay::NotBefore { newest: 5 }));
    assert_eq!(way(history, 1), Err(NoWay::NotRetained { oldest: 2, newest: 5 }));
    assert_eq!(way(history, -1), Err(NoWay::NotRetained { oldest: 2, newest: 5 }));
    assert_eq!(way(&[], 1), Err(NoWay::NoHistory));
}

#[test]
fn what_lands_beside_the_targets_goes_back_for_all_of_them_and_what_cannot_is_told() {
    let history: &[(i64, &[[&str; 4]])] = &[
        (
            2,
            &[
                ["HorizontalPodAutoscaler/a", "replicas.min", "1", "2"],
                [A, "resources.api.limits.memory", "1Gi", "2Gi"],
                [A, "runtime.jvm.heapMax", "512m", "1g"],
                [A, "settings.gone", "1", "2"],
                [A, "settings.interval", "", "1000"],
                [A, "replicas", "1", "2"],
            ],
        ),
        (1, &[]),
    ];
    assert_eq!(
        way(history, 1).unwrap(),
        [
            "all replicas.min 1",
            "Deployment/a resources.api.limits.memory 1Gi",
            "Deployment/a runtime.jvm.heapMax 512Mi",
            "settings.gone is not in the policy any more",
            "settings.interval had no value at revision 1: take it out of the policy",
            "replicas follows from its bounds, which are not written down: edit the policy",
        ]
    );
    let nothing: &[(i64, &[[&str; 4]])] = &[(2, &[[A, "settings.interval", "", "1000"]]), (1, &[])];
    assert!(matches!(way(nothing, 1), Err(NoWay::Nothing { .. })));
    let cut: &[(i64, &[[&str; 4]])] =
        &[(2, &[[A, "pools.db.size", "12345…", "1"], [A, "settings.interval", "7", "8"]]), (1, &[])];
    assert_eq!(way(cut, 1).unwrap()[1], "pools.db.size was too long for the status: edit the policy");
}

#[test]
fn a_revision_that_the_status_cut_is_no_way_back() {
    let (policy, mut status) = policy(&[(3, &[[A, "pools.db.size", "20", "30"]]), (2, &[]), (1, &[])]);
    status.history[1].omitted = 2;
    assert_eq!(way_back(&policy, &status, 1), Err(NoWay::Incomplete { revision: 2 }));
    assert!(way_back(&policy, &status, 2).is_ok());
}
