//! The heap of a JVM against what its container may use.

use super::super::{
    Code, Finding,
    manifests::containers,
    subject::{Known, Subject},
};
use crate::core::units::{Decimal, Dimension, Quantity, Value, ValueType};

/// Variables from which a JVM takes options.
const VARIABLES: [&str; 4] = ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "JAVA_OPTS", "_JAVA_OPTIONS"];

/// What a JVM is told.
#[derive(Default)]
struct Jvm {
    initial: Option<Decimal>,
    most: Option<Decimal>,
    /// Beside the heap; nothing if nobody said.
    beside: Option<Decimal>,
    touches: bool,
    /// The group each of whose processes is a JVM, and how many they are.
    group: Option<(String, i64)>,
    /// Paths of the initial and the largest heap.
    paths: (String, String),
}

impl Jvm {
    /// What all processes take with a heap of that size each.
    fn all(&self, heap: Decimal) -> Option<Decimal> {
        let processes = self.group.as_ref().map_or(1, |(_, processes)| *processes);
        heap.checked_add(self.beside.unwrap_or(Decimal::ZERO))?.checked_mul(processes.into())
    }

    /// How that adds up.
    fn sum(&self, heap: Decimal, what: &str, beside: &str, all: Decimal) -> String {
        let heap = format!("{}{what}", size(heap));
        match (self.beside, &self.group) {
            (Some(beside), None) => format!("{heap} + {} non-heap = {}", size(beside), size(all)),
            (Some(beside), Some((group, processes))) => {
                format!("({heap} + {} non-heap) × {processes} {group} processes = {}", size(beside), size(all))
            }
            (None, None) => format!("{heap} and {beside}"),
            (None, Some((group, processes))) => {
                format!("{heap} × {processes} {group} processes = {}, and {beside}", size(all))
            }
        }
    }
}

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let Some(target) = &subject.policy.target else { return };
    let mut names: Vec<Option<&str>> = if let Some(name) = &target.container {
        vec![Some(name)]
    } else {
        subject.workload.into_iter().flat_map(containers).map(|container| Some(container.name())).collect()
    };
    if names.is_empty() {
        names.push(None);
    }
    for name in names {
        let jvm = jvm(subject, name);
        request(subject, &jvm, subject.resource(name, "requests", "memory"), findings);
        limit(subject, &jvm, subject.resource(name, "limits", "memory"), findings);
    }
}

/// What the manifest tells the JVM, and the policy over it.
fn jvm(subject: &Subject<'_>, name: Option<&str>) -> Jvm {
    let mut jvm = Jvm { paths: ("target".to_owned(), "target".to_owned()), ..Jvm::default() };
    if let Some(container) = subject.container(name) {
        let variables = VARIABLES.into_iter().filter_map(|name| container.env(name));
        for word in variables.flat_map(str::split_ascii_whitespace).chain(container.words()) {
            match (word.strip_prefix("-Xms"), word.strip_prefix("-Xmx")) {
                (Some(size), _) => jvm.initial = heap(size),
                (_, Some(size)) => jvm.most = heap(size),
                _ => jvm.touches |= word == "-XX:+AlwaysPreTouch",
            }
        }
    }
    for (knob, value) in subject.values() {
        if !knob.path.starts_with("runtime.") || elsewhere(name, subject.container_of(knob)) {
            continue;
        }
        match knob.path.rsplit('.').next() {
            Some("heapMin") => (jvm.initial, jvm.paths.0) = (value.amount(), knob.path.to_string()),
            Some("heapMax") => (jvm.most, jvm.paths.1) = (value.amount(), knob.path.to_string()),
            Some("nonHeap") => jvm.beside = value.amount(),
            _ => {}
        }
    }
    for options in runtimes(subject) {
        if elsewhere(name, options["container"].as_str().or(target_container(subject))) {
            continue;
        }
        jvm.touches |= options["alwaysPreTouch"] == true;
        let named = options["perWorker"].as_str();
        jvm.group = named.and_then(|group| Some((group.to_owned(), subject.processes(group)?)));
        let beside = options["nonHeap"].as_str().and_then(|text| Value::parse(ValueType::Bytes, text).ok());
        jvm.beside = beside.and_then(|value| value.amount()).or(jvm.beside);
    }
    jvm.group = jvm.group.or_else(|| only_group(subject, name)).filter(|(_, processes)| *processes > 1);
    jvm
}

/// Processes of the one group that the container has, unless the policy names one.
fn only_group(subject: &Subject<'_>, name: Option<&str>) -> Option<(String, i64)> {
    let here = |group: &&str| {
        let knob = subject.knob(&format!("workers.{group}.count"));
        knob.is_some_and(|knob| !elsewhere(name, subject.container_of(knob)))
    };
    let groups = subject.policy.spec.workers.iter().map(|group| &*group.name).filter(here);
    let mut own = groups.filter_map(|group| Some((group.to_owned(), subject.processes(group)?)));
    own.next().filter(|_| own.next().is_none())
}

/// Whether what belongs to one container is looked at for another.
fn elsewhere(name: Option<&str>, of: Option<&str>) -> bool {
    name.zip(of).is_some_and(|(name, of)| name != of)
}

fn target_container<'a>(subject: &Subject<'a>) -> Option<&'a str> {
    subject.spec["target"]["container"].as_str()
}

/// The `jvm` sections of `runtime`, which is one section or a list of them by container.
fn runtimes<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a serde_json::Value> {
    let runtime = &subject.spec["runtime"];
    let sections = runtime.as_array().map_or_else(|| vec![runtime], |all| all.iter().collect());
    sections.into_iter().map(|section| &section["jvm"]).filter(|jvm| jvm.is_object())
}

/// A size as the JVM's options spell it: `2g`, `512m`, bytes without a unit.
fn heap(text: &str) -> Option<Decimal> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1_i64 << 40,
        _ => return None,
    };
    Decimal::parse(digits).ok()?.checked_mul(factor.into())
}

fn size(bytes: Decimal) -> String {
    Quantity::new(bytes, Dimension::Bytes).to_string()
}

fn request(subject: &Subject<'_>, jvm: &Jvm, request: Option<Known>, findings: &mut Vec<Finding>) {
    let (true, Some(initial), Some(request)) = (jvm.touches, jvm.initial, request) else { return };
    let Some(needs) = jvm.all(initial).filter(|needs| *needs > request.value) else { return };
    let sum = jvm.sum(initial, "", "what the JVM needs beside the heap", needs);
    let message =
        format!("touches all of the initial heap at start (AlwaysPreTouch): {sum}; there is {}", request.bytes());
    findings.push(subject.find(Code::JvmRequestTooSmall, jvm.paths.0.clone(), message));
}

fn limit(subject: &Subject<'_>, jvm: &Jvm, limit: Option<Known>, findings: &mut Vec<Finding>) {
    let (Some(most), Some(limit)) = (jvm.most, limit) else { return };
    let Some(needs) = jvm.all(most) else { return };
    let fits = if jvm.beside.is_some() { needs <= limit.value } else { needs < limit.value };
    if fits {
        return;
    }
    let sum = jvm.sum(most, " heap", "what the JVM needs beside it", needs);
    let message = format!("may use {sum}; there is {}", limit.bytes());
    findings.push(subject.find(Code::JvmLimitTooSmall, jvm.paths.1.clone(), message));
}
