//! What one pass found, as people are told it.

use super::{
    Entry, World,
    profiles::Blocked,
    reconcile::Visit,
    rollout::{Phase, Rest},
    rules::Route,
    sweep::Measured,
};
use crate::{
    api::{
        conditions::{ConditionType, Reason},
        policy::Mode,
        status::ChecklistStatus,
    },
    core::{
        plan,
        policy::Policy,
        report::{
            self, Finding, Standing, Truth,
            checklist::{self, Around, Made, Target},
        },
    },
};

impl World {
    /// Everything that was found, as people are told it.
    pub(super) fn compose(
        &self,
        entry: &mut Entry,
        policy: &Policy,
        may_write: &Result<(), Finding>,
        blocked: Vec<Blocked>,
        visits: Vec<Visit>,
    ) -> Standing {
        let measured = self.measured(&policy.identity.key, entry);
        let stalled = measured.stalled.clone();
        let mut standing = untouched(policy.mode, is_accepted(), measured);
        standing.show_plan = policy.mode == Mode::Recommend;
        standing.checklist = self.checklist(entry, policy, &visits);
        standing.rules = self.loaded_rules(policy, &entry.written.conditions);
        standing.pinned = visits
            .iter()
            .filter_map(|visit| visit.waits.as_ref())
            .find(|why| why.reason == Reason::RollbackRefused)
            .cloned();
        let mut waits: Option<Finding> = None;
        let mut rolling: Option<Finding> = None;
        let mut warnings: Vec<String> = Vec::new();
        // What was said of this very spec holds while something is read again.
        if !was_served(entry) {
            let unread = visits.iter().filter_map(|visit| visit.waits.as_ref()).find(|why| why.truth == Truth::Unknown);
            standing.unread = unread.map(|why| why.message.clone());
        }
        for visit in visits {
            if let Some(refusal) = visit.plan.refusals.first()
                && standing.not_ready.is_none()
            {
                standing.not_ready = Some((refusal.reason, refusal.message.clone()));
                standing.stalled = refusal.stalled;
                standing.reconciling = Some((refusal.reason, refusal.message.clone()));
            }
            let planned = !visit.plan.steps.is_empty();
            waits = waits.or(visit.waits);
            if let Some(rollout) = self.rollouts.get(&visit.standing.key).filter(|r| r.policy == policy.identity.key) {
                // Who may not write does not take back.
                let awaits_way_back = rollout.failed.is_some() && rollout.phase == Phase::Running;
                if !(awaits_way_back && may_write.is_err()) {
                    rolling = rolling.or_else(|| rollout.finding(&visit.standing.key));
                }
            }
            if planned && waits.is_none() && may_write.is_ok() {
                waits = Some(Finding::new(Truth::False, Reason::Pending, "writes are decided and not done yet"));
            }
            for warning in &visit.plan.warnings {
                let text = warning.to_string();
                if !warnings.contains(&text) {
                    warnings.push(text);
                }
            }
            standing.conflicts.extend(visit.plan.conflicts);
            standing.settings.extend(visit.plan.settings);
            standing.changes.extend(visit.plan.changes);
            standing.targets.push(visit.standing);
        }
        if let (Some(lacks), None) = (self.lacks(policy, &blocked), &standing.not_ready) {
            (standing.not_ready, standing.reconciling) = (Some(lacks.clone()), Some(lacks));
        }
        standing.blocked = blocked.into_iter().map(|blocked| (blocked.reason, blocked.message)).collect();
        let lands = policy.replicas.is_some() || policy.knobs.iter().any(|knob| knob.landing.is_written());
        let failed = entry.memoir.quarantine.iter().find(|item| {
            standing.settings.iter().any(|s| s.state == plan::State::Quarantined && *s.path == *item.path)
        });
        if let (Some(failed), None) = (failed, &standing.not_ready) {
            let mut rollouts = self.rollouts.values().filter(|rollout| rollout.policy == policy.identity.key);
            let back = if rollouts.any(|rollout| rollout.rest == Some(Rest::Failed)) {
                "its way back has not come to its end: look at the pods, and"
            } else {
                "the previous value is back:"
            };
            let message = format!(
                "the rollout of {} on {} failed ({}), and {back} change the value",
                failed.path, failed.object, failed.reason
            );
            standing.not_ready = Some((Reason::RolledBack, message.clone()));
            standing.stalled = true;
            waits = Some(Finding::new(Truth::False, Reason::RolledBack, message));
        }
        protect(&mut standing, rolling.as_ref(), waits.as_ref());
        standing.applied = lands.then(|| {
            let mut found = applied(&standing, may_write, rolling.as_ref(), waits.as_ref());
            if standing.not_ready.is_none() && !warnings.is_empty() {
                found.message = format!("{}; warning: {}", found.message, warnings.join("; "));
            }
            found
        });
        let working = rolling.or_else(|| {
            waits.filter(|why| matches!(why.reason, Reason::Pending | Reason::RollingOut | Reason::Unknown))
        });
        if let (None, Some(working)) = (&standing.reconciling, working) {
            standing.reconciling = Some((working.reason, working.message));
        }
        if lands && policy.mode == Mode::Enforce {
            let targets: Vec<_> = standing.targets.iter().map(|target| target.key.clone()).collect();
            let (effective, unproven) = self.proven(entry, policy, &targets, &standing.settings);
            (standing.effective, standing.unproven) = (Some(effective), unproven);
        }
        // Last, because what cannot be measured keeps no value from its place.
        if standing.not_ready.is_none() {
            if let Some(stalled) = stalled {
                (standing.not_ready, standing.stalled) = (Some(stalled), true);
            } else if standing.metrics.reason == Reason::SourceNotFound {
                let missing = (standing.metrics.reason, standing.metrics.message.clone());
                standing.reconciling = standing.reconciling.or_else(|| Some(missing.clone()));
                standing.not_ready = Some(missing);
            }
        }
        standing
    }

    /// How the checklist stands. What the status says of this very spec holds until everything has been read and measured: a
    /// new leader is no reason to write.
    fn checklist(&self, entry: &Entry, policy: &Policy, visits: &[Visit]) -> Option<ChecklistStatus> {
        if policy.checklist.is_empty() {
            return None;
        }
        let objects: Vec<_> = visits.iter().map(|visit| self.objects.shared(&visit.standing.key)).collect();
        let readings = self.sweep.known(&policy.identity.key);
        let complete = readings.is_some()
            && objects.iter().zip(visits).all(|(object, visit)| object.is_some() && visit.plan.unread.is_empty());
        let same_spec = entry.written.observed_generation == Some(entry.identity.generation);
        if let (false, true, Some(before)) = (complete, same_spec, &entry.written.checklist) {
            return Some(before.clone());
        }
        let readings = readings.unwrap_or_default();
        // What a line asks for is asked of what active profiles make of the policy, on each target apart.
        let under: Vec<_> = visits.iter().map(|visit| entry.under(policy, Some(&visit.standing.key))).collect();
        let targets: Vec<_> = objects
            .iter()
            .zip(visits)
            .zip(&under)
            .filter_map(|((object, visit), under)| {
                let made = Made::plain(under.as_deref().unwrap_or(policy));
                Some(Target { object: object.as_deref()?, plan: &visit.plan, made })
            })
            .collect();
        let alone = entry.under(policy, None).filter(|_| policy.target.is_none());
        let alone = Made::plain(alone.as_deref().unwrap_or(policy));
        let around = Around { readings: &readings, alerting: self.is_told(policy) };
        checklist::summary(&checklist::judge(alone, &targets, around))
    }

    /// What a policy lacks, whatever its targets are. A budget that is missing is a refusal on every target; without one, nothing
    /// else would say so. A profile that is forced was asked for by a person.
    fn lacks(&self, policy: &Policy, blocked: &[Blocked]) -> Option<(Reason, String)> {
        let forced = || blocked.iter().find(|blocked| blocked.forced);
        self.missing_budget(policy).or_else(|| forced().map(|forced| (forced.reason, forced.message.clone())))
    }

    /// The first `ConnectionBudget` that a pool names and that is not there.
    fn missing_budget(&self, policy: &Policy) -> Option<(Reason, String)> {
        let namespace = &policy.identity.key.0;
        let is_missing = |name: &str| !self.budgets.contains_key(&(namespace.clone(), name.into()));
        let (pool, name) = policy
            .pools
            .iter()
            .find_map(|pool| Some((&pool.name, pool.budget.as_deref().filter(|name| is_missing(name))?)))?;
        let message = format!(
            "pools.{pool}.budget names \"{name}\", and there is no such ConnectionBudget in namespace \"{namespace}\": \
             create it, or take budget out of the pool"
        );
        Some((Reason::BudgetNotFound, message))
    }

    /// Whether breaches of a policy are told to anybody.
    pub(super) fn is_told(&self, policy: &Policy) -> bool {
        self.rules(policy).is_ok_and(|rules| self.route(policy, &rules) != Route::Nobody)
    }
}

pub(super) fn is_accepted() -> Finding {
    Finding::new(Truth::True, Reason::Accepted, "the spec is accepted")
}

/// What is said of a policy of which no target was looked at.
pub(super) fn untouched(mode: Mode, accepted: Finding, measured: Measured) -> Standing {
    Standing {
        mode,
        accepted,
        not_ready: None,
        unread: None,
        stalled: false,
        reconciling: None,
        applied: None,
        effective: None,
        unproven: Vec::new(),
        compliant: measured.compliant,
        metrics: measured.metrics,
        rules: None,
        conflicts: Vec::new(),
        pinned: None,
        blocked: Vec::new(),
        targets: Vec::new(),
        settings: Vec::new(),
        changes: Vec::new(),
        show_plan: false,
        thresholds: measured.thresholds,
        threshold_counts: measured.counts,
        checklist: None,
        advice: measured.advice,
    }
}

/// What waits for a `PodDisruptionBudget` may wait for as long as nobody does anything about it.
fn protect(standing: &mut Standing, rolling: Option<&Finding>, waits: Option<&Finding>) {
    if let (None, None, Some(why)) = (&standing.not_ready, rolling, waits)
        && why.reason == Reason::DisruptionNotAllowed
    {
        let why = (why.reason, why.message.clone());
        (standing.not_ready, standing.reconciling) = (Some(why.clone()), Some(why));
    }
}

/// Whether the status says that the policy is served as its spec is now.
pub(super) fn was_served(entry: &Entry) -> bool {
    entry.written.observed_generation == Some(entry.identity.generation)
        && report::find(&entry.written.conditions, ConditionType::Ready)
            .is_some_and(|ready| ready.status == Truth::True.as_str())
}

/// What is said of the values: the first thing that keeps them from their places.
fn applied(
    standing: &Standing,
    may_write: &Result<(), Finding>,
    rolling: Option<&Finding>,
    waits: Option<&Finding>,
) -> Finding {
    let changes = standing.changes.len();
    let is_frozen = |why: &Finding| matches!(why.reason, Reason::Suspended | Reason::Frozen);
    let planned = |why: &Finding| {
        Finding::new(Truth::False, why.reason, format!("{}; {changes} changes are planned", why.message))
    };
    if let Some((reason, message)) = &standing.not_ready {
        return match (may_write, rolling) {
            (Err(why), None) if *reason == Reason::RolledBack && is_frozen(why) && changes > 0 => planned(why),
            (_, Some(rolling)) if *reason == Reason::RolledBack => rolling.clone(),
            _ => Finding::new(Truth::False, *reason, message.clone()),
        };
    }
    if let Some(unread) = &standing.unread {
        return Finding::new(Truth::Unknown, Reason::Unknown, unread.clone());
    }
    if let Err(why) = may_write {
        return if changes == 0 && is_frozen(why) {
            Finding::new(Truth::True, Reason::Applied, "every value is in place")
        } else {
            planned(why)
        };
    }
    if let Some(found) = rolling.or(waits) {
        return found.clone();
    }
    if let Some(conflict) = standing.conflicts.first() {
        return Finding::new(Truth::False, conflict.reason, conflict.message.clone());
    }
    let values = standing.settings.iter().filter(|s| s.state != plan::State::NotEnforceable).count();
    Finding::new(Truth::True, Reason::Applied, format!("{values} values are in place"))
}
