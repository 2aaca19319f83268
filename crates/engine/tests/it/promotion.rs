//! The switch: recorded, made, seen, withdrawn.

use crate::world::Ask;
use crate::{
    decided::{next, phase},
    edits::{Edit, active, deployment, later},
    scene::{a_new_image_ends_a_switch_that_is_refused, reason, unready},
    world::World,
};
use bluegreen_api::{Color, Outcome as Ended, Phase};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Object, Role},
    observed::{EndpointSeen, Owner, PodSeen},
};
use jiff::Timestamp;
use serde_json::json;

/// They are shown, and are no fault of the release.
#[test]
fn endpoint_slices_that_lag_hold_the_switch() {
    let mut world = World::live(json!({}));
    world.slices_follow = false;
    world.image("shop:2");
    world.run_for(3600);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::Promoting, "EndpointsStale"), "{}", world.story());
    world.slices_follow = true;
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
}

#[test]
fn a_slow_control_plane_and_one_unready_look_are_no_bad_release() {
    let mut world = World::live_unarmed(json!({"progressDeadline": "2m"}));
    world.slices_follow = false;
    world.image("shop:2");
    world.run_until(Phase::Promoting);
    world.run_for(3600);
    // An edit by hand that the Deployment controller hasn't taken up yet, long after the phase began.
    world.deployments.get_mut(&Color::Green).unwrap().generation += 1;
    world.operator();
    assert_eq!(world.phase(), Phase::Promoting, "{}", world.story());
    world.slices_follow = true;
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
}

/// Pods are lost between the record and the act.
// Found by attack.
#[test]
fn a_switch_needs_a_full_side_also_after_its_record() {
    let mut world = World::live_unarmed(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    unready(&mut world, "shop:2", 2);
    world.controllers();
    world.operator();
    let selected = world.services["active"].selector["bluegreen.dev/color"].clone();
    assert_eq!(selected, "blue", "switched to 1 of 3 ready pods\n{}", world.story());
}

// Found by attack.
#[test]
fn a_stripped_selector_permits_no_withdrawn_candidate() {
    let mut world = World::live_unarmed(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    unready(&mut world, "shop:1", 1);
    world.services.get_mut("active").unwrap().selector.clear();
    world.services.get_mut("active").unwrap().resource_version += 1_000_000;
    world.image("shop:1");
    world.operator();
    world.controllers();
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

// Found by attack.
#[test]
fn a_switch_with_a_foreign_active_service_is_stalled() {
    let mut world = World::live_unarmed(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    world.services.get_mut("active").unwrap().owner = Owner::Foreign { who: "Helm".into(), adopt: false };
    world.services.get_mut("active").unwrap().resource_version += 1_000_000;
    world.run_for(5000);
    assert!(world.is("Stalled"), "{} {}\n{}", world.phase(), world.status.message, world.story());
}

// Found by attack.
#[test]
fn the_switch_is_announced_also_with_never() {
    let mut world = World::live(json!({"scaleDown": {"after": "Never"}}));
    world.image("shop:2");
    world.settle();
    assert!(world.log.iter().any(|line| line.contains("event  Normal Promoted")), "{}", world.story());
}

// Found by attack.
#[test]
fn promoting_with_zero_replicas_says_so() {
    let mut world = World::live_unarmed(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    world.kill_pods("shop:2");
    world.change(json!({"replicas": 0}));
    world.run_for(5000);
    assert!(
        world.pods.is_empty() || world.is("Stalled") || reason(&world) == "NoReplicas",
        "{} {}\n{}",
        world.phase(),
        world.status.message,
        world.story()
    );
}

// Found by attack.
#[test]
fn a_service_handed_over_is_switched_without_live_pods() {
    let mut world = World::live(json!({}));
    world.kill_pods("shop:1");
    world.services.get_mut("active").unwrap().owner = Owner::Foreign { who: "nobody".into(), adopt: true };
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
}

/// Every ready pod of it, and no ready pod of another.
#[test]
fn the_switch_is_over_when_endpoints_hold_the_new_side() {
    let mut world = World::live_unarmed(json!({"monitoring": {"duration": "1h"}}));
    world.slices_follow = false;
    world.image("shop:2");
    world.run_until(Phase::Promoting);
    world.operator();
    let mut seen = world.seen();
    seen.endpoints.pods = seen.green.pods.iter().map(|pod| EndpointSeen { pod: pod.name.clone(), ready: true }).collect();
    fn former(seen: &Observed, ready: bool) -> EndpointSeen {
        EndpointSeen { pod: seen.blue.pods[0].name.clone(), ready }
    }
    let over = |edit: Edit| phase(&seen, edit) == Phase::Monitoring;
    assert!(over(|_| {}));
    assert!(!over(|seen| drop(seen.endpoints.pods.pop())), "one of the new side is not in yet");
    assert!(!over(|seen| seen.endpoints.pods[0].ready = false), "one of them is not ready there");
    assert!(!over(|seen| seen.endpoints.pods.push(former(seen, true))), "one of the former side is in still");
    assert!(over(|seen| seen.endpoints.pods.push(former(seen, false))), "it takes no new connections");
    assert!(!over(|seen| seen.endpoints.pods.clear()), "nobody is in");
    fn on_its_way_out(seen: &mut Observed) {
        seen.green.pods.push(PodSeen { name: "surplus".into(), deleting: true, ..seen.green.pods[0].clone() });
    }
    assert!(over(on_its_way_out), "a pod that goes is waited for no more");
    fn not_ready(seen: &mut Observed) {
        seen.green.pods.push(PodSeen { name: "surplus".into(), ready: false, ..seen.green.pods[0].clone() });
    }
    assert!(over(not_ready), "nor is one that isn't ready");
    fn of_another_revision(seen: &mut Observed) {
        seen.green.pods.push(PodSeen { name: "old".into(), revision: "old".into(), ..seen.green.pods[0].clone() });
        seen.endpoints.pods.push(EndpointSeen { pod: "old".into(), ready: true });
    }
    assert!(!over(of_another_revision), "a pod of an earlier template in the same color");
    assert!(!over(|seen| seen.green.pods.iter_mut().for_each(|pod| pod.revision = "old".into())));
}

#[test]
fn a_switch_is_withdrawn_only_when_the_new_side_is_lost() {
    let mut world = World::live_unarmed(json!({"progressDeadline": "1m", "monitoring": {"duration": "1h"}}));
    world.slices_follow = false;
    world.image("shop:2");
    world.run_until(Phase::Promoting);
    world.operator();
    let seen = world.seen();
    fn lose(seen: &mut Observed, count: usize) {
        seen.green.pods.iter_mut().take(count).for_each(|pod| pod.ready = false);
        let deployment = deployment(&mut seen.green);
        deployment.available -= i32::try_from(count).unwrap();
        deployment.ready = deployment.available;
        let now = Some(seen.now);
        let progress = seen.green.progress.as_mut().unwrap();
        (progress.short_since, progress.failing_since) = (now, now);
    }
    let outcome = |edit: Edit| {
        // Past the fence.
        let mut seen = seen.clone();
        edit(&mut seen);
        active(&mut seen).epoch = format!("{}.{}", seen.status.epoch + 1, seen.term);
        let status = next(&seen, |_| {});
        (status.phase.unwrap(), status.ending.map(|ending| (ending.outcome, ending.reason)))
    };
    let back = |reason: &str| (Phase::RollingBack, Some((Ended::RolledBack, reason.to_owned())));
    assert_eq!(outcome(|seen| lose(seen, 3)), back("LostReadiness"));
    assert_eq!(outcome(|seen| lose(seen, 2)), (Phase::Promoting, None));
    fn short_for(seen: &mut Observed, seconds: i64) {
        lose(seen, 1);
        later(seen, seconds);
    }
    assert_eq!(outcome(|seen| short_for(seen, 59)), (Phase::Promoting, None));
    assert_eq!(outcome(|seen| short_for(seen, 60)), back("LostReadiness"));
    fn short_of_late(seen: &mut Observed) {
        short_for(seen, 100);
        seen.green.progress.as_mut().unwrap().failing_since = Some(Timestamp::from_second(seen.now.as_second() - 30).unwrap());
    }
    assert_eq!(outcome(short_of_late), (Phase::Promoting, None), "the phase is old, and the trouble is not");
    fn of_another_revision(seen: &mut Observed) {
        short_for(seen, 60);
        seen.green.progress.as_mut().unwrap().revision = "other".into();
    }
    assert_eq!(outcome(of_another_revision), (Phase::Promoting, None), "it was another that was short");
    fn back_again(seen: &mut Observed) {
        let there = seen.green.clone();
        short_for(seen, 60);
        (seen.green.pods, seen.green.deployment) = (there.pods, there.deployment);
    }
    assert_eq!(outcome(back_again), (Phase::Promoting, None), "all are there again");
    fn no_pods(seen: &mut Observed) {
        lose(seen, 3);
        seen.ask(|spec| spec.replicas = 0);
    }
    assert_eq!(outcome(no_pods), (Phase::Promoting, None), "none are asked for");
    assert_eq!(
        outcome(|seen| seen.ask(|spec| spec.image = Some("shop:1".into()))),
        (Phase::RollingBack, Some((Ended::Reverted, "Reverted".to_owned())))
    );
    let mut ordered = seen.clone();
    let revision = seen.status.preview.as_ref().unwrap().revision.clone();
    ordered.annotations.insert("bluegreen.dev/abort".into(), revision);
    let Some(service) = ordered.services.get_mut(&Role::Active) else { panic!() };
    service.epoch = "1.1".into();
    let status = next(&ordered, |_| {});
    let ending = status.ending.unwrap();
    assert_eq!((ending.outcome, ending.reason.as_str(), ending.ordered), (Ended::RolledBack, "Ordered", true));
}

#[test]
fn an_edited_candidate_is_written_again_before_the_switch() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.run_for(5);
    world.order("promote");
    let seen = world.seen();
    assert_eq!(next(&seen, |_| {}).phase, Some(Phase::Promoting));
    // Its pods are there in full, of a template that passed nothing.
    let edited = |seen: &mut Observed| {
        let green = deployment(&mut seen.green);
        (green.generation, green.observed_generation) = (green.generation + 1, green.observed_generation + 1);
    };
    let waits = next(&seen, edited);
    assert_eq!(waits.phase, Some(Phase::ScalingUp));
    // That is no fault of its pods, however long it lasts.
    let mut much_later = Observed { status: waits, ..seen.clone() };
    edited(&mut much_later);
    later(&mut much_later, 3600);
    much_later.status.clock.as_mut().unwrap().accounted_until = Some(much_later.now);
    assert_eq!(next(&much_later, |_| {}).phase, Some(Phase::ScalingUp));
    // Nor is it where the edit comes after the decision.
    let mut promoting = seen.clone();
    promoting.status = next(&seen, |_| {});
    let switches = |seen: &Observed| match decide(seen) {
        Decision::Act(effects) => effects.iter().any(|effect| effect.object() == Object::Service(Role::Active)),
        _ => false,
    };
    assert!(switches(&promoting));
    edited(&mut promoting);
    assert!(!switches(&promoting));
    let told = next(&promoting, |seen| seen.refusals.clear()).message;
    assert!(told.ends_with("waiting until Deployment shop-green is restored to the recorded template"), "{told}");
    let green = deployment(&mut promoting.green);
    green.applied_generation = Some(green.generation);
    assert!(switches(&promoting));
}

/// The write of the Service may be on its way.
#[test]
fn a_new_candidate_waits_for_a_switch_that_nobody_refused() {
    let mut world = World::live_unarmed(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    unready(&mut world, "shop:2", 1);
    world.controllers();
    world.image("shop:3");
    world.run_for(5);
    let candidate = world.status.preview.as_ref().map(|side| side.image.as_str());
    assert_eq!((world.phase(), candidate), (Phase::Promoting, Some("shop:2")), "{}", world.story());
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:3"), "{}", world.story());
}

/// What refused it may be what `spec` was mended for. Once the Service is written, the next candidate waits.
#[test]
fn a_new_candidate_replaces_one_whose_switch_is_refused() {
    a_new_image_ends_a_switch_that_is_refused(World::live_unarmed(json!({})));
    let mut written = World::live_unarmed(json!({}));
    written.slices_follow = false;
    written.image("shop:2");
    written.run_until(Phase::Promoting);
    written.operator();
    written.image("shop:3");
    written.run_for(5);
    assert_eq!(written.status.preview.as_ref().map(|side| side.image.as_str()), Some("shop:2"), "{}", written.story());
}
