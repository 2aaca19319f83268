//! The state machine: one function a phase. Each looks at the facts and either moves on or says what it waits for.

mod candidate;
mod draft;
mod endpoints;
mod first;
pub(crate) mod fit;
mod hold;
mod ignored;
mod lost;
pub(crate) mod news;
pub(crate) mod orders;
mod pods;
mod promotion;
mod rest;
mod shut;
mod stay;
mod upkeep;
mod way_back;
mod words;

use crate::{
    decision::{Object, Part},
    observed::{Observed, facts::in_words},
    plan::Plan,
};
use bluegreen_api::{BlueGreenRolloutStatus, Phase, reasons};
use draft::Draft;
use stay::{Stay, StayKind, Step};

/// The status at the next point where something must be done or awaited, and what is waited for.
/// `pending`: what the recorded status wants written.
pub(crate) fn work_out(seen: &Observed, plan: &Plan<'_>, pending: Vec<(Object, Part)>) -> (BlueGreenRolloutStatus, Stay) {
    let mut draft = Draft::new(seen, plan, pending);
    let stay = to_the_next_stay(&mut draft);
    (draft.into_status(), stay)
}

fn to_the_next_stay(draft: &mut Draft<'_>) -> Stay {
    upkeep::pause_orders(draft);
    upkeep::keep_time(draft);
    draft.remember_generations();
    draft.learn_images();
    let mut stay = run(draft);
    if let Some(moment) = hold::for_a_moment(draft, &stay).or_else(|| endpoints::follow_in_a_moment(draft, &stay)) {
        draft.as_recorded();
        return moment;
    }
    ignored::answer(draft);
    draft.follow_replicas();
    upkeep::keep_time(draft);
    let trouble = hold::unread(draft.seen).or_else(|| hold::blocked(draft)).or_else(|| hold::refused(draft));
    if let Some(trouble) = trouble.filter(|_| stay.kind != StayKind::Stalled) {
        stay = Stay { until: stay.until, ..trouble };
    }
    draft.answers();
    draft.count_pods();
    stay.message = upkeep::no_news(draft, &stay).unwrap_or_else(|| ignored::told(draft, stay.message.clone()));
    draft.tell(&stay);
    stay
}

/// The recorded status as it stands, and that one of these objects can't be written.
pub(crate) fn waiting_for_a_write(seen: &Observed, plan: &Plan<'_>, fences: Vec<(Object, Part)>) -> (BlueGreenRolloutStatus, Stay) {
    let named = fences.first().map(|(object, _)| format!(" of {}", in_words(seen, object))).unwrap_or_default();
    let mut draft = Draft::new(seen, plan, fences);
    let again = || Stay::working(reasons::REFUSED, format!("Waiting to retry a refused write{named}"));
    let stay = hold::refused(&draft).unwrap_or_else(again);
    draft.tell(&stay);
    (draft.into_status(), stay)
}

/// The recorded status as it stands, and which object can't be read.
pub(crate) fn waiting_for_a_reader(seen: &Observed, plan: &Plan<'_>, pending: Vec<(Object, Part)>) -> (BlueGreenRolloutStatus, Stay) {
    let mut draft = Draft::new(seen, plan, pending);
    let stay = hold::unread(seen).unwrap_or_else(|| Stay::working(reasons::DEPLOYING, "Waiting"));
    draft.tell(&stay);
    (draft.into_status(), stay)
}

/// Transitions in one decision: more than any way through the phases has.
const BOUND: usize = 24;

/// Runs phases until one has something to wait for.
fn run(draft: &mut Draft<'_>) -> Stay {
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
    let Some(phase) = draft.phase() else { return lost::start(draft) };
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
        // Not reached: nothing is recorded over a word that isn't known.
        Phase::Unknown => Step::Stay(Stay::working(reasons::DEPLOYING, "Another version of the operator wrote the status")),
    }
}
