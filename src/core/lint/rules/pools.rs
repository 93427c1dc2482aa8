//! Connection pools.

use super::super::{Code, Finding, subject::Subject};
use crate::core::{
    policy::Threshold,
    units::{BaseUnit, Decimal, Dimension, Quantity},
};

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for pool in &subject.policy.pools {
        let at = |member: &str| format!("pools.{}.{member}", pool.name);
        wait(subject, &at("acquireTimeout"), findings);
        idle(subject, &at("idleTimeout"), &at("maxLifetime"), findings);
    }
}

/// Longest bound of a latency that is taken for one of requests: where the standard buckets of OpenTelemetry end. Longer is a
/// job, which may well wait for a connection.
const LONGEST_REQUEST: Decimal = Decimal::from_int(10);

/// A request must not wait for a connection longer than it may take in total. Compared with the most patient of the policy's
/// latency targets, because nothing tells which of them uses the pool.
fn wait(subject: &Subject<'_>, path: &str, findings: &mut Vec<Finding>) {
    let Some(wait) = subject.amount(path) else { return };
    if wait == Decimal::ZERO {
        let message =
            "is 0: in most pools that is no timeout, and requests queue for ever when the database does not answer";
        findings.push(subject.find(Code::PoolWaitsForEver, path, message));
        return;
    }
    let patient = latencies(subject).filter(|(_, bound)| *bound <= LONGEST_REQUEST).max_by_key(|(_, bound)| *bound);
    if let Some((threshold, bound)) = patient.filter(|(_, bound)| wait > *bound)
        && let Some(times) = wait.checked_div(bound)
    {
        // 1.3 times, and 150 times.
        let places = usize::from(times < Decimal::from_int(10));
        let message = format!(
            "is {}, {:.places$} times the {} that {} allows at most: an exhausted pool shows as slow requests, not as errors",
            subject.told(path),
            times.as_f64(),
            Quantity::new(bound, Dimension::Duration),
            threshold.name
        );
        findings.push(subject.find(Code::PoolWaitHides, path, message));
    }
}

/// Latency targets of requests, with the bound of their worst level.
pub(super) fn latencies<'s>(subject: &'s Subject<'_>) -> impl Iterator<Item = (&'s Threshold, Decimal)> {
    subject.policy.thresholds.iter().filter_map(|threshold| {
        let wire = subject.policy.spec.thresholds.iter().find(|wire| wire.name == *threshold.name)?;
        let statistic = wire.metric.statistic.as_deref()?;
        let is_latency = threshold.unit.base() == BaseUnit::Seconds
            && wire.metric.histogram.is_some()
            && (statistic == "mean" || statistic.starts_with('p'));
        let bound = threshold.levels.iter().filter_map(|level| level.above).map(|limit| limit.bound.value()).max()?;
        is_latency.then_some((threshold, bound))
    })
}

fn idle(subject: &Subject<'_>, idle: &str, lifetime: &str, findings: &mut Vec<Finding>) {
    if let (Some(after), Some(life)) = (subject.amount(idle), subject.amount(lifetime))
        && after > Decimal::ZERO
        && life > Decimal::ZERO
        && after >= life
    {
        let message = format!(
            "is {}, and a connection is replaced after maxLifetime {}: it never gets idle for that long",
            subject.told(idle),
            subject.told(lifetime)
        );
        findings.push(subject.find(Code::IdleNeverReached, idle, message));
    }
}
