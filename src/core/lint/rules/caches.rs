//! Caches.

use serde_json::Value as Json;

use super::super::{Code, Finding, subject::Subject};
use crate::{
    api::policy::CacheTier,
    core::units::{Decimal, Dimension, Quantity},
};

const MEMBERS: [&str; 3] = ["ttl", "maxEntries", "maxBytes"];

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for cache in &subject.policy.spec.caches {
        carried(subject, &cache.name, findings);
    }
    tiers(subject, findings);
    memory(subject, findings);
}

/// Caches inside of processes, times the processes of the one group that there is.
fn memory(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let inside = subject.policy.spec.caches.iter().filter(|cache| cache.tier == Some(CacheTier::InProcess));
    let sized = inside.filter_map(|cache| {
        let path = format!("caches.{}.maxBytes", cache.name);
        Some((subject.amount(&path)?, subject.knob(&path)?))
    });
    let sized: Vec<_> = sized.collect();
    let Some((_, last)) = sized.last() else { return };
    let container = subject.container_of(last);
    let all = sized.iter().try_fold(Decimal::ZERO, |sum, (bytes, _)| sum.checked_add(*bytes));
    let mut groups = subject.policy.spec.workers.iter().filter_map(|group| subject.processes(&group.name));
    let processes = groups.next().filter(|_| groups.next().is_none()).unwrap_or(1);
    let (Some(all), Some(limit)) = (all, subject.resource(container, "limits", "memory")) else { return };
    if let Some(total) = all.checked_mul(processes.into()).filter(|total| *total > limit.value) {
        let size = |bytes| Quantity::new(bytes, Dimension::Bytes);
        let message = format!(
            "makes {} of caches in each of {processes} processes, {} in all; there is {}",
            size(all),
            size(total),
            limit.bytes()
        );
        findings.push(subject.find(Code::CachesExceedMemory, &*last.path, message));
    }
}

/// The cache's own words.
fn raw<'a>(subject: &Subject<'a>, name: &str) -> &'a Json {
    static NOTHING: Json = Json::Null;
    let caches = subject.spec["caches"].as_array();
    caches.and_then(|caches| caches.iter().find(|cache| cache["name"] == name)).unwrap_or(&NOTHING)
}

/// A number that lands nowhere, and that nothing proves, is a wish.
fn carried(subject: &Subject<'_>, name: &str, findings: &mut Vec<Finding>) {
    let at = |member: &str| format!("caches.{name}.{member}");
    let is_proven = |member: &&str| !raw(subject, name)[member]["effective"].is_null();
    if MEMBERS.iter().any(|member| subject.is_carried(&at(member)) || is_proven(member)) {
        return;
    }
    let said: Vec<String> = MEMBERS
        .iter()
        .filter(|member| subject.value(&at(member)).is_some())
        .map(|member| format!("{member} {}", subject.told(&at(member))))
        .collect();
    let message = if said.is_empty() {
        "is a name only: it has neither ttl nor maxEntries nor maxBytes".to_owned()
    } else {
        format!(
            "lands nowhere: {} is read by nobody, and nothing shows that the application has this cache",
            said.join(", ")
        )
    };
    findings.push(subject.find(Code::CacheNotCarried, format!("caches.{name}"), message));
}

/// How far a cache is from the code that asks it: by its tier, or by a name that begins with a level, such as `l2-redis`.
fn distance(subject: &Subject<'_>, name: &str) -> Option<(u32, String)> {
    match raw(subject, name)["tier"].as_str() {
        Some(tier @ "InProcess") => Some((1, tier.to_owned())),
        Some(tier @ "Shared") => Some((2, tier.to_owned())),
        Some(tier @ "Disk") => Some((3, tier.to_owned())),
        _ => {
            let level = name.strip_prefix('l')?.split('-').next()?;
            let number = level.parse().ok().filter(|number| (1..=9).contains(number))?;
            Some((number, format!("level {number}")))
        }
    }
}

fn tiers(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let mut levels: Vec<(u32, String, &str, Decimal)> = Vec::new();
    for cache in &subject.policy.spec.caches {
        if let (Some((distance, tier)), Some(ttl)) =
            (distance(subject, &cache.name), subject.amount(&format!("caches.{}.ttl", cache.name)))
        {
            levels.push((distance, tier, &cache.name, ttl));
        }
    }
    // Which cache of a tier is in front of which is not known, unless there is one of each.
    levels.sort_by_key(|(distance, ..)| *distance);
    if levels.array_windows().any(|[a, b]| a.0 == b.0) {
        return;
    }
    for [(_, inner_tier, inner, short), (_, outer_tier, outer, long)] in levels.array_windows() {
        if long < short {
            let message = format!(
                "is {} ({outer_tier}), less than the {} of {inner} ({inner_tier}) in front of it",
                subject.told(&format!("caches.{outer}.ttl")),
                subject.told(&format!("caches.{inner}.ttl"))
            );
            findings.push(subject.find(Code::CacheTiersDecrease, format!("caches.{outer}.ttl"), message));
        }
    }
}
