//! What can happen next.

use super::{Action, Answer, Child, Edit, Operator, Pod, Service, Text, Thing, Who, World, index};
use bluegreen_api::Color;
use bluegreen_engine::pass::Step;

impl World {
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
    pub(super) fn other_side(&self, service: &Service) -> Option<(Color, Text)> {
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
}
