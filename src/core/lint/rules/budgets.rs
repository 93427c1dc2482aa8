//! What the pools of all policies could open together, against what their database gives away. The arithmetic is that of the
//! controller.

use serde_json::{Value as Json, json};

use super::super::{
    Code, Finding,
    manifests::{Manifests, namespace},
    subject::Subject,
};
use crate::{
    api::ConnectionBudget,
    core::{
        allocate::{Claim, Figures, Load, Pods, Room, Worst, replicas_max, shares},
        facts::{Kind, Object, Seen},
        policy::Choice,
        resolve::loads,
    },
};

/// Checks every budget of `documents` against the policies that name it, and against the others.
pub(super) fn check(documents: &[&Json], subjects: &[Subject<'_>], findings: &mut Vec<Finding>) {
    twice(documents, findings);
    for (document, value) in documents.iter().enumerate().filter(|(_, value)| value["kind"] == "ConnectionBudget") {
        let Ok(budget) = serde_json::from_value::<ConnectionBudget>((*value).clone()) else { continue };
        let mut find = |path: &str, message| {
            findings.push(Finding { code: Code::InvalidSpec, document, path: path.into(), message });
        };
        match Room::of(&budget, &Figures::told(&budget)) {
            Err(message) => {
                let (path, message) = message.split_once(' ').unwrap_or(("", &message));
                find(path, message.to_owned());
            }
            // What is only measured, files do not tell.
            Ok(room) if !room.is_known() => {}
            Ok(room) => {
                if let Some(fault) = room.fault() {
                    let message = format!("holds nothing: {fault}");
                    findings.push(Finding {
                        code: Code::PoolerExceedsDatabase,
                        document,
                        path: "pooler".into(),
                        message,
                    });
                    continue;
                }
                consumers(&room, namespace(value), subjects, findings);
            }
        }
    }
}

/// Two budgets of one database cannot be seen as such, unless both read its capacity in the same place.
fn twice(documents: &[&Json], findings: &mut Vec<Finding>) {
    let mut known: Vec<(&str, &Json, &str)> = Vec::new();
    for (document, value) in documents.iter().enumerate().filter(|(_, value)| value["kind"] == "ConnectionBudget") {
        let metric = &value["spec"]["capacity"]["metric"];
        let Some(name) = value["metadata"]["name"].as_str().filter(|_| metric.is_object()) else { continue };
        let within = namespace(value);
        let same = |(other, of, named): &&(&str, &Json, &str)| *other == within && *of == metric && *named != name;
        if let Some((.., other)) = known.iter().find(same) {
            let message =
                format!("is where budget \"{other}\" reads its capacity, too: each gives all of one database away");
            let path = "capacity.metric".into();
            findings.push(Finding { code: Code::OneDatabaseTwice, document, path, message });
        }
        known.push((within, metric, name));
    }
}

/// In the order of the files: who comes when nothing is left, is told.
fn consumers(room: &Room, within: &str, subjects: &[Subject<'_>], findings: &mut Vec<Finding>) {
    let mut consumers: Vec<(&Subject<'_>, Worst)> = Vec::new();
    for subject in subjects.iter().filter(|subject| subject.namespace == within) {
        let known = loads(&subject.policy, |path| subject.value(path)?.to_i64(), |path| subject.min(path)?.to_i64());
        for load in known.into_iter().filter(|load| load.budget.as_deref() == Some(room.name())) {
            let share = room.share(subject.policy.identity.name(), &load.pool);
            let drains = share.and_then(|share| share.drains).unwrap_or(false);
            let nodes = share.and_then(|share| share.replicas_max).map(i64::from);
            let Some(pods) = pods(subject, drains, nodes) else { continue };
            consumers.push((subject, Worst { load, pods }));
        }
    }
    let claims: Vec<Claim> = consumers
        .iter()
        .map(|(subject, worst)| room.claim(subject.policy.identity.name(), worst, worst.pods, None))
        .collect();
    let levels = shares(room.usable(), &claims);
    let (mut taken, mut at_rest) = (0_i64, 0_i64);
    for ((subject, worst), level) in consumers.iter().zip(levels) {
        // Who gets a share is content with it; who gets none, asks for more than there is.
        let worst = worst.at(level.unwrap_or(worst.load.least));
        let rest = worst.load.per_pod().saturating_mul(worst.pods.max);
        if taken.saturating_add(worst.connections()) <= room.usable() {
            taken = taken.saturating_add(worst.connections());
            at_rest = at_rest.saturating_add(rest);
            continue;
        }
        let code = if at_rest.saturating_add(rest) > room.usable() {
            Code::BudgetExceeded
        } else {
            Code::BudgetExceededInRollout
        };
        findings.push(subject.find(code, format!("pools.{}.size", worst.load.pool), told(room, &worst, taken)));
    }
}

/// The sum, one step after the other: per pod, at rest, in a rollout.
fn told(room: &Room, worst: &Worst, taken: i64) -> String {
    let Worst { load, pods } = worst;
    let mut message = match terms(load) {
        Some(terms) => format!("makes {terms} = {} connections per pod", load.per_pod()),
        None => format!("makes {} connections per pod", load.per_pod()),
    };
    if pods.max > 1 {
        message.push_str(&format!(", {} with {} pods", load.per_pod().saturating_mul(pods.max), pods.max));
    }
    if pods.all() > pods.max {
        message.push_str(&format!(", {} during a rollout {pods}", worst.connections()));
    }
    if taken > 0 {
        message.push_str(&format!(", beside {taken} of others"));
    }
    let per = if load.workers.is_some() { " per process" } else { "" };
    let fits = match room.per_process(taken, worst) {
        0 => "not even one connection fits".to_owned(),
        fits => format!("{fits} would fit"),
    };
    format!("{message}; that is above {}: {fits}{per}", room.says())
}

/// What the connections of one pod are made of, if it is more than one number.
fn terms(load: &Load) -> Option<String> {
    let one = if load.overflow == 0 { load.size.to_string() } else { format!("({} + {})", load.size, load.overflow) };
    match &load.workers {
        Some((group, count)) => Some(format!("{one} × {count} {group} processes")),
        None => (load.overflow > 0).then_some(one),
    }
}

/// The pods of a policy's workload at worst; without its manifest, those of a workload of that kind as Kubernetes makes it.
fn pods(subject: &Subject<'_>, drains: bool, nodes: Option<i64>) -> Option<Pods> {
    let target = subject.policy.target.as_ref()?;
    let bare = || json!({"metadata": {"name": "-", "namespace": subject.namespace}, "spec": {}});
    let workload = object(target.kind, &subject.workload.cloned().unwrap_or_else(bare))?;
    let autoscaler = autoscaler(subject, &target.choice, target.kind);
    let autoscaler = autoscaler.and_then(|found| object(Kind::HorizontalPodAutoscaler, found));
    let bound = subject.policy.replicas.as_ref().and_then(|replicas| replicas.max);
    let max = replicas_max(&workload, autoscaler.as_ref(), bound, nodes);
    Some(Pods::of(&workload, max, drains))
}

fn autoscaler<'a>(subject: &Subject<'a>, choice: &Choice, kind: Kind) -> Option<&'a Json> {
    let name = match choice {
        Choice::Name(name) => &**name,
        Choice::Labels(_) => subject.workload?["metadata"]["name"].as_str()?,
    };
    let all: &Manifests<'a> = subject.manifests;
    all.of("HorizontalPodAutoscaler", subject.namespace).iter().copied().find(|found| {
        let scaled = &found["spec"]["scaleTargetRef"];
        scaled["kind"] == kind.as_str() && scaled["name"] == name
    })
}

/// An object as the engine sees it; nothing where a manifest is none.
fn object(kind: Kind, manifest: &Json) -> Option<Object> {
    Seen::from_json(kind, &manifest.to_string()).ok().map(Seen::into_object)
}
