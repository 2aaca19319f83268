//! A ControllerRevision as it is cached. Its data stays with the API server.

use super::{HasMeta, Kind, WireMeta};
use crate::{intern::Text, kinds::Ownership};
use bluegreen_api::names;
use bluegreen_engine::observed::ObjectKind;
use serde::Deserialize;

#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    pub ownership: Ownership,
    /// The short hash.
    pub hash: Text,
    pub number: i64,
    pub digest: Text,
    pub image: Text,
    /// The ports of its Service, as JSON.
    pub ports: Text,
}

#[derive(Clone, Debug, Deserialize)]
pub struct WireRevision {
    metadata: WireMeta,
    #[serde(default)]
    revision: i64,
}

impl HasMeta for WireRevision {
    fn metadata(&self) -> &WireMeta {
        &self.metadata
    }
}

impl Kind for Revision {
    type Of = k8s_openapi::api::apps::v1::ControllerRevision;
    type Wire = WireRevision;
    const KIND: ObjectKind = ObjectKind::ControllerRevision;

    fn trim(wire: Self::Wire) -> Self {
        let meta = &wire.metadata;
        Self {
            ownership: Ownership::of(meta),
            hash: Text::of(meta.label(names::REVISION_LABEL).unwrap_or_default()),
            number: wire.revision,
            digest: Text::of(meta.annotation(names::DIGEST_ANNOTATION).unwrap_or_default()),
            image: Text::of(meta.annotation(names::IMAGE_ANNOTATION).unwrap_or_default()),
            ports: Text::of(meta.annotation(names::PORTS_ANNOTATION).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::sample::arrive;
    use serde_json::json;

    #[test]
    fn a_revision_keeps_its_name_and_number_and_not_its_data() {
        let body = arrive::<Revision>(json!({
            "metadata": {
                "name": "shop-abc",
                "labels": {"bluegreen.dev/revision": "abc"},
                "annotations": {"bluegreen.dev/digest": "abcdef", "bluegreen.dev/image": "shop:1", "bluegreen.dev/ports": "[]"}
            },
            "revision": 7,
            "data": {"spec": {}}
        }))
        .body;
        assert_eq!((&*body.hash, body.number, &*body.digest, &*body.image, &*body.ports), ("abc", 7, "abcdef", "shop:1", "[]"));
    }
}
