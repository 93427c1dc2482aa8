//! Shares of one budget on the move, on the real control plane with real rollouts: whatever is edited, the pods that are there at
//! any instant, those that are ending included, could never open more connections together than the budget has.
//!
//! Every event of every pod is recorded, and what each could open is read from its own environment: not from what the operator
//! says, nor from what its policy asks for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    runtime::watcher::{self, Event, watcher},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    cluster::eventually,
    here,
    world::{Shown, World, condition, merge, policy, with_world, workload},
};

/// Connections of the database: 3 are reserved, and of the rest 10 % are headroom.
const CAPACITY: i64 = 200;
const USABLE: i64 = 177;

/// Time for shares to come to rest: a few rollouts, one after the other, on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_mins(4);

// ---- what the pods could open ----

/// A pod that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    name: String,
    app: String,
    size: i64,
    overflow: i64,
    processes: i64,
    ending: bool,
    /// Whether its processes are gone for good: a kubelet tells no phase that is final before. From then on a Deployment that
    /// recreates its pods makes new ones, although the object stays for another moment.
    ended: bool,
}

impl Running {
    /// What the processes of the pod read. Without a size the application has no pool.
    fn of(pod: &Pod) -> Self {
        let container = pod.spec.as_ref().and_then(|spec| spec.containers.first()).expect("a container");
        let number = |name: &str| -> Option<i64> {
            let variable = container.env.as_ref()?.iter().find(|variable| variable.name == name)?;
            Some(variable.value.as_ref()?.parse().expect("a number"))
        };
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let metadata = &pod.metadata;
        let size = number("DB_POOL_SIZE").unwrap_or(0);
        Self {
            name: metadata.name.clone().expect("a name"),
            app: metadata.labels.as_ref().and_then(|labels| labels.get("app")).expect("the label \"app\"").clone(),
            size,
            overflow: if size > 0 { number("DB_MAX_OVERFLOW").unwrap_or(0) } else { 0 },
            processes: number("WEB_CONCURRENCY").unwrap_or(1),
            ending: metadata.deletion_timestamp.is_some(),
            ended: matches!(phase.unwrap_or_default(), "Succeeded" | "Failed"),
        }
    }

    fn per_process(&self) -> i64 {
        self.size + self.overflow
    }

    fn connections(&self) -> i64 {
        if self.ended { 0 } else { self.per_process() * self.processes }
    }
}

#[derive(Debug, Default)]
struct Record {
    /// By uid: a pod of a `StatefulSet` comes back under its name.
    pods: BTreeMap<String, Running>,
    listings: usize,
    events: usize,
    /// The most at any instant, and what was there then.
    most: (i64, String),
    /// The most since the last step of the test.
    lately: i64,
    /// Instants with more than the budget has.
    breaches: Vec<String>,
    /// Who said why a value was not in place yet, since the last step of the test.
    waits: BTreeSet<(String, String)>,
}

impl Record {
    fn take(&mut self, event: Event<Pod>, began: Instant) {
        let uid = |pod: &Pod| pod.metadata.uid.clone().expect("a uid");
        match event {
            Event::Init => {
                self.listings += 1;
                return;
            }
            Event::InitDone => return,
            Event::InitApply(pod) | Event::Apply(pod) => drop(self.pods.insert(uid(&pod), Running::of(&pod))),
            Event::Delete(pod) => drop(self.pods.remove(&uid(&pod))),
        }
        self.events += 1;
        let now: i64 = self.pods.values().map(Running::connections).sum();
        self.lately = self.lately.max(now);
        if now > self.most.0 {
            self.most = (now, self.told());
        }
        if now > USABLE {
            self.breaches.push(format!("{now} after {:.1?}: {}", began.elapsed(), self.told()));
        }
    }

    fn told(&self) -> String {
        let mut text = String::new();
        for pod in self.pods.values() {
            let Running { name, size, overflow, processes, .. } = pod;
            let state = if pod.ended {
                " and ended"
            } else if pod.ending {
                ", ending"
            } else {
                ""
            };
            write!(text, "{name} ({size} + {overflow}) × {processes}{state}; ").expect("write to a text");
        }
        text
    }
}

/// Watches the pods of a namespace for as long as it lives.
struct Meter {
    record: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
    began: Instant,
}

impl Meter {
    fn start(world: &World) -> Self {
        let api: Api<Pod> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
        let record = Arc::new(Mutex::new(Record::default()));
        let (began, into) = (Instant::now(), Arc::clone(&record));
        let task = tokio::spawn(async move {
            let mut events = pin!(watcher(api, watcher::Config::default()));
            while let Some(event) = events.next().await {
                // A watch that breaks off goes on where it was; if it cannot, it lists again, which is counted.
                if let Ok(event) = event {
                    into.lock().unwrap().take(event, began);
                }
            }
        });
        Self { record, task, began }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("the watch has not failed")
    }

    /// Ends a step of the test: nothing was above the budget so far, and this was the most.
    fn step(&self, what: &str) {
        let mut record = self.record();
        assert!(!self.task.is_finished(), "the watch has ended");
        assert!(record.breaches.is_empty(), "above the {USABLE} that are usable:\n{}", record.breaches.join("\n"));
        assert_eq!(record.listings, 1, "the watch has lost events");
        println!(
            "{:>6.1?} {what}: at most {} of {USABLE} connections, {} events of pods so far",
            self.began.elapsed(),
            record.lately,
            record.events
        );
        println!("        {:?}", record.waits);
        record.lately = 0;
        record.waits.clear();
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// ---- the fleet ----

/// A workload whose pods hold on to their connections until they are killed: as the first process of its container, `sleep`
/// does not hear that it shall end.
fn lingering(name: &str, spec: &Value) -> Value {
    let mut object =
        workload(name, &json!({"command": ["sleep", "1000000"]}), &json!({"terminationGracePeriodSeconds": 4}));
    merge(&mut object, &json!({"spec": spec}));
    object
}

/// A policy for the workload of its name, which makes do with `min` connections per process.
fn pool(world: &World, name: &str, size: u32, min: u32) -> Value {
    policy(
        name,
        &json!({
            "className": class(world), "target": {"kind": kind(name), "name": name},
            "pools": [{"name": "db", "budget": "database", "size": {"value": size, "min": min, "env": "DB_POOL_SIZE"}}],
        }),
    )
}

fn kind(name: &str) -> &'static str {
    if name == "store" { "StatefulSet" } else { "Deployment" }
}

/// As Grace has it: a size, an overflow and several processes.
fn web(world: &World, size: u32) -> Value {
    let mut web = pool(world, "web", size, 2);
    web["spec"]["workers"] = json!([{"name": "web", "count": {"value": 2, "env": "WEB_CONCURRENCY"}}]);
    web["spec"]["pools"][0]["perWorker"] = json!("web");
    web["spec"]["pools"][0]["overflow"] = json!({"value": 2, "env": "DB_MAX_OVERFLOW"});
    web
}

/// A class of its own: rollouts of the fleet may be under way at the same time, so that nothing but the budget keeps them apart.
fn class(world: &World) -> String {
    let name: String = format!("s-{}", world.namespace).chars().take(60).collect();
    name.trim_end_matches('-').to_owned()
}

fn budget(shares: &Value) -> Value {
    json!({
        "apiVersion": "trimtab.dev/v1alpha1", "kind": "ConnectionBudget", "metadata": {"name": "database"},
        "spec": {"capacity": {"connections": CAPACITY}, "shares": shares},
    })
}

/// Connections per process, by policy.
type Levels = BTreeMap<String, i64>;

/// Waits until everybody has what the budget gives it, in every pod, and nothing is under way; and until `check` likes that.
async fn rest(world: &World, meter: &Meter, what: &str, check: impl Fn(&Levels) -> bool) -> Levels {
    eventually(PATIENCE, what, async || {
        let (levels, unrest) = look(world, meter).await;
        if unrest.is_empty() && check(&levels) { Ok(levels) } else { Err(Shown(format!("{levels:?}; {unrest:#?}"))) }
    })
    .await
}

/// What everybody has, and what is still under way.
async fn look(world: &World, meter: &Meter) -> (Levels, Vec<String>) {
    let mut unrest = Vec::new();
    let ledger = world.get("connectionbudgets", "database").await;
    let status = &ledger["status"];
    if status["observedGeneration"] != ledger["metadata"]["generation"] {
        unrest.push("the budget is not looked at".to_owned());
    }
    for reservation in status["reservations"].as_array().into_iter().flatten() {
        unrest.push(format!("reserved: {reservation}"));
    }
    let mut levels = Levels::new();
    let allocations = status["allocations"].as_array().cloned().unwrap_or_default();
    for policy in world.list("performancepolicies").await {
        let name = policy["metadata"]["name"].as_str().expect("a name");
        let applied = condition(&policy, "Applied");
        if applied["status"] != "True" || applied["observedGeneration"] != policy["metadata"]["generation"] {
            unrest.push(format!("{name}: {}: {}", applied["reason"], applied["message"]));
            let reason = applied["reason"].as_str().unwrap_or_default().to_owned();
            meter.record().waits.insert((name.to_owned(), reason));
        }
        let Some(allocation) = allocations.iter().find(|one| one["policy"] == name) else {
            unrest.push(format!("{name}: has no allocation"));
            continue;
        };
        let level = allocation["share"].as_i64().unwrap_or(-1);
        if allocation["perProcess"] != level {
            unrest.push(format!("{name}: {allocation}"));
        }
        levels.insert(name.to_owned(), level);
        let workload = world.get(&format!("{}s", kind(name).to_lowercase()), name).await;
        let record = meter.record();
        let pods: Vec<&Running> = record.pods.values().filter(|pod| pod.app == name).collect();
        if workload["spec"]["replicas"] != pods.len() || pods.iter().any(|pod| pod.ending || pod.per_process() != level)
        {
            unrest.push(format!("{name}: {pods:?}"));
        }
    }
    (levels, unrest)
}

#[test]
fn pods_never_could_open_more_than_the_budget_has_while_shares_move() {
    with_world(here!(), async |world| {
        world.apply(&json!({
            "apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformanceClass", "metadata": {"name": class(world)},
            "spec": {"limits": {"rolloutsPerNamespace": 4}},
        }));
        let meter = Meter::start(world);
        let surge = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
        let mut store =
            lingering("store", &json!({"serviceName": "store", "replicas": 2, "podManagementPolicy": "Parallel"}));
        store["kind"] = json!("StatefulSet");
        for object in [
            lingering("web", &json!({"replicas": 2, "strategy": surge})),
            lingering("jobs", &json!({"replicas": 1})),
            lingering("batch", &json!({"replicas": 2, "strategy": {"type": "Recreate"}})),
            store,
            json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "jobs"}, "spec": {
                "minReplicas": 1, "maxReplicas": 3,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "jobs"}}}),
        ] {
            world.apply(&object);
        }

        // Who is alone gets what fits: 17 × 2 processes × (2 pods + 1 surge + 2 terminating) = 170.
        world.apply(&budget(&json!([])));
        world.apply(&web(world, 20));
        let alone = rest(world, &meter, "who is alone gets what fits", |levels| levels.len() == 1).await;
        assert_eq!(alone["web"], 17);
        meter.step("alone");

        // Newcomers: there is not even the least of each, so the first one has to let go before anybody comes in.
        let newcomers = [pool(world, "jobs", 10, 2), pool(world, "batch", 60, 3), pool(world, "store", 60, 2)];
        world.apply(&json!({"apiVersion": "v1", "kind": "List", "items": newcomers}));
        let shared = rest(world, &meter, "everybody has a share", |levels| levels.len() == 4).await;
        assert!(shared["web"] < 17 && shared["web"] >= 2, "{shared:?}");
        assert!(shared["jobs"] >= 2 && shared["batch"] >= 3 && shared["store"] >= 2, "{shared:?}");
        meter.step(&format!("three newcomers: {shared:?}"));

        // The autoscaler goes to its maximum, which nobody has to be asked for.
        world.kubectl(&["patch", "hpa", "jobs", "-p", r#"{"spec": {"minReplicas": 3}}"#]);
        world
            .until("deployments", "jobs", "the autoscaler has made all its pods", |jobs| {
                jobs["status"]["availableReplicas"] == 3
            })
            .await;
        assert_eq!(rest(world, &meter, "more pods move no share", |_| true).await, shared);
        meter.step("the autoscaler at its maximum");

        // Weights decide about what somebody lets go of.
        world.apply(&budget(&json!([{"policy": "batch", "pool": "db", "weight": 3}])));
        world.apply(&web(world, 2));
        let weighted = rest(world, &meter, "the one with more weight grows", |levels| {
            levels["web"] < shared["web"] && levels["batch"] > shared["batch"]
        })
        .await;
        meter.step(&format!("one shrinks, and one has more weight: {weighted:?}"));

        // A larger minimum is served from those who have more than their part.
        world.apply(&pool(world, "jobs", 10, 10));
        let least = rest(world, &meter, "the larger minimum is served", |levels| levels["jobs"] == 10).await;
        assert!(
            least["batch"] < weighted["batch"] || least["store"] < weighted["store"] || weighted["jobs"] == 10,
            "{least:?} after {weighted:?}"
        );
        meter.step(&format!("a larger minimum: {least:?}"));

        // And back: others grow into what is free then.
        world.apply(&pool(world, "jobs", 2, 2));
        let grown = rest(world, &meter, "others grow when somebody shrinks", |levels| {
            levels["jobs"] == 2 && levels["batch"] + levels["store"] > least["batch"] + least["store"]
        })
        .await;
        assert!(grown["web"] >= 2 && grown["batch"] >= 3 && grown["store"] >= 2, "{grown:?}");
        meter.step(&format!("one shrinks: {grown:?}"));

        {
            let record = meter.record();
            println!(
                "three Deployments, a StatefulSet and an autoscaler on one budget: at most {} of {USABLE} connections at any of \
                 {} events of pods: {}",
                record.most.0, record.events, record.most.1
            );
        }

        // Somebody lets the autoscaler make more pods than there is room for: that is told with the sum, and those who have more
        // than their part let go of it.
        let raised = Instant::now();
        world.kubectl(&["patch", "hpa", "jobs", "-p", r#"{"spec": {"maxReplicas": 12}}"#]);
        let told = world
            .until("connectionbudgets", "database", "the budget is overcommitted", |budget| {
                condition(budget, "Overcommitted")["status"] == "True"
            })
            .await;
        let why = condition(&told, "Overcommitted")["message"].as_str().expect("a message").to_owned();
        println!("        told after {:.1?}: {why}", raised.elapsed());
        assert!(why.contains("12 pods"), "{why}");
        let pulled = rest(world, &meter, "shares are pulled in", |levels| {
            levels["jobs"] == 2 && levels["batch"] + levels["store"] < grown["batch"] + grown["store"]
        })
        .await;
        meter.step(&format!("somebody raised the autoscaler's maximum: {pulled:?}"));
        world
            .until("connectionbudgets", "database", "the budget is no longer overcommitted", |budget| {
                condition(budget, "Overcommitted").is_null()
                    && budget["status"]["committed"].as_i64() <= budget["status"]["usable"].as_i64()
            })
            .await;
    });
}
