//! Numbers from a seed, so that a failure can be had again.

use std::{ops::Range, sync::Mutex, time::Duration};

/// Dice that many may roll.
#[derive(Debug)]
pub struct Dice(Mutex<u64>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds are to differ from the first roll on, and zero would stay zero.
        Self(Mutex::new(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    pub fn roll(&self, range: Range<u64>) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        // The lower bits are the poorer ones.
        range.start + (*state >> 16) % (range.end - range.start)
    }

    pub fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.roll(range))
    }

    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.roll(0..from.len() as u64)).unwrap()]
    }

    pub fn shuffle<T>(&self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, usize::try_from(self.roll(0..last as u64 + 1)).unwrap());
        }
    }
}
