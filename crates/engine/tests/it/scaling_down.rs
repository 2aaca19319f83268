//! The former side is drained, stands by and goes.

use crate::world::Ask;
use crate::{decided::next, edits::Edit, world::World};
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

// Found by attack.
#[test]
fn a_version_that_dies_in_scaling_down_shows_the_way_back() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.run_until(Phase::ScalingDown);
    world.kill_pods("shop:2");
    world.run_for(3600);
    assert_eq!(world.ready("shop:1"), 3, "the way back is kept\n{}", world.story());
    assert!(world.is("Stalled"), "rests without a word: {}\n{}", world.status.message, world.story());
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    assert!(world.status.message.contains(&format!("bluegreen.dev/rollback={revision}")), "{}", world.status.message);
    world.order_for("rollback", &revision);
    world.run_for(60);
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
    world.kill_pods("shop:2");
    world.run_for(10);
    let seen = world.seen();
    let stalled = |edit: Edit| next(&seen, edit).conditions.iter().any(|condition| condition.type_ == "Stalled");
    assert!(stalled(|_| {}), "it is kept for want of another that serves");
    assert!(!stalled(|seen| {
        seen.ask(|spec| spec.replicas = 0);
        seen.generation += 1;
    }));
}
