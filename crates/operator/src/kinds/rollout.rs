//! A BlueGreenRollout as it is cached. A rollout that can't be parsed is kept as the reason why, so that it stops nothing else.

use super::{Kind, Labels, Wire, wire::text, writer::last_writer};
use crate::intern::Text;
use bluegreen_api::{BlueGreenRollout, BlueGreenRolloutSpec, BlueGreenRolloutStatus, Phase, names};
use bluegreen_engine::observed::ObjectKind;
use serde::Deserialize;
use serde_json::value::RawValue;

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

    /// The status as the API server keeps it.
    pub fn kept_status(&self) -> Option<&str> {
        self.status.as_deref()
    }
}

/// The one field of a status that metrics need.
#[derive(Deserialize)]
struct OnlyPhase {
    phase: Option<Phase>,
}

impl Kind for Rollout {
    type Of = BlueGreenRollout;
    type Wire = Wire<Box<RawValue>, Box<RawValue>>;
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
            phase: status.as_ref().and_then(|status| serde_json::from_str::<OnlyPhase>(status.get()).ok()?.phase),
            spec: text(spec).unwrap_or_else(|| "null".into()),
            status: text(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::sample::arrive;
    use serde_json::{Value, json};

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
        let wrong = arrive::<Rollout>(json!({"metadata": {"name": "shop"}, "spec": spec(), "status": {"attempt": "many"}})).body;
        assert!(wrong.status().unwrap_err().contains("many"));
    }

    /// Of another version of the operator.
    #[test]
    fn a_status_with_an_unknown_word_can_be_read() {
        let unknown = arrive::<Rollout>(json!({"metadata": {"name": "shop"}, "spec": spec(), "status": {"phase": "Levitating"}})).body;
        assert_eq!((unknown.phase, unknown.status().unwrap().unknown_word()), (Some(Phase::Unknown), Some("phase")));
    }

    #[test]
    fn the_default_status_of_a_fresh_object_is_read() {
        let body = arrive::<Rollout>(json!({"metadata": {"name": "shop"}, "spec": spec(), "status": {"observedGeneration": -1}})).body;
        assert_eq!(body.status().unwrap().observed_generation, -1);
    }
}
