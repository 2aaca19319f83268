//! A candidate is deployed: its pods, its deadline.

use crate::{
    decided::{next, phase},
    edits::{green, later, refuse},
    scene::reason,
    world::{Ask, World},
};
use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Object, Role},
    observed::{Owner, Progress},
};
use serde_json::json;

#[test]
fn a_slow_candidate_that_advances_is_not_aborted() {
    let mut world = World::live(json!({"progressDeadline": "90s"}));
    world.image("shop:2-slow");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2-slow"));
}

#[test]
fn a_candidate_that_does_not_advance_is_aborted() {
    let mut world = World::live(json!({"progressDeadline": "90s"}));
    world.image("shop:3-unready");
    world.settle();
    assert_eq!((world.phase(), world.status.rejected.as_ref().unwrap().reason.as_str()), (Phase::Aborted, "ProgressDeadlineExceeded"));
    world.image("shop:4-slow");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:4-slow"), "after an abort the next deadline is a new one");
}

#[test]
fn a_long_pause_with_some_pods_ready_misses_no_deadline() {
    let mut world = World::live(json!({"progressDeadline": "5m", "replicas": 3}));
    world.image("shop:2-slow");
    world.run_for(10);
    world.pods.iter_mut().filter(|pod| pod.image == "shop:2-slow").take(1).for_each(|pod| pod.image = "shop:2".into());
    world.run_for(10);
    world.change(json!({"paused": true}));
    world.pods.iter_mut().filter(|pod| pod.image == "shop:2-slow").for_each(|pod| pod.image = "shop:2-unready".into());
    world.run_for(7200);
    world.change(json!({"paused": false}));
    world.run_for(60);
    assert_eq!(world.phase(), Phase::DeployingPreview, "{}", world.story());
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted);
}

// Found by attack.
#[test]
fn a_candidate_with_a_foreign_deployment_is_stalled() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.settle();
    world.deployments.get_mut(&Color::Blue).unwrap().owner = Owner::Foreign { who: "Deployment other".into(), adopt: false };
    world.deployments.get_mut(&Color::Blue).unwrap().resource_version += 1_000_000;
    world.image("shop:3");
    world.run_for(5000);
    assert!(world.is("Stalled"), "{} {}\n{}", world.phase(), world.status.message, world.story());
}

// Found by attack.
#[test]
fn a_retry_counts_progress_anew() {
    let mut world = World::live(json!({"progressDeadline": "60s", "promotion": {"mode": "Manual"}, "scaleDown": {"afterAbort": "0s"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.order("abort");
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted);
    let rejected = world.status.rejected.as_ref().unwrap().revision.clone();
    world.order_for("retry", &rejected);
    world.run_until(Phase::DeployingPreview);
    world.controllers();
    // One pod gets ready every 50 s: it advances.
    for pod in world.pods.iter_mut().filter(|pod| pod.color == Color::Green) {
        pod.image = "x-unready".into();
    }
    for _ in 0..3 {
        world.run_for(50);
        if let Some(pod) = world.pods.iter_mut().find(|pod| pod.image == "x-unready") {
            pod.image = "shop:2".into();
        }
        world.run_for(1);
    }
    world.run_for(5);
    assert_eq!(world.phase(), Phase::AwaitingPromotion, "{}", world.story());
}

// Found by attack.
#[test]
fn the_deadline_is_awaited_though_one_node_cannot_pull() {
    let mut world = World::live(json!({"progressDeadline": "10m"}));
    world.image("shop:2");
    world.run_until(Phase::DeployingPreview);
    world.controllers();
    let pod = world.pods.iter_mut().find(|pod| pod.color == Color::Green).unwrap();
    pod.image = "shop:2-missing".into();
    world.run_for(200);
    assert_eq!(world.phase(), Phase::DeployingPreview);
    let Decision::Wait { until, .. } = decide(&world.seen()) else { panic!() };
    assert!(until.is_some(), "nothing wakes it at the deadline\n{}", world.story());
}

/// Also when none were asked for as it was recorded.
// Found by attack.
#[test]
fn a_candidate_is_not_verified_before_it_has_pods() {
    let mut world = World::live(json!({"verification": {"checks": [{"name": "home", "http": {}}]}}));
    world.image("shop:2-crash");
    world.operator();
    world.change(json!({"replicas": 0}));
    world.run_for(10);
    world.change(json!({"replicas": 3}));
    world.operator();
    assert_eq!(world.phase(), Phase::DeployingPreview, "{}", world.story());
    world.settle();
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::Aborted, "Aborted"), "{}", world.story());
}

#[test]
fn a_candidate_with_refused_objects_is_not_given_up() {
    let mut world =
        World::in_phase(json!({"progressDeadline": "1m", "promotion": {"after": "1s"}}), "shop:2-unready", Phase::DeployingPreview);
    world.run_for(10);
    let mut seen = world.seen();
    seen.status.preview.as_mut().unwrap().replicas = 4;
    later(&mut seen, 60);
    const GREEN: Object = Object::Deployment(Color::Green);
    assert_eq!(phase(&seen, |_| {}), Phase::Aborting);
    assert_eq!(phase(&seen, |seen| refuse(seen, GREEN, seen.generation)), Phase::DeployingPreview);
    assert_eq!(phase(&seen, |seen| refuse(seen, GREEN, seen.generation - 1)), Phase::Aborting, "that was another spec");
    assert_eq!(
        phase(&seen, |seen| refuse(seen, Object::Deployment(Color::Blue), seen.generation)),
        Phase::Aborting,
        "that is the live one"
    );
    assert_eq!(phase(&seen, |seen| refuse(seen, Object::Service(Role::Preview), seen.generation)), Phase::Aborting);
    fn revision(seen: &mut Observed) {
        let hash = seen.status.preview.as_ref().unwrap().revision.clone();
        seen.revisions.iter_mut().find(|revision| revision.hash == hash).unwrap().owner = Owner::Orphan;
        refuse(seen, Object::Revision(hash), seen.generation);
    }
    assert_eq!(phase(&seen, revision), Phase::DeployingPreview);
    let status = next(&seen, revision);
    assert!(status.message.starts_with("The API server refused ControllerRevision shop-"), "{}", status.message);
}

/// What is to come of them is time, and no clock of ours is shorter than that.
#[test]
fn ready_pods_that_must_stay_ready_are_not_given_up() {
    let mut world =
        World::in_phase(json!({"progressDeadline": "90s", "promotion": {"after": "1s"}}), "shop:2-unready", Phase::DeployingPreview);
    world.run_for(10);
    let mut seen = world.seen();
    seen.ask(|spec| spec.min_ready_seconds = Some(700));
    for side in [&mut seen.blue, &mut seen.green] {
        side.deployment.as_mut().unwrap().min_ready_seconds = 700;
        side.pods.iter_mut().for_each(|pod| (pod.ready, pod.trouble) = (true, None));
    }
    let (revision, at) = (green(&mut seen).revision.clone(), seen.now);
    seen.green.progress =
        Some(Progress { revision, generation: 1, high_water: 3, at, short_since: None, failing_since: None, none_since: None });
    assert_eq!(phase(&seen, |seen| later(seen, 600)), Phase::DeployingPreview);
    assert_eq!(phase(&seen, |seen| later(seen, 900)), Phase::Aborting);
}
