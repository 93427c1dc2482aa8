//! What is sent to Alertmanagers: each alert at once, again and again while it lasts, and once more when it is over.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::Alert,
    Sweep, advice,
    groups::spelled,
    rows::{Governed, Row},
    source::{Source, concerns_source},
    standing,
};
use crate::{
    api::{
        conditions::Reason,
        names,
        policy::{Alerting, Severity},
    },
    core::{
        evaluate::{Breach, Gap},
        facts::{Instant, ObjectKey},
        policy::{Policy, PolicyKey, Threshold, thresholds::word},
        promql::Group,
        resolve::Rules,
    },
};

/// An alert ends by itself when it was not sent again in so many times.
const LIFE_IN_RESENDS: i64 = 4;

type Labels = BTreeMap<String, String>;

/// What a policy and its class add to every alert.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wording {
    class: Labels,
    policy: Option<Alerting>,
}

impl Wording {
    pub fn of(policy: &Policy, rules: &Rules) -> Self {
        Self { class: rules.spec.alert_labels.clone(), policy: policy.spec.alerting.clone() }
    }

    pub fn is_of(&self, policy: &Policy, rules: &Rules) -> bool {
        self.class == rules.spec.alert_labels && self.policy == policy.spec.alerting
    }

    fn labels(&self) -> Labels {
        let mut labels = of_others(&self.class);
        labels.extend(self.policy.iter().flat_map(|alerting| of_others(&alerting.labels)));
        labels
    }
}

/// What fires.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    /// By the source whose Alertmanagers know it, and its labels, which are its identity.
    fired: BTreeMap<(Box<str>, Labels), Fired>,
    /// What is to fire of budgets.
    budgets: BTreeMap<(Box<str>, Labels), Fired>,
    /// Labels of what concerns nobody's policy: those of the default class, and the operator's own namespace.
    operator: Labels,
}

#[derive(Clone, Debug, PartialEq)]
struct Fired {
    /// The row that it speaks of; `None`: a source or a budget.
    row: Option<RowName>,
    starts_at: Instant,
    annotations: Labels,
}

/// A row that outlives an edit of its policy.
type RowName = (PolicyKey, Box<str>, Option<ObjectKey>);

impl Alerts {
    /// What is to be sent now, by source.
    pub fn pass(
        &mut self,
        policies: &BTreeMap<PolicyKey, Governed>,
        sources: &mut BTreeMap<Box<str>, Source>,
        now: Instant,
    ) -> Vec<(Box<str>, Vec<Alert>)> {
        let wanted = self.wanted(policies, sources, now);
        let mut batches: BTreeMap<Box<str>, Vec<Alert>> = BTreeMap::new();
        for ((source, labels), fired) in &self.fired {
            let over = !wanted.contains_key(&(source.clone(), labels.clone()));
            if over && sources.contains_key(source) {
                batches.entry(source.clone()).or_default().push(fired.alert(labels, now));
            }
        }
        for ((source, labels), fire) in &wanted {
            let Some(known) = sources.get(source) else { continue };
            let news = self.fired.get(&(source.clone(), labels.clone())) != Some(fire);
            if news || known.resend_due(now) {
                let ends_at = now + known.resend().times(LIFE_IN_RESENDS);
                batches.entry(source.clone()).or_default().push(fire.alert(labels, ends_at));
            }
        }
        for source in sources.values_mut().filter(|source| source.resend_due(now)) {
            source.resend_at = now + source.resend();
        }
        self.fired = wanted;
        batches.into_iter().collect()
    }

    fn wanted(
        &self,
        policies: &BTreeMap<PolicyKey, Governed>,
        sources: &BTreeMap<Box<str>, Source>,
        now: Instant,
    ) -> BTreeMap<(Box<str>, Labels), Fired> {
        let mut wanted = BTreeMap::new();
        let mut unjudged = BTreeSet::new();
        for (key, governed) in policies {
            let Some(wording) = &governed.wording else { continue };
            let Some(source) = sources.get(&governed.source).filter(|source| source.has_alertmanagers()) else {
                continue;
            };
            for row in &governed.rows {
                // What is advice pages nobody.
                let Some(threshold) = governed.threshold(row).filter(|watched| watched.pattern.is_none()) else {
                    continue;
                };
                let about = About { policy: key, governed, row, threshold, wording, group: None };
                if !row.track.is_judged() {
                    unjudged.insert(about.name());
                    continue;
                }
                for (group, breach) in row.breaches(&threshold.levels) {
                    let (labels, fired) = About { group, ..about }.breached(&breach);
                    wanted.insert((governed.source.clone(), labels), fired);
                }
                // Of a dead source one alert is enough.
                let is_sources = |gap: &Gap| source.health.down.is_some() || concerns_source(gap.missing.why);
                // That nobody uses the application is no trouble either.
                let is_idle = |gap: &Gap| gap.missing.why == Reason::TooFewSamples;
                let gaps = row.track.gap().map(|gap| (None, gap)).into_iter();
                // While others have readings, each value that has none is one of its own.
                let apart = row.groups.iter().filter_map(|(group, track)| Some((Some(group), track.gap()?)));
                // One that answers nothing any more is over.
                let apart = apart.filter(|(_, gap)| row.track.gap().is_none() && gap.missing.why != Reason::NoData);
                let gaps = gaps.chain(apart);
                let gaps = gaps.filter(|(_, gap)| !is_sources(gap) && !is_idle(gap));
                for (group, gap) in gaps.filter(|(_, gap)| now.since(gap.since) >= threshold.no_data.after) {
                    let (labels, fired) = About { group, ..about }.without_data(&gap);
                    wanted.insert((governed.source.clone(), labels), fired);
                }
            }
        }
        let is_heard = |(source, _): &(Box<str>, Labels)| sources.get(source).is_some_and(Source::has_alertmanagers);
        let budgets = self.budgets.iter().filter(|(identity, _)| is_heard(identity));
        wanted.extend(budgets.map(|(identity, fired)| (identity.clone(), fired.clone())));
        for (name, source) in sources.iter().filter(|(_, source)| source.has_alertmanagers()) {
            if let Some(down) = &source.health.down {
                let failure = standing::failure(&down.refusal);
                let (labels, fired) = source_down(&self.operator, name, down.since, &failure);
                wanted.insert((name.clone(), labels), fired);
            }
        }
        // What is not judged again yet, after an edit, holds.
        for (identity, fired) in &self.fired {
            let held = fired.row.as_ref().is_some_and(|row| unjudged.contains(row));
            if held && sources.contains_key(&identity.0) {
                wanted.insert(identity.clone(), fired.clone());
            }
        }
        wanted
    }
}

impl Sweep {
    /// Follows what alerts carry that concern no policy: to be called before [`Self::tick`]. `class`: the default class;
    /// `namespace`: the operator's own, by which those are found who look after it.
    pub fn follow_operator(&mut self, class: &Rules, namespace: &str) {
        let mut labels = of_others(&class.spec.alert_labels);
        labels.extend((!namespace.is_empty()).then(|| ("namespace".to_owned(), namespace.to_owned())));
        self.restless |= self.alerts.operator != labels;
        self.alerts.operator = labels;
    }

    /// Follows which budgets are overcommitted, since when, and by which sum: to be called before [`Self::tick`]. `class`: the
    /// default class, which names the source.
    pub fn follow_overcommitted(
        &mut self,
        class: &Rules,
        is_told: bool,
        overcommitted: &BTreeMap<PolicyKey, (Instant, String)>,
    ) {
        let source: Box<str> = class.spec.source.as_deref().unwrap_or(names::DEFAULT_SOURCE).into();
        let fired = overcommitted.iter().filter(|_| is_told).map(|(key, (since, why))| {
            let (labels, fired) = budget_exceeded(key, &class.spec.alert_labels, *since, why);
            ((source.clone(), labels), fired)
        });
        let budgets = fired.collect();
        self.restless |= self.alerts.budgets != budgets;
        self.alerts.budgets = budgets;
    }
}

impl Fired {
    fn alert(&self, labels: &Labels, ends_at: Instant) -> Alert {
        Alert { labels: labels.clone(), annotations: self.annotations.clone(), starts_at: self.starts_at, ends_at }
    }
}

/// What an alert speaks of.
#[derive(Clone, Copy)]
struct About<'a> {
    policy: &'a PolicyKey,
    governed: &'a Governed,
    row: &'a Row,
    threshold: &'a Threshold,
    wording: &'a Wording,
    /// The value of the labels that the threshold keeps apart.
    group: Option<&'a Group>,
}

impl About<'_> {
    fn name(&self) -> RowName {
        (self.policy.clone(), self.threshold.name.clone(), self.governed.target(self.row).cloned())
    }

    /// What it is called in texts.
    fn subject(&self) -> String {
        let (namespace, policy) = self.policy;
        match self.governed.target(self.row) {
            Some(target) => format!("{} of {target}", self.what()),
            None => format!("{} of policy \"{namespace}/{policy}\"", self.what()),
        }
    }

    /// The threshold, and of which value of the labels that it keeps apart.
    fn what(&self) -> String {
        let group = self.group.map(|group| format!(" ({})", spelled(self.threshold.metric.by(), group)));
        format!("{}{}", self.threshold.name, group.unwrap_or_default())
    }

    fn labels(&self, alertname: &str, severity: Severity) -> Labels {
        let (namespace, policy) = self.policy;
        let mut labels = self.wording.labels();
        let apart = self.threshold.metric.by().iter().zip(self.group.into_iter().flatten());
        // An Alertmanager takes an empty label for none.
        let apart = apart.filter(|(_, value)| !value.is_empty());
        labels.extend(apart.map(|(label, value)| (label.clone(), value.to_string())));
        let mut own = vec![
            ("alertname", alertname.to_owned()),
            ("namespace", namespace.to_string()),
            ("policy", policy.to_string()),
            ("threshold", self.threshold.name.to_string()),
            ("severity", word(severity).to_owned()),
        ];
        if let Some(target) = self.governed.target(self.row) {
            own.push(("target_kind", target.kind.as_str().to_owned()));
            own.push(("target", target.name.to_string()));
        }
        labels.extend(own.into_iter().map(|(label, value)| (label.to_owned(), value)));
        labels
    }

    fn fired(&self, starts_at: Instant, summary: String, description: String) -> Fired {
        let mut annotations = Labels::from([("summary".to_owned(), summary), ("description".to_owned(), description)]);
        let hints = advice::hints(self.governed, self.row, self.threshold).map(|hint| &*hint.advice);
        let advice: Vec<&str> = self.threshold.advice.as_deref().into_iter().chain(hints).collect();
        if !advice.is_empty() {
            annotations.insert("advice".to_owned(), advice.join("; "));
        }
        let alerting = self.wording.policy.as_ref();
        let pages = [
            ("runbook_url", alerting.and_then(|alerting| alerting.runbook_url.clone())),
            ("dashboard_url", alerting.and_then(|alerting| alerting.dashboard_url.clone())),
        ];
        annotations.extend(pages.into_iter().filter_map(|(name, url)| Some((name.to_owned(), url?))));
        Fired { row: Some(self.name()), starts_at, annotations }
    }

    fn breached(&self, breach: &Breach) -> (Labels, Fired) {
        let summary = format!("{} is {} {}", self.subject(), breach.side.as_str(), breach.bound);
        let hold = self.threshold.levels.iter().find(|level| level.severity == breach.severity).map(|level| level.hold);
        let hold = hold.filter(|hold| hold.as_millis() > 0).map(|hold| format!(" for {}", standing::span(hold)));
        let description = format!(
            "{} was {} at {}, {} {}{}. Policy {}/{}.",
            self.what(),
            standing::amount(breach),
            breach.since,
            breach.side.as_str(),
            breach.bound,
            hold.unwrap_or_default(),
            self.policy.0,
            self.policy.1,
        );
        (self.labels(names::ALERT_BREACHED, breach.severity), self.fired(breach.since, summary, description))
    }

    fn without_data(&self, gap: &Gap) -> (Labels, Fired) {
        let severity = self.threshold.no_data.severity;
        let summary = format!("{} has no data", self.subject());
        let description = format!(
            "{}: {} since {}. What was breached is held. Policy {}/{}.",
            self.what(),
            standing::missing(gap.missing),
            gap.since,
            self.policy.0,
            self.policy.1,
        );
        let starts_at = gap.since + self.threshold.no_data.after;
        let mut labels = self.labels(names::ALERT_NO_DATA, severity);
        // By which the alert of a source that is down inhibits it.
        labels.insert("source".to_owned(), self.governed.source.to_string());
        (labels, self.fired(starts_at, summary, description))
    }
}

fn budget_exceeded(budget: &PolicyKey, class: &Labels, since: Instant, why: &str) -> (Labels, Fired) {
    let (namespace, name) = budget;
    let mut labels = of_others(class);
    let own = [
        ("alertname", names::ALERT_BUDGET),
        ("namespace", namespace),
        ("budget", name),
        ("severity", word(Severity::Warning)),
    ];
    labels.extend(own.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())));
    let summary = format!("ConnectionBudget {namespace}/{name} is overcommitted");
    let annotations = Labels::from([("summary".to_owned(), summary), ("description".to_owned(), format!("{why}."))]);
    (labels, Fired { row: None, starts_at: since, annotations })
}

fn source_down(operator: &Labels, name: &str, since: Instant, failure: &str) -> (Labels, Fired) {
    let own = [("alertname", names::ALERT_SOURCE_DOWN), ("source", name), ("severity", word(Severity::Critical))];
    let summary = format!("MetricsSource {name} does not answer");
    let description =
        format!("{failure}, since {since}. No threshold that reads it is judged; what was breached is held.");
    let annotations = Labels::from([("summary".to_owned(), summary), ("description".to_owned(), description)]);
    let mut labels = operator.clone();
    labels.extend(own.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())));
    (labels, Fired { row: None, starts_at: since, annotations })
}

/// Labels that a class or a policy may add: none takes the place of one that says what an alert is.
fn of_others(labels: &Labels) -> Labels {
    let mut labels = labels.clone();
    labels.retain(|label, _| !names::ALERT_LABELS.contains(&label.as_str()));
    labels
}
