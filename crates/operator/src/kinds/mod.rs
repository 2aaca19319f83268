//! Each kind of object as it is cached: only fields that decisions read. All other fields are dropped while parsing.

mod deployment;
mod endpoint_slice;
mod labels;
mod pod;
mod revision;
mod rollout;
mod service;
mod template;

pub use deployment::Deployment;
pub use endpoint_slice::EndpointSlice;
pub use labels::Labels;
pub use pod::Pod;
pub use revision::Revision;
pub use rollout::Rollout;
pub use service::Service;
pub use template::{Template, TemplateOf};

use crate::{intern::intern, owner::Ownership};
use bluegreen_api::names;
use bluegreen_engine::observed::ObjectKind;
use jiff::Timestamp;
use kube::{Resource, core::ObjectMeta};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

/// A kind of object that the operator reads.
pub trait Kind: Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// The type that names it to the API server.
    type Of: Resource<DynamicType = ()>;
    /// The part of its JSON that is looked at.
    type Wire: DeserializeOwned + HasMeta;
    /// Its kind, for logs and for what is late.
    const KIND: ObjectKind;

    fn trim(wire: Self::Wire) -> Self;

    /// The rollout that an object concerns.
    fn rollout(metadata: &WireMeta) -> Option<&str> {
        metadata.label(names::ROLLOUT_LABEL)
    }

    /// Why it can't be watched when the API server forbids it.
    fn forbidden(message: &str) -> String {
        message.to_owned()
    }
}

/// One object as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen<T> {
    pub head: Head,
    pub body: T,
}

/// Metadata of an object as it is cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Box<str>,
    pub resource_version: Box<str>,
    /// The rollout that it concerns.
    pub rollout: Option<Arc<str>>,
}

impl Head {
    /// resourceVersions of one kind compare as integers; one that is no integer is the oldest.
    pub fn version(&self) -> u64 {
        version(&self.resource_version)
    }
}

pub fn version(resource_version: &str) -> u64 {
    resource_version.parse().unwrap_or(0)
}

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
    pub managed_fields: Option<Vec<rollout::ManagedFields>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireOwner {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub controller: Option<bool>,
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

    pub fn ownership(&self) -> Ownership {
        Ownership::of(self)
    }

    fn head<T: Kind>(&self) -> Head {
        Head {
            namespace: intern(&self.namespace),
            name: intern(&self.name),
            uid: self.uid.as_str().into(),
            resource_version: self.resource_version.as_str().into(),
            rollout: T::rollout(self).map(intern),
        }
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

fn none<T>() -> Option<T> {
    None
}

impl<Spec, Status> HasMeta for Wire<Spec, Status> {
    fn metadata(&self) -> &WireMeta {
        &self.metadata
    }
}

/// An object on its way from the API server: trimmed, with the little metadata that kube's watcher goes by.
#[derive(Clone, Debug)]
pub struct Arriving<T> {
    meta: ObjectMeta,
    pub seen: Seen<T>,
}

impl<'de, T: Kind> Deserialize<'de> for Arriving<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = T::Wire::deserialize(deserializer)?;
        let head = wire.metadata().head::<T>();
        let meta = ObjectMeta {
            name: Some(head.name.to_string()),
            namespace: Some(head.namespace.to_string()),
            resource_version: Some(head.resource_version.to_string()),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, seen: Seen { head, body: T::trim(wire) } })
    }
}

impl<T: Kind> Resource for Arriving<T> {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        T::Of::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        T::Of::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        T::Of::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        T::Of::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
pub mod sample {
    //! Objects as the API server sends them.

    use super::*;
    use serde_json::Value;

    pub fn arrive<T: Kind>(json: Value) -> Seen<T> {
        serde_json::from_value::<Arriving<T>>(json).unwrap().seen
    }
}
