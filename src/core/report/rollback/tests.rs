use serde_json::{Value as Json, json};

use super::*;
use crate::api::PerformancePolicy;

/// A policy with that history, newest first: revision and changes as object, path, from, to.
fn policy(history: &[(i64, &[[&str; 4]])]) -> (Policy, PerformancePolicyStatus) {
    judged(&history.iter().map(|(revision, changes)| (*revision, "Applied", *changes)).collect::<Vec<_>>())
}

/// The same, with what came of each.
fn judged(history: &[(i64, &str, &[[&str; 4]])]) -> (Policy, PerformancePolicyStatus) {
    let text = |text: &str| if text.is_empty() { Json::Null } else { json!(text) };
    let change = |[object, path, from, to]: &[&str; 4]| json!({"object": object, "path": path, "from": text(from), "to": text(to), "because": "spec"});
    let history: Vec<Json> = history
        .iter()
        .map(|(revision, verdict, changes)| {
            let changes: Vec<Json> = changes.iter().map(change).collect();
            json!({"revision": revision, "at": "2026-11-21T10:00:00Z", "verdict": verdict, "changes": changes})
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
            "files": [{"name": "config", "configMap": "c", "key": "config.yaml", "format": "YAML", "reload": "Watch"}],
            "settings": [{"name": "watched", "value": 1, "path": {"file": "config", "at": "/n"}}, {"name": "interval", "type": "Duration", "value": "10s", "env": "INTERVAL", "as": "milliseconds"}],
        },
        "status": {"history": history},
    }))
    .unwrap();
    (Policy::parse(&policy).unwrap(), policy.status.unwrap())
}

const A: &str = "Deployment/a";
const B: &str = "Deployment/b";

fn way(history: &[(i64, &[[&str; 4]])], to: i64) -> Result<Vec<String>, NoWay> {
    told(policy(history), to)
}

fn told((policy, status): (Policy, PerformancePolicyStatus), to: i64) -> Result<Vec<String>, NoWay> {
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
    assert_eq!(way(history, 0), Err(NoWay::NotRetained { oldest: 2, newest: 5 }));
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

/// What the way back to a revision does to a pool's size. `history` is oldest first: `2 Overtaken 10>20` is a revision.
fn size(history: &str, to: i64) -> String {
    let mut revisions: Vec<(i64, &str, Vec<[&str; 4]>)> = history
        .split("; ")
        .map(|revision| {
            let mut words = revision.split(' ');
            let (number, verdict) = (words.next().unwrap().parse().unwrap(), words.next().unwrap());
            let changes = words.map(|change| change.split_once('>').unwrap());
            (number, verdict, changes.map(|(from, to)| [A, "pools.db.size", from, to]).collect())
        })
        .collect();
    revisions.reverse();
    let revisions: Vec<_> =
        revisions.iter().map(|(number, verdict, changes)| (*number, *verdict, &**changes)).collect();
    let (policy, status) = judged(&revisions);
    match way_back(&policy, &status, to) {
        Ok(way) => {
            let shown = |text: &Option<String>| text.clone().unwrap_or_default();
            assert_eq!(way.values[0].value, shown(&way.changes[0].to));
            format!("{}>{}", shown(&way.changes[0].from), shown(&way.changes[0].to))
        }
        Err(why) if why.to_string().contains("what it was then is not retained") => "lost".to_owned(),
        Err(why) => why.to_string(),
    }
}

#[test]
fn only_what_was_live_is_gone_back_to() {
    for (history, ways) in [
        // It failed, and went back. Its way back is listed with it, apart from it, or not at all.
        ("1 Applied 1>2; 2 RolledBack 2>3 3>2", "2>1 2>2"),
        ("1 Applied 1>2; 2 RolledBack 2>3; 3 RolledBack 3>2", "2>1 2>2 2>2"),
        ("1 Applied 1>2; 2 RolledBack 2>3", "2>1 2>2"),
        // And something else came after it.
        ("1 Applied 1>2; 2 RolledBack 2>3 3>2; 3 Applied 2>4", "4>1 4>2 4>2"),
        ("1 Applied 1>2; 2 RolledBack 2>3; 3 RolledBack 3>2; 4 Applied 2>4", "4>1 4>2 4>2 4>2"),
        ("1 Applied 1>2; 2 RolledBack 2>3; 3 Applied 2>4", "4>1 4>2 4>2"),
        ("1 Applied 1>2; 2 RolledBack 2>3 3>2; 3 RollingOut 2>4", "4>1 4>2 4>2"),
        // A newer spec came in the middle of it, and both failed.
        ("1 Applied 1>2; 2 RolledBack 2>3; 3 RolledBack 3>4 4>2; 4 Applied 2>5", "5>1 5>2 5>2 5>2"),
        // Two failed, one after the other.
        ("1 Applied 1>2; 2 RolledBack 2>3 3>2; 3 RolledBack 2>4 4>2", "2>1 2>2 2>2"),
        // Nobody may ever have run with what was overtaken, nor with what is being overtaken now.
        ("1 Applied 1>2; 2 Overtaken 2>3; 3 Overtaken 3>4; 4 Applied 4>5", "5>1 5>2 5>2 5>2"),
        ("1 Applied 1>2; 2 RollingOut 2>3; 3 RollingOut 3>4", "4>1 4>2 4>2"),
        ("1 Applied 1>2; 2 RollingOut 2>3", "3>1 3>2"),
        // A rollback overtook it.
        ("1 Applied 1>2; 2 Overtaken 2>3; 3 Applied 3>2", "2>1 2>2 2>2"),
        // It failed, and nothing took it back until somebody changed it.
        ("1 Applied 1>2; 2 RollbackFailed 2>3; 3 Applied 3>4", "4>1 4>2 4>2"),
        ("1 Applied 1>2; 2 RollbackFailed 2>3 3>2; 3 Applied 2>4", "4>1 4>2 4>2"),
        ("1 Applied 1>2; 2 RollbackFailed 2>3", "3>1 3>2"),
        // What waits for a person is there.
        ("1 Applied 1>2; 2 AwaitingManualRollout 2>3; 3 Applied 3>4", "4>1 4>2 4>3"),
        // What came before it may have been overtaken or may have failed, too, and the status has forgotten that.
        ("5 Overtaken 2>3; 6 Applied 3>4", "lost"),
        ("5 RolledBack 3>2; 6 RolledBack 2>4 4>2", "lost"),
        ("5 Applied 1>2; 6 Overtaken 2>3; 7 Applied 3>4", "4>2 4>2"),
    ] {
        let newest: i64 = history.rsplit("; ").next().unwrap().split(' ').next().unwrap().parse().unwrap();
        let ways: Vec<&str> = ways.split(' ').collect();
        for (way, to) in ways.iter().rev().zip((0..newest).rev()) {
            assert_eq!(size(history, to), *way, "to {to} of {history}");
        }
    }
}

#[test]
fn what_a_failed_rollout_did_not_carry_was_live() {
    const HPA: &str = "HorizontalPodAutoscaler/a";
    let history: &[(i64, &str, &[[&str; 4]])] = &[
        (3, "RolledBack", &[[HPA, "replicas.min", "2", "3"], ["ConfigMap/c", "settings.watched", "2", "3"]]),
        (
            2,
            "RolledBack",
            &[
                [HPA, "replicas.min", "1", "2"],
                ["ConfigMap/c", "settings.watched", "1", "2"],
                [A, "pools.db.size", "20", "30"],
                [A, "pools.db.size", "30", "20"],
            ],
        ),
        (1, "Applied", &[]),
    ];
    assert_eq!(told(judged(history), 2).unwrap(), ["all replicas.min 2", "all settings.watched 2"]);
    assert_eq!(
        told(judged(history), 1).unwrap(),
        ["all replicas.min 1", "all settings.watched 1", "Deployment/a pools.db.size 20"]
    );
}

#[test]
fn revision_0_is_before_the_first_change() {
    let history: &[(i64, &[[&str; 4]])] =
        &[(2, &[[A, "pools.db.size", "20", "30"]]), (1, &[[A, "pools.db.size", "10", "20"]])];
    assert_eq!(way(history, 0).unwrap(), ["Deployment/a pools.db.size 10"]);
}
