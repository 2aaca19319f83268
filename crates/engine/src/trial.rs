//! The metrics of a stage judged without a rollout around them: what a way of judging is worth can so be found out by simulation.

use crate::{
    gates::{self, GateDefinition},
    metric::Server,
    observed::{Measurement, Outcome, Reading},
    plan::Invalid,
    score,
    templates::Group,
};
use bluegreen_api::{Gate, GateState, Metric, Score};
use jiff::Timestamp;

pub use crate::gates::Stage;

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
        let definitions = definitions.and_then(|gates| score::with(stage, gates, score)).map_err(|Invalid(why)| why)?;
        let gates = gates::aligned(&[], &definitions, stage, now);
        Ok(Self { definitions, gates })
    }

    /// Adds what was answered at one time: for each metric, in their order, the answers to its questions.
    pub fn add(&mut self, answers: impl IntoIterator<Item = Vec<Reading>>, at: Timestamp) {
        for ((gate, definition), readings) in self.gates.iter_mut().zip(&self.definitions).zip(answers) {
            let result = Measurement {
                gate: definition.name.clone(),
                definition: definition.definition.clone(),
                attempt: 1,
                revision: String::new(),
                at,
                outcome: Outcome::Readings(readings),
            };
            gates::add(gate, definition, &result);
        }
        score::tell(&mut self.gates, &self.definitions, None, at);
    }

    /// What decides: a failure before what nobody can judge, and that before what still runs.
    pub fn verdict(&self) -> GateState {
        let is = |state: GateState| self.gates.iter().any(|gate| gate.decides() && gate.state == state);
        let states = [GateState::Failed, GateState::Inconclusive, GateState::Running];
        states.into_iter().find(|state| is(*state)).unwrap_or(GateState::Passed)
    }
}
