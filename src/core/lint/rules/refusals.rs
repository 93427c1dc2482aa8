//! What the operator would refuse, by families of reasons.

use super::super::{Code, Finding, subject::Subject};
use crate::{
    api::conditions::Reason,
    core::{
        policy::Invalid,
        resolve::{Rules, admit},
    },
};

pub(super) fn check(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for invalid in &subject.refused {
        findings.push(subject.find(code(subject, invalid), invalid.path.clone(), invalid.message.clone()));
    }
    // Classes are the cluster's; what no class can allow is known here.
    for invalid in admit(&subject.policy, &Rules::built_in()).err().into_iter().flatten() {
        if invalid.reason == Reason::EnvironmentNameForbidden {
            findings.push(subject.find(Code::Forbidden, invalid.path.clone(), invalid.message));
        }
    }
}

fn code(subject: &Subject<'_>, invalid: &Invalid) -> Code {
    match invalid.reason {
        Reason::InvalidSpec if is_formula(subject, &invalid.path) => Code::FormulaMistake,
        Reason::InvalidSpec => Code::InvalidSpec,
        Reason::BoundsInverted => Code::BoundsInverted,
        Reason::FormulaFailed => Code::FormulaFailed,
        Reason::EnvironmentNameForbidden | Reason::ClassForbids => Code::Forbidden,
        _ => Code::Refused,
    }
}

/// Whether a formula stands at a path of the spec; whatever is wrong there is wrong with the formula.
fn is_formula(subject: &Subject<'_>, path: &str) -> bool {
    let Some(node) = subject.raw(path) else { return false };
    let node = node.get("value").unwrap_or(node);
    node.as_str().is_some_and(|text| text.starts_with('='))
}
