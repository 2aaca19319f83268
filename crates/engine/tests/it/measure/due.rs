//! When each gate is measured.

use super::{monitoring, result, unmeasured, verifying};
use crate::world::{Ask, World};
use bluegreen_api::{GateState, Phase};
use bluegreen_engine::{Observed, measure};
use bluegreen_gates::reading::{CheckOutcome, Outcome};
use jiff::SignedDuration;
use serde_json::json;

fn pass(seen: &mut Observed, gate: &str) {
    seen.status.gates.iter_mut().find(|known| known.name == gate).unwrap().state = GateState::Passed;
}

/// Gates that are measured, with the seconds from the start of the phase until then.
fn measured(seen: &Observed) -> Vec<(String, i64)> {
    let since = seen.status.clock.as_ref().unwrap().since;
    measure::wanted(seen).into_iter().map(|wanted| (wanted.gate, wanted.due.duration_since(since).as_secs())).collect()
}

fn names(seen: &Observed) -> Vec<String> {
    measured(seen).into_iter().map(|(gate, _)| gate).collect()
}

#[test]
fn before_the_switch_checks_come_one_by_one_then_metrics() {
    let mut seen = verifying();
    assert_eq!(names(&seen), ["verification/home"]);
    pass(&mut seen, "verification/home");
    assert_eq!(names(&seen), ["verification/health"]);
    pass(&mut seen, "verification/health");
    assert_eq!(measured(&seen), [("verification/errors".into(), 0), ("verification/latency".into(), 3)]);
    pass(&mut seen, "verification/errors");
    assert_eq!(names(&seen), ["verification/latency"], "what has passed is not measured again");
}

/// It is tried on.
#[test]
fn a_check_that_nobody_can_judge_holds_up_no_other() {
    let mut seen = verifying();
    let unknown = |seen: &mut Observed, gate: &str| {
        seen.status.gates.iter_mut().find(|known| known.name == gate).unwrap().state = GateState::Inconclusive;
    };
    unknown(&mut seen, "verification/home");
    assert_eq!(names(&seen), ["verification/home", "verification/health"]);
    unknown(&mut seen, "verification/health");
    assert_eq!(names(&seen), ["verification/home", "verification/health", "verification/errors", "verification/latency"]);
}

#[test]
fn after_the_switch_metrics_are_read_while_checks_go_on() {
    assert_eq!(names(&monitoring()), ["monitoring/home", "monitoring/errors", "monitoring/latency"]);
}

#[test]
fn each_gate_is_measured_again_after_its_own_interval() {
    let mut seen = monitoring();
    // The world answers a metric with the pass of a check, which takes its time.
    seen.status.gates.iter_mut().for_each(|gate| gate.tries = None);
    let since = seen.status.clock.as_ref().unwrap().since;
    let at = |seconds: i64| since.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    seen.results = vec![result(&seen, "monitoring/home", at(10)), result(&seen, "monitoring/errors", at(20))];
    let due = |gate: &str, after: i64| (format!("monitoring/{gate}"), after);
    assert_eq!(measured(&seen), [due("home", 12), due("errors", 25), due("latency", 3)]);
    seen.results[1].definition = "another".into();
    assert_eq!(measured(&seen)[1], due("errors", 0), "a result of a former definition is none");
}

#[test]
fn a_result_counts_only_for_the_definition_that_spec_has_now() {
    let mut seen = verifying();
    for gate in seen.status.gates.iter_mut().filter(|gate| gate.name == "verification/home") {
        gate.definition = "another".into();
    }
    assert_eq!(names(&seen), ["verification/health"], "the gate is to be recorded anew before it is measured");
}

#[test]
fn a_hold_stops_measuring_before_the_switch_and_not_after() {
    type Hold = fn(&mut Observed);
    let holds: [(&str, Hold); 3] = [
        ("by spec", |seen| seen.ask(|spec| spec.paused = true)),
        ("by an order", |seen| seen.status.paused_by_order = true),
        ("without replicas", |seen| seen.ask(|spec| spec.replicas = 0)),
    ];
    for (how, hold) in holds {
        let (mut before, mut after) = (verifying(), monitoring());
        hold(&mut before);
        hold(&mut after);
        after.status.clock.as_mut().unwrap().stopped = Some(after.now);
        assert!(names(&before).is_empty(), "{how}");
        assert_eq!(names(&after).len(), 3, "{how}");
    }
}

#[test]
fn a_deletion_a_dropped_gate_or_a_failure_ends_measuring() {
    for mut seen in [verifying(), monitoring()] {
        seen.deleting = true;
        assert!(names(&seen).is_empty());
    }
    let mut seen = monitoring();
    seen.status.gates.iter_mut().find(|gate| gate.name == "monitoring/latency").unwrap().state = GateState::Failed;
    assert!(names(&seen).is_empty(), "a person decides");
    let mut seen = monitoring();
    seen.ask(|spec| spec.monitoring.as_mut().unwrap().checks.clear());
    assert_eq!(names(&seen), ["monitoring/errors", "monitoring/latency"]);
    let mut world = World::new(json!({"verification": {"initial": true, "checks": [{"name": "home", "http": {}}]}}));
    world.gauge = |_, _, _| Outcome::Check(CheckOutcome::NotDone("not yet".into()));
    world.run(60, |world| !measure::wanted(&world.seen()).is_empty());
    let mut seen = world.seen();
    assert_eq!((world.phase(), names(&seen).len()), (Phase::Initializing, 1), "{}", world.story());
    seen.ask(|spec| spec.verification.as_mut().unwrap().initial = false);
    assert!(names(&seen).is_empty(), "the first revision is no longer to be verified");
}

#[test]
fn a_soft_metric_is_measured_until_it_or_the_score_turns() {
    let metric = |name: &str, weight: Option<i32>| json!({"name": name, "prometheus": {"query": "q"}, "max": "1", "weight": weight});
    let metrics = [metric("errors", Some(3)), metric("latency", Some(2)), metric("memory", None)];
    let seen = unmeasured(json!({"verification": {"score": {"min": "60%"}, "metrics": metrics}}), Phase::Verifying);
    let with = |states: &[(&str, GateState)]| {
        let mut seen = seen.clone();
        for (name, state) in states {
            seen.status.gates.iter_mut().find(|gate| gate.name == format!("verification/{name}")).unwrap().state = *state;
        }
        names(&seen).iter().map(|name| name.trim_start_matches("verification/").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(with(&[]), ["errors", "latency", "memory"]);
    assert_eq!(with(&[("latency", GateState::Failed)]), ["errors", "memory"], "the others may be enough");
    assert_eq!(with(&[("latency", GateState::Inconclusive), ("score", GateState::Inconclusive)]), ["errors", "latency", "memory"]);
    assert_eq!(with(&[("errors", GateState::Passed), ("score", GateState::Passed)]), ["memory"], "it needs no more of the rest");
    for condemned in ["score", "memory"] {
        assert!(with(&[(condemned, GateState::Failed)]).is_empty(), "{condemned}");
    }
}

#[test]
fn the_reason_a_check_cannot_be_made_is_recorded_once() {
    let mut world = World::live(json!({"verification": {"checks": [{"name": "home", "http": {}}]}}));
    world.gauge = |_, _, _| Outcome::Check(CheckOutcome::NotDone("no route".into()));
    world.image("shop:2");
    world.run_until(Phase::Verifying);
    world.run_for(5);
    assert_eq!(world.status.gates[0].message, "no route");
    let records = world.records;
    world.run_for(60);
    assert_eq!((world.records, world.status.gates[0].state), (records + 1, GateState::Inconclusive), "once more when it turns");
    world.run_for(600);
    assert_eq!(world.records, records + 1);
}
