//! A candidate before the switch: deployed, verified, waiting, brought to full size. The active side is never touched here.

use crate::{
    decision::Object,
    draft::{Draft, Stay, Step},
    effects,
    gates::{self, Stage},
    orders::Verb,
    progress, revision,
};
use bluegreen_api::{Gate, GateState, Outcome, Phase, Side, VerificationFailure, names, reasons};
use serde_json::json;

/// What ends or replaces a candidate in any phase before the switch. Orders first, then `spec`.
fn before_switch(draft: &mut Draft<'_>) -> Result<Side, Step> {
    let Some(candidate) = draft.status.preview.clone() else {
        // Recorded by nobody: without a candidate there is nothing to bring live.
        draft.rest(Phase::Healthy);
        return Err(Step::Again);
    };
    if let Some(verb) = draft.ordered_to_give_up(&candidate.revision) {
        draft.abort(Outcome::Aborted, reasons::ORDERED, &format!("by order ({})", verb.as_str()));
        return Err(Step::Again);
    }
    if draft.wants(draft.status.active.as_ref()) {
        draft.abort(Outcome::Reverted, reasons::REVERTED, "spec went back to the active revision");
        return Err(Step::Again);
    }
    if let Some(wanted) = draft.new_candidate()
        && wanted.hash != candidate.revision
        && draft.held().is_none()
    {
        draft.finish_attempt(Outcome::Superseded, reasons::SUPERSEDED, "spec asks for another revision");
        draft.begin_candidate(wanted);
        return Err(Step::Again);
    }
    approve(draft, &candidate);
    Ok(candidate)
}

/// An approval is good for the whole attempt, whenever it was given: for the gates that were inconclusive at that moment and no others.
fn approve(draft: &mut Draft<'_>, candidate: &Side) {
    if !draft.ordered(Verb::Promote, &candidate.revision) {
        return;
    }
    draft.spend(Verb::Promote);
    let approval = Gate {
        name: gates::APPROVAL.into(),
        state: GateState::Passed,
        weight: None,
        definition: approval_for(draft),
        message: "approved by order".into(),
        since: draft.now(),
        measured: None,
        tries: None,
    };
    draft.status.gates.retain(|gate| gate.name != gates::APPROVAL);
    draft.status.gates.push(approval);
}

/// What an approval given now decides: the gates that are inconclusive, by name and definition; and of a score what it came to, for one that
/// counts in it may turn bad and leave it as unknown as before.
fn approval_for(draft: &Draft<'_>) -> String {
    let decided: Vec<_> = inconclusive(draft).map(|gate| (&gate.name, &gate.definition)).collect();
    let score = Stage::Verification.score();
    if !decided.iter().any(|(name, _)| *name == score) {
        return revision::definition(&json!(decided));
    }
    let soft = draft.status.gates.iter().filter(|gate| !gate.decides() && gate.name.starts_with(Stage::Verification.prefix()));
    let bad: Vec<_> = soft.filter(|gate| gate.state == GateState::Failed).map(|gate| (&gate.name, &gate.definition)).collect();
    revision::definition(&json!([decided, bad]))
}

fn inconclusive<'d>(draft: &'d Draft<'_>) -> impl Iterator<Item = &'d Gate> {
    draft.status.gates.iter().filter(|gate| gate.state == GateState::Inconclusive && gate.decides())
}

fn approved(draft: &Draft<'_>) -> bool {
    let nothing_inconclusive = inconclusive(draft).next().is_none();
    let for_this = approval_for(draft);
    let mut approvals = draft.status.gates.iter().filter(|gate| gate.name == gates::APPROVAL && gate.state == GateState::Passed);
    approvals.any(|gate| nothing_inconclusive || gate.definition == for_this)
}

/// The candidate's pods come up, beside the live ones.
pub(super) fn deploying_preview(draft: &mut Draft<'_>) -> Step {
    let candidate = match before_switch(draft) {
        Ok(candidate) => candidate,
        Err(step) => return step,
    };
    if let Some(stay) = draft.held() {
        return stay.into();
    }
    if let Some(stay) = refused(draft, &candidate) {
        return stay.into();
    }
    // What is recorded may be of a time when `replicas` was 0: no pods at all are no preview.
    let active = draft.status.active.as_ref().map_or(0, |active| active.replicas);
    let candidate = Side { replicas: draft.settings().preview_size(active), ..candidate };
    if draft.fully_available(&candidate) {
        draft.enter(Phase::Verifying);
        return Step::Again;
    }
    let message = format!("Deploying revision {} ({}) to {}", candidate.number, candidate.image, candidate.color);
    pods_coming(draft, &candidate, reasons::DEPLOYING, message)
}

/// The API server doesn't take the candidate's objects: the author must change `spec`, and is told its words.
fn refused(draft: &Draft<'_>, candidate: &Side) -> Option<Stay> {
    let ours = |object: &Object| match object {
        Object::Deployment(color) => *color == candidate.color,
        Object::Revision(hash) => *hash == candidate.revision,
        Object::Service(_) => false,
    };
    let refusal = draft.refusals().find(|refusal| ours(&refusal.object) && refusal.generation == draft.seen.generation)?;
    let name = match &refusal.object {
        Object::Deployment(color) => format!("Deployment {}", names::deployment(&draft.seen.name, *color)),
        Object::Revision(hash) => format!("ControllerRevision {}", names::revision(&draft.seen.name, hash)),
        Object::Service(role) => format!("{} Service", role.as_str()),
    };
    Some(crate::conditions::refusal(refusal, &name))
}

/// Waits for pods, gives up when they never will or make no progress in time.
fn pods_coming(draft: &mut Draft<'_>, candidate: &Side, reason: &'static str, message: String) -> Step {
    let seen = draft.color_of(candidate);
    if let Some(why) = progress::hopeless(seen, &candidate.revision, draft.now()) {
        draft.abort(Outcome::Aborted, reasons::HOPELESS, &why);
        return Step::Again;
    }
    let trouble = draft.trouble(candidate);
    let progress = draft.without_progress(candidate);
    if progress.is_some_and(|(time, _)| time >= draft.settings().progress_deadline) {
        let why = trouble.unwrap_or_else(|| "its pods don't get ready".into());
        let deadline = bluegreen_api::Duration(draft.settings().progress_deadline);
        draft.abort(Outcome::Aborted, reasons::PROGRESS_DEADLINE_EXCEEDED, &format!("no progress for {deadline}: {why}"));
        return Step::Again;
    }
    let hopeless_at = progress::hopeless_at(seen, &candidate.revision, draft.now());
    let until = [progress.and_then(|(_, due)| due), hopeless_at].into_iter().flatten().min();
    let stay = match trouble {
        Some(trouble) => Stay::working(reasons::POD_TROUBLE, format!("{message}: {trouble}")),
        None => Stay::working(reason, message),
    };
    stay.until(until).into()
}

/// Checks in their order, then metrics.
pub(super) fn verifying(draft: &mut Draft<'_>) -> Step {
    let candidate = match before_switch(draft) {
        Ok(candidate) => candidate,
        Err(step) => return step,
    };
    if let Some(stay) = draft.held() {
        return stay.into();
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
        let message =
            format!("{} was not finished within {}: {}", running.name, bluegreen_api::Duration(timeout), or_no_result(&running.message));
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
        // Those that count in a score too.
        draft.status.gates.retain(|gate| gate.state != GateState::Failed);
        draft.enter(Phase::Verifying);
        return Some(Step::Again);
    }
    let [give_up, again] = [Verb::Abort, Verb::Retry].map(|verb| draft.order(verb, &candidate.revision));
    let advice = format!(". Give it up with {give_up}, let the gate run again with {again}, or change spec");
    Some(Stay::stalled(reason, gates::around("Held, since ", &message, &advice)).into())
}

/// Verified: waits for an approval, or for its time.
pub(super) fn awaiting_promotion(draft: &mut Draft<'_>) -> Step {
    let candidate = match before_switch(draft) {
        Ok(candidate) => candidate,
        Err(step) => return step,
    };
    if let Some(stay) = draft.held() {
        return stay.into();
    }
    draft.align_gates(Stage::Verification);
    if draft.deciding(Stage::Verification).any(|gate| matches!(gate.state, GateState::Running | GateState::Failed)) {
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
    let Some(closed) = closed(draft, &candidate) else {
        draft.enter(Phase::ScalingUp);
        return Step::Again;
    };
    closed.until(timeout).into()
}

/// The gates that can change their mind, asked while waiting and once more right before the switch. None: open.
fn closed(draft: &Draft<'_>, candidate: &Side) -> Option<Stay> {
    let settings = draft.settings();
    let revision = &candidate.revision;
    if !approved(draft) {
        if let Some(gate) = inconclusive(draft).next() {
            let [promote, abort] = [Verb::Promote, Verb::Abort].map(|verb| draft.order(verb, revision));
            let advice = format!("Decide with {promote} or {abort}");
            return Some(Stay::working(reasons::INCONCLUSIVE, gates::not_judged(gate, &advice)));
        }
        if settings.approval {
            let what = format!("Revision {} (", candidate.number);
            let advice = format!(") is verified and waits for approval: {}", draft.order(Verb::Promote, revision));
            return Some(Stay::working(reasons::AWAITING_APPROVAL, gates::around(&what, &candidate.image, &advice)));
        }
    }
    if draft.phase() == Some(Phase::AwaitingPromotion) && draft.elapsed() < settings.promote_after {
        let due = draft.due(settings.promote_after);
        return Some(
            Stay::working(
                reasons::AWAITING_PROMOTION,
                format!("Revision {} ({}) is verified and waits for its time", candidate.number, candidate.image),
            )
            .until(due),
        );
    }
    None
}

/// The candidate is brought to the size that takes all traffic; then every gate is asked once more.
pub(super) fn scaling_up(draft: &mut Draft<'_>) -> Step {
    let candidate = match before_switch(draft) {
        Ok(candidate) => candidate,
        Err(step) => return step,
    };
    draft.align_gates(Stage::Verification);
    let undecided = draft.deciding(Stage::Verification).any(|gate| matches!(gate.state, GateState::Running | GateState::Failed));
    if draft.held().is_some() || undecided || closed(draft, &candidate).is_some() {
        draft.enter(Phase::AwaitingPromotion);
        return Step::Again;
    }
    let active = draft.status.active.as_ref().map_or(0, |active| active.replicas);
    let full = Side { replicas: draft.settings().full_size(active), ..candidate };
    draft.status.preview = Some(full.clone());
    let message = format!("Bringing revision {} ({}) to full size", full.number, full.image);
    if draft.fully_available(&full) && draft.ready_pods(&full) > 0 {
        // Not before our write that comes after somebody's edit is taken up. What others add beside our fields stays, and starts no gate anew.
        if !effects::taken_up(draft.seen, &full) {
            return Stay::working(reasons::SCALING_UP, format!("{message}: waiting until its Deployment is written as recorded")).into();
        }
        draft.enter(Phase::Promoting);
        return Step::Again;
    }
    pods_coming(draft, &full, reasons::SCALING_UP, message)
}
