#![expect(clippy::needless_pass_by_value, reason = "JSON reads best where it is made")]

use proptest::{collection::vec, prelude::*};
use serde_json::json;

use super::*;
use crate::{api::PerformancePolicySpec, core::policy::Threshold};

const INTERVAL: Span = Span::seconds(30);
const CONTINUITY: Span = Span::seconds(60);
const START: Instant = Instant::from_millis(1_700_000_000_000);

fn threshold(levels: &serde_json::Value) -> Threshold {
    let spec: PerformancePolicySpec =
        serde_json::from_value(json!({"thresholds": [{"name": "t", "metric": {"gauge": "queue"}, "levels": levels}]}))
            .unwrap();
    crate::core::policy::thresholds::parse(&spec).unwrap()[0].clone()
}

fn levels(levels: serde_json::Value) -> Vec<Level> {
    threshold(&levels).levels
}

/// Of a share.
fn levels_of_share(levels: serde_json::Value) -> Vec<Level> {
    let metric = json!({"gauge": "share_ratio"});
    let spec = json!({"thresholds": [{"name": "t", "metric": metric, "levels": levels}]});
    let spec: PerformancePolicySpec = serde_json::from_value(spec).unwrap();
    crate::core::policy::thresholds::parse(&spec).unwrap()[0].levels.clone()
}

fn at(sweep: i64) -> Instant {
    START + INTERVAL.times(sweep)
}

/// A word per reading: what the verdict is after each.
fn words(levels: &[Level], readings: &[Option<f64>]) -> Vec<String> {
    let mut track = Track::default();
    let mut words = Vec::new();
    for (sweep, reading) in readings.iter().enumerate() {
        let reading = reading.ok_or(Missing::new(Reason::NoData));
        track.judge(levels, at(i64::try_from(sweep).unwrap()), reading, CONTINUITY);
        words.push(match track.verdict(levels) {
            Verdict::Unjudged => "unjudged".to_owned(),
            Verdict::Within => "within".to_owned(),
            Verdict::Pending { severity, .. } => format!("pending {severity:?}"),
            Verdict::Breached(breach) => format!("{:?} {:?}", breach.severity, breach.side),
            Verdict::NoData(gap) => gap.missing.why.to_string(),
        });
    }
    words
}

#[test]
fn bounds_are_strict_and_a_breach_ends_at_its_clear_bound() {
    let levels = levels(json!([{"severity": "warning", "above": 100}]));
    let readings = [100.0, 100.1, 99.0, 90.1, 90.0, 95.0].map(Some);
    assert_eq!(
        words(&levels, &readings),
        ["within", "Warning Above", "Warning Above", "Warning Above", "within", "within"]
    );
}

#[test]
fn each_level_has_a_memory_of_its_own_and_the_worst_wins() {
    let levels =
        levels(json!([{"severity": "warning", "above": 100, "for": "1m"}, {"severity": "critical", "above": 200}]));
    let readings = [150.0, 250.0, 250.0, 150.0, 80.0].map(Some);
    assert_eq!(
        words(&levels, &readings),
        ["pending Warning", "Critical Above", "Critical Above", "Warning Above", "within"]
    );
}

#[test]
fn a_breach_says_when_it_began_to_count_and_what_was_read_then() {
    let levels = levels(json!([{"severity": "warning", "below": 10, "for": "1m"}]));
    let mut track = Track::default();
    for (sweep, value) in [(0, 9.0), (1, 8.0), (2, 7.0), (3, 6.0)] {
        track.judge(&levels, at(sweep), Ok(value), CONTINUITY);
    }
    let breach = track.breach(&levels).unwrap();
    assert_eq!((breach.since, breach.side, breach.bound.to_string()), (at(2), Side::Below, "10".to_owned()));
    assert!((breach.value - 7.0).abs() < 1e-6 && (track.value().unwrap() - 6.0).abs() < 1e-6);
}

#[test]
fn both_sides_of_a_band_are_breaches() {
    let levels = levels(json!([{"severity": "info", "below": 10, "above": 100}]));
    let readings = [50.0, 101.0, 95.0, 5.0, 10.5, 11.0].map(Some);
    assert_eq!(words(&levels, &readings), ["within", "Info Above", "Info Above", "Info Below", "Info Below", "within"]);
}

#[test]
fn one_lost_reading_says_nothing_and_two_are_no_data() {
    let levels = levels(json!([{"severity": "warning", "above": 100}]));
    let readings = [Some(50.0), None, Some(50.0), None, None, Some(150.0), None, None, Some(95.0)];
    assert_eq!(
        words(&levels, &readings),
        ["within", "within", "within", "within", "NoData", "Warning Above", "Warning Above", "NoData", "Warning Above"]
    );
    assert_eq!(words(&levels, &[None]), ["NoData"]);
}

#[test]
fn what_was_breached_is_held_without_data() {
    let levels = levels(json!([{"severity": "warning", "above": 100}]));
    let mut track = Track::default();
    track.judge(&levels, at(0), Ok(150.0), CONTINUITY);
    for sweep in 1..10 {
        track.judge(&levels, at(sweep), Err(Missing { why: Reason::AmbiguousResult, series: 2 }), CONTINUITY);
    }
    assert!(matches!(track.verdict(&levels), Verdict::NoData(gap) if gap.since == at(1) && gap.missing.series == 2));
    assert_eq!(track.breach(&levels).map(|breach| breach.since), Some(at(0)));
    assert_eq!(track.value(), None);
}

#[test]
fn a_long_gap_begins_for_anew_and_a_short_one_does_not() {
    let levels = levels(json!([{"severity": "warning", "above": 100, "for": "90s"}]));
    let over = Some(150.0);
    assert_eq!(words(&levels, &[over, None, over, over])[3], "Warning Above");
    assert_eq!(words(&levels, &[over, None, None, over, over, over])[5], "pending Warning");
}

#[test]
fn a_reading_never_counts_twice_and_a_clock_that_goes_back_is_harmless() {
    let levels = levels(json!([{"severity": "warning", "above": 100, "for": "1m"}]));
    let mut track = Track::default();
    track.judge(&levels, at(10), Ok(150.0), CONTINUITY);
    let once = track;
    for sweep in [10, 9, 8] {
        track.judge(&levels, at(sweep), Ok(50.0), CONTINUITY);
        assert_eq!(track, once);
    }
    // An hour back: it goes on from there, and nothing is breached early.
    for (sweep, word) in [(-110, false), (-109, false), (-108, true)] {
        track.judge(&levels, at(sweep), Ok(150.0), CONTINUITY);
        assert_eq!(track.breach(&levels).is_some(), word, "{sweep}");
    }
}

#[test]
fn a_restart_remembers_how_long_a_bound_was_crossed() {
    let levels = levels(json!([{"severity": "warning", "above": 100, "for": "3m"}]));
    let past = |crossed: &[i64]| -> Vec<_> {
        (0..10).map(|sweep| (at(sweep), if crossed.contains(&sweep) { 150.0 } else { 50.0 })).collect()
    };
    let verdict = |past: &[(Instant, f64)], value: f64| {
        let mut track = Track::default();
        track.rebuild(&levels, at(10), past, CONTINUITY);
        assert_eq!(track.breach(&levels), None, "the past alone breaches nothing");
        track.judge(&levels, at(10), Ok(value), CONTINUITY);
        track.verdict(&levels)
    };
    assert!(
        matches!(verdict(&past(&[2, 3, 4, 5, 6, 7, 8, 9]), 150.0), Verdict::Breached(breach) if breach.since == at(10))
    );
    assert!(matches!(verdict(&past(&[2, 3, 5, 6, 7, 8, 9]), 150.0), Verdict::Pending { since, .. } if since == at(5)));
    assert_eq!(verdict(&past(&[4, 5, 6, 7, 8, 9]), 50.0), Verdict::Within);
    // The order of the points does not matter, and what is not a number is a gap.
    let mut shuffled = past(&[4, 5, 6, 7, 8, 9]);
    shuffled.reverse();
    assert!(matches!(verdict(&shuffled, 150.0), Verdict::Breached(_)));
    let mut holes = past(&[4, 5, 6, 7, 8, 9]);
    (holes[6].1, holes[7].1) = (f64::NAN, f64::NAN);
    assert!(matches!(verdict(&holes, 150.0), Verdict::Pending { since, .. } if since == at(8)));
    assert!(
        matches!(verdict(&past(&[1, 2, 3, 4, 5, 6])[..7], 150.0), Verdict::Pending { since, .. } if since == at(10))
    );
}

#[test]
fn a_recalled_breach_holds_inside_the_hysteresis_only() {
    let levels = levels(json!([{"severity": "warning", "above": 100, "for": "1m"}]));
    for (value, since) in [(150.0, Some(at(-5))), (95.0, Some(at(-5))), (80.0, None)] {
        let mut track = Track::default();
        track.recall(&levels, Severity::Warning, at(-5), 120.0);
        assert_eq!(track.verdict(&levels), Verdict::Unjudged);
        track.judge(&levels, at(0), Ok(value), CONTINUITY);
        assert_eq!(track.breach(&levels).map(|breach| breach.since), since, "{value}");
    }
    let mut track = Track::default();
    track.recall(&levels, Severity::Critical, at(-5), 120.0);
    assert_eq!(track, Track::default());
}

#[test]
fn a_share_of_few_events_begins_nothing_and_ends_what_it_ends() {
    let levels = levels_of_share(json!([{"severity": "warning", "above": "5%", "for": "30s"}]));
    let judge = |track: &mut Track, sweep: i64, share: f64, tries: f64| {
        track.judge_shown(&levels, at(sweep), Ok(Shown::of(share, Some(tries))), CONTINUITY);
        track.verdict(&levels)
    };
    let mut track = Track::default();
    // Two of twenty are 10 %, and as likely 4 %: nothing is known, and nothing begins.
    assert_eq!(judge(&mut track, 0, 0.1, 20.0), Verdict::Within);
    assert_eq!(judge(&mut track, 1, 0.1, 20.0), Verdict::Within);
    // Of a thousand it is certain.
    assert!(matches!(judge(&mut track, 2, 0.1, 1000.0), Verdict::Pending { .. }));
    let Verdict::Breached(breach) = judge(&mut track, 3, 0.1, 1000.0) else { panic!("not breached") };
    assert!((breach.tries - 1000.0).abs() < 0.5, "{}", breach.tries);
    // Uncertain again: the state stays as it is, until the reading itself is well inside.
    assert_eq!(judge(&mut track, 4, 0.06, 20.0), Verdict::Breached(breach));
    assert_eq!(judge(&mut track, 5, 0.0, 20.0), Verdict::Within);
    let shown = track.shown().unwrap();
    assert!(shown.least < 1e-6 && (0.1..0.2).contains(&shown.most), "{shown:?}");
}

#[test]
fn a_success_rate_is_breached_by_what_it_is_at_most() {
    let levels = levels_of_share(json!([{"severity": "critical", "below": "95%"}]));
    let verdict = |share: f64, tries: f64| {
        let mut track = Track::default();
        track.judge_shown(&levels, at(0), Ok(Shown::of(share, Some(tries))), CONTINUITY);
        matches!(track.verdict(&levels), Verdict::Breached(_))
    };
    assert!(!verdict(0.9, 20.0) && verdict(0.9, 200.0));
    // What is no share of what was counted speaks for itself.
    let retries = levels_of_share(json!([{"severity": "critical", "above": "150%"}]));
    let mut track = Track::default();
    track.judge_shown(&retries, at(0), Ok(Shown::of(1.6, Some(20.0))), CONTINUITY);
    assert!(matches!(track.verdict(&retries), Verdict::Breached(_)));
}

#[test]
fn numbers_of_observations_survive_two_bytes_and_a_restart() {
    for tries in (1..2000).map(f64::from).chain([1e5, 1e9, 1e15]) {
        let kept = Tries::of(tries).get();
        assert!((kept - tries).abs() <= tries * 4e-4 + 0.5, "{tries}: {kept}");
        assert_eq!(Tries::of(kept).get().to_bits(), kept.to_bits(), "read back from a status it is the same");
    }
    assert_eq!((Tries::of(0.0).get(), Tries::of(f64::NAN).get()), (0.0, 0.0));
}

#[test]
fn a_track_stays_small() {
    assert!(size_of::<Track>() <= 64, "{}", size_of::<Track>());
}

/// Seconds since the last reading, and the reading.
fn readings() -> impl Strategy<Value = Vec<(i64, Option<f64>)>> {
    let value = prop_oneof![3 => Just(150.0), 1 => Just(95.0), 1 => Just(50.0), 1 => -10.0..300.0_f64];
    vec((prop_oneof![4 => Just(30), 1 => 1..200_i64], prop::option::weighted(0.8, value)), 0..60)
}

proptest! {
    #[test]
    fn a_breach_has_continuous_evidence(readings in readings(), hold in 0..300_i64) {
        let levels = levels(json!([{"severity": "warning", "above": 100, "for": format!("{hold}s")}]));
        let (mut track, mut now, mut history) = (Track::default(), START, Vec::new());
        for (elapsed, reading) in readings {
            now = now + Span::seconds(elapsed);
            track.judge(&levels, now, reading.ok_or(Missing::new(Reason::NoData)), CONTINUITY);
            history.extend(reading.map(|value| (now, value)));
            // The oldest reading from which on all crossed the bound without a long gap.
            let mut from = now;
            for (time, value) in history.iter().rev() {
                if *value <= 100.0 || from.since(*time) > CONTINUITY { break; }
                from = *time;
            }
            match track.breach(&levels) {
                Some(breach) if breach.since == now => prop_assert!(now.since(from) >= Span::seconds(hold)),
                _ => {}
            }
            if let (None, Some(value)) = (track.breach(&levels), reading) {
                prop_assert!(value <= 100.0 || now.since(from) < Span::seconds(hold), "late: {value} since {from}");
            }
            if reading.is_some_and(|value| value <= 90.0) {
                prop_assert_eq!(track.verdict(&levels), Verdict::Within);
            }
        }
    }

    #[test]
    fn no_reading_panics(bounds in any::<(u32, u32)>(), readings in vec((any::<i64>(), any::<f64>(), any::<bool>()), 0..20)) {
        let (below, above) = (i64::from(bounds.0.min(bounds.1)), i64::from(bounds.0.max(bounds.1)) + 1);
        let levels = levels(json!([{"severity": "warning", "below": below, "above": above, "for": "1m"}, {"severity": "critical", "above": above}]));
        let mut track = Track::default();
        let past: Vec<_> = readings.iter().map(|(at, value, _)| (Instant::from_millis(*at), *value)).collect();
        track.rebuild(&levels, START, &past, CONTINUITY);
        for (at, value, missing) in readings {
            let reading = if missing { Err(Missing::new(Reason::NoData)) } else { Ok(value) };
            track.judge(&levels, Instant::from_millis(at), reading, CONTINUITY);
            let _ = (track.verdict(&levels), track.announced());
            if let Some(breach) = track.breach(&levels) {
                prop_assert!(breach.value.is_finite());
            }
        }
    }

    #[test]
    fn every_breach_can_end(below in 0..1000_i64, width in 1..1000_i64, values in vec(0.0..3000.0_f64, 1..20)) {
        let levels = levels(json!([{"severity": "warning", "below": below, "above": below + width}]));
        let mut track = Track::default();
        let (mut now, values) = (START, values.into_iter().map(Some));
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        for value in values.chain([Some(below as f64 + width as f64 / 2.0)]).flatten() {
            now = now + INTERVAL;
            track.judge(&levels, now, Ok(value), CONTINUITY);
        }
        prop_assert_eq!(track.verdict(&levels), Verdict::Within);
    }
}
