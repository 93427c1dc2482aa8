//! Metrics sources: what their specs mean, whether they answer, and their status.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    super::Refusal,
    Sweep,
    question::{Ask, Key, Question},
};
use crate::{
    api::{
        MetricsSource, MetricsSourceSpec,
        conditions::{ConditionType, Reason},
        source::MetricsSourceStatus,
    },
    core::{
        facts::{Instant, Span},
        promql,
        report::{self, Finding, Truth},
        units::{Decimal, Value, ValueType},
    },
};

/// Time between two sweeps when the source does not say.
pub(super) const DEFAULT_INTERVAL: Span = Span::seconds(30);
/// Shortest time between two sweeps.
const MIN_INTERVAL: Span = Span::seconds(1);
/// Questions that are asked in one second, as long as that is not too long for an interval.
const QUESTIONS_A_SECOND: usize = 4;
/// Hundredths of an interval over which questions are spread at most: the rest is for their answers.
const LONGEST_SPREAD: i64 = 60;
/// Longest time between two sendings of an alert.
const MAX_RESEND: Span = Span::minutes(1);
/// When a status that was handed out, and is not seen on the server, is handed out again.
const STATUS_PATIENCE: Span = Span::seconds(30);

/// A source as the sweep knows it.
#[derive(Debug)]
pub(super) struct Source {
    pub spec: SourceSpec,
    pub questions: BTreeMap<Key, Question>,
    pub health: Health,
    /// Whether nobody has asked it anything yet.
    pub is_new: bool,
    /// How many questions were asked while it was down: each in turn, in case one of them alone is the trouble.
    probes: usize,
    next_probe: Instant,
    /// When all alerts are sent again.
    pub resend_at: Instant,
    /// The status that was handed out last: for which view of the object, when, and what it said.
    reported: Option<(Option<String>, Instant, Truth, Reason)>,
}

/// What a source's spec means.
#[derive(Debug)]
pub(super) struct SourceSpec {
    text: MetricsSourceSpec,
    pub interval: Span,
    pub identity: promql::Identity,
}

/// Whether a source answers.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// When the last question was asked that it answered, and when that answer came.
    alive: Option<(Instant, Instant)>,
    pub down: Option<Down>,
}

/// A source that does not answer.
#[derive(Debug)]
pub(super) struct Down {
    pub since: Instant,
    pub refusal: Refusal,
}

/// Whether a failure says something about the source and not about the query.
pub(in crate::core::engine) const fn concerns_source(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BackendUnavailable
            | Reason::BackendThrottled
            | Reason::BackendUnauthorized
            | Reason::BadResponse
            | Reason::SourceNotFound
    )
}

/// Follows the objects. Returns the sources that came, went or changed.
pub(super) fn follow(
    known: &mut BTreeMap<Box<str>, Source>,
    objects: &BTreeMap<Box<str>, MetricsSource>,
) -> BTreeSet<Box<str>> {
    let mut moved: BTreeSet<Box<str>> = known.keys().filter(|name| !objects.contains_key(*name)).cloned().collect();
    known.retain(|name, _| objects.contains_key(name));
    for (name, object) in objects {
        // Another address may be another server; what was asked of the old one is of no use.
        if known.get(name).is_none_or(|source| source.spec.text != object.spec) {
            known.insert(name.clone(), Source::new(&object.spec));
            moved.insert(name.clone());
        }
    }
    moved
}

impl Source {
    fn new(spec: &MetricsSourceSpec) -> Self {
        Self {
            spec: SourceSpec::new(spec),
            questions: BTreeMap::new(),
            health: Health::default(),
            is_new: true,
            probes: 0,
            next_probe: Instant::default(),
            resend_at: Instant::default(),
            reported: None,
        }
    }

    /// The questions that ask this.
    pub fn asking(&self, ask: Ask) -> impl Iterator<Item = &Question> {
        let ask = Arc::new(ask);
        let from = (Arc::clone(&ask), 0);
        self.questions.range(from..).take_while(move |((known, _), _)| *known == ask).map(|(_, question)| question)
    }

    /// Spreads the questions over the interval, so that many are no burst: some in each second, and always the same ones.
    pub fn spread(&mut self) {
        let seconds = i64::try_from(self.questions.len() / QUESTIONS_A_SECOND).unwrap_or(i64::MAX);
        let longest = self.spec.interval.as_millis() * LONGEST_SPREAD / 100 / 1000;
        let seconds = seconds.min(longest).max(0).unsigned_abs();
        for ((_, number), question) in &mut self.questions {
            let offset = question.number(*number) % (seconds + 1);
            question.spread(Span::seconds(i64::try_from(offset).unwrap_or_default()));
        }
    }

    /// Whether anybody is there to be told.
    pub fn has_alertmanagers(&self) -> bool {
        !self.spec.text.alertmanagers.is_empty()
    }

    /// How often alerts are sent again.
    pub fn resend(&self) -> Span {
        self.spec.interval.min(MAX_RESEND)
    }

    pub fn resend_due(&self, now: Instant) -> bool {
        self.has_alertmanagers() && (self.resend_at <= now || self.resend_at.since(now) > self.resend())
    }

    /// Whether there is a question to ask now.
    pub fn is_due(&self, now: Instant) -> bool {
        let interval = self.spec.interval;
        if self.health.down.is_none() {
            return self.questions.values().any(|question| question.is_due(interval, now));
        }
        let waits = self.next_probe > now && self.next_probe.since(now) <= interval;
        !waits && !self.questions.is_empty() && !self.questions.values().any(Question::is_under_way)
    }

    /// The questions to ask now. Of a source that is down, one at a time.
    pub fn due(&mut self, now: Instant) -> Vec<(&Key, &mut Question)> {
        if !self.is_due(now) {
            return Vec::new();
        }
        let interval = self.spec.interval;
        if self.health.down.is_none() {
            return self.questions.iter_mut().filter(|(_, question)| question.is_due(interval, now)).collect();
        }
        self.next_probe = now + interval;
        self.probes = self.probes.wrapping_add(1);
        let turn = self.probes % self.questions.len().max(1);
        self.questions.iter_mut().nth(turn).into_iter().collect()
    }
}

impl SourceSpec {
    fn new(spec: &MetricsSourceSpec) -> Self {
        Self {
            text: spec.clone(),
            // The schema has checked it; whoever came around that gets the default.
            interval: spec.interval.as_deref().and_then(span).unwrap_or(DEFAULT_INTERVAL).max(MIN_INTERVAL),
            identity: promql::Identity::of(spec),
        }
    }
}

fn span(text: &str) -> Option<Span> {
    let seconds = Value::parse(ValueType::Duration, text).ok()?.amount()?;
    seconds.checked_mul(Decimal::from_int(1000))?.to_i64().map(Span::millis)
}

impl Health {
    /// Whether the source answers; nothing until it was asked.
    pub fn is_up(&self) -> Option<bool> {
        if self.down.is_some() { Some(false) } else { self.alive.map(|_| true) }
    }

    /// A question that was asked `at` got an answer, be it a refusal of the question alone. Returns whether the source
    /// was down.
    pub fn answered(&mut self, at: Instant, now: Instant) -> bool {
        self.alive = Some((at, now));
        self.down.take().is_some()
    }

    /// A question that was asked `at` failed as it would if the source were down. Returns whether it is down now and was
    /// not.
    ///
    /// It is down when nothing was answered in two sweeps; at first, when nothing was answered in one, so that one lost
    /// query is no outage.
    pub fn failed(&mut self, refusal: &Refusal, at: Instant, interval: Span, others_wait: bool) -> bool {
        if let Some(down) = &mut self.down {
            // Since when stays, why is news.
            let news = down.refusal.reason != refusal.reason;
            down.refusal = refusal.clone();
            return news;
        }
        let dead = match self.alive {
            None => !others_wait,
            Some((alive, _)) => at.since(alive) > interval,
        };
        if dead {
            self.down = Some(Down { since: at, refusal: refusal.clone() });
        }
        dead
    }

    /// What is found; nothing before the first answer.
    fn finding(&self) -> Option<Finding> {
        match (&self.down, &self.alive) {
            (Some(down), _) => Some(Finding::new(Truth::False, down.refusal.reason, down.refusal.message.clone())),
            (None, Some(_)) => Some(Finding::new(Truth::True, Reason::Answered, "the server answers")),
            (None, None) => None,
        }
    }
}

impl Sweep {
    /// The sources that are asked for something, each with the time between two sweeps.
    pub fn intervals(&self) -> impl Iterator<Item = (&str, Span)> {
        let asked = self.sources.iter().filter(|(_, source)| !source.questions.is_empty());
        asked.map(|(name, source)| (&**name, source.spec.interval))
    }

    /// The statuses of sources that must be written: those of which an object says something else than what is found.
    ///
    /// One that was handed out is not handed out again until its object shows a change, or the write may have failed.
    pub fn source_statuses(
        &mut self,
        objects: &BTreeMap<Box<str>, MetricsSource>,
        now: Instant,
    ) -> Vec<(Box<str>, MetricsSourceStatus)> {
        let mut statuses = Vec::new();
        for (name, object) in objects {
            let Some(source) = self.sources.get_mut(name) else { continue };
            let Some(finding) = source.health.finding() else { continue };
            let generation = object.metadata.generation;
            let written = object.status.clone().unwrap_or_default();
            let known = report::find(&written.conditions, ConditionType::Available);
            let says = known.map(|known| (known.status.as_str(), known.reason.as_str()));
            let same = says == Some((finding.truth.as_str(), finding.reason.as_str()));
            if same && written.observed_generation == generation {
                source.reported = None;
                continue;
            }
            let version = object.metadata.resource_version.clone();
            let waits = source.reported.as_ref().is_some_and(|(of, at, truth, reason)| {
                let elapsed = now.since(*at);
                let recent = elapsed >= Span::ZERO && elapsed < STATUS_PATIENCE;
                *of == version && recent && (*truth, *reason) == (finding.truth, finding.reason)
            });
            if waits {
                continue;
            }
            source.reported = Some((version, now, finding.truth, finding.reason));
            let success = source.health.alive.map(|(_, at)| at.whole_seconds().to_string());
            let generation_or_none = generation.unwrap_or_default();
            let condition = report::condition(
                ConditionType::Available,
                &finding,
                generation_or_none,
                &written.conditions,
                &report::time(now),
            );
            statuses.push((
                name.clone(),
                MetricsSourceStatus {
                    observed_generation: generation,
                    conditions: vec![condition],
                    last_success: success.or(written.last_success),
                },
            ));
        }
        statuses
    }
}
