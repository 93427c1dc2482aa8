//! How a series tells which workload it belongs to.

use std::collections::BTreeSet;

use super::{
    Shape,
    text::{any_of, is_plain_label, quote, quote_regex},
};
use crate::api::MetricsSourceSpec;

/// The label under which a workload's name stands in an answer, where it is cut out of the pod's name.
pub const WORKLOAD_LABEL: &str = "trimtab_workload";

/// What suffixes of names are drawn from.
const SUFFIX: &str = "bcdfghjklmnpqrstvwxz2456789";
/// What the digits of a template's hash are written as.
const HASH: &str = "456789bcdf";

/// A controller whose pods' names tell its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadKind {
    /// Pods are named `NAME-HASH-SUFFIX`.
    Deployment,
    /// Pods are named `NAME-ORDINAL`.
    StatefulSet,
    /// Pods are named `NAME-SUFFIX`.
    DaemonSet,
}

impl WorkloadKind {
    /// What follows the workload's name in a pod's, as a regular expression.
    ///
    /// Kubernetes draws suffixes from 27 characters without vowels, and writes the template's hash, a decimal number
    /// below 2^32, in ten of them. The narrow classes are what keeps a `DaemonSet` `web-agent` from being read as pods of
    /// a Deployment `web`. A hash of fewer than five characters (once in 400,000 revisions) is given up for the same
    /// reason: `web-db` is a likely name. The second dash is optional, because the API server cuts what stands before the
    /// suffix to 58 characters.
    const fn pod_suffix(self) -> &'static str {
        match self {
            Self::Deployment => "-[4-9bcdf]{5,10}-?[bcdfghjklmnpqrstvwxz2456789]{5}",
            Self::StatefulSet => "-[0-9]+",
            Self::DaemonSet => "-[bcdfghjklmnpqrstvwxz2456789]{5}",
        }
    }

    /// Whether `pod` is the name of a pod of such a `workload`: what [`Self::pod_pattern`] matches.
    #[must_use]
    pub fn is_pod_of(self, pod: &str, workload: &str) -> bool {
        let of = |text: &str, set: &str| !text.is_empty() && text.chars().all(|c| set.contains(c));
        let Some(rest) = pod.strip_prefix(workload).and_then(|rest| rest.strip_prefix('-')) else { return false };
        match self {
            Self::StatefulSet => of(rest, "0123456789"),
            Self::DaemonSet => rest.len() == 5 && of(rest, SUFFIX),
            Self::Deployment => {
                let Some((hash, suffix)) = rest.split_at_checked(rest.len().saturating_sub(5)) else { return false };
                let hash = hash.strip_suffix('-').unwrap_or(hash);
                of(suffix, SUFFIX) && (5..=10).contains(&hash.len()) && of(hash, HASH)
            }
        }
    }

    /// The anchored regular expression (RE2) that matches pods of such workloads; its first group is the workload's name.
    #[must_use]
    pub fn pod_pattern(self) -> String {
        format!("^(.+){}$", self.pod_suffix())
    }

    /// Longest name of a workload that its pods' names still tell; series of longer ones need a label of their own.
    #[must_use]
    pub const fn max_name_length(self) -> usize {
        match self {
            // 58 characters before the suffix: the name, a dash and at least five of the hash.
            Self::Deployment => 52,
            Self::DaemonSet => 57,
            // The pod's name is its host name too.
            Self::StatefulSet => 61,
        }
    }
}

/// The labels by which series of one metrics source tell where they belong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Label that holds the namespace.
    pub namespace: String,
    /// Label that holds the pod's name.
    pub pod: String,
    /// Label that holds the workload's name, where series carry one.
    pub workload: Option<String>,
    /// Whether the source can be asked for native histograms.
    pub native_histograms: bool,
}

impl Default for Identity {
    fn default() -> Self {
        Self { namespace: "namespace".to_owned(), pod: "pod".to_owned(), workload: None, native_histograms: true }
    }
}

impl Identity {
    /// The labels of a source, defaults applied.
    #[must_use]
    pub fn of(spec: &MetricsSourceSpec) -> Self {
        let default = Self::default();
        let identity = spec.identity.clone().unwrap_or_default();
        Self {
            namespace: identity.namespace.unwrap_or(default.namespace),
            pod: identity.pod.unwrap_or(default.pod),
            workload: identity.workload,
            native_histograms: spec.native_histograms.unwrap_or(true),
        }
    }

    /// How series of a workload are told apart by these labels; without a workload, those of a namespace.
    #[must_use]
    pub fn attribution(&self, workload: Option<WorkloadKind>) -> Attribution {
        let by = match (workload, &self.workload) {
            (None, _) => By::Namespace,
            (Some(_), Some(label)) => By::Label(label.clone()),
            (Some(kind), None) => By::Pod(kind),
        };
        Attribution { namespace: self.namespace.clone(), pod: self.pod.clone(), by }
    }

    /// The same for series of the cluster's own exporters: whatever labels the applications carry, theirs are `namespace`
    /// and `pod`, and they tell no workloads.
    #[must_use]
    pub fn attribution_by_pod(workload: Option<WorkloadKind>) -> Attribution {
        Self::default().attribution(workload)
    }
}

/// How the series of one query are grouped: by namespace, and by workload within it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribution {
    namespace: String,
    pod: String,
    by: By,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum By {
    /// All series of the namespace belong together.
    Namespace,
    /// A label holds the workload's name.
    Label(String),
    /// The workload's name is cut out of the pod's name.
    Pod(WorkloadKind),
}

impl Attribution {
    /// Matchers that narrow a selector to the wanted series; empty if nothing is known to be wanted.
    ///
    /// Namespaces and workloads are listed apart, and pods by what their names begin with, so that it may match a little more
    /// than wanted; whose a sample is, its key tells. A longer list is left out, because it then narrows less than it costs.
    pub(super) fn matchers(&self, wanted: &BTreeSet<SeriesKey>) -> String {
        // Unless every key names a workload, no list of workloads covers them.
        let workloads = wanted.iter().map(|key| key.workload.as_deref()).collect::<Option<BTreeSet<_>>>();
        let workloads = workloads.filter(|names| (1..=Shape::MAX_NAMES).contains(&names.len()));
        let workloads = workloads.and_then(|names| match &self.by {
            By::Namespace => None,
            By::Label(label) => Some(one_of(label, &names)),
            By::Pod(kind) => {
                if let (Some(name), 1) = (names.first(), names.len()) {
                    let pattern = format!("(?:{}){}", quote_regex(name), kind.pod_suffix());
                    return Some(format!("{}=~{}", label(&self.pod), quote(&pattern)));
                }
                // Prometheus looks a list of beginnings up like a list of names. It would try any other pattern of many names
                // on each pod's name.
                let begins: Vec<String> = names.into_iter().map(|name| format!("{}-.*", quote_regex(name))).collect();
                Some(format!("{}=~{}", label(&self.pod), quote(&begins.join("|"))))
            }
        });
        let namespaces = Some(self.namespaces(wanted)).filter(|matcher| !matcher.is_empty());
        namespaces.into_iter().chain(workloads).collect::<Vec<_>>().join(",")
    }

    /// The matcher of the wanted namespaces alone, for series that tell no pod.
    pub(super) fn namespaces(&self, wanted: &BTreeSet<SeriesKey>) -> String {
        let names: BTreeSet<&str> = wanted.iter().map(|key| &*key.namespace).collect();
        if (1..=Shape::MAX_NAMESPACES).contains(&names.len()) { one_of(&self.namespace, &names) } else { String::new() }
    }

    /// The labels that group an aggregation: `namespace,trimtab_workload,le`.
    pub(super) fn labels<'a>(&self, extra: impl IntoIterator<Item = &'a str>) -> String {
        let workload = match &self.by {
            By::Namespace => None,
            By::Label(workload) => Some(label(workload)),
            By::Pod(_) => Some(WORKLOAD_LABEL.to_owned()),
        };
        let own = [label(&self.namespace)].into_iter().chain(workload);
        own.chain(extra.into_iter().map(label)).collect::<Vec<_>>().join(",")
    }

    /// The names of the labels that tell whose a sample of an answer is.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let workload = match &self.by {
            By::Namespace => None,
            By::Label(workload) => Some(workload.as_str()),
            By::Pod(_) => Some(WORKLOAD_LABEL),
        };
        [self.namespace.as_str()].into_iter().chain(workload)
    }

    /// The label whose value is the workload's name.
    pub(super) fn workload_label(&self) -> Option<&str> {
        match &self.by {
            By::Namespace => None,
            By::Label(label) => Some(label),
            By::Pod(_) => Some(WORKLOAD_LABEL),
        }
    }

    /// The labels that tell one pod, or a part of one by `extra`.
    pub(super) fn pod_labels<'a>(&self, extra: impl IntoIterator<Item = &'a str>) -> String {
        let own = [label(&self.namespace), label(&self.pod)].into_iter();
        own.chain(extra.into_iter().map(label)).collect::<Vec<_>>().join(",")
    }

    /// The labels that tell one pod and its workload, or a part of one by `extra`.
    pub(super) fn labels_of_pod<'a>(&'a self, extra: impl IntoIterator<Item = &'a str>) -> String {
        let workload = match &self.by {
            By::Label(workload) => Some(workload.as_str()),
            By::Namespace | By::Pod(_) => None,
        };
        self.pod_labels(workload.into_iter().chain(extra))
    }

    /// The labels that tell something of a namespace.
    pub(super) fn namespace_labels(&self, of: &str) -> String {
        format!("{},{}", label(&self.namespace), label(of))
    }

    /// `vector` with the label that the clause groups by.
    pub(super) fn labelled(&self, vector: &str) -> String {
        match &self.by {
            By::Namespace | By::Label(_) => vector.to_owned(),
            By::Pod(kind) => {
                let (pod, pattern) = (quote(&self.pod), quote(&kind.pod_pattern()));
                format!(r#"label_replace({vector},"{WORKLOAD_LABEL}","$1",{pod},{pattern})"#)
            }
        }
    }

    /// Whose sample it is, by its labels; `None` if the labels do not tell.
    pub fn key<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> Option<SeriesKey> {
        let value = |name: &str| label(name).filter(|value| !value.is_empty()).map(Box::from);
        let namespace = value(&self.namespace)?;
        let workload = match &self.by {
            By::Namespace => None,
            By::Label(name) => Some(value(name)?),
            By::Pod(_) => Some(value(WORKLOAD_LABEL)?),
        };
        Some(SeriesKey { namespace, workload, group: Group::default() })
    }
}

/// A matcher for exactly these values. Prometheus looks such a set up instead of matching it.
fn one_of(name: &str, values: &BTreeSet<&str>) -> String {
    match values.first() {
        Some(value) if values.len() == 1 => format!("{}={}", label(name), quote(value)),
        _ => format!("{}=~{}", label(name), quote(&any_of(values.iter().copied()))),
    }
}

fn label(name: &str) -> String {
    if is_plain_label(name) { name.to_owned() } else { quote(name) }
}

/// Whose sample it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The namespace.
    pub namespace: Box<str>,
    /// The workload's name; nothing where the query groups by namespace only.
    pub workload: Option<Box<str>>,
    /// Values of the labels that a threshold keeps apart; none where it keeps none.
    pub group: Group,
}

/// Values of the labels that a threshold keeps apart, in the order of the labels. A label that a series lacks is empty.
pub type Group = Box<[Box<str>]>;

impl SeriesKey {
    /// The key of a workload's samples.
    #[must_use]
    pub fn workload(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), workload: Some(name.into()), group: Group::default() }
    }

    /// The key of a namespace's samples.
    #[must_use]
    pub fn namespace(namespace: &str) -> Self {
        Self { namespace: namespace.into(), workload: None, group: Group::default() }
    }

    /// The same workload (or namespace), whatever the group.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        (&self.namespace, &self.workload) == (&other.namespace, &other.workload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_tells_its_own_workload_and_no_other_whose_name_begins_alike() {
        for (kind, pod, is) in [
            (WorkloadKind::Deployment, "api-7d9c5b4f68-x2k9z", true),
            (WorkloadKind::Deployment, "api-7d9c5b4f68x2k9z", true),
            (WorkloadKind::Deployment, "api-worker-7d9c5b4f68-x2k9z", false),
            (WorkloadKind::Deployment, "api-x2k9z", false),
            (WorkloadKind::Deployment, "apis-7d9c5b4f68-x2k9z", false),
            (WorkloadKind::Deployment, "api", false),
            (WorkloadKind::Deployment, "api-é", false),
            (WorkloadKind::StatefulSet, "api-0", true),
            (WorkloadKind::StatefulSet, "api-12", true),
            (WorkloadKind::StatefulSet, "api-db-0", false),
            (WorkloadKind::DaemonSet, "api-x2k9z", true),
            (WorkloadKind::DaemonSet, "api-agent", false),
        ] {
            assert_eq!(kind.is_pod_of(pod, "api"), is, "{kind:?} {pod}");
        }
    }
}
