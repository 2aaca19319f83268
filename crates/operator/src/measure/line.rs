//! One request and its answer, and as many tries as are asked for.

use super::{
    address::is_forbidden,
    answer::{beginning, body, cause},
    places::Places,
};
use bluegreen_gates::{
    ask::exchange::{Answer, Exchange, Short},
    reading::CheckOutcome,
    text::{Words, around},
};
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use std::{
    error::Error,
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};
use tokio::{net::TcpStream, time::Instant};

/// The sender of requests. A place among the requests in flight is taken for one request, not for the pause before the next.
pub struct Line<'a> {
    pub client: &'a Client,
    pub places: &'a Places,
    /// Of the rollout that asks.
    pub namespace: &'a str,
    pub words: Words,
}

/// Why there is no answer.
pub enum Unanswered {
    /// The address is one that isn't asked, or there was no place to ask from.
    NotAsked(String),
    /// There was no connection, or it was cut.
    Cut(String),
    /// Nothing came in time.
    Late(String),
    Failed(String),
    /// There is one, which can't be judged.
    Unjudged(String),
}

impl Unanswered {
    /// In a sentence.
    pub fn why(self) -> String {
        match self {
            Self::NotAsked(why) | Self::Cut(why) | Self::Late(why) | Self::Failed(why) | Self::Unjudged(why) => why,
        }
    }
}

/// Where an answer comes from, beside who gave it.
pub fn on(method: &Method, path: &str) -> String {
    match (method, path) {
        (&Method::GET, "") => String::new(),
        (&Method::GET, path) => format!(" on {path}"),
        (method, "") => format!(" to {method}"),
        (method, path) => format!(" on {method} {path}"),
    }
}

impl Line<'_> {
    /// The status that passed, or how the check ends. `pod`: the address of a pod that is ready. What keeps requests from it is no word on
    /// the release.
    pub async fn ask(&self, who: &str, on: &str, url: &Url, exchange: &Exchange, pod: Option<SocketAddr>) -> Result<u16, CheckOutcome> {
        let mut failure = None;
        for attempt in 0..exchange.attempts.max(1) {
            if attempt > 0 {
                tokio::time::sleep(exchange.interval).await;
            }
            match self.once(who, on, url, exchange).await {
                Ok(status) => return Ok(status),
                Err(Unanswered::NotAsked(why) | Unanswered::Unjudged(why)) => return Err(CheckOutcome::NotDone(why)),
                Err(Unanswered::Failed(why)) => failure = Some(CheckOutcome::Failed(why)),
                // What one try has found stays found.
                Err(_) if matches!(failure, Some(CheckOutcome::Failed(_))) => {}
                Err(Unanswered::Cut(why)) => failure = Some(pod.map_or(CheckOutcome::Failed(why.clone()), |pod| kept_out(pod, &why))),
                Err(Unanswered::Late(why)) => {
                    failure = Some(match pod {
                        Some(pod) if !connects(pod, exchange.timeout).await => kept_out(pod, &why),
                        _ => CheckOutcome::Failed(why),
                    });
                }
            }
        }
        Err(failure.unwrap_or_else(|| CheckOutcome::NotDone(format!("{who} was not asked{on}"))))
    }

    async fn once(&self, who: &str, on: &str, url: &Url, exchange: &Exchange) -> Result<u16, Unanswered> {
        let _place = self.places.for_request(self.namespace, url).await.map_err(Unanswered::NotAsked)?;
        let request = self.client.request(exchange.method.clone(), url.clone()).timeout(exchange.timeout).headers(exchange.headers.clone());
        let request = match &exchange.body {
            Some(body) => request.body(body.clone()),
            None => request,
        };
        let began = Instant::now();
        let answer = send(request, who, on).await?;
        let status = answer.status().as_u16();
        let mut took = began.elapsed();
        let body = match (exchange.expects(status), &exchange.expected_body) {
            (false, _) => beginning(answer).await,
            (true, None) => vec![],
            (true, Some(_)) => {
                let unread = |why| Unanswered::Failed(format!("{who} answered {status}{on}, but its body can't be read: {why}"));
                let body = body(answer).await.map_err(unread)?;
                took = began.elapsed();
                body
            }
        };
        match exchange.against(on, Answer { status, took, body: &body, words: self.words }) {
            Ok(()) => Ok(status),
            Err(Short::Failed(why)) => Err(Unanswered::Failed(format!("{who} {why}"))),
            Err(Short::Unjudged(why)) => Err(Unanswered::Unjudged(format!("{who} {why}"))),
        }
    }
}

/// The kubelet calls the pod ready, and the operator doesn't get through to it.
fn kept_out(pod: SocketAddr, why: &str) -> CheckOutcome {
    let port = pod.port();
    let look = format!(". The pod is ready: does a NetworkPolicy or a mesh (STRICT mTLS) keep the operator out, and is port {port} open?");
    CheckOutcome::NotDone(around("", why, &look))
}

/// Whether a connection comes about at all: an answer that is slow is the release's doing.
async fn connects(pod: SocketAddr, timeout: Duration) -> bool {
    tokio::time::timeout(timeout, TcpStream::connect(pod)).await.is_ok_and(|connected| connected.is_ok())
}

/// Refused, reset, or without a way there. Not a connection that was closed in good order: so ends a request whose handler has crashed.
fn is_cut(error: &(dyn Error + 'static)) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut};
    let cut = [BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut];
    error.downcast_ref::<io::Error>().is_some_and(|error| cut.contains(&error.kind())) || error.source().is_some_and(is_cut)
}

pub async fn send(request: RequestBuilder, who: &str, on: &str) -> Result<Response, Unanswered> {
    request.send().await.map_err(|error| {
        let why = format!("{who} did not answer{on}: {}", cause(&error));
        if is_forbidden(&error) {
            Unanswered::NotAsked(why)
        } else if error.is_timeout() {
            Unanswered::Late(why)
        } else if is_cut(&error) {
            Unanswered::Cut(why)
        } else {
            Unanswered::Failed(why)
        }
    })
}
