//! What people ask of one rollout, without waiting for what they asked before.

use bluegreen_api::Phase;
use bluegreen_e2e::{
    Rollout, Seen, Space,
    dice::Dice,
    patience::{stretched, text},
};
use bluegreen_witness::{Asked, Kind, at_rest, is_ready, reached};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Longer than a request may be on its way that nobody waits for any more.
const AGAIN: Duration = Duration::from_secs(15);

const READY: &str = "test.bluegreen.dev/ready";

/// What becomes of a version.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Good,
    Slow,
    /// Its image can never be pulled.
    Invalid,
    /// Its pods never get ready.
    Unready,
    /// Its containers end again and again.
    Crashes,
    /// Its pods fail after the switch.
    Dies,
}

impl Fate {
    const ALL: [Self; 10] =
        [Self::Good, Self::Good, Self::Good, Self::Good, Self::Slow, Self::Invalid, Self::Unready, Self::Crashes, Self::Dies, Self::Dies];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Good | Self::Dies => "",
            Self::Slow => "-slow",
            Self::Invalid => "-invalid",
            Self::Unready => "-unready",
            Self::Crashes => "-crash",
        }
    }
}

/// Waits that are short, and a deadline that a good version keeps even when etcd is frozen.
pub fn quick() -> Value {
    json!({"progressDeadline": text(Duration::from_secs(12)), "scaleDown": {"drain": "500ms", "after": "500ms", "afterAbort": "200ms"}})
}

pub struct Story<'a> {
    space: &'a Space,
    rollout: &'a Rollout<'a>,
    dice: &'a Dice,
    /// How many versions there were.
    versions: u32,
    /// The one that was asked for last.
    asked: String,
    /// Asked for before it.
    before: String,
    orders: u32,
    generation: i64,
}

impl<'a> Story<'a> {
    pub fn of(space: &'a Space, rollout: &'a Rollout<'a>, dice: &'a Dice) -> Self {
        let first = "1.0.0".to_owned();
        Self { space, rollout, dice, versions: 1, asked: first.clone(), before: first, orders: 0, generation: 1 }
    }

    /// Asks for this and that until then.
    pub async fn go_on(&mut self, until: Instant) {
        while !self.seen().is_some_and(|seen| seen.is(Phase::Healthy)) {
            if Instant::now() >= until {
                return;
            }
            sleep(Duration::from_millis(300)).await;
        }
        // What has begun is done to its end: half a request could come after what is asked next.
        while Instant::now() < until {
            match self.dice.roll(0..20) {
                0..14 => self.ask(*self.dice.pick(&Fate::ALL), until).await,
                14 => self.ask_again().await,
                _ => self.order().await,
            }
            let pause = if self.dice.roll(0..3) == 0 { 100..3_000 } else { 3_000..15_000 };
            sleep_until(until.min(Instant::now() + self.dice.millis(pause))).await;
        }
    }

    fn seen(&self) -> Option<Seen> {
        self.space.seen(Kind::Rollout, &self.rollout.name)?;
        Some(self.rollout.now())
    }

    async fn ask(&mut self, fate: Fate, until: Instant) {
        self.versions += 1;
        let version = format!("{}.0.0{}", self.versions, fate.suffix());
        let monitoring = match fate {
            Fate::Dies => json!({"duration": "1h"}),
            _ => self.dice.pick(&[Value::Null, json!({"duration": "1s"})]).clone(),
        };
        let promotion = match (fate, self.dice.roll(0..6)) {
            (Fate::Good, 0) => json!({"mode": "Manual", "timeout": "6s"}),
            _ => Value::Null,
        };
        let replicas = self.dice.pick(&[2, 2, 2, 1, 3]);
        self.ask_for(version, &json!({"monitoring": monitoring, "promotion": promotion, "replicas": replicas})).await;
        if fate == Fate::Dies {
            self.die(until).await;
        }
    }

    async fn ask_for(&mut self, version: String, more: &Value) {
        let mut spec = more.clone();
        spec["image"] = image(&version);
        // Noted first: a request that is broken off may have been carried out.
        self.before = std::mem::replace(&mut self.asked, version);
        self.patch(&json!({"spec": spec})).await;
    }

    /// Back to what was asked for before, or to what serves.
    async fn ask_again(&mut self) {
        let serving = self.seen().map(|seen| seen.serves().to_owned());
        let version = serving.filter(|_| self.dice.roll(0..2) == 0).unwrap_or_else(|| self.before.clone());
        self.ask_for(version, &json!({"monitoring": null, "promotion": null})).await;
    }

    /// Once the version is watched, its pods fail, if that is before then.
    async fn die(&mut self, until: Instant) {
        let patience = until.min(Instant::now() + stretched(Duration::from_secs(20)));
        while !self.seen().is_some_and(|seen| seen.is(Phase::Monitoring) && seen.serves() == self.asked) {
            if Instant::now() > patience {
                return;
            }
            sleep(Duration::from_millis(300)).await;
        }
        let image = image(&self.asked);
        self.annotate_pods("false", |pod| pod["spec"]["containers"][0]["image"] == image).await;
    }

    async fn annotate_pods(&self, ready: &str, which: impl Fn(&Value) -> bool) {
        for pod in self.space.pods(&[("bluegreen.dev/rollout", &self.rollout.name)]).iter().filter(|pod| which(pod)) {
            let patch = json!({"metadata": {"annotations": {READY: ready}}});
            self.persist(Kind::Pod, pod["metadata"]["name"].as_str().unwrap(), &patch).await;
        }
    }

    /// Any order, of the version under way or the one that serves.
    async fn order(&mut self) {
        let Some(seen) = self.seen() else { return };
        let verb = *self.dice.pick(&["promote", "accept", "abort", "rollback", "retry", "pause", "resume", "resume"]);
        let sides = [&seen.status.preview, &seen.status.active, &seen.status.standby];
        let sides: Vec<_> = sides.into_iter().flatten().map(|side| side.revision.clone()).collect();
        let rejected = seen.status.rejected.as_ref().map(|rejected| rejected.revision.clone());
        let revision = if verb == "retry" { rejected } else { sides.first().cloned() };
        if let Some(revision) = revision {
            self.say(verb, &revision).await;
        }
    }

    async fn say(&mut self, verb: &str, revision: &str) {
        self.orders += 1;
        let value = format!("{revision}/{}", self.orders);
        self.patch(&json!({"metadata": {"annotations": {format!("bluegreen.dev/{verb}"): value}}})).await;
    }

    // === the end ===

    /// Takes back whatever waits for a person or lasts long.
    pub async fn leave_at_rest(&mut self) {
        // A broken request may have come before this one, or come after it: who waits says it again.
        self.patch(&json!({"spec": {"image": image(&self.asked), "monitoring": null, "promotion": null}})).await;
        self.annotate_pods("true", |pod| pod["metadata"]["annotations"][READY] == "false").await;
    }

    pub async fn ask_for_a_good_one(&mut self) {
        self.versions += 1;
        let version = format!("{}.0.0", self.versions);
        // Nothing but the operator is judged now, on however busy a machine.
        self.ask_for(version, &json!({"monitoring": null, "promotion": null, "progressDeadline": "10m"})).await;
    }

    /// Waits until all is done that was asked for.
    pub async fn end(&mut self) {
        let mut said = Instant::now();
        while self.at_its_end().is_err() {
            self.resume().await;
            if said.elapsed() > AGAIN {
                self.leave_at_rest().await;
                said = Instant::now();
            }
            sleep(Duration::from_millis(300)).await;
        }
    }

    /// Of a pause and its end that come together the pause counts: it may have to be ended once more.
    async fn resume(&mut self) {
        let seen = self.rollout.now();
        if seen.status.observed_generation >= self.generation && seen.status.paused_by_order {
            let attempt = seen.status.current.as_ref().map_or(&seen.active().revision, |attempt| &attempt.revision);
            self.say("resume", attempt).await;
            sleep(Duration::from_secs(3)).await;
        }
    }

    /// Where all is done that was asked for, in words; or why it isn't.
    pub fn settled(&self) -> Result<String, String> {
        self.at_its_end().map_err(|why| {
            let seen = self.rollout.now();
            format!("{} does not settle: {why}; it says: {}\n{:#?}", self.rollout.name, seen.status.message, seen.status)
        })
    }

    fn at_its_end(&self) -> Result<String, String> {
        let seen = self.rollout.now();
        let status = &seen.status;
        let phase = seen.phase().map_or("none", Phase::as_str);
        if seen.rollout.metadata.generation < Some(self.generation) {
            return Err(format!("the watch hasn't shown generation {} yet", self.generation));
        }
        if status.paused_by_order {
            let attempt = status.current.as_ref().map(|attempt| (attempt.attempt, &attempt.revision));
            let [active, preview] = [&status.active, &status.preview].map(|side| side.as_ref().map(|side| &side.revision));
            return Err(format!(
                "it is paused, with attempt {attempt:?}, active {active:?}, preview {preview:?}; {} orders were given, {:?} are on it, {:?} are spent",
                self.orders, seen.rollout.metadata.annotations, status.orders
            ));
        }
        at_rest(&Asked::by(&seen.rollout), status, &self.reached()).map_err(|why| why.to_string())?;
        if !seen.is(Phase::Healthy) {
            self.failed_and_says_why(&seen)?;
        } else if seen.serves() != self.asked || !seen.is_true("Ready") {
            return Err(format!("it is Healthy with {}, where {} was asked for: {}", seen.serves(), self.asked, status.message));
        }
        if !self.pods_serve(&seen) {
            return Err(format!("its active side {} has not all the ready pods it needs (phase {phase})", seen.serves()));
        }
        let reason = status.rejected.as_ref().filter(|_| !seen.is(Phase::Healthy)).map(|rejected| format!(": {}", rejected.reason));
        Ok(format!("{phase}{}", reason.unwrap_or_default()))
    }

    fn failed_and_says_why(&self, seen: &Seen) -> Result<(), String> {
        let status = &seen.status;
        let phase = seen.phase().map_or("none", Phase::as_str);
        let (Some(rejected), true) = (&status.rejected, seen.is(Phase::Aborted) || seen.is(Phase::RolledBack)) else {
            return Err(format!("it is in phase {phase}"));
        };
        if json!(rejected.image) != image(&self.asked) {
            return Err(format!("it rejected {}, but {} was asked for", rejected.image, self.asked));
        }
        if seen.stalled().is_empty() {
            return Err(format!("it is {phase} and not Stalled"));
        }
        let attempt = status.history.iter().find(|attempt| attempt.attempt == rejected.attempt);
        let good = attempt.is_none_or(|attempt| attempt.from_image == seen.active().image);
        good.then_some(()).ok_or(format!("it serves {}, not what served before", seen.serves()))
    }

    fn pods_serve(&self, seen: &Seen) -> bool {
        let active = seen.active();
        let labels = [
            ("bluegreen.dev/rollout", self.rollout.name.as_str()),
            ("bluegreen.dev/color", active.color.as_str()),
            ("bluegreen.dev/revision", active.revision.as_str()),
        ];
        let wanted = usize::try_from(seen.rollout.spec.replicas).unwrap_or_default();
        self.space.pods(&labels).iter().filter(|pod| is_ready(pod)).count() >= wanted
    }

    /// The images that users reach.
    fn reached(&self) -> Vec<String> {
        let service = self.space.seen(Kind::Service, &self.rollout.name).unwrap_or_default();
        let pods = self.space.record.all(Kind::Pod);
        reached(&service, pods.iter().map(|pod| &**pod))
    }

    // === requests, straight to an API server that may be away ===

    async fn patch(&mut self, patch: &Value) {
        let patched = self.persist(Kind::Rollout, &self.rollout.name, patch).await;
        self.generation = patched.and_then(|patched| patched["metadata"]["generation"].as_i64()).unwrap_or(self.generation);
    }

    /// Until the API server has taken it, or says no.
    async fn persist(&self, kind: Kind, name: &str, patch: &Value) -> Option<Value> {
        loop {
            let params = PatchParams { field_manager: Some("tester".into()), ..PatchParams::default() };
            let api = self.space.api(kind);
            match tokio::time::timeout(stretched(Duration::from_secs(5)), api.patch(name, &params, &Patch::Merge(patch))).await {
                Ok(Ok(patched)) => return serde_json::to_value(patched).ok(),
                // A pod may be gone by now.
                Ok(Err(kube::Error::Api(status))) if status.code == 404 && kind == Kind::Pod => return None,
                Ok(Err(kube::Error::Api(status)))
                    if (400..500).contains(&status.code) && status.code != 429 && status.code != 409 && status.code != 401 =>
                {
                    panic!("the API server refused a patch of {} {name}: {}", kind.as_str(), status.message)
                }
                _ => sleep(Duration::from_millis(300)).await,
            }
        }
    }
}

fn image(version: &str) -> Value {
    json!(format!("registry.example/shop:{version}"))
}
