//! A candidate waits for approval or for its time.

use crate::{
    scene::{metric, reason},
    world::World,
};
use bluegreen_api::{Outcome as Ended, Phase};
use bluegreen_gates::reading::{Outcome, Reading};
use serde_json::json;

#[test]
fn an_approval_opens_the_gate_and_does_not_end_the_monitoring() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}, "monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_for(20);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::AwaitingPromotion, "AwaitingApproval"));
    assert!(world.is("Reconciling") && !world.is("Stalled"));
    world.order("promote");
    world.run_for(60);
    assert_eq!(world.phase(), Phase::Monitoring, "{}", world.story());
}

#[test]
fn an_approval_of_an_earlier_attempt_approves_nothing() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    let revision = world.status.preview.as_ref().unwrap().revision.clone();
    world.order("promote");
    world.settle();
    world.image("shop:3");
    world.run_for(20);
    world.order("promote");
    world.settle();
    // The annotation still names revision 2 in another writing: given again, then spent when the candidate is recorded.
    world.order_for("promote", &format!("{revision}/again"));
    world.image("shop:2");
    world.run_for(60);
    assert_eq!(world.phase(), Phase::AwaitingPromotion, "{}", world.story());
    world.order_for("promote", &format!("{revision}/now"));
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
}

#[test]
fn a_promote_before_a_gate_is_inconclusive_decides_nothing() {
    let mut world = World::live(json!({"verification": {"metrics": [metric(json!({}))]}}));
    world.gauge = |_, _, _| Outcome::reading(Reading::NoData);
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.order("promote");
    world.run_for(600);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::AwaitingPromotion, "Inconclusive"));
}

#[test]
fn a_candidate_without_approval_is_aborted_at_its_timeout() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual", "timeout": "10m"}}));
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.status.rejected.as_ref().unwrap().reason.as_str()), (Phase::Aborted, "PromotionTimedOut"));
}

/// Not by an order either.
#[test]
fn a_candidate_of_mode_never_is_verified_and_not_switched_to() {
    let mut world = World::live(json!({"promotion": {"mode": "Never", "timeout": "1h"}, "verification": {"metrics": [metric(json!({}))]}}));
    world.image("shop:2");
    world.run_for(600);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::AwaitingPromotion, "Verified"), "{}", world.story());
    let told = "Revision 2 (shop:2) is verified and stays in preview (promotion.mode Never) until ";
    assert!(world.status.message.starts_with(told), "{}", world.status.message);
    assert_eq!(world.ready("shop:2"), 3, "it is kept");
    world.order("promote");
    world.run_for(600);
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::AwaitingPromotion, Some("shop:1")), "{}", world.story());
    world.settle();
    assert_eq!((world.phase(), world.status.rejected.as_ref().unwrap().reason.as_str()), (Phase::Aborted, "PromotionTimedOut"));
    world.change(json!({"promotion": {"mode": "Automatic"}}));
    world.order_for("retry", &world.status.rejected.as_ref().unwrap().revision.clone());
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
}

#[test]
fn a_new_candidate_before_the_switch_replaces_the_old_one() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    world.image("shop:3");
    world.run_for(20);
    assert_eq!(world.status.preview.as_ref().unwrap().image, "shop:3");
    assert_eq!(world.status.history[0].outcome, Some(Ended::Superseded));
    assert_eq!(world.status.attempt, 3);
}

// Found by attack.
#[test]
fn an_inconclusive_gate_that_waits_writes_nothing() {
    let mut world = World::live(json!({"verification": {"metrics": [metric(json!({}))]}}));
    world.gauge = |_, _, _| Outcome::reading(Reading::NoData);
    world.image("shop:2");
    world.run_for(600);
    assert_eq!(reason(&world), "Inconclusive");
    let records = world.records;
    world.run_for(1000);
    assert_eq!(world.records - records, 0);
}

// Found by attack.
#[test]
fn the_approval_is_shown_beside_an_image_with_a_long_name() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image(&format!("registry.example/{}shop:2", "team/".repeat(40)));
    world.run_until(Phase::AwaitingPromotion);
    let revision = &world.status.preview.as_ref().unwrap().revision;
    assert!(world.status.message.ends_with(&format!("bluegreen.dev/promote={revision}")), "{}", world.status.message);
}
