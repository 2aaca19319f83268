//! Numbers that follow from a seed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Clones roll the same dice.
#[derive(Clone, Debug)]
pub struct Dice(Arc<Mutex<u64>>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// Dice of their own, which follow from these.
    pub fn fork(&self) -> Self {
        Self::new(self.next())
    }

    /// By SplitMix64, which takes any seed.
    fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `sides`.
    pub fn roll(&self, sides: u64) -> u64 {
        self.next() % sides.max(1)
    }

    pub fn one_in(&self, many: u64) -> bool {
        self.roll(many) == 0
    }

    pub fn per_mille(&self, rate: u64) -> bool {
        self.roll(1000) < rate
    }

    pub fn pick<T: Clone>(&self, items: &[T]) -> T {
        items[usize::try_from(self.roll(items.len() as u64)).unwrap_or_default()].clone()
    }

    pub fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.roll(to.saturating_sub(from)))
    }
}
