//! The status that a decision is about to record, while the phases work on it. What may be changed in it has a name, in this folder.

mod carried;
mod conditions;
mod gates;
mod transitions;

pub(crate) use transitions::ending;

use super::orders::{self, Verb};
use crate::{
    asked::Settings,
    clock,
    decision::{Object, Part},
    observed::{ColorSeen, Observed, Refusal, facts},
    plan::{Plan, Wanted},
};
use bluegreen_api::{BlueGreenRolloutStatus, Phase, Side};
use jiff::Timestamp;
use std::time::Duration;

pub(crate) struct Draft<'a> {
    pub seen: &'a Observed,
    pub plan: &'a Plan<'a>,
    status: BlueGreenRolloutStatus,
    /// What the recorded status wants written.
    pending: Vec<(Object, Part)>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(seen: &'a Observed, plan: &'a Plan<'a>, pending: Vec<(Object, Part)>) -> Self {
        Self { seen, plan, status: seen.status.clone(), pending }
    }

    pub(crate) const fn status(&self) -> &BlueGreenRolloutStatus {
        &self.status
    }

    pub(crate) fn into_status(self) -> BlueGreenRolloutStatus {
        self.status
    }

    /// Refusals that still stand in the way: those of what is yet to be written.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = &'a Refusal> {
        self.seen.refusals.iter().filter(|refusal| self.is_pending(&refusal.object, &refusal.part))
    }

    /// The recorded status wants this part of the object written.
    pub(crate) fn is_pending(&self, object: &Object, part: &Part) -> bool {
        self.pending.iter().any(|(is, of)| (is, of) == (object, part))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.seen.now
    }

    pub(crate) fn settings(&self) -> &'a Settings {
        self.plan.settings
    }

    pub(crate) fn wanted(&self) -> Option<&'a Wanted<'a>> {
        self.plan.wanted.as_ref()
    }

    pub(crate) fn phase(&self) -> Option<Phase> {
        self.status.phase
    }

    pub(crate) fn color_of(&self, side: &Side) -> &'a ColorSeen {
        self.seen.color(side.color)
    }

    pub(crate) fn ready_pods(&self, side: &Side) -> i32 {
        facts::ready(self.seen, side)
    }

    pub(crate) fn fully_available(&self, side: &Side) -> bool {
        facts::fully_available(self.seen, side)
    }

    pub(crate) fn wants(&self, side: Option<&Side>) -> bool {
        matches!((self.wanted(), side), (Some(wanted), Some(side)) if wanted.hash == side.revision)
    }

    /// `spec` asks for a revision that is neither live nor given up.
    pub(crate) fn new_candidate(&self) -> Option<&'a Wanted<'a>> {
        let wanted = self.wanted()?;
        let known = self.wants(self.status.active.as_ref());
        let rejected = self.status.rejected.as_ref().is_some_and(|rejected| rejected.revision == wanted.hash);
        (!known && !rejected).then_some(wanted)
    }

    pub(crate) fn ordered(&self, verb: Verb, revision: &str) -> bool {
        orders::given(&self.seen.annotations, &self.status, verb, revision).is_some()
    }

    /// The command by which a person gives an order now.
    pub(crate) fn order(&self, verb: Verb, revision: &str) -> String {
        orders::command(self.seen, verb, revision, &self.status)
    }

    /// Another order, as a second choice beside a command: its annotation alone.
    pub(crate) fn instead(&self, verb: Verb, revision: &str) -> String {
        format!("; instead: {}", orders::written(&self.status, verb, revision))
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
}
