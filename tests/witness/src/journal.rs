//! The events of all watches so far, judged as far as they are complete.

use crate::{Event, Kind, judge::World};
use jiff::SignedDuration;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Range,
    sync::Arc,
};

/// So many events are kept when older ones are forgotten: what led to a broken promise is among them.
const KEPT: usize = 30_000;

/// Events in the order in which they came, and the objects that they leave.
#[derive(Default)]
pub struct Journal {
    events: VecDeque<Event>,
    /// How many events there were before them.
    forgotten: usize,
    /// Each object's latest event, and how many events there were before it.
    latest: HashMap<(Kind, String), (usize, Event)>,
    /// The version at which the watches began.
    first: u64,
    /// The watch of a kind has brought all changes until this version.
    complete: BTreeMap<Kind, u64>,
    /// Events until this version were judged. Between later ones others may come yet.
    judged: u64,
    world: World,
}

impl Journal {
    /// A watch of this kind begins at this version.
    pub fn begin(&mut self, kind: Kind, version: u64) {
        self.first = version;
        self.complete.insert(kind, version);
    }

    /// Events of one kind, whose watch has then brought all changes until this version.
    pub fn add(&mut self, kind: Kind, events: Vec<Event>, complete: u64) {
        for event in events {
            self.latest.insert((event.kind, event.name.clone()), (self.length(), event.clone()));
            self.events.push_back(event);
        }
        self.complete.insert(kind, complete);
    }

    /// How many events there were.
    pub fn length(&self) -> usize {
        self.forgotten + self.events.len()
    }

    /// The events since there were so many, as far as they are not forgotten.
    pub fn since(&self, count: usize) -> impl Iterator<Item = &Event> {
        self.events.iter().skip(count.saturating_sub(self.forgotten))
    }

    /// The latest event of an object, and how many events there were before it.
    pub fn latest(&self, kind: Kind, name: &str) -> Option<&(usize, Event)> {
        self.latest.get(&(kind, name.to_owned()))
    }

    /// All objects of a kind that are there, by their names.
    pub fn all(&self, kind: Kind) -> BTreeMap<String, Arc<Value>> {
        let latest = self.latest.values().map(|(_, event)| event).filter(|event| event.kind == kind && !event.deleted);
        latest.map(|event| (event.name.clone(), event.object.clone())).collect()
    }

    /// Operators know late of what happens, and their requests come late: by so much.
    pub fn allow_lag(&mut self, lag: SignedDuration) {
        self.world.lag = lag;
    }

    /// Between these versions not every change was seen.
    pub fn missed(&mut self, versions: Range<u64>) {
        self.world.blind.push(versions);
    }

    /// How many versions there were, and how many of them came while not every change was seen.
    pub fn blindness(&self) -> (u64, u64) {
        let mut gaps = self.world.blind.clone();
        gaps.sort_by_key(|gap| gap.start);
        let (mut blind, mut until) = (0, 0);
        for gap in gaps {
            blind += gap.end.saturating_sub(gap.start.max(until));
            until = gap.end.max(until);
        }
        let last = self.complete.values().max().copied().unwrap_or_default();
        (last - self.first, blind)
    }

    /// Judges the events that no watch can add to any more. The promises that were broken so far, each in a sentence.
    pub fn judge(&mut self) -> &[String] {
        let complete = Kind::ALL.iter().map(|kind| self.complete.get(kind).copied().unwrap_or_default()).min().unwrap_or_default();
        let news = self.events.iter().filter(|event| (self.judged + 1..=complete).contains(&event.version));
        self.world.see_in_order(news);
        self.judged = complete.max(self.judged);
        &self.world.broken
    }

    /// The promises that were broken, by all events that came, whatever may come yet.
    pub fn broken(&self) -> Vec<String> {
        let mut world = self.world.clone();
        world.see_in_order(self.events.iter().filter(|event| event.version > self.judged));
        world.broken
    }

    /// Forgets the oldest of the events that were judged, for a test that lasts long.
    pub fn forget(&mut self) {
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
