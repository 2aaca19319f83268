//! The waits of all tests that need a cluster: how long they last, and how they end. See [`bluegreen_cluster::patience`].
//!
//! A test waits in one of three ways: for something to come ([`until`], [`within`], and what [`Space`](crate::Space) and
//! [`Rollout`](crate::Rollout) make of them), for a moment in which something must not happen ([`long_enough`]), or so that time
//! passes which is part of its story ([`pause`]).

pub use bluegreen_cluster::patience::{patience, stretched};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Between two looks.
const LOOKS: Duration = Duration::from_millis(50);

/// Looks again and again until something is there, and returns it.
///
/// # Panics
///
/// It didn't come in time: `what` says what was waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let ends = Instant::now() + patience();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < ends, "{what}: not within {:?}", patience());
        sleep(LOOKS).await;
    }
}

/// Waits for something that comes by itself. The error is the time that was waited in vain.
pub(crate) async fn within<T>(coming: impl Future<Output = T>) -> Result<T, Duration> {
    timeout(patience(), coming).await.map_err(|_| patience())
}

/// A moment in which something must not happen: long enough for an operator to do it.
pub async fn long_enough() {
    pause(Duration::from_secs(2)).await;
}

/// Lets time pass.
pub async fn pause(time: Duration) {
    sleep(stretched(time)).await;
}

/// A time on this machine as manifests have it.
pub fn text(time: Duration) -> String {
    bluegreen_api::Duration(stretched(time)).to_string()
}
