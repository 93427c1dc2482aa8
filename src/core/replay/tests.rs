use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{report::lasted, *};
use crate::core::engine::{Change, Config, Listing, Refusal, Series, Stream};
use crate::{api::conditions::Reason, core::facts::Kind};

const START: Instant = Instant::from_millis(1_700_000_040_000);

fn at(seconds: i64) -> Instant {
    START + Span::seconds(seconds)
}

fn series(label: &str, points: &[(i64, f64)]) -> Series {
    let labels = [("l".into(), label.into())].into();
    Series { labels, points: points.iter().map(|(time, value)| (at(*time).seconds(), *value)).collect() }
}

fn course(expr: &str, (start, end): (i64, i64), step: i64, answer: Answered) -> Course {
    Course {
        source: Some("default".into()),
        expr: expr.into(),
        start: at(start),
        end: at(end),
        step: Span::seconds(step),
        reach: Span::ZERO,
        answer,
    }
}

type Answered = Result<Vec<Series>, Refusal>;

/// A world that leads, with a policy without target and these thresholds.
fn world(policy: Value) -> (World, Vec<Effect>) {
    let mut world = World::new(Config::default());
    step(&mut world, Input::Listed(Stream::Policies, Listing::default()), START);
    let class = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformanceClass", "metadata": {"name": "default"},
        "spec": {"freeQueries": true, "sink": "Alertmanager"}});
    let source = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "MetricsSource", "metadata": {"name": "default"},
        "spec": {"prometheus": {"url": "http://p"}, "interval": "30s", "alertmanagers": ["http://a"]}});
    step(&mut world, Input::Class(Change::Applied(Box::new(serde_json::from_value(class).unwrap()))), START);
    step(&mut world, Input::Source(Change::Applied(Box::new(serde_json::from_value(source).unwrap()))), START);
    let mut all = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"namespace": "shop", "name": "web", "uid": "u", "generation": 1, "resourceVersion": "1"}});
    all["spec"] = policy;
    all["spec"]["className"] = "default".into();
    step(&mut world, Input::Policy(Change::Applied(Box::new(serde_json::from_value(all).unwrap()))), START);
    let mine = |name: &str| Listing { names: [("".into(), name.into())].into() };
    step(&mut world, Input::Listed(Stream::Classes, mine("default")), START);
    step(&mut world, Input::Listed(Stream::Sources, mine("default")), START);
    for stream in [Stream::Budgets, Stream::Disruptions].into_iter().chain(Kind::ALL.map(Stream::Objects)) {
        step(&mut world, Input::Listed(stream, Listing::default()), START);
    }
    let effects = step(&mut world, Input::Leadership(true), START);
    (world, effects)
}

fn threshold(hold: &str) -> Value {
    json!({"name": "queue", "metric": {"query": "queue", "unit": "count"}, "noData": {"after": "5m"},
        "levels": [{"severity": "warning", "above": "10", "for": hold}]})
}

/// Replays so many seconds of a value, answering ranges as a server does, and counts them.
fn replay(policy: Value, seconds: i64, value: impl Fn(i64) -> Option<f64>) -> (ReplayReport, Vec<Fetch>) {
    let (world, effects) = world(policy);
    let intervals: BTreeMap<Box<str>, Span> = [("default".into(), Span::seconds(30))].into();
    let (period, _) = period(START, at(seconds), &intervals).unwrap();
    let mine: BTreeSet<PolicyKey> = [("shop".into(), "web".into())].into();
    let mut replay = Replay::new(world, effects, intervals, period, History::default(), mine);
    let mut asked = Vec::new();
    while let Turn::Needs(fetches) = replay.advance().unwrap() {
        let answer = |fetch: &Fetch| {
            let steps = fetch.end.since(fetch.start).as_millis() / fetch.step.as_millis();
            let times = (0..=steps).map(|n| (fetch.start.since(START).as_millis() + n * fetch.step.as_millis()) / 1000);
            let points: Vec<(i64, f64)> = times.filter_map(|time| Some((time, value(time)?))).collect();
            let answer = if points.is_empty() { Vec::new() } else { vec![series("", &points)] };
            let start = fetch.start.since(START).as_millis() / 1000;
            let end = fetch.end.since(START).as_millis() / 1000;
            course(&fetch.expr, (start, end), fetch.step.as_millis() / 1000, Ok(answer))
        };
        let courses = fetches.iter().map(answer).collect();
        asked.extend(fetches);
        replay.learn(courses);
    }
    (replay.finish().0, asked)
}

#[test]
fn a_period_is_a_whole_number_of_sweeps_and_not_too_many() {
    let every: BTreeMap<Box<str>, Span> = [("a".into(), Span::seconds(30)), ("b".into(), Span::minutes(5))].into();
    let (found, steps) = period(at(1), at(3601), &every).unwrap();
    assert_eq!((found.from, found.to, steps), (at(30), at(3601), 120));
    let wrong = |from, to| period(from, to, &every).unwrap_err().0;
    assert!(wrong(at(10), at(10)).contains("is not before"));
    assert!(wrong(at(1), at(20)).contains("is no sweep"));
    let long = wrong(at(0), at(365 * 86_400));
    assert!(long.contains("365d ÷ 30s = 1051201 sweeps") && long.contains("at most 200000"), "{long}");
    assert!(period(at(0), at(60), &BTreeMap::new()).unwrap_err().0.contains("nothing to replay"));
}

#[test]
fn one_range_answers_all_sweeps() {
    let (report, asked) = replay(json!({"thresholds": [threshold("0s")]}), 6 * 3600, |_| Some(3.0));
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!((asked[0].start, asked[0].end, asked[0].step), (at(0), at(6 * 3600), Span::seconds(30)));
    assert_eq!((report.sweeps, report.summary.readings, report.summary.transitions), (721, 721, 0));
    // With `for`, the time before is asked for, too: in the same range.
    let (_, asked) = replay(json!({"thresholds": [threshold("10m")]}), 6 * 3600, |_| Some(3.0));
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].start, at(-600));
}

#[test]
fn breaches_flaps_and_alerts_are_the_engines() {
    // Too long from minute 10 to 20, again from 25 to 30, and after two hours.
    let busy = |time: i64| matches!(time / 60, 10..20 | 25..30 | 120..140);
    let (report, _) =
        replay(json!({"thresholds": [threshold("2m")]}), 3 * 3600, |time| Some(if busy(time) { 50.0 } else { 5.0 }));
    let found = &report.policies[0].thresholds[0];
    assert_eq!((found.breaches, found.flaps, found.transitions), (3, 1, 6));
    let whole = |seconds: f64| format!("{seconds:.0}");
    assert_eq!(whole(found.seconds["Breached"]), "1740");
    assert_eq!(whole(found.seconds["Pending"]), "360");
    assert_eq!(whole(report.summary.breached_seconds), "1740");
    let alerts: Vec<_> = report.alerts.iter().map(|alert| (alert.since.as_str(), alert.seconds)).collect();
    let time = |minutes: i64| watch::time(at(minutes * 60));
    assert_eq!(alerts, [(&*time(12), 480.0), (&*time(27), 180.0), (&*time(122), 1080.0)]);
    assert_eq!(found.alerts(&report.policies[0], &report.alerts), 3);
    assert_eq!(report.headline(), "no changes, no profile switches, 1 flap, 29m in breach, alerts fired 3 times");
    assert!(report.policies[0].told);
}

#[test]
fn what_is_missing_is_no_reading() {
    let hole = |time: i64| (!(3600..5400).contains(&time)).then_some(5.0);
    let (report, _) = replay(json!({"thresholds": [threshold("0s")]}), 7200, hole);
    let found = &report.policies[0].thresholds[0];
    let words: Vec<_> = found.verdicts.iter().map(|verdict| (verdict.state, verdict.reason)).collect();
    assert_eq!(words, [("Within", None), ("NoData", Some("NoData")), ("Within", None)]);
    assert_eq!((found.transitions, report.alerts.len()), (2, 1));
    assert_eq!(report.alerts[0].name, "TrimtabNoData");
    assert_eq!(report.watch.rows.values().next().unwrap().columns.iter().filter(|column| column.apart).count(), 1);
    let (report, _) = replay(json!({"thresholds": [threshold("0s")]}), 3600, |_| None);
    assert_eq!((report.summary.readings, report.policies[0].thresholds[0].readings), (0, 0));
    assert!(report.html().contains("There are no readings"));
}

#[test]
fn profiles_are_entered_and_left_by_the_engine() {
    let policy = json!({"thresholds": [threshold("0s")],
        "settings": [{"name": "batch", "type": "Integer", "value": 1}],
        "profiles": [{"name": "busy", "when": {"threshold": "queue", "enter": "40", "leave": "8", "dwell": "30m"},
            "set": {"settings.batch": 2}}]});
    let (report, _) = replay(policy, 7200, |time| Some(if (600..900).contains(&time) { 50.0 } else { 5.0 }));
    let profiles = &report.policies[0].profiles;
    assert_eq!(profiles.len(), 1);
    assert_eq!(profiles[0].since, watch::time(at(600)));
    let left = Instant::parse(profiles[0].until.as_ref().unwrap()).unwrap();
    assert!((at(2400)..=at(2431)).contains(&left), "the dwell is over after half an hour: {left}");
    assert_eq!(report.summary.switches, 2);
}

#[test]
fn texts_of_others_stay_texts() {
    let evil = "</script><img src=x onerror=alert(1)>";
    let mut threshold = threshold("0s");
    threshold["advice"] = evil.into();
    threshold["metric"]["query"] = evil.into();
    let policy = json!({"thresholds": [threshold], "alerting": {"labels": {"team": evil}}});
    let (mut report, _) = replay(policy, 1800, |_| Some(50.0));
    report.policies[0].name = evil.to_owned();
    report.policies[0].thresholds[0].name = evil.to_owned();
    report.policies[0].troubles.push(evil.to_owned());
    report.alerts[0].summary = evil.to_owned();
    let page = report.html();
    assert!(!page.contains("<img") && page.contains("&lt;img"), "{page}");
    // And it loads nothing.
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"), "{page}");
}

#[test]
fn a_history_answers_what_was_asked_and_nothing_else() {
    let mut history = History::default();
    history.add(course("q", (0, 60), 30, Ok(vec![series("a", &[(0, 1.0), (30, 2.0)]), series("b", &[(60, 9.0)])])));
    let read = |history: &History, seconds| {
        let answer = history.instant("default", "q", at(seconds))?.unwrap();
        Some(
            answer
                .iter()
                .map(|series| (series.labels.get("l").unwrap().to_owned(), series.points[0].1))
                .collect::<Vec<_>>(),
        )
    };
    let a = |value| ("a".to_owned(), value);
    assert_eq!(read(&history, 30), Some(vec![a(2.0)]));
    assert_eq!(read(&history, 60), Some(vec![("b".to_owned(), 9.0)]), "a series that has ended is none");
    assert_eq!(read(&history, 15), None, "nobody has asked for that moment");
    assert_eq!(read(&history, 90), None);
    assert_eq!(history.instant("other", "q", at(30)), None);
    history.add(course("q", (90, 120), 30, Ok(vec![series("a", &[(90, 3.0), (120, 4.0)])])));
    assert_eq!(history.courses().count(), 1, "what goes on is one");
    let range = history.range("default", "q", (at(30), at(120)), Span::seconds(30)).unwrap().unwrap();
    let points: Vec<f64> = range[0].points.iter().map(|(_, value)| *value).collect();
    assert_eq!(points, [2.0, 3.0, 4.0]);
    assert_eq!(history.range("default", "q", (at(0), at(150)), Span::seconds(30)), None);
    let refusal = Refusal { reason: Reason::QueryInvalid, message: "HTTP 400: bad_data".to_owned() };
    history.add(course("r", (0, 60), 30, Err(refusal.clone())));
    assert_eq!(history.instant("default", "r", at(30)), Some(Err(refusal)));
}

#[test]
fn a_recording_is_complete() {
    let mut recorded = course("q", (0, 600), 300, Ok(vec![series("a", &[(0, 1.0), (600, 3.0)])]));
    recorded.reach = Span::seconds(299);
    let history = History::recorded(vec![recorded]);
    let read = |seconds| {
        let answer = history.instant("default", "q", at(seconds)).unwrap().unwrap();
        answer.first().map(|series| series.points[0])
    };
    assert_eq!(read(0), Some((at(0).seconds(), 1.0)));
    assert_eq!(read(200), Some((at(200).seconds(), 1.0)), "of the time that it was asked for");
    assert_eq!(read(300), None, "evaluated, and nothing was there");
    assert_eq!(read(400), None);
    assert_eq!(read(700), Some((at(700).seconds(), 3.0)));
    assert_eq!(read(2000), None, "after its end nothing is known to be there");
    assert_eq!(history.instant("default", "other", at(0)), None);
}

#[test]
fn spans_are_told_in_two_units() {
    for (millis, text) in [
        (0, "0s"),
        (1, "1ms"),
        (30_000, "30s"),
        (7_500_000, "2h 5m"),
        (86_400_000, "1d"),
        (86_401_000, "1d"),
        (90_061_000, "1d 1h"),
    ] {
        assert_eq!(lasted(Span::millis(millis)), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn states_fill_the_whole_time(values in proptest::collection::vec(proptest::option::of(0.0_f64..20.0), 1..120)) {
        let last = i64::try_from(values.len()).unwrap() - 1;
        let of = |time: i64| usize::try_from(time / 30).ok().and_then(|index| values.get(index).copied().flatten());
        let (report, _) = replay(json!({"thresholds": [threshold("1m")]}), last * 30 + 1, of);
        let found = &report.policies[0].thresholds[0];
        let sum: f64 = found.seconds.values().sum();
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let length = (last * 30 + 1) as f64;
        prop_assert!((sum - length).abs() < 1e-6, "{sum} of {length}");
        prop_assert!(found.flaps <= found.breaches && found.breaches <= found.transitions + 1);
        prop_assert!(found.seconds.get("Breached").copied().unwrap_or_default() <= report.summary.breached_seconds + 1e-6);
        let page = report.html();
        prop_assert!(!page.contains("NaN") && !page.contains("inf,") && !page.contains(",inf"));
        prop_assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }
}
