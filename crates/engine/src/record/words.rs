//! Sentences that several phases say. Each has its numbers, and its end where that is a constant: what moves with pods or readings would be
//! a record of its own with each move.

use super::{draft::Draft, orders::Verb};
use crate::clock;
use bluegreen_api::{Duration, GateState, Side};
use bluegreen_gates::{
    stage::Stage,
    text::{Advice, around},
};
use std::time;

/// `spec` asks for the revision that a switch left, or is about to leave.
pub(super) const FORMER_AGAIN: &str = "spec asks for the former revision again";

/// By whom an attempt was ended.
pub(super) fn requested(verb: Verb) -> String {
    format!("requested by annotation {}", verb.as_str())
}

/// `Verifying revision 2 (shop:2)`, and what follows. A long image is cut, and not what follows.
pub(super) fn revision(does: &str, side: &Side, after: &str) -> String {
    around(&format!("{does} {} (", side.number), &side.image, &format!("){after}"))
}

/// The end of a wait that long by the clock of the phase, with the setting it comes from. Nothing while the clock stands still.
pub(super) fn end(draft: &Draft<'_>, before: &str, wait: time::Duration, setting: &str) -> String {
    let end = draft.due(wait).map(|at| format!("{before} {} ({setting} {})", clock::shown(at, wait), Duration(wait)));
    end.unwrap_or_default()
}

/// Gates turn only with a record, so that their number costs none; that of readings would.
pub(super) fn verifying(draft: &Draft<'_>, side: &Side, between: &str, after: &str) -> String {
    let deciding = || draft.deciding(Stage::Verification);
    let passed = deciding().filter(|gate| gate.state == GateState::Passed).count();
    let running = deciding().find(|gate| gate.state == GateState::Running);
    let running = running.map(|gate| format!(", {} is running", gate.name)).unwrap_or_default();
    revision("Verifying revision", side, &format!("{between}: {passed} of {} gates passed{running}{after}", deciding().count()))
}

/// A command beside nothing else to say.
pub(super) fn command(does: &str, command: &str) -> Advice {
    Advice { command: format!("{does}: {command}"), ..Advice::default() }
}
