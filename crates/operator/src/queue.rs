//! Which rollouts are to be looked at, and when. Each at most once at a time; whatever happens meanwhile makes it one more look.

use crate::{key::Key, kinds::Haste};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
/// A change that can wait is looked at so late, unless another one asks for a look before.
const MOMENT: Duration = Duration::from_millis(100);
/// After so many of the first in a row one of the others has its turn: pods that come and go without an end hold up nobody.
const FIRST_IN_A_ROW: u8 = 4;
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Looked at before those in `ready`. A key may stand in both: the later place is passed over.
    first: VecDeque<Key>,
    /// Of those that were taken last, how many in a row.
    first_in_a_row: u8,
    ready: VecDeque<Key>,
    later: BTreeSet<(Instant, Key)>,
    places: HashMap<Key, Place>,
}

#[derive(Debug, Default)]
struct Place {
    queued: bool,
    /// Among the first.
    first: bool,
    running: bool,
    /// Something happened while it was looked at.
    again: bool,
    /// That goes first.
    again_first: bool,
    /// Something that can wait until then happened while it was looked at.
    again_at: Option<Instant>,
    due: Option<Instant>,
    failures: u32,
}

/// When a rollout is to be looked at next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When something happens to it.
    Awaited,
    In(Duration),
    /// It failed: later, and the later the more often it did.
    BackOff,
    /// It is gone.
    Forget,
}

impl Queue {
    pub fn add(&self, key: Key) {
        if self.inner().add(key, false) {
            self.news.notify_one();
        }
    }

    pub fn add_all(&self, keys: impl IntoIterator<Item = Key>) {
        keys.into_iter().for_each(|key| self.add(key));
    }

    /// As soon as a change asks for it. What turns nothing by itself makes one look for all that comes within a moment.
    pub fn add_all_in(&self, haste: Haste, keys: impl IntoIterator<Item = Key>) {
        let due = Instant::now() + MOMENT;
        for key in keys {
            let news = match haste {
                Haste::First => self.inner().add(key, true),
                Haste::InTurn => self.inner().add(key, false),
                Haste::Soon => self.inner().add_at(key, due),
            };
            if news {
                self.news.notify_one();
            }
        }
    }

    /// The next rollout to look at, as soon as there is one. It is running until `done`.
    pub async fn next(&self) -> Key {
        loop {
            let due = match self.inner().pop(Instant::now()) {
                Ok(key) => return key,
                Err(due) => due,
            };
            let news = self.news.notified();
            match due {
                Some(due) => tokio::select! { biased; () = news => {}, () = tokio::time::sleep_until(due) => {} },
                None => news.await,
            }
        }
    }

    pub fn done(&self, key: Key, next: Next) {
        self.inner().done(key, next, Instant::now());
        self.news.notify_one();
    }

    /// How many are ready to be looked at, and how many are waiting for their time.
    pub fn depth(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.places.values().filter(|place| place.queued).count(), inner.later.len())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Answers whether there is something new to take.
    fn add(&mut self, key: Key, first: bool) -> bool {
        let place = self.places.entry(key.clone()).or_default();
        if place.running {
            place.again = true;
            place.again_first |= first;
            return false;
        }
        if let Some(due) = place.due.take() {
            self.later.remove(&(due, key.clone()));
        }
        if place.queued && (place.first || !first) {
            return false;
        }
        (place.queued, place.first) = (true, first);
        let line = if first { &mut self.first } else { &mut self.ready };
        line.push_back(key);
        true
    }

    /// At that time at the latest. Answers whether it is earlier than before.
    fn add_at(&mut self, key: Key, due: Instant) -> bool {
        let place = self.places.entry(key.clone()).or_default();
        if place.running {
            place.again_at.get_or_insert(due);
            return false;
        }
        if place.queued || place.due.is_some_and(|known| known <= due) {
            return false;
        }
        if let Some(later) = place.due.replace(due) {
            self.later.remove(&(later, key.clone()));
        }
        self.later.insert((due, key));
        true
    }

    /// The next one, or the time when there will be one.
    fn pop(&mut self, now: Instant) -> Result<Key, Option<Instant>> {
        while let Some((due, key)) = self.later.first().cloned().filter(|(due, _)| *due <= now) {
            self.later.remove(&(due, key.clone()));
            if let Some(place) = self.places.get_mut(&key) {
                place.due = None;
                if !place.queued {
                    place.queued = true;
                    self.ready.push_back(key);
                }
            }
        }
        while let Some(key) = self.next_in_line() {
            // One that was called up stands where it was before, too.
            let Some(place) = self.places.get_mut(&key).filter(|place| place.queued) else { continue };
            (place.queued, place.first, place.running) = (false, false, true);
            return Ok(key);
        }
        Err(self.later.first().map(|(due, _)| *due))
    }

    fn next_in_line(&mut self) -> Option<Key> {
        if self.first.is_empty() || (self.first_in_a_row >= FIRST_IN_A_ROW && !self.ready.is_empty()) {
            self.first_in_a_row = 0;
            return self.ready.pop_front();
        }
        self.first_in_a_row = self.first_in_a_row.saturating_add(1);
        self.first.pop_front()
    }

    fn done(&mut self, key: Key, next: Next, now: Instant) {
        let place = self.places.entry(key.clone()).or_default();
        place.running = false;
        let (again, first) = (std::mem::take(&mut place.again), std::mem::take(&mut place.again_first));
        let again_at = place.again_at.take().filter(|_| !again);
        place.failures = if next == Next::BackOff { place.failures.saturating_add(1) } else { 0 };
        let delay = match next {
            // The change that came meanwhile may be the remedy.
            Next::BackOff if again => Some(FIRST_BACK_OFF),
            Next::BackOff => Some(back_off(place.failures)),
            _ if again => Some(Duration::ZERO),
            Next::Awaited => None,
            Next::In(delay) => Some(delay),
            Next::Forget => {
                self.places.remove(&key);
                return;
            }
        };
        // What can wait is no remedy for a failure.
        let again_at = again_at.filter(|_| next != Next::BackOff);
        let due = [delay.map(|delay| now + delay), again_at].into_iter().flatten().min();
        match due {
            Some(due) if due <= now => {
                self.add(key, first);
            }
            Some(due) => {
                place.due = Some(due);
                self.later.insert((due, key));
            }
            None => {}
        }
    }
}

fn back_off(failures: u32) -> Duration {
    FIRST_BACK_OFF.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_BACK_OFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("a", name)
    }

    #[test]
    fn one_that_is_added_twice_is_looked_at_once() {
        let (mut queue, now) = (Inner::default(), Instant::now());
        assert!(queue.add(key("x"), false));
        assert!(!queue.add(key("x"), false));
        assert_eq!(queue.pop(now), Ok(key("x")));
        assert_eq!(queue.pop(now), Err(None));
    }

    #[test]
    fn what_happens_during_a_look_makes_one_more_after_it() {
        let (mut queue, now) = (Inner::default(), Instant::now());
        queue.add(key("x"), false);
        queue.pop(now).unwrap();
        queue.add(key("x"), false);
        assert_eq!(queue.pop(now), Err(None), "not two at a time");
        queue.done(key("x"), Next::In(Duration::from_secs(60)), now);
        assert_eq!(queue.pop(now), Ok(key("x")));
        queue.done(key("x"), Next::Awaited, now);
        assert_eq!(queue.pop(now), Err(None));
    }

    #[test]
    fn a_rollout_comes_again_at_its_time_or_at_an_earlier_event() {
        let (mut queue, now) = (Inner::default(), Instant::now());
        queue.add(key("x"), false);
        queue.pop(now).unwrap();
        let due = now + Duration::from_secs(5);
        queue.done(key("x"), Next::In(Duration::from_secs(5)), now);
        assert_eq!(queue.pop(now), Err(Some(due)));
        queue.add(key("x"), false);
        assert_eq!(queue.pop(now), Ok(key("x")));
        queue.done(key("x"), Next::Awaited, now);
        assert_eq!(queue.pop(due), Err(None));
    }

    #[test]
    fn what_can_wait_makes_one_look_in_a_moment() {
        let (mut queue, now) = (Inner::default(), Instant::now());
        let due = now + MOMENT;
        assert!(queue.add_at(key("x"), due));
        assert!(!queue.add_at(key("x"), due + MOMENT), "the first says when");
        assert_eq!(queue.pop(now), Err(Some(due)));
        assert!(queue.add(key("x"), false), "what can't wait comes at once");
        assert_eq!(queue.pop(now), Ok(key("x")));
        queue.add_at(key("x"), due);
        queue.done(key("x"), Next::In(MOMENT * 600), now);
        assert_eq!(queue.pop(now), Err(Some(due)), "it came during a look");
        assert_eq!(queue.pop(due), Ok(key("x")));
        queue.done(key("x"), Next::Awaited, due);
        assert_eq!(queue.pop(due), Err(None), "one look for all of them");
    }

    #[test]
    fn what_users_may_wait_for_goes_first() {
        let (mut queue, now) = (Inner::default(), Instant::now());
        for name in ["x", "y", "z"] {
            queue.add(key(name), false);
        }
        assert!(queue.add(key("z"), true), "it is called up");
        assert!(!queue.add(key("z"), true) && !queue.add(key("z"), false));
        assert_eq!(queue.pop(now), Ok(key("z")));
        assert_eq!(queue.pop(now), Ok(key("x")));
        queue.add(key("x"), true);
        queue.done(key("x"), Next::Awaited, now);
        assert_eq!(queue.pop(now), Ok(key("x")), "also what came during its look");
        assert_eq!(queue.pop(now), Ok(key("y")));
        assert_eq!(queue.pop(now), Err(None), "each once");
    }

    #[test]
    fn those_that_go_first_without_an_end_hold_up_nobody() {
        let (mut queue, now) = (Inner::default(), Instant::now());
        queue.add(key("z"), false);
        let taken = |queue: &mut Inner| {
            let taken = queue.pop(now).unwrap();
            if taken != key("z") {
                queue.add(taken.clone(), true);
            }
            queue.done(taken.clone(), Next::Awaited, now);
            taken
        };
        queue.add(key("x"), true);
        queue.add(key("y"), true);
        let turns: Vec<_> = (0..8).map(|_| taken(&mut queue)).collect();
        assert_eq!(turns.iter().position(|turn| *turn == key("z")), Some(usize::from(FIRST_IN_A_ROW)), "{turns:?}");
    }

    #[test]
    fn failures_in_a_row_are_tried_again_ever_later() {
        let (mut queue, mut now) = (Inner::default(), Instant::now());
        queue.add(key("x"), false);
        let mut delays = vec![];
        for _ in 0..12 {
            queue.pop(now).unwrap();
            queue.done(key("x"), Next::BackOff, now);
            let due = queue.pop(now).unwrap_err().unwrap();
            delays.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(delays[..4], [100, 200, 400, 800]);
        assert_eq!(delays[11], 60_000);
        queue.pop(now).unwrap();
        queue.done(key("x"), Next::Awaited, now);
        queue.add(key("x"), false);
        queue.pop(now).unwrap();
        queue.done(key("x"), Next::BackOff, now);
        assert_eq!(queue.pop(now), Err(Some(now + FIRST_BACK_OFF)), "a success makes a fresh start");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_woken() {
        let queue = std::sync::Arc::new(Queue::default());
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { (queue.next().await, queue.next().await) }
        });
        tokio::task::yield_now().await;
        queue.add(key("x"));
        queue.add(key("y"));
        assert_eq!(waiting.await.unwrap(), (key("x"), key("y")));
        queue.done(key("x"), Next::In(Duration::from_secs(3)));
        assert_eq!(queue.next().await, key("x"));
    }
}
