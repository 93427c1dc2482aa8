//! A policy as rules see it: its numbers, worked out as far as files tell, and the objects beside it.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{
    Code, Finding,
    manifests::{Container, Manifests, containers, namespace},
};
use crate::{
    api::{PerformancePolicy, policy::WorkerUnit},
    core::{
        policy::{Amount, Given, Invalid, Knob, Landing, Policy, Trouble, Worked, derivation},
        units::{Decimal, Dimension, Quantity, Value, ValueType},
    },
};

/// A policy, and what is known of what it is about.
pub(super) struct Subject<'a> {
    pub document: usize,
    /// The spec as written, for words that need no parsing.
    pub spec: &'a Json,
    pub policy: Policy,
    /// What the operator would refuse.
    pub refused: Vec<Invalid>,
    pub manifests: &'a Manifests<'a>,
    pub namespace: &'a str,
    /// The workload's manifest, if it was given.
    pub workload: Option<&'a Json>,
    worked: Vec<Result<Worked, Trouble>>,
    by_path: BTreeMap<Box<str>, usize>,
}

/// A number with where it comes from, for messages.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub value: Decimal,
    /// What it is: `limits.memory`.
    pub what: String,
    /// Whose it is, and who says so: `of container "api"`.
    pub whose: String,
}

impl<'a> Subject<'a> {
    pub fn new(document: usize, value: &'a Json, manifests: &'a Manifests<'a>) -> Result<Self, Finding> {
        let policy: PerformancePolicy = serde_json::from_value(value.clone()).map_err(|error| Finding {
            code: Code::Unreadable,
            document,
            path: String::new(),
            message: format!("cannot be read: {error}"),
        })?;
        let (policy, mut refused) = Policy::examine(&policy);
        let namespace = namespace(value);
        let kind = value["spec"]["target"]["kind"].as_str().unwrap_or_default();
        let workload = manifests.target(kind, &policy, namespace);
        let worked = policy.work_out(|_| None, |amount| workload.and_then(|workload| template(workload, amount)));
        // What follows from the manifest has been wrong with nothing yet.
        for invalid in policy.check_values(&worked) {
            if !refused.contains(&invalid) {
                refused.push(invalid);
            }
        }
        let by_path = policy.knobs.iter().enumerate().map(|(index, knob)| (knob.path.clone(), index)).collect();
        let spec = &value["spec"];
        Ok(Self { document, spec, policy, refused, manifests, namespace, workload, worked, by_path })
    }

    pub fn find(&self, code: Code, path: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { code, document: self.document, path: path.into(), message: message.into() }
    }

    /// What the spec says at a path, as written.
    pub fn raw(&self, path: &str) -> Option<&'a Json> {
        path.split('.').try_fold(self.spec, |node, step| match node {
            Json::Array(items) => items.iter().find(|item| item["name"] == step || item["container"] == step),
            node => node.get(step),
        })
    }

    pub fn knob(&self, path: &str) -> Option<&Knob> {
        self.policy.knobs.get(*self.by_path.get(path)?)
    }

    /// Knobs with their values, where these are known.
    pub fn values(&self) -> impl Iterator<Item = (&Knob, &Value)> {
        let both = self.policy.knobs.iter().zip(&self.worked);
        both.filter_map(|(knob, worked)| Some((knob, &worked.as_ref().ok()?.value)))
    }

    pub fn value(&self, path: &str) -> Option<&Value> {
        self.worked.get(*self.by_path.get(path)?)?.as_ref().ok().map(|worked| &worked.value)
    }

    /// The lower bound of a value.
    pub fn min(&self, path: &str) -> Option<&Value> {
        self.worked.get(*self.by_path.get(path)?)?.as_ref().ok()?.min.as_ref()
    }

    pub fn amount(&self, path: &str) -> Option<Decimal> {
        self.value(path)?.amount()
    }

    /// The value for a message, with the formula that it comes from.
    pub fn told(&self, path: &str) -> String {
        let Some((knob, Ok(worked))) =
            self.by_path.get(path).and_then(|index| Some((self.policy.knobs.get(*index)?, self.worked.get(*index)?)))
        else {
            return "unknown".to_owned();
        };
        match &worked.filled {
            Some(filled) => format!("{} ({})", worked.value, derivation(&knob.value.to_string(), filled)),
            None => worked.value.to_string(),
        }
    }

    /// Whether a knob lands somewhere, or something that lands follows from it.
    pub fn is_carried(&self, path: &str) -> bool {
        let not_enforceable = |knob: &Knob| matches!(knob.landing, Landing::NotEnforceable(_));
        self.knob(path).is_some_and(not_enforceable) || self.policy.is_carried(path)
    }

    /// The container that a knob is for; `None`: the only one.
    pub fn container_of<'k>(&'k self, knob: &'k Knob) -> Option<&'k str> {
        knob.container.as_deref().or_else(|| self.policy.target.as_ref()?.container.as_deref())
    }

    /// The manifest of a container.
    pub fn container(&self, name: Option<&str>) -> Option<Container<'a>> {
        let mut all = containers(self.workload?);
        match name {
            Some(name) => all.find(|container| container.name() == name),
            None => all.next().filter(|_| all.next().is_none()),
        }
    }

    /// A request or a limit: the policy's, else the manifest's.
    pub fn resource(&self, container: Option<&str>, bucket: &'static str, resource: &'static str) -> Option<Known> {
        let mut governed = self.values().filter(|(knob, _)| {
            matches!(knob.landing, Landing::Resource { bucket: b, resource: r } if b == bucket && r == resource)
                && container.is_none_or(|name| knob.container.as_deref() == Some(name))
        });
        let (first, second) = (governed.next(), governed.next());
        if let (Some((knob, value)), None) = (first, second) {
            let container = knob.container.as_deref().unwrap_or_default();
            let whose = format!("of container \"{container}\"");
            return Some(Known { value: value.amount()?, what: format!("{bucket}.{resource}"), whose });
        }
        if second.is_some() {
            return None;
        }
        let amount = Amount { container: container.map(Into::into), bucket, resource };
        let value = template(self.workload?, &amount)?.amount()?;
        let whose = container
            .map_or_else(|| "in the manifest".to_owned(), |name| format!("of container \"{name}\" in the manifest"));
        Some(Known { value, what: format!("{bucket}.{resource}"), whose })
    }

    /// How many processes a group has.
    pub fn processes(&self, group: &str) -> Option<i64> {
        let workers = self.policy.spec.workers.iter().find(|workers| workers.name == group)?;
        if workers.unit.unwrap_or_default() != WorkerUnit::Process {
            return None;
        }
        self.value(&format!("workers.{group}.count"))?.to_i64()
    }
}

impl Known {
    /// With its number of bytes: `limits.memory 2Gi of container "api"`.
    pub fn bytes(&self) -> String {
        format!("{} {} {}", self.what, Quantity::new(self.value, Dimension::Bytes), self.whose)
    }

    /// With its number of cores.
    pub fn cores(&self) -> String {
        format!("{} {} {}", self.what, self.value, self.whose)
    }
}

/// A request or a limit of a pod template.
fn template(workload: &Json, amount: &Amount) -> Option<Value> {
    let Amount { container, bucket, resource } = amount;
    let mut all = containers(workload);
    let found = match container {
        Some(name) => all.find(|container| container.name() == &**name)?,
        None => all.next().filter(|_| all.next().is_none())?,
    };
    let text = match &found.0["resources"][*bucket][*resource] {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => return None,
    };
    if amount.value_type() == ValueType::Cpu { Value::parse(ValueType::Cpu, &text) } else { Value::parse_memory(&text) }
        .ok()
}

/// The formula of a knob, as written.
pub(super) fn formula(knob: &Knob) -> Option<String> {
    matches!(knob.value, Given::Formula(_)).then(|| knob.value.to_string())
}

/// Mebibytes or gibibytes with three digits.
pub(super) fn about(bytes: f64) -> String {
    const MI: f64 = 1_048_576.0;
    let (number, unit) = if bytes >= 1024.0 * MI { (bytes / (1024.0 * MI), "Gi") } else { (bytes / MI, "Mi") };
    format!("{number:.1}{unit}")
}

/// A time that people can picture.
pub(super) fn about_time(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.1} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

/// Digits in groups of three.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
