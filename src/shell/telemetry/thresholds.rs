//! Live readings of thresholds. They are here and not in a status, so that a settled policy is never written.

use super::Reading;
use crate::{
    api::policy::PatternKind,
    core::{
        engine::sweep,
        evaluate::Verdict,
        facts::ObjectKey,
        policy::PolicyKey,
        policy::thresholds::{Level, word},
    },
};

/// The metrics of one threshold on one target.
#[must_use]
pub fn readings(threshold: &sweep::Reading<'_>) -> Vec<Reading> {
    if let Some(kind) = threshold.pattern {
        return pattern(threshold, kind);
    }
    let (namespace, policy) = threshold.policy;
    let (kind, target) = threshold.target.map_or(("", ""), |target| (target.kind.as_str(), &*target.name));
    let labels = |more: &[(&'static str, &str)]| {
        let who = [
            ("namespace", &**namespace),
            ("policy", &**policy),
            ("threshold", threshold.threshold),
            ("target_kind", kind),
            ("target", target),
            // Empty, which is as good as absent, unless the threshold keeps labels apart.
            ("series", threshold.series.as_deref().unwrap_or_default()),
        ];
        who.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    let mut found = vec![Reading {
        name: "trimtab_threshold_state",
        help: "Always 1; the label state is Unjudged, Within, Pending, Breached or NoData.",
        labels: labels(&[("state", state(&threshold.verdict))]),
        value: 1.0,
    }];
    if let Some(value) = threshold.value {
        found.push(Reading {
            name: "trimtab_threshold_value",
            help: "Latest reading of a threshold, in base units (seconds, bytes, ratio, per second, bytes per second). Missing without data.",
            labels: labels(&[]),
            value,
        });
    }
    for Level { severity, above, below, hold: _ } in threshold.levels {
        for (side, limit) in [("above", above), ("below", below)] {
            if let Some(limit) = limit {
                found.push(Reading {
                    name: "trimtab_threshold_bound",
                    help: "Bound of a threshold, in base units. It is breached strictly above or below, as the label side says.",
                    labels: labels(&[("severity", word(*severity)), ("side", side)]),
                    value: limit.bound.as_f64(),
                });
                found.push(Reading {
                    name: "trimtab_threshold_clear",
                    help: "Where a breach of a threshold ends, in base units: its bound less hysteresis.",
                    labels: labels(&[("severity", word(*severity)), ("side", side)]),
                    value: limit.clear.as_f64(),
                });
            }
        }
    }
    found
}

/// Whether pods run with a value: policy, target and path of one that is read back.
#[must_use]
pub fn proof((policy, target, setting, is_effective): (&PolicyKey, &ObjectKey, &str, bool)) -> Reading {
    let labels = [
        ("namespace", &*policy.0),
        ("policy", &*policy.1),
        ("setting", setting),
        ("target_kind", target.kind.as_str()),
        ("target", &*target.name),
    ];
    Reading {
        name: "trimtab_setting_effective",
        help: "1 where every pod runs with the value that is in place, else 0. Missing where nobody can tell.",
        labels: labels.map(|(name, value)| (name, value.to_owned())).into(),
        value: f64::from(u8::from(is_effective)),
    }
}

/// The metrics of one pattern on one target.
fn pattern(pattern: &sweep::Reading<'_>, kind: PatternKind) -> Vec<Reading> {
    let (namespace, policy) = pattern.policy;
    let (target_kind, target) = pattern.target.map_or(("", ""), |target| (target.kind.as_str(), &*target.name));
    let who = [
        ("namespace", &**namespace),
        ("policy", &**policy),
        ("pattern", pattern.threshold),
        ("kind", kind.as_str()),
        ("target_kind", target_kind),
        ("target", target),
        ("series", pattern.series.as_deref().unwrap_or_default()),
    ];
    let labels: Vec<_> = who.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let found = matches!(pattern.verdict, Verdict::Breached(_));
    let mut readings = vec![Reading {
        name: "trimtab_pattern_found",
        help: "1 where a pattern is found and its advice given, else 0.",
        labels: labels.clone(),
        value: f64::from(u8::from(found)),
    }];
    if let Some(value) = pattern.value {
        readings.push(Reading {
            name: "trimtab_pattern_value",
            help: "What a pattern is judged by: seconds, a ratio, or a number of tries without exception. Missing without data.",
            labels,
            value,
        });
    }
    readings
}

const fn state(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Unjudged => "Unjudged",
        Verdict::Within => "Within",
        Verdict::Pending { .. } => "Pending",
        Verdict::Breached(_) => "Breached",
        Verdict::NoData(_) => "NoData",
    }
}
