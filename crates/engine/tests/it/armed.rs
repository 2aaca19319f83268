//! The armed switch: decided with the candidate, where nothing but its pods stands before it.

use crate::{
    decided::{done, next},
    edits::{active, foreign, green, later, leave_ready, select},
    scene::{a_new_image_ends_a_switch_that_is_refused, metric, reason, unready},
    world::{Ask, World},
};
use bluegreen_api::{BlueGreenRolloutStatus, Outcome, Phase, PromotionMode};
use bluegreen_engine::{
    Decision, Effect, Observed, decide,
    decision::{Change, Object, Role},
    observed::{Late, ObjectKind},
};
use serde_json::{Value, json};

/// What comes between the decision and the pods.
type Comes = Box<dyn Fn(&mut Observed)>;

/// Its pods take six minutes.
fn starting(spec: Value) -> World {
    World::in_phase(spec, "shop:2-slow", Phase::DeployingPreview)
}

fn leads_the_active_service(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect.change, Change::LeadService { role: Role::Active, .. }))
}

/// With the write of the active Service in hand.
fn about_to_switch(spec: Value) -> (World, Observed, Vec<Effect>) {
    let mut world = World::live(spec);
    world.image("shop:2");
    let (seen, effects) = world.until_about_to(|_, effects| leads_the_active_service(effects));
    assert!(world.status.armed, "{}", world.story());
    (world, seen, effects)
}

#[test]
fn a_switch_is_armed_where_pods_alone_stand_before_it() {
    let armed = |spec: Value| starting(spec).status.armed;
    assert!(armed(json!({})));
    assert!(armed(json!({"monitoring": {"duration": "1m"}, "promotion": {"timeout": "1h"}, "preview": {"replicas": "100%"}})));
    assert!(!armed(json!({"verification": {"checks": [{"name": "home", "http": {}}]}})), "a gate");
    assert!(
        !armed(json!({"verification": {"metrics": [metric(json!({"dryRun": true}))]}})),
        "a gate that decides nothing, and is measured"
    );
    assert!(!armed(json!({"promotion": {"mode": "Manual"}})));
    assert!(!armed(json!({"promotion": {"mode": "Never"}})));
    assert!(!armed(json!({"promotion": {"after": "1s"}})));
    assert!(!armed(json!({"preview": {"replicas": 1}})), "more pods have to come before it");
}

/// Each takes the decision back, behind a fence, and none is passed over though the pods are there in the same moment.
#[test]
fn what_comes_between_arming_and_the_pods_takes_the_decision_back() {
    let (world, seen, _) = about_to_switch(json!({}));
    assert!(leads_the_active_service(&acts(&seen)), "{}", world.story());
    let candidate = world.status.preview.clone().unwrap().revision;
    let order = |verb: &str| {
        let (key, value) = (format!("bluegreen.dev/{verb}"), candidate.clone());
        move |seen: &mut Observed| drop(seen.annotations.insert(key.clone(), value.clone()))
    };
    let late = |kind: ObjectKind| move |seen: &mut Observed| seen.late.push(Late { kind, why: "no answer".into(), since: seen.now });
    let checks = json!({"checks": [{"name": "home", "http": {}}]});
    let comes: Vec<(&str, Comes)> = vec![
        ("a pause", Box::new(|seen| seen.ask(|spec| spec.paused = true))),
        ("a pause by order", Box::new(order("pause"))),
        ("an order to give it up", Box::new(order("abort"))),
        ("the other one", Box::new(order("rollback"))),
        ("another image", Box::new(|seen| seen.ask(|spec| spec.image = Some("shop:3".into())))),
        ("a revert", Box::new(|seen| seen.ask(|spec| spec.image = Some("shop:1".into())))),
        ("bad input", Box::new(|seen| seen.ask(|spec| spec.container = Some("nobody".into())))),
        ("a size of 0", Box::new(|seen| seen.ask(|spec| spec.replicas = 0))),
        ("a gate", Box::new(move |seen| seen.ask(|spec| spec.verification = serde_json::from_value(checks.clone()).unwrap()))),
        ("an approval", Box::new(|seen| promotion(seen, json!({"mode": "Manual"})))),
        ("no promotion at all", Box::new(|seen| promotion(seen, json!({"mode": "Never"})))),
        ("a time", Box::new(|seen| promotion(seen, json!({"after": "1h"})))),
        ("a watch of templates that is down", Box::new(late(ObjectKind::GateTemplate))),
    ];
    for (what, comes) in comes {
        let mut seen = seen.clone();
        seen.generation += 1;
        comes(&mut seen);
        let effects = acts(&seen);
        let fence = Object::Service(Role::Active);
        assert!(
            matches!(effects.as_slice(), [Effect { change: Change::Fence { object, .. }, .. }] if *object == fence),
            "{what}: {effects:?}"
        );
        active(&mut seen).epoch = format!("{}.{}", seen.status.epoch + 1, seen.term);
        let Decision::Record(status) = decide(&seen) else { panic!("{what}: nothing is recorded") };
        let another = status.preview.as_ref().is_some_and(|preview| preview.revision != candidate);
        assert!(!status.armed || another, "{what}: {}", status.message);
        assert!(status.epoch > seen.status.epoch, "{what}");
        seen.status = *status;
        assert!(!leads_the_active_service(&acts(&seen)), "{what}: it is switched all the same");
    }
}

/// What is recorded once the active Service is fenced.
fn recorded_fenced(seen: &Observed, comes: fn(&mut Observed)) -> BlueGreenRolloutStatus {
    let mut seen = seen.clone();
    seen.generation += 1;
    comes(&mut seen);
    active(&mut seen).epoch = format!("{}.{}", seen.status.epoch + 1, seen.term);
    next(&seen, |_| {})
}

fn promotion(seen: &mut Observed, promotion: Value) {
    seen.ask(|spec| spec.promotion = serde_json::from_value(promotion).unwrap());
}

fn acts(seen: &Observed) -> Vec<Effect> {
    match decide(seen) {
        Decision::Act(effects) => effects,
        Decision::Record(_) | Decision::Wait { .. } => vec![],
    }
}

#[test]
fn what_was_taken_back_is_not_armed_again() {
    let mut world = starting(json!({}));
    world.change(json!({"paused": true}));
    world.run_for(5);
    assert!(!world.status.armed && world.status.epoch == 1, "{}", world.story());
    world.change(json!({"paused": false}));
    world.run_for(5);
    assert_eq!((world.phase(), world.status.armed), (Phase::DeployingPreview, false));
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2-slow")), "{}", world.story());
    world.image("shop:3");
    world.run_for(1);
    assert!(world.status.armed, "another attempt is another matter\n{}", world.story());
}

/// It has the switch in hand, and wakes after another leader has taken it back.
#[test]
fn a_frozen_leader_with_an_armed_switch_writes_nothing() {
    for order in ["pause", "abort"] {
        let (mut world, seen, effects) = about_to_switch(json!({}));
        world.freeze(seen, effects);
        world.order(order);
        world.run_for(5);
        world.wake();
        world.run_for(5);
        assert_eq!(world.serves().as_deref(), Some("shop:1"), "{order}\n{}", world.story());
    }
}

#[test]
fn an_armed_switch_waits_for_pods_as_they_were_recorded() {
    let (_, seen, _) = about_to_switch(json!({}));
    let switches = |edit: fn(&mut Observed)| {
        let mut seen = seen.clone();
        edit(&mut seen);
        leads_the_active_service(&acts(&seen))
    };
    assert!(switches(|_| {}));
    assert!(!switches(|seen| leave_ready(&mut seen.green, 2)), "a pod was lost");
    fn edited(seen: &mut Observed) {
        let green = green(seen);
        (green.generation, green.observed_generation) = (green.generation + 1, green.observed_generation + 1);
    }
    assert!(!switches(edited), "somebody edited its Deployment");
    let told = next(&seen, |seen| {
        edited(seen);
        seen.refusals.clear();
    });
    assert!(told.message.ends_with("waiting until Deployment shop-green is restored to the recorded template"), "{}", told.message);
    assert!(!switches(|seen| active(seen).owner = foreign(false)), "the Service is somebody else's");
    fn more(seen: &mut Observed) {
        seen.generation += 1;
        seen.ask(|spec| spec.replicas = 5);
    }
    assert!(!switches(more), "more are asked for");
    let larger = next(&seen, more);
    assert!(larger.armed && larger.preview.unwrap().replicas == 5, "that is no reason to take it back");
}

/// Somebody leads users to the candidate by hand: too early that is put right. Once its pods are there it is where they would be led.
#[test]
fn a_service_led_by_hand_decides_nothing() {
    let mut world = starting(json!({}));
    world.run_for(5);
    let mut seen = world.seen();
    let candidate = seen.status.preview.clone().unwrap();
    select(active(&mut seen), &candidate);
    let blue = "active Service to blue: the Service selects another side than recorded";
    assert_eq!(done(seen.clone()), [blue]);
    let (_, mut ready, _) = about_to_switch(json!({}));
    let candidate = ready.status.preview.clone().unwrap();
    select(active(&mut ready), &candidate);
    assert_eq!(next(&ready, |seen| later(seen, 20)).phase, Some(Phase::Promoting), "where they would be led now");
    assert!(next(&ready, |seen| leave_ready(&mut seen.green, 2)).armed, "a pod is missing");
}

/// The Service is written, and nobody has recorded that yet.
#[test]
fn what_comes_after_an_armed_switch_was_made_finds_it_made() {
    let made = || {
        let (mut world, seen, effects) = about_to_switch(json!({"monitoring": {"duration": "1h"}}));
        world.slices_follow = false;
        effects.iter().for_each(|effect| world.perform_as_seen(effect, &seen));
        world
    };
    let mut paused = made();
    paused.change(json!({"paused": true}));
    paused.run_for(5);
    assert_eq!((paused.phase(), paused.status.epoch), (Phase::Promoting, 0), "{}", paused.story());
    let mut reverted = made();
    reverted.slices_follow = true;
    reverted.image("shop:1");
    reverted.settle();
    assert_eq!(reverted.status.history[0].outcome, Some(Outcome::Reverted), "{}", reverted.story());
    assert_eq!(reverted.serves().as_deref(), Some("shop:1"));
    let mut replaced = made();
    replaced.image("shop:3");
    replaced.run_for(5);
    assert_eq!(
        replaced.status.preview.as_ref().map(|side| side.image.as_str()),
        Some("shop:2"),
        "the next one waits\n{}",
        replaced.story()
    );
    let mut lost = made();
    unready(&mut lost, "shop:2", 3);
    lost.run_for(20);
    assert_eq!(lost.phase(), Phase::RolledBack, "{}", lost.story());
}

/// One record tells of the switch and of its endpoints, as long as these come in a moment.
#[test]
fn endpoints_that_lag_make_the_switch_a_phase_of_its_own() {
    let (mut world, seen, effects) = about_to_switch(json!({}));
    let records = world.records;
    world.slices_follow = false;
    effects.iter().for_each(|effect| world.perform_as_seen(effect, &seen));
    world.run_for(9);
    assert_eq!((world.phase(), world.records), (Phase::DeployingPreview, records), "{}", world.story());
    world.run_for(1);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::Promoting, "Promoting"), "{}", world.story());
    // A pod that got ready in times to come tells of another clock.
    let mut ahead = seen;
    select(active(&mut ahead), &world.status.preview.clone().unwrap());
    active(&mut ahead).former = ahead.status.active.as_ref().map(|side| side.revision.clone());
    assert_eq!(next(&ahead, |_| {}).phase, Some(Phase::DeployingPreview));
    later(&mut ahead, -1);
    assert_eq!(next(&ahead, |_| {}).phase, Some(Phase::Promoting));
    world.slices_follow = true;
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")));
}

/// It holds the write, and takes back nothing: as a rule it comes back in a moment.
#[test]
fn a_watch_that_is_late_holds_an_armed_switch() {
    let (world, mut seen, _) = about_to_switch(json!({}));
    seen.late.push(Late { kind: ObjectKind::Pod, why: "no answer".into(), since: seen.now });
    assert!(!leads_the_active_service(&acts(&seen)), "{}", world.story());
    later(&mut seen, 10);
    assert!(!recorded_fenced(&seen, |seen| promotion(seen, json!({"mode": "Manual"}))).armed, "behind it another thing is seen");
    assert!(!recorded_fenced(&seen, |seen| seen.ask(|spec| spec.replicas = 0)).armed);
    let held = next(&seen, |_| {});
    assert!(held.armed && held.message.contains("can't watch pods"), "{}", held.message);
    seen.late.clear();
    seen.status = held;
    seen.status.observed_generation = seen.generation;
    assert!(next(&seen, |_| {}).armed);
}

/// From then on it is a phase of its own, which has an end, and which a new image may end.
#[test]
fn an_armed_switch_whose_write_is_refused_is_recorded() {
    a_new_image_ends_a_switch_that_is_refused(World::live(json!({})));
    let mut foreign = World::live(json!({}));
    foreign.image("shop:2");
    foreign.run_for(1);
    foreign.services.get_mut("active").unwrap().owner = crate::edits::foreign(false);
    foreign.services.get_mut("active").unwrap().resource_version += 1_000_000;
    foreign.run_for(60);
    assert!(foreign.phase() == Phase::Promoting && foreign.is("Stalled"), "{}", foreign.story());
}

/// A webhook takes the mark from each write.
#[test]
fn a_switch_without_its_mark_is_seen_all_the_same() {
    let (mut world, seen, effects) = about_to_switch(json!({}));
    effects.iter().for_each(|effect| world.perform_as_seen(effect, &seen));
    world.services.get_mut("active").unwrap().former = None;
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
}

/// Somebody led users back by hand before the order to do so: what stands there then would speak for a switch that nobody made.
#[test]
fn a_mark_of_the_side_that_serves_is_put_right() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.settle();
    let mut seen = world.seen();
    active(&mut seen).former = seen.status.active.as_ref().map(|side| side.revision.clone());
    assert_eq!(done(seen), ["active Service to green: the Service names the side that it leads to as the former one"]);
}

/// The mode by which nothing is asked, written out.
#[test]
fn automatic_is_what_is_armed_without_a_word() {
    let world = starting(json!({"promotion": {"mode": "Automatic"}}));
    assert_eq!(world.spec.promotion.as_ref().unwrap().mode, Some(PromotionMode::Automatic));
    assert!(world.status.armed);
}
