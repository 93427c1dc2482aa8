//! The rules of one threshold.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Known, LIMIT, READING, TARGET, duration, labels, series, words};
use crate::{
    api::{conditions::Reason, names, policy::Severity},
    core::{
        facts::{Kind, Span},
        policy::thresholds::{Level, Limit, Metric, word},
        promql::{SeriesKey, Shape, WorkloadKind, quote},
        units::Decimal,
    },
};

/// Data may at least be this old, as for the sweep.
const MIN_MAX_AGE: Span = Span::minutes(2);
/// Missed intervals after which data is too old.
const MAX_AGE_INTERVALS: i64 = 5;

/// How a series gets its label `target`.
pub(super) enum Attach {
    /// It has none: the reading is that of the policy.
    Nothing,
    /// From the label that tells the workload.
    From(String),
    /// The reading is that of each of these.
    Each(Vec<Box<str>>),
}

/// One side of a level.
#[derive(Clone, Copy)]
struct Side<'a> {
    above: bool,
    severity: Severity,
    limit: &'a Limit,
}

impl Side<'_> {
    const fn word(&self) -> &'static str {
        if self.above { "above" } else { "below" }
    }

    const fn sign(&self) -> &'static str {
        if self.above { ">" } else { "<" }
    }
}

impl Known<'_> {
    /// All rules; `None`: nobody may ask what it asks.
    pub fn rules(&self) -> Option<Vec<Value>> {
        let mut rules = vec![self.recorded(READING, &[], &self.reading()?)];
        for level in &self.threshold.levels {
            let moved = Self::sides(level).filter(|side| self.is_moved(*side));
            for side in moved {
                for (at, bound) in [("bound", side.limit.bound), ("clear", side.limit.clear)] {
                    let more = [("severity", word(side.severity)), ("side", side.word()), ("at", at)];
                    rules.push(self.recorded(LIMIT, &more, &self.limit(side, at, bound.value())));
                }
            }
        }
        for (index, level) in self.threshold.levels.iter().enumerate() {
            rules.push(self.breached(index, level));
        }
        rules.push(self.without_data());
        Some(rules)
    }

    fn sides(level: &Level) -> impl Iterator<Item = Side<'_>> {
        let severity = level.severity;
        let above = level.above.iter().map(move |limit| Side { above: true, severity, limit });
        above.chain(level.below.iter().map(move |limit| Side { above: false, severity, limit }))
    }

    /// The reading: of fresh data, of enough observations, and a number.
    fn reading(&self) -> Option<String> {
        let expr = match self.shape() {
            None => {
                let Metric::Free(query) = &self.threshold.metric else { return None };
                if !self.case.class.spec.free_queries {
                    return None;
                }
                // A query may end with a comment. Of several series none is the right one.
                let query = query.expr();
                self.attached(&format!("(({query}\n) and on () count(({query}\n)) == 1)"))
            }
            Some(shape) => {
                let wanted = self.wanted();
                let mut expr = format!("({})", shape.readings(&wanted));
                if let Some(counts) = shape.counts(&wanted).filter(|_| self.threshold.min_samples > 0) {
                    let least = self.threshold.min_samples;
                    expr = format!("{expr} and on ({}) (round({counts}) >= {least})", shape.grouping());
                }
                self.attached(&format!("({})", self.fresh(&shape, expr)))
            }
        };
        let per_base = self.threshold.unit.per_base();
        let expr = if per_base > 1.0 { format!("{expr} / {per_base}") } else { expr };
        // What is no number compares with nothing, and infinity is no reading either.
        Some(format!("{expr} < Inf > -Inf"))
    }

    pub fn shape(&self) -> Option<Shape> {
        self.threshold.metric.shape(self.case.identity, self.workload())
    }

    /// What the sweep asks for.
    pub fn wanted(&self) -> BTreeSet<SeriesKey> {
        let namespace = &self.case.policy.identity.key.0;
        match self.workload() {
            None => [SeriesKey::namespace(namespace)].into(),
            Some(_) => self.case.targets.iter().map(|key| SeriesKey::workload(namespace, &key.name)).collect(),
        }
    }

    fn workload(&self) -> Option<WorkloadKind> {
        match self.case.policy.target.as_ref()?.kind {
            Kind::Deployment => Some(WorkloadKind::Deployment),
            Kind::StatefulSet => Some(WorkloadKind::StatefulSet),
            Kind::DaemonSet => Some(WorkloadKind::DaemonSet),
            Kind::HorizontalPodAutoscaler | Kind::ConfigMap | Kind::Cluster | Kind::Pooler | Kind::Stream => None,
        }
    }

    /// As long as its data is fresh. Where the window is no longer than data may be old, older data does not answer at all.
    pub fn fresh(&self, shape: &Shape, expr: String) -> String {
        let max_age = self.case.interval.times(MAX_AGE_INTERVALS).max(MIN_MAX_AGE);
        let window = i64::try_from(shape.window().millis()).unwrap_or(i64::MAX);
        if window <= max_age.as_millis() {
            return expr;
        }
        let newest = shape.freshness(&self.wanted());
        format!("{expr} and on ({}) (time() - ({newest}) <= {})", shape.whole_labels(), max_age.as_millis() / 1000)
    }

    pub fn attach(&self) -> Attach {
        let targets = self.case.targets;
        match (self.shape(), &self.case.policy.target) {
            (_, None) => Attach::Nothing,
            // The reading of a query is one for all; if there is only one target, it is that one's.
            (None, Some(_)) if targets.len() != 1 => Attach::Nothing,
            (None, Some(_)) => Attach::Each(targets.iter().map(|key| key.name.clone()).collect()),
            (Some(shape), Some(_)) => match shape.workload_label() {
                Some(label) => Attach::From(label.to_owned()),
                None => Attach::Each(targets.iter().map(|key| key.name.clone()).collect()),
            },
        }
    }

    /// The labels by which series of the threshold differ: the target, and what is kept apart.
    pub fn apart(&self) -> String {
        let target = if matches!(self.attach(), Attach::Nothing) { None } else { Some("target") };
        let by = self.threshold.metric.by().iter().map(String::as_str);
        target.into_iter().chain(by).collect::<Vec<_>>().join(",")
    }

    /// An answer with no labels but those.
    pub fn attached(&self, expr: &str) -> String {
        let labels = self.apart();
        let of_name =
            |name: &str| format!("max by ({labels}) (label_replace({expr},\"target\",{},\"\",\"\"))", quote(name));
        match self.attach() {
            Attach::Nothing => format!("max by ({labels}) ({expr})"),
            Attach::From(label) => {
                format!("max by ({labels}) (label_replace({expr},\"target\",\"$1\",{},\"(.+)\"))", quote(&label))
            }
            Attach::Each(names) => {
                let each = names.iter().map(|name| of_name(name)).collect::<Vec<_>>().join(" or ");
                if names.len() == 1 { each } else { format!("({each})") }
            }
        }
    }

    /// `on (…)` of a join with what is one for each target.
    fn on_target(&self) -> &'static str {
        if matches!(self.attach(), Attach::Nothing) { "on ()" } else { "on (target)" }
    }

    pub fn identity<'b>(&'b self, more: &[(&'b str, &'b str)]) -> Vec<(&'b str, &'b str)> {
        let policy = &self.case.policy.identity;
        let own = [("namespace", &*policy.key.0), ("policy", policy.name()), ("threshold", &*self.threshold.name)];
        own.iter().chain(more).copied().collect()
    }

    /// A recorded series of the threshold.
    pub fn series(&self, name: &str, more: &[(&str, &str)]) -> String {
        series(name, &self.identity(more))
    }

    /// A rule that records it.
    pub fn recorded(&self, name: &str, more: &[(&str, &str)], expr: &str) -> Value {
        let kind = self.target_kind().map(|kind| ("target_kind", kind));
        let more: Vec<_> =
            [("threshold", &*self.threshold.name)].into_iter().chain(kind).chain(more.iter().copied()).collect();
        json!({"record": name, "expr": expr, "labels": labels(self.case.policy, &more)})
    }

    fn target_kind(&self) -> Option<&'static str> {
        let has = !matches!(self.attach(), Attach::Nothing);
        self.case.policy.target.as_ref().filter(|_| has).map(|target| target.kind.as_str())
    }

    /// Whether a profile moves it. What is one reading for several targets has no bound that is known to be that of all.
    fn is_moved(&self, side: Side<'_>) -> bool {
        let policy = self.case.policy;
        let is_shared = policy.target.is_some() && matches!(self.attach(), Attach::Nothing);
        !is_shared && policy.profiles.iter().any(|profile| profile.moves_level(self.index, side.severity, side.above))
    }

    /// A bound as the operator exports it, so that a switch of profiles rewrites no rule. Without the operator, or where
    /// nobody scrapes it, that of the spec.
    fn limit(&self, side: Side<'_>, at: &str, value: Decimal) -> String {
        let metric = if at == "bound" { "trimtab_threshold_bound" } else { "trimtab_threshold_clear" };
        let policy = &self.case.policy.identity;
        // A Prometheus that does not honor labels moves that of the namespace out of the way of its own.
        let exported = |namespace: &str| {
            series(
                metric,
                &[
                    (namespace, &policy.key.0),
                    ("policy", policy.name()),
                    ("threshold", &self.threshold.name),
                    ("severity", word(side.severity)),
                    ("side", side.word()),
                ],
            )
        };
        let either = format!("{} or {}", exported("namespace"), exported("exported_namespace"));
        match self.on_target() {
            "on ()" => format!("max({either}) or vector({value})"),
            on => format!("max by (target) ({either}) or {on} max by (target) ({} * 0 + {value})", self.targets()),
        }
    }

    fn targets(&self) -> String {
        let policy = &self.case.policy.identity;
        series(TARGET, &[("namespace", &policy.key.0), ("policy", policy.name())])
    }

    /// A reading beyond a bound of that side.
    fn beyond(&self, side: Side<'_>, at: &str) -> String {
        let reading = self.series(READING, &[]);
        let sign = side.sign();
        if self.is_moved(side) {
            let more = [("severity", word(side.severity)), ("side", side.word()), ("at", at)];
            let on = self.on_target();
            return format!(
                "{reading} {sign} {on} group_left () max by ({}) ({})",
                self.target_label(),
                self.series(LIMIT, &more)
            );
        }
        let bound = if at == "bound" { side.limit.bound } else { side.limit.clear };
        format!("{reading} {sign} {}", bound.value())
    }

    fn target_label(&self) -> &'static str {
        if self.on_target() == "on ()" { "" } else { "target" }
    }

    /// What fires already of an alert of ours, of targets that there are.
    pub fn firing(&self, alertname: &str, more: &str) -> String {
        let selector = self.series("ALERTS", &[("alertname", alertname), ("alertstate", "firing")]);
        let selector = format!("{}{more}", selector.trim_end_matches('}'));
        if self.on_target() == "on ()" {
            // One of a time when the policy had a target.
            format!("max by ({}) ({selector},target=\"\"}})", self.apart())
        } else {
            format!("max by ({}) ({selector}}} and on (target) {})", self.apart(), self.targets())
        }
    }

    /// The alert of a level. A breach begins strictly beyond the bound and ends at its clear bound; where nothing is known, what
    /// was breached is held, and what was pending is over. While a worse level is breached, that one alone is told.
    fn breached(&self, index: usize, level: &Level) -> Value {
        let apart = self.apart();
        let reading = self.series(READING, &[]);
        let firing = self.firing(names::ALERT_BREACHED, &format!(",severity={}", quote(word(level.severity))));
        let begins = Self::sides(level).map(|side| self.beyond(side, "bound"));
        let holds = Self::sides(level).map(|side| format!("{} and on ({apart}) {firing}", self.beyond(side, "clear")));
        // No number: there is none.
        let unknown = format!("{firing} * NaN unless on ({apart}) {reading}");
        let mut expr = begins.chain(holds).chain([unknown]).collect::<Vec<_>>().join("\nor\n");
        let worse = self.threshold.levels.iter().take(index).map(|level| word(level.severity)).collect::<Vec<_>>();
        if !worse.is_empty() {
            let worse = format!(",severity=~{}", quote(&worse.join("|")));
            expr = format!("({expr})\nunless on ({apart}) {}", self.firing(names::ALERT_BREACHED, &worse));
        }
        let moved = Self::sides(level).any(|side| self.is_moved(side));
        json!({
            "alert": names::ALERT_BREACHED,
            "expr": expr,
            "for": duration(level.hold),
            "labels": self.alert_labels(level.severity, &[]),
            "annotations": words::breached(self, level, moved),
        })
    }

    /// The alert of a target of which nothing is known. That nobody uses the application is no trouble.
    fn without_data(&self) -> Value {
        let reading = self.series(READING, &[]);
        let mut expr = match self.on_target() {
            "on ()" => format!("absent({reading})"),
            on => format!("{} unless {on} {reading}", self.targets()),
        };
        if let Some(idle) = self.idle() {
            expr = format!("{expr} unless {} {idle}", self.on_target());
        }
        let no_data = self.threshold.no_data;
        json!({
            "alert": names::ALERT_NO_DATA,
            "expr": expr,
            "for": duration(no_data.after),
            "labels": self.alert_labels(no_data.severity, &[]),
            "annotations": words::without_data(self),
        })
    }

    /// Answers where there is data, and too little of it for a reading.
    fn idle(&self) -> Option<String> {
        let shape = self.shape()?;
        let wanted = self.wanted();
        let few = match shape.counts(&wanted) {
            Some(counts) => format!("({counts})"),
            None if shape.nan() == Reason::TooFewSamples => format!("({} != Inf)", shape.readings(&wanted)),
            None => return None,
        };
        Some(self.attached(&format!("({})", self.fresh(&shape, few))))
    }

    /// The labels of an alert: those of the class, those of the policy, and what it is.
    pub fn alert_labels(&self, severity: Severity, more: &[(&str, &str)]) -> Value {
        let policy = self.case.policy;
        let of_policy = policy.spec.alerting.iter().flat_map(|alerting| &alerting.labels);
        let given = self.case.class.spec.alert_labels.iter().chain(of_policy);
        let given = given.filter(|(name, _)| !names::ALERT_LABELS.contains(&name.as_str()));
        let mut labels: serde_json::Map<String, Value> =
            given.map(|(name, value)| (name.clone(), json!(words::literal(value)))).collect();
        let kind = self.target_kind().map(|kind| ("target_kind", kind));
        let own = self.identity(&[("severity", word(severity))]);
        let own = own.into_iter().chain(kind).chain(more.iter().copied());
        labels.extend(own.map(|(name, value)| (name.to_owned(), json!(value))));
        Value::Object(labels)
    }
}
