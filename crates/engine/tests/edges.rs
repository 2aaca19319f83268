//! Edges of the rules: the exact second, the order of what is done, the times and words that people and tools read.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod world;

use bluegreen_api::Phase;
use bluegreen_engine::{
    Decision, Observed, Pass, Why, decide,
    decision::{Change, Object, Role},
    pass::{End, Step},
};
use jiff::Timestamp;
use serde_json::json;
use world::World;

fn strip_selector(world: &mut World) {
    let service = world.services.get_mut("active").unwrap();
    service.selector.clear();
    service.resource_version += 1_000_000;
}

/// The fence of the active Service is refused: a switch was recorded, and `spec` went back.
fn fence_refused() -> World {
    let world = World::fence_refused();
    assert_eq!(world.phase(), Phase::Promoting, "{}", world.story());
    world
}

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
fn what_protects_the_live_side_is_done_before_anything_is_recorded() {
    let mut world = World::live(json!({}));
    strip_selector(&mut world);
    world.change(json!({"replicas": 4}));
    let Decision::Act(effects) = decide(&world.seen()) else { panic!("{}", world.story()) };
    assert!(matches!(effects[..], [ref effect] if matches!(effect.change, Change::ApplyService { role: Role::Active, .. })), "{effects:?}");
    world.settle();
    assert_eq!(world.ready("shop:1"), 4);
    // Unless what is about to be recorded changes where it belongs.
    let mut world = World::live(json!({"monitoring": {"duration": "1h"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    strip_selector(&mut world);
    world.order("rollback");
    assert!(matches!(decide(&world.seen()), Decision::Record(_)), "the way back is recorded first");
}

#[test]
fn with_a_fence_refused_what_protects_goes_on_and_the_next_try_is_awaited() {
    let mut world = fence_refused();
    let Decision::Wait { until: Some(until), .. } = decide(&world.seen()) else { panic!("{}", world.story()) };
    assert!(until > world.now && until.duration_since(world.now).as_secs() <= 10, "protection is tried again soon");
    world.now = until;
    assert!(matches!(decide(&world.seen()), Decision::Act(_)), "then, and not a moment later");
    world.deployments.remove(&bluegreen_api::Color::Blue);
    world.now = Timestamp::from_second(until.as_second() - 1).unwrap();
    let Decision::Act(effects) = decide(&world.seen()) else { panic!("{}", world.story()) };
    let blue = Object::Deployment(bluegreen_api::Color::Blue);
    assert!(effects.iter().all(|effect| effect.object() == blue), "the live side is put right meanwhile: {effects:?}");
}

#[test]
fn a_wait_never_ends_in_the_moment_in_which_it_begins() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.refuse = Some((Object::Service(Role::Active), 403, "denied by a webhook".into()));
    world.run_until(Phase::Promoting);
    for _ in 0..60 {
        world.operator();
        if let Decision::Wait { until, .. } = decide(&world.seen()) {
            assert!(until.is_none_or(|until| until > world.now), "{until:?} at {}", world.now);
        }
        world.pass_time(1);
    }
}

#[test]
fn the_end_of_a_wait_is_that_of_the_phase_also_while_a_refusal_is_told() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual", "timeout": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    let due = world.now.checked_add(jiff::SignedDuration::from_mins(10)).unwrap();
    // The preview Service is refused for so long that its next try comes after the timeout.
    world.refuse = Some((Object::Service(Role::Preview), 403, "denied by a webhook".into()));
    let service = world.services.get_mut("preview").unwrap();
    service.selector.clear();
    service.resource_version += 1_000_000;
    while world.now.duration_since(due).as_secs() < -20 {
        world.operator();
        let Decision::Wait { until: Some(until), .. } = decide(&world.seen()) else { panic!("{}", world.story()) };
        assert!(until <= due, "the timeout is awaited: {until}");
        assert!(world.status.message.contains("denied"), "{}", world.status.message);
        world.pass_time(1);
    }
    world.run_for(60);
    assert!(matches!(world.phase(), Phase::Aborting | Phase::Aborted), "{}", world.story());
}

#[test]
fn a_new_size_is_obeyed_also_in_the_first_moment_of_a_watch_that_is_down() {
    let mut world = World::live(json!({}));
    world.blind = Some(bluegreen_engine::observed::Blind { why: "pods: connection refused".into(), since: world.now });
    world.change(json!({"replicas": 5}));
    world.operator();
    assert_eq!(world.deployments[&bluegreen_api::Color::Blue].replicas, 5, "{}", world.story());
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

// === the loop ===

fn waits(_: &Observed) -> Decision {
    Decision::Wait { until: None, why: Why("nothing to do".into()) }
}

fn counts_up(seen: &Observed) -> Decision {
    let mut status = seen.status.clone();
    status.attempt += 1;
    Decision::Record(Box::new(status))
}

#[test]
fn the_loop_keeps_what_it_saw_and_decided() {
    let world = World::live(json!({}));
    let mut pass = Pass::new(waits);
    assert!(pass.seen().is_none() && pass.last().is_none());
    assert!(matches!(pass.saw(Box::new(world.seen())), Step::End(End::Wait { .. })));
    assert!(pass.seen().is_some_and(|seen| seen.name == "shop"));
    let mut pass = Pass::new(counts_up);
    assert!(matches!(pass.saw(Box::new(world.seen())), Step::Record(_)));
    assert!(matches!(pass.last(), Some(Decision::Record(_))) && pass.done() == Step::Look);
    assert_eq!(pass.saw(Box::new(world.seen())), Step::End(End::SameAgain), "the same once more, though it was done");
}

#[test]
fn the_loop_ends_after_so_many_turns_and_not_before() {
    let mut world = World::live(json!({}));
    let mut pass = Pass::new(counts_up);
    for _ in 0..bluegreen_engine::pass::TURNS {
        let Step::Record(status) = pass.saw(Box::new(world.seen())) else { panic!("it ended too early") };
        world.status = *status;
        pass.done();
    }
    assert_eq!(pass.saw(Box::new(world.seen())), Step::End(End::Unsettled));
}

// === conditions ===

#[test]
fn promoted_is_true_only_while_what_spec_asks_for_is_live_and_watched_no_more() {
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
