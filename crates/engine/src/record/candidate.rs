//! A candidate before the switch: deployed, verified, waiting, brought to full size. The active side is never touched here.

use super::{
    draft::Draft,
    hold,
    orders::Verb,
    pods::pods_coming,
    shut,
    stay::{Stay, Step},
    words,
};
use crate::observed::facts;
use bluegreen_api::{Duration, GateState, Outcome, Phase, Side, VerificationFailure, names, reasons};
use bluegreen_gates::{
    stage::Stage,
    text::{Advice, advised, around},
};

/// What ends or replaces a candidate in any phase before the switch. Orders first, then `spec`.
fn before_switch(draft: &mut Draft<'_>) -> Result<Side, Step> {
    let Some(candidate) = draft.status().preview.clone() else {
        // Recorded by nobody: without a candidate there is nothing to bring live.
        draft.rest(Phase::Healthy);
        return Err(Step::Again);
    };
    if let Some(verb) = draft.ordered_to_give_up(&candidate.revision) {
        draft.abort(Outcome::Aborted, reasons::ORDERED, &words::requested(verb));
        return Err(Step::Again);
    }
    if draft.wants(draft.status().active.as_ref()) {
        draft.abort(Outcome::Reverted, reasons::REVERTED, "spec asks for the active revision again");
        return Err(Step::Again);
    }
    if let Some(wanted) = draft.new_candidate()
        && wanted.hash != candidate.revision
        && hold::held(draft).is_none()
    {
        draft.superseded(wanted);
        draft.begin_candidate(wanted);
        return Err(Step::Again);
    }
    if draft.ordered(Verb::Promote, &candidate.revision) {
        draft.spend(Verb::Promote);
        draft.approve(Stage::Verification);
    }
    Ok(candidate)
}

/// The candidate's pods come up, beside the live ones. If nothing but them stands before the switch, it is decided with the candidate.
pub(super) fn deploying_preview(draft: &mut Draft<'_>) -> Step {
    if draft.status().preview.as_ref().is_some_and(|candidate| draft.status().armed && facts::switch_is_made(draft.seen, candidate)) {
        draft.enter(Phase::Promoting);
        return Step::Again;
    }
    let candidate = match before_switch(draft) {
        Ok(candidate) => candidate,
        Err(step) => return step,
    };
    draft.arm((draft.status().armed || draft.begins()) && shut::only_pods_are_missing(draft));
    if let Some(held) = hold::held(draft) {
        return held.into();
    }
    if let Some(stay) = hold::refused_of(draft, candidate.color, &candidate.revision) {
        return stay.into();
    }
    // What is recorded may be of a time when `replicas` was 0: no pods at all are no preview.
    let active = draft.status().active.as_ref().map_or(0, |active| active.replicas);
    let candidate = Side { replicas: draft.settings().preview_size(active), ..candidate };
    let message = words::revision("Deploying revision", &candidate, &format!(" to {}", candidate.color));
    if draft.fully_available(&candidate) && facts::arrived(draft.seen, &candidate) {
        if !draft.status().armed {
            draft.enter(Phase::Verifying);
            return Step::Again;
        }
        // Somebody else led users there, or the mark of the operator's own write is lost; or the write is refused, which may last: from here
        // on it is a phase with an end of its own.
        let there = facts::is_complete(draft.seen, &candidate) && draft.seen.sees_all();
        if there && (facts::selects(draft.seen, &candidate) || hold::switch_stopped(draft)) {
            draft.enter(Phase::Promoting);
            return Step::Again;
        }
        // One write of the active Service is all that is missing, and that it is under way is no record of its own.
        let waits = match facts::taken_up(draft.seen, &candidate) {
            true => message,
            false => format!("{message}: waiting until {}", restored(draft, &candidate)),
        };
        return Stay::working(reasons::DEPLOYING, waits).into();
    }
    pods_coming(draft, &candidate, reasons::DEPLOYING, message)
}

/// Checks in their order, then metrics.
pub(super) fn verifying(draft: &mut Draft<'_>) -> Step {
    let candidate = match before_switch(draft) {
        Ok(candidate) => candidate,
        Err(step) => return step,
    };
    if let Some(held) = hold::held(draft) {
        return held.into();
    }
    draft.align_gates(Stage::Verification);
    if let Some(step) = failed(draft, &candidate) {
        return step;
    }
    let running = draft.deciding(Stage::Verification).find(|gate| gate.state == GateState::Running).cloned();
    let Some(running) = running else {
        draft.enter(Phase::AwaitingPromotion);
        return Step::Again;
    };
    let timeout = draft.settings().verification_timeout;
    if draft.elapsed() >= timeout {
        let within = format!("{} did not finish within {} (verification.timeout): ", running.name, Duration(timeout));
        let message = around(&within, or_no_result(&running.message), "");
        draft.abort(Outcome::Aborted, reasons::VERIFICATION_TIMED_OUT, &message);
        return Step::Again;
    }
    let unready = if draft.ready_pods(&candidate) == 0 { "; no pod of the candidate is ready" } else { "" };
    let end = words::end(draft, "; times out at", timeout, "verification.timeout");
    let message = words::verifying(draft, &candidate, "", &format!("{end}{unready}"));
    Stay::working(reasons::VERIFYING, message).ends(draft.due(timeout)).into()
}

fn or_no_result(message: &str) -> &str {
    if message.is_empty() { "no result yet" } else { message }
}

/// A gate has failed: the candidate is given up, or kept for a person to look at.
fn failed(draft: &mut Draft<'_>, candidate: &Side) -> Option<Step> {
    let gate = draft.deciding(Stage::Verification).find(|gate| gate.state == GateState::Failed)?.clone();
    let reason = draft.reason_of(&gate);
    let message = format!("{} failed: {}", gate.name, gate.message);
    if draft.settings().on_verification_failure == VerificationFailure::Abort {
        draft.abort(Outcome::Aborted, reason, &message);
        return Some(Step::Again);
    }
    if draft.ordered(Verb::Retry, &candidate.revision) {
        draft.spend(Verb::Retry);
        draft.ask_failed_again();
        draft.enter(Phase::Verifying);
        return Some(Step::Again);
    }
    let advice = Advice {
        state: ". On hold (onFailure: Pause)".into(),
        command: format!("Retry: {}", draft.order(Verb::Retry, &candidate.revision)),
        instead: format!("{}, or change spec", draft.instead(Verb::Abort, &candidate.revision)),
    };
    Some(Stay::stalled(reason, advised("", &message, &advice)).into())
}

/// Verified: waits for an approval, or for its time.
pub(super) fn awaiting_promotion(draft: &mut Draft<'_>) -> Step {
    if let Err(step) = before_switch(draft) {
        return step;
    }
    if let Some(held) = hold::held(draft) {
        return held.into();
    }
    draft.align_gates(Stage::Verification);
    if shut::undecided(draft).is_some() {
        // Defined anew, or a held one that has readings again.
        draft.enter(Phase::Verifying);
        return Step::Again;
    }
    let settings = draft.settings();
    let due = settings.promotion_timeout.and_then(|timeout| draft.due(timeout));
    if let Some(timeout) = settings.promotion_timeout.filter(|timeout| draft.elapsed() >= *timeout) {
        let not_promoted = format!("not promoted within {} (promotion.timeout)", Duration(timeout));
        draft.abort(Outcome::Aborted, reasons::PROMOTION_TIMED_OUT, &not_promoted);
        return Step::Again;
    }
    let Some(shut) = shut::shut(draft) else {
        draft.enter(Phase::ScalingUp);
        return Step::Again;
    };
    shut.ends(due).into()
}

/// What comes before the switch where somebody edited the Deployment of its side.
pub(super) fn restored(draft: &Draft<'_>, side: &Side) -> String {
    format!("Deployment {} is restored to the recorded template", names::deployment(&draft.seen.name, side.color))
}

/// The candidate is brought to the size that takes all traffic; then every gate is asked once more.
pub(super) fn scaling_up(draft: &mut Draft<'_>) -> Step {
    let candidate = match before_switch(draft) {
        Ok(candidate) => candidate,
        Err(step) => return step,
    };
    draft.align_gates(Stage::Verification);
    if shut::shut(draft).is_some() {
        draft.enter(Phase::AwaitingPromotion);
        return Step::Again;
    }
    let full = draft.at_full_size(candidate);
    let message = words::revision("Scaling revision", &full, &format!(" to {} pods", full.replicas));
    if draft.fully_available(&full) && draft.reachable_pods(&full) > 0 {
        // Not before our write that comes after somebody's edit is taken up. What others add beside our fields stays, and starts no gate anew.
        if !facts::taken_up(draft.seen, &full) {
            let waits = format!(" to {} pods: waiting until {}", full.replicas, restored(draft, &full));
            return Stay::working(reasons::SCALING_UP, words::revision("Scaling revision", &full, &waits)).into();
        }
        draft.enter(Phase::Promoting);
        return Step::Again;
    }
    pods_coming(draft, &full, reasons::SCALING_UP, message)
}
