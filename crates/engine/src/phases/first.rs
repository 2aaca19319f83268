//! The first revision, and a status that was lost.

use crate::{
    draft::{Draft, Stay, Step},
    gates::{Stage, around, not_judged},
    observed::{ColorSeen, DeploymentSeen, ObjectSeen},
    orders, progress, withdraw,
};
use bluegreen_api::{Color, GateState, Outcome, Phase, Side, reasons};

/// No status: a new rollout, or one whose status was lost. What is there decides.
pub(super) fn start(draft: &mut Draft<'_>) -> Step {
    let seen = draft.seen;
    if let Some(blocked) = super::rest::blocked(draft).or_else(|| draft.blind()) {
        return blocked.into();
    }
    let mut sides = [Color::Blue, Color::Green].map(|color| match ours(seen.color(color)) {
        Some(deployment) => Some(rebuilt(draft, color, &deployment.revision, deployment.replicas)),
        None => selected(draft, color),
    });
    forget(draft);
    let Some(active) = active_color(draft, &sides) else { return fresh(draft) };
    if draft.status.epoch == 0 {
        // What the lost status had asked for may be on its way still: above every fence that there was, it is withdrawn.
        draft.status.epoch = withdraw::fenced(seen).saturating_add(1);
        return Stay::working(reasons::INITIALIZING, "The status was lost, and is rebuilt from what is there").into();
    }
    let index = |color: Color| usize::from(color == Color::Green);
    let other = sides[index(active.other())].take().filter(|side| side.replicas > 0);
    draft.status.active = sides[index(active)].take();
    draft.status.revisions = draft.seen.revisions.iter().map(|revision| revision.number).max().unwrap_or(1);
    draft.status.attempt = draft.status.attempt.max(draft.status.revisions);
    orders::spend_all(&mut draft.status, &draft.seen.annotations);
    take_up(draft, other);
    Step::Again
}

/// What is left of a status without a phase is of no story that is known.
fn forget(draft: &mut Draft<'_>) {
    let status = &mut draft.status;
    status.active = None;
    (status.preview, status.standby, status.leaving, status.previous) = (None, None, None, None);
    (status.ending, status.current, status.clock, status.waiting_replicas) = (None, None, None, None);
    status.gates.clear();
}

/// Gives the color that isn't active its role. Only what is known to have been live is a way back.
fn take_up(draft: &mut Draft<'_>, other: Option<Side>) {
    let service = draft.seen.active_service.as_ref();
    let former = service.and_then(|service| service.former.as_deref());
    let live = draft.status.active.clone();
    match (other, live) {
        (Some(side), _) if draft.wants(Some(&side)) => {
            // Its gates are asked again from the first: what they had said is lost.
            draft.begin_attempt(&side);
            draft.status.preview = Some(side);
            draft.enter(Phase::DeployingPreview);
        }
        (Some(side), _) if former == Some(side.revision.as_str()) => {
            draft.status.previous = Some(side.clone());
            draft.status.standby = Some(side);
            draft.enter(Phase::Monitoring);
        }
        (_, Some(live)) if draft.ready_pods(&live) == 0 && draft.wants(Some(&live)) && !crate::effects::selects(draft.seen, &live) => {
            draft.enter(Phase::Initializing);
        }
        (_, _) => draft.enter(Phase::Healthy),
    }
}

fn ours(color: &ColorSeen) -> Option<&DeploymentSeen> {
    // One that lost its labels and was handed over is known by those of its pods.
    color.deployment.as_ref().filter(|deployment| crate::effects::touchable(&deployment.owner) && !deployment.revision.is_empty())
}

/// The side that serves lost its Deployment together with the status: the active Service names it still, and what it ran is stored.
fn selected(draft: &Draft<'_>, color: Color) -> Option<Side> {
    let selector = &draft.seen.active_service.as_ref()?.selector;
    let revision = selector.get(bluegreen_api::names::REVISION_LABEL)?;
    let stored = draft.seen.revisions.iter().any(|stored| stored.hash == *revision);
    let lost = draft.seen.color(color).deployment.as_ref().is_none();
    let here = selector.get(bluegreen_api::names::COLOR_LABEL).is_some_and(|selected| selected == color.as_str());
    (stored && lost && here).then(|| rebuilt(draft, color, revision, draft.settings().replicas))
}

/// A side as its Deployment told.
fn rebuilt(draft: &Draft<'_>, color: Color, hash: &str, replicas: i32) -> Side {
    let revision = draft.seen.revisions.iter().find(|revision| revision.hash == hash);
    let wanted = draft.wanted().filter(|wanted| wanted.hash == hash);
    let selected = draft
        .seen
        .active_service
        .as_ref()
        .filter(|service| service.selector.get(bluegreen_api::names::REVISION_LABEL).is_some_and(|selected| selected == hash));
    let ports = revision
        .map(|revision| revision.ports.clone())
        .filter(|ports| !ports.is_empty())
        .or_else(|| wanted.map(|wanted| wanted.ports.clone()))
        .or_else(|| selected.map(|service| service.ports.clone()))
        .unwrap_or_else(|| draft.seen.spec.service.ports.clone());
    Side {
        color,
        revision: hash.to_owned(),
        number: revision.map_or(1, |revision| revision.number),
        image: revision.map(|revision| revision.image.clone()).or_else(|| wanted.map(|wanted| wanted.image.clone())).unwrap_or_default(),
        replicas,
        ports,
        generation: None,
    }
}

/// The color that the active Service selects; else the one with ready pods, of two the larger; else any that is there.
fn active_color(draft: &Draft<'_>, sides: &[Option<Side>; 2]) -> Option<Color> {
    let present = || sides.iter().flatten();
    let service = draft.seen.active_service.as_ref();
    let selected = service.and_then(|service| service.selector.get(bluegreen_api::names::COLOR_LABEL));
    let by_service = present().find(|side| selected.is_some_and(|color| color == side.color.as_str()));
    let by_size = || present().max_by_key(|side| (draft.ready_pods(side), side.replicas, side.color == Color::Blue));
    by_service.or_else(by_size).map(|side| side.color)
}

/// Nothing is there yet.
fn fresh(draft: &mut Draft<'_>) -> Step {
    match draft.held() {
        // The very first deployment has no gate to wait with zero replicas for.
        Some(stay) if stay.reason != reasons::NO_REPLICAS => return stay.into(),
        _ => {}
    }
    if let Some(wanted) = draft.wanted() {
        let side = draft.side_of(wanted, Color::Blue, draft.settings().replicas);
        draft.begin_attempt(&side);
        draft.status.active = Some(side);
        draft.enter(Phase::Initializing);
        return Step::Again;
    }
    Stay::stalled(reasons::INVALID_SPEC, "spec can't be carried out").into()
}

/// The first revision gets its pods, and serves as they get ready. Trouble is told; nothing is rejected.
pub(super) fn initializing(draft: &mut Draft<'_>) -> Step {
    let Some(active) = draft.status.active.clone() else {
        draft.status.phase = None;
        return Step::Again;
    };
    if let Some(wanted) = draft.new_candidate() {
        let hold = draft.held().filter(|stay| stay.reason != reasons::NO_REPLICAS);
        if let Some(stay) = hold {
            return stay.into();
        }
        return another_first(draft, &active, wanted);
    }
    if draft.settings().verify_initial {
        if let Some(stay) = first_gates(draft, &active) {
            return stay.into();
        }
    } else if !draft.fully_available(&active) {
        return coming_up(draft, &active).into();
    }
    if let Some(blocked) = super::rest::blocked(draft) {
        return blocked.into();
    }
    if !draft.settings().verify_initial && !crate::effects::selects(draft.seen, &active) {
        // Handed over by somebody else, or refused: nobody is served by it yet.
        return Stay::working(reasons::INITIALIZING, format!("Waiting for the active Service to select revision {}", active.number)).into();
    }
    draft.finish_attempt(Outcome::Promoted, reasons::AVAILABLE, "the first revision serves");
    draft.rest(Phase::Healthy);
    Step::Again
}

/// `spec` changed before the first revision served in full.
fn another_first(draft: &mut Draft<'_>, active: &Side, wanted: &crate::plan::Wanted) -> Step {
    draft.finish_attempt(Outcome::Superseded, reasons::SUPERSEDED, "spec asks for another revision");
    if draft.ready_pods(active) > 0 {
        draft.begin_candidate(wanted);
        return Step::Again;
    }
    let side = draft.side_of(wanted, active.color, draft.settings().replicas);
    draft.begin_attempt(&side);
    draft.status.active = Some(side);
    draft.enter(Phase::Initializing);
    Step::Again
}

fn first_gates(draft: &mut Draft<'_>, active: &Side) -> Option<Stay> {
    if !draft.fully_available(active) && draft.status.gates.iter().all(|gate| gate.state == GateState::Running) {
        return Some(coming_up(draft, active));
    }
    if let Some(stay) = draft.held() {
        return Some(stay);
    }
    draft.align_gates(Stage::Verification);
    let failed = draft.deciding(Stage::Verification).find(|gate| gate.state == GateState::Failed);
    if let Some(gate) = failed {
        let advice = format!(". Change spec, or let the gate run again with {}", draft.order(orders::Verb::Retry, &active.revision));
        let message = around(&format!("The first revision did not pass {}: ", gate.name), &gate.message, &advice);
        let reason = draft.reason_of(gate);
        if draft.ordered(orders::Verb::Retry, &active.revision) {
            draft.spend(orders::Verb::Retry);
            draft.status.gates.clear();
            draft.align_gates(Stage::Verification);
            return Some(Stay::working(reasons::VERIFYING, "Verifying the first revision before it serves"));
        }
        return Some(Stay::stalled(reason, message));
    }
    let verifying = || Stay::working(reasons::VERIFYING, "Verifying the first revision before it serves");
    if draft.deciding(Stage::Verification).any(|gate| gate.state == GateState::Running) {
        return Some(verifying());
    }
    let unknown = draft.deciding(Stage::Verification).find(|gate| gate.state == GateState::Inconclusive)?.clone();
    if draft.ordered(orders::Verb::Promote, &active.revision) {
        draft.spend(orders::Verb::Promote);
        return None;
    }
    let advice = format!("Decide with {}, or change spec", draft.order(orders::Verb::Promote, &active.revision));
    Some(Stay::working(reasons::INCONCLUSIVE, not_judged(&unknown, &advice)))
}

/// There is no other revision that could serve, and time alone doesn't help.
const ADVICE: &str = ". Change spec";

fn coming_up(draft: &Draft<'_>, active: &Side) -> Stay {
    let seen = draft.color_of(active);
    if let ObjectSeen::There(_) = &seen.deployment
        && let Some(why) = progress::hopeless(seen, &active.revision, draft.now())
    {
        return Stay::stalled(reasons::HOPELESS, around("The first revision can't start: ", &why, ADVICE));
    }
    let trouble = draft.trouble(active);
    let progress = draft.without_progress(active);
    if progress.is_some_and(|(time, _)| time >= draft.settings().progress_deadline) {
        let why = trouble.unwrap_or_else(|| "its pods don't get ready".into());
        let message = around("The first revision made no progress within the deadline: ", &why, ADVICE);
        return Stay::stalled(reasons::PROGRESS_DEADLINE_EXCEEDED, message);
    }
    let hopeless_at = progress::hopeless_at(seen, &active.revision, draft.now());
    let until = [progress.and_then(|(_, due)| due), hopeless_at].into_iter().flatten().min();
    let stay = match trouble {
        Some(trouble) => Stay::working(reasons::POD_TROUBLE, format!("Waiting for the pods of revision {}: {trouble}", active.number)),
        None => Stay::working(reasons::INITIALIZING, format!("Waiting for the pods of revision {} ({})", active.number, active.image)),
    };
    stay.until(until)
}
