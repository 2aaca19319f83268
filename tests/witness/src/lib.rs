//! Sees every change in a namespace and holds each against the promises of the design.
//!
//! All objects of a cluster share one count of versions, so that the events of several watches can be put into the order in
//! which they happened. [`judge`] goes through them as plain data, and is tested on stories in which a promise is broken.

mod judge;
mod record;
mod told;

pub use judge::judge;
pub(crate) use record::PATIENCE;
pub use record::Record;

use jiff::Timestamp;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use std::sync::Arc;

/// An annotation by which a test marks what it does to an object in the operator's stead: each time another value.
pub const MARK: &str = "test.bluegreen.dev/edited";
/// An annotation that a test puts on an object before it deletes it.
pub const MARK_DELETED: &str = "test.bluegreen.dev/deleted";

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Rollout,
    Service,
    Deployment,
    Pod,
    Revision,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Rollout, Self::Service, Self::Deployment, Self::Pod, Self::Revision];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rollout => "BlueGreenRollout",
            Self::Service => "Service",
            Self::Deployment => "Deployment",
            Self::Pod => "Pod",
            Self::Revision => "ControllerRevision",
        }
    }

    pub fn resource(self) -> ApiResource {
        let (group, version) = match self {
            Self::Rollout => ("bluegreen.dev", "v1alpha1"),
            Self::Deployment | Self::Revision => ("apps", "v1"),
            Self::Service | Self::Pod => ("", "v1"),
        };
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, self.as_str()))
    }
}

/// One version of one object.
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: Kind,
    pub name: String,
    /// `metadata.resourceVersion`, which counts through the whole cluster.
    pub version: u64,
    /// The object as it was when it was deleted.
    pub deleted: bool,
    pub object: Arc<Value>,
    /// When it was told to us: not before it happened.
    pub seen: Timestamp,
    /// Of a write by an operator, where that is known: what it had been told when it asked for it. Else it is judged by what
    /// was when it was carried out.
    pub told: Option<Told>,
}

/// The versions up to which watches had come. What happened later, nobody could know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub pods: u64,
    pub deployments: u64,
}
