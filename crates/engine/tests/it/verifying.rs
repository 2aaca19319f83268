//! A candidate is verified: gates before the switch.

use crate::{
    decided::phase,
    edits::Edit,
    scene::{metric, reason, value},
    world::{self, World},
};
use bluegreen_api::Phase;
use bluegreen_gates::reading::{CheckOutcome, Measurement, Outcome, Reading};
use jiff::Timestamp;
use serde_json::json;

/// It is no word on the release: a person decides, and not the time.
#[test]
fn a_check_that_cannot_be_done_waits_for_a_person() {
    let checks = json!([{"name": "home", "http": {}}, {"name": "health", "http": {}}]);
    let mut world = World::live(json!({"verification": {"checks": checks}}));
    world.gauge = |gate, _, _| match gate {
        "verification/home" => Outcome::Check(CheckOutcome::NotDone("connection refused".into())),
        _ => value(0.0),
    };
    world.image("shop:2");
    world.run_for(7000);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::AwaitingPromotion, "Inconclusive"), "{}", world.story());
    assert!(world.status.message.starts_with("verification/home could not be judged: connection refused"), "{}", world.status.message);
    let records = world.records;
    world.run_for(1000);
    assert_eq!(world.records, records, "{}", world.story());
    world.order("promote");
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
}

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
fn a_failed_check_aborts() {
    let mut world = World::live(json!({"verification": {"checks": [{"name": "home", "http": {}}]}}));
    world.gauge = |_, _, _| value(1.0);
    world.image("shop:2");
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted);
}

#[test]
fn a_failed_check_holds_on_pause_and_promote_does_not_decide() {
    let mut world = World::live(json!({"verification": {"checks": [{"name": "home", "http": {}}], "onFailure": "Pause"}}));
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

// Found by attack.
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
fn results_of_another_time_count_for_nothing() {
    let mut world = World::live(json!({"verification": {"checks": [{"name": "home", "http": {}}]}, "promotion": {"mode": "Manual"}}));
    world.gauge = |_, _, _| Outcome::Check(CheckOutcome::NotDone("no answer".into()));
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.run_for(4);
    let mut seen = world.seen();
    let gate = seen.status.gates[0].clone();
    seen.results = vec![Measurement {
        gate: gate.name,
        definition: gate.definition,
        attempt: seen.status.attempt,
        revision: seen.status.preview.as_ref().unwrap().revision.clone(),
        at: gate.since,
        asked: vec![],
        outcome: Outcome::Check(CheckOutcome::Passed("ok".into())),
    }];
    let passed = |edit: Edit| phase(&seen, edit) == Phase::AwaitingPromotion;
    assert!(passed(|_| {}));
    assert!(!passed(|seen| seen.results[0].gate = "verification/other".into()));
    assert!(!passed(|seen| seen.results[0].definition = "old".into()));
    assert!(!passed(|seen| seen.results[0].attempt -= 1));
    assert!(!passed(|seen| seen.results[0].revision = "other".into()));
    assert!(!passed(|seen| seen.results[0].at = Timestamp::from_second(seen.results[0].at.as_second() - 1).unwrap()));
}

#[test]
fn verification_past_its_timeout_shows_the_last_answer() {
    for (delay, told) in [("10m", "no result yet"), ("0s", "the query returned no data")] {
        let metrics = json!([metric(json!({"initialDelay": delay, "noDataLimit": 1000}))]);
        let mut world = World::live(json!({"verification": {"timeout": "1m", "metrics": metrics}}));
        world.gauge = |_, _, _| Outcome::reading(Reading::NoData);
        world.image("shop:2");
        world.settle();
        let rejected = world.status.rejected.unwrap();
        assert_eq!(rejected.message, format!("verification/errors did not finish within 1m (verification.timeout): {told}"));
    }
}
