//! Services of rollouts' namespaces, as sources: read when they are asked, and kept for a moment.

use super::answer::cause;
use bluegreen_gates::ask::allowed::{Service, service::Seen};
use k8s_openapi::api::core::v1::{Service as Object, ServiceSpec};
use kube::Api;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// A change is noticed after this time.
const FRESH: Duration = Duration::from_secs(5);

/// A look at a Service takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Services {
    api: kube::Client,
    kept: Mutex<HashMap<Service, (Instant, Seen)>>,
}

impl Services {
    pub fn new(api: kube::Client) -> Self {
        Self { api, kept: Mutex::default() }
    }

    /// A sentence when it can't be had.
    pub async fn seen(&self, service: &Service) -> Result<Seen, String> {
        if let Some(seen) = self.kept(service) {
            return Ok(seen);
        }
        let api = Api::<Object>::namespaced(self.api.clone(), &service.namespace);
        let found =
            timeout(PATIENCE, api.get_opt(&service.name)).await.map_err(|_| format!("{service} can't be read: no answer in time"))?;
        let object = found.map_err(|error| format!("{service} can't be read: {}", cause(&error)))?;
        let object = object.ok_or_else(|| format!("{service} doesn't exist: create it, or change the address"))?;
        let seen = read(object.spec.unwrap_or_default());
        self.all().insert(service.clone(), (Instant::now(), seen.clone()));
        Ok(seen)
    }

    fn kept(&self, service: &Service) -> Option<Seen> {
        let mut all = self.all();
        all.retain(|_, (at, _)| at.elapsed() < FRESH);
        all.get(service).map(|(_, seen)| seen.clone())
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<Service, (Instant, Seen)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(spec: ServiceSpec) -> Seen {
    Seen {
        external_name: spec.type_.as_deref() == Some("ExternalName"),
        has_selector: spec.selector.is_some_and(|selector| !selector.is_empty()),
        cluster_ip: spec.cluster_ip,
        ports: spec.ports.unwrap_or_default().iter().filter_map(|port| u16::try_from(port.port).ok()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        address::Rules,
        client::Clients,
        http::check_url,
        places::Places,
        stage::{plain, provide_tls, serve},
    };
    use crate::metrics::Metrics;
    use axum::{Router, http::StatusCode, routing::get};
    use bluegreen_gates::{ask::allowed::Allowed, reading::CheckOutcome};
    use serde_json::json;

    /// An API server with Services whose cluster IP is this machine's.
    async fn api(port: u16) -> kube::Client {
        provide_tls();
        let service = |spec: serde_json::Value| {
            let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": spec});
            get(move || async move { object.to_string() })
        };
        let ports = json!([{"port": port}]);
        let absent = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "no"});
        let app = Router::new()
            .fallback(move || async move { (StatusCode::NOT_FOUND, absent.to_string()) })
            .route(
                "/api/v1/namespaces/web/services/shop",
                service(json!({"selector": {"app": "shop"}, "clusterIP": "127.0.0.1", "ports": ports})),
            )
            .route("/api/v1/namespaces/web/services/bare", service(json!({"clusterIP": "127.0.0.1", "ports": ports})))
            .route(
                "/api/v1/namespaces/web/services/metadata-server",
                service(json!({"selector": {"app": "shop"}, "clusterIP": "169.254.169.254", "ports": ports})),
            )
            .route(
                "/api/v1/namespaces/web/services/away",
                service(json!({"type": "ExternalName", "externalName": "localhost", "selector": {"app": "shop"}, "ports": ports})),
            );
        kube::Client::try_from(kube::Config::new(format!("http://{}", serve(app).await).parse().unwrap())).unwrap()
    }

    #[tokio::test]
    async fn a_service_is_asked_at_its_cluster_ip_and_no_other_address() {
        let app = Router::new().route("/", get(|| async { (StatusCode::CONFLICT, "no stock") }));
        let port = serve(app).await.port();
        // Nothing is allowed but addresses of this machine where they are asked at all.
        let allowed = Allowed { machine: true, ..Allowed::default() };
        let clients = Clients::once(Rules::new(allowed, api(port).await));
        let asked = async |host: &str, port: u16| {
            let url = format!("http://{host}:{port}/");
            check_url(clients.of("web"), &Places::new(Metrics::default()), &url, &plain()).await
        };
        for host in ["shop", "shop.web", "shop.web.svc", "shop.web.svc.cluster.local"] {
            let why = format!("http://{host}:{port}/ answered 409, expected 200-299: \"no stock\"");
            assert_eq!(asked(host, port).await, CheckOutcome::Failed(why), "no DNS knows these names");
        }
        for (host, port, why) in [
            ("away", port, "Service web/away is of type ExternalName, which may lead out of its namespace"),
            ("bare", port, "Service web/bare has no selector, so that it may lead out of its namespace"),
            ("shop", 1, "Service web/shop has no port 1: its ports are"),
            ("gone", port, "Service web/gone doesn't exist"),
            ("shop.other", port, "is not an allowed source"),
            ("metadata-server", port, "169.254.169.254 is a metadata address of a cloud"),
        ] {
            let CheckOutcome::NotDone(told) = asked(host, port).await else { panic!("{host} was asked") };
            assert!(told.contains(why), "{host}: {told}");
        }
    }
}
