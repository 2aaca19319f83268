//! The parts of objects' JSON that are looked at.

use super::writer::ManagedFields;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The metadata that is looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireMeta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub generation: i64,
    pub labels: Option<BTreeMap<String, String>>,
    pub annotations: Option<BTreeMap<String, String>>,
    pub owner_references: Option<Vec<WireOwner>>,
    pub creation_timestamp: Option<Timestamp>,
    pub deletion_timestamp: Option<String>,
    pub managed_fields: Option<Vec<ManagedFields>>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireOwner {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl WireMeta {
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.as_ref()?.get(key).map(String::as_str)
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    pub fn deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

/// Has Kubernetes' metadata.
pub trait HasMeta {
    fn metadata(&self) -> &WireMeta;
}

/// The usual shape of an object's JSON.
#[derive(Clone, Debug, Deserialize)]
pub struct Wire<Spec, Status> {
    pub metadata: WireMeta,
    #[serde(default = "none", bound(deserialize = "Spec: Deserialize<'de>"))]
    pub spec: Option<Spec>,
    #[serde(default = "none", bound(deserialize = "Status: Deserialize<'de>"))]
    pub status: Option<Status>,
}

pub fn none<T>() -> Option<T> {
    None
}

impl<Spec, Status> HasMeta for Wire<Spec, Status> {
    fn metadata(&self) -> &WireMeta {
        &self.metadata
    }
}
