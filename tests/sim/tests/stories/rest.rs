//! How a story must end.

use crate::{NAMES, VERSIONS};
use bluegreen_sim::{
    Faults, World,
    resource::{DEPLOYMENT, ROLLOUT, SERVICE},
};
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

struct Condition {
    status: String,
    reason: String,
}

fn condition(status: &Value, type_: &str) -> Option<Condition> {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let condition = conditions.rfind(|condition| condition["type"] == type_)?;
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    Some(Condition { status: text("status"), reason: text("reason") })
}

/// Why this is no rest. At Healthy, Aborted or RolledBack, or at something that waits for a person and says what to do.
fn unrest(world: &World, name: &str) -> Option<String> {
    let status = world.status(name);
    let phase = world.phase(name);
    let message = status["message"].as_str().unwrap_or_default();
    let rollout = world.get(&ROLLOUT, name)?;
    if rollout["metadata"]["generation"] != status["observedGeneration"] {
        return Some("the latest spec isn't observed".to_owned());
    }
    let ready = condition(&status, "Ready").filter(|ready| ready.status == "True");
    let waits = condition(&status, "Stalled").is_some()
        || condition(&status, "Ready").is_some_and(|ready| ["AwaitingApproval", "Inconclusive", "Paused"].contains(&ready.reason.as_str()));
    if waits && orders(message).is_empty() && !message.to_lowercase().contains("spec") {
        return Some(format!("it waits for a person and doesn't say what to do: {phase}, {message:?}"));
    }
    if !waits && !["Healthy", "Aborted", "RolledBack"].contains(&phase.as_str()) {
        return Some(format!("{phase}, {message:?}"));
    }
    let live = status["active"]["image"].as_str().unwrap_or_default();
    if ready.is_some() && world.reached(name) != [live] {
        return Some(format!("it is Ready, and {live} isn't what its Service reaches, but {:?}", world.reached(name)));
    }
    if phase == "Healthy" && !waits && rollout["spec"]["image"] != live {
        return Some(format!("it is Healthy with {live}, and spec asks for {}", rollout["spec"]["image"]));
    }
    None
}

/// The orders that a message names: verb and value.
fn orders(message: &str) -> Vec<(&str, &str)> {
    let told = message.split("bluegreen.dev/").skip(1);
    let orders = told.filter_map(|told| told.split([' ', ',', '.', ';']).next()?.split_once('='));
    orders.collect()
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
    let orders = orders(message);
    if orders.is_empty() {
        return;
    }
    let (verb, value) = world.dice.pick(&orders);
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
