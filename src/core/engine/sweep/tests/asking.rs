//! What is asked, when, and of whom.

use proptest::{collection::vec, prelude::*};

use super::*;

#[test]
fn a_first_sweep_is_made_at_once_and_the_next_at_the_interval() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.read("queue", 3.0);
    lab.now = START + Span::seconds(14);
    lab.run(80);
    let values = lab.asked.iter().filter(|asked| !asked.expr.contains("timestamp("));
    let at: Vec<_> = values.map(|asked| asked.at.since(START).as_millis() / 1000).collect();
    assert_eq!(at, [14, 30, 60, 90]);
    let ages: Vec<_> = lab.asked.iter().filter(|asked| asked.expr.contains("timestamp(")).collect();
    let at: Vec<_> = ages.iter().map(|asked| asked.at.since(START).as_millis() / 1000).collect();
    assert_eq!(at, [14, 60], "how old the data is, is asked every other time");
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
}

#[test]
fn all_policies_that_read_the_same_are_one_query() {
    let mut lab = Lab::new();
    for number in 0..50 {
        lab.policy(&format!("p{number}"), 1, queue(json!([above("warning", number)])));
    }
    lab.policy("other", 1, json!([{"name": "size", "metric": {"gauge": "pool_size"}}]));
    lab.read("queue", 20.5);
    lab.read("pool_size", 20.0);
    let asked = lab.tick();
    assert_eq!(asked.len(), 4);
    for asked in &asked {
        lab.answer(asked);
    }
    let breached = (0..50).filter(|n| lab.reasons(&format!("p{n}")).0 == Reason::Breached).count();
    assert_eq!(breached, 21);
    assert_eq!(lab.standing("other").counts, (1, 1));
}

#[test]
fn a_question_is_never_asked_again_before_it_was_answered() {
    let mut lab = Lab::with(json!([
        {"name": "queue", "metric": {"gauge": "queue"}}, {"name": "slow", "metric": {"query": "slow()"}}]));
    lab.read("queue", 3.0);
    for _ in 0..120 {
        let asked = lab.tick();
        for asked in asked.iter().filter(|asked| asked.expr != "slow()") {
            lab.answer(asked);
        }
        lab.now = lab.now + Span::seconds(1);
    }
    let count = |text: &str| lab.asked.iter().filter(|asked| asked.expr.contains(text)).count();
    assert_eq!((count("slow()"), count("avg_over_time(queue")), (1, 4), "a slow one delays itself only");
}

#[test]
fn a_query_that_cannot_be_parsed_stalls_its_policy_only_and_is_asked_less_often() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.policy(
        "bad",
        1,
        json!([{"name": "broken", "metric": {"query": "sum(("}}, {"name": "queue", "metric": {"gauge": "queue"}}]),
    );
    lab.prometheus.refuses.insert("sum((", Reason::QueryInvalid);
    lab.read("queue", 3.0);
    lab.run(1);
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
    assert_eq!(lab.standing("web").stalled, None);
    let bad = lab.standing("bad");
    assert_eq!((bad.metrics.reason, bad.compliant.reason, bad.counts), (Reason::QueryInvalid, Reason::NoData, (2, 1)));
    let (reason, message) = bad.stalled.unwrap();
    assert_eq!(reason, Reason::QueryInvalid);
    assert_eq!(message, format!("broken: the backend cannot parse the query (HTTP 503), since {START}"));
    lab.run(30 * 60);
    let at =
        lab.asked.iter().filter(|asked| asked.expr == "sum((").map(|asked| asked.at.since(START).as_millis() / 30_000);
    let at: Vec<_> = at.collect();
    let apart: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Slots are multiples of the step since the epoch, at least half a step away.
    assert!(apart.iter().all(|apart| (1..=12).contains(apart)) && apart.ends_with(&[8, 8]), "{apart:?}");
    lab.policy("bad", 2, queue(json!([above("warning", 10)])));
    lab.run(31);
    assert_eq!(lab.reasons("bad"), (Reason::Within, Reason::Answered));
}

#[test]
fn an_expensive_query_is_asked_less_often_and_again_as_usual_when_it_answers() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.prometheus.refuses.insert("queue", Reason::QueryTooExpensive);
    lab.run(20 * 60);
    assert_eq!(lab.reasons("web").1, Reason::QueryTooExpensive);
    assert_eq!(lab.active(), ["TrimtabNoData warning"], "the source lives, so its silence is this threshold's");
    let before = lab.asked.len();
    lab.run(20 * 60);
    assert_eq!(lab.asked.len() - before, 2 * 5, "every eighth interval, and a refusal tells no age");
    lab.prometheus.refuses.clear();
    lab.read("queue", 1.0);
    lab.run(5 * 60);
    let before = lab.asked.len();
    lab.run(10 * 60);
    assert_eq!(lab.asked.len() - before, 20 + 10);
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
}

#[test]
fn a_policy_without_target_reads_its_namespace() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.policies.values_mut().for_each(|policy| policy.target = None);
    lab.targets.clear();
    let asked = lab.tick();
    assert_eq!(asked[0].expr, "avg by (namespace) (avg_over_time(queue{namespace=\"shop\"}[5m]))");
    for asked in &asked {
        let value = if asked.expr.contains("timestamp") { asked.at.seconds() } else { 70.0 };
        let series =
            Series { labels: [("namespace".into(), "shop".into())].into(), points: vec![(asked.at.seconds(), value)] };
        lab.sweep.answer(asked.token, Ok(vec![series]), lab.now);
    }
    assert_eq!(lab.reasons("web").0, Reason::Breached);
    lab.run(1);
    assert!(!lab.sent[0].1.labels.contains_key("target"));
}

#[test]
fn a_policy_that_governs_nothing_yet_measures_nothing() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.targets.clear();
    lab.run(1);
    assert_eq!((lab.asked.len(), lab.reasons("web").0), (0, Reason::NoTargets));
}

#[test]
fn a_target_that_came_while_a_query_was_under_way_is_not_judged_by_it() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.read("queue", 3.0);
    let asked = lab.tick();
    lab.targets.push(ObjectKey::new(Kind::Deployment, "shop", "api"));
    lab.tick();
    for asked in &asked {
        lab.answer(asked);
    }
    assert_eq!(lab.reasons("web"), (Reason::Unknown, Reason::Unknown));
    lab.prometheus.readings.insert(("queue", "api"), vec![1.0]);
    lab.run(31);
    assert_eq!(lab.reasons("web"), (Reason::Within, Reason::Answered));
}

#[test]
fn young_data_is_asked_for_its_age_as_often_as_it_may_have_become_too_old() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.read("queue", 50.0);
    lab.prometheus.age = Span::seconds(130);
    lab.run(5 * 60);
    let ages = lab.asked.iter().filter(|asked| asked.expr.contains("timestamp(")).count();
    assert_eq!(ages, 10, "150 s would be too old at the next time");
    assert_eq!(lab.reasons("web"), (Reason::Breached, Reason::Answered));
}

/// A lab whose policies are one for each of many targets, in a cluster of so many workloads.
fn fleet(targets: usize, workloads: usize) -> Lab {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.targets = (0..targets).map(|n| ObjectKey::new(Kind::Deployment, "shop", format!("app-{n}"))).collect();
    lab.sweep.follow_workloads(workloads);
    lab
}

#[test]
fn a_question_names_few_of_many_workloads_in_queries_of_some_hundred_and_most_of_them_not_at_all() {
    for (targets, workloads, queries) in [(1_000, 1_500, 1), (1_000, 10_000, 2), (2_000, 10_000, 4), (150, 150, 1)] {
        let mut lab = fleet(targets, workloads);
        let asked = lab.tick();
        let values: Vec<_> = asked.iter().filter(|asked| !asked.expr.contains("timestamp(")).collect();
        assert_eq!((values.len(), asked.len()), (queries, 2 * queries), "{targets} of {workloads}");
        let named: usize = values.iter().map(|asked| asked.expr.matches("app-").count()).sum();
        assert_eq!(named, if targets * 2 > workloads && targets > 200 { 0 } else { targets });
        assert!(values.iter().all(|asked| asked.expr.contains("namespace=\"shop\"") && !asked.expr.contains(" or ")));
    }
}

#[test]
fn an_edit_changes_the_text_of_one_query_and_many_questions_are_no_burst() {
    let mut lab = fleet(6_000, 100_000);
    let before: BTreeSet<String> = lab.tick().into_iter().map(|asked| asked.expr).collect();
    let mut edited = fleet(6_000, 100_000);
    edited.targets.push(ObjectKey::new(Kind::Deployment, "shop", "new"));
    let after: BTreeSet<String> = edited.tick().into_iter().map(|asked| asked.expr).collect();
    assert_eq!((before.len(), after.difference(&before).count()), (16, 2), "one of eight, and its age");
    // The first round is asked at once; every other one in parts, all for the same time.
    for asked in lab.asked.clone() {
        lab.sweep.answer(asked.token, Ok(Vec::new()), lab.now);
    }
    let mut seconds = BTreeMap::<i64, usize>::new();
    for second in 0..60 {
        for asked in lab.tick() {
            assert_eq!(asked.at.millis() % 30_000, 0, "the same time for all");
            *seconds.entry(second).or_default() += 1;
            lab.sweep.answer(asked.token, Ok(Vec::new()), lab.now);
        }
        lab.now = lab.now + Span::seconds(1);
    }
    assert!(seconds.len() > 2 && seconds.values().all(|asked| *asked <= 16), "{seconds:?}");
}

#[test]
fn what_is_asked_in_another_way_is_not_judged_by_answers_of_before() {
    let mut lab = fleet(150, 150);
    let asked = lab.tick();
    lab.targets = (0..2_000).map(|n| ObjectKey::new(Kind::Deployment, "shop", format!("app-{n}"))).collect();
    lab.sweep.follow_workloads(10_000);
    let again = lab.tick();
    assert_eq!(again.len(), 8, "four queries, asked at once");
    for asked in &asked {
        assert!(lab.sweep.answer(asked.token, Ok(Vec::new()), lab.now).is_empty());
    }
    assert_eq!(lab.reasons("web"), (Reason::Unknown, Reason::Unknown));
}

#[test]
fn a_clock_that_goes_back_stops_nothing() {
    let mut lab = Lab::with(queue(json!([above("warning", 10)])));
    lab.read("queue", 3.0);
    lab.run(60);
    lab.now = START - Span::hours(5);
    let (asked, sent) = (lab.asked.len(), lab.sent.len());
    lab.read("queue", 30.0);
    lab.run(60);
    assert!(lab.asked.len() > asked && lab.sent.len() > sent);
    assert_eq!(lab.reasons("web").0, Reason::Breached);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// What is asked in parts says the same of every target as what is asked of all at once.
    #[test]
    fn parts_of_a_question_answer_what_the_whole_answers(readings in vec(-5.0..25.0_f64, 850..900), silent in 2..40_usize) {
        let mut labs = [fleet(readings.len(), 100_000), fleet(readings.len(), readings.len())];
        let said = labs.each_mut().map(|lab| {
            for asked in lab.tick() {
                let series = readings.iter().enumerate().filter(|(n, _)| n % silent != 0).filter_map(|(n, value)| {
                    let name = format!("app-{n}");
                    // As Prometheus does: of a query that names pods, those that are named.
                    let asks = !asked.expr.contains("pod=~") || asked.expr.contains(&format!("{name}-.*"));
                    let value = if asked.expr.contains("timestamp(") { asked.at.seconds() - 5.0 } else { *value };
                    let labels = [("namespace".into(), "shop".into()), ("trimtab_workload".into(), name.into())];
                    asks.then(|| Series { labels: labels.into(), points: vec![(asked.at.seconds(), value)] })
                });
                let series = series.collect();
                lab.sweep.answer(asked.token, Ok(series), lab.now);
            }
            let said = lab.sweep.readings().map(|one| (one.target.cloned(), one.value.map(f64::to_bits), one.verdict));
            said.collect::<Vec<_>>()
        });
        prop_assert_eq!(labs[0].asked.len(), 4);
        prop_assert_eq!(labs[1].asked.len(), 2);
        prop_assert_eq!(&said[0], &said[1]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever comes back, in whatever order, nothing panics, no token is answered twice, and what the verdict is does
    /// not depend on the order.
    #[test]
    fn the_order_of_answers_does_not_matter(
        answers in vec((0..6_u8, -50.0..150.0_f64), 1..12),
        swaps in vec(any::<prop::sample::Index>(), 8),
    ) {
        let thresholds = json!([
            {"name": "queue", "metric": {"gauge": "queue"}, "levels": [{"severity": "warning", "above": 10, "for": "1m"}]},
            {"name": "size", "metric": {"gauge": "pool_size"}, "levels": [above("critical", 100)]},
            {"name": "free", "metric": {"query": "queue + 1"}, "levels": [{"severity": "info", "below": 0}]}]);
        let (mut straight, mut shuffled) = (Lab::with(thresholds.clone()), Lab::with(thresholds));
        let pass = |straight: &mut Lab, shuffled: &mut Lab, seconds: usize| -> Result<(), TestCaseError> {
            for _ in 0..seconds {
                for asked in straight.tick() { straight.answer(&asked); }
                let mut asked = shuffled.tick();
                for swap in &swaps {
                    if !asked.is_empty() { let len = asked.len(); asked.swap(0, swap.index(len)); }
                }
                for asked in &asked { shuffled.answer(asked); }
                for asked in &asked { prop_assert!(shuffled.answer(asked).is_empty()); }
                for lab in [&mut *straight, &mut *shuffled] { lab.now = lab.now + Span::seconds(1); }
            }
            Ok(())
        };
        let key = Lab::key("web");
        let none = PerformancePolicyStatus::default();
        let listed = |lab: &Lab| {
            let mut thresholds = lab.sweep.standing(&key, &none).thresholds;
            for threshold in &mut thresholds {
                threshold.since = report::time(START);
            }
            thresholds
        };
        // In an outage one question goes ahead to see whether the source is back: which one that is depends on the order, and so
        // does who has heard what and in which second. From then on nothing is compared until the source has been well for longer
        // than any question is put off, and everything within its limits once, so that nothing is left of what only one has seen.
        let mut outage = false;
        for (kind, value) in answers {
            outage |= kind == 1;
            for lab in [&mut straight, &mut shuffled] {
                lab.prometheus = lab::Prometheus::default();
                lab.read("queue", value);
                lab.read("pool_size", value);
                match kind {
                    1 => lab.prometheus.broken = Some(Reason::BackendUnavailable),
                    2 => drop(lab.prometheus.refuses.insert("timestamp", Reason::QueryTooExpensive)),
                    3 => lab.read("queue", f64::NAN),
                    4 => lab.prometheus.age = Span::hours(1),
                    _ => {}
                }
            }
            pass(&mut straight, &mut shuffled, 30)?;
            if !outage {
                prop_assert_eq!(listed(&straight), listed(&shuffled));
            }
        }
        for value in [5.0, 500.0] {
            for lab in [&mut straight, &mut shuffled] {
                lab.prometheus = lab::Prometheus::default();
                lab.read("queue", value);
                lab.read("pool_size", value);
            }
            pass(&mut straight, &mut shuffled, 600)?;
        }
        prop_assert_eq!(listed(&straight), listed(&shuffled));
        prop_assert_eq!(listed(&straight).len(), 2);
    }
}
