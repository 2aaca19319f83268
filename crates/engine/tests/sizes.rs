//! How many pods each side is to have, in every phase; and how long a refused write waits.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod world;

use bluegreen_api::{BlueGreenRolloutStatus, Color, Phase};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Object, Role},
    observed::*,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use world::World;

/// The status that is recorded once nothing is left to record.
fn recorded(mut seen: Observed) -> BlueGreenRolloutStatus {
    for _ in 0..8 {
        match decide(&seen) {
            Decision::Record(status) => seen.status = *status,
            Decision::Act(_) | Decision::Wait { .. } => return seen.status,
        }
    }
    panic!("no end of records");
}

/// What the active side, the standby and the candidate are to have once `spec.replicas` is another.
fn sizes(world: &World, replicas: i32) -> [Option<i32>; 3] {
    let mut seen = world.seen();
    seen.spec.replicas = replicas;
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
    let mut world = World::live(json!({"preview": {"replicas": 1}}));
    world.image("shop:2-slow");
    world.run_until(Phase::ScalingUp);
    world.operator();
    assert_eq!(sizes(&world, 3), [Some(3), None, Some(3)]);
    assert_eq!(sizes(&world, 5), [Some(5), None, Some(5)]);
    let mut world = World::live(json!({}));
    world.slices_follow = false;
    world.image("shop:2");
    world.run_until(Phase::Promoting);
    world.operator();
    assert_eq!(sizes(&world, 5), [Some(5), None, Some(5)]);
    assert_eq!(sizes(&world, 1), [Some(3), None, Some(3)], "nobody shrinks during the switch");
}

#[test]
fn a_standby_grows_and_never_shrinks_and_the_live_side_does_both() {
    let world = World::in_phase(json!({"monitoring": {"duration": "1h"}}), "shop:2", Phase::Monitoring);
    assert_eq!(sizes(&world, 5), [Some(5), Some(5), None]);
    assert_eq!(sizes(&world, 1), [Some(1), Some(3), None]);
    let mut world = world;
    world.slices_follow = false;
    world.order("rollback");
    world.operator();
    assert_eq!(world.phase(), Phase::RollingBack);
    assert_eq!(sizes(&world, 5), [Some(5), Some(5), None]);
    assert_eq!(sizes(&world, 1), [Some(3), Some(3), None], "nobody shrinks during the switch");
    world.slices_follow = true;
    world.controllers();
    world.operator();
    assert_eq!(sizes(&world, 1), [Some(1), None, None], "the switch is over");
}

#[test]
fn only_a_smaller_size_that_comes_with_a_candidate_waits_and_only_while_it_is_asked_for() {
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
fn replicas_in_status_are_told_when_they_have_settled() {
    let mut seen = World::live(json!({})).seen();
    seen.generation += 1;
    let ObjectSeen::There(blue) = &mut seen.blue.deployment else { panic!() };
    (blue.replicas, blue.total, blue.updated, blue.available) = (3, 4, 3, 3);
    assert_eq!(recorded(seen.clone()).replicas, 3, "one more is on its way out");
    let ObjectSeen::There(blue) = &mut seen.blue.deployment else { panic!() };
    blue.updated = 4;
    assert_eq!(recorded(seen).replicas, 4);
}

#[test]
fn a_refused_write_is_tried_again_after_a_pause_that_doubles_and_has_an_end() {
    let seen = World::live(json!({})).seen();
    let pause = |role: Role, times: u32, generation: i64| {
        let mut seen = seen.clone();
        let (ObjectSeen::There(active), ObjectSeen::There(preview)) = (&mut seen.active_service, &mut seen.preview_service) else {
            panic!()
        };
        let service = if role == Role::Active { active } else { preview };
        service.labels_intact = false;
        seen.refusals = vec![Refusal { object: Object::Service(role), code: 500, message: "no".into(), at: seen.now, times, generation }];
        seen.status = recorded(seen.clone());
        match decide(&seen) {
            Decision::Wait { until, .. } => {
                let until = until.unwrap();
                let tried = Observed { now: until, ..seen.clone() };
                assert!(matches!(decide(&tried), Decision::Act(_)), "then it is tried");
                let not_yet = Timestamp::from_millisecond(until.as_millisecond() - 1).unwrap();
                assert!(matches!(decide(&Observed { now: not_yet, ..seen.clone() }), Decision::Wait { .. }), "and not before");
                until.duration_since(seen.now)
            }
            _ => SignedDuration::ZERO,
        }
    };
    let now = seen.generation;
    for (times, seconds) in [(0, 1), (1, 1), (2, 2), (4, 8), (9, 256), (10, 300), (40, 300)] {
        assert_eq!(pause(Role::Preview, times, now), SignedDuration::from_secs(seconds), "refused {times} times");
        assert_eq!(
            pause(Role::Active, times, now),
            SignedDuration::from_secs(seconds.min(10)),
            "it protects, and was refused {times} times"
        );
    }
    assert_eq!(pause(Role::Preview, 9, now - 1), SignedDuration::ZERO, "spec is another now");
}

#[test]
fn a_repair_that_was_refused_does_not_wait_for_a_clock_that_was_put_back() {
    let mut seen = World::live(json!({})).seen();
    let ObjectSeen::There(active) = &mut seen.active_service else { panic!() };
    active.labels_intact = false;
    let (object, generation) = (Object::Service(Role::Active), seen.generation);
    seen.refusals = vec![Refusal { object, code: 500, message: "no".into(), at: seen.now, times: 9, generation }];
    seen.status = recorded(seen.clone());
    let put_back = |seconds: i64| Observed { now: seen.now - SignedDuration::from_secs(seconds), ..seen.clone() };
    assert!(matches!(decide(&put_back(5)), Decision::Wait { .. }));
    assert!(matches!(decide(&put_back(3600)), Decision::Act(_)));
}

#[test]
fn a_revision_keeps_its_number_and_the_next_one_gets_the_next() {
    let mut world = World::live(json!({"scaleDown": {"drain": "0s", "after": "0s"}}));
    for (image, number) in [("shop:2", 2), ("shop:1", 1), ("shop:3", 3), ("shop:2", 2), ("shop:4", 4)] {
        world.image(image);
        world.settle();
        assert_eq!(world.status.active.as_ref().map(|side| side.number), Some(number), "{image}");
    }
    assert_eq!((world.status.revisions, world.status.attempt), (4, 6));
}

#[test]
fn a_resume_undoes_a_pause_given_before_and_not_one_given_with_it() {
    let mut world = World::in_phase(json!({"promotion": {"mode": "Manual"}}), "shop:2", Phase::AwaitingPromotion);
    world.order("resume");
    world.operator();
    assert!(!world.status.paused_by_order);
    world.order("pause");
    world.operator();
    assert!(world.status.paused_by_order);
    let revision = world.status.preview.as_ref().unwrap().revision.clone();
    world.order_for("resume", &format!("{revision}/2"));
    world.operator();
    assert!(!world.status.paused_by_order);
    world.order_for("pause", &format!("{revision}/3"));
    world.order_for("resume", &format!("{revision}/3"));
    world.operator();
    assert!(world.status.paused_by_order, "pause is the safer");
    assert_eq!(world.status.orders.len(), 2, "both are spent");
}

#[test]
fn a_person_can_hurry_a_side_that_is_deployed_again() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.settle();
    world.order("rollback");
    world.run_until(Phase::RollingBack);
    world.controllers();
    for pod in world.pods.iter_mut().filter(|pod| pod.color == Color::Blue).skip(1) {
        pod.image = "shop:1-unready".into();
    }
    world.run_for(30);
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    world.order_for("rollback", &format!("{revision}/now"));
    world.run_for(1);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}
