//! The shell against a real API server, Prometheus and Alertmanager: how each refusal is understood, what watches tell, who
//! leads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/idle.rs"]
mod idle;

use std::{
    net::TcpListener,
    process::{Command, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::{
    apps::v1::Deployment, coordination::v1::Lease, core::v1::ConfigMap, events::v1::Event as ApiEvent,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch as ApiPatch, PatchParams, PostParams},
};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::{
    process,
    sync::{mpsc, watch},
    time::timeout,
};
use trimtab::{
    api::{MetricsSource, PerformancePolicy, PerformancePolicyStatus, conditions::Reason, names},
    core::{
        engine::{Action, Alert, Change, Event, Failure, Input, Listing, Outcome, Patch, PatchBody, QueryKind, Stream},
        facts::{Kind, ObjectKey, Progress, Seen, Span, progress},
    },
    shell::{
        clock,
        execute::Executor,
        health::Health,
        lease::{Candidate, Tenure, Timing},
        prometheus::Question,
        sources::Sources,
        telemetry::Metrics,
        tls,
        watch::{STREAMS, Watches},
    },
};

use self::cluster::eventually;

const OPTIONS: cluster::Options = cluster::Options { prometheus: true, ..cluster::Options::DEFAULT };
const PATIENCE: Duration = Duration::from_mins(1);

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::register(&Registry::new()).expect("an empty registry"))
}

fn executor(client: &Client) -> Executor {
    Executor::new(client.clone(), Arc::new(Sources::new(None, metrics())), "trimtab-0", Tenure::alone())
}

/// A Deployment without pods, made as a user makes one.
async fn deployment(client: &Client, namespace: &str, name: &str) -> Deployment {
    let params = PostParams { field_manager: Some("kubectl-create".into()), ..PostParams::default() };
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let deployment = idle::deployment(name, &json!([{"name": "SIZE", "value": "1"}]));
    api.create(&params, &deployment).await.expect("create the Deployment")
}

fn apply(object: &ObjectKey, body: &Value, force: bool) -> Action {
    let mut whole = json!({"apiVersion": object.kind.api_version(), "kind": object.kind.as_str()});
    for (key, value) in body.as_object().expect("a map") {
        whole[key] = value.clone();
    }
    Action::Patch(Patch {
        object: object.clone(),
        subresource: None,
        manager: names::manager("p"),
        body: PatchBody::Apply { body: whole, force },
    })
}

fn json_patch(object: &ObjectKey, subresource: Option<&'static str>, operations: Value) -> Action {
    let body = PatchBody::Json(operations);
    Action::Patch(Patch { object: object.clone(), subresource, manager: names::manager("p"), body })
}

/// A workload that its controller has finished with for now, so that nobody changes it between two requests of a test.
async fn observed(executor: &Executor, workload: &ObjectKey) -> Box<Seen> {
    eventually(PATIENCE, "the controller has settled", async || {
        let seen = match executor.clone().execute(Action::Get(workload.clone())).await {
            Outcome::Object(seen) => seen,
            other => return Err(format!("{other:?}")),
        };
        let object = seen.clone().into_object();
        let available = object.items("/status/conditions").any(|condition| condition["type"] == "Available");
        let progress = progress(&object);
        if progress == Progress::Complete && available { Ok(seen) } else { Err(format!("{progress:?}")) }
    })
    .await
}

#[test]
fn objects_are_read_and_written_and_each_refusal_is_told_apart() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let client = cluster.client.clone();
        let namespace = cluster.namespace().await;
        let live = deployment(&client, &namespace, "web").await;
        let web = ObjectKey::new(Kind::Deployment, namespace.as_str(), "web");
        let none = ObjectKey::new(Kind::Deployment, namespace.as_str(), "none");
        let executor = executor(&client);
        let run = async |action: Action| executor.clone().execute(action).await;

        let seen = match run(Action::Get(web.clone())).await {
            Outcome::Object(seen) => seen,
            other => panic!("it is there: {other:?}"),
        };
        assert_eq!(seen.key, web);
        assert_eq!(Some(&seen.meta.uid), live.metadata.uid.as_ref());
        assert!(matches!(run(Action::Get(none.clone())).await, Outcome::NotFound));

        // An apply with uid and resourceVersion, as the engine sends it.
        let seen = observed(&executor, &web).await;
        let identity = json!({"name": "web", "uid": seen.meta.uid, "resourceVersion": seen.meta.resource_version});
        let claim = |value: &str| json!({"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "POOL", "value": value}]}]}}});
        let outcome = run(apply(&web, &json!({"metadata": identity, "spec": claim("20")}), false)).await;
        let Outcome::Object(written) = outcome else { panic!("{outcome:?}") };
        assert!(written.meta.managed.iter().any(|entry| entry.manager == "trimtab/p"));
        assert!(written.rest["spec"].get().contains(r#""POOL""#));

        // Whoever does not lead, or not any more, reads, and writes nothing.
        let sources = Arc::new(Sources::new(None, metrics()));
        let idle = Executor::new(client.clone(), sources, "trimtab-1", Tenure::elected());
        let fresh = observed(&idle, &web).await;
        let identity = json!({"name": "web", "uid": fresh.meta.uid, "resourceVersion": fresh.meta.resource_version});
        let action = apply(&web, &json!({"metadata": identity, "spec": claim("21")}), false);
        let outcome = idle.clone().execute(action).await;
        let Outcome::Failed(Failure::Throttled(why)) = outcome else { panic!("{outcome:?}") };
        assert!(why.contains("not sent"), "{why}");
        assert_eq!(observed(&idle, &web).await.meta.resource_version, fresh.meta.resource_version);

        let identity = json!({"name": "web", "uid": seen.meta.uid, "resourceVersion": seen.meta.resource_version});
        let stale = run(apply(&web, &json!({"metadata": identity, "spec": claim("21")}), false)).await;
        assert!(matches!(stale, Outcome::Failed(Failure::Stale)), "{stale:?}");

        let foreign = json!({"name": "web", "uid": "0c9b8dbc-8a0a-4a44-8f0b-000000000000"});
        let replaced = run(apply(&web, &json!({"metadata": foreign, "spec": claim("21")}), false)).await;
        assert!(matches!(replaced, Outcome::Failed(Failure::Replaced)), "{replaced:?}");
        let gone = json!({"name": "none", "uid": "0c9b8dbc-8a0a-4a44-8f0b-000000000000"});
        let gone = run(apply(&none, &json!({"metadata": gone, "spec": claim("21")}), false)).await;
        assert!(matches!(gone, Outcome::NotFound), "{gone:?}");

        let conflict = |force| apply(&web, &json!({"metadata": {"name": "web"}, "spec": {"replicas": 1}}), force);
        let Outcome::Failed(Failure::Conflict(conflicts)) = run(conflict(false)).await else { panic!("a conflict") };
        assert_eq!(conflicts, [("kubectl-create".to_owned(), ".spec.replicas".to_owned())]);

        for spec in [json!({"nonsense": 1}), json!({"minReadySeconds": -1}), json!({"minReadySeconds": "x"})] {
            let rejected = run(apply(&web, &json!({"metadata": {"name": "web"}, "spec": spec}), false)).await;
            assert!(matches!(rejected, Outcome::Failed(Failure::Rejected(_))), "{rejected:?}");
        }

        // JSON patches: a failed test, a resource version that is not current, and one that fits.
        let test = json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]);
        let stale = run(json_patch(&web, None, test)).await;
        assert!(matches!(stale, Outcome::Failed(Failure::Stale)), "{stale:?}");
        let replace = json!([{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}, {"op": "add", "path": "/metadata/labels", "value": {}}]);
        let stale = run(json_patch(&web, None, replace)).await;
        assert!(matches!(stale, Outcome::Failed(Failure::Stale)), "{stale:?}");
        let replicas = json!([{"op": "replace", "path": "/spec/replicas", "value": 0}]);
        assert!(matches!(run(json_patch(&web, Some("scale"), replicas)).await, Outcome::Accepted));
        let missing = json!([{"op": "replace", "path": "/spec/replicas", "value": 0}]);
        assert!(matches!(run(json_patch(&none, None, missing)).await, Outcome::NotFound));

        let pods = run(Action::ListPods { workload: web.clone(), selector: "app=web".into() }).await;
        assert!(matches!(&pods, Outcome::Pods(pods) if pods.is_empty()), "{pods:?}");
    });
}

#[test]
fn status_finalizers_and_events_of_a_policy_are_written() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        let client = cluster.client.clone();
        let namespace = cluster.namespace().await;
        let api: Api<PerformancePolicy> = Api::namespaced(client.clone(), &namespace);
        let policy: PerformancePolicy =
            serde_json::from_value(json!({"metadata": {"name": "api"}, "spec": {"mode": "Observe"}}))
                .expect("a policy");
        let policy = api.create(&PostParams::default(), &policy).await.expect("create the policy");
        let key = || (Box::from(namespace.as_str()), Box::from("api"));
        let executor = executor(&client);
        let run = async |action: Action| executor.clone().execute(action).await;

        let status = PerformancePolicyStatus { observed_generation: Some(1), ..PerformancePolicyStatus::default() };
        let write = |uid: String| Action::Status { policy: key(), uid, status: Box::new(status.clone()) };
        let outcome = run(write(policy.uid().expect("a uid"))).await;
        assert!(matches!(outcome, Outcome::Accepted), "{outcome:?}");
        let written = api.get("api").await.expect("read the policy");
        assert_eq!(written.status, Some(status.clone()));
        let replaced = run(write("0c9b8dbc".into())).await;
        assert!(matches!(replaced, Outcome::Failed(Failure::Replaced)), "{replaced:?}");

        let finalizers = |resource_version: &str| Action::Finalizers {
            policy: key(),
            resource_version: resource_version.to_owned(),
            finalizers: vec![names::RESTORE_FINALIZER.to_owned()],
        };
        let stale = run(finalizers(&policy.resource_version().expect("a version"))).await;
        assert!(matches!(stale, Outcome::Failed(Failure::Stale)), "{stale:?}");
        let outcome =
            run(finalizers(&api.get("api").await.expect("read").resource_version().expect("a version"))).await;
        assert!(matches!(outcome, Outcome::Accepted), "{outcome:?}");
        let held = api.get("api").await.expect("read the policy");
        assert_eq!(held.finalizers(), [names::RESTORE_FINALIZER]);
        let version = held.resource_version().expect("a version");
        let none = Action::Finalizers { policy: key(), resource_version: version, finalizers: vec![] };
        assert!(matches!(run(none).await, Outcome::Accepted));
        assert!(api.get("api").await.expect("read the policy").finalizers().is_empty());

        let event = Event {
            kind: "PerformancePolicy",
            object: key(),
            uid: policy.uid().expect("a uid"),
            warning: true,
            reason: "Breached",
            action: "Evaluate",
            note: "p95 is 140ms, above 100ms. ".repeat(100),
        };
        for _ in 0..2 {
            let outcome = run(Action::Event(event.clone())).await;
            assert!(matches!(outcome, Outcome::Accepted), "{outcome:?}");
        }
        let events: Api<ApiEvent> = Api::namespaced(client.clone(), &namespace);
        let events = events.list(&ListParams::default()).await.expect("list Events").items;
        assert_eq!(events.len(), 2);
        let regarding = events[0].regarding.as_ref().expect("an object");
        assert_eq!((regarding.kind.as_deref(), regarding.name.as_deref()), (Some("PerformancePolicy"), Some("api")));

        api.delete("api", &DeleteParams::default()).await.expect("delete the policy");
        assert!(matches!(run(write("0c9b8dbc".into())).await, Outcome::NotFound));
    });
}

/// Everything that is told until every stream was listed once.
async fn until_listed(inputs: &mut mpsc::Receiver<Input>) -> (Vec<Input>, Vec<(Stream, Listing)>) {
    let (mut told, mut listings) = (Vec::new(), Vec::new());
    let all = async {
        let mut absent = 0;
        while listings.len() + absent < STREAMS.len() {
            match inputs.recv().await.expect("the watches go on") {
                Input::Listed(stream, listing) => listings.push((stream, listing)),
                Input::Unserved(Stream::Objects(kind), Reason::KindNotServed) if kind.is_foreign() => absent += 1,
                Input::Unserved(Stream::Rules, Reason::KindNotServed) => absent += 1,
                other => told.push(other),
            }
        }
    };
    timeout(PATIENCE, all).await.expect("everything is listed in time");
    (told, listings)
}

async fn until(inputs: &mut mpsc::Receiver<Input>, what: &str, found: impl Fn(&Input) -> bool) -> Input {
    let find = async {
        loop {
            let input = inputs.recv().await.expect("the watches go on");
            if found(&input) {
                return input;
            }
        }
    };
    timeout(PATIENCE, find).await.unwrap_or_else(|_| panic!("never told: {what}"))
}

#[test]
fn watches_tell_what_is_there_what_changes_and_what_goes() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        cluster.install_crds().await;
        let client = cluster.client.clone();
        let (a, b) = (cluster.namespace().await, cluster.namespace().await);
        deployment(&client, &a, "web").await;
        deployment(&client, &b, "web").await;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &b);
        let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "config"}, "data": {"key": "value"}}))
            .expect("a ConfigMap");
        maps.create(&PostParams::default(), &map).await.expect("create the ConfigMap");

        let (sender, mut inputs) = mpsc::channel(16);
        let health = Arc::new(Health::new(STREAMS));
        let namespaces = vec![a.clone(), b.clone()];
        let watches = Watches {
            client: client.clone(),
            namespaces,
            foreign: Kind::ALL.into_iter().filter(|kind| kind.is_foreign()).collect(),
            inputs: sender,
            metrics: metrics(),
            health: health.clone(),
        };
        let tasks = watches.start();
        let (told, listings) = until_listed(&mut inputs).await;
        assert_eq!(health.unready(), None);

        let names = |stream| &listings.iter().find(|(listed, _)| *listed == stream).expect("listed").1.names;
        let web = |namespace: &str| (namespace.into(), "web".into());
        assert_eq!(*names(Stream::Objects(Kind::Deployment)), [web(&a), web(&b)].into());
        assert!(names(Stream::Objects(Kind::ConfigMap)).contains(&(b.as_str().into(), "config".into())));
        let config = told.iter().find_map(|input| match input {
            Input::Object(Change::Applied(seen)) if &*seen.key.name == "config" => Some(seen),
            _ => None,
        });
        assert!(config.expect("shown").rest.is_empty(), "of ConfigMaps only the metadata is asked for");

        let deployments: Api<Deployment> = Api::namespaced(client.clone(), &a);
        let label = json!({"metadata": {"labels": {"changed": "yes"}}});
        deployments.patch("web", &PatchParams::default(), &ApiPatch::Merge(&label)).await.expect("label");
        until(
            &mut inputs,
            "the change",
            |input| matches!(input, Input::Object(Change::Applied(seen)) if seen.meta.labels.contains_key("changed")),
        )
        .await;
        deployments.delete("web", &DeleteParams::background()).await.expect("delete");
        let web = ObjectKey::new(Kind::Deployment, a.as_str(), "web");
        until(&mut inputs, "the deletion", |input| matches!(input, Input::Object(Change::Deleted(key)) if *key == web))
            .await;
        drop(tasks);
    });
}

#[test]
fn one_candidate_leads_and_another_takes_over_when_it_releases_or_dies() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let client = cluster.client.clone();
        let namespace = cluster.namespace().await;
        let timing = Timing { duration: Duration::from_secs(3), renew: Duration::from_millis(500) };
        let start = |name: &str| {
            let (leads, led) = watch::channel(false);
            let (stop, stops) = watch::channel(false);
            let tenure = Tenure::elected();
            let candidate = Candidate::new(client.clone(), &namespace, name, timing, tenure.clone());
            (led, stop, tokio::spawn(candidate.run(leads, stops)), tenure)
        };
        let wait = async |led: &mut watch::Receiver<bool>| {
            timeout(PATIENCE, led.wait_for(|leads| *leads)).await.expect("it leads in time").expect("it takes part");
        };
        let (mut a, stop_a, task_a, tenure_a) = start("a");
        assert!(tenure_a.is_over(), "nobody has chosen it yet");
        wait(&mut a).await;
        assert!(!tenure_a.is_over());
        let (mut b, _stop_b, task_b, tenure_b) = start("b");

        // A release is taken at once, before the Lease could have ended by itself.
        stop_a.send_replace(true);
        task_a.await.expect("a ends").expect("a released");
        assert!(tenure_a.is_over());
        wait(&mut b).await;

        // A leader that dies is replaced after the duration.
        let (mut c, _stop_c, task_c, tenure_c) = start("c");
        task_b.abort();
        wait(&mut c).await;
        assert!(tenure_b.is_over(), "what it had decided is not sent any more, although nobody has told it");
        let api: Api<Lease> = Api::namespaced(client.clone(), &namespace);
        let spec = api.get(names::LEASE).await.expect("read the Lease").spec.expect("a spec");
        assert_eq!(spec.holder_identity.as_deref(), Some("c"));
        assert_eq!(spec.lease_transitions, Some(2));

        // A leader whose Lease was taken by force ends with an error.
        let force = json!({"spec": {"holderIdentity": "d"}});
        api.patch(names::LEASE, &PatchParams::default(), &ApiPatch::Merge(&force)).await.expect("take the Lease");
        let lost = timeout(PATIENCE, task_c).await.expect("c notices in time").expect("c ends");
        assert!(lost.is_err());
        assert!(!*c.borrow(), "c no longer leads");
        assert!(tenure_c.is_over());
    });
}

#[test]
fn queries_are_answered_and_alerts_arrive() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        tls::install_provider();
        let sources = Sources::new(None, metrics());
        let source: MetricsSource = serde_json::from_value(json!({
            "metadata": {"name": "default"},
            "spec": {
                "prometheus": {"url": cluster.prometheus()},
                "alertmanagers": [cluster.alertmanager()],
            },
        }))
        .expect("a source");
        sources.observe(&Input::Source(Change::Applied(Box::new(source))));
        let now = clock::now();

        let ask = async |source: &str, expr: &str, range| {
            let question = Question { expr, at: now, range, labels: None };
            sources.ask(source, QueryKind::Single, &question).await
        };
        let series = ask("default", "vector(1)", None).await.expect("an answer");
        assert_eq!(series[0].points[0].1.to_bits(), 1.0_f64.to_bits());
        let range = Some((now - Span::minutes(5), Span::seconds(30)));
        let series = ask("default", "vector(1)", range).await.expect("an answer");
        assert_eq!(series[0].points.len(), 11);
        let nothing = ask("default", "vector(0) / 0 > 1", None).await.expect("an answer");
        assert!(nothing.is_empty());

        let refused = async |expr: &str| ask("default", expr, None).await.expect_err("a refusal").reason;
        assert_eq!(refused("sum(").await, Reason::QueryInvalid);
        assert_eq!(refused("\"text\"").await, Reason::WrongType);
        assert_eq!(refused("up offset 1h[5m]").await, Reason::QueryInvalid);
        let twice = r#"label_replace(vector(1), "a", "b", "", "") or vector(1)"#;
        assert_eq!(refused(&format!("vector(1) + on() group_left() ({twice})")).await, Reason::QueryFailed);
        assert_eq!(ask("other", "up", None).await.expect_err("unknown").reason, Reason::SourceNotFound);

        let name = format!("TrimtabShellTest{}", now.millis());
        let alert = |ends_at| Alert {
            labels: [("alertname".to_owned(), name.clone()), ("severity".to_owned(), "warning".to_owned())].into(),
            annotations: [("summary".to_owned(), "a test".to_owned())].into(),
            starts_at: now,
            ends_at,
        };
        let client = reqwest::Client::new();
        let active = async || {
            let url = format!("{}/api/v2/alerts", cluster.alertmanager());
            let alerts: Vec<Value> = client.get(&url).send().await.expect("Alertmanager").json().await.expect("JSON");
            alerts.iter().filter(|alert| alert["labels"]["alertname"] == *name).count()
        };
        let arrive = async |count: usize| {
            eventually(PATIENCE, &format!("Alertmanager has {count} alerts"), async || match active().await {
                found if found == count => Ok(()),
                found => Err(found),
            })
            .await;
        };
        sources.alert("default", &[alert(now + Span::minutes(4))]);
        arrive(1).await;
        sources.alert("default", &[alert(clock::now())]);
        arrive(0).await;
    });
}

/// An operator as its own process, for one namespace.
struct Replica {
    process: process::Child,
    url: String,
}

impl Replica {
    fn start(namespace: &str, name: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let process = process::Command::new(env!("CARGO_BIN_EXE_trimtab"))
            .args(["operator", "--leader-elect", "--lease-duration=6s", "--lease-renew=1s", "--log-format=text"])
            .args([format!("--namespaces={namespace}"), format!("--listen={port}")])
            // Not its own namespace: workloads there are protected.
            .arg(format!("--lease-namespace={namespace}"))
            .envs([("POD_NAME", name), ("POD_NAMESPACE", "trimtab-system")])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("start the operator");
        Self { process, url: format!("http://{port}") }
    }

    /// Body of a page; nothing unless the answer is 200.
    async fn page(&self, path: &str) -> Option<String> {
        let response = reqwest::get(format!("{}{path}", self.url)).await.ok()?;
        if response.status().is_success() { response.text().await.ok() } else { None }
    }

    /// Value of one of its metrics, with labels as they are written.
    async fn metric(&self, series: &str) -> Option<f64> {
        let page = self.page("/metrics").await?;
        page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    async fn leads(&self) -> bool {
        self.metric("trimtab_leader ").await == Some(1.0)
    }

    /// Seconds that its engine has gone through.
    async fn ticks(&self) -> f64 {
        self.metric("trimtab_inputs_total{input=\"tick\"}").await.unwrap_or_default()
    }

    async fn end(&mut self) -> ExitStatus {
        let ended = timeout(PATIENCE, self.process.wait()).await.expect("the operator ends in time");
        ended.expect("wait for the process")
    }
}

/// Waits until `done`, or fails the test.
async fn until_true(what: &str, done: impl AsyncFn() -> bool) {
    eventually(PATIENCE, what, async || if done().await { Ok(()) } else { Err("not yet") }).await;
}

#[test]
fn of_two_operators_one_acts_and_the_other_takes_over_without_a_write() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        tls::install_provider();
        cluster.install_crds().await;
        let client = cluster.client.clone();
        let namespace = cluster.namespace().await;
        deployment(&client, &namespace, "web").await;

        let mut first = Replica::start(&namespace, "first");
        until_true("the first leads", async || first.leads().await).await;
        let mut second = Replica::start(&namespace, "second");
        until_true("a standby replica is ready", async || second.page("/readyz").await.is_some()).await;
        assert!(first.page("/healthz").await.is_some());
        assert!(!second.leads().await);

        let policies: Api<PerformancePolicy> = Api::namespaced(client.clone(), &namespace);
        let policy = json!({"metadata": {"name": "api"}, "spec": {
            "mode": "Enforce",
            "target": {"kind": "Deployment", "name": "web"},
            "pools": [{"name": "db", "size": {"value": 20, "env": "DB_POOL_SIZE"}}],
        }});
        let policy: PerformancePolicy = serde_json::from_value(policy).expect("a policy");
        policies.create(&PostParams::default(), &policy).await.expect("create the policy");
        let workloads: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
        let web = async || workloads.get("web").await.expect("read the Deployment");
        until_true("the value is applied", async || {
            serde_json::to_string(&web().await.spec).expect("JSON").contains("DB_POOL_SIZE")
        })
        .await;
        let applied = async || {
            let status = policies.get("api").await.expect("read the policy").status.unwrap_or_default();
            status.conditions.iter().any(|condition| condition.type_ == "Applied" && condition.status == "True")
        };
        until_true("the policy is applied", applied).await;
        // What it still has to say of the rollout is said within seconds.
        let versions = async || {
            (web().await.resource_version(), policies.get("api").await.expect("read the policy").resource_version())
        };
        let rest = async |replica: &Replica| {
            let (from, before) = (replica.ticks().await, versions().await);
            until_true("the leader has had time to write", async || replica.ticks().await >= from + 7.0).await;
            versions().await == before
        };
        until_true("nothing is written any more", async || rest(&first).await).await;
        let settled = versions().await;

        let pid = first.process.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("run kill").success());
        assert!(first.end().await.success(), "a stop on demand is no failure");
        until_true("the second leads", async || second.leads().await).await;
        assert!(rest(&second).await, "the new leader writes nothing");
        assert_eq!(versions().await, settled, "a change of leaders writes nothing");

        // A leader that loses its Lease ends, and says so with its exit code.
        let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
        let stolen = json!({"spec": {"holderIdentity": "somebody"}});
        leases.patch(names::LEASE, &PatchParams::default(), &ApiPatch::Merge(&stolen)).await.expect("take the Lease");
        assert!(!second.end().await.success(), "a lost lease is a failure");
    });
}
