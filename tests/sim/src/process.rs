//! Operators as processes: started, killed, told to stop, started again.

use crate::{
    dice::Dice,
    line::{Faults, Line, Made},
    resource::POD,
    server::ApiServer,
};
use bluegreen_gates::{
    ask::What,
    reading::{CheckOutcome, Outcome, Reading},
};
use bluegreen_operator::{args::Args, measure::Gauge, run};
use clap::Parser;
use futures::future::BoxFuture;
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep},
};

/// The namespace that everything happens in.
pub const NAMESPACE: &str = "shop";

/// A place where an operator runs, and is started again whenever it ends.
pub struct Seat {
    shared: Arc<Shared>,
    keeper: JoinHandle<()>,
}

struct Shared {
    server: ApiServer,
    name: &'static str,
    dice: Dice,
    faults: Mutex<Faults>,
    dies_after: Mutex<Option<u64>>,
    lines: Mutex<Vec<Line>>,
    asked: Arc<Mutex<Vec<What>>>,
    stop: Notify,
    lives: Mutex<u64>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seat {
    pub fn new(server: &ApiServer, name: &'static str, dice: Dice, faults: Faults, dies_after: Option<u64>) -> Self {
        let shared = Arc::new(Shared {
            server: server.clone(),
            name,
            dice,
            faults: Mutex::new(faults),
            dies_after: Mutex::new(dies_after),
            lines: Mutex::default(),
            asked: Arc::default(),
            stop: Notify::new(),
            lives: Mutex::new(0),
        });
        let keeper = tokio::spawn(keep(shared.clone()));
        Self { shared, keeper }
    }

    /// From now on, also after a new start.
    pub fn set_faults(&self, faults: Faults) {
        *locked(&self.shared.faults) = faults;
        if let Some(line) = locked(&self.shared.lines).last() {
            line.set_faults(faults);
        }
    }

    /// As `kill -9` does it.
    pub fn kill(&self) {
        if let Some(line) = locked(&self.shared.lines).last() {
            line.die_now();
        }
    }

    /// As SIGTERM does it.
    pub fn stop(&self) {
        self.shared.stop.notify_one();
    }

    /// Nobody starts it again.
    pub fn leave(&self) {
        self.keeper.abort();
        self.kill();
    }

    pub fn latest(&self) -> Option<Instant> {
        locked(&self.shared.lines).iter().filter_map(Line::latest).max()
    }

    pub fn made(&self) -> Vec<Made> {
        locked(&self.shared.lines).iter().flat_map(Line::made).collect()
    }

    pub fn writes(&self) -> u64 {
        locked(&self.shared.lines).iter().map(Line::writes).sum()
    }

    /// What was measured, in all its lives.
    pub fn asked(&self) -> Vec<What> {
        locked(&self.shared.asked).clone()
    }

    /// How often it was started.
    pub fn lives(&self) -> u64 {
        *locked(&self.shared.lives)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn keep(shared: Arc<Shared>) {
    loop {
        let line = Line::new(&shared.server, shared.dice.fork());
        line.set_faults(*locked(&shared.faults));
        if let Some(writes) = locked(&shared.dies_after).take() {
            line.die_after(writes);
        }
        let life = {
            let mut lives = locked(&shared.lives);
            *lives += 1;
            *lives
        };
        locked(&shared.lines).push(line.clone());
        let client = kube::Client::new(line.clone(), NAMESPACE);
        let outside = run::Outside {
            main: client.clone(),
            watches: client.clone(),
            leases: client,
            namespace: NAMESPACE.to_owned(),
            gauge: Arc::new(Fates { server: shared.server.clone(), asked: shared.asked.clone() }),
        };
        let identity = format!("{}-{life}", shared.name);
        let args = Args::parse_from(["bluegreen-operator", "--namespace", NAMESPACE, "--identity", &identity]);
        let stop = async {
            shared.stop.notified().await;
        };
        tokio::select! {
            biased;
            () = line.died() => {}
            _ = run::simulate(args, outside, stop) => {}
        }
        line.kill();
        sleep(shared.dice.millis(200, 8_000)).await;
    }
}

/// Checks and metrics answer as the image of the revision says: `-bad` ones are bad, and now and then nobody knows. A query that says
/// so is slow.
struct Fates {
    server: ApiServer,
    asked: Arc<Mutex<Vec<What>>>,
}

impl Fates {
    fn image(&self, is: impl Fn(&Value) -> bool) -> Option<String> {
        let found = self.server.look(|store| store.all(&POD).find(|pod| is(pod)).cloned())?;
        found["spec"]["containers"][0]["image"].as_str().map(str::to_owned)
    }

    /// The image of the revision that a question tells.
    fn image_told_in(&self, question: &str) -> Option<String> {
        self.image(|pod| pod["metadata"]["labels"]["bluegreen.dev/revision"].as_str().is_some_and(|revision| question.contains(revision)))
    }

    fn answer(&self, what: &What) -> Outcome {
        let check = |image: Option<String>| {
            Outcome::Check(match image {
                None => CheckOutcome::NotDone("nobody answers".to_owned()),
                Some(image) if image.contains("bad") => CheckOutcome::Failed("500".to_owned()),
                Some(_) => CheckOutcome::Passed("200".to_owned()),
            })
        };
        let number = |image: Option<String>| {
            Outcome::reading(match (bluegreen_operator::clock::now().as_second() % 11, image) {
                (0, _) | (_, None) => Reading::NoData,
                (1, _) => Reading::Failed("connection refused".to_owned()),
                (_, Some(image)) if image.contains("bad") => Reading::Value(0.5),
                _ => Reading::Value(0.0),
            })
        };
        match what {
            What::Http { targets, .. } => {
                let ips: Vec<&str> = targets.iter().map(|target| target.ip.as_str()).collect();
                check(self.image(|pod| pod["status"]["podIP"].as_str().is_some_and(|ip| ips.contains(&ip))))
            }
            // Nothing in the simulation is asked by a URL that doesn't tell its revision.
            What::Url { url: question, .. } | What::Webhook { body: question, .. } => check(self.image_told_in(question)),
            What::Job(job) => check(self.image_told_in(&job.object.to_string())),
            // Its stories compare nothing, and ask no other source.
            What::Metric { questions, .. } => number(questions.first().and_then(|question| self.image_told_in(&question.to_string()))),
            What::Reading(job) => number(self.image_told_in(&job.object.to_string())),
        }
    }
}

impl Gauge for Fates {
    fn measure<'a>(&'a self, _namespace: &'a str, what: &'a What) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            locked(&self.asked).push(what.clone());
            let slow = matches!(what, What::Metric { questions, .. } if questions[0].to_string().contains("slow"));
            sleep(Duration::from_millis(if slow { 10_000 } else { 20 })).await;
            self.answer(what)
        })
    }
}
