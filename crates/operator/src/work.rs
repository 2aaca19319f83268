//! Takes rollouts from the queue and looks at them, many at a time, each by itself: what one does to a look harms no other.

use crate::{
    key::Key,
    queue::Next,
    reconcile::{Trouble, reconcile},
    shell::{OneRollout, Shell},
};
use futures::FutureExt;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

/// Longer than any sound look takes; what hangs is begun anew.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The pause of a look that was broken off because the lease was not renewed in time.
const NOT_LEADING: Duration = Duration::from_millis(100);

/// Until `stop` is told; then those under way are finished.
pub async fn work(shell: Arc<Shell>, at_once: usize, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(at_once));
    let mut leadership = shell.leadership.clone();
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await;
            // A renewal that is late holds everything up until it comes.
            let _ = leadership.wait_for(|leadership| leadership.term(Instant::now()).is_some()).await;
            (slot, shell.queue.next().await)
        };
        let (slot, key) = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            next = next => next,
        };
        let shell = shell.clone();
        tokio::spawn(async move {
            let next = look(&shell, &key).await;
            if next == Next::Forget {
                shell.forget(&key);
            }
            shell.queue.done(key, next);
            drop(slot);
        });
    }
    let all = u32::try_from(at_once).unwrap_or(u32::MAX);
    let _finished = slots.acquire_many(all).await;
}

async fn look(shell: &Shell, key: &Key) -> Next {
    let began = Instant::now();
    let mut rollout = OneRollout::new(shell, key);
    let looked = reconcile(&mut rollout, bluegreen_engine::decide);
    let looked = tokio::time::timeout(TIMEOUT, AssertUnwindSafe(looked).catch_unwind()).await;
    let (result, next) = match looked {
        Ok(Ok(Ok(Next::BackOff))) => ("no_effect", Next::BackOff),
        Ok(Ok(Ok(next))) => ("ok", next),
        Ok(Ok(Err(trouble))) => troubled(key, &trouble),
        Ok(Err(_)) => {
            tracing::error!(rollout = %key, "bug: the reconcile panicked; retrying later");
            ("panic", Next::BackOff)
        }
        Err(_) => {
            tracing::warn!(rollout = %key, seconds = TIMEOUT.as_secs(), "the reconcile timed out; retrying later");
            ("timeout", Next::BackOff)
        }
    };
    shell.metrics.reconciled(result, began.elapsed());
    next
}

fn troubled(key: &Key, trouble: &Trouble) -> (&'static str, Next) {
    match trouble {
        // The lease may yet be renewed; if not, this process ends.
        Trouble::NotLeading => ("not_leading", Next::In(NOT_LEADING)),
        Trouble::Stale => ("stale", Next::BackOff),
        Trouble::Api { .. } => {
            tracing::warn!(rollout = %key, error = %trouble, "the reconcile failed; retrying later");
            ("error", Next::BackOff)
        }
    }
}
