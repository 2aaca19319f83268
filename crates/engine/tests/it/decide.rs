//! The loop, and the order in which things are done.

use crate::{edits::deployment, scene::strip_selector, world::World};
use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    Decision, Observed, Pass, Why, decide,
    decision::{Change, Object, Role},
    pass::{End, Step, TURNS},
};
use serde_json::json;

#[test]
fn protection_of_the_live_side_comes_before_a_record() {
    let mut world = World::live(json!({}));
    strip_selector(&mut world);
    world.change(json!({"replicas": 4}));
    let Decision::Act(effects) = decide(&world.seen()) else { panic!("{}", world.story()) };
    assert!(matches!(effects[..], [ref effect] if matches!(effect.change, Change::LeadService { role: Role::Active, .. })), "{effects:?}");
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
fn a_wait_never_ends_in_the_moment_in_which_it_begins() {
    let mut world = World::live_unarmed(json!({}));
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
    for _ in 0..TURNS {
        let Step::Record(status) = pass.saw(Box::new(world.seen())) else { panic!("it ended too early") };
        world.status = *status;
        pass.done();
    }
    assert_eq!(pass.saw(Box::new(world.seen())), Step::End(End::Unsettled));
}

/// Also while its time runs out.
#[test]
fn the_standby_is_put_right_before_a_record() {
    let mut world = World::in_phase(json!({}), "shop:2", Phase::ScalingDown);
    world.change(json!({"progressDeadline": "5m"}));
    let mut seen = world.seen();
    assert!(matches!(decide(&seen), Decision::Record(_)), "the generation is to be recorded");
    deployment(&mut seen.blue).labels_intact = false;
    let Decision::Act(effects) = decide(&seen) else { panic!() };
    assert!(
        matches!(effects[..], [ref effect] if matches!(effect.change, Change::WriteDeployment { color: Color::Blue, replicas: 3, .. }))
    );
    // What protects nobody comes after it.
    let mut seen = world.seen();
    let Some(preview) = seen.services.get_mut(&Role::Preview) else { panic!() };
    preview.labels_intact = false;
    assert!(matches!(decide(&seen), Decision::Record(_)));
}
