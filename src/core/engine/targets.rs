//! Which objects a policy governs, and under which rules.

use std::collections::BTreeMap;

use super::{Effect, Entry, Stream, World, objects::Slot};
use crate::{
    api::{PerformanceClassSpec, conditions::Reason, names},
    core::{
        facts::{Kind, Object, ObjectKey},
        plan::{ConfigMap, config_map_landing, landings},
        policy::{Choice, Landing, Policy},
        resolve::{self, Rules},
    },
};

/// Why a policy cannot be served now, and whether only a change of it can help.
pub(super) struct Unserved {
    pub reason: Reason,
    pub message: String,
    pub stalled: bool,
}

impl Unserved {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), stalled: false }
    }
}

/// The workload that an autoscaler scales.
pub(super) fn scaled(autoscaler: &Object) -> Option<ObjectKey> {
    let kind = Kind::from_name(autoscaler.text("/spec/scaleTargetRef/kind")?)?;
    // Several projects have a Cluster.
    let group = autoscaler.text("/spec/scaleTargetRef/apiVersion").and_then(|version| version.split_once('/'));
    if kind.is_foreign() && group.map(|(group, _)| group) != Some(kind.group()) {
        return None;
    }
    Some(ObjectKey::new(kind, autoscaler.key.namespace.clone(), autoscaler.text("/spec/scaleTargetRef/name")?))
}

/// Why objects of a kind are not known, and what helps.
pub(super) fn unserved(kind: Kind, reason: Reason) -> String {
    let resource = format!("{}.{}", kind.plural(), kind.group());
    match reason {
        Reason::KindNotServed => format!(
            "the cluster does not serve {resource} as {}: install its CRD; Trimtab looks for it again every minute",
            kind.api_version()
        ),
        Reason::Forbidden => format!(
            "the operator may not read {resource}: add {} to the value objectTargets of its chart",
            kind.as_str()
        ),
        _ => format!("{resource} cannot be listed: the operator's log says why; Trimtab goes on trying"),
    }
}

impl World {
    /// The rules under which a policy stands.
    pub(super) fn rules(&self, policy: &Policy) -> Result<Rules, Unserved> {
        match &policy.class {
            Some(name) => match self.classes.get(name) {
                Some(class) => Ok(Rules {
                    class: Some(name.clone()),
                    spec: class.spec.clone(),
                    kubernetes: self.config.kubernetes,
                }),
                None => Err(Unserved::new(
                    Reason::ClassNotFound,
                    format!("class \"{name}\" does not exist: create it, or leave className out"),
                )),
            },
            None => Ok(self.default_rules()),
        }
    }

    /// The default class: the newest of those that say so, else the built-in limits.
    pub(super) fn default_rules(&self) -> Rules {
        let says_so = |class: &&PerformanceClassSpecOf<'_>| class.annotated;
        let all = self.classes.iter().map(|(name, class)| PerformanceClassSpecOf {
            name,
            annotated: class
                .metadata
                .annotations
                .as_ref()
                .and_then(|a| a.get(names::IS_DEFAULT_CLASS))
                .is_some_and(|v| v == "true"),
            created: class.metadata.creation_timestamp.as_ref().map(|t| t.0.as_millisecond()),
            spec: &class.spec,
        });
        let all: Vec<_> = all.collect();
        let newest = all.iter().filter(says_so).max_by_key(|class| (class.created, std::cmp::Reverse(class.name)));
        let kubernetes = self.config.kubernetes;
        newest.map_or_else(
            || Rules { kubernetes, ..Rules::built_in() },
            |class| Rules { class: Some(class.name.into()), spec: class.spec.clone(), kubernetes },
        )
    }

    /// The workloads that a policy governs. None: it measures only.
    pub(super) fn targets(&self, policy: &Policy, rules: &Rules) -> Result<Vec<ObjectKey>, Unserved> {
        let Some(target) = &policy.target else { return Ok(Vec::new()) };
        let namespace = &policy.identity.key.0;
        let protected = **namespace == *"kube-system"
            || *namespace == self.config.operator_namespace
            || rules.spec.protected_namespaces.iter().any(|name| **name == **namespace);
        if protected {
            return Err(Unserved::new(
                Reason::TargetProtected,
                format!("namespace \"{namespace}\" is protected: no policy may change its workloads"),
            ));
        }
        if let Some(reason) = self.unserved.get(&Stream::Objects(target.kind)) {
            return Err(Unserved::new(*reason, unserved(target.kind, *reason)));
        }
        let found: Vec<ObjectKey> = match &target.choice {
            Choice::Name(name) => {
                let key = ObjectKey::new(target.kind, namespace.clone(), name.clone());
                self.objects.slot(&key).map(|_| key).into_iter().collect()
            }
            Choice::Labels(_) => self
                .objects
                .keys(target.kind, namespace)
                .filter(|key| target.choice.matches(&key.name, &self.objects.labels(key)))
                .cloned()
                .collect(),
        };
        if found.is_empty() {
            let what = match &target.choice {
                Choice::Name(name) => {
                    format!("{} \"{name}\" does not exist", target.kind.as_str())
                }
                Choice::Labels(labels) => {
                    let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                    format!("no {} carries the labels {}", target.kind.as_str(), labels.join(","))
                }
            };
            return Err(Unserved::new(Reason::NoTargets, format!("{what}: it is governed as soon as it is there")));
        }
        if found.len() > rules.targets() {
            return Err(Unserved::new(
                Reason::TooManyTargets,
                format!(
                    "{} objects match the target, more than the {} that {} allows",
                    found.len(),
                    rules.targets(),
                    rules.name()
                ),
            ));
        }
        Ok(found)
    }

    /// The autoscaler that scales a workload.
    pub(super) fn autoscaler(&self, target: &ObjectKey) -> Option<&Object> {
        self.objects
            .keys(Kind::HorizontalPodAutoscaler, &target.namespace)
            .filter_map(|key| self.objects.get(key))
            .find(|autoscaler| scaled(autoscaler).as_ref() == Some(target))
    }

    /// An autoscaler that may be the target's: it must be read before the target may count as one without.
    pub(super) fn unread_autoscaler(&self, target: &ObjectKey) -> Option<&ObjectKey> {
        if self.autoscaler(target).is_some() {
            return None;
        }
        let mut all = self.objects.keys(Kind::HorizontalPodAutoscaler, &target.namespace);
        all.find(|key| self.objects.get(key).is_none())
    }

    /// Names of the `ConfigMap`s that a policy's knobs land in.
    pub(super) fn named_config_maps(policy: &Policy) -> Vec<ObjectKey> {
        let namespace = &policy.identity.key.0;
        let mut names: Vec<&Box<str>> = policy
            .knobs
            .iter()
            .filter_map(|knob| match &knob.landing {
                Landing::Document { file, .. } => policy.files.get(*file).map(|file| &file.config_map),
                Landing::ConfigMapKey { name, .. } => Some(name),
                Landing::Variable
                | Landing::Env(_)
                | Landing::Arg(_)
                | Landing::Option(_)
                | Landing::Resource { .. }
                | Landing::Sysctl(_)
                | Landing::NotEnforceable(_)
                | Landing::Field(_) => None,
            })
            .collect();
        names.sort();
        names.dedup();
        names.into_iter().map(|name| ObjectKey::new(Kind::ConfigMap, namespace.clone(), name.clone())).collect()
    }

    /// What is known of the `ConfigMap`s that a policy names.
    pub(super) fn config_maps(&self, policy: &Policy) -> BTreeMap<Box<str>, ConfigMap<'_>> {
        Self::named_config_maps(policy)
            .into_iter()
            .map(|key| {
                let view = match self.objects.slot(&key) {
                    None => ConfigMap::Missing,
                    Some(Slot::Bound(object)) => ConfigMap::Known(object),
                    Some(Slot::Stale(_) | Slot::Unbound { .. } | Slot::Waiting(_)) => ConfigMap::Unread,
                };
                (key.name, view)
            })
            .collect()
    }

    /// Asks for every object of a policy that is not in full view.
    pub(super) fn read_missing(&mut self, policy: &Policy, targets: &[ObjectKey], out: &mut Vec<Effect>) {
        let mut wanted: Vec<ObjectKey> = targets.to_vec();
        wanted.extend(Self::named_config_maps(policy));
        wanted.extend(self.objects.traces_of(&policy.identity.key));
        for key in wanted {
            // The end of a write brings the object by itself.
            let is_short = matches!(self.objects.slot(&key), Some(Slot::Unbound { .. } | Slot::Stale(_)));
            if is_short && !self.busy.contains(&key) {
                self.read(&key, out);
            }
        }
    }

    /// Landing places on `target` that older policies govern, with their names.
    pub(super) fn elders(&self, entry: &Entry, target: &Object) -> BTreeMap<String, Box<str>> {
        let mut elders: BTreeMap<String, Box<str>> = BTreeMap::new();
        let older = self
            .policies_in(&target.key.namespace)
            .filter(|(_, other)| other.identity.precedes(&entry.identity) && !other.identity.deleting);
        for (key, other) in older {
            let Ok(policy) = &other.parsed else { continue };
            let governs = policy
                .target
                .as_ref()
                .is_some_and(|t| t.kind == target.key.kind && t.choice.matches(&target.key.name, &target.meta.labels));
            if policy.mode != crate::api::policy::Mode::Enforce {
                continue;
            }
            let Ok(rules) = self.rules(policy) else { continue };
            if resolve::admit(policy, &rules).is_err() {
                continue;
            }
            // What lands in a ConfigMap is the elder's whatever its targets are: one value cannot be two.
            let landings = if governs {
                landings(policy, target, self.autoscaler(&target.key))
            } else if self.targets(policy, &rules).is_ok_and(|targets| !targets.is_empty()) {
                policy.knobs.iter().filter_map(|knob| config_map_landing(policy, &knob.landing)).collect()
            } else {
                Vec::new()
            };
            for landing in landings {
                elders.entry(landing).or_insert_with(|| key.1.clone());
            }
        }
        elders
    }
}

struct PerformanceClassSpecOf<'a> {
    name: &'a str,
    annotated: bool,
    created: Option<i64>,
    spec: &'a PerformanceClassSpec,
}
