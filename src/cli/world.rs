//! Worlds for commands: the same engine as the operator's, filled from files or from a cluster.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, bail};
use kube::{
    Api, Client,
    api::{ListParams, Request},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    files::{self, Known},
    select::talk,
};
use crate::{
    api::{
        ConnectionBudget, MetricsSource, MetricsSourceSpec, PerformanceClass, PerformancePolicy,
        conditions::Reason,
        policy::{Mode, Sink},
        source::Prometheus,
    },
    core::{
        engine::{Change, Config, Effect, Input, Listing, Stream, World, step},
        facts::{DisruptionBudget, DisruptionKey, Instant, Kind, Release, Seen, object::Wire},
        ownership::LAST_APPLIED,
        policy::PolicyKey,
    },
};

/// What the engine has to know beside objects.
#[derive(Clone, Debug, clap::Args)]
pub struct Surroundings {
    /// Namespace of the operator, in which no policy may change anything
    #[arg(long, value_name = "NAME", default_value = "trimtab-system")]
    operator_namespace: String,
}

/// Documents of a command: policies, and whatever else of the cluster was given.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    /// Policies, in the order of the files.
    pub policies: Vec<PerformancePolicy>,
    classes: Vec<PerformanceClass>,
    /// Whether the cluster's classes may not be read.
    classless: bool,
    sources: Vec<MetricsSource>,
    budgets: Vec<ConnectionBudget>,
    /// Namespaces whose budgets may not be read.
    budgetless: Vec<String>,
    /// `PodDisruptionBudget`s of the cluster. What a file says of one tells nothing of what it allows now.
    disruptions: Vec<(DisruptionKey, DisruptionBudget)>,
    objects: Vec<Seen>,
    /// Kinds of other projects that the cluster does not show.
    unserved: BTreeMap<Kind, Reason>,
    /// The version of the cluster, if one was asked.
    kubernetes: Option<Release>,
}

impl Documents {
    /// Reads manifests, as [`files::read`] does. There must be a policy among them.
    pub fn read(paths: &[PathBuf], namespace: &str) -> anyhow::Result<Self> {
        let mut documents = Self::default();
        for document in files::read(paths, namespace)? {
            let origin = &document.origin;
            match document.kind {
                Known::Policy => documents.policies.push(typed(document.value, origin)?),
                Known::Class => documents.classes.push(typed(document.value, origin)?),
                Known::Source => documents.sources.push(typed(document.value, origin)?),
                Known::Budget => documents.budgets.push(typed(document.value, origin)?),
                Known::Object(kind) => {
                    let seen = Seen::from_json(kind, &document.value.to_string())
                        .with_context(|| format!("reading {} in {origin}", kind.as_str()))?;
                    documents.objects.push(seen);
                }
            }
        }
        if documents.policies.is_empty() {
            bail!(
                "no PerformancePolicy in {}",
                paths.iter().map(|p| format!("\"{}\"", p.display())).collect::<Vec<_>>().join(", ")
            );
        }
        Ok(documents)
    }

    /// The world that these documents make.
    #[must_use]
    pub fn into_world(self, surroundings: &Surroundings, now: Instant) -> World {
        let mut world = World::new(Config {
            operator_namespace: surroundings.operator_namespace.as_str().into(),
            kubernetes: self.kubernetes.unwrap_or(Release::NEWEST),
            at_once: true,
        });
        // First, so that every object is judged by the policies that are there.
        step(&mut world, Input::Listed(Stream::Policies, Listing::default()), now);
        for class in self.classes {
            step(&mut world, Input::Class(Change::Applied(Box::new(class))), now);
        }
        for source in self.sources {
            step(&mut world, Input::Source(Change::Applied(Box::new(source))), now);
        }
        for budget in self.budgets {
            step(&mut world, Input::Budget(Change::Applied(Box::new(budget))), now);
        }
        for budget in self.disruptions {
            step(&mut world, Input::Disruption(Change::Applied(Box::new(budget))), now);
        }
        for mut policy in self.policies {
            // Nor is a budget.
            if policy.metadata.namespace.as_ref().is_some_and(|namespace| self.budgetless.contains(namespace)) {
                policy.spec.pools.iter_mut().for_each(|pool| pool.budget = None);
            }
            if self.classless {
                // A class that nobody here can read is no class that does not exist.
                policy.spec.class_name = None;
            }
            step(&mut world, Input::Policy(Change::Applied(Box::new(policy))), now);
        }
        // First, because those of the files are there.
        for (kind, reason) in self.unserved {
            step(&mut world, Input::Unserved(Stream::Objects(kind), reason), now);
        }
        for object in self.objects {
            step(&mut world, Input::Object(Change::Applied(Box::new(object))), now);
        }
        world
    }

    /// The same world, led by this process and with nothing left to be listed, and what it asks for.
    #[must_use]
    pub fn into_leading_world(self, surroundings: &Surroundings, now: Instant) -> (World, Vec<Effect>) {
        let names = |name: &Option<String>| (Box::<str>::from(""), Box::<str>::from(name.clone().unwrap_or_default()));
        let classes = self.classes.iter().map(|class| names(&class.metadata.name)).collect();
        let sources = self.sources.iter().map(|source| names(&source.metadata.name)).collect();
        let budget = |budget: &ConnectionBudget| {
            let of = &budget.metadata;
            let text = |text: &Option<String>| Box::<str>::from(text.clone().unwrap_or_default());
            (text(&of.namespace), text(&of.name))
        };
        let budgets = self.budgets.iter().map(budget).collect();
        let of_kind = |kind: Kind| {
            let objects = self.objects.iter().filter(|seen| seen.key.kind == kind);
            objects.map(|seen| (seen.key.namespace.clone(), seen.key.name.clone())).collect()
        };
        let disruptions = self.disruptions.iter().map(|(key, _)| key.clone()).collect();
        let mut lists = vec![
            (Stream::Classes, classes),
            (Stream::Sources, sources),
            (Stream::Budgets, budgets),
            (Stream::Disruptions, disruptions),
        ];
        lists.extend(Kind::ALL.map(|kind| (Stream::Objects(kind), of_kind(kind))));
        let mut world = self.into_world(surroundings, now);
        for (stream, names) in lists {
            step(&mut world, Input::Listed(stream, Listing { names }), now);
        }
        let effects = step(&mut world, Input::Leadership(true), now);
        (world, effects)
    }

    /// The metrics sources.
    #[must_use]
    pub fn sources(&self) -> &[MetricsSource] {
        &self.sources
    }

    /// Lets every policy be read from the server at `url`. How series tell their workload stays what its source says.
    pub fn read_from(&mut self, url: &str) {
        let of_policies =
            self.policies.iter().map(|policy| policy.spec.metrics.as_ref().and_then(|m| m.source.clone()));
        let of_classes = self.classes.iter().map(|class| class.spec.source.clone());
        let mut names: Vec<String> =
            of_policies.chain(of_classes).map(|name| name.unwrap_or_else(|| "default".to_owned())).collect();
        names.push("default".to_owned());
        names.sort();
        names.dedup();
        for name in names {
            if !self.sources.iter().any(|source| source.metadata.name.as_deref() == Some(&*name)) {
                self.sources.push(MetricsSource::new(&name, MetricsSourceSpec::default()));
            }
        }
        for source in &mut self.sources {
            // What the operator needs to be let in is mounted where the operator runs.
            source.spec.prometheus = Prometheus { url: url.to_owned(), ..Prometheus::default() };
        }
    }

    /// Lets every policy measure and tell of breaches, and none write: for those who only want to know what would happen.
    pub fn observe(&mut self) {
        for policy in &mut self.policies {
            policy.spec.mode = Some(Mode::Observe);
            policy.spec.alerting.get_or_insert_default().sink = Some(Sink::Alertmanager);
        }
        for source in self.sources.iter_mut().filter(|source| source.spec.alertmanagers.is_empty()) {
            // Nobody is there, but what would be sent is told.
            source.spec.alertmanagers.push("http://replay.invalid".to_owned());
        }
    }

    /// Adds the cluster's metrics sources, as far as they may be read and no file has one of the name.
    pub async fn add_sources(&mut self, client: &Client) -> anyhow::Result<()> {
        let Some(sources) = list(Api::<MetricsSource>::all(client.clone()), "metricssources").await? else {
            talk("note: you may not list metricssources; --prometheus URL names a server");
            return Ok(());
        };
        let known: Vec<_> = self.sources.iter().map(|mine| mine.metadata.name.clone()).collect();
        self.sources.extend(sources.into_iter().filter(|source| !known.contains(&source.metadata.name)));
        Ok(())
    }

    /// Makes the policies of these names be under one profile, those that have it.
    pub fn force_profile(&mut self, profile: &str, names: &[PolicyKey]) -> anyhow::Result<()> {
        let mut found = false;
        for policy in &mut self.policies {
            let name = |text: &Option<String>| text.clone().unwrap_or_default().into();
            let key = (name(&policy.metadata.namespace), name(&policy.metadata.name));
            if names.contains(&key) && policy.spec.profiles.iter().any(|known| known.name == profile) {
                policy.spec.profile = Some(profile.to_owned());
                found = true;
            }
        }
        if !found {
            bail!("no policy of these files has a profile \"{profile}\": spec.profiles lists them");
        }
        Ok(())
    }

    /// Whether classes were left out, because they may not be read.
    #[must_use]
    pub fn classless(&self) -> bool {
        self.classless
    }

    /// Adds what the cluster has beside the policies of the files: classes, and the budgets, objects and other policies of the
    /// policies' namespaces. A policy of the files is planned as if it were applied now.
    pub async fn join(mut self, client: &Client) -> anyhow::Result<Self> {
        let mut namespaces: Vec<String> =
            self.policies.iter().filter_map(|policy| policy.metadata.namespace.clone()).collect();
        namespaces.sort();
        namespaces.dedup();
        let mut live = Self::default();
        live.add_classes(client).await?;
        self.kubernetes = Some(release(client).await);
        for namespace in namespaces {
            live.add_namespace(client, &namespace).await?;
        }
        self.classless = live.classless;
        live.classes.retain(|class| !self.classes.iter().any(|mine| mine.metadata.name == class.metadata.name));
        self.classes.extend(live.classes);
        let named = |budget: &ConnectionBudget| (budget.metadata.namespace.clone(), budget.metadata.name.clone());
        live.budgets.retain(|budget| !self.budgets.iter().any(|mine| named(mine) == named(budget)));
        self.budgets.extend(live.budgets);
        self.budgetless = live.budgetless;
        self.objects.extend(live.objects);
        self.disruptions = live.disruptions;
        self.unserved = live.unserved;
        for policy in live.policies {
            let same = |mine: &&mut PerformancePolicy| {
                mine.metadata.name == policy.metadata.name && mine.metadata.namespace == policy.metadata.namespace
            };
            match self.policies.iter_mut().find(same) {
                Some(mine) => *mine = applied(mine, &policy)?,
                None => self.policies.push(policy),
            }
        }
        Ok(self)
    }

    /// Everything of one namespace that policies may have to do with.
    pub async fn of_cluster(client: &Client, namespace: &str) -> anyhow::Result<Self> {
        let mut documents = Self::default();
        documents.add_classes(client).await?;
        documents.kubernetes = Some(release(client).await);
        documents.add_namespace(client, namespace).await?;
        Ok(documents)
    }

    /// Classes are cluster-scoped, so whoever has rights in a namespace only may not read them. That is no reason to know
    /// nothing at all.
    async fn add_classes(&mut self, client: &Client) -> anyhow::Result<()> {
        let classes = list(Api::all(client.clone()), "performanceclasses").await?;
        self.classless = classes.is_none();
        self.classes = classes.unwrap_or_default();
        if self.classless {
            talk(
                "note: you may not list performanceclasses, so nothing is known of their limits; \
                 the chart's value classReaders names groups that may",
            );
        }
        Ok(())
    }

    async fn add_namespace(&mut self, client: &Client, namespace: &str) -> anyhow::Result<()> {
        let policies = list(Api::namespaced(client.clone(), namespace), "performancepolicies").await?;
        let Some(policies) = policies else {
            bail!("listing performancepolicies of namespace \"{namespace}\": you may not; ask for the role view there");
        };
        self.policies.extend(policies);
        if let Some(budgets) = list(Api::namespaced(client.clone(), namespace), "connectionbudgets").await? {
            self.budgets.extend(budgets);
        } else {
            talk(format!(
                "note: you may not list connectionbudgets of namespace \"{namespace}\", so pools are held to none; ask for \
                 the role view there"
            ));
            self.budgetless.push(namespace.to_owned());
        }
        for kind in Kind::ALL {
            let prefix =
                if kind.api_version() == "v1" { "/api/v1".to_owned() } else { format!("/apis/{}", kind.api_version()) };
            match items(client, &prefix, namespace, kind.plural()).await? {
                Ok(items) => {
                    for item in items {
                        let seen = item.into_seen(kind).with_context(|| format!("reading {}", kind.plural()))?;
                        self.objects.push(seen);
                    }
                }
                Err((reason, _)) if kind.is_foreign() => drop(self.unserved.insert(kind, reason)),
                Err((_, error)) => return Err(error),
            }
        }
        let budgets = "poddisruptionbudgets";
        match items(client, "/apis/policy/v1", namespace, budgets).await? {
            Ok(items) => {
                for item in items {
                    let budget = item.into_disruption_budget().with_context(|| format!("reading {budgets}"))?;
                    self.disruptions.push(budget);
                }
            }
            Err(_) => talk(format!(
                "note: you may not list {budgets} of namespace \"{namespace}\", so nothing is known of rollouts that they make \
                 wait; ask for the role view there"
            )),
        }
        Ok(())
    }
}

/// Everything of one resource in a namespace, or why it is not shown, where that may be no failure: a cluster need not have it, nor
/// everybody the right.
async fn items(
    client: &Client,
    prefix: &str,
    namespace: &str,
    plural: &str,
) -> anyhow::Result<Result<Vec<Wire>, (Reason, anyhow::Error)>> {
    let path = format!("{prefix}/namespaces/{namespace}/{plural}");
    let request = Request::new(path).list(&ListParams::default()).context("building a request")?;
    let text = match client.request_text(request).await {
        Ok(text) => text,
        Err(error) => {
            let reason = refused(&error);
            let error = anyhow::Error::new(error).context(format!("listing {plural} of namespace \"{namespace}\""));
            return match reason {
                Some(reason) => Ok(Err((reason, error))),
                None => Err(error),
            };
        }
    };
    let list: Items = serde_json::from_str(&text).with_context(|| format!("reading the list of {plural}"))?;
    Ok(Ok(list.items))
}

/// Why objects of a kind are not shown, where that is no failure: a cluster need not have it, nor everybody the right.
fn refused(error: &kube::Error) -> Option<Reason> {
    match error {
        kube::Error::Api(status) if status.code == 404 => Some(Reason::KindNotServed),
        kube::Error::Api(status) if status.code == 403 => Some(Reason::Forbidden),
        _ => None,
    }
}

#[derive(serde::Deserialize)]
struct Items {
    items: Vec<Wire>,
}

/// The version of the cluster; what it does not say is taken for older than anything.
async fn release(client: &Client) -> Release {
    match client.apiserver_version().await {
        Ok(info) => Release::read(&info.major, &info.minor),
        Err(error) => {
            talk(format_args!(
                "note: the API server does not say its version ({error}): newer safe sysctls are refused"
            ));
            Release::UNKNOWN
        }
    }
}

/// Lists objects of one of our kinds; `None`: that is forbidden.
pub async fn list<K>(api: Api<K>, what: &str) -> anyhow::Result<Option<Vec<K>>>
where
    K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned,
{
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(Some(list.items)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            bail!("listing {what}: the cluster does not know them; \"trimtab crds apply\" installs the CRDs")
        }
        Err(error) => Err(error).with_context(|| format!("listing {what}")),
    }
}

/// The policy that `kubectl apply` of `file` makes of the `live` one. What people and the operator have put on it stays: the
/// annotations of `suspend` and `resume`, finalizers, a deletion that has begun, the status.
fn applied(file: &PerformancePolicy, live: &PerformancePolicy) -> anyhow::Result<PerformancePolicy> {
    let name = live.metadata.name.as_deref().unwrap_or_default();
    let context = || format!("applying performancepolicy \"{name}\" to the live one");
    let mut merged = serde_json::to_value(live).with_context(context)?;
    let file = serde_json::to_value(file).with_context(context)?;
    let last = live.metadata.annotations.as_ref().and_then(|annotations| annotations.get(LAST_APPLIED));
    let last: Value = match last {
        Some(text) => serde_json::from_str(text).with_context(|| format!("reading {LAST_APPLIED} of \"{name}\""))?,
        None => Value::Null,
    };
    for member in ["annotations", "labels"] {
        let of = |object: &Value| object["metadata"].get(member).cloned().unwrap_or_else(|| json!({}));
        let mut all = of(&merged);
        merge(&mut all, &of(&last), &of(&file));
        merged["metadata"][member] = all;
    }
    let before = merged["spec"].clone();
    if last.is_null() {
        // Somebody else's tool made it: most of them put the whole spec in place.
        merged["spec"] = file["spec"].clone();
    } else {
        merge(&mut merged["spec"], &last["spec"], &file["spec"]);
    }
    if merged["spec"] != before {
        merged["metadata"]["generation"] = json!(live.metadata.generation.unwrap_or_default() + 1);
    }
    serde_json::from_value(merged).with_context(context)
}

/// The merge of `kubectl apply`: what `file` says holds, what it no longer says but said `last` time goes, the rest stays.
fn merge(live: &mut Value, last: &Value, file: &Value) {
    match (live, file) {
        (Value::Object(live), Value::Object(file)) => {
            live.retain(|member, _| file.contains_key(member) || last.get(member).is_none());
            for (member, value) in file {
                merge(live.entry(member).or_insert(Value::Null), &last[member.as_str()], value);
            }
        }
        (live, file) => *live = file.clone(),
    }
}

fn typed<T: DeserializeOwned>(value: Value, origin: &str) -> anyhow::Result<T> {
    serde_json::from_value(value).with_context(|| format!("reading {origin}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::names;

    fn policy(metadata: &Value, spec: &Value) -> PerformancePolicy {
        let mut all = json!({"apiVersion": "trimtab.dev/v1alpha1", "kind": "PerformancePolicy", "spec": spec});
        all["metadata"] = metadata.clone();
        serde_json::from_value(all).unwrap()
    }

    fn target() -> Value {
        json!({"target": {"kind": "Deployment", "name": "api"}})
    }

    #[test]
    fn a_policy_of_a_file_keeps_what_was_put_on_the_live_one() {
        let mut live = policy(
            &json!({
                "name": "api", "namespace": "shop", "uid": "u-1", "generation": 4,
                "creationTimestamp": "2026-11-21T10:00:00Z", "deletionTimestamp": "2026-11-21T11:00:00Z",
                "finalizers": [names::RESTORE_FINALIZER],
                "annotations": {names::SUSPENDED: "night shift", names::RESUMED_AT: "2026-11-21T09:00:00Z", "team": "a"},
            }),
            &target(),
        );
        live.status = Some(crate::api::PerformancePolicyStatus::default());
        let file = policy(&json!({"name": "api", "namespace": "shop", "annotations": {"team": "b"}}), &target());
        let applied = applied(&file, &live).unwrap();
        let annotations = applied.metadata.annotations.as_ref().unwrap();
        assert_eq!(annotations[names::SUSPENDED], "night shift");
        assert_eq!(annotations[names::RESUMED_AT], "2026-11-21T09:00:00Z");
        assert_eq!(annotations["team"], "b");
        assert_eq!(applied.metadata.uid.as_deref(), Some("u-1"));
        assert_eq!(applied.metadata.creation_timestamp, live.metadata.creation_timestamp);
        assert_eq!(applied.metadata.deletion_timestamp, live.metadata.deletion_timestamp);
        assert_eq!(applied.metadata.finalizers, live.metadata.finalizers);
        assert!(applied.status.is_some());
        assert_eq!(applied.metadata.generation, Some(4), "the spec is the same");
    }

    #[test]
    fn another_spec_is_another_generation() {
        let live = policy(&json!({"name": "api", "generation": 4}), &target());
        let mut spec = target();
        spec["mode"] = json!("Enforce");
        let applied = applied(&policy(&json!({"name": "api"}), &spec), &live).unwrap();
        assert_eq!(applied.metadata.generation, Some(5));
        assert_eq!(applied.spec.mode, Some(crate::api::policy::Mode::Enforce));
    }

    #[test]
    fn what_kubectl_applied_before_and_the_file_no_longer_says_goes_and_edits_of_others_stay() {
        let last = json!({"metadata": {"annotations": {"old": "1"}}, "spec": {"mode": "Enforce", "target": target()["target"]}});
        let mut spec = target();
        spec["mode"] = json!("Enforce");
        spec["suspend"] = json!(true);
        let live = policy(
            &json!({"name": "api", "generation": 2, "annotations": {"old": "1", "by-hand": "1", LAST_APPLIED: last.to_string()}}),
            &spec,
        );
        let applied = applied(&policy(&json!({"name": "api"}), &target()), &live).unwrap();
        assert_eq!(applied.spec.mode, None);
        assert_eq!(applied.spec.suspend, Some(true), "kubectl patch set it, and the file never said anything of it");
        let annotations = applied.metadata.annotations.unwrap();
        assert!(!annotations.contains_key("old") && annotations.contains_key("by-hand"), "{annotations:?}");
        assert_eq!(applied.metadata.generation, Some(3));
    }

    #[test]
    fn without_a_view_of_the_classes_a_named_one_is_not_taken_for_missing() {
        let mut spec = target();
        spec["className"] = json!("gold");
        let documents = |classless| Documents {
            policies: vec![policy(&json!({"name": "api", "namespace": "shop"}), &spec)],
            classless,
            ..Documents::default()
        };
        let surroundings = Surroundings { operator_namespace: "trimtab-system".to_owned() };
        let now = Instant::from_millis(0);
        let missing = |classless| {
            let accounts = documents(classless).into_world(&surroundings, now).accounts(now);
            accounts[0].troubles.iter().any(|(_, message)| message.contains("class \"gold\" does not exist"))
        };
        assert!(missing(false));
        assert!(!missing(true));
    }
}
