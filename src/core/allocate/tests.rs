use serde_json::{Value, json};

use super::*;
use crate::core::facts::{Instant, Meta, ObjectKey, Span};

fn object(kind: Kind, content: Value) -> Object {
    Object { key: ObjectKey::new(kind, "shop", "api"), meta: Meta::default(), content: content.into() }
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
    Room::of(&serde_json::from_value(budget).unwrap(), &Figures::default()).unwrap()
}

/// The anchor of the formulas: 100 connections, 10 of them for another client.
fn anchor() -> Room {
    room(&json!({"capacity": {"connections": 100}, "others": [{"name": "reporting", "connections": 10}]}))
}

fn worst(size: i64, overflow: i64, processes: i64, pods: Pods) -> Worst {
    let workers = (processes > 1).then(|| ("web".into(), processes));
    let (pool, least) = ("db".into(), size + overflow);
    Worst { load: Load { pool, budget: None, size, overflow, least, least_overflow: 0, workers }, pods }
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
        assert_eq!(Pods::of(target, max, false), Pods { max, surge, terminating }, "{}", *target.content);
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

// what is measured

fn measured(spec: &Value, numbers: Vec<(Figure, Number)>) -> Room {
    let budget = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "ConnectionBudget",
        "metadata": {"name": "pg", "namespace": "shop"}, "spec": spec});
    Room::of(&serde_json::from_value(budget).unwrap(), &Figures::new(numbers)).unwrap()
}

fn number(counted: Option<i64>, standing: Standing) -> Number {
    Number { counted, standing }
}

fn silent() -> Standing {
    Standing::Unread(Unread { reason: Reason::NoData, message: "no series answers".to_owned() })
}

#[test]
fn of_a_literal_and_what_is_measured_that_counts_which_leaves_less() {
    let gauge = json!({"gauge": "m"});
    let both = json!({"capacity": {"connections": 100, "metric": gauge}, "headroom": "0%", "reserved": 0});
    let only = json!({"capacity": {"metric": gauge}, "headroom": "0%", "reserved": 0});
    let check = |spec: &Value, number: Number, shared: i64, growable: i64, doubts: usize| {
        let room = measured(spec, vec![(Figure::Capacity, number.clone())]);
        let found = (room.shared(), room.growable(), room.doubts().len());
        assert_eq!(found, (shared, growable, doubts), "{spec} {number:?}");
    };
    check(&both, number(Some(60), Standing::Read), 60, 60, 0);
    check(&both, number(Some(200), Standing::Read), 100, 100, 0);
    // Before the first answer nobody grows; nobody shrinks either.
    check(&both, number(None, Standing::Unasked), 100, 0, 0);
    check(&only, number(None, Standing::Unasked), UNKNOWN, 0, 0);
    check(&both, number(Some(60), silent()), 60, 60, 1);
    check(&both, number(None, silent()), 100, 100, 1);
    check(&only, number(Some(60), silent()), 60, 0, 0);
    check(&only, number(None, silent()), UNKNOWN, 0, 0);
    let unknown = measured(&only, vec![(Figure::Capacity, number(None, silent()))]);
    assert_eq!(unknown.says(), "what budget \"pg\" has, which nobody knows (? − 0 reserved)");
    let why = "nobody who uses budget \"pg\" grows: capacity.metric is not read (no series answers)";
    assert_eq!(unknown.freeze().unwrap(), why);
    assert_eq!(unknown.refusal(&worst(1, 0, 1, draining(1)), 0), why);
}

#[test]
fn who_has_something_keeps_it_and_who_has_nothing_waits_while_nobody_knows() {
    let only = json!({"capacity": {"metric": {"gauge": "m"}}, "shares": [{"policy": "p", "pool": "db", "min": 15}]});
    let frozen = measured(&only, vec![(Figure::Capacity, number(Some(100), silent()))]);
    let pods = draining(1);
    let claim = |least: i64, has: Option<i64>| {
        let mut asked = worst(20, 0, 1, pods);
        asked.load.least = least;
        let claim = frozen.claim("p", &asked, pods, has);
        (claim.least, claim.most, shares(frozen.shared(), &[claim]))
    };
    assert_eq!(claim(5, Some(10)), (10, 10, vec![Some(10)]));
    assert_eq!(claim(5, Some(20)), (15, 20, vec![Some(20)]));
    assert_eq!(claim(5, None), (5, 0, vec![None]));
    assert_eq!(claim(12, Some(10)), (12, 10, vec![None]), "it keeps what it has");
}

#[test]
fn others_count_with_the_larger_of_what_is_said_and_what_is_measured() {
    let spec = json!({"capacity": {"connections": 100}, "reserved": 0, "headroom": "0%",
        "others": [{"name": "a", "connections": 10, "metric": {"query": "x"}}, {"name": "b", "metric": {"gauge": "y"}}]});
    let of = |a: i64, b: i64| {
        let read = |name: &str, value| (Figure::Other(name.into()), number(Some(value), Standing::Read));
        measured(&spec, vec![read("a", a), read("b", b)])
    };
    assert_eq!((of(4, 0).usable(), of(30, 5).usable(), of(1_000_000, 0).usable()), (90, 65, 0));
    assert_eq!(of(30, 5).terms(), "100 − 0 reserved − 30 a (measured) − 5 b (measured)");
}

#[test]
fn what_leaves_less_counts_at_once_and_what_leaves_more_when_it_has_lasted() {
    let apart = Span::seconds(60);
    let at = |minutes: i64| Instant::default() + Span::minutes(minutes);
    for (figure, sign) in [(Figure::Capacity, 1.0), (Figure::Other("a".into()), -1.0)] {
        let value = |offset: f64| 100.0 + sign * offset;
        let mut course = Course::new(None, at(0));
        let mut read = |minutes: i64, offset: f64| {
            course.take(&figure, at(minutes), Ok(value(offset)), apart);
            let number = course.number(Span::minutes(3), at(minutes), || unreachable!());
            assert_eq!(number.standing, Standing::Read);
            number.counted.unwrap()
        };
        #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
        let counts = |offset: f64| value(offset) as i64;
        assert_eq!(read(0, 0.0), counts(0.0), "the first counts");
        assert_eq!(read(1, -5.0), counts(-5.0), "{figure:?}: what leaves less");
        // Ten minutes, and then the least of what was read in them.
        for minute in 2..12 {
            assert_eq!(read(minute, if minute == 7 { 3.0 } else { 10.0 }), counts(-5.0), "minute {minute}");
        }
        assert_eq!(read(12, 10.0), counts(3.0));
        // One that falls back begins anew.
        for minute in 13..22 {
            read(minute, 10.0);
        }
        assert_eq!(
            (read(22, 3.0), read(23, 10.0), read(32, 10.0)),
            (counts(3.0), counts(3.0), counts(3.0)),
            "a gap, too"
        );
        for minute in 33..42 {
            read(minute, 10.0);
        }
        assert_eq!(read(42, 10.0), counts(10.0));
    }
}

#[test]
fn nonsense_is_no_number_and_fractions_leave_less() {
    let apart = Span::seconds(60);
    let now = Instant::default();
    let take = |figure: Figure, reading: f64| {
        let mut course = Course::new(Some(50), now);
        course.take(&figure, now, Ok(reading), apart);
        course.number(apart, now, || unreachable!())
    };
    let other = || Figure::Other("a".into());
    assert_eq!(take(Figure::Capacity, 9.7).counted, Some(9));
    assert_eq!(take(other(), 60.1).counted, Some(61));
    assert_eq!(take(other(), 1e300).counted, Some(1_000_000));
    for (figure, nonsense) in
        [(Figure::Capacity, 0.0), (Figure::Capacity, f64::NAN), (other(), -1.0), (other(), f64::INFINITY)]
    {
        let number = take(figure, nonsense);
        assert_eq!((number.counted, number.standing), (Some(50), Standing::Unasked), "{nonsense}");
    }
}

#[test]
fn what_is_not_read_for_long_gives_way_to_a_literal_and_counts_at_once_when_it_is_back() {
    let (apart, age) = (Span::seconds(60), Span::minutes(3));
    let at = |minutes: i64| Instant::default() + Span::minutes(minutes);
    let mut course = Course::new(None, at(0));
    course.take(&Figure::Capacity, at(0), Ok(60.0), apart);
    let number = |course: &Course, minutes: i64| {
        course.number(age, at(minutes), || Unread { reason: Reason::NoData, message: String::new() })
    };
    for minutes in [3, 9] {
        course.give_way(age, at(minutes));
        assert_eq!(number(&course, minutes).counted, Some(60));
    }
    assert_eq!(number(&course, 3).standing, Standing::Read);
    assert!(matches!(number(&course, 4).standing, Standing::Unread(_)));
    course.give_way(age, at(10));
    assert_eq!(number(&course, 10).counted, None);
    course.take(&Figure::Capacity, at(11), Ok(90.0), apart);
    assert_eq!(number(&course, 11), Number { counted: Some(90), standing: Standing::Read });
    // Who begins knows what was told, and for a while whether it is read is open.
    let course = Course::new(Some(60), at(0));
    assert_eq!(number(&course, 3), Number { counted: Some(60), standing: Standing::Unasked });
    assert!(matches!(number(&course, 4).standing, Standing::Unread(_)));
}

#[test]
fn a_gauge_is_asked_of_the_budgets_namespace_and_a_query_as_it_is() {
    let budget = |spec: Value| -> ConnectionBudget {
        serde_json::from_value(json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "ConnectionBudget",
            "metadata": {"name": "pg", "namespace": "shop"}, "spec": spec}))
        .unwrap()
    };
    let asked = |spec: Value| {
        let gauges = Gauge::all(&budget(spec)).unwrap();
        let expr = |gauge: &Gauge| gauge.query("shop", &crate::core::promql::Identity::default()).expr().to_owned();
        gauges.iter().map(expr).collect::<Vec<_>>()
    };
    let gauge = json!({"gauge": "pg_settings_max_connections", "labels": {"server": "a\"b"}});
    assert_eq!(
        asked(
            json!({"capacity": {"metric": gauge}, "others": [{"name": "x", "metric": {"gauge": "pg_stat_activity_count"}},
            {"name": "y", "connections": 1}, {"name": "z", "metric": {"query": "vector(1)"}}]})
        ),
        [
            "min(pg_settings_max_connections{namespace=\"shop\",server=\"a\\\"b\"})",
            "sum(pg_stat_activity_count{namespace=\"shop\"})",
            "vector(1)"
        ]
    );
    let wrong =
        |metric: Value| Room::of(&budget(json!({"capacity": {"metric": metric}})), &Figures::default()).unwrap_err();
    assert_eq!(wrong(json!({})), "capacity.metric must have exactly one of gauge and query");
    assert!(wrong(json!({"query": "x", "labels": {"a": "b"}})).contains("leave out labels"));
    assert!(wrong(json!({"gauge": "a b"})).starts_with("capacity.metric must be a metric name"));
    let none = Room::of(&budget(json!({"capacity": {}})), &Figures::default()).unwrap_err();
    assert_eq!(none, "capacity.metric and its literal are both missing");
}

#[test]
fn the_size_is_filled_before_the_overflow_which_has_its_least() {
    let check = |least_overflow: i64, level: i64, expected: (i64, i64)| {
        let pool = "db".into();
        let load = Load {
            pool,
            budget: None,
            size: 20,
            overflow: 10,
            least: 2 + least_overflow,
            least_overflow,
            workers: None,
        };
        let at = Worst { load, pods: Pods::default() }.at(level).load;
        assert_eq!((at.size, at.overflow), expected, "{least_overflow} of {level}");
        assert!(at.connections() <= level);
    };
    check(0, 30, (20, 10));
    check(0, 25, (20, 5));
    check(0, 12, (12, 0));
    check(5, 25, (20, 5));
    check(5, 12, (7, 5));
    check(10, 12, (2, 10));
}
