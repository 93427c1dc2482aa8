//! Events as the API server takes them (`events.k8s.io/v1`).

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event as Body},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};

use crate::{api::names, core::engine::effect::Event, shell::clock};

/// Longest note, in bytes.
const NOTE: usize = 1024;
/// Longest `reportingInstance`, in bytes.
const INSTANCE: usize = 128;
/// What a note ends with that was cut.
const ELLIPSIS: &str = "…";

/// The Event, with a name of its own. The engine publishes transitions only, so there are no series to count.
pub fn body(event: &Event, instance: &str) -> Body {
    let (namespace, name) = &event.object;
    let now = clock::timestamp();
    Body {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_string()),
            // What `client-go` does, too: unique per object and readable in `kubectl get events`.
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some(if event.warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(event.reason.to_owned()),
        action: Some(event.action.to_owned()),
        note: Some(cut(&event.note, NOTE)),
        regarding: Some(ObjectReference {
            api_version: Some(format!("{}/{}", names::GROUP, names::VERSION)),
            kind: Some(event.kind.to_owned()),
            namespace: Some(namespace.to_string()),
            name: Some(name.to_string()),
            uid: Some(event.uid.clone()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(names::CONTROLLER.to_owned()),
        reporting_instance: Some(cut(instance, INSTANCE)),
        ..Body::default()
    }
}

/// `text`, or as much of it as `limit` bytes hold.
fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit - ELLIPSIS.len());
    format!("{}{ELLIPSIS}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_notes_are_cut_between_characters() {
        assert_eq!(cut("short", 8), "short");
        assert_eq!(cut("12345678", 8), "12345678");
        assert_eq!(cut("123456789", 8), "12345…");
        assert_eq!(cut("1234ü6789", 8), "1234…", "a character that does not fit is left out whole");
        let note = cut(&"ü".repeat(1000), NOTE);
        assert!(note.len() <= NOTE && note.ends_with('…'));
    }
}
