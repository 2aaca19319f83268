//! Sees what happened to rollouts and holds it against the promises of the design, whoever saw it: watches of a real API server
//! (`tests/e2e`), the store of a simulated one (`tests/sim`), a story of the engine.
//!
//! [`judge`] goes through all changes as plain data: safety, at each write. [`promises`] has the rules that it shares with the engine's
//! model of every state. [`at_rest`] looks at one rollout when nothing happens any more: promise 10. All are tested on stories in which a
//! promise is broken.
//!
//! All objects of a cluster share one count of versions, so that the events of several watches can be put into the order in
//! which they happened.

mod advice;
mod journal;
mod judge;
mod object;
pub mod promises;
mod rest;

pub use advice::{Order, advice};
pub use journal::Journal;
pub use judge::judge;
pub use object::{is_ready, reached};
pub use rest::{Asked, Why, at_rest};

use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;

/// An annotation by which a test marks what it does to an object in the operator's stead: each time another value.
pub const MARK: &str = "test.bluegreen.dev/edited";
/// An annotation that a test puts on an object before it deletes it.
pub const MARK_DELETED: &str = "test.bluegreen.dev/deleted";

/// The kinds of objects that are watched.
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
    /// When the event reached the test: not before it happened.
    pub seen: Timestamp,
    /// For a write by an operator, if the test can know it: the versions that the operator's watches had shown when it sent the
    /// request. Without them a write is judged by the objects at the moment in which it was carried out.
    pub known: Option<KnownUpTo>,
}

/// The versions up to which the watches of an operator had come. Later changes it could not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownUpTo {
    pub pods: u64,
    pub deployments: u64,
}
