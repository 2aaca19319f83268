//! The rules of the state machine, one sentence each.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod world;

use bluegreen_api::{Color, GateState, Outcome as Ended, Phase};
use bluegreen_engine::{
    Decision, decide,
    decision::{Change, Object, Role},
    observed::{Absence, CheckOutcome, Outcome, Owner, Reading},
};
use serde_json::{Value, json};
use world::World;

fn value(value: f64) -> Outcome {
    Outcome::reading(Reading::Value(value))
}

fn metric(extra: Value) -> Value {
    let mut metric = json!({"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "interval": "5s", "count": 3});
    world::merge(&mut metric, extra);
    metric
}

fn reason(world: &World) -> String {
    world.condition("Ready").unwrap().1
}

// === approvals and orders ===

#[test]
fn an_approval_opens_the_gate_and_does_not_end_the_monitoring() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}, "monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_for(20);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::AwaitingPromotion, "AwaitingApproval"));
    assert!(world.is("Reconciling") && !world.is("Stalled"));
    world.order("promote");
    world.run_for(60);
    assert_eq!(world.phase(), Phase::Monitoring, "{}", world.story());
}

#[test]
fn an_approval_of_an_earlier_attempt_approves_nothing() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    let revision = world.status.preview.as_ref().unwrap().revision.clone();
    world.order("promote");
    world.settle();
    world.image("shop:3");
    world.run_for(20);
    world.order("promote");
    world.settle();
    // The annotation still names revision 2 in another writing: given again, then spent when the candidate is recorded.
    world.order_for("promote", &format!("{revision}/again"));
    world.image("shop:2");
    world.run_for(60);
    assert_eq!(world.phase(), Phase::AwaitingPromotion, "{}", world.story());
    world.order_for("promote", &format!("{revision}/now"));
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
}

#[test]
fn an_order_that_names_another_revision_does_nothing() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    for verb in ["promote", "abort", "rollback", "pause"] {
        world.order_for(verb, "another");
    }
    world.run_for(20);
    assert_eq!(world.phase(), Phase::AwaitingPromotion);
}

#[test]
fn of_contradictory_orders_the_safer_wins() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    world.order("promote");
    world.order("abort");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Aborted, Some("shop:1")));

    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    world.order("promote");
    world.order("pause");
    world.settle();
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::AwaitingPromotion, "Paused"));

    let mut world = World::live(json!({"monitoring": {"duration": "10m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.order("accept");
    world.order("rollback");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")));
}

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

#[test]
fn a_rejected_revision_is_not_tried_again_until_retry_or_another_revision() {
    let mut world = World::live(json!({}));
    world.image("shop:2-missing");
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted);
    assert!(world.is("Stalled") && !world.is("Promoted"));
    let attempt = world.status.attempt;
    world.change(json!({"progressDeadline": "5m"}));
    world.settle();
    assert_eq!(world.status.attempt, attempt, "a setting is no reason to try again");
    let revision = world.status.rejected.as_ref().unwrap().revision.clone();
    world.order_for("retry", &revision);
    world.run_for(5);
    assert_eq!((world.phase(), world.status.attempt), (Phase::DeployingPreview, attempt + 1));
    world.settle();
    world.image("shop:1");
    world.settle();
    assert_eq!((world.phase(), world.status.rejected.is_none()), (Phase::Healthy, true), "back to normal, no rollout");
    assert_eq!(world.status.attempt, attempt + 1);
}

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
fn at_rest_it_is_told_that_nothing_new_begins_while_paused_and_how_it_would() {
    let mut world = World::live(json!({}));
    world.order("pause");
    world.run_for(1);
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    let resume = format!("Paused by an order; annotate with bluegreen.dev/resume={revision} to go on");
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
    assert!(message.ends_with(". Paused by spec.paused; set it to false to go on") && message.contains("CrashLoop"), "{message}");
    world.image("shop:1");
    world.change(json!({"paused": false}));
    world.settle();
    assert_eq!(world.status.message, "Revision 1 (shop:1) serves");
}

#[test]
fn a_pause_is_told_and_no_longer_told_also_while_pods_have_their_trouble() {
    let mut world = World::live(json!({}));
    world.pods.iter_mut().take(2).for_each(|pod| (pod.image, pod.ready) = ("shop:1-crash".into(), false));
    world.run_for(60);
    let degraded = world.status.message.clone();
    assert!(degraded.contains("CrashLoopBackOff"), "{degraded}");
    world.order("pause");
    world.run_for(1);
    assert!(world.status.message.contains(". Paused by an order; "), "{}", world.status.message);
    world.order("resume");
    world.run_for(1);
    assert_eq!(world.status.message, degraded);
}

/// The same value once more would be no change of the object.
#[test]
fn an_order_that_is_advised_has_an_effect_also_if_it_was_given_before() {
    let mut world = World::live(json!({}));
    let revision = world.status.active.as_ref().unwrap().revision.clone();
    for time in ["", "/2", "/3"] {
        world.order_for("pause", &format!("{revision}{time}"));
        world.run_for(1);
        let (_, advice) = world.status.message.split_once("bluegreen.dev/").unwrap();
        let (order, _) = advice.split_once(' ').unwrap();
        assert_eq!(order, format!("resume={revision}{time}"));
        let value = order.split_once('=').unwrap().1.to_owned();
        world.order_for("resume", &value);
        world.run_for(1);
        assert!(!world.status.paused_by_order, "{}", world.story());
    }
}

// === gates ===

#[test]
fn a_gate_that_is_defined_anew_runs_anew() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}, "verification": {"metrics": [metric(json!({}))]}}));
    world.image("shop:2");
    world.run_for(60);
    assert_eq!(world.phase(), Phase::AwaitingPromotion);
    world.change(json!({"verification": {"metrics": [metric(json!({"max": "2%"}))]}}));
    world.run_for(1);
    assert_eq!(world.phase(), Phase::Verifying);
    world.order("promote");
    world.run_for(1);
    assert_eq!(world.phase(), Phase::Verifying, "an approval decides no unfinished gate");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
}

#[test]
fn no_data_and_a_broken_source_are_neither_pass_nor_failure() {
    for reading in [Reading::NoData, Reading::NotANumber, Reading::Failed("connection refused".into())] {
        let mut world = World::live(json!({"verification": {"metrics": [metric(json!({}))]}}));
        world.gauge = match reading {
            Reading::NoData => |_, _, _| Outcome::reading(Reading::NoData),
            Reading::NotANumber => |_, _, _| Outcome::reading(Reading::NotANumber),
            _ => |_, _, _| Outcome::reading(Reading::Failed("connection refused".into())),
        };
        world.image("shop:2");
        world.run_for(3000);
        assert_eq!((world.phase(), reason(&world).as_str()), (Phase::AwaitingPromotion, "Inconclusive"), "{}", world.story());
        assert_eq!(world.serves().as_deref(), Some("shop:1"));
        let mut back = world.clone();
        back.gauge = world::pass;
        back.run_for(600);
        assert_eq!(back.serves().as_deref(), Some("shop:2"), "readings came back: it goes on by itself");
        world.order("promote");
        world.run_for(600);
        assert_eq!(world.serves().as_deref(), Some("shop:2"), "a person decides an inconclusive gate");
    }
}

#[test]
fn a_promote_given_before_a_gate_turned_inconclusive_does_not_decide_it() {
    let mut world = World::live(json!({"verification": {"metrics": [metric(json!({}))]}}));
    world.gauge = |_, _, _| Outcome::reading(Reading::NoData);
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.order("promote");
    world.run_for(600);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::AwaitingPromotion, "Inconclusive"));
}

#[test]
fn a_failed_check_holds_or_aborts_as_asked_and_promote_does_not_decide_it() {
    let check = json!({"checks": [{"name": "home", "http": {}}]});
    let mut world = World::live(json!({"verification": check}));
    world.gauge = |_, _, _| value(1.0);
    world.image("shop:2");
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted);

    let mut world = World::live(json!({"verification": {"checks": check["checks"], "onFailure": "Pause"}}));
    world.gauge = |_, _, _| value(1.0);
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::Verifying, "CheckFailed"));
    assert!(world.is("Stalled"));
    world.order("promote");
    world.settle();
    assert_eq!(world.phase(), Phase::Verifying);
    world.gauge = world::pass;
    world.order("retry");
    world.run_for(30);
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "the gate ran again and passed");
}

#[test]
fn verification_that_does_not_end_is_aborted_at_its_timeout() {
    let mut world = World::live(json!({"verification": {"timeout": "5m", "metrics": [metric(json!({"interval": "1m", "count": 100}))]}}));
    world.image("shop:2");
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted);
    assert_eq!(world.status.rejected.as_ref().unwrap().reason, "VerificationTimedOut");
}

#[test]
fn a_candidate_that_nobody_promotes_is_aborted_at_its_timeout() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual", "timeout": "10m"}}));
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.status.rejected.as_ref().unwrap().reason.as_str()), (Phase::Aborted, "PromotionTimedOut"));
}

/// What becomes of a version that nobody can judge, by the choice.
const ON_UNKNOWN: [(&str, Phase, &str); 3] =
    [("Hold", Phase::Monitoring, "shop:2"), ("RollBack", Phase::RolledBack, "shop:1"), ("Pass", Phase::Healthy, "shop:2")];

#[test]
fn monitoring_that_cannot_judge_holds_rolls_back_or_passes_as_asked() {
    for (choice, phase, image) in ON_UNKNOWN {
        let mut world = World::live(json!({"monitoring": {"duration": "1m", "onUnknown": choice, "metrics": [metric(json!({}))]}}));
        world.gauge = |_, _, _| Outcome::reading(Reading::NoData);
        world.image("shop:2");
        world.run_for(3000);
        assert_eq!((world.phase(), world.serves().as_deref()), (phase, Some(image)), "{choice}\n{}", world.story());
    }
}

#[test]
fn traffic_too_small_to_judge_by_is_told_as_that_and_on_unknown_decides() {
    let asked = metric(json!({"prometheus": {"query": "e", "requests": "n", "minRequests": 50}}));
    for (choice, phase, image) in ON_UNKNOWN {
        let mut world = World::live(json!({"monitoring": {"duration": "1m", "onUnknown": choice, "metrics": [asked.clone()]}}));
        // Every one of so few requests failed.
        world.gauge = |_, _, _| Outcome::Readings(vec![Reading::Value(1.0), Reading::Value(3.0)]);
        world.image("shop:2");
        world.run_for(3000);
        assert_eq!((world.phase(), world.serves().as_deref()), (phase, Some(image)), "{choice}\n{}", world.story());
        let few = "3 requests are too few to judge by, at least 50 are needed";
        assert_eq!(world.status.message.contains(few), choice != "Pass", "{choice}: {}", world.status.message);
    }
    let mut world = World::live(json!({"monitoring": {"duration": "1m", "metrics": [asked]}}));
    world.gauge = |_, _, at| {
        let requests = if at.as_second() < 1_800_000_400 { 3.0 } else { 50.0 };
        Outcome::Readings(vec![Reading::Value(0.0), Reading::Value(requests)])
    };
    world.image("shop:2");
    world.run_for(3000);
    assert_eq!(world.phase(), Phase::Healthy, "once there is traffic it goes on\n{}", world.story());
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

fn is_rolled_back_when_its_bake_time_ends_badly(spec: Value) {
    let mut world = World::in_phase(spec, "shop:2", Phase::Monitoring);
    world.run_for(100);
    world.gauge = |_, image, _| value(if image == "shop:2" { 0.5 } else { 0.0 });
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")), "{}", world.story());
}

#[test]
fn the_first_revision_is_verified_only_if_asked_and_reached_by_nobody_until_then() {
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

// === several soft metrics ===

fn soft(name: &str, weight: i32) -> Value {
    metric(json!({"name": name, "weight": weight}))
}

/// Errors count 3 of 6, latency 2 and the queue 1.
fn three() -> Vec<Value> {
    vec![soft("errors", 3), soft("latency", 2), soft("queue", 1)]
}

fn scored(stage: &str, min: &str, metrics: Vec<Value>) -> Value {
    json!({stage: {"score": {"min": min}, "metrics": metrics}})
}

fn slow(gate: &str, image: &str, _: jiff::Timestamp) -> Outcome {
    value(if gate.ends_with("/latency") && image == "shop:2" { 1.0 } else { 0.0 })
}

fn slow_with_a_queue(gate: &str, image: &str, at: jiff::Timestamp) -> Outcome {
    if gate.ends_with("/queue") && image == "shop:2" { value(1.0) } else { slow(gate, image, at) }
}

fn no_errors_told(gate: &str, image: &str, _: jiff::Timestamp) -> Outcome {
    if gate.ends_with("/errors") && image == "shop:2" { Outcome::reading(Reading::NoData) } else { value(0.0) }
}

/// What became of a gate of the latest attempt that has ended.
fn ended(world: &World, gate: &str) -> Option<GateState> {
    world.status.history[0].gates.iter().find(|it| it.name == gate).map(|it| it.state)
}

fn rejected(world: &World) -> (&str, &str) {
    let rejected = world.status.rejected.as_ref().unwrap();
    (&rejected.reason, &rejected.message)
}

#[test]
fn one_bad_metric_of_several_soft_ones_is_told_and_the_score_decides() {
    let mut world = World::live(scored("verification", "60%", three()));
    world.gauge = slow;
    world.image("shop:2");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
    let states = ["errors", "latency", "queue", "score"].map(|name| ended(&world, &format!("verification/{name}")));
    assert_eq!(states, [GateState::Passed, GateState::Failed, GateState::Passed, GateState::Passed].map(Some));

    let mut world = World::live(scored("verification", "67%", three()));
    world.gauge = slow;
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Aborted, Some("shop:1")), "{}", world.story());
}

#[test]
fn two_bad_soft_metrics_abort_while_the_third_still_runs() {
    let mut metrics = three();
    metrics[0]["count"] = json!(100);
    let mut world = World::live(scored("verification", "60%", metrics));
    world.gauge = slow_with_a_queue;
    world.image("shop:2");
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted, "{}", world.story());
    let message = "verification/score: good can still be 50 % of the weights at most, 60 % are needed; bad: latency (2), queue (1)";
    assert_eq!(rejected(&world), ("MetricFailed", message));
    assert_eq!(ended(&world, "verification/errors"), Some(GateState::Running));
}

#[test]
fn a_score_that_is_reached_waits_for_no_soft_metric_and_for_every_other_gate() {
    let mut metrics = three();
    metrics[1]["count"] = json!(1000);
    metrics.push(metric(json!({"name": "memory", "count": 9})));
    let mut world = World::live(scored("verification", "60%", metrics));
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.run_for(20);
    let state = |world: &World, gate: &str| world.status.gates.iter().find(|it| it.name == gate).map(|it| it.state);
    assert_eq!(state(&world, "verification/score"), Some(GateState::Passed), "{}", world.story());
    assert_eq!((world.phase(), state(&world, "verification/memory")), (Phase::Verifying, Some(GateState::Running)));
    let mut bad = world.clone();
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
    assert_eq!(ended(&world, "verification/latency"), Some(GateState::Running), "nobody waited for it");
    bad.gauge = |gate, image, _| value(if gate.ends_with("/memory") && image == "shop:2" { 1.0 } else { 0.0 });
    bad.settle();
    assert_eq!((bad.phase(), rejected(&bad)), (Phase::Aborted, ("MetricFailed", "verification/memory: 1 is above the limit of 0.01")));
}

#[test]
fn a_score_that_nobody_can_tell_waits_for_a_person_or_readings_and_one_that_is_reached_without_them_does_not() {
    let mut world = World::live(scored("verification", "60%", three()));
    world.gauge = no_errors_told;
    world.image("shop:2");
    world.run_for(600);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::AwaitingPromotion, "Inconclusive"), "{}", world.story());
    let told = "verification/score could not be judged: 50 % of the weights are good, 60 % are needed; not judged: errors (3). Decide";
    assert!(world.status.message.starts_with(told), "{}", world.status.message);
    let records = world.records;
    world.run_for(600);
    assert_eq!(world.records, records, "nothing is written while it waits");
    let mut back = world.clone();
    back.gauge = world::pass;
    back.run_for(60);
    assert_eq!(back.serves().as_deref(), Some("shop:2"), "readings came back: {}", back.story());
    world.order("promote");
    world.run_for(60);
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());

    let mut world = World::live(scored("verification", "50%", three()));
    world.gauge = no_errors_told;
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
}

#[test]
fn an_approval_of_a_score_covers_no_soft_metric_that_turns_bad_after_it() {
    let mut spec = scored("verification", "60%", three());
    spec["promotion"] = json!({"after": "10m"});
    let mut world = World::live(spec);
    world.gauge = |gate, image, at| if gate.ends_with("/errors") { value(0.0) } else { no_errors_told("/errors", image, at) };
    world.image("shop:2");
    world.run_for(120);
    world.order("promote");
    world.run_for(60);
    let mut judged = world.clone();
    judged.run_for(600);
    assert_eq!(judged.serves().as_deref(), Some("shop:2"), "approved, and its time has come: {}", judged.story());
    world.gauge =
        |gate, image, at| if gate.ends_with("/queue") { slow_with_a_queue(gate, image, at) } else { no_errors_told("/errors", image, at) };
    world.run_for(1200);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::AwaitingPromotion, "Inconclusive"), "{}", world.story());
    let told =
        "verification/score could not be judged: 50 % of the weights are good, 60 % are needed; bad: queue (1); not judged: latency (2)";
    assert!(world.status.message.starts_with(told), "{}", world.status.message);
    let again = format!("{}/2", world.status.preview.as_ref().unwrap().revision);
    assert!(world.status.message.contains(&format!("Decide with bluegreen.dev/promote={again} or")), "{}", world.status.message);
    world.order_for("promote", &again);
    world.run_for(60);
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "a person knows of it now: {}", world.story());
}

#[test]
fn a_retry_lets_the_score_and_what_was_bad_in_it_begin_anew() {
    let mut spec = scored("verification", "60%", three());
    spec["verification"]["onFailure"] = json!("Pause");
    let mut world = World::live(spec);
    world.gauge = slow_with_a_queue;
    world.image("shop:2");
    world.settle();
    assert_eq!(
        (world.phase(), reason(&world).as_str(), world.is("Stalled")),
        (Phase::Verifying, "MetricFailed", true),
        "{}",
        world.story()
    );
    world.gauge = world::pass;
    world.order("retry");
    world.run_for(60);
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
}

#[test]
fn in_monitoring_a_soft_metric_that_was_good_to_the_end_counts_and_a_score_out_of_reach_rolls_back_at_once() {
    let watched = |min: &str| {
        let mut spec = scored("monitoring", min, three());
        spec["monitoring"]["duration"] = json!("2m");
        let mut world = World::live(spec);
        world.image("shop:2");
        world.run_until(Phase::Monitoring);
        world
    };
    let mut world = watched("60%");
    world.gauge = slow;
    world.run_for(100);
    assert_eq!(world.phase(), Phase::Monitoring, "its time isn't over: {}", world.story());
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
    let states = ["errors", "latency", "score"].map(|name| ended(&world, &format!("monitoring/{name}")));
    assert_eq!(states, [GateState::Running, GateState::Failed, GateState::Passed].map(Some));

    let mut world = watched("60%");
    world.gauge = slow_with_a_queue;
    let start = world.second();
    world.run_until(Phase::RollingBack);
    assert!(world.second() - start < 60, "{}", world.story());
    world.settle();
    let message = "monitoring/score: good can still be 50 % of the weights at most, 60 % are needed; bad: latency (2), queue (1)";
    assert_eq!((world.serves().as_deref(), rejected(&world)), (Some("shop:1"), ("MetricFailed", message)), "{}", world.story());
}

#[test]
fn a_score_that_is_unknown_when_the_bake_time_is_over_holds_rolls_back_or_passes_as_asked() {
    for (min, choice, phase, image) in [
        ("60%", "Hold", Phase::Monitoring, "shop:2"),
        ("60%", "RollBack", Phase::RolledBack, "shop:1"),
        ("60%", "Pass", Phase::Healthy, "shop:2"),
        ("50%", "RollBack", Phase::Healthy, "shop:2"),
    ] {
        let mut spec = scored("monitoring", min, three());
        world::merge(&mut spec, json!({"monitoring": {"duration": "1m", "onUnknown": choice}}));
        let mut world = World::live(spec);
        world.gauge = no_errors_told;
        world.image("shop:2");
        world.run_for(3000);
        assert_eq!((world.phase(), world.serves().as_deref()), (phase, Some(image)), "{min} {choice}\n{}", world.story());
        if choice == "Hold" {
            let told = "monitoring/score could not be judged: 50 % of the weights are good, 60 % are needed; not judged: errors (3). ";
            assert!(world.status.message.starts_with(told), "{}", world.status.message);
        }
    }
}

#[test]
fn a_score_does_not_end_the_bake_time_while_readings_that_it_needs_are_bad() {
    let metrics = vec![metric(json!({"weight": 1, "failureFor": "1m"}))];
    let mut spec = scored("monitoring", "100%", metrics);
    spec["monitoring"]["duration"] = json!("2m");
    is_rolled_back_when_its_bake_time_ends_badly(spec);
}

#[test]
fn the_first_revision_is_verified_by_a_score_too_and_by_none_where_there_is_nothing_to_compare_with() {
    let first = |metrics: Vec<Value>, gauge: fn(&str, &str, jiff::Timestamp) -> Outcome| {
        let mut spec = scored("verification", "60%", metrics);
        spec["verification"]["initial"] = json!(true);
        spec["image"] = json!("shop:2");
        let mut world = World::new(spec);
        world.gauge = gauge;
        world.settle();
        world
    };
    let world = first(three(), slow);
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
    assert_eq!(ended(&world, "verification/latency"), Some(GateState::Failed));
    let world = first(three(), slow_with_a_queue);
    assert_eq!(
        (world.phase(), reason(&world).as_str(), world.endpoints.len()),
        (Phase::Initializing, "MetricFailed", 0),
        "{}",
        world.story()
    );
    let compared = json!({"name": "compared", "weight": 1, "comparison": {"errors": "e", "requests": "r"}});
    let world = first(vec![compared], slow);
    assert_eq!((world.phase(), ended(&world, "verification/score")), (Phase::Healthy, None), "{}", world.story());
}

// === the first deployment ===

#[test]
fn trouble_with_the_first_revision_is_told_and_a_new_spec_takes_its_place() {
    let mut world = World::new(json!({"image": "shop:1-missing"}));
    world.run_for(300);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::Initializing, "Hopeless"));
    assert!(world.is("Stalled") && world.status.message.contains("ImagePullBackOff"), "{}", world.status.message);
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")));
    assert_eq!(world.status.active.as_ref().unwrap().color, Color::Blue);
}

#[test]
fn a_first_revision_whose_pods_never_get_ready_is_told_after_its_deadline_also_while_paused() {
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
fn a_first_revision_that_serves_in_part_is_not_taken_away_for_the_next() {
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

// === deadlines ===

#[test]
fn a_slow_preview_that_advances_is_not_aborted_and_one_that_does_not_is() {
    let mut world = World::live(json!({"progressDeadline": "90s"}));
    world.image("shop:2-slow");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2-slow"));
    world.image("shop:3-unready");
    world.settle();
    assert_eq!((world.phase(), world.status.rejected.as_ref().unwrap().reason.as_str()), (Phase::Aborted, "ProgressDeadlineExceeded"));
    world.image("shop:4-slow");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:4-slow"), "after an abort the next deadline is a new one");
}

#[test]
fn a_long_pause_after_the_first_pods_are_ready_is_no_missed_deadline() {
    let mut world = World::live(json!({"progressDeadline": "5m", "replicas": 3}));
    world.image("shop:2-slow");
    world.run_for(10);
    world.pods.iter_mut().filter(|pod| pod.image == "shop:2-slow").take(1).for_each(|pod| pod.image = "shop:2".into());
    world.run_for(10);
    world.change(json!({"paused": true}));
    world.pods.iter_mut().filter(|pod| pod.image == "shop:2-slow").for_each(|pod| pod.image = "shop:2-unready".into());
    world.run_for(7200);
    world.change(json!({"paused": false}));
    world.run_for(60);
    assert_eq!(world.phase(), Phase::DeployingPreview, "{}", world.story());
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted);
}

#[test]
fn a_long_pause_while_the_first_revision_is_verified_is_no_missed_deadline() {
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

#[test]
fn nothing_is_passed_or_failed_for_being_late_before_it_was_looked_at() {
    let mut world = World::live(
        json!({"progressDeadline": "5m", "monitoring": {"duration": "10m"}, "verification": {"timeout": "10m", "metrics": [metric(json!({"interval": "1m", "count": 4}))]}}),
    );
    let away = |world: &mut World| {
        let from = world.now;
        world.pass_time(7200);
        world.absence = Some(Absence { from: Some(from), to: world.now });
        world.restart();
        world.operator();
    };
    world.image("shop:2-slow");
    world.run_for(20);
    assert_eq!(world.phase(), Phase::DeployingPreview);
    away(&mut world);
    assert!(world.phase() > Phase::DeployingPreview && world.phase() <= Phase::Verifying, "{}", world.story());
    world.run_for(61);
    away(&mut world);
    assert_eq!(world.phase(), Phase::Verifying, "the verification timeout was not looked at: {}", world.story());
    world.run_until(Phase::Monitoring);
    away(&mut world);
    assert_eq!(world.phase(), Phase::Monitoring, "nobody watched: no bake time");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2-slow")));
}

#[test]
fn endpoint_slices_that_lag_hold_the_switch_and_are_told_and_are_no_bad_release() {
    let mut world = World::live(json!({}));
    world.slices_follow = false;
    world.image("shop:2");
    world.run_for(3600);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::Promoting, "EndpointsStale"), "{}", world.story());
    world.slices_follow = true;
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
}

#[test]
fn endpoint_slices_are_late_when_pods_have_been_ready_for_long_and_not_before() {
    let mut world = World::in_phase(json!({"monitoring": {"duration": "1h"}}), "shop:2", Phase::Monitoring);
    world.kill_pods("shop:1");
    world.kill_pods("shop:2");
    world.run_for(600);
    world.slices_follow = false;
    world.heal_pods("shop:1");
    world.run_for(1);
    world.run_for(28);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::RollingBack, "RollingBack"), "{}", world.story());
    world.run_for(3);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::RollingBack, "EndpointsStale"), "{}", world.story());
    // By another clock they get ready in an hour.
    let hour = jiff::SignedDuration::from_hours(1);
    world.pods.iter_mut().for_each(|pod| pod.ready_changed = Some(world.now + hour));
    world.run_for(1);
    assert_eq!(reason(&world), "EndpointsStale", "{}", world.story());
}

#[test]
fn a_slow_control_plane_and_one_unready_look_are_no_bad_release() {
    let mut world = World::live(json!({"progressDeadline": "2m"}));
    world.slices_follow = false;
    world.image("shop:2");
    world.run_until(Phase::Promoting);
    world.run_for(3600);
    // An edit by hand that the Deployment controller hasn't taken up yet, long after the phase began.
    world.deployments.get_mut(&Color::Green).unwrap().generation += 1;
    world.operator();
    assert_eq!(world.phase(), Phase::Promoting, "{}", world.story());
    world.slices_follow = true;
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
}

// === the way back ===

#[test]
fn the_side_that_was_left_is_drained_before_it_goes_and_zero_is_now() {
    let mut world = World::live(json!({"scaleDown": {"drain": "7s", "after": "0s"}}));
    world.image("shop:2");
    world.run_until(Phase::ScalingDown);
    let switched = world.second();
    assert!(world.is("Ready") && world.is("Promoted"));
    world.run_until(Phase::Healthy);
    assert_eq!(world.second() - switched, 7);
}

#[test]
fn never_keeps_the_standby_and_its_revision_in_spec_goes_back_at_once() {
    let mut world = World::live(json!({"scaleDown": {"after": "Never"}}));
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.ready("shop:1")), (Phase::Healthy, 3));
    let before = world.second();
    world.image("shop:1");
    world.run_for(1);
    assert_eq!((world.serves().as_deref(), world.second()), (Some("shop:1"), before + 1), "{}", world.story());
    world.settle();
    assert_eq!(world.phase(), Phase::Healthy);
    assert_eq!(world.status.history[0].outcome, Some(Ended::Reverted));
}

#[test]
fn with_both_sides_broken_it_holds_says_so_and_lets_a_fix_through() {
    let mut world = World::live(json!({"monitoring": {"duration": "10m"}, "progressDeadline": "1m"}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.kill_pods("shop:1");
    world.kill_pods("shop:2");
    world.run_for(30);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::RollingBack, "BothSidesBroken"), "{}", world.story());
    world.image("shop:3");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:3"), "{}", world.story());
}

#[test]
fn a_new_candidate_after_the_switch_waits_for_the_end_of_the_monitoring() {
    let mut world = World::live(json!({"monitoring": {"duration": "5m"}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.image("shop:3");
    world.run_for(200);
    assert_eq!(world.phase(), Phase::Monitoring, "the way back stays open");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:3"));
}

#[test]
fn a_new_candidate_before_the_switch_replaces_the_old_one() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.image("shop:2");
    world.run_for(20);
    world.image("shop:3");
    world.run_for(20);
    assert_eq!(world.status.preview.as_ref().unwrap().image, "shop:3");
    assert_eq!(world.status.history[0].outcome, Some(Ended::Superseded));
    assert_eq!(world.status.attempt, 3);
}

// === size ===

#[test]
fn a_smaller_size_that_comes_with_a_candidate_waits_for_the_switch() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}}));
    world.change(json!({"image": "shop:2", "replicas": 1}));
    world.run_for(20);
    assert_eq!(world.ready("shop:1"), 3, "{}", world.story());
    world.order("promote");
    world.settle();
    assert_eq!((world.ready("shop:2"), world.ready("shop:1")), (1, 0));
}

#[test]
fn the_active_side_follows_replicas_in_every_phase_and_the_candidate_is_full_before_the_switch() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}, "preview": {"replicas": "34%"}}));
    world.image("shop:2");
    world.run_for(20);
    assert_eq!((world.ready("shop:2"), world.ready("shop:1")), (2, 3), "34% of 3, rounded up");
    world.change(json!({"replicas": 5}));
    world.run_for(5);
    assert_eq!(world.ready("shop:1"), 5);
    world.order("promote");
    world.settle();
    assert_eq!(world.ready("shop:2"), 5, "{}", world.story());
}

#[test]
fn zero_replicas_are_obeyed_at_once_and_gates_wait_for_replicas() {
    let mut world = World::live(json!({"verification": {"metrics": [metric(json!({}))]}}));
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.change(json!({"replicas": 0}));
    world.run_for(7200);
    assert_eq!((world.pods.len(), reason(&world).as_str()), (0, "NoReplicas"), "{}", world.story());
    world.change(json!({"replicas": 2}));
    world.settle();
    assert_eq!((world.serves().as_deref(), world.ready("shop:2")), (Some("shop:2"), 2));
}

#[test]
fn replicas_in_status_are_those_of_the_active_side() {
    let mut world = World::live(json!({}));
    assert_eq!(world.status.replicas, 3);
    world.change(json!({"replicas": 5}));
    world.settle();
    assert_eq!(world.status.replicas, 5);
    assert_eq!(world.status.selector, "bluegreen.dev/rollout=shop,bluegreen.dev/color=blue");
}

// === bad input and refusals ===

#[test]
fn bad_input_touches_nothing_and_the_fix_goes_on() {
    let mut world = World::live(json!({}));
    let writes = world.writes;
    world.change(json!({"image": "shop:2", "container": "web"}));
    world.settle();
    assert_eq!((world.writes, reason(&world).as_str()), (writes, "InvalidSpec"));
    assert!(
        world.status.message.contains("spec.container names web, but the containers in spec.template are: shop"),
        "{}",
        world.status.message
    );
    world.services.get_mut("active").unwrap().selector.clear();
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "repair goes on");
    world.change(json!({"container": null}));
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
}

#[test]
fn what_the_api_server_refuses_is_told_in_its_own_words_and_tried_again_with_a_pause() {
    let mut world = World::live(json!({}));
    world.refuse = Some((
        Object::Deployment(Color::Green),
        500,
        "failed to create typed patch object (/shop-green): .spec.template.spec.foo: field not declared in schema".into(),
    ));
    world.image("shop:2");
    world.run_for(600);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::DeployingPreview, "InvalidSpec"), "{}", world.story());
    assert!(world.status.message.contains("field not declared in schema"));
    let tries = world.log.iter().filter(|line| line.contains("refuse")).count();
    assert!((5..=12).contains(&tries), "{tries} tries in ten minutes");
    world.refuse = None;
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"));
}

#[test]
fn an_object_of_somebody_else_is_left_alone_and_the_ways_out_are_told() {
    let mut world = World::new(json!({}));
    let mut made = World::live(json!({}));
    let mut service = made.services.remove("active").unwrap();
    service.selector.clear();
    service.owner = Owner::Foreign { who: "nobody".into(), adopt: false };
    world.services.insert("active", service);
    world.run_for(60);
    assert_eq!((world.writes, reason(&world).as_str()), (0, "NotOurs"));
    assert!(
        world.status.message.contains("bluegreen.dev/adopt=shop") && world.status.message.contains("spec.service.active.name"),
        "{}",
        world.status.message
    );
    world.services.get_mut("active").unwrap().owner = Owner::Foreign { who: "nobody".into(), adopt: true };
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:1"));
}

// === repair ===

#[test]
fn a_lost_status_is_rebuilt_from_what_is_there_in_every_phase_and_no_gate_is_skipped() {
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
        world.status = bluegreen_api::BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
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

#[test]
fn at_rest_nothing_is_written() {
    let mut world = World::live(json!({"monitoring": {"duration": "1m", "metrics": [metric(json!({}))]}}));
    world.image("shop:2");
    world.settle();
    let before = (world.writes, world.records);
    world.run_for(100_000);
    assert_eq!((world.writes, world.records), before);
}

#[test]
fn a_rollout_that_is_being_deleted_gets_no_effect() {
    let mut world = World::live(json!({}));
    world.services.clear();
    let mut seen = world.seen();
    seen.deleting = true;
    assert!(matches!(decide(&seen), Decision::Wait { .. }));
}

#[test]
fn a_lost_revision_is_stored_again_from_what_runs_and_not_rendered_anew() {
    let mut world = World::live(json!({}));
    world.revisions.clear();
    world.run_for(1);
    assert!(world.log.iter().any(|line| line.contains("ControllerRevision 1 again")), "{}", world.story());
    assert_eq!(world.revisions.len(), 1);
    let attempt = world.status.attempt;
    world.settle();
    assert_eq!((world.phase(), world.status.attempt), (Phase::Healthy, attempt));
}

#[test]
fn revisions_beyond_the_limit_go_and_those_of_a_way_back_stay() {
    let mut world = World::live(json!({"revisionHistoryLimit": 2, "scaleDown": {"drain": "0s", "after": "0s"}}));
    for number in 2..7 {
        world.image(&format!("shop:{number}"));
        world.settle();
    }
    let mut numbers: Vec<_> = world.revisions.values().map(|revision| revision.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [5, 6]);
    world.order("rollback");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:5"));
}

// === leaders ===

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

#[test]
fn a_switch_withdrawn_before_it_happened_can_not_be_made_by_a_leader_that_wakes_late() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    freeze_before(&mut world, |change| matches!(change, Change::ApplyService { role: Role::Active, .. }));
    world.image("shop:1");
    world.operator();
    refused_late(&mut world);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

#[test]
fn a_scale_down_withdrawn_by_a_roll_back_can_not_be_made_by_a_leader_that_wakes_late() {
    let mut world = World::live(json!({}));
    world.image("shop:2");
    freeze_before(&mut world, |change| matches!(change, Change::Scale { color: Color::Blue, replicas: 0 }));
    world.order("rollback");
    world.operator();
    refused_late(&mut world);
    assert_eq!((world.serves().as_deref(), world.ready("shop:1")), (Some("shop:1"), 3), "{}", world.story());
}

#[test]
fn a_scale_down_withdrawn_by_a_retry_can_not_be_made_by_a_leader_that_wakes_late() {
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
fn a_smaller_size_withdrawn_can_not_be_given_by_a_leader_that_wakes_late() {
    let mut world = World::live(json!({}));
    world.change(json!({"replicas": 1}));
    freeze_before(&mut world, |change| matches!(change, Change::Scale { replicas: 1, .. }));
    world.change(json!({"replicas": 3}));
    world.operator();
    refused_late(&mut world);
    assert_eq!(world.ready("shop:1"), 3);
}
