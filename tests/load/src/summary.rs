//! What is counted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many failures are kept word for word.
const EXAMPLES: usize = 20;

/// One request and what became of it: a line of the output file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// When it was sent.
    pub at: Timestamp,
    /// From the moment when it was due until the whole answer was there, or the failure.
    pub microseconds: u32,
    /// Whether it opened a connection: only such a request is led anew by a Service.
    pub new_connection: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What the answer's header `x-version` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Why a request counts as failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What failures are counted by: `connect: refused`, `reset`, `timeout`, `status 503`, …
    pub kind: String,
    pub message: String,
}

impl Failure {
    pub(crate) fn of(kind: &str, message: String) -> Self {
        Self { kind: kind.to_owned(), message }
    }
}

/// The result of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub started: Timestamp,
    pub ended: Timestamp,
    pub sent: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub connections_opened: u64,
    /// How many failed, by kind.
    pub failures: BTreeMap<String, u64>,
    /// The first failures, word for word.
    pub examples: Vec<Answer>,
    pub statuses: BTreeMap<u16, u64>,
    /// By what the answers called themselves.
    pub versions: BTreeMap<String, Version>,
    pub latency: Latency,
}

/// What one version answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub answers: u64,
    pub failed: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// Of these, the ones that opened a connection: when the first and the last of them was sent tells when users
    /// were led to this version.
    pub new_connections: u64,
    pub first_new_connection: Option<Timestamp>,
    pub last_new_connection: Option<Timestamp>,
}

/// In milliseconds, of all requests that were answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// Counts answers.
#[derive(Debug)]
pub struct Tally {
    summary: Summary,
    microseconds: Vec<u32>,
}

impl Tally {
    pub fn new(started: Timestamp) -> Self {
        Self { summary: Summary { started, ..Summary::default() }, microseconds: Vec::new() }
    }

    pub fn so_far(&self) -> &Summary {
        &self.summary
    }

    pub(crate) fn sent(&mut self) {
        self.summary.sent += 1;
    }

    pub fn add(&mut self, answer: &Answer) {
        let summary = &mut self.summary;
        summary.connections_opened += u64::from(answer.new_connection && answer.status.is_some());
        match &answer.failure {
            None => summary.succeeded += 1,
            Some(failure) => {
                summary.failed += 1;
                *summary.failures.entry(failure.kind.clone()).or_default() += 1;
                if summary.examples.len() < EXAMPLES {
                    summary.examples.push(answer.clone());
                }
            }
        }
        if let Some(status) = answer.status {
            *summary.statuses.entry(status).or_default() += 1;
            self.microseconds.push(answer.microseconds);
        }
        if let Some(name) = &answer.version {
            let version = summary.versions.entry(name.clone()).or_insert_with(|| Version::new(answer.at));
            version.add(answer);
        }
    }

    pub fn finish(mut self, ended: Timestamp) -> Summary {
        self.microseconds.sort_unstable();
        let at = |share: f64| {
            let last = self.microseconds.len().saturating_sub(1);
            let index = (last as f64 * share).round() as usize;
            self.microseconds.get(index).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
        };
        self.summary.latency = Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) };
        self.summary.ended = ended;
        self.summary
    }
}

impl Version {
    fn new(at: Timestamp) -> Self {
        Self { answers: 0, failed: 0, first: at, last: at, new_connections: 0, first_new_connection: None, last_new_connection: None }
    }

    fn add(&mut self, answer: &Answer) {
        self.answers += 1;
        self.failed += u64::from(answer.failure.is_some());
        // Answers come in another order than requests were sent.
        self.first = self.first.min(answer.at);
        self.last = self.last.max(answer.at);
        if answer.new_connection {
            self.new_connections += 1;
            let at = answer.at;
            self.first_new_connection = Some(self.first_new_connection.map_or(at, |first| first.min(at)));
            self.last_new_connection = Some(self.last_new_connection.map_or(at, |last| last.max(at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(second: i64, version: &str, new_connection: bool, failure: Option<&str>) -> Answer {
        Answer {
            at: Timestamp::from_second(second).unwrap(),
            microseconds: 1000,
            new_connection,
            status: Some(200),
            version: Some(version.to_owned()),
            pod: None,
            failure: failure.map(|kind| Failure::of(kind, String::new())),
        }
    }

    #[test]
    fn the_last_new_connection_is_not_the_last_answer() {
        let mut tally = Tally::new(Timestamp::UNIX_EPOCH);
        for answer in [
            answer(1, "1.0.0", true, None),
            answer(2, "1.0.0", false, None),
            answer(3, "2.0.0", true, None),
            answer(9, "1.0.0", false, Some("status 500")),
        ] {
            tally.add(&answer);
        }
        let summary = tally.finish(Timestamp::UNIX_EPOCH);
        let old = &summary.versions["1.0.0"];
        assert_eq!((old.answers, old.failed, old.new_connections), (3, 1, 1));
        assert_eq!(old.last_new_connection.unwrap().as_second(), 1);
        assert_eq!(old.last.as_second(), 9);
        assert_eq!((summary.succeeded, summary.failed), (3, 1));
        assert_eq!(summary.failures["status 500"], 1);
    }
}
