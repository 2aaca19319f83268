//! What is common to tests that weigh evidence.

/// What one reading told, of errors or of latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The counters stood here when the comparison began.
    Begun,
    Weighed,
    /// A counter went back: what came since is unknown.
    Reset,
    /// One of the sides had no requests since the counters were last read from: what the other one had waits for them, for scrapes of both
    /// sides come at different times.
    NoTraffic(Idle),
    /// Of latencies: both sides have but one bucket in common, which holds all requests.
    OneBucket,
}

/// Which side had no requests since the counters were last read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    Candidate,
    Active,
    Both,
}

impl Idle {
    /// Of the new requests of the candidate and of the active side.
    pub(crate) fn of(requests: [f64; 2]) -> Option<Self> {
        match requests.map(|requests| requests == 0.0) {
            [true, true] => Some(Self::Both),
            [true, false] => Some(Self::Candidate),
            [false, true] => Some(Self::Active),
            [false, false] => None,
        }
    }

    pub(crate) const fn in_words(self) -> &'static str {
        match self {
            Self::Candidate => "no new requests on the candidate",
            Self::Active => "no new requests on the active side",
            Self::Both => "no new requests on either side",
        }
    }
}

/// As status keeps it.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
