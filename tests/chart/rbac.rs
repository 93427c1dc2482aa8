//! What the chart lets anybody do.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    render::{CASES, case, objects, of_kind, strings},
    rights::{Grant, granted, grants, right},
};

/// Account, group, resource and verbs.
type Right = (&'static str, &'static str, &'static str, &'static [&'static str]);

/// Every verb that the operator or a hook may have, by resource. Nothing else is granted anywhere.
const ALLOWED: [Right; 24] = [
    ("trimtab", "trimtab.dev", "performancepolicies", &["list", "watch", "patch"]),
    ("trimtab", "trimtab.dev", "performancepolicies/status", &["patch"]),
    ("trimtab", "trimtab.dev", "connectionbudgets", &["list", "watch"]),
    ("trimtab", "trimtab.dev", "connectionbudgets/status", &["patch"]),
    ("trimtab", "trimtab.dev", "performanceclasses", &["list", "watch"]),
    ("trimtab", "trimtab.dev", "metricssources", &["list", "watch"]),
    ("trimtab", "trimtab.dev", "metricssources/status", &["patch"]),
    ("trimtab", "apps", "deployments", &["get", "list", "watch", "patch"]),
    ("trimtab", "apps", "statefulsets", &["get", "list", "watch", "patch"]),
    ("trimtab", "apps", "daemonsets", &["get", "list", "watch", "patch"]),
    ("trimtab", "apps", "deployments/scale", &["patch"]),
    ("trimtab", "apps", "statefulsets/scale", &["patch"]),
    ("trimtab", "autoscaling", "horizontalpodautoscalers", &["get", "list", "watch", "patch"]),
    ("trimtab", "policy", "poddisruptionbudgets", &["list", "watch"]),
    ("trimtab", "monitoring.coreos.com", "prometheusrules", &["list", "watch", "create", "patch", "delete"]),
    ("trimtab", "", "configmaps", &["get", "list", "watch", "patch"]),
    ("trimtab", "", "pods", &["list"]),
    ("trimtab", "events.k8s.io", "events", &["create"]),
    ("trimtab", "coordination.k8s.io", "leases", &["get", "create", "update"]),
    ("trimtab-crds", "apiextensions.k8s.io", "customresourcedefinitions", &["get", "list", "watch", "create", "patch"]),
    ("trimtab-uninstall", "trimtab.dev", "performancepolicies", &["list", "patch"]),
    ("trimtab-uninstall", "apps", "deployments/scale", &["patch"]),
    ("trimtab-uninstall", "", "pods", &["list"]),
    ("trimtab-uninstall", "coordination.k8s.io", "leases", &["delete"]),
];

/// What `objectTargets` adds, each kind by itself.
const ALLOWED_WITH_OBJECT_TARGETS: [Right; 3] = [
    ("trimtab", "postgresql.cnpg.io", "clusters", &["get", "list", "watch", "patch"]),
    ("trimtab", "postgresql.cnpg.io", "poolers", &["get", "list", "watch", "patch"]),
    ("trimtab", "jetstream.nats.io", "streams", &["get", "list", "watch", "patch"]),
];

/// What `watchNamespaces` adds.
const ALLOWED_WITH_WATCHED_NAMESPACES: [Right; 1] = [("trimtab-uninstall", "", "namespaces", &["get"])];

#[test]
fn accounts_have_the_listed_rights_and_no_others() {
    #[track_caller]
    fn check(name: &str, further: &[Right]) {
        let expected: BTreeSet<_> = ALLOWED
            .iter()
            .chain(further)
            .flat_map(|(account, group, resource, verbs)| {
                verbs.iter().map(move |verb| right(account, verb, group, resource))
            })
            .collect::<BTreeSet<_>>();
        assert_eq!(granted(&objects(&case(name))), expected, "{name}");
    }
    check("default", &[]);
    check("watch-namespaces", &ALLOWED_WITH_WATCHED_NAMESPACES);
}

#[test]
fn objects_of_other_projects_are_reached_by_name_of_their_kind_only() {
    let foreign = |rendering: &str| -> BTreeSet<String> {
        let groups = ["postgresql.cnpg.io", "jetstream.nats.io"];
        let rights = granted(&objects(rendering)).into_iter();
        rights.filter(|right| groups.iter().any(|group| right.ends_with(&format!(" in {group}")))).collect()
    };
    let all = |rights: &[Right]| -> BTreeSet<String> {
        let each = rights.iter().flat_map(|(account, group, resource, verbs)| {
            verbs.iter().map(move |verb| right(account, verb, group, resource))
        });
        each.collect()
    };
    assert_eq!(foreign(&case("default")), BTreeSet::new());
    assert_eq!(foreign(&case("everything")), all(&ALLOWED_WITH_OBJECT_TARGETS));
}

#[test]
fn no_rule_has_a_wildcard_or_reaches_secrets_or_escalates() {
    for name in CASES {
        let objects = objects(&case(name));
        for role in of_kind(&objects, "ClusterRole").chain(of_kind(&objects, "Role")) {
            let role_name = &role["metadata"]["name"];
            for rule in role["rules"].as_array().expect("rules") {
                let text = rule.to_string();
                for forbidden in [
                    "*",
                    "secrets",
                    "pods/exec",
                    "escalate",
                    "bind",
                    "impersonate",
                    "nodes",
                    "webhook",
                    "nonResourceURLs",
                ] {
                    assert!(!text.contains(forbidden), "{name}: {role_name} holds {forbidden}: {text}");
                }
                assert!(!strings(&rule["apiGroups"]).is_empty(), "{name}: {role_name}: {text}");
            }
        }
    }
}

#[test]
fn the_hook_of_definitions_may_write_every_definition_and_no_other() {
    let expected: BTreeSet<String> =
        trimtab::api::crds::all().into_iter().filter_map(|definition| definition.metadata.name).collect();
    for name in CASES {
        for Grant { rule, .. } in grants(&objects(&case(name))) {
            if strings(&rule["resources"]) == ["customresourcedefinitions"] {
                let named: BTreeSet<String> =
                    strings(&rule["resourceNames"]).into_iter().map(ToOwned::to_owned).collect();
                assert_eq!(named, expected, "{name}");
            }
        }
    }
}

#[test]
fn nobody_creates_replaces_or_deletes_what_is_governed() {
    let governed = [
        "deployments",
        "statefulsets",
        "daemonsets",
        "horizontalpodautoscalers",
        "configmaps",
        "pods",
        "clusters",
        "poolers",
        "streams",
    ];
    for name in CASES {
        for Grant { account, rule, .. } in grants(&objects(&case(name))) {
            for resource in strings(&rule["resources"]) {
                if governed.iter().any(|kind| resource.starts_with(kind)) {
                    for verb in ["create", "update", "delete", "deletecollection"] {
                        assert!(
                            !strings(&rule["verbs"]).contains(&verb),
                            "{name}: \"{account}\" may {verb} {resource}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn watched_namespaces_bound_every_right_but_those_on_cluster_scoped_kinds() {
    let objects = objects(&case("watch-namespaces"));
    let cluster_scoped =
        ["performanceclasses", "metricssources", "metricssources/status", "customresourcedefinitions", "namespaces"];
    let mut governed = Vec::new();
    for Grant { account, namespace, rule } in grants(&objects) {
        match namespace {
            None => {
                for resource in strings(&rule["resources"]) {
                    assert!(cluster_scoped.contains(&resource), "\"{account}\" reaches {resource} of all namespaces");
                }
            }
            Some("trimtab-system") => {
                for resource in strings(&rule["resources"]) {
                    assert!(!resource.starts_with("performancepolicies"), "\"{account}\" governs its own namespace");
                }
            }
            Some(namespace) => governed.push(namespace),
        }
    }
    governed.sort_unstable();
    governed.dedup();
    assert_eq!(governed, ["checkout", "shop"]);
}

#[test]
fn rights_on_leases_and_on_the_own_deployment_are_bound_to_a_name_and_to_the_own_namespace() {
    for name in CASES {
        for Grant { account, namespace, rule } in grants(&objects(&case(name))) {
            let resources = strings(&rule["resources"]);
            let verbs = strings(&rule["verbs"]);
            if resources == ["leases"] {
                assert_eq!(namespace, Some("trimtab-system"), "{name}");
                assert!(verbs == ["create"] || rule["resourceNames"].is_array(), "{name}: {rule}");
            }
            if account == "trimtab-uninstall" && resources == ["deployments/scale"] {
                assert_eq!(namespace, Some("trimtab-system"), "{name}");
                assert_eq!(strings(&rule["resourceNames"]), ["trimtab"], "{name}");
            }
        }
    }
}

#[test]
fn rights_of_hooks_end_with_the_hook() {
    for case_name in CASES {
        let objects = objects(&case(case_name));
        let ends = |object: &Value| {
            let policy = object["metadata"]["annotations"]["helm.sh/hook-delete-policy"].as_str().unwrap_or_default();
            policy.contains("hook-succeeded") && policy.contains("hook-failed")
        };
        let mut watched = 0;
        for object in objects.iter().filter(|object| object["kind"] != "Job") {
            let name = object["metadata"]["name"].as_str().expect("a name");
            if name.ends_with("-uninstall-policies") {
                // A hook is created during the uninstall, and would fail where the namespace is gone by then; so these stay
                // with the release. They are nobody's as long as their account does not exist.
                watched += 1;
                assert!(["Role", "RoleBinding"].map(Value::from).contains(&object["kind"]), "{case_name}: {name}");
                assert_eq!(object["metadata"]["annotations"]["helm.sh/hook"], Value::Null, "{case_name}: {name}");
            } else if name.ends_with("-crds") || name.ends_with("-uninstall") {
                assert!(ends(object), "{case_name}: {} \"{name}\" stays", object["kind"]);
            }
        }
        assert_eq!(watched, if case_name == "watch-namespaces" { 4 } else { 0 }, "{case_name}");
        let accounts = of_kind(&objects, "ServiceAccount").filter(|account| !ends(account));
        assert_eq!(
            accounts.map(|account| &account["metadata"]["name"]).collect::<Vec<_>>(),
            ["trimtab"],
            "{case_name}"
        );
    }
}

#[test]
fn classes_are_readable_by_the_named_groups_and_nothing_else_is() {
    let readers = |rendering: &str| {
        let rights = granted(&objects(rendering)).into_iter();
        rights.filter(|right| !right.starts_with("trimtab")).collect::<Vec<_>>()
    };
    assert_eq!(readers(&case("default")), Vec::<String>::new());
    let expected =
        ["get", "list", "watch"].map(|verb| right("system:authenticated", verb, "trimtab.dev", "performanceclasses"));
    assert_eq!(readers(&case("everything")), expected);
}

#[test]
fn users_rights_reach_the_cluster_roles_that_their_names_say() {
    let objects = objects(&case("default"));
    let labels = |suffix: &str| {
        let role = of_kind(&objects, "ClusterRole")
            .find(|role| role["metadata"]["name"].as_str().is_some_and(|name| name.ends_with(suffix)))
            .expect("the ClusterRole");
        let labels = role["metadata"]["labels"].as_object().expect("labels");
        let aggregates = labels.keys().filter_map(|key| key.strip_prefix("rbac.authorization.k8s.io/aggregate-to-"));
        aggregates.collect::<Vec<_>>()
    };
    assert_eq!(labels("-view"), ["view", "edit", "admin"]);
    assert_eq!(labels("-edit"), ["edit", "admin"]);
    assert_eq!(labels("-admin"), ["admin"]);
}
