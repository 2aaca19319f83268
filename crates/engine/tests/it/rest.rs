//! Nothing is under way.

use crate::{
    scene::{metric, reason, unready},
    world::World,
};
use bluegreen_api::{Phase, Rejection, Side};
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

/// Revision 1 serves, revision 3 was given up by order, and so was revision 2 after that. `spec` asks for 3 all the time.
fn two_given_up() -> World {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}, "scaleDown": {"drain": "1s", "after": "1s"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.order("promote");
    world.settle();
    world.image("shop:3");
    world.run_until(Phase::AwaitingPromotion);
    world.order("abort");
    world.settle();
    world.order("rollback");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")), "{}", world.story());
    world
}

fn given_up(world: &World) -> Vec<i64> {
    world.status.rejections.iter().map(|rejection| rejection.number).collect()
}

#[test]
fn what_a_person_gave_up_stays_so_after_another_roll_back() {
    let mut world = two_given_up();
    assert_eq!(given_up(&world), [2, 3]);
    assert_eq!(world.status.rejected.as_ref().map(|rejected| rejected.number), Some(2), "the newest");
    let named = world.status.rejections[1].revision.clone();
    let (message, attempt) = (&world.status.message, world.status.attempt);
    assert!(message.contains("Revision 2 (shop:2) was rolled back") && message.contains("; revision 3 of spec was given up before"));
    assert!(message.contains(&format!("bluegreen.dev/retry={named}")), "what spec asks for is tried again: {message}");
    // An earlier version knows of the newest alone, and this one's status is read by it too.
    world.order_for("retry", &world.status.rejected.as_ref().unwrap().revision.clone());
    world.run_for(60);
    assert_eq!((world.phase(), world.status.attempt), (Phase::RolledBack, attempt), "that one is not what spec asks for");
    world.order_for("retry", &named);
    world.run_until(Phase::AwaitingPromotion);
    assert_eq!((world.status.preview.as_ref().map(|side| side.number), given_up(&world)), (Some(3), vec![2]));
    world.image("shop:4");
    world.run_until(Phase::AwaitingPromotion);
    assert!(given_up(&world).is_empty(), "spec asks for another one");
}

#[test]
fn of_many_that_were_given_up_the_one_spec_names_stays() {
    let mut world = two_given_up();
    let (newest, named) = (world.status.rejections[0].clone(), world.status.rejections[1].clone());
    let others = (10..19).map(|number| Rejection { revision: format!("r{number}"), number, ..newest.clone() });
    world.status.rejections = others.chain([named]).collect();
    world.status.previous = world.status.active.clone().map(|side| Side { revision: newest.revision.clone(), number: 2, ..side });
    world.order("rollback");
    world.settle();
    assert_eq!(given_up(&world), [1, 2, 10, 11, 12, 13, 14, 15, 16, 3], "{}", world.story());
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
