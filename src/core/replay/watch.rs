//! What the engine did, as it is seen from outside: readings, alerts, active profiles, and values that follow from them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{
        engine::{
            Account, Alert, World,
            sweep::{self, Reading},
        },
        facts::{Instant, Span},
        plan::State as SettingState,
        policy::{PolicyKey, Threshold},
        report,
        units::BaseUnit,
    },
    Period,
    course::{State, Watched},
    report::ReplayReport,
};
use crate::api::names;

/// A breach that ends and comes back within this is one that flaps, if that is longer than [`FLAP_SWEEPS`].
const FLAP: Span = Span::minutes(15);
/// The same in sweeps.
const FLAP_SWEEPS: i64 = 5;

/// Of what: policy, threshold, target, and the values of labels that are kept apart.
pub type RowKey = (PolicyKey, Box<str>, Option<String>, Option<String>);

/// An alert from its beginning to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Firing {
    pub labels: BTreeMap<String, String>,
    /// What it is about, unless that is no threshold.
    pub row: Option<RowKey>,
    pub summary: String,
    /// When it was sent.
    pub since: Instant,
    pub until: Option<Instant>,
}

/// A profile from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    pub policy: PolicyKey,
    pub profile: String,
    /// Objects on which, where it is not on all.
    pub targets: Vec<String>,
    pub by: String,
    pub because: Option<String>,
    pub since: Instant,
    pub until: Option<Instant>,
}

/// A value that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub policy: PolicyKey,
    pub target: String,
    pub path: String,
    pub from: Option<String>,
    pub to: String,
    pub at: Instant,
    /// Profiles that are active from then on.
    pub profiles: Vec<String>,
}

/// A policy at the beginning.
#[derive(Clone, Debug)]
pub struct Subject {
    pub key: PolicyKey,
    pub troubles: Vec<String>,
    /// Whether anybody is told of breaches.
    pub told: bool,
    pub thresholds: Vec<Threshold>,
}

/// What was seen.
#[derive(Debug)]
pub struct Watch {
    pub period: Period,
    pub interval: Span,
    pub flap: Span,
    pub sweeps: u64,
    pub subjects: Vec<Subject>,
    pub rows: BTreeMap<RowKey, Watched>,
    pub firings: Vec<Firing>,
    pub activities: Vec<Activity>,
    pub changes: Vec<Changed>,
    /// Values that differ from those of the objects at the beginning.
    pub first: Vec<Changed>,
    /// Time in which anything was breached.
    pub breached: Span,
    mine: BTreeSet<PolicyKey>,
    values: BTreeMap<(PolicyKey, String, String), String>,
    /// The last sweep, and whether anything was breached then.
    last: Option<(Instant, bool)>,
}

impl Watch {
    pub fn new(world: &World, period: Period, interval: Span, mine: BTreeSet<PolicyKey>) -> Self {
        let mut watch = Self {
            period,
            interval,
            flap: FLAP.max(interval.times(FLAP_SWEEPS)),
            sweeps: 0,
            subjects: Vec::new(),
            rows: BTreeMap::new(),
            firings: Vec::new(),
            activities: Vec::new(),
            changes: Vec::new(),
            first: Vec::new(),
            breached: Span::ZERO,
            mine,
            values: BTreeMap::new(),
            last: None,
        };
        for account in world.accounts(period.from) {
            if !watch.mine.contains(&account.key) {
                continue;
            }
            let troubles = account.troubles.iter().map(|(reason, message)| format!("{reason}: {message}")).collect();
            let policy = account.policy.as_ref();
            let thresholds =
                policy.map(|policy| policy.thresholds.iter().chain(policy.patterns.iter()).cloned().collect());
            watch.subjects.push(Subject {
                key: account.key.clone(),
                troubles,
                told: account.told,
                thresholds: thresholds.unwrap_or_default(),
            });
            watch.settings(&account, period.from, true);
        }
        watch
    }

    /// Takes what the engine says at a sweep.
    pub fn sample(&mut self, world: &World, at: Instant) {
        self.sweeps += 1;
        if let Some((last, true)) = self.last {
            self.breached = self.breached + at.since(last);
        }
        let mut any = false;
        for reading in world.readings().filter(|reading| self.mine.contains(reading.policy)) {
            let target = reading.target.map(super::super::facts::ObjectKey::short);
            let key = (reading.policy.clone(), reading.threshold.into(), target, reading.series.clone());
            let (period, flap) = (self.period, self.flap);
            let subjects = &self.subjects;
            let row = self
                .rows
                .entry(key)
                .or_insert_with(|| Watched::new(unit(subjects, &reading), reading.pattern.is_some(), at));
            row.take(&reading, at, period, flap);
            let state = row.spells.last().map(|spell| spell.state);
            any |= matches!(state, Some(State::Breached(_))) && !row.is_pattern;
        }
        for row in self.rows.values_mut().filter(|row| row.seen != at) {
            row.lose(at);
        }
        self.last = Some((at, any));
    }

    /// Takes alerts as an Alertmanager does: what ends now is over.
    pub fn alerts(&mut self, _source: &str, alerts: &[Alert], now: Instant) {
        let alerts: Vec<_> =
            alerts.iter().filter(|alert| self.concerns(alert)).map(|one| (one, self.row(one))).collect();
        for (alert, row) in alerts {
            let open =
                self.firings.iter_mut().rev().find(|firing| firing.until.is_none() && firing.labels == alert.labels);
            match (open, alert.ends_at <= now) {
                (Some(firing), true) => firing.until = Some(now),
                (None, false) => self.firings.push(Firing {
                    labels: alert.labels.clone(),
                    row,
                    summary: alert.annotations.get("summary").cloned().unwrap_or_default(),
                    since: now,
                    until: None,
                }),
                (Some(_), false) | (None, true) => {}
            }
        }
    }

    /// Whether an alert is about one of the policies, or about what all of them have.
    fn concerns(&self, alert: &Alert) -> bool {
        let label = |name: &str| alert.labels.get(name).map(|value| Box::<str>::from(value.as_str()));
        match (label("namespace"), label("policy")) {
            (Some(namespace), Some(policy)) => self.mine.contains(&(namespace, policy)),
            _ => alert.labels.get("alertname").is_none_or(|name| name != names::ALERT_BUDGET),
        }
    }

    /// What an alert is about, by its labels.
    fn row(&self, alert: &Alert) -> Option<RowKey> {
        let label = |name: &str| alert.labels.get(name).map(String::as_str);
        let key: PolicyKey = (label("namespace")?.into(), label("policy")?.into());
        let subject = self.subjects.iter().find(|subject| subject.key == key)?;
        let name = label("threshold")?;
        let threshold = subject.thresholds.iter().find(|threshold| *threshold.name == *name)?;
        let target = label("target_kind").zip(label("target")).map(|(kind, name)| format!("{kind}/{name}"));
        let by = threshold.metric.by();
        // An empty value is sent as no label. One that speaks of no value at all is about all of them.
        let is_apart = by.iter().any(|name| label(name).is_some());
        let group = by.iter().map(|name| label(name).unwrap_or_default().into()).collect();
        Some((key, name.into(), target, is_apart.then(|| sweep::spelled(by, &group))))
    }

    /// Takes the profiles that are active now.
    pub fn switched(&mut self, world: &World, now: Instant) {
        let active: Vec<Activity> = world
            .active_profiles()
            .filter(|(key, ..)| self.mine.contains(*key))
            .map(|(key, active, because)| Activity {
                policy: key.clone(),
                profile: active.name.clone(),
                targets: active.targets.clone(),
                by: active.by.as_str().to_owned(),
                because: because.map(str::to_owned),
                since: now,
                until: None,
            })
            .collect();
        let same = |one: &Activity, other: &Activity| {
            (&one.policy, &one.profile, &one.targets) == (&other.policy, &other.profile, &other.targets)
        };
        let mut moved: BTreeSet<PolicyKey> = BTreeSet::new();
        for before in self.activities.iter_mut().filter(|before| before.until.is_none()) {
            if !active.iter().any(|now| same(now, before)) {
                before.until = Some(now);
                moved.insert(before.policy.clone());
            }
        }
        for new in active {
            if !self.activities.iter().any(|before| before.until.is_none() && same(before, &new)) {
                moved.insert(new.policy.clone());
                self.activities.push(new);
            }
        }
        if moved.is_empty() {
            return;
        }
        for account in world.accounts(now).iter().filter(|account| moved.contains(&account.key)) {
            self.settings(account, now, false);
        }
    }

    /// Takes the values that a policy wants now.
    fn settings(&mut self, account: &Account, now: Instant, at_first: bool) {
        for target in &account.targets {
            let wanted = target.plan.settings.iter();
            for setting in wanted.filter(|one| matches!(one.state, SettingState::Planned | SettingState::AtRest)) {
                let place = (account.key.clone(), target.key.short(), setting.path.to_string());
                let before = self.values.insert(place, setting.desired.clone());
                let (news, from) = if at_first {
                    (setting.state == SettingState::Planned, setting.live.clone())
                } else {
                    (before.as_ref() != Some(&setting.desired), before.or_else(|| setting.live.clone()))
                };
                if news {
                    let list = if at_first { &mut self.first } else { &mut self.changes };
                    list.push(Changed {
                        policy: account.key.clone(),
                        target: target.key.short(),
                        path: setting.path.to_string(),
                        from,
                        to: setting.desired.clone(),
                        at: now,
                        profiles: target.profiles.iter().map(ToString::to_string).collect(),
                    });
                }
            }
        }
    }

    /// What there is to say.
    pub fn report(mut self) -> ReplayReport {
        if let Some((last, true)) = self.last {
            self.breached = self.breached + self.period.to.since(last);
        }
        // A threshold whose labels are kept apart is told by their values, once there are some.
        let told: BTreeSet<_> = self
            .rows
            .keys()
            .filter(|key| key.3.is_some())
            .map(|key| (key.0.clone(), key.1.clone(), key.2.clone()))
            .collect();
        self.rows.retain(|(policy, threshold, target, series), row| {
            let apart = told.contains(&(policy.clone(), threshold.clone(), target.clone()));
            series.is_some() || !apart || row.spells.iter().any(|spell| matches!(spell.state, State::NoData(_)))
        });
        ReplayReport::of(self)
    }
}

/// The unit in which a reading is compared: that of its bounds, which of a pattern is another than that of its metric.
fn unit(subjects: &[Subject], reading: &Reading<'_>) -> BaseUnit {
    let limits = reading.levels.iter().flat_map(|level| level.above.into_iter().chain(level.below));
    let of_metric = || {
        let subject = subjects.iter().find(|subject| subject.key == *reading.policy)?;
        let threshold = subject.thresholds.iter().find(|threshold| *threshold.name == *reading.threshold)?;
        Some(threshold.unit.base())
    };
    limits.map(|limit| limit.bound.unit()).next().or_else(of_metric).unwrap_or(BaseUnit::Count)
}

/// A moment as the API writes it.
pub fn time(at: Instant) -> String {
    report::time(at).0.to_string()
}
