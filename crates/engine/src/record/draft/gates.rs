//! The gates of the status under work.

use super::Draft;
use crate::observed::{
    facts::{can_run, jobs_of, role},
    services::service_name,
    targets::unasked,
};
use bluegreen_api::{Gate, GateState, Side, reasons};
use bluegreen_gates::{
    approval,
    ask::job::{self, For},
    check::{CheckKind, CheckPlan},
    gates::{self, APPROVAL, Kind},
    stage::Stage,
};

impl Draft<'_> {
    /// An approval is good for the whole attempt, whenever it was given: for the gates that were inconclusive at that moment and no others.
    pub(crate) fn approve(&mut self, stage: Stage) {
        let approval = Gate {
            name: APPROVAL.into(),
            state: GateState::Passed,
            weight: None,
            definition: approval::approval_for(stage, &self.status.gates),
            message: "approved by annotation promote".into(),
            since: self.now(),
            measured: None,
            tries: None,
        };
        self.status.gates.retain(|gate| gate.name != APPROVAL);
        self.status.gates.push(approval);
    }

    /// Gates that have failed are to run again, those that count in a score too.
    pub(crate) fn ask_failed_again(&mut self) {
        self.status.gates.retain(|gate| gate.state != GateState::Failed);
    }

    /// All gates are to run again.
    pub(crate) fn ask_all_again(&mut self) {
        self.status.gates.clear();
    }

    /// Brings the gates of a stage in line with `spec`, and adds the results that came for them.
    pub(crate) fn align_gates(&mut self, stage: Stage) {
        let Ok(definitions) = self.plan.gates(stage, &self.status) else { return };
        let mut aligned = gates::aligned(&self.status.gates, definitions, stage, self.now());
        let revision = self.attempt_revision().unwrap_or_default();
        // Checks are done one after the other.
        let mut others_passed = true;
        for (gate, definition) in aligned.iter_mut().zip(definitions.iter()) {
            let results = self.seen.results.iter().filter(|result| {
                result.gate == definition.name
                    && result.definition == definition.definition
                    && result.attempt == self.status.attempt
                    && result.revision == revision
                    && result.at >= gate.since
            });
            // A gate that turns keeps what came with its turn: collected first, for `since` moves.
            let results: Vec<_> = results.collect();
            for result in &results {
                gates::add(gate, definition, result);
            }
            if let Kind::Check(plan) = &definition.kind {
                if others_passed {
                    self.tell_what_runs(gate, plan, stage, &revision);
                }
                // What nobody can judge holds up none of the others.
                others_passed &= matches!(gate.state, GateState::Passed | GateState::Inconclusive);
            }
        }
        let bake = self.settings().bake;
        let over = stage.is_after_the_switch() && self.elapsed() >= bake;
        gates::tell(&mut aligned, definitions, over.then_some(bake), self.now());
        self.status.gates = aligned;
    }

    /// Long work has a name by which it can be looked at.
    fn tell_what_runs(&self, gate: &mut Gate, plan: &CheckPlan, stage: Stage, revision: &str) {
        let sides = [&self.status.preview, &self.status.active];
        let side = sides.into_iter().flatten().find(|side| side.revision == revision);
        if let Some(why) = side.filter(|_| gate.state == GateState::Running).and_then(|side| unasked(self.seen, side, plan)) {
            gate.message = why;
            return;
        }
        let (CheckKind::Job(_), GateState::Running, None, Some(side)) = (&plan.kind, gate.state, &gate.tries, side) else { return };
        gate.message = if can_run(self.seen, side, stage) {
            let name = job::name(For { attempt: self.status.attempt, ..jobs_of(self.seen, revision) }, gate);
            format!("running as Job {name}; logs: kubectl logs -f job/{name} -n {}", self.seen.namespace)
        } else {
            let which = if stage.is_after_the_switch() { "new revision" } else { "candidate" };
            format!("waiting until Service {} selects the {which}", service_name(self.seen, role(stage)))
        };
    }

    /// Nobody can judge by this gate as things are: it says so itself, its template is gone, or its check asks nobody.
    pub(crate) fn is_unknown(&self, gate: &Gate, stage: Stage, side: &Side) -> bool {
        let definition = || self.plan.gates(stage, &self.status).ok()?.iter().find(|definition| definition.name == gate.name);
        let is_asked = || match definition().map(|definition| &definition.kind) {
            Some(Kind::Check(plan)) => unasked(self.seen, side, plan).is_none(),
            Some(Kind::Metric(_) | Kind::Score(_) | Kind::Unknown(_)) => true,
            None => false,
        };
        gate.state == GateState::Inconclusive || (gate.state == GateState::Running && !is_asked())
    }

    /// The gates of a stage that decide: all but those with a weight, for which the score does.
    pub(crate) fn deciding(&self, stage: Stage) -> impl Iterator<Item = &Gate> {
        self.status.gates.iter().filter(move |gate| gate.decides() && stage.has(gate))
    }

    /// The word for programs when a gate has failed: a score measures nothing itself, and is no check all the same.
    pub(crate) fn reason_of(&self, gate: &Gate) -> &'static str {
        let soft = |stage: Stage| self.status.gates.iter().any(|gate| !gate.decides() && stage.has(gate));
        let score = Stage::ALL.into_iter().any(|stage| gate.name == stage.score() && soft(stage));
        if gate.measured.is_some() || score { reasons::METRIC_FAILED } else { reasons::CHECK_FAILED }
    }
}
