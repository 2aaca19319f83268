//! The switch, the watch over the new version, and the end of the former one.

use crate::{
    draft::{Draft, Stay, Step, ending},
    effects,
    gates::{Stage, around, baked, not_judged},
    orders::Verb,
    progress,
};
use bluegreen_api::{Ending, Gate, GateState, Lifetime, MonitoringFailure, OnUnknown, Outcome, Phase, Side, reasons};
use std::{collections::BTreeSet, time::Duration};

/// How long EndpointSlices may lag before it is told.
const SLICES_LATE: Duration = Duration::from_secs(30);

/// The switch is decided: one write, then the endpoints must show it.
pub(super) fn promoting(draft: &mut Draft<'_>) -> Step {
    let (Some(active), Some(candidate)) = (draft.status.active.clone(), draft.status.preview.clone()) else {
        draft.rest(Phase::Healthy);
        return Step::Again;
    };
    let selects = effects::selects(draft.seen, &candidate);
    if let Some(ending) = withdrawn(draft, &active, &candidate, selects) {
        if selects {
            as_promoted(draft, active, candidate);
            draft.roll_back(ending);
        } else {
            // Nobody was sent there yet.
            let outcome = if ending.outcome == Outcome::RolledBack { Outcome::Aborted } else { ending.outcome };
            draft.abort(outcome, &ending.reason, &ending.message);
        }
        return Step::Again;
    }
    if !selects && draft.settings().replicas == 0 {
        // The size is a gate that can change its mind up to the switch.
        draft.enter(Phase::AwaitingPromotion);
        return Step::Again;
    }
    if selects && endpoints_show(draft, &candidate) {
        as_promoted(draft, active, candidate);
        draft.status.waiting_replicas = None;
        draft.enter(Phase::Monitoring);
        return Step::Again;
    }
    let deadline = short_deadline(draft, &candidate);
    if !draft.fully_available(&candidate) {
        let message = format!("Promoting revision {} ({}): waiting for its pods to be ready again", candidate.number, candidate.image);
        return Stay::working(reasons::PROMOTING, message).until(deadline).into();
    }
    if !selects && !effects::taken_up(draft.seen, &candidate) {
        let why = "waiting until its Deployment is written as recorded";
        return Stay::working(reasons::PROMOTING, format!("Promoting revision {} ({}): {why}", candidate.number, candidate.image)).into();
    }
    let (late, until) = slices_late(draft, &candidate);
    if selects && late {
        let since = draft.seen.endpoints.changed.map(|at| format!(" since {}", crate::conditions::whole_second(at))).unwrap_or_default();
        let message = format!(
            "The active Service selects revision {}, but its EndpointSlices have not been updated{since}: is the endpoint slice controller at work?",
            candidate.number
        );
        return Stay::working(reasons::ENDPOINTS_STALE, message).into();
    }
    Stay::working(reasons::PROMOTING, format!("Promoting revision {} ({})", candidate.number, candidate.image)).until(until).into()
}

/// Whether the EndpointSlices are late to show a side that the active Service leads to, and when they would be: none could show a
/// pod before it was ready. A pod that got ready in times to come tells of another clock.
pub(super) fn slices_late(draft: &Draft<'_>, side: &Side) -> (bool, Option<jiff::Timestamp>) {
    let shown = shown(draft);
    let pods = draft.color_of(side).pods.iter().filter(|pod| pod.revision == side.revision && pod.ready && !pod.deleting);
    let ready = pods
        .filter(|pod| !shown.contains(pod.name.as_str()))
        .filter_map(|pod| pod.ready_changed)
        .filter(|ready| *ready <= draft.now())
        .max();
    let since_ready = ready.and_then(|ready| ready.checked_add(SLICES_LATE).ok());
    let late = draft.elapsed() >= SLICES_LATE && since_ready.is_none_or(|due| due <= draft.now());
    (late, draft.due(SLICES_LATE).max(since_ready))
}

/// What withdraws the switch while it is under way.
fn withdrawn(draft: &mut Draft<'_>, active: &Side, candidate: &Side, selects: bool) -> Option<Ending> {
    if let Some(verb) = draft.ordered_to_give_up(&candidate.revision) {
        return Some(by_order(verb));
    }
    if draft.wants(Some(active)) {
        return Some(ending(Outcome::Reverted, reasons::REVERTED, "spec went back to the former revision"));
    }
    if draft.settings().replicas == 0 {
        return None;
    }
    let unready = draft.ready_pods(candidate) == 0;
    if selects && unready {
        return Some(ending(Outcome::RolledBack, reasons::LOST_READINESS, &lost(draft, candidate, "no pod of the new revision is ready")));
    }
    // Of its pods alone: a Deployment that was edited or lost is repaired, and is no word on the release.
    short_for_too_long(draft, candidate).then(|| {
        ending(
            Outcome::RolledBack,
            reasons::LOST_READINESS,
            &lost(draft, candidate, "pods of the new revision lost readiness and did not regain it"),
        )
    })
}

fn lost(draft: &Draft<'_>, side: &Side, what: &str) -> String {
    let trouble = draft.trouble(side).map(|trouble| format!(": {trouble}")).unwrap_or_default();
    format!("{what}{trouble}")
}

fn by_order(verb: Verb) -> Ending {
    let mut ending = ending(Outcome::RolledBack, reasons::ORDERED, &format!("by order ({})", verb.as_str()));
    ending.ordered = true;
    ending
}

/// The candidate is the active side now, and the former one stands by.
fn as_promoted(draft: &mut Draft<'_>, former: Side, candidate: Side) {
    // Given before there was anything to accept.
    draft.spend(Verb::Accept);
    draft.status.previous = Some(former.clone());
    draft.status.standby = Some(former);
    draft.status.active = Some(candidate);
    draft.status.preview = None;
}

/// The endpoints of the active Service hold every ready pod of the side, and no ready one of another.
pub(super) fn endpoints_show(draft: &Draft<'_>, side: &Side) -> bool {
    let pods = || draft.color_of(side).pods.iter().filter(|pod| pod.revision == side.revision);
    let own: BTreeSet<_> = pods().map(|pod| pod.name.as_str()).collect();
    let ready: BTreeSet<_> = pods().filter(|pod| pod.ready && !pod.deleting).map(|pod| pod.name.as_str()).collect();
    let serving = shown(draft);
    !serving.is_empty() && serving.is_subset(&own) && ready.is_subset(&serving)
}

/// The pods that EndpointSlices show as ready.
fn shown<'d>(draft: &Draft<'d>) -> BTreeSet<&'d str> {
    draft.seen.endpoints.pods.iter().filter(|pod| pod.ready).map(|pod| pod.pod.as_str()).collect()
}

/// The new version serves and is watched; the former one stands by at full size.
pub(super) fn monitoring(draft: &mut Draft<'_>) -> Step {
    let Some(active) = draft.status.active.clone() else {
        draft.status.phase = None;
        return Step::Again;
    };
    if let Some(step) = way_back_asked(draft, &active) {
        return step;
    }
    if draft.ordered(Verb::Accept, &active.revision) {
        draft.spend(Verb::Accept);
        return monitored(draft);
    }
    draft.align_gates(Stage::Monitoring);
    if let Some(ending) = bad(draft, &active) {
        return if draft.roll_back(ending) { Step::Again } else { no_way_back(draft, &active).into() };
    }
    if let Some(stay) = failed_and_held(draft, &active) {
        return stay.into();
    }
    if let Some(stay) = draft.held() {
        return stay.into();
    }
    still_monitoring(draft, &active)
}

/// An order or `spec` itself asks for the former revision.
fn way_back_asked(draft: &mut Draft<'_>, active: &Side) -> Option<Step> {
    if let Some(verb) = draft.ordered_to_give_up(&active.revision) {
        return Some(if draft.roll_back(by_order(verb)) { Step::Again } else { no_way_back(draft, active).into() });
    }
    if draft.status.standby.is_some() && draft.wants(draft.status.standby.as_ref()) {
        draft.roll_back(ending(Outcome::Reverted, reasons::REVERTED, "spec went back to the former revision"));
        return Some(Step::Again);
    }
    None
}

fn no_way_back(draft: &Draft<'_>, active: &Side) -> Stay {
    let trouble = draft.trouble(active).map(|trouble| format!(": {trouble}")).unwrap_or_default();
    Stay::stalled(
        reasons::NO_WAY_BACK,
        format!(
            "Revision {} ({}) is bad{trouble}, and no former revision is known to go back to: change spec",
            active.number, active.image
        ),
    )
}

/// What condemns the new version without anybody's word.
fn bad(draft: &Draft<'_>, active: &Side) -> Option<Ending> {
    if draft.settings().replicas > 0 && active.replicas > 0 {
        if draft.ready_pods(active) == 0 {
            return Some(ending(Outcome::RolledBack, reasons::LOST_READINESS, &lost(draft, active, "no pod of the new revision is ready")));
        }
        if short_for_too_long(draft, active) {
            return Some(ending(
                Outcome::RolledBack,
                reasons::LOST_READINESS,
                &lost(draft, active, "the new revision was not fully available for a whole deadline"),
            ));
        }
    }
    if draft.settings().on_monitoring_failure == MonitoringFailure::Pause {
        return None;
    }
    let gate = draft.deciding(Stage::Monitoring).find(|gate| gate.state == GateState::Failed)?;
    Some(ending(Outcome::RolledBack, draft.reason_of(gate), &format!("{}: {}", gate.name, gate.message)))
}

fn short_since(draft: &Draft<'_>, active: &Side) -> Option<jiff::Timestamp> {
    draft.color_of(active).progress.as_ref().filter(|progress| progress.revision == active.revision)?.short_since
}

fn short_for_too_long(draft: &Draft<'_>, active: &Side) -> bool {
    let deadline = draft.settings().progress_deadline;
    let Some(since) = short_since(draft, active) else { return false };
    let short = draft.now().as_millisecond() - since.as_millisecond();
    u128::try_from(short).is_ok_and(|short| short >= deadline.as_millis()) && draft.elapsed() >= deadline && !draft.fully_available(active)
}

/// When being short of pods becomes a reason to go back.
fn short_deadline(draft: &Draft<'_>, active: &Side) -> Option<jiff::Timestamp> {
    let deadline = draft.settings().progress_deadline;
    let since = short_since(draft, active)?.checked_add(deadline).ok()?;
    draft.due(deadline).map(|due| due.max(since))
}

/// What a person may order while a version is watched.
fn back_or_on(draft: &Draft<'_>, active: &Side) -> String {
    let [back, on] = [Verb::Rollback, Verb::Accept].map(|verb| draft.order(verb, &active.revision));
    format!("{back} or {on}")
}

fn failed_and_held(draft: &Draft<'_>, active: &Side) -> Option<Stay> {
    let gate = draft.deciding(Stage::Monitoring).find(|gate| gate.state == GateState::Failed)?;
    let advice = format!(". Decide with {}", back_or_on(draft, active));
    let message = around(&format!("Held after the switch, since {}: ", gate.name), &gate.message, &advice);
    Some(Stay::stalled(draft.reason_of(gate), message).until(short_deadline(draft, active)))
}

fn still_monitoring(draft: &mut Draft<'_>, active: &Side) -> Step {
    let bake = draft.settings().bake;
    let watching = format!("Monitoring revision {} ({})", active.number, active.image);
    if !draft.fully_available(active) {
        let trouble = draft.trouble(active).map(|trouble| format!(": {trouble}")).unwrap_or_default();
        let deadline = short_deadline(draft, active);
        return Stay::working(reasons::MONITORING, format!("{watching}: it is not fully available{trouble}")).until(deadline).into();
    }
    let gates: Vec<_> = draft.deciding(Stage::Monitoring).cloned().collect();
    let unknown = gates.iter().find(|gate| gate.state == GateState::Inconclusive);
    if draft.elapsed() >= bake
        && let Some(gate) = unknown
    {
        match draft.settings().on_unknown {
            OnUnknown::Pass => {}
            OnUnknown::RollBack => {
                let ending =
                    ending(Outcome::RolledBack, reasons::INCONCLUSIVE, &format!("{} could not be judged: {}", gate.name, gate.message));
                return if draft.roll_back(ending) { Step::Again } else { no_way_back(draft, active).into() };
            }
            OnUnknown::Hold => {
                let message = not_judged(gate, &format!("Waiting for readings; or decide with {}", back_or_on(draft, active)));
                return Stay::working(reasons::INCONCLUSIVE, message).into();
            }
        }
    }
    // One that can't be judged comes this far only if it is to count as passed.
    let open = |gate: &Gate| !matches!(gate.state, GateState::Passed | GateState::Inconclusive) && !baked(gate, bake);
    if draft.elapsed() < bake || gates.iter().any(open) {
        let message = match unknown {
            Some(gate) => around(&format!("{watching}: {} can't be judged: ", gate.name), &gate.message, ""),
            None => watching,
        };
        return Stay::working(reasons::MONITORING, message).until(draft.due(bake)).into();
    }
    monitored(draft)
}

/// The new version has passed; its story has ended well, whatever becomes of the former side.
fn monitored(draft: &mut Draft<'_>) -> Step {
    draft.enter(Phase::ScalingDown);
    Step::Again
}

/// The former side is drained, stands by for a while, and goes.
pub(super) fn scaling_down(draft: &mut Draft<'_>) -> Step {
    let Some(active) = draft.status.active.clone() else {
        draft.status.phase = None;
        return Step::Again;
    };
    if let Some(step) = way_back_asked(draft, &active) {
        return step;
    }
    let drained = draft.elapsed() >= draft.settings().drain;
    let serving = format!("Revision {} ({}) serves", active.number, active.image);
    let Some(standby) = draft.status.standby.clone() else { return scaled_down(draft) };
    if let Some(wanted) = draft.new_candidate()
        && draft.held().is_none()
    {
        if drained {
            finish_promoted(draft);
            draft.begin_candidate(wanted);
            return Step::Again;
        }
        return Stay::working(reasons::SCALING_DOWN, format!("{serving}; the next revision starts when the former side is drained"))
            .until(draft.due(draft.settings().drain))
            .into();
    }
    if draft.settings().after == Lifetime::Never && drained {
        finish_promoted(draft);
        draft.rest(Phase::Healthy);
        return Step::Again;
    }
    let due = match draft.settings().after {
        Lifetime::Never => draft.due(draft.settings().drain),
        Lifetime::For(_) => effects::scale_down_due(draft.plan, &draft.status),
    };
    let gone = draft.color_of(&standby).deployment.as_ref().is_none_or(|deployment| deployment.replicas == 0);
    if gone && due.is_some_and(|due| due <= draft.now()) {
        return scaled_down(draft);
    }
    if let Some(stay) = draft.held().filter(|stay| stay.reason != reasons::NO_REPLICAS) {
        return stay.into();
    }
    if due.is_some_and(|due| due <= draft.now()) && draft.ready_pods(&active) == 0 && draft.settings().replicas > 0 {
        return kept(draft, &active, &standby).into();
    }
    let stay = super::rest::degraded(draft, &active).or_else(|| still_reached(draft, &standby, due, &serving));
    stay.unwrap_or_else(|| Stay::ready(reasons::AVAILABLE, format!("{serving}; the former side is on its way down"))).until(due).into()
}

/// The time of a side is over, and it would go if the active Service, which leads elsewhere, had no endpoints there.
pub(super) fn still_reached(draft: &Draft<'_>, side: &Side, due: Option<jiff::Timestamp>, message: &str) -> Option<Stay> {
    let over = due.is_some_and(|due| due <= draft.now());
    (over && effects::reached(draft.seen, side.color)).then(|| {
        let kept = format!("revision {} is kept, for EndpointSlices of the active Service still hold pods of it", side.number);
        Stay::working(reasons::ENDPOINTS_STALE, format!("{message}; {kept}: is the endpoint slice controller at work?"))
    })
}

/// The time of the former side is over, and nothing else could serve: a person decides.
fn kept(draft: &Draft<'_>, active: &Side, standby: &Side) -> Stay {
    let trouble = draft.trouble(active).map(|trouble| format!(": {trouble}")).unwrap_or_default();
    let before = format!("Revision {} ({}) has no ready pod", active.number, active.image);
    let stays = format!("; revision {} ({}) is kept until it has", standby.number, standby.image);
    let advice = format!("{stays}. Go back with {}, or change spec", draft.order(Verb::Rollback, &active.revision));
    Stay::stalled(reasons::DEGRADED, around(&before, &trouble, &advice))
}

fn scaled_down(draft: &mut Draft<'_>) -> Step {
    draft.status.standby = None;
    finish_promoted(draft);
    draft.rest(Phase::Healthy);
    Step::Again
}

fn finish_promoted(draft: &mut Draft<'_>) {
    draft.finish_attempt(Outcome::Promoted, reasons::AVAILABLE, "promoted");
}

/// Whether the pods of a side will never serve, or have made no progress for a whole deadline.
pub(super) fn out_of_hope(draft: &Draft<'_>, side: &Side) -> bool {
    draft.ready_pods(side) == 0
        && (progress::hopeless(draft.color_of(side), &side.revision, draft.now()).is_some()
            || draft.elapsed() >= draft.settings().progress_deadline)
}
