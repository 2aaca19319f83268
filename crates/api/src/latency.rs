//! `latency` metrics: how long requests take on both sides.

use crate::{Credentials, Duration};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether requests take longer on the candidate than on the active side, told from the buckets of histograms. Both must get like traffic:
/// synthetic load on both, or mirrored requests. An incident that hits both sides alike condemns neither.
///
/// Each reading weighs what came to both sides since the last one, by a test that may be looked at as often as one likes. What one side had
/// waits until the other one has had requests too, for `noDataLimit` readings. Of a tail that few requests feel it sees next to nothing.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.credentials) || has(self.headers)) || has(self.address)")
    .message("credentials and headers are for the address beside them: set address too, or those of sources.prometheus"))]
pub struct Latency {
    /// PromQL for the counters of a side's buckets, one series for each `le`, without rate or increase:
    /// `sum by (le) (http_request_duration_seconds_bucket{pod=~"{{ pods }}"})`. Variables as in a query. At most 64, `+Inf` among them;
    /// those that both sides have are compared. No native histograms.
    #[schemars(length(min = 1, max = 4096))]
    pub buckets: String,
    /// Up to which probability a request of the candidate may be slower than one of the active side. `"0.5"`: alike; `"0.56"`: a small
    /// difference, `"0.64"` a medium, `"0.71"` a large one. Default 0.56; at least 0.5, less than 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?$"))]
    pub tolerated: Option<String>,
    /// The probability that a candidate no worse than tolerated is condemned, over the whole attempt, however often it is looked at. All
    /// comparisons, of errors and of latencies, share it alike. Default 5%; more than 0, at most 20%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[0-9]+(\.[0-9]+)?%?$"))]
    pub false_alarms: Option<String>,
    /// Requests that each side must have had for a pass. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_requests: Option<i64>,
    /// The server, as `http://prometheus:9090`. Default: `sources.prometheus`, else the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://"))]
    pub address: Option<String>,
    /// Shown to this `address` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Sent to this `address` only: at most 16 headers by name, as `X-Scope-OrgID: team-a`. Not for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    pub headers: BTreeMap<String, String>,
    /// For an answer. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}
