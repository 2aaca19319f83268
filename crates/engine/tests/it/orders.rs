//! Orders given by annotations.

use crate::{scene::reason, world::World};
use bluegreen_api::Phase;
use serde_json::json;

#[test]
fn an_order_that_names_another_revision_does_nothing() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    for verb in ["promote", "abort", "rollback", "pause"] {
        world.order_for(verb, "another");
    }
    world.run_for(20);
    assert_eq!(world.phase(), Phase::AwaitingPromotion);
}

#[test]
fn the_safer_of_contradictory_orders_wins() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    world.order("promote");
    world.order("abort");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Aborted, Some("shop:1")));

    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    world.order("promote");
    world.order("pause");
    world.settle();
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::AwaitingPromotion, "Paused"));

    let mut world = World::live(json!({"monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.order("accept");
    world.order("rollback");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")));
}

// Found by attack.
#[test]
fn a_retry_given_while_the_attempt_runs_starts_no_second_one() {
    let mut world = World::live(json!({"progressDeadline": "1m"}));
    world.image("shop:2-unready");
    world.run_until(Phase::DeployingPreview);
    world.order("retry");
    world.run_for(40);
    let attempt = world.status.attempt;
    world.settle();
    assert_eq!(world.status.attempt, attempt, "{}", world.story());
}
