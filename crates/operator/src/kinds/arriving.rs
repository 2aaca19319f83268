//! An object on its way from the API server. One that can't be read is itself the news: it fails neither its list nor its watch.

use super::{Head, Kind, Seen, WireMeta, wire::HasMeta};
use kube::{Resource, core::ObjectMeta};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};

/// Characters of the cause that are kept.
const CAUSE: usize = 200;

/// Trimmed, with the little metadata that kube's watcher goes by.
#[derive(Clone, Debug)]
pub struct Arriving<T> {
    meta: ObjectMeta,
    pub read: Result<Seen<T>, Unread>,
}

/// An object that is there and can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub head: Head,
    /// In the parser's words.
    pub why: Box<str>,
}

/// What an object is called, if nothing else about it can be read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Bare {
    metadata: BareMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BareMeta {
    name: String,
    namespace: String,
    uid: String,
    resource_version: String,
    labels: Option<BTreeMap<String, String>>,
}

impl From<BareMeta> for WireMeta {
    fn from(bare: BareMeta) -> Self {
        let BareMeta { name, namespace, uid, resource_version, labels } = bare;
        Self { name, namespace, uid, resource_version, labels, ..Self::default() }
    }
}

impl<T: Kind> Arriving<T> {
    fn of(text: &str) -> Self {
        let read = match serde_json::from_str::<T::Wire>(text) {
            Ok(wire) => Ok(Seen { head: Head::of::<T>(wire.metadata()), body: T::trim(wire) }),
            Err(error) => {
                let Bare { metadata } = serde_json::from_str(text).unwrap_or_default();
                let why: String = error.to_string().chars().take(CAUSE).collect();
                Err(Unread { head: Head::of::<T>(&metadata.into()), why: why.into() })
            }
        };
        let mut arriving = Self { meta: ObjectMeta::default(), read };
        let Head { namespace, name, resource_version, .. } = arriving.head();
        arriving.meta = ObjectMeta {
            name: Some(name.to_string()),
            namespace: Some(namespace.to_string()),
            resource_version: Some(resource_version.to_string()),
            ..ObjectMeta::default()
        };
        arriving
    }

    pub fn head(&self) -> &Head {
        match &self.read {
            Ok(seen) => &seen.head,
            Err(unread) => &unread.head,
        }
    }
}

/// Taken out of its list or event as text first. An error while it is read then ends with it.
impl<'de, T: Kind> Deserialize<'de> for Arriving<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|text| Self::of(text.get()))
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
mod tests;
