//! A candidate is given up before the switch.

use crate::world::World;
use bluegreen_api::{Color, Outcome, Phase};
use bluegreen_engine::{decision::Object, observed::Owner};
use serde_json::json;

/// Users were there already: the selector that says otherwise was lost after the switch.
// Found by attack.
#[test]
fn a_candidate_goes_once_no_endpoint_leads_to_it() {
    let mut world = World::live_unarmed(json!({}));
    world.slices_follow = false;
    world.image("shop:2");
    world.run_until(Phase::Promoting);
    world.endpoints = world.pods.iter().filter(|pod| pod.image == "shop:2").map(|pod| pod.name.clone()).collect();
    world.services.get_mut("active").unwrap().selector.clear();
    world.image("shop:1");
    world.run_for(120);
    assert_eq!(world.ready("shop:2"), 3, "{}", world.story());
    assert!(world.status.message.contains("EndpointSlices of Service shop still list its pods"), "{}", world.story());
    world.slices_follow = true;
    world.settle();
    assert_eq!((world.phase(), world.ready("shop:2")), (Phase::Healthy, 0), "{}", world.story());
    assert_eq!(world.serves().as_deref(), Some("shop:1"));
}

// Found by attack.
#[test]
fn a_refused_scale_down_of_an_aborted_candidate_is_shown() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.refuse = Some((Object::Deployment(Color::Green), 403, "denied by a webhook".into()));
    world.order("abort");
    world.run_for(5000);
    assert!(world.status.message.contains("denied"), "{} {}", world.phase(), world.status.message);
}

/// Somebody took label and owner from it, and handed it over again, as the message asked.
// Found by attack.
#[test]
fn an_aborted_candidate_goes_though_handed_over_again() {
    let mut world = World::live(json!({"scaleDown": {"afterAbort": "30s"}}));
    world.image("shop:2-unready");
    world.run_until(Phase::DeployingPreview);
    world.order("abort");
    world.run_until(Phase::Aborting);
    world.deployments.get_mut(&Color::Green).unwrap().owner = Owner::Foreign { who: "somebody".into(), adopt: true };
    world.run_until(Phase::Aborted);
    assert_eq!(world.deployments[&Color::Green].replicas, 0, "{}", world.story());
}

/// The candidate was never seen by users, and nobody waits for it to have been looked at.
#[test]
fn a_roll_back_takes_the_color_of_an_aborted_candidate() {
    let mut world = World::live(json!({"scaleDown": {"drain": "1s", "after": "1s", "afterAbort": "1h"}}));
    world.image("shop:2");
    world.settle();
    world.image("shop:3-unready");
    world.run_until(Phase::DeployingPreview);
    world.order("abort");
    world.run_until(Phase::Aborting);
    world.run_for(5);
    let before = world.second();
    let live = world.status.active.as_ref().unwrap().revision.clone();
    world.order_for("rollback", &live);
    world.run(3600, |world| world.serves().as_deref() == Some("shop:1"));
    assert!(world.second() - before < 10, "{}", world.story());
    world.settle();
    assert_eq!(world.phase(), Phase::RolledBack);
    let ended: Vec<_> = world.status.history.iter().filter_map(|attempt| Some((attempt.number, attempt.outcome?))).collect();
    assert_eq!(ended[..2], [(2, Outcome::RolledBack), (3, Outcome::Aborted)], "{}", world.story());
}

/// There is nothing to go back to: what was begun goes on.
#[test]
fn a_roll_back_to_nothing_leaves_an_abort_as_it_is() {
    let mut world = World::in_phase(json!({"promotion": {"mode": "Manual"}}), "shop:2", Phase::AwaitingPromotion);
    world.order("abort");
    world.run_until(Phase::Aborting);
    let live = world.status.active.as_ref().unwrap().revision.clone();
    world.order_for("rollback", &live);
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Aborted, Some("shop:1")), "{}", world.story());
}

#[test]
fn a_candidate_that_is_given_up_goes_also_while_paused() {
    let mut world = World::in_phase(json!({"promotion": {"mode": "Manual"}}), "shop:2", Phase::AwaitingPromotion);
    world.change(json!({"paused": true}));
    world.run_for(5);
    world.order("abort");
    world.settle();
    assert_eq!((world.phase(), world.ready("shop:2")), (Phase::Aborted, 0), "{}", world.story());
}
