//! What the world must look like for a recorded status, and the effects that make it so, protection first.

mod deployments;
pub(crate) mod fences;
pub(crate) mod protection;
pub(crate) mod retry;
mod revisions;
mod services;

use crate::{
    decision::{Effect, Role},
    observed::{Observed, facts},
    plan::Plan,
};
use bluegreen_api::Color;

/// The effects that the recorded status asks for and the world doesn't show yet.
pub(crate) fn wanted(seen: &Observed, plan: &Plan<'_>) -> Vec<Effect> {
    let status = &seen.status;
    let mut effects = Vec::new();
    // What is left of a status without a phase is not believed.
    let Some(active) = status.active.as_ref().filter(|_| status.phase.is_some()) else { return effects };
    let (first, rest): (Vec<_>, Vec<_>) =
        services::targets(seen, plan, status, active).into_iter().partition(|(role, _)| role.is_protected());
    effects.extend(first.iter().flat_map(|(role, target)| services::lead(seen, *role, target)));
    let (marked, unmarked): (Vec<_>, Vec<_>) = first.iter().map(|(role, _)| *role).partition(|role| services::is_marked(seen, *role));
    effects.extend(unmarked.iter().flat_map(|role| services::settle(seen, *role)));
    for side in [Some(active), status.standby.as_ref(), status.preview.as_ref()].into_iter().flatten() {
        effects.extend(revisions::write(seen, plan, status, side));
        effects.extend(deployments::write(seen, plan, status, side));
    }
    effects.extend(rest.iter().flat_map(|(role, target)| services::lead(seen, *role, target)));
    let settled = marked.into_iter().chain(rest.iter().map(|(role, _)| *role));
    effects.extend(settled.flat_map(|role| services::settle(seen, role)));
    effects.extend(deployments::unused_color(seen, plan, status));
    effects.extend(revisions::housekeeping(seen, plan, status));
    // What else is written of an object comes first: `retry` lets through one write of it at a time.
    effects.extend([Color::Blue, Color::Green].into_iter().filter_map(|color| deployments::settle(seen, color)));
    // Its content isn't known: what would be made of it neither.
    effects.retain(|effect| !seen.cannot_read(&effect.object()));
    effects
}

/// What keeps users served whatever else a status means: the active Service reaches a side that the status names, and what serves or
/// could serve at once has its Deployment.
pub(crate) fn least(seen: &Observed, plan: &Plan<'_>) -> Vec<Effect> {
    let status = &seen.status;
    let sides = || [&status.active, &status.standby, &status.preview].into_iter().flatten();
    let is_led = facts::serves_nobody(seen) || sides().any(|side| facts::selects(seen, side));
    let service = status.active.iter().filter(|_| !is_led).flat_map(|active| services::lead(seen, Role::Active, &facts::target(active)));
    let lost = [&status.active, &status.standby].into_iter().flatten().filter(|side| seen.color(side.color).deployment.is_none());
    service.chain(lost.filter_map(|side| deployments::write(seen, plan, status, side))).collect()
}
