//! Attempts that have ended, as `status.history` keeps them.

use crate::{scene::metric, world::World};
use bluegreen_api::{GateState, Outcome as Ended};
use bluegreen_gates::reading::{Outcome, Reading};
use serde_json::json;

#[test]
fn an_attempt_shows_what_became_of_each_gate() {
    let spec = json!({"verification": {"onFailure": "Abort", "checks": [{"name": "home", "http": {}}], "metrics": [metric(json!({}))]}});
    let mut world = World::live(spec);
    world.gauge = |gate, _, _| Outcome::reading(Reading::Value(if gate.contains("errors") { 1.0 } else { 0.0 }));
    world.image("shop:2");
    world.settle();
    let story = &world.status.history[0];
    let gates: Vec<_> = story.gates.iter().map(|gate| (gate.name.as_str(), gate.state, gate.message.as_str())).collect();
    assert_eq!(
        gates,
        [("verification/home", GateState::Passed, ""), ("verification/errors", GateState::Failed, "1 is above the limit of 0.01"),]
    );
    assert_eq!((story.outcome, story.by.as_str(), story.from_image.as_str()), (Some(Ended::Aborted), "kubectl", "shop:1"));
}

#[test]
fn a_late_roll_back_shows_what_serves_again() {
    for scale_down in [json!({}), json!({"after": "Never"})] {
        let mut world = World::live(json!({"scaleDown": scale_down}));
        world.image("shop:2");
        world.settle();
        // One that was withdrawn since is another story.
        world.image("shop:3-slow");
        world.run_for(5);
        world.image("shop:2");
        world.settle();
        world.order("rollback");
        world.settle();
        let story = &world.status.history[0];
        let rejected = world.status.rejected.as_ref().unwrap();
        assert_eq!((rejected.image.as_str(), rejected.attempt), ("shop:2", story.attempt));
        assert_eq!((story.image.as_str(), story.from_image.as_str()), ("shop:2", "shop:1"));
        assert_eq!(world.serves().as_deref(), Some("shop:1"));
    }
}

#[test]
fn ten_attempts_are_kept_the_latest_first() {
    let mut world = World::live(json!({"scaleDown": {"drain": "0s", "after": "0s"}}));
    for number in 2..14 {
        world.image(&format!("shop:{number}"));
        world.settle();
    }
    let attempts: Vec<_> = world.status.history.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(attempts, (4..14).rev().collect::<Vec<_>>());
}
