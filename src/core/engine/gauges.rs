//! What `/metrics` tells of the engine beside the sweep: live numbers, of which a status tells transitions only.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{World, reconcile::Visit, rollout::Phase};
use crate::{
    api::ConnectionBudgetStatus,
    core::{
        facts::{Instant, ObjectKey},
        plan::State,
        policy::{Policy, PolicyKey, readback},
        resolve,
    },
};

/// A policy.
#[derive(Debug)]
pub struct PolicyGauge<'a> {
    /// Namespace and name.
    pub key: &'a PolicyKey,
    /// Its mode; empty when it cannot be parsed.
    pub mode: &'static str,
    /// The source that is asked for it; empty when nobody is.
    pub source: &'a str,
    /// Its conditions, as its status says.
    pub conditions: &'a [Condition],
    /// Values that failed and are not tried again now.
    pub quarantined: usize,
    /// Objects that are left to a person.
    pub held: usize,
}

/// A setting on a target, in base units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SettingGauge {
    /// What it shall be; nothing for words.
    pub desired: Option<f64>,
    /// What the object has.
    pub live: Option<f64>,
    /// Whether and why it is not at rest.
    pub state: State,
}

/// The settings of a policy, by target and path.
pub(super) type Settings = BTreeMap<ObjectKey, BTreeMap<Box<str>, SettingGauge>>;

/// The settings of these visits. Of a target whose plan was cut short, `before` holds on.
pub(super) fn settings(policy: &Policy, visits: &[Visit], mut before: Settings) -> Settings {
    let mut settings = Settings::new();
    for Visit { plan, standing, .. } in visits {
        let target = &standing.key;
        if !plan.unread.is_empty()
            && let Some(known) = before.remove(target)
        {
            settings.insert(target.clone(), known);
            continue;
        }
        let of_target = plan.settings.iter().filter_map(|setting| {
            let knob = policy.knobs.iter().find(|knob| knob.path == setting.path)?;
            let number = |text: &str| readback::expected(&resolve::read(knob, text)?);
            // What is not for everybody who reads the policy, is not for everybody who reads `/metrics`.
            let live = setting.live.as_deref().filter(|_| setting.is_public());
            let (desired, live) = (number(&setting.desired), live.and_then(number));
            Some((setting.path.clone(), SettingGauge { desired, live, state: setting.state }))
        });
        settings.insert(target.clone(), of_target.collect());
    }
    settings
}

impl World {
    /// Whether this replica leads. One that does not knows nothing that is worth telling.
    #[must_use]
    pub const fn leads(&self) -> bool {
        self.leader
    }

    /// How often a policy has been looked at.
    #[must_use]
    pub const fn visits(&self) -> u64 {
        self.visits
    }

    /// All policies.
    pub fn policy_gauges(&self) -> impl Iterator<Item = PolicyGauge<'_>> {
        self.policies.iter().map(|(key, entry)| PolicyGauge {
            key,
            mode: entry.parsed.as_ref().map_or("", |policy| resolve::mode_name(policy.mode)),
            source: self.sweep.source_named(key).unwrap_or_default(),
            conditions: &entry.written.conditions,
            quarantined: entry.memoir.quarantine.len(),
            held: entry.holds.len(),
        })
    }

    /// All settings, with policy, target and path.
    pub fn setting_gauges(&self) -> impl Iterator<Item = (&PolicyKey, &ObjectKey, &str, &SettingGauge)> {
        self.policies.iter().flat_map(|(policy, entry)| {
            entry.settings.iter().flat_map(move |(target, settings)| {
                settings.iter().map(move |(path, setting)| (policy, target, &**path, setting))
            })
        })
    }

    /// Rollouts of ours that are under way, with their policy, their phase and when they began.
    pub fn rollout_gauges(&self) -> impl Iterator<Item = (&ObjectKey, &PolicyKey, &'static str, Instant)> {
        let in_flight = self.rollouts.iter().filter(|(_, rollout)| rollout.is_in_flight());
        in_flight.map(|(target, rollout)| (target, &rollout.policy, rollout.phase.as_str(), rollout.began()))
    }

    /// What the statuses of all budgets say.
    pub fn budget_gauges(&self) -> impl Iterator<Item = (&PolicyKey, &ConnectionBudgetStatus)> {
        self.budgets.iter().filter_map(|(key, budget)| Some((key, budget.status.as_ref()?)))
    }
}

impl Phase {
    /// The word.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "Preparing",
            Self::Running => "Running",
            Self::Settling => "Settling",
            Self::RollingBack => "RollingBack",
            Self::Stray => "Stray",
        }
    }
}
