//! The new side is watched: gates after the switch.

use crate::world::Ask;
use crate::{
    decided::phase,
    edits::{Edit, deployment, later},
    scene::{is_rolled_back_when_its_bake_time_ends_badly, metric, unready, value},
    world::{self, World},
};
use bluegreen_api::{Gate, GateState, Phase};
use bluegreen_engine::{
    Decision, Observed, decide,
    observed::{Absence, PodTrouble},
};
use bluegreen_gates::reading::{Measurement, Outcome, Reading};
use serde_json::{Value, json};

#[test]
fn accept_ends_the_monitoring_as_passed() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    let start = world.second();
    world.order("accept");
    world.settle();
    assert_eq!(world.phase(), Phase::Healthy);
    assert!(world.second() - start < 600);
}

/// What becomes of a version that nobody can judge, by the choice.
const ON_UNKNOWN: [(&str, Phase, &str); 3] =
    [("Hold", Phase::Monitoring, "shop:2"), ("RollBack", Phase::RolledBack, "shop:1"), ("Pass", Phase::Healthy, "shop:2")];

/// It holds, rolls back or passes.
#[test]
fn monitoring_without_a_verdict_ends_as_on_unknown_asks() {
    for (choice, phase, image) in ON_UNKNOWN {
        let mut world = World::live(json!({"monitoring": {"duration": "1m", "onUnknown": choice, "metrics": [metric(json!({}))]}}));
        world.gauge = |_, _, _| Outcome::reading(Reading::NoData);
        world.image("shop:2");
        world.run_for(3000);
        assert_eq!((world.phase(), world.serves().as_deref()), (phase, Some(image)), "{choice}\n{}", world.story());
    }
}

/// A metric whose value rests on fifty requests at least.
fn of_fifty_requests() -> Value {
    metric(json!({"prometheus": {"query": "e", "requests": "n", "minRequests": 50}}))
}

#[test]
fn too_few_requests_are_no_verdict_and_on_unknown_decides() {
    for (choice, phase, image) in ON_UNKNOWN {
        let mut world = World::live(json!({"monitoring": {"duration": "1m", "onUnknown": choice, "metrics": [of_fifty_requests()]}}));
        // Every one of so few requests failed.
        world.gauge = |_, _, _| Outcome::Readings(vec![Reading::Value(1.0), Reading::Value(3.0)]);
        world.image("shop:2");
        world.run_for(3000);
        assert_eq!((world.phase(), world.serves().as_deref()), (phase, Some(image)), "{choice}\n{}", world.story());
        let few = "3 requests, at least 50 needed (minRequests)";
        assert_eq!(world.status.message.contains(few), choice != "Pass", "{choice}: {}", world.status.message);
    }
}

#[test]
fn monitoring_goes_on_once_there_are_enough_requests() {
    let mut world = World::live(json!({"monitoring": {"duration": "1m", "metrics": [of_fifty_requests()]}}));
    world.gauge = |_, _, at| {
        let requests = if at.as_second() < 1_800_000_400 { 3.0 } else { 50.0 };
        Outcome::Readings(vec![Reading::Value(0.0), Reading::Value(requests)])
    };
    world.image("shop:2");
    world.run_for(3000);
    assert_eq!(world.phase(), Phase::Healthy, "once there is traffic it goes on\n{}", world.story());
}

/// The template has the port, and the pods as they run have not.
#[test]
fn a_check_that_asks_nobody_is_named_and_on_unknown_decides() {
    let spec = |on_unknown: &str| {
        let ports = json!([{"name": "http", "containerPort": 8080}, {"name": "admin", "containerPort": 9000}]);
        let check = json!({"name": "home", "http": {"port": "admin"}});
        json!({
            "template": {"spec": {"containers": [{"name": "shop", "ports": ports}]}},
            "monitoring": {"duration": "2m", "onUnknown": on_unknown, "checks": [check], "metrics": [metric(json!({"initialDelay": "0s"}))]},
        })
    };
    let named = "no ready pod has a port named admin: the check asks nobody";
    for (on_unknown, ends) in [("Hold", Phase::Monitoring), ("RollBack", Phase::RolledBack), ("Pass", Phase::Healthy)] {
        let mut world = World::in_phase(spec(on_unknown), "shop:2", Phase::Monitoring);
        world.run_for(60);
        assert!(world.status.message.contains(&format!("monitoring/home can't be judged: {named}")), "{}", world.status.message);
        world.run_for(1000);
        assert_eq!(world.phase(), ends, "{}", world.story());
    }
    let mut world = World::in_phase(spec("Hold"), "shop:2", Phase::Monitoring);
    world.run_for(1000);
    assert!(world.status.message.starts_with(&format!("monitoring/home could not be judged: {named}")), "{}", world.status.message);
}

#[test]
fn time_without_readings_is_no_bake_time() {
    let mut world = World::live(json!({"monitoring": {"duration": "2m", "metrics": [metric(json!({"noDataLimit": 1000}))]}}));
    world.gauge = |_, _, at| if (at.as_second() / 100) % 2 == 0 { value(0.0) } else { Outcome::reading(Reading::NoData) };
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.run_for(150);
    assert_eq!(world.phase(), Phase::Monitoring, "{}", world.story());
    world.settle();
    assert_eq!(world.phase(), Phase::Healthy);
}

#[test]
fn scattered_bad_readings_are_not_as_many_in_a_row() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m", "metrics": [metric(json!({"failureLimit": 2}))]}}));
    world.gauge = |_, image, at| value(if image == "shop:2" && at.as_second() % 10 < 5 { 0.5 } else { 0.0 });
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
}

#[test]
fn the_bake_time_does_not_end_while_readings_are_bad() {
    is_rolled_back_when_its_bake_time_ends_badly(
        json!({"monitoring": {"duration": "2m", "metrics": [metric(json!({"failureFor": "1m"}))]}}),
    );
}

#[test]
fn the_next_candidate_waits_for_the_end_of_monitoring() {
    let mut world = World::live(json!({"monitoring": {"duration": "5m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.image("shop:3");
    world.run_for(200);
    assert_eq!(world.phase(), Phase::Monitoring, "the way back stays open");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:3"));
}

// Found by attack.
#[test]
fn the_deadline_of_a_side_short_of_pods_is_awaited() {
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

// Found by attack.
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

// Found by attack.
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
fn a_side_that_is_to_have_no_pods_is_not_given_up() {
    let world = World::in_phase(json!({"monitoring": {"duration": "1h"}}), "shop:2", Phase::Monitoring);
    let seen = world.seen();
    fn gone(seen: &mut Observed) {
        seen.green.pods.iter_mut().for_each(|pod| pod.ready = false);
    }
    assert_eq!(phase(&seen, gone), Phase::RollingBack);
    fn to_zero(seen: &mut Observed) {
        gone(seen);
        seen.ask(|spec| spec.replicas = 0);
    }
    assert_eq!(phase(&seen, to_zero), Phase::Monitoring);
    fn from_zero(seen: &mut Observed) {
        gone(seen);
        seen.status.active.as_mut().unwrap().replicas = 0;
        deployment(&mut seen.green).replicas = 0;
    }
    assert_eq!(phase(&seen, from_zero), Phase::Monitoring);
}

#[test]
fn monitoring_ends_with_all_time_covered_and_checks_passed() {
    let spec = json!({"monitoring": {"duration": "1m", "checks": [{"name": "home", "http": {}}], "metrics": [metric(json!({"initialDelay": "0s"}))]}});
    let mut world = World::live(spec);
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.run_for(50);
    assert_eq!(world.phase(), Phase::Monitoring);
    let mut seen = world.seen();
    seen.results.clear();
    later(&mut seen, 10);
    fn gate<'a>(seen: &'a mut Observed, name: &str) -> &'a mut Gate {
        seen.status.gates.iter_mut().find(|gate| gate.name == name).unwrap()
    }
    fn covered(seen: &mut Observed, millis: i64) {
        gate(seen, "monitoring/errors").measured.as_mut().unwrap().covered_millis = millis;
    }
    let over = |edit: Edit| phase(&seen, edit) == Phase::ScalingDown;
    assert!(over(|seen| covered(seen, 60_000)));
    assert!(!over(|seen| covered(seen, 59_999)), "it covers less than the time");
    fn nothing_good(seen: &mut Observed) {
        covered(seen, 60_000);
        gate(seen, "monitoring/errors").measured.as_mut().unwrap().good = 0;
    }
    assert!(!over(nothing_good), "nothing good was read");
    fn bad_at_the_end(seen: &mut Observed) {
        covered(seen, 60_000);
        gate(seen, "monitoring/errors").measured.as_mut().unwrap().bad_in_row = 1;
    }
    assert!(!over(bad_at_the_end), "what is bad now may yet be a failure");
    fn unchecked(seen: &mut Observed) {
        covered(seen, 60_000);
        gate(seen, "monitoring/home").state = GateState::Running;
    }
    assert!(!over(unchecked), "a check is not done");
    fn short(seen: &mut Observed) {
        covered(seen, 60_000);
        deployment(&mut seen.green).available -= 1;
    }
    assert!(!over(short), "one of three pods is missing");
    fn without_room(seen: &mut Observed) {
        short(seen);
        let trouble = PodTrouble { reason: "Unschedulable".into(), message: String::new(), container: None };
        (seen.green.pods[0].ready, seen.green.pods[0].trouble) = (false, Some(trouble));
    }
    assert!(over(without_room), "the room is the former side's");
    fn early(seen: &mut Observed) {
        covered(seen, 60_000);
        later(seen, -1);
    }
    assert!(!over(early), "the time is not over");
}

#[test]
fn readings_that_are_back_are_recorded_at_once() {
    let spec = json!({"monitoring": {"duration": "1m", "metrics": [metric(json!({})), metric(json!({"name": "other"}))]}});
    let mut world = World::live(spec);
    world.gauge = |_, _, _| Outcome::reading(Reading::NoData);
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.run_for(120);
    let mut seen = world.seen();
    let gate = seen.status.gates.iter().find(|gate| gate.name == "monitoring/other").unwrap().clone();
    assert_eq!(gate.state, GateState::Inconclusive);
    let read = |reading: Reading| Measurement {
        gate: gate.name.clone(),
        definition: gate.definition.clone(),
        attempt: seen.status.attempt,
        revision: seen.status.active.as_ref().unwrap().revision.clone(),
        at: seen.now,
        asked: vec![],
        outcome: Outcome::reading(reading),
    };
    let (nothing, good) = (read(Reading::NoData), read(Reading::Value(0.0)));
    later(&mut seen, 1);
    seen.results = vec![nothing];
    assert!(matches!(decide(&seen), Decision::Wait { .. }), "one more without a value is no news");
    seen.results = vec![good];
    assert!(matches!(decide(&seen), Decision::Record(_)));
}

// === the pods of the new side ===

/// Ten pods, watched for an hour, with a deadline of a minute.
fn ten_watched(onto: Value) -> World {
    let mut spec = json!({"replicas": 10, "progressDeadline": "1m", "monitoring": {"duration": "1h"}});
    world::merge(&mut spec, onto);
    World::in_phase(spec, "shop:2", Phase::Monitoring)
}

/// One of ten never gets ready, say for a node that it asks for.
#[test]
fn one_missing_pod_of_ten_is_no_word_on_a_version() {
    let mut world = ten_watched(json!({"monitoring": {"duration": "10m"}}));
    unready(&mut world, "shop:2", 1);
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
}

#[test]
fn a_side_short_for_a_deadline_of_its_own_doing_is_given_up() {
    let mut world = ten_watched(json!({}));
    unready(&mut world, "shop:2", 3);
    world.run_for(58);
    assert_eq!(world.phase(), Phase::Monitoring);
    assert!(world.status.message.contains("fewer than 8 of 10 pods are available"), "{}", world.status.message);
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")), "{}", world.story());
    assert!(world.status.message.contains("fewer than 8 of 10 pods were available for 1m"), "{}", world.status.message);
}

/// Until a person goes back, or takes it as it is.
#[test]
fn a_side_short_for_a_deadline_is_held_with_pause() {
    for (order, phase) in [("rollback", Phase::RolledBack), ("accept", Phase::Healthy)] {
        let mut world = ten_watched(json!({"monitoring": {"onFailure": "Pause"}, "scaleDown": {"drain": "5s", "after": "5s"}}));
        unready(&mut world, "shop:2", 3);
        world.run_for(600);
        assert!(world.phase() == Phase::Monitoring && world.is("Stalled"), "{}", world.story());
        assert!(world.status.message.contains("bluegreen.dev/rollback="), "{}", world.status.message);
        world.order(order);
        world.run_for(600);
        if order == "accept" {
            assert!(world.phase() == Phase::ScalingDown && world.is("Stalled") && world.ready("shop:1") == 10, "{}", world.story());
            let live = world.status.active.as_ref().unwrap().revision.clone();
            world.order_for("accept", &format!("{live}/2"));
        }
        world.settle();
        assert_eq!(world.phase(), phase, "{}", world.story());
        // None of them serves no one, whatever was asked for.
        let mut world = ten_watched(json!({"monitoring": {"onFailure": "Pause"}}));
        world.kill_pods("shop:2");
        world.run_for(5);
        assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
    }
}

#[test]
fn a_blip_of_what_both_sides_need_rolls_nothing_back() {
    for (seconds, phase) in [(4, Phase::Healthy), (7, Phase::RolledBack)] {
        let mut world = ten_watched(json!({"monitoring": {"duration": "2m"}}));
        let attempt = world.status.attempt;
        world.kill_pods("shop:2");
        world.kill_pods("shop:1");
        world.run_for(seconds);
        world.heal_pods("shop:2");
        world.heal_pods("shop:1");
        world.settle();
        assert_eq!((world.phase(), world.status.attempt), (phase, attempt), "after {seconds} s\n{}", world.story());
    }
}

#[test]
fn a_full_standby_takes_over_at_once_from_no_ready_pod() {
    let mut world = ten_watched(json!({}));
    world.kill_pods("shop:2");
    let before = world.second();
    world.run(60, |world| world.serves().as_deref() == Some("shop:1"));
    assert_eq!((world.serves().as_deref(), world.second()), (Some("shop:1"), before), "{}", world.story());
}

/// They have their deadline, as all pods that are asked for.
#[test]
fn pods_asked_for_anew_are_no_loss_of_readiness() {
    let mut world = ten_watched(json!({"progressDeadline": "2m"}));
    world.change(json!({"replicas": 0}));
    world.run_for(7200);
    assert_eq!((world.phase(), world.ready("shop:2")), (Phase::Monitoring, 0), "{}", world.story());
    let mut never = world.clone();
    world.change(json!({"replicas": 10}));
    world.run_for(10);
    assert_eq!((world.phase(), world.ready("shop:2")), (Phase::Monitoring, 10), "{}", world.story());
    assert_eq!(world.status.active.as_ref().unwrap().starting_since, None, "they were ready");
    world.kill_pods("shop:2");
    world.run_for(8);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
    never.deployments.values_mut().for_each(|deployment| deployment.image += "-unready");
    never.change(json!({"replicas": 10}));
    let asked = never.second();
    never.restart();
    never.run_for(115);
    assert_eq!(never.phase(), Phase::Monitoring, "{}", never.story());
    never.run_until(Phase::RollingBack);
    assert!((118..125).contains(&(never.second() - asked)), "after {} s\n{}", never.second() - asked, never.story());
}

/// The scheduler's words on a pod come one pod after the other: until those on enough of them are there, the pods may be to blame.
#[test]
fn a_wait_for_room_names_its_end() {
    let mut world = ten_watched(json!({}));
    world.room = 20;
    world.change(json!({"replicas": 20}));
    world.run_for(10);
    let mut seen = world.seen();
    let words = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption \
                 victims found for incoming pod.";
    let pending = |seen: &mut Observed, known: usize| {
        let all = seen.green.pods.iter_mut().filter(|pod| !pod.ready).enumerate();
        all.for_each(|(index, pod)| {
            let trouble = PodTrouble { reason: "Unschedulable".into(), message: words.into(), container: None };
            pod.trouble = (index < known).then_some(trouble);
        });
    };
    let mut message = |known: usize| {
        pending(&mut seen, known);
        if let Decision::Record(status) = decide(&seen) {
            seen.status = *status;
        }
        seen.status.message.clone()
    };
    let (own_doing, no_room) = (message(1), message(10));
    assert!(
        own_doing.starts_with("Monitoring revision 2 (shop:2): fewer than 15 of 20 pods are available: pod shop-green-"),
        "{own_doing}"
    );
    assert!(no_room.starts_with("Monitoring revision 2 (shop:2) until "), "{no_room}");
    assert!(no_room.contains(" (monitoring.duration 1h); fewer than 15 of 20 pods are available: pod shop-green-"), "{no_room}");
    assert_eq!(message(1), own_doing);
}

/// The nodes have room for both sides, and for no pod more.
#[test]
fn the_live_side_gets_the_room_that_an_autoscaler_asks_for() {
    let mut world = ten_watched(json!({"monitoring": {"duration": "5m"}, "scaleDown": {"drain": "5s", "after": "5s"}}));
    world.room = 20;
    world.change(json!({"replicas": 20}));
    world.run_for(60);
    let sizes = |world: &World| [&world.status.active, &world.status.standby].map(|side| side.as_ref().map(|side| side.replicas));
    assert_eq!(sizes(&world), [Some(20), Some(10)], "the former side takes no room that the live one lacks");
    assert!(world.status.message.contains("fewer than 15 of 20 pods are available: pod shop-green-"), "{}", world.status.message);
    let mut rolled_back = world.clone();
    rolled_back.gauge = |_, image, _| value(if image == "shop:2" { 0.5 } else { 0.0 });
    rolled_back.change(json!({"monitoring": {"metrics": [metric(json!({"initialDelay": "0s"}))]}}));
    let before = rolled_back.second();
    rolled_back.run(600, |world| world.serves().as_deref() == Some("shop:1"));
    assert!(rolled_back.second() - before < 60, "the way back is open\n{}", rolled_back.story());
    world.settle();
    world.run_for(5);
    assert_eq!((world.phase(), world.ready("shop:2"), world.ready("shop:1")), (Phase::Healthy, 20, 0), "{}", world.story());
}
