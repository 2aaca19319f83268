//! What is asked: of pods, of addresses, of Jobs, of sources of numbers.

pub mod allowed;
pub mod exchange;
pub mod headers;
pub mod job;
pub mod json_path;
mod pods;
pub mod prometheus;
pub mod question;
pub mod ready;
pub mod variables;

use bluegreen_api::Scheme;
use exchange::Exchange;
use http::HeaderMap;
use jiff::Timestamp;
use job::JobRun;
use question::{Question, Secret, Whose};
use std::time::Duration;

/// From one try of a measurement to the next, whatever `spec` asks for: no loop runs at full speed.
pub const FLOOR: Duration = Duration::from_secs(1);

/// The longest that an answer to a request is waited for, whatever `spec` asks for: others wait for the place.
pub const LONGEST_ANSWER: Duration = Duration::from_mins(1);

/// A webhook may work for a while before it answers.
pub const LONGEST_WEBHOOK: Duration = Duration::from_mins(5);

/// Jobs hold no place, but what they left is looked for.
pub const LONGEST_JOB: Duration = Duration::from_hours(24);

/// One measurement that should be running.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub gate: String,
    pub definition: String,
    pub attempt: i64,
    pub revision: String,
    /// When it is to be taken.
    pub due: Timestamp,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A request to each of these pods.
    Http { targets: Vec<HttpTarget>, scheme: Scheme, path: String, exchange: Box<Exchange> },
    /// One request.
    Url {
        /// With its variables put in.
        url: String,
        exchange: Box<Exchange>,
    },
    /// One try.
    Webhook {
        /// With its variables put in.
        url: String,
        headers: HeaderMap,
        body: String,
        timeout: Duration,
    },
    /// A Job, to its end.
    Job(Box<JobRun>),
    /// A Job, for the number in the last line of its log.
    Reading(Box<JobRun>),
    /// Questions that are asked at the same time: about both sides, in a comparison.
    Metric {
        /// With their variables put in.
        questions: Vec<Question>,
        credentials: Whose<Secret>,
        timeout: Duration,
    },
}

impl What {
    /// The questions as they are sent, ready to be asked by hand: of a metric, or of the Jobs that measure it.
    pub fn asked(&self) -> Vec<String> {
        match self {
            Self::Metric { questions, .. } => questions.iter().map(question::shown).collect(),
            Self::Reading(run) => run.metric.iter().map(|label| job::selector(&run.namespace, label)).collect(),
            Self::Http { .. } | Self::Url { .. } | Self::Webhook { .. } | Self::Job(_) => vec![],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    pub pod: String,
    pub ip: String,
    pub port: u16,
}
