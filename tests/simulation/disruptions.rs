//! Budgets of disruptions: what must not be begun while one allows nothing, and stories of what waits and what does not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use trimtab::{
    api::names,
    core::{
        engine::{Action, Change, Effect, Input, Outcome, Patch, Stream},
        facts::{DisruptionBudget, Kind, ObjectKey, Progress, Seen, Span, progress},
        policy::PolicyKey,
    },
};

use super::{
    controllers::{CRASHES, HANGS},
    people::{NAMESPACE, config_map, deployment, policy, variables, workload},
    run::Run,
    server::{Server, Stored},
};

/// What the engine was told of budgets and workloads, and what it decided then.
#[derive(Default)]
pub struct Disruptions {
    budgets: BTreeMap<PolicyKey, DisruptionBudget>,
    shown: BTreeMap<ObjectKey, Seen>,
    /// Workloads whose last write was decided on while pods of them could not be missed, and the budget that said so.
    forbidden: BTreeMap<ObjectKey, PolicyKey>,
}

impl Disruptions {
    pub fn restarted(&mut self) {
        *self = Self::default();
    }

    pub fn told(&mut self, input: &Input) {
        match input {
            Input::Disruption(Change::Applied(shown)) => drop(self.budgets.insert(shown.0.clone(), shown.1.clone())),
            Input::Disruption(Change::Deleted(key)) => drop(self.budgets.remove(key)),
            Input::Listed(Stream::Disruptions, listing) => self.budgets.retain(|key, _| listing.names.contains(key)),
            Input::Object(Change::Applied(seen)) | Input::Done(_, Outcome::Object(seen))
                if seen.key.kind.is_workload() =>
            {
                let version = |seen: &Seen| seen.meta.resource_version.parse::<u64>().unwrap_or_default();
                if self.shown.get(&seen.key).is_none_or(|known| version(known) <= version(seen)) {
                    self.shown.insert(seen.key.clone(), (**seen).clone());
                }
            }
            Input::Object(Change::Deleted(key)) => drop(self.shown.remove(key)),
            _ => {}
        }
    }

    /// A write is decided on. `rolling`: workloads on which a rollout of ours was under way before.
    pub fn decided(&mut self, effect: &Effect, rolling: &[ObjectKey]) {
        let Action::Patch(Patch { object, .. }) = &effect.action else { return };
        self.forbidden.remove(object);
        let Some(seen) = self.shown.get(object).filter(|_| !rolling.contains(object)) else { return };
        let seen = seen.clone().into_object();
        let available = seen.integer("/status/availableReplicas").or_else(|| seen.integer("/status/numberAvailable"));
        if progress(&seen) == Progress::Complete
            && available > Some(0)
            && let Some((key, _)) = self.budgets.iter().find(|(_, budget)| budget.forbids() && budget.selects(&seen))
        {
            self.forbidden.insert(object.clone(), key.clone());
        }
    }

    /// No rollout that takes pods away is begun while a budget that was seen allows nothing. The way back of one that failed is
    /// another matter.
    pub fn written(&self, patch: &Patch, before: &Stored, after: &Stored, server: &Server) -> Result<(), String> {
        let Some(budget) = self.forbidden.get(&patch.object) else { return Ok(()) };
        let whose = patch.manager.strip_prefix(names::MANAGER_PREFIX).unwrap_or_default();
        let goes_back = server
            .policies
            .get(&policy(whose))
            .and_then(|policy| policy.status.as_ref())
            .is_some_and(|status| !status.quarantine.is_empty());
        // A Deployment of the model makes the new pod first wherever it has a surge.
        let takes = match patch.object.kind {
            Kind::Deployment => {
                before.at("/spec/strategy/type") == "Recreate"
                    || before.at("/spec/strategy/rollingUpdate/maxSurge") == &json!(0)
            }
            _ => true,
        };
        if before.template() != after.template() && takes && !goes_back {
            return Err(format!(
                "a rollout of {} begins although budget {} was seen to allow none",
                patch.object.short(),
                budget.1
            ));
        }
        Ok(())
    }
}

const RECREATE: &str = "Recreate";

/// Two pods, which are away together while they are replaced.
fn recreated(name: &str) -> Value {
    let mut all = workload(name, &json!({"env": variables(&[("LOG", "x")])}));
    all["spec"]["strategy"] = json!({"type": RECREATE});
    all
}

fn shop(of: &[(&ObjectKey, Value)]) -> Run {
    let mut run = Run::new(1);
    run.people("install", |server, _| {
        for (key, manifest) in of {
            server.kubectl_apply(&config_map(&format!("{}-config", key.name)), &json!({"data": {"a": "1"}}));
            server.kubectl_apply(key, manifest);
        }
    });
    run.pass(Span::seconds(10));
    run
}

fn protect(run: &mut Run, name: &str, spec: Value) {
    let mut spec = spec;
    spec["selector"] = json!({"matchLabels": {"app": name}});
    run.people(&format!("protect {name}: {spec}"), |server, _| server.apply_guard(name, &spec));
    run.pass(Span::seconds(5));
}

fn apply(run: &mut Run, name: &str, key: &ObjectKey, size: i64) {
    let spec = json!({"mode": "Enforce", "target": {"kind": key.kind.as_str(), "name": &*key.name},
        "pools": [{"name": "db", "size": {"value": size, "env": "DB_POOL_SIZE"}}]});
    run.people(&format!("apply policy {name}: {size}"), |server, _| server.apply_policy(name, &spec));
}

fn rest(run: &mut Run) {
    run.come_to_rest(Span::seconds(120), Span::minutes(30));
    run.stay_at_rest();
}

fn says(run: &Run, name: &str, kind: &str) -> String {
    let (status, reason) = run.server.condition(name, kind).unwrap_or_default();
    format!("{status}/{reason}")
}

fn message(run: &Run, name: &str) -> String {
    let status = run.server.policies[&policy(name)].status.as_ref().unwrap();
    status.conditions.iter().find(|condition| condition.type_ == "Applied").unwrap().message.clone()
}

fn revisions(run: &Run, key: &ObjectKey) -> u32 {
    run.invariants.revisions.get(key).copied().unwrap_or(0)
}

#[test]
fn what_takes_pods_away_waits_for_the_budget_and_holds_up_nobody() {
    let (api, web) = (deployment("api"), deployment("web"));
    let mut run = shop(&[(&api, recreated("api")), (&web, recreated("web"))]);
    protect(&mut run, "api", json!({"minAvailable": 2}));
    apply(&mut run, "p", &api, 20);
    run.pass(Span::seconds(5));
    apply(&mut run, "q", &web, 20);
    rest(&mut run);
    assert_eq!(says(&run, "p", "Ready"), "False/DisruptionNotAllowed");
    assert_eq!(says(&run, "p", "Applied"), "False/DisruptionNotAllowed");
    assert_eq!(says(&run, "q", "Applied"), "True/Applied", "it does not hold its turn");
    assert_eq!((revisions(&run, &api), revisions(&run, &web)), (0, 1));
    let told = message(&run, "p");
    for said in ["\"api\" allows 0 of 2 pods", "2 healthy, 2 have to be", RECREATE, "maxUnavailable: 0, maxSurge: 1"] {
        assert!(told.contains(said), "{told}");
    }

    protect(&mut run, "api", json!({"minAvailable": 1}));
    rest(&mut run);
    assert_eq!(says(&run, "p", "Ready"), "True/Served");
    assert_eq!(run.server.env(&api, "DB_POOL_SIZE").as_deref(), Some("20"));
}

#[test]
fn it_is_looked_at_again_when_the_budget_goes_or_the_strategy_surges() {
    let api = deployment("api");
    for gone in [true, false] {
        let mut run = shop(&[(&api, recreated("api"))]);
        protect(&mut run, "api", json!({"maxUnavailable": 0}));
        apply(&mut run, "p", &api, 20);
        rest(&mut run);
        assert_eq!((says(&run, "p", "Ready").as_str(), revisions(&run, &api)), ("False/DisruptionNotAllowed", 0));
        run.people("do what the message says", |server, _| {
            if gone {
                server.delete_guard("api");
            } else {
                server.edit_as("kubectl-edit", &api, |tree| {
                    let rolling = json!({"maxUnavailable": 0, "maxSurge": 1});
                    tree["spec"]["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": rolling});
                });
            }
        });
        rest(&mut run);
        assert_eq!((says(&run, "p", "Ready").as_str(), revisions(&run, &api)), ("True/Served", 1), "{gone}");
    }
}

#[test]
fn a_rollout_that_surges_and_a_value_that_restarts_nobody_wait_for_no_budget() {
    let api = deployment("api");
    let mut run = shop(&[(&api, workload("api", &json!({})))]);
    protect(&mut run, "api", json!({"maxUnavailable": 0}));
    apply(&mut run, "p", &api, 20);
    rest(&mut run);
    assert_eq!((says(&run, "p", "Ready").as_str(), revisions(&run, &api)), ("True/Served", 1));

    let mut run = shop(&[(&api, recreated("api"))]);
    protect(&mut run, "api", json!({"maxUnavailable": 0}));
    let landing = json!({"name": "api-config", "key": "limit", "reload": "Watch"});
    let spec = json!({"mode": "Enforce", "target": {"kind": "Deployment", "name": "api"}, "replicas": {"min": 3, "onConflict": "TakeOver"},
        "settings": [{"name": "limit", "type": "Integer", "value": 5, "configMapKey": landing}]});
    run.people("apply policy p", |server, _| server.apply_policy("p", &spec));
    rest(&mut run);
    assert_eq!(says(&run, "p", "Applied"), "True/Applied");
    assert_eq!((run.object(&api).at("/spec/replicas"), revisions(&run, &api)), (&json!(3), 0));
    assert_eq!(run.object(&config_map("api-config")).at("/data/limit"), "5");
}

#[test]
fn the_way_back_and_what_replaces_a_rollout_of_ours_do_not_wait() {
    let api = ObjectKey::new(Kind::StatefulSet, NAMESPACE, "api");
    for bad in [CRASHES, HANGS] {
        let mut run = shop(&[(&api, workload("api", &json!({})))]);
        protect(&mut run, "api", json!({"minAvailable": 1}));
        apply(&mut run, "p", &api, bad.parse().unwrap());
        run.pass(Span::seconds(12));
        assert_eq!(
            run.server.guards[&policy("api")].status["disruptionsAllowed"],
            0,
            "its own pods are what is missing"
        );
        rest(&mut run);
        assert_eq!(says(&run, "p", "Ready"), "False/RolledBack", "{bad}");
        assert_eq!(revisions(&run, &api), 2, "there and back");
    }

    let mut run = shop(&[(&api, workload("api", &json!({})))]);
    protect(&mut run, "api", json!({"minAvailable": 1}));
    apply(&mut run, "p", &api, HANGS.parse().unwrap());
    run.pass(Span::seconds(12));
    assert_eq!(run.server.guards[&policy("api")].status["disruptionsAllowed"], 0);
    apply(&mut run, "p", &api, 8);
    rest(&mut run);
    assert_eq!((says(&run, "p", "Ready").as_str(), revisions(&run, &api)), ("True/Served", 2));
}

#[test]
fn what_helps_a_workload_of_which_no_pod_is_available_does_not_wait() {
    let api = deployment("api");
    let mut broken = workload("api", &json!({"env": variables(&[("DB_POOL_SIZE", CRASHES)])}));
    broken["spec"]["strategy"] = json!({"type": RECREATE});
    let mut run = shop(&[(&api, broken)]);
    protect(&mut run, "api", json!({"minAvailable": 1}));
    let spec = json!({"mode": "Enforce", "target": {"kind": "Deployment", "name": "api"},
        "pools": [{"name": "db", "size": {"value": 8, "env": "DB_POOL_SIZE", "onConflict": "TakeOver"}}]});
    run.people("apply policy p", |server, _| server.apply_policy("p", &spec));
    rest(&mut run);
    assert_eq!(says(&run, "p", "Ready"), "True/Served");
    assert_eq!(run.server.env(&api, "DB_POOL_SIZE").as_deref(), Some("8"));
}

/// A node is drained, and everything that could be missed is.
#[test]
fn while_pods_are_missing_for_another_reason_what_is_left_is_protected() {
    let api = ObjectKey::new(Kind::StatefulSet, NAMESPACE, "api");
    let web = ObjectKey::new(Kind::StatefulSet, NAMESPACE, "web");
    let mut run = shop(&[(&api, workload("api", &json!({}))), (&web, workload("web", &json!({})))]);
    let both = json!({"selector": {}, "minAvailable": 3});
    run.people("protect both", |server, _| server.apply_guard("both", &both));
    run.pass(Span::seconds(5));
    run.people("web restarts", |server, _| server.rollout_restart(&web));
    run.pass(Span::seconds(3));
    apply(&mut run, "p", &api, 20);
    let mut waited = false;
    for _ in 0..60 {
        run.pass(Span::seconds(1));
        waited |= says(&run, "p", "Applied") == "False/DisruptionNotAllowed";
    }
    rest(&mut run);
    assert!(waited, "one pod of web is away");
    assert_eq!((says(&run, "p", "Ready").as_str(), revisions(&run, &api)), ("True/Served", 1));
    assert_eq!(run.server.guards.keys().cloned().collect::<BTreeSet<_>>(), [policy("both")].into());
}
