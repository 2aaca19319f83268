//! Golden timelines: one story each, to be read. `INSTA_UPDATE=always cargo test -p bluegreen-engine --test it` writes them anew.

use crate::world::World;
use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    decision::Object,
    observed::{Absence, Late, ObjectKind},
};
use bluegreen_gates::reading::{Outcome, Reading};
use insta::assert_snapshot;
use serde_json::json;

fn from_here(world: &mut World) {
    world.log.clear();
}

fn bad_image(gate: &str, image: &str, _: jiff::Timestamp) -> Outcome {
    let bad = image.contains("bad") && !gate.contains("other");
    Outcome::reading(Reading::Value(if bad { 0.2 } else { 0.001 }))
}

#[test]
fn the_first_revision_serves_as_its_pods_get_ready() {
    let mut world = World::new(json!({}));
    world.settle();
    assert_snapshot!(world.story());
}

#[test]
fn a_new_image_without_gates_is_promoted_and_the_old_side_goes() {
    let mut world = World::live(json!({}));
    let (writes, records) = (world.writes, world.records);
    world.image("shop:2");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
    assert_eq!((world.records - records, world.writes - writes), (3, 5), "budget: 3 records, 1 revision, 2 Deployments, 2 Services");
    assert_snapshot!(world.story());
}

fn gated() -> serde_json::Value {
    json!({
        "verification": {
            "checks": [{"name": "home", "http": {"path": "/"}}],
            "metrics": [{"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "interval": "5s", "count": 3}],
        },
        "promotion": {"mode": "Manual"},
        "monitoring": {"duration": "1m", "metrics": [{"name": "errors", "prometheus": {"query": "rate(e[10s])"}, "max": "1%", "interval": "5s"}]},
    })
}

#[test]
fn every_gate_is_passed_then_approved_then_watched() {
    let mut world = World::live(gated());
    world.image("shop:2");
    world.run_for(60);
    assert_eq!(world.phase(), Phase::AwaitingPromotion);
    world.order("promote");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
    assert_snapshot!(world.story());
}

#[test]
fn a_bad_metric_aborts_before_the_switch() {
    let mut world = World::live(gated());
    world.gauge = bad_image;
    world.change(json!({"image": "shop:2-bad", "verification": {"checks": null}}));
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Aborted, Some("shop:1")));
    assert_snapshot!(world.story());
}

#[test]
fn a_version_that_goes_bad_after_the_switch_is_rolled_back() {
    let mut world = World::live(json!({"monitoring": gated()["monitoring"]}));
    world.gauge = bad_image;
    world.image("shop:2-bad");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")));
    assert_snapshot!(world.story());
}

#[test]
fn pods_that_all_die_after_the_switch_bring_the_standby_back() {
    let mut world = World::live(json!({"monitoring": {"duration": "1m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.kill_pods("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")));
    assert_snapshot!(world.story());
}

#[test]
fn a_missing_image_is_aborted_with_the_pods_own_words() {
    let mut world = World::live(json!({}));
    world.image("shop:2-missing");
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted);
    assert_snapshot!(world.story());
}

#[test]
fn a_revert_before_the_switch_rejects_nothing() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    world.image("shop:1");
    world.settle();
    assert_eq!((world.phase(), world.status.rejected.is_none()), (Phase::Healthy, true));
    assert_snapshot!(world.story());
}

#[test]
fn a_revert_after_the_switch_goes_back_at_once() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.image("shop:1");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:1")));
    assert!(world.status.rejected.is_none());
    assert_snapshot!(world.story());
}

#[test]
fn a_late_rollback_deploys_the_former_revision_again() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.settle();
    from_here(&mut world);
    world.order("rollback");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")));
    assert_snapshot!(world.story());
}

#[test]
fn a_new_spec_replaces_a_candidate_that_is_not_live_yet() {
    let mut world = World::live(json!({}));
    world.image("shop:2-slow");
    world.run_for(5);
    world.image("shop:3");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:3")));
    assert_snapshot!(world.story());
}

#[test]
fn a_pause_by_order_stops_the_clock_and_a_resume_lets_it_go_on() {
    let mut world = World::live(json!({"monitoring": {"duration": "1m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.run_for(20);
    world.order("pause");
    world.run_for(300);
    world.order("resume");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")));
    assert_snapshot!(world.story());
}

#[test]
fn a_stripped_selector_is_put_right_where_the_record_leads() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    from_here(&mut world);
    world.note("fault  the selector of the active Service is stripped");
    let service = world.services.get_mut("active").unwrap();
    service.selector.clear();
    service.resource_version += 1_000_000;
    world.run_for(5);
    assert_eq!(world.serves().as_deref(), Some("shop:1"));
    assert_snapshot!(world.story());
}

#[test]
fn a_lost_status_is_rebuilt_and_gates_are_passed_again() {
    let mut world = World::live(gated());
    world.image("shop:2");
    world.run_for(60);
    assert_eq!(world.phase(), Phase::AwaitingPromotion);
    from_here(&mut world);
    world.note("fault  the status is emptied");
    world.status = bluegreen_api::BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    world.run_for(60);
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::AwaitingPromotion, Some("shop:1")));
    assert_snapshot!(world.story());
}

#[test]
fn an_hour_without_an_operator_passes_nothing_and_fails_nothing() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual", "timeout": "10m"}}));
    world.image("shop:2");
    world.run_for(60);
    let from = world.now;
    world.pass_time(3600);
    world.note("fault  no operator was there for an hour");
    world.absence = Some(Absence { from: Some(from), to: world.now });
    world.restart();
    world.run_for(60);
    assert_eq!(world.phase(), Phase::AwaitingPromotion);
    world.order("promote");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
    assert_snapshot!(world.story());
}

#[test]
fn a_leader_that_wakes_to_a_withdrawn_switch_is_refused() {
    let mut world = World::live_unarmed(json!({}));
    world.image("shop:2");
    let (seen, effects) = world.until_about_to_act_in(Phase::Promoting);
    world.freeze(seen, effects);
    world.order("abort");
    world.run_for(5);
    world.wake();
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Aborted, Some("shop:1")));
    assert_snapshot!(world.story());
}

#[test]
fn a_refused_template_is_shown_until_spec_changes() {
    let mut world = World::live(json!({}));
    world.refuse = Some((Object::Deployment(Color::Green), 422, "spec.template.spec.containers[0].image: Required value".into()));
    world.image("shop:2");
    world.run_for(30);
    assert!(world.is("Stalled"));
    world.refuse = None;
    world.image("shop:3");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:3"));
    assert_snapshot!(world.story());
}

#[test]
fn with_a_watch_down_the_switch_waits() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    from_here(&mut world);
    world.note("fault  pods can't be watched");
    world.late = vec![Late { kind: ObjectKind::Pod, why: "connection refused".into(), since: world.now }];
    world.order("promote");
    world.run_for(60);
    assert_eq!(world.serves().as_deref(), Some("shop:1"));
    world.note("-----  pods can be watched again");
    world.late = vec![];
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
    assert_snapshot!(world.story());
}

#[test]
fn with_both_sides_broken_the_first_pod_gets_the_traffic() {
    let watched = json!({"monitoring": {"duration": "10m"}, "progressDeadline": "2m"});
    let mut world = World::in_phase(watched, "shop:2", Phase::Monitoring);
    from_here(&mut world);
    world.kill_pods("shop:1");
    world.kill_pods("shop:2");
    world.run_for(30);
    world.heal_pods("shop:1");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")));
    assert_snapshot!(world.story());
}

#[test]
fn a_candidate_scaled_to_zero_waits_and_goes_on() {
    let mut world = World::live(json!({}));
    world.image("shop:2-slow");
    world.run_for(2);
    from_here(&mut world);
    world.change(json!({"replicas": 0}));
    world.run_for(300);
    world.change(json!({"replicas": 2}));
    world.settle();
    assert_eq!((world.phase(), world.status.attempt, world.serves().as_deref()), (Phase::Healthy, 2, Some("shop:2-slow")));
    assert_snapshot!(world.story());
}
