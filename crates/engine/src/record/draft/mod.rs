//! The status that a decision is about to record, while the phases work on it. What may be changed in it has a name, in this folder.

mod carried;
mod conditions;
mod gates;
mod transitions;

pub(crate) use transitions::ending;

use super::orders::{self, Order, Verb};
use crate::{
    asked::Settings,
    clock,
    decision::{Object, Part},
    observed::{ColorSeen, Observed, Refusal, facts},
    plan::{Plan, Wanted},
};
use bluegreen_api::{BlueGreenRolloutStatus, Clock, IgnoredOrder, Phase, Side, names};
use bluegreen_gates::text::shortened;
use jiff::Timestamp;
use std::time::Duration;

/// Characters of an order that is told.
const ORDER: usize = 100;
/// Answers that stand at once.
const ANSWERS: usize = 8;

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

    /// Those that have each port of the side.
    pub(crate) fn reachable_pods(&self, side: &Side) -> i32 {
        facts::reachable(self.seen, side)
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
        (!known && !self.status.gave_up(&wanted.hash)).then_some(wanted)
    }

    /// The record under work begins the attempt.
    pub(crate) fn begins(&self) -> bool {
        self.seen.status.phase.is_some() && self.seen.status.attempt < self.status.attempt
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

    pub(crate) fn spend_one(&mut self, order: Order<'_>) {
        orders::spend_one(&mut self.status, &self.seen.annotations, order);
    }

    /// The person who gave an order is told why nothing comes of it.
    pub(crate) fn ignore(&mut self, order: Order<'_>, why: String) {
        let ignored = IgnoredOrder { order: shortened(&format!("{}={}", order.key, order.value), ORDER), message: why };
        let known = self.status.ignored_orders.iter().any(|known| known.order == ignored.order);
        if !known && self.status.ignored_orders.len() < ANSWERS {
            self.status.ignored_orders.push(ignored);
        }
    }

    /// Answers stand for as long as their phase and their annotations do.
    pub(crate) fn forget_answers(&mut self) {
        let same_phase = self.seen.status.phase == self.status.phase;
        let stands = |order: &str| {
            let is = |(key, value): (&String, &String)| {
                let key = key.strip_prefix(names::PREFIX).unwrap_or_default();
                shortened(&format!("{key}={value}"), ORDER) == order
            };
            self.seen.annotations.iter().any(is)
        };
        self.status.ignored_orders.retain(|ignored| same_phase && stands(&ignored.order));
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

    /// A clock for what began in the middle of a phase: what was taken out of that of the phase may lie before.
    pub(crate) fn clock_since(&self, since: Timestamp) -> Clock {
        let mut clock = clock::started(since);
        if let Some(absence) = self.seen.absence {
            clock::account(&mut clock, absence);
        }
        clock
    }

    /// Whether the pods of a side made no progress for a whole deadline, as far as its time counts for this phase, and when that is so.
    /// Pods that are ready have only to stay ready for minReadySeconds: that time is theirs.
    pub(crate) fn without_progress(&self, side: &Side) -> Option<(bool, Option<Timestamp>)> {
        let progress = self.color_of(side).progress.as_ref().filter(|progress| progress.revision == side.revision)?;
        let mut clock = self.status.clock.clone()?;
        // What was excluded before the latest progress can't be told from what was excluded after it: rather late than early.
        clock.since = clock.since.max(progress.at);
        let stays = u64::try_from(self.settings().min_ready_seconds).unwrap_or(0);
        let stays = if progress.high_water > 0 { Duration::from_secs(stays) } else { Duration::ZERO };
        let deadline = self.settings().progress_deadline.saturating_add(stays);
        Some((clock::elapsed(&clock, self.now()) >= deadline, clock::due(&clock, deadline)))
    }
}
