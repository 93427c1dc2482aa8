//! Readbacks that would be compared in another unit than the application counts in.

use super::super::{Code, Finding, subject::Subject};
use crate::{api::policy::ValueFormat, core::policy::readback::unit_of_name};

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for knob in &subject.policy.knobs {
        let Some(effective) = subject.raw(&knob.path).map(|knob| &knob["effective"]) else { continue };
        let Some(gauge) = effective["gauge"].as_str() else { continue };
        // Who is told a part of a unit, and does not say what it tells, probably tells that part.
        let (written, taken) = match knob.format {
            Some(ValueFormat::Milliseconds) => ("milliseconds", "seconds"),
            Some(ValueFormat::Mebibytes) => ("mebibytes", "bytes"),
            _ => continue,
        };
        if effective["unit"].is_null() && unit_of_name(gauge).is_none() {
            let message = format!(
                "is {gauge}, whose name has no unit: it is taken for {taken}, and the value is written in {written}"
            );
            findings.push(subject.find(Code::ReadbackUnitUnclear, format!("{}.effective.gauge", knob.path), message));
        }
    }
}
