//! Errors of the API server by what has to happen next.

use kube::core::{Status, response::StatusCause};

use crate::core::engine::{Failure, Outcome};

/// How the API server ends its refusal of an apply with the uid of an object that is gone. (Without a uid, it would have
/// created one.)
const GONE: &str = "no existing object was found";
/// The field of the cause when the uid in an apply is not that of the object.
const UID: &str = "metadata.uid";
/// All that the API server says when a JSON patch does not fit. It looks at that before the resource version, so what is
/// not there any more (an annotation that somebody removed) is found out before the view is found to be old.
const DOES_NOT_FIT: &str = "the server rejected our request due to an error in our request";
/// How it begins its refusal of an apply that does not fit the schema, with the code of an internal error.
const NOT_OF_THIS_SCHEMA: &str = "failed to create typed patch object";
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
        409 if status.message.ends_with(GONE) => return Outcome::NotFound,
        409 => {
            let conflicts = conflicts(status);
            if conflicts.is_empty() { Failure::Stale } else { Failure::Conflict(conflicts) }
        }
        422 if causes(status).iter().any(|cause| cause.field == UID) => Failure::Replaced,
        422 if status.message == DOES_NOT_FIT => Failure::Stale,
        403 => Failure::Forbidden(message()),
        429 => Failure::Throttled(message()),
        503 if retry_after(status) > 0 => Failure::Throttled(message()),
        // The credential may just be replaced: nothing was executed, and the next attempt may pass.
        401 | 408 => Failure::Unknown(message()),
        400..=499 => Failure::Rejected(message()),
        500 if status.message.starts_with(NOT_OF_THIS_SCHEMA) => Failure::Rejected(message()),
        _ => Failure::Unknown(message()),
    })
}

fn retry_after(status: &Status) -> u32 {
    status.details.as_ref().map_or(0, |details| details.retry_after_seconds)
}

fn causes(status: &Status) -> &[StatusCause] {
    status.details.as_ref().map_or(&[], |details| &details.causes)
}

/// Manager and field of each conflict.
fn conflicts(status: &Status) -> Vec<(String, String)> {
    causes(status)
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

#[cfg(test)]
mod tests {
    use super::*;

    const WHAT: &str = "patching Deployment \"shop/web\"";

    /// `status` is what a Kubernetes 1.37 API server sent.
    #[track_caller]
    fn check(status: &str, want: &Outcome) {
        let status: Status = serde_json::from_str(status).unwrap();
        let outcome = outcome(WHAT, &kube::Error::Api(Box::new(status)));
        assert_eq!(format!("{outcome:?}"), format!("{want:?}"));
    }

    #[test]
    fn an_apply_conflict_names_managers_and_fields() {
        let status = r#"{"status":"Failure","message":"Apply failed with 2 conflicts: conflicts with \"kubectl-create\" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name=\"api\"].env[name=\"X\"].value",
            "reason":"Conflict","details":{"causes":[
            {"reason":"FieldManagerConflict","message":"conflict with \"kubectl-create\" using apps/v1","field":".spec.replicas"},
            {"reason":"FieldManagerConflict","message":"conflict with \"kubectl\" with subresource \"scale\" using apps/v1","field":".spec.template.spec.containers[name=\"api\"].env[name=\"X\"].value"}]},"code":409}"#;
        let conflicts = vec![
            ("kubectl-create".to_owned(), ".spec.replicas".to_owned()),
            ("kubectl".to_owned(), r#".spec.template.spec.containers[name="api"].env[name="X"].value"#.to_owned()),
        ];
        check(status, &Outcome::Failed(Failure::Conflict(conflicts)));
    }

    #[test]
    fn an_old_view_is_stale() {
        let resource_version = r#"{"status":"Failure","message":"Operation cannot be fulfilled on deployments.apps \"web\": the object has been modified; please apply your changes to the latest version and try again",
            "reason":"Conflict","details":{"name":"web","group":"apps","kind":"deployments"},"code":409}"#;
        check(resource_version, &Outcome::Failed(Failure::Stale));
        let json_patch = r#"{"status":"Failure","message":"the server rejected our request due to an error in our request","reason":"Invalid","details":{},"code":422}"#;
        check(json_patch, &Outcome::Failed(Failure::Stale));
    }

    #[test]
    fn another_object_of_the_same_name_is_not_ours() {
        let replaced = r#"{"status":"Failure","message":"Deployment.apps \"web\" is invalid: metadata.uid: Invalid value: \"0c9b\": field is immutable",
            "reason":"Invalid","details":{"name":"web","group":"apps","kind":"Deployment","causes":[{"reason":"FieldValueInvalid","message":"Invalid value: \"0c9b\": field is immutable","field":"metadata.uid"}]},"code":422}"#;
        check(replaced, &Outcome::Failed(Failure::Replaced));
        let gone = r#"{"status":"Failure","message":"Operation cannot be fulfilled on deployments.apps \"web\": uid mismatch: the provided object specified uid 0c9b, and no existing object was found",
            "reason":"Conflict","details":{"name":"web","group":"apps","kind":"deployments"},"code":409}"#;
        check(gone, &Outcome::NotFound);
        let missing = r#"{"status":"Failure","message":"deployments.apps \"web\" not found","reason":"NotFound","details":{"name":"web","group":"apps","kind":"deployments"},"code":404}"#;
        check(missing, &Outcome::NotFound);
    }

    #[test]
    fn what_can_never_be_accepted_is_rejected() {
        let invalid = r#"{"status":"Failure","message":"Deployment.apps \"web\" is invalid: spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
            "reason":"Invalid","details":{"name":"web","group":"apps","kind":"Deployment","causes":[{"reason":"FieldValueInvalid","message":"Invalid value: -1","field":"spec.minReadySeconds"}]},"code":422}"#;
        let text = |message: &str| format!("{WHAT}: {message}");
        check(
            invalid,
            &Outcome::Failed(Failure::Rejected(text(
                "Deployment.apps \"web\" is invalid: spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0 (422)",
            ))),
        );
        let schema = r#"{"status":"Failure","message":"failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.nonsense: field not declared in schema","code":500}"#;
        check(
            schema,
            &Outcome::Failed(Failure::Rejected(text(
                "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.nonsense: field not declared in schema (500)",
            ))),
        );
    }

    #[test]
    fn what_may_pass_later_is_told_apart() {
        let forbidden = r#"{"status":"Failure","message":"deployments.apps \"web\" is forbidden: no","reason":"Forbidden","code":403}"#;
        check(
            forbidden,
            &Outcome::Failed(Failure::Forbidden(format!("{WHAT}: deployments.apps \"web\" is forbidden: no (403)"))),
        );
        let unauthorized = r#"{"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
        check(unauthorized, &Outcome::Failed(Failure::Unknown(format!("{WHAT}: Unauthorized (401)"))));
        let busy = r#"{"status":"Failure","message":"too many requests","reason":"TooManyRequests","details":{"retryAfterSeconds":1},"code":429}"#;
        check(busy, &Outcome::Failed(Failure::Throttled(format!("{WHAT}: too many requests (429)"))));
        let draining = r#"{"status":"Failure","message":"shutting down","details":{"retryAfterSeconds":5},"code":503}"#;
        check(draining, &Outcome::Failed(Failure::Throttled(format!("{WHAT}: shutting down (503)"))));
        let internal = r#"{"status":"Failure","message":"etcdserver: request timed out","code":500}"#;
        check(internal, &Outcome::Failed(Failure::Unknown(format!("{WHAT}: etcdserver: request timed out (500)"))));
    }

    #[test]
    fn an_error_of_the_connection_says_each_thing_once() {
        let error = kube::Error::ReadEvents(std::io::Error::other("connection reset"));
        assert_eq!(describe(&error), "Error reading events stream: connection reset");
    }
}
