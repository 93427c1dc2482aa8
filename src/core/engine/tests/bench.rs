//! The engine against a bench that does what it is asked, and fails where a test wants it to. What needs rollouts, crashes or
//! chance is in `tests/simulation`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::core::{
    engine::{
        Action, Change, Config, Effect, EffectId, Failure, Input, Listing, Outcome, Patch, PatchBody, Stream, World,
        step,
    },
    facts::{Instant, Kind, ObjectKey, Seen, Span},
    ownership::FieldPath,
    record::Record,
};

/// A namespace `shop` whose objects change when the engine scales them.
struct Bench {
    world: World,
    now: Instant,
    version: u64,
    objects: BTreeMap<ObjectKey, Value>,
    /// Writes to objects, in order.
    patches: Vec<Patch>,
    /// How a write ends instead of succeeding.
    refuses: fn(&Patch) -> Option<Failure>,
    statuses: BTreeMap<Box<str>, Value>,
    /// Whether no status can be written, and how often that was tried.
    refuses_statuses: bool,
    refused_statuses: u32,
    events: Vec<String>,
    /// What policies' finalizers were set to.
    finalizers: Vec<Vec<String>>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            world: World::new(Config::default()),
            now: Instant::from_millis(1_763_700_000_000),
            version: 1,
            objects: BTreeMap::new(),
            patches: Vec::new(),
            refuses: |_| None,
            statuses: BTreeMap::new(),
            refuses_statuses: false,
            refused_statuses: 0,
            events: Vec::new(),
            finalizers: Vec::new(),
        };
        let mut streams =
            vec![Stream::Policies, Stream::Classes, Stream::Sources, Stream::Budgets, Stream::Disruptions];
        streams.extend(Kind::ALL.map(Stream::Objects));
        for stream in streams {
            bench.tell(Input::Listed(stream, Listing { names: BTreeSet::new() }));
        }
        bench.tell(Input::Leadership(true));
        bench
    }

    fn tell(&mut self, input: Input) {
        let mut effects = step(&mut self.world, input, self.now);
        for _ in 0..1000 {
            if effects.is_empty() {
                return;
            }
            let mut next = Vec::new();
            for Effect { id, action } in effects {
                next.extend(self.execute(id, action));
            }
            effects = next;
        }
        panic!("the engine does not come to rest: {:#?}", self.patches);
    }

    fn execute(&mut self, id: EffectId, action: Action) -> Vec<Effect> {
        let outcome = match action {
            Action::Get(key) => self.objects.get(&key).map_or(Outcome::NotFound, |object| read(&key, object)),
            Action::ListPods { .. } => Outcome::Pods(Vec::new()),
            Action::Status { .. } if self.refuses_statuses => {
                self.refused_statuses += 1;
                Outcome::Failed(Failure::Unknown("no answer".into()))
            }
            Action::Event(event) => {
                self.events.push(format!("{} {}", event.object.1, event.reason));
                Outcome::Accepted
            }
            Action::Status { policy, status, .. } => {
                self.statuses.insert(policy.1, serde_json::to_value(status).unwrap());
                Outcome::Accepted
            }
            Action::Patch(patch) => {
                self.patches.push(patch.clone());
                match ((self.refuses)(&patch), patch.subresource, &patch.body) {
                    (Some(failure), ..) => Outcome::Failed(failure),
                    (None, Some("scale"), PatchBody::Json(body)) => {
                        let replicas = body[1]["value"].clone();
                        self.change(&patch.object, |object| object["spec"]["replicas"] = replicas);
                        Outcome::Accepted
                    }
                    // An admission plugin puts back what an apply changes.
                    (None, None, PatchBody::Apply { .. }) => {
                        self.change(&patch.object, |_| {});
                        read(&patch.object, &self.objects[&patch.object])
                    }
                    (None, None, PatchBody::Json(body)) => {
                        let operations: json_patch::Patch = serde_json::from_value(body.clone()).unwrap();
                        self.change(&patch.object, |object| json_patch::patch(object, &operations).unwrap());
                        read(&patch.object, &self.objects[&patch.object])
                    }
                    other => panic!("a write that no test is about: {other:?}"),
                }
            }
            Action::Finalizers { finalizers, .. } => {
                self.finalizers.push(finalizers);
                Outcome::Accepted
            }
            _ => Outcome::Accepted,
        };
        step(&mut self.world, Input::Done(id, outcome), self.now)
    }

    /// A new version of an object; its watch event comes with [`Bench::show`].
    fn change(&mut self, key: &ObjectKey, how: impl FnOnce(&mut Value)) {
        self.version += 1;
        let object = self.objects.get_mut(key).unwrap();
        how(object);
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
    }

    fn show(&mut self, key: &ObjectKey) {
        let Outcome::Object(seen) = read(key, &self.objects[key]) else { unreachable!() };
        self.tell(Input::Object(Change::Applied(seen)));
    }

    fn add(&mut self, kind: Kind, name: &str, spec: &Value) -> ObjectKey {
        let key = ObjectKey::new(kind, "shop", name);
        self.version += 1;
        let object = json!({
            "metadata": {
                "name": name, "namespace": "shop", "uid": format!("u-{name}"), "generation": 1,
                "resourceVersion": self.version.to_string(),
            },
            "spec": spec,
        });
        self.objects.insert(key.clone(), object);
        self.show(&key);
        key
    }

    fn deployment(&mut self, replicas: u32) -> ObjectKey {
        let template = json!({"metadata": {}, "spec": {"containers": [{"name": "app", "image": "app"}]}});
        let spec = json!({"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template});
        self.add(Kind::Deployment, "web", &spec)
    }

    fn policy(&mut self, name: &str, replicas: &Value) {
        self.policy_with(name, "replicas", replicas);
    }

    fn policy_with(&mut self, name: &str, field: &str, value: &Value) {
        let policy = self.manifest(name, field, value);
        self.tell(Input::Policy(Change::Applied(Box::new(serde_json::from_value(policy).unwrap()))));
    }

    fn manifest(&mut self, name: &str, field: &str, value: &Value) -> Value {
        self.version += 1;
        json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy",
            "metadata": {
                "name": name, "namespace": "shop", "uid": format!("u-{name}"), "generation": 1,
                "resourceVersion": self.version.to_string(),
                // The older a policy is, the smaller its version.
                "creationTimestamp": format!("2026-01-01T00:00:{:02}Z", self.version % 60),
            },
            "spec": {"mode": "Enforce", "target": {"kind": "Deployment", "name": "web"}, field: value},
        })
    }

    /// Shows an object that carries traces of a policy, and then that the policy is being deleted.
    fn show_before_its_deletion(&mut self, mut policy: Value, object: &ObjectKey) {
        policy["metadata"]["finalizers"] = json!(["trimtab.dev/restore"]);
        policy["metadata"]["annotations"] = json!({"trimtab.dev/suspended": "until it is deleted"});
        self.tell(Input::Policy(Change::Applied(Box::new(serde_json::from_value(policy.clone()).unwrap()))));
        self.show(object);
        policy["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
        policy["metadata"]["resourceVersion"] = json!(format!("{}1", self.version));
        self.tell(Input::Policy(Change::Applied(Box::new(serde_json::from_value(policy).unwrap()))));
    }

    fn pass(&mut self, span: Span) {
        self.now = self.now + span;
        self.tell(Input::Tick);
    }

    fn condition(&self, policy: &str, kind: &str) -> String {
        let conditions = self.statuses[policy]["conditions"].as_array().unwrap();
        let condition = conditions.iter().find(|condition| condition["type"] == kind);
        condition.map_or_else(String::new, |condition| condition["reason"].as_str().unwrap().to_owned())
    }

    fn replicas(&self, target: &ObjectKey) -> u64 {
        self.objects[target]["spec"]["replicas"].as_u64().unwrap()
    }
}

fn read(key: &ObjectKey, object: &Value) -> Outcome {
    Outcome::Object(Box::new(Seen::from_json(key.kind, &object.to_string()).unwrap()))
}

#[test]
fn of_two_policies_that_want_different_numbers_of_pods_the_older_scales() {
    let mut bench = Bench::new();
    let web = bench.deployment(8);
    bench.policy("older", &json!({"max": 3}));
    bench.policy("younger", &json!({"min": 5}));
    for _ in 0..20 {
        bench.show(&web);
        bench.pass(Span::seconds(10));
    }
    assert_eq!(bench.replicas(&web), 3);
    let bodies: Vec<_> = bench.patches.iter().map(|p| &p.body).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(bench.condition("younger", "Conflicted"), "KnobOwnedBy");
}

#[test]
fn an_autoscaler_whose_write_failed_is_still_an_autoscaler() {
    let mut bench = Bench::new();
    let web = bench.deployment(8);
    let spec = json!({"minReplicas": 1, "maxReplicas": 10, "scaleTargetRef": {"kind": "Deployment", "name": "web"}});
    bench.add(Kind::HorizontalPodAutoscaler, "web", &spec);
    for failure in [
        (|_| Some(Failure::Stale)) as fn(&Patch) -> Option<Failure>,
        |_| Some(Failure::Forbidden("patch".into())),
        |_| Some(Failure::Rejected("no".into())),
    ] {
        bench.refuses = failure;
        bench.policy("bounds", &json!({"max": 5}));
        for _ in 0..5 {
            bench.pass(Span::minutes(2));
        }
        assert!(!bench.patches.is_empty());
        let to_workload = bench.patches.iter().filter(|patch| patch.object == web).count();
        assert_eq!(to_workload, 0, "{:#?}", bench.patches);
    }
}

#[test]
fn a_workload_that_somebody_scales_back_is_scaled_twice_within_an_hour() {
    let mut bench = Bench::new();
    let web = bench.deployment(8);
    bench.policy("bounds", &json!({"max": 5, "onConflict": "TakeOver"}));
    for _ in 0..5 {
        bench.show(&web);
        bench.pass(Span::minutes(1));
        bench.change(&web, |object| object["spec"]["replicas"] = json!(8));
    }
    bench.show(&web);
    bench.pass(Span::minutes(1));
    assert_eq!(bench.patches.len(), 2, "{:#?}", bench.patches);
    assert_eq!(bench.condition("bounds", "Conflicted"), "Contested");
    // It was an hour ago; the clock alone says so.
    bench.pass(Span::hours(1));
    assert_eq!(bench.replicas(&web), 5);
}

#[test]
fn an_edit_of_what_only_reports_is_no_reason_to_write() {
    let mut bench = Bench::new();
    let web = bench.deployment(8);
    let mut policy = bench.manifest("bounds", "replicas", &json!({"max": 5, "onConflict": "TakeOver"}));
    let reporting = [
        ("checklist", json!([{"id": "few", "text": "Few pods", "check": "live.replicas <= 5"}])),
        ("reports", json!([{"name": "PODS", "columns": ["Pods"], "rows": [["= live.replicas"]]}])),
        ("loadTests", json!([{"name": "root", "tool": "Ab", "path": "/"}])),
        ("alerting", json!({"labels": {"team": "a"}})),
    ];
    let tell = |bench: &mut Bench, policy: &Value| {
        bench.tell(Input::Policy(Change::Applied(Box::new(serde_json::from_value(policy.clone()).unwrap()))));
    };
    tell(&mut bench, &policy);
    for (generation, (section, value)) in (2..).zip(reporting) {
        bench.show(&web);
        bench.pass(Span::minutes(1));
        bench.change(&web, |object| object["spec"]["replicas"] = json!(8));
        bench.version += 1;
        policy["spec"][section] = value;
        policy["metadata"]["generation"] = json!(generation);
        policy["metadata"]["resourceVersion"] = json!(bench.version.to_string());
        tell(&mut bench, &policy);
    }
    bench.show(&web);
    bench.pass(Span::minutes(1));
    // Each edit is a generation, and of another one the same fight would begin anew.
    assert_eq!(bench.patches.len(), 2, "{:#?}", bench.patches);
    assert_eq!(bench.condition("bounds", "Conflicted"), "Contested");
    let status = &bench.statuses["bounds"];
    assert_eq!(status["observedGeneration"], 5, "what was edited is told all the same");
    assert_eq!(
        status["checklist"],
        json!({"passed": 0, "failed": 1, "attested": 0, "open": 0, "unknown": 0, "failing": ["few"]})
    );
    // An edit of the rest is one.
    bench.version += 1;
    policy["spec"]["replicas"]["max"] = json!(4);
    policy["metadata"]["generation"] = json!(9);
    policy["metadata"]["resourceVersion"] = json!(bench.version.to_string());
    tell(&mut bench, &policy);
    bench.pass(Span::minutes(1));
    assert_eq!((bench.patches.len(), bench.replicas(&web)), (3, 4));
    bench.show(&web);
    bench.pass(Span::minutes(1));
    assert_eq!(bench.statuses["bounds"]["checklist"]["passed"], 1);
}

#[test]
fn a_record_that_cannot_be_read_is_not_replaced() {
    for damaged in [r#"{"v":2,"uid":"u-bounds"}"#, r#"{"v":1,"#, "?"] {
        let mut bench = Bench::new();
        bench.policy("bounds", &json!({"max": 5}));
        let web = bench.deployment(5);
        bench.change(&web, |object| {
            object["metadata"]["annotations"] = json!({"trimtab.dev/baseline.bounds": damaged});
            object["spec"]["replicas"] = json!(8);
        });
        bench.show(&web);
        bench.pass(Span::minutes(1));
        assert_eq!(bench.patches, []);
        assert_eq!(bench.condition("bounds", "Ready"), "BaselineUnreadable");
    }
}

#[test]
fn two_knobs_on_one_variable_are_refused_however_they_name_the_container() {
    let mut bench = Bench::new();
    bench.deployment(1);
    let knob = |name: &str, value: u32| json!({"name": name, "type": "Integer", "value": value, "env": "SIZE"});
    let (first, mut second) = (knob("first", 1), knob("second", 2));
    second["container"] = json!("app");
    bench.policy_with("sizes", "settings", &json!([first, second]));
    bench.pass(Span::minutes(1));
    assert_eq!(bench.patches, []);
    assert_eq!(bench.condition("sizes", "Ready"), "InvalidSpec");
}

#[test]
fn what_admission_does_not_let_back_is_left_after_one_try_and_the_policy_can_go() {
    let mut bench = Bench::new();
    let web = bench.deployment(1);
    let mut record = Record::new("u-p");
    record.paths.insert(FieldPath::of(&["spec", "minReadySeconds"]), Some(json!(3)));
    let record = record.encode().unwrap();
    bench.change(&web, |object| {
        object["spec"]["minReadySeconds"] = json!(7);
        object["metadata"]["annotations"] = json!({"trimtab.dev/baseline.p": record});
        object["metadata"]["managedFields"] = json!([
            {"manager": "trimtab/p", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
             "fieldsV1": {"f:spec": {"f:minReadySeconds": {}}}},
        ]);
    });
    let policy = bench.manifest("p", "deletionPolicy", &json!("Restore"));
    bench.show_before_its_deletion(policy, &web);
    bench.pass(Span::minutes(1));
    let applies = bench.patches.iter().filter(|patch| matches!(patch.body, PatchBody::Apply { .. })).count();
    assert_eq!(applies, 1, "{:#?}", bench.patches);
    assert_eq!(bench.objects[&web]["metadata"]["annotations"], json!({}));
    // Asked for until the policy is gone, which the bench never shows.
    assert_eq!(bench.finalizers.first(), Some(&Vec::new()));
}

#[test]
fn a_status_that_cannot_be_written_is_tried_ever_more_rarely_and_announced_once() {
    let mut bench = Bench::new();
    bench.refuses_statuses = true;
    bench.policy_with("p", "pools", &json!([{"name": "db", "size": {"value": 5, "env": "A"}}]));
    for _ in 0..3600 {
        bench.pass(Span::seconds(1));
    }
    assert!((8..25).contains(&bench.refused_statuses), "{} tries within an hour", bench.refused_statuses);
    let announced = bench.events.clone();
    assert_eq!(announced, ["p NoTargets"]);
    bench.refuses_statuses = false;
    bench.pass(Span::minutes(6));
    assert_eq!(bench.condition("p", "Ready"), "NoTargets");
    assert_eq!(bench.events, announced);
}

#[test]
fn a_write_that_is_refused_keeps_nobody_else_from_their_turn() {
    let mut bench = Bench::new();
    bench.refuses = |_| Some(Failure::Rejected("no".into()));
    let web = bench.deployment(1);
    let spec = bench.objects[&web]["spec"].clone();
    let api = bench.add(Kind::Deployment, "api", &spec);
    for key in [&web, &api] {
        bench.change(key, |object| {
            object["status"] =
                json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
        });
        bench.show(key);
    }
    let pools = json!([{"name": "db", "size": {"value": 5, "env": "A"}}]);
    bench.policy_with("a", "pools", &pools);
    let mut second = bench.manifest("b", "pools", &pools);
    second["spec"]["target"]["name"] = json!("api");
    bench.tell(Input::Policy(Change::Applied(Box::new(serde_json::from_value(second).unwrap()))));
    bench.pass(Span::seconds(3));
    let written: Vec<&str> = bench.patches.iter().map(|patch| &*patch.object.name).collect();
    assert_eq!(written, ["web", "api"]);
}

#[test]
fn a_deletion_that_cannot_go_on_says_why() {
    let mut bench = Bench::new();
    let web = bench.deployment(1);
    bench.change(&web, |object| {
        object["metadata"]["annotations"] = json!({"trimtab.dev/baseline.p": "{}"});
    });
    let policy = bench.manifest("p", "deletionPolicy", &json!("Restore"));
    bench.show_before_its_deletion(policy, &web);
    bench.pass(Span::seconds(5));
    assert_eq!(bench.condition("p", "Ready"), "BaselineUnreadable");
    assert_eq!((bench.patches.len(), bench.finalizers.len()), (0, 0));
    // Whoever removes it has decided that nothing is to come back.
    bench.change(&web, |object| object["metadata"]["annotations"] = json!({}));
    bench.show(&web);
    assert_eq!(bench.finalizers.first(), Some(&Vec::new()));
}
