//! The ways back: a candidate given up before the switch, a revision given up after it.

use super::{
    draft::Draft,
    endpoints::{endpoints_show, slices_late, still_reached},
    hold::{self, Hold},
    orders::Verb,
    pods::{out_of_hope, told_after, trouble},
    rest::give_up_live,
    stay::{Stay, Step},
    words,
};
use crate::{
    clock,
    decision::Role,
    intent::{leaving_due, leaving_stays, one_pod_is_enough},
    observed::{facts, services::service_name, trouble::Trouble},
    takeover::{can_take_over, fewest, settled_at},
};
use bluegreen_api::{Duration, Outcome, Phase, Side, reasons};
use bluegreen_gates::text::{Advice, advised, around};
use jiff::Timestamp;

/// The candidate goes; the active side was never touched.
pub(super) fn aborting(draft: &mut Draft<'_>) -> Step {
    let Some(ending) = draft.status().ending.clone() else {
        draft.rest(Phase::Healthy);
        return Step::Again;
    };
    // The former revision takes the color at once: what is given up is kept to be looked at, and stands in nobody's way.
    if let Some(active) = draft.status().active.clone()
        && let Some(Step::Again) = give_up_live(draft, &active)
    {
        return Step::Again;
    }
    let aborting = draft.status().leaving.as_ref().map(|leaving| words::revision("Aborting revision", leaving, ": ")).unwrap_or_default();
    if let Some(stay) = leaving_goes(draft, reasons::ABORTING, (&aborting, &ending.message), "scaleDown.afterAbort") {
        return stay.into();
    }
    ended(draft, Phase::Aborted)
}

/// Waits for the side that leaves to be scaled down. None: it is. `setting`: how long it stays.
fn leaving_goes(draft: &mut Draft<'_>, reason: &'static str, (before, why): (&str, &str), setting: &str) -> Option<Stay> {
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
    let stays = leaving_stays(draft.plan, draft.status()).filter(|stays| !stays.is_zero()).zip(due);
    let until = stays.map(|(stays, due)| format!("; its pods stay until {} ({setting} {})", clock::shown(due, stays), Duration(stays)));
    let reached = still_reached(draft, &leaving, due, &format!("{before}{why}"));
    let message = || around(before, why, &until.unwrap_or_default());
    Some(reached.unwrap_or_else(|| Stay::working(reason, message()).ends(due)))
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
        let what = if ending.outcome == Outcome::Reverted { "reverted" } else { "rolled back" };
        let left = draft.status().leaving.as_ref().map(|leaving| format!("; revision {} was {what}", leaving.number)).unwrap_or_default();
        let again = words::revision("Revision", &active, &format!(" serves again{left}: "));
        return match leaving_goes(draft, reasons::ROLLING_BACK, (&again, &ending.message), "scaleDown.drain") {
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
        let neither = format!("Neither revision {} nor revision {} has a ready pod", active.number, standby.number);
        let then = ". Traffic goes to the revision with the first ready pod; or change spec.image to a fix";
        let message = around(&neither, &trouble, then);
        return Stay::stalled(reasons::BOTH_BROKEN, message).with(pods.as_ref()).until(late);
    }
    let how = if slow { " (deployed again, since it was already scaled down)" } else { "" };
    let reason = draft.status().ending.as_ref().map(|ending| ending.message.as_str()).unwrap_or_default();
    let way = format!("Rolling back from revision {} to revision {} ({}){how}: ", active.number, standby.number, standby.image);
    let why = format!("{reason}{trouble}");
    if facts::selects(draft.seen, standby) {
        let (told, until) = slices_late(draft, standby);
        let service = service_name(draft.seen, Role::Active);
        let lag = format!(
            "; EndpointSlices of Service {service} do not show revision {}: is the endpoint slice controller at work?",
            standby.number
        );
        let message = around(&way, &why, if told { &lag } else { "" });
        return Stay::working(if told { reasons::ENDPOINTS_STALE } else { reasons::ROLLING_BACK }, message)
            .with(pods.as_ref())
            .until(until);
    }
    let (numbers, settled) = too_few_to_take_over(draft, active, standby);
    let too_few = numbers.is_some();
    let way = numbers.unwrap_or(way);
    // Beside the numbers there is no room for what only takes long.
    let why = if too_few && pods.as_ref().is_some_and(Trouble::is_a_wait) { reason.to_owned() } else { why };
    if out_of_hope(draft, standby) || draft.elapsed() >= draft.settings().progress_deadline {
        // A new spec could take over.
        let waits = hold::held(draft).filter(|held| held.by == Hold::Paused && draft.new_candidate().is_some());
        let now = || {
            if one_pod_is_enough(draft.status()) {
                return Advice { command: "Change spec.image to a fix".into(), ..Advice::default() };
            }
            words::command("Roll back with the ready pods", &draft.order(Verb::Rollback, &active.revision))
        };
        let resume = waits.and_then(|_| hold::resume(draft)).map(|paused| Advice { state: format!(". {}", paused.state), ..paused });
        let advice = resume.unwrap_or_else(now);
        // The numbers say it.
        let serves = if too_few { String::new() } else { format!("; revision {} still serves", active.number) };
        let advice = Advice { state: format!("{serves}{}", advice.state), ..advice };
        return Stay::stalled(reasons::ROLLING_BACK, advised(&way, &why, &advice)).with(pods.as_ref()).until(settled);
    }
    let now = || words::command("Roll back now", &draft.order(Verb::Rollback, &active.revision));
    let message = if too_few { advised(&way, &why, &now()) } else { format!("{way}{why}") };
    Stay::working(reasons::ROLLING_BACK, message).with(pods.as_ref()).until(late).until(settled)
}

/// With how many ready pods the standby takes over, where it has too few as yet and no person said that one is enough; and when no further
/// one is waited for. Not how many there are: that would be a record with each that comes or goes.
fn too_few_to_take_over(draft: &Draft<'_>, active: &Side, standby: &Side) -> (Option<String>, Option<Timestamp>) {
    let status = draft.status();
    let slow = status.ending.as_ref().is_some_and(|ending| ending.slow);
    if slow || one_pod_is_enough(status) || can_take_over(draft.seen, draft.plan, status, active, standby) {
        return (None, None);
    }
    let (own, others) = fewest(standby, active.replicas);
    let had = standby.ready_when_left.unwrap_or(standby.replicas);
    let (to, from, size) = (standby.number, active.number, active.replicas);
    let needs = format!(
        "Rolling back to revision {to} waits for {own} ready pods (3/4 of the {had} it had) and half of revision {from}'s ({others} of {size}): "
    );
    let settled = settled_at(draft.seen, draft.plan, status, standby).filter(|at| *at > draft.now());
    (Some(needs), settled)
}
