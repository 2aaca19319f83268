//! Measurements run beside the reconciles, so that a slow or broken source holds nothing up.
//! The set of those that run is made equal to what the engine wants.

mod address;
mod answer;
mod client;
mod credentials;
mod http;
mod job;
mod line;
mod places;
mod pod_events;
mod prometheus;
mod services;
mod signature;
#[cfg(test)]
mod stage;
mod web;
mod webhook;

pub use signature::Signer;

use crate::{clock, key::Key, memory::Memory, metrics::Metrics, queue::Queue};
use address::Rules;
use bluegreen_api::Color;
use bluegreen_engine::{Observed, observed::PodWarning};
use bluegreen_gates::{
    ask::{
        Ask, What,
        allowed::{Allowed, Request},
        question::{Question, Secret, Whose},
    },
    reading::{CheckOutcome, Measurement, Outcome, Reading},
    text::Words,
};
use client::Clients;
use credentials::{Access, Credentials, Own};
use futures::future::{BoxFuture, join_all};
use job::Jobs;
use line::Line;
use places::{Place, Places};
use pod_events::PodEvents;
use reqwest::{Method, Url};
use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::task::AbortHandle;

/// Where measurements ask.
#[derive(Clone)]
pub struct Sources {
    pods: reqwest::Client,
    urls: Arc<Clients>,
    metrics: Arc<Clients>,
    rules: Arc<Rules>,
    signer: Signer,
    credentials: Arc<Credentials>,
    own: Option<Arc<Own>>,
    jobs: Jobs,
    pod_events: PodEvents,
    places: Places,
}

impl Sources {
    /// `own`: the directory of what the operator's own Prometheus is shown. `api`: where Secrets and Services are read and Jobs run.
    pub fn new(allowed: Allowed, signer: Signer, own: Option<PathBuf>, api: kube::Client, metrics: Metrics) -> reqwest::Result<Self> {
        let rules = Rules::new(allowed, api.clone());
        let places = Places::new(metrics);
        let urls = Arc::new(Clients::once(rules.clone()));
        let metrics = Arc::new(Clients::again(rules.clone(), |builder| builder));
        let credentials = Arc::new(Credentials::new(api.clone(), rules.clone()));
        let own = own.map(|directory| Arc::new(Own::new(directory, rules.clone())));
        Ok(Self {
            pods: client::pods(&rules)?,
            urls,
            metrics,
            rules,
            signer,
            credentials,
            own,
            jobs: Jobs::new(api.clone()),
            pod_events: PodEvents::new(api),
            places,
        })
    }

    /// `namespace`: of the rollout that asks.
    async fn ask(&self, namespace: &str, what: &What) -> Outcome {
        let reach = self.urls.of(namespace);
        match what {
            What::Http { targets, scheme, path, exchange } => {
                let pods = Line { client: &self.pods, places: &self.places, namespace, words: Words::Quoted };
                let request = http::Request { scheme: *scheme, path, exchange };
                Outcome::Check(http::check(&pods, &self.rules.allowed, targets, &request).await)
            }
            What::Url { url, exchange } => Outcome::Check(http::check_url(reach, &self.places, url, exchange).await),
            What::Webhook { url, headers, body, timeout } => {
                let question = webhook::Question { url, headers, body, timeout: *timeout };
                Outcome::Check(webhook::ask(reach, &self.places, &self.signer, &question).await)
            }
            // No request in flight: many may run for long.
            What::Job(job) => Outcome::Check(self.jobs.check(job).await),
            What::Reading(job) => Outcome::Readings(vec![self.jobs.read(job).await]),
            What::Metric { questions, credentials, timeout } => {
                let (access, _place) = match self.ready(namespace, questions, credentials).await {
                    Ok(ready) => ready,
                    Err(why) => return Outcome::Readings(vec![Reading::Failed(why); questions.len()]),
                };
                // At the same moment, or one side's incident would look like its own.
                Outcome::Readings(join_all(questions.iter().map(|question| read(namespace, question, &access, *timeout))).await)
            }
        }
    }

    /// What a metric needs before it asks.
    async fn ready(&self, namespace: &str, questions: &[Question], credentials: &Whose<Secret>) -> Result<(Access, Option<Place>), String> {
        let access = self.access(credentials).await?;
        // All of its questions go to one source.
        let place = match questions.first().and_then(address) {
            Some(url) => Some(self.places.for_request(namespace, &url).await?),
            None => None,
        };
        Ok((access, place))
    }

    async fn access(&self, credentials: &Whose<Secret>) -> Result<Access, String> {
        match (credentials, &self.own) {
            (Whose::Secret(secret), _) => self.credentials.of(secret).await,
            (Whose::Operator, Some(own)) => own.access().await,
            (Whose::Operator, None) | (Whose::Nobody, _) => Ok(Access::open(self.metrics.clone())),
        }
    }
}

/// None: it can't be asked anyway.
fn address(question: &Question) -> Option<Url> {
    match question {
        Question::Prometheus { address, .. } | Question::Buckets { address, .. } => Url::parse(address).ok(),
        Question::Web(question) => Url::parse(&question.url).ok(),
        Question::Nobody(_) => None,
    }
}

async fn read(namespace: &str, question: &Question, access: &Access, timeout: Duration) -> Reading {
    let reach = access.clients.of(namespace);
    match question {
        Question::Prometheus { address, headers, query, at } => prometheus::read(reach, (address, headers), (query, *at), timeout).await,
        Question::Buckets { address, headers, query } => prometheus::read_buckets(reach, (address, headers), query, timeout).await,
        Question::Web(question) => web::read(access, namespace, question, timeout).await,
        Question::Nobody(why) => Reading::Missing(why.clone()),
    }
}

/// Takes measurements: by asking [`Sources`], but for simulations.
pub trait Gauge: Send + Sync {
    /// `namespace`: of the rollout that asks.
    fn measure<'a>(&'a self, namespace: &'a str, what: &'a What) -> BoxFuture<'a, Outcome>;

    /// A check that is not asked, whenever it is tried, while neither the check nor what the operator allows changes.
    fn denies(&self, _namespace: &str, _what: &What) -> bool {
        false
    }

    /// What the Warning events of a pod say; nothing where they can't be read.
    fn warnings<'a>(&'a self, _namespace: &'a str, _pod: &'a str) -> BoxFuture<'a, Vec<PodWarning>> {
        Box::pin(async { vec![] })
    }

    /// A measurement that had begun is not wanted any more: what it left outside of this process goes.
    fn abandon<'a>(&'a self, _what: &'a What) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

impl Gauge for Sources {
    fn measure<'a>(&'a self, namespace: &'a str, what: &'a What) -> BoxFuture<'a, Outcome> {
        Box::pin(self.ask(namespace, what))
    }

    fn denies(&self, namespace: &str, what: &What) -> bool {
        let (method, url, headers) = match what {
            What::Url { url, exchange } => (&exchange.method, url, &exchange.headers),
            What::Webhook { url, headers, .. } => (&Method::POST, url, headers),
            // Metrics have a limit of their own for sources that can't be asked.
            What::Http { .. } | What::Job(_) | What::Reading(_) | What::Metric { .. } => return false,
        };
        let allowed = &self.rules.allowed;
        !Url::parse(url).is_ok_and(|url| allowed.way(&Request { namespace, method, url: &url, headers }).is_ok())
    }

    fn warnings<'a>(&'a self, namespace: &'a str, pod: &'a str) -> BoxFuture<'a, Vec<PodWarning>> {
        Box::pin(async move {
            self.pod_events.read(namespace, pod).await.unwrap_or_else(|why| {
                tracing::debug!(namespace, pod, why, "the events of a pod could not be read");
                vec![]
            })
        })
    }

    fn abandon<'a>(&'a self, what: &'a What) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let What::Job(job) | What::Reading(job) = what {
                self.jobs.abandon(job).await;
            }
        })
    }
}

pub struct Measuring {
    gauge: Arc<dyn Gauge>,
    memory: Arc<Memory>,
    queue: Arc<Queue>,
    metrics: Metrics,
    running: Mutex<HashMap<Key, Vec<Running>>>,
    /// Whose events are being read.
    puzzles: Mutex<HashSet<(Key, Color)>>,
}

struct Running {
    uid: String,
    wanted: Ask,
    /// It is past waiting for its time.
    begun: Arc<AtomicBool>,
    /// It was denied, and stays so.
    denied: Arc<AtomicBool>,
    task: AbortHandle,
}

/// The same measurement of the same gate, whenever it is due.
fn same(one: &Ask, other: &Ask) -> bool {
    (&one.gate, &one.definition, one.attempt, &one.revision) == (&other.gate, &other.definition, other.attempt, &other.revision)
}

fn answers(result: &Measurement, wanted: &Ask) -> bool {
    (&result.gate, &result.definition, result.attempt, &result.revision)
        == (&wanted.gate, &wanted.definition, wanted.attempt, &wanted.revision)
}

impl Measuring {
    pub fn new(gauge: Arc<dyn Gauge>, memory: Arc<Memory>, queue: Arc<Queue>, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self { gauge, memory, queue, metrics, running: Mutex::default(), puzzles: Mutex::default() })
    }

    /// Makes the running measurements of a rollout those that are wanted, as `seen` has it.
    pub fn set(self: &Arc<Self>, key: &Key, seen: &Observed, wanted: Vec<Ask>) {
        let mut all = self.running();
        let mut former = all.remove(key).unwrap_or_default();
        let mut present = Vec::new();
        for wanted in wanted {
            let runs = former.iter().position(|running| running.uid == seen.uid && same(&running.wanted, &wanted));
            match runs.map(|place| former.swap_remove(place)) {
                Some(running) if running.denied.load(Ordering::Acquire) && !self.is_told(key, seen, &wanted) => {
                    present.extend(self.start(key, seen, wanted));
                }
                Some(running) if running.begun.load(Ordering::Acquire) || running.wanted == wanted => present.push(running),
                // Not begun, and something about it has changed; or none of it yet.
                other => {
                    other.inspect(|running| running.task.abort());
                    present.extend(self.start(key, seen, wanted));
                }
            }
        }
        for running in former {
            running.task.abort();
            if running.begun.load(Ordering::Acquire) {
                let gauge = self.gauge.clone();
                tokio::spawn(async move { gauge.abandon(&running.wanted.what).await });
            }
        }
        if !present.is_empty() {
            all.insert(key.clone(), present);
        }
    }

    /// Reads the events of these pods, one of a side at a time. What they say is there for the next look.
    pub fn read_events(self: &Arc<Self>, key: &Key, uid: &str, pods: Vec<(Color, String)>) {
        for (color, pod) in pods {
            let puzzle = (key.clone(), color);
            if !self.puzzles().insert(puzzle.clone()) {
                continue;
            }
            let (this, uid) = (self.clone(), uid.to_owned());
            tokio::spawn(async move {
                let warnings = this.gauge.warnings(&puzzle.0.namespace, &pod).await;
                let there = this.memory.if_there(&puzzle.0, &uid, |remembered| remembered.read_events(color, &pod, warnings, clock::now()));
                this.puzzles().remove(&puzzle);
                if there.is_some() {
                    this.queue.add(puzzle.0);
                }
            });
        }
    }

    fn puzzles(&self) -> MutexGuard<'_, HashSet<(Key, Color)>> {
        self.puzzles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn forget(&self, key: &Key) {
        let former = self.running().remove(key).unwrap_or_default();
        former.iter().for_each(|running| running.task.abort());
    }

    fn start(self: &Arc<Self>, key: &Key, seen: &Observed, wanted: Ask) -> Option<Running> {
        // A result that `seen` doesn't have yet: the next look, which has it, tells when the next is due.
        let fresh = self.memory.of(key, &seen.uid, |remembered| {
            remembered.results.iter().any(|result| answers(result, &wanted) && !seen.results.contains(result))
        });
        if fresh {
            return None;
        }
        let (begun, denied) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let this = self.clone();
        let (key, uid, what, told) = (key.clone(), seen.uid.clone(), wanted.clone(), (begun.clone(), denied.clone()));
        let task = tokio::spawn(async move { this.run(key, uid, what, (&told.0, &told.1)).await }).abort_handle();
        Some(Running { uid: seen.uid.clone(), wanted, begun, denied, task })
    }

    /// Whether the gate says why it was denied, or is about to.
    fn is_told(&self, key: &Key, seen: &Observed, wanted: &Ask) -> bool {
        let recorded = seen.status.gates.iter().any(|gate| gate.name == wanted.gate && gate.tries.is_some());
        recorded || self.memory.of(key, &seen.uid, |remembered| remembered.results.iter().any(|result| answers(result, wanted)))
    }

    async fn run(self: Arc<Self>, key: Key, uid: String, wanted: Ask, (begun, denied): (&AtomicBool, &AtomicBool)) {
        if let Ok(left) = Duration::try_from(wanted.due.duration_since(clock::now())) {
            tokio::time::sleep(left).await;
        }
        begun.store(true, Ordering::Release);
        let outcome = self.gauge.measure(&key.namespace, &wanted.what).await;
        self.metrics.measured(kind(&wanted.what), result(&outcome));
        tracing::debug!(rollout = %key, gate = %wanted.gate, ?outcome, "measured");
        let result = Measurement {
            gate: wanted.gate.clone(),
            definition: wanted.definition.clone(),
            attempt: wanted.attempt,
            revision: wanted.revision.clone(),
            at: clock::now(),
            asked: wanted.what.asked(),
            outcome,
        };
        // In this order: the result is there before anybody can find that the measurement isn't.
        let wanted_still = self.memory.add_result(&key, &uid, result);
        if self.gauge.denies(&key.namespace, &wanted.what) {
            denied.store(true, Ordering::Release);
        } else {
            self.finish(&key, &uid, &wanted);
        }
        if wanted_still {
            self.queue.add(key);
        }
    }

    fn finish(&self, key: &Key, uid: &str, wanted: &Ask) {
        let mut all = self.running();
        if let Some(running) = all.get_mut(key) {
            running.retain(|running| !(running.uid == uid && same(&running.wanted, wanted)));
            if running.is_empty() {
                all.remove(key);
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Key, Vec<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kind(what: &What) -> &'static str {
    match what {
        What::Http { .. } | What::Url { .. } => "http",
        What::Webhook { .. } => "webhook",
        What::Job(_) | What::Reading(_) => "job",
        What::Metric { questions, .. } => match questions.first() {
            Some(Question::Web(_)) => "web",
            Some(Question::Prometheus { .. } | Question::Buckets { .. } | Question::Nobody(_)) | None => "prometheus",
        },
    }
}

fn result(outcome: &Outcome) -> &'static str {
    let reading = match outcome {
        Outcome::Check(CheckOutcome::Passed(_)) => return "passed",
        Outcome::Check(CheckOutcome::Failed(_)) => return "failed",
        Outcome::Check(CheckOutcome::NotDone(_)) => return "not_done",
        // The first that has no numbers tells of all.
        Outcome::Readings(readings) => {
            readings.iter().find(|reading| !matches!(reading, Reading::Value(_) | Reading::Buckets(_))).or(readings.first())
        }
    };
    match reading {
        Some(Reading::Value(_) | Reading::Buckets(_)) => "value",
        Some(Reading::NotANumber) => "not_a_number",
        Some(Reading::NoData | Reading::Missing(_)) | None => "no_data",
        Some(Reading::Failed(_)) => "failed",
    }
}

#[cfg(test)]
mod tests;
