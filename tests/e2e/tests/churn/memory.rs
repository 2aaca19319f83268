//! Whether the operator's memory grows.

use crate::fleet::Fleet;
use std::{cell::RefCell, collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Until then caches fill, once there is something to fill them.
const WARM: Duration = Duration::from_secs(15);
/// A life is judged by what it took at its end, beside what it took when it was warm. In KiB.
const MARGIN: u64 = 12 << 10;

/// A life with so many samples is long enough to tell.
const MANY: usize = 12;

/// Samples of resident memory in KiB, one a second, by process.
#[derive(Default)]
pub struct Memory(RefCell<BTreeMap<u32, Vec<u64>>>);

impl Memory {
    /// `begun`: when all that the operators know was there.
    pub fn sample(&self, fleet: &Fleet<'_>, begun: Instant) {
        for life in fleet.lives().filter(|life| life.began.max(begun).elapsed() > WARM) {
            if let Some(size) = life.operator.resident_memory() {
                self.0.borrow_mut().entry(life.operator.id()).or_default().push(size);
            }
        }
    }

    pub fn can_be_judged(&self) -> bool {
        self.0.borrow().values().any(|samples| samples.len() >= MANY)
    }

    /// The median of the first and of the last quarter of each life that is long enough to tell.
    fn lives(&self) -> Vec<(u64, u64, usize)> {
        let lives = self.0.borrow();
        let long = lives.values().filter(|samples| samples.len() >= MANY);
        long.map(|samples| {
            let quarter = samples.len() / 4;
            (median(&samples[..quarter]), median(&samples[samples.len() - quarter..]), samples.len())
        })
        .collect()
    }

    pub fn words(&self) -> String {
        let lives = self.lives().into_iter();
        let words: Vec<_> = lives.map(|(begin, end, seconds)| format!("{} → {} KiB in {seconds} s", begin, end)).collect();
        format!("resident memory of operators that lived long: {}", words.join(", "))
    }

    pub fn assert_flat(&self) {
        let lives = self.lives();
        assert!(!lives.is_empty(), "no operator lived long enough to judge its memory");
        for (begin, end, seconds) in lives {
            assert!(end <= begin + MARGIN, "the operator's memory grew from {begin} to {end} KiB in {seconds} s");
        }
    }
}

fn median(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}
