//! A BlueGreenRollout as it is cached. A rollout that can't be parsed is kept as the reason why, so that it stops nothing else.

use super::{Kind, Labels, Wire};
use crate::intern::Text;
use bluegreen_api::{BlueGreenRollout, BlueGreenRolloutSpec, BlueGreenRolloutStatus, Phase, names};
use bluegreen_engine::observed::ObjectKind;
use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    pub generation: i64,
    pub deleting: bool,
    /// Those with our prefix: orders.
    pub annotations: Labels,
    /// The field manager that last wrote `spec`.
    pub by: Text,
    pub phase: Option<Phase>,
    /// As JSON: a tenth of what it takes as trees, and a look has to make its own copy anyway.
    spec: Box<str>,
    status: Option<Box<str>>,
}

impl Rollout {
    /// An error says why it can't be read.
    pub fn spec(&self) -> Result<BlueGreenRolloutSpec, String> {
        serde_json::from_str(&self.spec).map_err(|error| format!("spec can't be parsed: {error}"))
    }

    /// An error says why it can't be read.
    pub fn status(&self) -> Result<BlueGreenRolloutStatus, String> {
        let Some(status) = &self.status else { return Ok(BlueGreenRolloutStatus::default()) };
        serde_json::from_str(status).map_err(|error| format!("status can't be parsed: {error}"))
    }
}

/// An entry of `metadata.managedFields`, as far as it tells who wrote `spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedFields {
    manager: String,
    subresource: String,
    time: Option<Timestamp>,
    #[serde(rename = "fieldsV1")]
    fields: Touches,
}

/// Whether the fields are any of `spec`.
#[derive(Clone, Copy, Debug, Default)]
struct Touches {
    spec: bool,
}

impl<'de> Deserialize<'de> for Touches {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Touches;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Touches, A::Error> {
                let mut touches = Touches::default();
                while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
                    touches.spec |= key == "f:spec";
                }
                Ok(touches)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Subresources don't count: an autoscaler that writes `scale` has started no rollout.
fn last_writer(entries: &[ManagedFields]) -> Option<&str> {
    let of_spec = entries.iter().filter(|entry| entry.subresource.is_empty() && entry.fields.spec);
    of_spec.max_by_key(|entry| entry.time).map(|entry| entry.manager.as_str())
}

impl Kind for Rollout {
    type Of = BlueGreenRollout;
    type Wire = Wire<Value, Value>;
    const KIND: ObjectKind = ObjectKind::Rollout;

    fn rollout(metadata: &super::WireMeta) -> Option<&str> {
        Some(&metadata.name)
    }

    fn trim(wire: Self::Wire) -> Self {
        let Wire { metadata, spec, status } = wire;
        Self {
            generation: metadata.generation,
            deleting: metadata.deleting(),
            by: Text::of(last_writer(metadata.managed_fields.as_deref().unwrap_or_default()).unwrap_or_default()),
            annotations: Labels::of(metadata.annotations, |key| key.starts_with(names::PREFIX)),
            phase: status.as_ref().and_then(|status| Phase::deserialize(status.get("phase")?).ok()),
            spec: spec.unwrap_or_default().to_string().into(),
            status: status.map(|status| status.to_string().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::sample::arrive;
    use serde_json::json;

    fn spec() -> Value {
        json!({
            "image": "shop:1",
            "template": {"spec": {"containers": [{"name": "shop"}]}},
            "service": {"ports": [{"port": 80}]}
        })
    }

    #[test]
    fn the_writer_of_spec_is_the_latest_who_wrote_it_by_itself() {
        let entry = |manager: &str, minute: u8, subresource: &str, field: &str| {
            json!({
                "manager": manager, "operation": "Update", "time": format!("2026-01-01T00:{minute:02}:00Z"),
                "subresource": subresource, "fieldsV1": {field: {"f:image": {}}}
            })
        };
        let body = arrive::<Rollout>(json!({
            "metadata": {
                "name": "shop",
                "annotations": {"bluegreen.dev/promote": "abc", "other": "x"},
                "managedFields": [
                    entry("argocd", 3, "", "f:spec"),
                    entry("kubectl-create", 1, "", "f:spec"),
                    entry("bluegreen", 5, "status", "f:status"),
                    entry("kube-controller-manager", 6, "scale", "f:spec"),
                    entry("kubectl-annotate", 7, "", "f:metadata")
                ]
            },
            "spec": spec()
        }))
        .body;
        assert_eq!(&*body.by, "argocd");
        assert_eq!((body.annotations.get("bluegreen.dev/promote"), body.annotations.get("other")), (Some("abc"), None));
        assert_eq!(body.spec().unwrap().image.as_deref(), Some("shop:1"));
    }

    #[test]
    fn one_that_cannot_be_read_is_kept_with_the_reason() {
        let body = arrive::<Rollout>(json!({"metadata": {"name": "shop"}, "spec": {"replicas": "many"}})).body;
        assert!(body.spec().unwrap_err().starts_with("spec can't be parsed"), "");
        let unknown = arrive::<Rollout>(json!({"metadata": {"name": "shop"}, "spec": spec(), "status": {"phase": "Levitating"}})).body;
        assert!(unknown.status().unwrap_err().contains("Levitating"));
    }

    #[test]
    fn the_default_status_of_a_fresh_object_is_read() {
        let body = arrive::<Rollout>(json!({"metadata": {"name": "shop"}, "spec": spec(), "status": {"observedGeneration": -1}})).body;
        assert_eq!(body.status().unwrap().observed_generation, -1);
    }
}
