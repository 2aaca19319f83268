//! Everything that a decision may depend on, as plain data.

use crate::latency::Buckets;
use bluegreen_api::{BlueGreenRolloutSpec, BlueGreenRolloutStatus, Color, GateTemplateSpec, ServicePort, TemplateKind};
use jiff::Timestamp;
use std::collections::BTreeMap;

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
    pub spec: BlueGreenRolloutSpec,
    pub status: BlueGreenRolloutStatus,
    pub blue: ColorSeen,
    pub green: ColorSeen,
    pub active_service: ObjectSeen<ServiceSeen>,
    pub preview_service: ObjectSeen<ServiceSeen>,
    /// Endpoints of the active Service.
    pub endpoints: EndpointsSeen,
    pub revisions: Vec<RevisionSeen>,
    /// Results that came since the status was recorded, in the order of their time.
    pub results: Vec<Measurement>,
    /// The latest refusal of each object's effect, until one on it succeeds.
    pub refusals: Vec<Refusal>,
    /// Grows with each change of leader (`leaseTransitions` of the Lease): a fencing token.
    pub term: i64,
    /// The latest time without an operator: nobody looked in between.
    pub absence: Option<Absence>,
    /// Set while a watch is down: what is seen may be old.
    pub blind: Option<Blind>,
    /// The Prometheus to ask when the rollout names none.
    pub default_prometheus: Option<String>,
    pub templates: TemplatesSeen,
}

impl Observed {
    pub fn color(&self, color: Color) -> &ColorSeen {
        match color {
            Color::Blue => &self.blue,
            Color::Green => &self.green,
        }
    }

    /// A watch is down that something of the rollout depends on.
    pub fn down(&self) -> Option<&Blind> {
        self.blind.as_ref().or(self.templates.blind.as_ref())
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

/// A watch that decisions are made from is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    /// What is watched, and why that fails.
    pub why: String,
    pub since: Timestamp,
}

/// An object by its name: absent, or there with its owner.
#[derive(Clone, Debug, Default)]
pub enum ObjectSeen<T> {
    #[default]
    Absent,
    There(T),
}

impl<T> ObjectSeen<T> {
    pub fn as_ref(&self) -> Option<&T> {
        match self {
            Self::Absent => None,
            Self::There(object) => Some(object),
        }
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
    pub deployment: ObjectSeen<DeploymentSeen>,
    /// All pods with the labels of this rollout and color.
    pub pods: Vec<PodSeen>,
    /// How the pods of the Deployment's revision get on.
    pub progress: Option<Progress>,
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
    /// The revision label of its template.
    pub revision: String,
    /// The epoch annotation, empty when there is none.
    pub epoch: String,
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
    /// Named container ports, to find the port of an HTTP check.
    pub ports: BTreeMap<String, u16>,
    pub ready: bool,
    pub deleting: bool,
    pub created: Timestamp,
    /// When it last became ready or unready.
    pub ready_changed: Option<Timestamp>,
    /// The largest number of restarts among its containers.
    pub restarts: i32,
    pub trouble: Option<PodTrouble>,
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

/// The high-water mark of ready pods of one revision in one color. Folded by [`crate::progress::fold`].
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
}

#[derive(Clone, Debug)]
pub struct ServiceSeen {
    pub resource_version: String,
    pub owner: Owner,
    pub deleting: bool,
    /// All labels that we write are there.
    pub labels_intact: bool,
    /// Type, labels and annotations are those that `spec.service` asks for.
    pub settings_intact: bool,
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

/// A result of something measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Name of the gate.
    pub gate: String,
    /// Hash of the gate's definition.
    pub definition: String,
    pub attempt: i64,
    pub revision: String,
    pub at: Timestamp,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Check(CheckOutcome),
    /// The answers to a metric's questions, which were asked at the same time, in their order.
    Readings(Vec<Reading>),
}

impl Outcome {
    /// The answer to the one question that most metrics ask.
    pub fn reading(reading: Reading) -> Self {
        Self::Readings(vec![reading])
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    Passed(String),
    /// What answered, and why that is not good enough.
    Failed(String),
    /// The check could not be carried out (no ready pod, for one): it counts for nothing and is tried again.
    NotDone(String),
}

/// One measurement of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    Value(f64),
    /// The buckets of one side's histograms, where these were asked for.
    Buckets(Buckets),
    NotANumber,
    NoData,
    /// The source failed, and how: infrastructure trouble, no word on the release.
    Failed(String),
}

impl Reading {
    /// Of several answers the trouble of the source is told first, if there is any: before a lack of data.
    pub fn check_source(answers: &[Self]) -> Result<(), Self> {
        answers.iter().find(|answer| matches!(answer, Self::Failed(_))).cloned().map_or(Ok(()), Err)
    }
}

/// The API server refused an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub object: crate::decision::Object,
    /// HTTP status code; 0 when there was no answer.
    pub code: u16,
    pub message: String,
    /// The latest of the refusals in a row.
    pub at: Timestamp,
    /// How many in a row.
    pub times: u32,
    /// `metadata.generation` of the rollout at that time.
    pub generation: i64,
}

/// The templates that a rollout names.
#[derive(Clone, Debug, Default)]
pub struct TemplatesSeen {
    /// By kind and name; those of its namespace, and those of the cluster.
    pub by_name: BTreeMap<(TemplateKind, String), TemplateSeen>,
    /// Set while a watch of one of these kinds is down or still listing.
    pub blind: Option<Blind>,
}

#[derive(Clone, Debug)]
pub enum TemplateSeen {
    There(Box<GateTemplateSpec>),
    Absent,
    /// It can't be read, and why.
    Unknown(String),
}
