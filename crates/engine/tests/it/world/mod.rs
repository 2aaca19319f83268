//! A small world for the real `decide`: Deployment and endpoint controllers that do what they must, pods that behave as their
//! image says, and a witness that looks at every write. Time is the world's own.

#![allow(dead_code, reason = "each test file uses a part of it")]

use bluegreen_api::{BlueGreenRolloutSpec, BlueGreenRolloutStatus, Color, Phase};
use bluegreen_engine::{
    Decision, Effect, Observed, decide,
    decision::{Change, Guard, Object, Role, Target},
    measure::{self, What},
    observed::*,
    progress, render,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const START: i64 = 1_800_000_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    pub resource_version: u64,
    pub generation: i64,
    pub observed_generation: i64,
    pub revision: String,
    pub image: String,
    pub replicas: i32,
    pub epoch: String,
    pub labels_intact: bool,
    pub owner: Owner,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    pub resource_version: u64,
    pub selector: BTreeMap<String, String>,
    pub ports: Vec<bluegreen_api::ServicePort>,
    pub epoch: String,
    pub owner: Owner,
    pub former: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Pod {
    pub name: String,
    pub color: Color,
    pub revision: String,
    pub image: String,
    pub created: Timestamp,
    pub ready: bool,
    pub ready_changed: Option<Timestamp>,
    pub restarts: i32,
}

#[derive(Clone)]
pub struct World {
    pub now: Timestamp,
    pub spec: BlueGreenRolloutSpec,
    pub generation: i64,
    pub annotations: BTreeMap<String, String>,
    pub status: BlueGreenRolloutStatus,
    pub deployments: BTreeMap<Color, Deployment>,
    pub services: BTreeMap<&'static str, Service>,
    pub pods: Vec<Pod>,
    pub endpoints: Vec<String>,
    pub revisions: BTreeMap<String, RevisionSeen>,
    pub templates: BTreeMap<String, Value>,
    pub progress: BTreeMap<Color, Progress>,
    pub applied: BTreeMap<Color, i64>,
    pub results: Vec<Measurement>,
    pub refusals: Vec<Refusal>,
    pub absence: Option<Absence>,
    pub blind: Option<Blind>,
    /// Templates of gates that the operator sees.
    pub gate_templates: TemplatesSeen,
    pub term: i64,
    /// What a gate measures: by gate name and image of the side that is measured.
    pub gauge: fn(&str, &str, Timestamp) -> Outcome,
    /// EndpointSlices follow.
    pub slices_follow: bool,
    /// Effects on these objects are refused with this code and message.
    pub refuse: Option<(Object, u16, String)>,
    pub log: Vec<String>,
    /// What the operator saw when it last decided something: what is the same is not told again.
    sight: BTreeMap<String, String>,
    pub writes: usize,
    pub records: usize,
    /// The color and revision that the active Service was last sent to, once the first was Healthy.
    pub protected: bool,
    /// The leader freezes before its next effects, which it still holds when it wakes.
    pub freezes: bool,
    pub sleeper: Option<(Observed, Vec<Effect>)>,
    /// The operator is killed after its next write.
    pub crashes: bool,
    version: u64,
    pods_made: u64,
}

pub fn pass(_: &str, _: &str, _: Timestamp) -> Outcome {
    Outcome::reading(Reading::Value(0.0))
}

/// What a record tells whose phase and message are those of the one before.
fn what_is_new(old: &BlueGreenRolloutStatus, new: &BlueGreenRolloutStatus) -> String {
    let mut news: Vec<String> = new
        .gates
        .iter()
        .filter(|gate| !old.gates.contains(gate))
        .map(|gate| format!("{} is {}: {}", gate.name, format!("{:?}", gate.state).to_lowercase(), gate.message))
        .collect();
    let other = [
        (old.attempt != new.attempt, format!("attempt {}", new.attempt)),
        (old.clock != new.clock, "what counts of the time of this phase".to_owned()),
        (old.orders != new.orders, "which orders are spent".to_owned()),
        (old.replicas != new.replicas, format!("{} pods", new.replicas)),
        (old.epoch != new.epoch, "what was withdrawn".to_owned()),
        ((&old.active, &old.preview, &old.standby) != (&new.active, &new.preview, &new.standby), "the sides".to_owned()),
    ];
    news.extend(other.into_iter().filter(|(is_new, _)| *is_new).map(|(_, what)| what));
    if news.is_empty() { "something else".into() } else { news.join("; ") }
}

impl World {
    /// The first version serves, and the story begins.
    pub fn live(spec: Value) -> Self {
        let mut world = Self::new(spec);
        world.settle();
        assert_eq!(world.phase(), Phase::Healthy, "{}", world.story());
        world.log.clear();
        world
    }

    /// A live world of these settings, with a new image, as soon as it is in that phase and has nothing to do.
    pub fn in_phase(spec: Value, image: &str, phase: Phase) -> Self {
        let mut world = Self::live(spec);
        world.image(image);
        world.run_until(phase);
        world.operator();
        world
    }

    /// A switch was recorded, `spec` went back, and the fence of the active Service that must come first is refused.
    pub fn fence_refused() -> Self {
        let mut world = Self::live(json!({}));
        world.image("shop:2");
        world.refuse = Some((Object::Service(Role::Active), 403, "denied by a webhook".into()));
        world.run_until(Phase::Promoting);
        world.run_for(5);
        world.image("shop:1");
        world.run_for(20);
        world
    }

    pub fn new(spec: Value) -> Self {
        let mut base = json!({
            "image": "shop:1",
            "replicas": 3,
            "template": {"spec": {"containers": [{"name": "shop", "ports": [{"name": "http", "containerPort": 8080}]}]}},
            "service": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        });
        merge(&mut base, spec);
        Self {
            now: Timestamp::from_second(START).unwrap(),
            spec: serde_json::from_value(base).unwrap(),
            generation: 1,
            annotations: BTreeMap::new(),
            status: BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() },
            deployments: BTreeMap::new(),
            services: BTreeMap::new(),
            pods: vec![],
            endpoints: vec![],
            revisions: BTreeMap::new(),
            templates: BTreeMap::new(),
            progress: BTreeMap::new(),
            applied: BTreeMap::new(),
            results: vec![],
            refusals: vec![],
            absence: None,
            blind: None,
            gate_templates: TemplatesSeen::default(),
            term: 1,
            gauge: pass,
            slices_follow: true,
            refuse: None,
            log: vec![],
            sight: BTreeMap::new(),
            writes: 0,
            records: 0,
            protected: false,
            freezes: false,
            sleeper: None,
            crashes: false,
            version: 1,
            pods_made: 0,
        }
    }

    // === what people do ===

    pub fn change(&mut self, spec: Value) {
        let mut value = serde_json::to_value(&self.spec).unwrap();
        self.note(&format!("user   changes spec: {spec}"));
        merge(&mut value, spec);
        self.spec = serde_json::from_value(value).unwrap();
        self.generation += 1;
    }

    pub fn image(&mut self, image: &str) {
        self.change(json!({"image": image}));
    }

    /// An order for the revision that the attempt under way is about.
    pub fn order(&mut self, verb: &str) {
        let side = self.status.preview.as_ref().or(self.status.active.as_ref()).unwrap();
        let revision = side.revision.clone();
        self.order_for(verb, &revision);
    }

    pub fn order_for(&mut self, verb: &str, value: &str) {
        self.note(&format!("user   orders {verb}"));
        self.annotations.insert(format!("bluegreen.dev/{verb}"), value.to_owned());
    }

    // === what is asked of it ===

    pub fn phase(&self) -> Phase {
        self.status.phase.unwrap_or(Phase::Initializing)
    }

    pub fn condition(&self, type_: &str) -> Option<(String, String)> {
        self.status.conditions.iter().find(|c| c.type_ == type_).map(|c| (c.status.clone(), c.reason.clone()))
    }

    pub fn is(&self, type_: &str) -> bool {
        self.condition(type_).is_some_and(|(status, _)| status == "True")
    }

    /// The image that a request to the active Service reaches.
    pub fn serves(&self) -> Option<String> {
        self.endpoints.first().and_then(|name| self.pods.iter().find(|pod| pod.name == *name)).map(|pod| pod.image.clone())
    }

    pub fn ready(&self, image: &str) -> usize {
        self.pods.iter().filter(|pod| pod.image == image && pod.ready).count()
    }

    pub fn story(&self) -> String {
        self.log.join("\n")
    }

    // === time ===

    pub fn second(&self) -> i64 {
        self.now.as_second() - START
    }

    /// Runs until nothing changes and nothing is due for `quiet` seconds, at most `bound` seconds.
    pub fn settle(&mut self) {
        self.run(7200, |world| world.rested());
    }

    pub fn rested(&self) -> bool {
        let young = |pod: &Pod| !pod.ready && self.now.as_second() - pod.created.as_second() <= 61;
        !self.pods.iter().any(young)
            && matches!(decide(&self.seen()), Decision::Wait { until: None, .. })
            && measure::wanted(&self.seen()).is_empty()
            && !self.clone().controllers()
    }

    pub fn run_for(&mut self, seconds: i64) {
        let end = self.second() + seconds;
        self.run(seconds, |world| world.second() >= end);
    }

    pub fn run_until(&mut self, phase: Phase) {
        self.run(7200, |world| world.status.phase == Some(phase));
        assert_eq!(self.status.phase, Some(phase), "{}", self.story());
    }

    pub fn run(&mut self, bound: i64, done: impl Fn(&Self) -> bool) {
        let end = self.second() + bound;
        loop {
            self.operator();
            if done(self) {
                return;
            }
            if !self.controllers() {
                if self.second() >= end {
                    return;
                }
                self.pass_time(self.next_second(end) - self.second());
            }
        }
    }

    pub fn pass_time(&mut self, seconds: i64) {
        self.now = Timestamp::from_second(self.now.as_second() + seconds).unwrap();
        self.pods_live();
    }

    /// The next second in which something can happen: a pod's, the operator's, a measurement's.
    fn next_second(&self, end: i64) -> i64 {
        let next = self.second() + 1;
        if self.pods.iter().any(|pod| self.now.as_second() - pod.created.as_second() <= 61) {
            return next;
        }
        let seen = self.seen();
        let until = match decide(&seen) {
            Decision::Wait { until, .. } => until,
            Decision::Record(_) | Decision::Act(_) => return next,
        };
        let due = measure::wanted(&seen).into_iter().map(|wanted| wanted.due);
        let soonest = due.chain(until).min().map_or(end, |at| at.as_second() + i64::from(at.subsec_nanosecond() > 0) - START);
        soonest.clamp(next, end.max(next))
    }

    // === the operator's loop ===

    pub fn operator(&mut self) {
        for _ in 0..40 {
            let (seen, decision) = self.decision();
            match decision {
                Decision::Record(status) => self.record(*status),
                Decision::Act(effects) if self.freezes => {
                    self.freezes = false;
                    self.freeze(seen, effects);
                }
                Decision::Act(effects) => {
                    for effect in effects {
                        self.perform_as_seen(&effect, &seen);
                        if std::mem::take(&mut self.crashes) {
                            self.note("fault  the operator is killed after a write");
                            self.restart();
                            break;
                        }
                    }
                }
                Decision::Wait { .. } => {
                    if !self.take_measurements() {
                        return;
                    }
                }
            }
        }
        panic!("no fixpoint\n{}", self.story());
    }

    /// What is new since the last decision, as far as a reader of the story needs it.
    fn tell_sight(&mut self, seen: &Observed) {
        let mut sight = BTreeMap::new();
        for color in [Color::Blue, Color::Green] {
            let pods = seen.color(color).pods.iter();
            let Some(deployment) = seen.color(color).deployment.as_ref() else {
                sight.insert(color.to_string(), format!("{color} has no Deployment"));
                continue;
            };
            let ready = pods.filter(|pod| pod.ready && pod.revision == deployment.revision).count();
            let image = self.image_of(&deployment.revision);
            sight.insert(color.to_string(), format!("{color} {image}: {ready} ready of {} asked for", deployment.replicas));
        }
        let serves = self.serves().map_or("users reach nobody".to_owned(), |image| format!("users reach {image}"));
        sight.insert("users".into(), serves);
        for result in &seen.results {
            let value = match &result.outcome {
                Outcome::Readings(readings) => match readings.as_slice() {
                    [Reading::Value(value)] => value.to_string(),
                    other => format!("{other:?}"),
                },
                Outcome::Check(CheckOutcome::Passed(what) | CheckOutcome::Failed(what)) => what.clone(),
                other => format!("{other:?}"),
            };
            sight.insert(result.gate.clone(), format!("{}: {value}", result.gate));
        }
        let news: Vec<_> = sight.iter().filter(|(key, what)| self.sight.get(*key) != Some(what)).map(|(_, what)| what.clone()).collect();
        if !news.is_empty() {
            self.note(&format!("see    {}", news.join("; ")));
        }
        self.sight.extend(sight);
    }

    /// A look, and what it leads to.
    fn decision(&mut self) -> (Observed, Decision) {
        self.look();
        let seen = self.seen();
        let decision = decide(&seen);
        if !matches!(decision, Decision::Wait { .. }) {
            self.tell_sight(&seen);
        }
        (seen, decision)
    }

    /// Runs until the leader has such effects in its hands. Nothing of them is done.
    pub fn until_about_to(&mut self, such: impl Fn(&Self, &[Effect]) -> bool) -> (Observed, Vec<Effect>) {
        for _ in 0..100_000 {
            let (seen, decision) = self.decision();
            match decision {
                Decision::Record(status) => self.record(*status),
                Decision::Act(effects) if such(self, &effects) => return (seen, effects),
                Decision::Act(effects) => effects.iter().for_each(|effect| self.perform_as_seen(effect, &seen)),
                Decision::Wait { .. } if self.controllers() => {}
                Decision::Wait { .. } => self.pass_time(1),
            }
        }
        panic!("it never came to that\n{}", self.story());
    }

    pub fn until_about_to_act_in(&mut self, phase: Phase) -> (Observed, Vec<Effect>) {
        self.until_about_to(|world, _| world.phase() == phase)
    }

    /// The leader keeps what it was about to do, and another one leads.
    pub fn freeze(&mut self, seen: Observed, effects: Vec<Effect>) {
        self.note("fault  the leader freezes before it acts; another leads");
        self.sleeper = Some((seen, effects));
        self.restart();
    }

    /// Another process leads: what the former one had in memory is lost.
    pub fn restart(&mut self) {
        self.term += 1;
        self.progress.clear();
        self.applied.clear();
        self.results.clear();
        self.refusals.clear();
    }

    /// The former leader wakes up and does what it was about to do.
    pub fn wake(&mut self) {
        let applied = self.applied.clone();
        let Some((seen, effects)) = self.sleeper.take() else { return };
        for effect in effects {
            self.note("fault  the sleeper wakes");
            if let Change::ApplyDeployment { revision, .. } = &effect.change
                && !self.revisions.contains_key(revision)
            {
                // Lost meanwhile: there is nothing to apply from.
                self.note("404    ControllerRevision");
                continue;
            }
            self.perform_as_seen(&effect, &seen);
        }
        self.applied = applied;
    }

    pub fn look(&mut self) {
        for color in [Color::Blue, Color::Green] {
            let seen = self.color_seen(color);
            match progress::fold(self.progress.get(&color), &seen, self.now) {
                Some(progress) => self.progress.insert(color, progress),
                None => self.progress.remove(&color),
            };
        }
    }

    pub fn record(&mut self, status: BlueGreenRolloutStatus) {
        self.records += 1;
        if self.status.phase != status.phase {
            let name = |phase: Option<Phase>| phase.map_or("nothing".into(), |phase| phase.to_string());
            self.note(&format!("record {} → {}: {}", name(self.status.phase), name(status.phase), status.message));
        } else if self.status.message != status.message {
            self.note(&format!("record {}", status.message));
        } else {
            self.note(&format!("record {}", what_is_new(&self.status, &status)));
        }
        for event in bluegreen_engine::events::between(&self.status, &status) {
            self.note(&format!("event  {} {}: {}", event.type_, event.reason, event.note));
        }
        let both = ["Reconciling", "Stalled"].iter().filter(|type_| status.conditions.iter().any(|c| c.type_ == **type_)).count();
        assert!(both <= 1, "Reconciling and Stalled at once");
        self.protected |= status.phase == Some(Phase::Healthy);
        self.status = status;
        self.results.clear();
    }

    fn take_measurements(&mut self) -> bool {
        let seen = self.seen();
        let mut taken = false;
        for wanted in measure::wanted(&seen) {
            if wanted.due > self.now {
                continue;
            }
            let image = self.image_of(&wanted.revision);
            let outcome = (self.gauge)(&wanted.gate, &image, self.now);
            let asked = match &wanted.what {
                What::Http { targets, .. } => Some(format!("{} pods", targets.len())),
                What::Url { url, .. } | What::Webhook { url, .. } => Some(url.clone()),
                _ => None,
            };
            let value = match &outcome {
                Outcome::Readings(readings) => {
                    readings.iter().find_map(|reading| if let Reading::Value(value) = reading { Some(*value) } else { None })
                }
                Outcome::Check(_) => None,
            };
            let outcome = match (asked, value) {
                (Some(asked), Some(value)) => {
                    let what = format!("{asked} answered {}", if value > 0.0 { 500 } else { 200 });
                    Outcome::Check(if value > 0.0 { CheckOutcome::Failed(what) } else { CheckOutcome::Passed(what) })
                }
                _ => outcome,
            };
            taken = true;
            self.results.push(Measurement {
                gate: wanted.gate,
                definition: wanted.definition,
                attempt: wanted.attempt,
                revision: wanted.revision,
                at: self.now,
                outcome,
            });
        }
        taken
    }

    fn image_of(&self, revision: &str) -> String {
        self.revisions.get(revision).map(|revision| revision.image.clone()).unwrap_or_default()
    }

    /// The image that users of a Service reach.
    fn reached_by(&self, target: &Target) -> String {
        if target.revision == Target::NOTHING { "nothing".into() } else { self.image_of(&target.revision) }
    }

    /// What was to become of the object that a change is of.
    fn intended(&self, change: &Change) -> String {
        match change {
            Change::WriteRevision { number, .. } => format!("ControllerRevision {number}"),
            Change::RestoreRevision { number, .. } => format!("ControllerRevision {number} again"),
            Change::DeleteRevision { hash } => format!("ControllerRevision of {}, deleted", self.image_of(hash)),
            Change::AdoptRevision { hash } => format!("ControllerRevision of {}, adopted", self.image_of(hash)),
            Change::ApplyDeployment { color, revision, replicas } => format!("Deployment {color} {} ×{replicas}", self.image_of(revision)),
            Change::Scale { color, replicas } => format!("Deployment {color} to {replicas}"),
            Change::ApplyService { role, target } => format!("{} Service → {} {}", role.as_str(), target.color, self.reached_by(target)),
            Change::Fence { object, .. } => format!("{}, fenced", in_words(object)),
        }
    }

    // === writes, each seen by the witness ===

    pub fn perform_as_seen(&mut self, effect: &Effect, seen: &Observed) {
        if let Some((object, code, message)) = self.refuse.clone()
            && object == effect.object()
        {
            let times = self.refusals.iter().find(|refusal| refusal.object == object).map_or(0, |refusal| refusal.times) + 1;
            self.refusals.retain(|refusal| refusal.object != object);
            self.note(&format!("refuse {}: {message}", in_words(&effect.object())));
            self.refusals.push(Refusal { object, code, message, at: self.now, times, generation: self.generation });
            return;
        }
        self.refusals.retain(|refusal| refusal.object != effect.object());
        if !self.guard_holds(effect) {
            self.note(&format!("409    {}: it isn't the one that was seen", self.intended(&effect.change)));
            return;
        }
        self.writes += 1;
        self.version += 1;
        let version = self.version;
        match &effect.change {
            Change::WriteRevision { hash, number } => {
                let object = render::controller_revision(seen, hash, *number);
                self.note(&format!("write  ControllerRevision {number}"));
                self.store_revision(hash, *number, &object);
            }
            Change::RestoreRevision { hash, number, .. } => {
                let template = json!({"spec": {"template": self.templates.get(hash).cloned().unwrap_or(json!({}))}});
                let object = render::restored_revision(seen, hash, *number, &template);
                self.note(&format!("write  ControllerRevision {number} again"));
                self.store_revision(hash, *number, &object);
            }
            Change::DeleteRevision { hash } => {
                self.note("delete ControllerRevision");
                self.revisions.remove(hash);
            }
            Change::AdoptRevision { hash } => {
                if let Some(revision) = self.revisions.get_mut(hash) {
                    revision.owner = Owner::Us;
                }
            }
            Change::ApplyDeployment { color, revision, replicas } => {
                assert!(self.revisions.contains_key(revision), "applied from no ControllerRevision\n{}", self.story());
                self.note(&format!("apply  Deployment {color} {} ×{replicas} ({})", self.image_of(revision), effect.why));
                self.witness_size(*color, Some(revision), *replicas);
                let image = self.image_of(revision);
                let deployment = self.deployments.entry(*color).or_insert_with(|| Deployment {
                    resource_version: version,
                    generation: 0,
                    observed_generation: 0,
                    revision: String::new(),
                    image: String::new(),
                    replicas: -1,
                    epoch: String::new(),
                    labels_intact: true,
                    owner: Owner::Us,
                });
                if (&deployment.revision, deployment.replicas) != (revision, *replicas) || !deployment.labels_intact {
                    deployment.generation += 1;
                }
                let before = deployment.clone();
                deployment.revision.clone_from(revision);
                deployment.image = image;
                deployment.replicas = *replicas;
                deployment.labels_intact = true;
                deployment.owner = Owner::Us;
                if *deployment != before {
                    deployment.resource_version = version;
                }
                self.applied.insert(*color, deployment.generation);
            }
            Change::Scale { color, replicas } => {
                self.note(&format!("scale  Deployment {color} to {replicas} ({})", effect.why));
                self.witness_size(*color, None, *replicas);
                let deployment = self.deployments.get_mut(color).unwrap();
                deployment.generation += i64::from(deployment.replicas != *replicas);
                deployment.replicas = *replicas;
                deployment.resource_version = version;
                self.applied.insert(*color, deployment.generation);
            }
            Change::ApplyService { role, target } => {
                self.note(&format!("apply  {} Service → {} {} ({})", role.as_str(), target.color, self.reached_by(target), effect.why));
                if *role == Role::Active {
                    self.witness_switch(target);
                }
                let object = render::service(seen, *role, target);
                let former = object["metadata"]["annotations"]["bluegreen.dev/former-revision"].as_str().map(str::to_owned);
                let old = self.services.get(role.as_str());
                let mut service = Service {
                    resource_version: old.map_or(version, |old| old.resource_version),
                    selector: render::selector("shop", target),
                    ports: render::service_ports(*role, &target.ports),
                    epoch: old.map(|service| service.epoch.clone()).unwrap_or_default(),
                    owner: Owner::Us,
                    former,
                };
                // A write that changes nothing leaves the version, as the API server does.
                if old.is_some_and(|old| *old != service) {
                    service.resource_version = version;
                }
                self.services.insert(role.as_str(), service);
            }
            Change::Fence { object, epoch } => {
                self.note(&format!("fence  {}", in_words(object)));
                match object {
                    Object::Service(role) => {
                        let service = self.services.get_mut(role.as_str()).unwrap();
                        (service.epoch, service.resource_version) = (epoch.clone(), version);
                    }
                    Object::Deployment(color) => {
                        let deployment = self.deployments.get_mut(color).unwrap();
                        (deployment.epoch, deployment.resource_version) = (epoch.clone(), version);
                    }
                    Object::Revision(_) => unreachable!("revisions are never fenced"),
                }
            }
        }
    }

    fn guard_holds(&self, effect: &Effect) -> bool {
        let version = match effect.object() {
            Object::Deployment(color) => self.deployments.get(&color).map(|deployment| deployment.resource_version),
            Object::Service(role) => self.services.get(role.as_str()).map(|service| service.resource_version),
            Object::Revision(_) => None,
        };
        match &effect.guard {
            Guard::Absent => version.is_none(),
            Guard::ResourceVersion(wanted) => version.is_some_and(|version| version.to_string() == *wanted),
            Guard::None => true,
        }
    }

    fn store_revision(&mut self, hash: &str, number: i64, object: &Value) {
        let annotation = |key: &str| object["metadata"]["annotations"][key].as_str().unwrap_or_default().to_owned();
        self.templates.insert(hash.to_owned(), object["data"]["spec"]["template"].clone());
        self.revisions.insert(
            hash.to_owned(),
            RevisionSeen {
                hash: hash.to_owned(),
                number,
                digest: annotation("bluegreen.dev/digest"),
                image: annotation("bluegreen.dev/image"),
                ports: serde_json::from_str(&annotation("bluegreen.dev/ports")).unwrap(),
                owner: Owner::Us,
            },
        );
    }

    /// Promise 1: the active Service never goes to a side without ready pods, and only a recorded switch moves it.
    fn witness_switch(&self, target: &Target) {
        if !self.protected {
            return;
        }
        let ready = self.pods.iter().filter(|pod| pod.color == target.color && pod.revision == target.revision && pod.ready).count();
        let was = self.services.get("active").and_then(|service| service.selector.get("bluegreen.dev/color").cloned());
        let moves = was.is_some_and(|was| was != target.color.as_str());
        if moves {
            let switching = matches!(self.status.phase, Some(Phase::Promoting | Phase::RollingBack));
            let repairs =
                self.status.active.as_ref().is_some_and(|active| active.color == target.color && active.revision == target.revision);
            assert!(switching || repairs, "switched in {:?}\n{}", self.status.phase, self.story());
            assert!(ready > 0 || !switching, "switched to a side without ready pods\n{}", self.story());
        }
        if moves && self.status.phase == Some(Phase::Promoting) && Some(target.color) == self.status.preview.as_ref().map(|side| side.color)
        {
            let deployment = &self.deployments[&target.color];
            assert!(
                deployment.revision == target.revision && deployment.replicas >= self.spec.replicas,
                "promoted a side that is not full\n{}",
                self.story()
            );
        }
    }

    /// Promise 2: what serves, or stands by, is never emptied, shrunk below `replicas` or re-templated.
    fn witness_size(&self, color: Color, revision: Option<&str>, replicas: i32) {
        let Some(deployment) = self.deployments.get(&color).filter(|_| self.protected) else { return };
        let selected = self.services.get("active").is_some_and(|service| {
            service.selector.get("bluegreen.dev/color").map(String::as_str) == Some(color.as_str())
                && service.selector.get("bluegreen.dev/revision") == Some(&deployment.revision)
        });
        let standby = self.status.standby.as_ref().filter(|side| side.color == color && self.status.phase != Some(Phase::ScalingDown));
        let shrinks = replicas < deployment.replicas && replicas < self.spec.replicas;
        let retemplates = revision.is_some_and(|revision| revision != deployment.revision);
        if selected {
            assert!(!shrinks && !retemplates, "the side that serves was emptied or changed\n{}", self.story());
        }
        if let Some(side) = standby.filter(|_| deployment.replicas > 0) {
            // On the slow way back it takes the place of a candidate that was given up and is still there.
            let comes = revision == Some(side.revision.as_str());
            assert!(!shrinks && (!retemplates || comes), "the standby was emptied or changed\n{}", self.story());
        }
    }

    // === the cluster's own controllers ===

    /// Deployment and endpoint controllers, one step. Whether anything changed.
    pub fn controllers(&mut self) -> bool {
        let mut changed = false;
        for color in [Color::Blue, Color::Green] {
            let Some(deployment) = self.deployments.get_mut(&color) else {
                let before = self.pods.len();
                self.pods.retain(|pod| pod.color != color);
                changed |= self.pods.len() != before;
                continue;
            };
            changed |= deployment.observed_generation != deployment.generation;
            deployment.observed_generation = deployment.generation;
            let (revision, image, replicas) = (deployment.revision.clone(), deployment.image.clone(), deployment.replicas);
            let before = self.pods.len();
            self.pods.retain(|pod| pod.color != color || pod.revision == revision);
            let mut have = self.pods.iter().filter(|pod| pod.color == color).count();
            while have > usize::try_from(replicas).unwrap() {
                let last = self.pods.iter().rposition(|pod| pod.color == color).unwrap();
                self.pods.remove(last);
                have -= 1;
            }
            while have < usize::try_from(replicas).unwrap() {
                self.pods_made += 1;
                let name = format!("shop-{color}-{}", self.pods_made);
                let (revision, image) = (revision.clone(), image.clone());
                self.pods.push(Pod { name, color, revision, image, created: self.now, ready: false, ready_changed: None, restarts: 0 });
                have += 1;
                changed = true;
            }
            changed |= self.pods.len() != before;
        }
        if self.slices_follow {
            let selected = self.services.get("active").map(|service| service.selector.clone()).unwrap_or_default();
            let matches = |pod: &&Pod| {
                selected.get("bluegreen.dev/color").map(String::as_str) == Some(pod.color.as_str())
                    && selected.get("bluegreen.dev/revision") == Some(&pod.revision)
                    && pod.ready
            };
            let endpoints: Vec<_> = self.pods.iter().filter(matches).map(|pod| pod.name.clone()).collect();
            changed |= endpoints != self.endpoints;
            self.endpoints = endpoints;
        }
        changed
    }

    /// Pods after a second: what their image makes of them.
    fn pods_live(&mut self) {
        for pod in &mut self.pods {
            let age = self.now.as_second() - pod.created.as_second();
            let ready = match pod.image.rsplit('-').next() {
                Some("unready" | "missing" | "crash") => false,
                Some("dies") => age >= 2 && self.status.phase != Some(Phase::Monitoring),
                Some("slow") => age >= 60,
                _ => age >= 2,
            };
            if pod.image.ends_with("-crash") && age % 3 == 0 {
                pod.restarts += 1;
            }
            if pod.ready != ready {
                pod.ready = ready;
                pod.ready_changed = Some(self.now);
            }
        }
    }

    pub fn kill_pods(&mut self, image: &str) {
        self.note(&format!("fault  all pods of {image} become unready"));
        for pod in self.pods.iter_mut().filter(|pod| pod.image == image) {
            pod.image = format!("{image}-unready");
            pod.ready = false;
            pod.ready_changed = Some(self.now);
        }
    }

    pub fn heal_pods(&mut self, image: &str) {
        self.note(&format!("fault  of {image} is over"));
        for pod in self.pods.iter_mut().filter(|pod| pod.image == format!("{image}-unready")) {
            pod.image = image.to_owned();
        }
    }

    // === what is seen ===

    pub fn seen(&self) -> Observed {
        Observed {
            now: self.now,
            namespace: "web".into(),
            name: "shop".into(),
            uid: "uid".into(),
            generation: self.generation,
            deleting: false,
            annotations: self.annotations.clone(),
            by: "kubectl".into(),
            spec: self.spec.clone(),
            status: self.status.clone(),
            blue: ColorSeen { progress: self.progress.get(&Color::Blue).cloned(), ..self.color_seen(Color::Blue) },
            green: ColorSeen { progress: self.progress.get(&Color::Green).cloned(), ..self.color_seen(Color::Green) },
            active_service: self.service_seen("active"),
            preview_service: self.service_seen("preview"),
            endpoints: EndpointsSeen {
                pods: self.endpoints.iter().map(|pod| EndpointSeen { pod: pod.clone(), ready: true }).collect(),
                changed: Some(self.now),
            },
            revisions: self.revisions.values().cloned().collect(),
            results: self.results.clone(),
            refusals: self.refusals.clone(),
            term: self.term,
            absence: self.absence,
            blind: self.blind.clone(),
            default_prometheus: Some("http://prometheus:9090".into()),
            templates: self.gate_templates.clone(),
        }
    }

    fn color_seen(&self, color: Color) -> ColorSeen {
        let pods: Vec<_> = self.pods.iter().filter(|pod| pod.color == color).map(pod_seen).collect();
        let Some(deployment) = self.deployments.get(&color) else { return ColorSeen { pods, ..Default::default() } };
        let count = |test: &dyn Fn(&PodSeen) -> bool| i32::try_from(pods.iter().filter(|pod| test(pod)).count()).unwrap();
        let taken_up = deployment.observed_generation == deployment.generation;
        let deployment = DeploymentSeen {
            uid: format!("uid-{color}"),
            resource_version: deployment.resource_version.to_string(),
            generation: deployment.generation,
            owner: deployment.owner.clone(),
            deleting: false,
            labels_intact: deployment.labels_intact,
            revision: deployment.revision.clone(),
            epoch: deployment.epoch.clone(),
            applied_generation: self.applied.get(&color).copied(),
            replicas: deployment.replicas,
            min_ready_seconds: 0,
            observed_generation: deployment.observed_generation,
            total: count(&|_| true),
            updated: if taken_up { count(&|pod| pod.revision == deployment.revision) } else { 0 },
            ready: count(&|pod| pod.ready),
            available: count(&|pod| pod.ready),
            replica_failure: None,
        };
        ColorSeen { deployment: ObjectSeen::There(deployment), pods, progress: None }
    }

    fn service_seen(&self, role: &str) -> ObjectSeen<ServiceSeen> {
        let Some(service) = self.services.get(role) else { return ObjectSeen::Absent };
        ObjectSeen::There(ServiceSeen {
            resource_version: service.resource_version.to_string(),
            owner: service.owner.clone(),
            deleting: false,
            labels_intact: true,
            settings_intact: true,
            epoch: service.epoch.clone(),
            selector: service.selector.clone(),
            ports: service.ports.clone(),
            former: service.former.clone(),
        })
    }

    pub fn note(&mut self, line: &str) {
        let line = format!("{:>4}s  {line}", self.second());
        self.log.push(line);
    }
}

fn in_words(object: &Object) -> String {
    match object {
        Object::Deployment(color) => format!("Deployment {color}"),
        Object::Service(role) => format!("{} Service", role.as_str()),
        Object::Revision(hash) => format!("ControllerRevision {hash}"),
    }
}

fn pod_seen(pod: &Pod) -> PodSeen {
    let trouble =
        |reason: &str, message: &str| Some(PodTrouble { reason: reason.into(), message: message.into(), container: Some("shop".into()) });
    let trouble = match pod.image.rsplit('-').next() {
        Some("missing") => trouble("ImagePullBackOff", "Back-off pulling image"),
        Some("crash") if pod.restarts > 0 => trouble("CrashLoopBackOff", "back-off restarting failed container"),
        _ => None,
    };
    PodSeen {
        name: pod.name.clone(),
        revision: pod.revision.clone(),
        ip: Some("192.0.2.1".into()),
        ports: BTreeMap::from([("http".to_owned(), 8080)]),
        ready: pod.ready,
        deleting: false,
        created: pod.created,
        ready_changed: pod.ready_changed,
        restarts: pod.restarts,
        trouble,
    }
}

/// A JSON merge patch, as `kubectl patch --type merge`.
pub fn merge(target: &mut Value, patch: Value) {
    match patch {
        Value::Object(patch) => {
            if !target.is_object() {
                *target = json!({});
            }
            for (key, value) in patch {
                if value.is_null() {
                    target.as_object_mut().unwrap().remove(&key);
                } else {
                    merge(&mut target[key.as_str()], value);
                }
            }
        }
        other => *target = other,
    }
}
