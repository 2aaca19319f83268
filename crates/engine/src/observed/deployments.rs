//! The metadata of the two Deployments: what `spec` asks for.

use super::{
    Observed,
    labels::{Labels, contains, object_labels},
    services::Names,
};
use bluegreen_api::{DeploymentObject, names};

/// The labels that `spec.deployment` asks for. The operator's own go before.
pub fn asked_labels(seen: &Observed) -> Labels {
    let own = object_labels(&seen.name);
    let mut labels = deployment_object(seen).labels.unwrap_or_default();
    labels.retain(|key, _| !own.contains_key(key) && !key.starts_with(names::PREFIX));
    labels
}

pub fn deployment_object(seen: &Observed) -> DeploymentObject {
    seen.asked.spec.deployment.clone().unwrap_or_default()
}

/// Whether a Deployment is as `spec.deployment` asks. What `spec` leaves open is nobody's, unless it was written for an earlier `spec`.
pub fn settings_intact(seen: &Observed, labels: &Labels, annotations: &Labels) -> bool {
    let object = deployment_object(seen);
    let written = annotations.get(names::SETTINGS_ANNOTATION).map_or("", String::as_str);
    contains(labels, &asked_labels(seen))
        && contains(annotations, &object.annotations.clone().unwrap_or_default())
        && Names::read(written) == asked_names(&object)
}

pub fn asked_names(object: &DeploymentObject) -> Names {
    Names::of_metadata(object.labels.as_ref(), object.annotations.as_ref())
}
