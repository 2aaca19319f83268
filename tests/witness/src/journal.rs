//! What the watches have told so far, judged as far as it is complete.

use super::{Event, Kind, judge::World};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// So many events are kept when older ones are forgotten: what led to a broken promise is among them.
const KEPT: usize = 30_000;

#[derive(Default)]
pub(super) struct Told {
    events: VecDeque<Event>,
    /// How many events there were before them.
    forgotten: usize,
    /// Each object's latest event, and how many events there were before it.
    pub(super) latest: HashMap<(Kind, String), (usize, Event)>,
    /// The version at which the watches began.
    pub(super) first: u64,
    /// The watch of a kind has told all changes until this version.
    pub(super) complete: BTreeMap<Kind, u64>,
    /// Events until this version were judged. Between later ones others may come yet.
    judged: u64,
    pub(super) world: World,
}

impl Told {
    pub(super) fn add(&mut self, event: Event) {
        self.latest.insert((event.kind, event.name.clone()), (self.length(), event.clone()));
        self.events.push_back(event);
    }

    pub(super) fn length(&self) -> usize {
        self.forgotten + self.events.len()
    }

    pub(super) fn since(&self, count: usize) -> impl Iterator<Item = &Event> {
        self.events.iter().skip(count.saturating_sub(self.forgotten))
    }

    /// Judges what no watch can add to any more.
    pub(super) fn judge(&mut self) {
        let complete = Kind::ALL.iter().map(|kind| self.complete.get(kind).copied().unwrap_or_default()).min().unwrap_or_default();
        let news = self.events.iter().filter(|event| (self.judged + 1..=complete).contains(&event.version));
        self.world.see_in_order(news);
        self.judged = complete.max(self.judged);
    }

    /// By all that was told, whatever may come yet.
    pub(super) fn broken(&self) -> Vec<String> {
        let mut world = self.world.clone();
        world.see_in_order(self.events.iter().filter(|event| event.version > self.judged));
        world.broken
    }

    pub(super) fn forget(&mut self) {
        while self.events.len() > KEPT && self.events.front().is_some_and(|event| event.version <= self.judged) {
            let Some(event) = self.events.pop_front() else { break };
            self.forgotten += 1;
            let key = (event.kind, event.name);
            if event.deleted && self.latest.get(&key).is_some_and(|(at, _)| *at < self.forgotten) {
                self.latest.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
