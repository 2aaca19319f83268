//! A record is withdrawn only after a fence at the object that it would have written. A leader that finds a fence of another
//! leader goes on only with a record of its own.

use crate::{
    edits::{Edit, active as active_service, blue, green},
    scene::unready,
    world::World,
};
use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Change, Guard, Object, Role},
    observed::Owner,
};
use serde_json::json;

/// Runs until the leader is about to do what `at` names, and freezes it there; another leads.
fn freeze_before(world: &mut World, at: impl Fn(&Change) -> bool) {
    let (seen, effects) = world.until_about_to(|_, effects| effects.iter().any(|effect| at(&effect.change)));
    world.freeze(seen, effects);
}

fn refused_late(world: &mut World) {
    let start = world.log.len();
    world.wake();
    world.controllers();
    assert!(world.log[start..].iter().any(|line| line.contains("409")), "the sleeper was not refused\n{}", world.story());
}

/// By a leader that froze before it and wakes after.
#[test]
fn a_withdrawn_switch_is_not_made_late() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    freeze_before(&mut world, |change| matches!(change, Change::LeadService { role: Role::Active, .. }));
    world.image("shop:1");
    world.operator();
    refused_late(&mut world);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

#[test]
fn a_scale_down_withdrawn_by_a_roll_back_is_not_made_late() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    freeze_before(&mut world, |change| matches!(change, Change::Scale { color: Color::Blue, replicas: 0 }));
    world.order("rollback");
    world.operator();
    refused_late(&mut world);
    assert_eq!((world.serves().as_deref(), world.ready("shop:1")), (Some("shop:1"), 3), "{}", world.story());
}

#[test]
fn a_scale_down_withdrawn_by_a_candidate_is_not_made_late() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    world.order("abort");
    world.run_until(Phase::Aborting);
    freeze_before(&mut world, |change| matches!(change, Change::Scale { color: Color::Green, replicas: 0 }));
    world.image("shop:3");
    world.operator();
    refused_late(&mut world);
}

#[test]
fn a_withdrawn_smaller_size_is_not_given_late() {
    let mut world = World::live(json!({}));
    world.change(json!({"replicas": 1}));
    freeze_before(&mut world, |change| matches!(change, Change::Scale { replicas: 1, .. }));
    world.change(json!({"replicas": 3}));
    world.operator();
    refused_late(&mut world);
    assert_eq!(world.ready("shop:1"), 3);
}

/// The real API server: an apply that changes nothing changes no resourceVersion.
// Found by attack.
#[test]
fn a_withdrawn_template_is_fenced_at_its_deployment() {
    let mut world = World::live(json!({"scaleDown": {"after": "Never"}}));
    world.image("shop:2");
    world.settle();
    world.image("shop:3");
    world.until_about_to_act_in(Phase::DeployingPreview);
    let seen = world.seen();
    let Decision::Act(effects) = decide(&seen) else { panic!() };
    assert!(effects.iter().any(|effect| matches!(&effect.change, Change::WriteDeployment { color: Color::Blue, .. })));
    let version = world.deployments[&Color::Blue].resource_version;
    world.sleeper = Some((seen, effects));
    world.restart();
    world.image("shop:1");
    for _ in 0..200 {
        world.look();
        let seen = world.seen();
        match decide(&seen) {
            Decision::Record(status) => world.record(*status),
            Decision::Act(effects) => {
                for effect in effects {
                    let before = world.deployments[&Color::Blue].clone();
                    world.perform_as_seen(&effect, &seen);
                    let after = world.deployments.get_mut(&Color::Blue).unwrap();
                    if (&before.revision, before.replicas, before.generation, &before.epoch)
                        == (&after.revision, after.replicas, after.generation, &after.epoch)
                    {
                        after.resource_version = before.resource_version;
                    }
                }
            }
            Decision::Wait { .. } => {
                if !world.controllers() {
                    world.pass_time(1)
                }
            }
        }
        if world.serves().as_deref() == Some("shop:1") {
            break;
        }
    }
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
    let fenced = world.deployments[&Color::Blue].resource_version != version;
    world.wake();
    assert!(fenced, "the sleeper re-templated what serves\n{}", world.story());
}

/// The model checker's story: a leader fences the switch it withdraws and freezes before it records that. The next leader sees pods
/// that are well again, and is about to switch; the sleeper's record must not slip in between.
// Found by attack.
#[test]
fn a_switch_is_not_made_beside_a_record_that_withdraws_it() {
    let mut world = World::live_unarmed(json!({"progressDeadline": "1m"}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    unready(&mut world, "shop:2", 1);
    world.pass_time(1);
    world.controllers();
    let (seen, effects) = world.until_about_to(|_, effects| matches!(effects[0].change, Change::Fence { .. }));
    world.perform_as_seen(&effects[0], &seen);
    assert!(matches!(decide(&world.seen()), Decision::Record(status) if status.phase == Some(Phase::Aborting)), "{}", world.story());
    // It freezes with that record in hand, and the pods come back.
    for pod in world.pods.iter_mut().filter(|pod| pod.image == "shop:2-unready") {
        (pod.image, pod.ready) = ("shop:2".into(), true);
    }
    world.controllers();
    world.restart();
    world.look();
    let next = decide(&world.seen());
    assert!(matches!(&next, Decision::Record(status) if status.phase == Some(Phase::Promoting)), "it acts beside the sleeper: {next:?}");
    world.operator();
    world.run_for(60);
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
}

/// The objects that are fenced first, each with its epoch; nothing if the withdrawal is recorded at once.
fn fenced(seen: &Observed, edit: Edit) -> Vec<(Object, String)> {
    let mut seen = seen.clone();
    edit(&mut seen);
    match decide(&seen) {
        Decision::Record(status) => {
            assert_eq!(status.epoch, seen.status.epoch + 1, "the record tells that something was withdrawn");
            vec![]
        }
        Decision::Act(effects) => effects
            .into_iter()
            .map(|effect| {
                assert!(matches!(effect.guard, Guard::ResourceVersion(_)));
                let Change::Fence { object, epoch } = effect.change else { panic!("{effect:?}") };
                (object, epoch)
            })
            .collect(),
        Decision::Wait { .. } => panic!("it waits"),
    }
}

/// A fence by this leader, for this withdrawal.
#[test]
fn a_switch_is_withdrawn_only_after_a_fence_at_its_service() {
    let mut world = World::live_unarmed(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    world.order("abort");
    world.term = 4;
    world.status.epoch = 6;
    let seen = world.seen();
    let fence = |epoch: &str| vec![(Object::Service(Role::Active), epoch.to_owned())];
    assert_eq!(fenced(&seen, |_| {}), fence("7.4"));
    assert_eq!(fenced(&seen, |seen| active_service(seen).epoch = "6.4".into()), fence("7.4"), "that was an earlier one");
    assert_eq!(fenced(&seen, |seen| active_service(seen).epoch = "7.3".into()), fence("7.4"), "that was another leader");
    assert_eq!(fenced(&seen, |seen| active_service(seen).epoch = "7.4".into()), []);
    assert_eq!(fenced(&seen, |seen| active_service(seen).owner = Owner::Foreign { who: "somebody".into(), adopt: true }), fence("7.4"));
    // What nobody writes needs no fence.
    assert_eq!(fenced(&seen, |seen| drop(seen.services.remove(&Role::Active))), []);
    assert_eq!(fenced(&seen, |seen| active_service(seen).deleting = true), []);
    assert_eq!(fenced(&seen, |seen| active_service(seen).owner = Owner::Former), []);
    assert_eq!(fenced(&seen, |seen| active_service(seen).owner = Owner::Foreign { who: "somebody".into(), adopt: false }), []);
}

#[test]
fn a_scale_down_is_withdrawn_only_after_a_fence() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::ScalingDown);
    world.order("rollback");
    world.status.epoch = 6;
    let seen = world.seen();
    let fence = vec![(Object::Deployment(Color::Blue), "7.1".to_owned())];
    assert_eq!(fenced(&seen, |_| {}), fence);
    assert_eq!(fenced(&seen, |seen| blue(seen).epoch = "7.0".into()), fence);
    assert_eq!(fenced(&seen, |seen| blue(seen).epoch = "7.1".into()), []);
    assert_eq!(fenced(&seen, |seen| blue(seen).deleting = true), []);
    assert_eq!(fenced(&seen, |seen| blue(seen).owner = Owner::Former), []);
    // Scaled down already, there is nothing left to withdraw.
    let mut done = seen.clone();
    blue(&mut done).replicas = 0;
    let Decision::Record(status) = decide(&done) else { panic!() };
    assert_eq!(status.epoch, 6);
}

/// Only with a record of its own does a leader go on that finds one.
#[test]
fn a_fence_of_another_leader_comes_before_a_record() {
    let mut world = World::live_unarmed(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    world.status.epoch = 6;
    let seen = world.seen();
    let goes_on = |edit: Edit| {
        let mut seen = seen.clone();
        edit(&mut seen);
        match decide(&seen) {
            Decision::Record(status) => (status.phase, status.epoch),
            Decision::Act(_) => (None, 0),
            Decision::Wait { .. } => panic!("it waits"),
        }
    };
    const ACTS: (Option<Phase>, i64) = (None, 0);
    assert_eq!(goes_on(|_| {}), ACTS);
    let first = |epoch| (Some(Phase::Promoting), epoch);
    assert_eq!(goes_on(|seen| active_service(seen).epoch = "7.9".into()), first(7));
    assert_eq!(goes_on(|seen| blue(seen).epoch = "8.1".into()), first(8));
    assert_eq!(goes_on(|seen| green(seen).epoch = "9.1".into()), first(9));
    assert_eq!(goes_on(|seen| (blue(seen).epoch, green(seen).epoch) = ("8.1".into(), "7.1".into())), first(8));
    for known in ["6.9", "5.1", "x", "7"] {
        let mut seen = seen.clone();
        active_service(&mut seen).epoch = known.into();
        assert!(matches!(decide(&seen), Decision::Act(_)), "{known}: nothing of a withdrawal that is on its way");
    }
}
