//! An hour of a value that flips around its bound: one transition for each time that the hysteresis is crossed, and never one for
//! each sample.

use super::*;

const HOUR: i64 = 120;

/// Bound 10, and clear at 9.
fn flipping(hold: &str) -> Lab {
    let levels = json!([{"severity": "warning", "above": 10, "for": hold}]);
    let mut lab = Lab::with(queue(levels));
    lab.read("queue", 5.0);
    lab.run(30);
    lab
}

/// Reads a value at each of so many sweeps.
fn hour(lab: &mut Lab, sweeps: i64, value: impl Fn(i64) -> f64) {
    for sweep in 0..sweeps {
        lab.read("queue", value(sweep));
        lab.run(30);
    }
}

fn even(sweep: i64, value: f64, other: f64) -> f64 {
    if sweep % 2 == 0 { value } else { other }
}

/// How often people were told something, how many alerts began and how many ended.
fn said(lab: &Lab) -> (usize, usize, usize) {
    let mut begun = std::collections::BTreeSet::new();
    let mut ended = 0;
    for (at, alert) in &lab.sent {
        ended += usize::from(alert.ends_at <= *at);
        begun.insert((&alert.labels, alert.starts_at));
    }
    (lab.told.len(), begun.len(), ended)
}

#[test]
fn inside_of_the_hysteresis_a_breach_is_one() {
    let mut lab = flipping("0s");
    let (before, ..) = said(&lab);
    hour(&mut lab, HOUR, |sweep| even(sweep, 10.5, 9.5));
    assert_eq!(said(&lab), (before + 1, 1, 0), "120 samples, 60 of them beyond the bound, and one transition");
    hour(&mut lab, HOUR, |sweep| even(sweep, 5.0, 9.9));
    assert_eq!(said(&lab), (before + 2, 1, 1), "below the bound again: the other transition");
}

#[test]
fn around_the_clear_bound_a_breach_ends_once() {
    let mut lab = flipping("0s");
    hour(&mut lab, 4, |_| 20.0);
    let (before, ..) = said(&lab);
    hour(&mut lab, HOUR, |sweep| even(sweep, 9.1, 8.9));
    assert_eq!(said(&lab), (before + 1, 1, 1));
}

#[test]
fn a_bound_with_for_does_not_hear_what_does_not_last() {
    let mut lab = flipping("2m");
    let before = said(&lab);
    hour(&mut lab, HOUR, |sweep| even(sweep, 50.0, 9.5));
    assert_eq!(said(&lab), before, "pending again and again, and nobody is told");
    // Lasting it is a breach, and then it is held through the same noise.
    hour(&mut lab, 6, |_| 11.0);
    assert_eq!(said(&lab), (before.0 + 1, 1, 0));
    hour(&mut lab, HOUR, |sweep| even(sweep, 50.0, 9.5));
    assert_eq!(said(&lab), (before.0 + 1, 1, 0));
    hour(&mut lab, HOUR, |sweep| even(sweep, 9.1, 8.9));
    assert_eq!(said(&lab), (before.0 + 2, 1, 1));
}

#[test]
fn each_crossing_of_the_whole_hysteresis_counts_once() {
    let mut lab = flipping("0s");
    let (before, ..) = said(&lab);
    // Twelve minutes up and down, with noise as wide as half of the hysteresis.
    let wave = |sweep: i64| {
        let phase = f64::from(u8::try_from(sweep % 24).unwrap()) / 24.0 * std::f64::consts::TAU;
        7.0 + 5.0 * phase.sin() + even(sweep, 0.25, -0.25)
    };
    hour(&mut lab, HOUR, wave);
    assert_eq!(said(&lab), (before + 10, 5, 5), "five waves: five times up, five times down");
}

#[test]
fn every_value_of_a_label_has_a_hysteresis_of_its_own() {
    let thresholds = json!([{"name": "latency", "metric": {"gauge": "latency", "by": ["tier"]},
        "levels": [{"severity": "warning", "above": 10}]}]);
    let mut lab = Lab::with(thresholds);
    lab.tiers(&[("calm", 1.0), ("flips", 5.0), ("ends", 20.0)]);
    lab.run(30);
    let (before, ..) = said(&lab);
    for sweep in 0..HOUR {
        lab.tiers(&[("calm", 1.0), ("flips", even(sweep, 10.5, 9.5)), ("ends", even(sweep, 9.1, 8.9))]);
        lab.run(30);
    }
    let (told, begun, ended) = said(&lab);
    assert_eq!((begun, ended), (2, 1), "one began to flip, and one has ended");
    assert!((1..=2).contains(&(told - before)), "{told} of {before}: {:?}", lab.told);
    assert_eq!(lab.active(), ["TrimtabThresholdBreached warning"]);
}
