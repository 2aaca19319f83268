//! Orders that match nothing under way: each is answered at once and spent, so that it comes true later on nothing else.

use super::{
    draft::Draft,
    orders::{self, Verb},
};
use bluegreen_api::{BlueGreenRolloutStatus, GateState, Phase, Side};
use bluegreen_gates::text::{LONGEST, shortened};

/// Fewer characters of an answer than these say nothing.
const LEAST: usize = 40;

/// After the phases had the choice among the orders.
pub(crate) fn answer(draft: &mut Draft<'_>) {
    let seen = draft.seen;
    let old = &seen.status;
    if old.phase.is_none() || old.attempt != draft.status().attempt {
        // What was on the object then is spent.
        return;
    }
    draft.forget_answers();
    for verb in Verb::ALL {
        for order in orders::armed(&seen.annotations, old, verb) {
            let revision = order.revision();
            let carried_out = order.is_spent(draft.status());
            let fits = fits(old, verb, revision) || (!carried_out && fits(draft.status(), verb, revision));
            if !fits {
                let why = why(draft.status(), verb, revision);
                draft.spend_one(order);
                draft.ignore(order, why);
            }
        }
        for (order, why) in orders::not_counted(&seen.annotations, old, verb) {
            draft.ignore(order, why);
        }
    }
}

fn is(side: Option<&Side>, revision: &str) -> bool {
    side.is_some_and(|side| side.revision == revision)
}

/// The order is of something that there is, be it carried out now or later in this phase.
fn fits(status: &BlueGreenRolloutStatus, verb: Verb, revision: &str) -> bool {
    let candidate = is(status.preview.as_ref(), revision);
    let live = is(status.active.as_ref(), revision) && status.preview.is_none();
    let first = live && status.phase == Some(Phase::Initializing);
    match verb {
        Verb::Rollback | Verb::Abort | Verb::Pause | Verb::Resume => candidate || live,
        Verb::Promote => candidate || first,
        Verb::Accept => live && matches!(status.phase, Some(Phase::Monitoring | Phase::ScalingDown)),
        Verb::Retry => {
            let failed = status.gates.iter().any(|gate| gate.state == GateState::Failed);
            let rejected = status.rejected.as_ref().is_some_and(|rejected| rejected.revision == revision);
            rejected || ((candidate || first) && failed)
        }
    }
}

fn why(status: &BlueGreenRolloutStatus, verb: Verb, revision: &str) -> String {
    let live = status.active.as_ref().map_or("none", |side| side.revision.as_str());
    let named = shortened(revision, 40);
    match &status.preview {
        Some(candidate) if candidate.revision == revision && verb == Verb::Accept => format!("revision {named} is not live yet"),
        Some(candidate) if candidate.revision == revision => format!("no gate of revision {named} has failed"),
        Some(candidate) if live == revision => format!("revision {named} is live; the candidate is {}", candidate.revision),
        Some(candidate) => format!("revision {named} is neither the candidate ({}) nor live ({live})", candidate.revision),
        None if is(status.leaving.as_ref(), revision) => format!("revision {named} is already given up"),
        None if live != revision => format!("there is no candidate, and revision {named} is not live (that is {live})"),
        None => match verb {
            Verb::Promote => format!("revision {named} is live already"),
            Verb::Accept => format!("revision {named} is not monitored"),
            Verb::Retry => format!("revision {named} was not given up"),
            Verb::Rollback | Verb::Abort | Verb::Pause | Verb::Resume => format!("nothing is under way for revision {named}"),
        },
    }
}

/// The message of a stay, after the latest answer: a command stands at its end. Without room for both, the event says it.
pub(crate) fn told(draft: &Draft<'_>, message: String) -> String {
    let Some(ignored) = draft.status().ignored_orders.last() else { return message };
    let room = LONGEST.saturating_sub(message.chars().count() + 2);
    if room < LEAST {
        return message;
    }
    let answer = format!("{} ignored: {}", shortened(&ignored.order, 60), ignored.message);
    format!("{}. {message}", shortened(&answer, room))
}
