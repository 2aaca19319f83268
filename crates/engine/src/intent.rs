//! What a recorded status intends: where it leads users, which sizes it leads to, and when sides go.

use crate::{clock, plan::Plan};
use bluegreen_api::{BlueGreenRolloutStatus, Color, Lifetime, Outcome, Phase, Side};
use jiff::Timestamp;
use std::time::Duration;

/// The candidate that the switch is decided for while its pods start. In any other phase the word in status means nothing.
pub(crate) fn armed(status: &BlueGreenRolloutStatus) -> Option<&Side> {
    status.preview.as_ref().filter(|_| status.armed && status.phase == Some(Phase::DeployingPreview))
}

/// The candidate that the switch is decided for: while its pods start, or once they are there.
pub(crate) fn switches_to(status: &BlueGreenRolloutStatus) -> Option<&Side> {
    armed(status).or_else(|| status.preview.as_ref().filter(|_| status.phase == Some(Phase::Promoting)))
}

/// The side that the recorded intention leads to, once it can be carried out.
pub(crate) fn intended(status: &BlueGreenRolloutStatus) -> Option<&Side> {
    let back = || status.standby.as_ref().filter(|_| status.phase == Some(Phase::RollingBack));
    switches_to(status).or_else(back).or(status.active.as_ref())
}

/// A person wants the former revision back at once.
pub(crate) fn one_pod_is_enough(status: &BlueGreenRolloutStatus) -> bool {
    status.ending.as_ref().is_some_and(|ending| ending.ordered && !ending.slow)
}

/// When the standby may go: after the drain and the time it stands by.
pub(crate) fn scale_down_due(plan: &Plan<'_>, status: &BlueGreenRolloutStatus) -> Option<Timestamp> {
    let Lifetime::For(after) = plan.settings.after else { return None };
    clock::due(status.clock.as_ref()?, plan.settings.drain.saturating_add(after.0))
}

/// How long the side that was given up stays: one that served is drained, one that didn't is kept to be looked at.
pub(crate) fn leaving_stays(plan: &Plan<'_>, status: &BlueGreenRolloutStatus) -> Option<Duration> {
    let ending = status.ending.as_ref()?;
    let aborted = status.phase == Some(Phase::Aborting);
    let next_waits = plan
        .wanted
        .as_ref()
        .is_some_and(|wanted| status.active.as_ref().is_none_or(|active| active.revision != wanted.hash) && !status.gave_up(&wanted.hash));
    Some(match (aborted, ending.outcome) {
        (true, Outcome::Reverted) => Duration::ZERO,
        (true, _) if next_waits => Duration::ZERO,
        (true, _) => plan.settings.after_abort,
        (false, _) => plan.settings.drain,
    })
}

/// When it may go.
pub(crate) fn leaving_due(plan: &Plan<'_>, status: &BlueGreenRolloutStatus) -> Option<Timestamp> {
    let clock = status.clock.as_ref()?;
    // What protects nobody any more is not held by a pause.
    let running = bluegreen_api::Clock { stopped: None, ..clock.clone() };
    clock::due(&running, leaving_stays(plan, status)?)
}

/// Where a status leads the active Service.
pub(crate) fn place(status: &BlueGreenRolloutStatus) -> Option<(Color, &str)> {
    intended(status).map(|side| (side.color, side.revision.as_str()))
}

/// The size that a status leads a color to.
pub(crate) fn size(status: &BlueGreenRolloutStatus, color: Color) -> Option<i32> {
    status.phase?;
    let at = |side: &Option<bluegreen_api::Side>| side.as_ref().filter(|side| side.color == color).map(|side| side.replicas);
    let standby = at(&status.standby).map(|replicas| if status.phase == Some(Phase::ScalingDown) { 0 } else { replicas });
    Some(at(&status.active).or(standby).or(at(&status.preview)).unwrap_or(0))
}

pub(crate) fn revision(status: &BlueGreenRolloutStatus, color: Color) -> Option<&str> {
    let sides = [&status.active, &status.standby, &status.preview];
    sides.into_iter().flatten().find(|side| side.color == color).map(|side| side.revision.as_str())
}
