//! What is written, each time before the eyes of the witness.

use super::{Deployment, Pod, Service, World};
use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    Effect, Observed,
    decision::{Change, Extent, Guard, Manner, Object, Role, Target},
    observed::{Owner, Refusal, RevisionSeen, deployments, facts, labels, services},
    render,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

impl World {
    pub(super) fn image_of(&self, revision: &str) -> String {
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
            Change::WriteDeployment { color, revision, replicas, .. } => {
                format!("Deployment {color} {} ×{replicas}", self.image_of(revision))
            }
            Change::Scale { color, replicas } => format!("Deployment {color} to {replicas}"),
            Change::LeadService { role, target, .. } => format!("{} Service → {} {}", role.as_str(), target.color, self.reached_by(target)),
            Change::SettleDeployment { color } => format!("settings of Deployment {color}"),
            Change::SettleService { role, .. } => format!("settings of the {} Service", role.as_str()),
            Change::ReleaseService { role } => format!("{} Service, released", role.as_str()),
            Change::Fence { object, .. } => format!("{}, fenced", in_words(object)),
        }
    }

    pub fn perform_as_seen(&mut self, effect: &Effect, seen: &Observed) {
        if let Some((object, code, message)) = self.refuse.clone()
            && object == effect.object()
            && !(self.spare)(effect)
        {
            let before = self.refusals.iter().find(|refusal| refusal.is_of(effect));
            let times = before.map_or(0, |refusal| refusal.times) + 1;
            let denied_since = before.and_then(|before| before.denied_since).or(Some(self.now)).filter(|_| Refusal::denies(code));
            self.refusals.retain(|refusal| !refusal.is_of(effect));
            self.note(&format!("refuse {}: {message}", in_words(&effect.object())));
            let (part, at, generation) = (effect.part(), self.now, self.generation);
            self.refusals.push(Refusal { object, part, code, message, at, times, denied_since, generation });
            return;
        }
        self.refusals.retain(|refusal| !refusal.is_of(effect));
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
            Change::WriteDeployment { color, revision, replicas, manner } => {
                assert!(self.revisions.contains_key(revision), "applied from no ControllerRevision\n{}", self.story());
                let how = if *manner == Manner::Apply { "apply" } else { "write" };
                self.note(&format!("{how}  Deployment {color} {} ×{replicas} ({})", self.image_of(revision), effect.why));
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
                    arrival: String::new(),
                    labels_intact: true,
                    written: String::new(),
                    owner: Owner::Us,
                });
                let before = deployment.clone();
                if let Manner::Arrival(marker) = manner {
                    deployment.arrival.clone_from(marker);
                }
                let as_before = (&deployment.revision, deployment.replicas, &deployment.arrival) == (revision, *replicas, &before.arrival);
                if !as_before || !deployment.labels_intact {
                    deployment.generation += 1;
                }
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
                if !facts::drifted(seen, *color) {
                    self.applied.insert(*color, deployment.generation);
                }
            }
            Change::LeadService { role, target, extent } => {
                self.note(&format!("lead   {} Service → {} {} ({})", role.as_str(), target.color, self.reached_by(target), effect.why));
                if *role == Role::Active {
                    self.witness_switch(target);
                }
                let object = render::service(seen, *role, target, *extent);
                let former = object["metadata"]["annotations"]["bluegreen.dev/former-revision"].as_str().map(str::to_owned);
                let old = self.services.get(role.as_str());
                let mut service = Service {
                    resource_version: old.map_or(version, |old| old.resource_version),
                    selector: labels::selector("shop", target),
                    ports: services::ports_to_write(seen, *role, seen.service(*role), target, *extent),
                    epoch: old.map(|service| service.epoch.clone()).unwrap_or_default(),
                    owner: old.map_or(Owner::Us, |old| old.owner.clone()),
                    former,
                    settled: old.map_or(*extent != Extent::Bare, |old| old.settled),
                };
                // A write that changes nothing leaves the version, as the API server does.
                if old.is_some_and(|old| *old != service) {
                    service.resource_version = version;
                }
                self.services.insert(role.as_str(), service);
            }
            Change::SettleDeployment { color } => {
                self.note(&format!("settle Deployment {color} ({})", effect.why));
                let asked = deployments::asked_names(&deployments::deployment_object(seen)).written().unwrap_or_default();
                let deployment = self.deployments.get_mut(color).unwrap();
                (deployment.written, deployment.resource_version) = (asked, version);
            }
            Change::SettleService { role, marks_only } => {
                self.note(&format!("settle {} Service ({})", role.as_str(), effect.why));
                let service = self.services.get_mut(role.as_str()).unwrap();
                service.settled |= !marks_only;
                (service.owner, service.resource_version) = (Owner::Us, version);
            }
            Change::ReleaseService { .. } => {}
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

    /// Promise 1: the active Service never goes to a side without ready pods that have its port, and only a recorded switch moves it.
    fn witness_switch(&self, target: &Target) {
        if !self.protected {
            return;
        }
        let named = target.ports.iter().any(|port| matches!(port.target_port, Some(IntOrString::String(_))));
        let serves = |pod: &&Pod| pod.color == target.color && pod.revision == target.revision && pod.ready && !(named && pod.is_renamed());
        let ready = self.pods.iter().filter(serves).count();
        let was = self.services.get("active").and_then(|service| service.selector.get("bluegreen.dev/color").cloned());
        let moves = was.is_some_and(|was| was != target.color.as_str());
        if moves {
            let switching = self.promotes() || self.status.phase == Some(Phase::RollingBack);
            let repairs =
                self.status.active.as_ref().is_some_and(|active| active.color == target.color && active.revision == target.revision);
            assert!(switching || repairs, "switched in {:?}\n{}", self.status.phase, self.story());
            assert!(ready > 0 || !switching, "switched to a side without ready pods\n{}", self.story());
        }
        if moves && self.promotes() && Some(target.color) == self.status.preview.as_ref().map(|side| side.color) {
            let deployment = &self.deployments[&target.color];
            assert!(
                deployment.revision == target.revision && deployment.replicas >= self.spec.replicas,
                "promoted a side that is not full\n{}",
                self.story()
            );
        }
    }

    /// The switch to the candidate is recorded, before or after its pods were there.
    fn promotes(&self) -> bool {
        self.status.phase == Some(Phase::Promoting) || (self.status.armed && self.status.phase == Some(Phase::DeployingPreview))
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
}

fn in_words(object: &Object) -> String {
    match object {
        Object::Deployment(color) => format!("Deployment {color}"),
        Object::Service(role) => format!("{} Service", role.as_str()),
        Object::Revision(hash) => format!("ControllerRevision {hash}"),
    }
}
