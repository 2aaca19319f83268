//! The size of what is recorded: a status that can't be written would be no way back.

use crate::{scene::metric, world::World};
use bluegreen_api::{Attempt, GateResult, GateState, Phase};
use bluegreen_gates::reading::{Outcome, Reading};
use serde_json::{Value, json};

/// What the API server and etcd take, less `spec` and what is written beside it.
const MOST: usize = 384 * 1024;

/// A metric that asks as long a question as there can be.
fn wordy(number: usize) -> Value {
    let query = format!("e{}", "\u{1}".repeat(1900));
    metric(json!({"name": format!("m{number}{}", "x".repeat(55)), "prometheus": {"query": query, "requests": query, "minRequests": 1}}))
}

fn answers(value: f64) -> Outcome {
    Outcome::Readings(vec![Reading::Value(value), Reading::Value(100.0)])
}

#[test]
fn a_roll_back_is_recorded_beside_the_longest_history() {
    let metrics: Vec<_> = (0..16).map(wordy).collect();
    let spec = json!({"verification": {"metrics": metrics}, "monitoring": {"duration": "1h", "metrics": metrics}});
    let mut world = World::live(spec);
    world.gauge = |_, _, _| answers(0.0);
    world.image("shop:2");
    world.run_until(Phase::DeployingPreview);
    let attempt = world.status.current.clone().unwrap();
    let gates = (0..128).map(|number| GateResult {
        name: format!("verification/{}/{number}", "t".repeat(253)),
        state: GateState::Inconclusive,
        message: "\u{1}".repeat(256),
    });
    world.status.history = vec![Attempt { gates: gates.collect(), ..attempt }; 10];
    world.run_until(Phase::Monitoring);
    let bytes = |world: &World| json!(world.status).to_string().len();
    assert!((MOST / 8..=MOST).contains(&bytes(&world)), "{} bytes in Monitoring", bytes(&world));
    world.run_for(100);
    assert!(bytes(&world) <= MOST, "{} bytes after a while", bytes(&world));
    world.gauge = |_, _, _| answers(1.0);
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")), "{}", world.story());
    assert!(bytes(&world) <= MOST, "{} bytes in the end", bytes(&world));
    let records = world.records;
    world.run_for(600);
    assert_eq!(world.records, records, "a shortened status is at rest as any other");
}

#[test]
fn a_spec_that_leaves_no_room_for_status_is_refused() {
    let mut world = World::live(json!({}));
    let env: Vec<_> = (0..10).map(|number| json!({"name": format!("E{number}"), "value": "x".repeat(100_000)})).collect();
    let mut template = world.spec.template.0.clone();
    template["spec"]["containers"][0]["env"] = json!(env);
    world.change(json!({"template": template}));
    world.settle();
    assert!(world.status.message.contains("at most 786432 leave room for status: move parts to a ConfigMap"), "{}", world.status.message);
    assert_eq!(world.serves().as_deref(), Some("shop:1"));
}
