//! Each kind of object as it is cached: only fields that decisions read. All other fields are dropped while parsing.

mod arriving;
mod deployment;
mod endpoint_slice;
mod labels;
mod owner;
mod pod;
mod revision;
mod rollout;
mod service;
mod template;
mod wire;
mod writer;

pub use arriving::{Arriving, Unread};
pub use deployment::Deployment;
pub use endpoint_slice::EndpointSlice;
pub use labels::Labels;
pub use owner::Ownership;
pub use pod::{Pod, shortened};
pub use revision::Revision;
pub use rollout::Rollout;
pub use service::{Leftovers, Service};
pub use template::{Template, TemplateOf};
pub use wire::{HasMeta, Wire, WireMeta};

use crate::intern::intern;
use bluegreen_api::names;
use bluegreen_engine::observed::ObjectKind;
use kube::Resource;
use serde::de::DeserializeOwned;
use std::{fmt, sync::Arc};

/// How soon a change asks for a look at its rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// Before those that came earlier: users may wait for it. Pods are there, or are gone.
    First,
    /// After those that came earlier.
    InTurn,
    /// In a moment: it turns nothing by itself, and as a rule another change follows that does.
    Soon,
}

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

    /// How soon a change asks for a look. None: the object was not there, or is gone.
    fn haste(_before: Option<&Self>, _after: Option<&Self>) -> Haste {
        Haste::InTurn
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
    fn of<T: Kind>(meta: &WireMeta) -> Self {
        Self {
            namespace: intern(&meta.namespace),
            name: intern(&meta.name),
            uid: meta.uid.as_str().into(),
            resource_version: meta.resource_version.as_str().into(),
            rollout: T::rollout(meta).map(intern),
        }
    }

    /// resourceVersions of one kind compare as integers; one that is no integer is the oldest.
    pub fn version(&self) -> u64 {
        version(&self.resource_version)
    }
}

pub fn version(resource_version: &str) -> u64 {
    resource_version.parse().unwrap_or(0)
}

#[cfg(test)]
pub mod sample {
    //! Objects as the API server sends them.

    use super::*;
    use serde_json::Value;

    pub fn arrive<T: Kind>(json: Value) -> Seen<T> {
        serde_json::from_str::<Arriving<T>>(&json.to_string()).unwrap().read.unwrap()
    }
}
