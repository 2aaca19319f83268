//! A Deployment as it is cached.

use super::{Haste, Kind, Labels, Ownership, Wire, WireMeta};
use bluegreen_api::names;
use bluegreen_engine::observed::ObjectKind;
use serde::Deserialize;

#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    pub ownership: Ownership,
    pub deleting: bool,
    pub generation: i64,
    pub epoch: Box<str>,
    pub arrival: Box<str>,
    /// Maps of its metadata that it doesn't have.
    pub bare: &'static [&'static str],
    pub labels: Labels,
    pub annotations: Labels,
    /// Of the pod template.
    pub template_labels: Labels,
    pub replicas: i32,
    pub min_ready_seconds: i32,
    pub observed_generation: i64,
    pub total: i32,
    pub updated: i32,
    pub ready: i32,
    pub available: i32,
    pub replica_failure: Option<Box<str>>,
}

impl Deployment {
    /// Its controller has done what its latest change asks for.
    fn is_settled(&self) -> bool {
        self.observed_generation >= self.generation
            && self.total == self.updated
            && self.available == self.total
            && self.available >= self.replicas
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireSpec {
    replicas: Option<i32>,
    #[serde(default)]
    min_ready_seconds: i32,
    template: Template,
}

#[derive(Clone, Debug, Deserialize)]
struct Template {
    metadata: Option<TemplateMeta>,
}

/// A template has no name and may have `creationTimestamp: null`.
#[derive(Clone, Debug, Deserialize)]
struct TemplateMeta {
    labels: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireStatus {
    observed_generation: i64,
    replicas: i32,
    updated_replicas: i32,
    ready_replicas: i32,
    available_replicas: i32,
    conditions: Option<Vec<Condition>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    message: String,
}

impl WireStatus {
    fn replica_failure(&self) -> Option<Box<str>> {
        let conditions = self.conditions.as_deref().unwrap_or_default();
        let failure = conditions.iter().find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
        Some(failure.message.as_str().into())
    }
}

/// The labels that the operator writes to a template are told by their prefixes; those of the user matter to no decision.
fn ours(key: &str) -> bool {
    key.starts_with(names::PREFIX) || key.starts_with("app.kubernetes.io/")
}

impl Kind for Deployment {
    type Of = k8s_openapi::api::apps::v1::Deployment;
    type Wire = Wire<WireSpec, WireStatus>;
    const KIND: ObjectKind = ObjectKind::Deployment;

    fn trim(wire: Self::Wire) -> Self {
        let Wire { metadata, spec, status } = wire;
        let status = status.unwrap_or_default();
        let (replicas, min_ready_seconds, template) = match spec {
            Some(spec) => (spec.replicas.unwrap_or(1), spec.min_ready_seconds, spec.template.metadata.and_then(|meta| meta.labels)),
            None => (1, 0, None),
        };
        Self {
            ownership: Ownership::of(&metadata),
            deleting: metadata.deleting(),
            generation: metadata.generation,
            epoch: epoch(&metadata),
            arrival: metadata.annotation(names::ARRIVAL_ANNOTATION).unwrap_or_default().into(),
            bare: bare(&metadata),
            labels: Labels::all(metadata.labels),
            annotations: Labels::of(metadata.annotations, |key| !key.starts_with("deployment.kubernetes.io/")),
            template_labels: Labels::of(template, ours),
            replicas,
            min_ready_seconds,
            observed_generation: status.observed_generation,
            total: status.replicas,
            updated: status.updated_replicas,
            ready: status.ready_replicas,
            available: status.available_replicas,
            replica_failure: status.replica_failure(),
        }
    }

    /// While its controller is at work there are more pods with each change, and only their full number turns anything.
    fn haste(before: Option<&Self>, after: Option<&Self>) -> Haste {
        let (Some(before), Some(after)) = (before, after) else { return Haste::InTurn };
        let counts = |it: &Self| Self { observed_generation: 0, total: 0, updated: 0, ready: 0, available: 0, ..it.clone() };
        let fewer = after.ready < before.ready || after.available < before.available;
        match counts(before) == counts(after) {
            true if fewer || after.is_settled() => Haste::First,
            true => Haste::Soon,
            false => Haste::InTurn,
        }
    }
}

const fn bare(metadata: &WireMeta) -> &'static [&'static str] {
    match (&metadata.labels, &metadata.annotations) {
        (None, None) => &["labels", "annotations"],
        (None, _) => &["labels"],
        (_, None) => &["annotations"],
        _ => &[],
    }
}

pub(super) fn epoch(metadata: &WireMeta) -> Box<str> {
    metadata.annotation(names::EPOCH_ANNOTATION).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::sample::arrive;
    use serde_json::json;

    #[test]
    fn a_deployment_keeps_its_counts_its_metadata_and_our_labels_of_its_pods() {
        let seen = arrive::<Deployment>(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "shop-blue", "namespace": "a", "uid": "u", "resourceVersion": "17", "generation": 3,
                "labels": {"bluegreen.dev/rollout": "shop", "team": "x"},
                "annotations": {"bluegreen.dev/epoch": "4.1", "page": "x", "deployment.kubernetes.io/revision": "3"},
                "managedFields": [{"manager": "bluegreen", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]
            },
            "spec": {
                "replicas": 0, "selector": {}, "minReadySeconds": 5,
                "template": {"metadata": {"creationTimestamp": null, "labels": {"bluegreen.dev/revision": "abc", "tier": "web"}}, "spec": {"containers": []}}
            },
            "status": {
                "observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "readyReplicas": 1,
                "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: q"}]
            }
        }));
        assert_eq!((seen.head.version(), seen.head.rollout.as_deref()), (17, Some("shop")));
        let body = seen.body;
        assert_eq!((body.generation, body.replicas, body.min_ready_seconds), (3, 0, 5));
        assert_eq!((body.observed_generation, body.total, body.updated, body.ready, body.available), (2, 3, 2, 1, 0));
        assert_eq!((body.labels.get("bluegreen.dev/rollout"), body.labels.get("team")), (Some("shop"), Some("x")));
        assert_eq!((body.annotations.get("page"), body.annotations.get("deployment.kubernetes.io/revision")), (Some("x"), None));
        assert_eq!((body.template_labels.get("bluegreen.dev/revision"), body.template_labels.get("tier")), (Some("abc"), None));
        assert_eq!(body.replica_failure.as_deref(), Some("exceeded quota: q"));
        assert_eq!(&*body.epoch, "4.1");
    }

    #[test]
    fn one_that_has_no_status_yet_has_no_pods() {
        let seen = arrive::<Deployment>(json!({"metadata": {"name": "d"}, "spec": {"selector": {}, "template": {}}}));
        assert_eq!((seen.body.replicas, seen.body.observed_generation, seen.body.deleting), (1, 0, false));
    }

    #[test]
    fn counts_that_grow_ask_for_no_look_before_the_last_which_goes_first() {
        let none = arrive::<Deployment>(json!({
            "metadata": {"name": "shop-blue", "generation": 3},
            "spec": {"replicas": 2, "template": {"metadata": {"labels": {"bluegreen.dev/revision": "abc"}}}},
            "status": {"observedGeneration": 3}
        }))
        .body;
        let some = |total: i32, updated: i32, ready: i32, available: i32| Deployment { total, updated, ready, available, ..none.clone() };
        let cases = [
            (&none, some(1, 1, 0, 0), Haste::Soon),
            (&none, some(2, 2, 1, 1), Haste::Soon),
            (&some(2, 2, 1, 1), some(2, 2, 2, 2), Haste::First),
            (&some(2, 2, 2, 2), some(2, 2, 1, 1), Haste::First),
            (&some(2, 2, 2, 1), some(2, 2, 1, 1), Haste::First),
            (&none, Deployment { generation: 4, ..some(1, 1, 0, 0) }, Haste::InTurn),
            (&none, Deployment { replica_failure: Some("exceeded quota".into()), ..none.clone() }, Haste::InTurn),
        ];
        for (before, after, haste) in &cases {
            assert_eq!(Deployment::haste(Some(before), Some(after)), *haste, "{before:?} → {after:?}");
        }
        assert_eq!([Deployment::haste(None, Some(&none)), Deployment::haste(Some(&none), None)], [Haste::InTurn; 2]);
    }
}
