//! The rules, one file per thing that they are about. A rule adds what it finds to a list, with the arithmetic.

mod budgets;
mod caches;
mod jvm;
mod limits;
mod load;
mod node;
mod pools;
mod postgres;
mod queries;
mod readbacks;
mod refusals;
mod reports;
mod stream;
mod thresholds;
mod workers;

use serde_json::Value as Json;

use super::{Finding, subject::Subject};

/// Runs every rule about a policy.
pub(super) fn policy(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    refusals::check(subject, findings); // what the operator would refuse
    pools::check(subject, findings); // waits, idle and lifetime
    caches::check(subject, findings); // carriers, tiers
    workers::check(subject, findings); // cores and processes
    jvm::check(subject, findings); // heap against request and limit
    node::check(subject, findings); // heap × processes against the limit
    postgres::check(subject, findings); // the memory of a database
    stream::check(subject, findings); // which limit of a stream is hit first
    thresholds::check(subject, findings); // bounds that never speak, or too late
    load::check(subject, findings); // Little's law
    queries::check(subject, findings); // PromQL of the policy's own
    readbacks::check(subject, findings); // units of what is read back
    reports::check(subject, findings); // words against numbers
    limits::check(subject, findings); // operations without limits
}

/// Runs every rule about several policies together.
pub(super) fn together(documents: &[&Json], subjects: &[Subject<'_>], findings: &mut Vec<Finding>) {
    budgets::check(documents, subjects, findings); // connections of all pools
}

/// Runs every rule about other objects.
pub(super) fn manifest(document: usize, object: &Json, findings: &mut Vec<Finding>) {
    stream::manifest(document, object, findings);
    queries::manifest(document, object, findings);
    limits::probes(document, object, findings);
}
