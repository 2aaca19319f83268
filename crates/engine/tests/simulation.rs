//! Seeded stories: a person, faults and other tools do anything at any time. The witness of the world looks at each write; in the
//! end everything must rest where promise 10 allows, and write nothing more.
//!
//! `SEED=17 cargo test -p bluegreen-engine --test simulation` replays one; `SEEDS=5000` runs as many fixed and as many
//! fresh ones; without it there are 100 and 500.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "it/world/mod.rs"]
mod world;

use bluegreen_api::Color;
use bluegreen_engine::{
    Decision, decide,
    observed::{Absence, Owner},
};
use bluegreen_gates::reading::{Outcome, Reading};
use bluegreen_witness::{Asked, at_rest};
use serde_json::json;
use world::World;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.roll(items.len())]
    }
}

fn gauge(_: &str, image: &str, at: jiff::Timestamp) -> Outcome {
    let reading = match at.as_second() % 11 {
        0 => Reading::NoData,
        1 => Reading::Failed("connection refused".into()),
        _ if image.contains("bad") => Reading::Value(0.5),
        _ => Reading::Value(0.0),
    };
    Outcome::reading(reading)
}

const IMAGES: [&str; 9] =
    ["shop:1", "shop:2", "shop:3", "shop:4-bad", "shop:5-crash", "shop:6-missing", "shop:7-unready", "shop:8-slow", "shop:9-renamed"];
const VERBS: [&str; 7] = ["promote", "accept", "abort", "rollback", "retry", "pause", "resume"];

fn settings(dice: &mut Dice) -> serde_json::Value {
    let gates = [
        json!({}),
        json!({"verification": {"checks": [{"name": "home", "http": {"attempts": 1}}]}}),
        json!({"verification": {"metrics": [{"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "count": 3, "interval": "2s"}], "onFailure": "Pause"}}),
        json!({"promotion": {"mode": "Manual"}}),
        json!({"promotion": {"after": "20s", "timeout": "2m"}, "preview": {"replicas": 1}}),
    ];
    let watch = [
        json!({}),
        json!({"monitoring": {"duration": "30s"}}),
        json!({"monitoring": {"duration": "30s", "metrics": [{"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "interval": "5s"}]}}),
        json!({"monitoring": {"duration": "30s", "onUnknown": "Hold", "onFailure": "Pause", "metrics": [{"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "interval": "5s"}]}}),
    ];
    let down =
        [json!({}), json!({"scaleDown": {"after": "Never"}}), json!({"scaleDown": {"drain": "0s", "after": "0s", "afterAbort": "0s"}})];
    let mut spec = json!({"progressDeadline": "2m"});
    for choices in [gates.as_slice(), watch.as_slice(), down.as_slice()] {
        world::merge(&mut spec, dice.pick(choices).clone());
    }
    spec
}

fn happen(world: &mut World, dice: &mut Dice) {
    match dice.roll(30) {
        0..=6 => world.image(IMAGES[dice.roll(IMAGES.len())]),
        7..=9 => world.order(VERBS[dice.roll(VERBS.len())]),
        10 => {
            let value = world.status.rejected.as_ref().map_or(String::new(), |rejected| rejected.revision.clone());
            world.order_for("retry", &format!("{value}/{}", world.second()));
        }
        11 => world.change(json!({"replicas": dice.roll(5)})),
        12 => world.change(json!({"paused": dice.roll(2) == 0})),
        13 => {
            let spec = settings(dice);
            world.change(json!({"verification": null, "promotion": null, "monitoring": null, "scaleDown": null, "preview": null}));
            world.change(spec);
        }
        14 => {
            world.note("fault  the selector of the active Service is stripped");
            if let Some(service) = world.services.get_mut("active") {
                service.selector.clear();
                service.resource_version += 1_000_000;
            }
        }
        15 => {
            let color = [Color::Blue, Color::Green][dice.roll(2)];
            world.note(&format!("fault  Deployment {color} is deleted"));
            world.deployments.remove(&color);
            world.applied.remove(&color);
        }
        16 => {
            let color = [Color::Blue, Color::Green][dice.roll(2)];
            let replicas = i32::try_from(dice.roll(5)).unwrap();
            world.note(&format!("fault  Deployment {color} is scaled to {replicas} by hand"));
            if let Some(deployment) = world.deployments.get_mut(&color) {
                deployment.replicas = replicas;
                deployment.generation += 1;
                deployment.resource_version += 1_000_000;
            }
        }
        17 => {
            let color = [Color::Blue, Color::Green][dice.roll(2)];
            world.note(&format!("fault  Deployment {color} is relabelled and orphaned"));
            if let Some(deployment) = world.deployments.get_mut(&color) {
                deployment.labels_intact = false;
                deployment.owner = Owner::Orphan;
                deployment.resource_version += 1_000_000;
            }
        }
        18 => {
            let images: Vec<_> = world.pods.iter().map(|pod| pod.image.clone()).collect();
            if !images.is_empty() {
                let image = dice.pick(&images).clone();
                world.kill_pods(&image);
            }
        }
        19 => {
            world.note("fault  the pods are replaced");
            world.pods.clear();
        }
        20 => {
            world.note("fault  the status is emptied");
            world.status = bluegreen_api::BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
        }
        21 => {
            let from = world.now;
            world.pass_time(1 + i64::try_from(dice.roll(4000)).unwrap());
            world.note("fault  the operator was away");
            world.absence = Some(Absence { from: Some(from), to: world.now });
            world.restart();
        }
        24 | 25 => world.freezes = true,
        26 | 27 => world.wake(),
        28 | 29 => world.crashes = true,
        22 => {
            world.note("fault  a ControllerRevision is lost");
            let hashes: Vec<_> = world.revisions.keys().cloned().collect();
            if !hashes.is_empty() {
                world.revisions.remove(dice.pick(&hashes));
            }
        }
        _ => {
            world.slices_follow = dice.roll(3) > 0;
            let note = format!("fault  EndpointSlices follow: {}", world.slices_follow);
            world.note(&note);
        }
    }
}

/// The story, told.
fn story(seed: u64) -> String {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let spec = settings(&mut dice);
    let mut world = World::new(spec);
    world.gauge = gauge;
    world.run_for(10);
    for _ in 0..30 {
        happen(&mut world, &mut dice);
        let seconds = [0, 1, 3, 10, 40, 200][dice.roll(6)];
        world.run_for(seconds);
    }
    // Faults end, `spec` comes to rest.
    world.slices_follow = true;
    (world.freezes, world.crashes) = (false, false);
    world.wake();
    world.note("-----  faults end");
    if world.spec.paused {
        world.change(json!({"paused": false}));
    }
    if world.status.paused_by_order {
        let revision = world.status.preview.as_ref().or(world.status.active.as_ref()).unwrap().revision.clone();
        world.order_for("resume", &format!("{revision}/end"));
    }
    if world.spec.replicas == 0 {
        world.change(json!({"replicas": 2}));
    }
    world.pods.retain(|pod| !pod.image.ends_with("-unready") || IMAGES.contains(&pod.image.as_str()));
    world.run(20_000, World::rested);
    world.run_for(20_000);
    rests(&world);
    let writes = (world.writes, world.records);
    world.run_for(5_000);
    assert_eq!((world.writes, world.records), writes, "writes at rest\n{}", world.story());
    world.story()
}

/// Promise 10, by the witness of all tests.
fn rests(world: &World) {
    let Decision::Wait { .. } = decide(&world.seen()) else { panic!("not at rest\n{}", world.story()) };
    let spec = &world.spec;
    let asked = Asked { generation: world.generation, paused: spec.paused, replicas: spec.replicas, image: spec.image.as_deref() };
    let reached: Vec<_> = world.serves().into_iter().collect();
    if let Err(why) = at_rest(&asked, &world.status, &reached) {
        panic!("{why}\n{}", world.story());
    }
}

#[test]
fn whatever_happens_no_promise_is_broken_and_all_comes_to_rest() {
    if let Ok(seed) = std::env::var("SEED") {
        println!("{}", story(seed.parse().unwrap()));
        return;
    }
    let seeds: Option<u64> = std::env::var("SEEDS").ok().map(|seeds| seeds.parse().unwrap());
    let (fixed, fresh) = (seeds.unwrap_or(100), seeds.unwrap_or(500));
    // A run of all tests gives the seed, and is the same each time; else the clock draws it.
    let drawn = std::env::var("BLUEGREEN_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let first = drawn.unwrap_or_else(now) * 10_000;
    for seed in (0..fixed).chain(first..first + fresh) {
        if let Err(panic) = std::panic::catch_unwind(|| story(seed)) {
            eprintln!("replay with: SEED={seed} cargo test -p bluegreen-engine --test simulation");
            std::panic::resume_unwind(panic);
        }
    }
    println!("covered: {} stories, {fixed} of fixed seeds and {fresh} of fresh ones", fixed + fresh);
}
