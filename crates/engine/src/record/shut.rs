//! What stands before the switch: one list, asked while a candidate waits and once more right before it is sent users.

use super::{draft::Draft, hold, orders::Verb, stay::Stay};
use bluegreen_api::{GateState, Phase, reasons};
use bluegreen_gates::{
    approval::{approved, inconclusive},
    gate::not_judged,
    stage::Stage,
    text::around,
};

/// One condition: why the switch may not come now, if it may not.
type Condition = fn(&Draft<'_>) -> Option<Stay>;

/// In the order in which people are told. Another condition is another line.
const CONDITIONS: [Condition; 5] = [held, undecided, not_judged_yet, not_approved, too_early];

/// What keeps the switch shut; none: it is open.
pub(super) fn shut(draft: &Draft<'_>) -> Option<Stay> {
    CONDITIONS.iter().find_map(|condition| condition(draft))
}

/// A pause, bad input, a watch that is down, no replicas.
fn held(draft: &Draft<'_>) -> Option<Stay> {
    hold::held(draft).map(|held| held.stay)
}

/// A gate runs, again perhaps, or has failed.
pub(super) fn undecided(draft: &Draft<'_>) -> Option<Stay> {
    let gate = draft.deciding(Stage::Verification).find(|gate| matches!(gate.state, GateState::Running | GateState::Failed))?;
    Some(Stay::working(reasons::VERIFYING, around(&format!("{} has not passed: ", gate.name), &gate.message, "")))
}

/// A gate could not be judged, and nobody has decided it.
fn not_judged_yet(draft: &Draft<'_>) -> Option<Stay> {
    let gates = &draft.status().gates;
    let gate = inconclusive(gates).next().filter(|_| !approved(Stage::Verification, gates))?;
    let revision = draft.attempt_revision()?;
    let [promote, abort] = [Verb::Promote, Verb::Abort].map(|verb| draft.order(verb, &revision));
    Some(Stay::working(reasons::INCONCLUSIVE, not_judged(gate, &format!("Decide with {promote} or {abort}"))))
}

/// `promotion.mode` is Manual, and nobody has approved.
fn not_approved(draft: &Draft<'_>) -> Option<Stay> {
    let candidate = draft.status().preview.as_ref()?;
    (draft.settings().approval && !approved(Stage::Verification, &draft.status().gates)).then(|| {
        let what = format!("Revision {} (", candidate.number);
        let advice = format!(") is verified and waits for approval: {}", draft.order(Verb::Promote, &candidate.revision));
        Stay::working(reasons::AWAITING_APPROVAL, around(&what, &candidate.image, &advice))
    })
}

/// `promotion.after` counts from when all gates had passed.
fn too_early(draft: &Draft<'_>) -> Option<Stay> {
    let candidate = draft.status().preview.as_ref()?;
    let after = draft.settings().promote_after;
    (draft.phase() == Some(Phase::AwaitingPromotion) && draft.elapsed() < after).then(|| {
        let message = format!("Revision {} ({}) is verified and waits for its time", candidate.number, candidate.image);
        Stay::working(reasons::AWAITING_PROMOTION, message).until(draft.due(after))
    })
}
