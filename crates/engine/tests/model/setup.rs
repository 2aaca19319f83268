//! What one run of the model explores: settings, what people and faults may do, how far.

use bluegreen_api::{BlueGreenRolloutSpec, BlueGreenRolloutStatus, Phase};
use bluegreen_engine::{Decision, Observed, asked::Asked, decide, observed::Identity};
use bluegreen_gates::templates::Templates;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// Settings, image, replicas, and whether it is paused.
type Choice = (usize, usize, i32, bool);

fn asked(spec: BlueGreenRolloutSpec) -> Arc<Asked> {
    Arc::new(Asked::of(spec, ("web", "shop"), Templates::new(), Some("http://prometheus:9090")))
}

/// How often each thing may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub images: u8,
    pub orders: u8,
    pub sizes: u8,
    pub pauses: u8,
    pub settings: u8,
    pub deletes: u8,
    pub strips: u8,
    pub empties: u8,
    /// Edits by hand of Deployments and Services.
    pub edits: u8,
    /// Of the rollout itself.
    pub deletions: u8,
    pub crashes: u8,
    pub stales: u8,
    pub freezes: u8,
    /// Pods that become unready, and may come back.
    pub falls: u8,
    /// Images that turn out to be bad.
    pub breaks: u8,
    /// Measurements that don't pass.
    pub readings: u8,
}

pub struct Setup {
    pub name: &'static str,
    /// The settings, and those that a person may change them to.
    pub specs: Vec<BlueGreenRolloutSpec>,
    pub images: &'static [&'static str],
    pub replicas: i32,
    pub verbs: &'static [&'static str],
    pub budget: Budget,
    /// A former leader goes on looping; without, it has one request in hand.
    pub rival_goes_on: bool,
    /// There is something to measure.
    pub measures: bool,
    /// Starts with nothing there, and not with the first revision live.
    pub from_nothing: bool,
    /// Starts where the second image has come to this phase.
    pub from: Option<Phase>,
    /// And where its pods are ready.
    pub pods_are_there: bool,
    /// Transitions from the start, at most.
    pub depth: usize,
    /// Distinct states, at most: the search ends with the level in which they are passed.
    pub states: usize,
    hashes: Vec<String>,
    /// What each choice comes to: a few, which a million states share.
    asked: RwLock<HashMap<Choice, Arc<Asked>>>,
}

impl Setup {
    pub fn new(name: &'static str, settings: &[Value], budget: Budget) -> Self {
        let specs: Vec<_> = settings.iter().map(spec).collect();
        let measures = settings.iter().any(|it| !it["verification"].is_null() || !it["monitoring"]["metrics"].is_null());
        let setup = Self {
            name,
            specs,
            images: &[],
            replicas: 2,
            verbs: &[],
            budget,
            rival_goes_on: false,
            measures,
            from_nothing: false,
            from: None,
            pods_are_there: false,
            depth: usize::MAX,
            states: usize::MAX,
            hashes: vec![],
            asked: RwLock::default(),
        };
        setup.images(&["shop:1", "shop:2"])
    }

    pub fn images(mut self, images: &'static [&'static str]) -> Self {
        self.images = images;
        self.hashes = images.iter().map(|image| hash_of(&self.specs[0], image)).collect();
        self
    }

    pub fn verbs(self, verbs: &'static [&'static str]) -> Self {
        Self { verbs, ..self }
    }

    pub fn up_to(self, states: usize) -> Self {
        Self { states, ..self }
    }

    pub fn rival_goes_on(self) -> Self {
        Self { rival_goes_on: true, ..self }
    }

    pub fn starting_with_nothing(self) -> Self {
        Self { from_nothing: true, ..self }
    }

    pub fn starting_in(self, phase: Phase) -> Self {
        Self { from: Some(phase), ..self }
    }

    pub fn with_its_pods_there(self) -> Self {
        Self { pods_are_there: true, ..self }
    }

    /// What `spec` asks for where people have made this choice.
    pub fn asked(&self, choice: Choice) -> Arc<Asked> {
        let known = self.asked.read().unwrap_or_else(PoisonError::into_inner).get(&choice).cloned();
        known.unwrap_or_else(|| {
            let (settings, image, replicas, paused) = choice;
            let image = Some(self.images[image].into());
            let asked = asked(BlueGreenRolloutSpec { image, replicas, paused, ..self.specs[settings].clone() });
            self.asked.write().unwrap_or_else(PoisonError::into_inner).insert(choice, asked.clone());
            asked
        })
    }

    /// The revision that an image makes.
    pub fn hash(&self, image: usize) -> &str {
        &self.hashes[image]
    }

    pub fn image_of(&self, revision: &str) -> Option<usize> {
        self.hashes.iter().position(|hash| hash == revision)
    }

    pub fn image_name(&self, revision: &str) -> &'static str {
        self.image_of(revision).map_or("nothing", |image| self.images[image])
    }
}

fn spec(settings: &Value) -> BlueGreenRolloutSpec {
    let mut spec = json!({
        "image": "shop:1",
        "template": {"spec": {"containers": [{"name": "shop"}]}},
        "service": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        "progressDeadline": "2m",
    });
    for (key, value) in settings.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

/// As the engine itself names it.
fn hash_of(spec: &BlueGreenRolloutSpec, image: &str) -> String {
    let spec = BlueGreenRolloutSpec {
        image: Some(image.into()),
        replicas: 1,
        paused: false,
        verification: None,
        monitoring: None,
        ..spec.clone()
    };
    let rollout = Identity { namespace: "web".into(), name: "shop".into(), uid: "uid".into(), generation: 1 };
    let seen = Observed::nothing_but(rollout, asked(spec), BlueGreenRolloutStatus::default(), crate::world::at(0));
    match decide(&seen) {
        Decision::Record(status) => status.active.unwrap().revision,
        other => panic!("{image} makes no revision: {other:?}"),
    }
}
