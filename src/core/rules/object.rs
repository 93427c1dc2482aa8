//! `PrometheusRule`s of ours as the cluster shows them, as much of them as counts.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::core::ownership;

/// Namespace and name of a `PrometheusRule`.
pub type RuleKey = (Box<str>, Box<str>);

/// A `PrometheusRule` (`monitoring.coreos.com/v1`): its text is not kept, only what tells whether it is as we wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleObject {
    /// Uid.
    pub uid: Box<str>,
    /// Resource version.
    pub resource_version: Box<str>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Uids of its owners.
    pub owners: Vec<Box<str>>,
    /// [`digest`] of its spec.
    pub spec: String,
    /// Whether deletion has begun.
    pub deleting: bool,
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
    #[serde(default)]
    spec: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Box<str>,
    #[serde(default)]
    namespace: Box<str>,
    #[serde(default)]
    uid: Box<str>,
    #[serde(default)]
    resource_version: Box<str>,
    #[serde(default)]
    deletion_timestamp: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    #[serde(default)]
    uid: Box<str>,
}

impl RuleObject {
    /// Reads an object as the API server shows it.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_json(text: &str) -> Result<(RuleKey, Self), serde_json::Error> {
        let Wire { metadata: m, spec } = serde_json::from_str(text)?;
        let object = Self {
            uid: m.uid,
            resource_version: m.resource_version,
            labels: m.labels,
            owners: m.owner_references.into_iter().map(|owner| owner.uid).collect(),
            spec: digest(&spec),
            deleting: m.deletion_timestamp.is_some(),
        };
        Ok(((m.namespace, m.name), object))
    }

    /// Whether this view is older than another one of the same object. The API server numbers versions in their order.
    #[must_use]
    pub fn is_older_than(&self, other: &Self) -> bool {
        let number = |object: &Self| object.resource_version.parse::<u64>().ok();
        self.uid == other.uid && number(self).zip(number(other)).is_some_and(|(this, other)| this < other)
    }
}

/// A hash of a document that does not depend on the order of its members.
#[must_use]
pub fn digest(document: &Value) -> String {
    ownership::digest(&ownership::canonical(document))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_is_read_without_its_text() {
        let text = r#"{"metadata":{"name":"trimtab-api","namespace":"shop","uid":"u","resourceVersion":"12","labels":{"a":"b"},
            "ownerReferences":[{"uid":"p","kind":"PerformancePolicy","name":"api"}]},"spec":{"groups":[]}}"#;
        let (key, rule) = RuleObject::from_json(text).unwrap();
        assert_eq!(key, ("shop".into(), "trimtab-api".into()));
        assert_eq!((rule.owners, rule.spec), (vec!["p".into()], digest(&json!({"groups": []}))));
    }
}
