//! What stands before the switch: one list, asked when a candidate begins, while it waits, and once more right before it is sent users.

use super::{draft::Draft, hold, orders::Verb, stay::Stay, words};
use bluegreen_api::{GateState, Phase, reasons};
use bluegreen_gates::{
    approval::{approved, inconclusive},
    gate::not_judged,
    stage::Stage,
    text::{Advice, advised, around},
};

/// One condition: why the switch may not come now, if it may not.
type Condition = fn(&Draft<'_>) -> Option<Stay>;

/// In the order in which people are told. Another condition is another line.
const CONDITIONS: [Condition; 7] = [held, more_than_pods, undecided, not_judged_yet, never, not_approved, too_early];

/// What keeps the switch shut; none: it is open.
pub(super) fn shut(draft: &Draft<'_>) -> Option<Stay> {
    CONDITIONS.iter().find_map(|condition| condition(draft))
}

/// Nothing but pods keeps it shut, or a watch that is late, which holds the write itself.
pub(super) fn only_pods_are_missing(draft: &Draft<'_>) -> bool {
    let [_, others @ ..] = CONDITIONS;
    hold::held_by_more_than_a_watch(draft).is_none() && others.iter().all(|condition| condition(draft).is_none())
}

/// A pause, bad input, a watch that is down, no replicas.
fn held(draft: &Draft<'_>) -> Option<Stay> {
    hold::held(draft).map(|held| held.stay)
}

/// While the candidate's pods start: gates, a time or further pods come between them and the switch.
fn more_than_pods(draft: &Draft<'_>) -> Option<Stay> {
    let candidate = draft.status().preview.as_ref().filter(|_| draft.phase() == Some(Phase::DeployingPreview))?;
    let settings = draft.settings();
    let active = draft.status().active.as_ref().map_or(0, |active| active.replicas);
    let grows = settings.preview_size(active) < settings.full_size(active);
    let asked = draft.plan.gates(Stage::Verification, draft.status()).map_or(true, |gates| !gates.is_empty());
    (asked || grows || !settings.promote_after.is_zero())
        .then(|| Stay::working(reasons::DEPLOYING, words::revision("Deploying revision", candidate, &format!(" to {}", candidate.color))))
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
    Some(Stay::working(reasons::INCONCLUSIVE, not_judged(gate, &approve(draft, &revision, timeout(draft, ". Aborts at")))))
}

/// The end of the wait, where `promotion.timeout` gives one.
fn timeout(draft: &Draft<'_>, before: &str) -> String {
    draft.settings().promotion_timeout.map(|timeout| words::end(draft, before, timeout, "promotion.timeout")).unwrap_or_default()
}

fn approve(draft: &Draft<'_>, revision: &str, state: String) -> Advice {
    let command = format!("Approve: {}", draft.order(Verb::Promote, revision));
    Advice { state, command, instead: draft.instead(Verb::Abort, revision) }
}

/// `promotion.mode` is Never: no order opens it.
fn never(draft: &Draft<'_>) -> Option<Stay> {
    let candidate = draft.status().preview.as_ref().filter(|_| draft.settings().never)?;
    let what = format!("Revision {} (", candidate.number);
    let stays = format!(") is verified and stays in preview (promotion.mode Never){}", timeout(draft, " until"));
    let give_up = words::command("Give it up", &draft.order(Verb::Abort, &candidate.revision));
    Some(Stay::working(reasons::VERIFIED, advised(&what, &candidate.image, &Advice { state: stays, ..give_up })))
}

/// `promotion.mode` is Manual, and nobody has approved.
fn not_approved(draft: &Draft<'_>) -> Option<Stay> {
    let candidate = draft.status().preview.as_ref()?;
    (draft.settings().approval && !approved(Stage::Verification, &draft.status().gates)).then(|| {
        let what = format!("Revision {} (", candidate.number);
        let waits = format!(") is verified and waits for approval{}", timeout(draft, " until"));
        Stay::working(reasons::AWAITING_APPROVAL, advised(&what, &candidate.image, &approve(draft, &candidate.revision, waits)))
    })
}

/// `promotion.after` counts from when all gates had passed.
fn too_early(draft: &Draft<'_>) -> Option<Stay> {
    let candidate = draft.status().preview.as_ref()?;
    let after = draft.settings().promote_after;
    (draft.phase() == Some(Phase::AwaitingPromotion) && draft.elapsed() < after).then(|| {
        let promotes = format!(" is verified{}", words::end(draft, "; promotes at", after, "promotion.after"));
        Stay::working(reasons::AWAITING_PROMOTION, words::revision("Revision", candidate, &promotes)).ends(draft.due(after))
    })
}
