//! Mistakes that can be found in files, before a cluster sees them: the arithmetic that a policy contradicts itself by.
//!
//! Pure: documents in, findings out. A rule speaks only of what it knows; what follows from a target that was not given, or from
//! a default of somebody else's program, is left out or named in the message. Where in a file a finding is, and whether a
//! comment allows it, is the command line's business.

mod calls;
pub mod code;
mod manifests;
mod rules;
mod schema;
mod subject;

use std::collections::BTreeSet;

use serde_json::Value as Json;

pub use self::code::{Code, Severity};
use self::{manifests::Manifests, subject::Subject};
use crate::api::names;

/// Something that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind it is.
    pub code: Code,
    /// Position of the document, in what was given.
    pub document: usize,
    /// Path: in a policy below `spec`, such as `pools.db.size`, elsewhere in the object. Empty: the object itself.
    pub path: String,
    /// What is wrong, with the numbers, continuing the path.
    pub message: String,
}

/// Finds what is wrong with `documents`: policies, and manifests of whatever stands beside them. Kinds that nobody here knows
/// are passed over. Findings come in the order of documents, then of codes.
#[must_use]
pub fn check(documents: &[&Json]) -> Vec<Finding> {
    let manifests = Manifests::new(documents);
    let schemas = schema::Schemas::shared();
    let mut findings = Vec::new();
    let mut subjects = Vec::new();
    for (document, value) in documents.iter().enumerate() {
        if is_ours(value) && !schemas.check(document, value, &mut findings) {
            continue;
        }
        if is_policy(value) {
            match Subject::new(document, value, &manifests) {
                Ok(subject) => {
                    rules::policy(&subject, &mut findings);
                    subjects.push(subject);
                }
                Err(finding) => findings.push(finding),
            }
        }
        rules::manifest(document, value, &mut findings);
    }
    rules::together(documents, &subjects, &mut findings);
    // What the operator would refuse is told once, by the rule that knows more.
    let known: BTreeSet<(usize, String)> = findings
        .iter()
        .filter(|finding| !finding.code.is_refusal() && finding.code.severity() == Severity::Error)
        .map(|finding| (finding.document, finding.path.clone()))
        .collect();
    findings.retain(|finding| !finding.code.is_refusal() || !known.contains(&(finding.document, finding.path.clone())));
    findings.sort_by_key(|finding| (finding.document, finding.code));
    let mut seen = BTreeSet::new();
    findings.retain(|finding| seen.insert((finding.document, finding.code, finding.path.clone())));
    findings
}

/// Whether a document is of one of our kinds.
#[must_use]
pub fn is_ours(value: &Json) -> bool {
    let group = value["apiVersion"].as_str().and_then(|version| version.split_once('/')).map(|(group, _)| group);
    group == Some(names::GROUP)
}

/// Whether a document is a policy.
#[must_use]
pub fn is_policy(value: &Json) -> bool {
    is_ours(value) && value["kind"] == "PerformancePolicy"
}

#[cfg(test)]
mod tests;
