//! Every state that can be reached, nearest first, so that the first broken promise is told by one of the shortest stories.

use crate::{
    rest,
    setup::Setup,
    world::{Action, World},
};
use bluegreen_witness::promises::Broken;
use std::{
    collections::HashSet,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// What a search has seen.
pub struct Covered {
    pub name: &'static str,
    pub states: usize,
    pub transitions: usize,
    pub depth: usize,
    pub complete: bool,
    /// Schedules that were followed to a rest, or to a state known to rest well.
    pub schedules: usize,
    /// Distinct states on those schedules.
    pub resting: usize,
    pub time: Duration,
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, states, transitions, depth, complete, schedules, resting, time } = self;
        let end = if *complete { "complete" } else { "cut off" };
        let seconds = time.as_secs_f64();
        write!(
            f,
            "{name:<28} {states:>9} states {transitions:>10} transitions, depth {depth:>3} ({end}), {schedules:>9} schedules over {resting:>9} states, {seconds:>6.1} s"
        )
    }
}

/// A broken promise, and how it came to that.
pub struct Story(pub String);

struct Link {
    parent: usize,
    action: Action,
}

/// Searches breadth-first from the beginning of a setting. It is broken off when another search has found a violation: one story is enough.
pub fn search(setup: &'static Setup, enough: &AtomicBool) -> Result<Covered, Story> {
    let began = Instant::now();
    let start = beginning(setup)?;
    let mut seen = HashSet::from([start.print(true)]);
    let mut good = HashSet::new();
    let mut links = vec![Link { parent: 0, action: Action::Tick }];
    let mut frontier = vec![(0, start)];
    let (mut depth, mut transitions) = (0, 0);
    while !frontier.is_empty() && depth < setup.depth && seen.len() < setup.states && !enough.load(Ordering::Relaxed) {
        depth += 1;
        let mut next = vec![];
        for (parent, world) in frontier {
            if enough.load(Ordering::Relaxed) {
                break;
            }
            for action in world.enabled() {
                transitions += 1;
                let mut world = world.clone();
                let stepped = world.step(action);
                let is_new = stepped.is_err() || seen.insert(world.print(true));
                if !is_new {
                    continue;
                }
                links.push(Link { parent, action });
                let index = links.len() - 1;
                if let Err(broken) = stepped.and_then(|()| rest::comes_to_rest(&world, &mut good)) {
                    return Err(story(setup, &links, index, &broken));
                }
                next.push((index, world));
            }
        }
        frontier = next;
    }
    Ok(Covered {
        name: setup.name,
        states: seen.len(),
        transitions,
        depth,
        complete: frontier.is_empty(),
        schedules: links.len() - 1,
        resting: good.len(),
        time: began.elapsed(),
    })
}

/// The first revision live and at rest, or the second one under way, unless it is to start with nothing.
fn beginning(setup: &'static Setup) -> Result<World, Story> {
    let mut world = World::new(setup);
    if !setup.from_nothing {
        world.log = Some(vec![]);
        let told = |broken: &Broken, world: &World| Story(format!("{}: {}\n{}", setup.name, broken.how, lines(world)));
        rest::run(&mut world).map_err(|broken| told(&broken, &world))?;
        assert!(world.notes.protected, "the first revision is not live\n{}", lines(&world));
        if let Some(phase) = setup.from {
            world.rollout_to_second_image();
            let live = world.pods.len();
            let there = |world: &World| world.pods.len() > live && world.controllers().is_empty();
            let begins = |world: &World| world.rollout.status.phase == Some(phase) && (!setup.pods_are_there || there(world));
            rest::run_until(&mut world, begins).map_err(|broken| told(&broken, &world))?;
            assert_eq!(world.rollout.status.phase, Some(phase), "{}", lines(&world));
        }
        world.log = None;
        world.before = Default::default();
    }
    Ok(world)
}

/// The same again, told.
fn story(setup: &'static Setup, links: &[Link], last: usize, broken: &Broken) -> Story {
    let mut actions = vec![];
    let mut index = last;
    while index != 0 {
        actions.push(links[index].action);
        index = links[index].parent;
    }
    let Ok(mut world) = beginning(setup) else { return Story(broken.how.clone()) };
    world.log = Some(vec![]);
    let mut ended = false;
    for action in actions.into_iter().rev() {
        ended = world.step(action).is_err();
    }
    if !ended {
        world.note(|| "--- from here on nothing but the schedule without faults".into());
        world.rival = None;
        world.left = Default::default();
        let _ = rest::run(&mut world);
    }
    Story(format!("{}: promise {} is broken: {}\n{}", setup.name, broken.promise, broken.how, lines(&world)))
}

fn lines(world: &World) -> String {
    let log = world.log.as_deref().unwrap_or_default();
    log.iter().enumerate().map(|(number, line)| format!("{:>3}. {line}\n", number + 1)).collect()
}
