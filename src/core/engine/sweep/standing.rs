//! What a policy's status says of its thresholds, and live readings.
//!
//! Texts hold the reading at the transition and never the latest, so that they change with verdicts only.

use std::collections::BTreeMap;

use super::{
    super::Refusal,
    Sweep, advice,
    groups::spelled,
    rows::{Governed, Row},
    source::{Source, concerns_source},
};
use crate::{
    api::{
        PerformancePolicyStatus,
        conditions::{ConditionType, Reason},
        policy::PatternKind,
        status::{AdviceStatus, ThresholdStatus},
    },
    core::{
        evaluate::{Breach, Gap, Side, Verdict},
        facts::{ObjectKey, Span},
        policy::{
            PolicyKey, Threshold,
            thresholds::{Level, Shown, word},
        },
        promql::{Group, Missing, Shape},
        report::{
            self, Finding, Truth,
            checklist::{self, Known},
        },
        units::{Decimal, Dimension, Quantity},
    },
};

/// Thresholds that a message names.
const NAMED: usize = 3;

/// What the metrics half of the engine says about a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Whether the thresholds hold.
    pub compliant: Finding,
    /// Whether the queries were answered.
    pub metrics: Finding,
    /// What only a change of the policy can help: a query that its backend cannot parse.
    pub stalled: Option<(Reason, String)>,
    /// Thresholds that are breached or without data, the worst first.
    pub thresholds: Vec<ThresholdStatus>,
    /// Thresholds in all, over all targets, and those within their bounds.
    pub counts: (u32, u32),
    /// Patterns that were found, and hints of thresholds that are breached together, the most urgent first.
    pub advice: Vec<AdviceStatus>,
}

/// The latest reading of a threshold on a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading<'a> {
    /// The policy.
    pub policy: &'a PolicyKey,
    /// Name of the threshold or of the pattern.
    pub threshold: &'a str,
    /// The kind, if it is a pattern.
    pub pattern: Option<PatternKind>,
    /// The target; nothing where a reading is one for all.
    pub target: Option<&'a ObjectKey>,
    /// The values of the labels that the threshold keeps apart, such as `tier="gold"`.
    pub series: Option<String>,
    /// Whether it is the first of its threshold and target: what is the same for every value of the labels is told with it.
    pub is_first: bool,
    /// The reading in base units, unless it is missing.
    pub value: Option<f64>,
    /// Of a share: between what it lies, each end at 95 %.
    pub interval: Option<(f64, f64)>,
    /// The verdict.
    pub verdict: Verdict,
    /// The bounds.
    pub levels: &'a [Level],
}

impl Measured {
    fn nothing(truth: Truth, reason: Reason, message: &str) -> Self {
        let finding = Finding::new(truth, reason, message);
        Self {
            compliant: finding.clone(),
            metrics: finding,
            stalled: None,
            thresholds: Vec::new(),
            counts: (0, 0),
            advice: Vec::new(),
        }
    }
}

impl Sweep {
    /// What the status of a policy says of its thresholds, where `written` is the status as it is.
    ///
    /// Until every threshold was measured, after a restart, it says what it said before.
    #[must_use]
    pub fn standing(&self, policy: &PolicyKey, written: &PerformancePolicyStatus) -> Measured {
        let Some(governed) = self.policies.get(policy) else {
            let nothing = Measured::nothing(Truth::Unknown, Reason::Unknown, "the policy is not measured");
            return said_before(written).filter(|_| !self.follows).unwrap_or(nothing);
        };
        if governed.watches_nothing() {
            return Measured::nothing(Truth::Unknown, Reason::NoThresholds, "the policy has no thresholds");
        }
        if governed.rows.is_empty() {
            let message = "no object matches the target, so there is nothing to measure";
            return Measured::nothing(Truth::Unknown, Reason::NoTargets, message);
        }
        let source = self.sources.get(&governed.source);
        let states: Vec<State<'_>> = governed.rows.iter().map(|row| State::of(governed, row, source)).collect();
        // A pattern is no obligation: it has a say in whether the queries are answered, and in nothing else.
        let (patterns, states): (Vec<_>, Vec<_>) = states.into_iter().partition(State::is_pattern);
        let unjudged = states.iter().any(|state| matches!(state.verdict, Verdict::Unjudged));
        // Of a spec before this one, it says nothing about this one.
        let same_spec = written.observed_generation == Some(governed.generation);
        if unjudged
            && same_spec
            && let Some(before) = said_before(written)
        {
            return before;
        }
        let known = written_finding(written, ConditionType::MetricsAvailable).filter(|_| same_spec);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let within = states.iter().filter(|state| state.is_within()).count();
        let mut measured = Measured {
            compliant: compliant(&states),
            metrics: metrics(&[states.as_slice(), patterns.as_slice()], governed, source),
            stalled: None,
            thresholds: listed(&states, governed),
            counts: (count(states.len()), count(within)),
            advice: advice::advice(governed),
        };
        // Until it is asked again how exact readings are, after a restart, that stays as it was.
        let unchecked = source.is_some_and(|source| governed.is_unchecked(&source.spec.identity));
        let same = |known: &Finding| (known.truth, known.reason) == (measured.metrics.truth, measured.metrics.reason);
        if let Some(known) = known.filter(|known| unchecked && known.reason == Reason::Answered && same(known)) {
            measured.metrics = known;
        }
        if measured.metrics.reason == Reason::QueryInvalid {
            measured.stalled = Some((Reason::QueryInvalid, measured.metrics.message.clone()));
        }
        measured
    }

    /// What is known of a policy's thresholds; `None` until each of them has been judged.
    #[must_use]
    pub fn known(&self, policy: &PolicyKey) -> Option<checklist::Readings> {
        let Some(governed) = self.policies.get(policy) else { return self.follows.then(BTreeMap::new) };
        let source = self.sources.get(&governed.source);
        let mut known: BTreeMap<Box<str>, Known> = BTreeMap::new();
        for row in &governed.rows {
            let state = State::of(governed, row, source);
            let Some(threshold) = state.threshold else { continue };
            let (word, within) = match (state.verdict, state.breach) {
                (Verdict::Unjudged, _) => return None,
                (Verdict::NoData(_), None) => ("NoData", None),
                (Verdict::NoData(_), Some(_)) => ("NoData", Some(false)),
                (Verdict::Within, _) => ("Within", Some(true)),
                (Verdict::Pending { .. }, _) => ("Pending", Some(true)),
                (Verdict::Breached(_), _) => ("Breached", Some(false)),
            };
            let current = row.tracks().filter_map(|(_, track)| track.value());
            let current = current.fold(None, |worst, value| Some(threshold.worse(worst, value)));
            let first = !known.contains_key(&threshold.name);
            let merged = known.entry(threshold.name.clone()).or_default();
            merged.within = match (merged.within, within) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (before, now) if first => now.or(before),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
            if first || merged.state == "Within" || word == "Breached" {
                merged.state = word;
            }
            if let Some(value) = current {
                merged.current = Some(threshold.worse(merged.current, value));
            }
        }
        Some(known)
    }

    /// Name of the source that is asked for a policy.
    #[must_use]
    pub fn source_of(&self, policy: &PolicyKey) -> Option<Box<str>> {
        self.policies.get(policy).map(|governed| governed.source.clone())
    }

    /// The latest readings of all policies.
    pub fn readings(&self) -> impl Iterator<Item = Reading<'_>> {
        self.policies.iter().flat_map(|(policy, governed)| {
            governed.rows.iter().filter_map(|row| Some((row, governed.threshold(row)?))).flat_map(
                move |(row, threshold)| {
                    let by = threshold.metric.by();
                    row.tracks().enumerate().map(move |(index, (group, track))| Reading {
                        is_first: index == 0,
                        policy,
                        threshold: &threshold.name,
                        pattern: threshold.pattern.map(|pattern| pattern.kind),
                        target: governed.target(row),
                        series: group.map(|group| spelled(by, group)),
                        value: track.value(),
                        interval: track
                            .shown()
                            .filter(|shown| shown.tries > 0.0)
                            .map(|shown| (shown.least, shown.most)),
                        verdict: track.verdict(&threshold.levels),
                        levels: &threshold.levels,
                    })
                },
            )
        })
    }
}

/// A row and what is known of it.
struct State<'a> {
    threshold: Option<&'a Threshold>,
    /// The target, where the policy has several.
    target: Option<String>,
    verdict: Verdict,
    /// The worst breached level, held or not.
    breach: Option<Breach>,
    /// Where labels are kept apart, the values of which that breach is.
    group: Option<&'a Group>,
    row: &'a Row,
}

impl<'a> State<'a> {
    fn of(governed: &'a Governed, row: &'a Row, source: Option<&Source>) -> Self {
        let threshold = governed.threshold(row);
        let verdict = match (governed.verdict(row), source.and_then(|source| source.health.down.as_ref())) {
            // Nobody asks about every single row while the source is down.
            (Verdict::Unjudged, Some(down)) => {
                Verdict::NoData(Gap { since: down.since, missing: Missing::new(down.refusal.reason) })
            }
            (verdict, _) => verdict,
        };
        let breach = threshold.and_then(|threshold| row.breach(&threshold.levels));
        let breach = breach.filter(|_| !matches!(verdict, Verdict::Unjudged));
        let (group, breach) = breach.map_or((None, None), |(group, breach)| (group, Some(breach)));
        Self { threshold, target: governed.listed_target(row), verdict, breach, group, row }
    }

    fn name(&self) -> String {
        let name = self.threshold.map_or("", |threshold| &threshold.name);
        let group = self.group.map(|group| format!(" ({})", spelled(self.by(), group))).unwrap_or_default();
        let target = self.target.as_ref().map(|target| format!(" of {target}")).unwrap_or_default();
        format!("{name}{group}{target}")
    }

    fn by(&self) -> &'a [String] {
        self.threshold.map_or(&[], |threshold| threshold.metric.by())
    }

    const fn is_pattern(&self) -> bool {
        match self.threshold {
            Some(threshold) => threshold.pattern.is_some(),
            None => false,
        }
    }

    const fn is_within(&self) -> bool {
        matches!(self.verdict, Verdict::Within | Verdict::Pending { .. })
    }

    /// Whether the source answers that there was nothing to measure.
    fn is_idle(&self) -> bool {
        self.gap().is_some_and(|gap| gap.missing.why == Reason::TooFewSamples)
    }

    const fn gap(&self) -> Option<Gap> {
        match self.verdict {
            Verdict::NoData(gap) => Some(gap),
            Verdict::Unjudged | Verdict::Within | Verdict::Pending { .. } | Verdict::Breached(_) => None,
        }
    }
}

fn compliant(states: &[State<'_>]) -> Finding {
    let mut breached: Vec<(&State<'_>, Breach)> =
        states.iter().filter_map(|state| Some((state, state.breach?))).collect();
    breached.sort_by_key(|(_, breach)| std::cmp::Reverse(breach.severity));
    if !breached.is_empty() {
        let said = list(breached.iter().map(|(state, breach)| {
            let held = state.gap().map(|gap| format!(", no data since {}", gap.since)).unwrap_or_default();
            format!(
                "{} was {} at {}, {} {} ({}{held})",
                state.name(),
                amount(breach),
                breach.since,
                breach.side.as_str(),
                breach.bound,
                word(breach.severity),
            )
        }));
        let total = format!("{} of {} thresholds {} breached", breached.len(), states.len(), are(breached.len()));
        return Finding::new(Truth::False, Reason::Breached, format!("{total}: {said}"));
    }
    // Where nothing happens nothing is too slow: idle thresholds are named, and leave the verdict to the others.
    if states.is_empty() {
        return Finding::new(Truth::Unknown, Reason::NoThresholds, "the policy has no thresholds");
    }
    let (idle, blind): (Vec<_>, Vec<_>) =
        states.iter().filter(|state| state.gap().is_some()).partition(|state| state.is_idle());
    if !blind.is_empty() {
        let said = list(blind.iter().map(|state| state.name()));
        let total = format!("{} of {} thresholds cannot be judged without data", blind.len(), states.len());
        return Finding::new(Truth::Unknown, Reason::NoData, format!("{total}: {said}"));
    }
    if states.iter().any(|state| matches!(state.verdict, Verdict::Unjudged)) {
        return Finding::new(Truth::Unknown, Reason::Unknown, "not all thresholds have been measured yet");
    }
    if idle.is_empty() {
        return Finding::new(Truth::True, Reason::Within, format!("all thresholds hold ({})", states.len()));
    }
    let said = list(idle.iter().map(|state| state.name()));
    let hold = states.len() - idle.len();
    if hold == 0 {
        return Finding::new(Truth::Unknown, Reason::NoData, format!("too little happened in any window: {said}"));
    }
    let total =
        format!("{hold} of {} thresholds hold, and too little happened in the window of the others", states.len());
    Finding::new(Truth::True, Reason::Within, format!("{total}: {said}"))
}

/// The reading of a breach, and of a share what it shows: `20% of 25 (at least 9.3%)`.
pub(super) fn amount(breach: &Breach) -> String {
    let unit = breach.bound.unit();
    let shown = Shown::of(breach.value, Some(breach.tries));
    let (word, end) = match breach.side {
        Side::Above => ("least", shown.least),
        Side::Below => ("most", shown.most),
    };
    let certain =
        if shown.tries > 0.0 { format!(" of {} (at {word} {})", shown.tries, unit.format(end)) } else { String::new() };
    format!("{}{certain}", unit.format(breach.value))
}

fn metrics(states: &[&[State<'_>]; 2], governed: &Governed, source: Option<&Source>) -> Finding {
    let Some(source) = source else {
        let message = format!("there is no MetricsSource \"{}\"", governed.source);
        return Finding::new(Truth::False, Reason::SourceNotFound, message);
    };
    let blind = states.iter().copied().flatten().filter(|state| !state.is_idle());
    let mut blind: Vec<(&State<'_>, Gap)> = blind.filter_map(|state| Some((state, state.gap()?))).collect();
    // What concerns all of them first, then what only a person can help.
    blind.sort_by_key(|(_, gap)| (!concerns_source(gap.missing.why), gap.missing.why != Reason::QueryInvalid));
    if let Some((_, worst)) = blind.first() {
        let reason = worst.missing.why;
        if concerns_source(reason) {
            let failure = source.health.down.as_ref().map(|down| failure(&down.refusal));
            let failure = failure.unwrap_or_else(|| missing(worst.missing));
            let message = format!("MetricsSource \"{}\": {failure}, since {}", governed.source, worst.since);
            return Finding::new(Truth::False, reason, message);
        }
        let said = list(blind.iter().map(|(state, gap)| {
            let failures = governed.ask(state.row, &source.spec.identity).into_iter();
            let failures = failures.flat_map(|ask| source.asking(ask)).filter_map(|question| question.failure.as_ref());
            let refusal =
                failures.into_iter().find(|refusal| refusal.reason == gap.missing.why && !refusal.message.is_empty());
            let detail = refusal.map(|refusal| format!(" ({})", refusal.message)).unwrap_or_default();
            format!("{}: {}{detail}, since {}", state.name(), missing(gap.missing), gap.since)
        }));
        return Finding::new(Truth::False, reason, said);
    }
    // A pattern may be asked for seldom, and nobody waits for it.
    if states[0].iter().any(|state| matches!(state.verdict, Verdict::Unjudged)) {
        return Finding::new(Truth::Unknown, Reason::Unknown, "not everything has been asked yet");
    }
    let answers = format!("MetricsSource \"{}\" answers every query", governed.source);
    let mut exact: Vec<String> = Vec::new();
    for state in states[0] {
        let said = state.threshold.zip(state.row.notes.as_ref());
        let said =
            said.and_then(|(threshold, notes)| Some(format!("{}: {}", state.name(), notes.said(threshold.unit)?)));
        exact.extend(said.filter(|said| !exact.contains(said)));
    }
    let exact = if exact.is_empty() { String::new() } else { format!("; {}", list(exact.into_iter())) };
    Finding::new(Truth::True, Reason::Answered, format!("{answers}{exact}"))
}

/// Thresholds that are not within, the worst first; where labels are kept apart, each value that is breached, because the
/// next leader goes by it.
fn listed(states: &[State<'_>], governed: &Governed) -> Vec<ThresholdStatus> {
    let mut listed = Vec::new();
    for state in states {
        let Some(threshold) = governed.threshold(state.row) else { continue };
        let entry = |labels, word: &str, severity, since, value, of| ThresholdStatus {
            name: threshold.name.to_string(),
            target: state.target.clone(),
            labels,
            state: word.to_owned(),
            severity,
            since: report::time(since),
            value,
            of,
        };
        let labelled = |group: Option<&Group>| labels(threshold.metric.by(), group);
        if let Some(gap) = state.gap() {
            let severity = state.breach.map(|breach| breach.severity);
            let why = gap.missing.why.as_str().to_owned();
            listed.push(entry(labelled(state.group), "NoData", severity, gap.since, why, None));
        } else if state.breach.is_some() {
            for (group, breach) in state.row.breaches(&threshold.levels) {
                let value = breach.bound.unit().format(breach.value);
                #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
                let of = (breach.tries > 0.0).then_some(breach.tries as i64);
                listed.push(entry(labelled(group), "Breached", Some(breach.severity), breach.since, value, of));
            }
        }
    }
    listed.sort_by_key(|entry| std::cmp::Reverse(entry.severity));
    listed
}

/// Values by label, where labels are kept apart.
pub(super) fn labels(by: &[String], group: Option<&Group>) -> BTreeMap<String, String> {
    let values = group.into_iter().flatten();
    by.iter().zip(values).map(|(label, value)| (label.clone(), value.to_string())).collect()
}

/// What the status says now in one of its conditions.
pub(super) fn written_finding(written: &PerformancePolicyStatus, kind: ConditionType) -> Option<Finding> {
    let condition = report::find(&written.conditions, kind)?;
    let truth =
        [Truth::True, Truth::False, Truth::Unknown].into_iter().find(|truth| truth.as_str() == condition.status)?;
    Some(Finding::new(truth, Reason::from_word(&condition.reason)?, condition.message.clone()))
}

/// What the status says now, if it says anything about this.
fn said_before(written: &PerformancePolicyStatus) -> Option<Measured> {
    let finding = |kind| written_finding(written, kind);
    let (compliant, metrics) = (finding(ConditionType::Compliant)?, finding(ConditionType::MetricsAvailable)?);
    let stalled = (metrics.reason == Reason::QueryInvalid).then(|| (metrics.reason, metrics.message.clone()));
    let counts = written.counts.as_ref().map_or((0, 0), |counts| (counts.thresholds, counts.thresholds_within));
    let (thresholds, advice) = (written.thresholds.clone(), written.advice.clone());
    Some(Measured { compliant, metrics, stalled, thresholds, counts, advice })
}

const fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// The first few of a list.
pub(super) fn list(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len().saturating_sub(NAMED);
    let mut named: Vec<String> = items.take(NAMED).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join("; ")
}

/// Why a reading is missing, in words.
pub(super) fn missing(missing: Missing) -> String {
    let text = match missing.why {
        Reason::NoData => "no series answers",
        Reason::NotANumber => "the reading is not a number",
        Reason::TooFewSamples => "too little happened in the window",
        Reason::CounterReset => {
            "the counter goes back again and again: it is none, or several processes expose it as one"
        }
        Reason::NotExported => "the summary does not export this percentile",
        Reason::StaleData => "the newest sample is too old",
        Reason::ClockSkew => "samples lie in the future: compare the clocks",
        Reason::AmbiguousResult => return format!("{} series answer where one must", missing.series),
        Reason::TooManySeries => {
            return format!(
                "more than {} values of its labels answer, which no threshold keeps apart",
                Shape::MAX_GROUPS
            );
        }
        Reason::WrongType => "the answer is of another type than asked for",
        Reason::PartialResult => "the answer is incomplete",
        Reason::QueryInvalid => "the backend cannot parse the query",
        Reason::QueryFailed => "the backend could not execute the query",
        Reason::QueryTooExpensive => "the query exceeds a limit of the backend",
        Reason::BackendUnavailable => "the backend does not answer",
        Reason::BackendThrottled => "the backend asks to slow down",
        Reason::BackendUnauthorized => "the backend refuses the credential",
        Reason::BadResponse => "what answers is not a Prometheus",
        other => other.as_str(),
    };
    text.to_owned()
}

/// How a source fails, in words.
pub(super) fn failure(refusal: &Refusal) -> String {
    let words = missing(Missing::new(refusal.reason));
    if refusal.message.is_empty() { words } else { format!("{words} ({})", refusal.message) }
}

/// A span as a policy writes it.
pub(super) fn span(span: Span) -> String {
    let seconds = Decimal::from_nanos(i128::from(span.as_millis()) * 1_000_000);
    Quantity::new(seconds, Dimension::Duration).to_string()
}
