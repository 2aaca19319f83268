//! A status that was lost, in whole or in part: what is rebuilt from what is there, and what is not believed.

use crate::world::Ask;
use crate::{
    edits::{active as active_service, deployment},
    scene::metric,
    world::World,
};
use bluegreen_api::{BlueGreenRolloutStatus, Color, Phase};
use bluegreen_engine::{
    Decision, Effect, Observed, decide,
    decision::{Change, Object, Role},
    observed::{ColorSeen, Owner},
};
use bluegreen_gates::reading::{CheckOutcome, Outcome};
use serde_json::{Value, json};

/// From what is there; no gate is skipped.
#[test]
fn a_lost_status_is_rebuilt_in_every_phase_with_all_gates() {
    for phase in
        [Phase::Healthy, Phase::DeployingPreview, Phase::Verifying, Phase::AwaitingPromotion, Phase::Monitoring, Phase::ScalingDown]
    {
        let mut world = World::live(json!({
            "promotion": {"mode": "Manual"}, "monitoring": {"duration": "1m"},
            "verification": {"metrics": [metric(json!({}))]}
        }));
        if phase != Phase::Healthy {
            world.image("shop:2");
            if phase > Phase::AwaitingPromotion {
                world.run_until(Phase::AwaitingPromotion);
                world.order("promote");
            }
            world.run_until(phase);
        }
        let (serves, pods) = (world.serves(), world.pods.clone());
        world.status = BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
        world.restart();
        world.operator();
        assert_eq!(world.serves(), serves, "{phase}\n{}", world.story());
        world.run_for(120);
        assert_eq!(world.serves(), serves, "an old approval counts for nothing: {phase}\n{}", world.story());
        let restarted =
            pods.iter().filter(|pod| Some(&pod.image) == serves.as_ref() && !world.pods.iter().any(|other| other.name == pod.name)).count();
        assert_eq!(restarted, 0, "{phase}\n{}", world.story());
    }
}

// Found by attack.
#[test]
fn rebuilt_status_never_makes_an_unverified_candidate_a_standby() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}, "monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.status = BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    world.restart();
    world.image("shop:3");
    world.run_for(5);
    world.kill_pods("shop:1");
    world.run_for(5);
    assert_ne!(world.serves().as_deref(), Some("shop:2"), "nobody approved shop:2\n{}", world.story());
}

// Found by attack.
#[test]
fn a_status_lost_with_the_live_deployment_promotes_nothing() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.status = BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    world.deployments.remove(&Color::Blue);
    world.restart();
    world.run_for(60);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "nobody approved shop:2\n{}", world.story());
}

/// When the Deployment is handed over.
// Found by attack.
#[test]
fn a_status_lost_with_the_live_labels_retemplates_nothing() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.status = BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    let blue = world.deployments.get_mut(&Color::Blue).unwrap();
    blue.labels_intact = false;
    blue.owner = Owner::Foreign { who: "nobody".into(), adopt: true };
    world.restart();
    world.image("shop:2");
    world.run_for(60);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "nobody approved shop:2\n{}", world.story());
}

/// Also with initial verification.
// Found by attack.
#[test]
fn a_lost_status_keeps_the_service_on_the_live_side() {
    let mut world = World::live(json!({}));
    world.change(json!({"verification": {"initial": true, "metrics": [metric(json!({}))]}}));
    world.settle();
    world.status = BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    world.restart();
    for pod in &mut world.pods {
        pod.ready = false;
    }
    world.controllers();
    world.operator();
    assert_ne!(world.services["active"].selector["bluegreen.dev/revision"], "none", "{}", world.story());
}

// Found by attack.
#[test]
fn a_lost_status_scales_nothing_also_while_paused() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.change(json!({"paused": true}));
    world.run_for(5);
    world.status = BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    world.restart();
    world.run_for(60);
    assert_eq!(world.ready("shop:2"), 3, "{}", world.story());
}

fn lose_status(seen: &mut Observed) {
    seen.status = BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
}

/// What is recorded in place of what was lost, when all that it had asked for is withdrawn.
fn rebuilt(seen: &Observed) -> BlueGreenRolloutStatus {
    let mut seen = seen.clone();
    loop {
        match decide(&seen) {
            Decision::Record(status) if status.phase.is_none() => seen.status = *status,
            Decision::Record(status) => return *status,
            Decision::Act(effects) => effects.into_iter().for_each(|effect| match effect.change {
                Change::Fence { object: Object::Service(Role::Active), epoch } => active_service(&mut seen).epoch = epoch,
                Change::Fence { object: Object::Deployment(Color::Blue), epoch } => deployment(&mut seen.blue).epoch = epoch,
                Change::Fence { object: Object::Deployment(Color::Green), epoch } => deployment(&mut seen.green).epoch = epoch,
                other => panic!("{other:?}"),
            }),
            other @ Decision::Wait { .. } => panic!("{other:?}"),
        }
    }
}

/// Revision 2 serves from green, revision 1 stands by at its side; the status is lost.
fn after_the_switch() -> Observed {
    let mut world = World::live(json!({"monitoring": {"duration": "1h"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    let mut seen = world.seen();
    lose_status(&mut seen);
    seen
}

#[test]
fn the_way_back_is_kept_if_the_service_shows_it_was_live() {
    let seen = after_the_switch();
    let status = rebuilt(&seen);
    let (active, standby) = (status.active.unwrap(), status.standby.unwrap());
    assert_eq!((status.phase, active.number, standby.number), (Some(Phase::Monitoring), 2, 1));
    assert_eq!((active.color, active.replicas, active.image.as_str()), (Color::Green, 3, "shop:2"));
    assert_eq!((standby.color, standby.replicas, standby.image.as_str()), (Color::Blue, 3, "shop:1"));
    assert_eq!(status.previous.map(|side| side.revision), Some(standby.revision));
    assert_eq!((status.revisions, status.attempt), (2, 2), "the next one is numbered 3");
    for lost in [None, Some("other".to_owned())] {
        let mut seen = seen.clone();
        active_service(&mut seen).former = lost;
        let status = rebuilt(&seen);
        assert_eq!((status.phase, status.standby, status.preview), (Some(Phase::Healthy), None, None), "nobody tells that it was live");
    }
    let mut seen = seen.clone();
    deployment(&mut seen.blue).replicas = 0;
    assert_eq!(rebuilt(&seen).phase, Some(Phase::Healthy), "without pods it is no way back");
}

#[test]
fn the_side_that_serves_is_found_by_service_pods_then_size() {
    let seen = after_the_switch();
    let active = |edit: fn(&mut Observed)| {
        let mut seen = seen.clone();
        edit(&mut seen);
        rebuilt(&seen).active.map(|side| side.color)
    };
    fn unready(color: &mut ColorSeen, count: usize) {
        color.pods.iter_mut().take(count).for_each(|pod| pod.ready = false);
    }
    assert_eq!(active(|seen| unready(&mut seen.green, 3)), Some(Color::Green), "where the Service leads");
    assert_eq!(active(|seen| active_service(seen).selector.clear()), Some(Color::Blue), "both are as good");
    fn blue_is_short(seen: &mut Observed) {
        active_service(seen).selector.clear();
        unready(&mut seen.blue, 1);
    }
    assert_eq!(active(blue_is_short), Some(Color::Green), "more pods are ready");
    fn blue_is_smaller(seen: &mut Observed) {
        active_service(seen).selector.clear();
        deployment(&mut seen.blue).replicas = 2;
    }
    assert_eq!(active(blue_is_smaller), Some(Color::Green), "it is the larger");
    fn green_is_handed_over(seen: &mut Observed) {
        active_service(seen).selector.clear();
        deployment(&mut seen.green).owner = Owner::Foreign { who: "somebody".into(), adopt: true };
        deployment(&mut seen.green).replicas = 5;
    }
    assert_eq!(active(green_is_handed_over), Some(Color::Green), "what was handed over and whose pods have a revision was a side before");
    fn green_is_foreign(seen: &mut Observed) {
        deployment(&mut seen.green).owner = Owner::Orphan;
        deployment(&mut seen.blue).revision.clear();
    }
    assert_eq!(active(green_is_foreign), Some(Color::Green), "an orphan is taken up, and what has no revision is none of ours");
}

#[test]
fn a_side_is_rebuilt_by_revision_else_spec_else_service() {
    let mut world = World::live(json!({}));
    world.change(json!({"image": "shop:2", "service": {"ports": [{"name": "http", "port": 8080, "targetPort": "http"}]}}));
    world.settle();
    let seen = {
        let mut seen = world.seen();
        lose_status(&mut seen);
        seen
    };
    let told = |edit: fn(&mut Observed)| {
        let mut seen = seen.clone();
        edit(&mut seen);
        let side = rebuilt(&seen).active.unwrap();
        (side.number, side.image, side.ports[0].port)
    };
    assert_eq!(told(|_| {}), (2, "shop:2".into(), 8080));
    fn forgotten(seen: &mut Observed) {
        seen.revisions.clear();
    }
    assert_eq!(told(forgotten), (1, "shop:2".into(), 8080), "spec still has it");
    fn spec_went_on(seen: &mut Observed) {
        seen.revisions.clear();
        seen.ask(|spec| spec.image = Some("shop:3".into()));
        seen.ask(|spec| spec.service.ports[0].port = 9090);
        active_service(seen).ports[0].port = 7070;
    }
    assert_eq!(told(spec_went_on), (1, String::new(), 7070), "the Service leads to it");
    fn nothing_tells(seen: &mut Observed) {
        spec_went_on(seen);
        active_service(seen).selector.clear();
    }
    assert_eq!(told(nothing_tells), (1, String::new(), 9090));
    fn without_ports(seen: &mut Observed) {
        seen.revisions.iter_mut().for_each(|revision| revision.ports.clear());
    }
    assert_eq!(told(without_ports).2, 8080, "a revision that tells no ports");
}

/// Orders given for it count no more.
#[test]
fn a_rebuilt_candidate_begins_its_gates_without_orders() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.order("promote");
    let mut seen = world.seen();
    lose_status(&mut seen);
    let status = rebuilt(&seen);
    assert_eq!((status.phase, status.preview.unwrap().number), (Some(Phase::AwaitingPromotion), 2));
    assert_eq!(status.orders.get("promote"), seen.annotations.get("bluegreen.dev/promote"));
    seen.ask(|spec| spec.image = Some("shop:3".into()));
    let status = rebuilt(&seen);
    assert_eq!(status.preview.unwrap().image, "shop:3", "the next one takes its color");
}

#[test]
fn the_rest_of_a_status_without_a_phase_is_not_believed() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}, "verification": {"checks": [{"name": "home", "http": {}}]}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    let mut seen = world.seen();
    seen.status.phase = None;
    let side = seen.status.active.clone();
    (seen.status.standby, seen.status.leaving, seen.status.previous) = (seen.status.preview.clone(), side.clone(), side);
    seen.status.waiting_replicas = Some(1);
    seen.status.orders.insert("abort".into(), "another".into());
    seen.green = ColorSeen::default();
    seen.ask(|spec| spec.image = Some("shop:1".into()));
    let status = rebuilt(&seen);
    assert_eq!(status.phase, Some(Phase::Healthy));
    assert_eq!((&status.standby, &status.preview, &status.leaving, &status.previous), (&None, &None, &None, &None));
    assert_eq!((status.gates.len(), status.waiting_replicas, status.ending, status.orders.len()), (0, None, None, 0));
    assert_eq!(status.current, None, "a story that nobody can tell");
}

#[test]
fn a_first_revision_without_traffic_is_still_the_first() {
    let mut world = World::new(json!({"verification": {"initial": true, "checks": [{"name": "home", "http": {}}]}}));
    world.gauge = |_, _, _| Outcome::Check(CheckOutcome::NotDone("no answer".into()));
    world.run_for(1);
    let mut seen = world.seen();
    lose_status(&mut seen);
    assert_eq!(rebuilt(&seen).phase, Some(Phase::Initializing));
    let mut other = seen.clone();
    other.ask(|spec| spec.image = Some("shop:2".into()));
    assert_eq!(rebuilt(&other).phase, Some(Phase::Initializing), "another one is the first to pass then");
    let revision = deployment(&mut seen.blue).revision.clone();
    let selector = &mut active_service(&mut seen).selector;
    selector.insert("bluegreen.dev/revision".into(), revision);
    assert_eq!(rebuilt(&seen).phase, Some(Phase::Healthy), "users are led to it");
}

#[test]
fn a_side_lost_with_its_revision_is_not_taken_up() {
    let mut seen = World::live(json!({})).seen();
    lose_status(&mut seen);
    seen.blue = ColorSeen::default();
    seen.revisions.clear();
    seen.ask(|spec| spec.image = Some("shop:2".into()));
    let status = rebuilt(&seen);
    assert_eq!((status.phase, status.active.unwrap().image.as_str()), (Some(Phase::Initializing), "shop:2"), "nobody can deploy shop:1");
}

/// A leader freezes with such effects in its hands, the status is lost, another leads and makes a new one; then the first one wakes.
fn lost_under_a_sleeper(spec: Value, such: impl Fn(&World, &[Effect]) -> bool) -> World {
    let mut world = World::live(spec);
    world.image("shop:2");
    let (seen, effects) = world.until_about_to(such);
    world.freeze(seen, effects);
    world.status = BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    world.operator();
    world.wake();
    world
}

#[test]
fn a_switch_of_a_lost_status_is_not_made_late() {
    let world =
        lost_under_a_sleeper(json!({"promotion": {"mode": "Automatic", "after": "1h"}}), |world, _| world.phase() == Phase::Promoting);
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::AwaitingPromotion, Some("shop:1")), "{}", world.story());
}

#[test]
fn a_scale_down_of_a_lost_status_is_not_made_late() {
    let goes = |_: &World, effects: &[Effect]| effects.iter().any(|effect| matches!(effect.change, Change::Scale { replicas: 0, .. }));
    let world = lost_under_a_sleeper(json!({"monitoring": {"duration": "1h"}}), goes);
    assert_eq!((world.phase(), world.deployments[&Color::Blue].replicas), (Phase::Monitoring, 3), "{}", world.story());
}

/// Above every fence of the time before: one of the same leader counts no more.
#[test]
fn a_lost_status_is_rebuilt_above_the_fences_of_the_time_before() {
    let mut seen = after_the_switch();
    active_service(&mut seen).epoch = format!("1.{}", seen.term);
    deployment(&mut seen.blue).epoch = "4.1".into();
    let mut epochs = vec![];
    for _ in 0..2 {
        match decide(&seen) {
            Decision::Record(status) => seen.status = *status,
            Decision::Act(effects) => effects.into_iter().for_each(|effect| match effect.change {
                Change::Fence { epoch, .. } => epochs.push(epoch),
                other => panic!("{other:?}"),
            }),
            other @ Decision::Wait { .. } => panic!("{other:?}"),
        }
    }
    assert_eq!(epochs, vec![format!("6.{}", seen.term); 3]);
}

/// The Service was seen before it was led elsewhere.
#[test]
fn a_lost_status_is_not_rebuilt_from_a_stale_service() {
    let mut world = World::in_phase(json!({"promotion": {"mode": "Manual"}}), "shop:2", Phase::AwaitingPromotion);
    let before = world.seen().service(Role::Active).cloned().unwrap();
    world.order("promote");
    world.settle();
    world.status = BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    let stale = |world: &World| {
        let mut seen = world.seen();
        seen.services.insert(Role::Active, before.clone());
        seen
    };
    let Decision::Record(status) = decide(&stale(&world)) else { panic!("it is recorded that it was lost") };
    world.record(*status);
    let seen = stale(&world);
    let Decision::Act(effects) = decide(&seen) else { panic!("{:?}", decide(&seen)) };
    effects.iter().for_each(|effect| world.perform_as_seen(effect, &seen));
    assert_eq!(world.services["active"].epoch, "", "the API server knows of another Service than was seen\n{}", world.story());
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
}

#[test]
fn a_rebuilt_side_learns_its_image_from_a_restored_revision() {
    let mut world = World::live(json!({}));
    world.spec.paused = true;
    world.image("shop:2");
    world.revisions.clear();
    world.status = BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    world.settle();
    assert_eq!(world.status.active.as_ref().map(|active| active.image.as_str()), Some("shop:1"), "{}", world.story());
}
