//! What a policy puts on paper: checklists, tables of reports, load tests. Nothing of it steers an application.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{Literal, rules};

/// One line of a checklist. With neither check nor attested it is open.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(transform = rules::checklist_item)]
pub struct ChecklistItem {
    /// Name of the line.
    #[schemars(transform = rules::dns_label)]
    pub id: String,
    /// What shall be the case.
    #[schemars(transform = rules::prose)]
    pub text: String,
    /// A formula without = that tells by itself, such as `settings["database"] == "postgresql"`: over the values of the policy,
    /// and `thresholds.NAME.within`, `live.replicas`, `live.ready`, `live.applied`, `live.limits.memory`, `live.env.NAME`,
    /// `counts.thresholds`, `alerting` and `mode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::condition)]
    pub check: Option<String>,
    /// Who has seen that it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attested: Option<Attestation>,
}

/// A person's word.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attestation {
    /// The person or the team.
    #[schemars(transform = rules::words)]
    pub by: String,
    /// The day, such as "2026-11-01".
    #[schemars(transform = rules::day)]
    pub date: String,
    /// Where it can be looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::prose)]
    pub evidence: Option<String>,
}

/// A table of the policy's own for reports.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(transform = rules::report)]
pub struct Report {
    /// Name of the table, as between the markers of a document: `SYSTEM_METRICS`.
    #[schemars(transform = rules::table_name)]
    pub name: String,
    /// Headings.
    #[schemars(transform = rules::headings)]
    pub columns: Vec<String>,
    /// Rows with one cell per column: text, an amount such as 100ms, or a formula: what a check reads, `= thresholds.NAME.current`,
    /// `.target`, `.state`; `= status` (the word of statuses for the row's first amount as a share of its second) and
    /// `= improvement` (how many times better the second is).
    #[schemars(transform = rules::rows)]
    pub rows: Vec<Vec<Literal>>,
    /// Words for `= status`, in rising order; the last may be without upTo.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["text".into()]))]
    pub statuses: Vec<StatusWord>,
}

/// A word for a share of the target.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusWord {
    /// Largest share of the target that the word is for, such as 125%. Where more is better, it is the target as a share of
    /// the reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::share)]
    pub up_to: Option<String>,
    /// The word.
    #[schemars(transform = rules::words)]
    pub text: String,
}

/// A load test, for `trimtab export load-test`. The operator never runs one.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::load_test)]
pub struct LoadTest {
    /// Name of the test.
    #[schemars(transform = rules::dns_label)]
    pub name: String,
    /// Program that makes the load.
    pub tool: LoadTool,
    /// Name of the Service that is called. Default: the target's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::dns_label)]
    pub service: Option<String>,
    /// Port of the Service; default 80.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u32>,
    /// GET (the default) or POST. Not for Wscat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// Path that is called, with its query.
    #[schemars(transform = rules::url_path)]
    pub path: String,
    /// JSON that is sent: the body of a POST, or the first message of Wscat.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::json_body)]
    pub body: Option<String>,
    /// Users, or connections that are open at a time; default 10. Wscat has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub users: Option<u32>,
    /// Requests in all; Ab only, default 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub requests: Option<u32>,
    /// Threads that make the load; Wrk only, default 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<u32>,
    /// How long it takes, in whole seconds, at most 30d; default 30s. Not for Ab, which counts requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::duration_from_1s)]
    pub duration: Option<String>,
    /// Key of a Secret with the bearer token that is sent. The token itself is never in a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_from: Option<SecretKey>,
}

/// A key of a Secret in the policy's namespace. Trimtab does not read it: the Job does.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(transform = rules::object_name)]
    pub name: String,
    /// Key in it.
    #[schemars(transform = rules::config_map_key)]
    pub key: String,
}

/// Programs that make load.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(description = "")]
pub enum LoadTool {
    /// Users in Python.
    #[default]
    Locust,
    /// `ApacheBench`.
    Ab,
    /// As many requests as a number of connections bears.
    Wrk,
    /// A subscription to a `WebSocket`.
    Wscat,
}

/// Methods of HTTP.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(description = "")]
pub enum HttpMethod {
    /// Reads.
    #[default]
    Get,
    /// Sends a body.
    Post,
}

impl LoadTool {
    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Locust => "Locust",
            Self::Ab => "Ab",
            Self::Wrk => "Wrk",
            Self::Wscat => "Wscat",
        }
    }
}
