//! A candidate before the switch: deployed, verified, waiting, brought to full size. The active side is never touched here.

use super::{
    draft::Draft,
    hold,
    orders::Verb,
    pods::pods_coming,
    shut,
    stay::{Stay, Step},
};
use crate::observed::facts;
use bluegreen_api::{Duration, GateState, Outcome, Phase, Side, VerificationFailure, reasons};
use bluegreen_gates::{stage::Stage, text::around};

/// What ends or replaces a candidate in any phase before the switch. Orders first, then `spec`.
fn before_switch(draft: &mut Draft<'_>) -> Result<Side, Step> {
    let Some(candidate) = draft.status().preview.clone() else {
        // Recorded by nobody: without a candidate there is nothing to bring live.
        draft.rest(Phase::Healthy);
        return Err(Step::Again);
    };
    if let Some(verb) = draft.ordered_to_give_up(&candidate.revision) {
        draft.abort(Outcome::Aborted, reasons::ORDERED, &format!("by order ({})", verb.as_str()));
        return Err(Step::Again);
    }
    if draft.wants(draft.status().active.as_ref()) {
        draft.abort(Outcome::Reverted, reasons::REVERTED, "spec went back to the active revision");
        return Err(Step::Again);
    }
    if let Some(wanted) = draft.new_candidate()
        && wanted.hash != candidate.revision
        && hold::held(draft).is_none()
    {
        draft.finish_attempt(Outcome::Superseded, reasons::SUPERSEDED, "spec asks for another revision");
        draft.begin_candidate(wanted);
        return Err(Step::Again);
    }
    if draft.ordered(Verb::Promote, &candidate.revision) {
        draft.spend(Verb::Promote);
        draft.approve(Stage::Verification);
    }
    Ok(candidate)
}

/// The candidate's pods come up, beside the live ones.
pub(super) fn deploying_preview(draft: &mut Draft<'_>) -> Step {
    let candidate = match before_switch(draft) {
        Ok(candidate) => candidate,
        Err(step) => return step,
    };
    if let Some(held) = hold::held(draft) {
        return held.into();
    }
    if let Some(stay) = hold::refused_of(draft, candidate.color, &candidate.revision) {
        return stay.into();
    }
    // What is recorded may be of a time when `replicas` was 0: no pods at all are no preview.
    let active = draft.status().active.as_ref().map_or(0, |active| active.replicas);
    let candidate = Side { replicas: draft.settings().preview_size(active), ..candidate };
    if draft.fully_available(&candidate) {
        draft.enter(Phase::Verifying);
        return Step::Again;
    }
    let message = format!("Deploying revision {} ({}) to {}", candidate.number, candidate.image, candidate.color);
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
        let message = format!("{} was not finished within {}: {}", running.name, Duration(timeout), or_no_result(&running.message));
        draft.abort(Outcome::Aborted, reasons::VERIFICATION_TIMED_OUT, &message);
        return Step::Again;
    }
    let message = format!("Verifying revision {} ({})", candidate.number, candidate.image);
    let message = if draft.ready_pods(&candidate) == 0 { format!("{message}: no pod of the candidate is ready") } else { message };
    Stay::working(reasons::VERIFYING, message).until(draft.due(timeout)).into()
}

fn or_no_result(message: &str) -> &str {
    if message.is_empty() { "no result yet" } else { message }
}

/// A gate has failed: the candidate is given up, or kept for a person to look at.
fn failed(draft: &mut Draft<'_>, candidate: &Side) -> Option<Step> {
    let gate = draft.deciding(Stage::Verification).find(|gate| gate.state == GateState::Failed)?.clone();
    let reason = draft.reason_of(&gate);
    let message = format!("{}: {}", gate.name, gate.message);
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
    let [give_up, again] = [Verb::Abort, Verb::Retry].map(|verb| draft.order(verb, &candidate.revision));
    let advice = format!(". Give it up with {give_up}, let the gate run again with {again}, or change spec");
    Some(Stay::stalled(reason, around("Held, since ", &message, &advice)).into())
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
    let timeout = settings.promotion_timeout.and_then(|timeout| draft.due(timeout));
    if settings.promotion_timeout.is_some_and(|timeout| draft.elapsed() >= timeout) {
        draft.abort(Outcome::Aborted, reasons::PROMOTION_TIMED_OUT, "it was not promoted in time");
        return Step::Again;
    }
    let Some(shut) = shut::shut(draft) else {
        draft.enter(Phase::ScalingUp);
        return Step::Again;
    };
    shut.until(timeout).into()
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
    let message = format!("Bringing revision {} ({}) to full size", full.number, full.image);
    if draft.fully_available(&full) && draft.ready_pods(&full) > 0 {
        // Not before our write that comes after somebody's edit is taken up. What others add beside our fields stays, and starts no gate anew.
        if !facts::taken_up(draft.seen, &full) {
            return Stay::working(reasons::SCALING_UP, format!("{message}: waiting until its Deployment is written as recorded")).into();
        }
        draft.enter(Phase::Promoting);
        return Step::Again;
    }
    pods_coming(draft, &full, reasons::SCALING_UP, message)
}
