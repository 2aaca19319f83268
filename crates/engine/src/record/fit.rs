//! The bytes of a status. etcd takes an object of 1.5 MiB and no larger one, and a status that can't be written would be no way back: so it
//! is shortened where it is recorded, by what is missed least, and never by anything that a switch or a way back rests on.

use crate::bytes::of as bytes;
use bluegreen_api::{Attempt, BlueGreenRolloutStatus, Gate, GateState};
use bluegreen_gates::text::shortened;

/// A status has at most so many bytes.
pub(crate) const MOST: usize = 384 * 1024;

/// `spec` and status together. The rest is for what the API server writes beside them (`managedFields`), and for annotations.
const TOGETHER: usize = 1024 * 1024;

/// Beside a `spec` of any size: enough for a status without its gates' words.
const LEAST: usize = 160 * 1024;

/// Characters of a request that is shown to be repeated by hand, and of a gate's words, where room is short.
const OF_A_REQUEST: usize = 128;
const OF_A_MESSAGE: usize = 64;

/// Attempts that history keeps all the same.
const FEWEST: usize = 3;

/// What is missed least comes first. Evidence of comparisons under way is last: without it they begin anew, and pass nothing by that.
const SHORTER: [fn(&mut BlueGreenRolloutStatus); 9] = [
    |status| status.gates.iter_mut().filter(|gate| is_settled(gate)).for_each(forget_measuring),
    |status| requests(status, |request| *request = shortened(request, OF_A_REQUEST)),
    |status| results(&mut status.history, |message| *message = shortened(message, OF_A_MESSAGE)),
    |status| status.history.iter_mut().skip(1).for_each(|attempt| attempt.gates.clear()),
    |status| status.gates.iter_mut().for_each(keep_two_readings),
    |status| requests(status, String::clear),
    |status| {
        status.history.truncate(FEWEST);
        status.history.iter_mut().for_each(|attempt| attempt.gates.clear());
    },
    |status| status.gates.iter_mut().for_each(|gate| gate.message = shortened(&gate.message, OF_A_MESSAGE)),
    |status| status.gates.iter_mut().for_each(forget_measuring),
];

/// Shortens a status until it fits beside a `spec` of so many bytes.
pub(crate) fn fit(status: &mut BlueGreenRolloutStatus, spec: usize) {
    let most = TOGETHER.saturating_sub(spec).clamp(LEAST, MOST);
    for shorten in SHORTER {
        if bytes(status) <= most {
            return;
        }
        shorten(status);
    }
}

/// No reading changes its verdict any more.
const fn is_settled(gate: &Gate) -> bool {
    matches!(gate.state, GateState::Passed | GateState::Failed)
}

fn forget_measuring(gate: &mut Gate) {
    keep_two_readings(gate);
    if let Some(measured) = gate.measured.as_mut() {
        (measured.compared, measured.distributions) = (None, None);
        measured.asked.clear();
    }
}

/// The newest, before which no other counts, and the newest number, with which the next may be compared.
fn keep_two_readings(gate: &mut Gate) {
    let Some(measured) = gate.measured.as_mut() else { return };
    let is_number = |value: &str| value.parse().is_ok_and(|value: f64| value.is_finite());
    let number = measured.readings.iter().position(|reading| is_number(&reading.value));
    let mut place = 0;
    measured.readings.retain(|_| {
        let kept = place == 0 || Some(place) == number;
        place += 1;
        kept
    });
}

fn requests(status: &mut BlueGreenRolloutStatus, shorten: fn(&mut String)) {
    for measured in status.gates.iter_mut().filter_map(|gate| gate.measured.as_mut()) {
        measured.asked.iter_mut().for_each(shorten);
        measured.asked.retain(|request| !request.is_empty());
    }
}

fn results(attempts: &mut [Attempt], shorten: fn(&mut String)) {
    attempts.iter_mut().flat_map(|attempt| &mut attempt.gates).for_each(|gate| shorten(&mut gate.message));
}

#[cfg(test)]
mod tests {
    use super::*;
    use bluegreen_api::{
        Compared, Counted, Distribution, Distributions, GateResult, IgnoredOrder, Measured, Outcome, Phase, PhaseTime, Reading, Side, Tries,
    };
    use jiff::Timestamp;
    use serde_json::{Value, json};

    /// A character that JSON writes with six bytes.
    const DEAREST: &str = "\u{1}";
    const NUMBER: &str = "-1.7976931348623157e308";

    fn distribution() -> Distribution {
        Distribution { requests: NUMBER.into(), buckets_at: vec![NUMBER.into(); 64] }
    }

    fn gate(stage: &str, number: usize, state: GateState) -> Gate {
        let counted = || Counted { errors: NUMBER.into(), requests: NUMBER.into(), errors_at: NUMBER.into(), requests_at: NUMBER.into() };
        Gate {
            name: format!("{stage}/cluster:{}/{number:063}", "t".repeat(253)),
            state,
            weight: Some(100),
            definition: "d".repeat(10),
            message: DEAREST.repeat(256),
            since: Timestamp::MAX,
            measured: Some(Measured {
                bad_since: Some(Timestamp::MAX),
                doubtful_since: Some(Timestamp::MAX),
                covered_millis: i64::MIN,
                compared: Some(Compared { candidate: counted(), active: counted(), evidence: vec![NUMBER.into(); 6] }),
                distributions: Some(Distributions {
                    bounds: vec![NUMBER.into(); 64],
                    candidate: distribution(),
                    active: distribution(),
                    pairs: NUMBER.into(),
                    slower: NUMBER.into(),
                    evidence: vec![NUMBER.into(); 6],
                }),
                asked: vec![DEAREST.repeat(1024); 4],
                dry_run: Some(GateState::Inconclusive),
                readings: (0..10).map(|_| Reading { at: Timestamp::MAX, value: NUMBER.into() }).collect(),
                ..Measured::default()
            }),
            tries: Some(Tries { failed: i32::MIN, not_done: i32::MIN, at: Timestamp::MAX }),
        }
    }

    fn side() -> Side {
        let port = json!({"name": "p".repeat(63), "port": 65_535, "targetPort": "t".repeat(15), "protocol": "SCTP", "appProtocol": "a".repeat(253), "nodePort": 65_535});
        serde_json::from_value(json!({"color": "green", "revision": "r".repeat(10), "number": i64::MIN, "image": "i".repeat(1024),
            "replicas": i32::MIN, "ports": vec![port; 32], "generation": i64::MIN}))
        .unwrap()
    }

    fn attempt() -> Attempt {
        let gates = ["verification", "monitoring"].map(|stage| {
            (0..64).map(move |number| GateResult {
                name: gate(stage, number, GateState::Failed).name,
                state: GateState::Inconclusive,
                message: DEAREST.repeat(256),
            })
        });
        Attempt {
            attempt: i64::MIN,
            revision: "r".repeat(10),
            number: i64::MIN,
            image: "i".repeat(1024),
            from_image: "i".repeat(1024),
            by: "b".repeat(128),
            phases: vec![PhaseTime { phase: Phase::AwaitingPromotion, at: Timestamp::MAX }; 32],
            gates: gates.into_iter().flatten().collect(),
            outcome: Some(Outcome::Superseded),
            reason: "ProgressDeadlineExceeded".into(),
            message: DEAREST.repeat(256),
            finished: Some(Timestamp::MAX),
        }
    }

    /// The largest that the parts which this operator writes can add up to.
    fn largest(state: GateState) -> BlueGreenRolloutStatus {
        let [before, after] = ["verification", "monitoring"].map(|stage| (0..64).map(move |number| gate(stage, number, state)));
        let message = DEAREST.repeat(256);
        let condition = json!({"type": "Reconciling", "status": "True", "reason": "ProgressDeadlineExceeded", "message": message,
            "lastTransitionTime": "2027-01-15T08:00:00Z", "observedGeneration": i64::MIN});
        BlueGreenRolloutStatus {
            phase: Some(Phase::Monitoring),
            message: message.clone(),
            selector: "s".repeat(256),
            active: Some(side()),
            preview: Some(side()),
            standby: Some(side()),
            leaving: Some(side()),
            previous: Some(side()),
            gates: before.chain(after).collect(),
            orders: (0..56).map(|number| (format!("verb{number}.{}", "k".repeat(50)), "v".repeat(64))).collect(),
            ignored_orders: vec![IgnoredOrder { order: DEAREST.repeat(100), message: DEAREST.repeat(256) }; 8],
            current: Some(Attempt { gates: vec![], ..attempt() }),
            history: vec![attempt(); 10],
            conditions: serde_json::from_value(json!(vec![condition; 4])).unwrap(),
            ..BlueGreenRolloutStatus::default()
        }
    }

    /// All but what may be shortened.
    fn essence(status: &BlueGreenRolloutStatus) -> Value {
        let mut all = json!(status);
        for gate in all["gates"].as_array_mut().into_iter().flatten() {
            gate["message"].take();
            for field in ["compared", "distributions", "asked", "readings"] {
                gate["measured"][field].take();
            }
        }
        all["history"].take();
        all
    }

    #[test]
    fn the_largest_status_fits_and_keeps_what_decides() {
        for state in [GateState::Running, GateState::Passed, GateState::Failed, GateState::Inconclusive] {
            let status = largest(state);
            assert!(bytes(&status) > 6 * MOST, "{}", bytes(&status));
            let mut short = status.clone();
            fit(&mut short, 0);
            assert!(bytes(&short) <= MOST, "{state:?}: {} bytes", bytes(&short));
            assert_eq!(essence(&short), essence(&status));
            assert!(short.history.len() >= FEWEST && short.history[0].message == status.history[0].message);
            let newest = |status: &BlueGreenRolloutStatus| status.gates[0].measured.as_ref().unwrap().readings[0].clone();
            assert_eq!(newest(&short), newest(&status), "an answer would be counted twice");
            let mut again = short.clone();
            fit(&mut again, 0);
            assert!(again == short, "a status that fits is left alone");
        }
    }

    #[test]
    fn status_and_spec_fit_into_one_object() {
        for spec in [0, TOGETHER - MOST, TOGETHER - 2 * LEAST, TOGETHER, usize::MAX] {
            let mut status = BlueGreenRolloutStatus { gates: vec![], ..largest(GateState::Running) };
            fit(&mut status, spec);
            let most = TOGETHER.saturating_sub(spec).clamp(LEAST, MOST);
            assert!(bytes(&status) <= most, "{} bytes beside {spec}", bytes(&status));
        }
    }

    #[test]
    fn a_usual_status_is_recorded_whole() {
        let mut status = largest(GateState::Failed);
        status.gates.truncate(6);
        status.history.truncate(1);
        status.history[0].gates.truncate(6);
        let whole = status.clone();
        fit(&mut status, 64 * 1024);
        assert!(status == whole, "{} bytes", bytes(&whole));
    }

    #[test]
    fn the_newest_reading_and_the_newest_number_stay() {
        let mut gate = gate("verification", 1, GateState::Running);
        let readings = |values: &[&str]| -> Vec<Reading> {
            values.iter().map(|value| Reading { at: Timestamp::MAX, value: (*value).to_owned() }).collect()
        };
        for (values, kept) in [
            (&["NoData", "Infinite", "1", "2"][..], &["NoData", "1"][..]),
            (&["1", "2"][..], &["1"][..]),
            (&["NoData", "NaN"][..], &["NoData"][..]),
            (&[][..], &[][..]),
        ] {
            gate.measured.as_mut().unwrap().readings = readings(values);
            keep_two_readings(&mut gate);
            assert_eq!(gate.measured.as_ref().unwrap().readings, readings(kept));
        }
    }
}
