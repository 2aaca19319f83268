//! What the world must look like for a recorded status, and the effects that make it so, protection first.

use crate::{
    clock,
    decision::{Change, Effect, Guard, Object, Role, Target},
    gates::Stage,
    observed::{DeploymentSeen, ObjectSeen, Observed, Owner, ServiceSeen},
    plan::Plan,
    progress, render,
};
use bluegreen_api::{BlueGreenRolloutStatus, Color, GateState, Lifetime, Outcome, Phase, Side};
use jiff::Timestamp;

/// The effects that the recorded status asks for and the world doesn't show yet.
pub(crate) fn wanted(seen: &Observed, plan: &Plan) -> Vec<Effect> {
    let status = &seen.status;
    let mut effects = Vec::new();
    // What is left of a status without a phase is not believed.
    let Some(active) = status.active.as_ref().filter(|_| status.phase.is_some()) else { return effects };
    let reaches = active_target(seen, plan, status, active);
    if !keeps_serving(seen, &reaches) {
        effects.extend(service(seen, Role::Active, &reaches));
    }
    for side in [Some(active), status.standby.as_ref(), status.preview.as_ref()].into_iter().flatten() {
        effects.extend(revision(seen, plan, status, side));
        effects.extend(deployment(seen, plan, status, side));
    }
    if let Some(target) = preview_target(seen, status, active) {
        effects.extend(service(seen, Role::Preview, &target));
    }
    effects.extend(unused_color(seen, plan, status));
    effects.extend(housekeeping(seen, plan, status));
    effects
}

/// Effects on what serves, or would serve at once if it had to.
pub(crate) fn protects(effect: &Effect, status: &BlueGreenRolloutStatus) -> bool {
    let color = |color: Color| [&status.active, &status.standby].into_iter().flatten().any(|side| side.color == color);
    match effect.object() {
        Object::Service(role) => role == Role::Active,
        Object::Deployment(it) => color(it),
        Object::Revision(hash) => [&status.active, &status.standby].into_iter().flatten().any(|side| side.revision == hash),
    }
}

/// Effects that move users to the candidate, or take the way back from them: they may be withdrawn, so what is to be recorded is
/// recorded first. A former leader's record that is still on its way then comes too late.
pub(crate) fn gives_way(effect: &Effect, status: &BlueGreenRolloutStatus) -> bool {
    let promotes = |to: &Target| {
        let candidate = status.preview.as_ref().filter(|_| status.phase == Some(Phase::Promoting));
        candidate.is_some_and(|candidate| (candidate.color, &candidate.revision) == (to.color, &to.revision))
    };
    let shrinks = |color: Color, replicas: i32| {
        let standby = status.standby.as_ref().filter(|_| status.phase == Some(Phase::ScalingDown));
        standby.is_some_and(|standby| standby.color == color && replicas < standby.replicas)
    };
    match &effect.change {
        Change::ApplyService { role: Role::Active, target } => promotes(target),
        Change::ApplyDeployment { color, replicas, .. } | Change::Scale { color, replicas } => shrinks(*color, *replicas),
        _ => false,
    }
}

// === the active Service ===

/// The active Service selects exactly this side.
pub(crate) fn selects(seen: &Observed, side: &Side) -> bool {
    leads_to(seen, Role::Active, side)
}

/// The Service of this role selects exactly this side.
pub(crate) fn leads_to(seen: &Observed, role: Role, side: &Side) -> bool {
    of_role(seen, role).as_ref().is_some_and(|service| service.selector == render::selector(&seen.name, &target(side)))
}

const fn of_role(seen: &Observed, role: Role) -> &ObjectSeen<ServiceSeen> {
    match role {
        Role::Active => &seen.active_service,
        Role::Preview => &seen.preview_service,
    }
}

fn target(side: &Side) -> Target {
    Target { color: side.color, revision: side.revision.clone(), ports: side.ports.clone() }
}

/// All pods of the side are of its revision, and as many as asked for are available.
pub(crate) fn fully_available(seen: &Observed, side: &Side) -> bool {
    seen.color(side.color).deployment.as_ref().is_some_and(|deployment| {
        !deployment.deleting
            && deployment.revision == side.revision
            && deployment.observed_generation >= deployment.generation
            && deployment.replicas >= side.replicas
            && deployment.updated >= side.replicas
            && deployment.total == deployment.updated
            && deployment.available >= side.replicas
    })
}

/// The side that the recorded intention leads to, once it can be carried out.
pub(crate) fn intended(status: &BlueGreenRolloutStatus) -> Option<&Side> {
    match status.phase {
        Some(Phase::Promoting) => status.preview.as_ref(),
        Some(Phase::RollingBack) => status.standby.as_ref(),
        _ => None,
    }
    .or(status.active.as_ref())
}

/// Where the active Service is to point now: never to a side without ready pods, if another has some.
fn active_target(seen: &Observed, plan: &Plan, status: &BlueGreenRolloutStatus, active: &Side) -> Target {
    match (status.phase, &status.preview, &status.standby) {
        (Some(Phase::Promoting), Some(candidate), _)
            if selects(seen, candidate)
                || (seen.blind.is_none()
                    && fully_available(seen, candidate)
                    && taken_up(seen, candidate)
                    && surely_ready(seen, candidate) > 0) =>
        {
            target(candidate)
        }
        (Some(Phase::RollingBack), _, Some(standby))
            if can_take_over(seen, status, active, standby)
                || (selects(seen, standby) && (ready(seen, standby) > 0 || ready(seen, active) == 0)) =>
        {
            target(standby)
        }
        (Some(Phase::Initializing), _, _) if plan.settings.verify_initial && !selects(seen, active) && !first_passed(plan, status) => {
            Target { revision: Target::NOTHING.into(), ..target(active) }
        }
        _ => target(active),
    }
}

/// A Service that was handed over serves somebody else's pods until ours are there.
fn keeps_serving(seen: &Observed, reaches: &Target) -> bool {
    let handed_over = seen.active_service.as_ref().is_some_and(|service| matches!(service.owner, Owner::Foreign { adopt: true, .. }));
    handed_over && progress::ready_pods(seen.color(reaches.color), &reaches.revision) == 0
}

fn first_passed(plan: &Plan, status: &BlueGreenRolloutStatus) -> bool {
    let Ok(definitions) = plan.gates(Stage::Verification, status) else { return false };
    // What has a weight is told by the score, which is one of them.
    definitions.iter().filter(|wanted| wanted.weight.is_none()).all(|wanted| {
        status.gates.iter().any(|gate| gate.name == wanted.name && gate.definition == wanted.definition && gate.state == GateState::Passed)
    })
}

fn ready(seen: &Observed, side: &Side) -> i32 {
    progress::ready_pods(seen.color(side.color), &side.revision)
}

/// Ready pods by both who tell of them: a watch that lags shows pods that are long gone, and no error.
fn surely_ready(seen: &Observed, side: &Side) -> i32 {
    let told = seen.color(side.color).deployment.as_ref().map(|deployment| deployment.ready);
    ready(seen, side).min(told.unwrap_or(i32::MAX))
}

/// A person wants the former revision back at once.
pub(crate) fn one_pod_is_enough(status: &BlueGreenRolloutStatus) -> bool {
    status.ending.as_ref().is_some_and(|ending| ending.ordered && !ending.slow)
}

/// The standby has as many ready pods as the side being left, or all it asks for; on a person's order one is enough.
fn can_take_over(seen: &Observed, status: &BlueGreenRolloutStatus, active: &Side, standby: &Side) -> bool {
    let ordered = one_pod_is_enough(status);
    let slow = status.ending.as_ref().is_some_and(|ending| ending.slow);
    // What is seen of its pods may be those of its former life, until our write of it is taken up.
    if slow && !taken_up(seen, standby) {
        return false;
    }
    let left = ready(seen, active);
    let enough = match (ordered, slow) {
        (true, _) => 1,
        // Deployed again: full size before it takes over from a side that still serves.
        (false, true) if left > 0 => standby.replicas,
        (false, _) => standby.replicas.min(left),
    };
    surely_ready(seen, standby) >= enough.max(1)
}

/// The Deployment runs the revision as we left it, and its controller has seen that.
pub(crate) fn taken_up(seen: &Observed, side: &Side) -> bool {
    seen.color(side.color).deployment.as_ref().is_some_and(|deployment| {
        deployment.revision == side.revision && as_we_left_it(side, deployment) && deployment.observed_generation >= deployment.generation
    })
}

/// The preview Service reaches the candidate once it is ready, else the active revision.
fn preview_target(seen: &Observed, status: &BlueGreenRolloutStatus, active: &Side) -> Option<Target> {
    let Some(candidate) = &status.preview else {
        // During the switch back it waits: what serves comes first.
        let switching_back = status.phase == Some(Phase::RollingBack) && status.standby.is_some();
        return (!switching_back || seen.preview_service.as_ref().is_none()).then(|| target(active));
    };
    let shown = leads_to(seen, Role::Preview, candidate);
    Some(target(if shown || ready(seen, candidate) > 0 { candidate } else { active }))
}

fn service(seen: &Observed, role: Role, target: &Target) -> Option<Effect> {
    let change = Change::ApplyService { role, target: target.clone() };
    let ObjectSeen::There(service) = of_role(seen, role) else {
        return Some(Effect { change, guard: Guard::Absent, why: "the Service is missing" });
    };
    let why = service_drift(seen, role, service, target)?;
    Some(Effect { change, guard: Guard::ResourceVersion(service.resource_version.clone()), why })
}

fn service_drift(seen: &Observed, role: Role, service: &ServiceSeen, target: &Target) -> Option<&'static str> {
    if service.deleting || !touchable(&service.owner) {
        return None;
    }
    if service.selector != render::selector(&seen.name, target) {
        return Some("the Service is to select another side");
    }
    if !same_ports(&service.ports, &render::service_ports(role, &target.ports)) {
        return Some("the ports of the Service are not those of its revision");
    }
    (service.owner != Owner::Us || !service.labels_intact || !service.settings_intact)
        .then_some("the Service was changed, or is not ours yet")
}

/// The ports asked for are there. One that somebody else added stays, and a node port that the cluster chose is nobody's business.
fn same_ports(are: &[bluegreen_api::ServicePort], wanted: &[bluegreen_api::ServicePort]) -> bool {
    let same_key =
        |is: &bluegreen_api::ServicePort, wanted: &bluegreen_api::ServicePort| is.port == wanted.port && is.protocol() == wanted.protocol();
    wanted.iter().all(|wanted| {
        are.iter().find(|is| same_key(is, wanted)).is_some_and(|is| {
            is.name == wanted.name
                && is.target_port == wanted.target_port
                && is.app_protocol == wanted.app_protocol
                && (wanted.node_port.is_none() || is.node_port == wanted.node_port)
        })
    })
}

pub(crate) fn touchable(owner: &Owner) -> bool {
    matches!(owner, Owner::Us | Owner::Orphan | Owner::Foreign { adopt: true, .. })
}

// === revisions and Deployments ===

fn revision(seen: &Observed, plan: &Plan, status: &BlueGreenRolloutStatus, side: &Side) -> Option<Effect> {
    let hash = side.revision.clone();
    let effect = |change, why| Some(Effect { change, guard: Guard::None, why });
    if let Some(stored) = seen.revisions.iter().find(|revision| revision.hash == side.revision) {
        return if stored.owner == Owner::Orphan {
            effect(Change::AdoptRevision { hash }, "the ControllerRevision has no owner")
        } else {
            None
        };
    }
    let number = side.number;
    // What runs was rendered by the code of its time; only what runs nowhere is rendered by today's.
    let runs = |color: &Color| seen.color(*color).deployment.as_ref().is_some_and(|deployment| deployment.revision == side.revision);
    if let Some(color) = [side.color, side.color.other()].into_iter().find(runs) {
        return effect(Change::RestoreRevision { hash, number, color }, "the ControllerRevision was lost");
    }
    if plan.wanted.as_ref().is_ok_and(|wanted| wanted.hash == side.revision) {
        return effect(Change::WriteRevision { hash, number }, "the revision is not stored yet");
    }
    // One that lost its label with the ControllerRevision is still there under its name, and nothing else would look for it.
    let has_run = status.phase != Some(Phase::Initializing) && status.preview.as_ref().is_none_or(|preview| preview.color != side.color);
    let unseen = seen.color(side.color).deployment.as_ref().is_none();
    // Once is enough: where it is gone as well, it stays so.
    let gone = seen.refusals.iter().any(|refusal| refusal.code == 404 && refusal.object == Object::Revision(hash.clone()));
    let restore = Change::RestoreRevision { hash, number, color: side.color };
    if has_run && unseen && !gone { effect(restore, "the ControllerRevision was lost, and its Deployment is not seen") } else { None }
}

fn deployment(seen: &Observed, plan: &Plan, status: &BlueGreenRolloutStatus, side: &Side) -> Option<Effect> {
    let replicas = if scales_down(seen, plan, status, side) { 0 } else { side.replicas };
    let apply = Change::ApplyDeployment { color: side.color, revision: side.revision.clone(), replicas };
    // Stored, or written earlier in this list. A Deployment of the revision is enough to store it again.
    let stored = seen.revisions.iter().any(|revision| revision.hash == side.revision);
    let writable = plan.wanted.as_ref().is_ok_and(|wanted| wanted.hash == side.revision);
    let ObjectSeen::There(deployment) = &seen.color(side.color).deployment else {
        return (stored || writable).then_some(Effect { change: apply, guard: Guard::Absent, why: "the Deployment is missing" });
    };
    let known = stored || writable || deployment.revision == side.revision;
    let lets_go = deployment.revision != side.revision || replicas < deployment.replicas;
    let serves = status.active.as_ref().is_some_and(|active| active.color == side.color);
    if deployment.deleting || !touchable(&deployment.owner) || !known || (lets_go && !serves && reached(seen, side.color)) {
        return None;
    }
    let guard = Guard::ResourceVersion(deployment.resource_version.clone());
    if let Some(why) = deployment_drift(plan, side, deployment) {
        return Some(Effect { change: apply, guard, why });
    }
    (deployment.replicas != replicas).then_some(Effect {
        change: Change::Scale { color: side.color, replicas },
        guard,
        why: "the size is another",
    })
}

fn deployment_drift(plan: &Plan, side: &Side, deployment: &DeploymentSeen) -> Option<&'static str> {
    if deployment.revision != side.revision {
        return Some("the Deployment is to run another revision");
    }
    if deployment.owner != Owner::Us || !deployment.labels_intact {
        return Some("labels or owner of the Deployment are not ours");
    }
    if deployment.min_ready_seconds != plan.settings.min_ready_seconds {
        return Some("minReadySeconds changed");
    }
    (!as_we_left_it(side, deployment)).then_some("somebody else changed the Deployment")
}

/// Its generation is the one that our latest write of it returned.
fn as_we_left_it(side: &Side, deployment: &DeploymentSeen) -> bool {
    deployment.applied_generation.or(side.generation) == Some(deployment.generation)
}

/// The standby goes now. While the rollout is held its clock stands still, and its time doesn't come.
fn scales_down(seen: &Observed, plan: &Plan, status: &BlueGreenRolloutStatus, side: &Side) -> bool {
    let is_standby = status.standby.as_ref().is_some_and(|standby| standby.color == side.color);
    let active_serves = status.active.as_ref().is_some_and(|active| surely_ready(seen, active) > 0 || plan.settings.replicas == 0);
    status.phase == Some(Phase::ScalingDown)
        && is_standby
        && active_serves
        && seen.blind.is_none()
        && scale_down_due(plan, status).is_some_and(|due| due <= seen.now)
}

/// When the standby may go: after the drain and the time it stands by.
pub(crate) fn scale_down_due(plan: &Plan, status: &BlueGreenRolloutStatus) -> Option<Timestamp> {
    let Lifetime::For(after) = plan.settings.after else { return None };
    clock::due(status.clock.as_ref()?, plan.settings.drain.saturating_add(after.0))
}

/// When the side that was given up may go: one that served is drained, one that didn't is kept to be looked at.
pub(crate) fn leaving_due(plan: &Plan, status: &BlueGreenRolloutStatus) -> Option<Timestamp> {
    let clock = status.clock.as_ref()?;
    let ending = status.ending.as_ref()?;
    let aborted = status.phase == Some(Phase::Aborting);
    let next_waits = plan.wanted.as_ref().is_ok_and(|wanted| {
        status.active.as_ref().is_none_or(|active| active.revision != wanted.hash)
            && status.rejected.as_ref().is_none_or(|rejected| rejected.revision != wanted.hash)
    });
    let wait = match (aborted, ending.outcome) {
        (true, Outcome::Reverted) => std::time::Duration::ZERO,
        (true, _) if next_waits => std::time::Duration::ZERO,
        (true, _) => plan.settings.after_abort,
        (false, _) => plan.settings.drain,
    };
    // What protects nobody any more is not held by a pause.
    let running = bluegreen_api::Clock { stopped: None, ..clock.clone() };
    clock::due(&running, wait)
}

/// A color without a role runs no pods; one that leaves does until its time has come.
fn unused_color(seen: &Observed, plan: &Plan, status: &BlueGreenRolloutStatus) -> Option<Effect> {
    let used = |color: Color| [&status.active, &status.standby, &status.preview].into_iter().flatten().any(|side| side.color == color);
    let color = [Color::Blue, Color::Green].into_iter().find(|color| !used(*color))?;
    let leaves = status.leaving.as_ref().is_some_and(|leaving| leaving.color == color);
    if leaves && leaving_due(plan, status).is_none_or(|due| due > seen.now) {
        return None;
    }
    let deployment = seen.color(color).deployment.as_ref()?;
    // Before it goes, traffic must be where it belongs.
    let elsewhere = status.active.as_ref().is_some_and(|active| selects(seen, active)) || status.phase == Some(Phase::Initializing);
    // One that was ours and is handed over again goes like any other: the phase waits for it.
    let ours = matches!(deployment.owner, Owner::Us | Owner::Orphan) || (leaves && touchable(&deployment.owner));
    let ours = ours && !deployment.deleting;
    (ours && elsewhere && !reached(seen, color) && deployment.replicas > 0).then(|| Effect {
        change: Change::Scale { color, replicas: 0 },
        guard: Guard::ResourceVersion(deployment.resource_version.clone()),
        why: "the color has no role any more",
    })
}

/// Users still get to pods of this color, wherever the active Service leads: its selector may have been lost after the switch.
pub(crate) fn reached(seen: &Observed, color: Color) -> bool {
    let endpoint = |name: &str| seen.endpoints.pods.iter().any(|endpoint| endpoint.ready && endpoint.pod == name);
    seen.color(color).pods.iter().any(|pod| endpoint(&pod.name))
}

/// The oldest revisions beyond the limit, none of which is needed for a way back.
fn housekeeping(seen: &Observed, plan: &Plan, status: &BlueGreenRolloutStatus) -> Vec<Effect> {
    let sides = [&status.active, &status.standby, &status.preview, &status.previous, &status.leaving];
    let needed = |hash: &str| {
        sides.into_iter().flatten().any(|side| side.revision == hash)
            || status.rejected.as_ref().is_some_and(|rejected| rejected.revision == hash)
    };
    let settled = matches!(status.phase, Some(Phase::Healthy | Phase::Aborted | Phase::RolledBack));
    let excess = seen.revisions.len().saturating_sub(plan.settings.history_limit);
    if !settled || excess == 0 {
        return vec![];
    }
    let mut spare: Vec<_> = seen.revisions.iter().filter(|revision| revision.owner == Owner::Us && !needed(&revision.hash)).collect();
    spare.sort_by_key(|revision| revision.number);
    spare
        .into_iter()
        .take(excess)
        .map(|revision| Effect {
            change: Change::DeleteRevision { hash: revision.hash.clone() },
            guard: Guard::None,
            why: "more revisions than revisionHistoryLimit",
        })
        .collect()
}
