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
    NoTraffic,
    /// Of latencies: both sides have but one bucket in common, which holds all requests.
    OneBucket,
}

/// As status keeps it.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
