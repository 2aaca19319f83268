//! The status that a decision is about to record, while the phases work on it.

use crate::{
    checks::{CheckKind, CheckPlan},
    clock,
    decision::Object,
    effects,
    gates::{self, GateDefinition, Kind, Stage},
    job, measure,
    metric::Judge,
    observed::{Blind, ColorSeen, Measurement, Observed, Refusal},
    orders::{self, Verb},
    plan::{Plan, Settings, Wanted},
    progress, question, render, score,
};
use bluegreen_api::{
    Attempt, BlueGreenRolloutStatus, Ending, Gate, GateResult, GateState, Outcome, Phase, PhaseTime, Rejected, Side, reasons,
};
use jiff::Timestamp;
use std::time::Duration;

/// Finished attempts kept in status.
const HISTORY: usize = 10;

/// What a phase comes to: another phase to run at once, or a stay with what it waits for.
pub(crate) enum Step {
    Again,
    Stay(Stay),
}

/// Nothing more to decide until something changes or a time comes.
#[derive(Clone, Debug)]
pub(crate) struct Stay {
    pub until: Option<Timestamp>,
    pub reason: &'static str,
    pub message: String,
    pub kind: StayKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StayKind {
    /// What `spec` asks for serves.
    Ready,
    /// Under way.
    Working,
    /// Somebody must do something.
    Stalled,
}

impl Stay {
    pub(crate) fn working(reason: &'static str, message: impl Into<String>) -> Self {
        Self { until: None, reason, message: message.into(), kind: StayKind::Working }
    }

    pub(crate) fn stalled(reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind: StayKind::Stalled, ..Self::working(reason, message) }
    }

    pub(crate) fn ready(reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind: StayKind::Ready, ..Self::working(reason, message) }
    }

    pub(crate) fn until(mut self, until: Option<Timestamp>) -> Self {
        self.until = [self.until, until].into_iter().flatten().min();
        self
    }
}

impl From<Stay> for Step {
    fn from(stay: Stay) -> Self {
        Self::Stay(stay)
    }
}

pub(crate) struct Draft<'a> {
    pub seen: &'a Observed,
    pub plan: &'a Plan,
    pub status: BlueGreenRolloutStatus,
    /// Objects that the recorded status wants written.
    pending: Vec<Object>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(seen: &'a Observed, plan: &'a Plan, pending: Vec<Object>) -> Self {
        Self { seen, plan, status: seen.status.clone(), pending }
    }

    /// Refusals that still stand in the way: those of objects that are yet to be written.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = &'a Refusal> {
        self.seen.refusals.iter().filter(|refusal| self.pending.contains(&refusal.object))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.seen.now
    }

    pub(crate) fn settings(&self) -> &'a Settings {
        &self.plan.settings
    }

    pub(crate) fn wanted(&self) -> Option<&'a Wanted> {
        self.plan.wanted.as_ref().ok()
    }

    pub(crate) fn phase(&self) -> Option<Phase> {
        self.status.phase
    }

    // === sides ===

    pub(crate) fn color_of(&self, side: &Side) -> &'a ColorSeen {
        self.seen.color(side.color)
    }

    pub(crate) fn ready_pods(&self, side: &Side) -> i32 {
        progress::ready_pods(self.color_of(side), &side.revision)
    }

    pub(crate) fn fully_available(&self, side: &Side) -> bool {
        effects::fully_available(self.seen, side)
    }

    pub(crate) fn trouble(&self, side: &Side) -> Option<String> {
        progress::trouble(self.color_of(side), &side.revision)
    }

    pub(crate) fn wants(&self, side: Option<&Side>) -> bool {
        matches!((self.wanted(), side), (Some(wanted), Some(side)) if wanted.hash == side.revision)
    }

    /// `spec` asks for a revision that is neither live nor given up.
    pub(crate) fn new_candidate(&self) -> Option<&'a Wanted> {
        let wanted = self.wanted()?;
        let known = self.wants(self.status.active.as_ref());
        let rejected = self.status.rejected.as_ref().is_some_and(|rejected| rejected.revision == wanted.hash);
        (!known && !rejected).then_some(wanted)
    }

    // === what holds progress ===

    /// Why nothing may be tried, started or passed now. Repair and the way back go on.
    pub(crate) fn held(&self) -> Option<Stay> {
        if let Some(blind) = &self.seen.templates.blind {
            // Told before a gate that can't be worked out for it: that is no fault of the author's.
            return Some(watch_down(blind));
        }
        if let Some(invalid) = self.plan.invalid() {
            return Some(Stay::stalled(reasons::INVALID_SPEC, format!("spec can't be carried out: {invalid}")));
        }
        if let Some(pause) = self.pause() {
            return Some(pause);
        }
        if let Some(stay) = self.blind() {
            return Some(stay);
        }
        if self.settings().replicas == 0 {
            return Some(Stay::working(reasons::NO_REPLICAS, "Waiting for replicas: spec.replicas is 0"));
        }
        None
    }

    /// A person wants nothing new for now.
    pub(crate) fn pause(&self) -> Option<Stay> {
        if self.settings().paused {
            return Some(Stay::working(reasons::PAUSED, "Paused by spec.paused; set it to false to go on"));
        }
        self.status.paused_by_order.then(|| {
            let revision = self.attempt_revision().unwrap_or_default();
            Stay::working(reasons::PAUSED, format!("Paused by an order; annotate with {} to go on", self.order(Verb::Resume, &revision)))
        })
    }

    /// A watch is down, and what is seen may be old.
    pub(crate) fn blind(&self) -> Option<Stay> {
        self.seen.blind.as_ref().map(watch_down)
    }

    // === orders ===

    pub(crate) fn ordered(&self, verb: Verb, revision: &str) -> bool {
        orders::given(&self.seen.annotations, &self.status, verb, revision).is_some()
    }

    /// How a person gives an order now, to be told as advice.
    pub(crate) fn order(&self, verb: Verb, revision: &str) -> String {
        orders::written(&self.status, verb, revision)
    }

    pub(crate) fn spend(&mut self, verb: Verb) {
        orders::spend(&mut self.status, &self.seen.annotations, verb);
    }

    /// Rollback or abort of this revision: they mean the same, whichever side of the switch they are given on.
    pub(crate) fn ordered_to_give_up(&mut self, revision: &str) -> Option<Verb> {
        let verb = [Verb::Rollback, Verb::Abort].into_iter().find(|verb| self.ordered(*verb, revision))?;
        self.spend(verb);
        Some(verb)
    }

    /// The revision that an order for the attempt under way names: the candidate, else the active one.
    pub(crate) fn attempt_revision(&self) -> Option<String> {
        self.status.preview.as_ref().or(self.status.active.as_ref()).map(|side| side.revision.clone())
    }

    // === gates ===

    /// Brings the gates of a stage in line with `spec`, and adds the results that came for them.
    pub(crate) fn align_gates(&mut self, stage: Stage) {
        let Ok(definitions) = self.plan.gates(stage, &self.status) else { return };
        let mut aligned = gates::aligned(&self.status.gates, &definitions, stage, self.now());
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
            if let Some(latest) = results.last() {
                self.tell_what_was_asked(gate, definition, latest);
            }
            if let Kind::Check(plan) = &definition.kind {
                if others_passed {
                    self.tell_what_runs(gate, plan, stage, &revision);
                }
                others_passed &= gate.state == GateState::Passed;
            }
        }
        let bake = self.settings().bake;
        let over = stage == Stage::Monitoring && self.elapsed() >= bake;
        score::tell(&mut aligned, &definitions, over.then_some(bake), self.now());
        self.status.gates = aligned;
    }

    fn tell_what_was_asked(&self, gate: &mut Gate, definition: &GateDefinition, result: &Measurement) {
        let sides = [&self.status.preview, &self.status.active];
        let side = sides.into_iter().flatten().find(|side| side.revision == result.revision);
        let (Kind::Metric(plan), Some(side)) = (&definition.kind, side) else { return };
        let asked = match &plan.judge {
            Judge::Job { .. } => vec![job::told(self.seen, gate, &side.revision)],
            _ => measure::questions(self.seen, side, plan, result.at).iter().flatten().map(question::shown).collect(),
        };
        if let Some(measured) = gate.measured.as_mut() {
            measured.asked = asked;
        }
    }

    /// Long work has a name by which it can be looked at.
    fn tell_what_runs(&self, gate: &mut Gate, plan: &CheckPlan, stage: Stage, revision: &str) {
        let sides = [&self.status.preview, &self.status.active];
        let side = sides.into_iter().flatten().find(|side| side.revision == revision);
        let (CheckKind::Job(_), GateState::Running, None, Some(side)) = (&plan.kind, gate.state, &gate.tries, side) else { return };
        gate.message = if job::can_run(self.seen, side, stage) {
            format!("runs as Job {}", job::name(self.seen, gate, self.status.attempt, revision))
        } else {
            format!("waits until Service {} leads to it", render::service_name(self.seen, job::role(stage)))
        };
    }

    /// The gates of a stage that decide: all but those with a weight, for which the score does.
    pub(crate) fn deciding(&self, stage: Stage) -> impl Iterator<Item = &Gate> {
        self.status.gates.iter().filter(move |gate| gate.decides() && gate.name.starts_with(stage.prefix()))
    }

    /// The word for programs when a gate has failed: a score measures nothing itself, and is no check all the same.
    pub(crate) fn reason_of(&self, gate: &Gate) -> &'static str {
        let soft = |stage: Stage| self.status.gates.iter().any(|gate| !gate.decides() && gate.name.starts_with(stage.prefix()));
        let score = [Stage::Verification, Stage::Monitoring].into_iter().any(|stage| gate.name == stage.score() && soft(stage));
        if gate.measured.is_some() || score { reasons::METRIC_FAILED } else { reasons::CHECK_FAILED }
    }

    // === time ===

    pub(crate) fn elapsed(&self) -> Duration {
        self.status.clock.as_ref().map(|clock| clock::elapsed(clock, self.now())).unwrap_or_default()
    }

    pub(crate) fn due(&self, after: Duration) -> Option<Timestamp> {
        self.status.clock.as_ref().and_then(|clock| clock::due(clock, after))
    }

    /// Time since the pods of a side made progress, as far as it counts for this phase.
    pub(crate) fn without_progress(&self, side: &Side) -> Option<(Duration, Option<Timestamp>)> {
        let progress = self.color_of(side).progress.as_ref().filter(|progress| progress.revision == side.revision)?;
        let mut clock = self.status.clock.clone()?;
        // What was excluded before the latest progress can't be told from what was excluded after it: rather late than early.
        clock.since = clock.since.max(progress.at);
        Some((clock::elapsed(&clock, self.now()), clock::due(&clock, self.settings().progress_deadline)))
    }

    // === transitions ===

    pub(crate) fn enter(&mut self, phase: Phase) {
        let now = self.now();
        self.status.phase = Some(phase);
        let rests = matches!(phase, Phase::Healthy | Phase::Aborted | Phase::RolledBack);
        self.status.clock = (!rests).then(|| clock::started(now));
        if let Some(current) = self.status.current.as_mut() {
            current.phases.push(PhaseTime { phase, at: now });
            let excess = current.phases.len().saturating_sub(32);
            current.phases.drain(..excess);
        }
    }

    /// A side for a revision of `spec`, numbered: its old number if it had one.
    pub(crate) fn side_of(&mut self, wanted: &Wanted, color: bluegreen_api::Color, replicas: i32) -> Side {
        let known = self.seen.revisions.iter().find(|revision| revision.hash == wanted.hash).map(|revision| revision.number);
        let number = known.unwrap_or(self.status.revisions.saturating_add(1));
        self.status.revisions = self.status.revisions.max(number);
        self.status.collision_count = self.status.collision_count.max(wanted.collision_count);
        Side {
            color,
            revision: wanted.hash.clone(),
            number,
            image: wanted.image.clone(),
            replicas,
            ports: wanted.ports.clone(),
            generation: None,
        }
    }

    /// A new story: number it, and let no order given for an earlier one count.
    pub(crate) fn begin_attempt(&mut self, side: &Side) {
        self.status.attempt = self.status.attempt.saturating_add(1);
        self.status.current = Some(Attempt {
            attempt: self.status.attempt,
            revision: side.revision.clone(),
            number: side.number,
            image: side.image.clone(),
            from_image: self.status.active.as_ref().map(|active| active.image.clone()).unwrap_or_default(),
            by: self.seen.by.clone(),
            phases: vec![],
            gates: vec![],
            outcome: None,
            reason: String::new(),
            message: String::new(),
            finished: None,
        });
        self.status.gates.clear();
        self.status.paused_by_order = false;
        self.status.ending = None;
        self.status.rejected = None;
        orders::spend_all(&mut self.status, &self.seen.annotations);
    }

    /// Brings the revision of `spec` to the color that isn't active.
    pub(crate) fn begin_candidate(&mut self, wanted: &Wanted) {
        let Some(active) = self.status.active.clone() else { return };
        let replicas = self.settings().replicas;
        // A smaller size that came together with the candidate doesn't hit the live side at half-time.
        self.status.waiting_replicas = (replicas < active.replicas).then_some(replicas);
        let side = self.side_of(wanted, active.color.other(), self.settings().preview_size(active.replicas));
        // The color is the candidate's now.
        (self.status.standby, self.status.leaving) = (None, None);
        self.begin_attempt(&side);
        self.status.preview = Some(side);
        self.enter(Phase::DeployingPreview);
    }

    /// Gives a candidate up before the switch.
    pub(crate) fn abort(&mut self, outcome: Outcome, reason: &str, message: &str) {
        let Some(candidate) = self.status.preview.take() else { return };
        if outcome == Outcome::Aborted {
            self.reject(&candidate, reason, message);
        }
        self.status.leaving = Some(candidate);
        self.status.waiting_replicas = None;
        // Given before there was anything to retry.
        self.spend(Verb::Retry);
        self.status.ending = Some(ending(outcome, reason, message));
        self.enter(Phase::Aborting);
    }

    /// Gives the active revision up after the switch. False when there is nothing to go back to.
    pub(crate) fn roll_back(&mut self, mut ending: Ending) -> bool {
        let Some(active) = self.status.active.clone() else { return false };
        if self.status.standby.is_none() {
            let known = |previous: &Side| previous.revision != active.revision && self.can_deploy(&previous.revision, active.color.other());
            let Some(previous) = self.status.previous.clone().filter(known) else { return false };
            ending.slow = true;
            let replicas = self.settings().full_size(active.replicas);
            self.status.standby = Some(Side { color: active.color.other(), replicas, generation: None, ..previous });
            self.status.leaving = None;
            self.status.preview = None;
        }
        if self.status.current.is_none() {
            // The attempt that brought it live is history; going back from it is a story of its own.
            let rejected = self.status.rejected.take();
            self.begin_attempt(&active);
            self.status.rejected = rejected;
            // It tells of the revision that is given up: what served before that serves again.
            if let (Some(attempt), Some(former)) = (self.status.current.as_mut(), &self.status.standby) {
                attempt.from_image.clone_from(&former.image);
            }
        }
        if ending.outcome == Outcome::RolledBack {
            self.reject(&active, &ending.reason, &ending.message);
        }
        self.spend(Verb::Retry);
        self.status.ending = Some(ending);
        self.enter(Phase::RollingBack);
        true
    }

    /// The revision is stored, or its Deployment is still there.
    fn can_deploy(&self, revision: &str, color: bluegreen_api::Color) -> bool {
        let stored = self.seen.revisions.iter().any(|stored| stored.hash == revision);
        stored || self.seen.color(color).deployment.as_ref().is_some_and(|deployment| deployment.revision == revision)
    }

    fn reject(&mut self, side: &Side, reason: &str, message: &str) {
        self.status.rejected = Some(Rejected {
            revision: side.revision.clone(),
            number: side.number,
            attempt: self.status.attempt,
            image: side.image.clone(),
            reason: reason.to_owned(),
            message: gates::bounded(message),
            at: self.now(),
        });
    }

    /// Puts the attempt under way into history.
    pub(crate) fn finish_attempt(&mut self, outcome: Outcome, reason: &str, message: &str) {
        self.status.paused_by_order = false;
        let Some(mut attempt) = self.status.current.take() else { return };
        attempt.outcome = Some(outcome);
        attempt.reason = reason.to_owned();
        attempt.message = gates::bounded(message);
        attempt.finished = Some(self.now());
        attempt.gates = self.status.gates.iter().map(result_of).collect();
        self.status.history.insert(0, attempt);
        self.status.history.truncate(HISTORY);
    }

    pub(crate) fn rest(&mut self, phase: Phase) {
        self.enter(phase);
        if phase == Phase::Healthy {
            self.status.rejected = None;
        }
        self.status.gates.clear();
        self.status.ending = None;
        self.status.waiting_replicas = None;
    }
}

fn watch_down(Blind { why, .. }: &Blind) -> Stay {
    Stay::working(reasons::WATCH_DOWN, format!("Nothing is tried or passed while the operator can't watch {why}"))
}

pub(crate) fn ending(outcome: Outcome, reason: &str, message: &str) -> Ending {
    Ending { outcome, reason: reason.to_owned(), message: gates::bounded(message), ordered: false, slow: false }
}

fn result_of(gate: &Gate) -> GateResult {
    let message = if gate.state == GateState::Passed { String::new() } else { gate.message.clone() };
    GateResult { name: gate.name.clone(), state: gate.state, message }
}
