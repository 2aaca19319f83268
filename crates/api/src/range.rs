//! Queries that are taken over a stretch of time.

use crate::Duration;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stretch of time over which a query is taken, by a subquery: `max_over_time((query)[5m:15s])`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("duration(self.window) >= (has(self.step) ? duration(self.step) : duration('15s'))")
        .message("a window holds at least one step: make window longer, or step (default 15s) shorter"),
    validation = Rule::new("!has(self.step) || duration(self.step) >= duration('1s')").message("step is at least 1s")
)]
pub struct QueryRange {
    /// How far back: 1 to 11000 steps.
    pub window: Duration,
    /// From one moment to the next. Default 15s, at least 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Duration>,
    /// The number made of the values.
    pub take: Take,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Take {
    Average,
    Median,
    Max,
    Min,
}
