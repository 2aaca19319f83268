//! Showing what happens to a rollout while it happens.

use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bluegreen_api::{BlueGreenRollout, BlueGreenRolloutStatus, Phase, names};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::interrupt::{self, Ended, spawn};

/// Longer than any chapter takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(240);

enum News {
    Rollout(Box<BlueGreenRollout>),
    Service(Value),
    /// A watch has ended, which it doesn't do by itself.
    Ended,
}

/// Both watches, and what was shown already.
pub(super) struct Timeline {
    news: Receiver<News>,
    _watches: [Ended; 2],
    since: Instant,
    shown: (Option<Phase>, String),
    /// The revisions that users reached, the present one last.
    reached: Vec<String>,
    latest: BlueGreenRolloutStatus,
}

impl Timeline {
    /// Begins to watch; `kubectl` makes a command of its words.
    pub(super) fn of(kubectl: impl Fn(&[&str]) -> Command) -> Result<Self> {
        let (sender, news) = channel();
        let rollouts = watch(kubectl(&["get", "bgr", "-n", "demo", "--watch", "-o", "json"]), &sender, |one| News::Rollout(Box::new(one)))?;
        let services = watch(
            kubectl(&["get", "services", "-n", "demo", "--field-selector=metadata.name=shop", "--watch", "-o", "json"]),
            &sender,
            News::Service,
        )?;
        let nothing = (None, String::new());
        Ok(Self {
            news,
            _watches: [rollouts, services],
            since: Instant::now(),
            shown: nothing,
            reached: Vec::new(),
            latest: BlueGreenRolloutStatus::default(),
        })
    }

    /// Times are shown from now on.
    pub(super) fn begin(&mut self) {
        self.since = Instant::now();
    }

    pub(super) fn say(&self, words: &str) {
        println!("  {:>6.1} s  {words}", self.since.elapsed().as_secs_f64());
    }

    /// Shows what happens until the attempt of this number has come to an end. Returns the status then.
    pub(super) fn until_the_end_of(&mut self, attempt: i64, mut at_switch: impl FnMut() -> Result<()>) -> Result<BlueGreenRolloutStatus> {
        use Phase::{Aborted, Healthy, RolledBack};
        let until = Instant::now() + PATIENCE;
        loop {
            interrupt::check()?;
            match self.news.recv_timeout(Duration::from_millis(100)) {
                Ok(News::Rollout(rollout)) => {
                    let status = rollout.status.unwrap_or_default();
                    self.show(&status);
                    self.latest = status;
                }
                Ok(News::Service(service)) => {
                    if self.show_service(&service) {
                        at_switch()?;
                    }
                }
                Ok(News::Ended) | Err(RecvTimeoutError::Disconnected) => {
                    bail!("kubectl has stopped watching the rollout: the cluster is gone")
                }
                Err(RecvTimeoutError::Timeout) => (),
            }
            let status = &self.latest;
            if status.attempt >= attempt && matches!(status.phase, Some(Healthy | Aborted | RolledBack)) {
                return Ok(self.latest.clone());
            }
            if Instant::now() > until {
                let phase = status.phase.map_or("no phase", Phase::as_str);
                bail!("after {} s the rollout is still in {phase}: {}", PATIENCE.as_secs(), status.message);
            }
        }
    }

    fn show(&mut self, status: &BlueGreenRolloutStatus) {
        let now = (status.phase, status.message.clone());
        if now == self.shown {
            return;
        }
        let phase = if now.0 == self.shown.0 { "" } else { now.0.map_or("", Phase::as_str) };
        self.say(&format!("{phase:<17} {}", now.1));
        self.shown = now;
    }

    /// Whether users now reach other pods than before.
    fn show_service(&mut self, service: &Value) -> bool {
        let selected = |label: &str| service["spec"]["selector"][label].as_str().unwrap_or_default().to_owned();
        let (color, revision) = (selected(names::COLOR_LABEL), selected(names::REVISION_LABEL));
        if revision.is_empty() || self.reached.last() == Some(&revision) {
            return false;
        }
        let sides = [&self.latest.active, &self.latest.preview, &self.latest.standby, &self.latest.leaving, &self.latest.previous];
        let image = sides.into_iter().flatten().find(|side| side.revision == revision).map_or("", |side| version(&side.image));
        let words = match &self.reached {
            reached if reached.is_empty() => "users reach",
            reached if reached.contains(&revision) => "SWITCHED BACK: users reach",
            _ => "SWITCHED: users reach",
        };
        self.say(&format!("{:<17} {words} {color} {image}", ""));
        self.reached.push(revision);
        self.reached.len() > 1
    }
}

/// The tag of an image.
pub(super) fn version(image: &str) -> &str {
    image.rsplit_once(':').map_or(image, |(_, tag)| tag)
}

/// Hands on each object that a watch prints.
fn watch<T: DeserializeOwned>(mut kubectl: Command, to: &Sender<News>, news: impl Fn(T) -> News + Send + 'static) -> Result<Ended> {
    let mut child = spawn(kubectl.stdout(Stdio::piped()).stderr(Stdio::null()))?;
    let output = child.0.stdout.take().context("kubectl without output")?;
    let to = to.clone();
    std::thread::spawn(move || {
        for object in serde_json::Deserializer::from_reader(output).into_iter() {
            let Ok(object) = object else { break };
            // At the end of the story there is no receiver.
            if to.send(news(object)).is_err() {
                return;
            }
        }
        let _ = to.send(News::Ended);
    });
    Ok(child)
}
