//! Everything that a decision may depend on, as plain data.

pub mod arrival;
pub mod deployments;
pub mod facts;
pub mod labels;
pub mod laggards;
pub mod ports;
pub mod progress;
pub mod services;
pub mod short;
pub mod targets;
pub mod trouble;

use crate::{
    asked::Asked,
    decision::{Effect, Object, Part, Role},
};
use bluegreen_api::{BlueGreenRolloutStatus, Color, ServicePort, names};
use bluegreen_gates::reading::Measurement;
use jiff::Timestamp;
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

/// One rollout and the world around it, as far as decisions depend on it.
#[derive(Clone, Debug)]
pub struct Observed {
    pub now: Timestamp,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub generation: i64,
    /// The rollout has a deletionTimestamp.
    pub deleting: bool,
    /// Annotations of the rollout: orders are among them.
    pub annotations: BTreeMap<String, String>,
    /// The field manager that last wrote `spec`.
    pub by: String,
    /// What `spec` asks for, of this generation.
    pub asked: Arc<Asked>,
    pub status: BlueGreenRolloutStatus,
    pub blue: ColorSeen,
    pub green: ColorSeen,
    /// Its Services that are there.
    pub services: BTreeMap<Role, ServiceSeen>,
    /// Endpoints of the active Service.
    pub endpoints: EndpointsSeen,
    pub revisions: Vec<RevisionSeen>,
    /// Results that came since the status was recorded, in the order of their time.
    pub results: Vec<Measurement>,
    /// The latest refusal of each part of an object, until a write of it succeeds.
    pub refusals: Vec<Refusal>,
    /// Grows with each change of leader (`leaseTransitions` of the Lease): a fencing token.
    pub term: i64,
    /// The latest time without an operator: nobody looked in between.
    pub absence: Option<Absence>,
    /// What a watch is late to tell of: what is seen of it may be old.
    pub late: Vec<Late>,
    /// Objects of the rollout that are there and can't be read.
    pub unread: Vec<Unread>,
}

impl Observed {
    pub fn color(&self, color: Color) -> &ColorSeen {
        match color {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        }
    }

    /// The Service of this role, if it is there.
    pub fn service(&self, role: Role) -> Option<&ServiceSeen> {
        self.services.get(&role)
    }

    /// What is late of the objects that a rollout has, the longest first.
    pub fn late(&self) -> Option<&Late> {
        self.late_of(ObjectKind::is_of_the_rollout)
    }

    /// Nothing that a rollout has is older than it seems, or unknown.
    pub fn sees_all(&self) -> bool {
        self.late().is_none() && self.unread.is_empty()
    }

    /// The object is there, and can't be read.
    pub fn cannot_read(&self, object: &Object) -> bool {
        let (kind, name) = match object {
            Object::Deployment(color) => (ObjectKind::Deployment, names::deployment(&self.name, *color)),
            Object::Service(role) => (ObjectKind::Service, services::service_name(self, *role)),
            Object::Revision(hash) => (ObjectKind::ControllerRevision, names::revision(&self.name, hash)),
        };
        self.unread.iter().any(|unread| unread.kind == kind && unread.name == name)
    }

    /// A Deployment or Service from which phases follow can't be read.
    pub fn cannot_read_a_side(&self) -> bool {
        let services = Role::ALL.map(Object::Service);
        let objects = services.into_iter().chain([Color::Blue, Color::Green].map(Object::Deployment));
        !self.unread.is_empty() && objects.into_iter().any(|object| self.cannot_read(&object))
    }

    /// What is late of the templates that it names.
    pub fn late_templates(&self) -> Option<&Late> {
        self.late_of(|kind| !kind.is_of_the_rollout())
    }

    fn late_of(&self, such: impl Fn(ObjectKind) -> bool) -> Option<&Late> {
        self.late.iter().filter(|late| such(late.kind)).min_by_key(|late| late.since)
    }

    /// Nothing but the rollout itself is there, and nothing has happened.
    pub fn nothing_but(rollout: Identity, asked: Arc<Asked>, status: BlueGreenRolloutStatus, now: Timestamp) -> Self {
        let Identity { namespace, name, uid, generation } = rollout;
        Self {
            now,
            namespace,
            name,
            uid,
            generation,
            deleting: false,
            annotations: BTreeMap::new(),
            by: String::new(),
            asked,
            status,
            blue: ColorSeen::default(),
            green: ColorSeen::default(),
            services: BTreeMap::new(),
            endpoints: EndpointsSeen::default(),
            revisions: vec![],
            results: vec![],
            refusals: vec![],
            term: 1,
            absence: None,
            late: vec![],
            unread: vec![],
        }
    }
}

/// Nobody looked after `from` and before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// When an operator was last known to be at work; unknown on a first start or a lost lease.
    pub from: Option<Timestamp>,
    /// When this operator began to look.
    pub to: Timestamp,
}

/// Which rollout it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
}

/// A kind of objects that decisions are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    Rollout,
    Deployment,
    Service,
    Pod,
    EndpointSlice,
    ControllerRevision,
    GateTemplate,
    ClusterGateTemplate,
}

impl ObjectKind {
    /// All of them, as people call them.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rollout => "BlueGreenRollouts",
            Self::Deployment => "Deployments",
            Self::Service => "Services",
            Self::Pod => "pods",
            Self::EndpointSlice => "EndpointSlices",
            Self::ControllerRevision => "ControllerRevisions",
            Self::GateTemplate => "GateTemplates",
            Self::ClusterGateTemplate => "ClusterGateTemplates",
        }
    }

    /// One of them.
    pub const fn one(self) -> &'static str {
        match self {
            Self::Rollout => "BlueGreenRollout",
            Self::Deployment => "Deployment",
            Self::Service => "Service",
            Self::Pod => "Pod",
            Self::EndpointSlice => "EndpointSlice",
            Self::ControllerRevision => "ControllerRevision",
            Self::GateTemplate => "GateTemplate",
            Self::ClusterGateTemplate => "ClusterGateTemplate",
        }
    }

    /// Templates are of nobody; all else is the rollout, or belongs to one.
    pub const fn is_of_the_rollout(self) -> bool {
        !matches!(self, Self::GateTemplate | Self::ClusterGateTemplate)
    }
}

/// A watch is late to tell of the objects of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    pub kind: ObjectKind,
    /// Why that is so: the latest error of the watch, as a rule.
    pub why: String,
    pub since: Timestamp,
}

/// An object of the rollout that is there and can't be read: what is seen of it, if anything is, may be old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub kind: ObjectKind,
    pub name: String,
    /// In the parser's words.
    pub why: String,
    pub since: Timestamp,
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.why)
    }
}

/// Who controls an object that has one of our names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This very rollout, by uid.
    Us,
    /// Nobody, but it carries our labels: left by an orphaning delete.
    Orphan,
    /// A rollout of our name that is gone or being deleted: its garbage collection is under way.
    Former,
    /// Somebody else, or nobody and no label of ours. `adopt`: it carries the annotation that lets us take it.
    Foreign { who: String, adopt: bool },
}

/// A color's Deployment and pods.
#[derive(Clone, Debug, Default)]
pub struct ColorSeen {
    pub deployment: Option<DeploymentSeen>,
    /// All pods with the labels of this rollout and color.
    pub pods: Vec<PodSeen>,
    /// How the pods of the Deployment's revision get on.
    pub progress: Option<Progress>,
    /// What the events of one of its pods say, where they were read.
    pub told: Option<EventsRead>,
}

#[derive(Clone, Debug)]
pub struct DeploymentSeen {
    pub uid: String,
    pub resource_version: String,
    pub generation: i64,
    pub owner: Owner,
    pub deleting: bool,
    /// All labels that we write are there, on the object and on its template.
    pub labels_intact: bool,
    /// It has the labels and annotations that `spec.deployment` asks for, and none that it asked for before.
    pub settings_intact: bool,
    /// The annotation that names those that were written.
    pub written: String,
    /// The revision label of its template.
    pub revision: String,
    /// The epoch annotation, empty when there is none.
    pub epoch: String,
    /// The arrival annotation, empty when there is none.
    pub arrival: String,
    /// `metadata.generation` returned by the latest write of this operator process, if any.
    pub applied_generation: Option<i64>,
    pub replicas: i32,
    pub min_ready_seconds: i32,
    pub observed_generation: i64,
    pub total: i32,
    pub updated: i32,
    pub ready: i32,
    pub available: i32,
    /// Message of a ReplicaFailure condition: a quota or a webhook in the way of pods.
    pub replica_failure: Option<String>,
}

#[derive(Clone, Debug)]
pub struct PodSeen {
    pub name: String,
    pub revision: String,
    pub ip: Option<String>,
    /// Named ports of containers and restartable init containers, in their order.
    pub ports: Vec<ports::NamedPort>,
    pub ready: bool,
    pub deleting: bool,
    pub created: Timestamp,
    /// When it last became ready or unready.
    pub ready_changed: Option<Timestamp>,
    /// The largest number of restarts among its containers.
    pub restarts: i32,
    pub trouble: Option<PodTrouble>,
    /// What it waits for, where it is neither ready nor in trouble.
    pub waits: Option<PodWait>,
}

/// What a pod waits for before it is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodWait {
    /// A node.
    Node,
    /// The kubelet of this node, which has not begun with it.
    Kubelet { node: String },
    /// The start of a container.
    Start { container: String },
    /// The end of an init container.
    Init { container: String },
    /// The readiness of a container that runs.
    Ready { container: String },
    /// Something else that has to come about, in the words of the pod's condition.
    Gate { message: String },
}

/// The Warning events of one pod, as they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsRead {
    pub pod: String,
    pub at: Timestamp,
    /// How often those of this pod have been read.
    pub times: u32,
    pub warnings: Vec<PodWarning>,
}

/// What a Warning event says of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodWarning {
    pub reason: String,
    pub message: String,
    /// The container that it is about, if it is about one.
    pub container: Option<String>,
    /// When it last happened.
    pub at: Timestamp,
}

/// Why a pod doesn't get on, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodTrouble {
    /// The container's waiting or terminated reason, or that of the PodScheduled condition.
    pub reason: String,
    pub message: String,
    /// The container, if it is one's.
    pub container: Option<String>,
}

/// The high-water mark of ready pods of one revision in one color. Folded by [`progress::fold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub revision: String,
    /// The generation whose pods are counted.
    pub generation: i64,
    pub high_water: i32,
    /// When the Deployment controller had taken up the change, or the mark last rose.
    pub at: Timestamp,
    /// Since when fewer pods than asked for are ready, without a break.
    pub short_since: Option<Timestamp>,
    /// Since when the color is short for its own doing, without a break.
    pub failing_since: Option<Timestamp>,
    /// Since when no pod is ready, without a break.
    pub none_since: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct ServiceSeen {
    pub resource_version: String,
    pub owner: Owner,
    pub deleting: bool,
    /// The operator's own labels are there.
    pub labels_intact: bool,
    /// Type, labels, annotations and fields are those that `spec.service` asks for, and what it asks for no more is gone.
    pub settings_intact: bool,
    /// What was written of it for `spec`, by its annotation.
    pub written: String,
    /// Its owners besides a rollout, as the API server shows them.
    pub other_owners: Vec<serde_json::Value>,
    /// Applies of an earlier version of the operator own fields of it.
    pub leftovers: bool,
    /// The epoch annotation, empty when there is none.
    pub epoch: String,
    pub selector: BTreeMap<String, String>,
    pub ports: Vec<ServicePort>,
    /// The revision that the latest promotion left, by its annotation.
    pub former: Option<String>,
}

/// The EndpointSlices of the active Service.
#[derive(Clone, Debug, Default)]
pub struct EndpointsSeen {
    pub pods: Vec<EndpointSeen>,
    /// When a slice last changed, as far as this operator saw.
    pub changed: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSeen {
    /// Name of the pod behind the endpoint.
    pub pod: String,
    pub ready: bool,
}

/// A ControllerRevision of this rollout. Its data stays with the API server.
#[derive(Clone, Debug)]
pub struct RevisionSeen {
    /// The short hash.
    pub hash: String,
    pub number: i64,
    /// The whole hash of what it was made from.
    pub digest: String,
    pub image: String,
    /// The ports of its Service, from an annotation.
    pub ports: Vec<ServicePort>,
    pub owner: Owner,
}

/// The API server refused an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub object: Object,
    /// What of the object was to be written.
    pub part: Part,
    /// HTTP status code; 0 when there was no answer.
    pub code: u16,
    pub message: String,
    /// The latest of the refusals in a row.
    pub at: Timestamp,
    /// How many in a row.
    pub times: u32,
    /// Since when the answer has been a denial (403 or 422) each time, if the latest was one.
    pub denied_since: Option<Timestamp>,
    /// `metadata.generation` of the rollout at that time.
    pub generation: i64,
}

impl Refusal {
    /// The longest pause before a refused write is tried again.
    pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);
    /// A request that has no answer by then has failed.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

    /// It is of the same write as this effect.
    pub fn is_of(&self, effect: &Effect) -> bool {
        self.object == effect.object() && self.part == effect.part()
    }

    /// The API server has understood the request and doesn't want it: the rules of the cluster, or what is written, must change.
    pub const fn denies(code: u16) -> bool {
        matches!(code, 403 | 422)
    }
}
