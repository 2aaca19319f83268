//! Where Services are to point, and the writes that make them.

use crate::{
    decision::{Change, Effect, Guard, Role, Target},
    intent::one_pod_is_enough,
    observed::{
        Observed, Owner, ServiceSeen,
        facts::{fully_available, leads_to, ready, selects, surely_ready, taken_up, target, touchable},
        labels::selector,
        progress,
        services::service_ports,
    },
    plan::Plan,
};
use bluegreen_api::{BlueGreenRolloutStatus, GateState, Phase, ServicePort, Side};
use bluegreen_gates::stage::Stage;

/// Where each Service is to point now, in the order of the roles. One that is to be left as it is has none.
pub(crate) fn targets(seen: &Observed, plan: &Plan<'_>, status: &BlueGreenRolloutStatus, active: &Side) -> Vec<(Role, Target)> {
    let target = |role: Role| match role {
        Role::Active => Some(active_target(seen, plan, status, active)).filter(|reaches| !keeps_serving(seen, reaches)),
        Role::Preview => preview_target(seen, status, active),
    };
    Role::ALL.into_iter().filter_map(|role| Some((role, target(role)?))).collect()
}

/// Where the active Service is to point now: never to a side without ready pods, if another has some.
fn active_target(seen: &Observed, plan: &Plan<'_>, status: &BlueGreenRolloutStatus, active: &Side) -> Target {
    match (status.phase, &status.preview, &status.standby) {
        (Some(Phase::Promoting), Some(candidate), _)
            if selects(seen, candidate)
                || (seen.sees_all()
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
    let handed_over = seen.service(Role::Active).is_some_and(|service| matches!(service.owner, Owner::Foreign { adopt: true, .. }));
    handed_over && progress::ready_pods(seen.color(reaches.color), &reaches.revision) == 0
}

fn first_passed(plan: &Plan<'_>, status: &BlueGreenRolloutStatus) -> bool {
    let Ok(definitions) = plan.gates(Stage::Verification, status) else { return false };
    // What has a weight is told by the score, which is one of them.
    definitions.iter().filter(|wanted| wanted.weight.is_none()).all(|wanted| {
        status.gates.iter().any(|gate| gate.name == wanted.name && gate.definition == wanted.definition && gate.state == GateState::Passed)
    })
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

/// The preview Service reaches the candidate once it is ready, else the active revision.
fn preview_target(seen: &Observed, status: &BlueGreenRolloutStatus, active: &Side) -> Option<Target> {
    let Some(candidate) = &status.preview else {
        // During the switch back it waits: what serves comes first.
        let switching_back = status.phase == Some(Phase::RollingBack) && status.standby.is_some();
        return (!switching_back || seen.service(Role::Preview).is_none()).then(|| target(active));
    };
    let shown = leads_to(seen, Role::Preview, candidate);
    Some(target(if shown || ready(seen, candidate) > 0 { candidate } else { active }))
}

pub(crate) fn write(seen: &Observed, role: Role, target: &Target) -> Option<Effect> {
    let change = Change::ApplyService { role, target: target.clone() };
    let Some(service) = seen.service(role) else {
        return Some(Effect { change, guard: Guard::Absent, why: "the Service is missing" });
    };
    let why = service_drift(seen, role, service, target)?;
    Some(Effect { change, guard: Guard::ResourceVersion(service.resource_version.clone()), why })
}

fn service_drift(seen: &Observed, role: Role, service: &ServiceSeen, target: &Target) -> Option<&'static str> {
    if service.deleting || !touchable(&service.owner) {
        return None;
    }
    if service.selector != selector(&seen.name, target) {
        return Some("the Service selects another side than recorded");
    }
    if !same_ports(&service.ports, &service_ports(role, &target.ports)) {
        return Some("the Service has other ports than its revision");
    }
    (service.owner != Owner::Us || !service.labels_intact || !service.settings_intact)
        .then_some("the Service was changed, or is being adopted")
}

/// The ports asked for are there. One that somebody else added stays, and a node port that the cluster chose is nobody's business.
fn same_ports(are: &[ServicePort], wanted: &[ServicePort]) -> bool {
    let same_key = |is: &ServicePort, wanted: &ServicePort| is.port == wanted.port && is.protocol() == wanted.protocol();
    wanted.iter().all(|wanted| {
        are.iter().find(|is| same_key(is, wanted)).is_some_and(|is| {
            is.name == wanted.name
                && is.target_port == wanted.target_port
                && is.app_protocol == wanted.app_protocol
                && (wanted.node_port.is_none() || is.node_port == wanted.node_port)
        })
    })
}
