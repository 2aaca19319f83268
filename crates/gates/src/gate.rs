//! One gate of status: how it turns, and what is told of it.

use crate::text::{Advice, advised};
use bluegreen_api::{Gate, GateState, Measured};
use jiff::Timestamp;
use std::time::Duration;

pub fn turn(gate: &mut Gate, state: GateState, message: String, at: Timestamp) {
    if gate.state != state {
        gate.state = state;
        gate.since = at;
    }
    gate.message = message;
}

/// A metric in monitoring, where none passes before its time: its readings cover the bake time, and are good to the last.
pub fn baked(gate: &Gate, bake: Duration) -> bool {
    let covered = |measured: &Measured| u128::try_from(measured.covered_millis).is_ok_and(|covered| covered >= bake.as_millis());
    // While readings are bad that are not yet a failure, there is no verdict to end with.
    let good = |measured: &Measured| measured.good > 0 && measured.bad_in_row == 0 && measured.doubtful_in_row == 0;
    gate.state == GateState::Running && gate.measured.as_ref().is_some_and(|measured| good(measured) && covered(measured))
}

/// What to tell of a gate that somebody has to decide.
pub fn not_judged(gate: &Gate, advice: &Advice) -> String {
    advised(&format!("{} could not be judged: ", gate.name), &gate.message, advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metric::tests::{defined, metric, started},
        stage::Stage,
    };
    use serde_json::json;

    #[test]
    fn a_gate_that_somebody_has_to_decide_is_told_with_what_to_do() {
        let gate = Gate { message: "the query returned no data".into(), ..started(&defined(Stage::Monitoring, metric(&json!({})))) };
        let advice = Advice { command: "Approve: kubectl …".into(), ..Advice::default() };
        assert_eq!(not_judged(&gate, &advice), "monitoring/errors could not be judged: the query returned no data. Approve: kubectl …");
    }
}
