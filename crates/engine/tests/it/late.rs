//! A watch that is down, or lags.

use crate::world::World;
use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Change, Object, Role},
    observed::{Late, ObjectKind},
};
use serde_json::json;

/// And nothing is written for it.
// Found by attack.
#[test]
fn nothing_goes_forward_while_a_watch_is_down() {
    let down = |world: &World| Late { kind: ObjectKind::Pod, why: "connection refused".into(), since: world.now };
    // A candidate that is all there, as far as the old caches tell.
    let mut world = World::live(json!({}));
    world.spec.image = Some("shop:2".into());
    world.generation += 1;
    world.until_about_to_act_in(Phase::Promoting);
    world.late = vec![down(&world)];
    let live = world.services["active"].selector.clone();
    world.run_for(5);
    assert_eq!((world.phase(), &world.services["active"].selector), (Phase::Promoting, &live), "the switch waits\n{}", world.story());
    world.late = vec![];
    world.settle();
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.story());
    // A new spec is not taken up, and after a while it is told why.
    world.spec.image = Some("shop:3".into());
    world.generation += 1;
    world.late = vec![down(&world)];
    let Decision::Wait { until: Some(until), .. } = decide(&world.seen()) else { panic!("{}", world.story()) };
    world.now = until;
    let Decision::Record(status) = decide(&world.seen()) else { panic!("{}", world.story()) };
    assert!(status.preview.is_none() && status.message.contains("can't watch pods: connection refused"), "{}", status.message);
}

// Found by attack.
#[test]
fn while_a_watch_is_down_the_way_back_and_repairs_go_on() {
    let mut world = World::live(json!({"monitoring": {"duration": "1h"}}));
    world.spec.image = Some("shop:2".into());
    world.generation += 1;
    world.run_until(Phase::Monitoring);
    world.late = vec![Late { kind: ObjectKind::Pod, why: "connection refused".into(), since: world.now }];
    world.services.get_mut("active").unwrap().selector.clear();
    assert!(matches!(decide(&world.seen()), Decision::Act(_)), "a stripped selector is put right");
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    world.annotations.insert("bluegreen.dev/rollback".into(), revision);
    world.settle();
    assert_eq!(world.phase(), Phase::RolledBack, "{}", world.story());
}

/// A roll back to a side that was scaled down already, and the world as the operator saw it while that side served.
fn rolling_back_slowly() -> (World, Observed) {
    let mut world = World::live(json!({}));
    let former = world.seen();
    world.image("shop:2");
    world.settle();
    world.order("rollback");
    world.until_about_to_act_in(Phase::RollingBack);
    assert!(world.status.ending.as_ref().is_some_and(|ending| ending.slow), "{}", world.story());
    (world, former)
}

fn switches(seen: &Observed) -> bool {
    let Decision::Act(effects) = decide(seen) else { return false };
    let active = Object::Service(Role::Active);
    effects.iter().any(|effect| effect.object() == active)
}

/// A watch of pods that lags without an error shows pods that were deleted long ago.
// Found by attack.
#[test]
fn a_side_is_not_ready_by_the_pods_of_its_former_life() {
    let (mut world, former) = rolling_back_slowly();
    for _ in 0..3 {
        world.look();
        let mut seen = world.seen();
        seen.blue.pods = former.blue.pods.clone();
        assert!(!switches(&seen), "{}", world.story());
        let Decision::Act(effects) = decide(&seen) else { break };
        effects.iter().for_each(|effect| world.perform_as_seen(effect, &seen));
    }
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

/// Nor when the watch of Deployments lags as well: a write of ours tells what is true.
// Found by attack.
#[test]
fn a_side_deployed_again_is_not_ready_before_its_write() {
    let (mut world, former) = rolling_back_slowly();
    world.restart();
    world.look();
    let mut seen = world.seen();
    seen.blue = former.blue;
    let Some(blue) = &mut seen.blue.deployment else { panic!() };
    // What another operator process wrote since is not known.
    blue.applied_generation = None;
    assert!(!switches(&seen), "{}", world.story());
}

/// The new side has lost its pods, and only the watch of Deployments tells so.
// Found by attack.
#[test]
fn pods_that_only_a_lagging_watch_shows_end_no_way_back() {
    let mut world = World::live(json!({"scaleDown": {"drain": "1s", "after": "1s"}}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::ScalingDown);
    let scales_down = |seen: &Observed| {
        let Decision::Act(effects) = decide(seen) else { return false };
        effects.iter().any(|effect| effect.change == Change::Scale { color: Color::Blue, replicas: 0 })
    };
    let mut seen = world.seen();
    assert!(scales_down(&seen), "{}", world.story());
    let Some(green) = &mut seen.green.deployment else { panic!() };
    (green.ready, green.available) = (0, 0);
    assert!(!scales_down(&seen));
}

#[test]
fn a_new_size_is_obeyed_when_a_watch_has_just_gone_down() {
    let mut world = World::live(json!({}));
    world.late = vec![Late { kind: ObjectKind::Pod, why: "connection refused".into(), since: world.now }];
    world.change(json!({"replicas": 5}));
    world.operator();
    assert_eq!(world.deployments[&Color::Blue].replicas, 5, "{}", world.story());
}
