//! Effects as requests to the API server.

use axum::http;
use json_patch::Patch as JsonPatch;
use kube::core::{
    Request,
    params::{DeleteParams, GetParams, ListParams, Patch as Body, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};

use super::events;
use crate::{
    api::{ConnectionBudgetStatus, PerformancePolicyStatus, names, source::MetricsSourceStatus},
    core::{
        engine::{Patch, PatchBody, RuleWrite, effect},
        facts::ObjectKey,
        rules::RuleKey,
    },
};

/// A request, and what it does in a few words for its errors.
pub struct Call {
    /// The request.
    pub request: http::Request<Vec<u8>>,
    /// Verb and object: `patching Deployment "shop/api"`.
    pub what: String,
}

/// A request could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct Error {
    what: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

trait Writing<T> {
    fn writing(self, what: String) -> Result<Call, Error>;
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> Writing<http::Request<Vec<u8>>>
    for Result<http::Request<Vec<u8>>, E>
{
    fn writing(self, what: String) -> Result<Call, Error> {
        match self {
            Ok(request) => Ok(Call { request, what }),
            Err(error) => Err(Error { what, source: error.into() }),
        }
    }
}

impl Call {
    pub fn get(object: &ObjectKey) -> Result<Self, Error> {
        objects(object).get(&object.name, &GetParams::default()).writing(format!("reading {object}"))
    }

    pub fn list_pods(namespace: &str, selector: &str) -> Result<Self, Error> {
        Request::new(format!("/api/v1/namespaces/{namespace}/pods"))
            .list(&ListParams::default().labels(selector))
            .writing(format!("listing pods {selector:?} in namespace {namespace:?}"))
    }

    pub fn patch(patch: Patch) -> Result<Self, Error> {
        let Patch { object, subresource, manager, body } = patch;
        let what = match subresource {
            None => format!("patching {object}"),
            Some(subresource) => format!("patching {subresource} of {object}"),
        };
        match body {
            PatchBody::Apply { body, force } => {
                let params = PatchParams { force, ..PatchParams::apply(&manager) };
                send(&objects(&object), subresource, &object.name, &params, &Body::Apply(body), what)
            }
            PatchBody::Json(operations) => {
                let params = PatchParams { field_manager: Some(manager), ..PatchParams::default() };
                match serde_json::from_value::<JsonPatch>(operations) {
                    Ok(patch) => {
                        send(&objects(&object), subresource, &object.name, &params, &Body::Json::<()>(patch), what)
                    }
                    Err(error) => Err(Error { what, source: error.into() }),
                }
            }
        }
    }

    pub fn policy_status(
        (namespace, name): &(Box<str>, Box<str>),
        status: &PerformancePolicyStatus,
    ) -> Result<Self, Error> {
        // The API server ignores the uid here, and says in its answer whose status it wrote.
        let metadata = json!({"namespace": namespace, "name": name});
        let what = format!("writing the status of PerformancePolicy \"{namespace}/{name}\"");
        status_of(&policies(namespace), "PerformancePolicy", name, &metadata, status, what)
    }

    pub fn source_status(name: &str, status: &MetricsSourceStatus) -> Result<Self, Error> {
        let collection = Request::new(format!("/apis/{}/{}/metricssources", names::GROUP, names::VERSION));
        let what = format!("writing the status of MetricsSource {name:?}");
        status_of(&collection, "MetricsSource", name, &json!({"name": name}), status, what)
    }

    pub fn budget_status(
        (namespace, name): &(Box<str>, Box<str>),
        resource_version: &str,
        status: &ConnectionBudgetStatus,
    ) -> Result<Self, Error> {
        let path = format!("/apis/{}/{}/namespaces/{namespace}/connectionbudgets", names::GROUP, names::VERSION);
        let metadata = json!({"namespace": namespace, "name": name, "resourceVersion": resource_version});
        let what = format!("writing the status of ConnectionBudget \"{namespace}/{name}\"");
        status_of(&Request::new(path), "ConnectionBudget", name, &metadata, status, what)
    }

    pub fn finalizers(
        (namespace, name): &(Box<str>, Box<str>),
        resource_version: &str,
        finalizers: &[String],
    ) -> Result<Self, Error> {
        let what = format!("setting the finalizers of PerformancePolicy \"{namespace}/{name}\"");
        let params = PatchParams { field_manager: Some(names::FINALIZER_MANAGER.to_owned()), ..PatchParams::default() };
        // Like `ownership::precondition`. `add` replaces a member that is there, and makes one that is not.
        let operations = json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
            {"op": "add", "path": "/metadata/finalizers", "value": finalizers},
        ]);
        match serde_json::from_value::<JsonPatch>(operations) {
            Ok(patch) => send(&policies(namespace), None, name, &params, &Body::Json::<()>(patch), what),
            Err(error) => Err(Error { what, source: error.into() }),
        }
    }

    pub fn rules((namespace, name): &RuleKey, write: &RuleWrite) -> Result<Self, Error> {
        let collection =
            Request::new(format!("/apis/{}/namespaces/{namespace}/prometheusrules", crate::core::rules::API_VERSION));
        match write {
            RuleWrite::Apply(body) => {
                let what = format!("writing PrometheusRule \"{namespace}/{name}\"");
                let params = PatchParams::apply(names::RULES_MANAGER).force();
                send(&collection, None, name, &params, &Body::Apply(body), what)
            }
            RuleWrite::Delete(uid) => {
                let what = format!("deleting PrometheusRule \"{namespace}/{name}\"");
                let precondition = Preconditions { uid: Some(uid.to_string()), resource_version: None };
                let params = DeleteParams::default().preconditions(precondition);
                collection.delete(name, &params).writing(what)
            }
        }
    }

    pub fn event(event: &effect::Event, instance: &str) -> Result<Self, Error> {
        let (namespace, name) = &event.object;
        let what = format!("publishing an Event about {} \"{namespace}/{name}\"", event.kind);
        match serde_json::to_vec(&events::body(event, instance)) {
            Ok(body) => Request::new(format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"))
                .create(&PostParams::default(), body)
                .writing(what),
            Err(error) => Err(Error { what, source: error.into() }),
        }
    }
}

fn objects(object: &ObjectKey) -> Request {
    let version = object.kind.api_version();
    // The core group, alone, has no name and another root.
    let root = if version.contains('/') { "apis" } else { "api" };
    Request::new(format!("/{root}/{version}/namespaces/{}/{}", object.namespace, object.kind.plural()))
}

fn policies(namespace: &str) -> Request {
    Request::new(format!("/apis/{}/{}/namespaces/{namespace}/performancepolicies", names::GROUP, names::VERSION))
}

fn status_of(
    collection: &Request,
    kind: &str,
    name: &str,
    metadata: &Value,
    status: &impl serde::Serialize,
    what: String,
) -> Result<Call, Error> {
    let body = json!({
        "apiVersion": format!("{}/{}", names::GROUP, names::VERSION),
        "kind": kind,
        "metadata": metadata,
        "status": status,
    });
    let params = PatchParams::apply(names::STATUS_MANAGER).force();
    send(collection, Some("status"), name, &params, &Body::Apply(body), what)
}

fn send<P: serde::Serialize>(
    collection: &Request,
    subresource: Option<&str>,
    name: &str,
    params: &PatchParams,
    body: &Body<P>,
    what: String,
) -> Result<Call, Error> {
    match subresource {
        None => collection.patch(name, params, body),
        Some(subresource) => collection.patch_subresource(subresource, name, params, body),
    }
    .writing(what)
}
