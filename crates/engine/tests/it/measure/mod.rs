//! What is to be measured.

mod asked;
mod due;
mod jobs;
mod webhooks;

use crate::world::World;
use bluegreen_api::Phase;
use bluegreen_engine::{Observed, measure};
use bluegreen_gates::{
    ask::What,
    reading::{CheckOutcome, Measurement, Outcome, Reading},
};
use jiff::Timestamp;
use serde_json::{Value, json};

fn stage() -> Value {
    json!({
        "checks": [{"name": "home", "http": {}}, {"name": "health", "http": {}}],
        "metrics": [
            {"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "interval": "5s"},
            {"name": "latency", "prometheus": {"query": "l"}, "max": "2", "interval": "7s", "initialDelay": "3s"},
        ],
    })
}

/// A world in this phase, in which nothing has been measured yet.
pub(super) fn unmeasured(spec: Value, phase: Phase) -> Observed {
    let mut world = World::live(spec);
    world.gauge = |_, _, _| Outcome::Check(CheckOutcome::NotDone("not yet".into()));
    world.image("shop:2");
    world.run_until(phase);
    world.results.clear();
    world.seen()
}

pub(super) fn verifying() -> Observed {
    unmeasured(json!({"verification": stage()}), Phase::Verifying)
}

pub(super) fn monitoring() -> Observed {
    unmeasured(json!({"monitoring": stage()}), Phase::Monitoring)
}

pub(super) fn result(seen: &Observed, gate: &str, at: Timestamp) -> Measurement {
    let gate = seen.status.gates.iter().find(|known| known.name == gate).unwrap();
    Measurement {
        gate: gate.name.clone(),
        definition: gate.definition.clone(),
        attempt: seen.status.attempt,
        revision: String::new(),
        at,
        asked: vec![],
        outcome: Outcome::reading(Reading::NoData),
    }
}

pub(super) fn asked_first(seen: &Observed) -> What {
    measure::wanted(seen).into_iter().next().unwrap().what
}
