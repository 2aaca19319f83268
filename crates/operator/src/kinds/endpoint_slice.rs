//! An EndpointSlice as it is cached.

use super::{HasMeta, Haste, Kind, WireMeta};
use crate::{clock, intern::Text};
use bluegreen_engine::observed::ObjectKind;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeSet;

const SERVICE_LABEL: &str = "kubernetes.io/service-name";

#[derive(Clone, Debug)]
pub struct EndpointSlice {
    /// Name of the Service.
    pub service: Text,
    /// Pods behind it, and whether they are ready.
    pub pods: Box<[(Text, bool)]>,
    /// When this version of it came here.
    pub arrived: Timestamp,
}

/// Two slices are the same whenever they came.
impl PartialEq for EndpointSlice {
    fn eq(&self, other: &Self) -> bool {
        self.service == other.service && self.pods == other.pods
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct WireSlice {
    metadata: WireMeta,
    /// `null` when there is none.
    endpoints: Option<Vec<Endpoint>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Endpoint {
    conditions: Option<Conditions>,
    target_ref: Option<TargetRef>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TargetRef {
    kind: String,
    name: Text,
}

impl HasMeta for WireSlice {
    fn metadata(&self) -> &WireMeta {
        &self.metadata
    }
}

impl Endpoint {
    fn pod(self) -> Option<(Text, bool)> {
        let target = self.target_ref.filter(|target| target.kind == "Pod")?;
        // "Unknown" is to be taken for ready, says the API.
        let ready = self.conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
        Some((target.name, ready))
    }
}

impl Kind for EndpointSlice {
    type Of = k8s_openapi::api::discovery::v1::EndpointSlice;
    type Wire = WireSlice;
    const KIND: ObjectKind = ObjectKind::EndpointSlice;

    fn trim(wire: Self::Wire) -> Self {
        Self {
            service: Text::of(wire.metadata.label(SERVICE_LABEL).unwrap_or_default()),
            pods: wire.endpoints.unwrap_or_default().into_iter().filter_map(Endpoint::pod).collect(),
            arrived: clock::now(),
        }
    }

    /// Users are sent to ready pods only.
    fn haste(before: Option<&Self>, after: Option<&Self>) -> Haste {
        let ready = |slice: Option<&Self>| {
            let pods = slice.into_iter().flat_map(|slice| &slice.pods).filter(|(_, ready)| *ready).map(|(pod, _)| pod.clone());
            pods.collect::<BTreeSet<_>>()
        };
        if ready(before) == ready(after) { Haste::Soon } else { Haste::InTurn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::sample::arrive;
    use serde_json::json;

    #[test]
    fn a_slice_keeps_its_pods_and_their_readiness() {
        let body = arrive::<EndpointSlice>(json!({
            "metadata": {"name": "shop-x", "labels": {"kubernetes.io/service-name": "shop"}},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": false}, "targetRef": {"kind": "Pod", "name": "a"}},
                {"addresses": ["10.0.0.2"], "conditions": {}, "targetRef": {"kind": "Pod", "name": "b"}},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": true}}
            ]
        }))
        .body;
        assert_eq!(&*body.service, "shop");
        assert_eq!(body.pods.as_ref(), [(Text::of("a"), false), (Text::of("b"), true)]);
    }

    #[test]
    fn an_empty_slice_has_null_for_its_endpoints() {
        assert_eq!(arrive::<EndpointSlice>(json!({"metadata": {"name": "x"}, "endpoints": null})).body.pods.len(), 0);
    }

    #[test]
    fn only_ready_pods_of_a_slice_ask_for_a_look_at_once() {
        let slice = |pods: &[(&str, bool)]| EndpointSlice {
            service: Text::of("shop"),
            pods: pods.iter().map(|(pod, ready)| (Text::of(pod), *ready)).collect(),
            arrived: Timestamp::UNIX_EPOCH,
        };
        let haste = |before: &[(&str, bool)], after: &[(&str, bool)]| EndpointSlice::haste(Some(&slice(before)), Some(&slice(after)));
        assert_eq!(haste(&[("a", true)], &[("a", true), ("b", false)]), Haste::Soon);
        assert_eq!(haste(&[("a", true), ("b", false)], &[("a", true)]), Haste::Soon);
        assert_eq!(haste(&[("a", true), ("b", false)], &[("a", true), ("b", true)]), Haste::InTurn);
        assert_eq!(haste(&[("a", true)], &[("b", true)]), Haste::InTurn);
        assert_eq!(EndpointSlice::haste(Some(&slice(&[("a", true)])), None), Haste::InTurn);
    }
}
