//! `latency` metrics: how long requests take on both sides.

use crate::{Credentials, Duration};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Compares how long requests take on the candidate and on the active side, from the buckets of histograms. Both sides must get like
/// traffic: synthetic load on both, or mirrored requests. An incident that hits both sides alike fails no candidate.
///
/// Each reading weighs the requests of both sides since the last reading, by a test that stays valid at every look. Requests of one side
/// wait until the other side has had requests too, for `noDataLimit` readings. The test hardly notices a tail that few requests feel.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.credentials) || has(self.headers)) || has(self.address)")
        .message("credentials and headers are for the address beside them: set address too, or those of sources.prometheus"),
    validation = Rule::new("!has(self.timeout) || duration(self.timeout) <= duration('1m')").message("timeout is at most 1m")
)]
pub struct Latency {
    /// PromQL for the counters of a side's buckets, one series for each `le`, without rate or increase: `sum by (le)
    /// (http_request_duration_seconds_bucket{pod=~"{{ pods }}"})`. Variables as in a query. At most 64 buckets, `+Inf` among them; buckets
    /// that both sides have are compared. No native histograms.
    #[schemars(length(min = 1, max = 4096))]
    pub buckets: String,
    /// Tolerated probability that a request of the candidate is slower than a request of the active side. `"0.5"`: no difference; `"0.56"`:
    /// a small, `"0.64"` a medium, `"0.71"` a large difference. Default 0.56; at least 0.5, less than 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?$"))]
    pub tolerated: Option<String>,
    /// Probability that a candidate no worse than tolerated fails, over the whole attempt, however many readings are taken. All comparisons
    /// of the stage, of errors and of latencies, divide this probability equally. Default 5%; more than 0, at most 20%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?%?$"))]
    pub false_alarms: Option<String>,
    /// Requests that each side must have had before the metric passes. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_requests: Option<i64>,
    /// Address of the Prometheus server, as `http://prometheus:9090`. Default: `sources.prometheus`, else the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^@/?#]+([/?#].*)?$"))]
    pub address: Option<String>,
    /// Credentials, sent to this `address` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Headers by name, at most 16, sent to this `address` only, as `X-Scope-OrgID: team-a`. Not for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    pub headers: BTreeMap<String, String>,
    /// Time limit for an answer. Default 10s, at most 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}
