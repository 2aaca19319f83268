//! What people, other tools and faults do in a story.

use crate::{NAMES, VERSIONS};
use bluegreen_sim::{
    Faults, World,
    dice::Dice,
    resource::{DEPLOYMENT, POD, REVISION, ROLLOUT, SERVICE},
    store::merge,
};
use serde_json::{Value, json};

const VERBS: [&str; 7] = ["promote", "accept", "abort", "rollback", "retry", "pause", "resume"];

pub fn settings(dice: &Dice) -> Value {
    let metric = json!([{"name": "errors", "prometheus": {"address": "http://prometheus:9090", "query": "errors{revision=\"{{ revision }}\"}"}, "max": "1%", "count": 3, "interval": "2s"}]);
    let watched = json!([{"name": "errors", "prometheus": {"address": "http://prometheus:9090", "query": "errors{revision=\"{{ revision }}\"}"}, "max": "1%", "interval": "5s"}]);
    let gates = [
        json!({}),
        json!({}),
        json!({"verification": {"checks": [{"name": "home", "http": {"attempts": 1}}]}}),
        json!({"verification": {"metrics": metric, "onFailure": "Pause"}}),
        json!({"promotion": {"mode": "Manual"}}),
        json!({"promotion": {"after": "20s", "timeout": "2m"}, "preview": {"replicas": 1}}),
    ];
    let watch = [
        json!({}),
        json!({"monitoring": {"duration": "30s"}}),
        json!({"monitoring": {"duration": "30s", "metrics": watched}}),
        json!({"monitoring": {"duration": "30s", "onUnknown": "Hold", "onFailure": "Pause", "metrics": watched}}),
    ];
    let down =
        [json!({}), json!({"scaleDown": {"after": "Never"}}), json!({"scaleDown": {"drain": "0s", "after": "0s", "afterAbort": "0s"}})];
    let mut spec = json!({"progressDeadline": "2m"});
    for choices in [gates.as_slice(), watch.as_slice(), down.as_slice()] {
        merge(&mut spec, &dice.pick(choices));
    }
    spec
}

/// By how many seconds clocks are put: forward; or back, by one that runs fast and is corrected, or by an hour at once.
fn put(dice: &Dice) -> i64 {
    let seconds = |most: u64| i64::try_from(dice.roll(most)).unwrap();
    match dice.roll(4) {
        0 => -1 - seconds(10),
        1 => -3600,
        _ => seconds(600),
    }
}

fn revision_of(world: &World, name: &str) -> String {
    let status = world.status(name);
    let sides = ["preview", "active", "rejected"].map(|side| status[side]["revision"].as_str().map(str::to_owned));
    let known: Vec<String> = sides.into_iter().flatten().collect();
    if known.is_empty() { "unknown".to_owned() } else { world.dice.pick(&known) }
}

/// Somebody does something, or something goes wrong.
pub async fn happen(world: &World) {
    let dice = &world.dice;
    let name = dice.pick(&NAMES);
    let color = dice.pick(&["blue", "green"]);
    let deployment = format!("{name}-{color}");
    match dice.roll(36) {
        0..=7 => world.image(name, dice.pick(&VERSIONS)),
        8..=10 => world.order(name, dice.pick(&VERBS), &revision_of(world, name)),
        11 => world.spec(name, &json!({"replicas": dice.roll(5)})),
        12 => world.spec(name, &json!({"paused": dice.one_in(2)})),
        13 => {
            let mut spec = json!({"verification": null, "promotion": null, "monitoring": null, "scaleDown": null, "preview": null});
            for (key, value) in settings(dice).as_object().unwrap() {
                spec[key] = value.clone();
            }
            world.spec(name, &spec);
        }
        14 => world.edit(&SERVICE, name, &json!({"spec": {"selector": null}})),
        15 => world.edit(&SERVICE, name, &json!({"metadata": {"labels": {"bluegreen.dev/rollout": null}}})),
        16 => world.delete(&DEPLOYMENT, &deployment),
        17 => world.edit(&DEPLOYMENT, &deployment, &json!({"spec": {"replicas": dice.roll(5)}})),
        18 | 19 => world.edit(&DEPLOYMENT, &deployment, &json!({"metadata": {"labels": {"bluegreen.dev/rollout": null}}})),
        20 => world.edit(&DEPLOYMENT, &deployment, &json!({"metadata": {"ownerReferences": null}})),
        21 => world.delete(&SERVICE, name),
        22 => world.readiness(name, dice.pick(&VERSIONS), false),
        23 => {
            for version in VERSIONS {
                world.readiness(name, version, true);
            }
        }
        24 => {
            for pod in world.pods(name) {
                world.delete(&POD, pod["metadata"]["name"].as_str().unwrap());
            }
        }
        25 => world.lose_status(name),
        26 => {
            let revisions: Vec<_> = world.all(&REVISION).iter().map(|revision| revision["metadata"]["name"].clone()).collect();
            if !revisions.is_empty() {
                world.delete(&REVISION, dice.pick(&revisions).as_str().unwrap());
            }
        }
        27 | 28 => {
            world.note("an operator is killed");
            world.seats[usize::try_from(dice.roll(world.seats.len() as u64)).unwrap()].kill();
        }
        29 => {
            world.note("an operator is told to stop");
            world.seats[usize::try_from(dice.roll(world.seats.len() as u64)).unwrap()].stop();
        }
        30 => world.slices_follow(!dice.one_in(3)),
        31 => {
            world.note("the API server forgets what was");
            world.server.forget();
        }
        32 => world.jump(put(dice)),
        33 => {
            world.orphan(name).await;
            world.create(name, &settings(dice));
        }
        34 => {
            world.note(&format!("{name} is deleted"));
            world.delete(&ROLLOUT, name);
            world.create(name, &settings(dice));
        }
        _ => {
            let bad = dice.one_in(2);
            world.note(&format!("the line to the API server is bad: {bad}"));
            world.set_faults(if bad { Faults::some() } else { Faults::default() });
        }
    }
}
