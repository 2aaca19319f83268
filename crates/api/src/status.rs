//! `status`: the decisions of the operator. Every effect follows from this record.

use crate::{Protocol, ServicePort};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// State that the operator has recorded. Every effect follows from it.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlueGreenRolloutStatus {
    /// Generation of `spec` that this status reflects.
    pub observed_generation: i64,
    /// Phase of the rollout. More phases may come: programs should read the conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word_schema")]
    pub phase: Option<Phase>,
    /// Current state in one sentence: cause, end, and the next command if there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Kind of trouble that keeps pods from getting ready, where the message names one. More kinds may come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word_schema")]
    pub trouble: Option<TroubleKind>,
    /// The present wait. Absent at rest, when nothing is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Number of the latest attempt to bring a revision live.
    pub attempt: i64,
    /// Number of the latest revision.
    pub revisions: i64,
    /// Number of pods of the active side.
    pub replicas: i32,
    /// Label selector of the active side's pods, for an HPA.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// Side that user traffic reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<Side>,
    /// Side of the candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<Side>,
    /// The switch to the candidate is decided and waits for nothing but pods, in DeployingPreview.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub armed: bool,
    /// Side that the latest promotion left, still at full size, for an instant rollback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standby: Option<Side>,
    /// Side that was aborted or rolled back and will be scaled down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Side>,
    /// Revision that was active before the present revision. A rollback without a standby deploys it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Side>,
    /// Revision that was aborted or rolled back. It is not tried again until `spec` asks for another revision, or a person annotates the
    /// rollout with `retry`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejected>,
    /// Revisions that were aborted or rolled back since `spec` last asked for another one, newest first, at most 10. None of them is
    /// tried again by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejections: Vec<Rejection>,
    /// Gates of the current attempt and their progress.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub gates: Vec<Gate>,
    /// Reason and outcome of the attempt, in Aborting and RollingBack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// Clock of the phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// Orders that were carried out, ignored or came too late: the annotation after `bluegreen.dev/`, with its value. Each has no effect until
    /// its value changes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub orders: BTreeMap<String, String>,
    /// Orders that were ignored in the current phase, as long as their annotations stay. At most 8.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored_orders: Vec<IgnoredOrder>,
    /// Paused by annotation, as by `spec.paused`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused_by_order: bool,
    /// Value of `spec.replicas` that came together with the candidate, and takes effect with the switch or the abort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_replicas: Option<i32>,
    /// Counter, raised whenever a recorded intention is withdrawn.
    #[serde(skip_serializing_if = "is_zero")]
    pub epoch: i64,
    /// Counter, raised when two revisions share a short hash.
    #[serde(skip_serializing_if = "is_zero")]
    pub collision_count: i64,
    /// Attempt in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Attempt>,
    /// Latest finished attempts, newest first, at most 10.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Attempt>,
    /// Conditions. Ready and Promoted are always present. Promoted is True when the revision of `spec` is active and its monitoring has
    /// ended. Reconciling and Stalled are present only while True, and never both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl BlueGreenRolloutStatus {
    /// This revision was given up, and is not tried again by itself.
    pub fn gave_up(&self, revision: &str) -> bool {
        // The newest alone is known of a status that an earlier version recorded.
        let newest = self.rejected.iter().map(|rejected| &rejected.revision);
        newest.chain(self.rejections.iter().map(|rejection| &rejection.revision)).any(|rejected| rejected == revision)
    }
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

/// Times of a wait.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Time when the wait began: the rollout has had its phase and the reason of its conditions since then.
    #[schemars(schema_with = "time_schema")]
    pub since: Timestamp,
    /// Time when the wait ends by itself, if that time is fixed. Absent for a wait whose end moves with pods, readings or a person. A
    /// monitoring whose gates lack readings goes on after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_time_schema")]
    pub until: Option<Timestamp>,
}

/// Phase of a rollout. The order is that of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// The pods of the first revision start.
    Initializing,
    /// The active side serves; nothing is under way.
    Healthy,
    /// The candidate's pods start.
    DeployingPreview,
    /// Checks and metrics of the candidate run.
    Verifying,
    /// The candidate is verified, and waits for an approval or a time.
    AwaitingPromotion,
    /// The candidate is scaled to full size.
    ScalingUp,
    /// The switch is recorded and in progress.
    Promoting,
    /// The new active side is monitored; the former side stands by.
    Monitoring,
    /// The former side stands by, then is scaled down.
    ScalingDown,
    /// The candidate is removed before the switch.
    Aborting,
    /// Traffic goes back to the former revision.
    RollingBack,
    /// The candidate was aborted; the last good revision serves.
    Aborted,
    /// A revision was rolled back; the last good revision serves.
    RolledBack,
    /// A word of another version of the operator.
    #[serde(other)]
    Unknown,
}

impl BlueGreenRolloutStatus {
    /// The field with a word that this version doesn't know. What such a status means can only be guessed, and writing it would lose the word.
    pub fn unknown_word(&self) -> Option<&'static str> {
        let attempts = || self.current.iter().chain(&self.history);
        let of_gate = |gate: &Gate| {
            let rehearsed = gate.measured.as_ref().and_then(|measured| measured.dry_run);
            [Some(gate.state), rehearsed].contains(&Some(GateState::Unknown))
        };
        let of_attempt = |attempt: &Attempt| {
            attempt.outcome == Some(Outcome::Unknown)
                || attempt.phases.iter().any(|it| it.phase == Phase::Unknown)
                || attempt.gates.iter().any(|gate| gate.state == GateState::Unknown)
        };
        let found = [
            ("phase", self.phase == Some(Phase::Unknown)),
            ("gates", self.gates.iter().any(of_gate)),
            ("ending", self.ending.as_ref().is_some_and(|ending| ending.outcome == Outcome::Unknown)),
            ("trouble", self.trouble == Some(TroubleKind::Unknown)),
            ("history", attempts().any(of_attempt)),
        ];
        found.into_iter().find_map(|(field, unknown)| unknown.then_some(field))
    }
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
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Words are open: another version of the operator may know more of them, and the API server keeps what it is given.
fn word_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string"})
}

fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

fn optional_time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time", "nullable": true})
}

/// A revision in a color, with the size of its Deployment.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    pub color: Color,
    /// Short hash of pod template and ports.
    pub revision: String,
    /// Number of the revision: 1, 2, 3…
    pub number: i64,
    pub image: String,
    /// Replicas requested of the Deployment.
    pub replicas: i32,
    /// Ports of the Service while the Service selects this side.
    pub ports: Vec<SidePort>,
    /// `metadata.generation` of the Deployment after the operator's latest write. Any other generation is drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Number of ready pods when the latest promotion left this side. A rollback needs three quarters of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_when_left: Option<i32>,
    /// Time when replicas were raised from 0. Absent once a pod has been ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_time_schema")]
    pub starting_since: Option<Timestamp>,
}

/// A port as it is written to a Service.
pub type SidePort = ServicePort;

impl Protocol {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TCP => "TCP",
            Self::UDP => "UDP",
            Self::SCTP => "SCTP",
        }
    }
}

impl ServicePort {
    pub fn protocol(&self) -> Protocol {
        self.protocol.unwrap_or(Protocol::TCP)
    }
}

/// A revision that was aborted or rolled back.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    pub revision: String,
    pub number: i64,
    pub attempt: i64,
    pub image: String,
    /// Reason, as one word for programs.
    pub reason: String,
    /// Reason, as a sentence for people.
    pub message: String,
    #[schemars(schema_with = "time_schema")]
    pub at: Timestamp,
}

/// A revision that was aborted or rolled back, in short.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    pub revision: String,
    pub number: i64,
    /// Reason, as one word for programs.
    pub reason: String,
    #[schemars(schema_with = "time_schema")]
    pub at: Timestamp,
}

impl From<&Rejected> for Rejection {
    fn from(rejected: &Rejected) -> Self {
        let Rejected { revision, number, reason, at, .. } = rejected.clone();
        Self { revision, number, reason, at }
    }
}

/// Outcome of the attempt in progress, once it is decided.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// Promoted, Aborted, RolledBack, Reverted or Superseded. More outcomes may come.
    #[schemars(schema_with = "word_schema")]
    pub outcome: Outcome,
    /// Reason, as one word for programs.
    pub reason: String,
    /// Reason, as a sentence for people.
    pub message: String,
    /// Requested by a person: one ready pod is enough for the switch back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
    /// The standby was gone: the former revision is deployed again before the switch back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slow: bool,
}

/// A gate that must be passed, and its progress.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// `verification/NAME`, `verification/TEMPLATE/NAME`, the same with `monitoring`, or `approval`.
    pub name: String,
    /// Running, Passed, Failed or Inconclusive. More states may come.
    #[schemars(schema_with = "word_schema")]
    pub state: GateState,
    /// Weight in the gate `verification/score` or `monitoring/score`. A gate with a weight decides nothing alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// Hash of the gate's definition. A result counts only for the definition that it was measured with.
    pub definition: String,
    /// Reason for the state, in one sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Time when the gate reached its state.
    #[schemars(schema_with = "time_schema")]
    pub since: Timestamp,
    /// Readings of a metric and their sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// Tries so far of a check that is not settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<Tries>,
}

impl Gate {
    /// Whether this gate decides about the attempt alone. A gate with a weight counts in the score only.
    pub const fn decides(&self) -> bool {
        self.weight.is_none()
    }
}

/// Tries of a check that is not settled.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tries {
    /// Number of tries that failed or had no answer.
    pub failed: i32,
    /// Number of tries in a row that could not be made, at most 5. With the fifth the gate is inconclusive, and further tries are made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_done: i32,
    /// Time when the latest try ended.
    #[schemars(schema_with = "time_schema")]
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GateState {
    Running,
    Passed,
    Failed,
    Inconclusive,
    /// A word of another version of the operator.
    #[serde(other)]
    Unknown,
}

/// Kind of what keeps pods from getting ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A volume can't be mounted, for a Secret or a ConfigMap that is missing as a rule.
    Volume,
    /// The network or the sandbox of a pod can't be set up.
    Sandbox,
    /// No trouble yet: an init container has not ended.
    Init,
    /// No trouble yet: a container has not started.
    Start,
    /// No trouble yet: a container runs and is not ready.
    Readiness,
    /// A word of another version of the operator.
    #[serde(other)]
    Unknown,
}

/// An order that matched nothing under way.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IgnoredOrder {
    /// The annotation after `bluegreen.dev/`, with its value: `abort=REVISION`.
    pub order: String,
    /// Why it was ignored.
    pub message: String,
}

/// The readings of a metric and their sum.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Measured {
    /// Good readings so far.
    pub good: i32,
    /// Bad readings in a row.
    pub bad_in_row: i32,
    /// Time of the first of these bad readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_time_schema")]
    pub bad_since: Option<Timestamp>,
    /// Readings in a row that were worse than before the switch but within all other limits.
    #[serde(skip_serializing_if = "is_zero")]
    pub doubtful_in_row: i32,
    /// Time of the first of these readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_time_schema")]
    pub doubtful_since: Option<Timestamp>,
    /// Readings in a row without data.
    pub no_data_in_row: i32,
    /// Readings in a row that the source failed to give.
    pub errors_in_row: i32,
    /// Milliseconds covered by readings with data; monitoring counts this time only.
    pub covered_millis: i64,
    /// Sums of a comparison of errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
    /// Sums of a comparison of latencies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distributions: Option<Distributions>,
    /// Requests of the latest reading, to be repeated by hand: the queries with their variables replaced, each up to 1024 characters; or
    /// the Job.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<String>,
    /// The verdict of a dry run, where it would not have passed: `Failed` or `Inconclusive`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word_schema")]
    pub dry_run: Option<GateState>,
    /// Latest readings, newest first, at most 10.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Reading>,
}

/// Requests of both sides since the first reading, and the evidence in them.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Compared {
    pub candidate: Counted,
    pub active: Counted,
    /// Evidence for each ratio of error rates that is tested (1.25, 1.5, 2, 3, 5 and 10 times the tolerated ratio), as text: the natural
    /// logarithm of how many times likelier that ratio makes the counts.
    pub evidence: Vec<String>,
}

/// Counts of one side, as text: counters are not whole numbers everywhere.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counted {
    /// Failed requests since the first reading.
    pub errors: String,
    /// All requests since the first reading.
    pub requests: String,
    /// Counter of failed requests at the last weighing.
    pub errors_at: String,
    /// Counter of all requests at the last weighing.
    pub requests_at: String,
}

/// Durations of requests of both sides since the first reading, and the evidence in them.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Distributions {
    /// Upper bounds of the buckets that both sides have, as text, from the smallest to `+Inf`; at most 64.
    pub bounds: Vec<String>,
    pub candidate: Distribution,
    pub active: Distribution,
    /// Number of weighed pairs of one request of each side, as text. Each reading adds as many pairs as the side with fewer requests had.
    pub pairs: String,
    /// Number of these pairs in which the candidate's request was slower, as text. A pair in one bucket counts half.
    pub slower: String,
    /// Evidence for each bet (1/32, 1/16, 1/8, 1/4, 1/2 and 3/4 of the stake, on pairs in which the candidate's request is slower), as
    /// text: the natural logarithm of the factor by which a stake of 1 has grown.
    pub evidence: Vec<String>,
}

/// Requests of one side.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Distribution {
    /// Requests since the first reading, as text.
    pub requests: String,
    /// Cumulative counters of the buckets at the last weighing, as text, in the order of the bounds.
    pub buckets_at: Vec<String>,
}

/// One measurement.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    #[schemars(schema_with = "time_schema")]
    pub at: Timestamp,
    /// Measured number, as text; or NoData, NaN, Infinite, TooFew, Failed.
    pub value: String,
}

/// Time in a phase, less the time that doesn't count.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clock {
    /// Time when the phase began.
    #[schemars(schema_with = "time_schema")]
    pub since: Timestamp,
    /// Milliseconds that don't count: the rollout was paused, or no operator was running.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub excluded_millis: i64,
    /// Time since which the clock stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_time_schema")]
    pub stopped: Option<Timestamp>,
    /// Time up to which absences of the operator are accounted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_time_schema")]
    pub accounted_until: Option<Timestamp>,
}

/// An attempt to bring a revision live.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    pub attempt: i64,
    pub revision: String,
    pub number: i64,
    pub image: String,
    /// Image that served before the attempt, and serves again if the attempt fails.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from_image: String,
    /// Field manager that last wrote `spec` when the attempt began. Every client chooses its field manager freely: no proof of who wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Phases of the attempt, with the time when each began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseTime>,
    /// Results of its gates, set when the attempt ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateResult>,
    /// Promoted, Aborted, RolledBack, Reverted or Superseded. More outcomes may come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word_schema")]
    pub outcome: Option<Outcome>,
    /// Reason of the outcome, as one word for programs.
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
    #[schemars(schema_with = "word_schema")]
    pub phase: Phase,
    #[schemars(schema_with = "time_schema")]
    pub at: Timestamp,
}

#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateResult {
    pub name: String,
    /// Running, Passed, Failed or Inconclusive. More states may come.
    #[schemars(schema_with = "word_schema")]
    pub state: GateState,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Promoted,
    Aborted,
    RolledBack,
    /// `spec` went back to the revision that served before.
    Reverted,
    /// `spec` asked for another revision before the switch.
    Superseded,
    /// A word of another version of the operator.
    #[serde(other)]
    Unknown,
}
