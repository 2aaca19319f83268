//! The metrics of a stage judged without a rollout around them: what a way of judging is worth can so be found out by simulation.

use crate::{
    ask::prometheus::Server,
    gates::{self, GateDefinition},
    invalid::Invalid,
    reading::{Measurement, Outcome, Reading},
    templates::Group,
};
use bluegreen_api::{Gate, GateState, Metric, Score};
use jiff::Timestamp;

pub use crate::stage::Stage;

/// Metrics that are judged together, and what they have come to.
#[derive(Clone, Debug)]
pub struct Trial {
    definitions: Vec<GateDefinition>,
    gates: Vec<Gate>,
}

impl Trial {
    /// `address`: the Prometheus that they ask, in name only.
    ///
    /// # Errors
    /// A metric or the score is wrong, in words for its author.
    pub fn of(stage: Stage, metrics: Vec<Metric>, score: Option<&Score>, address: &str, now: Timestamp) -> Result<Self, String> {
        let group = Group::own(stage, vec![], metrics);
        let definitions = gates::definitions(stage, &[group], Some(&Server::named(address, None)));
        let definitions = definitions.and_then(|gates| gates::with(stage, gates, score)).map_err(|Invalid(why)| why)?;
        let gates = gates::aligned(&[], &definitions, stage, now);
        Ok(Self { definitions, gates })
    }

    /// Adds what was answered at one time: for each metric, in their order, the answers to its questions, if it was asked.
    pub fn add(&mut self, answers: impl IntoIterator<Item = Option<Vec<Reading>>>, at: Timestamp) {
        for ((gate, definition), readings) in self.gates.iter_mut().zip(&self.definitions).zip(answers) {
            let Some(readings) = readings else { continue };
            let result = Measurement {
                gate: definition.name.clone(),
                definition: definition.definition.clone(),
                attempt: 1,
                revision: String::new(),
                at,
                asked: vec![],
                outcome: Outcome::Readings(readings),
            };
            gates::add(gate, definition, &result);
        }
        gates::tell(&mut self.gates, &self.definitions, None, at);
    }

    /// What decides: a failure before what nobody can judge, and that before what still runs.
    pub fn verdict(&self) -> GateState {
        let is = |state: GateState| self.gates.iter().any(|gate| gate.decides() && gate.state == state);
        let states = [GateState::Failed, GateState::Inconclusive, GateState::Running];
        states.into_iter().find(|state| is(*state)).unwrap_or(GateState::Passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::tests::{at, metric};
    use serde_json::json;

    #[test]
    fn a_failure_decides_before_inconclusive_and_running_gates() {
        let named = |name: &str, more: serde_json::Value| {
            let mut metric = metric(&json!({"count": 1, "noDataLimit": 1}));
            metric.name = name.into();
            metric.weight = more["weight"].as_i64().and_then(|weight| weight.try_into().ok());
            metric
        };
        let metrics = vec![named("alone", json!({})), named("soft", json!({"weight": 1})), named("softer", json!({"weight": 1}))];
        let score = Score { min: "50%".into() };
        let begun = Trial::of(Stage::Verification, metrics, Some(&score), "http://prometheus:9090", at(0)).unwrap();
        let (good, bad, none) = (Some(Reading::Value(0.0)), Some(Reading::Value(1.0)), Some(Reading::NoData));
        let verdict = |answers: [&Option<Reading>; 3]| {
            let mut trial = begun.clone();
            trial.add(answers.map(|answer| answer.clone().map(|answer| vec![answer])), at(1));
            trial.verdict()
        };
        assert_eq!(verdict([&None, &good, &bad]), GateState::Running, "one was not asked");
        assert_eq!(verdict([&good, &None, &bad]), GateState::Running, "the score can still come to either");
        assert_eq!(verdict([&good, &good, &bad]), GateState::Passed, "half of the weights are good");
        assert_eq!(verdict([&none, &good, &None]), GateState::Inconclusive);
        assert_eq!(verdict([&none, &bad, &bad]), GateState::Failed, "the score has failed");
        assert_eq!(verdict([&bad, &None, &none]), GateState::Failed);
        let without = Trial::of(Stage::Verification, vec![named("soft", json!({"weight": 1}))], None, "http://prometheus:9090", at(0));
        assert!(without.unwrap_err().contains("has a weight"));
    }
}
