//! What a policy that is deleted puts back grows into its budgets like any other write.

use super::{BudgetKey, Grant};
use crate::{
    api::conditions::Reason,
    core::{
        allocate::Worst,
        engine::{Entry, World},
        facts::{Instant, Object},
        ownership::FieldPath,
        plan::Step,
        policy::PolicyKey,
        resolve::Shares,
    },
};

impl World {
    /// Whether what `step` puts back on `object` fits into the budgets of the policy. What nobody knows, because the application
    /// goes back to its own defaults, is nobody's from then on.
    pub(in crate::core::engine) fn restores_within_budgets(
        &mut self,
        key: &PolicyKey,
        entry: &Entry,
        object: &Object,
        step: &Step,
        now: Instant,
    ) -> Result<(), (Reason, String)> {
        let (Step::Apply(write), Ok(policy)) = (step, &entry.parsed) else { return Ok(()) };
        if !super::is_consumer(policy) {
            return Ok(());
        }
        let mut then = object.clone();
        for change in &write.changes {
            let Ok(path) = FieldPath::parse(&change.path) else { continue };
            match write.claim.get(&path) {
                Some(was) => then.content.edit(|content| path.put(content, was)),
                None => then.content.edit(|content| path.remove(content)),
            }
        }
        let under = entry.under(policy, Some(&object.key));
        let loads = self.plan_target(entry, under.as_deref().unwrap_or(policy), &then, &Shares::new(), now).held;
        let consumers = self.ledger.books.get(key).map(|books| books.consumers.clone()).unwrap_or_default();
        let mut grants = Vec::new();
        for consumer in consumers.iter().filter(|consumer| consumer.place.target == object.key) {
            let Some(load) = loads.iter().find(|load| *load.pool == *consumer.place.pool) else { continue };
            let worst = Worst { load: load.clone(), pods: consumer.pods.most(consumer.peak.pods) };
            let there = consumer.held.as_ref().map_or(0, Worst::connections);
            let budget: BudgetKey = (key.0.clone(), consumer.place.budget.clone());
            let Some(Ok(room)) = self.room(&budget).filter(|_| worst.connections() > there) else { continue };
            if consumer.peak.until.is_some() {
                let message = "pods of the rollout before have yet to end, and hold connections";
                return Err((Reason::RollingOut, message.to_owned()));
            }
            let judged = self.judge(&self.ledger, &budget, &room);
            let mine = judged.iter().find(|one| one.policy == *key && one.consumer.place == consumer.place);
            let others = judged.iter().filter(|one| mine.is_none_or(|mine| one.bid.pool != mine.bid.pool));
            let taken = others.fold(0_i64, |sum, one| sum.saturating_add(one.verdict.committed));
            if taken.saturating_add(worst.connections()) > room.growable() {
                return Err((Reason::BudgetExceeded, room.refusal(&worst, taken)));
            }
            grants.push((consumer.place.clone(), Grant { connections: worst.connections(), share: None }));
        }
        // It counts from now on, whatever the objects say yet.
        for (place, grant) in grants {
            let budget: BudgetKey = (key.0.clone(), place.budget.clone());
            self.ledger.judged.remove(&budget);
            self.ledger.restless.insert(budget);
            self.ledger.granted.insert((key.clone(), place), grant);
        }
        Ok(())
    }
}
