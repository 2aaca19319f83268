//! What is worth a write of status by itself, and what waits for the next one.

use bluegreen_api::{BlueGreenRolloutStatus, Gate, GateState};
use std::time::Duration;

/// Readings that turn no verdict are recorded at most this often.
const BATCH: Duration = Duration::from_secs(10);

/// Whether a status differs from the recorded one in more than what can wait for the next record.
pub(crate) fn is_news(old: &BlueGreenRolloutStatus, next: &BlueGreenRolloutStatus) -> bool {
    let mut quiet = next.clone();
    for (new, old) in [(&mut quiet.active, &old.active), (&mut quiet.standby, &old.standby), (&mut quiet.preview, &old.preview)] {
        if let (Some(new), Some(old)) = (new.as_mut(), old.as_ref())
            && (new.color, &new.revision) == (old.color, &old.revision)
        {
            new.generation = old.generation;
        }
    }
    let stands_still = next.clock.as_ref().is_some_and(|clock| clock.stopped.is_some());
    for gate in &mut quiet.gates {
        if let Some(old) = old.gates.iter().find(|old| old.name == gate.name)
            && can_wait(old, gate, stands_still)
        {
            *gate = old.clone();
        }
    }
    quiet != *old
}

/// Readings without a turn of the verdict are recorded in batches; while all stands still for a person, not at all.
fn can_wait(old: &Gate, new: &Gate, stands_still: bool) -> bool {
    if old.state == GateState::Inconclusive && new.state == GateState::Inconclusive && old.definition == new.definition {
        // It waits for readings or for a person; one more without a value is no news.
        return true;
    }
    let unasked = new.tries.as_ref().zip(old.tries.as_ref()).is_some_and(|(new, old)| new.failed == old.failed);
    if unasked && (old.state, &old.definition, &old.message) == (new.state, &new.definition, &new.message) {
        // Nobody could be asked once more, for the same reason.
        return true;
    }
    let reading = |gate: &Gate| gate.measured.as_ref().and_then(|measured| measured.readings.first().map(|reading| reading.at));
    let latest = |gate: &Gate| reading(gate).or(gate.tries.as_ref().map(|tries| tries.at));
    let nothing_counted = new.measured.is_none() && new.tries.as_ref().is_none_or(|tries| tries.failed == 0);
    if nothing_counted && old.tries.is_none() && old.message != new.message {
        // A check that could not be done, for a reason that nobody was told yet.
        return false;
    }
    let recorded = latest(old).unwrap_or(old.since);
    let age = latest(new).map_or(0, |latest| latest.as_millisecond() - recorded.as_millisecond());
    let soon = u128::try_from(age).is_ok_and(|age| age < BATCH.as_millis());
    old.state == new.state && old.definition == new.definition && (soon || stands_still)
}
