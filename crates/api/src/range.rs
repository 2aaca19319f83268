//! Queries that are evaluated over a window of time.

use crate::Duration;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A window of time in which a query is evaluated at many moments, by a subquery: `max_over_time((query)[5m:15s])`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("duration(self.window) >= (has(self.step) ? duration(self.step) : duration('15s'))")
        .message("a window holds at least one step: make window longer, or step (default 15s) shorter"),
    validation = Rule::new("!has(self.step) || duration(self.step) >= duration('1s')").message("step is at least 1s")
)]
pub struct QueryRange {
    /// Length of the window: 1 to 11000 steps.
    pub window: Duration,
    /// Time from one moment to the next. Default 15s, at least 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Duration>,
    /// Number taken from the values.
    pub take: Take,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Take {
    Average,
    Median,
    Max,
    Min,
}
