//! Where Services are to point, and the writes that make them.

use crate::{
    decision::{Change, Effect, Extent, Guard, Role, Target},
    intent::switches_to,
    observed::{
        Observed, Owner, Refusal, ServiceSeen,
        facts::{is_complete, leads_to, ready, selects, surely_reachable, switch_is_made, target, touchable},
        labels::selector,
        progress,
        services::{has_node_ports, has_ports, service_ports},
    },
    plan::Plan,
    takeover::can_take_over,
};
use bluegreen_api::{BlueGreenRolloutStatus, GateState, Phase, Side};
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
    match (status.phase, switches_to(status), &status.standby) {
        (_, Some(candidate), _)
            if switch_is_made(seen, candidate)
                || (seen.sees_all() && is_complete(seen, candidate) && surely_reachable(seen, candidate) > 0) =>
        {
            target(candidate)
        }
        (Some(Phase::RollingBack), _, Some(standby))
            if can_take_over(seen, plan, status, active, standby)
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

/// The write that makes a Service lead to its target: whole, or bare where more than that is denied.
pub(crate) fn lead(seen: &Observed, role: Role, target: &Target) -> Vec<Effect> {
    let change = |extent: Extent| Change::LeadService { role, target: target.clone(), extent };
    let Some(service) = seen.service(role) else {
        let made = |extent: Extent| Effect { change: change(extent), guard: Guard::Absent, why: "the Service is missing" };
        return with_less(seen, made(Extent::Whole), || made(Extent::Bare));
    };
    let Some(guard) = guard(service) else { return vec![] };
    let write = |extent: Extent, why: &'static str| Effect { change: change(extent), guard: guard.clone(), why };
    if let Some(why) = leads_elsewhere(seen, role, service, target) {
        return with_less(seen, write(Extent::Whole, why), || write(Extent::Bare, why));
    }
    if has_node_ports(&service.ports, &service_ports(role, &target.ports)) {
        return vec![];
    }
    vec![write(Extent::NodePorts, "the Service has other node ports than its revision")]
}

/// The write of all else that is asked of a Service. A refusal of it holds back nothing of what users need.
pub(crate) fn settle(seen: &Observed, role: Role) -> Vec<Effect> {
    let Some((service, guard)) = seen.service(role).and_then(|service| Some((service, guard(service)?))) else { return vec![] };
    let write = |change: Change, why: &'static str| Effect { change, guard: guard.clone(), why };
    let settle = |marks_only: bool| write(Change::SettleService { role, marks_only }, "the Service was changed, or is being adopted");
    if !is_marked(seen, role) {
        return with_less(seen, settle(false), || settle(true));
    }
    if !service.settings_intact {
        return vec![settle(false)];
    }
    let release = || write(Change::ReleaseService { role }, "an earlier version of the operator owns fields of the Service");
    service.leftovers.then(release).into_iter().collect()
}

/// The Service is known as this rollout's, by its owner and its labels.
pub(crate) fn is_marked(seen: &Observed, role: Role) -> bool {
    seen.service(role).is_none_or(|service| service.owner == Owner::Us && service.labels_intact)
}

/// One that isn't ours, or is on its way out, is not written.
fn guard(service: &ServiceSeen) -> Option<Guard> {
    (!service.deleting && touchable(&service.owner)).then(|| Guard::ResourceVersion(service.resource_version.clone()))
}

/// The whole write; and a smaller one, which is tried while the whole is denied.
fn with_less(seen: &Observed, whole: Effect, less: impl FnOnce() -> Effect) -> Vec<Effect> {
    let denied = seen.refusals.iter().any(|refusal| {
        refusal.is_of(&whole) && refusal.generation == seen.generation && (refusal.code == 400 || Refusal::denies(refusal.code))
    });
    let less = denied.then(less);
    [whole].into_iter().chain(less).collect()
}

fn leads_elsewhere(seen: &Observed, role: Role, service: &ServiceSeen, target: &Target) -> Option<&'static str> {
    if service.selector != selector(&seen.name, target) {
        return Some("the Service selects another side than recorded");
    }
    // It would take users at the next switch for those of this one.
    if role.is_protected() && service.former.as_deref() == Some(target.revision.as_str()) {
        return Some("the Service names the side that it leads to as the former one");
    }
    (!has_ports(&service.ports, &service_ports(role, &target.ports))).then_some("the Service has other ports than its revision")
}
