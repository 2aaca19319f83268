//! The operator: its loop, its records and its writes.

use super::{COLORS, Deployment, Due, Operator, Reconcile, Service, Text, Thing, Told, Who, World, at, index, second};
use crate::promises;
use bluegreen_api::{BlueGreenRolloutStatus, Color, Phase};
use bluegreen_engine::{
    Effect, Observed, Pass, decide,
    decision::{Change, Extent, Guard, Manner, Object, Role, Target},
    measure,
    observed::{Owner, RevisionSeen, progress},
    pass::{End, Step},
    render,
};
use bluegreen_gates::ask::{Ask, What};
use bluegreen_witness::promises::Broken;
use serde_json::json;
use std::sync::Arc;

impl World {
    fn operator_of(&mut self, who: Who) -> &mut Operator {
        match (who, &mut self.rival) {
            (Who::Rival, Some(rival)) => rival,
            _ => &mut self.operator,
        }
    }

    pub(super) fn operate(&mut self, who: Who, stale: Option<Thing>) -> Result<(), Broken> {
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
            Change::WriteDeployment { color, revision, replicas, manner } => {
                if self.revisions.iter().any(|stored| stored.hash == *revision) {
                    self.deploy(who, term, index(*color), Some((revision, manner)), *replicas);
                }
            }
            Change::Scale { color, replicas } => self.deploy(who, term, index(*color), None, *replicas),
            Change::LeadService { role, target, extent } => self.serve(term, seen, *role, (target, *extent)),
            // Its settings are as they are asked for, always.
            Change::SettleDeployment { .. } | Change::SettleService { .. } | Change::ReleaseService { .. } => {}
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

    fn deploy(&mut self, who: Who, term: i64, color: usize, written: Option<(&str, &Manner)>, replicas: i32) {
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
            arrival: "".into(),
            told: Told::default(),
        };
        let mut deployment = old.as_deref().cloned().unwrap_or_else(fresh);
        if let Some((revision, manner)) = written {
            if let Manner::Arrival(marker) = manner
                && *marker != *deployment.arrival
            {
                deployment.arrival = marker.as_str().into();
            }
            // One that stays keeps its place in memory.
            if *revision != *deployment.revision {
                deployment.revision = revision.into();
            }
            (deployment.edited, deployment.labels_intact) = (false, true);
        }
        deployment.replicas = replicas;
        // A write that changes nothing leaves version and generation, as the API server does; labels have no generation.
        if old.as_deref() != Some(&deployment) {
            let spec = |of: &Deployment| (of.revision.clone(), of.edited, of.replicas, of.arrival.clone());
            deployment.generation += i64::from(old.as_deref().map(spec) != Some(spec(&deployment)));
            (deployment.version, deployment.by) = (self.next_version(), term);
            self.put_deployment(color, deployment.clone());
        }
        self.operator_of(who).applied[color] = Some((deployment.uid, deployment.generation));
    }

    fn serve(&mut self, term: i64, seen: &Observed, role: Role, (target, extent): (&Target, Extent)) {
        let slot = usize::from(role == Role::Preview);
        let old = self.services[slot].clone();
        let object = render::service(seen, role, target, extent);
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
}

fn due_of(wanted: Ask) -> Due {
    let check = matches!(wanted.what, What::Http { .. } | What::Url { .. } | What::Webhook { .. });
    let Ask { gate, definition, attempt, revision, due, .. } = wanted;
    Due { gate, definition, attempt, revision, at: second(due), check }
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
        Change::WriteDeployment { color, revision, replicas, .. } => {
            format!("Deployment {color} written, revision {revision} × {replicas}")
        }
        Change::Scale { color, replicas } => format!("Deployment {color} scaled to {replicas}"),
        Change::LeadService { role, target, .. } => format!("{} Service → {} {}", role.as_str(), target.color, target.revision),
        Change::SettleDeployment { color } => format!("settings of Deployment {color}"),
        Change::SettleService { role, .. } => format!("settings of the {} Service", role.as_str()),
        Change::ReleaseService { role } => format!("{} Service released", role.as_str()),
        Change::Fence { object, epoch } => format!("{object:?} fenced with {epoch}"),
    }
}
