//! The switch, the watch over the new version, and the end of the former one.

use super::{
    draft::{Draft, ending},
    endpoints::{endpoints_show, slices_late, still_reached},
    hold::{self, Hold},
    orders::Verb,
    pods::{degraded, lost, short_deadline, short_for_too_long, told_after, trouble},
    stay::{Stay, Step},
};
use crate::{clock::whole_second, intent::scale_down_due, observed::facts};
use bluegreen_api::{Ending, Gate, GateState, Lifetime, MonitoringFailure, OnUnknown, Outcome, Phase, Side, reasons};
use bluegreen_gates::{
    gate::{baked, not_judged},
    stage::Stage,
    text::around,
};

/// The switch is decided: one write, then the endpoints must show it.
pub(super) fn promoting(draft: &mut Draft<'_>) -> Step {
    let (Some(active), Some(candidate)) = (draft.status().active.clone(), draft.status().preview.clone()) else {
        draft.rest(Phase::Healthy);
        return Step::Again;
    };
    let selects = facts::selects(draft.seen, &candidate);
    if let Some(ending) = withdrawn(draft, &active, &candidate, selects) {
        if selects {
            draft.promoted(active, candidate);
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
        draft.promoted(active, candidate);
        draft.size_waits_no_longer();
        draft.enter(Phase::Monitoring);
        return Step::Again;
    }
    let deadline = short_deadline(draft, &candidate);
    if !draft.fully_available(&candidate) {
        let message = format!("Promoting revision {} ({}): waiting for its pods to be ready again", candidate.number, candidate.image);
        return Stay::working(reasons::PROMOTING, message).until(deadline).into();
    }
    if !selects && !facts::taken_up(draft.seen, &candidate) {
        let why = "waiting until its Deployment is written as recorded";
        return Stay::working(reasons::PROMOTING, format!("Promoting revision {} ({}): {why}", candidate.number, candidate.image)).into();
    }
    let (late, until) = slices_late(draft, &candidate);
    if selects && late {
        let since = draft.seen.endpoints.changed.map(|at| format!(" since {}", whole_second(at))).unwrap_or_default();
        let message = format!(
            "The active Service selects revision {}, but its EndpointSlices have not been updated{since}: is the endpoint slice controller at work?",
            candidate.number
        );
        return Stay::working(reasons::ENDPOINTS_STALE, message).into();
    }
    Stay::working(reasons::PROMOTING, format!("Promoting revision {} ({})", candidate.number, candidate.image)).until(until).into()
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

fn by_order(verb: Verb) -> Ending {
    let mut ending = ending(Outcome::RolledBack, reasons::ORDERED, &format!("by order ({})", verb.as_str()));
    ending.ordered = true;
    ending
}

/// The new version serves and is watched; the former one stands by at full size.
pub(super) fn monitoring(draft: &mut Draft<'_>) -> Step {
    let Some(active) = draft.status().active.clone() else {
        draft.lost();
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
    if let Some(held) = hold::held(draft) {
        return held.into();
    }
    still_monitoring(draft, &active)
}

/// An order or `spec` itself asks for the former revision.
fn way_back_asked(draft: &mut Draft<'_>, active: &Side) -> Option<Step> {
    if let Some(verb) = draft.ordered_to_give_up(&active.revision) {
        return Some(if draft.roll_back(by_order(verb)) { Step::Again } else { no_way_back(draft, active).into() });
    }
    if draft.status().standby.is_some() && draft.wants(draft.status().standby.as_ref()) {
        draft.roll_back(ending(Outcome::Reverted, reasons::REVERTED, "spec went back to the former revision"));
        return Some(Step::Again);
    }
    None
}

fn no_way_back(draft: &Draft<'_>, active: &Side) -> Stay {
    let trouble = trouble(draft, active);
    let told = told_after(": ", trouble.as_ref());
    let message =
        format!("Revision {} ({}) is bad{told}, and no former revision is known to go back to: change spec", active.number, active.image);
    Stay::stalled(reasons::NO_WAY_BACK, message).with(trouble.as_ref())
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
        let trouble = trouble(draft, active);
        let message = format!("{watching}: it is not fully available{}", told_after(": ", trouble.as_ref()));
        return Stay::working(reasons::MONITORING, message).with(trouble.as_ref()).until(short_deadline(draft, active)).into();
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
    let Some(active) = draft.status().active.clone() else {
        draft.lost();
        return Step::Again;
    };
    if let Some(step) = way_back_asked(draft, &active) {
        return step;
    }
    let drained = draft.elapsed() >= draft.settings().drain;
    let serving = format!("Revision {} ({}) serves", active.number, active.image);
    let Some(standby) = draft.status().standby.clone() else { return scaled_down(draft) };
    if let Some(wanted) = draft.new_candidate()
        && hold::held(draft).is_none()
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
        Lifetime::For(_) => scale_down_due(draft.plan, draft.status()),
    };
    let gone = draft.color_of(&standby).deployment.as_ref().is_none_or(|deployment| deployment.replicas == 0);
    if gone && due.is_some_and(|due| due <= draft.now()) {
        return scaled_down(draft);
    }
    if let Some(held) = hold::held(draft).filter(|held| held.by != Hold::NoReplicas) {
        return held.into();
    }
    if due.is_some_and(|due| due <= draft.now()) && draft.ready_pods(&active) == 0 && draft.settings().replicas > 0 {
        return kept(draft, &active, &standby).into();
    }
    let stay = degraded(draft, &active).or_else(|| still_reached(draft, &standby, due, &serving));
    stay.unwrap_or_else(|| Stay::ready(reasons::AVAILABLE, format!("{serving}; the former side is on its way down"))).until(due).into()
}

/// The time of the former side is over, and nothing else could serve: a person decides.
fn kept(draft: &Draft<'_>, active: &Side, standby: &Side) -> Stay {
    let trouble = trouble(draft, active);
    let before = format!("Revision {} ({}) has no ready pod", active.number, active.image);
    let stays = format!("; revision {} ({}) is kept until it has", standby.number, standby.image);
    let advice = format!("{stays}. Go back with {}, or change spec", draft.order(Verb::Rollback, &active.revision));
    Stay::stalled(reasons::DEGRADED, around(&before, &told_after(": ", trouble.as_ref()), &advice)).with(trouble.as_ref())
}

fn scaled_down(draft: &mut Draft<'_>) -> Step {
    draft.standby_gone();
    finish_promoted(draft);
    draft.rest(Phase::Healthy);
    Step::Again
}

fn finish_promoted(draft: &mut Draft<'_>) {
    draft.finish_attempt(Outcome::Promoted, reasons::AVAILABLE, "promoted");
}
