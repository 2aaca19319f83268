//! The ways back: a candidate given up before the switch, a revision given up after it.

use super::{
    draft::Draft,
    endpoints::{endpoints_show, slices_late, still_reached},
    hold::{self, Hold},
    orders::Verb,
    pods::{out_of_hope, told_after, trouble},
    stay::{Stay, Step},
};
use crate::{
    intent::{leaving_due, one_pod_is_enough},
    observed::facts,
};
use bluegreen_api::{Outcome, Phase, Side, reasons};
use bluegreen_gates::text::around;

/// The candidate goes; the active side was never touched.
pub(super) fn aborting(draft: &mut Draft<'_>) -> Step {
    let Some(ending) = draft.status().ending.clone() else {
        draft.rest(Phase::Healthy);
        return Step::Again;
    };
    if let Some(stay) = leaving_goes(draft, reasons::ABORTING, &format!("Giving the candidate up: {}", ending.message)) {
        return stay.into();
    }
    ended(draft, Phase::Aborted)
}

/// Waits for the side that leaves to be scaled down. None: it is.
fn leaving_goes(draft: &mut Draft<'_>, reason: &'static str, message: &str) -> Option<Stay> {
    let leaving = draft.status().leaving.clone()?;
    let due = leaving_due(draft.plan, draft.status());
    let gone = draft
        .color_of(&leaving)
        .deployment
        .as_ref()
        .is_none_or(|deployment| deployment.replicas == 0 || deployment.revision != leaving.revision);
    if gone && due.is_some_and(|due| due <= draft.now()) {
        draft.left();
        return None;
    }
    still_reached(draft, &leaving, due, message).or_else(|| Some(Stay::working(reason, message).until(due)))
}

fn ended(draft: &mut Draft<'_>, phase: Phase) -> Step {
    let Some(ending) = draft.status().ending.clone() else {
        draft.rest(Phase::Healthy);
        return Step::Again;
    };
    draft.finish_attempt(ending.outcome, &ending.reason, &ending.message);
    draft.rest(if ending.outcome == Outcome::Reverted { Phase::Healthy } else { phase });
    Step::Again
}

/// Traffic goes back to the standby as soon as it can take it; then the bad side is drained and goes.
pub(super) fn rolling_back(draft: &mut Draft<'_>) -> Step {
    let (Some(active), Some(ending)) = (draft.status().active.clone(), draft.status().ending.clone()) else {
        draft.rest(Phase::Healthy);
        return Step::Again;
    };
    let Some(standby) = draft.status().standby.clone() else {
        let message = format!("Revision {} ({}) serves again: {}", active.number, active.image, ending.message);
        return match leaving_goes(draft, reasons::ROLLING_BACK, &message) {
            Some(stay) => stay.into(),
            None => ended(draft, Phase::RolledBack),
        };
    };
    if draft.ordered_to_give_up(&active.revision).is_some() {
        draft.hurry();
    }
    if facts::selects(draft.seen, &standby) && endpoints_show(draft, &standby) {
        draft.switched_back(active, standby, ending.outcome);
        return Step::Again;
    }
    if let Some(wanted) = draft.new_candidate()
        && wanted.hash != standby.revision
        && hold::held(draft).is_none()
        && out_of_hope(draft, &standby)
    {
        // Neither side is any good and `spec` has a fix: it takes the color that nobody is served from.
        draft.finish_attempt(ending.outcome, &ending.reason, &ending.message);
        draft.begin_candidate(wanted);
        return Step::Again;
    }
    waiting_for_standby(draft, &active, &standby).into()
}

fn waiting_for_standby(draft: &Draft<'_>, active: &Side, standby: &Side) -> Stay {
    let pods = trouble(draft, standby);
    let trouble = told_after("; ", pods.as_ref());
    let slow = draft.status().ending.as_ref().is_some_and(|ending| ending.slow);
    let late = draft.due(draft.settings().progress_deadline);
    if draft.ready_pods(active) == 0 && draft.ready_pods(standby) == 0 {
        let message = format!(
            "Neither revision {} nor revision {} has a ready pod{trouble}. Traffic goes to the first that gets one; a new spec can take over",
            active.number, standby.number
        );
        return Stay::stalled(reasons::BOTH_BROKEN, message).with(pods.as_ref()).until(late);
    }
    let how = if slow { " (deployed again, since it was already scaled down)" } else { "" };
    let reason = draft.status().ending.as_ref().map(|ending| ending.message.as_str()).unwrap_or_default();
    let way = format!("Rolling back from revision {} to revision {} ({}){how}: ", active.number, standby.number, standby.image);
    let why = format!("{reason}{trouble}");
    if facts::selects(draft.seen, standby) {
        let (told, until) = slices_late(draft, standby);
        let lag = if told { "; its EndpointSlices have not been updated: is the endpoint slice controller at work?" } else { "" };
        let message = around(&way, &why, lag);
        return Stay::working(if told { reasons::ENDPOINTS_STALE } else { reasons::ROLLING_BACK }, message)
            .with(pods.as_ref())
            .until(until);
    }
    if out_of_hope(draft, standby) || draft.elapsed() >= draft.settings().progress_deadline {
        // A new spec could take over.
        let waits = hold::held(draft).filter(|held| held.by == Hold::Paused && draft.new_candidate().is_some());
        let now = || {
            if one_pod_is_enough(draft.status()) {
                return "A new spec can take over".to_owned();
            }
            format!("To go back with the pods that are ready: {}", draft.order(Verb::Rollback, &active.revision))
        };
        let after = format!("; revision {} still serves. {}", active.number, waits.map_or_else(now, |held| held.stay.message));
        return Stay::stalled(reasons::ROLLING_BACK, around(&way, &why, &after)).with(pods.as_ref());
    }
    Stay::working(reasons::ROLLING_BACK, format!("{way}{why}")).with(pods.as_ref()).until(late)
}
