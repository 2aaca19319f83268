//! Ready-made queries to Prometheus, for teams that don't want to write PromQL.

use crate::Duration;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A query that the operator writes, for the pods of the side that is judged, found by the labels `namespace` and `pod` that scraping adds.
/// docs/ready-metrics.md shows each query; `status.gates[].measured.asked` shows the query as it was sent.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.source) || self.metric in ['CPU', 'Memory', 'Restarts']")
        .message("metrics of requests need a source: set HTTP, OpenTelemetry, Istio or Linkerd"),
    validation = Rule::new("!has(self.source) || !(self.metric in ['CPU', 'Memory', 'Restarts'])")
        .message("CPU, Memory and Restarts have no source: remove source"),
    validation = Rule::new("!has(self.window) || duration(self.window) >= duration('10s')")
        .message("a window of less than 10s holds too few scrapes: set at least 10s")
)]
pub struct ReadyQuery {
    /// Metric to measure. ErrorRate, SuccessRate: share of answers, 0 to 1. LatencyP50, LatencyP95, LatencyP99: seconds to answer.
    /// RequestRate: answers per second. CPU, Memory: use as a share of its limit, of the container nearest to its limit. Restarts: restarts
    /// of all containers in the window.
    pub metric: ReadyMetric,
    /// Source of the metric. HTTP: the program, under the names of Prometheus' client libraries. OpenTelemetry: the program. Istio: the
    /// sidecar. Linkerd: the proxy. Required, except for CPU, Memory and Restarts, which have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ReadySource>,
    /// Window to look back over, with several scrapes in it. Default 1m, at least 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadyMetric {
    ErrorRate,
    SuccessRate,
    LatencyP50,
    LatencyP95,
    LatencyP99,
    RequestRate,
    CPU,
    Memory,
    Restarts,
}

impl ReadyMetric {
    pub const ALL: [Self; 9] = [
        Self::ErrorRate,
        Self::SuccessRate,
        Self::LatencyP50,
        Self::LatencyP95,
        Self::LatencyP99,
        Self::RequestRate,
        Self::CPU,
        Self::Memory,
        Self::Restarts,
    ];
}

impl fmt::Display for ReadyMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadySource {
    HTTP,
    OpenTelemetry,
    Istio,
    Linkerd,
}

impl ReadySource {
    pub const ALL: [Self; 4] = [Self::HTTP, Self::OpenTelemetry, Self::Istio, Self::Linkerd];
}

impl fmt::Display for ReadySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
