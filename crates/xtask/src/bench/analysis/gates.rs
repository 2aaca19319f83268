//! Ways of judging as a rollout has them: by the engine's own gates, which get what Prometheus would answer.

use anyhow::{Result, anyhow};
use bluegreen_api::{GateState, Score};
use bluegreen_gates::reading::Reading;
use bluegreen_gates::trial::{Stage, Trial};
use bluegreen_gates::weigh::errors::Counts;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Load, RANGE, READINGS, TICK, sum};

/// Metrics and what they add up to.
pub(super) struct Gates {
    pub stage: Stage,
    /// What each asks for, and its limits.
    pub metrics: &'static [(Asked, &'static str)],
    /// The share of their weights that must be good.
    pub score: Option<&'static str>,
    /// The verdict that is counted.
    pub found: GateState,
}

/// What a metric asks for: the share of failed requests in the last minute, or all requests so far.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    /// Of the candidate.
    Candidate,
    /// Of both sides.
    Both,
    /// Of the new active side, and of the former one in the minute before the switch.
    Before,
    /// The counters of both sides.
    Counters,
}

impl Gates {
    /// They are judged to the end of the ten minutes.
    pub(super) fn trial(&self) -> Result<Trial> {
        let metrics = self.metrics.iter().enumerate().map(|(number, (asked, limits))| {
            let mut metric: Value = serde_json::from_str(limits)?;
            metric["name"] = json!(format!("metric-{number}"));
            metric["interval"] = json!(format!("{TICK}s"));
            metric["count"] = json!(READINGS);
            match asked {
                Asked::Counters => metric["comparison"] = json!({"errors": "errors{{ pods }}", "requests": "requests"}),
                _ => metric["prometheus"] = json!({"query": "errors / requests"}),
            }
            Ok(serde_json::from_value(metric)?)
        });
        let metrics = metrics.collect::<Result<Vec<_>>>()?;
        let score = self.score.map(|min| Score { min: min.to_owned() });
        Trial::of(self.stage, metrics, score.as_ref(), "http://prometheus:9090", Timestamp::UNIX_EPOCH).map_err(|why| anyhow!(why))
    }

    /// The reading at which they come to the verdict.
    pub(super) fn judged(&self, mut trial: Trial, load: &Load) -> Option<usize> {
        let of = |ticks: &[[Counts; 2]], side: usize| sum(ticks.iter().map(|tick| &tick[side]));
        let before = of(&load[..RANGE], 1);
        let found = (0..=load.len()).find(|end| {
            // A minute must have passed before there is one to ask for.
            let last = end.checked_sub(RANGE).map(|from| [0, 1].map(|side| of(&load[from..*end], side)));
            let all = [0, 1].map(|side| of(&load[..*end], side));
            let answers = self.metrics.iter().map(|(asked, _)| match (asked, &last) {
                (Asked::Counters, _) => Some(all.iter().flat_map(|side| [side.errors, side.requests]).map(Reading::Value).collect()),
                (_, None) => None,
                (Asked::Candidate, Some(last)) => Some(vec![share(&last[0])]),
                (Asked::Both, Some(last)) => Some(last.iter().map(share).collect()),
                (Asked::Before, Some(last)) => Some(vec![share(&last[0]), share(&before)]),
            });
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "ten minutes")]
            let at = Timestamp::from_second((*end as f64 * TICK) as i64).unwrap_or(Timestamp::UNIX_EPOCH);
            trial.add(answers.collect::<Vec<_>>(), at);
            trial.verdict() == self.found
        });
        // After so many ticks, as the first is over.
        found.map(|end| end - 1)
    }
}

fn share(of: &Counts) -> Reading {
    if of.requests > 0.0 { Reading::Value(of.errors / of.requests) } else { Reading::NotANumber }
}
