//! Conditions: what is true, and since when.

use crate::world::World;
use bluegreen_api::{Phase, Waiting};
use bluegreen_engine::{Decision, decide};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    let since = |world: &World, type_: &str| {
        let condition = world.status.conditions.iter().find(|condition| condition.type_ == type_).unwrap();
        condition.last_transition_time.0
    };
    let ready = since(&world, "Ready");
    world.run_for(100);
    world.image("shop:2");
    world.run_for(1);
    let changed = world.now;
    assert!(since(&world, "Ready") > ready, "it became False");
    assert!(since(&world, "Ready").duration_since(changed).abs().as_secs() <= 1 && since(&world, "Reconciling") == since(&world, "Ready"));
    let (ready, promoted) = (since(&world, "Ready"), since(&world, "Promoted"));
    world.run_for(60);
    assert_eq!(world.phase(), Phase::AwaitingPromotion);
    assert_eq!((since(&world, "Ready"), since(&world, "Promoted")), (ready, promoted), "another reason and message, the same status");
}

#[test]
fn promoted_is_true_only_while_spec_is_live_and_unwatched() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m"}}));
    let promoted = |world: &World| world.condition("Promoted").unwrap();
    assert_eq!(promoted(&world), ("True".into(), "Promoted".into()));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    assert_eq!(promoted(&world), ("False".into(), "Monitoring".into()), "it is live, and still watched");
    world.run_until(Phase::ScalingDown);
    assert!(world.is("Promoted"));
    world.settle();
    world.change(json!({"image": "shop:3", "paused": true}));
    world.run_for(5);
    assert_eq!(
        (world.phase(), promoted(&world)),
        (Phase::Healthy, ("False".into(), "Paused".into())),
        "nothing is under way, and yet it is not live"
    );
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// And costs no record, however long the wait.
#[test]
fn a_wait_has_its_begin_and_its_end_until_a_pause_moves_it() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual", "timeout": "10m"}}));
    assert_eq!(world.status.waiting, None, "at rest");
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    let (entered, records) = (world.now, world.records);
    let waits = Waiting { since: entered, until: Some(entered + seconds(600)) };
    for _ in 0..3 {
        assert_eq!(world.status.waiting.as_ref(), Some(&waits), "{}", world.story());
        world.run_for(100);
    }
    assert_eq!(world.records, records);
    world.order("pause");
    let paused = world.now;
    world.run_for(60);
    assert_eq!(world.status.waiting, Some(Waiting { since: paused, until: None }), "a person ends it: {}", world.story());
    world.order("resume");
    let resumed = world.now;
    world.run_for(60);
    let moved = Waiting { since: resumed, until: waits.until.map(|until| until + seconds(60)) };
    assert_eq!(world.status.waiting, Some(moved), "{}", world.story());
}

#[test]
fn an_end_that_moves_with_pods_is_not_recorded() {
    let mut world = World::live(json!({"scaleDown": {"drain": "20s", "after": "40s"}}));
    world.image("shop:2-slow");
    world.run_for(1);
    let begun = world.status.current.as_ref().unwrap().phases[0].at;
    let Decision::Wait { until, .. } = decide(&world.seen()) else { panic!("{}", world.story()) };
    let waiting = |world: &World| world.status.waiting.clone();
    assert_eq!((world.phase(), until.is_some()), (Phase::DeployingPreview, true), "it has a deadline, as its pods get on");
    assert_eq!(waiting(&world).map(|it| (it.since, it.until)), Some((begun, None)), "{}", world.story());
    world.run_until(Phase::ScalingDown);
    let switched: Timestamp = world.status.clock.as_ref().unwrap().since;
    assert!(world.is("Ready"));
    assert_eq!(waiting(&world).map(|it| it.until), Some(Some(switched + seconds(60))), "ready, and the former side has its end");
    world.settle();
    assert_eq!((world.phase(), waiting(&world)), (Phase::Healthy, None));
}

#[test]
fn pods_of_another_revision_make_no_side_ready() {
    let mut seen = World::live(json!({})).seen();
    seen.blue.pods.iter_mut().for_each(|pod| pod.revision = "other".into());
    let Decision::Record(status) = decide(&seen) else { panic!("it is not told") };
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Degraded"));
}
