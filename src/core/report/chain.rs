//! How the numbers of a policy follow from each other on one target: limits, workers, pools and what they add up to, heaps, caches.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::core::{
    allocate::Load,
    facts::Object,
    plan::Plan,
    policy::{Knob, Policy},
    resolve,
};

/// A number, where it comes from, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Path in the policy; for what only the pod template has, and for what pools add up to, words.
    pub path: String,
    /// The value, as it is written.
    pub value: String,
    /// Where it comes from: of a formula as written, then with numbers in the place of names, then what clipped it.
    pub source: String,
    /// What bounds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounds: Option<String>,
    /// Whether it is worked out.
    pub derived: bool,
    /// What follows from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<String>,
}

/// Every number that follows from another or that another follows from, each after those that it follows from; nothing where no
/// number does. `policy`: what it is on the target, profiles and rollback applied.
#[must_use]
pub fn chain(policy: &Policy, object: &Object, plan: &Plan) -> Vec<Link> {
    if !policy.knobs.iter().any(Knob::is_derived) {
        return Vec::new();
    }
    let settings: BTreeMap<&str, _> = plan.settings.iter().map(|setting| (&*setting.path, setting)).collect();
    let knobs: Vec<&Knob> = policy.in_order().filter(|knob| settings.contains_key(&*knob.path)).collect();
    let mut feeds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut feed = |from: String, to: &str| {
        let all = feeds.entry(from).or_default();
        if all.iter().all(|known| known != to) {
            all.push(to.to_owned());
        }
    };
    let mut links = Vec::new();
    for knob in &knobs {
        knob.inputs().for_each(|input| feed(input.to_owned(), &knob.path));
        for amount in knob.template_inputs() {
            let (path, value) = (amount.to_string(), resolve::template(object, amount));
            feed(path.clone(), &knob.path);
            if let Some(value) = value.filter(|_| !links.iter().any(|link: &Link| link.path == path)) {
                let (value, source) = (value.to_string(), "pod template".to_owned());
                links.push(Link { path, value, source, bounds: None, derived: false, feeds: Vec::new() });
            }
        }
    }
    let members: Vec<(&Load, Vec<String>)> = plan.loads.iter().map(|load| (load, members(load))).collect();
    for (load, paths) in &members {
        for path in paths {
            feed(path.clone(), &pool(load));
        }
    }
    for (position, knob) in knobs.iter().enumerate() {
        let Some(setting) = settings.get(&*knob.path) else { continue };
        if knob.is_derived() || feeds.contains_key(&*knob.path) {
            let bound = |name: &str, given: &Option<crate::core::policy::Given>| {
                given.as_ref().map(|given| format!("{name} {}", given.to_string().trim_start_matches("= ")))
            };
            let bounds: Vec<String> =
                [bound("min", &knob.min), bound("max", &knob.max)].into_iter().flatten().collect();
            links.push(Link {
                path: knob.path.to_string(),
                value: setting.desired.clone(),
                source: setting.source.clone(),
                bounds: (!bounds.is_empty()).then(|| bounds.join(", ")),
                derived: knob.is_derived(),
                feeds: Vec::new(),
            });
        }
        // A pool comes after the last number that it is made of.
        let is_last = |paths: &[String]| {
            let later = |path: &String| knobs.iter().skip(position + 1).any(|knob| *knob.path == **path);
            paths.iter().any(|path| **path == *knob.path) && !paths.iter().any(later)
        };
        links.extend(members.iter().filter(|(_, paths)| is_last(paths)).map(|(load, _)| of_pool(load)));
    }
    for link in &mut links {
        link.feeds.extend(feeds.remove(&link.path).unwrap_or_default());
    }
    links
}

fn pool(load: &Load) -> String {
    format!("pool {}", load.pool)
}

/// Paths of the numbers that a pool is made of.
fn members(load: &Load) -> Vec<String> {
    let of_pool = ["size", "overflow"].map(|member| format!("pools.{}.{member}", load.pool));
    let workers = load.workers.iter().map(|(worker, _)| format!("workers.{worker}.count"));
    of_pool.into_iter().chain(workers).collect()
}

/// What a pool adds up to in one pod.
fn of_pool(load: &Load) -> Link {
    let Load { size, overflow, .. } = load;
    let connections = if *overflow == 0 { size.to_string() } else { format!("({size} + {overflow})") };
    let source = match &load.workers {
        Some((worker, count)) => format!("{connections} connections × {count} {worker} processes per pod"),
        None => format!("{connections} connections per pod"),
    };
    Link {
        path: pool(load),
        value: load.per_pod().to_string(),
        source,
        bounds: None,
        derived: true,
        feeds: load.budget.iter().map(|budget| format!("budget {budget}")).collect(),
    }
}
