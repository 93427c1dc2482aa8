//! Between the two halves of the engine: who is measured, and whose status changes with what was read.

use std::collections::BTreeMap;

use super::{
    Action, Doing, Effect, Entry, Outcome, Refusal, Stream, World,
    rules::{self, Route},
    sweep::{Budgeted, Measured, Reading, SourceGauge, Subject, Token},
};
use crate::{
    api::{conditions::Reason, names},
    core::{
        facts::{Instant, ObjectKey, Span},
        policy::{Policy, PolicyKey},
        resolve::{self, Rules},
    },
};

/// Time between two looks at who is measured, outside of ticks.
const FOLLOW: Span = Span::millis(100);

impl World {
    /// The latest readings of all thresholds.
    pub fn readings(&self) -> impl Iterator<Item = Reading<'_>> {
        self.sweep.readings()
    }

    /// All sources that are asked.
    pub fn source_gauges(&self) -> impl Iterator<Item = SourceGauge<'_>> {
        self.sweep.source_gauges()
    }

    /// Of every value that is read back: policy, target, path, the value that pods run with in base units, and whether all of
    /// them run with the one that is in place.
    pub fn proofs(&self) -> impl Iterator<Item = (&PolicyKey, &ObjectKey, &str, f64, bool)> {
        self.sweep.proofs()
    }

    /// Name of the source that is asked for a policy.
    #[must_use]
    pub fn source_of(&self, policy: &PolicyKey) -> Option<Box<str>> {
        self.sweep.source_of(policy)
    }

    /// The sources that are asked for something, each with the time between two sweeps.
    pub fn intervals(&self) -> impl Iterator<Item = (&str, Span)> {
        self.sweep.intervals()
    }

    /// Asks what is due and sends alerts. Not more often than once per tick, unless a policy, class or source changed; and
    /// at most once per [`FOLLOW`] then, because it goes through all policies, of which a thousand may change at once.
    pub(super) fn measure(&mut self, ticked: bool, now: Instant, out: &mut Vec<Effect>) {
        let changed = self.unmeasured.policies && now.since(self.measured) >= FOLLOW;
        let follow =
            changed || (ticked && (self.unmeasured.policies || self.unmeasured.objects || self.sweep.is_due(now)));
        let follow = follow || (ticked && self.rules_book.restless);
        let mut actions = Vec::new();
        if follow {
            self.measured = now;
            self.unmeasured = super::Unmeasured::default();
            // Taken out, because it looks at the policies of the world.
            let mut sweep = std::mem::take(&mut self.sweep);
            let mut book = std::mem::take(&mut self.rules_book);
            let served = self.served();
            let routes: Vec<Route> =
                served.iter().map(|(_, policy, rules, _)| self.route_by(&book, policy, rules)).collect();
            let subjects: Vec<Subject<'_>> = served
                .iter()
                .zip(&routes)
                .map(|((entry, policy, rules, targets), route)| Subject {
                    policy,
                    rules,
                    targets: targets.clone(),
                    thresholds: entry.thresholds(policy, targets),
                    proofs: &entry.proofs,
                    status: &entry.written,
                    pushes: matches!(route, Route::Push | Route::Instead(_)),
                })
                .collect();
            let rules = self.default_rules();
            let measures = self.budgets.iter().map(|(key, budget)| Budgeted {
                key,
                budget,
                source: rules.spec.source.as_deref().unwrap_or(names::DEFAULT_SOURCE),
                free_queries: rules.spec.free_queries,
            });
            sweep.follow_budgets(&measures.collect::<Vec<_>>(), now);
            sweep.follow_operator(&rules, &self.config.operator_namespace);
            sweep.follow_overcommitted(&rules, self.tells_of_budgets(&rules), &self.ledger.overcommitted);
            sweep.follow_workloads(self.objects.workloads());
            let changed = sweep.tick(&subjects, &self.sources, now, &mut actions);
            let of_rules: Vec<rules::Served<'_>> = served
                .iter()
                .zip(routes)
                .map(|((_, policy, class, targets), route)| rules::Served { policy, class, targets, route })
                .collect();
            let is_listed = self.listed.contains(&Stream::Rules);
            let followed = book.follow(&of_rules, self.keep_rules(), is_listed, &sweep, now);
            self.sweep = sweep;
            self.rules_book = book;
            self.dirty.extend(changed);
            self.write_rules(followed, out);
        }
        if follow || ticked {
            self.take_figures(now);
        }
        if ticked {
            self.ask_for_rules(now, out);
            for (source, status) in self.sweep.source_statuses(&self.sources, now) {
                self.emit(Action::SourceStatus { source, status: Box::new(status) }, Doing::Told, out);
            }
        }
        self.emit_all(actions, out);
    }

    /// Takes over what is measured of budgets.
    fn take_figures(&mut self, now: Instant) {
        let figures = self.sweep.figures(now);
        let changed: Vec<_> = figures
            .iter()
            .filter(|(key, figures)| self.figures.get(*key) != Some(figures))
            .map(|(key, _)| key)
            .chain(self.figures.keys().filter(|key| !figures.contains_key(*key)))
            .cloned()
            .collect();
        self.figures = figures;
        for key in changed {
            self.budget_changed(&key);
        }
    }

    /// Takes the end of a query. Transitions are told at once.
    pub(super) fn query_done(&mut self, token: Token, outcome: Outcome, now: Instant, out: &mut Vec<Effect>) {
        let answer = match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::Object(_)
            | Outcome::Accepted
            | Outcome::NotFound
            | Outcome::Pods(_)
            | Outcome::Silences(_)
            | Outcome::Rule(_)
            | Outcome::Failed(_) => {
                Err(Refusal { reason: Reason::BackendUnavailable, message: "the query was not sent".to_owned() })
            }
        };
        let changed = self.sweep.answer(token, answer, now);
        if self.leader {
            self.take_figures(now);
        }
        if changed.is_empty() || !self.leader {
            return;
        }
        self.dirty.extend(changed);
        let mut actions = Vec::new();
        self.sweep.flush(now, &mut actions);
        self.emit_all(actions, out);
    }

    /// What the status of a policy says of its thresholds.
    pub(super) fn measured(&self, policy: &PolicyKey, entry: &Entry) -> Measured {
        self.sweep.standing(policy, &entry.written)
    }

    fn emit_all(&mut self, actions: Vec<(Token, Action)>, out: &mut Vec<Effect>) {
        for (token, action) in actions {
            let doing = if matches!(action, Action::Query { .. }) { Doing::Query(token) } else { Doing::Told };
            self.emit(action, doing, out);
        }
    }

    /// Policies that are served, with their rules and targets. One whose target is not there yet governs nothing so far.
    fn served(&self) -> Vec<(&Entry, &Policy, Rules, Vec<ObjectKey>)> {
        let mut by_class: BTreeMap<Option<&str>, Option<Rules>> = BTreeMap::new();
        let mut served = Vec::new();
        for entry in self.policies.values().filter(|entry| !entry.identity.deleting) {
            let Ok(policy) = &entry.parsed else { continue };
            let rules = by_class.entry(policy.class.as_deref()).or_insert_with(|| self.rules(policy).ok());
            let Some(rules) = rules.as_ref().filter(|rules| resolve::admit(policy, rules).is_ok()) else { continue };
            let targets = match self.targets(policy, rules) {
                Ok(targets) => targets,
                Err(unserved) if unserved.reason == Reason::NoTargets => Vec::new(),
                Err(_) => continue,
            };
            served.push((entry, policy, rules.clone(), targets));
        }
        served
    }
}

#[cfg(test)]
mod tests;
