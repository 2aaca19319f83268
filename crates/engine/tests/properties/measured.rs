//! Promise 3: what results come to. A verdict is of this very gate, attempt and revision, and what could not be measured is none.

use crate::{
    results::{Of, Said, anything_said, of_something},
    rollouts::{at, rollouts},
    told::{Case, of_decision, recorded},
    worlds::{BEGAN, config, measured},
};
use bluegreen_api::{BlueGreenRolloutStatus, GateState};
use bluegreen_engine::{Decision, Observed, decide, measure};
use bluegreen_gates::{ask::FLOOR, reading::Measurement};
use jiff::Timestamp;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use std::collections::BTreeSet;

fn without_results(seen: &Observed) -> Observed {
    Observed { results: vec![], ..seen.clone() }
}

/// The gates in the state that a record gives them and that they had not before.
fn turned<'a>(case: &Case, next: &'a BlueGreenRolloutStatus, to: GateState) -> Vec<&'a str> {
    let had = |name: &str| case.status.gates.iter().any(|was| was.name == name && was.state == to);
    next.gates.iter().filter(|gate| gate.state == to).map(|gate| gate.name.as_str()).filter(|name| !had(name)).collect()
}

fn is_rehearsal(gate: &str) -> bool {
    gate.ends_with("/rehearsed")
}

/// The same results, each changed: nothing is to come of them.
fn comes_to_nothing(case: &Case, change: impl Fn(Measurement) -> Measurement) -> Result<(), TestCaseError> {
    let results = case.results.iter().cloned().map(change).collect();
    let decision = decide(&Observed { results, ..case.seen.clone() });
    let same = decision == decide(&without_results(case));
    prop_assert!(same, "promise 3: because of what was measured elsewhere it {}", of_decision(&decision));
    Ok(())
}

/// What was not measured, or not as it was asked for.
fn trouble() -> impl Strategy<Value = Said> {
    prop_oneof![Just(Said::NoData), Just(Said::NotANumber), Just(Said::Failed), Just(Said::Misshapen)]
}

proptest! {
    #![proptest_config(config())]

    /// Nor do those of another revision.
    #[test]
    fn results_of_another_definition_or_attempt_change_nothing(
        case in measured(anything_said()),
        of in prop_oneof![Just(Of::AnotherDefinition), Just(Of::AnotherAttempt), Just(Of::AnotherRevision)],
    ) {
        comes_to_nothing(&case, |result| of_something(result, of))?;
    }

    #[test]
    fn results_from_before_a_gate_began_change_nothing(case in measured(anything_said())) {
        comes_to_nothing(&case, |result| Measurement { at: at(BEGAN - 1), ..result })?;
    }

    /// Neither a lack of data nor trouble with the source is a word on the version.
    #[test]
    fn what_could_not_be_measured_passes_nothing_and_fails_nothing(case in measured(trouble())) {
        let Decision::Record(next) = decide(&case) else { return Ok(()) };
        let failed = turned(&case, &next, GateState::Failed);
        prop_assert!(failed.is_empty(), "promise 3: {failed:?} failed without a measurement: {}", recorded(&next));
        // A rehearsal passes whatever comes of it.
        let mut passed = turned(&case, &next, GateState::Passed);
        passed.retain(|gate| !is_rehearsal(gate));
        prop_assert!(passed.is_empty(), "promise 3: {passed:?} passed without a measurement: {}", recorded(&next));
    }

    /// Whatever came of it, whatever `interval` says, and whether or not it was recorded: no loop runs at full speed.
    #[test]
    fn two_looks_at_one_measurement_are_a_second_apart(case in measured(anything_said())) {
        let floor = |due: Timestamp, at: Timestamp| due >= at.checked_add(FLOOR).unwrap();
        let mut seen = vec![case.seen.clone()];
        if let Decision::Record(next) = decide(&case) {
            seen.push(Observed { status: *next, results: vec![], ..case.seen.clone() });
        }
        for ask in seen.iter().flat_map(measure::wanted) {
            let of_it = |result: &&Measurement| (&result.gate, &result.definition, result.attempt, &result.revision)
                == (&ask.gate, &ask.definition, ask.attempt, &ask.revision);
            let since = case.status.gates.iter().find(|gate| gate.name == ask.gate).map_or(Timestamp::MIN, |gate| gate.since);
            for result in case.results.iter().filter(of_it).filter(|result| result.at >= since) {
                prop_assert!(floor(ask.due, result.at), "{} was measured at {} and is again at {}", ask.gate, result.at, ask.due);
            }
        }
    }

    /// Something divided by nothing may break a limit, and keeps none.
    #[test]
    fn an_infinite_value_passes_nothing(case in measured(Just(Said::Infinite))) {
        let Decision::Record(next) = decide(&case) else { return Ok(()) };
        let mut passed = turned(&case, &next, GateState::Passed);
        passed.retain(|gate| !is_rehearsal(gate));
        prop_assert!(passed.is_empty(), "promise 3: {passed:?} passed by an infinite value: {}", recorded(&next));
    }

    /// A metric with `dryRun` is told, and passes: nobody is given up or waited for because of it.
    #[test]
    fn a_rehearsal_decides_nothing(case in measured(anything_said())) {
        let Decision::Record(next) = decide(&case) else { return Ok(()) };
        for state in [GateState::Failed, GateState::Inconclusive] {
            let turned = turned(&case, &next, state);
            prop_assert!(!turned.into_iter().any(is_rehearsal), "a rehearsal is {state:?}: {}", recorded(&next));
        }
        let given_up = next.ending.as_ref().is_some_and(|ending| ending.reason == "MetricFailed" && ending.message.contains("/rehearsed"));
        prop_assert!(!given_up, "given up because of a rehearsal: {}", recorded(&next));
    }
}

#[test]
fn every_kind_of_gate_is_among_the_rollouts() {
    let gates: BTreeSet<_> = rollouts().iter().flat_map(|rollout| &rollout.gates).map(|gate| gate.name.as_str()).collect();
    let of_both = [
        "home",
        "shown",
        "asked",
        "suite",
        "errors",
        "steady",
        "outside",
        "counted",
        "few",
        "rehearsed",
        "score",
        "slo/home",
        "slo/errors",
    ];
    let stages = ["verification", "monitoring"].into_iter().flat_map(|stage| of_both.map(|name| format!("{stage}/{name}")));
    let of_one = ["verification/beside", "verification/compared", "verification/slower", "verification/house/asked", "monitoring/before"];
    let missing: Vec<_> = stages.chain(of_one.map(str::to_owned)).filter(|name| !gates.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Else nothing of the above would say anything.
#[test]
fn results_count_in_many_worlds_and_turn_gates_either_way() {
    let (mut runner, worlds) = (TestRunner::deterministic(), measured(anything_said()));
    let (mut counted, mut passed, mut failed) = (0, 0, 0);
    for _ in 0..400 {
        let case = worlds.new_tree(&mut runner).unwrap().current();
        let decision = decide(&case);
        counted += usize::from(decision != decide(&without_results(&case)));
        if let Decision::Record(next) = decision {
            passed += turned(&case, &next, GateState::Passed).len();
            failed += turned(&case, &next, GateState::Failed).len();
        }
    }
    assert!(
        counted >= 40 && passed >= 10 && failed >= 10,
        "of 400 worlds {counted} with results that count, {passed} pass, {failed} failed"
    );
}
