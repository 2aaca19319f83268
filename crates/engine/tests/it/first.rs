//! The first revision: nothing serves before it.

use crate::world::Ask;
use crate::{
    decided::next,
    edits::Edit,
    scene::{metric, reason, value},
    world::World,
};
use bluegreen_api::{BlueGreenRolloutStatus, Color, Phase};
use bluegreen_engine::{Effect, Observed, decision::Change};
use bluegreen_gates::reading::{CheckOutcome, Outcome, Reading};
use serde_json::json;

#[test]
fn the_first_revision_serves_only_after_its_verification() {
    let mut world = World::new(json!({"verification": {"initial": true, "metrics": [metric(json!({}))]}}));
    world.run_for(8);
    assert!(world.endpoints.is_empty() && world.pods.iter().any(|pod| pod.ready), "{}", world.story());
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:1")), "{}", world.story());
    let mut world = World::new(json!({"verification": {"initial": true, "metrics": [metric(json!({}))]}}));
    world.gauge = |_, _, _| value(1.0);
    world.settle();
    assert_eq!((world.phase(), world.is("Stalled"), world.endpoints.len()), (Phase::Initializing, true, 0), "{}", world.story());
    assert!(world.status.rejected.is_none());
}

/// `shop:1` fails its gates, and what comes after it passes.
fn failed_first() -> World {
    let mut world = World::new(json!({"verification": {"initial": true, "metrics": [metric(json!({}))]}}));
    world.gauge = |_, image, _| value(if image == "shop:1" { 1.0 } else { 0.0 });
    world.settle();
    assert!(world.is("Stalled") && world.ready("shop:1") == 3, "{}", world.story());
    world
}

#[test]
fn a_first_revision_that_failed_serves_nobody_beside_a_fix() {
    for without_gates in [false, true] {
        let mut world = failed_first();
        world.image("shop:2");
        if without_gates {
            world.change(json!({"verification": null}));
        }
        while world.phase() != Phase::Healthy && world.second() < 600 {
            assert_ne!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
            world.run_for(1);
        }
        world.settle();
        assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
    }
    let mut world = failed_first();
    world.gauge = |_, _, _| value(1.0);
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.is("Stalled"), world.serves()), (Phase::Initializing, true, None), "{}", world.story());
}

#[test]
fn a_lost_status_makes_no_failed_first_revision_serve() {
    let mut world = failed_first();
    world.status = BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    world.run_for(120);
    assert_eq!((world.phase(), world.serves()), (Phase::Initializing, None), "{}", world.story());
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
}

#[test]
fn a_new_spec_takes_the_place_of_a_first_revision_in_trouble() {
    let mut world = World::new(json!({"image": "shop:1-missing"}));
    world.run_for(300);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::Initializing, "Hopeless"));
    assert!(world.is("Stalled") && world.status.message.contains("ImagePullBackOff"), "{}", world.status.message);
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")));
    assert_eq!(world.status.active.as_ref().unwrap().color, Color::Blue);
}

/// Also while it is paused.
#[test]
fn a_first_revision_past_its_deadline_is_stalled() {
    for paused in [json!({"paused": true}), json!({})] {
        let mut world = World::new(json!({"image": "shop:1-unready", "progressDeadline": "5m"}));
        world.run_for(5);
        world.change(paused.clone());
        if paused == json!({}) {
            world.order("pause");
        }
        world.run_for(400);
        assert_eq!((world.phase(), reason(&world).as_str()), (Phase::Initializing, "ProgressDeadlineExceeded"), "{}", world.story());
        assert!(world.is("Stalled"), "{}", world.status.message);
    }
}

#[test]
fn a_first_revision_that_serves_in_part_keeps_its_color() {
    let mut world = World::new(json!({}));
    world.run_for(4);
    world.pods[0].image = "shop:1-unready".into();
    world.status.phase = Some(Phase::Initializing);
    world.run_for(2);
    world.image("shop:2");
    world.run_for(1);
    assert_eq!(world.status.preview.as_ref().map(|side| side.color), Some(Color::Green), "{}", world.story());
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
}

#[test]
fn a_long_pause_while_verifying_the_first_misses_no_deadline() {
    let checks = json!([{"name": "home", "http": {}}]);
    let mut world = World::new(json!({"progressDeadline": "5m", "verification": {"initial": true, "checks": checks}}));
    world.gauge = |_, _, _| Outcome::Check(CheckOutcome::NotDone("no answer".into()));
    world.run_for(10);
    world.change(json!({"paused": true}));
    world.run_for(7200);
    world.kill_pods("shop:1");
    world.change(json!({"paused": false}));
    world.run_for(60);
    assert_ne!(reason(&world), "ProgressDeadlineExceeded", "{}", world.story());
    world.run_for(300);
    assert_eq!(reason(&world), "ProgressDeadlineExceeded", "{}", world.story());
}

// Found by attack.
#[test]
fn one_more_turn_of_a_crash_loop_writes_nothing() {
    let mut world = World::new(json!({"image": "shop:1-crash"}));
    world.run_for(3000);
    assert!(world.is("Stalled"));
    let records = world.records;
    for turn in 0..20 {
        for pod in &mut world.pods {
            pod.restarts += 1;
            pod.name = format!("{}-{turn}", pod.name);
        }
        world.operator();
    }
    assert_eq!(world.records, records, "{}", world.story());
}

// Found by attack.
#[test]
fn inconclusive_gates_of_the_first_revision_are_shown() {
    let mut world = World::new(json!({"verification": {"initial": true, "metrics": [metric(json!({}))]}}));
    world.gauge = |_, _, _| Outcome::reading(Reading::NoData);
    world.run_for(3000);
    assert!(world.is("Stalled") || reason(&world) == "Inconclusive", "{}", world.status.message);
}

/// It was about to be replaced.
// Found by attack.
#[test]
fn a_first_revision_that_spec_comes_back_to_stays_in_place() {
    let mut world = World::new(json!({}));
    world.operator();
    world.controllers();
    world.image("shop:2");
    let templates = |_: &World, effects: &[Effect]| effects.iter().any(|effect| matches!(effect.change, Change::WriteDeployment { .. }));
    world.until_about_to(templates);
    world.pass_time(3);
    world.controllers();
    world.image("shop:1");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:1")), "{}", world.story());
    assert!(!world.deployments.contains_key(&Color::Green), "{}", world.story());
}

#[test]
fn a_first_revision_is_replaced_in_place_unless_it_serves() {
    let mut world = World::new(json!({"image": "shop:1-slow"}));
    world.run_for(5);
    let mut seen = world.seen();
    seen.ask(|spec| spec.image = Some("shop:2".into()));
    let goes_to = |edit: Edit| {
        let status = next(&seen, edit);
        status.preview.or(status.active).map(|side| (side.number, side.color))
    };
    assert_eq!(goes_to(|_| {}), Some((2, Color::Blue)));
    assert_eq!(goes_to(|seen| seen.blue.pods[0].ready = true), Some((2, Color::Green)));
    fn going(seen: &mut Observed) {
        (seen.blue.pods[0].ready, seen.blue.pods[0].deleting) = (true, true);
    }
    assert_eq!(goes_to(going), Some((2, Color::Blue)), "it serves nobody for long");
    assert_eq!(goes_to(|seen| seen.ask(|spec| spec.paused = true)), Some((1, Color::Blue)));
    assert_eq!(goes_to(|seen| seen.ask(|spec| spec.replicas = 0)), Some((2, Color::Blue)), "no gate waits for pods yet");
}
