//! Which profiles are active.
//!
//! | question | answer |
//! |---|---|
//! | on what | on each target apart: its readings decide, and its pod template, where a condition reads it |
//! | what a reading does | beyond `enter` it enters at once; beyond `leave` it leaves, not before `dwell` is over; between the two, and while there is none, everything stays |
//! | what a condition of `requires` does | a profile is never active while one does not hold. It sees what the spec and active profiles before this one in the list make of the policy |
//! | what two that contradict each other do | the one before the other in the list is active |
//! | what a person does | `spec.profile` is the only one that is active; suspension and freeze keep what is |
//! | what a restart does | the status remembers. It is written before the values that follow from it, so what is active is known whenever they are |

use std::sync::Arc;

use super::{Entry, World};
use crate::{
    api::{conditions::Reason, policy::ActiveBy, status::ActiveProfile},
    core::{
        facts::{Instant, ObjectKey, Span},
        policy::{
            Guise, Policy, PolicyKey, Profile, ProfileSet, Threshold,
            profiles::{Side, When},
        },
        report::{Active, ByTarget},
        resolve::{self, Rules},
        schedule,
    },
};

/// Which profiles are active, and until when that is so whatever is read.
#[derive(Debug, Default)]
pub(super) struct Switched {
    pub active: ByTarget,
    pub blocked: Vec<Blocked>,
    wake: Option<Instant>,
}

/// A profile whose condition holds and that is not active.
#[derive(Debug)]
pub(super) struct Blocked {
    pub reason: Reason,
    pub message: String,
    /// Whether the spec names it.
    pub forced: bool,
}

impl World {
    /// Profiles that are active as everybody can know them, by policy, with what was read when each was entered.
    pub fn active_profiles(&self) -> impl Iterator<Item = (&PolicyKey, &ActiveProfile, Option<&str>)> {
        self.policies.iter().flat_map(|(key, entry)| {
            let because = |active: &ActiveProfile| entry.evidence.get(&*active.name).map(String::as_str);
            entry.told_active.iter().map(move |active| (key, active, because(active)))
        })
    }

    /// Switches profiles; those that something blocks are returned.
    pub(super) fn switch_profiles(&mut self, entry: &mut Entry, now: Instant) -> Vec<Blocked> {
        let policy = match &entry.parsed {
            Ok(policy) if has_guises(policy) || !entry.memoir.active.is_empty() => policy.clone(),
            Ok(_) | Err(_) => return Vec::new(),
        };
        // A policy that is not served keeps what is active for the time when it is.
        let Some((rules, targets)) = self.served_on(entry, &policy) else { return Vec::new() };
        let Switched { active, blocked, wake } = self.switched(entry, &policy, &rules, &targets, now);
        if let Some(at) = wake {
            entry.wake = Some(entry.wake.map_or(at, |wake| wake.min(at)));
        }
        let before = std::mem::take(&mut entry.memoir.active);
        // What made a reading enter a profile is what its values are changed for.
        for (target, active) in &active {
            let target = target.as_ref();
            let is_new = |active: &&Active| before.of(target).all(|before| before.profile != active.profile);
            for active in active.iter().filter(is_new) {
                let index = policy.profiles.iter().position(|profile| profile.name == active.profile);
                let read = index.filter(|_| active.by == ActiveBy::Threshold);
                match read.and_then(|index| self.sweep.evidence(&policy.identity, index, target, now)) {
                    Some(read) => drop(entry.evidence.insert(active.profile.clone(), read)),
                    None => drop(entry.evidence.remove(&active.profile)),
                }
            }
        }
        entry.memoir.active.replace(active);
        if before.listed() != entry.memoir.active.listed() {
            // Thresholds move along.
            self.unmeasured.policies = true;
        }
        let guises: Vec<Guise> = keys(&policy, &targets).map(|target| entry.guise(&policy, target)).collect();
        entry.under.retain(|guise, _| guises.contains(guise));
        for guise in guises {
            if let Some(under) = entry.in_guise(&policy, guise) {
                entry.under.insert(guise, under);
            }
        }
        blocked
    }

    fn served_on(&self, entry: &Entry, policy: &Policy) -> Option<(Rules, Vec<ObjectKey>)> {
        let rules = self.rules(policy).ok().filter(|_| !entry.identity.deleting)?;
        resolve::admit(policy, &rules).ok()?;
        let targets = self.targets(policy, &rules).ok()?;
        Some((rules, targets))
    }

    /// What is active on a target now, and what the policy is under that, for a world that nobody steps.
    pub(super) fn under_now(
        &self,
        entry: &Entry,
        policy: &Policy,
        target: &ObjectKey,
        now: Instant,
    ) -> (Vec<Box<str>>, Option<Arc<Policy>>) {
        self.under_on(entry, policy, std::slice::from_ref(target), now)
    }

    /// The same of at most one target; of none: of a policy that has none.
    pub(super) fn under_on(
        &self,
        entry: &Entry,
        policy: &Policy,
        targets: &[ObjectKey],
        now: Instant,
    ) -> (Vec<Box<str>>, Option<Arc<Policy>>) {
        if !has_guises(policy) {
            return (Vec::new(), None);
        }
        let Some((rules, _)) = self.served_on(entry, policy) else { return (Vec::new(), None) };
        let switched = self.switched(entry, policy, &rules, targets, now);
        let active = switched.active.into_values().flatten().map(|active| active.profile).collect::<Vec<_>>();
        let set = policy.profile_set(active.iter().map(AsRef::as_ref));
        let under = entry.in_guise(policy, (set, policy.pins_on(targets.first())));
        (active, under)
    }

    /// Which profiles are active now, with the memory of `entry`.
    pub(super) fn switched(
        &self,
        entry: &Entry,
        policy: &Policy,
        rules: &Rules,
        targets: &[ObjectKey],
        now: Instant,
    ) -> Switched {
        let mut switched = Switched::default();
        let frozen = policy.suspended.is_some() || rules.spec.freeze;
        for target in keys(policy, targets) {
            let active = if frozen {
                let known = |active: &&Active| policy.profiles.iter().any(|profile| profile.name == active.profile);
                entry.memoir.active.of(target).filter(known).cloned().collect()
            } else {
                self.switched_on(entry, policy, target, now, &mut switched)
            };
            switched.active.insert(target.cloned(), active);
        }
        switched
    }

    fn switched_on(
        &self,
        entry: &Entry,
        policy: &Policy,
        target: Option<&ObjectKey>,
        now: Instant,
        switched: &mut Switched,
    ) -> Vec<Active> {
        let object = target.and_then(|target| self.objects.get(target));
        let mut set = ProfileSet::default();
        let mut active = Vec::new();
        for (index, profile) in policy.profiles.iter().enumerate() {
            let before = entry.memoir.active.of(target).find(|active| active.profile == profile.name);
            let wanted = self.wanted(policy, (index, profile), target, before, now);
            let until = match wanted {
                Wanted::No { until } | Wanted::Yes { until, .. } => until,
            };
            switched.wake = switched.wake.into_iter().chain(until.filter(|until| *until > now)).min();
            let Wanted::Yes { by, .. } = wanted else { continue };
            let unseen = profile.has_requirements() && target.is_some() && object.is_none();
            let blocked = if unseen {
                // The target is being read: until then nothing begins and nothing ends.
                if before.is_none() {
                    continue;
                }
                None
            } else {
                // What it requires must hold with the values that are there, and those that are pinned stay so.
                let pinned = entry.in_guise(policy, (set, policy.pins_on(target)));
                let unmet = resolve::unmet(pinned.as_deref().unwrap_or(policy), profile, object);
                let under = entry.in_guise(policy, (set, None));
                let under = under.as_deref().unwrap_or(policy);
                let unmet = unmet.map(|why| (Reason::RequirementUnmet, why));
                unmet.or_else(|| contradiction(under, profile, set))
            };
            if let Some((reason, why)) = blocked {
                let on = target.map(|target| format!(" on {}", target.short())).unwrap_or_default();
                let message = format!("profile {} is not active{on}: {why}", profile.name);
                switched.blocked.push(Blocked { reason, message, forced: by == ActiveBy::Spec });
                continue;
            }
            set = set.with(index);
            // The second after: a dwell that begins then ends late and never early.
            let since = || (now + Span::millis(999)).whole_seconds();
            active.push(Active {
                profile: profile.name.clone(),
                since: before.map_or_else(since, |before| before.since),
                by,
            });
        }
        active
    }

    /// Whether the condition of a profile holds.
    fn wanted(
        &self,
        policy: &Policy,
        (index, profile): (usize, &Profile),
        target: Option<&ObjectKey>,
        before: Option<&Active>,
        now: Instant,
    ) -> Wanted {
        let forever =
            |holds: bool, by| if holds { Wanted::Yes { by, until: None } } else { Wanted::No { until: None } };
        if let Some(forced) = policy.forced {
            return forever(forced == index, ActiveBy::Spec);
        }
        let switch = match &profile.when {
            None => return Wanted::No { until: None },
            Some(When::Schedule(schedule)) => {
                return match schedule.state(now) {
                    schedule::State::Open { until } => Wanted::Yes { by: ActiveBy::Schedule, until: Some(until) },
                    schedule::State::Closed { until } => Wanted::No { until },
                };
            }
            Some(When::Threshold(switch)) => switch,
        };
        let side = self.sweep.side(&policy.identity, index, target, now);
        let Some(before) = before else { return forever(side == Some(Side::Enter), ActiveBy::Threshold) };
        // What somebody else than a reading began goes on only if a reading says so.
        let own = before.by == ActiveBy::Threshold;
        match side {
            None => forever(true, before.by),
            Some(Side::Enter) => forever(true, ActiveBy::Threshold),
            Some(Side::Between) => forever(own, ActiveBy::Threshold),
            Some(Side::Leave) => {
                let until = before.since + switch.dwell;
                if own && now < until {
                    Wanted::Yes { by: ActiveBy::Threshold, until: Some(until) }
                } else {
                    Wanted::No { until: None }
                }
            }
        }
    }
}

/// Whether the condition of a profile holds, and when that changes by itself.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Yes { by: ActiveBy, until: Option<Instant> },
    No { until: Option<Instant> },
}

/// Whether a policy may be something else on a target than what its spec says.
fn has_guises(policy: &Policy) -> bool {
    !policy.profiles.is_empty() || policy.rollback.to().is_some()
}

/// What profiles are active on: each target, or the policy that has none.
fn keys<'a>(policy: &Policy, targets: &'a [ObjectKey]) -> impl Iterator<Item = Option<&'a ObjectKey>> {
    let alone = policy.target.is_none().then_some(None);
    alone.into_iter().chain(targets.iter().map(Some))
}

/// Why a profile cannot be active beside those before it. Alone it can: that was looked at when the policy was read.
fn contradiction(under: &Policy, profile: &Profile, before: ProfileSet) -> Option<(Reason, String)> {
    if before.is_empty() {
        return None;
    }
    let wrong = under.admits(profile).err()?;
    let what = wrong.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Some((Reason::ProfilesContradict, format!("with the active profiles before it, {what}")))
}

impl Entry {
    /// Whether everybody can know which profiles are active: only then values follow from them.
    pub(super) fn knows_profiles(&self) -> bool {
        self.told_active == self.memoir.active.listed()
    }

    fn guise(&self, policy: &Policy, target: Option<&ObjectKey>) -> Guise {
        let active = policy.profile_set(self.memoir.active.of(target).map(|active| &*active.profile));
        (active, policy.pins_on(target))
    }

    /// The policy under the profiles that are active on a target, with what a rollback pins there; `None`: as it is.
    pub(super) fn under(&self, policy: &Policy, target: Option<&ObjectKey>) -> Option<Arc<Policy>> {
        self.in_guise(policy, self.guise(policy, target))
    }

    /// The policy under some of its profiles, with what a rollback pins; `None`: as it is.
    fn in_guise(&self, policy: &Policy, guise: Guise) -> Option<Arc<Policy>> {
        if guise.0.is_empty() && guise.1.is_none() {
            return None;
        }
        Some(self.under.get(&guise).cloned().unwrap_or_else(|| Arc::new(policy.in_guise(guise))))
    }

    /// Thresholds under the profiles that are active on each target; none: those of the policy.
    pub(super) fn thresholds(&self, policy: &Policy, targets: &[ObjectKey]) -> Vec<Arc<[Threshold]>> {
        if self.memoir.active.is_empty() {
            return Vec::new();
        }
        let of = |target| {
            self.under(policy, target).map_or_else(|| policy.thresholds.clone(), |under| under.thresholds.clone())
        };
        keys(policy, targets).map(of).collect()
    }
}
