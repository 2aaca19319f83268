//! What a person's approval decides.

use crate::{gates::APPROVAL, hash, stage::Stage};
use bluegreen_api::{Gate, GateState};
use serde_json::json;

/// What an approval given now decides: the gates that are inconclusive, by name and definition; and of a score what it came to, for one that
/// counts in it may turn bad and leave it as unknown as before.
pub fn approval_for(stage: Stage, gates: &[Gate]) -> String {
    let decided: Vec<_> = inconclusive(gates).map(|gate| (&gate.name, &gate.definition)).collect();
    let score = stage.score();
    if !decided.iter().any(|(name, _)| *name == score) {
        return hash::definition(&json!(decided));
    }
    let soft = gates.iter().filter(|gate| !gate.decides() && stage.has(gate));
    let bad: Vec<_> = soft.filter(|gate| gate.state == GateState::Failed).map(|gate| (&gate.name, &gate.definition)).collect();
    hash::definition(&json!([decided, bad]))
}

/// The gates that nobody could judge, and that decide.
pub fn inconclusive(gates: &[Gate]) -> impl Iterator<Item = &Gate> {
    gates.iter().filter(|gate| gate.state == GateState::Inconclusive && gate.decides())
}

/// A person has opened what only a person can: for the gates that are inconclusive now, and no others.
pub fn approved(stage: Stage, gates: &[Gate]) -> bool {
    let nothing_inconclusive = inconclusive(gates).next().is_none();
    let for_this = approval_for(stage, gates);
    let mut approvals = gates.iter().filter(|gate| gate.name == APPROVAL && gate.state == GateState::Passed);
    approvals.any(|gate| nothing_inconclusive || gate.definition == for_this)
}
