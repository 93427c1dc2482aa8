use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::{Change, Config, Input, Listing, Refusal, Series, step};
use super::*;
use crate::{
    api::PerformancePolicyStatus,
    core::facts::{Kind, Seen},
};

const START: Instant = Instant::from_millis(1_700_000_040_000);
const RULE: (&str, &str) = ("shop", "trimtab-web");

fn rule_key() -> RuleKey {
    (RULE.0.into(), RULE.1.into())
}

/// An operator, an API server that has rules, and a Prometheus that loads what it selects.
struct Operator {
    world: World,
    now: Instant,
    version: u64,
    policy: Value,
    live: Option<Value>,
    applies: usize,
    deletes: usize,
    asked: usize,
    statuses: Vec<PerformancePolicyStatus>,
    alerts: Vec<BTreeMap<String, String>>,
    /// What the rules API says; `None`: what is there.
    answer: Option<Result<Vec<Series>, Reason>>,
    /// How the API server refuses a write.
    refuses: Option<Failure>,
}

impl Operator {
    fn new(sink: Option<&str>) -> Self {
        let mut policy = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
            "metadata": {"namespace": "shop", "name": "web", "uid": "p", "generation": 1, "resourceVersion": "1"},
            "spec": {"target": {"kind": "Deployment", "name": "web"},
                "thresholds": [{"name": "queue", "metric": {"gauge": "queue_size"}, "levels": [{"severity": "warning", "above": 2}]}]}});
        if let Some(sink) = sink {
            policy["spec"]["alerting"] = json!({"sink": sink});
        }
        Self {
            world: World::new(Config::default()),
            now: START,
            version: 10,
            policy,
            live: None,
            applies: 0,
            deletes: 0,
            asked: 0,
            statuses: Vec::new(),
            alerts: Vec::new(),
            answer: None,
            refuses: None,
        }
    }

    /// With the streams of a cluster that serves rules, or of one that does not.
    fn begin(mut self, served: bool) -> Self {
        self.show_policy();
        let source = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "MetricsSource",
            "metadata": {"name": "default", "generation": 1, "resourceVersion": "1"},
            "spec": {"prometheus": {"url": "http://prometheus"}, "alertmanagers": ["http://alertmanager"]}});
        self.tell(Input::Source(Change::Applied(Box::new(serde_json::from_value(source).unwrap()))));
        let web = r#"{"metadata":{"name":"web","namespace":"shop","uid":"w","resourceVersion":"1","generation":1},
            "spec":{"replicas":1,"template":{"spec":{"containers":[{"name":"app"}]}}},"status":{}}"#;
        self.tell(Input::Object(Change::Applied(Box::new(Seen::from_json(Kind::Deployment, web).unwrap()))));
        let one = |namespace: &str, name: &str| Listing { names: [(namespace.into(), name.into())].into() };
        self.tell(Input::Listed(Stream::Policies, one("shop", "web")));
        self.tell(Input::Listed(Stream::Sources, one("", "default")));
        for stream in [Stream::Classes, Stream::Budgets, Stream::Disruptions] {
            self.tell(Input::Listed(stream, Listing::default()));
        }
        for kind in Kind::ALL {
            let listing = if kind == Kind::Deployment { one("shop", "web") } else { Listing::default() };
            self.tell(Input::Listed(Stream::Objects(kind), listing));
        }
        self.tell(if served {
            Input::Listed(Stream::Rules, Listing::default())
        } else {
            Input::Unserved(Stream::Rules, Reason::KindNotServed)
        });
        self.tell(Input::Leadership(true));
        self
    }

    fn show_policy(&mut self) {
        self.version += 1;
        self.policy["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let policy = serde_json::from_value(self.policy.clone()).unwrap();
        self.tell(Input::Policy(Change::Applied(Box::new(policy))));
    }

    fn edit(&mut self, spec: impl FnOnce(&mut Value)) {
        spec(&mut self.policy["spec"]);
        let generation = self.policy["metadata"]["generation"].as_i64().unwrap() + 1;
        self.policy["metadata"]["generation"] = json!(generation);
        self.show_policy();
    }

    fn tell(&mut self, input: Input) {
        let mut effects = step(&mut self.world, input, self.now);
        while let Some(Effect { id, action }) = effects.pop() {
            let outcome = self.execute(action);
            effects.extend(step(&mut self.world, Input::Done(id, outcome), self.now));
        }
    }

    fn shown(&self) -> Box<(RuleKey, RuleObject)> {
        Box::new(RuleObject::from_json(&self.live.as_ref().unwrap().to_string()).unwrap())
    }

    fn execute(&mut self, action: Action) -> Outcome {
        match action {
            Action::Rules { rule, write } => {
                assert_eq!(rule, rule_key());
                if let Some(refusal) = self.refuses.clone() {
                    self.applies += 1;
                    return Outcome::Failed(refusal);
                }
                match *write {
                    RuleWrite::Apply(mut body) => {
                        self.applies += 1;
                        self.version += 1;
                        body["metadata"]["uid"] = json!("r");
                        body["metadata"]["resourceVersion"] = json!(self.version.to_string());
                        self.live = Some(body);
                        Outcome::Rule(self.shown())
                    }
                    RuleWrite::Delete(uid) => {
                        assert_eq!(&*uid, "r");
                        self.deletes += 1;
                        self.live = None;
                        Outcome::Accepted
                    }
                }
            }
            Action::LoadedRules { .. } => {
                self.asked += 1;
                let there = || {
                    let rules =
                        self.live.iter().flat_map(|live| live["spec"]["groups"][0]["rules"].as_array().unwrap());
                    let labels = |rule: &Value| {
                        let labels = serde_json::from_value::<BTreeMap<Box<str>, Box<str>>>(rule["labels"].clone());
                        labels.unwrap().into_iter().collect()
                    };
                    rules.map(|rule| Series { labels: labels(rule), points: Vec::new() }).collect()
                };
                let answer = self.answer.clone().unwrap_or_else(|| Ok(there()));
                Outcome::Answer(answer.map_err(|reason| Refusal { reason, message: "HTTP 404".to_owned() }))
            }
            Action::Query { expr, at, .. } => {
                let value = if expr.contains("timestamp(") { at.seconds() } else { 3.0 };
                let labels = [("namespace", "shop"), ("trimtab_workload", "web")];
                let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
                Outcome::Answer(Ok(vec![Series { labels, points: vec![(at.seconds(), value)] }]))
            }
            Action::Alerts { alerts, .. } => {
                self.alerts.extend(alerts.into_iter().map(|alert| alert.labels));
                Outcome::Accepted
            }
            Action::Status { status, .. } => {
                self.policy["status"] = serde_json::to_value(&*status).unwrap();
                self.statuses.push(*status);
                Outcome::Accepted
            }
            _ => Outcome::Accepted,
        }
    }

    fn pass(&mut self, span: Span) {
        let end = self.now + span;
        while self.now < end {
            self.now = self.now + Span::seconds(1);
            self.tell(Input::Tick);
        }
    }

    /// What the last status says of rules.
    fn says(&self) -> Option<(String, String, String)> {
        let said = report::find(&self.statuses.last()?.conditions, ConditionType::RulesLoaded)?;
        Some((said.status.clone(), said.reason.clone(), said.message.clone()))
    }

    #[track_caller]
    fn assert_says(&self, status: &str, reason: &str) -> String {
        let (is, why, message) = self.says().unwrap();
        assert_eq!((&*is, &*why), (status, reason), "{message}");
        message
    }
}

#[test]
fn rules_are_written_once_proved_and_then_at_rest() {
    let mut operator = Operator::new(None).begin(true);
    operator.pass(Span::seconds(5));
    assert_eq!(operator.applies, 1);
    let live = operator.live.clone().unwrap();
    assert_eq!(live["metadata"]["ownerReferences"][0]["uid"], "p");
    assert_eq!(live["metadata"]["labels"]["trimtab.dev/policy"], "web");
    operator.pass(Span::minutes(1));
    operator.assert_says("True", "RulesLoaded");
    let (statuses, asked) = (operator.statuses.len(), operator.asked);
    operator.tell(Input::Rule(Change::Applied(operator.shown())));
    operator.pass(Span::minutes(60));
    assert_eq!((operator.applies, operator.deletes), (1, 0), "nothing is written at rest");
    assert_eq!(operator.statuses.len(), statuses);
    assert!((5..=8).contains(&(operator.asked - asked)), "{} questions in an hour", operator.asked - asked);
    assert_eq!(operator.alerts, [], "what rules tell is not pushed as well");
}

#[test]
fn what_somebody_changes_or_deletes_comes_back() {
    let mut operator = Operator::new(Some("PrometheusRule")).begin(true);
    operator.pass(Span::minutes(1));
    let ours = operator.live.clone().unwrap();
    let version = |operator: &mut Operator| {
        operator.version += 1;
        json!(operator.version.to_string())
    };
    for damage in [
        (|live| live["spec"]["groups"][1]["rules"][0]["expr"] = json!("vector(0)")) as fn(&mut Value),
        |live| live["metadata"]["ownerReferences"] = json!([]),
        |live| live["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("somebody"),
    ] {
        let mut live = ours.clone();
        damage(&mut live);
        live["metadata"]["resourceVersion"] = version(&mut operator);
        operator.live = Some(live);
        let before = operator.applies;
        operator.tell(Input::Rule(Change::Applied(operator.shown())));
        operator.pass(Span::seconds(3));
        assert_eq!(operator.applies, before + 1);
        assert_eq!(operator.live.as_ref().unwrap()["spec"], ours["spec"]);
    }
    operator.live = None;
    let before = operator.applies;
    operator.tell(Input::Rule(Change::Deleted(rule_key())));
    operator.pass(Span::seconds(3));
    assert_eq!((operator.applies, operator.live.is_some()), (before + 1, true));
}

#[test]
fn another_sink_and_the_end_of_the_policy_leave_no_rules() {
    let mut operator = Operator::new(None).begin(true);
    operator.pass(Span::minutes(1));
    operator.edit(|spec| spec["alerting"] = json!({"sink": "Alertmanager"}));
    operator.pass(Span::minutes(2));
    assert_eq!((operator.deletes, operator.live.is_none()), (1, true));
    assert_eq!(operator.says(), None);
    assert!(operator.alerts.iter().any(|labels| labels["threshold"] == "queue"), "{:?}", operator.alerts);
    operator.tell(Input::Rule(Change::Deleted(rule_key())));
    operator.edit(|spec| spec["alerting"] = json!({}));
    operator.pass(Span::minutes(1));
    assert!(operator.live.is_some());
    operator.tell(Input::Policy(Change::Deleted(("shop".into(), "web".into()))));
    operator.pass(Span::seconds(5));
    assert_eq!((operator.deletes, operator.live.is_none()), (2, true));
}

#[test]
fn without_the_kind_alerts_are_pushed_and_that_is_told() {
    let mut operator = Operator::new(Some("PrometheusRule")).begin(false);
    operator.pass(Span::minutes(2));
    assert_eq!(operator.applies, 0);
    let message = operator.assert_says("False", "RulesNotServed");
    assert!(message.contains("pushed"), "{message}");
    assert!(!operator.alerts.is_empty());
    // Nobody has asked for alerts, and so nobody is told.
    let mut operator = Operator::new(None).begin(false);
    operator.pass(Span::minutes(2));
    assert_eq!((operator.says(), operator.alerts.is_empty()), (None, true));
}

#[test]
fn rules_that_nobody_loads_are_told_after_a_while_and_with_what_to_do() {
    let mut operator = Operator::new(None);
    operator.answer = Some(Ok(Vec::new()));
    let mut operator = operator.begin(true);
    operator.pass(Span::minutes(4));
    operator.assert_says("Unknown", "RulesPending");
    operator.pass(Span::minutes(2));
    let message = operator.assert_says("False", "RulesNotSelected");
    assert!(message.contains("ruleLabels") && message.contains("trimtab.dev/policy=web"), "{message}");
    operator.answer = None;
    operator.pass(Span::minutes(2));
    operator.assert_says("True", "RulesLoaded");
}

#[test]
fn rules_that_cannot_be_evaluated_or_are_refused_are_told() {
    let mut operator = Operator::new(None).begin(true);
    operator.pass(Span::minutes(1));
    let mut told: Vec<Series> = Vec::new();
    for rule in operator.live.as_ref().unwrap()["spec"]["groups"][0]["rules"].as_array().unwrap() {
        let mut labels: BTreeMap<Box<str>, Box<str>> = serde_json::from_value(rule["labels"].clone()).unwrap();
        labels.insert(RULE_ERROR.into(), "many-to-many matching".into());
        told.push(Series { labels: labels.into_iter().collect(), points: Vec::new() });
    }
    operator.answer = Some(Ok(told));
    operator.pass(Span::minutes(11));
    let message = operator.assert_says("False", "RulesRejected");
    assert!(message.contains("many-to-many"), "{message}");
    operator.answer = Some(Err(Reason::QueryFailed));
    operator.pass(Span::minutes(2));
    operator.assert_says("Unknown", "RulesNotServed");
    // A source that is down says nothing of rules.
    operator.answer = Some(Err(Reason::BackendUnavailable));
    operator.pass(Span::minutes(3));
    operator.assert_says("Unknown", "RulesNotServed");
    operator.refuses = Some(Failure::Rejected("admission webhook denied the request".to_owned()));
    operator.edit(|spec| spec["thresholds"][0]["levels"][0]["above"] = json!(7));
    let before = operator.applies;
    operator.pass(Span::minutes(10));
    operator.assert_says("False", "RulesRejected");
    assert!((4..=14).contains(&(operator.applies - before)), "{} tries", operator.applies - before);
}
