//! What the schema says, once more: names, lists and unions.
//!
//! The API server refuses such documents, but not every document has been there: `trimtab plan -f` reads files, and a
//! stored policy may be older than a rule. The cases of `tests/data/admission` hold both to the same verdicts.

use std::collections::{BTreeMap, BTreeSet};

use super::Invalid;
use crate::{
    api::{
        PerformancePolicy, PerformancePolicySpec,
        conditions::Reason,
        names::ALERT_LABELS,
        policy::{Eviction, Invalidation, Runtime, SettingType, Target, TargetKind, ValueFormat},
    },
    core::catalogue::sysctl,
};

/// Longest name of a policy: it is part of a field manager and of annotation keys.
const MAX_NAME: usize = 52;
const MAX_LABEL: usize = 63;
const MAX_REPLICAS: u32 = 10_000;
/// What Linux takes for no limit.
const MAX_OPEN_FILES: u32 = 1_073_741_816;

/// Runs every rule.
pub(super) fn check(policy: &PerformancePolicy, wrong: &mut Vec<Invalid>) {
    let spec = &policy.spec;
    let mut shape = Shape { wrong };
    shape.name(policy.metadata.name.as_deref().unwrap_or_default());
    shape.references(spec);
    shape.lists(spec);
    if let Some(target) = &spec.target {
        shape.target(target);
    }
    shape.replicas(spec);
    if spec.target.as_ref().is_some_and(|target| !target.kind.is_workload()) {
        for pool in spec.pools.iter().filter(|pool| pool.budget.is_some()) {
            let message = "is for pools of workloads: a pooler is told to the budget by its own pooler";
            shape.refuse(format!("pools.{}.budget", pool.name), message);
        }
    }
    for item in spec.resources.iter().filter(|item| item.limits.is_none() && item.requests.is_none()) {
        shape.refuse(format!("resources.{}", item.container), "must set at least one of limits and requests");
    }
    shape.caches(spec);
    shape.settings(spec);
    shape.runtime(spec);
    shape.kernel(spec);
    shape.words(spec);
}

struct Shape<'a> {
    wrong: &'a mut Vec<Invalid>,
}

impl Shape<'_> {
    fn refuse(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.wrong.push(Invalid { reason: Reason::InvalidSpec, path: path.into(), message: message.into() });
    }

    fn expect(&mut self, holds: bool, path: &str, message: &str) {
        if !holds {
            self.refuse(path, message);
        }
    }

    fn name(&mut self, name: &str) {
        let message = "must be a DNS label of at most 52 characters";
        self.expect(is_dns_label(name) && name.len() <= MAX_NAME, "metadata.name", message);
    }

    fn references(&mut self, spec: &PerformancePolicySpec) {
        let source = spec.metrics.as_ref().and_then(|metrics| metrics.source.as_deref());
        for (path, name) in [("className", spec.class_name.as_deref()), ("metrics.source", source)] {
            self.expect(name.is_none_or(is_object_name), path, "must be an object's name");
        }
        for pool in &spec.pools {
            let name = pool.budget.as_deref().is_none_or(|name| name.len() <= MAX_LABEL && is_object_name(name));
            self.expect(name, &format!("pools.{}.budget", pool.name), "must be an object's name");
        }
    }

    /// Every list is keyed by name, and a name is a DNS label.
    fn lists(&mut self, spec: &PerformancePolicySpec) {
        self.keys("resources", spec.resources.iter().map(|item| &*item.container));
        self.keys("workers", spec.workers.iter().map(|item| &*item.name));
        self.keys("pools", spec.pools.iter().map(|item| &*item.name));
        self.keys("caches", spec.caches.iter().map(|item| &*item.name));
        self.keys("settings", spec.settings.iter().map(|item| &*item.name));
        self.keys("files", spec.files.iter().map(|item| &*item.name));
        self.keys("thresholds", spec.thresholds.iter().map(|item| &*item.name));
        self.keys("checklist", spec.checklist.iter().map(|item| &*item.id));
        self.keys("loadTests", spec.load_tests.iter().map(|item| &*item.name));
        self.keys("patterns", spec.patterns.iter().map(|item| &*item.name));
        self.keys("profiles", spec.profiles.iter().map(|item| &*item.name));
    }

    fn keys<'n>(&mut self, list: &str, names: impl Iterator<Item = &'n str>) {
        let mut seen = BTreeSet::new();
        for name in names {
            let printable = name.escape_default();
            if !is_dns_label(name) {
                self.refuse(list, format!("has the name \"{printable}\", which must be a DNS label"));
            }
            if !seen.insert(name) {
                self.refuse(list, format!("has the name \"{printable}\" twice"));
            }
        }
    }

    fn target(&mut self, target: &Target) {
        let message = "must set exactly one of name and selector";
        self.expect(target.name.is_some() != target.selector.is_some(), "target", message);
        let version = target.kind.api_version();
        let given = target.api_version.as_deref();
        if target.kind.is_workload() {
            self.expect(given.is_none_or(|given| given == version), "target.apiVersion", "must be apps/v1");
        } else {
            let message = format!("must be {version}");
            self.expect(given == Some(version), "target.apiVersion", &message);
            self.expect(target.container.is_none(), "target.container", "is for workloads: leave it out");
        }
        let named = target.name.as_deref().is_none_or(is_object_name);
        self.expect(named, "target.name", "must be an object's name");
        let Some(selector) = &target.selector else { return };
        // Without labels it would be every workload of the namespace.
        let message = "must not be empty: name at least one label";
        self.expect(!selector.match_labels.is_empty(), "target.selector", message);
        let labels = selector.match_labels.iter().all(|(key, value)| is_label_key(key) && is_label_value(value));
        self.expect(labels, "target.selector.matchLabels", "must be the labels of an object");
    }

    fn replicas(&mut self, spec: &PerformancePolicySpec) {
        let Some(replicas) = &spec.replicas else { return };
        let bounds = [replicas.min, replicas.max];
        self.expect(bounds.iter().any(Option::is_some), "replicas", "must set at least one of min and max");
        let within = bounds.iter().flatten().all(|bound| (1..=MAX_REPLICAS).contains(bound));
        self.expect(within, "replicas", "must be ≥ 1 and ≤ 10000");
        match &spec.target {
            None => self.refuse("replicas", "need a target"),
            Some(Target { kind: TargetKind::DaemonSet, .. }) => {
                self.refuse("replicas", "must be left out: a DaemonSet has one pod per node");
            }
            Some(target) if !target.kind.is_workload() => {
                self.refuse("replicas", "are for workloads: set a field such as spec.instances");
            }
            Some(_) => {}
        }
    }

    fn caches(&mut self, spec: &PerformancePolicySpec) {
        for cache in &spec.caches {
            let path = format!("caches.{}", cache.name);
            if cache.max_entries.is_some() && cache.max_bytes.is_some() {
                self.refuse(&path, "must set at most one of maxEntries and maxBytes");
            }
            let bounded = cache.max_entries.is_some() || cache.max_bytes.is_some();
            let by_use = matches!(cache.eviction, Some(Eviction::Lru | Eviction::Lfu));
            let message = "must have maxEntries or maxBytes with eviction LRU or LFU: nothing else makes it full";
            self.expect(bounded || !by_use, &path, message);
            let expires = cache.eviction == Some(Eviction::Ttl) || cache.invalidation == Some(Invalidation::Expiry);
            let message = "must have ttl with eviction TTL or invalidation Expiry";
            self.expect(cache.ttl.is_some() || !expires, &path, message);
        }
    }

    fn settings(&mut self, spec: &PerformancePolicySpec) {
        for setting in &spec.settings {
            let path = format!("settings.{}.allowed", setting.name);
            let is_enum = setting.value_type == Some(SettingType::Enum);
            let message = "must be set for an Enum, and only for it";
            self.expect(is_enum != setting.allowed.is_empty(), &path, message);
            let words: BTreeSet<_> = setting.allowed.iter().collect();
            self.expect(words.len() == setting.allowed.len(), &path, "must not repeat a word");
        }
    }

    fn runtime(&mut self, spec: &PerformancePolicySpec) {
        let Some(Runtime { jvm, node, go, python }) = &spec.runtime else { return };
        let set = [
            ("jvm", jvm.as_ref().map(|jvm| &jvm.container)),
            ("node", node.as_ref().map(|node| &node.container)),
            ("go", go.as_ref().map(|go| &go.container)),
            ("python", python.as_ref().map(|python| &python.container)),
        ];
        let message = "must set at least one of jvm, node, go and python";
        self.expect(set.iter().any(|(_, container)| container.is_some()), "runtime", message);
        self.expect(spec.target.is_some(), "runtime", "needs a target");
        for (member, container) in set {
            let named = container.and_then(Option::as_deref).is_none_or(is_dns_label);
            self.expect(named, &format!("runtime.{member}.container"), "must be a DNS label");
        }
    }

    fn kernel(&mut self, spec: &PerformancePolicySpec) {
        let Some(kernel) = &spec.kernel else { return };
        let mut seen = BTreeSet::new();
        for sysctl in &kernel.sysctls {
            let printable = sysctl.name.escape_default();
            let path = format!("kernel.sysctls.{printable}");
            self.expect(
                is_sysctl(&sysctl.name),
                &path,
                "must be a kernel parameter such as net.ipv4.tcp_fin_timeout, with dots",
            );
            let message = "must be numbers or words as the kernel reads them, such as 15 or \"1024 65535\"";
            self.expect(is_sysctl_value(&sysctl.value.to_string()), &path, message);
            self.expect(seen.insert(&sysctl.name), "kernel.sysctls", &format!("has the name \"{printable}\" twice"));
        }
        self.expect(kernel.sysctls.is_empty() || spec.target.is_some(), "kernel.sysctls", "need a target");
        let within = kernel.open_files.is_none_or(|files| (64..=MAX_OPEN_FILES).contains(&files));
        self.expect(within, "kernel.openFiles", "must be ≥ 64 and ≤ 1073741816");
    }

    fn words(&mut self, spec: &PerformancePolicySpec) {
        for setting in &spec.settings {
            let plain = setting.not_enforceable.as_deref().is_none_or(|why| !why.contains(is_control));
            let path = format!("settings.{}.notEnforceable", setting.name);
            self.expect(plain, &path, "must not contain control characters");
        }
        for threshold in &spec.thresholds {
            let plain = threshold.advice.as_deref().is_none_or(|advice| !advice.contains(is_control));
            self.expect(plain, &format!("thresholds.{}.advice", threshold.name), "must not contain control characters");
            self.selected(&format!("thresholds.{}.metric.labels", threshold.name), &threshold.metric.labels);
            self.selected(&format!("thresholds.{}.metric.matching", threshold.name), &threshold.metric.matching);
            let plain = threshold.hints.iter().all(|hint| !hint.advice.contains(is_control));
            self.expect(plain, &format!("thresholds.{}.hints", threshold.name), "must not contain control characters");
        }
        for pattern in &spec.patterns {
            let plain = pattern.advice.as_deref().is_none_or(|advice| !advice.contains(is_control));
            self.expect(plain, &format!("patterns.{}.advice", pattern.name), "must not contain control characters");
            self.selected(&format!("patterns.{}.metric.labels", pattern.name), &pattern.metric.labels);
            self.selected(&format!("patterns.{}.metric.matching", pattern.name), &pattern.metric.matching);
        }
        if let Some(metrics) = &spec.metrics {
            self.selected("metrics.labels", &metrics.labels);
        }
        for item in &spec.checklist {
            let attested = item.attested.iter().flat_map(|a| [Some(&a.by), a.evidence.as_ref()]).flatten();
            let plain = attested.chain([&item.text]).all(|text| !text.contains(is_control));
            self.expect(plain, &format!("checklist.{}", item.id), "must not contain control characters");
        }
        for test in &spec.load_tests {
            let path = |member: &str| format!("loadTests.{}.{member}", test.name);
            let service = test.service.as_deref().is_none_or(is_dns_label);
            self.expect(service, &path("service"), "must be the name of a Service");
            let secret = test.token_from.as_ref();
            let name = secret.is_none_or(|secret| is_object_name(&secret.name));
            self.expect(name, &path("tokenFrom.name"), "must be an object's name");
            let key = secret.is_none_or(|secret| is_data_key(&secret.key));
            self.expect(key, &path("tokenFrom.key"), "must be letters, digits, -, _ and .");
        }
        let Some(alerting) = &spec.alerting else { return };
        let names = alerting.labels.keys().all(|name| is_label_name(name));
        self.expect(names, "alerting.labels", "must be label names: letters, digits and _");
        let taken = alerting.labels.keys().find(|name| ALERT_LABELS.contains(&name.as_str()));
        if let Some(taken) = taken {
            self.refuse("alerting.labels", format!("must not replace {taken}, which identifies an alert"));
        }
        let page = |url: &str| {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(|char| char.is_ascii_graphic()))
        };
        let url = alerting.runbook_url.as_deref().is_none_or(page);
        self.expect(url, "alerting.runbookURL", "must be an http or https URL");
    }

    fn selected(&mut self, path: &str, labels: &BTreeMap<String, String>) {
        let name = |name: &String| {
            (1..=MAX_LABEL).contains(&name.len())
                && name.chars().all(|char| char.is_ascii_graphic())
                && !["__name__", "le"].contains(&name.as_str())
        };
        let message = "must be label names without spaces, and neither __name__ nor le";
        self.expect(labels.keys().all(name), path, message);
    }
}

/// The words of an `Enum`'s value: a list where it is written as one.
pub(super) fn enum_words(word: &str, format: Option<ValueFormat>) -> impl Iterator<Item = &str> {
    let separator = if format == Some(ValueFormat::List) { ',' } else { '\0' };
    word.split(separator)
}

/// Whether `text` consists of `inner` characters and begins and ends with `outer` ones.
fn is_word(text: &str, outer: impl Fn(char) -> bool, inner: impl Fn(char) -> bool) -> bool {
    text.starts_with(&outer) && text.ends_with(&outer) && text.chars().all(|char| outer(char) || inner(char))
}

fn is_lower(char: char) -> bool {
    char.is_ascii_lowercase() || char.is_ascii_digit()
}

fn is_dns_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_word(text, is_lower, |char| char == '-')
}

/// A key of a `ConfigMap` or a Secret.
fn is_data_key(text: &str) -> bool {
    let allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    (1..=253).contains(&text.len()) && text.chars().all(allowed)
}

/// Whether `text` is the name of a kernel parameter, its parts separated by dots.
fn is_sysctl(text: &str) -> bool {
    let part = |part: &str| is_word(part, is_lower, |char| matches!(char, '-' | '_'));
    text.len() <= 128 && text.contains('.') && text.split('.').all(part)
}

fn is_sysctl_value(text: &str) -> bool {
    let first = |char: char| char.is_ascii_alphanumeric() || char == '-';
    let rest = |char: char| first(char) || matches!(char, ' ' | ',' | '.' | '_');
    text.len() <= sysctl::MAX_VALUE && text.starts_with(first) && text.chars().all(rest)
}

fn is_object_name(text: &str) -> bool {
    text.len() <= 253 && is_word(text, is_lower, |char| matches!(char, '-' | '.'))
}

fn is_label_value(text: &str) -> bool {
    let outer = |char: char| char.is_ascii_alphanumeric();
    text.is_empty() || text.len() <= MAX_LABEL && is_word(text, outer, |char| matches!(char, '-' | '_' | '.'))
}

fn is_label_key(text: &str) -> bool {
    let (prefix, name) = text.rsplit_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_object_name) && !name.is_empty() && is_label_value(name)
}

fn is_label_name(text: &str) -> bool {
    let first = |char: char| char.is_ascii_alphabetic() || char == '_';
    text.len() <= MAX_LABEL && text.starts_with(first) && text.chars().all(|char| first(char) || char.is_ascii_digit())
}

/// Characters that change what a terminal or a log shows beside themselves.
fn is_control(char: char) -> bool {
    char.is_control() || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        for (text, label, object) in [
            ("a", true, true),
            ("a-1", true, true),
            ("a.b", false, true),
            ("", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("A", false, false),
            ("ü", false, false),
            ("a\n", false, false),
        ] {
            assert_eq!((is_dns_label(text), is_object_name(text)), (label, object), "{text:?}");
        }
        assert!(!is_dns_label(&"a".repeat(64)));
    }

    #[test]
    fn labels_of_objects_are_told_apart() {
        for (text, key, value) in [
            ("app.kubernetes.io/part-of", true, false),
            ("tier", true, true),
            ("", false, true),
            ("a/", false, false),
            ("/a", false, false),
            ("a b", false, false),
        ] {
            assert_eq!((is_label_key(text), is_label_value(text)), (key, value), "{text:?}");
        }
    }

    #[test]
    fn an_enum_is_a_list_only_where_it_is_written_as_one() {
        assert_eq!(enum_words("a,b", Some(ValueFormat::List)).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(enum_words("a,b", None).collect::<Vec<_>>(), ["a,b"]);
    }
}
