//! Stands between an operator and the API server, and does to requests what networks and busy servers do to them.
//!
//! Whose traffic goes through it is decided by a kubeconfig: [`Proxy::kubeconfig`] turns one that leads to the API server into
//! one that leads here. Who asks is passed on as it is; the proxy has no identity of its own.

mod dealing;
mod watching;

pub use dealing::{Fault, Sort, Tally, Weather};

use crate::ground::Ground;
use axum::{
    body::{Body, Bytes},
    http::{Method, Request, Response, StatusCode, header, request::Parts},
};
use dealing::Dealer;
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::Mutex,
    task::JoinSet,
    time::{sleep, timeout},
};

/// Longer than the operator waits for any answer.
const SILENCE: Duration = Duration::from_secs(12);

/// The proxy, on a loopback address; it ends when it is dropped, and all that goes through it.
#[derive(Debug)]
pub struct Proxy {
    pub address: String,
    desk: Arc<Desk>,
    _connections: JoinSet<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Desk {
    dealer: Dealer,
    upstream: Upstream,
    /// Locked while a watch is held back.
    holding: Mutex<()>,
}

struct Upstream(Client);

impl std::fmt::Debug for Upstream {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Upstream")
    }
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("closed without an answer")
    }
}

impl std::error::Error for Closed {}

impl Proxy {
    /// A watch may be held back for 40 s; then what follows from it is sent, and comes 5 s later.
    pub const LAG: Duration = Duration::from_secs(45);

    /// Before the API server of this cluster.
    pub async fn before(ground: &Ground, seed: u64, weather: Weather) -> Self {
        let mut kubeconfig = ground.kubeconfig("", "default");
        kubeconfig["users"][0]["user"] = json!({});
        let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Self::to(config, seed, weather).await
    }

    async fn to(mut config: Config, seed: u64, weather: Weather) -> Self {
        config.read_timeout = None;
        config.default_retry = false;
        let desk = Arc::new(Desk {
            dealer: Dealer::new(seed, weather),
            upstream: Upstream(Client::try_from(config).unwrap()),
            holding: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let mut connections = JoinSet::new();
        connections.spawn(accept(listener, desk.clone()));
        Self { address, desk, _connections: connections }
    }

    /// This kubeconfig, leading here.
    pub fn kubeconfig(&self, mut kubeconfig: Value) -> Value {
        kubeconfig["clusters"][0]["cluster"] = json!({"server": self.address});
        kubeconfig
    }

    pub fn turn(&self, weather: Weather) {
        self.desk.dealer.turn(weather);
    }

    /// What has been dealt out so far.
    pub fn tally(&self) -> Tally {
        self.desk.dealer.tally()
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let desk = desk.clone();
        connections.spawn(async move {
            let answers = service_fn(move |request| desk.clone().answer(request));
            // It ends with an error whenever an answer gets lost.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answers).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Desk {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Closed> {
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return Err(Closed) };
        let (sort, body) = (Sort::of(&parts.method, &parts.uri), body.to_bytes());
        let Some(fault) = self.dealer.deal(sort) else { return self.pass_on(&parts, body).await };
        match fault {
            Fault::Delayed => {
                sleep(self.dealer.delay(sort)).await;
                self.pass_on(&parts, body).await
            }
            Fault::Lost => self.lose().await,
            Fault::Unanswered => {
                self.clone().carry_out(parts, body, Duration::ZERO).await;
                self.lose().await
            }
            Fault::Late => {
                let after = self.dealer.lateness();
                tokio::spawn(self.carry_out(parts, body, after));
                Err(Closed)
            }
            Fault::Twice => {
                let answer = self.clone().pass_on(&parts, body.clone()).await;
                let after = self.dealer.lateness();
                tokio::spawn(self.carry_out(parts, body, after));
                answer
            }
            Fault::Conflict => Ok(refusal(StatusCode::CONFLICT, "Conflict", "the object has been modified (said the proxy)", None)),
            Fault::TooMany => {
                let wait = self.dealer.seconds_to_wait();
                Ok(refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "too many requests (said the proxy)", Some(wait)))
            }
            Fault::Internal => {
                Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "etcdserver: leader changed (said the proxy)", None))
            }
            Fault::Unavailable => {
                Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "shutting down (said the proxy)", None))
            }
            Fault::Expired => Ok(refusal(StatusCode::GONE, "Expired", EXPIRED, None)),
            // These befall a watch that has begun.
            Fault::Cut | Fault::Held => self.pass_on(&parts, body).await,
        }
    }

    async fn pass_on(self: Arc<Self>, parts: &Parts, body: Bytes) -> Result<Response<Body>, Closed> {
        let answer = self.ask(parts, body).await?;
        if Sort::of(&parts.method, &parts.uri) == Sort::Watch && answer.status() == StatusCode::OK {
            let (head, events) = answer.into_parts();
            return Ok(Response::from_parts(head, watching::disturbed(events, self)));
        }
        Ok(answer)
    }

    async fn ask(&self, parts: &Parts, body: Bytes) -> Result<Response<Body>, Closed> {
        let mut request = Request::new(kube::client::Body::from(body));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.headers_mut() = parts.headers.clone();
        for ours in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING] {
            request.headers_mut().remove(ours);
        }
        let answer = self.upstream.0.send(request).await.map_err(|_| Closed)?;
        let (mut head, body) = answer.into_parts();
        for theirs in [header::CONNECTION, header::TRANSFER_ENCODING] {
            head.headers.remove(theirs);
        }
        head.version = axum::http::Version::HTTP_11;
        Ok(Response::from_parts(head, Body::new(body)))
    }

    /// Sees that it is carried out, whoever waits for the answer.
    async fn carry_out(self: Arc<Self>, parts: Parts, body: Bytes, after: Duration) {
        let done = tokio::spawn(async move {
            sleep(after).await;
            // Nobody waits for all of a watch.
            if let Ok(answer) = self.ask(&parts, body).await
                && parts.method != Method::GET
            {
                let _ = timeout(SILENCE, answer.into_body().collect()).await;
            }
        });
        let _ = done.await;
    }

    async fn lose(&self) -> Result<Response<Body>, Closed> {
        if self.dealer.silent() {
            tokio::select! {
                () = sleep(SILENCE) => {}
                () = self.dealer.cleared() => {}
            }
        }
        Err(Closed)
    }
}

const EXPIRED: &str = "too old resource version (said the proxy)";

fn status(code: StatusCode, reason: &str, message: &str) -> Value {
    let metadata = json!({});
    json!({"kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure", "message": message, "reason": reason, "code": code.as_u16()})
}

fn refusal(code: StatusCode, reason: &str, message: &str, retry_after: Option<u64>) -> Response<Body> {
    let mut answer = Response::new(Body::from(status(code, reason, message).to_string()));
    *answer.status_mut() = code;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

#[cfg(test)]
mod tests;
