//! The comparison of latencies: what is asked, what it adds up to, and in which words.

use super::*;
use crate::{reading::buckets::Buckets, weigh::latencies::Rule};

fn latency(fields: &serde_json::Value) -> Metric {
    let mut all = json!({"buckets": "b{pod=~\"{{ pods }}\"}"});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(json!({"name": "errors", "latency": all, "interval": "5s", "count": 2, "noDataLimit": 2})).unwrap()
}

/// The counters of one side: requests up to 0.1 s, up to 0.5 s, and all.
fn buckets(counts: [f64; 3]) -> Reading {
    Reading::Buckets(Buckets::of(["0.1", "0.5", "+Inf"].map(Some).into_iter().zip(counts)).unwrap())
}

fn sides(candidate: [f64; 3], active: [f64; 3]) -> [Reading; 2] {
    [buckets(candidate), buckets(active)]
}

#[test]
fn a_slower_candidate_is_condemned_with_the_size_of_effect() {
    let gate = defined(Stage::Verification, latency(&json!({})));
    let begun = sides([7.0, 8.0, 9.0], [1000.0, 1500.0, 1700.0]);
    assert_eq!(told(&after_all(&gate, &[&begun])), (GateState::Running, "first reading of the counters; comparison starts with the next"));
    let slower = sides([27.0, 88.0, 209.0], [1060.0, 1640.0, 1900.0]);
    let condemned = after_all(&gate, &[&begun, &slower]);
    let words = "candidate slower in 67.5 % of request pairs (limit 56 %); 200 requests on the candidate, 200 on the active side; evidence 750:1, fails at 20:1";
    assert_eq!(told(&condemned), (GateState::Failed, words));
    assert_eq!(condemned.measured.unwrap().readings[0].value, "750:1");
    let tolerant = defined(Stage::Verification, latency(&json!({"tolerated": "0.7"})));
    assert_eq!(after_all(&tolerant, &[&begun, &slower]).state, GateState::Running);
    let sure = defined(Stage::Verification, latency(&json!({"falseAlarms": "0.1%"})));
    assert_eq!(after_all(&sure, &[&begun, &slower]).state, GateState::Running, "750:1 is less than 1000:1");
}

#[test]
fn a_candidate_as_fast_passes_with_readings_and_requests() {
    let gate = defined(Stage::Verification, latency(&json!({"minRequests": 150})));
    let readings = [
        sides([0.0; 3], [0.0; 3]),
        sides([30.0, 90.0, 100.0], [30.0, 90.0, 100.0]),
        sides([50.0, 130.0, 149.0], [90.0, 210.0, 300.0]),
        sides([50.0, 131.0, 150.0], [120.0, 280.0, 400.0]),
    ];
    let states = [1, 2, 3, 4].map(|count| after_all(&gate, &readings[..count].iter().map(|it| it.as_slice()).collect::<Vec<_>>()).state);
    assert_eq!(states, [GateState::Running, GateState::Running, GateState::Running, GateState::Passed]);
    let passed = after_all(&gate, &readings.iter().map(|it| it.as_slice()).collect::<Vec<_>>());
    assert_eq!(
        passed.message,
        "candidate slower in 46.5 % of request pairs; 150 requests on the candidate, 400 on the active side; evidence 0.11:1, fails at 20:1"
    );
}

#[test]
fn buckets_without_latencies_make_the_gate_inconclusive() {
    let gate = defined(Stage::Verification, latency(&json!({})));
    let quiet = sides([1.0, 2.0, 3.0], [0.0; 3]);
    let words = "no new requests on either side since the last comparison; a comparison needs the same traffic on both sides";
    assert_eq!(told(&after_all(&gate, &[&quiet, &quiet, &quiet])), (GateState::Inconclusive, words));
    let back = after_all(&gate, &[&quiet, &quiet, &quiet, &sides([0.0, 0.0, 9.0], [1.0; 3])]);
    assert_eq!(told(&back), (GateState::Running, "a counter was reset; comparison starts again with the next reading"));
    let one = [(); 2].map(|()| Reading::Buckets(Buckets::of([(Some("+Inf"), 5.0)]).unwrap()));
    let words = "the two sides share no bucket but +Inf, so durations can't be compared: use the same buckets on both sides";
    assert_eq!(told(&after_all(&gate, &[&one, &one])), (GateState::Inconclusive, words));
    let none = [buckets([0.0; 3]), Reading::NoData];
    assert_eq!(told(&after_all(&gate, &[&none, &none])), (GateState::Inconclusive, "the query returned no data"));
}

#[test]
fn an_answer_of_another_kind_is_a_broken_source() {
    let of_buckets = defined(Stage::Verification, latency(&json!({})));
    let number = [buckets([0.0; 3]), Reading::Value(0.5)];
    let words = "the source failed: the query returned a number, not buckets: use sum by (le) (…_bucket)";
    assert_eq!(told(&after_all(&of_buckets, &[&number])), (GateState::Running, words));
    let words = "the source failed: the query returned buckets, not a number";
    let of_a_number = defined(Stage::Monitoring, metric(&json!({"errorLimit": 1})));
    assert_eq!(told(&after(&of_a_number, &[buckets([0.0; 3])])), (GateState::Inconclusive, words));
    let of_errors = defined(Stage::Verification, comparison(&json!({})));
    assert_eq!(told(&after_all(&of_errors, &[&[(); 4].map(|()| buckets([0.0; 3]))])), (GateState::Running, words));
}

#[test]
fn comparisons_of_errors_and_latencies_share_false_alarms() {
    let both = vec![Metric { name: "other".into(), ..comparison(&json!({})) }, latency(&json!({}))];
    let gates = definitions(Stage::Verification, &[Group::own(Stage::Verification, vec![], both)], Some(&prometheus("http://prometheus")));
    let gates = gates.unwrap();
    let share = |gate: &GateDefinition| match &gate.kind {
        Kind::Metric(MetricPlan { judge: Judge::Latency { rule, .. }, .. }) => rule.false_alarms,
        Kind::Metric(MetricPlan { judge: Judge::Comparison { rule, .. }, .. }) => rule.false_alarms,
        _ => panic!("no comparison"),
    };
    let alone = defined(Stage::Verification, latency(&json!({})));
    assert_eq!((share(&alone), share(&gates[0]), share(&gates[1])), (0.05, 0.025, 0.025));
    assert_ne!(alone.definition, gates[1].definition, "judged otherwise, it begins anew");
    let elsewhere = MetricPlan::of(Stage::Verification, &latency(&json!({"address": "http://other/"})), None, 1).unwrap();
    let Judge::Latency { buckets: Question::Buckets { address, query, .. }, rule } = elsewhere.judge else { panic!("no buckets") };
    assert_eq!((address.as_str(), query.as_str()), ("http://other", "b{pod=~\"{{ pods }}\"}"));
    assert_eq!(rule, Rule { tolerated: 0.56, false_alarms: 0.05, min_requests: 100.0 });
}

#[test]
fn what_cannot_be_compared_is_told_before_anything_is_asked() {
    let wrong = |stage, fields: serde_json::Value| {
        MetricPlan::of(stage, &latency(&fields), Some(&prometheus("http://prometheus")), 1).unwrap_err().0
    };
    let tolerated = |given: &str| {
        format!(
            "tolerated is {given}: write up to which probability a request of the candidate may be slower than one of the active side, from \
             0.5, which says that they are alike, to less than 1"
        )
    };
    for given in ["0.49", "1", "56"] {
        assert_eq!(wrong(Stage::Verification, json!({"tolerated": given})), tolerated(given));
    }
    for (given, is) in [("21%", "0.21"), ("0", "0")] {
        let told = wrong(Stage::Verification, json!({"falseAlarms": given}));
        assert_eq!(told, format!("falseAlarms is {is}: write a probability of more than 0 and at most 20%"));
    }
    assert_eq!(
        wrong(Stage::Monitoring, json!({})),
        "after the switch the former side has no traffic to compare with: set max or min, factorOf: BeforeSwitch, or compare in spec.verification"
    );
    assert!(wrong(Stage::Verification, json!({"buckets": "{{ pod }}"})).contains("unknown variable"));
    let mut plan = MetricPlan::of(Stage::Verification, &latency(&json!({})), Some(&prometheus("http://prometheus")), 1).unwrap();
    assert!(!plan.alone(), "the first revision has nothing to be compared with");
    let two = Metric { comparison: comparison(&json!({})).comparison, ..latency(&json!({})) };
    let error = MetricPlan::of(Stage::Verification, &two, Some(&prometheus("http://prometheus")), 1).unwrap_err().0;
    assert_eq!(error, "set exactly one kind of metric: prometheus, web, job, comparison or latency");
}
