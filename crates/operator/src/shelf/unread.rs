//! Objects that are there and can't be read.

use super::{Entry, Shelf, key};
use crate::{
    key::Key,
    kinds::{Kind, Unread},
};
use jiff::Timestamp;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// An object whose latest version can't be read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    pub unread: Unread,
    pub since: Timestamp,
    pub(super) round: u64,
}

impl<T: Kind> Shelf<T> {
    /// The watch or a list brought an object that can't be read. Answers with the rollouts that it concerns, if that is news.
    pub fn arrived_unread(&mut self, unread: Unread, at: Timestamp) -> Vec<Key> {
        self.tells(unread.head.version());
        self.unreadable(unread, at)
    }

    /// A live read or a write brought one. Nothing that is known of it stands in any longer than it may.
    pub fn unreadable(&mut self, unread: Unread, at: Timestamp) -> Vec<Key> {
        let key = key(&unread.head);
        let now = Instant::now();
        let version = unread.head.version();
        let round = self.round;
        if let Some(entry) = self.entries.get_mut(&key) {
            // It is there, whatever it holds.
            entry.round = round;
        }
        let mut concerned = self.edit(&key, |entry| {
            entry.standing.take_if(|standing| standing.version <= version && standing.is_over(now));
        });
        let known = self.unread.get(&key);
        let is_news = known.is_none_or(|known| known.unread.why != unread.why || known.unread.head.rollout != unread.head.rollout);
        if is_news {
            let seen = self.entries.get(&key).into_iter().flat_map(Entry::rollouts).cloned();
            let rollouts: BTreeSet<_> = seen.chain(unread.head.rollout.clone()).collect();
            concerned.extend(rollouts.into_iter().map(|rollout| key.beside(rollout)));
        }
        let since = known.map_or(at, |known| known.since);
        self.unread.insert(key, Unreadable { unread, since, round });
        concerned
    }

    /// It was read, in this version or a later one, or is gone.
    pub(super) fn read(&mut self, key: &Key, version: u64) -> Vec<Key> {
        let Some(known) = self.unread.get(key).filter(|known| known.unread.head.version() <= version) else { return vec![] };
        let rollout = known.unread.head.rollout.clone();
        self.unread.remove(key);
        rollout.into_iter().map(|rollout| key.beside(rollout)).collect()
    }

    /// The object under this name, if its latest version can't be read.
    pub fn unread(&self, key: &Key) -> Option<&Unreadable> {
        self.unread.get(key)
    }

    /// Those of a rollout, by their label or by one of these names.
    pub fn unread_of(&self, rollout: &Key, names: &[String]) -> Vec<&Unreadable> {
        let beside = self.unread.range(rollout.beside("")..).take_while(|(key, _)| key.namespace == rollout.namespace);
        let of_it = |(key, known): &(&Key, &Unreadable)| {
            known.unread.head.rollout.as_ref() == Some(&rollout.name) || names.iter().any(|name| **name == *key.name)
        };
        beside.filter(of_it).map(|(_, known)| known).collect()
    }

    pub fn count_unread(&self) -> usize {
        self.unread.len()
    }
}
