use serde_json::{Value, json};

use super::*;
use crate::core::facts::{Meta, ObjectKey};

fn object(kind: Kind, content: Value) -> Object {
    Object { key: ObjectKey::new(kind, "shop", "api"), meta: Meta::default(), content }
}

fn deployment(replicas: i64, strategy: &Value) -> Object {
    object(Kind::Deployment, json!({"spec": {"replicas": replicas, "strategy": strategy}}))
}

fn rolling(surge: &Value) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge}})
}

fn room(spec: &Value) -> Room {
    let budget = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "ConnectionBudget",
        "metadata": {"name": "grace-postgres", "namespace": "grace"}, "spec": spec});
    Room::of(&serde_json::from_value(budget).unwrap()).unwrap()
}

/// The anchor of the formulas: 100 connections, 10 of them for another client.
fn anchor() -> Room {
    room(&json!({"capacity": {"connections": 100}, "others": [{"name": "reporting", "connections": 10}]}))
}

fn worst(size: i64, overflow: i64, processes: i64, pods: Pods) -> Worst {
    let workers = (processes > 1).then(|| ("web".into(), processes));
    Worst { load: Load { pool: "db".into(), budget: None, size, overflow, least: size + overflow, workers }, pods }
}

/// Pods of a Deployment with default strategy whose application closes its pool when it is told to end.
fn draining(replicas: i64) -> Pods {
    let target = deployment(replicas, &Value::Null);
    Pods::of(&target, replicas_max(&target, None, None, None), true)
}

#[test]
fn what_is_usable_is_what_the_reserve_the_others_and_the_headroom_leave() {
    let check = |spec: Value, usable: i64| assert_eq!(room(&spec).usable(), usable, "{spec}");
    check(json!({"capacity": {"connections": 100}}), 87);
    check(json!({"capacity": {"connections": 100}, "headroom": "0%"}), 97);
    check(json!({"capacity": {"connections": 100}, "reserved": 0, "headroom": "0%"}), 100);
    check(json!({"capacity": {"connections": 100}, "headroom": "12.5%"}), 84);
    check(json!({"capacity": {"connections": 4}, "headroom": "99.9999999%"}), 0);
    check(json!({"capacity": {"connections": 5}, "others": [{"name": "a", "connections": 90}]}), 0);
    check(json!({"capacity": {"connections": 1_000_000}, "reserved": 0}), 900_000);
    assert_eq!(anchor().usable(), 78);
}

#[test]
fn the_ceilings_of_the_anchor_hold_exactly() {
    for (replicas, one, four) in [(1, 39, 9), (3, 19, 4), (5, 11, 2), (10, 6, 1)] {
        let ceiling = |processes| anchor().per_process(0, &worst(1, 0, processes, draining(replicas)));
        assert_eq!((ceiling(1), ceiling(4)), (one, four), "{replicas} replicas");
    }
}

#[test]
fn the_guides_ask_for_more_than_a_database_of_100_connections_has() {
    let check = |size, overflow, processes, [one, three, rollout]: [i64; 3]| {
        let at_rest = |max| worst(size, overflow, processes, Pods { max, ..Pods::default() }).connections();
        let rolling = worst(size, overflow, processes, draining(3)).connections();
        assert_eq!([at_rest(1), at_rest(3), rolling], [one, three, rollout], "{size} + {overflow}");
    };
    check(20, 10, 4, [120, 360, 480]);
    check(30, 0, 1, [30, 90, 120]);
    check(100, 0, 1, [100, 300, 400]);
}

#[test]
fn pods_that_are_ending_hold_their_connections() {
    let target = deployment(3, &Value::Null);
    assert_eq!(Pods::of(&target, 3, false), Pods { max: 3, surge: 1, terminating: 3 });
    assert_eq!(worst(20, 10, 4, Pods::of(&target, 3, false)).connections(), 840);
}

#[test]
fn surge_and_ending_pods_follow_from_the_update_strategy() {
    #[track_caller]
    fn check(target: &Object, max: i64, surge: i64, terminating: i64) {
        assert_eq!(Pods::of(target, max, false), Pods { max, surge, terminating }, "{}", target.content);
    }
    check(&deployment(1, &Value::Null), 1, 1, 1);
    check(&deployment(1, &rolling(&json!("25%"))), 4, 1, 4);
    check(&deployment(1, &rolling(&json!("25%"))), 5, 2, 5);
    check(&deployment(1, &rolling(&json!("100%"))), 5, 5, 5);
    check(&deployment(1, &rolling(&json!(2))), 5, 2, 5);
    check(&deployment(1, &rolling(&json!(0))), 5, 0, 5);
    check(&deployment(1, &rolling(&json!("0%"))), 5, 0, 5);
    check(&deployment(1, &json!({"type": "Recreate"})), 5, 0, 0);
    check(&object(Kind::Deployment, json!({"spec": {"podReplacementPolicy": "TerminationComplete"}})), 4, 1, 0);
    check(&object(Kind::StatefulSet, json!({"spec": {"updateStrategy": {"type": "RollingUpdate"}}})), 3, 0, 0);
    let daemon = |strategy: Value| object(Kind::DaemonSet, json!({"spec": {"updateStrategy": strategy}}));
    check(&daemon(Value::Null), 3, 0, 0);
    check(&daemon(rolling(&json!("30%"))), 4, 2, 4);
    check(&daemon(json!({"type": "OnDelete", "rollingUpdate": {"maxSurge": 1}})), 4, 0, 0);
}

#[test]
fn the_most_pods_are_those_of_the_autoscaler_or_of_the_policy() {
    let target = deployment(3, &Value::Null);
    let autoscaler = object(Kind::HorizontalPodAutoscaler, json!({"spec": {"maxReplicas": 10}}));
    assert_eq!(replicas_max(&target, None, None, None), 3);
    assert_eq!(replicas_max(&target, Some(&autoscaler), None, None), 10);
    assert_eq!(replicas_max(&target, Some(&autoscaler), Some(4), None), 4);
    assert_eq!(replicas_max(&target, None, Some(5), None), 5);
    assert_eq!(replicas_max(&deployment(0, &Value::Null), None, None, None), 1, "it may be switched on again");
    assert_eq!(replicas_max(&object(Kind::Deployment, json!({"spec": {}})), None, None, None), 1);
    let daemon = object(Kind::DaemonSet, json!({"status": {"desiredNumberScheduled": 4}}));
    assert_eq!(replicas_max(&daemon, None, None, None), 4);
    assert_eq!(replicas_max(&daemon, None, None, Some(9)), 9);
    assert_eq!(replicas_max(&daemon, None, None, Some(2)), 4, "more are there already");
}

#[test]
fn a_refusal_prints_the_sum_and_the_ways_out() {
    let grace = worst(20, 10, 4, Pods { max: 3, surge: 1, terminating: 0 });
    assert_eq!(
        anchor().refusal(&grace, 0),
        "pool db could open (20 + 10) connections × 4 web processes × (3 pods + 1 surge) = 480, above the 78 that budget \
         \"grace-postgres\" has (100 − 3 reserved − 10 reporting, less 10% headroom); 4 would fit per process: put a pooler in \
         front, run fewer processes or allow fewer replicas"
    );
    let alchemist = worst(100, 0, 1, Pods { max: 1, surge: 0, terminating: 0 });
    assert_eq!(
        anchor().refusal(&alchemist, 78),
        "pool db could open 100 connections × 1 pod = 100, beside 78 of others, above the 78 that budget \"grace-postgres\" has \
         (100 − 3 reserved − 10 reporting, less 10% headroom); not even one connection fits: put a pooler in front, run fewer \
         processes or allow fewer replicas"
    );
}

#[test]
fn a_pooler_has_two_ledgers() {
    let with = |mode: &str, servers: u32| {
        room(&json!({"capacity": {"connections": 100}, "pooler": {"mode": mode, "clients": 1000, "servers": servers}}))
    };
    let pooled = with("Transaction", 60);
    assert_eq!((pooled.usable(), pooled.database(), pooled.fault()), (1000, 87, None));
    assert!(worst(20, 10, 4, Pods { max: 3, surge: 1, terminating: 3 }).connections() <= pooled.usable());
    let beyond = with("Transaction", 88);
    assert_eq!(
        beyond.fault().unwrap(),
        "the pooler of budget \"grace-postgres\" may open 88 connections, above the 87 that the database has (100 − 3 reserved, \
         less 10% headroom): lower pooler.servers, and default_pool_size of the pooler with it"
    );
    assert_eq!(with("Session", 60).usable(), 60, "a session keeps its server");
}

fn bid(pool: usize, held: i64, asked: i64) -> Bid {
    Bid { pool, held, asked, settled: true, writes: true, ..Bid::default() }
}

#[test]
fn of_two_that_grow_the_older_goes_first_and_what_is_there_stays() {
    let refused = |usable, bids: &[Bid]| settle(usable, bids).iter().map(|verdict| verdict.refused).collect::<Vec<_>>();
    assert_eq!(refused(100, &[bid(0, 10, 60), bid(1, 10, 60)]), [None, Some(60)]);
    assert_eq!(refused(100, &[bid(0, 0, 60), bid(1, 60, 60)]), [Some(60), None], "the younger has it already");
    assert_eq!(refused(100, &[bid(0, 80, 80), bid(1, 60, 60)]), [None, None], "nobody grows");
    assert_eq!(
        refused(100, &[bid(0, 80, 70), bid(1, 60, 61)]),
        [None, Some(80)],
        "a place is free when it has been left"
    );
    let newcomer = Bid { settled: false, ..bid(0, 120, 120) };
    assert_eq!(refused(100, &[newcomer, bid(1, 0, 10)]), [Some(0), Some(120)], "what it has it was never given");
}

#[test]
fn who_may_not_write_takes_no_place_from_others() {
    let observer = Bid { writes: false, ..bid(0, 10, 90) };
    let verdicts = settle(100, &[observer, bid(1, 0, 90)]);
    assert_eq!(verdicts, [Verdict { committed: 10, refused: None }, Verdict { committed: 90, refused: None }]);
}

#[test]
fn a_pool_that_two_policies_have_is_counted_once() {
    let observer = Bid { writes: false, ..bid(0, 60, 60) };
    let verdicts = settle(100, &[observer, bid(0, 60, 90), bid(1, 0, 11)]);
    assert_eq!(verdicts.iter().map(|verdict| verdict.committed).collect::<Vec<_>>(), [90, 0, 0]);
    assert_eq!(verdicts.iter().map(|verdict| verdict.refused).collect::<Vec<_>>(), [None, None, Some(90)]);
}

#[test]
fn who_makes_pools_of_others_grow_needs_room_for_them_too() {
    let refused = |usable, bids: &[Bid]| settle(usable, bids).iter().map(|verdict| verdict.refused).collect::<Vec<_>>();
    // More pods for a workload on which another policy has a pool of 30.
    let scales = Bid { along: vec![(1, 60)], ..bid(0, 10, 20) };
    assert_eq!(refused(80, &[scales.clone(), bid(1, 30, 30)]), [None, None]);
    assert_eq!(refused(79, &[scales.clone(), bid(1, 30, 30)]), [Some(60), None]);
    assert_eq!(refused(80, &[scales.clone(), bid(1, 30, 30), bid(2, 0, 1)]), [None, None, Some(80)], "it is taken");
    let wide = Bid { along: vec![(0, 96)], ..bid(0, 0, 56) };
    assert_eq!(refused(82, &[wide]), [Some(40)], "another policy counts more pods of the same pool");
    let lost = Bid { along: vec![(1, 60)], under_way: true, ..bid(0, 20, 20) };
    assert_eq!(refused(80, &[bid(2, 0, 1), bid(1, 30, 30), lost]), [Some(80), None, None], "a write has no answer");
}

proptest::proptest! {
    #[test]
    fn growth_never_exceeds_what_is_usable(
        usable in 0_i64..1000,
        bids in proptest::collection::vec(
            (0_usize..8, 0_i64..300, 0_i64..300, proptest::bool::ANY, proptest::bool::ANY),
            0..12,
        ),
    ) {
        let bids: Vec<Bid> = bids
            .into_iter()
            .map(|(pool, held, asked, settled, writes)| Bid { pool, held, asked, settled, writes, ..Bid::default() })
            .collect();
        let verdicts = settle(usable, &bids);
        let mut held = BTreeMap::new();
        for bid in &bids {
            let most = held.entry(bid.pool).or_insert(0);
            *most = bid.held.max(*most);
        }
        let committed: i64 = verdicts.iter().map(|verdict| verdict.committed).sum();
        proptest::prop_assert!(committed <= usable.max(held.values().sum()));
        for (pool, held) in held {
            let mine = || bids.iter().zip(&verdicts).filter(|(bid, _)| bid.pool == pool);
            let committed: i64 = mine().map(|(_, verdict)| verdict.committed).sum();
            proptest::prop_assert!(committed >= held, "nobody shrinks");
            let may = |(bid, verdict): (&Bid, &Verdict)| bid.writes && verdict.refused.is_none() && bid.asked == committed;
            proptest::prop_assert!(committed == held || mine().any(may), "who grows was let");
        }
    }
}
