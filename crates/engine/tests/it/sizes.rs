//! How many pods each side is to have, in every phase.

use crate::world::Ask;
use crate::{
    decided::recorded,
    scene::{metric, reason},
    world::World,
};
use bluegreen_api::Phase;
use serde_json::json;

#[test]
fn a_smaller_size_with_a_candidate_waits_for_the_switch() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.change(json!({"image": "shop:2", "replicas": 1}));
    world.run_for(20);
    assert_eq!(world.ready("shop:1"), 3, "{}", world.story());
    world.order("promote");
    world.settle();
    assert_eq!((world.ready("shop:2"), world.ready("shop:1")), (1, 0));
}

#[test]
fn the_active_side_follows_replicas_beside_a_candidate() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}, "preview": {"replicas": "34%"}}));
    world.image("shop:2");
    world.run_for(20);
    assert_eq!((world.ready("shop:2"), world.ready("shop:1")), (2, 3), "34% of 3, rounded up");
    world.change(json!({"replicas": 5}));
    world.run_for(5);
    assert_eq!(world.ready("shop:1"), 5);
}

#[test]
fn a_candidate_is_brought_to_full_size_before_the_switch() {
    let spec = json!({"promotion": {"mode": "Manual"}, "preview": {"replicas": "34%"}});
    let mut world = World::in_phase(spec, "shop:2", Phase::AwaitingPromotion);
    world.change(json!({"replicas": 5}));
    world.run_for(5);
    assert_eq!(world.ready("shop:2"), 2);
    world.order("promote");
    world.run_until(Phase::Promoting);
    assert_eq!((world.ready("shop:2"), world.serves().as_deref()), (5, Some("shop:1")), "{}", world.story());
    world.settle();
    assert_eq!(world.ready("shop:2"), 5, "{}", world.story());
}

#[test]
fn zero_replicas_are_obeyed_at_once_and_gates_wait_for_replicas() {
    let mut world = World::live(json!({"verification": {"metrics": [metric(json!({}))]}}));
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.change(json!({"replicas": 0}));
    world.run_for(7200);
    assert_eq!((world.pods.len(), reason(&world).as_str()), (0, "NoReplicas"), "{}", world.story());
    world.change(json!({"replicas": 2}));
    world.settle();
    assert_eq!((world.serves().as_deref(), world.ready("shop:2")), (Some("shop:2"), 2));
}

#[test]
fn replicas_in_status_are_those_of_the_active_side() {
    let mut world = World::live(json!({}));
    assert_eq!(world.status.replicas, 3);
    world.change(json!({"replicas": 5}));
    world.settle();
    assert_eq!(world.status.replicas, 5);
    assert_eq!(world.status.selector, "bluegreen.dev/rollout=shop,bluegreen.dev/color=blue");
}

/// What the active side, the standby and the candidate are to have once `spec.replicas` is another.
fn sizes(world: &World, replicas: i32) -> [Option<i32>; 3] {
    let mut seen = world.seen();
    seen.ask(|spec| spec.replicas = replicas);
    seen.generation += 1;
    let status = recorded(seen);
    [&status.active, &status.standby, &status.preview].map(|side| side.as_ref().map(|side| side.replicas))
}

#[test]
fn a_candidate_follows_replicas_as_its_phase_asks() {
    let world = World::in_phase(json!({"promotion": {"mode": "Manual"}, "preview": {"replicas": 2}}), "shop:2", Phase::AwaitingPromotion);
    assert_eq!(sizes(&world, 3), [Some(3), None, Some(2)]);
    assert_eq!(sizes(&world, 5), [Some(5), None, Some(2)]);
    assert_eq!(sizes(&world, 1), [Some(1), None, Some(1)]);
    assert_eq!(sizes(&world, 0), [Some(0), None, Some(0)]);
    let mut world = World::live_unarmed(json!({"preview": {"replicas": 1}}));
    world.image("shop:2-slow");
    world.run_until(Phase::ScalingUp);
    world.operator();
    assert_eq!(sizes(&world, 3), [Some(3), None, Some(3)]);
    assert_eq!(sizes(&world, 5), [Some(5), None, Some(5)]);
    let mut world = World::live_unarmed(json!({}));
    world.slices_follow = false;
    world.image("shop:2");
    world.run_until(Phase::Promoting);
    world.operator();
    assert_eq!(sizes(&world, 5), [Some(5), None, Some(5)]);
    assert_eq!(sizes(&world, 1), [Some(3), None, Some(3)], "nobody shrinks during the switch");
}

#[test]
fn a_standby_only_grows_and_the_live_side_also_shrinks() {
    let world = World::in_phase(json!({"monitoring": {"duration": "1h"}}), "shop:2", Phase::Monitoring);
    assert_eq!(sizes(&world, 5), [Some(5), Some(3), None], "not before the live side has all its pods");
    assert_eq!(sizes(&world, 1), [Some(1), Some(3), None]);
    let mut world = world;
    let mut larger = world.clone();
    larger.change(json!({"replicas": 5}));
    larger.run_for(10);
    assert_eq!((larger.ready("shop:1"), larger.ready("shop:2")), (5, 5), "{}", larger.story());
    world.slices_follow = false;
    world.order("rollback");
    world.operator();
    assert_eq!(world.phase(), Phase::RollingBack);
    assert_eq!(sizes(&world, 5), [Some(5), Some(3), None]);
    assert_eq!(sizes(&world, 1), [Some(3), Some(3), None], "nobody shrinks during the switch");
    world.slices_follow = true;
    world.controllers();
    world.operator();
    assert_eq!(sizes(&world, 1), [Some(1), None, None], "the switch is over");
}

/// And only while it is asked for.
#[test]
fn only_a_smaller_size_that_comes_with_a_candidate_waits() {
    let comes_with = |replicas: i32| {
        let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
        world.change(json!({"image": "shop:2", "replicas": replicas}));
        world.operator();
        world
    };
    assert_eq!(comes_with(3).status.waiting_replicas, None);
    assert_eq!(comes_with(5).status.waiting_replicas, None);
    let world = comes_with(1);
    assert_eq!(world.status.waiting_replicas, Some(1));
    assert_eq!(sizes(&world, 1), [Some(3), None, Some(3)]);
    assert_eq!(sizes(&world, 2), [Some(2), None, Some(2)], "another size is another wish");
    let mut world = world;
    world.order("abort");
    world.operator();
    assert_eq!((world.status.waiting_replicas, world.status.active.unwrap().replicas), (None, 1), "the candidate it came with is gone");
}

#[test]
fn replicas_in_status_are_shown_once_settled() {
    let mut seen = World::live(json!({})).seen();
    seen.generation += 1;
    let Some(blue) = &mut seen.blue.deployment else { panic!() };
    (blue.replicas, blue.total, blue.updated, blue.available) = (3, 4, 3, 3);
    assert_eq!(recorded(seen.clone()).replicas, 3, "one more is on its way out");
    let Some(blue) = &mut seen.blue.deployment else { panic!() };
    blue.updated = 4;
    assert_eq!(recorded(seen).replicas, 4);
}
