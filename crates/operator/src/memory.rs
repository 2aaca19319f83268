//! State of each rollout that only this process has. Its loss costs time, never safety.

use crate::key::Key;
use bluegreen_api::Color;
use bluegreen_engine::{
    Effect,
    decision::Part,
    observed::{ColorSeen, EventsRead, PodWarning, Progress, Refusal, progress},
};
use bluegreen_gates::reading::Measurement;
use jiff::Timestamp;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Results that nobody records are those of gates that are gone.
const RESULTS: usize = 256;

#[derive(Debug, Default)]
pub struct Memory {
    rollouts: Mutex<HashMap<Key, Remembered>>,
}

#[derive(Debug, Default)]
pub struct Remembered {
    uid: Box<str>,
    /// The term of leadership in which objects with its names were looked for, whatever their labels.
    pub surveyed_in: Option<i64>,
    /// Why it can't be read, or its status can't be understood, as far as that was told.
    pub unreadable: Option<Box<str>>,
    progress: [Option<Progress>; 2],
    /// uid of the Deployment and the generation that our latest write returned.
    applied: [Option<(Box<str>, i64)>; 2],
    events: [Option<EventsRead>; 2],
    pub refusals: Vec<Refusal>,
    pub results: Vec<Measurement>,
}

impl Memory {
    /// The memory of the rollout with that name and uid. Another uid is another rollout.
    pub fn of<R>(&self, key: &Key, uid: &str, look: impl FnOnce(&mut Remembered) -> R) -> R {
        let mut rollouts = self.rollouts();
        if !rollouts.contains_key(key) {
            rollouts.insert(key.clone(), Remembered::default());
        }
        let remembered = rollouts.entry(key.clone()).or_default();
        if *remembered.uid != *uid {
            *remembered = Remembered { uid: uid.into(), ..Remembered::default() };
        }
        look(remembered)
    }

    pub fn forget(&self, key: &Key) {
        self.rollouts().remove(key);
    }

    /// A result counts for the rollout that it was measured for, while that is still there.
    pub fn add_result(&self, key: &Key, uid: &str, result: Measurement) -> bool {
        let added = self.if_there(key, uid, |remembered| {
            if remembered.results.len() == RESULTS {
                remembered.results.remove(0);
            }
            remembered.results.push(result);
        });
        added.is_some()
    }

    /// The memory of a rollout that was looked at already; none of one that is gone.
    pub fn if_there<R>(&self, key: &Key, uid: &str, look: impl FnOnce(&mut Remembered) -> R) -> Option<R> {
        self.rollouts().get_mut(key).filter(|remembered| *remembered.uid == *uid).map(look)
    }

    fn rollouts(&self) -> MutexGuard<'_, HashMap<Key, Remembered>> {
        self.rollouts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn place(color: Color) -> usize {
    match color {
        Color::Blue => 0,
        Color::Green => 1,
    }
}

impl Remembered {
    /// Folds what is seen of a color into what is remembered of its progress.
    pub fn fold(&mut self, color: Color, seen: &ColorSeen, now: Timestamp) -> Option<Progress> {
        let progress = &mut self.progress[place(color)];
        *progress = progress::fold(progress.as_ref(), seen, now);
        progress.clone()
    }

    pub const fn events_read(&self, color: Color) -> Option<&EventsRead> {
        self.events[place(color)].as_ref()
    }

    /// Those of one pod at a time, the latest that was asked about.
    pub fn read_events(&mut self, color: Color, pod: &str, warnings: Vec<PodWarning>, at: Timestamp) {
        let read = &mut self.events[place(color)];
        let times = read.as_ref().filter(|read| read.pod == pod).map_or(0, |read| read.times).saturating_add(1);
        *read = Some(EventsRead { pod: pod.to_owned(), at, times, warnings });
    }

    pub fn applied(&mut self, color: Color, uid: &str, generation: i64) {
        self.applied[place(color)] = Some((uid.into(), generation));
    }

    pub fn applied_generation(&self, color: Color, uid: &str) -> Option<i64> {
        self.applied[place(color)].as_ref().filter(|(is, _)| **is == *uid).map(|(_, generation)| *generation)
    }

    pub fn refused(&mut self, effect: &Effect, code: u16, message: String, generation: i64, at: Timestamp) {
        let before = self.refusals.iter().find(|refusal| refusal.is_of(effect));
        let times = before.map_or(0, |before| before.times).saturating_add(1);
        let denied_since = before.and_then(|before| before.denied_since).or(Some(at)).filter(|_| Refusal::denies(code));
        let (object, part) = effect.place();
        // Of fences only the latest is tried again.
        let outdated = |refusal: &Refusal| matches!((&refusal.part, &part), (Part::Fence(_), Part::Fence(_))) && refusal.object == object;
        self.refusals.retain(|refusal| !refusal.is_of(effect) && !outdated(refusal));
        self.refusals.push(Refusal { object, part, code, message, at, times, denied_since, generation });
    }

    pub fn succeeded(&mut self, effect: &Effect) {
        self.refusals.retain(|refusal| !refusal.is_of(effect));
    }

    /// These have been recorded.
    pub fn drop_results(&mut self, recorded: &[Measurement]) {
        self.results.retain(|result| !recorded.contains(result));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bluegreen_engine::decision::{Change, Guard, Object};
    use bluegreen_gates::reading::{Outcome, Reading};

    fn effect(change: Change) -> Effect {
        Effect { change, guard: Guard::None, why: "a test" }
    }

    fn result(at: &str, value: f64) -> Measurement {
        Measurement {
            gate: "monitoring/errors".into(),
            definition: "d".into(),
            attempt: 1,
            revision: "abc".into(),
            at: at.parse().unwrap(),
            asked: vec![],
            outcome: Outcome::reading(Reading::Value(value)),
        }
    }

    #[test]
    fn a_rollout_of_the_same_name_begins_with_nothing() {
        let (memory, key) = (Memory::default(), Key::new("a", "shop"));
        memory.of(&key, "1", |remembered| remembered.surveyed_in = Some(3));
        assert_eq!(memory.of(&key, "1", |remembered| remembered.surveyed_in), Some(3));
        assert_eq!(memory.of(&key, "2", |remembered| remembered.surveyed_in), None);
    }

    #[test]
    fn refusals_in_a_row_are_counted_until_one_succeeds() {
        let mut remembered = Remembered::default();
        let scale = effect(Change::Scale { color: Color::Blue, replicas: 0 });
        for times in 1..=3 {
            remembered.refused(&scale, 422, "no".into(), 1, Timestamp::UNIX_EPOCH);
            assert_eq!((remembered.refusals.len(), remembered.refusals[0].times), (1, times));
        }
        remembered.succeeded(&scale);
        assert!(remembered.refusals.is_empty());
    }

    #[test]
    fn each_part_of_an_object_is_refused_by_itself() {
        let mut remembered = Remembered::default();
        let fence = |epoch: &str| effect(Change::Fence { object: Object::Deployment(Color::Blue), epoch: epoch.into() });
        let scale = effect(Change::Scale { color: Color::Blue, replicas: 0 });
        for effect in [&scale, &fence("1.1"), &fence("2.1")] {
            remembered.refused(effect, 403, "no".into(), 1, Timestamp::UNIX_EPOCH);
        }
        let parts: Vec<_> = remembered.refusals.iter().map(|refusal| refusal.part.clone()).collect();
        assert_eq!(parts, [Part::Whole, Part::Fence("2.1".into())], "a fence of an earlier withdrawal is tried no more");
        remembered.succeeded(&fence("2.1"));
        assert_eq!(remembered.refusals.len(), 1);
    }

    #[test]
    fn a_denial_lasts_until_another_answer() {
        let mut remembered = Remembered::default();
        let scale = effect(Change::Scale { color: Color::Blue, replicas: 0 });
        let mut denied_since = |code: u16, second: i64| {
            remembered.refused(&scale, code, "no".into(), 1, Timestamp::from_second(second).unwrap());
            remembered.refusals[0].denied_since.map(Timestamp::as_second)
        };
        assert_eq!(
            [denied_since(403, 1), denied_since(422, 5), denied_since(0, 6), denied_since(403, 9)],
            [Some(1), Some(1), None, Some(9)]
        );
    }

    #[test]
    fn results_stay_until_they_are_recorded_and_belong_to_one_uid() {
        let (memory, key) = (Memory::default(), Key::new("a", "shop"));
        assert!(!memory.add_result(&key, "1", result("2026-01-01T00:00:00Z", 1.0)), "nobody is there to want it");
        memory.of(&key, "1", |_| ());
        assert!(!memory.add_result(&key, "0", result("2026-01-01T00:00:00Z", 1.0)));
        let first = result("2026-01-01T00:00:01Z", 1.0);
        memory.add_result(&key, "1", first.clone());
        memory.add_result(&key, "1", result("2026-01-01T00:00:02Z", 2.0));
        memory.of(&key, "1", |remembered| {
            remembered.drop_results(&[first]);
            assert_eq!(remembered.results.len(), 1);
        });
    }

    #[test]
    fn the_generation_of_a_write_belongs_to_one_deployment() {
        let mut remembered = Remembered::default();
        remembered.applied(Color::Green, "u", 4);
        assert_eq!(remembered.applied_generation(Color::Green, "u"), Some(4));
        assert_eq!(remembered.applied_generation(Color::Green, "v"), None);
        assert_eq!(remembered.applied_generation(Color::Blue, "u"), None);
    }
}
