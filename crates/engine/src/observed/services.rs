//! The Services of a rollout: what `spec` asks of each.

use super::{
    Observed,
    labels::{Labels, contains, object_labels},
};
use crate::decision::Role;
use bluegreen_api::{ServiceObject, ServicePort, ServiceType, names};

pub fn service_labels(seen: &Observed, role: Role) -> Labels {
    let mut labels = service_object(seen, role).labels.unwrap_or_default();
    labels.extend(object_labels(&seen.name));
    labels.insert(names::ROLE_LABEL.into(), role.as_str().into());
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

/// Whether a Service carries all the labels that are written to it.
pub fn service_labels_intact(seen: &Observed, role: Role, labels: &Labels) -> bool {
    contains(labels, &service_labels(seen, role))
}

/// Whether the type and the annotations of a Service are those that `spec.service` asks for.
pub fn service_settings_intact(seen: &Observed, role: Role, type_: &str, annotations: &Labels) -> bool {
    let object = service_object(seen, role);
    type_ == type_name(object.type_) && contains(annotations, &object.annotations.unwrap_or_default())
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
            target_port: Some(
                port.target_port.clone().unwrap_or(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(port.port)),
            ),
            node_port: port.node_port.filter(|_| role == Role::Active),
            ..port.clone()
        })
        .collect()
}
