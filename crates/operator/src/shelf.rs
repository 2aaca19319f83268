//! The cached objects of one kind, and those that stand in for them.
//!
//! A watch lags behind what the operator itself has just written or read. What a write returned therefore stands in for the
//! cached object until the watch has caught up, or 30 s have passed.

use crate::{
    key::Key,
    kinds::{Haste, Head, Kind, Seen},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

mod unread;

pub use unread::Unreadable;

/// A watch that hasn't caught up after this time isn't waited for.
pub const STAND_IN: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Shelf<T> {
    entries: HashMap<Key, Entry<T>>,
    /// Rollout to the names of its objects.
    groups: HashMap<Key, BTreeSet<Arc<str>>>,
    /// Raised by each list: what an older one had seen last is gone.
    round: u64,
    /// The version that the watch has come to: whatever happened up to it to objects that it can see has been told. Versions of
    /// one kind compare, and a watch tells events in their order.
    told: u64,
    /// While a list lasts, whose objects come in another order: the latest version in it so far.
    listing: Option<u64>,
    /// Stand-ins, in the order of their end.
    ends: VecDeque<(Instant, Key)>,
    /// Objects whose latest version can't be read. What was read of them before stays: it is old, but they are not gone.
    unread: BTreeMap<Key, Unreadable>,
}

#[derive(Debug)]
struct Entry<T> {
    cached: Option<Arc<Seen<T>>>,
    standing: Option<StandIn<T>>,
    round: u64,
}

/// An object as a write or a read returned it.
#[derive(Debug)]
struct StandIn<T> {
    /// None: it was deleted.
    object: Option<Arc<Seen<T>>>,
    version: u64,
    /// None: it is watched by its name for as long as it stands in.
    until: Option<Instant>,
}

impl<T> StandIn<T> {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// The object seen under a name.
#[derive(Debug)]
pub enum Look<T> {
    Nothing,
    Object(Arc<Seen<T>>),
    /// The stand-in has expired before the watch caught up: only a live read shows the object.
    Overdue,
}

impl<T> Entry<T> {
    fn empty(round: u64) -> Self {
        Self { cached: None, standing: None, round }
    }

    fn cached_version(&self) -> u64 {
        self.cached.as_ref().map_or(0, |seen| seen.head.version())
    }

    /// The newer of the two.
    fn current(&self, now: Instant) -> Option<&Arc<Seen<T>>> {
        match &self.standing {
            Some(standing) if standing.version > self.cached_version() && !standing.is_over(now) => standing.object.as_ref(),
            _ => self.cached.as_ref(),
        }
    }

    /// The watch has come as far as `version`.
    fn caught_up(&mut self, version: u64) {
        if self.standing.as_ref().is_some_and(|standing| standing.version <= version) {
            self.standing = None;
        }
    }

    fn rollouts(&self) -> impl Iterator<Item = &Arc<str>> {
        let standing = self.standing.as_ref().and_then(|standing| standing.object.as_ref());
        self.cached.iter().chain(standing).filter_map(|seen| seen.head.rollout.as_ref())
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            groups: HashMap::new(),
            round: 0,
            told: 0,
            listing: None,
            ends: VecDeque::new(),
            unread: BTreeMap::new(),
        }
    }
}

impl<T: Kind> Shelf<T> {
    /// A list begins. What it doesn't bring is gone when it ends; until then everything stays.
    pub fn list_begins(&mut self) {
        self.round += 1;
        (self.told, self.listing) = (0, Some(0));
    }

    fn tells(&mut self, version: u64) {
        let latest = self.listing.as_mut().unwrap_or(&mut self.told);
        *latest = version.max(*latest);
    }

    /// How soon a look is to be for what the watch has brought.
    pub fn haste(&self, head: &Head, after: Option<&T>, now: Instant) -> Haste {
        let before = self.get(&key(head), now);
        T::haste(before.as_ref().map(|before| &before.body), after)
    }

    /// The watch or a list brought an object. Answers with the rollouts that it concerns, if anything that is kept has changed.
    pub fn arrived(&mut self, seen: Seen<T>) -> Vec<Key> {
        let key = key(&seen.head);
        self.tells(seen.head.version());
        let round = self.round;
        let mut concerned = self.read(&key, seen.head.version());
        concerned.extend(self.edit(&key, |entry| {
            entry.round = round;
            entry.caught_up(seen.head.version());
            // The very same version again, from a list: the one that is there knows since when.
            if entry.cached.as_ref().is_none_or(|cached| cached.head != seen.head) {
                entry.cached = Some(Arc::new(seen));
            }
        }));
        concerned.dedup();
        concerned
    }

    /// The watch said that an object was deleted, or has lost its label.
    pub fn departed(&mut self, head: &Head) -> Vec<Key> {
        self.tells(head.version());
        let mut concerned = self.read(&key(head), head.version());
        concerned.extend(self.edit(&key(head), |entry| {
            entry.cached = None;
            entry.caught_up(head.version());
        }));
        concerned.dedup();
        concerned
    }

    /// A list has ended: what it didn't bring is gone.
    pub fn list_ends(&mut self) -> Vec<Key> {
        self.told = self.listing.take().unwrap_or_default();
        let round = self.round;
        let gone = |entry: &Entry<T>| entry.round < round && entry.cached.is_some();
        let mut missing: Vec<Key> = self.entries.iter().filter(|(_, entry)| gone(entry)).map(|(key, _)| key.clone()).collect();
        missing.sort_unstable();
        let mut concerned = Vec::new();
        let not_listed = |known: &Unreadable| known.round < round;
        let unlisted: Vec<Key> = self.unread.iter().filter(|(_, known)| not_listed(known)).map(|(key, _)| key.clone()).collect();
        for key in unlisted {
            concerned.extend(self.read(&key, u64::MAX));
        }
        for key in missing {
            concerned.extend(self.edit(&key, |entry| {
                entry.cached = None;
                // One that is watched by its name is there all the same.
                if entry.standing.as_ref().is_some_and(|standing| standing.until.is_some()) {
                    entry.standing = None;
                }
            }));
        }
        concerned
    }

    /// A write or a live read returned the object. When the watch has come further already, it knows better: the object may
    /// have been deleted while the answer was on its way, and what has stood in for too long is over. One that the watch left at an
    /// older version it can't have told of.
    pub fn stand_in(&mut self, seen: Seen<T>, now: Instant) {
        let version = seen.head.version();
        let older = |entry: &Entry<T>| entry.cached.is_some() && entry.cached_version() < version;
        let passed_over = self.entries.get(&key(&seen.head)).is_some_and(older);
        if seen.head.rollout.is_some() && version <= self.told && !passed_over {
            self.edit(&key(&seen.head), |entry| {
                entry.standing.take_if(|standing| standing.is_over(now));
            });
            return;
        }
        let until = now + STAND_IN;
        self.ends.push_back((until, key(&seen.head)));
        self.put(seen, Some(until));
    }

    /// The rollouts of objects that have stood in for as long as they may: what is seen of them is another now.
    pub fn expired(&mut self, now: Instant) -> Vec<Key> {
        let mut concerned = Vec::new();
        while let Some((_, key)) = self.ends.pop_front_if(|(until, _)| *until <= now) {
            let entry = self.entries.get(&key).filter(|entry| entry.standing.as_ref().is_some_and(|standing| standing.is_over(now)));
            concerned.extend(entry.into_iter().flat_map(Entry::rollouts).map(|rollout| key.beside(rollout.clone())));
        }
        concerned.dedup();
        concerned
    }

    /// A watch by name brought an object that the shelf's own watch can't see.
    pub fn watched_by_name(&mut self, seen: Seen<T>) -> Vec<Key> {
        self.put(seen, None)
    }

    fn put(&mut self, seen: Seen<T>, until: Option<Instant>) -> Vec<Key> {
        let key = key(&seen.head);
        let version = seen.head.version();
        self.read(&key, version);
        self.edit(&key, |entry| {
            let stood = entry.standing.as_ref().map_or(0, |standing| standing.version);
            if version >= entry.cached_version().max(stood) {
                entry.standing = Some(StandIn { object: Some(Arc::new(seen)), version, until });
            }
            entry.caught_up(entry.cached_version());
        })
    }

    /// A delete or a live read said that the object is gone.
    pub fn gone(&mut self, key: &Key, now: Instant) -> Vec<Key> {
        self.read(key, u64::MAX);
        let concerned = self.edit(key, |entry| {
            let known = entry.cached_version().max(entry.standing.as_ref().map_or(0, |standing| standing.version));
            // Older than nothing that is known of it, so that the next to arrive under this name counts.
            let version = known + u64::from(entry.cached.is_some());
            entry.standing = entry.cached.is_some().then_some(StandIn { object: None, version, until: Some(now + STAND_IN) });
        });
        self.ends.push_back((now + STAND_IN, key.clone()));
        concerned
    }

    /// A watch by name ends: from now on the shelf's own watch has to bring the object.
    pub fn released(&mut self, key: &Key, now: Instant) {
        self.edit(key, |entry| {
            if let Some(standing) = &mut entry.standing {
                standing.until = Some(now + STAND_IN);
            }
        });
        self.ends.push_back((now + STAND_IN, key.clone()));
    }

    pub fn get(&self, key: &Key, now: Instant) -> Option<Arc<Seen<T>>> {
        self.entries.get(key)?.current(now).cloned()
    }

    /// Like `get`, but never falls back to an object that is known to be older than one that was seen.
    pub fn look(&self, key: &Key, now: Instant) -> Look<T> {
        let Some(entry) = self.entries.get(key) else { return Look::Nothing };
        match &entry.standing {
            Some(standing) if standing.version > entry.cached_version() && standing.is_over(now) => Look::Overdue,
            _ => entry.current(now).cloned().map_or(Look::Nothing, Look::Object),
        }
    }

    /// All objects of a rollout, in the order of their names.
    pub fn of(&self, rollout: &Key, now: Instant) -> Vec<Arc<Seen<T>>> {
        let names = self.groups.get(rollout).into_iter().flatten();
        let seen = names.filter_map(|name| self.entries.get(&rollout.beside(name.clone()))?.current(now));
        seen.filter(|seen| seen.head.rollout.as_ref() == Some(&rollout.name)).cloned().collect()
    }

    /// In their order, so that what follows from them has one.
    pub fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.entries.keys().cloned().collect();
        keys.sort_unstable();
        keys
    }

    pub fn each(&self, now: Instant) -> impl Iterator<Item = &Arc<Seen<T>>> {
        self.entries.values().filter_map(move |entry| entry.current(now))
    }

    /// Changes one entry, keeps the groups true to it, and answers with the rollouts for which something has changed.
    fn edit(&mut self, key: &Key, change: impl FnOnce(&mut Entry<T>)) -> Vec<Key> {
        let now = Instant::now();
        let round = self.round;
        let mut entry = self.entries.remove(key).unwrap_or_else(|| Entry::empty(round));
        let before = entry.current(now).cloned();
        let former: Vec<Arc<str>> = entry.rollouts().cloned().collect();
        change(&mut entry);
        let after = entry.current(now).cloned();
        for rollout in &former {
            if !entry.rollouts().any(|present| present == rollout) {
                self.leave(key, rollout);
            }
        }
        for rollout in entry.rollouts().filter(|rollout| !former.contains(rollout)) {
            self.groups.entry(key.beside(rollout.clone())).or_default().insert(key.name.clone());
        }
        if entry.cached.is_some() || entry.standing.is_some() {
            self.entries.insert(key.clone(), entry);
        }
        concerned(key, before.as_deref(), after.as_deref())
    }

    fn leave(&mut self, key: &Key, rollout: &Arc<str>) {
        let group = key.beside(rollout.clone());
        if let Some(names) = self.groups.get_mut(&group) {
            names.remove(&key.name);
            if names.is_empty() {
                self.groups.remove(&group);
            }
        }
    }
}

fn key(head: &Head) -> Key {
    Key::new(head.namespace.clone(), head.name.clone())
}

/// The rollouts by whose label an object went, came or changed.
fn concerned<T: Kind>(key: &Key, before: Option<&Seen<T>>, after: Option<&Seen<T>>) -> Vec<Key> {
    let rollout = |seen: Option<&Seen<T>>| seen.and_then(|seen| seen.head.rollout.clone());
    if let (Some(before), Some(after)) = (before, after)
        && before.body == after.body
        && before.head.uid == after.head.uid
        && before.head.rollout == after.head.rollout
    {
        return vec![];
    }
    if before.is_none() && after.is_none() {
        return vec![];
    }
    let (before, after) = (rollout(before), rollout(after));
    let other = before.filter(|before| after.as_ref() != Some(before));
    after.into_iter().chain(other).map(|rollout| key.beside(rollout)).collect()
}

#[cfg(test)]
mod tests;
