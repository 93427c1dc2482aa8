//! Connection budgets: nothing that we write lets pools open more connections than their budget has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use trimtab::{
    api::{
        PerformancePolicy,
        budget::{Pooler, PoolerMode},
        names,
    },
    core::{
        engine::{Action, Effect, Patch},
        facts::{Kind, ObjectKey, Span},
    },
};

use super::{
    controllers::Controllers,
    people::{deployment, policy, variables, workload},
    run::Run,
    server::{Server, Stored},
};

/// Holds writes to what budgets have.
///
/// A decision can only be as good as what the engine knew. So a write is judged if it was decided while nothing was left to be
/// shown to the engine, and if nobody has done anything since.
#[derive(Default)]
pub struct Budgets {
    /// How often people did something.
    moves: u64,
    /// Patches that were decided on with everything in view, and after how many moves.
    informed: BTreeMap<String, u64>,
    /// What the pods that are there open is counted after every event, and must be within what budgets have.
    pub meter: bool,
    /// Variables in which each pool of a policy has ever had its size: where there is none of now, processes have one of before.
    variables: BTreeMap<(String, String), BTreeSet<String>>,
    /// The most that they opened.
    pub peak: std::cell::Cell<i64>,
}

impl Budgets {
    pub fn moved(&mut self) {
        self.moves += 1;
        self.informed.clear();
    }

    /// Takes note of where policies have their pools.
    pub fn learn(&mut self, server: &Server) {
        for ((_, name), policy) in &server.policies {
            for pool in &policy.spec.pools {
                let pool = json!(pool);
                if let (Some(of), Some(variable), Some(_)) =
                    (pool["name"].as_str(), pool["size"]["env"].as_str(), pool["budget"].as_str())
                {
                    let known = self.variables.entry((name.to_string(), of.to_owned())).or_default();
                    known.insert(variable.to_owned());
                }
            }
        }
    }

    /// Counts what the pods that are there open, every process its whole pool.
    pub fn check(&self, server: &Server, controllers: &Controllers) -> Result<(), String> {
        if !self.meter {
            return Ok(());
        }
        for (key, budget) in &server.budgets {
            let opened = opened(server, controllers, &key.1);
            let usable = i64::from(budget.spec.capacity.connections.unwrap_or(1_000_000)) - 3;
            self.peak.set(self.peak.get().max(opened));
            if opened > usable {
                return Err(format!("pods have {opened} connections open, and budget {} has {usable}", key.1));
            }
        }
        Ok(())
    }

    pub fn decided(&mut self, effect: &Effect, informed: bool) {
        if let (Action::Patch(patch), true) = (&effect.action, informed) {
            self.informed.insert(format!("{patch:?}"), self.moves);
        }
    }

    pub fn written(&mut self, patch: &Patch, before: &Stored, server: &Server) -> Result<(), String> {
        // Where pods are counted, that says more.
        if self.informed.remove(&format!("{patch:?}")) != Some(self.moves) || self.meter {
            return Ok(());
        }
        for (key, budget) in &server.budgets {
            let sum = |instead| total(server, &key.1, instead, &self.variables);
            let (was, is) = (sum(Some(before)), sum(None));
            let spec = &budget.spec;
            // Who measures is held to what stories say.
            let Some(capacity) = spec.capacity.connections.filter(|_| spec.capacity.metric.is_none()) else { continue };
            let others: u32 = spec.others.iter().filter_map(|other| other.connections).sum();
            let share: f64 = spec.headroom.as_deref().unwrap_or("10%").trim_end_matches('%').parse().unwrap();
            let left = f64::from(capacity) - f64::from(spec.reserved.unwrap_or(3)) - f64::from(others);
            let database = (left * (100.0 - share) / 100.0).floor() as i64;
            let usable = match &spec.pooler {
                None => database,
                Some(Pooler { servers, .. }) if i64::from(*servers) > database => 0,
                Some(Pooler { mode: PoolerMode::Session, clients, servers }) => i64::from(*clients.min(servers)),
                Some(Pooler { clients, .. }) => i64::from(*clients),
            };
            let writer = patch.manager.strip_prefix(names::MANAGER_PREFIX).unwrap_or_default();
            let writer = server.policies.get(&policy(writer));
            // What a failed rollout of the writer replaced comes back in any case.
            let quarantine = writer.and_then(|writer| writer.status.as_ref()).map(|status| &status.quarantine[..]);
            let goes_back = quarantine.unwrap_or_default().iter().any(|item| item.object == patch.object.short());
            // A pool that one policy counts may be a variable that another governs, which names no budget and so is held to
            // none. What that one writes is told (`Overcommitted` of the budget), and not prevented.
            let names_it = |writer: &PerformancePolicy| {
                writer.spec.pools.iter().any(|pool| pool.budget.as_deref() == Some(&*key.1))
            };
            let promises = writer.is_some_and(names_it);
            if promises && is > was && is > usable && !goes_back {
                return Err(format!(
                    "pools could open {is} connections and could open {was} before a write to {}; budget {} has {usable}",
                    patch.object.short(),
                    key.1
                ));
            }
        }
        Ok(())
    }
}

/// What all pools of a budget open if every process that is there opens its whole pool.
fn opened(server: &Server, controllers: &Controllers, budget: &str) -> i64 {
    let mut sum = 0;
    for policy in server.policies.values() {
        let spec = json!(policy.spec);
        for pool in spec["pools"].as_array().into_iter().flatten().filter(|pool| pool["budget"] == budget) {
            let key = ObjectKey::new(
                Kind::from_name(spec["target"]["kind"].as_str().unwrap()).unwrap(),
                super::people::NAMESPACE,
                spec["target"]["name"].as_str().unwrap(),
            );
            for template in controllers.templates(&key) {
                let number = |variable: &Value| {
                    let variables = template.pointer("/spec/containers/0/env").and_then(Value::as_array);
                    let found = variables.into_iter().flatten().find(|entry| entry["name"] == *variable)?;
                    found["value"].as_str()?.parse::<i64>().ok()
                };
                // A process that was not restarted with the variable of now has that of before.
                let size = number(&pool["size"]["env"]).or_else(|| number(&json!("POOL"))).unwrap_or(0);
                let overflow = number(&pool["overflow"]["env"]).unwrap_or(0);
                let processes = if pool["perWorker"].is_null() { Some(1) } else { number(&json!("WORKERS")) };
                sum += (size + overflow) * processes.unwrap_or(1);
            }
        }
    }
    sum
}

/// What all pools of a budget could open at worst, by what the objects say. `instead`: an object as it was.
fn total(
    server: &Server,
    budget: &str,
    instead: Option<&Stored>,
    variables: &BTreeMap<(String, String), BTreeSet<String>>,
) -> i64 {
    let object = |key: &ObjectKey| match instead {
        Some(stored) if stored.key == *key => stored.clone(),
        _ => server.objects[key].clone(),
    };
    // Two policies that set one variable have one pool.
    let mut pools: BTreeMap<(ObjectKey, String), i64> = BTreeMap::new();
    for ((_, name), policy) in &server.policies {
        let spec = json!(policy.spec);
        let Some(target) = spec["target"].as_object() else { continue };
        let chosen = |key: &&ObjectKey| {
            key.kind.as_str() == target["kind"]
                && match target.get("name") {
                    Some(name) => *name == *key.name,
                    None => object(key).at("/metadata/labels/tier") == "web",
                }
        };
        for key in server.objects.keys().filter(chosen) {
            let stored = object(key);
            let containers = stored.at("/spec/template/spec/containers/0/env").clone();
            let number = |knob: &Value| match knob["env"].as_str() {
                None if knob.is_null() => Some(0),
                None => knob["value"].as_i64(),
                Some(variable) => {
                    let found = containers.as_array()?.iter().find(|entry| entry["name"] == variable)?;
                    found["value"].as_str()?.parse::<i64>().ok()
                }
            };
            for pool in spec["pools"].as_array().into_iter().flatten().filter(|pool| pool["budget"] == budget) {
                let mut workers = spec["workers"].as_array().into_iter().flatten();
                let workers =
                    workers.find(|group| pool["perWorker"] == group["name"]).map(|group| number(&group["count"]));
                let processes = workers.unwrap_or(Some(1));
                let of = (name.to_string(), pool["name"].as_str().unwrap().to_owned());
                let before = variables.get(&of).into_iter().flatten();
                let now = pool["size"]["env"].as_str().map_or_else(|| format!("of {name}"), str::to_owned);
                let before = before.filter_map(|variable| Some((number(&json!({"env": variable}))?, variable.clone())));
                let (size, pool_of) = number(&pool["size"])
                    .map(|size| (size, now))
                    .or_else(|| before.max())
                    .map_or((None, String::new()), |(size, of)| (Some(size), of));
                let (Some(size), Some(overflow), Some(processes)) = (size, number(&pool["overflow"]), processes) else {
                    continue;
                };
                let scaler = server.objects.keys().find(|other| {
                    other.kind == Kind::HorizontalPodAutoscaler
                        && object(other).at("/spec/scaleTargetRef/name") == &*key.name
                });
                let replicas = scaler
                    .and_then(|scaler| object(scaler).at("/spec/maxReplicas").as_i64())
                    .or_else(|| stored.at("/spec/replicas").as_i64())
                    .unwrap_or(1)
                    .max(1);
                let drains =
                    server.budgets[&super::people::policy(budget)].spec.shares.iter().any(|share| {
                        share.policy == **name && share.pool == pool["name"] && share.drains == Some(true)
                    });
                let pods = match key.kind {
                    Kind::Deployment => replicas + (replicas + 3) / 4 + if drains { 0 } else { replicas },
                    Kind::DaemonSet => stored.status["desiredNumberScheduled"].as_i64().unwrap_or(0).max(1),
                    _ => replicas,
                };
                let most = pools.entry((key.clone(), pool_of)).or_default();
                *most = ((size + overflow) * processes * pods).max(*most);
            }
        }
    }
    pools.values().sum()
}

// stories

pub const BUDGET: &str = "grace-postgres";

/// A shop with workloads of three pods each.
pub fn shop(names: &[&str]) -> Run {
    let mut run = Run::new(1);
    for name in names {
        install(&mut run, name, &json!({}));
    }
    run.pass(Span::seconds(10));
    run
}

pub fn install(run: &mut Run, name: &str, container: &Value) {
    let mut manifest = workload(name, container);
    manifest["spec"]["replicas"] = json!(3);
    run.people("install", |server, _| server.kubectl_apply(&deployment(name), &manifest));
}

/// (20 + 10) connections × 4 processes on `target`.
fn grace(target: &str, size: i64) -> Value {
    json!({
        "mode": "Enforce", "target": {"kind": "Deployment", "name": target},
        "workers": [{"name": "web", "count": {"value": 4, "env": "WORKERS"}}],
        "pools": [{"name": "db", "perWorker": "web", "budget": BUDGET, "size": {"value": size, "env": "POOL"},
            "overflow": {"value": 10, "env": "OVERFLOW"}}],
    })
}

/// A pool of that size on `target`: 7 pods at worst.
pub fn plain(target: &str, size: i64) -> Value {
    json!({"mode": "Enforce", "target": {"kind": "Deployment", "name": target},
        "pools": [{"name": "db", "budget": BUDGET, "size": {"value": size, "env": "POOL"}}]})
}

fn capacity(connections: i64) -> Value {
    json!({"capacity": {"connections": connections}, "others": [{"name": "reporting", "connections": 10}]})
}

pub fn budget(run: &mut Run, spec: &Value) {
    run.people(&format!("apply budget {spec}"), |server, _| server.apply_budget(BUDGET, spec));
}

pub fn apply(run: &mut Run, name: &str, spec: &Value) {
    run.people(&format!("apply policy {name}: {spec}"), |server, _| server.apply_policy(name, spec));
}

pub fn rest(run: &mut Run) {
    run.come_to_rest(Span::seconds(120), Span::minutes(30));
    run.stay_at_rest();
}

fn revisions(run: &Run, name: &str) -> u32 {
    run.invariants.revisions.get(&deployment(name)).copied().unwrap_or(0)
}

pub fn pool(run: &Run, name: &str) -> Option<String> {
    run.server.env(&deployment(name), "POOL")
}

#[track_caller]
pub fn says(run: &Run, name: &str, kind: &str, status: &str, reason: &str) {
    assert_eq!(run.server.condition(name, kind), Some((status.into(), reason.into())), "{name} {kind}");
}

pub fn message(run: &Run, name: &str) -> String {
    let status = run.server.policies[&policy(name)].status.as_ref().unwrap();
    status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap().message.clone()
}

/// Usable, committed, and the reason of the budget's Ready.
pub fn ledger(run: &Run) -> (i64, i64, String) {
    let status = run.server.budgets[&policy(BUDGET)].status.as_ref().unwrap();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    let exceeded =
        status.conditions.iter().any(|condition| condition.type_ == "Overcommitted" && condition.status == "True");
    assert_eq!(exceeded, ready.status == "False", "{status:?}");
    (status.usable.unwrap(), status.committed.unwrap(), ready.reason.clone())
}

#[test]
fn what_exceeds_a_budget_is_refused_with_the_sum_and_written_when_the_database_has_room() {
    let mut run = shop(&["api"]);
    budget(&mut run, &capacity(100));
    apply(&mut run, "p", &grace("api", 20));
    rest(&mut run);
    says(&run, "p", "Ready", "False", "BudgetExceeded");
    assert_eq!(
        message(&run, "p"),
        "pool db could open (20 + 10) connections × 4 web processes × (3 pods + 1 surge + 3 terminating) = 840, above the 78 \
         that budget \"grace-postgres\" has (100 − 3 reserved − 10 reporting, less 10% headroom); 2 would fit per process: put a \
         pooler in front, run fewer processes or allow fewer replicas"
    );
    assert_eq!(run.server.condition("p", "Stalled"), None, "a larger database helps as well");
    assert_eq!((revisions(&run, "api"), run.server.traces(&deployment("api")).len()), (0, 0), "nothing was written");
    assert_eq!(ledger(&run), (78, 0, "Served".into()));
    budget(&mut run, &capacity(1000));
    rest(&mut run);
    says(&run, "p", "Ready", "True", "Served");
    assert_eq!((pool(&run, "api").as_deref(), revisions(&run, "api")), (Some("20"), 1));
    assert_eq!(ledger(&run), (888, 840, "Served".into()));
}

#[test]
fn a_pooler_in_front_makes_room() {
    let mut run = shop(&["api"]);
    let mut spec = capacity(100);
    spec["pooler"] = json!({"mode": "Transaction", "clients": 1000, "servers": 60});
    budget(&mut run, &spec);
    apply(&mut run, "p", &grace("api", 20));
    rest(&mut run);
    assert_eq!(pool(&run, "api").as_deref(), Some("20"));
    spec["pooler"]["servers"] = json!(80);
    budget(&mut run, &spec);
    rest(&mut run);
    assert_eq!(ledger(&run), (1000, 840, "Overcommitted".into()), "the pooler may open more than the database has");
    apply(&mut run, "p", &grace("api", 21));
    rest(&mut run);
    says(&run, "p", "Ready", "False", "BudgetExceeded");
    assert_eq!(pool(&run, "api").as_deref(), Some("20"));
}

#[test]
fn a_pool_waits_for_its_budget() {
    let mut run = shop(&["api"]);
    apply(&mut run, "p", &plain("api", 10));
    rest(&mut run);
    says(&run, "p", "Ready", "False", "BudgetNotFound");
    says(&run, "p", "Reconciling", "True", "BudgetNotFound");
    assert_eq!(run.server.condition("p", "Stalled"), None);
    assert_eq!((pool(&run, "api"), revisions(&run, "api")), (None, 0));
    budget(&mut run, &capacity(100));
    rest(&mut run);
    says(&run, "p", "Ready", "True", "Served");
    assert_eq!(pool(&run, "api").as_deref(), Some("10"));
    run.people("delete the budget", |server, _| server.delete_budget(&policy(BUDGET)));
    // Budgets and policies are watched apart: who hears of the policy first grows into the budget that was.
    rest(&mut run);
    apply(&mut run, "p", &plain("api", 11));
    rest(&mut run);
    says(&run, "p", "Ready", "False", "BudgetNotFound");
    assert_eq!((pool(&run, "api").as_deref(), revisions(&run, "api")), (Some("10"), 1), "what is there stays");
}

#[test]
fn of_two_that_compete_the_older_goes_first_and_the_younger_follows_when_it_has_gone() {
    let mut run = shop(&["api", "web"]);
    // As if both were applied at once, before the budget.
    apply(&mut run, "z", &plain("web", 6));
    run.pass(Span::seconds(2));
    apply(&mut run, "a", &plain("api", 6));
    run.pass(Span::seconds(2));
    budget(&mut run, &capacity(100));
    rest(&mut run);
    assert_eq!((pool(&run, "web").as_deref(), pool(&run, "api").as_deref()), (Some("6"), None));
    says(&run, "z", "Ready", "True", "Served");
    says(&run, "a", "Ready", "False", "BudgetExceeded");
    let sum = "= 42, beside 42 of others, above the 78";
    assert!(message(&run, "a").contains(sum), "{}", message(&run, "a"));
    apply(&mut run, "z", &plain("web", 7));
    rest(&mut run);
    assert_eq!(pool(&run, "web").as_deref(), Some("7"), "there is room for it alone");
    apply(&mut run, "z", &plain("web", 5));
    rest(&mut run);
    assert_eq!((pool(&run, "web").as_deref(), pool(&run, "api").as_deref()), (Some("5"), Some("6")), "one made room");
    assert_eq!(ledger(&run), (78, 77, "Served".into()));
    apply(&mut run, "z", &plain("web", 6));
    rest(&mut run);
    says(&run, "z", "Ready", "False", "BudgetExceeded");
    assert_eq!(pool(&run, "api").as_deref(), Some("6"), "an older policy takes nothing away");
    run.people("delete policy a", |server, _| server.delete_policy(&policy("a")));
    rest(&mut run);
    assert_eq!(pool(&run, "web").as_deref(), Some("6"));
}

#[test]
fn a_crash_at_any_moment_lets_nobody_grow_twice() {
    let play = |crash_at: Option<u64>| {
        let mut run = shop(&["api", "web"]);
        budget(&mut run, &capacity(100));
        apply(&mut run, "z", &plain("web", 6));
        apply(&mut run, "a", &plain("api", 6));
        let events = run.pass_with_crash(Span::seconds(60), crash_at);
        rest(&mut run);
        let pools = [pool(&run, "web"), pool(&run, "api")];
        assert_eq!(pools.iter().flatten().count(), 1, "crash at {crash_at:?}: {pools:?}");
        events
    };
    for crash_at in 0..play(None) {
        play(Some(crash_at));
    }
}

#[test]
fn nobody_shrinks_because_the_database_did_and_everybody_may() {
    let mut run = shop(&["api"]);
    budget(&mut run, &capacity(1000));
    apply(&mut run, "p", &plain("api", 20));
    rest(&mut run);
    budget(&mut run, &capacity(100));
    rest(&mut run);
    assert_eq!(ledger(&run), (78, 140, "Overcommitted".into()));
    says(&run, "p", "Ready", "True", "Served");
    assert_eq!(pool(&run, "api").as_deref(), Some("20"));
    apply(&mut run, "p", &plain("api", 15));
    rest(&mut run);
    assert_eq!(pool(&run, "api").as_deref(), Some("15"), "less is better, even if it is still too much");
    apply(&mut run, "p", &plain("api", 16));
    rest(&mut run);
    says(&run, "p", "Ready", "False", "BudgetExceeded");
    assert_eq!(pool(&run, "api").as_deref(), Some("15"));
    run.crash();
    rest(&mut run);
    assert_eq!(pool(&run, "api").as_deref(), Some("15"));
}

#[test]
fn pods_that_somebody_else_allows_are_told_and_nothing_of_ours_grows() {
    let mut run = shop(&["api"]);
    let autoscaler = ObjectKey::new(Kind::HorizontalPodAutoscaler, super::people::NAMESPACE, "api");
    let scale = |most: i64| {
        json!({"spec": {"minReplicas": 1, "maxReplicas": most,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}}})
    };
    run.people("an autoscaler", |server, _| server.kubectl_apply(&autoscaler, &scale(4)));
    budget(&mut run, &capacity(100));
    apply(&mut run, "p", &plain("api", 8));
    rest(&mut run);
    assert_eq!(pool(&run, "api").as_deref(), Some("8"));
    assert_eq!(ledger(&run), (78, 72, "Served".into()));
    run.people("more pods", |server, _| server.kubectl_apply(&autoscaler, &scale(10)));
    rest(&mut run);
    assert_eq!(ledger(&run), (78, 184, "Overcommitted".into()));
    says(&run, "p", "Ready", "False", "BudgetExceeded");
    assert_eq!((pool(&run, "api").as_deref(), revisions(&run, "api")), (Some("8"), 1));
    run.people("fewer pods", |server, _| server.kubectl_apply(&autoscaler, &scale(4)));
    rest(&mut run);
    says(&run, "p", "Ready", "True", "Served");
}

#[test]
fn fewer_pods_come_before_more_connections_in_each() {
    let mut run = shop(&["api"]);
    let autoscaler = ObjectKey::new(Kind::HorizontalPodAutoscaler, super::people::NAMESPACE, "api");
    run.people("an autoscaler", |server, _| {
        let scaler = json!({"spec": {"minReplicas": 1, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}}});
        server.kubectl_apply(&autoscaler, &scaler);
        server.edit_as("kubectl-edit", &autoscaler, |tree| tree["spec"]["maxReplicas"] = json!(10));
    });
    budget(&mut run, &capacity(100));
    let mut spec = plain("api", 8);
    spec["replicas"] = json!({"max": 4, "onConflict": "TakeOver"});
    apply(&mut run, "p", &spec);
    rest(&mut run);
    assert_eq!(run.object(&autoscaler).at("/spec/maxReplicas"), 4);
    assert_eq!(pool(&run, "api").as_deref(), Some("8"));
    assert_eq!(ledger(&run), (78, 72, "Served".into()));
}

#[test]
fn values_that_came_with_the_manifest_count_and_are_not_let_in_beyond_the_budget() {
    let mut run = Run::new(1);
    install(&mut run, "api", &json!({"env": variables(&[("POOL", "20")])}));
    run.pass(Span::seconds(10));
    budget(&mut run, &capacity(100));
    apply(&mut run, "p", &plain("api", 20));
    rest(&mut run);
    says(&run, "p", "Ready", "False", "BudgetExceeded");
    assert_eq!(ledger(&run), (78, 140, "Overcommitted".into()));
    assert_eq!(revisions(&run, "api"), 0);
}

#[test]
fn what_a_person_took_back_is_let_in_anew() {
    let mut run = shop(&["api"]);
    budget(&mut run, &capacity(100));
    apply(&mut run, "p", &plain("api", 11));
    rest(&mut run);
    assert_eq!(ledger(&run), (78, 77, "Served".into()));
    super::scenario::override_env(&mut run, &deployment("api"), "POOL", Some("5"));
    rest(&mut run);
    budget(&mut run, &capacity(80));
    rest(&mut run);
    assert_eq!(ledger(&run), (60, 35, "Served".into()));
    run.people("resume", |server, _| server.resume("p"));
    rest(&mut run);
    assert_eq!(pool(&run, "api").as_deref(), Some("5"), "it was let in when the database had more");
    says(&run, "p", "Ready", "False", "BudgetExceeded");
    budget(&mut run, &capacity(100));
    rest(&mut run);
    assert_eq!(pool(&run, "api").as_deref(), Some("11"));
}

#[test]
fn more_pods_for_one_pool_are_more_for_every_pool_of_the_workload() {
    let mut run = shop(&["api"]);
    budget(&mut run, &capacity(100));
    apply(&mut run, "p", &plain("api", 8));
    rest(&mut run);
    let mut cache = plain("api", 1);
    cache["pools"][0]["size"]["env"] = json!("CACHE");
    cache["replicas"] = json!({"min": 4, "max": 6, "onConflict": "TakeOver"});
    apply(&mut run, "q", &cache);
    rest(&mut run);
    says(&run, "q", "Ready", "False", "BudgetExceeded");
    let sum = "pool db could open 1 connection × (6 pods + 2 surge + 6 terminating) = 14, beside 112 of others";
    assert!(message(&run, "q").contains(sum), "{}", message(&run, "q"));
    assert_eq!(run.object(&deployment("api")).at("/spec/replicas"), 3);
    assert_eq!(run.server.env(&deployment("api"), "CACHE"), None);
    budget(&mut run, &capacity(153));
    rest(&mut run);
    says(&run, "q", "Ready", "True", "Served");
    assert_eq!(run.object(&deployment("api")).at("/spec/replicas"), 4);
    assert_eq!(run.server.env(&deployment("api"), "CACHE").as_deref(), Some("1"));
}

#[test]
fn who_moves_a_pool_to_another_place_brings_nothing_along() {
    let mut run = shop(&["api"]);
    budget(&mut run, &capacity(100));
    apply(&mut run, "p", &plain("api", 11));
    run.pass(Span::seconds(2));
    let mut watched = plain("api", 11);
    watched["mode"] = json!("Observe");
    apply(&mut run, "q", &watched);
    rest(&mut run);
    assert_eq!(ledger(&run), (78, 77, "Served".into()));
    let mut moved = plain("api", 11);
    moved["pools"][0]["size"]["env"] = json!("MOVED");
    apply(&mut run, "p", &moved);
    rest(&mut run);
    // The old variable stays, as a knob that is gone leaves its value, and "q" says that a pool is behind it.
    says(&run, "p", "Ready", "False", "BudgetExceeded");
    assert_eq!(run.server.env(&deployment("api"), "MOVED"), None);
}

#[test]
fn a_way_back_that_the_budget_bars_keeps_nobody_waiting() {
    let mut run = shop(&["api", "web"]);
    budget(&mut run, &capacity(100));
    apply(&mut run, "p", &plain("api", 5));
    rest(&mut run);
    let hangs: i64 = super::controllers::HANGS.parse().unwrap();
    budget(&mut run, &capacity(100_000));
    run.pass(Span::seconds(2));
    apply(&mut run, "p", &plain("api", hangs));
    run.pass(Span::seconds(10));
    // Before it is known that it fails: another value, for which there is no room.
    budget(&mut run, &capacity(50));
    // The watches are not in step, and the operator must know of the budget first.
    run.pass(Span::seconds(2));
    apply(&mut run, "p", &plain("api", 1000));
    let settings = json!({"mode": "Enforce", "target": {"kind": "Deployment", "name": "api"},
        "settings": [{"name": "batch", "value": 10, "env": "BATCH"}]});
    apply(&mut run, "q", &settings);
    // Until the Deployment gives up.
    run.come_to_rest(Span::minutes(11), Span::hours(3));
    says(&run, "p", "Ready", "False", "BudgetExceeded");
    // It has had its turn. Its pods hang for the value that is still there, so it has gone back.
    says(&run, "q", "Ready", "False", "RolledBack");
}

// what is measured

const CAPACITY: &str = "pg_settings_max_connections";
const OTHERS: &str = "pg_stat_activity_count";

/// Sizes that are shares, and so stand in no policy.
pub fn allow_shares(run: &mut Run) {
    run.invariants.told = (0..=20).map(|size: i64| size.to_string()).collect();
}

/// A shop with a Prometheus that reads these gauges.
fn measured_shop(names: &[&str], gauges: &[(&str, f64)]) -> Run {
    let mut run = shop(names);
    run.people("a source", |server, _| {
        server.put_source();
        for (gauge, value) in gauges {
            server.gauges.insert((*gauge).into(), *value);
        }
    });
    run
}

fn reads(run: &mut Run, gauge: &str, value: Option<f64>) {
    run.people(&format!("{gauge} is {value:?}"), |server, _| match value {
        Some(value) => server.gauges.insert(gauge.into(), value),
        None => server.gauges.remove(gauge),
    });
}

fn by_metric(literal: Option<i64>) -> Value {
    let mut spec = json!({"capacity": {"metric": {"gauge": CAPACITY}}});
    if let Some(literal) = literal {
        spec["capacity"]["connections"] = json!(literal);
    }
    spec
}

/// The budget's Ready, its reason, and what it says.
fn budget_says(run: &Run) -> (String, String, String) {
    let status = run.server.budgets[&policy(BUDGET)].status.as_ref().unwrap();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    (ready.status.clone(), ready.reason.clone(), ready.message.clone())
}

fn usable(run: &Run) -> Option<i64> {
    run.server.budgets[&policy(BUDGET)].status.as_ref()?.usable
}

#[test]
fn of_a_literal_and_what_is_measured_the_smaller_counts() {
    let mut run = measured_shop(&["api"], &[(CAPACITY, 60.0)]);
    budget(&mut run, &by_metric(Some(100)));
    apply(&mut run, "p", &plain("api", 20));
    rest(&mut run);
    // (60 − 3) × 0.9, for 7 pods.
    assert_eq!(ledger(&run), (51, 0, "Served".into()));
    assert!(
        message(&run, "p").contains("(60 measured − 3 reserved, less 10% headroom); 7 would fit"),
        "{}",
        message(&run, "p")
    );
    assert_eq!(pool(&run, "api"), None);
    apply(&mut run, "p", &plain("api", 7));
    rest(&mut run);
    assert_eq!(ledger(&run), (51, 49, "Served".into()));
    budget(&mut run, &by_metric(Some(50)));
    rest(&mut run);
    assert_eq!(ledger(&run), (42, 49, "Overcommitted".into()));
    assert_eq!(pool(&run, "api").as_deref(), Some("7"));
}

#[test]
fn what_is_measured_alone_is_waited_for_and_survives_a_change_of_leader() {
    let mut run = measured_shop(&["api", "web"], &[]);
    budget(&mut run, &by_metric(None));
    apply(&mut run, "p", &plain("api", 7));
    rest(&mut run);
    assert_eq!(pool(&run, "api"), None, "nobody knows what the database has");
    says(&run, "p", "Ready", "False", "WaitingForBudget");
    let (ready, reason, said) = budget_says(&run);
    assert_eq!((&*ready, &*reason, usable(&run)), ("Unknown", "NoData", None), "{said}");
    assert!(said.ends_with("nobody grows: capacity.metric is not read (no series answers)"), "{said}");
    reads(&mut run, CAPACITY, Some(60.0));
    rest(&mut run);
    assert_eq!((pool(&run, "api").as_deref(), ledger(&run)), (Some("7"), (51, 49, "Served".into())));
    // Nobody answers any more: what is there stays, and nobody grows or comes.
    run.people("Prometheus is down", |server, _| server.silent = true);
    run.pass(Span::minutes(20));
    let before = (pool(&run, "api"), revisions(&run, "api"));
    let (ready, reason, _) = budget_says(&run);
    assert_eq!((&*ready, &*reason, usable(&run)), ("Unknown", "BackendUnavailable", Some(51)));
    apply(&mut run, "q", &plain("web", 1));
    run.pass(Span::minutes(5));
    run.crash();
    run.pass(Span::minutes(5));
    says(&run, "q", "Ready", "False", "WaitingForBudget");
    assert_eq!((pool(&run, "web"), (pool(&run, "api"), revisions(&run, "api"))), (None, before.clone()));
    assert_eq!((budget_says(&run).0.as_str(), usable(&run)), ("Unknown", Some(51)));
    let measured = run.server.budgets[&policy(BUDGET)].status.as_ref().unwrap().measured.clone().unwrap();
    assert_eq!((measured.capacity, measured.others.len()), (Some(60), 0));
    run.people("Prometheus is back", |server, _| server.silent = false);
    rest(&mut run);
    assert_eq!((ledger(&run).0, (pool(&run, "api"), revisions(&run, "api"))), (51, before));
    says(&run, "p", "Ready", "True", "Served");
    // Seven pods at worst for what is left: not even one connection fits.
    says(&run, "q", "Ready", "False", "BudgetExceeded");
}

#[test]
fn a_literal_takes_the_place_of_a_metric_that_went_away_and_what_comes_back_counts_at_once() {
    let mut run = measured_shop(&["api"], &[(CAPACITY, 60.0)]);
    budget(&mut run, &by_metric(Some(100)));
    apply(&mut run, "p", &plain("api", 7));
    rest(&mut run);
    reads(&mut run, CAPACITY, None);
    run.pass(Span::minutes(5));
    let (ready, reason, said) = budget_says(&run);
    assert_eq!((&*ready, &*reason, usable(&run)), ("True", "Served", Some(51)), "more has to last");
    assert!(
        said.ends_with("capacity.metric is not read (no series answers): what was read last counts instead"),
        "{said}"
    );
    run.pass(Span::minutes(7));
    assert_eq!(usable(&run), Some(87));
    let (.., said) = budget_says(&run);
    assert!(said.ends_with("capacity.metric is not read (no series answers): connections counts instead"), "{said}");
    apply(&mut run, "p", &plain("api", 8));
    rest(&mut run);
    assert_eq!((pool(&run, "api").as_deref(), revisions(&run, "api")), (Some("8"), 2));
    reads(&mut run, CAPACITY, Some(90.0));
    rest(&mut run);
    assert_eq!(ledger(&run), (78, 56, "Served".into()));
}

#[test]
fn a_capacity_that_goes_up_and_down_rolls_out_nothing() {
    let mut run = measured_shop(&["api"], &[(CAPACITY, 60.0)]);
    budget(&mut run, &by_metric(None));
    allow_shares(&mut run);
    let mut wants = plain("api", 11);
    wants["pools"][0]["size"]["min"] = json!(1);
    apply(&mut run, "p", &wants);
    rest(&mut run);
    let settled = (pool(&run, "api"), revisions(&run, "api"), usable(&run));
    assert_eq!(settled, (Some("7".into()), 1, Some(51)), "its share");
    let told = run.counts.told;
    for _ in 0..12 {
        reads(&mut run, CAPACITY, Some(100.0));
        run.pass(Span::minutes(4));
        reads(&mut run, CAPACITY, Some(60.0));
        run.pass(Span::minutes(1));
    }
    assert_eq!((pool(&run, "api"), revisions(&run, "api"), usable(&run)), settled);
    assert_eq!(run.counts.told, told, "nor is anything told");
    reads(&mut run, CAPACITY, Some(100.0));
    run.pass(Span::minutes(9));
    assert_eq!(usable(&run), Some(51));
    run.pass(Span::minutes(3));
    rest(&mut run);
    assert_eq!((pool(&run, "api").as_deref(), ledger(&run)), (Some("11"), (87, 77, "Served".into())));
}

#[test]
fn a_capacity_that_shrinks_below_what_is_committed_is_told_once_and_nobody_grows() {
    let mut run = measured_shop(&["api", "web"], &[(CAPACITY, 100.0)]);
    budget(&mut run, &by_metric(None));
    apply(&mut run, "p", &plain("api", 11));
    rest(&mut run);
    assert_eq!(ledger(&run), (87, 77, "Served".into()));
    let events = |run: &Run| run.server.budget_events.clone();
    assert_eq!(events(&run), [""; 0]);
    reads(&mut run, CAPACITY, Some(60.0));
    run.pass(Span::seconds(45));
    assert_eq!(ledger(&run), (51, 77, "Overcommitted".into()), "within one sweep");
    let (.., said) = budget_says(&run);
    let sum = "pools could open 77 connections, above the 51 that budget \"grace-postgres\" has (60 measured − 3 reserved, less \
               10% headroom): p: pool db: 11 connections × (3 pods + 1 surge + 3 terminating) = 77";
    assert_eq!(said, sum);
    rest(&mut run);
    run.crash();
    rest(&mut run);
    assert_eq!((pool(&run, "api").as_deref(), revisions(&run, "api")), (Some("11"), 1));
    assert_eq!(events(&run), ["Warning Overcommitted"], "once, whoever leads");
    // Zero is no capacity, and so is nonsense.
    for nonsense in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        reads(&mut run, CAPACITY, Some(nonsense));
        run.pass(Span::minutes(4));
        assert_eq!(usable(&run), Some(51), "{nonsense}");
    }
    reads(&mut run, CAPACITY, Some(100.0));
    run.pass(Span::minutes(12));
    rest(&mut run);
    assert_eq!(ledger(&run), (87, 77, "Served".into()));
    assert_eq!(events(&run), ["Warning Overcommitted", "Normal Served"]);
}

#[test]
fn others_that_are_measured_count_with_the_larger_of_both() {
    let mut run = measured_shop(&["api"], &[(OTHERS, 4.0)]);
    let others = |literal: Option<i64>| {
        let mut spec = json!({"capacity": {"connections": 100},
            "others": [{"name": "rest", "metric": {"gauge": OTHERS, "labels": {"usename": "report"}}}]});
        if let Some(literal) = literal {
            spec["others"][0]["connections"] = json!(literal);
        }
        spec
    };
    budget(&mut run, &others(Some(10)));
    apply(&mut run, "p", &plain("api", 10));
    rest(&mut run);
    assert_eq!(ledger(&run), (78, 70, "Served".into()), "no more than the budget says");
    reads(&mut run, OTHERS, Some(30.0));
    run.pass(Span::seconds(45));
    assert_eq!(ledger(&run), (60, 70, "Overcommitted".into()));
    assert!(
        budget_says(&run).2.contains("(100 − 3 reserved − 30 rest (measured), less 10% headroom)"),
        "{:?}",
        budget_says(&run)
    );
    reads(&mut run, OTHERS, Some(4.0));
    run.pass(Span::minutes(5));
    assert_eq!(usable(&run), Some(60), "less has to last");
    run.pass(Span::minutes(7));
    assert_eq!(ledger(&run), (78, 70, "Served".into()));
    // Without a literal, what was measured last stays.
    budget(&mut run, &others(None));
    rest(&mut run);
    assert_eq!(ledger(&run), (83, 70, "Served".into()));
    reads(&mut run, OTHERS, None);
    run.pass(Span::minutes(15));
    apply(&mut run, "p", &plain("api", 11));
    rest(&mut run);
    assert_eq!((usable(&run), budget_says(&run).0.as_str()), (Some(83), "Unknown"));
    assert_eq!((pool(&run, "api").as_deref(), revisions(&run, "api")), (Some("10"), 1), "nobody grows");
    reads(&mut run, OTHERS, Some(4.0));
    rest(&mut run);
    assert_eq!(pool(&run, "api").as_deref(), Some("11"));
}

#[test]
fn a_query_that_the_class_does_not_allow_and_a_source_that_is_not_there_are_named() {
    let mut run = shop(&["api"]);
    budget(&mut run, &json!({"capacity": {"metric": {"query": "max(pg_settings_max_connections)"}}}));
    apply(&mut run, "p", &plain("api", 7));
    // A source that is not there may still come.
    run.pass(Span::minutes(3));
    rest(&mut run);
    let (ready, reason, _) = budget_says(&run);
    assert_eq!((&*ready, &*reason), ("Unknown", "ClassForbids"));
    budget(&mut run, &by_metric(None));
    run.pass(Span::minutes(3));
    rest(&mut run);
    let (ready, reason, _) = budget_says(&run);
    assert_eq!((&*ready, &*reason), ("Unknown", "SourceNotFound"));
    budget(&mut run, &by_metric(Some(100)));
    run.pass(Span::minutes(3));
    rest(&mut run);
    let (ready, _, said) = budget_says(&run);
    assert_eq!((&*ready, usable(&run)), ("True", Some(87)), "{said}");
    assert!(said.contains("MetricsSource \"default\" does not exist"), "{said}");
    assert_eq!(pool(&run, "api").as_deref(), Some("7"));
}

#[test]
fn a_policy_without_a_target_misses_its_budget_too() {
    let mut run = shop(&["api"]);
    let mut spec = plain("api", 10);
    spec.as_object_mut().unwrap().remove("target");
    spec["pools"][0]["size"].as_object_mut().unwrap().remove("env");
    apply(&mut run, "p", &spec);
    rest(&mut run);
    says(&run, "p", "Ready", "False", "BudgetNotFound");
    says(&run, "p", "Reconciling", "True", "BudgetNotFound");
    assert_eq!(run.server.condition("p", "Stalled"), None);
    budget(&mut run, &capacity(100));
    rest(&mut run);
    says(&run, "p", "Ready", "True", "Served");
    run.people("delete the budget", |server, _| server.delete_budget(&policy(BUDGET)));
    rest(&mut run);
    says(&run, "p", "Ready", "False", "BudgetNotFound");
}

#[test]
fn a_budget_that_is_deleted_while_it_is_used_leaves_shares_as_they_are() {
    let mut run = shop(&["api", "web"]);
    budget(&mut run, &capacity(100));
    allow_shares(&mut run);
    for (name, target) in [("p", "api"), ("q", "web")] {
        let mut spec = plain(target, 20);
        spec["pools"][0]["size"]["min"] = json!(1);
        apply(&mut run, name, &spec);
    }
    rest(&mut run);
    let shares = [pool(&run, "api"), pool(&run, "web")];
    let revised = [revisions(&run, "api"), revisions(&run, "web")];
    assert!(
        shares.iter().all(|share| share.as_ref().is_some_and(|share| share.parse::<i64>().unwrap() < 20)),
        "{shares:?}"
    );
    run.people("delete the budget", |server, _| server.delete_budget(&policy(BUDGET)));
    rest(&mut run);
    run.crash();
    rest(&mut run);
    for name in ["p", "q"] {
        says(&run, name, "Ready", "False", "BudgetNotFound");
    }
    assert_eq!([pool(&run, "api"), pool(&run, "web")], shares);
    assert_eq!([revisions(&run, "api"), revisions(&run, "web")], revised);
    budget(&mut run, &capacity(100));
    rest(&mut run);
    assert_eq!([pool(&run, "api"), pool(&run, "web")], shares, "nor is anything lost when it is back");
    says(&run, "p", "Ready", "True", "Served");
}

/// What failed with the overflow is in quarantine, and a size that did not fail may come alone: it counts all the same.
#[test]
fn a_pool_whose_overflow_failed_counts_with_its_size() {
    let mut run = shop(&["api", "web"]);
    run.invariants.budgets.meter = true;
    budget(&mut run, &json!({"capacity": {"connections": 153}, "headroom": "0%"}));
    let spec = |size: i64| {
        let mut spec = plain("api", size);
        spec["pools"][0]["overflow"] = json!({"value": 1, "env": "OVERFLOW"});
        spec["settings"] = json!([{"name": "mode", "type": "Integer", "value": 66, "env": "MODE"}]);
        spec
    };
    apply(&mut run, "p", &spec(20));
    rest(&mut run);
    assert_eq!(pool(&run, "api"), None, "it has failed");
    apply(&mut run, "p", &spec(17));
    rest(&mut run);
    assert_eq!(pool(&run, "api").as_deref(), Some("17"));
    let committed = |run: &Run| run.server.budgets[&policy(BUDGET)].status.as_ref().unwrap().committed;
    assert!(committed(&run) >= Some(17 * 7), "{:?}", committed(&run));
    // 31 are left, and seven pods of it would need 70.
    apply(&mut run, "q", &plain("web", 10));
    rest(&mut run);
    run.crash();
    rest(&mut run);
    assert_eq!(pool(&run, "web"), None);
    assert!(committed(&run) >= Some(17 * 7) && committed(&run) <= Some(150), "{:?}", committed(&run));
}

/// Writing statuses is what a budget costs the API server: one that reserves what grows, and one that lets go of it.
#[test]
fn growth_costs_two_statuses_of_the_budget_and_rest_costs_none() {
    const WORKLOADS: [&str; 4] = ["a", "b", "c", "d"];
    let mut run = shop(&WORKLOADS);
    allow_shares(&mut run);
    let of = |capacity: i64| json!({"capacity": {"connections": capacity}, "reserved": 0, "headroom": "0%"});
    // 7 pods at worst of each of 4 workloads: 2 for everybody, then 20.
    budget(&mut run, &of(2 * 7 * 4));
    for name in WORKLOADS {
        let mut spec = plain(name, 20);
        spec["pools"][0]["size"]["min"] = json!(2);
        apply(&mut run, name, &spec);
    }
    rest(&mut run);
    assert!(WORKLOADS.iter().all(|name| pool(&run, name).as_deref() == Some("2")));
    let before = run.counts;
    budget(&mut run, &of(20 * 7 * 4));
    rest(&mut run);
    assert!(WORKLOADS.iter().all(|name| pool(&run, name).as_deref() == Some("20")));
    // Rollouts of a namespace follow each other, and what they grow by is reserved at once. One tells the new capacity.
    let rounds = WORKLOADS.len() as u64;
    let written = run.counts.budgets - before.budgets;
    println!(
        "{rounds} workloads grow one after the other: {written} statuses of the budget, {} writes",
        run.counts.writes - before.writes
    );
    assert!(written <= 3, "{written} statuses of the budget: one reserves for all, one lets go");
    let before = run.counts;
    run.pass(Span::hours(1));
    assert_eq!(run.counts.requests() - before.requests(), 0, "at rest");
}

/// What a budget gives goes to the size first. An overflow that cannot become less counts against it.
#[test]
fn an_overflow_that_stays_leaves_no_room_for_a_larger_size() {
    let mut run = shop(&["api"]);
    run.invariants.budgets.meter = true;
    allow_shares(&mut run);
    let of = |capacity: i64| json!({"capacity": {"connections": capacity}, "headroom": "0%"});
    let spec = |size: i64, mode: i64| {
        let mut spec = plain("api", size);
        spec["pools"][0]["size"]["min"] = json!(3);
        spec["pools"][0]["overflow"] = json!({"value": 10, "env": "OVERFLOW"});
        spec["settings"] = json!([{"name": "mode", "type": "Integer", "value": mode, "env": "MODE"}]);
        spec
    };
    let overflow = |run: &Run| run.server.env(&deployment("api"), "OVERFLOW");
    budget(&mut run, &of(97));
    apply(&mut run, "p", &spec(3, 1));
    rest(&mut run);
    assert_eq!((pool(&run, "api").as_deref(), overflow(&run).as_deref()), (Some("3"), Some("10")));
    // 13 for each of 7 pods are written as 13 and 0, with what keeps the pods from coming up.
    apply(&mut run, "p", &spec(20, 66));
    rest(&mut run);
    assert_eq!((pool(&run, "api").as_deref(), overflow(&run).as_deref()), (Some("3"), Some("10")), "it has failed");
    // 14 have not failed, and 0 have.
    budget(&mut run, &of(104));
    rest(&mut run);
    assert_eq!((pool(&run, "api").as_deref(), overflow(&run).as_deref()), (Some("3"), Some("10")));
    assert!(ledger(&run).1 <= 101, "{:?}", ledger(&run));
    says(&run, "p", "Ready", "False", "RolledBack");
}

/// A rollout looks complete, and nobody tells of the pods of before, which take their time to end: whoever leads next counts them,
/// too, whenever that is.
#[test]
fn a_crash_at_any_moment_forgets_no_pod_that_is_ending() {
    let sized = |target: &str, size: &Value| {
        let mut spec = plain(target, 1);
        let given = spec["pools"][0]["size"].as_object_mut().unwrap();
        given.extend(size.as_object().unwrap().clone());
        spec
    };
    let play = |crash_at: Option<u64>| {
        let mut run = Run::new(1);
        run.controllers.silent = true;
        run.invariants.budgets.meter = true;
        run.invariants.told = (0..=120).map(|size: i64| size.to_string()).collect();
        for (name, replicas, strategy) in [
            ("a", 3, json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "100%"}})),
            ("b", 1, json!({"type": "Recreate"})),
        ] {
            let mut manifest = workload(name, &json!({}));
            manifest["spec"]["replicas"] = json!(replicas);
            manifest["spec"]["strategy"] = strategy;
            manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(25);
            run.people("install", |server, _| server.kubectl_apply(&deployment(name), &manifest));
        }
        run.pass(Span::seconds(10));
        // 20 for each of 3 pods and of 3 that are ending, and 1.
        budget(&mut run, &json!({"capacity": {"connections": 124}, "headroom": "0%"}));
        apply(&mut run, "a", &sized("a", &json!({"value": 20})));
        rest(&mut run);
        apply(&mut run, "b", &sized("b", &json!({"value": 100, "min": 1})));
        rest(&mut run);
        assert_eq!([pool(&run, "a"), pool(&run, "b")].map(Option::unwrap), ["20", "1"]);
        apply(&mut run, "a", &sized("a", &json!({"value": 2})));
        let events = run.pass_with_crash(Span::seconds(60), crash_at);
        rest(&mut run);
        assert_eq!([pool(&run, "a"), pool(&run, "b")].map(Option::unwrap), ["2", "100"], "crash at {crash_at:?}");
        events
    };
    // Every third: these are many.
    for crash_at in (0..play(None)).step_by(3) {
        play(Some(crash_at));
    }
}

/// A policy that only looks tells how many processes there are, where nothing else does.
#[test]
fn whoever_only_looks_counts_with_the_processes_that_it_says() {
    let mut run = Run::new(1);
    install(&mut run, "api", &json!({"env": [{"name": "POOL", "value": "5"}]}));
    install(&mut run, "web", &json!({}));
    run.pass(Span::seconds(10));
    budget(&mut run, &json!({"capacity": {"connections": 150}, "headroom": "0%"}));
    let mut looks = grace("api", 5);
    looks["mode"] = json!("Observe");
    apply(&mut run, "p", &looks);
    rest(&mut run);
    // 5 × 4 processes × (3 pods + 1 surge + 3 terminating) leave 7 of 147.
    assert_eq!(ledger(&run), (147, 140, "Served".into()));
    apply(&mut run, "q", &plain("web", 2));
    rest(&mut run);
    assert_eq!(pool(&run, "web"), None);
    says(&run, "q", "Ready", "False", "BudgetExceeded");
}

/// What is left of a share without an overflow that has failed is no smaller share: the size would fall and rise for ever.
#[test]
fn an_overflow_that_has_failed_at_a_share_makes_no_rollout_after_rollout() {
    let mut run = shop(&["api"]);
    run.invariants.budgets.meter = true;
    allow_shares(&mut run);
    let of = |each: i64| json!({"capacity": {"connections": 7 * each}, "reserved": 0, "headroom": "0%"});
    let spec = |mode: i64| {
        let mut spec = plain("api", 31);
        spec["pools"][0]["size"]["min"] = json!(12);
        spec["pools"][0]["overflow"] = json!({"value": 6, "min": 3, "env": "OVERFLOW"});
        spec["settings"] = json!([{"name": "mode", "type": "Integer", "value": mode, "env": "MODE"}]);
        spec
    };
    budget(&mut run, &of(23));
    let crashes: i64 = super::controllers::CRASHES.parse().unwrap();
    apply(&mut run, "p", &spec(crashes));
    rest(&mut run);
    assert_eq!(pool(&run, "api"), None, "20 and 3 have failed");
    budget(&mut run, &of(22));
    run.pass(Span::seconds(2));
    let before = revisions(&run, "api");
    apply(&mut run, "p", &spec(1));
    rest(&mut run);
    assert_eq!((pool(&run, "api").as_deref(), run.server.env(&deployment("api"), "OVERFLOW")), (Some("19"), None));
    assert_eq!(revisions(&run, "api"), before + 1);
}
