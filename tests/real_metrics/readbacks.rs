//! Values that are in place, and what real pods tell of them by a real Prometheus. The pods run; the test speaks for them.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod, events::v1::Event};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use trimtab::api::PerformancePolicy;

use super::OPTIONS;
use crate::{
    cluster::{self, eventually},
    here,
    stage::{PATIENCE, Relay, Stage},
};

const PODS: usize = 5;

fn pools(size: u32) -> Value {
    json!([{"name": "db", "size": {"value": size, "env": "DB_POOL_SIZE", "effective": {"gauge": "db_pool_size"}}}])
}

/// Makes pods of the Deployment, which run and do nothing.
async fn run_pods(stage: &Stage) {
    let container = json!({"name": "app", "image": "localhost/busybox:1", "imagePullPolicy": "Never", "command": ["sleep", "3600"]});
    let template = json!({"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}});
    let deployments: Api<Deployment> = Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
    let patch = json!({"spec": {"replicas": PODS, "template": template}});
    deployments.patch("web", &PatchParams::default(), &Patch::Strategic(&patch)).await.expect("scale the Deployment");
}

/// The names of the pods, as soon as all of them run with that value in their environment and no other is left.
async fn pods_with(stage: &Stage, size: u32) -> Vec<String> {
    let pods: Api<Pod> = Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
    eventually(2 * PATIENCE, &format!("{PODS} pods have the value {size}"), async || {
        let all = pods.list(&ListParams::default()).await.expect("list pods").items;
        let value = |pod: &Pod| {
            let container = pod.spec.as_ref()?.containers.first()?;
            container.env.iter().flatten().find(|variable| variable.name == "DB_POOL_SIZE")?.value.clone()
        };
        let mut names: Vec<String> = all.iter().map(kube::ResourceExt::name_any).collect();
        names.sort();
        let right = all.iter().filter(|pod| value(pod) == Some(size.to_string())).count();
        if (right, names.len()) == (PODS, PODS) { Ok(names) } else { Err(names) }
    })
    .await
}

/// Lets the first of the pods tell one value, and all others another.
fn tell(stage: &Stage, pods: &[String], first: u32, others: u32) {
    let value = |n: usize| if n == 0 { first } else { others };
    let lines = pods.iter().enumerate().map(|(n, pod)| format!("db_pool_size{{pod=\"{pod}\"}} {}\n", value(n)));
    stage.expose(&lines.collect::<String>());
}

async fn message(stage: &Stage) -> String {
    let status = stage.policy().await.status.unwrap_or_default();
    let found = status.conditions.into_iter().find(|condition| condition.type_ == "Effective");
    found.map(|condition| condition.message).unwrap_or_default()
}

/// How often people were told that for that reason.
async fn events(stage: &Stage, reason: &str) -> usize {
    let events: Api<Event> = Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
    let all = events.list(&ListParams::default()).await.expect("read Events").items;
    all.iter().filter(|event| event.reason.as_deref() == Some(reason)).count()
}

#[test]
fn an_application_that_ignores_its_variable_and_one_old_pod_of_five_are_named() {
    cluster::test(&OPTIONS, here!(), async |cluster| {
        let stage = Stage::exposing_to(cluster, json!({"pools": pools(20)}), "other 1\n").await;
        stage.says(&[("Applied", "True/Applied"), ("Effective", "Unknown/Unknown")]).await;
        run_pods(&stage).await;
        let pods = pods_with(&stage, 20).await;
        tell(&stage, &pods, 20, 20);
        stage.says(&[("Effective", "True/Verified")]).await;

        // A new value, which reaches the environment of every pod and nothing that they do.
        let policies: Api<PerformancePolicy> = Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
        let patch = json!({"spec": {"pools": pools(30)}});
        policies.patch("web", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("edit the policy");
        let pods = pods_with(&stage, 30).await;
        tell(&stage, &pods, 20, 20);
        stage.says(&[("Applied", "True/Applied"), ("Effective", "False/NotApplied")]).await;
        let said = message(&stage).await;
        assert!(said.starts_with("pools.db.size shall be 30, and 0 of 5 pods run with that: web-"), "{said}");
        assert!(said.contains("tells 20 (db_pool_size); it seems to ignore the variable DB_POOL_SIZE"), "{said}");
        let settings = stage.policy().await.status.unwrap().settings;
        assert_eq!((settings.len(), settings[0].effective.as_deref()), (1, Some("20")));

        tell(&stage, &pods, 20, 30);
        stage.says(&[("Effective", "False/Partially")]).await;
        let said = message(&stage).await;
        let first = &pods[0];
        assert_eq!(
            said,
            format!("pools.db.size shall be 30: 4 of 5 pods run with that, and {first} tells 20 (db_pool_size)")
        );
        stage.relay(Relay::Away);
        stage.says(&[("Effective", "Unknown/BackendUnavailable")]).await;
        stage.relay(Relay::Honest);
        stage.says(&[("Effective", "False/Partially")]).await;
        tell(&stage, &pods, 30, 30);
        stage.says(&[("Effective", "True/Verified")]).await;
        eventually(PATIENCE, "each was told in an Event", async || {
            let found = (events(&stage, "NotApplied").await, events(&stage, "Partially").await);
            if found.0 == 1 && found.1 >= 1 { Ok(()) } else { Err(found) }
        })
        .await;
        assert_eq!(stage.target_writes(), ["patch deployments"; 2], "the knob, twice: what pods tell writes nothing");
    });
}
