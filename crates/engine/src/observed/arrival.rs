//! Arrivals: a color takes its template whole when it gets a role that it didn't have.

use super::DeploymentSeen;
use bluegreen_api::{BlueGreenRolloutStatus, Phase, Side};

/// The marker of the arrival that a status asks for: its color gets a role that it didn't have. A side that serves or stands by has
/// arrived long ago.
pub fn arrival(status: &BlueGreenRolloutStatus, side: &Side) -> Option<String> {
    let is = |other: &Option<Side>| other.as_ref().is_some_and(|other| (other.color, &other.revision) == (side.color, &side.revision));
    if is(&status.preview) || (is(&status.active) && status.phase == Some(Phase::Initializing)) {
        return Some(status.attempt.to_string());
    }
    let slow = status.phase == Some(Phase::RollingBack) && status.ending.as_ref().is_some_and(|ending| ending.slow);
    (slow && is(&status.standby)).then(|| format!("{}-back", status.attempt))
}

/// The color has arrived in the role that the status gives it.
pub fn arrived(status: &BlueGreenRolloutStatus, side: &Side, deployment: &DeploymentSeen) -> bool {
    let Some(marker) = arrival(status, side) else { return true };
    // What is recorded of an earlier operator's write has no marker.
    deployment.revision == side.revision && (side.generation.is_some() || deployment.arrival == marker)
}
