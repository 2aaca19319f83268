//! The parts of objects' JSON that are looked at.

use super::writer::ManagedFields;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
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
    /// As text: a client may write times that this program can't count with, and they are no reason not to read the object.
    pub creation_timestamp: Option<String>,
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

/// A part of an object, kept as it came: its depth and its numbers are nothing to those who don't look into it.
pub fn text(part: Option<Box<RawValue>>) -> Option<Box<str>> {
    part.map(|part| part.get().into())
}

pub fn none<T>() -> Option<T> {
    None
}

impl<Spec, Status> HasMeta for Wire<Spec, Status> {
    fn metadata(&self) -> &WireMeta {
        &self.metadata
    }
}
