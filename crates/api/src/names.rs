//! Labels and annotations that the operator writes or reads, and the names of the objects it owns.

/// The field manager of every write.
pub const FIELD_MANAGER: &str = "bluegreen";

/// On every owned object and its pods: the name of the rollout.
pub const ROLLOUT_LABEL: &str = "bluegreen.dev/rollout";
/// On both Deployments and their pods: `blue` or `green`.
pub const COLOR_LABEL: &str = "bluegreen.dev/color";
/// On pods, Deployments and ControllerRevisions: the short hash of the revision.
pub const REVISION_LABEL: &str = "bluegreen.dev/revision";
/// On Services: `active` or `preview`.
pub const ROLE_LABEL: &str = "bluegreen.dev/role";
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// On the Jobs of a metric: a hash of the metric, the revision that it judges and the attempt.
pub const METRIC_LABEL: &str = "bluegreen.dev/metric";

/// Labels and annotations with this prefix are the operator's.
pub const PREFIX: &str = "bluegreen.dev/";
/// On Deployments and Services: raised when a recorded intention on the object is withdrawn, so that a
/// writer who still holds the older intention is refused by the changed resourceVersion.
pub const EPOCH_ANNOTATION: &str = "bluegreen.dev/epoch";
/// On the active Service: the revision that the latest promotion left. After the loss of the status this annotation distinguishes a
/// standby from a candidate.
pub const FORMER_ANNOTATION: &str = "bluegreen.dev/former-revision";
/// On Services: the names of labels, annotations and fields that `spec` asked for when they were written. What `spec` asks for no more is
/// removed by it.
pub const SETTINGS_ANNOTATION: &str = "bluegreen.dev/settings";
/// On an object of another owner: permission for this rollout to adopt the object.
pub const ADOPT_ANNOTATION: &str = "bluegreen.dev/adopt";
/// On ControllerRevisions: the full hash of template and ports, which shows a collision of short hashes.
pub const DIGEST_ANNOTATION: &str = "bluegreen.dev/digest";
/// On ControllerRevisions: the ports of the Service, as JSON.
pub const PORTS_ANNOTATION: &str = "bluegreen.dev/ports";
/// On ControllerRevisions: the image of the revision, for people.
pub const IMAGE_ANNOTATION: &str = "bluegreen.dev/image";

/// `<name>-blue`, `<name>-green`
pub fn deployment(rollout: &str, color: crate::Color) -> String {
    format!("{rollout}-{color}")
}

/// `<name>-<hash>`
pub fn revision(rollout: &str, hash: &str) -> String {
    format!("{rollout}-{hash}")
}
