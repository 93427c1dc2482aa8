//! Readings for reports: from a file, or from Prometheus with the operator's own engine, which never writes here.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, bail};

use super::world::{Documents, Surroundings};
use crate::{
    api::{MetricsSource, policy::Mode},
    core::{
        engine::{Account, Action, Input, Outcome, Refusal, Series, World, step},
        evaluate::Verdict,
        facts::{Instant, Span},
        paper::{
            Readings,
            readings::{Point, Reading},
        },
        policy::{Policy, Threshold, thresholds::Metric},
        promql::{Identity, SeriesKey},
        replay,
    },
    shell::prometheus::{Backend, Question},
};

/// Rounds of questions: one that fails by accident is asked once more.
const ROUNDS: usize = 3;
/// Effects that are carried out, at most: far more than a policy has questions.
const MOST_EFFECTS: usize = 10_000;

/// Reads a file of readings.
pub fn read(path: &Path) -> anyhow::Result<Readings> {
    let text = fs::read_to_string(path).with_context(|| format!("reading \"{}\"", path.display()))?;
    Readings::parse(&text).map_err(|error| anyhow::anyhow!("reading \"{}\": {error}", path.display()))
}

/// Clients by the name of their source, and how its series tell workloads.
pub(super) struct Backends(BTreeMap<String, (Result<Backend, String>, Identity)>);

impl Backends {
    pub(super) fn new(sources: &[MetricsSource]) -> Self {
        let client = |source: &MetricsSource| {
            let name = source.metadata.name.clone().unwrap_or_default();
            let backend = Backend::new(&source.spec, None).map_err(|error| format!("{error:#}"));
            (name, (backend, Identity::of(&source.spec)))
        };
        Self(sources.iter().map(client).collect())
    }

    pub(super) async fn ask(&self, source: &str, question: &Question<'_>) -> Result<Vec<Series>, Refusal> {
        use crate::api::conditions::Reason;
        match self.0.get(source) {
            None => Err(Refusal {
                reason: Reason::SourceNotFound,
                message: format!("there is no MetricsSource {source:?}"),
            }),
            Some((Err(error), _)) => Err(Refusal { reason: Reason::BackendUnavailable, message: error.clone() }),
            Some((Ok(backend), _)) => backend.ask(question).await,
        }
    }
}

/// Asks for every threshold of the documents' policies, and for its past over `past`.
pub async fn measure(
    documents: &Documents,
    surroundings: &Surroundings,
    accounts: &[Account],
    past: Option<Span>,
    now: Instant,
) -> anyhow::Result<Readings> {
    let backends = Backends::new(documents.sources());
    if backends.0.is_empty() {
        bail!("there is no MetricsSource: give its manifest with -f, or --prometheus URL");
    }
    let mut observing = documents.clone();
    for policy in &mut observing.policies {
        // Nobody writes here, and nobody shall think of it.
        policy.spec.mode = Some(Mode::Observe);
    }
    let (mut world, first) = observing.into_leading_world(surroundings, now);
    let mut effects = first;
    for _ in 0..ROUNDS {
        effects.extend(step(&mut world, Input::Tick, now));
        settle(&mut world, effects, &backends, now).await?;
        effects = Vec::new();
        if !world.readings().any(|reading| matches!(reading.verdict, Verdict::Unjudged)) {
            break;
        }
    }
    let mut readings = Readings::new(now.whole_seconds());
    for reading in world.readings() {
        let missing = match reading.verdict {
            Verdict::NoData(gap) => Some(gap.missing.why.as_str().to_owned()),
            Verdict::Unjudged => Some("Unknown".to_owned()),
            Verdict::Within | Verdict::Pending { .. } | Verdict::Breached(_) => None,
        };
        readings.thresholds.push(Reading {
            namespace: reading.policy.0.to_string(),
            policy: reading.policy.1.to_string(),
            threshold: reading.threshold.to_owned(),
            target: reading.target.map(crate::core::facts::ObjectKey::short),
            series: reading.series.clone(),
            value: reading.value.filter(|_| missing.is_none()),
            unit: None,
            missing,
            points: Vec::new(),
        });
    }
    let places =
        |r: &Reading| (r.namespace.clone(), r.policy.clone(), r.threshold.clone(), r.target.clone(), r.series.clone());
    readings.thresholds.sort_by_key(places);
    for account in accounts {
        let Some(policy) = &account.policy else { continue };
        for threshold in policy.thresholds.iter().chain(policy.patterns.iter()) {
            for reading in &mut readings.thresholds {
                let is_of = reading.namespace == *account.key.0
                    && reading.policy == *account.key.1
                    && reading.threshold == *threshold.name;
                if !is_of {
                    continue;
                }
                reading.unit = Some(threshold.unit.base().as_str().to_owned());
                // What a pattern shows is made of a long past already.
                if let (Some(past), None, None) = (past, &reading.series, &threshold.pattern) {
                    let target = reading.target.clone();
                    reading.points = points(&world, policy, threshold, target.as_deref(), &backends, past, now).await;
                }
            }
        }
    }
    Ok(readings)
}

/// Carries out what the engine asks for, except for writes.
async fn settle(
    world: &mut World,
    effects: Vec<crate::core::engine::Effect>,
    backends: &Backends,
    now: Instant,
) -> anyhow::Result<()> {
    let mut waiting = std::collections::VecDeque::from(effects);
    let mut done = 0;
    while let Some(effect) = waiting.pop_front() {
        done += 1;
        if done > MOST_EFFECTS {
            bail!("reading metrics: more than {MOST_EFFECTS} questions: name fewer policies");
        }
        let outcome = match (&effect.action, replay::unheard(&effect.action)) {
            (_, Some(outcome)) => outcome,
            (Action::Query { source, expr, at, range, kind: _, labels }, None) => {
                let question = Question { expr, at: *at, range: *range, labels: Some(labels) };
                Outcome::Answer(backends.ask(source, &question).await)
            }
            (_, None) => Outcome::NotFound,
        };
        waiting.extend(step(world, Input::Done(effect.id, outcome), now));
    }
    Ok(())
}

/// Points of the past that are asked for.
const POINTS: i64 = 60;

/// Readings of before; none where nobody answers.
async fn points(
    world: &World,
    policy: &Policy,
    threshold: &Threshold,
    target: Option<&str>,
    backends: &Backends,
    past: Span,
    now: Instant,
) -> Vec<Point> {
    let Some(source) = world.source_of(&policy.identity.key) else { return Vec::new() };
    let Some((_, identity)) = backends.0.get(&*source) else { return Vec::new() };
    let namespace = &policy.identity.key.0;
    let (expr, shape) = match &threshold.metric {
        Metric::Free(query) => (query.expr().to_owned(), None),
        metric @ Metric::Series { .. } => {
            let kind = policy.target.as_ref().and_then(|of| crate::core::paper::dashboard::workload_kind(of.kind));
            let name = target.and_then(|target| target.split_once('/')).map(|(_, name)| name);
            let key = match (kind, name) {
                (Some(_), Some(name)) => SeriesKey::workload(namespace, name),
                _ => SeriesKey::namespace(namespace),
            };
            let Some(shape) = metric.shape(identity, kind) else { return Vec::new() };
            (shape.expr(&[key.clone()].into()), Some((shape, key)))
        }
    };
    let step = Span::millis((past.as_millis() / POINTS).max(1000));
    let question = Question { expr: &expr, at: now, range: Some((now - past, step)), labels: None };
    let Ok(series) = backends.ask(&source, &question).await else { return Vec::new() };
    let is_its = |one: &&Series| {
        shape.as_ref().is_none_or(|(shape, key)| shape.key(|label| one.labels.get(label)).as_ref() == Some(key))
    };
    let Some(series) = series.iter().find(is_its) else { return Vec::new() };
    let point = |(at, value): &(f64, f64)| {
        #[expect(clippy::cast_possible_truncation, reason = "a time of this millennium")]
        let at = Instant::from_millis((at * 1000.0).round() as i64);
        value.is_finite().then(|| Point { at: at.to_string(), value: threshold.unit.to_base(*value) })
    };
    series.points.iter().filter_map(point).collect()
}
