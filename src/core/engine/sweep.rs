//! The metrics half of the engine: asks for readings, judges thresholds with them, and keeps alerts alive.
//!
//! A *question* is one query for all policies that read the same thing in the same way, of all workloads or of some hundred
//! that it names; now and then the age of its data is asked beside it. Each question is asked at the interval of its source
//! and never again before it was answered, so a slow one delays itself only. All are evaluated for the same time, and asked
//! one after the other. What an answer says of each threshold, [`crate::core::evaluate`] decides.
//!
//! | file | holds |
//! |---|---|
//! | `rows` | policies, and a row for each threshold of each target |
//! | `groups` | the values of labels that a threshold keeps apart |
//! | `question` | what is asked, and what may be made of the answers |
//! | `scope` | whom a question names, and in how many queries |
//! | `ages` | how old the data is |
//! | `source` | whether a source answers, and its status |
//! | `alerts` | what is sent to Alertmanagers |
//! | `explained` | which breaches a rollout explains |
//! | `standing` | what a policy's status says |
//! | `proofs` | values that are in place, and whether pods run with them |
//! | `capacities` | numbers of connection budgets that are measured |
//! | `gauges` | what `/metrics` tells of sources |
//! | `checks` | whether readings can be trusted, and how exact they are |
//! | `advice` | patterns that were found, and hints of thresholds that are breached together |

mod advice;
mod ages;
mod alerts;
mod capacities;
mod checks;
mod explained;
mod gauges;
mod groups;
mod proofs;
mod question;
mod rows;
mod scope;
mod source;
mod standing;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub(super) use self::source::concerns_source;
use self::{
    alerts::Alerts,
    capacities::Capacities,
    gauges::Paces,
    question::{Ask, Key, Part, Queried, Question},
    rows::Governed,
    source::Source,
};
pub use self::{
    capacities::Budgeted,
    gauges::{PACE_SECONDS, Pace, SourceGauge},
    groups::spelled,
    proofs::{Expectation, Expected, Unproven},
    rows::Subject,
    standing::{Measured, Reading},
};
use super::{Action, Answer};
use crate::{
    api::MetricsSource,
    core::{
        facts::{Instant, ObjectKey, Span},
        policy::{Identity, PolicyKey, profiles::Side},
        promql,
    },
};

/// Number of an action, by which a query's answer finds its question. Unique in the life of a `Sweep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

/// A query under way.
#[derive(Clone, Debug)]
struct Asked {
    source: Box<str>,
    key: Key,
    /// By which the question is told from another one in its place.
    born: u32,
    part: Part,
}

/// The metrics half of the engine.
#[derive(Debug, Default)]
pub struct Sweep {
    policies: BTreeMap<PolicyKey, Governed>,
    sources: BTreeMap<Box<str>, Source>,
    alerts: Alerts,
    /// What is measured of budgets.
    capacities: Capacities,
    /// Queries under way.
    asked: BTreeMap<Token, Asked>,
    /// How long queries take.
    paces: Paces,
    /// How many workloads there are, and how many there were when it was last decided whom questions name.
    workloads: usize,
    indexed: usize,
    last_token: u64,
    /// Whether questions are asked at once.
    at_once: bool,
    /// Counts the changes of what is asked: a row that is younger than a query is not judged by its answer.
    version: u32,
    /// Policies by the number under which questions know them.
    order: Vec<PolicyKey>,
    /// Whether it knows who is served.
    follows: bool,
    /// Whether verdicts or subjects have changed since alerts were looked at.
    restless: bool,
}

impl Sweep {
    /// A sweep that asks its questions `at_once`, or one after the other.
    #[must_use]
    pub fn new(at_once: bool) -> Self {
        Self { at_once, ..Self::default() }
    }

    /// Begins anew, as a new leader does: alerts that fired elsewhere end there by themselves, answers under way are not
    /// waited for, and how long bounds have been crossed is asked of the past.
    pub fn rebuild(&mut self) {
        // Tokens stay unique, so that a late answer finds nothing.
        *self = Self { last_token: self.last_token, at_once: self.at_once, ..Self::default() };
    }

    /// Takes notice of how many workloads there are: a question that most of them are part of names nobody.
    pub const fn follow_workloads(&mut self, workloads: usize) {
        self.workloads = workloads;
    }

    /// Asks what is due, and sends alerts. `subjects` are all policies that are served, `sources` all sources. Returns the
    /// policies whose thresholds, targets or source are others than before, so that people must be told something else.
    ///
    /// To be called at least every second, and when a policy, class or source changed.
    pub fn tick(
        &mut self,
        subjects: &[Subject<'_>],
        sources: &BTreeMap<Box<str>, MetricsSource>,
        now: Instant,
        out: &mut Vec<(Token, Action)>,
    ) -> BTreeSet<PolicyKey> {
        let changed = self.follow(subjects, sources, now);
        self.follows = true;
        let names: Vec<Box<str>> = self.sources.keys().cloned().collect();
        for name in names {
            self.ask(&name, now, out);
        }
        self.flush(now, out);
        changed
    }

    /// Whether `tick` has something to do although no policy, class, source or target changed.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.restless || self.sources.values().any(|source| source.resend_due(now) || source.is_due(now))
    }

    /// Takes an answer. Returns the policies of which people must be told something else now.
    pub fn answer(&mut self, token: Token, answer: Answer, now: Instant) -> BTreeSet<PolicyKey> {
        let mut changed = BTreeSet::new();
        let asked = self.asked.remove(&token);
        self.paces.answer(token, asked.as_ref().map(|asked| &*asked.source), now);
        let Some(Asked { source: name, key, born, part }) = asked else { return changed };
        let waiting = self.asked.values().any(|asked| asked.source == name);
        let Some(source) = self.sources.get_mut(&name) else { return changed };
        // Another one may have taken its place.
        let question = source.questions.get_mut(&key).filter(|question| question.born == born);
        let Some(question) = question else { return changed };
        let Some(at) = question.asked_at() else { return changed };
        let interval = source.spec.interval;
        // What the past was is of no use to tell whether the source lives now: it may just be too much to ask.
        let flipped = match &answer {
            Err(refusal) if concerns_source(refusal.reason) => {
                part != Part::Past && source.health.failed(refusal, at, interval, waiting)
            }
            Ok(_) | Err(_) => source.health.answered(at, now),
        };
        let round = question.take(&key.0, part, answer);
        if let Some(round) = round {
            self.restless = true;
            let continuity = question.continuity(interval);
            let check = key.0.check();
            for (policy, row) in &question.members {
                let Some(key) = self.order.get(*policy as usize) else {
                    let budget = (*policy as usize).saturating_sub(self.order.len());
                    self.capacities.judge(budget, *row, &round, continuity);
                    continue;
                };
                let Some(governed) = self.policies.get_mut(key) else { continue };
                let row = usize::from(*row);
                let news = match check {
                    Some(check) => governed.note(key, row, check, &round),
                    None => governed.judge(key, row, &round, continuity, now),
                };
                if news {
                    changed.insert(key.clone());
                }
            }
            question.reschedule(&round, interval, now);
        }
        if flipped {
            self.restless = true;
            // Rows that nobody has asked about say that the source is down, until it is not; and profiles stay as they are for that
            // time, whatever was read last.
            let blind =
                self.policies.iter().filter(|(_, governed)| governed.source == name).filter(|(_, governed)| {
                    governed.is_unjudged() || governed.switches() || !governed.proofs.is_empty()
                });
            changed.extend(blind.map(|(key, _)| key.clone()));
        }
        changed
    }

    /// How series of a source tell their workload, and how often it is asked.
    #[must_use]
    pub fn terms_of(&self, source: &str) -> Option<(promql::Identity, Span)> {
        self.sources.get(source).map(|source| (source.spec.identity.clone(), source.spec.interval))
    }

    /// Where the reading is that decides about a profile of a policy, if that is known now: not while its source is silent, and
    /// not of a spec before this one.
    #[must_use]
    pub fn side(&self, policy: &Identity, profile: usize, target: Option<&ObjectKey>, now: Instant) -> Option<Side> {
        let governed = self.policies.get(&policy.key).filter(|governed| governed.generation == policy.generation)?;
        let source = self.sources.get(&governed.source)?;
        if source.health.down.is_some() { None } else { governed.side(profile, target, now) }
    }

    /// What was read that decides about a profile of a policy, in words, if that is known now.
    #[must_use]
    pub fn evidence(
        &self,
        policy: &Identity,
        profile: usize,
        target: Option<&ObjectKey>,
        now: Instant,
    ) -> Option<String> {
        self.side(policy, profile, target, now)?;
        self.policies.get(&policy.key)?.evidence(profile, target, now)
    }

    /// Sends alerts whose time has come: new ones and resolved ones at once, all others again and again.
    pub fn flush(&mut self, now: Instant, out: &mut Vec<(Token, Action)>) {
        let due = self.restless || self.sources.values().any(|source| source.resend_due(now));
        if !due {
            return;
        }
        self.restless = false;
        for (source, alerts) in self.alerts.pass(&self.policies, &mut self.sources, now) {
            self.emit(Action::Alerts { source, alerts }, out);
        }
    }

    fn ask(&mut self, name: &str, now: Instant, out: &mut Vec<(Token, Action)>) {
        let Some(source) = self.sources.get_mut(name) else { return };
        let mut queries = Vec::new();
        let interval = source.spec.interval;
        for (key, question) in source.due(now) {
            let asked = |part| Asked { source: name.into(), key: key.clone(), born: question.born, part };
            let asked = [Part::Value, Part::Freshness, Part::Past].map(asked);
            queries.extend(question.ask(&key.0, now, interval, self.version).into_iter().map(|query| {
                let asked = asked.iter().find(|asked| asked.part == query.part).cloned();
                let Queried { expr, at, range, kind, labels, .. } = query;
                (asked, Action::Query { source: name.into(), expr, at, range, kind, labels })
            }));
        }
        for (asked, action) in queries {
            let token = self.emit(action, out);
            self.paces.ask(token, now);
            self.asked.extend(asked.map(|asked| (token, asked)));
        }
    }

    fn emit(&mut self, action: Action, out: &mut Vec<(Token, Action)>) -> Token {
        self.last_token += 1;
        let token = Token(self.last_token);
        out.push((token, action));
        token
    }

    /// Follows policies and sources: rows, questions and who is asked for what. Returns the policies that it concerns.
    fn follow(
        &mut self,
        subjects: &[Subject<'_>],
        sources: &BTreeMap<Box<str>, MetricsSource>,
        now: Instant,
    ) -> BTreeSet<PolicyKey> {
        let moved = source::follow(&mut self.sources, sources);
        self.paces.keep(sources);
        let of_moved = self.policies.iter().filter(|(_, governed)| moved.contains(&governed.source));
        let mut changed: BTreeSet<PolicyKey> = of_moved.map(|(key, _)| key.clone()).collect();
        let known: BTreeSet<&PolicyKey> = subjects.iter().map(Subject::key).collect();
        let gone = self.policies.keys().filter(|key| !known.contains(key)).cloned();
        changed.extend(gone);
        self.policies.retain(|key, _| known.contains(key));
        let version = self.version.wrapping_add(1);
        for subject in subjects {
            let key = subject.key();
            let news = match self.policies.get_mut(key) {
                Some(governed) => governed.follow(subject, version),
                None => self.policies.insert(key.clone(), Governed::new(subject, version)).is_none(),
            };
            let governed = self.policies.get_mut(key);
            let news = governed.is_some_and(|known| known.proofs.follow(subject.proofs, version, now)) || news;
            if news {
                changed.insert(key.clone());
            }
        }
        let grown = self.workloads > self.indexed * 2 || self.workloads < self.indexed / 2;
        if !changed.is_empty() || !moved.is_empty() || grown || std::mem::take(&mut self.capacities.moved) {
            self.version = version;
            self.restless = true;
            self.index(now);
        }
        changed
    }

    /// Groups all rows by the question that answers them. Questions that are asked already go on.
    fn index(&mut self, now: Instant) {
        self.indexed = self.workloads;
        self.order = self.policies.keys().cloned().collect();
        self.capacities.index();
        let mut drafts: BTreeMap<&str, BTreeMap<Ask, question::Draft>> = BTreeMap::new();
        for (number, (key, governed)) in self.policies.iter().enumerate() {
            let Some(source) = self.sources.get(&governed.source) else { continue };
            let drafts = drafts.entry(&governed.source).or_default();
            governed.draft(key, u32::try_from(number).unwrap_or(u32::MAX), &source.spec.identity, drafts);
        }
        for (name, source) in &self.sources {
            let drafts = drafts.entry(name).or_default();
            self.capacities.draft(self.order.len(), name, &source.spec.identity, drafts);
        }
        let mut drafts: BTreeMap<Box<str>, _> =
            drafts.into_iter().map(|(name, drafts)| (Box::from(name), drafts)).collect();
        let version = self.version;
        for (name, source) in &mut self.sources {
            let interval = source.spec.interval;
            let mut old = std::mem::take(&mut source.questions);
            for (ask, draft) in drafts.remove(&**name).unwrap_or_default() {
                let ask = Arc::new(ask);
                let mut known = old.range((Arc::clone(&ask), 0)..).take_while(|((known, _), _)| *known == ask);
                let before = known.next().map(|(_, question)| question.layout);
                let (layout, portions) = draft.split(&ask, self.workloads, before);
                for portion in portions {
                    let key: Key = (Arc::clone(&ask), portion.number);
                    // Of what is split in another way, nothing fits.
                    let question = match old.remove(&key).filter(|question| question.layout == layout) {
                        Some(question) => question.redraw(&ask, portion, interval, now),
                        None => Question::new(&ask, portion, layout, interval, (now, version), source.is_new),
                    };
                    source.questions.insert(key, question);
                }
            }
            if !self.at_once {
                source.spread();
            }
            // The first questions of a source ask for the past, too; later policies begin now.
            source.is_new &= source.questions.is_empty();
        }
    }
}

#[cfg(test)]
mod tests;
