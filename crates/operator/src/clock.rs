//! The time of day. In a simulation a thread is a world of its own, and its time passes as the runtime's does.

use jiff::{SignedDuration, Timestamp};
use std::cell::Cell;
use tokio::time::Instant;

thread_local! {
    /// A time of day, and the instant at which it was that.
    static SIMULATED: Cell<Option<(Timestamp, Instant)>> = const { Cell::new(None) };
}

pub fn now() -> Timestamp {
    match SIMULATED.get() {
        None => Timestamp::now(),
        Some((then, at)) => then + SignedDuration::try_from(at.elapsed()).unwrap_or(SignedDuration::MAX),
    }
}

/// From now on it is this time of day on this thread.
pub fn simulate(now: Timestamp) {
    SIMULATED.set(Some((now, Instant::now())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_passes_as_the_runtimes_does() {
        simulate(Timestamp::UNIX_EPOCH);
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(now().as_second(), 90);
        std::thread::spawn(|| assert_ne!(now().as_second(), 90, "another thread has its own time")).join().unwrap();
    }
}
