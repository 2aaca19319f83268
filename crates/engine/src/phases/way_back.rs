//! The ways back: a candidate given up before the switch, a revision given up after it.

use super::promotion::{endpoints_show, out_of_hope, slices_late, still_reached};
use crate::{
    draft::{Draft, Stay, Step},
    effects,
    gates::around,
    orders::Verb,
};
use bluegreen_api::{Ending, Outcome, Phase, Side, reasons};

/// The candidate goes; the active side was never touched.
pub(super) fn aborting(draft: &mut Draft<'_>) -> Step {
    let Some(ending) = draft.status.ending.clone() else {
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
    let leaving = draft.status.leaving.clone()?;
    let due = effects::leaving_due(draft.plan, &draft.status);
    let gone = draft
        .color_of(&leaving)
        .deployment
        .as_ref()
        .is_none_or(|deployment| deployment.replicas == 0 || deployment.revision != leaving.revision);
    if gone && due.is_some_and(|due| due <= draft.now()) {
        draft.status.leaving = None;
        return None;
    }
    still_reached(draft, &leaving, due, message).or_else(|| Some(Stay::working(reason, message).until(due)))
}

fn ended(draft: &mut Draft<'_>, phase: Phase) -> Step {
    let Some(ending) = draft.status.ending.clone() else {
        draft.rest(Phase::Healthy);
        return Step::Again;
    };
    draft.finish_attempt(ending.outcome, &ending.reason, &ending.message);
    draft.rest(if ending.outcome == Outcome::Reverted { Phase::Healthy } else { phase });
    Step::Again
}

/// Traffic goes back to the standby as soon as it can take it; then the bad side is drained and goes.
pub(super) fn rolling_back(draft: &mut Draft<'_>) -> Step {
    let (Some(active), Some(ending)) = (draft.status.active.clone(), draft.status.ending.clone()) else {
        draft.rest(Phase::Healthy);
        return Step::Again;
    };
    let Some(standby) = draft.status.standby.clone() else {
        let message = format!("Revision {} ({}) serves again: {}", active.number, active.image, ending.message);
        return match leaving_goes(draft, reasons::ROLLING_BACK, &message) {
            Some(stay) => stay.into(),
            None => ended(draft, Phase::RolledBack),
        };
    };
    if let Some(hurried) = hurried(draft, &active, &ending) {
        draft.status.ending = Some(hurried);
    }
    if effects::selects(draft.seen, &standby) && endpoints_show(draft, &standby) {
        draft.status.leaving = Some(active.clone());
        draft.status.previous = (ending.outcome == Outcome::Reverted).then_some(active);
        draft.status.active = Some(standby);
        draft.status.standby = None;
        draft.status.preview = None;
        draft.status.waiting_replicas = None;
        // The drain begins now; history keeps one entry for the phase.
        draft.status.clock = Some(crate::clock::started(draft.now()));
        return Step::Again;
    }
    if let Some(wanted) = draft.new_candidate()
        && wanted.hash != standby.revision
        && draft.held().is_none()
        && out_of_hope(draft, &standby)
    {
        // Neither side is any good and `spec` has a fix: it takes the color that nobody is served from.
        draft.finish_attempt(ending.outcome, &ending.reason, &ending.message);
        draft.begin_candidate(wanted);
        return Step::Again;
    }
    waiting_for_standby(draft, &active, &standby).into()
}

/// A person wants it now: one ready pod is enough.
fn hurried(draft: &mut Draft<'_>, active: &Side, ending: &Ending) -> Option<Ending> {
    draft.ordered_to_give_up(&active.revision)?;
    Some(Ending { ordered: true, slow: false, ..ending.clone() })
}

fn waiting_for_standby(draft: &Draft<'_>, active: &Side, standby: &Side) -> Stay {
    let trouble = draft.trouble(standby).map(|trouble| format!("; {trouble}")).unwrap_or_default();
    let slow = draft.status.ending.as_ref().is_some_and(|ending| ending.slow);
    let late = draft.due(draft.settings().progress_deadline);
    if draft.ready_pods(active) == 0 && draft.ready_pods(standby) == 0 {
        let message = format!(
            "Neither revision {} nor revision {} has a ready pod{trouble}. Traffic goes to the first that gets one; a new spec can take over",
            active.number, standby.number
        );
        return Stay::stalled(reasons::BOTH_BROKEN, message).until(late);
    }
    let how = if slow { " (deployed again, since it was already scaled down)" } else { "" };
    let reason = draft.status.ending.as_ref().map(|ending| ending.message.as_str()).unwrap_or_default();
    let way = format!("Rolling back from revision {} to revision {} ({}){how}: ", active.number, standby.number, standby.image);
    let why = format!("{reason}{trouble}");
    if effects::selects(draft.seen, standby) {
        let (told, until) = slices_late(draft, standby);
        let lag = if told { "; its EndpointSlices have not been updated: is the endpoint slice controller at work?" } else { "" };
        let message = around(&way, &why, lag);
        return Stay::working(if told { reasons::ENDPOINTS_STALE } else { reasons::ROLLING_BACK }, message).until(until);
    }
    if out_of_hope(draft, standby) || draft.elapsed() >= draft.settings().progress_deadline {
        // A new spec could take over.
        let waits = draft.held().filter(|stay| stay.reason == reasons::PAUSED && draft.new_candidate().is_some());
        let now = || {
            if effects::one_pod_is_enough(&draft.status) {
                return "A new spec can take over".to_owned();
            }
            format!("To go back with the pods that are ready: {}", draft.order(Verb::Rollback, &active.revision))
        };
        let after = format!("; revision {} still serves. {}", active.number, waits.map_or_else(now, |paused| paused.message));
        return Stay::stalled(reasons::ROLLING_BACK, around(&way, &why, &after));
    }
    Stay::working(reasons::ROLLING_BACK, format!("{way}{why}")).until(late)
}
