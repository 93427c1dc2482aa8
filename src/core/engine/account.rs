//! The engine's view of one policy for people: what `plan` and `explain` print is what the controller would write.

use std::sync::Arc;

use serde::Serialize;

use super::{Entry, World, ledger::Ledger};
use crate::{
    api::conditions::{ConditionType, Reason},
    core::{
        facts::{Instant, Object, ObjectKey, Progress, progress},
        plan::{Plan, Setting, Step},
        policy::{Policy, PolicyKey},
        report,
        resolve::{self, Rules},
    },
};

/// What a policy amounts to.
#[derive(Clone, Debug)]
pub struct Account {
    /// Namespace and name.
    pub key: PolicyKey,
    /// The parsed policy; `None` when it cannot be parsed.
    pub policy: Option<Policy>,
    /// Name of its class; `None`: built-in limits.
    pub class: Option<Box<str>>,
    /// The rules of its class; the built-in ones where that is not known.
    pub rules: Rules,
    /// Everything that keeps it from being served, one reason and message each.
    pub troubles: Vec<(Reason, String)>,
    /// Whether it may write: mode, suspension and freeze.
    pub writes: Result<(), (Reason, String)>,
    /// Profiles whose condition holds and that are not active, reason and message each.
    pub blocked: Vec<(Reason, String)>,
    /// What would happen to each target, in whatever mode the policy is.
    pub targets: Vec<TargetAccount>,
    /// Whether breaches are told to anybody.
    pub told: bool,
    /// Whether the operator has looked at this very spec, so that its status tells which profiles are active.
    pub remembered: bool,
    /// What the status says of thresholds of this spec: whether they hold, and how good the data is.
    pub measured: Vec<String>,
    /// Names of the profiles that are active on a policy that has no target.
    pub profiles: Vec<Box<str>>,
}

/// What would happen to one target.
#[derive(Clone, Debug)]
pub struct TargetAccount {
    /// Which.
    pub key: ObjectKey,
    /// Names of the profiles that are active on it.
    pub profiles: Vec<Box<str>>,
    /// What they, and what a rollback pins, make of the policy; `None`: it is as its spec says.
    pub under: Option<Arc<Policy>>,
    /// The plan.
    pub plan: Plan,
    /// Why the rollout would not begin now: a `PodDisruptionBudget` that allows none. Reason and message.
    pub protected: Option<(Reason, String)>,
    /// State of its rollout.
    pub progress: Progress,
    /// Number of pods that a rollout replaces.
    pub replicas: i64,
    /// What the pools could open at worst, of what their budgets have.
    pub budgets: Vec<String>,
    /// What pods are asked for, and what the status says of it.
    pub readbacks: Vec<ReadbackAccount>,
    /// The object as it is.
    pub object: Arc<Object>,
}

/// Where pods tell a value that lands on a target.
#[derive(Clone, Debug, Serialize)]
pub struct ReadbackAccount {
    /// Path in the policy.
    pub path: Box<str>,
    /// What they shall tell.
    pub desired: String,
    /// What is asked of the metrics.
    pub asks: String,
    /// What the status says of this spec: `Verified`, or what is the case instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
}

impl World {
    /// The accounts of all policies.
    #[must_use]
    pub fn accounts(&self, now: Instant) -> Vec<Account> {
        let ledger = self.all_books(now);
        self.policies.keys().filter_map(|key| self.account(key, &ledger, now)).collect()
    }

    /// The account of one policy; `None` when it is not known.
    fn account(&self, key: &PolicyKey, ledger: &Ledger, now: Instant) -> Option<Account> {
        let entry = self.policies.get(key)?;
        let mut account = Account {
            key: key.clone(),
            policy: None,
            class: None,
            rules: Rules::built_in(),
            troubles: Vec::new(),
            writes: Ok(()),
            blocked: Vec::new(),
            targets: Vec::new(),
            told: false,
            measured: Vec::new(),
            remembered: entry.written.observed_generation == Some(entry.identity.generation),
            profiles: Vec::new(),
        };
        let policy = match &entry.parsed {
            Ok(policy) => policy,
            Err(wrong) => {
                account.troubles = wrong.iter().map(|invalid| (invalid.reason, invalid.to_string())).collect();
                return Some(account);
            }
        };
        account.policy = Some(policy.clone());
        account.measured = measured(entry, policy);
        let rules = match self.rules(policy) {
            Ok(rules) => rules,
            Err(unserved) => {
                account.troubles.push((unserved.reason, unserved.message));
                return Some(account);
            }
        };
        account.class.clone_from(&rules.class);
        account.rules.clone_from(&rules);
        account.writes = may_write(policy, &rules);
        account.told = self.is_told(policy);
        if policy.target.is_none() {
            account.profiles = self.under_on(entry, policy, &[], now).0;
        }
        match (resolve::admit(policy, &rules), self.targets(policy, &rules)) {
            (Ok(()), Ok(targets)) => {
                let switched = self.switched(entry, policy, &rules, &targets, now);
                for blocked in switched.blocked {
                    let list = if blocked.forced { &mut account.troubles } else { &mut account.blocked };
                    list.push((blocked.reason, blocked.message));
                }
                for target in targets {
                    let Some(object) = self.objects.shared(&target) else { continue };
                    let (profiles, under) = self.under_now(entry, policy, &target, now);
                    let policy = under.as_deref().unwrap_or(policy);
                    let (plan, budgets) = self.budgeted(ledger, policy, &target, |shares| {
                        self.plan_target(entry, policy, &object, shares, now)
                    });
                    let readbacks = readbacks(entry, policy, &plan);
                    let restarts = plan.steps.iter().any(Step::is_disruptive);
                    account.targets.push(TargetAccount {
                        protected: self.protection(&object).filter(|_| restarts),
                        readbacks,
                        profiles,
                        under: under.clone(),
                        plan,
                        budgets,
                        progress: progress(&object),
                        replicas: object
                            .integer("/spec/replicas")
                            .or_else(|| object.integer("/spec/instances"))
                            .unwrap_or(1),
                        key: target,
                        object,
                    });
                }
            }
            (admitted, targets) => {
                if let Err(wrong) = admitted {
                    account.troubles.extend(wrong.iter().map(|invalid| (invalid.reason, invalid.to_string())));
                }
                if let Err(unserved) = targets {
                    account.troubles.push((unserved.reason, unserved.message));
                }
            }
        }
        Some(account)
    }
}

/// What the status says of thresholds, of this spec.
fn measured(entry: &Entry, policy: &Policy) -> Vec<String> {
    if policy.thresholds.is_empty() || entry.written.observed_generation != Some(entry.identity.generation) {
        return Vec::new();
    }
    let told = [ConditionType::Compliant, ConditionType::MetricsAvailable]
        .map(|kind| report::find(&entry.written.conditions, kind));
    told.into_iter().flatten().map(|told| format!("{}: {}", told.reason, told.message)).collect()
}

/// What is asked of the metrics for each value that lands, and what the status says of it.
fn readbacks(entry: &Entry, policy: &Policy, plan: &Plan) -> Vec<ReadbackAccount> {
    let written = &entry.written;
    let is_of_this = written.observed_generation == Some(entry.identity.generation);
    let effective = report::find(&written.conditions, ConditionType::Effective).filter(|_| is_of_this);
    let account = |setting: &Setting| {
        let readback = policy.knobs.iter().find(|knob| knob.path == setting.path)?.readback.as_ref()?;
        // The status lists who does not run with a value; of the others it says something in one word only.
        let apart = written.settings.iter().filter(|one| one.effective.is_some() && *one.path == *setting.path);
        let apart: Vec<String> = apart
            .map(|one| format!("{}: {}", one.state, one.message.as_deref().unwrap_or("pods tell another value")))
            .collect();
        let verdict = effective.and_then(|effective| match effective.status.as_str() {
            _ if !apart.is_empty() => Some(apart.join("; ")),
            "True" => Some(effective.reason.clone()),
            "False" => None,
            _ => Some(format!("{}: {}", effective.reason, effective.message)),
        });
        let asks = match readback.query() {
            Some(query) => format!("the query {}", query.expr()),
            None => format!("the gauge {}", readback.name()),
        };
        Some(ReadbackAccount { path: setting.path.clone(), desired: setting.desired.clone(), asks, verdict })
    };
    plan.settings.iter().filter_map(account).collect()
}

fn may_write(policy: &Policy, rules: &Rules) -> Result<(), (Reason, String)> {
    super::reconcile::writable(policy, rules).map_err(|finding| (finding.reason, finding.message))
}
