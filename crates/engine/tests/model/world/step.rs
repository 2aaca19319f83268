//! One step: what people, faults and measurements do.

use super::{Action, Answer, COLORS, Child, Deployment, Due, Edit, Evidence, Operator, ROLES, Rollout, Service, Who, World, at};
use bluegreen_api::BlueGreenRolloutStatus;
use bluegreen_engine::observed::Absence;
use bluegreen_gates::reading::{CheckOutcome, Measurement, Outcome, Reading};
use bluegreen_witness::promises::Broken;
use std::sync::Arc;

impl World {
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

    pub(super) fn remembers_before(&self) -> bool {
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
    pub(super) fn collect(&mut self, child: Child) {
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

    pub(super) fn write_rollout(&mut self, by: i64, change: impl FnOnce(&mut Rollout)) {
        let version = self.next_version();
        let mut rollout = (*self.rollout).clone();
        change(&mut rollout);
        (rollout.version, rollout.by) = (version, by);
        let before = std::mem::replace(&mut self.rollout, Arc::new(rollout));
        self.before.rollout = self.remembers_before().then_some(before);
    }

    pub(super) fn next_version(&mut self) -> u64 {
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
        self.operator.results.push(Measurement { gate, definition, attempt, revision, at: at(self.now), asked: vec![], outcome });
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
}
