//! What an operator sees, now or as it was before.

use super::{Operator, Pod, Rollout, Service, Text, Thing, World, at, index};
use bluegreen_api::Color;
use bluegreen_engine::{
    Observed,
    decision::{Role, Target},
    observed::{
        ColorSeen, DeploymentSeen, EndpointSeen, EndpointsSeen, Identity, Owner, PodSeen, ServiceSeen, labels, ports::NamedPort, services,
    },
};
use std::sync::Arc;

impl World {
    pub(super) fn rollout_as_seen(&self, stale: Option<Thing>) -> Arc<Rollout> {
        let before = self.before.rollout.as_ref().filter(|_| stale == Some(Thing::Rollout));
        before.unwrap_or(&self.rollout).clone()
    }

    pub fn seen(&self, operator: &Operator, stale: Option<Thing>) -> Observed {
        let rollout = self.rollout_as_seen(stale);
        let active = self.before.active.as_ref().filter(|_| stale == Some(Thing::ActiveService)).or(self.services[0].as_ref());
        let endpoints = self.before.endpoints.as_ref().filter(|_| stale == Some(Thing::Endpoints)).unwrap_or(&self.endpoints);
        let identity = Identity { namespace: "web".into(), name: "shop".into(), uid: "uid".into(), generation: rollout.generation };
        let asked = self.setup.asked((rollout.settings, rollout.image, rollout.replicas, rollout.paused));
        let services = [(Role::Active, active), (Role::Preview, self.services[1].as_ref())];
        Observed {
            deleting: rollout.deleting,
            annotations: rollout.orders.clone(),
            by: "kubectl".into(),
            blue: self.color_seen(Color::Blue, operator, stale),
            green: self.color_seen(Color::Green, operator, stale),
            services: services.into_iter().filter_map(|(role, service)| Some((role, self.service_seen(role, service?)))).collect(),
            endpoints: EndpointsSeen {
                pods: endpoints.iter().map(|name| EndpointSeen { pod: format!("shop-{name}"), ready: true }).collect(),
                changed: None,
            },
            revisions: self.revisions.as_ref().clone(),
            results: operator.results.clone(),
            term: operator.term,
            absence: operator.absence,
            ..Observed::nothing_but(identity, asked, rollout.status.clone(), at(self.now))
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
            settings_intact: true,
            written: String::new(),
            revision: deployment.revision.to_string(),
            epoch: deployment.epoch.to_string(),
            arrival: deployment.arrival.to_string(),
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
        ColorSeen { deployment: Some(deployment), pods, progress: None, told: None }
    }

    fn service_seen(&self, role: Role, service: &Arc<Service>) -> ServiceSeen {
        let target = |(color, revision): &(Color, Text)| Target { color: *color, revision: revision.to_string(), ports: vec![] };
        let mut ports = services::service_ports(role, &self.setup.specs[0].service.ports);
        if !service.ports_intact {
            ports.iter_mut().for_each(|port| port.port += 1);
        }
        ServiceSeen {
            resource_version: service.version.to_string(),
            owner: Owner::Us,
            deleting: false,
            labels_intact: true,
            settings_intact: true,
            written: String::new(),
            other_owners: vec![],
            leftovers: false,
            epoch: service.epoch.to_string(),
            selector: service.selects.as_ref().map(|selects| labels::selector("shop", &target(selects))).unwrap_or_default(),
            ports,
            former: service.former.as_ref().map(|former| former.to_string()),
        }
    }
}

fn pod_seen(pod: &Pod) -> PodSeen {
    PodSeen {
        name: format!("shop-{}", pod.name),
        revision: pod.revision.to_string(),
        ip: Some("192.0.2.1".into()),
        ports: vec![NamedPort::tcp("http", 8080)],
        ready: pod.ready,
        deleting: false,
        created: at(pod.created),
        ready_changed: pod.ready_changed.map(at),
        restarts: 0,
        trouble: None,
        waits: None,
    }
}
