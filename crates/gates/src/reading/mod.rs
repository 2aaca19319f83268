//! What came of a measurement.

pub mod buckets;

use buckets::Buckets;
use jiff::Timestamp;

/// A result of something measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Name of the gate.
    pub gate: String,
    /// Hash of the gate's definition.
    pub definition: String,
    pub attempt: i64,
    pub revision: String,
    pub at: Timestamp,
    /// As it was sent, ready to be asked by hand: of a metric.
    pub asked: Vec<String>,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Check(CheckOutcome),
    /// The answers to a metric's questions, which were asked at the same time, in their order.
    Readings(Vec<Reading>),
}

impl Outcome {
    /// The answer to the one question that most metrics ask.
    pub fn reading(reading: Reading) -> Self {
        Self::Readings(vec![reading])
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    Passed(String),
    /// What answered, and why that is not good enough.
    Failed(String),
    /// The check could not be carried out (no ready pod, for one): it counts for nothing and is tried again.
    NotDone(String),
}

/// One measurement of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    Value(f64),
    /// The buckets of one side's histograms, where these were asked for.
    Buckets(Buckets),
    NotANumber,
    NoData,
    /// No data, and why: nobody was asked, or a part of what it takes is missing.
    Missing(String),
    /// The source failed, and how: infrastructure trouble, no word on the release.
    Failed(String),
}

impl Reading {
    /// Of several answers the trouble of the source is told first, if there is any: before a lack of data.
    pub fn check_source(answers: &[Self]) -> Result<(), Self> {
        answers.iter().find(|answer| matches!(answer, Self::Failed(_))).cloned().map_or(Ok(()), Err)
    }
}
