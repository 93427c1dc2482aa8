//! What `PodDisruptionBudget`s say to a rollout that would begin. Nobody else asks them: they bind evictions only.

use crate::{
    api::conditions::Reason,
    core::{
        engine::{Stream, World},
        facts::{DisruptionBudget, Kind, Object, takes_pods},
    },
};

impl World {
    /// Why a rollout of a workload that runs must not begin now: it would take pods away, and a budget that is for them allows no
    /// disruption.
    pub(in crate::core::engine) fn protection(&self, workload: &Object) -> Option<(Reason, String)> {
        let how = takes_pods(workload)?;
        if let Some(reason) = self.unserved.get(&Stream::Disruptions) {
            return Some((*reason, unknown(workload, &how, *reason)));
        }
        let from = (workload.key.namespace.clone(), "".into());
        let mut all =
            self.disruptions.range(from..).take_while(|((namespace, _), _)| *namespace == workload.key.namespace);
        let ((_, name), budget) = all.find(|(_, budget)| budget.forbids() && budget.selects(workload))?;
        Some((Reason::DisruptionNotAllowed, forbidden(workload, &how, name, budget)))
    }
}

/// What a budget says, why that concerns the rollout, and what to do.
fn forbidden(workload: &Object, how: &str, name: &str, budget: &DisruptionBudget) -> String {
    let says = if budget.is_outdated() {
        "has not been looked at by its controller yet".to_owned()
    } else {
        format!(
            "allows 0 of {} pods to be disrupted ({} healthy, {} have to be)",
            budget.expected, budget.healthy, budget.desired
        )
    };
    let surge = match workload.key.kind {
        Kind::Deployment => Some("spec.strategy"),
        Kind::DaemonSet => Some("spec.updateStrategy"),
        _ => None,
    };
    let what = match surge {
        _ if !budget.never_allows() => "it begins when the budget allows one".to_owned(),
        Some(strategy) => format!(
            "it never will as it is: let new pods come first ({strategy}: RollingUpdate, maxUnavailable: 0, maxSurge: 1), \
             or change the budget"
        ),
        None => "it never will as it is: change the budget, or run more pods than it wants healthy".to_owned(),
    };
    format!(
        "PodDisruptionBudget \"{name}\" {says}, and a rollout of {} takes pods away before others are available ({how}): {what}",
        workload.key.short()
    )
}

/// The same where nobody knows what budgets there are.
fn unknown(workload: &Object, how: &str, reason: Reason) -> String {
    let short = workload.key.short();
    let what = match reason {
        Reason::Forbidden => "the operator may not read poddisruptionbudgets.policy: let its role list and watch them",
        _ => "poddisruptionbudgets.policy cannot be listed: the operator's log says why; Trimtab goes on trying",
    };
    format!("a rollout of {short} takes pods away before others are available ({how}), and {what}")
}
