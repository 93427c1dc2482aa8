//! Whoever leaves a budget has what its pods have, for as long as they may be there.

use serde_json::json;
use trimtab::core::facts::Span;

use super::{
    budgets::{BUDGET, allow_shares, apply, budget, install, ledger, message, plain, pool, rest, says, shop},
    people::{deployment, policy},
    run::Run,
};

/// Connections per process that are written to nobody: what a budget has for 7 pods of each of its workloads.
fn of(each: i64) -> serde_json::Value {
    json!({"capacity": {"connections": 7 * each}, "reserved": 0, "headroom": "0%"})
}

/// A pool that is content with 2.
fn elastic(target: &str, size: i64) -> serde_json::Value {
    let mut spec = plain(target, size);
    spec["pools"][0]["size"]["min"] = json!(2);
    spec
}

/// Two workloads that share 20 connections per process: the first has 10 of them.
fn halves() -> Run {
    let mut run = shop(&["a", "b"]);
    run.invariants.budgets.meter = true;
    allow_shares(&mut run);
    budget(&mut run, &of(20));
    apply(&mut run, "a", &elastic("a", 10));
    rest(&mut run);
    apply(&mut run, "b", &elastic("b", 20));
    rest(&mut run);
    assert_eq!((pool(&run, "a").as_deref(), pool(&run, "b").as_deref()), (Some("10"), Some("10")));
    run
}

/// The application reads the variable of before until it has been restarted with the new one.
#[test]
fn a_pool_that_moves_to_another_variable_has_what_it_had_until_it_has_landed_there() {
    let mut run = halves();
    let mut moved = elastic("a", 10);
    moved["pools"][0]["size"]["env"] = json!("MOVED");
    moved["mode"] = json!("Recommend");
    apply(&mut run, "a", &moved);
    rest(&mut run);
    assert_eq!(pool(&run, "b").as_deref(), Some("10"), "the pods of \"a\" have 10 by the variable of before");
    moved["mode"] = json!("Enforce");
    apply(&mut run, "a", &moved);
    rest(&mut run);
    let lands = run.server.env(&deployment("a"), "MOVED");
    assert_eq!((lands.as_deref(), pool(&run, "b").as_deref()), (Some("10"), Some("10")), "both are one pool");
    assert_eq!(ledger(&run), (140, 140, "Served".into()));
}

#[test]
fn what_a_deleted_policy_puts_back_waits_for_its_budget() {
    let mut run = shop(&["b"]);
    install(&mut run, "a", &json!({"env": [{"name": "POOL", "value": "20"}]}));
    run.pass(Span::seconds(10));
    allow_shares(&mut run);
    budget(&mut run, &of(20));
    let mut restores = elastic("a", 2);
    restores["pools"][0]["size"]["onConflict"] = json!("TakeOver");
    restores["deletionPolicy"] = json!("Restore");
    apply(&mut run, "a", &restores);
    rest(&mut run);
    apply(&mut run, "b", &elastic("b", 20));
    rest(&mut run);
    assert_eq!((pool(&run, "a").as_deref(), pool(&run, "b").as_deref()), (Some("2"), Some("18")));
    run.people("delete the policy", |server, _| server.delete_policy(&policy("a")));
    rest_or_try_again(&mut run);
    assert_eq!(pool(&run, "a").as_deref(), Some("2"), "20 for each of 7 pods do not fit beside 126");
    says(&run, "a", "Ready", "False", "BudgetExceeded");
    assert!(message(&run, "a").contains("remove the finalizer"), "{}", message(&run, "a"));
    budget(&mut run, &of(40));
    rest(&mut run);
    assert_eq!(pool(&run, "a").as_deref(), Some("20"));
    assert!(!run.server.policies.contains_key(&policy("a")), "it is gone");
}

/// Whoever is held up looks again every second, without a request.
fn rest_or_try_again(run: &mut Run) {
    run.pass(Span::minutes(2));
}

/// The garbage collector takes a moment, and pods take their time to end.
#[test]
fn a_workload_that_was_deleted_has_its_connections_until_its_pods_have_ended() {
    let mut run = halves();
    run.people("delete the workload", |server, _| server.delete(&deployment("a")));
    run.pass(Span::seconds(30));
    assert_eq!(pool(&run, "b").as_deref(), Some("10"));
    assert_eq!(ledger(&run).1, 140);
    rest(&mut run);
    assert_eq!(pool(&run, "b").as_deref(), Some("20"));
    assert_eq!(ledger(&run), (140, 140, "Served".into()));
}

/// Nothing is written for it, and what happens to its pods is told all the same.
#[test]
fn pods_of_a_policy_that_cannot_be_read_are_counted_as_they_are() {
    let mut run = halves();
    let mut wrong = elastic("a", 10);
    wrong["pools"][0]["size"]["value"] = json!("=nobody.knows");
    apply(&mut run, "a", &wrong);
    rest(&mut run);
    assert_eq!(ledger(&run), (140, 140, "Served".into()));
    run.people("scale", |server, _| {
        let mut manifest = super::people::workload("a", &json!({}));
        manifest["spec"]["replicas"] = json!(9);
        server.kubectl_apply(&deployment("a"), &manifest);
    });
    rest(&mut run);
    // Who can makes room.
    assert_eq!(pool(&run, "b").as_deref(), Some("2"));
    assert_eq!(ledger(&run), (140, 10 * (9 + 3 + 9) + 2 * 7, "Overcommitted".into()));
}

/// Fewer clients do not lower what a pooler opens.
#[test]
fn a_pooler_that_opens_more_than_its_database_has_makes_nobody_shrink() {
    let mut run = shop(&["a"]);
    allow_shares(&mut run);
    let mut spec = json!({"capacity": {"connections": 100}, "reserved": 0, "headroom": "0%"});
    spec["pooler"] = json!({"mode": "Transaction", "clients": 1000, "servers": 60});
    budget(&mut run, &spec);
    apply(&mut run, "a", &elastic("a", 20));
    rest(&mut run);
    let before = run.counts.writes;
    spec["pooler"]["servers"] = json!(600);
    budget(&mut run, &spec);
    rest(&mut run);
    assert_eq!((pool(&run, "a").as_deref(), run.counts.writes - before), (Some("20"), 0));
    let status = run.server.budgets[&policy(BUDGET)].status.as_ref().unwrap();
    assert!(status.conditions.iter().any(|condition| condition.type_ == "Overcommitted"), "{status:?}");
}

/// Less is better, even if it is still too much.
#[test]
fn a_pool_that_was_never_let_in_may_become_smaller() {
    let mut run = shop(&[]);
    install(&mut run, "a", &json!({"env": [{"name": "POOL", "value": "20"}]}));
    run.pass(Span::seconds(10));
    allow_shares(&mut run);
    budget(&mut run, &of(9));
    let mut less = plain("a", 10);
    less["pools"][0]["size"]["onConflict"] = json!("TakeOver");
    apply(&mut run, "a", &less);
    rest(&mut run);
    assert_eq!(pool(&run, "a").as_deref(), Some("10"));
    assert_eq!(ledger(&run), (63, 70, "Overcommitted".into()));
}
