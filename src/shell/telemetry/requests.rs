//! Counts what goes to the API server: every request of every part, because it is a layer of the one client.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::http::{Method, Request, Response, Uri};
use futures::future::BoxFuture;
use http_body::Body;
use prometheus::IntGauge;
use tokio::time::Instant;
use tower::Service;

use super::Metrics;
use crate::shell::clock;

/// A client that counts.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Counted<S> {
    /// Counts what passes through `inner`.
    pub const fn new(inner: S, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }
}

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Body,
{
    type Response = Response<Heard<B>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let Asked { verb, resource } = asked(request.method(), request.uri());
        let metrics = self.metrics.clone();
        let began = Instant::now();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let code = answer.as_ref().ok().map(|answer| answer.status().as_u16().to_string());
            let code = code.as_deref().unwrap_or("error");
            metrics.api_requests.with_label_values(&[verb, &resource, code]).inc();
            let seconds = began.elapsed().as_secs_f64();
            metrics.api_request_seconds.with_label_values(&[verb, resource.as_str()]).observe(seconds);
            let answer = answer?;
            let watch = (verb == "watch" && answer.status().is_success()).then(|| Watch::open(&metrics, &resource));
            Ok(answer.map(|body| Heard { body: Box::pin(body), watch }))
        })
    }
}

/// The body of an answer; of a watch, whether it is open and when it was last heard of.
#[derive(Debug)]
pub struct Heard<B> {
    body: Pin<Box<B>>,
    watch: Option<Watch>,
}

/// A watch that is open.
#[derive(Debug)]
struct Watch {
    streams: IntGauge,
    heard: IntGauge,
}

impl Watch {
    fn open(metrics: &Metrics, resource: &str) -> Self {
        let streams = metrics.watch_streams.with_label_values(&[resource]);
        streams.inc();
        let watch = Self { streams, heard: metrics.watch_heard.with_label_values(&[resource]) };
        watch.hear();
        watch
    }

    fn hear(&self) {
        self.heard.set(clock::now().millis() / 1000);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.streams.dec();
    }
}

impl<B: Body> Body for Heard<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        let frame = self.body.as_mut().poll_frame(cx);
        if let (Poll::Ready(Some(Ok(_))), Some(watch)) = (&frame, &self.watch) {
            watch.hear();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// What a request is.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    verb: &'static str,
    /// Plural of the kind, with the subresource: `deployments/scale`. The operator itself writes paths, so they are few.
    resource: String,
}

/// Verb and resource as the API server's own metrics and audit log name them.
fn asked(method: &Method, uri: &Uri) -> Asked {
    let path: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let rest = match path.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => &[],
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    let (resource, is_named) = match rest {
        [resource, _name, subresource, ..] => (format!("{resource}/{subresource}"), true),
        [resource, _name] => ((*resource).to_owned(), true),
        [resource] => ((*resource).to_owned(), false),
        // Of the server itself, such as its version.
        [] => (path.first().copied().unwrap_or_default().to_owned(), true),
    };
    let is_watch =
        || uri.query().is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")));
    let verb = match *method {
        Method::GET if is_watch() => "watch",
        Method::GET if is_named => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    };
    Asked { verb, resource }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    #[track_caller]
    fn check(method: &Method, uri: &str, verb: &str, resource: &str) {
        let found = asked(method, &uri.parse().unwrap());
        assert_eq!((found.verb, found.resource.as_str()), (verb, resource), "{uri}");
    }

    #[test]
    fn requests_are_named_as_the_api_server_names_them() {
        check(&Method::GET, "/apis/apps/v1/deployments?&watch=true&timeoutSeconds=290", "watch", "deployments");
        check(&Method::GET, "/apis/apps/v1/namespaces/shop/deployments?limit=500", "list", "deployments");
        check(&Method::GET, "/api/v1/namespaces/shop/configmaps/watch", "get", "configmaps");
        check(&Method::PATCH, "/apis/apps/v1/namespaces/shop/deployments/web/scale?x=y", "patch", "deployments/scale");
        check(
            &Method::PATCH,
            "/apis/trimtab.dev/v1alpha1/metricssources/default/status",
            "patch",
            "metricssources/status",
        );
        check(&Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/a/leases/trimtab", "update", "leases");
        check(&Method::POST, "/apis/events.k8s.io/v1/namespaces/a/events", "create", "events");
        check(&Method::GET, "/version", "get", "version");
        check(&Method::GET, "/api/v1/namespaces/shop", "get", "namespaces");
        check(&Method::DELETE, "/api/v1/namespaces/shop/pods/x", "delete", "pods");
    }

    #[test]
    fn a_watch_is_open_until_its_body_is_gone() {
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let open = || metrics.watch_streams.with_label_values(&["deployments"]).get();
        let (one, two) = (Watch::open(&metrics, "deployments"), Watch::open(&metrics, "deployments"));
        assert_eq!(open(), 2);
        drop(one);
        assert_eq!(open(), 1);
        assert!(metrics.watch_heard.with_label_values(&["deployments"]).get() > 1_700_000_000);
        drop(two);
        assert_eq!(open(), 0);
    }
}
