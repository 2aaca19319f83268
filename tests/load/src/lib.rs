//! A load generator that hides nothing: requests go out at a constant rate whatever becomes of those before, none is
//! ever repeated, and each that isn't answered with 2xx is a failure with a name.
//!
//! It is meant to be run as a program inside a cluster's network; the library is there for its result, [`Summary`].

mod connection;
mod summary;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Uri;
use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use crate::connection::Connection;
pub use crate::summary::{Answer, Failure, Latency, Summary, Tally, Version};

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Plain HTTP only: `http://10.96.0.80/`.
    pub target: Uri,
    /// Requests a second.
    pub rate: f64,
    /// How long; None: until told to stop.
    pub duration: Option<Duration>,
    /// Whether a connection is used again, if the server doesn't say `connection: close`.
    pub keep_alive: bool,
    /// Connections: kept open all at once when they are used again, as many users do. A request that finds all in use
    /// waits, and its waiting counts as its latency.
    pub connections: usize,
    /// How long one request may take, from the moment when it was due.
    pub timeout: Duration,
}

/// Runs a plan until its end, or until `stop`; requests under way are waited for. `each` sees every request's outcome.
pub async fn run(plan: Plan, stop: impl Future<Output = ()>, mut each: impl FnMut(&Answer, &Summary)) -> Result<Summary> {
    ensure!(plan.rate > 0.0 && plan.rate <= 100_000.0, "a rate of {} requests a second is none", plan.rate);
    ensure!(plan.connections > 0, "without a connection there is no request: allow at least one");
    ensure!(plan.target.scheme_str() == Some("http"), "{} is no plain http:// address", plan.target);
    let host = plan.target.host().with_context(|| format!("{} names no host", plan.target))?.to_owned();
    let port = plan.target.port_u16().unwrap_or(80);

    let client = Arc::new(Client {
        address: (host.trim_matches(['[', ']']).to_owned(), port),
        idle: Mutex::new(VecDeque::new()),
        places: Semaphore::new(plan.connections),
        plan,
    });
    let (answers, mut received) = mpsc::unbounded_channel();
    let mut tally = Tally::new(Timestamp::now());
    let mut stop = std::pin::pin!(stop);
    let start = Instant::now();
    let end = client.plan.duration.map(|duration| start + duration);
    let mut number = 0u32;
    loop {
        let due = start + Duration::from_secs_f64(f64::from(number) / client.plan.rate);
        if end.is_some_and(|end| due >= end) {
            break;
        }
        tokio::select! {
            () = &mut stop => break,
            Some(answer) = received.recv() => {
                tally.add(&answer);
                each(&answer, tally.so_far());
            }
            () = sleep_until(due) => {
                number = number.checked_add(1).context("four thousand million requests are enough")?;
                tally.sent();
                let (client, answers) = (Arc::clone(&client), answers.clone());
                tokio::spawn(async move {
                    // Nobody listens any more only when the whole run was given up.
                    let _ = answers.send(client.request(due).await);
                });
            }
        }
    }
    drop(answers);
    while let Some(answer) = received.recv().await {
        tally.add(&answer);
        each(&answer, tally.so_far());
    }
    Ok(tally.finish(Timestamp::now()))
}

struct Client {
    plan: Plan,
    address: (String, u16),
    idle: Mutex<VecDeque<Connection>>,
    places: Semaphore,
}

impl Client {
    async fn request(&self, due: Instant) -> Answer {
        let at = Timestamp::now();
        let mut answer = Answer { at, ..Answer::default() };
        let outcome = timeout(self.plan.timeout.saturating_sub(due.elapsed()), self.attempt(&mut answer)).await;
        answer.failure = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(Failure::of("timeout", format!("no answer within {:?}", self.plan.timeout))),
        };
        answer.microseconds = u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX);
        answer
    }

    /// One request on one connection; what was learnt before a failure stays in `answer`.
    async fn attempt(&self, answer: &mut Answer) -> Result<(), Failure> {
        let Ok(_place) = self.places.acquire().await else {
            return Err(Failure::of("ended", "the run has ended".to_owned()));
        };
        let mut connection = match self.take_idle() {
            Some(connection) => connection,
            None => {
                answer.new_connection = true;
                Connection::open(&self.address).await?
            }
        };
        let reusable = connection.request(&self.plan, answer).await?;
        if reusable {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push_back(connection);
        }
        match answer.status {
            Some(200..=299) => Ok(()),
            status => {
                let status = status.unwrap_or_default();
                Err(Failure::of(&format!("status {status}"), format!("answered with {status}")))
            }
        }
    }

    /// A connection that the server has not closed, as far as we were told; none while there may be more of them. One
    /// that the server closes only now costs a failure: what a client does then is its own affair, and not every one
    /// may ask again.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(Connection::is_open);
        let in_use_by_others = self.plan.connections - self.places.available_permits() - 1;
        if idle.len() + in_use_by_others < self.plan.connections {
            return None;
        }
        // The one that waited longest: all of them stay in use.
        idle.pop_front()
    }
}
