//! A small world for the real `decide`: Deployment and endpoint controllers that do what they must, pods that behave as their
//! image says, and a witness that looks at every write. Time is the world's own.

#![allow(dead_code, reason = "each test file uses a part of it")]

use bluegreen_engine::{
    Decision, Effect, Observed,
    asked::Asked,
    decide,
    decision::{Object, Role},
    measure,
    observed::{Absence, EventsRead, Late, Owner, Progress, Refusal, RevisionSeen, Unread},
};
use bluegreen_gates::{
    reading::{Measurement, Outcome, Reading},
    templates::Templates,
};
use std::cell::RefCell;
use std::sync::Arc;

mod cluster;
mod operator;
mod writes;

use bluegreen_api::{BlueGreenRolloutSpec, BlueGreenRolloutStatus, Color, Phase};
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
    pub arrival: String,
    pub labels_intact: bool,
    /// Names of the settings that were written.
    pub written: String,
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
    /// Its settings are those that `spec` asks for.
    pub settled: bool,
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
    /// No node has room for it.
    pub pending: bool,
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
    /// What the events of a pod say, where they were read.
    pub told: BTreeMap<Color, EventsRead>,
    pub applied: BTreeMap<Color, i64>,
    pub results: Vec<Measurement>,
    pub refusals: Vec<Refusal>,
    pub absence: Option<Absence>,
    pub late: Vec<Late>,
    pub unread: Vec<Unread>,
    /// Templates of gates that the operator sees.
    pub gate_templates: Templates,
    /// What `spec` came to when it was last looked at.
    asked: RefCell<Option<Arc<Asked>>>,
    pub term: i64,
    /// What a gate measures: by gate name and image of the side that is measured.
    pub gauge: fn(&str, &str, Timestamp) -> Outcome,
    /// Pods that nodes have room for.
    pub room: usize,
    /// EndpointSlices follow.
    pub slices_follow: bool,
    /// Effects on these objects are refused with this code and message.
    pub refuse: Option<(Object, u16, String)>,
    /// Nothing of these is refused.
    pub spare: fn(&Effect) -> bool,
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

/// Settings of the one rollout that all tests are about.
pub fn ask(spec: BlueGreenRolloutSpec, templates: Templates) -> Arc<Asked> {
    Arc::new(Asked::of(spec, ("web", "shop"), templates, Some("http://prometheus:9090")))
}

/// Somebody changes what `spec` asks for.
pub trait Ask {
    fn ask(&mut self, change: impl FnOnce(&mut BlueGreenRolloutSpec));
}

impl Ask for Observed {
    fn ask(&mut self, change: impl FnOnce(&mut BlueGreenRolloutSpec)) {
        let mut spec = self.asked.spec.clone();
        change(&mut spec);
        self.asked = ask(spec, self.asked.templates.clone());
    }
}

pub fn pass(_: &str, _: &str, _: Timestamp) -> Outcome {
    Outcome::reading(Reading::Value(0.0))
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

    /// The same with a time to wait for before the switch, which is then recorded when the pods are there, and not armed before.
    pub fn live_unarmed(spec: Value) -> Self {
        let mut timed = json!({"promotion": {"after": "1s"}});
        merge(&mut timed, spec);
        Self::live(timed)
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
        let mut world = Self::live_unarmed(json!({}));
        world.image("shop:2");
        world.refuse = Some((Object::Service(Role::Active), 500, "a webhook gave no answer".into()));
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
            told: BTreeMap::new(),
            applied: BTreeMap::new(),
            results: vec![],
            refusals: vec![],
            absence: None,
            late: vec![],
            unread: vec![],
            gate_templates: Templates::new(),
            asked: RefCell::default(),
            term: 1,
            gauge: pass,
            room: usize::MAX,
            slices_follow: true,
            refuse: None,
            spare: |_| false,
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

    pub fn note(&mut self, line: &str) {
        let line = format!("{:>4}s  {line}", self.second());
        self.log.push(line);
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
