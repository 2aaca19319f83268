//! Holes that were found by attacking the state machine, each with the sequence that showed it.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod world;

use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    Decision, Effect, decide,
    decision::{Change, Object},
    observed::*,
};
use serde_json::{Value, json};
use world::World;

fn reason(world: &World) -> String {
    world.condition("Ready").unwrap().1
}

fn metric(extra: Value) -> Value {
    let mut metric = json!({"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "interval": "5s", "count": 3});
    world::merge(&mut metric, extra);
    metric
}

fn unready(world: &mut World, image: &str, count: usize) {
    let now = world.now;
    for pod in world.pods.iter_mut().filter(|pod| pod.image == image).take(count) {
        pod.image = format!("{image}-unready");
        pod.ready = false;
        pod.ready_changed = Some(now);
    }
}

#[test]
fn promote_switches_only_to_a_fully_available_side_also_when_pods_are_lost_between_record_and_act() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    unready(&mut world, "shop:2", 2);
    world.controllers();
    world.operator();
    let selected = world.services["active"].selector["bluegreen.dev/color"].clone();
    assert_eq!(selected, "blue", "switched to 1 of 3 ready pods\n{}", world.story());
}

#[test]
fn a_stripped_selector_is_no_permission_for_a_withdrawn_candidate() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    unready(&mut world, "shop:1", 1);
    world.services.get_mut("active").unwrap().selector.clear();
    world.services.get_mut("active").unwrap().resource_version += 1_000_000;
    world.image("shop:1");
    world.operator();
    world.controllers();
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

#[test]
fn rebuilt_status_never_makes_an_unverified_candidate_a_standby() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}, "monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.status = bluegreen_api::BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    world.restart();
    world.image("shop:3");
    world.run_for(5);
    world.kill_pods("shop:1");
    world.run_for(5);
    assert_ne!(world.serves().as_deref(), Some("shop:2"), "nobody approved shop:2\n{}", world.story());
}

#[test]
fn a_status_lost_together_with_the_live_deployment_makes_no_unverified_candidate_live() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.status = bluegreen_api::BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    world.deployments.remove(&Color::Blue);
    world.restart();
    world.run_for(60);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "nobody approved shop:2\n{}", world.story());
}

#[test]
fn a_status_lost_together_with_the_labels_of_the_live_deployment_retemplates_nothing_when_it_is_handed_over() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.status = bluegreen_api::BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    let blue = world.deployments.get_mut(&Color::Blue).unwrap();
    blue.labels_intact = false;
    blue.owner = Owner::Foreign { who: "nobody".into(), adopt: true };
    world.restart();
    world.image("shop:2");
    world.run_for(60);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "nobody approved shop:2\n{}", world.story());
}

#[test]
fn lost_status_with_initial_verification_does_not_take_the_service_from_the_live_side() {
    let mut world = World::live(json!({}));
    world.change(json!({"verification": {"initial": true, "metrics": [metric(json!({}))]}}));
    world.settle();
    world.status = bluegreen_api::BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    world.restart();
    for pod in &mut world.pods {
        pod.ready = false;
    }
    world.controllers();
    world.operator();
    assert_ne!(world.services["active"].selector["bluegreen.dev/revision"], "none", "{}", world.story());
}

#[test]
fn drain_is_always_waited_for_also_with_never() {
    let mut world = World::live(json!({"scaleDown": {"after": "Never", "drain": "10s"}}));
    world.image("shop:2");
    world.run(300, |world| world.serves().as_deref() == Some("shop:2"));
    let switched = world.second();
    world.run_for(1);
    world.image("shop:3");
    world.run(300, |world| world.log.iter().any(|line| line.contains("shop:3 ×")));
    assert!(world.second() - switched >= 10, "re-templated {} s after the switch\n{}", world.second() - switched, world.story());
}

/// Users were there already: the selector that says otherwise was lost after the switch.
#[test]
fn a_candidate_that_is_given_up_goes_when_no_endpoint_leads_to_it_any_more() {
    let mut world = World::live(json!({}));
    world.slices_follow = false;
    world.image("shop:2");
    world.run_until(Phase::Promoting);
    world.endpoints = world.pods.iter().filter(|pod| pod.image == "shop:2").map(|pod| pod.name.clone()).collect();
    world.services.get_mut("active").unwrap().selector.clear();
    world.image("shop:1");
    world.run_for(120);
    assert_eq!(world.ready("shop:2"), 3, "{}", world.story());
    assert!(world.status.message.contains("EndpointSlices of the active Service still hold pods of it"), "{}", world.story());
    world.slices_follow = true;
    world.settle();
    assert_eq!((world.phase(), world.ready("shop:2")), (Phase::Healthy, 0), "{}", world.story());
    assert_eq!(world.serves().as_deref(), Some("shop:1"));
}

#[test]
fn a_persons_rollback_speeds_up_a_roll_back_that_waits() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m", "metrics": [metric(json!({}))]}, "progressDeadline": "1m"}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    unready(&mut world, "shop:1", 1);
    world.gauge = |_, _, _| Outcome::reading(Reading::Value(0.5));
    world.run_for(30);
    assert_eq!(world.phase(), Phase::RollingBack);
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    world.order_for("rollback", &revision);
    world.run_for(30);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

#[test]
fn a_roll_back_that_never_gets_enough_pods_says_so() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m", "metrics": [metric(json!({}))]}, "progressDeadline": "1m"}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    unready(&mut world, "shop:1", 1);
    world.gauge = |_, _, _| Outcome::reading(Reading::Value(0.5));
    world.run_for(5000);
    assert_eq!(world.phase(), Phase::RollingBack);
    assert!(world.is("Stalled"), "rests without a word: {}\n{}", world.status.message, world.story());
}

#[test]
fn a_deployment_is_not_tried_before_the_revision_that_it_is_rendered_from() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::DeployingPreview);
    let object = Object::Revision(world.status.preview.as_ref().unwrap().revision.clone());
    world.refusals.push(Refusal { object, code: 0, message: "no answer".into(), at: world.now, times: 1, generation: world.generation });
    for _ in 0..5 {
        match decide(&world.seen()) {
            Decision::Record(status) => world.status = *status,
            Decision::Act(effects) => panic!("{effects:?}"),
            Decision::Wait { until, .. } => return assert!(until.is_some()),
        }
    }
    panic!("it doesn't wait\n{}", world.story());
}

#[test]
fn while_paused_the_new_version_is_watched_and_nothing_is_written() {
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

#[test]
fn a_refusal_whose_effect_is_not_wanted_any_more_is_forgotten() {
    let mut world = World::live(json!({}));
    // The write had no answer, and had happened.
    world.refusals.push(Refusal {
        object: Object::Service(bluegreen_engine::decision::Role::Active),
        code: 0,
        message: "no answer".into(),
        at: world.now,
        times: 1,
        generation: world.generation,
    });
    world.settle();
    assert!(world.is("Ready"), "{}", world.status.message);
}

/// `spec` went back after the switch was recorded, and the fence that withdraws it is about to be refused.
fn fence_refused() -> World {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    world.refuse = Some((Object::Service(bluegreen_engine::decision::Role::Active), 403, "denied by a webhook".into()));
    world.run_for(5);
    world.image("shop:1");
    world
}

#[test]
fn a_refused_fence_is_retried_with_a_pause_and_told() {
    let mut world = fence_refused();
    world.run_for(60);
    let tries = world.log.iter().filter(|line| line.contains("refuse")).count();
    assert!(tries < 15, "{tries}");
    assert!(world.status.message.contains("denied"));
    world.refuse = None;
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:1"));
}

#[test]
fn while_a_fence_is_refused_conditions_and_status_are_of_one_generation() {
    let mut world = fence_refused();
    world.run_for(5);
    let status = &world.status;
    assert!(status.message.contains("denied") && status.observed_generation < world.generation, "{}", world.story());
    let conditions: Vec<_> = status.conditions.iter().map(|condition| condition.observed_generation).collect();
    assert!(conditions.iter().all(|of| *of == Some(status.observed_generation)), "{conditions:?}, {}", status.observed_generation);
}

#[test]
fn a_restored_revision_is_still_the_one_that_spec_names() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    let first = world.status.active.as_ref().unwrap().revision.clone();
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.revisions.remove(&first);
    world.run_for(5);
    assert!(world.revisions.contains_key(&first));
    world.image("shop:1");
    world.settle();
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.story());
    assert_eq!(world.status.active.as_ref().unwrap().revision, first, "{}", world.story());
    assert_eq!(world.status.collision_count, 0);
}

#[test]
fn a_candidate_whose_deployment_belongs_to_somebody_else_is_told() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.settle();
    world.deployments.get_mut(&Color::Blue).unwrap().owner = Owner::Foreign { who: "Deployment other".into(), adopt: false };
    world.deployments.get_mut(&Color::Blue).unwrap().resource_version += 1_000_000;
    world.image("shop:3");
    world.run_for(5000);
    assert!(world.is("Stalled"), "{} {}\n{}", world.phase(), world.status.message, world.story());
}

#[test]
fn a_foreign_active_service_during_promotion_is_told() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    world.services.get_mut("active").unwrap().owner = Owner::Foreign { who: "Helm".into(), adopt: false };
    world.services.get_mut("active").unwrap().resource_version += 1_000_000;
    world.run_for(5000);
    assert!(world.is("Stalled"), "{} {}\n{}", world.phase(), world.status.message, world.story());
}

#[test]
fn zero_replicas_while_scaling_down_end_with_no_pods() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.run_until(Phase::ScalingDown);
    world.change(json!({"replicas": 0}));
    world.run_for(5000);
    assert_eq!(world.pods.len(), 0, "{} {}\n{}", world.phase(), world.status.message, world.story());
}

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
fn ready_is_not_true_when_no_pod_serves_while_scaling_down() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.run_until(Phase::ScalingDown);
    world.kill_pods("shop:2");
    world.run_for(200);
    assert!(!world.is("Ready"), "{} {}\n{}", world.phase(), world.status.message, world.story());
}

#[test]
fn settings_are_live_also_when_never_is_taken_back() {
    let mut world = World::live(json!({"scaleDown": {"after": "Never"}}));
    world.image("shop:2");
    world.settle();
    world.change(json!({"scaleDown": {"after": "0s"}}));
    world.settle();
    assert_eq!(world.ready("shop:1"), 0, "{}", world.story());
}

#[test]
fn a_retry_counts_progress_anew() {
    let mut world = World::live(json!({"progressDeadline": "60s", "promotion": {"mode": "Manual"}, "scaleDown": {"afterAbort": "0s"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.order("abort");
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted);
    let rejected = world.status.rejected.as_ref().unwrap().revision.clone();
    world.order_for("retry", &rejected);
    world.run_until(Phase::DeployingPreview);
    world.controllers();
    // One pod gets ready every 50 s: it advances.
    for pod in world.pods.iter_mut().filter(|pod| pod.color == Color::Green) {
        pod.image = "x-unready".into();
    }
    for _ in 0..3 {
        world.run_for(50);
        if let Some(pod) = world.pods.iter_mut().find(|pod| pod.image == "x-unready") {
            pod.image = "shop:2".into();
        }
        world.run_for(1);
    }
    world.run_for(5);
    assert_eq!(world.phase(), Phase::AwaitingPromotion, "{}", world.story());
}

#[test]
fn the_deadline_is_awaited_also_with_an_image_that_one_node_can_not_pull() {
    let mut world = World::live(json!({"progressDeadline": "10m"}));
    world.image("shop:2");
    world.run_until(Phase::DeployingPreview);
    world.controllers();
    let pod = world.pods.iter_mut().find(|pod| pod.color == Color::Green).unwrap();
    pod.image = "shop:2-missing".into();
    world.run_for(200);
    assert_eq!(world.phase(), Phase::DeployingPreview);
    let Decision::Wait { until, .. } = decide(&world.seen()) else { panic!() };
    assert!(until.is_some(), "nothing wakes it at the deadline\n{}", world.story());
}

#[test]
fn the_deadline_of_a_side_that_was_short_before_monitoring_is_awaited() {
    let mut world = World::live(json!({"progressDeadline": "1m", "monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    unready(&mut world, "shop:2", 1);
    world.run_for(10);
    // The operator was away for a while: its time doesn't count.
    let from = world.now;
    world.pass_time(30);
    world.absence = Some(Absence { from: Some(from), to: world.now });
    world.operator();
    world.run_for(25);
    for _ in 0..200 {
        if let Decision::Wait { until, .. } = decide(&world.seen()) {
            assert!(
                until.is_some() || world.phase() != Phase::Monitoring,
                "at {} s in {}: nothing wakes it\n{}",
                world.second(),
                world.phase(),
                world.story()
            );
        }
        world.run_for(1);
    }
}

#[test]
fn stale_slices_are_told_in_a_roll_back_too() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.slices_follow = false;
    world.order("rollback");
    world.run_for(5000);
    assert!(reason(&world) == "EndpointsStale" || world.is("Stalled"), "{} {}\n{}", world.phase(), world.status.message, world.story());
}

#[test]
fn a_refused_scale_down_of_an_aborted_candidate_is_told() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.refuse = Some((Object::Deployment(Color::Green), 403, "denied by a webhook".into()));
    world.order("abort");
    world.run_for(5000);
    assert!(world.status.message.contains("denied"), "{} {}", world.phase(), world.status.message);
}

#[test]
fn a_refused_scale_up_is_told() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}, "preview": {"replicas": 1}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.refuse = Some((Object::Deployment(Color::Green), 403, "denied by a webhook".into()));
    world.order("promote");
    world.run_for(60);
    assert!(world.status.message.contains("denied"), "{} {}", world.phase(), world.status.message);
}

#[test]
fn waiting_for_a_person_with_an_inconclusive_gate_writes_nothing() {
    let mut world = World::live(json!({"verification": {"metrics": [metric(json!({}))]}}));
    world.gauge = |_, _, _| Outcome::reading(Reading::NoData);
    world.image("shop:2");
    world.run_for(600);
    assert_eq!(reason(&world), "Inconclusive");
    let records = world.records;
    world.run_for(1000);
    assert_eq!(world.records - records, 0);
}

#[test]
fn held_after_a_failed_gate_other_metrics_write_nothing() {
    let mut world = World::live(
        json!({"monitoring": {"duration": "10m", "onFailure": "Pause", "metrics": [metric(json!({})), metric(json!({"name": "other"}))]}}),
    );
    world.gauge = |gate, _, _| Outcome::reading(Reading::Value(if gate.contains("other") { 0.0 } else { 0.5 }));
    world.image("shop:2");
    world.run_for(600);
    assert!(world.is("Stalled"));
    let records = world.records;
    world.run_for(1000);
    assert_eq!(world.records - records, 0);
}

#[test]
fn a_flapping_source_is_recorded_in_batches() {
    let mut world = World::live(json!({"verification": {"metrics": [metric(json!({"interval": "1s", "count": 1000}))]}}));
    world.gauge =
        |_, _, at| Outcome::reading(if at.as_second() % 2 == 0 { Reading::Value(0.0) } else { Reading::Failed("refused".into()) });
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    let records = world.records;
    world.run_for(100);
    assert!(world.records - records <= 12, "{} records in 100 s", world.records - records);
}

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

#[test]
fn the_switch_is_announced_also_with_never() {
    let mut world = World::live(json!({"scaleDown": {"after": "Never"}}));
    world.image("shop:2");
    world.settle();
    assert!(world.log.iter().any(|line| line.contains("event  Normal Promoted")), "{}", world.story());
}

#[test]
fn an_accept_given_before_the_switch_ends_no_monitoring() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}, "monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.order("accept");
    world.run_for(5);
    world.order("promote");
    world.run_for(60);
    assert_eq!(world.phase(), Phase::Monitoring, "{}", world.story());
}

#[test]
fn a_retry_given_while_the_attempt_runs_starts_no_second_one() {
    let mut world = World::live(json!({"progressDeadline": "1m"}));
    world.image("shop:2-unready");
    world.run_until(Phase::DeployingPreview);
    world.order("retry");
    world.run_for(40);
    let attempt = world.status.attempt;
    world.settle();
    assert_eq!(world.status.attempt, attempt, "{}", world.story());
}

#[test]
fn a_rollback_with_nothing_to_go_back_to_is_answered() {
    let mut world = World::live(json!({}));
    world.order("rollback");
    world.run_for(60);
    assert!(world.status.message.contains("no former revision") || reason(&world) == "NoWayBack", "{}", world.status.message);
}

#[test]
fn inconclusive_gates_of_the_first_revision_are_told() {
    let mut world = World::new(json!({"verification": {"initial": true, "metrics": [metric(json!({}))]}}));
    world.gauge = |_, _, _| Outcome::reading(Reading::NoData);
    world.run_for(3000);
    assert!(world.is("Stalled") || reason(&world) == "Inconclusive", "{}", world.status.message);
}

#[test]
fn a_port_that_somebody_added_is_no_drift_that_an_apply_can_mend() {
    let world = World::live(json!({}));
    let mut seen = world.seen();
    if let ObjectSeen::There(service) = &mut seen.active_service {
        service.ports.push(serde_json::from_value(json!({"name": "debug", "port": 9090, "targetPort": 9090, "protocol": "TCP"})).unwrap());
    }
    assert!(matches!(decide(&seen), Decision::Wait { .. }), "{:?}", decide(&seen));
}

#[test]
fn no_template_makes_it_panic() {
    for template in [
        json!(null),
        json!("x"),
        json!([]),
        json!({"spec": []}),
        json!({"spec": {"containers": {}}}),
        json!({"spec": {"containers": [7]}}),
        json!({"spec": {"containers": ["x"]}}),
        json!({"spec": {"containers": [[]]}}),
        json!({"spec": {"containers": [null]}}),
        json!({"spec": {"containers": [{}]}}),
        json!({"metadata": 3, "spec": {"containers": [{"name": 4}]}}),
    ] {
        let world = World::live(json!({}));
        let mut seen = world.seen();
        seen.spec.template.0 = template.clone();
        assert!(std::panic::catch_unwind(|| decide(&seen)).is_ok(), "{template}");
    }
}

#[test]
fn no_percentage_makes_it_panic() {
    let mut world = World::live(json!({}));
    world.change(json!({"preview": {"replicas": "9223372036854775807%"}, "image": "shop:2"}));
    assert!(std::panic::catch_unwind(|| decide(&world.seen())).is_ok());
}

#[test]
fn time_is_never_taken_out_twice() {
    let mut world = World::live(json!({"monitoring": {"duration": "1m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.change(json!({"paused": true}));
    world.run_for(100_000);
    world.change(json!({"paused": false}));
    world.run_for(5);
    // The Lease was lost: nobody knows since when nobody looked.
    world.absence = Some(Absence { from: None, to: world.now });
    world.restart();
    world.run_for(3600);
    assert_ne!(world.phase(), Phase::Monitoring, "{}", world.story());
}

#[test]
fn a_lost_status_scales_nothing_also_while_paused() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.change(json!({"paused": true}));
    world.run_for(5);
    world.status = bluegreen_api::BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    world.restart();
    world.run_for(60);
    assert_eq!(world.ready("shop:2"), 3, "{}", world.story());
}

/// The real API server: an apply that changes nothing changes no resourceVersion.
#[test]
fn who_withdraws_a_new_template_fences_its_deployment() {
    let mut world = World::live(json!({"scaleDown": {"after": "Never"}}));
    world.image("shop:2");
    world.settle();
    world.image("shop:3");
    world.until_about_to_act_in(Phase::DeployingPreview);
    let seen = world.seen();
    let Decision::Act(effects) = decide(&seen) else { panic!() };
    assert!(effects.iter().any(|effect| matches!(&effect.change, Change::ApplyDeployment { color: Color::Blue, .. })));
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

#[test]
fn promoting_with_zero_replicas_says_so() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::Promoting);
    world.kill_pods("shop:2");
    world.change(json!({"replicas": 0}));
    world.run_for(5000);
    assert!(
        world.pods.is_empty() || world.is("Stalled") || reason(&world) == "NoReplicas",
        "{} {}\n{}",
        world.phase(),
        world.status.message,
        world.story()
    );
}

#[test]
fn while_a_watch_is_down_nothing_goes_forward_and_nothing_is_written_for_it() {
    let down = |world: &World| Blind { why: "pods: connection refused".into(), since: world.now };
    // A candidate that is all there, as far as the old caches tell.
    let mut world = World::live(json!({}));
    world.spec.image = Some("shop:2".into());
    world.generation += 1;
    world.until_about_to_act_in(Phase::Promoting);
    world.blind = Some(down(&world));
    let live = world.services["active"].selector.clone();
    world.run_for(5);
    assert_eq!((world.phase(), &world.services["active"].selector), (Phase::Promoting, &live), "the switch waits\n{}", world.story());
    world.blind = None;
    world.settle();
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.story());
    // A new spec is not taken up, and after a while it is told why.
    world.spec.image = Some("shop:3".into());
    world.generation += 1;
    world.blind = Some(down(&world));
    let Decision::Wait { until: Some(until), .. } = decide(&world.seen()) else { panic!("{}", world.story()) };
    world.now = until;
    let Decision::Record(status) = decide(&world.seen()) else { panic!("{}", world.story()) };
    assert!(status.preview.is_none() && status.message.contains("can't watch pods: connection refused"), "{}", status.message);
}

#[test]
fn while_a_watch_is_down_the_way_back_and_repairs_go_on() {
    let mut world = World::live(json!({"monitoring": {"duration": "1h"}}));
    world.spec.image = Some("shop:2".into());
    world.generation += 1;
    world.run_until(Phase::Monitoring);
    world.blind = Some(Blind { why: "pods: connection refused".into(), since: world.now });
    world.services.get_mut("active").unwrap().selector.clear();
    assert!(matches!(decide(&world.seen()), Decision::Act(_)), "a stripped selector is put right");
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    world.annotations.insert("bluegreen.dev/rollback".into(), revision);
    world.settle();
    assert_eq!(world.phase(), Phase::RolledBack, "{}", world.story());
}

#[test]
fn a_new_version_that_dies_while_the_former_one_is_scaled_down_is_told_with_the_way_back() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.run_until(Phase::ScalingDown);
    world.kill_pods("shop:2");
    world.run_for(3600);
    assert_eq!(world.ready("shop:1"), 3, "the way back is kept\n{}", world.story());
    assert!(world.is("Stalled"), "rests without a word: {}\n{}", world.status.message, world.story());
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    assert!(world.status.message.contains(&format!("bluegreen.dev/rollback={revision}")), "{}", world.status.message);
    world.order_for("rollback", &revision);
    world.run_for(60);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

/// The model checker's story: a leader fences the switch it withdraws and freezes before it records that. The next leader sees pods
/// that are well again, and is about to switch; the sleeper's record must not slip in between.
#[test]
fn a_switch_is_not_carried_out_beside_a_record_of_a_former_leader_that_withdraws_it() {
    let mut world = World::live(json!({"progressDeadline": "1m"}));
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

#[test]
fn the_way_back_is_not_taken_beside_a_record_that_is_still_to_be_made() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    world.run_until(Phase::ScalingDown);
    let from = world.now;
    world.now = jiff::Timestamp::from_second(world.now.as_second() + 60).unwrap();
    world.restart();
    // Nobody is gone for long: the time of the former side is over all the same.
    world.absence = Some(Absence { from: Some(world.now), to: jiff::Timestamp::from_second(from.as_second() + 60).unwrap() });
    world.look();
    assert!(matches!(decide(&world.seen()), Decision::Record(_)), "{:?}", decide(&world.seen()));
    world.operator();
    assert!(world.log.iter().any(|line| line.contains("scale  Deployment blue to 0")), "{}", world.story());
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
    let active = Object::Service(bluegreen_engine::decision::Role::Active);
    effects.iter().any(|effect| effect.object() == active)
}

/// A watch of pods that lags without an error shows pods that were deleted long ago.
#[test]
fn a_side_that_is_deployed_again_is_not_taken_for_ready_by_the_pods_of_its_former_life() {
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
#[test]
fn a_side_that_is_deployed_again_is_not_taken_for_ready_before_it_was_written() {
    let (mut world, former) = rolling_back_slowly();
    world.restart();
    world.look();
    let mut seen = world.seen();
    seen.blue = former.blue;
    let ObjectSeen::There(blue) = &mut seen.blue.deployment else { panic!() };
    // What another operator process wrote since is not known.
    blue.applied_generation = None;
    assert!(!switches(&seen), "{}", world.story());
}

/// The new side has lost its pods, and only the watch of Deployments tells so.
#[test]
fn the_way_back_is_not_scaled_down_for_pods_that_only_a_lagging_watch_shows() {
    let mut world = World::live(json!({"scaleDown": {"drain": "1s", "after": "1s"}}));
    world.image("shop:2");
    world.until_about_to_act_in(Phase::ScalingDown);
    let scales_down = |seen: &Observed| {
        let Decision::Act(effects) = decide(seen) else { return false };
        effects.iter().any(|effect| effect.change == Change::Scale { color: Color::Blue, replicas: 0 })
    };
    let mut seen = world.seen();
    assert!(scales_down(&seen), "{}", world.story());
    let ObjectSeen::There(green) = &mut seen.green.deployment else { panic!() };
    (green.ready, green.available) = (0, 0);
    assert!(!scales_down(&seen));
}

/// The story of a live revision that lost its pods and has no former one: what can't be done about it doesn't make it well.
#[test]
fn a_live_revision_that_cant_be_given_up_as_ordered_is_not_ready_without_pods() {
    let mut world = World::live(json!({}));
    unready(&mut world, "shop:1", 3);
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    world.order_for("rollback", &revision);
    world.run_for(5);
    assert!(!world.is("Ready"), "{}", world.story());
    assert!(world.status.message.contains("no former revision is stored"), "{}", world.status.message);
}

/// Somebody took label and owner from it, and handed it over again, as the message asked.
#[test]
fn a_candidate_that_is_given_up_goes_also_when_it_was_handed_over_again() {
    let mut world = World::live(json!({"scaleDown": {"afterAbort": "30s"}}));
    world.image("shop:2-unready");
    world.run_until(Phase::DeployingPreview);
    world.order("abort");
    world.run_until(Phase::Aborting);
    world.deployments.get_mut(&Color::Green).unwrap().owner = Owner::Foreign { who: "somebody".into(), adopt: true };
    world.run_until(Phase::Aborted);
    assert_eq!(world.deployments[&Color::Green].replicas, 0, "{}", world.story());
}

#[test]
fn a_candidate_recorded_while_nothing_was_asked_for_is_not_verified_before_it_has_pods() {
    let mut world = World::live(json!({"verification": {"checks": [{"name": "home", "http": {}}]}}));
    world.image("shop:2-crash");
    world.operator();
    world.change(json!({"replicas": 0}));
    world.run_for(10);
    world.change(json!({"replicas": 3}));
    world.operator();
    assert_eq!(world.phase(), Phase::DeployingPreview, "{}", world.story());
    world.settle();
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::Aborted, "Aborted"), "{}", world.story());
}

#[test]
fn a_service_that_was_handed_over_is_led_to_a_candidate_also_when_the_live_side_has_no_pods() {
    let mut world = World::live(json!({}));
    world.kill_pods("shop:1");
    world.services.get_mut("active").unwrap().owner = Owner::Foreign { who: "nobody".into(), adopt: true };
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
}

#[test]
fn how_to_go_back_is_told_also_when_much_is_to_be_said() {
    let metrics = json!([{"name": "errors", "prometheus": {"query": "e"}, "max": "1%"}]);
    let mut world = World::live(json!({"monitoring": {"duration": "1h", "metrics": metrics}, "progressDeadline": "1m"}));
    world.change(json!({"image": "registry.example/a-team-with-a-long-name/shop:2.0.0-crash"}));
    world.run_for(1);
    world.change(json!({"image": "registry.example/a-team-with-a-long-name/shop:3.0.0"}));
    world.run_until(Phase::Monitoring);
    let trouble =
        "the sentence that a webhook in the way of pods gave is as long as sentences of webhooks are, and longer than that. ".repeat(3);
    world.kill_pods("shop:1");
    world.gauge = |_, _, _| Outcome::reading(Reading::Value(1.0));
    world.run_until(Phase::RollingBack);
    let mut seen = world.seen();
    let ObjectSeen::There(blue) = &mut seen.blue.deployment else { panic!() };
    blue.replica_failure = Some(trouble);
    let Decision::Record(status) = decide(&seen) else { panic!() };
    seen.status = *status;
    seen.now += jiff::SignedDuration::from_secs(61);
    let Decision::Record(status) = decide(&seen) else { panic!() };
    let revision = &status.active.as_ref().unwrap().revision;
    assert!(status.message.ends_with(&format!("bluegreen.dev/rollback={revision}")), "{}", status.message);
    assert!(status.message.chars().count() <= 256);
    // Once that was ordered it would change nothing more.
    seen.status = *status;
    let revision = seen.status.active.as_ref().unwrap().revision.clone();
    seen.annotations.insert("bluegreen.dev/rollback".into(), revision);
    let Decision::Record(status) = decide(&seen) else { panic!() };
    assert!(status.message.ends_with("still serves. A new spec can take over"), "{}", status.message);
}

#[test]
fn how_to_approve_is_told_also_of_an_image_with_a_long_name() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image(&format!("registry.example/{}shop:2", "team/".repeat(40)));
    world.run_until(Phase::AwaitingPromotion);
    let revision = &world.status.preview.as_ref().unwrap().revision;
    assert!(world.status.message.ends_with(&format!("bluegreen.dev/promote={revision}")), "{}", world.status.message);
}

#[test]
fn what_can_be_done_is_told_after_the_deadline_also_of_a_way_back_that_is_paused() {
    let live = json!({"monitoring": {"duration": "1h"}, "progressDeadline": "1m"});
    let mut world = World::in_phase(live, "shop:2", Phase::Monitoring);
    world.kill_pods("shop:1");
    world.order("rollback");
    world.operator();
    world.order("pause");
    world.run_for(90);
    assert!(world.status.paused_by_order && world.is("Stalled"), "{}", world.story());
    // By order it goes back with one ready pod, and has none.
    assert!(world.status.message.ends_with(". A new spec can take over"), "{}", world.status.message);
    world.image("shop:3");
    world.run_for(10);
    assert!(world.status.message.contains("bluegreen.dev/resume="), "what would take over waits: {}", world.status.message);
    world.order("resume");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:3"), "{}", world.story());
}

#[test]
fn a_first_revision_that_spec_comes_back_to_before_it_was_replaced_serves_where_it_is() {
    let mut world = World::new(json!({}));
    world.operator();
    world.controllers();
    world.image("shop:2");
    let templates = |_: &World, effects: &[Effect]| effects.iter().any(|effect| matches!(effect.change, Change::ApplyDeployment { .. }));
    world.until_about_to(templates);
    world.pass_time(3);
    world.controllers();
    world.image("shop:1");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:1")), "{}", world.story());
    assert!(!world.deployments.contains_key(&Color::Green), "{}", world.story());
}
