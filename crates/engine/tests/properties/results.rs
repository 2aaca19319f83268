//! Arbitrary gates, and results of every kind.

use crate::{rollouts::NOW, worlds::times};
use bluegreen_api::{BlueGreenRolloutStatus, Gate, GateState, Measured, Reading as Read, Tries};
use bluegreen_gates::reading::{CheckOutcome, Measurement, Outcome, Reading, buckets::Buckets};
use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, option, prelude::*, sample::Index};

// === gates ===

/// What becomes of a gate as `spec` defines it.
#[derive(Clone, Debug)]
pub struct Twist {
    state: GateState,
    since: Timestamp,
    /// Of readings and of tries; edited by hand it may be anything.
    counter: i32,
    readings: usize,
    latest: Timestamp,
    tried: Option<i32>,
    /// Its message is longer than any that is written.
    long: bool,
    redefined: bool,
}

fn states() -> impl Strategy<Value = GateState> {
    prop_oneof![
        Just(GateState::Running),
        Just(GateState::Passed),
        Just(GateState::Passed),
        Just(GateState::Failed),
        Just(GateState::Inconclusive)
    ]
}

pub fn twists() -> BoxedStrategy<Twist> {
    let counters = prop_oneof![20 => 0..9_i32, 1 => Just(i32::MAX), 1 => Just(-1)];
    let flags = (proptest::bool::weighted(0.05), proptest::bool::weighted(0.1));
    (states(), times(), counters, 0..13_usize, times(), option::weighted(0.2, 0..4_i32), flags)
        .prop_map(|(state, since, counter, readings, latest, tried, (long, redefined))| Twist {
            state,
            since,
            counter,
            readings,
            latest,
            tried,
            long,
            redefined,
        })
        .boxed()
}

impl Twist {
    pub fn of(&self, gate: &Gate) -> Gate {
        let tries = self.tried.filter(|_| gate.measured.is_none()).map(|failed| Tries { failed, not_done: 0, at: self.latest });
        Gate {
            state: self.state,
            since: self.since,
            definition: if self.redefined { "another".into() } else { gate.definition.clone() },
            message: if self.long { "x".repeat(300) } else { gate.message.clone() },
            measured: gate.measured.as_ref().map(|_| of_readings(self.counter, self.readings, self.latest)),
            tries,
            ..gate.clone()
        }
    }
}

/// So many of everything, and the latest readings, of which there may be more than are kept.
pub fn of_readings(counter: i32, readings: usize, latest: Timestamp) -> Measured {
    let reading = |number: usize| Read { at: earlier(latest, 5 * i64::try_from(number).unwrap()), value: "0.001".into() };
    Measured {
        good: counter,
        no_data_in_row: counter,
        errors_in_row: counter,
        covered_millis: i64::from(counter) * 60_000,
        readings: (0..readings).map(reading).collect(),
        ..Measured::default()
    }
}

// === results ===

/// What a measurement says, whatever it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Good,
    Bad,
    /// Infinitely much, or infinitely many of them.
    Infinite,
    NoData,
    NotANumber,
    /// The source failed, or the check could not be done.
    Failed,
    /// An answer of another kind than was asked for.
    Misshapen,
}

/// What a result is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The gate as it is defined, in this attempt, of this revision.
    This,
    AnotherDefinition,
    AnotherAttempt,
    AnotherRevision,
}

/// One result to be: the gate is found when there is a rollout.
#[derive(Clone, Debug)]
pub struct Answer {
    gate: Index,
    said: Said,
    of: Of,
    at: Timestamp,
}

pub fn anything_said() -> impl Strategy<Value = Said> {
    prop_oneof![
        4 => Just(Said::Good),
        3 => Just(Said::Bad),
        1 => Just(Said::Infinite),
        1 => Just(Said::NoData),
        1 => Just(Said::NotANumber),
        1 => Just(Said::Failed),
        1 => Just(Said::Misshapen)
    ]
}

pub fn results(
    said: impl Strategy<Value = Said> + 'static,
    at: impl Strategy<Value = Timestamp> + 'static,
    most: usize,
) -> BoxedStrategy<Vec<Answer>> {
    let of =
        prop_oneof![6 => Just(Of::This), 1 => Just(Of::AnotherDefinition), 1 => Just(Of::AnotherAttempt), 1 => Just(Of::AnotherRevision)];
    let result = (any::<Index>(), said, of, at).prop_map(|(gate, said, of, at)| Answer { gate, said, of, at });
    vec(result, 0..=most)
        .prop_map(|mut results| {
            results.sort_by_key(|result| result.at);
            results
        })
        .boxed()
}

impl Answer {
    /// None for a rollout without gates.
    pub fn measurement(&self, gates: &[Gate], status: &BlueGreenRolloutStatus) -> Option<Measurement> {
        let gate = (!gates.is_empty()).then(|| self.gate.get(gates))?;
        let revision = status.preview.as_ref().or(status.active.as_ref()).map(|side| side.revision.clone()).unwrap_or_default();
        let right = Measurement {
            gate: gate.name.clone(),
            definition: gate.definition.clone(),
            attempt: status.attempt,
            revision,
            at: self.at,
            asked: vec![],
            outcome: outcome(gate, self.said, self.at),
        };
        Some(of_something(right, self.of))
    }
}

/// The result as it is, or the same of something else.
pub fn of_something(result: Measurement, of: Of) -> Measurement {
    match of {
        Of::This => result,
        Of::AnotherDefinition => Measurement { definition: "former".into(), ..result },
        // Nobody has measured in an attempt that is still to come.
        Of::AnotherAttempt => Measurement { attempt: result.attempt - 1, ..result },
        Of::AnotherRevision => Measurement { revision: "former".into(), ..result },
    }
}

/// As many answers as are asked for, which the name of a gate tells.
fn outcome(gate: &Gate, said: Said, at: Timestamp) -> Outcome {
    let words = || "long words ".repeat(40);
    if gate.measured.is_none() {
        return match said {
            Said::Good => Outcome::Check(CheckOutcome::Passed(words())),
            Said::Bad | Said::Infinite => Outcome::Check(CheckOutcome::Failed(words())),
            Said::NoData | Said::NotANumber | Said::Failed => Outcome::Check(CheckOutcome::NotDone(words())),
            Said::Misshapen => Outcome::reading(Reading::Value(0.0)),
        };
    }
    // Counters grow.
    let counter = f64::from(i32::try_from(at.as_second() - NOW).unwrap() + 200_000);
    let histogram = |fast: f64| Reading::Buckets(Buckets::of([(Some("0.1"), fast), (Some("+Inf"), counter)]).unwrap());
    let trouble = match said {
        Said::Good | Said::Bad => None,
        Said::Infinite => Some(Reading::Value(f64::INFINITY)),
        Said::NoData => Some(Reading::NoData),
        Said::NotANumber => Some(Reading::NotANumber),
        Said::Failed => Some(Reading::Failed(words())),
        Said::Misshapen => return Outcome::reading(histogram(1.0)),
    };
    let bad = said == Said::Bad;
    let value = |good: f64, otherwise: f64| Reading::Value(if bad { otherwise } else { good });
    let answers = match gate.name.rsplit('/').next() {
        // Errors and requests of both sides.
        Some("compared") => vec![value(0.0, counter), Reading::Value(counter), Reading::Value(0.0), Reading::Value(counter)],
        Some("slower") => vec![histogram(if bad { 1.0 } else { counter }), histogram(counter)],
        Some("beside" | "before") => vec![value(0.0, 9.0), Reading::Value(0.001)],
        // The value, and how many requests it rests on: fewer than asked for where the value is a bad one, now and then.
        Some("few") => vec![value(0.0, 9.0), Reading::Value(if bad && at.as_second() % 2 == 0 { 4.0 } else { 5.0 })],
        _ => vec![value(0.0, 9.0)],
    };
    Outcome::Readings(match trouble {
        Some(trouble) => vec![trouble; answers.len()],
        None => answers,
    })
}

fn earlier(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_sub(SignedDuration::from_secs(seconds)).unwrap()
}
