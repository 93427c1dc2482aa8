//! What the objects of a chart let its accounts do.

#![allow(dead_code, reason = "not every test binary asks where a right holds")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use serde_json::Value;

/// A grant: the account or group, where (none: in all namespaces), the role's rule.
pub struct Grant<'a> {
    pub account: &'a str,
    pub namespace: Option<&'a str>,
    pub rule: &'a Value,
}

/// Follows every binding to its role.
pub fn grants(objects: &[Value]) -> Vec<Grant<'_>> {
    let mut grants = Vec::new();
    for binding in of_kind(objects, "ClusterRoleBinding").chain(of_kind(objects, "RoleBinding")) {
        let namespace = binding["metadata"]["namespace"].as_str();
        let role = objects
            .iter()
            .find(|object| {
                object["kind"] == binding["roleRef"]["kind"]
                    && object["metadata"]["name"] == binding["roleRef"]["name"]
                    && object["metadata"]["namespace"].as_str() == namespace
            })
            .unwrap_or_else(|| panic!("{} refers to no role of the chart", binding["metadata"]["name"]));
        for subject in binding["subjects"].as_array().expect("subjects") {
            // A group has no namespace, and its name tells it from our accounts.
            if subject["kind"] != "Group" {
                assert_eq!(subject["kind"], "ServiceAccount");
                assert_eq!(subject["namespace"], "trimtab-system");
            }
            let account = subject["name"].as_str().expect("a name");
            let rules = role["rules"].as_array().expect("rules");
            grants.extend(rules.iter().map(|rule| Grant { account, namespace, rule }));
        }
    }
    assert!(!grants.is_empty(), "the chart grants nothing");
    grants
}

/// Every right, as [`right`] writes it.
pub fn granted(objects: &[Value]) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for Grant { account, rule, .. } in grants(objects) {
        for group in strings(&rule["apiGroups"]) {
            for resource in strings(&rule["resources"]) {
                rights.extend(strings(&rule["verbs"]).iter().map(|verb| right(account, verb, group, resource)));
            }
        }
    }
    rights
}

/// `ACCOUNT: VERB RESOURCE in GROUP`; the core group has no name.
pub fn right(account: &str, verb: &str, group: &str, resource: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    format!("{account}: {verb} {resource} in {group}")
}

/// The objects of one kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// The strings of a list.
pub fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().expect("a string")).collect()
}
