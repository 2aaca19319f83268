//! Liveness: from a state on, nothing but the schedule without faults. It must come to rest where promise 10 allows, say why it
//! waits, and write nothing more.

use crate::{
    print::timeless,
    promises,
    world::{Action, Answer, Who, World, index},
};
use bluegreen_api::{BlueGreenRolloutStatus, Phase, reasons};
use bluegreen_witness::promises::{Broken, holds};
use std::collections::HashSet;

/// More than the longest way from anywhere to rest.
const BOUND: usize = 600;

/// Follows the schedule until it rests, or until a state that is known to come to rest well.
pub fn comes_to_rest(start: &World, good: &mut HashSet<u128>) -> Result<(), Broken> {
    let mut world = start.clone();
    // It never wakes, and what could have been read late is read in time.
    world.rival = None;
    world.left = Default::default();
    let mut trail = vec![];
    for _ in 0..BOUND {
        let print = world.print(false);
        if good.contains(&print) {
            good.extend(trail);
            return Ok(());
        }
        if trail.contains(&print) {
            return Err(Broken { promise: 10, how: "it turns in circles".into() });
        }
        trail.push(print);
        if !goes_on(&mut world)? {
            rests_well(&world)?;
            another_process_changes_nothing(world)?;
            good.extend(trail);
            return Ok(());
        }
    }
    Err(Broken { promise: 10, how: "it doesn't come to rest".into() })
}

/// Follows the schedule until it has come to this.
pub fn run_until(world: &mut World, done: impl Fn(&World) -> bool) -> Result<(), Broken> {
    for _ in 0..BOUND {
        if done(world) || !goes_on(world)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Follows the schedule to its end, whatever that is.
pub fn run(world: &mut World) -> Result<(), Broken> {
    for _ in 0..BOUND {
        if !goes_on(world)? {
            return Ok(());
        }
    }
    Ok(())
}

/// The next step of the schedule: the operator until it waits, the controllers, pods, measurements, and then time. False: none.
fn goes_on(world: &mut World) -> Result<bool, Broken> {
    if world.operator.pass.is_some() {
        world.step(Action::Operator(Who::Leader))?;
        return Ok(true);
    }
    world.step(Action::Operator(Who::Leader))?;
    if world.operator.pass.is_some() {
        return Ok(true);
    }
    let due = world.operator.due.iter().position(|due| due.at <= world.now).map(|due| Action::Measure(due, Answer::Pass));
    let time = || world.next_deadline().map(|_| Action::Tick);
    let Some(action) = world.controllers().first().copied().or(due).or_else(time) else { return Ok(false) };
    world.step(action)?;
    Ok(true)
}

/// Promise 10: at Healthy, Aborted or RolledBack, or at something that waits for a person and says so.
fn rests_well(world: &World) -> Result<(), Broken> {
    if world.rollout.deleting {
        return nothing_is_left(world);
    }
    let status = &world.rollout.status;
    let rollout = &world.rollout;
    let ready = status.conditions.iter().find(|it| it.type_ == reasons::READY);
    let (is_ready, reason) = ready.map_or((false, ""), |it| (it.status == "True", it.reason.as_str()));
    let stalled = status.conditions.iter().any(|it| it.type_ == reasons::STALLED && it.status == "True");
    let phase = status.phase;
    let at_rest = matches!(phase, Some(Phase::Healthy | Phase::Aborted | Phase::RolledBack));
    let paused = rollout.paused || status.paused_by_order;
    let waits_for_a_person = match reason {
        reasons::AWAITING_APPROVAL | reasons::INCONCLUSIVE => true,
        reasons::PAUSED => paused,
        reasons::NO_REPLICAS => rollout.replicas == 0,
        _ => stalled,
    };
    holds(10, at_rest || (!is_ready && waits_for_a_person), || format!("it rests in {phase:?} ({reason}): {}", status.message))?;
    way_back_was_taken(world)?;
    if at_rest {
        edits_are_undone(world)?;
    }
    if phase == Some(Phase::Healthy) && !paused && reason != reasons::NO_REPLICAS {
        healthy_is_what_spec_asks_for(world, is_ready)?;
    }
    Ok(())
}

/// Promise 7: what a deleted rollout owned has gone with it, and nothing of it was made anew.
fn nothing_is_left(world: &World) -> Result<(), Broken> {
    let (children, pods) = (world.children(), world.pods.len());
    let gone = children.is_empty() && pods == 0 && world.endpoints.is_empty();
    holds(7, gone, || format!("the rollout was deleted, and this is left of it: {children:?} and {pods} pods"))
}

/// Promise 4: what somebody has changed by hand is what was recorded of it again, wherever it has a part.
fn edits_are_undone(world: &World) -> Result<(), Broken> {
    let status = &world.rollout.status;
    for side in [&status.active, &status.standby].into_iter().flatten() {
        let as_recorded = world.deployments[index(side.color)]
            .as_ref()
            .is_some_and(|it| *it.revision == *side.revision && it.replicas == side.replicas && !it.edited && it.labels_intact);
        holds(4, as_recorded, || format!("it rests, and Deployment {} isn't what was recorded of it", side.color))?;
    }
    let leads = world.services[0].as_ref().and_then(|service| service.selects.as_ref());
    let belongs = status.active.as_ref().map(|active| (active.color, active.revision.as_str()));
    holds(4, leads.map(|(color, revision)| (*color, &**revision)) == belongs, || {
        format!("it rests, and the active Service leads to {leads:?}, where it belongs to {belongs:?}")
    })?;
    let ports = world.services.iter().flatten().all(|service| service.ports_intact);
    holds(4, ports, || "it rests, and a Service has the ports that somebody gave it by hand".into())
}

/// Promise 5: a roll back rests only where the standby has nothing to take over with.
fn way_back_was_taken(world: &World) -> Result<(), Broken> {
    let status = &world.rollout.status;
    let Some(standby) = status.standby.as_ref().filter(|_| status.phase == Some(Phase::RollingBack)) else { return Ok(()) };
    let could = !world.is_broken(&standby.revision) && world.rollout.replicas > 0;
    holds(5, !could, || format!("the standby is fine, and the roll back doesn't end: {}", status.message))?;
    let both = status.conditions.iter().any(|it| it.reason == reasons::BOTH_BROKEN);
    let active_is_broken = status.active.as_ref().is_some_and(|active| world.is_broken(&active.revision));
    holds(5, both || !active_is_broken, || format!("both sides are broken, and it doesn't say so: {}", status.message))
}

fn healthy_is_what_spec_asks_for(world: &World, is_ready: bool) -> Result<(), Broken> {
    let status = &world.rollout.status;
    let Some(active) = &status.active else { return holds(10, false, || "healthy with no active side".into()) };
    let wanted = world.setup.hash(world.rollout.image);
    holds(10, active.revision == wanted, || format!("it rests healthy with another revision than spec asks for: {}", status.message))?;
    let fine = !world.is_broken(&active.revision);
    let serves = promises::serving(world) == Some(active.color) || world.rollout.replicas == 0;
    holds(10, serves || !fine, || "it rests healthy, and its pods serve nobody".into())?;
    holds(10, is_ready || !fine, || format!("it rests healthy and is not ready: {}", status.message))?;
    let all = world.deployments[index(active.color)].as_ref().is_some_and(|it| it.replicas == world.rollout.replicas);
    holds(10, all, || "it rests healthy with another size than replicas".into())
}

/// Promises 8 and 10: who leads writes nothing after another look; who leads next changes no object.
fn another_process_changes_nothing(mut world: World) -> Result<(), Broken> {
    world.step(Action::Operator(Who::Leader))?;
    holds(10, world.operator.pass.is_none(), || "at rest it writes after another look".into())?;
    let before = world.clone();
    world.restart();
    world.step(Action::Operator(Who::Leader))?;
    while let Some(held) = world.operator.pass.clone() {
        world.step(Action::Operator(Who::Leader))?;
        // What it can't know to have been applied it applies again, and the API server finds it unchanged.
        let same = world.deployments == before.deployments && world.services == before.services;
        holds(8, same, || format!("at rest another operator process writes: {:?}", held.step))?;
        let status = without_clock(&world.rollout.status);
        holds(10, status == without_clock(&before.rollout.status), || {
            format!("at rest another operator process records: {:?}", held.step)
        })?;
    }
    Ok(())
}

/// Time in which nobody looked is taken out of the clock of what waits, once for each process; and generations are noted then.
fn without_clock(status: &BlueGreenRolloutStatus) -> BlueGreenRolloutStatus {
    let mut status = status.clone();
    status.clock = None;
    // Its times move with it.
    status.waiting.iter_mut().for_each(|waiting| waiting.until = None);
    status.message = timeless(&status.message);
    status.conditions.iter_mut().for_each(|condition| condition.message = timeless(&condition.message));
    for side in [&mut status.active, &mut status.standby, &mut status.preview].into_iter().flatten() {
        side.generation = None;
    }
    status
}
