//! What is recorded may be withdrawn only after what it would have written has been written once more; and who finds that done by
//! another goes on only with a record of its own.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod world;

use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Change, Guard, Object, Role},
    observed::*,
};
use serde_json::json;
use world::World;

type Edit = fn(&mut Observed);

fn service(seen: &mut Observed) -> &mut ServiceSeen {
    let ObjectSeen::There(service) = &mut seen.active_service else { panic!() };
    service
}

fn green(seen: &mut Observed) -> &mut DeploymentSeen {
    let ObjectSeen::There(deployment) = &mut seen.green.deployment else { panic!() };
    deployment
}

fn blue(seen: &mut Observed) -> &mut DeploymentSeen {
    let ObjectSeen::There(deployment) = &mut seen.blue.deployment else { panic!() };
    deployment
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

#[test]
fn a_switch_is_withdrawn_only_after_the_service_was_written_by_this_leader_for_this_withdrawal() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    world.order("abort");
    world.term = 4;
    world.status.epoch = 6;
    let seen = world.seen();
    let fence = |epoch: &str| vec![(Object::Service(Role::Active), epoch.to_owned())];
    assert_eq!(fenced(&seen, |_| {}), fence("7.4"));
    assert_eq!(fenced(&seen, |seen| service(seen).epoch = "6.4".into()), fence("7.4"), "that was an earlier one");
    assert_eq!(fenced(&seen, |seen| service(seen).epoch = "7.3".into()), fence("7.4"), "that was another leader");
    assert_eq!(fenced(&seen, |seen| service(seen).epoch = "7.4".into()), []);
    assert_eq!(fenced(&seen, |seen| service(seen).owner = Owner::Foreign { who: "somebody".into(), adopt: true }), fence("7.4"));
    // What nobody writes needs no fence.
    assert_eq!(fenced(&seen, |seen| seen.active_service = ObjectSeen::Absent), []);
    assert_eq!(fenced(&seen, |seen| service(seen).deleting = true), []);
    assert_eq!(fenced(&seen, |seen| service(seen).owner = Owner::Former), []);
    assert_eq!(fenced(&seen, |seen| service(seen).owner = Owner::Foreign { who: "somebody".into(), adopt: false }), []);
}

#[test]
fn a_scale_down_is_withdrawn_only_after_the_deployment_was_written() {
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

#[test]
fn who_finds_a_fence_of_another_leader_records_before_it_goes_on() {
    let mut world = World::live(json!({}));
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
    assert_eq!(goes_on(|seen| service(seen).epoch = "7.9".into()), first(7));
    assert_eq!(goes_on(|seen| blue(seen).epoch = "8.1".into()), first(8));
    assert_eq!(goes_on(|seen| green(seen).epoch = "9.1".into()), first(9));
    assert_eq!(goes_on(|seen| (blue(seen).epoch, green(seen).epoch) = ("8.1".into(), "7.1".into())), first(8));
    for known in ["6.9", "5.1", "x", "7"] {
        let mut seen = seen.clone();
        service(&mut seen).epoch = known.into();
        assert!(matches!(decide(&seen), Decision::Act(_)), "{known}: nothing of a withdrawal that is on its way");
    }
}

#[test]
fn while_a_fence_is_refused_nothing_but_protection_is_written() {
    let world = World::fence_refused();
    let mut seen = world.seen();
    let ObjectSeen::There(preview) = &mut seen.preview_service else { panic!() };
    preview.selector.clear();
    assert!(matches!(decide(&seen), Decision::Wait { .. }), "{:?}", decide(&seen));
    blue(&mut seen).labels_intact = false;
    let Decision::Act(effects) = decide(&seen) else { panic!() };
    assert_eq!(effects.iter().map(|effect| effect.object()).collect::<Vec<_>>(), [Object::Deployment(Color::Blue)]);
}
