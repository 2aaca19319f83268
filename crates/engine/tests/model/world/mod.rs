//! The smallest world in which a rollout can go wrong: cheap to copy, every transition of it a step of its own.

mod controllers;
mod enabled;
mod operator;
mod seen;
mod step;

use crate::setup::{Budget, Setup};
use bluegreen_api::{BlueGreenRolloutStatus, Color};
use bluegreen_engine::{Pass, decision::Role, observed::*, pass::Step};
use bluegreen_gates::reading::Measurement;
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc};

pub const START: i64 = 1_800_000_000;
pub const COLORS: [Color; 2] = [Color::Blue, Color::Green];
const ROLES: [Role; 2] = [Role::Active, Role::Preview];

pub type Text = Arc<str>;

/// The rollout as the API server has it.
#[derive(Clone)]
pub struct Rollout {
    pub version: u64,
    /// The term of the operator that wrote it last; 0 for anybody else.
    pub by: i64,
    pub generation: i64,
    pub image: usize,
    pub replicas: i32,
    pub paused: bool,
    pub settings: usize,
    /// It has a deletionTimestamp.
    pub deleting: bool,
    pub orders: BTreeMap<String, String>,
    pub status: BlueGreenRolloutStatus,
}

#[derive(Clone, PartialEq)]
pub struct Deployment {
    pub uid: u64,
    pub version: u64,
    pub by: i64,
    pub generation: i64,
    pub revision: Text,
    /// Its pod template was edited by hand. The label that names the revision stays.
    pub edited: bool,
    pub labels_intact: bool,
    pub replicas: i32,
    pub epoch: Text,
    pub arrival: Text,
    pub told: Told,
}

/// What the Deployment controller wrote last into the status.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Told {
    pub observed: i64,
    pub total: i32,
    pub updated: i32,
    pub ready: i32,
}

#[derive(Clone, PartialEq)]
pub struct Service {
    pub version: u64,
    pub by: i64,
    pub selects: Option<(Color, Text)>,
    /// Somebody led it there by hand.
    pub led_by_hand: bool,
    pub ports_intact: bool,
    pub epoch: Text,
    pub former: Option<Text>,
}

#[derive(Clone, PartialEq)]
pub struct Pod {
    pub name: u32,
    pub color: Color,
    pub revision: Text,
    /// Of a template that was edited by hand.
    pub edited: bool,
    pub created: i64,
    pub ready: bool,
    pub ready_changed: Option<i64>,
}

/// An operator process: what it has in memory, and the reconcile under way.
#[derive(Clone)]
pub struct Operator {
    pub term: i64,
    pub absence: Option<Absence>,
    pub pass: Option<Arc<Reconcile>>,
    /// What the latest wait waits for.
    pub until: Option<i64>,
    pub due: Vec<Due>,
    pub progress: [Option<Progress>; 2],
    /// By color: uid of the Deployment and the generation that the latest write returned.
    pub applied: [Option<(u64, i64)>; 2],
    pub results: Vec<Measurement>,
}

#[derive(Clone)]
pub struct Reconcile {
    pub pass: Pass,
    pub step: Step,
    /// The rollout's version that the latest look saw.
    pub version: u64,
    /// Requests of the latest decision that were answered.
    pub answered: usize,
}

/// A measurement that is to be taken.
#[derive(Clone, PartialEq)]
pub struct Due {
    pub gate: String,
    pub definition: String,
    pub attempt: i64,
    pub revision: String,
    pub at: i64,
    pub check: bool,
}

impl Pod {
    /// It was made from this template.
    pub(super) fn is_of(&self, deployment: &Deployment) -> bool {
        self.revision == deployment.revision && self.edited == deployment.edited
    }
}

impl Operator {
    pub fn new(term: i64, absence: Option<Absence>) -> Self {
        let (progress, applied) = ([None, None], [None, None]);
        Self { term, absence, pass: None, until: None, due: vec![], progress, applied, results: vec![] }
    }
}

/// What the world looked like before the latest change of each that the leader hasn't seen: a stale read sees one of these.
#[derive(Clone, Default)]
pub struct Before {
    pub rollout: Option<Arc<Rollout>>,
    pub deployments: [Option<Arc<Deployment>>; 2],
    pub active: Option<Arc<Service>>,
    pub pods: Option<Vec<Pod>>,
    pub endpoints: Option<Vec<u32>>,
}

impl Before {
    /// A watch never goes back behind what it has shown.
    pub(super) fn caught_up(&mut self, except: Option<Thing>) {
        let before = std::mem::take(self);
        match except {
            Some(Thing::Rollout) => self.rollout = before.rollout,
            Some(Thing::Deployment(color)) => self.deployments[color].clone_from(&before.deployments[color]),
            Some(Thing::ActiveService) => self.active = before.active,
            Some(Thing::Pods) => self.pods = before.pods,
            Some(Thing::Endpoints) => self.endpoints = before.endpoints,
            None => {}
        }
    }
}

/// What the witness has noted.
#[derive(Clone, Default)]
pub struct Notes {
    /// The first Healthy was recorded: from now on there is something to protect.
    pub protected: bool,
    /// The attempt that a person said promote of, while it was under way.
    pub approved: Option<i64>,
    pub evidence: Vec<Evidence>,
}

/// Good results of one gate.
#[derive(Clone, PartialEq)]
pub struct Evidence {
    pub gate: String,
    pub definition: String,
    pub attempt: i64,
    pub revision: String,
    pub good: i32,
}

#[derive(Clone)]
pub struct World {
    pub setup: &'static Setup,
    pub left: Budget,
    pub now: i64,
    pub rollout: Arc<Rollout>,
    pub deployments: [Option<Arc<Deployment>>; 2],
    /// The active and the preview Service.
    pub services: [Option<Arc<Service>>; 2],
    pub pods: Vec<Pod>,
    pub endpoints: Vec<u32>,
    pub revisions: Arc<Vec<RevisionSeen>>,
    pub before: Before,
    pub operator: Operator,
    /// A former leader that still holds a request, or doesn't know that it leads no more.
    pub rival: Option<Operator>,
    /// Images whose pods never get ready any more, a bit each.
    pub broken: u8,
    pub notes: Notes,
    /// Told while a story is replayed.
    pub log: Option<Vec<String>>,
    version: u64,
    pods_made: u32,
}

/// A transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Operator(Who),
    StaleLook(Thing),
    DeploymentController(usize),
    EndpointController,
    PodReady(u32),
    PodUnready(u32),
    Break(usize),
    Measure(usize, Answer),
    Tick,
    Image(usize),
    Replicas(i32),
    Pause(bool),
    Settings(usize),
    Order(&'static str),
    DeleteDeployment(usize),
    StripSelector,
    Edit(Edit),
    EmptyStatus,
    DeleteRollout,
    Collect(Child),
    Crash,
    Freeze,
}

/// What somebody edits by hand: of the Deployment of a color, or of the active or the preview Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    Size(usize),
    Template(usize),
    Labels(usize),
    Selector(usize),
    Ports(usize),
}

/// What the rollout owns, and what goes when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    Deployment(usize),
    Service(usize),
    Revisions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Leader,
    Rival,
}

/// What one stale read is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    Rollout,
    Deployment(usize),
    ActiveService,
    Pods,
    Endpoints,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Pass,
    Fail,
    Nothing,
    Error,
}

pub fn index(color: Color) -> usize {
    usize::from(color == Color::Green)
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

pub fn second(at: Timestamp) -> i64 {
    at.as_second() - START
}

impl World {
    pub fn new(setup: &'static Setup) -> Self {
        let rollout = Rollout {
            version: 1,
            by: 0,
            generation: 1,
            image: 0,
            replicas: setup.replicas,
            paused: false,
            settings: 0,
            deleting: false,
            orders: BTreeMap::new(),
            status: BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() },
        };
        Self {
            setup,
            left: setup.budget,
            now: 0,
            rollout: Arc::new(rollout),
            deployments: [None, None],
            services: [None, None],
            pods: vec![],
            endpoints: vec![],
            revisions: Arc::default(),
            before: Before::default(),
            operator: Operator::new(1, None),
            rival: None,
            broken: 0,
            notes: Notes::default(),
            log: None,
            version: 1,
            pods_made: 0,
        }
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>4} s  {}", self.now, line()));
        }
    }
}
