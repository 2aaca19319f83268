//! The first revision, which has nothing to go back to.

use super::{
    draft::Draft,
    hold::{self, Hold},
    orders::Verb,
    pods::coming_up,
    stay::{Stay, Step},
    words,
};
use crate::{
    decision::Role,
    observed::{facts, services::service_name},
    plan::Wanted,
};
use bluegreen_api::{GateState, Outcome, Phase, Side, reasons};
use bluegreen_gates::{
    gate::not_judged,
    stage::Stage,
    text::{Advice, advised},
};

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
        let name = service_name(draft.seen, Role::Active);
        return Stay::working(reasons::INITIALIZING, format!("Waiting until Service {name} selects revision {}", active.number)).into();
    }
    draft.finish_attempt(Outcome::Promoted, reasons::AVAILABLE, "the first revision serves");
    draft.rest(Phase::Healthy);
    Step::Again
}

/// `spec` changed before the first revision served in full.
fn another_first(draft: &mut Draft<'_>, active: &Side, wanted: &Wanted<'_>) -> Step {
    draft.superseded(wanted);
    // One that hasn't passed the gates serves nobody, also when the next comes: beside a candidate it would be what serves.
    let withheld = facts::serves_nobody(draft.seen) || (draft.settings().verify_initial && !facts::selects(draft.seen, active));
    if draft.ready_pods(active) > 0 && !withheld {
        draft.begin_candidate(wanted);
        return Step::Again;
    }
    draft.begin_first(wanted, active.color);
    Step::Again
}

fn first_gates(draft: &mut Draft<'_>, active: &Side) -> Option<Stay> {
    if !draft.fully_available(active)
        && draft.status().gates.iter().all(|gate| matches!(gate.state, GateState::Running | GateState::Inconclusive))
    {
        return Some(coming_up(draft, active));
    }
    if let Some(held) = hold::held(draft) {
        return Some(held.stay);
    }
    draft.align_gates(Stage::Verification);
    // Without an end: there is nothing else that could serve.
    let verifying =
        |draft: &Draft<'_>| Stay::working(reasons::VERIFYING, words::verifying(draft, active, " before it serves", " (no time limit)"));
    let failed = draft.deciding(Stage::Verification).find(|gate| gate.state == GateState::Failed);
    if let Some(gate) = failed {
        let advice = Advice {
            state: format!(". Revision {} does not serve", active.number),
            command: format!("Retry: {}", draft.order(Verb::Retry, &active.revision)),
            instead: "; or change spec".into(),
        };
        let message = advised(&format!("{} failed: ", gate.name), &gate.message, &advice);
        let reason = draft.reason_of(gate);
        if draft.ordered(Verb::Retry, &active.revision) {
            draft.spend(Verb::Retry);
            draft.ask_all_again();
            draft.align_gates(Stage::Verification);
            return Some(verifying(draft));
        }
        return Some(Stay::stalled(reason, message));
    }
    if draft.deciding(Stage::Verification).any(|gate| gate.state == GateState::Running) {
        return Some(verifying(draft));
    }
    let unknown = draft.deciding(Stage::Verification).find(|gate| gate.state == GateState::Inconclusive)?.clone();
    if draft.ordered(Verb::Promote, &active.revision) {
        draft.spend(Verb::Promote);
        return None;
    }
    let approve = words::command("Approve", &draft.order(Verb::Promote, &active.revision));
    let advice = Advice { instead: "; or change spec".into(), ..approve };
    Some(Stay::working(reasons::INCONCLUSIVE, not_judged(&unknown, &advice)))
}
