//! At rest: the active side serves and nothing is under way.

use super::{
    draft::{Draft, ending},
    hold,
    orders::Verb,
    pods::{all_ready, degraded, serves_nobody, told_after, trouble, verdict_at},
    stay::{Stay, Step},
    words,
};
use bluegreen_api::{Lifetime, Outcome, Phase, Side, reasons};
use bluegreen_gates::text::{Advice, advised, around, shortened};

/// Characters of an image where two stand in one message.
const IMAGE: usize = 60;

pub(super) fn healthy(draft: &mut Draft<'_>) -> Step {
    let Some(active) = draft.status().active.clone() else {
        draft.lost();
        return Step::Again;
    };
    let given_up = give_up_live(draft, &active);
    if let Some(Step::Again) = given_up {
        return Step::Again;
    }
    if draft.status().standby.is_some() && draft.wants(draft.status().standby.as_ref()) {
        return if draft.roll_back(ending(Outcome::Reverted, reasons::REVERTED, words::FORMER_AGAIN)) {
            Step::Again
        } else {
            serving(draft, &active).into()
        };
    }
    if let Some(stay) = draft.plan.asked.invalid().and_then(|_| hold::held(draft)) {
        return stay.into();
    }
    if let Some(wanted) = draft.new_candidate() {
        return match hold::held(draft) {
            Some(held) => held.into(),
            None => {
                draft.begin_candidate(wanted);
                Step::Again
            }
        };
    }
    if draft.status().standby.is_some() && draft.settings().after != Lifetime::Never {
        // It was to stay for ever, and now it isn't.
        draft.enter(Phase::ScalingDown);
        return Step::Again;
    }
    given_up.unwrap_or_else(|| {
        let stay = serving(draft, &active);
        // Nobody else would tell of a pause before a new version has waited for its end.
        match hold::resume(draft).map(|paused| Advice { state: format!(". {}", paused.state), ..paused }) {
            Some(paused) => Stay { message: advised("", &stay.message, &paused), ..stay }.into(),
            None => stay.into(),
        }
    })
}

/// A person wants the live revision gone though its story is over.
pub(super) fn give_up_live(draft: &mut Draft<'_>, active: &Side) -> Option<Step> {
    let verb = [Verb::Rollback, Verb::Abort].into_iter().find(|verb| draft.ordered(*verb, &active.revision))?;
    let mut ending = ending(Outcome::RolledBack, reasons::ORDERED, &words::requested(verb));
    ending.ordered = true;
    if draft.roll_back(ending) {
        draft.spend(verb);
        return Some(Step::Again);
    }
    // Not spent: it stays told for as long as it is asked.
    let stay = serving(draft, active);
    let ignored = format!("; {} ignored: no former revision is stored. Change spec instead", verb.as_str());
    Some(Stay { message: around("", &stay.message, &ignored), ..stay }.into())
}

fn serving(draft: &Draft<'_>, active: &Side) -> Stay {
    let stay = stranded(draft, active).unwrap_or_else(|| fewer_or_all(draft, active));
    if draft.status().standby.is_some() { stay.until(verdict_at(draft, active)) } else { stay }
}

/// No pod of the live side is ready, and the former one stands by for good: its story is over, and a person decides.
fn stranded(draft: &Draft<'_>, active: &Side) -> Option<Stay> {
    let standby = draft.status().standby.as_ref().filter(|standby| all_ready(draft, standby))?;
    (draft.settings().replicas > 0 && serves_nobody(draft, active, Some(standby))).then(|| {
        let trouble = trouble(draft, active);
        let advice = Advice {
            state: format!("; revision {} stands by with {} ready pods", standby.number, standby.replicas),
            command: format!("Roll back: {}", draft.order(Verb::Rollback, &active.revision)),
            instead: "; or change spec".into(),
        };
        let before = words::revision("Revision", active, " has no ready pod");
        Stay::stalled(reasons::DEGRADED, advised(&before, &told_after(": ", trouble.as_ref()), &advice)).with(trouble.as_ref())
    })
}

fn fewer_or_all(draft: &Draft<'_>, active: &Side) -> Stay {
    degraded(draft, active).unwrap_or_else(|| Stay::ready(reasons::AVAILABLE, words::revision("Revision", active, " serves")))
}

/// A candidate was given up; the last good revision serves.
pub(super) fn given_up(draft: &mut Draft<'_>) -> Step {
    let Some(active) = draft.status().active.clone() else {
        draft.lost();
        return Step::Again;
    };
    let Some(rejected) = draft.status().rejected.clone() else {
        draft.rest(Phase::Healthy);
        return Step::Again;
    };
    if let Some(Step::Again) = give_up_live(draft, &active) {
        return Step::Again;
    }
    if draft.wants(Some(&active)) {
        draft.rest(Phase::Healthy);
        return Step::Again;
    }
    if let Some(stay) = draft.plan.asked.invalid().and_then(|_| hold::held(draft)) {
        return stay.into();
    }
    // Of several that were given up, what `spec` asks for is the one to try again.
    let named = draft.wanted().map_or_else(|| rejected.revision.clone(), |wanted| wanted.hash.clone());
    let retry = draft.ordered(Verb::Retry, &named);
    let wanted = if retry { draft.wanted() } else { draft.new_candidate() };
    if let Some(wanted) = wanted {
        return match hold::held(draft) {
            Some(held) => held.into(),
            None => {
                draft.begin_candidate(wanted);
                Step::Again
            }
        };
    }
    let (what, reason) = match draft.phase() {
        Some(Phase::RolledBack) => ("rolled back", reasons::ROLLED_BACK),
        _ => ("aborted", reasons::ABORTED),
    };
    let before = format!("Revision {} ({}) was {what}: ", rejected.number, shortened(&rejected.image, IMAGE));
    let another = draft.status().rejections.iter().find(|rejection| rejection.revision == named && named != rejected.revision);
    let another = another.map(|rejection| format!("; revision {} of spec was given up before", rejection.number)).unwrap_or_default();
    let serves = format!("{another}. Revision {} ({}) serves", active.number, shortened(&active.image, IMAGE));
    // While paused, neither would begin anything.
    let again = || Advice { instead: "; or change spec".into(), ..words::command("Retry", &draft.order(Verb::Retry, &named)) };
    let paused = hold::resume(draft).map(|paused| Advice { state: format!(". {}", paused.state), ..paused });
    let advice = paused.unwrap_or_else(again);
    let advice = Advice { state: format!("{serves}{}", advice.state), ..advice };
    Stay::stalled(reason, advised(&before, &rejected.message, &advice)).into()
}
