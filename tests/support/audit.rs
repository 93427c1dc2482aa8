//! What the operator asked of the API server, from the server's own log.

#![allow(dead_code, reason = "every test binary uses a part of it")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fmt,
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::PathBuf,
};

use serde_json::Value;

use crate::operator::{NAMESPACE, RELEASE};

/// A request of the operator that the API server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub verb: String,
    /// Plural, with the subresource: `deployments`, `performancepolicies/status`.
    pub resource: String,
    pub namespace: String,
    /// Empty for a collection.
    pub name: String,
    pub code: u64,
}

impl Request {
    pub fn is_write(&self) -> bool {
        !["get", "list", "watch"].contains(&self.verb.as_str())
    }

    /// Whether it asks for, or writes, one object, or the pods of one workload: nothing of the kind belongs to an operator at
    /// rest, which lives on its watches.
    pub fn is_about_one_object(&self) -> bool {
        self.is_write() || self.verb == "get" || self.resource == "pods"
    }

    /// Whether it may write what people own: not our own status, not Events.
    pub fn is_target_write(&self) -> bool {
        self.is_write()
            && !["performancepolicies/status", "events", "metricssources/status"].contains(&self.resource.as_str())
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}/{} → {}", self.verb, self.resource, self.namespace, self.name, self.code)
    }
}

/// A place in the audit log. A line is in it before the reply to its request is.
pub struct Mark {
    path: PathBuf,
    at: u64,
}

impl Mark {
    pub fn now(path: PathBuf) -> Self {
        let at = path.metadata().unwrap_or_else(|error| panic!("reading \"{}\": {error}", path.display())).len();
        Self { path, at }
    }

    /// What the log says of the operator since then, leases left out.
    pub fn events(&self) -> Vec<Value> {
        let mut file = File::open(&self.path).expect("open the audit log");
        file.seek(SeekFrom::Start(self.at)).expect("seek in the audit log");
        let mut events = Vec::new();
        let mut lines = BufReader::new(file);
        let mut line = String::new();
        while lines.read_line(&mut line).expect("read the audit log") > 0 {
            // The last line may be half written; then it is not answered yet either.
            if line.ends_with('\n') && line.contains(&user()) {
                let event: Value = serde_json::from_str(&line).expect("a line of the audit log");
                if event["user"]["username"] == user() && event["objectRef"]["resource"] != "leases" {
                    events.push(event);
                }
            }
            line.clear();
        }
        events
    }

    /// Requests of the operator since then in `namespace` or outside of all, its lease left out.
    pub fn requests(&self, namespace: &str) -> Vec<Request> {
        let mut requests: Vec<_> = self.events().iter().filter_map(request).collect();
        requests.retain(|r| r.namespace == namespace || r.namespace.is_empty());
        requests
    }

    /// Complete lists of policies: one per replica that starts or whose watch expired.
    pub fn lists(&self) -> usize {
        self.requests("").iter().filter(|r| r.verb == "list" && r.resource == "performancepolicies").count()
    }

    /// Those that write.
    pub fn writes(&self, namespace: &str) -> Vec<Request> {
        self.requests(namespace).into_iter().filter(Request::is_write).collect()
    }

    /// Those that write what people own.
    pub fn target_writes(&self, namespace: &str) -> Vec<Request> {
        self.requests(namespace).into_iter().filter(Request::is_target_write).collect()
    }

    /// Those that wrote what people own. A write that meets another one, of a controller of Kubernetes mostly, is refused
    /// because of its resourceVersion, writes nothing, and is decided anew; no other refusal is expected where this is asked.
    pub fn changes(&self, namespace: &str) -> Vec<Request> {
        let mut writes = self.target_writes(namespace);
        writes.retain(|request| request.code != 409);
        assert!(writes.iter().all(|request| (200..300).contains(&request.code)), "{}", told(&writes));
        writes
    }
}

/// The operator's account.
fn user() -> String {
    format!("system:serviceaccount:{NAMESPACE}:{RELEASE}")
}

fn request(event: &Value) -> Option<Request> {
    if event["stage"] != "ResponseComplete" || event["verb"] == "watch" {
        return None;
    }
    let object = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut resource = text(&object["resource"]);
    if let Some(subresource) = object["subresource"].as_str() {
        resource = format!("{resource}/{subresource}");
    }
    Some(Request {
        verb: text(&event["verb"]),
        resource,
        namespace: text(&object["namespace"]),
        name: text(&object["name"]),
        code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
    })
}

/// A list of requests for the message of a failure.
pub fn told(requests: &[Request]) -> String {
    requests.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
