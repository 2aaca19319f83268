//! Several soft metrics, and the score that decides over them.

use crate::{
    scene::{is_rolled_back_when_its_bake_time_ends_badly, metric, reason, value},
    world::{self, World},
};
use bluegreen_api::{GateState, Phase};
use bluegreen_gates::reading::{Outcome, Reading};
use jiff::Timestamp;
use serde_json::{Value, json};

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

fn slow(gate: &str, image: &str, _: Timestamp) -> Outcome {
    value(if gate.ends_with("/latency") && image == "shop:2" { 1.0 } else { 0.0 })
}

fn slow_with_a_queue(gate: &str, image: &str, at: Timestamp) -> Outcome {
    if gate.ends_with("/queue") && image == "shop:2" { value(1.0) } else { slow(gate, image, at) }
}

fn no_errors_told(gate: &str, image: &str, _: Timestamp) -> Outcome {
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
fn the_score_decides_over_one_bad_soft_metric() {
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
    let message = "verification/score failed: at most 50 % can still pass, 60 % required; failed: latency (2), queue (1)";
    assert_eq!(rejected(&world), ("MetricFailed", message));
    assert_eq!(ended(&world, "verification/errors"), Some(GateState::Running));
}

/// But for every other gate.
#[test]
fn a_reached_score_waits_for_no_soft_metric() {
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
    assert_eq!(
        (bad.phase(), rejected(&bad)),
        (Phase::Aborted, ("MetricFailed", "verification/memory failed: 1 is above the limit of 0.01"))
    );
}

#[test]
fn an_undecided_score_waits_for_a_person_or_for_readings() {
    let mut world = World::live(scored("verification", "60%", three()));
    world.gauge = no_errors_told;
    world.image("shop:2");
    world.run_for(600);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::AwaitingPromotion, "Inconclusive"), "{}", world.story());
    let told = "verification/score could not be judged: 50 % of the weights passed, 60 % required; not judged: errors (3). Approve: kubectl annotate bgr shop ";
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
}

#[test]
fn a_score_reached_without_all_readings_does_not_wait() {
    let mut world = World::live(scored("verification", "50%", three()));
    world.gauge = no_errors_told;
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
}

#[test]
fn an_approved_score_does_not_cover_what_turns_bad_later() {
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
        "verification/score could not be judged: 50 % of the weights passed, 60 % required; failed: queue (1); not judged: latency (2)";
    assert!(world.status.message.starts_with(told), "{}", world.status.message);
    let again = format!("{}/2", world.status.preview.as_ref().unwrap().revision);
    assert!(
        world.status.message.contains(&format!("bluegreen.dev/promote={again}; instead: bluegreen.dev/abort=")),
        "{}",
        world.status.message
    );
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

/// ObjectKind for two minutes, with a score of 60 % asked for.
fn watched() -> World {
    let mut spec = scored("monitoring", "60%", three());
    spec["monitoring"]["duration"] = json!("2m");
    World::in_phase(spec, "shop:2", Phase::Monitoring)
}

#[test]
fn a_soft_metric_that_is_good_to_the_end_of_monitoring_counts() {
    let mut world = watched();
    world.gauge = slow;
    world.run_for(100);
    assert_eq!(world.phase(), Phase::Monitoring, "its time isn't over: {}", world.story());
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
    let states = ["errors", "latency", "score"].map(|name| ended(&world, &format!("monitoring/{name}")));
    assert_eq!(states, [GateState::Running, GateState::Failed, GateState::Passed].map(Some));
}

#[test]
fn a_score_out_of_reach_in_monitoring_rolls_back_at_once() {
    let mut world = watched();
    world.gauge = slow_with_a_queue;
    let start = world.second();
    world.run_until(Phase::RollingBack);
    assert!(world.second() - start < 60, "{}", world.story());
    world.settle();
    let message = "monitoring/score failed: at most 50 % can still pass, 60 % required; failed: latency (2), queue (1)";
    assert_eq!((world.serves().as_deref(), rejected(&world)), (Some("shop:1"), ("MetricFailed", message)), "{}", world.story());
}

/// It holds, rolls back or passes.
#[test]
fn an_unknown_score_ends_monitoring_as_on_unknown_asks() {
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
            let told = "monitoring/score could not be judged: 50 % of the weights passed, 60 % required; not judged: errors (3). ";
            assert!(world.status.message.starts_with(told), "{}", world.status.message);
        }
    }
}

#[test]
fn a_score_with_bad_readings_does_not_end_the_bake_time() {
    let metrics = vec![metric(json!({"weight": 1, "failureFor": "1m"}))];
    let mut spec = scored("monitoring", "100%", metrics);
    spec["monitoring"]["duration"] = json!("2m");
    is_rolled_back_when_its_bake_time_ends_badly(spec);
}

/// A first revision that these metrics verify.
fn first(metrics: Vec<Value>, gauge: fn(&str, &str, Timestamp) -> Outcome) -> World {
    let mut spec = scored("verification", "60%", metrics);
    spec["verification"]["initial"] = json!(true);
    spec["image"] = json!("shop:2");
    let mut world = World::new(spec);
    world.gauge = gauge;
    world.settle();
    world
}

#[test]
fn the_first_revision_is_verified_by_a_score_too() {
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
}

#[test]
fn a_first_revision_that_only_comparisons_score_has_no_score() {
    let compared = json!({"name": "compared", "weight": 1, "comparison": {"errors": "e", "requests": "r"}});
    let world = first(vec![compared], slow);
    assert_eq!((world.phase(), ended(&world, "verification/score")), (Phase::Healthy, None), "{}", world.story());
}
