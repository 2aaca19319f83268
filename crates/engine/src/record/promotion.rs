//! The switch, the watch over the new version, and the end of the former one.

use super::{
    candidate::restored,
    draft::{Draft, ending},
    endpoints::{endpoints_show, slices_late, still_reached},
    hold::{self, Hold},
    orders::Verb,
    pods::{
        degraded, failing_deadline, failing_for_too_long, incomplete_deadline, incomplete_for_too_long, lost, serves_nobody, short_of,
        told_after, too_few, trouble, verdict_at,
    },
    stay::{Stay, Step},
    words,
};
use crate::{
    clock::{self, whole_second},
    decision::{Object, Part, Role},
    intent::scale_down_due,
    observed::{facts, ports, short::Short},
};
use bluegreen_api::{Duration, Ending, Gate, GateState, Lifetime, MonitoringFailure, OnUnknown, Outcome, Phase, Side, reasons};
use bluegreen_gates::{
    gate::{baked, not_judged},
    stage::Stage,
    text::{Advice, advised, around},
};
use jiff::Timestamp;

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
    if let Some(wanted) = draft.new_candidate()
        && !selects
        && wanted.hash != candidate.revision
        && switch_refused(draft)
        && hold::held(draft).is_none()
    {
        // Nobody was sent there yet, and `spec` may mend what is refused.
        draft.superseded(wanted);
        draft.begin_candidate(wanted);
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
    let deadline = if selects { verdict_at(draft, &candidate) } else { incomplete_deadline(draft, &candidate) };
    if !draft.fully_available(&candidate) {
        let waits = format!(": waiting until all {} pods are ready again", candidate.replicas);
        return Stay::working(reasons::PROMOTING, words::revision("Promoting revision", &candidate, &waits)).until(deadline).into();
    }
    if !selects && !facts::taken_up(draft.seen, &candidate) {
        let waits = format!(": waiting until {}", restored(draft, &candidate));
        return Stay::working(reasons::PROMOTING, words::revision("Promoting revision", &candidate, &waits)).into();
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
    // The same before the Service is written and after it: that it was is no record of its own.
    let waits = ": waiting until EndpointSlices show its pods";
    Stay::working(reasons::PROMOTING, words::revision("Promoting revision", &candidate, waits)).until(until).into()
}

/// The API server refuses the one write that makes the switch.
fn switch_refused(draft: &Draft<'_>) -> bool {
    let refused = |part: Part| draft.refusals().any(|refusal| (&refusal.object, &refusal.part) == (&Object::Service(Role::Active), &part));
    // Less is tried where more is denied.
    refused(Part::Bare) || (refused(Part::Whole) && !draft.is_pending(&Object::Service(Role::Active), &Part::Bare))
}

/// What withdraws the switch while it is under way.
fn withdrawn(draft: &mut Draft<'_>, active: &Side, candidate: &Side, selects: bool) -> Option<Ending> {
    if let Some(verb) = draft.ordered_to_give_up(&candidate.revision) {
        return Some(by_order(verb));
    }
    if draft.wants(Some(active)) {
        return Some(ending(Outcome::Reverted, reasons::REVERTED, words::FORMER_AGAIN));
    }
    if draft.settings().replicas == 0 {
        return None;
    }
    // Other pods took their place: a webhook puts something else in.
    if let Some(why) = ports::never(draft.color_of(candidate), candidate).filter(|_| !selects) {
        return Some(ending(Outcome::RolledBack, reasons::HOPELESS, &why));
    }
    // Of its pods alone: a Deployment that was edited or lost is repaired, and is no word on the release.
    let back = |message: &str| Some(ending(Outcome::RolledBack, reasons::LOST_READINESS, message));
    match selects {
        true if serves_nobody(draft, candidate, Some(active)) => back(&none_ready(draft, candidate)),
        true if failing_for_too_long(draft, candidate) => back(&for_too_long(draft, candidate, &too_few(candidate.replicas))),
        // The switch waits for all of them.
        false if incomplete_for_too_long(draft, candidate) => {
            back(&for_too_long(draft, candidate, &format!("fewer than {} pods", candidate.replicas)))
        }
        _ => None,
    }
}

fn none_ready(draft: &Draft<'_>, side: &Side) -> String {
    lost(draft, side, &format!("0 of {} pods are ready", side.replicas))
}

fn for_too_long(draft: &Draft<'_>, side: &Side, too_few: &str) -> String {
    let deadline = Duration(draft.settings().progress_deadline);
    lost(draft, side, &format!("{too_few} were available for {deadline} (progressDeadline)"))
}

fn by_order(verb: Verb) -> Ending {
    let mut ending = ending(Outcome::RolledBack, reasons::ORDERED, &words::requested(verb));
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
        return roll_back(draft, &active, ending);
    }
    // What its pods come to is decided whatever else is waited for.
    let verdict = verdict_at(draft, &active);
    let held = failed_and_held(draft, &active).or_else(|| failing_and_held(draft, &active));
    let step = match held.or_else(|| hold::held(draft).map(|held| held.stay)) {
        Some(stay) => stay.into(),
        None => still_monitoring(draft, &active),
    };
    match step {
        Step::Stay(stay) => stay.until(verdict).into(),
        Step::Again => Step::Again,
    }
}

/// An order or `spec` itself asks for the former revision.
fn way_back_asked(draft: &mut Draft<'_>, active: &Side) -> Option<Step> {
    if let Some(verb) = draft.ordered_to_give_up(&active.revision) {
        return Some(roll_back(draft, active, by_order(verb)));
    }
    if draft.status().standby.is_some() && draft.wants(draft.status().standby.as_ref()) {
        draft.roll_back(ending(Outcome::Reverted, reasons::REVERTED, words::FORMER_AGAIN));
        return Some(Step::Again);
    }
    None
}

/// The way back; or why there is none.
fn roll_back(draft: &mut Draft<'_>, active: &Side, ending: Ending) -> Step {
    let failed = words::revision("Revision", active, " failed: ");
    let message = around(&failed, &ending.message, ". No former revision is stored. Change spec");
    if draft.roll_back(ending) {
        return Step::Again;
    }
    Stay::stalled(reasons::NO_WAY_BACK, message).with(trouble(draft, active).as_ref()).into()
}

/// What condemns the new version without anybody's word.
fn bad(draft: &Draft<'_>, active: &Side) -> Option<Ending> {
    if let Some(ending) = bad_pods(draft, active) {
        return Some(ending);
    }
    if draft.settings().on_monitoring_failure == MonitoringFailure::Pause {
        return None;
    }
    let gate = draft.deciding(Stage::Monitoring).find(|gate| gate.state == GateState::Failed)?;
    Some(ending(Outcome::RolledBack, draft.reason_of(gate), &format!("{} failed: {}", gate.name, gate.message)))
}

/// What condemns it by its pods alone, as long as there is a way back.
fn bad_pods(draft: &Draft<'_>, active: &Side) -> Option<Ending> {
    if draft.settings().replicas == 0 || active.replicas == 0 {
        return None;
    }
    let back = |message: &str| Some(ending(Outcome::RolledBack, reasons::LOST_READINESS, message));
    if serves_nobody(draft, active, draft.status().standby.as_ref()) {
        return back(&none_ready(draft, active));
    }
    // One that serves some users is a person's to decide on, where that is asked for.
    let decides = draft.settings().on_monitoring_failure == MonitoringFailure::RollBack;
    if decides && failing_for_too_long(draft, active) {
        return back(&for_too_long(draft, active, &too_few(active.replicas)));
    }
    None
}

/// Short for its own doing for a whole deadline, and a person decides.
fn failing_and_held(draft: &Draft<'_>, active: &Side) -> Option<Stay> {
    (draft.settings().replicas > 0 && active.replicas > 0 && failing_for_too_long(draft, active)).then(|| {
        let advice = back_or_on(draft, active, format!(". Revision {} stays live (onFailure: Pause)", active.number));
        let message = advised("", &for_too_long(draft, active, &too_few(active.replicas)), &advice);
        Stay::stalled(reasons::LOST_READINESS, message).with(trouble(draft, active).as_ref())
    })
}

/// What a person may order while a version is watched.
fn back_or_on(draft: &Draft<'_>, active: &Side, state: String) -> Advice {
    let command = format!("Roll back: {}", draft.order(Verb::Rollback, &active.revision));
    Advice { state, command, instead: draft.instead(Verb::Accept, &active.revision) }
}

fn failed_and_held(draft: &Draft<'_>, active: &Side) -> Option<Stay> {
    let gate = draft.deciding(Stage::Monitoring).find(|gate| gate.state == GateState::Failed)?;
    let advice = back_or_on(draft, active, format!(". Revision {} stays live (onFailure: Pause)", active.number));
    let message = advised(&format!("{} failed: ", gate.name), &gate.message, &advice);
    Some(Stay::stalled(draft.reason_of(gate), message))
}

fn still_monitoring(draft: &mut Draft<'_>, active: &Side) -> Step {
    let bake = draft.settings().bake;
    let watching = |after: &str| words::revision("Monitoring revision", active, after);
    let short = short_of(draft, active);
    let trouble = short.and_then(|_| trouble(draft, active));
    let told = short.map(|_| format!("{} are available{}", too_few(active.replicas), told_after(": ", trouble.as_ref())));
    if let (Some(Short::OwnDoing), Some(told)) = (short, &told) {
        return Stay::working(reasons::MONITORING, around(&watching(": "), told, "")).with(trouble.as_ref()).into();
    }
    let gates: Vec<_> = draft.deciding(Stage::Monitoring).cloned().collect();
    let is_unknown = |gate: &&Gate| draft.is_unknown(gate, Stage::Monitoring, active);
    let unknown = gates.iter().find(is_unknown);
    if draft.elapsed() >= bake
        && let Some(gate) = unknown
    {
        match draft.settings().on_unknown {
            OnUnknown::Pass => {}
            OnUnknown::RollBack => {
                let message = around(&format!("{} could not be judged: ", gate.name), &gate.message, " (onUnknown: RollBack)");
                return roll_back(draft, active, ending(Outcome::RolledBack, reasons::INCONCLUSIVE, &message));
            }
            OnUnknown::Hold => {
                let advice = back_or_on(draft, active, ". On hold until readings (onUnknown: Hold)".into());
                return Stay::working(reasons::INCONCLUSIVE, not_judged(gate, &advice)).into();
            }
        }
    }
    // One that can't be judged comes this far only if it is to count as passed.
    let open = |gate: &&Gate| gate.state != GateState::Passed && !is_unknown(gate) && !baked(gate, bake);
    if draft.elapsed() < bake || gates.iter().any(|gate| open(&gate)) {
        let message = match unknown {
            Some(gate) => {
                let decides = match draft.settings().on_unknown {
                    OnUnknown::Hold => "Hold",
                    OnUnknown::RollBack => "RollBack",
                    OnUnknown::Pass => "Pass",
                };
                let then = words::end(draft, &format!("; onUnknown: {decides} decides at"), bake, "monitoring.duration");
                around(&watching(&format!("; {} can't be judged: ", gate.name)), &gate.message, &then)
            }
            // While gates lack readings the end is later. It stays as it is written: that it has passed is no record of its own.
            None => watching(&words::end(draft, if gates.is_empty() { " until" } else { " at least until" }, bake, "monitoring.duration")),
        };
        // The room that pods lack is taken by the former side, and is there once its time is over.
        let (message, trouble) = match told {
            Some(told) if unknown.is_none() => (around(&format!("{message}; "), &told, ""), trouble),
            _ => (message, None),
        };
        return Stay::working(reasons::MONITORING, message).with(trouble.as_ref()).ends(draft.due(bake)).into();
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
    let Some(standby) = draft.status().standby.clone() else { return scaled_down(draft) };
    let drained = draft.elapsed() >= draft.settings().drain;
    let due = match draft.settings().after {
        Lifetime::Never => draft.due(draft.settings().drain),
        Lifetime::For(_) => scale_down_due(draft.plan, draft.status()),
    };
    let gone = draft.color_of(&standby).deployment.as_ref().is_none_or(|deployment| deployment.replicas == 0);
    if gone && due.is_some_and(|due| due <= draft.now()) && draft.new_candidate().is_none() {
        return scaled_down(draft);
    }
    if let Some(ending) = bad_pods(draft, &active) {
        return roll_back(draft, &active, ending);
    }
    // Short for its own doing, the live side may have to be given up yet: what it would go back to stays until that is decided.
    let failing = draft.settings().replicas > 0 && short_of(draft, &active) == Some(Short::OwnDoing);
    let accepted = draft.ordered(Verb::Accept, &active.revision) && (drained || !failing);
    if accepted {
        draft.spend(Verb::Accept);
    }
    let live = match (failing, accepted) {
        (false, _) => Live::Enough,
        (true, false) => Live::Undecided,
        (true, true) => Live::Accepted,
    };
    match goes(draft, &active, &standby, (due, live)) {
        Step::Stay(stay) => stay.until(verdict_at(draft, &active)).into(),
        Step::Again => Step::Again,
    }
}

/// How the live side is while the former one is on its way out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Live {
    Enough,
    /// Short for its own doing.
    Undecided,
    /// It is, and a person takes it as it is.
    Accepted,
}

fn goes(draft: &mut Draft<'_>, active: &Side, standby: &Side, (due, live): (Option<Timestamp>, Live)) -> Step {
    let drained = draft.elapsed() >= draft.settings().drain;
    let undecided = live == Live::Undecided;
    let serving = |after: &str| words::revision("Revision", active, &format!(" serves{after}"));
    if let Some(wanted) = draft.new_candidate()
        && hold::held(draft).is_none()
        && !(drained && undecided)
    {
        if drained {
            finish_promoted(draft);
            draft.begin_candidate(wanted);
            return Step::Again;
        }
        let drain = draft.settings().drain;
        let starts = words::end(draft, "; the next revision starts at", drain, "scaleDown.drain");
        return Stay::working(reasons::SCALING_DOWN, serving(&starts)).ends(draft.due(drain)).into();
    }
    if draft.settings().after == Lifetime::Never && drained && !undecided {
        finish_promoted(draft);
        draft.rest(Phase::Healthy);
        return Step::Again;
    }
    if live == Live::Accepted {
        return scaled_down(draft);
    }
    if let Some(held) = hold::held(draft).filter(|held| held.by != Hold::NoReplicas) {
        return held.into();
    }
    if undecided && drained {
        return undecided_stay(draft, active, standby).into();
    }
    if due.is_some_and(|due| due <= draft.now()) && draft.ready_pods(active) == 0 && draft.settings().replicas > 0 {
        return kept(draft, active, standby).into();
    }
    let stay = degraded(draft, active).or_else(|| still_reached(draft, standby, due, &serving("")));
    let stands_by = || Stay::ready(reasons::AVAILABLE, serving(&standing_by(draft, standby, due))).ends(due);
    stay.unwrap_or_else(stands_by).until(due).into()
}

/// How long the former side stays: the same text until it is gone.
fn standing_by(draft: &Draft<'_>, standby: &Side, due: Option<Timestamp>) -> String {
    let number = standby.number;
    match (draft.settings().after, due) {
        (Lifetime::Never, _) => format!("; revision {number} stands by (scaleDown.after: Never)"),
        (Lifetime::For(_), None) => format!("; revision {number} stands by"),
        (Lifetime::For(after), Some(due)) => {
            let until = clock::shown(due, draft.settings().drain.saturating_add(after.0));
            format!("; revision {number} stands by until {until}, rollback is instant until then")
        }
    }
}

/// The live side has too few pods of its own doing: the former one, and the next one, wait for what that comes to.
fn undecided_stay(draft: &Draft<'_>, active: &Side, standby: &Side) -> Stay {
    if let Some(held) = failing_and_held(draft, active) {
        return held;
    }
    let trouble = trouble(draft, active);
    let deadline = draft.settings().progress_deadline;
    let at = failing_deadline(draft, active).filter(|_| draft.settings().on_monitoring_failure == MonitoringFailure::RollBack);
    let at = at.map(|at| clock::shown(at, deadline));
    let state = match (draft.new_candidate().is_some(), at) {
        (true, Some(at)) => format!("; rolls back at {at}, the next revision waits"),
        (true, None) => "; the former side stands by, the next revision waits".into(),
        // Beside what the pods are up to there is no room for more than the time.
        (false, Some(at)) if trouble.is_some() => format!("; rolls back to revision {} at {at}", standby.number),
        (false, Some(at)) => format!("; rolls back to revision {} at {at} (progressDeadline {})", standby.number, Duration(deadline)),
        (false, None) => format!("; revision {} stands by", standby.number),
    };
    let advice = back_or_on(draft, active, state);
    let before = words::revision("Revision", active, &format!(" serves with {}", too_few(active.replicas)));
    Stay::working(reasons::DEGRADED, advised(&before, &told_after(": ", trouble.as_ref()), &advice)).with(trouble.as_ref())
}

/// The time of the former side is over, and nothing else could serve.
fn kept(draft: &Draft<'_>, active: &Side, standby: &Side) -> Stay {
    let trouble = trouble(draft, active);
    let advice = Advice {
        state: format!("; revision {} is kept until revision {} has a ready pod", standby.number, active.number),
        command: format!("Roll back: {}", draft.order(Verb::Rollback, &active.revision)),
        instead: "; or change spec".into(),
    };
    let before = words::revision("Revision", active, " has no ready pod");
    Stay::working(reasons::DEGRADED, advised(&before, &told_after(": ", trouble.as_ref()), &advice)).with(trouble.as_ref())
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
