//! One request and its answer, and as many tries as are asked for.

use super::{
    address::is_forbidden,
    answer::{beginning, body, cause},
    places::Places,
};
use bluegreen_gates::{
    ask::exchange::{Answer, Exchange},
    reading::CheckOutcome,
    text::Words,
};
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use tokio::time::Instant;

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
    Failed(String),
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
    /// The status that passed, or how the check ends.
    pub async fn ask(&self, who: &str, on: &str, url: &Url, exchange: &Exchange) -> Result<u16, CheckOutcome> {
        let mut failure = String::new();
        for attempt in 0..exchange.attempts.max(1) {
            if attempt > 0 {
                tokio::time::sleep(exchange.interval).await;
            }
            match self.once(who, on, url, exchange).await {
                Ok(status) => return Ok(status),
                Err(Unanswered::NotAsked(why)) => return Err(CheckOutcome::NotDone(why)),
                Err(Unanswered::Failed(why)) => failure = why,
            }
        }
        Err(CheckOutcome::Failed(failure))
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
            None => Ok(status),
            Some(why) => Err(Unanswered::Failed(format!("{who} {why}"))),
        }
    }
}

pub async fn send(request: RequestBuilder, who: &str, on: &str) -> Result<Response, Unanswered> {
    request.send().await.map_err(|error| {
        let why = format!("{who} did not answer{on}: {}", cause(&error));
        if is_forbidden(&error) { Unanswered::NotAsked(why) } else { Unanswered::Failed(why) }
    })
}
