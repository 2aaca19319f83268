//! Conditions: what is true, and since when.

use crate::world::World;
use bluegreen_api::Phase;
use bluegreen_engine::{Decision, decide};
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

#[test]
fn pods_of_another_revision_make_no_side_ready() {
    let mut seen = World::live(json!({})).seen();
    seen.blue.pods.iter_mut().for_each(|pod| pod.revision = "other".into());
    let Decision::Record(status) = decide(&seen) else { panic!("it is not told") };
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Degraded"));
}
