//! The memory of a PostgreSQL server, by the formulas of its documentation and of pgtune.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::super::{
    Code, Finding,
    subject::{Known, Subject, about},
};
use crate::core::{
    policy::{Knob, Landing},
    units::{Decimal, ValueType},
};

/// What PostgreSQL takes when nobody says anything.
const MAX_CONNECTIONS: f64 = 100.0;
const MAX_WORKER_PROCESSES: f64 = 8.0;
/// Parameters that count bytes, with the bytes of one when there is no unit.
const SIZES: [(&str, f64); 4] = [
    ("shared_buffers", 8192.0),
    ("effective_cache_size", 8192.0),
    ("work_mem", 1024.0),
    ("maintenance_work_mem", 1024.0),
];
const COUNTS: [&str; 2] = ["max_connections", "max_worker_processes"];

/// Parameters of one server, in bytes and counts, each with the path of who says it.
#[derive(Default)]
struct Server {
    said: BTreeMap<&'static str, (f64, String)>,
    memory: Option<Known>,
}

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let server = server(subject);
    let memory = match (&server.memory, server.said.get("effective_cache_size")) {
        (Some(known), _) => Some((known.value.as_f64(), known.bytes())),
        // Three quarters is what everybody's calculator makes of it.
        (None, Some((size, _))) => Some((
            size / 0.75,
            format!("{}, of which effective_cache_size {} is 75 %", about(size / 0.75), about(*size)),
        )),
        (None, None) => None,
    };
    let Some((memory, from)) = memory else { return };
    work_mem(subject, &server, memory, &from, findings);
    if let Some((buffers, path)) = server.said.get("shared_buffers").filter(|(size, _)| *size > 0.4 * memory) {
        let message = format!(
            "is {}, {:.0} % of the memory ({from}): more than 40 % takes it from the cache that PostgreSQL relies on",
            about(*buffers),
            100.0 * buffers / memory
        );
        findings.push(subject.find(Code::SharedBuffersTooLarge, path.clone(), message));
    }
    if let Some((size, path)) = server.said.get("effective_cache_size").filter(|(size, _)| *size > memory) {
        let message = format!("is {}, more than the memory ({from})", about(*size));
        findings.push(subject.find(Code::CacheLargerThanMemory, path.clone(), message));
    }
}

fn work_mem(subject: &Subject<'_>, server: &Server, memory: f64, from: &str, findings: &mut Vec<Finding>) {
    let Some((work_mem, path)) = server.said.get("work_mem") else { return };
    let number = |name: &str| server.said.get(name).map(|(number, _)| *number);
    let buffers = number("shared_buffers").unwrap_or(134_217_728.0);
    let connections = number("max_connections");
    let all = connections.unwrap_or(MAX_CONNECTIONS) + number("max_worker_processes").unwrap_or(MAX_WORKER_PROCESSES);
    let allowed = (memory - buffers) / (all * 3.0);
    if *work_mem <= allowed || allowed <= 0.0 {
        return;
    }
    let bears = ((memory - buffers) / (3.0 * work_mem) - (all - connections.unwrap_or(MAX_CONNECTIONS))).floor();
    let said = if connections.is_some() { "" } else { ", PostgreSQL's default," };
    let message = format!(
        "is {}, but (memory − shared_buffers) / ((max_connections + max_worker_processes) × 3) = ({} − {}) / (({:.0} + {:.0}) × 3) \
         = {} for {:.0} connections{said} and {from}; it bears {} connections",
        about(*work_mem),
        about(memory),
        about(buffers),
        connections.unwrap_or(MAX_CONNECTIONS),
        all - connections.unwrap_or(MAX_CONNECTIONS),
        about(allowed),
        connections.unwrap_or(MAX_CONNECTIONS),
        bears.max(0.0)
    );
    findings.push(subject.find(Code::WorkMemTooLarge, path.clone(), message));
}

fn server(subject: &Subject<'_>) -> Server {
    let mut server = Server::default();
    let target = &subject.spec["target"];
    // A CloudNativePG cluster says most itself.
    if target["kind"] == "Cluster"
        && let Some(cluster) = subject
            .policy
            .target
            .as_ref()
            .and_then(|_| subject.manifests.target("Cluster", &subject.policy, subject.namespace))
    {
        let parameters = cluster["spec"]["postgresql"]["parameters"].as_object().into_iter().flatten();
        for (name, value) in parameters {
            server.say(name, &text(value), "target");
        }
        let limit = cluster["spec"]["resources"]["limits"]["memory"].as_str();
        let limit = limit.and_then(|text| crate::core::units::Value::parse_memory(text).ok());
        server.memory = limit.and_then(|value| value.amount()).map(|value| Known {
            value,
            what: "limits.memory".to_owned(),
            whose: "of the Cluster".to_owned(),
        });
    }
    let mut container = None;
    for (knob, value) in subject.values() {
        let Some(name) = place(subject, knob) else { continue };
        let Some(name) = known(&name) else { continue };
        let number = match value.value_type() {
            ValueType::Bytes | ValueType::Integer | ValueType::Number => value.amount().map(Decimal::as_f64),
            _ => None,
        };
        if let Some(number) = number {
            // A bare number counts what the parameter counts in.
            let unit = SIZES.iter().find(|(size, _)| *size == name).map_or(1.0, |(_, unit)| *unit);
            let unit = if value.value_type() == ValueType::Bytes { 1.0 } else { unit };
            server.said.insert(name, (number * unit, knob.path.to_string()));
            container = container.or_else(|| subject.container_of(knob));
        }
    }
    if server.memory.is_none() && !server.said.is_empty() {
        server.memory = subject.resource(container, "limits", "memory");
    }
    server
}

/// The name of what a knob sets in a configuration: the last step of its place, or the setting's own name.
pub(super) fn place(subject: &Subject<'_>, knob: &Knob) -> Option<String> {
    let field = subject.raw(&knob.path).and_then(|knob| knob["field"].as_str());
    match (&knob.landing, field) {
        (_, Some(field)) => field.rsplit('.').next().map(ToOwned::to_owned),
        (Landing::Document { at, .. }, _) => at.keys().last().cloned(),
        (Landing::Env(name), _) => Some(name.to_ascii_lowercase().trim_start_matches("postgres_").to_owned()),
        _ => knob.path.strip_prefix("settings.").map(|name| name.replace('-', "_")),
    }
}

fn known(name: &str) -> Option<&'static str> {
    let names = SIZES.iter().map(|(name, _)| *name).chain(COUNTS);
    names.into_iter().find(|known| known.eq_ignore_ascii_case(name))
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

impl Server {
    /// A parameter as PostgreSQL spells it: `32MB`, `4096`.
    fn say(&mut self, name: &str, value: &str, path: &str) {
        let Some(name) = known(name) else { return };
        let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let Ok(number) = Decimal::parse(digits.trim()) else { return };
        let bare = SIZES.iter().find(|(size, _)| *size == name).map_or(1.0, |(_, unit)| *unit);
        let unit = match value.get(digits.len()..) {
            Some("B") => 1.0,
            Some("kB") => 1024.0,
            Some("MB") => 1024.0 * 1024.0,
            Some("GB") => 1024.0 * 1024.0 * 1024.0,
            Some("TB") => 1024.0 * 1024.0 * 1024.0 * 1024.0,
            Some("") => bare,
            _ => return,
        };
        self.said.insert(name, (number.as_f64() * unit, path.to_owned()));
    }
}
