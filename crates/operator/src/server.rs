//! The operator's own pages over HTTP: metrics, liveness, readiness.

use crate::{cache::Cache, lease::Leadership, metrics, metrics::Metrics, queue::Queue};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use tokio::{net::TcpListener, sync::watch, time::Instant};

#[derive(Clone)]
pub struct Pages {
    pub cache: Arc<Cache>,
    pub queue: Arc<Queue>,
    pub metrics: Metrics,
    pub registry: Arc<Registry>,
    pub leadership: watch::Receiver<Leadership>,
}

pub async fn serve(listener: TcpListener, pages: Pages, mut stop: watch::Receiver<bool>) -> std::io::Result<()> {
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(pages);
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stopped).await
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let phases: Vec<_> = {
        let shelf = pages.cache.rollouts.shelf();
        shelf.each(Instant::now()).map(|rollout| rollout.body.phase).collect()
    };
    pages.metrics.set_phases(phases.into_iter());
    pages.metrics.set_unread(pages.cache.count_unread());
    pages.metrics.set_queue(pages.queue.depth());
    pages.metrics.set_leading(pages.leadership.borrow().term(Instant::now()).is_some());
    match metrics::text(&pages.registry) {
        Ok(page) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("encoding the metrics failed: {error}\n")).into_response(),
    }
}

/// A standby is ready too: it could lead at once.
async fn ready(State(pages): State<Pages>) -> Response {
    let missing = pages.cache.missing();
    if missing.is_empty() {
        let leads = pages.leadership.borrow().term(Instant::now()).is_some();
        return (StatusCode::OK, if leads { "ok, leading\n" } else { "ok, standby\n" }).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n").into_response()
}
