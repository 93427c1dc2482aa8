use serde_json::{Value as Json, json};

use super::*;

/// A status with these conditions, and with a history of that many revisions.
fn status(conditions: &[(&str, &str, &str)], revision: i64) -> PerformancePolicyStatus {
    let at = "2026-11-21T10:00:00Z";
    let conditions: Vec<Json> = conditions
        .iter()
        .map(|(kind, truth, reason)| {
            json!({"type": kind, "status": truth, "reason": reason, "message": format!("so {reason}"), "lastTransitionTime": at})
        })
        .collect();
    let changes = |n: i64| json!([{"object": "Deployment/api", "path": "pools.db.size", "from": n.to_string(), "to": (n + 1).to_string(), "because": "spec"}]);
    let history: Vec<Json> = (1..=revision)
        .rev()
        .map(|n| json!({"revision": n, "at": at, "verdict": "Applied", "changes": changes(n)}))
        .collect();
    let mut status = json!({"conditions": conditions, "history": history});
    if revision > 0 {
        status["revision"] = json!(revision);
    }
    serde_json::from_value(status).unwrap()
}

fn told(before: &PerformancePolicyStatus, after: &PerformancePolicyStatus) -> Vec<String> {
    notices(before, after).into_iter().map(|(_, reason, _, note)| format!("{reason}: {note}")).collect()
}

const APPLIED: (&str, &str, &str) = ("Applied", "True", "Applied");
const ROLLING: (&str, &str, &str) = ("Applied", "False", "RollingOut");
const PINNED: (&str, &str, &str) = ("RollbackPinned", "True", "RollbackPinned");

#[test]
fn each_change_is_told_in_one_event_with_what_came_of_it_so_far() {
    let line = |n: i64| format!("revision {n}: pools.db.size {n} → {} on Deployment/api (spec)", n + 1);
    // By the Event of its rollout, if there is one, and not once more at its end.
    let (rests, rolls, ended) = (status(&[APPLIED], 1), status(&[ROLLING], 2), status(&[APPLIED], 2));
    assert_eq!(told(&rests, &rolls), [format!("RollingOut: so RollingOut; {}", line(2))]);
    assert_eq!(told(&rolls, &ended), ["Applied: so Applied"]);
    assert_eq!(told(&ended, &ended), Vec::<String>::new());
    // Without one, in an Event of its own.
    assert_eq!(told(&ended, &status(&[APPLIED], 3)), [format!("Applied: {}", line(3))]);
    // A status that says that it has lost its history is no news.
    let mut lost = status(&[APPLIED], 0);
    lost.revision = Some(3);
    assert_eq!(told(&status(&[APPLIED], 3), &lost), Vec::<String>::new());
}

#[test]
fn a_rollback_is_told_when_it_begins_ends_and_cannot_be() {
    let (plain, pinned) = (status(&[APPLIED], 1), status(&[APPLIED, PINNED], 1));
    let refused = status(&[("Applied", "False", "RollbackRefused"), ("RollbackPinned", "False", "RollbackRefused")], 1);
    assert_eq!(told(&plain, &pinned), ["RollbackPinned: so RollbackPinned"]);
    assert_eq!(told(&pinned, &pinned), Vec::<String>::new());
    assert_eq!(
        told(&pinned, &plain),
        ["RollbackEnded: nothing is pinned by a rollback any more: values follow the spec again"]
    );
    assert_eq!(told(&plain, &refused), ["RollbackRefused: so RollbackRefused"]);
}
