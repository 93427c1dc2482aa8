//! Which profiles are active, as the status remembers it.

use std::collections::BTreeMap;

use super::{instant, time};
use crate::{
    api::{policy::ActiveBy, status::ActiveProfile},
    core::facts::{Instant, Kind, ObjectKey},
};

/// A profile that is active on a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Active {
    /// Its name.
    pub profile: Box<str>,
    /// Since when, in whole seconds.
    pub since: Instant,
    /// Why.
    pub by: ActiveBy,
}

/// Active profiles by target; `None` stands for a policy without target.
pub type ByTarget = BTreeMap<Option<ObjectKey>, Vec<Active>>;

/// Active profiles of a policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActiveProfiles {
    /// Of a status, before anybody has looked which targets there are: active on all of them.
    everywhere: Vec<Active>,
    on: ByTarget,
    /// Whether `on` has all targets, also those on which none is active.
    complete: bool,
}

impl ActiveProfiles {
    /// What a status of a policy in `namespace` remembers.
    #[must_use]
    pub fn recall(namespace: &str, listed: &[ActiveProfile]) -> Self {
        let mut recalled = Self::default();
        for ActiveProfile { name, since, by, targets } in listed {
            let active = Active { profile: name.as_str().into(), since: instant(since), by: *by };
            if targets.is_empty() {
                recalled.everywhere.push(active);
                continue;
            }
            let keys = targets.iter().filter_map(|target| {
                let (kind, name) = target.split_once('/')?;
                Some(ObjectKey::new(Kind::from_name(kind)?, namespace, name))
            });
            for key in keys {
                recalled.on.entry(Some(key)).or_default().push(active.clone());
            }
        }
        recalled
    }

    /// What is active on a target.
    pub fn of<'a>(&'a self, target: Option<&ObjectKey>) -> impl Iterator<Item = &'a Active> + Clone {
        let own = self.on.get(&target.cloned());
        own.into_iter().flatten().chain(&self.everywhere)
    }

    /// Whether nothing is active anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.everywhere.is_empty() && self.on.values().all(Vec::is_empty)
    }

    /// Takes what is active on every target there is.
    pub fn replace(&mut self, on: ByTarget) {
        *self = Self { everywhere: Vec::new(), on, complete: true };
    }

    /// As the status lists them.
    #[must_use]
    pub fn listed(&self) -> Vec<ActiveProfile> {
        let mut groups: BTreeMap<&Active, Vec<String>> = BTreeMap::new();
        for (target, active) in &self.on {
            for active in active {
                groups.entry(active).or_default().push(target.as_ref().map(ObjectKey::short).unwrap_or_default());
            }
        }
        // One that is active on all of them is listed without them.
        let is_all = |targets: &[String]| targets.len() == self.on.len() && self.complete;
        let own = groups.into_iter().map(|(active, targets)| {
            let targets = if is_all(&targets) { Vec::new() } else { targets };
            (active, targets)
        });
        let everywhere = self.everywhere.iter().map(|active| (active, Vec::new()));
        let mut all: Vec<ActiveProfile> = everywhere
            .chain(own)
            .map(|(active, targets)| ActiveProfile {
                name: active.profile.to_string(),
                since: time(active.since),
                by: active.by,
                targets,
            })
            .collect();
        // In one order, whether they were switched on or are remembered.
        all.sort_by(|a, b| (&a.name, &a.since.0, &a.targets).cmp(&(&b.name, &b.since.0, &b.targets)));
        all
    }
}
