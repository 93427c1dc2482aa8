//! Workers and cores.

use super::super::{
    Code, Finding,
    manifests::containers,
    subject::{Subject, formula},
};
use crate::{
    api::policy::WorkerUnit,
    core::{
        policy::{Knob, Landing},
        units::{Decimal, Dimension, Quantity, Value},
    },
};

/// Processes per core above which they only get in each other's way: gunicorn's documentation ends at four.
const MOST_PER_CORE: i64 = 4;
/// Variables by which runtimes are told how many CPUs there are.
const TOLD_BY: [&str; 2] = ["PYTHON_CPU_COUNT", "GOMAXPROCS"];
/// Words by which programs ask for the CPUs of the node.
const ASKS: [&str; 5] = ["cpu_count()", "os.cpus()", "nproc", "_NPROCESSORS_ONLN", "availableParallelism()"];

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for group in &subject.policy.spec.workers {
        let path = format!("workers.{}.count", group.name);
        let Some(knob) = subject.knob(&path) else { continue };
        told(subject, knob, findings);
        argument(subject, knob, findings);
        memory(subject, knob, group.memory_per_worker.as_deref(), findings);
        let cores = subject.resource(subject.container_of(knob), "limits", "cpu");
        let (Some(count), Some(cores)) = (subject.value(&path).and_then(Value::to_i64), cores) else { continue };
        let Some(whole) = cores.value.ceil().and_then(Decimal::to_i64) else { continue };
        if group.unit.unwrap_or_default() == WorkerUnit::Process && count > whole.saturating_mul(MOST_PER_CORE) {
            let message = format!(
                "is {}, for {}: more than {MOST_PER_CORE} processes per core are throttled instead of working",
                subject.told(&path),
                cores.cores()
            );
            findings.push(subject.find(Code::WorkersOversubscribed, path, message));
            continue;
        }
        let rule = whole.saturating_mul(2).saturating_add(1);
        if is_gunicorn(subject, knob) && formula(knob).is_none() && count != rule {
            let message = format!(
                "is {count}; for {} gunicorn's rule gives 2 × {whole} + 1 = {rule}, and a fixed number does not follow it",
                cores.cores()
            );
            findings.push(subject.find(Code::WorkersOffTheRule, path, message));
        }
    }
    asks(subject, findings);
}

/// What each worker takes, times all of them.
fn memory(subject: &Subject<'_>, knob: &Knob, each: Option<&str>, findings: &mut Vec<Finding>) {
    let each = each.and_then(|text| Value::parse_memory(text).ok()).and_then(|value| value.amount());
    let limit = subject.resource(subject.container_of(knob), "limits", "memory");
    let (Some(each), Some(count), Some(limit)) = (each, subject.amount(&knob.path), limit) else { return };
    if let Some(all) = each.checked_mul(count).filter(|all| *all > limit.value) {
        let size = |bytes| Quantity::new(bytes, Dimension::Bytes);
        let message = format!(
            "is {}: {count} × {} = {}; there is {}",
            subject.told(&knob.path),
            size(each),
            size(all),
            limit.bytes()
        );
        findings.push(subject.find(Code::WorkersExceedMemory, &*knob.path, message));
    }
}

fn is_gunicorn(subject: &Subject<'_>, knob: &Knob) -> bool {
    match &knob.landing {
        Landing::Env(name) => **name == *"WEB_CONCURRENCY",
        Landing::Arg(flag) if **flag == *"--workers" => subject
            .container(subject.container_of(knob))
            .is_some_and(|container| container.words().any(|word| word.ends_with("gunicorn"))),
        _ => false,
    }
}

/// A count that follows from the CPU limit on paper only.
fn told(subject: &Subject<'_>, knob: &Knob, findings: &mut Vec<Finding>) {
    let Some(formula) = formula(knob).filter(|formula| formula.contains(".cpu")) else { return };
    if knob.landing != Landing::Variable || runtime_knows(subject) {
        return;
    }
    let message = format!(
        "follows from the CPU limit ({formula}), but lands nowhere: an application that asks for its CPUs gets those of the \
         node, and starts as many"
    );
    findings.push(subject.find(Code::WorkersNotTold, &*knob.path, message));
}

fn runtime_knows(subject: &Subject<'_>) -> bool {
    let by_knob = subject.policy.knobs.iter().any(|knob| match &knob.landing {
        Landing::Env(name) => TOLD_BY.contains(&&**name),
        Landing::Option(known) => known.token == "-XX:ActiveProcessorCount",
        _ => knob.path.starts_with("runtime.") && (knob.path.ends_with("cpuCount") || knob.path.ends_with("maxProcs")),
    });
    let mut all = subject.workload.into_iter().flat_map(containers);
    by_knob || all.any(|container| TOLD_BY.iter().any(|name| container.env(name).is_some()))
}

/// Whether `text` has `word`, and not as a part of a longer name.
fn has_word(text: &str, word: &str) -> bool {
    let part = |char: char| char.is_alphanumeric() || char == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (text.get(..at), text.get(at + word.len()..));
        !before.is_some_and(|before| before.ends_with(part)) && !after.is_some_and(|after| after.starts_with(part))
    })
}

/// A command line that asks for the node's CPUs in a container with a CPU limit.
fn asks(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let Some(target) = &subject.policy.target else { return };
    for container in subject.workload.into_iter().flat_map(containers) {
        let governed = target.container.as_deref().is_none_or(|name| name == container.name());
        let asks = container.words().find_map(|word| ASKS.into_iter().find(|ask| has_word(word, ask)));
        let limit = subject.resource(Some(container.name()), "limits", "cpu");
        if let (true, Some(ask), Some(limit)) = (governed && !runtime_knows(subject), asks, limit) {
            let message = format!(
                "runs a container \"{}\" that asks {ask}: that gives the node's CPUs, not {}",
                container.name(),
                limit.cores()
            );
            findings.push(subject.find(Code::WorkersNotTold, "target", message));
        }
    }
}

/// gunicorn reads `WEB_CONCURRENCY` last but one: a flag beats it.
fn argument(subject: &Subject<'_>, knob: &Knob, findings: &mut Vec<Finding>) {
    let Landing::Env(name) = &knob.landing else { return };
    if **name != *"WEB_CONCURRENCY" {
        return;
    }
    let Some(container) = subject.container(subject.container_of(knob)) else { return };
    if let Some((flag, value)) = container.flag(&["--workers", "-w"]) {
        let message = format!(
            "lands in WEB_CONCURRENCY, but container \"{}\" starts with {flag} {value}, which wins: the variable does nothing",
            container.name()
        );
        findings.push(subject.find(Code::ArgumentWins, &*knob.path, message));
    }
}
