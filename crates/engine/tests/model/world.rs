//! The smallest world in which a rollout can go wrong: cheap to copy, every transition of it a step of its own.

use crate::{
    broken::Broken,
    promises,
    setup::{Budget, Setup},
};
use bluegreen_api::{BlueGreenRolloutSpec, BlueGreenRolloutStatus, Color, Phase};
use bluegreen_engine::{
    Effect, Observed, Pass, decide,
    decision::{Change, Guard, Object, Role, Target},
    measure::{self, What},
    observed::*,
    pass::{End, Step},
    progress, render,
};
use jiff::Timestamp;
use serde_json::json;
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
    fn is_of(&self, deployment: &Deployment) -> bool {
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
    fn caught_up(&mut self, except: Option<Thing>) {
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

    // === what can happen ===

    pub fn enabled(&self) -> Vec<Action> {
        let mut actions = vec![Action::Operator(Who::Leader)];
        if self.rival.is_some() {
            actions.push(Action::Operator(Who::Rival));
        }
        actions.extend(self.controllers());
        if self.next_deadline().is_some() {
            actions.push(Action::Tick);
        }
        actions.extend(self.measurements());
        actions.extend(self.people());
        actions.extend(self.faults());
        actions
    }

    /// What goes on without anybody's doing, in the order of the schedule without faults.
    pub fn controllers(&self) -> Vec<Action> {
        let mut actions = vec![];
        for color in 0..2 {
            if self.controller_has_work(color) {
                actions.push(Action::DeploymentController(color));
            }
        }
        if self.endpoints != self.wanted_endpoints() {
            actions.push(Action::EndpointController);
        }
        actions.extend(self.one_of_each_kind(|pod| !pod.ready && !self.is_broken(&pod.revision)).map(Action::PodReady));
        if self.rollout.deleting {
            actions.extend(self.children().into_iter().map(Action::Collect));
        }
        actions
    }

    /// What the rollout owns and is still there.
    pub fn children(&self) -> Vec<Child> {
        let mut children = vec![];
        children.extend((0..2).filter(|color| self.deployments[*color].is_some()).map(Child::Deployment));
        children.extend((0..2).filter(|role| self.services[*role].is_some()).map(Child::Service));
        children.extend((!self.revisions.is_empty()).then_some(Child::Revisions));
        children
    }

    fn measurements(&self) -> Vec<Action> {
        let mut actions = vec![];
        for (index, _) in self.operator.due.iter().enumerate().filter(|(_, due)| due.at <= self.now) {
            actions.push(Action::Measure(index, Answer::Pass));
            if self.left.readings > 0 {
                actions.extend([Answer::Fail, Answer::Nothing, Answer::Error].map(|answer| Action::Measure(index, answer)));
            }
        }
        actions
    }

    fn people(&self) -> Vec<Action> {
        let (left, rollout) = (&self.left, &self.rollout);
        let mut actions = vec![];
        if left.images > 0 {
            actions.extend((0..self.setup.images.len()).filter(|image| *image != rollout.image).map(Action::Image));
        }
        if left.orders > 0 {
            actions.extend(self.setup.verbs.iter().map(|verb| Action::Order(verb)));
        }
        if left.sizes > 0 {
            actions.push(Action::Replicas(if rollout.replicas == 0 { self.setup.replicas } else { 0 }));
        }
        if left.pauses > 0 {
            actions.push(Action::Pause(!rollout.paused));
        }
        if left.settings > 0 {
            actions.extend((0..self.setup.specs.len()).filter(|settings| *settings != rollout.settings).map(Action::Settings));
        }
        if left.deletes > 0 {
            actions.extend((0..2).filter(|color| self.deployments[*color].is_some()).map(Action::DeleteDeployment));
        }
        if left.strips > 0 && self.services[0].as_ref().is_some_and(|service| service.selects.is_some()) {
            actions.push(Action::StripSelector);
        }
        if left.edits > 0 {
            actions.extend(self.edits().into_iter().map(Action::Edit));
        }
        if left.empties > 0 && rollout.status.phase.is_some() {
            actions.push(Action::EmptyStatus);
        }
        if left.deletions > 0 && !rollout.deleting {
            actions.push(Action::DeleteRollout);
        }
        actions
    }

    /// What can be edited by hand and isn't yet.
    fn edits(&self) -> Vec<Edit> {
        let mut edits = vec![];
        for (color, deployment) in self.deployments.iter().enumerate() {
            let Some(deployment) = deployment else { continue };
            edits.push(Edit::Size(color));
            edits.extend((!deployment.edited).then_some(Edit::Template(color)));
            edits.extend(deployment.labels_intact.then_some(Edit::Labels(color)));
        }
        for (role, service) in self.services.iter().enumerate() {
            let Some(service) = service else { continue };
            edits.extend(self.other_side(service).map(|_| Edit::Selector(role)));
            edits.extend(service.ports_intact.then_some(Edit::Ports(role)));
        }
        edits
    }

    /// Where a Service doesn't lead.
    fn other_side(&self, service: &Service) -> Option<(Color, Text)> {
        let other = service.selects.as_ref()?.0.other();
        self.deployments[index(other)].as_ref().map(|deployment| (other, deployment.revision.clone()))
    }

    fn faults(&self) -> Vec<Action> {
        let left = &self.left;
        let mut actions = vec![];
        if left.crashes > 0 {
            actions.push(Action::Crash);
        }
        let requests = |operator: &Operator| operator.pass.as_ref().is_some_and(|held| held.step != Step::Look);
        if left.freezes > 0 && self.rival.is_none() && requests(&self.operator) {
            actions.push(Action::Freeze);
        }
        if left.falls > 0 {
            actions.extend(self.one_of_each_kind(|pod| pod.ready).map(Action::PodUnready));
        }
        if left.breaks > 0 {
            actions.extend((0..self.setup.images.len()).filter(|image| self.broken & (1 << image) == 0).map(Action::Break));
        }
        let looks = self.operator.pass.as_ref().is_none_or(|held| held.step == Step::Look);
        if left.stales > 0 && looks {
            actions.extend(self.stale_things().map(Action::StaleLook));
        }
        actions
    }

    /// An operator's own writes stand in for what its watch hasn't shown yet: only those of others can be missed.
    fn stale_things(&self) -> impl Iterator<Item = Thing> {
        let (before, term) = (&self.before, self.operator.term);
        let deployment = |color: usize| {
            let by = self.deployments[color].as_ref().map_or(0, |deployment| deployment.by);
            before.deployments[color].is_some() && by != term
        };
        let service = self.services[0].as_ref().is_none_or(|service| service.by != term);
        [
            (Thing::Rollout, before.rollout.is_some() && self.rollout.by != term),
            (Thing::Deployment(0), deployment(0)),
            (Thing::Deployment(1), deployment(1)),
            (Thing::ActiveService, before.active.is_some() && service),
            (Thing::Pods, before.pods.is_some()),
            (Thing::Endpoints, before.endpoints.is_some()),
        ]
        .into_iter()
        .filter_map(|(thing, can)| can.then_some(thing))
    }

    /// Of pods that nobody can tell apart one is enough.
    fn one_of_each_kind(&self, of: impl Fn(&Pod) -> bool) -> impl Iterator<Item = u32> {
        let mut kinds = vec![];
        let mut names = vec![];
        for pod in self.pods.iter().filter(|pod| of(pod)) {
            let kind = (pod.color, &pod.revision, pod.edited, pod.created, pod.ready_changed, self.endpoints.contains(&pod.name));
            if !kinds.contains(&kind) {
                kinds.push(kind);
                names.push(pod.name);
            }
        }
        names.into_iter()
    }

    pub fn next_deadline(&self) -> Option<i64> {
        let due = self.operator.due.iter().map(|due| due.at);
        due.chain(self.operator.until).filter(|at| *at > self.now).min()
    }

    pub fn is_broken(&self, revision: &str) -> bool {
        self.setup.image_of(revision).is_some_and(|image| self.broken & (1 << image) != 0)
    }

    // === a step ===

    pub fn step(&mut self, action: Action) -> Result<(), Broken> {
        match action {
            Action::Operator(who) => return self.operate(who, None),
            Action::StaleLook(thing) => {
                self.left.stales -= 1;
                return self.operate(Who::Leader, Some(thing));
            }
            Action::DeploymentController(color) => self.control(color),
            Action::EndpointController => {
                self.note(|| "the endpoint controller follows".into());
                let endpoints = self.wanted_endpoints();
                self.before.endpoints = self.remembers_before().then(|| self.endpoints.clone());
                self.endpoints = endpoints;
            }
            Action::PodReady(name) => self.turn(name, true),
            Action::PodUnready(name) => {
                self.left.falls -= 1;
                self.turn(name, false);
            }
            Action::Break(image) => {
                self.left.breaks -= 1;
                self.break_image(image);
            }
            Action::Measure(index, answer) => self.measure(index, answer),
            Action::Collect(child) => self.collect(child),
            Action::Tick => {
                if let Some(at) = self.next_deadline() {
                    self.now = at;
                    self.note(|| "time passes".into());
                }
            }
            Action::Crash => {
                self.left.crashes -= 1;
                self.note(|| "the operator crashes; another process leads".into());
                self.restart();
            }
            Action::Freeze => {
                self.left.freezes -= 1;
                self.note(|| "the leader freezes with a request in hand; another process leads".into());
                let sleeper = self.operator.clone();
                self.restart();
                self.rival = Some(sleeper);
            }
            _ => self.person(action),
        }
        Ok(())
    }

    fn remembers_before(&self) -> bool {
        self.left.stales > 0
    }

    pub fn restart(&mut self) {
        let from = at(self.now);
        self.now += 1;
        let absence = Absence { from: Some(from), to: at(self.now) };
        self.operator = Operator::new(self.operator.term + 1, Some(absence));
        // A new leader reads the rollout itself before it decides; its other watches may still lag.
        self.before.rollout = None;
    }

    fn person(&mut self, action: Action) {
        match action {
            Action::Image(image) => {
                self.left.images -= 1;
                let name = self.setup.images[image];
                self.note(|| format!("a person sets image {name}"));
                self.change(|rollout| rollout.image = image);
            }
            Action::Replicas(replicas) => {
                self.left.sizes -= 1;
                self.note(|| format!("a person sets replicas to {replicas}"));
                self.change(|rollout| rollout.replicas = replicas);
            }
            Action::Pause(paused) => {
                self.left.pauses -= 1;
                self.note(|| format!("a person sets paused to {paused}"));
                self.change(|rollout| rollout.paused = paused);
            }
            Action::Settings(settings) => {
                self.left.settings -= 1;
                self.note(|| format!("a person changes the settings to number {settings}"));
                self.change(|rollout| rollout.settings = settings);
            }
            Action::Order(verb) => self.order(verb),
            Action::DeleteDeployment(color) => {
                self.left.deletes -= 1;
                self.note(|| format!("somebody deletes Deployment {}", COLORS[color]));
                self.lose_deployment(color);
            }
            Action::StripSelector => {
                self.left.strips -= 1;
                self.note(|| "somebody strips the selector of the active Service".into());
                let version = self.next_version();
                if let Some(service) = self.services[0].clone() {
                    self.put_service(0, Service { version, by: 0, selects: None, ..(*service).clone() });
                }
            }
            Action::Edit(edit) => {
                self.left.edits -= 1;
                self.edit(edit);
            }
            Action::DeleteRollout => {
                self.left.deletions -= 1;
                self.note(|| "a person deletes the rollout".into());
                self.change(|rollout| rollout.deleting = true);
            }
            Action::EmptyStatus => {
                self.left.empties -= 1;
                self.note(|| "somebody empties the status".into());
                self.notes.evidence.clear();
                self.notes.approved = None;
                self.write_rollout(0, |rollout| {
                    rollout.status = BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
                });
            }
            _ => unreachable!("{action:?} is nobody's"),
        }
    }

    fn edit(&mut self, edit: Edit) {
        let version = self.next_version();
        match edit {
            Edit::Size(color) | Edit::Template(color) | Edit::Labels(color) => {
                let Some(is) = self.deployments[color].as_deref().cloned() else { return };
                let replicas = if is.replicas == 0 { self.setup.replicas } else { 0 };
                let (what, edited) = match edit {
                    Edit::Size(_) => ("size", Deployment { replicas, generation: is.generation + 1, ..is }),
                    Edit::Template(_) => ("template", Deployment { edited: true, generation: is.generation + 1, ..is }),
                    _ => ("labels", Deployment { labels_intact: false, ..is }),
                };
                self.note(|| format!("somebody edits the {what} of Deployment {} by hand", COLORS[color]));
                self.put_deployment(color, Deployment { version, by: 0, ..edited });
            }
            Edit::Selector(role) | Edit::Ports(role) => {
                let Some(is) = self.services[role].as_deref().cloned() else { return };
                let (what, edited) = match edit {
                    Edit::Selector(_) => ("selector", Service { selects: self.other_side(&is), led_by_hand: true, ..is }),
                    _ => ("ports", Service { ports_intact: false, ..is }),
                };
                self.note(|| format!("somebody edits the {what} of the {} Service by hand", ROLES[role].as_str()));
                self.put_service(role, Service { version, by: 0, ..edited });
            }
        }
    }

    /// The collector of garbage: one thing less of what a rollout owned that is deleted.
    fn collect(&mut self, child: Child) {
        self.note(|| format!("the collector of garbage removes {child:?}"));
        match child {
            Child::Deployment(color) => self.lose_deployment(color),
            Child::Service(role) => {
                let lost = self.services[role].take().filter(|_| self.remembers_before());
                if role == 0 {
                    self.before.active = lost;
                }
            }
            Child::Revisions => self.revisions = Arc::default(),
        }
    }

    fn lose_deployment(&mut self, color: usize) {
        self.before.deployments[color] = self.deployments[color].take().filter(|_| self.remembers_before());
    }

    pub fn rollout_to_second_image(&mut self) {
        self.change(|rollout| rollout.image = 1);
    }

    fn change(&mut self, change: impl FnOnce(&mut Rollout)) {
        self.write_rollout(0, |rollout| {
            rollout.generation += 1;
            change(rollout);
        });
    }

    fn write_rollout(&mut self, by: i64, change: impl FnOnce(&mut Rollout)) {
        let version = self.next_version();
        let mut rollout = (*self.rollout).clone();
        change(&mut rollout);
        (rollout.version, rollout.by) = (version, by);
        let before = std::mem::replace(&mut self.rollout, Arc::new(rollout));
        self.before.rollout = self.remembers_before().then_some(before);
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// An order names the revision that the attempt under way is about, or is about to be.
    fn order(&mut self, verb: &'static str) {
        self.left.orders -= 1;
        let status = &self.rollout.status;
        let wanted = self.setup.hash(self.rollout.image);
        let rejected = status.rejected.as_ref().map(|rejected| rejected.revision.clone()).filter(|_| verb == "retry");
        let preview = status.preview.as_ref().map(|side| side.revision.clone());
        let live = status.active.as_ref().is_some_and(|active| active.revision == wanted);
        let after_the_switch = status.active.as_ref().filter(|_| status.standby.is_some() && !live).map(|side| side.revision.clone());
        let revision = rejected.or(preview.clone()).or(after_the_switch).unwrap_or_else(|| wanted.to_owned());
        if verb == "promote" && preview.as_ref() == Some(&revision) {
            self.notes.approved = Some(status.attempt);
        }
        let image = self.setup.image_name(&revision);
        self.note(|| format!("a person orders {verb} of {image}"));
        let times = self.left.orders;
        self.write_rollout(0, |rollout| {
            // The same order is given again by another value.
            rollout.orders.insert(format!("bluegreen.dev/{verb}"), format!("{revision}/{times}"));
        });
    }

    fn measure(&mut self, index: usize, answer: Answer) {
        if answer != Answer::Pass {
            self.left.readings -= 1;
        }
        let due = self.operator.due.remove(index);
        self.note(|| format!("{} is measured: {answer:?}", due.gate));
        let outcome = match (due.check, answer) {
            (true, Answer::Pass) => Outcome::Check(CheckOutcome::Passed("200".into())),
            (true, Answer::Fail) => Outcome::Check(CheckOutcome::Failed("500".into())),
            (true, Answer::Nothing | Answer::Error) => Outcome::Check(CheckOutcome::NotDone("no answer".into())),
            (false, Answer::Pass) => Outcome::reading(Reading::Value(0.0)),
            (false, Answer::Fail) => Outcome::reading(Reading::Value(0.5)),
            (false, Answer::Nothing) => Outcome::reading(Reading::NoData),
            (false, Answer::Error) => Outcome::reading(Reading::Failed("connection refused".into())),
        };
        let Due { gate, definition, attempt, revision, .. } = due;
        if answer == Answer::Pass {
            self.bear_witness(&gate, &definition, attempt, &revision);
        }
        self.operator.results.push(Measurement { gate, definition, attempt, revision, at: at(self.now), outcome });
    }

    fn bear_witness(&mut self, gate: &str, definition: &str, attempt: i64, revision: &str) {
        let same = |it: &&mut Evidence| it.gate == gate && it.definition == definition && it.attempt == attempt && it.revision == revision;
        match self.notes.evidence.iter_mut().find(same) {
            Some(evidence) => evidence.good += 1,
            None => {
                // What was found in earlier attempts proves nothing any more.
                self.notes.evidence.retain(|it| it.attempt == attempt && it.revision == revision);
                let (gate, definition, revision) = (gate.to_owned(), definition.to_owned(), revision.to_owned());
                self.notes.evidence.push(Evidence { gate, definition, attempt, revision, good: 1 });
            }
        }
    }

    // === pods and controllers ===

    fn change_pods(&mut self, change: impl FnOnce(&mut Vec<Pod>)) {
        self.before.pods = self.remembers_before().then(|| self.pods.clone());
        change(&mut self.pods);
    }

    fn turn(&mut self, name: u32, ready: bool) {
        let now = self.now;
        if let Some(pod) = self.pods.iter().find(|pod| pod.name == name) {
            let (color, image) = (pod.color, self.setup.image_name(&pod.revision));
            self.note(|| format!("a {color} pod of {image} becomes {}", if ready { "ready" } else { "unready" }));
        }
        self.change_pods(|pods| {
            if let Some(pod) = pods.iter_mut().find(|pod| pod.name == name) {
                (pod.ready, pod.ready_changed) = (ready, Some(now));
            }
        });
    }

    fn break_image(&mut self, image: usize) {
        let name = self.setup.images[image];
        self.note(|| format!("{name} turns out to be bad: none of its pods is ready any more"));
        self.broken |= 1 << image;
        let (now, hash) = (self.now, self.setup.hash(image));
        self.change_pods(|pods| {
            for pod in pods.iter_mut().filter(|pod| *pod.revision == *hash && pod.ready) {
                (pod.ready, pod.ready_changed) = (false, Some(now));
            }
        });
    }

    fn controller_has_work(&self, color: usize) -> bool {
        match &self.deployments[color] {
            Some(deployment) => self.pod_work(color, deployment).is_some() || self.told(color, deployment) != deployment.told,
            None => self.pods.iter().any(|pod| index(pod.color) == color),
        }
    }

    /// The Deployment controller: one pod made or removed, and what it tells brought up to date.
    fn control(&mut self, color: usize) {
        let Some(deployment) = self.deployments[color].clone() else {
            self.note(|| format!("the pods of the deleted {} Deployment are gone", COLORS[color]));
            self.change_pods(|pods| pods.retain(|pod| index(pod.color) != color));
            return;
        };
        match self.pod_work(color, &deployment) {
            Some(PodWork::Make) => {
                self.pods_made += 1;
                let (name, created) = (self.pods_made, self.now);
                let image = self.setup.image_name(&deployment.revision);
                self.note(|| format!("the Deployment controller makes a {} pod of {image}", COLORS[color]));
                let (revision, edited) = (deployment.revision.clone(), deployment.edited);
                self.change_pods(|pods| {
                    pods.push(Pod { name, color: COLORS[color], revision, edited, created, ready: false, ready_changed: None });
                });
            }
            Some(PodWork::Remove(name)) => {
                self.note(|| format!("the Deployment controller removes a {} pod", COLORS[color]));
                self.change_pods(|pods| pods.retain(|pod| pod.name != name));
            }
            None => self.note(|| format!("the Deployment controller tells of {}", COLORS[color])),
        }
        let told = self.told(color, &deployment);
        if told != deployment.told {
            let version = self.next_version();
            self.put_deployment(color, Deployment { version, by: 0, told, ..(*deployment).clone() });
        }
    }

    fn pod_work(&self, color: usize, deployment: &Deployment) -> Option<PodWork> {
        let pods = || self.pods.iter().filter(move |pod| index(pod.color) == color);
        let own = || pods().filter(|pod| pod.is_of(deployment));
        let wanted = usize::try_from(deployment.replicas).unwrap_or(0);
        if own().count() > wanted {
            let spare = own().find(|pod| !pod.ready).or_else(|| own().next_back());
            return spare.map(|pod| PodWork::Remove(pod.name));
        }
        // One more than asked for at a time; an old one goes when a new one serves, or when it doesn't serve itself.
        let old = pods().filter(|pod| !pod.is_of(deployment)).min_by_key(|pod| pod.ready);
        let serving = pods().filter(|pod| pod.ready).count();
        match old {
            Some(old) if wanted == 0 || !old.ready || serving > wanted => Some(PodWork::Remove(old.name)),
            _ if own().count() < wanted && pods().count() <= wanted => Some(PodWork::Make),
            _ => None,
        }
    }

    fn told(&self, color: usize, deployment: &Deployment) -> Told {
        let count = |of: &dyn Fn(&Pod) -> bool| {
            i32::try_from(self.pods.iter().filter(|pod| index(pod.color) == color && of(pod)).count()).unwrap_or(i32::MAX)
        };
        Told {
            observed: deployment.generation,
            total: count(&|_| true),
            updated: count(&|pod| pod.is_of(deployment)),
            ready: count(&|pod| pod.ready),
        }
    }

    fn wanted_endpoints(&self) -> Vec<u32> {
        let selected = self.services[0].as_ref().and_then(|service| service.selects.clone());
        let matches = |pod: &&Pod| selected.as_ref().is_some_and(|(color, revision)| pod.color == *color && pod.revision == *revision);
        self.pods.iter().filter(|pod| pod.ready).filter(matches).map(|pod| pod.name).collect()
    }

    fn put_deployment(&mut self, color: usize, deployment: Deployment) {
        let before = self.deployments[color].replace(Arc::new(deployment));
        self.before.deployments[color] = before.filter(|_| self.remembers_before());
    }

    fn put_service(&mut self, role: usize, service: Service) {
        let before = self.services[role].replace(Arc::new(service));
        if role == 0 {
            self.before.active = before.filter(|_| self.remembers_before());
        }
    }

    // === the operator ===

    fn operator_of(&mut self, who: Who) -> &mut Operator {
        match (who, &mut self.rival) {
            (Who::Rival, Some(rival)) => rival,
            _ => &mut self.operator,
        }
    }

    fn operate(&mut self, who: Who, stale: Option<Thing>) -> Result<(), Broken> {
        let held = self.operator_of(who).pass.take();
        let Some(held) = held else { return self.look(who, Pass::new(decide), stale) };
        let mut held = Arc::unwrap_or_clone(held);
        let term = self.operator_of(who).term;
        match std::mem::replace(&mut held.step, Step::Look) {
            Step::Look => return self.look(who, held.pass, stale),
            Step::Record(status) => {
                if let Some(seen) = held.pass.seen() {
                    self.record(who, term, held.version, seen, &status)?;
                }
            }
            Step::Perform(effect) => {
                if let Some(seen) = held.pass.seen() {
                    self.perform(who, term, seen, &effect)?;
                }
            }
            Step::End(_) => {}
        }
        held.step = held.pass.done();
        held.answered += 1;
        if who == Who::Rival && !self.setup.rival_goes_on {
            // It finds out that it leads no more before its next request.
            self.rival = None;
            return Ok(());
        }
        self.operator_of(who).pass = Some(Arc::new(held));
        Ok(())
    }

    fn look(&mut self, who: Who, mut pass: Pass, stale: Option<Thing>) -> Result<(), Broken> {
        let operator = self.operator_of(who).clone();
        let mut seen = Box::new(self.seen(&operator, stale));
        for color in COLORS {
            let folded = progress::fold(operator.progress[index(color)].as_ref(), seen.color(color), at(self.now));
            self.operator_of(who).progress[index(color)].clone_from(&folded);
            match color {
                Color::Blue => seen.blue.progress = folded,
                Color::Green => seen.green.progress = folded,
            }
        }
        let rollout = self.rollout_as_seen(stale);
        let version = rollout.version;
        if let Some(thing) = stale {
            self.note(|| format!("the operator looks, and sees {thing:?} as it was before"));
        }
        if who == Who::Leader {
            self.before.caught_up(stale);
        }
        let step = pass.saw(seen);
        let measures = self.setup.measures;
        if let Step::End(end) = step {
            let mut due = vec![];
            let mut until = None;
            if let (End::Wait { until: wait, why }, Some(seen)) = (&end, pass.seen()) {
                promises::wait(seen, *wait, why)?;
                until = wait.map(second);
                if measures {
                    due = measure::wanted(seen).into_iter().map(due_of).collect();
                }
                self.note(|| format!("operator {}: waits ({why})", operator.term));
            } else {
                self.note(|| format!("operator {}: ends its pass ({end:?})", operator.term));
            }
            let operator = self.operator_of(who);
            (operator.until, operator.due) = (until, due);
            return Ok(());
        }
        self.note(|| format!("operator {}: looks, and is about to {}", operator.term, intends(&step)));
        self.operator_of(who).pass = Some(Arc::new(Reconcile { pass, step, version, answered: 0 }));
        Ok(())
    }

    fn record(&mut self, who: Who, term: i64, version: u64, seen: &Observed, next: &BlueGreenRolloutStatus) -> Result<(), Broken> {
        if version != self.rollout.version {
            self.note(|| format!("operator {term}: record refused, the rollout was changed meanwhile"));
            self.before.rollout = None;
            return Ok(());
        }
        let phase = |status: &BlueGreenRolloutStatus| status.phase.map_or("nothing".to_owned(), |phase| phase.to_string());
        let (old, new) = (phase(&self.rollout.status), phase(next));
        self.note(|| format!("operator {term}: records {old} → {new}: {}", next.message));
        promises::record(self, seen, next)?;
        self.notes.protected |= next.phase == Some(Phase::Healthy);
        let nothing_serves = self.deployments == [None, None] || !self.pods.iter().any(|pod| pod.ready);
        if next.phase == Some(Phase::Initializing) && self.rollout.status.phase.is_none() && nothing_serves {
            // Nothing is left of what was live: it begins anew.
            self.notes.protected = false;
        }
        if self.rollout.status != *next {
            self.write_rollout(term, |rollout| rollout.status = next.clone());
        }
        self.operator_of(who).results.retain(|result| !seen.results.contains(result));
        Ok(())
    }

    fn perform(&mut self, who: Who, term: i64, seen: &Observed, effect: &Effect) -> Result<(), Broken> {
        if !self.guard_holds(effect) {
            self.note(|| format!("operator {term}: {} refused, the object isn't the one that was seen", told_of(&effect.change)));
            return Ok(());
        }
        self.note(|| format!("operator {term}: {} ({})", told_of(&effect.change), effect.why));
        promises::effect(self, seen, effect)?;
        match &effect.change {
            Change::WriteRevision { hash, number } => {
                let object = render::controller_revision(seen, hash, *number);
                self.store_revision(hash, *number, &object);
            }
            Change::RestoreRevision { hash, number, .. } => {
                let object = render::restored_revision(seen, hash, *number, &json!({}));
                self.store_revision(hash, *number, &object);
            }
            Change::DeleteRevision { hash } => Arc::make_mut(&mut self.revisions).retain(|revision| revision.hash != *hash),
            Change::AdoptRevision { .. } => {}
            Change::ApplyDeployment { color, revision, replicas } => {
                if self.revisions.iter().any(|stored| stored.hash == *revision) {
                    self.deploy(who, term, index(*color), Some(revision), *replicas);
                }
            }
            Change::Scale { color, replicas } => self.deploy(who, term, index(*color), None, *replicas),
            Change::ApplyService { role, target } => self.serve(term, seen, *role, target),
            Change::Fence { object, epoch } => self.fence(term, object, epoch),
        }
        Ok(())
    }

    fn guard_holds(&self, effect: &Effect) -> bool {
        let version = self.version_of(&effect.object());
        match &effect.guard {
            Guard::Absent => version.is_none(),
            Guard::ResourceVersion(wanted) => version.is_some_and(|version| version.to_string() == *wanted),
            Guard::None => true,
        }
    }

    pub fn version_of(&self, object: &Object) -> Option<u64> {
        match object {
            Object::Deployment(color) => self.deployments[index(*color)].as_ref().map(|deployment| deployment.version),
            Object::Service(role) => self.services[usize::from(*role == Role::Preview)].as_ref().map(|service| service.version),
            Object::Revision(_) => None,
        }
    }

    fn store_revision(&mut self, hash: &str, number: i64, object: &serde_json::Value) {
        if self.revisions.iter().any(|revision| revision.hash == hash) {
            return;
        }
        let annotation = |key: &str| object["metadata"]["annotations"][key].as_str().unwrap_or_default().to_owned();
        Arc::make_mut(&mut self.revisions).push(RevisionSeen {
            hash: hash.to_owned(),
            number,
            digest: annotation("bluegreen.dev/digest"),
            image: annotation("bluegreen.dev/image"),
            ports: serde_json::from_str(&annotation("bluegreen.dev/ports")).unwrap(),
            owner: Owner::Us,
        });
    }

    fn deploy(&mut self, who: Who, term: i64, color: usize, revision: Option<&str>, replicas: i32) {
        let old = self.deployments[color].clone();
        let fresh = || Deployment {
            uid: self.version + 1,
            version: 0,
            by: 0,
            generation: 0,
            revision: "".into(),
            edited: false,
            labels_intact: true,
            replicas: -1,
            epoch: "".into(),
            told: Told::default(),
        };
        let mut deployment = old.as_deref().cloned().unwrap_or_else(fresh);
        if let Some(revision) = revision {
            // One that stays keeps its place in memory.
            if *revision != *deployment.revision {
                deployment.revision = revision.into();
            }
            (deployment.edited, deployment.labels_intact) = (false, true);
        }
        deployment.replicas = replicas;
        // A write that changes nothing leaves version and generation, as the API server does; labels have no generation.
        if old.as_deref() != Some(&deployment) {
            let spec = |of: &Deployment| (of.revision.clone(), of.edited, of.replicas);
            deployment.generation += i64::from(old.as_deref().map(spec) != Some(spec(&deployment)));
            (deployment.version, deployment.by) = (self.next_version(), term);
            self.put_deployment(color, deployment.clone());
        }
        self.operator_of(who).applied[color] = Some((deployment.uid, deployment.generation));
    }

    fn serve(&mut self, term: i64, seen: &Observed, role: Role, target: &Target) {
        let slot = usize::from(role == Role::Preview);
        let old = self.services[slot].clone();
        let object = render::service(seen, role, target);
        let former = object["metadata"]["annotations"]["bluegreen.dev/former-revision"].as_str().map(Text::from);
        let fresh = || Service { version: 0, by: 0, selects: None, led_by_hand: false, ports_intact: true, epoch: "".into(), former: None };
        let mut service = old.as_deref().cloned().unwrap_or_else(fresh);
        (service.selects, service.former) = (Some((target.color, target.revision.as_str().into())), former);
        (service.led_by_hand, service.ports_intact) = (false, true);
        if old.as_deref() != Some(&service) {
            (service.version, service.by) = (self.next_version(), term);
            self.put_service(slot, service);
        }
    }

    fn fence(&mut self, term: i64, object: &Object, epoch: &str) {
        let version = self.next_version();
        match object {
            Object::Service(role) => {
                let slot = usize::from(*role == Role::Preview);
                if let Some(service) = self.services[slot].clone() {
                    self.put_service(slot, Service { version, by: term, epoch: epoch.into(), ..(*service).clone() });
                }
            }
            Object::Deployment(color) => {
                if let Some(deployment) = self.deployments[index(*color)].clone() {
                    // The API server counts annotations of a Deployment as a change of it.
                    let generation = deployment.generation + 1;
                    let fenced = Deployment { version, by: term, epoch: epoch.into(), generation, ..(*deployment).clone() };
                    self.put_deployment(index(*color), fenced);
                }
            }
            Object::Revision(_) => {}
        }
    }

    // === what is seen ===

    fn rollout_as_seen(&self, stale: Option<Thing>) -> Arc<Rollout> {
        let before = self.before.rollout.as_ref().filter(|_| stale == Some(Thing::Rollout));
        before.unwrap_or(&self.rollout).clone()
    }

    pub fn spec(&self, rollout: &Rollout) -> BlueGreenRolloutSpec {
        let mut spec = self.setup.specs[rollout.settings].clone();
        spec.image = Some(self.setup.images[rollout.image].into());
        (spec.replicas, spec.paused) = (rollout.replicas, rollout.paused);
        spec
    }

    pub fn seen(&self, operator: &Operator, stale: Option<Thing>) -> Observed {
        let rollout = self.rollout_as_seen(stale);
        let active = self.before.active.as_ref().filter(|_| stale == Some(Thing::ActiveService)).or(self.services[0].as_ref());
        let endpoints = self.before.endpoints.as_ref().filter(|_| stale == Some(Thing::Endpoints)).unwrap_or(&self.endpoints);
        Observed {
            now: at(self.now),
            namespace: "web".into(),
            name: "shop".into(),
            uid: "uid".into(),
            generation: rollout.generation,
            deleting: rollout.deleting,
            annotations: rollout.orders.clone(),
            by: "kubectl".into(),
            spec: self.spec(&rollout),
            status: rollout.status.clone(),
            blue: self.color_seen(Color::Blue, operator, stale),
            green: self.color_seen(Color::Green, operator, stale),
            active_service: self.service_seen(Role::Active, active),
            preview_service: self.service_seen(Role::Preview, self.services[1].as_ref()),
            endpoints: EndpointsSeen {
                pods: endpoints.iter().map(|name| EndpointSeen { pod: format!("shop-{name}"), ready: true }).collect(),
                changed: None,
            },
            revisions: self.revisions.as_ref().clone(),
            results: operator.results.clone(),
            refusals: vec![],
            term: operator.term,
            absence: operator.absence,
            blind: None,
            default_prometheus: Some("http://prometheus:9090".into()),
            templates: TemplatesSeen::default(),
        }
    }

    fn color_seen(&self, color: Color, operator: &Operator, stale: Option<Thing>) -> ColorSeen {
        let pods = self.before.pods.as_ref().filter(|_| stale == Some(Thing::Pods)).unwrap_or(&self.pods);
        let pods = pods.iter().filter(|pod| pod.color == color).map(pod_seen).collect();
        let color = index(color);
        let before = self.before.deployments[color].as_ref().filter(|_| stale == Some(Thing::Deployment(color)));
        let Some(deployment) = before.or(self.deployments[color].as_ref()) else { return ColorSeen { pods, ..Default::default() } };
        let applied = operator.applied[color].filter(|(uid, _)| *uid == deployment.uid).map(|(_, generation)| generation);
        let told = deployment.told;
        let deployment = DeploymentSeen {
            uid: deployment.uid.to_string(),
            resource_version: deployment.version.to_string(),
            generation: deployment.generation,
            owner: Owner::Us,
            deleting: false,
            labels_intact: deployment.labels_intact,
            revision: deployment.revision.to_string(),
            epoch: deployment.epoch.to_string(),
            applied_generation: applied,
            replicas: deployment.replicas,
            min_ready_seconds: 0,
            observed_generation: told.observed,
            total: told.total,
            updated: told.updated,
            ready: told.ready,
            available: told.ready,
            replica_failure: None,
        };
        ColorSeen { deployment: ObjectSeen::There(deployment), pods, progress: None }
    }

    fn service_seen(&self, role: Role, service: Option<&Arc<Service>>) -> ObjectSeen<ServiceSeen> {
        let Some(service) = service else { return ObjectSeen::Absent };
        let target = |(color, revision): &(Color, Text)| Target { color: *color, revision: revision.to_string(), ports: vec![] };
        let mut ports = render::service_ports(role, &self.setup.specs[0].service.ports);
        if !service.ports_intact {
            ports.iter_mut().for_each(|port| port.port += 1);
        }
        ObjectSeen::There(ServiceSeen {
            resource_version: service.version.to_string(),
            owner: Owner::Us,
            deleting: false,
            labels_intact: true,
            settings_intact: true,
            epoch: service.epoch.to_string(),
            selector: service.selects.as_ref().map(|selects| render::selector("shop", &target(selects))).unwrap_or_default(),
            ports,
            former: service.former.as_ref().map(|former| former.to_string()),
        })
    }
}

enum PodWork {
    Make,
    Remove(u32),
}

fn due_of(wanted: measure::Wanted) -> Due {
    let check = matches!(wanted.what, What::Http { .. } | What::Url { .. } | What::Webhook { .. });
    let measure::Wanted { gate, definition, attempt, revision, due, .. } = wanted;
    Due { gate, definition, attempt, revision, at: second(due), check }
}

fn pod_seen(pod: &Pod) -> PodSeen {
    PodSeen {
        name: format!("shop-{}", pod.name),
        revision: pod.revision.to_string(),
        ip: Some("192.0.2.1".into()),
        ports: BTreeMap::from([("http".to_owned(), 8080)]),
        ready: pod.ready,
        deleting: false,
        created: at(pod.created),
        ready_changed: pod.ready_changed.map(at),
        restarts: 0,
        trouble: None,
    }
}

fn intends(step: &Step) -> String {
    match step {
        Step::Record(status) => format!("record {:?}", status.phase),
        Step::Perform(effect) => format!("have {}", told_of(&effect.change)),
        Step::Look | Step::End(_) => "look again".into(),
    }
}

fn told_of(change: &Change) -> String {
    match change {
        Change::WriteRevision { number, .. } => format!("ControllerRevision {number} written"),
        Change::RestoreRevision { number, .. } => format!("ControllerRevision {number} written again"),
        Change::DeleteRevision { .. } => "ControllerRevision deleted".into(),
        Change::AdoptRevision { .. } => "ControllerRevision adopted".into(),
        Change::ApplyDeployment { color, revision, replicas } => format!("Deployment {color} applied, revision {revision} × {replicas}"),
        Change::Scale { color, replicas } => format!("Deployment {color} scaled to {replicas}"),
        Change::ApplyService { role, target } => format!("{} Service → {} {}", role.as_str(), target.color, target.revision),
        Change::Fence { object, epoch } => format!("{object:?} fenced with {epoch}"),
    }
}
