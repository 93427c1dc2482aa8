//! Rules of the cluster's Prometheus: who has some, whether they are as they shall be, and whether anybody has loaded them.
//!
//! What a rule says follows from the policy, its class, its source and its targets ([`crate::core::rules`]); it is worked out
//! when one of them changes, and again when the object is another than we wrote. Its text is not kept.
//!
//! A rule that is written is not yet one that is evaluated: an object without the labels that the Prometheus selects by looks
//! just like one that works. So the source is asked which rules it has loaded, all of them at once.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;

use super::{Action, Doing, Effect, Failure, Outcome, Stream, Sweep, World, backoff, sweep::concerns_source};
use crate::{
    api::{
        conditions::{ConditionType, Reason},
        names,
        policy::Sink,
    },
    core::{
        facts::{Instant, ObjectKey, Span},
        ownership,
        policy::{Policy, PolicyKey},
        report::{self, Finding, Truth, cut},
        resolve::Rules,
        rules::{self, Case, Document, RuleKey, RuleObject, TooLarge, digest},
    },
};

/// Time that rules may take to be loaded before anybody is worried: the Prometheus Operator, the kubelet and the reloader
/// take their time one after the other.
const PATIENCE: Span = Span::minutes(5);
/// Time between two questions for what is loaded, while something is to come.
const SOON: Span = Span::seconds(10);
/// The same while something is wrong that only a person can change.
const LATER: Span = Span::minutes(1);
/// The same while all is well.
const AT_REST: Span = Span::minutes(10);
/// Bytes of what a backend says is wrong with a rule.
const MAX_ERROR: usize = 200;

/// What is known of rules.
#[derive(Debug, Default)]
pub(super) struct RuleBook {
    /// Objects of ours, as the cluster shows them.
    pub seen: BTreeMap<RuleKey, RuleObject>,
    /// What shall be there.
    wanted: BTreeMap<PolicyKey, Wanted>,
    /// Objects with a write under way.
    busy: BTreeSet<RuleKey>,
    /// Writes that failed.
    refused: BTreeMap<RuleKey, Refused>,
    /// When each source is asked what it has loaded; nothing while it is being asked.
    due: BTreeMap<Box<str>, Option<Instant>>,
    /// Something changed that nobody has looked at.
    pub restless: bool,
}

/// What shall be there of one policy.
#[derive(Debug)]
struct Wanted {
    /// Changes with everything that the rules follow from.
    cause: String,
    source: Box<str>,
    /// `Err`: why it has none.
    rules: Result<Text, TooLarge>,
    /// Whether its rules are loaded, as far as anybody has asked.
    loaded: Option<Finding>,
}

/// What is remembered of the text of rules.
#[derive(Debug)]
struct Text {
    revision: String,
    spec: String,
    /// What the API server makes of it, where that is something else.
    stored: Option<String>,
    labels: BTreeMap<String, String>,
    owner: String,
    since: Instant,
}

#[derive(Debug)]
struct Refused {
    until: Instant,
    attempts: u32,
    why: Finding,
}

/// Where the alerts of a policy's thresholds go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Rules of the cluster's Prometheus.
    Rules,
    /// The Alertmanagers of the source.
    Push,
    /// The same, because there can be no rules, for that reason.
    Instead(Reason),
    /// Nobody is told.
    Nobody,
}

/// A write of rules.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleWrite {
    /// The whole object, as server-side apply takes it.
    Apply(Value),
    /// Delete it, if it is still the one of this uid.
    Delete(Box<str>),
}

impl Text {
    fn new(document: &Document, owner: &str, now: Instant) -> Self {
        let labels = document.body["metadata"]["labels"].as_object().into_iter().flatten();
        Self {
            revision: document.revision.clone(),
            spec: digest(document.spec()),
            stored: None,
            labels: labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
            owner: owner.to_owned(),
            since: now,
        }
    }

    fn is_in_place(&self, seen: &RuleObject) -> bool {
        !seen.deleting
            && (seen.spec == self.spec || self.stored.as_ref() == Some(&seen.spec))
            && self.labels.iter().all(|(name, value)| seen.labels.get(name) == Some(value))
            && seen.owners.iter().any(|owner| **owner == *self.owner)
    }
}

fn key_of(policy: &PolicyKey) -> RuleKey {
    (policy.0.clone(), rules::name(&policy.1).into())
}

/// A policy that is served, as rules see it.
pub(super) struct Served<'a> {
    pub policy: &'a Policy,
    pub class: &'a Rules,
    pub targets: &'a [ObjectKey],
    pub route: Route,
}

/// What follows from a look at all policies.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub writes: Vec<(RuleKey, RuleWrite)>,
    /// Policies of which people must be told something else.
    pub changed: BTreeSet<PolicyKey>,
    /// Whether alerts go another way from now on.
    pub rerouted: bool,
}

impl World {
    /// Where the alerts of a policy's thresholds go.
    pub(super) fn route(&self, policy: &Policy, class: &Rules) -> Route {
        self.route_by(&self.rules_book, policy, class)
    }

    /// The same by what a book says.
    pub(super) fn route_by(&self, book: &RuleBook, policy: &Policy, class: &Rules) -> Route {
        let served = self.listed.contains(&Stream::Rules);
        let route = match (policy.sink.or(class.spec.sink), self.unserved.get(&Stream::Rules)) {
            (Some(Sink::Alertmanager), _) => Route::Push,
            (Some(Sink::PrometheusRule), Some(reason)) if !served => Route::Instead(*reason),
            // Nobody is told twice while it is not known yet.
            (Some(Sink::PrometheusRule), _) => Route::Rules,
            (None, _) if served => Route::Rules,
            (None, _) => Route::Nobody,
        };
        let too_large = book.wanted.get(&policy.identity.key).is_some_and(|known| known.rules.is_err());
        if route == Route::Rules && too_large { Route::Instead(Reason::RulesTooLarge) } else { route }
    }

    /// Whether anybody is told of budgets: they are pushed, whatever becomes of thresholds.
    pub(super) fn tells_of_budgets(&self, class: &Rules) -> bool {
        class.spec.sink.is_some() || self.listed.contains(&Stream::Rules)
    }

    /// Policies that keep their rules whatever is served at the moment: those that are there.
    pub(super) fn keep_rules(&self) -> BTreeSet<PolicyKey> {
        let there = self.policies.iter().filter(|(_, entry)| !entry.identity.deleting).map(|(key, _)| key);
        self.unreadable.iter().chain(there).cloned().collect()
    }

    /// Writes rules.
    pub(super) fn write_rules(&mut self, followed: Followed, out: &mut Vec<Effect>) {
        let Followed { writes, changed, rerouted } = followed;
        self.dirty.extend(changed);
        self.unmeasured.policies |= rerouted;
        for (rule, write) in writes {
            self.emit(Action::Rules { rule: rule.clone(), write: Box::new(write) }, Doing::Rules(rule), out);
        }
    }

    /// The cluster shows an object of ours.
    pub(super) fn rule_seen(&mut self, key: RuleKey, seen: RuleObject) {
        if self.rules_book.seen.get(&key).is_some_and(|known| seen.is_older_than(known)) {
            return;
        }
        self.rules_book.restless |= self.rules_book.seen.get(&key) != Some(&seen);
        self.rules_book.seen.insert(key, seen);
    }

    /// An object of ours is gone.
    pub(super) fn rule_gone(&mut self, key: &RuleKey) {
        self.rules_book.seen.remove(key);
        self.rules_book.restless = true;
    }

    /// The end of a write.
    pub(super) fn rules_done(&mut self, rule: &RuleKey, outcome: Outcome, now: Instant) {
        self.rules_book.busy.remove(rule);
        self.rules_book.restless = true;
        let policy = self.rules_book.wanted.keys().find(|key| key_of(key) == *rule).cloned();
        match outcome {
            Outcome::Rule(shown) => {
                self.rules_book.refused.remove(rule);
                let known = policy.as_ref().and_then(|policy| self.rules_book.wanted.get_mut(policy));
                if let Some(Ok(text)) = known.map(|known| known.rules.as_mut()) {
                    text.stored = Some(shown.1.spec.clone());
                }
                let (key, seen) = *shown;
                self.rule_seen(key, seen);
            }
            Outcome::NotFound => self.rule_gone(rule),
            Outcome::Failed(failure) => self.rules_refused(rule, &failure, now),
            // Deleted: what the watch shows will tell. Until then it is not done again.
            Outcome::Accepted | Outcome::Object(_) | Outcome::Pods(_) | Outcome::Answer(_) | Outcome::Silences(_) => {
                if let Some(seen) = self.rules_book.seen.get_mut(rule) {
                    seen.deleting = true;
                }
            }
        }
        if let Some(policy) = policy {
            self.mark(policy);
        }
    }

    fn rules_refused(&mut self, rule: &RuleKey, failure: &Failure, now: Instant) {
        let attempts = self.rules_book.refused.get(rule).map_or(0, |refused| refused.attempts);
        let object = format!("PrometheusRule \"{}/{}\"", rule.0, rule.1);
        let (truth, reason, message) = match failure {
            Failure::Forbidden(message) => (Truth::False, Reason::Forbidden, message.clone()),
            Failure::Rejected(message) => (
                Truth::False,
                Reason::RulesRejected,
                format!("the API server refuses {object}: {}", cut(message, MAX_ERROR)),
            ),
            Failure::Conflict(_) | Failure::Stale | Failure::Replaced => {
                (Truth::Unknown, Reason::RulesPending, format!("{object} changed while it was written"))
            }
            Failure::Unknown(message) | Failure::Throttled(message) => (
                Truth::Unknown,
                Reason::RulesPending,
                format!("{object} is not written yet: {}", cut(message, MAX_ERROR)),
            ),
        };
        let until = now + backoff(Span::seconds(1), attempts, Span::minutes(5));
        let why = Finding::new(truth, reason, message);
        self.rules_book.refused.insert(rule.clone(), Refused { until, attempts: attempts + 1, why });
    }

    /// Sources to be asked now what they have loaded, and whether a write that failed may be tried again.
    pub(super) fn ask_for_rules(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.rules_book.refused.values().any(|refused| refused.until <= now) {
            self.rules_book.restless = true;
        }
        let due = |at: &Option<Instant>| at.is_some_and(|at| at <= now);
        let due: Vec<Box<str>> =
            self.rules_book.due.iter().filter(|(_, at)| due(at)).map(|(source, _)| source.clone()).collect();
        for source in due {
            self.rules_book.due.insert(source.clone(), None);
            self.emit(Action::LoadedRules { source: source.clone() }, Doing::LoadedRules(source), out);
        }
    }

    /// A source says which rules it has loaded.
    pub(super) fn rules_told(&mut self, source: &str, outcome: Outcome, now: Instant) {
        let Outcome::Answer(answer) = outcome else {
            self.rules_book.due.insert(source.into(), Some(now + LATER));
            return;
        };
        let mut next = AT_REST;
        let mut changed = Vec::new();
        let told = answer.as_ref().map(|series| Told::new(series));
        for (key, known) in self.rules_book.wanted.iter_mut().filter(|(_, known)| *known.source == *source) {
            let Ok(text) = &known.rules else { continue };
            let found = found(key, text, &told, now);
            let wait = match found.as_ref().map(|found| (found.truth, found.reason)) {
                Some((Truth::True, _)) => AT_REST,
                Some((_, Reason::RulesPending)) => SOON,
                Some((Truth::False | Truth::Unknown, _)) | None => LATER,
            };
            next = next.min(wait);
            // A source that does not answer says nothing new.
            if let Some(found) = found
                && known.loaded.as_ref() != Some(&found)
            {
                known.loaded = Some(found);
                changed.push(key.clone());
            }
        }
        self.rules_book.due.insert(source.into(), Some(now + next));
        self.dirty.extend(changed);
    }

    /// What is said of the rules of a policy; `None`: its alerts go another way, and that is what it asks for.
    pub(super) fn loaded_rules(&self, policy: &Policy, written: &[Condition]) -> Option<Finding> {
        let class = self.rules(policy).ok()?;
        let key = &policy.identity.key;
        let before = || {
            let said = report::find(written, ConditionType::RulesLoaded)?;
            let truth =
                [Truth::True, Truth::False, Truth::Unknown].into_iter().find(|truth| truth.as_str() == said.status)?;
            Some(Finding::new(truth, Reason::from_word(&said.reason)?, said.message.clone()))
        };
        // A new leader says what was said before until it knows whether there are rules.
        if !self.listed.contains(&Stream::Rules) && !self.unserved.contains_key(&Stream::Rules) {
            return before();
        }
        let no = |reason, message: String| Some(Finding::new(Truth::False, reason, message));
        match self.route(policy, &class) {
            Route::Push | Route::Nobody => return None,
            Route::Instead(Reason::RulesTooLarge) => {
                let why = self.rules_book.wanted.get(key).and_then(|known| known.rules.as_ref().err());
                let why = why.map_or_else(String::new, ToString::to_string);
                return no(
                    Reason::RulesTooLarge,
                    format!("{why}. Until then alerts are pushed to the source's Alertmanagers"),
                );
            }
            Route::Instead(reason) => {
                let why = if reason == Reason::KindNotServed {
                    "the cluster serves no PrometheusRule (install the Prometheus Operator)"
                } else {
                    "the operator cannot list PrometheusRules (look at its role)"
                };
                return no(Reason::RulesNotServed, format!("{why}: alerts are pushed to the source's Alertmanagers"));
            }
            Route::Rules => {}
        }
        if policy.thresholds.is_empty() {
            return None;
        }
        let Some(known) = self.rules_book.wanted.get(key) else { return before() };
        if let Some(refused) = self.rules_book.refused.get(&key_of(key)) {
            return Some(refused.why.clone());
        }
        let pending = || Finding::new(Truth::Unknown, Reason::RulesPending, PENDING);
        // After a restart, what was said of this very spec holds until the source has been asked.
        let same = |said: &Finding| said.reason != Reason::RulesNotServed && said.reason != Reason::RulesTooLarge;
        let is_new = report::find(written, ConditionType::RulesLoaded)
            .is_none_or(|said| said.observed_generation != Some(policy.identity.generation));
        let held = if is_new { None } else { before().filter(same) };
        Some(known.loaded.clone().or(held).unwrap_or_else(pending))
    }
}

const PENDING: &str = "the rules are written; the Prometheus has yet to load them";

impl RuleBook {
    /// Works out what shall be there, and writes what is not. `served` are all policies that are served, `keeps` those that
    /// exist, and `is_listed` says whether it is known what is there.
    pub fn follow(
        &mut self,
        served: &[Served<'_>],
        mut keeps: BTreeSet<PolicyKey>,
        is_listed: bool,
        sweep: &Sweep,
        now: Instant,
    ) -> Followed {
        let mut followed = Followed::default();
        let there = keeps.clone();
        self.restless = false;
        if !is_listed {
            self.wanted.clear();
            return followed;
        }
        for served in served {
            let key = &served.policy.identity.key;
            let wants = matches!(served.route, Route::Rules | Route::Instead(Reason::RulesTooLarge));
            if wants && !served.policy.thresholds.is_empty() {
                let write = self.follow_one(served, sweep, now, &mut followed);
                followed.writes.extend(write);
                if self.wanted.get(key).is_none_or(|known| known.rules.is_ok()) {
                    continue;
                }
            } else {
                self.wanted.remove(key);
            }
            keeps.remove(key);
        }
        // That its rules are too large is remembered, so that they are not made again and again.
        self.wanted.retain(|key, known| keeps.contains(key) || (known.rules.is_err() && there.contains(key)));
        let wanted: BTreeSet<RuleKey> = self.wanted.keys().map(key_of).collect();
        self.refused.retain(|rule, _| wanted.contains(rule) || self.seen.contains_key(rule));
        let strays = self.seen.iter().filter(|(key, seen)| {
            let policy = seen.labels.get(names::RULE_POLICY).map(|name| (key.0.clone(), Box::from(name.as_str())));
            policy.is_some_and(|policy| key_of(&policy) == **key && !keeps.contains(&policy)) && !seen.deleting
        });
        let strays: Vec<(RuleKey, Box<str>)> = strays.map(|(key, seen)| (key.clone(), seen.uid.clone())).collect();
        for (rule, uid) in strays {
            if self.may_write(&rule, now) {
                self.busy.insert(rule.clone());
                followed.writes.push((rule, RuleWrite::Delete(uid)));
            }
        }
        let wanted = self.wanted.values().filter(|known| known.rules.is_ok());
        let sources: BTreeSet<Box<str>> = wanted.map(|known| known.source.clone()).collect();
        self.due.retain(|source, _| sources.contains(source));
        for source in sources {
            self.due.entry(source).or_insert(Some(now + SOON));
        }
        followed
    }

    fn follow_one(
        &mut self,
        served: &Served<'_>,
        sweep: &Sweep,
        now: Instant,
        followed: &mut Followed,
    ) -> Option<(RuleKey, RuleWrite)> {
        let Served { policy, class, targets, .. } = *served;
        let key = policy.identity.key.clone();
        let own = policy.spec.metrics.as_ref().and_then(|metrics| metrics.source.as_deref());
        let source = own.or(class.spec.source.as_deref()).unwrap_or(names::DEFAULT_SOURCE);
        let (identity, interval) = sweep.terms_of(source)?;
        let named = rules::named(policy);
        let targets = if targets.is_empty() { named.as_slice() } else { targets };
        let case = Case { policy, class, identity: &identity, interval, targets };
        let wants = cause(&case, source);
        let rule = key_of(&key);
        let in_place = |text: &Text, seen: &BTreeMap<RuleKey, RuleObject>| {
            seen.get(&rule).is_some_and(|seen| text.is_in_place(seen))
        };
        let known = self.wanted.get(&key).filter(|known| known.cause == wants);
        match known.map(|known| &known.rules) {
            Some(Err(_)) => return None,
            Some(Ok(text)) if in_place(text, &self.seen) || !self.may_write(&rule, now) => return None,
            Some(Ok(_)) | None => {}
        }
        let is_new = known.is_none();
        let document = match rules::document(&case) {
            Ok(document) => document?,
            Err(too_large) => {
                let wanted = Wanted { cause: wants, source: source.into(), rules: Err(too_large), loaded: None };
                self.wanted.insert(key.clone(), wanted);
                followed.rerouted = true;
                followed.changed.insert(key);
                return None;
            }
        };
        if is_new {
            let mut text = Text::new(&document, &policy.identity.uid, now);
            let mut loaded = None;
            match self.wanted.remove(&key).map(|before| (before.rules, before.loaded)) {
                Some((Ok(old), said)) if old.spec == text.spec => {
                    (text.stored, text.since, loaded) = (old.stored, old.since, said);
                }
                // Alerts go by rules again.
                Some((Err(_), _)) => followed.rerouted = true,
                Some((Ok(_), _)) | None => {}
            }
            if loaded.is_none() {
                self.due.insert(source.into(), Some(now + SOON));
                followed.changed.insert(key.clone());
            }
            let place = in_place(&text, &self.seen);
            self.wanted.insert(key, Wanted { cause: wants, source: source.into(), rules: Ok(text), loaded });
            // A newer text is tried at once.
            self.refused.remove(&rule);
            if place {
                return None;
            }
        }
        if !self.may_write(&rule, now) {
            return None;
        }
        self.busy.insert(rule.clone());
        Some((rule, RuleWrite::Apply(document.body)))
    }

    fn may_write(&self, rule: &RuleKey, now: Instant) -> bool {
        !self.busy.contains(rule) && self.refused.get(rule).is_none_or(|refused| refused.until <= now)
    }

    /// This replica leads from now on.
    pub fn begin(&mut self) {
        self.due.clear();
        self.restless = true;
    }
}

/// Everything that rules follow from, as a hash.
fn cause(case: &Case<'_>, source: &str) -> String {
    let Case { policy, class, identity, interval, targets } = case;
    let class = &class.spec;
    ownership::digest(&format!(
        "{} {} {source} {identity:?} {} {targets:?} {:?} {:?} {}",
        policy.identity.uid,
        policy.identity.generation,
        interval.as_millis(),
        class.rule_labels,
        class.alert_labels,
        class.free_queries,
    ))
}

/// What a source has loaded.
struct Told<'a> {
    revisions: BTreeMap<(&'a str, &'a str), &'a str>,
    errors: BTreeMap<(&'a str, &'a str), &'a str>,
}

impl<'a> Told<'a> {
    fn new(series: &'a [super::Series]) -> Self {
        let mut told = Self { revisions: BTreeMap::new(), errors: BTreeMap::new() };
        for rule in series {
            let label = |name: &str| rule.labels.get(name);
            let (Some(namespace), Some(policy)) = (label("namespace"), label("policy")) else { continue };
            if let Some(revision) = label(rules::REVISION) {
                told.revisions.insert((namespace, policy), revision);
            }
            if let Some(error) = label(RULE_ERROR) {
                told.errors.entry((namespace, policy)).or_insert(error);
            }
        }
        told
    }
}

/// The label under which an answer tells why a rule could not be evaluated.
pub const RULE_ERROR: &str = "trimtab_error";

fn found(
    (namespace, policy): &PolicyKey,
    text: &Text,
    told: &Result<Told<'_>, &super::Refusal>,
    now: Instant,
) -> Option<Finding> {
    let told = match told {
        Ok(told) => told,
        // That the source is down is told elsewhere.
        Err(refusal) if concerns_source(refusal.reason) && refusal.reason != Reason::BadResponse => return None,
        Err(refusal) => {
            let message = format!("the metrics source does not tell which rules it has loaded: {}", refusal.message);
            return Some(Finding::new(Truth::Unknown, Reason::RulesNotServed, message));
        }
    };
    let object = format!("PrometheusRule \"{namespace}/{}\"", rules::name(policy));
    let revision = told.revisions.get(&(&**namespace, &**policy));
    if revision == Some(&&*text.revision) {
        return Some(match told.errors.get(&(&**namespace, &**policy)) {
            None => Finding::new(Truth::True, Reason::RulesLoaded, "the rules are loaded"),
            Some(error) => {
                let message =
                    format!("{object} is loaded, and a rule of it cannot be evaluated: {}", cut(error, MAX_ERROR));
                Finding::new(Truth::False, Reason::RulesRejected, message)
            }
        });
    }
    if now.since(text.since) < PATIENCE {
        return Some(Finding::new(Truth::Unknown, Reason::RulesPending, PENDING));
    }
    Some(if revision.is_some() {
        let message = format!(
            "the Prometheus still has an earlier revision of {object}: look at the events of the object and at the log of the \
             Prometheus Operator, which may refuse the new one"
        );
        Finding::new(Truth::False, Reason::RulesRejected, message)
    } else {
        let given: Vec<String> = text.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let message = format!(
            "the metrics source has not loaded {object}: set ruleLabels of the PerformanceClass to what its Prometheus \
             selects (`kubectl get prometheus -A -o jsonpath='{{..ruleSelector}} {{..ruleNamespaceSelector}}'`); labels now: {}",
            given.join(", ")
        );
        Finding::new(Truth::False, Reason::RulesNotSelected, message)
    })
}

#[cfg(test)]
mod tests;
