//! The loop around the decision, as steps: look, decide, record or act, and look again, until there is nothing to do but wait.
//!
//! It holds what a process has in its hands between two calls to the API server, and nothing else. The operator takes the steps
//! with real calls; the model checker takes the same ones in every order with which the world can answer.

use crate::{
    decision::{Decision, Effect, Why},
    observed::Observed,
};
use bluegreen_api::BlueGreenRolloutStatus;
use jiff::Timestamp;
use std::collections::VecDeque;

/// More than twice the longest way through the state machine that needs nobody else, for somebody may ask for something else in its
/// middle; a loop that takes more turns in circles.
pub const TURNS: usize = 32;

/// One reconcile under way.
#[derive(Clone, Debug)]
pub struct Pass {
    decide: fn(&Observed) -> Decision,
    turns: usize,
    /// As the latest look saw it.
    seen: Option<Box<Observed>>,
    last: Option<Decision>,
    /// Effects of the latest decision that are still to be carried out.
    effects: VecDeque<Effect>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// See everything anew, and answer with [`Pass::saw`].
    Look,
    /// Write this status if the rollout is still the one that was seen, then [`Pass::done`].
    Record(Box<BlueGreenRolloutStatus>),
    /// Carry this out, then [`Pass::done`]: whether it was refused is seen by the next look.
    Perform(Box<Effect>),
    End(End),
}

/// Why there is nothing more to do now.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    Wait {
        until: Option<Timestamp>,
        why: Why,
    },
    /// The same was decided again though it was done: what is seen doesn't follow what is written.
    SameAgain,
    /// It turned in circles.
    Unsettled,
}

impl Pass {
    pub fn new(decide: fn(&Observed) -> Decision) -> Self {
        Self { decide, turns: 0, seen: None, last: None, effects: VecDeque::new() }
    }

    /// What the latest look saw.
    pub fn seen(&self) -> Option<&Observed> {
        self.seen.as_deref()
    }

    /// What was decided last, if it wasn't to wait.
    pub fn last(&self) -> Option<&Decision> {
        self.last.as_ref()
    }

    /// After a look.
    pub fn saw(&mut self, seen: Box<Observed>) -> Step {
        if self.turns == TURNS {
            return Step::End(End::Unsettled);
        }
        self.turns += 1;
        let decision = (self.decide)(&seen);
        self.seen = Some(seen);
        if self.last.as_ref() == Some(&decision) {
            return Step::End(End::SameAgain);
        }
        let step = match &decision {
            Decision::Record(status) => Step::Record(status.clone()),
            Decision::Act(effects) => {
                self.effects = effects.iter().cloned().collect();
                self.next_effect()
            }
            Decision::Wait { until, why } => return Step::End(End::Wait { until: *until, why: why.clone() }),
        };
        self.last = Some(decision);
        step
    }

    /// After a record or an effect that came to nothing: of what is there by now the same may be decided once more.
    pub fn in_vain(&mut self) -> Step {
        self.last = None;
        self.next_effect()
    }

    /// After a record or an effect, however else it went.
    pub fn done(&mut self) -> Step {
        self.next_effect()
    }

    fn next_effect(&mut self) -> Step {
        self.effects.pop_front().map_or(Step::Look, |effect| Step::Perform(Box::new(effect)))
    }
}
