//! A pause, by `spec` or by order.

use crate::{
    scene::{metric, reason},
    world::World,
};
use bluegreen_api::Phase;
use bluegreen_gates::reading::{Outcome, Reading};
use serde_json::json;

#[test]
fn pause_holds_progress_and_the_clock_but_not_the_way_back() {
    let mut world = World::live(json!({"monitoring": {"duration": "1m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.change(json!({"paused": true}));
    world.run_for(3600);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::Monitoring, "Paused"));
    let mut other = world.clone();
    world.change(json!({"paused": false}));
    world.run_for(30);
    assert_eq!(world.phase(), Phase::Monitoring, "paused time is no bake time");
    other.kill_pods("shop:2");
    other.settle();
    assert_eq!(other.serves().as_deref(), Some("shop:1"), "{}", other.story());
}

#[test]
fn a_pause_at_rest_is_shown_with_what_ends_it() {
    let mut world = World::live(json!({}));
    world.order("pause");
    world.run_for(1);
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    let command = format!("kubectl annotate bgr shop -n web --overwrite bluegreen.dev/resume={revision}");
    let resume = format!("Paused by annotation. Resume: {command}");
    assert_eq!((world.phase(), world.is("Ready")), (Phase::Healthy, true));
    assert_eq!(world.status.message, format!("Revision 1 (shop:1) serves. {resume}"));
    world.order("resume");
    world.run_for(1);
    assert_eq!(world.status.message, "Revision 1 (shop:1) serves");
    world.image(&format!("registry.example/team/shop@sha256:{}-crash", "8b1a9953c4611296".repeat(4)));
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted);
    world.change(json!({"paused": true}));
    world.run_for(1);
    let message = &world.status.message;
    assert!(message.ends_with(". Paused by spec.paused. Resume: set spec.paused to false") && message.contains("CrashLoop"), "{message}");
    world.image("shop:1");
    world.change(json!({"paused": false}));
    world.settle();
    assert_eq!(world.status.message, "Revision 1 (shop:1) serves");
}

/// And no longer shown once the pause is over.
#[test]
fn a_pause_is_shown_beside_the_trouble_of_pods() {
    let mut world = World::live(json!({}));
    world.pods.iter_mut().take(2).for_each(|pod| (pod.image, pod.ready) = ("shop:1-crash".into(), false));
    world.run_for(60);
    let degraded = world.status.message.clone();
    assert!(degraded.contains("CrashLoopBackOff"), "{degraded}");
    world.order("pause");
    world.run_for(1);
    assert!(world.status.message.contains(". Paused by annotation. Resume: kubectl "), "{}", world.status.message);
    world.order("resume");
    world.run_for(1);
    assert_eq!(world.status.message, degraded);
}

/// The same value once more would be no change of the object.
#[test]
fn an_advised_order_takes_effect_though_given_before() {
    let mut world = World::live(json!({}));
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    for time in ["", "/2", "/3"] {
        world.order_for("pause", &format!("{revision}{time}"));
        world.run_for(1);
        let (_, order) = world.status.message.split_once("bluegreen.dev/").unwrap();
        assert_eq!(order, format!("resume={revision}{time}"));
        let value = order.split_once('=').unwrap().1.to_owned();
        world.order_for("resume", &value);
        world.run_for(1);
        assert!(!world.status.paused_by_order, "{}", world.story());
    }
}

// Found by attack.
#[test]
fn a_paused_new_version_is_watched_without_a_record() {
    let metric = metric(json!({"interval": "5s"}));
    let mut world = World::live(json!({"monitoring": {"duration": "30s", "metrics": [metric]}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.order("pause");
    world.run_for(30);
    let records = world.records;
    world.run_for(300);
    assert_eq!(world.records, records, "{}", world.story());
    world.gauge = |_, _, _| Outcome::reading(Reading::Value(1.0));
    world.run_for(30);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "a bad reading is told all the same\n{}", world.story());
}

// Found by attack.
#[test]
fn a_pause_by_order_ends_with_its_attempt() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.order("pause");
    world.run_for(5);
    world.kill_pods("shop:2");
    world.settle();
    assert_eq!(world.phase(), Phase::RolledBack);
    world.image("shop:3");
    world.run_for(30);
    assert_ne!(reason(&world), "Paused", "{}", world.story());
}

#[test]
fn a_resume_undoes_only_a_pause_given_before_it() {
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
