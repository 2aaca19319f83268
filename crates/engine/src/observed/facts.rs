//! Facts that follow from what is seen.

use super::{DeploymentSeen, Observed, Owner, ServiceSeen, arrival, labels, ports, progress, services};
use crate::decision::{Object, Role, Target};
use bluegreen_api::{Color, Phase, Side, names};
use bluegreen_gates::{ask::job::For, stage::Stage};

/// The active Service selects exactly this side.
pub fn selects(seen: &Observed, side: &Side) -> bool {
    leads_to(seen, Role::Active, side)
}

/// The Service of this role selects exactly this side.
pub fn leads_to(seen: &Observed, role: Role, side: &Side) -> bool {
    seen.service(role).is_some_and(|service| service.selector == labels::selector(&seen.name, &target(side)))
}

/// The active Service was told to serve nobody: no first revision has passed its gates.
pub fn serves_nobody(seen: &Observed) -> bool {
    let selected = |service: &ServiceSeen| service.selector.get(names::REVISION_LABEL).is_some_and(|revision| revision == Target::NOTHING);
    seen.service(Role::Active).is_some_and(selected)
}

pub fn target(side: &Side) -> Target {
    Target { color: side.color, revision: side.revision.clone(), ports: side.ports.clone() }
}

/// All pods of the side are of its revision, and as many as asked for are available: by the Deployment, and by the pods themselves,
/// which have the ports that the Service is to lead to.
/// Its controller reports a generation as observed with the counts that it has of the ReplicaSet, and those may be from before.
pub fn fully_available(seen: &Observed, side: &Side) -> bool {
    seen.color(side.color).deployment.as_ref().is_some_and(|deployment| {
        !deployment.deleting
            && deployment.revision == side.revision
            && deployment.observed_generation >= deployment.generation
            && deployment.replicas >= side.replicas
            && deployment.updated >= side.replicas
            && deployment.total == deployment.updated
            && deployment.available >= side.replicas
            && reachable(seen, side) >= side.replicas
    })
}

pub fn ready(seen: &Observed, side: &Side) -> i32 {
    progress::ready_pods(seen.color(side.color), &side.revision)
}

/// Ready pods that have each named port of the side.
pub fn reachable(seen: &Observed, side: &Side) -> i32 {
    ports::reachable_pods(seen.color(side.color), side)
}

/// Ready pods by both who tell of them: a watch that lags shows pods that are long gone, and no error.
pub fn surely_ready(seen: &Observed, side: &Side) -> i32 {
    ready(seen, side).min(reported_ready(seen, side))
}

/// The same of pods that have each named port of the side: of those that are to get traffic.
pub fn surely_reachable(seen: &Observed, side: &Side) -> i32 {
    reachable(seen, side).min(reported_ready(seen, side))
}

fn reported_ready(seen: &Observed, side: &Side) -> i32 {
    seen.color(side.color).deployment.as_ref().map_or(i32::MAX, |deployment| deployment.ready)
}

/// The Deployment has taken its template whole in the role that is recorded.
pub fn arrived(seen: &Observed, side: &Side) -> bool {
    seen.color(side.color).deployment.as_ref().is_some_and(|deployment| arrival::arrived(&seen.status, side, deployment))
}

/// The Deployment runs the revision as we left it, and its controller has seen that.
pub fn taken_up(seen: &Observed, side: &Side) -> bool {
    seen.color(side.color).deployment.as_ref().is_some_and(|deployment| {
        deployment.revision == side.revision
            && arrival::arrived(&seen.status, side, deployment)
            && as_we_left_it(side, deployment)
            && deployment.observed_generation >= deployment.generation
    })
}

/// All pods of the side are available, and run what we wrote.
pub fn is_complete(seen: &Observed, side: &Side) -> bool {
    fully_available(seen, side) && taken_up(seen, side)
}

/// The active Service leads to the candidate, whose switch is decided. While its pods start that counts only by the operator's own write,
/// which names the side that was left: somebody may have led users there too early, and that is no decision.
pub fn switch_is_made(seen: &Observed, candidate: &Side) -> bool {
    let left = seen.status.active.as_ref().map(|active| active.revision.as_str());
    let by_us = || seen.service(Role::Active).is_some_and(|service| service.former.as_deref() == left);
    selects(seen, candidate) && (seen.status.phase == Some(Phase::Promoting) || by_us())
}

pub fn touchable(owner: &Owner) -> bool {
    matches!(owner, Owner::Us | Owner::Orphan | Owner::Foreign { adopt: true, .. })
}

/// Its generation is the one that our latest write of it returned.
pub fn as_we_left_it(side: &Side, deployment: &DeploymentSeen) -> bool {
    deployment.applied_generation.or(side.generation) == Some(deployment.generation)
}

/// Somebody changed the Deployment since our latest write of it: whatever is written next, it is to be put right.
pub fn drifted(seen: &Observed, color: Color) -> bool {
    let sides = [&seen.status.active, &seen.status.standby, &seen.status.preview];
    let side = sides.into_iter().flatten().find(|side| side.color == color);
    side.zip(seen.color(color).deployment.as_ref()).is_some_and(|(side, deployment)| !as_we_left_it(side, deployment))
}

/// Users still get to pods of this color, wherever the active Service leads: its selector may have been lost after the switch.
pub fn reached(seen: &Observed, color: Color) -> bool {
    let endpoint = |name: &str| seen.endpoints.pods.iter().any(|endpoint| endpoint.ready && endpoint.pod == name);
    seen.color(color).pods.iter().any(|pod| endpoint(&pod.name))
}

/// The latest epoch on an object that is fenced.
pub fn fenced(seen: &Observed) -> i64 {
    let service = seen.service(Role::Active).map(|service| service.epoch.as_str());
    let colors = [&seen.blue, &seen.green].map(|color| color.deployment.as_ref().map(|deployment| deployment.epoch.as_str()));
    let epochs = [service].into_iter().chain(colors).flatten();
    epochs.filter_map(|epoch| epoch.split_once('.')?.0.parse().ok()).max().unwrap_or(0)
}

/// The Service through which a Job tests what is judged at a stage.
pub const fn role(stage: Stage) -> Role {
    if stage.is_after_the_switch() { Role::Active } else { Role::Preview }
}

/// Until its Service leads to the side, a Job would test what serves already.
pub fn can_run(seen: &Observed, side: &Side, stage: Stage) -> bool {
    leads_to(seen, role(stage), side)
}

/// For whom the Jobs of checks and metrics run.
pub fn jobs_of<'a>(seen: &'a Observed, revision: &'a str) -> For<'a> {
    For { uid: &seen.uid, rollout: &seen.name, attempt: seen.status.attempt, revision }
}

/// An object by its kind and name, as people call it.
pub fn in_words(seen: &Observed, object: &Object) -> String {
    match object {
        Object::Service(role) => format!("Service {}", services::service_name(seen, *role)),
        Object::Deployment(color) => format!("Deployment {}", names::deployment(&seen.name, *color)),
        Object::Revision(hash) => format!("ControllerRevision {}", names::revision(&seen.name, hash)),
    }
}
