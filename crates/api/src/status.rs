//! `status`: what the operator has decided. Every effect follows from what is recorded here.

use crate::{Protocol, ServicePort};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// What the operator has decided and seen.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlueGreenRolloutStatus {
    /// The generation of `spec` that this status answers.
    pub observed_generation: i64,
    /// Where the rollout stands. More phases may come: for programs there are the conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "phase_schema")]
    pub phase: Option<Phase>,
    /// What is going on, in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What kind of trouble keeps pods from getting ready, where the message names one. More kinds may come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<TroubleKind>,
    /// Number of the latest attempt to bring a revision live.
    pub attempt: i64,
    /// Number of the latest revision.
    pub revisions: i64,
    /// Pods of the active side.
    pub replicas: i32,
    /// Selects the pods of the active side, for an HPA.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// The side that user traffic reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<Side>,
    /// The side of the candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<Side>,
    /// The side that the latest promotion left, still at full size: the instant way back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standby: Option<Side>,
    /// The side that was aborted or rolled back and is to be scaled down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Side>,
    /// The revision that was active before the present one: the slow way back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Side>,
    /// The revision that was given up. It is not tried again until `spec` asks for another one, or someone says retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejected>,
    /// What stands before the promotion, or before the end of the monitoring, and how far it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub gates: Vec<Gate>,
    /// Why and how the attempt is being ended, in Aborting and RollingBack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// The clock of the phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// Orders that were carried out or came too late: verb and value. They do nothing until their value changes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub orders: BTreeMap<String, String>,
    /// Held by an order, as by `spec.paused`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused_by_order: bool,
    /// The size in `spec` that came together with the candidate and waits for the switch or the abort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_replicas: Option<i32>,
    /// Raised whenever a recorded intention is withdrawn.
    #[serde(skip_serializing_if = "is_zero")]
    pub epoch: i64,
    /// Raised when two revisions share a short hash.
    #[serde(skip_serializing_if = "is_zero")]
    pub collision_count: i64,
    /// The attempt under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Attempt>,
    /// The latest finished attempts, the newest first, at most 10.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Attempt>,
    /// Ready always; Reconciling and Stalled only while True, never both; Promoted when the revision of `spec` is active and its monitoring has ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

/// One of a rollout's two Deployments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    Blue,
    Green,
}

impl Color {
    pub const fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a rollout stands. The order is that of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// The first revision gets its pods.
    Initializing,
    /// The active side serves; nothing is under way.
    Healthy,
    /// The candidate's pods are coming up.
    DeployingPreview,
    /// Checks and metrics of the candidate.
    Verifying,
    /// Verified; waits for an approval or a time.
    AwaitingPromotion,
    /// The candidate is brought to full size.
    ScalingUp,
    /// The switch is decided and under way.
    Promoting,
    /// The new active side is watched; the former stands by.
    Monitoring,
    /// The former side is scaled down.
    ScalingDown,
    /// The candidate is given up before the switch.
    Aborting,
    /// Traffic goes back to the former revision.
    RollingBack,
    /// The candidate was given up; the last good revision serves.
    Aborted,
    /// A revision was rolled back; the last good one serves.
    RolledBack,
}

impl Phase {
    pub const ALL: [Self; 13] = [
        Self::Initializing,
        Self::Healthy,
        Self::DeployingPreview,
        Self::Verifying,
        Self::AwaitingPromotion,
        Self::ScalingUp,
        Self::Promoting,
        Self::Monitoring,
        Self::ScalingDown,
        Self::Aborting,
        Self::RollingBack,
        Self::Aborted,
        Self::RolledBack,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "Initializing",
            Self::Healthy => "Healthy",
            Self::DeployingPreview => "DeployingPreview",
            Self::Verifying => "Verifying",
            Self::AwaitingPromotion => "AwaitingPromotion",
            Self::ScalingUp => "ScalingUp",
            Self::Promoting => "Promoting",
            Self::Monitoring => "Monitoring",
            Self::ScalingDown => "ScalingDown",
            Self::Aborting => "Aborting",
            Self::RollingBack => "RollingBack",
            Self::Aborted => "Aborted",
            Self::RolledBack => "RolledBack",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn phase_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string"})
}

fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

fn optional_time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time", "nullable": true})
}

/// A revision in a color, with the size that is asked of it.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    pub color: Color,
    /// Short hash of pod template and ports.
    pub revision: String,
    /// Its number: 1, 2, 3…
    pub number: i64,
    pub image: String,
    /// The size asked of its Deployment.
    pub replicas: i32,
    /// Of its Service while that selects this side.
    pub ports: Vec<SidePort>,
    /// `metadata.generation` of its Deployment after the latest write; another is drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
}

/// A port as it is written to a Service.
pub type SidePort = ServicePort;

impl ServicePort {
    pub fn protocol(&self) -> Protocol {
        self.protocol.unwrap_or(Protocol::TCP)
    }
}

/// A revision that was given up.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    pub revision: String,
    pub number: i64,
    pub attempt: i64,
    pub image: String,
    /// A word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    #[schemars(schema_with = "time_schema")]
    pub at: Timestamp,
}

/// How the attempt under way is going to end, once that is decided.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    pub outcome: Outcome,
    /// A word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// A person said so: for a switch back one ready pod is enough.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
    /// The standby was gone: the former revision is deployed again before the switch back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slow: bool,
}

/// Something that must be passed, and how far it is.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// `verification/NAME`, `verification/TEMPLATE/NAME`, the same with `monitoring`, or `approval`.
    pub name: String,
    pub state: GateState,
    /// What it counts in the gate `verification/score` or `monitoring/score`. A gate with a weight decides nothing alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// Hash of the gate's definition: a result counts only for the definition it was got with.
    pub definition: String,
    /// Why the gate is in its state, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When the state was reached.
    #[schemars(schema_with = "time_schema")]
    pub since: Timestamp,
    /// For a metric: what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// For a check that asks something outside of the pods: the tries so far that did not settle it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<Tries>,
}

impl Gate {
    /// Its state decides what becomes of the attempt; that of a gate with a weight counts in the score only.
    pub const fn decides(&self) -> bool {
        self.weight.is_none()
    }
}

/// Tries of a check that is not settled.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tries {
    /// How many were answered with no, or not at all.
    pub failed: i32,
    /// When the latest came to its end.
    #[schemars(schema_with = "time_schema")]
    pub at: Timestamp,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GateState {
    Running,
    Passed,
    Failed,
    Inconclusive,
}

/// What keeps pods from getting ready.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TroubleKind {
    /// An image can't be pulled.
    Image,
    /// Containers end.
    Crash,
    /// A container can't be created, for a Secret or a ConfigMap that is missing as a rule.
    Config,
    /// No node has room.
    Schedule,
    /// Pods can't be created: a quota or a webhook refuses them.
    Create,
}

/// The readings of a metric and what they add up to.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Measured {
    /// Good readings so far.
    pub good: i32,
    /// Bad readings in a row.
    pub bad_in_row: i32,
    /// When the first of them was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_time_schema")]
    pub bad_since: Option<Timestamp>,
    /// Readings in a row that were worse than before the switch and broke no other limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub doubtful_in_row: i32,
    /// When the first of them was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_time_schema")]
    pub doubtful_since: Option<Timestamp>,
    /// Readings without data in a row.
    pub no_data_in_row: i32,
    /// Readings in a row that the source failed to give.
    pub errors_in_row: i32,
    /// Milliseconds covered by readings that had data: what counts as bake time.
    pub covered_millis: i64,
    /// What a comparison has added up to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
    /// What a comparison of latencies has added up to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distributions: Option<Distributions>,
    /// What was asked for the latest reading, ready to be asked by hand: the queries with their variables put in, each up to 1024 characters; or the Job.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<String>,
    /// The verdict of a dry run, where it would not have passed: `Failed` or `Inconclusive`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<GateState>,
    /// The latest readings, the newest first, at most 10.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Reading>,
}

/// Requests of both sides since the first reading, and what they tell.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Compared {
    pub candidate: Counted,
    pub active: Counted,
    /// For each ratio of error rates looked for (1.25, 1.5, 2, 3, 5 and 10 times the tolerated one) the natural logarithm of how many times
    /// likelier it makes the counts, as text.
    pub evidence: Vec<String>,
}

/// Of one side, as text: counters are no whole numbers everywhere.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counted {
    /// Failed requests since the first reading.
    pub errors: String,
    /// All requests since the first reading.
    pub requests: String,
    /// The counter of failed requests when weighed last.
    pub errors_at: String,
    /// The counter of all requests then.
    pub requests_at: String,
}

/// How long requests of both sides took since the first reading, and what that tells.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Distributions {
    /// The upper bounds of the buckets that both sides have, as text, the smallest first and `+Inf` last; at most 64.
    pub bounds: Vec<String>,
    pub candidate: Distribution,
    pub active: Distribution,
    /// Pairs that were weighed, of one request of either side: in each reading as many as the side with fewer requests had. As text.
    pub pairs: String,
    /// In how many of these the candidate's request was slower, those in the same bucket counted half. As text.
    pub slower: String,
    /// For each bet (1/32, 1/16, 1/8, 1/4, 1/2 and 3/4 of what is had, on a pair in which the candidate's request is slower) the natural
    /// logarithm of what it has made of 1, as text.
    pub evidence: Vec<String>,
}

/// The requests of one side.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Distribution {
    /// Requests since the first reading, as text.
    pub requests: String,
    /// The buckets' cumulative counters when weighed last, as text, in the order of the bounds.
    pub buckets_at: Vec<String>,
}

/// One measurement.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    #[schemars(schema_with = "time_schema")]
    pub at: Timestamp,
    /// The number measured, as text; or NoData, NaN, Infinite, TooFew, Failed.
    pub value: String,
}

/// Time in a phase, less the time that doesn't count.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clock {
    /// When the phase began.
    #[schemars(schema_with = "time_schema")]
    pub since: Timestamp,
    /// Milliseconds that don't count: paused, or without an operator to look.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub excluded_millis: i64,
    /// Since when the clock stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_time_schema")]
    pub stopped: Option<Timestamp>,
    /// Absences of the operator up to here are accounted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_time_schema")]
    pub accounted_until: Option<Timestamp>,
}

/// One try to bring a revision live.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    pub attempt: i64,
    pub revision: String,
    pub number: i64,
    pub image: String,
    /// The image that served before it, and serves again when it fails.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from_image: String,
    /// The field manager that last wrote `spec` when it began.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// The phases it went through, and when it entered each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseTime>,
    /// Results of its gates, set when it ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// A word for programs: why it ended so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_time_schema")]
    pub finished: Option<Timestamp>,
}

#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseTime {
    #[schemars(schema_with = "phase_schema")]
    pub phase: Phase,
    #[schemars(schema_with = "time_schema")]
    pub at: Timestamp,
}

#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateResult {
    pub name: String,
    pub state: GateState,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How an attempt ended.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Promoted,
    Aborted,
    RolledBack,
    /// `spec` went back to the revision that served before.
    Reverted,
    /// `spec` asked for yet another revision before the switch.
    Superseded,
}
