//! The state machine: one function a phase. Each looks at the facts and either moves on or says what it waits for.

mod candidate;
mod first;
mod promotion;
pub(crate) mod rest;
mod way_back;

use crate::draft::{Draft, Stay, Step};
use bluegreen_api::{Phase, reasons};

/// Transitions in one decision: more than any way through the phases has.
const BOUND: usize = 24;

/// Runs phases until one has something to wait for.
pub(crate) fn run(draft: &mut Draft<'_>) -> Stay {
    for _ in 0..BOUND {
        match step(draft) {
            Step::Again => {}
            Step::Stay(stay) => return stay,
        }
    }
    // Not reached: no way through the phases is that long. If it were, recording what we have is safe.
    Stay::working(reasons::DEPLOYING, "Moving through the phases")
}

fn step(draft: &mut Draft<'_>) -> Step {
    let Some(phase) = draft.phase() else { return first::start(draft) };
    match phase {
        Phase::Initializing => first::initializing(draft),
        Phase::Healthy => rest::healthy(draft),
        Phase::DeployingPreview => candidate::deploying_preview(draft),
        Phase::Verifying => candidate::verifying(draft),
        Phase::AwaitingPromotion => candidate::awaiting_promotion(draft),
        Phase::ScalingUp => candidate::scaling_up(draft),
        Phase::Promoting => promotion::promoting(draft),
        Phase::Monitoring => promotion::monitoring(draft),
        Phase::ScalingDown => promotion::scaling_down(draft),
        Phase::Aborting => way_back::aborting(draft),
        Phase::RollingBack => way_back::rolling_back(draft),
        Phase::Aborted | Phase::RolledBack => rest::given_up(draft),
    }
}
