//! The first revision, which has nothing to go back to.

use super::{
    draft::Draft,
    hold::{self, Hold},
    orders::Verb,
    pods::coming_up,
    stay::{Stay, Step},
};
use crate::{observed::facts, plan::Wanted};
use bluegreen_api::{GateState, Outcome, Phase, Side, reasons};
use bluegreen_gates::{gate::not_judged, stage::Stage, text::around};

/// The first revision gets its pods, and serves as they get ready. Trouble is told; nothing is rejected.
pub(super) fn initializing(draft: &mut Draft<'_>) -> Step {
    let Some(active) = draft.status().active.clone() else {
        draft.lost();
        return Step::Again;
    };
    if let Some(wanted) = draft.new_candidate() {
        if let Some(held) = hold::held(draft).filter(|held| held.by != Hold::NoReplicas) {
            return held.into();
        }
        return another_first(draft, &active, wanted);
    }
    if draft.settings().verify_initial {
        if let Some(stay) = first_gates(draft, &active) {
            return stay.into();
        }
    } else if !draft.fully_available(&active) {
        return coming_up(draft, &active).into();
    }
    if let Some(blocked) = hold::blocked(draft) {
        return blocked.into();
    }
    if !draft.settings().verify_initial && !facts::selects(draft.seen, &active) {
        // Handed over by somebody else, or refused: nobody is served by it yet.
        return Stay::working(reasons::INITIALIZING, format!("Waiting for the active Service to select revision {}", active.number)).into();
    }
    draft.finish_attempt(Outcome::Promoted, reasons::AVAILABLE, "the first revision serves");
    draft.rest(Phase::Healthy);
    Step::Again
}

/// `spec` changed before the first revision served in full.
fn another_first(draft: &mut Draft<'_>, active: &Side, wanted: &Wanted<'_>) -> Step {
    draft.finish_attempt(Outcome::Superseded, reasons::SUPERSEDED, "spec asks for another revision");
    if draft.ready_pods(active) > 0 {
        draft.begin_candidate(wanted);
        return Step::Again;
    }
    draft.begin_first(wanted, active.color);
    Step::Again
}

fn first_gates(draft: &mut Draft<'_>, active: &Side) -> Option<Stay> {
    if !draft.fully_available(active) && draft.status().gates.iter().all(|gate| gate.state == GateState::Running) {
        return Some(coming_up(draft, active));
    }
    if let Some(held) = hold::held(draft) {
        return Some(held.stay);
    }
    draft.align_gates(Stage::Verification);
    let failed = draft.deciding(Stage::Verification).find(|gate| gate.state == GateState::Failed);
    if let Some(gate) = failed {
        let advice = format!(". Change spec, or let the gate run again with {}", draft.order(Verb::Retry, &active.revision));
        let message = around(&format!("The first revision did not pass {}: ", gate.name), &gate.message, &advice);
        let reason = draft.reason_of(gate);
        if draft.ordered(Verb::Retry, &active.revision) {
            draft.spend(Verb::Retry);
            draft.ask_all_again();
            draft.align_gates(Stage::Verification);
            return Some(Stay::working(reasons::VERIFYING, "Verifying the first revision before it serves"));
        }
        return Some(Stay::stalled(reason, message));
    }
    let verifying = || Stay::working(reasons::VERIFYING, "Verifying the first revision before it serves");
    if draft.deciding(Stage::Verification).any(|gate| gate.state == GateState::Running) {
        return Some(verifying());
    }
    let unknown = draft.deciding(Stage::Verification).find(|gate| gate.state == GateState::Inconclusive)?.clone();
    if draft.ordered(Verb::Promote, &active.revision) {
        draft.spend(Verb::Promote);
        return None;
    }
    let advice = format!("Decide with {}, or change spec", draft.order(Verb::Promote, &active.revision));
    Some(Stay::working(reasons::INCONCLUSIVE, not_judged(&unknown, &advice)))
}
