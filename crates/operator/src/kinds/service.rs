//! A Service as it is cached.

use super::{Kind, Labels, Wire, WireMeta, deployment::epoch};
use crate::{intern::Text, kinds::Ownership};
use bluegreen_api::{Protocol, ServicePort, names};
use bluegreen_engine::observed::{ObjectKind, services};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
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
    /// The fields that a rollout may ask for, as JSON: one text for all Services that have the same.
    pub fields: Text,
    /// Its owners besides rollouts, as JSON; empty when there are none.
    pub other_owners: Box<str>,
    pub leftovers: Option<Leftovers>,
}

/// The entry of `metadata.managedFields` that server-side applies of an earlier version of the operator have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leftovers {
    pub place: usize,
    /// There is no other entry.
    pub alone: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireSpec {
    #[serde(rename = "type")]
    type_: Option<String>,
    selector: Option<BTreeMap<String, String>>,
    ports: Option<Vec<WirePort>>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
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
            other_owners: other_owners(&metadata),
            leftovers: leftovers(&metadata),
            deleting: metadata.deleting(),
            epoch: epoch(&metadata),
            labels: Labels::all(metadata.labels),
            annotations: Labels::of(metadata.annotations, |key| key != LAST_APPLIED),
            type_: Text::of(spec.type_.as_deref().unwrap_or("ClusterIP")),
            selector: Labels::all(spec.selector),
            ports: spec.ports.unwrap_or_default().into_iter().map(Into::into).collect(),
            fields: fields(spec.rest),
        }
    }
}

fn fields(mut rest: BTreeMap<String, Value>) -> Text {
    rest.retain(|field, value| services::FIELDS.contains(&field.as_str()) && !value.is_null());
    Text::of(&serde_json::to_string(&rest).unwrap_or_default())
}

fn other_owners(metadata: &WireMeta) -> Box<str> {
    let owners = metadata.owner_references.iter().flatten();
    let others: Vec<_> = owners.filter(|owner| !(owner.kind == "BlueGreenRollout" && owner.controller == Some(true))).collect();
    let text = if others.is_empty() { None } else { serde_json::to_string(&others).ok() };
    text.unwrap_or_default().into()
}

fn leftovers(metadata: &WireMeta) -> Option<Leftovers> {
    let entries = metadata.managed_fields.as_deref().unwrap_or_default();
    let place = entries.iter().position(|entry| entry.is_applied_by(names::FIELD_MANAGER))?;
    Some(Leftovers { place, alone: entries.len() == 1 })
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
    fn a_service_keeps_the_fields_that_a_rollout_may_ask_for() {
        let with = |spec: serde_json::Value| arrive::<Service>(json!({"metadata": {"name": "shop"}, "spec": spec})).body.fields;
        let fields =
            with(json!({"sessionAffinity": "ClientIP", "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"], "healthCheckNodePort": null}));
        assert_eq!(&*fields, r#"{"ipFamilies":["IPv4"],"sessionAffinity":"ClientIP"}"#);
    }

    #[test]
    fn fields_left_by_earlier_applies_are_found() {
        let entry = |manager: &str, operation: &str| json!({"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {}}});
        let left =
            |entries: serde_json::Value| arrive::<Service>(json!({"metadata": {"name": "shop", "managedFields": entries}})).body.leftovers;
        assert_eq!(left(json!([entry("kubectl", "Apply"), entry("bluegreen", "Update")])), None);
        let second = Leftovers { place: 1, alone: false };
        assert_eq!(left(json!([entry("bluegreen", "Update"), entry("bluegreen", "Apply")])), Some(second));
        assert_eq!(left(json!([entry("bluegreen", "Apply")])), Some(Leftovers { place: 0, alone: true }));
    }

    #[test]
    fn owners_besides_a_rollout_are_kept_whole() {
        let rollout =
            json!({"apiVersion": "bluegreen.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "shop", "uid": "1", "controller": true});
        let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "9", "blockOwnerDeletion": true});
        let owners =
            |all: serde_json::Value| arrive::<Service>(json!({"metadata": {"name": "shop", "ownerReferences": all}})).body.other_owners;
        assert_eq!(&*owners(json!([rollout])), "");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&owners(json!([rollout, other]))).unwrap(), json!([other]));
    }

    #[test]
    fn a_service_without_selector_and_ports_is_read_all_the_same() {
        let body = arrive::<Service>(json!({"metadata": {"name": "shop"}, "spec": {"type": "ExternalName", "ports": null}})).body;
        assert_eq!((body.ports.len(), body.selector.get("a")), (0, None));
    }
}
