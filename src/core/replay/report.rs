//! What a replay found, for programs; texts for people are made of the same.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    super::{
        facts::{Instant, Span},
        policy::thresholds::word,
    },
    course::Watched,
    html,
    watch::{Activity, Changed, Firing, RowKey, Watch, time},
};
use crate::api::names;

/// What would have happened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayReport {
    /// Group and version of this document.
    pub api_version: &'static str,
    /// `ReplayReport`.
    pub kind: &'static str,
    /// The first sweep.
    pub from: String,
    /// The end.
    pub to: String,
    /// Seconds between two sweeps; of several sources, the shortest.
    pub interval_seconds: f64,
    /// Sweeps.
    pub sweeps: u64,
    /// A breach that ends and comes back within so many seconds flaps.
    pub flap_seconds: f64,
    /// All of it in numbers.
    pub summary: Summary,
    /// Each policy.
    pub policies: Vec<PolicyPart>,
    /// Alerts, in the order in which they fired.
    pub alerts: Vec<AlertPart>,
    #[serde(skip)]
    pub(super) watch: Watch,
}

/// All of it in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Values that change because profiles are entered or left.
    pub changes: usize,
    /// Values that differ from those of the objects at the beginning.
    pub changes_at_first: usize,
    /// Profiles that were entered, or left.
    pub switches: usize,
    /// Changes of what people are told of thresholds.
    pub transitions: u64,
    /// Breaches that ended and came back within [`ReplayReport::flap_seconds`].
    pub flaps: u64,
    /// Seconds in which any threshold was breached.
    pub breached_seconds: f64,
    /// Alerts that fired.
    pub alerts: usize,
    /// Readings that were judged.
    pub readings: u64,
}

/// A policy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyPart {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Why it is not served.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
    /// Whether its alerts are told to anybody; without, the report says what would have been told.
    pub told: bool,
    /// Its thresholds and patterns.
    pub thresholds: Vec<ThresholdPart>,
    /// When profiles were active.
    pub profiles: Vec<ProfilePart>,
    /// Values that differ from those of the objects at the beginning.
    pub changes_at_first: Vec<ChangePart>,
    /// Values that changed.
    pub changes: Vec<ChangePart>,
}

/// A threshold on a target, or one value of its labels.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThresholdPart {
    /// Its name.
    pub name: String,
    /// The target; nothing where a reading is one for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The values of the labels that it keeps apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// Whether it is a pattern, which is advice and no obligation.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pattern: bool,
    /// Unit of its numbers.
    pub unit: &'static str,
    /// How many readings there were.
    pub readings: u64,
    /// The smallest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// The largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<f64>,
    /// Changes of what people are told.
    pub transitions: u64,
    /// Breaches that began.
    pub breaches: u64,
    /// Those that came back.
    pub flaps: u64,
    /// Seconds in each state, by its word.
    pub seconds: BTreeMap<&'static str, f64>,
    /// Seconds without data, by the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub no_data_seconds: BTreeMap<&'static str, f64>,
    /// One verdict after the other.
    pub verdicts: Vec<VerdictPart>,
}

/// A time with one verdict.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictPart {
    /// `Within`, `Pending`, `Breached`, `NoData`, `Unjudged`, or `Gone` for a value of labels that nothing answers any more.
    pub state: &'static str,
    /// Of what is pending or breached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<&'static str>,
    /// Why there is no data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// From when.
    pub since: String,
    /// Until when.
    pub until: String,
}

/// A profile from its beginning to its end.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfilePart {
    /// Its name.
    pub profile: String,
    /// Objects on which, where it is not on all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// Spec, Threshold or Schedule.
    pub by: String,
    /// What was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// When it was entered.
    pub since: String,
    /// When it was left, unless it is active at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// A value that changes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangePart {
    /// When.
    pub at: String,
    /// The target.
    pub target: String,
    /// Path in the policy.
    pub path: String,
    /// The value before; nothing where none was set.
    pub from: Option<String>,
    /// The value from then on.
    pub to: String,
    /// Profiles that are active from then on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
}

/// An alert from its beginning to its end.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertPart {
    /// Its name.
    pub name: String,
    /// Its severity.
    pub severity: String,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// What it says.
    pub summary: String,
    /// When it fired.
    pub since: String,
    /// When it was resolved, unless it fires at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How long that was, within the period.
    pub seconds: f64,
    /// What it is about, unless that is no threshold.
    #[serde(skip)]
    pub(super) row: Option<RowKey>,
}

impl ReplayReport {
    pub(super) fn of(watch: Watch) -> Self {
        let left = watch.activities.iter().filter(|activity| activity.until.is_some()).count();
        let obligations = || watch.rows.values().filter(|row| !row.is_pattern);
        let summary = Summary {
            changes: watch.changes.len(),
            changes_at_first: watch.first.len(),
            switches: watch.activities.len() + left,
            transitions: obligations().map(Watched::transitions).sum(),
            flaps: obligations().map(|row| row.flaps).sum(),
            breached_seconds: seconds(watch.breached),
            alerts: watch.firings.len(),
            readings: watch.rows.values().map(|row| row.readings).sum(),
        };
        Self {
            api_version: "trimtab.dev/v1alpha1",
            kind: "ReplayReport",
            from: time(watch.period.from),
            to: time(watch.period.to),
            interval_seconds: seconds(watch.interval),
            sweeps: watch.sweeps,
            flap_seconds: seconds(watch.flap),
            summary,
            policies: policies(&watch),
            alerts: watch.firings.iter().map(|firing| alert(firing, watch.period.to)).collect(),
            watch,
        }
    }

    /// The sum of it in one line.
    #[must_use]
    pub fn headline(&self) -> String {
        let Summary { changes, changes_at_first, switches, flaps, alerts, .. } = self.summary;
        let times = match alerts {
            0 => "no alert fired".to_owned(),
            1 => "an alert fired once".to_owned(),
            n => format!("alerts fired {n} times"),
        };
        let first = if changes_at_first == 0 { String::new() } else { format!(" and {changes_at_first} at first") };
        let breached = match self.watch.breached {
            Span::ZERO => "never in breach".to_owned(),
            breached => format!("{} in breach", lasted(breached)),
        };
        format!(
            "{}{first}, {}, {}, {breached}, {times}",
            count(changes, "change"),
            count(switches, "profile switch"),
            count(usize::try_from(flaps).unwrap_or(usize::MAX), "flap"),
        )
    }

    /// The whole report as one page for browsers, which loads nothing.
    #[must_use]
    pub fn html(&self) -> String {
        html::page(self)
    }
}

fn policies(watch: &Watch) -> Vec<PolicyPart> {
    let part = |subject: &super::watch::Subject| {
        let is_of = |key: &super::PolicyKey| *key == subject.key;
        let mut thresholds: Vec<ThresholdPart> = Vec::new();
        for threshold in &subject.thresholds {
            let rows = watch.rows.iter().filter(|((policy, name, ..), _)| is_of(policy) && *name == threshold.name);
            let before = thresholds.len();
            thresholds.extend(rows.map(|(key, row)| threshold_part(key, row, watch.period.to)));
            if thresholds.len() == before {
                // Nobody asked about it: it is told all the same.
                let row = Watched::new(threshold.unit.base(), threshold.pattern.is_some(), watch.period.from);
                let key = (subject.key.clone(), threshold.name.clone(), None, None);
                thresholds.push(threshold_part(&key, &row, watch.period.to));
            }
        }
        let changes = |all: &[Changed]| all.iter().filter(|one| is_of(&one.policy)).map(change).collect();
        let activities = watch.activities.iter().filter(|one| is_of(&one.policy));
        PolicyPart {
            namespace: subject.key.0.to_string(),
            name: subject.key.1.to_string(),
            troubles: subject.troubles.clone(),
            told: subject.told,
            thresholds,
            profiles: activities.map(profile).collect(),
            changes_at_first: changes(&watch.first),
            changes: changes(&watch.changes),
        }
    };
    watch.subjects.iter().map(part).collect()
}

fn threshold_part((_, name, target, series): &RowKey, row: &Watched, end: Instant) -> ThresholdPart {
    let (states, reasons) = row.times(end);
    let all =
        |times: BTreeMap<&'static str, Span>| times.into_iter().map(|(word, time)| (word, seconds(time))).collect();
    let figure = |value: f64| (row.readings > 0).then(|| short(value));
    ThresholdPart {
        name: name.to_string(),
        target: target.clone(),
        series: series.clone(),
        pattern: row.is_pattern,
        unit: row.unit.as_str(),
        readings: row.readings,
        least: figure(row.least),
        most: figure(row.most),
        transitions: row.transitions(),
        breaches: row.breaches,
        flaps: row.flaps,
        seconds: all(states),
        no_data_seconds: all(reasons),
        verdicts: row
            .spans(end)
            .map(|(spell, until)| VerdictPart {
                state: spell.state.word(),
                severity: spell.state.severity().map(word),
                reason: spell.state.reason().map(crate::api::conditions::Reason::as_str),
                since: time(spell.since),
                until: time(until),
            })
            .collect(),
    }
}

fn profile(activity: &Activity) -> ProfilePart {
    ProfilePart {
        profile: activity.profile.clone(),
        targets: activity.targets.clone(),
        by: activity.by.clone(),
        because: activity.because.clone(),
        since: time(activity.since),
        until: activity.until.map(time),
    }
}

fn change(changed: &Changed) -> ChangePart {
    ChangePart {
        at: time(changed.at),
        target: changed.target.clone(),
        path: changed.path.clone(),
        from: changed.from.clone(),
        to: changed.to.clone(),
        profiles: changed.profiles.clone(),
    }
}

fn alert(firing: &Firing, end: Instant) -> AlertPart {
    let label = |name: &str| firing.labels.get(name).cloned().unwrap_or_default();
    AlertPart {
        name: label("alertname"),
        severity: label("severity"),
        labels: firing.labels.clone(),
        summary: firing.summary.clone(),
        since: time(firing.since),
        until: firing.until.map(time),
        seconds: seconds(firing.until.unwrap_or(end).since(firing.since)),
        row: firing.row.clone(),
    }
}

impl ThresholdPart {
    /// The threshold, on what, and of which values of its labels.
    #[must_use]
    pub fn title(&self) -> String {
        let target = self.target.as_ref().map(|target| format!(" of {target}")).unwrap_or_default();
        let series = self.series.as_ref().map(|series| format!(" ({series})")).unwrap_or_default();
        format!("{}{series}{target}", self.name)
    }

    /// Time in a state, by its word.
    #[must_use]
    pub fn time(&self, word: &str) -> Span {
        self.seconds.get(word).map_or(Span::ZERO, |seconds| Span::millis(super::history::millis(*seconds)))
    }

    /// How often an alert about it fired.
    #[must_use]
    pub fn alerts(&self, policy: &PolicyPart, alerts: &[AlertPart]) -> usize {
        alerts.iter().filter(|alert| self.is_told_by(policy, alert)).count()
    }

    /// Whether an alert is about it.
    pub(super) fn is_told_by(&self, policy: &PolicyPart, alert: &AlertPart) -> bool {
        alert.row.as_ref().is_some_and(|((namespace, name), threshold, target, series)| {
            (&**namespace, &**name, &**threshold) == (&*policy.namespace, &*policy.name, &*self.name)
                && (target, series) == (&self.target, &self.series)
        })
    }
}

/// Whether an alert speaks of a breach, and not of what is missing.
pub(super) fn is_breach(alert: &AlertPart) -> bool {
    alert.name == names::ALERT_BREACHED
}

#[expect(clippy::cast_precision_loss, reason = "spans are at most years of milliseconds")]
fn seconds(span: Span) -> f64 {
    span.as_millis() as f64 / 1000.0
}

/// A reading of single precision without the digits that only its conversion added.
#[expect(clippy::cast_possible_truncation, reason = "readings that are kept have single precision")]
fn short(value: f64) -> f64 {
    (value as f32).to_string().parse().unwrap_or(value)
}

/// So many of something.
#[must_use]
pub fn count(number: usize, what: &str) -> String {
    let ending = if what.ends_with("ch") { "es" } else { "s" };
    match number {
        0 => format!("no {what}{ending}"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}{ending}"),
    }
}

/// A span in its two largest units: `2h 5m`.
#[must_use]
pub fn lasted(span: Span) -> String {
    let millis = span.as_millis().max(0);
    let parts = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let Some(first) = parts.iter().position(|(unit, _)| millis >= *unit) else { return "0s".to_owned() };
    let mut rest = millis;
    let mut words = Vec::new();
    for (unit, name) in parts.iter().skip(first).take(2) {
        if rest / unit > 0 {
            words.push(format!("{}{name}", rest / unit));
        }
        rest %= unit;
    }
    words.join(" ")
}
