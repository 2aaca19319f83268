//! Types and reasons of conditions. Reasons are part of the API: clients match on them.

pub const READY: &str = "Ready";
pub const RECONCILING: &str = "Reconciling";
pub const STALLED: &str = "Stalled";
pub const PROMOTED: &str = "Promoted";

/// The active side serves the revision of `spec`, and no rollout is in progress.
pub const AVAILABLE: &str = "Available";
/// The active side serves with fewer pods than requested.
pub const DEGRADED: &str = "Degraded";
pub const INITIALIZING: &str = "Initializing";
pub const DEPLOYING: &str = "DeployingPreview";
pub const VERIFYING: &str = "Verifying";
pub const AWAITING_APPROVAL: &str = "AwaitingApproval";
pub const AWAITING_PROMOTION: &str = "AwaitingPromotion";
/// The candidate has passed its gates and stays in preview: `promotion.mode` is Never.
pub const VERIFIED: &str = "Verified";
pub const SCALING_UP: &str = "ScalingUp";
pub const PROMOTING: &str = "Promoting";
pub const MONITORING: &str = "Monitoring";
pub const SCALING_DOWN: &str = "ScalingDown";
pub const ABORTING: &str = "Aborting";
pub const ROLLING_BACK: &str = "RollingBack";
pub const ABORTED: &str = "Aborted";
pub const ROLLED_BACK: &str = "RolledBack";
pub const PAUSED: &str = "Paused";
pub const NO_REPLICAS: &str = "NoReplicas";

/// `spec` can't be carried out; the message gives the cause.
pub const INVALID_SPEC: &str = "InvalidSpec";
/// The API server refused an object; the message quotes its answer.
pub const REFUSED: &str = "Refused";
/// An object of the required name belongs to another owner.
pub const NOT_OURS: &str = "NotOurs";
/// An object is being deleted and will be recreated.
pub const BEING_DELETED: &str = "BeingDeleted";
/// The operator can't watch objects that its decisions need.
pub const WATCH_DOWN: &str = "WatchDown";
/// An object of the rollout can't be read; the message names it.
pub const UNREADABLE: &str = "Unreadable";
/// The pods of the new revision made no progress within `spec.progressDeadline`.
pub const PROGRESS_DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";
/// The pods of the new revision can never become ready, for example for an invalid image name.
pub const HOPELESS: &str = "Hopeless";
pub const CHECK_FAILED: &str = "CheckFailed";
pub const METRIC_FAILED: &str = "MetricFailed";
pub const INCONCLUSIVE: &str = "Inconclusive";
pub const VERIFICATION_TIMED_OUT: &str = "VerificationTimedOut";
pub const PROMOTION_TIMED_OUT: &str = "PromotionTimedOut";
pub const POD_TROUBLE: &str = "PodTrouble";
pub const ENDPOINTS_STALE: &str = "EndpointsStale";
pub const BOTH_BROKEN: &str = "BothSidesBroken";
pub const LOST_READINESS: &str = "LostReadiness";
pub const ORDERED: &str = "Ordered";
pub const REVERTED: &str = "Reverted";
pub const SUPERSEDED: &str = "Superseded";
pub const NO_WAY_BACK: &str = "NoWayBack";
