//! Operations without limits, and limits of the wrong thing.

use serde_json::Value as Json;

use super::super::{Code, Finding, manifests::containers, subject::Subject};
use crate::core::{policy::Landing, units::Value};

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for (knob, value) in subject.values() {
        let Some(name) = knob.path.strip_prefix("settings.") else { continue };
        let lands = match &knob.landing {
            Landing::Env(name) | Landing::Arg(name) => name.to_ascii_uppercase(),
            _ => String::new(),
        };
        let all = format!("{} {lands}", name.to_ascii_uppercase().replace('-', "_"));
        // What the policy itself says to be nowhere is no mistake of it.
        let claims = !matches!(knob.landing, Landing::NotEnforceable(_));
        if claims && (all.contains("RLIMIT_AS") || all.contains("ADDRESS_SPACE")) {
            let message = format!(
                "is {}: RLIMIT_AS limits the address space, not resident memory, of which a runtime reserves far more than it uses",
                subject.told(&knob.path)
            );
            findings.push(subject.find(Code::AddressSpaceLimit, &*knob.path, message));
        }
        let is_limit = name.split('-').any(|word| word == "limit");
        if let Value::Integer(number @ (0 | -1)) = value
            && is_limit
        {
            let message = format!("is {number}, which to most libraries means no limit at all");
            findings.push(subject.find(Code::Unbounded, &*knob.path, message));
        }
    }
}

/// Probes of a workload.
pub(super) fn probes(document: usize, object: &Json, findings: &mut Vec<Finding>) {
    if !matches!(object["kind"].as_str(), Some("Deployment" | "StatefulSet" | "DaemonSet")) {
        return;
    }
    for (index, container) in containers(object).enumerate() {
        for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
            let seconds = |member: &str, default: i64| container.0[probe][member].as_i64().unwrap_or(default);
            let (timeout, period) = (seconds("timeoutSeconds", 1), seconds("periodSeconds", 10));
            if container.0[probe].is_object() && timeout > period {
                findings.push(Finding {
                    code: Code::ProbeTimeoutAbovePeriod,
                    document,
                    path: format!("spec.template.spec.containers[{index}].{probe}.timeoutSeconds"),
                    message: format!("is {timeout}, more than periodSeconds {period}"),
                });
            }
        }
    }
}
