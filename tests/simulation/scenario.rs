//! Random specs, random people, random faults.

use std::cell::RefCell;

use serde_json::{Value, json};
use trimtab::{
    api::{PerformanceClass, PerformanceClassSpec, PerformancePolicy, names},
    core::{
        facts::{Kind, ObjectKey, Span},
        ownership::FieldPath,
    },
};

use super::{
    controllers::{CRASHES, HANGS, REFUSED, TOO_LARGE},
    invariants::{FORMULA, derived},
    people::{NAMESPACE, config_map, policy, variables, workload},
    random::Random,
    run::{Counts, Faults, Run},
    server::Stored,
};

pub const DOCUMENT: &str = "# pools of the shop\npool:\n  size: 5 # small\n  timeout: 30\nname: shop\n";
/// What a profile may require.
const REQUIRES: &str = "settings.batch >= 10";
const VARIABLES: [&str; 4] = ["DB_POOL_SIZE", "WORKERS", "BATCH", "LOG"];
const BUDGET: &str = "database";
const POLICIES: [&str; 3] = ["p", "q", "r"];
const WORKLOADS: [&str; 3] = ["a", "b", "c"];

/// One run. `journal`: whether to keep what happened, for a report.
pub fn run(seed: u64, journal: bool) -> Counts {
    let mut run = Run::new(seed);
    run.is_quiet = true;
    if !journal {
        run.journal = None;
    }
    let mut random = Random::new(seed ^ 0xA5A5);
    let mut stage = Stage::set(&mut random, &mut run);
    let mut sharer = Random::new(seed ^ 0x5A4E);
    stage.sharer = sharer.chance(250).then_some(RefCell::new(sharer));
    let mut prover = Random::new(seed ^ 0x960F);
    stage.prover = prover.chance(300).then_some(RefCell::new(prover));
    let mut owner = Random::new(seed ^ 0xB0D6);
    if owner.chance(300) {
        stage.owner = Some(RefCell::new(owner));
        stage.own_database(&mut run);
    }
    let mut guard = Random::new(seed ^ 0x9DB0);
    if guard.chance(300) {
        stage.guard = Some(RefCell::new(guard));
        stage.protect(&mut run);
    }
    run.faults = if random.chance(150) { Faults::NONE } else { Faults::ALL };
    run.faults.clock = if random.chance(200) { 2 } else { 0 };
    let names = &POLICIES[..1 + random.below(3)];
    for name in names {
        let spec = stage.spec(&mut random);
        run.people(&format!("apply policy {name}: {spec}"), |server, _| server.apply_policy(name, &spec));
        if random.chance(500) {
            run.pass(Span::seconds(random.between(1, 20)));
        }
    }
    for _ in 0..random.below(9) {
        run.pass(Span::millis(random.between(50, 25_000)));
        stage.act(&mut random, &mut run, names);
        if stage.owner.as_ref().is_some_and(|owner| owner.borrow_mut().chance(300)) {
            stage.own_database(&mut run);
        }
        if stage.guard.as_ref().is_some_and(|guard| guard.borrow_mut().chance(300)) {
            stage.protect(&mut run);
        }
    }
    run.pass(Span::seconds(random.between(1, 10)));
    // Whatever stood still goes on, so that an end can be reached.
    for key in &stage.workloads {
        if run.server.objects.get(key).is_some_and(|stored| stored.at("/spec/paused") == true) {
            run.people("resume rollout", |server, _| server.pause(key, false));
        }
    }
    // Nothing is written from then on that could make those who wait look again.
    for name in WORKLOADS {
        run.people(&format!("delete the disruption budget of {name}"), |server, _| server.delete_guard(name));
    }
    run.come_to_rest(Span::seconds(700), Span::minutes(50));
    run.stay_at_rest();
    settled(&run);
    run.counts
}

struct Stage {
    workloads: Vec<ObjectKey>,
    /// Who answers for the database of the shop, where there is one. Draws of its own leave all others as they are.
    owner: Option<RefCell<Random>>,
    /// Who has knobs that share a field, where there are any. The same is true of its draws.
    sharer: Option<RefCell<Random>>,
    /// Who wants to see that pods run with a value, where anybody does. The same is true of its draws.
    prover: Option<RefCell<Random>>,
    /// Who says how many pods may be away, where anybody does. The same is true of its draws.
    guard: Option<RefCell<Random>>,
}

impl Stage {
    fn set(random: &mut Random, run: &mut Run) -> Self {
        let kinds = [Kind::Deployment, Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet];
        let workloads: Vec<ObjectKey> = WORKLOADS[..1 + random.below(3)]
            .iter()
            .map(|name| ObjectKey::new(*random.pick(&kinds), NAMESPACE, *name))
            .collect();
        for key in &workloads {
            let manifest = manifest(random, key);
            let tool = *random.pick(&["kubectl", "helm", "kustomize-controller"]);
            let scaled = key.kind == Kind::Deployment && random.chance(200);
            run.people(&format!("{tool} installs {}: {manifest}", key.short()), |server, _| {
                let map = config_map(&format!("{}-config", key.name));
                let data = json!({"data": {"config.yaml": DOCUMENT, "plain": "1"}});
                if tool == "kubectl" {
                    server.kubectl_apply(&map, &data);
                    server.kubectl_apply(key, &manifest);
                } else {
                    server.server_side(tool, &map, &data, false).unwrap();
                    server.server_side(tool, key, &manifest, false).unwrap();
                }
                if scaled {
                    let autoscaler = json!({"spec": {"minReplicas": 1, "maxReplicas": 5,
                        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": key.kind.as_str(), "name": &*key.name}}});
                    let key = ObjectKey::new(Kind::HorizontalPodAutoscaler, NAMESPACE, &*key.name);
                    server.kubectl_apply(&key, &autoscaler);
                }
            });
        }
        run.people("Prometheus is there", |server, _| server.put_source());
        run.pass(Span::seconds(3));
        Self { workloads, owner: None, sharer: None, prover: None, guard: None }
    }

    /// The owner of the database says what it can bear, says something else, or says nothing any more.
    fn own_database(&self, run: &mut Run) {
        let Some(owner) = &self.owner else { return };
        let mut owner = owner.borrow_mut();
        if owner.chance(150) {
            run.people("delete the budget", |server, _| server.delete_budget(&policy(BUDGET)));
            return;
        }
        let mut spec = json!({"capacity": {"connections": owner.between(20, 400)}, "headroom": "0%"});
        if owner.chance(200) {
            let mode = *owner.pick(&["Session", "Transaction"]);
            spec["pooler"] = json!({"mode": mode, "clients": owner.between(20, 600), "servers": owner.between(5, 100)});
        }
        if owner.chance(200) {
            spec["shares"] = json!([{"policy": "p", "pool": "db", "drains": true}]);
        }
        run.people(&format!("apply budget {spec}"), |server, _| server.apply_budget(BUDGET, &spec));
    }

    /// Somebody says how many pods of a workload may be away, or nothing any more.
    fn protect(&self, run: &mut Run) {
        let Some(guard) = &self.guard else { return };
        let mut guard = guard.borrow_mut();
        let name = *guard.pick(&WORKLOADS);
        if guard.chance(250) {
            run.people(&format!("delete the disruption budget of {name}"), |server, _| server.delete_guard(name));
            return;
        }
        let mut spec = json!({"selector": {"matchLabels": {"app": name}}});
        spec[*guard.pick(&["minAvailable", "maxUnavailable"])] = json!(guard.between(0, 2));
        run.people(&format!("apply the disruption budget {spec}"), |server, _| server.apply_guard(name, &spec));
    }

    /// A policy for one of the workloads, or for several.
    fn spec(&self, random: &mut Random) -> Value {
        let key = random.pick(&self.workloads);
        let mut target = json!({"kind": key.kind.as_str()});
        if random.chance(250) {
            target["selector"] = json!({"matchLabels": {"tier": "web"}});
        } else {
            target["name"] = json!(&*key.name);
        }
        let mode = if random.chance(850) { "Enforce" } else { *random.pick(&["Observe", "Recommend"]) };
        let mut spec = json!({"mode": mode, "target": target});
        if random.chance(250) {
            spec["deletionPolicy"] = json!("Restore");
        }
        let number = |random: &mut Random| {
            if random.chance(60) {
                let text = random.pick(&[CRASHES, HANGS, TOO_LARGE, REFUSED]);
                text.parse().unwrap()
            } else {
                random.between(1, 40)
            }
        };
        let knob = |random: &mut Random, landing: Value| {
            let mut knob = landing;
            knob["value"] = json!(number(random));
            if random.chance(400) {
                knob["onConflict"] = json!("TakeOver");
            }
            knob
        };
        if random.chance(800) {
            let landing = json!({"env": *random.pick(&VARIABLES[..2])});
            let mut size = knob(random, landing);
            if random.chance(250) {
                size["value"] = json!(FORMULA);
            }
            spec["pools"] = json!([{"name": "db", "size": size}]);
        }
        let mut settings = Vec::new();
        if random.chance(400) {
            let mut setting = knob(random, json!({"env": "BATCH"}));
            setting["name"] = json!("batch");
            settings.push(setting);
        }
        if random.chance(350) {
            let reload = *random.pick(&["Restart", "Watch"]);
            spec["files"] = json!([{"name": "config", "configMap": format!("{}-config", key.name), "key": "config.yaml",
                "format": "YAML", "reload": reload}]);
            let place = *random.pick(&["/pool/size", "/pool/timeout"]);
            settings.push(json!({"name": "size", "value": number(random), "path": {"file": "config", "at": place}}));
        }
        if random.chance(150) {
            let landing = json!({"name": format!("{}-config", key.name), "key": "plain"});
            let mut setting = knob(random, json!({"configMapKey": landing}));
            setting["name"] = json!("plain");
            settings.push(setting);
        }
        if let Some(sharer) = &self.sharer {
            settings.extend(shared(&mut sharer.borrow_mut()));
        }
        if !settings.is_empty() {
            spec["settings"] = json!(settings);
        }
        if random.chance(300) {
            let memory = *random.pick(&["1Gi", "2Gi", "2048Mi", "512Mi"]);
            let mut item = json!({"container": "api", "limits": {"memory": memory}, "requests": {"memory": memory}});
            if random.chance(400) {
                item["onConflict"] = json!("TakeOver");
            }
            spec["resources"] = json!([item]);
        }
        if random.chance(300) {
            self.add_profiles(random, &mut spec);
        }
        if let (Some(prover), Some(variable)) = (&self.prover, spec["pools"][0]["size"]["env"].as_str())
            && prover.borrow_mut().chance(800)
        {
            // The model's pods tell what their environment says, under the variable's name.
            let gauge = variable.to_lowercase();
            spec["pools"][0]["size"]["effective"] = json!({"gauge": gauge});
        }
        if let Some(owner) = &self.owner
            && spec["pools"].is_array()
            && owner.borrow_mut().chance(800)
        {
            spec["pools"][0]["budget"] = json!(BUDGET);
        }
        if key.kind != Kind::DaemonSet && random.chance(200) {
            let min = random.between(1, 3);
            spec["replicas"] = json!({"min": min, "max": min + random.between(0, 2)});
        }
        spec
    }

    /// Profiles that move what the policy sets, as far as it does.
    fn add_profiles(&self, random: &mut Random, spec: &mut Value) {
        let mut busy = json!({});
        let mut heavy = json!({});
        if !spec["pools"].is_null() {
            busy["pools.db.size"] = json!(random.between(70, 72));
            heavy["pools.db.size"] = json!(random.between(73, 75));
        }
        let batch = spec["settings"].as_array().into_iter().flatten().any(|setting| setting["name"] == "batch");
        // What lands in a ConfigMap is one for all targets, which a reading is not.
        if batch {
            heavy["settings.batch"] = json!(random.between(67, 69));
        }
        if busy == json!({}) {
            return;
        }
        spec["thresholds"] = json!([{"name": "load", "metric": {"gauge": "load"}}]);
        let mut second = json!({"name": "heavy", "set": heavy,
            "when": {"threshold": "load", "enter": 20, "leave": 12, "dwell": format!("{}s", random.between(0, 60))}});
        if batch && random.chance(500) {
            second["requires"] = json!([REQUIRES]);
        }
        spec["profiles"] = json!([
            {"name": "busy", "set": busy, "when": {"threshold": "load", "enter": 10, "leave": 5, "dwell": "30s"}},
            second,
        ]);
        if random.chance(150) {
            spec["profile"] = json!(*random.pick(&["busy", "heavy"]));
        }
    }

    /// Somebody does something.
    fn act(&self, random: &mut Random, run: &mut Run, names: &[&'static str]) {
        let name = *random.pick(names);
        let key = random.pick(&self.workloads).clone();
        match random.below(21) {
            16..=17 => {
                let load = *random.pick(&[1.0, 8.0, 15.0, 30.0]);
                run.people(&format!("{} has a load of {load}", key.short()), |server, _| {
                    server.readings.insert(key.name.clone(), load);
                });
            }
            18 => run.people(&format!("{} has no load", key.short()), |server, _| {
                server.readings.remove(&key.name);
            }),
            0..=3 => {
                let spec = self.spec(random);
                run.people(&format!("apply policy {name}: {spec}"), |server, _| server.apply_policy(name, &spec));
            }
            4 => run.people(&format!("delete policy {name}"), |server, _| server.delete_policy(&policy(name))),
            5 => {
                let why = if random.chance(600) { "incident" } else { "" };
                run.people(&format!("suspend {name} {why}"), |server, _| server.suspend(name, why));
            }
            6 => run.people(&format!("resume {name}"), |server, _| server.resume(name)),
            19 => {
                let newest = run.server.policies.get(&policy(name)).and_then(|p| p.status.as_ref()?.revision);
                let to = newest.unwrap_or_default() - random.between(0, 3);
                // That there is no way back is an answer, too.
                let _refused = run.people(&format!("rollback {name} --to {to}"), |server, _| server.rollback(name, to));
            }
            20 => run.people(&format!("resume {name} --rollback"), |server, _| server.end_rollback(name)),
            7 | 8 => {
                let variable = *random.pick(&VARIABLES[..3]);
                let value = (!random.chance(200)).then(|| random.between(41, 60).to_string());
                override_env(run, &key, variable, value.as_deref());
            }
            9 => {
                let manifest = manifest(random, &key);
                run.people(&format!("kubectl apply {}: {manifest}", key.short()), |server, _| {
                    server.kubectl_apply(&key, &manifest);
                });
            }
            10 => {
                let manifest = manifest(random, &key);
                let (tool, force) = *random.pick(&[("helm", false), ("kustomize-controller", true)]);
                run.people(&format!("{tool} applies {}: {manifest}", key.short()), |server, _| {
                    // A conflict is the answer that its user has to live with.
                    let _refused = server.server_side(tool, &key, &manifest, force);
                });
            }
            11 => {
                let back = 1 + random.below(2);
                run.people(&format!("rollout undo {} by {back}", key.short()), |server, controllers| {
                    server.rollout_undo(controllers, &key, back);
                });
            }
            12 => run.people(&format!("rollout restart {}", key.short()), |server, _| server.rollout_restart(&key)),
            13 => {
                let paused = random.chance(500) && key.kind == Kind::Deployment;
                run.people(&format!("pause {} {paused}", key.short()), |server, _| server.pause(&key, paused));
            }
            14 => {
                let size = random.between(41, 60);
                let map = config_map(&format!("{}-config", key.name));
                run.people(&format!("edit {} to {size}", map.short()), |server, _| {
                    server.edit_as("kubectl-edit", &map, |tree| {
                        let text = tree["data"]["config.yaml"].as_str().unwrap_or_default();
                        let text: Vec<String> = text
                            .lines()
                            .map(|line| {
                                if line.contains("size:") {
                                    format!("  size: {size} # edited")
                                } else {
                                    line.to_owned()
                                }
                            })
                            .collect();
                        tree["data"]["config.yaml"] = json!(text.join("\n") + "\n");
                    });
                });
            }
            _ => {
                let freeze = random.chance(400);
                run.people(&format!("freeze {freeze}"), |server, _| server.put_class(default_class(freeze)));
            }
        }
    }
}

/// Flags of one list of arguments, and options of one variable.
fn shared(random: &mut Random) -> Vec<Value> {
    let places = [("arg", "--a"), ("arg", "--b"), ("option", "-XX:ParallelGCThreads"), ("option", "-XX:ConcGCThreads")];
    let mut knobs = Vec::new();
    for (index, (kind, name)) in places.into_iter().enumerate() {
        if random.chance(500) {
            let value = if random.chance(80) { CRASHES.parse().unwrap() } else { random.between(1, 6) };
            let mut knob = json!({"name": format!("shared-{index}"), "type": "Integer", "value": value});
            knob[kind] = json!(name);
            if kind == "option" && random.chance(500) {
                knob["onConflict"] = json!("TakeOver");
            }
            knobs.push(knob);
        }
    }
    knobs
}

/// A person sets a variable. Where a policy holds it, it is the person's from then on.
pub fn override_env(run: &mut Run, key: &ObjectKey, variable: &str, value: Option<&str>) {
    let field = FieldPath::of(&["spec", "template", "spec", "containers"])
        .key("name", "api")
        .field("env")
        .key("name", variable)
        .field("value");
    let owners: Vec<String> = run.server.objects[key]
        .managers
        .iter()
        .filter(|manager| manager.fields.contains(&field))
        .filter_map(|manager| manager.name.strip_prefix(names::MANAGER_PREFIX).map(str::to_owned))
        .collect();
    let differs = run.server.env(key, variable).as_deref() != value;
    run.people(&format!("set env {} {variable}={value:?}", key.short()), |server, _| {
        server.set_env(key, variable, value);
    });
    if let (Some(value), [owner], true) = (value, &owners[..], differs) {
        run.invariants.overridden(&run.server, key, &field, json!(value), owner);
    }
}

pub fn default_class(freeze: bool) -> PerformanceClass {
    let mut class =
        PerformanceClass::new("standard", PerformanceClassSpec { freeze, ..PerformanceClassSpec::default() });
    class.metadata.annotations = Some([(names::IS_DEFAULT_CLASS.to_owned(), "true".to_owned())].into_iter().collect());
    class
}

fn manifest(random: &mut Random, key: &ObjectKey) -> Value {
    let mut container = json!({});
    let set: Vec<(&str, &str)> = VARIABLES
        .iter()
        .filter(|variable| random.chance(if **variable == "LOG" { 700 } else { 250 }))
        .map(|variable| (*variable, "7"))
        .collect();
    if !set.is_empty() {
        container["env"] = variables(&set);
    }
    if random.chance(400) {
        container["resources"] = json!({"limits": {"memory": "2Gi"}, "requests": {"memory": "1Gi"}});
    }
    let mut manifest = workload(&key.name, &container);
    let spec = manifest["spec"].as_object_mut().unwrap();
    if key.kind == Kind::DaemonSet || random.chance(400) {
        spec.remove("replicas");
    }
    manifest
}

/// What is worked out from a limit is what that limit gives. Where there are profiles, [`switched`] looks at it.
fn follows(run: &Run, policy: &PerformancePolicy) {
    let spec = json!(policy.spec);
    let size = &spec["pools"][0]["size"];
    let is_plain = size["value"] == FORMULA && policy.spec.profiles.is_empty();
    let Some(variable) = size["env"].as_str().filter(|_| is_plain) else { return };
    let target = spec["target"].clone();
    let chosen = |stored: &&Stored| match target["name"].as_str() {
        Some(name) => *stored.key.name == *name,
        None => stored.at("/metadata/labels/tier") == "web",
    };
    let workloads = run.server.objects.values().filter(|stored| stored.key.kind.as_str() == target["kind"]);
    for stored in workloads.filter(chosen) {
        let live = run.server.env(&stored.key, variable);
        if live != derived(stored) {
            let name = policy.metadata.name.as_deref().unwrap_or_default();
            run.fail(&format!("{name} is applied to {}, but {variable} is {live:?}", stored.key.short()));
        }
    }
}

/// Which profiles are active is what the readings say, and the pool is what they make of the policy.
fn switched(run: &Run, policy: &PerformancePolicy) {
    let spec = json!(policy.spec);
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    let Some(status) = &policy.status else { return };
    let Some(Value::Array(profiles)) = spec.get("profiles") else {
        if !status.active_profiles.is_empty() {
            run.fail(&format!("{name} has no profiles, and {:?} are active", status.active_profiles));
        }
        return;
    };
    let batch = spec["settings"].as_array().into_iter().flatten().find(|setting| setting["name"] == "batch");
    let workloads = run.server.objects.values().filter(|stored| stored.key.kind.as_str() == spec["target"]["kind"]);
    let chosen = workloads.filter(|stored| match spec["target"]["name"].as_str() {
        Some(name) => *stored.key.name == *name,
        None => stored.at("/metadata/labels/tier") == "web",
    });
    for stored in chosen {
        let short = stored.key.short();
        let listed = status.active_profiles.iter();
        let active = |profile: &str| {
            listed.clone().any(|a| a.name == profile && (a.targets.is_empty() || a.targets.contains(&short)))
        };
        let mut size = spec["pools"][0]["size"]["value"].clone();
        for profile in profiles {
            let profile_name = profile["name"].as_str().unwrap();
            let is_active = active(profile_name);
            let met = profile["requires"].is_null() || batch.is_some_and(|batch| batch["value"].as_i64() >= Some(10));
            if is_active && !met {
                run.fail(&format!("{profile_name} of {name} is active on {short}, and {REQUIRES} does not hold"));
            }
            let bound = |bound: &str| profile["when"][bound].as_f64().unwrap();
            let expected = match (spec["profile"].as_str(), run.server.readings.get(&stored.key.name)) {
                (Some(forced), _) => Some(forced == profile_name),
                (None, Some(load)) if *load > bound("enter") => Some(true),
                (None, Some(load)) if *load < bound("leave") => Some(false),
                _ => None,
            };
            if expected.is_some_and(|expected| (expected && met) != is_active) {
                run.fail(&format!("{profile_name} of {name} is active on {short}: {is_active}"));
            }
            if is_active {
                size = profile["set"]["pools.db.size"].clone();
            }
        }
        let variable = spec["pools"][0]["size"]["env"].as_str().unwrap();
        let live = run.server.env(&stored.key, variable);
        let expected = if size == FORMULA { derived(stored) } else { Some(size.to_string()) };
        if live != expected {
            run.fail(&format!("{name} is applied to {short}, and {variable} is {live:?} and not {expected:?}"));
        }
    }
}

/// What must be true in the end.
fn settled(run: &Run) {
    let frozen = run.server.classes.values().any(|class| class.spec.freeze);
    for (key, policy) in &run.server.policies {
        let Some(status) = &policy.status else { run.fail(&format!("policy {} has no status", key.1)) };
        let deleting = policy.metadata.deletion_timestamp.is_some();
        if deleting {
            // A rollout that failed for other reasons can be in the way of a restoration.
            continue;
        }
        if status.observed_generation != policy.metadata.generation {
            run.fail(&format!("policy {} has not been observed", key.1));
        }
        let condition = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind);
        // What may not write cannot take back either.
        let view = super::invariants::View::of(policy);
        if let Some(applied) = condition("Applied").filter(|_| !frozen && view.may_write()) {
            if matches!(
                applied.reason.as_str(),
                "Pending" | "RollingOut" | "RollingBack" | "WaitingForTurn" | "DisruptionNotAllowed"
            ) {
                run.fail(&format!("policy {} is still {}: {}", key.1, applied.reason, applied.message));
            }
            if applied.status == "True" && status.settings.iter().any(|s| s.state == "Planned") {
                run.fail(&format!("policy {} says Applied and has plans", key.1));
            }
            if applied.status == "True" {
                // What is pinned is what was there at a revision.
                if condition("RollbackPinned").is_none_or(|pinned| pinned.status != "True") {
                    follows(run, policy);
                    switched(run, policy);
                }
                let effective = condition("Effective").map(|c| (&*c.status, &*c.reason));
                let is_read_back = json!(policy.spec).pointer("/pools/0/size/effective").is_some();
                let expected = if is_read_back { ("True", "Verified") } else { ("Unknown", "NoReadback") };
                // Pods of a rollout that came to nothing are not asked.
                let all_run = run.controllers.workloads.values().all(super::controllers::Workload::is_complete);
                if effective.is_some_and(|effective| effective != expected) && all_run {
                    run.fail(&format!("policy {} is applied, and Effective is {effective:?}", key.1));
                }
            }
        }
    }
    for (key, budget) in &run.server.budgets {
        let ready = budget.status.iter().flat_map(|status| &status.conditions).find(|c| c.type_ == "Ready");
        let observed = budget.status.as_ref().and_then(|status| status.observed_generation);
        if ready.is_none() || observed != budget.metadata.generation {
            run.fail(&format!("budget {} has not been observed: {:?}", key.1, budget.status));
        }
    }
    for stored in run.server.objects.values() {
        for trace in run.server.traces(&stored.key) {
            let name = trace.trim_start_matches(names::MANAGER_PREFIX).trim_start_matches(names::BASELINE_PREFIX);
            if !run.server.policies.contains_key(&policy(name)) {
                run.fail(&format!("{} carries {trace} of a policy that is gone", stored.key.short()));
            }
        }
    }
}
