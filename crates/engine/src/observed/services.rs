//! The Services of a rollout: what `spec` asks of each.

use super::{
    Observed, ServiceSeen,
    labels::{Labels, contains, object_labels},
};
use crate::decision::{Extent, Role, Target};
use bluegreen_api::{ServiceObject, ServicePort, ServiceType, names};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Fields of a Service's `spec` that `spec.service.active` and `spec.service.preview` may ask for, besides its type.
pub const FIELDS: [&str; 11] = [
    "allocateLoadBalancerNodePorts",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "internalTrafficPolicy",
    "ipFamilies",
    "ipFamilyPolicy",
    "loadBalancerClass",
    "loadBalancerSourceRanges",
    "sessionAffinity",
    "sessionAffinityConfig",
    "trafficDistribution",
];

/// The labels by which the operator knows its Service.
pub fn own_labels(seen: &Observed, role: Role) -> Labels {
    let mut labels = object_labels(&seen.name);
    labels.insert(names::ROLE_LABEL.into(), role.as_str().into());
    labels
}

pub fn service_labels(seen: &Observed, role: Role) -> Labels {
    let mut labels = service_object(seen, role).labels.unwrap_or_default();
    labels.extend(own_labels(seen, role));
    labels
}

pub fn service_object(seen: &Observed, role: Role) -> ServiceObject {
    let service = &seen.asked.spec.service;
    match role {
        Role::Active => service.active.clone(),
        Role::Preview => service.preview.clone(),
    }
    .unwrap_or_default()
}

/// The name of a Service of this rollout.
pub fn service_name(seen: &Observed, role: Role) -> String {
    service_object(seen, role).name.unwrap_or_else(|| match role {
        Role::Active => seen.name.clone(),
        Role::Preview => format!("{}-preview", seen.name),
    })
}

/// Whether a Service carries the operator's own labels.
pub fn service_labels_intact(seen: &Observed, role: Role, labels: &Labels) -> bool {
    contains(labels, &own_labels(seen, role))
}

/// What a Service has of all that `spec` may ask for.
#[derive(Clone, Debug)]
pub struct Has<'a> {
    pub type_: &'a str,
    pub labels: &'a Labels,
    pub annotations: &'a Labels,
    /// Those of [`FIELDS`] that it has.
    pub fields: &'a Map<String, Value>,
}

/// Whether a Service is as `spec.service` asks. What `spec` leaves open is nobody's, unless it was written for an earlier `spec`.
pub fn service_settings_intact(seen: &Observed, role: Role, has: &Has<'_>) -> bool {
    let object = service_object(seen, role);
    let asked = fields(&object);
    let written = has.annotations.get(names::SETTINGS_ANNOTATION).map_or("", String::as_str);
    has.type_ == type_name(object.type_)
        && contains(has.labels, &service_labels(seen, role))
        && contains(has.annotations, &object.annotations.clone().unwrap_or_default())
        && asked.iter().all(|(field, value)| has.fields.get(field).is_some_and(|is| is_as_asked(is, value)))
        && Names::read(written) == Names::of(&object)
}

/// A second address family is the cluster's to add.
fn is_as_asked(is: &Value, asked: &Value) -> bool {
    match (is, asked) {
        (Value::Array(is), Value::Array(asked)) => is.starts_with(asked),
        _ => is == asked,
    }
}

/// The fields that are asked for, as a Service has them.
pub fn fields(object: &ServiceObject) -> Map<String, Value> {
    let Ok(Value::Object(all)) = serde_json::to_value(object) else { return Map::new() };
    all.into_iter().filter(|(field, _)| FIELDS.contains(&field.as_str())).collect()
}

/// Names of what is asked of a Service or a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Names {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub annotations: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub fields: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
}

impl Names {
    pub fn of(object: &ServiceObject) -> Self {
        let fields = fields(object).into_iter().map(|(field, _)| field).collect();
        Self { fields, ..Self::of_metadata(object.labels.as_ref(), object.annotations.as_ref()) }
    }

    pub fn of_metadata(labels: Option<&Labels>, annotations: Option<&Labels>) -> Self {
        let keys = |map: Option<&Labels>| map.into_iter().flatten().map(|(key, _)| key.clone()).collect();
        Self { annotations: keys(annotations), labels: keys(labels), fields: BTreeSet::new() }.but_our_own()
    }

    /// As they stand in the annotation, which anybody may have edited.
    pub fn read(text: &str) -> Self {
        serde_json::from_str::<Self>(text).unwrap_or_default().but_our_own()
    }

    /// What the operator writes for itself is never taken out.
    fn but_our_own(mut self) -> Self {
        let own = object_labels("");
        self.annotations.retain(|key| !key.starts_with(names::PREFIX));
        self.labels.retain(|key| !key.starts_with(names::PREFIX) && !own.contains_key(key));
        self.fields.retain(|field| FIELDS.contains(&field.as_str()));
        self
    }

    /// None of them: nothing is asked for.
    pub fn written(&self) -> Option<String> {
        if *self == Self::default() { None } else { serde_json::to_string(self).ok() }
    }

    /// Those that are not among the others.
    pub fn without(&self, others: &Self) -> Self {
        let left = |these: &BTreeSet<String>, those: &BTreeSet<String>| these.difference(those).cloned().collect();
        Self {
            annotations: left(&self.annotations, &others.annotations),
            fields: left(&self.fields, &others.fields),
            labels: left(&self.labels, &others.labels),
        }
    }
}

pub const fn type_name(type_: Option<ServiceType>) -> &'static str {
    match type_ {
        None | Some(ServiceType::ClusterIP) => "ClusterIP",
        Some(ServiceType::NodePort) => "NodePort",
        Some(ServiceType::LoadBalancer) => "LoadBalancer",
    }
}

/// The ports as a Service has them: a node port is the active Service's only.
pub fn service_ports(role: Role, ports: &[ServicePort]) -> Vec<ServicePort> {
    ports
        .iter()
        .map(|port| ServicePort {
            protocol: Some(port.protocol()),
            target_port: Some(port.target_port.clone().unwrap_or(IntOrString::Int(port.port))),
            node_port: port.node_port.filter(|_| role == Role::Active),
            ..port.clone()
        })
        .collect()
}

fn same_port(one: &ServicePort, other: &ServicePort) -> bool {
    one.port == other.port && one.protocol() == other.protocol()
}

/// The Service has the ports asked for. One that somebody else added stays, and what is left open is nobody's business.
pub fn has_ports(are: &[ServicePort], wanted: &[ServicePort]) -> bool {
    wanted.iter().all(|wanted| {
        are.iter().find(|is| same_port(is, wanted)).is_some_and(|is| {
            is.name == wanted.name
                && is.target_port == wanted.target_port
                && (wanted.app_protocol.is_none() || is.app_protocol == wanted.app_protocol)
        })
    })
}

/// The node ports asked for are there.
pub fn has_node_ports(are: &[ServicePort], wanted: &[ServicePort]) -> bool {
    wanted
        .iter()
        .filter(|wanted| wanted.node_port.is_some())
        .all(|wanted| are.iter().any(|is| same_port(is, wanted) && is.node_port == wanted.node_port))
}

/// The ports to write, so that the Service leads to the target. What the revision leaves open stays as it is, unless the revision that is
/// left asked for it.
pub fn ports_to_write(seen: &Observed, role: Role, service: Option<&ServiceSeen>, target: &Target, extent: Extent) -> Vec<ServicePort> {
    let wanted = service_ports(role, &target.ports);
    let bare = extent == Extent::Bare;
    let Some(service) = service else {
        return wanted.into_iter().map(|port| ServicePort { node_port: port.node_port.filter(|_| !bare), ..port }).collect();
    };
    let asked = |number: Option<i32>| !bare && number.is_some() && wanted.iter().any(|wanted| wanted.node_port == number);
    let left = left(seen, service);
    let mut ports: Vec<_> = wanted
        .iter()
        .map(|port| {
            let is = service.ports.iter().find(|is| same_port(is, port));
            let was = left.iter().find(|was| same_port(was, port));
            let kept = is.and_then(|is| is.app_protocol.clone()).filter(|is| was.and_then(|was| was.app_protocol.as_ref()) != Some(is));
            let node_port = is.and_then(|is| is.node_port).filter(|number| !asked(Some(*number)));
            ServicePort {
                app_protocol: port.app_protocol.clone().or(kept),
                node_port: port.node_port.filter(|_| !bare).or(node_port),
                ..port.clone()
            }
        })
        .collect();
    if !bare && wanted.iter().all(|port| port.name.is_some()) {
        let ours = |port: &ServicePort| known_ports(seen).any(|known| same_port(known, port));
        let clashes = |port: &ServicePort| {
            let with = |wanted: &ServicePort| same_port(wanted, port) || wanted.name == port.name;
            port.name.is_none() || asked(port.node_port) || wanted.iter().any(with)
        };
        ports.extend(service.ports.iter().filter(|port| !ours(port) && !clashes(port)).cloned());
    }
    ports
}

/// The ports of the revision that a Service leads to now.
fn left<'a>(seen: &'a Observed, service: &ServiceSeen) -> &'a [ServicePort] {
    let Some(revision) = service.selector.get(names::REVISION_LABEL) else { return &[] };
    let stored = seen.revisions.iter().find(|stored| stored.hash == *revision).map(|stored| stored.ports.as_slice());
    let side = || sides(seen).find(|side| side.revision == *revision).map(|side| side.ports.as_slice());
    stored.or_else(side).unwrap_or_default()
}

fn sides(seen: &Observed) -> impl Iterator<Item = &bluegreen_api::Side> {
    let status = &seen.status;
    [&status.active, &status.standby, &status.preview, &status.previous].into_iter().flatten()
}

/// The ports of all revisions: those that are gone from `spec` are not somebody else's.
fn known_ports(seen: &Observed) -> impl Iterator<Item = &ServicePort> {
    seen.revisions.iter().flat_map(|revision| &revision.ports).chain(sides(seen).flat_map(|side| &side.ports))
}
