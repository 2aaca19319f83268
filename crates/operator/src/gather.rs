//! Puts together all that a decision may depend on: caches, memory and the time.

use crate::{
    asking::Terms,
    cache::Cache,
    clock,
    intern::Text,
    key::Key,
    kinds::{Deployment, EndpointSlice, Pod, Revision, Rollout, Seen, Service},
    memory::Memory,
};
use bluegreen_api::{Color, Protocol, names};
use bluegreen_engine::{
    Observed,
    decision::Role,
    observed::{
        Absence, ColorSeen, DeploymentSeen, EndpointSeen, EndpointsSeen, Identity, PodSeen, RevisionSeen, ServiceSeen, Unread, deployments,
        labels, ports::NamedPort, services,
    },
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;

/// Input of a reconcile besides the objects.
#[derive(Clone, Copy, Debug)]
pub struct Leading {
    pub term: i64,
    pub absence: Option<Absence>,
}

pub struct Gatherer {
    pub cache: Arc<Cache>,
    pub memory: Arc<Memory>,
}

impl Gatherer {
    pub fn observe(&self, key: &Key, rollout: &Seen<Rollout>, terms: &Terms, leading: Leading) -> Observed {
        let now = to_the_millisecond(clock::now());
        let mut seen = self.rollout(key, rollout, terms, leading, now);
        seen.unread = self.unread(key, &seen);
        seen.blue = self.color(key, &seen, Color::Blue);
        seen.green = self.color(key, &seen, Color::Green);
        seen.services = Role::ALL.into_iter().filter_map(|role| Some((role, self.service(key, &seen, role)?))).collect();
        seen.endpoints = self.endpoints(key, &services::service_name(&seen, Role::Active));
        seen.revisions = self.revisions(key, &seen);
        self.memory.of(key, &seen.uid.clone(), |remembered| {
            seen.blue.progress = remembered.fold(Color::Blue, &seen.blue, now);
            seen.green.progress = remembered.fold(Color::Green, &seen.green, now);
            seen.blue.told = remembered.events_read(Color::Blue).cloned();
            seen.green.told = remembered.events_read(Color::Green).cloned();
            seen.refusals.clone_from(&remembered.refusals);
            seen.results.clone_from(&remembered.results);
        });
        seen
    }

    fn rollout(&self, key: &Key, rollout: &Seen<Rollout>, terms: &Terms, leading: Leading, now: Timestamp) -> Observed {
        let identity = Identity {
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            uid: rollout.head.uid.to_string(),
            generation: rollout.body.generation,
        };
        Observed {
            deleting: rollout.body.deleting,
            annotations: rollout.body.annotations.to_map(),
            by: rollout.body.by.to_string(),
            term: leading.term,
            absence: leading.absence,
            late: self.cache.late().into_iter().chain(terms.late.iter().cloned()).collect(),
            ..Observed::nothing_but(identity, terms.asked.clone(), terms.status.as_ref().clone(), now)
        }
    }

    fn unread(&self, key: &Key, seen: &Observed) -> Vec<Unread> {
        let deployments = [Color::Blue, Color::Green].map(|color| names::deployment(&key.name, color));
        let services = Role::ALL.map(|role| services::service_name(seen, role));
        self.cache.unread(key, &deployments, &services)
    }

    fn color(&self, key: &Key, seen: &Observed, color: Color) -> ColorSeen {
        let now = Instant::now();
        let name = key.beside(names::deployment(&key.name, color));
        let deployment = self.cache.deployments.shelf().get(&name, now);
        let pods = self.cache.pods.shelf().of(key, now);
        let deployment = deployment.map(|found| {
            let applied = self.memory.of(key, &seen.uid, |remembered| remembered.applied_generation(color, &found.head.uid));
            deployment_seen(seen, color, &found, applied)
        });
        let pods = pods.iter().filter(|pod| pod.body.color == Some(color)).map(|pod| pod_seen(pod)).collect();
        ColorSeen { deployment, pods, progress: None, told: None }
    }

    fn service(&self, key: &Key, seen: &Observed, role: Role) -> Option<ServiceSeen> {
        let name = key.beside(services::service_name(seen, role));
        let found = self.cache.services.shelf().get(&name, Instant::now());
        found.map(|found| service_seen(seen, role, &found))
    }

    fn endpoints(&self, key: &Key, service: &str) -> EndpointsSeen {
        let slices = self.cache.slices.shelf().of(key, Instant::now());
        endpoints_seen(slices.iter().map(|slice| &slice.body).filter(|slice| *slice.service == *service))
    }

    fn revisions(&self, key: &Key, seen: &Observed) -> Vec<RevisionSeen> {
        let revisions = self.cache.revisions.shelf().of(key, Instant::now());
        revisions.iter().map(|revision| revision_seen(seen, revision)).collect()
    }
}

/// Times in status need no more.
fn to_the_millisecond(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

pub fn deployment_seen(seen: &Observed, color: Color, found: &Seen<Deployment>, applied: Option<i64>) -> DeploymentSeen {
    let body = &found.body;
    let (labels, annotations) = (body.labels.to_map(), body.annotations.to_map());
    DeploymentSeen {
        uid: found.head.uid.to_string(),
        resource_version: found.head.resource_version.to_string(),
        generation: body.generation,
        owner: body.ownership.seen_by(&seen.name, &seen.uid),
        deleting: body.deleting,
        labels_intact: labels::deployment_labels_intact(&seen.name, color, &labels, &body.template_labels.to_map()),
        settings_intact: deployments::settings_intact(seen, &labels, &annotations),
        written: annotations.get(names::SETTINGS_ANNOTATION).cloned().unwrap_or_default(),
        revision: body.template_labels.get(names::REVISION_LABEL).unwrap_or_default().to_owned(),
        epoch: body.epoch.to_string(),
        arrival: body.arrival.to_string(),
        applied_generation: applied,
        replicas: body.replicas,
        min_ready_seconds: body.min_ready_seconds,
        observed_generation: body.observed_generation,
        total: body.total,
        updated: body.updated,
        ready: body.ready,
        available: body.available,
        replica_failure: body.replica_failure.as_deref().map(str::to_owned),
    }
}

fn pod_seen(pod: &Seen<Pod>) -> PodSeen {
    let body = &pod.body;
    PodSeen {
        name: pod.head.name.to_string(),
        revision: body.revision.to_string(),
        ip: body.ip.map(|ip| ip.to_string()),
        ports: body.ports.iter().map(named_port).collect(),
        ready: body.ready,
        deleting: body.deleting,
        created: body.created,
        ready_changed: body.ready_changed,
        restarts: body.restarts,
        trouble: body.trouble.as_deref().cloned(),
        waits: body.waits.as_deref().cloned(),
    }
}

fn named_port((name, protocol, number): &(Text, Protocol, u16)) -> NamedPort {
    NamedPort { name: name.to_string(), protocol: *protocol, number: *number }
}

pub fn service_seen(seen: &Observed, role: Role, found: &Seen<Service>) -> ServiceSeen {
    let body = &found.body;
    let (labels, annotations) = (body.labels.to_map(), body.annotations.to_map());
    let fields = serde_json::from_str(&body.fields).unwrap_or_default();
    let has = services::Has { type_: &body.type_, labels: &labels, annotations: &annotations, fields: &fields };
    ServiceSeen {
        resource_version: found.head.resource_version.to_string(),
        owner: body.ownership.seen_by(&seen.name, &seen.uid),
        deleting: body.deleting,
        labels_intact: services::service_labels_intact(seen, role, &labels),
        settings_intact: services::service_settings_intact(seen, role, &has),
        written: body.annotations.get(names::SETTINGS_ANNOTATION).unwrap_or_default().to_owned(),
        other_owners: serde_json::from_str(&body.other_owners).unwrap_or_default(),
        leftovers: body.leftovers.is_some(),
        epoch: body.epoch.to_string(),
        selector: body.selector.to_map(),
        ports: body.ports.to_vec(),
        former: body.annotations.get(names::FORMER_ANNOTATION).map(str::to_owned),
    }
}

/// A pod in several slices (one for each address family) is ready when it is in all of them.
fn endpoints_seen<'a>(slices: impl Iterator<Item = &'a EndpointSlice>) -> EndpointsSeen {
    let mut pods = BTreeMap::<&str, bool>::new();
    let mut changed = None;
    for slice in slices {
        changed = changed.max(Some(slice.arrived));
        for (pod, ready) in &slice.pods {
            *pods.entry(pod).or_insert(true) &= *ready;
        }
    }
    let pods = pods.into_iter().map(|(pod, ready)| EndpointSeen { pod: pod.to_owned(), ready }).collect();
    EndpointsSeen { pods, changed }
}

fn revision_seen(seen: &Observed, revision: &Seen<Revision>) -> RevisionSeen {
    let body = &revision.body;
    RevisionSeen {
        hash: body.hash.to_string(),
        number: body.number,
        digest: body.digest.to_string(),
        image: body.image.to_string(),
        ports: serde_json::from_str(&body.ports).unwrap_or_default(),
        owner: body.ownership.seen_by(&seen.name, &seen.uid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intern::Text;

    fn slice(pods: &[(&str, bool)], at: &str) -> EndpointSlice {
        EndpointSlice {
            service: Text::of("shop"),
            pods: pods.iter().map(|(pod, ready)| (Text::of(pod), *ready)).collect(),
            arrived: at.parse().unwrap(),
        }
    }

    #[test]
    fn a_pod_of_two_address_families_is_ready_when_it_is_in_both() {
        let slices = [slice(&[("a", true), ("b", true)], "2026-01-01T00:00:01Z"), slice(&[("b", false)], "2026-01-01T00:00:03Z")];
        let seen = endpoints_seen(slices.iter());
        let pods: Vec<_> = seen.pods.iter().map(|endpoint| (endpoint.pod.as_str(), endpoint.ready)).collect();
        assert_eq!(pods, [("a", true), ("b", false)]);
        assert_eq!(seen.changed, Some("2026-01-01T00:00:03Z".parse().unwrap()));
    }
}
