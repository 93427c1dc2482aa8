//! Errors of the API server by what has to happen next.

use kube::core::Status;

use crate::core::engine::{Failure, Outcome};

/// Words by which the API server says that the uid in a request is not that of the object.
const FOREIGN_UID: [&str; 2] = ["uid mismatch", "UID in precondition"];
/// Words by which it says that the `test` of a JSON patch failed.
const FAILED_TEST: &str = "testing value";
/// `reason` of each cause of an apply conflict.
const MANAGER_CONFLICT: &str = "FieldManagerConflict";

/// How a request ended that failed with `error`. `what` was being done.
pub fn outcome(what: &str, error: &kube::Error) -> Outcome {
    match error {
        kube::Error::Api(status) => of_status(what, status),
        other => Outcome::Failed(Failure::Unknown(format!("{what}: {}", describe(other)))),
    }
}

fn of_status(what: &str, status: &Status) -> Outcome {
    let message = || format!("{what}: {} ({})", status.message, status.code);
    Outcome::Failed(match status.code {
        404 => return Outcome::NotFound,
        409 | 422 if FOREIGN_UID.iter().any(|words| status.message.contains(words)) => Failure::Replaced,
        409 => {
            let conflicts = conflicts(status);
            if conflicts.is_empty() { Failure::Stale } else { Failure::Conflict(conflicts) }
        }
        422 if status.message.contains(FAILED_TEST) => Failure::Stale,
        403 => Failure::Forbidden(message()),
        429 => Failure::Throttled(message()),
        503 if retry_after(status) > 0 => Failure::Throttled(message()),
        // The credential may just be replaced: nothing was executed, and the next attempt may pass.
        401 | 408 => Failure::Unknown(message()),
        400..=499 => Failure::Rejected(message()),
        _ => Failure::Unknown(message()),
    })
}

fn retry_after(status: &Status) -> u32 {
    status.details.as_ref().map_or(0, |details| details.retry_after_seconds)
}

/// Manager and field of each conflict.
fn conflicts(status: &Status) -> Vec<(String, String)> {
    let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
    causes
        .iter()
        .filter(|cause| cause.reason == MANAGER_CONFLICT)
        .map(|cause| (manager(&cause.message).to_owned(), cause.field.clone()))
        .collect()
}

/// The manager in `conflict with "NAME" using apps/v1 at TIME` or `conflict with "NAME" with subresource "scale" …`.
fn manager(message: &str) -> &str {
    message.split('"').nth(1).unwrap_or(message)
}

/// An error of the client in words. (Its own include the whole reply of the server, some of it twice.)
#[must_use]
pub fn describe(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return format!("{} ({})", status.message, status.code);
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}
