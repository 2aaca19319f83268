//! The former side is drained, stands by and goes.

use crate::{scene::unready, world::World};
use bluegreen_api::{Outcome as Ended, Phase};
use bluegreen_engine::{Decision, decide, observed::Absence};
use jiff::Timestamp;
use serde_json::json;

/// `after: 0s` is at once after that.
#[test]
fn the_side_that_was_left_is_drained_before_it_goes() {
    let mut world = World::live(json!({"scaleDown": {"drain": "7s", "after": "0s"}}));
    world.image("shop:2");
    world.run_until(Phase::ScalingDown);
    let switched = world.second();
    assert!(world.is("Ready") && world.is("Promoted"));
    world.run_until(Phase::Healthy);
    assert_eq!(world.second() - switched, 7);
}

#[test]
fn never_keeps_a_standby_that_spec_goes_back_to_at_once() {
    let mut world = World::live(json!({"scaleDown": {"after": "Never"}}));
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.ready("shop:1")), (Phase::Healthy, 3));
    let before = world.second();
    world.image("shop:1");
    world.run_for(1);
    assert_eq!((world.serves().as_deref(), world.second()), (Some("shop:1"), before + 1), "{}", world.story());
    world.settle();
    assert_eq!(world.phase(), Phase::Healthy);
    assert_eq!(world.status.history[0].outcome, Some(Ended::Reverted));
}

// Found by attack.
#[test]
fn drain_is_always_waited_for_also_with_never() {
    let mut world = World::live(json!({"scaleDown": {"after": "Never", "drain": "10s"}}));
    world.image("shop:2");
    world.run(300, |world| world.serves().as_deref() == Some("shop:2"));
    let switched = world.second();
    world.run_for(1);
    world.image("shop:3");
    world.run(300, |world| world.log.iter().any(|line| line.contains("shop:3 ×")));
    assert!(world.second() - switched >= 10, "re-templated {} s after the switch\n{}", world.second() - switched, world.story());
}

// Found by attack.
#[test]
fn zero_replicas_while_scaling_down_end_with_no_pods() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.run_until(Phase::ScalingDown);
    world.change(json!({"replicas": 0}));
    world.run_for(5000);
    assert_eq!(world.pods.len(), 0, "{} {}\n{}", world.phase(), world.status.message, world.story());
}

// Found by attack.
#[test]
fn ready_is_not_true_when_no_pod_serves_while_scaling_down() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.run_until(Phase::ScalingDown);
    world.kill_pods("shop:2");
    world.run_for(200);
    assert!(!world.is("Ready"), "{} {}\n{}", world.phase(), world.status.message, world.story());
}

// Found by attack.
#[test]
fn settings_are_live_also_when_never_is_taken_back() {
    let mut world = World::live(json!({"scaleDown": {"after": "Never"}}));
    world.image("shop:2");
    world.settle();
    world.change(json!({"scaleDown": {"after": "0s"}}));
    world.settle();
    assert_eq!(world.ready("shop:1"), 0, "{}", world.story());
}

/// Nobody watches it any more, and the way back is there all the same.
// Found by attack.
#[test]
fn a_version_that_dies_in_scaling_down_is_rolled_back() {
    let mut world = World::in_phase(json!({}), "shop:2", Phase::ScalingDown);
    world.kill_pods("shop:2");
    let before = world.second();
    world.run(60, |world| world.serves().as_deref() == Some("shop:1"));
    assert_eq!((world.serves().as_deref(), world.second()), (Some("shop:1"), before), "{}", world.story());
    world.settle();
    assert_eq!((world.phase(), world.ready("shop:1")), (Phase::RolledBack, 3), "{}", world.story());
}

/// Ten pods on their way from revision 1 to 2, with a deadline of a minute.
fn ten_leaving(after: &str) -> World {
    let spec = json!({"replicas": 10, "progressDeadline": "1m", "scaleDown": {"drain": "5s", "after": after}});
    World::in_phase(spec, "shop:2", Phase::ScalingDown)
}

#[test]
fn the_way_back_stays_while_the_live_side_is_short() {
    let mut world = ten_leaving("10s");
    unready(&mut world, "shop:2", 3);
    world.run_for(50);
    assert_eq!((world.phase(), world.ready("shop:1")), (Phase::ScalingDown, 10), "{}", world.story());
    let message = &world.status.message;
    assert!(message.contains("serves with fewer than 8 of 10 pods: pod shop-green-"), "{message}");
    assert!(message.contains("; rolls back to revision 1 at "), "{message}");
    assert!(message.contains(". Roll back: kubectl annotate"), "{message}");
    let mut healed = world.clone();
    healed.heal_pods("shop:2");
    healed.settle();
    assert_eq!((healed.phase(), healed.ready("shop:1"), healed.ready("shop:2")), (Phase::Healthy, 0, 10), "{}", healed.story());
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")), "{}", world.story());
    // Two of ten are no such case.
    let mut world = ten_leaving("10s");
    unready(&mut world, "shop:2", 2);
    world.settle();
    assert_eq!((world.phase(), world.ready("shop:1")), (Phase::Healthy, 0), "{}", world.story());
}

#[test]
fn the_former_side_is_the_room_that_the_live_side_lacks() {
    let mut world = ten_leaving("10s");
    world.room = 20;
    world.change(json!({"replicas": 20}));
    let before = world.second();
    world.run_until(Phase::Healthy);
    assert!(world.second() - before <= 16, "it goes on time\n{}", world.story());
    world.settle();
    assert_eq!((world.ready("shop:2"), world.ready("shop:1")), (20, 0), "{}", world.story());
}

/// And `accept` lets it begin.
#[test]
fn the_next_candidate_waits_while_the_live_side_is_short() {
    let mut world = ten_leaving("10s");
    unready(&mut world, "shop:2", 3);
    world.image("shop:3");
    world.run_for(20);
    assert_eq!((world.phase(), world.ready("shop:1")), (Phase::ScalingDown, 10), "{}", world.story());
    assert!(world.status.message.contains(", the next revision waits"), "{}", world.status.message);
    let mut accepted = world.clone();
    accepted.order("accept");
    accepted.run_for(1);
    assert_eq!(accepted.status.preview.as_ref().map(|side| side.image.as_str()), Some("shop:3"), "{}", accepted.story());
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:3"), "{}", world.story());
    let outcomes: Vec<_> = world.status.history.iter().filter_map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes[..2], [Ended::Promoted, Ended::RolledBack], "it got its verdict first\n{}", world.story());
}

/// Its story is over: a person decides.
#[test]
fn with_never_a_live_side_that_dies_shows_the_way_back() {
    let mut world = World::live(json!({"scaleDown": {"after": "Never"}}));
    world.image("shop:2");
    world.settle();
    world.kill_pods("shop:2");
    world.settle();
    let message = &world.status.message;
    assert!(world.phase() == Phase::Healthy && world.is("Stalled"), "{message}");
    assert!(message.contains("has no ready pod: pod shop-green-"), "{message}");
    assert!(message.contains("; revision 1 stands by with 3 ready pods. Roll back: kubectl annotate"), "{message}");
    world.order("rollback");
    world.run(60, |world| world.serves().as_deref() == Some("shop:1"));
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

/// The way back is not taken away beside a record that is still to be made.
// Found by attack.
#[test]
fn the_former_side_goes_only_after_a_new_leaders_record() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.run_until(Phase::ScalingDown);
    let from = world.now;
    world.now = Timestamp::from_second(world.now.as_second() + 60).unwrap();
    world.restart();
    // Nobody is gone for long: the time of the former side is over all the same.
    world.absence = Some(Absence { from: Some(world.now), to: Timestamp::from_second(from.as_second() + 60).unwrap() });
    world.look();
    assert!(matches!(decide(&world.seen()), Decision::Record(_)), "{:?}", decide(&world.seen()));
    world.operator();
    assert!(world.log.iter().any(|line| line.contains("scale  Deployment blue to 0")), "{}", world.story());
}

#[test]
fn zero_replicas_do_not_put_off_the_end_of_a_former_side() {
    let mut world = World::in_phase(json!({"scaleDown": {"drain": "1s", "after": "1s"}}), "shop:2", Phase::ScalingDown);
    world.change(json!({"replicas": 0}));
    world.run_for(10);
    assert_eq!((world.phase(), world.pods.len()), (Phase::Healthy, 0), "{}", world.story());
}
