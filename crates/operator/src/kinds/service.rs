//! A Service as it is cached.

use super::{Kind, Labels, Wire, deployment::epoch};
use crate::{intern::Text, kinds::Ownership};
use bluegreen_api::{Protocol, ServicePort};
use bluegreen_engine::observed::ObjectKind;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;

/// kubectl's copy of the whole manifest: nothing is decided by it, and it is large.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    pub ownership: Ownership,
    pub deleting: bool,
    pub epoch: Box<str>,
    pub labels: Labels,
    pub annotations: Labels,
    pub type_: Text,
    pub selector: Labels,
    pub ports: Box<[ServicePort]>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireSpec {
    #[serde(rename = "type")]
    type_: Option<String>,
    selector: Option<BTreeMap<String, String>>,
    ports: Option<Vec<WirePort>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePort {
    name: Option<String>,
    port: i32,
    target_port: Option<IntOrString>,
    protocol: Option<String>,
    app_protocol: Option<String>,
    node_port: Option<i32>,
}

impl From<WirePort> for ServicePort {
    fn from(port: WirePort) -> Self {
        Self {
            name: port.name,
            port: port.port,
            target_port: port.target_port,
            protocol: match port.protocol.as_deref() {
                Some("UDP") => Some(Protocol::UDP),
                Some("SCTP") => Some(Protocol::SCTP),
                Some(_) => Some(Protocol::TCP),
                None => None,
            },
            app_protocol: port.app_protocol,
            node_port: port.node_port,
        }
    }
}

impl Kind for Service {
    type Of = k8s_openapi::api::core::v1::Service;
    type Wire = Wire<WireSpec, IgnoredAny>;
    const KIND: ObjectKind = ObjectKind::Service;

    fn trim(wire: Self::Wire) -> Self {
        let Wire { metadata, spec, .. } = wire;
        let spec = spec.unwrap_or_default();
        Self {
            ownership: Ownership::of(&metadata),
            deleting: metadata.deleting(),
            epoch: epoch(&metadata),
            labels: Labels::all(metadata.labels),
            annotations: Labels::of(metadata.annotations, |key| key != LAST_APPLIED),
            type_: Text::of(spec.type_.as_deref().unwrap_or("ClusterIP")),
            selector: Labels::all(spec.selector),
            ports: spec.ports.unwrap_or_default().into_iter().map(Into::into).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::sample::arrive;
    use serde_json::json;

    #[test]
    fn a_service_keeps_what_it_selects_and_its_ports() {
        let body = arrive::<Service>(json!({
            "metadata": {"name": "shop", "annotations": {LAST_APPLIED: "{}", "dns": "x"}},
            "spec": {
                "type": "NodePort", "clusterIP": "10.0.0.1", "selector": {"a": "b"},
                "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "nodePort": 30080}]
            },
            "status": {"loadBalancer": {}}
        }))
        .body;
        assert_eq!((&*body.type_, body.selector.get("a")), ("NodePort", Some("b")));
        assert_eq!((body.annotations.get(LAST_APPLIED), body.annotations.get("dns")), (None, Some("x")));
        let port = &body.ports[0];
        assert_eq!((port.port, port.protocol, port.node_port), (80, Some(Protocol::TCP), Some(30080)));
        assert_eq!(port.target_port, Some(IntOrString::String("http".into())));
    }

    #[test]
    fn a_service_without_selector_and_ports_is_read_all_the_same() {
        let body = arrive::<Service>(json!({"metadata": {"name": "shop"}, "spec": {"type": "ExternalName", "ports": null}})).body;
        assert_eq!((body.ports.len(), body.selector.get("a")), (0, None));
    }
}
