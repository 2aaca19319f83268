//! The named changes of a status that a phase can make. A phase writes into it in no other way.

use super::Draft;
use crate::{
    clock,
    plan::Wanted,
    record::orders::{self, Verb},
};
use bluegreen_api::{Attempt, Color, Ending, Gate, GateResult, GateState, Outcome, Phase, PhaseTime, Rejected, Rejection, Side, reasons};
use bluegreen_gates::text::bounded;

/// Finished attempts kept in status.
const HISTORY: usize = 10;
/// Revisions that were given up, kept in status.
const REJECTIONS: usize = 10;

impl Draft<'_> {
    pub(crate) fn enter(&mut self, phase: Phase) {
        let now = self.now();
        self.status.phase = Some(phase);
        self.status.armed = false;
        let rests = matches!(phase, Phase::Healthy | Phase::Aborted | Phase::RolledBack);
        self.status.clock = (!rests).then(|| clock::started(now));
        if let Some(current) = self.status.current.as_mut() {
            current.phases.push(PhaseTime { phase, at: now });
            let excess = current.phases.len().saturating_sub(32);
            current.phases.drain(..excess);
        }
    }

    /// A side for a revision of `spec`, numbered: its old number if it had one.
    pub(crate) fn side_of(&mut self, wanted: &Wanted<'_>, color: Color, replicas: i32) -> Side {
        let known = self.seen.revisions.iter().find(|revision| revision.hash == wanted.hash).map(|revision| revision.number);
        let number = known.unwrap_or(self.status.revisions.saturating_add(1));
        self.status.revisions = self.status.revisions.max(number);
        self.status.collision_count = self.status.collision_count.max(wanted.collision_count);
        Side {
            color,
            revision: wanted.hash.clone(),
            number,
            image: wanted.content.image.clone(),
            replicas,
            ports: wanted.content.ports.clone(),
            generation: None,
            ready_when_left: None,
            starting_since: None,
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
    pub(crate) fn begin_candidate(&mut self, wanted: &Wanted<'_>) {
        let Some(active) = self.status.active.clone() else { return };
        let replicas = self.settings().replicas;
        // A smaller size that came together with the candidate doesn't hit the live side at half-time.
        self.status.waiting_replicas = (replicas < active.replicas).then_some(replicas);
        let side = self.side_of(wanted, active.color.other(), self.settings().preview_size(active.replicas));
        // The color is the candidate's now.
        (self.status.standby, self.status.leaving) = (None, None);
        if self.status.gave_up(&side.revision) {
            // Tried again: what else was given up stays so.
            self.remember_rejected();
            self.status.rejections.retain(|rejection| rejection.revision != side.revision);
        } else {
            self.status.rejections.clear();
        }
        self.begin_attempt(&side);
        self.status.preview = Some(side);
        self.enter(Phase::DeployingPreview);
    }

    /// The switch is decided while the candidate's pods start, or is decided no more.
    pub(crate) const fn arm(&mut self, armed: bool) {
        self.status.armed = armed;
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
            self.status.standby = Some(Side {
                color: active.color.other(),
                replicas,
                generation: None,
                ready_when_left: None,
                starting_since: None,
                ..previous
            });
            self.status.leaving = None;
            self.status.preview = None;
        }
        if let Some(aborted) = self.status.ending.take_if(|_| self.status.phase == Some(Phase::Aborting)) {
            // The candidate that is being given up makes room.
            self.finish_attempt(aborted.outcome, &aborted.reason, &aborted.message);
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
    fn can_deploy(&self, revision: &str, color: Color) -> bool {
        let stored = self.seen.revisions.iter().any(|stored| stored.hash == revision);
        stored || self.seen.color(color).deployment.as_ref().is_some_and(|deployment| deployment.revision == revision)
    }

    fn reject(&mut self, side: &Side, reason: &str, message: &str) {
        self.remember_rejected();
        self.status.rejected = Some(Rejected {
            revision: side.revision.clone(),
            number: side.number,
            attempt: self.status.attempt,
            image: side.image.clone(),
            reason: reason.to_owned(),
            message: bounded(message),
            at: self.now(),
        });
        self.remember_rejected();
    }

    /// The newest is among all that were given up. One too many: the oldest goes, but not the one that `spec` asks for.
    fn remember_rejected(&mut self) {
        let Some(newest) = self.status.rejected.as_ref().map(Rejection::from) else { return };
        let named = self.wanted().map(|wanted| wanted.hash.as_str());
        let rejections = &mut self.status.rejections;
        rejections.retain(|rejection| rejection.revision != newest.revision);
        rejections.insert(0, newest);
        while rejections.len() > REJECTIONS {
            let oldest = rejections.iter().rposition(|rejection| Some(rejection.revision.as_str()) != named);
            rejections.remove(oldest.unwrap_or(REJECTIONS));
        }
    }

    /// The attempt under way ends with another revision of `spec`.
    pub(crate) fn superseded(&mut self, wanted: &Wanted<'_>) {
        let message = format!("spec asks for revision {} ({})", wanted.hash, wanted.content.image);
        self.finish_attempt(Outcome::Superseded, reasons::SUPERSEDED, &message);
    }

    /// Puts the attempt under way into history.
    pub(crate) fn finish_attempt(&mut self, outcome: Outcome, reason: &str, message: &str) {
        self.status.paused_by_order = false;
        let Some(mut attempt) = self.status.current.take() else { return };
        attempt.outcome = Some(outcome);
        attempt.reason = reason.to_owned();
        attempt.message = bounded(message);
        attempt.finished = Some(self.now());
        attempt.gates = self.status.gates.iter().map(result_of).collect();
        self.status.history.insert(0, attempt);
        self.status.history.truncate(HISTORY);
    }

    pub(crate) fn rest(&mut self, phase: Phase) {
        self.enter(phase);
        if phase == Phase::Healthy {
            self.status.rejected = None;
            self.status.rejections.clear();
        }
        self.status.gates.clear();
        self.status.ending = None;
        self.status.waiting_replicas = None;
    }

    // === the first revision, and a status that was lost ===

    /// The revision of `spec` is the first that serves, in this color.
    pub(crate) fn begin_first(&mut self, wanted: &Wanted<'_>, color: Color) {
        let side = self.side_of(wanted, color, self.settings().replicas);
        self.begin_attempt(&side);
        self.status.active = Some(side);
        self.enter(Phase::Initializing);
    }

    /// Without an active side a phase means nothing: what is there decides anew.
    pub(crate) const fn lost(&mut self) {
        self.status.phase = None;
    }

    /// What is left of a status without a phase is of no story that is known.
    pub(crate) fn forget(&mut self) {
        let status = &mut self.status;
        status.active = None;
        (status.preview, status.standby, status.leaving, status.previous) = (None, None, None, None);
        (status.ending, status.current, status.clock, status.waiting_replicas) = (None, None, None, None);
        status.armed = false;
        status.gates.clear();
        status.rejections.clear();
        status.ignored_orders.clear();
    }

    /// What a lost status had asked for may be on its way still: above every fence that there was, it is withdrawn.
    pub(crate) const fn withdraw_all(&mut self, fenced: i64) {
        self.status.epoch = fenced.saturating_add(1);
    }

    /// This side serves, as far as can be seen. Orders on the object were given in a story that nobody knows.
    pub(crate) fn rebuilt(&mut self, active: Side) {
        self.status.active = Some(active);
        self.status.revisions = self.seen.revisions.iter().map(|revision| revision.number).max().unwrap_or(1);
        self.status.attempt = self.status.attempt.max(self.status.revisions);
        orders::spend_all(&mut self.status, &self.seen.annotations);
    }

    /// The side beside the live one is the candidate of `spec`. Its gates are asked again from the first: what they had said is lost.
    pub(crate) fn rebuilt_candidate(&mut self, side: Side) {
        self.begin_attempt(&side);
        self.status.preview = Some(side);
        self.enter(Phase::DeployingPreview);
    }

    /// The side beside the live one is what a promotion left.
    pub(crate) fn rebuilt_standby(&mut self, side: Side) {
        self.status.previous = Some(side.clone());
        self.status.standby = Some(side);
        self.enter(Phase::Monitoring);
    }

    // === the switch and the ways back ===

    /// The candidate asks for the size that takes all traffic.
    pub(crate) fn at_full_size(&mut self, candidate: Side) -> Side {
        let active = self.status.active.as_ref().map_or(0, |active| active.replicas);
        let full = Side { replicas: self.settings().full_size(active), ..candidate };
        self.status.preview = Some(full.clone());
        full
    }

    /// The candidate is the active side now, and the former one stands by.
    pub(crate) fn promoted(&mut self, former: Side, candidate: Side) {
        // Given before there was anything to accept.
        self.spend(Verb::Accept);
        self.status.previous = Some(former.clone());
        let ready_when_left = Some(self.ready_pods(&former));
        self.status.standby = Some(Side { ready_when_left, starting_since: None, ..former });
        self.status.active = Some(candidate);
        self.status.preview = None;
    }

    /// A smaller size that waited for the end of a candidate counts.
    pub(crate) const fn size_waits_no_longer(&mut self) {
        self.status.waiting_replicas = None;
    }

    /// The former side has no pods any more.
    pub(crate) fn standby_gone(&mut self) {
        self.status.standby = None;
    }

    /// A person wants the way back now: one ready pod is enough.
    pub(crate) fn hurry(&mut self) {
        if let Some(ending) = self.status.ending.as_mut() {
            (ending.ordered, ending.slow) = (true, false);
        }
    }

    /// Users are back on the standby; the side that was given up leaves, and its drain begins now.
    pub(crate) fn switched_back(&mut self, bad: Side, standby: Side, outcome: Outcome) {
        self.status.leaving = Some(bad.clone());
        self.status.previous = (outcome == Outcome::Reverted).then_some(bad);
        self.status.active = Some(Side { ready_when_left: None, ..standby });
        self.status.standby = None;
        self.status.preview = None;
        self.status.waiting_replicas = None;
        // History keeps one entry for the phase.
        self.status.clock = Some(clock::started(self.now()));
    }

    /// The side that was given up has no pods any more.
    pub(crate) fn left(&mut self) {
        self.status.leaving = None;
    }
}

pub(crate) fn ending(outcome: Outcome, reason: &str, message: &str) -> Ending {
    Ending { outcome, reason: reason.to_owned(), message: bounded(message), ordered: false, slow: false }
}

fn result_of(gate: &Gate) -> GateResult {
    let message = if gate.state == GateState::Passed { String::new() } else { gate.message.clone() };
    GateResult { name: gate.name.clone(), state: gate.state, message }
}
