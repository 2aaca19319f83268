//! How a story must end.

use crate::{NAMES, VERSIONS};
use bluegreen_api::BlueGreenRollout;
use bluegreen_sim::{
    Faults, World,
    resource::{DEPLOYMENT, ROLLOUT, SERVICE},
};
use bluegreen_witness::{Asked, Order, advice, at_rest};
use serde_json::{Value, json};

/// What stays bad whatever anybody does.
const HOPELESS: [&str; 4] = ["5.0.0-crash", "6.0.0-missing", "7.0.0-unready", "9.0.0-invalid"];

/// How often a person does what a message says before the next version must serve.
const ROUNDS: usize = 4;

/// Faults end, `spec` comes to rest: so does every rollout, where promise 10 allows it.
pub async fn comes(world: &World) -> Result<(), String> {
    world.note("faults end");
    world.set_faults(Faults::default());
    world.slices_follow(true);
    // What was late arrives.
    world.pass(100).await;
    for name in NAMES {
        for version in VERSIONS.iter().filter(|version| !HOPELESS.contains(version)) {
            world.readiness(name, version, true);
        }
        world.spec(name, &json!({"paused": false, "replicas": 2}));
    }
    all_rest(world).await
}

async fn all_rest(world: &World) -> Result<(), String> {
    // One that came to rest may not have seen the latest yet.
    world.pass(10).await;
    // What waits by a clock that was put back waits for as long again.
    let patience = 3000 + world.put_back();
    world.until(patience, |world| NAMES.iter().all(|name| unrest(world, name).is_none())).await;
    if !world.until_quiet(patience).await {
        return Err("promise 10: requests at rest".to_owned());
    }
    let restless: Vec<_> =
        NAMES.iter().filter_map(|name| Some(format!("promise 10: {name} doesn't rest: {}", unrest(world, name)?))).collect();
    if restless.is_empty() { Ok(()) } else { Err(restless.join("\n")) }
}

/// Why this is no rest.
fn unrest(world: &World, name: &str) -> Option<String> {
    let rollout = world.get(&ROLLOUT, name)?;
    match serde_json::from_value::<BlueGreenRollout>(Value::clone(&rollout)) {
        Ok(rollout) => {
            let status = rollout.status.clone().unwrap_or_default();
            at_rest(&Asked::by(&rollout), &status, &world.reached(name)).err().map(|why| why.to_string())
        }
        Err(unread) => Some(format!("it can't be read: {unread}")),
    }
}

/// Whatever was before, what is good serves: at once, or when people have done what they are told to do.
pub async fn next_version_goes_live(world: &World) -> Result<(), String> {
    for name in NAMES {
        world.image(name, "10.0.0");
        world.spec(name, &json!({"promotion": null, "verification": null, "monitoring": null}));
    }
    all_rest(world).await?;
    for _ in 0..ROUNDS {
        let waiting: Vec<_> = NAMES.iter().filter(|name| !live(world, name)).collect();
        if waiting.is_empty() {
            return sizes(world);
        }
        waiting.iter().for_each(|name| follow_advice(world, name));
        all_rest(world).await?;
    }
    let late = NAMES.iter().filter(|name| !live(world, name));
    let late: Vec<_> =
        late.map(|name| format!("promise 10: {name}: the next version doesn't go live: {}", world.status(name)["message"])).collect();
    if late.is_empty() { sizes(world) } else { Err(late.join("\n")) }
}

fn live(world: &World, name: &str) -> bool {
    world.phase(name) == "Healthy" && world.reached(name) == ["registry.example/shop:10.0.0"]
}

/// Somebody reads the message and gives an order that it names.
fn follow_advice(world: &World, name: &str) {
    let status = world.status(name);
    let message = status["message"].as_str().unwrap_or_default();
    let orders = advice(message);
    if orders.is_empty() {
        return;
    }
    let Order { verb, value } = world.dice.pick(&orders);
    if verb == "adopt" {
        let mut words = message.split(' ');
        let (kind, object) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let resource = if kind == "Service" { &SERVICE } else { &DEPLOYMENT };
        world.edit(resource, object, &json!({"metadata": {"annotations": {"bluegreen.dev/adopt": value}}}));
    } else {
        world.order_for(name, verb, value);
    }
}

/// What serves has its size, and the other side is gone, unless it is to stay.
fn sizes(world: &World) -> Result<(), String> {
    for name in NAMES {
        let active = world.status(name)["active"]["color"].clone();
        let never = world.get(&ROLLOUT, name).is_some_and(|rollout| rollout["spec"]["scaleDown"]["after"] == "Never");
        for color in ["blue", "green"] {
            let deployment = world.get(&DEPLOYMENT, &format!("{name}-{color}"));
            let size = deployment.map_or(json!(0), |deployment| deployment["spec"]["replicas"].clone());
            if active == color && size != 2 || active != color && !never && size != 0 {
                return Err(format!("{name}-{color} has {size} replicas in the end, and {active} is active"));
            }
        }
    }
    Ok(())
}
