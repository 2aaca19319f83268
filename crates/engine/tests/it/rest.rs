//! Nothing is under way.

use crate::{
    scene::{metric, reason, unready},
    world::World,
};
use bluegreen_api::Phase;
use bluegreen_engine::{Decision, decide};
use serde_json::json;

/// Nor before `spec` names another revision.
#[test]
fn a_rejected_revision_is_not_tried_again_before_a_retry() {
    let mut world = World::live(json!({}));
    world.image("shop:2-missing");
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted);
    assert!(world.is("Stalled") && !world.is("Promoted"));
    let attempt = world.status.attempt;
    world.change(json!({"progressDeadline": "5m"}));
    world.settle();
    assert_eq!(world.status.attempt, attempt, "a setting is no reason to try again");
    let revision = world.status.rejected.as_ref().unwrap().revision.clone();
    world.order_for("retry", &revision);
    world.run_for(5);
    assert_eq!((world.phase(), world.status.attempt), (Phase::DeployingPreview, attempt + 1));
    world.settle();
    world.image("shop:1");
    world.settle();
    assert_eq!((world.phase(), world.status.rejected.is_none()), (Phase::Healthy, true), "back to normal, no rollout");
    assert_eq!(world.status.attempt, attempt + 1);
}

#[test]
fn at_rest_nothing_is_written() {
    let mut world = World::live(json!({"monitoring": {"duration": "1m", "metrics": [metric(json!({}))]}}));
    world.image("shop:2");
    world.settle();
    let before = (world.writes, world.records);
    world.run_for(100_000);
    assert_eq!((world.writes, world.records), before);
}

#[test]
fn a_rollout_that_is_being_deleted_gets_no_effect() {
    let mut world = World::live(json!({}));
    world.services.clear();
    let mut seen = world.seen();
    seen.deleting = true;
    assert!(matches!(decide(&seen), Decision::Wait { .. }));
}

// Found by attack.
#[test]
fn a_rollback_with_nothing_to_go_back_to_is_answered() {
    let mut world = World::live(json!({}));
    world.order("rollback");
    world.run_for(60);
    assert!(world.status.message.contains("no former revision") || reason(&world) == "NoWayBack", "{}", world.status.message);
}

/// The story of a live revision that lost its pods and has no former one: what can't be done about it doesn't make it well.
// Found by attack.
#[test]
fn a_live_revision_without_pods_is_not_ready() {
    let mut world = World::live(json!({}));
    unready(&mut world, "shop:1", 3);
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    world.order_for("rollback", &revision);
    world.run_for(5);
    assert!(!world.is("Ready"), "{}", world.story());
    assert!(world.status.message.contains("no former revision is stored"), "{}", world.status.message);
}

#[test]
fn another_restart_of_a_live_pod_is_no_news() {
    let mut world = World::live(json!({"replicas": 2}));
    world.pods[0].image = "shop:1-crash".into();
    world.run_for(10);
    assert_eq!(world.condition("Ready").unwrap(), ("False".into(), "Degraded".into()), "{}", world.story());
    let records = world.records;
    for turn in 0..20 {
        world.pods[0].name = format!("shop-blue-again-{turn}");
        world.operator();
    }
    assert_eq!(world.records, records, "{}", world.story());
}
