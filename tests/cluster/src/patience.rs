//! How long tests wait for a cluster, in one place; and a machine that is slower than this one.
//!
//! `BLUEGREEN_SLOWER=4` runs the tests as on a machine four times slower: a program that would have a core of its own gets a quarter
//! of it, since three idle loops a core compete with it for as long as the tests run, and all patience is four times as long. A test
//! that fails only there waits by a clock of its own, or compares the clock with something that the machine does.

use std::sync::{Once, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what it expects. Controllers of Kubernetes ask an API server that was away again after up to a minute:
/// they double their pauses up to 30 s, and add as much again at random.
const PATIENCE: Duration = Duration::from_secs(180);

/// The idle loops end by then, should the tests be forgotten.
const LONGEST: Duration = Duration::from_secs(3 * 3600);

/// How many times slower the machine is to be: 1 to 16.
pub fn slower() -> u32 {
    static SLOWER: OnceLock<u32> = OnceLock::new();
    *SLOWER.get_or_init(|| std::env::var("BLUEGREEN_SLOWER").ok().and_then(|times| parsed(&times)).unwrap_or(1))
}

fn parsed(times: &str) -> Option<u32> {
    times.trim().parse().ok().filter(|times| (1..=16).contains(times))
}

/// A time in which a machine does something, on this one.
pub fn stretched(time: Duration) -> Duration {
    time * slower()
}

/// How long anything that is expected may take.
pub fn patience() -> Duration {
    stretched(PATIENCE)
}

/// Makes the machine as slow as [`slower`] says, until this process ends.
pub fn slow_down() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let until = Instant::now() + LONGEST;
        for _ in 0..cores * (slower() as usize - 1) {
            thread::spawn(move || {
                while Instant::now() < until {
                    for _ in 0..100_000 {
                        std::hint::spin_loop();
                    }
                }
            });
        }
    });
}

/// Looks again and again until something is there. The error is the time that was waited in vain.
///
/// # Errors
///
/// It didn't come within [`patience`].
pub fn until<T>(mut look: impl FnMut() -> Option<T>) -> Result<T, Duration> {
    let ends = Instant::now() + patience();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > ends {
            return Err(patience());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_one_to_sixteen_times_slower() {
        assert_eq!((parsed("4"), parsed(" 1 "), parsed("16")), (Some(4), Some(1), Some(16)));
        for wrong in ["0", "17", "", "-1", "fast"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn looks_go_on_until_something_is_found() {
        let mut looks = 0;
        let found = until(|| {
            looks += 1;
            (looks == 3).then_some("there")
        });
        assert_eq!((found, looks), (Ok("there"), 3));
    }
}
