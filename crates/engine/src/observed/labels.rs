//! The labels that objects carry, and what Services select by.

use crate::decision::Target;
use bluegreen_api::{Color, names};
use std::collections::BTreeMap;

pub type Labels = BTreeMap<String, String>;

/// Labels of every object that belongs to a rollout.
pub fn object_labels(rollout: &str) -> Labels {
    [
        (names::ROLLOUT_LABEL, rollout),
        (names::NAME_LABEL, rollout),
        (names::INSTANCE_LABEL, rollout),
        (names::MANAGED_BY_LABEL, names::FIELD_MANAGER),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

pub fn deployment_labels(rollout: &str, color: Color, revision: &str) -> Labels {
    let mut labels = object_labels(rollout);
    labels.insert(names::COLOR_LABEL.into(), color.to_string());
    labels.insert(names::REVISION_LABEL.into(), revision.into());
    labels
}

/// Whether a Deployment and its template carry all the labels that are written to them.
pub fn deployment_labels_intact(rollout: &str, color: Color, object: &Labels, template: &Labels) -> bool {
    let Some(revision) = template.get(names::REVISION_LABEL) else { return false };
    let pods = [(names::ROLLOUT_LABEL, rollout), (names::COLOR_LABEL, color.as_str())];
    contains(object, &deployment_labels(rollout, color, revision))
        && pods.iter().all(|(key, value)| template.get(*key).is_some_and(|is| is == value))
}

pub fn contains(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The selector of a Service that reaches the target and nothing else.
pub fn selector(rollout: &str, target: &Target) -> Labels {
    [
        (names::ROLLOUT_LABEL, rollout.to_owned()),
        (names::COLOR_LABEL, target.color.to_string()),
        (names::REVISION_LABEL, target.revision.clone()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}
