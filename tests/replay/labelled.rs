//! Series of the Numenta Anomaly Benchmark, in which people have labelled what is strange. Each is replayed under bounds that an
//! operator writes who knows the application and has not seen what is to come.

use std::fs;

use serde_json::{Value, json};

use super::{class, deployment, report, root, source, write};

/// A series and its policy.
struct Series {
    name: &'static str,
    /// Why these bounds.
    why: &'static str,
    levels: fn() -> Value,
    /// Where a profile is entered and left.
    profile: (&'static str, &'static str),
    /// Breaches outside of the labels.
    elsewhere: usize,
}

const SERIES: [Series; 7] = [
    Series {
        name: "art_daily_small_noise",
        why: "every day has a peak of 88: a third above that is too much",
        levels: || json!([{"severity": "warning", "above": "120"}]),
        profile: ("120", "90"),
        elsewhere: 0,
    },
    Series {
        name: "art_flatline",
        why: "it is always 45: a third up or down is not",
        levels: || json!([{"severity": "warning", "above": "60", "below": "30"}]),
        profile: ("60", "50"),
        elsewhere: 0,
    },
    Series {
        name: "art_noisy",
        why: "noise between 8 and 19: a third above that is more than noise",
        levels: || json!([{"severity": "warning", "above": "25"}]),
        profile: ("25", "20"),
        elsewhere: 0,
    },
    Series {
        name: "art_daily_jumpsup",
        why: "as art_daily_small_noise: the same day, and the same bound",
        levels: || json!([{"severity": "warning", "above": "120"}]),
        profile: ("120", "90"),
        elsewhere: 0,
    },
    Series {
        name: "ec2_request_latency_system_failure",
        why: "45 ms with a noise of 6: 10 up or down is a change of what answers",
        levels: || json!([{"severity": "warning", "above": "55", "below": "35"}]),
        profile: ("55", "50"),
        elsewhere: 0,
    },
    Series {
        name: "elb_request_count_8c0756",
        why: "capacity for 350 requests in five minutes",
        levels: || json!([{"severity": "warning", "above": "350"}]),
        profile: ("350", "250"),
        // One peak of 369 that nobody has labelled is above the capacity all the same.
        elsewhere: 1,
    },
    Series {
        name: "rds_cpu_utilization_cc0c53",
        why: "6% for a week: 10 is a change, and three times as much is trouble",
        levels: || json!([{"severity": "warning", "above": "10"}, {"severity": "critical", "above": "18"}]),
        profile: ("10", "8"),
        elsewhere: 0,
    },
];

fn replay(series: &Series) -> Value {
    let folder = tempfile::tempdir().expect("a directory");
    let policy = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"mode": "Enforce", "className": "default", "target": {"kind": "Deployment", "name": "web"},
            "settings": [{"name": "batch", "type": "Integer", "value": 100, "env": "BATCH"}],
            "thresholds": [{"name": "recorded", "metric": {"query": series.name, "unit": "count"}, "levels": (series.levels)()}],
            "profiles": [{"name": "busy", "when": {"threshold": "recorded", "enter": series.profile.0, "leave": series.profile.1},
                "set": {"settings.batch": 50}}]}});
    let manifests = folder.path().join("web.yaml");
    write(&manifests, &[policy, deployment("default"), class(), source("5m")]);
    let recorded = root().join(format!("tests/data/nab/{}.csv", series.name));
    report(&["-f", manifests.to_str().unwrap(), "--recorded", recorded.to_str().unwrap()])
}

fn time(text: &str) -> jiff::Timestamp {
    text.parse().expect("a time of the report")
}

/// A labelled window, as the benchmark writes it.
fn window(window: &Value) -> (jiff::Timestamp, jiff::Timestamp) {
    let at = |text: &Value| {
        let civil: jiff::civil::DateTime = text.as_str().unwrap().parse().expect("a time of the labels");
        civil.to_zoned(jiff::tz::TimeZone::UTC).expect("UTC").timestamp()
    };
    (at(&window[0]), at(&window[1]))
}

#[test]
fn labelled_windows_are_found_and_nothing_else_is_said() {
    let labels = fs::read_to_string(root().join("tests/data/nab/anomaly_windows.json")).unwrap();
    let labels: Value = serde_json::from_str(&labels).unwrap();
    for series in &SERIES {
        let report = replay(series);
        let threshold = &report["policies"][0]["thresholds"][0];
        // Some of the series have holes.
        assert!(threshold["readings"].as_u64().unwrap() >= 4000, "{}: {}", series.name, threshold["readings"]);
        let all = threshold["verdicts"].as_array().unwrap();
        let breaches: Vec<(&Value, jiff::Timestamp)> = all
            .iter()
            .filter(|verdict| verdict["state"] == "Breached")
            .map(|verdict| (verdict, time(verdict["since"].as_str().unwrap())))
            .collect();
        let windows: Vec<_> = labels[format!("{}.csv", series.name)].as_array().unwrap().iter().map(window).collect();
        println!("{} ({})", series.name, series.why);
        if windows.is_empty() {
            assert_eq!(report["alerts"], json!([]), "{}", series.name);
            assert_eq!(report["policies"][0]["profiles"], json!([]), "{}", series.name);
            assert_eq!(report["summary"]["transitions"], 0, "{}", series.name);
            println!("  silent, as it should be");
        }
        for (start, end) in &windows {
            let found = breaches.iter().find(|(_, since)| start <= since && since <= end);
            let (breach, since) = found.unwrap_or_else(|| panic!("{}: {start} is not found", series.name));
            let minutes = since.duration_since(*start).as_mins();
            println!(
                "  {start}: {} after {} h {} min",
                breach["severity"].as_str().unwrap(),
                minutes / 60,
                minutes % 60
            );
            let alerted = report["alerts"].as_array().unwrap().iter().any(|alert| alert["since"] == breach["since"]);
            assert!(alerted, "{}: nobody is told of {breach}", series.name);
        }
        let elsewhere =
            breaches.iter().filter(|(_, since)| !windows.iter().any(|(start, end)| start <= since && since <= end));
        // What began in a window and goes on after it is one breach, whatever its severity does.
        let elsewhere = elsewhere.filter(|(breach, _)| breach["severity"] == "warning").collect::<Vec<_>>();
        let fresh = elsewhere.iter().filter(|(breach, _)| {
            let at = all.iter().position(|verdict| verdict == *breach).unwrap();
            at.checked_sub(1).is_none_or(|before| all[before]["state"] != "Breached")
        });
        let fresh: Vec<_> = fresh.collect();
        assert_eq!(fresh.len(), series.elsewhere, "{}: {fresh:?}", series.name);
        if series.elsewhere > 0 {
            println!("  and {} elsewhere", series.elsewhere);
        }
    }
}
