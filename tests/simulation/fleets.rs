//! Random fleets on one budget: whatever is edited, however rollouts go and whatever the operator suffers, the processes that are
//! there never open more connections together than the database has for them.
//!
//! What people do here is what a policy answers for: nobody raises a number behind the operator's back.

use serde_json::{Value, json};
use trimtab::core::facts::{Kind, ObjectKey, Span};

use super::{
    controllers::{CRASHES, HANGS},
    people::{NAMESPACE, policy, workload},
    random::Random,
    run::{Counts, Faults, Run},
};

const BUDGET: &str = "database";

/// A workload with its policy.
struct Member {
    key: ObjectKey,
    policy: String,
    /// Replicas that its autoscaler may make, if it has one.
    scaled: Option<i64>,
    spec: Value,
}

fn member(random: &mut Random, number: usize, run: &mut Run) -> Member {
    let name = format!("w{number}");
    let kinds = [Kind::Deployment, Kind::Deployment, Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet];
    let kind = *random.pick(&kinds);
    let key = ObjectKey::new(kind, NAMESPACE, name.as_str());
    let mut manifest = workload(&name, &json!({}));
    let replicas = random.between(1, 4);
    if kind == Kind::DaemonSet {
        manifest["spec"].as_object_mut().unwrap().remove("replicas");
    } else {
        manifest["spec"]["replicas"] = json!(replicas);
    }
    manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(random.between(1, 20));
    if kind == Kind::Deployment {
        let strategies = [
            json!({"type": "Recreate"}),
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}),
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%"}}),
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "30%"}}),
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
            Value::Null,
        ];
        let strategy = random.pick(&strategies).clone();
        if !strategy.is_null() {
            manifest["spec"]["strategy"] = strategy;
        }
    }
    run.people(&format!("install {manifest}"), |server, _| server.kubectl_apply(&key, &manifest));
    let scaled = (random.chance(300) && kind != Kind::DaemonSet).then(|| replicas + random.between(0, 3));
    if let Some(most) = scaled {
        let autoscaler = ObjectKey::new(Kind::HorizontalPodAutoscaler, NAMESPACE, name.as_str());
        let spec = json!({"spec": {"minReplicas": 1, "maxReplicas": most,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind.as_str(), "name": name}}});
        run.people(&format!("autoscale to {most}"), |server, _| server.kubectl_apply(&autoscaler, &spec));
    }
    let mut spec = json!({
        "mode": "Enforce", "target": {"kind": kind.as_str(), "name": name},
        "pools": [{"name": "db", "budget": BUDGET, "size": {"env": "POOL"}}],
        "settings": [{"name": "mode", "type": "Integer", "value": 1, "env": "MODE"}],
    });
    if random.chance(400) {
        spec["workers"] = json!([{"name": "web", "count": {"value": random.between(1, 4), "env": "WORKERS"}}]);
        spec["pools"][0]["perWorker"] = json!("web");
    }
    if random.chance(300) {
        let most = random.between(1, 10);
        spec["pools"][0]["overflow"] = json!({"value": most, "env": "OVERFLOW"});
        if most % 3 == 0 {
            spec["pools"][0]["overflow"]["min"] = json!(most / 2);
        }
    }
    sizes(random, &mut spec);
    Member { key, policy: format!("p{number}"), scaled, spec }
}

fn sizes(random: &mut Random, spec: &mut Value) {
    let size = random.between(1, 40);
    spec["pools"][0]["size"]["value"] = json!(size);
    let size = &mut spec["pools"][0]["size"];
    if random.chance(750) {
        size["min"] = json!(random.between(1, size["value"].as_i64().unwrap()));
    } else {
        size.as_object_mut().unwrap().remove("min");
    }
}

fn budget(random: &mut Random, capacity: i64, members: &[Member]) -> Value {
    let mut shares = Vec::new();
    for member in members {
        let mut share = json!({"policy": member.policy, "pool": "db"});
        if random.chance(300) {
            share["weight"] = json!(random.between(1, 5));
        }
        if random.chance(100) {
            share["max"] = json!(random.between(3, 50));
        }
        if random.chance(100) {
            share["min"] = json!(random.between(1, 3));
        }
        if share.as_object().unwrap().len() > 2 {
            shares.push(share);
        }
    }
    json!({"capacity": {"connections": capacity}, "headroom": "0%", "shares": shares})
}

fn apply(run: &mut Run, member: &Member) {
    let (name, spec) = (member.policy.clone(), member.spec.clone());
    run.people(&format!("apply {name}: {spec}"), |server, _| server.apply_policy(&name, &spec));
}

/// One sequence of edits, from a seed.
pub fn run(seed: u64, journal: bool) -> Counts {
    let mut run = Run::new(seed);
    run.is_quiet = true;
    if !journal {
        run.journal = None;
    }
    let mut random = Random::new(seed ^ 0xF1EE7);
    run.controllers.silent = random.chance(300);
    run.invariants.budgets.meter = true;
    // Shares of the sizes that are asked for.
    run.invariants.told = (0..=40).map(|size: i64| size.to_string()).collect();
    let mut capacity = random.between(20, 400);
    let mut members: Vec<Member> = Vec::new();
    for number in 0..usize::try_from(random.between(1, 5)).unwrap() {
        members.push(member(&mut random, number, &mut run));
    }
    let spec = budget(&mut random, capacity, &members);
    run.people(&format!("budget {spec}"), |server, _| server.apply_budget(BUDGET, &spec));
    run.pass(Span::seconds(5));
    if random.chance(700) {
        run.faults = Faults::ALL;
    }
    for member in &members {
        apply(&mut run, member);
        if random.chance(500) {
            run.pass(Span::millis(random.between(0, 20_000)));
        }
    }
    for _ in 0..random.between(2, 10) {
        edit(&mut random, &mut run, &mut members, &mut capacity);
        run.pass(Span::millis(random.between(0, 30_000)));
    }
    run.come_to_rest(Span::seconds(130), Span::hours(4));
    settled(&run, &members);
    run.counts
}

/// Two workloads swap the sizes of their pools, on a budget that has exactly enough for one of each. Pods of a `StatefulSet` are
/// replaced one after the other, so that nothing is counted for surge or for pods that are ending: only the order keeps the sum.
/// `lie`: rollouts look as if they were over as soon as they begin.
pub fn swap(lie: bool) {
    let mut run = Run::new(1);
    run.is_quiet = lie;
    run.controllers.lie = lie;
    run.invariants.budgets.meter = true;
    run.invariants.told = ["2", "20"].map(str::to_owned).into();
    let spec = json!({"capacity": {"connections": 69}, "headroom": "0%"});
    run.people("budget", |server, _| server.apply_budget(BUDGET, &spec));
    let sized = |run: &mut Run, sizes: [i64; 2]| {
        for (name, size) in ["a", "b"].into_iter().zip(sizes) {
            let spec = json!({
                "mode": "Enforce", "target": {"kind": "StatefulSet", "name": name},
                "pools": [{"name": "db", "budget": BUDGET, "size": {"value": size, "env": "POOL"}}],
            });
            run.people(&format!("apply {name}: {size}"), |server, _| server.apply_policy(name, &spec));
        }
        run.come_to_rest(Span::seconds(130), Span::hours(1));
    };
    let has = |run: &Run, name: &str| run.server.env(&ObjectKey::new(Kind::StatefulSet, NAMESPACE, name), "POOL");
    // The pods of one take their time to end.
    for (name, grace) in [("a", 20), ("b", 1)] {
        let mut manifest = workload(name, &json!({}));
        manifest["spec"]["replicas"] = json!(3);
        manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(grace);
        let key = ObjectKey::new(Kind::StatefulSet, NAMESPACE, name);
        run.people(&format!("install {name}"), |server, _| server.kubectl_apply(&key, &manifest));
    }
    for (sizes, expected) in [([20, 2], ["20", "2"]), ([2, 20], ["2", "20"]), ([20, 2], ["20", "2"])] {
        sized(&mut run, sizes);
        assert_eq!(["a", "b"].map(|name| has(&run, name).unwrap()), expected);
    }
}

fn edit(random: &mut Random, run: &mut Run, members: &mut Vec<Member>, capacity: &mut i64) {
    let number = random.below(members.len());
    match random.below(12) {
        0..4 => {
            sizes(random, &mut members[number].spec);
            apply(run, &members[number]);
        }
        4 => {
            let (count, spec) = (random.between(1, 4), &mut members[number].spec);
            if spec["workers"].is_array() {
                spec["workers"][0]["count"]["value"] = json!(count);
            } else if random.chance(500) {
                spec["workers"] = json!([{"name": "web", "count": {"value": count, "env": "WORKERS"}}]);
                spec["pools"][0]["perWorker"] = json!("web");
            }
            apply(run, &members[number]);
        }
        5 => {
            // Its pods do not come up with this, now and then.
            let value: i64 = random.pick(&["1", "2", CRASHES, HANGS]).parse().unwrap();
            members[number].spec["settings"][0]["value"] = json!(value);
            apply(run, &members[number]);
        }
        6 => {
            *capacity += random.between(0, 100);
            let spec = budget(random, *capacity, members);
            run.people(&format!("budget {spec}"), |server, _| server.apply_budget(BUDGET, &spec));
        }
        7 if members[number].key.kind != Kind::DaemonSet && run.server.objects.contains_key(&members[number].key) => {
            let (key, most) = (members[number].key.clone(), members[number].scaled);
            let now = run.object(&key).at("/spec/replicas").as_i64().unwrap_or(1);
            let replicas = match most {
                Some(most) => random.between(1, most),
                None => random.between(1, now),
            };
            run.people(&format!("scale {} to {replicas}", key.short()), |server, _| {
                server.edit_as("kube-controller-manager", &key, |tree| tree["spec"]["replicas"] = json!(replicas));
            });
        }
        8 if members.len() < 6 => {
            let newcomer = member(random, members.len() + 10, run);
            apply(run, &newcomer);
            members.push(newcomer);
        }
        9 if members[number].spec["pools"][0]["size"]["env"] == "POOL" => {
            members[number].spec["pools"][0]["size"]["env"] = json!("SIZE");
            apply(run, &members[number]);
        }
        10 => {
            let key = members[number].key.clone();
            run.people(&format!("delete {}", key.short()), |server, _| server.delete(&key));
        }
        _ => {}
    }
}

/// In the end everybody has a pool between its least and what it asks for, or is told why not.
fn settled(run: &Run, members: &[Member]) {
    for member in members {
        let Some(stored) = run.server.policies.get(&policy(&member.policy)) else { continue };
        let conditions = stored.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
        let applied = conditions.iter().find(|condition| condition.type_ == "Applied");
        let (Some(ready), Some(applied)) = (ready, applied) else {
            run.fail(&format!("{} has no conditions", member.policy));
        };
        if applied.status != "True" {
            // A change that failed, a budget that has too little, or pods that never come up.
            let reasons = [
                "BudgetExceeded",
                "RolledBack",
                "RollingBack",
                "RollingOut",
                "TargetRolloutInProgress",
                "WaitingForTurn",
                "NoTargets",
                "WaitingForBudget",
            ];
            if !reasons.contains(&&*applied.reason) && !reasons.contains(&&*ready.reason) {
                run.fail(&format!("{} is not applied: {} {}", member.policy, applied.reason, applied.message));
            }
            if applied.reason == "WaitingForBudget" {
                let stuck = members.iter().any(|other| {
                    run.controllers.workloads.get(&other.key).is_none_or(|workload| workload.is_rolling())
                        || ["66", "77"].contains(&&*other.spec["settings"][0]["value"].to_string())
                });
                if !stuck {
                    run.fail(&format!("{} waits for nothing: {}", member.policy, applied.message));
                }
            }
            continue;
        }
        let variable = member.spec["pools"][0]["size"]["env"].as_str().unwrap();
        let has = run.server.env(&member.key, variable).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
        let size = &member.spec["pools"][0]["size"];
        let (value, min) = (size["value"].as_i64().unwrap(), size["min"].as_i64());
        if has < min.unwrap_or(value).max(1) || has > value {
            run.fail(&format!("{} has {has} of {size}", member.policy));
        }
    }
    let status = run.server.budgets[&policy(BUDGET)].status.clone().unwrap_or_default();
    // Who waits for a turn has its connections reserved.
    let waits = |member: &Member| {
        run.server.condition(&member.policy, "Applied").is_some_and(|(_, reason)| reason == "WaitingForTurn")
    };
    if !status.reservations.is_empty() && !members.iter().any(waits) {
        run.fail(&format!("reservations are left: {:?}", status.reservations));
    }
}
