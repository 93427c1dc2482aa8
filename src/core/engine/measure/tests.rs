#![expect(clippy::needless_pass_by_value, reason = "JSON reads best where it is made")]

use serde_json::{Value, json};

use super::super::{Alert, Change, Config, EffectId, Input, Listing, Series, Stream, World, step};
use super::*;
use crate::{
    api::{MetricsSource, PerformancePolicyStatus, conditions::ConditionType},
    core::{
        facts::{Kind, Seen, Span},
        report,
    },
};

const START: Instant = Instant::from_millis(1_700_000_040_000);

/// A world with a Deployment, and everything that leaves it. Statuses are written as they come, as the API server would.
struct Operator {
    world: World,
    now: Instant,
    policy: Value,
    source: Option<MetricsSource>,
    /// The gauge's value; `None`: the server does not answer.
    reading: Result<f64, Reason>,
    statuses: Vec<PerformancePolicyStatus>,
    source_statuses: usize,
    alerts: Vec<Alert>,
    ranges: usize,
    others: Vec<Action>,
    /// Whether the Deployment is there from the beginning.
    deployed: bool,
}

impl Operator {
    fn new(thresholds: Value) -> Self {
        let source = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "MetricsSource",
            "metadata": {"name": "default", "generation": 1, "resourceVersion": "1"},
            "spec": {"prometheus": {"url": "http://prometheus"}, "alertmanagers": ["http://alertmanager"]}});
        let policy = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
            "metadata": {"namespace": "shop", "name": "web", "uid": "p", "generation": 1, "resourceVersion": "1"},
            "spec": {"target": {"kind": "Deployment", "name": "web"}, "alerting": {"sink": "Alertmanager"}, "thresholds": thresholds}});
        Self {
            world: World::new(Config { operator_namespace: "trimtab-system".into(), ..Config::default() }),
            now: START,
            policy,
            source: Some(serde_json::from_value(source).unwrap()),
            reading: Ok(3.0),
            statuses: Vec::new(),
            source_statuses: 0,
            alerts: Vec::new(),
            ranges: 0,
            others: Vec::new(),
            deployed: true,
        }
    }

    fn begin(mut self) -> Self {
        let policy = serde_json::from_value(self.policy.clone()).unwrap();
        self.tell(Input::Policy(Change::Applied(Box::new(policy))));
        if let Some(source) = self.source.clone() {
            self.tell(Input::Source(Change::Applied(Box::new(source))));
        }
        if self.deployed {
            self.tell(deployment());
        }
        let names = |name: &str| Listing { names: [("shop".into(), name.into())].into() };
        let source = Listing { names: self.source.iter().map(|_| ("".into(), "default".into())).collect() };
        self.tell(Input::Listed(Stream::Policies, names("web")));
        self.tell(Input::Listed(Stream::Classes, Listing::default()));
        self.tell(Input::Listed(Stream::Budgets, Listing::default()));
        self.tell(Input::Listed(Stream::Disruptions, Listing::default()));
        self.tell(Input::Listed(Stream::Sources, source));
        for kind in Kind::ALL {
            let there = kind == Kind::Deployment && self.deployed;
            let listing = if there { names("web") } else { Listing::default() };
            self.tell(Input::Listed(Stream::Objects(kind), listing));
        }
        self.tell(Input::Leadership(true));
        self
    }

    fn tell(&mut self, input: Input) {
        let mut effects = step(&mut self.world, input, self.now);
        while let Some(Effect { id, action }) = effects.pop() {
            let outcome = self.execute(id, action);
            effects.extend(step(&mut self.world, Input::Done(id, outcome), self.now));
        }
    }

    fn execute(&mut self, _: EffectId, action: Action) -> Outcome {
        match action {
            Action::Query { expr, at, range, .. } => {
                self.ranges += usize::from(range.is_some());
                let value = self.reading.map(|value| if expr.contains("timestamp(") { at.seconds() } else { value });
                let labels = [("namespace", "shop"), ("trimtab_workload", "web")];
                let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
                let answer = value
                    .map(|value| vec![Series { labels, points: vec![(at.seconds(), value)] }])
                    .map_err(|reason| Refusal { reason, message: "HTTP 503".to_owned() });
                return Outcome::Answer(answer);
            }
            Action::Alerts { alerts, .. } => self.alerts.extend(alerts),
            Action::Status { status, .. } => self.statuses.push(*status),
            Action::SourceStatus { status, .. } => {
                self.source_statuses += 1;
                if let Some(mut source) = self.source.clone() {
                    (source.status, source.metadata.resource_version) = (Some(*status), Some(self.now.to_string()));
                    self.source = Some(source.clone());
                    self.tell(Input::Source(Change::Applied(Box::new(source))));
                }
            }
            other => self.others.push(other),
        }
        Outcome::Accepted
    }

    fn run(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.tell(Input::Tick);
            self.now = self.now + Span::seconds(1);
        }
    }

    /// Status and reason of a condition in the status as it was written last.
    fn condition(&self, kind: ConditionType) -> String {
        let found = self.statuses.last().and_then(|status| report::find(&status.conditions, kind));
        found.map_or_else(String::new, |condition| format!("{}/{}", condition.status, condition.reason))
    }
}

/// The news that the Deployment is there.
fn deployment() -> Input {
    let text = r#"{"metadata":{"name":"web","namespace":"shop","uid":"d","resourceVersion":"1","generation":1},
        "spec":{"replicas":1,"template":{"spec":{"containers":[{"name":"api"}]}}},"status":{}}"#;
    Input::Object(Change::Applied(Box::new(Seen::from_json(Kind::Deployment, text).unwrap())))
}

fn queue() -> Value {
    json!([{"name": "queue", "metric": {"gauge": "queue"}, "levels": [{"severity": "warning", "above": 10, "for": "1m"}]}])
}

#[test]
fn a_settled_policy_writes_nothing_and_a_breach_writes_once() {
    let mut operator = Operator::new(queue()).begin();
    operator.run(10);
    assert_eq!(operator.condition(ConditionType::Compliant), "True/Within");
    assert_eq!(operator.condition(ConditionType::MetricsAvailable), "True/Answered");
    assert_eq!((operator.statuses.len(), operator.source_statuses), (1, 1), "{:#?}", operator.statuses);
    for value in 0..30 {
        operator.reading = Ok(f64::from(value % 10));
        operator.run(30);
    }
    assert_eq!((operator.statuses.len(), operator.source_statuses, operator.alerts.len()), (1, 1, 0));
    operator.reading = Ok(70.0);
    operator.run(200);
    assert_eq!(operator.condition(ConditionType::Compliant), "False/Breached");
    assert_eq!(operator.condition(ConditionType::Ready), "True/Served", "a breach touches only Compliant");
    assert_eq!(operator.statuses.len(), 2);
    let status = &operator.statuses[1];
    assert_eq!((status.thresholds.len(), status.thresholds[0].value.as_str()), (1, "70"));
    assert!(operator.alerts.len() >= 4 && operator.alerts.iter().all(|alert| alert.labels["policy"] == "web"));
    operator.reading = Ok(1.0);
    operator.run(40);
    assert_eq!(operator.condition(ConditionType::Compliant), "True/Within");
    assert_eq!(operator.statuses.len(), 3);
    assert_eq!(operator.others.iter().filter(|action| !matches!(action, Action::Event(_) | Action::Get(_))).count(), 0);
}

#[test]
fn a_dead_source_is_told_and_recovers_by_itself() {
    let mut operator = Operator::new(queue()).begin();
    operator.run(40);
    operator.reading = Err(Reason::BackendUnavailable);
    operator.run(300);
    assert_eq!(operator.condition(ConditionType::MetricsAvailable), "False/BackendUnavailable");
    assert_eq!(operator.condition(ConditionType::Compliant), "Unknown/NoData");
    assert_eq!((operator.statuses.len(), operator.source_statuses), (2, 2));
    assert!(operator.alerts.iter().all(|alert| alert.labels["alertname"] == "TrimtabSourceDown"));
    // It concerns no tenant: its namespace is the operator's own.
    assert!(operator.alerts.iter().all(|alert| alert.labels["namespace"] == "trimtab-system"));
    operator.reading = Ok(1.0);
    operator.run(60);
    assert_eq!(operator.condition(ConditionType::MetricsAvailable), "True/Answered");
    assert_eq!((operator.statuses.len(), operator.source_statuses), (3, 3));
}

#[test]
fn a_missing_source_is_waited_for() {
    let mut operator = Operator::new(queue());
    let source = operator.source.take();
    let mut operator = operator.begin();
    operator.run(10);
    assert_eq!(operator.condition(ConditionType::Ready), "False/SourceNotFound");
    assert_eq!(operator.condition(ConditionType::Reconciling), "True/SourceNotFound");
    operator.source.clone_from(&source);
    operator.tell(Input::Source(Change::Applied(Box::new(source.unwrap()))));
    operator.run(10);
    assert_eq!(operator.condition(ConditionType::Ready), "True/Served");
    assert_eq!(operator.condition(ConditionType::Compliant), "True/Within");
}

#[test]
fn a_target_that_comes_later_is_measured_as_soon_as_it_is_there() {
    let mut operator = Operator::new(queue());
    operator.deployed = false;
    let mut operator = operator.begin();
    operator.run(10);
    assert_eq!(operator.condition(ConditionType::Compliant), "Unknown/NoTargets");
    operator.tell(deployment());
    operator.run(10);
    assert_eq!(operator.condition(ConditionType::Ready), "True/Served");
    assert_eq!(operator.condition(ConditionType::Compliant), "True/Within");
}

#[test]
fn a_query_that_cannot_be_parsed_stalls_the_policy() {
    let mut operator = Operator::new(queue());
    operator.reading = Err(Reason::QueryInvalid);
    let mut operator = operator.begin();
    operator.run(10);
    assert_eq!(operator.condition(ConditionType::Stalled), "True/QueryInvalid");
    assert_eq!(operator.condition(ConditionType::Ready), "False/QueryInvalid");
    assert_eq!(operator.condition(ConditionType::MetricsAvailable), "False/QueryInvalid");
}

#[test]
fn a_free_query_needs_the_permission_of_the_class() {
    let mut operator = Operator::new(json!([{"name": "busy", "metric": {"query": "sum(queue)"}}])).begin();
    operator.run(10);
    assert_eq!(operator.condition(ConditionType::Ready), "False/ClassForbids");
    let message = &operator.statuses[0].conditions[0].message;
    assert!(message.contains("thresholds.busy.metric.query must not be set"), "{message}");
}

#[test]
fn a_new_leader_asks_for_the_past_and_writes_nothing_anew() {
    let mut operator = Operator::new(queue()).begin();
    operator.reading = Ok(70.0);
    operator.run(120);
    assert_eq!(operator.condition(ConditionType::Compliant), "False/Breached");
    let written = operator.statuses.len();
    operator.tell(Input::Leadership(false));
    operator.run(60);
    let ranges = operator.ranges;
    operator.tell(Input::Leadership(true));
    operator.run(120);
    assert_eq!(operator.ranges - ranges, 1);
    assert_eq!(operator.statuses.len(), written, "{:#?}", operator.statuses);
}
