//! A sweep in a laboratory: policies, a source, a clock that is set by hand, and a model of Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::super::{Expected, Measured, Subject, Sweep, Token};
use crate::{
    api::{MetricsSource, PerformancePolicy, PerformancePolicyStatus, conditions::Reason},
    core::{
        engine::{Action, Alert, Answer, Refusal, Series},
        facts::{Instant, Kind, ObjectKey, Span},
        policy::{Policy, PolicyKey},
        resolve::Rules,
    },
};

/// A whole minute.
pub const START: Instant = Instant::from_millis(1_700_000_040_000);

/// What the world outside answers.
pub struct Prometheus {
    /// Values by metric and workload; several of one are several series.
    pub readings: BTreeMap<(&'static str, &'static str), Vec<f64>>,
    /// Values of `web` by its label `tier`, for queries that keep it apart.
    pub tiers: BTreeMap<String, f64>,
    /// What pods of `web` tell.
    pub told: Vec<(String, f64)>,
    /// How many observations every reading is made of.
    pub samples: f64,
    /// Values of the label that is asked for beside histograms and summaries of `web`.
    pub edges: Vec<&'static str>,
    /// Whether counters of `web` go back again and again.
    pub resets: bool,
    /// How old the newest sample is.
    pub age: Span,
    /// What it was before now, for range queries.
    pub past: Option<fn(Instant) -> f64>,
    /// It answers nothing but this.
    pub broken: Option<Reason>,
    /// It answers this for queries that contain the text.
    pub refuses: BTreeMap<&'static str, Reason>,
    /// Answers come for another time than asked for.
    pub off: Span,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self {
            readings: BTreeMap::new(),
            tiers: BTreeMap::new(),
            told: Vec::new(),
            samples: 1e6,
            edges: Vec::new(),
            resets: false,
            age: Span::seconds(10),
            past: None,
            broken: None,
            refuses: BTreeMap::new(),
            off: Span::ZERO,
        }
    }
}

impl Prometheus {
    fn answer(&self, expr: &str, at: Instant, range: Option<(Instant, Span)>) -> Answer {
        let refusals = self.refuses.iter().filter(|(text, _)| expr.contains(*text)).map(|(_, reason)| *reason);
        if let Some(reason) = self.broken.or(refusals.min()) {
            return Err(Refusal { reason, message: "HTTP 503".to_owned() });
        }
        if expr.contains("trimtab_value") || expr.contains("by (pod)") {
            let series = |(pod, value): &(String, f64)| {
                let told = [("namespace", "shop"), ("trimtab_workload", "web"), ("trimtab_value", &value.to_string())]
                    .map(|(label, value)| (label.into(), value.into()));
                let labels = [("pod".into(), pod.as_str().into())].into_iter().chain(told).collect();
                Series { labels, points: vec![((at + self.off).seconds(), *value)] }
            };
            return Ok(self.told.iter().map(series).collect());
        }
        let web = || [("namespace".into(), "shop".into()), ("trimtab_workload".into(), "web".into())];
        let point = vec![((at + self.off).seconds(), 9.0)];
        if expr.contains("resets(") {
            let series = Series { labels: web().into(), points: point };
            return Ok(Some(series).filter(|_| self.resets).into_iter().collect());
        }
        if expr.contains("count by (namespace,trimtab_workload,") {
            let label = if expr.contains("_bucket") { "le" } else { "quantile" };
            let labels = |edge: &&str| web().into_iter().chain([(label.into(), (*edge).into())]).collect();
            return Ok(self.edges.iter().map(|edge| Series { labels: labels(edge), points: point.clone() }).collect());
        }
        if expr.contains("tier") {
            let tiers = self.tiers.iter().flat_map(|(tier, value)| {
                let mut series = self.series(expr, "web", *value, at, range);
                for series in &mut series {
                    series.labels.insert("tier", tier);
                }
                series
            });
            return Ok(tiers.collect());
        }
        let found = self.readings.iter().filter(|((metric, _), _)| expr.contains(metric));
        let series = found.flat_map(|((_, workload), values)| values.iter().map(move |value| (*workload, *value)));
        Ok(series.flat_map(|(workload, value)| self.series(expr, workload, value, at, range)).collect())
    }

    /// A reading, and the number of its observations where that is asked for.
    fn series(
        &self,
        expr: &str,
        workload: &str,
        value: f64,
        at: Instant,
        range: Option<(Instant, Span)>,
    ) -> Vec<Series> {
        let labels = [("namespace", "shop"), ("trimtab_workload", workload)];
        let labels = labels.into_iter().map(|(label, value)| (label.into(), value.into())).collect();
        let points = match (range, self.past) {
            (Some((start, step)), Some(past)) => {
                let steps = at.since(start).as_millis() / step.as_millis();
                (0..=steps).map(|n| start + step.times(n)).map(|time| (time.seconds(), past(time))).collect()
            }
            (Some(_), None) => vec![(at.seconds(), value)],
            (None, _) if expr.contains("timestamp(") => vec![((at + self.off).seconds(), (at - self.age).seconds())],
            (None, _) => vec![((at + self.off).seconds(), value)],
        };
        let readings = Series { labels, points };
        let mut count = readings.clone();
        count.labels.insert("trimtab_part", "count");
        count.points.iter_mut().for_each(|(_, value)| *value = self.samples);
        if expr.contains("trimtab_part") { vec![readings, count] } else { vec![readings] }
    }
}

/// A query that was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub token: Token,
    pub expr: String,
    pub at: Instant,
    pub range: Option<(Instant, Span)>,
}

pub struct Lab {
    pub sweep: Sweep,
    pub now: Instant,
    pub rules: Rules,
    pub policies: BTreeMap<PolicyKey, Policy>,
    pub statuses: BTreeMap<PolicyKey, PerformancePolicyStatus>,
    pub targets: Vec<ObjectKey>,
    /// What pods shall tell.
    pub expected: BTreeMap<ObjectKey, Expected>,
    pub sources: BTreeMap<Box<str>, MetricsSource>,
    pub prometheus: Prometheus,
    /// Everything that was asked, and every alert that was sent, with its time.
    pub asked: Vec<Asked>,
    pub sent: Vec<(Instant, Alert)>,
    /// Policies of which people had to be told something else.
    pub told: Vec<(Instant, PolicyKey)>,
}

impl Lab {
    /// A lab with a source that has an Alertmanager, a class that allows everything, and one Deployment.
    pub fn new() -> Self {
        let source: MetricsSource = serde_json::from_value(json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "MetricsSource", "metadata": {"name": "default", "generation": 1, "resourceVersion": "1"},
            "spec": {"prometheus": {"url": "http://prometheus"}, "alertmanagers": ["http://alertmanager"]}
        }))
        .unwrap();
        let mut rules = Rules::built_in();
        rules.spec = serde_json::from_value(
            json!({"sink": "Alertmanager", "freeQueries": true, "alertLabels": {"team": "platform", "site": "x"}}),
        )
        .unwrap();
        Self {
            sweep: Sweep::default(),
            now: START,
            rules,
            policies: BTreeMap::new(),
            statuses: BTreeMap::new(),
            targets: vec![ObjectKey::new(Kind::Deployment, "shop", "web")],
            expected: BTreeMap::new(),
            sources: BTreeMap::from([("default".into(), source)]),
            prometheus: Prometheus::default(),
            asked: Vec::new(),
            sent: Vec::new(),
            told: Vec::new(),
        }
    }

    /// A lab with one policy `web` of these thresholds.
    pub fn with(thresholds: serde_json::Value) -> Self {
        let mut lab = Self::new();
        lab.policy("web", 1, thresholds);
        lab
    }

    pub fn policy(&mut self, name: &str, generation: i64, thresholds: serde_json::Value) {
        let mut policy: PerformancePolicy = serde_json::from_value(json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
            "metadata": {"namespace": "shop", "name": name, "uid": name, "generation": generation, "resourceVersion": generation.to_string()},
            "spec": {"target": {"kind": "Deployment", "name": "web"}, "alerting": {"labels": {"team": "shop"}, "runbookURL": "https://runbooks/web"}}
        }))
        .unwrap();
        policy.spec.thresholds = serde_json::from_value(thresholds).unwrap();
        let policy = Policy::parse(&policy).unwrap();
        self.policies.insert(policy.identity.key.clone(), policy);
    }

    /// A policy `web` of these thresholds and patterns.
    pub fn advised(thresholds: serde_json::Value, patterns: serde_json::Value) -> Self {
        let mut lab = Self::new();
        let policy: PerformancePolicy = serde_json::from_value(json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
            "metadata": {"namespace": "shop", "name": "web", "uid": "web", "generation": 1, "resourceVersion": "1"},
            "spec": {"target": {"kind": "Deployment", "name": "web"}, "thresholds": thresholds, "patterns": patterns}
        }))
        .unwrap();
        let policy = Policy::parse(&policy).unwrap();
        lab.policies.insert(policy.identity.key.clone(), policy);
        lab
    }

    pub fn read(&mut self, metric: &'static str, value: f64) {
        self.prometheus.readings.insert((metric, "web"), vec![value]);
    }

    /// Answers these values by tier, and that somebody was asked for their age.
    pub fn tiers(&mut self, tiers: &[(&str, f64)]) {
        self.prometheus.tiers = tiers.iter().map(|(tier, value)| ((*tier).to_owned(), *value)).collect();
        let newest = tiers.first().map(|(_, value)| vec![*value]);
        let metrics = ["latency", "skill_runs_total"];
        let newest = newest.into_iter().flat_map(|value| metrics.map(|metric| ((metric, "web"), value.clone())));
        self.prometheus.readings = newest.collect();
    }

    /// Ticks without answering. Returns what was asked.
    pub fn tick(&mut self) -> Vec<Asked> {
        let none = PerformancePolicyStatus::default();
        let subjects: Vec<Subject<'_>> = self
            .policies
            .iter()
            .map(|(key, policy)| Subject {
                thresholds: Vec::new(),
                policy,
                rules: &self.rules,
                targets: self.targets.clone(),
                proofs: &self.expected,
                status: self.statuses.get(key).unwrap_or(&none),
                pushes: policy.sink.or(self.rules.spec.sink) == Some(crate::api::policy::Sink::Alertmanager),
            })
            .collect();
        let mut out = Vec::new();
        let told = self.sweep.tick(&subjects, &self.sources, self.now, &mut out);
        self.told.extend(told.into_iter().map(|key| (self.now, key)));
        self.take(out)
    }

    fn take(&mut self, out: Vec<(Token, Action)>) -> Vec<Asked> {
        let mut asked = Vec::new();
        for (token, action) in out {
            match action {
                Action::Query { expr, at, range, .. } => asked.push(Asked { token, expr, at, range }),
                Action::Alerts { alerts, .. } => self.sent.extend(alerts.into_iter().map(|alert| (self.now, alert))),
                other => panic!("unexpected {other:?}"),
            }
        }
        self.asked.extend(asked.clone());
        asked
    }

    /// Answers as the model does.
    pub fn answer(&mut self, asked: &Asked) -> BTreeSet<PolicyKey> {
        let answer = self.prometheus.answer(&asked.expr, asked.at, asked.range);
        let told = self.sweep.answer(asked.token, answer, self.now);
        self.told.extend(told.iter().map(|key| (self.now, key.clone())));
        told
    }

    /// One second: tick, answers, and the alerts that follow from them.
    pub fn second(&mut self) {
        for asked in self.tick() {
            self.answer(&asked);
        }
        let mut out = Vec::new();
        self.sweep.flush(self.now, &mut out);
        self.take(out);
        self.now = self.now + Span::seconds(1);
    }

    pub fn run(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.second();
        }
    }

    pub fn key(name: &str) -> PolicyKey {
        ("shop".into(), name.into())
    }

    pub fn standing(&self, name: &str) -> Measured {
        let none = PerformancePolicyStatus::default();
        let key = Self::key(name);
        self.sweep.standing(&key, self.statuses.get(&key).unwrap_or(&none))
    }

    /// Reasons of `Compliant` and `MetricsAvailable`.
    pub fn reasons(&self, name: &str) -> (Reason, Reason) {
        let measured = self.standing(name);
        (measured.compliant.reason, measured.metrics.reason)
    }

    /// Alerts that an Alertmanager holds for active now, as `alertname severity`.
    pub fn active(&self) -> Vec<String> {
        let mut latest: BTreeMap<&BTreeMap<String, String>, &Alert> = BTreeMap::new();
        for (_, alert) in &self.sent {
            latest.insert(&alert.labels, alert);
        }
        let active = latest.values().filter(|alert| alert.ends_at > self.now);
        active.map(|alert| format!("{} {}", alert.labels["alertname"], alert.labels["severity"])).collect()
    }
}
