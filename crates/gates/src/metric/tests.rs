mod latency;

use super::*;
use crate::{
    gates::{self, GateDefinition, Kind, aligned, definitions},
    reading::{Measurement, Outcome},
    templates::Group,
};
use bluegreen_api::GateState;
use serde_json::json;
use std::collections::BTreeMap;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub fn metric(fields: &serde_json::Value) -> Metric {
    let mut all = json!({"name": "errors", "prometheus": {"query": "rate(e[1m])"}, "max": "0.5", "interval": "5s", "count": 3});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

pub fn prometheus(address: &str) -> Server {
    Server::named(address, None)
}

pub fn defined(stage: Stage, metric: Metric) -> GateDefinition {
    definitions(stage, &[Group::own(stage, vec![], vec![metric])], Some(&prometheus("http://prometheus"))).unwrap().remove(0)
}

pub fn started(definition: &GateDefinition) -> Gate {
    aligned(&[], std::slice::from_ref(definition), definition.stage, at(0)).remove(0)
}

/// The gate after these readings, one each five seconds.
fn after(definition: &GateDefinition, readings: &[Reading]) -> Gate {
    let mut gate = started(definition);
    for (reading, second) in readings.iter().zip((5..).step_by(5)) {
        gates::add(&mut gate, definition, &result(Outcome::reading(reading.clone()), second));
    }
    gate
}

pub fn result(outcome: Outcome, second: i64) -> Measurement {
    Measurement { gate: "errors".into(), definition: "d".into(), attempt: 1, revision: "r".into(), at: at(second), asked: vec![], outcome }
}

pub fn told(gate: &Gate) -> (GateState, &str) {
    (gate.state, gate.message.as_str())
}

#[test]
fn limits_are_numbers_or_percentages() {
    for (text, expected) in [("0.5", 0.5), ("1%", 0.01), ("250%", 2.5), ("-2", -2.0), ("1e3", 1000.0)] {
        assert!((parse_limit(text).unwrap() - expected).abs() < 1e-12, "{text}");
    }
}

#[test]
fn a_value_at_either_limit_is_good() {
    let gate = defined(Stage::Verification, metric(&json!({"min": "0.1", "count": 1})));
    let cases = [
        (0.1, GateState::Passed, "0.1 is at least 0.1 and at most 0.5"),
        (0.3, GateState::Passed, "0.3 is at least 0.1 and at most 0.5"),
        (0.5, GateState::Passed, "0.5 is at least 0.1 and at most 0.5"),
        (0.51, GateState::Failed, "0.51 is above the limit of 0.5"),
        (0.09, GateState::Failed, "0.09 is below the limit of 0.1"),
    ];
    for (value, state, message) in cases {
        assert_eq!(told(&after(&gate, &[Reading::Value(value)])), (state, message));
    }
}

#[test]
fn the_count_of_readings_passes_or_fails_a_gate() {
    let (good, bad) = (Reading::Value(0.0), Reading::Value(1.0));
    let gate = defined(Stage::Verification, metric(&json!({"failureLimit": 2})));
    let told_after = |readings: &[&Reading]| after(&gate, &readings.iter().map(|reading| (*reading).clone()).collect::<Vec<_>>());
    assert_eq!(told_after(&[&good, &good]).state, GateState::Running);
    assert_eq!(told_after(&[&good, &good, &good]).state, GateState::Passed);
    assert_eq!(told(&told_after(&[&bad])), (GateState::Running, "1 is above the limit of 0.5, 1 of 2 in a row (failureLimit)"));
    assert_eq!(told(&told_after(&[&bad, &bad])), (GateState::Failed, "1 is above the limit of 0.5, 2 of 2 in a row (failureLimit)"));
    assert_eq!(told_after(&[&bad, &good, &bad]).state, GateState::Running);
    let monitored = defined(Stage::Monitoring, metric(&json!({})));
    assert_eq!(after(&monitored, &vec![good; 9]).state, GateState::Running, "monitoring lasts as long as it lasts");
}

#[test]
fn a_gate_without_data_turns_inconclusive_at_its_limits() {
    let gate = defined(Stage::Verification, metric(&json!({"noDataLimit": 2, "errorLimit": 3})));
    let (good, none, nan) = (Reading::Value(0.0), Reading::NoData, Reading::NotANumber);
    let broken = Reading::Failed("connection refused".into());
    let cases: [(Vec<&Reading>, GateState, &str); 7] = [
        (vec![&none], GateState::Running, "the query returned no data"),
        (vec![&none, &nan], GateState::Inconclusive, "the query returned NaN (no traffic?)"),
        (vec![&none, &good, &none], GateState::Running, "the query returned no data"),
        (vec![&broken, &broken], GateState::Running, "the source failed: connection refused"),
        (vec![&broken, &broken, &broken], GateState::Inconclusive, "the source failed: connection refused"),
        (vec![&broken, &broken, &none, &broken], GateState::Running, "the source failed: connection refused"),
        (vec![&none, &none, &good], GateState::Running, "0 is at most 0.5"),
    ];
    for (readings, state, message) in cases {
        let readings: Vec<_> = readings.into_iter().cloned().collect();
        assert_eq!(told(&after(&gate, &readings)), (state, message), "{readings:?}");
    }
}

#[test]
fn an_infinite_value_is_a_bad_one_or_none_and_never_a_good_one() {
    let judged = |limits: serde_json::Value, value: f64| {
        let mut all = json!({"max": null, "count": 1, "noDataLimit": 1});
        all.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        let gate = after(&defined(Stage::Verification, metric(&all)), &[Reading::Value(value)]);
        (gate.state, gate.message)
    };
    let none = (GateState::Inconclusive, "the query returned an infinite value (division by 0?)".to_owned());
    let failed = |why: &str| (GateState::Failed, why.to_owned());
    assert_eq!(judged(json!({"max": "1"}), f64::INFINITY), failed("inf is above the limit of 1"));
    assert_eq!(judged(json!({"max": "1"}), f64::NEG_INFINITY), none);
    assert_eq!(judged(json!({"min": "1"}), f64::INFINITY), none);
    assert_eq!(judged(json!({"min": "1"}), f64::NEG_INFINITY), failed("-inf is below the limit of 1"));
    assert_eq!(judged(json!({"goodIf": "value > 1.0"}), f64::INFINITY), none);
    assert_eq!(judged(json!({"goodIf": "value < 1.0"}), f64::INFINITY), failed("inf fails goodIf: value < 1.0"));
}

#[test]
fn bake_time_is_the_time_that_readings_cover() {
    let definition = defined(Stage::Monitoring, metric(&json!({})));
    let mut gate = started(&definition);
    let covered = |gate: &Gate| gate.measured.as_ref().unwrap().covered_millis;
    let steps = [
        (5, 0, "the first covers nothing"),
        (9, 4_000, "four seconds"),
        (9, 4_000, "the same again"),
        (7, 4_000, "an older one"),
        (60, 14_000, "after a gap twice the interval at most"),
    ];
    for (second, expected, why) in steps {
        gates::add(&mut gate, &definition, &result(Outcome::reading(Reading::Value(0.0)), second));
        assert_eq!(covered(&gate), expected, "{why}");
    }
    assert_eq!(gate.measured.unwrap().readings.iter().map(|reading| reading.at).collect::<Vec<_>>(), [at(60), at(9), at(5)]);
}

// === for how long, and beside the active side ===

/// After answers to several queries, one measurement each five seconds.
fn after_all(definition: &GateDefinition, measurements: &[&[Reading]]) -> Gate {
    let mut gate = started(definition);
    for (answers, second) in measurements.iter().zip((5..).step_by(5)) {
        gates::add(&mut gate, definition, &result(Outcome::Readings(answers.to_vec()), second));
    }
    gate
}

#[test]
fn bad_readings_fail_a_gate_only_after_failure_for() {
    let gate = defined(Stage::Monitoring, metric(&json!({"failureFor": "10s"})));
    let (good, bad, none) = (Reading::Value(0.0), Reading::Value(1.0), Reading::NoData);
    let cases: [(&[&Reading], GateState, &str); 5] = [
        (&[&bad], GateState::Running, "1 is above the limit of 0.5, for 0s of 10s (failureFor)"),
        (&[&bad, &bad], GateState::Running, "1 is above the limit of 0.5, for 5s of 10s (failureFor)"),
        (&[&bad, &bad, &bad], GateState::Failed, "1 is above the limit of 0.5, for 10s of 10s (failureFor)"),
        (&[&bad, &good, &bad, &bad], GateState::Running, "1 is above the limit of 0.5, for 5s of 10s (failureFor)"),
        (&[&bad, &none, &bad], GateState::Failed, "1 is above the limit of 0.5, for 10s of 10s (failureFor)"),
    ];
    for (readings, state, message) in cases {
        let readings: Vec<_> = readings.iter().map(|reading| (*reading).clone()).collect();
        assert_eq!(told(&after(&gate, &readings)), (state, message), "{readings:?}");
    }
    let both = defined(Stage::Monitoring, metric(&json!({"failureFor": "5s", "failureLimit": 3})));
    assert_eq!(
        told(&after(&both, &[bad.clone(), bad.clone()])),
        (GateState::Running, "1 is above the limit of 0.5, 2 of 3 in a row (failureLimit), for 5s of 5s (failureFor)")
    );
    assert_eq!(after(&both, &[bad.clone(), bad.clone(), bad]).state, GateState::Failed);
}

#[test]
fn a_value_is_judged_by_the_same_one_of_the_active_side() {
    let gate = defined(Stage::Verification, metric(&json!({"max": null, "maxFactor": "2", "factorFrom": "1%", "count": 1})));
    let cases = [
        (0.04, 0.02, GateState::Passed, "0.04 is at most 2 times the active side's 0.02"),
        (0.041, 0.02, GateState::Failed, "0.041 is more than 2 times the active side's 0.02"),
        (0.01, 0.0, GateState::Passed, "0.01 is at most 0.01 (factorFrom)"),
        (0.011, 0.0, GateState::Failed, "0.011 is more than 2 times the active side's 0"),
    ];
    for (value, active, state, message) in cases {
        let gate = after_all(&gate, &[&[Reading::Value(value), Reading::Value(active)]]);
        assert_eq!(told(&gate), (state, message));
        assert_eq!(gate.measured.unwrap().readings[0].value, shown(value));
    }
    let strict = defined(Stage::Verification, metric(&json!({"maxFactor": "2", "count": 1})));
    let judged = |value, active| after_all(&strict, &[&[Reading::Value(value), Reading::Value(active)]]).state;
    assert_eq!(judged(0.001, 0.0), GateState::Failed, "without factorFrom anything is more than nothing");
    assert_eq!(judged(0.6, 0.5), GateState::Failed, "max holds beside the factor");
}

#[test]
fn without_the_value_of_either_side_nothing_is_compared() {
    let gate = defined(Stage::Verification, metric(&json!({"maxFactor": "2", "errorLimit": 1, "noDataLimit": 1})));
    let (value, failed) = (Reading::Value(0.0), Reading::Failed("refused".into()));
    let cases: [(&[Reading], &str); 5] = [
        (&[value.clone(), Reading::NoData], "the query returned no data"),
        (&[Reading::NoData, value.clone()], "the query returned no data"),
        (&[Reading::NoData, failed.clone()], "the source failed: refused"),
        (&[value.clone(), Reading::NotANumber], "the query returned NaN (no traffic?)"),
        (&[value.clone(), Reading::Value(f64::INFINITY)], "the query returned NaN (no traffic?)"),
    ];
    for (answers, message) in cases {
        assert_eq!(told(&after_all(&gate, &[answers])), (GateState::Inconclusive, message), "{answers:?}");
    }
}

#[test]
fn an_expression_holds_beside_the_limits() {
    let falls = json!({"max": "1000", "goodIf": "value < 100.0 || value < previous", "count": 2});
    let gate = defined(Stage::Monitoring, metric(&falls));
    let readings = |values: &[f64]| values.iter().map(|value| Reading::Value(*value)).collect::<Vec<_>>();
    let not_good = "120 fails goodIf: value < 100.0 || value < previous, previous";
    let cases: [(&[f64], GateState, String); 6] = [
        (&[99.0], GateState::Running, "99 is at most 1000 and good (goodIf: value < 100.0 || value < previous, previous 99)".into()),
        (&[120.0], GateState::Failed, format!("{not_good} 120")),
        (&[99.0, 120.0], GateState::Failed, format!("{not_good} 99")),
        (
            &[90.0, 80.0, 70.0],
            GateState::Running,
            "70 is at most 1000 and good (goodIf: value < 100.0 || value < previous, previous 80)".into(),
        ),
        (&[1001.0], GateState::Failed, "1001 is above the limit of 1000".into()),
        (&[99.0, f64::INFINITY], GateState::Failed, "inf is above the limit of 1000".into()),
    ];
    for (values, state, message) in cases {
        assert_eq!(told(&after(&gate, &readings(values))), (state, message.as_str()), "{values:?}");
    }
    let tolerant =
        defined(Stage::Monitoring, metric(&json!({"max": null, "goodIf": "value < 100.0 || value < previous", "failureLimit": 2})));
    let falling = "140 is good (goodIf: value < 100.0 || value < previous, previous 150)";
    assert_eq!(told(&after(&tolerant, &readings(&[150.0, 140.0]))), (GateState::Running, falling));
    let gap = [Reading::Value(150.0), Reading::NoData, Reading::Value(140.0)];
    assert_eq!(told(&after(&tolerant, &gap)).1, falling, "the reading before that had a value");
    let steady = defined(Stage::Monitoring, metric(&json!({"max": null, "goodIf": "value <= previous"})));
    assert_eq!(
        told(&after(&steady, &readings(&[0.123_456_4, 0.123_456_4]))),
        (GateState::Running, "0.123456 is good (goodIf: value <= previous, previous 0.123456)")
    );
    let small = defined(Stage::Monitoring, metric(&json!({"max": null, "goodIf": "value > 0.0"})));
    assert_eq!(after(&small, &readings(&[1e-9])).state, GateState::Running, "what is not set beside another reading is not rounded");
}

#[test]
fn an_expression_reads_the_active_side_only_before_the_switch() {
    let fields = json!({"max": null, "goodIf": "value < 0.001 || value <= 1.5 * active", "count": 1});
    let gate = defined(Stage::Verification, metric(&fields));
    let judged = |value: f64, active: f64| after_all(&gate, &[&[Reading::Value(value), Reading::Value(active)]]);
    assert_eq!(told(&judged(0.15, 0.1)), (GateState::Passed, "0.15 is good (goodIf: value < 0.001 || value <= 1.5 * active, active 0.1)"));
    let words = "0.151 fails goodIf: value < 0.001 || value <= 1.5 * active, active 0.1";
    assert_eq!(told(&judged(0.151, 0.1)), (GateState::Failed, words));
    let plan = |stage| MetricPlan::of(stage, &metric(&fields), Some(&prometheus("http://prometheus")), 0);
    assert!(plan(Stage::Monitoring).unwrap_err().0.ends_with("remove active from goodIf, or move the metric to spec.verification"));
    let of_the_past = json!({"max": null, "goodIf": "value < active", "maxFactor": "2", "factorOf": "BeforeSwitch"});
    let past = MetricPlan::of(Stage::Verification, &metric(&of_the_past), Some(&prometheus("http://prometheus")), 0);
    assert!(past.unwrap_err().0.starts_with("factorOf: BeforeSwitch compares with the time before the switch: remove it"));
    // The first revision has none beside it.
    assert!(!plan(Stage::Verification).unwrap().alone());
    let mut limited =
        MetricPlan::of(Stage::Verification, &metric(&json!({"goodIf": "value < active"})), Some(&prometheus("http://p")), 0).unwrap();
    assert!(limited.alone());
    let mut own =
        MetricPlan::of(Stage::Verification, &metric(&json!({"max": null, "goodIf": "value < 1.0"})), Some(&prometheus("http://p")), 0)
            .unwrap();
    assert!(own.alone());
}

#[test]
fn an_expression_holds_beside_a_factor_of_before_the_switch() {
    let fields = json!({"max": null, "maxFactor": "2", "factorOf": "BeforeSwitch", "goodIf": "value < 1.0"});
    let gate = defined(Stage::Monitoring, metric(&fields));
    let judged = |value: f64, before: Reading| {
        let gate = after_all(&gate, &[&[Reading::Value(value), before]]);
        (gate.state, gate.message)
    };
    let doubtful = "0.5 is more than 2 times the 0.2 before the switch (the version may not be the cause)";
    assert_eq!(judged(0.5, Reading::Value(0.2)), (GateState::Inconclusive, doubtful.into()));
    assert_eq!(judged(1.5, Reading::Value(0.2)), (GateState::Failed, "1.5 fails goodIf: value < 1.0".into()));
    assert_eq!(judged(1.5, Reading::NoData), (GateState::Failed, "1.5 fails goodIf: value < 1.0".into()), "the past is not needed for it");
}

#[test]
fn a_query_over_a_stretch_of_time_is_one_number_of_its_values() {
    let plan = |fields: serde_json::Value| {
        let mut asked = json!({"query": "rate(e[1m])"});
        asked.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        MetricPlan::of(Stage::Monitoring, &metric(&json!({"prometheus": asked})), Some(&prometheus("http://prometheus")), 0)
    };
    let query = |fields: serde_json::Value| match plan(fields).unwrap().judge {
        Judge::Limits { question: Question::Prometheus { query, .. }, .. } => query,
        _ => panic!("of another kind"),
    };
    for (take, expected) in [
        ("Average", "avg_over_time((rate(e[1m]))[5m:15s])"),
        ("Median", "quantile_over_time(0.5, (rate(e[1m]))[5m:15s])"),
        ("Max", "max_over_time((rate(e[1m]))[5m:15s])"),
        ("Min", "min_over_time((rate(e[1m]))[5m:15s])"),
    ] {
        assert_eq!(query(json!({"range": {"window": "5m", "take": take}})), expected);
    }
    let commented = query(json!({"query": "e # all of them", "range": {"window": "90s", "step": "30s", "take": "Max"}}));
    assert_eq!(commented, "max_over_time((e # all of them\n)[1m30s:30s])");
    let ready = query(json!({"query": null, "ready": {"metric": "Restarts"}, "range": {"window": "5m", "take": "Max"}}));
    assert!(ready.starts_with("max_over_time((sum(increase(") && ready.ends_with(")))[5m:15s])"), "{ready}");
    // The first reading after the switch waits for all that the former version still has in it.
    let delay = |fields: serde_json::Value| plan(fields).unwrap().initial_delay.as_secs();
    assert_eq!((delay(json!({})), delay(json!({"range": {"window": "5m", "take": "Max"}}))), (60, 360));
    for (window, step, good) in [
        ("15s", None, true),
        ("14s", None, false),
        ("3h", Some("1s"), true),
        ("11001s", Some("1s"), false),
        ("5s", Some("500ms"), false),
        ("11000s", Some("1s"), true),
    ] {
        let judged = plan(json!({"range": {"window": window, "step": step, "take": "Max"}}));
        assert_eq!(judged.is_ok(), good, "{window} {step:?}");
        if let Err(Invalid(why)) = judged {
            assert!(why.starts_with("range: window ") && why.ends_with("step must be at least 1s, and window 1 to 11000 steps"), "{why}");
        }
    }
}

// === the comparison of errors ===

fn comparison(fields: &serde_json::Value) -> Metric {
    let mut all = json!({"errors": "errors{pod=~\"{{ pods }}\"}", "requests": "requests{pod=~\"{{ pods }}\"}"});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(json!({"name": "errors", "comparison": all, "interval": "5s", "count": 2, "noDataLimit": 2})).unwrap()
}

/// Errors and requests of the candidate and of the active side.
fn counted(counters: [f64; 4]) -> [Reading; 4] {
    counters.map(Reading::Value)
}

#[test]
fn a_candidate_that_fails_more_is_condemned_with_evidence() {
    let gate = defined(Stage::Verification, comparison(&json!({})));
    let begun = counted([7.0, 1000.0, 50.0, 9000.0]);
    assert_eq!(told(&after_all(&gate, &[&begun])), (GateState::Running, "first reading of the counters; comparison starts with the next"));
    let worse = counted([21.0, 1200.0, 52.0, 9200.0]);
    let condemned = after_all(&gate, &[&begun, &worse]);
    let words = "14 of 200 requests failed, 2 of 200 on the active side (tolerated: 1 times the active rate); evidence 66:1, fails at 20:1";
    assert_eq!(told(&condemned), (GateState::Failed, words));
    assert_eq!(condemned.measured.unwrap().readings[0].value, "66:1");
    let tolerant = defined(Stage::Verification, comparison(&json!({"tolerated": "3"})));
    assert_eq!(after_all(&tolerant, &[&begun, &worse]).state, GateState::Running);
    let sure = defined(Stage::Verification, comparison(&json!({"falseAlarms": "1%"})));
    assert_eq!(after_all(&sure, &[&begun, &worse]).state, GateState::Running, "66:1 is less than 100:1");
}

#[test]
fn a_candidate_passes_after_enough_readings_and_enough_requests() {
    let gate = defined(Stage::Verification, comparison(&json!({"minRequests": 150})));
    let readings = [[0.0, 0.0, 0.0, 0.0], [1.0, 100.0, 1.0, 100.0], [1.0, 149.0, 1.0, 300.0], [1.0, 150.0, 1.0, 400.0]].map(counted);
    let states = [1, 2, 3, 4].map(|count| after_all(&gate, &readings[..count].iter().map(|it| it.as_slice()).collect::<Vec<_>>()).state);
    assert_eq!(states, [GateState::Running, GateState::Running, GateState::Running, GateState::Passed]);
    let passed = after_all(&gate, &readings.iter().map(|it| it.as_slice()).collect::<Vec<_>>());
    assert_eq!(passed.message, "1 of 150 requests failed, 1 of 400 on the active side; evidence 0.75:1, fails at 20:1");
}

#[test]
fn without_traffic_on_both_sides_nobody_can_judge() {
    let gate = defined(Stage::Verification, comparison(&json!({})));
    let quiet = counted([3.0, 100.0, 0.0, 0.0]);
    let words = "no new requests on either side since the last comparison; a comparison needs the same traffic on both sides";
    assert_eq!(told(&after_all(&gate, &[&quiet, &quiet, &quiet])), (GateState::Inconclusive, words));
    let back = after_all(&gate, &[&quiet, &quiet, &quiet, &counted([0.0, 10.0, 0.0, 10.0])]);
    assert_eq!(told(&back), (GateState::Running, "a counter was reset; comparison starts again with the next reading"));
    let failed = Reading::Failed("refused".into());
    let broken = [Reading::Value(0.0), failed, Reading::Value(0.0), Reading::NoData];
    assert_eq!(told(&after_all(&gate, &[&broken])), (GateState::Running, "the source failed: refused"));
}

#[test]
fn several_comparisons_share_the_false_alarms() {
    let two = vec![comparison(&json!({})), Metric { name: "other".into(), ..comparison(&json!({})) }];
    let group = Group::own(Stage::Verification, vec![], two);
    let gates = definitions(Stage::Verification, &[group], Some(&prometheus("http://prometheus"))).unwrap();
    let alone = defined(Stage::Verification, comparison(&json!({})));
    let share = |gate: &GateDefinition| match &gate.kind {
        Kind::Metric(MetricPlan { judge: Judge::Comparison { rule, .. }, .. }) => rule.false_alarms,
        _ => panic!("no comparison"),
    };
    assert_eq!((share(&alone), share(&gates[0])), (0.05, 0.025));
    assert_ne!(alone.definition, gates[0].definition, "judged otherwise, it begins anew");
}

#[test]
fn what_cannot_be_compared_is_told_before_anything_is_asked() {
    let wrong = |stage, metric: Metric| MetricPlan::of(stage, &metric, Some(&prometheus("http://prometheus")), 1).unwrap_err().0;
    let verification = |fields: serde_json::Value| wrong(Stage::Verification, comparison(&fields));
    let after_the_switch = "after the switch the former side has no traffic to compare with: set max or min, factorOf: BeforeSwitch, or compare in spec.verification";
    let cases = [
        (wrong(Stage::Monitoring, comparison(&json!({}))), after_the_switch),
        (wrong(Stage::Monitoring, metric(&json!({"maxFactor": "2"}))), after_the_switch),
        (
            verification(json!({"tolerated": "0.5"})),
            "tolerated is 0.5: write how many times the active side's rate of errors is tolerated, from 1 to 1000",
        ),
        (verification(json!({"falseAlarms": "21%"})), "falseAlarms is 0.21: write a probability of more than 0 and at most 20%"),
        (verification(json!({"falseAlarms": "0"})), "falseAlarms is 0: write a probability of more than 0 and at most 20%"),
        (wrong(Stage::Verification, metric(&json!({"maxFactor": "0"}))), "maxFactor must be more than 0, and factorFrom at least 0"),
        (
            wrong(Stage::Verification, metric(&json!({"max": null}))),
            "a metric needs a limit: set max, min, maxFactor, goodIf, or several of them",
        ),
    ];
    for (told, expected) in cases {
        assert_eq!(told, expected);
    }
    assert!(verification(json!({"errors": "{{ pod }}"})).contains("unknown variable"));
    assert!(verification(json!({"requests": "{{ pod }}"})).contains("unknown variable"));
}

#[test]
fn with_no_other_side_only_limits_are_left() {
    let alone = |metric: Metric| {
        let mut plan = MetricPlan::of(Stage::Verification, &metric, Some(&prometheus("http://prometheus")), 1).unwrap();
        plan.alone().then_some(plan.judge)
    };
    assert!(alone(comparison(&json!({}))).is_none());
    assert!(alone(metric(&json!({"max": null, "maxFactor": "2"}))).is_none());
    let Some(Judge::Limits { limits, .. }) = alone(metric(&json!({"maxFactor": "2"}))) else { panic!("dropped") };
    assert_eq!(limits, Limits { min: None, max: Some(0.5), factor: None, good_if: None });
}

#[test]
fn more_than_before_the_switch_is_told_and_decides_nothing() {
    let before = |fields: &serde_json::Value| {
        let mut all = json!({"max": null, "maxFactor": "1.5", "factorOf": "BeforeSwitch", "failureLimit": 2});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        defined(Stage::Monitoring, metric(&all))
    };
    let pair = |value: f64, before: Reading| vec![Reading::Value(value), before];
    let (slow, fine) = (pair(0.8, Reading::Value(0.5)), pair(0.7, Reading::Value(0.5)));
    let why = "0.8 is more than 1.5 times the 0.5 before the switch (the version may not be the cause)";
    let gate = before(&json!({}));
    assert_eq!(told(&after_all(&gate, &[&slow])), (GateState::Running, format!("{why}, 1 of 2 in a row (inconclusiveLimit)").as_str()));
    assert_eq!(
        told(&after_all(&gate, &[&slow, &slow])),
        (GateState::Inconclusive, format!("{why}, 2 of 2 in a row (inconclusiveLimit)").as_str())
    );
    assert_eq!(told(&after_all(&gate, &[&slow, &slow, &fine])), (GateState::Running, "0.7 is at most 1.5 times the 0.5 before the switch"));
    let patient = before(&json!({"inconclusiveLimit": 3}));
    assert_eq!(
        told(&after_all(&patient, &[&slow, &slow])),
        (GateState::Running, format!("{why}, 2 of 3 in a row (inconclusiveLimit)").as_str())
    );
    assert_eq!(after_all(&patient, &[&slow, &slow, &slow]).state, GateState::Inconclusive);
    // A limit of its own is another matter, and what was only worse than before counts nothing towards it.
    let twice = before(&json!({"max": "0.9"}));
    let worse = pair(1.0, Reading::Value(0.5));
    let last = after_all(&twice, &[&slow, &slow, &worse]);
    assert_eq!(told(&last), (GateState::Running, "1 is above the limit of 0.9, 1 of 2 in a row (failureLimit)"));
    let limited = before(&json!({"max": "0.75", "failureLimit": 1}));
    assert_eq!(told(&after_all(&limited, &[&slow])), (GateState::Failed, "0.8 is above the limit of 0.75"));
    // The past brings no more data, however often it is asked.
    for nothing in [Reading::NoData, Reading::NotANumber, Reading::Value(f64::INFINITY)] {
        assert_eq!(told(&after_all(&limited, &[&pair(0.7, nothing.clone())])), (GateState::Running, "0.7 is at most 0.75"));
        let gate = after_all(&gate, &[&pair(0.7, nothing)]);
        assert_eq!(gate.measured.unwrap().no_data_in_row, 1);
    }
}

#[test]
fn a_factor_is_of_a_side_that_there_is_at_that_stage() {
    let wrong = |stage, fields: serde_json::Value| {
        let mut all = json!({"maxFactor": "2", "factorOf": "BeforeSwitch"});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        MetricPlan::of(stage, &metric(&all), Some(&prometheus("http://prometheus")), 1).err().map(|error| error.0)
    };
    assert!(
        wrong(Stage::Verification, json!({}))
            .unwrap()
            .starts_with("factorOf: BeforeSwitch compares with the time before the switch: remove it")
    );
    let web = |url: &str| json!({"prometheus": null, "web": {"url": url, "jsonPath": "$.v"}});
    assert!(wrong(Stage::Monitoring, web("https://numbers/")).unwrap().ends_with("put {{ end }} into the url or the body"));
    assert_eq!(wrong(Stage::Monitoring, web("https://numbers/?at={{ end }}")), None);
    assert_eq!(wrong(Stage::Monitoring, json!({})), None);
    let of_active = json!({"inconclusiveLimit": 2, "factorOf": "ActiveSide"});
    assert!(wrong(Stage::Verification, of_active).unwrap().starts_with("inconclusiveLimit is for what is worse than before the switch"));
}

#[test]
fn a_value_of_too_few_requests_is_no_data() {
    let asked = json!({"query": "e", "requests": "n", "minRequests": 50});
    let gate = defined(Stage::Verification, metric(&json!({"prometheus": asked, "count": 1, "noDataLimit": 2})));
    let pair = |value: f64, requests: Reading| vec![Reading::Value(value), requests];
    let few = "49 requests, at least 50 needed (minRequests)";
    let cases = [
        (vec![pair(0.0, Reading::Value(50.0))], GateState::Passed, "0 is at most 0.5"),
        (vec![pair(1.0, Reading::Value(50.0))], GateState::Failed, "1 is above the limit of 0.5"),
        (vec![pair(0.0, Reading::Value(49.0))], GateState::Running, few),
        (vec![pair(1.0, Reading::Value(49.0)); 2], GateState::Inconclusive, few),
        (vec![pair(0.0, Reading::NoData)], GateState::Running, "no series of requests was found, at least 50 needed (minRequests)"),
        (vec![vec![Reading::NoData, Reading::Value(0.0)]], GateState::Running, "0 requests, at least 50 needed (minRequests)"),
        (vec![vec![Reading::NoData, Reading::Value(50.0)]], GateState::Running, "the query returned no data"),
        (vec![pair(0.0, Reading::Failed("refused".into()))], GateState::Running, "the source failed: refused"),
        (vec![pair(0.0, Reading::NotANumber)], GateState::Running, "the query returned NaN (no traffic?)"),
    ];
    for (readings, state, message) in cases {
        let readings: Vec<_> = readings.iter().map(Vec::as_slice).collect();
        assert_eq!(told(&after_all(&gate, &readings)), (state, message), "{readings:?}");
    }
    let shown = after_all(&gate, &[&pair(0.0, Reading::Value(1.0))]).measured.unwrap();
    assert_eq!((shown.readings[0].value.as_str(), shown.covered_millis), ("TooFew", 0), "no bake time passes without traffic");
    // Beside a factor it still comes last.
    let beside = defined(Stage::Verification, metric(&json!({"prometheus": asked, "max": null, "maxFactor": "2", "count": 1})));
    let three = |requests: f64| [0.3, 0.1, requests].map(Reading::Value);
    assert_eq!(after_all(&beside, &[&three(50.0)]).state, GateState::Failed);
    assert_eq!(told(&after_all(&beside, &[&three(49.0)])), (GateState::Running, few));
}

#[test]
fn min_requests_needs_a_count_or_a_ready_metric() {
    let traffic = |asked: serde_json::Value| {
        let plan = MetricPlan::of(Stage::Monitoring, &metric(&json!({"prometheus": asked})), Some(&prometheus("http://p")), 0);
        plan.map(|plan| {
            let Judge::Limits { traffic, .. } = plan.judge else { panic!("no limits") };
            (traffic.map(|traffic| traffic.requests.to_string()), plan.initial_delay.as_secs())
        })
        .map_err(|Invalid(why)| why)
    };
    let ready = json!({"metric": "ErrorRate", "source": "Istio", "window": "30s"});
    let counted = r#"sum(increase(istio_requests_total{namespace="{{ namespace }}",pod=~"{{ pods }}",reporter="destination"}[30s]))"#;
    assert_eq!(traffic(json!({"ready": ready, "minRequests": 10})), Ok((Some(counted.to_owned()), 30)));
    assert_eq!(traffic(json!({"ready": ready})), Ok((None, 30)));
    let own = json!({"query": "e[1m]", "requests": "increase(n[2m])", "minRequests": 10});
    assert_eq!(traffic(own), Ok((Some("increase(n[2m])".to_owned()), 120)), "of both the longer range");
    let unknown = "minRequests needs to know how requests are counted: set requests, a query that yields their number";
    for asked in [json!({"query": "e", "minRequests": 1}), json!({"ready": {"metric": "CPU"}, "minRequests": 1})] {
        assert_eq!(traffic(asked), Err(unknown.to_owned()));
    }
    let alone = "requests counts what minRequests asks for: set both, or neither";
    assert_eq!(traffic(json!({"query": "e", "requests": "n"})), Err(alone.to_owned()));
    assert!(traffic(json!({"query": "e", "requests": "{{ nobody }}", "minRequests": 1})).unwrap_err().contains("nobody"));
}

#[test]
fn a_dry_run_passes_whatever_its_verdict_and_tells_it() {
    let gate = defined(Stage::Verification, metric(&json!({"dryRun": true, "count": 2, "errorLimit": 1})));
    let cases = [
        (vec![Reading::Value(0.0)], GateState::Running, "0 is at most 0.5"),
        (vec![Reading::Value(0.0); 2], GateState::Passed, "0 is at most 0.5 (dry run)"),
        (vec![Reading::Value(1.0)], GateState::Passed, "dry run: would have failed: 1 is above the limit of 0.5"),
        (vec![Reading::Failed("refused".into())], GateState::Passed, "dry run: inconclusive: the source failed: refused"),
    ];
    for (readings, state, message) in cases {
        assert_eq!(told(&after(&gate, &readings)), (state, message));
    }
}

/// One of each kind that asks a Prometheus, with these fields beside its query.
fn asking(beside: &serde_json::Value) -> [Metric; 3] {
    let with = |mut fields: serde_json::Value| {
        fields.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
        fields
    };
    [
        metric(&json!({"prometheus": with(json!({"query": "e"}))})),
        metric(&json!({"prometheus": null, "max": null, "comparison": with(json!({"errors": "e", "requests": "r"}))})),
        metric(&json!({"prometheus": null, "max": null, "latency": with(json!({"buckets": "b"}))})),
    ]
}

#[test]
fn credentials_go_where_they_belong_and_nowhere_else() {
    let secret = |name: &str| Credentials { secret_name: name.into() };
    let (team, open) = (Server::named("http://team", Some(secret("team"))), prometheus("http://team"));
    let operators = Server::of_operator("http://operator");
    let of = |default: &Server, address: Option<&str>, own: Option<&str>| {
        let kinds = asking(&json!({"address": address, "credentials": own.map(secret)}));
        let plans = kinds.map(|metric| MetricPlan::of(Stage::Verification, &metric, Some(default), 1));
        let [one, two, three] = plans.map(|plan| plan.map(|plan| plan.credentials).map_err(|Invalid(why)| why));
        assert!(one == two && two == three, "{one:?} {two:?} {three:?}");
        one
    };
    for (default, address, own, shown) in [
        (&team, None, None, Whose::Secret(secret("team"))),
        (&open, None, None, Whose::Nobody),
        (&operators, None, None, Whose::Operator),
        (&team, Some("http://own"), Some("own"), Whose::Secret(secret("own"))),
        (&operators, Some("http://own"), Some("own"), Whose::Secret(secret("own"))),
        (&team, Some("http://other"), None, Whose::Nobody),
        (&operators, Some("http://other"), None, Whose::Nobody),
        (&operators, Some("http://operator"), None, Whose::Nobody),
        (&operators, Some("http://operator"), Some("own"), Whose::Secret(secret("own"))),
    ] {
        assert_eq!(of(default, address, own).unwrap(), shown, "{address:?} with {own:?} beside {default:?}");
    }
    for default in [&team, &operators] {
        let error = of(default, None, Some("own")).unwrap_err();
        assert_eq!(error, BESIDE);
    }
}

const BESIDE: &str = "credentials and headers are for the address beside them: set address too, or those of sources.prometheus";

/// The tenant that each question names.
fn tenants(judge: &Judge) -> Vec<Option<String>> {
    let questions = match judge {
        Judge::Limits { question, .. } => vec![question],
        Judge::Comparison { errors, requests, .. } => vec![errors, requests],
        Judge::Latency { buckets, .. } => vec![buckets],
        Judge::Job { .. } => vec![],
    };
    let tenant = |question: &Question| match question {
        Question::Prometheus { headers, .. } | Question::Buckets { headers, .. } => {
            headers.get("x-scope-orgid").map(|tenant| tenant.to_str().unwrap().to_owned())
        }
        Question::Web(_) | Question::Nobody(_) => None,
    };
    questions.into_iter().map(tenant).collect()
}

#[test]
fn headers_go_to_the_address_beside_them_and_nowhere_else() {
    let tenant = |name: &str| BTreeMap::from([("X-Scope-OrgID".to_owned(), name.to_owned())]);
    let (team, operators) = (prometheus("http://team").with(&tenant("team")).unwrap(), Server::of_operator("http://operator"));
    let own = json!({"address": "http://own", "headers": tenant("own")});
    for (default, beside, sent) in [
        (&team, json!({}), Some("team")),
        (&operators, json!({}), None),
        (&team, json!({"address": "http://other"}), None),
        (&team, own.clone(), Some("own")),
        (&operators, own, Some("own")),
    ] {
        for metric in asking(&beside) {
            let plan = MetricPlan::of(Stage::Verification, &metric, Some(default), 1).unwrap();
            let sent_with_each = tenants(&plan.judge).iter().all(|tenant| tenant.as_deref() == sent);
            assert!(sent_with_each, "{beside} beside {default:?}: {:?}", tenants(&plan.judge));
        }
    }
    for default in [&team, &operators] {
        for metric in asking(&json!({"headers": tenant("own")})) {
            assert_eq!(MetricPlan::of(Stage::Verification, &metric, Some(default), 1).unwrap_err().0, BESIDE);
        }
    }
}

#[test]
fn headers_that_no_query_may_have_are_refused_before_it() {
    let operators = |name: &str| format!("the header {name:?} is set by the operator: remove it");
    for (headers, why) in [
        (json!({"Host": "prometheus"}), operators("host")),
        (json!({"Content-Type": "text/plain"}), operators("content-type")),
        (json!({"Accept-Encoding": "gzip"}), operators("accept-encoding")),
        (json!({"Proxy-Authorization": "Basic YTpi"}), operators("proxy-authorization")),
        (
            json!({"authorization": "Bearer a"}),
            "the header \"Authorization\" belongs in a Secret: remove it, and set credentials".to_owned(),
        ),
        (json!({"Connection": "close"}), "the header \"Connection\" is set by the HTTP client: remove it".to_owned()),
        (json!({"X-Scope-OrgID": "a", "x-scope-orgid": "b"}), "the header \"x-scope-orgid\" is set twice: keep one".to_owned()),
        (json!({"X Scope": "a"}), "the header \"X Scope\" is not a valid header name".to_owned()),
        (json!({"a": "b\nc"}), "the header \"a\" has a value with characters that are not visible ASCII".to_owned()),
    ] {
        let beside = json!({"address": "http://own", "headers": headers});
        for metric in asking(&beside) {
            assert_eq!(MetricPlan::of(Stage::Verification, &metric, None, 1).unwrap_err().0, why, "{headers}");
        }
    }
}

#[test]
fn a_metric_of_the_web_is_judged_as_any_other() {
    let web = json!({"prometheus": null, "web": {"url": "https://numbers/", "jsonPath": "$.v"}});
    let gate = defined(Stage::Verification, metric(&web));
    assert_eq!(told(&after(&gate, &[Reading::Value(0.6)])), (GateState::Failed, "0.6 is above the limit of 0.5"));
    let both = metric(&json!({"web": {"url": "https://numbers/", "jsonPath": "$.v"}}));
    let error = MetricPlan::of(Stage::Verification, &both, None, 1).unwrap_err().to_string();
    assert_eq!(error, "set exactly one kind of metric: prometheus, web, job, comparison or latency");
}

#[test]
fn a_metric_of_a_job_is_judged_as_any_other() {
    let of = |fields: serde_json::Value| {
        let containers = json!([{"name": "load", "image": "load:1"}]);
        let mut all = json!({"prometheus": null, "job": {"template": {"spec": {"template": {"spec": {"containers": containers}}}}}});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        metric(&all)
    };
    let gate = defined(Stage::Verification, of(json!({})));
    assert_eq!(told(&after(&gate, &[Reading::Value(0.6)])), (GateState::Failed, "0.6 is above the limit of 0.5"));
    let broken = Reading::Failed("Job shop-load-x failed with exit code 1".into());
    assert_eq!(told(&after(&gate, &[broken])), (GateState::Running, "the source failed: Job shop-load-x failed with exit code 1"));

    let plan = |stage, fields: serde_json::Value| MetricPlan::of(stage, &of(fields), None, 1);
    for stage in [Stage::Verification, Stage::Monitoring] {
        let mut unsaid = plan(stage, json!({"interval": null})).unwrap();
        assert_eq!((unsaid.patience.interval, unsaid.initial_delay), (time::Duration::from_secs(60), time::Duration::ZERO));
        assert!(unsaid.alone(), "a limit is left to the first revision");
    }
    assert_eq!(plan(Stage::Monitoring, json!({})).unwrap().patience.interval, time::Duration::from_secs(5));

    let alone = "a Job measures one side alone: set max or min instead of maxFactor, or let the Job compare";
    let cases = [
        (Stage::Verification, json!({"maxFactor": "2"}), alone),
        (Stage::Monitoring, json!({"maxFactor": "2", "factorOf": "BeforeSwitch"}), alone),
        (
            Stage::Verification,
            json!({"goodIf": "value < active"}),
            "a Job measures one side alone: take active out of goodIf, or let the Job compare",
        ),
        (Stage::Verification, json!({"max": null}), "a metric needs a limit: set max, min, maxFactor, goodIf, or several of them"),
        (
            Stage::Verification,
            json!({"job": {"template": {"spec": {}}}}),
            "the Job has no containers: add one to job.template.spec.template.spec.containers",
        ),
        (
            Stage::Verification,
            json!({"web": {"url": "https://numbers/", "jsonPath": "$.v"}}),
            "set exactly one kind of metric: prometheus, web, job, comparison or latency",
        ),
    ];
    for (stage, fields, why) in cases {
        assert_eq!(plan(stage, fields.clone()).unwrap_err().0, why, "{fields}");
    }
}

#[test]
fn an_answer_is_waited_for_a_minute_at_most() {
    let timeout = |timeout: &str| {
        let fields = json!({"prometheus": {"query": "e", "timeout": timeout}, "interval": "0s"});
        let plan = MetricPlan::of(Stage::Verification, &metric(&fields), Some(&prometheus("http://p")), 0).unwrap();
        assert_eq!(plan.patience.interval.as_secs(), 1);
        plan.timeout.as_secs()
    };
    assert_eq!((timeout("30s"), timeout("1h")), (30, 60));
}
