//! The workload controllers: pods are replaced over time, and some values make them fail.

use std::{cell::LazyCell, collections::BTreeMap};

use serde_json::{Value, json};
use trimtab::core::{
    facts::{Instant, Kind, ObjectKey, Pod, Span},
    policy::PolicyKey,
};

use super::server::{Guard, Server, Stored};

/// Time until a new pod is ready.
const START: Span = Span::seconds(2);
/// Time until the pods of a workload that was deleted are told to end: the garbage collector comes by.
const COLLECTS: Span = Span::seconds(10);
/// Time that a pod takes to end, if its template does not say.
const GRACE: i64 = 2;
/// Progress deadline of Deployments that have none of their own.
const DEADLINE: Span = Span::seconds(60);
/// Time after which nobody expects anything of the other kinds any more, which have no deadline. The operator's is longer, by
/// more than its clock can be off.
const STUCK: Span = Span::seconds(535);
/// A text that makes containers crash, in a variable or a document.
pub const CRASHES: &str = "66";
/// A text that keeps pods from ever becoming ready.
pub const HANGS: &str = "77";
/// A text with which a pod is too large for any node, until there is a larger one.
pub const TOO_LARGE: &str = "88";
/// A text with which a quota refuses pods, until it is raised.
pub const REFUSED: &str = "99";
/// A text that makes containers crash, again and again, after they have run for a while.
pub const CRASHES_LATER: &str = "55";
/// For how long they run.
const RUN: Span = Span::seconds(15);

#[derive(Clone, Debug)]
struct Replica {
    name: String,
    revision: u64,
    created: Instant,
    crashes: bool,
    hangs: bool,
    crashes_later: bool,
    /// No node takes it, as far as there is no large one.
    is_large: bool,
    grace: Span,
    gone: Option<Instant>,
}

impl Replica {
    fn is_ready(&self, now: Instant) -> bool {
        !self.crashes && !self.hangs && !self.is_large && self.created + START <= now && !self.has_crashed_later(now)
    }

    fn has_crashed_later(&self, now: Instant) -> bool {
        self.crashes_later && now.since(self.created) > RUN
    }
}

/// A revision of the pod template, as `ReplicaSet`s keep it.
#[derive(Clone, Debug)]
pub struct Revision {
    pub number: u64,
    pub template: Value,
    pub annotations: Value,
}

#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// Oldest first; the last one is current.
    pub revisions: Vec<Revision>,
    pods: Vec<Replica>,
    /// A pod is missing that a quota refuses.
    refused: bool,
    progressed: Instant,
    failed: bool,
    complete: bool,
    /// Pods that are ready, and that there shall be, at the last look.
    ready: (usize, usize),
    /// Who made the current template.
    pub cause: String,
}

impl Workload {
    /// Whether pods are being replaced, and neither failed for good nor paused.
    pub const fn is_rolling(&self) -> bool {
        !self.complete && !self.failed
    }

    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    pub const fn has_settled(&self) -> bool {
        self.complete || self.failed
    }
}

/// A Cluster as CloudNativePG runs it.
#[derive(Clone, Debug, Default)]
pub struct Database {
    /// The parameters for which it restarts, as it was told last.
    wanted: Value,
    /// When it takes them up, and when it is back; nothing where it never is.
    restarts: Option<(Instant, Option<Instant>)>,
    /// It never comes back, whatever it is told.
    pub is_lost: bool,
    /// Something else is the matter with it.
    pub trouble: Option<&'static str>,
}

impl Database {
    /// Time until CloudNativePG takes a change up.
    const REACTION: Span = Span::seconds(6);
    /// Time that it takes to restart the instances.
    const RESTART: Span = Span::seconds(25);

    /// Whether it was told something for which it has not come back yet.
    pub const fn is_restarting(&self) -> bool {
        self.restarts.is_some()
    }

    fn reconcile(&mut self, stored: &Stored, now: Instant) -> Value {
        let mut wanted = stored.at("/spec/postgresql/parameters").clone();
        if let Some(parameters) = wanted.as_object_mut() {
            // It is taken up without a restart.
            parameters.remove("work_mem");
        }
        if wanted.as_object().is_none_or(serde_json::Map::is_empty) {
            wanted = json!({});
        }
        if self.wanted.is_null() {
            self.wanted = wanted;
        } else if self.wanted != wanted {
            let hangs =
                self.is_lost || wanted.as_object().is_some_and(|all| all.values().any(|value| value == CRASHES));
            self.restarts = Some((now + Self::REACTION, (!hangs).then(|| now + Self::REACTION + Self::RESTART)));
            self.wanted = wanted;
        }
        if self.restarts.is_some_and(|(_, back)| back.is_some_and(|back| back <= now)) {
            self.restarts = None;
        }
        let phase = match (self.trouble, self.restarts) {
            (Some(trouble), _) => trouble,
            (None, Some((from, _))) if from <= now => "Waiting for the instances to become active",
            (None, _) => "Cluster in healthy state",
        };
        json!({"phase": phase, "instances": 3, "readyInstances": if phase.starts_with("Waiting") { 2 } else { 3 }})
    }
}

#[derive(Default)]
pub struct Controllers {
    pub workloads: BTreeMap<ObjectKey, Workload>,
    pub databases: BTreeMap<ObjectKey, Database>,
    /// Workloads that were deleted, and whose pods are there until they have ended.
    deleted: Vec<(ObjectKey, Workload)>,
    pods: u64,
    revisions: u64,
    /// There is a node for every pod.
    pub has_large_node: bool,
    /// The quota lets every pod be made.
    pub has_quota: bool,
    /// What the status of each `PodDisruptionBudget` will say at the next look: what was counted at the last one.
    counted: BTreeMap<PolicyKey, Value>,
    /// They say of every rollout that it is over as soon as it begins.
    pub lie: bool,
    /// They do not tell how many pods of a Deployment are ending.
    pub silent: bool,
    /// Version of the server at which there was nothing left to do.
    idle_at: Option<u64>,
}

impl Controllers {
    /// Takes note of who changed templates since the last call.
    pub fn note(&mut self, server: &mut Server) {
        for (key, who) in std::mem::take(&mut server.templates) {
            let workload = self.workloads.entry(key).or_default();
            workload.cause = who;
            workload.complete = false;
            workload.failed = false;
            workload.progressed = server.now;
        }
    }

    /// One pass over all workloads.
    pub fn act(&mut self, server: &mut Server) {
        self.note(server);
        if self.idle_at == Some(server.version) {
            return;
        }
        let gone: Vec<ObjectKey> =
            self.workloads.keys().filter(|key| !server.objects.contains_key(*key)).cloned().collect();
        for key in gone {
            let mut workload = self.workloads.remove(&key).unwrap();
            for pod in &mut workload.pods {
                let told = pod.gone.unwrap_or(server.now + COLLECTS + pod.grace);
                pod.gone = Some(told);
            }
            self.deleted.push((key, workload));
        }
        for (_, workload) in &mut self.deleted {
            workload.pods.retain(|pod| pod.gone.is_none_or(|at| at > server.now));
        }
        self.deleted.retain(|(_, workload)| !workload.pods.is_empty());
        let keys: Vec<ObjectKey> = server.objects.keys().filter(|key| key.kind.is_workload()).cloned().collect();
        for key in keys {
            let stored = server.objects[&key].clone();
            let status = self.reconcile(&stored, server);
            server.set_status(&key, status);
        }
        let keys: Vec<ObjectKey> = server.objects.keys().filter(|key| key.kind == Kind::Cluster).cloned().collect();
        for key in keys {
            let stored = server.objects[&key].clone();
            let status = self.databases.entry(key.clone()).or_default().reconcile(&stored, server.now);
            server.set_status(&key, status);
        }
        let counted = self.guard(server);
        let is_steady = |pod: &Replica| pod.gone.is_none() && (!pod.crashes_later || pod.has_crashed_later(server.now));
        let idle = |workload: &Workload| workload.has_settled() && workload.pods.iter().all(is_steady);
        let idle = counted
            && self.deleted.is_empty()
            && self.workloads.values().all(idle)
            && !self.databases.values().any(Database::is_restarting);
        self.idle_at = idle.then_some(server.version);
    }

    /// The disruption controller, which is a look behind. Answers whether every status is as it has to be.
    fn guard(&mut self, server: &mut Server) -> bool {
        let mut settled = true;
        self.counted.retain(|key, _| server.guards.contains_key(key));
        for (key, guard) in server.guards.clone() {
            let selected = self.workloads.iter().filter(|(workload, _)| {
                server.objects.get(workload).is_some_and(|stored| guard.selects(stored.template()))
            });
            let (healthy, expected) = selected.fold((0, 0), |(healthy, expected), (_, workload)| {
                (healthy + workload.ready.0, expected + workload.ready.1)
            });
            let number = |field: &str| guard.spec[field].as_u64().map(|number| usize::try_from(number).unwrap());
            let desired = number("minAvailable")
                .unwrap_or_else(|| expected.saturating_sub(number("maxUnavailable").unwrap_or(1)));
            let status = json!({"observedGeneration": guard.generation, "expectedPods": expected,
                "currentHealthy": healthy, "desiredHealthy": desired, "disruptionsAllowed": healthy.saturating_sub(desired)});
            settled &= guard.status == status;
            if let Some(last) = self.counted.insert(key.clone(), status)
                && last != guard.status
            {
                server.put_guard(key, Guard { status: last, ..guard });
            }
        }
        settled
    }

    fn reconcile(&mut self, stored: &Stored, server: &Server) -> Value {
        let now = server.now;
        let workload = self.workloads.entry(stored.key.clone()).or_default();
        let template = stored.template();
        let paused = stored.at("/spec/paused") == &json!(true);
        let first = workload.revisions.is_empty();
        if !paused || first {
            match workload.revisions.iter().position(|revision| revision.template == *template) {
                Some(at) => {
                    let mut revision = workload.revisions.remove(at);
                    // The revision that comes back counts as new.
                    if at < workload.revisions.len() {
                        self.revisions += 1;
                        workload.progressed = now;
                        workload.failed = false;
                    }
                    revision.annotations = stored.at("/metadata/annotations").clone();
                    workload.revisions.push(revision);
                }
                None => {
                    self.revisions += 1;
                    let annotations = stored.at("/metadata/annotations").clone();
                    workload.revisions.push(Revision {
                        number: self.revisions,
                        template: template.clone(),
                        annotations,
                    });
                    workload.progressed = now;
                    workload.failed = false;
                }
            }
        }
        let current = workload.revisions.last().unwrap().number;
        let want = match stored.key.kind {
            Kind::DaemonSet => 2,
            _ => usize::try_from(stored.at("/spec/replicas").as_i64().unwrap_or(1)).unwrap(),
        };
        workload.pods.retain(|pod| pod.gone.is_none_or(|at| at > now));
        // Deployments make the new pod first; the others take the old one away first.
        let surge = surge(stored, want);
        let spare = usize::from(surge == 0);
        let recreates = stored.at("/spec/strategy/type") == "Recreate";
        // Long to make, and seldom needed.
        let text = LazyCell::new(|| bound_text(stored, server));
        let live = |pods: &[Replica]| pods.iter().filter(|pod| pod.gone.is_none()).count();
        if self.has_large_node {
            workload.pods.iter_mut().for_each(|pod| pod.is_large = false);
        }
        workload.refused = false;
        let updated =
            |pods: &[Replica]| pods.iter().filter(|pod| pod.gone.is_none() && pod.revision == current).count();
        if first {
            while live(&workload.pods) < want {
                self.pods += 1;
                workload.pods.push(pod(self.pods, current, now - START, &text));
            }
        }
        if !paused {
            // One step at a time, as with the default surge.
            let old_ones = workload.pods.iter().any(|pod| pod.revision != current);
            // A pod of a StatefulSet is made anew under its name, and that of a DaemonSet on its node: the old one is gone first.
            let named = stored.key.kind != Kind::Deployment && workload.pods.len() >= want;
            if updated(&workload.pods) < want
                && live(&workload.pods) < want + surge
                && !(recreates && old_ones)
                && !named
            {
                workload.refused = !self.has_quota && has(&text, REFUSED);
                if !workload.refused {
                    self.pods += 1;
                    workload.pods.push(pod(self.pods, current, now, &text));
                    workload.progressed = now;
                }
            }
            let ready = workload.pods.iter().filter(|pod| pod.gone.is_none() && pod.is_ready(now)).count();
            let old = workload.pods.iter_mut().find(|pod| {
                pod.gone.is_none()
                    && pod.revision != current
                    && (!pod.is_ready(now) || ready + spare > want || recreates)
            });
            if let Some(old) = old {
                old.gone = Some(now + old.grace);
                workload.progressed = now;
            }
            while updated(&workload.pods) > want {
                let surplus = workload.pods.iter_mut().rev().find(|pod| pod.gone.is_none() && pod.revision == current);
                let surplus = surplus.unwrap();
                surplus.gone = Some(now + surplus.grace);
            }
        }
        let total = live(&workload.pods);
        let updated = updated(&workload.pods);
        let ready = workload.pods.iter().filter(|pod| pod.gone.is_none() && pod.is_ready(now)).count();
        let terminating = workload.pods.len() - total;
        workload.ready = (ready, want);
        let told = if self.silent && stored.key.kind == Kind::Deployment { 0 } else { terminating };
        let complete = total == want && updated == want && ready == want && told == 0;
        workload.complete = complete && workload.revisions.last().unwrap().template == *template;
        if workload.complete {
            // From now on pods come and go for other reasons than the template.
            workload.cause.clear();
        }
        let own = stored.at("/spec/progressDeadlineSeconds").as_i64().map_or(DEADLINE, Span::seconds);
        let deadline = if stored.key.kind == Kind::Deployment { own } else { STUCK };
        workload.failed = !complete && !paused && now.since(workload.progressed) > deadline;
        if self.lie {
            return status(stored, workload, [want, want, want, 0, want]);
        }
        let mut status = status(stored, workload, [total, updated, ready, terminating, want]);
        if self.silent {
            status.as_object_mut().unwrap().remove("terminatingReplicas");
        }
        status
    }

    /// The templates of all pods that a workload has, those that are ending included.
    pub fn templates<'a>(&'a self, key: &'a ObjectKey) -> impl Iterator<Item = &'a Value> {
        let deleted = self.deleted.iter().filter(move |(other, _)| other == key).map(|(_, workload)| workload);
        self.workloads.get(key).into_iter().chain(deleted).flat_map(|workload| {
            workload.pods.iter().filter_map(|pod| {
                let revision = workload.revisions.iter().find(|revision| revision.number == pod.revision);
                revision.map(|revision| &revision.template)
            })
        })
    }

    /// The pods of a workload with the value that a variable has in each.
    pub fn environments(&self, key: &ObjectKey, variable: &str) -> Vec<(String, Option<String>)> {
        let Some(workload) = self.workloads.get(key) else { return Vec::new() };
        let value = |pod: &Replica| {
            let revision = workload.revisions.iter().find(|revision| revision.number == pod.revision)?;
            let list = revision.template["spec"]["containers"][0]["env"].as_array()?;
            let entry = list.iter().find(|entry| entry["name"] == variable)?;
            entry["value"].as_str().map(str::to_owned)
        };
        workload.pods.iter().map(|pod| (pod.name.clone(), value(pod))).collect()
    }

    pub fn list_pods(&self, key: &ObjectKey, now: Instant) -> Vec<Pod> {
        let pods = self.workloads.get(key).map_or(&[][..], |workload| &workload.pods);
        pods.iter()
            .map(|pod| {
                let age = now.since(pod.created).as_millis();
                let later = age - RUN.as_millis();
                let restarts = match (pod.crashes, pod.crashes_later) {
                    (true, _) => age / 5000,
                    (false, true) => (later / 5000).max(0),
                    (false, false) => 0,
                };
                Pod {
                    name: pod.name.clone(),
                    revision: Some(format!("rev-{}", pod.revision)),
                    created: pod.created.whole_seconds(),
                    deleting: pod.gone.is_some(),
                    restarts,
                    waiting: (restarts >= 2).then(|| "CrashLoopBackOff".to_owned()),
                    unschedulable: pod.is_large.then(|| "0/3 nodes are available: 3 Insufficient memory.".to_owned()),
                }
            })
            .collect()
    }
}

/// Whether a word is in a text.
fn has(text: &str, what: &str) -> bool {
    text.match_indices(what).any(|(at, _)| {
        let around = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric());
        around(text[..at].chars().next_back()) && around(text[at + what.len()..].chars().next())
    })
}

fn pod(number: u64, revision: u64, created: Instant, text: &str) -> Replica {
    let has = |what: &str| has(text, what);
    let (crashes, hangs, crashes_later, is_large) = (has(CRASHES), has(HANGS), has(CRASHES_LATER), has(TOO_LARGE));
    let grace = text
        .split("terminationGracePeriodSeconds\":")
        .nth(1)
        .and_then(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok());
    let grace = Span::seconds(grace.unwrap_or(GRACE));
    Replica {
        name: format!("pod-{number}"),
        revision,
        created,
        crashes,
        hangs,
        crashes_later,
        is_large,
        grace,
        gone: None,
    }
}

/// Pods beyond those that are wanted during a rollout.
fn surge(stored: &Stored, want: usize) -> usize {
    if stored.key.kind != Kind::Deployment || stored.at("/spec/strategy/type") == "Recreate" {
        return 0;
    }
    let most = stored.at("/spec/strategy/rollingUpdate/maxSurge");
    let percent = most.as_str().and_then(|text| text.strip_suffix('%')?.parse::<usize>().ok());
    match (most.as_u64(), percent) {
        (Some(pods), _) => usize::try_from(pods).unwrap(),
        (None, percent) => (want * percent.unwrap_or(25)).div_ceil(100),
    }
}

/// Everything that a new pod reads when it starts.
fn bound_text(stored: &Stored, server: &Server) -> String {
    let mut text = stored.at("/spec/template/spec").to_string();
    for volume in stored.at("/spec/template/spec/volumes").as_array().into_iter().flatten() {
        let name = volume["configMap"]["name"].as_str().unwrap_or_default();
        let key = ObjectKey::new(Kind::ConfigMap, stored.key.namespace.clone(), name);
        if let Some(map) = server.objects.get(&key) {
            text.push_str(&map.at("/data").to_string().replace("\\n", "\n"));
        }
    }
    text
}

fn status(stored: &Stored, workload: &Workload, counts: [usize; 5]) -> Value {
    let [total, updated, ready, terminating, want] = counts;
    let current = workload.revisions.last().unwrap().number;
    let generation = stored.generation;
    match stored.key.kind {
        Kind::Deployment => {
            let mut conditions = vec![];
            if workload.failed {
                conditions.push(json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
                    "message": "timed out progressing"}));
            }
            if workload.refused {
                conditions.push(json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                    "message": format!("pods \"{}-rev-{current}-x\" is forbidden: exceeded quota: tight", stored.key.name)}));
            }
            json!({"observedGeneration": generation, "replicas": total, "updatedReplicas": updated, "readyReplicas": ready,
                "availableReplicas": ready, "terminatingReplicas": terminating, "conditions": conditions})
        }
        Kind::StatefulSet => {
            let old = workload.pods.iter().find(|pod| pod.revision != current && pod.gone.is_none());
            let before = if workload.complete { current } else { old.map_or(current, |pod| pod.revision) };
            // Its controller counts pods that are ending, too, and a Deployment's does not.
            let all = total + terminating;
            json!({"observedGeneration": generation, "replicas": all, "updatedReplicas": updated, "readyReplicas": ready,
                "availableReplicas": ready, "currentRevision": format!("rev-{before}"), "updateRevision": format!("rev-{current}")})
        }
        _ => {
            json!({"observedGeneration": generation, "desiredNumberScheduled": want, "updatedNumberScheduled": updated,
            "numberAvailable": ready, "numberReady": ready})
        }
    }
}
