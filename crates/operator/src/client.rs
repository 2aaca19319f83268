//! Clients of the API server: one for requests and one for watches, which are counted, and one for the lease, which gives up early.

use crate::{answers::Readable, metrics::Metrics};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tower::{Layer, Service};

/// No limit of requests on our side: priority and fairness of the API server see to it that nobody starves.
pub fn main(config: &Config, metrics: Metrics) -> kube::Result<Client> {
    let mut config = config.clone();
    // A list or the beginning of a watch that is never answered would leave its cache as it is for ever, and nobody would know.
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    Ok(ClientBuilder::try_from(config)?.with_layer(&Readable::default()).with_layer(&Counting { metrics }).build())
}

/// For watches and their lists. Tried again behind their back, for minutes, they would seem to go on while they have failed.
pub fn watches(config: &Config, metrics: Metrics) -> kube::Result<Client> {
    let mut config = config.clone();
    config.default_retry = false;
    main(&config, metrics)
}

/// Longer than a watch lasts, and than an API server works on a list by itself, which is a minute: their own ends come first.
const SILENCE: Duration = Duration::from_secs(65);

/// User agent; the API server's audit log shows it with each request.
pub fn named(mut config: Config) -> Config {
    let name = http::HeaderValue::from_static(concat!("bluegreen-operator/", env!("CARGO_PKG_VERSION")));
    config.headers.push((http::header::USER_AGENT, name));
    config
}

/// A call that is retried behind its caller's back could outlive the lease that it is to renew.
pub fn lease(config: &Config) -> kube::Result<Client> {
    let mut config = config.clone();
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(2));
    Client::try_from(config)
}

/// Counts requests by verb, resource and the code of their answer.
#[derive(Clone)]
struct Counting {
    metrics: Metrics,
}

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: self.metrics.clone() }
    }
}

#[derive(Clone)]
struct Counted<S> {
    inner: S,
    metrics: Metrics,
}

impl<S, B> Service<http::Request<Body>> for Counted<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (verb, resource) = (verb(request.method(), request.uri()), resource(request.uri().path()));
        let metrics = self.metrics.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            metrics.requested(verb, resource, answer.as_ref().map_or(0, |answer| answer.status().as_u16()));
            answer
        })
    }
}

fn verb(method: &http::Method, uri: &http::Uri) -> &'static str {
    let watch = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
    match method.as_str() {
        "GET" if watch => "watch",
        "GET" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "other",
    }
}

/// Only the resources that this operator has to do with have a word of their own.
fn resource(path: &str) -> &'static str {
    const KNOWN: [&str; 10] = [
        "bluegreenrollouts",
        "gatetemplates",
        "clustergatetemplates",
        "deployments",
        "services",
        "pods",
        "endpointslices",
        "controllerrevisions",
        "events",
        "leases",
    ];
    let of_rollout = || path.split('/').any(|part| part == "bluegreenrollouts");
    if path.ends_with("/status") && of_rollout() {
        return "bluegreenrollouts/status";
    }
    // A namespace or an object may be called like a resource: the last that stands where resources stand counts.
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let after_version = parts.iter().position(|part| part.starts_with('v') && part[1..].starts_with(|c: char| c.is_ascii_digit()));
    let Some(version) = after_version else { return "other" };
    let place = if parts.get(version + 1) == Some(&"namespaces") && parts.len() > version + 3 { version + 3 } else { version + 1 };
    let found = parts.get(place).and_then(|part| KNOWN.iter().find(|known| *known == part));
    found.copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use k8s_openapi::api::core::v1::Pod;
    use kube::{Api, api::ListParams};
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    #[tokio::test]
    async fn what_a_watch_is_refused_is_told_at_once() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let asked = Arc::new(AtomicU32::new(0));
        let counted = asked.clone();
        let busy = Router::new().fallback(move || async move {
            counted.fetch_add(1, Ordering::Relaxed);
            http::StatusCode::SERVICE_UNAVAILABLE
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(axum::serve(listener, busy).into_future());
        let client = watches(&Config::new(address.parse().unwrap()), Metrics::default()).unwrap();
        assert!(Api::<Pod>::all(client).list(&ListParams::default()).await.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        server.abort();
    }

    #[test]
    fn requests_are_told_apart_by_verb_and_resource() {
        for (method, uri, what) in [
            ("GET", "/apis/bluegreen.dev/v1alpha1/bluegreenrollouts?limit=250", ("get", "bluegreenrollouts")),
            ("GET", "/api/v1/pods?watch=true&timeoutSeconds=50", ("watch", "pods")),
            ("PATCH", "/apis/bluegreen.dev/v1alpha1/namespaces/a/bluegreenrollouts/shop/status?x", ("patch", "bluegreenrollouts/status")),
            ("PATCH", "/apis/apps/v1/namespaces/pods/deployments/services?fieldManager=x", ("patch", "deployments")),
            ("POST", "/apis/events.k8s.io/v1/namespaces/a/events", ("create", "events")),
            ("GET", "/apis/bluegreen.dev/v1alpha1/clustergatetemplates?limit=250", ("get", "clustergatetemplates")),
            ("GET", "/version", ("get", "other")),
        ] {
            let uri: http::Uri = uri.parse().unwrap();
            assert_eq!((verb(&method.parse().unwrap(), &uri), resource(uri.path())), what, "{uri}");
        }
    }
}
