//! The roll back, and what makes one possible.

use crate::{
    decided::{done, next},
    edits::{Edit, deployment, later, leave_ready},
    scene::{metric, reason, unready},
    world::World,
};
use bluegreen_api::{Color, Phase};
use bluegreen_engine::{Decision, Observed, decide, observed::PodSeen};
use bluegreen_gates::reading::{Outcome, Reading};
use jiff::SignedDuration;
use serde_json::{Value, json};

#[test]
fn endpoint_slices_are_late_only_long_after_pods_are_ready() {
    let mut world = World::in_phase(json!({"monitoring": {"duration": "1h"}}), "shop:2", Phase::Monitoring);
    world.kill_pods("shop:1");
    world.kill_pods("shop:2");
    world.run_for(600);
    world.slices_follow = false;
    world.heal_pods("shop:1");
    world.run_for(1);
    world.run_for(28);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::RollingBack, "RollingBack"), "{}", world.story());
    world.run_for(3);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::RollingBack, "EndpointsStale"), "{}", world.story());
    // By another clock they get ready in an hour.
    let hour = SignedDuration::from_hours(1);
    world.pods.iter_mut().for_each(|pod| pod.ready_changed = Some(world.now + hour));
    world.run_for(1);
    assert_eq!(reason(&world), "EndpointsStale", "{}", world.story());
}

/// Until then it holds, and shows why.
#[test]
fn with_both_sides_broken_a_fix_gets_through() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m"}, "progressDeadline": "1m"}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.kill_pods("shop:1");
    world.kill_pods("shop:2");
    world.run_for(30);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::RollingBack, "BothSidesBroken"), "{}", world.story());
    world.image("shop:3");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:3"), "{}", world.story());
}

// Found by attack.
#[test]
fn a_persons_rollback_speeds_up_a_roll_back_that_waits() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m", "metrics": [metric(json!({}))]}, "progressDeadline": "1m"}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    unready(&mut world, "shop:1", 1);
    world.gauge = |_, _, _| Outcome::reading(Reading::Value(0.5));
    world.run_for(30);
    assert_eq!(world.phase(), Phase::RollingBack);
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    world.order_for("rollback", &revision);
    world.run_for(30);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

// Found by attack.
#[test]
fn a_roll_back_that_never_gets_enough_pods_says_so() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m", "metrics": [metric(json!({}))]}, "progressDeadline": "1m"}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    unready(&mut world, "shop:1", 1);
    world.gauge = |_, _, _| Outcome::reading(Reading::Value(0.5));
    world.run_for(5000);
    assert_eq!(world.phase(), Phase::RollingBack);
    assert!(world.is("Stalled"), "rests without a word: {}\n{}", world.status.message, world.story());
}

// Found by attack.
#[test]
fn stale_slices_are_shown_in_a_roll_back_too() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.slices_follow = false;
    world.order("rollback");
    world.run_for(5000);
    assert!(reason(&world) == "EndpointsStale" || world.is("Stalled"), "{} {}\n{}", world.phase(), world.status.message, world.story());
}

// Found by attack.
#[test]
fn the_way_back_is_shown_also_in_a_long_message() {
    let metrics = json!([{"name": "errors", "prometheus": {"query": "e"}, "max": "1%"}]);
    let mut world = World::live(json!({"monitoring": {"duration": "1h", "metrics": metrics}, "progressDeadline": "1m"}));
    world.change(json!({"image": "registry.example/a-team-with-a-long-name/shop:2.0.0-crash"}));
    world.run_for(1);
    world.change(json!({"image": "registry.example/a-team-with-a-long-name/shop:3.0.0"}));
    world.run_until(Phase::Monitoring);
    let trouble =
        "the sentence that a webhook in the way of pods gave is as long as sentences of webhooks are, and longer than that. ".repeat(3);
    world.kill_pods("shop:1");
    world.gauge = |_, _, _| Outcome::reading(Reading::Value(1.0));
    world.run_until(Phase::RollingBack);
    let mut seen = world.seen();
    let Some(blue) = &mut seen.blue.deployment else { panic!() };
    blue.replica_failure = Some(trouble);
    let Decision::Record(status) = decide(&seen) else { panic!() };
    seen.status = *status;
    seen.now += SignedDuration::from_secs(61);
    let Decision::Record(status) = decide(&seen) else { panic!() };
    let revision = &status.active.as_ref().unwrap().revision;
    assert!(status.message.ends_with(&format!("bluegreen.dev/rollback={revision}")), "{}", status.message);
    assert!(status.message.chars().count() <= 256);
    // Once that was ordered it would change nothing more.
    seen.status = *status;
    let revision = seen.status.active.as_ref().unwrap().revision.clone();
    seen.annotations.insert("bluegreen.dev/rollback".into(), revision);
    let Decision::Record(status) = decide(&seen) else { panic!() };
    assert!(status.message.ends_with("still serves. Change spec.image to a fix"), "{}", status.message);
}

// Found by attack.
#[test]
fn a_paused_way_back_past_its_deadline_shows_ways_out() {
    let live = json!({"monitoring": {"duration": "1h"}, "progressDeadline": "1m"});
    let mut world = World::in_phase(live, "shop:2", Phase::Monitoring);
    world.kill_pods("shop:1");
    world.order("rollback");
    world.operator();
    world.order("pause");
    world.run_for(90);
    assert!(world.status.paused_by_order && world.is("Stalled"), "{}", world.story());
    // By order it goes back with one ready pod, and has none.
    assert!(world.status.message.ends_with(". Change spec.image to a fix"), "{}", world.status.message);
    world.image("shop:3");
    world.run_for(10);
    assert!(world.status.message.contains("bluegreen.dev/resume="), "what would take over waits: {}", world.status.message);
    world.order("resume");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:3"), "{}", world.story());
}

/// Both sides have ten pods, and three of the former one are lost to a node that is gone.
fn seven_of_ten() -> World {
    let spec = json!({"replicas": 10, "progressDeadline": "10m", "monitoring": {"duration": "1h", "metrics": [metric(json!({}))]}});
    let mut world = World::in_phase(spec, "shop:2", Phase::Monitoring);
    unready(&mut world, "shop:1", 3);
    world.run_for(60);
    world.gauge = |_, image, _| Outcome::reading(Reading::Value(if image == "shop:2" { 0.5 } else { 0.0 }));
    world.run_until(Phase::RollingBack);
    world
}

#[test]
fn a_standby_with_both_numbers_takes_over_when_no_pod_comes() {
    let mut world = seven_of_ten();
    assert_eq!(world.status.standby.as_ref().unwrap().ready_when_left, Some(10));
    world.run_for(40);
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RollingBack, Some("shop:2")), "{}", world.story());
    let message = &world.status.message;
    let numbers = "Rolling back to revision 1 waits for 8 ready pods (3/4 of the 10 it had) and half of revision 2's (5 of 10): ";
    assert!(message.starts_with(numbers) && message.contains(". Roll back now: kubectl annotate"), "{message}");
    // One more gets ready, and after it none.
    world.pods.iter_mut().find(|pod| pod.image == "shop:1-unready").unwrap().image = "shop:1".into();
    world.pass_time(1);
    let healed = world.second();
    world.run_for(25);
    assert_eq!((world.ready("shop:1"), world.serves().as_deref()), (8, Some("shop:2")), "{}", world.story());
    world.run(60, |world| world.serves().as_deref() == Some("shop:1"));
    assert!((30..32).contains(&(world.second() - healed)), "after {} s\n{}", world.second() - healed, world.story());
    world.settle();
    assert_eq!(world.phase(), Phase::RolledBack);
}

/// The side being left was scaled to four times as many.
#[test]
fn a_standby_has_half_as_many_pods_as_the_side_being_left() {
    let mut world = seven_of_ten();
    world.heal_pods("shop:1");
    let mut seen = world.seen();
    later(&mut seen, 60);
    let switches = |ready: usize, left: usize, size: i32| {
        let mut seen = seen.clone();
        seen.status.standby.as_mut().unwrap().replicas = size;
        leave_ready(&mut seen.blue, ready);
        let pod = seen.green.pods[0].clone();
        seen.green.pods = (0..left).map(|number| PodSeen { name: format!("left-{number}"), ready: true, ..pod.clone() }).collect();
        done(seen).iter().any(|what| what.starts_with("active Service to blue"))
    };
    assert!(switches(8, 10, 10) && !switches(7, 10, 10), "three quarters of the ten that it had");
    assert!(switches(10, 20, 20) && !switches(9, 20, 20) && !switches(10, 21, 20), "half of those that serve");
    assert!(switches(7, 7, 10), "as many as the side being left");
    assert!(switches(1, 0, 10), "users have nobody else");
}

/// Revision 2 serves, and revision 1 was scaled down long ago.
fn promoted(spec: Value) -> World {
    let mut world = World::live(spec);
    world.image("shop:2");
    world.settle();
    world
}

/// In the color that serves no user.
#[test]
fn a_former_revision_is_deployed_again_at_the_present_size() {
    let mut world = promoted(json!({"replicas": 5}));
    world.change(json!({"replicas": 2}));
    world.settle();
    world.order("rollback");
    let seen = world.seen();
    let standby = |edit: Edit| next(&seen, edit).standby.map(|side| (side.color, side.replicas, side.number));
    assert_eq!(standby(|_| {}), Some((Color::Blue, 2, 1)));
    assert_eq!(standby(|seen| seen.status.previous.as_mut().unwrap().color = Color::Green), Some((Color::Blue, 2, 1)));
    fn forgotten(seen: &mut Observed) {
        seen.revisions.retain(|revision| revision.number != 1);
    }
    assert_eq!(standby(forgotten), Some((Color::Blue, 2, 1)), "its Deployment is still there");
    fn gone(seen: &mut Observed) {
        forgotten(seen);
        deployment(&mut seen.blue).revision = "other".into();
    }
    assert_eq!(standby(gone), None, "nobody knows what it was");
    assert_eq!(standby(|seen| seen.status.previous = seen.status.active.clone()), None, "it is the live one");
    assert_eq!(standby(|seen| seen.status.previous = None), None);
}

/// One that was rolled back does not.
#[test]
fn only_a_reverted_revision_remains_a_way_back() {
    let mut world = World::in_phase(json!({"monitoring": {"duration": "1h"}}), "shop:2", Phase::Monitoring);
    let mut reverted = world.clone();
    world.order("rollback");
    world.settle();
    assert_eq!((world.phase(), &world.status.previous), (Phase::RolledBack, &None));
    reverted.image("shop:1");
    reverted.settle();
    assert_eq!((reverted.phase(), reverted.status.previous.map(|side| side.image)), (Phase::Healthy, Some("shop:2".into())));
}

#[test]
fn a_person_can_hurry_a_side_that_is_deployed_again() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.settle();
    world.order("rollback");
    world.run_until(Phase::RollingBack);
    world.controllers();
    for pod in world.pods.iter_mut().filter(|pod| pod.color == Color::Blue).skip(1) {
        pod.image = "shop:1-unready".into();
    }
    world.run_for(30);
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    world.order_for("rollback", &format!("{revision}/now"));
    world.run_for(1);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}
