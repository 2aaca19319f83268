//! What the world must look like for a recorded status, and the effects that make it so, protection first.

mod deployments;
pub(crate) mod fences;
pub(crate) mod protection;
pub(crate) mod retry;
mod revisions;
mod services;

use crate::{decision::Effect, observed::Observed, plan::Plan};

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
    effects
}
