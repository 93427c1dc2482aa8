//! One watch per kind: what the API server shows becomes inputs of the engine.
//!
//! Lists are quorum reads: a list from a cache may be older than what this process saw before, and the engine would take
//! it for the truth. (`kube`'s streaming lists start at resource version 0 and have the same fault.)

mod decode;
mod lists;

use std::{fmt, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::select_all};
use kube::{
    Api, Client, Resource,
    api::ApiResource,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::{sync::mpsc, task::JoinSet};
use tracing::{debug, info, warn};

use self::{
    decode::{Guarded, Ruled, Slim, Trouble},
    lists::{Lists, Name},
};
use super::{
    execute::describe,
    health::{Health, stream_name},
    telemetry::Metrics,
};
use crate::{
    api::{ConnectionBudget, MetricsSource, PerformanceClass, PerformancePolicy, conditions::Reason, names},
    core::{
        engine::{Input, Stream},
        facts::Kind,
        rules,
    },
};

/// The streams of the operator.
pub const STREAMS: [Stream; 14] = [
    Stream::Policies,
    Stream::Classes,
    Stream::Sources,
    Stream::Budgets,
    Stream::Disruptions,
    Stream::Rules,
    Stream::Objects(Kind::Deployment),
    Stream::Objects(Kind::StatefulSet),
    Stream::Objects(Kind::DaemonSet),
    Stream::Objects(Kind::HorizontalPodAutoscaler),
    Stream::Objects(Kind::ConfigMap),
    Stream::Objects(Kind::Cluster),
    Stream::Objects(Kind::Pooler),
    Stream::Objects(Kind::Stream),
];

/// Time after which it is looked again for a kind that the cluster does not serve.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// Time after which a kind that is gone all of a sudden is looked for once more, before its objects count as gone.
const DOUBT: Duration = Duration::from_secs(5);

/// What every watch needs.
#[derive(Clone)]
pub struct Watches {
    /// A client that does not retry by itself.
    pub client: Client,
    /// Namespaces to watch; none: the whole cluster.
    pub namespaces: Vec<String>,
    /// Kinds of other projects to watch, as far as the cluster serves them.
    pub foreign: Vec<Kind>,
    /// Where inputs go.
    pub inputs: mpsc::Sender<Input>,
    /// Where lists and errors are counted.
    pub metrics: Arc<Metrics>,
    /// Who has to know that a stream is listed.
    pub health: Arc<Health>,
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches").field("namespaces", &self.namespaces).finish_non_exhaustive()
    }
}

impl Watches {
    /// Starts all streams. They end when the set is dropped, or when nobody takes inputs any more.
    ///
    /// Objects are listed after policies: the engine keeps what a policy is bound to and drops the rest, which it cannot
    /// do while it does not know the policies.
    #[must_use]
    pub fn start(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for stream in STREAMS {
            // A counter is there before it counts: an increase is between two samples.
            self.metrics.watch_errors.with_label_values(&[stream_name(stream)]);
            match stream {
                Stream::Policies => {
                    let apis = self.scoped(Api::all, Api::namespaced);
                    tasks.spawn(end(self.clone().follow(stream, apis, Guarded::<PerformancePolicy>::into_input)));
                }
                Stream::Classes => {
                    let apis = vec![Api::all(self.client.clone())];
                    tasks.spawn(end(self.clone().follow(stream, apis, |shown: Guarded<PerformanceClass>, gone| {
                        shown.into_change(gone, |(_, name)| name).map(Input::Class)
                    })));
                }
                Stream::Sources => {
                    let apis = vec![Api::all(self.client.clone())];
                    tasks.spawn(end(self.clone().follow(stream, apis, |shown: Guarded<MetricsSource>, gone| {
                        shown.into_change(gone, |(_, name)| name).map(Input::Source)
                    })));
                }
                Stream::Budgets => {
                    let apis = self.scoped(Api::all, Api::namespaced);
                    tasks.spawn(end(self.clone().follow(stream, apis, |shown: Guarded<ConnectionBudget>, gone| {
                        shown.into_change(gone, |name| name).map(Input::Budget)
                    })));
                }
                Stream::Disruptions => {
                    let resource = disruption_budgets();
                    let apis = self.scoped(
                        |client| Api::all_with(client, &resource),
                        |client, namespace| Api::namespaced_with(client, namespace, &resource),
                    );
                    tasks.spawn(end(self.clone().follow(stream, apis, |shown: Slim<false>, gone| {
                        shown.into_disruption(gone).map(Input::Disruption)
                    })));
                }
                Stream::Rules => {
                    tasks.spawn(self.clone().follow_rules());
                }
                // A change of a ConfigMap says no more than that there was one: only bound ones are read, by the engine.
                Stream::Objects(kind @ Kind::ConfigMap) => {
                    tasks.spawn(end(self.clone().follow_objects::<true>(stream, kind)));
                }
                Stream::Objects(kind) if kind.is_foreign() => {
                    tasks.spawn(self.clone().follow_foreign(stream, kind));
                }
                Stream::Objects(kind) => {
                    tasks.spawn(end(self.clone().follow_objects::<false>(stream, kind)));
                }
            }
        }
        tasks
    }

    /// Follows a kind for as long as the cluster serves it, and looks for it again for as long as it does not. Nothing else
    /// waits for it.
    async fn follow_foreign(self, stream: Stream, kind: Kind) {
        if !self.foreign.contains(&kind) {
            self.unserved(stream, Reason::Forbidden).await;
            // The other streams go on, and the end of one would count as the end of all.
            return std::future::pending().await;
        }
        self.clone().while_served(stream, || self.clone().follow_objects::<false>(stream, kind)).await;
    }

    /// The same for the rules that are ours.
    async fn follow_rules(self) {
        let resource = prometheus_rules();
        let follow = || {
            let apis = self.scoped(
                |client| Api::all_with(client, &resource),
                |client, namespace| Api::namespaced_with(client, namespace, &resource),
            );
            let ours = watcher::Config::default().labels(names::RULE_POLICY);
            self.clone().follow_selected(Stream::Rules, apis, ours, |shown: Ruled, gone| {
                Ok(Input::Rule(shown.into_change(gone)))
            })
        };
        self.clone().while_served(Stream::Rules, follow).await;
    }

    async fn while_served<F: Future<Output = End>>(self, stream: Stream, follow: impl Fn() -> F) {
        // A server that is starting may not know all its kinds yet: what was there is doubted to be gone, once.
        let (mut known, mut doubted) = (false, false);
        while let End::NotServed { listed } = follow().await {
            if listed {
                (known, doubted) = (true, false);
            }
            if known && !doubted {
                doubted = true;
                tokio::time::sleep(DOUBT).await;
                continue;
            }
            known = false;
            info!(kind = stream_name(stream), "the cluster does not serve the kind; looking again in a minute");
            if !self.unserved(stream, Reason::KindNotServed).await {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Tells that a stream shows nothing. Answers whether anybody listens.
    async fn unserved(&self, stream: Stream, reason: Reason) -> bool {
        self.no_longer_awaited(stream);
        match stream {
            Stream::Objects(kind) => self.metrics.forget_watch(kind.plural()),
            Stream::Disruptions => self.metrics.forget_watch(&disruption_budgets().plural),
            Stream::Rules => self.metrics.forget_watch(&prometheus_rules().plural),
            Stream::Policies | Stream::Classes | Stream::Sources | Stream::Budgets => {}
        }
        self.inputs.send(Input::Unserved(stream, reason)).await.is_ok()
    }

    async fn follow_objects<const METADATA_ONLY: bool>(self, stream: Stream, kind: Kind) -> End {
        self.health.until_listed(Stream::Policies).await;
        let resource = resource(kind);
        let apis = self.scoped(
            |client| Api::all_with(client, &resource),
            |client, namespace| Api::namespaced_with(client, namespace, &resource),
        );
        self.follow(stream, apis, move |shown: Slim<METADATA_ONLY>, gone| {
            shown.into_change(kind, gone).map(Input::Object)
        })
        .await
    }

    /// One `Api` for the cluster, or one per namespace.
    fn scoped<K>(
        &self,
        all: impl FnOnce(Client) -> Api<K>,
        namespaced: impl Fn(Client, &str) -> Api<K>,
    ) -> Vec<Api<K>> {
        if self.namespaces.is_empty() {
            return vec![all(self.client.clone())];
        }
        self.namespaces.iter().map(|namespace| namespaced(self.client.clone(), namespace)).collect()
    }

    /// Follows one kind in all its namespaces. `read` turns what is shown, or gone, into an input.
    async fn follow<K>(
        self,
        stream: Stream,
        apis: Vec<Api<K>>,
        read: impl Fn(K, bool) -> Result<Input, Trouble> + Send + 'static,
    ) -> End
    where
        K: Resource + Clone + fmt::Debug + DeserializeOwned + Send + 'static,
    {
        self.follow_selected(stream, apis, watcher::Config::default(), read).await
    }

    /// The same for those objects alone that `config` selects.
    async fn follow_selected<K>(
        self,
        stream: Stream,
        apis: Vec<Api<K>>,
        config: watcher::Config,
        read: impl Fn(K, bool) -> Result<Input, Trouble> + Send + 'static,
    ) -> End
    where
        K: Resource + Clone + fmt::Debug + DeserializeOwned + Send + 'static,
    {
        let foreign = match stream {
            Stream::Objects(kind) => kind.is_foreign(),
            Stream::Rules => true,
            Stream::Policies | Stream::Classes | Stream::Sources | Stream::Budgets | Stream::Disruptions => false,
        };
        // What cannot be told of these keeps nobody waiting but those whom it concerns.
        let optional = foreign || stream == Stream::Disruptions;
        let (mut listed, mut excused) = (false, false);
        let mut lists = Lists::new(apis.len());
        let mut events =
            select_all(apis.into_iter().enumerate().map(|(part, api)| {
                watcher(api, config.clone()).default_backoff().map(move |event| (part, event)).boxed()
            }));
        while let Some((part, event)) = events.next().await {
            let input = match event {
                Ok(Event::Init) => {
                    lists.begin(part);
                    continue;
                }
                Ok(Event::InitApply(shown) | Event::Apply(shown)) => {
                    let name = name_of(&shown);
                    lists.show(part, &name);
                    self.readable(stream, &name, read(shown, false))
                }
                Ok(Event::Delete(shown)) => {
                    let name = name_of(&shown);
                    lists.drop(part, &name);
                    self.readable(stream, &name, read(shown, true))
                }
                Ok(Event::InitDone) => lists.end(part).map(|listing| {
                    listed = true;
                    self.listed(stream, listing.names.len());
                    Input::Listed(stream, listing)
                }),
                Err(error) if foreign && code(&error) == Some(404) => return End::NotServed { listed },
                Err(error) => {
                    self.failed(stream, &error);
                    if optional && !listed && !excused {
                        excused = true;
                        let reason = if code(&error) == Some(403) { Reason::Forbidden } else { Reason::Unknown };
                        if !self.unserved(stream, reason).await {
                            return End::Closed;
                        }
                    }
                    continue;
                }
            };
            if let Some(input) = input
                && self.inputs.send(input).await.is_err()
            {
                return End::Closed;
            }
        }
        End::Closed
    }

    /// The input. Of an object that cannot be read, that it is there is told where somebody can do something about it; in
    /// any case its name stays in the listing, so that nothing of it is taken for abandoned.
    fn readable(&self, stream: Stream, (namespace, name): &Name, input: Result<Input, Trouble>) -> Option<Input> {
        match input {
            Ok(input) => Some(input),
            Err((error, told)) => {
                let kind = stream_name(stream);
                warn!(kind, %namespace, %name, error, "cannot read an object; it is left alone until it changes");
                self.metrics.unreadable.with_label_values(&[kind]).inc();
                told
            }
        }
    }

    fn listed(&self, stream: Stream, objects: usize) {
        let kind = stream_name(stream);
        debug!(kind, objects, "listed");
        self.metrics.watch_lists.with_label_values(&[kind]).inc();
        self.no_longer_awaited(stream);
    }

    fn no_longer_awaited(&self, stream: Stream) {
        if self.health.listed(stream) {
            info!(milliseconds = self.health.uptime().as_millis(), "every kind is listed");
        }
    }

    fn failed(&self, stream: Stream, error: &watcher::Error) {
        let kind = stream_name(stream);
        self.metrics.watch_errors.with_label_values(&[kind]).inc();
        match error {
            watcher::Error::WatchError(status) if status.code == 410 => {
                info!(kind, "the watch expired; listing again");
            }
            watcher::Error::InitialListFailed(error) => {
                warn!(kind, error = describe(error), "cannot list; trying again within 30 s");
            }
            watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
                warn!(kind, error = describe(error), "the watch was interrupted; trying again within 30 s");
            }
            watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => {
                warn!(kind, %error, "the watch was interrupted; trying again within 30 s");
            }
        }
    }
}

/// Why a stream is no longer followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nobody takes inputs any more.
    Closed,
    /// The cluster does not serve the kind.
    NotServed {
        /// Whether it did before.
        listed: bool,
    },
}

/// Waits for the end of a stream that everything needs.
async fn end(follow: impl Future<Output = End> + Send) {
    let end = follow.await;
    debug!(?end, "a stream has ended");
}

/// The status code of an error.
fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::WatchError(status)
        | watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

fn name_of(shown: &impl Resource) -> Name {
    let meta = shown.meta();
    (meta.namespace.as_deref().unwrap_or_default().into(), meta.name.as_deref().unwrap_or_default().into())
}

fn disruption_budgets() -> ApiResource {
    ApiResource {
        group: "policy".to_owned(),
        version: "v1".to_owned(),
        api_version: "policy/v1".to_owned(),
        kind: "PodDisruptionBudget".to_owned(),
        plural: "poddisruptionbudgets".to_owned(),
    }
}

fn prometheus_rules() -> ApiResource {
    ApiResource {
        group: "monitoring.coreos.com".to_owned(),
        version: "v1".to_owned(),
        api_version: rules::API_VERSION.to_owned(),
        kind: rules::KIND.to_owned(),
        plural: "prometheusrules".to_owned(),
    }
}

fn resource(kind: Kind) -> ApiResource {
    let (group, version) = kind.api_version().split_once('/').unwrap_or(("", kind.api_version()));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: kind.api_version().to_owned(),
        kind: kind.as_str().to_owned(),
        plural: kind.plural().to_owned(),
    }
}
