//! A watch that is down, or lags.

use crate::world::World;
use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Change, Object, Role},
    observed::{Late, ObjectKind, Unread},
};
use serde_json::json;

/// And nothing is written for it.
// Found by attack.
#[test]
fn nothing_goes_forward_while_a_watch_is_down() {
    let down = |world: &World| Late { kind: ObjectKind::Pod, why: "connection refused".into(), since: world.now };
    // A candidate that is all there, as far as the old caches tell.
    let mut world = World::live_unarmed(json!({}));
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

fn unread(world: &World, kind: ObjectKind, name: &str) -> Unread {
    Unread { kind, name: name.into(), why: "invalid type: string, expected i32".into(), since: world.now }
}

/// It is there, and nobody knows what is in it: promise 14.
#[test]
fn an_object_that_cannot_be_read_holds_its_rollout_and_is_named() {
    for (kind, name, way) in [
        (ObjectKind::Service, "shop", "Correct it: kubectl edit service shop -n web"),
        (ObjectKind::Deployment, "shop-blue", "Correct it: kubectl edit deployment shop-blue -n web"),
        (ObjectKind::Pod, "shop-blue-1", "Delete it: kubectl delete pod shop-blue-1 -n web"),
        (ObjectKind::EndpointSlice, "shop-x", "Delete it: kubectl delete endpointslice shop-x -n web"),
        (ObjectKind::ControllerRevision, "shop-abc", "Correct it: kubectl edit controllerrevision shop-abc -n web"),
    ] {
        let mut world = World::live(json!({}));
        world.unread = vec![unread(&world, kind, name)];
        world.image("shop:2");
        world.settle();
        let message = &world.status.message;
        assert!(world.status.preview.is_none() && world.serves().as_deref() == Some("shop:1"), "{}", world.story());
        let stalled = world.status.conditions.iter().find(|condition| condition.type_ == "Stalled").unwrap();
        assert_eq!((stalled.reason.as_str(), stalled.status.as_str()), ("Unreadable", "True"));
        assert!(message.starts_with(&format!("On hold: the operator can't read {} {name}: invalid type", kind.one())), "{message}");
        assert!(message.ends_with(way), "{message}");
        world.unread = vec![];
        world.settle();
        assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
    }
}

/// After a restart nothing is known of it but that it is there.
#[test]
fn an_object_that_cannot_be_read_is_neither_made_nor_given_up() {
    let phases = [Phase::Healthy, Phase::DeployingPreview, Phase::Promoting, Phase::Monitoring, Phase::ScalingDown];
    for phase in phases {
        let live = if phase == Phase::Promoting { World::live_unarmed } else { World::live };
        let mut world = live(json!({"monitoring": {"duration": "1h"}, "scaleDown": {"drain": "1s", "after": "1h"}}));
        if phase != Phase::Healthy {
            world.image("shop:2");
            if phase == Phase::ScalingDown {
                world.run_until(Phase::Monitoring);
                world.order("accept");
            }
            world.run_until(phase);
        }
        let objects = [
            (Object::Service(Role::Active), ObjectKind::Service, "shop"),
            (Object::Service(Role::Preview), ObjectKind::Service, "shop-preview"),
            (Object::Deployment(Color::Blue), ObjectKind::Deployment, "shop-blue"),
            (Object::Deployment(Color::Green), ObjectKind::Deployment, "shop-green"),
        ];
        for (object, kind, name) in objects {
            let mut seen = world.seen();
            seen.unread = vec![unread(&world, kind, name)];
            match &object {
                Object::Service(role) => drop(seen.services.remove(role)),
                Object::Deployment(Color::Blue) => seen.blue.deployment = None,
                Object::Deployment(Color::Green) => seen.green.deployment = None,
                Object::Revision(_) => {}
            }
            // Whatever it recorded first.
            for _ in 0..3 {
                match decide(&seen) {
                    Decision::Act(effects) => {
                        assert!(effects.iter().all(|effect| effect.object() != object), "{phase:?}, {name}: {effects:?}");
                        break;
                    }
                    Decision::Record(next) => {
                        assert_eq!(
                            (next.phase, next.attempt, &next.active),
                            (Some(phase), seen.status.attempt, &seen.status.active),
                            "{name}"
                        );
                        assert!(next.message.contains(name), "{phase:?}: {}", next.message);
                        seen.status = *next;
                    }
                    Decision::Wait { .. } => break,
                }
            }
        }
    }
}

#[test]
fn what_can_be_read_beside_it_is_protected() {
    let mut world = World::live(json!({}));
    world.unread = vec![unread(&world, ObjectKind::Deployment, "shop-green")];
    world.services.get_mut("active").unwrap().selector.clear();
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "a stripped selector is put right\n{}", world.story());
}

/// Only what phases follow from has to be known for the way back: not each of the pods.
#[test]
fn a_pod_that_cannot_be_read_leaves_the_way_back_open() {
    let mut world = World::live(json!({"monitoring": {"duration": "1h"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.unread = vec![unread(&world, ObjectKind::Pod, "shop-green-1")];
    world.order("rollback");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")), "{}", world.story());
}
