//! The cluster: its controllers, its pods, and what is seen of them.

use super::{Pod, World, ask};
use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    Observed,
    asked::Asked,
    decision::Role,
    observed::{
        ColorSeen, DeploymentSeen, EndpointSeen, EndpointsSeen, Identity, PodSeen, PodTrouble, PodWait, ServiceSeen,
        deployments::asked_names, ports::NamedPort, services::Names,
    },
};
use std::sync::Arc;

impl World {
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
                self.pods.push(Pod {
                    name,
                    color,
                    revision,
                    image,
                    created: self.now,
                    ready: false,
                    ready_changed: None,
                    restarts: 0,
                    pending: false,
                });
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
    pub(super) fn pods_live(&mut self) {
        for (place, pod) in self.pods.iter_mut().enumerate() {
            pod.pending = !pod.ready && place >= self.room;
            let age = self.now.as_second() - pod.created.as_second();
            let ready = match pod.image.rsplit('-').next() {
                Some("unready" | "missing" | "crash" | "migrates" | "mounts") => false,
                _ if pod.pending => false,
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

    pub fn seen(&self) -> Observed {
        let rollout = Identity { namespace: "web".into(), name: "shop".into(), uid: "uid".into(), generation: self.generation };
        Observed {
            annotations: self.annotations.clone(),
            by: "kubectl".into(),
            blue: self.color_followed(Color::Blue),
            green: self.color_followed(Color::Green),
            services: Role::ALL.into_iter().filter_map(|role| Some((role, self.service_seen(role.as_str())?))).collect(),
            endpoints: EndpointsSeen {
                pods: self.endpoints.iter().map(|pod| EndpointSeen { pod: pod.clone(), ready: true }).collect(),
                changed: Some(self.now),
            },
            revisions: self.revisions.values().cloned().collect(),
            results: self.results.clone(),
            refusals: self.refusals.clone(),
            term: self.term,
            absence: self.absence,
            late: self.late.clone(),
            unread: self.unread.clone(),
            ..Observed::nothing_but(rollout, self.asked(), self.status.clone(), self.now)
        }
    }

    /// Worked out anew only when something about it has changed.
    fn asked(&self) -> Arc<Asked> {
        let known = self.asked.borrow().as_ref().filter(|known| known.spec == self.spec && known.templates == self.gate_templates).cloned();
        known.unwrap_or_else(|| {
            let asked = ask(self.spec.clone(), self.gate_templates.clone());
            *self.asked.borrow_mut() = Some(asked.clone());
            asked
        })
    }

    /// With what the operator remembers of it.
    fn color_followed(&self, color: Color) -> ColorSeen {
        let (progress, told) = (self.progress.get(&color).cloned(), self.told.get(&color).cloned());
        ColorSeen { progress, told, ..self.color_seen(color) }
    }

    pub(super) fn color_seen(&self, color: Color) -> ColorSeen {
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
            settings_intact: Names::read(&deployment.written) == self.deployment_names(),
            written: deployment.written.clone(),
            revision: deployment.revision.clone(),
            epoch: deployment.epoch.clone(),
            arrival: deployment.arrival.clone(),
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
        ColorSeen { deployment: Some(deployment), pods, progress: None, told: None }
    }

    fn deployment_names(&self) -> Names {
        asked_names(&self.spec.deployment.clone().unwrap_or_default())
    }

    fn service_seen(&self, role: &str) -> Option<ServiceSeen> {
        let service = self.services.get(role)?;
        Some(ServiceSeen {
            resource_version: service.resource_version.to_string(),
            owner: service.owner.clone(),
            deleting: false,
            labels_intact: true,
            settings_intact: service.settled,
            written: String::new(),
            other_owners: vec![],
            leftovers: false,
            epoch: service.epoch.clone(),
            selector: service.selector.clone(),
            ports: service.ports.clone(),
            former: service.former.clone(),
        })
    }
}

impl Pod {
    /// A container names its port otherwise than the Service does.
    pub fn is_renamed(&self) -> bool {
        self.image.contains("-renamed")
    }
}

fn pod_seen(pod: &Pod) -> PodSeen {
    let trouble =
        |reason: &str, message: &str| Some(PodTrouble { reason: reason.into(), message: message.into(), container: Some("shop".into()) });
    let trouble = match pod.image.rsplit('-').next() {
        Some("missing") => trouble("ImagePullBackOff", "Back-off pulling image"),
        Some("crash") if pod.restarts > 0 => trouble("CrashLoopBackOff", "back-off restarting failed container"),
        _ if pod.pending => Some(PodTrouble { reason: "Unschedulable".into(), message: "no node has room".into(), container: None }),
        _ => None,
    };
    let container = || "shop".to_owned();
    let waits = match pod.image.rsplit('-').next() {
        _ if pod.ready || trouble.is_some() => None,
        Some("migrates") => Some(PodWait::Init { container: "migrate".into() }),
        Some("mounts") => Some(PodWait::Start { container: container() }),
        _ => Some(PodWait::Ready { container: container() }),
    };
    PodSeen {
        name: pod.name.clone(),
        revision: pod.revision.clone(),
        ip: Some("192.0.2.1".into()),
        ports: vec![NamedPort::tcp(if pod.is_renamed() { "web" } else { "http" }, 8080)],
        ready: pod.ready,
        deleting: false,
        created: pod.created,
        ready_changed: pod.ready_changed,
        restarts: pod.restarts,
        trouble,
        waits,
    }
}
